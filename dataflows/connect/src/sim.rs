//! A world that fails as told: the durable medium of a simulation and ports onto it.
//!
//! [`SimDisk`] is what survives a crash. A [`SimLog`] is one process's handle on it: every
//! operation asks the process's [`Injector`] what goes wrong, by a seeded draw: the process dies
//! before or after the effect, the reply is lost, the message is late, comes twice or in part, a
//! read sees an older end. The same seed fails the same way. Owns no protocol: it moves bytes.

mod dice;
mod disk;
mod injector;
mod log;

pub use dice::Dice;
pub use disk::SimDisk;
pub use injector::{Budget, Fault, FaultCounts, Injector, Operation};
pub use log::SimLog;
