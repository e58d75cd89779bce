//! Records as people are shown them: their changes, and what they would lose.

use std::collections::BTreeMap;

use super::rooms::Room;
use super::values::{Single, crm_values, is_blank};
use crate::contact::{
    CrmAddress, CrmEmail, CrmFields, CrmKind, CrmPhone, Field, FieldSet, View, address, text,
};
use crate::report::Change;

/// Texts of one side of a change (`types.wit`, `change`).
const CHANGE_BYTES_MAX: usize = 1_000;

/// A record that can be shown to people.
pub trait Shown {
    /// All values of a field, each in one line, in their order; none that are blank.
    fn shown(&self, field: Field) -> Vec<String>;

    /// Whether a field is not the same to the last byte.
    fn differs(&self, other: &Self, field: Field) -> bool;
}

/// What differs between two states of a record: per field, the values that go and those that come.
pub fn changes<R: Shown>(before: &R, after: &R) -> Vec<Change> {
    differing(before, after)
        .filter_map(|field| {
            let (before, after) = (before.shown(field), after.shown(field));
            let gone = without(&before, &after);
            let come = without(&after, &before);
            let is_change = !gone.is_empty() || !come.is_empty();
            is_change.then(|| Change {
                field,
                before: listed(&gone),
                after: listed(&come),
            })
        })
        .collect()
}

/// Fields that held something before and hold nothing after: what the guard counts.
pub fn emptied<R: Shown>(before: &R, after: &R) -> FieldSet {
    differing(before, after)
        .filter(|field| !before.shown(*field).is_empty() && after.shown(*field).is_empty())
        .collect()
}

/// Nearly all fields are as they were: told without showing them.
fn differing<R: Shown>(before: &R, after: &R) -> impl Iterator<Item = Field> {
    let all = Field::ALL.into_iter();
    all.filter(move |field| before.differs(after, *field))
}

impl Shown for CrmFields {
    fn differs(&self, other: &Self, field: Field) -> bool {
        Self::differs(self, other, field)
    }

    fn shown(&self, field: Field) -> Vec<String> {
        match field {
            Field::Phones => self.phones.iter().filter_map(phone_shown).collect(),
            Field::Emails => self.emails.iter().filter_map(email_shown).collect(),
            Field::Addresses => self.addresses.iter().filter_map(address_shown).collect(),
            _ => {
                let first = match Single::of_crm(field, self) {
                    Single::Readable { written, .. } => Some(written),
                    Single::Opaque(text) => Some(text::canonical(&text)),
                    Single::Empty => None,
                };
                let others = crm_values(field, self).iter().skip(1);
                let others = others
                    .filter(|value| !is_blank(value))
                    .map(ToString::to_string);
                first.into_iter().chain(others).collect()
            }
        }
    }
}

impl Shown for View {
    fn differs(&self, other: &Self, field: Field) -> bool {
        Self::differs(self, other, field)
    }

    fn shown(&self, field: Field) -> Vec<String> {
        match field {
            Field::Phones => {
                let phones = self.phones.iter();
                phones
                    .filter_map(|(slot, text)| with_word(text, Room::of_slot(*slot)))
                    .collect()
            }
            Field::Emails => {
                let texts = self
                    .emails
                    .values()
                    .map(|email| match email.address.trim() {
                        "" => text::canonical(&email.name),
                        address => text::canonical(address),
                    });
                texts.filter(|text| !text.is_empty()).collect()
            }
            Field::Addresses => self
                .addresses
                .iter()
                .filter_map(|(slot, address)| {
                    with_word(&address::one_line(address), Room::of_slot(*slot))
                })
                .collect(),
            // A company's stand-in for a given name included: it is what the mailbox holds.
            _ => match Single::of_mailbox(field, self) {
                Single::Readable { written, .. } => vec![written],
                Single::Opaque(text) => vec![text::canonical(&text)],
                Single::Empty => Vec::new(),
            },
        }
    }
}

fn phone_shown(phone: &CrmPhone) -> Option<String> {
    match phone {
        CrmPhone::Readable { kind, number, .. } => with_type(number, kind),
        CrmPhone::Opaque(value) => (!is_blank(value)).then(|| value.to_string()),
    }
}

fn email_shown(email: &CrmEmail) -> Option<String> {
    match email {
        CrmEmail::Plain(address) | CrmEmail::Typed { address, .. } => {
            let address = text::canonical(address);
            (!address.is_empty()).then_some(address)
        }
        CrmEmail::Opaque(value) => (!is_blank(value)).then(|| value.to_string()),
    }
}

fn address_shown(address: &CrmAddress) -> Option<String> {
    match address {
        CrmAddress::Readable { kind, address, .. } => with_type(&address::one_line(address), kind),
        CrmAddress::Opaque(value) => (!is_blank(value)).then(|| value.to_string()),
    }
}

fn with_type(text: &str, kind: &CrmKind) -> Option<String> {
    let word = match kind {
        CrmKind::Office => Room::Business.word(),
        CrmKind::Private => Room::Home.word(),
        CrmKind::Mobile => Room::Mobile.word(),
        CrmKind::Other => Room::Other.word(),
        CrmKind::Untyped => "no type",
        CrmKind::Unknown(kind) => kind,
    };
    let text = text::canonical(text);
    (!text.is_empty()).then(|| format!("{text} ({word})"))
}

fn with_word(text: &str, room: Room) -> Option<String> {
    let text = text::canonical(text);
    (!text.is_empty()).then(|| format!("{text} ({})", room.word()))
}

/// The values of one list that another lacks, each as often as it lacks it.
fn without(values: &[String], others: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for other in others {
        *counts.entry(other).or_default() += 1;
    }
    let mut missing = values.to_vec();
    missing.retain(|value| match counts.get_mut(value.as_str()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
    missing
}

/// All values of a field in one line; `None` where there are none.
pub(crate) fn shown_in_one_line(record: &impl Shown, field: Field) -> Option<String> {
    listed(&record.shown(field))
}

fn listed(values: &[String]) -> Option<String> {
    (!values.is_empty()).then(|| text::shortened(&values.join("; "), CHANGE_BYTES_MAX))
}
