//! What is about to be written or destroyed is read again, and decided again.

use super::{End, Executor, Work, mailbox_half, open};
use crate::contact::{CrmId, MailboxId};
use crate::crm::{Crm, CrmRead};
use crate::http::RemoteError;
use crate::mailbox::Mailbox;
use crate::mutation::{self, Mutant};
use crate::plan::{self, Decision, Deed, Half, Pair};

impl<C: Crm, M: Mailbox> Executor<'_, C, M> {
    /// FLOWFACT has no versions: a CRM record is read immediately before it is written or
    /// destroyed, and so is whatever a deletion rests on. A mailbox record carries its version; it
    /// is read again only after a race, or where the CRM is to lose its contact because the mailbox
    /// has none.
    pub(super) fn refresh(&self, works: &mut [Work], is_race: bool) {
        for work in works.iter_mut() {
            work.due = if is_race {
                matches!(work.end, Some(End::Stale))
            } else {
                true
            };
            if work.due {
                work.end = None;
                work.crm = None;
                work.mailbox = None;
            }
        }
        let crm = open(works, |work| {
            let reads = is_race || reads_crm(&work.pair, &work.decision);
            work.pair.crm_id().filter(|_| reads)
        });
        let mailbox = open(works, |work| {
            let confirms = !mutation::is_on(Mutant::DeletionNotConfirmed);
            let reads = is_race || matches!(work.decision.deed, Deed::DeleteInCrm if confirms);
            work.pair.mailbox_id().filter(|_| reads)
        });
        self.refresh_crm(works, &crm);
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

    fn refresh_mailbox(&self, works: &mut [Work], wanted: &[(usize, MailboxId)]) {
        let ids: Vec<MailboxId> = wanted.iter().map(|(_, id)| id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        match self.mailbox.read(&ids) {
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
    /// was planned, previewed and counted by the guard.
    fn decide_again(&self, work: &mut Work) {
        if work.end.is_some() {
            return;
        }
        work.decision = self.decide(&work.pair, &work.task.withheld);
        let destructions = plan::destructions(&work.pair, &work.decision);
        if destructions
            .iter()
            .any(|kind| !work.task.planned.contains(kind))
        {
            work.end = Some(End::PutOff {
                reason: "changed-meanwhile",
                problem: None,
            });
        }
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
        Deed::Agree { merged, .. } => merged.crm != pair.crm_fields(),
        Deed::DeleteInCrm | Deed::DeleteInMailbox | Deed::RestoreInCrm => true,
        _ => false,
    }
}

fn not_done<A>(works: &mut [Work], wanted: &[(usize, A)], error: &RemoteError) {
    for (index, _) in wanted {
        if let Some(work) = works.get_mut(*index) {
            work.end = Some(End::NotDone(error.clone()));
        }
    }
}
