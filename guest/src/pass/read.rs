//! What has changed on both sides since the remembered positions.
//!
//! Page by page: of a page, only what is news is kept. A contact whose record equals its base is
//! dropped as soon as it is read.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Begun, Gathered, Pass, PutOff, Stage, Stop};
use crate::contact::{CrmContact, CrmId, MailboxContact, MailboxId};
use crate::crm::{Crm, CrmCursor, TrashPage};
use crate::links::{Link, Packed, Source, Standing, Stored};
use crate::mailbox::{Mailbox, MailboxEntry, MailboxNext, MailboxPosition};
use crate::mutation::{self, Mutant};
use crate::plan::matching::Candidate;
use crate::plan::{Half, Pair};
use crate::report::{
    ContactName, Failure, Finding, Problem, RemoteProblem, Service, Severity, Side,
};

/// How often reading the mailbox begins anew in one pass.
const RESTARTS_MAX: u32 = 2;

/// Deletions younger than the last pass by less than this are looked at again: clocks differ.
const TRASH_OVERLAP_MS: i64 = 600_000;

impl<C: Crm, M: Mailbox> Pass<C, M> {
    // ---- the CRM --------------------------------------------------------------------------------

    pub(super) fn read_crm(&mut self, cursor: Option<&CrmCursor>) -> Result<Stage, Stop> {
        let begun = self.begun.as_ref().ok_or_else(super::not_begun)?;
        let position = begun.state.crm_position.as_ref().filter(|_| !begun.is_full);
        let page = self.crm.changes(position, cursor)?;
        let ids: Vec<CrmId> = page
            .contacts
            .iter()
            .map(|contact| contact.id.clone())
            .collect();
        let links = self.memory.links(&ids)?;
        for (contact, link) in page.contacts.into_iter().zip(links) {
            self.take_crm(contact, link);
        }
        self.take_unreadable_crm(page.unreadable)?;
        if let Some(cursor) = page.cursor {
            return Ok(Stage::ReadCrm(Some(cursor)));
        }
        if self.must_begin_anew() {
            return Ok(self.begin_anew());
        }
        self.gathered.crm_position = page.position;
        Ok(Stage::ReadTrash(None))
    }

    /// A pair of which one half cannot be read is held, and read again by id.
    fn take_unreadable_crm(
        &mut self,
        entries: Vec<(Option<CrmId>, Problem)>,
    ) -> Result<(), Failure> {
        for (id, problem) in entries {
            if let Some(id) = &id {
                self.gathered.crm_seen.insert(id.clone());
                let link = self.memory.links(std::slice::from_ref(id))?.pop();
                if let Some(link) = link.and_then(Stored::found)
                    && link.is_linked()
                {
                    self.gathered.put_crm(link, Half::Unreadable(problem));
                    continue;
                }
            }
            let name = ContactName {
                crm_id: id,
                ..ContactName::default()
            };
            self.findings.push(unreadable(Side::Crm, name, &problem));
        }
        Ok(())
    }

