//! `SyncFolderItems` (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/syncfolderitems-operation>).
//!
//! All that a sync needs is in its state, so that a page can be asked for again. It remembers which
//! items it has reported: a change to one that a client has never seen is its creation.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::ops::Bound;

use super::super::graph::ids::{Id, change_key};
use super::super::graph::mailbox::{Folder, LogEntry, Mailbox};
use super::item::{Shape, show};
use super::refusal::{Message, Refusal};
use super::session::Session;
use super::xml::Node;

/// Where a sync stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    mailbox: u64,
    folder: u32,
    epoch: u64,
    /// What entered the folder up to here is known.
    base: u64,
    /// The last change that was reported.
    after: u64,
    /// Items and placements that this round has reported as new.
    created: Vec<(u64, u32)>,
    /// What a first round has still to report, next one last.
    remaining: Vec<(u64, u32)>,
}

/// The one answer of a sync.
pub(super) fn items(session: &mut Session<'_>, operation: &Node) -> Vec<Message> {
    let message = match page(session, operation) {
        Ok(content) => Message::success(content, ""),
        Err(refusal) => Message::refused(refusal, nothing(), ""),
    };
    vec![message]
}

/// What an answer without a sync holds: an empty state, and the claim to be complete.
pub(super) fn nothing() -> Vec<Node> {
    vec![
        Node::m("SyncState"),
        Node::m("IncludesLastItemInRange").with_text("true"),
    ]
}

fn page(session: &mut Session<'_>, operation: &Node) -> Result<Vec<Node>, Refusal> {
    let shape = operation.child("ItemShape");
    let shape = shape.ok_or_else(|| Refusal::schema("ItemShape is missing."))?;
    let shape = Shape::read(shape, false, session.quirks)?;
    let named = operation
        .child("SyncFolderId")
        .and_then(|id| id.children.first());
    let place = session.folder(named.ok_or_else(folder_not_found)?)?;
    let mailbox = session.mailbox(place.mailbox)?;
    let folder = mailbox
        .folders
        .get(&place.folder)
        .ok_or_else(folder_not_found)?;
    let given = operation
        .child_text("SyncState")
        .filter(|given| !given.is_empty());
    let mut state = match given {
        Some(given) => State::read(given, mailbox, place.folder)?,
        None => State::first(mailbox, place.folder, folder),
    };
    let asked = operation
        .child_text("MaxChangesReturned")
        .and_then(|asked| asked.parse().ok());
    let changes_max = asked.unwrap_or(512).min(session.quirks.changes_max);
    let ignored: Vec<&str> = operation
        .child("Ignore")
        .into_iter()
        .flat_map(|ignored| &ignored.children)
        .filter_map(|id| id.attribute("Id"))
        .collect();
    let mut changes = Vec::new();
    if session.quirks.phantom_item && given.is_none() {
        changes.push(Node::t("Create").holding(phantom(mailbox, place.folder)));
    }
    let mut ended = false;
    if !session.quirks.sync_never_ends {
        let reported = state.advance(folder, mailbox, changes_max);
        ended = state.end(folder);
        let view = |change: &Change| change.show(session.quirks, mailbox, place.folder, &shape);
        let wanted = reported
            .iter()
            .filter(|change| !change.is_one_of(mailbox, &ignored));
        changes.extend(wanted.map(view));
    }
    Ok(vec![
        Node::m("SyncState").with_text(state.write()),
        Node::m("IncludesLastItemInRange").with_text(ended.to_string()),
        Node::m("Changes").holding_all(changes),
    ])
}

fn folder_not_found() -> Refusal {
    let why = "The folder to synchronize could not be found.";
    Refusal::new("ErrorSyncFolderNotFound", why)
}

/// An item that is reported, and that no read finds.
fn phantom(mailbox: &Mailbox, folder: u32) -> Node {
    let id = Id::Placed {
        mailbox: mailbox.number,
        folder,
        item: u64::MAX,
        placement: 0,
    };
    let key = change_key(mailbox.number, 0);
    let id = Node::t("ItemId")
        .with("Id", id.encode())
        .with("ChangeKey", key);
    Node::t("Contact").holding(id)
}

