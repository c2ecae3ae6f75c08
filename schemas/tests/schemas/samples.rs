//! One of each binding record and delta, with every member set.

use std::sync::Arc;

use eddyline_schemas::binding::{
    Binding, BindingFold, BindingRecord, BoundRange, Control, ControlAction, Fence, FoldState,
    Term, WriterId, chain_hash,
};
use eddyline_schemas::codec::encode_binding;
use eddyline_schemas::delta::placement::chain_after;
use eddyline_schemas::delta::{Delta, EpochDeltas, PipelineCounts};
use eddyline_schemas::features::{
    CovisitationList, DecayedSum, ItemPopularity, SessionContext, UserFeatures, UserPreferences,
};
use eddyline_schemas::id::{IdHash, ItemId, ItemRef, SessionId, UserId};
use eddyline_schemas::item::ItemDocument;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::{Digest, Offset};
use eddyline_schemas::snapshot::{
    LogPosition, PartitionPosition, SnapshotGate, SnapshotManifest, SnapshotPart,
};
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};

const TERM: Term = Term(3);
const WRITER: WriterId = WriterId([0xab; 16]);

fn range(topic: Topic, partition: u32, start: Offset, end: Offset) -> BoundRange {
    BoundRange {
        partition: TopicPartition { topic, partition },
        topic_id: [topic.name().len() as u8; 16],
        start,
        end,
        count: end - start,
        digest: Digest::of(&end.to_le_bytes()),
    }
}

fn control(epoch: Epoch, prev_hash: Digest, action: ControlAction) -> BindingRecord {
    BindingRecord::Control(Control { term: TERM, writer: WRITER, epoch, prev_hash, action })
}

fn binding(epoch: Epoch, prev_hash: Digest, ranges: Vec<BoundRange>) -> BindingRecord {
    let logical_time = TimestampMs(1_772_366_400_000);
    let (term, writer) = (TERM, WRITER);
    BindingRecord::Binding(Binding { term, writer, epoch, prev_hash, logical_time, ranges })
}

/// An accepted history, one record of each kind at least.
pub(crate) fn bindings() -> Vec<(&'static str, BindingRecord)> {
    let skip = ControlAction::Skip {
        partition: TopicPartition { topic: Topic::Feedback, partition: 1 },
        offset: 300,
    };
    let erasure = ControlAction::Erasure { user: IdHash::of("u42") };
    let first = vec![
        range(Topic::Feedback, 0, 0, 0),
        range(Topic::ItemEvents, 0, 0, 200),
        range(Topic::UserEvents, 0, 0, 1),
        range(Topic::UserEvents, 10, 0, 70_000),
    ];
    type Make = Box<dyn Fn(Digest) -> BindingRecord>;
    let steps: Vec<(&'static str, Make)> = vec![
        ("fence", Box::new(|_| BindingRecord::Fence(Fence { term: TERM, writer: WRITER }))),
        ("binding", Box::new(move |hash| binding(Epoch(1), hash, first.clone()))),
        ("snapshot", Box::new(|hash| control(Epoch(2), hash, ControlAction::Snapshot))),
        ("skip", Box::new(move |hash| control(Epoch(2), hash, skip.clone()))),
        ("erasure", Box::new(move |hash| control(Epoch(2), hash, erasure.clone()))),
        (
            "second binding",
            Box::new(|hash| binding(Epoch(2), hash, vec![range(Topic::UserEvents, 0, 1, 9)])),
        ),
    ];
    let mut chain = Digest::default();
    let extend = |(name, make): (&'static str, Make)| {
        let record = make(chain);
        chain = chain_hash(chain, &encode_binding(&record));
        (name, record)
    };
    steps.into_iter().map(extend).collect()
}

fn item_id() -> ItemId {
    ItemId::new("sku-1").expect("a valid id")
}

fn user_id() -> UserId {
    UserId::new("u42").expect("a valid id")
}

const ITEM: ItemRef = ItemRef(0x2a00_0007);

fn document() -> ItemDocument {
    let attributes = [("colour", "blue"), ("size", "42")];
    ItemDocument {
        title: Some("Trail shoe".into()),
        categories: vec!["Sports > Running".into(), "Shoes".into()],
        brand: Some("Eddy".into()),
        tags: vec!["new".into()],
        price: Some(89.5),
        currency: Some("EUR".into()),
        in_stock: Some(false),
        attributes: attributes.map(|(name, value)| (name.into(), value.into())).into(),
    }
}

fn features() -> UserFeatures {
    UserFeatures {
        recent_views: vec![ITEM, ItemRef(1)],
        history: vec![ITEM],
        history_length: 400,
        seen: Arc::from([ItemRef(1), ITEM]),
        disliked: Arc::from([ItemRef(9)]),
        recent_searches: vec!["blue shoes".into()],
        session: Some(SessionContext {
            session_id: Some(SessionId::new("s9").expect("a valid id")),
            session_start: TimestampMs(1_772_366_000_000),
            last_event: TimestampMs(1_772_366_400_000),
            page_views_in_session: 4,
            current_category: Some(Arc::from("Shoes")),
        }),
        demographics: [("age_group".to_owned(), "25-34".to_owned())].into(),
        price_range: Some((9.5, 89.5)),
        last_updated: TimestampMs(1_772_366_400_000),
        expires_at: TimestampMs(1_772_452_800_000),
    }
}

