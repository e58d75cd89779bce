//! Faults that a review of the engine's lower floors found: each a scenario that was red before.

use contact_sync_guest::contact::CrmId;
use contact_sync_guest::links::{Memory, bucket_of};
use contact_sync_guest::outside::Write;
use contact_sync_guest::report::Outcome;
use serde_json::json;

use super::stage::{ANNA, DAY_MS, PAUSE_MS, Scenario, Variant};

// ---- the store's limits ---------------------------------------------------------------------------

/// What is remembered of a large company: 40 KiB in each of the 256 buckets, ten MiB in all.
fn remember_a_large_company(stage: &super::stage::Stage) {
    let mut rows = stage.world.stored();
    for bucket in 0..=u8::MAX {
        let people: Vec<_> = (0..200)
            .map(|number| json!({"i": format!("absent-{bucket}-{number}"), "l": "x".repeat(170)}))
            .collect();
        let key = format!("m/anna-makler-example/candidate/{bucket:02x}");
        rows.insert(key, serde_json::to_vec(&people).expect("it is JSON"));
    }
    stage.world.set_stored(rows);
}

/// `wit/store.wit`: one call carries at most 8 MiB, in either direction. The digests of some 40,000
/// contacts are more than that.
#[test]
fn what_is_remembered_of_a_large_company_fits_through_the_store() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    remember_a_large_company(&stage);
    let mut touched = std::collections::BTreeSet::new();
    for number in 0.. {
        let fields = json!({"lastName": [format!("Neu{number}")]});
        touched.insert(bucket_of(&CrmId::new(stage.world.crm_create(&fields))));
        if touched.len() == 256 {
            break;
        }
    }
    stage.world.advance_ms(PAUSE_MS);
    // The feeds touch every bucket; a mailbox contact that is new asks for all of them.
    stage
        .world
        .mailbox_create(ANNA, &json!({"givenName": "Neu", "surname": "Neu0"}));
    let played = stage.pass(ANNA);
    assert_eq!(played.report.outcome, Outcome::Complete, "{played:#?}");
    let bytes: usize = stage
        .rows("m/anna-makler-example/candidate/")
        .values()
        .map(Vec::len)
        .sum();
    assert!(
        bytes > 8 * 1024 * 1024,
        "too small to prove anything: {bytes}"
    );
    stage.world.advance_ms(DAY_MS);
    let played = stage.pass(ANNA);
    assert_eq!(played.report.outcome, Outcome::Complete, "{played:#?}");
}

/// A commit too large for one call is cut, and its last write stays the last.
#[test]
fn commit_of_many_bytes_is_cut_and_read_back() {
    let stage = Scenario::new().ballast(0).stage(Variant::AccountField);
    let memory = Memory::new(stage.outside(), "anna");
    let writes: Vec<Write> = (0..24)
        .map(|number| {
            Write::Set(
                format!("m/anna/pair/{number:02}"),
                vec![b'x'; 1024 * 1024 - 64],
            )
        })
        .collect();
    memory.commit(writes).expect("in several commits");
    // Eight values with their keys stay just below the limit.
    assert_eq!(memory.commits(), 3, "no more commits than needed");
    let ids: Vec<_> = (0..24)
        .map(|number| CrmId::new(format!("{number:02}")))
        .collect();
    let links = memory.links(&ids).expect("in several reads");
    assert_eq!(links.len(), 24);
}
