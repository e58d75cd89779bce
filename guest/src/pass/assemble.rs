//! What is to be done: the plan, and what of it the guard holds back.

use super::{Mode, Pass, PutOff, Stage, Stop, rules};
use crate::contact::{CrmId, FieldSet, MailboxId};
use crate::crm::Crm;
use crate::execute::{self, Task};
use crate::links::{Caution, Link, Source};
use crate::mailbox::Mailbox;
use crate::mutation::{self, Mutant};
use crate::plan::approval::{self, Judged};
use crate::plan::guard::Destruction;
use crate::plan::{self, Decision, Deed, Half, PackedPair, Pair, Rules};
use crate::report::{
    Action, ApprovalRequest, Counts, Finding, Operation, OperationState, Outcome, Side,
};
use std::collections::{BTreeMap, BTreeSet};

impl<C: Crm, M: Mailbox> Pass<C, M> {
    pub(super) fn plan(&mut self) -> Result<Option<Stage>, Stop> {
        let pairs = self.pairs_to_decide();
        let begun = self.begun.as_ref().ok_or_else(super::not_begun)?;
        let rules = rules(&self.job, &self.mailbox, &begun.fields);
        let mut drafts = Vec::new();
        let mut gone = Gone::default();
        for packed in pairs {
            let Some(pair) = packed.unpack() else {
                continue;
            };
            gone.count(&pair);
            let (decision, judged) =
                (self.judgements).judge(&pair, &rules, &self.memory, &mut self.findings)?;
            let is_withheld = pair.link.as_ref().is_some_and(|link| {
                let source = Source::Crm(link.crm_id.clone());
                self.gathered.withheld.contains(&source)
            });
            let operations = plan::describe(&pair, &decision);
            count_unchanged(&mut self.counts, &pair, &operations);
            if self.mode == Mode::Preview {
                let foretold = execute::foretold(&self.crm, &pair, &decision);
                foretell(foretold, &mut self.counts, &mut self.findings);
            }
            match &decision.deed {
                Deed::Rest => {}
                _ if is_withheld => {
                    for source in super::sources(&pair) {
                        withhold(&mut self.put_off, source);
                    }
                }
                Deed::Hold(problem) => {
                    let put_off = PutOff {
                        reason: decision.reason,
                        problem: problem.clone(),
                        name: Some(pair.name()),
                    };
                    drafts.push(Draft::Held(super::sources(&pair), put_off));
                }
                _ => {
                    let destroyed =
                        approval::destructions(&pair, &decision, &rules, &judged.rejected);
                    drafts.push(Draft::Task(Box::new(TaskDraft {
                        rank: rank(&decision),
                        operations,
                        sources: super::sources(&pair),
                        adopted: pair.present_in_mailbox(),
                        decision: (!destroyed.is_empty()).then_some(decision),
                        destroyed,
                        judged,
                        pair: packed,
                    })));
                }
            }
        }
        self.hold(&mut drafts);
        let (held_back, reason) = self.held_back(&drafts, &gone);
        self.write_plan(drafts, &held_back);
        if !self.entries.is_empty() {
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
        let linked = std::mem::take(&mut gathered.pairs);
        let most = linked.len() + gathered.mailbox.len() + gathered.marked.len();
        let mut pairs: Vec<PackedPair> = Vec::with_capacity(most);
        pairs.extend(linked.into_values());
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
            if gathered.only_weighed.contains(&id) {
                // Resembles nobody who is new: its own time has not come.
                continue;
            }
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
            // An index that lags behind still shows what is in the trash.
            if gathered.trash.ids.contains(&id) && !gathered.crm_asked.contains(&id) {
                continue;
            }
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
            let Draft::Held(sources, put_off) = draft else {
                continue;
            };
            for source in sources {
                self.put_off.insert(source, put_off.clone());
            }
        }
    }

