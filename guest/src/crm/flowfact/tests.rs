//! What goes over the wire, and what is made of the answers. Each test gives FLOWFACT a script of
//! answers, asks it for something, and compares the requests word for word and the result.

use serde_json::json;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;
use crate::contact::{CrmAddress, CrmEmail, CrmKind, CrmPhone, PostalAddress};
use crate::crm::TrashEntry;
use crate::http::scripted::{Canned, START, Scripted, json_answer, no_connection, text_answer};
use crate::report::{Service, Severity};

const BASE: &str = "https://flowfact.test";
const ADDRESS: &str = "erika@muster.example";
/// A time long before the script's clock, so that no overlap is needed.
const LONG_AGO: i64 = 1_700_000_000_000;
const MINUTE_MS: i64 = 60_000;

fn in_field() -> Marker {
    Marker::FieldValue {
        field: "synchronisation".into(),
        value: "acc-1".into(),
    }
}

fn by_entry() -> Marker {
    Marker::SyncEntry("acc-1".into())
}

fn access(marker: Marker) -> FlowfactAccess {
    FlowfactAccess {
        base_url: BASE.into(),
        schema: "contacts".into(),
        company: None,
        fields: BTreeMap::new(),
        marker,
    }
}

fn property(kind: &str, caption: &str) -> Value {
    json!({"type": kind, "captions": {"de": caption}})
}

/// A schema with German captions and, but for the proven ones, names that nobody could guess.
fn properties() -> Value {
    json!({
        "firstName": property("TEXT", "Vorname"),
        "lastName": property("TEXT", "Nachname"),
        "ti": property("TEXT", "Akademischer Titel"),
        "company": property("TEXT", "Firma"),
        "dep": {"type": "LIST", "captions": {"de": "Abteilung", "en": "Department"},
            "hasMultipleValues": false,
            "fields": {"01": {"value": "01", "captions": {"de": "Vertrieb"}},
                "02": {"value": "02", "captions": {"de": "Einkauf"}}}},
        "pos": property("TEXT", "Position"),
        "phones": {"type": "PHONE", "captions": {"de": "Telefonnummern"},
            "hasMultipleValues": true, "maxItems": 4},
        "emails": property("EMAIL", "E-Mail-Adressen"),
        "web": property("URL", "Webseite"),
        "addresses": property("ADDRESS", "Adressen"),
        "born": property("DATE", "Geburtstag"),
        "tags": {"type": "LIST", "captions": {"de": "Merkmale"}, "hasMultipleValues": true,
            "fields": {"owner": {"value": "owner", "captions": {"de": "Eigentümer"}},
                "sync-erika": {"value": "sync-erika", "captions": {"de": "Sync Erika"}}}},
        "synchronisation": {"type": "EMAIL_ACCOUNT", "captions": {"de": "Synchronisation"},
            "hasMultipleValues": true},
        "identifier": {"type": "TEXT", "captions": {"de": "Kennung"}, "readOnly": true},
    })
}

fn discovered(
    properties: &Value,
    access: &FlowfactAccess,
) -> (Schema, Vec<crate::report::Finding>) {
    schema::discover(properties.as_object().unwrap(), access)
}

/// A connected FLOWFACT, and the script that answers it.
fn flowfact(marker: Marker, answers: impl IntoIterator<Item = Canned>) -> (Flowfact, Rc<Scripted>) {
    let script = Scripted::new(answers);
    let access = access(marker);
    let mut flowfact = Flowfact::new(script.http(Service::Flowfact), access.clone(), ADDRESS);
    let (schema, findings) = discovered(&properties(), &access);
    let schema = serde_json::to_value(schema).unwrap();
    let connection = CrmConnection {
        company: "c-1".into(),
        user: "u-1".into(),
        schema,
        findings,
    };
    flowfact.connect(Some(&connection)).unwrap();
    (flowfact, script)
}

/// A contact as FLOWFACT answers it, with times as text.
fn entity(id: &str, modified_ms: i64, fields: Value) -> Value {
    let mut entity = json!({
        "id": id,
        "_metadata": {"id": id, "schema": "contacts", "timestamp": modified_ms.to_string(),
            "lastModifiedTimestamp": modified_ms.to_string(),
            "createdTimestamp": modified_ms.to_string(), "creator": "u-1"},
    });
    let Value::Object(fields) = fields else {
        panic!("fields are an object")
    };
    entity.as_object_mut().unwrap().extend(fields);
    entity
}

fn found(total: usize, entries: &[Value]) -> Canned {
    json_answer(
        200,
        &json!({"entries": entries, "totalCount": total, "page": 1, "size": 200}),
    )
}

fn id(name: &str) -> CrmId {
    CrmId::new(name)
}

fn ids(contacts: &[CrmContact]) -> Vec<&str> {
    contacts.iter().map(|contact| contact.id.as_str()).collect()
}

/// Condition and sort of the n-th request, which must be a search, behind its query string.
fn asked(script: &Scripted, index: usize) -> String {
    let request = &script.sent()[index];
    let prefix = format!("{BASE}/search-service/schemas/contacts?");
    let query = request.url.strip_prefix(&prefix).unwrap();
    let body: Value = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
    let conditions = body["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|condition| {
            let text = |member: &str| condition[member].as_str().unwrap();
            format!(
                " {} {} {}",
                text("field"),
                text("operator"),
                condition["value"]
            )
        });
    let sort = &body["sorts"][0];
    let order = format!(
        "{} {}",
        sort["field"].as_str().unwrap(),
        sort["direction"].as_str().unwrap()
    );
    format!("{query}{} by {order}", conditions.collect::<String>()).replace("_metadata.", "")
}

// ---- the schema ---------------------------------------------------------------------------------

#[test]
fn fields_are_found_by_proven_name_then_by_type_and_caption() {
    let (schema, findings) = discovered(&properties(), &access(in_field()));
    let names: Vec<(Field, &str)> = schema
        .fields
        .iter()
        .map(|(field, property)| (*field, &*property.name))
        .collect();
    assert_eq!(
        names,
        [
            (Field::FirstName, "firstName"),
            (Field::LastName, "lastName"),
            (Field::AcademicTitle, "ti"),
            (Field::Company, "company"),
            (Field::Department, "dep"),
            (Field::Position, "pos"),
            (Field::Phones, "phones"),
            (Field::Emails, "emails"),
            (Field::Website, "web"),
            (Field::Addresses, "addresses"),
            (Field::Birthday, "born"),
        ]
    );
    assert_eq!(findings, []);
    assert_eq!(schema.fields[&Field::Phones].values_max, Some(4));
    assert_eq!(schema.fields[&Field::Department].values_max, Some(1));
    assert_eq!(schema.fields[&Field::Emails].values_max, None);
    assert_eq!(schema.marker.unwrap().kind, "EMAIL_ACCOUNT");
    assert_eq!(schema.columns.len(), 14);
    assert_eq!(schema.columns[13].caption, "Kennung");
}

#[test]
fn a_field_that_is_missing_ambiguous_or_wrongly_named_takes_no_part() {
    let check = |change: &dyn Fn(&mut Value, &mut FlowfactAccess), expected: &[(&str, Field)]| {
        let (mut properties, mut access) = (properties(), access(by_entry()));
        change(&mut properties, &mut access);
        let (schema, findings) = discovered(&properties, &access);
        let told: Vec<(&str, Field)> = findings
            .iter()
            .map(|finding| (&*finding.code, finding.field.unwrap()))
            .collect();
        assert_eq!(told, expected);
        for (code, field) in expected {
            assert_eq!(
                schema.fields.contains_key(field),
                *code == "crm-field-read-only"
            );
        }
        schema
    };
    check(&|_, _| (), &[]);
    check(
        &|properties, _| {
            properties.as_object_mut().unwrap().shift_remove("born");
        },
        &[("crm-field-not-found", Field::Birthday)],
    );
    check(
        &|properties, _| properties["pos2"] = property("TEXT", "POSITION"),
        &[("crm-field-ambiguous", Field::Position)],
    );
    check(
        &|properties, _| properties["phones"] = property("TEXT", "Telefonnummern"),
        &[("crm-field-not-found", Field::Phones)],
    );
    check(
        &|properties, _| properties["web"]["readOnly"] = json!(true),
        &[("crm-field-read-only", Field::Website)],
    );
    let named = |field, name: Option<&str>| {
        let name = name.map(str::to_owned);
        move |_: &mut Value, access: &mut FlowfactAccess| {
            access.fields.insert(field, name.clone());
        }
    };
    let none = check(&named(Field::Birthday, None), &[]);
    assert!(!none.fields.contains_key(&Field::Birthday));
    check(
        &named(Field::Company, Some("nope")),
        &[("crm-field-wrong", Field::Company)],
    );
    check(
        &named(Field::Company, Some("born")),
        &[
            ("crm-field-wrong", Field::Company),
            ("crm-field-not-found", Field::Birthday),
        ],
    );
    // A name given for one field is not taken for another.
    let swapped = check(
        &named(Field::Company, Some("pos")),
        &[("crm-field-not-found", Field::Position)],
    );
    assert_eq!(swapped.fields[&Field::Company].name, "pos");
}

