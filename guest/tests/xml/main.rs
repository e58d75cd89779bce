//! The XML reader against whatever a server, or somebody in its place, may send.
//!
//! Goal: reading never panics, ends soon whatever is sent, and says of a document what is in it.
//! Method: arbitrary bytes, pieces of XML in any order, and a real answer bent out of shape are
//! read; whatever is accepted keeps the reader's promises and means the same when it is written
//! again. What the writer wrote is read as it was meant.

use contact_sync_guest::xml::{DEPTH_MAX, Element, Writer, XmlError, parse};
use proptest::prelude::*;

/// A page of a folder's changes, as Exchange Server 2019 answers.
const ANSWER: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header><h:ServerVersionInfo
 MajorVersion="15" MinorVersion="2" xmlns:h="http://schemas.microsoft.com/exchange/services/2006/types"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="false"/></s:Header>
<s:Body><m:GetItemResponse xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"
 xmlns="http://schemas.microsoft.com/exchange/services/2006/types"><!-- one item -->
<m:GetItemResponseMessage ResponseClass="Success"><m:Items><Contact><ItemId Id="AAMk1="
 ChangeKey="EQAAABYA1"/><Body BodyType="Text">A&#xD;
B &amp; C&#x0;</Body><Surname>M&#252;ller</Surname><EmailAddresses><Entry Key="EmailAddress1">
<![CDATA[a@b.example]]></Entry></EmailAddresses></Contact></m:Items></m:GetItemResponseMessage>
</m:GetItemResponse></s:Body></s:Envelope>"#;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        keeps_its_promises(&bytes);
    }

    #[test]
    fn pieces_of_xml_are_read_or_refused(pieces in prop::collection::vec(piece(), 0..24)) {
        keeps_its_promises(pieces.concat().as_bytes());
    }

    #[test]
    fn a_real_answer_bent_out_of_shape_is_read_or_refused(
        bends in prop::collection::vec(bend(), 1..4),
    ) {
        let mut bytes = ANSWER.as_bytes().to_vec();
        for (at, cut, inserted) in bends {
            let start = at.index(bytes.len());
            let end = (start + cut).min(bytes.len());
            bytes.splice(start..end, inserted);
        }
        keeps_its_promises(&bytes);
    }

    #[test]
    fn what_is_nested_too_deep_is_refused(depth in DEPTH_MAX + 1..20_000) {
        let nested = "<a>".repeat(depth) + &"</a>".repeat(depth);
        let is_refused = matches!(
            parse(nested.as_bytes()),
            Err(XmlError::TooMuch { limit: DEPTH_MAX, .. })
        );
        prop_assert!(is_refused);
    }

    #[test]
    fn what_is_written_is_read_as_it_was_meant(tree in tree()) {
        let root = parse(tree.written().as_bytes()).expect("what the writer writes is XML");
        prop_assert!(root.is("", "root"));
        prop_assert_eq!(root.children().count(), 1);
        root.children().for_each(|child| tree.assert_is(child));
    }
}

/// Whatever is accepted is within the limits, holds characters that XML can hold and nothing else,
/// and means the same when it is written again.
fn keeps_its_promises(bytes: &[u8]) {
    if let Ok(root) = parse(bytes) {
        assert_bounded(&root, 1);
        let written = copied(&root);
        let again = parse(written.as_bytes()).expect("what the writer writes is XML");
        assert_eq!(copied(&again), written);
    }
}

fn copied(root: &Element) -> String {
    let mut writer = Writer::new();
    copy(root, &mut writer);
    writer.finish()
}

fn assert_bounded(element: &Element, depth: usize) {
    assert!(depth <= DEPTH_MAX);
    assert!(!element.name().is_empty() && !element.name().contains([':', ' ', '<', '&']));
    for text in [element.text(), element.name(), element.namespace()] {
        assert!(text.chars().all(is_held), "{text:?}");
    }
    for child in element.children() {
        assert_bounded(child, depth + 1);
    }
}

