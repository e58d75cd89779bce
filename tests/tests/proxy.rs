//! The proxy for hosts that cannot sign in, in front of services that ask who is there.
//!
//! Goal: whoever knows an entrance gets what a pass of that mailbox may have, and nothing else;
//! whoever does not gets nothing. Method: requests written byte by byte, as a careless or a hostile
//! client would, and what the simulator saw of them. A whole sync through the proxy is the suite
//! `javascript`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use contact_sync_host::Tenant;
use contact_sync_host::proxy::{Proxy, ProxyError, ProxySecret};
use contact_sync_host::store::system_clock;
use contact_sync_tests::office::{Premises, now, tenant};
use contact_sync_tests::people::Sizes;
use contact_sync_tests::simulator::{Dialect, Fault, Interruption, Matcher, Moment, Record};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const ANNA: &str = "anna@makler.example";
const BERND: &str = "bernd@makler.example";

/// Only a request that never arrives is waited for so long.
const ARRIVAL_WAIT: Duration = Duration::from_secs(30);

/// A proxy at work.
struct Proxied {
    premises: Premises,
    address: SocketAddr,
    /// The paths of Anna's entrance, and of Bernd's.
    anna: Ways,
    bernd: Ways,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

/// The paths of an entrance.
struct Ways {
    crm: String,
    mailbox: String,
}

/// An answer as it came.
struct Answered {
    status: u16,
    head: String,
    body: String,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    fn code(&self) -> String {
        let json = self.json();
        let code = json.pointer("/error/code").and_then(Value::as_str);
        code.unwrap_or_default().to_owned()
    }
}

async fn premises() -> Premises {
    let mailboxes = [(ANNA, Dialect::Graph), (BERND, Dialect::Ews)];
    let premises = Premises::open_mixed(9, &mailboxes, "").await;
    let premises = premises.expect("premises");
    let sizes = Sizes {
        crm: 3,
        mailbox: 7,
        shared: 0,
    };
    premises.services().populate(ANNA, 9, sizes, now());
    premises
}

async fn company(premises: &Premises) -> Tenant {
    let tenant = tenant(premises.folder(), system_clock()).await;
    tenant.expect("a sound configuration")
}

fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn proxied() -> Proxied {
    let secret = ProxySecret::random().expect("randomness");
    start(premises().await, any_port(), &secret).await
}

async fn start(premises: Premises, listen: SocketAddr, secret: &ProxySecret) -> Proxied {
    let tenant = company(&premises).await;
    let proxy = Proxy::bind(listen, secret, tenant.mailboxes()).await;
    let proxy = proxy.expect("a free port");
    let address = proxy.address();
    let origin = format!("http://{address}");
    let path = |url: &str| {
        url.strip_prefix(&origin)
            .expect("an address here")
            .to_owned()
    };
    let mut ways = proxy.entrances().iter().map(|entrance| Ways {
        crm: path(entrance.crm_url()),
        mailbox: path(entrance.mailbox_url()),
    });
    let (anna, bernd) = (ways.next().expect("Anna's"), ways.next().expect("Bernd's"));
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(proxy.serve(async move { drop(stopped.await) }));
    Proxied {
        premises,
        address,
        anna,
        bernd,
        stop,
        server,
    }
}

impl Proxied {
    /// Sends a request with these lines of its head, and waits for the answer.
    async fn ask(&self, line: &str, head: &[&str], body: &str) -> Answered {
        let head = [head, &[""]].concat().join("\r\n");
        let length = body.len();
        let bytes = format!(
            "{line} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {length}\r\n\
             {head}\r\n{body}",
            self.address
        );
        self.send(bytes.as_bytes()).await
    }

    async fn get(&self, path: &str) -> Answered {
        self.ask(&format!("GET {path}"), &[], "").await
    }

