//! What a request to Exchange Web Services asks for, read from its body: everything there is a
//! `POST` to one address.
//!
//! A body must be read here exactly as Exchange reads it, or it could say one thing to this host
//! and another to the server. So nothing goes out but what [`shapes`] lists, and whatever could be
//! read in two ways is refused: other encodings than UTF-8, document types, comments, attributes
//! that give an element another meaning, elements outside of the protocol's namespaces.

mod shapes;

use std::str;

use http::{HeaderMap, header};
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use super::rules::{Denial, Writing};
use shapes::{Attribute, Content, Occurs, Part, Shape, Value};

/// The one mailbox that a job is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) address: String,
    pub(crate) impersonate: bool,
}

impl Whose {
    fn is(&self, address: &str) -> bool {
        self.address.eq_ignore_ascii_case(address)
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
    let request = shapes::request(writing == Writing::Allowed, whose.impersonate);
    read(body, Walk::new(request, whose))
}

/// Whether a body asks Autodiscover about this mailbox, and says nothing else.
pub(crate) fn check_autodiscover(body: &[u8], whose: &Whose) -> Result<(), Denial> {
    read(body, Walk::new(&shapes::QUESTION, whose)).map_err(|_| Denial::Autodiscover)
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

/// A document under way, compared with the shapes that it may have.
struct Walk<'a> {
    whose: &'a Whose,
    /// The elements around the place that is read; first the document itself.
    open: Vec<Open>,
}

struct Open {
    /// For a message.
    name: &'static str,
    content: &'static Content,
    /// The part that the next element may belong to, and its elements so far.
    part: usize,
    elements: usize,
    /// The text so far: where it is divided, it counts as one.
    text: String,
}

/// The attributes of an element, without what declares namespaces.
type Attributes = Vec<(String, String)>;

impl<'a> Walk<'a> {
    fn new(document: &'static Content, whose: &'a Whose) -> Self {
        let open = vec![Open::new("the document", document)];
        Self { whose, open }
    }

    fn begins(&mut self, namespace: &[u8], name: &str, found: &Attributes) -> Result<(), Denial> {
        let Some(around) = self.open.last_mut() else {
            return Err(soap("it is no XML"));
        };
        let shapes = around.place(namespace, name)?;
        let mut shape = None;
        let mut misfit = None;
        for candidate in shapes.iter().filter(|shape| shape.is(namespace, name)) {
            match fits(candidate, found, self.whose) {
                Ok(()) => shape = Some(*candidate),
                Err(denial) => misfit = Some(denial),
            }
        }
        let Some(shape) = shape else {
            return Err(misfit.unwrap_or_else(|| soap("it is no XML")));
        };
        self.open.push(Open::new(shape.name(), &shape.content));
        Ok(())
    }

    fn text(&mut self, text: &str) {
        if let Some(innermost) = self.open.last_mut() {
            innermost.text.push_str(text);
        }
    }

    fn finish(mut self) -> Result<(), Denial> {
        if self.open.len() == 1 {
            return self.ends();
        }
        Err(soap("it ends too early"))
    }

    fn ends(&mut self) -> Result<(), Denial> {
        let Some(mut ended) = self.open.pop() else {
            return Err(soap("it is no XML"));
        };
        match ended.content {
            Content::Text(value) if is_value(*value, &ended.text, self.whose) => Ok(()),
            Content::Text(Value::OwnAddress) => Err(Denial::OtherMailbox),
            Content::Text(_) => Err(soap(format!(
                "`{}` says what no request of a sync does",
                ended.name
            ))),
            // XML's own blanks (<https://www.w3.org/TR/xml/#NT-S>), no others.
            Content::Parts(_) if !ended.text.bytes().all(|byte| b" \t\r\n".contains(&byte)) => {
                Err(soap(format!("there is text in `{}`", ended.name)))
            }
            Content::Parts(parts) => ended.leave(parts, parts.len()),
        }
    }
}

impl Open {
    fn new(name: &'static str, content: &'static Content) -> Self {
        Self {
            name,
            content,
            part: 0,
            elements: 0,
            text: String::new(),
        }
    }

    /// What the next element may be, if it has this name.
    fn place(&mut self, namespace: &[u8], name: &str) -> Result<&'static [&'static Shape], Denial> {
        let parts: &'static [Part] = match self.content {
            Content::Text(_) => &[],
            Content::Parts(parts) => parts,
        };
        let holds = |part: &Part| part.shapes.iter().any(|shape| shape.is(namespace, name));
        if !parts.iter().any(holds) {
            let mut shapes = parts.iter().flat_map(|part| part.shapes);
            if shapes.any(|shape| shape.names.contains(&name)) {
                return Err(soap(format!(
                    "`{name}` is in another namespace than its own"
                )));
            }
            return Err(stray(self.name, name));
        }
        let has_room = |part: &Part| self.elements == 0 || part.occurs == Occurs::AtLeastOnce;
        let mut ahead = parts.iter().enumerate().skip(self.part);
        let place = ahead.find(|(at, part)| holds(part) && (*at > self.part || has_room(part)));
        let Some((place, part)) = place else {
            return Err(soap(format!(
                "`{name}` comes twice in `{}`, or out of its place",
                self.name
            )));
        };
        self.leave(parts, place)?;
        self.elements += 1;
        Ok(part.shapes)
    }

    /// Goes on to a later part.
    fn leave(&mut self, parts: &[Part], place: usize) -> Result<(), Denial> {
        for part in parts.iter().take(place).skip(self.part) {
            if self.elements == 0 && part.occurs != Occurs::AtMostOnce {
                return Err(missing(self.name, part));
            }
            self.part += 1;
            self.elements = 0;
        }
        Ok(())
    }
}

