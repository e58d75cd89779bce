//! One pass of the real host in a process of its own, for tests that kill it.

#![expect(clippy::print_stdout, reason = "its end is what its parent reads")]

use clap::Parser;
use contact_sync_host::Mode;
use contact_sync_host::store::{Clock, system_clock};
use contact_sync_tests::office::{Trouble, tenant};
use std::path::PathBuf;
use std::sync::Arc;

/// Runs one pass, and prints how it ended.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder of an office: configuration, secrets, store.
    folder: PathBuf,
    /// The mailbox, by the id of the configuration.
    mailbox: String,
    /// How far the clock is ahead of the real one.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    clock_ahead_ms: u64,
}

#[tokio::main]
async fn main() -> Result<(), Trouble> {
    let arguments = Arguments::parse();
    let ahead_ms = arguments.clock_ahead_ms;
    let real = system_clock();
    let clock: Clock = Arc::new(move || real() + ahead_ms);
    let tenant = tenant(&arguments.folder, clock).await?;
    let mailbox = tenant
        .mailbox(&arguments.mailbox)
        .ok_or("no such mailbox")?;
    let mut pass = mailbox.open(Mode::Sync).await?;
    let report = pass.run(|_| {}).await?;
    pass.close().await;
    println!("{:?}", report.outcome);
    Ok(())
}
