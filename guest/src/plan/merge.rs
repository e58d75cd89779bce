//! Three-way, per field and per value.

use crate::contact::{CrmFields, Field, FieldSet, Shape, View};
use crate::mapping::{Base, SlotTable};
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
    /// Whose value stays where both changed the same one.
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
