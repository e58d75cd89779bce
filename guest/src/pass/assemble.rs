//! Who is new, who is the same person, and what is to be done: the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Mode, Pass, PutOff, Stage, Stop, rules};
use crate::contact::{CrmId, Field, FieldSet, MailboxContact, MailboxId, SearchKey};
use crate::crm::Crm;
use crate::execute::Task;
use crate::job::Matching;
use crate::links::{Answer, Caution, Link, Source, Stored, bucket_of};
use crate::mailbox::Mailbox;
use crate::mapping;
use crate::plan::guard::Destruction;
use crate::plan::matching::{self, About, Candidate, Question, Reason};
use crate::plan::{self, Decision, Deed, Half, PackedPair};
use crate::report::{
    Action, ApprovalRequest, ContactName, Failure, Finding, Operation, OperationState, Outcome,
    Severity, Side,
};

/// Contacts whose key one step looks for: one request each, and one for every further folder.
const KEYS_MAX: usize = 20;

impl<C: Crm, M: Mailbox> Pass<C, M> {
    // ---- who is the same person -----------------------------------------------------------------

    pub(super) fn match_contacts(&mut self) -> Result<Stage, Stop> {
        self.take_answers_about_pairs();
        let gone = self.gone_from_mailbox();
        if self.find_by_key(&gone)? {
            return Ok(Stage::Match);
        }
        self.link_new_ids(gone);
        self.take_answers();
        self.withhold_copies_of_open_intents();
        self.propose()?;
        let missing: Vec<CrmId> = self
            .gathered
            .matched
            .iter()
            .map(|(crm, _)| crm.clone())
            .filter(|crm| !self.gathered.crm.contains_key(crm))
            .collect();
        self.gathered.crm_queue.extend(missing);
        Ok(Stage::Fetch)
    }

    /// Records of matched CRM contacts of which only the digest was at hand.
    pub(super) fn fetch(&mut self) -> Result<Stage, Stop> {
        Ok(if self.read_queued_crm()? {
            Stage::Fetch
        } else {
            Stage::Plan
        })
    }

    /// Pairs whose mailbox half is gone, while there are mailbox contacts without link.
    fn gone_from_mailbox(&self) -> BTreeMap<CrmId, Link> {
        let mut gone = BTreeMap::new();
        if self.gathered.mailbox.is_empty() {
            return gone;
        }
        for (id, packed) in &self.gathered.pairs {
            let Some(pair) = packed.unpack() else {
                continue;
            };
            if let (Half::Deleted, Some(link)) = (&pair.mailbox, pair.link)
                && !link.is_tombstone()
            {
                gone.insert(id.clone(), link);
            }
        }
        gone
    }

    /// Looks for the keys of some contacts that are gone. Whether there were any left to look for.
    fn find_by_key(&mut self, gone: &BTreeMap<CrmId, Link>) -> Result<bool, Stop> {
        let keyed: Vec<(CrmId, SearchKey)> = gone
            .iter()
            .filter(|(id, _)| !self.gathered.found_by_key.contains_key(*id))
            .filter_map(|(id, link)| Some((id.clone(), link.key.clone()?)))
            .take(KEYS_MAX)
            .collect();
        if keyed.is_empty() {
            return Ok(false);
        }
        let keys: Vec<SearchKey> = keyed.iter().map(|(_, key)| key.clone()).collect();
        let found = self.mailbox.find(&keys)?;
        for ((crm_id, _), contacts) in keyed.into_iter().zip(found) {
            let mut new = contacts
                .into_iter()
                .map(|contact| contact.id)
                .filter(|id| self.gathered.mailbox.contains_key(id));
            // A key met twice is a user's copy and proves nothing.
            let only = match (new.next(), new.next()) {
                (Some(one), None) => Some(one),
                _ => None,
            };
            self.gathered.found_by_key.insert(crm_id, only);
        }
        Ok(true)
    }

