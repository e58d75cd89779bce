//! Contacts by id
//! (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/getitem-operation>),
//! and what it means that one is not there (contract, section 3).
//!
//! Only "this item is not there", while the mailbox itself can be read, says that it is gone; where
//! it has gone to another folder, it has another id there and is found by `find_item`.

use crate::contact::{ChangeKey, MailboxContact, MailboxId};
use crate::http::{CallError, RemoteError, Repeat, WriteError};
use crate::mailbox::ews::soap::{self, Message, Operation};
use crate::mailbox::ews::{Client, errors, find_folder, get_folder, record};
use crate::mailbox::folders::{Folders, State};
use crate::mailbox::{MailboxEdit, MailboxRead};
use crate::mutation::{self, Mutant};
use crate::report::Problem;
use crate::xml::{Element, Writer};

/// Microsoft recommends ten items in one request, of mail with its bodies; a contact without notes
/// has a hundredth of that.
pub(super) const ITEMS_MAX: usize = 50;

const READ: Operation = Operation {
    name: "GetItem",
    what: "read contacts",
    items_max: ITEMS_MAX,
    repeat: Repeat::Safe,
    splits: true,
};

const READ_VERSIONS: Operation = Operation {
    what: "read contacts' versions",
    ..READ
};

/// Each contact, wherever it is.
pub(super) fn read(
    client: &Client,
    folder: &str,
    folders: &Folders,
    ids: &[MailboxId],
) -> Result<Vec<MailboxRead>, RemoteError> {
    let states = states(client, folder, ids)?;
    folders.place_all(folder, states, || find_folder::list(client, folder))
}

/// Each contact's own message, after the mailbox has proven to be readable.
pub(super) fn states(
    client: &Client,
    folder: &str,
    ids: &[MailboxId],
) -> Result<Vec<State>, RemoteError> {
    let write = |writer: &mut Writer, ids: &[&MailboxId]| {
        write_request(writer, ids, |writer| record::write_shape(writer, client));
    };
    let states = soap::send(client, &READ, ids, &write, &state);
    proven(client, folder, states, |state| {
        matches!(state, State::Present(_))
    })?
    .into_iter()
    .map(|state| match state {
        Ok(state) => Ok(state),
        Err(failure) => own(failure).map(State::Unreadable),
    })
    .collect()
}

/// What was written, and the version that the server gave it then.
pub(super) struct Written<'a> {
    pub(super) id: MailboxId,
    pub(super) change_key: Option<ChangeKey>,
    /// What was to be changed; `None` where all of it is new.
    pub(super) edit: Option<&'a MailboxEdit>,
}

/// The contacts that were written, as the server holds them now. One that somebody has edited since
/// shows another value than was written, and not in the version of that write: it has moved on.
pub(super) fn with_contents(
    client: &Client,
    written: Vec<Result<Written<'_>, WriteError>>,
) -> Vec<Result<MailboxContact, WriteError>> {
    let ids: Vec<MailboxId> = written
        .iter()
        .flatten()
        .map(|written| written.id.clone())
        .collect();
    let mut contacts = read_back(client, &ids).into_iter();
    let each = written.into_iter().map(|written| {
        let written = written?;
        let contact = contacts.next().unwrap_or_else(|| {
            let error = errors::no_answer(&READ).error;
            Err(error.into_problem())
        });
        let contact = contact.map_err(WriteError::Unknown)?;
        let is_later = written
            .change_key
            .is_some_and(|change_key| change_key != contact.change_key);
        let is_edited = written
            .edit
            .is_some_and(|edit| !record::holds(&contact.view, edit));
        if is_later && is_edited {
            return Err(WriteError::Stale);
        }
        Ok(contact)
    });
    each.collect()
}

/// Whether each contact still is in the folder and has the version that a deletion is based on.
pub(super) fn verify(
    client: &Client,
    folder: &str,
    contacts: &[(MailboxId, ChangeKey)],
) -> Vec<Result<(), WriteError>> {
    let write = |writer: &mut Writer, contacts: &[&(MailboxId, ChangeKey)]| {
        let ids: Vec<&MailboxId> = contacts.iter().map(|(id, _)| id).collect();
        write_request(writer, &ids, record::write_version_shape);
    };
    let read =
        |contact: &(MailboxId, ChangeKey), message: &Message<'_>| version(folder, contact, message);
    if mutation::is_on(Mutant::DeletionNotCompared) {
        return contacts.iter().map(|_| Ok(())).collect();
    }
    let verdicts = soap::send(client, &READ_VERSIONS, contacts, &write, &read);
    let verdicts = match proven(client, folder, verdicts, Result::is_ok) {
        Ok(verdicts) => verdicts,
        Err(error) => {
            let failed = |_| Err(WriteError::NotDone(error.clone()));
            return contacts.iter().map(failed).collect();
        }
    };
    let each = verdicts.into_iter().map(|verdict| match verdict {
        Ok(verdict) => verdict,
        // Nothing was written, and nothing is wrong with the others: one contact that the service
        // cannot read ends no pass (contract, 7.8).
        Err(failure) => Err(match own(failure) {
            Ok(problem) => WriteError::Refused(problem),
            Err(error) => WriteError::NotDone(error),
        }),
    });
    each.collect()
}

