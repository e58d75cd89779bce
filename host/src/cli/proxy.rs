//! `proxy`: signs in for hosts of the plugin that cannot.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use contact_sync_host::proxy::{Entrance, Proxy, ProxyError, ProxySecret};
use contact_sync_host::types::Endpoint;
use contact_sync_host::{Host, Mailbox};
use serde_json::json;

use super::{Cli, End, Place, Stop, TenantSettings, json, tell, tell_error};

pub(super) const HELP: &str = "\
Other hosts of the plugin (the wasmtime command, JavaScript, a platform's own) have no credentials.
This command has: it listens on this machine alone, prints two addresses for each mailbox, and
forwards what comes there, signed in, by the rules that hold for `sync`. Put the addresses into the
job in place of the services' own.

The addresses hold a secret: whoever knows them can read and write the mailbox and the CRM through
this command while it runs. Without `--secret-file` they are new at every start. With it, and with a
port of its own, they stay, and so do the jobs that name them and the reading positions that the
plugin remembers; otherwise the first pass after a restart reads everything again.

A mailbox is synced by one host. Do not run `contact-sync sync` for it beside another.

Examples:
  contact-sync proxy --mailbox koeln
  contact-sync proxy --listen 127.0.0.1:8401 --secret-file secrets/proxy --json";

#[derive(clap::Args, Debug)]
pub(super) struct Settings {
    /// Where to listen: on this machine only. Port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Takes the secret from this file, which is made where there is none.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl From<ProxyError> for Stop {
    fn from(error: ProxyError) -> Self {
        let end = match error {
            ProxyError::NoAddress { .. } | ProxyError::Settings(_) => End::Failed,
            _ => End::Internal,
        };
        Self::Message(end, error.to_string(), Some(error.remedy()))
    }
}

pub(super) async fn run(
    cli: &Cli,
    settings: &Settings,
    host: &Host,
    tenants: &[TenantSettings],
) -> Result<End, Stop> {
    let mut end = End::Complete;
    let mut mailboxes: Vec<Mailbox> = Vec::new();
    for tenant in tenants {
        match host.tenant(tenant) {
            Ok(tenant) => mailboxes.extend_from_slice(tenant.mailboxes()),
            Err(error) => {
                tell_error(&format!("tenant `{}`", tenant.id), &error);
                end = End::Failed;
            }
        }
    }
    if mailboxes.is_empty() {
        tell("warning", "there is no mailbox to sign in for", None);
        return Ok(end);
    }
    let secret = match &settings.secret_file {
        Some(path) => ProxySecret::from_file(path)?,
        None => ProxySecret::random()?,
    };
    let proxy = Proxy::bind(settings.listen, &secret, &mailboxes).await?;
    let mut out = io::stdout().lock();
    for entrance in proxy.entrances() {
        show(cli, &mut out, entrance)?;
    }
    out.flush()?;
    drop(out);
    let mailboxes = match mailboxes.len() {
        1 => "1 mailbox".to_owned(),
        count => format!("{count} mailboxes"),
    };
    let stop = async {
        // Where Ctrl-C cannot be waited for, it ends the process all the same.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    // Said once it is so: the first of two that are joined is polled first.
    let said = async {
        let what = format!("signing in for {mailboxes}; Ctrl-C stops it");
        tell("note", &what, None);
    };
    tokio::join!(proxy.serve(stop), said);
    Ok(end)
}

fn show(cli: &Cli, out: &mut dyn Write, entrance: &Entrance) -> io::Result<()> {
    let job = entrance.job();
    let place = Place {
        tenant: job.tenant.id.clone(),
        mailbox: job.mailbox.id.clone(),
    };
    if cli.options.json {
        let addresses = json!({
            "crm": { "service": "flowfact", "url": entrance.crm_url() },
            "endpoint": json::endpoint(&job.mailbox.endpoint),
        });
        return json::line(out, &place, addresses);
    }
    let key = match job.mailbox.endpoint {
        Endpoint::Graph(_) => "base-url",
        Endpoint::Ews(_) => "url",
    };
    writeln!(out, "{place}")?;
    writeln!(out, "  crm.base-url              {}", entrance.crm_url())?;
    let key = format!("mailbox.endpoint.{key}");
    writeln!(out, "  {key:<25} {}", entrance.mailbox_url())
}
