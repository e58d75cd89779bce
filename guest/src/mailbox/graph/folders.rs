//! Contact folders that are not in Deleted Items: `GET /contactFolders` and `…/childFolders`
//! (<https://learn.microsoft.com/graph/api/user-list-contactfolders>). The list leaves the default
//! folder out; its children are asked for by its id.

use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::http::{Call, RemoteError, escaped};
use crate::mailbox::graph::{Client, IMMUTABLE_IDS, delta, errors};

/// Folders beyond this many are not looked at.
const FOLDERS_MAX: usize = 500;

/// What is known of the folders besides the default one.
#[derive(Clone, Debug, Default)]
pub(super) struct Folders {
    /// Live ones.
    live: BTreeSet<String>,
    /// Whether these were all of them.
    complete: bool,
    /// Those that were met and are not live: Deleted Items above all.
    dead: BTreeSet<String>,
}

/// Finds out of each of these folders whether it is live. The list is asked for only when it is
/// needed, and again for a folder that was not met before: that one may be newer than the list, and
/// a contact in it must not be taken for deleted.
pub(super) fn learn(
    client: &Client,
    default_folder: &str,
    remembered: &RefCell<Option<Folders>>,
    met: &BTreeSet<&str>,
) -> Result<(), RemoteError> {
    if met.is_empty() {
        return Ok(());
    }
    let before = remembered.take().unwrap_or_default();
    let known = |folder: &&str| before.live.contains(*folder) || before.dead.contains(*folder);
    if met.iter().all(known) {
        *remembered.borrow_mut() = Some(before);
        return Ok(());
    }
    let mut folders = list(client, default_folder)?;
    folders.dead = before.dead;
    if folders.complete {
        let dead = met.iter().filter(|folder| !folders.live.contains(**folder));
        let dead: Vec<String> = dead.map(|folder| (*folder).to_owned()).collect();
        folders.dead.extend(dead);
    }
    *remembered.borrow_mut() = Some(folders);
    Ok(())
}

/// Whether a folder that was learnt about is live; `None` where there are too many to tell.
pub(super) fn is_live(remembered: &RefCell<Option<Folders>>, folder: &str) -> Option<bool> {
    let known = remembered.borrow();
    let known = known.as_ref()?;
    if known.live.contains(folder) {
        return Some(true);
    }
    known.dead.contains(folder).then_some(false)
}

/// The live folders besides the default one, as far as they are known.
pub(super) fn live(
    client: &Client,
    default_folder: &str,
    remembered: &RefCell<Option<Folders>>,
) -> Result<BTreeSet<String>, RemoteError> {
    if let Some(known) = remembered.borrow().as_ref() {
        return Ok(known.live.clone());
    }
    let folders = list(client, default_folder)?;
    let live = folders.live.clone();
    *remembered.borrow_mut() = Some(folders);
    Ok(live)
}

fn list(client: &Client, default_folder: &str) -> Result<Folders, RemoteError> {
    let mut ids = BTreeSet::new();
    let mut pages = vec![page(client, ""), children(client, default_folder)];
    while !pages.is_empty() {
        let mut next = Vec::new();
        for answer in client.http.send(std::mem::take(&mut pages)) {
            let answer = answer.map_err(|failure| failure.error)?;
            if errors::is_item_not_found(&answer) {
                // Deleted between the answer that named it and this one.
                continue;
            }
            if !answer.is_success() {
                return Err(errors::remote_error(&answer));
            }
            let misfit = answer.misfit("a list of folders that is none");
            let json = answer.into_json()?;
            let Some(Value::Array(folders)) = json.get("value") else {
                return Err(misfit);
            };
            for folder in folders
                .iter()
                .filter_map(|folder| folder.get("id")?.as_str())
            {
                if folder != default_folder && ids.insert(folder.to_owned()) {
                    next.push(children(client, folder));
                }
            }
            if let Some(link) = json.get("@odata.nextLink").and_then(Value::as_str) {
                if !delta::is_own_link(&client.base_url, link) {
                    return Err(misfit);
                }
                next.push(Call::get(WHAT, link.to_owned()).header("prefer", IMMUTABLE_IDS));
            }
            if ids.len() > FOLDERS_MAX {
                return Ok(Folders {
                    live: ids,
                    ..Folders::default()
                });
            }
        }
        pages = next;
    }
    Ok(Folders {
        live: ids,
        complete: true,
        dead: BTreeSet::new(),
    })
}

const WHAT: &str = "list the contact folders";

fn children(client: &Client, folder: &str) -> Call {
    page(client, &format!("/{}/childFolders", escaped(folder)))
}

fn page(client: &Client, below: &str) -> Call {
    client
        .get(WHAT, &format!("/contactFolders{below}?$select=id&$top=100"))
        .answers_page()
}
