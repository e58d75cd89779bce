//! Who the host signs in as: `GET /user-service/users/currentUser` (FLOWFACT SDK; the best test of
//! a connection).

use serde_json::Value;

use crate::crm::flowfact::Client;
use crate::http::RemoteError;

/// The user, and the company that it belongs to.
pub(super) struct CurrentUser {
    pub(super) id: String,
    pub(super) company: String,
}

/// Asks. With a chosen company the user's first one does not matter.
pub(super) fn current(client: &Client) -> Result<CurrentUser, RemoteError> {
    let call = client.get("see who is signed in", "/user-service/users/currentUser");
    let answer = client.http.send_one(call.header("x-ff-version", "2"));
    let answer = answer.map_err(|failure| failure.error)?;
    if !answer.is_success() {
        return Err(answer.remote_error());
    }
    let misfit = answer.misfit("a user without an id or a company");
    let json = answer.into_json()?;
    let text = |name: &str| {
        json.get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let company = client.company.clone().or_else(|| text("companyId"));
    match (text("id"), company) {
        (Some(id), Some(company)) => Ok(CurrentUser { id, company }),
        _ => Err(misfit),
    }
}
