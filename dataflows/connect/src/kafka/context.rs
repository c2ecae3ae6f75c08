//! What librdkafka says on the side: log lines and errors that belong to no call.
//!
//! The last trouble is remembered, since a call that timed out does not say why; the log lines
//! themselves are not printed: what matters comes back as an error of the port.

use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What was heard last; clones share it.
#[derive(Clone, Default)]
pub(super) struct Ears(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    last: Option<String>,
    credentials: Option<String>,
}

impl Ears {
    /// The last trouble, in librdkafka's words.
    pub(super) fn last(&self) -> Option<String> {
        self.0.lock().last.clone()
    }

    /// Why the brokers refused our credentials, once they did.
    pub(super) fn credentials(&self) -> Option<String> {
        self.0.lock().credentials.clone()
    }
}

impl ClientContext for Ears {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        if (level as i32) <= RDKafkaLogLevel::Error as i32 {
            self.0.lock().last = Some(message.to_owned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut heard = self.0.lock();
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Authentication) {
            heard.credentials = Some(reason.to_owned());
        }
        // That all brokers are down is the consequence, not the reason.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            heard.last = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Ears {}
