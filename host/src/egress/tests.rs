//! What a hostile guest tries, and what arrives.
//!
//! Method: the hooks are called as wasmtime calls them, against a server on loopback that plays
//! FLOWFACT, Microsoft Graph and both sign-ins.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use http_body_util::StreamBody;
use hyper::body::Frame;
use secrecy::SecretString;

use super::addresses::{Lookup, system_lookup};
use super::rules::{Networks, Writing};
use super::trust::Certificates;
use super::*;
use crate::config::usual_policy;
use crate::credentials::{Keeper, SecretSource, SignIn};
use crate::loopback::{Asked, Loopback, answer, hand_clock};
use crate::types::{
    Crm, Endpoint, FieldValue, Flowfact, Graph, GraphUser, Job, Mailbox, Marker, Tenant,
};

mod bodies;
mod exchange;
mod hoards;

const SECRETS: [&str; 3] = ["platform-token", "client-secret", "jwt-"];

fn job(flowfact: &str, graph: &str) -> Job {
    Job {
        tenant: Tenant {
            id: "a".into(),
            region: "DE".into(),
        },
        crm: Crm::Flowfact(Flowfact {
            base_url: flowfact.into(),
            schema: "contacts".into(),
            company: Some("c-1".into()),
            fields: Vec::new(),
            marker: Marker::FieldValue(FieldValue {
                field: "tags".into(),
                value: "m".into(),
            }),
        }),
        mailbox: Mailbox {
            id: "m1".into(),
            address: "erika@muster.example".into(),
            endpoint: Endpoint::Graph(Graph {
                base_url: graph.into(),
                user: GraphUser::User("erika@muster.example".into()),
                trust_if_match: false,
            }),
        },
        policy: usual_policy(),
    }
}

/// A way out to one server that plays all parts.
struct Setup {
    egress: Egress,
    server: Loopback,
    now_ms: Arc<AtomicU64>,
    lease_lost: Arc<AtomicBool>,
}

