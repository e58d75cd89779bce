//! What changed in the folder: `GET /contactFolders/{id}/contacts/delta`
//! (<https://learn.microsoft.com/graph/api/contact-delta>).
//!
//! A position is a link of Graph's own, followed word for word, but only to where the job says that
//! Graph is. The page size travels in a header and has to be repeated with every link; `$top` would
//! end the round early (seen by Wino-Mail, issue 716, and noted in corso's source).

use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::contact::MailboxId;
use crate::http::{Answer, Call, RemoteError, escaped};
use crate::mailbox::folders::State;
use crate::mailbox::graph::read;
use crate::mailbox::graph::{Client, IMMUTABLE_IDS, errors, record};
use crate::mailbox::{MailboxEntry, MailboxNext, MailboxPage, MailboxPosition};

/// Contacts asked for in one page; Graph caps delta's pages at 500. With fewer, an entry that has
/// to be read again by id still fits into the requests that one step of a pass may send.
const PAGE_CONTACTS_MAX: u32 = 200;

const _: () = assert!(PAGE_CONTACTS_MAX <= 500);

/// Links longer than this are no position: the store has to keep them.
const LINK_BYTES_MAX: usize = 16 * 1024;

/// One page. `followed` holds the links of the round under way.
pub(super) fn changes(
    client: &Client,
    folder: &str,
    followed: &RefCell<BTreeSet<String>>,
    position: Option<&MailboxPosition>,
) -> Result<MailboxPage, RemoteError> {
    let call = match position {
        // The job names another address of the service than when the link was stored.
        Some(MailboxPosition(link)) if !is_own_link(&client.base_url, link) => return Ok(expired()),
        Some(MailboxPosition(link)) => Call::get(WHAT, link.clone()),
        None => {
            followed.borrow_mut().clear();
            let path = format!("/contactFolders/{}/contacts/delta", escaped(folder));
            let select = record::SELECT;
            let url = format!("{}{}{path}?$select={select}", client.base_url, client.user);
            Call::get(WHAT, url)
        }
    };
    let prefer = format!("odata.maxpagesize={PAGE_CONTACTS_MAX}, {IMMUTABLE_IDS}");
    let answer = client
        .http
        .send_one(call.header("prefer", prefer).answers_page());
    let answer = answer.map_err(|failure| failure.error)?;
    if position.is_some() && errors::is_position_lost(&answer) {
        followed.borrow_mut().clear();
        return Ok(expired());
    }
    if !answer.is_success() {
        return Err(errors::remote_error(&answer));
    }
    if let Some(MailboxPosition(link)) = position {
        followed.borrow_mut().insert(link.clone());
    }
    page(client, folder, followed, answer)
}

/// Whether a link leads to where the job says that Graph is: same origin, below the same path.
pub(super) fn is_own_link(base_url: &str, link: &str) -> bool {
    let (Some((base_origin, base_path)), Some((origin, path))) = (split(base_url), split(link))
    else {
        return false;
    };
    let path_alone = path.split(['?', '#']).next().unwrap_or_default();
    let climbs = path_alone.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    });
    let below = path_alone
        .strip_prefix(base_path)
        .is_some_and(|rest| rest.starts_with('/'));
    link.len() <= LINK_BYTES_MAX
        && link
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && origin.eq_ignore_ascii_case(base_origin)
        && below
        && !climbs
}

const WHAT: &str = "read the mailbox's changes";

fn expired() -> MailboxPage {
    MailboxPage {
        entries: Vec::new(),
        next: MailboxNext::Expired,
    }
}

fn page(
    client: &Client,
    folder: &str,
    followed: &RefCell<BTreeSet<String>>,
    answer: Answer,
) -> Result<MailboxPage, RemoteError> {
    let no_list = answer.misfit("changes that are no list");
    let no_link = answer.misfit("changes without a link onwards");
    let strange_link = answer.misfit("a link to somewhere else");
    let same_link = answer.misfit("a link onwards that it gave before");
    let json = answer.into_json()?;
    let Some(Value::Array(values)) = json.get("value") else {
        return Err(no_list);
    };
    let link = |name| json.get(name).and_then(Value::as_str);
    let next = match (link("@odata.nextLink"), link("@odata.deltaLink")) {
        (Some(link), _) | (None, Some(link)) if !is_own_link(&client.base_url, link) => {
            return Err(strange_link);
        }
        (Some(link), _) if followed.borrow().contains(link) => return Err(same_link),
        (Some(link), _) => MailboxNext::Page(MailboxPosition(link.to_owned())),
        (None, Some(link)) => {
            followed.borrow_mut().clear();
            MailboxNext::End(MailboxPosition(link.to_owned()))
        }
        (None, None) => return Err(no_link),
    };
    let mut entries = Vec::with_capacity(values.len());
    let mut partial: Vec<(usize, MailboxId)> = Vec::new();
    for value in values.iter().filter(|value| record::is_contact(value)) {
        match (record::id(value), value.get("@removed")) {
            (Some(id), Some(_)) => entries.push(MailboxEntry::Removed(id)),
            (Some(id), None) if !record::is_whole(value) => {
                partial.push((entries.len(), id.clone()));
                entries.push(MailboxEntry::Removed(id));
            }
            (id, _) => entries.push(match record::parse(value) {
                Ok(found) => MailboxEntry::Present(found.contact),
                Err(problem) => MailboxEntry::Unreadable(id, problem),
            }),
        }
    }
    complete(client, folder, &mut entries, &partial)?;
    Ok(MailboxPage { entries, next })
}

/// Reads by id what the page told only in part.
fn complete(
    client: &Client,
    folder: &str,
    entries: &mut [MailboxEntry],
    partial: &[(usize, MailboxId)],
) -> Result<(), RemoteError> {
    let ids: Vec<MailboxId> = partial.iter().map(|(_, id)| id.clone()).collect();
    let states = read::states(client, folder, &ids)?;
    for ((index, id), state) in partial.iter().zip(states) {
        let Some(entry) = entries.get_mut(*index) else {
            continue;
        };
        *entry = match state {
            State::Present(found) if found.folder.as_deref() == Some(folder) => {
                MailboxEntry::Present(found.contact)
            }
            State::Present(_) | State::Gone => MailboxEntry::Removed(id.clone()),
            State::Unreadable(problem) => MailboxEntry::Unreadable(Some(id.clone()), problem),
        };
    }
    Ok(())
}

/// Origin and the rest.
fn split(url: &str) -> Option<(&str, &str)> {
    let authority = url.find("://")? + 3;
    let length = url.get(authority..)?.find(['/', '?', '#']);
    Some(match length {
        Some(length) => url.split_at(authority + length),
        None => (url, ""),
    })
}
