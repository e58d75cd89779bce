//! By id: whatever a deletion, a restoring or an old problem rests on.
//!
//! Missing from a page, a feed or a full read is a hint, never a deletion. This room reads what was
//! hinted at, until nothing is left that must be known before the plan can be made.

use super::read::is_marker_news;
use super::remember::is_due;
use super::settle::SETTLE_MS;
use super::{Pass, PutOff, Stage, Stop};
use crate::contact::{CrmId, MailboxId};
use crate::crm::{Crm, CrmRead, MarkerPlace};
use crate::execute::mailbox_half;
use crate::job::CrmNotFound;
use crate::links::{Answer, Intent, Link, Packed, Source, Stored};
use crate::mailbox::{Mailbox, MailboxRead};
use crate::mutation::{self, Mutant};
use crate::plan::matching::{Candidate, is_question};
use crate::plan::{self, Half};
use crate::report::{ContactName, Failure, Problem};
use std::rc::Rc;

/// Contacts of one side that one step reads by id.
const READS_MAX: usize = 40;

/// CRM contacts whose marker is asked for in turn, a pass, where markers are kept beside the
/// contact and cannot be listed (contract, 2.8 c).
const MARKER_SLICE_CONTACTS: usize = 200;

impl<C: Crm, M: Mailbox> Pass<C, M> {
    pub(super) fn confirm(&mut self) -> Result<Stage, Stop> {
        if !self.gathered.queued.pending {
            self.queue_remembered()?;
            self.gathered.queued.pending = true;
        }
        if self.read_queued_crm()? || self.read_queued_mailbox()? || self.read_markers()? {
            return Ok(Stage::Confirm);
        }
        if !self.gathered.not_found.is_empty() {
            let in_trash = |id: &CrmId| self.gathered.trash.ids.contains(id);
            if !self.gathered.trash.is_complete && !self.gathered.not_found.iter().all(in_trash) {
                self.gathered.trash.must_complete = true;
                return Ok(Stage::ReadTrash(Some(1)));
            }
            self.classify_not_found()?;
        }
        if self.queue_unknown_halves() || self.queue_questions()? || self.queue_created()? {
            return Ok(Stage::Confirm);
        }
        if self.must_begin_anew() {
            return Ok(self.begin_anew());
        }
        self.withhold_creations();
        Ok(Stage::Match)
    }

    /// Where nobody knows what was about to be created when a pass broke off, anybody who is new
    /// may be its copy, until it must have shown (contract, 7.3).
    fn withhold_creations(&mut self) {
        if !self.must_creations_wait() {
            return;
        }
        let gathered = &mut self.gathered;
        let new = gathered.mailbox.keys().cloned().map(Source::Mailbox);
        gathered.withheld.extend(new);
        let marked = gathered.marked.iter().cloned().map(Source::Crm);
        gathered.withheld.extend(marked);
        let gone = gathered
            .pairs
            .iter()
            .filter(|(_, pair)| matches!(pair.mailbox, Half::Deleted));
        let gone: Vec<Source> = gone.map(|(id, _)| Source::Crm(id.clone())).collect();
        gathered.withheld.extend(gone);
    }

    /// Whether something that was about to be created is not known, and may still show.
    pub(super) fn must_creations_wait(&self) -> bool {
        let begun = self.begun.as_ref();
        let until = begun.and_then(|begun| begun.state.creations_wait_until);
        let now = self.outside.now();
        until.is_some_and(|until| (1..=SETTLE_MS).contains(&until.since_ms(now)))
    }

