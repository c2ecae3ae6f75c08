//! Records of `deltas.v1`: whatever is written is read again bit for bit, whatever was changed is
//! refused.

use std::sync::Arc;

use eddyline_schemas::codec::{
    EncodedRecord, InvalidDeltaRecord, RECORD_BYTES, decode_delta_record, decode_record_head,
    encode_partition,
};
use eddyline_schemas::delta::canonical::write_canonical;
use eddyline_schemas::delta::record::DeltaContent;
use eddyline_schemas::delta::{Delta, EpochDeltas};
use eddyline_schemas::features::{CovisitationList, DecayedSum, ItemPopularity, UserFeatures};
use eddyline_schemas::id::{ItemRef, UserId};

use crate::samples;

fn rows_of(epoch: &EpochDeltas) -> Vec<&Delta> {
    epoch.deltas.iter().collect()
}

fn encoded(epoch: &EpochDeltas) -> Vec<EncodedRecord> {
    encode_partition(epoch, (0, 1), &rows_of(epoch))
}

fn canonical(rows: &[Delta]) -> Vec<u8> {
    let mut bytes = Vec::new();
    rows.iter().for_each(|row| write_canonical(row, &mut bytes));
    bytes
}

fn read(records: &[EncodedRecord]) -> Vec<Delta> {
    let mut all = Vec::new();
    for record in records {
        let read = decode_delta_record(&record.key, &record.value).expect("it was just written");
        let DeltaContent::Rows { first_seq, rows } = read.content else { continue };
        assert_eq!(first_seq as usize, all.len(), "seq has no gap");
        assert!(rows.iter().all(|row| row.kind() == rows[0].kind()), "one kind in a record");
        all.extend(rows);
    }
    all
}

#[test]
fn every_kind_comes_back_bit_for_bit() {
    let [mut epoch, _] = samples::epochs();
    let odd = [f32::MIN_POSITIVE / 2.0, -0.0, f32::MAX, 1e-30, f32::from_bits(0x7fc0_1234)];
    let item = ItemRef(0xff00_0001);
    epoch.deltas.push(Delta::ItemVector { item, vector: Arc::from(odd) });
    // Proto3 leaves out what equals 0.
    let nothing = DecayedSum { mantissa: -0.0, exponent: 0 };
    let popularity = ItemPopularity { short: nothing, long: nothing, events: 0 };
    epoch.deltas.push(Delta::Popularity { item, popularity });
    let list = CovisitationList { total: -0.0, ..CovisitationList::default() };
    epoch.deltas.push(Delta::Covisitation { item, list: Arc::new(list) });
    let user = UserId::new("nobody").expect("a valid id");
    let features = UserFeatures { price_range: Some((-0.0, -0.0)), ..UserFeatures::default() };
    epoch.deltas.push(Delta::UserFeatures { user, features: Some(Arc::new(features)) });
    epoch.deltas.sort_by(Delta::cmp_key);
    assert_eq!(canonical(&read(&encoded(&epoch))), canonical(&epoch.deltas));
}

#[test]
fn runs_are_cut_by_size_and_a_large_row_stands_alone() {
    let [mut epoch, _] = samples::epochs();
    let row = |k: u32| Delta::ItemVector { item: ItemRef(k), vector: [0.5; 128].into() };
    epoch.deltas = (0..1_000).map(row).collect();
    let seen: Vec<ItemRef> = (0..100_000).map(ItemRef).collect();
    let features = UserFeatures { seen: seen.into(), ..UserFeatures::default() };
    let user = |id| UserId::new(id).expect("a valid id");
    let features = Some(Arc::new(features));
    for id in ["a", "b"] {
        epoch.deltas.push(Delta::UserFeatures { user: user(id), features: features.clone() });
    }
    let records = encoded(&epoch);
    let sizes: Vec<usize> = records.iter().map(|record| record.value.len()).collect();
    assert!(
        sizes[..sizes.len() - 3].iter().all(|bytes| *bytes < RECORD_BYTES + 8_192),
        "{sizes:?}"
    );
    assert_eq!(records.len(), 8 + 2 + 1, "runs of vectors, two long lists, the close: {sizes:?}");
    assert_eq!(canonical(&read(&records)), canonical(&epoch.deltas));
}

/// Any changed bit of a key or a value, and any cut, is refused before anything is made of it.
#[test]
fn every_changed_bit_and_every_cut_is_refused() {
    let [full, idle] = samples::epochs();
    let records = [encoded(&full), encoded(&idle)].concat();
    let mut flipped = 0;
    for EncodedRecord { key, value } in &records {
        let refused = |key: &[u8], value: &[u8]| {
            let whole = decode_delta_record(key, value).map(|_| ());
            assert_eq!(whole, Err(InvalidDeltaRecord::Damaged));
            let head = decode_record_head(key, value).map(|_| ());
            assert_eq!(head, Err(InvalidDeltaRecord::Damaged));
        };
        for bit in 0..8 * (key.len() + value.len()) {
            let (mut key, mut value) = (key.to_vec(), value.to_vec());
            let (byte, mask) = (bit / 8, 1 << (bit % 8));
            match byte.checked_sub(key.len()) {
                None => key[byte] ^= mask,
                Some(byte) => value[byte] ^= mask,
            }
            refused(&key, &value);
            flipped += 1;
        }
        (0..value.len()).for_each(|end| refused(key, &value[..end]));
        (0..key.len()).for_each(|end| refused(&key[..end], value));
    }
    assert!(flipped >= 10_000, "{flipped} bits");
}
