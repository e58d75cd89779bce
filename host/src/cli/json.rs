//! Results for machines. Names are those of `wit/types.wit`, cases too; times are milliseconds
//! since 1970-01-01T00:00Z.

use std::io::{self, Write};

use contact_sync_host::credentials::SignInError;
use contact_sync_host::types::{
    ApprovalRequest, Change, ContactName, Counts, Endpoint, Failure, Finding, Marker, Operation,
    OperationState, Outcome, Problem, Service, Severity, SideCounts,
};
use contact_sync_host::{Checked, Error, JournalEntry, Overview, problem};
use serde_json::{Map, Value, json};

use super::human::{action_name, cause_name, field_name, side_name};
use super::{Place, Purpose, Shown};

/// One object on one line.
pub(super) fn line(out: &mut dyn Write, place: &Place, result: Value) -> io::Result<()> {
    let mut object = Map::new();
    object.insert("tenant".into(), place.tenant.clone().into());
    object.insert("mailbox".into(), place.mailbox.clone().into());
    if let Value::Object(fields) = result {
        object.extend(fields);
    }
    writeln!(out, "{}", Value::Object(object))
}

/// A pass.
pub(super) fn pass(shown: &Shown) -> Value {
    let report = &shown.report;
    json!({
        "mode": match shown.purpose {
            Purpose::Preview => "preview",
            Purpose::Sync => "sync",
            Purpose::Restore => "restore",
            Purpose::DryRestore => "dry-restore",
        },
        "outcome": outcome(&report.outcome),
        "counts": counts(&report.counts),
        "operations": shown.operations.iter().map(one_operation).collect::<Vec<_>>(),
        "operations-total": report.operations_total,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "findings-total": report.findings_total,
        "more": report.more,
        "denials": shown.denials,
        "sign-in": shown.sign_in.as_ref().map(sign_in),
    })
}

/// What a pairing will do.
pub(super) fn operation(operation: &Operation) -> Value {
    json!({ "operation": one_operation(operation) })
}

/// A checkup.
pub(super) fn checkup(checked: &Checked) -> Value {
    let checkup = &checked.checkup;
    let fields = checkup.proposal.fields.iter();
    let fields: Map<_, _> = fields
        .map(|field| (field_name(field.field).into(), json!(field.name)))
        .collect();
    json!({
        "ready": checkup.ready,
        "findings": checkup.findings.iter().map(finding).collect::<Vec<_>>(),
        "proposal": {
            "address": checkup.proposal.address,
            "endpoint": checkup.proposal.endpoint.as_ref().map(endpoint),
            "fields": fields,
            "markers": checkup.proposal.markers.iter().map(marker).collect::<Vec<_>>(),
        },
        "denials": checked.denials,
        "sign-in": checked.sign_in.as_ref().map(sign_in),
    })
}

/// What earlier passes left behind.
pub(super) fn overview(overview: &Overview) -> Value {
    json!({
        "last-complete": overview.last_complete,
        "links": overview.links,
        "detached": overview.detached,
        "held": overview.held,
        "pending": overview.pending,
        "held-back": overview.held_back,
    })
}

/// Entries of the journal.
pub(super) fn history(entries: &[JournalEntry]) -> Value {
    let entries = entries.iter().map(|entry| {
        json!({
            "id": entry.id,
            "pass": entry.pass,
            "at": entry.at,
            "side": side_name(entry.side),
            "cause": cause_name(entry.cause),
            "contact": contact(&entry.contact),
            "lost": entry.lost.iter().map(change).collect::<Vec<_>>(),
            "restored": entry.restored,
        })
    });
    json!({ "entries": entries.collect::<Vec<_>>() })
}

/// Why nothing was done.
pub(super) fn error(error: &Error) -> Value {
    let code = match error {
        Error::Endpoint { .. } => "endpoint",
        Error::Busy { .. } => "busy",
        Error::Store(_) => "store-unavailable",
        Error::Crashed(_) => "crashed",
        Error::Failed { failure, .. } => failure_code(failure),
        Error::Stopped => "stopped",
    };
    json!({ "error": { "code": code, "message": error.to_string(), "remedy": error.remedy() } })
}

fn sign_in(error: &SignInError) -> Value {
    json!({ "code": error.code, "message": error.message, "remedy": error.remedy })
}

fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Complete => json!("complete"),
        Outcome::NeedsApproval(asked) => json!({ "needs-approval": request(asked) }),
        Outcome::Stopped(failure) => json!({ "stopped": one_failure(failure) }),
    }
}

/// What a person is asked.
pub(super) fn request(request: &ApprovalRequest) -> Value {
    json!({
        "token": request.token,
        "crm-deletions": request.crm_deletions,
        "mailbox-deletions": request.mailbox_deletions,
        "detachings": request.detachings,
        "emptied": request.emptied,
        "links": request.links,
        "reason": request.reason,
    })
}

