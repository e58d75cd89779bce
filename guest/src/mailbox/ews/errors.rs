//! What Exchange's codes mean
//! (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/responsecode>).
//! Branches on codes, never on a message.

use crate::http::{Answer, CallError, RemoteError, WriteError};
use crate::mailbox::ews::soap::{Message, Operation};
use crate::report::{Problem, RemoteProblem, Service};

/// The item itself is not there.
const ITEM_NOT_FOUND: &str = "ErrorItemNotFound";

/// The record has changed since the version that a write named.
const CHANGED_MEANWHILE: [&str; 2] = ["ErrorIrresolvableConflict", "ErrorStaleObject"];

/// A pause is asked for
/// (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/ews-throttling-in-exchange>).
const BUSY: [&str; 2] = ["ErrorServerBusy", "ErrorExceededConnectionCount"];

/// Whether anything happened is unknown.
const TRANSIENT: [&str; 3] = [
    "ErrorInternalServerError",
    "ErrorInternalServerTransientError",
    "ErrorTimeoutExpired",
];

/// An item that Exchange did not get to, because it stopped at another one.
const SKIPPED: &str = "ErrorBatchProcessingStopped";

/// The mailbox, or the way to it, is not there for now.
const MAILBOX_UNREACHABLE: [&str; 11] = [
    "ErrorConnectionFailed",
    "ErrorFolderNotFound",
    "ErrorInsufficientResources",
    "ErrorMailboxConfiguration",
    "ErrorMailboxFailover",
    "ErrorMailboxMoveInProgress",
    "ErrorMailboxStoreUnavailable",
    "ErrorNonExistentMailbox",
    "ErrorParentFolderNotFound",
    "ErrorSyncFolderNotFound",
    "ErrorUserWithoutFederatedProxyAddress",
];

/// Signed in, but not allowed to act for this mailbox.
const NOT_ALLOWED: [&str; 6] = [
    "ErrorAccountDisabled",
    "ErrorImpersonateUserDenied",
    "ErrorImpersonationDenied",
    "ErrorImpersonationFailed",
    "ErrorInvalidExchangeImpersonationHeaderData",
    "ErrorMailboxAccessDenied",
];

/// Faults that a single item of a request can cause for all of them.
const ONE_ITEMS_FAULTS: [&str; 8] = [
    "ErrorChangeKeyRequired",
    "ErrorChangeKeyRequiredForWriteOperations",
    "ErrorInvalidArgument",
    "ErrorInvalidIdEmpty",
    "ErrorInvalidIdMalformed",
    "ErrorInvalidPropertySet",
    "ErrorInvalidRequest",
    "ErrorSchemaValidation",
];

/// The position in a folder's changes is lost; beginning anew cures it.
pub(super) const INVALID_SYNC_STATE: &str = "ErrorInvalidSyncStateData";

pub(super) fn is_busy(code: &str) -> bool {
    BUSY.contains(&code)
}

pub(super) fn is_transient(code: &str) -> bool {
    TRANSIENT.contains(&code)
}

pub(super) fn is_skipped(code: &str) -> bool {
    code == SKIPPED
}

/// Whether the very item is gone.
pub(super) fn is_item_not_found(message: &Message<'_>) -> bool {
    message.code() == Some(ITEM_NOT_FOUND)
}

/// The mailbox's failure that a code stands for; the problem back where it is the item's own.
pub(super) fn of_mailbox(code: &str, problem: RemoteProblem) -> Result<RemoteError, RemoteProblem> {
    if MAILBOX_UNREACHABLE.contains(&code) {
        Ok(RemoteError::Unreachable(problem))
    } else if NOT_ALLOWED.contains(&code) {
        Ok(RemoteError::PermissionMissing(problem))
    } else {
        Err(problem)
    }
}

/// Whether a failure concerns whatever else could be asked of the mailbox now.
pub(super) fn is_of_mailbox(error: &RemoteError) -> bool {
    match error {
        RemoteError::Unreachable(remote) => {
            let is_known = |code: &str| MAILBOX_UNREACHABLE.contains(&code);
            // IIS queues what it cannot serve and says 503; more would only lengthen the queue.
            let is_queued = matches!(remote.status, Some(502..=504));
            error.halts() || is_queued || remote.code.as_deref().is_some_and(is_known)
        }
        RemoteError::PermissionMissing(_) => true,
        _ => error.halts(),
    }
}

/// Whether a failure of the mailbox may be that of an id alone, which is another mailbox's.
pub(super) fn may_be_a_foreign_id(error: &RemoteError) -> bool {
    matches!(error, RemoteError::Unreachable(remote)
        if remote.code.as_deref() == Some("ErrorNonExistentMailbox"))
}

/// Whether a create that was refused with this failure of the mailbox may have happened all the
/// same.
pub(super) fn may_have_happened(error: &RemoteError) -> bool {
    const DEFINITE: [&str; 4] = [
        "ErrorFolderNotFound",
        "ErrorNonExistentMailbox",
        "ErrorParentFolderNotFound",
        "ErrorSyncFolderNotFound",
    ];
    match error {
        RemoteError::Unreachable(remote) => {
            let code = remote.code.as_deref().unwrap_or_default();
            !DEFINITE.contains(&code)
        }
        _ => false,
    }
}

