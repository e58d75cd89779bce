//! The schema of contacts, which every company may change.

use serde_json::{Map, Value, json};

use super::quirks::BadValue;

/// The fields of the `contacts` schema.
///
/// FLOWFACT's own schema is not published. The names that its SDK or recorded answers prove are
/// used as they are; the others (`title`, `position`, `department`, `website`, `birthday`, `note`)
/// exist in its user interface under these captions, but what they are called inside is a guess.
/// That is the point: a client must find them by type and caption.
#[derive(Clone, Debug)]
pub struct Schema {
    id: String,
    properties: Map<String, Value>,
}

/// How a contact says that it syncs with a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerKind {
    /// In the field `synchronisation` of type `EMAIL_ACCOUNT`.
    AccountField,
    /// By a value of the LIST field `tags`.
    Tag,
    /// By an entry of `nylas-contact-sync-service`.
    SyncEntry,
}

/// The name of the `EMAIL_ACCOUNT` field.
pub const ACCOUNT_FIELD: &str = "synchronisation";

/// The name of the LIST field of tags.
pub const TAGS_FIELD: &str = "tags";

impl Schema {
    pub(super) fn new(id: String, with_account_field: bool) -> Self {
        let mut schema = Self {
            id,
            properties: Map::new(),
        };
        for (name, kind, caption, multiple) in FIELDS {
            schema.add(name, kind, caption, multiple);
        }
        if with_account_field {
            schema.add(ACCOUNT_FIELD, "EMAIL_ACCOUNT", "Synchronisation", true);
        }
        for (field, values) in LISTS {
            for (value, caption) in values {
                schema.allow(field, value, caption);
            }
        }
        for name in ["identifier", "salutationletter"] {
            schema.set(name, "readOnly", Value::Bool(true));
        }
        schema.set("parent", "lnk_schema", "contacts".into());
        schema.set("birthday", "format", "DD.MM.YYYY".into());
        schema
    }

    /// Adds a field, or replaces one.
    pub fn add(&mut self, name: &str, kind: &str, caption: &str, multiple: bool) {
        let mut property = json!({
            "type": kind,
            "captions": {"de": caption},
            "hasMultipleValues": multiple,
        });
        if multiple {
            set_member(&mut property, "maxItems", json!(99));
        }
        if kind == "LIST" {
            set_member(&mut property, "fields", json!({}));
        }
        self.properties.insert(name.to_owned(), property);
    }

    /// Takes a field out: its values stay, but nobody sees them any more.
    pub fn remove(&mut self, name: &str) {
        self.properties.shift_remove(name);
    }

    /// Adds a value that a LIST field allows.
    pub fn allow(&mut self, field: &str, value: &str, caption: &str) {
        let setting = json!({"value": value, "captions": {"de": caption}});
        if let Some(property) = self.properties.get_mut(field)
            && let Some(fields) = property.get_mut("fields").and_then(Value::as_object_mut)
        {
            fields.insert(value.to_owned(), setting);
        }
    }

    /// Sets a member of a field's description.
    pub fn set(&mut self, name: &str, member: &str, value: Value) {
        if let Some(property) = self.properties.get_mut(name) {
            set_member(property, member, value);
        }
    }

    /// Whether there is such a field.
    pub fn has(&self, name: &str) -> bool {
        self.properties.contains_key(name)
    }

    pub(super) fn kind(&self, name: &str) -> Option<&str> {
        self.properties.get(name)?.get("type")?.as_str()
    }

