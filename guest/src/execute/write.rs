//! The CRM, then the mailbox, then the marker: each for all tasks of a batch at once.

use super::{Executor, Work, open};
use crate::crm::{Crm, CrmEdit, MarkerChange};
use crate::http::WriteError;
use crate::mailbox::{Mailbox, MailboxDraft, MailboxEdit};
use crate::plan::{Deed, Half};
use crate::report::{Action, Side};

impl<C: Crm, M: Mailbox> Executor<'_, C, M> {
    // ---- the CRM --------------------------------------------------------------------------------

    pub(super) fn write_crm(&self, works: &mut [Work]) {
        self.update_crm(works);
        self.create_crm(works);
        self.delete_crm(works);
    }

    fn update_crm(&self, works: &mut [Work]) {
        let edits = open(works, |work| {
            let after = match &work.decision.deed {
                Deed::Agree { merged, .. } => &merged.crm,
                Deed::PutBack { crm, .. } => crm,
                _ => return None,
            };
            let Half::Present(contact) = &work.pair.crm else {
                return None;
            };
            (*after != contact.fields).then(|| CrmEdit {
                id: contact.id.clone(),
                before: contact.fields.clone(),
                after: after.clone(),
            })
        });
        each(
            works,
            edits,
            |edits| self.crm.update(edits),
            |work, contact| {
                work.written.push((Side::Crm, Action::Update));
                work.crm = Some(contact);
                work.note_crm_update();
            },
        );
    }

    fn create_crm(&self, works: &mut [Work]) {
        let drafts = open(works, |work| match &work.decision.deed {
            Deed::CreateInCrm(merged) => Some(merged.crm.clone()),
            _ => None,
        });
        each(
            works,
            drafts,
            |drafts| self.crm.create(drafts),
            |work, contact| {
                work.written.push((Side::Crm, Action::Create));
                work.crm = Some(contact);
            },
        );
    }

    fn delete_crm(&self, works: &mut [Work]) {
        let ids = open(works, |work| match work.decision.deed {
            Deed::DeleteInCrm => work.pair.crm_id(),
            _ => None,
        });
        each_gone(works, ids, |ids| self.crm.delete(ids), Side::Crm);
    }

    // ---- the mailbox ----------------------------------------------------------------------------

    pub(super) fn write_mailbox(&self, works: &mut [Work]) {
        self.update_mailbox(works);
        self.create_mailbox(works);
        self.delete_mailbox(works);
    }

    fn update_mailbox(&self, works: &mut [Work]) {
        let edits = open(works, |work| {
            let after = match &work.decision.deed {
                Deed::Agree { merged, .. } => &merged.view,
                Deed::PutBack { view, .. } => view,
                _ => return None,
            };
            let (id, change_key) = work.pair.mailbox_version()?;
            let before = work.pair.view();
            (after != before).then(|| MailboxEdit {
                id,
                change_key,
                before: before.clone(),
                after: after.clone(),
            })
        });
        each(
            works,
            edits,
            |edits| self.mailbox.update(edits),
            |work, contact| {
                work.written.push((Side::Mailbox, Action::Update));
                work.mailbox = Some(contact);
                work.note_mailbox_update();
            },
        );
    }

    fn create_mailbox(&self, works: &mut [Work]) {
        let drafts = open(works, |work| match (&work.decision.deed, &work.intent) {
            (Deed::CreateInMailbox(merged), Some(key)) => Some(MailboxDraft {
                key: key.clone(),
                view: merged.view.clone(),
            }),
            _ => None,
        });
        each(
            works,
            drafts,
            |drafts| self.mailbox.create(drafts),
            |work, contact| {
                work.written.push((Side::Mailbox, Action::Create));
                work.mailbox = Some(contact);
            },
        );
    }

    fn delete_mailbox(&self, works: &mut [Work]) {
        let versions = open(works, |work| match work.decision.deed {
            Deed::DeleteInMailbox => work.pair.mailbox_version(),
            _ => None,
        });
        each_gone(
            works,
            versions,
            |versions| self.mailbox.delete(versions),
            Side::Mailbox,
        );
    }

    // ---- the marker -----------------------------------------------------------------------------

    pub(super) fn write_marker(&self, works: &mut [Work]) {
        let place = self.crm.marker_place();
        let changes = open(works, |work| {
            let contact = work.crm.as_ref();
            let set = match &work.decision.deed {
                Deed::Agree { mark: true, .. } => true,
                Deed::CreateInCrm(_) => match contact.and_then(|contact| contact.marked) {
                    Some(marked) if marked => return None,
                    Some(_) => true,
                    None if place == crate::crm::MarkerPlace::Entries => true,
                    None => return None,
                },
                // A person wants it back in this mailbox, marker included.
                Deed::CreateInMailbox(_) if work.wish.is_some() && work.is_unmarked() => true,
                Deed::Unmark => false,
                _ => return None,
            };
            let id = contact
                .map(|contact| contact.id.clone())
                .or_else(|| work.pair.crm_id())?;
            (!work.marked).then_some(MarkerChange {
                id,
                marker: None,
                set,
            })
        });
        each(
            works,
            changes,
            |changes| self.crm.mark(changes),
            |work, ()| {
                let action = if matches!(work.decision.deed, Deed::Unmark) {
                    Action::Unmark
                } else {
                    Action::Mark
                };
                work.marked = true;
                work.written.push((Side::Crm, action));
            },
        );
    }
}

/// Sends what the open tasks ask for in one call, and hands every answer to its task.
fn each<A, B>(
    works: &mut [Work],
    asked: Vec<(usize, A)>,
    send: impl FnOnce(&[A]) -> Vec<Result<B, WriteError>>,
    take: impl Fn(&mut Work, B),
) {
    if asked.is_empty() {
        return;
    }
    let (indexes, arguments): (Vec<usize>, Vec<A>) = asked.into_iter().unzip();
    for (index, answer) in indexes.into_iter().zip(send(&arguments)) {
        let Some(work) = works.get_mut(index) else {
            continue;
        };
        match answer {
            Ok(answer) => take(work, answer),
            Err(error) => work.fail(error, "refused"),
        }
    }
}

/// The same for deletions, where "not found" is what was wanted.
fn each_gone<A>(
    works: &mut [Work],
    asked: Vec<(usize, A)>,
    send: impl FnOnce(&[A]) -> Vec<Result<(), WriteError>>,
    side: Side,
) {
    let send = |arguments: &[A]| {
        send(arguments)
            .into_iter()
            .map(|answer| match answer {
                Err(WriteError::NotFound) => Ok(()),
                other => other,
            })
            .collect()
    };
    each(works, asked, send, |work, ()| {
        work.written.push((side, Action::Delete));
    });
}
