//! For whom a request acts, and what it may name.

use contact_sync_guest::outside::Timestamp;

use super::super::graph::ids::Id;
use super::super::graph::mailbox::{Availability, CONTACTS, DELETED_ITEMS, Mailbox, ROOT};
use super::super::graph::quirks::GraphQuirks;
use super::quirks::EwsQuirks;
use super::refusal::Refusal;
use super::xml::Node;

/// What all operations need to know.
pub(super) struct Session<'a> {
    pub(super) quirks: &'a EwsQuirks,
    /// How the mailbox treats what is written to it, in whatever dialect.
    pub(super) store: &'a GraphQuirks,
    pub(super) mailboxes: &'a mut Vec<Mailbox>,
    /// The mailbox for which the request acts.
    pub(super) own: Option<usize>,
    /// Whether it may name other mailboxes.
    pub(super) names_others: bool,
    /// Writes so far: every so-manieth is followed by another change key.
    pub(super) writes: &'a mut u64,
    pub(super) now: Timestamp,
}

/// The root above the one that people see.
pub(super) const TOP: u32 = 0;

/// A folder of one of the mailboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FolderPlace {
    pub(super) mailbox: usize,
    pub(super) folder: u32,
}

/// An item of one of the mailboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ItemPlace {
    pub(super) mailbox: usize,
    pub(super) item: u64,
}

impl Session<'_> {
    pub(super) fn mailbox(&self, index: usize) -> Result<&Mailbox, Refusal> {
        let mailbox = self.mailboxes.get(index);
        let mailbox = mailbox.ok_or_else(no_mailbox)?;
        self.available(mailbox)?;
        Ok(mailbox)
    }

    pub(super) fn mailbox_mut(&mut self, index: usize) -> Result<&mut Mailbox, Refusal> {
        self.mailbox(index)?;
        self.mailboxes.get_mut(index).ok_or_else(no_mailbox)
    }

    fn available(&self, mailbox: &Mailbox) -> Result<(), Refusal> {
        if mailbox.availability == Availability::UserMissing {
            return Err(no_mailbox());
        }
        if self.quirks.store_unavailable {
            return Err(store_unavailable());
        }
        Ok(())
    }

    /// The folder that a `FolderId` or `DistinguishedFolderId` names.
    pub(super) fn folder(&self, node: &Node) -> Result<FolderPlace, Refusal> {
        let id = node.attribute("Id").unwrap_or_default();
        if node.name == "DistinguishedFolderId" {
            return self.distinguished(id, node);
        }
        let (number, folder) = match Id::decode(id) {
            Some(Id::Folder { mailbox, folder }) => (mailbox, folder),
            Some(_) => {
                let why = "An item Id cannot be used where a folder Id is expected.";
                return Err(Refusal::new("ErrorCannotUseItemIdForFolderId", why));
            }
            None => return Err(Refusal::malformed_id()),
        };
        let index = self
            .numbered(number)
            .ok_or_else(Refusal::folder_not_found)?;
        let mailbox = self.mailbox(index)?;
        if folder != TOP && !mailbox.folders.contains_key(&folder) {
            return Err(Refusal::folder_not_found());
        }
        Ok(FolderPlace {
            mailbox: index,
            folder,
        })
    }

    fn distinguished(&self, name: &str, node: &Node) -> Result<FolderPlace, Refusal> {
        let named = node
            .child("Mailbox")
            .and_then(|named| named.child_text("EmailAddress"));
        let index = match named {
            Some(address) => self.named(address)?,
            None => self.own.ok_or_else(|| {
                let why = "When making a request as an account that does not have a mailbox, you \
                           must specify the mailbox primary SMTP address for any distinguished \
                           folder Ids.";
                Refusal::new("ErrorMissingEmailAddress", why)
            })?,
        };
        self.mailbox(index)?;
        let folder = match name {
            "root" => TOP,
            "msgfolderroot" => ROOT,
            "contacts" => CONTACTS,
            "deleteditems" => DELETED_ITEMS,
            _ => return Err(Refusal::folder_not_found()),
        };
        Ok(FolderPlace {
            mailbox: index,
            folder,
        })
    }

    fn named(&self, address: &str) -> Result<usize, Refusal> {
        let mut mailboxes = self.mailboxes.iter();
        let found = mailboxes.position(|mailbox| mailbox.address.eq_ignore_ascii_case(address));
        match found {
            None => Err(no_mailbox()),
            found if self.own == found || self.names_others => Ok(found.unwrap_or_default()),
            Some(_) => {
                let why = "Access is denied. Check credentials and try again.";
                Err(Refusal::new("ErrorAccessDenied", why))
            }
        }
    }

    /// The mailbox with this number in its ids, as far as the request may see it.
    fn numbered(&self, number: u64) -> Option<usize> {
        let mut mailboxes = self.mailboxes.iter();
        let found = mailboxes.position(|mailbox| mailbox.number == number)?;
        (self.own == Some(found) || self.names_others).then_some(found)
    }

    /// The item with this id, in its present place.
    pub(super) fn item(&self, id: &str) -> Result<ItemPlace, Refusal> {
        let id = match Id::decode(id) {
            Some(id @ Id::Placed { .. }) => id,
            Some(Id::Folder { .. }) => {
                let why = "A folder Id cannot be used where an item Id is expected.";
                return Err(Refusal::new("ErrorCannotUseFolderIdForItemId", why));
            }
            // What Graph calls immutable means nothing to Exchange Server.
            Some(Id::Immutable { .. }) | None => return Err(Refusal::malformed_id()),
        };
        let Id::Placed { mailbox, .. } = id else {
            return Err(Refusal::malformed_id());
        };
        let index = self.numbered(mailbox).ok_or_else(Refusal::item_not_found)?;
        let found = self.mailbox(index)?.resolve(id);
        let item = found.ok_or_else(Refusal::item_not_found)?.item;
        Ok(ItemPlace {
            mailbox: index,
            item,
        })
    }

    /// A write was carried out. Now and then the server gives the item another change key, after
    /// it has answered.
    pub(super) fn wrote(&mut self, place: ItemPlace) {
        *self.writes += 1;
        let every = self.quirks.change_key_moves_every;
        let moves = every.is_some_and(|every| self.writes.is_multiple_of(every.max(1)));
        let now = self.now;
        if let (true, Some(mailbox)) = (moves, self.mailboxes.get_mut(place.mailbox)) {
            mailbox.touch(place.item, now);
        }
    }
}

pub(super) fn no_mailbox() -> Refusal {
    let why = "The SMTP address has no mailbox associated with it.";
    Refusal::new("ErrorNonExistentMailbox", why)
}

pub(super) fn store_unavailable() -> Refusal {
    let why = "The mailbox database is temporarily unavailable.";
    Refusal::new("ErrorMailboxStoreUnavailable", why)
}
