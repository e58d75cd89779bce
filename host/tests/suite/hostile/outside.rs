//! Requests, and what comes back.
//!
//! Two servers on loopback, one tenant's CRM each. A villain's request is made as a guest makes it;
//! how it ended is told in `progress.done`: a status, or one of the numbers below. What arrives is
//! looked at raw.

use std::sync::Mutex;

use contact_sync_host::Turn;
use contact_sync_host::credentials::SecretSource;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Before an `error-code` of wasi:http, by its number there.
const ERROR: u32 = 1_000;
const TERMINATED: u32 = ERROR + 7;
const DENIED: u32 = ERROR + 15;
const BODY_SIZE: u32 = ERROR + 17;
const ANSWER_TOO_LARGE: u32 = ERROR + 28;
const PROTOCOL: u32 = ERROR + 35;
const ANSWER_TIMEOUT: u32 = ERROR + 33;
/// A part of the request was not even taken.
const NO_REQUEST: u32 = 2_000;
const NO_HEADER: u32 = 3_000;
/// The header that was looked for is in the answer.
const SEEN: u32 = 4_000;

const HTTP: u32 = 0;
const HTTPS: u32 = 1;
const GET: u32 = 0;

/// A request as a guest makes it.
#[derive(Clone)]
struct Ask {
    method: (u32, String),
    scheme: (u32, String),
    authority: String,
    path: String,
    header: Option<(String, String)>,
    /// A header to look for in the answer.
    looks_for: String,
    /// How long it waits for the answer to begin.
    patience_ms: u64,
}

impl Ask {
    fn get(authority: &str, path: &str) -> Self {
        Self {
            method: (GET, String::new()),
            scheme: (HTTP, String::new()),
            authority: authority.into(),
            path: path.into(),
            header: None,
            looks_for: "x-nothing".into(),
            patience_ms: 60_000,
        }
    }

    /// A guest that makes it in a pass.
    fn guest(&self) -> Guest {
        let (name, value) = self.header.clone().unwrap_or_default();
        let texts = [
            &self.method.1,
            &self.scheme.1,
            &self.authority,
            &self.path,
            &name,
            &value,
            &self.looks_for,
        ];
        let mut at = 16_384;
        let mut items = Vec::new();
        let mut places = Vec::new();
        for text in texts {
            let escaped: Vec<_> = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
            let escaped = escaped.concat();
            items.push(format!("(data (i32.const {at}) \"{escaped}\")"));
            places.push(format!("(i32.const {at}) (i32.const {})", text.len()));
            at += text.len();
        }
        let mut guest = Guest::new().allocator(
            "(global.set $room (i32.and (i32.add (global.get $room) (i32.const 15))
               (i32.const -16)))
             global.get $room
             (global.set $room (i32.add (global.get $room) (local.get 3)))",
        );
        guest = guest.item("(global $room (mut i32) (i32.const 180000))");
        for item in items {
            guest = guest.item(&item);
        }
        with(guest, ADVANCE, &self.body(&places))
    }

    fn body(&self, places: &[String]) -> String {
        let end = |number: &str| format!("(i32.store (i32.const 1036) {number}) {WORKING}");
        let set = |setter: &str, arguments: &str| {
            format!(
                "(if (call $wasi:http~types@0.2/[method]outgoing-request.set-{setter}
                   (local.get $a) {arguments}) (then {}))",
                end(&format!("(i32.const {NO_REQUEST})"))
            )
        };
        let append = format!(
            "(call $wasi:http~types@0.2/[method]fields.append
               (local.get $b) {} {} (i32.const 512))
             (if (i32.load8_u (i32.const 512)) (then {}))",
            places[4],
            places[5],
            end(&format!("(i32.const {NO_HEADER})"))
        );
        let failed = |at: u32| {
            end(&format!(
                "(i32.add (i32.const {ERROR}) (i32.load8_u (i32.const {at})))"
            ))
        };
        [
            "(local.set $b (call $wasi:http~types@0.2/[constructor]fields ))".to_owned(),
            self.header.as_ref().map_or_else(String::new, |_| append),
            "(local.set $a (call $wasi:http~types@0.2/[constructor]outgoing-request
               (local.get $b)))"
                .to_owned(),
            set(
                "method",
                &format!("(i32.const {}) {}", self.method.0, places[0]),
            ),
            set(
                "scheme",
                &format!("(i32.const 1) (i32.const {}) {}", self.scheme.0, places[1]),
            ),
            set("authority", &format!("(i32.const 1) {}", places[2])),
            set("path-with-query", &format!("(i32.const 1) {}", places[3])),
            format!(
                "(local.set $b (call $wasi:http~types@0.2/[constructor]request-options ))
                 (drop (call $wasi:http~types@0.2/[method]request-options.set-first-byte-timeout
                   (local.get $b) (i32.const 1) (i64.const {}000000)))
                 (call $wasi:http~outgoing-handler@0.2/handle
                   (local.get $a) (i32.const 1) (local.get $b) (i32.const 512))
                 (if (i32.load8_u (i32.const 512)) (then {}))",
                self.patience_ms,
                failed(520)
            ),
            "(local.set $a (i32.load (i32.const 520)))
             (call $wasi:io~poll@0.2/[method]pollable.block
               (call $wasi:http~types@0.2/[method]future-incoming-response.subscribe
                 (local.get $a)))
             (call $wasi:http~types@0.2/[method]future-incoming-response.get
               (local.get $a) (i32.const 600))"
                .to_owned(),
            format!("(if (i32.load8_u (i32.const 616)) (then {}))", failed(624)),
            format!(
                "(local.set $a (i32.load (i32.const 624)))
                 (if (call $wasi:http~types@0.2/[method]fields.has
                   (call $wasi:http~types@0.2/[method]incoming-response.headers (local.get $a))
                   {}) (then {}))",
                places[6],
                end(&format!("(i32.const {SEEN})"))
            ),
            end("(call $wasi:http~types@0.2/[method]incoming-response.status (local.get $a))"),
        ]
        .concat()
    }
}

