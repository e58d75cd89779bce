//! Contacts in Microsoft Graph v1.0: any number of mailboxes of one tenant.
//!
//! | room | does |
//! |---|---|
//! | `quirks` | every quirk, limit and unknown as a switch |
//! | `sign_in` | Microsoft's token endpoints |
//! | `routes` | contacts and folders, whatever the spelling of the request |
//! | `delta` | what changed in a folder since a token |
//! | `batch` | several requests in one |
//! | `mailbox`, `contact`, `ids` | what is stored |
//! | `filter` | `$filter` |
//! | `outlook` | what people do in Outlook, and what tests look at |
//!
//! Not here: mail, calendars, photos, open extensions, and change notifications.

mod batch;
pub(super) mod contact;
mod delta;
mod filter;
pub(super) mod ids;
pub mod mailbox;
pub mod outlook;
pub mod quirks;
mod routes;
pub mod sign_in;

use contact_sync_guest::outside::{Method, Timestamp};
use serde_json::{Value, json};

use super::chance::Chance;
use super::log::RequestKind;
use super::wire::{Answer, Call};
use mailbox::{Availability, Mailbox};
use quirks::GraphQuirks;
use routes::{Scope, View};
use sign_in::{Grant, SignIn};

/// Microsoft Graph, as far as contacts go.
#[derive(Clone, Debug)]
pub struct Graph {
    /// How it behaves. May be changed at any time.
    pub quirks: GraphQuirks,
    pub(super) authentication: bool,
    sign_in: SignIn,
    pub(super) mailboxes: Vec<Mailbox>,
    chance: Chance,
}

/// Status and body, or what went wrong.
type Outcome = Result<(u16, Value), Problem>;

/// What went wrong with a request.
#[derive(Clone, Debug)]
struct Problem {
    status: u16,
    code: &'static str,
    message: String,
    retry_after_s: Option<u32>,
}

impl Problem {
    fn new(status: u16, code: &'static str, message: &str) -> Self {
        Self {
            status,
            code,
            message: message.to_owned(),
            retry_after_s: None,
        }
    }

    fn item_not_found() -> Self {
        let why = "The specified object was not found in the store.";
        Self::new(404, "ErrorItemNotFound", why)
    }

    fn malformed_id() -> Self {
        Self::new(400, "ErrorInvalidIdMalformed", "Id is malformed.")
    }

    fn internal() -> Self {
        let why = "An internal server error occurred. The operation failed.";
        Self::new(500, "ErrorInternalServerError", why)
    }

    fn method_not_allowed() -> Self {
        Self::new(
            405,
            "ErrorInvalidRequest",
            "The OData request is not supported.",
        )
    }

    fn too_many_at_once() -> Self {
        let why = "Application is over its MailboxConcurrency limit.";
        Self::new(429, "ApplicationThrottled", why)
    }
}

/// What the header `Prefer` asks for. It holds for this request alone.
#[derive(Clone, Copy, Debug)]
struct Preferences {
    immutable: bool,
    page_size: Option<usize>,
}

impl Preferences {
    fn read(call: &Call<'_>) -> Self {
        let mut preferences = Self {
            immutable: false,
            page_size: None,
        };
        for preference in call.header_values("prefer") {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "idtype" => {
                    let value = value.trim_matches('"');
                    preferences.immutable = value.eq_ignore_ascii_case("ImmutableId");
                }
                "odata.maxpagesize" | "maxpagesize" => preferences.page_size = value.parse().ok(),
                _ => {}
            }
        }
        preferences
    }

    /// What the answer says it applied.
    fn applied(self) -> String {
        let mut applied = Vec::new();
        if let Some(size) = self.page_size {
            applied.push(format!("odata.maxpagesize={size}"));
        }
        if self.immutable {
            applied.push("IdType=\"ImmutableId\"".to_owned());
        }
        applied.join(", ")
    }
}

impl Graph {
    pub(super) fn new(seed: u64, quirks: GraphQuirks) -> Self {
        Self {
            quirks,
            authentication: true,
            sign_in: SignIn::new(seed),
            mailboxes: Vec::new(),
            chance: Chance::new(seed ^ 0x6772_6170_6821),
        }
    }

