//! Autodiscover: where the service of a mailbox answers
//! (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/autodiscover-for-exchange>).
//!
//! Version 2 is a question in the URL, asked by anybody, and an answer in JSON. The older one,
//! plain XML, is signed in to like the service itself. Not here: SOAP (`autodiscover.svc`), DNS.

use contact_sync_guest::outside::Method;
use serde_json::json;

use super::super::graph::Graph;
use super::super::log::RequestKind;
use super::super::wire::{Answer, Body, Call};
use super::sign_in::EwsSignIn;
use super::{Ews, PATH, xml};

/// How Autodiscover behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autodiscover {
    /// Whether version 2 is there: Exchange 2013 and older updates of 2016 do not have it.
    pub json: bool,
    /// Where every question is sent on to.
    pub redirect: Option<Redirect>,
    /// Whether a page for people answers, as that of a hotel's Wi-Fi or of a company's website.
    pub html_page: bool,
    /// The service's address, where it is not on the origin that was asked.
    pub url: Option<String>,
}

/// Where a question is sent on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// 302 to this URL.
    Location(String),
    /// An answer with this `redirectUrl`; version 2 knows 302 only.
    Url(String),
    /// An answer with this `redirectAddr`: the mailbox goes by another address.
    Address(String),
}

impl Autodiscover {
    /// What the evidence says of Exchange 2019 and later.
    pub fn as_documented() -> Self {
        Self {
            json: true,
            redirect: None,
            html_page: false,
            url: None,
        }
    }
}

const RESPONSE: &str = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
const OUTLOOK: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";
const PAGE: &str = "<!DOCTYPE html><html><head><title>Welcome</title></head>\
                    <body><h1>Please accept our terms</h1></body></html>";

impl Ews {
    /// Answers a request below `/autodiscover`.
    pub(super) fn discover(&self, graph: &Graph, call: &Call<'_>, path: &[&str]) -> Answer {
        let kind = RequestKind::Autodiscover;
        if self.autodiscover.html_page {
            return Answer::new(kind, 200, Body::Html(PAGE.to_owned()));
        }
        if let Some(Redirect::Location(location)) = &self.autodiscover.redirect {
            return Answer::empty(kind, 302).with_header("location", location);
        }
        match (call.method, path) {
            (Method::Get, ["autodiscover", "autodiscover.json", rest @ ..])
                if self.autodiscover.json =>
            {
                // The last segment is the address, in the case in which it was written.
                let address = match rest {
                    [_, _] => call.path.last().map(String::as_str),
                    _ => call.parameter("Email"),
                };
                self.discover_json(graph, call, address.unwrap_or_default())
            }
            (_, ["autodiscover", "autodiscover.xml"]) => self.discover_xml(graph, call),
            _ => Answer::text(kind, 404, "404 - File or directory not found."),
        }
    }

    fn service(&self, call: &Call<'_>) -> String {
        let url = self.autodiscover.url.clone();
        url.unwrap_or_else(|| format!("{}{PATH}", call.origin))
    }

    /// Version 2 asks nobody who they are.
    fn discover_json(&self, graph: &Graph, call: &Call<'_>, address: &str) -> Answer {
        let kind = RequestKind::Autodiscover;
        let refuse = |status, code: &str, why: &str| {
            Answer::json(
                kind,
                status,
                json!({"ErrorCode": code, "ErrorMessage": why}),
            )
        };
        let protocol = call.parameter("Protocol").unwrap_or_default();
        if !protocol.eq_ignore_ascii_case("EWS") {
            let why = format!("The given protocol value '{protocol}' is invalid.");
            return refuse(400, "InvalidProtocol", &why);
        }
        if !is_mailbox(graph, address) {
            return refuse(404, "UserNotFound", "The given user is not found.");
        }
        let url = self.service(call);
        Answer::json(kind, 200, json!({"Protocol": "EWS", "Url": url}))
    }

    fn discover_xml(&self, graph: &Graph, call: &Call<'_>) -> Answer {
        let kind = RequestKind::Autodiscover;
        let Some(_) = self.accounts.check(call, self.required()) else {
            return self.challenge(kind);
        };
        if call.method != Method::Post {
            return xml_answer(&error("600", "Invalid Request"));
        }
        let Some(address) = asked_for(call.body) else {
            return xml_answer(&error("600", "Invalid Request"));
        };
        let account = |action: &str, rest: &str| {
            format!(
                "<Account><AccountType>email</AccountType><Action>{action}</Action>{rest}</Account>"
            )
        };
        let account = match &self.autodiscover.redirect {
            Some(Redirect::Url(url)) => {
                let url = escape(url);
                account("redirectUrl", &format!("<RedirectUrl>{url}</RedirectUrl>"))
            }
            Some(Redirect::Address(other)) if !other.eq_ignore_ascii_case(&address) => {
                let other = escape(other);
                account(
                    "redirectAddr",
                    &format!("<RedirectAddr>{other}</RedirectAddr>"),
                )
            }
            _ if !is_mailbox(graph, &address) => {
                return xml_answer(&error("500", "The email address can't be found."));
            }
            _ => {
                let url = escape(&self.service(call));
                let protocol = |kind: &str| {
                    format!(
                        "<Protocol><Type>{kind}</Type><ASUrl>{url}</ASUrl><EwsUrl>{url}</EwsUrl>\
                         </Protocol>"
                    )
                };
                let both = format!("{}{}", protocol("EXCH"), protocol("EXPR"));
                account("settings", &both)
            }
        };
        let user = format!(
            "<User><AutoDiscoverSMTPAddress>{}</AutoDiscoverSMTPAddress></User>",
            escape(&address)
        );
        xml_answer(&format!(
            "<Response xmlns=\"{OUTLOOK}\">{user}{account}</Response>"
        ))
    }

    /// Whether a request needs no sign-in: the question of version 2.
    pub(in crate::simulator) fn is_open(path: &[String]) -> bool {
        let second = path.get(1).map(|second| second.to_ascii_lowercase());
        second.as_deref() == Some("autodiscover.json")
    }

    /// Whether connections are signed in by a handshake.
    pub(in crate::simulator) fn asks_for_handshake(&self) -> bool {
        self.required() == EwsSignIn::Ntlm
    }
}

fn is_mailbox(graph: &Graph, address: &str) -> bool {
    let mut mailboxes = graph.mailboxes.iter();
    mailboxes.any(|mailbox| mailbox.address.eq_ignore_ascii_case(address))
}

/// The address in a question of the older kind; its schema must be one that Outlook reads.
fn asked_for(body: &[u8]) -> Option<String> {
    let root = xml::read(body).ok()?;
    let request = root
        .child("Request")
        .filter(|_| root.name == "Autodiscover")?;
    let schema = request.child_text("AcceptableResponseSchema")?;
    let address = request.child_text("EMailAddress")?;
    (schema == OUTLOOK && !address.is_empty()).then(|| address.to_owned())
}

fn error(code: &str, why: &str) -> String {
    format!(
        "<Response><Error Time=\"08:00:00.0000000\" Id=\"4083567421\"><ErrorCode>{code}</ErrorCode>\
         <Message>{why}</Message><DebugData /></Error></Response>"
    )
}

fn xml_answer(content: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Autodiscover xmlns=\"{RESPONSE}\">{content}\
         </Autodiscover>"
    );
    Answer::new(RequestKind::Autodiscover, 200, Body::Xml(body.into_bytes()))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
