//! Contacts by id: `/entity-service/schemas/{schema}/entities/{id}` (FLOWFACT SDK,
//! `EntityService.ts`).
//!
//! There is no version and no conditional write: the last writer of a field wins, which is why only
//! changed fields are sent and why the engine reads each contact immediately before (contract,
//! 7.5).

use serde_json::{Map, Value, json};

use crate::contact::{CrmContact, CrmFields, CrmId};
use crate::crm::flowfact::{Client, Flowfact, record};
use crate::crm::{CrmEdit, CrmRead};
use crate::http::{Answer, Call, CallError, RemoteError, Repeat, WriteError, escaped, one_by_one};
use crate::job::Marker;
use crate::outside::Method;
use crate::report::Problem;

/// What one contact's own answer says.
pub(super) enum State {
    Present(Value),
    NotFound,
    Unreadable(Problem),
}

/// Each contact's own answer.
pub(super) fn states(client: &Client, ids: &[CrmId]) -> Result<Vec<State>, RemoteError> {
    let calls = ids.iter().map(|id| get(client, id)).collect();
    let answers = one_by_one(client.http.send(calls))?;
    answers
        .into_iter()
        .zip(ids)
        .map(|(answer, id)| match answer {
            Ok(answer) => state(answer, id),
            Err(problem) => Ok(State::Unreadable(problem)),
        })
        .collect()
}

/// Each contact.
pub(super) fn read(flowfact: &Flowfact, ids: &[CrmId]) -> Result<Vec<CrmRead>, RemoteError> {
    let states = states(&flowfact.client, ids)?;
    Ok(states
        .into_iter()
        .map(|state| match state {
            State::Present(entity) => match flowfact.contact(&entity) {
                Ok(contact) => CrmRead::Present(contact),
                Err(problem) => CrmRead::Unreadable(problem),
            },
            State::NotFound => CrmRead::NotFound,
            State::Unreadable(problem) => CrmRead::Unreadable(problem),
        })
        .collect())
}

/// Creates contacts. `x-ff-version: 2` asks for the whole entity as the answer; older servers
/// answer with the bare id all the same (FLOWFACT SDK 70 and 85).
pub(super) fn create(
    flowfact: &Flowfact,
    drafts: &[CrmFields],
) -> Vec<Result<CrmContact, WriteError>> {
    let client = &flowfact.client;
    let path = format!("/entity-service/schemas/{}", escaped(&client.schema));
    let calls: Vec<Call> = drafts
        .iter()
        .map(|draft| {
            let body = Some(Value::Object(draft_body(flowfact, draft)));
            let call = client.call("create a contact", Method::Post, &path, body, Repeat::Never);
            call.header("x-ff-version", "2")
        })
        .collect();
    let answers = client
        .http
        .send(calls)
        .into_iter()
        .map(|answer| created(flowfact, answer));
    read_back(flowfact, answers.collect())
}

/// Writes the changed fields.
pub(super) fn update(
    flowfact: &Flowfact,
    edits: &[CrmEdit],
) -> Vec<Result<CrmContact, WriteError>> {
    let mut written: Vec<Result<Written, WriteError>> = Vec::with_capacity(edits.len());
    let mut indices = Vec::new();
    let mut calls = Vec::new();
    for (index, edit) in edits.iter().enumerate() {
        let changed = record::changed(&edit.before, &edit.after, &flowfact.schema);
        if !changed.is_empty() {
            let body = Value::Object(changed.into_iter().collect());
            indices.push(index);
            calls.push(patch(&flowfact.client, &edit.id, body));
        }
        written.push(Ok(Written::Id(edit.id.clone())));
    }
    for (index, answer) in indices.into_iter().zip(flowfact.client.http.send(calls)) {
        if let (Some(written), Some(edit)) = (written.get_mut(index), edits.get(index)) {
            *written = patched(flowfact, &edit.id, answer);
        }
    }
    read_back(flowfact, written)
}

/// Moves contacts to the trash.
pub(super) fn delete(client: &Client, ids: &[CrmId]) -> Vec<Result<(), WriteError>> {
    let what = "delete a contact";
    let calls = ids
        .iter()
        .map(|id| client.call(what, Method::Delete, &path(client, id), None, Repeat::Safe))
        .collect();
    let answers = client.http.send(calls).into_iter();
    answers
        .map(|answer| {
            let answer = answer.map_err(CallError::into_write_error)?;
            // The attempt whose answer was lost has done it.
            let done_before = answer.repeated && matches!(answer.status, 404 | 410);
            if answer.is_success() || done_before {
                Ok(())
            } else {
                Err(answer.write_error())
            }
        })
        .collect()
}

/// Replaces the values of one field.
pub(super) fn patch(client: &Client, id: &CrmId, body: Value) -> Call {
    client.call(
        "change a contact",
        Method::Patch,
        &path(client, id),
        Some(body),
        Repeat::Safe,
    )
}

