//! What can be brought back: records that a pass deleted, and values that it replaced.
//!
//! Of a deletion, a marker taken away and a value that loses a conflict the entry is committed
//! *before* anything is sent, so that a crash in between leaves an entry too many, never one too
//! few. Plain changes and creations are written down with the link that remembers them, in commits
//! that happen anyway: there, a user's newer value takes the place of an older one.
//!
//! | key, after `m/<mailbox>/` | value |
//! |---|---|
//! | `journal/<id>` | [`JournalEntry`] |
//! | `created/<id>` | the contacts that one batch created |
//!
//! Ids begin with the time, counted backwards: the store scans upwards, and people, the retention
//! and the size limit all want the newest first. Bringing back is a pass of its own kind; see
//! [`crate::plan::restore`].

use serde::{Deserialize, Serialize};

use crate::contact::{CrmContact, CrmFields, Field, FieldSet, MailboxContact, View};
use crate::links::{Memory, Stored, decode, encode};
use crate::outside::{STORE_ITEMS_MAX, Timestamp, Write};
use crate::report::{Change, ContactName, Failure, Side};

/// Entries that are kept of one mailbox, whatever their age: the oldest go first.
pub const ENTRIES_MAX: usize = 20_000;

/// Bytes of one entry. A batch writes at most forty, and a commit carries at most 8 MiB
/// (`wit/store.wit`).
pub const ENTRY_BYTES_MAX: usize = 128 * 1024;

/// Bytes of an id (`wit/archive.wit`).
const ID_BYTES_MAX: usize = 64;

/// Times are counted down from here: the greatest of thirteen digits, in the year 2286.
const LAST_MS: i64 = 9_999_999_999_999;

/// One deletion, or the values that were replaced in one record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// When.
    pub at: Timestamp,
    /// The pass that did it.
    pub pass: String,
    /// The side that lost something.
    pub side: Side,
    /// Why.
    pub cause: Cause,
    /// Whose.
    pub contact: ContactName,
    /// What was lost, as people are shown it.
    pub lost: Vec<Change>,
    /// The whole record, where one was deleted. `None` too where it is larger than an entry may be.
    pub record: Option<Record>,
    /// The values before and after, where values were replaced; `None` too where they are too
    /// large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
    /// When it was brought back, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Timestamp>,
}

/// Why the journal holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A record was deleted.
    Deleted,
    /// The marker was taken off a CRM contact, because the mailbox contact was deleted.
    Unmarked,
    /// A value lost a conflict.
    Overwritten,
    /// A value was replaced by a newer one of the other side.
    Changed,
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// From the CRM.
    Crm(CrmContact),
    /// From the mailbox.
    Mailbox(MailboxContact),
}

/// What was replaced in one record, and by what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// The fields that differ. Of others nothing is said.
    pub fields: FieldSet,
    /// Their values.
    pub values: Values,
}

/// Values before and after, of the fields of an [`Edit`] only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum Values {
    Crm {
        before: Box<CrmFields>,
        after: Box<CrmFields>,
    },
    Mailbox {
        before: Box<View>,
        after: Box<View>,
    },
}

/// One entry with its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// Descending with time.
    pub id: String,
    /// The entry.
    pub entry: JournalEntry,
}

/// What became of the journal when a pass looked after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Entries that had to go before their time, because there were more than [`ENTRIES_MAX`].
    pub too_many: u32,
}

/// The write that adds an entry; `number` tells entries of one pass apart.
pub fn write(memory: &Memory, entry: &JournalEntry, number: u32) -> Write {
    let key = memory.key("journal", &id(entry.at, &entry.pass, number));
    let bytes = encode(entry);
    if bytes.len() <= ENTRY_BYTES_MAX {
        return Write::Set(key, bytes);
    }
    // What people are shown is bounded (`report::Change`); a record that is not is in the service's
    // own trash.
    let shortened = JournalEntry {
        record: None,
        edit: None,
        ..entry.clone()
    };
    Write::Set(key, encode(&shortened))
}

/// The write that names what a batch of a pass created.
pub fn write_created(
    memory: &Memory,
    at: Timestamp,
    pass: &str,
    number: u32,
    created: &[(Side, ContactName)],
) -> Write {
    Write::Set(
        memory.key("created", &id(at, pass, number)),
        encode(&created),
    )
}

