//! The CSV of all CRM contacts, with nothing left out (RFC 4180).
//!
//! One column a field of the schema, after the id; a field with several values has them on lines of
//! their own within its cell. Exchange's limits do not hold here, and no phone number is rewritten.

use std::rc::Rc;

use serde_json::Value;

use crate::crm::{Crm, ExportPage, ExportRow};
use crate::job::Job;
use crate::outside::Outside;
use crate::report::{Failure, Problem};
use crate::setup::{Sides, sides};

/// A part of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whole records; the first part begins with the header.
    pub text: String,
    /// Contacts in this part.
    pub contacts: u32,
    /// `after` of the next call; `None` at the end.
    pub next: Option<String>,
}

/// The largest part (`contacts.wit`).
const PART_BYTES_MAX: usize = 1_024 * 1_024;

/// The part after `after`, or the first one, of at most `contacts_max` contacts: fewer where they
/// would not fit into one part.
pub fn part(
    job: &Job,
    outside: &Rc<dyn Outside>,
    after: Option<&str>,
    contacts_max: u32,
) -> Result<Part, Failure> {
    let Sides { mut crm, .. } = sides(job, outside)?;
    crm.connect(None).map_err(Failure::from)?;
    let mut contacts_max = contacts_max.clamp(1, 1_000);
    loop {
        let page = crm
            .export_page(after, contacts_max)
            .map_err(Failure::from)?;
        let text = csv(&page, after.is_none())?;
        if text.len() <= PART_BYTES_MAX {
            let contacts = u32::try_from(page.rows.len()).unwrap_or(u32::MAX);
            return Ok(Part {
                text,
                contacts,
                next: page.next,
            });
        }
        if contacts_max == 1 {
            return Err(Failure::TooLarge(Problem {
                message: format!("a single contact takes more than {PART_BYTES_MAX} bytes"),
                remedy: Some("look for a field that holds a file or a long text".to_owned()),
            }));
        }
        contacts_max /= 2;
    }
}

fn csv(page: &ExportPage, with_header: bool) -> Result<String, Failure> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    if with_header {
        let names = page.columns.iter().map(|column| column.caption.as_str());
        writer
            .write_record(std::iter::once("id").chain(names))
            .map_err(unwritable)?;
    }
    for row in &page.rows {
        let cells = page.columns.iter().map(|column| cell(row, &column.name));
        let id = std::iter::once(row.id.to_string());
        writer.write_record(id.chain(cells)).map_err(unwritable)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| unwritable(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cell(row: &ExportRow, name: &str) -> String {
    let values = row.fields.get(name).map(Vec::as_slice).unwrap_or_default();
    values
        .iter()
        .map(text)
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A value as people read it: of an object, its members that hold something, in their order.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(values) => joined(values.iter().map(text)),
        Value::Object(members) => joined(members.values().map(text)),
    }
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

fn unwritable(error: impl std::fmt::Display) -> Failure {
    Failure::Internal(Problem {
        message: format!("the CSV cannot be written: {error}"),
        remedy: Some("report this: it is a bug of the plugin".to_owned()),
    })
}
