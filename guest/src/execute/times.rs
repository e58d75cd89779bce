//! When users edited what is written to the CRM (contract, section 5, `newest`).
//!
//! Written down before the CRM is written, so that a crash in between leaves a time too many, which
//! belongs to no value, and never a value without its time; and again with what the CRM made of it.

use super::{Executor, Work};
use crate::contact::CrmFields;
use crate::crm::Crm;
use crate::job::ConflictWinner;
use crate::links::{CrmWrite, Edited};
use crate::mailbox::Mailbox;
use crate::outside::{Timestamp, Write};
use crate::plan::{Deed, Half};
use crate::report::Failure;

impl<C: Crm, M: Mailbox> Executor<'_, C, M> {
    /// The times of what open tasks are about to write to the CRM.
    pub(super) fn times_before(&self, works: &mut [Work]) -> Result<Vec<Write>, Failure> {
        let mut writes = Vec::new();
        if self.rules.policy.conflict != ConflictWinner::Newest {
            return Ok(writes);
        }
        for work in works.iter_mut().filter(|work| work.is_open()) {
            let Half::Present(contact) = &work.pair.crm else {
                continue;
            };
            let after = match &work.decision.deed {
                Deed::Agree { merged, .. } => &merged.crm,
                Deed::PutBack { crm, .. } => crm,
                _ => continue,
            };
            if *after == contact.fields {
                continue;
            }
            let (id, after) = (contact.id.clone(), after.clone());
            let known = match work.times.take() {
                Some(times) => times,
                None => self.memory.edited(&id)?,
            };
            let times = self.times_after(work, known.clone(), &after, None);
            work.times = Some(known);
            writes.push(self.memory.set_edited(&id, Some(&times)));
        }
        Ok(writes)
    }

    /// The times of what a task has written to the CRM; none any more of a contact that is gone.
    pub(super) fn times_written(&self, work: &Work) -> Option<Write> {
        let is_gone = matches!(work.pair.crm, Half::Deleted | Half::Astray)
            && matches!(work.decision.deed, Deed::Forget | Deed::DeleteInMailbox);
        if is_gone || matches!(work.decision.deed, Deed::DeleteInCrm) {
            return Some(self.memory.set_edited(&work.pair.crm_id()?, None));
        }
        if self.rules.policy.conflict != ConflictWinner::Newest {
            return None;
        }
        let contact = work.crm.as_ref()?;
        let known = work.times.clone().unwrap_or_default();
        let times = self.times_after(work, known, &contact.fields, contact.modified);
        Some(self.memory.set_edited(&contact.id, Some(&times)))
    }

    fn times_after(
        &self,
        work: &Work,
        known: Edited,
        after: &CrmFields,
        written: Option<Timestamp>,
    ) -> Edited {
        known.after(CrmWrite {
            before: match &work.pair.crm {
                Half::Present(contact) => Some(contact),
                _ => None,
            },
            after,
            written,
            edited: match &work.pair.mailbox {
                // Whoever brings a value back edits it now.
                _ if work.brings_values_back() => Some(self.now),
                Half::Present(contact) => contact.modified,
                _ => None,
            },
            region: self.rules.region,
        })
    }
}
