//! Loops, memory, handles, the stack, waiting, and a pass that never ends.

use std::sync::atomic::{AtomicU64, Ordering};

use contact_sync_host::store::Clock;
use contact_sync_host::{PluginError, Turn};

use super::*;

/// Wherever it is called, a loop without end is stopped at the step's time.
#[tokio::test]
async fn a_loop_without_end_is_stopped_wherever_it_is() {
    for export in [OPEN, ADVANCE, OPERATIONS, FINDINGS] {
        let street = Street::new(guest(export, ENDLESS), hasty()).await;
        let words = street.stopped(street.villains_pass()).await;
        assert_eq!(words, "a step took longer than 250 ms", "{export}");
    }
    let street = Street::new(guest(STATUS, ENDLESS), hasty()).await;
    let words = street.stopped(street.villain.status()).await;
    assert_eq!(words, "a step took longer than 250 ms");
}

/// What the host itself calls around an export may loop as well: the guest's allocator, and what
/// takes a result back.
#[tokio::test]
async fn a_loop_between_calls_is_stopped() {
    // The answer of `random` needs room.
    let asks = "(global.set $evil (i32.const 1))
        (call $wasi:random~random@0.2/get-random-bytes (i64.const 16) (i32.const 512))";
    let looping = "(if (global.get $evil) (then (loop br 0)))
        (global.set $free (i32.add (global.get $free) (i32.const 4096)))
        (i32.sub (global.get $free) (i32.const 4096))";
    let allocator = guest(STATUS, asks)
        .item("(global $evil (mut i32) (i32.const 0))")
        .allocator(looping);
    // The neighbour's status is taken back in the same way.
    let after = guest(
        STATUS,
        "(global.set $evil (i32.const 1)) (return (i32.const 16))",
    )
    .item("(global $evil (mut i32) (i32.const 0))")
    .export(
        "sync@0.1|status_post",
        "(if (global.get $evil) (then (loop br 0)))",
    );
    for guest in [allocator, after] {
        let street = Street::new(guest, hasty()).await;
        let words = street.stopped(street.villain.status()).await;
        assert_eq!(words, "a step took longer than 250 ms");
    }
}

