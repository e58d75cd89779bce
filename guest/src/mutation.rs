//! Bugs on purpose, to see whether the proofs see them.
//!
//! A proof that cannot fail proves nothing. Each [`Mutant`] breaks one promise of the contract at
//! the place that keeps it, and the mutation check shows that some proof notices. Without the
//! feature `mutations` all of this is a constant `false`: the component that is shipped is built
//! without it.

#[cfg(all(feature = "mutations", target_arch = "wasm32"))]
compile_error!("the component is built without bugs on purpose: leave the feature `mutations` out");

/// One promise, broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// The positions are stored before what they stand behind is done (7.4).
    PositionBeforeLinks,
    /// What is put off is not written down with the position (7.4).
    PendingForgotten,
    /// What a pass wrote is compared with the base from before it (7.6).
    EchoTakenForEdit,
    /// What both sides agree on is forgotten where only one of them took its part (7.6).
    HalfForgotten,
    /// Who takes somebody's place is compared with what that one held (section 3).
    FormerBaseKept,
    /// The base is what was sent, not what was read back (section 1).
    BaseAsSent,
    /// Of each kind of destruction the guard counts the first only (7.1).
    GuardMiscounts,
    /// The guard forgets what earlier passes of the day destroyed (7.1).
    GuardWindowForgotten,
    /// A side that suddenly shows nothing is believed (7.1).
    EmptySideBelieved,
    /// Which value stood in which slot is not looked up (section 4).
    SlotTableIgnored,
    /// A value is first looked for in its slot, then by what it is (section 4).
    SlotsBeforeValues,
    /// A freed slot is taken by a value that was already waiting (section 4).
    WaitingTakesFreedSlot,
    /// What cannot be read is taken for a clearing (section 4).
    OpaqueTakenForEmpty,
    /// A field that is mapped no longer is taken for cleared (section 4).
    LostFieldTakenForCleared,
    /// Letters of a phone number are dialled (section 4).
    LettersDialled,
    /// Two writings of a number are two numbers (section 4).
    WritingsCompared,
    /// A CRM value that nobody edited gets Exchange's writing (section 4, `GetPut`).
    CrmRewritten,
    /// A mailbox value that nobody edited gets the canonical writing (section 4, `GetPut`).
    ViewRewritten,
    /// Values without a slot go when their list is written (section 4, `Preservation`).
    SlotlessDropped,
    /// The type of a value does not follow its room (section 4).
    TypeForgotten,
    /// What the mailbox has no room for is not told (section 4).
    NoRoomUntold,
    /// Among several the first one is the same person (section 6).
    FirstCandidateWins,
    /// A value that lost is not named (section 5).
    ConflictUntold,
    /// Any 404 of a mailbox says that the contact is gone (section 3).
    AnyNotFoundIsDeletion,
    /// What is in Deleted Items has merely been moved (section 3).
    DeletedItemsAreMoved,
    /// What was moved to another folder is deleted (section 3).
    MovedIsDeleted,
    /// Neither there nor in the CRM's trash is deleted (section 3).
    VanishedIsDeleted,
    /// An edit in the mailbox makes a new CRM contact of a deleted one (section 3).
    RebuiltFromView,
    /// An entry of the feed brings a tombstone back without a read (section 3).
    ReplayedEntryImported,
    /// A forgotten pair leaves no tombstone (section 3).
    TombstoneForgotten,
    /// A marker that was never seen can be taken away (2.3).
    UnseenMarkerRemoved,
    /// A restored contact keeps the marker of the mailbox that deleted it (section 3).
    MarkerOfCauseKept,
    /// A create is not written down before it is sent (7.3).
    IntentNotWritten,
    /// What an open intent may have created is not looked for (7.3).
    OpenIntentsIgnored,
    /// A create that does not show at once did not happen (7.3).
    SettledAtOnce,
    /// A key on two contacts proves something about the first of them (7.3).
    CopiedKeyIsProof,
    /// A deletion leaves nothing in the journal (7.2).
    DeletionNotInJournal,
    /// A value that lost leaves nothing in the journal (7.2).
    ConflictNotInJournal,
    /// The CRM's record is not read before it is written (7.5).
    CrmNotReadBeforeWrite,
    /// A deletion is not confirmed when it is carried out (section 3).
    DeletionNotConfirmed,
    /// A write names no version (7.5).
    VersionNotNamed,
    /// A lost sync state is taken for a page without changes (7.7).
    LostStateIsQuiet,
    /// What outlives an id is believed of a copy, with the contact in another folder (section 3).
    CopyLeftBehindBelieved,
    /// A property that was emptied is left as it was (section 4).
    EmptiedPropertyLeft,
    /// A contact is deleted without a look at its version (7.5).
    DeletionNotCompared,
    /// What is wrong with the first item of a request is wrong with all (7.8).
    FirstRefusalForAll,
    /// What a lost create may have made is not searched for by its key (7.3).
    KeyNotSearched,
    /// The lease is not asked for before writes (7.9).
    LeaseNotChecked,
}

impl Mutant {
    /// How many there are.
    pub const COUNT: usize = Self::LeaseNotChecked as usize + 1;
}

#[cfg(feature = "mutations")]
pub use switch::run_with;

#[cfg(feature = "mutations")]
pub(crate) use switch::is_on;

/// Whether a bug is switched on: never.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn is_on(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutations")]
mod switch {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Runs something with a bug in this thread, or with none.
    pub fn run_with<T>(mutant: Option<Mutant>, run: impl FnOnce() -> T) -> T {
        let before = ON.replace(mutant);
        let result = run();
        ON.set(before);
        result
    }

    pub(crate) fn is_on(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }
}