    fn take_crm(&mut self, contact: CrmContact, link: Stored<Link>) {
        let Some(begun) = &self.begun else { return };
        self.counts.crm.read = self.counts.crm.read.saturating_add(1);
        let gathered = &mut self.gathered;
        let region = &self.job.tenant.region;
        let digest = Candidate::of_crm(contact.id.clone(), &contact.fields, region);
        (gathered.candidates).insert(contact.id.clone(), Rc::new(digest));
        if begun.is_full {
            gathered.crm_seen.insert(contact.id.clone());
        }
        if contact.marked.is_none() && (!begun.is_full || begun.is_marker_moved) {
            gathered.marker_queue.insert(contact.id.clone());
        }
        match link {
            Stored::Found(link) => {
                let link = begun.refreshed(link);
                if link.is_tombstone() {
                    // An index shows trashed contacts for a while, or always: only a read says
                    // that it is back. Unmarked it takes no part.
                    if contact.marked != Some(false) {
                        gathered.crm_queue.insert(contact.id);
                    }
                    return;
                }
                let is_news = begun.has_new_field(&link) || is_news_in_crm(&contact, &link);
                let is_stale = is_stale(&contact, &link);
                if is_stale && is_news {
                    // Or a clock that was set back: only a read by id can tell.
                    gathered.crm_queue.insert(contact.id);
                    return;
                }
                if !is_news {
                    if !is_stale {
                        gathered.crm_is_as_base(&link);
                    }
                    self.counts.crm.unchanged = self.counts.crm.unchanged.saturating_add(1);
                    return;
                }
                gathered.put_crm(link, Half::Present(contact));
            }
            damaged => {
                if damaged == Stored::Damaged {
                    gathered.is_damaged = true;
                    if begun.is_full {
                        self.findings.push(damaged_link(&contact.id));
                    }
                }
                gathered.put_new_crm(&contact, begun.is_first() || !begun.is_full);
            }
        }
    }

    // ---- the CRM's trash ------------------------------------------------------------------------

    /// The newest page of the trash at every pass; all of it where something is not explained by
    /// that page.
    pub(super) fn read_trash(&mut self, page: Option<u32>) -> Result<Stage, Stop> {
        let begun = self.begun.as_ref().ok_or_else(super::not_begun)?;
        let known = begun.state.trash.as_ref();
        // Further pages are counted as this pass's first look has found them to be.
        let counted = self.gathered.trash.mark.as_ref().or(known);
        let looked_at = self.outside.now();
        let answer = self.crm.trash(counted, page)?;
        let last_look = begun.state.trash_read;
        let is_first_look = page.is_none();
        // Any old date on a page without order says nothing about the other pages.
        let is_explained = known == Some(&answer.mark)
            || (answer.ordered
                && known.is_some_and(|known| answer.mark.total >= known.total)
                && last_look.is_some_and(|last| reaches_back(&answer, last.0 - TRASH_OVERLAP_MS)));
        let known_before = self.gathered.trash.ids.len();
        self.take_trash(&answer)?;
        let found = self.gathered.trash.ids.len();
        let is_all = u32::try_from(found).is_ok_and(|found| found >= answer.mark.total);
        if is_first_look {
            let is_known = self
                .begun
                .as_ref()
                .is_some_and(|begun| begun.state.trash.as_ref() == Some(&answer.mark));
            self.gathered.trash.is_complete = is_all;
            self.gathered.trash.mark = Some(answer.mark.clone());
            self.gathered.trash.read = Some(looked_at);
            if !is_known {
                self.gathered.trash.has_changed = true;
            }
            if !is_all && !is_explained && self.knows_pairs() {
                return Ok(Stage::ReadTrash(Some(1)));
            }
            return Ok(self.after_trash());
        }
        // The end is where all are found, or where a page brings nobody new: of how many there are
        // to a page, a server has its own mind. The page that the first look saw brings nobody new
        // either.
        let next = answer.page.saturating_add(1);
        if !is_all && (found > known_before || next <= answer.pages) {
            return Ok(Stage::ReadTrash(Some(next)));
        }
        self.gathered.trash.is_complete = true;
        Ok(self.after_trash())
    }

    /// Where the trash was read to its end because of contacts that were not found, confirming goes
    /// on; else the mailbox is next.
    fn after_trash(&self) -> Stage {
        if self.gathered.trash.must_complete {
            return Stage::Confirm;
        }
        let position = self.begun.as_ref().and_then(|begun| {
            begun
                .state
                .mailbox_position
                .clone()
                .filter(|_| !begun.is_full)
        });
        Stage::ReadMailbox(position)
    }

