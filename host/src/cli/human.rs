//! Results for people.

use std::collections::BTreeSet;
use std::io::{self, Write};

use contact_sync_host::store::Crash;
use contact_sync_host::types::{
    Action, ApprovalRequest, Change, ContactName, Counts, Endpoint, Ews, Field, Finding, Marker,
    Operation, OperationState, Outcome, Service, Severity, Side, SideCounts, Usage,
};
use contact_sync_host::{Cause, Checked, JournalEntry, Overview, RequestEntry, problem};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Place, Purpose, Shown};

/// How a pass ended, what it counted, and whatever a person should look at.
pub(super) fn pass(out: &mut dyn Write, place: &Place, shown: &Shown) -> io::Result<()> {
    let report = &shown.report;
    match (&report.outcome, &shown.sign_in) {
        (Outcome::Complete, _) if shown.purpose.is_dry() => {
            let operations = plural(report.operations_total, "operation");
            let what = match shown.purpose {
                Purpose::DryRestore => "restoring",
                _ => "a sync",
            };
            writeln!(out, "{place}: {what} would carry out {operations}")?;
        }
        (Outcome::Complete, _) => {
            let elapsed = seconds(report.counts.elapsed_ms);
            writeln!(out, "{place}: complete in {elapsed}")?;
        }
        (Outcome::NeedsApproval(request), _) => {
            needs_approval(out, place, request, shown.purpose.is_dry())?;
            if shown.purpose == Purpose::Sync {
                hint(
                    out,
                    Some(&format!("see the list and answer it: {}", shown.approve)),
                )?;
            }
        }
        // The host knows why it could not sign in; the plugin only that it did not.
        (Outcome::Stopped(_), Some(sign_in)) => {
            writeln!(out, "{place}: broke off: {sign_in}")?;
            hint(out, Some(&sign_in.remedy))?;
        }
        (Outcome::Stopped(failure), None) => {
            let problem = problem(failure);
            writeln!(out, "{place}: broke off: {}", problem.message)?;
            hint(out, problem.remedy.as_deref())?;
        }
    }
    let planned = shown
        .purpose
        .is_dry()
        .then_some(shown.operations.as_slice());
    counts(out, &report.counts, planned)?;
    if report.more && !matches!(report.outcome, Outcome::Stopped(_)) {
        writeln!(out, "  there is more to do: run it again")?;
    }
    denied(out, &shown.denials)?;
    if !shown.operations.is_empty() {
        let title = match shown.purpose {
            Purpose::Sync => "Not carried out",
            Purpose::Preview | Purpose::Restore | Purpose::DryRestore => "Operations",
        };
        writeln!(out, "\n{title}")?;
        operations(out, &shown.operations)?;
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
    operations(out, std::slice::from_ref(operation))
}

/// Whether a mailbox is ready, and what was found.
pub(super) fn checkup(out: &mut dyn Write, place: &Place, checked: &Checked) -> io::Result<()> {
    let checkup = &checked.checkup;
    let ready = if checkup.ready { "ready" } else { "not ready" };
    writeln!(out, "{place}: {ready}")?;
    // The host knows why it could not sign in; the plugin only that it did not.
    let untold = checked.sign_in.as_ref().map(|error| match error.service {
        Service::Flowfact => "crm-unreachable",
        Service::Graph | Service::Ews | Service::Autodiscover => "mailbox-unreachable",
    });
    (checkup.findings.iter())
        .filter(|finding| untold != Some(finding.code.as_str()))
        .try_for_each(|finding| one_finding(out, finding))?;
    if let Some(sign_in) = &checked.sign_in {
        writeln!(out, "  error: {sign_in}")?;
        hint(out, Some(&sign_in.remedy))?;
    }
    denied(out, &checked.denials)?;
    let proposal = &checkup.proposal;
    if let Some(address) = &proposal.address {
        writeln!(out, "  the mailbox's own address: {address}")?;
    }
    if let Some(Endpoint::Ews(Ews { url: Some(url), .. })) = &proposal.endpoint {
        writeln!(
            out,
            "  the mailbox's server; write it into the configuration:"
        )?;
        writeln!(out, "    [tenant.mailbox.exchange-server]")?;
        writeln!(out, "    url = \"{url}\"")?;
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

/// What earlier passes left behind. `approve`: the command that shows what waits for an approval.
pub(super) fn overview(
    out: &mut dyn Write,
    place: &Place,
    overview: &Overview,
    approve: &str,
) -> io::Result<()> {
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
    writeln!(out, "  {pending} pending, {held_back} waiting for approval")?;
    if *held_back > 0 {
        hint(out, Some(&format!("see the list and answer it: {approve}")))?;
    }
    Ok(())
}

/// Entries of the journal: when, what and whose; what was lost; and what to name for getting it
/// back.
pub(super) fn history(
    out: &mut dyn Write,
    place: &Place,
    entries: &[JournalEntry],
) -> io::Result<()> {
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let noun = if count == 1 { "entry" } else { "entries" };
    writeln!(out, "{place}: {count} {noun}")?;
    for entry in entries {
        let (at, cause, side) = (
            local_time(entry.at),
            cause_name(entry.cause),
            side_words(entry.side),
        );
        let contact = label(&entry.contact);
        writeln!(out, "  {at}  {cause:11} in {side:8} {contact}")?;
        writeln!(
            out,
            "    entry {}, pass {}",
            one_line(&entry.id),
            one_line(&entry.pass)
        )?;
        if let Some(restored) = entry.restored {
            writeln!(out, "    brought back {}", local_time(restored))?;
        }
        for change in &entry.lost {
            one_change(out, change)?;
        }
    }
    Ok(())
}

/// The last words of a pass that crashed.
pub(super) fn crash(out: &mut dyn Write, crash: &Crash) -> io::Result<()> {
    writeln!(out, "  last crash: {}", local_time(crash.at))?;
    for line in crash.last_words.lines() {
        writeln!(out, "    {}", one_line(line))?;
    }
    Ok(())
}

/// What is asked, in numbers; `is_dry`: what a sync would ask.
pub(super) fn needs_approval(
    out: &mut dyn Write,
    place: &Place,
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
    let (asks, end) = if is_dry {
        (
            "a sync would ask for your approval",
            "none of it would be done, everything else would",
        )
    } else {
        (
            "waits for your approval",
            "none of it is done, everything else is",
        )
    };
    writeln!(out, "{place}: {asks}: {why}")?;
    let what = asked(request, ["delete", "detach", "empty"]);
    let links = request.links;
    writeln!(out, "  would {what}, of {links} linked contacts; {end}")
}

/// What a list comes to, with the words for a deletion, a detaching and an emptying.
pub(super) fn asked(request: &ApprovalRequest, words: [&str; 3]) -> String {
    let [delete, detach, empty] = words;
    let mut parts = Vec::new();
    let deletions = [
        (request.crm_deletions, "in the CRM"),
        (request.mailbox_deletions, "in the mailbox"),
    ];
    let deletions: Vec<_> = deletions
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, place)| format!("{count} {place}"))
        .collect();
    if !deletions.is_empty() {
        parts.push(format!("{delete} {}", deletions.join(" and ")));
    }
    if request.detachings > 0 {
        let pairs = plural(request.detachings, "pair");
        parts.push(format!("{detach} {pairs}"));
    }
    if request.emptied > 0 {
        let fields = plural(request.emptied, "field");
        parts.push(format!("{empty} {fields}"));
    }
    parts.join(", ")
}

/// One entry of what is asked.
pub(super) fn entry(out: &mut dyn Write, entry: &RequestEntry) -> io::Result<()> {
    writeln!(out, "  {}", label(&entry.contact))?;
    match entry.emptied {
        Some(field) => {
            let side = side_words(entry.side);
            write!(out, "    empty {} in {side}", field_name(field))?;
        }
        None => write!(out, "    {}", deed(entry.action, entry.side))?,
    }
    writeln!(out, " ({})", entry.reason)?;
    for change in &entry.changes {
        one_change(out, change)?;
    }
    Ok(())
}

/// `planned`: of a pass that only says what would be done, all its operations.
fn counts(out: &mut dyn Write, counts: &Counts, planned: Option<&[Operation]>) -> io::Result<()> {
    for (side, counted) in [(Side::Crm, &counts.crm), (Side::Mailbox, &counts.mailbox)] {
        match planned {
            Some(operations) => planned_counts(out, side, counted, operations)?,
            None => side_counts(out, side, counted)?,
        }
    }
    if counts.conflicts > 0 || counts.held > 0 {
        let conflicts = plural(counts.conflicts, "conflict");
        writeln!(out, "  {conflicts}, {} held", counts.held)?;
    }
    for usage in counts.usage.iter().filter(|usage| usage.requests > 0) {
        let Usage {
            service,
            requests,
            retries,
            throttled,
            bytes_sent,
            bytes_received,
        } = usage;
        write!(
            out,
            "  {}: {}",
            service_name(*service),
            plural(*requests, "request")
        )?;
        if *retries > 0 {
            write!(out, ", {retries} repeated")?;
        }
        if *throttled > 0 {
            write!(out, ", {throttled} throttled")?;
        }
        let (sent, received) = (kibibytes(*bytes_sent), kibibytes(*bytes_received));
        writeln!(out, ", {sent} sent, {received} received")?;
    }
    Ok(())
}

/// Each contact once per column, as a sync counts it.
fn planned_counts(
    out: &mut dyn Write,
    side: Side,
    counts: &SideCounts,
    operations: &[Operation],
) -> io::Result<()> {
    let contacts = |actions: &[Action]| {
        let planned = operations.iter().filter(|operation| {
            operation.side == side
                && actions.contains(&operation.action)
                && matches!(operation.state, OperationState::Planned)
        });
        let ids = planned.map(|operation| {
            let contact = &operation.contact;
            (contact.crm_id.as_deref(), contact.mailbox_id.as_deref())
        });
        ids.collect::<BTreeSet<_>>().len()
    };
    let created = contacts(&[Action::Create, Action::Restore]);
    let updated = contacts(&[Action::Update, Action::Mark, Action::Unmark]);
    let deleted = contacts(&[Action::Delete]);
    let (
        side,
        SideCounts {
            read, unchanged, ..
        },
    ) = (side_words(side), counts);
    writeln!(
        out,
        "  {side:8} {read} read, would be {created} created, {updated} updated, {deleted} deleted, \
         {unchanged} unchanged"
    )
}

fn side_counts(out: &mut dyn Write, side: Side, counts: &SideCounts) -> io::Result<()> {
    let side = side_words(side);
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

/// Operations, those on one contact under its name.
pub(super) fn operations(out: &mut dyn Write, operations: &[Operation]) -> io::Result<()> {
    let mut last = None;
    for operation in operations {
        let contact = label(&operation.contact);
        if last.as_ref() != Some(&contact) {
            writeln!(out, "  {contact}")?;
            last = Some(contact);
        }
        let Operation {
            side,
            action,
            reason,
            ..
        } = operation;
        write!(out, "    {} ({reason})", deed(*action, *side))?;
        match &operation.state {
            OperationState::Planned | OperationState::Done => writeln!(out)?,
            OperationState::HeldBack => writeln!(out, ": waits for approval")?,
            OperationState::PutOff(problem) => {
                writeln!(out, ": put off: {}", one_line(&problem.message))?;
                hint(out, problem.remedy.as_deref())?;
            }
        }
        for change in &operation.changes {
            one_change(out, change)?;
        }
    }
    Ok(())
}

fn one_change(out: &mut dyn Write, change: &Change) -> io::Result<()> {
    let field = field_name(change.field);
    match (&change.before, &change.after) {
        (None, Some(after)) => writeln!(out, "      {field}: + {}", one_line(after)),
        (Some(before), None) => writeln!(out, "      {field}: - {}", one_line(before)),
        (Some(before), Some(after)) => {
            writeln!(
                out,
                "      {field}: {} -> {}",
                one_line(before),
                one_line(after)
            )
        }
        (None, None) => Ok(()),
    }
}

fn denied(out: &mut dyn Write, denials: &[String]) -> io::Result<()> {
    for denial in denials {
        writeln!(out, "  error: a request was not let out: {denial}")?;
    }
    Ok(())
}

pub(super) fn one_finding(out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
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
pub(super) fn label(contact: &ContactName) -> String {
    let ids: Vec<_> = [&contact.crm_id, &contact.mailbox_id]
        .into_iter()
        .flatten()
        .map(|id| one_line(id))
        .collect();
    let label = one_line(&contact.label);
    match (label.is_empty(), ids.is_empty()) {
        (_, true) => label,
        (true, false) => format!("[{}]", ids.join(" / ")),
        (false, false) => format!("{label} [{}]", ids.join(" / ")),
    }
}

pub(super) fn hint(out: &mut dyn Write, remedy: Option<&str>) -> io::Result<()> {
    match remedy {
        Some(remedy) => writeln!(out, "    hint: {}", one_line(remedy)),
        None => Ok(()),
    }
}

/// Values come from outside: what would move a terminal's cursor or turn its reading direction is
/// shown as what it is.
pub(super) fn one_line(text: &str) -> String {
    let hidden = |character: char| {
        let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        character.is_control() || turns
    };
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if hidden(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
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

pub(super) fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Deleted => "deleted",
        Cause::Unmarked => "unmarked",
        Cause::Overwritten => "overwritten",
        Cause::Changed => "changed",
    }
}

/// What is done, and where; a pair is made and taken apart on neither side.
fn deed(action: Action, side: Side) -> String {
    let name = action_name(action);
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
        Service::Ews => "Exchange Server",
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

fn kibibytes(bytes: u64) -> String {
    format!("{} KiB", bytes.div_ceil(1024))
}

fn seconds(elapsed_ms: u64) -> String {
    format!("{}.{} s", elapsed_ms / 1000, elapsed_ms % 1000 / 100)
}

pub(super) fn local_time(at_ms: u64) -> String {
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

#[cfg(test)]
mod tests {
    use contact_sync_host::credentials::{SignInError, SignInErrorKind};
    use contact_sync_host::types::{Failure, Problem, Report};
    use contact_sync_host::{Checkup, Proposal};

    use super::*;

    fn contact(label: &str) -> ContactName {
        let (crm_id, mailbox_id) = (Some("c-1".into()), Some("m-1".into()));
        ContactName {
            crm_id,
            mailbox_id,
            label: label.into(),
        }
    }

    fn one(action: Action, state: OperationState, changes: Vec<Change>) -> Operation {
        let contact = contact("Erika Mustermann");
        let reason = "edited-in-mailbox".into();
        Operation {
            number: 0,
            side: Side::Crm,
            action,
            contact,
            changes,
            reason,
            state,
        }
    }

    fn change(field: Field, before: Option<&str>, after: Option<&str>) -> Change {
        Change {
            field,
            before: before.map(Into::into),
            after: after.map(Into::into),
        }
    }

    fn shown(purpose: Purpose, outcome: Outcome) -> Shown {
        let side = SideCounts {
            read: 3,
            created: 0,
            updated: 1,
            deleted: 0,
            unchanged: 2,
        };
        let usage = |service, requests, retries| Usage {
            service,
            requests,
            retries,
            throttled: retries,
            bytes_sent: 1,
            bytes_received: 2048,
        };
        let finding = Finding {
            severity: Severity::Warning,
            code: "no-slot-left".into(),
            message: "No place\u{1b}[2J left.".into(),
            remedy: Some("Clear one.".into()),
            contact: Some(contact("Erika\u{202e} Mustermann")),
            field: None,
        };
        let counts = Counts {
            crm: side,
            mailbox: side,
            conflicts: 1,
            held: 2,
            usage: vec![usage(Service::Flowfact, 1, 0), usage(Service::Ews, 0, 0)],
            store_reads: 0,
            store_commits: 0,
            elapsed_ms: 1_234,
        };
        let report = Report {
            outcome,
            counts,
            findings: vec![finding],
            findings_total: 1,
            operations_total: 2,
            more: true,
        };
        let changes = vec![
            change(Field::Emails, Some("a@x.example"), Some("b@x.example")),
            change(Field::Phones, None, Some("+49 221 1")),
            change(Field::Website, Some("x.example"), None),
        ];
        let operations = vec![
            one(Action::Update, OperationState::Planned, changes),
            one(Action::Mark, OperationState::HeldBack, Vec::new()),
        ];
        Shown {
            purpose,
            report,
            operations,
            denials: Vec::new(),
            sign_in: None,
            approve: "contact-sync approve --tenant a --mailbox m1".into(),
        }
    }

    fn printed(shown: &Shown) -> String {
        let mut out = Vec::new();
        let place = Place {
            tenant: "a".into(),
            mailbox: "m1".into(),
        };
        pass(&mut out, &place, shown).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// A preview as a person reads it: operations under their contact, findings with what to do,
    /// and nothing that moves the terminal.
    #[test]
    fn a_preview_is_a_readable_list() {
        assert_eq!(
            printed(&shown(Purpose::Preview, Outcome::Complete)),
            "\
a/m1: a sync would carry out 2 operations
  CRM      3 read, would be 0 created, 1 updated, 0 deleted, 2 unchanged
  mailbox  3 read, would be 0 created, 0 updated, 0 deleted, 2 unchanged
  1 conflict, 2 held
  FLOWFACT: 1 request, 1 KiB sent, 2 KiB received
  there is more to do: run it again

Operations
  Erika Mustermann [c-1 / m-1]
    update in CRM (edited-in-mailbox)
      emails: a@x.example -> b@x.example
      phones: + +49 221 1
      website: - x.example
    mark in CRM (edited-in-mailbox): waits for approval

Findings
  warning: Erika\\u{202e} Mustermann [c-1 / m-1]: No place\\u{1b}[2J left. (no-slot-left)
    hint: Clear one.
"
        );
    }

    /// Where the host knows why nobody is signed in, that is what is told, not what follows from
    /// it.
    #[test]
    fn a_failed_sign_in_is_told_once() {
        let problem = |message: &str| Problem {
            message: message.into(),
            remedy: None,
        };
        let mut broken = shown(
            Purpose::Sync,
            Outcome::Stopped(Failure::Internal(problem("401"))),
        );
        assert!(printed(&broken).starts_with("a/m1: broke off: 401\n"));
        broken.sign_in = Some(SignInError {
            service: Service::Graph,
            kind: SignInErrorKind::Refused,
            code: None,
            message: "the client secret has expired".into(),
            remedy: "create a new one".into(),
        });
        let printed = printed(&broken);
        let start = "a/m1: broke off: the client secret has expired\n    hint: create a new one\n";
        assert!(
            printed.starts_with(start) && !printed.contains("401"),
            "{printed}"
        );
        assert!(!printed.contains("run it again"), "{printed}");
    }

    /// An address that the check-up found is shown as the configuration wants it.
    #[test]
    fn a_found_server_is_shown_as_it_is_written() {
        let found = Ews {
            url: Some("https://mail.muster.example/EWS/Exchange.asmx".into()),
            autodiscover: Vec::new(),
            impersonate: true,
            ask_search_key: true,
        };
        let checked = Checked {
            checkup: Checkup {
                ready: false,
                findings: Vec::new(),
                proposal: Proposal {
                    fields: Vec::new(),
                    markers: Vec::new(),
                    endpoint: Some(Endpoint::Ews(found)),
                    address: None,
                },
            },
            sign_in: None,
            denials: Vec::new(),
        };
        let place = Place {
            tenant: "a".into(),
            mailbox: "m1".into(),
        };
        let mut out = Vec::new();
        checkup(&mut out, &place, &checked).unwrap();
        let lines = "    [tenant.mailbox.exchange-server]\n    \
                     url = \"https://mail.muster.example/EWS/Exchange.asmx\"\n";
        let out = String::from_utf8(out).unwrap();
        assert!(out.ends_with(lines), "{out}");
    }
}
