//! The bounded queue from request handlers to the appender threads.
//!
//! A handler offers a job and awaits its reply; a full queue refuses at once. An appender takes
//! whatever waits, up to [`MAX_DRAIN_BYTES`], and appends it in one call, so that one fsync serves
//! many requests. Order within a job is kept; jobs of different requests may swap. Closing the
//! queue lets the threads finish what was taken in, then they end.
//!
//! Invariant: each job gets exactly one reply, unless its appender panics, which the handler sees
//! as a lost reply and reports as an unknown outcome.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use eddyline_connect::log::{Append, AppendError, EventLog};
use eddyline_schemas::record::Offset;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Most bytes that one append call takes from the queue.
const MAX_DRAIN_BYTES: usize = 4 << 20;
/// Most jobs that one append call takes from the queue.
const MAX_DRAIN_JOBS: usize = 1_024;

/// What a job comes back with. The error is shared by all jobs of one append call.
pub(crate) type Reply = Result<Vec<Offset>, Arc<AppendError>>;

/// Why a job was not taken in. It is certainly not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Try again later.
    Full,
    /// Shutting down.
    Closed,
}

struct Job {
    batch: Vec<Append>,
    bytes: Reserved,
    reply: oneshot::Sender<Reply>,
}

/// A share of the queue's bytes, given back on drop.
struct Reserved {
    bytes: usize,
    taken: Arc<AtomicUsize>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// See the module doc.
pub(crate) struct AppendQueue {
    sender: Mutex<Option<Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    taken_bytes: Arc<AtomicUsize>,
    max_bytes: usize,
}

impl AppendQueue {
    /// Starts `appenders` threads over a queue of at most `max_jobs` and `max_bytes`.
    pub(crate) fn start(
        log: &Arc<dyn EventLog>,
        appenders: usize,
        max_jobs: usize,
        max_bytes: usize,
    ) -> io::Result<Self> {
        let (sender, receiver) = crossbeam_channel::bounded(max_jobs);
        let start_one = |number: usize| {
            let (log, receiver) = (Arc::clone(log), receiver.clone());
            std::thread::Builder::new()
                .name(format!("door-append-{number}"))
                .spawn(move || run(log.as_ref(), &receiver))
        };
        let threads = (0..appenders.max(1)).map(start_one).collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            sender: Mutex::new(Some(sender)),
            threads: Mutex::new(threads),
            taken_bytes: Arc::default(),
            max_bytes,
        })
    }

    /// Offers a batch; the reply comes when it is durable.
    pub(crate) fn offer(&self, batch: Vec<Append>) -> Result<oneshot::Receiver<Reply>, Refused> {
        let bytes = self.reserve(batch.iter().map(Append::payload_bytes).sum())?;
        let (reply, answer) = oneshot::channel();
        let sender = self.sender.lock();
        let sender = sender.as_ref().ok_or(Refused::Closed)?;
        match sender.try_send(Job { batch, bytes, reply }) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => Err(Refused::Full),
            Err(TrySendError::Disconnected(_)) => Err(Refused::Closed),
        }
    }

    fn reserve(&self, bytes: usize) -> Result<Reserved, Refused> {
        let before = self.taken_bytes.fetch_add(bytes, Ordering::AcqRel);
        let reserved = Reserved { bytes, taken: Arc::clone(&self.taken_bytes) };
        // A single job larger than the bound is let in when nothing else waits.
        if before > 0 && before + bytes > self.max_bytes {
            Err(Refused::Full)
        } else {
            Ok(reserved)
        }
    }

    /// Whether new jobs are taken in.
    pub(crate) fn is_open(&self) -> bool {
        self.sender.lock().is_some()
    }

    /// Takes nothing more in, and returns when all that was taken in is answered.
    pub(crate) fn close(&self) {
        drop(self.sender.lock().take());
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.join().is_err() {
                tracing::error!("an appender thread had panicked");
            }
        }
    }
}

fn run(log: &dyn EventLog, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        append(log, drain(first, jobs));
    }
}

fn drain(first: Job, jobs: &Receiver<Job>) -> Vec<Job> {
    let mut bytes = first.bytes.bytes;
    let mut drained = vec![first];
    while bytes < MAX_DRAIN_BYTES && drained.len() < MAX_DRAIN_JOBS {
        let Ok(job) = jobs.try_recv() else { break };
        bytes += job.bytes.bytes;
        drained.push(job);
    }
    drained
}

fn append(log: &dyn EventLog, jobs: Vec<Job>) {
    let mut batch = Vec::with_capacity(jobs.iter().map(|job| job.batch.len()).sum());
    let mut waiting = Vec::with_capacity(jobs.len());
    for job in jobs {
        waiting.push((job.batch.len(), job.reply, job.bytes));
        batch.extend(job.batch);
    }
    match log.append(batch) {
        Ok(offsets) => {
            let mut offsets = offsets.into_iter();
            for (count, reply, _) in waiting {
                // A client that has gone away does not listen; its events stay on the log.
                let _ = reply.send(Ok(offsets.by_ref().take(count).collect()));
            }
        }
        Err(error) => {
            tracing::error!(%error, jobs = waiting.len(), "the log refused an append");
            let error = Arc::new(error);
            for (_, reply, _) in waiting {
                let _ = reply.send(Err(Arc::clone(&error)));
            }
        }
    }
}
