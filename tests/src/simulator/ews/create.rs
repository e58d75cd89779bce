//! `CreateItem` (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/createitem-operation-contact>).

use super::super::graph::mailbox::{CONTACTS, DELETED_ITEMS, ROOT};
use super::contents;
use super::fields::Scratch;
use super::item::{element, item_id};
use super::refusal::{Message, Refusal};
use super::session::{FolderPlace, ItemPlace, Session, TOP};
use super::xml::Node;

/// One answer for each item, in their order.
pub(super) fn create(session: &mut Session<'_>, operation: &Node) -> Vec<Message> {
    let folder = folder(session, operation);
    let items = operation
        .child("Items")
        .map(|items| items.children.as_slice());
    let mut messages = Vec::new();
    for item in items.unwrap_or_default() {
        let outcome = folder.clone().and_then(|folder| one(session, folder, item));
        messages.push(match outcome {
            Ok(created) => Message::success(vec![Node::m("Items").holding(created)], ""),
            Err(refusal) => Message::refused(refusal, vec![Node::m("Items")], ""),
        });
    }
    messages
}

fn folder(session: &Session<'_>, operation: &Node) -> Result<FolderPlace, Refusal> {
    let named = operation
        .child("SavedItemFolderId")
        .and_then(|id| id.children.first());
    let place = match named {
        Some(id) => session.folder(id)?,
        None => FolderPlace {
            mailbox: session.own.ok_or_else(Refusal::folder_not_found)?,
            folder: CONTACTS,
        },
    };
    if matches!(place.folder, TOP | ROOT | DELETED_ITEMS) {
        let why = "The contact can only be created in a contacts folder.";
        return Err(Refusal::new(
            "ErrorCannotCreateContactInNonContactFolder",
            why,
        ));
    }
    Ok(place)
}

fn one(session: &mut Session<'_>, folder: FolderPlace, item: &Node) -> Result<Node, Refusal> {
    let mut scratch = Scratch::default();
    for (slot, value) in contents::read(item)? {
        scratch.set(&slot, value, session.quirks);
    }
    let (store, now) = (session.store, session.now);
    let mailbox = session.mailbox_mut(folder.mailbox)?;
    let number = mailbox.insert(folder.folder, scratch.into_draft(), store, now);
    let contact = mailbox
        .contacts
        .get(&number)
        .ok_or_else(Refusal::item_not_found)?;
    let created = element(contact).holding(item_id(mailbox, contact));
    session.wrote(ItemPlace {
        mailbox: folder.mailbox,
        item: number,
    });
    Ok(created)
}
