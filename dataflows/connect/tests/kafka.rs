//! The log on a real Kafka broker, each test in namespaces of its own. `.ci/kafka.py test` starts a
//! broker, names it in `EDDYLINE_TEST_KAFKA`, and runs them one after the other: some kill it.

#[path = "kafka/bench.rs"]
mod bench;
#[path = "kafka/faults.rs"]
mod faults;
#[path = "kafka/opening.rs"]
mod opening;
#[path = "kafka/reading.rs"]
mod reading;
#[path = "kafka/support.rs"]
mod support;

use eddyline_connect::conformance;

use support::Namespace;

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn kafka_log_conforms() {
    conformance::event_log::run(&|| Box::new(Namespace::new("conforms").open()));
    conformance::event_log::trimming::run(&|| Box::new(Namespace::new("trimmed").open()));
}
