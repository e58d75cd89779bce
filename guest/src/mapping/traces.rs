//! Traces: what tells a value of the CRM from every other, in eight bytes.
//!
//! A pass that writes a value remembers its trace with the time of the edit that it came from; as
//! long as the CRM still holds the value, the trace finds that time again (contract, section 5).

use std::collections::BTreeSet;

use super::LISTS;
use super::rooms::Room;
use super::values::{self, Key, Single};
use crate::contact::{CrmFields, Field, digest};

/// Something that a user may have changed in the CRM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trace {
    /// A value that is there, or the type that it has.
    Held(u64),
    /// A value that is there no more.
    Cleared(u64),
}

/// The trace of a value, by its canonical form.
pub(crate) fn of_value(field: Field, canonical: &str) -> u64 {
    digest(format!("{field:?}\u{1f}{canonical}").as_bytes())
}

/// The trace of a value's type.
pub(crate) fn of_type(field: Field, canonical: &str, room: Room) -> u64 {
    digest(format!("{field:?}\u{1f}{canonical}\u{1f}{room:?}").as_bytes())
}

/// The traces of all values, and of their types. What cannot be read leaves none.
pub(crate) fn held(fields: &CrmFields, region: &str) -> BTreeSet<u64> {
    let mut traces = BTreeSet::new();
    for field in Field::ALL {
        if !LISTS.contains(&field) {
            if let Single::Readable { key, .. } = Single::of_crm(field, fields) {
                traces.insert(of_value(field, &key));
            }
            continue;
        }
        for value in values::of_crm(field, fields, region) {
            if let Key::Readable(key) = &value.key {
                traces.insert(of_value(field, key));
                traces.extend(value.room.map(|room| of_type(field, key, room)));
            }
        }
    }
    traces
}
