//! The fold over the `bindings` topic: who wins, what is void, and that every reader of any
//! interleaving of writers accepts the same history.

use eddyline_schemas::binding::{
    Accepted, Binding, BindingFold, BindingRecord, BoundRange, Control, ControlAction, Fence, Term,
    Void, WriterId, chain_hash,
};
use eddyline_schemas::codec::{decode_binding, encode_binding};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};

const HOME: TopicPartition = TopicPartition { topic: Topic::UserEvents, partition: 0 };

fn fence(term: u64, writer: u8) -> BindingRecord {
    BindingRecord::Fence(Fence { term: Term(term), writer: WriterId([writer; 16]) })
}

/// The binding of the next `count` records by the writer in force.
fn next_binding(fold: &BindingFold, count: u64) -> BindingRecord {
    let start = fold.bound().get(&HOME).copied().unwrap_or(0);
    let range = BoundRange {
        partition: HOME,
        topic_id: [7; 16],
        start,
        end: start + count,
        count,
        digest: Digest::of(&count.to_le_bytes()),
    };
    BindingRecord::Binding(Binding {
        term: fold.term(),
        writer: fold.writer(),
        epoch: fold.epoch().next(),
        prev_hash: fold.chain(),
        logical_time: TimestampMs(i64::try_from(start).expect("offsets are small here")),
        ranges: vec![range],
    })
}

fn snapshot(fold: &BindingFold) -> BindingRecord {
    BindingRecord::Control(Control {
        term: fold.term(),
        writer: fold.writer(),
        epoch: fold.epoch().next(),
        prev_hash: fold.chain(),
        action: ControlAction::Snapshot,
    })
}

fn step(fold: &mut BindingFold, record: &BindingRecord) -> Result<Accepted, Void> {
    fold.step(record.clone(), &encode_binding(record)).expect("no range is broken")
}

/// A fold in which writer 1 is in force at term 1.
fn fenced() -> BindingFold {
    let mut fold = BindingFold::default();
    step(&mut fold, &fence(1, 1)).expect("the first fence wins");
    fold
}

#[test]
fn the_first_fence_of_a_term_wins() {
    let mut fold = fenced();
    assert_eq!(step(&mut fold, &fence(1, 2)), Err(Void::StaleTerm));
    assert_eq!(fold.writer(), WriterId([1; 16]));
    step(&mut fold, &fence(5, 2)).expect("a greater term wins");
    assert_eq!((fold.term(), fold.writer()), (Term(5), WriterId([2; 16])));
    assert_eq!(step(&mut fold, &fence(4, 1)), Err(Void::StaleTerm));
}

#[test]
fn a_zombie_binds_nothing() {
    let mut fold = fenced();
    let late = next_binding(&fold, 3);
    step(&mut fold, &fence(2, 2)).expect("the second writer takes over");
    assert_eq!(step(&mut fold, &late), Err(Void::Fenced));
    assert_eq!(fold.epoch(), Epoch(0));
}

#[test]
fn retries_duplicates_and_reordered_records_are_void() {
    let mut fold = fenced();
    let first = next_binding(&fold, 3);
    let mut ahead = fold.clone();
    step(&mut ahead, &first).expect("accepted");
    let second = next_binding(&ahead, 2);

    assert_eq!(step(&mut fold, &second), Err(Void::WrongEpoch));
    step(&mut fold, &first).expect("accepted");
    assert_eq!(step(&mut fold, &first), Err(Void::WrongEpoch));
    step(&mut fold, &second).expect("accepted");
    assert_eq!(fold.bound()[&HOME], 5);
    assert_eq!(fold.logical_time(), TimestampMs(3));
}

#[test]
fn a_record_built_on_another_history_is_void() {
    let mut fold = fenced();
    let (binding, control) = (next_binding(&fold, 3), snapshot(&fold));
    step(&mut fold, &control).expect("accepted");
    assert_eq!(step(&mut fold, &binding), Err(Void::WrongChain));
    assert_eq!(step(&mut fold, &control), Err(Void::WrongChain));
}

