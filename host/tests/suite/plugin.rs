//! A sandbox holds whatever a plugin does, and what does not fit is refused before any tenant runs.
//!
//! Method: guests of a few lines in a host whose limits are small; the store is in memory.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use contact_sync_host::config::{
    Certificates, ExchangeServer, ExchangeServerSettings, ExchangeSignIn, FlowfactSettings,
    MailboxServer, MailboxSettings, Office365Settings, Scope, TenantSettings, usual_policy,
};
use contact_sync_host::credentials::{PasswordScheme, SecretSource};
use contact_sync_host::store::MemoryStore;
use contact_sync_host::types::{Endpoint, FieldValue, Marker, Outcome};
use contact_sync_host::{
    Error, Host, HostSettings, Limits, Mailbox, Mode, Network, Pairing, PluginError, Tenant, Turn,
};

use super::guest::{Guest, RESULT};

/// `result<pass, failure>`: ok, with a fresh handle. Payloads are aligned to 8 bytes.
pub(super) const OPENS: &str = "
    (i32.store offset=24 (i32.const 0)
      (call $_ex_contact-sync:plugin~sync@0.1/pass_new (i32.const 7)))
    i32.const 16";

/// `step.done` with a report of zeros: complete, nothing done.
pub(super) const DONE: &str = "(i32.store8 offset=1024 (i32.const 0) (i32.const 2)) i32.const 1024";

const ENDLESS: &str = "(loop br 0) unreachable";

fn limits() -> Limits {
    Limits {
        memory_bytes_max: 2 * 1024 * 1024,
        handles_max: 50,
        call_bytes_max: 64 * 1024,
        step_time_max: Duration::from_millis(250),
        ..Limits::usual()
    }
}

pub(super) fn settings(plugin: Vec<u8>) -> HostSettings {
    let store = Arc::new(MemoryStore::default());
    HostSettings {
        limits: limits(),
        ..HostSettings::usual(plugin, store)
    }
}

async fn refused(plugin: Vec<u8>) -> String {
    Host::new(settings(plugin))
        .await
        .err()
        .expect("it fits")
        .to_string()
}

pub(super) fn tenant_settings(id: &str) -> TenantSettings {
    let office365 = Office365Settings {
        base_url: "http://127.0.0.1:9/v1.0".into(),
        user: "erika@muster.example".into(),
        trust_if_match: false,
        authority: "http://127.0.0.1:9/muster/oauth2/v2.0".into(),
        client_id: "app".into(),
        client_secret: SecretSource::Environment("UNSET".into()),
        network: Network::default(),
    };
    let mailbox = MailboxSettings {
        id: "m1".into(),
        address: "erika@muster.example".into(),
        scope: Scope::Company,
        server: MailboxServer::Office365(office365),
        marker: Marker::FieldValue(FieldValue {
            field: "tags".into(),
            value: "m1".into(),
        }),
        policy: usual_policy(),
    };
    let flowfact = FlowfactSettings {
        base_url: "http://127.0.0.1:9".into(),
        schema: "contacts".into(),
        company: None,
        fields: Vec::new(),
        token: SecretSource::Environment("UNSET".into()),
        network: Network::default(),
    };
    TenantSettings {
        id: id.into(),
        region: "DE".into(),
        flowfact,
        mailboxes: vec![mailbox],
    }
}

pub(super) fn mailbox(host: &Host, tenant: &str) -> Mailbox {
    let tenant: Tenant = host.tenant(&tenant_settings(tenant)).unwrap();
    tenant.mailboxes()[0].clone()
}

pub(super) async fn only_mailbox(guest: Guest) -> Mailbox {
    mailbox(&Host::new(settings(guest.build())).await.unwrap(), "a")
}

