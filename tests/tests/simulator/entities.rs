//! entity-service: contacts, the trash, rights.

use contact_sync_tests::simulator::flowfact::quirks::{
    BadValue, CreateAnswer, EmailForm, ErrorForm, TimestampForm, TrashOrder,
};
use contact_sync_tests::simulator::{Access, FlowfactQuirks};
use serde_json::{Value, json};

use crate::client::Client;

const ENTITIES: &str = "/flowfact/entity-service/schemas/contacts/entities";
const CREATE: &str = "POST /flowfact/entity-service/schemas/contacts";
const TRASH: &str = "/flowfact/entity-service/recovery/entities";

/// What the official SDK sends when it creates a contact.
fn erika() -> Value {
    json!({
        "firstName": {"values": ["Erika"]},
        "lastName": {"values": ["Mustermann"]},
        "emails": {"values": ["erika@example.test"]},
        "phones": {"values": [{"number": "+49 221 123456", "type": "office"}]},
        "addresses": {"values": [{
            "type": "private", "street": "Musterstr. 1", "zipcode": "50667", "city": "Köln",
            "country": "Deutschland",
        }]},
    })
}

#[test]
fn a_create_is_answered_in_any_of_the_known_forms() {
    let id = |answer: &Value| answer.as_str().map(str::to_owned);
    let member = |answer: &Value| Some(answer.get("id")?.as_str()?.to_owned());
    let rows = [
        (CreateAnswer::IdText, "1", "text"),
        (CreateAnswer::IdJson, "1", "json"),
        (CreateAnswer::IdObject, "1", "object"),
        (CreateAnswer::Entity, "1", "entity"),
        (CreateAnswer::EntityForVersion2, "1", "text"),
        (CreateAnswer::EntityForVersion2, "2", "entity"),
    ];
    for (form, version, expected) in rows {
        let mut client = Client::flowfact(|quirks| quirks.create_answer = form);
        client.header("x-ff-version", version);
        let answer = client.send_json(CREATE, &erika());
        assert_eq!(answer.status, 200, "{form:?}");
        let found = match expected {
            "text" => Some(answer.text.clone()),
            "json" => id(&answer.json),
            _ => member(&answer.json),
        };
        let found = found.unwrap_or_else(|| panic!("{form:?}: {}", answer.text));
        assert!(
            client.simulator.flowfact.fields(&found).is_some(),
            "{form:?}: {found}"
        );
        let whole = answer.json.get("firstName").is_some();
        assert_eq!(whole, expected == "entity", "{form:?} {version}");
    }
}

#[test]
fn a_create_may_be_answered_201() {
    let mut client = Client::flowfact(|quirks| quirks.create_status = 201);
    assert_eq!(client.send_json(CREATE, &erika()).status, 201);
}

#[test]
fn an_entity_is_read_with_and_without_schema_and_with_a_release_in_the_path() {
    let mut client = Client::new();
    let id = client.crm(&json!({"firstName": ["Änne"]}));
    let paths = [
        format!("{ENTITIES}/{id}"),
        format!("/flowfact/entity-service/entities/{id}"),
        format!("/flowfact/entity-service/stable/entities/{id}"),
        format!("/flowfact/entity-service/latest/schemas/contacts/entities/{id}"),
    ];
    for path in paths {
        let answer = client.send(&format!("GET {path}"));
        assert_eq!(
            (answer.status, answer.at("/firstName/values/0")),
            (200, "Änne".to_owned())
        );
        assert_eq!(answer.at("/_metadata/id"), id);
        assert!(
            answer.json.get("lastName").is_none(),
            "fields without value are absent"
        );
    }
}

#[test]
fn times_are_texts_or_numbers_and_the_last_modification_may_have_no_name_of_its_own() {
    let rows = [
        (TimestampForm::Texts, true, json!("1772438400000")),
        (TimestampForm::Numbers, true, json!(1_772_438_400_000_i64)),
        (TimestampForm::Texts, false, json!("1772438400000")),
    ];
    for (form, named, expected) in rows {
        let mut client = Client::flowfact(|quirks| {
            quirks.timestamps = form;
            quirks.last_modified_member = named;
        });
        let id = client.crm(&json!({"firstName": ["Änne"]}));
        let answer = client.send(&format!("GET {ENTITIES}/{id}"));
        assert_eq!(answer.json.pointer("/_metadata/timestamp"), Some(&expected));
        let last = answer.json.pointer("/_metadata/lastModifiedTimestamp");
        assert_eq!(last, named.then_some(&expected));
    }
}

