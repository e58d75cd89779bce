//! Plays worlds from seeds, and says where the contract was broken.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use contact_sync_tests::simulation::{
    Census, MUTANTS, RARE_MUTANTS, Verdict, generate, play, requests, run, run_with_mutant, shrink,
};

/// Plays the whole sync in invented worlds, in virtual time: people edit, delete and move contacts
/// on both sides, services fail, passes die; then everything must be as the contract says.
///
/// Ends with 0 if all worlds are as they must be, 1 if one is not, 2 for a wrong argument.
#[derive(Parser)]
#[command(after_help = "Examples:
  cargo run --release --bin simulate -- --seeds 0..10000
  cargo run --release --bin simulate -- --seed 4711 --verbose")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line, and goes with the others as it likes"
)]
struct Arguments {
    /// Seeds from A up to, but not including, B.
    #[arg(long, value_name = "A..B", default_value = "0..1000", value_parser = range)]
    seeds: (u64, u64),
    /// One seed in place of many.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Prints the history of one seed before it is played.
    #[arg(long, requires = "seed")]
    verbose: bool,
    /// Worlds played at a time; without this, one for each core.
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
    /// Goes on after a failing seed, and prints failing seeds only.
    #[arg(long)]
    all: bool,
    /// Prints failing histories as they were drawn.
    #[arg(long)]
    whole: bool,
    /// Prints how often what was done, and what went wrong.
    #[arg(long)]
    census: bool,
    /// Plays with engines that each break one promise on purpose, and says which seed noticed it.
    #[arg(long, conflicts_with_all = ["seed", "all"])]
    mutants: bool,
    /// Prints the requests of a failing history.
    #[arg(long)]
    requests: bool,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text
        .split_once("..")
        .ok_or("write A..B, for example 0..1000")?;
    let number = |text: &str| text.parse().map_err(|_| format!("no number: `{text}`"));
    let (from, to): (u64, u64) = (number(from)?, number(to)?);
    if from < to {
        Ok((from, to))
    } else {
        Err(format!("no seed is from {from} up to {to}"))
    }
}

#[derive(Default)]
struct Totals {
    worlds: u64,
    passes: usize,
    requests: usize,
    in_window: usize,
    census: Census,
    failed: Vec<u64>,
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's whole purpose"
)]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A panic is a verdict, told with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let (from, to) = match arguments.seed {
        Some(seed) => (seed, seed + 1),
        None => arguments.seeds,
    };
    if arguments.verbose {
        println!("{}", generate(from));
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = arguments.threads.unwrap_or(cores).max(1);
    if arguments.mutants {
        return play_mutants(from, to);
    }
    let next = AtomicU64::new(from);
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        return;
                    }
                    let verdict = run(seed, None);
                    let Ok(mut totals) = totals.lock() else {
                        return;
                    };
                    totals.add(&verdict);
                    if totals.worlds.is_multiple_of(1_000) {
                        eprintln!("{} worlds, {} passes", totals.worlds, totals.passes);
                    }
                    if verdict.violations.is_empty() {
                        continue;
                    }
                    totals.failed.push(seed);
                    if arguments.all {
                        let rule = verdict.violations.first().map_or("", |found| found.rule);
                        println!("seed {seed}: {rule}");
                    } else {
                        next.store(to, Ordering::Relaxed);
                        drop(totals);
                        tell(seed, &verdict, &arguments);
                        return;
                    }
                }
            });
        }
    });
    let Ok(totals) = totals.into_inner() else {
        return ExitCode::FAILURE;
    };
    totals.print(arguments.census);
    if totals.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Totals {
    fn add(&mut self, verdict: &Verdict) {
        self.worlds += 1;
        self.passes += verdict.passes;
        self.requests += verdict.requests;
        self.in_window += verdict.in_window;
        for (name, times) in &verdict.census {
            *self.census.entry(name.clone()).or_default() += times;
        }
    }

    #[expect(clippy::print_stdout, reason = "this is the program's whole purpose")]
    fn print(&self, with_census: bool) {
        println!(
            "{} worlds, {} passes, {} requests; {} values fell into the window of section 7.5; {} \
             worlds failed",
            self.worlds,
            self.passes,
            self.requests,
            self.in_window,
            self.failed.len()
        );
        if with_census {
            for (name, times) in &self.census {
                println!("{times:>9}  {name}");
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is the program's whole purpose")]
fn play_mutants(from: u64, to: u64) -> ExitCode {
    let mut missed = 0;
    for mutant in MUTANTS.into_iter().chain(RARE_MUTANTS) {
        let noticed = (from..to).find_map(|seed| {
            let verdict = run_with_mutant(seed, mutant);
            Some((seed, verdict.violations.first()?.rule))
        });
        if let Some((seed, rule)) = noticed {
            println!("{mutant:?}: seed {seed}: {rule}");
        } else {
            missed += 1;
            println!("{mutant:?}: not noticed");
        }
    }
    ExitCode::from(u8::from(missed > 0))
}

#[expect(clippy::print_stdout, reason = "this is the program's whole purpose")]
fn tell(seed: u64, verdict: &Verdict, arguments: &Arguments) {
    let whole = arguments.whole;
    let history = generate(seed);
    let rule = verdict.violations.first().map_or("", |found| found.rule);
    let short = if whole {
        history
    } else {
        shrink(&history, rule, None)
    };
    println!("seed {seed} fails: {rule}");
    println!("the shortest history that still does:\n{short}");
    let replayed = if whole {
        verdict.clone()
    } else {
        play(&short, None)
    };
    for found in &replayed.violations {
        println!("{}: {}", found.rule, found.what);
    }
    if arguments.requests {
        println!("{}", requests(&short).join("\n"));
    }
    println!("play it again: cargo run --release --bin simulate -- --seed {seed} --verbose");
}
