//! A record that crashes an operator, made on purpose: to show what three such crashes come to.
//!
//! `EDDYLINE_PANIC_ON=user_events/0/17` panics in `learn` whenever offset 17 of that partition is
//! folded; `user_events/0/17@apply` does in `apply`. It is no part of any state. A process that did
//! not call [`arm_from_env`], or was not told to panic, pays one relaxed load per record.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

static IS_ARMED: AtomicBool = AtomicBool::new(false);
static PLAN: OnceLock<Plan> = OnceLock::new();

/// The variable that is read.
pub const VARIABLE: &str = "EDDYLINE_PANIC_ON";

/// Who panics unless the variable says otherwise.
const USUAL: &str = "learn";

#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    partition: TopicPartition,
    offset: Offset,
    operator: String,
}

/// The variable is not `topic/partition/offset`, or names no operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE}={text:?} is no record such as user_events/0/17, or user_events/0/17@apply")]
pub struct InvalidPanicOn {
    text: String,
}

/// Reads the variable; `known` are the names of the operators that there are.
pub fn arm_from_env(known: &[&'static str]) -> Result<(), InvalidPanicOn> {
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(()) };
    let plan = parse(&text, known).ok_or(InvalidPanicOn { text })?;
    if PLAN.set(plan).is_ok() {
        IS_ARMED.store(true, Ordering::Relaxed);
    }
    Ok(())
}

fn parse(text: &str, known: &[&'static str]) -> Option<Plan> {
    let (record, operator) = text.split_once('@').unwrap_or((text, USUAL));
    let mut parts = record.split('/');
    let topic = Topic::from_name(parts.next()?).filter(|topic| Topic::INPUTS.contains(topic))?;
    let partition = TopicPartition { topic, partition: parts.next()?.parse().ok()? };
    let offset = parts.next()?.parse().ok()?;
    let is_whole = parts.next().is_none() && known.contains(&operator);
    is_whole.then(|| Plan { partition, offset, operator: operator.to_owned() })
}

/// Whether this process was told to panic on some record.
#[inline]
pub fn is_armed() -> bool {
    IS_ARMED.load(Ordering::Relaxed)
}

/// `operator` is about to fold a record: panics if it was told to.
#[cold]
pub fn reach(operator: &str, partition: TopicPartition, offset: Offset) {
    let is_it = |plan: &&Plan| {
        plan.operator == operator && plan.partition == partition && plan.offset == offset
    };
    if let Some(plan) = PLAN.get().filter(is_it) {
        panic!("{VARIABLE} says so: {partition}/{offset}@{}", plan.operator);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_a_record_and_an_operator() {
        let check = |text: &str, want: Option<(u32, Offset, &str)>| {
            let plan = parse(text, &["learn", "apply"]);
            let got = plan.as_ref().map(|p| (p.partition.partition, p.offset, &*p.operator));
            assert_eq!(got, want, "{text}");
        };
        check("user_events/0/17", Some((0, 17, "learn")));
        check("feedback/3/0@apply", Some((3, 0, "apply")));
        check("feedback/3/0@nobody", None);
        check("bindings/0/1", None);
        check("user_events/0", None);
        check("user_events/0/17/2", None);
        check("user_events/0/x", None);
    }
}
