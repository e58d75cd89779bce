//! Mailboxes that users set up themselves, a file each.

use std::fs;
use std::path::{Path, PathBuf};

use super::file::{Common, Context, Seen, read, read_office365};
use super::reader::{ConfigError, Reader, Section};
use super::values::{Chooser, ID_REMEDY, NOT_YOURS, is_id, read_address, read_policy};
use super::{MailboxSettings, Office365Settings, Scope, TenantSettings};
use crate::types::{FieldValue, Marker, Policy};

/// Bytes of a file that a user wrote.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// How users may set up mailboxes of one tenant.
pub(super) struct Personal {
    folder: PathBuf,
    domains: Vec<String>,
    office365: Office365Settings,
    marker_field: String,
    policy: Policy,
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
    let office365 = section.required_section("office365", "add `[tenant.personal.office365]`");
    // Each file says its user by its address.
    let office365 =
        office365.and_then(|found| read_office365(&found, context, Some(String::new())));
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
