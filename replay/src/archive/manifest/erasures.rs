//! What a manifest says of erasures: of the files, and of those that it carries out.

use eddyline_schemas::id::IdHash;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::TopicPartition;
use serde::{Deserialize, Serialize};

use super::super::entry::ErasedRows;
use super::super::erase::{Erasure, Place, Request};
use super::{hex, sixteen, topic};

/// Rows of a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErasedJson {
    rows: u64,
    first_epoch: u64,
}

impl From<ErasedRows> for ErasedJson {
    fn from(of: ErasedRows) -> Self {
        Self { rows: of.rows, first_epoch: of.first_epoch.0 }
    }
}

impl TryFrom<ErasedJson> for ErasedRows {
    type Error = String;

    fn try_from(of: ErasedJson) -> Result<Self, String> {
        if of.rows == 0 {
            return Err("a file says that none of its rows was erased".to_owned());
        }
        Ok(Self { rows: of.rows, first_epoch: Epoch(of.first_epoch) })
    }
}

/// An erasure.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErasureJson {
    number: u64,
    user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<RequestJson>,
    until: u64,
    files: u64,
    rows: u64,
    requests: u64,
    first_epoch: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestJson {
    topic: String,
    partition: u32,
    offset: u64,
    epoch: u64,
    append_time: i64,
}

impl From<&Erasure> for ErasureJson {
    fn from(of: &Erasure) -> Self {
        let request = |request: &Request| RequestJson {
            topic: request.place.partition.topic.name().to_owned(),
            partition: request.place.partition.partition,
            offset: request.place.offset,
            epoch: request.place.epoch.0,
            append_time: request.append_time.0,
        };
        Self {
            number: of.number,
            user: hex(of.user.0),
            request: of.request.as_ref().map(request),
            until: of.until.0,
            files: of.files,
            rows: of.rows,
            requests: of.requests,
            first_epoch: of.first_epoch.0,
        }
    }
}

impl TryFrom<ErasureJson> for Erasure {
    type Error = String;

    fn try_from(of: ErasureJson) -> Result<Self, String> {
        let request = |of: RequestJson| {
            let partition = TopicPartition { topic: topic(&of.topic)?, partition: of.partition };
            let place = Place { epoch: Epoch(of.epoch), partition, offset: of.offset };
            Ok::<_, String>(Request { place, append_time: TimestampMs(of.append_time) })
        };
        Ok(Self {
            number: of.number,
            user: IdHash(sixteen(&of.user)?),
            request: of.request.map(request).transpose()?,
            until: Epoch(of.until),
            files: of.files,
            rows: of.rows,
            requests: of.requests,
            first_epoch: Epoch(of.first_epoch),
        })
    }
}
