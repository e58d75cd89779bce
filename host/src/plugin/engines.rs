//! The engines that sandboxes run in, and the clock by which running code looks up.

use std::time::Duration;

use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::{Limits, PluginError, short};

/// How often running code looks up: how evenly passes share a core, and how soon one can be
/// stopped.
const TICK: Duration = Duration::from_millis(10);

/// A component's core instances, or tables, for which a slot of the pool has room on average: what
/// wit-bindgen and the linker make of one program is three, a composed component is several.
const PARTS_PER_SLOT: u32 = 8;

/// Tables of one module; a program in Rust has one, and what the linker adds has another.
const TABLES_PER_MODULE: u32 = 4;

/// Two engines that run the same machine code.
pub(super) struct Engines {
    /// Maps memory for each sandbox as it comes.
    pub(super) roomy: Engine,
    /// Has address space reserved for so many sandboxes; `None` where none are wanted, or where the
    /// machine has no such space (`ulimit -v`, or fewer than 47 bits of addresses).
    pub(super) pooled: Option<Engine>,
}

impl Engines {
    pub(super) fn new(limits: &Limits, pooled_max: usize) -> Result<Self, PluginError> {
        let roomy = Engine::new(&config()).map_err(|error| PluginError::Engine(short(&error)))?;
        let pooled = u32::try_from(pooled_max)
            .ok()
            .filter(|slots| *slots > 0)
            .and_then(|slots| match pooled(limits, slots) {
                Ok(engine) => Some(engine),
                Err(error) => {
                    let error = short(&error);
                    tracing::warn!(slots, error, "no address space for a pool of sandboxes");
                    None
                }
            });
        let engines = Self { roomy, pooled };
        engines.start_ticker()?;
        Ok(engines)
    }

    /// A thread that ends with the engines.
    fn start_ticker(&self) -> Result<(), PluginError> {
        let all = [Some(&self.roomy), self.pooled.as_ref()];
        let all: Vec<_> = all.into_iter().flatten().map(Engine::weak).collect();
        let ticker = std::thread::Builder::new().name("contact-sync-ticker".into());
        let tick = move || {
            loop {
                let alive = all.iter().filter_map(EngineWeak::upgrade);
                if alive.map(|engine| engine.increment_epoch()).count() == 0 {
                    return;
                }
                std::thread::sleep(TICK);
            }
        };
        ticker
            .spawn(tick)
            .map(|_| ())
            .map_err(|error| PluginError::Engine(error.to_string()))
    }
}

/// What decides the machine code: the same for both.
fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config
}

fn pooled(limits: &Limits, slots: u32) -> wasmtime::Result<Engine> {
    let parts = slots.saturating_mul(PARTS_PER_SLOT);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_stacks(slots)
        .total_memories(slots)
        .total_core_instances(parts)
        .total_tables(parts)
        .max_tables_per_module(TABLES_PER_MODULE)
        .table_elements(limits.table_elements_max)
        .max_memory_size(limits.memory_bytes_max);
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}