/// At most `entries_max` entries, newest first, after the id where the page before it ended, and
/// where the next page begins. Entries that cannot be read are left out.
pub fn entries(
    memory: &Memory,
    after: Option<&str>,
    entries_max: usize,
) -> Result<(Vec<Named>, Option<String>), Failure> {
    let (rows, next) = page(memory, "journal", after, entries_max)?;
    let entries = rows.into_iter().filter_map(|(id, bytes)| {
        let entry = decode(Some(bytes)).found()?;
        Some(Named { id, entry })
    });
    Ok((entries.collect(), next))
}

/// One entry.
pub fn entry(memory: &Memory, id: &str) -> Result<Stored<JournalEntry>, Failure> {
    if !is_id(id) {
        return Ok(Stored::Missing);
    }
    let bytes = memory.get(&[memory.key("journal", id)])?.pop().flatten();
    Ok(decode(bytes))
}

/// What a pass created, as far as it is still known.
pub fn created_by(memory: &Memory, pass: &str) -> Result<Vec<(Side, ContactName)>, Failure> {
    let mut created = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let (rows, next) = page(memory, "created", after.as_deref(), STORE_ITEMS_MAX)?;
        let of_pass = rows.into_iter().filter(|(id, _)| pass_of(id) == Some(pass));
        for (_, bytes) in of_pass {
            let contacts: Stored<Vec<(Side, ContactName)>> = decode(Some(bytes));
            created.extend(contacts.found().unwrap_or_default());
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(created),
        }
    }
}

/// The writes that say of entries that they were brought back.
pub fn mark_restored(
    memory: &Memory,
    ids: &[String],
    now: Timestamp,
) -> Result<Vec<Write>, Failure> {
    let keys: Vec<String> = ids.iter().map(|id| memory.key("journal", id)).collect();
    let values = memory.get(&keys)?;
    let mut writes = Vec::new();
    for (key, bytes) in keys.into_iter().zip(values) {
        if let Stored::Found(entry) = decode::<JournalEntry>(bytes) {
            let restored = JournalEntry {
                restored: Some(now),
                ..entry
            };
            writes.push(Write::Set(key, encode(&restored)));
        }
    }
    Ok(writes)
}

