//! Markers, mail accounts, the schema, and who is who.

use contact_sync_guest::job::Marker;
use contact_sync_tests::simulator::MarkerKind;
use contact_sync_tests::simulator::flowfact::quirks::Reach;
use serde_json::{Value, json};

use crate::client::{ANNA, Client};

const ENTRIES: &str = "/flowfact/nylas-contact-sync-service/syncEntries";

#[test]
fn a_marker_is_where_its_kind_says() {
    for kind in [
        MarkerKind::AccountField,
        MarkerKind::Tag,
        MarkerKind::SyncEntry,
    ] {
        let mut client = Client::with(kind);
        let id = client.crm(&json!({"firstName": ["Änne"], "tags": ["owner"]}));
        let now = client.now;
        let flowfact = &mut client.simulator.flowfact;
        assert!(flowfact.set_marker(&id, ANNA, now));
        assert!(flowfact.markers(&id).contains(ANNA), "{kind:?}");
        match flowfact.marker(ANNA).expect("an account") {
            Marker::FieldValue { field, value } => {
                assert!(
                    flowfact.values(&id, &field).contains(&json!(value)),
                    "{kind:?}"
                );
            }
            Marker::SyncEntry(account) => {
                let answer = client.send(&format!("GET {ENTRIES}?contactId={id}&page=1&size=25"));
                assert_eq!(answer.each("results", "/accountId"), [account]);
            }
        }
        let flowfact = &mut client.simulator.flowfact;
        assert!(flowfact.remove_marker(&id, ANNA, now));
        assert!(flowfact.markers(&id).is_empty(), "{kind:?}");
        assert_eq!(flowfact.values(&id, "tags"), [json!("owner")], "{kind:?}");
    }
}

#[test]
fn sync_entries_are_created_listed_set_and_deleted() {
    let mut client = Client::with(MarkerKind::SyncEntry);
    client
        .simulator
        .add_mailbox("bernd@makler.example", "Bernd");
    let flowfact = &client.simulator.flowfact;
    let anna = flowfact.account_id(ANNA).expect("Anna's account");
    let bernd = flowfact
        .account_id("bernd@makler.example")
        .expect("Bernd's account");
    let id = client.crm(&json!({"firstName": ["Änne"]}));
    let create = json!({"contactId": id, "accountId": anna});
    let entry = client.send_json(&format!("POST {ENTRIES}"), &create);
    assert_eq!((entry.status, entry.at("/contactId")), (200, id.clone()));
    let again = client.send_json(&format!("POST {ENTRIES}"), &create);
    assert_eq!(again.at("/id"), entry.at("/id"));
    for (replaced, expected) in [(false, 2), (true, 1)] {
        client.simulator.flowfact.quirks.sync_entries_replaced = replaced;
        let set = json!({"accountIds": [bernd]});
        let answer = client.send_json(&format!("POST {ENTRIES}/contact/{id}"), &set);
        assert_eq!(answer.status, 200);
        let list = client.send(&format!("GET {ENTRIES}?contactId={id}"));
        assert_eq!(list.at("/totalSize"), expected.to_string());
    }
    let list = client.send(&format!("GET {ENTRIES}?contactId={id}"));
    let left = list.at("/results/0/id");
    assert_eq!(
        client
            .send(&format!("GET {ENTRIES}/{left}"))
            .at("/accountId"),
        bernd
    );
    assert_eq!(client.send(&format!("DELETE {ENTRIES}/{left}")).status, 200);
    assert_eq!(client.send(&format!("DELETE {ENTRIES}/{left}")).status, 404);
}

#[test]
fn sync_entries_can_be_listed_for_an_account_only_where_that_is_switched_on() {
    for (listable, status) in [(false, 400), (true, 200)] {
        let mut client = Client::with(MarkerKind::SyncEntry);
        client.simulator.flowfact.quirks.sync_entries_listable = listable;
        let account = client
            .simulator
            .flowfact
            .account_id(ANNA)
            .expect("an account");
        for name in ["A", "B", "C"] {
            let id = client.crm(&json!({"firstName": [name]}));
            client.simulator.flowfact.set_marker(&id, ANNA, client.now);
        }
        let answer = client.send(&format!("GET {ENTRIES}?accountId={account}&page=2&size=2"));
        assert_eq!(answer.status, status);
        if listable {
            assert_eq!(answer.each("results", "/accountId"), [account]);
            assert_eq!(answer.at("/totalSize"), "3");
        }
    }
}

#[test]
fn services_may_be_out_of_reach() {
    let rows = [
        (Reach::Open, 200, 1),
        (Reach::Empty, 200, 0),
        (Reach::Forbidden, 403, 0),
        (Reach::Missing, 404, 0),
    ];
    for (reach, status, count) in rows {
        let mut client = Client::with(MarkerKind::SyncEntry);
        client.simulator.flowfact.quirks.sync_entries = reach;
        client.simulator.flowfact.quirks.mail_accounts = reach;
        let id = client.crm(&json!({"firstName": ["Änne"]}));
        client.simulator.flowfact.set_marker(&id, ANNA, client.now);
        let entries = client.send(&format!("GET {ENTRIES}?contactId={id}"));
        let accounts = client.send("GET /flowfact/nylas-service/config");
        assert_eq!(
            (entries.status, accounts.status),
            (status, status),
            "{reach:?}"
        );
        if status == 200 {
            assert_eq!(entries.each("results", "/id").len(), count, "{reach:?}");
            assert_eq!(accounts.each("emails", "/email").len(), count, "{reach:?}");
        }
    }
}

