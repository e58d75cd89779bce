//! Every quirk, limit and unknown of Exchange Web Services as a named switch.
//!
//! The evidence is named in short: `ews-managed-api#N` and the like are issues of clients that ran
//! into it.

/// How this Exchange Server behaves where its behaviour is odd, limited or unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a named switch")]
pub struct EwsQuirks {
    /// What the answers' elements are called; all are the same XML.
    pub prefixes: PrefixStyle,
    /// Characters that XML forbids, in answers (ews-managed-api#136, exchangelib#1200).
    pub illegal_characters: IllegalCharacters,
    /// Whether answers begin with a byte order mark (exchangelib's `is_xml` expects one).
    pub byte_order_mark: bool,
    /// Which requests are answered that the server is busy, and how.
    pub busy: Option<Busy>,
    /// Requests under way at once for one mailbox; a further one is refused
    /// (`EWSMaxConcurrency`, 27 since Exchange 2013).
    pub concurrency_max: u32,
    /// Whether the mailbox's database is away: every item is `ErrorMailboxStoreUnavailable`.
    pub store_unavailable: bool,
    /// Of a batch so many items are carried out; the next fails with the store, the others are not
    /// tried: `ErrorBatchProcessingStopped` (Microsoft, `responsecode.md`).
    pub batch_stops_after: Option<usize>,
    /// Most changes of one answer: `MaxChangesReturned` may ask for up to 512.
    pub changes_max: usize,
    /// Whether a sync goes on for ever, with nothing in it.
    pub sync_never_ends: bool,
    /// Whether a sync without a state reports an item that no read finds (mustang#966).
    pub phantom_item: bool,
    /// Every how-manieth write is followed by a change key that moves by itself
    /// (ews-managed-api#249; exchangelib: "somewhere between 2 and 20 updates").
    pub change_key_moves_every: Option<u64>,
    /// Every how-manieth change is refused as a conflict, although it names the version that the
    /// contact has: it moved on and back, or the server says so (exchangelib#858).
    pub spontaneous_conflict_every: Option<u64>,
    /// An item that cannot be deleted, by its id (Microsoft, `responsecode.md`:
    /// `ErrorCannotDeleteObject`).
    pub undeletable: Option<String>,
    /// What becomes of a request for the search key, `PropertyTag 0x300B`.
    pub search_key: SearchKey,
    /// Whether `contacts:PhoneNumbers`, `EmailAddresses`, `PhysicalAddresses` and `ImAddresses` are
    /// answered when asked for as a whole, or by `AllProperties`; else only what is asked for by
    /// index (evolution-ews, `e-book-backend-ews.c`).
    pub whole_properties: bool,
    /// How a birthday is answered.
    pub birthday: BirthdayForm,
    /// Whether an e-mail address that is taken away leaves its display name behind, so that Outlook
    /// goes on showing an entry (php-ews#157, ews-javascript-api#123).
    pub email_name_left_behind: bool,
    /// Whether a read answers another item than the one that was asked for.
    pub answers_another: bool,
    /// Most items of a search without restriction (`EWSFindCountLimit`).
    pub find_max: usize,
    /// Most items of a search with one, since Exchange 2013.
    pub find_restricted_max: usize,
    /// Bytes of the body of one request.
    pub request_bytes_max: usize,
    /// Whether acting for other mailboxes is denied: the role `ApplicationImpersonation` is
    /// missing.
    pub impersonation_denied: bool,
}

impl EwsQuirks {
    /// What the evidence says, and where there is none, what is harder for a client.
    pub fn as_documented() -> Self {
        Self {
            prefixes: PrefixStyle::Usual,
            illegal_characters: IllegalCharacters::Referenced,
            byte_order_mark: false,
            busy: None,
            concurrency_max: 27,
            store_unavailable: false,
            batch_stops_after: None,
            changes_max: 512,
            sync_never_ends: false,
            phantom_item: false,
            change_key_moves_every: None,
            spontaneous_conflict_every: None,
            undeletable: None,
            search_key: SearchKey::Answered,
            whole_properties: false,
            birthday: BirthdayForm::AsStored,
            email_name_left_behind: false,
            answers_another: false,
            find_max: 1000,
            find_restricted_max: 250,
            request_bytes_max: 4 * 1024 * 1024,
            impersonation_denied: false,
        }
    }
}

/// What the elements of answers are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixStyle {
    /// `s:`, `m:`, `t:`, as Exchange writes them.
    Usual,
    /// Other prefixes, some of them those that Exchange uses for something else.
    Others,
    /// None: each element names its namespace where it differs from that around it.
    Default,
}

/// How characters that XML forbids are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IllegalCharacters {
    /// `&#xB;`.
    Referenced,
    /// As they are.
    Raw,
    /// Not at all.
    LeftOut,
}

/// Which requests are answered that the server is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Every how-manieth request; 1 is all of them.
    pub every: u64,
    /// In which form.
    pub form: BusyForm,
    /// For how long, as the server says.
    pub back_off_ms: u32,
}

/// How a busy server says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusyForm {
    /// HTTP 500 and a SOAP fault with `BackOffMilliseconds` (exchangelib, `test_services.py`).
    Fault,
    /// HTTP 200, `ErrorServerBusy` in every message, and an empty `SyncState` (mustang#122).
    InAnswer,
    /// HTTP 503 from the web server in front.
    ServiceUnavailable,
}

/// What becomes of a request for the search key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchKey {
    /// It is answered.
    Answered,
    /// It is left out.
    LeftOut,
    /// Every item of the request is refused: some servers reject binary properties.
    Refused,
}

/// How a birthday is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BirthdayForm {
    /// As the instant that was written.
    AsStored,
    /// As midnight in Germany, in UTC: 23:00 of the day before (evolution-ews#57).
    LocalMidnight,
}
