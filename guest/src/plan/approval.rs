//! What the guard asks a person, and what the answer makes of it (contract, section 7.1).
//!
//! A list has one [`Entry`] per pair and kind of destruction. An answer is about exactly that list:
//! what is approved must still be as it was listed, and what is rejected is brought back instead.
//! Both are said of single entries, as [`Judgement`]s, so that what a pass could not get to keeps
//! its answer.

use serde::{Deserialize, Serialize};

use super::guard::Destruction;
use super::{Decision, Deed, Half, Pair, Rules};
use crate::contact::{CrmFields, Field, FieldSet, View};
use crate::links::Link;
use crate::mapping::{self, Shown};
use crate::report::{Action, Change, ContactName, Side};

/// One thing that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What would be destroyed.
    pub destruction: Destruction,
    /// By what: taking a pair apart either detaches it or takes its marker away.
    pub action: Action,
    /// Whose.
    pub contact: ContactName,
    /// What would be lost, as people are shown it.
    pub changes: Vec<Change>,
    /// Why: a code.
    pub reason: String,
    /// Tells whether the same would still be lost for the same reason.
    pub digest: String,
}

/// What a person says to a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Carry it out.
    Approve,
    /// Bring back what vanished.
    Reject,
}

/// What a person said of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Of what.
    pub destruction: Destruction,
    /// What.
    pub verdict: Verdict,
    /// [`Entry::digest`] as it was listed.
    pub digest: String,
}

/// What people said of the pair of one task.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// Entries that a person approved, and their digests.
    pub approved: Vec<(Destruction, String)>,
    /// Kinds of destruction that a person rejected.
    pub rejected: Vec<Destruction>,
}

impl Judged {
    /// Whether a person approved this; the guard counts it no more.
    pub fn approves(&self, destruction: Destruction) -> bool {
        self.approved.iter().any(|(kind, _)| *kind == destruction)
    }
}

/// The reason of whatever brings something back that a person wants to keep.
const REJECTED: &str = "rejected";

/// The reason of a pair that a person wants back, and that no service can bring back.
pub const NOT_RESTORABLE: &str = "rejected-not-restorable";

/// As [`super::decide`], but what a person rejected is brought back instead.
pub fn decide(pair: &Pair, rules: &Rules, rejected: &[Destruction]) -> Decision {
    let decision = super::decide(pair, rules);
    if rejected.is_empty() {
        return decision;
    }
    let destroyed = super::destructions(pair, &decision, rules);
    let undone = |kind: &Destruction| destroyed.contains(kind) && rejected.contains(kind);
    match &decision.deed {
        Deed::DeleteInCrm | Deed::Unmark if destroyed.iter().any(undone) => {
            super::create_in_mailbox(pair, rules, REJECTED)
        }
        Deed::DeleteInMailbox | Deed::Detach if destroyed.iter().any(undone) => {
            bring_back(pair, rules, rejected)
        }
        Deed::Agree { .. } => {
            let fields: FieldSet = destroyed
                .iter()
                .filter(|kind| undone(kind))
                .filter_map(|kind| kind.field())
                .collect();
            fill_again(pair, rules, &fields).unwrap_or(decision)
        }
        _ => decision,
    }
}

/// As [`super::destructions`]. What a person rejected does not happen after a restoring either: the
/// merge that follows it is decided by what they said.
pub fn destructions(
    pair: &Pair,
    decision: &Decision,
    rules: &Rules,
    rejected: &[Destruction],
) -> Vec<Destruction> {
    let mut destroyed = super::destructions(pair, decision, rules);
    if decision.deed == Deed::RestoreInCrm {
        destroyed.retain(|kind| !rejected.contains(kind));
    }
    destroyed
}

/// What the CRM no longer has, or no longer marks.
fn bring_back(pair: &Pair, rules: &Rules, rejected: &[Destruction]) -> Decision {
    match &pair.crm {
        Half::Present(_) => {
            let agreed = super::agree(
                super::merged(pair, pair.link.as_ref(), rules),
                true,
                REJECTED,
            );
            let mut emptied = super::destructions(pair, &agreed, rules);
            emptied.retain(|kind| rejected.contains(kind));
            let fields = emptied.iter().filter_map(|kind| kind.field()).collect();
            match without(pair, &fields).filter(|_| !emptied.is_empty()) {
                Some(link) => super::agree(super::merged(pair, Some(&link), rules), true, REJECTED),
                None => agreed,
            }
        }
        Half::Deleted => super::decision(Deed::RestoreInCrm, REJECTED),
        _ => super::decision(Deed::Hold(None), NOT_RESTORABLE),
    }
}

