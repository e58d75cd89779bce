//! The wasmtime host of the contact sync, as a library for platforms.
//!
//! A [`Host`] has one plugin, one store, and any number of tenants; a [`Tenant`] has mailboxes; a
//! [`Mailbox`] is checked, previewed, synced. The host decides who may do what: which requests leave
//! and who signs them in ([`credentials`]), what is remembered and by whom ([`store`]), what a sandbox
//! may use ([`Limits`]). It knows nothing about contacts: that is the plugin's.
//!
//! | room | does |
//! |---|---|
//! | this file | [`Host`] → [`Tenant`] → [`Mailbox`] → [`Pass`] |
//! | [`config`] | tenants, mailboxes and policy, from a file or from a platform's own database |
//! | `plugin` | loads the component; one fresh, limited sandbox per pass |
//! | `egress` | every outgoing request |
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
//!         let report = pass.run(|progress| println!("{:?} {}", progress.phase, progress.done)).await;
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
#[cfg(test)]
mod loopback;
mod plugin;
pub mod store;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use wasmtime::component::ResourceAny;

pub use egress::Network;
pub use plugin::wit::contact_sync::plugin::types;
pub use plugin::wit::exports::contact_sync::plugin::archive::{Cause, JournalEntry, JournalPage};
pub use plugin::wit::exports::contact_sync::plugin::contacts::{CsvPart, Pairing, TwoIds};
pub use plugin::wit::exports::contact_sync::plugin::setup::{Checkup, Proposal};
pub use plugin::wit::exports::contact_sync::plugin::sync::{Mode, Overview};
pub use plugin::{Limits, PluginError};

use config::{MailboxSettings, TenantSettings};
use credentials::{Keeper, SharedKeeper, SignIn, SignInError};
use egress::addresses::{Lookup, system_lookup};
use egress::client::Client;
use egress::origin::Origin;
use egress::rules::{Rules, Writing};
use egress::{Connections, Egress, Noted, Permits};
use plugin::wit::exports::contact_sync::plugin::sync::Step;
use plugin::{Instance, Plugin};
use store::{Access, Acquired, Clock, Crash, Lease, Namespace, Store, StoreError, system_clock};
use types::{Failure, Finding, Job, Operation, Problem, Progress, Report};

