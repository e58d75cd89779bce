//! Values of the configuration that several places have: how each is written, and what is wrong
//! with it.

use secrecy::SecretString;
use toml::de::DeValue;

use super::file::Context;
use super::reader::{Placed, Section, suggestion};
use crate::credentials::SecretSource;
use crate::egress::Network;
use crate::egress::origin::{Origin, OriginError};
use crate::types::{
    ConflictWinner, CrmNotFound, DeleteEdit, Field, FieldName, FieldValue, Guard, Marker, Matching,
    NativeSync, OnCrmDelete, OnMailboxDelete, OnUnmark, Policy,
};

/// Characters of an id.
const ID_CHARACTERS_MAX: usize = 64;

/// For what a user's file says and may not.
pub(super) const NOT_YOURS: &str = "only the administrator sets this, in the main file";

/// How an id is written.
pub(super) const ID_REMEDY: &str = "use 1 to 64 characters of a-z, 0-9 and `-`";

pub(super) fn read_id(section: &Section<'_>, key: &'static str) -> Option<Placed<String>> {
    let id = section.required_text(key, ID_REMEDY)?;
    if is_id(&id.value) {
        return Some(id);
    }
    let message = format!("`{}` cannot be an id", id.value);
    section.error(&id.span, message, ID_REMEDY);
    None
}

pub(super) fn is_id(text: &str) -> bool {
    let allowed = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
    };
    (1..=ID_CHARACTERS_MAX).contains(&text.len()) && text.chars().all(allowed)
}

pub(super) fn read_region(section: &Section<'_>) -> String {
    let Some(region) = section.text("region") else {
        return "DE".into();
    };
    if region.value.len() != 2
        || !region
            .value
            .bytes()
            .all(|letter| letter.is_ascii_uppercase())
    {
        let message = format!("`{}` is no region", region.value);
        section.error(
            &region.span,
            message,
            "write two capital letters, for example \"DE\"",
        );
    }
    region.value
}

pub(super) fn read_address(section: &Section<'_>) -> Option<Placed<String>> {
    let remedy = "write the mailbox's primary address";
    let address = section.required_text("address", remedy)?;
    let parts = address.value.split_once('@');
    let fine = parts.is_some_and(|(local, domain)| {
        !local.is_empty() && domain.contains('.') && !domain.contains('@')
    }) && !address.value.contains(char::is_whitespace);
    if fine {
        return Some(address);
    }
    section.error(&address.span, "`address` is no e-mail address", remedy);
    None
}

pub(super) fn read_network(section: &Section<'_>) -> Network {
    Network {
        plain_http: section.flag("plain-http"),
        private_addresses: section.flag("private-network"),
    }
}

pub(super) fn read_url(
    section: &Section<'_>,
    key: &'static str,
    usual: &str,
    network: Network,
) -> Option<String> {
    let Some(url) = section.text(key) else {
        return (!section.has(key)).then(|| usual.to_owned());
    };
    let Err(why) = Origin::of_endpoint(&url.value, network) else {
        return Some(url.value.trim_end_matches('/').to_owned());
    };
    let remedy = match why {
        OriginError::PlainHttp => "use https, or set `plain-http = true` for a test server".into(),
        OriginError::UserInformation => "leave it out; secrets have keys of their own".into(),
        _ => format!("write it like `{usual}`"),
    };
    let message = format!("`{}` cannot be used: {why}", section.join(key));
    section.error(&url.span, message, remedy);
    None
}

/// `{ env = "NAME" }` or `{ file = "PATH" }`.
pub(super) fn read_secret(
    section: &Section<'_>,
    key: &'static str,
    context: Context<'_>,
) -> Option<SecretSource> {
    let how = format!("write `{key} = {{ env = \"NAME\" }}` or `{key} = {{ file = \"PATH\" }}`");
    if !section.has(key) {
        section.missing(key, &how);
        return None;
    }
    if let Some(inline) = section.short_form(key) {
        let message = format!("`{}` holds a secret in plain sight", section.join(key));
        section.error(
            &inline.span,
            message,
            format!("move it elsewhere, and {how}"),
        );
        return None;
    }
    let secret = section.section(key)?;
    let environment = secret.text("env");
    let file = secret.text("file");
    let inline = secret.text("value");
    secret.finish(&how);
    if let (Some(inline), false) = (&inline, context.inline_secrets) {
        let message = format!("`{}` holds a secret in plain sight", section.join(key));
        let remedy = format!("move it elsewhere, and {how}; or set `allow-inline-secrets = true`");
        section.error(&inline.span, message, remedy);
        return None;
    }
    match (environment, file, inline) {
        (Some(name), None, None) => Some(SecretSource::Environment(name.value)),
        (None, Some(path), None) => Some(SecretSource::File(context.folder.join(path.value))),
        (None, None, Some(value)) => Some(SecretSource::Value(SecretString::from(value.value))),
        _ => {
            let message = format!("`{}` does not say where the secret is", section.join(key));
            section.error(&secret.span(), message, how);
            None
        }
    }
}