/// One tenant's CRM: signs everybody in, and answers the rest with what it is given.
#[derive(Clone)]
struct Server {
    authority: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// How often a part of an answer is sent, at most: more than anybody takes.
const ENDLESS_TIMES: usize = 1_000_000;

impl Server {
    async fn start(answer: &[u8], then: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer, then) = (Arc::clone(&asked), answer.to_vec(), then.to_vec());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer, then) = (Arc::clone(&seen), answer.clone(), then.clone());
                tokio::spawn(serve(stream, seen, answer, then));
            }
        });
        Self { authority, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// One request, one answer, and the end of the connection.
async fn serve(
    mut stream: TcpStream,
    seen: Arc<Mutex<Vec<String>>>,
    answer: Vec<u8>,
    then: Vec<u8>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let is_sign_in = head.contains("/admin-token-service/");
    seen.lock().unwrap().push(head);
    if is_sign_in {
        let jwt = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\njwt-1";
        return stream.write_all(jwt.as_bytes()).await;
    }
    stream.write_all(&answer).await?;
    for _ in 0..ENDLESS_TIMES {
        if then.is_empty() {
            break;
        }
        stream.write_all(&then).await?;
    }
    stream.shutdown().await
}

const FINE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";

/// A path that a pass may read.
const USERS: &str = "/user-service/users/currentUser";

/// Two tenants, each with a CRM of its own, and a guest that asks.
struct Town {
    street: Street,
    crm: Server,
    neighbours: Server,
}

/// A town where the villain's CRM answers with these bytes.
async fn town(ask: impl FnOnce(&Server, &Server) -> Ask, answer: &[u8], then: &[u8]) -> Town {
    let (crm, neighbours) = (
        Server::start(answer, then).await,
        Server::start(FINE, b"").await,
    );
    let guest = ask(&crm, &neighbours).guest();
    let settings = |tenant: &str, server: &Server| {
        let mut settings = tenant_settings(tenant);
        settings.flowfact.base_url = format!("http://{}", server.authority);
        settings.flowfact.company = Some("c-1".into());
        let secret = SecretString::from(format!("{tenant}-secret"));
        settings.flowfact.token = SecretSource::Value(secret);
        settings
    };
    let tenants = [settings(VILLAIN, &crm), settings(NEIGHBOUR, &neighbours)];
    let store = Arc::new(MemoryStore::default());
    let street = Street::with_settings(guest, limits_outside(), store, tenants).await;
    Town {
        street,
        crm,
        neighbours,
    }
}

fn limits_outside() -> Limits {
    Limits {
        memory_bytes_max: 4 * 1024 * 1024,
        call_bytes_max: Limits::usual().call_bytes_max,
        ..limits()
    }
}

impl Town {
    /// How the villain's request ended, and which denials the host noted.
    async fn told(&self) -> (u32, Vec<String>) {
        let mut pass = self.street.villain.open(Mode::Sync).await.unwrap();
        let turn = self.street.during(pass.advance()).await.unwrap();
        let denials = pass.denials();
        pass.close().await;
        let Turn::Working(progress) = turn else {
            panic!("{turn:?}");
        };
        (progress.done, denials)
    }
}

/// The measure of all that follows: what a pass may ask for is answered, with the host's
/// credentials and no others.
#[tokio::test]
async fn what_is_allowed_is_answered() {
    let town = town(|crm, _| Ask::get(&crm.authority, USERS), FINE, b"").await;
    assert_eq!(town.told().await, (200, Vec::new()));
    let [sign_in, asked] = town.crm.asked().try_into().unwrap();
    assert!(sign_in.contains("token: villain-secret"), "{sign_in}");
    assert!(asked.contains("cognitotoken: jwt-1"), "{asked}");
    assert!(!asked.contains("secret"), "{asked}");
    assert!(town.neighbours.asked().is_empty());
}

/// What a disguise changes in a request that is allowed.
#[derive(Clone, Copy)]
enum Part {
    /// `CRM` and `NEIGHBOUR` stand for the servers' authorities, `PORT` for the CRM's port.
    Authority,
    Path,
    /// A number of wasi:http's `method`; 9 is one in words.
    Method(u32),
    Scheme(u32),
}

use Part::{Authority, Method, Path, Scheme};

/// What it is, what is changed to what, and how it may end.
const DISGUISES: [(&str, Part, &str, &[u32]); 32] = [
    ("the neighbour's CRM", Authority, "NEIGHBOUR", &[DENIED]),
    (
        "behind user information",
        Authority,
        "CRM@NEIGHBOUR",
        &[DENIED, NO_REQUEST],
    ),
    ("with user information", Authority, "user:pw@CRM", &[DENIED]),
    ("another port", Authority, "127.0.0.1", &[DENIED]),
    ("another name", Authority, "localhost:PORT", &[DENIED]),
    ("decimal", Authority, "2130706433:PORT", &[DENIED]),
    ("octal", Authority, "0177.0.0.1:PORT", &[DENIED]),
    ("hexadecimal", Authority, "0x7f.0.0.1:PORT", &[DENIED]),
    ("short", Authority, "127.1:PORT", &[DENIED]),
    (
        "IPv4 in IPv6",
        Authority,
        "[::ffff:127.0.0.1]:PORT",
        &[DENIED],
    ),
    ("IPv6", Authority, "[::1]:PORT", &[DENIED]),
    (
        "percent",
        Authority,
        "127.0.0.%31:PORT",
        &[DENIED, NO_REQUEST],
    ),
    ("metadata", Authority, "169.254.169.254", &[DENIED]),
    (
        "metadata by name",
        Authority,
        "metadata.google.internal",
        &[DENIED],
    ),
    ("nobody", Authority, "", &[NO_REQUEST]),
    ("a line feed", Authority, "CRM\r\nhost: evil", &[NO_REQUEST]),
    ("TLS", Scheme(HTTPS), "", &[DENIED]),
    ("another scheme", Scheme(2), "ftp", &[PROTOCOL]),
    (
        "absolute",
        Path,
        "http://NEIGHBOUR/user-service/users",
        &[NO_REQUEST],
    ),
    (
        "an authority in the path",
        Path,
        "//NEIGHBOUR/user-service/users",
        &[DENIED],
    ),
    ("an authority alone", Path, "NEIGHBOUR", &[NO_REQUEST]),
    (
        "upwards",
        Path,
        "/user-service/users/../../email-service/emails",
        &[DENIED],
    ),
    (
        "upwards in escapes",
        Path,
        "/user-service/users/%2e%2e/%2E%2E/email-service",
        &[DENIED],
    ),
    (
        "upwards, escaped twice",
        Path,
        "/user-service/users/%252e%252e/email-service",
        &[DENIED],
    ),
    (
        "a sign-in",
        Path,
        "/admin-token-service/public/adminUser/authenticate",
        &[DENIED],
    ),
    (
        "a second request",
        Path,
        "/user-service/users HTTP/1.1\r\nX: y",
        &[NO_REQUEST],
    ),
    ("CONNECT", Method(5), "", &[DENIED]),
    ("TRACE", Method(7), "", &[DENIED]),
    ("a method of its own", Method(9), "PURGE", &[DENIED]),
    ("a method in small letters", Method(9), "get", &[DENIED]),
    (
        "a request in the method",
        Method(9),
        "GET / HTTP/1.1\r\nX:",
        &[NO_REQUEST],
    ),
    ("nothing for a method", Method(9), "", &[NO_REQUEST]),
];

impl Part {
    /// A request to this CRM that is allowed but for this part.
    fn changed(self, text: &str, crm: &Server, neighbours: &Server) -> Ask {
        let port = crm.authority.rsplit(':').next().unwrap();
        let text = text
            .replace("NEIGHBOUR", &neighbours.authority)
            .replace("CRM", &crm.authority)
            .replace("PORT", port);
        let mut ask = Ask::get(&crm.authority, USERS);
        match self {
            Authority => ask.authority = text,
            Path => ask.path = text,
            Method(number) => ask.method = (number, text),
            Scheme(number) => ask.scheme = (number, text),
        }
        ask
    }
}

/// Every disguise of another origin, another path or another method: nobody is asked, not even for
/// a sign-in.
#[tokio::test]
async fn nothing_leaves_in_disguise() {
    for (what, part, text, expected) in DISGUISES {
        let ask = |crm: &Server, neighbours: &Server| part.changed(text, crm, neighbours);
        stays_here(what, town(ask, FINE, b"").await, expected).await;
    }
}

async fn stays_here(what: &str, town: Town, expected: &[u32]) {
    let (told, denials) = town.told().await;
    assert!(expected.contains(&told), "{what}: {told} {denials:?}");
    assert_eq!(
        denials.len(),
        usize::from(told == DENIED),
        "{what}: {denials:?}"
    );
    assert!(
        town.crm.asked().is_empty(),
        "{what}: {:?}",
        town.crm.asked()
    );
    assert!(town.neighbours.asked().is_empty(), "{what}");
}

/// Parts of a request that are longer than any that is meant are not even taken.
#[tokio::test]
async fn what_is_long_stays_here() {
    for (what, part, length, expected) in [
        ("a method", Method(9), 2_000, NO_REQUEST),
        ("an authority", Authority, 2_000, NO_REQUEST),
        ("a path", Path, 65_536, NO_REQUEST),
        ("a path as long as can be", Path, 65_500, DENIED),
    ] {
        let text = format!("/{}", "a".repeat(length));
        let text = if matches!(part, Path) {
            &text
        } else {
            &text[1..]
        };
        let ask = |crm: &Server, neighbours: &Server| part.changed(text, crm, neighbours);
        stays_here(what, town(ask, FINE, b"").await, &[expected]).await;
    }
}

/// An address as long as can be, on a path that is allowed, is an address like any other.
#[tokio::test]
async fn a_long_address_is_sent_whole() {
    let path = format!("{USERS}?{}", "a".repeat(65_000));
    let ask = path.clone();
    let town = town(move |crm, _| Ask::get(&crm.authority, &ask), FINE, b"").await;
    assert_eq!(town.told().await.0, 200);
    assert!(town.crm.asked().concat().contains(&path));
}

/// What signs requests in, or makes two of one, is no header for a guest.
#[tokio::test]
async fn no_header_is_smuggled() {
    for (name, value, expected) in [
        ("authorization", "Bearer x", NO_HEADER),
        ("Authorization", "Bearer x", NO_HEADER),
        ("cookie", "a=b", NO_HEADER),
        ("host", "evil.example", NO_HEADER),
        ("connection", "close", NO_HEADER),
        ("transfer-encoding", "chunked", NO_HEADER),
        ("upgrade", "h2c", NO_HEADER),
        ("proxy-authorization", "x", NO_HEADER),
        ("cognitotoken", "x", NO_HEADER),
        ("COGNITOTOKEN", "x", NO_HEADER),
        ("token", "x", NO_HEADER),
        ("userid", "x", NO_HEADER),
        ("x-ff-api-token", "x", NO_HEADER),
        ("x-ff-support-token", "x", NO_HEADER),
        ("x-good", "a\r\ncognitotoken: x", NO_HEADER),
        ("x-good\r\ncookie", "a", NO_HEADER),
        ("x good", "a", NO_HEADER),
        // Longer than the body, of which there is none.
        ("content-length", "5", BODY_SIZE),
        ("x-ff-company-id", "c-2", DENIED),
        ("x-ff-company-id", "c-1", 200),
        ("expect", "100-continue", 200),
    ] {
        let header = (name.to_owned(), value.to_owned());
        let ask = |crm: &Server, _: &Server| Ask {
            header: Some(header),
            ..Ask::get(&crm.authority, USERS)
        };
        let town = town(ask, FINE, b"").await;
        let told = town.told().await.0;
        assert_eq!(told, expected, "{name}");
        let asked = town.crm.asked();
        assert_eq!(asked.len(), if expected == 200 { 2 } else { 0 }, "{name}");
        let expects = asked.concat().contains("expect");
        assert!(!expects, "the buffered body has no use for it: {asked:?}");
    }
}

/// Headers are limited all together.
#[tokio::test]
async fn headers_are_limited() {
    let header = ("x-long".to_owned(), "a".repeat(20_000));
    let ask = |crm: &Server, _: &Server| Ask {
        header: Some(header),
        ..Ask::get(&crm.authority, USERS)
    };
    let town = town(ask, FINE, b"").await;
    let words = town.street.stopped(town.street.villains_pass()).await;
    assert!(words.starts_with("it was stopped: "), "{words}");
    assert!(town.crm.asked().is_empty());
}

/// What a service sets for the host is not the guest's to see.
#[tokio::test]
async fn credentials_in_answers_are_not_seen() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\
        set-cookie: session=1\r\nset-cookie: other=2\r\nSet-Cookie: third=3\r\n\
        cognitotoken: jwt-2\r\nauthorization: Bearer x\r\netag: 1\r\n\r\n{}";
    for (name, expected) in [
        ("set-cookie", 200),
        ("cognitotoken", 200),
        ("authorization", 200),
        ("etag", SEEN),
    ] {
        let ask = |crm: &Server, _: &Server| Ask {
            looks_for: name.to_owned(),
            ..Ask::get(&crm.authority, USERS)
        };
        let town = town(ask, ANSWER.as_bytes(), b"").await;
        assert_eq!(town.told().await.0, expected, "{name}");
    }
}

