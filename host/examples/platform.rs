//! A platform in miniature: all tenants at once, each in sandboxes of its own, with progress, until
//! every mailbox is synced or somebody presses Ctrl-C.
//!
//! ```text
//! cargo run --example platform -- contact-sync.toml
//! ```
//!
//! The configuration is the program's own (`contact-sync example-config`), with as many tenants as
//! you like; a platform fills the same types from its database. What is remembered is kept in
//! `platform.db` beside it.

#![expect(clippy::print_stdout, reason = "a program that shows what it does")]

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;

use contact_sync_host::config::Config;
use contact_sync_host::store::SqliteStore;
use contact_sync_host::types::Report;
use contact_sync_host::{Error, Host, HostSettings, Mailbox, Mode, Tenant, Turn};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let path = std::env::args().nth(1);
    let path = path.ok_or("name the configuration: cargo run --example platform -- FILE")?;
    let config = Config::load(Path::new(&path)).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        errors.join("\n")
    })?;
    let store = Arc::new(SqliteStore::open(
        &Path::new(&path).with_file_name("platform.db"),
    )?);
    // Compiled once, for all tenants.
    let plugin = contact_sync_artifact::COMPONENT.to_vec();
    let host = Host::new(HostSettings::usual(plugin, store)).await?;

    let (stop, stopped) = watch::channel(false);
    let mut running = JoinSet::new();
    for settings in &config.tenants {
        running.spawn(sync_tenant(host.tenant(settings)?, stopped.clone()));
    }
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(ended) => ended?,
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c(), if !*stop.borrow() => {
                println!("stopping after the steps that are under way");
                stop.send_replace(true);
            }
        }
    }
}

/// One mailbox after the other: a tenant has one writer at a time.
async fn sync_tenant(tenant: Tenant, stopped: watch::Receiver<bool>) {
    for mailbox in tenant.mailboxes() {
        let place = format!("{}/{}", tenant.id(), mailbox.id());
        // A tenant's trouble is its own: the others go on.
        match sync_mailbox(mailbox, &place, stopped.clone()).await {
            Ok(Some(report)) => println!("{place}: {:?}", report.outcome),
            Ok(None) => return println!("{place}: stopped; the next pass goes on from here"),
            Err(error) => println!("{place}: {error}"),
        }
    }
}

/// A pass, step by step. `None` where it was stopped between two steps: nothing is in flight then,
/// and everything done is remembered.
async fn sync_mailbox(
    mailbox: &Mailbox,
    place: &str,
    mut stopped: watch::Receiver<bool>,
) -> Result<Option<Report>, Error> {
    let mut pass = mailbox.open(Mode::Sync).await?;
    let end = loop {
        if *stopped.borrow() {
            break Ok(None);
        }
        match pass.advance().await {
            Ok(Turn::Working(now)) => println!("{place}: {:?}, {} done", now.phase, now.done),
            Ok(Turn::Waiting { wait, .. }) => {
                // Nobody waits for a service that has time, when everybody is to stop.
                let _ = tokio::time::timeout(wait, stopped.wait_for(|stopped| *stopped)).await;
            }
            Ok(Turn::Done(report)) => break Ok(Some(*report)),
            Err(error) => break Err(error),
        }
    };
    pass.close().await;
    end
}
