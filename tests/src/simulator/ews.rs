//! Exchange Web Services over the same mailboxes as Microsoft Graph: one mailbox, two dialects.
//!
//! | room | does |
//! |---|---|
//! | `quirks` | every quirk, limit and unknown as a switch |
//! | `sign_in` | accounts: Basic, NTLM |
//! | `xml`, `schema` | requests as strictly as Exchange reads them, answers as it writes them |
//! | `envelope` | SOAP: versions, impersonation, faults |
//! | `session`, `refusal` | for whom a request acts; what an item is refused with |
//! | `fields`, `contents`, `item` | which element is which property of a stored contact |
//! | `folders`, `sync`, `read`, `create`, `update`, `delete`, `find`, `convert` | the operations |
//! | `autodiscover` | where the service is |
//!
//! Not here: mail, calendars, attachments, notifications, `ResolveNames`, and the folders that hold
//! none of the contacts.

pub mod autodiscover;
mod contents;
mod convert;
mod create;
mod delete;
mod envelope;
mod fields;
mod find;
mod folders;
mod item;
pub mod quirks;
mod read;
mod refusal;
mod schema;
mod session;
pub mod sign_in;
mod sync;
mod update;
mod xml;

use contact_sync_guest::outside::Method;

use super::chance::Chance;
use super::graph::Graph;
use super::log::RequestKind;
use super::ntlm::{Handshake, Names};
use super::wire::{Answer, Body, Call, Item};
use envelope::{Envelope, Fault};
use quirks::{Busy, BusyForm, EwsQuirks};
use refusal::{Message, Refusal};
use session::{Session, no_mailbox};
use sign_in::{Accounts, Caller, DOMAIN, EwsSignIn};
use xml::{Node, Style};

/// Exchange Web Services, as far as contacts go.
#[derive(Clone, Debug)]
pub struct Ews {
    /// How they behave. May be changed at any time.
    pub quirks: EwsQuirks,
    /// How clients must sign in, where [`super::Simulator::set_authentication`] asks for it.
    pub sign_in: EwsSignIn,
    /// How Autodiscover answers.
    pub autodiscover: autodiscover::Autodiscover,
    pub(super) authentication: bool,
    accounts: Accounts,
    /// What connections are bound to, where clients must prove that they know: Extended Protection.
    pub channel_bindings: Option<[u8; 16]>,
    chance: Chance,
    requests: u64,
    writes: u64,
}

/// Where the service answers, whatever the case of the path.
pub const PATH: &str = "/EWS/Exchange.asmx";

