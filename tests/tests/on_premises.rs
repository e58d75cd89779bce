//! The shipped component in the real host, against an Exchange Server of the company's own.
//!
//! Goal: whoever sets such a mailbox up gets a sync, or is told what to do. Method: premises whose
//! configuration and server are bent in one place at a time, over HTTP and TLS on loopback. The
//! server's side of NTLM is written from MS-NLMP without a look at the client's.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use contact_sync_host::store::system_clock;
use contact_sync_host::types::{Endpoint, Failure, Outcome, Report};
use contact_sync_host::{Mailbox, Mode, Tenant};
use contact_sync_tests::office::{Premises, now, tenant};
use contact_sync_tests::people::{Sizes, population};
use contact_sync_tests::simulator::ews::autodiscover::Redirect;
use contact_sync_tests::simulator::http::serve_connection;
use contact_sync_tests::simulator::ntlm::channel_bindings;
use contact_sync_tests::simulator::{Dialect, EwsSignIn, Fault, Matcher, Simulator};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const BERND: &str = "bernd@makler.example";

/// An office whose one mailbox is on an Exchange Server, and in which people already work.
async fn premises() -> Premises {
    let premises = Premises::open_mixed(5, &[(BERND, Dialect::Ews)], "").await;
    let premises = premises.expect("premises");
    let people = population(
        5,
        Sizes {
            crm: 20,
            mailbox: 30,
            shared: 8,
        },
    );
    let mut services = premises.services();
    for fields in people.crm {
        services.flowfact.create(fields, now());
    }
    for properties in people.mailbox {
        services.graph.create(BERND, &properties, now());
    }
    drop(services);
    premises
}

/// The company, after each of these texts of its configuration was replaced.
async fn configured(premises: &Premises, changes: &[(&str, &str)]) -> Tenant {
    let file = premises.folder().join("contact-sync.toml");
    let mut config = fs::read_to_string(&file).expect("the configuration");
    for (old, new) in changes {
        assert!(config.contains(old), "{old} in {config}");
        config = config.replace(old, new);
    }
    fs::write(&file, config).expect("the configuration");
    let tenant = tenant(premises.folder(), system_clock()).await;
    tenant.expect("a sound configuration")
}

fn bernd(tenant: &Tenant) -> &Mailbox {
    tenant.mailbox("bernd").expect("his mailbox")
}

async fn sync(tenant: &Tenant) -> Report {
    let mut pass = bernd(tenant).open(Mode::Sync).await.expect("a pass");
    let report = pass.run(|_| {}).await.expect("it ends");
    pass.close().await;
    report
}

/// Adds this line to the mailbox's table.
fn with(line: &str) -> [(&'static str, String); 1] {
    let username = "username = ";
    [(username, format!("{line}\n{username}"))]
}

fn borrowed<'a>(changes: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    changes.iter().map(|(old, new)| (*old, &**new)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_sign_in_ends_in_a_sync() {
    for (sign_in, name) in [(EwsSignIn::Ntlm, "ntlm"), (EwsSignIn::Basic, "basic")] {
        let premises = premises().await;
        premises.services().ews.sign_in = sign_in;
        let line = with(&format!("sign-in = \"{name}\""));
        let tenant = configured(&premises, &borrowed(&line)).await;
        let first = sync(&tenant).await;
        assert_eq!(first.outcome, Outcome::Complete, "{name}");
        assert!(first.counts.crm.created > 15, "{:?}", first.counts);
        let counts = premises.services().take_counters();
        assert!(counts.writes() > 0, "{name}");
        let second = sync(&tenant).await;
        assert_eq!(second.outcome, Outcome::Complete, "{name}");
        assert_eq!(premises.services().take_counters().writes(), 0, "{name}");
    }
}

