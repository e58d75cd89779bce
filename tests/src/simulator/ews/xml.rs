//! XML as Exchange reads and writes it: a small tree, namespaces resolved.

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::{NsReader, XmlVersion};

use super::quirks::{IllegalCharacters, PrefixStyle};

/// A namespace that Exchange Web Services know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// None at all: the children of a SOAP fault.
    Nothing,
    Soap,
    Messages,
    Types,
    Errors,
    Other,
}

impl Space {
    const KNOWN: [(Self, &'static str, &'static str); 4] = [
        (Self::Soap, "s", "http://schemas.xmlsoap.org/soap/envelope/"),
        (
            Self::Messages,
            "m",
            "http://schemas.microsoft.com/exchange/services/2006/messages",
        ),
        (
            Self::Types,
            "t",
            "http://schemas.microsoft.com/exchange/services/2006/types",
        ),
        (
            Self::Errors,
            "e",
            "http://schemas.microsoft.com/exchange/services/2006/errors",
        ),
    ];

    fn of(uri: &[u8]) -> Self {
        let mut known = Self::KNOWN.iter();
        known
            .find(|(_, _, known)| known.as_bytes() == uri)
            .map_or(Self::Other, |(space, ..)| *space)
    }

    fn entry(self) -> Option<&'static (Self, &'static str, &'static str)> {
        Self::KNOWN.iter().find(|(space, ..)| *space == self)
    }

    /// The namespace itself.
    pub(super) fn uri(self) -> &'static str {
        self.entry().map_or("", |(.., uri)| uri)
    }

    fn prefix(self) -> &'static str {
        self.entry().map_or("", |(_, prefix, _)| prefix)
    }
}

/// An element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) space: Space,
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Node>,
    pub(super) text: String,
}

impl Node {
    pub(super) fn new(space: Space, name: &str) -> Self {
        Self {
            space,
            name: name.to_owned(),
            attributes: Vec::new(),
            children: Vec::new(),
            text: String::new(),
        }
    }

    /// An element of the messages' namespace.
    pub(super) fn m(name: &str) -> Self {
        Self::new(Space::Messages, name)
    }

    /// An element of the types' namespace.
    pub(super) fn t(name: &str) -> Self {
        Self::new(Space::Types, name)
    }

    pub(super) fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn holding(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    pub(super) fn holding_all(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        attributes
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first child of this name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child of this name.
    pub(super) fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim())
    }
}

/// How deep a request may nest; Exchange's own depth is some thirty.
const DEPTH_MAX: usize = 64;

/// Reads a document, or says what is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<Node, String> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| "Invalid character in the given encoding.")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    legal(text)?;
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<Node> = Vec::new();
    loop {
        let (space, event) = reader
            .read_resolved_event()
            .map_err(|why| why.to_string())?;
        match event {
            Event::Start(start) => {
                let node = begin(&space, &start)?;
                if open.len() >= DEPTH_MAX {
                    return Err("The document is nested too deeply.".to_owned());
                }
                open.push(node);
            }
            Event::End(_) => {
                let Some(node) = open.pop() else {
                    return Err("Unexpected end tag.".to_owned());
                };
                match open.last_mut() {
                    Some(parent) => parent.children.push(node),
                    None => return Ok(node),
                }
            }
            Event::Text(text) => {
                let text = text.xml10_content().map_err(|why| why.to_string())?;
                append(&mut open, &text)?;
            }
            Event::CData(text) => {
                let text = text.xml10_content().map_err(|why| why.to_string())?;
                append(&mut open, &text)?;
            }
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|why| why.to_string())?;
                append(&mut open, &resolve(&name)?)?;
            }
            Event::DocType(_) => return Err("For security reasons DTD is prohibited.".to_owned()),
            Event::Eof => return Err("Root element is missing.".to_owned()),
            _ => {}
        }
    }
}

fn begin(space: &ResolveResult<'_>, start: &BytesStart<'_>) -> Result<Node, String> {
    let space = match space {
        ResolveResult::Bound(space) => Space::of(space.as_ref()),
        ResolveResult::Unbound => Space::Nothing,
        ResolveResult::Unknown(prefix) => {
            let prefix = String::from_utf8_lossy(prefix);
            return Err(format!("'{prefix}' is an undeclared prefix."));
        }
    };
    let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
    let mut node = Node::new(space, &name);
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|why| why.to_string())?;
        let name = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        // Declarations, and what XML itself and XML Schema add everywhere.
        if name == "xmlns" || name.contains(':') {
            continue;
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|why| why.to_string())?;
        legal(&value)?;
        node.attributes.push((name, value.into_owned()));
    }
    Ok(node)
}

