//! The calls of `wit/store.wit`, with their limits.

use std::collections::HashSet;
use std::io;
use std::ops::Bound;

use crate::folder::{Reader, Writer};

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Keys of one `get_many`, entries of one `scan`, writes of one `commit`.
pub const ITEMS_MAX: usize = 1024;
/// Keys and values of one call together, in either direction.
pub const CALL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What a folder may hold: the same as the namespace of any other store.
pub const FOLDER_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// When it makes sense to repeat a call that the operating system refused.
const RETRY_MS: u32 = 1_000;

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a key to a value.
    Set(String, Vec<u8>),
    /// Removes a key; no error if it is not there.
    Delete(String),
}

/// A part of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys and values, in ascending order of key.
    pub entries: Vec<(String, Vec<u8>)>,
    /// Whether keys of the range remain after the last one.
    pub more: bool,
}

/// Why a call had no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The call breaks a limit or a rule.
    #[error("{0}")]
    Refused(String),
    /// The operating system refuses. A commit that ends so may have been carried out.
    #[error("the folder cannot be reached; try again in {retry_ms} ms")]
    Unavailable {
        /// When repeating it makes sense.
        retry_ms: u32,
    },
    /// Another run has taken over.
    #[error("another run has taken over")]
    LeaseLost,
    /// The folder is full.
    #[error("{0}")]
    Quota(String),
}

impl Reader {
    /// The values, in the order of the keys.
    pub fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        check_items("keys", keys.len())?;
        keys.iter().try_for_each(|key| check_key(key))?;
        let places: Vec<_> = keys.iter().map(|key| self.entries.get(key)).collect();
        let bytes = places.iter().flatten().map(|place| size(place.bytes)).sum();
        if bytes > CALL_BYTES_MAX {
            return Err(too_many_bytes(bytes));
        }
        let places = places.into_iter();
        let values: io::Result<Vec<_>> = places
            .map(|place| place.map(|place| self.value(*place)).transpose())
            .collect();
        values.map_err(|_| StoreError::unavailable())
    }

    /// Entries whose key begins with `prefix`, from the first one greater than `after`.
    pub fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        entries_max: u32,
    ) -> Result<Page, StoreError> {
        let entries_max = size(entries_max);
        check_scan(prefix, after, entries_max)?;
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut page = Page::default();
        let mut bytes = 0;
        for (key, place) in self.entries.range::<str, _>((from, Bound::Unbounded)) {
            if !key.starts_with(prefix) {
                break;
            }
            bytes += key.len() + size(place.bytes);
            let is_full = bytes > CALL_BYTES_MAX && !page.entries.is_empty();
            if page.entries.len() == entries_max || is_full {
                page.more = true;
                break;
            }
            let value = self.value(*place).map_err(|_| StoreError::unavailable())?;
            page.entries.push((key.clone(), value));
        }
        Ok(page)
    }
}

impl Writer {
    /// The values, in the order of the keys.
    pub fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.check()?;
        self.reader.get_many(keys)
    }

    /// Entries whose key begins with `prefix`, from the first one greater than `after`.
    pub fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        entries_max: u32,
    ) -> Result<Page, StoreError> {
        self.check()?;
        self.reader.scan(prefix, after, entries_max)
    }

    /// All writes or none, durable when it returns.
    pub fn commit(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        check_writes(&writes)?;
        self.write(writes)
    }
}

impl Write {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Set(key, _) | Self::Delete(key) => key,
        }
    }

    pub(crate) fn into_key(self) -> String {
        match self {
            Self::Set(key, _) | Self::Delete(key) => key,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Set(key, value) => key.len() + value.len(),
            Self::Delete(key) => key.len(),
        }
    }
}

impl StoreError {
    pub(crate) fn unavailable() -> Self {
        Self::Unavailable { retry_ms: RETRY_MS }
    }

    pub(crate) fn full(bytes_max: u64) -> Self {
        Self::Quota(format!(
            "the folder is full: it holds at most {bytes_max} bytes; a shorter `journal-days` makes \
             room"
        ))
    }
}

fn check_writes(writes: &[Write]) -> Result<(), StoreError> {
    check_items("writes", writes.len())?;
    let mut keys = HashSet::with_capacity(writes.len());
    let mut bytes = 0;
    for write in writes {
        let key = write.key();
        check_key(key)?;
        if !keys.insert(key) {
            return Err(StoreError::Refused(format!("key `{key}` occurs twice")));
        }
        if let Write::Set(_, value) = write
            && value.len() > VALUE_BYTES_MAX
        {
            let bytes = value.len();
            return Err(StoreError::Refused(format!(
                "the value of `{key}` has {bytes} bytes; the limit is {VALUE_BYTES_MAX}"
            )));
        }
        bytes += write.bytes();
    }
    if bytes > CALL_BYTES_MAX {
        return Err(too_many_bytes(bytes));
    }
    Ok(())
}

fn check_scan(prefix: &str, after: Option<&str>, entries_max: usize) -> Result<(), StoreError> {
    if entries_max == 0 {
        return Err(StoreError::Refused("`entries-max` is 0".into()));
    }
    check_items("entries", entries_max)?;
    if !prefix.is_empty() {
        check_key(prefix)?;
    }
    after.map_or(Ok(()), check_key)
}

fn check_items(what: &str, count: usize) -> Result<(), StoreError> {
    if count <= ITEMS_MAX {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "{count} {what} in one call; the limit is {ITEMS_MAX}"
    )))
}

fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() {
        return Err(StoreError::Refused("a key is empty".into()));
    }
    if key.len() > KEY_BYTES_MAX {
        let bytes = key.len();
        return Err(StoreError::Refused(format!(
            "a key has {bytes} bytes; the limit is {KEY_BYTES_MAX}"
        )));
    }
    if key.chars().any(char::is_control) {
        return Err(StoreError::Refused(
            "a key contains a control character".into(),
        ));
    }
    Ok(())
}

fn too_many_bytes(bytes: usize) -> StoreError {
    StoreError::Refused(format!(
        "{bytes} bytes in one call; the limit is {CALL_BYTES_MAX}"
    ))
}

fn size(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