/// How long a lease lasts without a sign of life. A host that died blocks its tenants for so long.
const LEASE_TTL_MS: u64 = 60_000;

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
    /// How this host is named to others that wait for it.
    pub name: String,
    /// What leases and tokens run by.
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
            name,
            clock,
        } = settings;
        let plugin = Plugin::load(&plugin, cache, limits).await?;
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
            let core = Arc::new(Core {
                host: Arc::clone(&self.shared),
                job,
                networks,
                connections,
            });
            // Found out now rather than in the middle of the night.
            core.rules(Writing::Forbidden)?;
            Ok(Mailbox { core })
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
                .map(|(origin, _)| origin)
                .map_err(|error| Error::endpoint(url, &error))
        };
        let endpoints = [
            (
                origin(&tenant.flowfact.base_url, networks.crm)?,
                networks.crm,
            ),
            (
                origin(&mailbox.office365.base_url, networks.mailbox)?,
                networks.mailbox,
            ),
        ];
        Ok(Connections {
            client: Client::new(Arc::clone(&self.shared.lookup), &endpoints),
            permits: shared.permits.clone(),
            crm: self.keeper(shared, tenant.flowfact.sign_in(), networks.crm)?,
            mailbox: self.keeper(shared, mailbox.office365.sign_in(), networks.mailbox)?,
        })
    }

    /// One keeper for all who sign in the same way: one exchange serves them all.
    fn keeper(
        &self,
        shared: &TenantShared,
        sign_in: SignIn,
        network: Network,
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
            .map_err(|error| Error::endpoint("the sign-in's address", &error))?;
        let client = Client::new(Arc::clone(&self.shared.lookup), &[(origin, network)]);
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

/// One mailbox of a tenant, with its own connections.
#[derive(Clone)]
pub struct Mailbox {
    core: Arc<Core>,
}

struct Core {
    host: Arc<Shared>,
    job: Job,
    networks: egress::rules::Networks,
    connections: Connections,
}

impl Mailbox {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.core.job.mailbox.id
    }

    /// Its primary address.
    pub fn address(&self) -> &str {
        &self.core.job.mailbox.address
    }

    /// What the plugin is told.
    pub fn job(&self) -> &Job {
        &self.core.job
    }

    /// Begins a pass. [`Mode::Sync`] takes the tenant's lease; a preview only looks, may run beside a
    /// sync, and can write neither outside nor into the store, whatever the plugin tries.
    pub async fn open(&self, mode: Mode) -> Result<Pass, Error> {
        let mut session = match mode {
            Mode::Sync => self.core.leased(Writing::Allowed).await?,
            Mode::Preview => self.core.looking().await?,
        };
        let job = self.core.job.clone();
        let opened = session
            .call(async |face, store| {
                face.contact_sync_plugin_sync()
                    .pass()
                    .call_open(store, &job, mode)
                    .await
            })
            .await;
        match opened.and_then(|opened| opened.map_err(|failure| session.failed(failure))) {
            Ok(handle) => Ok(Pass { session, handle }),
            Err(error) => {
                session.end().await;
                Err(error)
            }
        }
    }

    /// Signs in to both sides, and says what is missing for a sync.
    pub async fn check(&self) -> Result<Checkup, Error> {
        let mut session = self.core.looking().await?;
        let job = &self.core.job;
        let checkup = session
            .call(async |face, store| {
                face.contact_sync_plugin_setup()
                    .call_check(store, job)
                    .await
            })
            .await?;
        checkup.map_err(|failure| session.failed(failure))
    }

    /// What earlier passes left behind, from the store alone.
    pub async fn status(&self) -> Result<Overview, Error> {
        let mut session = self.core.looking().await?;
        let job = &self.core.job;
        let overview = session
            .call(async |face, store| {
                face.contact_sync_plugin_sync()
                    .call_status(store, job)
                    .await
            })
            .await?;
        overview.map_err(|failure| session.failed(failure))
    }

    /// How this mailbox's passes crashed last, if they ever did. May hold personal data.
    pub async fn last_crash(&self) -> Result<Option<Crash>, Error> {
        let job = &self.core.job;
        Ok(self
            .core
            .host
            .store
            .last_crash(&job.tenant.id, &job.mailbox.id)
            .await?)
    }

    /// Settles who is who; the next pass acts on it.
    pub async fn pair(&self, pairing: &Pairing) -> Result<Operation, Error> {
        let mut session = self.core.leased(Writing::Forbidden).await?;
        let job = &self.core.job;
        let paired = session
            .call(async |face, store| {
                face.contact_sync_plugin_contacts()
                    .call_pair(store, job, pairing)
                    .await
            })
            .await;
        let result = paired.and_then(|paired| paired.map_err(|failure| session.failed(failure)));
        session.end().await;
        result
    }

    /// Says that the mailbox may from now on be another one than before, on purpose.
    pub async fn rebind(&self) -> Result<(), Error> {
        let mut session = self.core.leased(Writing::Forbidden).await?;
        let job = &self.core.job;
        let rebound = session
            .call(async |face, store| {
                face.contact_sync_plugin_setup()
                    .call_rebind(store, job)
                    .await
            })
            .await;
        let result = rebound.and_then(|rebound| rebound.map_err(|failure| session.failed(failure)));
        session.end().await;
        result
    }

    /// A part of the journal, from the store alone.
    pub async fn journal(
        &self,
        after: Option<&str>,
        entries_max: u32,
    ) -> Result<JournalPage, Error> {
        let mut session = self.core.looking().await?;
        let job = &self.core.job;
        let page = session
            .call(async |face, store| {
                let archive = face.contact_sync_plugin_archive();
                archive.call_entries(store, job, after, entries_max).await
            })
            .await?;
        page.map_err(|failure| session.failed(failure))
    }

    /// All contacts of the CRM as CSV, part by part; each is handed to `write`. Ends early where
    /// `write` says `false`. Returns how many contacts there were.
    pub async fn export_csv(&self, mut write: impl FnMut(&str) -> bool) -> Result<u64, Error> {
        const CONTACTS_MAX: u32 = 500;
        let mut session = self.core.looking().await?;
        let job = &self.core.job;
        let mut after: Option<String> = None;
        let mut contacts = 0;
        loop {
            let from = after.as_deref();
            let part: CsvPart = session
                .call(async |face, store| {
                    let face = face.contact_sync_plugin_contacts();
                    face.call_export_csv(store, job, from, CONTACTS_MAX).await
                })
                .await?
                .map_err(|failure| session.failed(failure))?;
            contacts += u64::from(part.contacts);
            if !write(&part.text) || part.next.is_none() {
                return Ok(contacts);
            }
            after = part.next;
        }
    }
}