type Set = fn(&mut FlowfactQuirks);

/// How FLOWFACT is set, the tags that are sent, the status, and the tags then.
fn patches() -> [(Set, Value, u16, &'static [&'static str]); 9] {
    let documented: Set = |_| {};
    [
        (documented, json!(["interested"]), 200, &["interested"]),
        (documented, json!([]), 200, &[]),
        (documented, json!(["vip"]), 400, &["owner", "tenant"]),
        (documented, json!("owner"), 400, &["owner", "tenant"]),
        (
            |quirks| quirks.patch_replaces_values = false,
            json!(["interested"]),
            200,
            &["owner", "tenant", "interested"],
        ),
        (
            |quirks| quirks.empty_values_clear = false,
            json!([]),
            200,
            &["owner", "tenant"],
        ),
        (
            |quirks| quirks.unknown_list_value = BadValue::Ignored,
            json!(["vip", "owner"]),
            200,
            &["owner"],
        ),
        (
            |quirks| quirks.unknown_list_value = BadValue::Stored,
            json!(["vip"]),
            200,
            &["vip"],
        ),
        (
            |quirks| quirks.update_answers_entity = false,
            json!(["owner"]),
            204,
            &["owner"],
        ),
    ]
}

#[test]
fn a_patch_does_what_the_switches_say() {
    for (row, (set, values, status, expected)) in patches().into_iter().enumerate() {
        let mut client = Client::flowfact(set);
        let id = client.crm(&json!({"firstName": ["Änne"], "tags": ["owner", "tenant"]}));
        let body = json!({"tags": {"values": values}});
        let answer = client.send_json(&format!("PATCH {ENTITIES}/{id}"), &body);
        assert_eq!(answer.status, status, "{row}: {}", answer.text);
        let tags = client.simulator.flowfact.values(&id, "tags");
        assert_eq!(tags, expected, "{row}");
        let first_name = client.simulator.flowfact.values(&id, "firstName");
        assert_eq!(first_name, ["Änne"], "{row}: other fields stay");
    }
}

#[test]
fn a_cleared_field_is_absent_or_an_empty_list() {
    for (answered, expected) in [(false, None), (true, Some(json!({"values": []})))] {
        let mut client = Client::flowfact(|quirks| quirks.cleared_field_answered = answered);
        let id = client.crm(&json!({"firstName": ["Änne"], "company": ["Müller"]}));
        let body = json!({"company": {"values": []}});
        let answer = client.send_json(&format!("PATCH {ENTITIES}/{id}"), &body);
        assert_eq!(answer.json.get("company"), expected.as_ref());
    }
}

#[test]
fn a_write_to_a_locked_or_read_only_or_unknown_field_is_refused_ignored_or_stored() {
    let rows = [
        ("lastName", BadValue::Refused, 400, "Alt"),
        ("lastName", BadValue::Ignored, 200, "Alt"),
        ("lastName", BadValue::Stored, 200, "Neu"),
        ("identifier", BadValue::Refused, 400, ""),
        ("hobby", BadValue::Refused, 400, ""),
        ("hobby", BadValue::Ignored, 200, ""),
        ("hobby", BadValue::Stored, 200, "Neu"),
    ];
    for (field, treatment, status, expected) in rows {
        let mut client = Client::flowfact(|quirks| {
            quirks.locked_field = treatment;
            quirks.unknown_field = treatment;
        });
        let id = client.crm(&json!({"firstName": ["Änne"], "lastName": ["Alt"]}));
        client
            .simulator
            .flowfact
            .lock(&id, "lastName", true, client.now);
        let body = json!({field: {"values": ["Neu"]}});
        let answer = client.send_json(&format!("PATCH {ENTITIES}/{id}"), &body);
        assert_eq!(
            answer.status, status,
            "{field} {treatment:?}: {}",
            answer.text
        );
        let values = client.simulator.flowfact.values(&id, field);
        if field != "identifier" {
            let first = values.first().and_then(Value::as_str).unwrap_or_default();
            assert_eq!(first, expected, "{field} {treatment:?}");
        }
        let shown = client.send(&format!("GET {ENTITIES}/{id}"));
        assert_eq!(shown.at("/_lock/lastName"), "true");
    }
}

