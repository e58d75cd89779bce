//! What is handed to the host: lists, texts, numbers, and output.

use contact_sync_host::Turn;
use contact_sync_host::types::Phase;

use super::*;

/// Where memory begins that nobody has used: zeros, and zeros are operations and findings.
const FRESH: &str = "262144";

/// Returns a list of so many items from this address.
fn list(address: &str, length: &str) -> String {
    format!(
        "(drop (memory.grow (i32.const 8)))
         (i32.store offset=512 (i32.const 0) (i32.const {address}))
         (i32.store offset=516 (i32.const 0) (i32.const {length}))
         (return (i32.const 512))"
    )
}

/// A list that is not where it says, or not as long, is no list; and one that is as long as it says
/// is as long as the host allows.
#[tokio::test]
async fn a_list_that_lies_is_stopped() {
    for (address, length) in [
        ("8192", "-1"),
        (FRESH, "100000"),
        ("-16", "1"),
        ("8193", "1"),
        // It is all there, and more than one call may carry.
        (FRESH, "2000"),
    ] {
        for export in [OPERATIONS, FINDINGS] {
            let street = Street::new(guest(export, &list(address, length)), limits()).await;
            let words = street.stopped(street.villains_pass()).await;
            assert!(
                words.starts_with("it was stopped: "),
                "{address} {length}: {words}"
            );
        }
    }
}

/// More than a page holds is cut to the page, where the bytes are not too many.
#[tokio::test]
async fn a_page_has_its_length() {
    let limits = Limits {
        call_bytes_max: Limits::usual().call_bytes_max,
        ..limits()
    };
    for export in [OPERATIONS, FINDINGS] {
        let street = Street::new(guest(export, &list(FRESH, "2000")), limits.clone()).await;
        let mut pass = street.villain.open(Mode::Sync).await.unwrap();
        let lengths = (
            pass.operations(0).await.unwrap().len(),
            pass.findings(0).await.unwrap().len(),
        );
        let expected = if export == OPERATIONS {
            (1_000, 0)
        } else {
            (0, 1_000)
        };
        assert_eq!(lengths, expected);
        // Nor is there a list without end: whoever reads page after page comes to one.
        let beyond = (
            pass.operations(1_000_000).await,
            pass.findings(u32::MAX).await,
        );
        assert!(beyond.0.unwrap().is_empty() && beyond.1.unwrap().is_empty());
        pass.close().await;
    }
}

/// What is no value of its type never reaches a platform: discriminants that do not exist, texts
/// that are not UTF-8 or lie outside of the memory, results at odd addresses.
#[tokio::test]
async fn values_that_are_none_are_stopped() {
    let one_finding = list("8192", "1");
    let byte = |at: u32, value: u32| format!("(i32.store8 (i32.const {at}) (i32.const {value}))");
    let word = |at: u32, value: i32| format!("(i32.store (i32.const {at}) (i32.const {value}))");
    let code = |address: i32, length: i32| {
        format!(
            "{} {} {one_finding}",
            word(8196, address),
            word(8200, length)
        )
    };
    for (what, export, body) in [
        ("a severity", FINDINGS, byte(8192, 9) + &one_finding),
        ("a text", FINDINGS, byte(9000, 0xff) + &code(9000, 1)),
        (
            "a text cut short",
            FINDINGS,
            byte(9000, 0xc3) + &code(9000, 1),
        ),
        ("a text outside", FINDINGS, code(-8, 16)),
        ("a text too long", FINDINGS, code(9000, -1)),
        ("a step", ADVANCE, format!("{} {WORKING}", byte(1024, 3))),
        ("a phase", ADVANCE, format!("{} {WORKING}", byte(1032, 5))),
        ("an option", ADVANCE, format!("{} {WORKING}", byte(1040, 2))),
        (
            "an odd address",
            ADVANCE,
            "(return (i32.const 1025))".to_owned(),
        ),
        (
            "an address outside",
            ADVANCE,
            "(return (i32.const -8))".to_owned(),
        ),
        (
            "a result",
            OPEN,
            format!("{} (return (i32.const 16))", byte(16, 2)),
        ),
        (
            "no handle",
            OPEN,
            format!("{} (return (i32.const 16))", word(24, 77)),
        ),
    ] {
        let street = Street::new(guest(export, &body), limits()).await;
        let words = street.stopped(street.villains_pass()).await;
        assert!(words.starts_with("it was stopped: "), "{what}: {words}");
    }
}

