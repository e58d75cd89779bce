//! What is to be done: the plan, and what of it the guard holds back.

use super::{Mode, Pass, PutOff, Stage, Stop, rules};
use crate::contact::{Field, FieldSet};
use crate::crm::Crm;
use crate::execute::Task;
use crate::links::{Caution, Source};
use crate::mailbox::Mailbox;
use crate::mutation::{self, Mutant};
use crate::plan::guard::Destruction;
use crate::plan::{self, Decision, Deed, Half, PackedPair};
use crate::report::{Action, ApprovalRequest, Operation, OperationState, Outcome, Side};
use std::collections::{BTreeMap, BTreeSet};

impl<C: Crm, M: Mailbox> Pass<C, M> {
    pub(super) fn plan(&mut self) -> Result<Option<Stage>, Stop> {
        let pairs = self.pairs_to_decide();
        let begun = self.begun.as_ref().ok_or_else(super::not_begun)?;
        let rules = rules(&self.job, &self.mailbox, &begun.fields);
        let mut drafts = Vec::new();
        for packed in pairs {
            let Some(pair) = packed.unpack() else {
                continue;
            };
            let decision = plan::decide(&pair, &rules);
            let is_withheld = pair.link.as_ref().is_some_and(|link| {
                let source = Source::Crm(link.crm_id.clone());
                self.gathered.withheld.contains(&source)
            });
            match &decision.deed {
                Deed::Rest => {}
                _ if is_withheld => {
                    for source in super::sources(&packed) {
                        withhold(&mut self.put_off, source);
                    }
                }
                Deed::Hold(problem) => {
                    let put_off = PutOff {
                        reason: decision.reason,
                        problem: problem.clone(),
                        name: Some(pair.name()),
                    };
                    drafts.push(Draft::Held(packed, put_off));
                }
                _ => {
                    drafts.push(Draft::Task(TaskDraft {
                        rank: rank(&decision),
                        destroyed: plan::destructions(&pair, &decision),
                        operations: plan::describe(&pair, &decision),
                        pair: packed,
                    }));
                }
            }
        }
        self.hold(&mut drafts);
        let (held_back, reason) = self.held_back(&drafts);
        self.write_plan(drafts, &held_back);
        if !held_back.is_empty() {
            self.ask_for_approval(reason);
        }
        if self.mode == Mode::Preview {
            self.tell_put_off();
            let outcome = self.outcome();
            self.finish(outcome);
            return Ok(None);
        }
        self.tasks_total = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        Ok(Some(Stage::Execute))
    }

    /// How a pass that got this far ends.
    pub(super) fn outcome(&self) -> Outcome {
        match &self.approval_request {
            Some(request) => Outcome::NeedsApproval(request.clone()),
            None => Outcome::Complete,
        }
    }

    /// All that something may have to be done about: linked pairs with news, matched contacts, and
    /// what is new on either side.
    fn pairs_to_decide(&mut self) -> Vec<PackedPair> {
        let gathered = &mut self.gathered;
        let mut pairs: Vec<PackedPair> =
            std::mem::take(&mut gathered.pairs).into_values().collect();
        for (crm_id, mailbox_id) in std::mem::take(&mut gathered.matched) {
            let Some(mailbox) = gathered.mailbox.remove(&mailbox_id) else {
                continue;
            };
            if let Some(crm) = gathered.crm.remove(&crm_id) {
                gathered.marked.remove(&crm_id);
                let (crm, mailbox) = (Half::Present(crm), Half::Present(mailbox));
                pairs.push(PackedPair {
                    link: None,
                    crm,
                    mailbox,
                });
            } else {
                // Gone between the digest and the read: looked at again by the next pass.
                let put_off = PutOff {
                    reason: "changed-meanwhile",
                    problem: None,
                    name: None,
                };
                self.put_off.insert(Source::Mailbox(mailbox_id), put_off);
            }
        }
        for (id, mailbox) in std::mem::take(&mut gathered.mailbox) {
            if gathered.withheld.contains(&Source::Mailbox(id.clone())) {
                withhold(&mut self.put_off, Source::Mailbox(id));
            } else {
                let mailbox = Half::Present(mailbox);
                pairs.push(PackedPair {
                    link: None,
                    crm: Half::Absent,
                    mailbox,
                });
            }
        }
        for id in std::mem::take(&mut gathered.marked) {
            let Some(crm) = gathered.crm.remove(&id) else {
                continue;
            };
            if gathered.withheld.contains(&Source::Crm(id.clone())) {
                withhold(&mut self.put_off, Source::Crm(id));
            } else {
                let crm = Half::Present(crm);
                pairs.push(PackedPair {
                    link: None,
                    crm,
                    mailbox: Half::Absent,
                });
            }
        }
        gathered.crm.clear();
        pairs
    }

