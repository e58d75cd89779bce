//! What was asked of the services: counted always, recorded on demand.

use contact_sync_guest::outside::{Method, Timestamp};
use std::collections::BTreeMap;

/// What a request asks for, whatever its spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum RequestKind {
    FlowfactSignIn,
    FlowfactUser,
    FlowfactCompany,
    FlowfactSchema,
    FlowfactCreate,
    FlowfactRead,
    FlowfactUpdate,
    FlowfactDelete,
    FlowfactAccess,
    FlowfactTrash,
    FlowfactRestore,
    FlowfactPurge,
    FlowfactSearch,
    FlowfactCount,
    FlowfactHistory,
    FlowfactMailAccounts,
    FlowfactMailAccountChange,
    FlowfactSyncEntries,
    FlowfactSyncEntryChange,
    FlowfactExport,
    GraphSignIn,
    GraphUser,
    GraphFolders,
    GraphFolderChange,
    GraphList,
    GraphDelta,
    GraphCreate,
    GraphRead,
    GraphUpdate,
    GraphDelete,
    GraphPurge,
    GraphTranslate,
    GraphBatch,
    EwsFolder,
    EwsSync,
    EwsRead,
    EwsCreate,
    EwsUpdate,
    EwsDelete,
    EwsFind,
    EwsConvert,
    /// A request of Exchange Web Services for several items; each counts by its own kind too.
    EwsBatch,
    Autodiscover,
    /// Nothing that the services know, or nothing that they let this caller do.
    Unknown,
}

impl RequestKind {
    /// Whether it changes contacts, markers or folders where it succeeds.
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Self::FlowfactCreate
                | Self::FlowfactUpdate
                | Self::FlowfactDelete
                | Self::FlowfactRestore
                | Self::FlowfactPurge
                | Self::FlowfactSyncEntryChange
                | Self::FlowfactMailAccountChange
                | Self::GraphFolderChange
                | Self::GraphCreate
                | Self::GraphUpdate
                | Self::GraphDelete
                | Self::GraphPurge
                | Self::EwsCreate
                | Self::EwsUpdate
                | Self::EwsDelete
        )
    }
}

/// How much was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests on the wire; a batch is one.
    pub requests: u64,
    /// Requests by kind, those inside batches too.
    pub kinds: BTreeMap<RequestKind, u64>,
    /// Answers by status, those inside batches too.
    pub statuses: BTreeMap<u16, u64>,
    /// Bytes of bodies sent by clients.
    pub bytes_received: u64,
    /// Bytes of bodies answered.
    pub bytes_sent: u64,
}

impl Counters {
    /// Requests of this kind, those inside batches too.
    pub fn of(&self, kind: RequestKind) -> u64 {
        self.kinds.get(&kind).copied().unwrap_or(0)
    }

    /// Requests that change something where they succeed, those inside batches too.
    pub fn writes(&self) -> u64 {
        let writes = self.kinds.iter().filter(|(kind, _)| kind.is_write());
        writes.map(|(_, count)| count).sum()
    }

    pub(super) fn count(&mut self, kind: RequestKind, status: u16) {
        *self.kinds.entry(kind).or_default() += 1;
        *self.statuses.entry(status).or_default() += 1;
    }
}

/// One request, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it arrived.
    pub at: Timestamp,
    /// What it asks for.
    pub kind: RequestKind,
    /// Its method.
    pub method: Method,
    /// Path and query as they were sent.
    pub target: String,
    /// Headers as they were sent; none for a request inside a batch.
    pub headers: Vec<(String, String)>,
    /// Body as it was sent.
    pub body: Vec<u8>,
    /// What it was answered.
    pub status: u16,
    /// Whether it came inside the batch that follows it in the log.
    pub batched: bool,
}

/// The requests themselves, while recording is switched on.
#[derive(Clone, Debug, Default)]
pub struct RequestLog {
    recording: bool,
    records: Vec<Record>,
}

impl RequestLog {
    /// Starts recording, or stops it. What was recorded stays.
    pub fn record(&mut self, recording: bool) {
        self.recording = recording;
    }

    /// What was recorded, oldest first.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Takes what was recorded, oldest first, and goes on with an empty log.
    pub fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    pub(super) fn is_recording(&self) -> bool {
        self.recording
    }

    pub(super) fn push(&mut self, record: Record) {
        if self.recording {
            self.records.push(record);
        }
    }
}
