//! The store of a single machine: one SQLite file for all tenants.
//!
//! Write-ahead logging with `synchronous = FULL`: a commit that has returned survives the machine
//! (<https://www.sqlite.org/pragma.html#pragma_synchronous>). Several processes may share the file;
//! the lease decides which of them works for a tenant.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, params,
};

use super::{
    Access, Acquired, Answer, AnswerBudget, Clock, Crash, Lease, NAMESPACE_BYTES_MAX_DEFAULT, Page,
    ScanRange, Store, StoreError, Write, namespace_full, system_clock, too_many_bytes,
};

/// `user_version` of the file; a newer one is not opened.
const SCHEMA_VERSION: i64 = 1;

/// How long one process waits for the other's transaction.
const BUSY_WAIT_MS: u64 = 5_000;

/// What a caller is told to wait when the file is busy even so.
const BUSY_RETRY_MS: u32 = 1_000;

/// What a caller is told to wait when the disk fails.
const BROKEN_RETRY_MS: u32 = 30_000;

const SCHEMA: &str = "
    CREATE TABLE namespace (
        number INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL UNIQUE,
        epoch INTEGER NOT NULL DEFAULT 0,
        holder TEXT NOT NULL DEFAULT '',
        expires_ms INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    -- Keys are BLOBs because SQLite compares those by bytes, whatever the collation.
    CREATE TABLE entry (
        namespace INTEGER NOT NULL REFERENCES namespace (number),
        key BLOB NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (namespace, key)
    ) STRICT;
    CREATE TABLE crash (
        namespace INTEGER NOT NULL REFERENCES namespace (number),
        mailbox TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        last_words TEXT NOT NULL,
        PRIMARY KEY (namespace, mailbox)
    ) STRICT, WITHOUT ROWID;
";

/// A store in one SQLite file.
pub struct SqliteStore {
    connection: Arc<Mutex<Connection>>,
    clock: Clock,
    namespace_bytes_max: u64,
}

/// Why a store's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be created.
    #[error("cannot create the store `{}`: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// SQLite cannot open it.
    #[error("cannot open the store `{}`: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A newer program has written it.
    #[error(
        "the store `{}` has format {found}, written by a newer version; this one knows format \
         {SCHEMA_VERSION}",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
}

