//! How both services let clients in, and keep them out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contact_sync_tests::simulator::Availability;
use serde_json::{Value, json};

use crate::client::{ANNA, Answer, Client, USER};

const EXCHANGE: &str = "GET /flowfact/admin-token-service/public/adminUser/authenticate";
const CURRENT: &str = "GET /flowfact/user-service/users/currentUser";

fn guarded() -> Client {
    let mut client = Client::new();
    client.simulator.set_authentication(true);
    client
}

#[test]
fn the_platform_token_is_exchanged_for_a_jwt_that_expires() {
    let mut client = guarded();
    let platform_token = client.simulator.flowfact.platform_token().to_owned();
    client.header("token", "wrong");
    assert_eq!(client.send(EXCHANGE).status, 403);
    client.header("token", &platform_token);
    let token = client.send(EXCHANGE).text;
    let claims = token.split('.').nth(1).expect("three parts");
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("base64")).expect("JSON");
    assert_eq!(claims["exp"], (client.now.0 + 30 * 60 * 1000) / 1000);
    client.header("cognitotoken", &token);
    assert_eq!(client.send(CURRENT).status, 200);
    client.wait_ms(30 * 60 * 1000);
    let expired = client.send(CURRENT);
    assert_eq!(
        (expired.status, expired.at("/description").as_str()),
        (403, "Credentials invalid")
    );
    client.simulator.flowfact.quirks.token_refused_status = 401;
    assert_eq!(client.send(CURRENT).status, 401);
    client.simulator.flowfact.quirks.token_quoted = true;
    assert!(client.send(EXCHANGE).json.is_string());
    let named = client.send(&format!("{EXCHANGE}AndReturnUsernameWithToken"));
    assert!(named.json.get("username").is_some());
}

#[test]
fn a_platform_token_sent_straight_to_a_service_is_refused() {
    for (accepted, status) in [(false, 403), (true, 200)] {
        let mut client = guarded();
        client.simulator.flowfact.quirks.api_token_header = accepted;
        let platform_token = client.simulator.flowfact.platform_token().to_owned();
        client.header("token", &platform_token);
        assert_eq!(client.send(CURRENT).status, 403);
        client.header("x-ff-api-token", &platform_token);
        assert_eq!(client.send(CURRENT).status, status);
    }
}

fn token_request(client: &mut Client, changes: &[(&str, &str)]) -> Answer {
    let (tenant, id, secret) = client.simulator.graph.application();
    let mut form = vec![
        ("client_id", id.to_owned()),
        ("client_secret", secret.replace('~', "%7E")),
        (
            "scope",
            "https%3A%2F%2Fgraph.microsoft.com%2F.default".to_owned(),
        ),
        ("grant_type", "client_credentials".to_owned()),
        ("client_info", "1".to_owned()),
    ];
    let target = format!("POST /graph/{tenant}/oauth2/v2.0/token");
    for (name, value) in changes {
        form.retain(|(found, _)| found != name);
        form.push((name, (*value).to_owned()));
    }
    let form: Vec<String> = form
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    client.send_bytes(&target, Some(form.join("&").into_bytes()))
}

#[test]
fn an_application_signs_in_and_its_token_expires() {
    let mut client = guarded();
    assert_eq!(
        client.send(&format!("GET {USER}/contacts")).error().0,
        "InvalidAuthenticationToken"
    );
    let answer = token_request(&mut client, &[]);
    assert_eq!(answer.at("/token_type"), "Bearer");
    assert_eq!(answer.at("/expires_in"), "3599");
    client.header(
        "authorization",
        &format!("Bearer {}", answer.at("/access_token")),
    );
    assert_eq!(client.send(&format!("GET {USER}/contacts")).status, 200);
    let me = client.send("GET /graph/v1.0/me/contacts");
    assert_eq!((me.status, me.error().0.as_str()), (400, "BadRequest"));
    client.wait_ms(3599 * 1000);
    let expired = client.send(&format!("GET {USER}/contacts"));
    assert_eq!(
        (expired.status, expired.error().0.as_str()),
        (401, "InvalidAuthenticationToken")
    );
}

#[test]
fn sign_in_is_refused_with_microsofts_reasons() {
    let rows = [
        (
            ("client_id", "x"),
            400,
            "unauthorized_client",
            "AADSTS700016",
        ),
        (
            ("client_secret", "x"),
            401,
            "invalid_client",
            "AADSTS7000215",
        ),
        (
            ("scope", "Contacts.Read"),
            400,
            "invalid_scope",
            "AADSTS1002012",
        ),
        (
            ("grant_type", "password"),
            400,
            "unsupported_grant_type",
            "AADSTS70003",
        ),
        (
            ("grant_type", "refresh_token"),
            400,
            "invalid_grant",
            "AADSTS70008",
        ),
    ];
    for (change, status, error, number) in rows {
        let mut client = guarded();
        let answer = token_request(&mut client, &[change]);
        assert_eq!(
            (answer.status, answer.at("/error").as_str()),
            (status, error),
            "{change:?}"
        );
        assert!(
            answer.at("/error_description").starts_with(number),
            "{change:?}"
        );
    }
}

#[test]
fn discovery_leads_to_the_host_that_was_asked() {
    let mut client = guarded();
    let target = "http://127.0.0.1:8080/graph/contoso/v2.0/.well-known/openid-configuration";
    let answer = client.send(&format!("GET {target}"));
    let token = "http://127.0.0.1:8080/graph/contoso/oauth2/v2.0/token";
    assert_eq!(answer.at("/token_endpoint"), token);
}