    /// The same contact under a new id (contract, section 3): a linked contact that is gone and a
    /// new one that carries its key, or equals its base and is the only one that does.
    fn link_new_ids(&mut self, mut gone: BTreeMap<CrmId, Link>) {
        if gone.is_empty() {
            return;
        }
        for (crm_id, mailbox_id) in std::mem::take(&mut self.gathered.found_by_key) {
            if let Some(mailbox_id) = mailbox_id {
                gone.remove(&crm_id);
                self.link_anew(&crm_id, &mailbox_id);
            }
        }
        for (crm_id, mailbox_id) in self.find_by_base(&gone) {
            gone.remove(&crm_id);
            self.link_anew(&crm_id, &mailbox_id);
        }
        self.find_by_person(&gone);
    }

    fn find_by_base(&self, gone: &BTreeMap<CrmId, Link>) -> Vec<(CrmId, MailboxId)> {
        let region = &self.job.tenant.region;
        let Some(begun) = &self.begun else {
            return Vec::new();
        };
        let mut by_digest: BTreeMap<Candidate<()>, (Vec<&Link>, Vec<MailboxContact>)> =
            BTreeMap::new();
        for link in gone.values() {
            let digest = Candidate::of_mailbox((), &link.base.view, region);
            by_digest.entry(digest).or_default().0.push(link);
        }
        for packed in self.gathered.mailbox.values() {
            let Some(contact) = packed.unpack() else {
                continue;
            };
            let digest = Candidate::of_mailbox((), &contact.view, region);
            if let Some((_, contacts)) = by_digest.get_mut(&digest) {
                contacts.push(contact);
            }
        }
        by_digest
            .into_values()
            .filter_map(
                |(links, contacts)| match (links.as_slice(), contacts.as_slice()) {
                    ([link], [contact]) => {
                        let changed = mapping::changed_in_mailbox(
                            &link.base,
                            &contact.view,
                            &begun.fields,
                            region,
                        );
                        changed
                            .is_empty()
                            .then(|| (link.crm_id.clone(), contact.id.clone()))
                    }
                    _ => None,
                },
            )
            .collect()
    }

    /// What is left is matched as people are: a mailbox that was migrated, then edited.
    fn find_by_person(&mut self, gone: &BTreeMap<CrmId, Link>) {
        if gone.is_empty() || self.job.policy.matching == Matching::Off {
            return;
        }
        let region = &self.job.tenant.region;
        let crm: Vec<Candidate<CrmId>> = gone
            .values()
            .map(|link| Candidate::of_crm(link.crm_id.clone(), &link.base.crm, region))
            .collect();
        let mailbox = self.mailbox_candidates();
        let proposal = matching::propose(&crm, &mailbox, false);
        for (crm_id, mailbox_id) in proposal.pairs {
            self.link_anew(&crm_id, &mailbox_id);
        }
        for question in proposal.questions {
            self.ask(&question, &crm, &mailbox);
        }
    }

    fn link_anew(&mut self, crm_id: &CrmId, mailbox_id: &MailboxId) {
        if let (Some(contact), Some(pair)) = (
            self.gathered.mailbox.remove(mailbox_id),
            self.gathered.pairs.get_mut(crm_id),
        ) {
            pair.mailbox = Half::Present(contact);
        }
    }

    /// What people, or settled intents, said about a CRM contact whose former partner is gone: the
    /// new one takes its place.
    fn take_answers_about_pairs(&mut self) {
        let Some(begun) = &self.begun else { return };
        let mut anew = Vec::new();
        for (mailbox_id, answer) in &begun.answers {
            let Answer::Same(crm_id) = answer else {
                continue;
            };
            let pair = self.gathered.pairs.get(crm_id).and_then(PackedPair::unpack);
            let has_lost_partner = pair.is_some_and(|pair| match pair.mailbox {
                Half::Deleted => true,
                Half::Unread => pair.link.is_some_and(|link| link.is_tombstone()),
                _ => false,
            });
            if has_lost_partner && self.gathered.mailbox.contains_key(mailbox_id) {
                anew.push((crm_id.clone(), mailbox_id.clone()));
            }
        }
        for (crm_id, mailbox_id) in anew {
            self.link_anew(&crm_id, &mailbox_id);
            self.gathered.answered.insert(mailbox_id);
        }
    }

