//! Carries out a plan's tasks in bounded batches.
//!
//! A batch goes through fixed stages, each for all its tasks at once, so that services that batch
//! can do so and nothing is ever in a state that the next pass could not continue from:
//!
//! 1. *refresh*: what is about to be written or destroyed is read again, and decided again;
//! 2. *prepare*: what must come back from the CRM's trash is restored; intents of creates, and the
//!    journal of what will be lost, are committed;
//! 3. the CRM is written, then the mailbox, then the marker;
//! 4. *remember*: links, closed intents and settled pendings, which the pass commits together with
//!    what it counts.
//!
//! A task that is not done is put off, never half remembered: its link keeps the old base, and the
//! next pass merges again from what is then there.

mod halves;
mod journalled;
mod prepare;
mod refresh;
mod remember;
mod restore;
mod times;
mod write;

pub use remember::{difference, foretold};
pub use restore::RESTORING;

use crate::contact::{CrmContact, CrmId, FieldSet, MailboxContact, SearchKey};
use crate::crm::Crm;
use crate::http::{RemoteError, WriteError};
use crate::job::Marker;
use crate::links::{Edited, Link, Memory, Packed, Source};
use crate::mailbox::{Mailbox, MailboxRead};
use crate::mutation::{self, Mutant};
use crate::outside::{Timestamp, Write};
use crate::plan::approval::{self, Judged};
use crate::plan::guard::Destruction;
use crate::plan::restore::Wish;
use crate::plan::{self, Decision, Deed, Half, PackedPair, Pair, Rules};
use crate::report::{Action, Failure, Finding, Problem, Side};
use journalled::Replaced;

/// Tasks of one batch. Each takes at most five requests, so that a step stays below the hundred of
/// `sync.wit`.
pub const BATCH_TASKS_MAX: usize = 20;

/// How often a record that moves on under a write is read, merged and tried again (contract, 7.5).
const RACES_MAX: u32 = 3;

/// One pair of a plan, to be carried out.
#[derive(Clone, Debug)]
pub struct Task {
    /// The pair as it was planned.
    pub pair: PackedPair,
    /// What was planned. Executing may come to something else, but to nothing that destroys more.
    pub planned: Planned,
    /// Fields that the guard withholds from this pair.
    pub withheld: FieldSet,
    /// What people said of it.
    pub judged: Judged,
    /// What a person wants back of it, in a pass that restores.
    pub wish: Option<Packed<Wish>>,
    /// What closes when this is done: a settled question, a pending row.
    pub settles: Vec<Source>,
    /// The first of its operations in the plan, and how many there are.
    pub operations: (usize, usize),
}

/// What a task was planned to destroy; kept instead of the whole decision.
pub type Planned = Vec<Destruction>;

/// What a batch came to.
#[derive(Debug)]
pub struct Batch {
    /// What became of each task.
    pub outcomes: Vec<Outcome>,
    /// Of tasks that have not come to their end: what is remembered of their pairs all the same.
    pub halves: Vec<Option<Link>>,
    /// What is to be remembered of it: one commit, together with what the pass counts.
    pub writes: Vec<Write>,
}

/// What became of a task.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Done and remembered.
    Done(Box<Done>),
    /// Put off: the next pass takes it up again.
    PutOff {
        /// Why: a code.
        reason: &'static str,
        /// For people.
        problem: Option<Problem>,
    },
    /// Not begun, and nothing is wrong with it: the service is.
    NotDone(RemoteError),
}

/// What a task did.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// What was written where.
    pub written: Vec<(Side, Action)>,
    /// How many values lost a conflict.
    pub conflicts: u32,
    /// What people have not been told yet.
    pub findings: Vec<Finding>,
    /// What was destroyed, and counts for the guard: what a person approved does not.
    pub destructions: Vec<Destruction>,
    /// Whether a part of it is left to the next pass.
    pub leaves_rest: bool,
    /// Pairs in step, more or fewer.
    pub links: i32,
    /// Pairs at rest, more or fewer.
    pub detached: i32,
    /// What this leaves to be done by a task of its own: a contact that was created from the
    /// journal goes to the mailbox too.
    pub follow_up: Option<PackedPair>,
}

