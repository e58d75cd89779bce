//! Results for machines, as `contact-sync --json` writes them. Names are those of `wit/types.wit`,
//! cases too; times are milliseconds since 1970-01-01T00:00Z.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::bindings::contact_sync::plugin::approval::Verdict;
use super::bindings::contact_sync::plugin::archive::JournalEntry;
use super::bindings::contact_sync::plugin::setup::Checkup;
use super::bindings::contact_sync::plugin::sync::Overview;
use super::bindings::contact_sync::plugin::types::{
    ApprovalRequest, Change, ContactName, Counts, Endpoint, Failure, Finding, Marker, Operation,
    OperationState, Outcome, Problem, SideCounts,
};
use super::drive::{Purpose, Question, Shown};
use super::{Trouble, Work, names};

/// One object on one line.
pub(super) fn line(work: &Work, result: Value) -> io::Result<()> {
    let mut object = Map::new();
    object.insert("tenant".into(), work.job.tenant.id.clone().into());
    object.insert("mailbox".into(), work.job.mailbox.id.clone().into());
    if let Value::Object(fields) = result {
        object.extend(fields);
    }
    writeln!(io::stdout(), "{}", Value::Object(object))
}

/// Why nothing was done.
pub(super) fn error(trouble: &Trouble) -> Value {
    let Trouble {
        code,
        message,
        remedy,
        ..
    } = trouble;
    json!({ "error": { "code": code, "message": message, "remedy": remedy } })
}

/// There is nothing to tell.
pub(super) fn done() -> Value {
    json!({ "done": true })
}

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
        "operations": shown.operations.iter().map(operation).collect::<Vec<_>>(),
        "operations-total": report.operations_total,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "findings-total": report.findings_total,
        "more": report.more,
    })
}

pub(super) fn paired(paired: &Operation) -> Value {
    json!({ "operation": operation(paired) })
}

pub(super) fn checkup(checkup: &Checkup) -> Value {
    let proposal = &checkup.proposal;
    let fields = proposal.fields.iter();
    let fields: Map<_, _> = fields
        .map(|field| (names::field(field.field).into(), json!(field.name)))
        .collect();
    json!({
        "ready": checkup.ready,
        "findings": checkup.findings.iter().map(finding).collect::<Vec<_>>(),
        "proposal": {
            "address": proposal.address,
            "endpoint": proposal.endpoint.as_ref().map(endpoint),
            "fields": fields,
            "markers": proposal.markers.iter().map(marker).collect::<Vec<_>>(),
        },
    })
}

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

pub(super) fn history(entries: &[JournalEntry]) -> Value {
    let entries = entries.iter().map(|entry| {
        json!({
            "id": entry.id,
            "pass": entry.pass,
            "at": entry.at,
            "side": names::side(entry.side),
            "cause": names::cause(entry.cause),
            "contact": contact(&entry.contact),
            "lost": entry.lost.iter().map(change).collect::<Vec<_>>(),
            "restored": entry.restored,
        })
    });
    json!({ "entries": entries.collect::<Vec<_>>() })
}

pub(super) fn question(asked: Option<&Question>) -> Value {
    let Some(asked) = asked else {
        return json!({ "request": null, "verdict": null, "entries": [] });
    };
    let entries = asked.entries.iter().map(|entry| {
        json!({
            "number": entry.number,
            "side": names::side(entry.side),
            "action": names::action(entry.action),
            "emptied": entry.emptied.map(names::field),
            "contact": contact(&entry.contact),
            "changes": entry.changes.iter().map(change).collect::<Vec<_>>(),
            "reason": entry.reason,
        })
    });
    json!({
        "request": request(&asked.request),
        "verdict": asked.verdict.map(verdict),
        "entries": entries.collect::<Vec<_>>(),
    })
}

pub(super) fn answered(asked: &ApprovalRequest, answer: Verdict) -> Value {
    json!({ "verdict": verdict(answer), "request": request(asked) })
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "approve",
        Verdict::Reject => "reject",
    }
}

fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Complete => json!("complete"),
        Outcome::NeedsApproval(asked) => json!({ "needs-approval": request(asked) }),
        Outcome::Stopped(stopped) => json!({ "stopped": failure(stopped) }),
    }
}

fn request(request: &ApprovalRequest) -> Value {
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
            "service": names::service(usage.service),
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

fn operation(operation: &Operation) -> Value {
    json!({
        "number": operation.number,
        "side": names::side(operation.side),
        "action": names::action(operation.action),
        "contact": contact(&operation.contact),
        "changes": operation.changes.iter().map(change).collect::<Vec<_>>(),
        "reason": operation.reason,
        "state": match &operation.state {
            OperationState::Planned => json!("planned"),
            OperationState::Done => json!("done"),
            OperationState::HeldBack => json!("held-back"),
            OperationState::PutOff(why) => json!({ "put-off": problem(why) }),
        },
    })
}

fn change(change: &Change) -> Value {
    json!({
        "field": names::field(change.field),
        "before": change.before,
        "after": change.after,
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "severity": names::severity(finding.severity),
        "code": finding.code,
        "message": finding.message,
        "remedy": finding.remedy,
        "contact": finding.contact.as_ref().map(contact),
        "field": finding.field.map(names::field),
    })
}

fn contact(contact: &ContactName) -> Value {
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

fn endpoint(endpoint: &Endpoint) -> Value {
    match endpoint {
        Endpoint::Graph(graph) => json!({ "service": "graph", "url": graph.base_url }),
        Endpoint::Ews(ews) => json!({ "service": "ews", "url": ews.url }),
    }
}

fn failure(failure: &Failure) -> Value {
    let mut object = Map::new();
    object.insert("code".into(), names::failure(failure).into());
    if let Value::Object(fields) = problem(names::problem(failure)) {
        object.extend(fields);
    }
    match failure {
        Failure::SignInRefused(remote)
        | Failure::PermissionMissing(remote)
        | Failure::Unreachable(remote)
        | Failure::Protocol(remote)
        | Failure::EgressDenied(remote) => {
            object.insert("service".into(), names::service(remote.service).into());
            object.insert("status".into(), json!(remote.status));
            object.insert("service-code".into(), json!(remote.code));
            object.insert("request-id".into(), json!(remote.request_id));
        }
        Failure::Throttled(throttled) => {
            object.insert("service".into(), names::service(throttled.service).into());
            object.insert("retry-after-ms".into(), throttled.retry_after_ms.into());
        }
        _ => {}
    }
    Value::Object(object)
}

fn problem(problem: &Problem) -> Value {
    json!({ "message": problem.message, "remedy": problem.remedy })
}
