//! Changed contacts: `PATCH /contacts/{id}`
//! (<https://learn.microsoft.com/graph/api/contact-update>).
//!
//! Whether Exchange Online honours `If-Match` on contacts is not documented. It is always sent; and
//! unless the job says that it can be trusted, each contact's version is read immediately before.

use serde_json::Value;
use std::collections::BTreeMap;

use crate::contact::{ChangeKey, MailboxContact, MailboxId};
use crate::http::{Answer, CallError, RemoteError, Repeat, WriteError};
use crate::mailbox::MailboxEdit;
use crate::mailbox::graph::batch::{self, ITEMS_MAX, Item};
use crate::mailbox::graph::{Client, errors, read, record};
use crate::mutation::{self, Mutant};
use crate::outside::Method;

/// Writes each edit.
pub(super) fn update(
    client: &Client,
    folder: &str,
    trust_if_match: bool,
    edits: &[MailboxEdit],
) -> Vec<Result<MailboxContact, WriteError>> {
    let mut results = Vec::with_capacity(edits.len());
    let mut halted: Option<RemoteError> = None;
    for group in edits.chunks(ITEMS_MAX) {
        if let Some(error) = &halted {
            results.extend(
                group
                    .iter()
                    .map(|_| Err(WriteError::NotDone(error.clone()))),
            );
            continue;
        }
        let written = update_group(client, folder, trust_if_match, group);
        halted = written.iter().find_map(halting);
        results.extend(written);
    }
    results
}

/// The service's failure that makes further writes useless for now.
pub(super) fn halting<T>(result: &Result<T, WriteError>) -> Option<RemoteError> {
    match result {
        Err(WriteError::NotDone(error)) if error.halts() => Some(error.clone()),
        _ => None,
    }
}

/// Whether each contact still is in the folder and has the version that a write is based on.
pub(super) fn verify(
    client: &Client,
    folder: &str,
    contacts: &[(&MailboxId, &ChangeKey)],
) -> Vec<Result<(), WriteError>> {
    let items: Vec<Item> = contacts
        .iter()
        .map(|(id, _)| {
            let path = format!("{}?$select=id,changeKey,parentFolderId", read::path(id));
            Item::get("read a contact's version", path)
        })
        .collect();
    let answers = match read::each(client, folder, &items) {
        Ok(answers) => answers,
        Err(error) => {
            let failed = contacts
                .iter()
                .map(|_| Err(WriteError::NotDone(error.clone())));
            return failed.collect();
        }
    };
    answers
        .into_iter()
        .zip(contacts)
        .map(|(answer, (_, change_key))| {
            // Nothing was written, and nothing is wrong with the others: one contact that the
            // service cannot read ends no pass (contract, 7.8).
            let answer = answer.map_err(WriteError::Refused)?;
            if !answer.is_success() {
                return Err(match errors::write_error(&answer) {
                    WriteError::Unknown(problem) => WriteError::Refused(problem),
                    other => other,
                });
            }
            let json = answer
                .into_json()
                .map_err(|error| WriteError::Refused(error.into_problem()))?;
            let found = record::parse(&json).map_err(WriteError::Refused)?;
            let same_place = found.folder.is_none_or(|found| found == folder);
            let same_version = found.contact.change_key == **change_key;
            if same_place && same_version {
                Ok(())
            } else {
                Err(WriteError::Stale)
            }
        })
        .collect()
}

fn update_group(
    client: &Client,
    folder: &str,
    trust_if_match: bool,
    edits: &[MailboxEdit],
) -> Vec<Result<MailboxContact, WriteError>> {
    let patches: Vec<Option<Value>> = edits
        .iter()
        .map(|edit| record::patch(&edit.before, &edit.after))
        .collect();
    let mut results: Vec<Option<Result<MailboxContact, WriteError>>> = vec![None; edits.len()];
    if !trust_if_match {
        let contacts: Vec<_> = edits
            .iter()
            .map(|edit| (&edit.id, &edit.change_key))
            .collect();
        for (result, verdict) in results.iter_mut().zip(verify(client, folder, &contacts)) {
            *result = verdict.err().map(Err);
        }
    }
    let mut indices = Vec::new();
    let mut items = Vec::new();
    let open = edits.iter().zip(patches).zip(&results).enumerate();
    for (index, ((edit, patch), result)) in open {
        if let (Some(body), None) = (patch, result) {
            indices.push(index);
            items.push(item(edit, body));
        }
    }
    for (index, answer) in indices.into_iter().zip(batch::send(client, &items)) {
        if let (Some(result), Some(edit)) = (results.get_mut(index), edits.get(index)) {
            *result = patched(edit, answer).transpose();
        }
    }
    read_back(client, edits, results)
}

fn item(edit: &MailboxEdit, body: Value) -> Item {
    Item {
        what: "change a contact",
        method: Method::Patch,
        path: read::path(&edit.id),
        if_match: Some(record::etag(&edit.change_key))
            .filter(|_| !mutation::is_on(Mutant::VersionNotNamed)),
        body: Some(body),
        repeat: Repeat::Safe,
    }
}

/// The contact as the answer shows it; `None` where it has to be read to be sure.
fn patched(
    edit: &MailboxEdit,
    answer: Result<Answer, CallError>,
) -> Result<Option<MailboxContact>, WriteError> {
    let answer = answer.map_err(CallError::into_write_error)?;
    if !answer.is_success() {
        return Err(errors::write_error(&answer));
    }
    if record::clears_address(&edit.before, &edit.after) {
        return Ok(None);
    }
    let Ok(json) = answer.into_json() else {
        return Ok(None);
    };
    let found = record::parse(&json)
        .ok()
        .filter(|_| record::is_whole(&json));
    Ok(found
        .map(|found| found.contact)
        .filter(|contact| contact.id == edit.id))
}

/// Reads what has no result yet: edits that change nothing, and answers that do not show enough.
fn read_back(
    client: &Client,
    edits: &[MailboxEdit],
    results: Vec<Option<Result<MailboxContact, WriteError>>>,
) -> Vec<Result<MailboxContact, WriteError>> {
    let open = edits
        .iter()
        .zip(&results)
        .filter(|(_, result)| result.is_none());
    let ids: Vec<MailboxId> = open.map(|(edit, _)| edit.id.clone()).collect();
    let mut contacts: BTreeMap<MailboxId, Result<MailboxContact, WriteError>> = ids
        .iter()
        .cloned()
        .zip(
            read::read_back(client, &ids)
                .into_iter()
                .map(|read| read.map_err(WriteError::Unknown)),
        )
        .collect();
    edits
        .iter()
        .zip(results)
        .map(|(edit, result)| {
            result
                .or_else(|| contacts.remove(&edit.id))
                .unwrap_or(Err(WriteError::Stale))
        })
        .collect()
}
