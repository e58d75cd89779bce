//! Who is the same person: what people answered, and matching.

use super::{Mode, Pass, PutOff, Stage, Stop};
use crate::contact::{CrmId, MailboxId};
use crate::crm::Crm;
use crate::job::Matching;
use crate::links::{Answer, Intent, Link, Packed, Source, Standing, Stored};
use crate::mailbox::Mailbox;
use crate::mapping::{self, Base};
use crate::mutation::{self, Mutant};
use crate::outside::STORE_ITEMS_MAX;
use crate::plan::matching::{self, About, Candidate, Question, Reason};
use crate::plan::{Half, PackedPair};
use crate::report::{ContactName, Failure, Finding, Severity};
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

impl<C: Crm, M: Mailbox> Pass<C, M> {
    pub(super) fn match_contacts(&mut self) -> Result<Stage, Stop> {
        if self.read_queued_mailbox()? {
            return Ok(Stage::Match);
        }
        if self.look_for_former_selves()? {
            return Ok(Stage::Confirm);
        }
        self.take_answers_about_pairs();
        let gone = self.gone_from_mailbox();
        if self.find_gone(&gone)? {
            return Ok(Stage::Match);
        }
        self.link_new_ids(gone);
        self.take_answers()?;
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
        if self.read_queued_crm()? {
            return Ok(Stage::Fetch);
        }
        self.release_unrestorable();
        self.link_tombstones();
        self.check_fields()?;
        Ok(Stage::Plan)
    }