#[test]
fn a_marker_that_the_schema_does_not_have_is_told_and_never_read_as_no() {
    for (marker, code) in [
        (
            Marker::FieldValue {
                field: "gone".into(),
                value: "x".into(),
            },
            "marker-field-missing",
        ),
        (
            Marker::FieldValue {
                field: "tags".into(),
                value: "x".into(),
            },
            "marker-value-missing",
        ),
    ] {
        let (schema, findings) = discovered(&properties(), &access(marker.clone()));
        assert_eq!(findings[0].code, code);
        assert_eq!(findings[0].severity, Severity::Error);
        let contact = record::parse(&entity("A", 1, json!({})), &schema, &marker).unwrap();
        assert_eq!(contact.marked.is_none(), code == "marker-field-missing");
    }
}

#[test]
fn connecting_asks_for_user_schema_and_time_once() {
    let answers = || {
        [
            json_answer(200, &json!({"id": "u-1", "companyId": "c-1"})),
            json_answer(200, &json!({"id": "s", "properties": properties()})),
            found(
                1,
                &[json!({"id": "A", "_metadata": {"timestamp": "1580294614972"}})],
            ),
        ]
    };
    let script = Scripted::new(answers());
    let mut access = access(in_field());
    let mut flowfact = Flowfact::new(script.http(Service::Flowfact), access.clone(), ADDRESS);
    let connection = flowfact.connect(None).unwrap();
    assert_eq!((&*connection.company, &*connection.user), ("c-1", "u-1"));
    assert_eq!(flowfact.fields().len(), Field::ALL.len());
    assert_eq!(flowfact.schema.time, schema::TimeMember::Timestamp);
    let urls: Vec<String> = script
        .sent()
        .into_iter()
        .map(|request| request.url)
        .collect();
    assert_eq!(
        urls,
        [
            "https://flowfact.test/user-service/users/currentUser",
            "https://flowfact.test/schema-service/v2/schemas/contacts?extensions=all",
            "https://flowfact.test/search-service/schemas/contacts?page=1&size=1&withCount=true",
        ]
    );
    assert_eq!(
        script.sent()[0].headers,
        [
            (
                "accept".to_owned(),
                "application/json, text/plain, */*".to_owned()
            ),
            ("accept-language".to_owned(), "de".to_owned()),
            ("x-ff-version".to_owned(), "2".to_owned()),
        ]
    );
    // Remembered, nothing is sent; with other settings, everything is asked for again.
    let silent = Scripted::new([]);
    let mut again = Flowfact::new(silent.http(Service::Flowfact), access.clone(), ADDRESS);
    assert_eq!(again.connect(Some(&connection)).unwrap(), connection);
    assert_eq!(again.schema, flowfact.schema);
    access.company = Some("c-2".into());
    let script = Scripted::new(answers());
    let mut other = Flowfact::new(script.http(Service::Flowfact), access, ADDRESS);
    assert_eq!(other.connect(Some(&connection)).unwrap().company, "c-2");
    let company = ("x-ff-company-id".to_owned(), "c-2".to_owned());
    assert!(
        script
            .sent()
            .iter()
            .all(|request| request.headers.contains(&company))
    );
    script.lines();
}

#[test]
fn a_schema_is_looked_for_in_the_pages_of_the_list() {
    let user = json_answer(200, &json!({"id": "u-1", "companyId": "c-1"}));
    let list = |name: &str, page| {
        let entries = json!([{"id": "s-9", "name": name}]);
        json_answer(
            200,
            &json!({"entries": entries, "totalCount": 2, "page": page, "pageSize": 1}),
        )
    };
    let missing = || json_answer(404, &json!({}));
    let script = Scripted::new([
        user.clone(),
        missing(),
        list("estates", 1),
        list("Contacts", 2),
        json_answer(200, &json!({"properties": properties()})),
        found(0, &[]),
    ]);
    let mut flowfact = Flowfact::new(script.http(Service::Flowfact), access(by_entry()), ADDRESS);
    flowfact.connect(None).unwrap();
    let path = |rest: &str| format!("GET {BASE}/schema-service/v2/schemas{rest}");
    assert_eq!(
        script.lines()[1..5],
        [
            path("/contacts?extensions=all"),
            path("?page=1"),
            path("?page=2"),
            path("/Contacts?extensions=all"),
        ]
    );
    let script = Scripted::new([user, missing(), list("estates", 1), list("tasks", 2)]);
    let mut flowfact = Flowfact::new(script.http(Service::Flowfact), access(by_entry()), ADDRESS);
    let Err(RemoteError::Protocol(remote)) = flowfact.connect(None) else {
        panic!()
    };
    assert_eq!(remote.problem.message, "FLOWFACT has no schema `contacts`");
}

#[test]
fn refused_credentials_are_told_from_missing_rights() {
    for (status, body, expected) in [
        (401, "", "sign-in"),
        (403, "Credentials invalid", "sign-in"),
        (403, "{\"message\":\"Forbidden\"}", "permission"),
        (500, "", "unreachable"),
        (200, "<html>Wartung</html>", "protocol"),
        (200, "{}", "protocol"),
    ] {
        let repeated = if status == 500 { 4 } else { 1 };
        let answers = std::iter::repeat_n(text_answer(status, &[], body), repeated);
        let script = Scripted::new(answers);
        let mut flowfact =
            Flowfact::new(script.http(Service::Flowfact), access(by_entry()), ADDRESS);
        let kind = match flowfact.connect(None).unwrap_err() {
            RemoteError::SignInRefused(_) => "sign-in",
            RemoteError::PermissionMissing(_) => "permission",
            RemoteError::Unreachable(_) => "unreachable",
            RemoteError::Protocol(_) => "protocol",
            other => panic!("{other:?}"),
        };
        assert_eq!(kind, expected, "{status} {body}");
    }
}

// ---- contacts on the wire -----------------------------------------------------------------------

/// Values in every form that is recorded, typed or plausible.
fn every_form() -> Value {
    json!({
        "firstName": {"values": ["Erika"]},
        "company": {"values": ["Muster GmbH", "Zweite"], "lastCalculated": 1},
        "dep": {"values": ["02"]},
        "born": {"values": [-7_200]},
        "phones": {"values": [
            {"type": "office", "number": "0221 / 88 99-0", "note": "Zentrale"},
            {"type": "", "number": "1"}, {"type": null, "number": "2"}, {"number": "3"},
            {"type": "fax", "number": "4"}, {"type": 7, "number": "5"},
            {"type": "mobile", "number": 6}, {"type": "private"}, "0221 7", null,
        ]},
        "emails": {"values": [
            "a@x.example", {"type": "office", "email": "b@x.example"}, {"value": "c@x.example"},
            {"address": "d@x.example", "email": null}, {"type": "private"}, 5, null,
        ]},
        "addresses": {"values": [
            {"type": "office", "street": "Weg 1", "zipcode": "50667", "city": "Köln", "state": null,
                "district": "Nord", "country": "Deutschland", "geolocation": {"latitude": 1}},
            {"type": "private"}, {"type": "other", "street": "", "city": "Bonn"},
            {"zipcode": 50667}, "Weg 2", null,
        ]},
    })
}

/// [`every_form`], read.
fn every_form_read() -> CrmFields {
    let (flowfact, _) = flowfact(in_field(), []);
    let contact = flowfact.contact(&entity("A", 1, every_form()));
    contact.unwrap().fields
}

#[test]
fn every_form_of_a_text_is_read() {
    let fields = every_form_read();
    assert_eq!(fields.texts[&Field::FirstName], [json!("Erika")]);
    assert_eq!(fields.texts[&Field::Company].len(), 2);
    assert_eq!(fields.texts[&Field::Department], [json!("Einkauf")]);
    assert!(!fields.texts.contains_key(&Field::LastName));
    assert_eq!(fields.birthday, [json!(-7_200)]);
    let address = |email: &CrmEmail| match email {
        CrmEmail::Plain(address) | CrmEmail::Typed { address, .. } => address.clone(),
        CrmEmail::Opaque(_) => "opaque".into(),
    };
    let emails: Vec<String> = fields.emails.iter().map(address).collect();
    assert_eq!(
        emails[..4],
        ["a@x.example", "b@x.example", "c@x.example", "d@x.example"]
    );
    assert_eq!(emails[4..], ["opaque"; 3]);
}

