//! Three-way, per field and per value (contract, sections 4 and 5).
//!
//! [`merge`] says what both sides are to hold: the input itself, to the last byte, wherever nothing
//! is to be written. It fails on nothing; what it cannot do it leaves as it is and tells. Its
//! findings:
//!
//! | code | meaning |
//! |---|---|
//! | `no-slot-left` | a CRM value has no place in the mailbox contact, or none of its type |
//! | `unreadable-phone` | a text that is not certainly a phone number: not copied, not touched |
//! | `unreadable-email` | an entry that is no e-mail address: not copied, not touched |
//! | `unreadable-address` | an entry that is no postal address: not copied, not touched |
//! | `unreadable-birthday` | no day, or one that Exchange cannot hold: not copied, not touched |
//! | `unreadable-text` | something other than text in a text field: not copied, not touched |
//! | `unknown-type` | a CRM value of a type that this version does not know: takes no part |
//! | `locked-field` | an edit in the mailbox that stays there: the CRM field is locked |
//! | `ambiguous-address` | which CRM address was edited is not certain: none is written |

mod findings;
mod lists;
mod seats;
mod singles;
#[cfg(test)]
mod tests;

use crate::contact::{CrmFields, Field, FieldSet, Shape, View};
use crate::mapping::{Base, LISTS, SlotTable, Trace, names};
use crate::mutation::{self, Mutant};
use crate::report::{Finding, Side};

/// Two records of one person, what they agreed on last, and who wins.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What both sides held after the last agreed sync; `None` for a first pair.
    pub base: Option<&'a Base>,
    /// What the CRM holds.
    pub crm: &'a CrmFields,
    /// What the mailbox holds.
    pub view: &'a View,
    /// Fields that take part in this pass.
    pub fields: &'a FieldSet,
    /// Fields that may be read but not written in the CRM.
    pub locked: &'a FieldSet,
    /// What the mailbox can hold.
    pub shape: Shape,
    /// How a number without country code is read: ISO 3166-1 alpha-2.
    pub region: &'a str,
    /// Whose value stays where both changed the same one, unless that is asked value by value.
    pub winner: Side,
}

/// What both sides are to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// Equal to [`Input::crm`] where the CRM is not to be written.
    pub crm: CrmFields,
    /// Equal to [`Input::view`] where the mailbox is not to be written.
    pub view: View,
    /// Which CRM value stands in which slot afterwards.
    pub slots: SlotTable,
    /// Values that lost.
    pub conflicts: Vec<Conflict>,
    /// What does not fit, or cannot be read. Without contact: the caller knows whose they are.
    pub findings: Vec<Finding>,
}

/// A value that both sides changed differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Of which field.
    pub field: Field,
    /// The side that lost.
    pub loser: Side,
    /// What it held; `None` if it had cleared the value.
    pub lost: Option<String>,
    /// What stays.
    pub kept: Option<String>,
}

/// Merges a linked pair; without base, a first pair: empty fields are filled, lists united as far
/// as there is room. An empty view without base becomes that of a new mailbox contact, and empty
/// CRM fields those of a new CRM contact.
pub fn merge(input: Input<'_>) -> Merged {
    merge_by(input, &|_| input.winner)
}

/// Merges, and asks of each value that both sides changed whose stays.
pub fn merge_by(input: Input<'_>, winner: Winner<'_>) -> Merged {
    run(input, winner, false)
}

/// Merges a pair that was detached and is marked again: a first pair, in which the old base decides
/// which side changed a clashing value, but removes none.
pub fn relink(input: Input<'_>) -> Merged {
    relink_by(input, &|_| input.winner)
}

/// The same, and asks of each value that clashes whose stays.
pub fn relink_by(input: Input<'_>, winner: Winner<'_>) -> Merged {
    run(input, winner, true)
}

/// A value that both sides changed differently, before it is settled.
#[derive(Clone, Copy, Debug)]
pub struct Clash<'a> {
    /// Of what the CRM holds, or has cleared.
    pub trace: Trace,
    /// What the CRM holds; `None` where it has cleared the value.
    pub crm: Option<&'a str>,
    /// The same of the mailbox.
    pub mailbox: Option<&'a str>,
}

/// Whose value stays.
pub type Winner<'a> = &'a dyn Fn(&Clash<'_>) -> Side;

/// Whether a merge would write nothing.
pub fn agree(input: Input<'_>) -> bool {
    let merged = merge(input);
    merged.crm == *input.crm && merged.view == *input.view
}

/// A merge under way.
struct Draft<'a> {
    input: Input<'a>,
    winner: Winner<'a>,
    /// Nothing is removed.
    relinks: bool,
    /// Whether the given name in the mailbox stands in for a company's.
    stood_in: bool,
    merged: Merged,
}