/// A wrong password is tried once and no more: accounts get locked.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_not_repeated() {
    for (sign_in, name) in [(EwsSignIn::Ntlm, "ntlm"), (EwsSignIn::Basic, "basic")] {
        let premises = premises().await;
        premises.services().ews.sign_in = sign_in;
        fs::write(premises.folder().join("exchange-password"), "falsch").expect("a file");
        let line = with(&format!("sign-in = \"{name}\""));
        let tenant = configured(&premises, &borrowed(&line)).await;
        for _ in 0..2 {
            let stopped = sync(&tenant).await;
            let Outcome::Stopped(Failure::SignInRefused(problem)) = stopped.outcome else {
                panic!("{name}: {:?}", stopped.outcome);
            };
            let told = format!("{:?}", problem.problem);
            assert!(!told.contains("falsch"), "{told}");
        }
        let checked = bernd(&tenant).check().await.expect("a check");
        assert!(!checked.checkup.ready);
        let told = checked.sign_in.expect("the host knows why");
        assert!(told.remedy.contains("password"), "{name}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_offers_another_way_is_told_with_what_to_write() {
    for (offered, configured_as, expected) in [
        (EwsSignIn::NegotiateOnly, "ntlm", "Negotiate"),
        (EwsSignIn::Basic, "ntlm", "sign-in = \"basic\""),
        (EwsSignIn::Ntlm, "basic", "sign-in = \"ntlm\""),
    ] {
        let premises = premises().await;
        premises.services().ews.sign_in = offered;
        let line = with(&format!("sign-in = \"{configured_as}\""));
        let tenant = configured(&premises, &borrowed(&line)).await;
        let checked = bernd(&tenant).check().await.expect("a check");
        assert!(!checked.checkup.ready, "{offered:?}");
        let told = checked.sign_in.expect("the host knows why");
        let told = format!("{} {}", told.message, told.remedy);
        assert!(told.contains(expected), "{offered:?}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_not_impersonate_is_told_so() {
    let premises = premises().await;
    premises.services().ews.quirks.impersonation_denied = true;
    let tenant = configured(&premises, &[]).await;
    let stopped = sync(&tenant).await;
    let Outcome::Stopped(Failure::PermissionMissing(problem)) = stopped.outcome else {
        panic!("{:?}", stopped.outcome);
    };
    let remedy = problem.problem.remedy.unwrap_or_default();
    assert!(remedy.contains("ApplicationImpersonation"), "{remedy}");
    assert_eq!(premises.services().take_counters().writes(), 0);
}

/// Something in front of the server answers in its place, lastingly or for one pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxys_page_changes_nothing() {
    let premises = premises().await;
    let tenant = configured(&premises, &[]).await;
    assert_eq!(sync(&tenant).await.outcome, Outcome::Complete);
    let before = holdings(&premises.services());
    for page in [
        "<html><body>Bitte melden Sie sich an</body></html>",
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Bo",
        "<!DOCTYPE lol [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><x>&b;</x>",
    ] {
        premises.services().faults.script(
            Matcher::url("/EWS/"),
            0,
            u32::MAX,
            Fault::Garbled {
                body: page.as_bytes().to_vec(),
            },
        );
        let stopped = sync(&tenant).await;
        let Outcome::Stopped(Failure::Protocol(problem)) = stopped.outcome else {
            panic!("{page}: {:?}", stopped.outcome);
        };
        assert!(problem.problem.remedy.is_some(), "{problem:?}");
        premises.services().faults.clear();
        assert_eq!(holdings(&premises.services()), before, "{page}");
    }
    assert_eq!(sync(&tenant).await.outcome, Outcome::Complete);
}

fn holdings(services: &Simulator) -> (usize, usize) {
    (
        services.flowfact.contact_count(),
        services.graph.contact_count(BERND),
    )
}

// ---- finding the server -------------------------------------------------------------------------

/// Without an address, `check` proposes the one that Autodiscover knows, and no pass starts.
#[tokio::test(flavor = "multi_thread")]
async fn check_proposes_the_server_that_autodiscover_knows() {
    for json in [true, false] {
        let premises = premises().await;
        premises.services().ews.autodiscover.json = json;
        let tenant = configured_without_address(&premises).await;
        let checked = bernd(&tenant).check().await.expect("a check");
        assert!(!checked.checkup.ready, "it is to be written down first");
        let proposed = checked.checkup.proposal.endpoint;
        let Some(Endpoint::Ews(ews)) = proposed else {
            panic!(
                "{json}: {:?} {:?}",
                checked.checkup.findings, checked.denials
            );
        };
        assert_eq!(ews.url, Some(premises.exchange_url()));
        assert!(bernd(&tenant).open(Mode::Sync).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_which_step_of_autodiscover_failed_and_what_to_do() {
    type Bend = fn(&mut Simulator);
    let bends: [(Bend, &str); 3] = [
        (
            |services| {
                let elsewhere = "https://autodiscover.hoster.example/x".to_owned();
                services.ews.autodiscover.redirect = Some(Redirect::Location(elsewhere));
            },
            "autodiscover.hoster.example",
        ),
        (
            |services| services.ews.autodiscover.html_page = true,
            "no Exchange Server",
        ),
        (
            |services| {
                services.ews.autodiscover.json = false;
                let elsewhere = "https://autodiscover.hoster.example/x".to_owned();
                services.ews.autodiscover.redirect = Some(Redirect::Url(elsewhere));
            },
            "autodiscover.hoster.example",
        ),
    ];
    for (bend, expected) in bends {
        let premises = premises().await;
        bend(&mut premises.services());
        let tenant = configured_without_address(&premises).await;
        let checked = bernd(&tenant).check().await.expect("a check");
        let codes: Vec<&str> = checked
            .checkup
            .findings
            .iter()
            .map(|found| &*found.code)
            .collect();
        assert!(codes.contains(&"endpoint-not-found"), "{codes:?}");
        let steps = checked.checkup.findings.iter();
        let mut steps = steps.filter(|found| found.code == "autodiscover-step-failed");
        let is_told = steps.any(|step| format!("{step:?}").contains(expected));
        assert!(is_told, "{expected}: {:#?}", checked.checkup.findings);
    }
}

async fn configured_without_address(premises: &Premises) -> Tenant {
    let url = premises.exchange_url();
    let origin = url.trim_end_matches("/EWS/Exchange.asmx");
    let old = format!("url = \"{url}\"");
    let new = format!("autodiscover = [\"{origin}\"]");
    configured(premises, &[(&old, &new)]).await
}

// ---- the way there ------------------------------------------------------------------------------

/// A company's own authority, and a server that it vouches for.
struct Tls {
    authority: String,
    acceptor: TlsAcceptor,
    certificate: Vec<u8>,
}

fn tls() -> Tls {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let params = CertificateParams::new(vec!["localhost".into()]).expect("parameters");
    let key = KeyPair::generate().expect("a key");
    let server = params.signed_by(&key, &authority).expect("a certificate");
    let chain = vec![server.der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a chain");
    Tls {
        authority: authority.pem(),
        acceptor: TlsAcceptor::from(Arc::new(config)),
        certificate: server.der().to_vec(),
    }
}

/// The same services once more, behind TLS.
async fn serve_tls(simulator: Arc<Mutex<Simulator>>, acceptor: TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, simulator) = (acceptor.clone(), Arc::clone(&simulator));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve_connection(stream, simulator).await;
                }
            });
        }
    });
    address
}

