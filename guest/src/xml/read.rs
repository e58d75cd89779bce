//! Reading XML: from bytes to elements.

use super::characters::{REPLACEMENT, held, is_blank, is_qualified_name};
use super::{Element, XmlError};
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::{Error, NsReader};
use std::collections::BTreeMap;
use std::rc::Rc;

/// How deep elements may be nested. The deepest answers of Exchange have about a dozen levels.
pub const DEPTH_MAX: usize = 64;

/// How many elements a document may have: a page of 512 contacts with all their values has less
/// than a quarter of it.
pub const ELEMENTS_MAX: usize = 262_144;

/// How many attributes an element may have, declarations of namespaces included.
pub const ATTRIBUTES_MAX: usize = 64;

/// How many declarations of namespaces may be in force at once: a name is looked for among them
/// all.
pub const DECLARATIONS_MAX: usize = 256;

/// How long the name of a namespace may be: every element is compared with it.
pub const NAMESPACE_BYTES_MAX: usize = 1024;

pub(super) fn read(bytes: &[u8]) -> Result<Element, XmlError> {
    let text = str::from_utf8(bytes).map_err(|error| XmlError::Encoding {
        at_byte: u64::try_from(error.valid_up_to()).unwrap_or(u64::MAX),
    })?;
    // Servers put a byte order mark in front even of UTF-8 (<https://www.w3.org/TR/xml/#charencoding>).
    let mark = '\u{feff}';
    let mark_bytes = if text.starts_with(mark) {
        mark.len_utf8()
    } else {
        0
    };
    let mut xml = NsReader::from_str(text.strip_prefix(mark).unwrap_or(text));
    xml.config_mut().expand_empty_elements = true;
    xml.resolver_mut()
        .set_max_declarations_per_element(ATTRIBUTES_MAX);
    let mut tree = Tree::default();
    let mut is_first = true;
    loop {
        let at_byte = xml.buffer_position() + mark_bytes as u64;
        let at = |problem: Fault| problem.at(at_byte);
        let event = xml.read_event().map_err(|error| at(fault(&error)))?;
        match event {
            Event::Start(start) => tree.start(&xml, &start).map_err(at)?,
            Event::End(_) => tree.end().map_err(at)?,
            Event::Text(text) => {
                let text = text.xml10_content().map_err(|_| at(Fault::Encoding))?;
                tree.text(&text).map_err(at)?;
            }
            Event::CData(text) => {
                let text = text.xml10_content().map_err(|_| at(Fault::Encoding))?;
                tree.cdata(&text).map_err(at)?;
            }
            Event::GeneralRef(reference) => tree.reference(&reference).map_err(at)?,
            Event::Decl(declaration) => check_declaration(&declaration, is_first).map_err(at)?,
            Event::DocType(_) => return Err(at(Fault::Refused("a document type"))),
            Event::Comment(_) | Event::PI(_) => {}
            // Never sent: empty elements are asked for as a start and an end.
            Event::Empty(_) => return Err(at(Fault::Malformed("an element without an end"))),
            Event::Eof => return tree.finish().map_err(at),
        }
        is_first = false;
    }
}

