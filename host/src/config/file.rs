//! The configuration file: which keys there are, and what they become.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::exchange::{Around, read_certificates, read_exchange_server};
use super::personal::{Personal, read_personal, read_personal_rules};
use super::reader::{ConfigError, Reader, Section};
use super::values::{
    Chooser, read_address, read_fields, read_id, read_marker, read_network, read_policy,
    read_region, read_secret, read_url,
};
use super::{
    Config, FLOWFACT_BASE_URL, FlowfactSettings, GRAPH_BASE_URL, MICROSOFT_AUTHORITY,
    MailboxServer, MailboxSettings, Office365Settings, Scope, TenantSettings, usual_policy,
};
use crate::egress::trust::Certificates;
use crate::types::Policy;

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

pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
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
pub(super) struct Context<'a> {
    pub(super) folder: &'a Path,
    pub(super) inline_secrets: bool,
}

/// Where a name was used first: to find it twice.
#[derive(Default)]
pub(super) struct Seen {
    tenants: BTreeSet<String>,
    /// Mailbox ids by tenant.
    mailboxes: BTreeSet<(String, String)>,
    /// Which mailbox of which tenant has this identity.
    identities: BTreeMap<(String, String), String>,
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
        && !seen.tenants.insert(id.value.clone())
    {
        let message = format!("the tenant `{}` is there twice", id.value);
        section.error(&id.span, message, "give each tenant an id of its own");
    }
    let region = read_region(section);
    let policy = read_policy(section, usual_policy(), Chooser::Administrator);
    let certificates = read_certificates(section, context.folder).unwrap_or_default();
    let mut marker_field = None;
    let remedy = "add `[tenant.flowfact]` with its `token`";
    let flowfact = section
        .required_section("flowfact", remedy)
        .and_then(|flowfact| {
            marker_field = flowfact.text("marker-field").map(|field| field.value);
            read_flowfact(&flowfact, context)
        });
    let marker_field = marker_field.unwrap_or_else(|| "tags".into());
    let tenant_id = id.map(|id| id.value);
    let common = Common {
        tenant: tenant_id.as_deref(),
        marker_field: &marker_field,
        policy,
        certificates: &certificates,
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
pub(super) struct Common<'a> {
    tenant: Option<&'a str>,
    pub(super) marker_field: &'a str,
    pub(super) policy: Policy,
    pub(super) certificates: &'a Certificates,
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
    let around = Around {
        context,
        scope,
        certificates: common.certificates,
    };
    let server = read_server(
        section,
        around,
        address.as_ref().map(|address| &*address.value),
    );
    section.finish("");
    let (id, address, server) = (id?, address?, server?);
    let mailbox = MailboxSettings {
        id: id.value,
        address: address.value,
        scope,
        server,
        marker: marker?,
        policy,
    };
    if let Err((message, remedy)) = seen.add(common.tenant?, &mailbox) {
        section.error(&id.span, message, remedy);
        return None;
    }
    Some(mailbox)
}

/// Where a mailbox lives: in Office 365 or on an Exchange Server, not both.
fn read_server(
    section: &Section<'_>,
    around: Around<'_>,
    address: Option<&str>,
) -> Option<MailboxServer> {
    match one_server(section, "tenant.mailbox")? {
        Which::Office365 => {
            let found = section.section("office365")?;
            let user = found.text("user").map(|user| user.value);
            let user = user.or(address.map(str::to_owned));
            read_office365(&found, around.context, user).map(MailboxServer::Office365)
        }
        Which::ExchangeServer => {
            let found = section.section("exchange-server")?;
            read_exchange_server(&found, around).map(MailboxServer::ExchangeServer)
        }
    }
}

/// The two kinds of server.
pub(super) enum Which {
    Office365,
    ExchangeServer,
}

/// Which of the two a section is about.
pub(super) fn one_server(section: &Section<'_>, whose: &str) -> Option<Which> {
    match (section.has("office365"), section.has("exchange-server")) {
        (true, false) => Some(Which::Office365),
        (false, true) => Some(Which::ExchangeServer),
        (true, true) => {
            let message = format!(
                "`{whose}` is both in Office 365 and on an Exchange Server: `office365` and \
                 `exchange-server`"
            );
            let remedy = "keep the one in which the mailbox lives, and remove the other";
            section.error(&section.span_of("exchange-server"), message, remedy);
            None
        }
        (false, false) => {
            let remedy = format!(
                "add `[{whose}.office365]` below it, or `[{whose}.exchange-server]` for a mailbox \
                 on the company's own Exchange Server"
            );
            section.missing("office365", &remedy);
            None
        }
    }
}

pub(super) fn read_office365(
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

impl Seen {
    /// Remembers a mailbox, unless its id or its identity is taken: a second engine on one mailbox
    /// would fight the first (contract, 2.6).
    pub(super) fn add(
        &mut self,
        tenant: &str,
        mailbox: &MailboxSettings,
    ) -> Result<(), (String, &'static str)> {
        let key = (tenant.to_owned(), mailbox.id.clone());
        if self.mailboxes.contains(&key) {
            let message = format!("the mailbox `{}` is there twice", mailbox.id);
            return Err((message, "give each mailbox of a tenant an id of its own"));
        }
        let (service, user) = match &mailbox.server {
            MailboxServer::Office365(office365) => (&*office365.base_url, &office365.user),
            // One that has no address yet is not synced, and fights nobody.
            MailboxServer::ExchangeServer(exchange) => (
                exchange.server.url.as_deref().unwrap_or("autodiscover"),
                &mailbox.address,
            ),
        };
        let service = service.to_lowercase();
        let names = [user, &mailbox.address];
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
        self.mailboxes.insert(key);
        Ok(())
    }
}
