//! The configuration file: which keys there are, and what they become.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use toml::de::DeValue;

use super::reader::{ConfigError, Placed, Reader, Section, suggestion};
use super::{
    Config, FLOWFACT_BASE_URL, FlowfactSettings, GRAPH_BASE_URL, MICROSOFT_AUTHORITY,
    MailboxSettings, Office365Settings, Scope, TenantSettings, usual_policy,
};
use crate::credentials::SecretSource;
use crate::egress::Network;
use crate::egress::origin::{Origin, OriginError};
use crate::types::{
    ConflictWinner, CrmNotFound, DeleteEdit, Field, FieldName, FieldValue, Guard, Marker, Matching,
    NativeSync, OnCrmDelete, OnMailboxDelete, OnUnmark, Policy,
};

/// Characters of an id.
const ID_CHARACTERS_MAX: usize = 64;

/// Bytes of a file that a user wrote.
const PERSONAL_FILE_BYTES_MAX: u64 = 64 * 1024;

pub(super) fn load(path: &Path) -> Result<Config, Vec<ConfigError>> {
    let text = read(path).map_err(|error| vec![error])?;
    let reader = Reader::new(path, &text);
    let parsed = reader.parse();
    let mut config = parsed.as_ref().and_then(|table| {
        let top = reader.top(table);
        let file = File {
            folder: path.parent().unwrap_or(Path::new("")),
            top: &top,
        };
        file.config()
    });
    let errors = reader.into_errors();
    if !errors.is_empty() {
        return Err(errors);
    }
    config.take().ok_or_else(Vec::new)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|error| ConfigError {
        file: path.to_owned(),
        place: None,
        message: format!("cannot be read: {error}"),
        remedy: "name another file with `--config FILE`, or begin with \
                 `contact-sync example-config > contact-sync.toml`"
            .into(),
    })
}

/// The main file.
struct File<'a> {
    folder: &'a Path,
    top: &'a Section<'a>,
}

/// What is said once and holds for all that follows.
#[derive(Clone, Copy)]
struct Context<'a> {
    folder: &'a Path,
    inline_secrets: bool,
}

/// Where a name was used first: to find it twice.
#[derive(Default)]
struct Seen {
    tenants: BTreeMap<String, ()>,
    /// Mailbox ids by tenant.
    mailboxes: BTreeMap<(String, String), ()>,
    /// Which mailbox of which tenant has this identity.
    identities: BTreeMap<(String, String), String>,
}

/// How users may set up mailboxes of one tenant.
struct Personal {
    folder: PathBuf,
    domains: Vec<String>,
    office365: Office365Settings,
    marker_field: String,
    policy: Policy,
}

impl File<'_> {
    fn config(&self) -> Option<Config> {
        let top = self.top;
        let store = top.required_text("store", "write `store = \"contact-sync.db\"`");
        let inline_secrets = top.flag("allow-inline-secrets");
        let context = Context {
            folder: self.folder,
            inline_secrets,
        };
        let mut seen = Seen::default();
        let mut tenants = Vec::new();
        let mut personals = Vec::new();
        let sections = top.sections("tenant");
        if !top.has("tenant") {
            top.missing(
                "tenant",
                "add a `[[tenant]]`; `contact-sync example-config` shows one",
            );
        }
        for section in &sections {
            if let Some((tenant, personal)) = read_tenant(section, context, &mut seen) {
                tenants.push(tenant);
                personals.push(personal);
            }
        }
        top.finish("");
        let mut set_aside = Vec::new();
        for (tenant, personal) in tenants.iter_mut().zip(personals) {
            if let Some(personal) = personal {
                read_personal(tenant, &personal, &mut seen, &mut set_aside);
            }
        }
        Some(Config {
            store: self.folder.join(store?.value),
            tenants,
            set_aside,
        })
    }
}