#[test]
fn a_control_does_not_use_its_epoch_up() {
    let mut fold = fenced();
    let control = snapshot(&fold);
    step(&mut fold, &control).expect("accepted");
    let binding = next_binding(&fold, 3);
    assert!(matches!(step(&mut fold, &binding), Ok(Accepted::Binding(b)) if b.epoch == Epoch(1)));
}

#[test]
fn only_what_is_accepted_enters_the_chain() {
    let mut fold = BindingFold::default();
    let (taken, void) = (fence(1, 1), fence(1, 2));
    step(&mut fold, &taken).expect("accepted");
    step(&mut fold, &void).expect_err("void");
    assert_eq!(fold.chain(), chain_hash(Digest::default(), &encode_binding(&taken)));
}

#[test]
fn a_range_that_does_not_continue_its_partition_is_an_error() {
    let mut fold = fenced();
    let binding = next_binding(&fold, 3);
    step(&mut fold, &binding).expect("accepted");
    let BindingRecord::Binding(mut gap) = next_binding(&fold, 2) else { unreachable!() };
    gap.ranges[0].start = 4;
    let before = fold.clone();
    let broken = fold.step(BindingRecord::Binding(gap), b"").expect_err("offset 3 is missing");
    assert_eq!(
        broken.to_string(),
        "epoch 2 binds user_events/0 from offset 4, but bound so far is up to 3"
    );
    assert_eq!(fold, before, "an error changes nothing");
}

#[test]
fn every_flipped_bit_of_a_record_shows() {
    let mut fold = fenced();
    let first = next_binding(&fold, 300);
    step(&mut fold, &first).expect("accepted");
    for record in [fence(9, 3), next_binding(&fold, 70_000), snapshot(&fold)] {
        let bytes = encode_binding(&record);
        assert_eq!(decode_binding(&bytes), Ok(record.clone()));
        let chain = chain_hash(fold.chain(), &bytes);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(decode_binding(&flipped), Ok(record.clone()), "bit {bit}");
            assert_ne!(chain_hash(fold.chain(), &flipped), chain, "bit {bit}");
        }
    }
}

#[test]
fn bad_records_are_refused_by_field() {
    let BindingRecord::Binding(good) = next_binding(&fenced(), 3) else { unreachable!() };
    let check = |change: &dyn Fn(&mut Binding), want: &str| {
        let mut binding = good.clone();
        change(&mut binding);
        let bytes = encode_binding(&BindingRecord::Binding(binding));
        let got = decode_binding(&bytes).expect_err(want).to_string();
        assert!(got.starts_with(want), "{got}");
    };
    check(&|b| b.ranges[0].partition.topic = Topic::Bindings, "ranges[0].topic: \"bindings\"");
    check(&|b| b.ranges[0].count = 4, "ranges[0].count: 4 records in [0, 3)");
    check(&|b| b.ranges[0].start = 4, "ranges[0].end: 3 is before start 4");
    check(&|b| b.ranges[0].start = 3, "ranges[0].end: a range is empty only");
    check(&|b| b.ranges.push(b.ranges[0].clone()), "ranges[1]: must be ordered");
    let with_unknown_field = [encode_binding(&fence(1, 1)), vec![0x78, 1]].concat();
    let error = decode_binding(&with_unknown_field).expect_err("field 15 is unknown");
    assert!(error.to_string().starts_with("not the canonical bytes"), "{error}");
    assert_eq!(decode_binding(b"").expect_err("empty").to_string(), "record: is absent");
    let short = [0x0a, 4, 0x08, 1, 0x12, 0];
    let error = decode_binding(&short).expect_err("no writer").to_string();
    assert_eq!(error, "fence.writer: must be 16 bytes, got 0");
}

/// What a simulated writer does next.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Claims the term after the one it knows of.
    Fence,
    /// Reads up to so many records of the log.
    Read(usize),
    /// Proposes on top of what it believes, whether or not it was accepted.
    Propose(u64),
    /// Proposes a control.
    Control,
    /// Sends again what it sent so many records ago.
    Resend(usize),
}

/// A writer: what it has read, and what it believes will follow.
struct Writer {
    id: u8,
    at: usize,
    read: BindingFold,
    believed: BindingFold,
    sent: Vec<BindingRecord>,
}

impl Writer {
    fn new(id: u8) -> Self {
        let (read, believed) = (BindingFold::default(), BindingFold::default());
        Self { id, at: 0, read, believed, sent: Vec::new() }
    }

