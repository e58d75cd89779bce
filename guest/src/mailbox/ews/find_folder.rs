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
};

/// Folders of one answer; Exchange caps it at 1,000
/// (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/ews-throttling-in-exchange>).
const PAGE_FOLDERS_MAX: usize = 1_000;

/// Pages of folders of all kinds that are read: a mailbox with more of them cannot be told.
const PAGES_MAX: usize = 10;

/// Contact folders alone: those of Skype, of recipients typed before and of the address list have
/// classes of their own below it.
const CONTACT_FOLDER: &str = "IPF.Contact";

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
        is_of_contacts: class.is_some_and(|class| class.eq_ignore_ascii_case(CONTACT_FOLDER)),
    };
    Some((id.to_owned(), folder))
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