    async fn send(&self, bytes: &[u8]) -> Answered {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        // A refusal may come, and the connection end, before all is written.
        drop(stream.write_all(bytes).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Answered {
            status: status.expect("a status"),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// What reached the services since, beside sign-ins.
    fn arrived(&self) -> Vec<Record> {
        let mut services = self.premises.services();
        let arrived = services.log.take();
        services.log.record(true);
        let is_sign_in = |record: &Record| {
            record.target.contains("/token") || record.target.contains("admin-token-service")
        };
        arrived
            .into_iter()
            .filter(|record| !is_sign_in(record))
            .collect()
    }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn header<'a>(record: &'a Record, name: &str) -> Vec<&'a str> {
    let named = record.headers.iter().filter(|(found, _)| found == name);
    named.map(|(_, value)| value.as_str()).collect()
}

/// Both sides answer, though the client has no credentials; the services ask for them.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_signed_in() {
    let proxied = proxied().await;
    let Ways { crm, mailbox } = &proxied.anna;
    let me = proxied
        .get(&format!("{crm}/user-service/users/currentUser"))
        .await;
    assert_eq!(me.status, 200, "{}", me.head);
    let contacts = format!("{mailbox}/users/{ANNA}/contacts");
    let hers = proxied.get(&contacts).await;
    assert_eq!(hers.status, 200, "{}", hers.head);
    assert_eq!(hers.json()["value"].as_array().map(Vec::len), Some(7));

    // Refused in between: signed in anew, and the client sees nothing of it.
    proxied.premises.services().graph.revoke_tokens();
    assert_eq!(proxied.get(&contacts).await.status, 200);

    // A secret that is wrong is the service's 401, with the reason.
    fs::write(proxied.premises.folder().join("office365-secret"), "wrong").expect("a secret");
    proxied.premises.services().graph.revoke_tokens();
    let refused = proxied.get(&contacts).await;
    assert_eq!(refused.status, 401);
    assert!(!refused.code().is_empty());
}

/// An Exchange Server asks for NTLM, which is a matter of connections, not of headers.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_server_is_signed_in_to_by_ntlm() {
    let proxied = proxied().await;
    let envelope = |address: &str| {
        format!(
            r#"<?xml version="1.0" encoding="utf-8"?><s:Envelope
            xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"
            xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"
            xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"><s:Header>
            <t:RequestServerVersion Version="Exchange2013_SP1"/><t:ExchangeImpersonation>
            <t:ConnectingSID><t:PrimarySmtpAddress>{address}</t:PrimarySmtpAddress>
            </t:ConnectingSID></t:ExchangeImpersonation></s:Header><s:Body><m:GetFolder>
            <m:FolderShape><t:BaseShape>IdOnly</t:BaseShape></m:FolderShape><m:FolderIds>
            <t:DistinguishedFolderId Id="contacts">
            <t:Mailbox><t:EmailAddress>{address}</t:EmailAddress></t:Mailbox>
            </t:DistinguishedFolderId></m:FolderIds></m:GetFolder></s:Body></s:Envelope>"#
        )
    };
    let line = format!("POST {}", proxied.bernd.mailbox);
    let xml = ["content-type: text/xml; charset=utf-8"];
    let folder = proxied.ask(&line, &xml, &envelope(BERND)).await;
    assert_eq!(folder.status, 200, "{}", folder.body);
    assert!(folder.body.contains("NoError"), "{}", folder.body);

