//! The plugin: loaded and checked once, and one fresh sandbox for each call or pass.
//!
//! A component that does not fit is refused here, before any tenant runs: it must export the
//! version of the package that this host speaks, import nothing but WASI 0.2 without files and
//! sockets and the store, and come to life once.
//!
//! What is the same for all tenants is done once: `prepared` runs `lifecycle.prepare` and writes
//! what it has done into the component, `cache` keeps the machine code made of that, and `engines`
//! has address space reserved for the sandboxes to come.
//!
//! Each version of the package that a host speaks is a module of its own beside `wit`; the newest
//! one gives the types, and the version in the exports' names picks.

mod cache;
mod engines;
mod meter;
mod prepared;
mod requests;
mod sandbox;
pub(crate) mod wit;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use semver::Version;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi_http::WasiHttpHooks;

use crate::store::{Clock, Crash, Namespace};
use engines::Engines;
use meter::metered;
pub(crate) use sandbox::Sandbox;
use sandbox::{LastWords, Limiter};

/// The interface whose version stands for the package's.
const FACE: &str = "contact-sync:plugin/sync@";

/// The version of the package that this host speaks.
const VERSION: Version = Version::new(0, 1, 0);

/// How long a sandbox may take to come to life. One that is ready for use needs a millisecond.
const START_TIME_MAX: Duration = Duration::from_secs(30);

/// What one sandbox may use. A host that runs few large tenants raises them, one that runs many
/// small ones lowers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All of its memories together.
    pub memory_bytes_max: usize,
    /// All of its tables together.
    pub table_elements_max: usize,
    /// Core instances, memories and tables, each.
    pub instances_max: usize,
    /// Open handles: requests, answers, streams, pollables.
    pub handles_max: usize,
    /// What one call may carry from the guest to the host.
    pub call_bytes_max: usize,
    /// One step of a pass, or one other call: computing and waiting for answers together.
    pub step_time_max: Duration,
    /// Computing, in all steps together.
    pub computing_time_max: Duration,
    /// From its beginning to its last call, pauses included. Until then a pass keeps its tenant's
    /// lease; the next one goes on where it stopped.
    pub life_time_max: Duration,
}

impl Limits {
    /// For up to 100,000 contacts. Two address books of so many that are matched for the first time
    /// take 250 MiB, any other pass over them less than 200; people with more than usual in their
    /// contacts shall not be stopped. A step has at most 100 requests, four of them at once. A
    /// first sync of so many computes for a minute at most; and a day is after what a full read is
    /// due.
    pub fn usual() -> Self {
        Self {
            memory_bytes_max: 384 * 1024 * 1024,
            table_elements_max: 100_000,
            instances_max: 64,
            handles_max: 1_024,
            call_bytes_max: 16 * 1024 * 1024,
            step_time_max: Duration::from_mins(30),
            computing_time_max: Duration::from_mins(10),
            life_time_max: Duration::from_hours(24),
        }
    }
}

/// Why a component cannot be the plugin.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The engine does not start on this machine.
    #[error("the engine does not start: {0}")]
    Engine(String),
    /// Not a component, or a damaged one.
    #[error("this is no WebAssembly component: {0}")]
    NotAComponent(String),
    /// A component of another kind.
    #[error("this component is no contact-sync plugin: it exports no `{FACE}{VERSION}`")]
    NoPlugin,
    /// Made for another version of the interface.
    #[error(
        "this plugin speaks version {found} of `contact-sync:plugin`; this host speaks {VERSION}"
    )]
    Version {
        /// The version that it exports.
        found: Version,
    },
    /// It wants what no plugin gets, or its interface differs in a detail.
    #[error("this plugin does not fit this host: {0}")]
    Misfit(String),
    /// It fails before it is asked anything.
    #[error("this plugin does not start: {0}")]
    Start(String),
}

impl PluginError {
    /// What to do now.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Engine(_) => {
                "run it on a machine that wasmtime supports, with enough address space"
            }
            Self::NotAComponent(_) | Self::NoPlugin => {
                "give the plugin's file, or leave the option out to run the built-in one"
            }
            Self::Version { found } if *found > VERSION => "take a newer host, or an older plugin",
            Self::Version { .. } => "take a newer plugin",
            Self::Misfit(_) | Self::Start(_) => {
                "take the plugin and the host from the same release; if they are, report this"
            }
        }
    }
}

