//! The whole engine against the simulator, in virtual time: one seed is one world.
//!
//! A [`History`] says what people do, when passes run and what goes wrong in them; it is drawn from
//! a seed, and is data: it can be printed, shortened and played again. Playing ends at rest, where
//! the contract's section 9 must hold; every pass is watched for what it deletes. What the oracle
//! knows it learns from people's own deeds and from the services, not from the engine.
//!
//! | room | does |
//! |---|---|
//! | [`history`] | what happens, as data |
//! | [`values`] | what people write, each value with a number of its own, and how it is read |
//! | `generate` | a history from a seed |
//! | `hands` | how an edit changes a record |
//! | `people` | who is who, and what they did: the oracle's memory |
//! | `player` | plays a history |
//! | `oracle` | what must hold |
//! | `shrink` | makes a failing history short |
//! | `sabotage` | engines that do something wrong on purpose |
//!
//! Each mailbox is in Office 365 or on an Exchange Server, so that mixed worlds are common.
//!
//! Not here: restores from the journal, and more than three mailboxes.

mod generate;
mod hands;
pub mod history;
mod oracle;
mod people;
mod player;
mod sabotage;
mod shrink;
pub mod values;

pub use generate::generate;
pub use history::History;
pub use oracle::Violation;
pub use player::{Census, Verdict, play, requests};
pub use sabotage::Sabotage;
pub use shrink::shrink;

use contact_sync_guest::mutation::{self, Mutant};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Plays the world of a seed.
pub fn run(seed: u64, sabotage: Option<Sabotage>) -> Verdict {
    guarded(|| play(&generate(seed), sabotage))
}

/// Plays the world of a seed with an engine that breaks one promise.
pub fn run_with_mutant(seed: u64, mutant: Mutant) -> Verdict {
    mutation::run_with(Some(mutant), || run(seed, None))
}

/// Promises whose breaking shows within some hundred worlds in what becomes of people's contacts.
/// What a pass tells and how it counts is proven elsewhere.
pub const MUTANTS: [Mutant; 16] = [
    Mutant::PositionBeforeLinks,
    Mutant::PendingForgotten,
    Mutant::EchoTakenForEdit,
    Mutant::OpaqueTakenForEmpty,
    Mutant::LostFieldTakenForCleared,
    Mutant::CrmRewritten,
    Mutant::ViewRewritten,
    Mutant::SlotlessDropped,
    Mutant::TypeForgotten,
    Mutant::DeletedItemsAreMoved,
    Mutant::MovedIsDeleted,
    Mutant::VanishedIsDeleted,
    Mutant::TombstoneForgotten,
    Mutant::OpenIntentsIgnored,
    Mutant::ConflictNotInJournal,
    Mutant::CrmNotReadBeforeWrite,
];

/// Promises that matter only where several things go wrong at once: it takes thousands of worlds to
/// meet that.
pub const RARE_MUTANTS: [Mutant; 9] = [
    Mutant::BaseAsSent,
    Mutant::FirstCandidateWins,
    Mutant::AnyNotFoundIsDeletion,
    Mutant::RebuiltFromView,
    Mutant::ReplayedEntryImported,
    Mutant::MarkerOfCauseKept,
    Mutant::IntentNotWritten,
    Mutant::SettledAtOnce,
    Mutant::DeletionNotConfirmed,
];

/// A panic is a verdict too.
fn guarded(play: impl FnOnce() -> Verdict) -> Verdict {
    catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| {
            payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
        });
        Verdict {
            violations: vec![Violation {
                rule: "panic",
                what: text.unwrap_or_default(),
            }],
            ..Verdict::default()
        }
    })
}