    /// Answers one request while `others` are under way for the same mailbox.
    pub(super) fn answer(&mut self, call: &Call<'_>, others: u32) -> Answer {
        if let Some(answer) = self.sign_in(call) {
            return answer;
        }
        let kind = classify(call);
        let Some(("v1.0", rest)) = call.path.split_first().map(|(v, rest)| (v.as_str(), rest))
        else {
            let why = "Invalid version.";
            return self.refuse(call, kind, &Problem::new(400, "BadRequest", why));
        };
        let call = Call {
            path: rest.to_vec(),
            ..call.clone()
        };
        let grant = if self.authentication {
            self.sign_in.check(&call)
        } else {
            Ok(Grant::Unchecked)
        };
        let grant = match grant {
            Ok(grant) => grant,
            Err(problem) => return self.refuse(&call, kind, &problem),
        };
        if call.body.len() > self.quirks.request_bytes_max {
            let why = "The request is too large.";
            let problem = Problem::new(413, "RequestEntityTooLarge", why);
            return self.refuse(&call, kind, &problem);
        }
        if kind == RequestKind::GraphBatch {
            return self.batch(&call, grant, others);
        }
        if others >= self.quirks.concurrency_max {
            return self.refuse(&call, kind, &Problem::too_many_at_once());
        }
        self.single(&call, grant)
    }

    /// How many requests for a mailbox this one counts as while it is under way.
    pub(super) fn width(&self, call: &Call<'_>) -> u32 {
        match classify(call) {
            RequestKind::GraphBatch => {
                let most = u32::try_from(self.quirks.batch_unchained_max).unwrap_or(u32::MAX);
                batch::width(call.body).min(most)
            }
            _ => 1,
        }
    }

    /// Answers a request that is no batch.
    fn single(&mut self, call: &Call<'_>, grant: Grant) -> Answer {
        let kind = classify(call);
        let preferences = Preferences::read(call);
        let (status, body) = match self.route(call, grant, preferences) {
            Ok(outcome) => outcome,
            Err(problem) => return self.refuse(call, kind, &problem),
        };
        let answer = match body {
            Value::Null => Answer::empty(kind, status),
            body => Answer::json(kind, status, body),
        };
        let applied = preferences.applied();
        let answer = answer.with_header("request-id", self.chance.uuid());
        if applied.is_empty() {
            answer
        } else {
            answer.with_header("preference-applied", applied)
        }
    }

    /// The error in Graph's own shape.
    fn refuse(&mut self, call: &Call<'_>, kind: RequestKind, problem: &Problem) -> Answer {
        let request = self.chance.uuid();
        let client_request = call
            .header("client-request-id")
            .unwrap_or(&request)
            .to_owned();
        // The date has no zone.
        let date = super::wire::utc(call.now).replace('Z', "");
        let body = json!({
            "error": {
                "code": problem.code,
                "message": problem.message,
                "innerError": {
                    "date": date,
                    "request-id": request,
                    "client-request-id": client_request,
                },
            },
        });
        let retry_after_s = problem.retry_after_s.or(self.quirks.retry_after_s);
        let answer = Answer::json(kind, problem.status, body)
            .with_header("request-id", request)
            .with_header("client-request-id", client_request);
        match (problem.status, retry_after_s) {
            (429, Some(seconds)) => answer.with_header("retry-after", seconds.to_string()),
            _ => answer,
        }
    }

    /// Refuses a method that clients of this service have no use for.
    pub(super) fn refuse_method(&mut self, call: &Call<'_>) -> Answer {
        self.refuse(call, RequestKind::Unknown, &Problem::method_not_allowed())
    }

    fn mailbox(&self, address: &str) -> Option<&Mailbox> {
        let mut mailboxes = self.mailboxes.iter();
        mailboxes.find(|mailbox| mailbox.address.eq_ignore_ascii_case(address))
    }

    fn mailbox_mut(&mut self, address: &str) -> Option<&mut Mailbox> {
        let mut mailboxes = self.mailboxes.iter_mut();
        mailboxes.find(|mailbox| mailbox.address.eq_ignore_ascii_case(address))
    }

