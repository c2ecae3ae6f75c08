//! State on its way between processes: all of it from process 0 when a cluster goes on from a
//! snapshot, and each process's part back to it when one is taken.
//!
//! What travels are the sections of the snapshot format, one frame each. A process keeps the whole
//! of the shards that it owns, and of all others the items.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::Arc;

use eddyline_model::config::CoreConfig;
use eddyline_schemas::id::SHARDS;
use eddyline_schemas::snapshot::SnapshotGate;

use super::digests::Spread;
use super::frames::{receive, receive_bytes, send, send_bytes};
use crate::snapshot::gate_from;
use crate::state::Tables;
use crate::state::shard::ShardState;
use crate::wire::wire_struct;

/// Longest section: what a frame can be.
const MOST: usize = u32::MAX as usize;

/// Seconds of silence before a section: the snapshot may be a large one.
const SECONDS: u32 = 600;

/// Said by process 0 to each other before anything else.
#[derive(Clone, Debug, Default, PartialEq)]
struct Begin {
    /// Whether all sections follow.
    is_restored: bool,
    gains: Vec<f64>,
    examples: Vec<f64>,
}

wire_struct!(Begin { is_restored, gains, examples });

/// Gives the others the state to begin with; `None` is the empty one.
pub(super) fn hand_out(stream: &TcpStream, restored: Option<&Tables>) -> io::Result<()> {
    let Some(tables) = restored else { return send(stream, &Begin::default()) };
    let (gains, examples) = {
        let gate = tables.gate.read();
        let (gains, examples) = gate.parts();
        (gains.to_vec(), examples.to_vec())
    };
    send(stream, &Begin { is_restored: true, gains, examples })?;
    send_sections(stream, tables, 0..SHARDS)
}

/// Takes what [`hand_out`] gave.
pub(super) fn take_over(
    stream: &TcpStream,
    spread: Spread,
    core: &CoreConfig,
) -> io::Result<Tables> {
    let begin: Begin = receive(stream, SECONDS)?;
    let tables = Tables::new(core);
    if !begin.is_restored {
        return Ok(tables);
    }
    let gate = SnapshotGate { gains: begin.gains, examples: begin.examples };
    let gate = gate_from(core, &gate);
    *tables.gate.write() = gate.ok_or_else(|| invalid("the gate does not fit"))?;
    let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
    for shard in 0..SHARDS {
        let section = receive_bytes(stream, SECONDS, MOST)?;
        let state = ShardState::import(&section, core.factors.dim, &mut names).map_err(invalid)?;
        match spread.owns(shard) {
            true => tables.set_shard(shard, state),
            false => tables.set_items(shard, state),
        }
    }
    Ok(tables)
}

/// Process 0 itself keeps what it owns, and all items.
pub(super) fn keep_own(tables: &Tables, spread: Spread) {
    (0..SHARDS).filter(|&shard| !spread.owns(shard)).for_each(|shard| tables.clear_owned(shard));
}

/// Sends sections, in order.
pub(super) fn send_sections(
    stream: &TcpStream,
    tables: &Tables,
    shards: impl Iterator<Item = usize>,
) -> io::Result<()> {
    let mut section = Vec::new();
    for shard in shards {
        section.clear();
        tables.export_shard(shard, &mut section);
        send_bytes(stream, &section)?;
    }
    Ok(())
}

/// Receives the next section.
pub(super) fn receive_section(stream: &TcpStream) -> io::Result<Vec<u8>> {
    receive_bytes(stream, SECONDS, MOST)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
