//! `GetItem` (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/getitem-operation>).

use super::item::{Shape, show};
use super::refusal::{Message, Refusal};
use super::session::Session;
use super::xml::Node;

/// One answer for each id, in their order.
pub(super) fn get(session: &mut Session<'_>, operation: &Node) -> Vec<Message> {
    let shape = operation
        .child("ItemShape")
        .map(|shape| Shape::read(shape, true, session.quirks));
    let ids = operation
        .child("ItemIds")
        .map(|ids| ids.children.as_slice());
    let ids = ids.unwrap_or_default();
    let mut messages = Vec::new();
    for id in ids {
        let target = id.attribute("Id").unwrap_or_default();
        let outcome = match &shape {
            Some(Ok(shape)) => one(session, id, shape),
            Some(Err(refusal)) => Err(refusal.clone()),
            None => Err(Refusal::schema("ItemShape is missing.")),
        };
        messages.push(match outcome {
            Ok(item) => Message::success(vec![Node::m("Items").holding(item)], target),
            Err(refusal) => Message::refused(refusal, vec![Node::m("Items")], target),
        });
    }
    messages
}

fn one(session: &Session<'_>, id: &Node, shape: &Shape) -> Result<Node, Refusal> {
    check_change_key(id)?;
    let place = session.item(id.attribute("Id").unwrap_or_default())?;
    let mailbox = session.mailbox(place.mailbox)?;
    let mut found = mailbox.contacts.get(&place.item);
    if session.quirks.answers_another {
        let another = mailbox
            .contacts
            .values()
            .find(|contact| contact.item != place.item);
        found = another.or(found);
    }
    let contact = found.ok_or_else(Refusal::item_not_found)?;
    Ok(show(session.quirks, mailbox, contact, shape))
}

/// A change key need not be current here, but must be one.
pub(super) fn check_change_key(id: &Node) -> Result<(), Refusal> {
    use base64::Engine as _;
    let key = id.attribute("ChangeKey");
    let is_key = |key| {
        base64::engine::general_purpose::STANDARD
            .decode(key)
            .is_ok()
    };
    match key {
        Some(key) if !is_key(key) => {
            let why = "The change key is invalid.";
            Err(Refusal::new("ErrorInvalidChangeKey", why))
        }
        _ => Ok(()),
    }
}
