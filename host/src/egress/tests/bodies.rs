//! What a hostile guest may not say to Exchange in a body.
//!
//! Method: bodies in, denials out; and good bodies, damaged in every way that XML readers disagree
//! about, where whatever is let out is read again by rules written down a second time, here, and
//! without a line of the host's own.

use super::exchange::{
    ADDRESS, CREATE, DELETE, FIND, FOLDER, FOLDERS, READ, SYNC, UPDATE, acting_for, envelope,
    judged,
};
use proptest::collection::vec;
use proptest::prelude::*;
use quick_xml::events::Event as XmlEvent;
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use super::*;

/// A header that Exchange passes over makes a request act for whoever signs in: for the service
/// account, and with its rights.
#[test]
fn an_impersonation_that_exchange_passes_over_is_none() {
    let own = acting_for(ADDRESS);
    let with = |attribute: &str| {
        own.replace(
            "<t:ExchangeImpersonation>",
            &format!("<t:ExchangeImpersonation {attribute}>"),
        )
    };
    let fine = envelope(&own, SYNC);
    assert_eq!(judged(true, Writing::Forbidden, &fine), "fine");
    let start = fine.find("<s:Header>").unwrap();
    let end = fine.find("</s:Header>").unwrap() + "</s:Header>".len();
    let header = fine[start..end].to_owned();
    let without = fine.replace(&header, "");
    let after = without.replace("</s:Body>", &format!("</s:Body>{header}"));
    let empty_first = fine.replace("<s:Header>", "<s:Header></s:Header><s:Header>");
    let twice = fine.replace("</s:Header>", &format!("</s:Header>{header}"));
    let two_bodies = fine.replace("<s:Body>", "<s:Body></s:Body><s:Body>");
    let elsewhere = own.replace("t:ExchangeImpersonation", "m:ExchangeImpersonation");
    let inside = own.replace("t:ConnectingSID", "m:ConnectingSID");
    for (body, expected) in [
        (envelope(&elsewhere, SYNC), "another namespace"),
        (envelope(&inside, SYNC), "another namespace"),
        (envelope(&with("s:actor=\"urn:x\""), SYNC), "`s:actor`"),
        (
            envelope(&with("s:mustUnderstand=\"0\""), SYNC),
            "`s:mustUnderstand`",
        ),
        (envelope(&with("s:role=\"urn:x\""), SYNC), "`s:role`"),
        (envelope(&with("s:relay=\"1\""), SYNC), "`s:relay`"),
        (envelope(&with("actor=\"urn:x\""), SYNC), "`actor`"),
        (without, "no `Header`"),
        (after, "no `Header`"),
        (empty_first, "no `RequestServerVersion`"),
        (twice, "comes twice in `Envelope`"),
        (two_bodies, "no operation"),
        (envelope("", SYNC), "it impersonates where"),
        (
            envelope("<t:ExchangeImpersonation/>", SYNC),
            "no `ConnectingSID`",
        ),
        (
            envelope(&own.replace("PrimarySmtpAddress", "SmtpAddress"), SYNC),
            "another mailbox",
        ),
        (
            envelope(&own.replace("<t:C", "x<t:C"), SYNC),
            "there is text in `ExchangeImpersonation`",
        ),
        (
            envelope(&format!("{own}<t:TimeZoneContext/>"), SYNC),
            "`TimeZoneContext` is not among",
        ),
    ] {
        let found = judged(true, Writing::Allowed, &body);
        assert!(found.contains(expected), "{found}: {body}");
    }
}