#[test]
fn long_texts_are_cut_without_a_word() {
    let mut client = Client::flowfact(|quirks| {
        quirks.text_length_max.insert("company".to_owned(), 5);
        quirks
            .text_length_max
            .insert("addresses.street".to_owned(), 4);
    });
    let body = json!({
        "company": {"values": ["Müller & Söhne"]},
        "addresses": {"values": [{"type": "office", "street": "Lange Straße 1", "city": "Köln"}]},
    });
    let answer = client.send_json(CREATE, &body);
    let id = answer.text;
    let company = client.simulator.flowfact.values(&id, "company");
    assert_eq!(company, [json!("Mülle")]);
    let address = client.simulator.flowfact.values(&id, "addresses");
    assert_eq!(
        address.first().and_then(|address| address.get("street")),
        Some(&json!("Lang"))
    );
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    let rows = [
        json!({"phones": {"values": ["0221 1"]}}),
        json!({"phones": {"values": [{"type": "fax", "number": "0221 1"}]}}),
        json!({"phones": {"values": [{"type": "office"}]}}),
        json!({"addresses": {"values": [{"type": "mobile"}]}}),
        json!({"birthday": {"values": ["1974-07-22"]}}),
        json!({"firstName": {"values": [1]}}),
        json!({"firstName": "Änne"}),
        json!(["Änne"]),
    ];
    for body in rows {
        let mut client = Client::new();
        assert_eq!(client.send_json(CREATE, &body).status, 400, "{body}");
    }
    let mut client = Client::new();
    assert_eq!(
        client.send_bytes(CREATE, Some(b"<html>".to_vec())).status,
        400
    );
}

#[test]
fn a_deep_update_appends_replaces_and_removes() {
    let rows = [
        (
            "add",
            "emails",
            json!(["b@x.test"]),
            json!(["a@x.test", "b@x.test"]),
        ),
        ("add", "lastName", json!(["Neu"]), json!(["Neu"])),
        (
            "replace",
            "emails",
            json!(["b@x.test"]),
            json!(["b@x.test"]),
        ),
        ("remove", "emails", json!(["a@x.test"]), json!([])),
    ];
    for (operation, field, values, expected) in rows {
        let mut client = Client::new();
        let id = client.crm(&json!({"emails": ["a@x.test"], "lastName": ["Alt"]}));
        let body = json!({"op": operation, "value": {field: {"values": values}}});
        let answer = client.send_json(&format!("PATCH {ENTITIES}/{id}/deep"), &body);
        assert_eq!(answer.status, 200, "{operation} {field}: {}", answer.text);
        let values = Value::Array(client.simulator.flowfact.values(&id, field));
        assert_eq!(values, expected, "{operation} {field}");
    }
}

#[test]
fn a_deleted_contact_is_in_the_trash_until_it_is_restored_or_purged() {
    for (method, status) in [("POST", 200), ("DELETE", 404)] {
        let mut client = Client::new();
        let id = client.crm(&json!({"firstName": ["Änne"]}));
        assert_eq!(client.send(&format!("DELETE {ENTITIES}/{id}")).status, 200);
        assert_eq!(client.send(&format!("GET {ENTITIES}/{id}")).status, 404);
        let list = format!("GET {TRASH}?page=1&size=50&schema=contacts&returnIds=");
        let trash = client.send(&list);
        assert_eq!(trash.at("/entries/0/entityId"), id);
        assert_eq!(trash.at("/entries/0/content/firstName/values/0"), "Änne");
        assert_eq!(trash.at("/totalCount"), "1");
        let named = json!({"entityIds": [id]});
        assert_eq!(
            client
                .send_json(&format!("{method} {TRASH}"), &named)
                .status,
            200
        );
        assert_eq!(client.send(&format!("GET {ENTITIES}/{id}")).status, status);
        assert_eq!(client.send(&list).at("/totalCount"), "0");
    }
}

