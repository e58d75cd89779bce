//! Contacts by id: `GET /contacts/{id}` (<https://learn.microsoft.com/graph/api/contact-get>), and
//! what it means that one is not there (contract, section 3).
//!
//! An id that survives moves also survives the move to Deleted Items: such a contact can be read
//! and is deleted all the same. And only "this item is not there", while the mailbox itself can be
//! read, says that it is gone.

use crate::contact::{MailboxContact, MailboxId};
use crate::http::{Answer, CallError, RemoteError, escaped};
use crate::mailbox::MailboxRead;
use crate::mailbox::folders::{Folders, State};
use crate::mailbox::graph::batch::{self, Item};
use crate::mailbox::graph::{Client, errors, folders, record};
use crate::mutation::{self, Mutant};
use crate::report::Problem;

/// Each contact, wherever it is.
pub(super) fn read(
    client: &Client,
    folder: &str,
    folders: &Folders,
    ids: &[MailboxId],
) -> Result<Vec<MailboxRead>, RemoteError> {
    let states = states(client, folder, ids)?;
    folders.place_all(folder, states, || folders::list(client, folder))
}

/// Each contact's own answer, after the mailbox has proven to be readable.
pub(super) fn states(
    client: &Client,
    folder: &str,
    ids: &[MailboxId],
) -> Result<Vec<State>, RemoteError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let items: Vec<Item> = ids.iter().map(item).collect();
    each(client, folder, &items)?
        .into_iter()
        .map(|answer| match answer {
            Err(problem) => Ok(State::Unreadable(problem)),
            Ok(answer) => state(answer),
        })
        .collect()
}

/// Reads, each with its own answer or its own trouble. Where none of them has succeeded, nothing
/// proves yet that it is theirs and not the mailbox's: another read of the same mailbox tells.
pub(super) fn each(
    client: &Client,
    folder: &str,
    items: &[Item],
) -> Result<Vec<Result<Answer, Problem>>, RemoteError> {
    let answers = batch::send(client, items);
    let is_success =
        |answer: &Result<Answer, CallError>| answer.as_ref().is_ok_and(Answer::is_success);
    if let Some(Err(failure)) = answers
        .iter()
        .find(|answer| answer.as_ref().is_err_and(|failure| failure.error.halts()))
    {
        return Err(failure.error.clone());
    }
    if !answers.is_empty() && !answers.iter().any(is_success) {
        probe(client, folder)?;
    }
    let own =
        |answer: Result<Answer, CallError>| answer.map_err(|failure| failure.error.into_problem());
    Ok(answers.into_iter().map(own).collect())
}

/// The contacts as they are now; for reading back what was written.
pub(super) fn read_back(
    client: &Client,
    ids: &[MailboxId],
) -> Vec<Result<MailboxContact, Problem>> {
    let items: Vec<Item> = ids.iter().map(item).collect();
    batch::send(client, &items)
        .into_iter()
        .map(|answer| match answer {
            Ok(answer) if answer.is_success() => {
                let json = answer.into_json().map_err(RemoteError::into_problem)?;
                Ok(record::parse(&json)?.contact)
            }
            Ok(answer) => Err(answer.problem().problem),
            Err(failure) => Err(failure.error.into_problem()),
        })
        .collect()
}

/// The path of one contact.
pub(super) fn path(id: &MailboxId) -> String {
    format!("/contacts/{}", escaped(id.as_str()))
}

fn item(id: &MailboxId) -> Item {
    Item::get(
        "read a contact",
        format!("{}?$select={}", path(id), record::SELECT),
    )
}

fn state(answer: Answer) -> Result<State, RemoteError> {
    let any = mutation::is_on(Mutant::AnyNotFoundIsDeletion) && answer.status == 404;
    if any || errors::is_item_not_found(&answer) {
        return Ok(State::Gone);
    }
    if answer.is_success() {
        let parsed = answer.into_json().map_err(RemoteError::into_problem);
        return Ok(match parsed.and_then(|json| record::parse(&json)) {
            Ok(found) => State::Present(found),
            Err(problem) => State::Unreadable(problem),
        });
    }
    if answer.status == 401 || errors::concerns_mailbox(&answer) {
        return Err(errors::remote_error(&answer));
    }
    Ok(State::Unreadable(answer.problem().problem))
}

/// Another read of the same mailbox.
fn probe(client: &Client, folder: &str) -> Result<(), RemoteError> {
    let path = format!("/contactFolders/{}?$select=id", escaped(folder));
    let answer = client
        .http
        .send_one(client.get("look at the contacts folder", &path));
    let answer = answer.map_err(|failure| failure.error)?;
    if answer.is_success() {
        Ok(())
    } else {
        Err(errors::remote_error(&answer))
    }
}
