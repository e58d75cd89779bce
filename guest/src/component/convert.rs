//! Values of `wit/types.wit` into the crate's own, and back. Variant by variant; nothing is
//! decided.

pub(super) mod explained;

use super::bindings::contact_sync::plugin::types as wit;
use super::bindings::exports::contact_sync::plugin::{approval, archive, setup, sync};
use crate::approval::RequestPage;
use crate::contact::{Field, text};
use crate::job;
use crate::journal::{Cause, Named};
use crate::pass::{Advance, Target};
use crate::plan::approval::{Entry, Verdict};
use crate::report::{self, Failure, Outcome, Problem, Severity, Side};
use crate::setup::{Checkup, Overview};

use super::LISTED_MAX;

/// The length of a label, in bytes (`types.wit`).
const LABEL_BYTES_MAX: usize = 200;
/// The length of a value that people are shown, and of a message.
const TEXT_BYTES_MAX: usize = 1_000;
/// The length of a remedy.
const REMEDY_BYTES_MAX: usize = 500;
/// Changes of one operation.
const CHANGES_MAX: usize = 64;

// ---- in -----------------------------------------------------------------------------------------

pub(super) fn job(job: wit::Job) -> job::Job {
    job::Job {
        tenant: job::Tenant {
            id: job.tenant.id,
            region: job.tenant.region,
        },
        crm: match job.crm {
            wit::Crm::Flowfact(flowfact) => job::CrmAccess::Flowfact(job::FlowfactAccess {
                base_url: flowfact.base_url,
                schema: flowfact.schema,
                company: flowfact.company,
                fields: flowfact
                    .fields
                    .into_iter()
                    .map(|named| (field_in(named.field), named.name))
                    .collect(),
                marker: marker_in(flowfact.marker),
            }),
        },
        mailbox: job::MailboxAccess {
            id: job.mailbox.id,
            address: job.mailbox.address,
            endpoint: match job.mailbox.endpoint {
                wit::Endpoint::Graph(graph) => job::Endpoint::Graph(job::GraphAccess {
                    base_url: graph.base_url,
                    user: match graph.user {
                        wit::GraphUser::Me => job::GraphUser::Me,
                        wit::GraphUser::User(user) => job::GraphUser::User(user),
                    },
                    trust_if_match: graph.trust_if_match,
                }),
                wit::Endpoint::Ews(ews) => job::Endpoint::Ews(job::EwsAccess {
                    url: ews.url,
                    autodiscover: ews.autodiscover,
                    impersonate: ews.impersonate,
                    ask_search_key: ews.ask_search_key,
                }),
            },
        },
        policy: policy(&job.policy),
    }
}

fn policy(policy: &wit::Policy) -> job::Policy {
    job::Policy {
        conflict: match policy.conflict {
            wit::ConflictWinner::Crm => job::ConflictWinner::Crm,
            wit::ConflictWinner::Mailbox => job::ConflictWinner::Mailbox,
            wit::ConflictWinner::Newest => job::ConflictWinner::Newest,
        },
        delete_edit: match policy.delete_edit {
            wit::DeleteEdit::KeepEdit => job::DeleteEdit::KeepEdit,
            wit::DeleteEdit::Delete => job::DeleteEdit::Delete,
        },
        on_crm_delete: match policy.on_crm_delete {
            wit::OnCrmDelete::DeleteInMailbox => job::OnCrmDelete::DeleteInMailbox,
            wit::OnCrmDelete::KeepInMailbox => job::OnCrmDelete::KeepInMailbox,
        },
        on_mailbox_delete: match policy.on_mailbox_delete {
            wit::OnMailboxDelete::DeleteInCrm => job::OnMailboxDelete::DeleteInCrm,
            wit::OnMailboxDelete::Unmark => job::OnMailboxDelete::Unmark,
        },
        on_unmark: match policy.on_unmark {
            wit::OnUnmark::Keep => job::OnUnmark::Keep,
            wit::OnUnmark::DeleteFromMailbox => job::OnUnmark::DeleteFromMailbox,
        },
        matching: match policy.matching {
            wit::Matching::EmailOrPhone => job::Matching::EmailOrPhone,
            wit::Matching::Off => job::Matching::Off,
        },
        guard: job::GuardLimits {
            contacts_max: policy.guard.contacts_max,
            contacts_percent_max: policy.guard.contacts_percent_max,
        },
        journal_days: policy.journal_days,
        native_sync: match policy.native_sync {
            wit::NativeSync::Ask => job::NativeSync::Ask,
            wit::NativeSync::Off => job::NativeSync::Off,
        },
        crm_not_found: match policy.crm_not_found {
            wit::CrmNotFound::Hold => job::CrmNotFound::Hold,
            wit::CrmNotFound::Deleted => job::CrmNotFound::Deleted,
        },
    }
}

