//! The marker, where it is a record beside the contact: `/nylas-contact-sync-service/syncEntries`
//! (FLOWFACT SDK, `NylasContactSyncService.ts`; types, `NylasContactSyncEntry.d.ts`).
//!
//! Whether an API user may call this service is not known: 401, 403 and 404 mean that it cannot be
//! asked, never that a contact carries no marker.

use serde_json::{Value, json};

use crate::contact::CrmId;
use crate::crm::flowfact::Client;
use crate::http::{Answer, Call, CallError, RemoteError, Repeat, WriteError, escaped, one_by_one};
use crate::outside::Method;
use crate::report::Problem;

/// Entries of one page, as FLOWFACT's own client asks for them.
const PAGE_SIZE: u64 = 25;

/// Pages of one contact's entries: far more mailboxes than a company has.
const PAGES_MAX: u32 = 40;

const SERVICE: &str = "/nylas-contact-sync-service/syncEntries";

/// What is known of one contact's entries.
enum Entries {
    /// Ids of the entries of the account in question.
    Known(Vec<String>),
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
        found.iter().map(delete).collect()
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

/// The entries of each contact, all contacts' first pages at once.
fn list(client: &Client, account: &str, ids: &[CrmId]) -> Result<Vec<Entries>, RemoteError> {
    let mut all: Vec<Entries> = ids.iter().map(|_| Entries::Known(Vec::new())).collect();
    let mut seen = vec![0; ids.len()];
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
            let (Some(entries), Some(seen)) = (all.get_mut(*index), seen.get_mut(*index)) else {
                continue;
            };
            match answer.and_then(|answer| read(answer, account)) {
                Ok(page) => {
                    if let Entries::Known(known) = entries {
                        known.extend(page.of_account);
                    }
                    *seen += page.count;
                    // A page may be shorter than was asked for, and yet not be the last.
                    let is_last = page
                        .total
                        .map_or(page.count < PAGE_SIZE, |total| *seen >= total);
                    if !(is_last || page.count == 0) {
                        unfinished.push(*index);
                    }
                }
                Err(problem) => *entries = Entries::Unknown(problem),
            }
        }
        open = unfinished;
        if open.is_empty() {
            break;
        }
    }
    Ok(all)
}

fn get(client: &Client, contact: &CrmId, page: u32) -> Call {
    let contact = escaped(contact.as_str());
    let path = format!("{SERVICE}?contactId={contact}&page={page}&size={PAGE_SIZE}");
    client.get("read a contact's markers", &path)
}

/// One page of a contact's entries.
struct Page {
    /// Ids of the entries of the account.
    of_account: Vec<String>,
    /// Entries of all accounts on this page.
    count: u64,
    /// Entries of all accounts on all pages, where the answer says it.
    total: Option<u64>,
}

fn read(answer: Answer, account: &str) -> Result<Page, Problem> {
    if !answer.is_success() {
        return Err(answer.problem().problem);
    }
    let misfit = answer.misfit("markers that are no list");
    let json = answer.into_json().map_err(RemoteError::into_problem)?;
    let Some(Value::Array(results)) = json.get("results") else {
        return Err(misfit.into_problem());
    };
    let text =
        |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
    let of_account = results
        .iter()
        .filter(|entry| text(entry, "accountId").as_deref() == Some(account));
    Ok(Page {
        of_account: of_account.filter_map(|entry| text(entry, "id")).collect(),
        count: results.len() as u64,
        total: json.get("totalSize").and_then(Value::as_u64),
    })
}