    // The account may act for everybody; this entrance leads to Bernd alone.
    proxied.arrived();
    let other = proxied.ask(&line, &xml, &envelope(ANNA)).await;
    assert_eq!(
        (other.status, other.code().as_str()),
        (403, "RequestDenied")
    );
    assert_eq!(proxied.arrived().len(), 0);
}

/// Pages and positions are asked for where the last answer says, and that is here. What people
/// wrote stays, even an address of Graph.
#[tokio::test(flavor = "multi_thread")]
async fn links_lead_back_to_the_proxy() {
    let proxied = proxied().await;
    let website = format!("http://{}/graph/v1.0/users", {
        let url = proxied.premises.exchange_url();
        url.replace("http://", "").replace("/EWS/Exchange.asmx", "")
    });
    let eva = object(&json!({ "givenName": "Eva", "businessHomePage": website }));
    proxied.premises.services().graph.create(ANNA, &eva, now());
    let origin = format!("http://{}", proxied.address);
    let ours = format!("{origin}{}/", proxied.anna.mailbox);
    let mut path = format!(
        "{}/users/{ANNA}/contactFolders/contacts/contacts/delta\
         ?$select=givenName,businessHomePage",
        proxied.anna.mailbox
    );
    let prefer = ["prefer: odata.maxpagesize=3", "accept-encoding: gzip"];
    proxied.arrived();
    let (mut names, mut websites, mut pages) = (0, Vec::new(), 0);
    loop {
        let page = proxied.ask(&format!("GET {path}"), &prefer, "").await;
        assert_eq!(page.status, 200, "{path}: {}", page.head);
        let json = page.json();
        let values = json["value"].as_array().expect("contacts").clone();
        let sites = values
            .iter()
            .filter_map(|value| value["businessHomePage"].as_str());
        websites.extend(
            sites
                .filter(|site| site.contains("/users"))
                .map(str::to_owned),
        );
        (names, pages) = (names + values.len(), pages + 1);
        let next = json["@odata.nextLink"].as_str();
        let link = next.or(json["@odata.deltaLink"].as_str()).expect("a link");
        assert!(link.starts_with(&ours), "{link}");
        link.strip_prefix(&origin)
            .expect("here")
            .clone_into(&mut path);
        if next.is_none() {
            break;
        }
    }
    assert_eq!((names, websites), (8, vec![website]));
    assert!(pages > 2, "{pages}");
    // The position is good for the next round.
    let round = proxied.ask(&format!("GET {path}"), &prefer, "").await;
    assert_eq!(round.status, 200, "{}", round.head);
    let arrived = proxied.arrived();
    assert_eq!(arrived.len(), pages + 1);
    let offered = arrived
        .iter()
        .flat_map(|record| header(record, "accept-encoding"));
    assert_eq!(offered.count(), 0, "nobody here reads compressed links");
}

/// Whoever does not know the secret sees one and the same answer, whatever they ask for, and never
/// a 404, which a sync may take for a deleted contact.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_secret_there_is_one_answer_for_all() {
    let proxied = proxied().await;
    proxied.arrived();
    let secret = proxied.anna.crm.trim_start_matches('/');
    let secret = secret.strip_suffix("/crm").expect("an entrance");
    assert_eq!(secret.len(), 32);
    let almost = format!(
        "{}{}",
        &secret[..31],
        if secret.ends_with('0') { 'f' } else { '0' }
    );
    let path = "user-service/users/currentUser";
    let mut answers = Vec::new();
    for target in [
        "/".to_owned(),
        format!("/crm/{path}"),
        format!("//crm/{path}"),
        format!("/{almost}/crm/{path}"),
        format!("/{}/crm/{path}", &secret[..31]),
        format!("/{secret}0/crm/{path}"),
        format!("/{}/crm/{path}", "0".repeat(32)),
        format!("/{}/crm/{path}", "x".repeat(4_000)),
        format!("/{secret}"),
        format!("/{secret}/crmx/{path}"),
        format!("/{secret}/{path}"),
        format!("/?{secret}/crm/{path}"),
        "*".to_owned(),
    ] {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            let answered = proxied.ask(&format!("{method} {target}"), &[], "{}").await;
            assert_eq!(answered.status, 403, "{method} {target}");
            assert_eq!(answered.code(), "NoEntrance", "{method} {target}");
            let mut lines: Vec<_> = answered.head.lines().map(str::to_owned).collect();
            lines.retain(|line| !line.starts_with("date:"));
            answers.push((lines, answered.body));
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(proxied.arrived().len(), 0);
}

/// The rules are those of a pass, and the proxy opens no way around them.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_pass_has_no_business_with_is_denied() {
    let proxied = proxied().await;
    let Ways { crm, mailbox } = &proxied.anna;
    let bernds = &proxied.bernd.mailbox;
    let is_denied = async |request: &str, body: &str| {
        proxied.arrived();
        let answered = proxied
            .ask(request, &["content-type: application/json"], body)
            .await;
        assert_eq!(answered.status, 403, "{request}: {}", answered.head);
        assert_eq!(answered.code(), "RequestDenied", "{request}");
        assert_eq!(proxied.arrived().len(), 0, "{request}");
    };
    for request in [
        format!("POST {crm}/admin-token-service/public/adminUser/authenticate"),
        format!("GET {crm}/entity-service/schemas/estates/entities/1"),
        format!("PUT {crm}/entity-service/schemas/contacts/entities/1"),
        format!("GET {crm}/entity-service/entities/../../admin-token-service"),
        format!("GET {crm}/entity-service/entities/%2e%2e/%2e%2e/admin-token-service"),
        format!("GET {crm}//evil.example/user-service/users"),
        format!("GET {crm}/../graph/v1.0/users/{ANNA}/contacts"),
        format!("DELETE {crm}/entity-service/recovery/entities"),
        format!("GET {mailbox}/groups"),
        format!("POST {mailbox}/users/{ANNA}/contacts/1/permanentDelete"),
        format!("OPTIONS {mailbox}/users/{ANNA}/contacts"),
        format!("PUT {mailbox}/users/{ANNA}/contacts/1"),
        format!("GET {bernds}"),
        format!("POST {bernds}/more"),
    ] {
        is_denied(&request, "").await;
    }
    let purge = json!({ "requests": [{
        "id": "1", "method": "POST", "url": format!("/users/{ANNA}/contacts/1/permanentDelete"),
    }] });
    is_denied(&format!("POST {mailbox}/$batch"), &purge.to_string()).await;
    // The reason is logged, and a log holds nobody's name.
    let misfit = json!({ "requests": ["Erika Geheim"] }).to_string();
    let told = proxied
        .ask(&format!("POST {mailbox}/$batch"), &[], &misfit)
        .await;
    assert_eq!(told.code(), "RequestDenied");
    assert!(!told.body.contains("Geheim"), "{}", told.body);
}