/// Numbers beyond all reason are numbers: they are handed on, and nothing is reckoned with them.
#[tokio::test]
async fn absurd_numbers_are_only_numbers() {
    let all_ones = |from: u32, to: u32| {
        let length = to - from;
        format!("(memory.fill (i32.const {from}) (i32.const 255) (i32.const {length}))")
    };
    // `progress`: all of them done, of a total of none.
    let progress = format!(
        "{} (i32.store8 (i32.const 1040) (i32.const 1)) {WORKING}",
        all_ones(1036, 1040)
    );
    let street = Street::new(guest(ADVANCE, &progress), limits()).await;
    let mut pass = street.villain.open(Mode::Sync).await.unwrap();
    let Turn::Working(progress) = pass.advance().await.unwrap() else {
        panic!("it works");
    };
    assert_eq!((progress.phase, progress.done), (Phase::ReadCrm, u32::MAX));
    assert_eq!(progress.total, Some(0));
    pass.close().await;

    // `report`: all counts but the lists, which lie between them and are empty.
    let report = format!(
        "{} {} {} {DONE}",
        all_ones(1104, 1152),
        all_ones(1160, 1176),
        all_ones(1184, 1193)
    );
    let street = Street::new(guest(ADVANCE, &report), limits()).await;
    let mut pass = street.villain.open(Mode::Sync).await.unwrap();
    let report = street.during(pass.run(|_| {})).await.unwrap();
    let counts = &report.counts;
    assert_eq!((counts.crm.read, counts.held), (u32::MAX, u32::MAX));
    assert_eq!(counts.elapsed_ms, u64::MAX);
    assert_eq!(
        (report.findings_total, report.operations_total, report.more),
        (u32::MAX, u32::MAX, true)
    );
    assert!(counts.usage.is_empty() && report.findings.is_empty());
}

/// Output without end is swallowed: the end of the standard error is kept, of the standard output
/// nothing.
#[tokio::test]
async fn a_flood_of_output_is_swallowed() {
    for stream in ["stdout", "stderr"] {
        let imports = [format!("wasi:cli/{stream}@0.2.12")];
        let imports = imports.each_ref().map(String::as_str);
        let body = format!(
            "(local.set $a (call $wasi:cli~{stream}@0.2/get-{stream} ))
             (loop
               (call $wasi:io~streams@0.2/[method]output-stream.blocking-write-and-flush
                 (local.get $a) (i32.const 8192) (i32.const 4096) (i32.const 512))
               (local.set $b (i32.add (local.get $b) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $b) (i32.const 10000))))"
        );
        let street = Street::new(with(Guest::with_imports(&imports), STATUS, &body), limits());
        let street = street.await;
        let words = street.stopped(street.villain.status()).await;
        assert!(words.starts_with("it panicked"), "{words}");
        assert!(words.len() < 5_000, "{}", words.len());
    }
}

/// Nobody makes the host allocate by naming a number.
#[tokio::test]
async fn numbers_do_not_allocate() {
    let random = |source: &str, length: &str| {
        format!("(call ${source} (i64.const {length}) (i32.const 512))")
    };
    let stderr = |call: &str| {
        format!(
            "(call $wasi:io~streams@0.2/[method]output-stream.{call}
               (call $wasi:cli~stderr@0.2/get-stderr ) (i64.const -1) (i32.const 512))"
        )
    };
    for body in [
        random("wasi:random~random@0.2/get-random-bytes", "-1"),
        // Room enough for it is in the sandbox; the host makes it elsewhere first.
        random("wasi:random~random@0.2/get-random-bytes", "1048576"),
        random(
            "wasi:random~insecure@0.2/get-insecure-random-bytes",
            "1048576",
        ),
        stderr("write-zeroes"),
        stderr("blocking-write-zeroes-and-flush"),
    ] {
        let imports = ["wasi:cli/stderr@0.2.12", "wasi:random/insecure@0.2.12"];
        let body = format!("(drop (memory.grow (i32.const 20))) {body} {NOTHING}");
        let street = Street::new(with(Guest::with_imports(&imports), STATUS, &body), limits());
        let street = street.await;
        let words = street.stopped(street.villain.status()).await;
        assert!(words.starts_with("it was stopped: "), "{body}: {words}");
    }
}

/// A guest's own allocator may give room that is not there, or at an odd address.
#[tokio::test]
async fn room_that_is_none_is_stopped() {
    for address in ["-16", "262140"] {
        let asks = "(global.set $evil (i32.const 1))
            (call $wasi:random~random@0.2/get-random-bytes (i64.const 16) (i32.const 512))";
        let allocator = format!(
            "(if (global.get $evil) (then (return (i32.const {address}))))
             (global.set $free (i32.add (global.get $free) (i32.const 4096)))
             (i32.sub (global.get $free) (i32.const 4096))"
        );
        let guest = guest(STATUS, asks)
            .item("(global $evil (mut i32) (i32.const 0))")
            .allocator(&allocator);
        let street = Street::new(guest, limits()).await;
        let words = street.stopped(street.villain.status()).await;
        assert!(words.starts_with("it was stopped: "), "{address}: {words}");
    }
}

/// While the host writes into a guest, the guest calls nobody: not even through its allocator.
#[tokio::test]
async fn an_allocator_calls_nobody() {
    let asks = "(global.set $evil (i32.const 1))
        (call $wasi:random~random@0.2/get-random-bytes (i64.const 16) (i32.const 512))";
    let allocator = "(if (global.get $evil) (then
           (drop (call $wasi:random~random@0.2/get-random-u64 ))))
         (global.set $free (i32.add (global.get $free) (i32.const 4096)))
         (i32.sub (global.get $free) (i32.const 4096))";
    let guest = guest(STATUS, asks)
        .item("(global $evil (mut i32) (i32.const 0))")
        .allocator(allocator);
    let street = Street::new(guest, limits()).await;
    let words = street.stopped(street.villain.status()).await;
    assert!(words.starts_with("it was stopped: "), "{words}");
}
