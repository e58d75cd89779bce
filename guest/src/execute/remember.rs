//! What a batch comes to: outcomes, and the writes that remember them.

use super::{Batch, Done, End, Executor, OldMarker, Outcome, Work};
use crate::contact::{CrmFields, Field, FieldSet};
use crate::crm::Crm;
use crate::links::{Link, Source, Standing};
use crate::mailbox::Mailbox;
use crate::mapping::{self, Base, Shown};
use crate::mutation::{self, Mutant};
use crate::outside::Write;
use crate::plan::guard::Destruction;
use crate::plan::merge::{Conflict, Merged};
use crate::plan::{self, Decision, Deed, Half, PackedPair, Pair};
use crate::report::{Finding, Severity, Side};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

impl<C: Crm, M: Mailbox> Executor<'_, C, M> {
    pub(super) fn remember(&self, mut works: Vec<Work>, number: &mut u32) -> Batch {
        let mut batch = Batch {
            outcomes: Vec::with_capacity(works.len()),
            halves: Vec::with_capacity(works.len()),
            writes: self.journalled(&mut works, number),
        };
        for work in works {
            let (outcome, half) = self.conclude(work, &mut batch.writes);
            batch.outcomes.push(outcome);
            batch.halves.push(half);
        }
        batch
    }

    fn conclude(&self, work: Work, writes: &mut Vec<Write>) -> (Outcome, Option<Link>) {
        let is_clean = work.was_restored() && work.old_marker != OldMarker::Left;
        if let (true, Some(id)) = (is_clean, work.pair.crm_id()) {
            // Whoever deletes it next is another cause.
            writes.push(self.memory.set_deletion(&id, None));
        }
        if work.was_created() {
            // Whatever came after the create: the new contact must be known, or it would be created
            // twice. A marker that could not be set is found missing and set by a later pass.
            return (self.conclude_done(work, writes), None);
        }
        self.forget_unused_cause(&work, writes);
        match work.end {
            None => match work.decision.deed {
                Deed::Hold(problem) => {
                    let reason = work.decision.reason;
                    (Outcome::PutOff { reason, problem }, None)
                }
                _ => (self.conclude_done(work, writes), None),
            },
            Some(ref end) => {
                let half = self.remember_half(&work, writes);
                if !matches!(end, End::PutOff { reason, .. } if *reason == "answer-lost") {
                    self.close_unsent_intent(&work, writes);
                }
                let outcome = match end {
                    End::Stale => Outcome::PutOff {
                        reason: "edited-meanwhile",
                        problem: None,
                    },
                    End::PutOff { reason, problem } => Outcome::PutOff {
                        reason,
                        problem: problem.clone(),
                    },
                    End::NotDone(error) => Outcome::NotDone(error.clone()),
                };
                (outcome, half)
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
            writes.extend(self.memory.close_intent(key));
        }
    }

    fn conclude_done(&self, work: Work, writes: &mut Vec<Write>) -> Outcome {
        writes.extend(self.times_written(&work));
        let before = work.pair.link.as_ref();
        let stored = work.stored.as_ref();
        let mut after = self.link_after(&work, before);
        let (mut findings, told) = self.untold(&work, before);
        findings.extend(not_back(&work, before));
        let mut destructions = if work.end.is_none() {
            self.destructions(&work.pair, &work.decision, &work.task)
        } else {
            Vec::new()
        };
        destructions.retain(|kind| !work.task.judged.approves(*kind));
        let conflicts = match &work.decision.deed {
            Deed::Agree { merged, .. } => u32::try_from(merged.conflicts.len()).unwrap_or(u32::MAX),
            _ => 0,
        };
        let follow_up = follow_up(&work);
        if let (Some(before), Deed::CreateInCrm(_)) = (before, &work.decision.deed) {
            // The record that it was is gone for good, and nobody asks any more who took it away.
            writes.extend(self.memory.delete_link(before));
            writes.push(self.memory.set_deletion(&before.crm_id, None));
        }
        if let Some(link) = &mut after {
            link.told = told;
            if mutation::is_on(Mutant::TombstoneForgotten) && link.is_tombstone() {
                writes.extend(self.memory.delete_link(link));
            } else {
                writes.extend(self.memory.set_link(stored, link));
            }
        }
        if work.was_created() {
            self.close_unsent_intent(&work, writes);
            if let (Deed::CreateInCrm(_), Some(link)) = (&work.decision.deed, &after) {
                writes.push(self.memory.set_created(&link.crm_id, Some(self.now)));
            }
        }
        let is_back =
            stored.is_some_and(Link::is_tombstone) && after.as_ref().is_some_and(Link::is_linked);
        if let (true, Some(link)) = (is_back, &after) {
            writes.push(self.memory.set_deletion(&link.crm_id, None));
        }
        if let (true, Some(id)) = (
            work.was_restored() || work.old_marker == OldMarker::Taken,
            work.pair.crm_id(),
        ) {
            writes.push(self.memory.set_deletion(&id, None));
            writes.push(self.memory.set_pending(&Source::Crm(id), None));
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
            leaves_rest: work.leaves_rest,
            links: difference(stored, after.as_ref(), Standing::Linked),
            detached: difference(stored, after.as_ref(), Standing::Detached),
            follow_up,
        }))
    }

    /// The link as it is to be remembered; `None` where there is none. A mailbox contact that was
    /// found under a new id is remembered by that: under it, it stays or comes back.
    fn link_after(&self, work: &Work, before: Option<&Link>) -> Option<Link> {
        let gone = Standing::Tombstone { at: self.now };
        match &work.decision.deed {
            Deed::CreateInCrm(_) if creates_without_partner(work) => None,
            Deed::Agree { merged, .. }
            | Deed::CreateInCrm(merged)
            | Deed::CreateInMailbox(merged) => {
                Self::agreed(work, before, merged, &self.fields_of(&work.task))
            }
            Deed::DeleteInCrm | Deed::DeleteInMailbox | Deed::Unmark | Deed::Forget => {
                before.map(|link| Link {
                    standing: gone,
                    marker_seen: false,
                    mailbox_id: work.pair.mailbox_id().unwrap_or(link.mailbox_id.clone()),
                    ..link.clone()
                })
            }
            Deed::Detach => before.map(|link| Link {
                standing: Standing::Detached,
                marker_seen: false,
                mailbox_id: work.pair.mailbox_id().unwrap_or(link.mailbox_id.clone()),
                ..link.clone()
            }),
            Deed::Rest | Deed::Hold(_) | Deed::RestoreInCrm | Deed::PutBack { .. } => {
                before.cloned()
            }
        }
    }

    /// The link of a pair whose sides agree in these fields.
    pub(super) fn agreed(
        work: &Work,
        before: Option<&Link>,
        merged: &Merged,
        fields: &FieldSet,
    ) -> Option<Link> {
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
        let is_as_sent = mutation::is_on(Mutant::BaseAsSent);
        let crm_fields = match (&work.crm, crm, before) {
            (_, Some(_), _) if is_as_sent => Cow::Borrowed(&merged.crm),
            (Some(read), _, _) => {
                Cow::Owned(as_sent(work.pair.crm_fields(), &merged.crm, &read.fields))
            }
            (None, Some(contact), _) => Cow::Borrowed(&contact.fields),
            (None, None, link) => Cow::Borrowed(&link?.base.crm),
        };
        let view = match (mailbox, before) {
            (Some(_), _) if is_as_sent => &merged.view,
            (Some(contact), _) => &contact.view,
            (None, link) => &link?.base.view,
        };
        let mut base = mapping::remember(&crm_fields, view, &merged.slots, fields);
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
            stable_id: match mailbox {
                Some(contact) => contact.stable_id.clone(),
                None => before.and_then(|link| link.stable_id.clone()),
            },
            unfinished: before.and_then(|link| work.outlives(link)),
            told: Vec::new(),
        })
    }

    /// Values that a side took without effect, or not as they were written. They are not written
    /// again until a side changes: the base is what was read back.
    fn not_kept(&self, work: &Work, merged: &Merged) -> Vec<Finding> {
        let region = self.rules.region;
        let base = Base {
            crm: merged.crm.clone(),
            view: merged.view.clone(),
            slots: merged.slots.clone(),
            fields: self.fields_of(&work.task),
        };
        let mut findings = Vec::new();
        if let Some(contact) = &work.crm {
            let fields = mapping::changed_in_crm(&base, &contact.fields, &base.fields, region);
            findings.extend(not_kept(Side::Crm, &fields, &merged.crm, &contact.fields));
        }
        if let Some(contact) = &work.mailbox {
            let fields = mapping::changed_in_mailbox(&base, &contact.view, &base.fields, region);
            findings.extend(not_kept(
                Side::Mailbox,
                &fields,
                &merged.view,
                &contact.view,
            ));
        }
        findings
    }

    /// What people have not been told about this pair yet, and all that they have been told then.
    fn untold(&self, work: &Work, before: Option<&Link>) -> (Vec<Finding>, Vec<String>) {
        let before = before.map(|link| link.told.as_slice()).unwrap_or_default();
        let Some(merged) = merged(&work.decision.deed) else {
            return (Vec::new(), before.to_vec());
        };
        let mut all = to_be_told(self.crm, &work.pair, merged);
        all.extend(by_token(self.not_kept(work, merged)));
        let told = all.keys().cloned().collect();
        (news(all, before, merged, &work.pair), told)
    }
}

