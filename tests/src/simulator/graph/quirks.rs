//! Every quirk, limit and unknown of Microsoft Graph's contacts as a named switch.
//!
//! `docs#N` and `dotnet#N` are issues of `microsoftgraph/microsoft-graph-docs` and
//! `microsoftgraph/msgraph-sdk-dotnet`.

/// How this Graph behaves where its behaviour is odd, limited or unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a named switch")]
pub struct GraphQuirks {
    /// Most business phones; more are refused with the whole contact (docs#15276).
    pub business_phones_max: usize,
    /// Most home phones.
    pub home_phones_max: usize,
    /// Most e-mail addresses (docs#15276).
    pub email_addresses_max: usize,
    /// Most instant messaging addresses.
    pub im_addresses_max: usize,
    /// Whether an address that is `null` in a create is answered 500 (dotnet#2368).
    pub null_address_in_create_fails: bool,
    /// What an address that is `null` in an update does.
    pub null_address_in_update: AddressUpdate,
    /// What an address that is `{}` in an update does.
    pub empty_address_in_update: AddressUpdate,
    /// When the server writes the display name anew.
    pub display_name: DisplayNameRule,
    /// Whether a create without a given name is refused (dotnet#247, of 2018).
    pub given_name_required: bool,
    /// Whether the name of an e-mail address stays what it was for an address that the contact
    /// already has (docs#19265).
    pub email_name_kept: bool,
    /// How e-mail addresses of the own organisation are answered (docs#2186).
    pub internal_addresses: InternalAddresses,
    /// Whether `primaryEmailAddress` and its two siblings are there.
    pub email_slots: bool,
    /// Whether an update that sends back what only the server writes is refused (dotnet#206).
    pub read_only_refused: bool,
    /// Whether an update of `parentFolderId` moves the contact; else it is ignored.
    pub parent_folder_moves: bool,
    /// Where notes that begin with a line break lose their line breaks and all but 256 characters
    /// (docs#17598).
    pub notes: NotesBug,
    /// Whether the list of contact folders shows the default one (docs#6273).
    pub default_folder_listed: bool,
    /// Whether `contactFolders/contacts` is the default folder.
    pub contacts_alias: bool,
    /// Whether Deleted Items, a mail folder, can be read as a contact folder, by its id or as
    /// `contactFolders/deleteditems`.
    pub deleted_items_readable: bool,
    /// Whether a user can be read: the permission `User.Read` or `User.Read.All`.
    pub user_readable: bool,
    /// Whether a filter by extended property sees all folders.
    pub property_filter_spans_folders: bool,
    /// Entries of a page where nothing was asked for.
    pub page_size_default: usize,
    /// Most entries of a page; asking for more is no error (docs#4798).
    pub page_size_max: usize,
    /// Whether delta remembers `odata.maxpagesize` from page to page.
    pub page_size_sticky: bool,
    /// What delta's links look like.
    pub delta_links: LinkForm,
    /// What delta says of a contact that left the folder.
    pub removed_reason: RemovedReason,
    /// Whether a first round says what left the folder before it began.
    pub removed_in_first_round: bool,
    /// Whether a contact that left the folder and came back between two rounds is only ever
    /// reported as removed, where ids are immutable.
    pub returned_contact_lost: bool,
    /// Whether delta is silent about a contact that was moved into the folder.
    pub moved_contact_unseen: bool,
    /// Whether delta is silent about the deletion of the last contact of a folder (dotnet#1310).
    pub last_deletion_unseen: bool,
    /// Every how-manieth page of delta is empty but for its link; 2 is the least.
    pub empty_page_every: Option<u32>,
    /// Whether a page of delta begins with what the page before it ended with.
    pub entries_repeated: bool,
    /// How many entries of earlier rounds a round begins with.
    pub entries_replayed: usize,
    /// Whether the entries of a page come in another order than the changes. Entries for one id
    /// keep theirs.
    pub entries_reordered: bool,
    /// Milliseconds until a change shows in delta.
    pub delta_delay_ms: i64,
    /// How many rounds, the newest included, have tokens that still work; else 410 (docs#2350).
    pub generations_kept: Option<u64>,
    /// Whether `$top` ends a round of delta early, as if it were complete.
    pub delta_top_truncates: bool,
    /// Whether `$expand` on delta is answered 500 (docs#2270).
    pub delta_expand_fails: bool,
    /// Whether `If-Match` is obeyed.
    pub if_match: IfMatch,
    /// Every how-manieth update or deletion is answered 412 for no visible reason (docs#2256).
    pub spontaneous_conflict_every: Option<u64>,
    /// Requests under way at once for one mailbox; a further one is answered 429.
    pub concurrency_max: u32,
    /// Requests of one batch; more are refused.
    pub batch_items_max: usize,
    /// Unchained requests of one batch that are carried out; the others are answered 429
    /// (docs#2886).
    pub batch_unchained_max: usize,
    /// Requests for one mailbox in ten minutes.
    pub requests_per_ten_minutes_max: Option<u64>,
    /// Bytes of bodies for one mailbox in five minutes.
    pub upload_bytes_per_five_minutes_max: Option<u64>,
    /// Bytes of the body of one request.
    pub request_bytes_max: usize,
    /// Seconds of `Retry-After` with 429; none is sent where there are none (outlook-dev-docs#144).
    pub retry_after_s: Option<u32>,
    /// Seconds that a token lives.
    pub token_lifetime_s: u32,
}