/// What a client says of itself does not count, and what concerns its connection stays there.
#[tokio::test(flavor = "multi_thread")]
async fn headers_of_the_client_open_nothing() {
    let proxied = proxied().await;
    proxied.arrived();
    let contacts = format!("{}/users/{ANNA}/contacts", proxied.anna.mailbox);
    let hers = proxied
        .ask(
            &format!("GET {contacts}"),
            &[
                "authorization: Bearer of-the-client",
                "cookie: session=of-the-client",
                "cognitotoken: of-the-client",
                "x-ff-support-token: of-the-client",
                "proxy-authorization: Basic of-the-client",
                "connection: x-of-this-connection",
                "x-of-this-connection: of-the-client",
                "upgrade: of-the-client",
            ],
            "",
        )
        .await;
    assert_eq!(hers.status, 200, "{}", hers.head);
    let arrived = proxied.arrived();
    let [request] = &arrived[..] else {
        panic!("one request: {arrived:?}");
    };
    let authorization = header(request, "authorization");
    assert!(authorization[0].starts_with("Bearer "), "the host's own");
    let sent = format!("{:?}", request.headers);
    assert!(!sent.contains("of-the-client"), "{sent}");
    assert!(!sent.contains(&proxied.address.to_string()), "{sent}");

    // Another company of the same API user would be another tenant.
    let users = format!("{}/user-service/users/currentUser", proxied.anna.crm);
    let other = proxied
        .ask(&format!("GET {users}"), &["x-ff-company-id: other"], "")
        .await;
    assert_eq!(other.code(), "RequestDenied");

    // A line end in a value ends the request, not the line.
    let smuggled = format!(
        "GET {users} HTTP/1.1\r\nhost: here\r\nx-a: b\rauthorization: c\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(proxied.send(smuggled.as_bytes()).await.status, 400);

    // Absolute addresses are those of this proxy, whatever they name.
    let absolute = format!("GET http://evil.example{users}");
    assert_eq!(proxied.ask(&absolute, &[], "").await.status, 200);
    assert_eq!(
        proxied
            .ask("CONNECT evil.example:443", &[], "")
            .await
            .status,
        403
    );
}

/// What is too large is refused, and what the services leave unanswered is an error that says so.
#[tokio::test(flavor = "multi_thread")]
async fn trouble_is_told_by_its_kind() {
    let proxied = proxied().await;
    let contacts = format!("{}/users/{ANNA}/contacts", proxied.anna.mailbox);
    let large = "x".repeat(8 * 1024 * 1024 + 1);
    let refused = proxied.ask(&format!("POST {contacts}"), &[], &large).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "RequestTooLarge")
    );
    let broken = Fault::LostAfter;
    proxied
        .premises
        .services()
        .faults
        .script(Matcher::url("/contacts"), 0, 9, broken);
    let lost = proxied.get(&contacts).await;
    assert_eq!(
        (lost.status, lost.code().as_str()),
        (502, "ServiceUnreachable")
    );
}