/// A tenant mixes Office 365 and Exchange Server, and a mailbox whose server is to be looked for
/// stops no other, whatever its address is.
#[tokio::test]
async fn a_tenant_mixes_both_kinds_of_servers() {
    let host = Host::new(settings(Guest::new().build())).await.unwrap();
    let mut mixed = tenant_settings("a");
    for (id, address, url) in [
        (
            "m2",
            "m2@muster.example",
            Some("https://mail.muster.example/EWS/Exchange.asmx"),
        ),
        ("m3", "m3@muster.example", None),
        ("m4", "m4@m\u{fc}ller.example", None),
    ] {
        let server = ExchangeServer {
            url: url.map(str::to_owned),
            autodiscover: None,
            ask_search_key: true,
            certificates: Certificates::default(),
            network: Network::default(),
        };
        let sign_in = ExchangeSignIn::Password {
            scheme: PasswordScheme::Ntlm,
            username: "MUSTER\\sync".into(),
            password: SecretSource::Environment("UNSET".into()),
        };
        let exchange = ExchangeServerSettings {
            server,
            sign_in,
            impersonate: true,
        };
        mixed.mailboxes.push(MailboxSettings {
            id: id.into(),
            address: address.into(),
            server: MailboxServer::ExchangeServer(exchange),
            ..mixed.mailboxes[0].clone()
        });
    }
    let tenant = host.tenant(&mixed).unwrap();
    let origins: Vec<_> = tenant.mailboxes()[1..]
        .iter()
        .map(|mailbox| match &mailbox.job().mailbox.endpoint {
            Endpoint::Ews(ews) => ews.autodiscover.len(),
            other @ Endpoint::Graph(_) => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(origins, [2, 2, 0]);
}

fn last_words(error: Error) -> String {
    match error {
        Error::Crashed(crash) => crash.last_words,
        other => panic!("{other:?}"),
    }
}

/// A component that does nothing but exist loads; calling it is its first trap.
#[tokio::test]
async fn a_fitting_component_loads_and_its_trap_is_a_failed_call() {
    let mailbox = only_mailbox(Guest::new()).await;
    let words = last_words(mailbox.status().await.unwrap_err());
    assert!(words.starts_with("it panicked"), "{words}");
}

/// What is no component, or one of another kind, is told apart.
#[tokio::test]
async fn other_files_are_refused() {
    let module = wat::parse_str("(module)").unwrap();
    let component = wat::parse_str("(component)").unwrap();
    assert!(
        refused(b"#!/bin/sh".to_vec())
            .await
            .starts_with("this is no WebAssembly component")
    );
    assert!(
        refused(Vec::new())
            .await
            .starts_with("this is no WebAssembly component")
    );
    assert!(
        refused(module)
            .await
            .starts_with("this is no WebAssembly component")
    );
    assert_eq!(
        refused(component).await,
        "this component is no contact-sync plugin: it exports no `contact-sync:plugin/sync@0.1.0`"
    );
}

/// A plugin made for the next version of the interface says so, and what to do.
#[tokio::test]
async fn another_version_is_named() {
    let folder = tempfile::tempdir().unwrap();
    copy_as_next_version(Path::new("../wit"), folder.path());
    let guest = Guest::of_folder(folder.path()).build();
    let error = Host::new(settings(guest)).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "this plugin speaks version 0.2.0 of `contact-sync:plugin`; this host speaks 0.1.0"
    );
    assert_eq!(error.remedy(), "take a newer host, or an older plugin");
}

fn copy_as_next_version(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy_as_next_version(&path, &target);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            let next = text.replace("contact-sync:plugin@0.1.0", "contact-sync:plugin@0.2.0");
            fs::write(target, next).unwrap();
        }
    }
}