    pub(super) fn is_read_only(&self, name: &str) -> bool {
        let property = self.properties.get(name);
        let read_only = property.and_then(|property| property.get("readOnly"));
        read_only.and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn is_multiple(&self, name: &str) -> bool {
        let property = self.properties.get(name);
        let multiple = property.and_then(|property| property.get("hasMultipleValues"));
        multiple.and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn allows(&self, field: &str, value: &str) -> bool {
        let property = self.properties.get(field);
        let fields = property.and_then(|property| property.get("fields"));
        fields.is_some_and(|fields| fields.get(value).is_some())
    }

    /// What a read of the schema is answered.
    pub(super) fn answer(&self) -> Value {
        json!({
            "id": self.id,
            "name": "contacts",
            "groups": ["taskboard", "history"],
            "captions": {"de": "Kontakte", "en": "Contacts"},
            "properties": self.properties,
            "metadata": {},
            "global": true,
        })
    }
}

/// Why a value is not taken as it is.
pub(super) struct Misfit {
    pub(super) treatment: BadValue,
    pub(super) reason: String,
}

impl Schema {
    /// Whether `value` is one that the field `name` can hold.
    pub(super) fn judge(&self, name: &str, value: &Value, list: BadValue) -> Result<(), Misfit> {
        let wrong = |reason: &str| {
            Err(Misfit {
                treatment: BadValue::Refused,
                reason: format!("{name}: {reason}"),
            })
        };
        match self.kind(name).unwrap_or("JSON") {
            "LIST" => match value.as_str() {
                Some(text) if self.allows(name, text) => Ok(()),
                Some(text) => Err(Misfit {
                    treatment: list,
                    reason: format!("{name}: {text} is not a possible value"),
                }),
                None => wrong("text expected"),
            },
            "PHONE" => judge_object(
                value,
                &["private", "office", "other", "mobile", ""],
                "number",
            )
            .or_else(wrong),
            "ADDRESS" => {
                judge_object(value, &["private", "office", "other", ""], "").or_else(wrong)
            }
            "DATE" | "NUMBER" if !value.is_number() => wrong("number expected"),
            "CHECKBOX" if !value.is_boolean() => wrong("true or false expected"),
            "TEXT" | "TEXTAREA" | "URL" | "EMAIL_ACCOUNT" | "SCHEMA" if !value.is_string() => {
                wrong("text expected")
            }
            "EMAIL" if !value.is_string() && !value.is_object() => wrong("e-mail expected"),
            _ => Ok(()),
        }
    }
}

/// An object that has one of these types, and a member that must be text.
fn judge_object(value: &Value, types: &[&str], required: &str) -> Result<(), &'static str> {
    let Some(object) = value.as_object() else {
        return Err("object expected");
    };
    match object.get("type") {
        None | Some(Value::Null) => {}
        Some(Value::String(kind)) if types.contains(&kind.as_str()) => {}
        Some(_) => return Err("unknown type"),
    }
    if !required.is_empty() && !object.get(required).is_some_and(Value::is_string) {
        return Err("member missing");
    }
    Ok(())
}

fn set_member(object: &mut Value, member: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(member.to_owned(), value);
    }
}

/// Name, type, German caption, several values.
const FIELDS: [(&str, &str, &str, bool); 24] = [
    ("identifier", "TEXT", "Kennung", false),
    ("salutation", "LIST", "Anrede", false),
    ("title", "TEXT", "Titel", false),
    ("firstName", "TEXT", "Vorname", false),
    ("lastName", "TEXT", "Nachname", false),
    ("salutationformal", "TEXT", "Förmliche Anrede", false),
    ("salutationletter", "TEXT", "Briefanrede", false),
    ("company", "TEXT", "Firma", false),
    ("department", "TEXT", "Abteilung", false),
    ("position", "TEXT", "Position", false),
    ("phones", "PHONE", "Telefonnummern", true),
    ("emails", "EMAIL", "E-Mail-Adressen", true),
    ("website", "URL", "Webseite", false),
    ("addresses", "ADDRESS", "Adressen", true),
    ("birthday", "DATE", "Geburtstag", false),
    ("language", "LIST", "Sprache", false),
    ("note", "TEXTAREA", "Notiz", false),
    (TAGS_FIELD, "LIST", "Merkmale", true),
    ("keywords", "TEXT", "Stichworte", true),
    ("status", "LIST", "Status", false),
    ("parent", "SCHEMA", "Gehört zu", false),
    ("images", "MEDIA", "Bilder", true),
    ("contacttypes_allowed", "JSON", "Erlaubte Kontaktwege", true),
    ("newsletter", "CHECKBOX", "Newsletter", false),
];

/// What the LIST fields allow: value and caption.
const LISTS: [(&str, &[(&str, &str)]); 4] = [
    (
        "salutation",
        &[("01", "Frau"), ("02", "Herr"), ("03", "Firma")],
    ),
    ("language", &[("de", "Deutsch"), ("en", "Englisch")]),
    (
        TAGS_FIELD,
        &[
            ("owner", "Eigentümer"),
            ("interested", "Interessent"),
            ("tenant", "Mieter"),
            ("craftsman", "Handwerker"),
        ],
    ),
    (
        "status",
        &[
            ("active", "Aktiv"),
            ("inactive", "Inaktiv"),
            ("archived", "Archiviert"),
        ],
    ),
];
