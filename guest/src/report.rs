//! What a pass tells: counts, and one entry per noteworthy contact.
//!
//! The shapes are those of `wit/types.wit`. Names and values are personal data: they go into the
//! tenant's own store and to the tenant's own people, never into a log.

use serde::{Deserialize, Serialize};

use crate::contact::{CrmId, Field, MailboxId};
use crate::job::Endpoint;

/// One of the two address books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum Side {
    Crm,
    Mailbox,
}

/// A remote service that is asked for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum Service {
    Flowfact,
    Graph,
    Ews,
    Autodiscover,
}

impl From<&Endpoint> for Service {
    fn from(endpoint: &Endpoint) -> Self {
        match endpoint {
            Endpoint::Graph(_) => Self::Graph,
            Endpoint::Ews(_) => Self::Ews,
        }
    }
}

/// One contact, as a person would name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContactName {
    /// Its id in the CRM, where it has one.
    pub crm_id: Option<CrmId>,
    /// Its id in the mailbox, where it has one.
    pub mailbox_id: Option<MailboxId>,
    /// `Erika Mustermann, Muster GmbH`; at most 200 bytes.
    pub label: String,
}

/// One entry worth a person's attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How grave.
    pub severity: Severity,
    /// Stable and lower-case; the README lists them.
    pub code: String,
    /// What, which value, why.
    pub message: String,
    /// What the user can do about it.
    pub remedy: Option<String>,
    /// Which contact.
    pub contact: Option<ContactName>,
    /// Which field.
    pub field: Option<Field>,
}

/// How grave a finding is. Ordered: the gravest is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know; nothing to do.
    Note,
    /// Something is not as the user may expect.
    Warning,
    /// Something was not done.
    Error,
}

/// One thing that a pass does or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Where.
    pub side: Side,
    /// What.
    pub action: Action,
    /// To whom.
    pub contact: ContactName,
    /// Which values, for creations and updates.
    pub changes: Vec<Change>,
    /// Why: a code.
    pub reason: &'static str,
    /// How far it has come.
    pub state: OperationState,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "`types.wit` says it")]
pub enum Action {
    Create,
    Update,
    Delete,
    Mark,
    Unmark,
    Pair,
    Detach,
    Forget,
    Restore,
}

/// How far an operation has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OperationState {
    /// Not begun.
    #[default]
    Planned,
    /// Done, and remembered.
    Done,
    /// Counted by the guard: waits for a person.
    HeldBack,
    /// Tried and put off.
    PutOff(Problem),
}

/// One field before and after, as shown to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which field.
    pub field: Field,
    /// The value before; `None` if there was none.
    pub before: Option<String>,
    /// The value after; `None` if there is none.
    pub after: Option<String>,
}

/// A sentence for people, and what to do. Holds ids, never names or values: fit for a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What happened, and where.
    pub message: String,
    /// What to do now.
    pub remedy: Option<String>,
}

/// Why something could not be done as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`types.wit` says it, case by case")]
pub enum Failure {
    InvalidJob(Problem),
    WrongIdentity(Problem),
    OtherEngine(Problem),
    SignInRefused(RemoteProblem),
    PermissionMissing(RemoteProblem),
    Throttled(Throttled),
    Unreachable(RemoteProblem),
    Protocol(RemoteProblem),
    EgressDenied(RemoteProblem),
    StoreUnavailable(Problem),
    LeaseLost(Problem),
    StateUnreadable(Problem),
    NotFound(Problem),
    TooLarge(Problem),
    Internal(Problem),
}

/// A problem with a remote service, with what its support will ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteProblem {
    /// Which service.
    pub service: Service,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The service's own code; at most 128 bytes.
    pub code: Option<String>,
    /// The service's id of the request.
    pub request_id: Option<String>,
    /// For people.
    pub problem: Problem,
}

/// A pause that is too long to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// Which service asks for it.
    pub service: Service,
    /// How long.
    pub retry_after_ms: u64,
    /// For people.
    pub problem: Problem,
}

/// Numbers of one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// The CRM's side.
    pub crm: SideCounts,
    /// The mailbox's side.
    pub mailbox: SideCounts,
    /// Fields or values changed on both sides.
    pub conflicts: u32,
    /// Pairs and contacts on which nothing is done until something is settled.
    pub held: u32,
    /// Per service.
    pub usage: Vec<Usage>,
    /// Rows read from the store.
    pub store_reads: u32,
    /// Commits to the store.
    pub store_commits: u32,
    /// Time since the pass was opened.
    pub elapsed_ms: u64,
}

/// Contacts of one side, each counted once per column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub struct SideCounts {
    pub read: u32,
    pub created: u32,
    pub updated: u32,
    pub deleted: u32,
    pub unchanged: u32,
}

/// What one remote service was asked for. Bodies only, without headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub struct Usage {
    pub service: Service,
    pub requests: u32,
    pub retries: u32,
    pub throttled: u32,
    pub bytes_sent: u64,
    pub bytes_received: u64,
}

/// How a pass ended, and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What it counted.
    pub counts: Counts,
    /// Whether a further pass has work that this one could not finish.
    pub more: bool,
}

/// How a pass ended. Whatever it is, what the report counts was done and is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that was to be done is done.
    Complete,
    /// Everything but what the guard counts is done.
    NeedsApproval(ApprovalRequest),
    /// The pass broke off.
    Stopped(Failure),
}

/// What a person is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// Names exactly this list of operations.
    pub token: String,
    /// Contacts that would be deleted in the CRM.
    pub crm_deletions: u32,
    /// Contacts that would be deleted in the mailbox.
    pub mailbox_deletions: u32,
    /// Pairs that would be taken apart.
    pub detachings: u32,
    /// Fields that would be emptied.
    pub emptied: u32,
    /// Of how many links.
    pub links: u32,
    /// Why: `over-limit`, `side-empty`, `switched-on`, `memory-lost` or `rebound`.
    pub reason: String,
}

impl ApprovalRequest {
    /// How many entries its list has.
    pub fn entries(&self) -> usize {
        let counts = [
            self.crm_deletions,
            self.mailbox_deletions,
            self.detachings,
            self.emptied,
        ];
        let counts = counts.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        counts.into_iter().fold(0, usize::saturating_add)
    }
}

/// Where a pass stands, for a progress bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Contacts done in this phase.
    pub done: u32,
    /// `None` while nobody knows.
    pub total: Option<u32>,
}

/// What a pass is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum Phase {
    ReadCrm,
    ReadMailbox,
    Plan,
    Execute,
    Remember,
}
