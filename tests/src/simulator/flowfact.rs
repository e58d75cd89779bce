//! One FLOWFACT company.
//!
//! | room | does |
//! |---|---|
//! | `quirks` | every unknown, quirk and limit as a switch |
//! | `schema` | the fields of a contact, which every company may change |
//! | `entities` | entity-service: contacts, the trash, rights |
//! | `search` | search-service: the index and its query language |
//! | `sync_entries` | nylas-contact-sync-service and nylas-service: markers and mail accounts |
//! | `company` | token exchange, users, the list of schemas, history, export |
//! | `desk` | what people do in FLOWFACT's own windows, and what tests look at |
//!
//! Not here: estates and whatever else FLOWFACT keeps beside contacts.

pub mod company;
pub mod desk;
pub mod entities;
pub mod quirks;
pub mod schema;
mod search;
pub mod sync_entries;

use contact_sync_guest::outside::{Method, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::chance::Chance;
use super::log::RequestKind;
use super::wire::{Answer, Body, Call};
use company::{Platform, User};
use entities::Entities;
use quirks::{ErrorForm, FlowfactQuirks, Reach};
use schema::{MarkerKind, Schema};
use sync_entries::{MailAccount, SyncEntries};

/// One FLOWFACT company, as its services answer.
#[derive(Clone, Debug)]
pub struct Flowfact {
    /// How it behaves. May be changed at any time.
    pub quirks: FlowfactQuirks,
    /// The schema of contacts. May be changed at any time.
    pub schema: Schema,
    pub(super) authentication: bool,
    marker_kind: MarkerKind,
    chance: Chance,
    platform: Platform,
    entities: Entities,
    accounts: BTreeMap<String, MailAccount>,
    sync_entries: SyncEntries,
}

impl Flowfact {
    pub(super) fn new(seed: u64, quirks: FlowfactQuirks, marker_kind: MarkerKind) -> Self {
        let mut chance = Chance::new(seed);
        let account_field = marker_kind == MarkerKind::AccountField;
        Self {
            quirks,
            schema: Schema::new(chance.uuid(), account_field),
            authentication: true,
            marker_kind,
            platform: Platform::new(&mut chance),
            chance,
            entities: Entities::default(),
            accounts: BTreeMap::new(),
            sync_entries: SyncEntries::default(),
        }
    }

    /// Answers one request. `call.path` begins with the service's name.
    pub(super) fn answer(&mut self, call: &Call<'_>) -> Answer {
        self.settle(call.now);
        let mut path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        // Older third-party code names a release between service and path.
        if path.len() > 1 && matches!(path.get(1), Some(&("stable" | "latest"))) {
            path.remove(1);
        }
        let Some((&service, rest)) = path.split_first() else {
            return self.unknown(call);
        };
        if let ("admin-token-service", ["public", "adminUser", action]) = (service, rest) {
            return self.sign_in(call, action);
        }
        let Some(user) = self.signed_in(call) else {
            let status = self.quirks.token_refused_status;
            return self.refuse(call, RequestKind::Unknown, status, "Credentials invalid");
        };
        match service {
            "entity-service" => self.entity_service(call, rest, &user),
            "search-service" => self.search_service(call, rest),
            "full-text-search-service" => self.full_text_service(call, rest),
            "nylas-contact-sync-service" => self.sync_entry_service(call, rest),
            "nylas-service" => self.mail_account_service(call, rest),
            "user-service" => self.user_service(call, rest, &user),
            "company-service" => self.company_service(call, rest),
            "schema-service" => self.schema_service(call, rest),
            "history-module-service" => self.history_service(call, rest),
            "excel-exporter-service" => self.export_service(call, rest),
            _ => self.unknown(call),
        }
    }

    /// What happens by itself until `now`: recalculations, and the index catching up.
    fn settle(&mut self, now: Timestamp) {
        self.entities.settle(now);
    }

    /// The signed-in user.
    ///
    /// FLOWFACT's services take a JWT in `cognitoToken`; a platform token sent straight to a
    /// service was answered 403 "Credentials invalid".
    fn signed_in(&self, call: &Call<'_>) -> Option<User> {
        let platform = &self.platform;
        if !self.authentication {
            return Some(platform.api_user.clone());
        }
        if let Some(token) = call.header("cognitotoken") {
            return platform.signed_in(token, call.now);
        }
        let token = call
            .header("x-ff-api-token")
            .filter(|_| self.quirks.api_token_header)?;
        (token == platform.token).then(|| platform.api_user.clone())
    }

    fn unknown(&self, call: &Call<'_>) -> Answer {
        self.refuse(call, RequestKind::Unknown, 404, "Not Found")
    }

    /// A refusal in the shape that is switched on.
    fn refuse(&self, call: &Call<'_>, kind: RequestKind, status: u16, why: &str) -> Answer {
        let body = match self.quirks.errors {
            ErrorForm::Text => Body::Text(why.to_owned()),
            ErrorForm::Message => Body::Json(json!({ "message": why })),
            ErrorForm::Described => Body::Json(json!({
                "type": error_type(status),
                "status": status,
                "description": why,
                "path": format!("/{}", call.path.join("/")),
                "additionalInfo": {"errorMessages": [why]},
            })),
        };
        Answer::new(kind, status, body)
    }

    /// The refusal of a service that does not let this user in.
    fn out_of_reach(&self, call: &Call<'_>, kind: RequestKind, reach: Reach) -> Option<Answer> {
        match reach {
            Reach::Open | Reach::Empty => None,
            Reach::Forbidden => Some(self.refuse(call, kind, 403, "Access denied")),
            Reach::Missing => Some(self.refuse(call, kind, 404, "Not Found")),
        }
    }
}

fn error_type(status: u16) -> &'static str {
    match status {
        400 => "BAD_REQUEST",
        401 => "UNAUTHORIZED",
        403 => "FORBIDDEN",
        404 => "NOT_FOUND",
        405 => "METHOD_NOT_ALLOWED",
        410 => "GONE",
        _ => "ERROR",
    }
}

/// A number in the query, or `default` where there is none; `None` where it is no number.
fn count(call: &Call<'_>, name: &str, default: usize) -> Option<usize> {
    match call.parameter(name) {
        None | Some("") => Some(default),
        Some(text) => text.parse().ok(),
    }
}

/// A list of texts in a JSON object.
fn ids(body: &Value, member: &str) -> Option<Vec<String>> {
    let values = body.get(member)?.as_array()?;
    values
        .iter()
        .map(|id| id.as_str().map(str::to_owned))
        .collect()
}

/// Whether the method is the one given and the request may go on.
fn is(call: &Call<'_>, method: Method) -> bool {
    call.method == method
}

/// The fields of a contact: each a list of values.
pub type Fields = Map<String, Value>;
