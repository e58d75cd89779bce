//! An item as it is answered: what was asked for, and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::graph::contact::Contact;
use super::super::graph::mailbox::Mailbox;
use super::super::wire::utc;
use super::fields::{
    ADDRESS_PARTS, ADDRESSES, DICTIONARIES, LISTS, PHONES, Path, READ_ONLY, SINGLES, Slot, address,
    numbered, phone, text,
};
use super::quirks::{BirthdayForm, EwsQuirks, SearchKey};
use super::refusal::Refusal;
use super::schema::place_in_contact;
use super::xml::Node;

/// What a request wants to see.
pub(super) struct Shape {
    /// Everything, but for what must be asked for by name.
    all: bool,
    paths: Vec<Path>,
    /// Whether this operation answers bodies.
    body: bool,
    /// Characters after which texts are cut.
    cut: Option<usize>,
}

/// A search answers no more of a text (exchangelib, `test_text_field_settings`).
const FOUND_TEXT_MAX: usize = 255;

impl Shape {
    /// Reads an `ItemShape`. Only reads (`body`) answer bodies.
    pub(super) fn read(shape: &Node, body: bool, quirks: &EwsQuirks) -> Result<Self, Refusal> {
        let named = shape.child("AdditionalProperties");
        let named = named
            .map(|named| named.children.as_slice())
            .unwrap_or_default();
        let paths: Result<Vec<Path>, Refusal> = named.iter().map(Path::read).collect();
        let paths = paths?;
        let asks_key = paths
            .iter()
            .any(|path| path.slot() == Some(Slot::SearchKey));
        if asks_key && quirks.search_key == SearchKey::Refused {
            let why = "The property is not valid for this request.";
            return Err(Refusal::new("ErrorInvalidPropertyRequest", why));
        }
        Ok(Self {
            all: shape.child_text("BaseShape") != Some("IdOnly"),
            paths,
            body,
            cut: None,
        })
    }

    /// Long texts are cut, as searches do.
    pub(super) fn cut(mut self) -> Self {
        self.cut = Some(FOUND_TEXT_MAX);
        self
    }

    fn wants(&self, uri: &str) -> bool {
        self.all || self.names(uri)
    }

    fn names(&self, uri: &str) -> bool {
        let mut paths = self.paths.iter();
        paths.any(|path| matches!(path, Path::Field(found) if found == uri))
    }

    fn indexes(&self, uri: &str, index: &str) -> bool {
        let mut paths = self.paths.iter();
        paths.any(|path| matches!(path, Path::Indexed(found, key) if found == uri && key == index))
    }

    fn shorten(&self, text: String) -> String {
        match self.cut {
            Some(max) => text.chars().take(max).collect(),
            None => text,
        }
    }
}

/// Id and change key.
pub(super) fn item_id(mailbox: &Mailbox, contact: &Contact) -> Node {
    Node::t("ItemId")
        .with("Id", mailbox.contact_id(contact, false))
        .with("ChangeKey", mailbox.change_key(contact))
}

/// The element of an item without anything in it.
pub(super) fn element(contact: &Contact) -> Node {
    Node::t(if contact.group {
        "DistributionList"
    } else {
        "Contact"
    })
}

/// An item as it is answered.
pub(super) fn show(
    quirks: &EwsQuirks,
    mailbox: &Mailbox,
    contact: &Contact,
    shape: &Shape,
) -> Node {
    let view = View {
        quirks,
        mailbox,
        contact,
        shape,
    };
    let mut shown = vec![item_id(mailbox, contact)];
    if shape.wants("item:ItemClass") {
        let class = if contact.group {
            "IPM.DistList"
        } else {
            "IPM.Contact"
        };
        shown.push(Node::t("ItemClass").with_text(class));
    }
    view.server(&mut shown);
    view.singles(&mut shown);
    if !contact.group {
        view.lists(&mut shown);
        view.dictionaries(&mut shown);
    }
    view.extended(&mut shown);
    shown.sort_by_cached_key(|node| place_in_contact(&node.name));
    element(contact).holding_all(shown)
}

