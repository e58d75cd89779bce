//! SOAP: the version that is asked for, the mailbox acted for, and faults.

use super::refusal::{Refusal, back_off};
use super::schema::{check_operation, is_operation};
use super::xml::{self, Node, Space};

/// A request, taken out of its envelope.
pub(super) struct Envelope {
    /// Whose mailbox the request acts for.
    pub(super) impersonated: Option<String>,
    /// What it asks for: read strictly.
    pub(super) operation: Node,
}

/// The versions that clients open with; without one a request is of Exchange 2007.
const VERSIONS: [&str; 9] = [
    "Exchange2007",
    "Exchange2007_SP1",
    "Exchange2010",
    "Exchange2010_SP1",
    "Exchange2010_SP2",
    "Exchange2013",
    "Exchange2013_SP1",
    "Exchange2015",
    "Exchange2016",
];

impl Envelope {
    /// Reads a request, or says which fault it is answered with.
    pub(super) fn read(body: &[u8]) -> Result<Self, Fault> {
        let root = xml::read(body).map_err(|why| Fault::schema(&why))?;
        if root.space != Space::Soap || root.name != "Envelope" {
            return Err(invalid("The request is no SOAP 1.1 envelope."));
        }
        let part = |name: &str| {
            let mut parts = root.children.iter();
            parts.find(|part| part.space == Space::Soap && part.name == name)
        };
        let operation = part("Body").and_then(|body| body.children.first());
        let operation = operation.ok_or_else(|| invalid("The request is empty."))?;
        let header = part("Header");
        let of_types = |name: &str| {
            let mut parts = header.into_iter().flat_map(|header| &header.children);
            parts.find(|part| part.space == Space::Types && part.name == name)
        };
        check_version(of_types("RequestServerVersion"))?;
        if operation.space != Space::Messages || !is_operation(&operation.name) {
            return Err(invalid("The request is invalid."));
        }
        check_operation(operation).map_err(|violation| Fault::schema(&violation.0))?;
        Ok(Self {
            impersonated: of_types("ExchangeImpersonation")
                .map(impersonated)
                .transpose()?,
            operation: operation.clone(),
        })
    }
}

fn check_version(version: Option<&Node>) -> Result<(), Fault> {
    let version = version.map(|version| version.attribute("Version").unwrap_or_default());
    if version.is_none_or(|version| VERSIONS.contains(&version)) {
        return Ok(());
    }
    let why = "The specified server version is invalid.";
    Err(Refusal::new("ErrorInvalidServerVersion", why).into())
}

fn impersonated(header: &Node) -> Result<String, Fault> {
    let sid = header.child("ConnectingSID");
    let named = sid.and_then(|sid| {
        sid.child_text("PrimarySmtpAddress")
            .or_else(|| sid.child_text("SmtpAddress"))
    });
    named.map(str::to_owned).ok_or_else(|| {
        let why = "The impersonation header does not name an address.";
        Refusal::new("ErrorInvalidExchangeImpersonationHeaderData", why).into()
    })
}

fn invalid(why: &str) -> Fault {
    Refusal::new("ErrorInvalidRequest", why).into()
}

/// Why nothing of a request was carried out.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    refusal: Refusal,
    back_off_ms: Option<u32>,
    violation: Option<String>,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            back_off_ms: None,
            violation: None,
        }
    }
}

impl Fault {
    fn schema(why: &str) -> Self {
        Self {
            refusal: Refusal::schema(why),
            back_off_ms: None,
            violation: Some(why.to_owned()),
        }
    }

    pub(super) fn busy(back_off_ms: u32) -> Self {
        let why = "The server cannot service this request right now. Try again later.";
        Self {
            refusal: Refusal::new("ErrorServerBusy", why),
            back_off_ms: Some(back_off_ms),
            violation: None,
        }
    }

    /// The fault as it is written.
    pub(super) fn element(&self) -> Node {
        let Refusal { code, text } = &self.refusal;
        let plain = |name: &str| Node::new(Space::Nothing, name);
        let error = |name: &str| Node::new(Space::Errors, name);
        let mut detail = plain("detail").holding(error("ResponseCode").with_text(*code));
        if self.violation.is_some() {
            let message = error("Message").with_text("The request failed schema validation.");
            detail = detail.holding(message);
        } else {
            detail = detail.holding(error("Message").with_text(text));
        }
        let xml = Node::t("MessageXml");
        if let Some(ms) = self.back_off_ms {
            detail = detail.holding(back_off(xml, ms));
        } else if let Some(violation) = &self.violation {
            detail = detail.holding(
                xml.holding(Node::t("LineNumber").with_text("1"))
                    .holding(Node::t("LinePosition").with_text("1"))
                    .holding(Node::t("Violation").with_text(violation)),
            );
        }
        let code = plain("faultcode")
            .with("xmlns:a", Space::Types.uri())
            .with_text(format!("a:{code}"));
        let text = plain("faultstring")
            .with("xml:lang", "en-US")
            .with_text(text);
        let fault = Node::new(Space::Soap, "Fault");
        fault.holding(code).holding(text).holding(detail)
    }
}

/// An answer in its envelope. Exchange Server 2019 and Subscription Edition call themselves 15.2.
pub(super) fn answer(content: Node) -> Node {
    let version = Node::t("ServerVersionInfo")
        .with("MajorVersion", "15")
        .with("MinorVersion", "2")
        .with("MajorBuildNumber", "2562")
        .with("MinorBuildNumber", "17")
        .with("Version", "V2017_07_11");
    let header = Node::new(Space::Soap, "Header").holding(version);
    let body = Node::new(Space::Soap, "Body").holding(content);
    Node::new(Space::Soap, "Envelope")
        .holding(header)
        .holding(body)
}