/// Answers sign-ins with numbered tokens, and everything else by `serve`.
async fn setup(
    writing: Writing,
    serve: impl Fn(&Asked) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> Setup {
    let issued = AtomicUsize::new(0);
    let server = Loopback::start(move |asked| {
        let number = || issued.fetch_add(1, Ordering::SeqCst) + 1;
        match asked.path.as_str() {
            "/flowfact/admin-token-service/public/adminUser/authenticate" => {
                assert_eq!(asked.header("token"), Some("platform-token"));
                answer(200, format!("jwt-{}", number()))
            }
            "/login/muster/oauth2/v2.0/token" => {
                let body = String::from_utf8(asked.body.to_vec()).unwrap();
                assert!(body.contains("client_secret=client-secret"), "{body}");
                let token = format!("jwt-{}", number());
                answer(
                    200,
                    format!(r#"{{"access_token":"{token}","expires_in":3599}}"#),
                )
            }
            _ => serve(asked),
        }
    })
    .await;
    around(server, writing)
}

fn around(server: Loopback, writing: Writing) -> Setup {
    let (clock, now_ms) = hand_clock();
    let url = server.url();
    let (flowfact, graph) = (format!("{url}/flowfact"), format!("{url}/graph/v1.0"));
    let rules = Rules::new(&job(&flowfact, &graph), Networks::default(), writing).unwrap();
    let (origin, _) = Origin::of_endpoint(&url, Network::default()).unwrap();
    let client = Client::new(
        system_lookup(),
        &[(origin, Network::default())],
        &Certificates::default(),
    );
    let secret = |text: &str| SecretSource::Value(SecretString::from(text));
    let crm = SignIn::FlowfactToken {
        base_url: flowfact,
        token: secret("platform-token"),
    };
    let mailbox = SignIn::MicrosoftClient {
        authority: format!("{url}/login/muster/oauth2/v2.0"),
        client_id: "app".into(),
        client_secret: secret("client-secret"),
        scope: "https://graph.microsoft.com/.default".into(),
    };
    let keeper = |sign_in| Arc::new(Keeper::new(sign_in, client.clone(), Arc::clone(&clock)));
    let connections = Connections::new(
        (client.clone(), client.clone()),
        Permits::default(),
        keeper(crm),
        keeper(mailbox),
    );
    let lease_lost = Arc::new(AtomicBool::new(false));
    let egress = Egress::new(rules, connections, Arc::clone(&lease_lost));
    Setup {
        egress,
        server,
        now_ms,
        lease_lost,
    }
}

impl Setup {
    async fn send(&self, request: Request<WasiBody>) -> Result<Response<Bytes>, Error> {
        self.send_with(request, None).await
    }

    async fn send_with(
        &self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response<Bytes>, Error> {
        let mut hooks = self.egress.clone();
        let sent = hooks.send_request(request, options, Box::new(async { Ok(()) }));
        let (answer, _) = Pin::from(sent).await?;
        let (head, body) = answer.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    /// A request to a path of the server.
    fn request(&self, method: &str, path: &str, body: &str) -> Request<WasiBody> {
        let uri = format!("{}{path}", self.server.url());
        Request::builder()
            .method(method)
            .uri(uri)
            .body(wasi_body(body.to_owned()))
            .unwrap()
    }

    /// Requests beside sign-ins.
    fn served(&self) -> Vec<Asked> {
        let sign_in =
            |asked: &Asked| asked.path.ends_with("/token") || asked.path.contains("admin");
        self.server
            .asked()
            .into_iter()
            .filter(|asked| !sign_in(asked))
            .collect()
    }
}

fn wasi_body(bytes: impl Into<Bytes>) -> WasiBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

const CONTACTS: &str = "/flowfact/entity-service/schemas/contacts";
const USER: &str = "/graph/v1.0/users/erika@muster.example/contacts";

/// Whose credentials a request would go with, or why it may not leave.
fn checked(method: &str, url: &str) -> String {
    let job = job("https://ff.example", "https://graph.example/v1.0");
    let rules = Rules::new(&job, Networks::default(), Writing::Allowed).unwrap();
    let Ok(uri) = url.parse() else {
        return "no address".into();
    };
    match rules.check(&Method::from_bytes(method.as_bytes()).unwrap(), &uri) {
        Ok(allowed) => format!("{:?}", allowed.side),
        Err(denial) => denial.to_string(),
    }
}

/// What a pass asks for may leave.
#[test]
fn what_a_pass_asks_for_is_let_out() {
    for (method, path) in [
        ("POST", "/entity-service/schemas/contacts"),
        ("GET", "/entity-service/schemas/contacts/entities/1"),
        ("PATCH", "/entity-service/schemas/contacts/entities/1"),
        ("DELETE", "/entity-service/schemas/contacts/entities/1"),
        (
            "GET",
            "/entity-service/recovery/entities?page=1&size=50&schema=contacts",
        ),
        ("POST", "/entity-service/recovery/entities"),
        (
            "POST",
            "/search-service/schemas/contacts?page=1&size=100&withCount=true",
        ),
        ("GET", "/schema-service/v2/schemas/contacts?extensions=all"),
        ("GET", "/user-service/users/currentUser"),
        ("GET", "/company-service/company"),
        ("GET", "/nylas-service/config"),
        ("POST", "/nylas-contact-sync-service/syncEntries/contact/1"),
        ("DELETE", "/nylas-contact-sync-service/syncEntries/1"),
    ] {
        assert_eq!(
            checked(method, &format!("https://ff.example{path}")),
            "Side::Crm",
            "{path}"
        );
    }
    for (method, path) in [
        ("GET", "/v1.0/users/erika@muster.example/contacts?$top=10"),
        (
            "GET",
            "/v1.0/users('1-2')/contactFolders('A%2FB')/contacts/delta?$deltatoken=x%2F..%2Fy",
        ),
        ("GET", "/v1.0/USERS/x/contacts"),
        ("PATCH", "/v1.0/me/contacts/AAMk="),
        ("DELETE", "/v1.0/me/contactFolders('F')/contacts('1')"),
        ("GET", "/v1.0/me?$select=id"),
        ("GET", "/v1.0/users/x?$select=id,mail,userPrincipalName"),
        ("GET", "/v1.0/users/x/contactFolders?$select=id&$top=100"),
        ("GET", "/v1.0/users/x/contactFolders/contacts?$select=id"),
        (
            "GET",
            "/v1.0/users/x/contactFolders/F/childFolders?$select=id",
        ),
        ("POST", "/v1.0/users/x/contactFolders/F/contacts"),
        ("POST", "/v1.0/$batch"),
    ] {
        let url = format!("https://graph.example{path}");
        assert_eq!(checked(method, &url), "Side::Mailbox", "{path}");
    }
    // The same origin written otherwise is the same.
    assert_eq!(
        checked("GET", "https://FF.example.:443/schema-service/x"),
        "Side::Crm"
    );
}

/// What a pass has no business with: method, address, and a part of the reason.
const DENIED: [(&str, &str, &str); 32] = [
    // Other services of the same origin: token exchange, mail, other schemas.
    (
        "GET",
        "FF/admin-token-service/public/adminUser/authenticate",
        "is not among",
    ),
    ("GET", "FF/email-service/emails", "is not among"),
    ("POST", "FF/entity-service/schemas/estates", "is not among"),
    (
        "POST",
        "FF/entity-service/schemas/contacts-archive",
        "is not among",
    ),
    ("GET", "GRAPH/v1.0/groups", "is not among"),
    ("GET", "GRAPH/beta/users/x/contacts", "is not among"),
    // What empties a trash or a whole system.
    (
        "DELETE",
        "FF/entity-service/recovery/entities",
        "is not among",
    ),
    ("DELETE", "FF/entity-service/entities", "is not among"),
    (
        "POST",
        "GRAPH/v1.0/users/x/contacts/1/permanentDelete",
        "never past it",
    ),
    // Methods.
    ("PUT", "FF/entity-service/schemas/contacts", "is not among"),
    ("CONNECT", "GRAPH/v1.0/users/x", "is not among"),
    ("GET", "GRAPH/v1.0/$batch", "is not among"),
    ("PATCH", "FF/nylas-service/config", "is not among"),
    // Origins that look alike.
    (
        "GET",
        "http://ff.example/schema-service/x",
        "is no endpoint",
    ),
    ("GET", "FF:444/schema-service/x", "is no endpoint"),
    ("GET", "FF.evil.example/schema-service/x", "is no endpoint"),
    (
        "GET",
        "https://169.254.169.254/schema-service/x",
        "is no endpoint",
    ),
    (
        "GET",
        "https://user:pw@ff.example/schema-service/x",
        "user information",
    ),
    (
        "GET",
        "FF@evil.example/schema-service/x",
        "user information",
    ),
    (
        "GET",
        "ftp://ff.example/schema-service/x",
        "scheme is not https",
    ),
    ("GET", "/schema-service/x", "not an absolute URL"),
    ("GET", "FF\\@evil.example/schema-service/x", "no address"),
    (
        "GET",
        "FF/schema-service/x\r\nHost: evil.example",
        "no address",
    ),
    // Paths that a server may read otherwise.
    (
        "GET",
        "FF/schema-service/../admin-token-service/public",
        "hides where it leads",
    ),
    ("GET", "FF/schema-service/./x", "hides where it leads"),
    (
        "GET",
        "FF/schema-service/%2e%2e/admin-token-service",
        "hides where it leads",
    ),
    (
        "GET",
        "FF/schema-service/%252e%252e/admin-token-service",
        "hides where it leads",
    ),
    (
        "GET",
        "FF/schema-service/..%2fadmin-token-service",
        "hides where it leads",
    ),
    (
        "GET",
        "FF/schema-service/..%5cadmin-token-service",
        "hides where it leads",
    ),
    ("GET", "FF/schema-service/x%00", "hides where it leads"),
    (
        "GET",
        "FF/schema-service/x%0d%0aHost:%20evil",
        "hides where it leads",
    ),
    ("GET", "FF/%61dmin-token-service/public", "is not among"),
];

/// What an application may be allowed to do in a mailbox beside its contacts is not for a pass.
const NOT_CONTACTS: [(&str, &str); 17] = [
    ("GET", "/users"),
    ("POST", "/users"),
    ("GET", "/users/"),
    ("PATCH", "/users/x"),
    ("DELETE", "/users('x')"),
    ("GET", "/users/x/messages"),
    ("POST", "/users/x/sendMail"),
    ("POST", "/me/sendMail"),
    ("GET", "/me/calendar/events"),
    ("GET", "/me('x')/contacts"),
    ("GET", "/users/x/%6dessages"),
    ("POST", "/users/x/contactFolders"),
    ("DELETE", "/users/x/contactFolders/contacts"),
    ("DELETE", "/users/x/contactFolders('F')"),
    ("POST", "/users/x/contactFolders/F/childFolders"),
    ("DELETE", "/users/x/contactFolders/F/childFolders/contacts"),
    ("PATCH", "/users/x/contacts/1/photo"),
];

/// A mailbox holds more than contacts, and the same credentials may open all of it.
#[test]
fn nothing_but_contacts_is_let_out() {
    for (method, path) in NOT_CONTACTS {
        let found = checked(method, &format!("https://graph.example/v1.0{path}"));
        assert!(found.contains("is not among"), "{method} {path}: {found}");
    }
}

/// What it has no business with may not, in whatever disguise.
#[test]
fn nothing_else_is_let_out() {
    for (method, url, expected) in DENIED {
        let url = url
            .replace("FF", "https://ff.example")
            .replace("GRAPH", "https://graph.example");
        let found = checked(method, &url);
        assert!(found.contains(expected), "{method} {url}: {found}");
    }
}

/// A batch is no way around the list, and carries no credentials of its own.
#[test]
fn batches_obey_the_list() {
    let check = |writing, requests: &str| {
        let job = job("https://graph.example/ff", "https://graph.example/v1.0");
        let rules = Rules::new(&job, Networks::default(), writing).unwrap();
        let uri = "https://graph.example/v1.0/$batch".parse().unwrap();
        let body = format!(r#"{{"requests":[{requests}]}}"#);
        rules
            .check_batch(&uri, body.as_bytes())
            .map_or_else(|denial| denial.to_string(), |()| "fine".into())
    };
    let item = |method: &str, url: &str| {
        format!(r#"{{"id":"1","method":"{method}","url":"{url}","headers":{{"If-Match":"x"}}}}"#)
    };
    let write = item("PATCH", "/users/x/contacts/1");
    assert_eq!(check(Writing::Allowed, &write), "fine");
    assert_eq!(
        check(Writing::Forbidden, &item("GET", "/users/x/contacts/1")),
        "fine"
    );
    assert!(check(Writing::Forbidden, &write).contains("only reads"));
    let forged = r#"{"id":"1","method":"GET","url":"/me","headers":{"Authorization":"Bearer x"}}"#;
    for (requests, expected) in [
        (item("GET", "/groups"), "is not among"),
        (item("GET", "https://evil.example/me"), "not relative"),
        (item("GET", "//evil.example/me"), "is not among"),
        (
            item("GET", "/../ff/schema-service/x"),
            "hides where it leads",
        ),
        (item("POST", "/$batch"), "none that a batch may hold"),
        (
            item("POST", "/users/x/contacts/1/permanentDelete"),
            "never past it",
        ),
        (forged.to_owned(), "carries credentials"),
        ("7".to_owned(), "the batch is not one"),
        (vec![item("GET", "/me"); 21].join(","), "21 requests"),
    ] {
        let found = check(Writing::Allowed, &requests);
        assert!(found.contains(expected), "{requests}: {found}");
    }
}

/// Each side gets its own credentials, even where one server plays both; the guest's are dropped.
#[tokio::test]
async fn each_side_is_signed_in_by_its_own_credentials() {
    let setup = setup(Writing::Allowed, |_| answer(200, "{}")).await;
    for path in [CONTACTS, USER] {
        let mut request = setup.request("POST", path, "{}");
        for name in CREDENTIAL_HEADERS {
            request
                .headers_mut()
                .append(name, HeaderValue::from_static("forged"));
        }
        request
            .headers_mut()
            .insert("transfer-encoding", HeaderValue::from_static("chunked"));
        request
            .headers_mut()
            .insert("if-match", HeaderValue::from_static("W/1"));
        setup.send(request).await.unwrap();
    }
    let [crm, mailbox] = setup.served().try_into().unwrap();
    assert_eq!(crm.header("cognitotoken"), Some("jwt-1"));
    assert_eq!(crm.header("authorization"), None);
    assert_eq!(mailbox.header("authorization"), Some("Bearer jwt-2"));
    assert_eq!(mailbox.header("cognitotoken"), None);
    for asked in [crm, mailbox] {
        assert!(
            asked.headers.values().all(|value| value != "forged"),
            "{asked:?}"
        );
        assert_eq!(asked.header("if-match"), Some("W/1"));
        assert_eq!(asked.header("content-length"), Some("2"));
        assert_eq!(
            asked.header("host"),
            Some(setup.server.address.to_string().as_str())
        );
        assert_eq!(
            (asked.method.as_str(), &asked.body[..]),
            ("POST", &b"{}"[..])
        );
    }
}

/// A guest cannot even build a request with such a header, and sees none in an answer.
#[tokio::test]
async fn credentials_are_no_headers_for_a_guest() {
    let setup = setup(Writing::Allowed, |_| {
        let mut answer = answer(200, "{}");
        for name in [
            "set-cookie",
            "authorization",
            "cognitotoken",
            "keep-alive",
            "etag",
        ] {
            answer
                .headers_mut()
                .insert(name, HeaderValue::from_static("x"));
        }
        answer
    })
    .await;
    let filter = setup.egress.clone().forbidden_header_filter();
    for name in CREDENTIAL_HEADERS
        .iter()
        .chain(&["host", "connection", "transfer-encoding"])
    {
        assert!(filter(&HeaderName::from_static(name)), "{name}");
    }
    assert!(!filter(&HeaderName::from_static("prefer")));

    let answer = setup
        .send(setup.request("GET", CONTACTS, ""))
        .await
        .unwrap();
    let mut names: Vec<_> = answer.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["date", "etag"]);
}

/// The header that chooses among an API user's companies chooses the job's, or nothing.
#[tokio::test]
async fn another_company_is_out_of_reach() {
    let setup = setup(Writing::Allowed, |_| answer(200, "{}")).await;
    for (company, allowed) in [("c-1", true), ("c-2", false), ("", false)] {
        let mut request = setup.request("GET", CONTACTS, "");
        let company = HeaderValue::from_static(company);
        request.headers_mut().append("x-ff-company-id", company);
        assert_eq!(setup.send(request).await.is_ok(), allowed);
    }
    let mut both = setup.request("GET", CONTACTS, "");
    for company in ["c-1", "c-2"] {
        both.headers_mut()
            .append("x-ff-company-id", HeaderValue::from_static(company));
    }
    assert!(setup.send(both).await.is_err());
    assert_eq!(setup.served().len(), 1);
}

/// A redirect is an answer like any other: the credentials stay here.
#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Loopback::start(|_| answer(200, "stolen")).await;
    let target = elsewhere.url();
    let setup = setup(Writing::Allowed, move |_| {
        let mut answer = answer(302, "");
        answer
            .headers_mut()
            .insert("location", HeaderValue::from_str(&target).unwrap());
        answer
    })
    .await;
    let answer = setup
        .send(setup.request("GET", CONTACTS, ""))
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), elsewhere.asked().len()),
        (302, 0)
    );
    let hop = Request::get(answer.headers()["location"].to_str().unwrap());
    let denied = setup.send(hop.body(wasi_body("")).unwrap()).await;
    assert!(matches!(denied, Err(Error::HttpRequestDenied)));
    assert_eq!(elsewhere.asked().len(), 0);
}

/// Denied requests reach nobody, not even a sign-in, and are told to the person in the end.
#[tokio::test]
async fn denied_requests_reach_nobody() {
    let setup = setup(Writing::Forbidden, |_| answer(200, "{}")).await;
    let batch = r#"{"requests":[{"id":"1","method":"PUT","url":"/groups"}]}"#;
    let requests = [
        setup.request("GET", "/elsewhere", ""),
        setup.request("POST", CONTACTS, "{}"),
        setup.request("PATCH", USER, "{}"),
        setup.request("PATCH", USER, "{}"),
        setup.request("POST", "/graph/v1.0/$batch", batch),
    ];
    for request in requests {
        assert!(matches!(
            setup.send(request).await,
            Err(Error::HttpRequestDenied)
        ));
    }
    assert_eq!(setup.server.asked().len(), 0);
    let noted = setup.egress.noted();
    assert_eq!(noted.denials.len(), 4, "{:?}", noted.denials);

    setup.lease_lost.store(true, Ordering::Relaxed);
    let denied = setup.send(setup.request("GET", CONTACTS, "")).await;
    assert!(matches!(denied, Err(Error::HttpRequestDenied)));
    assert_eq!(setup.server.asked().len(), 0);
}

/// A body of the limit passes in both directions, one byte more does not, announced or not.
#[tokio::test]
async fn bodies_are_limited() {
    let setup = setup(Writing::Allowed, |asked| {
        let length = asked.header("x-length").unwrap().parse().unwrap();
        let announced = asked.header("x-announced") == Some("yes");
        let body = Full::new(Bytes::from(vec![b' '; length]));
        let mut answer = Response::new(body);
        if !announced {
            let chunked = HeaderValue::from_static("chunked");
            answer.headers_mut().insert("transfer-encoding", chunked);
        }
        answer
    })
    .await;
    for announced in ["yes", "no"] {
        for (length, fits) in [
            (client::ANSWER_BYTES_MAX, true),
            (client::ANSWER_BYTES_MAX + 1, false),
        ] {
            let mut request = setup.request("GET", CONTACTS, "");
            request.headers_mut().insert("x-length", length.into());
            request
                .headers_mut()
                .insert("x-announced", HeaderValue::from_static(announced));
            match setup.send(request).await {
                Ok(answer) => assert!(fits && answer.body().len() == length),
                Err(Error::HttpResponseBodySize(Some(_))) => assert!(!fits),
                Err(error) => panic!("{error}"),
            }
        }
    }
    let before = setup.served().len();
    let mut request = setup.request("POST", CONTACTS, "");
    *request.body_mut() = wasi_body(vec![0; REQUEST_BYTES_MAX + 1]);
    let answer = setup.send(request).await;
    assert!(matches!(answer, Err(Error::HttpRequestBodySize(Some(_)))));
    assert_eq!(setup.served().len(), before);
}

/// A guest that never finishes its body, and a server that never answers, end in time.
#[tokio::test]
async fn nobody_waits_for_ever() {
    let silent = Loopback::start_slow(|asked| {
        Box::pin(async move {
            if asked.path.contains("admin") {
                return answer(200, "jwt-1");
            }
            std::future::pending().await
        })
    })
    .await;
    let setup = around(silent, Writing::Allowed);
    let short = RequestOptions {
        first_byte_timeout: Some(Duration::ZERO),
        between_bytes_timeout: Some(Duration::ZERO),
        connect_timeout: Some(Duration::ZERO),
    };
    let answer = setup
        .send_with(setup.request("GET", CONTACTS, ""), Some(short))
        .await;
    assert!(
        matches!(answer, Err(Error::HttpResponseTimeout)),
        "{answer:?}"
    );
    let mut request = setup.request("POST", CONTACTS, "");
    let endless = tokio_stream_pending();
    *request.body_mut() = StreamBody::new(endless).boxed_unsync();
    let answer = setup.send_with(request, Some(short)).await;
    assert!(
        matches!(answer, Err(Error::ConnectionWriteTimeout)),
        "{answer:?}"
    );
    let long = RequestOptions {
        first_byte_timeout: Some(Duration::MAX),
        ..short
    };
    assert_eq!(waits(Some(long)).first_byte, FIRST_BYTE_MAX);
}

fn tokio_stream_pending() -> impl futures_core::Stream<Item = Result<Frame<Bytes>, Error>> {
    struct Pending;
    impl futures_core::Stream for Pending {
        type Item = Result<Frame<Bytes>, Error>;
        fn poll_next(
            self: Pin<&mut Self>,
            _context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Pending
        }
    }
    Pending
}

/// Four in flight to one origin, however many passes and requests there are.
#[tokio::test]
async fn requests_in_flight_are_limited() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, peak) = (Arc::clone(&now), Arc::clone(&most));
    let server = Loopback::start_slow(move |asked| {
        let (count, peak) = (Arc::clone(&count), Arc::clone(&peak));
        Box::pin(async move {
            if asked.path.contains("admin") {
                return answer(200, "jwt-1");
            }
            peak.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            count.fetch_sub(1, Ordering::SeqCst);
            answer(200, "{}")
        })
    })
    .await;
    let setup = Arc::new(around(server, Writing::Allowed));
    let tasks: Vec<_> = (0..24)
        .map(|_| {
            let setup = Arc::clone(&setup);
            tokio::spawn(async move { setup.send(setup.request("GET", CONTACTS, "")).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), IN_FLIGHT_MAX);
    assert_eq!(setup.served().len(), 24);
}

/// A 401 is repeated once, body and all, with new credentials; a second one is the guest's.
#[tokio::test]
async fn a_401_is_repeated_once() {
    let setup = setup(Writing::Allowed, |asked| {
        match asked.header("authorization") {
            // The first token was withdrawn; nothing helps the contact `locked`.
            Some("Bearer jwt-1") => answer(401, "expired"),
            _ if asked.path.ends_with("/locked") => answer(401, "locked"),
            _ => answer(200, asked.body.clone()),
        }
    })
    .await;
    let answer = setup
        .send(setup.request("POST", USER, "contact"))
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.body()[..]),
        (200, &b"contact"[..])
    );
    let token = "/login/muster/oauth2/v2.0/token";
    assert_eq!(setup.server.count(token), 2);

    // A token that has worked is suspected once per refusal, an unproven one not again.
    for _ in 0..3 {
        let answer = setup
            .send(setup.request("GET", &format!("{USER}/locked"), ""))
            .await
            .unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (401, &b"locked"[..])
        );
    }
    assert_eq!(setup.server.count(token), 3);
}