    /// A field that a contact no longer holds was cleared, or is no longer in the schema: before
    /// anything is emptied, the schema is asked again (contract, section 4: absent is not empty).
    fn check_fields(&mut self) -> Result<(), Stop> {
        let Some(begun) = &mut self.begun else {
            return Ok(());
        };
        let has_emptied = |packed: &PackedPair| {
            let (Some(link), Half::Present(crm)) = (&packed.link, &packed.crm) else {
                return false;
            };
            match (link.unpack(), crm.unpack()) {
                (Some(link), Some(crm)) => {
                    !mapping::emptied(&link.base.crm, &crm.fields).is_empty()
                }
                _ => false,
            }
        };
        let is_believed = mutation::is_on(Mutant::LostFieldTakenForCleared);
        let is_asked = begun.is_schema_new || is_believed;
        if is_asked || !self.gathered.pairs.values().any(has_emptied) {
            return Ok(());
        }
        begun.state.crm = self.crm.connect(None)?;
        begun.is_schema_new = true;
        let there = self.crm.fields();
        begun.fields.retain(|field| there.contains(field));
        Ok(())
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
            self.forget_base(&crm_id);
            self.gathered.answered.insert(mailbox_id);
        }
    }

    /// A copy that was created, or that a person chose, never held what the former partner did:
    /// what it lacks was not cleared in it.
    fn forget_base(&mut self, crm_id: &CrmId) {
        if let Some(pair) = self.gathered.pairs.get_mut(crm_id)
            && let Some(link) = pair.link.as_ref().and_then(Packed::unpack)
            && !mutation::is_on(Mutant::FormerBaseKept)
        {
            let base = Base::default();
            let link = Link { base, ..link };
            pair.link = Some(Packed::new(&link));
        }
    }

    /// What people, or settled intents, said about contacts that are still without partner; and
    /// pairs whose link cannot be read, as far as both are there.
    fn take_answers(&mut self) -> Result<(), Failure> {
        let damaged = std::mem::take(&mut self.gathered.damaged);
        let at_rest = if damaged.is_empty() {
            BTreeSet::new()
        } else {
            BTreeSet::from_iter(self.memory.detached()?)
        };
        for (mailbox_id, crm_id) in damaged {
            if at_rest.contains(&crm_id) && !self.gathered.marked.contains(&crm_id) {
                self.keep_at_rest(crm_id, &mailbox_id);
                continue;
            }
            let are_there = self.gathered.mailbox.contains_key(&mailbox_id)
                && self.gathered.candidates.contains_key(&crm_id);
            if are_there {
                self.gathered.matched.push((crm_id, mailbox_id));
            }
        }
        let Some(begun) = &self.begun else {
            return Ok(());
        };
        // Who is new and gone is nobody; without this, an answer about them would be kept for ever.
        let about_nobody = begun.answers.iter().filter(|(mailbox_id, answer)| {
            let source = Source::Mailbox((*mailbox_id).clone());
            **answer == Answer::New && self.gathered.gone.contains(&source)
        });
        let about_nobody: Vec<MailboxId> = about_nobody.map(|(id, _)| id.clone()).collect();
        self.gathered.useless_answers.extend(about_nobody);
        let answers: Vec<(CrmId, MailboxId)> = begun
            .answers
            .iter()
            .filter(|(mailbox_id, _)| !self.gathered.answered.contains(*mailbox_id))
            .filter_map(|(mailbox_id, answer)| match answer {
                Answer::Same(crm_id) => Some((crm_id.clone(), mailbox_id.clone())),
                Answer::New => None,
            })
            .collect();
        let mailbox_ids: Vec<MailboxId> = answers.iter().map(|(_, id)| id.clone()).collect();
        let partners = self.memory.paired_with(&mailbox_ids)?;
        for ((crm_id, mailbox_id), partner) in answers.into_iter().zip(partners) {
            let are_there = self.gathered.mailbox.contains_key(&mailbox_id)
                && self.gathered.crm.contains_key(&crm_id);
            if are_there {
                self.gathered.matched.push((crm_id, mailbox_id));
            } else if partner.is_some() || self.is_answer_useless(&crm_id, &mailbox_id) {
                self.findings.push(useless_answer(&crm_id, &mailbox_id));
                self.gathered.useless_answers.insert(mailbox_id);
            } else {
                self.keep_answer(crm_id, mailbox_id);
            }
        }
        Ok(())
    }

    /// A pair at rest whose row cannot be read, but another one says that it is at rest: nobody has
    /// set its marker again, so it is neither matched nor imported.
    fn keep_at_rest(&mut self, crm_id: CrmId, mailbox_id: &MailboxId) {
        let contact = self.gathered.mailbox.remove(mailbox_id);
        let (Some(contact), Some(begun)) = (
            contact.and_then(|contact| contact.unpack()),
            &mut self.begun,
        ) else {
            return;
        };
        let link = Link {
            crm_id,
            mailbox_id: contact.id,
            standing: Standing::Detached,
            marker_seen: false,
            base: Base::default(),
            crm_modified: None,
            change_key: contact.change_key,
            key: None,
            stable_id: contact.stable_id,
            unfinished: None,
            told: Vec::new(),
        };
        begun.state.detached = begun.state.detached.saturating_add(1);
        self.gathered.renewal.at_rest.push((link.clone(), link));
    }

    /// Whether one of the two is certainly gone, or has a partner.
    fn is_answer_useless(&self, crm_id: &CrmId, mailbox_id: &MailboxId) -> bool {
        let gathered = &self.gathered;
        let has_partner = gathered
            .pairs
            .get(crm_id)
            .is_some_and(|pair| matches!(pair.mailbox, Half::Present(_)));
        let is_crm_gone = gathered.gone.contains(&Source::Crm(crm_id.clone()));
        has_partner
            // A tombstone's contact can come back from the trash.
            || (is_crm_gone && !gathered.pairs.contains_key(crm_id))
            || gathered.gone.contains(&Source::Mailbox(mailbox_id.clone()))
    }

    /// What cannot be read now, or lies in another folder, is not gone: until it is known, nothing
    /// is created for either of the two, or the create that the answer is about happens again.
    fn keep_answer(&mut self, crm_id: CrmId, mailbox_id: MailboxId) {
        if self.gathered.moved.contains(&mailbox_id) {
            let source = Source::Mailbox(mailbox_id.clone());
            self.put_off_half(source, "moved-in-mailbox", None);
        }
        let withheld = &mut self.gathered.withheld;
        withheld.insert(Source::Crm(crm_id));
        withheld.insert(Source::Mailbox(mailbox_id));
    }

    /// Nothing is made of a contact that may be the copy an open intent is about.
    fn withhold_copies_of_open_intents(&mut self) {
        let Some(begun) = &self.begun else { return };
        let exports = begun.intents.iter();
        let exports = exports.filter(|intent| matches!(intent.source, Source::Crm(_)));
        // Of whoever is being imported from another mailbox, a second CRM contact would be made.
        let concerning = exports.chain(&self.gathered.importing);
        let concerning: Vec<&Intent> = concerning.collect();
        for (id, packed) in &self.gathered.mailbox {
            let is_concerned = !concerning.is_empty()
                && packed.unpack().is_some_and(|contact| {
                    let region = &self.job.tenant.region;
                    let candidate = Candidate::of_mailbox((), &contact.view, region);
                    let mut concerning = concerning.iter();
                    concerning.any(|intent| intent.candidate.resembles(&candidate))
                });
            if is_concerned {
                self.gathered.withheld.insert(Source::Mailbox(id.clone()));
            }
        }
        let imports = begun.intents.iter();
        let imports = imports.filter(|intent| matches!(intent.source, Source::Mailbox(_)));
        for intent in imports {
            for (id, candidate) in &self.gathered.candidates {
                if intent.candidate.resembles(candidate) {
                    self.gathered.withheld.insert(Source::Crm(id.clone()));
                }
            }
        }
    }

    fn propose(&mut self) -> Result<(), Stop> {
        if self.job.policy.matching == Matching::Off {
            return Ok(());
        }
        let mut mailbox = self.mailbox_candidates();
        let mut crm = self.crm_candidates(&mailbox)?;
        let at_rest = self.at_rest(&self.marked_candidates())?;
        if !at_rest.is_empty() {
            let region = &self.job.tenant.region;
            let found = at_rest.iter();
            mailbox.extend(found.map(|(id, (_, contact))| {
                Candidate::of_mailbox(id.clone(), &contact.view, region)
            }));
            mailbox.sort_by(|one, other| one.id.cmp(&other.id));
            crm = self.crm_candidates(&mailbox)?;
        }
        let proposal = matching::propose(&crm, &mailbox, self.is_first());
        self.pair_proposed(&proposal.pairs)?;
        for question in proposal.questions {
            // A contact at rest is not new: the question is the CRM contact's alone.
            let is_at_rest = matches!(&question.about,
                About::Mailbox { contact, .. } if at_rest.contains_key(contact));
            if !is_at_rest {
                self.ask(&question, &crm, &mailbox);
            }
        }
        self.wake(at_rest);
        self.ask_again(&proposal.unmatched_crm, &proposal.unmatched_mailbox)?;
        Ok(())
    }

    /// CRM contacts that are to be exported.
    fn marked_candidates(&self) -> Vec<Rc<Candidate<CrmId>>> {
        let marked = self.gathered.marked.iter();
        marked
            .filter(|id| !self.gathered.withheld.contains(&Source::Crm((*id).clone())))
            .filter_map(|id| self.gathered.candidates.get(id).cloned())
            .collect()
    }

    /// A forgotten pair that is proposed anew is still known: it is taken up again.
    fn pair_proposed(&mut self, pairs: &[(CrmId, MailboxId)]) -> Result<(), Failure> {
        // Some at a time: a link has room for both records, be it there or not.
        for some in pairs.chunks(STORE_ITEMS_MAX) {
            let ids: Vec<CrmId> = some.iter().map(|(crm_id, _)| crm_id.clone()).collect();
            for (pair, link) in some.iter().zip(self.memory.links(&ids)?) {
                match link {
                    Stored::Found(link) => {
                        self.revive(link, &pair.1);
                    }
                    Stored::Missing | Stored::Damaged => self.gathered.matched.push(pair.clone()),
                }
            }
        }
        Ok(())
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
        let has_namesake = |crm: &Rc<Candidate<CrmId>>| {
            let mut namesakes = mailbox.iter();
            asked_crm.contains(&crm.id) || namesakes.any(|other| crm.has_name_of(other))
        };
        let mut crm = self.all_crm_candidates()?;
        crm.retain(has_namesake);
        let crm = self.without_partner(&crm)?;
        for question in matching::propose(&crm, &mailbox, true).questions {
            self.ask(&question, &crm, &mailbox);
        }
        Ok(())
    }

    /// New mailbox contacts about which nobody has said anything, by id.
    pub(super) fn mailbox_candidates(&self) -> Vec<Candidate<MailboxId>> {
        let region = &self.job.tenant.region;
        let answered = |id: &MailboxId| {
            self.begun
                .as_ref()
                .is_some_and(|begun| begun.answers.contains_key(id))
                && !self.gathered.useless_answers.contains(id)
        };
        let matched = self.gathered.matched.iter();
        let taken: BTreeSet<&MailboxId> = matched.map(|(_, id)| id).collect();
        let is_new = |id: &MailboxId| {
            let source = Source::Mailbox(id.clone());
            !answered(id) && !taken.contains(id) && !self.gathered.withheld.contains(&source)
        };
        let mut candidates = Vec::with_capacity(self.gathered.mailbox.len());
        for (id, packed) in self.gathered.mailbox.iter().filter(|(id, _)| is_new(id)) {
            if let Some(contact) = packed.unpack() {
                candidates.push(Candidate::of_mailbox(id.clone(), &contact.view, region));
            }
        }
        candidates
    }

    /// CRM contacts, marked or not, that have no partner in this mailbox and may be one of these:
    /// in the order of their ids.
    fn crm_candidates(
        &self,
        mailbox: &[Candidate<MailboxId>],
    ) -> Result<Vec<Rc<Candidate<CrmId>>>, Failure> {
        let taken: BTreeSet<&CrmId> = self.gathered.matched.iter().map(|(crm, _)| crm).collect();
        let is_free = |candidate: &Rc<Candidate<CrmId>>| {
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
        self.without_partner(&matching::relevant(all, mailbox))
    }

    /// The digests of all CRM contacts, the newest ones of this pass; by id.
    pub(super) fn all_crm_candidates(&self) -> Result<Vec<Rc<Candidate<CrmId>>>, Failure> {
        let mut all: BTreeMap<CrmId, Rc<Candidate<CrmId>>> = self
            .memory
            .candidates()?
            .into_values()
            .flatten()
            .map(|candidate| (candidate.id.clone(), Rc::new(candidate)))
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
        candidates: &[Rc<Candidate<CrmId>>],
    ) -> Result<Vec<Rc<Candidate<CrmId>>>, Failure> {
        let has_partner =
            |link: &Stored<Link>| matches!(link, Stored::Found(link) if !link.is_tombstone());
        let is_back = |id: &CrmId| {
            let pair = self.gathered.pairs.get(id);
            pair.is_some_and(|pair| matches!(pair.mailbox, Half::Present(_)))
        };
        let mut free = Vec::new();
        for some in candidates.chunks(STORE_ITEMS_MAX) {
            let ids: Vec<CrmId> = some.iter().map(|candidate| candidate.id.clone()).collect();
            let links = self.memory.links(&ids)?;
            let some = some.iter().zip(links);
            let some = some.filter(|(known, link)| !has_partner(link) && !is_back(&known.id));
            free.extend(some.map(|(known, _)| Rc::clone(known)));
        }
        Ok(free)
    }

    /// Marked, or half of a pair: something would be created or deleted for it.
    fn takes_part(&self, id: &CrmId) -> bool {
        let pair = self.gathered.pairs.get(id).and_then(PackedPair::unpack);
        let is_pair = pair.is_some_and(|pair| {
            let is_marked = matches!(&pair.crm, Half::Present(crm) if crm.marked == Some(true));
            is_marked || pair.link.is_some_and(|link| link.is_linked())
        });
        is_pair || self.gathered.marked.contains(id)
    }

    /// Several may be the same person: nothing is created, a person is asked. The candidates are
    /// by id.
    pub(super) fn ask(
        &mut self,
        question: &Question<CrmId, MailboxId>,
        crm: &[impl Borrow<Candidate<CrmId>>],
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
                if !self.takes_part(contact) {
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
}

fn label<I: Ord>(id: &I, candidates: &[impl Borrow<Candidate<I>>]) -> String {
    candidates
        .binary_search_by(|found| found.borrow().id.cmp(id))
        .ok()
        .and_then(|index| candidates.get(index))
        .map(|found| found.borrow().label())
        .unwrap_or_default()
}

fn labels<I: Ord + fmt::Display>(
    ids: &[I],
    candidates: &[impl Borrow<Candidate<I>>],
) -> Vec<String> {
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