/// A folder by its name is one of the configured mailbox, not of whoever signs in.
#[test]
fn folders_are_the_mailboxs_own() {
    let mailbox = SYNC.find("<t:Mailbox>").unwrap();
    let end = SYNC.find("</t:Mailbox>").unwrap() + "</t:Mailbox>".len();
    let mailbox = &SYNC[mailbox..end];
    for (body, expected) in [
        (SYNC.replace(mailbox, ""), "no `Mailbox`"),
        (SYNC.replace(mailbox, "<t:Mailbox/>"), "no `EmailAddress`"),
        (
            SYNC.replace(mailbox, &mailbox.repeat(2)),
            "comes twice in `DistinguishedFolderId`",
        ),
        (
            SYNC.replace(mailbox, &mailbox.replace("t:Mailbox", "m:Mailbox")),
            "another namespace",
        ),
        (
            SYNC.replace(ADDRESS, "max@muster.example"),
            "another mailbox",
        ),
        (
            SYNC.replace(ADDRESS, "&#xA0;erika@muster.example"),
            "another mailbox",
        ),
        (
            SYNC.replace("\"contacts\"", "\"inbox\""),
            "is not `contacts`",
        ),
        (
            SYNC.replace("\"contacts\"", "\"recoverableitemsdeletions\""),
            "is not `contacts`",
        ),
        (
            FOLDER.replace("<t:FolderId Id=\"F\"/>", "<t:AddressListId Id=\"F\"/>"),
            "`AddressListId` is not among",
        ),
    ] {
        let found = judged(false, Writing::Allowed, &envelope("", &body));
        assert!(found.contains(expected), "{found}: {body}");
    }
}

/// What is read or written of an item is a contact's, and never its notes.
#[test]
fn only_what_takes_part_in_a_contact_is_read_or_written() {
    let shape = |more: &str| READ.replace("</m:ItemShape>", &format!("{more}</m:ItemShape>"));
    let asks = |uri: &str| READ.replace("item:ItemClass", uri);
    let sets = |uri: &str| UPDATE.replace("contacts:JobTitle", uri);
    let holds = |more: &str| CREATE.replace("<t:Surname>", &format!("{more}<t:Surname>"));
    let tag = |tag: &str| READ.replace("0x3A45", tag);
    let no_property = "does not name one of the properties";
    for (body, expected) in [
        (READ.replace("IdOnly", "AllProperties"), "`BaseShape`"),
        (READ.replace("IdOnly", "Default"), "`BaseShape`"),
        (
            shape("<t:IncludeMimeContent>true</t:IncludeMimeContent>"),
            "`IncludeMimeContent` is not among",
        ),
        (
            shape("<t:BodyType>Text</t:BodyType>"),
            "`BodyType` is not among",
        ),
        (asks("item:Body"), no_property),
        (asks("item:Subject"), no_property),
        (asks("item:Attachments"), no_property),
        (asks("item:MimeContent"), no_property),
        (asks("message:Sender"), no_property),
        (asks("calendar:Location"), no_property),
        (asks("contacts:Notes"), no_property),
        (asks("contacts:Photo"), no_property),
        (asks("CONTACTS:FileAs"), no_property),
        (tag("0x1000"), no_property),
        (tag("14917"), no_property),
        (
            READ.replace("\"0x300B\" PropertyType=\"Binary\"", "\"0x300B\""),
            no_property,
        ),
        (FIND.replace("ContactSyncKey", "Other"), no_property),
        (
            FIND.replace("t:IsEqualTo", "t:Contains"),
            "`Contains` is not among",
        ),
        (
            FIND.replace("\"Shallow\"", "\"SoftDeleted\""),
            "is not `Shallow`",
        ),
        (
            FOLDERS.replace("folder:FolderClass", "folder:PermissionSet"),
            no_property,
        ),
        (sets("item:Body"), no_property),
        (sets("item:ItemClass"), no_property),
        (sets("contacts:Notes"), no_property),
        (
            UPDATE.replace("t:JobTitle", "t:Body"),
            "`Body` is not among",
        ),
        (holds("<t:Body>x</t:Body>"), "`Body` is not among"),
        (holds("<t:Notes>x</t:Notes>"), "`Notes` is not among"),
        (holds("<t:Attachments/>"), "`Attachments` is not among"),
        (
            holds("<t:MimeContent>x</t:MimeContent>"),
            "`MimeContent` is not among",
        ),
        (holds("<m:Nickname>x</m:Nickname>"), "another namespace"),
        (
            CREATE.replace("\"ContactSyncKey\"", "\"Other\""),
            no_property,
        ),
    ] {
        let found = judged(false, Writing::Allowed, &envelope("", &body));
        assert!(found.contains(expected), "{found}: {body}");
    }
    let renamed = UPDATE
        .replace("contacts:JobTitle", "item:Subject")
        .replace("t:JobTitle", "t:Subject");
    let body = envelope("", &renamed);
    assert_eq!(judged(false, Writing::Allowed, &body), "fine");
}

