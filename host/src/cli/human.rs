//! Results for people.

use std::io::{self, Write};

use contact_sync_host::store::Crash;
use contact_sync_host::types::{
    Action, ApprovalRequest, Change, ContactName, Counts, Field, Finding, Marker, Operation,
    OperationState, Outcome, Service, Severity, Side, SideCounts, Usage,
};
use contact_sync_host::{Checkup, Mode, Overview, problem};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Place, Shown};

/// How a pass ended, what it counted, and whatever a person should look at.
pub(super) fn pass(out: &mut dyn Write, place: &Place, shown: &Shown) -> io::Result<()> {
    let report = &shown.report;
    match &report.outcome {
        Outcome::Complete if shown.mode == Mode::Preview => {
            let operations = plural(report.operations_total, "operation");
            writeln!(out, "{place}: a sync would carry out {operations}")?;
        }
        Outcome::Complete => {
            let elapsed = seconds(report.counts.elapsed_ms);
            writeln!(out, "{place}: complete in {elapsed}")?;
        }
        Outcome::NeedsApproval(request) => needs_approval(out, place, request)?,
        Outcome::Stopped(failure) => {
            let problem = problem(failure);
            writeln!(out, "{place}: broke off: {}", problem.message)?;
            hint(out, problem.remedy.as_deref())?;
        }
    }
    counts(out, &report.counts)?;
    if report.more {
        writeln!(out, "  there is more to do: run it again")?;
    }
    if let Some((message, remedy)) = &shown.sign_in {
        writeln!(out, "  error: {message}")?;
        hint(out, Some(remedy))?;
    }
    for denial in &shown.denials {
        writeln!(out, "  error: a request was not let out: {denial}")?;
    }
    if !shown.operations.is_empty() {
        let title = if shown.mode == Mode::Preview {
            "Operations"
        } else {
            "Not carried out"
        };
        writeln!(out, "\n{title}")?;
        for operation in &shown.operations {
            one_operation(out, operation)?;
        }
    }
    if !report.findings.is_empty() {
        writeln!(out, "\nFindings")?;
        for finding in &report.findings {
            one_finding(out, finding)?;
        }
    }
    Ok(())
}

/// Whether an operation was carried out.
pub(super) fn is_done(operation: &Operation) -> bool {
    matches!(operation.state, OperationState::Done)
}

/// One operation.
pub(super) fn operation(
    out: &mut dyn Write,
    place: &Place,
    operation: &Operation,
) -> io::Result<()> {
    writeln!(out, "{place}: remembered; the next pass acts on it")?;
    one_operation(out, operation)
}

/// Whether a mailbox is ready, and what was found.
pub(super) fn checkup(out: &mut dyn Write, place: &Place, checkup: &Checkup) -> io::Result<()> {
    let ready = if checkup.ready { "ready" } else { "not ready" };
    writeln!(out, "{place}: {ready}")?;
    for finding in &checkup.findings {
        one_finding(out, finding)?;
    }
    let proposal = &checkup.proposal;
    if let Some(address) = &proposal.address {
        writeln!(out, "  the mailbox's own address: {address}")?;
    }
    if !proposal.markers.is_empty() {
        writeln!(out, "  markers that would work, best first:")?;
    }
    for marker in &proposal.markers {
        match marker {
            Marker::FieldValue(value) => {
                let (field, value) = (&value.field, &value.value);
                writeln!(
                    out,
                    "    marker = {{ field = \"{field}\", value = \"{value}\" }}"
                )?;
            }
            Marker::SyncEntry(entry) => {
                writeln!(out, "    marker = {{ sync-entry = \"{entry}\" }}")?;
            }
        }
    }
    if !proposal.fields.is_empty() {
        writeln!(out, "  fields as this schema names them:")?;
    }
    for field in &proposal.fields {
        match &field.name {
            Some(name) => writeln!(out, "    {} = \"{name}\"", field_name(field.field))?,
            None => writeln!(out, "    {} = false", field_name(field.field))?,
        }
    }
    Ok(())
}