    /// What people, or settled intents, said about contacts that are still without partner; and
    /// pairs whose link cannot be read, as far as both are there.
    fn take_answers(&mut self) {
        let damaged = std::mem::take(&mut self.gathered.damaged);
        for (mailbox_id, crm_id) in damaged {
            let are_there = self.gathered.mailbox.contains_key(&mailbox_id)
                && self.gathered.candidates.contains_key(&crm_id);
            if are_there {
                self.gathered.matched.push((crm_id, mailbox_id));
            }
        }
        let Some(begun) = &self.begun else { return };
        for (mailbox_id, answer) in &begun.answers {
            if self.gathered.answered.contains(mailbox_id) {
                continue;
            }
            if let Answer::Same(crm_id) = answer {
                let is_free = self.gathered.mailbox.contains_key(mailbox_id)
                    && self.gathered.crm.contains_key(crm_id);
                if is_free {
                    self.gathered
                        .matched
                        .push((crm_id.clone(), mailbox_id.clone()));
                } else {
                    self.gathered.useless_answers.insert(mailbox_id.clone());
                    self.findings.push(useless_answer(crm_id, mailbox_id));
                }
            }
        }
    }

    /// Nothing is made of a contact that may be the copy an open intent is about.
    fn withhold_copies_of_open_intents(&mut self) {
        let Some(begun) = &self.begun else { return };
        let region = &self.job.tenant.region;
        for intent in &begun.intents {
            match intent.source {
                Source::Crm(_) => {
                    for (id, packed) in &self.gathered.mailbox {
                        let is_copy = packed.unpack().is_some_and(|contact| {
                            let candidate = Candidate::of_mailbox((), &contact.view, region);
                            intent.candidate.resembles(&candidate)
                        });
                        if is_copy {
                            self.gathered.withheld.insert(Source::Mailbox(id.clone()));
                        }
                    }
                }
                Source::Mailbox(_) => {
                    for (id, candidate) in &self.gathered.candidates {
                        if intent.candidate.resembles(candidate) {
                            self.gathered.withheld.insert(Source::Crm(id.clone()));
                        }
                    }
                }
            }
        }
    }

    fn propose(&mut self) -> Result<(), Failure> {
        if self.job.policy.matching == Matching::Off {
            return Ok(());
        }
        let mailbox = self.mailbox_candidates();
        let crm = self.crm_candidates(&mailbox)?;
        let proposal = matching::propose(&crm, &mailbox, self.is_first());
        self.gathered.matched.extend(proposal.pairs);
        for question in proposal.questions {
            self.ask(&question, &crm, &mailbox);
        }
        self.ask_again(&proposal.unmatched_crm, &proposal.unmatched_mailbox)
    }

    /// A contact that was asked about because of a namesake in the first pass stays a question as
    /// long as the namesake is there: it is not created because time goes by.
    fn ask_again(&mut self, crm: &[CrmId], mailbox: &[MailboxId]) -> Result<(), Failure> {
        let Some(begun) = &self.begun else {
            return Ok(());
        };
        let is_asked = |source: &Source| {
            let row = begun.pending.get(source);
            row.is_some_and(|row| row.reason == Reason::Namesake.code())
        };
        let asked_crm: BTreeSet<&CrmId> = crm
            .iter()
            .filter(|id| is_asked(&Source::Crm((*id).clone())))
            .collect();
        let asked: BTreeSet<&MailboxId> = mailbox
            .iter()
            .filter(|id| is_asked(&Source::Mailbox((*id).clone())))
            .collect();
        if asked_crm.is_empty() && asked.is_empty() {
            return Ok(());
        }
        let mut mailbox = self.mailbox_candidates();
        mailbox.retain(|candidate| asked.contains(&candidate.id));
        let has_namesake = |crm: &Candidate<CrmId>| {
            let mut namesakes = mailbox.iter();
            asked_crm.contains(&crm.id) || namesakes.any(|other| crm.has_name_of(other))
        };
        let mut crm = self.all_crm_candidates()?;
        crm.retain(has_namesake);
        let crm = self.without_partner(crm)?;
        for question in matching::propose(&crm, &mailbox, true).questions {
            self.ask(&question, &crm, &mailbox);
        }
        Ok(())
    }