/// What Rust's standard library imports by itself is there.
#[tokio::test]
async fn what_a_rust_guest_imports_is_linked() {
    let imports = [
        "wasi:cli/environment@0.2.12",
        "wasi:cli/exit@0.2.12",
        "wasi:cli/stderr@0.2.12",
        "wasi:cli/stdin@0.2.12",
        "wasi:cli/stdout@0.2.12",
        "wasi:cli/terminal-stderr@0.2.12",
        "wasi:cli/terminal-stdin@0.2.12",
        "wasi:cli/terminal-stdout@0.2.12",
        "wasi:clocks/monotonic-clock@0.2.12",
        "wasi:clocks/wall-clock@0.2.12",
        "wasi:random/insecure-seed@0.2.12",
        "wasi:random/random@0.2.12",
    ];
    only_mailbox(Guest::with_imports(&imports)).await;
}

/// Nobody gets files or sockets, not even as an import that is never called.
#[tokio::test]
async fn files_and_sockets_are_not_linked() {
    for import in ["wasi:filesystem/types@0.2.12", "wasi:sockets/tcp@0.2.12"] {
        let (package, _) = import.split_once('/').unwrap();
        let refused = refused(Guest::with_imports(&[import]).build()).await;
        assert!(
            refused.contains("does not fit") && refused.contains(package),
            "{refused}"
        );
    }
}

/// A component that dies while it comes to life is refused when it is loaded.
#[tokio::test]
async fn a_component_that_cannot_start_is_refused() {
    let text = Guest::new().build();
    let error = Host::new(HostSettings {
        limits: Limits {
            memory_bytes_max: 64 * 1024,
            ..limits()
        },
        ..settings(text)
    });
    assert!(matches!(error.await, Err(PluginError::Start(_))));
}

/// A loop without end is stopped at the step's time, and the sandbox is never entered again; the
/// lease is free, and the next pass gets a sandbox of its own.
#[tokio::test]
async fn an_endless_loop_is_stopped() {
    let guest = Guest::new()
        .export("sync@0.1|[static]pass.open", OPENS)
        .export("sync@0.1|[method]pass.advance", ENDLESS);
    let mailbox = only_mailbox(guest).await;
    let mut pass = mailbox.open(Mode::Sync).await.unwrap();
    let words = last_words(pass.advance().await.unwrap_err());
    assert_eq!(words, "a step took longer than 250 ms");
    assert_eq!(last_words(pass.advance().await.unwrap_err()), words);
    pass.close().await;
    mailbox.open(Mode::Sync).await.unwrap().close().await;
    assert_eq!(
        mailbox.last_crash().await.unwrap().unwrap().last_words,
        words
    );
}

/// Dropping a call in its middle leaves a sandbox that is never entered again.
#[tokio::test]
async fn a_call_given_up_midway_ends_the_pass() {
    let guest = Guest::new()
        .export("sync@0.1|[static]pass.open", OPENS)
        .export("sync@0.1|[method]pass.advance", ENDLESS);
    let mailbox = only_mailbox(guest).await;
    let mut pass = mailbox.open(Mode::Sync).await.unwrap();
    assert!(
        tokio::time::timeout(Duration::from_millis(30), pass.advance())
            .await
            .is_err()
    );
    let words = last_words(pass.advance().await.unwrap_err());
    assert_eq!(words, "a call into it was given up midway");
}

/// Memory stops growing at the limit, whatever is asked for: the guest sees how far it came.
#[tokio::test]
async fn memory_is_limited() {
    let guest = Guest::new().export(
        "sync@0.1|status",
        "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
         (i32.store offset=40 (i32.const 0) (memory.size))
         i32.const 16",
    );
    let overview = only_mailbox(guest).await.status().await.unwrap();
    assert_eq!(overview.links, 2 * 1024 * 1024 / (64 * 1024));
}

/// Handles are limited: a guest that only opens and never closes is stopped.
#[tokio::test]
async fn handles_are_limited() {
    let guest = Guest::new().export(
        "sync@0.1|status",
        "(loop (drop (call $wasi:http~types@0.2/[constructor]fields )) br 0) unreachable",
    );
    let words = last_words(only_mailbox(guest).await.status().await.unwrap_err());
    assert!(
        !words.contains("longer than"),
        "it is not the time that stopped it: {words}"
    );
}