fn counts(counts: &Counts) -> Value {
    let usage = counts.usage.iter().map(|usage| {
        json!({
            "service": service_name(usage.service),
            "requests": usage.requests,
            "retries": usage.retries,
            "throttled": usage.throttled,
            "bytes-sent": usage.bytes_sent,
            "bytes-received": usage.bytes_received,
        })
    });
    json!({
        "crm": side_counts(&counts.crm),
        "mailbox": side_counts(&counts.mailbox),
        "conflicts": counts.conflicts,
        "held": counts.held,
        "usage": usage.collect::<Vec<_>>(),
        "store-reads": counts.store_reads,
        "store-commits": counts.store_commits,
        "elapsed-ms": counts.elapsed_ms,
    })
}

fn side_counts(counts: &SideCounts) -> Value {
    json!({
        "read": counts.read,
        "created": counts.created,
        "updated": counts.updated,
        "deleted": counts.deleted,
        "unchanged": counts.unchanged,
    })
}

pub(super) fn one_operation(operation: &Operation) -> Value {
    json!({
        "number": operation.number,
        "side": side_name(operation.side),
        "action": action_name(operation.action),
        "contact": contact(&operation.contact),
        "changes": changes(&operation.changes),
        "reason": operation.reason,
        "state": match &operation.state {
            OperationState::Planned => json!("planned"),
            OperationState::Done => json!("done"),
            OperationState::HeldBack => json!("held-back"),
            OperationState::PutOff(why) => json!({ "put-off": one_problem(why) }),
        },
    })
}

/// Values before and after.
pub(super) fn changes(changes: &[Change]) -> Vec<Value> {
    changes.iter().map(change).collect()
}

fn change(change: &Change) -> Value {
    json!({
        "field": field_name(change.field),
        "before": change.before,
        "after": change.after,
    })
}

pub(super) fn finding(finding: &Finding) -> Value {
    json!({
        "severity": match finding.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        },
        "code": finding.code,
        "message": finding.message,
        "remedy": finding.remedy,
        "contact": finding.contact.as_ref().map(contact),
        "field": finding.field.map(field_name),
    })
}

/// Who it is.
pub(super) fn contact(contact: &ContactName) -> Value {
    json!({
        "crm-id": contact.crm_id,
        "mailbox-id": contact.mailbox_id,
        "label": contact.label,
    })
}

fn marker(marker: &Marker) -> Value {
    match marker {
        Marker::SyncEntry(entry) => json!({ "sync-entry": entry }),
        Marker::FieldValue(value) => json!({ "field": value.field, "value": value.value }),
    }
}

fn one_failure(failure: &Failure) -> Value {
    let mut object = Map::new();
    object.insert("code".into(), failure_code(failure).into());
    if let Value::Object(fields) = one_problem(problem(failure)) {
        object.extend(fields);
    }
    match failure {
        Failure::SignInRefused(remote)
        | Failure::PermissionMissing(remote)
        | Failure::Unreachable(remote)
        | Failure::Protocol(remote)
        | Failure::EgressDenied(remote) => {
            object.insert("service".into(), service_name(remote.service).into());
            object.insert("status".into(), json!(remote.status));
            object.insert("service-code".into(), json!(remote.code));
            object.insert("request-id".into(), json!(remote.request_id));
        }
        Failure::Throttled(throttled) => {
            object.insert("service".into(), service_name(throttled.service).into());
            object.insert("retry-after-ms".into(), throttled.retry_after_ms.into());
        }
        _ => {}
    }
    Value::Object(object)
}

fn one_problem(problem: &Problem) -> Value {
    json!({ "message": problem.message, "remedy": problem.remedy })
}

fn failure_code(failure: &Failure) -> &'static str {
    match failure {
        Failure::InvalidJob(_) => "invalid-job",
        Failure::WrongIdentity(_) => "wrong-identity",
        Failure::OtherEngine(_) => "other-engine",
        Failure::SignInRefused(_) => "sign-in-refused",
        Failure::PermissionMissing(_) => "permission-missing",
        Failure::Throttled(_) => "throttled",
        Failure::Unreachable(_) => "unreachable",
        Failure::Protocol(_) => "protocol",
        Failure::EgressDenied(_) => "egress-denied",
        Failure::StoreUnavailable(_) => "store-unavailable",
        Failure::LeaseLost(_) => "lease-lost",
        Failure::StateUnreadable(_) => "state-unreadable",
        Failure::NotFound(_) => "not-found",
        Failure::TooLarge(_) => "too-large",
        Failure::Internal(_) => "internal",
    }
}

/// Where a mailbox is.
pub(super) fn endpoint(endpoint: &Endpoint) -> Value {
    match endpoint {
        Endpoint::Graph(graph) => json!({ "service": "graph", "url": graph.base_url }),
        Endpoint::Ews(ews) => json!({ "service": "ews", "url": ews.url }),
    }
}

fn service_name(service: Service) -> &'static str {
    match service {
        Service::Flowfact => "flowfact",
        Service::Graph => "graph",
        Service::Ews => "ews",
        Service::Autodiscover => "autodiscover",
    }
}
