//! `GetFolder`, `FindFolder` and `SyncFolderHierarchy`
//! (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/getfolder-operation>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::super::graph::ids::Id;
use super::super::graph::mailbox::{CONTACTS, DELETED_ITEMS, Mailbox, ROOT};
use super::refusal::{Message, Refusal};
use super::session::{FolderPlace, Session, TOP};
use super::xml::Node;

/// One answer for each folder, in their order.
pub(super) fn get(session: &mut Session<'_>, operation: &Node) -> Vec<Message> {
    let shape = FolderShape::read(operation);
    let ids = operation
        .child("FolderIds")
        .map(|ids| ids.children.as_slice());
    let mut messages = Vec::new();
    for id in ids.unwrap_or_default() {
        let target = id.attribute("Id").unwrap_or_default();
        let found = session.folder(id).and_then(|place| {
            let mailbox = session.mailbox(place.mailbox)?;
            Ok(shape.show(mailbox, place.folder))
        });
        messages.push(match found {
            Ok(folder) => Message::success(vec![Node::m("Folders").holding(folder)], target),
            Err(refusal) => Message::refused(refusal, vec![Node::m("Folders")], target),
        });
    }
    messages
}

/// The folders below each of those named.
pub(super) fn find(session: &mut Session<'_>, operation: &Node) -> Vec<Message> {
    let shape = FolderShape::read(operation);
    let deep = operation.attribute("Traversal") == Some("Deep");
    let ids = operation
        .child("ParentFolderIds")
        .map(|ids| ids.children.as_slice());
    let mut messages = Vec::new();
    for id in ids.unwrap_or_default() {
        let target = id.attribute("Id").unwrap_or_default();
        let found = session.folder(id).and_then(|place| {
            let mailbox = session.mailbox(place.mailbox)?;
            let below = below(mailbox, place.folder, deep);
            let count = below.len().to_string();
            let shown = below.into_iter().map(|folder| shape.show(mailbox, folder));
            let folders = Node::t("Folders").holding_all(shown);
            let root = Node::m("RootFolder")
                .with("TotalItemsInView", count)
                .with("IncludesLastItemInRange", "true");
            Ok(root.holding(folders))
        });
        messages.push(match found {
            Ok(root) => Message::success(vec![root], target),
            Err(refusal) => Message::refused(refusal, Vec::new(), target),
        });
    }
    messages
}

/// Every folder below this one, or only the next ones.
fn below(mailbox: &Mailbox, parent: u32, deep: bool) -> Vec<u32> {
    let children = if parent == TOP {
        vec![ROOT]
    } else {
        mailbox.children(parent)
    };
    let mut found = Vec::new();
    for child in children {
        found.push(child);
        if deep {
            found.extend(below(mailbox, child, true));
        }
    }
    found
}

struct FolderShape {
    all: bool,
    named: Vec<String>,
}

impl FolderShape {
    fn read(operation: &Node) -> Self {
        let shape = operation.child("FolderShape");
        let named = shape.and_then(|shape| shape.child("AdditionalProperties"));
        let named = named.into_iter().flat_map(|named| &named.children);
        let named = named.filter_map(|path| path.attribute("FieldURI").map(str::to_owned));
        Self {
            all: shape.and_then(|shape| shape.child_text("BaseShape")) != Some("IdOnly"),
            named: named.collect(),
        }
    }

    fn wants(&self, uri: &str) -> bool {
        self.all || self.named.iter().any(|named| named == uri)
    }

    fn show(&self, mailbox: &Mailbox, number: u32) -> Node {
        let found = mailbox.folders.get(&number);
        let is_contacts = number > DELETED_ITEMS || number == CONTACTS;
        let key = |node: Node, number| {
            node.with("Id", id(mailbox, number))
                .with("ChangeKey", "AQAAAA==")
        };
        let name = if is_contacts {
            "ContactsFolder"
        } else {
            "Folder"
        };
        let mut node = Node::t(name).holding(key(Node::t("FolderId"), number));
        let parent = match found {
            Some(_) if number == ROOT => Some(TOP),
            found => found.map(|folder| folder.parent),
        };
        if let Some(parent) = parent.filter(|_| self.wants("folder:ParentFolderId")) {
            node = node.holding(key(Node::t("ParentFolderId"), parent));
        }
        if self.wants("folder:FolderClass") && number != TOP {
            let class = if is_contacts {
                "IPF.Contact"
            } else {
                "IPF.Note"
            };
            node = node.holding(Node::t("FolderClass").with_text(class));
        }
        if self.wants("folder:DisplayName") {
            let name = found.map(|folder| folder.name.clone()).unwrap_or_default();
            node = node.holding(Node::t("DisplayName").with_text(name));
        }
        let total = found.map_or(0, |folder| folder.items.len());
        let children = below(mailbox, number, false).len();
        let counts = [("TotalCount", total), ("ChildFolderCount", children)];
        for (element, count) in counts {
            if self.wants(&format!("folder:{element}")) {
                node = node.holding(Node::t(element).with_text(count.to_string()));
            }
        }
        self.distinguished(node, number)
    }

