//! Office 365 over Microsoft Graph v1.0
//! (<https://learn.microsoft.com/graph/api/resources/contact?view=graph-rest-1.0>).
//!
//! One module per remote operation: `identity`, `delta`, `read`, `find`, `create`,
//! `update`, `delete`, `folders`, and `batch`, in which most of them travel. `record` knows
//! how a contact looks on the wire, `errors` what Exchange's codes mean.
//!
//! Not here: signing in (the host's), notes (never asked for), and what a value means (`contact`).

mod batch;
mod create;
mod delete;
mod delta;
mod errors;
mod find;
mod folders;
mod identity;
mod read;
mod record;
#[cfg(test)]
mod tests;
mod update;

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::contact::{ChangeKey, MailboxContact, MailboxId, SearchKey, Shape};
use crate::http::{Call, Http, RemoteError, WriteError, escaped};
use crate::job::{GraphAccess, GraphUser};
use crate::mailbox::folders::Folders;
use crate::mailbox::{
    FindBy, Mailbox, MailboxDraft, MailboxEdit, MailboxIdentity, MailboxPage, MailboxPosition,
    MailboxRead,
};
use crate::report::{Problem, RemoteProblem, Service};

/// A mailbox in Exchange Online.
pub struct Graph {
    client: Client,
    /// Whether `If-Match` alone guards a write.
    trust_if_match: bool,
    identity: Option<MailboxIdentity>,
    /// Links of the round of delta under way: one that comes again would never end.
    followed: RefCell<BTreeSet<String>>,
    /// Contact folders besides the synced one; read when needed, and remembered for this pass.
    folders: Folders,
}

/// What every operation needs to ask for something.
struct Client {
    http: Http,
    /// The service root, without a slash at its end.
    base_url: String,
    /// `/me` or `/users/{…}`.
    user: String,
}

/// Ids that survive a move within the mailbox; asked for by every single request
/// (<https://learn.microsoft.com/graph/outlook-immutable-id>).
const IMMUTABLE_IDS: &str = "IdType=\"ImmutableId\"";

impl Graph {
    /// The mailbox that `access` names. Sends nothing.
    pub fn new(http: Http, access: &GraphAccess) -> Self {
        let user = match &access.user {
            GraphUser::Me => "/me".to_owned(),
            GraphUser::User(user) => format!("/users/{}", escaped(user)),
        };
        let base_url = access.base_url.trim_end_matches('/').to_owned();
        Self {
            client: Client {
                http,
                base_url,
                user,
            },
            trust_if_match: access.trust_if_match,
            identity: None,
            followed: RefCell::default(),
            folders: Folders::default(),
        }
    }

    /// The folder that is synced.
    fn folder(&self) -> Result<&str, RemoteError> {
        match &self.identity {
            Some(identity) => Ok(&identity.folder),
            None => Err(RemoteError::Protocol(RemoteProblem {
                service: Service::Graph,
                status: None,
                code: None,
                request_id: None,
                problem: Problem {
                    message: "the mailbox was asked for contacts before it was connected".into(),
                    remedy: Some("tell whoever maintains this sync".into()),
                },
            })),
        }
    }
}

impl Client {
    /// A request that reads `path`, which begins behind the user.
    fn get(&self, what: &'static str, path: &str) -> Call {
        let url = format!("{}{}{path}", self.base_url, self.user);
        Call::get(what, url).header("prefer", IMMUTABLE_IDS)
    }
}

impl Mailbox for Graph {
    fn shape(&self) -> Shape {
        Shape {
            other_phone: false,
            keeps_gaps: false,
        }
    }

    fn connect(
        &mut self,
        remembered: Option<&MailboxIdentity>,
    ) -> Result<MailboxIdentity, RemoteError> {
        let identity = match remembered {
            Some(identity) => identity.clone(),
            None => identity::identity(&self.client)?,
        };
        self.identity = Some(identity.clone());
        Ok(identity)
    }

    fn changes(&self, position: Option<&MailboxPosition>) -> Result<MailboxPage, RemoteError> {
        delta::changes(&self.client, self.folder()?, &self.followed, position)
    }

    fn read(&self, ids: &[MailboxId]) -> Result<Vec<MailboxRead>, RemoteError> {
        read::read(&self.client, self.folder()?, &self.folders, ids)
    }

    fn find(&self, by: &[FindBy]) -> Result<Vec<Result<Vec<MailboxId>, Problem>>, RemoteError> {
        let keys: Vec<SearchKey> = by
            .iter()
            .filter_map(|by| match by {
                FindBy::Key(key) => Some(key.clone()),
                FindBy::StableId(_) => None,
            })
            .collect();
        let found = find::find(&self.client, self.folder()?, &self.folders, &keys)?;
        let mut found = found.into_iter();
        let hits = by.iter().map(|by| match by {
            FindBy::Key(_) => found.next().unwrap_or_else(|| Ok(Vec::new())),
            // Ids outlive moves here: no contact was ever remembered by anything else.
            FindBy::StableId(_) => Ok(Vec::new()),
        });
        Ok(hits.collect())
    }

    fn create(&self, drafts: &[MailboxDraft]) -> Vec<Result<MailboxContact, WriteError>> {
        match self.folder() {
            Ok(folder) => create::create(&self.client, folder, drafts),
            Err(error) => drafts
                .iter()
                .map(|_| Err(WriteError::NotDone(error.clone())))
                .collect(),
        }
    }

    fn update(&self, edits: &[MailboxEdit]) -> Vec<Result<MailboxContact, WriteError>> {
        match self.folder() {
            Ok(folder) => update::update(&self.client, folder, self.trust_if_match, edits),
            Err(error) => edits
                .iter()
                .map(|_| Err(WriteError::NotDone(error.clone())))
                .collect(),
        }
    }

    fn delete(&self, contacts: &[(MailboxId, ChangeKey)]) -> Vec<Result<(), WriteError>> {
        match self.folder() {
            Ok(folder) => delete::delete(&self.client, folder, contacts),
            Err(error) => contacts
                .iter()
                .map(|_| Err(WriteError::NotDone(error.clone())))
                .collect(),
        }
    }
}
