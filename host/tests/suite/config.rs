//! Configuration: what a file means, and what a mistake in it says.
//!
//! Method: files in, messages out. Each `config/errors/*.toml` has its expected messages beside it
//! in `*.txt`; `UPDATE_EXPECTED=1 cargo test` writes them anew, for reading before they are
//! committed.

use std::fs;
use std::path::Path;

use contact_sync_host::config::{
    Config, ConfigError, EXAMPLE, ExchangeSignIn, MailboxServer, MailboxSettings,
    Office365Settings, Scope, usual_policy,
};
use contact_sync_host::credentials::{PasswordScheme, SecretSource};
use contact_sync_host::types::{
    ConflictWinner, Crm, Endpoint, Field, FieldValue, GraphUser, Marker, NativeSync,
    OnMailboxDelete, Policy,
};

const FOLDER: &str = "tests/suite/config";

fn office365(mailbox: &MailboxSettings) -> &Office365Settings {
    match &mailbox.server {
        MailboxServer::Office365(office365) => office365,
        other @ MailboxServer::ExchangeServer(_) => panic!("{other:?}"),
    }
}

/// Messages as the program prints them, without the folder in front.
fn told(errors: &[ConfigError]) -> String {
    let one = |error: &ConfigError| format!("error: {error}\n\nhint: {}\n", error.remedy);
    errors
        .iter()
        .map(one)
        .collect::<Vec<_>>()
        .join("\n")
        .replace(&format!("{FOLDER}/"), "")
}

fn check(expected: &Path, found: &str) {
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(expected, found).unwrap();
    }
    let text = fs::read_to_string(expected).unwrap_or_default();
    assert_eq!(found, text, "{} says otherwise", expected.display());
}

/// Every mistake names file, line, column, key and remedy; all mistakes of a file at once.
#[test]
fn mistakes_say_where_and_what_to_do() {
    let mut files: Vec<_> = fs::read_dir(format!("{FOLDER}/errors"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let errors = Config::load(&file).expect_err("it has mistakes");
        check(&file.with_extension("txt"), &told(&errors));
    }
    let missing = Config::load(Path::new("tests/suite/config/nowhere.toml")).unwrap_err();
    assert!(
        told(&missing).contains("nowhere.toml: cannot be read"),
        "{}",
        told(&missing)
    );
}

/// The example is what it says: it loads as it is, and with every line that it comments out, which
/// then changes nothing but what has no default.
#[test]
fn the_example_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let load = |text: &str| {
        let path = folder.path().join("contact-sync.toml");
        fs::write(&path, text).unwrap();
        Config::load(&path).unwrap_or_else(|errors| panic!("{}", told(&errors)))
    };
    let plain = load(EXAMPLE);
    assert_eq!(plain.tenants[0].mailboxes[0].policy, usual_policy());

    fs::create_dir(folder.path().join("mailboxes.d")).unwrap();
    let is_setting = |line: &str| {
        let line = line.trim_start_matches("# ");
        let key = line.split([' ', '=']).next().unwrap_or_default();
        line.starts_with('[')
            || (line.contains(" = ") && key.chars().all(|c| c == '-' || c.is_alphanumeric()))
    };
    let uncommented: Vec<_> = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if is_setting(line) => setting,
            _ => line,
        })
        .collect();
    let mut full = load(&uncommented.join("\n"));
    let tenant = &mut full.tenants[0];
    assert_eq!(tenant.flowfact.company.take().as_deref(), Some("…"));
    assert_eq!(tenant.flowfact.fields.len(), 2);
    tenant.flowfact.fields.clear();
    assert_eq!(full, plain);
}

/// The mailbox on Exchange Server that the example shows is true as well.
#[test]
fn the_example_of_an_exchange_server_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contact-sync.toml");
    fs::write(&path, EXAMPLE.replace("#: ", "")).unwrap();
    let config = Config::load(&path).unwrap_or_else(|errors| panic!("{}", told(&errors)));
    let tenant = &config.tenants[0];
    let mailbox = &tenant.mailboxes[1];
    let Endpoint::Ews(ews) = tenant.job(mailbox).mailbox.endpoint else {
        panic!()
    };
    assert!(ews.impersonate && ews.ask_search_key);
    assert!(
        ews.url
            .is_some_and(|url| url.ends_with("/EWS/Exchange.asmx"))
    );
    let MailboxServer::ExchangeServer(exchange) = &mailbox.server else {
        panic!()
    };
    let sign_in = ExchangeSignIn::Password {
        scheme: PasswordScheme::Ntlm,
        username: "MUSTER\\contact-sync".into(),
        password: SecretSource::Environment("EXCHANGE_PASSWORD".into()),
    };
    assert_eq!(exchange.sign_in, sign_in);
}

