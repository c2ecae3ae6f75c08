//! What is so is what the records say, whoever wrote them and whatever happened meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use eddyline_connect::objects::{MemoryObjects, ObjectError, ObjectInfo, ObjectName, ObjectStore};
use eddyline_model::config::{CoreConfig, Descent};
use eddyline_replay::archive::Nonce;
use eddyline_replay::lineages::record::Record;
use eddyline_replay::lineages::{Action, Lineages, LineagesError, Refused, Registered, Registry};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::time::TimestampMs;

use crate::faulty_objects::FaultyObjects;

const AT: TimestampMs = TimestampMs(1_700_000_000_000);

fn core(seed: u64) -> CoreConfig {
    let mut core = CoreConfig { seed, ..CoreConfig::default() };
    core.factors.item_rate = 0.05 + seed as f32 / 1_000.0;
    core
}

fn lineage(seed: u64) -> Lineage {
    core(seed).lineage()
}

fn open(store: &Arc<MemoryObjects>) -> Registry {
    Registry::open(Arc::clone(store) as _).expect("it is whole")
}

fn name(number: u64) -> ObjectName {
    ObjectName::new(format!("lineages/{number:020}.json")).expect("a plain name")
}

fn register(registry: &mut Registry, core: &CoreConfig) -> Result<(), LineagesError> {
    registry.change(AT, |lineages| {
        let is_new = !lineages.is_kept(core.lineage());
        Ok::<_, LineagesError>(is_new.then(|| Action::Registered(Registered::of(core))))
    })
}

fn activate(registry: &mut Registry, lineage: Lineage) -> Result<(), LineagesError> {
    registry.change(AT, |lineages| {
        let is_new = lineages.active() != Some(lineage);
        Ok::<_, LineagesError>(is_new.then_some(Action::Activated(lineage)))
    })
}

fn retire(registry: &mut Registry, lineage: Lineage) -> Result<(), LineagesError> {
    let is_retired =
        |lineages: &Lineages| lineages.entry(lineage).is_some_and(|entry| entry.is_retired);
    registry.change(AT, |lineages| {
        Ok::<_, LineagesError>((!is_retired(lineages)).then_some(Action::Retired(lineage)))
    })
}

/// Three lineages, of which the second was active and the third is.
fn three(store: &Arc<MemoryObjects>) -> Registry {
    let mut registry = open(store);
    for seed in 1..=3 {
        register(&mut registry, &core(seed)).expect("nobody else writes");
    }
    for seed in [1, 2, 3] {
        activate(&mut registry, lineage(seed)).expect("nobody else writes");
    }
    registry
}

#[test]
fn the_records_say_what_is_kept_and_what_answers() {
    let store = Arc::new(MemoryObjects::new());
    let mut registry = open(&store);
    assert_eq!(registry.lineages(), &Lineages::default());
    let mut child = core(4);
    child.descent = Some(Descent { parent: lineage(1), first_epoch: Epoch(77) });
    for core in [&core(1), &child] {
        register(&mut registry, core).expect("nobody else writes");
        register(&mut registry, core).expect("twice is once");
        let entry = registry.lineages().entry(core.lineage()).expect("it is there");
        assert_eq!(&entry.core().expect("this build made it"), core, "bit by bit");
    }
    assert_eq!((registry.lineages().number(), registry.lineages().active()), (2, None));
    let entry = registry.lineages().entry(child.lineage()).expect("it is there");
    assert_eq!(entry.registered.parent, Some(lineage(1)));
    assert_eq!(entry.registered.first_epoch, Epoch(77));

    activate(&mut registry, lineage(1)).expect("it is kept");
    assert_eq!(registry.lineages().previous(), None, "there was none before");
    activate(&mut registry, child.lineage()).expect("it is kept");
    assert_eq!(registry.lineages().previous(), Some(lineage(1)));
    activate(&mut registry, lineage(1)).expect("back");
    assert_eq!(registry.lineages().previous(), Some(child.lineage()), "and forth");

    let refused = |result: Result<(), LineagesError>, want: Refused| match result {
        Err(LineagesError::Refused(refused)) => assert_eq!(refused, want),
        other => panic!("{other:?}"),
    };
    let before = registry.lineages().number();
    refused(retire(&mut registry, lineage(1)), Refused::Active(lineage(1)));
    refused(activate(&mut registry, lineage(9)), Refused::Unknown(lineage(9)));
    retire(&mut registry, child.lineage()).expect("it does not answer");
    refused(activate(&mut registry, child.lineage()), Refused::Retired(child.lineage()));
    assert_eq!(registry.lineages().previous(), None, "there is no way back to it");
    assert_eq!(registry.lineages().number(), before + 1);
    register(&mut registry, &child).expect("it may come again");
    assert!(registry.lineages().is_kept(child.lineage()));
    assert_eq!(open(&store).lineages(), registry.lineages(), "nothing but the records counts");
}

