//! Each command: what is asked of the plugin, and what is shown.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use super::bindings::contact_sync::adapters::folder;
use super::bindings::contact_sync::plugin::types::{
    ApprovalRequest, Finding, Operation, OperationState, Outcome, Phase, Progress, Report,
};
use super::bindings::contact_sync::plugin::{approval, archive, contacts, setup, sync};
use super::{End, Stop, Work, human, machine, names};
use crate::arguments::{Command, What};

use approval::Verdict;

/// Entries of one answer.
const PAGE: u32 = 1_000;
/// How long a pause is slept through before others are told that this run lives.
const NAP_MS: u32 = 10_000;

/// What a pass was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Preview,
    Sync,
    Restore,
    DryRestore,
}

impl Purpose {
    /// Whether it only says what would be done.
    pub(super) fn is_dry(self) -> bool {
        matches!(self, Self::Preview | Self::DryRestore)
    }
}

/// What a pass came to, as it is shown.
pub(super) struct Shown {
    pub(super) purpose: Purpose,
    pub(super) report: Report,
    /// Of a sync only those that were not carried out; of any other pass all.
    pub(super) operations: Vec<Operation>,
}

/// What the guard asks.
pub(super) struct Question {
    pub(super) request: ApprovalRequest,
    pub(super) verdict: Option<Verdict>,
    pub(super) entries: Vec<approval::Entry>,
}

pub(super) fn run(work: &Work, command: &Command) -> Result<End, Stop> {
    let job = &work.job;
    match command {
        Command::Check => {
            let checkup = setup::check(job)?;
            show(
                work,
                || machine::checkup(&checkup),
                |out| human::checkup(out, work, &checkup),
            )?;
            Ok(if checkup.ready {
                End::Complete
            } else {
                End::Failed
            })
        }
        Command::Status => {
            let overview = sync::status(job)?;
            let print = |out: &mut dyn Write| human::overview(out, work, &overview);
            show(work, || machine::overview(&overview), print)?;
            Ok(End::Complete)
        }
        Command::Preview => {
            let pass = sync::Pass::open(job, sync::Mode::Preview)?;
            drive(work, &pass, Purpose::Preview)
        }
        Command::Sync => {
            let pass = sync::Pass::open(job, sync::Mode::Sync)?;
            drive(work, &pass, Purpose::Sync)
        }
        Command::Restore { what, is_dry } => restore(work, what, *is_dry),
        Command::Approve(None) | Command::Reject(None) => question(work),
        Command::Approve(Some(token)) => answer(work, token, Verdict::Approve),
        Command::Reject(Some(token)) => answer(work, token, Verdict::Reject),
        Command::History => history(work),
        Command::Pair { crm_id, mailbox_id } => {
            let (crm_id, mailbox_id) = (crm_id.clone(), mailbox_id.clone());
            pair(
                work,
                &contacts::Pairing::Same(contacts::TwoIds { crm_id, mailbox_id }),
            )
        }
        Command::PairAsNew(mailbox_id) => pair(work, &contacts::Pairing::AsNew(mailbox_id.clone())),
        Command::Rebind => {
            setup::rebind(job)?;
            done(work, "the next sync finds the contacts under their new ids")
        }
        Command::Suspend => {
            setup::suspend(job)?;
            done(
                work,
                "suspended; all is remembered, and the next sync switches it on again",
            )
        }
        Command::ExportCsv => export_csv(work),
    }
}

fn restore(work: &Work, what: &What, is_dry: bool) -> Result<End, Stop> {
    let target = match what.clone() {
        What::Contact(id) => sync::Target::Contact(id),
        What::Entry(id) => sync::Target::Entry(id),
        What::Pass(id) => sync::Target::Pass(id),
    };
    let pass = sync::Pass::restore(&work.job, &target, is_dry)?;
    let purpose = if is_dry {
        Purpose::DryRestore
    } else {
        Purpose::Restore
    };
    drive(work, &pass, purpose)
}

/// A pass from its opening to its end.
fn drive(work: &Work, pass: &sync::Pass, purpose: Purpose) -> Result<End, Stop> {
    let mut phase = None;
    let report = loop {
        keep()?;
        match pass.advance() {
            sync::Step::Working(progress) => tell(work, &mut phase, progress),
            sync::Step::Waiting(pause) => {
                tell(work, &mut phase, pause.progress);
                wait(pause.wait_ms)?;
            }
            sync::Step::Done(report) => break report,
        }
    };
    let shown = shown(pass, purpose, report);
    show(
        work,
        || machine::pass(&shown),
        |out| human::pass(out, work, &shown),
    )?;
    Ok(match shown.report.outcome {
        Outcome::Complete => End::Complete,
        Outcome::NeedsApproval(_) => End::NeedsApproval,
        Outcome::Stopped(_) => End::Failed,
    })
}

