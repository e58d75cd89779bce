//! XML as Exchange speaks it: a bounded reader that expands no entities, and a writer that escapes.
//!
//! The answers of a server are not trusted: what the reader takes in is limited in depth, in
//! elements, in attributes and in namespaces, so that time and memory grow with the bytes and with
//! nothing else. It reads XML 1.0 in UTF-8 (<https://www.w3.org/TR/xml/>) with namespaces
//! (<https://www.w3.org/TR/xml-names/>) and without a document type, which SOAP forbids anyway
//! (<https://www.w3.org/TR/2000/NOTE-SOAP-20000508/>, section 3): whatever an entity bomb or an
//! external entity is made of is refused before it is looked at.
//!
//! In one thing it is more lenient than the standard: Exchange sends characters that XML cannot
//! hold, as references like `&#x0;` and `&#x1F;`, wherever a mailbox contains them
//! (<https://github.com/OfficeDev/ews-managed-api/issues/136>). Each becomes a space, since one odd
//! contact must not stop a whole mailbox.

mod characters;
mod read;
mod write;

use std::rc::Rc;

pub use read::{ATTRIBUTES_MAX, DECLARATIONS_MAX, DEPTH_MAX, ELEMENTS_MAX, NAMESPACE_BYTES_MAX};
pub use write::Writer;

/// One element with its namespace resolved.
///
/// Comments and processing instructions are not kept, nor attributes with a prefix.
#[derive(Debug, PartialEq, Eq)]
pub struct Element {
    namespace: Rc<str>,
    name: Box<str>,
    attributes: Vec<(Box<str>, Box<str>)>,
    children: Vec<Element>,
    text: String,
}

/// Why something is not read as XML. Says nothing of what was in it: fit for a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Not UTF-8, or declared to be something else.
    #[error("it is not in UTF-8 (byte {at_byte})")]
    Encoding {
        /// Where, counted from 0.
        at_byte: u64,
    },
    /// Not well-formed: truncated, or not XML at all.
    #[error("it is not well-formed XML: {what} (byte {at_byte})")]
    Malformed {
        /// What is wrong there.
        what: &'static str,
        /// Where, counted from 0.
        at_byte: u64,
    },
    /// A document type, or a reference to an entity that only one could declare.
    #[error("it brings {what}, which is refused (byte {at_byte})")]
    Refused {
        /// What is refused.
        what: &'static str,
        /// Where, counted from 0.
        at_byte: u64,
    },
    /// Above one of this reader's limits.
    #[error("it has more than {limit} {what} (byte {at_byte})")]
    TooMuch {
        /// Of what there is too much.
        what: &'static str,
        /// How much is read.
        limit: usize,
        /// Where, counted from 0.
        at_byte: u64,
    },
}

/// Reads one document and returns its root element.
pub fn parse(bytes: &[u8]) -> Result<Element, XmlError> {
    read::read(bytes)
}

impl Element {
    /// Whether this element has this name in this namespace.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        *self.name == *name && *self.namespace == *namespace
    }

    /// The local name, without a prefix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the namespace; empty where there is none.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The value of an attribute that has no prefix and therefore belongs to no namespace.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let attribute = self.attributes.iter().find(|(key, _)| **key == *name);
        attribute.map(|(_, value)| &**value)
    }

    /// The first child of this name in this namespace.
    pub fn child(&self, namespace: &str, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.is(namespace, name))
    }

    /// All children, in the order of the document.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.children.iter()
    }

    /// The children of this name in this namespace, in the order of the document.
    pub fn children_named(&self, namespace: &str, name: &str) -> impl Iterator<Item = &Element> {
        self.children
            .iter()
            .filter(move |child| child.is(namespace, name))
    }

    /// The element's own text with its blanks, CDATA sections included, and without the text of its
    /// children.
    pub fn text(&self) -> &str {
        &self.text
    }
}
