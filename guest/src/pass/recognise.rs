//! Who is the same person: contacts under new ids, people's answers, and matching.

use super::{Mode, Pass, PutOff, Stage, Stop};
use crate::contact::{CrmId, MailboxContact, MailboxId, SearchKey};
use crate::crm::Crm;
use crate::job::Matching;
use crate::links::{Answer, Link, Source, Stored};
use crate::mailbox::Mailbox;
use crate::mapping;
use crate::mutation::{self, Mutant};
use crate::plan::matching::{self, About, Candidate, Question, Reason};
use crate::plan::{Half, PackedPair};
use crate::report::{ContactName, Failure, Finding, Severity};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Contacts whose key one step looks for: one request each, and one for every further folder.
const KEYS_MAX: usize = 20;

impl<C: Crm, M: Mailbox> Pass<C, M> {
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
                (one, _) if mutation::is_on(Mutant::CopiedKeyIsProof) => one,
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
