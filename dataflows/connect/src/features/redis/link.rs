//! Connections to the masters of one server or cluster, and which of them owns a slot.
//!
//! Many commands for many slots go out in one write per node, to all nodes before the first reply
//! is read. Every call has a deadline that covers connecting, the slot map and the replies. The
//! crate's own blocking cluster client gives no such bound (it reconnects, sleeps and asks for the
//! slot map between retries) and its async one needs a runtime and one slot per pipeline.
//!
//! A connection that failed is dropped: a late reply must never be taken for another's. A command
//! whose slot has moved, or whose connection had been closed, is sent once more: all are idempotent;
//! `ASK`, while a slot is being moved, is an error like any other, and the caller repeats.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{
    Cmd, Connection, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult,
    ServerErrorKind, Value,
};

use crate::features::StoreShard;
use crate::features::shards::REDIS_SLOTS;

/// Where the servers are, and how to log in.
#[derive(Clone, Debug)]
pub(in crate::features) struct Servers {
    /// At least one.
    pub(in crate::features) seeds: Vec<ConnectionInfo>,
    /// Whether the slots are spread over several masters.
    pub(in crate::features) cluster: bool,
}

/// Host and port of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::features) struct Address {
    pub(in crate::features) host: String,
    pub(in crate::features) port: u16,
}

/// A command and the slot of its keys.
pub(super) struct Request {
    pub(super) shard: StoreShard,
    pub(super) command: Cmd,
}

/// See the module doc.
pub(super) struct Link {
    servers: Arc<Servers>,
    nodes: Vec<Node>,
    /// Index into `nodes` by slot; empty while unknown.
    owners: Vec<u16>,
    /// The slots may have other owners by now: ask before the next command.
    stale: bool,
}

struct Node {
    address: Address,
    connection: Option<Connection>,
}

/// The system counts the timeouts of a socket in ticks of its own (4 ms, mostly), and rounds up by
/// as many as two: asked for 20 ms it returns after 24 to 28. So it is asked for less.
const TIMEOUT_TICKS: Duration = Duration::from_millis(8);

/// An owner that no node is.
const NOBODY: u16 = u16::MAX;

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Servers {
    pub(in crate::features) fn seed_addresses(&self) -> Vec<Address> {
        self.seeds.iter().map(|seed| address_of(seed.addr())).collect()
    }
}

fn address_of(addr: &ConnectionAddr) -> Address {
    match addr {
        ConnectionAddr::Tcp(host, port) => Address { host: host.clone(), port: *port },
        other => unreachable!("only TCP passes the parser of URLs, got {other}"),
    }
}

fn left(deadline: Instant) -> RedisResult<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(timed_out()) } else { Ok(left) }
}

/// What a socket is told, so that it gives up when `deadline` comes and not behind it.
fn socket_timeout(deadline: Instant) -> RedisResult<Option<Duration>> {
    let least = Duration::from_millis(1);
    left(deadline).map(|left| Some(left.saturating_sub(TIMEOUT_TICKS).max(least)))
}

fn timed_out() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer within the time allowed").into()
}

impl Link {
    /// Without a connection yet.
    pub(super) fn new(servers: Arc<Servers>) -> Self {
        if servers.cluster {
            return Self { servers, nodes: Vec::new(), owners: Vec::new(), stale: true };
        }
        let address = address_of(servers.seeds[0].addr());
        let nodes = vec![Node { address, connection: None }];
        Self { servers, nodes, owners: vec![0; REDIS_SLOTS], stale: false }
    }

    /// Has a cluster asked for the owners of its slots before the next command.
    pub(super) fn doubt_owners(&mut self) {
        self.stale = self.servers.cluster;
    }

    /// The node that owns `shard`, as far as known without asking.
    pub(super) fn owner(&self, shard: StoreShard) -> Option<&Address> {
        let node = self.owners.get(usize::from(shard.0))?;
        self.nodes.get(usize::from(*node)).map(|node| &node.address)
    }

