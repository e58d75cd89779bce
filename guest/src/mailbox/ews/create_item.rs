//! New contacts
//! (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/createitem-operation-contact>),
//! each with our key in the same request. Nothing about a create can be repeated safely.

use crate::contact::MailboxContact;
use crate::http::{CallError, Repeat, WriteError};
use crate::mailbox::MailboxDraft;
use crate::mailbox::ews::get_item::{self, Written};
use crate::mailbox::ews::soap::{self, Message, Operation};
use crate::mailbox::ews::{Client, errors, record};
use crate::xml::Writer;

const CREATE_ITEM: Operation = Operation {
    name: "CreateItem",
    what: "create contacts",
    items_max: 20,
    repeat: Repeat::Never,
    splits: false,
};

/// Creates each contact, and reads what the server has made of it: it says nothing back but an id.
pub(super) fn create(
    client: &Client,
    folder: &str,
    drafts: &[MailboxDraft],
) -> Vec<Result<MailboxContact, WriteError>> {
    let write = |writer: &mut Writer, drafts: &[&MailboxDraft]| {
        writer.element(
            "m:CreateItem",
            &[("MessageDisposition", "SaveOnly")],
            |writer| {
                writer.element("m:SavedItemFolderId", &[], |writer| {
                    writer.empty("t:FolderId", &[("Id", folder)]);
                });
                writer.element("m:Items", &[], |writer| {
                    for draft in drafts {
                        record::write_draft(writer, &draft.view, &draft.key);
                    }
                });
            },
        );
    };
    let read = |_: &MailboxDraft, message: &Message<'_>| created(message);
    let created = soap::send(client, &CREATE_ITEM, drafts, &write, &read);
    let created = created
        .into_iter()
        .map(|result| result.map_err(CallError::into_write_error)?);
    get_item::with_contents(client, created.collect())
}

fn created(message: &Message<'_>) -> Result<Written<'static>, WriteError> {
    if let Some(problem) = &message.refusal {
        return Err(errors::write_error(problem));
    }
    let item = message
        .child("Items")
        .and_then(|items| items.children().next());
    let id = item.and_then(record::id).ok_or_else(|| {
        let error = message.misfit("a new contact without an id");
        WriteError::Unknown(error.into_problem())
    })?;
    Ok(Written {
        id,
        change_key: None,
        edit: None,
    })
}
