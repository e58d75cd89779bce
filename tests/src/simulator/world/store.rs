//! A store in memory that keeps the rules of `wit/store.wit`, counts, and fails on demand.

use contact_sync_guest::outside::{
    STORE_CALL_BYTES_MAX, STORE_ITEMS_MAX, ScanPage, StoreError, Write,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

const KEY_BYTES_MAX: usize = 512;
const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// What a call of the store suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// `unavailable`; nothing was written.
    UnavailableBefore,
    /// `unavailable`; a commit was carried out all the same.
    UnavailableAfter,
    /// `lease-lost`, for this and every further call, until the next one is ordered.
    LeaseLost,
    /// `quota`; nothing was written.
    Quota,
    /// Ends a lost lease: the next pass holds one of its own.
    LeaseRegained,
}

/// What was read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounters {
    /// Calls that read.
    pub reads: u64,
    /// Rows that reads returned.
    pub rows_read: u64,
    /// Commits that were carried out.
    pub commits: u64,
    /// Writes in them.
    pub rows_written: u64,
    /// Bytes of keys and values that were read.
    pub bytes_read: u64,
    /// Bytes of keys and values that were written.
    pub bytes_written: u64,
}

#[derive(Debug, Default)]
pub(super) struct MemoryStore {
    rows: BTreeMap<String, Vec<u8>>,
    counters: StoreCounters,
    fault: Option<(u32, StoreFault)>,
    lease_lost: bool,
    scan_entries_max: Option<usize>,
}

/// How an ordered fault ends a call.
enum Ending {
    None,
    Before(StoreError),
    After(StoreError),
}

const TRY_AGAIN_MS: u32 = 50;

impl MemoryStore {
    pub(super) fn counters(&self) -> StoreCounters {
        self.counters
    }

    pub(super) fn reset_counters(&mut self) {
        self.counters = StoreCounters::default();
    }

    pub(super) fn rows(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.rows
    }

    pub(super) fn set_rows(&mut self, rows: BTreeMap<String, Vec<u8>>) {
        self.rows = rows;
    }

    pub(super) fn fail(&mut self, skip: u32, fault: StoreFault) {
        if fault == StoreFault::LeaseRegained {
            self.lease_lost = false;
            self.fault = None;
        } else {
            self.fault = Some((skip, fault));
        }
    }

    pub(super) fn limit_scans(&mut self, entries_max: usize) {
        self.scan_entries_max = Some(entries_max);
    }

    pub(super) fn get_many(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let ending = self.ending();
        if let Ending::Before(error) | Ending::After(error) = ending {
            return Err(error);
        }
        refuse_if(keys.len() > STORE_ITEMS_MAX, "more than 1,024 keys")?;
        keys.iter().try_for_each(|key| check_key(key))?;
        let values: Vec<Option<Vec<u8>>> =
            keys.iter().map(|key| self.rows.get(key).cloned()).collect();
        let found = values.iter().flatten();
        let value_bytes: usize = found.clone().map(Vec::len).sum();
        let key_bytes: usize = keys.iter().map(String::len).sum();
        refuse_if(
            key_bytes + value_bytes > STORE_CALL_BYTES_MAX,
            "more than 8 MiB",
        )?;
        self.counters.reads += 1;
        self.counters.rows_read += found.count() as u64;
        self.counters.bytes_read += (key_bytes + value_bytes) as u64;
        Ok(values)
    }

    pub(super) fn scan(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        entries_max: u32,
    ) -> Result<ScanPage, StoreError> {
        let ending = self.ending();
        if let Ending::Before(error) | Ending::After(error) = ending {
            return Err(error);
        }
        let wanted = entries_max as usize;
        refuse_if(
            wanted == 0 || wanted > STORE_ITEMS_MAX,
            "entries-max is not 1 to 1,024",
        )?;
        refuse_if(prefix.len() > KEY_BYTES_MAX, "prefix longer than 512 bytes")?;
        after.map_or(Ok(()), check_key)?;
        let wanted = self
            .scan_entries_max
            .map_or(wanted, |max| wanted.min(max.max(1)));
        let lower = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut rest = self
            .rows
            .range::<str, _>((lower, Bound::Unbounded))
            .peekable();
        let mut page = ScanPage::default();
        let mut bytes = 0;
        while let Some((key, value)) = rest.next_if(|(key, _)| key.starts_with(prefix)) {
            let size = key.len() + value.len();
            if page.entries.len() == wanted || bytes + size > STORE_CALL_BYTES_MAX {
                page.next = page.entries.last().map(|(key, _)| key.clone());
                break;
            }
            bytes += size;
            page.entries.push((key.clone(), value.clone()));
        }
        self.counters.reads += 1;
        self.counters.rows_read += page.entries.len() as u64;
        self.counters.bytes_read += bytes as u64;
        Ok(page)
    }

    pub(super) fn commit(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        let ending = self.ending();
        if let Ending::Before(error) = ending {
            return Err(error);
        }
        let bytes = check_writes(&writes)?;
        self.counters.commits += 1;
        self.counters.rows_written += writes.len() as u64;
        self.counters.bytes_written += bytes as u64;
        for write in writes {
            match write {
                Write::Set(key, value) => {
                    self.rows.insert(key, value);
                }
                Write::Delete(key) => {
                    self.rows.remove(&key);
                }
            }
        }
        match ending {
            Ending::After(error) => Err(error),
            _ => Ok(()),
        }
    }

    fn ending(&mut self) -> Ending {
        if self.lease_lost {
            return Ending::Before(StoreError::LeaseLost);
        }
        let Some((skip, fault)) = &mut self.fault else {
            return Ending::None;
        };
        if *skip > 0 {
            *skip -= 1;
            return Ending::None;
        }
        let fault = *fault;
        self.fault = None;
        match fault {
            StoreFault::UnavailableBefore => Ending::Before(StoreError::Unavailable(TRY_AGAIN_MS)),
            StoreFault::UnavailableAfter => Ending::After(StoreError::Unavailable(TRY_AGAIN_MS)),
            StoreFault::LeaseLost => {
                self.lease_lost = true;
                Ending::Before(StoreError::LeaseLost)
            }
            StoreFault::Quota => {
                Ending::Before(StoreError::Quota("the simulator says so".to_owned()))
            }
            StoreFault::LeaseRegained => Ending::None,
        }
    }
}

fn check_writes(writes: &[Write]) -> Result<usize, StoreError> {
    refuse_if(writes.len() > STORE_ITEMS_MAX, "more than 1,024 writes")?;
    let mut keys = BTreeSet::new();
    let mut bytes = 0;
    for write in writes {
        let (key, value): (_, &[u8]) = match write {
            Write::Set(key, value) => (key, value),
            Write::Delete(key) => (key, &[]),
        };
        check_key(key)?;
        refuse_if(value.len() > VALUE_BYTES_MAX, "value larger than 1 MiB")?;
        refuse_if(!keys.insert(key), "a key occurs twice")?;
        bytes += key.len() + value.len();
    }
    refuse_if(bytes > STORE_CALL_BYTES_MAX, "more than 8 MiB")?;
    Ok(bytes)
}

fn check_key(key: &str) -> Result<(), StoreError> {
    let fits = (1..=KEY_BYTES_MAX).contains(&key.len());
    refuse_if(!fits, "key is not 1 to 512 bytes")?;
    refuse_if(
        key.chars().any(char::is_control),
        "key has a control character",
    )
}

fn refuse_if(broken: bool, rule: &str) -> Result<(), StoreError> {
    if broken {
        Err(StoreError::Refused(rule.to_owned()))
    } else {
        Ok(())
    }
}
