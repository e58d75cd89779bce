//! What a pass is told: for whom, between which two address books, by which rules.
//!
//! The shapes are those of `wit/types.wit`. As a file, a job is JSON in the words of the host's
//! configuration: see [`Job::from_json`] and `document.rs`. A job holds no secret.

mod document;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use document::JobError;

/// One mailbox of one tenant, and how to treat it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The company.
    pub tenant: Tenant,
    /// Where its CRM is.
    pub crm: CrmAccess,
    /// The mailbox.
    pub mailbox: MailboxAccess,
    /// The tenant's choices.
    pub policy: Policy,
}

/// One company.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Opaque and stable: 1 to 64 characters of `a-z 0-9 -`.
    pub id: String,
    /// How a phone number without country code is read: ISO 3166-1 alpha-2.
    #[serde(default = "usual_region")]
    pub region: String,
}

/// The CRM side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrmAccess {
    /// A FLOWFACT company.
    Flowfact(FlowfactAccess),
}

/// A FLOWFACT company.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowfactAccess {
    /// In front of the service names; no trailing slash.
    pub base_url: String,
    /// The entity schema that holds contacts: `contacts`.
    pub schema: String,
    /// Only for API users that belong to several companies.
    pub company: Option<String>,
    /// Names that differ from what the schema's own types and captions say. `None`: the field takes
    /// no part.
    pub fields: BTreeMap<Field, Option<String>>,
    /// Where this mailbox's marker is kept.
    pub marker: Marker,
}

/// How the CRM says that a contact syncs with this mailbox (the *Synchronisations-Merkmal*).
///
/// This serde form, and that of an [`Endpoint`], are those of stored rows: they stay as they are.
/// In a file both are in the words of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Marker {
    /// An entry of `nylas-contact-sync-service` for this mail account.
    SyncEntry(String),
    /// A value in a contact field.
    FieldValue {
        /// Name in the schema.
        field: String,
        /// The value that stands for this mailbox.
        value: String,
    },
}

/// What takes part in the sync (contract, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum Field {
    FirstName,
    LastName,
    AcademicTitle,
    Company,
    Department,
    Position,
    Phones,
    Emails,
    Website,
    Addresses,
    Birthday,
}

impl Field {
    /// All of them, in the order in which people read a contact.
    pub const ALL: [Self; 11] = [
        Self::FirstName,
        Self::LastName,
        Self::AcademicTitle,
        Self::Company,
        Self::Department,
        Self::Position,
        Self::Phones,
        Self::Emails,
        Self::Website,
        Self::Addresses,
        Self::Birthday,
    ];

    /// The fields that hold one text.
    pub const TEXTS: [Self; 7] = [
        Self::FirstName,
        Self::LastName,
        Self::AcademicTitle,
        Self::Company,
        Self::Department,
        Self::Position,
        Self::Website,
    ];
}

/// The Exchange side: the default contacts folder of one mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxAccess {
    /// Opaque and stable, also when the address changes: 1 to 64 characters of `a-z 0-9 -`.
    pub id: String,
    /// Primary SMTP address.
    pub address: String,
    /// Where the mailbox lives.
    pub endpoint: Endpoint,
}

/// Which protocol the mailbox's server speaks, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// Office 365: Microsoft Graph v1.0.
    Graph(GraphAccess),
    /// Exchange Server: Exchange Web Services.
    Ews(EwsAccess),
}

/// Where Microsoft Graph answers, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphAccess {
    /// `https://graph.microsoft.com/v1.0`, a national cloud, or a test server. No trailing slash.
    pub base_url: String,
    /// Whose address book.
    pub user: GraphUser,
    /// Whether `If-Match` is known to be honoured; else each contact is read before it is written.
    pub trust_if_match: bool,
}

/// Whose address book; follows from how the host signs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GraphUser {
    /// The user who signed in: `/me`.
    Me,
    /// Id or user principal name: `/users/{...}`.
    User(String),
}

/// Where Exchange Web Services answer, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EwsAccess {
    /// The service's address; a pass refuses to start without one.
    pub url: Option<String>,
    /// Origins that are asked for the address where it is not known.
    pub autodiscover: Vec<String>,
    /// Act for the mailbox's address by impersonation.
    pub impersonate: bool,
    /// Whether contacts are asked for their MAPI search key.
    pub ask_search_key: bool,
}

