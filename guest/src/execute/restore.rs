//! What comes back from the CRM's trash, and the marker that must not come back with it.

use super::{End, Executor, OldMarker, Work, open};
use crate::contact::CrmId;
use crate::crm::{Crm, MarkerChange, MarkerPlace};
use crate::http::WriteError;
use crate::links::{Deletion, Pending, Source};
use crate::mailbox::Mailbox;
use crate::mutation::{self, Mutant};
use crate::outside::Write;
use crate::plan::{Decision, Deed, Half};
use crate::report::{Action, Failure, Side};

/// The reason of a row that leads the next pass back to a restoring that broke off.
pub const RESTORING: &str = "restoring";

impl<C: Crm, M: Mailbox> Executor<'_, C, M> {
    pub(super) fn restore(&self, works: &mut [Work]) -> Result<(), Failure> {
        self.take_markers_left_behind(works)?;
        let wanted = open(works, |work| match work.decision.deed {
            Deed::RestoreInCrm => work.pair.crm_id(),
            _ => None,
        });
        let ids: Vec<CrmId> = wanted.iter().map(|(_, id)| id.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let causes = self.memory.deletions(&ids)?;
        self.announce(&ids, &causes)?;
        let answers = self.crm.restore(&ids);
        for (((index, _), cause), answer) in wanted.iter().zip(causes).zip(answers) {
            let Some(work) = works.get_mut(*index) else {
                continue;
            };
            match answer {
                Ok(contact) => {
                    work.written.push((Side::Crm, Action::Restore));
                    work.pair.crm = Half::Present(contact);
                    self.read_marker(work);
                    self.take_marker_of(work, cause);
                    if work.is_open() {
                        // As a first decision of this pair, now that both halves are there.
                        work.decision = self.decide_restored(work);
                    }
                }
                Err(WriteError::NotFound) => {
                    // Gone from the trash as well: no later pass will find it there.
                    work.end = Some(End::PutOff {
                        reason: "cannot-be-restored",
                        problem: None,
                    });
                }
                Err(error) => work.fail(error, "cannot-be-restored"),
            }
        }
        Ok(())
    }

    /// Whether it was a deletion in another mailbox.
    fn is_of_other(&self, cause: &Deletion) -> bool {
        cause.marker != *self.marker && !mutation::is_on(Mutant::MarkerOfCauseKept)
    }

    /// Before anything is restored it is written down that it will be: a pass that breaks off
    /// before it has taken the causing mailbox's marker away leaves that to the next one.
    fn announce(&self, ids: &[CrmId], causes: &[Option<Deletion>]) -> Result<(), Failure> {
        let mut writes: Vec<Write> = Vec::new();
        for (id, cause) in ids.iter().zip(causes) {
            let Some(cause) = cause.as_ref().filter(|cause| self.is_of_other(cause)) else {
                continue;
            };
            let restoring = Deletion {
                is_restored: true,
                ..cause.clone()
            };
            writes.push(self.memory.set_deletion(id, Some(&restoring)));
            let row = Pending {
                reason: RESTORING.to_owned(),
                since: self.now,
                attempts: 0,
                not_before: self.now,
            };
            let source = Source::Crm(id.clone());
            writes.push(self.memory.set_pending(&source, Some(&row)));
        }
        if writes.is_empty() {
            Ok(())
        } else {
            self.memory.commit(writes)
        }
    }

    /// Where the marker is kept beside the contact, the restored record does not say it.
    fn read_marker(&self, work: &mut Work) {
        if self.crm.marker_place() == MarkerPlace::Field {
            return;
        }
        if let Half::Present(contact) = &mut work.pair.crm
            && contact.marked.is_none()
            && work.wish.is_some()
        {
            let markers = self.crm.markers(std::slice::from_ref(&contact.id));
            contact.marked = markers.ok().and_then(|mut markers| markers.pop().flatten());
        }
    }

    /// A contact that a deletion in another mailbox took away comes back without that mailbox's
    /// marker, or it would be created there again (contract, section 3).
    fn take_marker_of(&self, work: &mut Work, cause: Option<Deletion>) {
        let Some(id) = work.pair.crm_id() else { return };
        let Some(cause) = cause.filter(|cause| self.is_of_other(cause)) else {
            return;
        };
        let change = MarkerChange {
            id,
            marker: Some(cause.marker),
            set: false,
        };
        if let Some(Err(error)) = self.crm.mark(&[change]).pop() {
            work.old_marker = OldMarker::Left;
            work.fail(error, "marker-not-taken");
        }
    }

    /// What an earlier pass restored, and broke off before it took the marker away.
    fn take_markers_left_behind(&self, works: &mut [Work]) -> Result<(), Failure> {
        let wanted = open(works, |work| {
            let id = work.pair.crm_id()?;
            let is_pending = work.task.settles.contains(&Source::Crm(id.clone()));
            let is_there = matches!(work.pair.crm, Half::Present(_));
            (is_pending && is_there && work.old_marker == OldMarker::Unasked).then_some(id)
        });
        let ids: Vec<CrmId> = wanted.iter().map(|(_, id)| id.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        for ((index, _), cause) in wanted.iter().zip(self.memory.deletions(&ids)?) {
            if let (Some(work), Some(cause)) = (works.get_mut(*index), cause)
                && cause.is_restored
            {
                work.old_marker = OldMarker::Taken;
                self.take_marker_of(work, Some(cause));
            }
        }
        Ok(())
    }

    /// What came back may hold more than the base, and so lose more than was planned: such fields
    /// stay as they are until a pass has shown them to the guard.
    fn decide_restored(&self, work: &mut Work) -> Decision {
        if let Half::Present(contact) = &mut work.pair.crm
            && contact.marked == Some(false)
            && let Some(link) = &mut work.pair.link
        {
            link.marker_seen = false;
        }
        let decision = self.decide(&work.pair, &work.task, work.wish.as_ref());
        let mut unplanned = self.destructions(&work.pair, &decision, &work.task);
        unplanned.retain(|kind| !work.task.planned.contains(kind));
        if unplanned.is_empty() {
            return decision;
        }
        let fields = unplanned.iter().filter_map(|kind| kind.field());
        work.task.withheld.extend(fields);
        work.leaves_rest = true;
        let decision = self.decide(&work.pair, &work.task, work.wish.as_ref());
        let destroyed = self.destructions(&work.pair, &decision, &work.task);
        if destroyed
            .iter()
            .all(|kind| work.task.planned.contains(kind))
        {
            return decision;
        }
        Decision {
            deed: Deed::Hold(None),
            reason: "changed-meanwhile",
        }
    }
}