fn append(open: &mut [Node], text: &str) -> Result<(), String> {
    match open.last_mut() {
        Some(node) => {
            node.text.push_str(text);
            Ok(())
        }
        None if text.trim().is_empty() => Ok(()),
        None => Err("Data at the root level is invalid.".to_owned()),
    }
}

fn resolve(name: &str) -> Result<String, String> {
    let number = match name {
        "amp" => return Ok("&".to_owned()),
        "lt" => return Ok("<".to_owned()),
        "gt" => return Ok(">".to_owned()),
        "quot" => return Ok("\"".to_owned()),
        "apos" => return Ok("'".to_owned()),
        _ => match (name.strip_prefix("#x"), name.strip_prefix('#')) {
            (Some(digits), _) => u32::from_str_radix(digits, 16).ok(),
            (None, Some(digits)) => digits.parse().ok(),
            (None, None) => return Err(format!("Reference to undeclared entity '{name}'.")),
        },
    };
    let Some(sign) = number.and_then(char::from_u32) else {
        return Err(format!("'{name}' is no character."));
    };
    let text = sign.to_string();
    legal(&text)?;
    Ok(text)
}

/// XML 1.0 has no way to write most control characters (<https://www.w3.org/TR/xml/#charsets>).
fn legal(text: &str) -> Result<(), String> {
    match text.chars().find(|sign| is_illegal(*sign)) {
        None => Ok(()),
        Some(sign) => {
            let number = u32::from(sign);
            Err(format!(
                "'{sign}', hexadecimal value 0x{number:02X}, is an invalid character."
            ))
        }
    }
}

fn is_illegal(sign: char) -> bool {
    let is_control = sign < ' ' && !matches!(sign, '\t' | '\n' | '\r');
    is_control || matches!(sign, '\u{fffe}' | '\u{ffff}')
}

/// How an answer is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) prefixes: PrefixStyle,
    pub(super) illegal: IllegalCharacters,
    pub(super) byte_order_mark: bool,
}

/// Writes a document.
pub(super) fn write(root: &Node, style: Style) -> Vec<u8> {
    let mut out = String::new();
    if style.byte_order_mark {
        out.push('\u{feff}');
    }
    out.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?>");
    write_node(root, style, None, &mut out);
    out.into_bytes()
}

fn write_node(node: &Node, style: Style, within: Option<Space>, out: &mut String) {
    let name = tag(node, style);
    out.push('<');
    out.push_str(&name);
    match style.prefixes {
        PrefixStyle::Default if within.unwrap_or(Space::Nothing) == node.space => {}
        PrefixStyle::Default => write_attribute("xmlns", node.space.uri(), style, out),
        _ if within.is_none() => {
            for (space, _, uri) in Space::KNOWN {
                let name = format!("xmlns:{}", prefix(space, style));
                write_attribute(&name, uri, style, out);
            }
        }
        _ => {}
    }
    for (name, value) in &node.attributes {
        write_attribute(name, value, style, out);
    }
    if node.children.is_empty() && node.text.is_empty() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    write_text(&node.text, style, out);
    for child in &node.children {
        write_node(child, style, Some(node.space), out);
    }
    out.push_str("</");
    out.push_str(&name);
    out.push('>');
}

fn tag(node: &Node, style: Style) -> String {
    let is_bare = style.prefixes == PrefixStyle::Default || node.space == Space::Nothing;
    if is_bare {
        node.name.clone()
    } else {
        format!("{}:{}", prefix(node.space, style), node.name)
    }
}

fn prefix(space: Space, style: Style) -> &'static str {
    match (style.prefixes, space) {
        (PrefixStyle::Others, Space::Messages) => "ns1",
        (PrefixStyle::Others, Space::Types) => "ns2",
        // Whoever goes by prefixes alone reads the wrong thing here.
        (PrefixStyle::Others, Space::Errors) => "t",
        (PrefixStyle::Others, Space::Soap) => "m",
        _ => space.prefix(),
    }
}

fn reference(sign: char) -> String {
    format!("&#x{:X};", u32::from(sign))
}

fn write_attribute(name: &str, value: &str, style: Style, out: &mut String) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    write_text(value, style, out);
    out.push('"');
}

fn write_text(text: &str, style: Style, out: &mut String) {
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#xD;"),
            sign if is_illegal(sign) => match style.illegal {
                IllegalCharacters::Referenced => {
                    out.push_str(&reference(sign));
                }
                IllegalCharacters::Raw => out.push(sign),
                IllegalCharacters::LeftOut => {}
            },
            sign => out.push(sign),
        }
    }
}