impl GraphQuirks {
    /// What the evidence says, and where there is none, what is harder for a client.
    pub fn as_documented() -> Self {
        Self {
            business_phones_max: 2,
            home_phones_max: 2,
            email_addresses_max: 3,
            im_addresses_max: 3,
            null_address_in_create_fails: true,
            null_address_in_update: AddressUpdate::Clears,
            empty_address_in_update: AddressUpdate::Clears,
            display_name: DisplayNameRule::FollowsNames,
            given_name_required: true,
            email_name_kept: true,
            internal_addresses: InternalAddresses::AsWritten,
            email_slots: true,
            read_only_refused: true,
            parent_folder_moves: false,
            notes: NotesBug::InListsAndDelta,
            default_folder_listed: false,
            contacts_alias: true,
            deleted_items_readable: false,
            user_readable: true,
            property_filter_spans_folders: true,
            page_size_default: 10,
            page_size_max: 1000,
            page_size_sticky: false,
            delta_links: LinkForm::FolderKey,
            removed_reason: RemovedReason::Deleted,
            removed_in_first_round: false,
            returned_contact_lost: true,
            moved_contact_unseen: false,
            last_deletion_unseen: false,
            empty_page_every: None,
            entries_repeated: false,
            entries_replayed: 0,
            entries_reordered: false,
            delta_delay_ms: 0,
            generations_kept: Some(3),
            delta_top_truncates: true,
            delta_expand_fails: true,
            if_match: IfMatch::Honoured,
            spontaneous_conflict_every: None,
            concurrency_max: 4,
            batch_items_max: 20,
            batch_unchained_max: 4,
            requests_per_ten_minutes_max: Some(10_000),
            upload_bytes_per_five_minutes_max: Some(150 * 1024 * 1024),
            request_bytes_max: 4 * 1024 * 1024,
            retry_after_s: Some(1),
            token_lifetime_s: 3599,
        }
    }
}

/// What an update does with an address that is `null` or `{}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressUpdate {
    /// The address is gone.
    Clears,
    /// The address stays.
    Ignored,
    /// The update is answered 500.
    Fails,
}

/// When the server writes the display name anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisplayNameRule {
    /// Never, once it is there.
    Kept,
    /// With every update that names a part of the name and not the display name itself.
    FollowsNames,
    /// With every update that does not name the display name itself.
    FollowsAll,
}

/// How e-mail addresses of the own organisation are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InternalAddresses {
    /// Like any other.
    AsWritten,
    /// Those of this domain as X.500 names.
    AsX500(String),
    /// Those of this domain without address: with a name alone.
    NameOnly(String),
}

/// Where notes that begin with a line break are mangled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum NotesBug {
    Nowhere,
    InLists,
    InListsAndDelta,
}

/// What delta's links look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkForm {
    /// The path that was asked for.
    AsRequested,
    /// `…/contactfolders('id')/contacts/delta`, whatever was asked for.
    FolderKey,
}

/// What delta says of a contact that left the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the service's own words")]
pub enum RemovedReason {
    Deleted,
    Changed,
}

/// Whether `If-Match` is obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum IfMatch {
    Honoured,
    Ignored,
}
