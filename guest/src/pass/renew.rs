//! The same contact under a new id (contract, section 3), where the feeds alone do not show it.
//!
//! A contact that was moved by an old client, re-created by a de-duplicator or imported again has
//! another id, and its feed may say "new" and "gone" in any order, or in two passes. So before a
//! new mailbox contact is called new, three more things are looked at: whether the contact that it
//! equals is still there; whether it is one that a pass has deleted since; and whether a contact
//! that carries the key of a missing one is there although no feed has named it yet.

use super::{Pass, PutOff, Stop};
use crate::contact::{CrmContact, CrmId, MailboxContact, MailboxId, StableId};
use crate::crm::Crm;
use crate::job::Matching;
use crate::links::{Link, Packed, Source, Standing, Stored};
use crate::mailbox::{FindBy, Mailbox};
use crate::mapping;
use crate::mutation::{self, Mutant};
use crate::plan::matching::{self, About, Candidate, Question};
use crate::plan::{Half, PackedPair};
use crate::report::Failure;
use std::collections::{BTreeMap, BTreeSet};

/// Why a pair waits whose mailbox contact is in another folder.
const MOVED: &str = "moved-in-mailbox";

/// Contacts that one step looks for: each is sought in every contact folder.
pub(super) const SOUGHT_MAX: usize = 8;

/// What a pass knows of contacts under new ids.
#[derive(Default)]
pub(super) struct Renewal {
    /// New contacts have been compared with what may be their former selves.
    are_former_selves_sought: bool,
    /// Forgotten pairs, and the new contacts that are taken for their mailbox halves.
    revived: BTreeMap<CrmId, MailboxId>,
    /// Pairs at rest whose mailbox half has a new id: as they were, and as they are.
    pub(super) at_rest: Vec<(Link, Link)>,
}

impl<C: Crm, M: Mailbox> Pass<C, M> {
    /// Whether something must be read by id before anybody is called new. Asked for once a pass.
    pub(super) fn look_for_former_selves(&mut self) -> Result<bool, Stop> {
        if self.gathered.renewal.are_former_selves_sought {
            self.release_unrestorable();
            return Ok(false);
        }
        if self.gathered.mailbox.is_empty() || self.is_first() {
            return Ok(false);
        }
        self.gathered.renewal.are_former_selves_sought = true;
        let is_any_moved = self.queue_moved()?;
        let new = self.mailbox_candidates();
        let relevant = matching::relevant(self.all_crm_candidates()?, &new);
        let ids: Vec<CrmId> = relevant.iter().map(|known| known.id.clone()).collect();
        let links = self.memory.links(&ids)?;
        let mut strangers = Vec::new();
        let mut must_read = is_any_moved;
        for (known, link) in relevant.into_iter().zip(links) {
            match link.found() {
                Some(link) if !link.is_tombstone() => {
                    must_read |= self.queue_original(&known, link, &new);
                }
                _ => strangers.push(known),
            }
        }
        let is_stranger = |contact: &Candidate<MailboxId>| {
            let mut strangers = strangers.iter();
            strangers.any(|known| known.resembles(contact))
        };
        let unknown: BTreeSet<&MailboxId> = new
            .iter()
            .filter(|contact| !is_stranger(contact))
            .map(|contact| &contact.id)
            .collect();
        must_read |= self.revive_equals(&unknown)?;
        Ok(must_read)
    }

    /// A new contact may be one that comes back from another folder: where that gave it another
    /// id, nothing else would show it before the next full read.
    fn queue_moved(&mut self) -> Result<bool, Failure> {
        let Some(begun) = &self.begun else {
            return Ok(false);
        };
        let mut ids: Vec<MailboxId> = Vec::new();
        let mut moved: Vec<CrmId> = Vec::new();
        for (source, _) in begun.pending.iter().filter(|(_, row)| row.reason == MOVED) {
            match source {
                Source::Crm(id) => moved.push(id.clone()),
                Source::Mailbox(id) => ids.push(id.clone()),
            }
        }
        moved.retain(|id| !self.gathered.pairs.contains_key(id));
        let links = self.memory.links(&moved)?.into_iter();
        ids.extend(links.filter_map(Stored::found).map(|link| link.mailbox_id));
        let gathered = &mut self.gathered;
        let is_known = |id: &MailboxId| {
            gathered.mailbox_asked.contains(id) || gathered.mailbox_seen.contains(id)
        };
        ids.retain(|id| !is_known(id));
        let is_any = !ids.is_empty();
        gathered.mailbox_queue.extend(ids);
        Ok(is_any)
    }