fn read_tenant(
    section: &Section<'_>,
    context: Context<'_>,
    seen: &mut Seen,
) -> Option<(TenantSettings, Option<Personal>)> {
    let id = read_id(section, "id");
    if let Some(id) = &id
        && seen.tenants.insert(id.value.clone(), ()).is_some()
    {
        let message = format!("the tenant `{}` is there twice", id.value);
        section.error(&id.span, message, "give each tenant an id of its own");
    }
    let region = read_region(section);
    let policy = read_policy(section, usual_policy(), Chooser::Administrator);
    let mut marker_field = None;
    let flowfact = match section.section("flowfact") {
        Some(flowfact) => {
            marker_field = flowfact.text("marker-field").map(|field| field.value);
            read_flowfact(&flowfact, context)
        }
        None => {
            if !section.has("flowfact") {
                section.missing("flowfact", "add `[tenant.flowfact]` with its `token`");
            }
            None
        }
    };
    let marker_field = marker_field.unwrap_or_else(|| "tags".into());
    let tenant_id = id.map(|id| id.value);
    let common = Common {
        tenant: tenant_id.as_deref(),
        marker_field: &marker_field,
        policy,
    };
    let mut mailboxes = Vec::new();
    for mailbox in &section.sections("mailbox") {
        mailboxes.extend(read_mailbox(mailbox, context, &common, seen));
    }
    let personal = section.section("personal");
    let personal = personal.and_then(|personal| read_personal_rules(&personal, context, &common));
    section.finish("");
    let tenant = TenantSettings {
        id: tenant_id?,
        region,
        flowfact: flowfact?,
        mailboxes,
    };
    Some((tenant, personal))
}

fn read_flowfact(section: &Section<'_>, context: Context<'_>) -> Option<FlowfactSettings> {
    let network = read_network(section);
    let base_url = read_url(section, "base-url", FLOWFACT_BASE_URL, network);
    let schema = section
        .text("schema")
        .map_or_else(|| "contacts".into(), |schema| schema.value);
    let company = section.text("company").map(|company| company.value);
    let fields = section
        .section("fields")
        .map_or_else(Vec::new, |fields| read_fields(&fields));
    let token = read_secret(section, "token", context);
    section.finish("");
    let (base_url, token) = (base_url?, token?);
    Some(FlowfactSettings {
        base_url,
        schema,
        company,
        fields,
        token,
        network,
    })
}

/// What a mailbox inherits from its tenant.
struct Common<'a> {
    tenant: Option<&'a str>,
    marker_field: &'a str,
    policy: Policy,
}

fn read_mailbox(
    section: &Section<'_>,
    context: Context<'_>,
    common: &Common<'_>,
    seen: &mut Seen,
) -> Option<MailboxSettings> {
    let id = read_id(section, "id");
    let address = read_address(section);
    let scopes = [("company", Scope::Company), ("personal", Scope::Personal)];
    let scope = section.choice("scope", &scopes).unwrap_or(Scope::Company);
    let marker = read_marker(
        section,
        common.marker_field,
        id.as_ref().map(|id| &*id.value),
    );
    let policy = read_policy(section, common.policy, Chooser::Administrator);
    let mut office365 = None;
    match section.section("office365") {
        Some(found) => {
            let user = found.text("user").map(|user| user.value);
            let address = address.as_ref().map(|address| address.value.clone());
            office365 = read_office365(&found, context, user.or(address));
        }
        None if !section.has("office365") => {
            section.missing("office365", "add `[tenant.mailbox.office365]` below it");
        }
        None => {}
    }
    section.finish("");
    let (id, address, office365) = (id?, address?, office365?);
    let mailbox = MailboxSettings {
        id: id.value,
        address: address.value,
        scope,
        office365,
        marker: marker?,
        policy,
    };
    if let Err((message, remedy)) = seen.add(common.tenant?, &mailbox) {
        section.error(&id.span, message, remedy);
        return None;
    }
    Some(mailbox)
}

