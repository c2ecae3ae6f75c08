//! A log archived whole: the smallest archiver, for tests.

use std::collections::BTreeMap;

use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_connect::objects::ObjectStore;
use eddyline_replay::archive::{
    ArchivedRow, Built, Catalogue, Change, FileBuilder, LEVEL, Nonce, TopicAdvance,
};
use eddyline_schemas::binding::{Accepted, BindingFold};
use eddyline_schemas::codec::decode_binding;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::topic::{Topic, TopicPartition};

pub(crate) const BINDINGS: TopicPartition = TopicPartition { topic: Topic::Bindings, partition: 0 };

/// Rows of every partition by the number of the commit that takes them.
pub(crate) type Rows = BTreeMap<TopicPartition, Vec<(u64, ArchivedRow)>>;

/// The records of a range. A log with holes may give what lies behind it, too.
fn records(
    log: &dyn EventLog,
    at: TopicPartition,
    from: Offset,
    to: Offset,
) -> Vec<(Offset, Record)> {
    let limit = ReadLimit { records: (to - from) as usize, bytes: usize::MAX };
    let mut records = log.read(at, from, limit).expect("memory can be read").records;
    records.retain(|(offset, _)| *offset < to);
    records
}

/// Everything that is bound, `epochs` of them to a commit.
pub(crate) fn bound_rows(log: &dyn EventLog, epochs: u64) -> (Rows, Epoch) {
    let mut fold = BindingFold::default();
    let mut rows = Rows::new();
    let end = log.end_offset(BINDINGS).expect("memory can be read");
    for (offset, record) in records(log, BINDINGS, 0, end) {
        let said = decode_binding(&record.value).expect("a writer wrote it");
        let accepted = fold.step(said, &record.value).expect("no range breaks");
        let (epoch, commit) = (fold.epoch(), fold.epoch().0.saturating_sub(1) / epochs);
        rows.entry(BINDINGS).or_default().push((commit, ArchivedRow::new(offset, epoch, record)));
        let Ok(Accepted::Binding(binding)) = accepted else { continue };
        for range in &binding.ranges {
            let of_range = records(log, range.partition, range.start, range.end);
            let row = |(offset, record)| (commit, ArchivedRow::new(offset, epoch, record));
            rows.entry(range.partition).or_default().extend(of_range.into_iter().map(row));
        }
    }
    (rows, fold.epoch())
}

/// Builds and stores a file of these rows.
pub(crate) fn stored(
    store: &dyn ObjectStore,
    catalogue: &Catalogue,
    at: TopicPartition,
    rows: impl IntoIterator<Item = ArchivedRow>,
) -> Built {
    let chain = catalogue.position(at).unwrap_or_default().chain;
    let mut builder = FileBuilder::new(at, chain, LEVEL).expect("the schema is right");
    rows.into_iter().for_each(|row| builder.push(row).expect("rows are in order"));
    let built = builder.finish().expect("there are rows");
    store.put_if_absent(&built.name, built.bytes.clone()).expect("memory can be written");
    built
}

/// Archives all of `rows`, one commit after the other.
pub(crate) fn archive_rows(
    log: &dyn EventLog,
    store: &dyn ObjectStore,
    (rows, last): (Rows, Epoch),
    epochs: u64,
) -> Catalogue {
    let mut catalogue = Catalogue::open(store).expect("the archive is whole");
    for commit in 0..last.0.div_ceil(epochs) {
        let mut change = Change {
            epoch: Epoch(((commit + 1) * epochs).min(last.0)),
            topics: advances(log, &rows, commit),
            ..Change::default()
        };
        for (at, rows) in &rows {
            let of_commit: Vec<_> =
                rows.iter().filter(|(of, _)| *of == commit).map(|(_, row)| row.clone()).collect();
            if !of_commit.is_empty() {
                change.added.push(stored(store, &catalogue, *at, of_commit).entry);
            }
        }
        let nonce = Nonce((commit as u128).to_le_bytes());
        catalogue.commit(store, change, nonce).expect("nobody else writes");
    }
    catalogue
}

fn advances(log: &dyn EventLog, rows: &Rows, commit: u64) -> Vec<TopicAdvance> {
    let next = |at: TopicPartition| {
        let until = rows.get(&at).into_iter().flatten().filter(|(of, _)| *of <= commit);
        until.last().map_or(0, |(_, row)| row.offset + 1)
    };
    let advance = |topic: Topic| TopicAdvance {
        topic,
        id: log.topic_id(topic),
        next: (0..log.partitions(topic))
            .map(|partition| next(TopicPartition { topic, partition }))
            .collect(),
    };
    let topics = [Topic::Bindings, Topic::Feedback, Topic::ItemEvents, Topic::UserEvents];
    topics.map(advance).into()
}

/// Archives everything that is bound on a log, `epochs` of them to a commit.
pub(crate) fn archived(log: &dyn EventLog, store: &dyn ObjectStore, epochs: u64) -> Catalogue {
    archive_rows(log, store, bound_rows(log, epochs), epochs)
}