#[test]
fn of_two_writers_one_loses_and_decides_again() {
    let store = Arc::new(MemoryObjects::new());
    let (mut one, mut two) = (three(&store), open(&store));
    retire(&mut one, lineage(1)).expect("it does not answer");
    // It decides on what is so, not on what it had read.
    match activate(&mut two, lineage(1)) {
        Err(LineagesError::Refused(Refused::Retired(of))) => assert_eq!(of, lineage(1)),
        other => panic!("{other:?}"),
    }
    // Somebody writes between the decision and the write.
    let mut decisions = 0;
    let changed = two.change(AT, |lineages| {
        decisions += 1;
        if decisions == 1 {
            activate(&mut one, lineage(2))?;
        }
        let is_new = lineages.active() != Some(lineage(2));
        Ok::<_, LineagesError>(is_new.then_some(Action::Activated(lineage(2))))
    });
    changed.expect("it is so by then");
    assert_eq!(decisions, 2);
    assert_eq!((one.lineages(), one.lineages().number()), (two.lineages(), 8));
}

/// A store whose next so many replies to a put are lost.
struct LostReplies {
    inner: Arc<MemoryObjects>,
    left: AtomicUsize,
}

impl ObjectStore for LostReplies {
    fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), ObjectError> {
        self.inner.put_if_absent(name, bytes)?;
        let took = |left: usize| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, took) {
            Err(_) => Ok(()),
            Ok(_) => Err(ObjectError::Unavailable {
                store: "memory:".to_owned(),
                doing: "put".to_owned(),
                source: "planted".into(),
            }),
        }
    }

    fn get(&self, name: &ObjectName) -> Result<Option<Bytes>, ObjectError> {
        self.inner.get(name)
    }

    fn list(&self, folder: &ObjectName) -> Result<Vec<ObjectInfo>, ObjectError> {
        self.inner.list(folder)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), ObjectError> {
        self.inner.delete(name)
    }
}

#[test]
fn a_change_whose_reply_was_lost_is_found_again_and_made_once() {
    let inner = Arc::new(MemoryObjects::new());
    three(&inner);
    let left = AtomicUsize::new(2);
    let mut registry =
        Registry::open(Arc::new(LostReplies { inner: Arc::clone(&inner), left })).expect("whole");
    activate(&mut registry, lineage(1)).expect("the third reply comes");
    assert_eq!(registry.lineages().number(), 7, "one record");
    assert_eq!(open(&inner).lineages(), registry.lineages());
    // A process that dies there leaves a record, or none; the next one sees which.
    for dies_at in 0..4 {
        for applies in [false, true] {
            let before = open(&inner).lineages().number();
            let target = open(&inner).lineages().previous().expect("there is a way back");
            let faulty = FaultyObjects::new(&inner, dies_at, applies);
            let died = Registry::open(Arc::clone(&faulty) as _)
                .and_then(|mut one| activate(&mut one, target));
            assert_eq!(died.is_err(), faulty.operations() > dies_at);
            let after = open(&inner);
            let is_done = after.lineages().active() == Some(target);
            assert_eq!(after.lineages().number(), before + u64::from(is_done));
            assert!(died.is_err() || is_done, "what was said to be done is");
        }
    }
}

