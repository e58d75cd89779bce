//! Whose mailbox this is: `GET /me` or `GET /users/{id}`
//! (<https://learn.microsoft.com/graph/api/user-get>), and the id of its default contacts folder by
//! the well-known name `contacts`. The list of contact folders leaves the default folder out, and
//! its display name is translated; the well-known name is what shipping clients use
//! (<https://github.com/microsoftgraph/microsoft-graph-docs/issues/6273>).

use serde_json::Value;

use crate::http::{Call, RemoteError};
use crate::mailbox::MailboxIdentity;
use crate::mailbox::graph::{Client, errors};
use crate::report::{Problem, RemoteProblem};

/// Asks for both.
pub(super) fn identity(client: &Client) -> Result<MailboxIdentity, RemoteError> {
    let user = client.get(
        "see whose mailbox it is",
        "?$select=id,mail,userPrincipalName",
    );
    let user = object(client, user).map_err(|mut error| {
        // Being allowed to read contacts does not include reading the user.
        if let RemoteError::PermissionMissing(remote) = &mut error {
            remote.problem.remedy = Some(
                "grant the permission `User.Read` (a user signed in) or `User.Read.All` (the \
                 application signed in) beside `Contacts.ReadWrite`"
                    .into(),
            );
        }
        error
    })?;
    let folder = folder(client)?;
    let address = [
        text(&user.json, "mail"),
        text(&user.json, "userPrincipalName"),
    ];
    Ok(MailboxIdentity {
        service: "graph".into(),
        user: text(&user.json, "id").ok_or(user.lacks_id)?,
        folder,
        address: address.into_iter().flatten().next(),
    })
}

/// The id of the default contacts folder: by its well-known name; where that is not known, by a
/// contact in it.
fn folder(client: &Client) -> Result<String, RemoteError> {
    let what = "find the contacts folder";
    let known = object(
        client,
        client.get(what, "/contactFolders/contacts?$select=id"),
    );
    let refused = match known {
        Ok(folder) => return text(&folder.json, "id").ok_or(folder.lacks_id),
        Err(RemoteError::Protocol(remote)) if matches!(remote.status, Some(400 | 404)) => remote,
        Err(error) => return Err(error),
    };
    let any = object(
        client,
        client.get(what, "/contacts?$top=1&$select=parentFolderId"),
    )?;
    let contact = any.json.get("value").and_then(|value| value.get(0));
    contact.and_then(|contact| text(contact, "parentFolderId")).ok_or_else(|| {
        let message = "the mailbox's contacts folder cannot be found by its well-known name, and \
                       there is no contact in it to find it by";
        let remedy = Some("create a contact in the mailbox, and try again".into());
        let problem = Problem { message: message.into(), remedy };
        RemoteError::Protocol(RemoteProblem { problem, ..refused })
    })
}

struct Object {
    json: Value,
    /// The error in case that it has no id.
    lacks_id: RemoteError,
}

fn object(client: &Client, call: Call) -> Result<Object, RemoteError> {
    let answer = client
        .http
        .send_one(call)
        .map_err(|failure| failure.error)?;
    if !answer.is_success() {
        return Err(errors::remote_error(&answer));
    }
    let lacks_id = answer.misfit("an object without an id");
    Ok(Object {
        json: answer.into_json()?,
        lacks_id,
    })
}

fn text(json: &Value, name: &str) -> Option<String> {
    json.get(name)?
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}
