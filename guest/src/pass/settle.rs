//! What became of creates whose answer was lost (contract, section 7.3).
//!
//! A create that did happen is adopted: its two contacts are paired as a person's answer would pair
//! them. One that did not is forgotten, but only after the settling time. Until then nothing is
//! created for its source, and nothing is made of a contact that may be its copy.

use std::collections::BTreeSet;

use super::renew::SOUGHT_MAX;
use super::{Mode, Pass, PutOff, Stage, Stop};
use crate::contact::{CrmId, MailboxId};
use crate::crm::{Crm, CrmCursor};
use crate::journal;
use crate::links::{Answer, Intent, Link, Source, Stored};
use crate::mailbox::{FindBy, Mailbox};
use crate::mutation::{self, Mutant};
use crate::outside::{Timestamp, Write};
use crate::plan::matching::Candidate;
use crate::report::{Failure, Finding, Problem, Severity};

/// How long a create may take to show: longer than any timeout and index lag.
pub(super) const SETTLE_MS: i64 = 600_000;

/// Why a source waits whose copy cannot be told from others.
pub(super) const AMBIGUOUS_CREATE: &str = "ambiguous-create";

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

/// A CRM contact that may be the copy of an open intent.
pub(super) struct Copied {
    id: CrmId,
    created: Option<Timestamp>,
    /// Our user created it, or nobody says who did. Of a user that the company has replaced
    /// meanwhile, only a copy in everything is ours.
    is_ours: bool,
    candidate: Candidate<()>,
}

impl<C: Crm, M: Mailbox> Pass<C, M> {
    /// One page of what our user created since the oldest open import; at the end, what has become
    /// of all open intents.
    pub(super) fn settle(&mut self, cursor: Option<&CrmCursor>) -> Result<Stage, Stop> {
        let intents = match &self.begun {
            Some(begun) if !begun.intents.is_empty() => begun.intents.clone(),
            _ => return Ok(self.after_settling()),
        };
        let (answered, open) = self.answered_by_people(intents)?;
        let exports: Vec<Intent> = open
            .iter()
            .filter(|intent| matches!(intent.source, Source::Crm(_)))
            .filter(|intent| !self.gathered.sought.contains(&intent.key))
            .take(SOUGHT_MAX)
            .cloned()
            .collect();
        let (mut settled, next) = if exports.is_empty() {
            if let Some(cursor) = self.read_copies(&open, cursor)? {
                return Ok(Stage::Settle(Some(cursor)));
            }
            (self.settle_in_crm(&open)?, self.after_settling())
        } else {
            (self.settle_in_mailbox(&exports)?, Stage::Settle(None))
        };
        let sought = exports.into_iter().map(|intent| intent.key);
        self.gathered.sought.extend(sought);
        let forgotten = answered.into_iter();
        settled.extend(forgotten.map(|intent| (intent, Settled::Forgotten)));
        let mut writes = Vec::new();
        for (intent, outcome) in settled {
            if matches!(outcome, Settled::Adopted(..)) && !intent.restores.is_empty() {
                writes.extend(self.restored_by(&intent)?);
            }
            self.take_settled(&intent, outcome, &mut writes);
        }
        if !writes.is_empty() && !self.is_dry() {
            self.memory.commit(writes)?;
        }
        Ok(next)
    }

    /// The answer of a restore was lost, but it did happen: its entries are brought back, and a
    /// CRM contact that was created anew takes the place of one that is gone for good.
    fn restored_by(&self, intent: &Intent) -> Result<Vec<Write>, Failure> {
        let (ids, now) = (&intent.restores, self.outside.now());
        let mut writes = journal::mark_restored(&self.memory, ids, now)?;
        if let Source::Mailbox(id) = &intent.source {
            let paired = self.memory.paired_with(std::slice::from_ref(id))?;
            let former: Vec<CrmId> = paired.into_iter().flatten().collect();
            let links = self.memory.links(&former)?.into_iter();
            let gone = links.filter_map(Stored::found).filter(Link::is_tombstone);
            writes.extend(gone.flat_map(|link| {
                let mut writes = self.memory.delete_link(&link);
                writes.push(self.memory.set_deletion(&link.crm_id, None));
                writes
            }));
        }
        Ok(writes)
    }

    fn after_settling(&self) -> Stage {
        match self.mode {
            Mode::Preview | Mode::Sync => Stage::ReadCrm(None),
            Mode::Restore { .. } => Stage::Search(None),
        }
    }

