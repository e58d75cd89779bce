//! Where a contact stands and why, in sentences.

use super::Standing;
use super::subject::{Known, Likeness};
use crate::contact::{Field, FieldSet};
use crate::job::{OnUnmark, Policy};
use crate::links::{Answer, Standing as LinkStanding};
use crate::outside::Timestamp;
use crate::plan::matching::is_question;
use crate::plan::{Decision, Deed, Half};
use crate::report::{Finding, Severity};

/// Where a contact stands: what is there now first, then what earlier passes noted.
pub(super) fn standing(
    known: &Known,
    decision: &Decision,
    likeness: &Likeness,
    now: Timestamp,
) -> Standing {
    let is_new = known.pair.link.is_none();
    if is_new && matches!(known.pair.mailbox, Half::Astray) {
        return Standing::Gone;
    }
    if known.is_damaged || matches!(decision.deed, Deed::Hold(_)) {
        return Standing::Held;
    }
    let reason = known.pending.as_ref().map(|row| row.reason.as_str());
    let is_noted = is_new && matches!(reason, Some("open-intent" | "answer-lost"));
    if known.intent.is_some() || is_noted {
        return Standing::OpenIntent;
    }
    match reason {
        Some("awaiting-approval") => return Standing::AwaitingApproval,
        Some(reason) if is_question(reason) && known.answer.is_none() => {
            return Standing::Ambiguous;
        }
        Some(_) if known.retry_at(now).is_some() && is_refusal(known, decision) => {
            return Standing::Quarantined;
        }
        _ => {}
    }
    match known.pair.link.as_ref().map(|link| link.standing) {
        Some(LinkStanding::Linked) => Standing::Linked,
        Some(LinkStanding::Detached) => Standing::Detached,
        Some(LinkStanding::Tombstone { .. }) => Standing::Tombstone,
        None if likeness.question.is_some() => Standing::Ambiguous,
        None => match (&known.pair.crm, &known.pair.mailbox) {
            (Half::Present(contact), _) if contact.marked == Some(true) => Standing::New,
            (Half::Present(_), _) => Standing::NotMarked,
            (_, Half::Present(_)) => Standing::New,
            _ => Standing::Gone,
        },
    }
}

/// Something is still to be done, and it was refused before.
fn is_refusal(known: &Known, decision: &Decision) -> bool {
    let reason = known.pending.as_ref().map(|row| row.reason.as_str());
    !matches!(decision.deed, Deed::Rest)
        && !matches!(
            reason,
            Some("moved-in-mailbox" | "vanished-in-crm" | "cannot-be-restored")
        )
}

/// Why it stands there, and what to do.
pub(super) fn why(
    standing: Standing,
    known: &Known,
    decision: &Decision,
    likeness: &Likeness,
    policy: &Policy,
) -> Finding {
    match standing {
        Standing::Linked => linked(known, decision),
        Standing::Detached => detached(known, decision),
        Standing::Tombstone => tombstone(decision),
        Standing::New => new(known, likeness),
        Standing::NotMarked => not_marked(known, policy),
        Standing::Ambiguous => ambiguous(known, likeness),
        Standing::Held => held(known, decision),
        Standing::AwaitingApproval => warning(
            "awaiting-approval",
            "The guard holds back what would be destroyed here: more than usual was to be deleted, \
             detached or emptied in one day. Edits of this contact go on meanwhile.",
            "`contact-sync approve` shows the list, and how to approve or reject it; whatever is no \
             longer as it was listed drops out by itself.",
        ),
        Standing::OpenIntent => warning(
            "open-intent",
            "A copy of this contact was being created when the answer was lost. Until it is known \
             whether it happened, nothing is created or paired here, so that nobody is created \
             twice.",
            "Wait: a pass settles it, at the latest ten minutes after the attempt.",
        ),
        Standing::Quarantined => quarantined(known),
        Standing::Gone => gone(known),
    }
}

/// Fields that take no part, are locked, or never leave the CRM.
pub(super) fn about_fields(known: &Known, fields: &FieldSet) -> Vec<Finding> {
    let mut findings = Vec::new();
    for field in Field::ALL {
        if !fields.contains(&field) {
            findings.push(Finding {
                field: Some(field),
                ..note(
                    "field-takes-no-part",
                    "This field has no counterpart in the CRM's schema: it is not read, compared or \
                     written on either side.",
                    "Name it in the configuration, under `fields`, if there is one.",
                )
            });
        }
    }
    if let Half::Present(contact) = &known.pair.crm {
        for field in &contact.locked {
            findings.push(Finding {
                field: Some(*field),
                ..note(
                    "locked-field",
                    "This field is locked in the CRM: its value goes to the mailbox, and edits made \
                     there stay there.",
                    "Unlock it in the CRM to let edits come back.",
                )
            });
        }
    }
    findings.push(note(
        "never-synced",
        "Salutation, tags and all other fields of the CRM stay in the CRM. Notes are never read, \
         compared or written in the mailbox.",
        "",
    ));
    findings
}

