//! What the command line asks for.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

/// What `--help` prints.
pub const HELP: &str = "\
Keeps the contacts of FLOWFACT and of one Exchange mailbox in step.

Usage: wasmtime run -S http --dir FOLDER::/state contact-sync-cli.wasm COMMAND JOB [OPTIONS]

JOB is a file of the folder, /state/job.json: what `contact-sync job --mailbox ID` prints. What is
remembered is kept beside it; a folder belongs to one tenant.

Commands:
  check JOB                      does it all work? Writes nothing
  preview JOB                    what would a sync do? Writes nothing
  sync JOB                       syncs
  status JOB                     what earlier passes left behind
  approve JOB [TOKEN]            what the guard holds back; with TOKEN: carry it out
  reject JOB [TOKEN]             with TOKEN: bring it back
  history JOB                    what was deleted or replaced, newest first
  restore JOB --contact ID | --entry ID | --pass ID
                                 brings back a contact, an entry of the history, or all of a pass
  pair JOB CRM-ID MAILBOX-ID     these two are the same person
  pair JOB --as-new MAILBOX-ID   this one is somebody new
  rebind JOB                     the mailbox has moved: finds its contacts under their new ids
  suspend JOB                    switches the mailbox off: all is remembered, nothing is deleted
  export-csv JOB                 all contacts of the CRM, on standard output

Options:
  --json         one JSON object on one line
  --dry-run      of restore: only says what would be done
  --no-wait      ends at once where another run is at work here, instead of waiting for a minute
  --take-over    does not wait for another run; if it still lives, it stops
  -h, --help     this
  -V, --version  the version

Examples:
  wasmtime run -S http --dir state::/state contact-sync-cli.wasm check /state/job.json
  wasmtime run -S http --dir state::/state contact-sync-cli.wasm sync /state/job.json
  wasmtime run -S http --dir state::/state contact-sync-cli.wasm history /state/job.json --json

Exit codes:
  0  everything is done
  1  wrong usage, or an error of the program itself
  2  the job has mistakes
  3  something waits for a person's approval (of a preview: would wait); all else is done
  4  the mailbox is not ready, or a pass failed or broke off";

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The job's file.
    pub job: PathBuf,
    /// What to do.
    pub command: Command,
    /// For machines.
    pub json: bool,
    /// What to do where another run is at work.
    pub patience: Patience,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the help says what each does")]
pub enum Command {
    Check,
    Preview,
    Sync,
    Status,
    Approve(Option<String>),
    Reject(Option<String>),
    History,
    Restore { what: What, is_dry: bool },
    Pair { crm_id: String, mailbox_id: String },
    PairAsNew(String),
    Rebind,
    Suspend,
    ExportCsv,
}

impl Command {
    /// Whether it leaves what is remembered as it is.
    pub fn only_looks(&self) -> bool {
        match self {
            Self::Check
            | Self::Preview
            | Self::Status
            | Self::History
            | Self::ExportCsv
            | Self::Approve(None)
            | Self::Reject(None)
            | Self::Restore { is_dry: true, .. } => true,
            Self::Sync
            | Self::Approve(Some(_))
            | Self::Reject(Some(_))
            | Self::Restore { is_dry: false, .. }
            | Self::Pair { .. }
            | Self::PairAsNew(_)
            | Self::Rebind
            | Self::Suspend => false,
        }
    }
}

/// What to bring back: an id of each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the help says what each is")]
pub enum What {
    Contact(String),
    Entry(String),
    Pass(String),
}

/// What to do where another run is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Wait until it counts as dead.
    Wait,
    /// End.
    None,
    /// Take over.
    TakeOver,
}

/// What the command line comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum Asked {
    Help,
    Version,
    Work(Arguments),
}

/// Reads the arguments behind the program's name. The error is a sentence.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let mut given = Given::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(told)? {
        match argument {
            Short('h') | Long("help") => return Ok(Asked::Help),
            Short('V') | Long("version") => return Ok(Asked::Version),
            Long("json") => given.json = true,
            Long("dry-run") => given.is_dry = true,
            Long("no-wait") => given.wait(Patience::None)?,
            Long("take-over") => given.wait(Patience::TakeOver)?,
            Long("contact") => given.name(What::Contact(text(&mut parser)?))?,
            Long("entry") => given.name(What::Entry(text(&mut parser)?))?,
            Long("pass") => given.name(What::Pass(text(&mut parser)?))?,
            Long("as-new") => given.as_new = Some(text(&mut parser)?),
            Value(value) => given.words.push(value.string().map_err(told)?),
            Short(_) | Long(_) => return Err(told(argument.unexpected())),
        }
    }
    given.arguments().map(Asked::Work)
}

