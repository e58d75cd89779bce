//! Contact folders that are not in Deleted Items
//! (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/findfolder-operation>).

use std::collections::{BTreeMap, BTreeSet};

use crate::http::{RemoteError, Repeat};
use crate::mailbox::ews::soap::{self, Message, Operation, TYPES};
use crate::mailbox::ews::{Client, errors, get_folder};
use crate::mailbox::folders::{FOLDERS_MAX, Listed};
use crate::xml::{Element, Writer};

const FIND_FOLDER: Operation = Operation {
    name: "FindFolder",
    what: "list the contact folders",
    items_max: 1,
    repeat: Repeat::Safe,
    splits: false,
};

/// Folders of one answer; Exchange caps it at 1,000
/// (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/ews-throttling-in-exchange>).
const PAGE_FOLDERS_MAX: usize = 1_000;

/// Pages of folders of all kinds that are read: a mailbox with more of them cannot be told.
const PAGES_MAX: usize = 10;

/// Contact folders, and those that add-ins make with classes of their own below it.
const CONTACT_FOLDER: &str = "IPF.Contact";

/// Those that Outlook and Skype keep for themselves, and show to nobody as folders
/// (<https://github.com/ecederstrand/exchangelib>, `known_folders.py`).
const HIDDEN_FOLDERS: [&str; 5] = [
    "ipf.contact.galcontacts",
    "ipf.contact.moc.imcontactlist",
    "ipf.contact.moc.quickcontacts",
    "ipf.contact.peopleconnect",
    "ipf.contact.recipientcache",
];

/// A folder and its place.
struct Folder {
    parent: String,
    is_of_contacts: bool,
}

/// All of them besides the synced one, as far as there are not too many.
pub(super) fn list(client: &Client, synced: &str) -> Result<Listed, RemoteError> {
    let mut folders: BTreeMap<String, Folder> = BTreeMap::new();
    let mut complete = false;
    for _ in 0..PAGES_MAX {
        let page = page(client, folders.len())?;
        let is_empty = page.folders.is_empty();
        folders.extend(page.folders);
        complete = page.is_last;
        if complete || is_empty {
            break;
        }
    }
    let trash = get_folder::deleted_items(client)?;
    let live: BTreeSet<String> = folders
        .iter()
        .filter(|(id, folder)| folder.is_of_contacts && *id != synced)
        .filter(|(id, _)| !is_below(id, &trash, &folders))
        .map(|(id, _)| id.clone())
        .collect();
    complete &= live.len() <= FOLDERS_MAX;
    Ok(Listed { live, complete })
}

struct Page {
    folders: Vec<(String, Folder)>,
    is_last: bool,
}

fn page(client: &Client, offset: usize) -> Result<Page, RemoteError> {
    let write = |writer: &mut Writer| {
        writer.element("m:FindFolder", &[("Traversal", "Deep")], |writer| {
            writer.element("m:FolderShape", &[], |writer| {
                writer.text_element("t:BaseShape", &[], "IdOnly");
                writer.element("t:AdditionalProperties", &[], |writer| {
                    for uri in ["folder:FolderClass", "folder:ParentFolderId"] {
                        writer.empty("t:FieldURI", &[("FieldURI", uri)]);
                    }
                });
            });
            let view = [
                ("MaxEntriesReturned", &*PAGE_FOLDERS_MAX.to_string()),
                ("Offset", &*offset.to_string()),
                ("BasePoint", "Beginning"),
            ];
            writer.empty("m:IndexedPageFolderView", &view);
            writer.element("m:ParentFolderIds", &[], |writer| {
                get_folder::write_distinguished(writer, client, "msgfolderroot");
            });
        });
    };
    soap::send_one(client, &FIND_FOLDER, &write, &read)?
}

fn read(message: &Message<'_>) -> Result<Page, RemoteError> {
    if let Some(problem) = &message.refusal {
        return Err(errors::closed(problem.clone()));
    }
    let root = message.child("RootFolder");
    let Some((root, folders)) = root.and_then(|root| Some((root, root.child(TYPES, "Folders")?)))
    else {
        return Err(message.misfit("a list of folders that is none"));
    };
    Ok(Page {
        folders: folders.children().filter_map(folder).collect(),
        is_last: root.attribute("IncludesLastItemInRange") != Some("false"),
    })
}

fn folder(element: &Element) -> Option<(String, Folder)> {
    let id = element.child(TYPES, "FolderId")?.attribute("Id")?;
    let class = element
        .child(TYPES, "FolderClass")
        .map(|class| class.text().trim());
    let parent = element
        .child(TYPES, "ParentFolderId")
        .and_then(|parent| parent.attribute("Id"));
    let folder = Folder {
        parent: parent.unwrap_or_default().to_owned(),
        is_of_contacts: class.is_some_and(is_contact_folder),
    };
    Some((id.to_owned(), folder))
}

fn is_contact_folder(class: &str) -> bool {
    let class = class.to_ascii_lowercase();
    let below = class.strip_prefix(&CONTACT_FOLDER.to_ascii_lowercase());
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        && !HIDDEN_FOLDERS.contains(&&*class)
}

/// Whether a folder lies in another one, however deep. A chain without an end leads nowhere.
fn is_below(id: &str, top: &str, folders: &BTreeMap<String, Folder>) -> bool {
    let mut at = id;
    for _ in 0..=folders.len() {
        if at == top {
            return true;
        }
        let Some(folder) = folders.get(at) else {
            return false;
        };
        at = &folder.parent;
    }
    false
}