#[test]
fn a_deletion_and_what_is_in_the_trash_have_the_statuses_that_are_switched_on() {
    let mut client = Client::flowfact(|quirks| {
        quirks.delete_status = 204;
        quirks.trashed_status = 410;
    });
    let id = client.crm(&json!({"firstName": ["Änne"]}));
    assert_eq!(client.send(&format!("DELETE {ENTITIES}/{id}")).status, 204);
    assert_eq!(client.send(&format!("GET {ENTITIES}/{id}")).status, 410);
    assert_eq!(client.send(&format!("GET {ENTITIES}/none")).status, 404);
}

#[test]
fn the_trash_is_ordered_as_switched_and_paged() {
    let rows = [
        (TrashOrder::NewestFirst, [2, 1, 0]),
        (TrashOrder::NewestLast, [0, 1, 2]),
    ];
    for (order, expected) in rows {
        let mut client = Client::flowfact(|quirks| quirks.trash_order = order);
        let ids: Vec<String> = (0..3)
            .map(|_| client.crm(&json!({"firstName": ["N"]})))
            .collect();
        for id in &ids {
            client.wait_ms(1000);
            client.simulator.flowfact.delete(id, client.now);
        }
        let mut found = Vec::new();
        for page in 1..=3 {
            let answer = client.send(&format!("GET {TRASH}?page={page}&size=1&schema=contacts"));
            found.extend(answer.each("entries", "/entityId"));
        }
        assert_eq!(found, expected.map(|index| ids[index].clone()), "{order:?}");
    }
    let mut client = Client::flowfact(|quirks| quirks.trash_order = TrashOrder::None);
    let mut ids: Vec<String> = (0..9)
        .map(|_| client.crm(&json!({"firstName": ["N"]})))
        .collect();
    for id in &ids {
        client.wait_ms(1000);
        client.simulator.flowfact.delete(id, client.now);
    }
    let found = client
        .send(&format!("GET {TRASH}?size=50"))
        .each("entries", "/entityId");
    assert_ne!(found, ids, "by chance as good as any order");
    ids.reverse();
    assert_ne!(found, ids);
}

#[test]
fn restoring_counts_as_modification_or_not() {
    for (modifies, later_ms) in [(true, 5000), (false, 0)] {
        let mut client = Client::flowfact(|quirks| quirks.restore_modifies = modifies);
        let id = client.crm(&json!({"firstName": ["Änne"]}));
        let created = client.now;
        client.simulator.flowfact.delete(&id, client.now);
        client.wait_ms(5000);
        client.send_json(&format!("POST {TRASH}"), &json!({"entityIds": [id]}));
        let modified = client.simulator.flowfact.modified(&id).expect("restored");
        assert_eq!(modified.since_ms(created), later_ms);
    }
}

#[test]
fn a_recalculation_changes_the_time_and_nothing_else() {
    let mut client = Client::flowfact(|quirks| quirks.recalculation_ms = Some(2000));
    let id = client.crm(&json!({"firstName": ["Änne"]}));
    let before = client.send(&format!("GET {ENTITIES}/{id}"));
    client.wait_ms(3000);
    let after = client.send(&format!("GET {ENTITIES}/{id}"));
    assert_eq!(before.json.get("firstName"), after.json.get("firstName"));
    let time = |answer: &crate::client::Answer| -> i64 {
        answer
            .at("/_metadata/lastModifiedTimestamp")
            .parse()
            .expect("a number")
    };
    assert_eq!(time(&after) - time(&before), 2000);
}

#[test]
fn bulk_deletion_needs_its_version() {
    for (version, status, left) in [("1", 400, 1), ("2", 200, 0)] {
        let mut client = Client::new();
        let id = client.crm(&json!({"firstName": ["Änne"]}));
        client.header("x-ff-version", version);
        let body = json!({"entities": [{"entityId": id, "schema": "contacts"}]});
        let answer = client.send_json("DELETE /flowfact/entity-service/entities", &body);
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(client.simulator.flowfact.contact_count(), left);
    }
    let mut client = Client::new();
    let id = client.crm(&json!({"firstName": ["Änne"]}));
    let answer = client.send_json(
        &format!("DELETE {ENTITIES}"),
        &json!({"entityIds": [id, "x"]}),
    );
    assert_eq!(answer.at(&format!("/responses/{id}/statusCode")), "200");
    assert_eq!(answer.at("/responses/x/statusCode"), "404");
}