    /// What earlier passes left to look at: pending contacts, people's answers, tombstones where
    /// the trash has changed, and the slice of markers.
    fn queue_remembered(&mut self) -> Result<(), Failure> {
        let now = self.outside.now();
        let Some(begun) = &self.begun else {
            return Ok(());
        };
        for (source, pending) in &begun.pending {
            // News of one half of a pair that waits: the other half's may be what it waits with.
            let is_news = matches!(source, Source::Crm(id) if self.gathered.pairs.contains_key(id));
            let is_due = begun.is_full || is_news || is_due(pending, now);
            match source {
                Source::Crm(id) if is_due => {
                    self.gathered.crm_queue.insert(id.clone());
                    if let Some(link) = self.memory.links(std::slice::from_ref(id))?.pop()
                        && let Some(link) = link.found()
                    {
                        self.gathered.mailbox_queue.insert(link.mailbox_id);
                    }
                }
                Source::Mailbox(id) if is_due => {
                    self.gathered.mailbox_queue.insert(id.clone());
                }
                Source::Crm(_) | Source::Mailbox(_) => {}
            }
        }
        for (mailbox_id, answer) in &begun.answers {
            self.gathered.mailbox_queue.insert(mailbox_id.clone());
            if let Answer::Same(crm_id) = answer {
                self.gathered.crm_queue.insert(crm_id.clone());
                let link = self.memory.links(std::slice::from_ref(crm_id))?.pop();
                // A partner that it had before: is it gone?
                if let Some(link) = link.and_then(Stored::found) {
                    self.gathered.mailbox_queue.insert(link.mailbox_id);
                }
            }
        }
        if self.gathered.trash.has_changed || begun.is_full {
            for (id, _) in self.memory.tombstones()? {
                let is_back =
                    self.gathered.trash.is_complete && !self.gathered.trash.ids.contains(&id);
                if is_back || self.gathered.crm_seen.contains(&id) {
                    self.gathered.crm_queue.insert(id);
                }
            }
        }
        self.queue_marker_slice()
    }

    fn queue_marker_slice(&mut self) -> Result<(), Failure> {
        if self.crm.marker_place() == MarkerPlace::Field {
            return Ok(());
        }
        let Some(begun) = &self.begun else {
            return Ok(());
        };
        let first = begun.state.marker_slice;
        let buckets = self.memory.candidates()?;
        let mut next = first;
        let mut count = 0;
        loop {
            let ids = buckets.get(&next).map(Vec::as_slice).unwrap_or_default();
            count += ids.len();
            self.gathered
                .marker_queue
                .extend(ids.iter().map(|candidate| candidate.id.clone()));
            next = next.wrapping_add(1);
            if next == first || count >= MARKER_SLICE_CONTACTS {
                break;
            }
        }
        if begun.is_first() {
            let slice = self
                .gathered
                .candidates
                .keys()
                .take(MARKER_SLICE_CONTACTS)
                .cloned();
            self.gathered.marker_queue.extend(slice);
        }
        self.gathered.next_slice = Some(next);
        Ok(())
    }

    // ---- reading by id --------------------------------------------------------------------------

    pub(super) fn read_queued_crm(&mut self) -> Result<bool, Stop> {
        let ids: Vec<CrmId> = self
            .gathered
            .crm_queue
            .iter()
            .filter(|id| !self.gathered.crm_asked.contains(*id))
            .take(READS_MAX)
            .cloned()
            .collect();
        if ids.is_empty() {
            return Ok(false);
        }
        let reads = self.crm.read(&ids)?;
        let links = self.memory.links(&ids)?;
        for ((id, read), link) in ids.into_iter().zip(reads).zip(links) {
            self.gathered.crm_queue.remove(&id);
            self.gathered.crm_asked.insert(id.clone());
            self.gathered.is_damaged |= link == Stored::Damaged;
            let link = link
                .found()
                .zip(self.begun.as_ref())
                .map(|(link, begun)| begun.refreshed(link));
            match (read, link) {
                (CrmRead::Present(contact), link) => {
                    if link.as_ref().is_none_or(|link| !link.is_linked()) {
                        // Of the feed's pages, or not: it may be somebody.
                        let region = &self.job.tenant.region;
                        let digest = Candidate::of_crm(id.clone(), &contact.fields, region);
                        (self.gathered.candidates).insert(id.clone(), Rc::new(digest));
                    }
                    if contact.marked.is_none() {
                        self.gathered.marker_queue.insert(id);
                    }
                    match link {
                        Some(link) => self.gathered.put_crm(link, Half::Present(contact)),
                        None => self.gathered.put_new_crm(&contact, true),
                    }
                }
                (CrmRead::NotFound, Some(link)) => {
                    if link.is_tombstone() {
                        self.gathered.gone.insert(Source::Crm(id.clone()));
                    }
                    self.gathered.not_found.insert(id);
                }
                (CrmRead::NotFound, None) => {
                    self.gathered.crm.remove(&id);
                    self.gathered.marked.remove(&id);
                    if self.is_answered(&Source::Crm(id.clone())) {
                        // Nobody is taken for gone, and a copy of theirs imported, because a right
                        // is missing: the trash says.
                        self.gathered.not_found.insert(id);
                    } else {
                        self.gathered.gone.insert(Source::Crm(id));
                    }
                }
                (CrmRead::Unreadable(problem), Some(link)) => {
                    self.gathered.put_crm(link, Half::Unreadable(problem));
                }
                (CrmRead::Unreadable(problem), None) => {
                    self.wait_until_readable(Source::Crm(id), "crm-unreadable", problem);
                }
            }
        }
        Ok(true)
    }