fn is_held(character: char) -> bool {
    !character.is_ascii_control() && !matches!(character, '\u{fffe}' | '\u{ffff}')
        || matches!(character, '\t' | '\r' | '\n' | '\u{7f}')
}

fn copy(element: &Element, writer: &mut Writer) {
    // Nobody can ask which attributes there are: these are those of the pieces and of the answer.
    let mut attributes = vec![("xmlns", element.namespace())];
    for name in [
        "a",
        "b",
        "Id",
        "ChangeKey",
        "Key",
        "BodyType",
        "ResponseClass",
    ] {
        attributes.extend(element.attribute(name).map(|value| (name, value)));
    }
    for name in ["MajorVersion", "MinorVersion"] {
        attributes.extend(element.attribute(name).map(|value| (name, value)));
    }
    writer.element(element.name(), &attributes, |writer| {
        writer.text(element.text());
        for child in element.children() {
            copy(child, writer);
        }
    });
}

fn piece() -> impl Strategy<Value = String> {
    let fixed = [
        "<a>",
        "</a>",
        "<b>",
        "</b>",
        "<a/>",
        "<t:a>",
        "</t:a>",
        "<t:a xmlns:t='u'>",
        "<a xmlns='v'>",
        "<a a='1'>",
        "<a a=\"&lt;\" b=''>",
        "<a a='1' a='2'>",
        "<a a=>",
        "<a a",
        "<",
        ">",
        "&",
        ";",
        "&amp;",
        "&#65;",
        "&#x0;",
        "&#xD;",
        "&x;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<!-->",
        "--",
        "<?",
        "?>",
        "<?xml version='1.0'?>",
        "<!DOCTYPE a>",
        "<!DOCTYPE",
        "[",
        "]",
        "<!",
        "'",
        "\"",
        "=",
        " ",
        "\r",
        "\n",
        "\t",
        "\u{feff}",
        "\0",
        "\u{1f}",
        "\u{ffff}",
        "ü",
        "x",
        "/",
        ":",
    ];
    prop_oneof![
        8 => prop::sample::select(fixed.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

/// Where, how many bytes are cut out there, and what is put in their place.
fn bend() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    let inserted = prop_oneof![
        2 => Just(Vec::new()),
        2 => piece().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    (any::<prop::sample::Index>(), 0_usize..6, inserted)
}

/// What is written, and then looked for.
#[derive(Clone, Debug)]
struct Tree {
    name: &'static str,
    value: Option<String>,
    text: String,
    children: Vec<Tree>,
}

fn tree() -> impl Strategy<Value = Tree> {
    let text = || prop_oneof![any::<String>(), "[\\PC\\s<>&'\"\\]\0\u{b}\u{ffff}]{0,8}"];
    let leaf = (
        prop::sample::select(vec!["a", "t:a", "u:Entry", "Straße"]),
        prop::option::of(text()),
        text(),
    );
    let leaf = leaf.prop_map(|(name, value, text)| Tree {
        name,
        value,
        text,
        children: Vec::new(),
    });
    let branch = leaf.clone();
    leaf.prop_recursive(5, 40, 4, move |inner| {
        (branch.clone(), prop::collection::vec(inner, 0..4))
            .prop_map(|(tree, children)| Tree { children, ..tree })
    })
}

impl Tree {
    fn written(&self) -> String {
        let mut writer = Writer::new();
        let declarations = [("xmlns:t", "urn:t"), ("xmlns:u", "urn:u")];
        writer.element("root", &declarations, |writer| self.write(writer));
        writer.finish()
    }

    fn write(&self, writer: &mut Writer) {
        let attribute = self.value.as_ref().map(|value| ("Key", value.as_str()));
        let attributes = attribute.as_slice();
        if self.children.is_empty() && self.text.is_empty() {
            writer.empty(self.name, attributes);
        } else if self.children.is_empty() {
            writer.text_element(self.name, attributes, &self.text);
        } else {
            writer.element(self.name, attributes, |writer| {
                self.children.iter().for_each(|child| child.write(writer));
                writer.text(&self.text);
            });
        }
    }

    fn assert_is(&self, element: &Element) {
        let (namespace, name) = match self.name.split_once(':') {
            Some(("t", name)) => ("urn:t", name),
            Some((_, name)) => ("urn:u", name),
            None => ("", self.name),
        };
        assert!(element.is(namespace, name), "{element:?} is {}", self.name);
        assert_eq!(element.text(), held(&self.text));
        let value = self.value.as_deref().map(held);
        assert_eq!(element.attribute("Key").map(str::to_owned), value);
        let children: Vec<&Element> = element.children().collect();
        assert_eq!(children.len(), self.children.len());
        for (child, found) in self.children.iter().zip(children) {
            child.assert_is(found);
        }
    }
}

fn held(text: &str) -> String {
    text.replace(|character| !is_held(character), " ")
}

#[test]
fn a_truncated_answer_is_never_taken_for_a_whole_one() {
    assert!(parse(ANSWER.as_bytes()).is_ok());
    for length in 0..ANSWER.len() {
        assert!(
            parse(&ANSWER.as_bytes()[..length]).is_err(),
            "{length} bytes"
        );
    }
}

#[test]
fn an_answer_with_something_behind_it_is_refused() {
    for rest in [
        "<a/>",
        "x",
        "</s:Envelope>",
        "&amp;",
        "<![CDATA[]]>",
        "\0",
        "<",
        "<!DOCTYPE a>",
    ] {
        assert!(
            parse(format!("{ANSWER}{rest}").as_bytes()).is_err(),
            "{rest}"
        );
    }
}

/// A billion laughs, and what takes the same in without entities: each of these is four megabytes,
/// and a reader that looks twice at what it has read would not come to an end.
#[test]
fn hostile_documents_cost_no_more_than_their_bytes() {
    let laughs: Vec<String> = (1..40)
        .map(|level| {
            format!(
                "<!ENTITY l{level} \"{}\">",
                format!("&l{};", level - 1).repeat(9)
            )
        })
        .collect();
    let laughs = format!(
        "<!DOCTYPE l [<!ENTITY l0 \"ha\">{}]><l>&l39;</l>",
        laughs.concat()
    );
    assert!(matches!(
        parse(laughs.as_bytes()),
        Err(XmlError::Refused { .. })
    ));

    let wrap = |content: &str| format!("<a xmlns='{}'>{content}</a>", "n".repeat(1_000));
    let fill = |piece: &str| piece.repeat((4 << 20) / piece.len());
    for (piece, is_read) in [
        ("<a>", false),
        ("<a", false),
        ("<", false),
        ("<a b='", false),
        ("<!--", false),
        ("<![CDATA[", false),
        ("<!DOCTYPE [<", false),
        ("&", false),
        ("&#", false),
        (";", true),
        ("&#x0;", true),
        ("<![CDATA[]]>", true),
        ("<!-- - -->", true),
        ("<?p?>", true),
        ("\r", true),
        ("<a xmlns='v'/>", false),
        ("<aaaaaaaaaaaaaaaaaa/>", true),
    ] {
        assert_eq!(
            parse(wrap(&fill(piece)).as_bytes()).is_ok(),
            is_read,
            "{piece}"
        );
        assert!(parse(fill(piece).as_bytes()).is_err(), "{piece} alone");
    }
    for attributes in [" b='c'", " b", " xmlns:b='c'", " b=\"&#x0;"] {
        assert!(
            parse(format!("<a{}/>", fill(attributes)).as_bytes()).is_err(),
            "{attributes}"
        );
    }
    let value = format!("<a b='{}'/>", fill("&amp;\r\n"));
    assert!(parse(value.as_bytes()).is_ok());
}