#[test]
fn every_form_of_a_phone_is_read() {
    let phone = |phone: &CrmPhone| match phone {
        CrmPhone::Readable { kind, number, rest } => format!("{kind:?} {number} {}", json!(rest)),
        CrmPhone::Opaque(_) => "opaque".into(),
    };
    let phones: Vec<String> = every_form_read().phones.iter().map(phone).collect();
    assert_eq!(
        phones[..5],
        [
            "Office 0221 / 88 99-0 {\"note\":\"Zentrale\"}",
            "Untyped 1 {\"type\":\"\"}",
            "Untyped 2 {\"type\":null}",
            "Untyped 3 {}",
            "Unknown(\"fax\") 4 {}",
        ]
    );
    assert_eq!(phones[5..], ["opaque"; 5]);
}

#[test]
fn every_form_of_an_address_is_read() {
    let addresses = every_form_read().addresses;
    let opaque = |address: &CrmAddress| matches!(address, CrmAddress::Opaque(_));
    let unread: Vec<bool> = addresses.iter().map(opaque).collect();
    assert_eq!(unread, [false, false, false, true, true, true]);
    let CrmAddress::Readable {
        kind,
        address,
        rest,
    } = &addresses[0]
    else {
        panic!()
    };
    let postal = PostalAddress {
        street: "Weg 1".into(),
        postal_code: "50667".into(),
        city: "Köln".into(),
        state: String::new(),
        country: "Deutschland".into(),
    };
    assert_eq!((kind, address), (&CrmKind::Office, &postal));
    let others = json!({"state": null, "district": "Nord", "geolocation": {"latitude": 1}});
    assert_eq!(json!(rest), others);
}

#[test]
fn what_is_written_back_unchanged_is_unchanged() {
    let (flowfact, _) = flowfact(in_field(), []);
    let entity = entity("A", 1, every_form());
    let fields = flowfact.contact(&entity).unwrap().fields;
    let mut schema = flowfact.schema.clone();
    for property in schema.fields.values_mut() {
        property.values_max = None;
    }
    let written: BTreeMap<String, Value> = record::changed(&CrmFields::default(), &fields, &schema)
        .into_iter()
        .collect();
    let names: Vec<&str> = written.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "addresses",
            "born",
            "company",
            "dep",
            "emails",
            "firstName",
            "phones"
        ]
    );
    for (name, field) in written {
        assert_eq!(field["values"], entity[&name]["values"], "{name}");
    }
}

#[test]
fn metadata_is_read_in_all_its_forms() {
    let (flowfact, _) = flowfact(in_field(), []);
    let read = |metadata: Value, rest: Value| {
        let mut entity = json!({"id": "A", "_metadata": metadata});
        entity
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        let contact = flowfact.contact(&entity).unwrap();
        let modified = contact.modified.map(|time| time.0);
        (
            modified,
            contact.created.map(|time| time.0),
            contact.creator,
            contact.locked,
        )
    };
    let nothing = FieldSet::new();
    assert_eq!(
        read(json!({}), json!({})),
        (None, None, None, nothing.clone())
    );
    assert_eq!(
        read(
            json!({"timestamp": "5", "lastModifiedTimestamp": 7, "createdTimestamp": "3"}),
            json!({})
        ),
        (Some(7), Some(3), None, nothing.clone())
    );
    assert_eq!(
        read(
            json!({"timestamp": "5", "lastModifiedTimestamp": null, "creator": "u"}),
            json!({"_lock": {"lastName": true, "company": false, "other": true}})
        ),
        (
            Some(5),
            None,
            Some("u".into()),
            FieldSet::from([Field::LastName])
        )
    );
    assert_eq!(
        read(
            json!({"timestamp": "2020-01-29T10:43:34.972Z"}),
            json!({"_refs": [{"id": "c", "relation": "company"},
                {"id": "v", "relation": "creator"}]})
        ),
        (Some(1_580_294_614_972), None, Some("v".into()), nothing)
    );
    let only_metadata = json!({"_metadata": {"id": "B"}});
    assert_eq!(flowfact.contact(&only_metadata).unwrap().id, id("B"));
    assert!(flowfact.contact(&json!({"_metadata": {}})).is_err());
    assert!(flowfact.contact(&json!("A")).is_err());
}

#[test]
fn the_marker_is_read_from_the_contact_itself() {
    let (flowfact, _) = flowfact(in_field(), []);
    for (values, expected) in [
        (json!(["acc-2", "acc-1"]), true),
        (json!([{"accountId": "acc-1"}]), true),
        (json!([{"id": "acc-1"}]), true),
        (json!(["acc-2", {"accountId": "acc-2"}, null]), false),
        (json!([]), false),
    ] {
        let held = entity("A", 1, json!({"synchronisation": {"values": values}}));
        assert_eq!(
            flowfact.contact(&held).unwrap().marked,
            Some(expected),
            "{held}"
        );
    }
    assert_eq!(
        flowfact.contact(&entity("A", 1, json!({}))).unwrap().marked,
        Some(false)
    );
    assert_eq!(flowfact.marker_place(), MarkerPlace::Field);
}

#[test]
fn what_the_schema_does_not_take_is_named_and_left_out() {
    let (flowfact, _) = flowfact(in_field(), []);
    let before = CrmFields::default();
    let mut after = CrmFields::default();
    after.texts.insert(Field::Department, vec![json!("Küche")]);
    after.texts.insert(Field::FirstName, vec![json!("Erika")]);
    let phone = CrmPhone::Readable {
        kind: CrmKind::Office,
        number: "1".into(),
        rest: serde_json::Map::new(),
    };
    after.phones = vec![phone; 5];
    let misfits = flowfact.misfits(&before, &after);
    let told: Vec<(Field, &str)> = misfits
        .iter()
        .map(|(field, problem)| (*field, &*problem.message))
        .collect();
    assert_eq!(
        told,
        [
            (
                Field::Department,
                "FLOWFACT's list `dep` does not have this value"
            ),
            (
                Field::Phones,
                "FLOWFACT's field `phones` takes 4 values, not 5"
            ),
        ]
    );
    let sent = record::changed(&before, &after, &flowfact.schema);
    assert_eq!(
        sent,
        [("firstName".to_owned(), json!({"values": ["Erika"]}))]
    );
    after
        .texts
        .insert(Field::Department, vec![json!("vertrieb")]);
    let sent = record::draft(&after, &flowfact.schema);
    assert_eq!(sent["dep"], json!({"values": ["01"]}));
}

// ---- the feed -----------------------------------------------------------------------------------

/// Reads a whole feed; ids per page, and the position at its end.
fn read_all(
    flowfact: &Flowfact,
    position: Option<&CrmPosition>,
) -> (Vec<Vec<String>>, Option<CrmPosition>) {
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let page = flowfact.changes(position, cursor.as_ref()).unwrap();
        pages.push(ids(&page.contacts).into_iter().map(str::to_owned).collect());
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => return (pages, page.position),
        }
    }
}

fn at(newest: i64, since: i64, recent: &[(&str, i64)]) -> CrmPosition {
    let recent = recent
        .iter()
        .map(|(name, time)| (id(name), Timestamp(*time)))
        .collect();
    CrmPosition {
        newest: Timestamp(newest),
        since: Timestamp(since),
        recent,
    }
}

/// As many entries as a page has, a minute apart from `from` on.
fn full_page(prefix: &str, from: i64) -> Vec<Value> {
    (0..i64::from(search::PAGE_SIZE))
        .map(|number| {
            entity(
                &format!("{prefix}{number}"),
                from + number * MINUTE_MS,
                json!({}),
            )
        })
        .collect()
}

