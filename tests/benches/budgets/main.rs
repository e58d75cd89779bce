//! What a pass costs, beside what it may cost.
//!
//! ```text
//! cargo bench                          # all of it: some minutes
//! cargo bench -- --contacts-max 10000  # without the largest address books
//! cargo bench -- --native-only         # for a profiler: the engine as native code alone
//! ```
//!
//! Processor times are those of the thread that runs the engine: once as native code, once as the
//! component in a sandbox. Services and store are simulated on another thread, in memory, and
//! answer at once. Requests, writes, rows and commits are exact. Times depend on the machine and
//! are asserted nowhere; what is counted is asserted by `cargo test --test contract budgets`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what it is for"
)]

mod elsewhere;
mod life;
mod report;
mod sandbox;
mod work;

use clap::Parser;
use contact_sync_tests::office::Trouble;

use report::{Table, milliseconds};
use work::{Made, Runs, Task};

/// The address books of the growth series.
const SERIES: [u32; 4] = [100, 1_000, 10_000, 100_000];

/// The address books that the budgets speak of.
const BUDGETED: u32 = 10_000;

/// What is known of the times that are over their budgets; printed where one is.
const WHY: &str = "\
Why times are over: a profile of the component shows no single thing, but a sum. Of a first match, a
fifth is JSON of the services becoming values and being dropped again (2.3 KiB a contact and side);
a fifth is merging, once for the plan and once before it is carried out; a tenth each are
recognising, remembering the pairs, and unpacking what was read from the little room that it is kept
in. A sixth, all over, is allocating and freeing. The budget of a first match is that of recognising
alone, which stands beside it; what is measured also reads both address books, merges 10,000 pairs
and remembers them.
";

#[derive(Debug, Parser)]
struct Arguments {
    /// Leaves out address books with more contacts.
    #[arg(long, default_value_t = 100_000)]
    contacts_max: u32,
    /// Leaves out address books with fewer contacts.
    #[arg(long, default_value_t = 0)]
    contacts_min: u32,
    /// Leaves out the component and its sandboxes: what is left is one profile.
    #[arg(long)]
    native_only: bool,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<(), Trouble> {
    let arguments = Arguments::parse();
    let sizes = arguments.contacts_min..=arguments.contacts_max;
    let sizes = SERIES.into_iter().filter(move |size| sizes.contains(size));
    if arguments.native_only {
        let runs = Runs::new(None)?;
        for size in sizes {
            runs.series(size)?;
        }
        return Ok(());
    }
    let prepared = contact_sync_host::prepare(contact_sync_artifact::COMPONENT).await?;
    let life = life::measure().await?;
    let series = tokio::task::spawn_blocking(move || {
        let runs = Runs::new(Some(&prepared))?;
        sizes
            .map(|size| runs.series(size))
            .collect::<Result<Vec<_>, _>>()
    })
    .await??;
    if let Some(budgeted) = series.iter().find(|made| made.contacts == BUDGETED) {
        budgets(budgeted, series.last(), &life);
    }
    growth(&series);
    life.print();
    Ok(())
}

/// Each budget, what was measured, and whether it is inside.
fn budgets(made: &Made, largest: Option<&Made>, life: &life::Life) {
    let mut table = Table::new(&["budget, at 10,000 contacts", "may", "does", ""]);
    for task in Task::ALL {
        let cost = made.cost(task);
        let name = task.name();
        for (what, max, is) in task.counts_max(made.contacts, cost) {
            table.budget(&format!("{name}: {what}"), max, is);
        }
        let cpu_ms = cost.component.as_secs_f64() * 1e3;
        table.budget_ms(
            &format!("{name}: CPU of the component"),
            task.cpu_ms_max(),
            cpu_ms,
        );
        let ratio = cost.ratio();
        table.budget_ratio(&format!("{name}: component against native"), 2.0, ratio);
    }
    let recognising_ms = made.recognising.as_secs_f64() * 1e3;
    table.budget_ms(
        "first match of equals: recognising alone, native",
        Task::FirstMatch.cpu_ms_max(),
        recognising_ms,
    );
    table.budget_mib("memory of the guest", 64.0, made.memory_bytes());
    if let Some(largest) = largest.filter(|made| made.contacts > BUDGETED) {
        let what = format!("memory of the guest, {} contacts", largest.contacts);
        table.budget_mib(&what, 256.0, largest.memory_bytes());
    }
    table.budget_ms("fresh instance ready", 1.0, life.ready_ms);
    table.budget_mib("memory of a fresh instance", 2.0, life.idle_bytes);
    table.print();
    if table.is_over() {
        println!("{WHY}");
    }
}

/// What grows with the address book, and how.
fn growth(series: &[Made]) {
    let head = [
        "contacts",
        "pass",
        "requests",
        "writes",
        "rows read",
        "rows written",
        "commits",
        "KiB sent",
        "KiB received",
        "native",
        "component",
        "ratio",
        "per contact",
        "memory",
    ];
    let mut table = Table::new(&head);
    for made in series {
        for task in Task::ALL {
            let cost = made.cost(task);
            let per_contact = cost.component.as_secs_f64() * 1e6 / f64::from(made.contacts);
            table.row(&[
                made.contacts.to_string(),
                task.name().to_owned(),
                cost.requests.to_string(),
                cost.writes.to_string(),
                cost.store.rows_read.to_string(),
                cost.store.rows_written.to_string(),
                cost.store.commits.to_string(),
                (cost.bytes_sent / 1024).to_string(),
                (cost.bytes_received / 1024).to_string(),
                milliseconds(cost.native),
                milliseconds(cost.component),
                format!("{:.1}", cost.ratio()),
                format!("{per_contact:.1} µs"),
                format!("{} MiB", cost.memory_bytes / 1024 / 1024),
            ]);
        }
    }
    table.print();
}
