//! Speaking to a Fluvio cluster: its controller for metadata, its SPUs for records.
//!
//! Each question is one request with a time limit, sent to the SPU that leads the partition; the
//! client's own producer and consumer are not used, because they repeat, split and stream behind
//! the caller's back and cannot say what certainly was not written. Fluvio's futures run on its
//! executor's threads; here they are waited for on the caller's.
//!
//! A connection that failed or did not answer in time is dropped and made anew at the next
//! question.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_schemas::topic::{Topic, TopicPartition};
use fluvio::dataplane::api::Request;
use fluvio::dataplane::link::ErrorCode;
use fluvio::metadata::partition::PartitionSpec;
use fluvio::metadata::spu::SpuSpec;
use fluvio::metadata::topic::TopicSpec;
use fluvio::{FluvioAdmin, FluvioClusterConfig, Isolation};
use fluvio_future::future::timeout;
use fluvio_future::task::run_block_on;
use fluvio_socket::{ClientConfig, MultiplexerSocket, SocketError, VersionedSerialSocket};
use parking_lot::Mutex;

use super::address::FluvioAddress;
use crate::layout::TOPICS;
use crate::log::BoxError;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest wait for an answer of the controller.
const METADATA: Duration = Duration::from_secs(5);
/// Client name that the servers see.
const NAME: &str = "eddyline";

