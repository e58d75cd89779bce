//! FLOWFACT (`api.production.cloudios.flowfact-prod.cloud/<service>/…`).
//!
//! FLOWFACT does not document its interface. What its own published packages send
//! (`@flowfact/api-services`, `@flowfact/types`) is taken as fact; of the answers every form that
//! is recorded, typed or plausible is read. One module per remote service or operation: `users`,
//! `schema`, `search` with `feed` and `export` on it, `entity`, `recovery`, `sync_entries`,
//! `accounts`; `record` knows how a contact looks on the wire, `marker` where the marker is, and
//! `survey` asks all of them before the first pass.
//!
//! Not here: the exchange of tokens (the host's), and what a value means (`contact`).

mod accounts;
mod entity;
mod export;
mod feed;
mod marker;
mod record;
mod recovery;
mod schema;
mod search;
mod survey;
mod sync_entries;
#[cfg(test)]
mod tests;
mod users;

use serde_json::Value;

use crate::contact::{CrmContact, CrmFields, CrmId, Field, FieldSet};
pub use crate::crm::flowfact::accounts::MailAccount;
use crate::crm::flowfact::schema::Schema;
pub use crate::crm::flowfact::schema::{Column, ListValue};
pub use crate::crm::flowfact::survey::{MarkerList, Survey};
use crate::crm::{
    Crm, CrmConnection, CrmCursor, CrmEdit, CrmPage, CrmPosition, CrmRead, ExportPage,
    MarkerChange, MarkerPlace, TrashMark, TrashPage,
};
use crate::http::{Call, Http, RemoteError, Repeat, WriteError};
use crate::job::{FlowfactAccess, Marker};
use crate::outside::{IN_FLIGHT_MAX, Method, Timestamp};
use crate::report::Problem;

/// Requests under way at once that FLOWFACT is given. Its limits are not published; its clients are
/// known to meet 429.
const PARALLEL_MAX: usize = 4;

const _: () = assert!(IN_FLIGHT_MAX <= PARALLEL_MAX);

/// A FLOWFACT company, as one mailbox's pass sees it.
pub struct Flowfact {
    client: Client,
    access: FlowfactAccess,
    marker: Marker,
    /// The mailbox's address: which of FLOWFACT's own mail accounts it is.
    address: String,
    schema: Schema,
    fields: FieldSet,
}

/// What every operation needs to ask for something.
struct Client {
    http: Http,
    /// In front of the service names, without a slash at its end.
    base_url: String,
    /// The entity schema that holds contacts.
    schema: String,
    company: Option<String>,
}

impl Flowfact {
    /// The company that `access` names, for the mailbox with this address. Sends nothing.
    pub fn new(http: Http, access: FlowfactAccess, mailbox_address: &str) -> Self {
        let client = Client {
            http,
            base_url: access.base_url.trim_end_matches('/').to_owned(),
            schema: access.schema.clone(),
            company: access.company.clone(),
        };
        Self {
            client,
            marker: access.marker.clone(),
            access,
            address: mailbox_address.to_owned(),
            schema: Schema::default(),
            fields: FieldSet::new(),
        }
    }

    /// What can be found out before the first pass. Needs no [`Crm::connect`].
    pub fn survey(&self) -> Result<Survey, RemoteError> {
        survey::survey(self)
    }

    /// The mailbox's account at FLOWFACT, if the marker's value is one.
    fn account(&self) -> &str {
        match &self.marker {
            Marker::SyncEntry(account) => account,
            Marker::FieldValue { value, .. } => value,
        }
    }

    fn contact(&self, entity: &Value) -> Result<CrmContact, Problem> {
        record::parse(entity, &self.schema, &self.marker)
    }

    fn adopt(&mut self, schema: Schema) {
        self.fields = schema.fields.keys().copied().collect();
        self.schema = schema;
    }
}

impl Client {
    /// A request that reads `path`.
    fn get(&self, what: &'static str, path: &str) -> Call {
        self.call(what, Method::Get, path, None, Repeat::Safe)
    }