impl Ews {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            quirks: EwsQuirks::as_documented(),
            sign_in: EwsSignIn::Basic,
            autodiscover: autodiscover::Autodiscover::as_documented(),
            authentication: true,
            accounts: Accounts::new(seed),
            channel_bindings: None,
            chance: Chance::new(seed ^ 0x0065_7773_6E6F_6E63),
            requests: 0,
            writes: 0,
        }
    }

    /// The account that may act for every mailbox, and its password.
    pub fn service_account(&self) -> (&str, &str) {
        self.accounts.service()
    }

    /// The account of this address and its password; also by `DOMAIN\user`.
    pub fn account(&self, user: &str) -> Option<(&str, &str)> {
        self.accounts.password(user)
    }

    /// A handshake with a connection that begins.
    pub(super) fn handshake(&mut self) -> Handshake {
        let names = Names {
            domain: DOMAIN.to_owned(),
            computer: "EXCHANGE".to_owned(),
        };
        let challenge = self.chance.next_u64().to_le_bytes();
        Handshake::new(names, challenge, self.channel_bindings)
    }

    pub(super) fn add_account(&mut self, address: &str) {
        self.accounts.add(address);
    }

    /// Whether a path is one of these services'.
    pub(super) fn serves(path: &[String]) -> bool {
        let first = path.first().map(|first| first.to_ascii_lowercase());
        matches!(first.as_deref(), Some("ews" | "autodiscover"))
    }

    /// For whom a request counts while it is under way.
    pub(super) fn lane(call: &Call<'_>) -> String {
        let mailbox = call.header("x-anchormailbox").unwrap_or_default();
        format!("ews {}", mailbox.to_ascii_lowercase())
    }

    fn required(&self) -> EwsSignIn {
        if self.authentication {
            self.sign_in
        } else {
            EwsSignIn::Nothing
        }
    }

    /// Answers one request while `others` are under way for the same mailbox.
    pub(super) fn answer(&mut self, graph: &mut Graph, call: &Call<'_>, others: u32) -> Answer {
        let path: Vec<String> = call
            .path
            .iter()
            .map(|part| part.to_ascii_lowercase())
            .collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        if path.first() == Some(&"autodiscover") {
            return self.discover(graph, call, &path);
        }
        if path != ["ews", "exchange.asmx"] {
            return Answer::text(
                RequestKind::Unknown,
                404,
                "404 - File or directory not found.",
            );
        }
        let Some(caller) = self.accounts.check(call, self.required()) else {
            return self.challenge(RequestKind::Unknown);
        };
        if call.method != Method::Post {
            return Answer::text(RequestKind::Unknown, 405, "The method is not allowed.");
        }
        if call.body.len() > self.quirks.request_bytes_max {
            return Answer::text(RequestKind::Unknown, 413, "Request Entity Too Large");
        }
        self.requests += 1;
        match self.carry_out(graph, call, &caller, others) {
            Ok(answer) => answer,
            Err((kind, fault)) => self.fault(kind, &fault),
        }
    }

    /// What a client is told that has to sign in first.
    fn challenge(&self, kind: RequestKind) -> Answer {
        let schemes: &[&str] = match self.sign_in {
            EwsSignIn::Basic => &["Basic realm=\"simulator.test\""],
            // Exchange offers both; Negotiate wants a domain's Kerberos.
            EwsSignIn::Ntlm => &["Negotiate", "NTLM"],
            EwsSignIn::NegotiateOnly => &["Negotiate"],
            EwsSignIn::Nothing => &[],
        };
        let answer = Answer::empty(kind, 401);
        schemes.iter().fold(answer, |answer, scheme| {
            answer.with_header("www-authenticate", *scheme)
        })
    }

    fn carry_out(
        &mut self,
        graph: &mut Graph,
        call: &Call<'_>,
        caller: &Caller,
        others: u32,
    ) -> Result<Answer, (RequestKind, Fault)> {
        let envelope = Envelope::read(call.body).map_err(|fault| (RequestKind::Unknown, fault))?;
        let operation = &envelope.operation;
        let kind = kind_of(&operation.name);
        let refused = |refusal: Refusal| (kind, Fault::from(refusal));
        if let Some(busy) = self.busy() {
            match busy.form {
                BusyForm::Fault => return Err((kind, Fault::busy(busy.back_off_ms))),
                BusyForm::ServiceUnavailable => {
                    return Ok(Answer::text(kind, 503, "The service is unavailable."));
                }
                BusyForm::InAnswer => {
                    return Ok(self.busy_answer(operation, kind, busy.back_off_ms));
                }
            }
        }
        if others >= self.quirks.concurrency_max {
            let why = "You have exceeded the available concurrent connections for your account.";
            return Err(refused(Refusal::new("ErrorExceededConnectionCount", why)));
        }
        let (own, names_others) = self.acts_for(graph, &envelope, caller).map_err(refused)?;
        let Graph {
            quirks: store,
            mailboxes,
            ..
        } = graph;
        let mut session = Session {
            quirks: &self.quirks,
            store,
            mailboxes,
            own,
            names_others,
            writes: &mut self.writes,
            now: call.now,
        };
        let messages = run(&mut session, operation);
        Ok(self.respond(operation, kind, messages, None))
    }

    /// Whether this request is one of those that a busy server refuses.
    fn busy(&self) -> Option<Busy> {
        let every = |busy: &Busy| self.requests.is_multiple_of(busy.every.max(1));
        self.quirks.busy.filter(every)
    }

    fn busy_answer(&self, operation: &Node, kind: RequestKind, back_off_ms: u32) -> Answer {
        let why = "The operation exceeds the throttling budget for policy part \
                   'ConcurrentSyncCalls', policy value '5', Budget type: 'Ews'.";
        let refusal = Refusal::new("ErrorServerBusy", why);
        let content = match operation.name.as_str() {
            "SyncFolderItems" => sync::nothing(),
            _ => Vec::new(),
        };
        let count = items(operation).len().max(1);
        let message = Message::refused(refusal, content, "");
        self.respond(operation, kind, vec![message; count], Some(back_off_ms))
    }

    /// The mailbox that a request acts for, and whether it may name others.
    fn acts_for(
        &self,
        graph: &Graph,
        envelope: &Envelope,
        caller: &Caller,
    ) -> Result<(Option<usize>, bool), Refusal> {
        let position = |address: &str| {
            let mut mailboxes = graph.mailboxes.iter();
            mailboxes.position(|mailbox| mailbox.address.eq_ignore_ascii_case(address))
        };
        if let Some(address) = &envelope.impersonated {
            if self.quirks.impersonation_denied || matches!(caller, Caller::Owner(_)) {
                let why = "The account does not have permission to impersonate the requested user.";
                return Err(Refusal::new("ErrorImpersonateUserDenied", why));
            }
            let found = position(address).ok_or_else(no_mailbox)?;
            return Ok((Some(found), false));
        }
        Ok(match caller {
            Caller::Anybody => ((!graph.mailboxes.is_empty()).then_some(0), true),
            Caller::Service => (None, true),
            Caller::Owner(address) => (position(address), false),
        })
    }

    fn respond(
        &self,
        operation: &Node,
        kind: RequestKind,
        messages: Vec<Message>,
        back_off_ms: Option<u32>,
    ) -> Answer {
        let logged: Vec<Item> = messages
            .iter()
            .map(|message| Item {
                kind,
                method: Method::Post,
                target: message.target.clone(),
                body: Vec::new(),
                status: message.status(),
            })
            .collect();
        let name = format!("{}ResponseMessage", operation.name);
        let messages = messages
            .into_iter()
            .map(|message| message.element(&name, back_off_ms));
        let messages = Node::m("ResponseMessages").holding_all(messages);
        let response = Node::m(&format!("{}Response", operation.name)).holding(messages);
        let body = self.write(&envelope::answer(response));
        // One item is the request itself; of several each counts, as in a batch of Graph's.
        let status = match logged.as_slice() {
            [only] => only.status,
            _ => 200,
        };
        let is_batch = logged.len() > 1;
        let kind = if is_batch {
            RequestKind::EwsBatch
        } else {
            kind
        };
        let mut answer = Answer::new(kind, 200, Body::Xml(body));
        answer.booked_status = Some(status);
        answer.items = if is_batch { logged } else { Vec::new() };
        answer
    }

    fn fault(&self, kind: RequestKind, fault: &Fault) -> Answer {
        let body = self.write(&envelope::answer(fault.element()));
        Answer::new(kind, 500, Body::Xml(body))
    }

    fn write(&self, envelope: &Node) -> Vec<u8> {
        let style = Style {
            prefixes: self.quirks.prefixes,
            illegal: self.quirks.illegal_characters,
            byte_order_mark: self.quirks.byte_order_mark,
        };
        xml::write(envelope, style)
    }
}

