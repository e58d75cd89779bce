//! What is remembered between passes, and who may write it.
//!
//! A platform's storage implements [`Store`]; [`SqliteStore`] is the one for a single machine,
//! [`MemoryStore`] the one for tests. An adapter only stores and fences: the limits of
//! `wit/store.wit` are checked here, in [`Namespace`], so that they are the same in front of every
//! adapter.
//!
//! The lease sits on the tenant, not on the mailbox: two passes in one tenant would both write to
//! its CRM. Its epoch is the fencing token: an adapter compares it inside the transaction of every
//! call, so a holder that was taken over cannot write, however late its call arrives.

mod lease;
mod memory;
mod sqlite;

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use lease::{KeptLease, LEASE_TTL_MS};
pub use memory::MemoryStore;
pub use sqlite::{OpenError, SqliteStore};

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of a value. An Exchange Server sync state alone can be tens of KiB.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Keys of one `get_many`, entries of one `scan`, writes of one `commit`.
pub const ITEMS_MAX: usize = 1024;
/// Keys and values of one call together, in either direction.
pub const CALL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What one tenant may keep unless the host says otherwise: 100,000 links of some 4 KiB, and their
/// journal several times over.
pub const NAMESPACE_BYTES_MAX_DEFAULT: u64 = 4 * 1024 * 1024 * 1024;

/// What a [`Store`] returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Storage for all tenants of a host.
///
/// Every method that takes an [`Access`] or a [`Lease`] must find the lease still valid *in the
/// transaction that does the work*, and answer [`StoreError::LeaseLost`] otherwise. The arguments
/// are within the limits of this module already.
pub trait Store: Send + Sync + 'static {
    /// Takes the tenant's lease for `ttl_ms`. Fails while somebody else holds a live one.
    fn acquire<'a>(&'a self, tenant: &'a str, holder: &'a str, ttl_ms: u64)
    -> Answer<'a, Acquired>;

    /// Extends a lease by `ttl_ms` from now.
    fn renew<'a>(&'a self, lease: &'a Lease, ttl_ms: u64) -> Answer<'a, ()>;

    /// Gives a lease back. It is invalid from then on; one that was lost already is no error.
    fn release<'a>(&'a self, lease: &'a Lease) -> Answer<'a, ()>;

    /// The values in the order of the keys. Refuses when they exceed `bytes_max` together.
    fn get_many<'a>(
        &'a self,
        access: &'a Access,
        keys: Vec<String>,
        bytes_max: usize,
    ) -> Answer<'a, Vec<Option<Vec<u8>>>>;

    /// Entries in ascending order of the bytes of their keys.
    fn scan<'a>(&'a self, access: &'a Access, range: ScanRange) -> Answer<'a, Page>;

    /// All writes or none, durable when it returns. Keys are distinct.
    fn commit<'a>(&'a self, lease: &'a Lease, writes: Vec<Write>) -> Answer<'a, ()>;

    /// Keeps the last words of a crashed pass with the tenant's other data, in place of earlier
    /// ones of that mailbox.
    fn keep_crash<'a>(&'a self, tenant: &'a str, mailbox: &'a str, crash: Crash) -> Answer<'a, ()>;

    /// The last crash of a mailbox's passes.
    fn last_crash<'a>(&'a self, tenant: &'a str, mailbox: &'a str) -> Answer<'a, Option<Crash>>;
}

/// The right to write in one tenant's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whose namespace.
    pub tenant: String,
    /// The fencing token: grows with every holder.
    pub epoch: u64,
}

/// Whether a lease was to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is ours.
    Lease(Lease),
    /// Somebody else works in this tenant.
    HeldBy {
        /// As the holder named itself.
        holder: String,
        /// When its lease ends unless it renews it, in milliseconds from now.
        ends_in_ms: u64,
    },
}

/// By what right a namespace is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// For a pass: until its lease is lost.
    Fenced(Lease),
    /// For looking only, beside a pass that may be running: the tenant.
    ReadOnly(String),
}

impl Access {
    /// Whose namespace.
    pub fn tenant(&self) -> &str {
        match self {
            Self::Fenced(lease) => &lease.tenant,
            Self::ReadOnly(tenant) => tenant,
        }
    }
}

/// What a scan asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRange {
    /// Keys that begin with this; all if it is empty.
    pub prefix: String,
    /// Only keys greater than this.
    pub after: Option<String>,
    /// At most so many.
    pub entries_max: usize,
    /// At most so many bytes of keys and values, but at least one entry.
    pub bytes_max: usize,
}

impl ScanRange {
    /// The first key in order that no longer begins with the prefix; `None` if every key does.
    fn end(&self) -> Option<Vec<u8>> {
        let mut end = self.prefix.clone().into_bytes();
        // A byte of UTF-8 is at most 0xF4, so that the last one can always grow.
        let last = end.last_mut()?;
        *last += 1;
        Some(end)
    }
}

