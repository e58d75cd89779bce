//! Contacts and folders in Graph: spellings, limits, derived names, ids, filters.

use contact_sync_tests::simulator::graph::quirks::{
    AddressUpdate, DisplayNameRule, IfMatch, InternalAddresses, NotesBug,
};
use contact_sync_tests::simulator::{GraphQuirks, Place};
use serde_json::{Value, json};

use crate::client::{ANNA, Client, USER};

const KEY: &str = "String {00020329-0000-0000-C000-000000000046} Name CrmId";

fn contacts() -> String {
    format!("{USER}/contacts")
}

/// The default folder of this client's mailbox.
fn folder(client: &Client) -> String {
    client.simulator.graph.identity(ANNA).expect("Anna").1
}

#[test]
fn a_folders_contacts_are_found_under_every_spelling() {
    let mut client = Client::new();
    client.outlook(&json!({"givenName": "Änne"}));
    let id = folder(&client);
    let escaped = id.replace('=', "%3D");
    let user = client.simulator.graph.identity(ANNA).expect("Anna").0;
    let rows = [
        "/graph/v1.0/me/contacts".to_owned(),
        "/graph/v1.0/me/contacts?%24top=5".to_owned(),
        "/graph/v1.0/users/anna%40makler.example/contacts?$top=5".to_owned(),
        "/graph/v1.0/users/Anna@Makler.example/contacts".to_owned(),
        format!("/graph/v1.0/users('{user}')/contacts"),
        format!("{USER}/contactFolders/{id}/contacts"),
        format!("{USER}/contactFolders/{escaped}/contacts"),
        format!("{USER}/contactFolders('{id}')/contacts"),
        format!("{USER}/contactfolders('{escaped}')/contacts"),
        format!("{USER}/contactFolders/contacts/contacts"),
        format!("{USER}/contactFolders/Contacts/contacts"),
        format!("{USER}/contactFolders/{id}/contacts/delta"),
        format!("{USER}/contactFolders/{id}/contacts/delta()"),
        format!("{USER}/contactFolders/{id}/contacts/microsoft.graph.delta()"),
        "/graph/v1.0/me/contacts/delta?$select=givenName".to_owned(),
    ];
    for target in rows {
        let answer = client.send(&format!("GET {target}"));
        assert_eq!(answer.status, 200, "{target}: {}", answer.text);
        assert_eq!(answer.each("value", "/givenName"), ["Änne"], "{target}");
    }
}

#[test]
fn filters_are_understood_in_every_spelling() {
    let rows = [
        ("$filter=givenName eq 'N1'", "N1"),
        ("%24filter=givenName+eq+%27N1%27", "N1"),
        ("$filter=givenName%20eq%20'n1'", "N1"),
        (
            "$filter=emailAddresses/any(a:a/address eq 'n2@x.test')",
            "N2",
        ),
        (
            "$filter=emailAddresses/Any(a:a/address%20eq%20'N2@X.test')",
            "N2",
        ),
        (
            "$filter=startswith(givenName,'N') and not (givenName eq 'N1')",
            "N0N2",
        ),
        ("$filter=givenName eq 'N0' or givenName eq 'N2'", "N0N2"),
        ("$filter=surname eq 'O''Neill'", "N0"),
        ("$filter=lastModifiedDateTime ge 2026-03-02T08:00:02Z", "N2"),
        (
            "$filter=companyName eq null&$orderby=givenName desc",
            "N2N1N0",
        ),
    ];
    for (query, expected) in rows {
        let mut client = Client::new();
        for number in 0..3 {
            client.outlook(&json!({
                "givenName": format!("N{number}"),
                "surname": if number == 0 { "O'Neill" } else { "Muster" },
                "emailAddresses": [{"name": "", "address": format!("n{number}@x.test")}],
            }));
            client.wait_ms(1000);
        }
        let answer = client.send(&format!("GET {}?{query}", contacts()));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        assert_eq!(
            answer.each("value", "/givenName").concat(),
            expected,
            "{query}"
        );
    }
}

#[test]
fn filters_that_graph_does_not_know_are_refused() {
    let rows = [
        "emailAddresses/any(a:a/address ne 'x')",
        "emailAddresses/any(a:a/name eq 'x')",
        "emailAddresses/any(a:startswith(a/address,'x'))",
        "shoeSize eq '44'",
        "givenName like 'x'",
        "givenName eq 'x",
    ];
    for filter in rows {
        let mut client = Client::new();
        let answer = client.send(&format!("GET {}?$filter={filter}", contacts()));
        let why = "The query filter contains one or more invalid nodes.";
        assert_eq!(answer.status, 400, "{filter}");
        assert_eq!(
            answer.error(),
            ("ErrorInvalidUrlQueryFilter".into(), why.into()),
            "{filter}"
        );
    }
}

