//! What the cases of the interface are called: as in `wit/`.

use super::bindings::contact_sync::plugin::archive::Cause;
use super::bindings::contact_sync::plugin::types::{
    Action, Failure, Field, Phase, Problem, Service, Severity, Side,
};

pub(super) fn field(field: Field) -> &'static str {
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

pub(super) fn action(action: Action) -> &'static str {
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

pub(super) fn side(side: Side) -> &'static str {
    match side {
        Side::Crm => "crm",
        Side::Mailbox => "mailbox",
    }
}

pub(super) fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Deleted => "deleted",
        Cause::Unmarked => "unmarked",
        Cause::Overwritten => "overwritten",
        Cause::Changed => "changed",
    }
}

pub(super) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

pub(super) fn service(service: Service) -> &'static str {
    match service {
        Service::Flowfact => "flowfact",
        Service::Graph => "graph",
        Service::Ews => "ews",
        Service::Autodiscover => "autodiscover",
    }
}

/// For people.
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::ReadCrm => "reading FLOWFACT",
        Phase::ReadMailbox => "reading mailbox",
        Phase::Plan => "planning",
        Phase::Execute => "writing",
        Phase::Remember => "remembering",
    }
}

pub(super) fn failure(failure: &Failure) -> &'static str {
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

/// What every failure says.
pub(super) fn problem(failure: &Failure) -> &Problem {
    match failure {
        Failure::InvalidJob(problem)
        | Failure::WrongIdentity(problem)
        | Failure::OtherEngine(problem)
        | Failure::StoreUnavailable(problem)
        | Failure::LeaseLost(problem)
        | Failure::StateUnreadable(problem)
        | Failure::NotFound(problem)
        | Failure::TooLarge(problem)
        | Failure::Internal(problem) => problem,
        Failure::SignInRefused(remote)
        | Failure::PermissionMissing(remote)
        | Failure::Unreachable(remote)
        | Failure::Protocol(remote)
        | Failure::EgressDenied(remote) => &remote.problem,
        Failure::Throttled(throttled) => &throttled.problem,
    }
}
