//! New contacts: `POST /contactFolders/{id}/contacts`
//! (<https://learn.microsoft.com/graph/api/contactfolder-post-contacts>), each with our key in the
//! same request. Nothing about a create can be repeated safely.

use crate::contact::{Field, MailboxContact};
use crate::http::{Answer, CallError, RemoteError, Repeat, WriteError, escaped};
use crate::mailbox::MailboxDraft;
use crate::mailbox::graph::batch::{self, Item};
use crate::mailbox::graph::{Client, errors, read, record};
use crate::outside::Method;
use crate::report::Problem;

/// Creates each contact.
pub(super) fn create(
    client: &Client,
    folder: &str,
    drafts: &[MailboxDraft],
) -> Vec<Result<MailboxContact, WriteError>> {
    let path = format!("/contactFolders/{}/contacts", escaped(folder));
    let items: Vec<Item> = drafts
        .iter()
        .map(|draft| Item {
            what: "create a contact",
            method: Method::Post,
            path: path.clone(),
            if_match: None,
            body: Some(record::draft(&draft.view, &draft.key)),
            repeat: Repeat::Never,
        })
        .collect();
    batch::send(client, &items)
        .into_iter()
        .zip(drafts)
        .map(|(answer, draft)| match answer {
            Ok(answer) if wants_given_name(&answer, draft) => {
                Err(WriteError::Refused(no_given_name()))
            }
            answer => created(client, answer),
        })
        .collect()
}

/// Exchange may want a given name of every new contact
/// (<https://github.com/microsoftgraph/msgraph-sdk-dotnet/issues/247>). A company has a stand-in; a
/// person with a surname alone has none, because whatever stood in would be shown as their name.
fn wants_given_name(answer: &Answer, draft: &MailboxDraft) -> bool {
    answer.status == 400
        && answer.has_code(&["ErrorInvalidProperty"])
        && !draft.view.texts.contains_key(&Field::FirstName)
}

fn no_given_name() -> Problem {
    Problem {
        message: "Exchange wants a given name of every new contact, and this one has a surname \
                  alone"
            .to_owned(),
        remedy: Some("enter a first name in the CRM; the next pass tries again".to_owned()),
    }
}

fn created(
    client: &Client,
    answer: Result<Answer, CallError>,
) -> Result<MailboxContact, WriteError> {
    let answer = answer.map_err(CallError::into_write_error)?;
    if !answer.is_success() {
        return Err(errors::write_error(&answer));
    }
    let lost = |error: RemoteError| WriteError::Unknown(error.into_problem());
    let no_id = answer.misfit("a new contact without an id");
    let json = answer.into_json().map_err(lost)?;
    match record::parse(&json) {
        Ok(found) if record::is_whole(&json) => Ok(found.contact),
        _ => {
            let id = record::id(&json).ok_or_else(|| lost(no_id.clone()))?;
            let read_back = read::read_back(client, &[id]).pop();
            read_back
                .unwrap_or_else(|| Err(no_id.into_problem()))
                .map_err(WriteError::Unknown)
        }
    }
}
