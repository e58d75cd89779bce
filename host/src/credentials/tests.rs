//! Tokens are asked for once, renewed in time, and never shown.
//!
//! Method: keepers against sign-in servers on loopback, with a clock that the test turns.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::*;
use crate::config::Certificates;
use crate::egress::addresses::system_lookup;
use crate::loopback::{Asked, Loopback, answer, hand_clock};
use bytes::Bytes;
use http::Response;
use http_body_util::Full;

const MINUTE_MS: u64 = 60_000;

struct Setup {
    keeper: Keeper,
    server: Loopback,
    now_ms: Arc<AtomicU64>,
}

async fn setup(
    sign_in: impl FnOnce(&str) -> SignIn,
    serve: impl Fn(&Asked) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> Setup {
    let server = Loopback::start(serve).await;
    let sign_in = sign_in(&server.url());
    let origin = sign_in.endpoint(Network::default()).unwrap().unwrap();
    let client = Client::new(
        system_lookup(),
        &[(origin, Network::default())],
        &Certificates::default(),
    );
    let (clock, now_ms) = hand_clock();
    Setup {
        keeper: Keeper::new(sign_in, client, clock),
        server,
        now_ms,
    }
}

fn flowfact(base_url: &str) -> SignIn {
    SignIn::FlowfactToken {
        base_url: base_url.to_owned(),
        token: value("platform-token"),
    }
}

fn microsoft(url: &str) -> SignIn {
    SignIn::MicrosoftClient {
        authority: format!("{url}/muster/oauth2/v2.0"),
        client_id: "app id".into(),
        client_secret: value("s3cret&+"),
        scope: "https://graph.microsoft.com/.default".into(),
    }
}

fn value(secret: &str) -> SecretSource {
    SecretSource::Value(SecretString::from(secret))
}

/// A JWT that lives so many seconds, by a clock that is hours off.
fn jwt(lifetime_s: u64) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let claims = format!(
        r#"{{"iat":{},"exp":{}}}"#,
        1_700_000_000,
        1_700_000_000 + lifetime_s
    );
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

fn shown(authorization: &Authorization) -> &str {
    authorization.value.to_str().unwrap()
}

/// The JWT comes bare or as a JSON string, and is what signs in.
#[tokio::test]
async fn a_platform_token_becomes_a_jwt() {
    for body in [jwt(1800), format!("\"{}\"\n", jwt(1800))] {
        let setup = setup(flowfact, move |_| answer(200, body.clone())).await;
        let authorization = setup.keeper.authorization().await.unwrap();
        assert_eq!(authorization.name, "cognitotoken");
        assert_eq!(shown(&authorization), jwt(1800));
        let [asked] = setup.server.asked().try_into().unwrap();
        assert_eq!(asked.method, "GET");
        assert_eq!(
            asked.path,
            "/admin-token-service/public/adminUser/authenticate"
        );
        assert_eq!(asked.header("token"), Some("platform-token"));
        assert_eq!(asked.header("cognitotoken"), None);
    }
}

/// The form is the one of RFC 6749, 4.4.2; the scope is Graph's.
#[tokio::test]
async fn a_client_secret_becomes_a_bearer_token() {
    let body = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"abc"}"#;
    let setup = setup(microsoft, move |_| answer(200, body)).await;
    let authorization = setup.keeper.authorization().await.unwrap();
    assert_eq!(
        (authorization.name.as_str(), shown(&authorization)),
        ("authorization", "Bearer abc")
    );
    let [asked] = setup.server.asked().try_into().unwrap();
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("POST", "/muster/oauth2/v2.0/token")
    );
    assert_eq!(
        String::from_utf8(asked.body.to_vec()).unwrap(),
        "client_id=app+id&client_secret=s3cret%26%2B\
         &scope=https%3A%2F%2Fgraph.microsoft.com%2F.default&grant_type=client_credentials"
    );
}

