//! What can be brought back: records that a pass deleted, and values that lost a conflict.
//!
//! An entry is committed *before* the deletion or the overwriting is sent, so that a crash in
//! between leaves an entry too many, never one too few. Entries are whole: a deleted record is kept
//! as it was read. Not here yet: bringing back.

use serde::{Deserialize, Serialize};

use crate::contact::{CrmContact, MailboxContact};
use crate::links::{Memory, encode};
use crate::outside::{Timestamp, Write};
use crate::report::{Change, ContactName, Failure, Side};

/// One deletion, or the values that lost in one contact.
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
    /// The whole record, where one was deleted.
    pub record: Option<Record>,
}

/// Why the journal holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A record was deleted.
    Deleted,
    /// A value lost a conflict.
    Overwritten,
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

/// One entry with its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// Ascending with time.
    pub id: String,
    /// The entry.
    pub entry: JournalEntry,
}

/// The write that adds an entry; `number` tells entries of one pass apart.
pub fn write(memory: &Memory, entry: &JournalEntry, number: u32) -> Write {
    Write::Set(
        memory.key("journal", &id(entry.at, &entry.pass, number)),
        encode(entry),
    )
}

/// At most `entries_max` entries, newest first, older than `after`, and where the next page begins.
pub fn entries(
    memory: &Memory,
    after: Option<&str>,
    entries_max: usize,
) -> Result<(Vec<Named>, Option<String>), Failure> {
    // The store scans upwards only. The journal is bounded by its days, so it is read to its end.
    let mut all: Vec<Named> = memory
        .all("journal")?
        .into_iter()
        .map(|(id, entry)| Named { id, entry })
        .filter(|named| after.is_none_or(|after| named.id.as_str() < after))
        .collect();
    all.reverse();
    let more = all.len() > entries_max;
    all.truncate(entries_max);
    let next = all.last().filter(|_| more).map(|named| named.id.clone());
    Ok((all, next))
}

/// The writes that forget entries older than `before`.
pub fn forget_before(memory: &Memory, before: Timestamp) -> Result<Vec<Write>, Failure> {
    Ok(memory
        .all::<JournalEntry>("journal")?
        .into_iter()
        .filter(|(_, entry)| entry.at < before)
        .map(|(id, _)| Write::Delete(memory.key("journal", &id)))
        .collect())
}

fn id(at: Timestamp, pass: &str, number: u32) -> String {
    format!("{:013}-{pass}-{number:06}", at.0.max(0))
}
