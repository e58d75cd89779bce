//! The other side: an Exchange mailbox, as the engine sees it.
//!
//! [`Mailbox`] is the only place where Exchange's protocols may show; [`graph`] implements it for
//! Office 365, [`ews`] for Exchange Server. Methods that take several contacts answer in the
//! same order, one answer each; the outer error is for what concerns the whole mailbox.

pub mod ews;
mod folders;
pub mod graph;

use serde::{Deserialize, Serialize};

use crate::contact::{ChangeKey, MailboxContact, MailboxId, SearchKey, Shape, StableId, View};
use crate::http::{RemoteError, WriteError};
use crate::links::{Link, Memory};
use crate::report::Problem;

/// A mailbox's default contacts folder.
pub trait Mailbox {
    /// What a contact of this mailbox can hold.
    fn shape(&self) -> Shape;

    /// Who this is. `remembered` is what an earlier [`Mailbox::connect`] returned; with it nothing
    /// is sent.
    fn connect(
        &mut self,
        remembered: Option<&MailboxIdentity>,
    ) -> Result<MailboxIdentity, RemoteError>;

    /// The next page of what changed since `position`, or of everything where there is none.
    fn changes(&self, position: Option<&MailboxPosition>) -> Result<MailboxPage, RemoteError>;

    /// Each contact by id, wherever it is now.
    fn read(&self, ids: &[MailboxId]) -> Result<Vec<MailboxRead>, RemoteError>;

    /// The contacts that carry each of these, or why that cannot be told. Sees all live contact
    /// folders.
    fn find(&self, by: &[FindBy]) -> Result<Vec<Result<Vec<MailboxId>, Problem>>, RemoteError>;

    /// Creates contacts, each with its key. Not idempotent: never repeated after
    /// [`WriteError::Unknown`] without looking for the key first.
    fn create(&self, drafts: &[MailboxDraft]) -> Vec<Result<MailboxContact, WriteError>>;

    /// Writes the values in which `after` differs from `before`, and returns the contact as the
    /// mailbox then holds it.
    fn update(&self, edits: &[MailboxEdit]) -> Vec<Result<MailboxContact, WriteError>>;

    /// Moves contacts to Deleted Items.
    fn delete(&self, contacts: &[(MailboxId, ChangeKey)]) -> Vec<Result<(), WriteError>>;
}

impl<M: Mailbox + ?Sized> Mailbox for Box<M> {
    fn shape(&self) -> Shape {
        (**self).shape()
    }

    fn connect(
        &mut self,
        remembered: Option<&MailboxIdentity>,
    ) -> Result<MailboxIdentity, RemoteError> {
        (**self).connect(remembered)
    }

    fn changes(&self, position: Option<&MailboxPosition>) -> Result<MailboxPage, RemoteError> {
        (**self).changes(position)
    }

    fn read(&self, ids: &[MailboxId]) -> Result<Vec<MailboxRead>, RemoteError> {
        (**self).read(ids)
    }

    fn find(&self, by: &[FindBy]) -> Result<Vec<Result<Vec<MailboxId>, Problem>>, RemoteError> {
        (**self).find(by)
    }

    fn create(&self, drafts: &[MailboxDraft]) -> Vec<Result<MailboxContact, WriteError>> {
        (**self).create(drafts)
    }

    fn update(&self, edits: &[MailboxEdit]) -> Vec<Result<MailboxContact, WriteError>> {
        (**self).update(edits)
    }

    fn delete(&self, contacts: &[(MailboxId, ChangeKey)]) -> Vec<Result<(), WriteError>> {
        (**self).delete(contacts)
    }
}

/// Contacts that are remembered, wherever they are now: one that is gone under its id may be in
/// another folder under another one, where ids do not outlive moves.
pub fn read_wherever<M: Mailbox>(
    mailbox: &M,
    memory: &Memory,
    sought: &[(MailboxId, Option<&Link>)],
) -> Result<Vec<MailboxRead>, RemoteError> {
    let ids: Vec<MailboxId> = sought.iter().map(|(id, _)| id.clone()).collect();
    let mut reads = mailbox.read(&ids)?;
    for (read, (_, link)) in reads.iter_mut().zip(sought) {
        if let (MailboxRead::Deleted, Some(link)) = (&*read, link) {
            *read = find_wherever(mailbox, memory, link)?;
        }
    }
    Ok(reads)
}

