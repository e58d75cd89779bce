//! Results for people. Values come from outside, and are shown in one line each.

use std::io::{self, Write};

use jiff::Timestamp;

use super::bindings::contact_sync::plugin::approval::{Entry, Verdict};
use super::bindings::contact_sync::plugin::archive::JournalEntry;
use super::bindings::contact_sync::plugin::setup::Checkup;
use super::bindings::contact_sync::plugin::sync::Overview;
use super::bindings::contact_sync::plugin::types::{
    Action, ApprovalRequest, Change, ContactName, Counts, Endpoint, Finding, Marker, Operation,
    OperationState, Outcome, Side, SideCounts,
};
use super::drive::{Purpose, Question, Shown};
use super::{Work, names};

/// How a pass ended, what it counted, and whatever a person should look at.
pub(super) fn pass(out: &mut dyn Write, work: &Work, shown: &Shown) -> io::Result<()> {
    let (report, place) = (&shown.report, work.place());
    match &report.outcome {
        Outcome::Complete if shown.purpose.is_dry() => {
            let total = report.operations_total;
            writeln!(out, "{place}: would carry out {total} operations")?;
        }
        Outcome::Complete => {
            let elapsed_ms = report.counts.elapsed_ms;
            let (seconds, tenths) = (elapsed_ms / 1000, elapsed_ms % 1000 / 100);
            writeln!(out, "{place}: complete in {seconds}.{tenths} s")?;
        }
        Outcome::NeedsApproval(request) => {
            asked(out, &place, request, shown.purpose.is_dry())?;
            if shown.purpose == Purpose::Sync {
                hint(
                    out,
                    Some("see the list and answer it with `approve` or `reject`"),
                )?;
            }
        }
        Outcome::Stopped(failure) => {
            let problem = names::problem(failure);
            writeln!(out, "{place}: broke off: {}", one_line(&problem.message))?;
            hint(out, problem.remedy.as_deref())?;
        }
    }
    counts(out, &report.counts, shown.purpose.is_dry())?;
    if report.more && !matches!(report.outcome, Outcome::Stopped(_)) {
        writeln!(out, "  there is more to do: run it again")?;
    }
    if !shown.operations.is_empty() {
        let title = match shown.purpose {
            Purpose::Sync => "Not carried out",
            Purpose::Preview | Purpose::Restore | Purpose::DryRestore => "Operations",
        };
        writeln!(out, "\n{title}")?;
        shown
            .operations
            .iter()
            .try_for_each(|one| operation(out, one))?;
    }
    if !report.findings.is_empty() {
        writeln!(out, "\nFindings")?;
        report
            .findings
            .iter()
            .try_for_each(|one| finding(out, one))?;
    }
    Ok(())
}

/// Whether a mailbox is ready, and what was found, in the words of the job's file.
pub(super) fn checkup(out: &mut dyn Write, work: &Work, checkup: &Checkup) -> io::Result<()> {
    let ready = if checkup.ready { "ready" } else { "not ready" };
    writeln!(out, "{}: {ready}", work.place())?;
    checkup
        .findings
        .iter()
        .try_for_each(|one| finding(out, one))?;
    let proposal = &checkup.proposal;
    if let Some(address) = &proposal.address {
        writeln!(out, "  the mailbox's own address: {}", one_line(address))?;
    }
    if let Some(Endpoint::Ews(ews)) = &proposal.endpoint
        && let Some(url) = &ews.url
    {
        writeln!(
            out,
            "  the mailbox's server: \"url\": \"{}\"",
            one_line(url)
        )?;
    }
    if !proposal.markers.is_empty() {
        writeln!(out, "  markers that would work, best first:")?;
    }
    for marker in &proposal.markers {
        match marker {
            Marker::FieldValue(place) => {
                let (field, value) = (one_line(&place.field), one_line(&place.value));
                writeln!(
                    out,
                    "    \"marker\": {{\"field\": \"{field}\", \"value\": \"{value}\"}}"
                )?;
            }
            Marker::SyncEntry(entry) => {
                let entry = one_line(entry);
                writeln!(out, "    \"marker\": {{\"sync-entry\": \"{entry}\"}}")?;
            }
        }
    }
    if !proposal.fields.is_empty() {
        writeln!(out, "  fields as this schema names them:")?;
    }
    for field in &proposal.fields {
        let name = names::field(field.field);
        match &field.name {
            Some(named) => writeln!(out, "    \"{name}\": \"{}\"", one_line(named))?,
            None => writeln!(out, "    \"{name}\": false")?,
        }
    }
    Ok(())
}

