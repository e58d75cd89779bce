//! Deleted contacts: `DELETE /contacts/{id}`
//! (<https://learn.microsoft.com/graph/api/contact-delete>), which moves them to Deleted Items.
//!
//! Of a contact that is in Deleted Items already it would be the end, so its place is read before,
//! even where `If-Match` can be trusted: a move need not change the version.

use crate::contact::{ChangeKey, MailboxId};
use crate::http::{CallError, RemoteError, Repeat, WriteError};
use crate::mailbox::graph::batch::{self, ITEMS_MAX, Item};
use crate::mailbox::graph::{Client, errors, read, record, update};
use crate::outside::Method;

/// Deletes each contact, if it still is in the folder and as it was when this was decided.
pub(super) fn delete(
    client: &Client,
    folder: &str,
    contacts: &[(MailboxId, ChangeKey)],
) -> Vec<Result<(), WriteError>> {
    let mut results = Vec::with_capacity(contacts.len());
    let mut halted: Option<RemoteError> = None;
    for group in contacts.chunks(ITEMS_MAX) {
        if let Some(error) = &halted {
            results.extend(
                group
                    .iter()
                    .map(|_| Err(WriteError::NotDone(error.clone()))),
            );
            continue;
        }
        let deleted = delete_group(client, folder, group);
        halted = deleted.iter().find_map(update::halting);
        results.extend(deleted);
    }
    results
}

fn delete_group(
    client: &Client,
    folder: &str,
    contacts: &[(MailboxId, ChangeKey)],
) -> Vec<Result<(), WriteError>> {
    let versions: Vec<_> = contacts
        .iter()
        .map(|(id, change_key)| (id, change_key))
        .collect();
    let mut results = update::verify(client, folder, &versions);
    let mut open: Vec<&mut Result<(), WriteError>> = Vec::new();
    let mut items = Vec::new();
    for (result, (id, change_key)) in results.iter_mut().zip(contacts) {
        if result.is_ok() {
            open.push(result);
            items.push(Item {
                what: "delete a contact",
                method: Method::Delete,
                path: read::path(id),
                if_match: Some(record::etag(change_key)),
                body: None,
                repeat: Repeat::Safe,
            });
        }
    }
    for (result, answer) in open.into_iter().zip(batch::send(client, &items)) {
        *result = match answer.map_err(CallError::into_write_error) {
            Ok(answer) if answer.is_success() => Ok(()),
            // The attempt whose answer was lost has done it.
            Ok(answer) if answer.repeated && errors::is_item_not_found(&answer) => Ok(()),
            Ok(answer) => Err(errors::write_error(&answer)),
            Err(error) => Err(error),
        };
    }
    results
}
