//! Pure: a CRM record and an Exchange view, with remembered slots (contract, section 4).
//!
//! Here is what takes part and what it means: which value of one shape is which of the other, what
//! was changed since the base, what is remembered. Who wins and what is written, decides
//! `plan::merge`.

pub(crate) mod names;
pub mod put_back;
pub(crate) mod rooms;
mod shown;
mod slots;
pub(crate) mod ties;
pub(crate) mod traces;
pub(crate) mod values;

use serde::{Deserialize, Serialize};

use crate::contact::{CrmFields, Field, FieldSet, Slot, View};
use rooms::field_of;
pub use shown::{Shown, changes, emptied};
pub use slots::SlotTable;
use ties::Records;
pub use traces::Trace;
pub(crate) use traces::held;
use values::Single;

/// What both sides held after the last agreed sync, as read back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// The CRM's record.
    pub crm: CrmFields,
    /// The mailbox's view.
    pub view: View,
    /// Which CRM value stood in which slot.
    pub slots: SlotTable,
    /// The fields that took part. A field that did not is treated as in a first pair.
    pub fields: FieldSet,
}

/// The fields that hold several values.
pub(crate) const LISTS: [Field; 3] = [Field::Phones, Field::Emails, Field::Addresses];

/// What to remember of a pair whose sides were read back after a merge: `slots` is that of the
/// merge, `fields` are those that took part in it.
///
/// Fields that did not, and fields that the merge held, are not in it. What was remembered of them
/// before stays: [`Base::keeping`].
pub fn remember(crm: &CrmFields, view: &View, slots: &SlotTable, fields: &FieldSet) -> Base {
    let fields: FieldSet = fields.difference(slots.held()).copied().collect();
    let mut base = Base {
        crm: crm.clone(),
        view: view.clone(),
        slots: slots.found_again(crm, view),
        fields,
    };
    base.forget_others();
    base.slots
        .waiting
        .retain(|field| Single::of_crm(*field, crm) != Single::Empty);
    base.slots.stand_in = names::is_stand_in_still(view, slots.stand_in, crm);
    base
}

/// The fields in which two pairs of records are equal to the last byte: none where they are shown
/// under another name.
pub fn equal_fields(
    left: (&CrmFields, &View),
    right: (&CrmFields, &View),
    fields: &FieldSet,
) -> FieldSet {
    let ((left_crm, left_view), (right_crm, right_view)) = (left, right);
    let is_shown_alike = left_view.display_name == right_view.display_name
        && left_view.file_as == right_view.file_as;
    let is_equal = |field: &Field| {
        is_shown_alike
            && !left_crm.differs(right_crm, *field)
            && !left_view.differs(right_view, *field)
    };
    fields.iter().copied().filter(is_equal).collect()
}

impl Base {
    /// Whether the CRM's record is, value by value, the one that is remembered.
    pub fn is_of_crm(&self, crm: &CrmFields) -> bool {
        if *crm == self.crm {
            return true;
        }
        let mut seen = Self {
            crm: crm.clone(),
            fields: self.fields.clone(),
            ..Self::default()
        };
        seen.forget_others();
        seen.crm == self.crm
    }

    /// Whether the mailbox's view is, value by value, the one that is remembered.
    pub fn is_of_mailbox(&self, view: &View) -> bool {
        if *view == self.view {
            return true;
        }
        let mut seen = Self {
            view: view.clone(),
            fields: self.fields.clone(),
            ..Self::default()
        };
        seen.forget_others();
        seen.view == self.view
    }

    /// Forgets what took no part.
    fn forget_others(&mut self) {
        for field in Field::ALL {
            if !self.fields.contains(&field) {
                self.forget(field);
            }
        }
    }

    /// This base, and what `previous` knew of the fields that this one does not have.
    #[must_use]
    pub fn keeping(mut self, previous: &Self) -> Self {
        let kept: Vec<Field> = previous.fields.difference(&self.fields).copied().collect();
        for field in kept {
            self.take_over(field, previous);
        }
        self
    }