#[test]
fn a_create_answers_the_whole_contact_and_nothing_hidden() {
    let mut client = Client::new();
    let body = json!({
        "@odata.type": "#microsoft.graph.contact",
        "givenName": "Änne",
        "businessPhones": ["+49 221 1"],
        "emailAddresses": [{"@odata.type": "#microsoft.graph.emailAddress",
                            "name": "", "address": "a@x.test"}],
        "birthday": "1974-07-22",
        "homeAddress": {},
        "singleValueExtendedProperties": [{"id": KEY, "value": "42"}],
    });
    let created = client.send_json(&format!("POST {}", contacts()), &body);
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!(
        created.at("/@odata.etag"),
        format!("W/\"{}\"", created.at("/changeKey"))
    );
    assert!(
        created.at("/changeKey").starts_with("EQAAABYAAA"),
        "{}",
        created.text
    );
    assert_eq!(created.at("/birthday"), "1974-07-22T00:00:00Z");
    assert_eq!(created.at("/homeAddress"), "{}");
    assert_eq!(created.at("/homePhones"), "[]");
    assert_eq!(created.at("/jobTitle"), "null");
    assert_eq!(created.at("/emailAddresses/0/name"), "a@x.test");
    assert_eq!(created.at("/primaryEmailAddress/address"), "a@x.test");
    assert_eq!(created.at("/parentFolderId"), folder(&client));
    assert_eq!(created.json.get("singleValueExtendedProperties"), None);
}

#[test]
fn limits_refuse_the_whole_contact_in_microsofts_words() {
    let emails = |count: usize| vec![json!({"address": "a@x.test"}); count];
    let rows = [
        (
            "businessPhones",
            json!(["1", "2", "3"]),
            "BusinessPhones has 3 entries",
            2,
        ),
        (
            "homePhones",
            json!(["1", "2", "3"]),
            "HomePhones has 3 entries",
            2,
        ),
        (
            "emailAddresses",
            json!(emails(4)),
            "EmailAddresses has 4 entries",
            3,
        ),
        (
            "imAddresses",
            json!(["1", "2", "3", "4"]),
            "ImAddresses has 4 entries",
            3,
        ),
    ];
    for (property, value, has, max) in rows {
        let mut client = Client::new();
        let body = json!({"givenName": "Änne", property: value});
        let answer = client.send_json(&format!("POST {}", contacts()), &body);
        let expected =
            format!("The multi value property {has}, that exceeds the max allowed value of {max}");
        assert_eq!((answer.status, answer.error().1), (400, expected));
        assert_eq!(client.simulator.graph.contact_count(ANNA), 0);
        let id = client.outlook(&json!({"givenName": "Änne", property: value}));
        assert!(
            client.simulator.graph.contact(ANNA, &id).is_some(),
            "Outlook has no such limit"
        );
    }
}

type Set = fn(&mut GraphQuirks);