impl SqliteStore {
    /// Opens the store at `path`, and creates it and its folder if they are not there. Only the
    /// owner can read the file: it holds personal data.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, system_clock(), NAMESPACE_BYTES_MAX_DEFAULT)
    }

    /// As [`SqliteStore::open`], with leases that run by `clock` and namespaces that hold so many
    /// bytes.
    pub fn open_with(
        path: &Path,
        clock: Clock,
        namespace_bytes_max: u64,
    ) -> Result<Self, OpenError> {
        let create = |source| OpenError::Create {
            path: path.to_owned(),
            source,
        };
        let open = |source| OpenError::Open {
            path: path.to_owned(),
            source,
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(create)?;
        }
        create_private(path).map_err(create)?;
        let mut connection = Connection::open(path).map_err(open)?;
        configure(&connection).map_err(open)?;
        let found = migrate(&mut connection).map_err(open)?;
        if found > SCHEMA_VERSION {
            return Err(OpenError::Newer {
                path: path.to_owned(),
                found,
            });
        }
        let connection = Arc::new(Mutex::new(connection));
        Ok(Self {
            connection,
            clock,
            namespace_bytes_max,
        })
    }

    /// Runs `work` in one transaction on a thread that may block.
    fn run<T: Send + 'static>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Answer<'_, T> {
        let connection = Arc::clone(&self.connection);
        let task = tokio::task::spawn_blocking(move || {
            // A panic inside a transaction rolls it back: the connection stays sound.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(behavior)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        });
        Box::pin(async move {
            match task.await {
                Ok(Ok(result)) => Ok(result),
                Ok(Err(Failure::Store(error))) => Err(error),
                Ok(Err(Failure::Sqlite(error))) => Err(store_error(&error)),
                Err(_) => Err(StoreError::Unavailable {
                    retry_ms: BROKEN_RETRY_MS,
                }),
            }
        })
    }

    fn read<'a, T: Send + 'static>(
        &'a self,
        access: &Access,
        work: impl FnOnce(&Transaction<'_>, Option<i64>) -> Result<T, Failure> + Send + 'static,
    ) -> Answer<'a, T> {
        let access = access.clone();
        self.run(TransactionBehavior::Deferred, move |transaction| {
            let number = match &access {
                Access::Fenced(lease) => Some(fenced(transaction, lease)?.number),
                Access::ReadOnly(tenant) => namespace_number(transaction, tenant)?,
            };
            work(transaction, number)
        })
    }
}

impl Store for SqliteStore {
    fn acquire<'a>(
        &'a self,
        tenant: &'a str,
        holder: &'a str,
        ttl_ms: u64,
    ) -> Answer<'a, Acquired> {
        let (tenant, holder) = (tenant.to_owned(), holder.to_owned());
        let clock = Arc::clone(&self.clock);
        self.run(TransactionBehavior::Immediate, move |transaction| {
            // Read inside the transaction, so that waiting for it does not age the answer.
            let now_ms = clock();
            create_namespace(transaction, &tenant)?;
            let found = lease_row(transaction, &tenant)?;
            if found.expires_ms > now_ms {
                let ends_in_ms = found.expires_ms - now_ms;
                return Ok(Acquired::HeldBy {
                    holder: found.holder,
                    ends_in_ms,
                });
            }
            let epoch = found.epoch + 1;
            transaction.prepare_cached(
                "UPDATE namespace SET epoch = ?2, holder = ?3, expires_ms = ?4 WHERE number = ?1",
            )?.execute(params![
                found.number,
                stored(epoch),
                holder,
                stored(now_ms.saturating_add(ttl_ms))
            ])?;
            Ok(Acquired::Lease(Lease { tenant, epoch }))
        })
    }

    fn renew<'a>(&'a self, lease: &'a Lease, ttl_ms: u64) -> Answer<'a, ()> {
        let lease = lease.clone();
        let clock = Arc::clone(&self.clock);
        self.run(TransactionBehavior::Immediate, move |transaction| {
            let number = fenced(transaction, &lease)?.number;
            let expires_ms = stored(clock().saturating_add(ttl_ms));
            transaction
                .prepare_cached("UPDATE namespace SET expires_ms = ?2 WHERE number = ?1")?
                .execute(params![number, expires_ms])?;
            Ok(())
        })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> Answer<'a, ()> {
        let lease = lease.clone();
        self.run(TransactionBehavior::Immediate, move |transaction| {
            transaction
                .prepare_cached(
                    "UPDATE namespace SET epoch = epoch + 1, expires_ms = 0
                     WHERE tenant = ?1 AND epoch = ?2",
                )?
                .execute(params![lease.tenant, stored(lease.epoch)])?;
            Ok(())
        })
    }

    fn get_many<'a>(
        &'a self,
        access: &'a Access,
        keys: Vec<String>,
        bytes_max: usize,
    ) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        self.read(access, move |transaction, number| {
            let mut statement = transaction
                .prepare_cached("SELECT value FROM entry WHERE namespace = ?1 AND key = ?2")?;
            let mut budget = AnswerBudget::new(bytes_max);
            let mut values = Vec::with_capacity(keys.len());
            for key in &keys {
                let value = statement
                    .query_row(params![number, key.as_bytes()], |row| {
                        row.get::<_, Vec<u8>>(0)
                    })
                    .optional()?;
                if !budget.take(value.as_ref().map_or(0, Vec::len)) {
                    return Err(too_many_bytes(budget.bytes).into());
                }
                values.push(value);
            }
            Ok(values)
        })
    }

    fn scan<'a>(&'a self, access: &'a Access, range: ScanRange) -> Answer<'a, Page> {
        self.read(access, move |transaction, number| {
            let mut statement = transaction.prepare_cached(
                "SELECT key, value FROM entry
                 WHERE namespace = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3)
                     AND (?4 IS NULL OR key > ?4)
                 ORDER BY key",
            )?;
            let after = range.after.as_ref().map(String::as_bytes);
            let mut rows =
                statement.query(params![number, range.prefix.as_bytes(), range.end(), after])?;
            let mut page = Page::default();
            let mut budget = AnswerBudget::new(range.bytes_max);
            while let Some(row) = rows.next()? {
                let (key, value) = entry(row)?;
                let fits = budget.take(key.len() + value.len()) || page.entries.is_empty();
                if page.entries.len() == range.entries_max || !fits {
                    page.more = true;
                    break;
                }
                page.entries.push((key, value));
            }
            Ok(page)
        })
    }

    fn commit<'a>(&'a self, lease: &'a Lease, writes: Vec<Write>) -> Answer<'a, ()> {
        let lease = lease.clone();
        let bytes_max = self.namespace_bytes_max;
        self.run(TransactionBehavior::Immediate, move |transaction| {
            let found = fenced(transaction, &lease)?;
            let bytes = write_all(transaction, &found, &writes)?;
            if bytes > bytes_max && bytes > found.bytes {
                return Err(namespace_full(bytes_max).into());
            }
            transaction
                .prepare_cached("UPDATE namespace SET bytes = ?2 WHERE number = ?1")?
                .execute(params![found.number, stored(bytes)])?;
            Ok(())
        })
    }

    fn keep_crash<'a>(&'a self, tenant: &'a str, mailbox: &'a str, crash: Crash) -> Answer<'a, ()> {
        let (tenant, mailbox) = (tenant.to_owned(), mailbox.to_owned());
        self.run(TransactionBehavior::Immediate, move |transaction| {
            create_namespace(transaction, &tenant)?;
            let number = namespace_number(transaction, &tenant)?;
            transaction.execute(
                "INSERT OR REPLACE INTO crash (namespace, mailbox, at_ms, last_words)
                 VALUES (?1, ?2, ?3, ?4)",
                params![number, mailbox, stored(crash.at), crash.last_words],
            )?;
            Ok(())
        })
    }

    fn last_crash<'a>(&'a self, tenant: &'a str, mailbox: &'a str) -> Answer<'a, Option<Crash>> {
        let mailbox = mailbox.to_owned();
        self.read(
            &Access::ReadOnly(tenant.to_owned()),
            move |transaction, number| {
                let crash = transaction
                    .query_row(
                        "SELECT at_ms, last_words FROM crash WHERE namespace = ?1 AND mailbox = ?2",
                        params![number, mailbox],
                        |row| {
                            Ok(Crash {
                                at: loaded(row.get(0)?),
                                last_words: row.get(1)?,
                            })
                        },
                    )
                    .optional()?;
                Ok(crash)
            },
        )
    }
}