fn read_office365(
    section: &Section<'_>,
    context: Context<'_>,
    user: Option<String>,
) -> Option<Office365Settings> {
    let network = read_network(section);
    let base_url = read_url(section, "base-url", GRAPH_BASE_URL, network);
    let authority = read_url(section, "authority", MICROSOFT_AUTHORITY, network);
    let tenant = section.required_text("tenant", "the directory (tenant) id, or a verified domain");
    let client_id = section.required_text("client-id", "the application (client) id from Entra");
    let client_secret = read_secret(section, "client-secret", context);
    let trust_if_match = section.flag("trust-if-match");
    section.finish("");
    let tenant = tenant?;
    if !tenant
        .value
        .chars()
        .all(|part| part.is_ascii_alphanumeric() || "-.".contains(part))
    {
        let message = "`tenant` is neither an id nor a domain";
        section.error(
            &tenant.span,
            message,
            "copy the directory (tenant) id from Entra",
        );
        return None;
    }
    Some(Office365Settings {
        base_url: base_url?,
        user: user?,
        trust_if_match,
        authority: format!("{}/{}/oauth2/v2.0", authority?, tenant.value),
        client_id: client_id?.value,
        client_secret: client_secret?,
        network,
    })
}

fn read_personal_rules(
    section: &Section<'_>,
    context: Context<'_>,
    common: &Common<'_>,
) -> Option<Personal> {
    let folder = section.required_text("folder", "write `folder = \"mailboxes.d\"`");
    let remedy = "write the domains of addresses that users may set up: `domains = [\"…\"]`";
    let domains = section.texts("domains");
    if !section.has("domains") {
        section.missing("domains", remedy);
    }
    let office365 = match section.section("office365") {
        // Each file says its user by its address.
        Some(found) => read_office365(&found, context, Some(String::new())),
        None => {
            if !section.has("office365") {
                section.missing("office365", "add `[tenant.personal.office365]`");
            }
            None
        }
    };
    section.finish("");
    let domains = domains?
        .value
        .iter()
        .map(|domain| domain.to_lowercase())
        .collect();
    Some(Personal {
        folder: context.folder.join(folder?.value),
        domains,
        office365: office365?,
        marker_field: common.marker_field.to_owned(),
        policy: common.policy,
    })
}

/// Reads what users have set up. A mistake in one of their files leaves that mailbox out and no other.
fn read_personal(
    tenant: &mut TenantSettings,
    personal: &Personal,
    seen: &mut Seen,
    set_aside: &mut Vec<ConfigError>,
) {
    let problem = |file: &Path, message: String, remedy: &str| ConfigError {
        file: file.to_owned(),
        place: None,
        message,
        remedy: remedy.into(),
    };
    let found = match fs::read_dir(&personal.folder) {
        Ok(found) => found,
        Err(error) => {
            let message = format!("the folder of personal mailboxes cannot be read: {error}");
            set_aside.push(problem(
                &personal.folder,
                message,
                "create it, or leave it out",
            ));
            return;
        }
    };
    let mut files: Vec<_> = found.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    for path in files {
        let large = fs::metadata(&path).is_ok_and(|found| found.len() > PERSONAL_FILE_BYTES_MAX);
        if large {
            let message = format!("has more than {PERSONAL_FILE_BYTES_MAX} bytes");
            set_aside.push(problem(&path, message, "write only the mailbox into it"));
            continue;
        }
        match read_personal_file(&path, personal) {
            Ok(mailbox) => match seen.add(&tenant.id, &mailbox) {
                Ok(()) => tenant.mailboxes.push(mailbox),
                Err((message, remedy)) => set_aside.push(problem(&path, message, remedy)),
            },
            Err(errors) => set_aside.extend(errors),
        }
    }
}

fn read_personal_file(
    path: &Path,
    personal: &Personal,
) -> Result<MailboxSettings, Vec<ConfigError>> {
    let text = read(path).map_err(|error| vec![error])?;
    let reader = Reader::new(path, &text);
    let parsed = reader.parse();
    let mailbox = parsed.as_ref().and_then(|table| {
        let section = reader.top(table);
        let id = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default()
            .to_owned();
        if !is_id(&id) {
            let message = format!("the file's name `{id}` cannot be a mailbox's id");
            section.error(&section.span(), message, ID_REMEDY);
        }
        let address = read_address(&section);
        if let Some(address) = &address
            && !personal.allows(&address.value)
        {
            let message = "`address` is of a domain that users may not set up";
            let remedy = "ask the administrator to add it to `domains`";
            section.error(&address.span, message, remedy);
        }
        let value = section
            .text("marker")
            .map_or_else(|| id.clone(), |marker| marker.value);
        let policy = read_policy(&section, personal.policy, Chooser::User);
        section.finish(NOT_YOURS);
        let address = address?.value;
        let office365 = Office365Settings {
            user: address.clone(),
            ..personal.office365.clone()
        };
        let field = personal.marker_field.clone();
        let marker = Marker::FieldValue(FieldValue { field, value });
        Some(MailboxSettings {
            id,
            address,
            scope: Scope::Personal,
            office365,
            marker,
            policy,
        })
    });
    let errors = reader.into_errors();
    if !errors.is_empty() {
        return Err(errors);
    }
    mailbox.ok_or_else(Vec::new)
}

