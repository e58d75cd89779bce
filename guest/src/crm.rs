//! One side: the CRM, as the engine sees it.
//!
//! [`Crm`] is the only place where a CRM's protocol may show; [`flowfact`] implements it. The
//! engine reads, plans and writes contacts and never learns which service keeps them.
//!
//! All methods that take several contacts answer in the same order, one answer each, so that one
//! bad contact never costs another. The outer error is for what concerns the whole service.

pub mod flowfact;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::contact::{CrmContact, CrmFields, CrmId, Field, FieldSet};
use crate::http::{RemoteError, WriteError};
use crate::outside::Timestamp;
use crate::report::{Finding, Problem};

/// A CRM.
pub trait Crm {
    /// Signs in, and reads what must be known before contacts can be: the company, the user, the
    /// schema. `remembered` is what an earlier [`Crm::connect`] returned; with it nothing is sent.
    fn connect(&mut self, remembered: Option<&CrmConnection>)
    -> Result<CrmConnection, RemoteError>;

    /// Fields that this pass can read and write: mapped, in the schema, asked for.
    fn fields(&self) -> &FieldSet;

    /// Whether the CRM's own contact sync works on this mailbox: `None` where it cannot be known.
    fn native_sync(&self) -> Result<Option<bool>, RemoteError>;

    /// The next page of contacts that changed since `position`, oldest change first; all contacts
    /// where there is no position. `cursor` goes on where the page before it ended.
    fn changes(
        &self,
        position: Option<&CrmPosition>,
        cursor: Option<&CrmCursor>,
    ) -> Result<CrmPage, RemoteError>;

    /// Each contact by id.
    fn read(&self, ids: &[CrmId]) -> Result<Vec<CrmRead>, RemoteError>;

    /// Where the marker is not part of the contact's own answer: whether each contact carries it.
    /// `None` where it could not be read. Not called where [`CrmContact::marked`] is known.
    fn markers(&self, ids: &[CrmId]) -> Result<Vec<Option<bool>>, RemoteError>;

    /// How this CRM keeps the marker: decides what a pass must ask for.
    fn marker_place(&self) -> MarkerPlace;

    /// One page of the trash, the newest one where `page` is `None`.
    fn trash(&self, known: Option<&TrashMark>, page: Option<u32>)
    -> Result<TrashPage, RemoteError>;

    /// Creates contacts, with this mailbox's marker where it is part of the contact. Not
    /// idempotent: never repeated after [`WriteError::Unknown`] without looking first.
    fn create(&self, drafts: &[CrmFields]) -> Vec<Result<CrmContact, WriteError>>;

    /// Writes the fields in which `after` differs from `before`, and returns the contact as the CRM
    /// then holds it.
    fn update(&self, edits: &[CrmEdit]) -> Vec<Result<CrmContact, WriteError>>;

    /// Moves contacts to the trash.
    fn delete(&self, ids: &[CrmId]) -> Vec<Result<(), WriteError>>;

    /// Brings contacts back from the trash under their own ids, and returns them as they then are.
    fn restore(&self, ids: &[CrmId]) -> Vec<Result<CrmContact, WriteError>>;

    /// What the CRM would not take of `after` where it differs from `before`: too many values, none
    /// of a list's, a field that cannot be written. [`Crm::update`] and [`Crm::create`] leave such
    /// fields as they are. Pure.
    fn misfits(&self, before: &CrmFields, after: &CrmFields) -> Vec<(Field, Problem)>;

    /// The next page of contacts that were created since `at`, as far as that is known of them,
    /// by whomever: among them is what an unanswered create may have made. `cursor` goes on where
    /// the page before it ended.
    fn created_since(
        &self,
        at: Timestamp,
        cursor: Option<&CrmCursor>,
    ) -> Result<CrmPage, RemoteError>;

    /// All contacts with all their values, in the order of their ids where the CRM can do that; a
    /// part of at most `contacts_max`. `after` is what the part before it named as its next.
    fn export_page(
        &self,
        after: Option<&str>,
        contacts_max: u32,
    ) -> Result<ExportPage, RemoteError>;

