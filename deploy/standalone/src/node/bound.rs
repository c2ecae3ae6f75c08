//! How far the log is bound, compared with what was derived from it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_connect::log::{EventLog, ReadError};
use eddyline_dataflows::BoundFollower;
use eddyline_schemas::lineage::Epoch;

use crate::exit::{Exit, OrStop, Outcome};

/// How late bindings that another process wrote may show.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Rest between two looks.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long a log that cannot be read at the moment is asked again at a start.
const OUTAGE: Duration = Duration::from_secs(30);

/// Whether asking the log again may help.
pub(super) fn is_passing(error: &anyhow::Error) -> bool {
    let is_unavailable = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(ReadError::Unavailable { .. }))
    };
    error.chain().any(is_unavailable)
}

/// What a start reads of the log, which may be out of reach for a moment.
pub(super) fn patiently<T, E>(mut read: impl FnMut() -> Result<T, E>) -> anyhow::Result<T>
where
    anyhow::Error: From<E>,
{
    let started = Instant::now();
    loop {
        match read().map_err(anyhow::Error::from) {
            Err(error) if is_passing(&error) && started.elapsed() < OUTAGE => {
                tracing::warn!(error = format!("{error:#}"), "the log cannot be read now");
                std::thread::sleep(LOOK_AGAIN);
            }
            done => return done,
        }
    }
}

/// The last bound epoch, once it is at least `derived`, or cannot be. Another dataflow may be at
/// work, until it is deposed: its bindings may show a moment later than what came behind them.
pub(super) fn bound_epoch(log: &Arc<dyn EventLog>, derived: Epoch) -> Outcome<Epoch> {
    let mut bindings = BoundFollower::new(Arc::clone(log));
    let (bound, started) = (bindings.positions(), Instant::now());
    loop {
        patiently(|| bindings.read_on())
            .or_stop(Exit::Failure, || "reading the bindings".into())?;
        if bound.epoch() >= derived || started.elapsed() >= PATIENCE {
            return Ok(bound.epoch());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use eddyline_connect::deltas::DeltaError;
    use eddyline_dataflows::EngineError;
    use eddyline_schemas::topic::{Topic, TopicPartition};

    use super::*;

    const AT: TopicPartition = TopicPartition { topic: Topic::Deltas, partition: 2 };

    fn unavailable() -> ReadError {
        ReadError::Unavailable { partition: AT, source: "no message in time".into() }
    }

    #[test]
    fn a_start_asks_a_log_that_is_out_of_reach_again_and_no_other() {
        let mut left = vec![Ok(7), Err(unavailable()), Err(unavailable())];
        let read = patiently(|| left.pop().expect("it ends with the first answer"));
        assert_eq!(read.expect("the third time"), 7);
        assert!(left.is_empty());
        let mut asked = 0;
        let refused = patiently(|| {
            asked += 1;
            Err::<(), _>(ReadError::Stopped("it was made again".to_owned()))
        });
        assert!(refused.is_err());
        assert_eq!(asked, 1, "that will not pass");
    }

    #[test]
    fn it_is_recognised_in_what_reads_the_log() {
        let deltas = anyhow::Error::from(DeltaError::from(unavailable()));
        let bindings = anyhow::Error::from(EngineError::from(unavailable())).context("a start");
        assert!(is_passing(&deltas) && is_passing(&bindings));
    }
}
