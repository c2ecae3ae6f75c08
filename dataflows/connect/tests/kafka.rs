//! The log on a real Kafka broker: `EDDYLINE_TEST_KAFKA=host:port`, each test in namespaces of its
//! own. `.ci/kafka.py` starts a broker and runs them.

#[path = "kafka/support.rs"]
mod support;

use eddyline_connect::conformance;

use support::{Namespace, servers};

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn kafka_log_conforms() {
    let _ = servers();
    conformance::event_log::run(&|| Box::new(Namespace::new("conforms").open()));
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn opens() {
    for _ in 0..3 {
        let t = std::time::Instant::now();
        let ns = Namespace::new("o");
        let log = ns.open();
        println!("open {:?}", t.elapsed());
        let t = std::time::Instant::now();
        drop(log);
        println!("drop {:?}", t.elapsed());
        let t = std::time::Instant::now();
        let log = ns.open();
        println!("open again {:?}", t.elapsed());
    }
}