/// What carrying out a decision would tell people: what stays as it is on one side, conflicts, and
/// nothing that they have been told before.
pub fn foretold(crm: &impl Crm, pair: &Pair, decision: &Decision) -> Vec<Finding> {
    let told = pair.link.as_ref().map(|link| link.told.as_slice());
    merged(&decision.deed).map_or_else(Vec::new, |merged| {
        let all = to_be_told(crm, pair, merged);
        news(all, told.unwrap_or_default(), merged, pair)
    })
}

fn merged(deed: &Deed) -> Option<&Merged> {
    match deed {
        Deed::Agree { merged, .. } | Deed::CreateInCrm(merged) | Deed::CreateInMailbox(merged) => {
            Some(merged)
        }
        _ => None,
    }
}

/// All that is to be said about what both sides are to hold, whether it is news or not.
fn to_be_told(crm: &impl Crm, pair: &Pair, merged: &Merged) -> BTreeMap<String, Finding> {
    let misfits = crm.misfits(pair.crm_fields(), &merged.crm);
    let misfits = misfits.into_iter().map(|(field, problem)| Finding {
        severity: Severity::Warning,
        code: "crm-cannot-hold".to_owned(),
        message: problem.message,
        remedy: problem.remedy,
        contact: None,
        field: Some(field),
    });
    by_token(merged.findings.iter().cloned().chain(misfits))
}