/// A tenant's choices. What a file leaves out is as in [`usual_policy`]; else all is written out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    deny_unknown_fields,
    default = "usual_policy"
)]
pub struct Policy {
    /// Whose value stays where both sides changed the same one.
    pub conflict: ConflictWinner,
    /// One side deleted, the other edited.
    pub delete_edit: DeleteEdit,
    /// What a deletion in the CRM does to the mailbox contact.
    pub on_crm_delete: OnCrmDelete,
    /// What a deletion in the mailbox does to the CRM contact.
    pub on_mailbox_delete: OnMailboxDelete,
    /// What removing the marker does to the mailbox contact.
    pub on_unmark: OnUnmark,
    /// How the same person is recognised before anything is linked.
    pub matching: Matching,
    /// From how many destructive operations on a pass waits for a person.
    pub guard: GuardLimits,
    /// How long what was deleted or overwritten is kept. 1 to 365.
    pub journal_days: u16,
    /// What is known about FLOWFACT's own contact sync.
    pub native_sync: NativeSync,
    /// What a CRM contact is that is neither found nor in the trash.
    #[serde(rename = "crm-404")]
    pub crm_not_found: CrmNotFound,
}

/// Whose value stays in a conflict. The other goes to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum ConflictWinner {
    Crm,
    Mailbox,
    Newest,
}

/// One side deleted, the other edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum DeleteEdit {
    KeepEdit,
    Delete,
}

/// What a deletion in the CRM does to the mailbox contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum OnCrmDelete {
    DeleteInMailbox,
    KeepInMailbox,
}

/// What a deletion in the mailbox does to the CRM contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum OnMailboxDelete {
    DeleteInCrm,
    Unmark,
}

/// What removing the marker does to the mailbox contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum OnUnmark {
    Keep,
    DeleteFromMailbox,
}

/// How the same person is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum Matching {
    EmailOrPhone,
    Off,
}

/// What is known about FLOWFACT's own contact sync for this mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NativeSync {
    /// Ask FLOWFACT, and refuse where it is on or cannot be read.
    Ask,
    /// A person vouches that it is off.
    Off,
}

/// What a CRM contact is that is neither found nor in the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrmNotFound {
    /// Purged, or hidden by rights: held.
    Hold,
    /// Deleted.
    Deleted,
}

/// From how many destructive operations in 24 hours on a pass waits for a person: more than the
/// larger of the two, or than half of the links where there are fewer than 20.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default = "usual_guard")]
pub struct GuardLimits {
    /// Contacts.
    #[serde(rename = "contacts")]
    pub contacts_max: u32,
    /// Percent of the mailbox's links.
    #[serde(rename = "percent")]
    pub contacts_percent_max: u8,
}

/// What FLOWFACT's own client asks (`@flowfact/api-services`).
pub const FLOWFACT_BASE_URL: &str = "https://api.production.cloudios.flowfact-prod.cloud";

/// The worldwide cloud's Microsoft Graph.
pub const GRAPH_BASE_URL: &str = "https://graph.microsoft.com/v1.0";

/// The choices that hold unless a tenant makes others: FLOWFACT's own rules, carefully.
pub fn usual_policy() -> Policy {
    Policy {
        conflict: ConflictWinner::Crm,
        delete_edit: DeleteEdit::KeepEdit,
        on_crm_delete: OnCrmDelete::DeleteInMailbox,
        on_mailbox_delete: OnMailboxDelete::DeleteInCrm,
        on_unmark: OnUnmark::Keep,
        matching: Matching::EmailOrPhone,
        guard: usual_guard(),
        journal_days: 30,
        native_sync: NativeSync::Ask,
        crm_not_found: CrmNotFound::Hold,
    }
}

/// The limits of [`usual_policy`].
pub fn usual_guard() -> GuardLimits {
    GuardLimits {
        contacts_max: 10,
        contacts_percent_max: 10,
    }
}

/// Where Autodiscover begins: at two names made from the address
/// (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/autodiscover-for-exchange>).
/// The one that Exchange's own administrators set up comes first. None for a domain that is no name
/// as DNS has it: then the configuration must name the server.
pub fn usual_autodiscover(address: &str) -> Vec<String> {
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let domain = domain.to_ascii_lowercase();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".-".contains(letter);
    if domain.is_empty() || !domain.chars().all(is_plain) {
        return Vec::new();
    }
    vec![
        format!("https://autodiscover.{domain}"),
        format!("https://{domain}"),
    ]
}

fn usual_region() -> String {
    "DE".to_owned()
}