/// What a sync reports of one item.
enum Change {
    Create(u64),
    Update(u64),
    Delete(LogEntry),
}

impl Change {
    fn is_one_of(&self, mailbox: &Mailbox, ignored: &[&str]) -> bool {
        let (Self::Create(item) | Self::Update(item)) = self else {
            return false;
        };
        let contact = mailbox.contacts.get(item);
        let id = contact.map(|contact| mailbox.contact_id(contact, false));
        id.is_some_and(|id| ignored.contains(&id.as_str()))
    }

    fn show(
        &self,
        quirks: &super::quirks::EwsQuirks,
        mailbox: &Mailbox,
        folder: u32,
        shape: &Shape,
    ) -> Node {
        let (name, item) = match self {
            Self::Create(item) => ("Create", item),
            Self::Update(item) => ("Update", item),
            Self::Delete(entry) => {
                let id = mailbox.id_of(entry.item, folder, entry.placement, false);
                let key = change_key(mailbox.number, 0);
                let id = Node::t("ItemId").with("Id", id).with("ChangeKey", key);
                return Node::t("Delete").holding(id);
            }
        };
        let shown = mailbox
            .contacts
            .get(item)
            .map(|contact| show(quirks, mailbox, contact, shape));
        Node::t(name).holding_all(shown)
    }
}

impl State {
    /// A sync that begins reports everything, the newest first (since Exchange 2010 SP2).
    fn first(mailbox: &Mailbox, number: u32, folder: &Folder) -> Self {
        let there = folder.log.entries.values().filter(|entry| !entry.gone);
        let last = folder.log.entries.keys().next_back().copied().unwrap_or(0);
        Self {
            mailbox: mailbox.number,
            folder: number,
            epoch: mailbox.sync_epoch,
            base: 0,
            after: last,
            created: Vec::new(),
            remaining: there.map(|entry| (entry.item, entry.placement)).collect(),
        }
    }

    fn read(text: &str, mailbox: &Mailbox, folder: u32) -> Result<Self, Refusal> {
        let invalid = || {
            let why = "Synchronization state data is corrupt or otherwise invalid.";
            Refusal::new("ErrorInvalidSyncStateData", why)
        };
        let bytes = STANDARD.decode(text).map_err(|_| invalid())?;
        let state: Self = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
        let is_current = state.mailbox == mailbox.number
            && state.folder == folder
            && state.epoch == mailbox.sync_epoch;
        if is_current {
            Ok(state)
        } else {
            Err(invalid())
        }
    }

    fn write(&self) -> String {
        STANDARD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// The next changes, so many at most.
    fn advance(&mut self, folder: &Folder, mailbox: &Mailbox, changes_max: usize) -> Vec<Change> {
        let mut changes = Vec::new();
        while changes.len() < changes_max
            && let Some((item, placement)) = self.remaining.pop()
        {
            let contact = mailbox.contacts.get(&item);
            let is_there = contact.is_some_and(|contact| {
                contact.folder == self.folder && contact.placement == placement
            });
            if is_there {
                changes.push(Change::Create(item));
            }
            if self.remaining.is_empty() {
                self.base = self.after;
            }
        }
        if !self.remaining.is_empty() {
            return changes;
        }
        let range = (Bound::Excluded(self.after), Bound::Unbounded);
        for (sequence, entry) in folder.log.entries.range(range) {
            if changes.len() >= changes_max {
                break;
            }
            self.after = *sequence;
            let placed = (entry.item, entry.placement);
            let is_known = entry.entered <= self.base || self.created.contains(&placed);
            match (entry.gone, is_known) {
                (true, true) => changes.push(Change::Delete(*entry)),
                (true, false) => {}
                (false, true) => changes.push(Change::Update(entry.item)),
                (false, false) => {
                    self.created.push(placed);
                    changes.push(Change::Create(entry.item));
                }
            }
        }
        changes
    }

    /// Whether all is reported. Then the next round begins.
    fn end(&mut self, folder: &Folder) -> bool {
        let range = (Bound::Excluded(self.after), Bound::Unbounded);
        let ended = self.remaining.is_empty() && folder.log.entries.range(range).next().is_none();
        if ended {
            self.base = self.after;
            self.created.clear();
        }
        ended
    }
}
