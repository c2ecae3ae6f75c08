//! Laws of the formats: what is written can be read, what is wrong is refused with its place, and
//! no byte of version 1 ever changes.

mod arbitrary;
mod binding_fold;
mod cases;
mod decoder;
mod delta_records;
mod epoch_digests;
mod event_json;
mod golden;
mod json_schema;
mod requests;
mod samples;
mod snapshots;
mod stored;
mod timing;
