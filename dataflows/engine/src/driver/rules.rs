//! The rules that the protocol keeps, as a type: production keeps all of them, [`Sound`]; the
//! simulator plants bugs to show that it would find them.

use crate::bound::EpochInput;

/// A way to get the protocol wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// Emits an epoch before its binding is proposed.
    EmitBeforeBind,
    /// Takes the reply to an append for acceptance.
    TrustReply,
    /// Takes the identity in force instead of fencing, and any accepted binding for its own.
    NoFence,
    /// Takes a lost reply for a failure, and cuts anew.
    RecutAfterLostReply,
    /// Goes on at the end of the log after a restart.
    ResumeAtLatest,
    /// Writes a snapshot before its epoch is acknowledged.
    SnapshotBeforeAcknowledgement,
    /// Takes the clocks of what was read into a snapshot, not of what was bound.
    SnapshotClockOfLastRead,
}

/// What a driver does at the places where bugs can be planted. All defaults are sound, and cost
/// nothing once compiled.
pub(crate) trait Rules: Send {
    /// Whether the driver is to do it wrong.
    fn breaks(&self, breach: Breach) -> bool {
        let _ = breach;
        false
    }

    /// Sees each epoch before it is folded, when it is folded again after a restart and when live.
    fn tamper(&mut self, input: &mut EpochInput, is_again: bool) {
        let _ = (input, is_again);
    }
}

/// Keeps every rule.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sound;

impl Rules for Sound {}
