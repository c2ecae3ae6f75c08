//! The registry of lineages: a chain of records that is folded, raced for, and found out when it is
//! not what was written.

#[path = "../../../dataflows/engine/tests/support/faulty_objects.rs"]
mod faulty_objects;
mod golden;
mod registry;
