//! `POST /search-service/schemas/{schema}` with a `FlowDSL` body (FLOWFACT SDK,
//! `SearchService.ts`; `Flowdsl.d.ts`).
//!
//! The index follows writes with a lag, and is assumed to reach no further than its first 10,000
//! results, as Elasticsearch does.

use serde_json::{Value, json};

use crate::crm::flowfact::Client;
use crate::http::{Answer, Call, RemoteError, Repeat, escaped};
use crate::outside::Method;

/// Contacts of one page. Third parties use 50 to 1,000; with a few kilobytes each, this stays far
/// below what the host buffers.
pub(super) const PAGE_SIZE: u32 = 200;

/// Results beyond this many of one query are never asked for.
pub(super) const WINDOW: u32 = 10_000;

const _: () = assert!(PAGE_SIZE <= 1_000 && WINDOW.is_multiple_of(PAGE_SIZE));

/// What to search for.
pub(super) struct Query {
    pub(super) conditions: Vec<Value>,
    /// Field, and whether its least value comes first.
    pub(super) sort: (String, bool),
    pub(super) offset: u32,
    pub(super) size: u32,
}

/// A part of what was found.
pub(super) struct Found {
    pub(super) entries: Vec<Value>,
    /// Of the whole query.
    pub(super) total: Option<u32>,
    /// The error in case that this page was given before.
    pub(super) same_page: RemoteError,
}

impl Found {
    /// Whether there is more behind these entries. A server may return fewer than asked for.
    pub(super) fn has_more(&self, offset: u32, size: u32) -> bool {
        let count = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let reached = offset.saturating_add(count);
        match self.total {
            // A total that stands at the window may be the window's and not the query's.
            Some(total) if total < WINDOW => count > 0 && reached < total,
            Some(total) => count > 0 && (reached < total || count >= size),
            None => count >= size,
        }
    }
}

/// A condition on a field.
pub(super) fn condition(field: &str, operator: &str, value: &Value) -> Value {
    json!({ "type": "HASFIELDWITHVALUE", "field": field, "value": value, "operator": operator })
}

/// Searches; any refusal is the service's.
pub(super) fn search(
    client: &Client,
    what: &'static str,
    query: &Query,
) -> Result<Found, RemoteError> {
    let answer = ask(client, what, query)?;
    if !answer.is_success() {
        return Err(answer.remote_error());
    }
    let misfit = answer.misfit("a search result without a list of entries");
    let same_page = answer.misfit("a page of results that it gave before");
    let mut json = answer.into_json()?;
    let total = json.get("totalCount").and_then(Value::as_u64);
    match json.get_mut("entries").map(Value::take) {
        Some(Value::Array(entries)) => Ok(Found {
            entries,
            total: total.map(|total| u32::try_from(total).unwrap_or(u32::MAX)),
            same_page,
        }),
        _ => Err(misfit),
    }
}

/// Searches, and leaves it to the caller what a refusal means.
pub(super) fn ask(
    client: &Client,
    what: &'static str,
    query: &Query,
) -> Result<Answer, RemoteError> {
    let size = query.size;
    // Both forms are sent by FLOWFACT's own client; pages count from 1.
    let place = match query.offset {
        0 => "page=1".to_owned(),
        offset => format!("offset={offset}"),
    };
    let schema = escaped(&client.schema);
    let path = format!("/search-service/schemas/{schema}?{place}&size={size}&withCount=true");
    let (field, ascending) = &query.sort;
    let direction = if *ascending { "ASC" } else { "DESC" };
    let body = json!({
        "target": "ENTITY",
        "fetch": [],
        "distinct": false,
        "joins": [],
        "aggregations": [],
        "conditions": query.conditions,
        "sorts": [{ "field": field, "direction": direction }],
    });
    let call: Call = client.call(what, Method::Post, &path, Some(body), Repeat::Safe);
    client
        .http
        .send_one(call.answers_page())
        .map_err(|failure| failure.error)
}
