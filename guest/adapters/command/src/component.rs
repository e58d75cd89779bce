//! The program: the folder, the job, the command, the end.

#![expect(unsafe_code, reason = "the generated bindings speak the canonical ABI")]

mod drive;
mod human;
mod job;
mod machine;
mod names;

#[expect(clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit", "../wit"],
        world: "contact-sync:adapters/command",
        generate_all,
        pub_export_macro: false,
    });
}

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use contact_sync_job::Job;

use crate::arguments::{self, Arguments, Asked, HELP, Patience};
use bindings::contact_sync::adapters::folder::{self, Access, Problem};
use bindings::contact_sync::plugin::types::{self as wit, Failure};
use bindings::wasi::cli::exit::exit_with_code;

/// How often a run that still lives is waited for.
const WAITS_MAX: u32 = 2;

struct Program;

bindings::export!(Program with_types_in bindings);

impl bindings::exports::wasi::cli::run::Guest for Program {
    fn run() -> Result<(), ()> {
        let end = run().unwrap_or_else(told);
        // Nobody is left to tell if this fails.
        _ = io::stdout().flush();
        if end != End::Complete {
            exit_with_code(end.code());
        }
        Ok(())
    }
}

/// How a run ended, as the `contact-sync` program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    Internal,
    Configuration,
    NeedsApproval,
    Failed,
}

impl End {
    fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Internal => 1,
            Self::Configuration => 2,
            Self::NeedsApproval => 3,
            Self::Failed => 4,
        }
    }
}

/// What ends a run before its result is shown.
enum Stop {
    /// One message.
    Told(Trouble),
    /// Standard output is gone: whoever read it has enough.
    Output(io::Error),
}

/// What went wrong.
struct Trouble {
    end: End,
    /// For machines: that of a failure, or `usage`, `job`, `busy`, `folder`, `taken-over`.
    code: &'static str,
    message: String,
    remedy: Option<String>,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Stop {
    fn new(end: End, code: &'static str, message: String, remedy: &str) -> Self {
        let remedy = Some(remedy.to_owned());
        Self::Told(Trouble {
            end,
            code,
            message,
            remedy,
        })
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        let problem = names::problem(&failure);
        let end = match &failure {
            Failure::InvalidJob(_) => End::Configuration,
            _ => End::Failed,
        };
        Self::Told(Trouble {
            end,
            code: names::failure(&failure),
            message: problem.message.clone(),
            remedy: problem.remedy.clone(),
        })
    }
}

/// What a command works with.
struct Work {
    job: wit::Job,
    json: bool,
}

impl Work {
    /// `tenant/mailbox`, in front of what is said.
    fn place(&self) -> String {
        format!("{}/{}", self.job.tenant.id, self.job.mailbox.id)
    }
}

fn run() -> Result<End, Stop> {
    let arguments = match arguments::read(std::env::args_os().skip(1)) {
        Ok(Asked::Work(arguments)) => arguments,
        Ok(Asked::Help) => {
            writeln!(io::stdout(), "{HELP}")?;
            return Ok(End::Complete);
        }
        Ok(Asked::Version) => {
            writeln!(io::stdout(), "contact-sync {}", env!("CARGO_PKG_VERSION"))?;
            return Ok(End::Complete);
        }
        Err(message) => {
            let remedy = "`--help` shows the commands";
            return Err(Stop::new(End::Internal, "usage", message, remedy));
        }
    };
    let work = Work {
        job: job::to_wit(read_job(&arguments.job)?),
        json: arguments.json,
    };
    let ended = open(&work.job.tenant.id, &arguments).and_then(|()| {
        let ended = drive::run(&work, &arguments.command);
        folder::close();
        ended
    });
    if let (Err(Stop::Told(trouble)), true) = (&ended, work.json) {
        machine::line(&work, machine::error(trouble))?;
    }
    ended
}

fn read_job(path: &Path) -> Result<Job, Stop> {
    let place = path.display();
    let mistake =
        |message: String, remedy: &str| Stop::new(End::Configuration, "job", message, remedy);
    let text = fs::read_to_string(path).map_err(|error| {
        let remedy = "the job is a file of a folder that the run may read: `wasmtime run --dir \
                      FOLDER::/state … /state/job.json`";
        mistake(format!("`{place}` cannot be read: {error}"), remedy)
    })?;
    Job::from_json(&text).map_err(|error| mistake(format!("{place}: {error}"), error.remedy()))
}

/// Opens the folder for what the command does to it.
fn open(tenant: &str, arguments: &Arguments) -> Result<(), Stop> {
    let access = match arguments.patience {
        _ if arguments.command.only_looks() => Access::Look,
        Patience::TakeOver => Access::TakeOver,
        Patience::Wait | Patience::None => Access::Write,
    };
    let mut waits = 0;
    loop {
        let problem = match folder::open(tenant, access) {
            Ok(()) => return Ok(()),
            Err(problem) => problem,
        };
        match problem {
            Problem::Busy(ends_in_ms)
                if arguments.patience == Patience::Wait && waits < WAITS_MAX =>
            {
                let seconds = ends_in_ms.div_ceil(1000);
                tell(
                    "note",
                    &format!("another run was at work here until now; waiting {seconds} s for it"),
                    None,
                );
                thread::sleep(Duration::from_millis(ends_in_ms));
                waits += 1;
            }
            problem => return Err(unopened(problem)),
        }
    }
}

fn unopened(problem: Problem) -> Stop {
    match problem {
        Problem::Busy(ends_in_ms) => {
            let seconds = ends_in_ms.div_ceil(1000);
            let message = format!(
                "another run is at work in this folder, or died less than a minute ago: free in \
                 {seconds} s at the latest, unless it lives"
            );
            let remedy = "run it again then, or say `--take-over`: whoever still lives stops, and \
                          nothing is lost";
            Stop::new(End::Failed, "busy", message, remedy)
        }
        Problem::Foreign(owner) => {
            let message =
                format!("the folder belongs to the tenant `{owner}`, and the job to another one");
            let remedy = "give each tenant a folder of its own";
            Stop::new(End::Configuration, "folder", message, remedy)
        }
        Problem::Unusable(trouble) => {
            Stop::new(End::Failed, "folder", trouble.message, &trouble.remedy)
        }
    }
}

/// Prints a message and its hint on standard error.
fn tell(kind: &str, message: &str, hint: Option<&str>) {
    let mut out = io::stderr().lock();
    // Nobody is left to tell if this fails.
    _ = writeln!(out, "{kind}: {message}");
    if let Some(hint) = hint {
        _ = writeln!(out, "\nhint: {hint}");
    }
}

fn told(stop: Stop) -> End {
    match stop {
        Stop::Told(trouble) => {
            tell("error", &trouble.message, trouble.remedy.as_deref());
            trouble.end
        }
        Stop::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => End::Complete,
        Stop::Output(error) => {
            tell("error", &format!("cannot write: {error}"), None);
            End::Internal
        }
    }
}
