//! The control connections: process 0 asks, the others answer.
//!
//! Every second process 0 asks for a sign of life; each side ends its process when the other is
//! silent for too long. Questions are only asked while no epoch is in flight.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use eddyline_model::config::CoreConfig;
use eddyline_schemas::id::SHARDS;
use eddyline_schemas::record::Digest;
use parking_lot::Mutex;

use super::digests::{Part, Spread, replica, whole};
use super::frames::{TURN, receive, send};
use super::handover::{hand_out, keep_own, receive_section, send_sections, take_over};
use super::stop::{Code, lost, stop};
use super::{ClusterConfig, ClusterError};
use crate::state::Tables;
use crate::wire::{Input, Malformed, Out, Wire};

/// Seconds that a digest may take: all state is hashed.
const DIGEST_SECONDS: u32 = 600;

/// What process 0 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// Are you there?
    Alive,
    /// What is the digest of your part?
    Digest,
    /// What are the sections of your part, and the digest of your items?
    Sections,
    /// It is over, after all that was fed.
    Done,
    /// It is over, for an error of process 0.
    Failed,
}

impl Wire for Ask {
    fn put(&self, out: &mut impl Out) {
        let number: u8 = match self {
            Self::Alive => 0,
            Self::Digest => 1,
            Self::Done => 2,
            Self::Failed => 3,
            Self::Sections => 4,
        };
        number.put(out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            0 => Ok(Self::Alive),
            1 => Ok(Self::Digest),
            2 => Ok(Self::Done),
            3 => Ok(Self::Failed),
            4 => Ok(Self::Sections),
            _ => Err(Malformed("a question")),
        }
    }
}

/// Process 0's end of all control connections.
pub(crate) struct Leading {
    shared: Arc<Shared>,
    spread: Spread,
    asking: Option<JoinHandle<()>>,
    is_done: AtomicBool,
}

struct Shared {
    peers: Vec<Peer>,
    is_over: AtomicBool,
}

struct Peer {
    index: usize,
    address: String,
    stream: Mutex<TcpStream>,
    silence_seconds: u32,
}

impl Peer {
    fn lost(&self, error: &io::Error) -> ! {
        lost(self.index, &self.address, &error.to_string())
    }

    fn ask<T: Wire>(&self, stream: &TcpStream, ask: Ask, seconds: u32) -> T {
        let answer = send(stream, &ask).and_then(|()| receive(stream, seconds));
        answer.unwrap_or_else(|error| self.lost(&error))
    }

    fn ask_for_life(&self) {
        // A peer that is busy with a question answers that one.
        if let Some(stream) = self.stream.try_lock() {
            let _: bool = self.ask(&stream, Ask::Alive, self.silence_seconds);
        }
    }
}

impl Leading {
    /// Gives the others the state to begin with, if it is not the empty one, and keeps of it what
    /// this process owns.
    pub(crate) fn start(
        config: &ClusterConfig,
        control: Vec<(usize, TcpStream)>,
        restored: Option<&Tables>,
    ) -> io::Result<Self> {
        let spread = Spread { index: 0, processes: config.processes(), workers: config.workers };
        for (index, stream) in &control {
            let lost = |error: io::Error| lost(*index, &config.hosts[*index], &error.to_string());
            hand_out(stream, restored).unwrap_or_else(lost);
        }
        restored.into_iter().for_each(|tables| keep_own(tables, spread));
        let peer = |(index, stream): (usize, TcpStream)| Peer {
            index,
            address: config.hosts[index].clone(),
            stream: Mutex::new(stream),
            silence_seconds: config.patience.silence_seconds,
        };
        let peers = control.into_iter().map(peer).collect();
        let shared = Arc::new(Shared { peers, is_over: AtomicBool::new(false) });
        let asked = Arc::clone(&shared);
        let ask = move || {
            while !asked.is_over.load(Ordering::Acquire) {
                asked.peers.iter().for_each(Peer::ask_for_life);
                std::thread::park_timeout(TURN);
            }
        };
        let asking = std::thread::Builder::new().name("eddyline-control".into()).spawn(ask)?;
        Ok(Self { shared, spread, asking: Some(asking), is_done: AtomicBool::new(false) })
    }

