//! What can be found out about a FLOWFACT company before its first pass. Writes nothing.

use std::collections::BTreeMap;

use crate::contact::{CrmId, Field};
use crate::crm::flowfact::accounts::{self, MailAccount};
use crate::crm::flowfact::schema::{self, ListValue};
use crate::crm::flowfact::search::{self, Query};
use crate::crm::flowfact::{Flowfact, feed, record, recovery, sync_entries};
use crate::http::RemoteError;
use crate::job::Marker;
use crate::report::Finding;

/// Data for the set-up, which words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Which field of the schema is which.
    pub fields: BTreeMap<Field, String>,
    /// What could not be found, or only by guessing.
    pub findings: Vec<Finding>,
    /// Where this mailbox's marker could be kept, the best first; empty where its value is not
    /// known.
    pub markers: Vec<Marker>,
    /// List fields that take several values: a new value in one of them can be the marker.
    pub lists: Vec<MarkerList>,
    /// FLOWFACT's own mail accounts; `None` where they cannot be read.
    pub accounts: Option<Vec<MailAccount>>,
    /// Whether the search obeys a filter by time; `None` where there are too few contacts to tell.
    pub filter_works: Option<bool>,
    /// How many contacts the search finds.
    pub contacts: Option<u32>,
    /// Whether the trash can be read: without it no deletion in the CRM is ever carried out.
    pub trash_readable: bool,
}

/// A list field and what it may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerList {
    /// Its name in the schema.
    pub field: String,
    /// Its values.
    pub values: Vec<ListValue>,
}

/// Words in a list's value that make it look like a marker.
const MARKER_WORDS: [&str; 3] = ["sync", "exchange", "outlook"];

/// Looks around.
pub(super) fn survey(flowfact: &Flowfact) -> Result<Survey, RemoteError> {
    let client = &flowfact.client;
    let properties = schema::properties(client, &flowfact.access)?;
    let (schema, findings) = schema::discover(&properties, &flowfact.access);
    let accounts = accounts::accounts(client)?;
    let known = accounts.as_deref().unwrap_or_default();
    let account = accounts::of_mailbox(known, flowfact.account(), &flowfact.address);
    let time = feed::time_member(client)?;
    let (filter_works, contacts) = feed::filter_works(client, time)?;
    let mut markers = Vec::new();
    let mut lists = Vec::new();
    for found in schema::marker_fields(&properties) {
        let field = found.property.name;
        if found.of_accounts {
            let value = account.map(|account| account.id.clone());
            let marker = value.map(|value| Marker::FieldValue { field, value });
            markers.splice(0..0, marker);
            continue;
        }
        let telling = found
            .property
            .allowed
            .iter()
            .filter(|value| looks_like(value, &flowfact.address));
        markers.extend(telling.map(|value| Marker::FieldValue {
            field: field.clone(),
            value: value.key.clone(),
        }));
        lists.push(MarkerList {
            field,
            values: found.property.allowed,
        });
    }
    if let (Some(account), Some(contact)) = (account, any_contact(flowfact)?)
        && sync_entries::reachable(client, &contact)?
    {
        markers.push(Marker::SyncEntry(account.id.clone()));
    }
    let trash_readable = match recovery::page(client, None, None) {
        Ok(_) => true,
        Err(RemoteError::PermissionMissing(_) | RemoteError::Protocol(_)) => false,
        Err(error) => return Err(error),
    };
    let fields = schema
        .fields
        .into_iter()
        .map(|(field, property)| (field, property.name))
        .collect();
    Ok(Survey {
        fields,
        findings,
        markers,
        lists,
        accounts,
        filter_works,
        contacts,
        trash_readable,
    })
}

fn looks_like(value: &ListValue, address: &str) -> bool {
    let texts = [value.key.to_lowercase(), value.caption.to_lowercase()];
    let address = address.to_lowercase();
    texts
        .iter()
        .any(|text| text.contains(&address) || MARKER_WORDS.iter().any(|word| text.contains(word)))
}

fn any_contact(flowfact: &Flowfact) -> Result<Option<CrmId>, RemoteError> {
    let sort = ("_metadata.lastModifiedTimestamp".to_owned(), false);
    let query = Query {
        conditions: Vec::new(),
        sort,
        offset: 0,
        size: 1,
    };
    let found = search::search(&flowfact.client, "find a contact", &query)?;
    Ok(found.entries.first().and_then(record::id))
}