/// A component that never comes to life is refused, and one that lives only the first time is
/// stopped like any other call.
#[tokio::test]
async fn a_loop_while_coming_to_life_is_stopped() {
    let store = Arc::new(MemoryStore::default());
    let settings = |guest: Guest, clock: Clock| HostSettings {
        limits: hasty(),
        clock,
        ..HostSettings::usual(guest.build(), Arc::clone(&store) as _)
    };
    let time = Arc::new(AtomicU64::new(0));
    let read = Arc::clone(&time);
    let clock: Clock = Arc::new(move || read.load(Ordering::SeqCst));

    let dead = guest(STATUS, NOTHING).initialize(ENDLESS);
    let refused = Host::new(settings(dead, Arc::clone(&clock))).await.err();
    let Some(PluginError::Start(words)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(words, "a step took longer than 250 ms");

    let patient = guest(STATUS, NOTHING).initialize(
        "(call $wasi:clocks~wall-clock@0.2/now (i32.const 512))
         (if (i64.ne (i64.load offset=512 (i32.const 0)) (i64.const 0)) (then (loop br 0)))",
    );
    let host = Host::new(settings(patient, clock)).await.unwrap();
    time.store(1_000, Ordering::SeqCst);
    let mailbox = host.tenant(&tenant_settings(VILLAIN)).unwrap().mailboxes()[0].clone();
    for opened in [
        mailbox.open(Mode::Sync).await,
        mailbox.open(Mode::Sync).await,
    ] {
        assert!(
            matches!(opened, Err(Error::Crashed(_))),
            "and the lease is free"
        );
    }
}

/// Villains that loop hold what may run at once for the time of a step, and no longer: whoever
/// waits gets a turn, in the order of asking.
#[tokio::test]
async fn two_loops_do_not_starve_a_third() {
    let store = Arc::new(MemoryStore::default());
    let host = Host::new(HostSettings {
        limits: hasty(),
        running_max: 1,
        ..HostSettings::usual(guest(ADVANCE, ENDLESS).build(), store)
    });
    let host = host.await.unwrap();
    let mailbox = |tenant: &str| {
        let tenant = host.tenant(&tenant_settings(tenant)).unwrap();
        tenant.mailboxes()[0].clone()
    };
    let endless = async |tenant: &str| {
        let mut pass = mailbox(tenant).open(Mode::Sync).await.unwrap();
        matches!(pass.run(|_| {}).await, Err(Error::Crashed(_)))
    };
    let neighbour = async {
        let mut pass = mailbox(NEIGHBOUR).open(Mode::Sync).await.unwrap();
        pass.run(|_| {}).await.is_ok()
    };
    let ended = tokio::join!(endless("villain-1"), endless("villain-2"), neighbour);
    assert_eq!(ended, (true, true, true));
}

/// While a villain loops, others are served: a loop hands over the thread at every tick.
#[tokio::test]
async fn others_go_on_beside_a_loop() {
    let street = Street::new(guest(ADVANCE, ENDLESS), limits()).await;
    let mut pass = street.villain.open(Mode::Sync).await.unwrap();
    tokio::select! {
        biased;
        ended = pass.run(|_| {}) => panic!("{ended:?}"),
        () = street.neighbour_works() => {}
    }
}

/// What uses things up is stopped by its limit, not by the clock: tables, handles of every kind,
/// the stack.
#[tokio::test]
async fn what_is_used_up_is_refused() {
    let taken = "(local.set $a
        (call $wasi:http~types@0.2/[constructor]outgoing-request
          (call $wasi:http~types@0.2/[constructor]fields )))";
    let bodies = format!(
        "(loop {taken}
        (call $wasi:http~types@0.2/[method]outgoing-request.body (local.get $a) (i32.const 512))
        br 0)"
    );
    let sends = format!(
        "(loop {taken}
        (drop (call $wasi:http~types@0.2/[method]outgoing-request.set-authority
          (local.get $a) (i32.const 1) (i32.const 4096) (i32.const 3)))
        (drop (call $wasi:http~types@0.2/[method]outgoing-request.set-path-with-query
          (local.get $a) (i32.const 1) (i32.const 8192) (i32.const 1)))
        (call $wasi:http~outgoing-handler@0.2/handle
          (local.get $a) (i32.const 0) (i32.const 0) (i32.const 512))
        br 0)"
    );
    let many = "(local.set $a
          (call $wasi:clocks~monotonic-clock@0.2/subscribe-duration (i64.const 0)))
        (loop
          (i32.store (i32.add (i32.const 8192) (local.get $b)) (local.get $a))
          (local.set $b (i32.add (local.get $b) (i32.const 4)))
          (br_if 0 (i32.lt_u (local.get $b) (i32.const 4000))))
        (call $wasi:io~poll@0.2/poll (i32.const 8192) (i32.const 1000) (i32.const 512))"
        .to_owned();
    let endless = |call: &str| format!("(loop (drop (call ${call} )) br 0)");
    for (what, body) in [
        ("fields", endless("wasi:http~types@0.2/[constructor]fields")),
        (
            "options",
            endless("wasi:http~types@0.2/[constructor]request-options"),
        ),
        ("streams", endless("wasi:cli~stderr@0.2/get-stderr")),
        ("requests", format!("(loop {taken} br 0)")),
        ("bodies", bodies),
        ("requests sent", sends),
        (
            "pollables",
            "(loop (drop (call $wasi:clocks~monotonic-clock@0.2/subscribe-duration (i64.const -1)))
              br 0)"
                .to_owned(),
        ),
        (
            "passes",
            "(loop (drop (call $_ex_contact-sync:plugin~sync@0.1/pass_new (i32.const 1))) br 0)"
                .to_owned(),
        ),
        ("one pollable, a thousand times", many),
        ("the stack", "(call $deep )".to_owned()),
        (
            "exit",
            "(call $wasi:cli~exit@0.2/exit (i32.const 0))".to_owned(),
        ),
    ] {
        let imports = ["wasi:cli/stderr@0.2.12", "wasi:cli/exit@0.2.12"];
        let guest = with(Guest::with_imports(&imports), ADVANCE, &body)
            .item("(data (i32.const 8192) \"/\")")
            .item("(func $deep call $deep)");
        let street = Street::new(guest, limits()).await;
        let words = street.stopped(street.villains_pass()).await;
        assert!(!words.contains("longer than"), "{what}: {words}");
    }
}