    /// A copy may have been named before its original is named as gone.
    fn queue_original(
        &mut self,
        known: &Candidate<CrmId>,
        link: Link,
        new: &[Candidate<MailboxId>],
    ) -> bool {
        let gathered = &mut self.gathered;
        let half = gathered.pairs.get(&link.crm_id).map(|pair| &pair.mailbox);
        let is_known = half.is_some_and(|half| !matches!(half, Half::Unread))
            || gathered.mailbox_asked.contains(&link.mailbox_id)
            || gathered.mailbox_seen.contains(&link.mailbox_id);
        let must_read = !is_known && new.iter().any(|contact| known.is_copy(contact));
        if must_read {
            gathered.mailbox_queue.insert(link.mailbox_id);
        }
        must_read
    }

    /// A new contact that equals, in all fields, the base of one that was deleted before, and is
    /// the only one to do so: the pair comes back with what only the CRM held.
    fn revive_equals(&mut self, unknown: &BTreeSet<&MailboxId>) -> Result<bool, Stop> {
        if unknown.is_empty() {
            return Ok(false);
        }
        let ids: Vec<CrmId> = self
            .memory
            .tombstones()?
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        let links = self
            .memory
            .links(&ids)?
            .into_iter()
            .filter_map(Stored::found);
        let tombstones: BTreeMap<CrmId, Link> = links
            .filter(Link::is_tombstone)
            .map(|link| (link.crm_id.clone(), link))
            .collect();
        let mut is_any = false;
        let by_stable_id = self.with_stable_id_of(&tombstones)?;
        let renewed: BTreeSet<CrmId> = by_stable_id.iter().map(|(id, _)| id.clone()).collect();
        let mut equal = self.equal_to_base(&tombstones);
        equal.retain(|(crm_id, _)| !renewed.contains(crm_id));
        for (crm_id, mailbox_id) in by_stable_id.into_iter().chain(equal) {
            if let (Some(link), true) = (tombstones.get(&crm_id), unknown.contains(&mailbox_id)) {
                is_any |= self.revive(link.clone(), &mailbox_id);
            }
        }
        Ok(is_any)
    }

    /// New mailbox contacts that carry what outlives the id of one of these pairs, where both are
    /// the only ones: a copy that was made before the contact was gone shares it.
    fn with_stable_id_of(
        &self,
        gone: &BTreeMap<CrmId, Link>,
    ) -> Result<Vec<(CrmId, MailboxId)>, Stop> {
        let mut carriers: BTreeMap<StableId, (Vec<CrmId>, Vec<MailboxId>)> = BTreeMap::new();
        for link in gone.values() {
            if let Some(stable_id) = link.stable_id.clone() {
                let (links, _) = carriers.entry(stable_id).or_default();
                links.push(link.crm_id.clone());
            }
        }
        for contact in self.gathered.mailbox.values().filter_map(Packed::unpack) {
            let known = contact.stable_id.and_then(|id| carriers.get_mut(&id));
            if let Some((_, contacts)) = known {
                contacts.push(contact.id);
            }
        }
        let only = carriers
            .into_iter()
            .filter_map(|(stable_id, (links, contacts))| {
                let ([link], [contact]) = (links.as_slice(), contacts.as_slice()) else {
                    return None;
                };
                Some((FindBy::StableId(stable_id), (link.clone(), contact.clone())))
            });
        let (by, mut pairs): (Vec<FindBy>, Vec<(CrmId, MailboxId)>) = only.unzip();
        if by.is_empty() {
            return Ok(pairs);
        }
        let mut found = self.mailbox.find(&by)?.into_iter();
        pairs.retain(|(_, contact)| {
            let carriers = found.next().and_then(Result::ok);
            carriers.is_some_and(|carriers| carriers == [contact.clone()])
        });
        Ok(pairs)
    }

    /// Gives a forgotten pair this new contact as its mailbox half.
    pub(super) fn revive(&mut self, link: Link, mailbox_id: &MailboxId) -> bool {
        let gathered = &mut self.gathered;
        let contact = gathered.mailbox.remove(mailbox_id);
        let Some(contact) = contact.as_ref().and_then(Packed::unpack) else {
            return false;
        };
        let crm_id = link.crm_id.clone();
        gathered.put_mailbox(link, Half::Present(contact));
        if !gathered.crm_asked.contains(&crm_id) {
            gathered.crm_queue.insert(crm_id.clone());
        }
        gathered.renewal.revived.insert(crm_id, mailbox_id.clone());
        true
    }