/// Whether an element has the attributes of its shape, and no others.
fn fits(shape: &Shape, found: &Attributes, whose: &Whose) -> Result<(), Denial> {
    for known in shape.attributes {
        match found.iter().find(|(name, _)| name == known.name) {
            Some((_, value)) if is_value(known.value, value, whose) => {}
            None if !known.is_needed => {}
            _ => return Err(misfit(shape, known)),
        }
    }
    let is_known = |name: &str| -> bool { shape.attributes.iter().any(|known| known.name == name) };
    match found.iter().find(|(name, _)| !is_known(name)) {
        None => Ok(()),
        Some((name, _)) => Err(soap(format!(
            "`{}` may not have the attribute `{}`",
            shape.name(),
            shown(name)
        ))),
    }
}

fn is_value(value: Value, found: &str, whose: &Whose) -> bool {
    match value {
        Value::Any => true,
        Value::OwnAddress => whose.is(found),
        Value::OneOf(known) => known.contains(&found),
        Value::OfContacts(names) => found
            .strip_prefix("contacts:")
            .is_some_and(|name| names.contains(&name)),
    }
}

/// An element that may not stand where it does.
fn stray(around: &str, name: &str) -> Denial {
    let name = shown(name);
    match around {
        "Body" if shapes::WRITING.contains(&&*name) => Denial::OperationReadOnly(name),
        "Body" => Denial::Operation(name),
        "Header" if name == "ExchangeImpersonation" => Denial::Impersonation,
        "Items" => Denial::NoContact,
        "ConnectingSID" | "Mailbox" => Denial::OtherMailbox,
        _ => soap(format!("`{name}` is not among what `{around}` may hold")),
    }
}

/// A part that is not there.
fn missing(around: &str, part: &Part) -> Denial {
    let name = part.shapes.first().map_or("", |shape| shape.name());
    match (around, name) {
        ("Body", _) => soap("there is no operation in it"),
        ("Header", "ExchangeImpersonation") => Denial::Impersonation,
        _ => soap(format!(
            "there is no `{name}` in `{around}`, where it belongs"
        )),
    }
}

/// An attribute that is not there, or says something else than it may.
fn misfit(shape: &Shape, attribute: &Attribute) -> Denial {
    let (element, name) = (shape.name(), attribute.name);
    if name == "DeleteType" {
        return Denial::Purge;
    }
    match attribute.value {
        _ if element.ends_with("FieldURI") => soap(format!(
            "`{element}` does not name one of the properties that take part"
        )),
        Value::OneOf(known) => soap(format!(
            "`{name}` of `{element}` is not `{}`",
            known.join("` or `")
        )),
        _ => soap(format!("`{element}` has no `{name}`")),
    }
}

/// Reads a whole document, element by element.
fn read(body: &[u8], mut walk: Walk<'_>) -> Result<(), Denial> {
    let body = str::from_utf8(body).map_err(|_| soap("it is not UTF-8"))?;
    let body = undeclared(body)?;
    let mut reader = NsReader::from_str(body);
    reader.config_mut().expand_empty_elements = true;
    loop {
        let (namespace, event) = reader
            .read_resolved_event()
            .map_err(|error| soap(format!("it is no XML: {error}")))?;
        match event {
            Event::Start(start) => {
                let name = start.local_name();
                let name = str::from_utf8(name.as_ref()).map_err(|_| soap("it is not UTF-8"))?;
                let ResolveResult::Bound(namespace) = namespace else {
                    return Err(soap("an element of it has no namespace"));
                };
                walk.begins(namespace.as_ref(), name, &attributes(&start)?)?;
            }
            Event::End(_) => walk.ends()?,
            Event::Text(text) => {
                let text = text.decode().map_err(|_| soap("a text of it is damaged"))?;
                walk.text(&text);
            }
            Event::GeneralRef(reference) => walk.text(&resolved(&reference)?),
            // Where a comment or a section divides a text, readers differ over what the text is.
            Event::Comment(_)
            | Event::CData(_)
            | Event::Decl(_)
            | Event::DocType(_)
            | Event::Empty(_)
            | Event::PI(_) => return Err(soap("it holds what no request of a sync does")),
            Event::Eof => return walk.finish(),
        }
    }
}

/// What follows the declaration: of all that one could say, only what is meant anyway is let out.
fn undeclared(body: &str) -> Result<&str, Denial> {
    let Some(declared) = body.strip_prefix("<?xml") else {
        return Ok(body);
    };
    let known = [
        r#" version="1.0"?>"#,
        r#" version="1.0" encoding="utf-8"?>"#,
        r#" version="1.0" encoding="UTF-8"?>"#,
    ];
    known
        .iter()
        .find_map(|known| declared.strip_prefix(known))
        .ok_or_else(|| soap("it declares itself to be something else than XML 1.0 in UTF-8"))
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

/// No shape has an attribute with a prefix: `xsi:type` makes an element another one than its name
/// says (<https://www.w3.org/TR/xmlschema-1/#xsi_type>), and SOAP's own say whether a part of the
/// header counts.
fn attributes(start: &BytesStart<'_>) -> Result<Attributes, Denial> {
    let damaged = |_| soap("an attribute of it is damaged");
    let mut attributes = Vec::new();
    // Finds one that is there twice as well.
    for found in start.attributes() {
        let found = found.map_err(|error| soap(format!("it is no XML: {error}")))?;
        let name = str::from_utf8(found.key.as_ref()).map_err(damaged)?;
        if name == "xmlns" || name.starts_with("xmlns:") {
            continue;
        }
        let value = str::from_utf8(found.value.as_ref()).map_err(damaged)?;
        let value = unescape(value).map_err(|_| soap("an attribute of it is damaged"))?;
        attributes.push((name.to_owned(), value.into_owned()));
    }
    Ok(attributes)
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
