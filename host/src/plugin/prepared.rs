//! `lifecycle.prepare` done once and written into the component, by Wizer.
//!
//! The component is run with every import a trap, before any tenant is known: nothing of a clock,
//! of chance or of a secret can get into what comes out. The one exception is the seed of Rust's
//! hash maps, which a map asks for as soon as it is made: it is a constant, as WASI allows
//! (<https://github.com/WebAssembly/wasi-random>, `insecure-seed`). So maps of all sandboxes have
//! the same order, and whoever could choose a million keys could make them collide: at the cost of
//! one step of their own tenant.

use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, Linker, WasmList};
use wasmtime::{Engine, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use super::sandbox::Limiter;
use super::{FACE, Limits, START_TIME_MAX, VERSION, reason, too_long};

/// The interface of the one import that is answered.
const SEED: &str = "wasi:random/insecure-seed@";

/// The component with all done that [`lifecycle.prepare`](super::prepare) does, or why that cannot
/// be.
///
/// In a task of its own: Wizer takes whatever it does not expect for a bug, and a component can be
/// anything.
pub(super) async fn prepared(
    engine: &Engine,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Vec<u8>, String> {
    let (engine, bytes, limits) = (engine.clone(), bytes.to_owned(), limits.clone());
    let start_time_max = limits.step_time_max.min(START_TIME_MAX);
    let run = tokio::spawn(async move { run(&engine, &bytes, &limits).await });
    let stop = run.abort_handle();
    match tokio::time::timeout(start_time_max, run).await {
        Ok(Ok(result)) => result.map_err(|error| reason(&error)),
        Ok(Err(_)) => Err("it is made in a way that cannot be prepared".to_owned()),
        Err(_) => {
            stop.abort();
            Err(too_long(start_time_max))
        }
    }
}

async fn run(engine: &Engine, bytes: &[u8], limits: &Limits) -> wasmtime::Result<Vec<u8>> {
    let mut wizer = Wizer::new();
    wizer.keep_init_func(true);
    let (context, instrumented) = wizer.instrument_component(bytes)?;
    let component = Component::from_binary(engine, &instrumented)?;
    let linker = linker(engine, &component)?;
    let mut store = Store::new(engine, Limiter::new(limits));
    store.limiter(|limiter| limiter);
    store.set_hostcall_fuel(limits.memory_bytes_max);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
    let instance = linker.instantiate_async(&mut store, &component).await?;
    let mut state = State {
        store,
        instance,
        failure: None,
    };
    state.prepare().await?;
    let prepared = wizer.snapshot_component(&context, &mut state).await?;
    match state.failure {
        None => Ok(prepared),
        Some(failure) => Err(failure),
    }
}

fn linker(engine: &Engine, component: &Component) -> wasmtime::Result<Linker<Limiter>> {
    let mut linker = Linker::new(engine);
    let face = component.component_type();
    for (import, _) in face
        .imports(engine)
        .filter(|(name, _)| name.starts_with(SEED))
    {
        let seed = |_: StoreContextMut<'_, _>, (): ()| Ok(((0_u64, 0_u64),));
        linker.instance(import)?.func_wrap("insecure-seed", seed)?;
    }
    linker.define_unknown_imports_as_traps(component)?;
    Ok(linker)
}

/// An instance whose state is read, part by part.
struct State {
    store: Store<Limiter>,
    instance: Instance,
    /// Why the first part that cannot be read cannot be.
    failure: Option<wasmtime::Error>,
}

impl State {
    async fn prepare(&mut self) -> wasmtime::Result<()> {
        let face = FACE.replace("sync@", "lifecycle@");
        self.call::<()>(&format!("{face}{VERSION}"), "prepare")
            .await
    }

    /// One part of the state. Wizer cannot be told that there is none, so that it gets nothing, and
    /// what it makes of it is thrown away.
    async fn part<T: Lift + Send + Sync + 'static>(&mut self, part: (&str, &str)) -> Option<T> {
        match self.call::<(T,)>(part.0, part.1).await {
            Ok((part,)) => Some(part),
            Err(error) => {
                self.failure.get_or_insert(error);
                None
            }
        }
    }

    async fn call<T>(&mut self, interface: &str, function: &str) -> wasmtime::Result<T>
    where
        T: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let (store, instance) = (&mut self.store, self.instance);
        let missing = || wasmtime::format_err!("it does not export `{interface}#{function}`");
        let interface = instance.get_export_index(&mut *store, None, interface);
        let function = interface
            .and_then(|found| instance.get_export_index(&mut *store, Some(&found), function))
            .ok_or_else(missing)?;
        let function = instance.get_typed_func::<(), T>(&mut *store, function)?;
        function.call_async(store, ()).await
    }
}

impl ComponentInstanceState for State {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        match self.part::<WasmList<u8>>((instance, func)).await {
            Some(bytes) => contents(bytes.as_le_slice(&self.store)),
            None => contents(&[]),
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.part((instance, func)).await.unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.part((instance, func)).await.unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        let value: Option<f32> = self.part((instance, func)).await;
        value.unwrap_or_default().to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        let value: Option<f64> = self.part((instance, func)).await;
        value.unwrap_or_default().to_bits()
    }
}
