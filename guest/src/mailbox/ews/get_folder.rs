//! Folders by their well-known names
//! (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/getfolder-operation>).

use crate::http::{RemoteError, Repeat};
use crate::mailbox::MailboxIdentity;
use crate::mailbox::ews::Client;
use crate::mailbox::ews::errors;
use crate::mailbox::ews::soap::{self, Message, Operation, TYPES};
use crate::xml::{Element, Writer};

const IDENTITY: Operation = Operation {
    name: "GetFolder",
    what: "see whose mailbox it is",
    items_max: 2,
    repeat: Repeat::Safe,
    splits: false,
};

const PROBE: Operation = Operation {
    what: "look at the contacts folder",
    ..IDENTITY
};

const TRASH: Operation = Operation {
    what: "find the folder of deleted items",
    ..IDENTITY
};

/// Whose mailbox this is. Exchange Server shows nobody's immutable id; the id of the topmost folder
/// holds that of the mailbox itself, and does not change when a mailbox is renamed.
pub(super) fn identity(client: &Client) -> Result<MailboxIdentity, RemoteError> {
    let ids = ids(client, &IDENTITY, &["msgfolderroot", "contacts"]).map_err(errors::not_open)?;
    let mut ids = ids.into_iter();
    let mut next = || ids.next().unwrap_or_default();
    Ok(MailboxIdentity {
        service: "ews".into(),
        user: next(),
        folder: next(),
        // By which it was asked for: Exchange does not say another one back.
        address: Some(client.address.clone()),
    })
}

/// Another read of the same mailbox: of the very folder that is synced.
pub(super) fn probe(client: &Client, folder: &str) -> Result<(), RemoteError> {
    let write = |writer: &mut Writer| {
        write_request(writer, |writer| {
            writer.empty("t:FolderId", &[("Id", folder)]);
        });
    };
    soap::send_one(client, &PROBE, &write, &id)?.map(|_| ())
}

/// The id of Deleted Items.
pub(super) fn deleted_items(client: &Client) -> Result<String, RemoteError> {
    let ids = ids(client, &TRASH, &["deleteditems"])?;
    Ok(ids.into_iter().next().unwrap_or_default())
}

/// Writes a folder by its well-known name, in the mailbox of the configured address: without it, it
/// would be the mailbox of whoever signs in.
pub(super) fn write_distinguished(writer: &mut Writer, client: &Client, name: &str) {
    writer.element("t:DistinguishedFolderId", &[("Id", name)], |writer| {
        writer.element("t:Mailbox", &[], |writer| {
            writer.text_element("t:EmailAddress", &[], &client.address);
        });
    });
}

fn ids(client: &Client, operation: &Operation, names: &[&str]) -> Result<Vec<String>, RemoteError> {
    let write = |writer: &mut Writer, names: &[&&str]| {
        write_request(writer, |writer| {
            for name in names {
                write_distinguished(writer, client, name);
            }
        });
    };
    let read = |_: &&str, message: &Message<'_>| id(message);
    let folders = soap::send(client, operation, names, &write, &read);
    let ids = folders
        .into_iter()
        .map(|id| id.map_err(|failure| failure.error)?);
    ids.collect()
}

fn write_request(writer: &mut Writer, folders: impl FnOnce(&mut Writer)) {
    writer.element("m:GetFolder", &[], |writer| {
        writer.element("m:FolderShape", &[], |writer| {
            writer.text_element("t:BaseShape", &[], "IdOnly");
        });
        writer.element("m:FolderIds", &[], folders);
    });
}

fn id(message: &Message<'_>) -> Result<String, RemoteError> {
    if let Some(problem) = &message.refusal {
        // A mailbox whose folder cannot be opened is closed to this account.
        return Err(errors::closed(problem.clone()));
    }
    let mut folders = message
        .child("Folders")
        .into_iter()
        .flat_map(Element::children);
    let id = folders.find_map(|folder| folder.child(TYPES, "FolderId")?.attribute("Id"));
    let id = id.filter(|id| !id.is_empty());
    id.map(str::to_owned)
        .ok_or_else(|| message.misfit("a folder without an id"))
}