/// What one call may carry to the host is limited: here a prefix of 128 KiB.
#[tokio::test]
async fn a_call_carries_only_so_much() {
    // Fresh memory, all zeros: text as good as any.
    let scan = "(drop (memory.grow (i32.const 2)))
         (call $contact-sync:plugin~store@0.1/scan (i32.const 262144) (i32.const LENGTH)
         (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 128)) i32.const 16";
    let with =
        |length: &str| Guest::new().export("sync@0.1|status", &scan.replace("LENGTH", length));
    only_mailbox(with("32768")).await.status().await.unwrap();
    let words = last_words(
        only_mailbox(with("131072"))
            .await
            .status()
            .await
            .unwrap_err(),
    );
    assert!(words.contains("fuel"), "{words}");
}

/// The end of what a plugin wrote to its standard error is kept for the tenant, 4 KiB of it.
#[tokio::test]
async fn last_words_are_kept() {
    let guest = Guest::with_imports(&["wasi:cli/stderr@0.2.12"])
        .text("index out of bounds")
        .export(
            "sync@0.1|status",
            "(local $times i32)
             (loop
               (call $wasi:io~streams@0.2/[method]output-stream.blocking-write-and-flush
                 (call $wasi:cli~stderr@0.2/get-stderr ) (i32.const 4096) (i32.const 19)
                 (i32.const 64))
               (local.set $times (i32.add (local.get $times) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $times) (i32.const 300))))
             unreachable",
        );
    let host = HostSettings {
        limits: Limits {
            handles_max: 1_000,
            ..limits()
        },
        ..settings(guest.build())
    };
    let mailbox = mailbox(&Host::new(host).await.unwrap(), "a");
    let words = last_words(mailbox.status().await.unwrap_err());
    let (reason, written) = words.split_once('\n').unwrap();
    assert!(reason.starts_with("it panicked"), "{reason}");
    assert_eq!(written.len(), 4 * 1024);
    assert!(written.ends_with("index out of boundsindex out of bounds"));
    assert_eq!(
        mailbox.last_crash().await.unwrap().unwrap().last_words,
        words
    );
}

/// A guest whose every call commits, and answers how that ended: 0, or the error's number plus one.
fn committing() -> String {
    // `write.set` is case 0; its key is "key" at 4096, its value empty.
    format!(
        "(i32.store8 offset=256 (i32.const 0) (i32.const 0))
         (i32.store offset=260 (i32.const 0) (i32.const 4096))
         (i32.store offset=264 (i32.const 0) (i32.const 3))
         (call $contact-sync:plugin~store@0.1/commit (i32.const 256) (i32.const 1) (i32.const 512))
         (i32.store offset=40 (i32.const 0) (i32.load8_u offset=512 (i32.const 0)))
         (i32.store offset=44 (i32.const 0) (i32.load8_u offset=516 (i32.const 0)))
         i32.const {RESULT}"
    )
}

/// A call that only looks cannot write, whatever the plugin tries: the store refuses it.
#[tokio::test]
async fn looking_does_not_write() {
    let guest = Guest::new()
        .text("key")
        .export("sync@0.1|status", &committing());
    let overview = only_mailbox(guest).await.status().await.unwrap();
    assert_eq!(
        (overview.links, overview.detached),
        (1, 0),
        "refused, the first of the errors"
    );
}

