//! `UpdateItem` (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/updateitem-operation-contact>).

use serde_json::Value;

use super::contents;
use super::fields::{Path, Scratch, Slot};
use super::item::{element, item_id};
use super::read::check_change_key;
use super::refusal::{Message, Refusal};
use super::session::Session;
use super::xml::Node;

/// One answer for each change, in their order.
pub(super) fn update(session: &mut Session<'_>, operation: &Node) -> Vec<Message> {
    let strict = operation.attribute("ConflictResolution") == Some("NeverOverwrite");
    let changes = operation
        .child("ItemChanges")
        .map(|changes| changes.children.as_slice());
    let mut messages = Vec::new();
    for change in changes.unwrap_or_default() {
        let id = change.child("ItemId");
        let target = id.and_then(|id| id.attribute("Id")).unwrap_or_default();
        messages.push(match one(session, change, strict) {
            Ok(updated) => {
                let count = Node::t("Count").with_text("0");
                let conflicts = Node::m("ConflictResults").holding(count);
                let items = Node::m("Items").holding(updated);
                Message::success(vec![items, conflicts], target)
            }
            Err(refusal) => Message::refused(refusal, vec![Node::m("Items")], target),
        });
    }
    messages
}

fn one(session: &mut Session<'_>, change: &Node, strict: bool) -> Result<Node, Refusal> {
    let id = change.child("ItemId").ok_or_else(Refusal::malformed_id)?;
    let Some(key) = id.attribute("ChangeKey") else {
        let why = "A change key is required for this operation.";
        return Err(Refusal::new(
            "ErrorChangeKeyRequiredForWriteOperations",
            why,
        ));
    };
    check_change_key(id)?;
    let place = session.item(id.attribute("Id").unwrap_or_default())?;
    session.mailbox_mut(place.mailbox)?.attempts += 1;
    let mailbox = session.mailbox(place.mailbox)?;
    let contact = mailbox
        .contacts
        .get(&place.item)
        .ok_or_else(Refusal::item_not_found)?;
    let every = session.quirks.spontaneous_conflict_every;
    let is_spontaneous = every.is_some_and(|every| mailbox.attempts.is_multiple_of(every.max(1)));
    if strict && (is_spontaneous || mailbox.change_key(contact) != key) {
        let why = "The send or update operation could not be performed because the change key \
                   passed in the request does not match the current change key for the item.";
        return Err(Refusal::new("ErrorIrresolvableConflict", why));
    }
    let mut scratch = Scratch::of(contact);
    let updates = change
        .child("Updates")
        .map(|updates| updates.children.as_slice());
    for update in updates.unwrap_or_default() {
        let (slot, value) = one_property(update)?;
        scratch.set(&slot, value, session.quirks);
    }
    let (store, now) = (session.store, session.now);
    let mailbox = session.mailbox_mut(place.mailbox)?;
    mailbox.apply(place.item, scratch.into_draft(), store, now);
    let contact = mailbox
        .contacts
        .get(&place.item)
        .ok_or_else(Refusal::item_not_found)?;
    let updated = element(contact).holding(item_id(mailbox, contact));
    session.wrote(place);
    Ok(updated)
}

/// The one property that a part of a change sets or clears.
fn one_property(update: &Node) -> Result<(Slot, Value), Refusal> {
    let invalid = |code, why| Err(Refusal::new(code, why));
    if update.name == "AppendToItemField" {
        let why = "Append action is invalid for property.";
        return invalid("ErrorInvalidPropertyAppend", why);
    }
    let path = update.children.first().ok_or_else(Refusal::malformed_id)?;
    let slot = Path::read(path)?.slot();
    let is_required = slot == Some(Slot::Text("postalAddressIndex"));
    if update.name == "DeleteItemField" {
        return match slot {
            Some(Slot::ReadOnly(_) | Slot::SearchKey) | None => invalid(
                "ErrorInvalidPropertyDelete",
                "Delete action is invalid for property.",
            ),
            _ if is_required => invalid(
                "ErrorInvalidPropertyDelete",
                "Delete action is invalid for property.",
            ),
            Some(slot) => Ok((slot, Value::Null)),
        };
    }
    if matches!(slot, Some(Slot::ReadOnly(_) | Slot::SearchKey) | None) {
        return invalid(
            "ErrorInvalidPropertySet",
            "Set action is invalid for property.",
        );
    }
    let contact = update.child("Contact").ok_or_else(Refusal::malformed_id)?;
    let mut set = contents::read(contact)?;
    let (Some((found, value)), true) = (set.pop(), set.is_empty()) else {
        let why = "An object within a change description must contain one and only one property \
                   to modify.";
        return invalid("ErrorIncorrectUpdatePropertyCount", why);
    };
    if slot != Some(found.clone()) {
        let why = "The property in the update does not match the path to the property.";
        return invalid("ErrorUpdatePropertyMismatch", why);
    }
    Ok((found, value))
}
