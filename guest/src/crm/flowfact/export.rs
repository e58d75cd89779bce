//! All contacts with all their values, a part at a time.
//!
//! The order is that of the ids, if the search can sort and filter by them, which is not documented
//! and therefore tried on the first two pages. Otherwise it is the order of the last change: a
//! contact that is changed during the export may then come twice, but none is left out.

use serde_json::{Value, json};

use crate::crm::flowfact::search::{self, Found, Query};
use crate::crm::flowfact::{Flowfact, feed, record};
use crate::crm::{CrmCursor, ExportColumn, ExportPage, ExportRow};
use crate::http::RemoteError;

/// Contacts of one part at most.
pub(super) const PART_MAX: u32 = 1_000;

/// `after` of an export by id begins with this; of one by time, with the other.
const BY_ID: &str = "id:";
const BY_TIME: &str = "time:";

/// One part; `after` is what the part before it named as its next.
pub(super) fn page(
    flowfact: &Flowfact,
    after: Option<&str>,
    contacts_max: u32,
) -> Result<ExportPage, RemoteError> {
    let size = contacts_max.clamp(1, PART_MAX);
    if let Some(cursor) = after.and_then(|after| after.strip_prefix(BY_TIME)) {
        return by_time(flowfact, Some(cursor), size);
    }
    let last = after.and_then(|after| after.strip_prefix(BY_ID));
    let Some(found) = by_id(flowfact, last, size)? else {
        return by_time(flowfact, None, size);
    };
    let rows: Vec<ExportRow> = found.entries.iter().filter_map(row).collect();
    let more = found.has_more(0, size);
    let next_id = rows
        .last()
        .map(|row| row.id.as_str().to_owned())
        .filter(|_| more);
    if let (None, Some(next_id)) = (last, &next_id) {
        // The first part is only worth something if there is a way on.
        if by_id(flowfact, Some(next_id), size)?.is_none() {
            return by_time(flowfact, None, size);
        }
    }
    let next = next_id.map(|id| format!("{BY_ID}{id}"));
    Ok(ExportPage {
        columns: columns(flowfact),
        rows,
        next,
    })
}

const WHAT: &str = "export the contacts";

/// Contacts whose id is greater than `after`, in the order of their ids; `None` where the search
/// cannot do that.
fn by_id(
    flowfact: &Flowfact,
    after: Option<&str>,
    size: u32,
) -> Result<Option<Found>, RemoteError> {
    let condition = after.map(|after| search::condition("id", "GREATER", &json!(after)));
    let query = Query {
        conditions: condition.into_iter().collect(),
        sort: ("id".into(), true),
        offset: 0,
        size,
    };
    let found = match search::search(&flowfact.client, WHAT, &query) {
        Ok(found) => found,
        Err(RemoteError::Protocol(remote)) if remote.status == Some(400) => return Ok(None),
        Err(error) => return Err(error),
    };
    let ids: Option<Vec<_>> = found.entries.iter().map(record::id).collect();
    let in_order = ids.is_some_and(|ids| {
        let all_after = after.is_none_or(|after| ids.iter().all(|id| id.as_str() > after));
        all_after && ids.is_sorted()
    });
    Ok(in_order.then_some(found))
}

fn by_time(
    flowfact: &Flowfact,
    cursor: Option<&str>,
    size: u32,
) -> Result<ExportPage, RemoteError> {
    let cursor = cursor.map(|text| CrmCursor {
        text: text.to_owned(),
    });
    let (entries, cursor) = feed::entities(flowfact, cursor.as_ref(), size)?;
    Ok(ExportPage {
        columns: columns(flowfact),
        rows: entries.iter().filter_map(row).collect(),
        next: cursor.map(|cursor| format!("{BY_TIME}{}", cursor.text)),
    })
}

fn columns(flowfact: &Flowfact) -> Vec<ExportColumn> {
    let columns = flowfact.schema.columns.iter();
    columns
        .map(|column| ExportColumn {
            name: column.name.clone(),
            caption: column.caption.clone(),
        })
        .collect()
}

fn row(entity: &Value) -> Option<ExportRow> {
    let id = record::id(entity)?;
    let fields = record::all_values(entity).map(|(name, values)| (name.clone(), values.clone()));
    Some(ExportRow {
        id,
        fields: fields.collect(),
    })
}