/// The component with all done that is the same for every tenant: what `lifecycle.prepare` computes
/// is part of the bytes, so that no instance has to compute it. It fits every host that the
/// component itself fits.
///
/// It is run with every import a trap, but for a constant seed of hash maps: no secret, clock or
/// chance can get into the bytes, and the same component always gives the same ones.
pub async fn prepare(bytes: &[u8]) -> Result<Vec<u8>, PluginError> {
    let engines = Engines::new(&Limits::usual(), 0)?;
    Component::from_binary(&engines.roomy, bytes)
        .map_err(|error| PluginError::NotAComponent(short(&error)))
        .and_then(|component| check_version(&engines.roomy, &component))?;
    prepared::prepared(&engines.roomy, bytes, &Limits::usual())
        .await
        .map_err(PluginError::Start)
}

/// A plugin that fits, ready to be instantiated.
pub(crate) struct Plugin {
    /// In reserved address space: quicker, but there are only so many.
    pooled: Option<Ready>,
    /// As many as the machine has memory for.
    roomy: Ready,
    limits: Limits,
    clock: Clock,
}

/// A component with its imports looked up.
struct Ready {
    engine: Engine,
    face: wit::PluginPre<Sandbox>,
}

impl Plugin {
    /// Prepares and compiles a component, or takes it from `cache`, and brings it to life once.
    /// `pooled_max` sandboxes have their address space reserved, if the machine has it.
    pub(crate) async fn load(
        bytes: &[u8],
        cache: Option<PathBuf>,
        limits: Limits,
        pooled_max: usize,
        clock: Clock,
    ) -> Result<Self, PluginError> {
        let engines = Engines::new(&limits, pooled_max)?;
        let compiled = cache::compiled(&engines.roomy, bytes, cache.as_deref(), &limits)
            .await
            .map_err(|error| PluginError::NotAComponent(short(&error)))?;
        let roomy = Ready::new(engines.roomy, &compiled)?;
        // What does not fit into a slot of the pool goes without one.
        let pooled = engines
            .pooled
            .and_then(|engine| Ready::new(engine, &compiled).ok());
        let plugin = Self {
            pooled,
            roomy,
            limits,
            clock,
        };
        let (hooks, namespace) = sandbox::nothing();
        match plugin.instance(hooks, namespace).await {
            Ok(_) => Ok(plugin),
            Err(crash) => Err(PluginError::Start(crash.last_words)),
        }
    }

    /// A fresh sandbox with this way out and this memory.
    pub(crate) async fn instance(
        &self,
        hooks: Box<dyn WasiHttpHooks>,
        namespace: Namespace,
    ) -> Result<Instance, Crash> {
        let last_words = LastWords::default();
        let clock = Arc::clone(&self.clock);
        let mut sandbox = Sandbox::new(hooks, namespace, last_words.clone(), &self.limits, clock);
        let start_time_max = self.limits.step_time_max.min(START_TIME_MAX);
        let instantiate = async {
            if let Some(pooled) = &self.pooled {
                let mut store = self.store(&pooled.engine, sandbox);
                match pooled.face.instantiate_async(&mut store).await {
                    Err(error) if error.is::<PoolConcurrencyLimitError>() => {}
                    result => return result.map(|face| (face, store)),
                }
                sandbox = store.into_data();
                sandbox.limiter = Limiter::new(&self.limits);
            }
            let mut store = self.store(&self.roomy.engine, sandbox);
            let face = self.roomy.face.instantiate_async(&mut store).await?;
            Ok((face, store))
        };
        match tokio::time::timeout(start_time_max, instantiate).await {
            Ok(Ok((face, store))) => Ok(Instance {
                face,
                store,
                last_words,
                limits: self.limits.clone(),
                born: Instant::now(),
                computed: Duration::ZERO,
                crash: None,
            }),
            Ok(Err(error)) => Err(last_words.crash(&reason(&error))),
            Err(_) => Err(last_words.crash(&too_long(start_time_max))),
        }
    }

    fn store(&self, engine: &Engine, sandbox: Sandbox) -> Store<Sandbox> {
        let mut store = Store::new(engine, sandbox);
        store.limiter(|sandbox| &mut sandbox.limiter);
        store.set_hostcall_fuel(self.limits.call_bytes_max);
        store.set_max_component_handles(self.limits.handles_max);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        store
    }
}