    fn act(&mut self, act: Act, log: &mut Vec<BindingRecord>) {
        let record = match act {
            Act::Read(count) => {
                for record in log.iter().skip(self.at).take(count) {
                    let _ = step(&mut self.read, record);
                    self.at += 1;
                }
                self.believed = self.read.clone();
                return;
            }
            Act::Fence => fence(self.read.term().0 + 1, self.id),
            Act::Propose(count) => next_binding(&self.believed, count),
            Act::Control => snapshot(&self.believed),
            Act::Resend(back) => match self.sent.iter().rev().nth(back) {
                Some(record) => record.clone(),
                None => return,
            },
        };
        // A zombie keeps its own name: it cannot sign for the writer in force.
        let record = signed(record, self.id);
        let _ = step(&mut self.believed, &record);
        self.sent.push(record.clone());
        log.push(record);
    }
}

fn signed(record: BindingRecord, id: u8) -> BindingRecord {
    let writer = WriterId([id; 16]);
    match record {
        BindingRecord::Fence(fence) => BindingRecord::Fence(Fence { writer, ..fence }),
        BindingRecord::Binding(binding) => BindingRecord::Binding(Binding { writer, ..binding }),
        BindingRecord::Control(control) => BindingRecord::Control(Control { writer, ..control }),
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => Just(Act::Fence),
        4 => (0..6_usize).prop_map(Act::Read),
        6 => (1..50_u64).prop_map(Act::Propose),
        1 => Just(Act::Control),
        2 => (0..4_usize).prop_map(Act::Resend),
    ]
}

fn read(log: &[BindingRecord]) -> (BindingFold, Vec<Option<Accepted>>) {
    let mut fold = BindingFold::default();
    let verdicts = log.iter().map(|record| step(&mut fold, record).ok()).collect();
    (fold, verdicts)
}

/// The laws of an accepted history, checked from scratch.
fn check_history(history: &[Accepted]) {
    let (mut term, mut writer, mut epoch, mut bound) = (Term(0), WriterId([0; 16]), Epoch(0), 0);
    for accepted in history {
        match accepted {
            Accepted::Fence(fence) => {
                assert!(fence.term > term, "terms rise");
                (term, writer) = (fence.term, fence.writer);
            }
            Accepted::Binding(binding) => {
                assert_eq!((binding.term, binding.writer), (term, writer), "one writer a term");
                assert_eq!(binding.epoch, epoch.next(), "epochs are contiguous");
                assert_eq!(binding.ranges[0].start, bound, "ranges are contiguous");
                (epoch, bound) = (binding.epoch, binding.ranges[0].end);
            }
            Accepted::Control(control) => {
                assert_eq!((control.term, control.writer), (term, writer), "one writer a term");
                assert_eq!(control.epoch, epoch.next(), "before the next epoch");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 512,
        ..ProptestConfig::default()
    })]

    #[test]
    fn two_writers_make_one_history(acts in vec((any::<bool>(), act()), 1..80)) {
        let mut log = Vec::new();
        let mut writers = [Writer::new(1), Writer::new(2)];
        for (second, act) in acts {
            writers[usize::from(second)].act(act, &mut log);
        }
        let (fold, verdicts) = read(&log);
        let history: Vec<Accepted> = verdicts.iter().flatten().cloned().collect();
        check_history(&history);

        // A writer that reads on, and a reader that never saw the void records, agree with it.
        for writer in &mut writers {
            writer.act(Act::Read(log.len()), &mut log);
            prop_assert!(writer.read == fold);
        }
        let kept: Vec<BindingRecord> =
            log.iter().zip(&verdicts).filter(|(_, v)| v.is_some()).map(|(r, _)| r.clone()).collect();
        prop_assert!(read(&kept).0 == fold);

        // Neither doubling each record nor repeating the whole log changes the history.
        let doubled: Vec<BindingRecord> =
            log.iter().flat_map(|record| [record.clone(), record.clone()]).collect();
        prop_assert!(read(&doubled).0 == fold);
        let repeated = [log.clone(), log.clone()].concat();
        prop_assert!(read(&repeated).0 == fold);
    }
}