    /// Sets or takes away a marker: this mailbox's, or, where `marker` names one, another's.
    fn mark(&self, changes: &[MarkerChange]) -> Vec<Result<(), WriteError>>;
}

/// What is known of a CRM after signing in; kept between passes so that a quiet pass asks for none
/// of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrmConnection {
    /// The company: what must not change under a mailbox's links.
    pub company: String,
    /// The user that the host signs in as: the creator of what a pass creates.
    pub user: String,
    /// What the implementation learnt about its schema, in its own format.
    pub schema: serde_json::Value,
    /// What a person should know about it: fields that could not be found, for example.
    pub findings: Vec<Finding>,
}

/// Up to where the CRM's changes are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrmPosition {
    /// The newest change that was read.
    pub newest: Timestamp,
    /// Where the next reading begins: some time before `newest`, because a change may show late.
    pub since: Timestamp,
    /// Contacts read since `since`, with their times: read again by the next pass, and known by
    /// this to be no news.
    pub recent: Vec<(CrmId, Timestamp)>,
}

/// Where a reading of several pages stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrmCursor {
    /// In the implementation's own format.
    pub text: String,
}

/// One page of contacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrmPage {
    /// In order of change; so are the pages, unless the CRM can only be read newest first.
    pub contacts: Vec<CrmContact>,
    /// Entries that are no readable contact: the id where there is one, and why.
    pub unreadable: Vec<(Option<CrmId>, Problem)>,
    /// How to go on; `None` at the end.
    pub cursor: Option<CrmCursor>,
    /// How many contacts there are in all, where the CRM says so.
    pub total: Option<u32>,
    /// At the end: where the next pass begins.
    pub position: Option<CrmPosition>,
}

/// What a read of one contact by its id came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrmRead {
    /// Here it is.
    Present(CrmContact),
    /// The CRM says that there is none: in the trash, purged, or hidden.
    NotFound,
    /// The CRM does not let us read it, or its answer cannot be read.
    Unreadable(Problem),
}

/// Where this mailbox's marker lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerPlace {
    /// In the contact itself: every answer says it, and creating sets it.
    Field,
    /// Beside the contact: asked for per contact (contract, 2.8 c).
    Entries,
}

/// What was seen of the trash, to recognise that nothing has happened since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashMark {
    /// How many entries it held.
    pub total: u32,
    /// A digest of its newest page.
    pub newest: String,
}

/// One page of the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashPage {
    /// Contacts in it.
    pub entries: Vec<TrashEntry>,
    /// What to remember of the trash, if this was its newest page.
    pub mark: TrashMark,
    /// Whether pages follow the time of deletion: from the newest page on upwards if that is page
    /// 1, downwards if it is the last. If not, a changed total asks for all of them.
    pub ordered: bool,
    /// How many pages there are; pages are counted from 1.
    pub pages: u32,
    /// Which page this was.
    pub page: u32,
}

/// One contact in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashEntry {
    /// Its id.
    pub id: CrmId,
    /// When it was deleted.
    pub deleted: Option<Timestamp>,
}

/// A part of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportPage {
    /// Every field that the CRM knows, the same in every part.
    pub columns: Vec<ExportColumn>,
    /// The contacts.
    pub rows: Vec<ExportRow>,
    /// `after` of the next call; `None` at the end.
    pub next: Option<String>,
}

/// A field of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportColumn {
    /// Its name in the CRM.
    pub name: String,
    /// What people call it.
    pub caption: String,
}

/// One contact of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportRow {
    /// Its id.
    pub id: CrmId,
    /// The values of each field that has any, as the CRM holds them; also of fields that are no
    /// column.
    pub fields: BTreeMap<String, Vec<serde_json::Value>>,
}

/// A change of a CRM contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrmEdit {
    /// Which contact.
    pub id: CrmId,
    /// What it held when it was read, immediately before.
    pub before: CrmFields,
    /// What it is to hold.
    pub after: CrmFields,
}

/// A marker to set or take away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerChange {
    /// Which contact.
    pub id: CrmId,
    /// `None`: this mailbox's marker.
    pub marker: Option<crate::job::Marker>,
    /// Set it, or take it away.
    pub set: bool,
}