#[test]
fn a_full_reading_goes_on_from_the_last_time() {
    let first = full_page("a", LONG_AGO);
    let last = LONG_AGO + 199 * MINUTE_MS;
    let second = [
        first[199].clone(),
        entity("same", last, json!({})),
        entity("end", last + 1, json!({})),
    ];
    let (flowfact, script) = flowfact(in_field(), [found(202, &first), found(3, &second)]);
    let (pages, position) = read_all(&flowfact, None);
    assert_eq!(pages[0].len(), 200);
    assert_eq!(pages[1], ["same", "end"]);
    assert_eq!(position, Some(at(last + 1, last + 1, &[("end", last + 1)])));
    assert_eq!(
        [asked(&script, 0), asked(&script, 1)],
        [
            "page=1&size=200&withCount=true by lastModifiedTimestamp ASC".to_owned(),
            format!(
                "page=1&size=200&withCount=true lastModifiedTimestamp GREATER_EQUAL {last} by \
                 lastModifiedTimestamp ASC"
            ),
        ]
    );
    assert_eq!(script.lines().len(), 2);
}

#[test]
fn many_contacts_changed_in_one_moment_are_read_by_offset() {
    let moment = |from: usize, count: usize| -> Vec<Value> {
        (from..from + count)
            .map(|n| entity(&format!("m{n}"), LONG_AGO, json!({})))
            .collect()
    };
    let mut tail = moment(400, 10);
    tail.push(entity("later", LONG_AGO + 1, json!({})));
    let (flowfact, script) = flowfact(
        in_field(),
        [
            found(411, &moment(0, 200)),
            // From here on with the condition, and from its beginning.
            found(411, &moment(0, 200)),
            found(411, &moment(200, 200)),
            found(411, &tail),
        ],
    );
    let (pages, _) = read_all(&flowfact, None);
    let counts: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(counts, [200, 0, 200, 11]);
    assert_eq!(
        asked(&script, 3),
        format!(
            "offset=400&size=200&withCount=true lastModifiedTimestamp GREATER_EQUAL {LONG_AGO} by \
             lastModifiedTimestamp ASC"
        )
    );
}

#[test]
fn no_search_reaches_past_the_window() {
    let page = |from: usize| -> Vec<Value> {
        let range = from..from + 200;
        range
            .map(|n| entity(&format!("m{n}"), LONG_AGO, json!({})))
            .collect()
    };
    // The first page, and all of the window with the condition.
    let from = std::iter::once(0).chain((0..10_000).step_by(200));
    let answers: Vec<Canned> = from.map(|from| found(20_000, &page(from))).collect();
    let (flowfact, script) = flowfact(in_field(), answers);
    let mut cursor = None;
    let error = loop {
        match flowfact.changes(None, cursor.as_ref()) {
            Ok(page) => cursor = Some(page.cursor.unwrap()),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RemoteError::Protocol(_)), "{error:?}");
    assert!(
        asked(&script, 50).starts_with("offset=9800&"),
        "{}",
        asked(&script, 50)
    );
}

#[test]
fn contacts_without_the_time_of_the_others_are_read_too() {
    let old = json!({"id": "old", "_metadata": {"timestamp": LONG_AGO - 5}});
    let new = entity("new", LONG_AGO, json!({}));
    // The sorted search leaves one out, and the total gives it away.
    let sorted = std::slice::from_ref(&new);
    let (flowfact, script) = flowfact(
        in_field(),
        [
            found(2, sorted),
            found(1, sorted),
            found(2, &[old, new.clone()]),
        ],
    );
    let (pages, position) = read_all(&flowfact, None);
    assert_eq!(pages, [vec!["new"], vec![], vec!["old"]]);
    assert_eq!(position.unwrap().newest.0, LONG_AGO);
    assert_eq!(
        asked(&script, 2),
        "page=1&size=200&withCount=true by timestamp ASC"
    );
}

#[test]
fn a_search_that_goes_round_in_circles_is_an_error() {
    let same = || found(7, &[entity("A", LONG_AGO, json!({}))]);
    let (flowfact, script) = flowfact(in_field(), [same(), same(), same()]);
    let cursor = flowfact.changes(None, None).unwrap().cursor;
    let cursor = flowfact.changes(None, cursor.as_ref()).unwrap().cursor;
    let result = flowfact.changes(None, cursor.as_ref());
    assert!(
        matches!(result, Err(RemoteError::Protocol(_))),
        "{result:?}"
    );
    assert_eq!(script.lines().len(), 3);
}

#[test]
fn a_quiet_pass_is_one_request_and_leaves_the_position_as_it_was() {
    let known = entity("A", LONG_AGO, json!({}));
    let before = at(LONG_AGO, LONG_AGO, &[("A", LONG_AGO)]);
    let (flowfact, script) = flowfact(in_field(), [found(1, &[known])]);
    let (pages, after) = read_all(&flowfact, Some(&before));
    assert_eq!(pages, [Vec::<String>::new()]);
    assert_eq!(after, Some(before));
    assert_eq!(
        asked(&script, 0),
        format!(
            "page=1&size=200&withCount=true lastModifiedTimestamp GREATER_EQUAL {LONG_AGO} by \
             lastModifiedTimestamp ASC"
        )
    );
}

#[test]
fn the_overlap_is_kept_while_the_index_may_be_late() {
    let now = START.0;
    for (age_minutes, expected_minutes) in [(0, 10), (5, 15), (10, 20), (15, 20), (25, 25)] {
        let newest = now - age_minutes * MINUTE_MS;
        let (flowfact, _) = flowfact(in_field(), [found(1, &[entity("A", newest, json!({}))])]);
        let position = flowfact.changes(None, None).unwrap().position.unwrap();
        assert_eq!(position.newest.0, newest);
        assert_eq!(
            position.since.0,
            now - expected_minutes * MINUTE_MS,
            "{age_minutes}"
        );
    }
    // A late entry within the overlap is news, a known one with another time too.
    let (newest, since) = (now - 5 * MINUTE_MS, now - 15 * MINUTE_MS);
    let before = at(newest, since, &[("A", newest), ("B", newest - 3)]);
    let answer = found(
        3,
        &[
            entity("late", newest - 7, json!({})),
            entity("A", newest, json!({})),
            entity("B", newest + 4, json!({})),
        ],
    );
    let (flowfact, _) = flowfact(in_field(), [answer]);
    let (pages, after) = read_all(&flowfact, Some(&before));
    assert_eq!(pages, [["late", "B"]]);
    let after = after.unwrap();
    assert_eq!(after.newest.0, newest + 4);
    let recent: Vec<&str> = after.recent.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(recent, ["late", "A", "B"]);
}

#[test]
fn after_a_burst_one_request_tells_that_nothing_happened() {
    let now = START.0;
    let burst: Vec<(String, i64)> = (0..300)
        .map(|n| (format!("b{n}"), now - MINUTE_MS + n))
        .collect();
    let known: Vec<(&str, i64)> = burst.iter().map(|(id, time)| (&**id, *time)).collect();
    let newest = now - MINUTE_MS + 299;
    let before = at(newest, newest - 10 * MINUTE_MS, &known);
    let quiet = found(300, &[entity("b299", newest, json!({}))]);
    let (flowfact_1, script) = flowfact(in_field(), [quiet]);
    let (pages, after) = read_all(&flowfact_1, Some(&before));
    assert_eq!(pages, [Vec::<String>::new()]);
    assert_eq!(after.unwrap().recent, before.recent);
    assert!(asked(&script, 0).ends_with("by lastModifiedTimestamp DESC"));
    // One more entry: the burst is read again, and only the news is told.
    let entries: Vec<Value> = burst
        .iter()
        .map(|(id, time)| entity(id, *time, json!({})))
        .collect();
    let mut tail = entries[199..].to_vec();
    tail.push(entity("new", newest, json!({})));
    let (flowfact_2, script) = flowfact(
        in_field(),
        [
            found(301, &entries[299..]),
            found(301, &entries[..200]),
            found(102, &tail),
        ],
    );
    let (pages, _) = read_all(&flowfact_2, Some(&before));
    assert_eq!(pages.concat(), ["new"]);
    assert_eq!(script.lines().len(), 3);
}

#[test]
fn a_burst_beyond_bounds_is_remembered_as_passed() {
    let now = START.0;
    let from = now - 5 * MINUTE_MS;
    let page = |number: i64| -> Vec<Value> {
        let range = number * 199..number * 199 + 200;
        range
            .map(|n| entity(&format!("b{n}"), from + n, json!({})))
            .collect()
    };
    let answers: Vec<Canned> = (0..15)
        .map(|number| {
            let rest = usize::try_from(2_986 - number * 199).unwrap();
            found(rest, &page(number))
        })
        .collect();
    let (flowfact, _) = flowfact(in_field(), answers);
    let (pages, position) = read_all(&flowfact, None);
    assert_eq!(pages.concat().len(), 2_986);
    let position = position.unwrap();
    assert_eq!(position.recent.len(), 2_000);
    assert_eq!(position.recent[0].1, position.since);
}

