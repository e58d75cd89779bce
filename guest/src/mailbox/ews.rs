//! Exchange Server over Exchange Web Services
//! (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/ews-reference-for-exchange>).
//!
//! One module per remote operation, named as Microsoft names it: `get_folder`, `find_folder`,
//! `sync_folder_items`, `get_item`, `find_item`, `create_item`, `update_item`, `delete_item`.
//! `soap` sends them and repeats what may be repeated, `properties` and `record` know how a contact
//! looks on the wire, `errors` what Exchange's codes mean.
//!
//! Not here: signing in (the host's), finding the server (`autodiscover`), notes (never asked for),
//! and what a value means (`contact`).

mod create_item;
mod delete_item;
mod errors;
mod find_folder;
mod find_item;
mod get_folder;
mod get_item;
mod properties;
mod record;
mod soap;
mod sync_folder_items;
#[cfg(test)]
mod tests;
mod update_item;

use crate::contact::{ChangeKey, MailboxContact, MailboxId, Shape};
use crate::http::{Http, RemoteError, WriteError};
use crate::job::EwsAccess;
use crate::mailbox::folders::Folders;
use crate::mailbox::{
    FindBy, Mailbox, MailboxDraft, MailboxEdit, MailboxIdentity, MailboxPage, MailboxPosition,
    MailboxRead,
};
use crate::report::{Problem, RemoteProblem, Service};
use sync_folder_items::Round;

/// A mailbox on an Exchange Server.
pub struct Ews {
    client: Client,
    identity: Option<MailboxIdentity>,
    /// The reading of changes under way.
    round: Round,
    /// Contact folders besides the synced one.
    folders: Folders,
}

/// What every operation needs to ask for something.
struct Client {
    http: Http,
    /// `https://mail.example.com/EWS/Exchange.asmx`.
    url: String,
    /// Whose mailbox: its primary SMTP address.
    address: String,
    /// Whether to act for that address, or by the rights of whoever signs in.
    impersonate: bool,
    /// Whether the server shows what outlives an item's id.
    ask_search_key: bool,
}

impl Ews {
    /// The mailbox of `address`, where `url` answers. Sends nothing.
    pub fn new(http: Http, url: &str, address: &str, access: &EwsAccess) -> Self {
        Self {
            client: Client {
                http,
                url: url.to_owned(),
                address: address.to_owned(),
                impersonate: access.impersonate,
                ask_search_key: access.ask_search_key,
            },
            identity: None,
            round: Round::default(),
            folders: Folders::default(),
        }
    }

    /// The folder that is synced.
    fn folder(&self) -> Result<&str, RemoteError> {
        match &self.identity {
            Some(identity) => Ok(&identity.folder),
            None => Err(RemoteError::Protocol(RemoteProblem {
                service: Service::Ews,
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

    fn written<T>(
        &self,
        contacts: usize,
        write: impl FnOnce(&str) -> Vec<Result<T, WriteError>>,
    ) -> Vec<Result<T, WriteError>> {
        match self.folder() {
            Ok(folder) => write(folder),
            Err(error) => (0..contacts)
                .map(|_| Err(WriteError::NotDone(error.clone())))
                .collect(),
        }
    }
}

impl Mailbox for Ews {
    fn shape(&self) -> Shape {
        Shape {
            other_phone: true,
            keeps_gaps: true,
        }
    }

    fn connect(
        &mut self,
        remembered: Option<&MailboxIdentity>,
    ) -> Result<MailboxIdentity, RemoteError> {
        // Of another address than before it is not known whose mailbox it is.
        let remembered = remembered.filter(|identity| {
            let known = identity.address.as_deref();
            known.is_none_or(|known| known.eq_ignore_ascii_case(&self.client.address))
        });
        let identity = match remembered {
            Some(identity) => identity.clone(),
            None => get_folder::identity(&self.client)?,
        };
        self.identity = Some(identity.clone());
        Ok(identity)
    }

    fn changes(&self, position: Option<&MailboxPosition>) -> Result<MailboxPage, RemoteError> {
        sync_folder_items::changes(&self.client, self.folder()?, &self.round, position)
    }

    fn read(&self, ids: &[MailboxId]) -> Result<Vec<MailboxRead>, RemoteError> {
        get_item::read(&self.client, self.folder()?, &self.folders, ids)
    }

    fn find(&self, by: &[FindBy]) -> Result<Vec<Result<Vec<MailboxId>, Problem>>, RemoteError> {
        find_item::find(&self.client, self.folder()?, &self.folders, by)
    }

    fn create(&self, drafts: &[MailboxDraft]) -> Vec<Result<MailboxContact, WriteError>> {
        self.written(drafts.len(), |folder| {
            create_item::create(&self.client, folder, drafts)
        })
    }

    fn update(&self, edits: &[MailboxEdit]) -> Vec<Result<MailboxContact, WriteError>> {
        self.written(edits.len(), |_| update_item::update(&self.client, edits))
    }

    fn delete(&self, contacts: &[(MailboxId, ChangeKey)]) -> Vec<Result<(), WriteError>> {
        self.written(contacts.len(), |folder| {
            delete_item::delete(&self.client, folder, contacts)
        })
    }
}