    pub(super) fn read_queued_mailbox(&mut self) -> Result<bool, Stop> {
        let ids: Vec<MailboxId> = self
            .gathered
            .mailbox_queue
            .iter()
            .filter(|id| !self.gathered.mailbox_asked.contains(*id))
            .take(READS_MAX)
            .cloned()
            .collect();
        if ids.is_empty() {
            return Ok(false);
        }
        let reads = self.mailbox.read(&ids)?;
        let paired = self.memory.paired_with(&ids)?;
        for ((id, read), crm_id) in ids.into_iter().zip(reads).zip(paired) {
            self.gathered.mailbox_queue.remove(&id);
            self.gathered.mailbox_asked.insert(id.clone());
            let recognised = self.gathered.recognised_by_pair.get(&id);
            let link = match recognised.cloned().or(crm_id) {
                Some(crm_id) => {
                    let link = self.memory.links(std::slice::from_ref(&crm_id))?.pop();
                    self.gathered.is_damaged |= link == Some(Stored::Damaged);
                    link.and_then(Stored::found)
                }
                None => None,
            };
            let link = link
                .zip(self.begun.as_ref())
                .map(|(link, begun)| begun.refreshed(link));
            match (link, read) {
                (Some(link), read) => self.gathered.put_mailbox(link, mailbox_half(read)),
                (None, MailboxRead::Present(contact)) => {
                    self.gathered.mailbox.insert(id, Packed::new(&contact));
                }
                (None, MailboxRead::Unreadable(problem)) => {
                    let source = Source::Mailbox(id);
                    self.wait_until_readable(source, "mailbox-unreadable", problem);
                }
                (None, MailboxRead::Moved(_)) => {
                    self.gathered.mailbox.remove(&id);
                    self.gathered.moved.insert(id);
                }
                (None, MailboxRead::Deleted) => {
                    self.gathered.mailbox.remove(&id);
                    self.gathered.gone.insert(Source::Mailbox(id));
                }
            }
        }
        Ok(true)
    }

    /// Where markers are kept beside the contact.
    fn read_markers(&mut self) -> Result<bool, Stop> {
        if self.crm.marker_place() == MarkerPlace::Field {
            return Ok(false);
        }
        let ids: Vec<CrmId> = self
            .gathered
            .marker_queue
            .iter()
            .take(READS_MAX)
            .cloned()
            .collect();
        if ids.is_empty() {
            return Ok(false);
        }
        let markers = self.crm.markers(&ids)?;
        let links = self.memory.links(&ids)?;
        for ((id, marked), link) in ids.into_iter().zip(markers).zip(links) {
            self.gathered.marker_queue.remove(&id);
            let Some(marked) = marked else { continue };
            let link = link
                .found()
                .zip(self.begun.as_ref())
                .map(|(link, begun)| begun.refreshed(link));
            self.take_marker(&id, marked, link);
        }
        Ok(true)
    }

