//! The first words on a connection, and whether who says them may take part.

use eddyline_schemas::lineage::ALGORITHM_VERSION;
use eddyline_schemas::record::Digest;

use super::Identity;
use crate::wire::{self, Input, Malformed, Out, Wire, wire_struct};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Timely's.
    Data,
    /// Signs of life and questions, between process 0 and each other.
    Control,
}

/// The identity of one start of a cluster, drawn by process 0.
pub(super) type Run = [u8; 16];

/// Said by whoever connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) magic: [u8; 8],
    pub(super) wire_version: u32,
    pub(super) algorithm_version: u32,
    pub(super) identity: Identity,
    pub(super) index: usize,
    pub(super) purpose: Purpose,
    /// `None` before process 0 has told.
    pub(super) run: Option<Run>,
}

/// Said in return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Take part in this run.
    Welcome(Run),
    /// Do not, for this reason.
    Refused(String),
}

const MAGIC: [u8; 8] = *b"eddyline";

/// Why somebody may not take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nobody of ours: refuse, and go on waiting.
    Stranger(String),
    /// One of ours that cannot take part: no use waiting.
    Unfit(usize, String),
}

impl Refusal {
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Stranger(reason) | Self::Unfit(_, reason) => reason,
        }
    }
}

impl Greeting {
    pub(super) fn new(
        identity: &Identity,
        index: usize,
        (purpose, run): (Purpose, Option<Run>),
    ) -> Self {
        Self {
            magic: MAGIC,
            wire_version: wire::VERSION,
            algorithm_version: ALGORITHM_VERSION,
            identity: identity.clone(),
            index,
            purpose,
            run,
        }
    }

    /// Reads what somebody says; what follows a version that is not ours cannot be read.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let stranger = |text: &str| Refusal::Stranger(text.to_owned());
        let mut from = Input(bytes);
        let start = <([u8; 8], u32)>::take(&mut from);
        match start {
            Ok((MAGIC, wire::VERSION)) => Self::take(&mut Input(bytes))
                .map_err(|_| stranger("its greeting cannot be read: it is another build")),
            Ok((MAGIC, version)) => {
                let ours = wire::VERSION;
                Err(Refusal::Stranger(format!(
                    "its wire version is {version}, ours is {ours}: run the same build everywhere"
                )))
            }
            _ => Err(stranger("it is not a process of eddyline")),
        }
    }

    /// Whether process `own` of this identity and run takes the connection.
    pub(super) fn check(&self, ours: &Identity, own: usize, run: Run) -> Result<(), Refusal> {
        let theirs = &self.identity;
        let index = self.index;
        if theirs.deployment != ours.deployment {
            let reason = "it belongs to another deployment: the lists of hosts are mixed up";
            return Err(Refusal::Stranger(reason.into()));
        }
        let unfit = |reason: String| Err(Refusal::Unfit(index, reason));
        if self.algorithm_version != ALGORITHM_VERSION {
            return unfit(format!(
                "its algorithm version is {}, that of process {own} is {ALGORITHM_VERSION}: \
                 run the same build everywhere",
                self.algorithm_version
            ));
        }
        if theirs.core != ours.core {
            return unfit(format!(
                "its [core] configuration has the hash {}, that of process {own} {}: give all \
                 processes the same",
                theirs.core, ours.core
            ));
        }
        if (theirs.processes, theirs.workers) != (ours.processes, ours.workers) {
            return unfit(format!(
                "it knows of {} processes with {} workers each, process {own} of {} with {}: give \
                 all processes the same --workers and --hosts",
                theirs.processes, theirs.workers, ours.processes, ours.workers
            ));
        }
        if index <= own || index >= ours.processes {
            return unfit(format!("process {own} waits for none of index {index}"));
        }
        match self.run {
            Some(theirs) if theirs != run => {
                Err(Refusal::Stranger("it belongs to another run of this deployment".into()))
            }
            None if self.purpose == Purpose::Data => {
                Err(Refusal::Stranger("it has not asked process 0 first".into()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

wire_struct!(Greeting { magic, wire_version, algorithm_version, identity, index, purpose, run });
wire_struct!(Identity { deployment, core, processes, workers });

impl Wire for Digest {
    fn put(&self, out: &mut impl Out) {
        self.0.put(out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        Wire::take(from).map(Self)
    }
}

impl Wire for Purpose {
    fn put(&self, out: &mut impl Out) {
        (*self == Self::Control).put(out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        Ok(if bool::take(from)? { Self::Control } else { Self::Data })
    }
}

impl Wire for Answer {
    fn put(&self, out: &mut impl Out) {
        match self {
            Self::Welcome(run) => {
                true.put(out);
                run.put(out);
            }
            Self::Refused(reason) => {
                false.put(out);
                reason.put(out);
            }
        }
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        if bool::take(from)? {
            Wire::take(from).map(Self::Welcome)
        } else {
            Wire::take(from).map(Self::Refused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Run = [7; 16];

    fn identity() -> Identity {
        let hash = Digest::of(b"core");
        Identity { deployment: Digest::of(b"shop"), core: hash, processes: 3, workers: 2 }
    }

    fn greeting() -> Greeting {
        Greeting::new(&identity(), 1, (Purpose::Data, Some(RUN)))
    }

    fn refused(change: impl FnOnce(&mut Greeting), reason: &str) {
        let mut greeting = greeting();
        change(&mut greeting);
        let read = Greeting::read(&wire::to_bytes(&greeting));
        let refusal = read.and_then(|greeting| greeting.check(&identity(), 0, RUN));
        let refusal = refusal.expect_err(reason);
        assert!(refusal.reason().contains(reason), "{refusal:?} does not say {reason}");
    }

    #[test]
    fn only_processes_of_the_same_run_take_part() {
        let read = Greeting::read(&wire::to_bytes(&greeting())).expect("it was just written");
        assert_eq!(read, greeting());
        assert_eq!(read.check(&identity(), 0, RUN), Ok(()));
        refused(|greeting| greeting.magic = *b"GET / HT", "not a process of eddyline");
        refused(|greeting| greeting.wire_version += 1, "wire version");
        refused(|greeting| greeting.algorithm_version += 1, "algorithm version");
        refused(
            |greeting| greeting.identity.deployment = Digest::of(b"other"),
            "another deployment",
        );
        refused(|greeting| greeting.identity.core = Digest::of(b"other"), "[core] configuration");
        refused(|greeting| greeting.identity.workers = 1, "--workers");
        refused(|greeting| greeting.identity.processes = 2, "--hosts");
        refused(|greeting| greeting.index = 0, "waits for none of index 0");
        refused(|greeting| greeting.index = 3, "waits for none of index 3");
        refused(|greeting| greeting.run = Some([8; 16]), "another run");
        refused(|greeting| greeting.run = None, "process 0 first");
    }
}
