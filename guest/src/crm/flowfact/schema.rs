//! Which field is called what: `GET /schema-service/v2/schemas/{schema}?extensions=all` (FLOWFACT
//! types, `SchemaV2.d.ts`).
//!
//! Every company may change its schema. A few names are proven by FLOWFACT's own packages
//! (`ContactUtil.js`, `Contact.d.ts`); all others are found by type and caption, or named by the
//! job. What is not in the schema takes no part.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

use crate::contact::Field;
use crate::crm::flowfact::Client;
use crate::http::{Answer, RemoteError, escaped};
use crate::job::{FlowfactAccess, Marker};
use crate::report::{Finding, Severity};

/// What was learnt at set-up, remembered between passes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Schema {
    /// The settings that it was learnt for: others, and it is read anew.
    pub(super) settings: String,
    /// The fields that take part.
    pub(super) fields: BTreeMap<Field, Property>,
    /// Where the marker is kept, if in a field, and if there is one of that name.
    pub(super) marker: Option<Property>,
    /// Every field of the schema.
    pub(super) columns: Vec<Column>,
    /// By which time the search knows changes.
    pub(super) time: TimeMember,
}

/// One field of the schema, as far as writing it needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Property {
    pub(super) name: String,
    /// `TEXT`, `LIST`, `PHONE`, …
    pub(super) kind: String,
    /// The most values; `None` where the schema says nothing.
    pub(super) values_max: Option<u32>,
    pub(super) read_only: bool,
    /// The allowed values of a `LIST`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) allowed: Vec<ListValue>,
}

/// One allowed value of a list field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListValue {
    /// What a contact holds.
    pub key: String,
    /// What people see.
    pub caption: String,
}

/// A field of the schema, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name in the schema.
    pub name: String,
    /// What people call it.
    pub caption: String,
}

/// Which member of `_metadata` the search sorts and filters by. Types name
/// `lastModifiedTimestamp`; an answer recorded in 2020 has only `timestamp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum TimeMember {
    #[default]
    LastModified,
    Timestamp,
}

impl TimeMember {
    pub(super) fn member(self) -> &'static str {
        match self {
            Self::LastModified => "lastModifiedTimestamp",
            Self::Timestamp => "timestamp",
        }
    }
}

impl Property {
    /// What people see of a list's value.
    pub(super) fn caption_of(&self, key: &str) -> Option<&str> {
        let value = self.allowed.iter().find(|value| value.key == key)?;
        Some(&value.caption)
    }

    /// The list's value that people see as `text`, if it is only one.
    pub(super) fn key_of(&self, text: &str) -> Option<&str> {
        if let Some(value) = self.allowed.iter().find(|value| value.key == text) {
            return Some(&value.key);
        }
        let folded = folded(text);
        let mut hits = self
            .allowed
            .iter()
            .filter(|value| self::folded(&value.caption) == folded);
        let hit = hits.next()?;
        hits.next().is_none().then_some(&*hit.key)
    }

    pub(super) fn is_list(&self) -> bool {
        self.kind == "LIST"
    }
}

/// Where a field is looked for.
struct Wanted {
    field: Field,
    /// The proven name.
    name: Option<&'static str>,
    /// Types that can hold it.
    kinds: &'static [&'static str],
    /// Names and captions without blanks and punctuation, the most telling first.
    words: &'static [&'static str],
    /// A type that nothing else would have.
    own_kind: Option<&'static str>,
}

const TEXT: &[&str] = &["TEXT"];
const TEXT_OR_LIST: &[&str] = &["TEXT", "LIST"];