/// What is not said of an Exchange Server follows from whose mailbox it is: the company's is
/// impersonated, a user's own is not; an app cannot but impersonate.
#[test]
fn an_exchange_server_becomes_a_job() {
    let config = Config::load(Path::new("tests/suite/config/exchange-server.toml"))
        .unwrap_or_else(|errors| panic!("{}", told(&errors)));
    let jobs: Vec<_> = config.tenants[0]
        .mailboxes
        .iter()
        .map(|mailbox| {
            let Endpoint::Ews(ews) = config.tenants[0].job(mailbox).mailbox.endpoint else {
                panic!("{mailbox:?}")
            };
            let url = ews.url.unwrap_or_default();
            format!(
                "{} {url} {:?} {} {}",
                mailbox.id, ews.autodiscover, ews.impersonate, ews.ask_search_key
            )
        })
        .collect();
    let usual = r#"["https://autodiscover.muster.example", "https://muster.example"]"#;
    let url = "https://mail.muster.example/EWS/Exchange.asmx";
    assert_eq!(
        jobs,
        [
            format!("office {url} {usual} true true"),
            format!("own {url} {usual} false false"),
            format!("app {url} {usual} true true"),
            r#"unknown  ["https://exchange.intern:8443"] true true"#.to_owned(),
            format!("erika {url} {usual} false true"),
            format!("max {url} {usual} false true"),
        ]
    );
    let accounts: Vec<_> = config.tenants[0].mailboxes[4..]
        .iter()
        .map(|mailbox| match &mailbox.server {
            MailboxServer::ExchangeServer(exchange) => &exchange.sign_in,
            other @ MailboxServer::Office365(_) => panic!("{other:?}"),
        })
        .collect();
    let own = |username: &str, file: &str| ExchangeSignIn::Password {
        scheme: PasswordScheme::Basic,
        username: username.into(),
        password: SecretSource::File(format!("{FOLDER}/personal-exchange/{file}").into()),
    };
    assert_eq!(
        accounts,
        [
            &own("erika@muster.example", "erika.password"),
            &own("MUSTER\\max", "max.password"),
        ]
    );
    let thief = told(&config.set_aside);
    assert!(
        thief.contains("thief.toml:3:1: unknown key `password`"),
        "{thief}"
    );
    assert_eq!(config.set_aside.len(), 1, "{thief}");
}

/// A full file becomes the job that the plugin is given; a mailbox's policy overrides its tenant's.
#[test]
fn a_file_becomes_a_job() {
    let config = Config::load(Path::new("tests/suite/config/full.toml")).unwrap();
    assert_eq!(config.store, Path::new("tests/suite/config/data/store.db"));
    let tenant = &config.tenants[0];
    assert_eq!(
        tenant.flowfact.token,
        SecretSource::File("tests/suite/config/secrets/t".into())
    );
    assert!(tenant.flowfact.network.private_addresses && tenant.flowfact.network.plain_http);
    let [first, second] = &tenant.mailboxes[..] else {
        panic!("{:?}", tenant.mailboxes)
    };

    let job = tenant.job(first);
    let Crm::Flowfact(flowfact) = job.crm;
    assert_eq!(
        (job.tenant.id.as_str(), job.tenant.region.as_str()),
        ("muster", "AT")
    );
    assert_eq!(flowfact.base_url, "http://crm.internal:8080/api");
    assert_eq!(flowfact.company.as_deref(), Some("c-1"));
    let fields: Vec<_> = flowfact
        .fields
        .iter()
        .map(|name| (name.field, name.name.as_deref()))
        .collect();
    assert_eq!(
        fields,
        [
            (Field::Birthday, Some("geburtstag")),
            (Field::Department, None)
        ]
    );
    let Endpoint::Graph(graph) = job.mailbox.endpoint else {
        panic!()
    };
    assert_eq!(graph.base_url, "https://graph.microsoft.com/v1.0");
    assert!(matches!(graph.user, GraphUser::User(user) if user == "a@muster.example"));
    assert_eq!(
        office365(first).authority,
        "https://login.microsoftonline.com/t-1/oauth2/v2.0"
    );
    let in_field = |field: &str, value: &str| {
        Marker::FieldValue(FieldValue {
            field: field.into(),
            value: value.into(),
        })
    };
    assert_eq!(first.marker, in_field("syncWith", "mailbox-a"));
    assert_eq!(second.marker, Marker::SyncEntry("acc-7".into()));

    let tenants = Policy {
        conflict: ConflictWinner::Newest,
        journal_days: 90,
        ..usual_policy()
    };
    assert_eq!(first.policy, tenants);
    let own = Policy {
        on_mailbox_delete: OnMailboxDelete::Unmark,
        native_sync: NativeSync::Off,
        ..tenants
    };
    assert_eq!(second.policy, own);
    assert_eq!(
        (first.scope, second.scope),
        (Scope::Company, Scope::Personal)
    );
    assert_eq!(office365(second).user, "0000-user-id");
}

/// Users set up their own mailboxes: with the administrator's credentials and servers, their own
/// choices, and nothing else. A mistake in one file leaves that mailbox out, and no other.
#[test]
fn users_set_up_their_own_mailbox_and_no_other() {
    let config = Config::load(Path::new("tests/suite/config/personal.toml")).unwrap();
    let [first, second] = &config.tenants[..] else {
        panic!("two tenants")
    };
    let ids: Vec<_> = first
        .mailboxes
        .iter()
        .map(|mailbox| mailbox.id.as_str())
        .collect();
    assert_eq!(ids, ["office", "erika", "max"]);
    assert!(second.mailboxes.is_empty());

    let erika = &first.mailboxes[1];
    assert_eq!(erika.scope, Scope::Personal);
    assert_eq!(office365(erika).user, "erika@muster.example");
    assert_eq!(office365(erika).client_id, "personal-app");
    assert_eq!(erika.policy.conflict, ConflictWinner::Mailbox);
    assert_eq!(erika.policy.journal_days, 60, "the tenant's");
    let marker = FieldValue {
        field: "tags".into(),
        value: "sync-erika".into(),
    };
    assert_eq!(erika.marker, Marker::FieldValue(marker));
    check(
        Path::new("tests/suite/config/personal.txt"),
        &told(&config.set_aside),
    );
}
