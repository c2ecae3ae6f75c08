//! Recorded digests: fixed bytes, and nothing else is taken for them.

use eddyline_schemas::codec::{decode_epoch_digest, encode_epoch_digest};
use eddyline_schemas::delta::digest::{EpochDigest, chain_and_shards};
use eddyline_schemas::delta::{EpochDeltas, PipelineCounts};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::TimestampMs;

use crate::golden::{hex, hold, lines_of, unhex};
use crate::samples;

fn sample() -> EpochDigest {
    let deltas = samples::deltas().into_iter().map(|(_, delta)| delta).collect::<Vec<_>>();
    let (epoch, logical_time) = (Epoch(4_711), TimestampMs(1_772_366_400_000));
    let (chain, shards) = chain_and_shards(Digest::of(b"before"), epoch, logical_time, &deltas);
    let counts =
        PipelineCounts { accepted: 100, applied: 93, duplicate: 4, late: 2, dead_letter: 1 };
    let lineage = Lineage(Digest::of(b"lineage"));
    EpochDigest::of(&EpochDeltas { lineage, epoch, logical_time, deltas, chain, counts }, shards)
}

#[test]
fn recorded_digests() {
    hold("epoch_digests.golden", &[format!("digest\t{}", hex(&encode_epoch_digest(&sample())))]);
}

#[test]
fn old_bytes_of_recorded_digests_can_be_read() {
    let golden = include_str!("../../golden/v1/epoch_digests.golden");
    let line = lines_of(golden).next().expect("one line");
    assert_eq!(decode_epoch_digest(&unhex(line[1])), Ok(sample()));
}

#[test]
fn other_bytes_are_refused_or_other_digests() {
    let bytes = encode_epoch_digest(&sample());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read = decode_epoch_digest(&flipped);
        assert_ne!(read, Ok(sample()), "bit {bit}");
        if let Ok(read) = read {
            assert_eq!(encode_epoch_digest(&read), flipped, "only canonical bytes are read");
        }
    }
    for length in 0..bytes.len() {
        assert_ne!(decode_epoch_digest(&bytes[..length]), Ok(sample()), "cut to {length}");
    }
}
