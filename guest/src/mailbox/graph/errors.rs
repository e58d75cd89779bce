//! What Exchange Online's codes mean (<https://learn.microsoft.com/graph/errors>). Branches on
//! status and code, never on a message.

use crate::http::{Answer, RemoteError, WriteError};
use crate::report::RemoteProblem;

/// The item itself is not there. Any other 404 says nothing about the item.
const ITEM_NOT_FOUND: [&str; 2] = ["ErrorItemNotFound", "itemNotFound"];

/// The mailbox, the user or the folder is not there, or not in Exchange Online; the same user may
/// flip between them
/// (<https://github.com/microsoftgraph/microsoft-graph-docs-contrib/issues/4341>).
const MAILBOX_NOT_FOUND: [&str; 8] = [
    "MailboxNotEnabledForRESTAPI",
    "MailboxNotSupportedForRESTAPI",
    "ResourceNotFound",
    "Request_ResourceNotFound",
    "ErrorInvalidUser",
    "ErrorNonExistentMailbox",
    "ErrorFolderNotFound",
    "ErrorSyncFolderNotFound",
];

/// Delta's memory of a position is gone (<https://learn.microsoft.com/graph/delta-query-overview>;
/// the codes beyond the documented one are those that shipping clients accept).
const POSITION_LOST: [&str; 4] = [
    "SyncStateNotFound",
    "ResyncRequired",
    "SyncStateInvalid",
    "resyncChangesApplyDifferences",
];

/// The record has changed since the version that a write named
/// (<https://github.com/microsoftgraph/msgraph-sdk-dotnet/issues/1201>).
const CHANGED_MEANWHILE: [&str; 2] = ["ErrorIrresolvableConflict", "resourceModified"];

/// Whether the very item is gone.
pub(super) fn is_item_not_found(answer: &Answer) -> bool {
    answer.status == 404 && answer.has_code(&ITEM_NOT_FOUND)
}

/// Whether an answer to a link of delta says that its position is lost. A 400 to a link that Graph
/// itself made says so too: its codes vary, and beginning anew cures all of them.
pub(super) fn is_position_lost(answer: &Answer) -> bool {
    answer.status == 400
        || answer.status == 410
        || ((400..500).contains(&answer.status) && answer.has_code(&POSITION_LOST))
}

/// What a refusal means for the mailbox as a whole.
pub(super) fn remote_error(answer: &Answer) -> RemoteError {
    if concerns_mailbox(answer) {
        let mut remote: RemoteProblem = answer.problem();
        remote.problem.remedy = Some(
            "check that the mailbox exists, is hosted in Exchange Online and has a licence; the \
             next pass tries again"
                .into(),
        );
        return RemoteError::Unreachable(remote);
    }
    answer.remote_error()
}

/// What a refusal means for the contact that was to be written.
pub(super) fn write_error(answer: &Answer) -> WriteError {
    match answer.status {
        404 if is_item_not_found(answer) => WriteError::NotFound,
        404 if concerns_mailbox(answer) => WriteError::NotDone(remote_error(answer)),
        404 => WriteError::Refused(answer.problem().problem),
        409 if answer.has_code(&CHANGED_MEANWHILE) => WriteError::Stale,
        _ => answer.write_error(),
    }
}

/// Whether a refusal of one item is about the whole mailbox.
pub(super) fn concerns_mailbox(answer: &Answer) -> bool {
    answer.status == 404 && answer.has_code(&MAILBOX_NOT_FOUND)
}