fn get(client: &Client, id: &CrmId) -> Call {
    client.get("read a contact", &path(client, id))
}

fn path(client: &Client, id: &CrmId) -> String {
    let schema = escaped(&client.schema);
    format!(
        "/entity-service/schemas/{schema}/entities/{}",
        escaped(id.as_str())
    )
}

fn state(answer: Answer, id: &CrmId) -> Result<State, RemoteError> {
    match answer.status {
        200..300 => {
            let stranger = answer.misfit("another contact than the one asked for");
            Ok(match answer.into_json() {
                Ok(entity) if record::id(&entity).as_ref() == Some(id) => State::Present(entity),
                Ok(_) => State::Unreadable(stranger.into_problem()),
                Err(error) => State::Unreadable(error.into_problem()),
            })
        }
        404 | 410 => Ok(State::NotFound),
        _ => match answer.remote_error() {
            error @ RemoteError::SignInRefused(_) => Err(error),
            error => Ok(State::Unreadable(error.into_problem())),
        },
    }
}

fn draft_body(flowfact: &Flowfact, draft: &CrmFields) -> Map<String, Value> {
    let mut body = record::draft(draft, &flowfact.schema);
    if let (Marker::FieldValue { value, .. }, Some(property)) =
        (&flowfact.marker, &flowfact.schema.marker)
    {
        body.insert(property.name.clone(), json!({ "values": [value] }));
    }
    body
}

/// What the answer to a write shows.
// On wasm the variants are small enough.
#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(clippy::large_enum_variant, reason = "nearly all of them are contacts")
)]
enum Written {
    Contact(CrmContact),
    /// No more than whose it is.
    Id(CrmId),
}

/// A create is answered in one of four forms: the entity, an object with the id, the id as JSON,
/// the id as text.
fn created(flowfact: &Flowfact, answer: Result<Answer, CallError>) -> Result<Written, WriteError> {
    let answer = answer.map_err(CallError::into_write_error)?;
    if !answer.is_success() {
        return Err(match answer.status {
            // Of the schema, not of the contact.
            404 | 410 => WriteError::NotDone(answer.remote_error()),
            _ => answer.write_error(),
        });
    }
    let no_id = answer.misfit("a new contact without an id");
    let text = answer.text();
    let (id, contact) = match serde_json::from_str::<Value>(&text) {
        Ok(entity @ Value::Object(_)) => {
            let whole = record::is_entity(&entity).then(|| flowfact.contact(&entity).ok());
            (record::id(&entity), whole.flatten())
        }
        Ok(Value::String(id)) => (plain_id(&id), None),
        _ => (plain_id(&text), None),
    };
    match (contact, id) {
        (Some(contact), _) => Ok(Written::Contact(contact)),
        (None, Some(id)) => Ok(Written::Id(id)),
        (None, None) => Err(WriteError::Unknown(no_id.into_problem())),
    }
}

/// Ids longer than this are none.
const ID_BYTES_MAX: usize = 128;

fn plain_id(text: &str) -> Option<CrmId> {
    let id = text.trim();
    let plausible = !id.is_empty()
        && id.len() <= ID_BYTES_MAX
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    plausible.then(|| CrmId::new(id))
}

fn patched(
    flowfact: &Flowfact,
    id: &CrmId,
    answer: Result<Answer, CallError>,
) -> Result<Written, WriteError> {
    let answer = answer.map_err(CallError::into_write_error)?;
    if !answer.is_success() {
        return Err(answer.write_error());
    }
    let contact = answer
        .into_json()
        .ok()
        .filter(record::is_entity)
        .and_then(|entity| flowfact.contact(&entity).ok())
        .filter(|contact| contact.id == *id);
    Ok(contact.map_or_else(|| Written::Id(id.clone()), Written::Contact))
}

/// Reads the contacts of which the answers showed no more than the id.
fn read_back(
    flowfact: &Flowfact,
    written: Vec<Result<Written, WriteError>>,
) -> Vec<Result<CrmContact, WriteError>> {
    let ids = written.iter().filter_map(|written| match written {
        Ok(Written::Id(id)) => Some(get(&flowfact.client, id)),
        _ => None,
    });
    let mut answers = flowfact.client.http.send(ids.collect()).into_iter();
    written
        .into_iter()
        .map(|written| match written? {
            Written::Contact(contact) => Ok(contact),
            Written::Id(id) => {
                let unread = |problem: Problem| {
                    let message =
                        format!("FLOWFACT's contact {id} was written: {}", problem.message);
                    WriteError::Unknown(Problem { message, ..problem })
                };
                let Some(answer) = answers.next() else {
                    return Err(WriteError::Stale);
                };
                let answer = answer.map_err(|failure| unread(failure.error.into_problem()))?;
                if !answer.is_success() {
                    return Err(unread(answer.problem().problem));
                }
                let entity = answer
                    .into_json()
                    .map_err(|error| unread(error.into_problem()))?;
                flowfact.contact(&entity).map_err(unread)
            }
        })
        .collect()
}