    /// Which kinds of destruction are not carried out by this pass, and why.
    fn held_back(&self, drafts: &[Draft], gone: &Gone) -> (BTreeSet<Destruction>, &'static str) {
        let mut planned: BTreeMap<Destruction, u32> = BTreeMap::new();
        for draft in drafts {
            if let Draft::Task(task) = draft {
                let counted = task.destroyed.iter();
                for kind in counted.filter(|kind| !task.judged.approves(**kind)) {
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
            Some(Caution::MemoryLost) => Some("memory-lost"),
            Some(Caution::SideEmpty) => Some("side-empty"),
            None if self.shows_nothing(gone) => Some("side-empty"),
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

    /// Whether a side that pairs are remembered with suddenly has none of them: by a full read that
    /// was empty, or because each single one is known to be gone.
    fn shows_nothing(&self, gone: &Gone) -> bool {
        let Some(begun) = &self.begun else {
            return false;
        };
        if mutation::is_on(Mutant::EmptySideBelieved) {
            return false;
        }
        let links = begun.state.links;
        let reads_nothing = self.counts.crm.read == 0 || self.counts.mailbox.read == 0;
        let lost_all = gone.from_crm >= links || gone.from_mailbox >= links;
        links > 0 && (lost_all || (begun.is_full && reads_nothing))
    }

    /// Turns drafts into tasks and operations, in the order in which they are carried out: what
    /// creates and updates first, what destroys last.
    fn write_plan(&mut self, drafts: Vec<Draft>, held_back: &BTreeSet<Destruction>) {
        let mut drafts: Vec<Box<TaskDraft>> = drafts
            .into_iter()
            .filter_map(|draft| match draft {
                Draft::Task(task) => Some(task),
                Draft::Held(..) => None,
            })
            .collect();
        drafts.sort_by_key(|draft| draft.rank);
        self.tasks.reserve(drafts.len());
        self.operations.reserve(drafts.len());
        for mut draft in drafts {
            let (held, planned): (Vec<_>, Vec<_>) = draft
                .destroyed
                .iter()
                .partition(|kind| held_back.contains(kind) && !draft.judged.approves(**kind));
            if held.is_empty() {
                self.add_task(*draft, planned, FieldSet::new());
                continue;
            }
            self.hold_back(&draft, &held);
            let fields: FieldSet = held.iter().filter_map(|kind| kind.field()).collect();
            if fields.len() == held.len() && self.replan(&mut draft, &fields) {
                self.add_task(*draft, planned, fields);
            }
        }
    }

    /// The operations that a person must approve, and rows that bring them back.
    fn hold_back(&mut self, draft: &TaskDraft, held: &[Destruction]) {
        let is_emptied = |side, field| held.contains(&Destruction::Emptying(side, field));
        let is_whole = held.iter().any(|kind| kind.field().is_none());
        for operation in &draft.operations {
            let mut operation = operation.clone();
            let is_held = match operation.action {
                Action::Update => {
                    let side = operation.side;
                    (operation.changes).retain(|change| is_emptied(side, change.field));
                    !operation.changes.is_empty()
                }
                _ => is_whole,
            };
            if is_held {
                operation.state = OperationState::HeldBack;
                self.operations.push(operation);
            }
        }
        if let (Some(pair), Some(decision)) = (draft.pair.unpack(), &draft.decision) {
            let entries = approval::entries(&pair, decision, held);
            self.entries.extend(entries);
        }
        for source in draft.sources.clone() {
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
        let rules = rules(&self.job, &self.mailbox, &fields);
        let decide = |rules: &Rules| approval::decide(&pair, rules, &draft.judged.rejected);
        let times = |id: &CrmId| self.memory.edited(id);
        let timed = plan::decide_by_time(&pair, &rules, times, decide);
        let decision = timed.unwrap_or_else(|_| decide(&rules));
        // Without the fields an edit may be none, and its pair's deletion be what is left.
        let mut destroyed = plan::destructions(&pair, &decision, &rules).into_iter();
        if destroyed.any(|kind| !draft.destroyed.contains(&kind)) {
            return false;
        }
        draft.operations = plan::describe(&pair, &decision);
        !matches!(decision.deed, Deed::Rest)
    }

    fn add_task(&mut self, draft: TaskDraft, planned: Vec<Destruction>, withheld: FieldSet) {
        let Some(begun) = &self.begun else { return };
        let adopted = draft.adopted.map(Source::Mailbox);
        let concerned = draft.sources.into_iter().chain(adopted);
        let concerned: BTreeSet<Source> = concerned.collect();
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
            judged: draft.judged,
            wish: None,
            settles,
            operations,
        });
    }

    fn ask_for_approval(&mut self, reason: &str) {
        let count = |is_it: fn(Destruction) -> bool| {
            let found = self.entries.iter();
            let found = found.filter(|entry| is_it(entry.destruction)).count();
            u32::try_from(found).unwrap_or(u32::MAX)
        };
        self.approval_request = Some(ApprovalRequest {
            token: approval::token(&self.entries),
            crm_deletions: count(|kind| kind == Destruction::Deletion(Side::Crm)),
            mailbox_deletions: count(|kind| kind == Destruction::Deletion(Side::Mailbox)),
            detachings: count(|kind| kind == Destruction::Detaching),
            emptied: count(|kind| kind.field().is_some()),
            links: self.begun.as_ref().map_or(0, |begun| begun.state.links),
            reason: reason.to_owned(),
        });
    }
}

/// Halves of pairs that were read and need no write.
fn count_unchanged(counts: &mut Counts, pair: &Pair, operations: &[Operation]) {
    let has = |side: Side| operations.iter().any(|operation| operation.side == side);
    let is_linked = pair.link.is_some();
    if is_linked && matches!(pair.crm, Half::Present(_)) && !has(Side::Crm) {
        counts.crm.unchanged = counts.crm.unchanged.saturating_add(1);
    }
    if is_linked && matches!(pair.mailbox, Half::Present(_)) && !has(Side::Mailbox) {
        counts.mailbox.unchanged = counts.mailbox.unchanged.saturating_add(1);
    }
}

/// Of a preview: what a sync would tell, and the conflicts that it would count.
fn foretell(foretold: Vec<Finding>, counts: &mut Counts, findings: &mut Vec<Finding>) {
    let conflicts = foretold.iter().filter(|told| told.code == "conflict");
    let conflicts = u32::try_from(conflicts.count()).unwrap_or(u32::MAX);
    counts.conflicts = counts.conflicts.saturating_add(conflicts);
    findings.extend(foretold);
}

/// The reason of what the guard holds back.
pub(super) const AWAITING_APPROVAL: &str = "awaiting-approval";

/// A pair on its way into the plan.
enum Draft {
    /// Something is to be done about it.
    Task(Box<TaskDraft>),
    /// Nothing may be done about these contacts.
    Held(Vec<Source>, PutOff),
}

/// A task on its way into the plan.
struct TaskDraft {
    /// When it is carried out.
    rank: u8,
    pair: PackedPair,
    sources: Vec<Source>,
    /// The mailbox contact that is there.
    adopted: Option<MailboxId>,
    /// Kept where something would be destroyed, for a person to see: it holds both contacts wholly,
    /// and is decided anew when it is carried out.
    decision: Option<Decision>,
    destroyed: Vec<Destruction>,
    operations: Vec<Operation>,
    judged: Judged,
}

/// Pairs in step of which one half is gone.
#[derive(Default)]
struct Gone {
    from_crm: u32,
    from_mailbox: u32,
}

impl Gone {
    fn count(&mut self, pair: &Pair) {
        if !pair.link.as_ref().is_some_and(Link::is_linked) {
            return;
        }
        if matches!(pair.crm, Half::Deleted | Half::Astray) {
            self.from_crm += 1;
        }
        if matches!(pair.mailbox, Half::Deleted) {
            self.from_mailbox += 1;
        }
    }
}

/// The order of carrying out.
fn rank(decision: &Decision) -> u8 {
    match decision.deed {
        Deed::Rest | Deed::Hold(_) => 0,
        Deed::Agree { .. } | Deed::RestoreInCrm | Deed::PutBack { .. } => 1,
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