impl Core {
    /// A session that only reads, beside whoever holds the lease.
    async fn looking(self: &Arc<Self>) -> Result<Session, Error> {
        let access = Access::ReadOnly(self.job.tenant.id.clone());
        self.session(access, Writing::Forbidden, None).await
    }

    /// A session that holds the tenant's lease.
    async fn leased(self: &Arc<Self>, writing: Writing) -> Result<Session, Error> {
        let tenant = &self.job.tenant.id;
        let acquired = self
            .host
            .store
            .acquire(tenant, &self.host.name, LEASE_TTL_MS)
            .await?;
        let lease = match acquired {
            Acquired::Lease(lease) => lease,
            Acquired::HeldBy { holder, ends_in_ms } => {
                return Err(Error::Busy {
                    tenant: tenant.clone(),
                    holder,
                    ends_in_ms,
                });
            }
        };
        let kept = KeptLease::new(Arc::clone(&self.host.store), lease.clone());
        self.session(Access::Fenced(lease), writing, Some(kept))
            .await
    }

    async fn session(
        self: &Arc<Self>,
        access: Access,
        writing: Writing,
        lease: Option<KeptLease>,
    ) -> Result<Session, Error> {
        let lost = lease
            .as_ref()
            .map_or_else(Arc::default, |lease| Arc::clone(&lease.lost));
        let egress = Egress::new(self.rules(writing)?, self.connections.clone(), lost);
        let namespace = Namespace::new(Arc::clone(&self.host.store), access);
        let instance = self
            .host
            .plugin
            .instance(Box::new(egress.clone()), namespace)
            .await;
        match instance {
            Ok(instance) => Ok(Session {
                core: Arc::clone(self),
                instance,
                egress,
                lease,
            }),
            Err(crash) => Err(self.crashed(crash).await),
        }
    }

    fn rules(&self, writing: Writing) -> Result<Rules, Error> {
        Rules::new(&self.job, self.networks, writing)
            .map_err(|error| Error::endpoint("an endpoint of the job", &error))
    }

    /// Keeps the last words with the tenant's data, and logs that there are some.
    async fn crashed(&self, crash: Crash) -> Error {
        let (tenant, mailbox) = (&self.job.tenant.id, &self.job.mailbox.id);
        tracing::error!(tenant, mailbox, "the plugin crashed");
        if let Err(error) = self
            .host
            .store
            .keep_crash(tenant, mailbox, crash.clone())
            .await
        {
            tracing::error!(tenant, mailbox, %error, "its last words cannot be kept");
        }
        Error::Crashed(crash)
    }
}

/// One sandbox with its way out and, if it writes, its lease.
struct Session {
    core: Arc<Core>,
    instance: Instance,
    egress: Egress,
    lease: Option<KeptLease>,
}

impl Session {
    async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(
            &plugin::wit::Plugin,
            &mut wasmtime::Store<plugin::Sandbox>,
        ) -> wasmtime::Result<T>,
    ) -> Result<T, Error> {
        let Ok(_running) = self.core.host.running.acquire().await else {
            return Err(Error::Stopped);
        };
        match self.instance.call(call).await {
            Ok(result) => Ok(result),
            Err(crash) => Err(self.core.crashed(crash).await),
        }
    }

    fn failed(&self, failure: Failure) -> Error {
        let Noted { denials, sign_in } = self.egress.noted();
        Error::Failed {
            failure: Box::new(failure),
            sign_in: sign_in.map(Box::new),
            denials,
        }
    }

    async fn end(self) {
        if let Some(lease) = self.lease {
            lease.release().await;
        }
    }
}