    fn take_trash(&mut self, page: &TrashPage) -> Result<(), Failure> {
        let ids: Vec<CrmId> = page.entries.iter().map(|entry| entry.id.clone()).collect();
        let is_known = self
            .begun
            .as_ref()
            .is_some_and(|begun| begun.state.trash.as_ref() == Some(&page.mark));
        self.gathered.trash.ids.extend(ids.iter().cloned());
        if is_known || !self.knows_pairs() {
            return Ok(());
        }
        // A hint for pairs in step, and for what it may have been restored from.
        for link in self
            .memory
            .links(&ids)?
            .into_iter()
            .filter_map(Stored::found)
        {
            if link.is_linked() && !self.gathered.crm_asked.contains(&link.crm_id) {
                self.gathered.crm_queue.insert(link.crm_id);
            }
        }
        Ok(())
    }

    // ---- the mailbox ----------------------------------------------------------------------------

    pub(super) fn read_mailbox(
        &mut self,
        position: Option<&MailboxPosition>,
    ) -> Result<Stage, Stop> {
        let asked = self.outside.now();
        let page = self.mailbox.changes(position)?;
        self.gathered.mailbox_read.get_or_insert(asked);
        let next = match page.next {
            MailboxNext::Expired => return self.begin_mailbox_anew(),
            MailboxNext::Page(position) => Stage::ReadMailbox(Some(position)),
            MailboxNext::End(position) => {
                self.gathered.mailbox_position = Some(position);
                match &self.begun {
                    Some(begun) if begun.is_full && begun.knows_pairs() => Stage::FindMissing(None),
                    _ => Stage::Confirm,
                }
            }
        };
        let links = self.links_of(&page.entries)?;
        for entry in page.entries {
            self.take_mailbox(entry, &links);
        }
        Ok(next)
    }

    /// A contact whose link cannot be read has a partner that this pass may not have read: without
    /// it, it would be taken for new.
    pub(super) fn must_begin_anew(&self) -> bool {
        self.gathered.is_damaged && self.begun.as_ref().is_some_and(|begun| !begun.is_full)
    }

    /// The service has forgotten the position. One that forgets each new one as well would be
    /// asked for ever.
    fn begin_mailbox_anew(&mut self) -> Result<Stage, Stop> {
        let service = Service::from(&self.job.mailbox.endpoint);
        let begun = self.begun.as_mut().ok_or_else(super::not_begun)?;
        if begun.restarts == RESTARTS_MAX {
            return Err(Stop::Failed(Failure::Protocol(RemoteProblem {
                service,
                status: None,
                code: None,
                request_id: None,
                problem: Problem {
                    message: format!(
                        "the mailbox `{}` was read from the start {RESTARTS_MAX} times, and its \
                         service lost the place each time",
                        self.job.mailbox.id
                    ),
                    remedy: Some(
                        "nothing at first: the next pass tries again; if it lasts, look at the \
                         service's status page"
                            .to_owned(),
                    ),
                },
            })));
        }
        begun.restarts += 1;
        Ok(self.begin_anew())
    }

    /// Both sides are read wholly, from the start.
    pub(super) fn begin_anew(&mut self) -> Stage {
        if let Some(begun) = &mut self.begun {
            begun.is_full = true;
        }
        self.put_off.clear();
        let withheld = std::mem::take(&mut self.gathered.withheld);
        self.gathered = Gathered {
            withheld,
            ..Gathered::default()
        };
        self.counts.crm = crate::report::SideCounts::default();
        self.counts.mailbox = crate::report::SideCounts::default();
        Stage::ReadCrm(None)
    }

