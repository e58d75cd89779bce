//! Contacts by our key: `GET /contacts?$filter=singleValueExtendedProperties/Any(…)`
//! (<https://learn.microsoft.com/graph/api/singlevaluelegacyextendedproperty-get>).
//!
//! The page says that the filter sees the whole mailbox, while the list without a filter sees the
//! default folder alone; so the other live folders are asked too where the first answer is empty.
//!
//! Only ids are looked at: a contact that carries a key is found even where the rest of it cannot
//! be read.

use serde_json::Value;

use crate::contact::{MailboxId, SearchKey};
use crate::http::{Answer, RemoteError, escaped};
use crate::mailbox::folders::{Folders, too_many};
use crate::mailbox::graph::batch::Item;
use crate::mailbox::graph::{Client, errors, folders, read, record};
use crate::report::Problem;

/// More contacts than this with one key are not looked at; lists allow 1,000 and default to 10.
const FOUND_MAX: u32 = 50;

const _: () = assert!(FOUND_MAX <= 1_000);

/// The contacts that carry one key, or why that cannot be told.
type Hits = Result<Vec<MailboxId>, Problem>;

/// The contacts that carry each key.
pub(super) fn find(
    client: &Client,
    default_folder: &str,
    remembered: &Folders,
    keys: &[SearchKey],
) -> Result<Vec<Hits>, RemoteError> {
    let items: Vec<Item> = keys.iter().map(|key| item("/contacts", key)).collect();
    let mut found = search(client, default_folder, &items, keys)?;
    let missing: Vec<usize> = found
        .iter()
        .enumerate()
        .filter(|(_, hits)| hits.as_ref().is_ok_and(Vec::is_empty))
        .map(|(at, _)| at)
        .collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let folders = remembered.live(|| folders::list(client, default_folder))?;
    let mut places = Vec::new();
    let mut sought = Vec::new();
    let mut items = Vec::new();
    for folder in &folders.live {
        let path = format!("/contactFolders/{}/contacts", escaped(folder));
        for (at, key) in missing.iter().filter_map(|at| Some((*at, keys.get(*at)?))) {
            places.push(at);
            items.push(item(&path, key));
            sought.push(key.clone());
        }
    }
    let hits = search(client, default_folder, &items, &sought)?;
    for (at, hits) in places.into_iter().zip(hits) {
        if let Some(known) = found.get_mut(at) {
            add(known, hits);
        }
    }
    if !folders.complete {
        let nowhere = found
            .iter_mut()
            .filter(|hits| hits.as_ref().is_ok_and(Vec::is_empty));
        nowhere.for_each(|hits| *hits = Err(too_many()));
    }
    Ok(found)
}

/// A folder that cannot be searched may hold what was sought.
fn add(known: &mut Hits, hits: Hits) {
    match (known.as_mut(), hits) {
        (Ok(known), Ok(hits)) => known.extend(hits),
        (Ok(_), Err(problem)) => *known = Err(problem),
        (Err(_), _) => {}
    }
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
    folder: &str,
    items: &[Item],
    keys: &[SearchKey],
) -> Result<Vec<Hits>, RemoteError> {
    let answers = read::each(client, folder, items)?;
    answers
        .into_iter()
        .zip(keys)
        .map(|(answer, key)| match answer {
            Ok(answer) => hits(answer, key),
            Err(problem) => Ok(Err(problem)),
        })
        .collect()
}

fn hits(answer: Answer, key: &SearchKey) -> Result<Hits, RemoteError> {
    if !answer.is_success() {
        let is_of_all = answer.status == 401 || errors::concerns_mailbox(&answer);
        let error = errors::remote_error(&answer);
        return if is_of_all {
            Err(error)
        } else {
            Ok(Err(error.into_problem()))
        };
    }
    let no_list = answer.misfit("a search result that is no list");
    let nameless = answer.misfit("a contact without an id");
    let json = match answer.into_json() {
        Ok(json) => json,
        Err(error) => return Ok(Err(error.into_problem())),
    };
    let Some(Value::Array(values)) = json.get("value") else {
        return Ok(Err(no_list.into_problem()));
    };
    // Leaving out a contact that carries the key could create it a second time.
    let ids: Option<Vec<MailboxId>> = values
        .iter()
        .filter(|value| carries(value, key))
        .map(record::id)
        .collect();
    Ok(ids.ok_or_else(|| nameless.into_problem()))
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
