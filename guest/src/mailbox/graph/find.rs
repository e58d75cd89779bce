//! Contacts by our key: `GET /contacts?$filter=singleValueExtendedProperties/Any(…)`
//! (<https://learn.microsoft.com/graph/api/singlevaluelegacyextendedproperty-get>).
//!
//! The page says that the filter sees the whole mailbox, while the list without a filter sees the
//! default folder alone; so the other live folders are asked too where the first answer is empty.

use serde_json::Value;
use std::cell::RefCell;

use crate::contact::{MailboxContact, SearchKey};
use crate::http::{Answer, RemoteError, escaped};
use crate::mailbox::graph::batch::{self, Item};
use crate::mailbox::graph::folders::{self, Folders};
use crate::mailbox::graph::{Client, errors, record};

/// More contacts than this with one key are not looked at; lists allow 1,000 and default to 10.
const FOUND_MAX: u32 = 50;

const _: () = assert!(FOUND_MAX <= 1_000);

/// The contacts that carry each key.
pub(super) fn find(
    client: &Client,
    default_folder: &str,
    remembered: &RefCell<Option<Folders>>,
    keys: &[SearchKey],
) -> Result<Vec<Vec<MailboxContact>>, RemoteError> {
    let items: Vec<Item> = keys.iter().map(|key| item("/contacts", key)).collect();
    let mut found = search(client, &items, keys)?;
    let missing: Vec<usize> = found
        .iter()
        .enumerate()
        .filter(|(_, hits)| hits.is_empty())
        .map(|(at, _)| at)
        .collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let folders = folders::live(client, default_folder, remembered)?;
    for folder in &folders {
        let path = format!("/contactFolders/{}/contacts", escaped(folder));
        let sought: Vec<SearchKey> = missing
            .iter()
            .filter_map(|at| keys.get(*at).cloned())
            .collect();
        let items: Vec<Item> = sought.iter().map(|key| item(&path, key)).collect();
        for (at, hits) in missing.iter().zip(search(client, &items, &sought)?) {
            if let Some(found) = found.get_mut(*at) {
                found.extend(hits);
            }
        }
    }
    Ok(found)
}

fn item(contacts: &str, key: &SearchKey) -> Item {
    let property = record::KEY_PROPERTY;
    let value = key.as_str().replace('\'', "''");
    let filter = format!(
        "singleValueExtendedProperties/Any(ep: ep/id eq '{property}' and ep/value eq '{value}')"
    );
    let expand = format!("singleValueExtendedProperties($filter=id eq '{property}')");
    let path = format!(
        "{contacts}?$filter={}&$expand={}&$select={}&$top={FOUND_MAX}",
        escaped(&filter),
        escaped(&expand),
        record::SELECT,
    );
    Item::get("find a contact by its key", path)
}

fn search(
    client: &Client,
    items: &[Item],
    keys: &[SearchKey],
) -> Result<Vec<Vec<MailboxContact>>, RemoteError> {
    let answers = batch::send(client, items);
    answers
        .into_iter()
        .zip(keys)
        .map(|(answer, key)| hits(answer.map_err(|failure| failure.error)?, key))
        .collect()
}

fn hits(answer: Answer, key: &SearchKey) -> Result<Vec<MailboxContact>, RemoteError> {
    if !answer.is_success() {
        return Err(errors::remote_error(&answer));
    }
    let no_list = answer.misfit("a search result that is no list");
    let unreadable = answer.misfit("a contact that cannot be read");
    let json = answer.into_json()?;
    let Some(Value::Array(values)) = json.get("value") else {
        return Err(no_list);
    };
    let carriers = values.iter().filter(|value| carries(value, key));
    // Leaving out a contact that carries the key could create it a second time.
    carriers
        .map(|value| {
            Ok(record::parse(value)
                .map_err(|_| unreadable.clone())?
                .contact)
        })
        .collect()
}

/// A server that ignored the filter would answer with strangers.
fn carries(contact: &Value, key: &SearchKey) -> bool {
    let Some(Value::Array(properties)) = contact.get("singleValueExtendedProperties") else {
        return false;
    };
    properties.iter().any(|property| {
        let text = |name| {
            property
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        text("id").eq_ignore_ascii_case(record::KEY_PROPERTY) && text("value") == key.as_str()
    })
}