const WANTED: [Wanted; 11] = [
    wanted(
        Field::FirstName,
        Some("firstName"),
        TEXT,
        &["vorname", "firstname", "givenname"],
        None,
    ),
    wanted(
        Field::LastName,
        Some("lastName"),
        TEXT,
        &["nachname", "lastname", "surname"],
        None,
    ),
    wanted(
        Field::AcademicTitle,
        None,
        TEXT_OR_LIST,
        &[
            "akademischertitel",
            "akademischergrad",
            "academictitle",
            "titel",
            "title",
        ],
        None,
    ),
    wanted(
        Field::Company,
        Some("company"),
        TEXT,
        &["firma", "unternehmen", "company"],
        None,
    ),
    wanted(
        Field::Department,
        None,
        TEXT_OR_LIST,
        &["abteilung", "department"],
        None,
    ),
    wanted(
        Field::Position,
        None,
        TEXT_OR_LIST,
        &["position", "funktion", "jobtitle"],
        None,
    ),
    wanted(
        Field::Phones,
        Some("phones"),
        &["PHONE"],
        &["telefonnummern", "telefon"],
        Some("PHONE"),
    ),
    wanted(
        Field::Emails,
        Some("emails"),
        &["EMAIL", "TEXT"],
        &["emailadressen", "emailadresse", "emails", "email"],
        Some("EMAIL"),
    ),
    wanted(
        Field::Website,
        None,
        &["URL", "TEXT"],
        &[
            "website",
            "webseite",
            "homepage",
            "internetseite",
            "internetadresse",
            "internet",
            "web",
        ],
        Some("URL"),
    ),
    wanted(
        Field::Addresses,
        Some("addresses"),
        &["ADDRESS"],
        &["adressen", "adresse", "anschrift"],
        Some("ADDRESS"),
    ),
    wanted(
        Field::Birthday,
        None,
        &["DATE"],
        &[
            "geburtstag",
            "geburtsdatum",
            "birthday",
            "dateofbirth",
            "birthdate",
        ],
        None,
    ),
];

const fn wanted(
    field: Field,
    name: Option<&'static str>,
    kinds: &'static [&'static str],
    words: &'static [&'static str],
    own_kind: Option<&'static str>,
) -> Wanted {
    Wanted {
        field,
        name,
        kinds,
        words,
        own_kind,
    }
}

/// The schema's properties, by name.
pub(super) fn properties(
    client: &Client,
    access: &FlowfactAccess,
) -> Result<Map<String, Value>, RemoteError> {
    let mut answer = get(client, &access.schema)?;
    if matches!(answer.status, 404 | 410) {
        // The name may be spelled otherwise, or the schema be known by its id only.
        let Some(id) = listed_id(client, &access.schema)? else {
            return Err(no_schema(&answer, &access.schema));
        };
        answer = get(client, &id)?;
    }
    if !answer.is_success() {
        return Err(answer.remote_error());
    }
    let misfit = answer.misfit("a schema without properties");
    match answer.into_json()?.get_mut("properties").map(Value::take) {
        Some(Value::Object(properties)) => Ok(properties),
        _ => Err(misfit),
    }
}

/// What the schema is read for.
pub(super) fn settings(access: &FlowfactAccess) -> String {
    let FlowfactAccess {
        base_url,
        schema,
        company,
        fields,
        marker,
    } = access;
    serde_json::json!([FORMAT, base_url, schema, company, fields, marker]).to_string()
}

/// Format of what is remembered.
const FORMAT: u32 = 1;

/// Finds the fields in a schema's properties.
pub(super) fn discover(
    properties: &Map<String, Value>,
    access: &FlowfactAccess,
) -> (Schema, Vec<Finding>) {
    let all: Vec<Found> = properties
        .iter()
        .map(|(name, json)| Found::read(name, json))
        .collect();
    let mut schema = Schema {
        settings: settings(access),
        columns: all.iter().map(Found::column).collect(),
        ..Schema::default()
    };
    let mut findings = Vec::new();
    let mut taken: BTreeSet<&str> = access
        .fields
        .values()
        .flatten()
        .map(String::as_str)
        .collect();
    for wanted in &WANTED {
        let chosen = match access.fields.get(&wanted.field) {
            Some(None) => continue,
            Some(Some(name)) => named(wanted, name, &all),
            None => sought(wanted, &all, &taken),
        };
        match chosen {
            Ok(found) => {
                taken.insert(&found.property.name);
                findings.extend(
                    found
                        .property
                        .read_only
                        .then(|| read_only(wanted.field, found)),
                );
                schema.fields.insert(wanted.field, found.property.clone());
            }
            Err(finding) => findings.push(*finding),
        }
    }
    if let Marker::FieldValue { field, value } = &access.marker {
        match all.iter().find(|found| found.property.name == *field) {
            Some(found) => {
                findings.extend(unknown_marker_value(found, value));
                schema.marker = Some(found.property.clone());
            }
            None => findings.push(no_marker_field(field)),
        }
    }
    (schema, findings)
}

/// A field that could hold markers.
pub(super) struct MarkerField {
    pub(super) property: Property,
    /// `EMAIL_ACCOUNT`: made for the purpose.
    pub(super) of_accounts: bool,
}

/// Fields that could hold a marker beside other values.
pub(super) fn marker_fields(properties: &Map<String, Value>) -> Vec<MarkerField> {
    let all = properties
        .iter()
        .map(|(name, json)| Found::read(name, json).property);
    all.filter(|property| !property.read_only)
        .filter(|property| property.kind == "EMAIL_ACCOUNT" || property.is_list())
        .filter(|property| property.kind == "EMAIL_ACCOUNT" || property.values_max != Some(1))
        .map(|property| MarkerField {
            of_accounts: !property.is_list(),
            property,
        })
        .collect()
}