fn text(parser: &mut lexopt::Parser) -> Result<String, String> {
    parser.value().and_then(ValueExt::string).map_err(told)
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
fn told(error: lexopt::Error) -> String {
    error.to_string()
}

/// What stands on the command line, before it is known what it means.
#[derive(Default)]
struct Given {
    words: Vec<String>,
    json: bool,
    is_dry: bool,
    patience: Option<Patience>,
    what: Option<What>,
    as_new: Option<String>,
}

impl Given {
    fn name(&mut self, what: What) -> Result<(), String> {
        match self.what.replace(what) {
            None => Ok(()),
            Some(_) => Err("one of `--contact`, `--entry` and `--pass`, once".to_owned()),
        }
    }

    fn wait(&mut self, patience: Patience) -> Result<(), String> {
        match self.patience.replace(patience) {
            None => Ok(()),
            Some(_) => Err("either `--no-wait` or `--take-over`, once".to_owned()),
        }
    }

    fn arguments(mut self) -> Result<Arguments, String> {
        let patience = self.patience.unwrap_or(Patience::Wait);
        let mut words = std::mem::take(&mut self.words).into_iter();
        let name = words.next().ok_or("no command is given")?;
        let mut rest = Rest(words.collect());
        let json = self.json;
        let job = rest.take("the job's file");
        let command = self.command(&name, &mut rest)?;
        let job = job?.into();
        rest.finish()?;
        Ok(Arguments {
            job,
            command,
            json,
            patience,
        })
    }

    fn command(self, name: &str, rest: &mut Rest) -> Result<Command, String> {
        let is_dry = self.is_dry;
        if is_dry && name != "restore" {
            return Err("`--dry-run` belongs to `restore`".to_owned());
        }
        if self.what.is_some() && name != "restore" {
            return Err("`--contact`, `--entry` and `--pass` belong to `restore`".to_owned());
        }
        if self.as_new.is_some() && name != "pair" {
            return Err("`--as-new` belongs to `pair`".to_owned());
        }
        Ok(match name {
            "check" => Command::Check,
            "preview" => Command::Preview,
            "sync" => Command::Sync,
            "status" => Command::Status,
            "approve" => Command::Approve(rest.take("").ok()),
            "reject" => Command::Reject(rest.take("").ok()),
            "history" => Command::History,
            "restore" => Command::Restore {
                what: (self.what).ok_or("`--contact`, `--entry` or `--pass` is missing")?,
                is_dry,
            },
            "pair" => match self.as_new {
                Some(mailbox_id) => Command::PairAsNew(mailbox_id),
                None => Command::Pair {
                    crm_id: rest.take("the CRM contact's id")?,
                    mailbox_id: rest.take("the mailbox contact's id")?,
                },
            },
            "rebind" => Command::Rebind,
            "suspend" => Command::Suspend,
            "export-csv" => Command::ExportCsv,
            unknown => return Err(format!("there is no command `{unknown}`")),
        })
    }
}

/// Words that are not read yet.
struct Rest(std::collections::VecDeque<String>);

impl Rest {
    fn take(&mut self, what: &str) -> Result<String, String> {
        self.0
            .pop_front()
            .ok_or_else(|| format!("{what} is missing"))
    }

    fn finish(self) -> Result<(), String> {
        match self.0.front() {
            None => Ok(()),
            Some(word) => Err(format!("`{word}` is too much")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Asked, String> {
        read(line.split_whitespace().map(OsString::from))
    }

    fn command(line: &str) -> Command {
        match asked(line) {
            Ok(Asked::Work(arguments)) => arguments.command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_command_of_the_help_is_understood() {
        let usages = HELP.split("Commands:").nth(1).unwrap();
        let usages = usages.split("\n\n").next().unwrap();
        let lines = usages.lines().filter(|line| line.starts_with("  "));
        let mut count = 0;
        for line in lines.filter(|line| !line.starts_with("   ")) {
            let usage = line.trim().split("  ").next().unwrap();
            let usage = usage.split(" | ").next().unwrap().replace(['[', ']'], "");
            assert!(
                matches!(asked(&usage), Ok(Asked::Work(_))),
                "{usage}: {:?}",
                asked(&usage)
            );
            count += 1;
        }
        assert_eq!(count, 13);
    }

    #[test]
    fn options_may_stand_anywhere() {
        let Ok(Asked::Work(arguments)) = asked("--json sync --take-over /state/job.json") else {
            panic!("not understood");
        };
        assert_eq!(
            arguments,
            Arguments {
                job: "/state/job.json".into(),
                command: Command::Sync,
                json: true,
                patience: Patience::TakeOver,
            }
        );
        assert_eq!(command("approve j"), Command::Approve(None));
        assert_eq!(command("approve j t"), Command::Approve(Some("t".into())));
        assert_eq!(
            command("restore --pass=p j --dry-run"),
            Command::Restore {
                what: What::Pass("p".into()),
                is_dry: true,
            }
        );
        assert_eq!(command("pair j --as-new m"), Command::PairAsNew("m".into()));
        assert_eq!(asked("sync --help"), Ok(Asked::Help));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, named) in [
            ("", "command"),
            ("sink j", "`sink`"),
            ("sync", "job"),
            ("sync j k", "`k`"),
            ("sync j --fast", "fast"),
            ("sync j --dry-run", "`restore`"),
            ("sync j --pass p", "`restore`"),
            ("sync j --as-new m", "`pair`"),
            ("restore j", "--pass"),
            ("restore j --pass p --entry e", "once"),
            ("pair j c", "mailbox"),
            ("sync j --no-wait --take-over", "either"),
        ] {
            let error = asked(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
