//! What a request to Exchange Web Services asks for, read from its body: everything there is a
//! `POST` to one address.
//!
//! A body must be read here exactly as Exchange reads it, or it could say one thing to this host
//! and another to the server. So whatever could be read in two ways is refused: other encodings
//! than UTF-8, document types, comments, types that override an element's name, elements outside of
//! the protocol's namespaces.

use std::borrow::Cow;
use std::str;

use http::{HeaderMap, header};
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use super::rules::{Denial, Writing};

const SOAP: &[u8] = b"http://schemas.xmlsoap.org/soap/envelope/";
const MESSAGES: &[u8] = b"http://schemas.microsoft.com/exchange/services/2006/messages";
const TYPES: &[u8] = b"http://schemas.microsoft.com/exchange/services/2006/types";
const AUTODISCOVER: &[u8] =
    b"http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006";
const AUTODISCOVER_ANSWER: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// Elements inside each other.
const DEPTH_MAX: usize = 24;

/// Operations that read
/// (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/ews-operations-in-exchange>).
const READING: [&str; 7] = [
    "SyncFolderItems",
    "SyncFolderHierarchy",
    "FindFolder",
    "FindItem",
    "GetItem",
    "GetFolder",
    "ConvertId",
];

/// Operations that write.
const WRITING: [&str; 3] = ["CreateItem", "UpdateItem", "DeleteItem"];

/// What a request's header may say beside whom it acts for.
const PLAIN_HEADERS: [&str; 3] = ["RequestServerVersion", "TimeZoneContext", "MailboxCulture"];

/// The one mailbox that a job is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) address: String,
    pub(crate) impersonate: bool,
}

impl Whose {
    fn is(&self, address: &str) -> bool {
        self.address.eq_ignore_ascii_case(address.trim())
    }
}

/// Headers that go to Exchange; others stay here. Some are how its own front end tells its back end
/// who asks.
pub(crate) const HEADERS: [&str; 7] = [
    "accept",
    "accept-encoding",
    "client-request-id",
    "content-type",
    "return-client-request-id",
    "user-agent",
    "x-anchormailbox",
];

/// Whether the headers let the body mean what is read here, and whether they stay with one mailbox.
pub(crate) fn check_headers(headers: &HeaderMap, whose: &Whose) -> Result<(), Denial> {
    let single = |name: header::HeaderName| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    };
    let kind = single(header::CONTENT_TYPE).unwrap_or_default();
    let kind: String = kind.split_whitespace().collect();
    if !["text/xml;charset=utf-8", "text/xml;charset=\"utf-8\""]
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known))
    {
        return Err(soap("its content type is not `text/xml; charset=utf-8`"));
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(soap("it is encoded"));
    }
    let strays = |value: &header::HeaderValue| !value.to_str().is_ok_and(|text| whose.is(text));
    if headers.get_all("x-anchormailbox").iter().any(strays) {
        return Err(Denial::OtherMailbox);
    }
    Ok(())
}

/// Whether a body is one operation of a sync, for this mailbox and no other.
pub(crate) fn check(body: &[u8], whose: &Whose, writing: Writing) -> Result<(), Denial> {
    let mut envelope = Envelope {
        whose,
        writing,
        operation: None,
        impersonates: false,
        addresses: 0,
        mailboxes: 0,
    };
    read(body, &mut envelope)?;
    let Some(operation) = &envelope.operation else {
        return Err(soap("there is no operation in it"));
    };
    if whose.impersonate != envelope.impersonates {
        return Err(Denial::Impersonation);
    }
    tracing::trace!(operation, "a request to Exchange");
    Ok(())
}

/// Whether a body asks Autodiscover about this mailbox, and says nothing else.
pub(crate) fn check_autodiscover(body: &[u8], whose: &Whose) -> Result<(), Denial> {
    let mut request = Question { whose, asks: false };
    read(body, &mut request)?;
    if request.asks {
        Ok(())
    } else {
        Err(Denial::Autodiscover)
    }
}