/// One pass over one mailbox, driven step by step or in one go.
///
/// Dropping it cancels it, also in the middle of a step: to the plugin that is a crash, and a crash
/// loses nothing. [`Pass::close`] does the same and gives the lease back before it returns.
pub struct Pass {
    session: Session,
    handle: ResourceAny,
}

/// What a step of a pass came to.
#[derive(Clone, Debug)]
pub enum Turn {
    /// Go on whenever you like.
    Working(Progress),
    /// A service asked for a pause: go on after it. Meanwhile the pass needs nothing but its lease.
    Waiting {
        /// How long.
        wait: Duration,
        /// Where the pass stands.
        progress: Progress,
    },
    /// The end.
    Done(Box<Report>),
}

impl Pass {
    /// Does a bounded piece of work.
    pub async fn advance(&mut self) -> Result<Turn, Error> {
        let handle = self.handle;
        let step = self
            .session
            .call(async |face, store| {
                face.contact_sync_plugin_sync()
                    .pass()
                    .call_advance(store, handle)
                    .await
            })
            .await?;
        Ok(match step {
            Step::Working(progress) => Turn::Working(progress),
            Step::Waiting(pause) => Turn::Waiting {
                wait: Duration::from_millis(pause.wait_ms.into()),
                progress: pause.progress,
            },
            Step::Done(report) => Turn::Done(Box::new(report)),
        })
    }

    /// Runs the pass to its end, pauses included.
    pub async fn run(&mut self, mut progress: impl FnMut(Progress)) -> Result<Report, Error> {
        loop {
            match self.advance().await? {
                Turn::Working(now) => progress(now),
                Turn::Waiting {
                    wait,
                    progress: now,
                } => {
                    progress(now);
                    tokio::time::sleep(wait).await;
                }
                Turn::Done(report) => return Ok(*report),
            }
        }
    }

    /// The operations with their state so far: at most 1,000, from number `first` on.
    pub async fn operations(&mut self, first: u32) -> Result<Vec<Operation>, Error> {
        let handle = self.handle;
        self.session
            .call(async |face, store| {
                let pass = face.contact_sync_plugin_sync().pass();
                pass.call_operations(store, handle, first, PAGE_ITEMS_MAX)
                    .await
            })
            .await
    }

    /// The findings so far: at most 1,000, from number `first` on.
    pub async fn findings(&mut self, first: u32) -> Result<Vec<Finding>, Error> {
        let handle = self.handle;
        self.session
            .call(async |face, store| {
                let pass = face.contact_sync_plugin_sync().pass();
                pass.call_findings(store, handle, first, PAGE_ITEMS_MAX)
                    .await
            })
            .await
    }

    /// Why the host could not sign in, if it could not.
    pub fn sign_in_error(&self) -> Option<SignInError> {
        self.session.egress.noted().sign_in
    }

    /// Which requests the host did not let out, in words; at most 20.
    pub fn denials(&self) -> Vec<String> {
        self.session.egress.noted().denials
    }

    /// Ends the pass and gives the lease back.
    pub async fn close(self) {
        self.session.end().await;
    }
}

/// `operations-max` and `findings-max` (`wit/sync.wit`).
const PAGE_ITEMS_MAX: u32 = 1_000;

/// A lease that is renewed as long as it is kept, and given back when it is dropped.
struct KeptLease {
    store: Arc<dyn Store>,
    lease: Option<Lease>,
    lost: Arc<AtomicBool>,
    heartbeat: JoinHandle<()>,
}