    fn links_of(&mut self, entries: &[MailboxEntry]) -> Result<BTreeMap<MailboxId, Link>, Failure> {
        let ids: Vec<MailboxId> = entries
            .iter()
            .filter_map(|entry| match entry {
                MailboxEntry::Present(contact) => Some(contact.id.clone()),
                MailboxEntry::Removed(id) => Some(id.clone()),
                MailboxEntry::Unreadable(id, _) => id.clone(),
            })
            .collect();
        let paired = self.memory.paired_with(&ids)?;
        let pairs: Vec<(MailboxId, CrmId)> = ids
            .into_iter()
            .zip(paired)
            .filter_map(|(id, crm_id)| Some((id, crm_id?)))
            .collect();
        let crm_ids: Vec<CrmId> = pairs.iter().map(|(_, crm_id)| crm_id.clone()).collect();
        let mut links = BTreeMap::new();
        for ((id, crm_id), link) in pairs.into_iter().zip(self.memory.links(&crm_ids)?) {
            match link {
                Stored::Found(link) => {
                    links.insert(link.mailbox_id.clone(), link);
                }
                Stored::Damaged => {
                    self.gathered.is_damaged = true;
                    self.gathered.damaged.insert(id, crm_id);
                }
                // A row that leads nowhere: only all pairs together say whose contact this is.
                Stored::Missing => self.gathered.is_damaged = true,
            }
        }
        Ok(links)
    }

    fn take_mailbox(&mut self, entry: MailboxEntry, links: &BTreeMap<MailboxId, Link>) {
        let Some(begun) = &self.begun else { return };
        let gathered = &mut self.gathered;
        match entry {
            MailboxEntry::Present(contact) => {
                self.counts.mailbox.read = self.counts.mailbox.read.saturating_add(1);
                if begun.is_full {
                    gathered.mailbox_seen.insert(contact.id.clone());
                }
                gathered.mailbox_queue.remove(&contact.id);
                self.put_off.remove(&Source::Mailbox(contact.id.clone()));
                let link = links.get(&contact.id).cloned();
                let is_believed = mutation::is_on(Mutant::ReplayedEntryImported);
                let is_late = !is_believed && begun.is_late(&contact);
                if let Some(link) = link.map(|link| begun.refreshed(link)) {
                    let is_news = begun.has_new_field(&link) || is_news_in_mailbox(&contact, &link);
                    let is_known = gathered.pairs.contains_key(&link.crm_id);
                    // Delta entries are delayed and replayed: only a read says that a contact is
                    // back, or what it holds now.
                    let is_doubtful = link.is_tombstone() && !is_believed;
                    if is_doubtful || (is_late && (is_news || is_known)) {
                        gathered.mailbox_queue.insert(contact.id);
                    } else if is_news || link.is_tombstone() {
                        gathered.put_mailbox(link, Half::Present(contact));
                    } else {
                        gathered.mailbox_is_as_base(&link);
                        self.counts.mailbox.unchanged =
                            self.counts.mailbox.unchanged.saturating_add(1);
                    }
                } else if is_late {
                    gathered.mailbox_queue.insert(contact.id);
                } else {
                    gathered
                        .mailbox
                        .insert(contact.id.clone(), Packed::new(&contact));
                }
            }
            MailboxEntry::Removed(id) => {
                gathered.mailbox_seen.remove(&id);
                gathered.mailbox.remove(&id);
                self.put_off.remove(&Source::Mailbox(id.clone()));
                if links.get(&id).is_some_and(|link| !link.is_tombstone()) {
                    gathered.mailbox_queue.insert(id);
                }
            }
            MailboxEntry::Unreadable(id, problem) => self.take_unreadable(id, problem, links),
        }
    }

    /// A pair of which one half cannot be read is held; a new contact is read again by id, with
    /// growing pauses, and told of once.
    fn take_unreadable(
        &mut self,
        id: Option<MailboxId>,
        problem: Problem,
        links: &BTreeMap<MailboxId, Link>,
    ) {
        let name = ContactName {
            mailbox_id: id.clone(),
            ..ContactName::default()
        };
        let Some(id) = id else {
            self.findings
                .push(unreadable(Side::Mailbox, name, &problem));
            return;
        };
        self.gathered.mailbox_seen.insert(id.clone());
        if let Some(link) = links.get(&id) {
            self.gathered
                .put_mailbox(link.clone(), Half::Unreadable(problem));
            return;
        }
        self.gathered.mailbox.remove(&id);
        let put_off = PutOff {
            reason: "mailbox-unreadable",
            problem: Some(problem),
            name: Some(name),
        };
        self.put_off.insert(Source::Mailbox(id), put_off);
    }

