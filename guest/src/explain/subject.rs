//! What is known about one contact: what the store says, and both records as they are now.

use super::Explainer;
use crate::contact::{CrmContact, CrmId, MailboxContact, MailboxId, View};
use crate::crm::{Crm, CrmRead, MarkerPlace};
use crate::execute::mailbox_half;
use crate::job::Matching;
use crate::links::{Answer, Intent, Link, Pending, Source, Stored};
use crate::mailbox::{Mailbox, MailboxRead, read_wherever};
use crate::mapping;
use crate::outside::Timestamp;
use crate::plan::matching::{self, About, Candidate, Reason};
use crate::plan::{Half, Pair};
use crate::report::Failure;
use std::collections::BTreeSet;

/// Pages of the CRM's trash that are looked through for one contact.
const TRASH_PAGES_MAX: u32 = 20;

/// CRM contacts of forgotten pairs that are asked for because somebody new resembles them.
const FORGOTTEN_READ_MAX: usize = 20;

/// Whom an explanation is about.
pub(super) struct Subject {
    pub(super) crm_id: Option<CrmId>,
    pub(super) mailbox_id: Option<MailboxId>,
    /// Nobody knows this id: it may be one of either side, or none at all.
    pub(super) is_guess: bool,
}

/// What is known about a contact.
pub(super) struct Known {
    pub(super) pair: Pair,
    /// Something is remembered of it that cannot be read.
    pub(super) is_damaged: bool,
    pub(super) pending: Option<Pending>,
    pub(super) answer: Option<Answer>,
    /// A create whose answer was lost, and that this contact is about or may be the result of.
    pub(super) intent: Option<Intent>,
}

impl Known {
    /// Neither side has it, and nothing is remembered of it.
    pub(super) fn is_nobody(&self) -> bool {
        matches!(&self.pair.crm, Half::Absent)
            && matches!(&self.pair.mailbox, Half::Absent)
            && self.pending.is_none()
            && !self.is_damaged
    }

    /// When something that was put off is looked at again, if that is still to come.
    pub(super) fn retry_at(&self, now: Timestamp) -> Option<Timestamp> {
        let at = self.pending.as_ref().map(|pending| pending.not_before)?;
        (at > now).then_some(at)
    }
}

/// Who else a new mailbox contact may be.
#[derive(Default)]
pub(super) struct Likeness {
    /// The next pass pairs it with this CRM contact.
    pub(super) pair: Option<(CrmId, String)>,
    /// A person must say: why, and which CRM contacts, with their ids.
    pub(super) question: Option<(Reason, Vec<String>)>,
    /// It equals a contact that was deleted before: the next pass brings that one back.
    pub(super) former_self: Option<CrmId>,
}

impl Likeness {
    pub(super) fn is_nobody(&self) -> bool {
        self.pair.is_none() && self.question.is_none() && self.former_self.is_none()
    }
}

