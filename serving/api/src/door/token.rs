//! The consistency token: which log positions an ingest answer acknowledged.
//!
//! Opaque to callers, so that it may change; inside it is base64url (RFC 4648, no padding) of a
//! version byte, then for each partition, in ascending order, the topic byte, the partition and
//! the last appended offset as LEB128, then the first four bytes of BLAKE3 of all that. The check
//! bytes catch what was cut off or mistyped; a token grants nothing, so they need no secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eddyline_schemas::record::{Digest, Offset};
use eddyline_schemas::topic::{Topic, TopicPartition};

const VERSION: u8 = 1;
const CHECK_BYTES: usize = 4;
/// Longest text that is looked at: a batch touches at most a thousand partitions.
const MAX_TEXT_BYTES: usize = 32 * 1024;

/// Positions that an answer acknowledged: the last offset in each partition it touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsistencyToken {
    positions: Vec<(TopicPartition, Offset)>,
}

/// The text is no token of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a consistency token: send back the consistency_token of an ingest answer as it was")]
pub struct InvalidToken;

impl ConsistencyToken {
    /// Keeps the greatest offset of each partition.
    #[must_use]
    pub fn of(appended: impl IntoIterator<Item = (TopicPartition, Offset)>) -> Self {
        let mut positions: Vec<(TopicPartition, Offset)> = appended.into_iter().collect();
        positions.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        positions.dedup_by_key(|(partition, _)| *partition);
        Self { positions }
    }

    /// One position for each partition, ascending.
    #[must_use]
    pub fn positions(&self) -> &[(TopicPartition, Offset)] {
        &self.positions
    }

    /// Reads what its `Display` wrote.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(InvalidToken);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidToken)?;
        let (body, check) =
            bytes.split_at_checked(bytes.len().wrapping_sub(CHECK_BYTES)).ok_or(InvalidToken)?;
        if check != check_bytes(body) {
            return Err(InvalidToken);
        }
        let (&VERSION, mut rest) = body.split_first().ok_or(InvalidToken)? else {
            return Err(InvalidToken);
        };
        let mut positions = Vec::new();
        while let Some((&topic, after)) = rest.split_first() {
            rest = after;
            let topic = topic_of(topic).ok_or(InvalidToken)?;
            let partition = read_varint(&mut rest).ok_or(InvalidToken)?;
            let partition = u32::try_from(partition).map_err(|_| InvalidToken)?;
            let offset = read_varint(&mut rest).ok_or(InvalidToken)?;
            positions.push((TopicPartition { topic, partition }, offset));
        }
        Ok(Self { positions })
    }
}

impl std::fmt::Display for ConsistencyToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = vec![VERSION];
        for (at, offset) in &self.positions {
            bytes.push(topic_byte(at.topic));
            write_varint(&mut bytes, u64::from(at.partition));
            write_varint(&mut bytes, *offset);
        }
        let check = check_bytes(&bytes);
        bytes.extend_from_slice(&check);
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

fn check_bytes(body: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, ..] = Digest::of(body).0;
    [a, b, c, d]
}

fn topic_byte(topic: Topic) -> u8 {
    match topic {
        Topic::UserEvents => 0,
        Topic::Feedback => 1,
        Topic::ItemEvents => 2,
        Topic::Bindings => 3,
        Topic::Deltas => 4,
        Topic::Digests => 5,
    }
}

fn topic_of(byte: u8) -> Option<Topic> {
    [Topic::UserEvents, Topic::Feedback, Topic::ItemEvents]
        .into_iter()
        .find(|topic| topic_byte(*topic) == byte)
}

fn write_varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn read_varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        let part = u64::from(byte & 0x7f);
        number |= part.checked_shl(shift).filter(|moved| moved >> shift == part)?;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn at(topic: Topic, partition: u32) -> TopicPartition {
        TopicPartition { topic, partition }
    }

    #[test]
    fn the_last_offset_of_each_partition_is_kept() {
        let token = ConsistencyToken::of([
            (at(Topic::UserEvents, 1), 7),
            (at(Topic::Feedback, 0), 2),
            (at(Topic::UserEvents, 1), 9),
            (at(Topic::UserEvents, 1), 8),
        ]);
        let want = [(at(Topic::Feedback, 0), 2), (at(Topic::UserEvents, 1), 9)];
        assert_eq!(token.positions(), want);
        assert_eq!(ConsistencyToken::parse(&token.to_string()), Ok(token));
    }

    proptest! {
        #[test]
        fn tokens_round_trip(positions in proptest::collection::vec(
            (0_usize..3, any::<u32>(), any::<u64>()), 0..20)
        ) {
            let appended =
                positions.into_iter().map(|(topic, p, offset)| (at(Topic::INPUTS[topic], p), offset));
            let token = ConsistencyToken::of(appended);
            prop_assert_eq!(ConsistencyToken::parse(&token.to_string()), Ok(token));
        }

        #[test]
        fn any_other_text_is_refused(text in "\\PC{0,60}") {
            prop_assert_eq!(ConsistencyToken::parse(&text), Err(InvalidToken));
        }
    }
}
