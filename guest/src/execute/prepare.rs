//! Intents of creates, and the journal of what will be lost, before anything is sent.

use super::{Executor, Work};
use crate::contact::{CrmFields, View};
use crate::crm::Crm;
use crate::journal::{self, Cause, JournalEntry, Record};
use crate::links::{Deletion, Intent, Source};
use crate::mailbox::Mailbox;
use crate::mapping;
use crate::mutation::{self, Mutant};
use crate::plan::matching::Candidate;
use crate::plan::merge::Merged;
use crate::plan::{Deed, Half};
use crate::report::{Change, Failure, Side};

impl<C: Crm, M: Mailbox> Executor<'_, C, M> {
    pub(super) fn prepare(&self, works: &[Work], number: &mut u32) -> Result<(), Failure> {
        let mut writes = Vec::new();
        for work in works.iter().filter(|work| work.is_open()) {
            if let Some(intent) = self.intent(work) {
                writes.push(self.memory.open_intent(&intent));
            }
            for entry in self.losses(work) {
                writes.push(journal::write(self.memory, &entry, *number));
                *number = number.saturating_add(1);
            }
            if let (Deed::DeleteInCrm, Some(id)) = (&work.decision.deed, work.pair.crm_id()) {
                let deletion = Deletion {
                    marker: self.marker.clone(),
                    at: self.now,
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
            at: self.now,
            candidate,
        })
    }

    /// Journal entries for what this task will delete or overwrite.
    fn losses(&self, work: &Work) -> Vec<JournalEntry> {
        let pair = &work.pair;
        let entry = |side, cause, lost, record| JournalEntry {
            at: self.now,
            pass: self.pass.to_owned(),
            side,
            cause,
            contact: pair.name(),
            lost,
            record,
        };
        match &work.decision.deed {
            Deed::DeleteInCrm | Deed::DeleteInMailbox
                if mutation::is_on(Mutant::DeletionNotInJournal) =>
            {
                Vec::new()
            }
            Deed::Agree { .. } if mutation::is_on(Mutant::ConflictNotInJournal) => Vec::new(),
            Deed::DeleteInCrm => {
                let lost = mapping::changes(&pair.crm_fields(), &CrmFields::EMPTY);
                let record = match &pair.crm {
                    Half::Present(contact) => Some(Record::Crm(contact.clone())),
                    _ => None,
                };
                vec![entry(Side::Crm, Cause::Deleted, lost, record)]
            }
            Deed::DeleteInMailbox => {
                let lost = mapping::changes(&pair.view(), &View::EMPTY);
                let record = pair.mailbox_contact().map(Record::Mailbox);
                vec![entry(Side::Mailbox, Cause::Deleted, lost, record)]
            }
            Deed::Agree { merged, .. } => [Side::Crm, Side::Mailbox]
                .into_iter()
                .filter_map(|side| {
                    let lost = conflict_losses(merged, side);
                    (!lost.is_empty()).then(|| entry(side, Cause::Overwritten, lost, None))
                })
                .collect(),
            _ => Vec::new(),
        }
    }
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