    fn forget(&mut self, field: Field) {
        match field {
            Field::Phones => {
                self.crm.phones.clear();
                self.view.phones.clear();
            }
            Field::Emails => {
                self.crm.emails.clear();
                self.view.emails.clear();
            }
            Field::Addresses => {
                self.crm.addresses.clear();
                self.view.addresses.clear();
            }
            Field::Birthday => {
                self.crm.birthday.clear();
                self.view.birthday = None;
            }
            _ => {
                self.crm.texts.remove(&field);
                self.view.texts.remove(&field);
            }
        }
        let is_other = |slot: &Slot| field_of(*slot) != field;
        self.slots.places.retain(|slot, _| is_other(slot));
        self.slots.unsure.retain(is_other);
        self.slots.waiting.remove(&field);
    }

    fn take_over(&mut self, field: Field, previous: &Self) {
        match field {
            Field::Phones => {
                self.crm.phones.clone_from(&previous.crm.phones);
                self.view.phones.clone_from(&previous.view.phones);
            }
            Field::Emails => {
                self.crm.emails.clone_from(&previous.crm.emails);
                self.view.emails.clone_from(&previous.view.emails);
            }
            Field::Addresses => {
                self.crm.addresses.clone_from(&previous.crm.addresses);
                self.view.addresses.clone_from(&previous.view.addresses);
            }
            Field::Birthday => {
                self.crm.birthday.clone_from(&previous.crm.birthday);
                self.view.birthday.clone_from(&previous.view.birthday);
            }
            _ => {
                if let Some(values) = previous.crm.texts.get(&field) {
                    self.crm.texts.insert(field, values.clone());
                }
                if let Some(text) = previous.view.texts.get(&field) {
                    self.view.texts.insert(field, text.clone());
                }
            }
        }
        let places = previous
            .slots
            .places
            .iter()
            .filter(|(slot, _)| field_of(**slot) == field);
        self.slots
            .places
            .extend(places.map(|(slot, position)| (*slot, *position)));
        let unsure = previous
            .slots
            .unsure
            .iter()
            .filter(|slot| field_of(**slot) == field);
        self.slots.unsure.extend(unsure);
        if previous.slots.waiting.contains(&field) {
            self.slots.waiting.insert(field);
        }
        if field == Field::FirstName {
            self.slots.stand_in = previous.slots.stand_in;
        }
        self.fields.insert(field);
    }
}

/// Fields that a user changed in the CRM since the base. Fields without base are not among them.
pub fn changed_in_crm(base: &Base, crm: &CrmFields, fields: &FieldSet, region: &str) -> FieldSet {
    // Nearly all contacts of a full read: told without reading a number.
    if base.crm == *crm {
        return FieldSet::new();
    }
    let changed = |field: &Field| {
        if !base.crm.differs(crm, *field) {
            return false;
        }
        if LISTS.contains(field) {
            let records = Records {
                field: *field,
                base: Some(base),
                region,
            };
            return ties::crm_changed(records, crm);
        }
        let now = Single::of_crm(*field, crm);
        !now.is_opaque() && !now.same(&Single::of_crm(*field, &base.crm))
    };
    base.fields
        .intersection(fields)
        .copied()
        .filter(changed)
        .collect()
}

/// Fields that a user changed in the mailbox since the base. Fields without base are not among
/// them, nor is what is derived from others.
pub fn changed_in_mailbox(base: &Base, view: &View, fields: &FieldSet, region: &str) -> FieldSet {
    if base.view == *view {
        return FieldSet::new();
    }
    let stands_in = names::is_stand_in(view, Some(base), None);
    let changed = |field: &Field| {
        if LISTS.contains(field) {
            let records = Records {
                field: *field,
                base: Some(base),
                region,
            };
            return base.view.differs(view, *field) && ties::mailbox_changed(records, view);
        }
        let now = names::single_of_mailbox(*field, view, stands_in);
        let then = names::single_of_mailbox(*field, &base.view, base.slots.stand_in);
        !now.is_opaque() && !now.same(&then)
    };
    base.fields
        .intersection(fields)
        .copied()
        .filter(changed)
        .collect()
}
