//! The wasmtime host of the contact sync, as a library for platforms.
//!
//! A [`Host`] has one plugin, one store, and any number of tenants; a [`Tenant`] has mailboxes; a
//! [`Mailbox`] is checked, previewed, synced. The host decides who may do what: which requests
//! leave and who signs them in ([`credentials`]), what is remembered and by whom ([`store`]), what
//! a sandbox may use ([`Limits`]). It knows nothing about contacts: that is the plugin's.
//!
//! | room | does |
//! |---|---|
//! | this file, `mailbox`, `pass` | [`Host`] → [`Tenant`] → [`Mailbox`] → [`Pass`] |
//! | [`config`] | tenants, mailboxes and policy, from a file or from a platform's own database |
//! | `plugin` | loads the component; one fresh, limited sandbox per pass |
//! | `egress` | every outgoing request |
//! | [`proxy`] | the same for the requests of other hosts, which cannot sign in |
//! | [`credentials`] | secrets, and what they turn into |
//! | [`store`] | atomic commits, namespaces, fenced leases |
//! | `main`, `cli` | the `contact-sync` program; compiled with the feature `program` |
//!
//! Not here: when to run which pass. A platform has a scheduler, the program has its user.
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use contact_sync_host::config::Config;
//! use contact_sync_host::store::SqliteStore;
//! use contact_sync_host::{Host, HostSettings, Mode};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let plugin = std::fs::read("contact_sync_plugin.wasm")?;
//! let store = Arc::new(SqliteStore::open(Path::new("contact-sync.db"))?);
//! let host = Host::new(HostSettings::usual(plugin, store)).await?;
//!
//! // From a file, or filled by hand from your own database.
//! let config = Config::load(Path::new("contact-sync.toml")).map_err(|errors| errors[0].clone())?;
//! for settings in &config.tenants {
//!     let tenant = host.tenant(settings)?;
//!     for mailbox in tenant.mailboxes() {
//!         let mut pass = mailbox.open(Mode::Sync).await?;
//!         let report = pass.run(|now| println!("{:?} {}", now.phase, now.done)).await;
//!         pass.close().await;
//!         println!("{}: {:?}", mailbox.id(), report?.outcome);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod config;
pub mod credentials;
mod egress;
mod error;
#[cfg(test)]
mod loopback;
mod mailbox;
mod pass;
mod plugin;
pub mod proxy;
pub mod store;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

pub use egress::Network;
pub use error::{Error, problem};
pub use mailbox::{Checked, Mailbox};
pub use pass::{Pass, Turn};
pub use plugin::wit::contact_sync::plugin::types;
pub use plugin::wit::exports::contact_sync::plugin::approval::{
    Entry as RequestEntry, RequestPage, Verdict,
};
pub use plugin::wit::exports::contact_sync::plugin::archive::{Cause, JournalEntry, JournalPage};
pub use plugin::wit::exports::contact_sync::plugin::contacts::{
    CsvPart, Explained, Explanation, Pairing, Place, PlacedValue, Several, Standing, TwoIds,
};
pub use plugin::wit::exports::contact_sync::plugin::setup::{Checkup, Proposal};
pub use plugin::wit::exports::contact_sync::plugin::sync::{Mode, Overview, Target};
pub use plugin::{Limits, PluginError, prepare};

use config::{Certificates, MailboxSettings, TenantSettings};
use credentials::{Keeper, SharedKeeper, SignIn};
use egress::addresses::{Lookup, system_lookup};
use egress::client::Client;
use egress::origin::Origin;
use egress::{Connections, Permits};
use mailbox::Core;
use plugin::Plugin;
use store::{Clock, Store, system_clock};

/// What a host is made of.
pub struct HostSettings {
    /// The component's bytes.
    pub plugin: Vec<u8>,
    /// Where compiled components are kept; `None` compiles at every start.
    pub cache: Option<PathBuf>,
    /// Where tenants' data is kept.
    pub store: Arc<dyn Store>,
    /// What one sandbox may use.
    pub limits: Limits,
    /// How many steps run at once. A pass that waits for a service's pause is none of them.
    pub running_max: usize,
    /// How many sandboxes have their address space reserved (about 4 GiB each, no memory): they
    /// start sooner. All others, and all on a machine that has no such space, start nearly as soon.
    pub pooled_max: usize,
    /// How this host is named to others that wait for it.
    pub name: String,
    /// What leases, tokens and passes run by.
    pub clock: Clock,
}

impl HostSettings {
    /// The settings of a host on one machine.
    pub fn usual(plugin: Vec<u8>, store: Arc<dyn Store>) -> Self {
        Self {
            plugin,
            cache: None,
            store,
            limits: Limits::usual(),
            running_max: 32,
            pooled_max: 128,
            name: format!("process {}", std::process::id()),
            clock: system_clock(),
        }
    }
}

/// One plugin, one store, many tenants.
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
}