impl KeptLease {
    fn new(store: Arc<dyn Store>, lease: Lease) -> Self {
        let lost = Arc::new(AtomicBool::new(false));
        let (kept, beat, flag) = (Arc::clone(&store), lease.clone(), Arc::clone(&lost));
        let heartbeat = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(LEASE_TTL_MS / 3)).await;
                match kept.renew(&beat, LEASE_TTL_MS).await {
                    Ok(()) => {}
                    Err(StoreError::LeaseLost) => {
                        flag.store(true, Ordering::Relaxed);
                        return;
                    }
                    // The lease may still be ours; every commit asks again.
                    Err(error) => tracing::warn!(%error, "a lease cannot be renewed"),
                }
            }
        });
        Self {
            store,
            lease: Some(lease),
            lost,
            heartbeat,
        }
    }

    async fn release(mut self) {
        self.heartbeat.abort();
        if let Some(lease) = self.lease.take()
            && let Err(error) = self.store.release(&lease).await
        {
            tracing::warn!(%error, "a lease cannot be given back; it ends by itself");
        }
    }
}

impl Drop for KeptLease {
    fn drop(&mut self) {
        self.heartbeat.abort();
        let (Some(lease), Ok(runtime)) = (self.lease.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let store = Arc::clone(&self.store);
        runtime.spawn(async move { store.release(&lease).await });
    }
}

/// Why something was not done at all. How a pass ended that has begun is in its report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings name an address that no request may go to.
    #[error("{endpoint} cannot be used: {why}")]
    Endpoint {
        /// Which.
        endpoint: String,
        /// Why not.
        why: String,
    },
    /// Another pass of the tenant is running.
    #[error("another pass of tenant `{tenant}` is running, in {holder}")]
    Busy {
        /// The tenant.
        tenant: String,
        /// Who holds the lease.
        holder: String,
        /// When it ends unless its holder renews it.
        ends_in_ms: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plugin crashed or took too long. The pass failed and harmed nothing; what it remembered
    /// before is remembered. The last words are the tenant's own: they may hold personal data.
    #[error("the plugin crashed")]
    Crashed(Crash),
    /// The plugin says why it could not.
    #[error("{}", problem(failure).message)]
    Failed {
        /// The reason.
        failure: Box<Failure>,
        /// Why the host could not sign in, if that was the reason behind it.
        sign_in: Option<Box<SignInError>>,
        /// Which requests the host did not let out.
        denials: Vec<String>,
    },
    /// The host is being stopped.
    #[error("the host is stopping")]
    Stopped,
}

impl Error {
    fn endpoint(endpoint: &str, why: &egress::origin::OriginError) -> Self {
        Self::Endpoint {
            endpoint: endpoint.to_owned(),
            why: why.to_string(),
        }
    }

    /// What to do now, if that is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Endpoint { .. } => Some("correct the address in the configuration".into()),
            Self::Busy { ends_in_ms, .. } => Some(format!(
                "wait until it has finished; if its process has died, {} s are enough",
                ends_in_ms.div_ceil(1_000)
            )),
            Self::Store(_) | Self::Stopped => Some("try again later".into()),
            Self::Crashed(_) => Some(
                "nothing is lost: run it again; if it happens again, report the last words that \
                 `contact-sync status --verbose` shows"
                    .into(),
            ),
            Self::Failed {
                sign_in: Some(sign_in),
                ..
            } => Some(sign_in.remedy.clone()),
            Self::Failed { failure, .. } => problem(failure).remedy.clone(),
        }
    }
}

/// The sentence and the remedy of a failure.
pub fn problem(failure: &Failure) -> &Problem {
    match failure {
        Failure::InvalidJob(problem)
        | Failure::WrongIdentity(problem)
        | Failure::OtherEngine(problem)
        | Failure::StoreUnavailable(problem)
        | Failure::LeaseLost(problem)
        | Failure::StateUnreadable(problem)
        | Failure::NotFound(problem)
        | Failure::TooLarge(problem)
        | Failure::Internal(problem) => problem,
        Failure::SignInRefused(remote)
        | Failure::PermissionMissing(remote)
        | Failure::Unreachable(remote)
        | Failure::Protocol(remote)
        | Failure::EgressDenied(remote) => &remote.problem,
        Failure::Throttled(throttled) => &throttled.problem,
    }
}