    // ---- what a full read did not show ----------------------------------------------------------

    /// One page of the pairs: a half that a full read did not show is a hint, to be confirmed by
    /// id.
    pub(super) fn find_missing(&mut self, after: Option<&str>) -> Result<Stage, Stop> {
        let (links, next) = self.memory.pairs(after)?;
        if after.is_none() {
            self.gathered.counted = (0, 0);
        }
        for link in links.into_iter().filter_map(Stored::found) {
            self.gathered.recognise_by_pair(&link);
            let (linked, detached) = &mut self.gathered.counted;
            match link.standing {
                Standing::Linked => *linked = linked.saturating_add(1),
                Standing::Detached => *detached = detached.saturating_add(1),
                Standing::Tombstone { .. } => continue,
            }
            if !self.gathered.crm_seen.contains(&link.crm_id) {
                self.gathered.crm_queue.insert(link.crm_id.clone());
            }
            if !self.gathered.mailbox_seen.contains(&link.mailbox_id) {
                if self.is_in_another_mailbox() {
                    self.gathered.put_mailbox(link, Half::Deleted);
                } else {
                    self.gathered.mailbox_queue.insert(link.mailbox_id);
                }
            }
        }
        if let Some(next) = next {
            return Ok(Stage::FindMissing(Some(next)));
        }
        // What was counted up and down drifts where rows are damaged or a store was put back.
        if let Some(begun) = &mut self.begun {
            (begun.state.links, begun.state.detached) = self.gathered.counted;
        }
        Ok(Stage::Confirm)
    }

    fn knows_pairs(&self) -> bool {
        self.begun.as_ref().is_some_and(Begun::knows_pairs)
    }

    pub(super) fn is_first(&self) -> bool {
        self.begun.as_ref().is_some_and(Begun::is_first)
    }
}

impl Begun {
    /// Whether it is the mailbox's first pass; one that broke off has left links and counters, but
    /// no full read.
    pub(super) fn is_first(&self) -> bool {
        self.state.last_full.is_none()
    }

    /// Whether there is anything that a deletion could concern.
    fn knows_pairs(&self) -> bool {
        !self.is_first() || self.state.links > 0 || self.state.detached > 0
    }

    /// Whether a field takes part that did not when the pair last agreed.
    fn has_new_field(&self, link: &Link) -> bool {
        link.is_linked() && !self.fields.is_subset(&link.base.fields)
    }

    /// Whether an entry tells of a change that the last reading should have brought: it may show
    /// what the contact held before later ones. A full read shows what is there now.
    fn is_late(&self, contact: &MailboxContact) -> bool {
        let known = self.state.mailbox_read.filter(|_| !self.is_full);
        known
            .zip(contact.modified)
            .is_some_and(|(read, modified)| modified < read)
    }

    /// A link as this pass takes it: a marker that was seen in another place has not been seen in
    /// this one (contract, 2.3).
    pub(super) fn refreshed(&self, mut link: Link) -> Link {
        if self.is_marker_moved {
            link.marker_seen = false;
        }
        link
    }
}

impl Gathered {
    /// Sets the CRM's half of a pair.
    pub(super) fn put_crm(&mut self, link: Link, half: Half<CrmContact>) {
        let id = link.crm_id.clone();
        if let Some(pair) = self.pairs.get_mut(&id) {
            pair.crm = half.pack();
        } else {
            let pair = Pair {
                link: Some(link),
                crm: half,
                mailbox: Half::Unread,
            };
            self.pairs.insert(id, pair.pack());
        }
    }