fn marker_in(marker: wit::Marker) -> job::Marker {
    match marker {
        wit::Marker::SyncEntry(account) => job::Marker::SyncEntry(account),
        wit::Marker::FieldValue(place) => job::Marker::FieldValue {
            field: place.field,
            value: place.value,
        },
    }
}

pub(super) fn verdict(verdict: approval::Verdict) -> Verdict {
    match verdict {
        approval::Verdict::Approve => Verdict::Approve,
        approval::Verdict::Reject => Verdict::Reject,
    }
}

/// The fields of the two vocabularies, side by side.
const FIELDS: [(wit::Field, Field); 11] = [
    (wit::Field::FirstName, Field::FirstName),
    (wit::Field::LastName, Field::LastName),
    (wit::Field::AcademicTitle, Field::AcademicTitle),
    (wit::Field::Company, Field::Company),
    (wit::Field::Department, Field::Department),
    (wit::Field::Position, Field::Position),
    (wit::Field::Phones, Field::Phones),
    (wit::Field::Emails, Field::Emails),
    (wit::Field::Website, Field::Website),
    (wit::Field::Addresses, Field::Addresses),
    (wit::Field::Birthday, Field::Birthday),
];

fn field_in(field: wit::Field) -> Field {
    let found = FIELDS.iter().find(|(theirs, _)| *theirs == field);
    found.map_or(Field::FirstName, |(_, ours)| *ours)
}

fn field_out(field: Field) -> wit::Field {
    let found = FIELDS.iter().find(|(_, ours)| *ours == field);
    found.map_or(wit::Field::FirstName, |(theirs, _)| *theirs)
}

// ---- out ----------------------------------------------------------------------------------------

pub(super) fn plan(pass: &dyn Advance, report: report::Report) -> wit::Plan {
    let mut operations: Vec<(usize, &report::Operation)> =
        pass.operations().iter().enumerate().collect();
    operations.sort_by_key(|(_, operation)| operation.action != report::Action::Delete);
    wit::Plan {
        counts: counts(&report.counts),
        operations: operations
            .into_iter()
            .take(LISTED_MAX)
            .map(|(number, operation)| self::operation(number, operation))
            .collect(),
        operations_total: count(pass.operations().len()),
        findings: pass
            .findings()
            .iter()
            .take(LISTED_MAX)
            .map(finding)
            .collect(),
        findings_total: count(pass.findings().len()),
        approval_request: match report.outcome {
            Outcome::NeedsApproval(request) => Some(approval_request(request)),
            Outcome::Complete | Outcome::Stopped(_) => None,
        },
    }
}

pub(super) fn report(pass: &dyn Advance, report: report::Report) -> wit::Report {
    wit::Report {
        outcome: match report.outcome {
            Outcome::Complete => wit::Outcome::Complete,
            Outcome::NeedsApproval(request) => {
                wit::Outcome::NeedsApproval(approval_request(request))
            }
            Outcome::Stopped(stopped) => wit::Outcome::Stopped(failure(stopped)),
        },
        counts: counts(&report.counts),
        findings: pass
            .findings()
            .iter()
            .take(LISTED_MAX)
            .map(finding)
            .collect(),
        findings_total: count(pass.findings().len()),
        operations_total: count(pass.operations().len()),
        more: report.more,
    }
}

pub(super) fn has_written(counts: &report::Counts) -> bool {
    [counts.crm, counts.mailbox]
        .iter()
        .any(|side| side.created > 0 || side.updated > 0 || side.deleted > 0)
}

pub(super) fn operations(
    operations: &[report::Operation],
    first: usize,
    operations_max: usize,
) -> Vec<wit::Operation> {
    let numbered = operations
        .iter()
        .enumerate()
        .skip(first)
        .take(operations_max);
    numbered
        .map(|(number, operation)| self::operation(number, operation))
        .collect()
}

pub(super) fn operation(number: usize, operation: &report::Operation) -> wit::Operation {
    wit::Operation {
        number: count(number),
        side: side(operation.side),
        action: action(operation.action),
        contact: contact(&operation.contact),
        changes: operation
            .changes
            .iter()
            .take(CHANGES_MAX)
            .map(change)
            .collect(),
        reason: operation.reason.to_owned(),
        state: match &operation.state {
            report::OperationState::Planned => wit::OperationState::Planned,
            report::OperationState::Done => wit::OperationState::Done,
            report::OperationState::HeldBack => wit::OperationState::HeldBack,
            report::OperationState::PutOff(problem) => {
                wit::OperationState::PutOff(self::problem(problem.clone()))
            }
        },
    }
}

