//! Pure: what a person's wish to get something back makes of one pair (contract, section 7.2).
//!
//! Nothing here deletes a contact or removes a value. A record comes back from its service's trash
//! first and is created only where it is not there; a value comes back where the record still holds
//! what the pass had put in its place. Findings:
//!
//! | code | meaning |
//! |---|---|
//! | `already-back` | nothing to do: it is there |
//! | `kept` | somebody has edited it since, or it cannot be written: as it is now, it stays |
//! | `added-by-pass` | values that only came stay |
//! | `cannot-come-back` | what a record that is created anew will not have |
//! | `partner-unknown` | the journal does not say which contact it was |
//! | `not-in-journal` | the journal does not hold the values |

use serde::{Deserialize, Serialize};

use super::merge::{self, Merged};
use super::{Decision, Deed, Half, Pair, Rules, agree, decision};
use crate::contact::{CrmFields, Field, FieldSet, MailboxContact, View};
use crate::journal::{Edit, JournalEntry, Record, Values};
use crate::links::Link;
use crate::mapping::put_back::{self, Back};
use crate::mapping::{self, Shown, SlotTable};
use crate::report::{Action, Finding, Operation, OperationState, Severity, Side};

/// What a person wants back of one contact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// The contact itself, with its marker. Else values of it.
    pub brings_back: bool,
    /// The CRM's record, as it was when it was deleted.
    pub crm: Option<CrmFields>,
    /// The mailbox's, likewise.
    pub mailbox: Option<View>,
    /// It was created from the journal before: never twice.
    pub is_used: bool,
    /// Values, newest first: the entry's id and the edit.
    pub edits: Vec<(String, Edit)>,
    /// The entries of the contact itself.
    pub entries: Vec<String>,
    /// Entries that do not hold what they are about.
    pub empty: Vec<String>,
}

/// What is to be done about a pair, and what people are told about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Restoring {
    /// What.
    pub decision: Decision,
    /// Entries that will have been brought back.
    pub restored: Vec<String>,
    /// Fields that must take no part in carrying it out.
    pub withheld: FieldSet,
    /// What is kept, and what will be missing.
    pub findings: Vec<Finding>,
}

const ASKED: &str = "restore-asked";

impl Wish {
    /// Adds an entry; newer ones first.
    pub fn add(&mut self, id: &str, entry: &JournalEntry) {
        use crate::journal::Cause;
        match (entry.cause, &entry.edit) {
            (Cause::Deleted | Cause::Unmarked, _) => {
                if !self.brings_back {
                    self.is_used = entry.restored.is_some();
                }
                self.brings_back = true;
                self.entries.push(id.to_owned());
                match &entry.record {
                    Some(Record::Crm(contact)) => {
                        self.crm.get_or_insert_with(|| contact.fields.clone());
                    }
                    Some(Record::Mailbox(MailboxContact { view, .. })) => {
                        self.mailbox.get_or_insert_with(|| view.clone());
                    }
                    None => {}
                }
            }
            (Cause::Overwritten | Cause::Changed, Some(edit)) => {
                self.edits.push((id.to_owned(), edit.clone()));
            }
            (Cause::Overwritten | Cause::Changed, None) => self.empty.push(id.to_owned()),
        }
    }
}

/// What is to be done about one pair that was read wholly: no half is `Unread`.
pub fn plan(pair: &Pair, wish: &Wish, rules: &Rules) -> Restoring {
    if !wish.brings_back {
        return put_back(pair, wish, rules);
    }
    let back = bring_back(pair, wish, rules);
    let is_there = matches!(back.decision.deed, Deed::Rest);
    if is_there && !wish.edits.is_empty() {
        // It is there; what may be missing are values that it lost before or since.
        return put_back(pair, wish, rules);
    }
    back
}

/// The decision alone.
pub fn decide(pair: &Pair, wish: &Wish, rules: &Rules) -> Decision {
    plan(pair, wish, rules).decision
}

/// A decision as operations that people can read.
pub fn describe(pair: &Pair, wish: &Wish, decision: &Decision) -> Vec<Operation> {
    let mut operations = super::describe(pair, decision);
    let operation = |side, action, changes| Operation {
        side,
        action,
        contact: pair.name(),
        changes,
        reason: decision.reason,
        state: OperationState::Planned,
    };
    let is_gone = is_gone_from_mailbox(pair);
    match &decision.deed {
        Deed::RestoreInCrm | Deed::CreateInCrm(_) if is_gone => {
            let view = wish.mailbox.as_ref();
            let view = view.or(pair.link.as_ref().map(|link| &link.base.view));
            let changes = view.map(|view| mapping::changes(&View::EMPTY, view));
            let changes = changes.unwrap_or_default();
            operations.push(operation(Side::Mailbox, Action::Create, changes));
        }
        Deed::CreateInMailbox(_) if !super::is_marked(&pair.crm) => {
            operations.push(operation(Side::Crm, Action::Mark, Vec::new()));
        }
        _ => {}
    }
    operations
}