/// Bodies that are let out.
fn good() -> Vec<(bool, String)> {
    let operations = [SYNC, READ, FIND, FOLDERS, FOLDER, CREATE, UPDATE, DELETE];
    let both = |operation: &&str| {
        [
            (true, envelope(&acting_for(ADDRESS), operation)),
            (false, envelope("", operation)),
        ]
    };
    operations.iter().flat_map(both).collect()
}

/// The same body in other words is the same body, whichever prefixes it uses.
#[test]
fn spelling_is_no_meaning() {
    for (impersonates, body) in good() {
        let default = body
            .replace("<t:", "<")
            .replace("</t:", "</")
            .replace("<s:Envelope", &format!("<s:Envelope xmlns=\"{TYPES}\""));
        let references = body
            .replace("Shallow", "&#83;hallow")
            .replace("Id=\"F\"", "Id='F'");
        for body in [body, default, references] {
            let found = judged(impersonates, Writing::Allowed, &body);
            assert_eq!(found, "fine", "{body}");
        }
    }
}

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const MESSAGES: &str = "http://schemas.microsoft.com/exchange/services/2006/messages";
const TYPES: &str = "http://schemas.microsoft.com/exchange/services/2006/types";

/// What is put in between two tags.
const HOSTILE: [&str; 14] = [
    "<!-- -->",
    "<?x y?>",
    "x",
    "<s:Header/>",
    "<s:Header><t:RequestServerVersion Version=\"Exchange2013\"/></s:Header>",
    "<m:EmptyFolder DeleteType=\"HardDelete\"/>",
    "<t:BaseShape>AllProperties</t:BaseShape>",
    "<t:FieldURI FieldURI=\"item:Body\"/>",
    "<t:FieldURI FieldURI=\"item:Subject\"/>",
    "<t:DistinguishedFolderId Id=\"contacts\"/>",
    "<t:Mailbox><t:EmailAddress>max@muster.example</t:EmailAddress></t:Mailbox>",
    "<t:EmailAddress>max@muster.example</t:EmailAddress>",
    "<t:Body BodyType=\"Text\">x</t:Body>",
    "<t:ExchangeImpersonation><t:ConnectingSID><t:PrimarySmtpAddress>max@muster.example\
     </t:PrimarySmtpAddress></t:ConnectingSID></t:ExchangeImpersonation>",
];

/// What is put into a start tag.
const ATTRIBUTES: [&str; 9] = [
    " s:actor=\"urn:x\"",
    " s:mustUnderstand=\"0\"",
    " xsi:type=\"t:MessageType\"",
    " Id=\"inbox\"",
    " FieldURI='item:Body'",
    " DeleteType=\"HardDelete\"",
    " xmlns:t=\"http://schemas.microsoft.com/exchange/services/2006/messages\"",
    " xmlns=\"http://schemas.microsoft.com/exchange/services/2006/types\"",
    " xmlns:m=\"urn:x\"",
];

