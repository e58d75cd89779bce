//! Contacts by our key, or by what outlives their ids
//! (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/finditem-operation>).
//!
//! All live contact folders are searched in one request. Only ids are looked at: a contact that
//! carries a key is found even where the rest of it cannot be read.

use crate::contact::MailboxId;
use crate::http::{CallError, RemoteError, Repeat};
use crate::mailbox::FindBy;
use crate::mailbox::ews::properties::{Extended, KEY, SEARCH_KEY};
use crate::mailbox::ews::soap::{self, Message, Operation, TYPES};
use crate::mailbox::ews::{Client, errors, find_folder, record};
use crate::mailbox::folders::{Folders, too_many};
use crate::mutation::{self, Mutant};
use crate::report::Problem;
use crate::xml::Writer;

/// Folders that one request searches.
const FIND_ITEM: Operation = Operation {
    name: "FindItem",
    what: "find a contact by its key",
    items_max: 100,
    repeat: Repeat::Safe,
    splits: false,
};

/// More contacts than this with one key are not looked at. Exchange caps a search at 250
/// (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/ews-throttling-in-exchange>).
const FOUND_MAX: usize = 50;

const _: () = assert!(FOUND_MAX <= 250);

/// The contacts that carry one key, or why that cannot be told.
type Hits = Result<Vec<MailboxId>, Problem>;

/// The contacts that carry each of these.
pub(super) fn find(
    client: &Client,
    folder: &str,
    folders: &Folders,
    by: &[FindBy],
) -> Result<Vec<Hits>, RemoteError> {
    if by.is_empty() {
        return Ok(Vec::new());
    }
    let listed = folders.live_now(|| find_folder::list(client, folder))?;
    let mut places = vec![folder.to_owned()];
    places.extend(listed.live);
    let found = by.iter().map(|by| {
        let hits = find_one(client, &places, by)?;
        let is_nowhere = hits.as_ref().is_ok_and(Vec::is_empty);
        Ok(if is_nowhere && !listed.complete {
            Err(too_many())
        } else {
            hits
        })
    });
    found.collect()
}

fn find_one(client: &Client, places: &[String], by: &FindBy) -> Result<Hits, RemoteError> {
    let (property, value) = match by {
        FindBy::Key(_) if mutation::is_on(Mutant::KeyNotSearched) => return Ok(Ok(Vec::new())),
        FindBy::Key(key) => (KEY, key.as_str()),
        FindBy::StableId(_) if !client.ask_search_key => return Ok(Ok(Vec::new())),
        FindBy::StableId(id) => (SEARCH_KEY, id.as_str()),
    };
    let write = |writer: &mut Writer, places: &[&String]| {
        write_request(writer, places, property, value);
    };
    let read = |_: &String, message: &Message<'_>| read(message, property, value);
    let mut found = Vec::new();
    for hits in soap::send(client, &FIND_ITEM, places, &write, &read) {
        match hits {
            Ok(Ok(hits)) => found.extend(hits),
            // A folder that cannot be searched may hold what was sought.
            Ok(Err(problem)) => return Ok(Err(problem)),
            Err(CallError { error, .. }) if errors::is_of_mailbox(&error) => return Err(error),
            Err(CallError { error, .. }) => return Ok(Err(error.into_problem())),
        }
    }
    Ok(Ok(found))
}

fn write_request(writer: &mut Writer, places: &[&String], property: Extended, value: &str) {
    writer.element("m:FindItem", &[("Traversal", "Shallow")], |writer| {
        writer.element("m:ItemShape", &[], |writer| {
            writer.text_element("t:BaseShape", &[], "IdOnly");
            writer.element("t:AdditionalProperties", &[], |writer| {
                property.write_path(writer);
            });
        });
        let view = [
            ("MaxEntriesReturned", &*FOUND_MAX.to_string()),
            ("Offset", "0"),
            ("BasePoint", "Beginning"),
        ];
        writer.empty("m:IndexedPageItemView", &view);
        writer.element("m:Restriction", &[], |writer| {
            writer.element("t:IsEqualTo", &[], |writer| {
                property.write_path(writer);
                writer.element("t:FieldURIOrConstant", &[], |writer| {
                    writer.empty("t:Constant", &[("Value", value)]);
                });
            });
        });
        writer.element("m:ParentFolderIds", &[], |writer| {
            for folder in places {
                writer.empty("t:FolderId", &[("Id", folder)]);
            }
        });
    });
}

fn read(message: &Message<'_>, property: Extended, value: &str) -> Hits {
    if let Some(problem) = &message.refusal {
        return Err(problem.problem.clone());
    }
    let items = message
        .child("RootFolder")
        .and_then(|root| root.child(TYPES, "Items"));
    let Some(items) = items else {
        return Err(message
            .misfit("a search result that is no list")
            .into_problem());
    };
    // A server that ignored the restriction would answer with strangers.
    let carriers = items
        .children()
        .filter(|item| record::is_contact(item) && record::extended(item, property) == Some(value));
    // Leaving out a contact that carries the key could create it a second time.
    let ids: Option<Vec<MailboxId>> = carriers.map(record::id).collect();
    ids.ok_or_else(|| message.misfit("a contact without an id").into_problem())
}