    /// Intents whose source has a partner by now, or somebody has said which one: settled. And the
    /// others. That somebody is new may have been said before the create, and says nothing about
    /// it.
    fn answered_by_people(
        &self,
        intents: Vec<Intent>,
    ) -> Result<(Vec<Intent>, Vec<Intent>), Failure> {
        let Some(begun) = &self.begun else {
            return Ok((Vec::new(), intents));
        };
        let mut settled = Vec::new();
        let mut open = Vec::new();
        for intent in intents {
            let is_settled = match &intent.source {
                Source::Mailbox(id) => {
                    let is_paired = matches!(begun.answers.get(id), Some(Answer::Same(_)));
                    is_paired || self.has_partner(id)?
                }
                Source::Crm(id) => {
                    let mut answers = begun.answers.values();
                    answers.any(|answer| matches!(answer, Answer::Same(same) if same == id))
                }
            };
            if is_settled {
                settled.push(intent);
            } else {
                open.push(intent);
            }
        }
        Ok((settled, open))
    }

    /// A tombstone is no partner: what comes back from the journal takes its place.
    fn has_partner(&self, id: &MailboxId) -> Result<bool, Failure> {
        let paired = self.memory.paired_with(std::slice::from_ref(id))?;
        let ids: Vec<CrmId> = paired.into_iter().flatten().collect();
        let mut links = self.memory.links(&ids)?.into_iter();
        Ok(links.any(|link| !link.found().is_some_and(|link| link.is_tombstone())))
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
        let keys: Vec<FindBy> = exports
            .iter()
            .map(|(intent, _)| FindBy::Key(intent.key.clone()))
            .collect();
        let found = self.mailbox.find(&keys)?;
        let settle = |((intent, id), ids): ((&Intent, &CrmId), Result<Vec<MailboxId>, Problem>)| {
            let settled = match ids.as_deref() {
                Ok([one]) => Settled::Adopted(id.clone(), one.clone()),
                Ok([one, ..]) if mutation::is_on(Mutant::CopiedKeyIsProof) => {
                    Settled::Adopted(id.clone(), one.clone())
                }
                Ok([]) => self.not_found(intent),
                Ok(_) => Settled::Open { is_ambiguous: true },
                // As long as nobody can look, it may be there.
                Err(_) => Settled::Open {
                    is_ambiguous: false,
                },
            };
            (intent.clone(), settled)
        };
        Ok(exports.into_iter().zip(found).map(settle).collect())
    }

    /// One page; of it, only what an open import may have made is kept.
    fn read_copies(
        &mut self,
        intents: &[Intent],
        cursor: Option<&CrmCursor>,
    ) -> Result<Option<CrmCursor>, Stop> {
        let imports = || {
            let is_import = |intent: &&Intent| matches!(intent.source, Source::Mailbox(_));
            intents.iter().filter(is_import)
        };
        let (Some(since), Some(begun)) = (imports().map(searched_from).min(), &self.begun) else {
            return Ok(None);
        };
        let user = begun.state.crm.user.as_str();
        let page = self.crm.created_since(since, cursor)?;
        if cursor.is_none() {
            // The step is taken again after a pause.
            self.gathered.copies.clear();
        }
        let region = &self.job.tenant.region;
        for contact in page.contacts {
            let candidate = Candidate::of_crm((), &contact.fields, region);
            if imports().any(|intent| intent.candidate.is_copy(&candidate)) {
                self.gathered.copies.push(Copied {
                    id: contact.id,
                    created: contact.created,
                    is_ours: contact.creator.is_none_or(|by| by == user),
                    candidate,
                });
            }
        }
        Ok(page.cursor)
    }