#[test]
fn a_server_that_ignores_the_filter_is_read_newest_first() {
    let since = LONG_AGO + 1_000;
    let before = at(since, since, &[("A", since)]);
    let all: Vec<Value> = [("A", since), ("new", since + 5), ("old", LONG_AGO)]
        .map(|(id, time)| entity(id, time, json!({})))
        .into();
    let [known, new, old] = [&all[0], &all[1], &all[2]].map(Clone::clone);
    let (flowfact_1, script) = flowfact(
        in_field(),
        [
            found(3, &[old.clone(), known.clone(), new.clone()]),
            found(3, &[new.clone(), known.clone(), old.clone()]),
        ],
    );
    let (pages, after) = read_all(&flowfact_1, Some(&before));
    assert_eq!(pages, [["new"]]);
    assert_eq!(after.unwrap().newest.0, since + 5);
    assert_eq!(
        asked(&script, 1),
        "page=1&size=200&withCount=true by lastModifiedTimestamp DESC"
    );
    // One that hides everything behind the filter gives itself away by hiding what is known.
    let (flowfact_2, _) = flowfact(
        in_field(),
        [found(0, &[]), found(3, &[new.clone(), known, old.clone()])],
    );
    assert_eq!(read_all(&flowfact_2, Some(&before)).0, [["new"]]);
    // Without order every page has to be read.
    let mut unordered = vec![old.clone()];
    unordered.extend(
        full_page("x", LONG_AGO - 500 * MINUTE_MS)
            .into_iter()
            .skip(1),
    );
    let (flowfact_3, script) = flowfact(
        in_field(),
        [
            found(201, std::slice::from_ref(&old)),
            found(201, &unordered),
            found(201, &[new]),
        ],
    );
    assert_eq!(
        read_all(&flowfact_3, Some(&before)).0,
        [vec![], vec!["new".to_owned()]]
    );
    assert!(asked(&script, 2).starts_with("offset=200&"));
}

#[test]
fn entries_that_are_no_contacts_are_told_and_the_others_go_on() {
    let (flowfact, _) = flowfact(
        in_field(),
        [found(
            3,
            &[
                json!("x"),
                entity("A", LONG_AGO, json!({})),
                json!({"_metadata": {}}),
            ],
        )],
    );
    let page = flowfact.changes(None, None).unwrap();
    assert_eq!(ids(&page.contacts), ["A"]);
    assert_eq!(page.unreadable.len(), 2);
    assert_eq!(page.total, Some(3));
}

#[test]
fn what_an_unanswered_create_may_have_made_is_found() {
    let at = Timestamp(LONG_AGO);
    let made = |id: &str, created: i64, creator: Value| {
        json!({"id": id, "_metadata": {"lastModifiedTimestamp": LONG_AGO + 9,
            "createdTimestamp": created, "creator": creator}})
    };
    let (flowfact, script) = flowfact(
        in_field(),
        [found(
            4,
            &[
                made("ours", LONG_AGO, json!("u-1")),
                made("older", LONG_AGO - 1, json!("u-1")),
                made("theirs", LONG_AGO, json!("u-2")),
                made("nobody's", LONG_AGO, Value::Null),
            ],
        )],
    );
    let page = flowfact.created_since(at, None).unwrap();
    assert_eq!(ids(&page.contacts), ["ours", "theirs", "nobody's"]);
    assert!(page.cursor.is_none());
    assert!(asked(&script, 0).contains(&format!("GREATER_EQUAL {LONG_AGO}")));
}

// ---- contacts by id -----------------------------------------------------------------------------

#[test]
fn reading_tells_missing_from_hidden_and_broken() {
    let (flowfact_1, script) = flowfact(
        in_field(),
        [
            json_answer(200, &entity("A", 1, json!({}))),
            json_answer(404, &json!({})),
            json_answer(410, &json!({})),
            json_answer(403, &json!({"message": "no access"})),
            json_answer(200, &entity("other", 1, json!({}))),
            text_answer(200, &[], "<html>"),
        ],
    );
    let wanted = ["A", "B", "C", "D", "E", "F/.."].map(CrmId::new);
    let read = flowfact_1.read(&wanted).unwrap();
    assert!(matches!(&read[0], CrmRead::Present(contact) if contact.id == id("A")));
    assert_eq!(read[1], CrmRead::NotFound);
    assert_eq!(read[2], CrmRead::NotFound);
    for unreadable in &read[3..] {
        assert!(
            matches!(unreadable, CrmRead::Unreadable(_)),
            "{unreadable:?}"
        );
    }
    let lines = script.lines();
    assert_eq!(
        lines[0],
        format!("GET {BASE}/entity-service/schemas/contacts/entities/A")
    );
    assert_eq!(
        lines[5],
        format!("GET {BASE}/entity-service/schemas/contacts/entities/F%2F..")
    );
    let (flowfact_2, _) = flowfact(in_field(), [text_answer(403, &[], "Credentials invalid")]);
    assert!(matches!(
        flowfact_2.read(&[id("A")]),
        Err(RemoteError::SignInRefused(_))
    ));
}

fn named(name: &str) -> CrmFields {
    let texts = BTreeMap::from([(Field::FirstName, vec![json!(name)])]);
    CrmFields {
        texts,
        ..CrmFields::default()
    }
}

#[test]
fn a_create_is_answered_in_four_forms() {
    let whole = || entity("A", 1, json!({"firstName": {"values": ["Erika"]}}));
    for (status, answer, read_back) in [
        (200, whole().to_string(), false),
        (201, json!({"id": "A"}).to_string(), true),
        (200, json!({"_metadata": {"id": "A"}}).to_string(), true),
        (200, "\"A\"".to_owned(), true),
        (200, "A\n".to_owned(), true),
    ] {
        let mut answers = vec![text_answer(status, &[], &answer)];
        answers.extend(read_back.then(|| json_answer(200, &whole())));
        let (flowfact, script) = flowfact(in_field(), answers);
        let created = flowfact.create(&[named("Erika")]).pop().unwrap().unwrap();
        assert_eq!(
            (created.id, created.fields),
            (id("A"), named("Erika")),
            "{answer}"
        );
        let lines = script.lines();
        assert_eq!(
            lines[0],
            format!(
                "POST {BASE}/entity-service/schemas/contacts \
                 {{\"firstName\":{{\"values\":[\"Erika\"]}},\
                 \"synchronisation\":{{\"values\":[\"acc-1\"]}}}}"
            )
        );
        let version = ("x-ff-version".to_owned(), "2".to_owned());
        assert!(script.sent()[0].headers.contains(&version));
        assert_eq!(lines.len(), if read_back { 2 } else { 1 });
    }
}

#[test]
fn a_create_without_an_id_may_have_happened() {
    let not_there = || json_answer(404, &json!({}));
    for (answers, expected) in [
        (vec![text_answer(200, &[], "")], "unknown"),
        (vec![text_answer(200, &[], "<html>")], "unknown"),
        (vec![text_answer(200, &[], "{}")], "unknown"),
        (vec![text_answer(200, &[], "7 of 9 created")], "unknown"),
        (vec![text_answer(504, &[], "")], "unknown"),
        (vec![no_connection()], "unknown"),
        (vec![text_answer(200, &[], "A"), not_there()], "unknown"),
        (vec![text_answer(400, &[], "")], "refused"),
        (vec![text_answer(403, &[], "")], "refused"),
        (vec![text_answer(404, &[], "")], "not done"),
        (vec![text_answer(401, &[], "")], "not done"),
        (
            vec![text_answer(429, &[("retry-after", "9")], "")],
            "not done",
        ),
    ] {
        let shown = format!("{answers:?}");
        let (flowfact, script) = flowfact(in_field(), answers);
        let kind = match flowfact
            .create(&[named("Erika")])
            .pop()
            .unwrap()
            .unwrap_err()
        {
            WriteError::Unknown(problem) => {
                assert!(!problem.message.contains("Erika"), "{}", problem.message);
                "unknown"
            }
            WriteError::Refused(_) => "refused",
            WriteError::NotDone(_) => "not done",
            WriteError::NotFound | WriteError::Stale => "other",
        };
        assert_eq!(kind, expected, "{shown}");
        let creates = script
            .lines()
            .iter()
            .filter(|line| line.starts_with("POST"))
            .count();
        assert_eq!(creates, 1);
    }
}

