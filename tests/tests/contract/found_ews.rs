//! What the simulation found in mailboxes on an Exchange Server, told as scenarios.

use serde_json::json;

use super::stage::{ANNA, PAUSE_MS, Scenario, Variant, outlook};

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
    let copy = stage.world.mailbox_copy(ANNA, &original);
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    assert_eq!(stage.world.crm_ids().len(), 2, "the copy is somebody");
    stage.world.advance_ms(PAUSE_MS);
    stage.world.mailbox_delete(ANNA, &original);
    stage.pass(ANNA);
    assert_eq!(stage.world.crm_trash(), [partner], "who was deleted");
    let links = stage.links(ANNA);
    let linked = links.iter().filter(|link| link.is_linked());
    let linked: Vec<String> = linked.map(|link| link.mailbox_id.to_string()).collect();
    assert_eq!(
        linked,
        [stage.known_as(ANNA, &copy)],
        "the copy keeps its partner"
    );
    stage.check_quiet("a copy whose original was deleted");
}
