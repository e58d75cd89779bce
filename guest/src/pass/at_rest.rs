//! Mailbox contacts at rest whose CRM contact is gone (contract, section 3, *detached, then x*).
//!
//! They are not imported, but a CRM contact that is marked anew may be the same person: then the
//! two become a pair, and no second mailbox contact is created.

use super::{Pass, Stop};
use crate::contact::{CrmId, MailboxContact, MailboxId};
use crate::crm::{Crm, CrmRead};
use crate::execute::Task;
use crate::links::{Link, Packed, Standing, Stored};
use crate::mailbox::{Mailbox, MailboxRead};
use crate::outside::Write;
use crate::plan::Half;
use crate::plan::matching::Candidate;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Contacts at rest that one pass reads because they resemble somebody: more of them are weighed by
/// the next pass.
const READS_MAX: usize = 40;

/// Mailbox contacts at rest that may be somebody's export.
pub(super) type AtRest = BTreeMap<MailboxId, (Link, MailboxContact)>;

impl<C: Crm, M: Mailbox> Pass<C, M> {
    /// Those that resemble a CRM contact that is marked and has no partner.
    pub(super) fn at_rest(&self, crm: &[Rc<Candidate<CrmId>>]) -> Result<AtRest, Stop> {
        let detached = self.begun.as_ref().map_or(0, |begun| begun.state.detached);
        let marked: Vec<&Rc<Candidate<CrmId>>> = crm
            .iter()
            .filter(|candidate| self.gathered.marked.contains(&candidate.id))
            .collect();
        if detached == 0 || marked.is_empty() {
            return Ok(AtRest::new());
        }
        let region = &self.job.tenant.region;
        let live = self.all_crm_candidates()?;
        let mut ids = self.memory.detached()?;
        ids.retain(|id| live.binary_search_by(|known| known.id.cmp(id)).is_err());
        let links = self
            .memory
            .links(&ids)?
            .into_iter()
            .filter_map(Stored::found);
        let alike: Vec<Link> = links
            .filter(|link| link.standing == Standing::Detached)
            .filter(|link| {
                let own = Candidate::of_mailbox((), &link.base.view, region);
                marked.iter().any(|candidate| candidate.resembles(&own))
            })
            .take(READS_MAX)
            .collect();
        self.still_at_rest(alike)
    }

    /// Whose CRM contact is gone, and whose mailbox contact is there: by id.
    fn still_at_rest(&self, links: Vec<Link>) -> Result<AtRest, Stop> {
        let mut at_rest = AtRest::new();
        if links.is_empty() {
            return Ok(at_rest);
        }
        let crm_ids: Vec<CrmId> = links.iter().map(|link| link.crm_id.clone()).collect();
        let ids: Vec<MailboxId> = links.iter().map(|link| link.mailbox_id.clone()).collect();
        let in_crm = self.crm.read(&crm_ids)?;
        let in_mailbox = self.mailbox.read(&ids)?;
        for ((link, crm), mailbox) in links.into_iter().zip(in_crm).zip(in_mailbox) {
            if let (CrmRead::NotFound, MailboxRead::Present(contact)) = (crm, mailbox) {
                at_rest.insert(contact.id.clone(), (link, contact));
            }
        }
        Ok(at_rest)
    }

    /// Those that were proposed as somebody's partner take part from here on.
    pub(super) fn wake(&mut self, mut at_rest: AtRest) {
        let matched: Vec<MailboxId> = self
            .gathered
            .matched
            .iter()
            .map(|(_, id)| id.clone())
            .collect();
        for id in matched {
            if let Some((link, contact)) = at_rest.remove(&id) {
                let packed = Packed::new(&contact);
                self.gathered.mailbox.insert(id.clone(), packed);
                self.gathered.woken.insert(id, link);
            }
        }
    }

    /// The pair that was at rest is no more, now that its mailbox contact has another partner.
    pub(super) fn forget_former(&mut self, task: &Task) -> Vec<Write> {
        let Half::Present(contact) = &task.pair.mailbox else {
            return Vec::new();
        };
        let id = contact.unpack().map(|contact| contact.id);
        let former = id.and_then(|id| self.gathered.woken.remove(&id));
        let (Some(former), Some(begun)) = (former, &mut self.begun) else {
            return Vec::new();
        };
        begun.state.detached = begun.state.detached.saturating_sub(1);
        self.memory.delete_pair(&former)
    }
}