#[test]
fn an_update_sends_changed_fields_whole_and_reads_back() {
    let before = |flowfact: &Flowfact| {
        flowfact
            .contact(&entity("A", 1, every_form()))
            .unwrap()
            .fields
    };
    let (flowfact, script) = flowfact(
        in_field(),
        [
            json_answer(
                200,
                &entity("A", 2, json!({"firstName": {"values": ["Eva"]}})),
            ),
            text_answer(204, &[], ""),
            json_answer(404, &json!({})),
            // What was not shown is read: the second edit, and the one that changes nothing.
            json_answer(200, &entity("B", 2, json!({}))),
            json_answer(200, &entity("D", 1, every_form())),
        ],
    );
    let before = before(&flowfact);
    let mut after = before.clone();
    after.texts.insert(Field::FirstName, vec![json!("Eva")]);
    after.texts.remove(&Field::Company);
    after.emails.remove(0);
    let edit = |name: &str, after: &CrmFields| CrmEdit {
        id: id(name),
        before: before.clone(),
        after: after.clone(),
    };
    let edits = [
        edit("A", &after),
        edit("B", &after),
        edit("C", &after),
        edit("D", &before),
    ];
    let results = flowfact.update(&edits);
    assert_eq!(results[0].as_ref().unwrap().fields, named("Eva"));
    assert_eq!(results[1].as_ref().unwrap().id, id("B"));
    assert_eq!(results[2], Err(WriteError::NotFound));
    assert_eq!(results[3].as_ref().unwrap().fields, before);
    let sent: Value = serde_json::from_slice(script.sent()[0].body.as_ref().unwrap()).unwrap();
    let emails = every_form()["emails"]["values"].as_array().unwrap()[1..].to_vec();
    assert_eq!(
        sent,
        json!({"firstName": {"values": ["Eva"]}, "company": {"values": []},
            "emails": {"values": emails}})
    );
    let lines = script.lines();
    let path = |name: &str| format!("{BASE}/entity-service/schemas/contacts/entities/{name}");
    assert!(lines[0].starts_with(&format!("PATCH {} {{", path("A"))));
    assert_eq!(
        lines[3..],
        [format!("GET {}", path("B")), format!("GET {}", path("D"))]
    );
}

#[test]
fn a_deletion_is_done_missing_or_refused() {
    let (flowfact, script) = flowfact(
        in_field(),
        [
            text_answer(200, &[], ""),
            text_answer(204, &[], ""),
            text_answer(404, &[], ""),
            text_answer(403, &[], ""),
            no_connection(),
            text_answer(404, &[], ""),
        ],
    );
    let results = flowfact.delete(&["A", "B", "C", "D", "E"].map(CrmId::new));
    assert_eq!(results[..3], [Ok(()), Ok(()), Err(WriteError::NotFound)]);
    assert!(matches!(&results[3], Err(WriteError::Refused(_))));
    // The answer that was lost had been "done".
    assert_eq!(results[4], Ok(()));
    let path = "entity-service/schemas/contacts/entities/A";
    assert_eq!(script.lines()[0], format!("DELETE {BASE}/{path}"));
}

// ---- the trash ----------------------------------------------------------------------------------

/// A page of the trash: ids and dates of deletion.
fn trash(total: u32, entries: &[(&str, i64)]) -> Canned {
    let entries: Vec<Value> = entries
        .iter()
        .map(
            |(id, deleted)| json!({"entityId": id, "schemaName": "contacts", "deletedAt": deleted}),
        )
        .collect();
    json_answer(
        200,
        &json!({"entries": entries, "totalCount": total, "page": 1, "pageSize": 50}),
    )
}

fn trash_pages(script: &Scripted) -> Vec<String> {
    let prefix = format!("GET {BASE}/entity-service/recovery/entities?page=");
    let lines = script.lines();
    let pages = lines.iter().map(|line| line.strip_prefix(&prefix).unwrap());
    pages
        .map(|page| page.replace("&size=50&schema=contacts", ""))
        .collect()
}

/// Entries deleted at these moments.
fn deleted(moments: impl Iterator<Item = i64>) -> Vec<(String, i64)> {
    moments
        .map(|moment| (format!("t{moment}"), moment))
        .collect()
}

fn trash_of(total: u32, entries: &[(String, i64)]) -> Canned {
    let entries: Vec<(&str, i64)> = entries.iter().map(|(id, at)| (&**id, *at)).collect();
    trash(total, &entries)
}

#[test]
fn the_trashs_newest_page_is_found_and_then_read_alone() {
    let check = |first: &[(String, i64)], last: &[(String, i64)], asked: &[&str], newest: u32| {
        let mut answers = vec![trash_of(120, first)];
        answers.extend((!last.is_empty()).then(|| trash_of(120, last)));
        let (flowfact_1, script) = flowfact(in_field(), answers);
        let page = flowfact_1.trash(None, None).unwrap();
        assert!(page.ordered);
        assert_eq!((page.page, page.pages), (newest, 3));
        assert_eq!(trash_pages(&script), asked);
        // Quiet: one request, the same mark.
        let shown = if last.is_empty() { first } else { last };
        let (flowfact_2, script) = flowfact(in_field(), [trash_of(120, shown)]);
        assert_eq!(flowfact_2.trash(Some(&page.mark), None).unwrap(), page);
        assert_eq!(trash_pages(&script), [newest.to_string()]);
        // An entry more: another mark.
        let mut shown = shown.to_vec();
        shown.extend((!last.is_empty()).then(|| ("t120".to_owned(), 120)));
        let (flowfact_3, _) = flowfact(in_field(), [trash_of(121, &shown)]);
        let grown = flowfact_3.trash(Some(&page.mark), None).unwrap();
        assert_ne!(grown.mark, page.mark);
    };
    check(&deleted((0..50).rev()), &[], &["1"], 1);
    check(&deleted(0..50), &deleted(100..120), &["1", "3"], 3);
}

#[test]
fn a_trash_that_grows_by_a_page_is_followed_to_its_new_end() {
    let full = deleted(0..50);
    let (flowfact_1, _) = flowfact(in_field(), [trash_of(50, &full)]);
    let page = flowfact_1.trash(None, None).unwrap();
    let (flowfact_2, script) = flowfact(
        in_field(),
        [trash_of(51, &full), trash_of(51, &deleted(50..51))],
    );
    let grown = flowfact_2.trash(Some(&page.mark), None).unwrap();
    assert_eq!(
        grown.entries,
        [TrashEntry {
            id: id("t50"),
            deleted: Some(Timestamp(50))
        }]
    );
    assert_eq!((grown.page, grown.pages, grown.ordered), (2, 2, true));
    assert_eq!(trash_pages(&script), ["1", "2"]);
}

#[test]
fn a_trash_with_smaller_pages_is_counted_by_them() {
    let page = |moments| trash_of(75, &deleted(moments));
    let (flowfact_1, script) = flowfact(in_field(), [page(0..30), page(60..75)]);
    let newest = flowfact_1.trash(None, None).unwrap();
    assert_eq!((newest.page, newest.pages), (3, 3));
    assert_eq!(trash_pages(&script), ["1", "3"]);
    // Remembered: the last page is met at once, and the others are counted alike.
    let (flowfact_2, script) = flowfact(in_field(), [page(60..75), page(30..60)]);
    assert_eq!(flowfact_2.trash(Some(&newest.mark), None).unwrap(), newest);
    assert_eq!(
        flowfact_2.trash(Some(&newest.mark), Some(2)).unwrap().pages,
        3
    );
    assert_eq!(trash_pages(&script), ["3", "2"]);
    // Entries that are counted and not shown: pages cannot be counted, so all have to be read.
    let (flowfact_3, _) = flowfact(in_field(), [page(0..30), page(0..0)]);
    assert!(!flowfact_3.trash(None, None).unwrap().ordered);
}

/// What was the last page is none any more: the newest entries are not there.
#[test]
fn a_trash_whose_pages_have_become_smaller_is_counted_anew() {
    let (flowfact_1, _) = flowfact(
        in_field(),
        [
            trash_of(60, &deleted(0..50)),
            trash_of(60, &deleted(50..60)),
        ],
    );
    let before = flowfact_1.trash(None, None).unwrap();
    assert_eq!((before.page, before.pages), (2, 2));
    let page = |moments| trash_of(60, &deleted(moments));
    let (flowfact_2, script) = flowfact(in_field(), [page(20..40), page(0..20), page(40..60)]);
    let after = flowfact_2.trash(Some(&before.mark), None).unwrap();
    assert_eq!((after.page, after.pages), (3, 3));
    assert_eq!(after.entries[0].id, id("t40"));
    assert_eq!(trash_pages(&script), ["2", "1", "3"]);
}