/// What a batch works with.
pub struct Executor<'a, C, M> {
    /// The CRM.
    pub crm: &'a C,
    /// The mailbox.
    pub mailbox: &'a M,
    /// The store.
    pub memory: &'a Memory,
    /// The pass's rules.
    pub rules: Rules<'a>,
    /// This mailbox's marker.
    pub marker: &'a Marker,
    /// The id of the pass.
    pub pass: &'a str,
    /// When the batch began.
    pub now: Timestamp,
}

/// One task on its way through the stages.
struct Work {
    task: Task,
    pair: Pair,
    /// The link as it is stored; that of `pair` is what the next round merges with.
    stored: Option<Link>,
    decision: Decision,
    intent: Option<SearchKey>,
    /// The CRM's record after the CRM was written.
    crm: Option<CrmContact>,
    /// The mailbox's record after the mailbox was written.
    mailbox: Option<MailboxContact>,
    marked: bool,
    written: Vec<(Side, Action)>,
    /// What updates replaced, for the journal.
    replaced: Vec<Replaced>,
    /// What a person wants back.
    wish: Option<Wish>,
    /// The marker of the mailbox whose deletion this pair outlives.
    old_marker: OldMarker,
    /// When users edited what the CRM held before this task.
    times: Option<Edited>,
    /// Whether this round of the stages is for this task: the first one, or one after a race.
    due: bool,
    /// What came back would lose more than was planned: the rest is the next pass's.
    leaves_rest: bool,
    end: Option<End>,
}

/// What became of a marker that must not come back with a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OldMarker {
    /// Nobody has looked for it.
    Unasked,
    /// What an earlier pass left behind was taken away.
    Taken,
    /// It could not be taken away: the next pass does.
    Left,
}

/// Why a task goes no further.
enum End {
    Stale,
    PutOff {
        reason: &'static str,
        problem: Option<Problem>,
    },
    NotDone(RemoteError),
}

impl<C: Crm, M: Mailbox> Executor<'_, C, M> {
    /// Carries out at most [`BATCH_TASKS_MAX`] tasks. `keys` are random, one per task; `number`
    /// tells the pass's journal entries apart and is counted on.
    pub fn batch(
        &self,
        tasks: Vec<Task>,
        keys: &[SearchKey],
        number: &mut u32,
    ) -> Result<Batch, Failure> {
        let mut works = Vec::with_capacity(tasks.len());
        for (task, key) in tasks.into_iter().zip(keys) {
            works.push(self.begin(task, key.clone())?);
        }
        self.check_lease(&works)?;
        for race in 0..RACES_MAX {
            self.refresh(&mut works, race > 0);
            self.restore(&mut works)?;
            let times = self.times_before(&mut works)?;
            self.prepare(&works, times, number)?;
            self.write_crm(&mut works);
            self.write_mailbox(&mut works);
            self.write_marker(&mut works);
            if !works
                .iter()
                .any(|work| matches!(work.end, Some(End::Stale)))
            {
                break;
            }
        }
        Ok(self.remember(works, number))
    }

    fn begin(&self, task: Task, key: SearchKey) -> Result<Work, Failure> {
        let wish = task.wish.as_ref().map(Packed::unpack);
        let (Some(pair), None | Some(Some(_))) = (task.pair.unpack(), &wish) else {
            return Err(Failure::Internal(Problem {
                message: "a packed pair cannot be read".to_owned(),
                remedy: Some("report this: it is a bug of the plugin".to_owned()),
            }));
        };
        let wish = wish.flatten();
        let decision = self.decide(&pair, &task, wish.as_ref());
        Ok(Work {
            task,
            stored: pair.link.clone(),
            pair,
            decision,
            intent: Some(key),
            crm: None,
            mailbox: None,
            marked: false,
            written: Vec::new(),
            replaced: Vec::new(),
            wish,
            old_marker: OldMarker::Unasked,
            times: None,
            due: true,
            leaves_rest: false,
            end: None,
        })
    }

    /// Reading the links also asks whether the lease still holds, before anything is sent.
    fn check_lease(&self, works: &[Work]) -> Result<(), Failure> {
        if mutation::is_on(Mutant::LeaseNotChecked) {
            return Ok(());
        }
        let ids: Vec<CrmId> = works.iter().filter_map(|work| work.pair.crm_id()).collect();
        self.memory.links(&ids).map(|_| ())
    }

    /// What is to be done with a pair, fields withheld by the guard aside.
    ///
    /// Where the store does not answer, nobody knows when anything was edited, and the CRM's values
    /// stay; the commit before the next write says what is wrong with it.
    fn decide(&self, pair: &Pair, task: &Task, wish: Option<&Wish>) -> Decision {
        let fields = self.fields_of(task);
        let rules = self.rules_with(&fields);
        if let Some(wish) = wish {
            return plan::restore::decide(pair, wish, &rules);
        }
        let decide = |rules: &Rules| approval::decide(pair, rules, &task.judged.rejected);
        let times = |id: &CrmId| self.memory.edited(id);
        plan::decide_by_time(pair, &rules, times, decide).unwrap_or_else(|_| decide(&rules))
    }

    /// What a decision of this task would destroy.
    fn destructions(&self, pair: &Pair, decision: &Decision, task: &Task) -> Vec<Destruction> {
        let fields = self.fields_of(task);
        let rejected = &task.judged.rejected;
        approval::destructions(pair, decision, &self.rules_with(&fields), rejected)
    }

    fn fields_of(&self, task: &Task) -> FieldSet {
        let withheld = &task.withheld;
        self.rules.fields.difference(withheld).copied().collect()
    }

    fn rules_with<'b>(&'b self, fields: &'b FieldSet) -> Rules<'b> {
        Rules {
            fields,
            ..self.rules
        }
    }
}