/// Id of an SPU.
pub(super) type Spu = i32;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Nobody saw it.
    #[error("cannot be reached")]
    NotSent(#[source] BoxError),
    /// It was sent and may have been done.
    #[error("did not answer in time")]
    Unanswered(#[source] BoxError),
    /// The SPU's own word.
    #[error("{0}")]
    Refused(ErrorCode),
}

/// Who leads which partition, and where each SPU listens.
#[derive(Default)]
struct Routes {
    leaders: BTreeMap<TopicPartition, Spu>,
    places: BTreeMap<Spu, String>,
    /// Partitions with one replica.
    sole: BTreeSet<TopicPartition>,
}

/// A topic as the controller describes it.
pub(super) struct Description {
    pub(super) spec: TopicSpec,
    /// Partitions that have a leader that is up.
    pub(super) online: u32,
}

/// See the module doc.
pub(super) struct Client {
    pub(super) address: FluvioAddress,
    admin: Mutex<Option<Arc<FluvioAdmin>>>,
    routes: Mutex<Routes>,
    sockets: Mutex<BTreeMap<Spu, Arc<VersionedSerialSocket>>>,
}

impl Client {
    /// Connects to nobody yet.
    pub(super) fn new(address: FluvioAddress) -> Self {
        let (admin, routes, sockets) = Default::default();
        Self { address, admin, routes, sockets }
    }

    /// Fluvio's name of `topic`.
    pub(super) fn name(&self, topic: Topic) -> String {
        self.address.topic(topic.name())
    }

    /// Asks the controller within `limit`.
    pub(super) fn administer<T, E>(
        &self,
        limit: Duration,
        question: impl AsyncFnOnce(&FluvioAdmin) -> Result<T, E>,
    ) -> Result<T, BoxError>
    where
        T: Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        let admin = self.admin(limit)?;
        let answer = within(limit, question(&admin)).and_then(|answer| answer.map_err(Into::into));
        if answer.is_err() {
            *self.admin.lock() = None;
        }
        answer
    }

    fn admin(&self, limit: Duration) -> Result<Arc<FluvioAdmin>, BoxError> {
        if let Some(admin) = &*self.admin.lock() {
            return Ok(Arc::clone(admin));
        }
        let mut config = FluvioClusterConfig::new(&self.address.controller);
        config.client_id = Some(NAME.to_owned());
        let connected = within(limit.min(CONNECT), FluvioAdmin::connect_with_config(&config))?;
        Ok(Arc::clone(self.admin.lock().insert(Arc::new(connected?))))
    }

    /// Our topics, in the order of [`TOPICS`]; notes who leads what.
    pub(super) fn describe(&self) -> Result<[Option<Description>; TOPICS.len()], BoxError> {
        let (topics, partitions, spus) = self.administer(METADATA, async |admin| {
            let topics = admin.all::<TopicSpec>().await?;
            let partitions = admin.all::<PartitionSpec>().await?;
            let spus = admin.all::<SpuSpec>().await;
            spus.map(|spus| (topics, partitions, spus))
        })?;
        let mut routes = Routes::default();
        for spu in spus {
            routes.places.insert(spu.spec.id, spu.spec.public_endpoint.addr());
        }
        let names = TOPICS.map(|topic| self.name(topic));
        let mut online = [0; TOPICS.len()];
        for found in partitions {
            let Some((name, number)) = found.name.rsplit_once('-') else { continue };
            let at = names.iter().position(|known| known == name);
            let (Some(at), Ok(partition)) = (at, number.parse()) else { continue };
            let partition = TopicPartition { topic: TOPICS[at], partition };
            routes.leaders.insert(partition, found.spec.leader);
            if found.spec.replicas.len() == 1 {
                routes.sole.insert(partition);
            }
            online[at] += u32::from(found.status.is_online());
        }
        *self.routes.lock() = routes;
        let mut described = TOPICS.map(|_| None);
        for found in topics {
            if let Some(at) = names.iter().position(|known| *known == found.name) {
                described[at] = Some(Description { spec: found.spec, online: online[at] });
            }
        }
        Ok(described)
    }

    /// Who leads `partition`, as far as is known.
    pub(super) fn leader(&self, partition: TopicPartition) -> Option<Spu> {
        self.routes.lock().leaders.get(&partition).copied()
    }

    /// What of `partition` counts. All that the one replica has is committed, even what it hides:
    /// an SPU that was killed may come back with an end before its newest records, which it moves
    /// only at the next append.
    pub(super) fn isolation(&self, partition: TopicPartition) -> Isolation {
        if self.routes.lock().sole.contains(&partition) {
            Isolation::ReadUncommitted
        } else {
            Isolation::ReadCommitted
        }
    }

    /// Asks `spu` within `limit`.
    pub(super) fn ask<R>(
        &self,
        spu: Spu,
        request: R,
        limit: Duration,
    ) -> Result<R::Response, Trouble>
    where
        R: Request + Send + Sync,
        R::Response: Send + 'static,
    {
        let socket = self.socket(spu, limit).map_err(Trouble::NotSent)?;
        let trouble = match within(limit, socket.send_receive(request)) {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(SocketError::SocketStale)) => Trouble::NotSent(SocketError::SocketStale.into()),
            Ok(Err(error)) => Trouble::Unanswered(error.into()),
            Err(error) => Trouble::Unanswered(error),
        };
        let mut sockets = self.sockets.lock();
        if sockets.get(&spu).is_some_and(|known| Arc::ptr_eq(known, &socket)) {
            sockets.remove(&spu);
        }
        Err(trouble)
    }

    fn socket(&self, spu: Spu, limit: Duration) -> Result<Arc<VersionedSerialSocket>, BoxError> {
        let known = self.sockets.lock().get(&spu).map(Arc::clone);
        if let Some(socket) = known.filter(|socket| !socket.is_stale()) {
            return Ok(socket);
        }
        let place = self.routes.lock().places.get(&spu).cloned();
        let place = place.ok_or_else(|| format!("SPU {spu} is not known"))?;
        let mut config = ClientConfig::with_addr(place.clone());
        config.set_client_id(NAME);
        let connected = within(limit.min(CONNECT), config.connect())
            .and_then(|connected| connected.map_err(Into::into))
            .map_err(|error| format!("SPU {spu} at {place}: {error}"))?;
        let (socket, config, versions) = connected.split();
        let shared = MultiplexerSocket::shared(socket);
        let socket = Arc::new(VersionedSerialSocket::new(shared, config, versions));
        // Another caller may have been faster: either serves, and the last one is kept.
        self.sockets.lock().insert(spu, Arc::clone(&socket));
        Ok(socket)
    }
}

/// Time that is left, at least a moment.
pub(super) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// Waits for `future` on this thread, for `limit` at most.
fn within<T: Send + 'static>(
    limit: Duration,
    future: impl Future<Output = T>,
) -> Result<T, BoxError> {
    run_block_on(timeout(limit, future)).map_err(Into::into)
}