pub(super) fn finding(finding: &report::Finding) -> wit::Finding {
    wit::Finding {
        severity: match finding.severity {
            Severity::Note => wit::Severity::Note,
            Severity::Warning => wit::Severity::Warning,
            Severity::Error => wit::Severity::Error,
        },
        code: finding.code.clone(),
        message: text::shortened(&finding.message, TEXT_BYTES_MAX),
        remedy: finding
            .remedy
            .as_ref()
            .map(|text| text::shortened(text, REMEDY_BYTES_MAX)),
        contact: finding.contact.as_ref().map(contact),
        field: finding.field.map(field_out),
    }
}

pub(super) fn checkup(checkup: Checkup) -> setup::Checkup {
    setup::Checkup {
        ready: checkup.ready,
        findings: checkup.findings.iter().map(finding).collect(),
        proposal: setup::Proposal {
            fields: checkup
                .fields
                .into_iter()
                .map(|(field, name)| wit::FieldName {
                    field: field_out(field),
                    name,
                })
                .collect(),
            markers: checkup.markers.into_iter().map(marker_out).collect(),
            endpoint: checkup.endpoint.map(endpoint_out),
            address: checkup.address,
        },
    }
}

fn endpoint_out(endpoint: job::Endpoint) -> wit::Endpoint {
    match endpoint {
        job::Endpoint::Graph(graph) => wit::Endpoint::Graph(wit::Graph {
            base_url: graph.base_url,
            user: match graph.user {
                job::GraphUser::Me => wit::GraphUser::Me,
                job::GraphUser::User(user) => wit::GraphUser::User(user),
            },
            trust_if_match: graph.trust_if_match,
        }),
        job::Endpoint::Ews(ews) => wit::Endpoint::Ews(wit::Ews {
            url: ews.url,
            autodiscover: ews.autodiscover,
            impersonate: ews.impersonate,
            ask_search_key: ews.ask_search_key,
        }),
    }
}

pub(super) fn overview(overview: &Overview) -> sync::Overview {
    sync::Overview {
        last_complete: overview.last_complete,
        links: overview.links,
        detached: overview.detached,
        held: overview.held,
        pending: overview.pending,
        held_back: overview.held_back,
    }
}

pub(super) fn progress(progress: report::Progress) -> wit::Progress {
    use report::Phase;
    wit::Progress {
        phase: match progress.phase {
            Phase::ReadCrm => wit::Phase::ReadCrm,
            Phase::ReadMailbox => wit::Phase::ReadMailbox,
            Phase::Plan => wit::Phase::Plan,
            Phase::Execute => wit::Phase::Execute,
            Phase::Remember => wit::Phase::Remember,
        },
        done: progress.done,
        total: progress.total,
    }
}

pub(super) fn journal_entry(named: Named) -> archive::JournalEntry {
    let Named { id, entry } = named;
    archive::JournalEntry {
        id,
        pass: entry.pass,
        at: u64::try_from(entry.at.0).unwrap_or(0),
        side: side(entry.side),
        cause: match entry.cause {
            Cause::Deleted => archive::Cause::Deleted,
            Cause::Unmarked => archive::Cause::Unmarked,
            Cause::Overwritten => archive::Cause::Overwritten,
            Cause::Changed => archive::Cause::Changed,
        },
        contact: contact(&entry.contact),
        lost: entry.lost.iter().map(change).collect(),
        restored: entry.restored.map(|at| u64::try_from(at.0).unwrap_or(0)),
    }
}

pub(super) fn target(target: sync::Target) -> Target {
    match target {
        sync::Target::Entry(id) => Target::Entry(id),
        sync::Target::Contact(id) => Target::Contact(id),
        sync::Target::Pass(id) => Target::Pass(id),
    }
}

pub(super) fn failure(failure: Failure) -> wit::Failure {
    match failure {
        Failure::InvalidJob(told) => wit::Failure::InvalidJob(problem(told)),
        Failure::WrongIdentity(told) => wit::Failure::WrongIdentity(problem(told)),
        Failure::OtherEngine(told) => wit::Failure::OtherEngine(problem(told)),
        Failure::SignInRefused(told) => wit::Failure::SignInRefused(remote_problem(told)),
        Failure::PermissionMissing(told) => wit::Failure::PermissionMissing(remote_problem(told)),
        Failure::Throttled(told) => wit::Failure::Throttled(wit::Throttled {
            service: service(told.service),
            retry_after_ms: told.retry_after_ms,
            problem: problem(told.problem),
        }),
        Failure::Unreachable(told) => wit::Failure::Unreachable(remote_problem(told)),
        Failure::Protocol(told) => wit::Failure::Protocol(remote_problem(told)),
        Failure::EgressDenied(told) => wit::Failure::EgressDenied(remote_problem(told)),
        Failure::StoreUnavailable(told) => wit::Failure::StoreUnavailable(problem(told)),
        Failure::LeaseLost(told) => wit::Failure::LeaseLost(problem(told)),
        Failure::StateUnreadable(told) => wit::Failure::StateUnreadable(problem(told)),
        Failure::NotFound(told) => wit::Failure::NotFound(problem(told)),
        Failure::TooLarge(told) => wit::Failure::TooLarge(problem(told)),
        Failure::Internal(told) => wit::Failure::Internal(problem(told)),
    }
}

