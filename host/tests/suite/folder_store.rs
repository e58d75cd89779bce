//! The adapter for hosts that have a folder and no store, as one of ours: a folder per tenant.
//!
//! What it does under such a host is done here by the same code natively, so that one suite says
//! what every store promises.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use contact_sync_file_store::store as folder_store;
use contact_sync_file_store::{Acquired as Taken, Folder, Wanted, Writer};
use contact_sync_host::store::{
    Access, Acquired, Answer, Clock, Crash, Lease, Page, ScanRange, Store, StoreError, Write,
};

/// Folders below one.
pub(crate) struct FolderStore {
    path: PathBuf,
    clock: Clock,
    bytes_max: u64,
    /// By tenant and number: what this process has taken, also where it was taken from it.
    writers: Mutex<BTreeMap<(String, u64), Writer>>,
}

impl FolderStore {
    pub(crate) fn new(path: &Path, clock: Clock, bytes_max: u64) -> Self {
        Self {
            path: path.to_owned(),
            clock,
            bytes_max,
            writers: Mutex::default(),
        }
    }

    fn folder(&self, tenant: &str) -> Folder {
        let path = self.path.join(tenant);
        fs::create_dir_all(&path).unwrap();
        Folder::new(path, self.bytes_max)
    }

    fn writers(&self) -> MutexGuard<'_, BTreeMap<(String, u64), Writer>> {
        self.writers.lock().unwrap()
    }

    fn with<T>(
        &self,
        lease: &Lease,
        work: impl FnOnce(&mut Writer) -> Result<T, folder_store::StoreError>,
    ) -> Result<T, StoreError> {
        let mut writers = self.writers();
        let key = (lease.tenant.clone(), lease.epoch);
        let writer = writers.get_mut(&key).ok_or(StoreError::LeaseLost)?;
        work(writer).map_err(told)
    }

    fn crash(&self, tenant: &str, mailbox: &str) -> PathBuf {
        self.path.join(format!("{tenant}.{mailbox}.crash"))
    }
}

impl Store for FolderStore {
    fn acquire<'a>(
        &'a self,
        tenant: &'a str,
        holder: &'a str,
        ttl_ms: u64,
    ) -> Answer<'a, Acquired> {
        let wanted = Wanted {
            tenant: Some(tenant),
            holder,
            now_ms: (self.clock)(),
            ttl_ms,
            take_over: false,
        };
        let acquired = match self.folder(tenant).acquire(wanted).unwrap() {
            Taken::HeldBy { holder, ends_in_ms } => Acquired::HeldBy { holder, ends_in_ms },
            Taken::Writer(writer) => {
                let (tenant, epoch) = (tenant.to_owned(), writer.epoch());
                self.writers().insert((tenant.clone(), epoch), *writer);
                Acquired::Lease(Lease { tenant, epoch })
            }
        };
        answer(Ok(acquired))
    }

    fn renew<'a>(&'a self, lease: &'a Lease, ttl_ms: u64) -> Answer<'a, ()> {
        let until_ms = (self.clock)() + ttl_ms;
        answer(self.with(lease, |writer| writer.renew(until_ms)))
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> Answer<'a, ()> {
        answer(self.with(lease, Writer::release))
    }

    fn get_many<'a>(
        &'a self,
        access: &'a Access,
        keys: Vec<String>,
        _bytes_max: usize,
    ) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        answer(match access {
            Access::Fenced(lease) => self.with(lease, |writer| writer.get_many(&keys)),
            Access::ReadOnly(tenant) => {
                let reader = self.folder(tenant).read().unwrap();
                reader.get_many(&keys).map_err(told)
            }
        })
    }

    fn scan<'a>(&'a self, access: &'a Access, range: ScanRange) -> Answer<'a, Page> {
        let entries_max = u32::try_from(range.entries_max).unwrap();
        let (prefix, after) = (range.prefix.as_str(), range.after.as_deref());
        let page = match access {
            Access::Fenced(lease) => {
                self.with(lease, |writer| writer.scan(prefix, after, entries_max))
            }
            Access::ReadOnly(tenant) => {
                let reader = self.folder(tenant).read().unwrap();
                reader.scan(prefix, after, entries_max).map_err(told)
            }
        };
        answer(page.map(|page| Page {
            entries: page.entries,
            more: page.more,
        }))
    }

    fn commit<'a>(&'a self, lease: &'a Lease, writes: Vec<Write>) -> Answer<'a, ()> {
        let writes = writes.into_iter().map(|write| match write {
            Write::Set(key, value) => folder_store::Write::Set(key, value),
            Write::Delete(key) => folder_store::Write::Delete(key),
        });
        let writes = writes.collect();
        answer(self.with(lease, |writer| writer.commit(writes)))
    }

    fn keep_crash<'a>(&'a self, tenant: &'a str, mailbox: &'a str, crash: Crash) -> Answer<'a, ()> {
        let text = format!("{}\n{}", crash.at, crash.last_words);
        fs::write(self.crash(tenant, mailbox), text).unwrap();
        answer(Ok(()))
    }

    fn last_crash<'a>(&'a self, tenant: &'a str, mailbox: &'a str) -> Answer<'a, Option<Crash>> {
        let text = fs::read_to_string(self.crash(tenant, mailbox)).ok();
        answer(Ok(text.map(|text| {
            let (at, last_words) = text.split_once('\n').unwrap();
            Crash {
                at: at.parse().unwrap(),
                last_words: last_words.into(),
            }
        })))
    }
}

fn told(error: folder_store::StoreError) -> StoreError {
    match error {
        folder_store::StoreError::Refused(text) => StoreError::Refused(text),
        folder_store::StoreError::Unavailable { retry_ms } => StoreError::Unavailable { retry_ms },
        folder_store::StoreError::LeaseLost => StoreError::LeaseLost,
        folder_store::StoreError::Quota(text) => StoreError::Quota(text),
    }
}

fn answer<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> Answer<'a, T> {
    Box::pin(std::future::ready(answer))
}