fn linked(known: &Known, decision: &Decision) -> Finding {
    match &decision.deed {
        Deed::Rest => note(
            "in-step",
            "Both copies are in step: nothing has been edited since they last agreed.",
            "",
        ),
        Deed::Agree { .. } => note(
            "in-step-soon",
            "The two copies are a pair. The next pass brings them into step; what it does is \
             listed.",
            "Start a sync, or wait for the next one.",
        ),
        Deed::RestoreInCrm | Deed::CreateInMailbox(_) => note(
            decision.reason,
            "Deleted on one side and edited on the other: the edit wins, and the next pass brings \
             the deleted copy back.",
            "Delete it on the other side as well if it is to go.",
        ),
        Deed::Detach => warning(
            decision.reason,
            "The pair is about to be taken apart: both copies stay, and go their own way.",
            "Set the marker again in the CRM to go on syncing it.",
        ),
        Deed::Forget => note(
            decision.reason,
            "Both copies are gone: the next pass forgets the pair.",
            "",
        ),
        _ => deletion(known, decision),
    }
}

fn deletion(known: &Known, decision: &Decision) -> Finding {
    let (message, remedy) = match (&decision.deed, &known.pair.crm) {
        (Deed::DeleteInMailbox, Half::Deleted | Half::Astray) => (
            "Deleted in the CRM: the next pass deletes the mailbox contact, into its own trash.",
            "Restore it from the CRM's trash before the next pass to keep it.",
        ),
        (Deed::DeleteInMailbox, _) => (
            "The marker was taken away in the CRM: the next pass deletes the mailbox contact, into \
             its own trash.",
            "Set the marker again before the next pass to keep it.",
        ),
        (Deed::Unmark, _) => (
            "Deleted in the mailbox: the next pass takes the marker off the CRM contact, which \
             stays.",
            "Move it back from Deleted Items before the next pass to keep it.",
        ),
        _ => (
            "Deleted in the mailbox: the next pass deletes the CRM contact, into the CRM's trash.",
            "Move it back from Deleted Items before the next pass to keep it.",
        ),
    };
    warning(decision.reason, message, remedy)
}

fn detached(known: &Known, decision: &Decision) -> Finding {
    match &decision.deed {
        Deed::Rest => match &known.pair.crm {
            Half::Present(_) => note(
                "detached",
                "The marker was taken away in the CRM: both copies stay, and go their own way. The \
                 mailbox contact is not imported again.",
                "Set the marker again in the CRM to sync them once more.",
            ),
            _ => note(
                "detached",
                "The CRM contact is gone, and the mailbox contact was kept: it is not imported \
                 again.",
                "Mark a CRM contact of the same person for this mailbox to sync it once more.",
            ),
        },
        Deed::Forget => note(
            decision.reason,
            "The pair was at rest, and the mailbox contact is gone: the next pass forgets it.",
            "",
        ),
        _ => note(
            decision.reason,
            "The marker was set again: the next pass makes the two a pair once more, and removes \
             nothing by it.",
            "Start a sync, or wait for the next one.",
        ),
    }
}

fn tombstone(decision: &Decision) -> Finding {
    if matches!(decision.deed, Deed::Rest) {
        return note(
            "tombstone",
            "The pair was forgotten after a copy was deleted or its marker was taken away. It is \
             remembered only so that it does not come back by mistake.",
            "Restore the contact from a trash, or mark it in the CRM, to have it back.",
        );
    }
    note(
        decision.reason,
        "The pair was forgotten, and one copy is back: the next pass makes it whole again.",
        "Start a sync, or wait for the next one.",
    )
}

fn new(known: &Known, likeness: &Likeness) -> Finding {
    if matches!(known.pair.crm, Half::Present(_)) {
        return note(
            "marker-set",
            "It carries this mailbox's marker, and no pass has exported it yet. The next one looks \
             for the same person in the mailbox first, and creates the contact where there is \
             none.",
            "Start a sync, or wait for the next one.",
        );
    }
    match (&known.answer, &likeness.pair) {
        (Some(Answer::Same(id)), _) => note(
            "paired-by-person",
            &format!(
                "Somebody has said that this is the CRM contact `{id}`: the next pass pairs \
                      them."
            ),
            "Start a sync, or wait for the next one.",
        ),
        (_, Some((id, label))) => note(
            "same-person",
            &format!(
                "No pass has dealt with it yet. The next one takes it for the same person as \
                      `{label}` ({id}) in the CRM, and pairs them."
            ),
            "Start a sync, or wait for the next one.",
        ),
        _ if likeness.former_self.is_some() => note(
            "back-in-folder",
            "It equals, in all fields, a contact that was deleted before. The next pass looks for \
             that one in the CRM's trash and brings it back; where it is gone for good, this one \
             is created in the CRM.",
            "Start a sync, or wait for the next one.",
        ),
        _ => note(
            "new-in-mailbox",
            "No pass has dealt with it yet. Nobody in the CRM resembles it: the next pass creates \
             it there, with this mailbox's marker.",
            "Start a sync, or wait for the next one.",
        ),
    }
}