    /// Sends each request to the owner of its slot; the replies are in the order of the requests.
    pub(super) fn run(
        &mut self,
        requests: &[Request],
        deadline: Instant,
    ) -> Vec<RedisResult<Value>> {
        let mut replies: Vec<RedisResult<Value>> =
            requests.iter().map(|_| Err(timed_out())).collect();
        let mut open: Vec<usize> = (0..requests.len()).collect();
        for last in [false, true] {
            if let Err(error) = self.know_owners(deadline) {
                open.iter().for_each(|at| replies[*at] = Err(error.clone()));
                return replies;
            }
            self.exchange(requests, &open, deadline, &mut replies);
            open.retain(|at| replies[*at].as_ref().is_err_and(is_worth_another_try));
            if open.is_empty() || last {
                return replies;
            }
            self.doubt_owners();
        }
        replies
    }

    /// Sends `command` to every master.
    pub(super) fn each_node(
        &mut self,
        command: &Cmd,
        deadline: Instant,
    ) -> RedisResult<Vec<(Address, Value)>> {
        self.know_owners(deadline)?;
        let mut bytes = Vec::new();
        command.write_packed_command(&mut bytes);
        let mut replies = Vec::new();
        for at in 0..self.nodes.len() {
            let reply = self.send(at, &bytes, deadline).and_then(|()| self.receive(at, deadline));
            replies.push((self.nodes[at].address.clone(), self.settle(at, reply)?));
        }
        Ok(replies)
    }

    fn exchange(
        &mut self,
        requests: &[Request],
        open: &[usize],
        deadline: Instant,
        replies: &mut [RedisResult<Value>],
    ) {
        let mut by_node: Vec<(Vec<usize>, Vec<u8>)> = Vec::new();
        by_node.resize_with(self.nodes.len(), Default::default);
        for &at in open {
            let owner = self.owners[usize::from(requests[at].shard.0)];
            if let Some((indices, bytes)) = by_node.get_mut(usize::from(owner)) {
                indices.push(at);
                requests[at].command.write_packed_command(bytes);
            } else {
                replies[at] = Err((ErrorKind::ClusterConnectionNotFound, "slot not served").into());
            }
        }
        let mut sent = Vec::new();
        for (node, (indices, bytes)) in by_node.iter().enumerate() {
            if !indices.is_empty() {
                let outcome = self.send(node, bytes, deadline);
                sent.push((node, indices, self.settle(node, outcome)));
            }
        }
        for (node, indices, outcome) in sent {
            let mut broken = outcome.err();
            for &at in indices {
                replies[at] = match &broken {
                    Some(error) => Err(error.clone()),
                    None => {
                        let reply = self.receive(node, deadline);
                        self.settle(node, reply)
                    }
                };
                if self.nodes[node].connection.is_none() && broken.is_none() {
                    broken = replies[at].as_ref().err().cloned();
                }
            }
        }
    }

    fn send(&mut self, node: usize, bytes: &[u8], deadline: Instant) -> RedisResult<()> {
        let node = &mut self.nodes[node];
        let connection = match &mut node.connection {
            Some(connection) => connection,
            None => node.connection.insert(connect(&self.servers, &node.address, deadline)?),
        };
        connection.set_write_timeout(socket_timeout(deadline)?)?;
        connection.send_packed_command(bytes)?;
        connection.set_read_timeout(socket_timeout(deadline)?)
    }

    /// The next reply of a node that was [sent](Self::send) something.
    fn receive(&mut self, node: usize, deadline: Instant) -> RedisResult<Value> {
        left(deadline)?;
        let Some(connection) = &mut self.nodes[node].connection else { return Err(timed_out()) };
        connection.recv_response()?.extract_error()
    }

    /// Drops the connection unless the outcome is a reply, be it an error of the server.
    fn settle<T>(&mut self, node: usize, outcome: RedisResult<T>) -> RedisResult<T> {
        if let Err(error) = &outcome
            && !is_reply(error)
        {
            self.nodes[node].connection = None;
            self.doubt_owners();
        }
        outcome
    }

    fn know_owners(&mut self, deadline: Instant) -> RedisResult<()> {
        if self.stale { self.ask_for_owners(deadline) } else { Ok(()) }
    }

