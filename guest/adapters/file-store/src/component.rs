//! The component's face. One run is one instance: what it has opened lives as long as it does.

#![expect(unsafe_code, reason = "the generated bindings speak the canonical ABI")]

#[expect(clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit", "../wit"],
        world: "contact-sync:adapters/file-store",
        generate_all,
        pub_export_macro: false,
    });
}

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use bindings::exports::contact_sync::adapters::folder::{self, Access, Problem, Trouble};
use bindings::exports::contact_sync::plugin::store;

use crate::store::{FOLDER_BYTES_MAX, StoreError, Write};
use crate::{Acquired, Folder, FolderError, Reader, Wanted, Writer};

/// Where the host puts the folder.
const PATH: &str = "/state";
/// How long a run counts as alive that was not heard of. A pass lets itself be heard at each step.
const TTL_MS: u64 = 60_000;
/// So long before that, it lets itself be heard.
const RENEW_BEFORE_MS: u64 = 40_000;

struct Component;

bindings::export!(Component with_types_in bindings);

/// What this run has opened.
#[derive(Default)]
enum Opened {
    #[default]
    Nothing,
    Looking(Reader),
    Writing(Box<Writer>),
    /// The right to write was given back.
    Closed,
}

thread_local! {
    static OPENED: RefCell<Opened> = RefCell::default();
}

impl folder::Guest for Component {
    fn open(tenant: String, access: Access) -> Result<(), Problem> {
        let opened = match access {
            Access::Look => looked(Some(&tenant)).map(Opened::Looking)?,
            Access::Write => acquired(&wanted(Some(&tenant), false))?,
            Access::TakeOver => acquired(&wanted(Some(&tenant), true))?,
        };
        OPENED.set(opened);
        Ok(())
    }

    fn keep() -> bool {
        OPENED.with_borrow_mut(|opened| match opened {
            Opened::Writing(writer) => heard(writer) != Err(StoreError::LeaseLost),
            Opened::Nothing | Opened::Looking(_) | Opened::Closed => true,
        })
    }

    fn close() {
        if let Opened::Writing(mut writer) = OPENED.replace(Opened::Closed) {
            // Whoever comes next waits a minute then.
            _ = writer.release();
        }
    }
}

impl store::Guest for Component {
    fn get_many(keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, store::StoreError> {
        read(
            |reader| reader.get_many(&keys),
            |writer| writer.get_many(&keys),
        )
    }

    fn scan(
        prefix: String,
        after: Option<String>,
        entries_max: u32,
    ) -> Result<store::Page, store::StoreError> {
        let after = after.as_deref();
        let page = read(
            |reader| reader.scan(&prefix, after, entries_max),
            |writer| writer.scan(&prefix, after, entries_max),
        )?;
        let last = page.entries.last().map(|(key, _)| key.clone());
        Ok(store::Page {
            next: last.filter(|_| page.more),
            more: page.more,
            entries: page
                .entries
                .into_iter()
                .map(|(key, value)| store::Entry { key, value })
                .collect(),
        })
    }

    fn commit(writes: Vec<store::Write>) -> Result<(), store::StoreError> {
        let writes = writes.into_iter().map(|write| match write {
            store::Write::Set(entry) => Write::Set(entry.key, entry.value),
            store::Write::Delete(key) => Write::Delete(key),
        });
        let writes = writes.collect();
        OPENED.with_borrow_mut(|opened| {
            let writer = writing(opened)?;
            heard(writer)
                .and_then(|()| writer.commit(writes))
                .map_err(told)
        })
    }
}

fn read<T>(
    look: impl FnOnce(&Reader) -> Result<T, StoreError>,
    check: impl FnOnce(&Writer) -> Result<T, StoreError>,
) -> Result<T, store::StoreError> {
    OPENED.with_borrow_mut(|opened| {
        if let Opened::Nothing = opened {
            *opened = Opened::Looking(looked(None).map_err(unopened)?);
        }
        let read = match opened {
            Opened::Looking(reader) => look(reader),
            Opened::Writing(writer) => heard(writer).and_then(|()| check(writer)),
            Opened::Nothing | Opened::Closed => Err(StoreError::LeaseLost),
        };
        read.map_err(told)
    })
}

/// The writer; one that only looked until now becomes one, if what it has seen still holds.
fn writing(opened: &mut Opened) -> Result<&mut Writer, store::StoreError> {
    if let Opened::Nothing | Opened::Looking(_) = opened {
        let acquired = acquired(&wanted(None, false)).map_err(unopened)?;
        let Opened::Writing(mut writer) = acquired else {
            return Err(store::StoreError::LeaseLost);
        };
        if let Opened::Looking(seen) = opened
            && !writer.continues(seen)
        {
            _ = writer.release();
            *opened = Opened::Closed;
            return Err(store::StoreError::LeaseLost);
        }
        *opened = Opened::Writing(writer);
    }
    match opened {
        Opened::Writing(writer) => Ok(writer),
        Opened::Nothing | Opened::Looking(_) | Opened::Closed => Err(store::StoreError::LeaseLost),
    }
}

/// Says that this run lives, where that is due.
fn heard(writer: &mut Writer) -> Result<(), StoreError> {
    let now_ms = now_ms();
    if writer.until_ms().saturating_sub(now_ms) > RENEW_BEFORE_MS {
        return writer.check();
    }
    writer.renew(now_ms.saturating_add(TTL_MS))
}

fn looked(tenant: Option<&str>) -> Result<Reader, Problem> {
    let reader = folder().read().map_err(problem)?;
    reader.check_tenant(tenant).map_err(problem)?;
    Ok(reader)
}

fn acquired(wanted: &Wanted<'_>) -> Result<Opened, Problem> {
    match folder().acquire(*wanted).map_err(problem)? {
        Acquired::Writer(writer) => Ok(Opened::Writing(writer)),
        Acquired::HeldBy { ends_in_ms, .. } => Err(Problem::Busy(ends_in_ms)),
    }
}

fn folder() -> Folder {
    Folder::new(PATH, FOLDER_BYTES_MAX)
}

fn wanted(tenant: Option<&str>, take_over: bool) -> Wanted<'_> {
    Wanted {
        tenant,
        holder: "a run of the component",
        now_ms: now_ms(),
        ttl_ms: TTL_MS,
        take_over,
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

fn problem(error: FolderError) -> Problem {
    match error {
        FolderError::Foreign(owner) => Problem::Foreign(owner),
        error => Problem::Unusable(Trouble {
            message: error.to_string(),
            remedy: error.remedy().to_owned(),
        }),
    }
}

/// For callers that know nothing of folders.
fn unopened(problem: Problem) -> store::StoreError {
    match problem {
        Problem::Busy(ends_in_ms) => {
            store::StoreError::Unavailable(u32::try_from(ends_in_ms).unwrap_or(u32::MAX))
        }
        Problem::Foreign(_) => store::StoreError::LeaseLost,
        Problem::Unusable(trouble) => {
            store::StoreError::Refused(format!("{}; {}", trouble.message, trouble.remedy))
        }
    }
}

fn told(error: StoreError) -> store::StoreError {
    match error {
        StoreError::Refused(text) => store::StoreError::Refused(text),
        StoreError::Unavailable { retry_ms } => store::StoreError::Unavailable(retry_ms),
        StoreError::LeaseLost => store::StoreError::LeaseLost,
        StoreError::Quota(text) => store::StoreError::Quota(text),
    }
}