/// One property of the schema's answer.
struct Found {
    property: Property,
    caption: String,
    /// Name and captions, without blanks and punctuation.
    words: BTreeSet<String>,
}

impl Found {
    fn read(name: &str, json: &Value) -> Self {
        let kind = json.get("type").and_then(Value::as_str).unwrap_or_default();
        let flag = |member| json.get(member).and_then(Value::as_bool);
        let items_max = json.get("maxItems").and_then(Value::as_u64);
        let values_max = match flag("hasMultipleValues") {
            Some(false) => Some(1),
            _ => items_max.map(|max| u32::try_from(max).unwrap_or(u32::MAX)),
        };
        let property = Property {
            name: name.to_owned(),
            kind: kind.to_ascii_uppercase(),
            values_max,
            read_only: flag("readOnly").unwrap_or(false),
            allowed: allowed(json),
        };
        let captions = captions(json);
        let words = captions
            .iter()
            .map(String::as_str)
            .chain([name])
            .map(folded)
            .collect();
        let caption = captions
            .into_iter()
            .next()
            .unwrap_or_else(|| name.to_owned());
        Self {
            property,
            caption,
            words,
        }
    }

    fn column(&self) -> Column {
        Column {
            name: self.property.name.clone(),
            caption: self.caption.clone(),
        }
    }

    fn has_kind(&self, kinds: &[&str]) -> bool {
        kinds.contains(&self.property.kind.as_str())
    }
}

/// Captions by language, German first.
fn captions(json: &Value) -> Vec<String> {
    let Some(Value::Object(captions)) = json.get("captions") else {
        return Vec::new();
    };
    let german = captions.get("de").into_iter();
    let others = captions
        .iter()
        .filter(|(language, _)| *language != "de")
        .map(|(_, text)| text);
    german
        .chain(others)
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn allowed(json: &Value) -> Vec<ListValue> {
    let Some(Value::Object(fields)) = json.get("fields") else {
        return Vec::new();
    };
    fields
        .iter()
        .map(|(key, setting)| ListValue {
            key: key.clone(),
            caption: captions(setting)
                .into_iter()
                .next()
                .unwrap_or_else(|| key.clone()),
        })
        .collect()
}

/// Letters and digits in lower case: `E-Mail-Adresse` and `E-Mail Adresse` are one word.
fn folded(text: &str) -> String {
    text.chars()
        .filter(|character| character.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

type Chosen<'a> = Result<&'a Found, Box<Finding>>;

fn named<'a>(wanted: &Wanted, name: &str, all: &'a [Found]) -> Chosen<'a> {
    let schema_has = all.iter().find(|found| found.property.name == name);
    let message = match schema_has {
        Some(found) if found.has_kind(wanted.kinds) => return Ok(found),
        Some(found) => format!(
            "the field `{name}` is of type {}, which cannot hold this; it takes no part",
            found.property.kind
        ),
        None => format!("FLOWFACT's schema has no field `{name}`; it takes no part"),
    };
    Err(Box::new(Finding {
        severity: Severity::Error,
        code: "crm-field-wrong".into(),
        message,
        remedy: Some("correct the name in the configuration, under `fields`".into()),
        contact: None,
        field: Some(wanted.field),
    }))
}

fn sought<'a>(wanted: &Wanted, all: &'a [Found], taken: &BTreeSet<&str>) -> Chosen<'a> {
    let free = |found: &&Found| !taken.contains(found.property.name.as_str());
    let fitting: Vec<&Found> = all
        .iter()
        .filter(free)
        .filter(|found| found.has_kind(wanted.kinds))
        .collect();
    let by_name = fitting
        .iter()
        .find(|found| Some(&*found.property.name) == wanted.name);
    if let Some(found) = by_name {
        return Ok(found);
    }
    let by_word = wanted.words.iter().map(|word| {
        fitting
            .iter()
            .copied()
            .filter(|found| found.words.contains(*word))
            .collect::<Vec<_>>()
    });
    let by_kind = wanted.own_kind.map(|kind| {
        fitting
            .iter()
            .copied()
            .filter(|found| found.property.kind == kind)
            .collect::<Vec<_>>()
    });
    for hits in by_word.chain(by_kind) {
        match hits.as_slice() {
            [] => {}
            [found] => return Ok(found),
            several => return Err(Box::new(ambiguous(wanted, several))),
        }
    }
    Err(Box::new(not_found(wanted)))
}

