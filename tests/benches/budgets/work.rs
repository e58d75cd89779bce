//! The passes that are measured, natively and in the sandbox, over the same address books.

use std::rc::Rc;
use std::time::Duration;

use contact_sync_guest::job::{CrmAccess, Endpoint, Job, Marker};
use contact_sync_guest::links::Link;
use contact_sync_guest::outside::Outside;
use contact_sync_guest::pass::{self, Mode, Step};
use contact_sync_guest::plan::matching::{Candidate, propose};
use contact_sync_guest::report::Outcome;
use contact_sync_host::config::usual_policy;
use contact_sync_host::types;
use contact_sync_tests::people::Sizes;
use contact_sync_tests::simulator::{StoreCounters, World};
use serde_json::json;

use crate::elsewhere::{Door, time_at_home};
use crate::report::milliseconds;
use crate::sandbox::{self, Plugin};

const ANNA: &str = "anna@makler.example";

/// Long enough that clocks, indices and settling times play no part any more.
const PAUSE_MS: i64 = 660_000;

/// A kind of pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    FirstSync,
    Quiet,
    MailboxEdits,
    CrmEdits,
    FirstMatch,
}

/// What a pass cost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) requests: u64,
    pub(crate) writes: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) store: StoreCounters,
    pub(crate) native: Duration,
    pub(crate) component: Duration,
    /// What the component's memory grew to.
    pub(crate) memory_bytes: usize,
}

impl Cost {
    pub(crate) fn ratio(&self) -> f64 {
        self.component.as_secs_f64() / self.native.as_secs_f64()
    }
}

/// All passes over address books of one size.
pub(crate) struct Made {
    pub(crate) contacts: u32,
    /// Natively: telling who of one side is who of the other, and nothing else.
    pub(crate) recognising: Duration,
    costs: Vec<(Task, Cost)>,
}

impl Made {
    /// The most that the component's memory grew to.
    pub(crate) fn memory_bytes(&self) -> usize {
        let sizes = self.costs.iter().map(|(_, cost)| cost.memory_bytes);
        sizes.max().unwrap_or_default()
    }

    pub(crate) fn cost(&self, task: Task) -> &Cost {
        let mut costs = self.costs.iter();
        let found = costs.find(|(made, _)| *made == task);
        found.map(|(_, cost)| cost).expect("every task was made")
    }
}

impl Task {
    /// In the order in which they are made, each over what the ones before it left.
    pub(crate) const ALL: [Self; 5] = [
        Self::FirstSync,
        Self::Quiet,
        Self::MailboxEdits,
        Self::CrmEdits,
        Self::FirstMatch,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FirstSync => "first sync",
            Self::Quiet => "no change",
            Self::MailboxEdits => "1 % edited in Outlook",
            Self::CrmEdits => "1 % edited in FLOWFACT",
            Self::FirstMatch => "first match of equals",
        }
    }

    /// Processor time in the component at 10,000 contacts, where there is a budget of its own.
    pub(crate) fn cpu_ms_max(self) -> f64 {
        match self {
            Self::FirstSync => 3_000.0,
            Self::Quiet => 10.0,
            Self::MailboxEdits | Self::CrmEdits => 50.0,
            Self::FirstMatch => 500.0,
        }
    }

    /// What is counted, with its budget.
    pub(crate) fn counts_max(self, contacts: u32, cost: &Cost) -> Vec<(&'static str, u64, u64)> {
        let contacts = u64::from(contacts);
        let edited = contacts / 100;
        let pages = contacts / 50 + 20;
        let (requests, writes) = match self {
            Self::FirstSync => (contacts + pages, contacts),
            Self::Quiet => (3, 0),
            // One read right before each write, for FLOWFACT has no versions and does not batch;
            // and reads, four at once, of the edited contacts: a delta need not name every
            // property.
            Self::MailboxEdits => (2 * edited + edited.div_ceil(4) + 5, edited),
            Self::CrmEdits => (edited + 5, edited),
            Self::FirstMatch => (2 * pages, 0),
        };
        let mut counts = vec![
            ("requests", requests, cost.requests),
            ("writes", writes, cost.writes),
        ];
        match self {
            Self::Quiet => {
                counts.push(("store rows read", 4, cost.store.rows_read));
                counts.push(("commits", 1, cost.store.commits));
            }
            Self::FirstSync => {
                counts.push(("commits", contacts / 10 + 2, cost.store.commits));
            }
            _ => {}
        }
        counts
    }
}