/// What earlier passes left behind.
pub(super) fn overview(out: &mut dyn Write, work: &Work, overview: &Overview) -> io::Result<()> {
    let place = work.place();
    match overview.last_complete {
        Some(at) => writeln!(out, "{place}: last complete pass: {}", time(at))?,
        None => writeln!(out, "{place}: last complete pass: never")?,
    }
    let Overview {
        links,
        detached,
        held,
        pending,
        held_back,
        ..
    } = overview;
    writeln!(out, "  {links} linked, {detached} detached, {held} held")?;
    writeln!(out, "  {pending} pending, {held_back} waiting for approval")
}

/// What waits for a person.
pub(super) fn question(out: &mut dyn Write, work: &Work, question: &Question) -> io::Result<()> {
    asked(out, &work.place(), &question.request, false)?;
    let token = one_line(&question.request.token);
    writeln!(out, "\nThe list {token}")?;
    question
        .entries
        .iter()
        .try_for_each(|one| entry(out, one))?;
    match question.verdict {
        None => writeln!(
            out,
            "\nTo carry it out: `approve JOB {token}`; to bring it back: `reject JOB {token}`"
        ),
        Some(Verdict::Approve) => writeln!(out, "\nApproved; the next sync acts on it."),
        Some(Verdict::Reject) => writeln!(out, "\nRejected; the next sync acts on it."),
    }
}

/// What was answered.
pub(super) fn answered(
    out: &mut dyn Write,
    work: &Work,
    request: &ApprovalRequest,
    verdict: Verdict,
) -> io::Result<()> {
    let what = destruction(request);
    let (answer, next) = match verdict {
        Verdict::Approve => ("approved", "carries out"),
        Verdict::Reject => ("rejected", "brings back"),
    };
    writeln!(
        out,
        "{}: {answer}; the next sync {next}: {what}",
        work.place()
    )
}

/// Entries of the journal.
pub(super) fn history(
    out: &mut dyn Write,
    work: &Work,
    entries: &[JournalEntry],
) -> io::Result<()> {
    writeln!(out, "{}: {} in the history", work.place(), entries.len())?;
    for entry in entries {
        let (cause, side) = (names::cause(entry.cause), side_words(entry.side));
        let (at, contact) = (time(entry.at), label(&entry.contact));
        writeln!(out, "  {at}  {cause:11} in {side:8} {contact}")?;
        let (id, pass) = (one_line(&entry.id), one_line(&entry.pass));
        writeln!(out, "    entry {id}, pass {pass}")?;
        if let Some(restored) = entry.restored {
            writeln!(out, "    brought back {}", time(restored))?;
        }
        entry.lost.iter().try_for_each(|lost| change(out, lost))?;
    }
    Ok(())
}

/// A pairing that the next pass acts on.
pub(super) fn paired(out: &mut dyn Write, work: &Work, paired: &Operation) -> io::Result<()> {
    writeln!(
        out,
        "{}: remembered; the next sync acts on it",
        work.place()
    )?;
    operation(out, paired)
}

fn asked(
    out: &mut dyn Write,
    place: &str,
    request: &ApprovalRequest,
    is_dry: bool,
) -> io::Result<()> {
    let why = match request.reason.as_str() {
        "over-limit" => "more at once than the guard lets pass",
        "side-empty" => "one side suddenly shows nothing",
        "switched-on" => "the mailbox was switched on again",
        "memory-lost" => "what was remembered is lost",
        "rebound" => "the mailbox is another one now",
        other => other,
    };
    let asks = if is_dry {
        "a sync would ask for your approval"
    } else {
        "waits for your approval"
    };
    writeln!(out, "{place}: {asks}: {why}")?;
    let (what, links) = (destruction(request), request.links);
    writeln!(out, "  {what}, of {links} linked contacts")
}

fn destruction(request: &ApprovalRequest) -> String {
    let parts = [
        (request.crm_deletions, "deletions in the CRM"),
        (request.mailbox_deletions, "deletions in the mailbox"),
        (request.detachings, "pairs taken apart"),
        (request.emptied, "fields emptied"),
    ];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    parts.join(", ")
}

fn entry(out: &mut dyn Write, entry: &Entry) -> io::Result<()> {
    writeln!(out, "  {}", label(&entry.contact))?;
    match entry.emptied {
        Some(field) => {
            let (field, side) = (names::field(field), side_words(entry.side));
            write!(out, "    empty {field} in {side}")?;
        }
        None => write!(out, "    {}", deed(entry.action, entry.side))?,
    }
    writeln!(out, " ({})", one_line(&entry.reason))?;
    entry.changes.iter().try_for_each(|one| change(out, one))
}