/// Whether path and query ask Autodiscover's JSON about this mailbox, and say nothing else: these
/// requests go to servers that may be anybody's.
pub(crate) fn check_autodiscover_path(
    below: &str,
    query: &str,
    whose: &Whose,
) -> Result<(), Denial> {
    let path = below.strip_prefix("/v1.0/");
    let decoded = |text: &str| {
        let plain = form_urlencoded::parse(text.replace('+', "%2B").as_bytes())
            .map(|(name, _)| name.into_owned())
            .collect::<String>();
        whose.is(&plain)
    };
    let fine_path = below.is_empty() || path.is_some_and(decoded);
    let fine_query = form_urlencoded::parse(query.as_bytes()).all(|(name, value)| {
        match name.to_ascii_lowercase().as_str() {
            "email" => whose.is(&value),
            "protocol" => value.eq_ignore_ascii_case("EWS"),
            "redirectcount" => value.len() == 1,
            _ => false,
        }
    });
    if fine_path && fine_query {
        Ok(())
    } else {
        Err(Denial::Autodiscover)
    }
}

/// An element's name and attributes, where the namespaces have been looked up.
struct Element<'a> {
    namespace: &'a [u8],
    name: &'a str,
    start: &'a BytesStart<'a>,
}

/// Looks at each element of a document, and at each text.
trait Reading {
    /// `path` are the elements around it.
    fn element(&mut self, path: &[String], element: &Element<'_>) -> Result<(), Denial>;
    /// `path` ends with the element whose whole text this is.
    fn text(&mut self, path: &[String], text: &str) -> Result<(), Denial>;
}

struct Envelope<'a> {
    whose: &'a Whose,
    writing: Writing,
    operation: Option<String>,
    impersonates: bool,
    mailboxes: usize,
    addresses: usize,
}

impl Reading for Envelope<'_> {
    fn element(&mut self, path: &[String], element: &Element<'_>) -> Result<(), Denial> {
        let names: Vec<_> = path.iter().map(String::as_str).collect();
        let wanted = match names[..] {
            [] | ["Envelope"] => SOAP,
            ["Envelope", "Body"] => MESSAGES,
            _ if [MESSAGES, TYPES].contains(&element.namespace) => element.namespace,
            _ => TYPES,
        };
        if element.namespace != wanted {
            return Err(soap("an element of it is in another namespace"));
        }
        match (&names[..], element.name) {
            (["Envelope", "Header"], "ExchangeImpersonation") if !self.impersonates => {
                self.impersonates = true;
                Ok(())
            }
            ([], "Envelope")
            | (["Envelope"], "Header" | "Body")
            | (["Envelope", "Header", "ExchangeImpersonation"], "ConnectingSID")
            | (
                [
                    "Envelope",
                    "Header",
                    "ExchangeImpersonation",
                    "ConnectingSID",
                ],
                "PrimarySmtpAddress" | "SmtpAddress",
            ) => Ok(()),
            (["Envelope", "Header"], name) if PLAIN_HEADERS.contains(&name) => Ok(()),
            ([] | ["Envelope"] | ["Envelope", "Header"], _) => {
                Err(soap("it says more than a request of a sync does"))
            }
            (["Envelope", "Header", "ExchangeImpersonation", ..], _) => Err(Denial::OtherMailbox),
            (["Envelope", "Body"], _) => self.begins(element),
            (["Envelope", "Body", operation, inside @ ..], _) => {
                self.inside(operation, inside, element)
            }
            _ => Ok(()),
        }
    }

    fn text(&mut self, path: &[String], text: &str) -> Result<(), Denial> {
        let (last, around) = match path {
            [.., around, last] => (last.as_str(), around.as_str()),
            _ => return Ok(()),
        };
        // Each mailbox that is named is named by exactly one address.
        if last == "Mailbox" && self.addresses != self.mailboxes {
            return Err(Denial::OtherMailbox);
        }
        let is_address =
            around == "ConnectingSID" || (around == "Mailbox" && last == "EmailAddress");
        if !is_address {
            return Ok(());
        }
        self.addresses += usize::from(around == "Mailbox");
        if self.whose.is(text) {
            Ok(())
        } else {
            Err(Denial::OtherMailbox)
        }
    }
}