    fn hold(&mut self, drafts: &mut Vec<Draft>) {
        let held = drafts.extract_if(.., |draft| matches!(draft, Draft::Held(..)));
        for draft in held {
            let Draft::Held(pair, put_off) = draft else {
                continue;
            };
            for source in super::sources(&pair) {
                self.put_off.insert(source, put_off.clone());
            }
        }
    }

    /// Which kinds of destruction are not carried out by this pass, and why.
    fn held_back(&self, drafts: &[Draft]) -> (BTreeSet<Destruction>, &'static str) {
        let mut planned: BTreeMap<Destruction, u32> = BTreeMap::new();
        for draft in drafts {
            if let Draft::Task(task) = draft {
                for kind in &task.destroyed {
                    let count = planned.entry(*kind).or_default();
                    *count += 1;
                    if mutation::is_on(Mutant::GuardMiscounts) {
                        *count = 1;
                    }
                }
            }
        }
        let Some(begun) = &self.begun else {
            return (BTreeSet::new(), "");
        };
        let state = &begun.state;
        let reason = match state.caution {
            Some(Caution::SwitchedOn) => Some("switched-on"),
            Some(Caution::Rebound) => Some("rebound"),
            None if begun.is_full && self.shows_nothing() => Some("side-empty"),
            None => None,
        };
        if let Some(reason) = reason {
            (planned.into_keys().collect(), reason)
        } else {
            let now = self.outside.now();
            let limits = self.job.policy.guard;
            (
                state.guard.held_back(&planned, state.links, limits, now),
                "over-limit",
            )
        }
    }

    fn shows_nothing(&self) -> bool {
        let links = self.begun.as_ref().map_or(0, |begun| begun.state.links);
        let is_believed = mutation::is_on(Mutant::EmptySideBelieved);
        !is_believed && links > 0 && (self.counts.crm.read == 0 || self.counts.mailbox.read == 0)
    }

    /// Turns drafts into tasks and operations, in the order in which they are carried out: what
    /// creates and updates first, what destroys last.
    fn write_plan(&mut self, drafts: Vec<Draft>, held_back: &BTreeSet<Destruction>) {
        let mut drafts: Vec<TaskDraft> = drafts
            .into_iter()
            .filter_map(|draft| match draft {
                Draft::Task(task) => Some(task),
                Draft::Held(..) => None,
            })
            .collect();
        drafts.sort_by_key(|draft| draft.rank);
        for mut draft in drafts {
            let (held, planned): (Vec<_>, Vec<_>) = draft
                .destroyed
                .iter()
                .partition(|kind| held_back.contains(kind));
            if held.is_empty() {
                self.add_task(draft, planned, FieldSet::new());
                continue;
            }
            self.hold_back(&draft, &held);
            let fields: FieldSet = held.iter().copied().filter_map(emptied_field).collect();
            if fields.len() == held.len() && self.replan(&mut draft, &fields) {
                self.add_task(draft, planned, fields);
            }
        }
    }

    /// The operations that a person must approve, and rows that bring them back.
    fn hold_back(&mut self, draft: &TaskDraft, held: &[Destruction]) {
        let is_held = |operation: &Operation| match operation.action {
            Action::Update => held
                .iter()
                .any(|kind| emptied_field(*kind).is_some() && kind.side() == operation.side),
            _ => held.iter().any(|kind| emptied_field(*kind).is_none()),
        };
        for operation in draft
            .operations
            .iter()
            .filter(|operation| is_held(operation))
        {
            let state = OperationState::HeldBack;
            self.operations.push(Operation {
                state,
                ..operation.clone()
            });
        }
        for source in super::sources(&draft.pair) {
            let put_off = PutOff {
                reason: AWAITING_APPROVAL,
                problem: None,
                name: None,
            };
            self.put_off.insert(source, put_off);
        }
    }