#[test]
fn flowfacts_own_sync_is_a_setting_of_the_mail_account() {
    let mut client = Client::new();
    let own_sync = |client: &mut Client| {
        let answer = client.send("GET /flowfact/nylas-service/config");
        answer
            .json
            .pointer("/emails/0/settings")
            .cloned()
            .expect("settings")["sync.contact"]
            .clone()
    };
    assert_eq!(own_sync(&mut client), json!("false"));
    client.simulator.flowfact.set_native_sync(ANNA, true);
    assert_eq!(own_sync(&mut client), json!("true"));
    let body = json!({"email": ANNA, "configValues": {"sync.contact": "false"}});
    let answer = client.send_json("PATCH /flowfact/nylas-service/config", &body);
    assert_eq!(answer.status, 200);
    assert_eq!(own_sync(&mut client), json!("false"));
    let info = client.send(&format!(
        "GET /flowfact/nylas-service/account-info?email={ANNA}"
    ));
    assert_eq!(info.at("/email"), ANNA);
}

#[test]
fn contacts_are_not_on_the_first_page_of_schemas() {
    let mut client = Client::new();
    let mut pages = Vec::new();
    for page in 1..=2 {
        let answer = client.send(&format!(
            "GET /flowfact/schema-service/v2/schemas?page={page}"
        ));
        assert_eq!(answer.at("/pageSize"), "34");
        pages.push(answer.each("entries", "/name"));
    }
    assert!(!pages[0].contains(&"contacts".to_owned()));
    assert!(pages[1].contains(&"contacts".to_owned()));
}

#[test]
fn the_schema_of_contacts_names_types_and_captions() {
    let mut client = Client::new();
    let path = "GET /flowfact/schema-service/v2/schemas/contacts?extensions=all";
    let schema = client.send(path).json;
    let rows = [
        ("firstName", "TEXT", "Vorname"),
        ("title", "TEXT", "Titel"),
        ("position", "TEXT", "Position"),
        ("department", "TEXT", "Abteilung"),
        ("website", "URL", "Webseite"),
        ("birthday", "DATE", "Geburtstag"),
        ("note", "TEXTAREA", "Notiz"),
        ("phones", "PHONE", "Telefonnummern"),
        ("tags", "LIST", "Merkmale"),
        ("synchronisation", "EMAIL_ACCOUNT", "Synchronisation"),
    ];
    for (name, kind, caption) in rows {
        let property = &schema["properties"][name];
        assert_eq!(property["type"], kind, "{name}");
        assert_eq!(property["captions"]["de"], caption, "{name}");
    }
    assert_eq!(
        schema["properties"]["tags"]["fields"]["owner"]["value"],
        "owner"
    );
    let mut client = Client::with(MarkerKind::SyncEntry);
    let schema = client.send(path).json;
    assert_eq!(schema["properties"].get("synchronisation"), None);
}

#[test]
fn a_field_that_leaves_the_schema_is_no_longer_answered() {
    let mut client = Client::new();
    let id = client.crm(&json!({"firstName": ["Änne"], "position": ["Prokuristin"]}));
    client.simulator.flowfact.schema.remove("position");
    let answer = client.send(&format!("GET /flowfact/entity-service/entities/{id}"));
    assert_eq!(answer.json.get("position"), None);
    client
        .simulator
        .flowfact
        .schema
        .add("position", "TEXT", "Position", false);
    let answer = client.send(&format!("GET /flowfact/entity-service/entities/{id}"));
    assert_eq!(answer.at("/position/values/0"), "Prokuristin");
}

#[test]
fn users_and_company_are_who_they_are() {
    let mut client = Client::new();
    let user = client.send("GET /flowfact/user-service/users/currentUser");
    assert_eq!(user.at("/type"), "API");
    assert_eq!(user.at("/id"), client.simulator.flowfact.api_user_id());
    let company = client
        .send("GET /flowfact/company-service/company")
        .at("/id");
    assert_eq!(company, user.at("/companyId"));
    let same = client.send(&format!("GET /flowfact/company-service/company/{company}"));
    assert_eq!(same.status, 200);
    assert_eq!(
        client
            .send("GET /flowfact/company-service/company/c1")
            .status,
        403
    );
    let users = client.send("GET /flowfact/user-service/users?userType=USER%2CAPI");
    assert_eq!(users.json.as_array().map(Vec::len), Some(2));
    let types = client.send("GET /flowfact/schema-service/datatypes/alltypes");
    assert!(types.json.pointer("/PHONE/properties/number").is_some());
}

#[test]
fn what_the_api_creates_is_the_api_users() {
    let mut client = Client::new();
    let body = json!({"firstName": {"values": ["Änne"]}});
    let id = client
        .send_json("POST /flowfact/entity-service/schemas/contacts", &body)
        .text;
    let by_api = client.send(&format!("GET /flowfact/entity-service/entities/{id}"));
    assert_eq!(
        by_api.at("/_metadata/creator"),
        client.simulator.flowfact.api_user_id()
    );
    let id = client.crm(&json!({"firstName": ["Änne"]}));
    let by_hand = client.send(&format!("GET /flowfact/entity-service/entities/{id}"));
    assert_ne!(
        by_hand.at("/_metadata/creator"),
        by_api.at("/_metadata/creator")
    );
    assert!(matches!(
        by_hand.json.pointer("/_metadata/creator"),
        Some(Value::String(_))
    ));
}
