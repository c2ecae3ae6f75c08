//! Round trips of everything that crosses processes: the same bits come out, and bytes that are no
//! wire form are refused without a panic.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use eddyline_model::philox::{Draws, Purpose, RecordKey};
use eddyline_schemas::delta::Delta;
use eddyline_schemas::event::{Event, EventType, IdOrigin};
use eddyline_schemas::features::{
    CovisitationList, DecayedSum, ItemPopularity, SessionContext, UserFeatures, UserPreferences,
};
use eddyline_schemas::id::{EventId, IdHash, ItemId, ItemRef, RecommendationId, SessionId, UserId};
use eddyline_schemas::item::ItemDocument;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use proptest::test_runner::TestCaseError;

use super::*;
use crate::bound::{Bound, DecodedEvent, Header};
use crate::wire::{from_bytes, to_bytes};

/// Draws values of all types, the odd ones more often than chance would have them.
struct Dice(Draws);

impl Dice {
    fn new(seed: u64) -> Self {
        let key = RecordKey { seed, topic_hash: 0, partition: 0, offset: 0 };
        Self(Draws::new(&key, Purpose::Initial))
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0.below(n)
    }

    fn long(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn int(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn truth(&mut self) -> bool {
        self.below(2) == 1
    }

    /// Any bits: NaN, infinities, −0.0 and subnormal numbers among them.
    fn float(&mut self) -> f32 {
        f32::from_bits(self.int())
    }

    fn double(&mut self) -> f64 {
        f64::from_bits(self.long())
    }

    fn time(&mut self) -> TimestampMs {
        TimestampMs(self.long() as i64)
    }

    fn item(&mut self) -> ItemRef {
        ItemRef(self.int())
    }

    fn text(&mut self) -> String {
        const SOME: [&str; 5] = ["", "a", "größe, 尺寸", "=", "a long name that has many letters"];
        format!("{}{}", SOME[self.below(5) as usize], self.below(1_000))
    }

    fn name(&mut self) -> Arc<str> {
        Arc::from(self.text())
    }

    fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        // Longer than one block of numbers now and then.
        let count = if self.below(20) == 0 { 300 } else { self.below(4) };
        (0..count).map(|_| one(self)).collect()
    }

    fn maybe<T>(&mut self, one: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.truth().then(|| one(self))
    }

    fn id<T, E: Debug>(&mut self, new: impl FnOnce(&str) -> Result<T, E>) -> T {
        new(&format!("id-{}", self.long())).expect("it is an id")
    }

    fn texts(&mut self) -> BTreeMap<String, String> {
        self.many(|dice| (dice.text(), dice.text())).into_iter().collect()
    }
}

fn event(dice: &mut Dice) -> Event {
    let kind = match dice.below(18) {
        17 => EventType::Custom(dice.text()),
        at => EventType::BUILT_IN[at as usize].clone(),
    };
    Event {
        event_id: dice.id(EventId::new),
        id_origin: [IdOrigin::Producer, IdOrigin::Derived, IdOrigin::Random]
            [dice.below(3) as usize],
        event_type: kind,
        user_id: dice.maybe(|dice| dice.id(UserId::new)),
        anonymous_id: dice.maybe(|dice| dice.id(UserId::new)),
        session_id: dice.maybe(|dice| dice.id(SessionId::new)),
        items: dice.many(|dice| dice.id(ItemId::new)),
        timestamp: dice.maybe(Dice::time),
        value: dice.maybe(Dice::double),
        rating: dice.maybe(Dice::double),
        dwell_time_ms: dice.maybe(Dice::long),
        price: dice.maybe(Dice::double),
        currency: dice.maybe(Dice::text),
        quantity: dice.maybe(Dice::double),
        query: dice.maybe(Dice::text),
        recommendation_id: dice.maybe(|dice| dice.id(RecommendationId::new)),
        position: dice.maybe(Dice::int),
        context: dice.texts(),
        profile: dice.texts(),
        item: dice.maybe(document),
        unknown: dice.maybe(Dice::text),
    }
}

fn document(dice: &mut Dice) -> ItemDocument {
    ItemDocument {
        title: dice.maybe(Dice::text),
        categories: dice.many(Dice::text),
        brand: dice.maybe(Dice::text),
        tags: dice.many(Dice::text),
        price: dice.maybe(Dice::double),
        currency: dice.maybe(Dice::text),
        in_stock: dice.maybe(Dice::truth),
        attributes: dice.texts(),
    }
}

fn record_at(dice: &mut Dice) -> RecordAt {
    let topic = Topic::INPUTS[dice.below(3) as usize];
    let partition = TopicPartition { topic, partition: dice.int() };
    RecordAt { partition, offset: dice.long() }
}

fn decoded(dice: &mut Dice) -> Arc<DecodedEvent> {
    let topic = Topic::INPUTS[dice.below(3) as usize];
    let hash = |dice: &mut Dice| IdHash::of(&dice.text());
    Arc::new(DecodedEvent {
        at: TopicPartition { topic, partition: dice.int() },
        offset: dice.long(),
        event_time: dice.time(),
        clock_hour: dice.long() as i64,
        dedupe: hash(dice),
        user: dice.maybe(hash),
        items: dice.many(hash),
        event: event(dice),
    })
}

fn features(dice: &mut Dice) -> UserFeatures {
    UserFeatures {
        recent_views: dice.many(Dice::item),
        history: dice.many(Dice::item),
        history_length: dice.long(),
        seen: dice.many(Dice::item).into(),
        disliked: dice.many(Dice::item).into(),
        recent_searches: dice.many(Dice::text),
        session: dice.maybe(|dice| SessionContext {
            session_id: dice.maybe(|dice| dice.id(SessionId::new)),
            session_start: dice.time(),
            last_event: dice.time(),
            page_views_in_session: dice.int(),
            current_category: dice.maybe(Dice::name),
        }),
        demographics: dice.texts(),
        price_range: dice.maybe(|dice| (dice.double(), dice.double())),
        last_updated: dice.time(),
        expires_at: dice.time(),
    }
}

fn delta(dice: &mut Dice) -> Delta {
    let sum =
        |dice: &mut Dice| DecayedSum { mantissa: dice.double(), exponent: dice.long() as i64 };
    let (item, user) = (dice.item(), dice.id(UserId::new));
    let vector = |dice: &mut Dice| Arc::<[f32]>::from(dice.many(Dice::float));
    let counts = |dice: &mut Dice| dice.many(|dice| (dice.name(), dice.long() as i64));
    match dice.below(9) {
        0 => Delta::Item {
            item,
            id: dice.id(ItemId::new),
            document: dice.maybe(document).map(Arc::new),
            first_seen: (Epoch(dice.long()), dice.int()),
            deleted: dice.truth(),
        },
        1 => Delta::ItemVector { item, vector: vector(dice) },
        2 => Delta::ItemContext { item, context: vector(dice) },
        3 => {
            let (short, long, events) = (sum(dice), sum(dice), dice.long());
            Delta::Popularity { item, popularity: ItemPopularity { short, long, events } }
        }
        4 => {
            let list = CovisitationList {
                neighbours: dice.many(|dice| (dice.item(), dice.float())),
                total: dice.float(),
                exponent: dice.long() as i64,
            };
            Delta::Covisitation { item, list: Arc::new(list) }
        }
        5 => Delta::UserVector { user, vector: dice.maybe(vector) },
        6 => Delta::UserFeatures { user, features: dice.maybe(features).map(Arc::new) },
        7 => {
            let preferences = UserPreferences { categories: counts(dice), brands: counts(dice) };
            Delta::UserPreferences { user, preferences: Arc::new(preferences) }
        }
        _ => Delta::Gate { values: dice.many(Dice::double).into() },
    }
}

fn ranked(dice: &mut Dice) -> RankedEvent {
    RankedEvent {
        seq: dice.int(),
        ranks: std::array::from_fn(|_| dice.maybe(Dice::long)),
        top: std::array::from_fn(|_| dice.many(Dice::item)),
        is_warm: dice.truth(),
        is_new_item: dice.truth(),
    }
}

fn header(dice: &mut Dice) -> Header {
    let (accepted, late, dead_letter) = (dice.long(), dice.long(), dice.long());
    Header { logical_time: dice.time(), accepted, late, dead_letter }
}

fn line(dice: &mut Dice) -> Line {
    Line { seq: dice.int(), line: dice.int() as u16, event: decoded(dice) }
}

fn work(dice: &mut Dice) -> Work {
    let (line, item) = (line(dice), dice.item());
    match dice.below(4) {
        0 => Work::Touch { line, item: dice.maybe(Dice::item) },
        1 => Work::NewItem { line, item },
        2 => Work::Catalogue { line, item },
        _ => Work::Duplicates(dice.long()),
    }
}

fn batch(dice: &mut Dice) -> LearnBatch {
    let (dim, vectors) = (16, 1 + dice.below(5));
    let arena = (0..dim * vectors).map(|_| dice.float()).collect();
    let items = dice.many(|dice| ItemUpdate {
        item: dice.item(),
        x: dice.below(vectors) as u32,
        target: Target { label: dice.float(), log_rest: dice.float(), weight: dice.float() },
    });
    let contexts = dice.many(|dice| ContextUpdate {
        item: dice.item(),
        gradient: dice.below(vectors) as u32,
        weight: dice.float(),
    });
    let outbox = Outbox::from_parts(dim as usize, arena, (items, contexts));
    LearnBatch {
        outbox: outbox.expect("updates name vectors that are there"),
        marks: dice.many(|dice| Mark {
            seq: dice.int(),
            record: record_at(dice),
            time: dice.time(),
            items_end: dice.int(),
            contexts_end: dice.int(),
            pairs_end: dice.int(),
            taken_end: dice.int(),
            catalogue_end: dice.int(),
            ranked_end: dice.int(),
        }),
        pairs: dice.many(|dice| Pair {
            source: dice.item(),
            target: dice.item(),
            weight: dice.float(),
        }),
        taken: dice.many(|dice| (dice.item(), dice.double())),
        catalogue: dice.many(|dice| CatalogueChange {
            item: dice.item(),
            document: dice.maybe(document).map(Arc::new),
        }),
        ranked: dice.many(|dice| {
            let ranks = dice.many(|dice| dice.maybe(Dice::long));
            (ranked(dice), GateExample { bucket: dice.below(9) as usize, ranks })
        }),
        new_rows: dice.many(|dice| NewRow {
            seq: dice.int(),
            record: record_at(dice),
            item: dice.item(),
            id: dice.id(ItemId::new),
            vector: dice.many(Dice::float),
        }),
    }
}

/// The same bits come back, half of them or some flipped ones do no harm.
fn check<T: Wire + Debug>(value: &T, dice: &mut Dice) -> Result<(), TestCaseError> {
    let bytes = to_bytes(value);
    let again: T = from_bytes(&bytes).expect("what was written can be read");
    // Debug shows what bytes cannot: a member that is never written. Bytes show what Debug cannot:
    // the bits of a NaN.
    prop_assert_eq!(format!("{:?}", value), format!("{:?}", again));
    prop_assert_eq!(&bytes, &to_bytes(&again));
    let cut = dice.below(bytes.len() as u64) as usize;
    prop_assert!(from_bytes::<T>(&bytes[..cut]).is_err(), "cut at {} of {}", cut, bytes.len());
    let mut flipped = bytes;
    let at = dice.below(flipped.len() as u64) as usize;
    flipped[at] ^= 1 << dice.below(8);
    drop(from_bytes::<T>(&flipped));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn everything_that_crosses_processes_comes_back_bit_by_bit(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        let dice = &mut dice;
        check(&Bound { seq: dice.int(), event: decoded(dice) }, dice)?;
        let fresh =
            if dice.truth() { Fresh::Line(line(dice)) } else { Fresh::Duplicates(dice.long()) };
        check(&fresh, dice)?;
        check(&LearnInput::Work(work(dice)), dice)?;
        check(&LearnInput::Header(header(dice), dice.long()), dice)?;
        check(&(dice.below(9) as usize, Arc::new(batch(dice))), dice)?;
        let deltas = DeltaBatch {
            deltas: dice.many(delta),
            duplicates: dice.long(),
            ranked: dice.many(ranked),
            header: dice.maybe(header),
        };
        check(&deltas, dice)?;
    }
}