    /// Pairs whose mailbox half is gone, forgotten ones too where they are marked again. One whose
    /// CRM half cannot be brought back is no longer waited for: who was deleted and entered again
    /// is to be new.
    pub(super) fn gone_from_mailbox(&self) -> BTreeMap<CrmId, Link> {
        let mut gone = BTreeMap::new();
        let is_lost = |id: &CrmId| {
            let row = self.begun.as_ref().and_then(|begun| {
                let source = Source::Crm(id.clone());
                begun.pending.get(&source)
            });
            row.is_some_and(|row| row.reason == "cannot-be-restored")
        };
        for (id, packed) in &self.gathered.pairs {
            if let (false, Half::Deleted, Some(link)) = (is_lost(id), &packed.mailbox, &packed.link)
                && let Some(link) = link.unpack()
                && (!link.is_tombstone() || is_marked(&packed.crm))
            {
                gone.insert(id.clone(), link);
            }
        }
        gone
    }

    /// Looks for some contacts that are gone by their keys, or else by what outlives their ids.
    /// Whether there were any left to look for.
    pub(super) fn find_gone(&mut self, gone: &BTreeMap<CrmId, Link>) -> Result<bool, Stop> {
        let (crm_ids, by): (Vec<CrmId>, Vec<FindBy>) = gone
            .iter()
            .filter(|(id, _)| !self.gathered.found_again.contains_key(*id))
            .filter_map(|(id, link)| Some((id.clone(), link.find_by()?)))
            .take(SOUGHT_MAX)
            .unzip();
        if by.is_empty() {
            return Ok(false);
        }
        let found = self.mailbox.find(&by)?;
        for (crm_id, contacts) in crm_ids.into_iter().zip(found) {
            let Ok(ids) = contacts else {
                // It may be there under a new id: nothing is made of its being gone.
                self.gathered.withheld.insert(Source::Crm(crm_id.clone()));
                self.gathered.found_again.insert(crm_id, Vec::new());
                continue;
            };
            let partners = self.memory.paired_with(&ids)?;
            let free: Vec<MailboxId> = ids
                .into_iter()
                .zip(partners)
                .filter(|(_, partner)| partner.is_none())
                .map(|(id, _)| id)
                .collect();
            // A feed may tell of the removal first, and of the new contact in its next round.
            let unread = free
                .iter()
                .filter(|id| !self.gathered.mailbox.contains_key(*id))
                .filter(|id| !self.gathered.mailbox_asked.contains(*id));
            let unread: Vec<MailboxId> = unread.cloned().collect();
            self.gathered.mailbox_queue.extend(unread);
            self.gathered.found_again.insert(crm_id, free);
        }
        Ok(true)
    }

