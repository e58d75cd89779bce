//! Changed contacts
//! (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/updateitem-operation-contact>).
//!
//! Each change names one property and no more, and each contact the version that it is based on:
//! with `NeverOverwrite` Exchange refuses it where the contact has moved on.

use crate::contact::{ChangeKey, MailboxContact};
use crate::http::{CallError, Repeat, WriteError};
use crate::mailbox::MailboxEdit;
use crate::mailbox::ews::get_item::{self, Written};
use crate::mailbox::ews::soap::{self, Message, Operation};
use crate::mailbox::ews::{Client, errors, record};
use crate::mutation::{self, Mutant};
use crate::xml::Writer;

const UPDATE_ITEM: Operation = Operation {
    name: "UpdateItem",
    what: "change contacts",
    items_max: 20,
    repeat: Repeat::Safe,
    splits: false,
};

/// Writes each edit, and reads what the server has made of it.
pub(super) fn update(
    client: &Client,
    edits: &[MailboxEdit],
) -> Vec<Result<MailboxContact, WriteError>> {
    let changing: Vec<&MailboxEdit> = edits
        .iter()
        .filter(|edit| record::is_change(edit))
        .collect();
    let write = |writer: &mut Writer, edits: &[&&MailboxEdit]| {
        let edits: Vec<&MailboxEdit> = edits.iter().map(|edit| **edit).collect();
        write_request(writer, &edits);
    };
    let read = |_: &&MailboxEdit, message: &Message<'_>| updated(message);
    let mut written = soap::send(client, &UPDATE_ITEM, &changing, &write, &read).into_iter();
    let results = edits.iter().map(|edit| {
        if !record::is_change(edit) {
            return Ok(Written {
                id: edit.id.clone(),
                change_key: None,
                edit: None,
            });
        }
        let result = written.next();
        let result = result.unwrap_or_else(|| Err(errors::no_answer(&UPDATE_ITEM)));
        let change_key = result.map_err(CallError::into_write_error)??;
        Ok(Written {
            id: edit.id.clone(),
            change_key,
            edit: Some(edit),
        })
    });
    get_item::with_contents(client, results.collect())
}

fn write_request(writer: &mut Writer, edits: &[&MailboxEdit]) {
    let resolution = if mutation::is_on(Mutant::VersionNotNamed) {
        "AlwaysOverwrite"
    } else {
        "NeverOverwrite"
    };
    let attributes = [
        ("ConflictResolution", resolution),
        ("MessageDisposition", "SaveOnly"),
    ];
    writer.element("m:UpdateItem", &attributes, |writer| {
        writer.element("m:ItemChanges", &[], |writer| {
            for edit in edits {
                writer.element("t:ItemChange", &[], |writer| {
                    let version = [
                        ("Id", edit.id.as_str()),
                        ("ChangeKey", edit.change_key.as_str()),
                    ];
                    writer.empty("t:ItemId", &version);
                    writer.element("t:Updates", &[], |writer| {
                        record::write_updates(writer, edit);
                    });
                });
            }
        });
    });
}

/// The version that the contact has by this write.
fn updated(message: &Message<'_>) -> Result<Option<ChangeKey>, WriteError> {
    match &message.refusal {
        Some(problem) => Err(errors::write_error(problem)),
        None => Ok(message
            .child("Items")
            .and_then(|items| items.children().next())
            .and_then(record::change_key)),
    }
}