    fn take_marker(&mut self, id: &CrmId, marked: bool, link: Option<Link>) {
        match link {
            Some(link) => {
                let known = self
                    .gathered
                    .pairs
                    .get(id)
                    .and_then(|pair| pair.crm.unpack());
                match known {
                    Some(Half::Present(mut contact)) => {
                        contact.marked = Some(marked);
                        self.gathered.put_crm(link, Half::Present(contact));
                    }
                    // Only the marker is news: the record is read, so that both come from one time.
                    _ if is_marker_news(marked, &link) => {
                        self.gathered.crm_queue.insert(id.clone());
                        self.gathered.marker_queue.remove(id);
                    }
                    _ => {}
                }
            }
            None if marked => match self.gathered.crm.get(id).and_then(Packed::unpack) {
                Some(mut contact) => {
                    contact.marked = Some(true);
                    self.gathered.put_new_crm(&contact, true);
                }
                None => {
                    self.gathered.crm_queue.insert(id.clone());
                }
            },
            None => {
                self.gathered.marked.remove(id);
            }
        }
    }

    /// A contact without link that something waits for stays pending.
    fn wait_until_readable(&mut self, source: Source, reason: &'static str, problem: Problem) {
        let is_pending = self
            .begun
            .as_ref()
            .is_some_and(|begun| begun.pending.contains_key(&source));
        if !is_pending && !self.is_answered(&source) {
            return;
        }
        self.put_off_half(source, reason, Some(problem));
    }

    /// Whether a person, or a settled intent, has said whose partner this contact is.
    fn is_answered(&self, source: &Source) -> bool {
        let Some(begun) = &self.begun else {
            return false;
        };
        match source {
            Source::Mailbox(id) => begun.answers.contains_key(id),
            Source::Crm(id) => {
                let mut answers = begun.answers.values();
                answers.any(|answer| matches!(answer, Answer::Same(same) if same == id))
            }
        }
    }

    /// One half of an answer is neither there nor deleted: people are told.
    pub(super) fn put_off_half(
        &mut self,
        source: Source,
        reason: &'static str,
        problem: Option<Problem>,
    ) {
        let put_off = PutOff {
            reason,
            problem,
            name: Some(name_of(&source)),
        };
        self.put_off.insert(source, put_off);
    }

    // ---- what it comes to -----------------------------------------------------------------------

    fn classify_not_found(&mut self) -> Result<(), Failure> {
        let ids: Vec<CrmId> = std::mem::take(&mut self.gathered.not_found)
            .into_iter()
            .collect();
        let links = self.memory.links(&ids)?;
        for (id, link) in ids.into_iter().zip(links) {
            let is_believed = mutation::is_on(Mutant::VanishedIsDeleted);
            let half = if is_believed || self.gathered.trash.ids.contains(&id) {
                Half::Deleted
            } else {
                Half::Astray
            };
            match link.found() {
                Some(link) => self.gathered.put_crm(link, half),
                None if matches!(half, Half::Astray)
                    && self.job.policy.crm_not_found == CrmNotFound::Hold =>
                {
                    let source = Source::Crm(id);
                    self.put_off_half(source, "vanished-in-crm", Some(vanished_answer()));
                }
                None => {
                    self.gathered.gone.insert(Source::Crm(id));
                }
            }
        }
        Ok(())
    }

    /// Whoever is new may be the very person that a question is about, or one that an import which
    /// was refused is about: then all of them are weighed together again.
    fn queue_questions(&mut self) -> Result<bool, Failure> {
        let gathered = &mut self.gathered;
        let is_new = !gathered.marked.is_empty() || !gathered.mailbox.is_empty();
        if gathered.queued.questions || !is_new {
            return Ok(false);
        }
        gathered.queued.questions = true;
        let Some(begun) = &self.begun else {
            return Ok(false);
        };
        for (source, row) in &begun.pending {
            let is_open = is_question(&row.reason);
            match source {
                Source::Crm(id) if is_open || row.reason == "moved-in-mailbox" => {
                    let link = self.memory.links(std::slice::from_ref(id))?.pop();
                    let link = link.and_then(Stored::found);
                    // Moved under another id, and found by its key: it may be who is new here.
                    if is_open || link.as_ref().is_some_and(|link| link.key.is_some()) {
                        gathered.crm_queue.insert(id.clone());
                        // A pair whose mailbox half is gone is weighed with both.
                        let mailbox_id = link.map(|link| link.mailbox_id);
                        gathered.mailbox_queue.extend(mailbox_id);
                    }
                }
                Source::Mailbox(id) if is_open || !gathered.marked.is_empty() => {
                    let is_known =
                        gathered.mailbox.contains_key(id) || gathered.mailbox_queue.contains(id);
                    if !is_open && !is_known {
                        gathered.only_weighed.insert(id.clone());
                    }
                    gathered.mailbox_queue.insert(id.clone());
                }
                Source::Crm(_) | Source::Mailbox(_) => {}
            }
        }
        Ok(true)
    }

