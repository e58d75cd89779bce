//! What is about to be written or destroyed is read again, and decided again.

use super::{End, Executor, Work, mailbox_half, open};
use crate::contact::{CrmId, MailboxId};
use crate::crm::{Crm, CrmRead, MarkerPlace};
use crate::http::RemoteError;
use crate::mailbox::{Mailbox, Sought, read_wherever};
use crate::mutation::{self, Mutant};
use crate::plan::{Decision, Deed, Half, Pair, approval};

impl<C: Crm, M: Mailbox> Executor<'_, C, M> {
    /// FLOWFACT has no versions: a CRM record is read immediately before it is written or
    /// destroyed, and so is whatever a deletion rests on. A mailbox record carries its version; it
    /// is read again only after a race, or where the CRM is to lose its contact because the mailbox
    /// has none, or to get one back because the mailbox has. What a person wants back is read again
    /// on both sides.
    pub(super) fn refresh(&self, works: &mut [Work], is_race: bool) {
        for work in works.iter_mut() {
            work.due = if is_race {
                matches!(work.end, Some(End::Stale))
            } else {
                true
            };
            if work.due {
                if is_race && let Some(half) = self.half_agreed(work) {
                    work.pair.link = Some(half);
                }
                work.end = None;
                work.crm = None;
                work.mailbox = None;
            }
        }
        let crm = open(works, |work| {
            let is_asked_for = work.wish.is_some() || !work.task.judged.approved.is_empty();
            let reads = is_race || is_asked_for || reads_crm(&work.pair, &work.decision);
            work.pair.crm_id().filter(|_| reads)
        });
        let mailbox = open(works, |work| {
            let reads = match work.wish {
                Some(_) => !matches!(work.pair.mailbox, Half::Absent),
                None => confirms_in_mailbox(&work.decision),
            };
            let reads = is_race || reads;
            work.pair.mailbox_id().filter(|_| reads)
        });
        self.refresh_crm(works, &crm);
        self.refresh_markers(works, &crm);
        self.refresh_mailbox(works, &mailbox);
        let mut read: Vec<usize> = crm.iter().map(|(index, _)| *index).collect();
        read.extend(mailbox.iter().map(|(index, _)| *index));
        for index in read {
            if let Some(work) = works.get_mut(index) {
                self.decide_again(work);
            }
        }
    }

    fn refresh_crm(&self, works: &mut [Work], wanted: &[(usize, CrmId)]) {
        let ids: Vec<CrmId> = wanted.iter().map(|(_, id)| id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        match self.crm.read(&ids) {
            Ok(reads) => {
                for ((index, _), read) in wanted.iter().zip(reads) {
                    let Some(work) = works.get_mut(*index) else {
                        continue;
                    };
                    work.pair.crm = match (read, &work.pair.crm) {
                        (CrmRead::Present(mut contact), before) => {
                            // Where the marker is kept beside the contact, this read does not say
                            // it.
                            if let (None, Half::Present(before)) = (contact.marked, before) {
                                contact.marked = before.marked;
                            }
                            Half::Present(contact)
                        }
                        (CrmRead::NotFound, before @ (Half::Deleted | Half::Astray)) => {
                            before.clone()
                        }
                        // Gone since it was planned: the next pass asks the trash why.
                        (CrmRead::NotFound, _) => Half::Astray,
                        (CrmRead::Unreadable(problem), _) => Half::Unreadable(problem),
                    };
                }
            }
            Err(error) => not_done(works, wanted, &error),
        }
    }

    /// Where the marker is kept beside the contact, and a contact is about to be created or to
    /// leave because of it.
    fn refresh_markers(&self, works: &mut [Work], read: &[(usize, CrmId)]) {
        if self.crm.marker_place() == MarkerPlace::Field {
            return;
        }
        let is_wanted = |index: &usize| {
            let work = works.get(*index).filter(|work| work.is_open());
            work.is_some_and(|work| {
                rests_on_marker(&work.decision) && matches!(work.pair.crm, Half::Present(_))
            })
        };
        let wanted: Vec<(usize, CrmId)> = read
            .iter()
            .filter(|(index, _)| is_wanted(index))
            .cloned()
            .collect();
        let ids: Vec<CrmId> = wanted.iter().map(|(_, id)| id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        match self.crm.markers(&ids) {
            Ok(markers) => {
                for ((index, _), marked) in wanted.iter().zip(markers) {
                    if let (Some(work), Some(marked)) = (works.get_mut(*index), marked)
                        && let Half::Present(contact) = &mut work.pair.crm
                    {
                        contact.marked = Some(marked);
                    }
                }
            }
            Err(error) => not_done(works, &wanted, &error),
        }
    }

    fn refresh_mailbox(&self, works: &mut [Work], wanted: &[(usize, MailboxId)]) {
        let sought = wanted.iter().map(|(index, id)| {
            let link = works.get(*index).and_then(|work| work.pair.link.as_ref());
            Sought::new(id.clone(), link)
        });
        let sought: Vec<Sought> = sought.collect();
        if sought.is_empty() {
            return;
        }
        match read_wherever(self.mailbox, self.memory, &sought) {
            Ok(reads) => {
                for ((index, _), read) in wanted.iter().zip(reads) {
                    let Some(work) = works.get_mut(*index) else {
                        continue;
                    };
                    work.pair.mailbox = mailbox_half(read);
                }
            }
            Err(error) => not_done(works, wanted, &error),
        }
    }

    /// What was read may change what is to be done, but not to anything more destructive than what
    /// was planned, previewed and counted by the guard, and what a person approved only as it was
    /// listed; and what has lost its reason is not called done.
    fn decide_again(&self, work: &mut Work) {
        if work.end.is_some() {
            return;
        }
        let had_reason = !matches!(work.decision.deed, Deed::Rest);
        work.decision = self.decide(&work.pair, &work.task, work.wish.as_ref());
        let has_no_reason = had_reason && matches!(work.decision.deed, Deed::Rest);
        let destroyed = self.destructions(&work.pair, &work.decision, &work.task);
        let is_unplanned = destroyed
            .iter()
            .any(|kind| !work.task.planned.contains(kind));
        let mut approved = work.task.judged.approved.iter();
        let is_other = approved.any(|(kind, digest)| {
            destroyed.contains(kind)
                && approval::entries(&work.pair, &work.decision, &[*kind])
                    .iter()
                    .any(|entry| entry.digest != *digest)
        });
        if is_unplanned || is_other || has_no_reason {
            work.end = Some(End::PutOff {
                reason: "changed-meanwhile",
                problem: None,
            });
        }
    }
}

/// Whether the mailbox's record must be read immediately before this is carried out.
fn confirms_in_mailbox(decision: &Decision) -> bool {
    match decision.deed {
        Deed::DeleteInCrm => !mutation::is_on(Mutant::DeletionNotConfirmed),
        Deed::RestoreInCrm => !mutation::is_on(Mutant::ReplayedEntryImported),
        _ => false,
    }
}

/// Whether the CRM's record must be read immediately before this is carried out.
fn reads_crm(pair: &Pair, decision: &Decision) -> bool {
    match &decision.deed {
        Deed::Agree { .. } if mutation::is_on(Mutant::CrmNotReadBeforeWrite) => false,
        Deed::DeleteInCrm | Deed::DeleteInMailbox
            if mutation::is_on(Mutant::DeletionNotConfirmed) =>
        {
            false
        }
        Deed::Agree { merged, .. } => merged.crm != *pair.crm_fields(),
        Deed::PutBack { crm, .. } => **crm != *pair.crm_fields(),
        // A search index shows contacts that are in the trash by now, and markers that are not
        // what they were: nothing is created, deleted or set at rest on its word alone.
        Deed::CreateInMailbox(_)
        | Deed::DeleteInCrm
        | Deed::DeleteInMailbox
        | Deed::RestoreInCrm
        | Deed::Unmark
        | Deed::Detach => true,
        Deed::Rest | Deed::Hold(_) | Deed::CreateInCrm(_) | Deed::Forget => false,
    }
}

fn rests_on_marker(decision: &Decision) -> bool {
    matches!(
        decision.deed,
        Deed::CreateInMailbox(_) | Deed::DeleteInMailbox | Deed::Detach
    )
}

fn not_done<A>(works: &mut [Work], wanted: &[(usize, A)], error: &RemoteError) {
    for (index, _) in wanted {
        if let Some(work) = works.get_mut(*index) {
            work.end = Some(End::NotDone(error.clone()));
        }
    }
}