impl Work {
    fn fail(&mut self, error: WriteError, reason: &'static str) {
        self.end = Some(match error {
            WriteError::Stale => End::Stale,
            WriteError::NotFound => End::PutOff {
                reason: "gone-meanwhile",
                problem: None,
            },
            WriteError::Refused(problem) => End::PutOff {
                reason,
                problem: Some(problem),
            },
            WriteError::Unknown(problem) => End::PutOff {
                reason: "answer-lost",
                problem: Some(problem),
            },
            WriteError::NotDone(error) => End::NotDone(error),
        });
    }

    fn is_open(&self) -> bool {
        self.due && self.end.is_none()
    }

    fn was_restored(&self) -> bool {
        self.written.contains(&(Side::Crm, Action::Restore))
    }

    /// Whether a person asks for values, rather than for the contact.
    fn brings_values_back(&self) -> bool {
        let wish = self.wish.as_ref();
        wish.is_some_and(|wish| !wish.edits.is_empty())
    }

    fn was_created(&self) -> bool {
        match self.decision.deed {
            Deed::CreateInCrm(_) => self.crm.is_some(),
            Deed::CreateInMailbox(_) => self.mailbox.is_some(),
            _ => false,
        }
    }

    fn is_unmarked(&self) -> bool {
        matches!(&self.pair.crm, Half::Present(contact) if contact.marked != Some(true))
    }
}

/// What a read of a mailbox contact says about its half of a pair.
pub fn mailbox_half(read: MailboxRead) -> Half<MailboxContact> {
    match read {
        MailboxRead::Present(contact) => Half::Present(contact),
        MailboxRead::Moved(_) => Half::Astray,
        MailboxRead::Deleted => Half::Deleted,
        MailboxRead::Unreadable(problem) => Half::Unreadable(problem),
    }
}

/// What each open task asks for in a stage, and which task asks.
fn open<A>(works: &[Work], ask: impl Fn(&Work) -> Option<A>) -> Vec<(usize, A)> {
    works
        .iter()
        .enumerate()
        .filter(|(_, work)| work.is_open())
        .filter_map(|(index, work)| Some((index, ask(work)?)))
        .collect()
}
