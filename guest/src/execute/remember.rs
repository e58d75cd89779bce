//! What a batch comes to: outcomes, and the writes that remember them.

use super::{Batch, Done, End, Executor, Outcome, Work};
use crate::contact::FieldSet;
use crate::crm::Crm;
use crate::links::{Link, Source, Standing};
use crate::mailbox::Mailbox;
use crate::mapping;
use crate::mutation::{self, Mutant};
use crate::outside::Write;
use crate::plan::guard::Destruction;
use crate::plan::merge::{Conflict, Merged};
use crate::plan::{self, Deed, Half};
use crate::report::{Action, Finding, Severity, Side};
use std::collections::BTreeMap;

impl<C: Crm, M: Mailbox> Executor<'_, C, M> {
    pub(super) fn remember(&self, works: Vec<Work>) -> Batch {
        let mut batch = Batch {
            outcomes: Vec::with_capacity(works.len()),
            writes: Vec::new(),
        };
        for work in works {
            let outcome = self.conclude(work, &mut batch.writes);
            batch.outcomes.push(outcome);
        }
        batch
    }

    fn conclude(&self, work: Work, writes: &mut Vec<Write>) -> Outcome {
        if work.was_created() {
            // Whatever came after the create: the new contact must be known, or it would be created
            // twice. A marker that could not be set is found missing and set by a later pass.
            return self.conclude_done(work, writes);
        }
        self.forget_unused_cause(&work, writes);
        match work.end {
            None => match work.decision.deed {
                Deed::Hold(problem) => Outcome::PutOff {
                    reason: work.decision.reason,
                    problem,
                },
                _ => self.conclude_done(work, writes),
            },
            Some(End::Stale) => {
                self.close_unsent_intent(&work, writes);
                Outcome::PutOff {
                    reason: "edited-meanwhile",
                    problem: None,
                }
            }
            Some(End::PutOff {
                reason,
                ref problem,
            }) => {
                if reason != "answer-lost" {
                    self.close_unsent_intent(&work, writes);
                }
                Outcome::PutOff {
                    reason,
                    problem: problem.clone(),
                }
            }
            Some(End::NotDone(ref error)) => {
                self.close_unsent_intent(&work, writes);
                Outcome::NotDone(error.clone())
            }
        }
    }

    /// Who takes a CRM contact away is written down before it is; where it was not taken away,
    /// nobody did. A lost answer leaves it: it may have been.
    fn forget_unused_cause(&self, work: &Work, writes: &mut Vec<Write>) {
        let was_planned = work
            .task
            .planned
            .contains(&Destruction::Deletion(Side::Crm));
        let may_be_done = match &work.end {
            None => matches!(work.decision.deed, Deed::DeleteInCrm),
            Some(End::PutOff { reason, .. }) => *reason == "answer-lost",
            Some(End::Stale | End::NotDone(_)) => false,
        };
        if let (true, false, Some(id)) = (was_planned, may_be_done, work.pair.crm_id()) {
            writes.push(self.memory.set_deletion(&id, None));
        }
    }

    fn close_unsent_intent(&self, work: &Work, writes: &mut Vec<Write>) {
        let creates = matches!(
            work.decision.deed,
            Deed::CreateInCrm(_) | Deed::CreateInMailbox(_)
        );
        if let (true, Some(key)) = (creates, &work.intent) {
            writes.push(self.memory.close_intent(key));
        }
    }

    fn conclude_done(&self, mut work: Work, writes: &mut Vec<Write>) -> Outcome {
        let before = work.pair.link.take();
        let after = self.link_after(&work, before.as_ref());
        let (findings, told) = self.untold(&work, before.as_ref());
        let destructions = if work.end.is_none() {
            plan::destructions(&work.pair_with(before.clone()), &work.decision)
        } else {
            Vec::new()
        };
        let conflicts = match &work.decision.deed {
            Deed::Agree { merged, .. } => u32::try_from(merged.conflicts.len()).unwrap_or(u32::MAX),
            _ => 0,
        };
        if let Some(mut link) = after.clone() {
            link.told = told;
            if mutation::is_on(Mutant::TombstoneForgotten) && link.is_tombstone() {
                writes.extend(self.memory.delete_link(&link));
            } else {
                writes.extend(self.memory.set_link(before.as_ref(), &link));
            }
        }
        if work.was_created() {
            self.close_unsent_intent(&work, writes);
        }
        let was_restored = work.written.contains(&(Side::Crm, Action::Restore));
        let is_back = before.as_ref().is_some_and(Link::is_tombstone)
            && after.as_ref().is_some_and(Link::is_linked);
        if let (true, Some(link)) = (was_restored || is_back, &after) {
            // Whoever deletes it next is another cause.
            writes.push(self.memory.set_deletion(&link.crm_id, None));
        }
        for source in &work.task.settles {
            writes.push(self.memory.set_pending(source, None));
            if let Source::Mailbox(id) = source {
                writes.push(self.memory.set_answer(id, None));
            }
        }
        Outcome::Done(Box::new(Done {
            written: work.written,
            conflicts,
            findings,
            destructions,
            links: difference(before.as_ref(), after.as_ref(), Standing::Linked),
            detached: difference(before.as_ref(), after.as_ref(), Standing::Detached),
        }))
    }

    /// The link as it is to be remembered; `None` where there is none.
    fn link_after(&self, work: &Work, before: Option<&Link>) -> Option<Link> {
        let gone = Standing::Tombstone { at: self.now };
        match &work.decision.deed {
            Deed::Agree { merged, .. }
            | Deed::CreateInCrm(merged)
            | Deed::CreateInMailbox(merged) => self.agreed(work, before, merged),
            Deed::DeleteInCrm | Deed::DeleteInMailbox | Deed::Unmark | Deed::Forget => {
                before.map(|link| Link {
                    standing: gone,
                    marker_seen: false,
                    ..link.clone()
                })
            }
            Deed::Detach => before.map(|link| Link {
                standing: Standing::Detached,
                marker_seen: false,
                ..link.clone()
            }),
            Deed::Rest | Deed::Hold(_) | Deed::RestoreInCrm => before.cloned(),
        }
    }

    fn agreed(&self, work: &Work, before: Option<&Link>, merged: &Merged) -> Option<Link> {
        let crm = work.crm.as_ref().or(match &work.pair.crm {
            Half::Present(contact) => Some(contact),
            _ => None,
        });
        let mailbox = work.mailbox.as_ref().or(match &work.pair.mailbox {
            Half::Present(contact) => Some(contact),
            _ => None,
        });
        let crm_id = crm
            .map(|contact| contact.id.clone())
            .or(before.map(|l| l.crm_id.clone()))?;
        let mailbox_id = mailbox
            .map(|contact| contact.id.clone())
            .or(before.map(|l| l.mailbox_id.clone()))?;
        let as_sent = mutation::is_on(Mutant::BaseAsSent);
        let crm_fields = match (crm, before) {
            (Some(_), _) if as_sent => merged.crm.clone(),
            (Some(contact), _) => contact.fields.clone(),
            (None, link) => link?.base.crm.clone(),
        };
        let view = match (mailbox, before) {
            (Some(_), _) if as_sent => merged.view.clone(),
            (Some(contact), _) => contact.view.clone(),
            (None, link) => link?.base.view.clone(),
        };
        let fields: FieldSet = self
            .rules
            .fields
            .difference(&work.task.withheld)
            .copied()
            .collect();
        let mut base = mapping::remember(&crm_fields, &view, &merged.slots, &fields);
        let created = matches!(work.decision.deed, Deed::CreateInMailbox(_));
        if let Some(link) = before.filter(|link| link.is_linked() && !created) {
            base = base.keeping(&link.base);
            if mutation::is_on(Mutant::EchoTakenForEdit) {
                base = link.base.clone();
            }
        }
        let marked = crm.and_then(|contact| contact.marked);
        let seen_before = before.is_some_and(|link| link.is_linked() && link.marker_seen);
        Some(Link {
            crm_id,
            mailbox_id,
            standing: Standing::Linked,
            marker_seen: marked == Some(true) || (marked.is_none() && seen_before),
            base,
            crm_modified: crm
                .and_then(|contact| contact.modified)
                .or(before.and_then(|link| link.crm_modified)),
            change_key: mailbox
                .map(|contact| contact.change_key.clone())
                .or(before.map(|link| link.change_key.clone()))?,
            key: if created {
                work.intent.clone()
            } else {
                before.and_then(|l| l.key.clone())
            },
            told: Vec::new(),
        })
    }

    /// What people have not been told about this pair yet, and all that they have been told then.
    fn untold(&self, work: &Work, before: Option<&Link>) -> (Vec<Finding>, Vec<String>) {
        let (Deed::Agree { merged, .. }
        | Deed::CreateInCrm(merged)
        | Deed::CreateInMailbox(merged)) = &work.decision.deed
        else {
            let told = before.map(|link| link.told.clone());
            return (Vec::new(), told.unwrap_or_default());
        };
        let told = before.map(|link| link.told.as_slice()).unwrap_or_default();
        let name = work.pair.name();
        let misfits = self.crm.misfits(&work.pair.crm_fields(), &merged.crm);
        let misfits = misfits.into_iter().map(|(field, problem)| Finding {
            severity: Severity::Warning,
            code: "crm-cannot-hold".to_owned(),
            message: problem.message,
            remedy: problem.remedy,
            contact: None,
            field: Some(field),
        });
        let all: BTreeMap<String, Finding> = merged
            .findings
            .iter()
            .cloned()
            .chain(misfits)
            .map(|finding| (token(&finding), finding))
            .collect();
        let names: Vec<String> = all.keys().cloned().collect();
        let findings = all
            .into_iter()
            .filter(|(token, _)| !told.contains(token))
            .map(|(_, finding)| finding)
            .chain(merged.conflicts.iter().map(conflict_finding))
            .map(|finding| Finding {
                contact: Some(name.clone()),
                ..finding
            })
            .collect();
        (findings, names)
    }
}

fn conflict_finding(conflict: &Conflict) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: "conflict".to_owned(),
        message: format!(
            "changed on both sides: `{}` stays, `{}` is kept in the journal",
            conflict.kept.as_deref().unwrap_or("(empty)"),
            conflict.lost.as_deref().unwrap_or("(empty)"),
        ),
        remedy: None,
        contact: None,
        field: Some(conflict.field),
    }
}

/// Tells one finding from another without keeping its text.
fn token(finding: &Finding) -> String {
    let text = format!("{}|{:?}|{}", finding.code, finding.field, finding.message);
    format!(
        "{}:{:016x}",
        finding.code,
        crate::contact::digest(text.as_bytes())
    )
}

fn difference(before: Option<&Link>, after: Option<&Link>, standing: Standing) -> i32 {
    let counts =
        |link: Option<&Link>| i32::from(link.is_some_and(|link| link.standing == standing));
    counts(after) - counts(before)
}