/// Tables stop growing at the limit, all together.
#[tokio::test]
async fn tables_are_limited_together() {
    let grow = |table: &str| {
        format!(
            "(loop (br_if 0 (i32.ne
            (table.grow {table} (ref.null func) (i32.const 1000)) (i32.const -1))))"
        )
    };
    let body = format!(
        "{} {} (i32.store offset=40 (i32.const 0)
           (i32.add (table.size $first) (table.size $second)))
         (return (i32.const 16))",
        grow("$first"),
        grow("$second")
    );
    let guest = guest(STATUS, &body)
        .item("(table $first 0 funcref)")
        .item("(table $second 0 funcref)");
    let street = Street::new(guest, limits()).await;
    let overview = street.during(street.villain.status()).await.unwrap();
    // The component model has small tables of its own.
    let elements = overview.links;
    assert!((99_000..=100_000).contains(&elements), "{elements}");
}

/// Waiting for something that never happens ends with the step.
#[tokio::test]
async fn sleeping_for_ever_is_stopped() {
    let never = "(local.set $a
        (call $wasi:clocks~monotonic-clock@0.2/subscribe-duration (i64.const -1)))";
    for wait in [
        "(call $wasi:io~poll@0.2/[method]pollable.block (local.get $a))",
        "(i32.store offset=256 (i32.const 0) (local.get $a))
         (call $wasi:io~poll@0.2/poll (i32.const 256) (i32.const 1) (i32.const 512))",
    ] {
        let street = Street::new(guest(ADVANCE, &format!("{never} {wait}")), hasty()).await;
        let words = street.stopped(street.villains_pass()).await;
        assert_eq!(words, "a step took longer than 250 ms");
    }
}

/// A pause is taken within what `sync.pause` allows: a host neither spins nor sleeps for weeks.
#[tokio::test]
async fn a_pause_has_its_bounds() {
    for (asked, taken) in [
        ("0", Duration::from_millis(1)),
        ("-1", Duration::from_mins(10)),
    ] {
        let waits = format!(
            "(i32.store8 offset=16 (i32.const 0) (i32.const 1))
             (i32.store offset=24 (i32.const 0) (i32.const {asked})) (return (i32.const 16))"
        );
        let street = Street::new(guest(ADVANCE, &waits), limits()).await;
        let mut pass = street.villain.open(Mode::Sync).await.unwrap();
        let turn = pass.advance().await.unwrap();
        assert!(
            matches!(turn, Turn::Waiting { wait, .. } if wait == taken),
            "{turn:?}"
        );
    }
}

/// A pass that always says that it works, and one that only ever waits, end by the host's own
/// measure.
#[tokio::test]
async fn a_pass_that_never_ends_is_ended() {
    let waits = "(i32.store8 offset=16 (i32.const 0) (i32.const 1))
        (i32.store offset=24 (i32.const 0) (i32.const 1)) (return (i32.const 16))";
    for body in [WORKING, waits] {
        let limits = Limits {
            life_time_max: Duration::from_millis(200),
            ..limits()
        };
        let street = Street::new(guest(ADVANCE, body), limits).await;
        let words = street.stopped(street.villains_pass()).await;
        assert_eq!(words, "it was at work for longer than 200 ms");
    }
}

/// What one sandbox may compute is limited, however it is cut into steps.
#[tokio::test]
async fn computing_is_limited_over_all_steps() {
    for body in [WORKING, ENDLESS] {
        let limits = Limits {
            computing_time_max: Duration::from_millis(100),
            ..limits()
        };
        let street = Street::new(guest(ADVANCE, body), limits).await;
        let words = street.stopped(street.villains_pass()).await;
        assert_eq!(words, "it computed for longer than 100 ms");
    }
}

/// A trap in the middle of a pass: what was committed stays, the lease is free, the next pass runs.
#[tokio::test]
async fn a_trap_after_a_commit_loses_nothing() {
    // Nothing there yet: commit `row`, and trap.
    let body = format!(
        "(call $contact-sync:plugin~store@0.1/scan (i32.const 0) (i32.const 0)
           (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 768))
         (if (i32.eqz (i32.load offset=776 (i32.const 0))) (then
           {NEIGHBOUR_ADVANCES} unreachable))
         {DONE}"
    );
    let street = Street::new(guest(ADVANCE, &body), limits()).await;
    let words = street.stopped(street.villains_pass()).await;
    assert!(words.starts_with("it panicked"), "{words}");
    let row = ("row".to_owned(), b"mine".to_vec());
    assert_eq!(street.rows(VILLAIN).await, [row]);
    street.during(street.villains_pass()).await.unwrap();
}
