//! Autodiscover version 2: a GET that is answered with JSON and needs no sign-in.
//!
//! Exchange Server answers it since some cumulative update of 2016; a server that does not know it
//! is asked by XML. `GET /autodiscover/autodiscover.json/v1.0/{address}?Protocol=EWS` is answered
//! with `{"Protocol":"EWS","Url":"https://…"}`, or with `{"ErrorCode":"…","ErrorMessage":"…"}`
//! (<https://github.com/microsoft/CSS-Exchange>, `Test-Autodiscover`).

use super::Said;
use crate::http::{Answer, Call, Repeat, escaped};
use crate::outside::Method;
use serde::Deserialize;

/// Its name for people.
pub(super) const PROTOCOL: &str = "JSON";

/// The question.
pub(super) fn call(origin: &str, address: &str) -> Call {
    let address = escaped(address);
    let url = format!("{origin}/autodiscover/autodiscover.json/v1.0/{address}?Protocol=EWS");
    Call::new("find the server", Method::Get, url, None, Repeat::Never)
}

/// The answer.
pub(super) fn read(answer: &Answer) -> Said {
    if let Some(said) = Said::of_status(answer) {
        // Unlike the XML, this is asked without a sign-in: a server that wants one has another
        // thing in this place.
        return match said {
            Said::SignInRefused => Said::NotSpoken,
            said => said,
        };
    }
    let status = answer.status;
    let Ok(body) = serde_json::from_str::<Body>(&answer.text()) else {
        return Said::Misfit(match status {
            200 => "something that is not Autodiscover's JSON, as a web server does that is no \
                    Exchange Server"
                .to_owned(),
            status => format!("status {status}"),
        });
    };
    let is_ews = body
        .protocol
        .is_none_or(|protocol| protocol.eq_ignore_ascii_case("EWS"));
    match (body.url, body.error_code) {
        (Some(url), None) if answer.is_success() && is_ews => Said::Url(url.trim().to_owned()),
        (_, Some(code)) if is_code(&code) => Said::NoAnswer(format!("`{code}`")),
        _ => Said::Misfit(format!("status {status}, and no address")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    protocol: Option<String>,
    url: Option<String>,
    error_code: Option<String>,
}

fn is_code(text: &str) -> bool {
    const CODE_BYTES_MAX: usize = 64;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (1..=CODE_BYTES_MAX).contains(&text.len()) && is_plain
}