/// Whether a refused request may be refused for one of its items alone.
pub(super) fn may_be_one_items(answer: &Answer) -> bool {
    answer.status == 500 && answer.has_code(&ONE_ITEMS_FAULTS)
}

/// Whether an answer may be broken by one of the items that it is about.
pub(super) fn may_be_one_items_answer(error: &RemoteError) -> bool {
    match error {
        RemoteError::Protocol(_) => true,
        RemoteError::Unreachable(remote) => remote.status == Some(500),
        _ => false,
    }
}

/// What a request that was refused as a whole means for the mailbox.
pub(super) fn fault(answer: &Answer) -> RemoteError {
    let problem = with_remedy(answer.problem());
    match answer.code() {
        Some(code) if answer.status == 500 => {
            of_mailbox(code, problem).unwrap_or_else(RemoteError::Protocol)
        }
        _ => answer.remote_error(),
    }
}

/// What a refusal means for the contact that was to be written.
pub(super) fn write_error(problem: &RemoteProblem) -> WriteError {
    match problem.code.as_deref() {
        Some(ITEM_NOT_FOUND) => WriteError::NotFound,
        Some(code) if CHANGED_MEANWHILE.contains(&code) => WriteError::Stale,
        _ => WriteError::Refused(problem.problem.clone()),
    }
}

/// What it means that a folder of the mailbox itself is refused.
pub(super) fn closed(problem: RemoteProblem) -> RemoteError {
    match problem.code.as_deref() {
        Some("ErrorAccessDenied") => RemoteError::PermissionMissing(problem),
        _ => RemoteError::Protocol(problem),
    }
}

/// What it means that a mailbox's own folders cannot be found by their names: to an account without
/// rights Exchange denies that they are there.
pub(super) fn not_open(error: RemoteError) -> RemoteError {
    const HIDDEN: [&str; 3] = [ITEM_NOT_FOUND, "ErrorFolderNotFound", "ErrorAccessDenied"];
    match error {
        RemoteError::Protocol(mut remote)
        | RemoteError::Unreachable(mut remote)
        | RemoteError::PermissionMissing(mut remote)
            if remote
                .code
                .as_deref()
                .is_some_and(|code| HIDDEN.contains(&code)) =>
        {
            let remedy = "give the account that the sync signs in with the role \
                          ApplicationImpersonation, or full access to this mailbox and \
                          `impersonate = false`";
            remote.problem.remedy = Some(remedy.to_owned());
            RemoteError::PermissionMissing(remote)
        }
        error => error,
    }
}

/// A failure after which the mailbox may be asked again.
pub(super) fn unreachable(problem: RemoteProblem, maybe_done: bool) -> CallError {
    CallError {
        error: RemoteError::Unreachable(problem),
        maybe_done,
    }
}

/// The problem within a failure.
pub(super) fn problem_of(error: RemoteError) -> RemoteProblem {
    match error {
        RemoteError::SignInRefused(remote)
        | RemoteError::PermissionMissing(remote)
        | RemoteError::Unreachable(remote)
        | RemoteError::Protocol(remote)
        | RemoteError::EgressDenied(remote) => remote,
        RemoteError::Throttled(throttled) => RemoteProblem {
            service: throttled.service,
            status: None,
            code: None,
            request_id: None,
            problem: throttled.problem,
        },
    }
}

/// The same problem with what to do about it.
pub(super) fn with_remedy(mut problem: RemoteProblem) -> RemoteProblem {
    let remedy = match problem.code.as_deref().unwrap_or_default() {
        "ErrorAccessDenied" => {
            "give the account that the sync signs in with full access to this mailbox, or the role \
             ApplicationImpersonation"
        }
        code if NOT_ALLOWED.contains(&code) => {
            "give the account that the sync signs in with the role ApplicationImpersonation for \
             this mailbox, or set `impersonate = false` where it has full access instead"
        }
        "ErrorNonExistentMailbox" => {
            "check the configured address: the server knows no mailbox by it; a mailbox that was \
             moved to Office 365 is configured under `office365`, and then rebound"
        }
        code if MAILBOX_UNREACHABLE.contains(&code) => {
            "nothing at first: the next pass tries again; if it lasts, ask whoever runs the \
             Exchange Server"
        }
        "ErrorQuotaExceeded" => "make room: the mailbox is full",
        "ErrorInvalidPropertyRequest" | "ErrorInvalidExtendedProperty" => {
            "where this comes up with every contact, set `ask-search-key = false`; else tell \
             whoever maintains this sync"
        }
        code if is_busy(code) || is_transient(code) || is_skipped(code) => {
            "nothing: the next pass tries again"
        }
        _ => {
            "correct the contact that the message names; if it is correct, tell whoever maintains \
             this sync"
        }
    };
    problem.problem.remedy = Some(remedy.to_owned());
    problem
}

/// No message came back for something that was asked for.
pub(super) fn no_answer(operation: &Operation) -> CallError {
    let problem = Problem {
        message: format!(
            "Exchange did not answer when the sync wanted to {}",
            operation.what
        ),
        remedy: Some("nothing at first: the next pass tries again".to_owned()),
    };
    CallError {
        error: RemoteError::Protocol(RemoteProblem {
            service: Service::Ews,
            status: None,
            code: None,
            request_id: None,
            problem,
        }),
        maybe_done: true,
    }
}