    /// New mailbox contacts about which nobody has said anything.
    fn mailbox_candidates(&self) -> Vec<Candidate<MailboxId>> {
        let region = &self.job.tenant.region;
        let answered = |id: &MailboxId| {
            self.begun
                .as_ref()
                .is_some_and(|begun| begun.answers.contains_key(id))
                && !self.gathered.useless_answers.contains(id)
        };
        let matched = self.gathered.matched.iter();
        let taken: BTreeSet<&MailboxId> = matched.map(|(_, id)| id).collect();
        self.gathered
            .mailbox
            .iter()
            .filter(|(id, _)| {
                !answered(id)
                    && !taken.contains(id)
                    && !self
                        .gathered
                        .withheld
                        .contains(&Source::Mailbox((*id).clone()))
            })
            .filter_map(|(id, packed)| {
                let contact = packed.unpack()?;
                Some(Candidate::of_mailbox(id.clone(), &contact.view, region))
            })
            .collect()
    }

    /// CRM contacts, marked or not, that have no partner in this mailbox and may be one of these.
    fn crm_candidates(
        &self,
        mailbox: &[Candidate<MailboxId>],
    ) -> Result<Vec<Candidate<CrmId>>, Failure> {
        let taken: BTreeSet<&CrmId> = self.gathered.matched.iter().map(|(crm, _)| crm).collect();
        let is_free = |candidate: &Candidate<CrmId>| {
            let source = Source::Crm(candidate.id.clone());
            !taken.contains(&candidate.id) && !self.gathered.withheld.contains(&source)
        };
        if self.is_first() {
            let known = self.gathered.candidates.values();
            return Ok(known
                .filter(|candidate| self.gathered.crm.contains_key(&candidate.id))
                .filter(|candidate| is_free(candidate))
                .cloned()
                .collect());
        }
        if mailbox.is_empty() {
            return Ok(Vec::new());
        }
        let mut all = self.all_crm_candidates()?;
        all.retain(is_free);
        self.without_partner(matching::relevant(all, mailbox))
    }

    /// The digests of all CRM contacts, the newest ones of this pass.
    fn all_crm_candidates(&self) -> Result<Vec<Candidate<CrmId>>, Failure> {
        let mut all: BTreeMap<CrmId, Candidate<CrmId>> = self
            .memory
            .candidates()?
            .into_values()
            .flatten()
            .map(|candidate| (candidate.id.clone(), candidate))
            .collect();
        all.extend(self.gathered.candidates.clone());
        // A digest outlives its contact until the pass is remembered.
        all.retain(|id, _| {
            !self.gathered.trash.ids.contains(id)
                && !self.gathered.gone.contains(&Source::Crm(id.clone()))
        });
        Ok(all.into_values().collect())
    }

    fn without_partner(
        &self,
        candidates: Vec<Candidate<CrmId>>,
    ) -> Result<Vec<Candidate<CrmId>>, Failure> {
        let ids: Vec<CrmId> = candidates
            .iter()
            .map(|candidate| candidate.id.clone())
            .collect();
        let links = self.memory.links(&ids)?;
        let has_partner =
            |link: &Stored<Link>| matches!(link, Stored::Found(link) if !link.is_tombstone());
        Ok(candidates
            .into_iter()
            .zip(links)
            .filter(|(_, link)| !has_partner(link))
            .map(|(candidate, _)| candidate)
            .collect())
    }

    /// Several may be the same person: nothing is created, a person is asked.
    fn ask(
        &mut self,
        question: &Question<CrmId, MailboxId>,
        crm: &[Candidate<CrmId>],
        mailbox: &[Candidate<MailboxId>],
    ) {
        let (source, name, others) = match &question.about {
            About::Mailbox {
                contact,
                candidates,
            } => {
                let name = ContactName {
                    crm_id: None,
                    mailbox_id: Some(contact.clone()),
                    label: label(contact, mailbox),
                };
                (
                    Source::Mailbox(contact.clone()),
                    name,
                    labels(candidates, crm),
                )
            }
            About::Crm {
                contact,
                candidates,
            } => {
                // An unmarked contact takes no part: the question is the mailbox contact's alone.
                if !self.gathered.marked.contains(contact) {
                    return;
                }
                let name = ContactName {
                    crm_id: Some(contact.clone()),
                    mailbox_id: None,
                    label: label(contact, crm),
                };
                (
                    Source::Crm(contact.clone()),
                    name,
                    labels(candidates, mailbox),
                )
            }
        };
        let reason = question.reason.code();
        let is_news = self
            .begun
            .as_ref()
            .and_then(|begun| begun.pending.get(&source))
            .is_none_or(|pending| pending.reason != reason);
        if is_news || self.mode == Mode::Preview {
            self.findings.push(ambiguous(reason, name, &others));
        }
        self.gathered.withheld.insert(source.clone());
        self.put_off.insert(
            source,
            PutOff {
                reason,
                problem: None,
                name: None,
            },
        );
    }

