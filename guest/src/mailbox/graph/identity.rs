//! Whose mailbox this is: `GET /me` or `GET /users/{id}`
//! (<https://learn.microsoft.com/graph/api/user-get>), and the id of its default contacts folder by
//! the well-known name `contacts`. The list of contact folders leaves the default folder out, and
//! its display name is translated; the well-known name is what shipping clients use
//! (<https://github.com/microsoftgraph/microsoft-graph-docs/issues/6273>).

use serde_json::Value;

use crate::http::{Call, RemoteError};
use crate::mailbox::MailboxIdentity;
use crate::mailbox::graph::{Client, errors};

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
    let folder = client.get(
        "find the contacts folder",
        "/contactFolders/contacts?$select=id",
    );
    let folder = object(client, folder)?;
    let address = [
        text(&user.json, "mail"),
        text(&user.json, "userPrincipalName"),
    ];
    Ok(MailboxIdentity {
        service: "graph".into(),
        user: text(&user.json, "id").ok_or(user.lacks_id)?,
        folder: text(&folder.json, "id").ok_or(folder.lacks_id)?,
        address: address.into_iter().flatten().next(),
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
