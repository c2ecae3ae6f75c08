//! What lies in the value of a Fluvio record: Fluvio has no record headers, takes the producer's
//! clock for the time, and checks no checksum when it gives a record back.
//!
//! Durable, version 1: `EDL1`, 8 bytes of checksum, append time (i64, milliseconds), number of
//! headers (u16), each as name and value with their lengths before them (u32), then the event to
//! the end. Integers are little-endian. The checksum is the first 8 bytes of BLAKE3 over `EDL1`,
//! the length of the record's key (u32), the key, and everything behind the checksum. The key is
//! Fluvio's own, so that other tools see it; none stands for an empty one.

use bytes::Bytes;
use eddyline_schemas::record::Record;
use eddyline_schemas::time::TimestampMs;

use crate::log::Append;

const MAGIC: &[u8; 4] = b"EDL1";
const CHECKSUM_BYTES: usize = 8;
/// Where the append time begins.
const BODY: usize = MAGIC.len() + CHECKSUM_BYTES;
/// Bytes of a frame without headers and event.
pub(super) const FIXED_BYTES: usize = BODY + 8 + 2;
/// Bytes that each header adds to its name and value.
pub(super) const HEADER_BYTES: usize = 8;

/// Why a value is not a record of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("it was not written by eddyline")]
    Foreign,
    #[error("its checksum is wrong")]
    Checksum,
    #[error("its headers are cut off")]
    Headers,
}

/// The value of `append` as Fluvio keeps it.
pub(super) fn encode(append: &Append, append_time: TimestampMs) -> Vec<u8> {
    let bytes = FIXED_BYTES + append.headers.len() * HEADER_BYTES + append.payload_bytes();
    let mut frame = Vec::with_capacity(bytes);
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(&[0; CHECKSUM_BYTES]);
    frame.extend_from_slice(&append_time.0.to_le_bytes());
    frame.extend_from_slice(&(append.headers.len() as u16).to_le_bytes());
    for (name, value) in &append.headers {
        for part in [name.as_bytes(), value] {
            frame.extend_from_slice(&(part.len() as u32).to_le_bytes());
            frame.extend_from_slice(part);
        }
    }
    frame.extend_from_slice(&append.value);
    let checksum = checksum(&append.key, &frame[BODY..]);
    frame[MAGIC.len()..BODY].copy_from_slice(&checksum);
    frame
}

/// The record under `key` whose value is `frame`.
pub(super) fn decode(key: Bytes, frame: &Bytes) -> Result<Record, FrameError> {
    if frame.len() < FIXED_BYTES || frame[..MAGIC.len()] != MAGIC[..] {
        return Err(FrameError::Foreign);
    }
    let mut rest = frame.slice(BODY..);
    if frame[MAGIC.len()..BODY] != checksum(&key, &rest) {
        return Err(FrameError::Checksum);
    }
    let append_time = TimestampMs(i64::from_le_bytes(take(&mut rest)?));
    let count = u16::from_le_bytes(take(&mut rest)?);
    let mut headers = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let name = take_part(&mut rest)?;
        let name = String::from_utf8(name.into()).map_err(|_| FrameError::Headers)?;
        headers.push((name, take_part(&mut rest)?));
    }
    Ok(Record { append_time, key, value: rest, headers, erased: None })
}

fn take<const N: usize>(rest: &mut Bytes) -> Result<[u8; N], FrameError> {
    if rest.len() < N {
        return Err(FrameError::Headers);
    }
    let taken = rest.split_to(N);
    taken[..].try_into().map_err(|_| FrameError::Headers)
}

fn take_part(rest: &mut Bytes) -> Result<Bytes, FrameError> {
    let bytes = u32::from_le_bytes(take(rest)?) as usize;
    if rest.len() < bytes {
        return Err(FrameError::Headers);
    }
    Ok(rest.split_to(bytes))
}