/// What ends a transaction early.
enum Failure {
    Store(StoreError),
    Sqlite(rusqlite::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// One tenant's row.
struct LeaseRow {
    number: i64,
    epoch: u64,
    holder: String,
    expires_ms: u64,
    bytes: u64,
}

fn create_namespace(transaction: &Transaction<'_>, tenant: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO namespace (tenant) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([tenant])?;
    Ok(())
}

fn namespace_number(transaction: &Transaction<'_>, tenant: &str) -> rusqlite::Result<Option<i64>> {
    transaction
        .prepare_cached("SELECT number FROM namespace WHERE tenant = ?1")?
        .query_row([tenant], |row| row.get(0))
        .optional()
}

fn lease_row(transaction: &Transaction<'_>, tenant: &str) -> rusqlite::Result<LeaseRow> {
    transaction
        .prepare_cached(
            "SELECT number, epoch, holder, expires_ms, bytes FROM namespace WHERE tenant = ?1",
        )?
        .query_row([tenant], |row| {
            Ok(LeaseRow {
                number: row.get(0)?,
                epoch: loaded(row.get(1)?),
                holder: row.get(2)?,
                expires_ms: loaded(row.get(3)?),
                bytes: loaded(row.get(4)?),
            })
        })
}

/// The tenant's row, if the lease still stands.
fn fenced(transaction: &Transaction<'_>, lease: &Lease) -> Result<LeaseRow, Failure> {
    match lease_row(transaction, &lease.tenant) {
        Ok(row) if row.epoch == lease.epoch => Ok(row),
        // No row: the file was replaced under a running pass.
        Ok(_) | Err(rusqlite::Error::QueryReturnedNoRows) => Err(StoreError::LeaseLost.into()),
        Err(error) => Err(error.into()),
    }
}

/// Carries the writes out; returns how many bytes the namespace holds then.
fn write_all(
    transaction: &Transaction<'_>,
    namespace: &LeaseRow,
    writes: &[Write],
) -> rusqlite::Result<u64> {
    let mut length = transaction.prepare_cached(
        "SELECT length(key) + length(value) FROM entry WHERE namespace = ?1 AND key = ?2",
    )?;
    let mut set = transaction.prepare_cached(
        "INSERT INTO entry (namespace, key, value) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    let mut delete =
        transaction.prepare_cached("DELETE FROM entry WHERE namespace = ?1 AND key = ?2")?;
    let mut bytes = namespace.bytes;
    for write in writes {
        let key = write.key().as_bytes();
        let before = length
            .query_row(params![namespace.number, key], |row| row.get(0))
            .optional()?;
        bytes = bytes.saturating_sub(before.map_or(0, loaded));
        match write {
            Write::Set(_, value) => {
                set.execute(params![namespace.number, key, value])?;
                bytes = bytes.saturating_add(write.bytes() as u64);
            }
            Write::Delete(_) => {
                delete.execute(params![namespace.number, key])?;
            }
        }
    }
    Ok(bytes)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<(String, Vec<u8>)> {
    let key: Vec<u8> = row.get(0)?;
    // Only strings are ever written as keys.
    Ok((String::from_utf8_lossy(&key).into_owned(), row.get(1)?))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_millis(BUSY_WAIT_MS))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Creates the tables of an empty file; returns the format of the file.
fn migrate(connection: &mut Connection) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version != 0 {
        return Ok(version);
    }
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    Ok(SCHEMA_VERSION)
}

/// SQLite gives its `-wal` and `-shm` files the rights of this one.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn store_error(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Unavailable {
            retry_ms: BUSY_RETRY_MS,
        },
        Some(ErrorCode::DiskFull) => StoreError::Quota(
            "the disk with the tenant's store is full; whoever runs the host can make room".into(),
        ),
        _ => {
            tracing::error!(%error, "the store failed");
            StoreError::Unavailable {
                retry_ms: BROKEN_RETRY_MS,
            }
        }
    }
}

/// SQLite's integers are signed; times and epochs stay far below that.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn loaded(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