impl Personal {
    fn allows(&self, address: &str) -> bool {
        let domain = address
            .rsplit_once('@')
            .map(|(_, domain)| domain.to_lowercase());
        domain.is_some_and(|domain| self.domains.contains(&domain))
    }
}

impl Seen {
    /// Remembers a mailbox, unless its id or its identity is taken: a second engine on one mailbox
    /// would fight the first (contract, 2.6).
    fn add(
        &mut self,
        tenant: &str,
        mailbox: &MailboxSettings,
    ) -> Result<(), (String, &'static str)> {
        let key = (tenant.to_owned(), mailbox.id.clone());
        if self.mailboxes.contains_key(&key) {
            let message = format!("the mailbox `{}` is there twice", mailbox.id);
            return Err((message, "give each mailbox of a tenant an id of its own"));
        }
        let service = mailbox.office365.base_url.to_lowercase();
        let names = [&mailbox.office365.user, &mailbox.address];
        for name in names {
            if let Some(other) = self.identities.get(&(service.clone(), name.to_lowercase())) {
                let message = format!(
                    "the mailbox `{}` of tenant `{tenant}` is the same as {other}",
                    mailbox.id
                );
                return Err((
                    message,
                    "remove one of them: two passes on one mailbox fight",
                ));
            }
        }
        let me = format!("`{}` of tenant `{tenant}`", mailbox.id);
        for name in names {
            self.identities
                .insert((service.clone(), name.to_lowercase()), me.clone());
        }
        self.mailboxes.insert(key, ());
        Ok(())
    }
}

const NOT_YOURS: &str = "only the administrator sets this, in the main file";

const ID_REMEDY: &str = "use 1 to 64 characters of a-z, 0-9 and `-`";

fn read_id(section: &Section<'_>, key: &'static str) -> Option<Placed<String>> {
    let id = section.required_text(key, ID_REMEDY)?;
    if is_id(&id.value) {
        return Some(id);
    }
    let message = format!("`{}` cannot be an id", id.value);
    section.error(&id.span, message, ID_REMEDY);
    None
}

fn is_id(text: &str) -> bool {
    let allowed = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
    };
    (1..=ID_CHARACTERS_MAX).contains(&text.len()) && text.chars().all(allowed)
}

fn read_region(section: &Section<'_>) -> String {
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

fn read_address(section: &Section<'_>) -> Option<Placed<String>> {
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

fn read_network(section: &Section<'_>) -> Network {
    Network {
        plain_http: section.flag("plain-http"),
        private_addresses: section.flag("private-network"),
    }
}

fn read_url(
    section: &Section<'_>,
    key: &'static str,
    usual: &str,
    network: Network,
) -> Option<String> {
    let Some(url) = section.text(key) else {
        return (!section.has(key)).then(|| usual.to_owned());
    };
    let why = match Origin::of_endpoint(&url.value, network) {
        Ok(_) => return Some(url.value.trim_end_matches('/').to_owned()),
        Err(why) => why,
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
fn read_secret(
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
fn read_marker(section: &Section<'_>, field: &str, id: Option<&str>) -> Option<Marker> {
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

fn read_fields(section: &Section<'_>) -> Vec<FieldName> {
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
enum Chooser {
    Administrator,
    User,
}

fn read_policy(section: &Section<'_>, inherited: Policy, chooser: Chooser) -> Policy {
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
