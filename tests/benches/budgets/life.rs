//! What a sandbox costs in the host, with all that belongs to it: way out, store, lease.

use std::fs;
use std::time::Instant;

use contact_sync_host::Mode;
use contact_sync_tests::office::{Office, Trouble, now};
use contact_sync_tests::people::Sizes;

use crate::report::Table;

const ANNA: &str = "anna@makler.example";

/// Sandboxes that are opened and dropped, one after the other.
const OPENED: u32 = 2_000;

/// Sandboxes that live at the same time.
const IDLE: usize = 200;
const WORKING: usize = 20;

/// Contacts of each side in a tenant at work.
const CONTACTS: usize = 500;

pub(crate) struct Life {
    pub(crate) ready_ms: f64,
    pub(crate) idle_bytes: usize,
    working_bytes: usize,
}

/// Opens passes in a host, and watches the memory of this process.
pub(crate) async fn measure() -> Result<Life, Trouble> {
    let office = furnished().await?;
    let mailbox = office.mailbox("anna")?;
    // Whatever is done once is done now.
    mailbox.open(Mode::Preview).await?.close().await;

    let start = Instant::now();
    for _ in 0..OPENED {
        drop(mailbox.open(Mode::Preview).await?);
    }
    let ready_ms = start.elapsed().as_secs_f64() * 1e3 / f64::from(OPENED);

    let before = resident_bytes()?;
    let mut idle = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        idle.push(mailbox.open(Mode::Preview).await?);
    }
    let idle_bytes = resident_bytes()?.saturating_sub(before) / IDLE;
    drop(idle);

    let mut first = mailbox.open(Mode::Preview).await?;
    first.run(|_| {}).await?;
    let before = resident_bytes()?;
    let mut working = Vec::with_capacity(WORKING);
    for _ in 0..WORKING {
        let mut pass = mailbox.open(Mode::Preview).await?;
        pass.run(|_| {}).await?;
        working.push(pass);
    }
    let working_bytes = resident_bytes()?.saturating_sub(before) / WORKING;
    Ok(Life {
        ready_ms,
        idle_bytes,
        working_bytes,
    })
}

impl Life {
    pub(crate) fn print(&self) {
        let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
        let mut table = Table::new(&["a sandbox in the host", ""]);
        table.row(&[
            "opened and dropped, one second".into(),
            format!("{:.0}", 1e3 / self.ready_ms),
        ]);
        table.row(&["memory, idle".into(), kib(self.idle_bytes)]);
        let working = format!("memory, {CONTACTS} contacts on each side read and planned");
        table.row(&[working, kib(self.working_bytes)]);
        table.print();
    }
}

async fn furnished() -> Result<Office, Trouble> {
    let office = Office::open(11, &[ANNA]).await?;
    let sizes = Sizes {
        crm: CONTACTS,
        mailbox: CONTACTS,
        shared: CONTACTS / 2,
    };
    let mut services = office.services();
    services.graph.quirks.requests_per_ten_minutes_max = None;
    services.populate(ANNA, 11, sizes, now());
    drop(services);
    Ok(office)
}

/// What this process holds in memory (`proc(5)`: the second field of `statm`, in pages).
fn resident_bytes() -> Result<usize, Trouble> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: usize = statm.split(' ').nth(1).ok_or("no such field")?.parse()?;
    Ok(pages * rustix::param::page_size())
}
