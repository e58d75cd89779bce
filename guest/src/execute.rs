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

mod prepare;
mod refresh;
mod remember;
mod write;

use crate::contact::{CrmContact, CrmId, FieldSet, MailboxContact, SearchKey};
use crate::crm::Crm;
use crate::http::{RemoteError, WriteError};
use crate::job::Marker;
use crate::links::{Link, Memory, Source};
use crate::mailbox::{Mailbox, MailboxRead};
use crate::mutation::{self, Mutant};
use crate::outside::{Timestamp, Write};
use crate::plan::guard::Destruction;
use crate::plan::{self, Decision, Deed, Half, PackedPair, Pair, Rules};
use crate::report::{Action, Failure, Finding, Problem, Side};

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
    /// What was destroyed.
    pub destructions: Vec<Destruction>,
    /// Pairs in step, more or fewer.
    pub links: i32,
    /// Pairs at rest, more or fewer.
    pub detached: i32,
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
    decision: Decision,
    intent: Option<SearchKey>,
    /// The CRM's record after the CRM was written.
    crm: Option<CrmContact>,
    /// The mailbox's record after the mailbox was written.
    mailbox: Option<MailboxContact>,
    marked: bool,
    written: Vec<(Side, Action)>,
    /// Whether this round of the stages is for this task: the first one, or one after a race.
    due: bool,
    end: Option<End>,
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
            self.restore(&mut works);
            self.prepare(&works, number)?;
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
        Ok(self.remember(works))
    }

    fn begin(&self, task: Task, key: SearchKey) -> Result<Work, Failure> {
        let Some(pair) = task.pair.unpack() else {
            return Err(Failure::Internal(Problem {
                message: "a packed pair cannot be read".to_owned(),
                remedy: Some("report this: it is a bug of the plugin".to_owned()),
            }));
        };
        let decision = self.decide(&pair, &task.withheld);
        Ok(Work {
            task,
            pair,
            decision,
            intent: Some(key),
            crm: None,
            mailbox: None,
            marked: false,
            written: Vec::new(),
            due: true,
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

    fn decide(&self, pair: &Pair, withheld: &FieldSet) -> Decision {
        let fields: FieldSet = self.rules.fields.difference(withheld).copied().collect();
        plan::decide(
            pair,
            &Rules {
                fields: &fields,
                ..self.rules
            },
        )
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

    fn was_created(&self) -> bool {
        match self.decision.deed {
            Deed::CreateInCrm(_) => self.crm.is_some(),
            Deed::CreateInMailbox(_) => self.mailbox.is_some(),
            _ => false,
        }
    }

    fn pair_with(&self, link: Option<Link>) -> Pair {
        Pair {
            link,
            crm: self.pair.crm.clone(),
            mailbox: self.pair.mailbox.clone(),
        }
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
