//! FLOWFACT's token exchange: the platform token of an API user for a JWT of half an hour.
//!
//! As FLOWFACT's own client does it (`@flowfact/api-services`, `PublicAdminUserController`):
//! `GET /admin-token-service/public/adminUser/authenticate` with the header `token`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::Full;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Issued, SignInError, SignInErrorKind, WAITS, header_value, unreachable};
use crate::egress::client::Client;
use crate::types::Service;

const PATH: &str = "/admin-token-service/public/adminUser/authenticate";

/// FLOWFACT says "approximately 30 minutes"; used where a token does not say it itself.
const LIFETIME_MS_USUAL: u64 = 25 * 60 * 1000;

/// No token is believed to live longer.
const LIFETIME_MS_MAX: u64 = 24 * 60 * 60 * 1000;

pub(super) async fn exchange(
    client: &Client,
    base_url: &str,
    token: &SecretString,
) -> Result<Issued, SignInError> {
    let mut credential = HeaderValue::from_str(token.expose_secret()).map_err(|_| unusable())?;
    credential.set_sensitive(true);
    let request = Request::get(format!("{base_url}{PATH}"))
        .header(HeaderName::from_static("token"), credential)
        .header("accept-language", "de")
        .body(Full::<Bytes>::default())
        .map_err(|_| unusable())?;
    let answer = client
        .exchange(request, WAITS)
        .await
        .map_err(|error| unreachable(Service::Flowfact, "FLOWFACT's sign-in", &error))?;
    match answer.status().as_u16() {
        200..=299 => issued(answer.body()),
        status @ (400 | 401 | 403) => Err(refused(status)),
        status @ (408 | 429 | 500..) => Err(SignInError {
            service: Service::Flowfact,
            kind: SignInErrorKind::Unreachable,
            code: Some(status.to_string()),
            message: format!("FLOWFACT's sign-in answers {status}"),
            remedy: "try again later".into(),
        }),
        status => Err(no_token(Some(status.to_string()))),
    }
}

/// The answer is the bare JWT; a JSON string is the same.
fn issued(body: &[u8]) -> Result<Issued, SignInError> {
    let text = std::str::from_utf8(body).unwrap_or_default().trim();
    let token = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
    let value = header_value("", &token)
        .filter(|_| !token.starts_with(['<', '{', '[']))
        .ok_or_else(|| no_token(None))?;
    let lifetime_ms = lifetime_ms(&token).unwrap_or(LIFETIME_MS_USUAL);
    Ok(Issued {
        header: HeaderName::from_static("cognitotoken"),
        value,
        lifetime_ms,
    })
}

/// How long the token lives by its own words: from when it was issued, so that neither clock needs
/// to be right.
fn lifetime_ms(token: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
        iat: u64,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let lifetime_ms = claims.exp.checked_sub(claims.iat)?.checked_mul(1000)?;
    (lifetime_ms > 0).then_some(lifetime_ms.min(LIFETIME_MS_MAX))
}

fn no_token(code: Option<String>) -> SignInError {
    SignInError {
        service: Service::Flowfact,
        kind: SignInErrorKind::Protocol,
        code,
        message: "FLOWFACT's sign-in answers with something that is no token".into(),
        remedy: "check `base-url` in the configuration: something else answers there".into(),
    }
}

fn refused(status: u16) -> SignInError {
    SignInError {
        service: Service::Flowfact,
        kind: SignInErrorKind::Refused,
        code: Some(status.to_string()),
        message: format!("FLOWFACT refuses the platform token ({status})"),
        remedy: "create a new one in FLOWFACT under Einstellungen > Tools & Integration > \
                 API-Zugänge, and put it where the configuration says"
            .into(),
    }
}

fn unusable() -> SignInError {
    SignInError {
        service: Service::Flowfact,
        kind: SignInErrorKind::Secret,
        code: None,
        message: "the platform token contains characters that no token has".into(),
        remedy: "copy it again: it is a UUID".into(),
    }
}
