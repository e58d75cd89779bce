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

use std::collections::BTreeMap;

use crate::contact::{
    ChangeKey, CrmContact, CrmFields, CrmId, FieldSet, MailboxContact, MailboxId, SearchKey, View,
};
use crate::crm::{Crm, CrmEdit, CrmRead, MarkerChange};
use crate::http::{RemoteError, WriteError};
use crate::job::Marker;
use crate::journal::{self, Cause, JournalEntry, Record};
use crate::links::{Deletion, Intent, Link, Memory, Source, Standing};
use crate::mailbox::{Mailbox, MailboxDraft, MailboxEdit, MailboxRead};
use crate::mapping;
use crate::outside::{Timestamp, Write};
use crate::plan::guard::Destruction;
use crate::plan::matching::Candidate;
use crate::plan::merge::{Conflict, Merged};
use crate::plan::{self, Decision, Deed, Half, PackedPair, Pair, Rules};
use crate::report::{Action, Change, Failure, Finding, Problem, Severity, Side};

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

    // ---- refresh --------------------------------------------------------------------------------

    /// FLOWFACT has no versions: a CRM record is read immediately before it is written or
    /// destroyed, and so is whatever a deletion rests on. A mailbox record carries its version; it
    /// is read again only after a race, or where the CRM is to lose its contact because the mailbox
    /// has none.
    fn refresh(&self, works: &mut [Work], is_race: bool) {
        for work in works.iter_mut() {
            work.due = if is_race {
                matches!(work.end, Some(End::Stale))
            } else {
                true
            };
            if work.due {
                work.end = None;
                work.crm = None;
                work.mailbox = None;
            }
        }
        let crm = open(works, |work| {
            let reads = is_race || reads_crm(&work.pair, &work.decision);
            work.pair.crm_id().filter(|_| reads)
        });
        let mailbox = open(works, |work| {
            let reads = is_race || matches!(work.decision.deed, Deed::DeleteInCrm);
            work.pair.mailbox_id().filter(|_| reads)
        });
        self.refresh_crm(works, &crm);
        self.refresh_mailbox(works, &mailbox);
        let mut read: Vec<usize> = crm.iter().map(|(index, _)| *index).collect();
        read.extend(mailbox.iter().map(|(index, _)| *index));
        for index in read {
            if let Some(work) = works.get_mut(index) {
                self.decide_again(work);
            }
        }
    }

    fn refresh_crm(&self, works: &mut [Work], wanted: &[(usize, CrmId)]) {
        let ids: Vec<CrmId> = wanted.iter().map(|(_, id)| id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        match self.crm.read(&ids) {
            Ok(reads) => {
                for ((index, _), read) in wanted.iter().zip(reads) {
                    let Some(work) = works.get_mut(*index) else {
                        continue;
                    };
                    work.pair.crm = match (read, &work.pair.crm) {
                        (CrmRead::Present(mut contact), before) => {
                            // Where the marker is kept beside the contact, this read does not say
                            // it.
                            if let (None, Half::Present(before)) = (contact.marked, before) {
                                contact.marked = before.marked;
                            }
                            Half::Present(contact)
                        }
                        (CrmRead::NotFound, before @ (Half::Deleted | Half::Astray)) => {
                            before.clone()
                        }
                        // Gone since it was planned: the next pass asks the trash why.
                        (CrmRead::NotFound, _) => Half::Astray,
                        (CrmRead::Unreadable(problem), _) => Half::Unreadable(problem),
                    };
                }
            }
            Err(error) => not_done(works, wanted, &error),
        }
    }

    fn refresh_mailbox(&self, works: &mut [Work], wanted: &[(usize, MailboxId)]) {
        let ids: Vec<MailboxId> = wanted.iter().map(|(_, id)| id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        match self.mailbox.read(&ids) {
            Ok(reads) => {
                for ((index, _), read) in wanted.iter().zip(reads) {
                    let Some(work) = works.get_mut(*index) else {
                        continue;
                    };
                    work.pair.mailbox = mailbox_half(read);
                }
            }
            Err(error) => not_done(works, wanted, &error),
        }
    }

    /// What was read may change what is to be done, but not to anything more destructive than what
    /// was planned, previewed and counted by the guard.
    fn decide_again(&self, work: &mut Work) {
        if work.end.is_some() {
            return;
        }
        work.decision = self.decide(&work.pair, &work.task.withheld);
        let destructions = plan::destructions(&work.pair, &work.decision);
        if destructions
            .iter()
            .any(|kind| !work.task.planned.contains(kind))
        {
            work.end = Some(End::PutOff {
                reason: "changed-meanwhile",
                problem: None,
            });
        }
    }

    // ---- prepare --------------------------------------------------------------------------------

    fn prepare(&self, works: &[Work], number: &mut u32) -> Result<(), Failure> {
        let mut writes = Vec::new();
        for work in works.iter().filter(|work| work.is_open()) {
            if let Some(intent) = self.intent(work) {
                writes.push(self.memory.open_intent(&intent));
            }
            for entry in self.losses(work) {
                writes.push(journal::write(self.memory, &entry, *number));
                *number = number.saturating_add(1);
            }
            if let (Deed::DeleteInCrm, Some(id)) = (&work.decision.deed, work.pair.crm_id()) {
                let deletion = Deletion {
                    marker: self.marker.clone(),
                    at: self.now,
                };
                writes.push(self.memory.set_deletion(&id, Some(&deletion)));
            }
        }
        if writes.is_empty() {
            Ok(())
        } else {
            self.memory.commit(writes)
        }
    }

    fn intent(&self, work: &Work) -> Option<Intent> {
        let key = work.intent.clone()?;
        let (source, candidate) = match &work.decision.deed {
            Deed::CreateInMailbox(merged) => (
                Source::Crm(work.pair.crm_id()?),
                Candidate::of_mailbox(key.clone(), &merged.view, self.rules.region),
            ),
            Deed::CreateInCrm(merged) => (
                Source::Mailbox(work.pair.mailbox_id()?),
                Candidate::of_crm(key.clone(), &merged.crm, self.rules.region),
            ),
            _ => return None,
        };
        Some(Intent {
            key,
            source,
            at: self.now,
            candidate,
        })
    }

    /// Journal entries for what this task will delete or overwrite.
    fn losses(&self, work: &Work) -> Vec<JournalEntry> {
        let pair = &work.pair;
        let entry = |side, cause, lost, record| JournalEntry {
            at: self.now,
            pass: self.pass.to_owned(),
            side,
            cause,
            contact: pair.name(),
            lost,
            record,
        };
        match &work.decision.deed {
            Deed::DeleteInCrm => {
                let lost = mapping::changes(&pair.crm_fields(), &CrmFields::EMPTY);
                let record = match &pair.crm {
                    Half::Present(contact) => Some(Record::Crm(contact.clone())),
                    _ => None,
                };
                vec![entry(Side::Crm, Cause::Deleted, lost, record)]
            }
            Deed::DeleteInMailbox => {
                let lost = mapping::changes(&pair.view(), &View::EMPTY);
                let record = pair.mailbox_contact().map(Record::Mailbox);
                vec![entry(Side::Mailbox, Cause::Deleted, lost, record)]
            }
            Deed::Agree { merged, .. } => [Side::Crm, Side::Mailbox]
                .into_iter()
                .filter_map(|side| {
                    let lost = conflict_losses(merged, side);
                    (!lost.is_empty()).then(|| entry(side, Cause::Overwritten, lost, None))
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    // ---- the CRM --------------------------------------------------------------------------------

    fn restore(&self, works: &mut [Work]) {
        let wanted = open(works, |work| match work.decision.deed {
            Deed::RestoreInCrm => work.pair.crm_id(),
            _ => None,
        });
        let ids: Vec<CrmId> = wanted.iter().map(|(_, id)| id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        for ((index, _), answer) in wanted.iter().zip(self.crm.restore(&ids)) {
            let Some(work) = works.get_mut(*index) else {
                continue;
            };
            match answer {
                Ok(contact) => {
                    work.written.push((Side::Crm, Action::Restore));
                    work.pair.crm = Half::Present(contact);
                    self.take_marker_of_cause(work);
                    // As a first decision of this pair, now that both halves are there.
                    work.decision = self.decide_restored(work);
                }
                Err(error) => work.fail(error, "cannot-be-restored"),
            }
        }
    }

    /// A contact that a deletion in another mailbox took away comes back without that mailbox's
    /// marker, or it would be created there again (contract, section 3).
    fn take_marker_of_cause(&self, work: &mut Work) {
        let Some(id) = work.pair.crm_id() else { return };
        let cause = self.memory.deletions(std::slice::from_ref(&id));
        let Ok(Some(Some(cause))) = cause.map(|mut causes| causes.pop()) else {
            return;
        };
        if cause.marker != *self.marker {
            let change = MarkerChange {
                id,
                marker: Some(cause.marker),
                set: false,
            };
            if let Some(Err(error)) = self.crm.mark(&[change]).pop() {
                work.fail(error, "marker-not-taken");
            }
        }
    }

    fn decide_restored(&self, work: &mut Work) -> Decision {
        if let Half::Present(contact) = &mut work.pair.crm
            && contact.marked == Some(false)
            && let Some(link) = &mut work.pair.link
        {
            link.marker_seen = false;
        }
        self.decide(&work.pair, &work.task.withheld)
    }

    fn write_crm(&self, works: &mut [Work]) {
        self.update_crm(works);
        self.create_crm(works);
        self.delete_crm(works);
    }

    fn update_crm(&self, works: &mut [Work]) {
        let edits = open(works, |work| {
            let Deed::Agree { merged, .. } = &work.decision.deed else {
                return None;
            };
            let Half::Present(contact) = &work.pair.crm else {
                return None;
            };
            (merged.crm != contact.fields).then(|| CrmEdit {
                id: contact.id.clone(),
                before: contact.fields.clone(),
                after: merged.crm.clone(),
            })
        });
        each(
            works,
            edits,
            |edits| self.crm.update(edits),
            |work, contact| {
                work.written.push((Side::Crm, Action::Update));
                work.crm = Some(contact);
            },
        );
    }

    fn create_crm(&self, works: &mut [Work]) {
        let drafts = open(works, |work| match &work.decision.deed {
            Deed::CreateInCrm(merged) => Some(merged.crm.clone()),
            _ => None,
        });
        each(
            works,
            drafts,
            |drafts| self.crm.create(drafts),
            |work, contact| {
                work.written.push((Side::Crm, Action::Create));
                work.crm = Some(contact);
            },
        );
    }

    fn delete_crm(&self, works: &mut [Work]) {
        let ids = open(works, |work| match work.decision.deed {
            Deed::DeleteInCrm => work.pair.crm_id(),
            _ => None,
        });
        each_gone(works, ids, |ids| self.crm.delete(ids), Side::Crm);
    }

    // ---- the mailbox ----------------------------------------------------------------------------

    fn write_mailbox(&self, works: &mut [Work]) {
        self.update_mailbox(works);
        self.create_mailbox(works);
        self.delete_mailbox(works);
    }

    fn update_mailbox(&self, works: &mut [Work]) {
        let edits = open(works, |work| {
            let Deed::Agree { merged, .. } = &work.decision.deed else {
                return None;
            };
            let (id, change_key) = work.pair.mailbox_version()?;
            let before = work.pair.view();
            (merged.view != before).then(|| MailboxEdit {
                id,
                change_key,
                before,
                after: merged.view.clone(),
            })
        });
        each(
            works,
            edits,
            |edits| self.mailbox.update(edits),
            |work, contact| {
                work.written.push((Side::Mailbox, Action::Update));
                work.mailbox = Some(contact);
            },
        );
    }

    fn create_mailbox(&self, works: &mut [Work]) {
        let drafts = open(works, |work| match (&work.decision.deed, &work.intent) {
            (Deed::CreateInMailbox(merged), Some(key)) => Some(MailboxDraft {
                key: key.clone(),
                view: merged.view.clone(),
            }),
            _ => None,
        });
        each(
            works,
            drafts,
            |drafts| self.mailbox.create(drafts),
            |work, contact| {
                work.written.push((Side::Mailbox, Action::Create));
                work.mailbox = Some(contact);
            },
        );
    }

    fn delete_mailbox(&self, works: &mut [Work]) {
        let versions = open(works, |work| match work.decision.deed {
            Deed::DeleteInMailbox => work.pair.mailbox_version(),
            _ => None,
        });
        each_gone(
            works,
            versions,
            |versions| self.mailbox.delete(versions),
            Side::Mailbox,
        );
    }

    // ---- the marker -----------------------------------------------------------------------------

    fn write_marker(&self, works: &mut [Work]) {
        let place = self.crm.marker_place();
        let changes = open(works, |work| {
            let contact = work.crm.as_ref();
            let set = match &work.decision.deed {
                Deed::Agree { mark: true, .. } => true,
                Deed::CreateInCrm(_) => match contact.and_then(|contact| contact.marked) {
                    Some(marked) if marked => return None,
                    Some(_) => true,
                    None if place == crate::crm::MarkerPlace::Entries => true,
                    None => return None,
                },
                Deed::Unmark => false,
                _ => return None,
            };
            let id = contact
                .map(|contact| contact.id.clone())
                .or_else(|| work.pair.crm_id())?;
            (!work.marked).then_some(MarkerChange {
                id,
                marker: None,
                set,
            })
        });
        each(
            works,
            changes,
            |changes| self.crm.mark(changes),
            |work, ()| {
                let action = if matches!(work.decision.deed, Deed::Unmark) {
                    Action::Unmark
                } else {
                    Action::Mark
                };
                work.marked = true;
                work.written.push((Side::Crm, action));
            },
        );
    }

    // ---- remember -------------------------------------------------------------------------------

    fn remember(&self, works: Vec<Work>) -> Batch {
        let mut batch = Batch {
            outcomes: Vec::with_capacity(works.len()),
            writes: Vec::new(),
        };
        for work in works {
            let outcome = self.conclude(work, &mut batch.writes);
            batch.outcomes.push(outcome);
        }
        batch
    }

    fn conclude(&self, work: Work, writes: &mut Vec<Write>) -> Outcome {
        if work.was_created() {
            // Whatever came after the create: the new contact must be known, or it would be created
            // twice. A marker that could not be set is found missing and set by a later pass.
            return self.conclude_done(work, writes);
        }
        self.forget_unused_cause(&work, writes);
        match work.end {
            None => match work.decision.deed {
                Deed::Hold(problem) => Outcome::PutOff {
                    reason: work.decision.reason,
                    problem,
                },
                _ => self.conclude_done(work, writes),
            },
            Some(End::Stale) => {
                self.close_unsent_intent(&work, writes);
                Outcome::PutOff {
                    reason: "edited-meanwhile",
                    problem: None,
                }
            }
            Some(End::PutOff {
                reason,
                ref problem,
            }) => {
                if reason != "answer-lost" {
                    self.close_unsent_intent(&work, writes);
                }
                Outcome::PutOff {
                    reason,
                    problem: problem.clone(),
                }
            }
            Some(End::NotDone(ref error)) => {
                self.close_unsent_intent(&work, writes);
                Outcome::NotDone(error.clone())
            }
        }
    }

    /// Who takes a CRM contact away is written down before it is; where it was not taken away,
    /// nobody did. A lost answer leaves it: it may have been.
    fn forget_unused_cause(&self, work: &Work, writes: &mut Vec<Write>) {
        let was_planned = work
            .task
            .planned
            .contains(&Destruction::Deletion(Side::Crm));
        let may_be_done = match &work.end {
            None => matches!(work.decision.deed, Deed::DeleteInCrm),
            Some(End::PutOff { reason, .. }) => *reason == "answer-lost",
            Some(End::Stale | End::NotDone(_)) => false,
        };
        if let (true, false, Some(id)) = (was_planned, may_be_done, work.pair.crm_id()) {
            writes.push(self.memory.set_deletion(&id, None));
        }
    }

    fn close_unsent_intent(&self, work: &Work, writes: &mut Vec<Write>) {
        let creates = matches!(
            work.decision.deed,
            Deed::CreateInCrm(_) | Deed::CreateInMailbox(_)
        );
        if let (true, Some(key)) = (creates, &work.intent) {
            writes.push(self.memory.close_intent(key));
        }
    }

    fn conclude_done(&self, mut work: Work, writes: &mut Vec<Write>) -> Outcome {
        let before = work.pair.link.take();
        let after = self.link_after(&work, before.as_ref());
        let (findings, told) = self.untold(&work, before.as_ref());
        let destructions = if work.end.is_none() {
            plan::destructions(&work.pair_with(before.clone()), &work.decision)
        } else {
            Vec::new()
        };
        let conflicts = match &work.decision.deed {
            Deed::Agree { merged, .. } => u32::try_from(merged.conflicts.len()).unwrap_or(u32::MAX),
            _ => 0,
        };
        if let Some(mut link) = after.clone() {
            link.told = told;
            writes.extend(self.memory.set_link(before.as_ref(), &link));
        }
        if work.was_created() {
            self.close_unsent_intent(&work, writes);
        }
        let was_restored = work.written.contains(&(Side::Crm, Action::Restore));
        let is_back = before.as_ref().is_some_and(Link::is_tombstone)
            && after.as_ref().is_some_and(Link::is_linked);
        if let (true, Some(link)) = (was_restored || is_back, &after) {
            // Whoever deletes it next is another cause.
            writes.push(self.memory.set_deletion(&link.crm_id, None));
        }
        for source in &work.task.settles {
            writes.push(self.memory.set_pending(source, None));
            if let Source::Mailbox(id) = source {
                writes.push(self.memory.set_answer(id, None));
            }
        }
        Outcome::Done(Box::new(Done {
            written: work.written,
            conflicts,
            findings,
            destructions,
            links: difference(before.as_ref(), after.as_ref(), Standing::Linked),
            detached: difference(before.as_ref(), after.as_ref(), Standing::Detached),
        }))
    }

    /// The link as it is to be remembered; `None` where there is none.
    fn link_after(&self, work: &Work, before: Option<&Link>) -> Option<Link> {
        let gone = Standing::Tombstone { at: self.now };
        match &work.decision.deed {
            Deed::Agree { merged, .. }
            | Deed::CreateInCrm(merged)
            | Deed::CreateInMailbox(merged) => self.agreed(work, before, merged),
            Deed::DeleteInCrm | Deed::DeleteInMailbox | Deed::Unmark | Deed::Forget => {
                before.map(|link| Link {
                    standing: gone,
                    marker_seen: false,
                    ..link.clone()
                })
            }
            Deed::Detach => before.map(|link| Link {
                standing: Standing::Detached,
                marker_seen: false,
                ..link.clone()
            }),
            Deed::Rest | Deed::Hold(_) | Deed::RestoreInCrm => before.cloned(),
        }
    }

    fn agreed(&self, work: &Work, before: Option<&Link>, merged: &Merged) -> Option<Link> {
        let crm = work.crm.as_ref().or(match &work.pair.crm {
            Half::Present(contact) => Some(contact),
            _ => None,
        });
        let mailbox = work.mailbox.as_ref().or(match &work.pair.mailbox {
            Half::Present(contact) => Some(contact),
            _ => None,
        });
        let crm_id = crm
            .map(|contact| contact.id.clone())
            .or(before.map(|l| l.crm_id.clone()))?;
        let mailbox_id = mailbox
            .map(|contact| contact.id.clone())
            .or(before.map(|l| l.mailbox_id.clone()))?;
        let crm_fields = match (crm, before) {
            (Some(contact), _) => contact.fields.clone(),
            (None, link) => link?.base.crm.clone(),
        };
        let view = match (mailbox, before) {
            (Some(contact), _) => contact.view.clone(),
            (None, link) => link?.base.view.clone(),
        };
        let fields: FieldSet = self
            .rules
            .fields
            .difference(&work.task.withheld)
            .copied()
            .collect();
        let mut base = mapping::remember(&crm_fields, &view, &merged.slots, &fields);
        let created = matches!(work.decision.deed, Deed::CreateInMailbox(_));
        if let Some(link) = before.filter(|link| link.is_linked() && !created) {
            base = base.keeping(&link.base);
        }
        let marked = crm.and_then(|contact| contact.marked);
        let seen_before = before.is_some_and(|link| link.is_linked() && link.marker_seen);
        Some(Link {
            crm_id,
            mailbox_id,
            standing: Standing::Linked,
            marker_seen: marked == Some(true) || (marked.is_none() && seen_before),
            base,
            crm_modified: crm
                .and_then(|contact| contact.modified)
                .or(before.and_then(|link| link.crm_modified)),
            change_key: mailbox
                .map(|contact| contact.change_key.clone())
                .or(before.map(|link| link.change_key.clone()))?,
            key: if created {
                work.intent.clone()
            } else {
                before.and_then(|l| l.key.clone())
            },
            told: Vec::new(),
        })
    }

    /// What people have not been told about this pair yet, and all that they have been told then.
    fn untold(&self, work: &Work, before: Option<&Link>) -> (Vec<Finding>, Vec<String>) {
        let (Deed::Agree { merged, .. }
        | Deed::CreateInCrm(merged)
        | Deed::CreateInMailbox(merged)) = &work.decision.deed
        else {
            let told = before.map(|link| link.told.clone());
            return (Vec::new(), told.unwrap_or_default());
        };
        let told = before.map(|link| link.told.as_slice()).unwrap_or_default();
        let name = work.pair.name();
        let misfits = self.crm.misfits(&work.pair.crm_fields(), &merged.crm);
        let misfits = misfits.into_iter().map(|(field, problem)| Finding {
            severity: Severity::Warning,
            code: "crm-cannot-hold".to_owned(),
            message: problem.message,
            remedy: problem.remedy,
            contact: None,
            field: Some(field),
        });
        let all: BTreeMap<String, Finding> = merged
            .findings
            .iter()
            .cloned()
            .chain(misfits)
            .map(|finding| (token(&finding), finding))
            .collect();
        let names: Vec<String> = all.keys().cloned().collect();
        let findings = all
            .into_iter()
            .filter(|(token, _)| !told.contains(token))
            .map(|(_, finding)| finding)
            .chain(merged.conflicts.iter().map(conflict_finding))
            .map(|finding| Finding {
                contact: Some(name.clone()),
                ..finding
            })
            .collect();
        (findings, names)
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

/// Whether the CRM's record must be read immediately before this is carried out.
fn reads_crm(pair: &Pair, decision: &Decision) -> bool {
    match &decision.deed {
        Deed::Agree { merged, .. } => merged.crm != pair.crm_fields(),
        Deed::DeleteInCrm | Deed::DeleteInMailbox | Deed::RestoreInCrm => true,
        _ => false,
    }
}

/// Sends what the open tasks ask for in one call, and hands every answer to its task.
fn each<A, B>(
    works: &mut [Work],
    asked: Vec<(usize, A)>,
    send: impl FnOnce(&[A]) -> Vec<Result<B, WriteError>>,
    take: impl Fn(&mut Work, B),
) {
    if asked.is_empty() {
        return;
    }
    let (indexes, arguments): (Vec<usize>, Vec<A>) = asked.into_iter().unzip();
    for (index, answer) in indexes.into_iter().zip(send(&arguments)) {
        let Some(work) = works.get_mut(index) else {
            continue;
        };
        match answer {
            Ok(answer) => take(work, answer),
            Err(error) => work.fail(error, "refused"),
        }
    }
}

/// The same for deletions, where "not found" is what was wanted.
fn each_gone<A>(
    works: &mut [Work],
    asked: Vec<(usize, A)>,
    send: impl FnOnce(&[A]) -> Vec<Result<(), WriteError>>,
    side: Side,
) {
    let send = |arguments: &[A]| {
        send(arguments)
            .into_iter()
            .map(|answer| match answer {
                Err(WriteError::NotFound) => Ok(()),
                other => other,
            })
            .collect()
    };
    each(works, asked, send, |work, ()| {
        work.written.push((side, Action::Delete));
    });
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

fn not_done<A>(works: &mut [Work], wanted: &[(usize, A)], error: &RemoteError) {
    for (index, _) in wanted {
        if let Some(work) = works.get_mut(*index) {
            work.end = Some(End::NotDone(error.clone()));
        }
    }
}

fn conflict_losses(merged: &Merged, side: Side) -> Vec<Change> {
    merged
        .conflicts
        .iter()
        .filter(|conflict| conflict.loser == side)
        .map(|conflict| Change {
            field: conflict.field,
            before: conflict.lost.clone(),
            after: conflict.kept.clone(),
        })
        .collect()
}

fn conflict_finding(conflict: &Conflict) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: "conflict".to_owned(),
        message: format!(
            "changed on both sides: `{}` stays, `{}` is kept in the journal",
            conflict.kept.as_deref().unwrap_or("(empty)"),
            conflict.lost.as_deref().unwrap_or("(empty)"),
        ),
        remedy: None,
        contact: None,
        field: Some(conflict.field),
    }
}

/// Tells one finding from another without keeping its text.
fn token(finding: &Finding) -> String {
    let text = format!("{}|{:?}|{}", finding.code, finding.field, finding.message);
    format!(
        "{}:{:016x}",
        finding.code,
        crate::contact::digest(text.as_bytes())
    )
}

fn difference(before: Option<&Link>, after: Option<&Link>, standing: Standing) -> i32 {
    let counts =
        |link: Option<&Link>| i32::from(link.is_some_and(|link| link.standing == standing));
    counts(after) - counts(before)
}

impl Pair {
    /// The CRM contact's id, if there is one.
    pub fn crm_id(&self) -> Option<CrmId> {
        match &self.crm {
            Half::Present(contact) => Some(contact.id.clone()),
            _ => self.link.as_ref().map(|link| link.crm_id.clone()),
        }
    }

    /// The mailbox contact's id, if there is one.
    pub fn mailbox_id(&self) -> Option<MailboxId> {
        match &self.mailbox {
            Half::Present(contact) => Some(contact.id.clone()),
            _ => self.link.as_ref().map(|link| link.mailbox_id.clone()),
        }
    }

    fn mailbox_version(&self) -> Option<(MailboxId, ChangeKey)> {
        match (&self.mailbox, &self.link) {
            (Half::Present(contact), _) => Some((contact.id.clone(), contact.change_key.clone())),
            (Half::Unread, Some(link)) => Some((link.mailbox_id.clone(), link.change_key.clone())),
            _ => None,
        }
    }

    fn mailbox_contact(&self) -> Option<MailboxContact> {
        match (&self.mailbox, &self.link) {
            (Half::Present(contact), _) => Some(contact.clone()),
            (Half::Unread, Some(link)) => Some(MailboxContact {
                id: link.mailbox_id.clone(),
                change_key: link.change_key.clone(),
                modified: None,
                view: link.base.view.clone(),
            }),
            _ => None,
        }
    }
}