    fn distinguished(&self, node: Node, number: u32) -> Node {
        let name = match number {
            TOP => "root",
            ROOT => "msgfolderroot",
            CONTACTS => "contacts",
            DELETED_ITEMS => "deleteditems",
            _ => return node,
        };
        if self.wants("folder:DistinguishedFolderId") {
            node.holding(Node::t("DistinguishedFolderId").with_text(name))
        } else {
            node
        }
    }
}

fn id(mailbox: &Mailbox, folder: u32) -> String {
    let mailbox = mailbox.number;
    Id::Folder { mailbox, folder }.encode()
}

/// What a sync of folders has reported: name and parent by number.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Hierarchy {
    mailbox: u64,
    root: u32,
    epoch: u64,
    folders: BTreeMap<u32, (String, u32)>,
}

/// The one answer of a sync of folders.
pub(super) fn sync(session: &mut Session<'_>, operation: &Node) -> Vec<Message> {
    let message = match changes(session, operation) {
        Ok(content) => Message::success(content, ""),
        Err(refusal) => {
            let nothing = vec![
                Node::m("SyncState"),
                Node::m("IncludesLastFolderInRange").with_text("true"),
            ];
            Message::refused(refusal, nothing, "")
        }
    };
    vec![message]
}

fn changes(session: &Session<'_>, operation: &Node) -> Result<Vec<Node>, Refusal> {
    let named = operation
        .child("SyncFolderId")
        .and_then(|id| id.children.first());
    let place = match named {
        Some(named) => session.folder(named)?,
        None => FolderPlace {
            mailbox: session.own.ok_or_else(Refusal::folder_not_found)?,
            folder: TOP,
        },
    };
    let mailbox = session.mailbox(place.mailbox)?;
    let given = operation
        .child_text("SyncState")
        .filter(|given| !given.is_empty());
    // Whether the root was named, or left out, belongs to the state too.
    let root = if named.is_some() {
        place.folder
    } else {
        u32::MAX
    };
    let known = match given {
        Some(given) => read_state(given, mailbox, root)?,
        None => BTreeMap::new(),
    };
    let shape = FolderShape::read(operation);
    let mut now = BTreeMap::new();
    let mut changes = Vec::new();
    for number in below(mailbox, place.folder, true) {
        let Some(folder) = mailbox.folders.get(&number) else {
            continue;
        };
        let seen = (folder.name.clone(), folder.parent);
        let change = match known.get(&number) {
            None => Some("Create"),
            Some(known) if *known != seen => Some("Update"),
            Some(_) => None,
        };
        changes.extend(change.map(|name| Node::t(name).holding(shape.show(mailbox, number))));
        now.insert(number, seen);
    }
    for gone in known.keys().filter(|number| !now.contains_key(number)) {
        let id = Node::t("FolderId").with("Id", id(mailbox, *gone));
        changes.push(Node::t("Delete").holding(id));
    }
    let state = Hierarchy {
        mailbox: mailbox.number,
        root,
        epoch: mailbox.sync_epoch,
        folders: now,
    };
    let state = STANDARD.encode(serde_json::to_vec(&state).unwrap_or_default());
    Ok(vec![
        Node::m("SyncState").with_text(state),
        Node::m("IncludesLastFolderInRange").with_text("true"),
        Node::m("Changes").holding_all(changes),
    ])
}

fn read_state(
    text: &str,
    mailbox: &Mailbox,
    root: u32,
) -> Result<BTreeMap<u32, (String, u32)>, Refusal> {
    let bytes = STANDARD.decode(text).unwrap_or_default();
    let state: Hierarchy = serde_json::from_slice(&bytes).unwrap_or_default();
    let is_current =
        state.mailbox == mailbox.number && state.root == root && state.epoch == mailbox.sync_epoch;
    if is_current {
        Ok(state.folders)
    } else {
        let why = "Synchronization state data is corrupt or otherwise invalid.";
        Err(Refusal::new("ErrorInvalidSyncStateData", why))
    }
}
