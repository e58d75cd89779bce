//! What the simulation found in mailboxes on an Exchange Server, told as scenarios.

use serde_json::json;

use super::stage::{ANNA, Edit, PAUSE_MS, Scenario, Variant, outlook};

/// Whatever outlives an item's id is copied with it: who deletes the original of a copy that is a
/// contact of its own by now means the original, and the copy keeps its own partner.
#[test]
fn copy_is_not_taken_for_its_deleted_original() {
    let erika = json!({
        "givenName": "Erika", "surname": "Mustermann",
        "emailAddresses": [{"address": "erika@muster.example", "name": "Erika"}],
    });
    let mut stage = Scenario::new()
        .before([outlook(ANNA, "erika", erika)])
        .stage(Variant::AccountField);
    let (original, partner) = (stage.handle(ANNA, "erika"), stage.crm_id("erika"));
    let people = stage.world.crm_ids().len();
    stage.edit(&Edit::OutlookCopy(ANNA, "erika", "copy"));
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    assert_eq!(stage.world.crm_ids().len(), people + 1, "it is somebody");
    stage.world.advance_ms(PAUSE_MS);
    stage.world.mailbox_delete(ANNA, &original);
    stage.pass(ANNA);
    assert_eq!(stage.world.crm_trash(), [partner], "who was deleted");
    let copy = stage.mailbox_id(ANNA, "copy");
    let links = stage.links(ANNA);
    let of_copy = links.iter().filter(|link| link.mailbox_id.as_str() == copy);
    assert_eq!(of_copy.count(), 1, "the copy has one partner");
    stage.check_quiet("a copy whose original was deleted");
}