    /// Digests of all shards; nothing may be in flight. Processes that hold different items have
    /// computed different things: nothing that any of them says can be believed.
    pub(crate) fn shard_digests(&self, config: &CoreConfig, tables: &Tables) -> Vec<Digest> {
        let ask = |peer: &Peer| peer.ask(&peer.stream.lock(), Ask::Digest, DIGEST_SECONDS);
        let asked = self.shared.peers.iter().map(ask);
        let own = Part::of(config, tables, self.spread);
        let parts: Vec<Part> = std::iter::once(own).chain(asked).collect();
        let remedy = "report it with the log; a restart folds again from the log";
        whole(&parts).unwrap_or_else(|wrong| stop(Code::Bug, &wrong, remedy))
    }

    /// The sections of all shards; nothing may be in flight.
    pub(crate) fn sections(&self, config: &CoreConfig, tables: &Tables) -> Vec<Vec<u8>> {
        let mut sections = vec![Vec::new(); SHARDS];
        let own = self.spread.owned();
        own.for_each(|shard| tables.export_shard(shard, &mut sections[shard]));
        let items = replica(config, tables);
        for peer in &self.shared.peers {
            let stream = peer.stream.lock();
            let theirs: Digest = peer.ask(&stream, Ask::Sections, DIGEST_SECONDS);
            if theirs != items {
                let wrong =
                    format!("the items of process {} are not those of process 0", peer.index);
                stop(
                    Code::Bug,
                    &wrong,
                    "report it with the log; a restart folds again from the log",
                );
            }
            for shard in (Spread { index: peer.index, ..self.spread }).owned() {
                sections[shard] =
                    receive_section(&stream).unwrap_or_else(|error| peer.lost(&error));
            }
        }
        sections
    }

    /// Nothing went wrong: the others may end well, too.
    pub(crate) fn done(&self) {
        self.is_done.store(true, Ordering::Release);
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        if let Some(asking) = self.asking.take() {
            asking.thread().unpark();
            drop(asking.join());
        }
        let ask = if self.is_done.load(Ordering::Acquire) { Ask::Done } else { Ask::Failed };
        for peer in &self.shared.peers {
            // Who is gone by now need not be told.
            let _ = send(&peer.stream.lock(), &ask);
        }
    }
}

/// The state to begin with, as process 0 gives it.
pub(crate) fn begun(
    config: &ClusterConfig,
    stream: &TcpStream,
    core: &CoreConfig,
) -> Result<Tables, ClusterError> {
    let spread =
        Spread { index: config.index, processes: config.processes(), workers: config.workers };
    let leader = &config.hosts[0];
    take_over(stream, spread, core).map_err(|error| {
        ClusterError::Unavailable(format!(
            "process 0 ({leader}) did not hand over the state to begin with: {error}"
        ))
    })
}

/// Answers process 0 until it says that it is over.
pub(crate) fn followed(
    config: &ClusterConfig,
    stream: &TcpStream,
    (core, tables): (&CoreConfig, &Tables),
) -> Result<(), ClusterError> {
    let spread =
        Spread { index: config.index, processes: config.processes(), workers: config.workers };
    let leader = &config.hosts[0];
    let lost = |error: io::Error| -> ! { lost(0, leader, &error.to_string()) };
    loop {
        let ask = receive(stream, config.patience.silence_seconds);
        let answered = match ask.unwrap_or_else(|error| lost(error)) {
            Ask::Alive => send(stream, &true),
            Ask::Digest => send(stream, &Part::of(core, tables, spread)),
            Ask::Sections => send(stream, &replica(core, tables))
                .and_then(|()| send_sections(stream, tables, spread.owned())),
            Ask::Done => return Ok(()),
            Ask::Failed => {
                let why = format!("process 0 ({leader}) stopped for an error of its own");
                return Err(ClusterError::Unavailable(why));
            }
        };
        answered.unwrap_or_else(|error| lost(error));
    }
}