/// What is wrong, before it is known where.
enum Fault {
    Encoding,
    Malformed(&'static str),
    Refused(&'static str),
    TooMuch(&'static str, usize),
}

impl Fault {
    fn at(self, at_byte: u64) -> XmlError {
        match self {
            Self::Encoding => XmlError::Encoding { at_byte },
            Self::Malformed(what) => XmlError::Malformed { what, at_byte },
            Self::Refused(what) => XmlError::Refused { what, at_byte },
            Self::TooMuch(what, limit) => XmlError::TooMuch {
                what,
                limit,
                at_byte,
            },
        }
    }
}

/// What quick-xml finds wrong. Its own messages quote the document.
fn fault(error: &Error) -> Fault {
    match error {
        Error::Encoding(_) => Fault::Encoding,
        Error::Syntax(_) => Fault::Malformed("markup that does not end"),
        Error::IllFormed(_) => Fault::Malformed("tags or references that do not match"),
        Error::InvalidAttr(_) => Fault::Malformed("an attribute"),
        Error::Namespace(_) => Fault::Malformed("a declaration of a namespace"),
        Error::Io(_) | Error::Escape(_) => Fault::Malformed("something unreadable"),
    }
}

/// What stands first, if it is there, and says that the document is UTF-8, if it says anything
/// (<https://www.w3.org/TR/xml/#NT-XMLDecl>).
fn check_declaration(declaration: &BytesDecl, is_first: bool) -> Result<(), Fault> {
    if !is_first {
        return Err(Fault::Malformed("a declaration that is not at the start"));
    }
    // All of 1.x is read as 1.0 (<https://www.w3.org/TR/xml/#proc-types>).
    let version = declaration.version().map_err(|error| fault(&error))?;
    if !version.starts_with(b"1.") {
        return Err(Fault::Malformed("another version"));
    }
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(encoding)) if is_utf8(&encoding) => Ok(()),
        Some(Ok(_)) => Err(Fault::Encoding),
        Some(Err(_)) => Err(Fault::Malformed("a declaration")),
    }
}

/// ASCII is UTF-8 as well.
fn is_utf8(encoding: &[u8]) -> bool {
    [&b"utf-8"[..], b"utf8", b"us-ascii"]
        .iter()
        .any(|name| encoding.eq_ignore_ascii_case(name))
}

/// The elements that are open, and what is known of the whole document.
#[derive(Default)]
struct Tree {
    open: Vec<Open>,
    root: Option<Element>,
    elements: usize,
    /// Declarations of namespaces in all open elements.
    declarations: usize,
    /// Names of namespaces as they are written: most elements share one.
    namespaces: BTreeMap<Box<[u8]>, Rc<str>>,
}

struct Open {
    element: Element,
    declarations: usize,
}

impl Tree {
    fn start(&mut self, xml: &NsReader<&[u8]>, start: &BytesStart) -> Result<(), Fault> {
        if self.open.is_empty() && self.root.is_some() {
            return Err(Fault::Malformed("a second root"));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(Fault::TooMuch("levels of elements", DEPTH_MAX));
        }
        if self.elements >= ELEMENTS_MAX {
            return Err(Fault::TooMuch("elements", ELEMENTS_MAX));
        }
        self.elements += 1;
        // Attributes first: they are counted before anything is looked for among them.
        let (attributes, declarations) = attributes(xml, start)?;
        self.declarations += declarations;
        if self.declarations > DECLARATIONS_MAX {
            return Err(Fault::TooMuch("namespaces", DECLARATIONS_MAX));
        }
        name(start.name().as_ref())?;
        let (namespace, local) = xml.resolver().resolve_element(start.name());
        let element = Element {
            namespace: self.namespace(&namespace)?,
            name: name(local.as_ref())?.into(),
            attributes,
            children: Vec::new(),
            text: String::new(),
        };
        self.open.push(Open {
            element,
            declarations,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let closed = self.open.pop();
        let closed = closed.ok_or(Fault::Malformed("an end without a start"))?;
        self.declarations = self.declarations.saturating_sub(closed.declarations);
        match self.open.last_mut() {
            Some(parent) => parent.element.children.push(closed.element),
            None => self.root = Some(closed.element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Fault> {
        if self.open.is_empty() && text.chars().all(is_blank) {
            return Ok(());
        }
        self.cdata(text)
    }

    fn cdata(&mut self, text: &str) -> Result<(), Fault> {
        let open = self.open.last_mut();
        let open = open.ok_or(Fault::Malformed("text outside of the root"))?;
        open.element.text.extend(text.chars().map(held));
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef) -> Result<(), Fault> {
        let name = reference.decode().map_err(|_| Fault::Encoding)?;
        let open = self.open.last_mut();
        let open = open.ok_or(Fault::Malformed("text outside of the root"))?;
        open.element.text.push(referenced(&name)?);
        Ok(())
    }

    fn finish(self) -> Result<Element, Fault> {
        if !self.open.is_empty() {
            return Err(Fault::Malformed("it ends too early"));
        }
        self.root.ok_or(Fault::Malformed("nothing is in it"))
    }

    fn namespace(&mut self, resolved: &ResolveResult) -> Result<Rc<str>, Fault> {
        let written = match resolved {
            ResolveResult::Bound(namespace) => namespace.as_ref(),
            ResolveResult::Unbound => b"",
            ResolveResult::Unknown(_) => return Err(UNBOUND),
        };
        if let Some(known) = self.namespaces.get(written) {
            return Ok(Rc::clone(known));
        }
        if written.len() > NAMESPACE_BYTES_MAX {
            let what = "bytes in the name of a namespace";
            return Err(Fault::TooMuch(what, NAMESPACE_BYTES_MAX));
        }
        let name: Rc<str> = value(written)?.into();
        self.namespaces.insert(written.into(), Rc::clone(&name));
        Ok(name)
    }
}

const UNBOUND: Fault = Fault::Malformed("a prefix that stands for no namespace");

type Attributes = Vec<(Box<str>, Box<str>)>;

/// The attributes without prefix, and how many namespaces are declared.
fn attributes(xml: &NsReader<&[u8]>, start: &BytesStart) -> Result<(Attributes, usize), Fault> {
    let mut kept = Attributes::new();
    let mut declarations = 0;
    for (number, attribute) in start.attributes().enumerate() {
        if number >= ATTRIBUTES_MAX {
            return Err(Fault::TooMuch("attributes in one element", ATTRIBUTES_MAX));
        }
        let attribute = attribute.map_err(|_| Fault::Malformed("an attribute"))?;
        let key = name(attribute.key.as_ref())?;
        if attribute.key.as_namespace_binding().is_some() {
            declarations += 1;
            continue;
        }
        let value = value(&attribute.value)?;
        match xml.resolver().resolve_attribute(attribute.key).0 {
            ResolveResult::Unbound => kept.push((key.into(), value.into())),
            ResolveResult::Bound(_) => {}
            ResolveResult::Unknown(_) => return Err(UNBOUND),
        }
    }
    Ok((kept, declarations))
}

fn name(bytes: &[u8]) -> Result<&str, Fault> {
    let name = str::from_utf8(bytes).map_err(|_| Fault::Encoding)?;
    if is_qualified_name(name) {
        Ok(name)
    } else {
        Err(Fault::Malformed("a name"))
    }
}

/// An attribute's value: references resolved, blanks made spaces, `\r\n` one space
/// (<https://www.w3.org/TR/xml/#AVNormalize>).
fn value(bytes: &[u8]) -> Result<String, Fault> {
    let mut rest = str::from_utf8(bytes).map_err(|_| Fault::Encoding)?;
    let mut value = String::with_capacity(rest.len());
    while let Some(character) = rest.chars().next() {
        let (taken, after) = match character {
            '<' => return Err(Fault::Malformed("a tag within a tag")),
            '&' => {
                let reference = rest.strip_prefix('&').unwrap_or(rest);
                let split = reference.split_once(';');
                let (name, after) = split.ok_or(Fault::Malformed("a reference"))?;
                (referenced(name)?, after)
            }
            '\r' => {
                let after = rest.strip_prefix("\r\n");
                (' ', after.or_else(|| rest.strip_prefix('\r')).unwrap_or(""))
            }
            blank if is_blank(blank) => (' ', rest.strip_prefix(blank).unwrap_or("")),
            other => (held(other), rest.strip_prefix(other).unwrap_or("")),
        };
        value.push(taken);
        rest = after;
    }
    Ok(value)
}

/// The character that a reference stands for (<https://www.w3.org/TR/xml/#sec-references>).
fn referenced(name: &str) -> Result<char, Fault> {
    let number = match name {
        "amp" => return Ok('&'),
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => name.strip_prefix('#'),
    };
    let number = number.ok_or(Fault::Refused("an entity of its own"))?;
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // `from_str_radix` would take a sign.
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(Fault::Malformed("a reference"));
    }
    // What is no character, half of a surrogate pair say, is as little held as `&#x0;`.
    let character = u32::from_str_radix(digits, radix)
        .ok()
        .and_then(char::from_u32);
    Ok(character.map_or(REPLACEMENT, held))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn check(document: &str, expected: &str) {
        let found = match parse(document.as_bytes()) {
            Ok(root) => shown(&root),
            Err(XmlError::Encoding { .. }) => "encoding".to_owned(),
            Err(XmlError::Malformed { what, .. }) => format!("malformed: {what}"),
            Err(XmlError::Refused { what, .. }) => format!("refused: {what}"),
            Err(XmlError::TooMuch { what, .. }) => format!("too much: {what}"),
        };
        assert_eq!(found, expected, "{document:?}");
    }

    /// `{namespace}name[attribute=value](text)<children>`.
    fn shown(element: &Element) -> String {
        let mut attributes = String::new();
        for (name, value) in &element.attributes {
            attributes.extend(["[", name, "=", value, "]"]);
        }
        let children: String = element.children().map(shown).collect();
        let (namespace, name, text) = (element.namespace(), element.name(), element.text());
        format!("{{{namespace}}}{name}{attributes}({text})<{children}>")
    }

    #[test]
    fn what_a_document_holds() {
        check("<a/>", "{}a()<>");
        check(
            "\u{feff}<?xml version='1.0' encoding='UTF-8'?>\r\n<a/>\n",
            "{}a()<>",
        );
        check(
            "<?xml version=\"1.0\"?><!-- - --><?p?><a></a ><!----><?q r?>",
            "{}a()<>",
        );
        check("<a>x<b>y</b>z</a>", "{}a(xz)<{}b(y)<>>");
        check("<a>1\r\n2\r3\n4&#xD;5</a>", "{}a(1\n2\n3\n4\r5)<>");
        check("<a> <![CDATA[<b>&amp;]]>&lt;</a>", "{}a( <b>&amp;<)<>");
        check(
            "<a b='1&#10;2\r\n3\t4&quot;' c=\">\"/>",
            "{}a[b=1\n2 3 4\"][c=>]()<>",
        );
        check(
            "<a>&amp;&lt;&gt;&quot;&apos;&#65;&#x1F600;</a>",
            "{}a(&<>\"'A😀)<>",
        );
    }

    #[test]
    fn names_belong_to_the_namespace_of_their_prefix() {
        check(
            "<t:a xmlns:t='urn:t' xmlns='urn:d'><b t:c='1' d='2'/><e xmlns=''/><t:f xmlns:t='g'/></t:a>",
            "{urn:t}a()<{urn:d}b[d=2]()<>{}e()<>{g}f()<>>",
        );
        let root = parse(b"<t:a xmlns:t='urn:t'><b/><t:b/><t:b c=''/></t:a>").unwrap();
        assert!(root.is("urn:t", "a") && !root.is("urn:u", "a") && !root.is("urn:t", "b"));
        assert_eq!(root.child("urn:t", "b"), root.children().nth(1));
        assert_eq!(root.children_named("urn:t", "b").count(), 2);
        assert_eq!(
            root.children().nth(2).and_then(|b| b.attribute("c")),
            Some("")
        );
        assert_eq!(root.child("urn:t", "c"), None);
        let unbound = "malformed: a prefix that stands for no namespace";
        check("<t:a/>", unbound);
        check("<a t:b=''/>", unbound);
        check("<a><b xmlns:t='t'/><t:c/></a>", unbound);
        check("<a xmlns:t=''><t:b/></a>", unbound);
    }

    #[test]
    fn characters_that_xml_cannot_hold_become_spaces() {
        check("<a>1&#x0;2&#xB;3&#x1f;4&#31;5</a>", "{}a(1 2 3 4 5)<>");
        check("<a>1\u{0}2\u{b}3\u{ffff}4</a>", "{}a(1 2 3 4)<>");
        check(
            "<a b='1&#0;2\u{1}3'><![CDATA[4\u{1}5]]></a>",
            "{}a[b=1 2 3](4 5)<>",
        );
        check(
            "<a>1&#xD83D;2&#x110000;3&#99999999999;4</a>",
            "{}a(1 2 3 4)<>",
        );
    }

    #[test]
    fn what_is_not_xml_is_refused() {
        let early = "malformed: it ends too early";
        let unmatched = "malformed: tags or references that do not match";
        for (document, expected) in [
            ("", "malformed: nothing is in it"),
            ("<!-- -->", "malformed: nothing is in it"),
            ("<a>", early),
            ("<a><b></b>", early),
            ("<a", "malformed: markup that does not end"),
            ("<a><![CDATA[", "malformed: markup that does not end"),
            ("<a></b>", unmatched),
            ("<a><b></a></b>", unmatched),
            ("</a>", unmatched),
            ("<a>&amp</a>", unmatched),
            ("<a>&</a>", unmatched),
            ("<a/><b/>", "malformed: a second root"),
            ("<a/>b", "malformed: text outside of the root"),
            ("<a/>&#32;", "malformed: text outside of the root"),
            ("<a/><![CDATA[ ]]>", "malformed: text outside of the root"),
            ("b<a/>", "malformed: text outside of the root"),
            ("<a b='1' b='2'/>", "malformed: an attribute"),
            ("<a b=1/>", "malformed: an attribute"),
            ("<a b/>", "malformed: an attribute"),
            ("<a b='<'/>", "malformed: a tag within a tag"),
            ("<a b='&'/>", "malformed: a reference"),
            ("<a>&#;</a>", "malformed: a reference"),
            ("<a>&#+1;</a>", "malformed: a reference"),
            ("<a>&#xg;</a>", "malformed: a reference"),
            ("<1/>", "malformed: a name"),
            ("<a:b:c xmlns:a='d'/>", "malformed: a name"),
            (
                "<a><?xml version='1.0'?></a>",
                "malformed: a declaration that is not at the start",
            ),
            ("<?xml version='2.0'?><a/>", "malformed: another version"),
            ("<?xml version='1.0' encoding='utf-16'?><a/>", "encoding"),
        ] {
            check(document, expected);
        }
        assert!(matches!(
            parse(b"<a>\xff</a>"),
            Err(XmlError::Encoding { at_byte: 3 })
        ));
        assert!(matches!(
            parse(b"\xff\xfe<\0a\0"),
            Err(XmlError::Encoding { at_byte: 0 })
        ));
    }

    #[test]
    fn document_types_and_their_entities_are_refused() {
        let laughs = "<!DOCTYPE l [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]><l>&b;</l>";
        check(laughs, "refused: a document type");
        check("<!DOCTYPE html><html/>", "refused: a document type");
        check("<a>&nbsp;</a>", "refused: an entity of its own");
        check("<a b='&b;'/>", "refused: an entity of its own");
    }

    #[test]
    fn a_fault_is_told_with_its_place() {
        let error = parse("\u{feff}<a><b>&c;</b></a>".as_bytes()).unwrap_err();
        let expected = "it brings an entity of its own, which is refused (byte 9)";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn each_limit_is_the_last_that_is_read() {
        let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        check(&nested(DEPTH_MAX + 1), "too much: levels of elements");

        let flat = |elements: usize| format!("<a>{}</a>", "<b/>".repeat(elements - 1));
        assert!(parse(flat(ELEMENTS_MAX).as_bytes()).is_ok());
        check(&flat(ELEMENTS_MAX + 1), "too much: elements");

        let attributes = |count: usize| {
            let attributes: Vec<String> =
                (0..count).map(|number| format!(" b{number}=''")).collect();
            format!("<a{}/>", attributes.concat())
        };
        assert!(parse(attributes(ATTRIBUTES_MAX).as_bytes()).is_ok());
        check(
            &attributes(ATTRIBUTES_MAX + 1),
            "too much: attributes in one element",
        );

        let declared = |levels: usize| {
            let declarations: Vec<String> = (0..64)
                .map(|number| format!(" xmlns:b{number}='c'"))
                .collect();
            format!("<a{}>", declarations.concat()).repeat(levels) + &"</a>".repeat(levels)
        };
        assert!(parse(declared(4).as_bytes()).is_ok());
        let side_by_side = format!("<a>{}</a>", declared(4).repeat(2));
        assert!(parse(side_by_side.as_bytes()).is_ok());
        check(&declared(5), "too much: namespaces");

        let named = |bytes: usize| format!("<a xmlns='{}'/>", "n".repeat(bytes));
        assert!(parse(named(NAMESPACE_BYTES_MAX).as_bytes()).is_ok());
        check(
            &named(NAMESPACE_BYTES_MAX + 1),
            "too much: bytes in the name of a namespace",
        );
    }
}