fn by_token(findings: impl IntoIterator<Item = Finding>) -> BTreeMap<String, Finding> {
    let findings = findings.into_iter();
    findings.map(|finding| (token(&finding), finding)).collect()
}

/// What people have not been told yet, and conflicts, which are news each time.
fn news(
    all: BTreeMap<String, Finding>,
    told: &[String],
    merged: &Merged,
    pair: &Pair,
) -> Vec<Finding> {
    all.into_iter()
        .filter(|(token, _)| !told.contains(token))
        .map(|(_, finding)| finding)
        .chain(merged.conflicts.iter().map(conflict_finding))
        .map(|finding| Finding {
            contact: Some(pair.name()),
            ..finding
        })
        .collect()
}

/// What a side made of a value, where it took the write and holds something else.
fn not_kept<R: Shown + PartialEq>(
    side: Side,
    fields: &FieldSet,
    wanted: &R,
    held: &R,
) -> impl Iterator<Item = Finding> {
    let name = match side {
        Side::Crm => "the CRM",
        Side::Mailbox => "the mailbox",
    };
    let changes = mapping::changes(wanted, held);
    let changes = changes
        .into_iter()
        .filter(|change| fields.contains(&change.field))
        .collect::<Vec<_>>();
    changes.into_iter().map(move |change| Finding {
        severity: Severity::Warning,
        code: "not-kept".to_owned(),
        message: format!(
            "{name} took `{}`, and holds `{}` instead",
            change.before.as_deref().unwrap_or("(empty)"),
            change.after.as_deref().unwrap_or("(empty)"),
        ),
        remedy: Some("the other side keeps its value; write a shorter or another one".to_owned()),
        contact: None,
        field: Some(change.field),
    })
}