/// `is_dry`: nothing was written, and the operations say what would be.
fn counts(out: &mut dyn Write, counts: &Counts, is_dry: bool) -> io::Result<()> {
    for (side, counted) in [(Side::Crm, &counts.crm), (Side::Mailbox, &counts.mailbox)] {
        let SideCounts {
            read,
            created,
            updated,
            deleted,
            unchanged,
        } = counted;
        write!(out, "  {:8} {read} read, ", side_words(side))?;
        if !is_dry {
            write!(
                out,
                "{created} created, {updated} updated, {deleted} deleted, "
            )?;
        }
        writeln!(out, "{unchanged} unchanged")?;
    }
    if counts.conflicts > 0 || counts.held > 0 {
        writeln!(
            out,
            "  {} conflicts, {} held",
            counts.conflicts, counts.held
        )?;
    }
    for usage in counts.usage.iter().filter(|usage| usage.requests > 0) {
        let (service, requests) = (names::service(usage.service), usage.requests);
        write!(out, "  {service}: {requests} requests")?;
        if usage.retries > 0 {
            write!(out, ", {} repeated", usage.retries)?;
        }
        if usage.throttled > 0 {
            write!(out, ", {} throttled", usage.throttled)?;
        }
        let sent = usage.bytes_sent.div_ceil(1024);
        let received = usage.bytes_received.div_ceil(1024);
        writeln!(out, ", {sent} KiB sent, {received} KiB received")?;
    }
    Ok(())
}

fn operation(out: &mut dyn Write, operation: &Operation) -> io::Result<()> {
    writeln!(out, "  {}", label(&operation.contact))?;
    let deed = deed(operation.action, operation.side);
    write!(out, "    {deed} ({})", one_line(&operation.reason))?;
    match &operation.state {
        OperationState::Planned | OperationState::Done => writeln!(out)?,
        OperationState::HeldBack => writeln!(out, ": waits for approval")?,
        OperationState::PutOff(problem) => {
            writeln!(out, ": put off: {}", one_line(&problem.message))?;
            hint(out, problem.remedy.as_deref())?;
        }
    }
    operation
        .changes
        .iter()
        .try_for_each(|one| change(out, one))
}

fn change(out: &mut dyn Write, change: &Change) -> io::Result<()> {
    let field = names::field(change.field);
    let before = change.before.as_deref().map(one_line);
    let after = change.after.as_deref().map(one_line);
    match (before, after) {
        (None, Some(after)) => writeln!(out, "      {field}: + {after}"),
        (Some(before), None) => writeln!(out, "      {field}: - {before}"),
        (Some(before), Some(after)) => writeln!(out, "      {field}: {before} -> {after}"),
        (None, None) => Ok(()),
    }
}

fn finding(out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
    write!(out, "  {}: ", names::severity(finding.severity))?;
    if let Some(contact) = &finding.contact {
        write!(out, "{}: ", label(contact))?;
    }
    let (message, code) = (one_line(&finding.message), one_line(&finding.code));
    writeln!(out, "{message} ({code})")?;
    hint(out, finding.remedy.as_deref())
}

/// The name, and the ids that other commands want.
fn label(contact: &ContactName) -> String {
    let ids = [&contact.crm_id, &contact.mailbox_id].into_iter().flatten();
    let ids: Vec<_> = ids.map(|id| one_line(id)).collect();
    let label = one_line(&contact.label);
    match (label.is_empty(), ids.is_empty()) {
        (_, true) => label,
        (true, false) => format!("[{}]", ids.join(" / ")),
        (false, false) => format!("{label} [{}]", ids.join(" / ")),
    }
}

fn hint(out: &mut dyn Write, remedy: Option<&str>) -> io::Result<()> {
    match remedy {
        Some(remedy) => writeln!(out, "    hint: {}", one_line(remedy)),
        None => Ok(()),
    }
}

/// What would move a terminal's cursor or turn its reading direction is shown as what it is.
fn one_line(text: &str) -> String {
    let is_hidden = |character: char| {
        let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        character.is_control() || turns
    };
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// What is done, and where; a pair is made and taken apart on neither side.
fn deed(action: Action, side: Side) -> String {
    let name = names::action(action);
    match action {
        Action::Pair | Action::Detach | Action::Forget => name.to_owned(),
        _ => format!("{name} in {}", side_words(side)),
    }
}

fn side_words(side: Side) -> &'static str {
    match side {
        Side::Crm => "CRM",
        Side::Mailbox => "mailbox",
    }
}

/// In UTC: a component knows no other zone.
fn time(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok();
    let at = at.and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok());
    at.map_or_else(
        || "at an unknown time".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}