struct View<'a> {
    quirks: &'a EwsQuirks,
    mailbox: &'a Mailbox,
    contact: &'a Contact,
    shape: &'a Shape,
}

impl View<'_> {
    fn server(&self, shown: &mut Vec<Node>) {
        let contact = self.contact;
        for (uri, element) in READ_ONLY {
            if !self.shape.wants(uri) {
                continue;
            }
            let node = Node::t(element);
            match element {
                "ParentFolderId" => {
                    let id = self.mailbox.folder_id(contact.folder);
                    shown.push(node.with("Id", id).with("ChangeKey", "AQAAAA=="));
                }
                "DateTimeReceived" | "DateTimeCreated" => {
                    shown.push(node.with_text(utc(contact.created)));
                }
                "LastModifiedTime" => shown.push(node.with_text(utc(contact.modified))),
                "HasAttachments" => shown.push(node.with_text("false")),
                "HasPicture" if !contact.group => shown.push(node.with_text("false")),
                "CompleteName" if !contact.group => shown.extend(self.complete_name()),
                _ => {}
            }
        }
    }

    /// The name as the server puts it together.
    fn complete_name(&self) -> Option<Node> {
        let parts = [
            ("Title", "title"),
            ("FirstName", "givenName"),
            ("MiddleName", "middleName"),
            ("LastName", "surname"),
            ("Suffix", "generation"),
            ("FullName", "displayName"),
        ];
        let parts = parts.iter().filter_map(|(element, property)| {
            let text = text(self.contact, &Slot::Text(property))?;
            Some(Node::t(element).with_text(text))
        });
        let name = Node::t("CompleteName").holding_all(parts);
        (!name.children.is_empty()).then_some(name)
    }

    fn singles(&self, shown: &mut Vec<Node>) {
        for (uri, element, property) in SINGLES {
            let of_lists = matches!(property, "subject" | "displayName" | "fileAs");
            if !self.shape.wants(uri) || (self.contact.group && !of_lists) {
                continue;
            }
            let mut found = text(self.contact, &Slot::Text(property));
            match property {
                // Outlook keeps both the same; whoever wrote the contact may have left one out.
                "subject" if found.is_none() => {
                    found = text(self.contact, &Slot::Text("displayName"));
                }
                "birthday" => found = found.map(|instant| self.birthday(instant)),
                _ => {}
            }
            let Some(found) = found else {
                continue;
            };
            if property != "personalNotes" {
                shown.push(Node::t(element).with_text(self.shape.shorten(found)));
            } else if self.shape.body {
                shown.push(Node::t(element).with("BodyType", "Text").with_text(found));
            }
        }
    }

    fn birthday(&self, stored: String) -> String {
        let instant: Option<jiff::Timestamp> = stored.parse().ok();
        match (self.quirks.birthday, instant) {
            (BirthdayForm::LocalMidnight, Some(instant)) => {
                // Noon is the same day everywhere; midnight in Germany is the evening before.
                let noon = instant.as_second() + 12 * 3600;
                let midnight = noon.div_euclid(86_400) * 86_400 - 3600;
                let midnight = jiff::Timestamp::from_second(midnight).unwrap_or(instant);
                midnight.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
            }
            _ => stored,
        }
    }

    fn lists(&self, shown: &mut Vec<Node>) {
        for (uri, element, property) in LISTS {
            let held = self
                .contact
                .properties
                .get(property)
                .and_then(Value::as_array);
            let texts = held.into_iter().flatten().filter_map(Value::as_str);
            let texts = texts.map(|text| Node::t("String").with_text(text));
            let node = Node::t(element).holding_all(texts);
            if self.shape.wants(uri) && !node.children.is_empty() {
                shown.push(node);
            }
        }
    }

    fn dictionaries(&self, shown: &mut Vec<Node>) {
        for (uri, element) in DICTIONARIES {
            let whole = self.quirks.whole_properties && self.shape.wants(uri);
            let entries = match element {
                "EmailAddresses" => self.emails(whole),
                "PhoneNumbers" => self.phones(whole),
                "ImAddresses" => self.im_addresses(whole),
                _ => self.addresses(whole),
            };
            if !entries.is_empty() {
                shown.push(Node::t(element).holding_all(entries));
            }
        }
    }

    fn emails(&self, whole: bool) -> Vec<Node> {
        let mut entries = Vec::new();
        for key in ["EmailAddress1", "EmailAddress2", "EmailAddress3"] {
            let place = numbered("EmailAddress", key).unwrap_or_default();
            let address = text(self.contact, &Slot::Email(place));
            let Some(address) =
                address.filter(|_| whole || self.shape.indexes("contacts:EmailAddress", key))
            else {
                continue;
            };
            // Colleagues are held by their X.500 name.
            let routing = if address.contains('@') { "SMTP" } else { "EX" };
            let mut entry = Node::t("Entry").with("Key", key);
            if let Some(name) = text(self.contact, &Slot::EmailName(place)) {
                entry = entry.with("Name", name);
            }
            entries.push(
                entry
                    .with("RoutingType", routing)
                    .with("MailboxType", "Contact")
                    .with_text(self.shape.shorten(address)),
            );
        }
        entries
    }

    fn phones(&self, whole: bool) -> Vec<Node> {
        let keys = PHONES.iter().map(|(key, ..)| *key);
        let keys = keys.filter(|key| whole || self.shape.indexes("contacts:PhoneNumber", key));
        keys.filter_map(|key| self.entry(key, &phone(key)?))
            .collect()
    }

    fn im_addresses(&self, whole: bool) -> Vec<Node> {
        let keys = ["ImAddress1", "ImAddress2", "ImAddress3"].into_iter();
        let keys = keys.filter(|key| whole || self.shape.indexes("contacts:ImAddress", key));
        keys.filter_map(|key| {
            let place = numbered("ImAddress", key)?;
            self.entry(key, &Slot::Listed("imAddresses", place))
        })
        .collect()
    }

    fn entry(&self, key: &str, slot: &Slot) -> Option<Node> {
        let text = self.shape.shorten(text(self.contact, slot)?);
        Some(Node::t("Entry").with("Key", key).with_text(text))
    }

    fn addresses(&self, whole: bool) -> Vec<Node> {
        let mut entries = Vec::new();
        for (key, _) in ADDRESSES {
            let parts = ADDRESS_PARTS.iter().filter_map(|(part, _)| {
                let uri = format!("contacts:PhysicalAddress:{part}");
                let wanted = whole || self.shape.indexes(&uri, key);
                let text = text(self.contact, &address(key, part)?).filter(|_| wanted)?;
                Some(Node::t(part).with_text(self.shape.shorten(text)))
            });
            let entry = Node::t("Entry").with("Key", key).holding_all(parts);
            if !entry.children.is_empty() {
                entries.push(entry);
            }
        }
        entries
    }

    fn extended(&self, shown: &mut Vec<Node>) {
        for path in &self.shape.paths {
            let Path::Extended(uri, slot) = path else {
                continue;
            };
            let value = match slot {
                Slot::SearchKey if self.quirks.search_key == SearchKey::Answered => {
                    Some(search_key(self.mailbox, self.contact))
                }
                slot => text(self.contact, slot).map(|text| self.shape.shorten(text)),
            };
            if let Some(value) = value {
                let value = Node::t("Value").with_text(value);
                let property = Node::t("ExtendedProperty").holding(uri.clone());
                shown.push(property.holding(value));
            }
        }
    }
}

/// Sixteen bytes that stay with the contact wherever it goes, and with its copies.
pub(super) fn search_key(mailbox: &Mailbox, contact: &Contact) -> String {
    let mut bytes = mailbox.number.to_be_bytes().to_vec();
    bytes.extend(contact.search_key.to_be_bytes());
    STANDARD.encode(bytes)
}