/// FLOWFACT answers 403 to bad credentials and to contacts that are hidden: a token is suspected
/// only when it is old enough to have ended, and once.
#[tokio::test]
async fn a_403_of_flowfact_is_suspected_once_a_minute() {
    let setup = setup(Writing::Allowed, |_| answer(403, "hidden")).await;
    let exchange = "/flowfact/admin-token-service/public/adminUser/authenticate";
    for (later_ms, exchanges) in [(0, 1), (0, 1), (61_000, 2), (0, 2)] {
        setup.now_ms.fetch_add(later_ms, Ordering::SeqCst);
        let answer = setup
            .send(setup.request("GET", CONTACTS, ""))
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 403);
        assert_eq!(setup.server.count(exchange), exchanges);
    }
    let answer = setup.send(setup.request("GET", USER, "")).await.unwrap();
    assert_eq!(answer.status().as_u16(), 403);
    assert_eq!(
        setup.server.count("/login/muster/oauth2/v2.0/token"),
        1,
        "not so Microsoft"
    );
}

/// Where the host cannot sign in, the guest sees a 401 that says why, without any secret.
#[tokio::test]
async fn a_failed_sign_in_is_a_401_with_its_reason() {
    let server = Loopback::start(|_| {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS7000222: client-secret",
            "error_codes":[7000222],"trace_id":"t-1"}"#;
        answer(401, body)
    })
    .await;
    let setup = around(server, Writing::Allowed);
    for _ in 0..3 {
        let answer = setup.send(setup.request("GET", USER, "")).await.unwrap();
        assert_eq!(answer.status().as_u16(), 401);
        let body = String::from_utf8(answer.body().to_vec()).unwrap();
        assert!(
            body.contains("AADSTS7000222") && body.contains("has expired"),
            "{body}"
        );
        assert!(
            SECRETS.iter().all(|secret| !body.contains(secret)),
            "{body}"
        );
    }
    assert_eq!(
        setup.server.asked().len(),
        1,
        "a refused sign-in is not repeated at once"
    );
    let noted = setup.egress.noted().sign_in.unwrap();
    assert!(noted.remedy.contains("Certificates & secrets"), "{noted:?}");
}

