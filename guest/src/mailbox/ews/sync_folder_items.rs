//! What changed in the folder
//! (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/syncfolderitems-operation>).
//!
//! Ids alone are asked for: it cannot show everything, and shows some of it at a high price
//! (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/mailbox-synchronization-and-ews-in-exchange>).
//! What the ids stand for is read by `get_item`.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use crate::contact::MailboxId;
use crate::http::{RemoteError, Repeat};
use crate::mailbox::ews::get_item;
use crate::mailbox::ews::soap::{self, Message, Operation, TYPES};
use crate::mailbox::ews::{Client, errors, record};
use crate::mailbox::folders::State;
use crate::mailbox::{MailboxEntry, MailboxNext, MailboxPage, MailboxPosition};
use crate::mutation::{self, Mutant};
use crate::report::Problem;
use crate::xml::{Element, Writer};

const SYNC_FOLDER_ITEMS: Operation = Operation {
    name: "SyncFolderItems",
    what: "read the mailbox's changes",
    items_max: 1,
    repeat: Repeat::Safe,
    splits: false,
};

/// Changes of one page. Exchange allows 512
/// (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/maxchangesreturned>);
/// fewer keep what one step of a pass reads small.
const PAGE_CHANGES_MAX: usize = 200;

const _: () = assert!(PAGE_CHANGES_MAX >= 1 && PAGE_CHANGES_MAX <= 512);

/// Pages without any change that one round may have: a server that says "more" for ever ends here.
const EMPTY_PAGES_MAX: u32 = 100;

/// States longer than this are no position: the store has to keep them. Real ones grow with the
/// folder to tens of kilobytes.
const STATE_BYTES_MAX: usize = 512 * 1024;

/// The reading of changes under way.
#[derive(Debug, Default)]
pub(super) struct Round {
    empty_pages: Cell<u32>,
}

/// One page.
pub(super) fn changes(
    client: &Client,
    folder: &str,
    round: &Round,
    position: Option<&MailboxPosition>,
) -> Result<MailboxPage, RemoteError> {
    if position.is_none() {
        round.empty_pages.set(0);
    }
    let state = position.map(|MailboxPosition(state)| state.as_str());
    let write = |writer: &mut Writer| write_request(writer, folder, state);
    let read = |message: &Message<'_>| read_page(message, state);
    let Some(page) = soap::send_one(client, &SYNC_FOLDER_ITEMS, &write, &read)?? else {
        round.empty_pages.set(0);
        return Ok(MailboxPage {
            entries: Vec::new(),
            next: MailboxNext::Expired,
        });
    };
    let empty_pages = if page.changes.is_empty() && !page.is_last {
        round.empty_pages.get().saturating_add(1)
    } else {
        0
    };
    round.empty_pages.set(empty_pages);
    if empty_pages > EMPTY_PAGES_MAX {
        return Err(page.endless);
    }
    let position = MailboxPosition(page.state);
    Ok(MailboxPage {
        entries: entries(client, folder, page.changes)?,
        next: if page.is_last {
            MailboxNext::End(position)
        } else {
            MailboxNext::Page(position)
        },
    })
}

/// An entry of a page.
enum Change {
    Present(MailboxId),
    Removed(MailboxId),
    /// Something happened to a contact that has no id.
    Nameless(Problem),
}

struct Page {
    changes: Vec<Change>,
    state: String,
    is_last: bool,
    /// The error in case that it is one page too many.
    endless: RemoteError,
}

fn write_request(writer: &mut Writer, folder: &str, state: Option<&str>) {
    writer.element("m:SyncFolderItems", &[], |writer| {
        writer.element("m:ItemShape", &[], |writer| {
            writer.text_element("t:BaseShape", &[], "IdOnly");
            writer.element("t:AdditionalProperties", &[], |writer| {
                writer.empty("t:FieldURI", &[("FieldURI", "item:ItemClass")]);
            });
        });
        writer.element("m:SyncFolderId", &[], |writer| {
            writer.empty("t:FolderId", &[("Id", folder)]);
        });
        if let Some(state) = state {
            writer.text_element("m:SyncState", &[], state);
        }
        writer.text_element("m:MaxChangesReturned", &[], &PAGE_CHANGES_MAX.to_string());
        writer.text_element("m:SyncScope", &[], "NormalItems");
    });
}

