//! Services that answer rubbish on the wire, to the shipped component.
//!
//! Goal: whatever comes instead of an answer, a pass ends in words that name the service, writes
//! nothing, and crashes nothing. Method: an office whose CRM, or whose Exchange, is replaced by a
//! server that signs in and then answers the same bytes to everything. All at once, since a pass
//! waits a little before it asks again.

use std::fs;

use contact_sync_host::Mode;
use contact_sync_host::store::system_clock;
use contact_sync_host::types::{Failure, Outcome, RemoteProblem};
use contact_sync_tests::office::{Premises, now, tenant};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const ANNA: &str = "anna@makler.example";

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";

/// What comes, and again and again after it.
fn rubbish() -> Vec<(&'static str, Vec<u8>, &'static [u8])> {
    let whole = |body: &str| format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len());
    // The first bytes of a gzip stream (RFC 1952), and then nothing more.
    let mut gzip =
        format!("{HEAD}content-encoding: gzip\r\ncontent-length: 10\r\n\r\n").into_bytes();
    gzip.extend([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
    let deep = "[".repeat(200_000);
    vec![
        ("nothing", Vec::new(), b""),
        (
            "another protocol",
            b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec(),
            b"",
        ),
        ("rubbish without end", Vec::new(), b"\x00\x01\x02rubbish"),
        ("headers without end", HEAD.into(), b"x-more: and more\r\n"),
        (
            "a body without end",
            format!("{HEAD}\r\n").into(),
            &[b' '; 4096],
        ),
        (
            "a body cut short",
            format!("{HEAD}content-length: 100\r\n\r\n{{").into(),
            b"",
        ),
        (
            "bad chunks",
            format!("{HEAD}transfer-encoding: chunked\r\n\r\nzz\r\n").into(),
            b"",
        ),
        ("truncated gzip", gzip, b""),
        ("an empty body", whole("").into(), b""),
        ("half a text", whole(r#"{"value":[{"id":"#).into(), b""),
        (
            "another text",
            whole(r#"{"value":{"value":7},"entries":"none"}"#).into(),
            b"",
        ),
        ("a number", whole("1e999").into(), b""),
        ("a deep text", whole(&deep).into(), b""),
        (
            "bytes that are no text",
            {
                let mut bytes = format!("{HEAD}content-length: 4\r\n\r\n").into_bytes();
                bytes.extend([0xff, 0xfe, 0xff, 0xfe]);
                bytes
            },
            b"",
        ),
        (
            "a page",
            whole("<html><body>Bitte melden Sie sich an</body></html>").into(),
            b"",
        ),
        (
            "a redirect to itself",
            b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\
            connection: close\r\n\r\n"
                .to_vec(),
            b"",
        ),
    ]
}

/// Answers every request but a sign-in with the same bytes.
async fn serve(mut stream: TcpStream, answer: Vec<u8>, then: &'static [u8]) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let signed_in = if head.contains("/admin-token-service/") {
        Some("jwt".to_owned())
    } else if head.contains("/oauth2/v2.0/token") {
        Some(json!({"access_token": "t", "expires_in": 3599}).to_string())
    } else {
        None
    };
    if let Some(body) = signed_in {
        let answer = format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len());
        return stream.write_all(answer.as_bytes()).await;
    }
    stream.write_all(&answer).await?;
    while !then.is_empty() {
        stream.write_all(then).await?;
    }
    stream.shutdown().await
}

/// How a pass ends whose CRM, or whose Exchange, answers so.
async fn told(which: &str, answer: Vec<u8>, then: &'static [u8]) -> Result<RemoteProblem, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer.clone(), then));
        }
    });
    let premises = Premises::open(5, &[ANNA]).await.expect("premises");
    {
        let mut services = premises.services();
        let fields = json!({"firstName": ["Erika"], "lastName": ["Muster"]});
        let Value::Object(fields) = fields else {
            return Err("no fields".into());
        };
        let id = services.flowfact.create(fields, now());
        services.flowfact.set_marker(&id, ANNA, now());
    }
    let file = premises.folder().join("contact-sync.toml");
    let config = fs::read_to_string(&file).expect("the configuration");
    let old = premises.exchange_url();
    let old = old.split('/').nth(2).expect("an authority");
    let from = format!("http://{old}/{which}");
    assert!(config.contains(&from), "{from} in {config}");
    let config = config.replace(&from, &format!("http://{address}/{which}"));
    fs::write(&file, config).expect("the configuration");

    let tenant = tenant(premises.folder(), system_clock())
        .await
        .expect("a tenant");
    let mailbox = tenant.mailbox("anna").expect("her mailbox");
    let mut pass = mailbox.open(Mode::Sync).await.expect("a pass");
    let report = pass
        .run(|_| {})
        .await
        .map_err(|error| format!("{error:?}"))?;
    pass.close().await;
    let writes = premises.services().counters().writes();
    if writes > 0 {
        return Err(format!("{writes} writes"));
    }
    match report.outcome {
        Outcome::Stopped(Failure::Protocol(problem) | Failure::Unreachable(problem)) => Ok(problem),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_on_the_wire_ends_a_pass_in_words() {
    let mut passes = JoinSet::new();
    for which in ["flowfact", "graph"] {
        for (what, answer, then) in rubbish() {
            passes.spawn(async move { (which, what, told(which, answer, then).await) });
        }
    }
    let mut wrong = Vec::new();
    while let Some(ended) = passes.join_next().await {
        let (which, what, told) = ended.expect("no panic");
        match told {
            Ok(problem) => {
                let named = format!("{:?}", problem.service).to_lowercase();
                if !named.contains(which) || problem.problem.remedy.is_none() {
                    wrong.push(format!("{which}, {what}: {problem:?}"));
                }
            }
            Err(error) => wrong.push(format!("{which}, {what}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