/// Both ways of running the engine; the component is left out for a profiler.
pub(crate) struct Runs(Option<Plugin>);

impl Runs {
    pub(crate) fn new(component: Option<&[u8]>) -> wasmtime::Result<Self> {
        component.map(Plugin::new).transpose().map(Self)
    }

    /// All tasks over an address book of this size, natively and in the sandbox.
    pub(crate) fn series(&self, contacts: u32) -> wasmtime::Result<Made> {
        let mut native = Company::new(contacts, None);
        let plugin = self.0.as_ref();
        let mut component = plugin.map(|plugin| Company::new(contacts, Some(plugin)));
        let mut costs = Vec::new();
        for task in Task::ALL {
            eprint!("{contacts} contacts, {}:", task.name());
            let (mut cost, native_time) = native.cost(task)?;
            cost.native = native_time;
            eprint!(" {} native", milliseconds(native_time));
            if let Some(component) = &mut component {
                let (same, component_time) = component.cost(task)?;
                cost.component = component_time;
                cost.memory_bytes = same.memory_bytes;
                eprint!(", {} in the component", milliseconds(component_time));
                if !asks_for_the_same(&same, &cost) {
                    wasmtime::bail!("{}: the component asks for something else", task.name());
                }
            }
            eprintln!();
            costs.push((task, cost));
        }
        Ok(Made {
            contacts,
            recognising: native.recognising()?,
            costs,
        })
    }
}

/// The writes exactly. The requests but for one in a hundred: FLOWFACT's results are cut by the
/// times of what they hold, and these are others where requests are sent in a sandbox.
fn asks_for_the_same(one: &Cost, other: &Cost) -> bool {
    one.writes == other.writes && one.requests.abs_diff(other.requests) * 100 <= one.requests
}

/// A company with one mailbox, and whoever runs its passes.
struct Company<'a> {
    contacts: u32,
    door: Door,
    plugin: Option<&'a Plugin>,
    /// What the last pass's memory grew to.
    memory_bytes: usize,
}

impl<'a> Company<'a> {
    fn new(contacts: u32, plugin: Option<&'a Plugin>) -> Self {
        let door = Door::open(World::builder().mailbox(ANNA).latency_ms(1));
        door.ask(move |world| {
            world.services(|services, _| {
                services.graph.quirks.requests_per_ten_minutes_max = None;
            });
            let sizes = Sizes {
                crm: 0,
                mailbox: contacts as usize,
                shared: 0,
            };
            world.populate(ANNA, 7, sizes);
        });
        Self {
            contacts,
            door,
            plugin,
            memory_bytes: 0,
        }
    }

    /// Lets happen what the task is about, runs the pass, and then one more for its echo.
    fn cost(&mut self, task: Task) -> wasmtime::Result<(Cost, Duration)> {
        let edited = self.contacts as usize / 100;
        self.door.ask(move |world| {
            happen(world, task, edited);
            world.advance_ms(PAUSE_MS);
            world.take_counters();
            world.reset_store_counters();
        });
        let time = self.pass()?;
        let memory_bytes = self.memory_bytes;
        let cost = self.door.ask(move |world| {
            let counters = world.take_counters();
            Cost {
                requests: counters.requests,
                writes: counters.writes(),
                bytes_sent: counters.bytes_received,
                bytes_received: counters.bytes_sent,
                store: world.store_counters(),
                memory_bytes,
                ..Cost::default()
            }
        });
        if task != Task::Quiet {
            self.door.ask(|world| world.advance_ms(PAUSE_MS));
            self.pass()?;
        }
        Ok((cost, time))
    }