/// A dead port is told apart from a name that does not exist.
#[tokio::test]
async fn a_dead_port_is_a_refused_connection() {
    let server = Loopback::start(|_| answer(200, "jwt-1")).await;
    let setup = around(server, Writing::Allowed);
    setup
        .send(setup.request("GET", CONTACTS, ""))
        .await
        .unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{closed}");
    let (origin, _) = Origin::of_endpoint(&url, Network::default()).unwrap();
    let client = Client::new(
        system_lookup(),
        &[(origin, Network::default())],
        &Certificates::default(),
    );
    let request = Request::get(url).body(Full::default()).unwrap();
    let error = client.exchange(request, waits(None)).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Refused), "{error:?}");
}

/// A name on the list that leads into the machine room, or to a name that was never configured,
/// gets no connection; one that is configured as private does.
#[tokio::test]
async fn addresses_are_checked_after_dns() {
    let server = Loopback::start(|_| answer(200, "inside")).await;
    let port = server.address.port();
    let lookup = |found: &'static str| -> Lookup {
        Arc::new(move |_| {
            let found: Vec<SocketAddr> = found.split(' ').map(|one| one.parse().unwrap()).collect();
            Box::pin(async move { Ok::<_, io::Error>(found) })
        })
    };
    let ask = async |found, network| {
        let url = format!("http://crm.example:{port}");
        let (origin, _) = Origin::of_endpoint(
            &url,
            Network {
                plain_http: true,
                ..network
            },
        )
        .unwrap();
        let client = Client::new(
            lookup(found),
            &[(origin, network)],
            &Certificates::default(),
        );
        let request = Request::get(url).body(Full::default()).unwrap();
        client.exchange(request, waits(None)).await
    };
    let public = Network::default();
    let private = Network {
        private_addresses: true,
        ..public
    };
    for found in [
        "127.0.0.1:0",
        "[::ffff:127.0.0.1]:0 10.0.0.1:0",
        "169.254.169.254:0",
    ] {
        let error = ask(found, public).await.unwrap_err();
        assert!(
            matches!(error, ExchangeError::Prohibited),
            "{found}: {error:?}"
        );
    }
    let error = ask("169.254.169.254:0", private).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Prohibited), "{error:?}");
    assert_eq!(server.asked().len(), 0);
    assert_eq!(
        ask("169.254.169.254:0 127.0.0.1:0", private)
            .await
            .unwrap()
            .body(),
        "inside"
    );
}