#[test]
fn a_user_signs_in_by_device_code_and_stays_signed_in_by_refresh_token() {
    let mut client = guarded();
    let (tenant, id, _) = client.simulator.graph.application();
    let (tenant, id) = (tenant.to_owned(), id.to_owned());
    let scope = "Contacts.ReadWrite+offline_access+openid+profile";
    let body = format!("client_id={id}&scope={scope}").into_bytes();
    let target = format!("POST /graph/{tenant}/oauth2/v2.0/devicecode");
    let device = client.send_bytes(&target, Some(body));
    let code = device.at("/device_code");
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let poll = [
        ("grant_type", grant),
        ("device_code", code.as_str()),
        ("code", code.as_str()),
    ];
    let waiting = token_request(&mut client, &poll);
    assert_eq!(waiting.at("/error"), "authorization_pending");
    assert_eq!(
        client.send("GET /graph/devicelogin?code=0&user=x").status,
        400
    );
    let page = device.at("/verification_uri");
    let page = format!("GET {page}?code={}&user={ANNA}", device.at("/user_code"));
    assert_eq!(client.send(&page).status, 200);
    let granted = token_request(&mut client, &poll);
    assert_eq!(
        token_request(&mut client, &poll).at("/error"),
        "bad_verification_code"
    );
    client.header(
        "authorization",
        &format!("Bearer {}", granted.at("/access_token")),
    );
    assert_eq!(client.send("GET /graph/v1.0/me/contacts").status, 200);
    let old = granted.at("/refresh_token");
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", old.as_str()),
    ];
    let renewed = token_request(&mut client, &refresh);
    assert_ne!(renewed.at("/refresh_token"), old);
    assert_eq!(
        token_request(&mut client, &refresh).at("/error"),
        "invalid_grant"
    );
}

#[test]
fn a_users_token_opens_that_users_mailbox_alone() {
    let mut client = guarded();
    client
        .simulator
        .add_mailbox("bernd@makler.example", "Bernd");
    let token = client
        .simulator
        .graph
        .user_access_token(ANNA, client.now)
        .expect("Anna");
    client.header("authorization", &format!("Bearer {token}"));
    assert_eq!(client.send(&format!("GET {USER}/contacts")).status, 200);
    let other = client.send("GET /graph/v1.0/users/bernd@makler.example/contacts");
    let why = "Access is denied. Check credentials and try again.";
    assert_eq!(
        other.error(),
        ("ErrorAccessDenied".to_owned(), why.to_owned())
    );
}

#[test]
fn a_mailbox_may_be_out_of_reach() {
    let rows = [
        (
            Availability::NotEnabledForRestApi,
            404,
            "MailboxNotEnabledForRESTAPI",
            "REST API is not yet supported for this mailbox.",
        ),
        (
            Availability::ODataDisabled,
            403,
            "ErrorAccessDenied",
            "Access to OData is disabled.",
        ),
        (
            Availability::UserMissing,
            404,
            "ErrorInvalidUser",
            "The requested user 'anna@makler.example' is invalid.",
        ),
    ];
    for (availability, status, code, message) in rows {
        let mut client = Client::new();
        client.simulator.graph.set_availability(ANNA, availability);
        let answer = client.send(&format!("GET {USER}/contacts"));
        assert_eq!(answer.status, status);
        assert_eq!(answer.error(), (code.to_owned(), message.to_owned()));
    }
    let mut client = Client::new();
    let answer = client.send("GET /graph/v1.0/users/nobody@x.test/contacts");
    assert_eq!(
        (answer.status, answer.error().0.as_str()),
        (404, "ErrorInvalidUser")
    );
    let answer = client.send("GET /graph/v1.0/users/me/contacts");
    assert_eq!(answer.error().0, "Request_ResourceNotFound");
}

#[test]
fn a_user_is_read_only_with_the_permission_for_it() {
    let mut client = Client::new();
    let answer = client.send(&format!("GET {USER}?$select=id,mail"));
    let (user, _) = client.simulator.graph.identity(ANNA).expect("Anna");
    assert_eq!(
        (answer.at("/id"), answer.at("/mail")),
        (user.clone(), ANNA.to_owned())
    );
    let by_id = client.send(&format!("GET /graph/v1.0/users/{user}/contacts"));
    assert_eq!(by_id.status, 200);
    client.simulator.graph.quirks.user_readable = false;
    let answer = client.send(&format!("GET {USER}"));
    assert_eq!(
        (answer.status, answer.error().0.as_str()),
        (403, "Authorization_RequestDenied")
    );
}

#[test]
fn errors_have_graphs_shape() {
    let mut client = Client::new();
    client.header("client-request-id", "mine");
    let answer = client.send(&format!("GET {USER}/coffee"));
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.error().1,
        "Resource not found for the segment 'coffee'."
    );
    assert_eq!(answer.at("/error/innerError/date"), "2026-03-02T08:00:00");
    assert_eq!(answer.at("/error/innerError/client-request-id"), "mine");
    assert_eq!(answer.header("client-request-id"), Some("mine"));
    let answer = client.send_json(&format!("POST {USER}/contacts/AAA="), &json!({}));
    assert_eq!(
        (answer.status, answer.error().0.as_str()),
        (400, "ErrorInvalidIdMalformed")
    );
    let answer = client.send(&format!("DELETE {USER}/contacts"));
    assert_eq!(answer.error().1, "The OData request is not supported.");
    assert_eq!(
        client.send(&format!("GET {USER}/mailFolders")).error().0,
        "ErrorAccessDenied"
    );
}
