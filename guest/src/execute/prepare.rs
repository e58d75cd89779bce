//! Intents of creates, and the journal of what will be lost, before anything is sent.

use super::{Executor, Work};
use crate::contact::{CrmFields, FieldSet, View};
use crate::crm::Crm;
use crate::journal::{self, Cause, Edit, JournalEntry, Record};
use crate::links::{Deletion, Intent, Source};
use crate::mailbox::Mailbox;
use crate::mapping;
use crate::mutation::{self, Mutant};
use crate::outside::Write;
use crate::plan::matching::Candidate;
use crate::plan::merge::Merged;
use crate::plan::{Deed, Half};
use crate::report::{Change, Failure, Side};

impl<C: Crm, M: Mailbox> Executor<'_, C, M> {
    pub(super) fn prepare(
        &self,
        works: &[Work],
        mut writes: Vec<Write>,
        number: &mut u32,
    ) -> Result<(), Failure> {
        for work in works.iter().filter(|work| work.is_open()) {
            if let Some(intent) = self.intent(work) {
                writes.extend(self.memory.open_intent(&intent));
            }
            if let Some(link) = work.begun_link() {
                writes.extend(match &work.stored {
                    Some(stored) if stored.mailbox_id == link.mailbox_id => {
                        vec![self.memory.set_link_row(&link)]
                    }
                    stored => self.memory.set_link(stored.as_ref(), &link),
                });
            }
            for entry in self.losses(work) {
                writes.push(journal::write(self.memory, &entry, *number));
                *number = number.saturating_add(1);
            }
            if let (Deed::DeleteInCrm, Some(id)) = (&work.decision.deed, work.pair.crm_id()) {
                let deletion = Deletion {
                    marker: self.marker.clone(),
                    at: self.now,
                    is_restored: false,
                };
                writes.push(self.memory.set_deletion(&id, Some(&deletion)));
            }
        }
        if writes.is_empty() {
            Ok(())
        } else {
            self.memory.commit(writes)
        }
    }

    fn intent(&self, work: &Work) -> Option<Intent> {
        if mutation::is_on(Mutant::IntentNotWritten) {
            return None;
        }
        let key = work.intent.clone()?;
        let (source, candidate) = match &work.decision.deed {
            Deed::CreateInMailbox(merged) => (
                Source::Crm(work.pair.crm_id()?),
                Candidate::of_mailbox(key.clone(), &merged.view, self.rules.region),
            ),
            Deed::CreateInCrm(merged) => (
                Source::Mailbox(work.pair.mailbox_id()?),
                Candidate::of_crm(key.clone(), &merged.crm, self.rules.region),
            ),
            _ => return None,
        };
        Some(Intent {
            key,
            source,
            // Not the batch's time: what was read since may have taken long.
            at: self.memory.now(),
            candidate,
            is_redated: false,
            restores: work
                .wish
                .as_ref()
                .map_or_else(Vec::new, |wish| wish.entries.clone()),
        })
    }

    /// Journal entries for what this task will delete or overwrite.
    fn losses(&self, work: &Work) -> Vec<JournalEntry> {
        let pair = &work.pair;
        let record = match &pair.crm {
            Half::Present(contact) => Some(Record::Crm(contact.clone())),
            _ => None,
        };
        let crm_lost = || mapping::changes(pair.crm_fields(), &CrmFields::EMPTY);
        match &work.decision.deed {
            Deed::DeleteInCrm | Deed::DeleteInMailbox
                if mutation::is_on(Mutant::DeletionNotInJournal) =>
            {
                Vec::new()
            }
            Deed::Agree { .. } if mutation::is_on(Mutant::ConflictNotInJournal) => Vec::new(),
            Deed::DeleteInCrm => {
                let entry = self.entry(work, Side::Crm, Cause::Deleted, crm_lost());
                vec![JournalEntry { record, ..entry }]
            }
            Deed::Unmark => {
                let entry = self.entry(work, Side::Crm, Cause::Unmarked, Vec::new());
                vec![JournalEntry { record, ..entry }]
            }
            Deed::DeleteInMailbox => {
                let lost = mapping::changes(pair.view(), &View::EMPTY);
                let entry = self.entry(work, Side::Mailbox, Cause::Deleted, lost);
                let record = pair.mailbox_contact().map(Record::Mailbox);
                vec![JournalEntry { record, ..entry }]
            }
            Deed::Agree { merged, .. } => [Side::Crm, Side::Mailbox]
                .into_iter()
                .filter_map(|side| self.overwritten(work, merged, side))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// An entry without record and without values.
    pub(super) fn entry(
        &self,
        work: &Work,
        side: Side,
        cause: Cause,
        lost: Vec<Change>,
    ) -> JournalEntry {
        JournalEntry {
            at: self.now,
            pass: self.pass.to_owned(),
            side,
            cause,
            contact: work.pair.name(),
            lost,
            record: None,
            edit: None,
            restored: None,
        }
    }

    fn overwritten(&self, work: &Work, merged: &Merged, side: Side) -> Option<JournalEntry> {
        let lost = conflict_losses(merged, side);
        if lost.is_empty() {
            return None;
        }
        let fields = conflict_fields(merged, side);
        let pair = &work.pair;
        let edit = match side {
            Side::Crm => Edit::of_crm(pair.crm_fields(), &merged.crm, &fields),
            Side::Mailbox => Edit::of_mailbox(pair.view(), &merged.view, &fields),
        };
        let entry = self.entry(work, side, Cause::Overwritten, lost);
        Some(JournalEntry { edit, ..entry })
    }
}

/// Fields of which a value of this side loses.
pub(super) fn conflict_fields(merged: &Merged, side: Side) -> FieldSet {
    let lost = merged.conflicts.iter();
    let lost = lost.filter(|conflict| conflict.loser == side);
    lost.map(|conflict| conflict.field).collect()
}

fn conflict_losses(merged: &Merged, side: Side) -> Vec<Change> {
    merged
        .conflicts
        .iter()
        .filter(|conflict| conflict.loser == side)
        .map(|conflict| Change {
            field: conflict.field,
            before: conflict.lost.clone(),
            after: conflict.kept.clone(),
        })
        .collect()
}