/// A part of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys and values, in ascending order of key.
    pub entries: Vec<(String, Vec<u8>)>,
    /// Whether keys of the range remain after the last one.
    pub more: bool,
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a key to a value.
    Set(String, Vec<u8>),
    /// Removes a key; no error if it is not there.
    Delete(String),
}

impl Write {
    fn key(&self) -> &str {
        match self {
            Self::Set(key, _) | Self::Delete(key) => key,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Set(key, value) => key.len() + value.len(),
            Self::Delete(key) => key.len(),
        }
    }
}

/// How a pass crashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Milliseconds since 1970-01-01T00:00Z.
    pub at: u64,
    /// The trap, and the end of what the plugin wrote to its standard error.
    pub last_words: String,
}

/// Why a call had no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The call breaks a limit or a rule.
    #[error("the store refuses the call: {0}")]
    Refused(String),
    /// Busy or out of reach. A commit that ends so may have been carried out.
    #[error("the store cannot be reached; try again in {retry_ms} ms")]
    Unavailable {
        /// When repeating it makes sense.
        retry_ms: u32,
    },
    /// Another holder has the lease.
    #[error("another host has taken over this tenant")]
    LeaseLost,
    /// The namespace is full.
    #[error("{0}")]
    Quota(String),
}

/// One tenant's part of a store, as a pass sees it.
#[derive(Clone)]
pub struct Namespace {
    store: Arc<dyn Store>,
    access: Access,
}

impl fmt::Debug for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Namespace")
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

impl Namespace {
    /// The namespace that `access` opens.
    pub fn new(store: Arc<dyn Store>, access: Access) -> Self {
        Self { store, access }
    }

    /// The values, in the order of the keys.
    pub async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        check_items("keys", keys.len())?;
        for key in &keys {
            check_key(key)?;
        }
        self.store
            .get_many(&self.access, keys, CALL_BYTES_MAX)
            .await
    }

    /// Entries whose key begins with `prefix`, from the first one greater than `after`.
    pub async fn scan(
        &self,
        prefix: String,
        after: Option<String>,
        entries_max: u32,
    ) -> Result<Page, StoreError> {
        let entries_max = usize::try_from(entries_max).unwrap_or(usize::MAX);
        if entries_max == 0 {
            return Err(StoreError::Refused("`entries-max` is 0".into()));
        }
        check_items("entries", entries_max)?;
        if !prefix.is_empty() {
            check_key(&prefix)?;
        }
        if let Some(after) = &after {
            check_key(after)?;
        }
        let range = ScanRange {
            prefix,
            after,
            entries_max,
            bytes_max: CALL_BYTES_MAX,
        };
        self.store.scan(&self.access, range).await
    }

    /// All writes or none.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let Access::Fenced(lease) = &self.access else {
            return Err(StoreError::Refused(
                "this call may only read the store".into(),
            ));
        };
        check_writes(&writes)?;
        self.store.commit(lease, writes).await
    }
}

/// The time that leases are measured with: milliseconds since 1970-01-01T00:00Z.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The machine's own clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

fn check_writes(writes: &[Write]) -> Result<(), StoreError> {
    check_items("writes", writes.len())?;
    let mut keys = HashSet::with_capacity(writes.len());
    let mut bytes = 0;
    for write in writes {
        check_key(write.key())?;
        if !keys.insert(write.key()) {
            return Err(StoreError::Refused(format!(
                "key `{}` occurs twice",
                write.key()
            )));
        }
        if let Write::Set(key, value) = write
            && value.len() > VALUE_BYTES_MAX
        {
            return Err(StoreError::Refused(format!(
                "the value of `{key}` has {} bytes; the limit is {VALUE_BYTES_MAX}",
                value.len()
            )));
        }
        bytes += write.bytes();
    }
    if bytes > CALL_BYTES_MAX {
        return Err(too_many_bytes(bytes));
    }
    Ok(())
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
        return Err(StoreError::Refused(format!(
            "a key has {} bytes; the limit is {KEY_BYTES_MAX}",
            key.len()
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

fn namespace_full(bytes_max: u64) -> StoreError {
    StoreError::Quota(format!(
        "the tenant's store is full: it holds at most {bytes_max} bytes; whoever runs the host can \
         raise the limit"
    ))
}

/// Counts what an answer carries.
struct AnswerBudget {
    bytes: usize,
    bytes_max: usize,
}

impl AnswerBudget {
    fn new(bytes_max: usize) -> Self {
        Self {
            bytes: 0,
            bytes_max,
        }
    }

    /// Whether so many bytes more fit.
    fn take(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.bytes <= self.bytes_max
    }
}