fn not_marked(known: &Known, policy: &Policy) -> Finding {
    let is_known = matches!(&known.pair.crm, Half::Present(contact) if contact.marked.is_some());
    if !is_known {
        return warning(
            "marker-unknown",
            "Whether this CRM contact carries the mailbox's marker cannot be read just now.",
            "Try again later; `check` says whether markers can be read at all.",
        );
    }
    let remedy = if policy.on_unmark == OnUnmark::DeleteFromMailbox {
        "Set this mailbox's marker on the contact in the CRM to export it. Taking it away later \
         deletes the copy in the mailbox."
    } else {
        "Set this mailbox's marker on the contact in the CRM to export it."
    };
    note(
        "not-marked",
        "It is in the CRM, but does not carry this mailbox's marker: it takes no part here.",
        remedy,
    )
}

fn ambiguous(known: &Known, likeness: &Likeness) -> Finding {
    let pending = known.pending.as_ref().map(|row| row.reason.as_str());
    let code = likeness.question.as_ref().map(|(reason, _)| reason.code());
    let others = likeness
        .question
        .as_ref()
        .map(|(_, others)| others.join("; "));
    let message = match others {
        Some(others) => format!(
            "It may be the same person as: {others}. Nothing is created or paired until somebody \
             says who it is."
        ),
        None => "It may be the same person as somebody on the other side. Nothing is created or \
                 paired until somebody says who it is; a preview names the candidates."
            .to_owned(),
    };
    warning(
        pending.or(code).unwrap_or("ambiguous-match"),
        &message,
        "Say who it is with `contact-sync pair CRM-CONTACT MAILBOX-CONTACT`, or that it is somebody \
         new with `contact-sync pair --as-new MAILBOX-CONTACT`.",
    )
}

fn held(known: &Known, decision: &Decision) -> Finding {
    if known.is_damaged {
        return warning(
            "link-unreadable",
            "What was remembered of this contact cannot be read. Nothing of it is deleted; a full \
             read matches it anew.",
            "Start a sync: it reads both sides wholly.",
        );
    }
    if let Deed::Hold(Some(problem)) = &decision.deed {
        let remedy = problem
            .remedy
            .as_deref()
            .unwrap_or("Correct the contact on that side, or wait: every pass tries again.");
        return error(decision.reason, &problem.message, remedy);
    }
    let (message, remedy) = match decision.reason {
        "moved-in-mailbox" => (
            "The contact was moved to another folder of the mailbox: both copies stay as they are.",
            "Move it back into the contacts folder to go on syncing it, or delete it there.",
        ),
        "vanished-in-crm" => (
            "The CRM no longer shows this contact, and its trash does not hold it: it was purged, \
             or it is hidden from the API user.",
            "Give the API user access; if it is gone for good, delete the mailbox contact.",
        ),
        _ => (
            "It is in the mailbox, but gone from the CRM for good: nothing is rebuilt from the \
             mailbox's poorer copy.",
            "Create the contact in the CRM, or delete it in the mailbox.",
        ),
    };
    warning(decision.reason, message, remedy)
}

fn quarantined(known: &Known) -> Finding {
    let (reason, attempts) = known
        .pending
        .as_ref()
        .map_or(("refused", 0), |row| (row.reason.as_str(), row.attempts));
    let times = if attempts == 1 { "once" } else { "repeatedly" };
    error(
        reason,
        &format!(
            "What is to be written was refused {times}. It is set aside for growing pauses, at most \
             a day long, so that it stops no other contact."
        ),
        "Correct the contact on either side: an edit is tried at once. A preview says what is to be \
         written.",
    )
}

fn gone(known: &Known) -> Finding {
    if matches!(known.pair.mailbox, Half::Astray) {
        return note(
            "not-in-folder",
            "It is in another folder of the mailbox: only the default contacts folder is synced.",
            "Move it into the contacts folder to sync it.",
        );
    }
    note(
        "gone",
        "It was noted by an earlier pass and is no longer there.",
        "",
    )
}

fn note(code: &str, message: &str, remedy: &str) -> Finding {
    finding(Severity::Note, code, message, remedy)
}

fn warning(code: &str, message: &str, remedy: &str) -> Finding {
    finding(Severity::Warning, code, message, remedy)
}

fn error(code: &str, message: &str, remedy: &str) -> Finding {
    finding(Severity::Error, code, message, remedy)
}

fn finding(severity: Severity, code: &str, message: &str, remedy: &str) -> Finding {
    Finding {
        severity,
        code: code.to_owned(),
        message: message.to_owned(),
        remedy: (!remedy.is_empty()).then(|| remedy.to_owned()),
        contact: None,
        field: None,
    }
}