/// The same port and the same secret are the same entrances; another secret is none of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_entrances() {
    let folder = tempfile::tempdir().expect("a folder");
    let file: &Path = &folder.path().join("proxy-secret");
    let secret = || ProxySecret::from_file(file).expect("a secret");
    let first = start(premises().await, any_port(), &secret()).await;
    let contacts = format!("{}/users/{ANNA}/contacts", first.anna.mailbox);
    assert_eq!(first.get(&contacts).await.status, 200);
    let Proxied {
        premises,
        address,
        anna,
        stop,
        server,
        ..
    } = first;
    stop.send(()).expect("it runs");
    server.await.expect("it ends by itself");
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody is there"
    );

    let second = start(premises, address, &secret()).await;
    assert_eq!(second.anna.mailbox, anna.mailbox);
    assert_eq!(second.get(&contacts).await.status, 200);

    let other = ProxySecret::random().expect("randomness");
    let third = start(second.premises, any_port(), &other).await;
    assert_eq!(third.get(&contacts).await.status, 403);
    assert_ne!(third.anna.mailbox, anna.mailbox);
    assert_ne!(third.anna.crm, third.bernd.crm, "each mailbox has its own");
}

/// Whoever waits for an answer still gets it, and nobody else is let in.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_ended_first() {
    let proxied = proxied().await;
    let (reached, arrival) = mpsc::channel();
    let (go_on, gate) = mpsc::channel();
    let pause = Interruption::new(1, Moment::Before, move || {
        reached.send(()).expect("somebody waits");
        gate.recv().expect("somebody lets it go on");
    });
    proxied.premises.services().interruption = Some(pause);
    let contacts = format!(
        "GET {}/users/{ANNA}/contacts HTTP/1.1\r\n",
        proxied.anna.mailbox
    );
    let mut client = TcpStream::connect(proxied.address)
        .await
        .expect("it listens");
    let head = format!("{contacts}host: here\r\n\r\n");
    client
        .write_all(head.as_bytes())
        .await
        .expect("it takes it");
    let arrived = tokio::task::block_in_place(|| arrival.recv_timeout(ARRIVAL_WAIT));
    arrived.expect("it arrives");

    proxied.stop.send(()).expect("it runs");
    while TcpStream::connect(proxied.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!proxied.server.is_finished());
    go_on.send(()).expect("it waits");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("all of it");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    proxied.server.await.expect("it ends by itself");
}

/// A client that never closes a connection, and would like to use each again, holds nobody up:
/// neither the next request, however many there were, nor the end.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_a_client_keeps_hold_nobody_up() {
    let proxied = proxied().await;
    let request = format!("GET {} HTTP/1.1\r\nhost: here\r\n\r\n", proxied.anna.crm);
    let mut kept = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(proxied.address)
            .await
            .expect("it listens");
        let sent = stream.write_all(request.as_bytes()).await;
        sent.expect("it takes it");
        let mut answer = String::new();
        let answered = timeout(ARRIVAL_WAIT, stream.read_to_string(&mut answer)).await;
        answered.expect("in time").expect("to its end");
        assert!(answer.contains("connection: close"), "{answer}");
        kept.push(stream);
    }
    proxied.stop.send(()).expect("it runs");
    proxied.server.await.expect("it ends by itself");
}

/// Each reason not to start names what to do.
#[tokio::test(flavor = "multi_thread")]
async fn it_starts_where_it_can_be_safe_and_useful() {
    let premises = premises().await;
    let tenant = company(&premises).await;
    let secret = ProxySecret::random().expect("randomness");
    let bind = async |listen: SocketAddr, tenant: &Tenant| {
        let refused = Proxy::bind(listen, &secret, tenant.mailboxes()).await.err();
        let refused = refused.expect("a reason");
        assert!(!refused.remedy().is_empty(), "{refused}");
        refused
    };
    for everywhere in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = bind(everywhere.parse().expect("an address"), &tenant).await;
        assert!(matches!(refused, ProxyError::NotLoopback(_)), "{refused}");
    }
    let taken = std::net::TcpListener::bind(any_port()).expect("a port");
    let refused = bind(taken.local_addr().expect("its address"), &tenant).await;
    assert!(matches!(refused, ProxyError::Listen { .. }), "{refused}");

    let file = premises.folder().join("contact-sync.toml");
    let config = fs::read_to_string(&file).expect("the configuration");
    let url = format!("url = \"{}\"", premises.exchange_url());
    assert!(config.contains(&url));
    fs::write(&file, config.replace(&url, "")).expect("the configuration");
    let refused = bind(any_port(), &company(&premises).await).await;
    assert!(refused.to_string().contains("/bernd"), "{refused}");
    assert!(matches!(refused, ProxyError::NoAddress { .. }), "{refused}");
}
