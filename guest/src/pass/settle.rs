//! What became of creates whose answer was lost (contract, section 7.3).
//!
//! A create that did happen is adopted: its two contacts are paired as a person's answer would pair
//! them. One that did not is forgotten, but only after the settling time. Until then nothing is
//! created for its source, and nothing is made of a contact that may be its copy.

use super::{Pass, Stage, Stop};
use crate::contact::{CrmContact, CrmId, MailboxContact, MailboxId, SearchKey};
use crate::crm::Crm;
use crate::links::{Answer, Intent, Source};
use crate::mailbox::Mailbox;
use crate::mutation::{self, Mutant};
use crate::outside::{Timestamp, Write};
use crate::plan::matching::Candidate;
use crate::report::{Finding, Severity};

/// How long a create may take to show: longer than any timeout and index lag.
pub(super) const SETTLE_MS: i64 = 600_000;

/// Clocks differ: a contact may seem to be created a little before its intent.
const CLOCK_SKEW_MS: i64 = 300_000;

/// What is known about one open intent.
enum Settled {
    /// It happened: these two are one.
    Adopted(CrmId, MailboxId),
    /// It may still show, or it cannot be told which contact it is.
    Open { is_ambiguous: bool },
    /// It did not happen.
    Forgotten,
}

impl<C: Crm, M: Mailbox> Pass<C, M> {
    pub(super) fn settle(&mut self) -> Result<Stage, Stop> {
        let intents = match &self.begun {
            Some(begun) if !begun.intents.is_empty() => begun.intents.clone(),
            _ => return Ok(Stage::ReadCrm(None)),
        };
        let mut settled = self.settle_in_mailbox(&intents)?;
        settled.extend(self.settle_in_crm(&intents)?);
        let mut writes = Vec::new();
        for (intent, outcome) in settled {
            self.take_settled(&intent, outcome, &mut writes);
        }
        if !writes.is_empty() && self.mode == super::Mode::Sync {
            self.memory.commit(writes)?;
        }
        Ok(Stage::ReadCrm(None))
    }

    /// In a mailbox the new contact carries its key.
    fn settle_in_mailbox(&self, intents: &[Intent]) -> Result<Vec<(Intent, Settled)>, Stop> {
        let exports: Vec<(&Intent, &CrmId)> = intents
            .iter()
            .filter_map(|intent| match &intent.source {
                Source::Crm(id) => Some((intent, id)),
                Source::Mailbox(_) => None,
            })
            .collect();
        if exports.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<SearchKey> = exports
            .iter()
            .map(|(intent, _)| intent.key.clone())
            .collect();
        let found = self.mailbox.find(&keys)?;
        let settle = |((intent, id), contacts): ((&Intent, &CrmId), Vec<_>)| {
            let ids: Vec<MailboxId> = contacts
                .into_iter()
                .map(|contact: MailboxContact| contact.id)
                .collect();
            let settled = match ids.as_slice() {
                [one] => Settled::Adopted(id.clone(), one.clone()),
                [one, ..] if mutation::is_on(Mutant::CopiedKeyIsProof) => {
                    Settled::Adopted(id.clone(), one.clone())
                }
                [] => self.not_found(intent),
                _ => Settled::Open { is_ambiguous: true },
            };
            (intent.clone(), settled)
        };
        Ok(exports.into_iter().zip(found).map(settle).collect())
    }

    /// FLOWFACT takes no key: the new contact is one that our user created since, that no link
    /// knows, and that holds what was sent.
    fn settle_in_crm(&self, intents: &[Intent]) -> Result<Vec<(Intent, Settled)>, Stop> {
        let imports: Vec<(&Intent, &MailboxId)> = intents
            .iter()
            .filter_map(|intent| match &intent.source {
                Source::Mailbox(id) => Some((intent, id)),
                Source::Crm(_) => None,
            })
            .collect();
        let Some(earliest) = imports.iter().map(|(intent, _)| intent.at).min() else {
            return Ok(Vec::new());
        };
        let created = self.created_since(earliest.plus_ms(-CLOCK_SKEW_MS))?;
        let ids: Vec<CrmId> = created.iter().map(|contact| contact.id.clone()).collect();
        let links = self.memory.links(&ids)?;
        let free: Vec<_> = created
            .iter()
            .zip(links)
            .filter(|(_, link)| *link == crate::links::Stored::Missing)
            .map(|(contact, _)| contact)
            .collect();
        let region = &self.job.tenant.region;
        let settle = |(intent, id): (&Intent, &MailboxId)| {
            let since = intent.at.plus_ms(-CLOCK_SKEW_MS);
            let alike: Vec<&CrmId> = free
                .iter()
                .filter(|contact| contact.created.is_none_or(|created| created >= since))
                .filter(|contact| {
                    intent
                        .candidate
                        .is_copy(&Candidate::of_crm((), &contact.fields, region))
                })
                .map(|contact| &contact.id)
                .collect();
            let settled = match alike.as_slice() {
                [one] => Settled::Adopted((*one).clone(), id.clone()),
                [] => self.not_found(intent),
                _ => Settled::Open { is_ambiguous: true },
            };
            (intent.clone(), settled)
        };
        Ok(imports.into_iter().map(settle).collect())
    }

    fn created_since(&self, since: Timestamp) -> Result<Vec<CrmContact>, Stop> {
        let mut created = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.crm.created_since(since, cursor.as_ref())?;
            created.extend(page.contacts);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(created);
            }
        }
    }

    fn not_found(&self, intent: &Intent) -> Settled {
        let at_once = mutation::is_on(Mutant::SettledAtOnce);
        if at_once || self.outside.now().since_ms(intent.at) > SETTLE_MS {
            Settled::Forgotten
        } else {
            Settled::Open {
                is_ambiguous: false,
            }
        }
    }

    fn take_settled(&mut self, intent: &Intent, settled: Settled, writes: &mut Vec<Write>) {
        let Some(begun) = &mut self.begun else { return };
        match settled {
            Settled::Adopted(crm, mailbox) => {
                let answer = Answer::Same(crm);
                writes.push(self.memory.set_answer(&mailbox, Some(&answer)));
                writes.push(self.memory.close_intent(&intent.key));
                begun.answers.insert(mailbox, answer);
                begun.intents.retain(|open| open.key != intent.key);
            }
            Settled::Forgotten => {
                writes.push(self.memory.close_intent(&intent.key));
                begun.intents.retain(|open| open.key != intent.key);
            }
            Settled::Open { is_ambiguous } => {
                self.gathered.withheld.insert(intent.source.clone());
                if is_ambiguous {
                    self.findings.push(ambiguous(intent));
                }
            }
        }
    }
}

fn ambiguous(intent: &Intent) -> Finding {
    let id = match &intent.source {
        Source::Crm(id) => id.to_string(),
        Source::Mailbox(id) => id.to_string(),
    };
    Finding {
        severity: Severity::Warning,
        code: "ambiguous-create".to_owned(),
        message: format!(
            "the answer to creating a copy of `{id}` was lost, and several contacts may be that copy"
        ),
        remedy: Some("delete the ones that are too many, or pair the right one by hand".to_owned()),
        contact: None,
        field: None,
    }
}
