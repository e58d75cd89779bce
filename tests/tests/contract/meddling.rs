//! Answers of an Exchange Server that something on the way changes.
//!
//! The envelopes are taken apart as text: what the sync reads must not be read by the sync's own
//! reader first. The simulator writes `m:` and `t:` unless a scenario says otherwise.

use contact_sync_guest::outside::{Request, Response};
use contact_sync_tests::simulator::Dialect;

use crate::DIALECT;

/// Whether a request says this, in its address or in what it carries.
pub(crate) fn says(request: &Request, text: &str) -> bool {
    request.url.contains(text) || body(request).contains(text)
}

/// Whether a request asks a mailbox for what has changed in it.
pub(crate) fn asks_for_changes(request: &Request) -> bool {
    match DIALECT {
        Dialect::Graph => request.url.contains("/delta"),
        Dialect::Ews => says(request, "<m:SyncFolderItems>"),
    }
}

/// Changes the messages about some items of an operation: by id, and as they are. `None` leaves a
/// message alone.
pub(crate) fn of_messages(
    request: &Request,
    mut response: Response,
    operation: &str,
    change: impl Fn(&str, &str) -> Option<String>,
) -> Response {
    let asked = body(request);
    if !asked.contains(&format!("<m:{operation}")) || response.status != 200 {
        return response;
    }
    let answered = String::from_utf8(response.body).expect("XML is text");
    let (begin, end) = (
        format!("<m:{operation}ResponseMessage "),
        format!("</m:{operation}ResponseMessage>"),
    );
    let ids = asked.split("<t:ItemId Id=\"").skip(1);
    let mut ids = ids.map(|rest| rest.split('"').next().unwrap_or_default());
    let mut parts = answered.split(&begin);
    let mut changed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (message, rest) = part.split_once(&end).expect("a message ends");
        let message = format!("{begin}{message}{end}");
        let id = ids.next().unwrap_or_default();
        changed.push_str(&change(id, &message).unwrap_or(message));
        changed.push_str(rest);
    }
    response.body = changed.into_bytes();
    response
}

/// The message about an item that is refused.
pub(crate) fn refused_item(operation: &str, code: &str) -> String {
    let name = format!("m:{operation}ResponseMessage");
    format!(
        "<{name} ResponseClass=\"Error\"><m:MessageText>No.</m:MessageText>\
         <m:ResponseCode>{code}</m:ResponseCode>\
         <m:DescriptiveLinkKey>0</m:DescriptiveLinkKey><m:Items/></{name}>"
    )
}

/// The answer to a state that the server does not know, as Microsoft's sample has it: with an empty
/// one.
pub(crate) fn lost_position() -> Vec<u8> {
    let message = "<m:SyncFolderItemsResponseMessage ResponseClass=\"Error\">\
        <m:MessageText>Synchronization state data is corrupt or otherwise invalid.</m:MessageText>\
        <m:ResponseCode>ErrorInvalidSyncStateData</m:ResponseCode>\
        <m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>\
        <m:SyncState/><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange>\
        </m:SyncFolderItemsResponseMessage>";
    enveloped("SyncFolderItems", message)
}

/// Messages in the envelope of an answer.
pub(crate) fn enveloped(operation: &str, messages: &str) -> Vec<u8> {
    let services = "http://schemas.microsoft.com/exchange/services/2006";
    let answer = format!(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:m=\"{services}/messages\" xmlns:t=\"{services}/types\"><s:Body>\
         <m:{operation}Response><m:ResponseMessages>{messages}</m:ResponseMessages>\
         </m:{operation}Response></s:Body></s:Envelope>"
    );
    answer.into_bytes()
}

fn body(request: &Request) -> &str {
    std::str::from_utf8(request.body.as_deref().unwrap_or_default()).unwrap_or_default()
}