/// An app signs in to Exchange Server as to Graph, by an authority of the company's own too; what
/// goes wrong is told of Exchange.
#[tokio::test]
async fn an_app_signs_in_to_exchange_server() {
    let sign_in = |url: &str| SignIn::ExchangeClient {
        authority: format!("{url}/adfs/oauth2"),
        client_id: "app".into(),
        client_secret: SecretSource::Value(SecretString::from("s3cret")),
        scope: "https://mail.muster.example/.default".into(),
    };
    let body = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"abc"}"#;
    let fine = setup(sign_in, move |_| answer(200, body)).await;
    let authorization = fine.keeper.authorization().await.unwrap();
    assert_eq!(shown(&authorization), "Bearer abc");
    assert_eq!(fine.server.asked()[0].path, "/adfs/oauth2/token");

    let refusal = r#"{"error":"invalid_scope"}"#;
    let refused = setup(sign_in, move |_| answer(400, refusal)).await;
    let error = refused.keeper.authorization().await.err().unwrap();
    assert_eq!(error.service, Service::Ews);
    assert!(error.remedy.contains("`scope`"), "{}", error.remedy);
    assert!(!error.message.contains("Graph"), "{}", error.message);
}

/// Asked for once by all who wait, kept while it lasts, renewed before it ends: by the token's own
/// lifetime, whatever either clock says.
#[tokio::test]
async fn tokens_are_renewed_in_time() {
    let issued = AtomicUsize::new(0);
    let setup = setup(flowfact, move |_| {
        issued.fetch_add(1, Ordering::SeqCst);
        answer(200, jwt(30 * 60))
    })
    .await;
    let setup = Arc::new(setup);
    let all: Vec<_> = (0..20)
        .map(|_| {
            let setup = Arc::clone(&setup);
            tokio::spawn(async move { setup.keeper.authorization().await.map(|_| ()) })
        })
        .collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    assert_eq!(setup.server.asked().len(), 1);
    // A tenth of thirty minutes early.
    for (later_ms, exchanges) in [
        (27 * MINUTE_MS - 1, 1),
        (1, 2),
        (27 * MINUTE_MS - 1, 2),
        (1, 3),
    ] {
        setup.now_ms.fetch_add(later_ms, Ordering::SeqCst);
        setup.keeper.authorization().await.unwrap();
        assert_eq!(setup.server.asked().len(), exchanges);
    }
}

/// A token that says nothing about its life is taken for 25 minutes; one that lives for seconds is
/// not asked for with every request.
#[tokio::test]
async fn odd_lifetimes_are_survived() {
    for (token, kept_ms) in [("opaque".to_owned(), 22 * MINUTE_MS), (jwt(10), 4_000)] {
        let setup = setup(flowfact, move |_| answer(200, token.clone())).await;
        setup.keeper.authorization().await.unwrap();
        setup.now_ms.fetch_add(kept_ms, Ordering::SeqCst);
        setup.keeper.authorization().await.unwrap();
        assert_eq!(setup.server.asked().len(), 1);
    }
}

/// While the old token lasts, a sign-in that is down disturbs nobody.
#[tokio::test]
async fn an_old_token_bridges_an_outage() {
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let setup = setup(flowfact, move |_| {
        if is_down.load(Ordering::SeqCst) {
            answer(503, "")
        } else {
            answer(200, jwt(1800))
        }
    })
    .await;
    setup.keeper.authorization().await.unwrap();
    down.store(true, Ordering::SeqCst);
    setup.now_ms.fetch_add(28 * MINUTE_MS, Ordering::SeqCst);
    setup.keeper.authorization().await.unwrap();
    setup.now_ms.fetch_add(2 * MINUTE_MS, Ordering::SeqCst);
    let error = setup.keeper.authorization().await.err().unwrap();
    assert_eq!(error.kind, SignInErrorKind::Unreachable);
    down.store(false, Ordering::SeqCst);
    setup.keeper.authorization().await.unwrap();
}

/// Who signs in, what is answered, and how that is told: kind, message, remedy.
type Case = (
    fn(&str) -> SignIn,
    u16,
    String,
    SignInErrorKind,
    &'static str,
    &'static str,
);