/// Fields that one side cleared, treated as in a first pair: what the other side holds fills them.
fn fill_again(pair: &Pair, rules: &Rules, fields: &FieldSet) -> Option<Decision> {
    if fields.is_empty() {
        return None;
    }
    let pair = Pair {
        link: Some(without(pair, fields)?),
        crm: pair.crm.clone(),
        mailbox: pair.mailbox.clone(),
    };
    let decision = super::decide(&pair, rules);
    Some(Decision {
        reason: REJECTED,
        ..decision
    })
}

/// A pair's link as if these fields had never taken part.
fn without(pair: &Pair, fields: &FieldSet) -> Option<Link> {
    let mut link = pair.link.clone()?;
    link.base.fields.retain(|field| !fields.contains(field));
    Some(link)
}

/// The entries of a list for what a decision would destroy, of these kinds.
pub fn entries(pair: &Pair, decision: &Decision, kinds: &[Destruction]) -> Vec<Entry> {
    let entry = |destruction: &Destruction| {
        let (action, changes, lost) = loss(pair, decision, *destruction);
        let contact = pair.name();
        let (crm_id, mailbox_id) = (&contact.crm_id, &contact.mailbox_id);
        let text = format!(
            "{destruction:?} {action:?} {} {crm_id:?} {mailbox_id:?} {lost:?}",
            decision.reason
        );
        Entry {
            destruction: *destruction,
            action,
            contact,
            changes,
            reason: decision.reason.to_owned(),
            digest: format!("{:016x}", crate::contact::digest(text.as_bytes())),
        }
    };
    kinds.iter().map(entry).collect()
}

/// Names exactly this list, in whatever order.
pub fn token(entries: &[Entry]) -> String {
    let mut digests: Vec<&str> = entries.iter().map(|entry| entry.digest.as_str()).collect();
    digests.sort_unstable();
    format!(
        "{:016x}",
        crate::contact::digest(digests.concat().as_bytes())
    )
}

/// Whether a listed destruction has come about since: by a pass that broke off, or by a person.
pub fn has_come_about(pair: &Pair, destruction: Destruction) -> bool {
    match destruction {
        Destruction::Deletion(_) | Destruction::Detaching => {
            !pair.link.as_ref().is_some_and(Link::is_linked)
        }
        Destruction::Emptying(Side::Crm, field) => pair.crm_fields().shown(field).is_empty(),
        Destruction::Emptying(Side::Mailbox, field) => pair.view().shown(field).is_empty(),
    }
}

/// By what something would be lost, what people are shown of it, and the whole of it.
fn loss(
    pair: &Pair,
    decision: &Decision,
    destruction: Destruction,
) -> (Action, Vec<Change>, Vec<Vec<String>>) {
    match destruction {
        Destruction::Deletion(Side::Crm) => {
            let fields = pair.crm_fields();
            let changes = mapping::changes(fields, &CrmFields::EMPTY);
            (Action::Delete, changes, whole(fields))
        }
        Destruction::Deletion(Side::Mailbox) => {
            let view = pair.view();
            let changes = mapping::changes(view, &View::EMPTY);
            (Action::Delete, changes, whole(view))
        }
        Destruction::Detaching if matches!(decision.deed, Deed::Unmark) => {
            (Action::Unmark, Vec::new(), Vec::new())
        }
        Destruction::Detaching => (Action::Detach, Vec::new(), Vec::new()),
        Destruction::Emptying(side, field) => {
            let (mut changes, lost) = match side {
                Side::Crm => {
                    let fields = pair.crm_fields();
                    let changes = mapping::changes(fields, &CrmFields::EMPTY);
                    (changes, fields.shown(field))
                }
                Side::Mailbox => {
                    let view = pair.view();
                    let changes = mapping::changes(view, &View::EMPTY);
                    (changes, view.shown(field))
                }
            };
            changes.retain(|change| change.field == field);
            (Action::Update, changes, vec![lost])
        }
    }
}

fn whole(record: &impl Shown) -> Vec<Vec<String>> {
    Field::ALL
        .into_iter()
        .map(|field| record.shown(field))
        .collect()
}