/// Created from the journal, while there is no mailbox contact to pair it with.
fn creates_without_partner(work: &Work) -> bool {
    work.wish.is_some() && plan::restore::is_gone_from_mailbox(&work.pair)
}

/// The mailbox's copy of a contact that was created from the journal.
fn follow_up(work: &Work) -> Option<PackedPair> {
    let contact = work.crm.as_ref().filter(|_| {
        matches!(work.decision.deed, Deed::CreateInCrm(_)) && creates_without_partner(work)
    })?;
    let mut contact = contact.clone();
    contact.marked = contact.marked.or(work.marked.then_some(true));
    let pair = Pair {
        link: None,
        crm: Half::Present(contact),
        mailbox: Half::Absent,
    };
    Some(pair.pack())
}

/// A mailbox contact that was deleted and is created again from the CRM's record: what could not
/// come back (contract, section 3).
fn not_back(work: &Work, before: Option<&Link>) -> Option<Finding> {
    let had_partner = before.is_some_and(Link::is_linked);
    let is_back = matches!(work.decision.deed, Deed::CreateInMailbox(_)) && had_partner;
    is_back.then(|| Finding {
        severity: Severity::Note,
        code: "created-again-in-mailbox".to_owned(),
        message: "deleted in the mailbox, but edited in the CRM: created again from the CRM's \
                  record, without what only the mailbox held (notes, categories, the picture, \
                  whatever the CRM has no field for)"
            .to_owned(),
        remedy: Some(
            "the deleted contact is in Deleted Items: take from there what is missing".to_owned(),
        ),
        contact: Some(work.pair.name()),
        field: None,
    })
}

/// What was written is remembered as it was read back, and what was not, as it was decided upon: an
/// edit that came in between is news to the next pass.
fn as_sent(before: &CrmFields, sent: &CrmFields, read_back: &CrmFields) -> CrmFields {
    fn either<T: Clone + PartialEq>(before: &T, sent: &T, read_back: &T) -> T {
        let is_sent = before != sent;
        if is_sent { read_back } else { before }.clone()
    }
    let all = [before, sent, read_back];
    let names: BTreeSet<Field> = all
        .iter()
        .flat_map(|fields| fields.texts.keys().copied())
        .collect();
    let texts = names.into_iter().filter_map(|field| {
        let [before, sent, read_back] = all.map(|fields| fields.texts.get(&field).cloned());
        Some((field, either(&before, &sent, &read_back)?))
    });
    CrmFields {
        texts: texts.collect(),
        phones: either(&before.phones, &sent.phones, &read_back.phones),
        emails: either(&before.emails, &sent.emails, &read_back.emails),
        addresses: either(&before.addresses, &sent.addresses, &read_back.addresses),
        birthday: either(&before.birthday, &sent.birthday, &read_back.birthday),
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

/// How many pairs of this standing there are more, or fewer.
pub fn difference(before: Option<&Link>, after: Option<&Link>, standing: Standing) -> i32 {
    let counts =
        |link: Option<&Link>| i32::from(link.is_some_and(|link| link.standing == standing));
    counts(after) - counts(before)
}