impl Envelope<'_> {
    fn begins(&mut self, element: &Element<'_>) -> Result<(), Denial> {
        if self.operation.is_some() {
            return Err(soap("there are two operations in it"));
        }
        let name = element.name;
        if !READING.contains(&name) && !WRITING.contains(&name) {
            return Err(Denial::Operation(shown(name)));
        }
        if WRITING.contains(&name) && self.writing == Writing::Forbidden {
            return Err(Denial::OperationReadOnly(shown(name)));
        }
        let attribute = |name| attribute(element.start, name);
        match name {
            "DeleteItem" if attribute("DeleteType")?.as_deref() != Some("MoveToDeletedItems") => {
                return Err(Denial::Purge);
            }
            "CreateItem" | "UpdateItem"
                if attribute("MessageDisposition")?.is_some_and(|how| how != "SaveOnly") =>
            {
                return Err(Denial::NoContact);
            }
            _ => {}
        }
        self.operation = Some(name.to_owned());
        Ok(())
    }

    fn inside(
        &mut self,
        operation: &str,
        inside: &[&str],
        element: &Element<'_>,
    ) -> Result<(), Denial> {
        match (operation, inside, element.name) {
            ("CreateItem", ["Items"], name) if name != "Contact" => return Err(Denial::NoContact),
            ("UpdateItem", ["ItemChanges", "ItemChange", "Updates"], name)
                if !["SetItemField", "DeleteItemField"].contains(&name) =>
            {
                return Err(Denial::NoContact);
            }
            ("UpdateItem", ["ItemChanges", "ItemChange", "Updates", "SetItemField"], name)
                if !["FieldURI", "IndexedFieldURI", "ExtendedFieldURI", "Contact"]
                    .contains(&name) =>
            {
                return Err(Denial::NoContact);
            }
            ("UpdateItem", [], "SavedItemFolderId") => {
                return Err(soap("an update moves nothing to another folder"));
            }
            ("CreateItem", ["SavedItemFolderId"], "DistinguishedFolderId")
                if attribute(element.start, "Id")?.as_deref() != Some("contacts") =>
            {
                return Err(Denial::NoContact);
            }
            ("ConvertId", _, "AlternateId") => {
                let mailbox = attribute(element.start, "Mailbox")?;
                if !mailbox.is_some_and(|mailbox| self.whose.is(&mailbox)) {
                    return Err(Denial::OtherMailbox);
                }
            }
            ("ConvertId", _, "AlternatePublicFolderId" | "AlternatePublicFolderItemId") => {
                return Err(Denial::OtherMailbox);
            }
            (_, _, "Mailbox") => self.mailboxes += 1,
            (_, [.., "Mailbox", _], _) => return Err(Denial::OtherMailbox),
            _ => {}
        }
        Ok(())
    }
}

struct Question<'a> {
    whose: &'a Whose,
    asks: bool,
}

impl Reading for Question<'_> {
    fn element(&mut self, path: &[String], element: &Element<'_>) -> Result<(), Denial> {
        let names: Vec<_> = path.iter().map(String::as_str).collect();
        let known = matches!(
            (&names[..], element.name),
            ([], "Autodiscover")
                | (["Autodiscover"], "Request")
                | (
                    ["Autodiscover", "Request"],
                    "EMailAddress" | "AcceptableResponseSchema"
                )
        );
        if known && element.namespace == AUTODISCOVER {
            Ok(())
        } else {
            Err(Denial::Autodiscover)
        }
    }

    fn text(&mut self, path: &[String], text: &str) -> Result<(), Denial> {
        let fine = match path.last().map(String::as_str) {
            Some("EMailAddress") => {
                self.asks = true;
                self.whose.is(text)
            }
            Some("AcceptableResponseSchema") => text.trim() == AUTODISCOVER_ANSWER,
            _ => text.trim().is_empty(),
        };
        if fine {
            Ok(())
        } else {
            Err(Denial::Autodiscover)
        }
    }
}

