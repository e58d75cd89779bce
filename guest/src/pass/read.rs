//! What has changed on both sides since the remembered positions.
//!
//! Page by page: of a page, only what is news is kept. A contact whose record equals its base is
//! dropped as soon as it is read.

use std::collections::BTreeMap;

use super::{Begun, Gathered, Pass, Stage, Stop};
use crate::contact::{CrmContact, CrmId, MailboxContact, MailboxId};
use crate::crm::{Crm, CrmCursor, TrashPage};
use crate::links::{Link, Packed, Stored};
use crate::mailbox::{Mailbox, MailboxEntry, MailboxNext, MailboxPosition};
use crate::mutation::{self, Mutant};
use crate::plan::matching::Candidate;
use crate::plan::{Half, Pair};
use crate::report::{ContactName, Failure, Finding, Problem, Severity, Side};

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
        for (id, problem) in page.unreadable {
            if let Some(id) = &id {
                self.gathered.crm_seen.insert(id.clone());
            }
            let name = ContactName {
                crm_id: id,
                ..ContactName::default()
            };
            self.findings.push(unreadable(Side::Crm, name, &problem));
        }
        if let Some(cursor) = page.cursor {
            return Ok(Stage::ReadCrm(Some(cursor)));
        }
        if self.must_begin_anew() {
            return Ok(self.begin_anew());
        }
        self.gathered.crm_position = page.position;
        Ok(Stage::ReadTrash(None))
    }

    fn take_crm(&mut self, contact: CrmContact, link: Stored<Link>) {
        let Some(begun) = &self.begun else { return };
        self.counts.crm.read = self.counts.crm.read.saturating_add(1);
        let gathered = &mut self.gathered;
        let digest =
            Candidate::of_crm(contact.id.clone(), &contact.fields, &self.job.tenant.region);
        gathered.candidates.insert(contact.id.clone(), digest);
        if begun.is_full {
            gathered.crm_seen.insert(contact.id.clone());
        }
        if contact.marked.is_none() && (!begun.is_full || begun.is_marker_moved) {
            gathered.marker_queue.insert(contact.id.clone());
        }
        match link {
            Stored::Found(link) => {
                let link = begun.refreshed(link);
                let is_news = begun.has_new_field(&link) || is_news_in_crm(&contact, &link);
                if is_stale(&contact, &link) || !is_news {
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
                gathered.put_new_crm(&contact, begun.is_first || !begun.is_full);
            }
        }
    }

    // ---- the CRM's trash ------------------------------------------------------------------------

    /// The newest page of the trash at every pass; all of it where something is not explained by
    /// that page.
    pub(super) fn read_trash(&mut self, page: Option<u32>) -> Result<Stage, Stop> {
        let begun = self.begun.as_ref().ok_or_else(super::not_begun)?;
        let known = begun.state.trash.as_ref();
        let answer = self.crm.trash(known, page)?;
        let last_pass = begun.state.last_complete;
        let is_first_look = page.is_none();
        let is_explained = answer.pages <= 1
            || known == Some(&answer.mark)
            || (known.is_some_and(|known| answer.mark.total >= known.total)
                && last_pass.is_some_and(|last| reaches_back(&answer, last.0 - TRASH_OVERLAP_MS)));
        self.take_trash(&answer)?;
        if is_first_look {
            let is_known = self
                .begun
                .as_ref()
                .is_some_and(|begun| begun.state.trash.as_ref() == Some(&answer.mark));
            self.gathered.trash.is_complete = answer.pages <= 1;
            self.gathered.trash.mark = Some(answer.mark.clone());
            if !is_known {
                self.gathered.trash.has_changed = true;
            }
            if !is_explained && self.knows_pairs() {
                return Ok(Stage::ReadTrash(Some(1)));
            }
            return Ok(self.after_trash());
        }
        let next = answer.page.saturating_add(1);
        if next <= answer.pages {
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
        let page = self.mailbox.changes(position)?;
        let next = match page.next {
            MailboxNext::Expired => return Ok(self.begin_anew()),
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

    /// The service has forgotten the position: both sides are read wholly, from the start.
    pub(super) fn begin_anew(&mut self) -> Stage {
        if let Some(begun) = &mut self.begun {
            begun.is_full = true;
        }
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
                Stored::Missing => {}
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
                match links.get(&contact.id) {
                    Some(link) => {
                        let link = begun.refreshed(link.clone());
                        let is_believed = mutation::is_on(Mutant::ReplayedEntryImported);
                        if link.is_tombstone() && !begun.is_full && !is_believed {
                            // Delta entries are delayed and replayed: only a read says that it is
                            // back.
                            gathered.mailbox_queue.insert(contact.id);
                        } else if begun.has_new_field(&link) || is_news_in_mailbox(&contact, &link)
                        {
                            gathered.put_mailbox(link, Half::Present(contact));
                        } else {
                            gathered.mailbox_is_as_base(&link);
                            self.counts.mailbox.unchanged =
                                self.counts.mailbox.unchanged.saturating_add(1);
                        }
                    }
                    None => {
                        gathered
                            .mailbox
                            .insert(contact.id.clone(), Packed::new(&contact));
                    }
                }
            }
            MailboxEntry::Removed(id) => {
                gathered.mailbox_seen.remove(&id);
                gathered.mailbox.remove(&id);
                if links.get(&id).is_some_and(|link| !link.is_tombstone()) {
                    gathered.mailbox_queue.insert(id);
                }
            }
            MailboxEntry::Unreadable(id, problem) => {
                if let Some(id) = &id {
                    gathered.mailbox_seen.insert(id.clone());
                    if let Some(link) = links.get(id) {
                        gathered.put_mailbox(link.clone(), Half::Unreadable(problem.clone()));
                    }
                }
                let name = ContactName {
                    mailbox_id: id,
                    ..ContactName::default()
                };
                self.findings
                    .push(unreadable(Side::Mailbox, name, &problem));
            }
        }
    }

    // ---- what a full read did not show ----------------------------------------------------------

    /// One page of the pairs: a half that a full read did not show is a hint, to be confirmed by
    /// id.
    pub(super) fn find_missing(&mut self, after: Option<&str>) -> Result<Stage, Stop> {
        let (links, next) = self.memory.pairs(after)?;
        for link in links.into_iter().filter_map(Stored::found) {
            if link.is_tombstone() {
                continue;
            }
            if !self.gathered.crm_seen.contains(&link.crm_id) {
                self.gathered.crm_queue.insert(link.crm_id.clone());
            }
            if !self.gathered.mailbox_seen.contains(&link.mailbox_id) {
                self.gathered.mailbox_queue.insert(link.mailbox_id.clone());
            }
        }
        Ok(match next {
            Some(next) => Stage::FindMissing(Some(next)),
            None => Stage::Confirm,
        })
    }

    fn knows_pairs(&self) -> bool {
        self.begun.as_ref().is_some_and(Begun::knows_pairs)
    }

    pub(super) fn is_first(&self) -> bool {
        self.begun.as_ref().is_some_and(|begun| begun.is_first)
    }
}

impl Begun {
    /// Whether there is anything that a deletion could concern.
    fn knows_pairs(&self) -> bool {
        !self.is_first || self.state.links > 0 || self.state.detached > 0
    }

    /// Whether a field takes part that did not when the pair last agreed.
    fn has_new_field(&self, link: &Link) -> bool {
        link.is_linked() && !self.fields.is_subset(&link.base.fields)
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
    fn mailbox_is_as_base(&mut self, link: &Link) {
        if let Some(pair) = self.pairs.get_mut(&link.crm_id) {
            pair.mailbox = Half::Unread;
        }
    }
}

/// An answer older than what the link knows: an index that lags behind.
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
        || link.is_tombstone()
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
    link.is_tombstone()
        || (link.is_linked()
            && (!link.base.is_of_mailbox(&contact.view) || contact.change_key != link.change_key))
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