/// Forgets what is older than `before`, and the oldest of what is too much. One page is in memory
/// at a time.
pub fn retain(memory: &Memory, before: Timestamp) -> Result<Retained, Failure> {
    let mut retained = Retained::default();
    for folder in ["journal", "created"] {
        let mut kept = 0_usize;
        let mut after: Option<String> = None;
        loop {
            let (rows, next) = page(memory, folder, after.as_deref(), STORE_ITEMS_MAX)?;
            let mut writes = Vec::new();
            for (id, bytes) in rows {
                let key = memory.key(folder, &id);
                match time_of(&id) {
                    Some(Time::Forwards(rest)) => {
                        // As an earlier version wrote it: back among the others, in their order.
                        writes.push(Write::Set(memory.key(folder, &rest), bytes));
                        writes.push(Write::Delete(key));
                    }
                    Some(Time::Backwards(at)) if at < before => writes.push(Write::Delete(key)),
                    Some(Time::Backwards(_)) if kept < ENTRIES_MAX => kept += 1,
                    Some(Time::Backwards(_)) => {
                        retained.too_many = retained.too_many.saturating_add(1);
                        writes.push(Write::Delete(key));
                    }
                    // Perhaps a newer version's.
                    None => {}
                }
            }
            if !writes.is_empty() {
                memory.commit(writes)?;
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    Ok(retained)
}

impl Edit {
    /// What differs between two states of a CRM record, of these fields; `None` where nothing does.
    pub fn of_crm(before: &CrmFields, after: &CrmFields, fields: &FieldSet) -> Option<Self> {
        let fields = those(fields, |field| before.differs(after, field))?;
        let [before, after] = [before, after].map(|record| {
            let mut part = Box::<CrmFields>::default();
            for field in &fields {
                part.take(*field, record);
            }
            part
        });
        let values = Values::Crm { before, after };
        Some(Self { fields, values })
    }

    /// The same for the mailbox. What is derived from a name goes with the first name.
    pub fn of_mailbox(before: &View, after: &View, fields: &FieldSet) -> Option<Self> {
        let fields = those(fields, |field| before.differs(after, field))?;
        let [before, after] = [before, after].map(|record| {
            let mut part = Box::<View>::default();
            for field in &fields {
                part.take(*field, record);
            }
            part.take_derived(record);
            part
        });
        let values = Values::Mailbox { before, after };
        Some(Self { fields, values })
    }

    /// The side whose record was edited.
    pub fn side(&self) -> Side {
        match self.values {
            Values::Crm { .. } => Side::Crm,
            Values::Mailbox { .. } => Side::Mailbox,
        }
    }
}

/// Those fields of which something holds; `None` where it holds of none.
fn those(fields: &FieldSet, holds: impl Fn(Field) -> bool) -> Option<FieldSet> {
    let those = fields.iter().copied().filter(|field| holds(*field));
    let those: FieldSet = those.collect();
    (!those.is_empty()).then_some(those)
}

/// The time that an id begins with.
enum Time {
    Backwards(Timestamp),
    /// As earlier versions counted it, and the id that such an entry has now.
    Forwards(String),
}

fn id(at: Timestamp, pass: &str, number: u32) -> String {
    let time = LAST_MS.saturating_sub(at.0.clamp(0, LAST_MS));
    let number = 999_999_u32.saturating_sub(number);
    format!("{time:013}-{pass}-{number:06}")
}

fn time_of(id: &str) -> Option<Time> {
    let (time, rest) = id.split_once('-')?;
    let ms: i64 = time.parse().ok()?;
    // Both counts meet in the year 2128.
    if ms > LAST_MS / 2 {
        return Some(Time::Backwards(Timestamp(LAST_MS - ms)));
    }
    let (pass, number) = rest.rsplit_once('-')?;
    let number = number.parse().ok()?;
    Some(Time::Forwards(self::id(Timestamp(ms), pass, number)))
}

/// The pass that an id names.
pub(crate) fn pass_of(id: &str) -> Option<&str> {
    let (_, rest) = id.split_once('-')?;
    Some(rest.rsplit_once('-')?.0)
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// One page of a folder: ids and values, and where the next one begins.
#[expect(
    clippy::type_complexity,
    reason = "ids with values, and where to go on"
)]
pub(crate) fn page(
    memory: &Memory,
    folder: &str,
    after: Option<&str>,
    entries_max: usize,
) -> Result<(Vec<(String, Vec<u8>)>, Option<String>), Failure> {
    let after = match after {
        Some(id) if is_id(id) => Some(memory.key(folder, id)),
        // No page ends so: nothing comes after it.
        Some(_) => return Ok((Vec::new(), None)),
        None => None,
    };
    let (rows, next) = memory.scan_at_most(folder, after.as_deref(), entries_max)?;
    let prefix = memory.key(folder, "").len() + 1;
    let next = next.and_then(|key| Some(key.get(prefix..)?.to_owned()));
    Ok((rows, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_entries_come_first() {
        let ids = [
            id(Timestamp(1_795_000_000_001), "b", 0),
            id(Timestamp(1_795_000_000_000), "a", 1),
            id(Timestamp(1_795_000_000_000), "a", 0),
            id(Timestamp(0), "a", 0),
        ];
        assert!(ids.is_sorted(), "{ids:?}");
        assert!(ids.iter().all(|id| is_id(id)));
    }

    #[test]
    fn ids_say_their_time_and_pass() {
        let at = Timestamp(1_795_000_000_000);
        let new = id(at, "00ff", 7);
        assert!(matches!(time_of(&new), Some(Time::Backwards(found)) if found == at));
        assert_eq!(pass_of(&new), Some("00ff"));
        let old = "1795000000000-00ff-000007";
        assert!(matches!(time_of(old), Some(Time::Forwards(found)) if found == new));
        for nothing in ["", "-", "x-y-z", "1795000000000", "1795000000000-00ff"] {
            assert!(time_of(nothing).is_none(), "{nothing}");
        }
    }
}