fn problem(problem: Problem) -> wit::Problem {
    wit::Problem {
        message: problem.message,
        remedy: problem.remedy,
    }
}

fn remote_problem(told: report::RemoteProblem) -> wit::RemoteProblem {
    wit::RemoteProblem {
        service: service(told.service),
        status: told.status,
        code: told.code,
        request_id: told.request_id,
        problem: problem(told.problem),
    }
}

pub(super) fn request_page(page: RequestPage) -> approval::RequestPage {
    approval::RequestPage {
        request: approval_request(page.request),
        verdict: page.verdict.map(|verdict| match verdict {
            Verdict::Approve => approval::Verdict::Approve,
            Verdict::Reject => approval::Verdict::Reject,
        }),
        entries: page
            .entries
            .iter()
            .map(|(number, entry)| request_entry(*number, entry))
            .collect(),
        next: page.next,
    }
}

fn request_entry(number: usize, entry: &Entry) -> approval::Entry {
    approval::Entry {
        number: count(number),
        side: side(entry.destruction.side()),
        action: action(entry.action),
        emptied: entry.destruction.field().map(field_out),
        contact: contact(&entry.contact),
        changes: entry.changes.iter().map(change).collect(),
        reason: entry.reason.clone(),
    }
}

pub(super) fn approval_request(request: report::ApprovalRequest) -> wit::ApprovalRequest {
    wit::ApprovalRequest {
        token: request.token,
        crm_deletions: request.crm_deletions,
        mailbox_deletions: request.mailbox_deletions,
        detachings: request.detachings,
        emptied: request.emptied,
        links: request.links,
        reason: request.reason,
    }
}

fn counts(counts: &report::Counts) -> wit::Counts {
    wit::Counts {
        crm: side_counts(counts.crm),
        mailbox: side_counts(counts.mailbox),
        conflicts: counts.conflicts,
        held: counts.held,
        usage: counts.usage.iter().map(usage).collect(),
        store_reads: counts.store_reads,
        store_commits: counts.store_commits,
        elapsed_ms: counts.elapsed_ms,
    }
}

fn side_counts(counts: report::SideCounts) -> wit::SideCounts {
    wit::SideCounts {
        read: counts.read,
        created: counts.created,
        updated: counts.updated,
        deleted: counts.deleted,
        unchanged: counts.unchanged,
    }
}

fn usage(usage: &report::Usage) -> wit::Usage {
    wit::Usage {
        service: service(usage.service),
        requests: usage.requests,
        retries: usage.retries,
        throttled: usage.throttled,
        bytes_sent: usage.bytes_sent,
        bytes_received: usage.bytes_received,
    }
}

fn contact(name: &report::ContactName) -> wit::ContactName {
    wit::ContactName {
        crm_id: name.crm_id.as_ref().map(ToString::to_string),
        mailbox_id: name.mailbox_id.as_ref().map(ToString::to_string),
        label: text::shortened(&name.label, LABEL_BYTES_MAX),
    }
}

fn change(change: &report::Change) -> wit::Change {
    let shortened = |text: &String| text::shortened(text, TEXT_BYTES_MAX);
    wit::Change {
        field: field_out(change.field),
        before: change.before.as_ref().map(shortened),
        after: change.after.as_ref().map(shortened),
    }
}

fn marker_out(marker: job::Marker) -> wit::Marker {
    match marker {
        job::Marker::SyncEntry(account) => wit::Marker::SyncEntry(account),
        job::Marker::FieldValue { field, value } => {
            wit::Marker::FieldValue(wit::FieldValue { field, value })
        }
    }
}

fn action(action: report::Action) -> wit::Action {
    use report::Action;
    match action {
        Action::Create => wit::Action::Create,
        Action::Update => wit::Action::Update,
        Action::Delete => wit::Action::Delete,
        Action::Mark => wit::Action::Mark,
        Action::Unmark => wit::Action::Unmark,
        Action::Pair => wit::Action::Pair,
        Action::Detach => wit::Action::Detach,
        Action::Forget => wit::Action::Forget,
        Action::Restore => wit::Action::Restore,
    }
}

fn side(side: Side) -> wit::Side {
    match side {
        Side::Crm => wit::Side::Crm,
        Side::Mailbox => wit::Side::Mailbox,
    }
}

fn service(service: report::Service) -> wit::Service {
    match service {
        report::Service::Flowfact => wit::Service::Flowfact,
        report::Service::Graph => wit::Service::Graph,
        report::Service::Ews => wit::Service::Ews,
        report::Service::Autodiscover => wit::Service::Autodiscover,
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
