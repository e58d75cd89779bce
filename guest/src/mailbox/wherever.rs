//! Remembered contacts, wherever they are now (contract, section 3).
//!
//! Where ids do not outlive moves, a contact that is gone under its id may be in another folder
//! under another one. It is found by what it was created with, or by what outlives its id; but
//! copies share both, so only a contact that is alone with it, and nobody else's partner, is taken
//! for it.

use crate::contact::{CrmId, MailboxId};
use crate::http::RemoteError;
use crate::links::{Link, Memory};
use crate::mailbox::{FindBy, Mailbox, MailboxRead};
use crate::report::Problem;

/// A contact that is looked for.
pub struct Sought {
    /// Its last known id.
    pub id: MailboxId,
    /// What else it is found by.
    by: Option<FindBy>,
    /// Whose partner it is.
    partner: Option<CrmId>,
}

impl Sought {
    /// The contact of this id, and what a link remembers of it.
    pub fn new(id: MailboxId, link: Option<&Link>) -> Self {
        Self {
            id,
            by: link.and_then(Link::find_by),
            partner: link.map(|link| link.crm_id.clone()),
        }
    }
}

/// Each contact, in the synced folder or in another one.
pub fn read_wherever<M: Mailbox>(
    mailbox: &M,
    memory: &Memory,
    sought: &[Sought],
) -> Result<Vec<MailboxRead>, RemoteError> {
    let ids: Vec<MailboxId> = sought.iter().map(|sought| sought.id.clone()).collect();
    let mut reads = mailbox.read(&ids)?;
    let mut missing: Vec<(&mut MailboxRead, &Sought)> = Vec::new();
    let mut by: Vec<FindBy> = Vec::new();
    for (read, sought) in reads.iter_mut().zip(sought) {
        if let (MailboxRead::Deleted, Some(wanted)) = (&*read, &sought.by) {
            by.push(wanted.clone());
            missing.push((read, sought));
        }
    }
    if by.is_empty() {
        return Ok(reads);
    }
    for ((read, sought), carriers) in missing.into_iter().zip(mailbox.find(&by)?) {
        *read = match carriers {
            Err(problem) => MailboxRead::Unreadable(problem),
            Ok(carriers) => only_carrier(mailbox, memory, sought, &carriers)?,
        };
    }
    Ok(reads)
}

/// The one contact that can be meant; unreadable where there are several, of which one may be.
fn only_carrier<M: Mailbox>(
    mailbox: &M,
    memory: &Memory,
    sought: &Sought,
    carriers: &[MailboxId],
) -> Result<MailboxRead, RemoteError> {
    if carriers.is_empty() {
        return Ok(MailboxRead::Deleted);
    }
    let Ok(partners) = memory.paired_with(carriers) else {
        return Ok(MailboxRead::Unreadable(unknown_partners()));
    };
    let reads = mailbox.read(carriers)?;
    // A search may see Deleted Items as well.
    let mut alive: Vec<(Option<CrmId>, MailboxRead)> = partners
        .into_iter()
        .zip(reads)
        .filter(|(_, read)| *read != MailboxRead::Deleted)
        .collect();
    let is_free = |(partner, _): &&(Option<CrmId>, MailboxRead)| {
        partner.is_none() || *partner == sought.partner
    };
    let free = alive.iter().filter(is_free).count();
    Ok(match (free, alive.len()) {
        (0, _) => MailboxRead::Deleted,
        (1, 1) => alive.pop().map_or(MailboxRead::Deleted, |(_, only)| only),
        _ => MailboxRead::Unreadable(copied(&sought.id)),
    })
}

fn copied(id: &MailboxId) -> Problem {
    Problem {
        message: format!(
            "the mailbox contact {id} is gone, and several others may be it: it was copied before"
        ),
        remedy: Some("delete the copies that are not needed; the next pass looks again".into()),
    }
}

fn unknown_partners() -> Problem {
    Problem {
        message: "whose partners the contacts are that may be a missing one could not be read"
            .into(),
        remedy: Some("nothing at first: the next pass looks again".into()),
    }
}