/// A page; `None` where the position is lost.
fn read_page(message: &Message<'_>, before: Option<&str>) -> Result<Option<Page>, RemoteError> {
    if let Some(problem) = &message.refusal {
        return match problem.code.as_deref() {
            Some(errors::INVALID_SYNC_STATE) if before.is_some() => Ok(lost(message, before)),
            _ => Err(errors::closed(problem.clone())),
        };
    }
    let text = |name| message.child(name).map_or("", |found| found.text().trim());
    let state = text("SyncState");
    // Kept, an empty state would begin anew, and everybody would be new.
    if state.is_empty() || state.len() > STATE_BYTES_MAX {
        return Err(message.misfit("changes without a state to go on from"));
    }
    let Some(changes) = message.child("Changes") else {
        return Err(message.misfit("changes that are no list"));
    };
    let is_last = match text("IncludesLastItemInRange") {
        "true" | "1" => true,
        "false" | "0" => false,
        _ => return Err(message.misfit("changes that do not say whether there are more")),
    };
    let changes: Vec<Change> = changes.children().filter_map(change).collect();
    if !is_last && before == Some(state) {
        return Err(message.misfit("a state to go on from that it gave before"));
    }
    Ok(Some(Page {
        changes,
        state: state.to_owned(),
        is_last,
        endless: message.misfit("page after page of changes without any change in them"),
    }))
}

/// A position that is lost: nothing of it is kept.
fn lost(message: &Message<'_>, before: Option<&str>) -> Option<Page> {
    mutation::is_on(Mutant::LostStateIsQuiet).then(|| Page {
        changes: Vec::new(),
        state: before.unwrap_or_default().to_owned(),
        is_last: true,
        endless: message.misfit("a lost state"),
    })
}

fn change(change: &Element) -> Option<Change> {
    match change.name() {
        _ if change.namespace() != TYPES => None,
        "Delete" => Some(record::id(change).map_or_else(nameless, Change::Removed)),
        "Create" | "Update" => {
            let item = change.children().find(|item| record::is_contact(item))?;
            Some(record::id(item).map_or_else(nameless, Change::Present))
        }
        // Whether it was read says nothing about a contact.
        _ => None,
    }
}

fn nameless() -> Change {
    Change::Nameless(record::unreadable(None, "ItemId"))
}

/// Entries in their order, with what is known of each contact. Contents are read once: of a contact
/// that is told twice, the second time says nothing more.
fn entries(
    client: &Client,
    folder: &str,
    changes: Vec<Change>,
) -> Result<Vec<MailboxEntry>, RemoteError> {
    let present: BTreeSet<MailboxId> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Present(id) => Some(id.clone()),
            Change::Removed(_) | Change::Nameless(_) => None,
        })
        .collect();
    let present: Vec<MailboxId> = present.into_iter().collect();
    let states = get_item::states(client, folder, &present)?;
    let mut states: BTreeMap<MailboxId, State> = present.into_iter().zip(states).collect();
    let entries = changes.into_iter().filter_map(|change| match change {
        Change::Removed(id) => Some(MailboxEntry::Removed(id)),
        Change::Nameless(problem) => Some(MailboxEntry::Unreadable(None, problem)),
        Change::Present(id) => {
            let state = states.remove(&id)?;
            Some(entry(folder, id, state))
        }
    });
    Ok(entries.collect())
}

fn entry(folder: &str, id: MailboxId, state: State) -> MailboxEntry {
    match state {
        State::Present(found) => match found.folder.as_deref() {
            Some(parent) if parent == folder => MailboxEntry::Present(found.contact),
            Some(_) => MailboxEntry::Removed(id),
            None => {
                let problem = record::unreadable(Some(&id), "ParentFolderId");
                MailboxEntry::Unreadable(Some(id), problem)
            }
        },
        // Told as there, and gone before it was read.
        State::Gone => MailboxEntry::Removed(id),
        State::Unreadable(problem) => MailboxEntry::Unreadable(Some(id), problem),
    }
}