impl<C: Crm, M: Mailbox> Explainer<'_, C, M> {
    pub(super) fn read(&self, subject: Subject) -> Result<Known, Failure> {
        let stored = match &subject.crm_id {
            Some(id) => self.memory.links(std::slice::from_ref(id))?.pop(),
            None => None,
        };
        let is_damaged = stored == Some(Stored::Damaged);
        let link = stored.and_then(Stored::found);
        let mailbox_id = match &link {
            Some(link) => Some(link.mailbox_id.clone()),
            None => subject.mailbox_id,
        };
        let mailbox = match &mailbox_id {
            Some(id) => self.mailbox_half(id, subject.is_guess, link.as_ref())?,
            None => Half::Absent,
        };
        let crm = match &subject.crm_id {
            Some(id) => self.crm_half(id, subject.is_guess, link.is_some())?,
            None => Half::Absent,
        };
        let mut known = Known {
            pair: Pair { link, crm, mailbox },
            is_damaged,
            pending: None,
            answer: None,
            intent: None,
        };
        self.remember(&mut known, subject.crm_id.as_ref(), mailbox_id.as_ref())?;
        Ok(known)
    }

    fn mailbox_half(
        &self,
        id: &MailboxId,
        is_guess: bool,
        link: Option<&Link>,
    ) -> Result<Half<MailboxContact>, Failure> {
        let read = read_wherever(&self.mailbox, &self.memory, &[(id.clone(), link)])?.pop();
        Ok(match read {
            // A service may call an id that is none of its own unreadable.
            Some(MailboxRead::Unreadable(_)) if is_guess => Half::Absent,
            Some(MailboxRead::Deleted) | None if link.is_none() => Half::Absent,
            Some(read) => mailbox_half(read),
            None => Half::Absent,
        })
    }

    fn crm_half(
        &self,
        id: &CrmId,
        is_guess: bool,
        is_linked: bool,
    ) -> Result<Half<CrmContact>, Failure> {
        let read = self.crm.read(std::slice::from_ref(id))?.pop();
        Ok(match read {
            Some(CrmRead::Present(mut contact)) => {
                if contact.marked.is_none() && self.crm.marker_place() == MarkerPlace::Entries {
                    let marked = self.crm.markers(std::slice::from_ref(id))?.pop();
                    contact.marked = marked.flatten();
                }
                Half::Present(contact)
            }
            Some(CrmRead::Unreadable(problem)) if !is_guess => Half::Unreadable(problem),
            Some(CrmRead::NotFound) if is_linked => {
                if self.is_in_trash(id)? {
                    Half::Deleted
                } else {
                    Half::Astray
                }
            }
            _ => Half::Absent,
        })
    }

    fn is_in_trash(&self, id: &CrmId) -> Result<bool, Failure> {
        let known = self.state.as_ref().and_then(|state| state.trash.as_ref());
        let newest = self.crm.trash(known, None)?;
        let holds =
            |entries: &[crate::crm::TrashEntry]| entries.iter().any(|entry| entry.id == *id);
        if holds(&newest.entries) {
            return Ok(true);
        }
        for page in 1..=newest.pages.min(TRASH_PAGES_MAX) {
            if page != newest.page && holds(&self.crm.trash(known, Some(page))?.entries) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the store says besides the link.
    fn remember(
        &self,
        known: &mut Known,
        crm_id: Option<&CrmId>,
        mailbox_id: Option<&MailboxId>,
    ) -> Result<(), Failure> {
        let sources: Vec<Source> = crm_id
            .cloned()
            .map(Source::Crm)
            .into_iter()
            .chain(mailbox_id.cloned().map(Source::Mailbox))
            .collect();
        let mut pending = self.memory.pending()?;
        known.pending = sources.iter().find_map(|source| pending.remove(source));
        known.answer = self.memory.answers()?.into_iter().find_map(|(id, answer)| {
            let is_about_crm = matches!((&answer, &crm_id),
                (Answer::Same(same), Some(crm_id)) if same == *crm_id);
            (Some(&id) == mailbox_id || is_about_crm).then_some(answer)
        });
        let region = &self.job.tenant.region;
        let digest = match (&known.pair.crm, &known.pair.mailbox) {
            (Half::Present(contact), _) => Some(Candidate::of_crm((), &contact.fields, region)),
            (_, Half::Present(contact)) => Some(Candidate::of_mailbox((), &contact.view, region)),
            _ => None,
        };
        let may_be_copy = |intent: &Intent| {
            let made_here = match intent.source {
                Source::Crm(_) => matches!(known.pair.mailbox, Half::Present(_)),
                Source::Mailbox(_) => matches!(known.pair.crm, Half::Present(_)),
            };
            let resembles = digest
                .as_ref()
                .is_some_and(|digest| intent.candidate.resembles(digest));
            known.pair.link.is_none() && made_here && resembles
        };
        let intents = self.memory.intents()?;
        known.intent = intents
            .into_iter()
            .find(|intent| sources.contains(&intent.source) || may_be_copy(intent));
        Ok(())
    }

    /// Whom a new mailbox contact resembles in the CRM, by the digests of the last pass.
    pub(super) fn likeness(&self, known: &Known) -> Result<Likeness, Failure> {
        let mut likeness = Likeness::default();
        let is_new = known.pair.link.is_none() && matches!(known.pair.crm, Half::Absent);
        let Half::Present(contact) = &known.pair.mailbox else {
            return Ok(likeness);
        };
        if !is_new || known.answer.is_some() || self.job.policy.matching == Matching::Off {
            return Ok(likeness);
        }
        let region = &self.job.tenant.region;
        let own = [Candidate::of_mailbox(
            contact.id.clone(),
            &contact.view,
            region,
        )];
        let all = self.digests()?.into_values().collect();
        let crm = self.without_partner(matching::relevant(all, &own))?;
        let is_first = self
            .state
            .as_ref()
            .is_none_or(|state| state.last_full.is_none());
        let proposal = matching::propose(&crm, &own, is_first);
        let label = |id: &CrmId| {
            let found = crm.iter().find(|candidate| candidate.id == *id);
            found.map(Candidate::label).unwrap_or_default()
        };
        likeness.pair = proposal.pairs.into_iter().next().map(|(id, _)| {
            let label = label(&id);
            (id, label)
        });
        likeness.question = proposal.questions.into_iter().find_map(|question| {
            let About::Mailbox { candidates, .. } = question.about else {
                return None;
            };
            let named = candidates.iter().map(|id| format!("{} ({id})", label(id)));
            Some((question.reason, named.collect()))
        });
        let resembles = |own: &Candidate<MailboxId>| crm.iter().any(|known| known.resembles(own));
        if !own.iter().any(resembles) {
            likeness.former_self = self.former_self(&contact.view)?;
        }
        Ok(likeness)
    }

    /// The CRM contact of the only forgotten pair whose base equals this view in all fields.
    fn former_self(&self, view: &View) -> Result<Option<CrmId>, Failure> {
        let region = &self.job.tenant.region;
        let ids: Vec<CrmId> = self
            .memory
            .tombstones()?
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        let links = self.memory.links(&ids)?.into_iter();
        let mut equal = links.filter_map(Stored::found).filter(|link| {
            let changed = mapping::changed_in_mailbox(&link.base, view, &self.fields, region);
            link.is_tombstone() && changed.is_empty()
        });
        Ok(match (equal.next(), equal.next()) {
            (Some(only), None) => Some(only.crm_id),
            _ => None,
        })
    }

    /// Those that no pair holds. The digest of a contact outlives it until the next pass, so those
    /// of forgotten pairs are asked for.
    fn without_partner(
        &self,
        candidates: Vec<Candidate<CrmId>>,
    ) -> Result<Vec<Candidate<CrmId>>, Failure> {
        let ids: Vec<CrmId> = candidates.iter().map(|found| found.id.clone()).collect();
        let links = self.memory.links(&ids)?;
        let is_forgotten =
            |link: &Stored<Link>| matches!(link, Stored::Found(link) if link.is_tombstone());
        let forgotten: Vec<CrmId> = ids
            .into_iter()
            .zip(&links)
            .filter(|(_, link)| is_forgotten(link))
            .map(|(id, _)| id)
            .take(FORGOTTEN_READ_MAX)
            .collect();
        let reads = self.crm.read(&forgotten)?;
        let read = forgotten.into_iter().zip(reads);
        let there: BTreeSet<CrmId> = read
            .filter(|(_, read)| matches!(read, CrmRead::Present(_)))
            .map(|(id, _)| id)
            .collect();
        let pairs = candidates.into_iter().zip(links);
        let free = pairs.filter(|(found, link)| match link {
            Stored::Found(_) => there.contains(&found.id),
            Stored::Missing | Stored::Damaged => true,
        });
        Ok(free.map(|(candidate, _)| candidate).collect())
    }
}
