//! `DeleteItem` (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/deleteitem-operation>).

use super::super::graph::mailbox::DELETED_ITEMS;
use super::refusal::{Message, Refusal};
use super::session::Session;
use super::xml::Node;

/// One answer for each id, in their order. A change key is no precondition here.
pub(super) fn delete(session: &mut Session<'_>, operation: &Node) -> Vec<Message> {
    let softly = operation.attribute("DeleteType") == Some("MoveToDeletedItems");
    let ids = operation
        .child("ItemIds")
        .map(|ids| ids.children.as_slice());
    let mut messages = Vec::new();
    for id in ids.unwrap_or_default() {
        let target = id.attribute("Id").unwrap_or_default();
        messages.push(match one(session, target, softly) {
            Ok(()) => Message::success(Vec::new(), target),
            Err(refusal) => Message::refused(refusal, Vec::new(), target),
        });
    }
    messages
}

fn one(session: &mut Session<'_>, id: &str, softly: bool) -> Result<(), Refusal> {
    let place = session.item(id)?;
    if session.quirks.undeletable.as_deref() == Some(id) {
        let why = "The object cannot be deleted.";
        return Err(Refusal::new("ErrorCannotDeleteObject", why));
    }
    let (store, now) = (session.store, session.now);
    let mailbox = session.mailbox_mut(place.mailbox)?;
    if softly {
        mailbox.move_to(place.item, DELETED_ITEMS, store, now);
    } else {
        // What is deleted softly goes to the dumpster, which no folder shows.
        mailbox.purge(place.item, store, now);
    }
    Ok(())
}