fn read_back(client: &Client, ids: &[MailboxId]) -> Vec<Result<MailboxContact, Problem>> {
    let write = |writer: &mut Writer, ids: &[&MailboxId]| {
        write_request(writer, ids, |writer| record::write_shape(writer, client));
    };
    let gone = |id: &MailboxId| Problem {
        message: format!("the mailbox contact {id} is gone right after it was written"),
        remedy: Some("nothing: the next pass looks again".to_owned()),
    };
    let states = soap::send(client, &READ, ids, &write, &state);
    let read = states.into_iter().zip(ids).map(|(state, id)| match state {
        Ok(State::Present(found)) => Ok(found.contact),
        Ok(State::Gone) => Err(gone(id)),
        Ok(State::Unreadable(problem)) => Err(problem),
        Err(failure) => Err(failure.error.into_problem()),
    });
    read.collect()
}

/// Writes a request for items.
fn write_request(writer: &mut Writer, ids: &[&MailboxId], shape: impl FnOnce(&mut Writer)) {
    writer.element("m:GetItem", &[], |writer| {
        shape(writer);
        writer.element("m:ItemIds", &[], |writer| {
            for id in ids {
                writer.empty("t:ItemId", &[("Id", id.as_str())]);
            }
        });
    });
}

/// Reads, of which the mailbox's own failure is none of theirs: a contact that could not be read
/// for now is not to be taken for one that is not there. Where none of them has succeeded, or one
/// of them says that there is no such mailbox, nothing proves yet whose failure it is: another read
/// of the same folder tells.
fn proven<T>(
    client: &Client,
    folder: &str,
    results: Vec<Result<T, CallError>>,
    is_success: impl Fn(&T) -> bool,
) -> Result<Vec<Result<T, CallError>>, RemoteError> {
    let failures = || results.iter().filter_map(|result| result.as_ref().err());
    let of_mailbox = |failure: &&CallError| errors::is_of_mailbox(&failure.error);
    let is_foreign = |failure: &&CallError| errors::may_be_a_foreign_id(&failure.error);
    let mut ends = failures().filter(of_mailbox);
    if let Some(failure) = ends.find(|failure| !is_foreign(failure)) {
        return Err(failure.error.clone());
    }
    let is_doubtful = failures().any(|failure| is_foreign(&failure));
    let is_any = results
        .iter()
        .any(|result| result.as_ref().is_ok_and(&is_success));
    if !results.is_empty() && (is_doubtful || !is_any) {
        get_folder::probe(client, folder)?;
    }
    Ok(results)
}

/// What is wrong with one item of a mailbox that can be read.
fn own(failure: CallError) -> Result<Problem, RemoteError> {
    match failure.error {
        error if error.halts() => Err(error),
        error => Ok(error.into_problem()),
    }
}

fn state(id: &MailboxId, message: &Message<'_>) -> State {
    let any = mutation::is_on(Mutant::AnyNotFoundIsDeletion) && message.refusal.is_some();
    if any || errors::is_item_not_found(message) {
        return State::Gone;
    }
    if let Some(problem) = &message.refusal {
        return State::Unreadable(problem.problem.clone());
    }
    let Some(item) = only_item(id, message) else {
        let error = message.misfit("another item than it was asked for");
        return State::Unreadable(error.into_problem());
    };
    if !record::is_contact(item) {
        return State::Unreadable(no_contact(id));
    }
    match record::parse(item) {
        Ok(found) => State::Present(found),
        Err(problem) => State::Unreadable(problem),
    }
}

/// Its class was changed: read as a contact, it would be empty.
fn no_contact(id: &MailboxId) -> Problem {
    Problem {
        message: format!("the item {id} of the contacts folder is no contact any more"),
        remedy: Some("delete it, or ask whoever changed its message class to undo that".into()),
    }
}

fn version(
    folder: &str,
    (id, change_key): &(MailboxId, ChangeKey),
    message: &Message<'_>,
) -> Result<(), WriteError> {
    // It need not be deleted: in another folder it has another id. Looked for again, it shows.
    if errors::is_item_not_found(message) {
        return Err(WriteError::Stale);
    }
    if let Some(problem) = &message.refusal {
        return Err(errors::write_error(problem));
    }
    let Some(item) = only_item(id, message) else {
        let error = message.misfit("another item than it was asked for");
        return Err(WriteError::Refused(error.into_problem()));
    };
    let same_place = record::folder(item) == Some(folder);
    let same_version = record::change_key(item).as_ref() == Some(change_key);
    if same_place && same_version {
        Ok(())
    } else {
        Err(WriteError::Stale)
    }
}

/// The item of a message, if it is the one that was asked for.
fn only_item<'a>(id: &MailboxId, message: &Message<'a>) -> Option<&'a Element> {
    let mut items = message.child("Items")?.children();
    let item = items.next()?;
    let is_asked_for = record::id(item).as_ref() == Some(id) && items.next().is_none();
    is_asked_for.then_some(item)
}