/// Whether there is no mailbox contact any more.
pub fn is_gone_from_mailbox(pair: &Pair) -> bool {
    matches!(pair.mailbox, Half::Absent | Half::Deleted)
}

// ---- the contact itself -------------------------------------------------------------------------

fn bring_back(pair: &Pair, wish: &Wish, rules: &Rules) -> Restoring {
    let is_linked = pair.link.as_ref().is_some_and(Link::is_linked);
    let hold = |problem, reason| decision(Deed::Hold(problem), reason);
    let decision = match (&pair.crm, &pair.mailbox) {
        (Half::Unreadable(problem), _) => hold(Some(problem.clone()), "crm-unreadable"),
        (Half::Absent | Half::Unread, _) => hold(None, "partner-unknown"),
        (Half::Deleted, _) => decision(Deed::RestoreInCrm, ASKED),
        (Half::Astray, _) if wish.is_used => decision(Deed::Rest, "already-back"),
        (Half::Astray, _) => create_in_crm(pair, wish),
        (Half::Present(_), Half::Absent | Half::Deleted) => {
            super::create_in_mailbox(pair, rules, ASKED)
        }
        (Half::Present(_), _) if is_linked => decision(Deed::Rest, "already-back"),
        (Half::Present(crm), Half::Present(_)) => {
            let merged = match &pair.link {
                Some(link) => super::merged_again(pair, link, rules),
                None => super::merged(pair, None, rules),
            };
            agree(merged, crm.marked != Some(true), ASKED)
        }
        (Half::Present(_), Half::Unreadable(problem)) => {
            hold(Some(problem.clone()), "mailbox-unreadable")
        }
        (Half::Present(_), Half::Astray | Half::Unread) => hold(None, "moved-in-mailbox"),
    };
    let findings = told_of_contact(pair, wish, &decision);
    let is_done = !matches!(decision.deed, Deed::Rest | Deed::Hold(_));
    // A record from the journal and the mailbox's copy of it meet as a first pair, in the next
    // pass: nothing is remembered of what they agree on until then.
    let is_apart = matches!(decision.deed, Deed::CreateInCrm(_));
    Restoring {
        restored: if is_done {
            wish.entries.clone()
        } else {
            Vec::new()
        },
        withheld: if is_apart {
            rules.fields.clone()
        } else {
            FieldSet::new()
        },
        decision,
        findings,
    }
}

/// Only from a CRM record: the mailbox's view is poorer.
fn create_in_crm(pair: &Pair, wish: &Wish) -> Decision {
    let base = pair.link.as_ref().map(|link| &link.base.crm);
    let base = base.filter(|base| **base != CrmFields::EMPTY);
    match wish.crm.as_ref().or(base) {
        None => decision(Deed::Hold(None), "cannot-be-restored"),
        Some(crm) => {
            let merged = Merged {
                crm: crm.clone(),
                view: pair.view().clone(),
                slots: SlotTable::default(),
                conflicts: Vec::new(),
                findings: Vec::new(),
            };
            decision(Deed::CreateInCrm(Box::new(merged)), ASKED)
        }
    }
}

fn told_of_contact(pair: &Pair, wish: &Wish, decision: &Decision) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &decision.deed {
        Deed::Rest => {
            let message = match pair.crm {
                Half::Present(_) => "the contact is there, on both sides: nothing to do",
                _ => {
                    "it was brought back before, as a new CRM contact: from the journal it is \
                     created once only"
                }
            };
            findings.push(note(pair, "already-back", message.to_owned()));
        }
        Deed::Hold(None) if decision.reason == "partner-unknown" => findings.push(warning(
            pair,
            "partner-unknown",
            "the journal does not say which CRM contact this was".to_owned(),
            "look for it in the trash of both services",
        )),
        Deed::Hold(None) if decision.reason == "cannot-be-restored" => findings.push(warning(
            pair,
            "not-in-journal",
            "the CRM contact is not in the trash any more, and the journal does not hold its \
             record: the mailbox's copy is poorer, and nothing is rebuilt from it"
                .to_owned(),
            "enter it by hand; the journal's entry shows its values",
        )),
        Deed::CreateInCrm(_) => findings.push(warning(
            pair,
            "cannot-come-back",
            "the CRM contact is not in the trash any more (purged, or hidden from the API user): \
             it is created anew from the journal, under a new id. Its salutation, tags, notes, all \
             fields that the sync does not read, and its markers for other mailboxes do not come \
             back"
                .to_owned(),
            "if it is only hidden, give the API user access instead, or there will be two of it",
        )),
        _ => {}
    }
    let is_created = match &decision.deed {
        Deed::CreateInMailbox(_) => true,
        Deed::RestoreInCrm | Deed::CreateInCrm(_) => is_gone_from_mailbox(pair),
        _ => false,
    };
    if is_created {
        let mut message = "the mailbox contact is created anew from the CRM contact: its notes, \
                           photo, categories and its old id stay behind in Deleted Items"
            .to_owned();
        if let Some(only) = only_in_mailbox(wish, decision) {
            message.push_str("; so does what only the mailbox held: ");
            message.push_str(&only);
        }
        let remedy = "look into Deleted Items for what is missing";
        findings.push(Finding {
            severity: Severity::Note,
            ..warning(pair, "cannot-come-back", message, remedy)
        });
    }
    findings
}

