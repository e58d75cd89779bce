//! Rows of what waits for a person: the open request's list, the answer, and what was said of pairs
//! that no pass got to.
//!
//! A list is kept under its token, and [`State::approval_request`](super::State) is what says which
//! list is asked now: a list that was only half written is never read.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{Memory, decode, encode};
use crate::contact::CrmId;
use crate::outside::Write;
use crate::plan::approval::{Entry, Judgement, Verdict};
use crate::report::Failure;

/// Entries of one row: each holds at most eleven fields of 1,000 bytes, so that a row stays below
/// the 1 MiB of `wit/store.wit`.
const PAGE_ENTRIES: usize = 32;

/// Rows read at once: below the 8 MiB of `wit/store.wit`, however long they are.
const PAGES_AT_ONCE: usize = 8;

/// A stored answer of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVerdict {
    /// Which list it is about.
    pub token: String,
    /// What was said.
    pub verdict: Verdict,
}

impl Memory {
    /// At most `entries_max` entries of a list, from number `first` on, with their numbers. Entries
    /// that cannot be read are left out: they are asked for again.
    pub fn request_entries(
        &self,
        token: &str,
        first: usize,
        entries_max: usize,
    ) -> Result<Vec<(usize, Entry)>, Failure> {
        let end = first.saturating_add(entries_max);
        let pages: Vec<usize> = (first / PAGE_ENTRIES..end.div_ceil(PAGE_ENTRIES)).collect();
        let mut entries = Vec::new();
        for pages in pages.chunks(PAGES_AT_ONCE) {
            let keys: Vec<String> = pages
                .iter()
                .map(|page| self.page_key(token, *page))
                .collect();
            for (page, value) in pages.iter().zip(self.get(&keys)?) {
                let listed: Vec<Entry> = decode(value).found().unwrap_or_default();
                let numbered = listed.into_iter().enumerate();
                let numbered = numbered.map(|(index, entry)| (page * PAGE_ENTRIES + index, entry));
                entries.extend(numbered.filter(|(number, _)| (first..end).contains(number)));
            }
        }
        Ok(entries)
    }

    /// The writes that store a list.
    pub fn set_request(&self, token: &str, entries: &[Entry]) -> Vec<Write> {
        let pages = entries.chunks(PAGE_ENTRIES).enumerate();
        pages
            .map(|(page, entries)| Write::Set(self.page_key(token, page), encode(&entries)))
            .collect()
    }

    /// The writes that remove every list but that of `token`, also one that was half written.
    pub fn delete_requests_but(&self, token: Option<&str>) -> Result<Vec<Write>, Failure> {
        let kept = token.map(|token| format!("{token}/"));
        let mut writes = Vec::new();
        let mut after = None;
        loop {
            let (rows, next) = self.scan("request", after.as_deref())?;
            let old = rows.into_iter().map(|(id, _)| id);
            let old = old.filter(|id| kept.as_ref().is_none_or(|kept| !id.starts_with(kept)));
            writes.extend(old.map(|id| Write::Delete(self.key("request", &id))));
            match next {
                Some(next) => after = Some(next),
                None => return Ok(writes),
            }
        }
    }

    /// What a person said, where no pass has acted on it.
    pub fn verdict(&self) -> Result<Option<StoredVerdict>, Failure> {
        let value = self.get(&[self.key("verdict", "")])?.pop().flatten();
        Ok(decode(value).found())
    }

    /// The write that stores or removes what a person said.
    pub fn set_verdict(&self, verdict: Option<&StoredVerdict>) -> Write {
        let key = self.key("verdict", "");
        match verdict {
            Some(verdict) => Write::Set(key, encode(verdict)),
            None => Write::Delete(key),
        }
    }

    /// What was said of pairs that no pass has got to.
    pub fn judgements(&self) -> Result<BTreeMap<CrmId, Vec<Judgement>>, Failure> {
        let rows = self.all("judged")?;
        Ok(rows
            .into_iter()
            .map(|(id, judgements)| (CrmId::new(id), judgements))
            .collect())
    }

    /// The write that stores or removes what was said of a pair.
    pub fn set_judgements(&self, id: &CrmId, judgements: &[Judgement]) -> Write {
        let key = self.key("judged", id.as_str());
        if judgements.is_empty() {
            Write::Delete(key)
        } else {
            Write::Set(key, encode(&judgements))
        }
    }

    fn page_key(&self, token: &str, page: usize) -> String {
        self.key("request", &format!("{token}/{page:06}"))
    }
}