    /// Asks the nodes that were known, then the seeds; one that is dead gets half of the time left.
    fn ask_for_owners(&mut self, deadline: Instant) -> RedisResult<()> {
        let mut known: Vec<Node> = std::mem::take(&mut self.nodes);
        // Living connections first.
        known.sort_by_key(|node| node.connection.is_none());
        for address in self.servers.seed_addresses() {
            if known.iter().all(|node| node.address != address) {
                known.push(Node { address, connection: None });
            }
        }
        let mut failure = timed_out();
        for at in 0..known.len() {
            let Ok(left) = left(deadline) else { break };
            match ask_slots(&self.servers, &mut known[at], Instant::now() + left / 2) {
                Ok(ranges) => {
                    self.adopt(ranges, known);
                    return Ok(());
                }
                Err(error) => {
                    known[at].connection = None;
                    failure = error;
                }
            }
        }
        self.nodes = known;
        Err(failure)
    }

    fn adopt(&mut self, ranges: Vec<(usize, usize, Address)>, mut known: Vec<Node>) {
        self.owners = vec![NOBODY; REDIS_SLOTS];
        self.stale = false;
        for (first, last, address) in ranges {
            let at = self.nodes.iter().position(|node| node.address == address);
            let at = at.unwrap_or_else(|| {
                let connection = known
                    .iter_mut()
                    .find(|node| node.address == address)
                    .and_then(|node| node.connection.take());
                self.nodes.push(Node { address, connection });
                self.nodes.len() - 1
            });
            for owner in self.owners.iter_mut().take(last + 1).skip(first) {
                *owner = at as u16;
            }
        }
    }
}

fn connect(servers: &Servers, address: &Address, deadline: Instant) -> RedisResult<Connection> {
    let addr = ConnectionAddr::Tcp(address.host.clone(), address.port);
    let info = servers.seeds[0].clone().set_addr(addr);
    redis::Client::open(info)?.get_connection_with_timeout(left(deadline)?)
}

/// First slot, last slot and master of each range.
fn ask_slots(
    servers: &Servers,
    node: &mut Node,
    deadline: Instant,
) -> RedisResult<Vec<(usize, usize, Address)>> {
    let connection = match &mut node.connection {
        Some(connection) => connection,
        None => node.connection.insert(connect(servers, &node.address, deadline)?),
    };
    connection.set_write_timeout(socket_timeout(deadline)?)?;
    connection.set_read_timeout(socket_timeout(deadline)?)?;
    let Value::Array(ranges) = redis::cmd("CLUSTER").arg("SLOTS").query(connection)? else {
        return Err(unexpected("CLUSTER SLOTS"));
    };
    let read = |range: Value| read_range(range, &node.address.host);
    let ranges: Option<Vec<_>> = ranges.into_iter().map(read).collect();
    ranges.filter(|ranges| !ranges.is_empty()).ok_or_else(|| unexpected("CLUSTER SLOTS"))
}

/// A node without a name of its own is reached as the one that was asked.
fn read_range(range: Value, asked: &str) -> Option<(usize, usize, Address)> {
    let Value::Array(fields) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = fields.as_slice() else {
        return None;
    };
    let [host, Value::Int(port), ..] = master.as_slice() else { return None };
    let host = match host {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok()?,
        _ => String::new(),
    };
    let host = if host.is_empty() || host == "?" { asked.to_owned() } else { host };
    let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
    let port = u16::try_from(*port).ok()?;
    (last < REDIS_SLOTS).then_some((first, last, Address { host, port }))
}

pub(super) fn unexpected(of: &'static str) -> RedisError {
    (ErrorKind::UnexpectedReturnType, "unexpected reply", of.to_owned()).into()
}

/// Whether the server answered, so that the connection is still in step.
pub(in crate::features) fn is_reply(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// The slot has another owner, or the connection had been closed while it was idle. Never a
/// timeout: the time is spent.
fn is_worth_another_try(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::Moved | ServerErrorKind::ReadOnly | ServerErrorKind::ClusterDown
        ),
        ErrorKind::Io => !error.is_timeout(),
        _ => false,
    }
}