/// One tenant, one pass at a time; looking goes on beside it; the lease is free when the pass is
/// closed, and when it is dropped.
#[tokio::test]
async fn a_tenant_has_one_writer() {
    let guest = Guest::new()
        .export("sync@0.1|[static]pass.open", OPENS)
        .export("sync@0.1|[method]pass.advance", DONE)
        .export("sync@0.1|status", "i32.const 16");
    let host = Host::new(settings(guest.build())).await.unwrap();
    let (first, second, other) = (
        mailbox(&host, "a"),
        mailbox(&host, "a"),
        mailbox(&host, "b"),
    );

    let mut pass = first.open(Mode::Sync).await.unwrap();
    let busy = second.open(Mode::Sync).await.err().unwrap();
    assert!(
        matches!(&busy, Error::Busy { tenant, .. } if tenant == "a"),
        "{busy:?}"
    );
    assert!(matches!(
        second.pair(&Pairing::AsNew("x".into())).await,
        Err(Error::Busy { .. })
    ));
    second.status().await.unwrap();
    second.open(Mode::Preview).await.unwrap().close().await;
    other.open(Mode::Sync).await.unwrap().close().await;

    let report = pass.run(|_| {}).await.unwrap();
    assert!(matches!(report.outcome, Outcome::Complete));
    pass.close().await;
    let dropped = second.open(Mode::Sync).await.unwrap();
    drop(dropped);
    tokio::task::yield_now().await;
    first.open(Mode::Sync).await.unwrap().close().await;
}

/// A pause that a service asks for is the host's: meanwhile another pass runs, even where only one
/// may run at a time.
#[tokio::test]
async fn a_waiting_pass_holds_no_permit() {
    // `step.waiting`, 600,000 ms.
    let waits = "(i32.store8 offset=16 (i32.const 0) (i32.const 1))
         (i32.store offset=24 (i32.const 0) (i32.const 600000)) i32.const 16";
    let guest = Guest::new()
        .export("sync@0.1|[static]pass.open", OPENS)
        .export("sync@0.1|[method]pass.advance", waits);
    let host = HostSettings {
        running_max: 1,
        ..settings(guest.build())
    };
    let host = Host::new(host).await.unwrap();
    let mut first = mailbox(&host, "a").open(Mode::Sync).await.unwrap();
    let mut second = mailbox(&host, "b").open(Mode::Sync).await.unwrap();
    for pass in [&mut first, &mut second] {
        let turn = pass.advance().await.unwrap();
        assert!(matches!(turn, Turn::Waiting { wait, .. } if wait == Duration::from_mins(10)));
    }
}

/// A compiled component is taken from the cache; a damaged or foreign file there costs time, no
/// more.
#[tokio::test]
async fn the_cache_is_used_and_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let plugin = Guest::new()
        .export("sync@0.1|status", "i32.const 16")
        .build();
    let load = || {
        let settings = HostSettings {
            cache: Some(cache.clone()),
            ..settings(plugin.clone())
        };
        async {
            mailbox(&Host::new(settings).await.unwrap(), "a")
                .status()
                .await
                .unwrap()
        }
    };
    load().await;
    let kept = || -> Vec<_> {
        fs::read_dir(&cache)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    };
    let [file] = kept().try_into().expect("one file, none left aside");
    let compiled = fs::read(&file).unwrap();
    let written = fs::metadata(&file).unwrap().modified().unwrap();
    load().await;
    assert_eq!(
        fs::metadata(&file).unwrap().modified().unwrap(),
        written,
        "taken, not made anew"
    );

    let mut one_bit_else = compiled.clone();
    *one_bit_else.last_mut().unwrap() ^= 1;
    for damaged in [b"half a file".to_vec(), one_bit_else, Vec::new()] {
        fs::write(&file, damaged).unwrap();
        load().await;
        assert_eq!(fs::read(&file).unwrap(), compiled);
    }
}

/// Platforms drive passes from tasks of their own.
#[tokio::test(flavor = "multi_thread")]
async fn passes_can_move_between_threads() {
    let guest = Guest::new()
        .export("sync@0.1|[static]pass.open", OPENS)
        .export("sync@0.1|[method]pass.advance", DONE);
    let mailbox = only_mailbox(guest).await;
    let task = tokio::spawn(async move {
        let mut pass = mailbox.open(Mode::Sync).await?;
        pass.run(|_| {}).await
    });
    assert!(matches!(
        task.await.unwrap().unwrap().outcome,
        Outcome::Complete
    ));
}