#[test]
fn rights_hide_a_contact_or_keep_it_from_being_written() {
    let rows = [
        (Access::Full, 404, 200, 200, "true"),
        (Access::ReadOnly, 404, 200, 403, "false"),
        (Access::Hidden, 404, 404, 404, "false"),
        (Access::Hidden, 403, 403, 403, "false"),
    ];
    for (access, hidden_status, read, write, updates) in rows {
        let mut client = Client::flowfact(|quirks| quirks.hidden_status = hidden_status);
        let id = client.crm(&json!({"firstName": ["Änne"]}));
        client.simulator.flowfact.grant(&id, access, client.now);
        let path = format!("{ENTITIES}/{id}");
        assert_eq!(
            client.send(&format!("GET {path}")).status,
            read,
            "{access:?}"
        );
        let body = json!({"firstName": {"values": ["Anna"]}});
        let answer = client.send_json(&format!("PATCH {path}"), &body);
        assert_eq!(answer.status, write, "{access:?}");
        let answer = client.send(&format!("GET {path}/users/u/hasaccess/UPDATE"));
        assert_eq!(answer.at("/hasAccess"), updates, "{access:?}");
    }
}

#[test]
fn unset_parts_of_an_address_are_null_or_absent_and_emails_may_be_typed() {
    for (nulls, emails) in [(true, EmailForm::AsWritten), (false, EmailForm::Typed)] {
        let mut client = Client::flowfact(|quirks| {
            quirks.address_nulls = nulls;
            quirks.emails = emails;
        });
        let id = client.send_json(CREATE, &erika()).text;
        let answer = client.send(&format!("GET {ENTITIES}/{id}"));
        let district = answer.json.pointer("/addresses/values/0/district");
        assert_eq!(district, nulls.then_some(&Value::Null));
        let expected = match emails {
            EmailForm::AsWritten => json!("erika@example.test"),
            EmailForm::Typed => json!({"type": "", "email": "erika@example.test"}),
        };
        assert_eq!(answer.json.pointer("/emails/values/0"), Some(&expected));
    }
}

#[test]
fn refusals_have_the_shape_that_is_switched_on() {
    let rows = [
        (ErrorForm::Described, "/description"),
        (ErrorForm::Message, "/message"),
    ];
    for (form, pointer) in rows {
        let mut client = Client::flowfact(|quirks| quirks.errors = form);
        let answer = client.send(&format!("GET {ENTITIES}/none"));
        assert_eq!(
            (answer.status, answer.at(pointer).as_str()),
            (404, "Entity not found")
        );
    }
    let mut client = Client::flowfact(|quirks| quirks.errors = ErrorForm::Text);
    let answer = client.send("GET /flowfact/coffee-service/cups");
    assert_eq!((answer.status, answer.text.as_str()), (404, "Not Found"));
}

#[test]
fn history_and_export_answer_what_clients_ask() {
    let mut client = Client::new();
    let id = client.crm(&json!({"firstName": ["Änne"]}));
    client
        .simulator
        .flowfact
        .edit(&id, "firstName", json!(["Anna"]), client.now);
    let body = json!([{"schemaId": "contacts", "entityId": id, "size": 20, "offset": 0}]);
    let answer = client.send_json("POST /flowfact/history-module-service/history", &body);
    assert_eq!(answer.at("/0/totalCount"), "2");
    assert_eq!(answer.at("/0/history/entries/0/type"), "DATA_CHANGE");
    let export = "/flowfact/excel-exporter-service/export/schema";
    let body = json!({"target": "entity", "conditions": []});
    let file = client
        .send_json(&format!("POST {export}/contacts"), &body)
        .at("/0/fileID");
    let link = client.send(&format!("GET {export}/download/{file}"));
    assert!(link.text.contains(&file), "{}", link.text);
}