    /// Which mailbox a request is for: requests to one are counted together. A batch counts for the
    /// mailbox of its first request.
    pub(super) fn lane(call: &Call<'_>) -> String {
        let path = match classify(call) {
            RequestKind::GraphBatch => batch::first_path(call.body),
            _ => call.path.get(1..).unwrap_or_default().to_vec(),
        };
        let path = routes::segments(&path);
        match path.as_slice() {
            [users, key, ..] if users == "users" => key.to_ascii_lowercase(),
            [root, ..] => root.clone(),
            [] => String::new(),
        }
    }

    /// Uses up what a request costs; refused where the limits of the last minutes are reached.
    fn spend(quirks: &GraphQuirks, mailbox: &mut Mailbox, call: &Call<'_>) -> Result<(), Problem> {
        let budget = &mut mailbox.budget;
        let bytes = call.body.len() as u64;
        let requests = quirks.requests_per_ten_minutes_max;
        spend_window(&mut budget.requests, 600_000, 1, requests, call.now)?;
        let upload = quirks.upload_bytes_per_five_minutes_max;
        spend_window(&mut budget.upload, 300_000, bytes, upload, call.now)
    }
}

fn spend_window(
    window: &mut (Timestamp, u64),
    length_ms: i64,
    cost: u64,
    max: Option<u64>,
    now: Timestamp,
) -> Result<(), Problem> {
    let age_ms = now.since_ms(window.0);
    if age_ms >= length_ms || age_ms < 0 {
        *window = (now, 0);
    }
    // Refused requests count too.
    window.1 += cost;
    if max.is_none_or(|max| window.1 <= max) {
        return Ok(());
    }
    let left_s = (length_ms - now.since_ms(window.0)).div_euclid(1000) + 1;
    let why = "Please retry again later.";
    let mut problem = Problem::new(429, "TooManyRequests", why);
    problem.retry_after_s = u32::try_from(left_s).ok();
    Err(problem)
}

/// What a request asks for, by the shape of its path.
fn classify(call: &Call<'_>) -> RequestKind {
    let path: Vec<String> = routes::segments(&call.path);
    let mut last = path.iter().rev().map(String::as_str);
    let (last, before) = (
        last.next().unwrap_or_default(),
        last.next().unwrap_or_default(),
    );
    let is_folders = |name: &str| matches!(name, "contactfolders" | "childfolders");
    match (call.method, before, last) {
        (_, _, "$batch") => RequestKind::GraphBatch,
        (Method::Get, _, "delta") => RequestKind::GraphDelta,
        (Method::Post, _, "permanentdelete") => RequestKind::GraphPurge,
        (Method::Post, _, "translateexchangeids") => RequestKind::GraphTranslate,
        (Method::Get, before, "contacts") if !is_folders(before) => RequestKind::GraphList,
        (Method::Post, _, "contacts") => RequestKind::GraphCreate,
        (Method::Get, "contacts", _) => RequestKind::GraphRead,
        (Method::Patch, "contacts", _) => RequestKind::GraphUpdate,
        (Method::Delete, "contacts", _) => RequestKind::GraphDelete,
        (Method::Get, before, last) if is_folders(before) || is_folders(last) => {
            RequestKind::GraphFolders
        }
        (_, before, last) if is_folders(before) || is_folders(last) => {
            RequestKind::GraphFolderChange
        }
        (Method::Get, _, "me") | (Method::Get, "users", _) => RequestKind::GraphUser,
        _ => RequestKind::Unknown,
    }
}

/// What a mailbox that cannot be reached is answered.
fn available(mailbox: &Mailbox) -> Result<(), Problem> {
    match mailbox.availability {
        Availability::Available => Ok(()),
        Availability::NotEnabledForRestApi => {
            let why = "REST API is not yet supported for this mailbox.";
            Err(Problem::new(404, "MailboxNotEnabledForRESTAPI", why))
        }
        Availability::ODataDisabled => Err(Problem::new(
            403,
            "ErrorAccessDenied",
            "Access to OData is disabled.",
        )),
        Availability::UserMissing => {
            let why = format!("The requested user '{}' is invalid.", mailbox.address);
            Err(Problem::new(404, "ErrorInvalidUser", &why))
        }
    }
}
