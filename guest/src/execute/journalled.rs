//! What a batch changed and created, for the journal: written down with the links.

use super::{Executor, Work};
use crate::contact::{Field, FieldSet};
use crate::crm::Crm;
use crate::journal::{self, Cause, Edit, JournalEntry};
use crate::mailbox::Mailbox;
use crate::mapping;
use crate::outside::Write;
use crate::plan::merge::Merged;
use crate::plan::{Deed, Half};
use crate::report::{Action, Change, ContactName, Side};

use super::prepare::conflict_fields;

/// Values of one record that were replaced, as they were read before and after.
pub(super) struct Replaced {
    lost: Vec<Change>,
    edit: Edit,
}

impl Work {
    /// Notes what an update of the CRM replaced, before the record is forgotten for a newer one.
    pub(super) fn note_crm_update(&mut self) {
        if let (Half::Present(before), Some(after)) = (&self.pair.crm, &self.crm) {
            let fields = unconflicted(&self.decision.deed, Side::Crm);
            let edit = Edit::of_crm(&before.fields, &after.fields, &fields);
            let lost = mapping::changes(&before.fields, &after.fields);
            self.note(lost, edit);
        }
    }

    /// The same for the mailbox.
    pub(super) fn note_mailbox_update(&mut self) {
        let before = self.pair.view();
        if let Some(after) = &self.mailbox {
            let fields = unconflicted(&self.decision.deed, Side::Mailbox);
            let edit = Edit::of_mailbox(before, &after.view, &fields);
            let lost = mapping::changes(before, &after.view);
            self.note(lost, edit);
        }
    }

    fn note(&mut self, mut lost: Vec<Change>, edit: Option<Edit>) {
        let Some(edit) = edit else { return };
        lost.retain(|change| edit.fields.contains(&change.field));
        // Another writing of the same values is no loss.
        if !lost.is_empty() {
            self.replaced.push(Replaced { lost, edit });
        }
    }

    fn created(&self) -> Vec<(Side, ContactName)> {
        let created = self.written.iter();
        let created = created.filter(|(_, action)| *action == Action::Create);
        let created = created.map(|(side, _)| (*side, self.name_now()));
        created.collect()
    }

    fn name_now(&self) -> ContactName {
        let name = self.pair.name();
        let crm = self.crm.as_ref().map(|contact| contact.id.clone());
        let mailbox = self.mailbox.as_ref().map(|contact| contact.id.clone());
        ContactName {
            crm_id: crm.or(name.crm_id),
            mailbox_id: mailbox.or(name.mailbox_id),
            label: name.label,
        }
    }
}

impl<C: Crm, M: Mailbox> Executor<'_, C, M> {
    /// The rows of what these tasks changed and created, whatever became of them afterwards.
    pub(super) fn journalled(&self, works: &mut [Work], number: &mut u32) -> Vec<Write> {
        let mut writes = Vec::new();
        let mut created = Vec::new();
        for work in works {
            for replaced in std::mem::take(&mut work.replaced) {
                let Replaced { lost, edit } = replaced;
                let entry = self.entry(work, edit.side(), Cause::Changed, lost);
                let entry = JournalEntry {
                    edit: Some(edit),
                    ..entry
                };
                writes.push(journal::write(self.memory, &entry, *number));
                *number = number.saturating_add(1);
            }
            created.extend(work.created());
        }
        if !created.is_empty() {
            let (now, pass) = (self.now, self.pass);
            let row = journal::write_created(self.memory, now, pass, *number, &created);
            writes.push(row);
            *number = number.saturating_add(1);
        }
        writes
    }
}

/// Fields of which no value of this side loses a conflict: those are written down before.
fn unconflicted(deed: &Deed, side: Side) -> FieldSet {
    let of = |merged: &Merged| conflict_fields(merged, side);
    let conflicted = match deed {
        Deed::Agree { merged, .. } => of(merged),
        _ => FieldSet::new(),
    };
    let all = Field::ALL.into_iter();
    all.filter(|field| !conflicted.contains(field)).collect()
}
