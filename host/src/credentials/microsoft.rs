//! OAuth 2.0 client credentials at Microsoft Entra: an app that acts with its own rights.
//!
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Issued, SignInError, SignInErrorKind, WAITS, header_value, unreachable};
use crate::egress::client::Client;
use crate::types::Service;

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default = "lifetime_s_usual")]
    expires_in: u64,
}

fn lifetime_s_usual() -> u64 {
    3599
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
    error_codes: Vec<u64>,
    trace_id: Option<String>,
}

pub(super) async fn exchange(
    client: &Client,
    authority: &str,
    client_id: &str,
    client_secret: &SecretString,
    scope: &str,
) -> Result<Issued, SignInError> {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", client_id)
        .append_pair("client_secret", client_secret.expose_secret())
        .append_pair("scope", scope)
        .append_pair("grant_type", "client_credentials")
        .finish();
    let request = Request::post(format!("{}/token", authority.trim_end_matches('/')))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(Full::new(Bytes::from(form)))
        .map_err(|_| {
            problem(
                SignInErrorKind::Protocol,
                None,
                "the authority is no address",
                CHECK,
            )
        })?;
    let answer = client
        .exchange(request, WAITS)
        .await
        .map_err(|error| unreachable(Service::Graph, "Microsoft's sign-in", &error))?;
    if answer.status() != StatusCode::OK {
        return Err(refused(answer.status(), answer.body()));
    }
    let no_token = || {
        let message = "Microsoft's sign-in answers with something that is no token";
        problem(SignInErrorKind::Protocol, None, message, CHECK)
    };
    let answer: Answer = serde_json::from_slice(answer.body()).map_err(|_| no_token())?;
    let value = header_value("Bearer ", &answer.access_token).ok_or_else(no_token)?;
    let lifetime_ms = answer.expires_in.clamp(1, 24 * 60 * 60) * 1000;
    Ok(Issued {
        header: header::AUTHORIZATION,
        value,
        lifetime_ms,
    })
}

const CHECK: &str = "check `authority` and `tenant` of the mailbox in the configuration";

/// Says in words what Microsoft says in numbers
/// (<https://learn.microsoft.com/entra/identity-platform/reference-error-codes>).
fn refused(status: StatusCode, body: &[u8]) -> SignInError {
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let number = refusal.error_codes.first().copied();
    let code = number.map(|number| format!("AADSTS{number}"));
    let (message, remedy) = match (number, refusal.error.as_str()) {
        (Some(7_000_222), _) => (
            "the client secret has expired",
            "create a new one in Entra under App registrations > Certificates & secrets, and put \
             it where the configuration says",
        ),
        (Some(7_000_215), _) | (_, "invalid_client") => (
            "the client secret is wrong or has expired",
            "put the secret's value (not its id) where the configuration says, or create a new one \
             in Entra under App registrations > Certificates & secrets",
        ),
        (Some(90_002), _) => (
            "there is no such Microsoft tenant",
            "set `tenant` of the mailbox to the directory id or a verified domain",
        ),
        (Some(700_016), _) | (_, "unauthorized_client") => (
            "this Microsoft tenant does not know the app",
            "check `client-id` and `tenant`, and let an administrator consent to the app",
        ),
        (_, "invalid_scope" | "invalid_resource") => (
            "the app may not ask for Microsoft Graph",
            "grant it the application permission Contacts.ReadWrite, and let an administrator \
             consent",
        ),
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            let message = format!("Microsoft's sign-in answers {status}");
            let kind = SignInErrorKind::Unreachable;
            return problem(kind, code, &message, "try again later");
        }
        _ => ("the sign-in is refused", CHECK),
    };
    let trace = refusal
        .trace_id
        .map_or_else(String::new, |id| format!(", trace {}", plain(&id)));
    let cause = code.clone().unwrap_or_else(|| plain(&refusal.error));
    let message = format!("Microsoft refuses the app: {message} ({status}, {cause}{trace})");
    problem(SignInErrorKind::Refused, code, &message, remedy)
}

/// A code or id as the service sends it, fit for a log.
fn plain(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_graphic)
        .take(64)
        .collect()
}

fn problem(
    kind: SignInErrorKind,
    code: Option<String>,
    message: &str,
    remedy: &str,
) -> SignInError {
    SignInError {
        service: Service::Graph,
        kind,
        code,
        message: message.into(),
        remedy: remedy.into(),
    }
}