    /// The same contact under a new id (contract, section 3): a linked contact that is gone and a
    /// new one that carries its key or what outlives its id, or equals its base and is the only one
    /// that does.
    pub(super) fn link_new_ids(&mut self, mut gone: BTreeMap<CrmId, Link>) {
        if gone.is_empty() {
            return;
        }
        for (crm_id, carriers) in std::mem::take(&mut self.gathered.found_again) {
            let in_folder = |id: &&MailboxId| self.gathered.mailbox.contains_key(*id);
            let here: Vec<&MailboxId> = carriers.iter().filter(in_folder).collect();
            let is_elsewhere = carriers.iter().any(|id| self.gathered.moved.contains(id));
            // Met twice, in whatever folders, it is a user's copy and proves nothing.
            let only = match here.as_slice() {
                [only] if !is_elsewhere || mutation::is_on(Mutant::CopyLeftBehindBelieved) => {
                    Some(only)
                }
                [one, ..] if mutation::is_on(Mutant::CopiedKeyIsProof) => Some(one),
                _ => None,
            };
            if let Some(only) = only {
                gone.remove(&crm_id);
                self.link_anew(&crm_id, only);
            } else if is_elsewhere && let Some(pair) = self.gathered.pairs.get_mut(&crm_id) {
                gone.remove(&crm_id);
                pair.mailbox = Half::Astray;
            }
        }
        // Of a forgotten pair it says nothing that somebody is alike.
        gone.retain(|_, link| !link.is_tombstone());
        if gone.is_empty() || self.gathered.mailbox.is_empty() {
            return;
        }
        for (crm_id, mailbox_id) in self.equal_to_base(&gone) {
            gone.remove(&crm_id);
            self.link_anew(&crm_id, &mailbox_id);
        }
        self.find_by_person(&gone);
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
            self.hold_gone(gone, &question);
            self.ask(&question, &crm, &mailbox);
        }
    }

    /// Somebody who is back under a new id, while the CRM contact was remembered as gone: linked
    /// anew (contract, section 3), before the tombstone by itself creates anything.
    pub(super) fn link_tombstones(&mut self) {
        for (crm_id, mailbox_id) in std::mem::take(&mut self.gathered.matched) {
            let pair = self
                .gathered
                .pairs
                .get(&crm_id)
                .and_then(PackedPair::unpack);
            let is_back = pair.is_some_and(|pair| {
                pair.link.is_some_and(|link| link.is_tombstone())
                    && matches!(pair.crm, Half::Present(_))
            });
            if is_back {
                self.link_anew(&crm_id, &mailbox_id);
            } else {
                self.gathered.matched.push((crm_id, mailbox_id));
            }
        }
    }

    /// What cannot be brought back in the CRM does not keep its new self from being new.
    pub(super) fn release_unrestorable(&mut self) {
        for (crm_id, mailbox_id) in std::mem::take(&mut self.gathered.renewal.revived) {
            let Some(pair) = self.gathered.pairs.get_mut(&crm_id) else {
                continue;
            };
            let is_back = matches!(
                pair.crm,
                Half::Present(_) | Half::Deleted | Half::Unreadable(_)
            );
            if is_back {
                continue;
            }
            if let Half::Present(contact) = std::mem::replace(&mut pair.mailbox, Half::Unread) {
                self.gathered.mailbox.insert(mailbox_id, contact);
            }
        }
    }

    /// New mailbox contacts that equal the base of one of these pairs in all fields, where both are
    /// the only ones.
    pub(super) fn equal_to_base(&self, gone: &BTreeMap<CrmId, Link>) -> Vec<(CrmId, MailboxId)> {
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
        let pairs = by_digest.into_values().filter_map(|(links, contacts)| {
            let ([link], [contact]) = (links.as_slice(), contacts.as_slice()) else {
                return None;
            };
            let changed =
                mapping::changed_in_mailbox(&link.base, &contact.view, &begun.fields, region);
            changed
                .is_empty()
                .then(|| (link.crm_id.clone(), contact.id.clone()))
        });
        pairs.collect()
    }

    /// Gives a pair its mailbox half under the new id.
    pub(super) fn link_anew(&mut self, crm_id: &CrmId, mailbox_id: &MailboxId) {
        let Some(contact) = self.gathered.mailbox.remove(mailbox_id) else {
            return;
        };
        let Some(pair) = self.gathered.pairs.get_mut(crm_id) else {
            return;
        };
        pair.mailbox = Half::Present(contact);
        let Some(unpacked) = pair.unpack() else {
            return;
        };
        let is_marked = matches!(&unpacked.crm, Half::Present(crm) if crm.marked == Some(true));
        if let (Some(link), Half::Present(contact), false) =
            (unpacked.link, &unpacked.mailbox, is_marked)
            && link.standing == Standing::Detached
        {
            // At rest, so nothing else would remember the new id, and its next edit would be
            // imported.
            let renewed = Link {
                mailbox_id: contact.id.clone(),
                change_key: contact.change_key.clone(),
                stable_id: contact.stable_id.clone(),
                ..link.clone()
            };
            self.gathered.renewal.at_rest.push((link, renewed));
        }
    }

    /// Nothing is deleted of a pair whose missing half may be one of several new contacts.
    pub(super) fn hold_gone(
        &mut self,
        gone: &BTreeMap<CrmId, Link>,
        question: &Question<CrmId, MailboxId>,
    ) {
        let concerned: Vec<&CrmId> = match &question.about {
            About::Crm { contact, .. } => vec![contact],
            About::Mailbox { candidates, .. } => candidates.iter().collect(),
        };
        for crm_id in concerned.into_iter().filter(|id| gone.contains_key(*id)) {
            let source = Source::Crm(crm_id.clone());
            self.gathered.withheld.insert(source.clone());
            self.put_off.entry(source).or_insert(PutOff {
                reason: question.reason.code(),
                problem: None,
                name: None,
            });
        }
    }

    /// Old ids mean nothing in another user's mailbox: none of them is asked for.
    pub(super) fn is_in_another_mailbox(&self) -> bool {
        let Some(begun) = &self.begun else {
            return false;
        };
        begun.former_identity.as_ref().is_some_and(|former| {
            former.service != begun.state.mailbox.service || former.user != begun.state.mailbox.user
        })
    }
}

/// Whether the CRM's half is there and carries the mailbox's marker.
fn is_marked(half: &Half<Packed<CrmContact>>) -> bool {
    let Half::Present(contact) = half else {
        return false;
    };
    contact
        .unpack()
        .is_some_and(|contact| contact.marked == Some(true))
}