    /// A request with the headers that FLOWFACT's own client sends (SDK, `APIClient.ts`).
    fn call(
        &self,
        what: &'static str,
        method: Method,
        path: &str,
        body: Option<Value>,
        repeat: Repeat,
    ) -> Call {
        let url = format!("{}{path}", self.base_url);
        let call = Call::new(what, method, url, body, repeat)
            .header("accept", "application/json, text/plain, */*")
            .header("accept-language", "de");
        match &self.company {
            Some(company) => call.header("x-ff-company-id", company),
            None => call,
        }
    }
}

impl Crm for Flowfact {
    fn connect(
        &mut self,
        remembered: Option<&CrmConnection>,
    ) -> Result<CrmConnection, RemoteError> {
        if let Some(connection) = remembered
            && let Ok(schema) = serde_json::from_value::<Schema>(connection.schema.clone())
            && schema.settings == schema::settings(&self.access)
        {
            self.adopt(schema);
            return Ok(connection.clone());
        }
        let user = users::current(&self.client)?;
        let properties = schema::properties(&self.client, &self.access)?;
        let (mut schema, findings) = schema::discover(&properties, &self.access);
        schema.time = feed::time_member(&self.client)?;
        let remembered = serde_json::to_value(&schema).unwrap_or_default();
        self.adopt(schema);
        Ok(CrmConnection {
            company: user.company,
            user: user.id,
            schema: remembered,
            findings,
        })
    }

    fn fields(&self) -> &FieldSet {
        &self.fields
    }

    fn native_sync(&self) -> Result<Option<bool>, RemoteError> {
        let accounts = accounts::accounts(&self.client)?.unwrap_or_default();
        let account = accounts::of_mailbox(&accounts, self.account(), &self.address);
        Ok(account.and_then(|account| account.native_sync))
    }

    fn changes(
        &self,
        position: Option<&CrmPosition>,
        cursor: Option<&CrmCursor>,
    ) -> Result<CrmPage, RemoteError> {
        feed::changes(self, position, cursor)
    }

    fn read(&self, ids: &[CrmId]) -> Result<Vec<CrmRead>, RemoteError> {
        entity::read(self, ids)
    }

    fn markers(&self, ids: &[CrmId]) -> Result<Vec<Option<bool>>, RemoteError> {
        marker::markers(self, ids)
    }

    fn marker_place(&self) -> MarkerPlace {
        match self.marker {
            Marker::SyncEntry(_) => MarkerPlace::Entries,
            Marker::FieldValue { .. } => MarkerPlace::Field,
        }
    }

    fn trash(
        &self,
        known: Option<&TrashMark>,
        page: Option<u32>,
    ) -> Result<TrashPage, RemoteError> {
        recovery::page(&self.client, known, page)
    }

    fn create(&self, drafts: &[CrmFields]) -> Vec<Result<CrmContact, WriteError>> {
        entity::create(self, drafts)
    }

    fn update(&self, edits: &[CrmEdit]) -> Vec<Result<CrmContact, WriteError>> {
        entity::update(self, edits)
    }

    fn delete(&self, ids: &[CrmId]) -> Vec<Result<(), WriteError>> {
        entity::delete(&self.client, ids)
    }

    fn restore(&self, ids: &[CrmId]) -> Vec<Result<CrmContact, WriteError>> {
        recovery::restore(self, ids)
    }

    fn misfits(&self, before: &CrmFields, after: &CrmFields) -> Vec<(Field, Problem)> {
        record::misfits(before, after, &self.schema)
    }

    fn created_since(
        &self,
        at: Timestamp,
        cursor: Option<&CrmCursor>,
    ) -> Result<CrmPage, RemoteError> {
        let mut page = feed::since(self, at, cursor)?;
        page.contacts
            .retain(|contact| contact.created.is_none_or(|created| created >= at));
        Ok(page)
    }

    fn export_page(
        &self,
        after: Option<&str>,
        contacts_max: u32,
    ) -> Result<ExportPage, RemoteError> {
        export::page(self, after, contacts_max)
    }

    fn mark(&self, changes: &[MarkerChange]) -> Vec<Result<(), WriteError>> {
        marker::mark(self, changes)
    }
}