impl Ready {
    fn new(engine: Engine, compiled: &cache::Compiled) -> Result<Self, PluginError> {
        let component = compiled
            .component(&engine)
            .map_err(|error| PluginError::NotAComponent(short(&error)))?;
        check_version(&engine, &component)?;
        let misfit = |error: wasmtime::Error| PluginError::Misfit(short(&error));
        let mut linker = Linker::new(&engine);
        sandbox::link(&mut linker).map_err(misfit)?;
        let instance = linker.instantiate_pre(&component).map_err(misfit)?;
        let face = wit::PluginPre::new(instance).map_err(misfit)?;
        Ok(Self { engine, face })
    }
}

/// One sandbox. After a crash it is never entered again.
pub(crate) struct Instance {
    face: wit::Plugin,
    store: Store<Sandbox>,
    last_words: LastWords,
    limits: Limits,
    born: Instant,
    computed: Duration,
    crash: Option<Crash>,
}

impl Instance {
    /// Calls into the sandbox, within the time that a step may take.
    pub(crate) async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&wit::Plugin, &mut Store<Sandbox>) -> wasmtime::Result<T>,
    ) -> Result<T, Crash> {
        if let Some(crash) = &self.crash {
            return Err(crash.clone());
        }
        let Limits {
            step_time_max,
            computing_time_max,
            life_time_max,
            ..
        } = self.limits;
        let left = life_time_max.saturating_sub(self.born.elapsed());
        if left.is_zero() {
            return Err(self.ended(&longer("it was at work for", life_time_max)));
        }
        if self.computed > computing_time_max {
            return Err(self.ended(&longer("it computed for", computing_time_max)));
        }
        // Until it has come back: whoever drops the call midway leaves a sandbox that is half-way
        // through something.
        self.crash = Some(self.last_words.crash("a call into it was given up midway"));
        let called = call(&self.face, &mut self.store);
        let called = metered(called, &mut self.computed, computing_time_max);
        let reason = match tokio::time::timeout(step_time_max.min(left), called).await {
            Ok(Some(Ok(result))) => {
                self.crash = None;
                return Ok(result);
            }
            Ok(Some(Err(error))) => reason(&error),
            Ok(None) => longer("it computed for", computing_time_max),
            Err(_) if left < step_time_max => longer("it was at work for", life_time_max),
            Err(_) => too_long(step_time_max),
        };
        Err(self.ended(&reason))
    }

    /// Ends it for good.
    fn ended(&mut self, reason: &str) -> Crash {
        let crash = self.last_words.crash(reason);
        self.crash = Some(crash.clone());
        crash
    }
}

fn check_version(engine: &Engine, component: &Component) -> Result<(), PluginError> {
    let face = component.component_type();
    let mut names = face.exports(engine);
    let found = names.find_map(|(name, _)| Version::parse(name.strip_prefix(FACE)?).ok());
    // As Cargo and the component model read versions: 0.1.1 may stand in for 0.1.0, 0.2.0 not.
    match found {
        Some(found) if (found.major, found.minor) == (VERSION.major, VERSION.minor) => Ok(()),
        // What stands behind the numbers may be of any length.
        Some(Version {
            major,
            minor,
            patch,
            ..
        }) => Err(PluginError::Version {
            found: Version::new(major, minor, patch),
        }),
        None => Err(PluginError::NoPlugin),
    }
}

/// A trap in words; the engine's own name for it behind them. No backtrace: its names are the
/// plugin's to choose, in any number and of any length.
fn reason(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => "it panicked (unreachable code reached)".into(),
        Some(Trap::StackOverflow) => "it used up its stack".into(),
        Some(trap) => format!("it was stopped: {trap}"),
        None if error.is::<WasmBacktrace>() => format!("it was stopped: {}", error.root_cause()),
        None => format!("it was stopped: {}", short(error)),
    }
}

fn too_long(step_time_max: Duration) -> String {
    longer("a step took", step_time_max)
}

fn longer(what: &str, max: Duration) -> String {
    format!("{what} longer than {} ms", max.as_millis())
}

/// The causes of an error in one line: as much of it as a person reads.
fn short(error: &wasmtime::Error) -> String {
    const CHARACTERS_MAX: usize = 1_000;
    let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
    causes.join(": ").chars().take(CHARACTERS_MAX).collect()
}