/// What is put in another's place.
const REPLACED: [(&str, &str); 20] = [
    ("utf-8", "utf-16"),
    (
        "encoding=\"utf-8\"",
        "encoding=\"utf-8\" encoding=\"utf-7\"",
    ),
    ("version=\"1.0\"", "version=\"1.1\""),
    ("?><s:", "?><!DOCTYPE x [<!ENTITY e \"y\">]><s:"),
    ("IdOnly", "AllProperties"),
    ("IdOnly", "<![CDATA[AllProperties]]>"),
    ("IdOnly", "Id<!-- -->Only"),
    ("\"contacts\"", "\"inbox\""),
    ("\"contacts\"", "\"&#105;nbox\""),
    (ADDRESS, "max@muster.example"),
    (ADDRESS, "<![CDATA[max@muster.example]]>"),
    ("MoveToDeletedItems", "HardDelete"),
    ("SaveOnly", "SendOnly"),
    ("contacts:", "item:"),
    ("item:ItemClass", "item:Body"),
    ("0x3A45", "0x1000"),
    ("ContactSyncKey", "Other"),
    ("<t:", "<m:"),
    ("<m:", "<t:"),
    ("t:Contact", "t:Message"),
];

/// One thing done to a body at a place: `kind` chooses what, `at` where and with which piece.
fn damaged(body: &str, kind: u8, at: usize, piece: usize) -> String {
    let pick = |places: Vec<usize>| places.get(at % places.len().max(1)).copied();
    let all = |what: &str| {
        body.match_indices(what)
            .map(|(at, _)| at)
            .collect::<Vec<_>>()
    };
    let put = |at: usize, text: &str| format!("{}{text}{}", &body[..at], &body[at..]);
    let changed = match kind {
        0 => pick(all("<")).map(|at| put(at, HOSTILE[piece % HOSTILE.len()])),
        1 => {
            let ends = body.match_indices(['>', '/']).map(|(at, _)| at);
            let tags = ends.filter(|at| body[..*at].ends_with(['"', '\'']) || at % 2 == 0);
            pick(tags.collect()).map(|at| put(at, ATTRIBUTES[piece % ATTRIBUTES.len()]))
        }
        2 => {
            let (old, new) = REPLACED[piece % REPLACED.len()];
            let one = |at| format!("{}{new}{}", &body[..at], &body[at + old.len()..]);
            pick(all(old)).map(one)
        }
        3 => {
            // The same on every tag of one name.
            let names: Vec<_> = body
                .split('<')
                .filter(|tag| tag.starts_with("t:"))
                .collect();
            // An earlier damage may have left none.
            let Some(tag) = names.get(at % names.len().max(1)) else {
                return body.to_owned();
            };
            let name = tag.split(['>', '/', ' ', '\n']).next();
            let (old, plain) = (name.unwrap(), &name.unwrap()[2..]);
            let (open, close) = [
                (format!("<m:{plain}"), format!("</m:{plain}")),
                (format!("<s:{plain}"), format!("</s:{plain}")),
                (format!("<{plain} xmlns=\"{TYPES}\""), format!("</{plain}")),
                (
                    format!("<{plain} xmlns=\"{MESSAGES}\""),
                    format!("</{plain}"),
                ),
            ][piece % 4]
                .clone();
            let renamed = body.replace(&format!("</{old}"), &close);
            Some(renamed.replace(&format!("<{old}"), &open))
        }
        4 | 5 => {
            let letters = body.match_indices(|letter: char| letter.is_ascii_alphabetic());
            let at = pick(letters.map(|(at, _)| at).collect());
            at.map(|at| {
                let letter = body.as_bytes()[at];
                let new = if kind == 4 {
                    format!("&#{letter};")
                } else {
                    char::from(letter ^ 0x20).to_string()
                };
                format!("{}{new}{}", &body[..at], &body[at + 1..])
            })
        }
        _ => {
            // A piece between two tags is left out, or is there twice.
            let tags = all("<");
            let first = at % tags.len();
            let last = (first + 1 + piece % 8).min(tags.len() - 1);
            let (first, last) = (tags[first], tags[last]);
            let again = if kind == 6 { "" } else { &body[first..last] };
            Some(format!("{}{again}{again}{}", &body[..first], &body[last..]))
        }
    };
    changed.unwrap_or_else(|| body.to_owned())
}

