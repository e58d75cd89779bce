//! A store that forgets when the process ends: for tests, and for trying things out.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    Access, Acquired, Answer, AnswerBudget, Clock, Crash, Lease, NAMESPACE_BYTES_MAX_DEFAULT, Page,
    ScanRange, Store, StoreError, Write, namespace_full, system_clock, too_many_bytes,
};

/// A store in memory.
pub struct MemoryStore {
    tenants: Mutex<BTreeMap<String, Tenant>>,
    clock: Clock,
    namespace_bytes_max: u64,
}

#[derive(Default)]
struct Tenant {
    epoch: u64,
    holder: String,
    expires_ms: u64,
    bytes: u64,
    entries: BTreeMap<String, Vec<u8>>,
    crashes: BTreeMap<String, Crash>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(system_clock(), NAMESPACE_BYTES_MAX_DEFAULT)
    }
}

impl MemoryStore {
    /// An empty store whose leases run by `clock` and whose namespaces hold so many bytes.
    pub fn new(clock: Clock, namespace_bytes_max: u64) -> Self {
        Self {
            tenants: Mutex::default(),
            clock,
            namespace_bytes_max,
        }
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<String, Tenant>> {
        // Every change below is complete before anything can panic.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(
        &self,
        access: &Access,
        work: impl FnOnce(&Tenant) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut tenants = self.tenants();
        let tenant = tenants.entry(access.tenant().to_owned()).or_default();
        if let Access::Fenced(lease) = access {
            tenant.check(lease)?;
        }
        work(tenant)
    }

    fn write<T>(
        &self,
        lease: &Lease,
        work: impl FnOnce(&mut Tenant) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut tenants = self.tenants();
        let tenant = tenants.entry(lease.tenant.clone()).or_default();
        tenant.check(lease)?;
        work(tenant)
    }
}

impl Store for MemoryStore {
    fn acquire<'a>(
        &'a self,
        tenant: &'a str,
        holder: &'a str,
        ttl_ms: u64,
    ) -> Answer<'a, Acquired> {
        let now_ms = (self.clock)();
        let mut tenants = self.tenants();
        let found = tenants.entry(tenant.to_owned()).or_default();
        let acquired = if found.expires_ms > now_ms {
            Acquired::HeldBy {
                holder: found.holder.clone(),
                ends_in_ms: found.expires_ms - now_ms,
            }
        } else {
            found.epoch += 1;
            found.expires_ms = now_ms.saturating_add(ttl_ms);
            holder.clone_into(&mut found.holder);
            Acquired::Lease(Lease {
                tenant: tenant.to_owned(),
                epoch: found.epoch,
            })
        };
        answer(Ok(acquired))
    }

    fn renew<'a>(&'a self, lease: &'a Lease, ttl_ms: u64) -> Answer<'a, ()> {
        let expires_ms = (self.clock)().saturating_add(ttl_ms);
        answer(self.write(lease, |tenant| {
            tenant.expires_ms = expires_ms;
            Ok(())
        }))
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> Answer<'a, ()> {
        let released = self.write(lease, |tenant| {
            tenant.epoch += 1;
            tenant.expires_ms = 0;
            Ok(())
        });
        answer(match released {
            Err(StoreError::LeaseLost) => Ok(()),
            released => released,
        })
    }

    fn get_many<'a>(
        &'a self,
        access: &'a Access,
        keys: Vec<String>,
        bytes_max: usize,
    ) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        answer(self.read(access, |tenant| {
            let mut budget = AnswerBudget::new(bytes_max);
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                let value = tenant.entries.get(&key).cloned();
                if !budget.take(value.as_ref().map_or(0, Vec::len)) {
                    return Err(too_many_bytes(budget.bytes));
                }
                values.push(value);
            }
            Ok(values)
        }))
    }

    fn scan<'a>(&'a self, access: &'a Access, range: ScanRange) -> Answer<'a, Page> {
        answer(self.read(access, |tenant| {
            let from = match &range.after {
                Some(after) if *after >= range.prefix => Bound::Excluded(after.clone()),
                _ => Bound::Included(range.prefix.clone()),
            };
            let mut page = Page::default();
            let mut budget = AnswerBudget::new(range.bytes_max);
            for (key, value) in tenant.entries.range((from, Bound::Unbounded)) {
                if !key.starts_with(&range.prefix) {
                    break;
                }
                let fits = budget.take(key.len() + value.len()) || page.entries.is_empty();
                if page.entries.len() == range.entries_max || !fits {
                    page.more = true;
                    break;
                }
                page.entries.push((key.clone(), value.clone()));
            }
            Ok(page)
        }))
    }

    fn commit<'a>(&'a self, lease: &'a Lease, writes: Vec<Write>) -> Answer<'a, ()> {
        let bytes_max = self.namespace_bytes_max;
        answer(self.write(lease, |tenant| {
            let bytes = tenant.bytes_after(&writes);
            if bytes > bytes_max && bytes > tenant.bytes {
                return Err(namespace_full(bytes_max));
            }
            tenant.bytes = bytes;
            for write in writes {
                match write {
                    Write::Set(key, value) => tenant.entries.insert(key, value),
                    Write::Delete(key) => tenant.entries.remove(&key),
                };
            }
            Ok(())
        }))
    }

    fn keep_crash<'a>(&'a self, tenant: &'a str, mailbox: &'a str, crash: Crash) -> Answer<'a, ()> {
        let mut tenants = self.tenants();
        let found = tenants.entry(tenant.to_owned()).or_default();
        found.crashes.insert(mailbox.to_owned(), crash);
        answer(Ok(()))
    }

    fn last_crash<'a>(&'a self, tenant: &'a str, mailbox: &'a str) -> Answer<'a, Option<Crash>> {
        let tenants = self.tenants();
        answer(Ok(tenants
            .get(tenant)
            .and_then(|found| found.crashes.get(mailbox))
            .cloned()))
    }
}

impl Tenant {
    fn check(&self, lease: &Lease) -> Result<(), StoreError> {
        if self.epoch == lease.epoch {
            Ok(())
        } else {
            Err(StoreError::LeaseLost)
        }
    }

    fn bytes_after(&self, writes: &[Write]) -> u64 {
        let mut bytes = self.bytes;
        for write in writes {
            let key = write.key();
            let before = self
                .entries
                .get(key)
                .map_or(0, |value| key.len() + value.len());
            let after = match write {
                Write::Set(key, value) => key.len() + value.len(),
                Write::Delete(_) => 0,
            };
            bytes = bytes
                .saturating_sub(before as u64)
                .saturating_add(after as u64);
        }
        bytes
    }
}

fn answer<'a, T: Send + 'a>(result: Result<T, StoreError>) -> Answer<'a, T> {
    Box::pin(std::future::ready(result))
}