#[test]
fn a_trash_without_order_or_dates_says_so() {
    let text = json!({"entries": [{"content": {"id": "A"}, "deletedAt": "2020-01-29T10:43:34.972Z"},
        {"entityId": "B", "deletedAt": null}, {"nothing": 1}], "totalCount": 2});
    let (flowfact_1, _) = flowfact(in_field(), [json_answer(200, &text)]);
    let page = flowfact_1.trash(None, None).unwrap();
    assert_eq!(
        page.entries[0],
        TrashEntry {
            id: id("A"),
            deleted: Some(Timestamp(1_580_294_614_972))
        }
    );
    assert_eq!(
        page.entries[1],
        TrashEntry {
            id: id("B"),
            deleted: None
        }
    );
    assert!(!page.ordered);
    let (flowfact_2, _) = flowfact(in_field(), [trash(3, &[("A", 5), ("B", 9), ("C", 7)])]);
    assert!(!flowfact_2.trash(None, None).unwrap().ordered);
    let (flowfact_3, _) = flowfact(in_field(), [trash(0, &[])]);
    let empty = flowfact_3.trash(None, None).unwrap();
    assert_eq!((empty.page, empty.pages, empty.mark.total), (1, 1, 0));
    let (flowfact_4, script) = flowfact(in_field(), [trash(200, &[("A", 5)])]);
    assert_eq!(
        flowfact_4.trash(Some(&empty.mark), Some(4)).unwrap().page,
        4
    );
    assert_eq!(trash_pages(&script), ["4"]);
}

#[test]
fn a_restored_contact_is_looked_at() {
    let (flowfact, script) = flowfact(
        in_field(),
        [
            text_answer(200, &[], ""),
            text_answer(200, &[], ""),
            text_answer(400, &[], ""),
            json_answer(
                200,
                &entity("A", 1, json!({"firstName": {"values": ["Erika"]}})),
            ),
            json_answer(404, &json!({})),
        ],
    );
    let results = flowfact.restore(&["A", "B", "C"].map(CrmId::new));
    assert_eq!(results[0].as_ref().unwrap().fields, named("Erika"));
    let Err(WriteError::Refused(problem)) = &results[1] else {
        panic!("{results:?}")
    };
    assert!(problem.message.contains("contact B"), "{}", problem.message);
    assert!(matches!(&results[2], Err(WriteError::Refused(_))));
    let lines = script.lines();
    assert_eq!(
        lines[0],
        format!("POST {BASE}/entity-service/recovery/entities {{\"entityIds\":[\"A\"]}}")
    );
    assert_eq!(
        lines[4],
        format!("GET {BASE}/entity-service/schemas/contacts/entities/B")
    );
}

// ---- markers ------------------------------------------------------------------------------------

fn change(name: &str, set: bool) -> MarkerChange {
    MarkerChange {
        id: id(name),
        marker: None,
        set,
    }
}

#[test]
fn a_marker_in_a_field_leaves_all_other_values() {
    let held = |values: Value| {
        json_answer(
            200,
            &entity("A", 1, json!({"synchronisation": {"values": values}})),
        )
    };
    let done = || text_answer(200, &[], "");
    for (before, set, after) in [
        (
            json!(["acc-2", {"id": "acc-3"}]),
            true,
            Some(json!(["acc-2", {"id": "acc-3"}, "acc-1"])),
        ),
        (json!(["acc-1"]), true, None),
        (
            json!(["acc-2", "acc-1", {"id": "acc-1"}]),
            false,
            Some(json!(["acc-2"])),
        ),
        (json!(["acc-1"]), false, Some(json!([]))),
        (json!(["acc-2"]), false, None),
    ] {
        let mut answers = vec![held(before)];
        answers.extend(after.is_some().then(done));
        let (flowfact, script) = flowfact(in_field(), answers);
        assert_eq!(flowfact.mark(&[change("A", set)]), [Ok(())]);
        let sent: Vec<Value> = script
            .sent()
            .iter()
            .filter_map(|request| serde_json::from_slice(request.body.as_ref()?).ok())
            .collect();
        let expected = after.map(|values| json!({"synchronisation": {"values": values}}));
        assert_eq!(sent, expected.into_iter().collect::<Vec<_>>());
        script.lines();
    }
}

#[test]
fn a_marker_that_cannot_be_set_is_refused_with_a_reason() {
    let tag = |value: &str| Marker::FieldValue {
        field: "tags".into(),
        value: value.into(),
    };
    let contact = || json_answer(200, &entity("A", 1, json!({"tags": {"values": ["owner"]}})));
    let (flowfact_1, _) = flowfact(tag("unknown"), [contact()]);
    let results = flowfact_1.mark(&[change("A", true)]);
    let [Err(WriteError::Refused(problem))] = &results[..] else {
        panic!("{results:?}")
    };
    assert_eq!(
        problem.message,
        "FLOWFACT's list `tags` has no value `unknown` for the marker"
    );
    let (flowfact_2, script) = flowfact(tag("sync-erika"), [contact(), text_answer(200, &[], "")]);
    assert_eq!(flowfact_2.mark(&[change("A", true)]), [Ok(())]);
    assert!(script.lines()[1].ends_with("{\"tags\":{\"values\":[\"owner\",\"sync-erika\"]}}"));
    let gone = Marker::FieldValue {
        field: "gone".into(),
        value: "x".into(),
    };
    let (flowfact_3, _) = flowfact(gone, []);
    assert!(matches!(
        &flowfact_3.mark(&[change("A", true)])[..],
        [Err(WriteError::Refused(_))]
    ));
    let (flowfact_4, _) = flowfact(in_field(), [json_answer(404, &json!({}))]);
    assert_eq!(
        flowfact_4.mark(&[change("A", true)]),
        [Err(WriteError::NotFound)]
    );
}

fn entries(total: usize, page: u32, accounts: &[(&str, &str)]) -> Canned {
    let results: Vec<Value> = accounts
        .iter()
        .map(|(id, account)| json!({"id": id, "accountId": account, "contactId": "A"}))
        .collect();
    json_answer(
        200,
        &json!({"results": results, "pageNumber": page, "pageSize": 25, "totalSize": total}),
    )
}

#[test]
fn sync_entries_are_listed_by_contact_and_never_guessed() {
    let (flowfact, script) = flowfact(
        by_entry(),
        [
            entries(2, 1, &[("e1", "acc-2")]),
            entries(0, 1, &[]),
            text_answer(403, &[], ""),
            text_answer(404, &[], ""),
            text_answer(200, &[], "<html>"),
            entries(2, 2, &[("e2", "acc-1")]),
        ],
    );
    let carried = flowfact
        .markers(&["A", "B", "C", "D", "E"].map(CrmId::new))
        .unwrap();
    assert_eq!(carried, [Some(true), Some(false), None, None, None]);
    let path = "nylas-contact-sync-service/syncEntries?contactId=";
    assert_eq!(
        script.lines()[0],
        format!("GET {BASE}/{path}A&page=1&size=25")
    );
    assert_eq!(
        script.lines()[5],
        format!("GET {BASE}/{path}A&page=2&size=25")
    );
    assert_eq!(
        flowfact.contact(&entity("A", 1, json!({}))).unwrap().marked,
        None
    );
    assert_eq!(flowfact.marker_place(), MarkerPlace::Entries);
}

/// Whatever a server makes of pages, a marker that is there is seen: one that seems to be missing
/// detaches the pair.
#[test]
fn a_sync_entry_is_found_on_small_pages_and_without_its_id() {
    let untold = |results: Value| json_answer(200, &json!({ "results": results }));
    let other = || json!({"id": "e1", "accountId": "acc-2"});
    let nameless = || json!({"accountId": "acc-1"});
    for (answers, expected) in [
        (
            vec![
                entries(2, 1, &[("e1", "acc-2")]),
                entries(2, 2, &[("e2", "acc-1")]),
            ],
            Some(true),
        ),
        (
            vec![untold(json!([nameless()])), untold(json!([]))],
            Some(true),
        ),
        (
            vec![
                untold(json!([other()])),
                untold(json!([nameless()])),
                untold(json!([])),
            ],
            Some(true),
        ),
        // It knows no pages, and gives the same again and again.
        (
            vec![untold(json!([other()])), untold(json!([other()]))],
            Some(false),
        ),
        // More than can be read is not known.
        (
            (1..=40)
                .map(|page| entries(99, page, &[(&format!("e{page}"), "acc-2")]))
                .collect(),
            None,
        ),
    ] {
        let (flowfact, script) = flowfact(by_entry(), answers);
        assert_eq!(flowfact.markers(&[id("A")]).unwrap(), [expected]);
        script.lines();
    }
    let one = json!({"results": [nameless()], "totalSize": 1});
    let (flowfact, _) = flowfact(by_entry(), [json_answer(200, &one)]);
    let taken = flowfact.mark(&[change("A", false)]);
    assert!(
        matches!(&taken[..], [Err(WriteError::Refused(_))]),
        "{taken:?}"
    );
}

