//! `ConvertId` (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/convertid-operation>).
//!
//! All formats of an id are the same text here: no client that syncs contacts reads them.

use super::super::graph::ids::Id;
use super::refusal::{Message, Refusal};
use super::session::Session;
use super::xml::Node;

/// One answer for each id, in their order. Ids that are none are refused one by one.
pub(super) fn convert(session: &mut Session<'_>, operation: &Node) -> Vec<Message> {
    let format = operation.attribute("DestinationFormat").unwrap_or_default();
    let ids = operation
        .child("SourceIds")
        .map(|ids| ids.children.as_slice());
    let mut messages = Vec::new();
    for source in ids.unwrap_or_default() {
        let id = source.attribute("Id").unwrap_or_default();
        let number = match Id::decode(id) {
            Some(
                Id::Placed { mailbox, .. }
                | Id::Folder { mailbox, .. }
                | Id::Immutable { mailbox, .. },
            ) => Some(mailbox),
            None => None,
        };
        let mut mailboxes = session.mailboxes.iter();
        let owner = mailboxes.find(|mailbox| Some(mailbox.number) == number);
        messages.push(match owner {
            Some(owner) => {
                let converted = Node::m("AlternateId")
                    .with("Format", format)
                    .with("Id", id)
                    .with("Mailbox", owner.address.clone());
                Message::success(vec![converted], id)
            }
            None => Message::refused(Refusal::malformed_id(), Vec::new(), id),
        });
    }
    messages
}
