//! What is inside one sandbox, and what it may use.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use wasmtime::ResourceLimiter;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView};
use wasmtime_wasi::p2::bindings::{cli, random};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxView, WasiView, async_trait};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::Limits;
use super::wit;
use super::wit::contact_sync::plugin::store::{Entry, Host, Page, StoreError, Write};
use crate::store::{self, Access, Clock, Crash, MemoryStore, Namespace, system_clock};

/// How much of its standard error is kept.
const LAST_WORDS_BYTES_MAX: usize = 4 * 1024;

/// Random bytes of one call: the host makes them outside of the sandbox's own memory.
const RANDOM_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of the headers of one request that a guest makes: more than any server of this field takes
/// (IIS: 16 KiB, <https://learn.microsoft.com/troubleshoot/developer/webapps/iis/iisadmin-service-inetinfo/httpsys-registry-windows>).
/// Each handle may hold so many in the host.
const FIELD_BYTES_MAX: usize = 16 * 1024;

/// What one instance works with.
pub(crate) struct Sandbox {
    pub(super) limiter: Limiter,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Box<dyn WasiHttpHooks>,
    namespace: Namespace,
}

impl Sandbox {
    /// No arguments, no environment, no files, no sockets; a clock, randomness, and a standard
    /// error whose end is kept.
    pub(super) fn new(
        hooks: Box<dyn WasiHttpHooks>,
        namespace: Namespace,
        last_words: LastWords,
        limits: &Limits,
        clock: Clock,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles_max);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELD_BYTES_MAX);
        Self {
            limiter: Limiter::new(limits),
            table,
            wasi: WasiCtx::builder()
                .stderr(last_words)
                .wall_clock(WallClock(clock))
                .max_random_size(RANDOM_BYTES_MAX)
                .build(),
            http,
            hooks,
            namespace,
        }
    }
}

/// The host's clock, as the sandbox reads it: leases, tokens and passes live in one time.
struct WallClock(Clock);

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis((self.0)())
    }
}

/// Everything that a plugin may import, and nothing else.
pub(super) fn link(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(linker)?;
    // What Rust's standard library imports beyond that, whether it is used or not.
    random::insecure::add_to_linker::<Sandbox, WasiRandom>(linker, Sandbox::random)?;
    random::insecure_seed::add_to_linker::<Sandbox, WasiRandom>(linker, Sandbox::random)?;
    cli::environment::add_to_linker::<Sandbox, WasiCli>(linker, Sandbox::cli)?;
    cli::exit::add_to_linker::<Sandbox, WasiCli>(linker, Sandbox::cli)?;
    cli::terminal_input::add_to_linker::<Sandbox, WasiCli>(linker, Sandbox::cli)?;
    cli::terminal_output::add_to_linker::<Sandbox, WasiCli>(linker, Sandbox::cli)?;
    cli::terminal_stdin::add_to_linker::<Sandbox, WasiCli>(linker, Sandbox::cli)?;
    cli::terminal_stdout::add_to_linker::<Sandbox, WasiCli>(linker, Sandbox::cli)?;
    cli::terminal_stderr::add_to_linker::<Sandbox, WasiCli>(linker, Sandbox::cli)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    super::requests::limit(linker)?;
    wit::contact_sync::plugin::store::add_to_linker::<Sandbox, HasSelf<Sandbox>>(
        linker,
        |sandbox| sandbox,
    )
}