/// A value in the tenant's marker field, or where it says.
pub(super) fn read_marker(section: &Section<'_>, field: &str, id: Option<&str>) -> Option<Marker> {
    let in_field = |field: &str, value: &str| {
        Marker::FieldValue(FieldValue {
            field: field.into(),
            value: value.into(),
        })
    };
    if !section.has("marker") {
        return Some(in_field(field, id?));
    }
    if let Some(value) = section.short_form("marker") {
        return Some(in_field(field, &value.value));
    }
    let marker = section.section("marker")?;
    let entry = marker.text("sync-entry");
    let (named, value) = (marker.text("field"), marker.text("value"));
    marker.finish("");
    match (entry, named, value) {
        (Some(entry), None, None) => Some(Marker::SyncEntry(entry.value)),
        (None, named, Some(value)) => {
            let field = named.map_or_else(|| field.to_owned(), |named| named.value);
            Some(in_field(&field, &value.value))
        }
        _ => {
            let message = format!(
                "`{}` does not say what marks a contact",
                section.join("marker")
            );
            let remedy = "write a value, or { field = \"…\", value = \"…\" }, or \
                          { sync-entry = \"…\" }";
            section.error(&marker.span(), message, remedy);
            None
        }
    }
}

const FIELDS: [(&str, Field); 11] = [
    ("first-name", Field::FirstName),
    ("last-name", Field::LastName),
    ("academic-title", Field::AcademicTitle),
    ("company", Field::Company),
    ("department", Field::Department),
    ("position", Field::Position),
    ("phones", Field::Phones),
    ("emails", Field::Emails),
    ("website", Field::Website),
    ("addresses", Field::Addresses),
    ("birthday", Field::Birthday),
];

pub(super) fn read_fields(section: &Section<'_>) -> Vec<FieldName> {
    let mut fields = Vec::new();
    for (name, span, value) in section.names() {
        let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = FIELDS.iter().map(|(known, _)| *known).collect();
            let message = format!("`{name}` is no field of the sync");
            section.error(&span, message, suggestion(name, &known, ""));
            continue;
        };
        match value {
            DeValue::String(text) if !text.is_empty() => {
                fields.push(FieldName {
                    field: *field,
                    name: Some(text.to_string()),
                });
            }
            DeValue::Boolean(false) => fields.push(FieldName {
                field: *field,
                name: None,
            }),
            _ => {
                let message = format!("`{}` has a value that it cannot have", section.join(name));
                let remedy = "write the field's name in your schema, or `false`";
                section.error(&span, message, remedy);
            }
        }
    }
    fields
}

/// Whose choices a policy holds. What protects the company's data is not a user's to choose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Chooser {
    Administrator,
    User,
}

pub(super) fn read_policy(section: &Section<'_>, inherited: Policy, chooser: Chooser) -> Policy {
    let Some(policy) = section.section("policy") else {
        return inherited;
    };
    let conflicts = [
        ("crm", ConflictWinner::Crm),
        ("mailbox", ConflictWinner::Mailbox),
        ("newest", ConflictWinner::Newest),
    ];
    let delete_edits = [
        ("keep-edit", DeleteEdit::KeepEdit),
        ("delete", DeleteEdit::Delete),
    ];
    let on_crm_deletes = [
        ("delete-in-mailbox", OnCrmDelete::DeleteInMailbox),
        ("keep-in-mailbox", OnCrmDelete::KeepInMailbox),
    ];
    let on_mailbox_deletes = [
        ("delete-in-crm", OnMailboxDelete::DeleteInCrm),
        ("unmark", OnMailboxDelete::Unmark),
    ];
    let on_unmarks = [
        ("keep", OnUnmark::Keep),
        ("delete-from-mailbox", OnUnmark::DeleteFromMailbox),
    ];
    let mut chosen = Policy {
        conflict: policy
            .choice("conflict", &conflicts)
            .unwrap_or(inherited.conflict),
        delete_edit: policy
            .choice("delete-edit", &delete_edits)
            .unwrap_or(inherited.delete_edit),
        on_crm_delete: policy
            .choice("on-crm-delete", &on_crm_deletes)
            .unwrap_or(inherited.on_crm_delete),
        on_mailbox_delete: policy
            .choice("on-mailbox-delete", &on_mailbox_deletes)
            .unwrap_or(inherited.on_mailbox_delete),
        on_unmark: policy
            .choice("on-unmark", &on_unmarks)
            .unwrap_or(inherited.on_unmark),
        ..inherited
    };
    if chooser == Chooser::Administrator {
        read_protection(&policy, &mut chosen);
        policy.finish("");
    } else {
        policy.finish(NOT_YOURS);
    }
    chosen
}

/// The choices that are the administrator's alone.
fn read_protection(policy: &Section<'_>, chosen: &mut Policy) {
    let matchings = [
        ("email-or-phone", Matching::EmailOrPhone),
        ("off", Matching::Off),
    ];
    chosen.matching = policy
        .choice("matching", &matchings)
        .unwrap_or(chosen.matching);
    let native_syncs = [("ask", NativeSync::Ask), ("off", NativeSync::Off)];
    chosen.native_sync = policy
        .choice("native-sync", &native_syncs)
        .unwrap_or(chosen.native_sync);
    let not_founds = [
        ("hold", CrmNotFound::Hold),
        ("deleted", CrmNotFound::Deleted),
    ];
    chosen.crm_not_found = policy
        .choice("crm-404", &not_founds)
        .unwrap_or(chosen.crm_not_found);
    let days = policy
        .number("journal-days", 1..366)
        .and_then(|days| u16::try_from(days).ok());
    chosen.journal_days = days.unwrap_or(chosen.journal_days);
    if let Some(guard) = policy.section("guard") {
        let percent = guard
            .number("percent", 0..101)
            .and_then(|share| u8::try_from(share).ok());
        chosen.guard = Guard {
            contacts_max: guard
                .number("contacts", 0..100_001)
                .unwrap_or(chosen.guard.contacts_max),
            contacts_percent_max: percent.unwrap_or(chosen.guard.contacts_percent_max),
        };
        guard.finish("");
    }
}