fn run<'a>(input: Input<'a>, winner: Winner<'a>, relinks: bool) -> Merged {
    let mut draft = Draft {
        input,
        winner,
        relinks,
        stood_in: names::is_stand_in(input.view, input.base, Some(input.crm)),
        merged: Merged {
            crm: input.crm.clone(),
            view: input.view.clone(),
            slots: SlotTable::default(),
            conflicts: Vec::new(),
            findings: Vec::new(),
        },
    };
    for field in input.fields {
        if LISTS.contains(field) {
            lists::merge(&mut draft, *field);
        } else {
            singles::merge(&mut draft, *field);
        }
    }
    draft.derive_names();
    draft.merged
}

impl Draft<'_> {
    fn derive_names(&mut self) {
        let view = &mut self.merged.view;
        let mut stands_in = self.stood_in;
        if self.input.fields.contains(&Field::FirstName) && view != self.input.view {
            stands_in = names::put_stand_in(self.input.view, self.stood_in, view);
        }
        if view != self.input.view {
            names::derive(self.input.view, self.stood_in, view, stands_in);
        }
        self.merged.slots.stand_in = stands_in;
    }

    /// The base of a field, if it took part in it.
    fn base_of(&self, field: Field) -> Option<&Base> {
        self.input.base.filter(|base| base.fields.contains(&field))
    }

    /// What is to be done about a value, and the conflict that it settles.
    ///
    /// An edit in the mailbox of a locked field stays there. `trace` is that of what the CRM holds,
    /// or has cleared; it is asked for only where both sides changed the value.
    fn settle(&mut self, field: Field, case: &Case, trace: impl FnOnce() -> Trace) -> Verdict {
        let winner = if case.crm_changed && case.mailbox_changed && !case.same {
            (self.winner)(&Clash {
                trace: trace(),
                crm: case.crm_shown.as_deref(),
                mailbox: case.mailbox_shown.as_deref(),
            })
        } else {
            Side::Crm
        };
        let (verdict, loser) = case.verdict(self.relinks, winner);
        if verdict == Verdict::ToCrm && self.input.locked.contains(&field) {
            let finding = findings::locked_field(field, case.mailbox_shown.as_deref());
            self.merged.findings.push(finding);
            return Verdict::Keep;
        }
        let is_told = !mutation::is_on(Mutant::ConflictUntold);
        if let Some(loser) = loser.filter(|_| is_told) {
            let (lost, kept) = match loser {
                Side::Crm => (&case.crm_shown, &case.mailbox_shown),
                Side::Mailbox => (&case.mailbox_shown, &case.crm_shown),
            };
            let conflict = Conflict {
                field,
                loser,
                lost: lost.clone(),
                kept: kept.clone(),
            };
            self.merged.conflicts.push(conflict);
        }
        verdict
    }
}

/// One value on both sides.
#[derive(Clone, Debug)]
struct Case {
    crm_changed: bool,
    mailbox_changed: bool,
    /// Whether both sides hold the same now.
    same: bool,
    /// For people; `None` where there is none.
    crm_shown: Option<String>,
    mailbox_shown: Option<String>,
}

/// What is to be done about one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing.
    Keep,
    /// The mailbox gets what the CRM holds, or loses it.
    ToMailbox,
    /// The CRM gets what the mailbox holds, or loses it.
    ToCrm,
}

impl Case {
    /// With the side that loses, where both changed it differently.
    fn verdict(&self, relinks: bool, winner: Side) -> (Verdict, Option<Side>) {
        if self.same {
            return (Verdict::Keep, None);
        }
        if relinks {
            match (&self.crm_shown, &self.mailbox_shown) {
                (Some(_), None) => return (Verdict::ToMailbox, None),
                (None, Some(_)) => return (Verdict::ToCrm, None),
                _ => {}
            }
        }
        match (self.crm_changed, self.mailbox_changed, winner) {
            (false, false, _) => (Verdict::Keep, None),
            (true, false, _) => (Verdict::ToMailbox, None),
            (false, true, _) => (Verdict::ToCrm, None),
            (true, true, Side::Crm) => (Verdict::ToMailbox, Some(Side::Mailbox)),
            (true, true, Side::Mailbox) => (Verdict::ToCrm, Some(Side::Crm)),
        }
    }
}
