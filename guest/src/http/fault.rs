//! SOAP faults, as Exchange answers them with status 500
//! (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/handling-errors-in-ews>).
//!
//! Names are compared without their namespaces: a fault's members have none in SOAP 1.1, and what
//! stands in front of a server may write them otherwise.

use crate::xml::{self, Element};

/// What a fault says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fault {
    /// Exchange's own code: `ErrorServerBusy`.
    pub(super) code: Option<String>,
    /// Exchange's text, for developers.
    pub(super) text: Option<String>,
    /// The pause that it asks for.
    pub(super) back_off_ms: Option<u64>,
}

/// The fault in a body; `None` where there is none.
pub(super) fn read(body: &[u8]) -> Option<Fault> {
    let envelope = xml::parse(body).ok()?;
    let fault = below(below(&envelope, "Body")?, "Fault")?;
    let detail = below(fault, "detail");
    let in_detail = |name| {
        let text = below(detail?, name)?.text().trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let qualified = below(fault, "faultcode").map(Element::text);
    // `a:ErrorSchemaValidation`
    let code = qualified.and_then(|code| code.rsplit(':').next());
    let code = code.map(str::trim).filter(|code| code.starts_with("Error"));
    let text = below(fault, "faultstring").map(|text| text.text().trim().to_owned());
    Some(Fault {
        code: in_detail("ResponseCode").or_else(|| code.map(str::to_owned)),
        text: in_detail("Message").or(text),
        back_off_ms: detail.and_then(|detail| back_off_ms(below(detail, "MessageXml")?)),
    })
}

/// `<t:Value Name="BackOffMilliseconds">297749</t:Value>`, beside an error in either form
/// (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/ews-throttling-in-exchange>).
pub(crate) fn back_off_ms(message_xml: &Element) -> Option<u64> {
    let named = |value: &&Element| value.attribute("Name") == Some("BackOffMilliseconds");
    let value = message_xml.children().find(named)?;
    value.text().trim().parse().ok()
}

fn below<'a>(element: &'a Element, name: &str) -> Option<&'a Element> {
    element.children().find(|child| child.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: &str = r#"<?xml version="1.0" encoding="utf-8"?>
        <s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>
        <faultcode xmlns:a="http://schemas.microsoft.com/exchange/services/2006/types">a:ErrorServerBusy</faultcode>
        <faultstring xml:lang="en-US">The server cannot service this request right now.</faultstring>
        <detail><e:ResponseCode xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors">
            ErrorServerBusy </e:ResponseCode>
        <e:Message xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors">Try later.</e:Message>
        <t:MessageXml xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types">
        <t:Value Name="BackOffMilliseconds">297749</t:Value></t:MessageXml></detail>
        </s:Fault></s:Body></s:Envelope>"#;

    #[test]
    fn a_fault_is_read_with_code_text_and_pause() {
        let fault = read(BUSY.as_bytes()).unwrap();
        assert_eq!(fault.code.as_deref(), Some("ErrorServerBusy"));
        assert_eq!(fault.text.as_deref(), Some("Try later."));
        assert_eq!(fault.back_off_ms, Some(297_749));
    }

    #[test]
    fn what_is_no_fault_is_none() {
        for body in ["", "<html><body>Service Unavailable</body></html>", "<a/>"] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
        let bare = BUSY.replace("detail", "other");
        let fault = read(bare.as_bytes()).unwrap();
        assert_eq!(fault.code.as_deref(), Some("ErrorServerBusy"));
        assert_eq!(fault.back_off_ms, None);
    }
}