fn ambiguous(wanted: &Wanted, several: &[&Found]) -> Finding {
    let names: Vec<&str> = several
        .iter()
        .map(|found| found.property.name.as_str())
        .collect();
    Finding {
        severity: Severity::Warning,
        code: "crm-field-ambiguous".into(),
        message: format!(
            "several fields of FLOWFACT's schema could be meant, so none takes part: {}",
            names.join(", ")
        ),
        remedy: Some("name the right one in the configuration, under `fields`".into()),
        contact: None,
        field: Some(wanted.field),
    }
}

fn not_found(wanted: &Wanted) -> Finding {
    let severity = if wanted.name.is_some() {
        Severity::Warning
    } else {
        Severity::Note
    };
    Finding {
        severity,
        code: "crm-field-not-found".into(),
        message: "FLOWFACT's schema has no field that looks like this one; it takes no part".into(),
        remedy: Some("if there is one, name it in the configuration, under `fields`".into()),
        contact: None,
        field: Some(wanted.field),
    }
}

fn read_only(field: Field, found: &Found) -> Finding {
    Finding {
        severity: Severity::Note,
        code: "crm-field-read-only".into(),
        message: format!(
            "FLOWFACT's field `{}` cannot be written; it is carried to the mailbox only",
            found.property.name
        ),
        remedy: None,
        contact: None,
        field: Some(field),
    }
}

fn unknown_marker_value(found: &Found, value: &str) -> Option<Finding> {
    let property = &found.property;
    if !property.is_list() || property.allowed.iter().any(|allowed| allowed.key == value) {
        return None;
    }
    Some(Finding {
        severity: Severity::Error,
        code: "marker-value-missing".into(),
        message: format!("FLOWFACT's list `{}` has no value `{value}`", property.name),
        remedy: Some(
            "add the value to the list in FLOWFACT, or correct `marker` in the configuration"
                .into(),
        ),
        contact: None,
        field: None,
    })
}

fn no_marker_field(field: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        code: "marker-field-missing".into(),
        message: format!(
            "FLOWFACT's schema has no field `{field}`, which the configuration names for the marker"
        ),
        remedy: Some(
            "correct `marker` in the configuration; `check` proposes what is there".into(),
        ),
        contact: None,
        field: None,
    }
}

fn get(client: &Client, schema: &str) -> Result<Answer, RemoteError> {
    let path = format!(
        "/schema-service/v2/schemas/{}?extensions=all",
        escaped(schema)
    );
    let call = client
        .get("read the schema of contacts", &path)
        .answers_page();
    client.http.send_one(call).map_err(|failure| failure.error)
}

/// Pages of the list of schemas that are looked at.
const LIST_PAGES_MAX: u32 = 20;

/// The id of the schema of this name, from `GET /schema-service/v2/schemas`, which comes in pages.
fn listed_id(client: &Client, name: &str) -> Result<Option<String>, RemoteError> {
    for page in 1..=LIST_PAGES_MAX {
        let path = format!("/schema-service/v2/schemas?page={page}");
        let call = client.get("list the schemas", &path).answers_page();
        let answer = client
            .http
            .send_one(call)
            .map_err(|failure| failure.error)?;
        if !answer.is_success() {
            return Err(answer.remote_error());
        }
        let json = answer.into_json()?;
        let entries = json
            .get("entries")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let hit = entries.iter().find(|entry| {
            let text = |member| {
                entry
                    .get(member)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            text("name").eq_ignore_ascii_case(name)
        });
        if let Some(entry) = hit {
            let text = |member| entry.get(member).and_then(Value::as_str).map(str::to_owned);
            return Ok(text("name")
                .filter(|found| found != name)
                .or_else(|| text("id")));
        }
        let total = json.get("totalCount").and_then(Value::as_u64).unwrap_or(0);
        let size = json.get("pageSize").and_then(Value::as_u64).unwrap_or(0);
        if entries.is_empty() || u64::from(page).saturating_mul(size) >= total {
            break;
        }
    }
    Ok(None)
}

fn no_schema(answer: &Answer, schema: &str) -> RemoteError {
    let mut remote = answer.problem();
    remote.problem.message = format!("FLOWFACT has no schema `{schema}`");
    remote.problem.remedy = Some(
        "correct `schema` in the configuration (it usually is `contacts`), or let the API user see \
         it"
        .into(),
    );
    RemoteError::Protocol(remote)
}