struct Shared {
    plugin: Plugin,
    store: Arc<dyn Store>,
    running: Semaphore,
    name: String,
    clock: Clock,
    lookup: Lookup,
    tenants: Mutex<Vec<(String, Arc<TenantShared>)>>,
}

/// What all mailboxes of a tenant share, however often the tenant is asked for.
#[derive(Default)]
struct TenantShared {
    permits: Permits,
    keepers: Mutex<Vec<SharedKeeper>>,
}

impl Host {
    /// Loads the plugin, and refuses one that does not fit.
    pub async fn new(settings: HostSettings) -> Result<Self, PluginError> {
        let HostSettings {
            plugin,
            cache,
            store,
            limits,
            running_max,
            pooled_max,
            name,
            clock,
        } = settings;
        let plugin = Plugin::load(&plugin, cache, limits, pooled_max, Arc::clone(&clock)).await?;
        let running = Semaphore::new(running_max);
        let (lookup, tenants) = (system_lookup(), Mutex::default());
        let shared = Shared {
            plugin,
            store,
            running,
            name,
            clock,
            lookup,
            tenants,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// A tenant with its mailboxes. Sends nothing and reads no secret.
    pub fn tenant(&self, settings: &TenantSettings) -> Result<Tenant, Error> {
        let shared = self.shared.tenant(&settings.id);
        let mailboxes = settings.mailboxes.iter().map(|mailbox| {
            let job = settings.job(mailbox);
            let connections = self.connections(&shared, settings, mailbox)?;
            let networks = settings.networks(mailbox);
            Mailbox::new(Core {
                host: Arc::clone(&self.shared),
                job,
                networks,
                connections,
            })
        });
        let mailboxes = mailboxes.collect::<Result<_, Error>>()?;
        Ok(Tenant {
            id: settings.id.clone(),
            mailboxes,
        })
    }

    fn connections(
        &self,
        shared: &TenantShared,
        tenant: &TenantSettings,
        mailbox: &MailboxSettings,
    ) -> Result<Connections, Error> {
        let networks = tenant.networks(mailbox);
        let origin = |url: &str, network| {
            Origin::of_endpoint(url, network)
                .map(|(origin, _)| (origin, network))
                .map_err(|error| Error::endpoint(url, &error))
        };
        let crm_endpoint = [origin(&tenant.flowfact.base_url, networks.crm)?];
        let mailbox_endpoints = mailbox
            .server
            .urls(&mailbox.address)
            .iter()
            .map(|url| origin(url, networks.mailbox))
            .collect::<Result<Vec<_>, _>>()?;
        let certificates = mailbox.server.certificates();
        let lookup = || Arc::clone(&self.shared.lookup);
        let crm_client = Client::new(lookup(), &crm_endpoint, &Certificates::default());
        let mailbox_client = Client::new(lookup(), &mailbox_endpoints, &certificates);
        let crm = (tenant.flowfact.sign_in(), networks.crm);
        let own = (mailbox.server.sign_in(), networks.mailbox);
        Ok(Connections::new(
            (crm_client, mailbox_client),
            shared.permits.clone(),
            self.keeper(shared, crm, &Certificates::default())?,
            self.keeper(shared, own, &certificates)?,
        ))
    }

    /// One keeper for all who sign in the same way: one exchange serves them all.
    fn keeper(
        &self,
        shared: &TenantShared,
        (sign_in, network): (SignIn, Network),
        certificates: &Certificates,
    ) -> Result<SharedKeeper, Error> {
        let mut keepers = shared
            .keepers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = keepers.iter().find(|keeper| *keeper.sign_in() == sign_in) {
            return Ok(Arc::clone(found));
        }
        let origin = sign_in
            .endpoint(network)
            .transpose()
            .map_err(|error| Error::endpoint("the sign-in's address", &error))?;
        let endpoints: Vec<_> = origin.map(|origin| (origin, network)).into_iter().collect();
        let client = Client::new(Arc::clone(&self.shared.lookup), &endpoints, certificates);
        let keeper = Arc::new(Keeper::new(sign_in, client, Arc::clone(&self.shared.clock)));
        keepers.push(Arc::clone(&keeper));
        Ok(keeper)
    }
}

impl Shared {
    fn tenant(&self, id: &str) -> Arc<TenantShared> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = tenants.iter().find(|(known, _)| known == id) {
            return Arc::clone(found);
        }
        let shared = Arc::new(TenantShared::default());
        tenants.push((id.to_owned(), Arc::clone(&shared)));
        shared
    }
}

/// One company.
pub struct Tenant {
    id: String,
    mailboxes: Vec<Mailbox>,
}

impl Tenant {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its mailboxes, in the order of the settings.
    pub fn mailboxes(&self) -> &[Mailbox] {
        &self.mailboxes
    }

    /// The mailbox of this id.
    pub fn mailbox(&self, id: &str) -> Option<&Mailbox> {
        self.mailboxes.iter().find(|mailbox| mailbox.id() == id)
    }
}