#[test]
fn a_sync_entry_is_looked_for_before_it_is_made() {
    let service = format!("{BASE}/nylas-contact-sync-service/syncEntries");
    let done = || text_answer(200, &[], "{}");
    for (before, set, writes) in [
        (
            entries(1, 1, &[("e1", "acc-2")]),
            true,
            vec![format!(
                "POST {service} {{\"contactId\":\"A\",\"accountId\":\"acc-1\"}}"
            )],
        ),
        (entries(1, 1, &[("e1", "acc-1")]), true, vec![]),
        (
            entries(2, 1, &[("e1", "acc-1"), ("e2", "acc-1")]),
            false,
            vec![
                format!("DELETE {service}/e1"),
                format!("DELETE {service}/e2"),
            ],
        ),
        (entries(0, 1, &[]), false, vec![]),
    ] {
        let mut answers = vec![before];
        answers.extend(writes.iter().map(|_| done()));
        let (flowfact, script) = flowfact(by_entry(), answers);
        assert_eq!(flowfact.mark(&[change("A", set)]), [Ok(())]);
        assert_eq!(script.lines()[1..], writes);
    }
    // Another mailbox's marker, and a lost answer.
    let (flowfact_1, script) = flowfact(by_entry(), [entries(0, 1, &[]), no_connection()]);
    let other = MarkerChange {
        marker: Some(Marker::SyncEntry("acc-9".into())),
        ..change("A", true)
    };
    assert!(matches!(
        &flowfact_1.mark(&[other])[..],
        [Err(WriteError::Unknown(_))]
    ));
    assert!(script.lines()[1].contains("acc-9"));
    let (flowfact_2, _) = flowfact(by_entry(), [text_answer(403, &[], "")]);
    assert!(matches!(
        &flowfact_2.mark(&[change("A", true)])[..],
        [Err(WriteError::Refused(_))]
    ));
}

#[test]
fn flowfacts_own_sync_must_be_known_to_be_off() {
    let account = |id: &str, email: &str, settings: Value| {
        json!({"accountId": id, "email": email,
            "settings": settings})
    };
    let config = |accounts: Vec<Value>| json_answer(200, &json!({ "emails": accounts }));
    let off = json!({"sync.contact": "false", "sync.email": "true"});
    for (answer, expected) in [
        (
            config(vec![account("acc-1", "x@x.example", off.clone())]),
            Some(false),
        ),
        (
            config(vec![account("acc-7", "Erika@Muster.example", off.clone())]),
            Some(false),
        ),
        (
            config(vec![account("acc-1", "", json!({"sync.contact": true}))]),
            Some(true),
        ),
        (
            config(vec![account(
                "acc-1",
                "",
                json!({"sync.contact": "false", "sync.contact.toFF": "true"}),
            )]),
            Some(true),
        ),
        (
            config(vec![account("acc-1", "", json!({"sync.email": "true"}))]),
            None,
        ),
        (
            config(vec![account(
                "acc-1",
                "",
                json!({"sync.contact": "perhaps"}),
            )]),
            None,
        ),
        (config(vec![account("acc-2", "x@x.example", off)]), None),
        (config(vec![]), None),
        (text_answer(403, &[], ""), None),
        (text_answer(404, &[], ""), None),
        (text_answer(200, &[], "<html>"), None),
    ] {
        let shown = format!("{answer:?}");
        let (flowfact, script) = flowfact(by_entry(), [answer]);
        assert_eq!(flowfact.native_sync().unwrap(), expected, "{shown}");
        assert_eq!(script.lines(), [format!("GET {BASE}/nylas-service/config")]);
    }
}

// ---- export and survey --------------------------------------------------------------------------

#[test]
fn the_export_follows_the_ids_where_the_search_can() {
    let row = |id: &str| entity(id, LONG_AGO, json!({"secret": {"values": ["s"]}}));
    let (flowfact, script) = flowfact(
        in_field(),
        [
            found(3, &[row("a"), row("b")]),
            found(1, &[row("c")]),
            found(1, &[row("c")]),
        ],
    );
    let first = flowfact.export_page(None, 2).unwrap();
    assert_eq!(first.columns.len(), 14);
    let names = |page: &ExportPage| -> Vec<String> {
        page.rows
            .iter()
            .map(|row| row.id.as_str().to_owned())
            .collect()
    };
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(
        first.rows[0].fields,
        BTreeMap::from([("secret".into(), vec![json!("s")])])
    );
    let last = flowfact.export_page(first.next.as_deref(), 2).unwrap();
    assert_eq!((names(&last), last.next), (vec!["c".to_owned()], None));
    assert_eq!(asked(&script, 0), "page=1&size=2&withCount=true by id ASC");
    assert_eq!(
        asked(&script, 2),
        "page=1&size=2&withCount=true id GREATER \"b\" by id ASC"
    );
}

#[test]
fn the_export_leaves_nobody_out_where_it_cannot() {
    let row = |id: &str, time: i64| entity(id, time, json!({}));
    let by_time = || {
        [
            found(3, &[row("b", 1), row("c", 2)]),
            found(2, &[row("c", 2), row("a", 3)]),
        ]
    };
    for unable in [
        vec![json_answer(400, &json!({}))],
        vec![found(3, &[row("b", 1), row("a", 3)])],
        vec![
            found(3, &[row("a", 3), row("b", 1)]),
            found(3, &[row("a", 3), row("b", 1)]),
        ],
    ] {
        let answers = unable.into_iter().chain(by_time());
        let (flowfact, script) = flowfact(in_field(), answers);
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = flowfact.export_page(after.as_deref(), 2).unwrap();
            all.extend(page.rows.into_iter().map(|row| row.id));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(all, ["b", "c", "a"].map(CrmId::new));
        script.lines();
    }
}

#[test]
fn a_survey_proposes_markers_and_tries_the_filter() {
    let newest = || found(3, &[entity("A", LONG_AGO, json!({}))]);
    let accounts = json!({"emails": [{"accountId": "acc-1", "email": ADDRESS, "settings": {}}]});
    let script = Scripted::new([
        json_answer(200, &json!({"properties": properties()})),
        json_answer(200, &accounts),
        newest(),
        newest(),
        found(1, &[entity("A", LONG_AGO, json!({}))]),
        found(0, &[]),
        newest(),
        entries(0, 1, &[]),
        text_answer(403, &[], ""),
    ]);
    let flowfact = Flowfact::new(script.http(Service::Flowfact), access(by_entry()), ADDRESS);
    let survey = flowfact.survey().unwrap();
    assert_eq!(survey.fields[&Field::Department], "dep");
    assert_eq!(
        survey.markers,
        [
            in_field(),
            Marker::FieldValue {
                field: "tags".into(),
                value: "sync-erika".into()
            },
            by_entry(),
        ]
    );
    assert_eq!(survey.lists.len(), 1);
    assert_eq!(survey.lists[0].values[0].key, "owner");
    assert_eq!(
        (survey.filter_works, survey.contacts),
        (Some(true), Some(3))
    );
    assert!(!survey.trash_readable);
    let writes = script
        .lines()
        .into_iter()
        .filter(|line| !line.starts_with("GET") && !line.contains("/search-service/"));
    assert_eq!(writes.count(), 0);
}

#[test]
fn an_address_part_that_is_cleared_goes() {
    let (flowfact, _) = flowfact(in_field(), []);
    let held =
        json!({"addresses": {"values": [{"type": "office", "city": "Köln", "state": null}]}});
    let before = flowfact.contact(&entity("A", 1, held)).unwrap().fields;
    let mut after = before.clone();
    let CrmAddress::Readable { address, .. } = &mut after.addresses[0] else {
        panic!()
    };
    *address = PostalAddress {
        street: "Weg 1".into(),
        ..PostalAddress::default()
    };
    let sent = record::changed(&before, &after, &flowfact.schema);
    assert_eq!(
        sent[0].1,
        json!({"values": [{"type": "office", "street": "Weg 1", "state": null}]})
    );
}
