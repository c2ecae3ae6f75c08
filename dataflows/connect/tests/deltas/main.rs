//! What a reader of deltas gives is what was published, or nothing: under any interleaving, after
//! restarts, beside writers that should be dead, and over every log.

mod assembling;
mod following;
mod histories;
mod refusing;