    /// Plans a pair without the fields that the guard withholds. Whether anything is left to do.
    fn replan(&self, draft: &mut TaskDraft, withheld: &FieldSet) -> bool {
        let (Some(pair), Some(begun)) = (draft.pair.unpack(), &self.begun) else {
            return false;
        };
        let fields = begun.fields.difference(withheld).copied().collect();
        let decision = plan::decide(&pair, &rules(&self.job, &self.mailbox, &fields));
        draft.operations = plan::describe(&pair, &decision);
        !matches!(decision.deed, Deed::Rest)
    }

    fn add_task(&mut self, draft: TaskDraft, planned: Vec<Destruction>, withheld: FieldSet) {
        let Some(begun) = &self.begun else { return };
        let adopted = match &draft.pair.mailbox {
            Half::Present(contact) => contact.unpack(),
            _ => None,
        };
        let mut concerned = super::sources(&draft.pair);
        concerned.extend(adopted.map(|contact| Source::Mailbox(contact.id)));
        let concerned: BTreeSet<Source> = concerned.into_iter().collect();
        let settles = concerned
            .into_iter()
            .filter(|source| {
                let is_answered = matches!(source,
                    Source::Mailbox(id) if begun.answers.contains_key(id));
                let is_pending = begun.pending.contains_key(source) && withheld.is_empty();
                is_answered || is_pending
            })
            .collect();
        let operations = (self.operations.len(), draft.operations.len());
        self.operations.extend(draft.operations);
        self.tasks.push_back(Task {
            pair: draft.pair,
            planned,
            withheld,
            settles,
            operations,
        });
    }

    fn ask_for_approval(&mut self, reason: &str) {
        let held: Vec<_> = self
            .operations
            .iter()
            .filter(|operation| operation.state == OperationState::HeldBack)
            .collect();
        let mut list = Vec::new();
        let (mut crm_deletions, mut mailbox_deletions, mut detachings, mut emptied) = (0, 0, 0, 0);
        for operation in held {
            match (operation.action, operation.side) {
                (Action::Delete, Side::Crm) => crm_deletions += 1,
                (Action::Delete, Side::Mailbox) => mailbox_deletions += 1,
                (Action::Detach | Action::Unmark, _) => detachings += 1,
                _ => {
                    let empties = operation
                        .changes
                        .iter()
                        .filter(|change| change.after.is_none());
                    emptied += u32::try_from(empties.count()).unwrap_or(u32::MAX);
                }
            }
            let (side, action) = (operation.side, operation.action);
            let (crm_id, mailbox_id) = (&operation.contact.crm_id, &operation.contact.mailbox_id);
            list.extend(format!("{side:?} {action:?} {crm_id:?} {mailbox_id:?}\n").bytes());
        }
        self.approval_request = Some(ApprovalRequest {
            token: format!("{:016x}", crate::contact::digest(&list)),
            crm_deletions,
            mailbox_deletions,
            detachings,
            emptied,
            links: self.begun.as_ref().map_or(0, |begun| begun.state.links),
            reason: reason.to_owned(),
        });
    }
}

/// The reason of what the guard holds back.
pub(super) const AWAITING_APPROVAL: &str = "awaiting-approval";

/// A pair on its way into the plan.
enum Draft {
    /// Something is to be done about it.
    Task(TaskDraft),
    /// Nothing may be done about it.
    Held(PackedPair, PutOff),
}

/// A task on its way into the plan.
struct TaskDraft {
    /// When it is carried out.
    rank: u8,
    pair: PackedPair,
    destroyed: Vec<Destruction>,
    operations: Vec<Operation>,
}

fn emptied_field(destruction: Destruction) -> Option<Field> {
    match destruction {
        Destruction::Emptying(_, field) => Some(field),
        Destruction::Deletion(_) | Destruction::Detaching => None,
    }
}

/// The order of carrying out.
fn rank(decision: &Decision) -> u8 {
    match decision.deed {
        Deed::Rest | Deed::Hold(_) => 0,
        Deed::Agree { .. } | Deed::RestoreInCrm => 1,
        Deed::CreateInCrm(_) => 2,
        Deed::CreateInMailbox(_) => 3,
        Deed::Forget => 4,
        Deed::Detach | Deed::Unmark => 5,
        Deed::DeleteInMailbox => 6,
        Deed::DeleteInCrm => 7,
    }
}

fn withhold(put_off: &mut BTreeMap<Source, PutOff>, source: Source) {
    put_off.entry(source).or_insert(PutOff {
        reason: "open-intent",
        problem: None,
        name: None,
    });
}