fn sum(mantissa: f64, exponent: i64) -> DecayedSum {
    DecayedSum { mantissa, exponent }
}

/// Deltas in their order.
pub(crate) fn deltas() -> Vec<(&'static str, Delta)> {
    let (item, user, first_seen) = (ITEM, user_id(), (Epoch(7), 12));
    let bare = Delta::Item {
        item: ItemRef(5),
        id: item_id(),
        document: None,
        first_seen: (Epoch(1), 0),
        deleted: true,
    };
    let document = Some(Arc::new(document()));
    let popularity = ItemPopularity { short: sum(1.25, 20_513), long: sum(-0.5, -3), events: 9 };
    let list = Arc::new(CovisitationList {
        neighbours: vec![(ItemRef(3), 1.5), (ItemRef(2), 0.25)],
        total: 2.0,
        exponent: 20_513,
    });
    let preferences = Arc::new(UserPreferences {
        categories: vec![(Arc::from("Shoes"), 3), (Arc::from("Bags"), 1)],
        brands: vec![(Arc::from("Eddy"), 4)],
    });
    let row: Arc<[f32]> = Arc::from([0.5, -0.0, 1e-30]);
    vec![
        ("item known from events", bare),
        ("item", Delta::Item { item, id: item_id(), document, first_seen, deleted: false }),
        ("item vector", Delta::ItemVector { item, vector: row.clone() }),
        ("item context", Delta::ItemContext { item, context: row.clone() }),
        ("popularity", Delta::Popularity { item, popularity }),
        ("covisitation", Delta::Covisitation { item, list }),
        ("erased user vector", Delta::UserVector { user: anonymous(), vector: None }),
        ("user vector", Delta::UserVector { user: user.clone(), vector: Some(row) }),
        ("erased user features", Delta::UserFeatures { user: anonymous(), features: None }),
        (
            "user features",
            Delta::UserFeatures { user: user.clone(), features: Some(Arc::new(features())) },
        ),
        ("user preferences", Delta::UserPreferences { user, preferences }),
        ("gate", Delta::Gate { values: Arc::from([0.25, 0.75]) }),
    ]
}

/// Epoch 41 with one delta of each kind, and an idle one behind it.
pub(crate) fn epochs() -> [EpochDeltas; 2] {
    let full = deltas().into_iter().map(|(_, delta)| delta).collect();
    let full = epoch(41, Digest::default(), full);
    let idle = epoch(42, full.chain, Vec::new());
    [full, idle]
}

fn epoch(number: u64, previous: Digest, deltas: Vec<Delta>) -> EpochDeltas {
    let (epoch, logical_time) = (Epoch(number), TimestampMs(1_772_366_400_000));
    let chain = chain_after(previous, epoch, logical_time, &deltas);
    let counts =
        PipelineCounts { accepted: 300, applied: 250, duplicate: 20, late: 19, dead_letter: 11 };
    let lineage = Lineage::root(Digest::of(b"sample"));
    EpochDeltas { lineage, epoch, logical_time, deltas, chain, counts }
}

fn anonymous() -> UserId {
    UserId::new("a-7").expect("a valid id")
}

/// A manifest with every member set, over two parts.
pub(crate) fn manifest() -> SnapshotManifest {
    let (items, users) = (
        TopicPartition { topic: Topic::ItemEvents, partition: 0 },
        TopicPartition { topic: Topic::UserEvents, partition: 11 },
    );
    let known = |clock| PartitionPosition { topic_id: [7; 16], clock };
    let part = |epoch, shards: std::ops::RangeInclusive<u8>| SnapshotPart {
        epoch: Epoch(epoch),
        digest: Digest::of(&[*shards.start()]),
        size: 70_000,
        shards: shards.collect(),
    };
    SnapshotManifest {
        lineage: Lineage::root(Digest::of(b"core")),
        epoch: Epoch(4_096),
        algorithm_version: 1,
        core_config: Digest::of(b"core"),
        state_digest: Digest::of(b"state"),
        delta_digest: Digest::of(b"deltas"),
        logical_time: TimestampMs(1_772_366_400_000),
        counts: PipelineCounts { accepted: 15, applied: 8, duplicate: 4, late: 2, dead_letter: 1 },
        gate: SnapshotGate { gains: vec![0.5, -0.0, 3.25], examples: vec![1.0, 0.0] },
        parts: vec![part(4_000, 0..=127), part(4_096, 128..=255)],
        position: LogPosition {
            fold: BindingFold::from(FoldState {
                term: TERM,
                writer: WRITER,
                epoch: Epoch(4_096),
                chain: Digest::of(b"chain"),
                logical_time: TimestampMs(1_772_366_400_000),
                bound: [(items, 0), (users, 70_000)].into(),
            }),
            next_binding: 4_100,
            partitions: [(items, known(None)), (users, known(Some(TimestampMs(-5))))].into(),
            skipped: [(users, 70_001)].into(),
        },
    }
}

/// Sections of a part.
pub(crate) fn sections() -> [(u8, &'static [u8]); 3] {
    [(0, b"a section"), (1, b""), (9, b"another section")]
}