/// What earlier passes left behind.
pub(super) fn overview(out: &mut dyn Write, place: &Place, overview: &Overview) -> io::Result<()> {
    let last = overview
        .last_complete
        .map_or_else(|| "never".to_owned(), local_time);
    writeln!(out, "{place}: last complete pass: {last}")?;
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

/// The last words of a pass that crashed.
pub(super) fn crash(out: &mut dyn Write, crash: &Crash) -> io::Result<()> {
    writeln!(out, "  last crash: {}", local_time(crash.at))?;
    for line in crash.last_words.lines() {
        writeln!(out, "    {line}")?;
    }
    Ok(())
}

fn needs_approval(out: &mut dyn Write, place: &Place, request: &ApprovalRequest) -> io::Result<()> {
    let why = match request.reason.as_str() {
        "over-limit" => "more at once than the guard lets pass",
        "side-empty" => "one side suddenly shows nothing",
        "switched-on" => "the mailbox was switched on again",
        "memory-lost" => "what was remembered is lost",
        "rebound" => "the mailbox is another one now",
        other => other,
    };
    writeln!(out, "{place}: waits for your approval: {why}")?;
    let ApprovalRequest {
        crm_deletions,
        mailbox_deletions,
        detachings,
        emptied,
        links,
        ..
    } = request;
    writeln!(
        out,
        "  would delete {crm_deletions} in the CRM and {mailbox_deletions} in the mailbox, detach \
         {detachings}, empty {emptied} fields, of {links} linked contacts; none of it is done, \
         everything else is"
    )
}

fn counts(out: &mut dyn Write, counts: &Counts) -> io::Result<()> {
    side_counts(out, "CRM", &counts.crm)?;
    side_counts(out, "mailbox", &counts.mailbox)?;
    if counts.conflicts > 0 || counts.held > 0 {
        let conflicts = plural(counts.conflicts, "conflict");
        writeln!(out, "  {conflicts}, {} held", counts.held)?;
    }
    for usage in &counts.usage {
        let Usage {
            service,
            requests,
            retries,
            throttled,
            bytes_sent,
            bytes_received,
        } = usage;
        let (requests, retries) = (plural(*requests, "request"), plural_y(*retries, "retr"));
        let sent = kibibytes(*bytes_sent);
        let received = kibibytes(*bytes_received);
        write!(out, "  {}: {requests}, {retries}", service_name(*service))?;
        writeln!(
            out,
            ", {throttled} throttled, {sent} sent, {received} received"
        )?;
    }
    Ok(())
}

fn side_counts(out: &mut dyn Write, side: &str, counts: &SideCounts) -> io::Result<()> {
    let SideCounts {
        read,
        created,
        updated,
        deleted,
        unchanged,
    } = counts;
    writeln!(
        out,
        "  {side:8} {read} read, {created} created, {updated} updated, {deleted} deleted, \
         {unchanged} unchanged"
    )
}

fn one_operation(out: &mut dyn Write, operation: &Operation) -> io::Result<()> {
    let Operation {
        side,
        action,
        contact,
        reason,
        ..
    } = operation;
    let (action, side) = (action_name(*action), side_name(*side));
    write!(out, "  {action:8} {side:8} {}  ({reason})", label(contact))?;
    match &operation.state {
        OperationState::Planned | OperationState::Done => writeln!(out)?,
        OperationState::HeldBack => writeln!(out, "  waits for approval")?,
        OperationState::PutOff(problem) => {
            writeln!(out, "  put off: {}", problem.message)?;
            hint(out, problem.remedy.as_deref())?;
        }
    }
    for change in &operation.changes {
        one_change(out, change)?;
    }
    Ok(())
}

fn one_change(out: &mut dyn Write, change: &Change) -> io::Result<()> {
    let field = field_name(change.field);
    match (&change.before, &change.after) {
        (None, Some(after)) => writeln!(out, "             {field}: + {}", one_line(after)),
        (Some(before), None) => writeln!(out, "             {field}: - {}", one_line(before)),
        (Some(before), Some(after)) => {
            writeln!(
                out,
                "             {field}: {} -> {}",
                one_line(before),
                one_line(after)
            )
        }
        (None, None) => Ok(()),
    }
}

fn one_finding(out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    write!(out, "  {severity}: ")?;
    if let Some(contact) = &finding.contact {
        write!(out, "{}: ", label(contact))?;
    }
    writeln!(out, "{} ({})", one_line(&finding.message), finding.code)?;
    hint(out, finding.remedy.as_deref())
}

/// The name, and the ids that `pair` wants.
fn label(contact: &ContactName) -> String {
    let ids: Vec<_> = [&contact.crm_id, &contact.mailbox_id]
        .into_iter()
        .flatten()
        .map(|id| one_line(id))
        .collect();
    let label = one_line(&contact.label);
    if ids.is_empty() {
        label
    } else {
        format!("{label} [{}]", ids.join(" / "))
    }
}

fn hint(out: &mut dyn Write, remedy: Option<&str>) -> io::Result<()> {
    match remedy {
        Some(remedy) => writeln!(out, "    hint: {}", one_line(remedy)),
        None => Ok(()),
    }
}

/// Values come from outside: what would move a terminal's cursor is shown as what it is.
fn one_line(text: &str) -> String {
    let visible = |character: char| {
        if character.is_control() {
            character.escape_default().to_string()
        } else {
            character.into()
        }
    };
    text.chars().map(visible).collect()
}

pub(super) fn field_name(field: Field) -> &'static str {
    match field {
        Field::FirstName => "first-name",
        Field::LastName => "last-name",
        Field::AcademicTitle => "academic-title",
        Field::Company => "company",
        Field::Department => "department",
        Field::Position => "position",
        Field::Phones => "phones",
        Field::Emails => "emails",
        Field::Website => "website",
        Field::Addresses => "addresses",
        Field::Birthday => "birthday",
    }
}

pub(super) fn action_name(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Delete => "delete",
        Action::Mark => "mark",
        Action::Unmark => "unmark",
        Action::Pair => "pair",
        Action::Detach => "detach",
        Action::Forget => "forget",
        Action::Restore => "restore",
    }
}

pub(super) fn side_name(side: Side) -> &'static str {
    match side {
        Side::Crm => "crm",
        Side::Mailbox => "mailbox",
    }
}

fn service_name(service: Service) -> &'static str {
    match service {
        Service::Flowfact => "FLOWFACT",
        Service::Graph => "Microsoft Graph",
        Service::Ews => "Exchange",
        Service::Autodiscover => "Autodiscover",
    }
}

fn plural(count: u32, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

fn plural_y(count: u32, stem: &str) -> String {
    if count == 1 {
        format!("1 {stem}y")
    } else {
        format!("{count} {stem}ies")
    }
}

fn kibibytes(bytes: u64) -> String {
    format!("{} KiB", bytes.div_ceil(1024))
}

fn seconds(elapsed_ms: u64) -> String {
    format!("{}.{} s", elapsed_ms / 1000, elapsed_ms % 1000 / 100)
}

fn local_time(at_ms: u64) -> String {
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok());
    at.map_or_else(
        || "at an unknown time".to_owned(),
        |at| {
            at.to_zoned(TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S %:z")
                .to_string()
        },
    )
}
