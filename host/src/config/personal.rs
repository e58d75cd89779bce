//! Mailboxes that users set up themselves, a file each.

use std::fs;
use std::path::{Path, PathBuf};

use super::exchange::{Around, PersonalSignIn, is_username, read_personal_exchange_server};
use super::file::{Common, Context, Seen, Which, one_server, read, read_office365};
use super::reader::{ConfigError, Reader, Section};
use super::values::{Chooser, ID_REMEDY, NOT_YOURS, is_id, read_address, read_policy};
use super::{
    ExchangeServerSettings, ExchangeSignIn, MailboxServer, MailboxSettings, Office365Settings,
    Scope, TenantSettings,
};
use crate::credentials::SecretSource;
use crate::types::{FieldValue, Marker, Policy};

/// Bytes of a file that a user wrote.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// How users may set up mailboxes of one tenant.
pub(super) struct Personal {
    folder: PathBuf,
    domains: Vec<String>,
    server: Server,
    marker_field: String,
    policy: Policy,
}

/// Where users' mailboxes live.
enum Server {
    Office365(Office365Settings),
    ExchangeServer(PersonalSignIn),
}

/// Reads what the administrator says about mailboxes of users.
pub(super) fn read_personal_rules(
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
    let server = one_server(section, "tenant.personal").and_then(|which| match which {
        Which::Office365 => {
            let found = section.section("office365")?;
            // Each file says its user by its address.
            read_office365(&found, context, Some(String::new())).map(Server::Office365)
        }
        Which::ExchangeServer => {
            let found = section.section("exchange-server")?;
            let around = Around {
                context,
                scope: Scope::Personal,
                certificates: common.certificates,
            };
            read_personal_exchange_server(&found, around).map(Server::ExchangeServer)
        }
    });
    section.finish("");
    let domains = domains?
        .value
        .iter()
        .map(|domain| domain.to_lowercase())
        .collect();
    Some(Personal {
        folder: context.folder.join(folder?.value),
        domains,
        server: server?,
        marker_field: common.marker_field.to_owned(),
        policy: common.policy,
    })
}

/// Reads what users have set up. A mistake in one of their files leaves that mailbox out and no
/// other.
pub(super) fn read_personal(
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
        let large = fs::metadata(&path).is_ok_and(|found| found.len() > FILE_BYTES_MAX);
        if large {
            let message = format!("has more than {FILE_BYTES_MAX} bytes");
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
        let server = personal.server_of(&section, path, address.as_ref().map(|a| &*a.value));
        section.finish(NOT_YOURS);
        let address = address?.value;
        let server = server?;
        let field = personal.marker_field.clone();
        let marker = Marker::FieldValue(FieldValue { field, value });
        Some(MailboxSettings {
            id,
            address,
            scope: Scope::Personal,
            server,
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
    /// The server of the user whose file this is. What signs in to it is the administrator's, or
    /// the user's own: then the password is in a file beside theirs, and nowhere else. If their
    /// file could name another place, it could name other people's secrets.
    fn server_of(
        &self,
        section: &Section<'_>,
        path: &Path,
        address: Option<&str>,
    ) -> Option<MailboxServer> {
        let (scheme, server) = match &self.server {
            Server::Office365(office365) => {
                return Some(MailboxServer::Office365(Office365Settings {
                    user: address?.to_owned(),
                    ..office365.clone()
                }));
            }
            Server::ExchangeServer(PersonalSignIn::Shared(settings)) => {
                return Some(MailboxServer::ExchangeServer(settings.clone()));
            }
            Server::ExchangeServer(PersonalSignIn::Own(scheme, server)) => (*scheme, server),
        };
        let username = section.text("username");
        if let Some(username) = &username
            && !is_username(&username.value)
        {
            let message = "`username` is no account's name";
            let remedy = "write `DOMAIN\\account`, or `account@example.com`";
            section.error(&username.span, message, remedy);
            return None;
        }
        let username = username.map(|username| username.value);
        Some(MailboxServer::ExchangeServer(ExchangeServerSettings {
            server: server.clone(),
            sign_in: ExchangeSignIn::Password {
                scheme,
                username: username.or(address.map(str::to_owned))?,
                password: SecretSource::File(path.with_extension("password")),
            },
            impersonate: false,
        }))
    }

    fn allows(&self, address: &str) -> bool {
        let domain = address
            .rsplit_once('@')
            .map(|(_, domain)| domain.to_lowercase());
        domain.is_some_and(|domain| self.domains.contains(&domain))
    }
}
