//! The only door out.
//!
//! Whatever a pass cannot compute comes through [`Outside`]: answers of remote services, what is
//! remembered, the time, and chance. The component implements it with WASI imports, the tests with
//! simulators in virtual time. Nothing here knows what a contact is.

use serde::{Deserialize, Serialize};

/// The outside world, as far as a pass can reach it.
///
/// Methods take `&self`: an implementation is shared by the rooms that use it and keeps what
/// changes behind a cell. Calls never overlap.
pub trait Outside {
    /// Sends all `requests` and returns their answers in the same order, at most
    /// [`IN_FLIGHT_MAX`] of them at a time. Nothing is in flight when it returns.
    fn send(&self, requests: Vec<Request>) -> Vec<Result<Response, SendError>>;

    /// The time.
    fn now(&self) -> Timestamp;

    /// Waits. Only for short pauses: a long one is the host's to wait (`step.waiting`).
    fn sleep(&self, wait_ms: u32);

    /// Randomness that nobody can guess.
    fn random(&self) -> u64;

    /// The values in the order of the keys; `None` where a key is not there.
    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// At most `entries_max` entries whose key begins with `prefix` and is greater than `after`, in
    /// the order of their keys. Only [`ScanPage::next`] says whether there are more.
    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        entries_max: u32,
    ) -> Result<ScanPage, StoreError>;

    /// All writes or none, durable when it returns.
    fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError>;
}

/// Requests under way at once to one mailbox or one CRM. Exchange Online allows four
/// (<https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits>).
pub const IN_FLIGHT_MAX: usize = 4;

/// Keys of one `get_many`, entries of one `scan` and writes of one `commit` (`wit/store.wit`).
pub const STORE_ITEMS_MAX: usize = 1024;

/// Keys and values of one call of the store together, in either direction (`wit/store.wit`).
pub const STORE_CALL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Milliseconds since 1970-01-01T00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This time plus `ms` milliseconds, which may be negative.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time; negative if `earlier` is later.
    pub fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// An HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Absolute, already escaped.
    pub url: String,
    /// Names in lower case. Never a credential: the host adds those.
    pub headers: Vec<(String, String)>,
    /// The body; `None` sends none at all.
    pub body: Option<Vec<u8>>,
    /// How long to wait for the whole answer.
    pub timeout_ms: u32,
}

/// The methods that the protocols of this plugin use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of RFC 9110 and RFC 5789 say it")]
pub enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

impl Method {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// An HTTP answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer. Whether the request had an effect is unknown in all cases but `Denied`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The host forbids this request.
    #[error("the host forbids this request: {0}")]
    Denied(String),
    /// No connection, or it broke.
    #[error("no connection: {0}")]
    Connection(String),
    /// No whole answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The answer is larger than the host takes.
    #[error("the answer is too large: {0}")]
    TooLarge(String),
}

/// A part of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanPage {
    /// Keys and values in ascending order of key.
    pub entries: Vec<(String, Vec<u8>)>,
    /// `after` of the next scan; `None` at the end.
    pub next: Option<String>,
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a key to a value.
    Set(String, Vec<u8>),
    /// Removes a key; no error if it is not there.
    Delete(String),
}

impl Write {
    /// What it takes of [`STORE_CALL_BYTES_MAX`].
    pub fn bytes(&self) -> usize {
        match self {
            Self::Set(key, value) => key.len() + value.len(),
            Self::Delete(key) => key.len(),
        }
    }
}

/// Why a call of the store had no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The call breaks a rule of `store.wit`; a bug of the caller.
    #[error("the store refuses the call: {0}")]
    Refused(String),
    /// Busy or out of reach; worth repeating after this many ms. A commit may have happened.
    #[error("the store cannot be reached; try again in {0} ms")]
    Unavailable(u32),
    /// Another host has taken over.
    #[error("another host has taken over this tenant")]
    LeaseLost,
    /// The namespace is full.
    #[error("the store is full: {0}")]
    Quota(String),
}
