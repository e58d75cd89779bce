//! FLOWFACT's own mail accounts and its own contact sync: `GET /nylas-service/config` (FLOWFACT
//! SDK; types, `Nylas.d.ts` and `Enums.d.ts`).

use serde_json::Value;

use crate::crm::flowfact::Client;
use crate::http::RemoteError;

/// A mail account that FLOWFACT knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAccount {
    /// What markers name it by.
    pub id: String,
    /// Its address.
    pub address: String,
    /// Whether FLOWFACT's own sync carries its contacts; `None` where its settings do not say.
    pub native_sync: Option<bool>,
}

/// Settings any of which, switched on, makes FLOWFACT carry contacts.
const CONTACT_SETTINGS: [&str; 3] = ["sync.contact", "sync.contact.fromFF", "sync.contact.toFF"];

/// All accounts; `None` where the service does not let us ask, or its answer cannot be read.
pub(super) fn accounts(client: &Client) -> Result<Option<Vec<MailAccount>>, RemoteError> {
    let call = client
        .get("read FLOWFACT's mail accounts", "/nylas-service/config")
        .answers_page();
    let answer = match client.http.send_one(call) {
        Ok(answer) if answer.is_success() => answer,
        Ok(_) => return Ok(None),
        Err(failure) => {
            return match failure.error {
                RemoteError::Protocol(_) => Ok(None),
                error => Err(error),
            };
        }
    };
    let Ok(json) = answer.into_json() else {
        return Ok(None);
    };
    let Some(Value::Array(emails)) = json.get("emails") else {
        return Ok(None);
    };
    Ok(Some(emails.iter().filter_map(account).collect()))
}

/// The account of this mailbox, by its id or its address.
pub(super) fn of_mailbox<'a>(
    accounts: &'a [MailAccount],
    id: &str,
    address: &str,
) -> Option<&'a MailAccount> {
    let by_id = accounts.iter().find(|account| account.id == id);
    by_id.or_else(|| {
        accounts
            .iter()
            .find(|account| account.address.eq_ignore_ascii_case(address.trim()))
    })
}

fn account(json: &Value) -> Option<MailAccount> {
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
    let settings = json.get("settings").and_then(Value::as_object);
    let switches = CONTACT_SETTINGS
        .iter()
        .filter_map(|name| switch(settings?.get(*name)?));
    let known: Vec<bool> = switches.collect();
    let native_sync = (!known.is_empty()).then(|| known.contains(&true));
    Some(MailAccount {
        id: text("accountId")?,
        address: text("email").unwrap_or_default(),
        native_sync,
    })
}

/// Settings are texts, at least where they were seen.
fn switch(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(on) => Some(*on),
        Value::Number(number) => number.as_i64().map(|number| number != 0),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "on" | "yes" => Some(true),
            "false" | "0" | "off" | "no" | "" => Some(false),
            _ => None,
        },
        _ => None,
    }
}
