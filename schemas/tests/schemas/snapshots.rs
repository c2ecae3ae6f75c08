//! Manifests and parts of snapshots: fixed bytes, and nothing that was changed is taken for them.

use eddyline_schemas::codec::{
    InvalidManifest, InvalidPart, decode_manifest, decode_part, encode_manifest, encode_part_header,
};
use eddyline_schemas::record::Digest;

use crate::golden::{hex, hold, lines_of, unhex};
use crate::samples;

fn part() -> (Vec<u8>, Digest) {
    let entry = |(shard, section): (u8, &[u8])| (shard, section.len() as u64, Digest::of(section));
    let header = encode_part_header(&samples::sections().map(entry));
    let mut part = header.bytes;
    samples::sections().iter().for_each(|(_, section)| part.extend_from_slice(section));
    (part, header.digest)
}

/// The part, read whole.
fn read(part: &[u8], digest: Digest) -> Result<Vec<(u8, Vec<u8>)>, InvalidPart> {
    let sections = decode_part(part, digest)?;
    let read = |section: &eddyline_schemas::codec::PartSection| {
        Ok((section.shard, section.bytes_of(part)?.to_vec()))
    };
    sections.iter().map(read).collect()
}

#[test]
fn snapshots() {
    let (part, digest) = part();
    let manifest = format!("manifest\t{}", hex(&encode_manifest(&samples::manifest())));
    hold("snapshots.golden", &[manifest, format!("part\t{}\t{digest}", hex(&part))]);
}

#[test]
fn old_bytes_of_snapshots_can_be_read() {
    let golden = include_str!("../../golden/v1/snapshots.golden");
    let lines: Vec<Vec<&str>> = lines_of(golden).collect();
    assert_eq!(decode_manifest(&unhex(lines[0][1])), Ok(samples::manifest()));
    let digest = Digest::from_hex(lines[1][2]).expect("a digest");
    let sections = read(&unhex(lines[1][1]), digest).expect("version 2 can be read");
    let want = samples::sections().map(|(shard, section)| (shard, section.to_vec()));
    assert_eq!(sections, want);
}

#[test]
fn every_changed_bit_and_every_cut_is_noticed() {
    let manifest = encode_manifest(&samples::manifest());
    let (part, digest) = part();
    for bit in 0..manifest.len() * 8 {
        let mut flipped = manifest.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_manifest(&flipped).is_err(), "bit {bit} of the manifest");
    }
    for bit in 0..part.len() * 8 {
        let mut flipped = part.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&flipped, digest).is_err(), "bit {bit} of the part");
    }
    for length in 0..manifest.len() {
        assert!(decode_manifest(&manifest[..length]).is_err(), "manifest cut to {length}");
    }
    for length in 0..part.len() {
        assert!(read(&part[..length], digest).is_err(), "part cut to {length}");
    }
    assert!(decode_manifest(&[&manifest[..], b"x"].concat()).is_err());
    assert!(read(&[&part[..], b"x"].concat(), digest).is_err());
}

/// A checksum proves that nothing was changed, not that it was written rightly.
#[test]
fn what_is_sound_and_senseless_is_refused() {
    let mut manifest = samples::manifest();
    manifest.parts[0].shards.reverse();
    assert_eq!(decode_manifest(&encode_manifest(&manifest)), Ok(manifest), "that is the store's");
    let body = [0x0a, 0x01, 0xff];
    let bytes = [&b"EDYSNAP\x01"[..], &Digest::of(&body).0, &body].concat();
    assert!(matches!(decode_manifest(&bytes), Err(InvalidManifest::Missing(_))));
    assert_eq!(decode_manifest(b"EDYSNAP\x02"), Err(InvalidManifest::Magic));
    let entry = |shard: u8| (shard, u64::MAX, Digest::default());
    let header = encode_part_header(&[entry(1), entry(2)]);
    assert!(matches!(read(&header.bytes, header.digest), Err(InvalidPart::Length { .. })));
    let entry = |shard: u8| (shard, 0, Digest::of(b""));
    let header = encode_part_header(&[entry(2), entry(2)]);
    assert_eq!(read(&header.bytes, header.digest), Err(InvalidPart::Order));
}