/// Values of the deleted mailbox contact that the new one will not have.
fn only_in_mailbox(wish: &Wish, decision: &Decision) -> Option<String> {
    let (Deed::CreateInMailbox(merged), Some(old)) = (&decision.deed, &wish.mailbox) else {
        return None;
    };
    let lost = mapping::changes(old, &merged.view);
    let texts: Vec<String> = lost
        .into_iter()
        .filter_map(|change| change.before)
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

// ---- values -------------------------------------------------------------------------------------

/// Both records with the values put back, under way.
struct Draft {
    crm: CrmFields,
    view: View,
    done: FieldSet,
    restored: Vec<String>,
    findings: Vec<Finding>,
}

fn put_back(pair: &Pair, wish: &Wish, rules: &Rules) -> Restoring {
    let (crm, view) = (pair.crm_fields(), pair.view());
    let mut draft = Draft {
        crm: crm.clone(),
        view: view.clone(),
        done: FieldSet::new(),
        restored: Vec::new(),
        findings: Vec::new(),
    };
    for id in &wish.empty {
        draft.findings.push(warning(
            pair,
            "not-in-journal",
            format!("the values of entry `{id}` were too many for the journal"),
            "look at the entry, and enter by hand what is needed",
        ));
    }
    for (id, edit) in &wish.edits {
        draft.put(pair, id, edit, rules);
    }
    let decision = if draft.crm == *crm && draft.view == *view {
        decision(Deed::Rest, "nothing-to-put-back")
    } else {
        draft.decision(pair, wish, rules)
    };
    Restoring {
        decision,
        restored: draft.restored,
        withheld: rules.fields.difference(&draft.done).copied().collect(),
        findings: draft.findings,
    }
}

impl Draft {
    fn put(&mut self, pair: &Pair, id: &str, edit: &Edit, rules: &Rules) {
        let is_there = match edit.side() {
            Side::Crm => matches!(pair.crm, Half::Present(_)),
            Side::Mailbox => matches!(pair.mailbox, Half::Present(_)),
        };
        if !is_there {
            self.findings.push(warning(
                pair,
                "kept",
                format!(
                    "the contact is not there any more, so no value of entry `{id}` can be put back"
                ),
                "bring back the contact first",
            ));
            return;
        }
        let fields = self.free_fields(pair, edit, rules);
        match &edit.values {
            Values::Crm { before, after } => {
                let states = (&**before, &**after);
                let back = put_back::in_crm(&self.crm, states, &fields, rules.region);
                self.tell(pair, id, &back, &**before);
                self.crm = back.record;
            }
            Values::Mailbox { before, after } => {
                let states = (&**before, &**after);
                let (region, shape) = (rules.region, rules.shape);
                let back = put_back::in_mailbox(&self.view, states, &fields, region, shape);
                self.tell(pair, id, &back, &**before);
                self.view = back.record;
            }
        }
    }

    /// Fields of an edit that may be written, as far as the other side is concerned: what somebody
    /// has edited there since is newer.
    fn free_fields(&mut self, pair: &Pair, edit: &Edit, rules: &Rules) -> FieldSet {
        let side = edit.side();
        let mut fields: FieldSet = edit.fields.intersection(rules.fields).copied().collect();
        if side == Side::Crm {
            for field in pair.locked().intersection(&edit.fields) {
                fields.remove(field);
                let message = "locked in the CRM".to_owned();
                self.keep(pair, *field, message, "unlock it, then run it again");
            }
        }
        let Some(link) = pair.link.as_ref().filter(|link| link.is_linked()) else {
            return fields;
        };
        let (crm, view, region) = (pair.crm_fields(), pair.view(), rules.region);
        let (edited, holder) = match side {
            Side::Crm if matches!(pair.mailbox, Half::Present(_)) => {
                let edited = mapping::changed_in_mailbox(&link.base, view, &fields, region);
                (edited, "mailbox")
            }
            Side::Mailbox if matches!(pair.crm, Half::Present(_)) => {
                let edited = mapping::changed_in_crm(&link.base, crm, &fields, region);
                (edited, "CRM")
            }
            _ => return fields,
        };
        for field in edited {
            fields.remove(&field);
            let holds = match side {
                Side::Crm => shown_of(view, field),
                Side::Mailbox => shown_of(crm, field),
            };
            let message = format!(
                "edited in the {holder} since, where it is now {}",
                quoted(holds.as_deref())
            );
            self.keep(pair, field, message, "sync first, or enter it by hand");
        }
        fields
    }

    fn tell<T>(&mut self, pair: &Pair, id: &str, back: &Back<T>, before: &impl Shown) {
        if !back.done.is_empty() {
            self.restored.push(id.to_owned());
            self.done.extend(&back.done);
        }
        for (field, holds) in &back.in_the_way {
            let message = format!(
                "edited since, and now {}: {} is not put back",
                quoted(holds.as_deref()),
                quoted(shown_of(before, *field).as_deref()),
            );
            self.keep(pair, *field, message, "enter it by hand if it is wanted");
        }
        for field in &back.already {
            let message = "the value is there: nothing to do";
            self.findings.push(of_field(
                note(pair, "already-back", message.to_owned()),
                *field,
            ));
        }
        for field in &back.added {
            let message = "what the pass added stays: restoring removes nothing";
            self.findings.push(of_field(
                note(pair, "added-by-pass", message.to_owned()),
                *field,
            ));
        }
    }

    fn keep(&mut self, pair: &Pair, field: Field, message: String, remedy: &str) {
        self.findings
            .push(of_field(warning(pair, "kept", message, remedy), field));
    }

    /// A value put back is an edit: of a pair in step it goes to the other side at once, else it
    /// stays on its own.
    fn decision(&self, pair: &Pair, wish: &Wish, rules: &Rules) -> Decision {
        let are_there = matches!(
            (&pair.crm, &pair.mailbox),
            (Half::Present(_), Half::Present(_))
        );
        let link = pair.link.as_ref().filter(|link| link.is_linked());
        let Some(link) = link.filter(|_| are_there) else {
            let (crm, view) = (Box::new(self.crm.clone()), Box::new(self.view.clone()));
            return decision(Deed::PutBack { crm, view }, ASKED);
        };
        // What carrying it out remembers as agreed on, must be merged as well.
        let wanted = wish.edits.iter().flat_map(|(_, edit)| &edit.fields);
        let fields: FieldSet = wanted
            .filter(|field| rules.fields.contains(field))
            .copied()
            .collect();
        let merged = merge::merge(merge::Input {
            base: Some(&link.base),
            crm: &self.crm,
            view: &self.view,
            fields: &fields,
            locked: pair.locked(),
            shape: rules.shape,
            region: rules.region,
            winner: if self.crm == *pair.crm_fields() {
                Side::Mailbox
            } else {
                Side::Crm
            },
        });
        agree(merged, false, ASKED)
    }
}

// ---- telling ------------------------------------------------------------------------------------

fn note(pair: &Pair, code: &str, message: String) -> Finding {
    Finding {
        severity: Severity::Note,
        code: code.to_owned(),
        message,
        remedy: None,
        contact: Some(pair.name()),
        field: None,
    }
}

fn warning(pair: &Pair, code: &str, message: String, remedy: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        remedy: Some(remedy.to_owned()),
        ..note(pair, code, message)
    }
}

/// A finding about one field, which its message begins with.
fn of_field(finding: Finding, field: Field) -> Finding {
    let word = match field {
        Field::FirstName => "first name",
        Field::LastName => "last name",
        Field::AcademicTitle => "academic title",
        Field::Company => "company",
        Field::Department => "department",
        Field::Position => "position",
        Field::Phones => "phones",
        Field::Emails => "e-mails",
        Field::Website => "website",
        Field::Addresses => "addresses",
        Field::Birthday => "birthday",
    };
    Finding {
        message: format!("{word}: {}", finding.message),
        field: Some(field),
        ..finding
    }
}

fn shown_of(record: &impl Shown, field: Field) -> Option<String> {
    let shown = record.shown(field);
    (!shown.is_empty()).then(|| shown.join("; "))
}

fn quoted(text: Option<&str>) -> String {
    text.map_or_else(|| "empty".to_owned(), |text| format!("`{text}`"))
}
