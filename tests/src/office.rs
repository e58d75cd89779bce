//! A company to try things on: the simulator on loopback, and the real component in the real host.
//!
//! What a new user sets up by hand is set up here: a configuration file, secrets in files, a store.
//! Everything lies in a folder that goes with the office.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use contact_sync_guest::outside::Timestamp;
use contact_sync_host::config::Config;
use contact_sync_host::store::{
    Clock, NAMESPACE_BYTES_MAX_DEFAULT, SqliteStore, Store, system_clock,
};
use contact_sync_host::types::{Finding, Operation, Report};
use contact_sync_host::{Host, HostSettings, Mailbox, Mode, Tenant};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::simulator::{
    Dialect, EwsSignIn, FlowfactQuirks, GraphQuirks, MarkerKind, Simulator, ews, serve,
};

/// The store, in an office's folder. What belongs to it begins with this name.
const STORE: &str = "contact-sync.db";

/// What a pass came to, with all that it did and found.
#[derive(Debug)]
pub struct Ran {
    /// How it ended, and its counts.
    pub report: Report,
    /// All its operations.
    pub operations: Vec<Operation>,
    /// All its findings.
    pub findings: Vec<Finding>,
}

/// A company with its two services and a host.
pub struct Office {
    premises: Premises,
    tenant: Tenant,
}

/// A company with its two services and all that a host needs, but no host: for those that are
/// processes of their own.
pub struct Premises {
    simulator: Arc<Mutex<Simulator>>,
    address: SocketAddr,
    folder: TempDir,
    server: JoinHandle<io::Result<()>>,
}

/// What went wrong while an office was set up or at work.
pub type Trouble = Box<dyn Error + Send + Sync>;

impl Premises {
    /// Premises with these mailboxes, named by their addresses' first parts.
    pub async fn open(seed: u64, addresses: &[&str]) -> Result<Self, Trouble> {
        Self::open_with_policy(seed, addresses, "").await
    }

    /// Premises whose company has made choices: the lines of `[tenant.policy]`.
    pub async fn open_with_policy(
        seed: u64,
        addresses: &[&str],
        policy: &str,
    ) -> Result<Self, Trouble> {
        let mailboxes: Vec<_> = in_office_365(addresses).collect();
        Self::open_mixed(seed, &mailboxes, policy).await
    }

    /// The same with mailboxes on servers of either kind.
    pub async fn open_mixed(
        seed: u64,
        mailboxes: &[(&str, Dialect)],
        policy: &str,
    ) -> Result<Self, Trouble> {
        let simulator = services(seed, mailboxes);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let folder = TempDir::new()?;
        write_config(folder.path(), address, &simulator, mailboxes, policy)?;
        let simulator = Arc::new(Mutex::new(simulator));
        let server = tokio::spawn(serve(listener, Arc::clone(&simulator)));
        Ok(Self {
            simulator,
            address,
            folder,
            server,
        })
    }

    /// Begins anew at the same place: empty services, and nothing remembered.
    pub fn clear(&self, seed: u64, addresses: &[&str]) -> Result<(), Trouble> {
        let mailboxes: Vec<_> = in_office_365(addresses).collect();
        *self.services() = services(seed, &mailboxes);
        for entry in fs::read_dir(self.folder.path())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(STORE) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The services, for whoever works with them. Let go of it before the next pass.
    pub fn services(&self) -> MutexGuard<'_, Simulator> {
        self.simulator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The same services, for whoever serves them once more.
    pub fn simulator(&self) -> Arc<Mutex<Simulator>> {
        Arc::clone(&self.simulator)
    }

    /// Where the services listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where Exchange Web Services answer.
    pub fn exchange_url(&self) -> String {
        format!("http://{}{}", self.address, ews::PATH)
    }

    /// The folder with the configuration, the secrets and the store.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Office {
    /// An office with these mailboxes, named by their addresses' first parts.
    pub async fn open(seed: u64, addresses: &[&str]) -> Result<Self, Trouble> {
        let mailboxes: Vec<_> = in_office_365(addresses).collect();
        Self::open_mixed(seed, &mailboxes).await
    }

    /// An office with mailboxes on servers of either kind.
    pub async fn open_mixed(seed: u64, mailboxes: &[(&str, Dialect)]) -> Result<Self, Trouble> {
        let premises = Premises::open_mixed(seed, mailboxes, "").await?;
        let tenant = tenant(premises.folder(), system_clock()).await?;
        Ok(Self { premises, tenant })
    }

    /// Nobody listens where the services were.
    pub fn close_services(&self) {
        self.premises.server.abort();
    }

    /// The same office with a new host, as after a restart.
    pub async fn reopened(self) -> Result<Self, Trouble> {
        let Self {
            premises,
            tenant: old,
        } = self;
        drop(old);
        let tenant = tenant(premises.folder(), system_clock()).await?;
        Ok(Self { premises, tenant })
    }

    /// The services, for whoever works with them. Let go of it before the next pass.
    pub fn services(&self) -> MutexGuard<'_, Simulator> {
        self.premises.services()
    }

    /// Where the services listen.
    pub fn address(&self) -> SocketAddr {
        self.premises.address
    }

    /// The folder with the configuration, the secrets and the store.
    pub fn folder(&self) -> &Path {
        self.premises.folder()
    }

