//! Contact folders that are not in Deleted Items: `GET /contactFolders` and `…/childFolders`
//! (<https://learn.microsoft.com/graph/api/user-list-contactfolders>). The list leaves the default
//! folder out; its children are asked for by its id.

use serde_json::Value;
use std::collections::BTreeSet;

use crate::http::{Call, RemoteError, escaped};
use crate::mailbox::folders::{FOLDERS_MAX, Listed};
use crate::mailbox::graph::{Client, IMMUTABLE_IDS, delta, errors};

/// All of them, as far as there are not too many.
pub(super) fn list(client: &Client, default_folder: &str) -> Result<Listed, RemoteError> {
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
                return Ok(Listed {
                    live: ids,
                    complete: false,
                });
            }
        }
        pages = next;
    }
    Ok(Listed {
        live: ids,
        complete: true,
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
