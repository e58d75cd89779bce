//! The contact folders besides the synced one, as far as a pass has come to know them, and what the
//! place of a contact says (contract, section 3).

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::contact::{MailboxContact, MailboxId};
use crate::http::RemoteError;
use crate::mailbox::MailboxRead;
use crate::mutation::{self, Mutant};
use crate::report::Problem;

/// Folders beyond this many are not looked at.
pub(super) const FOLDERS_MAX: usize = 500;

/// What is known of the folders; read when it is needed, and remembered for one pass.
#[derive(Debug, Default)]
pub(super) struct Folders(RefCell<Option<Known>>);

/// What a service lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    /// Contact folders that are not in Deleted Items, the synced one left out.
    pub(super) live: BTreeSet<String>,
    /// Whether these were all of them.
    pub(super) complete: bool,
}

/// A contact, and the folder that it is in.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) contact: MailboxContact,
    pub(super) folder: Option<String>,
}

/// What one contact's own answer says.
// On wasm the variants are small enough.
#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(clippy::large_enum_variant, reason = "nearly all of them are contacts")
)]
pub(super) enum State {
    Present(Found),
    Gone,
    Unreadable(Problem),
}

#[derive(Clone, Debug, Default)]
struct Known {
    listed: Listed,
    /// Those that were met and are not live: Deleted Items above all.
    dead: BTreeSet<String>,
}

impl Folders {
    /// The live folders besides the synced one, as a list of this pass knows them.
    pub(super) fn live(
        &self,
        list: impl FnOnce() -> Result<Listed, RemoteError>,
    ) -> Result<Listed, RemoteError> {
        if let Some(known) = self.0.borrow().as_ref() {
            return Ok(known.listed.clone());
        }
        self.live_now(list)
    }

    /// The live folders besides the synced one, as they are now: where a contact is found nowhere
    /// else, the folder that it is in may be newer than any list.
    pub(super) fn live_now(
        &self,
        list: impl FnOnce() -> Result<Listed, RemoteError>,
    ) -> Result<Listed, RemoteError> {
        let listed = list()?;
        let before = self.0.take().unwrap_or_default();
        *self.0.borrow_mut() = Some(Known {
            listed: listed.clone(),
            dead: before.dead,
        });
        Ok(listed)
    }

    /// What each contact's state means, wherever it is.
    pub(super) fn place_all(
        &self,
        synced: &str,
        states: Vec<State>,
        list: impl FnOnce() -> Result<Listed, RemoteError>,
    ) -> Result<Vec<MailboxRead>, RemoteError> {
        let elsewhere: BTreeSet<&str> = states
            .iter()
            .filter_map(|state| match state {
                State::Present(found) => found.folder.as_deref(),
                State::Gone | State::Unreadable(_) => None,
            })
            .filter(|parent| *parent != synced)
            .collect();
        self.learn(&elsewhere, list)?;
        let read = states.into_iter().map(|state| match state {
            State::Present(found) => self.place(synced, found),
            State::Gone => MailboxRead::Deleted,
            State::Unreadable(problem) => MailboxRead::Unreadable(problem),
        });
        Ok(read.collect())
    }

    /// Finds out of each of these folders whether it is live. The list is asked for only when it is
    /// needed, and again for a folder that was not met before: that one may be newer than the list,
    /// and a contact in it must not be taken for deleted.
    fn learn(
        &self,
        met: &BTreeSet<&str>,
        list: impl FnOnce() -> Result<Listed, RemoteError>,
    ) -> Result<(), RemoteError> {
        if met.is_empty() {
            return Ok(());
        }
        let before = self.0.take().unwrap_or_default();
        let is_known =
            |folder: &&str| before.listed.live.contains(*folder) || before.dead.contains(*folder);
        if met.iter().all(is_known) {
            *self.0.borrow_mut() = Some(before);
            return Ok(());
        }
        let mut known = Known {
            listed: list()?,
            dead: before.dead,
        };
        if known.listed.complete {
            let live = &known.listed.live;
            let dead = met.iter().filter(|folder| !live.contains(**folder));
            known.dead.extend(dead.map(|folder| (*folder).to_owned()));
        }
        *self.0.borrow_mut() = Some(known);
        Ok(())
    }

    /// In the synced folder, in another live one, or in Deleted Items: of folders that were learnt
    /// about.
    fn place(&self, synced: &str, found: Found) -> MailboxRead {
        let Some(parent) = found.folder else {
            return MailboxRead::Unreadable(nowhere(&found.contact.id));
        };
        if parent == synced {
            return MailboxRead::Present(found.contact);
        }
        match self.is_live(&parent) {
            Some(true) if mutation::is_on(Mutant::MovedIsDeleted) => MailboxRead::Deleted,
            Some(false) if mutation::is_on(Mutant::DeletedItemsAreMoved) => {
                MailboxRead::Moved(found.contact)
            }
            Some(true) => MailboxRead::Moved(found.contact),
            Some(false) => MailboxRead::Deleted,
            None => MailboxRead::Unreadable(nowhere(&found.contact.id)),
        }
    }

    /// `None` where there are too many folders to tell.
    fn is_live(&self, folder: &str) -> Option<bool> {
        let known = self.0.borrow();
        let known = known.as_ref()?;
        if known.listed.live.contains(folder) {
            return Some(true);
        }
        known.dead.contains(folder).then_some(false)
    }
}

/// Not all folders were searched: whoever was not found may be in one of the others.
pub(super) fn too_many() -> Problem {
    Problem {
        message: format!(
            "the mailbox has more than {FOLDERS_MAX} contact folders, or too many folders in all: \
             not all of them can be searched for a contact"
        ),
        remedy: Some("delete contact folders that are not needed".into()),
    }
}

fn nowhere(id: &MailboxId) -> Problem {
    Problem {
        message: format!("it cannot be told in which folder the mailbox contact {id} is"),
        remedy: Some("move it back to the default contacts folder, or delete it".into()),
    }
}