/// The first record of a registry that says the same as every other at the same moment.
fn first_record() -> Record {
    let store = Arc::new(MemoryObjects::new());
    register(&mut open(&store), &core(1)).expect("nobody else writes");
    let bytes = store.get(&name(1)).expect("memory never fails").expect("it was written");
    Record::decode(&name(1), &bytes).expect("it is whole")
}

#[test]
fn every_record_is_its_writers_own_though_it_says_the_same() {
    let (one, two) = (first_record(), first_record());
    let without = |record: &Record| Record { nonce: Nonce::default(), ..record.clone() };
    assert_eq!(without(&one), without(&two), "only the nonce can tell them apart");
    assert_ne!(one.nonce, two.nonce);
    assert_ne!(one.encode(), two.encode(), "so a store never takes one for the other");
}

#[test]
fn flips_cuts_and_gaps_are_found_and_named() {
    let store = Arc::new(MemoryObjects::new());
    let whole = three(&store);
    let refused = |number: u64, bytes: Option<Vec<u8>>| {
        store.corrupt(&name(number), bytes.map(Bytes::from));
        let error = Registry::open(Arc::clone(&store) as _).map(|_| ()).expect_err("refused");
        assert!(error.to_string().contains(&name(number).to_string()), "{error}");
    };
    for number in [1, 3, 6] {
        let sound = store.get(&name(number)).expect("memory").expect("it is there").to_vec();
        for at in 0..sound.len() {
            for bit in [0, 3, 7] {
                let mut bytes = sound.clone();
                bytes[at] ^= 1 << bit;
                refused(number, Some(bytes));
            }
            refused(number, Some(sound[..at].to_vec()));
        }
        refused(number, Some([&sound[..], b"\n"].concat()));
        // Whole, but of another place.
        let other = store.get(&name(2)).expect("memory").expect("it is there").to_vec();
        refused(number, Some(other));
        if number < 6 {
            refused(number, None);
        }
        store.corrupt(&name(number), Some(sound.into()));
    }
    assert_eq!(open(&store).lineages(), whole.lineages());
}

#[test]
fn a_table_that_makes_another_lineage_is_refused_and_no_other_suffers() {
    let store = Arc::new(MemoryObjects::new());
    let mut registry = open(&store);
    let mut foreign = Registered::of(&core(1));
    foreign.lineage = lineage(2);
    let mut newer = Registered::of(&core(3));
    newer.core["a_key_of_tomorrow"] = 1.into();
    for registered in [foreign, newer] {
        let of = registered.lineage;
        let change = registry.change(AT, |lineages| {
            let is_new = !lineages.is_kept(of);
            Ok::<_, LineagesError>(is_new.then(|| Action::Registered(registered.clone())))
        });
        change.expect("a newer build may write it");
        let refused = registry.lineages().entry(of).expect("it is there").core();
        let error = refused.expect_err("this build cannot fold it");
        assert!(error.to_string().contains(&of.to_string()), "{error}");
    }
    register(&mut registry, &core(5)).expect("nobody else writes");
    assert!(registry.lineages().entry(lineage(5)).expect("it is there").core().is_ok());
}

#[test]
fn keys_that_differ_are_named_with_both_values() {
    let (a, b) = (Registered::of(&core(1)), Registered::of(&core(2)));
    let differs = Lineages::core_differs(&a, &b);
    let shown: Vec<String> = differs.iter().map(|(key, a, b)| format!("{key}: {a} {b}")).collect();
    assert_eq!(shown, ["factors.item_rate: 0.051 0.052", "seed: 1 2"]);
    assert_eq!(Lineages::core_differs(&a, &a), []);
}