/// A body, how Graph is set, whether it creates or updates, the status, and the error's code.
type WriteRow = (Value, Set, bool, u16, &'static str);

const DOCUMENTED: Set = |_| {};

fn writes_of_empty_values() -> Vec<WriteRow> {
    let internal = "ErrorInternalServerError";
    let address = "businessAddress";
    let lenient: Set = |quirks| {
        quirks.null_address_in_create_fails = false;
        quirks.given_name_required = false;
    };
    let strict: Set = |quirks| quirks.null_address_in_update = AddressUpdate::Fails;
    vec![
        (
            json!({"givenName": "A", address: null}),
            DOCUMENTED,
            true,
            500,
            internal,
        ),
        (
            json!({"givenName": "A", address: null}),
            lenient,
            true,
            201,
            "",
        ),
        (json!({address: null}), DOCUMENTED, false, 200, ""),
        (json!({address: null}), strict, false, 500, internal),
        (
            json!({"surname": "A"}),
            DOCUMENTED,
            true,
            400,
            "ErrorInvalidProperty",
        ),
        (json!({"surname": "A"}), lenient, true, 201, ""),
        (json!({"surname": "A"}), DOCUMENTED, false, 200, ""),
    ]
}

fn malformed_writes() -> Vec<WriteRow> {
    let typed = json!({"emailAddresses": [{"address": "a@x.test", "type": "work"}]});
    let lenient: Set = |quirks| quirks.read_only_refused = false;
    let read_only = "ErrorInvalidPropertySet";
    vec![
        (
            json!({"shoeSize": "44"}),
            DOCUMENTED,
            false,
            400,
            "RequestBodyRead",
        ),
        (typed, DOCUMENTED, false, 400, "RequestBodyRead"),
        (
            json!({"businessPhones": "1"}),
            DOCUMENTED,
            false,
            400,
            "RequestBodyRead",
        ),
        (
            json!({"birthday": "gestern"}),
            DOCUMENTED,
            false,
            400,
            "RequestBodyRead",
        ),
        (
            json!({"changeKey": "EQAA"}),
            DOCUMENTED,
            false,
            400,
            read_only,
        ),
        (
            json!({"@odata.etag": "W/\"x\""}),
            DOCUMENTED,
            false,
            400,
            read_only,
        ),
        (json!({"changeKey": "EQAA"}), lenient, false, 200, ""),
        (
            json!([1]),
            DOCUMENTED,
            true,
            400,
            "UnableToDeserializePostBody",
        ),
    ]
}

#[test]
fn writes_are_refused_for_graphs_own_reasons() {
    let rows = writes_of_empty_values()
        .into_iter()
        .chain(malformed_writes());
    for (body, set, creates, status, code) in rows {
        let mut client = Client::graph(set);
        let id = client.outlook(&json!({"givenName": "Änne"}));
        let target = if creates {
            format!("POST {}", contacts())
        } else {
            format!("PATCH {}/{id}", contacts())
        };
        let answer = client.send_json(&target, &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        if !code.is_empty() {
            assert_eq!(answer.error().0, code, "{body}");
        }
    }
    let mut client = Client::new();
    let answer = client.send_json(&format!("POST {}", contacts()), &json!({"surname": "A"}));
    let why = "The property 'GivenName' is required when creating the entity.";
    assert_eq!(answer.error().1, why);
}

#[test]
fn an_empty_address_clears_or_stays() {
    let rows = [
        (json!({}), AddressUpdate::Clears, true),
        (
            json!({"street": null, "city": null}),
            AddressUpdate::Clears,
            true,
        ),
        (json!({}), AddressUpdate::Ignored, false),
        (json!({"city": "Bonn"}), AddressUpdate::Ignored, false),
    ];
    for (address, treatment, cleared) in rows {
        let mut client = Client::graph(|quirks| quirks.empty_address_in_update = treatment);
        let id = client.outlook(&json!({
            "givenName": "Änne", "homeAddress": {"street": "Weg 1", "city": "Köln"},
        }));
        client.send_json(
            &format!("PATCH {}/{id}", contacts()),
            &json!({"homeAddress": address}),
        );
        let held = client.simulator.graph.contact(ANNA, &id).expect("there");
        assert_eq!(
            held.get("homeAddress").is_none(),
            cleared,
            "{address} {treatment:?}"
        );
        if address.get("city").is_some_and(Value::is_string) {
            assert_eq!(
                held["homeAddress"],
                json!({"city": "Bonn"}),
                "the whole is replaced"
            );
        }
    }
}

#[test]
fn the_display_name_is_written_anew_unless_it_is_sent() {
    let follows = DisplayNameRule::FollowsNames;
    let rows = [
        (json!({"surname": "Neu"}), follows, "Änne Neu", "Neu, Änne"),
        (
            json!({"surname": "Neu", "displayName": "Chefin"}),
            follows,
            "Chefin",
            "Neu, Änne",
        ),
        (
            json!({"jobTitle": "Boss"}),
            follows,
            "Die Chefin",
            "Alt, Änne",
        ),
        (
            json!({"jobTitle": "Boss"}),
            DisplayNameRule::FollowsAll,
            "Änne Alt",
            "Alt, Änne",
        ),
        (
            json!({"surname": "Neu"}),
            DisplayNameRule::Kept,
            "Die Chefin",
            "Alt, Änne",
        ),
        (
            json!({"surname": "Neu", "fileAs": "X"}),
            follows,
            "Änne Neu",
            "X",
        ),
    ];
    for (body, rule, display_name, file_as) in rows {
        let mut client = Client::graph(|quirks| quirks.display_name = rule);
        let id = client.outlook(&json!({
            "givenName": "Änne", "surname": "Alt", "displayName": "Die Chefin",
        }));
        let answer = client.send_json(&format!("PATCH {}/{id}", contacts()), &body);
        assert_eq!(answer.at("/displayName"), display_name, "{body} {rule:?}");
        assert_eq!(answer.at("/fileAs"), file_as, "{body} {rule:?}");
    }
    let mut client = Client::new();
    let body = json!({"givenName": "Müller GmbH", "companyName": "Müller GmbH"});
    let answer = client.send_json(&format!("POST {}", contacts()), &body);
    assert_eq!(answer.at("/displayName"), "Müller GmbH");
}

#[test]
fn the_name_of_a_known_address_stays() {
    for (kept, expected) in [(true, "Alt"), (false, "Neu")] {
        let mut client = Client::graph(|quirks| quirks.email_name_kept = kept);
        let id =
            client.outlook(&json!({"emailAddresses": [{"name": "Alt", "address": "a@x.test"}]}));
        let body = json!({"emailAddresses": [{"name": "Neu", "address": "a@x.test"}]});
        let answer = client.send_json(&format!("PATCH {}/{id}", contacts()), &body);
        assert_eq!(
            (answer.status, answer.at("/emailAddresses/0/name").as_str()),
            (200, expected)
        );
    }
}

#[test]
fn addresses_of_the_own_organisation_may_come_back_as_something_else() {
    let domain = || "makler.example".to_owned();
    let rows = [
        (InternalAddresses::AsWritten, Some("bernd@makler.example")),
        (
            InternalAddresses::AsX500(domain()),
            Some("/O=EXCHANGELABS/"),
        ),
        (InternalAddresses::NameOnly(domain()), None),
    ];
    for (form, expected) in rows {
        let mut client = Client::graph(|quirks| quirks.internal_addresses = form.clone());
        let id = client.outlook(&json!({"emailAddresses": [
            {"name": "Bernd", "address": "bernd@makler.example"},
            {"name": "Fremd", "address": "x@fremd.example"},
        ]}));
        let answer = client.send(&format!("GET {}/{id}", contacts()));
        let address = answer
            .json
            .pointer("/emailAddresses/0/address")
            .and_then(Value::as_str);
        assert_eq!(address.is_some(), expected.is_some(), "{form:?}");
        assert!(
            address
                .unwrap_or_default()
                .starts_with(expected.unwrap_or_default()),
            "{form:?}"
        );
        assert_eq!(answer.at("/emailAddresses/0/name"), "Bernd");
        assert_eq!(answer.at("/emailAddresses/1/address"), "x@fremd.example");
    }
}

#[test]
fn email_slots_are_the_same_addresses_under_other_names() {
    let mut client = Client::new();
    let id = client.outlook(&json!({"emailAddresses": [{"address": "a@x.test"}]}));
    let body = json!({"secondaryEmailAddress": {"address": "b@x.test"}});
    let answer = client.send_json(&format!("PATCH {}/{id}", contacts()), &body);
    assert_eq!(
        answer.each("emailAddresses", "/address"),
        ["a@x.test", "b@x.test"]
    );
    let body = json!({"primaryEmailAddress": null});
    let answer = client.send_json(&format!("PATCH {}/{id}", contacts()), &body);
    assert_eq!(
        answer.each("emailAddresses", "/address"),
        ["b@x.test"],
        "gaps close"
    );
    client.simulator.graph.quirks.email_slots = false;
    let answer = client.send(&format!("GET {}/{id}", contacts()));
    assert_eq!(answer.json.get("primaryEmailAddress"), None);
}

#[test]
fn a_stale_if_match_is_a_conflict_or_ignored() {
    let rows = [
        (IfMatch::Honoured, "stale", 412),
        (IfMatch::Honoured, "current", 200),
        (IfMatch::Honoured, "*", 200),
        (IfMatch::Ignored, "stale", 200),
    ];
    for (rule, version, status) in rows {
        let mut client = Client::graph(|quirks| quirks.if_match = rule);
        let id = client.outlook(&json!({"givenName": "Änne"}));
        let stale = client
            .send(&format!("GET {}/{id}", contacts()))
            .at("/@odata.etag");
        client.simulator.graph.touch(ANNA, &id, client.now);
        let current = client
            .send(&format!("GET {}/{id}", contacts()))
            .at("/@odata.etag");
        assert_ne!(stale, current);
        let sent = match version {
            "stale" => &stale,
            "current" => &current,
            other => other,
        };
        client.header("if-match", sent);
        let patch = format!("PATCH {}/{id}", contacts());
        let answer = client.send_json(&patch, &json!({"jobTitle": "Boss"}));
        assert_eq!(answer.status, status, "{rule:?} {version}");
        if status == 412 {
            assert_eq!(answer.error().0, "ErrorIrresolvableConflict");
            assert!(
                answer
                    .error()
                    .1
                    .contains("does not match the current change key")
            );
            assert_eq!(
                client.send(&format!("DELETE {}/{id}", contacts())).status,
                412
            );
        }
    }
}

#[test]
fn a_conflict_may_come_for_no_reason() {
    let mut client = Client::graph(|quirks| quirks.spontaneous_conflict_every = Some(3));
    let id = client.outlook(&json!({"givenName": "Änne"}));
    let patch = format!("PATCH {}/{id}", contacts());
    let send = |_| {
        client
            .send_json(&patch, &json!({"jobTitle": "Boss"}))
            .status
    };
    assert_eq!((0..4).map(send).collect::<Vec<_>>(), [200, 200, 412, 200]);
}

#[test]
fn a_move_changes_the_id_unless_it_is_immutable() {
    let mut client = Client::new();
    let immutable = client.outlook(&json!({"givenName": "Änne"}));
    let placed = client
        .send(&format!("GET {}/{immutable}", contacts()))
        .at("/id");
    assert_ne!(placed, immutable);
    assert!(
        placed.starts_with("AAMk") && placed.ends_with('='),
        "{placed}"
    );
    assert!(
        immutable.starts_with("AAkA") && immutable.ends_with('='),
        "{immutable}"
    );
    client
        .simulator
        .graph
        .move_to(ANNA, &immutable, "Privat", client.now);
    let answer = client.send(&format!("GET {}/{placed}", contacts()));
    let why = "The specified object was not found in the store.";
    assert_eq!((answer.status, answer.error().1.as_str()), (404, why));
    let moved = client.send(&format!("GET {}/{immutable}", contacts()));
    assert_ne!(moved.at("/id"), placed);
    assert_ne!(moved.at("/parentFolderId"), folder(&client));
    client.header("prefer", "odata.maxpagesize=3, IdType=\"ImmutableId\"");
    let moved = client.send(&format!("GET {}/{immutable}", contacts()));
    assert_eq!(moved.at("/id"), immutable);
    let applied = "odata.maxpagesize=3, IdType=\"ImmutableId\"";
    assert_eq!(moved.header("preference-applied"), Some(applied));
    client.headers.clear();
    let body = json!({"inputIds": [moved.at("/id")], "sourceIdType": "restImmutableEntryId",
                      "targetIdType": "restId"});
    let translated = client.send_json(&format!("POST {USER}/translateExchangeIds"), &body);
    let target = translated.at("/value/0/targetId");
    assert_eq!(
        client.send(&format!("GET {}/{target}", contacts())).status,
        200
    );
}

#[test]
fn a_deletion_moves_to_deleted_items_and_a_second_one_is_for_good() {
    let mut client = Client::new();
    let id = client.outlook(&json!({"givenName": "Änne"}));
    let deleted = client.send(&format!("DELETE {}/{id}", contacts()));
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    assert_eq!(client.simulator.graph.place(ANNA, &id), Place::DeletedItems);
    assert!(
        client
            .send(&format!("GET {}", contacts()))
            .each("value", "/id")
            .is_empty()
    );
    let answer = client.send(&format!("GET {}/{id}", contacts()));
    assert_eq!(answer.status, 200, "an immutable id survives");
    let parent = answer.at("/parentFolderId");
    let answer = client.send(&format!("GET {USER}/contactFolders/{parent}"));
    assert_eq!(answer.status, 404, "Deleted Items is a mail folder");
    client.simulator.graph.quirks.deleted_items_readable = true;
    for name in [parent.as_str(), "deleteditems"] {
        let answer = client.send(&format!("GET {USER}/contactFolders/{name}"));
        assert_eq!(answer.at("/id"), parent);
    }
    assert_eq!(
        client.send(&format!("DELETE {}/{id}", contacts())).status,
        204
    );
    assert_eq!(client.simulator.graph.place(ANNA, &id), Place::Nowhere);
    let id = client.outlook(&json!({"givenName": "Änne"}));
    let purge = format!("POST {}/{id}/permanentDelete", contacts());
    assert_eq!(client.send(&purge).status, 204);
    assert_eq!(client.send(&format!("GET {}/{id}", contacts())).status, 404);
}

#[test]
fn an_update_of_the_parent_folder_moves_or_does_nothing() {
    for (moves, expected) in [
        (true, Place::Folder("Privat".to_owned())),
        (false, Place::Contacts),
    ] {
        let mut client = Client::graph(|quirks| quirks.parent_folder_moves = moves);
        let id = client.outlook(&json!({"givenName": "Änne"}));
        let target = format!("POST {USER}/contactFolders/contacts/childFolders");
        let target = client
            .send_json(&target, &json!({"displayName": "Privat"}))
            .at("/id");
        let patch = format!("PATCH {}/{id}", contacts());
        assert_eq!(
            client
                .send_json(&patch, &json!({"parentFolderId": target}))
                .status,
            200
        );
        assert_eq!(client.simulator.graph.place(ANNA, &id), expected);
    }
}

#[test]
fn the_default_folder_is_not_listed_and_answers_to_its_alias() {
    for listed in [false, true] {
        let mut client = Client::graph(|quirks| quirks.default_folder_listed = listed);
        let folders = client.send(&format!("GET {USER}/contactFolders"));
        let names: &[&str] = if listed { &["Kontakte"] } else { &[] };
        assert_eq!(folders.each("value", "/displayName"), names);
        let alias = client.send(&format!("GET {USER}/contactFolders/contacts"));
        assert_eq!(alias.at("/id"), folder(&client));
        client.simulator.graph.quirks.contacts_alias = false;
        let alias = client.send(&format!("GET {USER}/contactFolders/contacts"));
        assert_eq!(alias.error().0, "ErrorInvalidIdMalformed");
    }
}

#[test]
fn folders_are_made_renamed_and_deleted() {
    let mut client = Client::new();
    let children = format!("{USER}/contactFolders/contacts/childFolders");
    let body = json!({"displayName": "Privat"});
    let made = client.send_json(&format!("POST {children}"), &body);
    assert_eq!(
        (made.status, made.at("/parentFolderId")),
        (201, folder(&client))
    );
    let again = client.send_json(&format!("POST {children}"), &body);
    assert_eq!(
        (again.status, again.error().0.as_str()),
        (409, "ErrorFolderExists")
    );
    let id = made.at("/id");
    let path = format!("{USER}/contactFolders/{id}");
    client.send_json(&format!("PATCH {path}"), &json!({"displayName": "Familie"}));
    assert_eq!(
        client.send(&format!("GET {path}")).at("/displayName"),
        "Familie"
    );
    let created = client.send_json(
        &format!("POST {path}/contacts"),
        &json!({"givenName": "Änne"}),
    );
    assert_eq!(created.at("/parentFolderId"), id);
    let nested = format!("GET {children}/{id}/contacts");
    assert_eq!(client.send(&nested).each("value", "/givenName"), ["Änne"]);
    let default = client.send(&format!("DELETE {USER}/contactFolders/contacts"));
    assert_eq!(default.error().0, "ErrorDeleteDistinguishedFolder");
    assert_eq!(client.send(&format!("DELETE {path}")).status, 204);
    assert!(
        client
            .send(&format!("GET {children}"))
            .each("value", "/id")
            .is_empty()
    );
    client.header("prefer", "IdType=\"ImmutableId\"");
    let contact = client.send(&format!("GET {}/{}", contacts(), created.at("/id")));
    let place = client.simulator.graph.place(ANNA, &contact.at("/id"));
    assert_eq!(place, Place::DeletedItems);
}

#[test]
fn lists_are_paged_by_offset_and_count_what_they_do_not_show() {
    let mut client = Client::new();
    client.outlook_many(12);
    client
        .simulator
        .graph
        .create_group(ANNA, "Verteiler", client.now);
    let first = client.send(&format!(
        "GET http://127.0.0.1:81{}?$count=true",
        contacts()
    ));
    assert_eq!(
        first.each("value", "/givenName").len(),
        10,
        "the default page"
    );
    assert_eq!(
        first.at("/@odata.count"),
        "13",
        "the distribution list is counted"
    );
    let link = first.at("/@odata.nextLink");
    assert!(
        link.starts_with("http://127.0.0.1:81/graph/v1.0/users/"),
        "{link}"
    );
    assert!(link.contains("$skip=10"), "{link}");
    let second = client.send(&format!("GET {link}"));
    assert_eq!(second.each("value", "/givenName"), ["N10", "N11"]);
    assert_eq!(second.json.get("@odata.nextLink"), None);
    client.header("prefer", "odata.maxpagesize=999");
    assert_eq!(
        client
            .send(&format!("GET {}", contacts()))
            .each("value", "/id")
            .len(),
        12
    );
    client.headers.clear();
    client.simulator.graph.quirks.page_size_max = 5;
    let capped = client.send(&format!("GET {}?$top=1000", contacts()));
    assert_eq!(capped.each("value", "/id").len(), 5);
    let answer = client.send(&format!("GET {}?$top=all", contacts()));
    assert_eq!(answer.error().0, "ErrorInvalidUrlQuery");
}

#[test]
fn a_selection_keeps_the_id_and_refuses_the_unknown() {
    let mut client = Client::new();
    client.outlook(&json!({"givenName": "Änne"}));
    let answer = client.send(&format!(
        "GET {}?$top=50&$select=givenName,changeKey",
        contacts()
    ));
    let names: Vec<&String> = answer.json["value"][0]
        .as_object()
        .expect("a contact")
        .keys()
        .collect();
    assert_eq!(names, ["@odata.etag", "id", "changeKey", "givenName"]);
    let answer = client.send(&format!("GET {}?$select=shoeSize", contacts()));
    assert_eq!(answer.status, 400);
}

#[test]
fn extended_properties_are_written_expanded_and_found() {
    let mut client = Client::new();
    let body = json!({"givenName": "Änne", "singleValueExtendedProperties": [
        {"id": KEY, "value": "Key42"},
    ]});
    let created = client.send_json(&format!("POST {}", contacts()), &body);
    let id = created.at("/id");
    let lower = KEY.replace("C000", "c000");
    let expand = format!("$expand=singleValueExtendedProperties($filter=id eq '{lower}')");
    let read = client.send(&format!("GET {}/{id}?{expand}", contacts()));
    assert_eq!(read.at("/singleValueExtendedProperties/0/value"), "Key42");
    let both = format!(
        "$expand=singleValueExtendedProperties($filter=id eq 'String 0x3A1C' or id eq '{KEY}')"
    );
    let list = client.send(&format!("GET {}?{both}", contacts()));
    assert_eq!(
        list.at("/value/0/singleValueExtendedProperties/0/value"),
        "Key42"
    );
    let rows = [
        (
            format!("any(ep: ep/id eq '{KEY}' and ep/value eq 'Key42')"),
            1,
        ),
        (
            format!("Any(ep: ep/id eq '{KEY}' and ep/value eq 'kEY42')"),
            1,
        ),
        (
            format!(
                "any(ep: ep/id eq '{}' and ep/value eq 'Key42')",
                KEY.to_lowercase()
            ),
            0,
        ),
        (
            format!("any(ep: ep/id eq '{KEY}' and ep/value eq 'Key4')"),
            0,
        ),
    ];
    for (any, count) in rows {
        let filter = format!("$filter=singleValueExtendedProperties/{any}");
        let found = client.send(&format!("GET {}?{filter}", contacts()));
        assert_eq!(
            found.each("value", "/id").len(),
            count,
            "{any}: {}",
            found.text
        );
    }
    let escaped = "$expand=singleValueExtendedProperties%28%24filter%3Did%20eq%20%27String%20%7B\
                   00020329-0000-0000-C000-000000000046%7D%20Name%20CrmId%27%29";
    let filter = "$filter=singleValueExtendedProperties%2Fany%28ep%3A%20ep%2Fid%20eq%20%27String\
                  %20%7B00020329-0000-0000-C000-000000000046%7D%20Name%20CrmId%27%20and%20ep\
                  %2Fvalue%20eq%20%27Key42%27%29";
    let sdk = client.send(&format!("GET {}?{escaped}&{filter}&$top=50", contacts()));
    assert_eq!(
        sdk.at("/value/0/singleValueExtendedProperties/0/value"),
        "Key42"
    );
}

#[test]
fn a_key_is_found_in_all_folders_or_in_one() {
    for (spans, count) in [(true, 1), (false, 0)] {
        let mut client = Client::graph(|quirks| quirks.property_filter_spans_folders = spans);
        let body = json!({"givenName": "Änne", "singleValueExtendedProperties": [
            {"id": KEY, "value": "42"},
        ]});
        client.header("prefer", "IdType=\"ImmutableId\"");
        let id = client
            .send_json(&format!("POST {}", contacts()), &body)
            .at("/id");
        client
            .simulator
            .graph
            .move_to(ANNA, &id, "Privat", client.now);
        let any = format!("any(ep: ep/id eq '{KEY}' and ep/value eq '42')");
        let target = format!(
            "GET {}?$filter=singleValueExtendedProperties/{any}",
            contacts()
        );
        assert_eq!(client.send(&target).each("value", "/id").len(), count);
    }
}

#[test]
fn a_copy_has_the_key_and_a_contact_entered_again_has_not() {
    let mut client = Client::new();
    client.header("prefer", "IdType=\"ImmutableId\"");
    let body = json!({"givenName": "Änne", "singleValueExtendedProperties": [
        {"id": KEY, "value": "42"},
    ]});
    let id = client
        .send_json(&format!("POST {}", contacts()), &body)
        .at("/id");
    let now = client.now;
    let graph = &mut client.simulator.graph;
    let copy = graph.copy(ANNA, &id, now).expect("a copy");
    assert_eq!(graph.extended_properties(ANNA, &copy).len(), 1);
    let again = graph.recreate(ANNA, &id, now).expect("entered again");
    assert_eq!(graph.extended_properties(ANNA, &again).len(), 0);
    assert_eq!(graph.contact(ANNA, &again), graph.contact(ANNA, &copy));
    assert_eq!(graph.contact(ANNA, &id), None);
}

#[test]
fn notes_that_begin_with_a_line_break_are_mangled_in_lists() {
    let notes = format!("\nErste\nZweite{}", "x".repeat(300));
    let cut = format!("ErsteZweite{}", "x".repeat(245));
    let rows = [
        (NotesBug::Nowhere, &notes, &notes),
        (NotesBug::InLists, &cut, &notes),
        (NotesBug::InListsAndDelta, &cut, &cut),
    ];
    for (bug, list, delta) in rows {
        let mut client = Client::graph(|quirks| quirks.notes = bug);
        let id = client.outlook(&json!({"personalNotes": notes}));
        let found = |target: &str, client: &mut Client| {
            client
                .send(&format!("GET {target}"))
                .each("value", "/personalNotes")
                .concat()
        };
        assert_eq!(&found(&contacts(), &mut client), list, "{bug:?}");
        assert_eq!(
            &found(&format!("{}/delta", contacts()), &mut client),
            delta,
            "{bug:?}"
        );
        let whole = client
            .send(&format!("GET {}/{id}", contacts()))
            .at("/personalNotes");
        assert_eq!(whole, notes);
    }
    let mut client = Client::new();
    client.outlook(&json!({"personalNotes": "Erste\nZweite"}));
    let list = client.send(&format!("GET {}", contacts()));
    assert_eq!(list.each("value", "/personalNotes"), ["Erste\nZweite"]);
}

#[test]
fn too_much_in_ten_minutes_is_refused_until_they_are_over() {
    let mut client = Client::graph(|quirks| quirks.requests_per_ten_minutes_max = Some(3));
    let mut send = |wait_ms| {
        client.wait_ms(wait_ms);
        let answer = client.send(&format!("GET {}", contacts()));
        (
            answer.status,
            answer.header("retry-after").map(str::to_owned),
        )
    };
    assert_eq!([send(0).0, send(0).0, send(0).0], [200; 3]);
    assert_eq!(send(0), (429, Some("601".to_owned())));
    assert_eq!(send(599_000).0, 429);
    assert_eq!(send(1000).0, 200);
    let body = json!({"givenName": "Annegret Müller"});
    let create = format!("POST {}", contacts());
    let mut client = Client::graph(|quirks| quirks.request_bytes_max = 20);
    assert_eq!(client.send_json(&create, &body).status, 413);
    let enough = Some(body.to_string().len() as u64);
    let mut client = Client::graph(|quirks| quirks.upload_bytes_per_five_minutes_max = enough);
    assert_eq!(client.send_json(&create, &body).status, 201);
    assert_eq!(client.send_json(&create, &body).status, 429);
    client.wait_ms(300_000);
    assert_eq!(client.send_json(&create, &body).status, 201);
}