/// What an operation asks for.
fn kind_of(operation: &str) -> RequestKind {
    match operation {
        "GetFolder" | "FindFolder" | "SyncFolderHierarchy" => RequestKind::EwsFolder,
        "SyncFolderItems" => RequestKind::EwsSync,
        "GetItem" => RequestKind::EwsRead,
        "CreateItem" => RequestKind::EwsCreate,
        "UpdateItem" => RequestKind::EwsUpdate,
        "DeleteItem" => RequestKind::EwsDelete,
        "FindItem" => RequestKind::EwsFind,
        "ConvertId" => RequestKind::EwsConvert,
        _ => RequestKind::Unknown,
    }
}

/// The element that holds what an operation is to be carried out for, one by one.
const ITEMS: [&str; 6] = [
    "FolderIds",
    "ParentFolderIds",
    "ItemIds",
    "Items",
    "ItemChanges",
    "SourceIds",
];

fn items(operation: &Node) -> &[Node] {
    let mut children = operation.children.iter();
    let found = children.find(|child| ITEMS.contains(&child.name.as_str()));
    found
        .map(|found| found.children.as_slice())
        .unwrap_or_default()
}

/// Carries out an operation, or as much of it as the store lasts.
fn run(session: &mut Session<'_>, operation: &Node) -> Vec<Message> {
    let count = items(operation).len();
    let stop = session
        .quirks
        .batch_stops_after
        .filter(|after| *after < count);
    let Some(after) = stop else {
        return dispatch(session, operation);
    };
    let mut begun = operation.clone();
    for child in &mut begun.children {
        if ITEMS.contains(&child.name.as_str()) {
            child.children.truncate(after);
        }
    }
    let mut messages = dispatch(session, &begun);
    messages.push(Message::refused(
        session::store_unavailable(),
        Vec::new(),
        "",
    ));
    while messages.len() < count {
        let why = "The batch operation was stopped because of an earlier error.";
        let refusal = Refusal::new("ErrorBatchProcessingStopped", why);
        messages.push(Message::refused(refusal, Vec::new(), ""));
    }
    messages
}

fn dispatch(session: &mut Session<'_>, operation: &Node) -> Vec<Message> {
    match operation.name.as_str() {
        "GetFolder" => folders::get(session, operation),
        "FindFolder" => folders::find(session, operation),
        "SyncFolderHierarchy" => folders::sync(session, operation),
        "SyncFolderItems" => sync::items(session, operation),
        "GetItem" => read::get(session, operation),
        "CreateItem" => create::create(session, operation),
        "UpdateItem" => update::update(session, operation),
        "DeleteItem" => delete::delete(session, operation),
        "FindItem" => find::find(session, operation),
        "ConvertId" => convert::convert(session, operation),
        // The envelope lets nothing else pass.
        _ => Vec::new(),
    }
}
