//! The component as a host runs it, with the world behind its imports.
//!
//! The settings are those of `host/src/plugin`; what a host does around it (egress, sign-in,
//! leases) is left out, so that what is measured is the component.

use std::time::Duration;

use bytes::Bytes;
use contact_sync_guest::outside::{self, Method, Outside, Request};
use contact_sync_host::types::Job;
use http_body_util::{BodyExt, Full};
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Config, Engine, ResourceLimiter, Store};
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::elsewhere::Door;

mod wit {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "plugin",
        imports: { default: trappable },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::sync::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::sync::clocks,
            "wasi:random": wasmtime_wasi::p2::bindings::sync::random,
            "wasi:http": wasmtime_wasi_http::p2::bindings::sync::http,
            "contact-sync:plugin/types": contact_sync_host::types,
        },
    });
}

use wit::contact_sync::plugin::store::{self, Entry, Page, StoreError, Write};
pub(crate) use wit::exports::contact_sync::plugin::sync::{Mode, Step};

/// The component, compiled.
pub(crate) struct Plugin {
    engine: Engine,
    face: wit::PluginPre<Inside>,
}

impl Plugin {
    pub(crate) fn new(component: &[u8]) -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config)?;
        let component = Component::from_binary(&engine, component)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_sync(&mut linker)?;
        store::add_to_linker::<Inside, HasSelf<Inside>>(&mut linker, |inside| inside)?;
        let face = wit::PluginPre::new(linker.instantiate_pre(&component)?)?;
        Ok(Self { engine, face })
    }

    /// A fresh sandbox.
    pub(crate) fn instance(&self, door: &Door) -> wasmtime::Result<Instance> {
        let inside = Inside {
            table: ResourceTable::new(),
            wasi: WasiCtx::builder().wall_clock(Clock(door.clone())).build(),
            http: WasiHttpCtx::new(),
            hooks: Way(door.clone()),
            door: door.clone(),
            memory: Memory::default(),
        };
        let mut store = Store::new(&self.engine, inside);
        store.limiter(|inside| &mut inside.memory);
        store.set_epoch_deadline(u64::MAX / 2);
        let face = self.face.instantiate(&mut store)?;
        Ok(Instance { face, store })
    }
}

/// A sandbox.
pub(crate) struct Instance {
    face: wit::Plugin,
    store: Store<Inside>,
}

impl Instance {
    /// A whole pass; pauses cost no time.
    pub(crate) fn pass(
        &mut self,
        job: &Job,
        mode: Mode,
    ) -> wasmtime::Result<contact_sync_host::types::Report> {
        let sync = self.face.contact_sync_plugin_sync();
        let pass = sync.pass();
        let opened = pass.call_open(&mut self.store, job, mode)?;
        let handle = opened.map_err(|failure| wasmtime::format_err!("{failure:?}"))?;
        let report = loop {
            match pass.call_advance(&mut self.store, handle)? {
                Step::Working(_) => {}
                Step::Waiting(pause) => self.store.data().door.sleep(pause.wait_ms),
                Step::Done(report) => break report,
            }
        };
        handle.resource_drop(&mut self.store)?;
        Ok(report)
    }

    /// What its memories have grown to.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.store.data().memory.bytes
    }
}

struct Inside {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Way,
    door: Door,
    memory: Memory,
}

impl WasiView for Inside {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Inside {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// Counts what memories have grown to.
#[derive(Default)]
struct Memory {
    bytes: usize,
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.bytes += desired - current;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        _desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

struct Clock(Door);

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now().0.unsigned_abs())
    }
}

/// Requests go to the world.
struct Way(Door);

type Answered = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl WasiHttpHooks for Way {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answered, Error>> + Send> {
        let door = self.0.clone();
        Box::new(async move {
            let request = of_wasi(request).await?;
            let sent = door.send(vec![request]).pop();
            let answer = sent.and_then(Result::ok);
            let answer = answer.ok_or(Error::ConnectionTerminated)?;
            let mut response = http::Response::builder().status(answer.status);
            for (name, value) in answer.headers {
                response = response.header(name, value);
            }
            let body = Full::new(Bytes::from(answer.body)).map_err(|never| match never {});
            let response = response
                .body(body.boxed_unsync())
                .map_err(|error| Error::InternalError(Some(error.to_string())))?;
            let nothing_left: Box<dyn Future<Output = Result<(), Error>> + Send> =
                Box::new(async { Ok(()) });
            Ok((response, nothing_left))
        })
    }
}

async fn of_wasi(request: http::Request<WasiBody>) -> Result<Request, Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let methods = [Method::Get, Method::Post, Method::Patch, Method::Delete];
    let method = methods
        .into_iter()
        .find(|method| method.as_str() == head.method.as_str());
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (name.as_str().to_owned(), value.into_owned())
    });
    Ok(Request {
        method: method.ok_or(Error::HttpRequestMethodInvalid)?,
        url: head.uri.to_string(),
        headers: headers.collect(),
        body: (!body.is_empty()).then(|| body.to_vec()),
        timeout_ms: 60_000,
    })
}

impl contact_sync_host::types::Host for Inside {}

impl store::Host for Inside {
    fn get_many(
        &mut self,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<Vec<u8>>>, StoreError>> {
        Ok(self.door.get_many(&keys).map_err(of_store))
    }

    fn scan(
        &mut self,
        prefix: String,
        after: Option<String>,
        entries_max: u32,
    ) -> wasmtime::Result<Result<Page, StoreError>> {
        let page = self.door.scan(&prefix, after.as_deref(), entries_max);
        let page = page.map(|page| Page {
            entries: page
                .entries
                .into_iter()
                .map(|(key, value)| Entry { key, value })
                .collect(),
            more: page.next.is_some(),
            next: page.next,
        });
        Ok(page.map_err(of_store))
    }

    fn commit(&mut self, writes: Vec<Write>) -> wasmtime::Result<Result<(), StoreError>> {
        let writes = writes.into_iter().map(|write| match write {
            Write::Set(entry) => outside::Write::Set(entry.key, entry.value),
            Write::Delete(key) => outside::Write::Delete(key),
        });
        Ok(self.door.commit(writes.collect()).map_err(of_store))
    }
}

fn of_store(error: outside::StoreError) -> StoreError {
    match error {
        outside::StoreError::Refused(why) => StoreError::Refused(why),
        outside::StoreError::Unavailable(wait_ms) => StoreError::Unavailable(wait_ms),
        outside::StoreError::LeaseLost => StoreError::LeaseLost,
        outside::StoreError::Quota(why) => StoreError::Quota(why),
    }
}