    /// Sets the mailbox's half of a pair.
    /// A mailbox contact that is taken for new although a pair names it: the row that leads from
    /// the one to the other is damaged.
    fn recognise_by_pair(&mut self, link: &Link) {
        let found = self.mailbox.remove(&link.mailbox_id);
        if let Some(contact) = found.and_then(|contact| contact.unpack()) {
            let (mailbox_id, crm_id) = (link.mailbox_id.clone(), link.crm_id.clone());
            self.recognised_by_pair.insert(mailbox_id, crm_id);
            self.put_mailbox(link.clone(), Half::Present(contact));
        }
    }

    pub(super) fn put_mailbox(&mut self, link: Link, half: Half<MailboxContact>) {
        let id = link.crm_id.clone();
        if let Some(pair) = self.pairs.get_mut(&id) {
            pair.mailbox = half.pack();
        } else {
            let pair = Pair {
                link: Some(link),
                crm: Half::Unread,
                mailbox: half,
            };
            self.pairs.insert(id, pair.pack());
        }
    }

    /// Keeps a CRM contact without link: whole where it may be needed, else its digest is enough.
    pub(super) fn put_new_crm(&mut self, contact: &CrmContact, keep: bool) {
        let is_marked = contact.marked == Some(true);
        if is_marked {
            self.marked.insert(contact.id.clone());
        } else {
            self.marked.remove(&contact.id);
        }
        if keep || is_marked {
            self.crm.insert(contact.id.clone(), Packed::new(contact));
        } else {
            self.crm.remove(&contact.id);
        }
    }

    /// A later entry says that a contact is as in the base after all.
    fn crm_is_as_base(&mut self, link: &Link) {
        if let Some(pair) = self.pairs.get_mut(&link.crm_id) {
            pair.crm = Half::Unread;
        }
    }

    /// A later entry says that a contact is as in the base after all.
    fn mailbox_is_as_base(&mut self, link: &Link) {
        if let Some(pair) = self.pairs.get_mut(&link.crm_id) {
            pair.mailbox = Half::Unread;
        }
    }
}

/// An answer older than what the link knows: an index that lags behind, most likely.
fn is_stale(contact: &CrmContact, link: &Link) -> bool {
    match (contact.modified, link.crm_modified) {
        (Some(read), Some(known)) => read < known,
        _ => false,
    }
}

fn is_news_in_crm(contact: &CrmContact, link: &Link) -> bool {
    contact
        .marked
        .is_some_and(|marked| is_marker_news(marked, link))
        || (link.is_linked() && !link.base.is_of_crm(&contact.fields))
}

/// Of a pair in step, a marker that is missing is either gone or was never set, and one that is
/// there may not have been seen yet. Of any other pair, only one that is there is news.
pub(super) fn is_marker_news(marked: bool, link: &Link) -> bool {
    if link.is_linked() {
        !(marked && link.marker_seen)
    } else {
        marked
    }
}

fn is_news_in_mailbox(contact: &MailboxContact, link: &Link) -> bool {
    link.is_linked()
        && (!link.base.is_of_mailbox(&contact.view) || contact.change_key != link.change_key)
}

/// Whether a page of the trash shows everything that was deleted since.
fn reaches_back(page: &TrashPage, since_ms: i64) -> bool {
    page.entries
        .iter()
        .any(|entry| entry.deleted.is_some_and(|deleted| deleted.0 < since_ms))
}

fn unreadable(side: Side, name: ContactName, problem: &Problem) -> Finding {
    let code = match side {
        Side::Crm => "crm-unreadable",
        Side::Mailbox => "mailbox-unreadable",
    };
    Finding {
        severity: Severity::Error,
        code: code.to_owned(),
        message: problem.message.clone(),
        remedy: problem.remedy.clone(),
        contact: Some(name),
        field: None,
    }
}

fn damaged_link(id: &CrmId) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: "link-unreadable".to_owned(),
        message: format!(
            "what was remembered of the CRM contact `{id}` cannot be read; it is matched \
                          anew, and nothing of it is deleted"
        ),
        remedy: None,
        contact: Some(ContactName {
            crm_id: Some(id.clone()),
            ..ContactName::default()
        }),
        field: None,
    }
}