    /// Recognises all that are paired now, once more and from what both sides hold alone.
    fn recognising(&self) -> wasmtime::Result<Duration> {
        let rows = self.door.ask(|world| world.stored());
        let rows = rows.iter().filter(|(key, _)| key.contains("/pair/"));
        let links: Vec<Link> = rows
            .map(|(_, row)| serde_json::from_slice(row))
            .collect::<Result<_, _>>()?;
        let region = self.door.ask(|world| world.job(ANNA)).tenant.region;
        let start = time_at_home();
        let pairs = || links.iter().map(|link| &link.base).enumerate();
        let crm = pairs().map(|(id, base)| Candidate::of_crm(id, &base.crm, &region));
        let mailbox = pairs().map(|(id, base)| Candidate::of_mailbox(id, &base.view, &region));
        let (crm, mailbox): (Vec<_>, Vec<_>) = (crm.collect(), mailbox.collect());
        let found = propose(&crm, &mailbox, true).pairs;
        let time = time_at_home().saturating_sub(start);
        if found.iter().any(|(one, other)| one != other) {
            wasmtime::bail!("two contacts were taken for one person");
        }
        Ok(time)
    }

    /// A whole pass, and the processor time of it.
    fn pass(&mut self) -> wasmtime::Result<Duration> {
        let job = self.door.ask(|world| world.job(ANNA));
        let Some(plugin) = self.plugin else {
            return native_pass(job, &self.door);
        };
        let job = of_job(&job);
        let start = time_at_home();
        let mut instance = plugin.instance(&self.door)?;
        let report = instance.pass(&job, sandbox::Mode::Sync)?;
        let time = time_at_home().saturating_sub(start);
        if report.outcome != types::Outcome::Complete {
            wasmtime::bail!("a pass did not end well: {:?}", report.outcome);
        }
        self.memory_bytes = instance.memory_bytes();
        Ok(time)
    }
}

fn happen(world: &World, task: Task, edited: usize) {
    match task {
        Task::FirstSync | Task::Quiet => {}
        Task::MailboxEdits => {
            for id in world.mailbox_ids(ANNA).iter().take(edited) {
                world.mailbox_edit(ANNA, id, &json!({"jobTitle": "Leitung Vertrieb"}));
            }
        }
        Task::CrmEdits => {
            for id in world.crm_ids().iter().rev().take(edited) {
                world.crm_edit(id, &json!({"department": ["Vermietung"]}));
            }
        }
        // Both sides hold the same, and nothing is remembered of it.
        Task::FirstMatch => world.set_stored(std::collections::BTreeMap::new()),
    }
}

fn native_pass(job: Job, door: &Door) -> wasmtime::Result<Duration> {
    let outside: Rc<dyn Outside> = Rc::new(door.clone());
    let start = time_at_home();
    let opened = pass::open(job, Mode::Sync, Rc::clone(&outside));
    let mut pass = opened.map_err(|failure| wasmtime::format_err!("{failure:?}"))?;
    let report = loop {
        match pass.advance() {
            Step::Working(_) => {}
            Step::Waiting(wait_ms, _) => outside.sleep(wait_ms),
            Step::Done(report) => break report,
        }
    };
    let time = time_at_home().saturating_sub(start);
    if report.outcome != Outcome::Complete {
        wasmtime::bail!("a pass did not end well: {:?}", report.outcome);
    }
    Ok(time)
}

/// The same job, as a host gives it to the component.
fn of_job(job: &Job) -> types::Job {
    let CrmAccess::Flowfact(flowfact) = &job.crm;
    let Marker::FieldValue { field, value } = &flowfact.marker else {
        panic!("the world's markers are values of a field");
    };
    let Endpoint::Graph(graph) = &job.mailbox.endpoint else {
        panic!("the world's mailbox is in Office 365");
    };
    types::Job {
        tenant: types::Tenant {
            id: job.tenant.id.clone(),
            region: job.tenant.region.clone(),
        },
        crm: types::Crm::Flowfact(types::Flowfact {
            base_url: flowfact.base_url.clone(),
            schema: flowfact.schema.clone(),
            company: None,
            fields: Vec::new(),
            marker: types::Marker::FieldValue(types::FieldValue {
                field: field.clone(),
                value: value.clone(),
            }),
        }),
        mailbox: types::Mailbox {
            id: job.mailbox.id.clone(),
            address: job.mailbox.address.clone(),
            endpoint: types::Endpoint::Graph(types::Graph {
                base_url: graph.base_url.clone(),
                user: types::GraphUser::User(ANNA.to_owned()),
                trust_if_match: graph.trust_if_match,
            }),
        },
        policy: usual_policy(),
    }
}