/// An element as any reader of XML sees it.
#[derive(Debug, Default)]
struct Node {
    namespace: String,
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Node>,
}

impl Node {
    fn attribute(&self, name: &str) -> Option<&str> {
        let mut found = self.attributes.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| &**value)
    }

    fn named(&self, name: &str) -> Vec<&Node> {
        self.children
            .iter()
            .filter(|child| child.name == name)
            .collect()
    }

    fn all<'a>(&'a self, found: &mut Vec<&'a Node>) {
        found.push(self);
        for child in &self.children {
            child.all(found);
        }
    }
}

/// A document, comments and sections read as the standard says.
fn tree(body: &str) -> Node {
    let mut reader = NsReader::from_str(body);
    reader.config_mut().expand_empty_elements = true;
    let mut open = vec![Node::default()];
    loop {
        let (namespace, event) = reader.read_resolved_event().unwrap();
        let innermost = open.last_mut().unwrap();
        match event {
            XmlEvent::Start(start) => {
                let ResolveResult::Bound(namespace) = namespace else {
                    panic!("no namespace")
                };
                let attributes = start.attributes().map(Result::unwrap).map(|found| {
                    let name = String::from_utf8(found.key.as_ref().to_vec()).unwrap();
                    let value = str::from_utf8(&found.value).unwrap();
                    (
                        name,
                        quick_xml::escape::unescape(value).unwrap().into_owned(),
                    )
                });
                let attributes = attributes.filter(|(name, _)| !name.starts_with("xmlns"));
                open.push(Node {
                    namespace: String::from_utf8(namespace.as_ref().to_vec()).unwrap(),
                    name: String::from_utf8(start.local_name().as_ref().to_vec()).unwrap(),
                    attributes: attributes.collect(),
                    ..Node::default()
                });
            }
            XmlEvent::End(_) => {
                let ended = open.pop().unwrap();
                open.last_mut().unwrap().children.push(ended);
            }
            XmlEvent::Text(text) => innermost.text.push_str(&text.decode().unwrap()),
            XmlEvent::CData(text) => innermost.text.push_str(&text.decode().unwrap()),
            XmlEvent::GeneralRef(reference) => {
                let found = match reference.resolve_char_ref().unwrap() {
                    Some(character) => character.to_string(),
                    None => {
                        quick_xml::escape::resolve_predefined_entity(&reference.decode().unwrap())
                            .unwrap()
                            .to_owned()
                    }
                };
                innermost.text.push_str(&found);
            }
            XmlEvent::Eof => {
                assert_eq!(open.len(), 1, "it ends too early");
                return open.pop().unwrap();
            }
            _ => {}
        }
    }
}

/// The rules, a second time.
fn assert_harmless(body: &str, impersonates: bool, writing: Writing) {
    let document = tree(body);
    assert_eq!(document.children.len(), 1);
    let envelope = &document.children[0];
    let parts: Vec<_> = envelope.children.iter().map(|part| &*part.name).collect();
    assert_eq!(
        (&*envelope.name, &parts[..]),
        ("Envelope", &["Header", "Body"][..])
    );
    let (header, content) = (&envelope.children[0], &envelope.children[1]);
    for element in [envelope, header, content] {
        assert_eq!(element.namespace, SOAP);
        assert!(element.attributes.is_empty());
    }
    let acting = header.named("ExchangeImpersonation");
    assert_eq!(acting.len(), usize::from(impersonates));
    for acting in acting {
        let whom = &acting.children[0].children[0];
        assert_eq!(
            (acting.children.len(), acting.children[0].children.len()),
            (1, 1)
        );
        assert_eq!(
            (&*whom.name, &*whom.namespace),
            ("PrimarySmtpAddress", TYPES)
        );
        assert!(whom.text.eq_ignore_ascii_case(ADDRESS));
        assert_eq!((&*acting.namespace, acting.attributes.len()), (TYPES, 0));
    }
    assert_eq!(content.children.len(), 1);
    let operation = &content.children[0];
    assert_eq!(operation.namespace, MESSAGES);
    let reads = [
        "SyncFolderItems",
        "GetItem",
        "FindItem",
        "GetFolder",
        "FindFolder",
    ];
    let writes = ["CreateItem", "UpdateItem", "DeleteItem"];
    let is_writing = writes.contains(&&*operation.name);
    assert!(is_writing || reads.contains(&&*operation.name));
    assert!(!is_writing || writing == Writing::Allowed);
    if operation.name == "DeleteItem" {
        assert_eq!(
            operation.attribute("DeleteType"),
            Some("MoveToDeletedItems")
        );
    }
    let mut elements = Vec::new();
    operation.all(&mut elements);
    for element in elements {
        assert_harmless_inside(element, is_writing);
    }
}

