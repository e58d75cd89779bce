//! The marker, where it is a record beside the contact: `/nylas-contact-sync-service/syncEntries`
//! (FLOWFACT SDK, `NylasContactSyncService.ts`; types, `NylasContactSyncEntry.d.ts`).
//!
//! Whether an API user may call this service is not known: 401, 403 and 404 mean that it cannot be
//! asked, never that a contact carries no marker.

use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::contact::CrmId;
use crate::crm::flowfact::Client;
use crate::http::{Answer, Call, CallError, RemoteError, Repeat, WriteError, escaped, one_by_one};
use crate::outside::Method;
use crate::report::Problem;

/// Entries of one page, as FLOWFACT's own client asks for them. A server may give fewer, so nothing
/// is counted by it.
const PAGE_SIZE: u32 = 25;

/// Pages of one contact's entries: far more mailboxes than a company has. A contact that has more
/// is not known wholly, and so not known at all.
const PAGES_MAX: u32 = 40;

const SERVICE: &str = "/nylas-contact-sync-service/syncEntries";

/// What is known of one contact's entries.
enum Entries {
    /// The entries of the account in question: their ids, as far as they have any.
    Known(Vec<Option<String>>),
    /// The service, or this contact's answer, cannot be read.
    Unknown(Problem),
}

/// Whether each contact has an entry for the account; `None` where that cannot be known.
pub(super) fn carried(
    client: &Client,
    account: &str,
    ids: &[CrmId],
) -> Result<Vec<Option<bool>>, RemoteError> {
    let entries = list(client, account, ids)?;
    let carried = entries.into_iter().map(|entries| match entries {
        Entries::Known(found) => Some(!found.is_empty()),
        Entries::Unknown(_) => None,
    });
    Ok(carried.collect())
}

/// Whether the service lets us ask: by the entries of a contact.
pub(super) fn reachable(client: &Client, contact: &CrmId) -> Result<bool, RemoteError> {
    let entries = list(client, "", std::slice::from_ref(contact))?;
    Ok(matches!(entries.as_slice(), [Entries::Known(_)]))
}

/// Creates the entry, or deletes all of this contact and account.
pub(super) fn set(
    client: &Client,
    account: &str,
    contact: &CrmId,
    wanted: bool,
) -> Result<(), WriteError> {
    let entries = list(client, account, std::slice::from_ref(contact));
    let found = match entries.map_err(WriteError::NotDone)?.pop() {
        Some(Entries::Known(found)) => found,
        Some(Entries::Unknown(problem)) => return Err(WriteError::Refused(problem)),
        None => return Err(WriteError::NotFound),
    };
    if wanted != found.is_empty() {
        return Ok(());
    }
    let calls: Vec<Call> = if wanted {
        let body = json!({ "contactId": contact, "accountId": account });
        let what = "set a contact's marker";
        vec![client.call(what, Method::Post, SERVICE, Some(body), Repeat::Never)]
    } else {
        let delete = |entry: &String| {
            let path = format!("{SERVICE}/{}", escaped(entry));
            client.call(
                "take away a contact's marker",
                Method::Delete,
                &path,
                None,
                Repeat::Safe,
            )
        };
        let ids: Option<Vec<String>> = found.into_iter().collect();
        let ids = ids.ok_or_else(|| WriteError::Refused(without_id(contact)))?;
        ids.iter().map(delete).collect()
    };
    for answer in client.http.send(calls) {
        let answer = answer.map_err(CallError::into_write_error)?;
        let gone = !wanted && matches!(answer.status, 404 | 410);
        if !(answer.is_success() || gone) {
            return Err(answer.write_error());
        }
    }
    Ok(())
}

/// What was read of one contact so far.
#[derive(Default)]
struct Reading {
    found: Vec<Option<String>>,
    /// Entries of any account, to know the end by.
    count: u64,
    /// The page before this one: a server that knows no pages gives it again.
    last: Vec<Value>,
}

/// The entries of each contact, all contacts' first pages at once.
fn list(client: &Client, account: &str, ids: &[CrmId]) -> Result<Vec<Entries>, RemoteError> {
    let mut readings: Vec<Reading> = ids.iter().map(|_| Reading::default()).collect();
    let mut failed: BTreeMap<usize, Problem> = BTreeMap::new();
    let mut open: Vec<usize> = (0..ids.len()).collect();
    for page in 1..=PAGES_MAX {
        let calls: Vec<Call> = open
            .iter()
            .filter_map(|index| ids.get(*index))
            .map(|id| get(client, id, page))
            .collect();
        let answers = one_by_one(client.http.send(calls))?;
        let mut unfinished = Vec::new();
        for (index, answer) in open.iter().zip(answers) {
            let Some(reading) = readings.get_mut(*index) else {
                continue;
            };
            match answer.and_then(|answer| read(answer, account, reading)) {
                Ok(true) => {}
                Ok(false) => unfinished.push(*index),
                Err(problem) => drop(failed.insert(*index, problem)),
            }
        }
        open = unfinished;
        if open.is_empty() {
            break;
        }
    }
    failed.extend(open.into_iter().map(|index| (index, endless())));
    let entries = readings.into_iter().enumerate();
    Ok(entries
        .map(|(index, reading)| match failed.remove(&index) {
            Some(problem) => Entries::Unknown(problem),
            None => Entries::Known(reading.found),
        })
        .collect())
}

fn get(client: &Client, contact: &CrmId, page: u32) -> Call {
    let contact = escaped(contact.as_str());
    let path = format!("{SERVICE}?contactId={contact}&page={page}&size={PAGE_SIZE}");
    client.get("read a contact's markers", &path)
}

/// Takes a page. Whether it is the last: where the service says how many entries there are, that
/// decides; else a page without any.
fn read(answer: Answer, account: &str, reading: &mut Reading) -> Result<bool, Problem> {
    if !answer.is_success() {
        return Err(answer.problem().problem);
    }
    let misfit = answer.misfit("markers that are no list");
    let mut json = answer.into_json().map_err(RemoteError::into_problem)?;
    let Some(Value::Array(results)) = json.get_mut("results").map(Value::take) else {
        return Err(misfit.into_problem());
    };
    let total = json.get("totalSize").and_then(Value::as_u64);
    if results.is_empty() || results == reading.last {
        return Ok(true);
    }
    let of_account = results
        .iter()
        .filter(|entry| entry.get("accountId").and_then(Value::as_str) == Some(account));
    reading.found.extend(of_account.map(id));
    reading.count = reading.count.saturating_add(results.len() as u64);
    reading.last = results;
    Ok(total.is_some_and(|total| reading.count >= total))
}

/// An entry is a marker whether or not it says its id.
fn id(entry: &Value) -> Option<String> {
    match entry.get("id")? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

fn without_id(contact: &CrmId) -> Problem {
    Problem {
        message: format!("a marker of FLOWFACT's contact {contact} says no id"),
        remedy: Some("take the marker away in FLOWFACT".into()),
    }
}

fn endless() -> Problem {
    Problem {
        message: format!("FLOWFACT names more than {PAGES_MAX} pages of markers of one contact"),
        remedy: Some("tell whoever maintains this sync".into()),
    }
}