fn checksum(key: &[u8], body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(MAGIC);
    hasher.update(&(key.len() as u32).to_le_bytes());
    hasher.update(key);
    hasher.update(body);
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
    checksum
}

#[cfg(test)]
mod tests {
    use eddyline_schemas::topic::{Topic, TopicPartition};

    use super::*;

    fn append(key: &[u8], value: &[u8], headers: &[(&str, &[u8])]) -> Append {
        let header =
            |(name, value): &(&str, &[u8])| ((*name).to_owned(), Bytes::copy_from_slice(value));
        Append {
            partition: TopicPartition { topic: Topic::UserEvents, partition: 0 },
            key: Bytes::copy_from_slice(key),
            value: Bytes::copy_from_slice(value),
            headers: headers.iter().map(header).collect(),
        }
    }

    #[test]
    fn records_come_back_as_they_were() {
        for one in [
            append(b"", b"", &[]),
            append(b"key", b"value", &[]),
            append(b"k", b"", &[("b", b"1"), ("a", b""), ("b", b"2"), ("größe", &[0, 0xff])]),
            append(b"", b"EDL1", &[("", b"")]),
        ] {
            for time in [TimestampMs(0), TimestampMs(-1), TimestampMs(1_700_000_000_123)] {
                let frame = Bytes::from(encode(&one, time));
                let got = decode(one.key.clone(), &frame).expect("it is a frame");
                assert_eq!((got.append_time, got.key), (time, one.key.clone()));
                assert_eq!((got.value, got.headers), (one.value.clone(), one.headers.clone()));
            }
        }
    }

    #[test]
    fn the_format_stays() {
        let frame = encode(&append(b"k", b"v", &[("h", b"x")]), TimestampMs(258));
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        let checksum = &hex[8..24];
        let body = "0201000000000000".to_owned() + "0100" + "0100000068" + "0100000078" + "76";
        assert_eq!(hex, format!("45444c31{checksum}{body}"));
        assert_eq!(checksum, "b797468605256bfa");
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let one = append(b"key", b"some value", &[("name", b"header"), ("", b"x")]);
        let frame = encode(&one, TimestampMs(1_700_000_000_123));
        let check = |key: &[u8], frame: &[u8], what: &str| {
            let got = decode(Bytes::copy_from_slice(key), &Bytes::copy_from_slice(frame));
            assert!(got.is_err(), "{what} went unnoticed");
        };
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            check(&one.key, &flipped, &format!("bit {bit}"));
        }
        for bit in 0..one.key.len() * 8 {
            let mut key = one.key.to_vec();
            key[bit / 8] ^= 1 << (bit % 8);
            check(&key, &frame, &format!("bit {bit} of the key"));
        }
        for length in 0..frame.len() {
            check(&one.key, &frame[..length], &format!("a cut to {length} bytes"));
        }
        let longer = [&frame[..], b"\0"].concat();
        check(&one.key, &longer, "one more byte");
        check(b"", &frame, "a lost key");
    }

    #[test]
    fn what_others_wrote_is_told_apart() {
        let got =
            decode(Bytes::new(), &Bytes::from_static(b"{\"user_id\":\"u\",\"more\":\"text\"}"));
        assert_eq!(got.expect_err("no frame"), FrameError::Foreign);
    }

    #[test]
    fn headers_that_overrun_are_refused_whatever_the_checksum_says() {
        let mut frame = encode(&append(b"", b"", &[("name", b"x")]), TimestampMs(1));
        for (at, wrong) in [(FIXED_BYTES, 0xff), (BODY + 8, 2)] {
            let before = std::mem::replace(&mut frame[at], wrong);
            let sum = checksum(b"", &frame[BODY..]);
            frame[MAGIC.len()..BODY].copy_from_slice(&sum);
            let got = decode(Bytes::new(), &Bytes::copy_from_slice(&frame));
            assert_eq!(got.expect_err("it overruns"), FrameError::Headers);
            frame[at] = before;
        }
    }
}