    // ---- what is to be done ---------------------------------------------------------------------

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
                    *planned.entry(*kind).or_default() += 1;
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
        links > 0 && (self.counts.crm.read == 0 || self.counts.mailbox.read == 0)
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

    /// The buckets of digests that changed: new digests in, deleted contacts out.
    pub(super) fn changed_buckets(&self) -> Result<BTreeMap<u8, Vec<Candidate<CrmId>>>, Failure> {
        let Some(begun) = &self.begun else {
            return Ok(BTreeMap::new());
        };
        let gone = self.gathered.gone.iter().filter_map(|source| match source {
            Source::Crm(id) => Some(id),
            Source::Mailbox(_) => None,
        });
        // A trash that is as it was names nobody who is still in a bucket.
        let trash = self
            .gathered
            .trash
            .has_changed
            .then_some(&self.gathered.trash.ids);
        let gone: BTreeSet<&CrmId> = gone.chain(trash.into_iter().flatten()).collect();
        let mut buckets: BTreeMap<u8, Vec<Candidate<CrmId>>> = if begun.is_full {
            (0..=u8::MAX).map(|bucket| (bucket, Vec::new())).collect()
        } else {
            let ids = self.gathered.candidates.keys().chain(gone.iter().copied());
            let buckets: BTreeSet<u8> = ids.map(bucket_of).collect();
            self.memory
                .candidate_buckets(&buckets.into_iter().collect::<Vec<_>>())?
        };
        let before = buckets.clone();
        for bucket in buckets.values_mut() {
            bucket.retain(|candidate| {
                !gone.contains(&candidate.id)
                    && !self.gathered.candidates.contains_key(&candidate.id)
            });
        }
        for (id, candidate) in &self.gathered.candidates {
            buckets
                .entry(bucket_of(id))
                .or_default()
                .push(candidate.clone());
        }
        for bucket in buckets.values_mut() {
            bucket.sort_by(|left, right| left.id.cmp(&right.id));
        }
        if !begun.is_full {
            buckets.retain(|bucket, candidates| before.get(bucket) != Some(candidates));
        }
        Ok(buckets)
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

fn label<I: Eq>(id: &I, candidates: &[Candidate<I>]) -> String {
    candidates
        .iter()
        .find(|found| found.id == *id)
        .map(Candidate::label)
        .unwrap_or_default()
}

fn labels<I: Eq + fmt::Display>(ids: &[I], candidates: &[Candidate<I>]) -> Vec<String> {
    ids.iter()
        .map(|id| format!("{} ({id})", label(id, candidates)))
        .collect()
}

fn ambiguous(code: &str, name: ContactName, others: &[String]) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: code.to_owned(),
        message: format!("may be the same person as: {}", others.join("; ")),
        remedy: Some(
            "say who it is with `contact-sync pair CRM-CONTACT MAILBOX-CONTACT`, or that it is \
             somebody new with `contact-sync pair --as-new MAILBOX-CONTACT`"
                .to_owned(),
        ),
        contact: Some(name),
        field: None,
    }
}

fn useless_answer(crm_id: &CrmId, mailbox_id: &MailboxId) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: "pairing-impossible".to_owned(),
        message: "two contacts were to be paired, but one of them is gone or already has a partner"
            .to_owned(),
        remedy: Some("look at both contacts, and pair again if need be".to_owned()),
        contact: Some(ContactName {
            crm_id: Some(crm_id.clone()),
            mailbox_id: Some(mailbox_id.clone()),
            label: String::new(),
        }),
        field: None,
    }
}
