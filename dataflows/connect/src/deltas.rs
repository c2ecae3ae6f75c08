//! The topic `deltas.v1` over the port of the log: who writes it, and who follows it.
//!
//! The format and its promises: [`eddyline_schemas::delta::record`]. The dataflow publishes with
//! [`DeltaPublisher`]; a serving replica follows with [`DeltaReader`], whose judgement is the pure
//! [`Assembler`]. What holds (I6): a reader gives whole epochs, in order, once, each equal to what
//! was published and chained to the one before; or it stops and says why.

mod assembler;
mod error;
mod pending;
mod publisher;
mod reader;
mod tail;

pub use assembler::{Assembler, LOOKAHEAD, Position, Tallies};
pub use error::DeltaError;
pub use publisher::{DeltaPublisher, Published, batch_of};
pub use reader::DeltaReader;

use eddyline_schemas::topic::{Topic, TopicPartition};

/// A partition of the topic.
fn deltas(partition: u32) -> TopicPartition {
    TopicPartition { topic: Topic::Deltas, partition }
}
