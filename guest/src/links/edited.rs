//! When users edited what a CRM contact holds (contract, section 5, `newest`).
//!
//! A CRM knows one time for a whole record, and every pass moves it. So a pass that carries an edit
//! from a mailbox into the CRM remembers, value by value, when it was made there. All mailboxes of
//! a tenant share these rows: what one pass wrote is what the next mailbox's edit is weighed
//! against.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{Memory, Stored, decode, encode};
use crate::contact::{CrmContact, CrmFields, CrmId};
use crate::mapping::{Trace, held};
use crate::outside::{STORE_ITEMS_MAX, Timestamp, Write};
use crate::report::Failure;

/// Times closer than this say nothing about who was later: two clocks, and an index in between.
pub const SAME_TIME_MS: i64 = 120_000;

/// Cleared values that are remembered of one contact, the newest ones.
const CLEARED_MAX: usize = 64;

/// The edit times of one CRM contact, as far as passes brought the edits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    /// When what a pass wrote was edited in its mailbox; `None` where the mailbox did not say.
    #[serde(default)]
    held: BTreeMap<u64, Option<Timestamp>>,
    /// The same of what a pass cleared.
    #[serde(default)]
    cleared: BTreeMap<u64, Option<Timestamp>>,
    /// The CRM's time of the record after the last write.
    #[serde(default)]
    written: Option<Timestamp>,
    /// The last time before that at which somebody who is no pass may have edited the record.
    #[serde(default)]
    others: Option<Timestamp>,
}

/// A write of a pass to the CRM.
#[derive(Clone, Copy, Debug)]
pub struct CrmWrite<'a> {
    /// The record before; `None` where it was created.
    pub before: Option<&'a CrmContact>,
    /// What it holds after.
    pub after: &'a CrmFields,
    /// The CRM's time of the record after; `None` while it is still to be sent.
    pub written: Option<Timestamp>,
    /// When the mailbox contact was edited.
    pub edited: Option<Timestamp>,
    /// How a number without country code is read.
    pub region: &'a str,
}

impl Edited {
    /// When a user last edited this in the CRM, or in the mailbox that it came from; `None` where
    /// that is not known. `modified` is the CRM's time of the record that is looked at.
    pub fn at(&self, trace: Trace, modified: Option<Timestamp>) -> Option<Timestamp> {
        let known = match trace {
            Trace::Held(trace) => self.held.get(&trace),
            Trace::Cleared(trace) => self.cleared.get(&trace),
        };
        if let Some(at) = known {
            return *at;
        }
        match (modified, self.written) {
            (Some(modified), Some(written)) if modified <= written => self.others,
            // Perhaps a user, perhaps a marker that was set along with the write.
            (Some(modified), Some(written)) if modified.since_ms(written) < SAME_TIME_MS => None,
            (modified, _) => modified,
        }
    }

    /// These times after a pass has written to the CRM.
    #[must_use]
    pub fn after(mut self, write: CrmWrite<'_>) -> Self {
        let before = write
            .before
            .map(|contact| held(&contact.fields, write.region))
            .unwrap_or_default();
        let after = held(write.after, write.region);
        for trace in after.difference(&before) {
            self.held.insert(*trace, write.edited);
        }
        for trace in before.difference(&after) {
            self.cleared.insert(*trace, write.edited);
        }
        self.held.retain(|trace, _| after.contains(trace));
        self.cleared.retain(|trace, _| !after.contains(trace));
        while self.cleared.len() > CLEARED_MAX {
            let oldest = self.cleared.iter().min_by_key(|(_, at)| **at);
            let Some(oldest) = oldest.map(|(trace, _)| *trace) else {
                break;
            };
            self.cleared.remove(&oldest);
        }
        let modified = write.before.and_then(|contact| contact.modified);
        if self
            .written
            .is_none_or(|written| modified.is_some_and(|at| at > written))
        {
            self.others = modified;
        }
        self.written = write.written.or(self.written);
        self
    }
}

impl Memory {
    /// The edit times of a CRM contact; none where no pass has written to it.
    pub fn edited(&self, id: &CrmId) -> Result<Edited, Failure> {
        let value = self.get(&[edited_key(id)])?.pop().flatten();
        // A damaged row says nothing, and neither does its absence.
        Ok(decode(value).found().unwrap_or_default())
    }

    /// The write that stores or removes the edit times of a CRM contact.
    pub fn set_edited(&self, id: &CrmId, edited: Option<&Edited>) -> Write {
        match edited {
            Some(edited) => Write::Set(edited_key(id), encode(edited)),
            None => Write::Delete(edited_key(id)),
        }
    }

    /// The writes that forget the edit times of contacts that `is_kept` does not name. It is given
    /// the id, and when a pass last wrote to the contact.
    pub fn forget_edited(
        &self,
        is_kept: impl Fn(&CrmId, Option<Timestamp>) -> bool,
    ) -> Result<Vec<Write>, Failure> {
        let entries_max = u32::try_from(STORE_ITEMS_MAX).unwrap_or(u32::MAX);
        let mut writes = Vec::new();
        let mut after = None;
        loop {
            let scan = || self.outside.scan(EDITED, after.as_deref(), entries_max);
            let page = self
                .patiently(scan)
                .map_err(|error| super::store_failure(&error))?;
            for (key, value) in page.entries {
                let id = CrmId::new(key.get(EDITED.len()..).unwrap_or_default());
                let written = match decode::<Edited>(Some(value)) {
                    Stored::Found(edited) => edited.written,
                    Stored::Missing | Stored::Damaged => None,
                };
                if !is_kept(&id, written) {
                    writes.push(Write::Delete(key));
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(writes),
            }
        }
    }
}

const EDITED: &str = "crm/edited/";

fn edited_key(id: &CrmId) -> String {
    format!("{EDITED}{id}")
}
