//! Bytes of events, bindings, deltas, snapshots and stored documents: the `eddyline.v1` protobuf
//! messages of `proto/`.
//!
//! Encoding is deterministic: fields in the order of their numbers, map entries by key, so equal
//! values are equal bytes. Decoding trusts nothing: an event passes the one validator of
//! [`crate::decode`], a binding must be byte for byte what this version would write. The generated
//! types stay private here.

mod binding;
mod delta;
mod delta_record;
mod epoch_digest;
mod event;
mod event_json;
mod features;
mod part;
mod snapshot;
mod stored;

pub use binding::{InvalidBinding, decode_binding, encode_binding};
pub use delta::{InvalidDelta, decode_delta, encode_delta};
pub use delta_record::{
    EncodedRecord, InvalidDeltaRecord, RECORD_BYTES, RecordHead, decode_delta_record,
    decode_record_head, encode_partition,
};
pub use epoch_digest::{InvalidEpochDigest, decode_epoch_digest, encode_epoch_digest};
pub use event::{decode_event, encode_event};
pub(crate) use event::{draft_of, encode_without_id};
pub use event_json::event_json;
pub use features::{decode_user_features, encode_user_features};
pub use part::{InvalidPart, PartHeader, PartSection, decode_part, encode_part_header};
pub use snapshot::{InvalidManifest, decode_manifest, encode_manifest};
pub use stored::{StoredEncoding, decode_stored, encode_stored};

#[expect(unreachable_pub, reason = "generated code, private to the crate")]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/eddyline.v1.rs"));
}