/// A redirect is an answer; nobody follows it but the guest, and it is denied the next hop.
#[tokio::test]
async fn a_redirect_is_an_answer() {
    let elsewhere = Server::start(FINE, b"").await;
    let answer = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://{}{USERS}\r\ncontent-length: 0\r\n\
         connection: close\r\n\r\n",
        elsewhere.authority
    );
    let town = town(
        |crm, _| Ask::get(&crm.authority, USERS),
        answer.as_bytes(),
        b"",
    )
    .await;
    assert_eq!(town.told().await, (302, Vec::new()));
    assert!(elsewhere.asked().is_empty());
}

/// A server that answers rubbish, too much, or without end is a failed request and no more.
#[tokio::test]
async fn rubbish_is_a_failed_request() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\n";
    const ZEROS: &[u8] = &[0; 64 * 1024];
    let rows: [(&str, String, &[u8], &[u32]); 14] = [
        ("nothing", String::new(), b"", &[TERMINATED]),
        (
            "rubbish",
            "\u{1}\u{2}\u{3}\r\n\r\n".into(),
            b"",
            &[TERMINATED],
        ),
        (
            "rubbish without end",
            String::new(),
            b"rubbish",
            &[TERMINATED],
        ),
        (
            "another protocol",
            "SSH-2.0-OpenSSH_9.9\r\n".into(),
            b"",
            &[TERMINATED],
        ),
        (
            "no status",
            "HTTP/1.1 OK\r\n\r\n".into(),
            b"",
            &[TERMINATED],
        ),
        (
            "a long status",
            "HTTP/1.1 99999 OK\r\n\r\n".into(),
            b"",
            &[TERMINATED],
        ),
        (
            "headers without end",
            HEAD.into(),
            b"x-more: and more\r\n",
            &[TERMINATED],
        ),
        (
            "one header without end",
            format!("{HEAD}x-more: "),
            b"more",
            &[TERMINATED],
        ),
        (
            "a body cut short",
            format!("{HEAD}content-length: 10\r\n\r\nabc"),
            b"",
            &[TERMINATED],
        ),
        (
            "no length",
            format!("{HEAD}content-length: -1\r\n\r\n"),
            b"",
            &[TERMINATED],
        ),
        (
            "a length of all",
            format!("{HEAD}content-length: 18446744073709551614\r\n\r\n"),
            b"",
            &[TERMINATED, ANSWER_TOO_LARGE],
        ),
        (
            "chunks that are none",
            format!("{HEAD}transfer-encoding: chunked\r\n\r\nzz\r\n"),
            b"",
            &[TERMINATED],
        ),
        (
            "a body without end",
            format!("{HEAD}\r\n"),
            ZEROS,
            &[ANSWER_TOO_LARGE],
        ),
        (
            "interim answers without end",
            String::new(),
            b"HTTP/1.1 100 Continue\r\n\r\n",
            &[ANSWER_TIMEOUT, TERMINATED],
        ),
    ];
    for (what, answer, then, expected) in rows {
        let ask = |crm: &Server, _: &Server| Ask {
            patience_ms: if expected.contains(&ANSWER_TIMEOUT) {
                100
            } else {
                60_000
            },
            ..Ask::get(&crm.authority, USERS)
        };
        let town = town(ask, answer.as_bytes(), then).await;
        let (told, denials) = town.told().await;
        assert!(expected.contains(&told), "{what}: {told}");
        assert!(denials.is_empty(), "{what}: {denials:?}");
    }
}
