//! The marker (*Synchronisations-Merkmal*), where a contact's own field holds it.
//!
//! A write replaces the whole list of a field, so it is read immediately before, and every other
//! value goes along.

use serde_json::{Value, json};

use crate::contact::CrmId;
use crate::crm::MarkerChange;
use crate::crm::flowfact::entity::{self, State};
use crate::crm::flowfact::schema::Property;
use crate::crm::flowfact::{Flowfact, record, sync_entries};
use crate::http::{CallError, RemoteError, WriteError};
use crate::job::Marker;
use crate::report::Problem;

/// Whether each contact carries this mailbox's marker.
pub(super) fn markers(
    flowfact: &Flowfact,
    ids: &[CrmId],
) -> Result<Vec<Option<bool>>, RemoteError> {
    match &flowfact.marker {
        Marker::SyncEntry(account) => sync_entries::carried(&flowfact.client, account, ids),
        Marker::FieldValue { .. } => {
            let states = entity::states(&flowfact.client, ids)?;
            let marked = states.into_iter().map(|state| match state {
                State::Present(entity) => flowfact.contact(&entity).ok()?.marked,
                State::NotFound | State::Unreadable(_) => None,
            });
            Ok(marked.collect())
        }
    }
}

/// Sets or takes away each marker, one after the other: two changes may concern one contact.
pub(super) fn mark(flowfact: &Flowfact, changes: &[MarkerChange]) -> Vec<Result<(), WriteError>> {
    let mut halted: Option<RemoteError> = None;
    let mut results = Vec::with_capacity(changes.len());
    for change in changes {
        if let Some(error) = &halted {
            results.push(Err(WriteError::NotDone(error.clone())));
            continue;
        }
        let result = match change.marker.as_ref().unwrap_or(&flowfact.marker) {
            Marker::SyncEntry(account) => {
                sync_entries::set(&flowfact.client, account, &change.id, change.set)
            }
            Marker::FieldValue { field, value } => set(flowfact, field, value, change),
        };
        halted = match &result {
            Err(WriteError::NotDone(error)) if error.halts() => Some(error.clone()),
            _ => None,
        };
        results.push(result);
    }
    results
}

fn set(
    flowfact: &Flowfact,
    field: &str,
    wanted: &str,
    change: &MarkerChange,
) -> Result<(), WriteError> {
    let property = flowfact
        .schema
        .marker
        .as_ref()
        .filter(|property| property.name == field);
    if !flowfact
        .schema
        .columns
        .iter()
        .any(|column| column.name == field)
    {
        return Err(WriteError::Refused(no_field(field)));
    }
    let states = entity::states(&flowfact.client, std::slice::from_ref(&change.id));
    let entity = match states.map_err(WriteError::NotDone)?.pop() {
        Some(State::Present(entity)) => entity,
        Some(State::Unreadable(problem)) => return Err(WriteError::Refused(problem)),
        Some(State::NotFound) | None => return Err(WriteError::NotFound),
    };
    let mut values = record::values(&entity, field).to_vec();
    let is_set = values.iter().any(|value| record::stands_for(value, wanted));
    if is_set == change.set {
        return Ok(());
    }
    if change.set {
        values.push(Value::String(wanted.to_owned()));
        if let Some(problem) = property.and_then(|property| misfit(property, wanted, values.len()))
        {
            return Err(WriteError::Refused(problem));
        }
    } else {
        values.retain(|value| !record::stands_for(value, wanted));
    }
    let body = json!({ field: { "values": values } });
    let call = entity::patch(&flowfact.client, &change.id, body);
    let answer = flowfact
        .client
        .http
        .send_one(call)
        .map_err(CallError::into_write_error)?;
    if answer.is_success() {
        Ok(())
    } else {
        Err(answer.write_error())
    }
}

fn misfit(property: &Property, wanted: &str, count: usize) -> Option<Problem> {
    let name = &property.name;
    if property.is_list() && !property.allowed.iter().any(|allowed| allowed.key == wanted) {
        return Some(Problem {
            message: format!("FLOWFACT's list `{name}` has no value `{wanted}` for the marker"),
            remedy: Some("add the value to the list in FLOWFACT's schema".into()),
        });
    }
    let max = property.values_max?;
    usize::try_from(max).is_ok_and(|max| count > max).then(|| {
        Problem {
        message: format!("FLOWFACT's field `{name}` takes no further marker: {max} at most"),
        remedy: Some(
            "let the field take several values in FLOWFACT's schema, or keep the markers in another"
                .into(),
        ),
    }
    })
}

fn no_field(field: &str) -> Problem {
    Problem {
        message: format!("FLOWFACT's schema has no field `{field}`, where the marker should be"),
        remedy: Some(
            "correct `marker` in the configuration; `check` proposes what is there".into(),
        ),
    }
}
