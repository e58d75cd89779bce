//! Every unknown, quirk and limit of FLOWFACT as a named switch.
//!
//! No request was ever checked against a live FLOWFACT: what its own SDK and third parties *send*
//! is known, what it *answers* often is not. So nearly all of this is a choice between answers that
//! a client must survive.

use std::collections::BTreeMap;

/// How this FLOWFACT behaves where its behaviour is unknown, odd or limited.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a named switch")]
pub struct FlowfactQuirks {
    /// How times in `_metadata` are written. Recorded answers have text, the types say numbers.
    pub timestamps: TimestampForm,
    /// Whether `_metadata` has `lastModifiedTimestamp` beside `timestamp`. A recorded answer of
    /// 2020 had none.
    pub last_modified_member: bool,
    /// What a create is answered.
    pub create_answer: CreateAnswer,
    /// The status of that answer: 200 or 201.
    pub create_status: u16,
    /// Whether an update is answered the whole entity; else 204 and nothing.
    pub update_answers_entity: bool,
    /// The status of a deletion: any 2xx.
    pub delete_status: u16,
    /// Milliseconds until a write shows in searches.
    pub index_lag_ms: i64,
    /// Whether a search obeys conditions on `_metadata`; else they match everything.
    pub metadata_filter: bool,
    /// Most entries of one page of a search or of the trash; asking for more is no error.
    pub page_size_max: usize,
    /// Entries of a page whose size was not asked for. The SDK's default.
    pub page_size_default: usize,
    /// The last entry that paging can reach; beyond it a search is refused (as Elasticsearch does).
    pub result_window_max: usize,
    /// Schemas of one page of the list of schemas.
    pub schema_page_size: usize,
    /// The order of the trash.
    pub trash_order: TrashOrder,
    /// Whether searches still find what is in the trash.
    pub trashed_in_search: bool,
    /// What a read of something in the trash is answered: 404 or 410.
    pub trashed_status: u16,
    /// Whether restoring from the trash counts as a modification.
    pub restore_modifies: bool,
    /// What a read of something hidden by rights is answered: 403 or 404.
    pub hidden_status: u16,
    /// Whether a `PATCH` replaces the list of a field's values; else it appends.
    pub patch_replaces_values: bool,
    /// Whether an empty list clears a field; else the field stays as it was.
    pub empty_values_clear: bool,
    /// Whether a cleared field is answered as an empty list; else it is absent.
    pub cleared_field_answered: bool,
    /// How e-mail addresses are answered.
    pub emails: EmailForm,
    /// Whether unset parts of an address are answered as `null`.
    pub address_nulls: bool,
    /// Most characters that a field keeps of a text, by field, or by `field.member` for phones and
    /// addresses. What is longer is cut off without a word.
    pub text_length_max: BTreeMap<String, usize>,
    /// What becomes of a value that a LIST field does not know.
    pub unknown_list_value: BadValue,
    /// What becomes of a field that the schema does not know.
    pub unknown_field: BadValue,
    /// What becomes of a write to a locked or read-only field.
    pub locked_field: BadValue,
    /// Milliseconds after a write until FLOWFACT recalculates the entity, which changes its time of
    /// modification and nothing else.
    pub recalculation_ms: Option<i64>,
    /// Whether the service of sync entries lets an API user in.
    pub sync_entries: Reach,
    /// Whether sync entries can be listed without naming a contact. No SDK call does that.
    pub sync_entries_listable: bool,
    /// Whether setting the accounts of a contact takes away those that are not named.
    pub sync_entries_replaced: bool,
    /// Whether the service of mail accounts lets an API user in.
    pub mail_accounts: Reach,
    /// How long a token lives. About 30 minutes, say third parties.
    pub token_lifetime_ms: i64,
    /// Whether the token exchange answers a JSON string; else bare text.
    pub token_quoted: bool,
    /// What an expired or unknown token is answered: 401 or 403.
    pub token_refused_status: u16,
    /// Whether a platform token in `x-ff-api-token` is accepted in place of a JWT.
    pub api_token_header: bool,
    /// The shape of refusals.
    pub errors: ErrorForm,
}

impl FlowfactQuirks {
    /// What the evidence says, and where there is none, what the fact sheet calls the safest
    /// assumption.
    pub fn as_documented() -> Self {
        Self {
            timestamps: TimestampForm::Texts,
            last_modified_member: true,
            create_answer: CreateAnswer::EntityForVersion2,
            create_status: 200,
            update_answers_entity: true,
            delete_status: 200,
            index_lag_ms: 0,
            metadata_filter: true,
            page_size_max: 1000,
            page_size_default: 20,
            result_window_max: 10_000,
            schema_page_size: 34,
            trash_order: TrashOrder::NewestFirst,
            trashed_in_search: false,
            trashed_status: 404,
            restore_modifies: true,
            hidden_status: 404,
            patch_replaces_values: true,
            empty_values_clear: true,
            cleared_field_answered: false,
            emails: EmailForm::AsWritten,
            address_nulls: true,
            text_length_max: BTreeMap::new(),
            unknown_list_value: BadValue::Refused,
            unknown_field: BadValue::Refused,
            locked_field: BadValue::Refused,
            recalculation_ms: None,
            sync_entries: Reach::Open,
            sync_entries_listable: false,
            sync_entries_replaced: true,
            mail_accounts: Reach::Open,
            token_lifetime_ms: 30 * 60 * 1000,
            token_quoted: false,
            token_refused_status: 403,
            api_token_header: false,
            errors: ErrorForm::Described,
        }
    }
}

/// How times in `_metadata` are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum TimestampForm {
    Texts,
    Numbers,
}

/// What a create is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateAnswer {
    /// The id as bare text.
    IdText,
    /// The id as a JSON string.
    IdJson,
    /// `{"id": …}`
    IdObject,
    /// The whole entity.
    Entity,
    /// The whole entity to requests with `x-ff-version: 2`, the id as bare text to others.
    EntityForVersion2,
}

/// The order of the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum TrashOrder {
    NewestFirst,
    NewestLast,
    None,
}

/// How e-mail addresses are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailForm {
    /// As they were written.
    AsWritten,
    /// As objects with `type` and `email`.
    Typed,
}

/// What becomes of something that a schema does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadValue {
    /// The whole write is refused.
    Refused,
    /// It is left out of the write, without a word.
    Ignored,
    /// It is stored.
    Stored,
}

/// Whether a service lets an API user in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Yes.
    Open,
    /// 403.
    Forbidden,
    /// 404: switched off, or moved.
    Missing,
    /// Yes, but it shows nothing that belongs to other users.
    Empty,
}

/// The shape of refusals; no error of the services in question was ever seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorForm {
    /// `{type, status, description, path, additionalInfo}`, known from one service of theirs.
    Described,
    /// `{"message": …}`
    Message,
    /// Bare text.
    Text,
}