fn find_wherever<M: Mailbox>(
    mailbox: &M,
    memory: &Memory,
    link: &Link,
) -> Result<MailboxRead, RemoteError> {
    let Some(by) = link.find_by() else {
        return Ok(MailboxRead::Deleted);
    };
    let found = match mailbox.find(std::slice::from_ref(&by))?.pop() {
        Some(Ok(ids)) => ids,
        Some(Err(problem)) => return Ok(MailboxRead::Unreadable(problem)),
        None => Vec::new(),
    };
    // What outlives an id is copied with the contact: a copy that is a contact of its own by now
    // is not the one that is sought.
    let Ok(partners) = memory.paired_with(&found) else {
        return Ok(MailboxRead::Unreadable(Problem {
            message: "whose contact it is that was found in its place cannot be told".to_owned(),
            remedy: Some("nothing at first: the next pass tries again".to_owned()),
        }));
    };
    let mut own = found.into_iter().zip(partners).filter(|(_, partner)| {
        let partner = partner.as_ref();
        partner.is_none_or(|partner| *partner == link.crm_id)
    });
    // Nowhere; or met twice, which proves nothing.
    let (Some((id, _)), None) = (own.next(), own.next()) else {
        return Ok(MailboxRead::Deleted);
    };
    let read = mailbox.read(std::slice::from_ref(&id))?.pop();
    Ok(read.unwrap_or(MailboxRead::Deleted))
}

/// Which mailbox this is (contract, section 1). The address is no part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxIdentity {
    /// `graph` or `ews`.
    pub service: String,
    /// The service's own unchanging id of the user.
    pub user: String,
    /// The id of the contacts folder.
    pub folder: String,
    /// The mailbox's own primary address, to compare with the configuration.
    pub address: Option<String>,
}

/// Up to where the mailbox's changes are known, in the implementation's own format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxPosition(pub String);

/// One page of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxPage {
    /// In the order in which the service said it; a later entry for an id outdates an earlier one.
    pub entries: Vec<MailboxEntry>,
    /// How to go on.
    pub next: MailboxNext,
}

/// One entry of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailboxEntry {
    /// A contact that is new or changed.
    Present(MailboxContact),
    /// A contact that is no longer in the folder: a hint, not yet a deletion.
    Removed(MailboxId),
    /// An entry that is no readable contact.
    Unreadable(Option<MailboxId>, Problem),
}

/// What comes after a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailboxNext {
    /// Another page: hand this to the next [`Mailbox::changes`].
    Page(MailboxPosition),
    /// The end: where the next pass begins.
    End(MailboxPosition),
    /// The position is no longer known to the service: begin anew, without one.
    Expired,
}

/// What a read of one contact by its id came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailboxRead {
    /// Here it is, in the synced folder.
    Present(MailboxContact),
    /// It is in another live contact folder.
    Moved(MailboxContact),
    /// It is in Deleted Items, or gone: the service answered "not found" for this very item while
    /// the mailbox itself could be read.
    Deleted,
    /// It cannot be read.
    Unreadable(Problem),
}

/// What a contact is looked for by, wherever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindBy {
    /// The key that it was created with.
    Key(SearchKey),
    /// What outlives its id.
    StableId(StableId),
}

/// A contact to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxDraft {
    /// What to find it by.
    pub key: SearchKey,
    /// What it is to hold.
    pub view: View,
}

/// A change of a mailbox contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxEdit {
    /// Which contact.
    pub id: MailboxId,
    /// The version it is based on.
    pub change_key: ChangeKey,
    /// What that version holds.
    pub before: View,
    /// What it is to hold.
    pub after: View,
}