/// Reads a whole document, element by element. The texts of an element count as one.
fn read(body: &[u8], reading: &mut impl Reading) -> Result<(), Denial> {
    let body = str::from_utf8(body).map_err(|_| soap("it is not UTF-8"))?;
    let mut reader = NsReader::from_str(body);
    reader.config_mut().expand_empty_elements = true;
    let mut path: Vec<String> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    let mut is_over = false;
    loop {
        let (namespace, event) = reader
            .read_resolved_event()
            .map_err(|error| soap(format!("it is no XML: {error}")))?;
        match event {
            Event::Decl(declaration) => {
                let encoding = declaration.encoding().transpose();
                let encoding = encoding.map_err(|_| soap("its encoding cannot be read"))?;
                if encoding.is_some_and(|name| !name.eq_ignore_ascii_case(b"utf-8")) {
                    return Err(soap("it says that it is not UTF-8"));
                }
            }
            Event::Start(start) => {
                if is_over || path.len() >= DEPTH_MAX {
                    return Err(soap("it has more elements than a request of a sync"));
                }
                let name = name_of(&start)?;
                let ResolveResult::Bound(Namespace(namespace)) = namespace else {
                    return Err(soap("an element of it has no namespace"));
                };
                let element = Element {
                    namespace,
                    name: &name,
                    start: &start,
                };
                refuse_other_types(&start)?;
                reading.element(&path, &element)?;
                path.push(name);
                texts.push(String::new());
            }
            Event::End(_) => {
                reading.text(&path, &texts.pop().unwrap_or_default())?;
                path.pop();
                is_over = path.is_empty();
            }
            Event::Text(text) => {
                let text = text.decode().map_err(|_| soap("a text of it is damaged"))?;
                append(&mut texts, &text);
            }
            Event::CData(text) => {
                let text = text.decode().map_err(|_| soap("a text of it is damaged"))?;
                append(&mut texts, &text);
            }
            Event::GeneralRef(reference) => append(&mut texts, &resolved(&reference)?),
            // A comment too: where it divides a text, readers differ over what the text is.
            Event::Comment(_) | Event::Empty(_) | Event::PI(_) | Event::DocType(_) => {
                return Err(soap("it holds what no request of a sync does"));
            }
            Event::Eof => break,
        }
    }
    if is_over {
        Ok(())
    } else {
        Err(soap("it ends too early"))
    }
}

fn append(texts: &mut [String], text: &str) {
    if let Some(whole) = texts.last_mut() {
        whole.push_str(text);
    }
}

fn resolved(reference: &BytesRef<'_>) -> Result<String, Denial> {
    let damaged = |_| soap("a character of it is none");
    if let Some(character) = reference.resolve_char_ref().map_err(damaged)? {
        return Ok(character.to_string());
    }
    let name = reference.decode().map_err(|_| soap("it is not UTF-8"))?;
    let predefined = resolve_predefined_entity(&name);
    predefined
        .map(str::to_owned)
        .ok_or_else(|| soap("it uses an entity that is not XML's own"))
}

fn name_of(start: &BytesStart<'_>) -> Result<String, Denial> {
    let name = start.local_name();
    let name = str::from_utf8(name.as_ref()).map_err(|_| soap("it is not UTF-8"))?;
    Ok(name.to_owned())
}

/// `xsi:type` makes an element another one than its name says
/// (<https://www.w3.org/TR/xmlschema-1/#xsi_type>).
fn refuse_other_types(start: &BytesStart<'_>) -> Result<(), Denial> {
    for found in start.attributes() {
        let found = found.map_err(|error| soap(format!("it is no XML: {error}")))?;
        if found.key.local_name().as_ref() == b"type" {
            return Err(soap("an element of it has another type than its name says"));
        }
    }
    Ok(())
}

fn attribute<'a>(start: &'a BytesStart<'_>, name: &str) -> Result<Option<Cow<'a, str>>, Denial> {
    let damaged = || soap("an attribute of it is damaged");
    let Some(found) = start.try_get_attribute(name).map_err(|_| damaged())? else {
        return Ok(None);
    };
    let value = str::from_utf8(found.value.as_ref()).map_err(|_| damaged())?;
    let value = quick_xml::escape::unescape(value).map_err(|_| damaged())?;
    Ok(Some(Cow::Owned(value.into_owned())))
}

/// A name as the guest wrote it, fit for a log.
fn shown(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_graphic)
        .take(64)
        .collect()
}

fn soap(why: impl Into<String>) -> Denial {
    Denial::Soap(why.into())
}