fn shown(pass: &sync::Pass, purpose: Purpose, mut report: Report) -> Shown {
    let mut operations: Vec<Operation> = Vec::new();
    let mut first = 0;
    while first < report.operations_total {
        let page = pass.operations(first, PAGE);
        // The numbers are the plugin's; only those that lead on are followed.
        let next = page.last().map(|last| last.number.saturating_add(1));
        let Some(next) = next.filter(|next| *next > first) else {
            break;
        };
        first = next;
        let is_done = |operation: &Operation| matches!(operation.state, OperationState::Done);
        let wanted = |operation: &Operation| purpose != Purpose::Sync || !is_done(operation);
        operations.extend(page.into_iter().filter(wanted));
    }
    while count(&report.findings) < report.findings_total {
        let page: Vec<Finding> = pass.findings(count(&report.findings), PAGE);
        if page.is_empty() {
            break;
        }
        report.findings.extend(page);
    }
    Shown {
        purpose,
        report,
        operations,
    }
}

/// Lets others know that this run lives, and ends it where they did not wait.
fn keep() -> Result<(), Stop> {
    if folder::keep() {
        return Ok(());
    }
    let message = "another run has taken over; nothing is lost".to_owned();
    let remedy = "the other run goes on; run this again after it";
    Err(Stop::new(End::Failed, "taken-over", message, remedy))
}

fn wait(wait_ms: u32) -> Result<(), Stop> {
    let mut left_ms = wait_ms;
    while left_ms > 0 {
        keep()?;
        let nap_ms = left_ms.min(NAP_MS);
        thread::sleep(Duration::from_millis(u64::from(nap_ms)));
        left_ms -= nap_ms;
    }
    Ok(())
}

/// A line per phase, on standard error.
fn tell(work: &Work, phase: &mut Option<Phase>, progress: Progress) {
    if work.json || *phase == Some(progress.phase) {
        return;
    }
    *phase = Some(progress.phase);
    // Progress that nobody can see is no reason to stop.
    _ = writeln!(
        io::stderr(),
        "{}: {}",
        work.place(),
        names::phase(progress.phase)
    );
}

fn question(work: &Work) -> Result<End, Stop> {
    let asked = read_question(work)?;
    let print = |out: &mut dyn Write| match &asked {
        Some(asked) => human::question(out, work, asked),
        None => writeln!(out, "{}: nothing waits for your approval", work.place()),
    };
    show(work, || machine::question(asked.as_ref()), print)?;
    let waits = asked.is_some_and(|asked| asked.verdict.is_none());
    Ok(if waits {
        End::NeedsApproval
    } else {
        End::Complete
    })
}

fn read_question(work: &Work) -> Result<Option<Question>, Stop> {
    let mut asked: Option<Question> = None;
    let mut after: Option<String> = None;
    while let Some(page) = approval::request(&work.job, after.as_deref(), PAGE)? {
        let question = asked.get_or_insert_with(|| Question {
            request: page.request,
            verdict: page.verdict,
            entries: Vec::new(),
        });
        question.entries.extend(page.entries);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(asked)
}

fn answer(work: &Work, token: &str, verdict: Verdict) -> Result<End, Stop> {
    let request = approval::answer(&work.job, token, verdict)?;
    let print = |out: &mut dyn Write| human::answered(out, work, &request, verdict);
    show(work, || machine::answered(&request, verdict), print)?;
    Ok(End::Complete)
}

fn history(work: &Work) -> Result<End, Stop> {
    let mut entries = Vec::new();
    let mut after = None;
    loop {
        let page = archive::entries(&work.job, after.as_deref(), PAGE)?;
        entries.extend(page.entries);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    show(
        work,
        || machine::history(&entries),
        |out| human::history(out, work, &entries),
    )?;
    Ok(End::Complete)
}

fn pair(work: &Work, pairing: &contacts::Pairing) -> Result<End, Stop> {
    let operation = contacts::pair(&work.job, pairing)?;
    let print = |out: &mut dyn Write| human::paired(out, work, &operation);
    show(work, || machine::paired(&operation), print)?;
    Ok(End::Complete)
}

fn done(work: &Work, told: &str) -> Result<End, Stop> {
    show(work, machine::done, |out| {
        writeln!(out, "{}: {told}", work.place())
    })?;
    Ok(End::Complete)
}

fn export_csv(work: &Work) -> Result<End, Stop> {
    let mut out = io::stdout().lock();
    let mut after = None;
    let mut total: u64 = 0;
    loop {
        let part = contacts::export_csv(&work.job, after.as_deref(), PAGE)?;
        out.write_all(part.text.as_bytes())?;
        total += u64::from(part.contacts);
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    out.flush()?;
    _ = writeln!(io::stderr(), "exported {total} contacts");
    Ok(End::Complete)
}

fn show(
    work: &Work,
    to_json: impl FnOnce() -> serde_json::Value,
    print: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if work.json {
        return machine::line(work, to_json());
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    print(&mut out)?;
    out.flush()
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}