/// A way out that leads nowhere, and an empty memory: for the life before the first job.
pub(super) fn nothing() -> (Box<dyn WasiHttpHooks>, Namespace) {
    let store = MemoryStore::new(system_clock(), 0);
    let namespace = Namespace::new(Arc::new(store), Access::ReadOnly(String::new()));
    (Box::new(Closed), namespace)
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Sandbox {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut *self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

impl wit::contact_sync::plugin::types::Host for Sandbox {}

impl Host for Sandbox {
    async fn get_many(
        &mut self,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<Vec<u8>>>, StoreError>> {
        Ok(self.namespace.get_many(keys).await.map_err(Into::into))
    }

    async fn scan(
        &mut self,
        prefix: String,
        after: Option<String>,
        entries_max: u32,
    ) -> wasmtime::Result<Result<Page, StoreError>> {
        let page = self.namespace.scan(prefix, after, entries_max).await;
        Ok(page.map(Into::into).map_err(Into::into))
    }

    async fn commit(&mut self, writes: Vec<Write>) -> wasmtime::Result<Result<(), StoreError>> {
        let writes = writes.into_iter().map(Into::into).collect();
        Ok(self.namespace.commit(writes).await.map_err(Into::into))
    }
}

impl From<store::Page> for Page {
    fn from(page: store::Page) -> Self {
        let next = page
            .entries
            .last()
            .map(|(key, _)| key.clone())
            .filter(|_| page.more);
        let entries = page
            .entries
            .into_iter()
            .map(|(key, value)| Entry { key, value })
            .collect();
        Self {
            entries,
            more: page.more,
            next,
        }
    }
}

impl From<Write> for store::Write {
    fn from(write: Write) -> Self {
        match write {
            Write::Set(entry) => Self::Set(entry.key, entry.value),
            Write::Delete(key) => Self::Delete(key),
        }
    }
}

impl From<store::StoreError> for StoreError {
    fn from(error: store::StoreError) -> Self {
        match error {
            store::StoreError::Refused(why) => Self::Refused(why),
            store::StoreError::Unavailable { retry_ms } => Self::Unavailable(retry_ms),
            store::StoreError::LeaseLost => Self::LeaseLost,
            store::StoreError::Quota(why) => Self::Quota(why),
        }
    }
}

/// Keeps the sum over all memories and tables of a sandbox: wasmtime's own limits hold for each by
/// itself, and a composed component has several.
pub(super) struct Limiter {
    memory_bytes: usize,
    memory_bytes_max: usize,
    table_elements: usize,
    table_elements_max: usize,
    instances_max: usize,
}

impl Limiter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes: 0,
            memory_bytes_max: limits.memory_bytes_max,
            table_elements: 0,
            table_elements_max: limits.table_elements_max,
            instances_max: limits.instances_max,
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(grow(
            &mut self.memory_bytes,
            desired.saturating_sub(current),
            self.memory_bytes_max,
        ))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        Ok(grow(
            &mut self.table_elements,
            more,
            self.table_elements_max,
        ))
    }

    fn instances(&self) -> usize {
        self.instances_max
    }

    fn tables(&self) -> usize {
        self.instances_max
    }

    fn memories(&self) -> usize {
        self.instances_max
    }
}

fn grow(used: &mut usize, more: usize, max: usize) -> bool {
    let Some(wanted) = used.checked_add(more).filter(|wanted| *wanted <= max) else {
        return false;
    };
    *used = wanted;
    true
}

/// Lets nothing out.
struct Closed;

impl WasiHttpHooks for Closed {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answered, Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

type Answered = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

/// The end of what a guest wrote to its standard error.
#[derive(Clone, Default)]
pub(crate) struct LastWords(Arc<Mutex<VecDeque<u8>>>);

impl LastWords {
    /// How a sandbox ended, for the tenant's own storage: what it wrote may hold personal data.
    pub(super) fn crash(&self, reason: &str) -> Crash {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: Vec<u8> = kept.iter().copied().collect();
        let written = String::from_utf8_lossy(&kept);
        let last_words = match written.trim() {
            "" => reason.to_owned(),
            written => format!("{reason}\n{written}"),
        };
        Crash {
            at: system_clock()(),
            last_words,
        }
    }
}

impl IsTerminal for LastWords {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LastWords {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.1 and 0.3 ask for this one; no plugin has either.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LastWords {
    async fn ready(&mut self) {}
}

impl OutputStream for LastWords {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(bytes);
        let surplus = kept.len().saturating_sub(LAST_WORDS_BYTES_MAX);
        kept.drain(..surplus);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LAST_WORDS_BYTES_MAX)
    }
}
