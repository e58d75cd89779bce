//! Deleted contacts
//! (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/deleteitem-operation>),
//! moved to Deleted Items.
//!
//! A deletion takes no version, so each contact's is read immediately before and compared.

use crate::contact::{ChangeKey, MailboxId};
use crate::http::{CallError, Repeat, WriteError};
use crate::mailbox::ews::soap::{self, Message, Operation};
use crate::mailbox::ews::{Client, errors, get_item};
use crate::xml::Writer;

const DELETE_ITEM: Operation = Operation {
    name: "DeleteItem",
    what: "delete contacts",
    items_max: 20,
    repeat: Repeat::Safe,
    splits: false,
};

/// Deletes each contact, if it still is in the folder and as it was when this was decided.
pub(super) fn delete(
    client: &Client,
    folder: &str,
    contacts: &[(MailboxId, ChangeKey)],
) -> Vec<Result<(), WriteError>> {
    let versions = get_item::verify(client, folder, contacts);
    let verified = versions.iter().zip(contacts);
    let unchanged: Vec<&(MailboxId, ChangeKey)> = verified
        .filter(|(version, _)| version.is_ok())
        .map(|(_, contact)| contact)
        .collect();
    let write = |writer: &mut Writer, contacts: &[&&(MailboxId, ChangeKey)]| {
        let contacts: Vec<&(MailboxId, ChangeKey)> = contacts.iter().map(|known| **known).collect();
        write_request(writer, &contacts);
    };
    let read = |_: &&(MailboxId, ChangeKey), message: &Message<'_>| deleted(message);
    let mut deleted = soap::send(client, &DELETE_ITEM, &unchanged, &write, &read).into_iter();
    let results = versions.into_iter().map(|version| {
        version?;
        let result = deleted.next();
        let result = result.unwrap_or_else(|| Err(errors::no_answer(&DELETE_ITEM)));
        result.map_err(CallError::into_write_error)?
    });
    results.collect()
}

fn write_request(writer: &mut Writer, contacts: &[&(MailboxId, ChangeKey)]) {
    let attributes = [("DeleteType", "MoveToDeletedItems")];
    writer.element("m:DeleteItem", &attributes, |writer| {
        writer.element("m:ItemIds", &[], |writer| {
            for (id, change_key) in contacts {
                let version = [("Id", id.as_str()), ("ChangeKey", change_key.as_str())];
                writer.empty("t:ItemId", &version);
            }
        });
    });
}

fn deleted(message: &Message<'_>) -> Result<(), WriteError> {
    match &message.refusal {
        None => Ok(()),
        // The attempt whose answer was lost has done it.
        Some(_) if message.repeated && errors::is_item_not_found(message) => Ok(()),
        // Gone since its version was read, into another folder perhaps.
        Some(_) if errors::is_item_not_found(message) => Err(WriteError::Stale),
        Some(problem) => Err(errors::write_error(problem)),
    }
}