    /// FLOWFACT takes no key: the new contact is one that our user created since, that no link
    /// knows, and that holds what was sent.
    fn settle_in_crm(&mut self, intents: &[Intent]) -> Result<Vec<(Intent, Settled)>, Stop> {
        let mut copies = std::mem::take(&mut self.gathered.copies);
        let ids: Vec<CrmId> = copies.iter().map(|copied| copied.id.clone()).collect();
        let mut links = self.memory.links(&ids)?.into_iter();
        copies.retain(|_| links.next() == Some(Stored::Missing));
        let mut unsettled: Vec<(&Intent, &MailboxId, BTreeSet<CrmId>)> = intents
            .iter()
            .filter_map(|intent| match &intent.source {
                Source::Mailbox(id) => Some((intent, id, alike(intent, &copies))),
                Source::Crm(_) => None,
            })
            .collect();
        let mut settled = Vec::new();
        while let Some(at) = decided(&unsettled) {
            let (intent, source, found) = unsettled.remove(at);
            let Some(copy) = found.first().cloned() else {
                settled.push((intent.clone(), self.not_found(intent)));
                continue;
            };
            for (_, _, others) in &mut unsettled {
                others.remove(&copy);
            }
            let adopted = Settled::Adopted(copy, source.clone());
            settled.push((intent.clone(), adopted));
        }
        let open = |(intent, _, _): (&Intent, _, _)| {
            (intent.clone(), Settled::Open { is_ambiguous: true })
        };
        settled.extend(unsettled.into_iter().map(open));
        Ok(settled)
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

    /// Held, and told once.
    fn put_off_ambiguous(&mut self, intent: &Intent) {
        let told = self.begun.as_ref().and_then(|begun| {
            let row = begun.pending.get(&intent.source)?;
            (row.reason == AMBIGUOUS_CREATE).then_some(())
        });
        if told.is_none() || self.mode == Mode::Preview {
            self.findings.push(ambiguous(intent));
        }
        let put_off = PutOff {
            reason: AMBIGUOUS_CREATE,
            problem: None,
            name: None,
        };
        self.put_off.insert(intent.source.clone(), put_off);
    }

    fn take_settled(&mut self, intent: &Intent, settled: Settled, writes: &mut Vec<Write>) {
        let Some(begun) = &mut self.begun else { return };
        let now = self.outside.now();
        match settled {
            Settled::Adopted(crm, mailbox) => {
                let answer = Answer::Same(crm);
                writes.push(self.memory.set_answer(&mailbox, Some(&answer)));
                writes.extend(self.memory.close_intent(&intent.key));
                begun.answers.insert(mailbox, answer);
                begun.intents.retain(|open| open.key != intent.key);
            }
            Settled::Forgotten => {
                writes.extend(self.memory.close_intent(&intent.key));
                begun.intents.retain(|open| open.key != intent.key);
            }
            Settled::Open { is_ambiguous } => {
                self.gathered.withheld.insert(intent.source.clone());
                if is_ambiguous {
                    self.put_off_ambiguous(intent);
                }
                if intent.at > now {
                    // Written by a clock that has been set right since: its settling time begins
                    // now, and its copy may be from any time.
                    let redated = Intent {
                        at: now,
                        is_redated: true,
                        ..intent.clone()
                    };
                    writes.extend(self.memory.open_intent(&redated));
                }
            }
        }
    }
}

/// When its copy may have been created at the earliest.
fn searched_from(intent: &Intent) -> Timestamp {
    if intent.is_redated {
        Timestamp(0)
    } else {
        intent.at.plus_ms(-CLOCK_SKEW_MS)
    }
}

/// The first intent for whom it is certain which copy is whose, or that there is none: where as
/// many intents as copies are left that are all alike, it does not matter which is whose.
fn decided(unsettled: &[(&Intent, &MailboxId, BTreeSet<CrmId>)]) -> Option<usize> {
    unsettled.iter().position(|(_, _, found)| {
        let alike = unsettled.iter().filter(|(_, _, others)| others == found);
        found.len() <= alike.count()
    })
}

/// The copies that hold all that was sent; where there are none, those of our user with the same
/// names and an address or number.
fn alike(intent: &Intent, copies: &[Copied]) -> BTreeSet<CrmId> {
    let since = searched_from(intent);
    let of = |is_alike: &dyn Fn(&Copied) -> bool| -> BTreeSet<CrmId> {
        copies
            .iter()
            .filter(|copied| copied.created.is_none_or(|created| created >= since))
            .filter(|copied| is_alike(copied))
            .map(|copied| copied.id.clone())
            .collect()
    };
    let whole = of(&|copied| intent.candidate.is_same(&copied.candidate));
    if whole.is_empty() {
        of(&|copied| copied.is_ours && intent.candidate.is_copy(&copied.candidate))
    } else {
        whole
    }
}

fn ambiguous(intent: &Intent) -> Finding {
    let id = match &intent.source {
        Source::Crm(id) => id.to_string(),
        Source::Mailbox(id) => id.to_string(),
    };
    Finding {
        severity: Severity::Warning,
        code: AMBIGUOUS_CREATE.to_owned(),
        message: format!(
            "the answer to creating a copy of `{id}` was lost, and several contacts may be that copy"
        ),
        remedy: Some("delete the ones that are too many, or pair the right one by hand".to_owned()),
        contact: None,
        field: None,
    }
}
