//! Rooms: how many values of one kind a mailbox contact can hold, and where.

use crate::contact::{CrmKind, Field, Shape, Slot};

/// A room of one field. Its slots are the places in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Room {
    Business,
    Home,
    Mobile,
    Other,
    Email,
}

impl Room {
    /// The room in which a CRM value of this type belongs. `None`: it takes no part.
    pub(crate) fn of_kind(field: Field, kind: &CrmKind) -> Option<Self> {
        match (kind, field) {
            (CrmKind::Office, _) => Some(Self::Business),
            (CrmKind::Private, _) => Some(Self::Home),
            (CrmKind::Mobile, Field::Phones) => Some(Self::Mobile),
            (CrmKind::Other | CrmKind::Untyped, _) => Some(Self::Other),
            (CrmKind::Mobile | CrmKind::Unknown(_), _) => None,
        }
    }

    /// The type that a value gets in the CRM when it comes into this room in the mailbox.
    pub(crate) fn kind(self) -> CrmKind {
        match self {
            Self::Business => CrmKind::Office,
            Self::Home => CrmKind::Private,
            Self::Mobile => CrmKind::Mobile,
            Self::Other => CrmKind::Other,
            Self::Email => CrmKind::Untyped,
        }
    }

    /// The room that a slot is in.
    pub(crate) fn of_slot(slot: Slot) -> Self {
        match slot {
            Slot::BusinessPhone1 | Slot::BusinessPhone2 | Slot::BusinessAddress => Self::Business,
            Slot::HomePhone1 | Slot::HomePhone2 | Slot::HomeAddress => Self::Home,
            Slot::MobilePhone => Self::Mobile,
            Slot::OtherPhone | Slot::OtherAddress => Self::Other,
            Slot::Email1 | Slot::Email2 | Slot::Email3 => Self::Email,
        }
    }

    /// Its slots, in order.
    pub(crate) fn slots(self, field: Field, shape: Shape) -> &'static [Slot] {
        match (field, self) {
            (Field::Phones, Self::Business) => &[Slot::BusinessPhone1, Slot::BusinessPhone2],
            (Field::Phones, Self::Home) => &[Slot::HomePhone1, Slot::HomePhone2],
            (Field::Phones, Self::Mobile) => &[Slot::MobilePhone],
            (Field::Phones, Self::Other) if shape.other_phone => &[Slot::OtherPhone],
            (Field::Emails, Self::Email) => &[Slot::Email1, Slot::Email2, Slot::Email3],
            (Field::Addresses, Self::Business) => &[Slot::BusinessAddress],
            (Field::Addresses, Self::Home) => &[Slot::HomeAddress],
            (Field::Addresses, Self::Other) => &[Slot::OtherAddress],
            _ => &[],
        }
    }

    /// Rooms whose free slots a value of this room may borrow, because the mailbox has none for it.
    pub(crate) fn lenders(self, field: Field, shape: Shape) -> &'static [Self] {
        if self == Self::Other && self.slots(field, shape).is_empty() {
            &[Self::Business, Self::Home]
        } else {
            &[]
        }
    }

    /// Whether a CRM value of this room may stand in `mailbox` as it is.
    pub(crate) fn agrees_with(self, mailbox: Self, field: Field, shape: Shape) -> bool {
        self == mailbox || self.lenders(field, shape).contains(&mailbox)
    }

    /// For people: the CRM's word for the type.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Business => "office",
            Self::Home => "private",
            Self::Mobile => "mobile",
            Self::Other => "other",
            Self::Email => "e-mail",
        }
    }
}

/// The field that a slot belongs to.
pub(crate) fn field_of(slot: Slot) -> Field {
    match slot {
        Slot::BusinessPhone1
        | Slot::BusinessPhone2
        | Slot::HomePhone1
        | Slot::HomePhone2
        | Slot::MobilePhone
        | Slot::OtherPhone => Field::Phones,
        Slot::Email1 | Slot::Email2 | Slot::Email3 => Field::Emails,
        Slot::BusinessAddress | Slot::HomeAddress | Slot::OtherAddress => Field::Addresses,
    }
}