    /// The mailbox of this name.
    pub fn mailbox(&self, name: &str) -> Result<&Mailbox, Trouble> {
        self.tenant
            .mailbox(name)
            .ok_or_else(|| format!("no mailbox `{name}`").into())
    }

    /// A whole pass.
    pub async fn run(&self, name: &str, mode: Mode) -> Result<Ran, Trouble> {
        let mut pass = self.mailbox(name)?.open(mode).await?;
        let report = pass.run(|_| {}).await?;
        let mut operations = Vec::new();
        loop {
            let first = u32::try_from(operations.len())?;
            let page = pass.operations(first).await?;
            if page.is_empty() {
                break;
            }
            operations.extend(page);
        }
        let mut findings = Vec::new();
        loop {
            let first = u32::try_from(findings.len())?;
            let page = pass.findings(first).await?;
            if page.is_empty() {
                break;
            }
            findings.extend(page);
        }
        pass.close().await;
        Ok(Ran {
            report,
            operations,
            findings,
        })
    }
}

/// The time on the wall, as the simulator's people have it.
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The company of a folder, in a new host that goes by this clock.
pub async fn tenant(folder: &Path, clock: Clock) -> Result<Tenant, Trouble> {
    let store = folder.join(STORE);
    let store = SqliteStore::open_with(&store, Arc::clone(&clock), NAMESPACE_BYTES_MAX_DEFAULT)?;
    tenant_with_store(folder, clock, Arc::new(store)).await
}

/// The same with another store.
pub async fn tenant_with_store(
    folder: &Path,
    clock: Clock,
    store: Arc<dyn Store>,
) -> Result<Tenant, Trouble> {
    let plugin = contact_sync_artifact::COMPONENT.to_vec();
    let host = Host::new(HostSettings {
        cache: cache(),
        clock,
        ..HostSettings::usual(plugin, store)
    });
    let host = host.await?;
    let config = Config::load(&folder.join("contact-sync.toml")).map_err(|errors| {
        errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    let tenant = config
        .tenants
        .first()
        .ok_or("the configuration names no tenant")?;
    Ok(host.tenant(tenant)?)
}

/// Beside the running program, so that the component is compiled once for all offices.
fn cache() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    Some(program.parent()?.join("compiled-components"))
}

fn in_office_365<'a>(addresses: &'a [&'a str]) -> impl Iterator<Item = (&'a str, Dialect)> {
    addresses.iter().map(|address| (*address, Dialect::Graph))
}

fn services(seed: u64, mailboxes: &[(&str, Dialect)]) -> Simulator {
    let mut simulator = Simulator::new(
        seed,
        MarkerKind::AccountField,
        FlowfactQuirks::as_documented(),
        GraphQuirks::as_documented(),
    );
    for (address, dialect) in mailboxes {
        simulator.add_mailbox(address, name_of(address));
        if *dialect == Dialect::Ews {
            simulator.put_on_exchange_server(address);
        }
    }
    simulator.ews.sign_in = EwsSignIn::Ntlm;
    simulator
}

fn write_config(
    folder: &Path,
    address: SocketAddr,
    simulator: &Simulator,
    mailboxes: &[(&str, Dialect)],
    policy: &str,
) -> Result<(), Trouble> {
    let (directory, client, secret) = simulator.graph.application();
    fs::write(
        folder.join("flowfact-token"),
        simulator.flowfact.platform_token(),
    )?;
    fs::write(folder.join("office365-secret"), secret)?;
    let mut config = format!(
        "store = \"{STORE}\"\n\n[[tenant]]\nid = \"muster-immobilien\"\n\n\
         [tenant.flowfact]\nbase-url = \"http://{address}/flowfact\"\n\
         token = {{ file = \"flowfact-token\" }}\nmarker-field = \"synchronisation\"\n\n\
         [tenant.policy]\n{policy}\n"
    );
    let (service_account, password) = simulator.ews.service_account();
    fs::write(folder.join("exchange-password"), password)?;
    for (mailbox, dialect) in mailboxes {
        let name = name_of(mailbox);
        let account = simulator.flowfact.account_id(mailbox).unwrap_or_default();
        write!(
            config,
            "\n[[tenant.mailbox]]\nid = \"{name}\"\naddress = \"{mailbox}\"\n\
             marker = \"{account}\"\n"
        )?;
        match dialect {
            Dialect::Graph => write!(
                config,
                "\n[tenant.mailbox.office365]\ntenant = \"{directory}\"\n\
                 client-id = \"{client}\"\nclient-secret = {{ file = \"office365-secret\" }}\n\
                 base-url = \"http://{address}/graph/v1.0\"\n\
                 authority = \"http://{address}/graph\"\n"
            )?,
            Dialect::Ews => write!(
                config,
                "\n[tenant.mailbox.exchange-server]\nurl = \"http://{address}{}\"\n\
                 username = \"{service_account}\"\npassword = {{ file = \"exchange-password\" }}\n",
                ews::PATH
            )?,
        }
    }
    fs::write(folder.join("contact-sync.toml"), config)?;
    Ok(())
}

fn name_of(address: &str) -> &str {
    address.split('@').next().unwrap_or(address)
}