fn assert_harmless_inside(element: &Node, is_writing: bool) {
    assert!([MESSAGES, TYPES].contains(&&*element.namespace));
    assert!(
        element
            .attributes
            .iter()
            .all(|(name, _)| !name.contains(':'))
    );
    let fields = [
        "item:ItemClass",
        "item:ParentFolderId",
        "item:LastModifiedTime",
        "folder:FolderClass",
        "folder:ParentFolderId",
    ];
    let strange = [
        "Body",
        "BodyType",
        "IncludeMimeContent",
        "MimeContent",
        "Notes",
        "Photo",
        "Attachments",
        "Message",
    ];
    assert!(!strange.contains(&&*element.name), "{element:?}");
    let of_types = match &*element.name {
        "BaseShape" => element.text == "IdOnly",
        "FieldURI" | "IndexedFieldURI" => {
            let uri = element.attribute("FieldURI").unwrap();
            let is_contacts = uri.starts_with("contacts:") && !strange.contains(&&uri[9..]);
            is_contacts || fields.contains(&uri) || (is_writing && uri == "item:Subject")
        }
        "ExtendedFieldURI" => {
            let tag = element.attribute("PropertyTag");
            let name = element.attribute("PropertyName");
            let set = element.attribute("DistinguishedPropertySetId");
            tag.is_none_or(|tag| ["0x3A45", "0x300B"].contains(&tag))
                && name.is_none_or(|name| name == "ContactSyncKey")
                && set.is_none_or(|set| set == "Address")
        }
        "DistinguishedFolderId" => {
            let mailboxes = element.named("Mailbox");
            let addresses = mailboxes[0].named("EmailAddress");
            let own = addresses[0].text.eq_ignore_ascii_case(ADDRESS);
            let id = element.attribute("Id").unwrap();
            let known = ["contacts", "msgfolderroot", "deleteditems"].contains(&id);
            known && own && mailboxes.len() == 1 && addresses.len() == 1
        }
        "Mailbox" | "EmailAddress" | "Contact" | "ItemId" | "FolderId" | "Subject" => true,
        _ => return,
    };
    assert!(of_types && element.namespace == TYPES, "{element:?}");
}

fn many() -> ProptestConfig {
    ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(many())]

    /// However a body is damaged, what is let out means nothing that it may not mean.
    #[test]
    fn whatever_is_let_out_is_harmless(
        which in any::<usize>(),
        reads in any::<bool>(),
        steps in vec((0_u8..8, any::<u16>(), any::<u8>()), 1..4),
    ) {
        let good = good();
        let (impersonates, mut body) = good[which % good.len()].clone();
        for (kind, at, piece) in steps {
            body = damaged(&body, kind, at.into(), piece.into());
        }
        let writing = if reads { Writing::Forbidden } else { Writing::Allowed };
        for impersonates in [impersonates, !impersonates] {
            if judged(impersonates, writing, &body) == "fine" {
                assert_harmless(&body, impersonates, writing);
            }
        }
    }
}
