//! `FindItem` (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/finditem-operation>).

use super::super::graph::contact::Contact;
use super::super::graph::mailbox::Mailbox;
use super::fields::{Path, Slot, text};
use super::item::{Shape, search_key, show};
use super::quirks::SearchKey;
use super::refusal::{Message, Refusal};
use super::session::{FolderPlace, Session};
use super::xml::Node;

/// One answer for each folder, in their order.
pub(super) fn find(session: &mut Session<'_>, operation: &Node) -> Vec<Message> {
    let ids = operation
        .child("ParentFolderIds")
        .map(|ids| ids.children.as_slice());
    let mut messages = Vec::new();
    for id in ids.unwrap_or_default() {
        let target = id.attribute("Id").unwrap_or_default();
        let found = session
            .folder(id)
            .and_then(|place| one(session, place, operation));
        messages.push(match found {
            Ok(root) => Message::success(vec![root], target),
            Err(refusal) => Message::refused(refusal, Vec::new(), target),
        });
    }
    messages
}

fn one(session: &Session<'_>, place: FolderPlace, operation: &Node) -> Result<Node, Refusal> {
    let shape = operation.child("ItemShape");
    let shape = shape.ok_or_else(|| Refusal::schema("ItemShape is missing."))?;
    let shape = Shape::read(shape, false, session.quirks)?.cut();
    let restriction = operation
        .child("Restriction")
        .and_then(|found| found.children.first());
    let restriction = restriction.map(Restriction::read).transpose()?;
    let mailbox = session.mailbox(place.mailbox)?;
    let mut found = candidates(mailbox, place.folder, restriction.as_ref());
    if let Some(restriction) = &restriction {
        // A server that does not show the search key does not search by it either.
        let is_known = session.quirks.search_key == SearchKey::Answered;
        found.retain(|contact| {
            let key = is_known.then(|| search_key(mailbox, contact));
            restriction.meets(contact, key.as_deref())
        });
    }
    if let Some(order) = operation
        .child("SortOrder")
        .and_then(|order| order.children.first())
    {
        sort(&mut found, order)?;
    }
    let limit = match restriction {
        Some(_) => session.quirks.find_restricted_max,
        None => session.quirks.find_max,
    };
    let view = operation.child("IndexedPageItemView");
    let number = |name| view.and_then(|view| view.attribute(name)?.parse::<usize>().ok());
    let size = number("MaxEntriesReturned").unwrap_or(limit).min(limit);
    let offset = number("Offset").unwrap_or(0);
    let next = offset.saturating_add(size);
    let total = found.len();
    let page = found.into_iter().skip(offset).take(size);
    let shown = page.map(|contact| show(session.quirks, mailbox, contact, &shape));
    let root = Node::m("RootFolder")
        .with("IndexedPagingOffset", next.min(total).to_string())
        .with("TotalItemsInView", total.to_string())
        .with("IncludesLastItemInRange", (next >= total).to_string());
    Ok(root.holding(Node::t("Items").holding_all(shown)))
}

/// What could meet a restriction: by the index where it names one property's value.
fn candidates<'m>(
    mailbox: &'m Mailbox,
    folder: u32,
    restriction: Option<&Restriction>,
) -> Vec<&'m Contact> {
    let contact = |item: u64| mailbox.contacts.get(&item);
    if let Some(Restriction::Equal(Slot::Extended(id), value)) = restriction {
        let named = mailbox
            .with_property(id, value)
            .into_iter()
            .filter_map(contact);
        return named.filter(|contact| contact.folder == folder).collect();
    }
    let items = mailbox.folders.get(&folder).map(|folder| &folder.items);
    items
        .into_iter()
        .flatten()
        .copied()
        .filter_map(contact)
        .collect()
}

fn sort(found: &mut [&Contact], order: &Node) -> Result<(), Refusal> {
    let path = order.children.first().ok_or_else(Refusal::malformed_id)?;
    let slot = Path::read(path)?.slot().unwrap_or(Slot::Nowhere);
    found.sort_by_cached_key(|contact| text(contact, &slot).map(|text| text.to_lowercase()));
    if order.attribute("Order") == Some("Descending") {
        found.reverse();
    }
    Ok(())
}

/// What a search asks for.
enum Restriction {
    Equal(Slot, String),
    Exists(Slot),
    And(Vec<Restriction>),
    Or(Vec<Restriction>),
    Not(Vec<Restriction>),
}

impl Restriction {
    fn read(node: &Node) -> Result<Self, Refusal> {
        let slot = || {
            let path = node.children.first().ok_or_else(unsupported)?;
            Path::read(path)?.slot().ok_or_else(unsupported)
        };
        let parts =
            || -> Result<Vec<Self>, Refusal> { node.children.iter().map(Self::read).collect() };
        Ok(match node.name.as_str() {
            "IsEqualTo" => {
                let constant = node.child("FieldURIOrConstant");
                let constant = constant.and_then(|constant| constant.child("Constant"));
                let value = constant.and_then(|constant| constant.attribute("Value"));
                Self::Equal(slot()?, value.ok_or_else(unsupported)?.to_owned())
            }
            "Exists" => Self::Exists(slot()?),
            "And" => Self::And(parts()?),
            "Or" => Self::Or(parts()?),
            "Not" => Self::Not(parts()?),
            _ => return Err(unsupported()),
        })
    }

    fn meets(&self, contact: &Contact, search_key: Option<&str>) -> bool {
        let meets = |part: &Self| part.meets(contact, search_key);
        match self {
            Self::Equal(Slot::SearchKey, value) => search_key == Some(value),
            Self::Exists(Slot::SearchKey) => search_key.is_some(),
            // Exchange compares texts without case.
            Self::Equal(slot, value) => {
                text(contact, slot).is_some_and(|held| held.to_lowercase() == value.to_lowercase())
            }
            Self::Exists(slot) => text(contact, slot).is_some(),
            Self::And(parts) => parts.iter().all(meets),
            Self::Or(parts) => parts.iter().any(meets),
            Self::Not(parts) => !parts.iter().any(meets),
        }
    }
}

fn unsupported() -> Refusal {
    let why = "The restriction or sort order uses a path that is not supported.";
    Refusal::new("ErrorUnsupportedPathForQuery", why)
}