    /// Whoever is new in this mailbox may just have been imported from another one, and the CRM's
    /// index need not show it yet.
    fn queue_created(&mut self) -> Result<bool, Failure> {
        if self.gathered.queued.created || self.gathered.mailbox.is_empty() {
            return Ok(false);
        }
        self.gathered.queued.created = true;
        let now = self.outside.now();
        let own = |intent: &Intent| {
            let begun = self.begun.as_ref();
            begun.is_some_and(|begun| begun.intents.iter().any(|open| open.key == intent.key))
        };
        let mut importing = self.memory.importing()?;
        importing.retain(|intent| !own(intent));
        let is_young = |intent: &mut Intent| now.since_ms(intent.at).abs() <= SETTLE_MS;
        self.gathered.importing = importing.extract_if(.., is_young).collect();
        let settled = importing.into_iter().map(|intent| intent.key);
        self.gathered.imported_long_ago = settled.collect();
        let (recent, settled): (Vec<_>, Vec<_>) = self
            .memory
            .created()?
            .into_iter()
            .partition(|(_, at)| now.since_ms(*at) <= SETTLE_MS);
        self.gathered.created_long_ago = settled.into_iter().map(|(id, _)| id).collect();
        let unseen: Vec<CrmId> = recent
            .into_iter()
            .map(|(id, _)| id)
            .filter(|id| !self.gathered.candidates.contains_key(id))
            .collect();
        let links = self.memory.links(&unseen)?;
        let free = unseen
            .into_iter()
            .zip(links)
            .filter(|(_, link)| *link == Stored::Missing);
        self.gathered.crm_queue.extend(free.map(|(id, _)| id));
        Ok(true)
    }

    /// Whether a pair needs its other half read before anything can be decided about it.
    fn queue_unknown_halves(&mut self) -> bool {
        let Some(begun) = self.begun.as_ref() else {
            return false;
        };
        let mut is_any = false;
        let mut crm = Vec::new();
        let mut mailbox = Vec::new();
        for packed in self.gathered.pairs.values() {
            if !packed.has_unread_half() {
                continue;
            }
            let Some(pair) = packed.unpack() else {
                continue;
            };
            let mut unknown = plan::unknown(&pair, &begun.fields, &self.job.policy);
            let Some(link) = pair.link else { continue };
            if begun
                .pending
                .contains_key(&Source::Crm(link.crm_id.clone()))
            {
                // News of one half says nothing about what the pair waits for.
                unknown.crm |= matches!(pair.crm, Half::Unread);
                unknown.mailbox |= matches!(pair.mailbox, Half::Unread);
            }
            if unknown.crm && !self.gathered.crm_asked.contains(&link.crm_id) {
                crm.push(link.crm_id);
                is_any = true;
            }
            if unknown.mailbox && !self.gathered.mailbox_asked.contains(&link.mailbox_id) {
                mailbox.push(link.mailbox_id);
                is_any = true;
            }
        }
        self.gathered.crm_queue.extend(crm);
        self.gathered.mailbox_queue.extend(mailbox);
        is_any
    }
}

fn vanished_answer() -> Problem {
    Problem {
        message: "a mailbox contact is to be paired with this CRM contact, but the CRM no longer \
                  shows it, and its trash does not hold it: it was purged, or it is hidden from \
                  the API user"
            .to_owned(),
        remedy: Some(
            "give the API user access; or say that the mailbox contact is somebody new with \
             `contact-sync pair --as-new MAILBOX-CONTACT`"
                .to_owned(),
        ),
    }
}

fn name_of(source: &Source) -> ContactName {
    let mut name = ContactName::default();
    match source {
        Source::Crm(id) => name.crm_id = Some(id.clone()),
        Source::Mailbox(id) => name.mailbox_id = Some(id.clone()),
    }
    name
}
