//! Autodiscover by plain old XML, which every Exchange Server since 2007 answers after a sign-in
//! (<https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxdscli>).

use super::Said;
use crate::http::{Answer, Call, Repeat};
use crate::xml::{Element, Writer, parse};

/// Its name for people.
pub(super) const PROTOCOL: &str = "XML";

const REQUEST: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006";
const ENVELOPE: &str = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
const ANSWER: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// The question
/// (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/pox-autodiscover-request-for-exchange>).
pub(super) fn call(origin: &str, address: &str) -> Call {
    let mut xml = Writer::new();
    xml.element("Autodiscover", &[("xmlns", REQUEST)], |xml| {
        xml.element("Request", &[], |xml| {
            xml.text_element("EMailAddress", &[], address);
            xml.text_element("AcceptableResponseSchema", &[], ANSWER);
        });
    });
    let url = format!("{origin}/autodiscover/autodiscover.xml");
    Call::post_xml("find the server", url, xml.finish(), Repeat::Never)
}

/// The answer
/// (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/pox-autodiscover-response-for-exchange>).
pub(super) fn read(answer: &Answer) -> Said {
    if let Some(said) = Said::of_status(answer) {
        return said;
    }
    if !answer.is_success() {
        return Said::Misfit(format!("status {}", answer.status));
    }
    let root = match parse(answer.text().as_bytes()) {
        Ok(root) if root.is(ENVELOPE, "Autodiscover") => root,
        Ok(_) => return Said::Misfit("another kind of XML, or a web page".to_owned()),
        Err(_) => {
            return Said::Misfit("something that is not XML, as a rule a web page".to_owned());
        }
    };
    let Some(response) = child(&root, "Response") else {
        return Said::Misfit("an Autodiscover without a response".to_owned());
    };
    let account = child(response, "Account");
    let error = [Some(response), account];
    let error = error
        .into_iter()
        .flatten()
        .find_map(|part| child(part, "Error"));
    match (error, account) {
        (Some(error), _) => Said::NoAnswer(told(text(error, "ErrorCode").unwrap_or_default())),
        (None, Some(account)) => read_account(account),
        (None, None) => Said::Misfit("an Autodiscover without an account".to_owned()),
    }
}

fn read_account(account: &Element) -> Said {
    let action = text(account, "Action").unwrap_or_default();
    let to_address = text(account, "RedirectAddr");
    let to_url = text(account, "RedirectUrl");
    match (action.to_ascii_lowercase().as_str(), to_address, to_url) {
        ("redirectaddr", Some(address), _) => return Said::OtherAddress(address.to_owned()),
        ("redirecturl", _, Some(url)) => return Said::Elsewhere(url.to_owned()),
        _ => {}
    }
    // What reaches the server from anywhere first, and then what reaches it from its own network
    // (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/type-pox>).
    // Older servers call the same address that of the availability service.
    let protocol = |kind: &'static str| {
        account
            .children()
            .filter(|protocol| is(protocol, "Protocol"))
            .filter(move |protocol| text(protocol, "Type") == Some(kind))
    };
    let url = ["EXPR", "EXCH"].into_iter().find_map(|kind| {
        protocol(kind).find_map(|protocol| text(protocol, "EwsUrl").or(text(protocol, "ASUrl")))
    });
    match url {
        Some(url) => Said::Url(url.to_owned()),
        None => Said::NoAnswer("it has no address for Exchange Web Services".to_owned()),
    }
}

/// Codes of errors
/// (<https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxdscli/713ef4f4-83b2-4375-9d64-60c97ee5b166>).
fn told(code: &str) -> String {
    let why = match code {
        "500" => "it does not know the mailbox",
        "501" | "602" => "it knows the mailbox, and has no settings for it",
        "600" => "it does not understand the question",
        "601" => "it does not have settings of this kind",
        "603" => "it had an internal error",
        _ => return "it reports an error of its own".to_owned(),
    };
    format!("{why} (error {code})")
}

fn child<'a>(parent: &'a Element, name: &str) -> Option<&'a Element> {
    parent.children().find(|child| is(child, name))
}

/// The text without the blanks around it; `None` if that is nothing.
fn text<'a>(parent: &'a Element, name: &str) -> Option<&'a str> {
    let text = child(parent, name)?.text().trim();
    (!text.is_empty()).then_some(text)
}

/// Errors come in the namespace of the envelope, everything else in that of the answer.
fn is(element: &Element, name: &str) -> bool {
    element.is(ANSWER, name) || element.is(ENVELOPE, name)
}