/// Extended Protection: the server takes no NTLM proof that is not bound to this very channel, and
/// the company's own authority vouches for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_extended_protection_takes_the_proof() {
    let tls = tls();
    for (is_bound, is_trusted) in [(true, true), (false, true), (true, false)] {
        let premises = premises().await;
        let hash = Sha256::digest(&tls.certificate);
        let mut name = b"tls-server-end-point:".to_vec();
        name.extend_from_slice(&hash);
        if !is_bound {
            name.extend_from_slice(b"another");
        }
        premises.services().ews.channel_bindings = Some(channel_bindings(&name));
        let server = serve_tls(premises.simulator(), tls.acceptor.clone()).await;
        let url = format!("https://localhost:{}/EWS/Exchange.asmx", server.port());
        write(&premises, "authority.pem", &tls.authority);
        let mut url = format!("url = \"{url}\"");
        if is_trusted {
            url.push_str("\nca-certificates = \"authority.pem\"");
        }
        let old = format!("url = \"{}\"", premises.exchange_url());
        let tenant = configured(&premises, &[(&old, &url)]).await;
        let report = sync(&tenant).await;
        match (is_bound, is_trusted) {
            (true, true) => assert_eq!(report.outcome, Outcome::Complete),
            (false, _) => assert!(
                matches!(report.outcome, Outcome::Stopped(Failure::SignInRefused(_))),
                "{:?}",
                report.outcome
            ),
            (_, false) => {
                let checked = bernd(&tenant).check().await.expect("a check");
                let told = checked.sign_in.expect("the host knows why");
                assert!(told.remedy.contains("`ca-certificates`"), "{told:?}");
            }
        }
    }
}

fn write(premises: &Premises, name: &str, text: &str) {
    let file: &Path = &premises.folder().join(name);
    fs::write(file, text).expect("a file");
}
