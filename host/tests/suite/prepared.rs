//! What is the same for every tenant is done once; nothing else gets into a component that way; and
//! sandboxes come from a pool as long as it has room.
//!
//! Method: guests of a few lines whose `prepare` leaves a trace that another export shows.

use contact_sync_host::{Host, HostSettings, Mode, PluginError, prepare};

use super::guest::Guest;
use super::plugin::{DONE, OPENS, mailbox, only_mailbox, settings};

/// Shows in `overview.links` what is at address 2048.
const SHOWS: &str = "(i32.store offset=40 (i32.const 0) (i32.load offset=2048 (i32.const 0)))
     i32.const 16";

/// Counts at address 2048 how often it ran.
const COUNTS: &str = "(i32.store offset=2048 (i32.const 0)
     (i32.add (i32.load offset=2048 (i32.const 0)) (i32.const 1)))";

fn counting(prepares: &str) -> Guest {
    let prepares = format!("{COUNTS} {prepares}");
    Guest::new()
        .export("lifecycle@0.1|prepare", &prepares)
        .export("sync@0.1|status", SHOWS)
}

async fn links(guest: Guest) -> u32 {
    let mailbox = only_mailbox(guest).await;
    mailbox.status().await.unwrap().links
}

/// Every sandbox begins where `prepare` ended, and none sees what another has done since.
#[tokio::test]
async fn sandboxes_begin_prepared() {
    assert_eq!(links(counting("")).await, 1);
    let also_later = format!("{COUNTS} {SHOWS}");
    let mailbox = only_mailbox(
        Guest::new()
            .export("lifecycle@0.1|prepare", COUNTS)
            .export("sync@0.1|status", &also_later),
    )
    .await;
    for _ in 0..3 {
        assert_eq!(mailbox.status().await.unwrap().links, 2);
    }
}

/// The bytes that `prepare` returns are the plugin itself, prepared: they can be prepared again.
#[tokio::test]
async fn prepared_bytes_are_a_plugin() {
    let prepared = prepare(&counting("").build()).await.unwrap();
    assert_eq!(prepared, prepare(&counting("").build()).await.unwrap());
    let host = Host::new(settings(prepared)).await.unwrap();
    let overview = mailbox(&host, "a").status().await.unwrap();
    assert_eq!(overview.links, 2);
}

/// Clock, chance, store and output are traps while a component is prepared: what asks for them is
/// not prepared, and nothing of them is frozen. It still works, from its own beginning.
#[tokio::test]
async fn nothing_of_the_world_gets_into_a_component() {
    let asks = [
        "(call $wasi:clocks~wall-clock@0.2/now (i32.const 512))",
        "(drop (call $wasi:clocks~monotonic-clock@0.2/now ))",
        "(drop (call $wasi:random~random@0.2/get-random-u64 ))",
        "(call $contact-sync:plugin~store@0.1/commit (i32.const 0) (i32.const 0) (i32.const 512))",
        "unreachable",
    ];
    for ask in asks {
        let refused = prepare(&counting(ask).build()).await;
        assert!(
            matches!(refused, Err(PluginError::Start(_))),
            "{ask}: {refused:?}"
        );
        assert_eq!(links(counting(ask)).await, 0, "{ask}");
    }
}

/// A `prepare` that never ends, or that fills its memory, costs the time of one step.
#[tokio::test]
async fn preparing_is_limited() {
    for endless in [
        "(loop br 0)",
        "(loop (drop (memory.grow (i32.const 1))) br 0)",
    ] {
        assert_eq!(links(counting(endless)).await, 0, "{endless}");
    }
}

/// What is no plugin is refused in the same words as by a host.
#[tokio::test]
async fn only_plugins_are_prepared() {
    let refused = prepare(b"hello").await;
    assert!(matches!(refused, Err(PluginError::NotAComponent(_))));
    let component = wat::parse_str("(component)").unwrap();
    let refused = prepare(&component).await;
    assert!(matches!(refused, Err(PluginError::NoPlugin)));
}

/// More sandboxes than the pool has room for, and no pool at all.
#[tokio::test]
async fn a_full_pool_stops_nobody() {
    let guest = || {
        counting("")
            .export("sync@0.1|[static]pass.open", OPENS)
            .export("sync@0.1|[method]pass.advance", DONE)
            .build()
    };
    for pooled_max in [0, 1, 2] {
        let host = HostSettings {
            pooled_max,
            ..settings(guest())
        };
        let host = Host::new(host).await.unwrap();
        let mut passes = Vec::new();
        for tenant in ["a", "b", "c", "d"] {
            passes.push(mailbox(&host, tenant).open(Mode::Sync).await.unwrap());
        }
        for pass in &mut passes {
            pass.run(|_| {}).await.unwrap();
        }
        let looking = mailbox(&host, "a").status().await.unwrap();
        assert_eq!(looking.links, 1, "prepared, in the pool and beside it");
    }
}
