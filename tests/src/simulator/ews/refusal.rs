//! What an operation answers for one of its items, and why it refuses one.

use super::xml::Node;

/// Why an item, or a whole request, is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(code: &'static str, text: &str) -> Self {
        Self {
            code,
            text: text.to_owned(),
        }
    }

    pub(super) fn item_not_found() -> Self {
        let why = "The specified object was not found in the store.";
        Self::new("ErrorItemNotFound", why)
    }

    pub(super) fn malformed_id() -> Self {
        Self::new("ErrorInvalidIdMalformed", "Id is malformed.")
    }

    pub(super) fn folder_not_found() -> Self {
        let why = "The specified folder could not be found in the store.";
        Self::new("ErrorFolderNotFound", why)
    }

    pub(super) fn schema(why: &str) -> Self {
        let text = format!("The request failed schema validation: {why}");
        Self::new("ErrorSchemaValidation", &text)
    }

    /// The status that an answer of HTTP would have: for the counters.
    pub(super) fn status(&self) -> u16 {
        match self.code {
            "ErrorItemNotFound" | "ErrorFolderNotFound" | "ErrorSyncFolderNotFound" => 404,
            "ErrorIrresolvableConflict" => 412,
            "ErrorServerBusy" | "ErrorMailboxStoreUnavailable" | "ErrorBatchProcessingStopped" => {
                503
            }
            "ErrorAccessDenied" => 403,
            _ => 400,
        }
    }
}

/// A response message: what one item of a request is answered.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) outcome: Result<(), Refusal>,
    /// What follows the response code.
    pub(super) content: Vec<Node>,
    /// Which item, for the log.
    pub(super) target: String,
}

impl Message {
    pub(super) fn success(content: Vec<Node>, target: &str) -> Self {
        Self {
            outcome: Ok(()),
            content,
            target: target.to_owned(),
        }
    }

    pub(super) fn refused(refusal: Refusal, content: Vec<Node>, target: &str) -> Self {
        Self {
            outcome: Err(refusal),
            content,
            target: target.to_owned(),
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.outcome.as_ref().err().map_or(200, Refusal::status)
    }

    /// The element that a client reads.
    pub(super) fn element(self, name: &str, back_off_ms: Option<u32>) -> Node {
        let mut node = Node::m(name);
        match self.outcome {
            Ok(()) => {
                node = node.with("ResponseClass", "Success");
                node = node.holding(Node::m("ResponseCode").with_text("NoError"));
            }
            Err(Refusal { code, text }) => {
                let stopped = code == "ErrorBatchProcessingStopped";
                node = node.with("ResponseClass", if stopped { "Warning" } else { "Error" });
                node = node
                    .holding(Node::m("MessageText").with_text(text))
                    .holding(Node::m("ResponseCode").with_text(code))
                    .holding(Node::m("DescriptiveLinkKey").with_text("0"));
                if let Some(ms) = back_off_ms {
                    node = node.holding(back_off(Node::m("MessageXml"), ms));
                }
            }
        }
        node.holding_all(self.content)
    }
}

/// For how long a busy server does not want to hear of the client.
pub(super) fn back_off(xml: Node, ms: u32) -> Node {
    let value = Node::t("Value").with("Name", "BackOffMilliseconds");
    xml.holding(value.with_text(ms.to_string()))
}