/// What can go wrong, as a person reads it: what, and what to do.
#[tokio::test]
async fn errors_say_what_to_do() {
    let aadsts =
        |number: u64| format!(r#"{{"error":"x","error_codes":[{number}],"trace_id":"t-1"}}"#);
    let cases: [Case; 10] = [
        (
            flowfact,
            403,
            "Credentials invalid".into(),
            SignInErrorKind::Refused,
            "FLOWFACT refuses the platform token (403)",
            "API-Zugänge",
        ),
        (
            flowfact,
            200,
            "<html>".into(),
            SignInErrorKind::Protocol,
            "something that is no token",
            "base-url",
        ),
        (
            flowfact,
            404,
            String::new(),
            SignInErrorKind::Protocol,
            "something that is no token",
            "base-url",
        ),
        (
            flowfact,
            429,
            String::new(),
            SignInErrorKind::Unreachable,
            "FLOWFACT's sign-in answers 429",
            "again later",
        ),
        (
            microsoft,
            401,
            aadsts(7_000_222),
            SignInErrorKind::Refused,
            "the client secret has expired (401 Unauthorized, AADSTS7000222, trace t-1)",
            "create a new one",
        ),
        (
            microsoft,
            401,
            r#"{"error":"invalid_client"}"#.into(),
            SignInErrorKind::Refused,
            "the client secret is wrong or has expired",
            "value (not its id)",
        ),
        (
            microsoft,
            400,
            aadsts(90_002),
            SignInErrorKind::Refused,
            "there is no such Microsoft tenant",
            "verified domain",
        ),
        (
            microsoft,
            400,
            aadsts(700_016),
            SignInErrorKind::Refused,
            "this Microsoft tenant does not know the app",
            "consent",
        ),
        (
            microsoft,
            503,
            "<html>".into(),
            SignInErrorKind::Unreachable,
            "Microsoft's sign-in answers 503",
            "again later",
        ),
        (
            microsoft,
            200,
            "{}".into(),
            SignInErrorKind::Protocol,
            "something that is no token",
            "authority",
        ),
    ];
    for (sign_in, status, body, kind, message, remedy) in cases {
        let setup = setup(sign_in, move |_| answer(status, body.clone())).await;
        let error = setup.keeper.authorization().await.err().unwrap();
        assert_eq!(error.kind, kind, "{error:?}");
        assert!(error.message.contains(message), "{error:?}");
        assert!(error.remedy.contains(remedy), "{error:?}");
    }
}

/// A refused sign-in is left alone for a while, then tried again: a new secret is found without a
/// restart.
#[tokio::test]
async fn a_refused_sign_in_rests() {
    let setup = setup(flowfact, |_| answer(403, "")).await;
    for (later_ms, exchanges) in [(0, 1), (29_999, 1), (1, 2)] {
        setup.now_ms.fetch_add(later_ms, Ordering::SeqCst);
        assert!(setup.keeper.authorization().await.is_err());
        assert_eq!(setup.server.asked().len(), exchanges);
    }
}

/// Secrets are found where the configuration says, and a missing one is named by its place.
#[test]
fn secrets_come_from_files_and_variables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let read = |source: &SecretSource| {
        source
            .read(Service::Flowfact)
            .map(|secret| secret.expose_secret().to_owned())
    };
    let file = SecretSource::File(path.clone());
    let missing = read(&file).unwrap_err();
    assert!(
        missing.message.contains(path.to_str().unwrap()),
        "{missing:?}"
    );
    fs::write(&path, "  \n").unwrap();
    assert!(read(&file).unwrap_err().message.contains("is empty"));
    fs::write(&path, "from a file\r\n").unwrap();
    assert_eq!(read(&file).unwrap(), "from a file");

    let variable = SecretSource::Environment("CARGO_PKG_NAME".into());
    assert_eq!(read(&variable).unwrap(), "contact-sync-host");
    let unset = SecretSource::Environment("CONTACT_SYNC_UNSET".into());
    assert_eq!(
        read(&unset).unwrap_err().message,
        "the environment variable `CONTACT_SYNC_UNSET` is not set"
    );
}

/// No secret and no token is ever printed, whatever is printed.
#[tokio::test]
async fn nothing_prints_a_secret() {
    let setup = setup(microsoft, |_| {
        answer(200, r#"{"access_token":"t0ken","expires_in":3599}"#)
    })
    .await;
    let authorization = setup.keeper.authorization().await.unwrap();
    let printed = format!(
        "{:?} {:?} {:?} {:?}",
        setup.keeper.sign_in(),
        authorization.value,
        flowfact(""),
        SecretString::from("s3cret&+"),
    );
    for secret in ["s3cret", "t0ken", "platform-token"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
