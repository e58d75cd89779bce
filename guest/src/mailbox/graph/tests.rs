//! What goes over the wire, and what is made of the answers. Each test gives the mailbox a script
//! of answers, asks it for something, and compares the requests word for word and the result.

use serde_json::{Value, json};
use std::rc::Rc;

use super::*;
use crate::contact::{Field, MailboxEmail, PostalAddress, Slot, View};
use crate::http::scripted::{Canned, Scripted, json_answer, no_connection, text_answer};
use crate::mailbox::{MailboxEntry, MailboxNext};
use crate::outside::Timestamp;

const BASE: &str = "https://graph.test/v1.0";
const FOLDER: &str = "F1=";
const SELECTED: &str = "id,changeKey,lastModifiedDateTime,parentFolderId,displayName,fileAs,\
    givenName,surname,title,companyName,department,jobTitle,businessHomePage,businessPhones,\
    homePhones,mobilePhone,emailAddresses,businessAddress,homeAddress,otherAddress,birthday";

/// A connected mailbox, and the script that answers it.
fn mailbox(
    trust_if_match: bool,
    answers: impl IntoIterator<Item = Canned>,
) -> (Graph, Rc<Scripted>) {
    let script = Scripted::new(answers);
    let access = GraphAccess {
        base_url: BASE.into(),
        user: GraphUser::Me,
        trust_if_match,
    };
    let mut graph = Graph::new(script.http(Service::Graph), &access);
    let identity = MailboxIdentity {
        service: "graph".into(),
        user: "u-1".into(),
        folder: FOLDER.into(),
        address: None,
    };
    graph.connect(Some(&identity)).unwrap();
    (graph, script)
}

/// A contact as Graph answers it, with nulls where there is nothing.
fn contact(id: &str, version: &str, members: Value) -> Value {
    let mut contact = json!({
        "@odata.etag": format!("W/\"{version}\""), "id": id, "changeKey": version,
        "lastModifiedDateTime": "2026-11-22T10:00:00Z", "parentFolderId": FOLDER,
        "displayName": null, "fileAs": "", "givenName": null, "surname": null, "title": null,
        "companyName": null, "department": null, "jobTitle": null, "businessHomePage": null,
        "businessPhones": [], "homePhones": [], "mobilePhone": null, "emailAddresses": [],
        "businessAddress": {}, "homeAddress": {}, "otherAddress": {}, "birthday": null,
    });
    let Value::Object(members) = members else {
        panic!("members are an object")
    };
    contact.as_object_mut().unwrap().extend(members);
    contact
}

/// The answer to a batch whose items are answered with status and body.
fn batch(items: &[(u16, Value)]) -> Canned {
    let responses: Vec<Value> = items
        .iter()
        .enumerate()
        .rev()
        .map(|(id, (status, body))| json!({"id": id.to_string(), "status": status, "body": body}))
        .collect();
    json_answer(200, &json!({ "responses": responses }))
}

fn error(code: &str) -> Value {
    json!({"error": {"code": code, "message": "said so"}})
}

/// The items of the script's n-th request, which must be a batch.
fn sent_items(script: &Scripted, index: usize) -> Vec<Value> {
    let request = &script.sent()[index];
    assert_eq!(request.url, format!("{BASE}/$batch"));
    let body: Value = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
    body["requests"].as_array().unwrap().clone()
}

fn lines(items: &[Value]) -> Vec<String> {
    let line = |item: &Value| {
        format!(
            "{} {}",
            item["method"].as_str().unwrap(),
            item["url"].as_str().unwrap()
        )
    };
    items.iter().map(line).collect()
}

fn ids(names: &[&str]) -> Vec<MailboxId> {
    names.iter().map(|name| MailboxId::new(*name)).collect()
}

fn text_view(texts: &[(Field, &str)]) -> View {
    let texts = texts
        .iter()
        .map(|(field, text)| (*field, (*text).to_owned()))
        .collect();
    View {
        texts,
        ..View::default()
    }
}

fn edit(id: &str, version: &str, before: View, after: View) -> MailboxEdit {
    MailboxEdit {
        id: MailboxId::new(id),
        change_key: ChangeKey::new(version),
        before,
        after,
    }
}

/// A view with a value in every place that Graph has.
fn full_view() -> View {
    let mut view = text_view(&[
        (Field::FirstName, "Erika"),
        (Field::LastName, "Mustermann"),
        (Field::AcademicTitle, "Dr."),
        (Field::Company, "Muster GmbH"),
        (Field::Department, "Vertrieb"),
        (Field::Position, "Leiterin"),
        (Field::Website, "https://muster.example"),
    ]);
    view.display_name = Some("Mustermann, Erika".into());
    view.file_as = Some("Mustermann, Erika".into());
    view.birthday = Some("1974-07-22T11:59:00Z".into());
    for (slot, number) in [
        (Slot::BusinessPhone1, "+49 221 1"),
        (Slot::BusinessPhone2, "+49 221 2"),
        (Slot::HomePhone1, "+49 221 3"),
        (Slot::MobilePhone, "+49 172 4"),
    ] {
        view.phones.insert(slot, number.into());
    }
    for (slot, address) in [(Slot::Email1, "a@x.example"), (Slot::Email2, "b@x.example")] {
        view.emails.insert(
            slot,
            MailboxEmail {
                address: address.into(),
                name: "E".into(),
            },
        );
    }
    let address = PostalAddress {
        street: "Weg 1\nHinterhaus".into(),
        postal_code: "50667".into(),
        city: "Köln".into(),
        state: String::new(),
        country: "Deutschland".into(),
    };
    view.addresses.insert(Slot::BusinessAddress, address);
    view
}

/// [`full_view`] on the wire.
fn full_members() -> Value {
    json!({
        "displayName": "Mustermann, Erika", "fileAs": "Mustermann, Erika", "givenName": "Erika",
        "surname": "Mustermann", "title": "Dr.", "companyName": "Muster GmbH",
        "department": "Vertrieb", "jobTitle": "Leiterin",
        "businessHomePage": "https://muster.example",
        "businessPhones": ["+49 221 1", "+49 221 2"], "homePhones": ["+49 221 3"],
        "mobilePhone": "+49 172 4",
        "emailAddresses": [
            {"address": "a@x.example", "name": "E"}, {"address": "b@x.example", "name": "E"},
        ],
        "businessAddress": {
            "street": "Weg 1\nHinterhaus", "city": "Köln", "postalCode": "50667",
            "countryOrRegion": "Deutschland",
        },
        "birthday": "1974-07-22T11:59:00Z",
    })
}

#[test]
fn the_mailbox_is_known_by_ids_and_asked_only_once() {
    let script = Scripted::new([
        json_answer(
            200,
            &json!({"id": "u-1", "mail": null, "userPrincipalName": "e@x.example"}),
        ),
        json_answer(200, &json!({"id": FOLDER})),
    ]);
    let user = GraphUser::User("e#EXT@x.example".into());
    let base_url = format!("{BASE}/");
    let access = GraphAccess {
        base_url,
        user,
        trust_if_match: false,
    };
    let mut graph = Graph::new(script.http(Service::Graph), &access);
    let identity = graph.connect(None).unwrap();
    assert_eq!(identity.user, "u-1");
    assert_eq!(identity.folder, FOLDER);
    assert_eq!(identity.address.as_deref(), Some("e@x.example"));
    assert_eq!(
        script.lines(),
        [
            "GET https://graph.test/v1.0/users/e%23EXT%40x.example\
             ?$select=id,mail,userPrincipalName",
            "GET https://graph.test/v1.0/users/e%23EXT%40x.example/contactFolders/contacts\
             ?$select=id",
        ]
    );
    for request in script.sent() {
        let prefer = ("prefer".to_owned(), "IdType=\"ImmutableId\"".to_owned());
        assert!(request.headers.contains(&prefer), "{request:?}");
    }
    assert_eq!(graph.connect(Some(&identity)).unwrap(), identity);
}

#[test]
fn a_missing_permission_says_which() {
    let script = Scripted::new([json_answer(403, &error("Authorization_RequestDenied"))]);
    let access = GraphAccess {
        base_url: BASE.into(),
        user: GraphUser::Me,
        trust_if_match: false,
    };
    let mut graph = Graph::new(script.http(Service::Graph), &access);
    let Err(RemoteError::PermissionMissing(remote)) = graph.connect(None) else {
        panic!()
    };
    assert_eq!(remote.code.as_deref(), Some("Authorization_RequestDenied"));
    assert!(remote.problem.remedy.unwrap().contains("User.Read"));
}

#[test]
fn a_folder_without_its_well_known_name_is_found_by_a_contact() {
    let user = || json_answer(200, &json!({"id": "u-1"}));
    let unknown = || json_answer(400, &error("ErrorInvalidIdMalformed"));
    let connect = |contacts: &Value| {
        let list = json_answer(200, &json!({ "value": contacts }));
        let script = Scripted::new([user(), unknown(), list]);
        let user = GraphUser::Me;
        let access = GraphAccess {
            base_url: BASE.into(),
            user,
            trust_if_match: false,
        };
        let result = Graph::new(script.http(Service::Graph), &access).connect(None);
        let last = format!("GET {BASE}/me/contacts?$top=1&$select=parentFolderId");
        assert_eq!(script.lines()[2], last);
        result
    };
    assert_eq!(
        connect(&json!([{"parentFolderId": FOLDER}]))
            .unwrap()
            .folder,
        FOLDER
    );
    let Err(RemoteError::Protocol(remote)) = connect(&json!([])) else {
        panic!()
    };
    assert!(remote.problem.remedy.unwrap().contains("create a contact"));
}

#[test]
fn every_form_of_a_contact_is_read() {
    let read = |members: Value| record::parse(&contact("A", "K", members)).unwrap().contact;
    assert_eq!(read(json!({})).view, View::default());
    let full = read(full_members());
    assert_eq!(full.view, full_view());
    assert_eq!(full.modified, Some(Timestamp(1_795_341_600_000)));
    let sparse = read(json!({
        "givenName": "", "businessPhones": ["", null, "1", ""], "homePhones": null,
        "emailAddresses": [null, {}, {"name": "", "address": ""}, {"name": "only"},
            {"address": "/O=X/CN=Y"}],
        "homeAddress": {"street": null, "city": ""}, "otherAddress": null, "birthday": "",
    }));
    assert_eq!(sparse.view.phones[&Slot::BusinessPhone1], "1");
    assert_eq!(sparse.view.phones.len(), 1);
    assert_eq!(sparse.view.emails[&Slot::Email1].name, "only");
    assert_eq!(sparse.view.emails[&Slot::Email2].address, "/O=X/CN=Y");
    assert_eq!(sparse.view.emails.len(), 2);
    assert!(sparse.view.addresses.is_empty() && sparse.view.texts.is_empty());
    assert_eq!(sparse.view.birthday, None);
    let by_etag = json!({"id": "A", "@odata.etag": "W/\"K7\""});
    assert_eq!(
        record::parse(&by_etag).unwrap().contact.change_key,
        ChangeKey::new("K7")
    );
}

#[test]
fn a_value_that_would_be_written_back_wrongly_makes_the_contact_unreadable() {
    for members in [
        json!({"givenName": 5}),
        json!({"businessPhones": "1"}),
        json!({"businessPhones": ["1", "2", "3"]}),
        json!({"homePhones": [{}]}),
        json!({"emailAddresses": [{"address": "1"}, {"address": "2"}, {"address": "3"},
            {"address": "4"}]}),
        json!({"homeAddress": "Weg 1"}),
        json!({"homeAddress": {"city": 1}}),
        json!({"changeKey": null, "@odata.etag": "K"}),
        json!({"id": ""}),
    ] {
        let shown = members.to_string();
        let problem = record::parse(&contact("A", "K", members)).unwrap_err();
        assert!(
            !problem.message.contains("Weg"),
            "{shown}: no values in {}",
            problem.message
        );
        assert!(problem.remedy.is_some(), "{shown}");
    }
}

#[test]
fn a_round_of_changes_follows_the_links_with_the_headers_repeated() {
    let page = format!("{BASE}/me/contactFolders('F1')/contacts/delta?$skiptoken=s1");
    let end = format!("{BASE}/me/contactFolders('F1')/contacts/delta?$deltatoken=d1");
    let group = json!({"id": "G", "@odata.type": "#microsoft.graph.group"});
    let (graph, script) = mailbox(
        false,
        [
            json_answer(
                200,
                &json!({"value": [contact("A", "K1", full_members()), group,
                    {"id": "B", "@removed": {"reason": "deleted"}},
                    contact("C", "K2", json!({"givenName": 1})), {"@odata.etag": "W/\"x\""}],
                    "@odata.nextLink": page}),
            ),
            json_answer(
                200,
                &json!({"value": [], "@odata.nextLink": format!("{page}2")}),
            ),
            json_answer(200, &json!({"value": [], "@odata.deltaLink": end})),
        ],
    );
    let first = graph.changes(None).unwrap();
    assert!(matches!(&first.entries[0], MailboxEntry::Present(found) if found.view == full_view()));
    assert_eq!(first.entries[1], MailboxEntry::Removed(MailboxId::new("B")));
    assert!(
        matches!(&first.entries[2], MailboxEntry::Unreadable(Some(id), _) if id.as_str() == "C")
    );
    assert!(matches!(
        &first.entries[3],
        MailboxEntry::Unreadable(None, _)
    ));
    assert_eq!(first.entries.len(), 4);
    let MailboxNext::Page(position) = first.next else {
        panic!()
    };
    let MailboxNext::Page(position) = graph.changes(Some(&position)).unwrap().next else {
        panic!()
    };
    let last = graph.changes(Some(&position)).unwrap();
    assert_eq!(last.next, MailboxNext::End(MailboxPosition(end)));
    assert_eq!(
        script.lines(),
        [
            format!("GET {BASE}/me/contactFolders/F1%3D/contacts/delta?$select={SELECTED}"),
            format!("GET {page}"),
            format!("GET {page}2"),
        ]
    );
    for request in script.sent() {
        let prefer = "odata.maxpagesize=200, IdType=\"ImmutableId\"".to_owned();
        assert_eq!(request.headers, [("prefer".to_owned(), prefer)]);
    }
}

#[test]
fn an_entry_told_in_part_is_read_whole() {
    let delta = json!({"value": [
            {"id": "A", "changeKey": "K", "givenName": "new"},
            {"id": "B", "changeKey": "K", "givenName": "new"},
            {"id": "C", "changeKey": "K"}],
        "@odata.deltaLink": format!("{BASE}/me/delta?t")});
    let moved = contact("C", "K2", json!({"parentFolderId": "elsewhere"}));
    let (graph, script) = mailbox(
        false,
        [
            json_answer(200, &delta),
            batch(&[
                (200, contact("A", "K2", full_members())),
                (404, error("ErrorItemNotFound")),
                (200, moved),
            ]),
        ],
    );
    let entries = graph.changes(None).unwrap().entries;
    assert!(matches!(&entries[0], MailboxEntry::Present(found) if found.view == full_view()));
    let removed: Vec<MailboxEntry> = ids(&["B", "C"])
        .into_iter()
        .map(MailboxEntry::Removed)
        .collect();
    assert_eq!(entries[1..], removed);
    script.lines();
}

#[test]
fn a_lost_position_begins_anew_and_a_lost_mailbox_does_not() {
    let position = || MailboxPosition(format!("{BASE}/me/delta?$deltatoken=old"));
    for (status, code, expired) in [
        (410, "SyncStateNotFound", true),
        (410, "", true),
        (404, "syncstatenotfound", true),
        (403, "ResyncRequired", true),
        (400, "ErrorInvalidIdMalformed", true),
        (400, "Parameter", true),
        (404, "ErrorSyncFolderNotFound", false),
        (404, "MailboxNotEnabledForRESTAPI", false),
        (403, "ErrorAccessDenied", false),
        (401, "InvalidAuthenticationToken", false),
    ] {
        let (graph, _) = mailbox(false, [json_answer(status, &error(code))]);
        let result = graph.changes(Some(&position())).map(|page| page.next);
        assert_eq!(
            result == Ok(MailboxNext::Expired),
            expired,
            "{status} {code}: {result:?}"
        );
        // Without a position there is nothing to lose: that would begin anew for ever.
        let (graph, _) = mailbox(false, [json_answer(status, &error(code))]);
        assert!(graph.changes(None).is_err(), "{status} {code}");
    }
    let (graph, script) = mailbox(false, []);
    let moved = MailboxPosition("https://graph.elsewhere/v1.0/me/delta?t".into());
    assert_eq!(
        graph.changes(Some(&moved)).unwrap().next,
        MailboxNext::Expired
    );
    assert_eq!(script.lines().len(), 0);
}

#[test]
fn answers_that_lead_nowhere_or_elsewhere_are_errors() {
    let link = format!("{BASE}/me/delta?$skiptoken=1");
    for answer in [
        json!({"value": []}),
        json!({"@odata.deltaLink": link}),
        json!({"value": [], "@odata.nextLink": "https://evil.test/v1.0/me/delta"}),
        json!({"value": [], "@odata.deltaLink": "https://graph.test/beta/me/delta"}),
        json!({"value": [], "@odata.nextLink": link}),
    ] {
        let shown = answer.to_string();
        let (graph, _) = mailbox(false, [json_answer(200, &answer)]);
        let result = graph.changes(Some(&MailboxPosition(link.clone())));
        assert!(
            matches!(result, Err(RemoteError::Protocol(_))),
            "{shown}: {result:?}"
        );
    }
}

#[test]
fn a_link_is_followed_only_to_where_the_job_says_that_graph_is() {
    for (link, own) in [
        ("https://graph.test/v1.0/me/x?y=https://evil.test/", true),
        ("HTTPS://GRAPH.test/v1.0/users('1')/x", true),
        ("https://graph.test/v1.0", false),
        ("https://graph.test/v1.0?x", false),
        ("https://graph.test/v1.01/me", false),
        ("https://graph.test/beta/me", false),
        ("https://graph.test:444/v1.0/me", false),
        ("https://graph.test.evil/v1.0/me", false),
        ("https://user@graph.test/v1.0/me", false),
        ("http://graph.test/v1.0/me", false),
        ("https://graph.test/v1.0/../beta/me", false),
        ("https://graph.test/v1.0/%2e%2E/beta/me", false),
        ("https://graph.test/v1.0/me\\..", false),
        ("https://graph.test/v1.0/me x", false),
        ("/v1.0/me", false),
        ("", false),
    ] {
        assert_eq!(delta::is_own_link(BASE, link), own, "{link}");
    }
}

#[test]
fn deleted_moved_and_unreadable_are_told_apart() {
    let elsewhere =
        |id: &str, folder: &str| (200, contact(id, "K", json!({"parentFolderId": folder})));
    let (graph, script) = mailbox(
        false,
        [
            batch(&[
                (200, contact("A", "K", json!({}))),
                elsewhere("B", "F2"),
                elsewhere("C", "deleteditems"),
                (404, error("ErrorItemNotFound")),
            ]),
            batch(&[(403, error("ErrorAccessDenied")), (404, error("strange"))]),
            // Nothing of the second batch could be read, but something of the first.
            json_answer(200, &json!({"value": [{"id": "F3"}]})),
            json_answer(200, &json!({"value": [{"id": "F2"}]})),
            json_answer(200, &json!({"value": []})),
            json_answer(404, &error("ErrorItemNotFound")),
            // A second call remembers the folders.
            batch(&[elsewhere("B", "F2")]),
        ],
    );
    let read = graph.read(&ids(&["A", "B", "C", "D", "E", "F"])).unwrap();
    assert!(matches!(&read[0], MailboxRead::Present(found) if found.id.as_str() == "A"));
    assert!(matches!(&read[1], MailboxRead::Moved(found) if found.id.as_str() == "B"));
    assert_eq!(read[2], MailboxRead::Deleted);
    assert_eq!(read[3], MailboxRead::Deleted);
    assert!(matches!(&read[4], MailboxRead::Unreadable(_)));
    assert!(matches!(&read[5], MailboxRead::Unreadable(_)));
    assert!(matches!(
        graph.read(&ids(&["B"])).unwrap()[..],
        [MailboxRead::Moved(_)]
    ));
    assert_eq!(
        lines(&sent_items(&script, 0))[0],
        format!("GET /me/contacts/A?$select={SELECTED}")
    );
    assert_eq!(
        sent_items(&script, 0)[0]["headers"],
        json!({"Prefer": "IdType=\"ImmutableId\""})
    );
    let folder = |path: &str| format!("GET {BASE}/me/contactFolders{path}?$select=id&$top=100");
    assert_eq!(
        script.lines()[2..6],
        [
            folder(""),
            folder("/F1%3D/childFolders"),
            folder("/F3/childFolders"),
            folder("/F2/childFolders"),
        ]
    );
}

#[test]
fn a_contact_in_a_folder_newer_than_the_list_is_not_taken_for_deleted() {
    let list = |ids: &[&str]| {
        let folders: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        json_answer(200, &json!({ "value": folders }))
    };
    let in_folder =
        |folder: &str| batch(&[(200, contact("A", "K", json!({"parentFolderId": folder})))]);
    let (graph, script) = mailbox(
        false,
        [
            in_folder("trash"),
            list(&[]),
            list(&[]),
            in_folder("new"),
            list(&["new"]),
            list(&[]),
            list(&[]),
            // Both are known now.
            in_folder("trash"),
            in_folder("new"),
        ],
    );
    let wanted = ids(&["A"]);
    assert_eq!(graph.read(&wanted).unwrap(), [MailboxRead::Deleted]);
    assert!(matches!(
        graph.read(&wanted).unwrap()[..],
        [MailboxRead::Moved(_)]
    ));
    assert_eq!(graph.read(&wanted).unwrap(), [MailboxRead::Deleted]);
    assert!(matches!(
        graph.read(&wanted).unwrap()[..],
        [MailboxRead::Moved(_)]
    ));
    script.lines();
}

#[test]
fn not_found_confirms_nothing_while_the_mailbox_cannot_be_read() {
    let gone = || batch(&[(404, error("ErrorItemNotFound"))]);
    let (graph, script) = mailbox(false, [gone(), json_answer(200, &json!({"id": FOLDER}))]);
    assert_eq!(graph.read(&ids(&["A"])).unwrap(), [MailboxRead::Deleted]);
    assert_eq!(
        script.lines()[1],
        format!("GET {BASE}/me/contactFolders/F1%3D?$select=id")
    );
    for (status, code) in [(404, "ErrorFolderNotFound"), (403, "ErrorAccessDenied")] {
        let (graph, _) = mailbox(false, [gone(), json_answer(status, &error(code))]);
        assert!(graph.read(&ids(&["A"])).is_err(), "{status} {code}");
    }
    for code in [
        "MailboxNotEnabledForRESTAPI",
        "errorinvaliduser",
        "Request_ResourceNotFound",
    ] {
        let answer = batch(&[(200, contact("A", "K", json!({}))), (404, error(code))]);
        let (graph, _) = mailbox(false, [answer]);
        let result = graph.read(&ids(&["A", "B"]));
        assert!(
            matches!(result, Err(RemoteError::Unreachable(_))),
            "{code}: {result:?}"
        );
    }
}

#[test]
fn items_of_a_batch_are_repeated_on_their_own() {
    let present = |id: &str| (200, contact(id, "K", json!({})));
    let throttled = |seconds: &str| {
        let headers = json!({"Retry-After": seconds});
        json!({"id": "1", "status": 429, "headers": headers, "body": error("ApplicationThrottled")})
    };
    let with = |second: Value| {
        let first = json!({"id": "0", "status": 200, "body": present("A").1});
        json_answer(200, &json!({"responses": [second, first]}))
    };
    let again = |status: u16| {
        let second = json!({"id": 1, "status": status, "body": present("B").1});
        json_answer(200, &json!({ "responses": [second] }))
    };
    let broken = json!({"id": "1", "status": 503});
    // What the second item is answered, what is slept, whether it is read in the end.
    for (answers, slept, read) in [
        (vec![with(throttled("1")), again(200)], vec![1_000], true),
        (
            vec![with(broken.clone()), again(503), again(200)],
            vec![250, 1_000],
            true,
        ),
        (vec![with(throttled("60"))], vec![], false),
    ] {
        let (graph, script) = mailbox(false, answers);
        let result = graph.read(&ids(&["A", "B"]));
        match result {
            Ok(reads) => assert_eq!(matches!(reads[1], MailboxRead::Present(_)), read),
            Err(RemoteError::Throttled(throttled)) => {
                assert!(!read);
                assert_eq!(throttled.retry_after_ms, 60_000);
            }
            Err(other) => panic!("{other:?}"),
        }
        assert_eq!(script.slept_ms(), slept);
        let count = script.lines().len();
        assert_eq!(sent_items(&script, 0).len(), 2);
        assert!((1..count).all(|index| lines(&sent_items(&script, index)).len() == 1));
    }
}

#[test]
fn a_batch_that_lacks_an_item_or_is_none_loses_only_what_it_may() {
    let draft = |key: &str| MailboxDraft {
        key: SearchKey::new(key),
        view: View::default(),
    };
    let created = json!({"id": "0", "status": 201, "body": contact("A", "K", json!({}))});
    let (graph, _) = mailbox(
        false,
        [json_answer(200, &json!({ "responses": [created] }))],
    );
    let results = graph.create(&[draft("1"), draft("2")]);
    assert!(results[0].is_ok());
    assert!(matches!(&results[1], Err(WriteError::Unknown(_))));
    let (graph, _) = mailbox(false, [text_answer(200, &[], "<html>")]);
    assert!(matches!(
        graph.create(&[draft("1")])[..],
        [Err(WriteError::Unknown(_))]
    ));
    let (graph, _) = mailbox(false, [no_connection()]);
    let results: Vec<_> =
        graph.create(&[draft("1"), draft("2"), draft("3"), draft("4"), draft("5")]);
    assert!(
        results[..4]
            .iter()
            .all(|result| matches!(result, Err(WriteError::Unknown(_))))
    );
    assert!(matches!(
        &results[4],
        Err(WriteError::NotDone(RemoteError::Unreachable(_)))
    ));
    let (graph, _) = mailbox(
        false,
        [json_answer(401, &error("InvalidAuthenticationToken"))],
    );
    let results = graph.create(&[draft("1")]);
    assert!(matches!(
        &results[0],
        Err(WriteError::NotDone(RemoteError::SignInRefused(_)))
    ));
}

#[test]
fn a_new_contact_carries_its_key_and_nothing_empty() {
    let (graph, script) = mailbox(
        false,
        [
            batch(&[
                (201, contact("A", "K", full_members())),
                (201, json!({"id": "B"})),
            ]),
            batch(&[(200, contact("B", "K", json!({"givenName": "Max"})))]),
        ],
    );
    let full = MailboxDraft {
        key: SearchKey::new("key-1"),
        view: full_view(),
    };
    let view = text_view(&[(Field::FirstName, "Max")]);
    let sparse = MailboxDraft {
        key: SearchKey::new("key-2"),
        view: view.clone(),
    };
    let results = graph.create(&[full, sparse]);
    assert_eq!(results[0].as_ref().unwrap().view, full_view());
    assert_eq!(results[1].as_ref().unwrap().view, view);
    let items = sent_items(&script, 0);
    assert_eq!(lines(&items), ["POST /me/contactFolders/F1%3D/contacts"; 2]);
    let mut body = full_members();
    body["singleValueExtendedProperties"] = json!([{"id": record::KEY_PROPERTY, "value": "key-1"}]);
    assert_eq!(items[0]["body"], body);
    assert_eq!(
        items[1]["body"],
        json!({"givenName": "Max",
            "singleValueExtendedProperties": [{"id": record::KEY_PROPERTY, "value": "key-2"}]})
    );
    assert_eq!(
        items[0]["headers"],
        json!({"Prefer": "IdType=\"ImmutableId\"", "Content-Type": "application/json"})
    );
}

#[test]
fn a_create_is_refused_unknown_or_not_done() {
    let draft = MailboxDraft {
        key: SearchKey::new("k"),
        view: full_view(),
    };
    let outcome = |status, body| {
        let (graph, script) = mailbox(false, [batch(&[(status, body)])]);
        let result = graph.create(std::slice::from_ref(&draft)).pop().unwrap();
        assert_eq!(script.lines().len(), 1, "a create is never repeated");
        match result.unwrap_err() {
            WriteError::Refused(problem) => format!("refused: {}", problem.message),
            WriteError::Unknown(_) => "unknown".into(),
            WriteError::NotDone(_) => "not done".into(),
            WriteError::Stale => "stale".into(),
            WriteError::NotFound => "not found".into(),
        }
    };
    let too_many = json!({"error": {"code": "ErrorInvalidRequest", "message": "The multi value \
        property BusinessPhones has 3 entries, that exceeds the max allowed value of 2. Erika"}});
    assert_eq!(
        outcome(400, too_many),
        "refused: Microsoft Graph refused with status 400 (ErrorInvalidRequest) when the sync \
         wanted to create a contact: The multi value property BusinessPhones has 3 entries, that \
         exceeds the max allowed value of 2. …"
    );
    assert_eq!(outcome(500, error("InternalServerError")), "unknown");
    assert_eq!(outcome(504, Value::Null), "unknown");
    assert_eq!(
        outcome(404, error("MailboxNotEnabledForRESTAPI")),
        "not done"
    );
    assert!(outcome(507, error("ErrorQuotaExceeded")).starts_with("refused"));
    assert_eq!(outcome(201, json!({})), "unknown");
}

#[test]
fn contacts_are_found_by_their_key_in_all_live_folders() {
    let key = SearchKey::new("it's");
    let carrying = |id: &str, value: &str| {
        contact(
            id,
            "K",
            json!({"singleValueExtendedProperties":
            [{"id": record::KEY_PROPERTY, "value": value}]}),
        )
    };
    let list = |contacts: Vec<Value>| (200, json!({ "value": contacts }));
    let (graph, script) = mailbox(
        false,
        [
            // A server that ignores the filter answers with strangers.
            batch(&[
                list(vec![carrying("A", "it's"), carrying("X", "other")]),
                list(vec![contact("Y", "K", json!({}))]),
            ]),
            json_answer(200, &json!({"value": [{"id": "F2"}]})),
            json_answer(200, &json!({"value": []})),
            json_answer(200, &json!({"value": []})),
            batch(&[list(vec![carrying("B", "key-2")])]),
        ],
    );
    let found = graph
        .find(&[FindBy::Key(key), FindBy::Key(SearchKey::new("key-2"))])
        .unwrap();
    let names: Vec<Vec<&str>> = found
        .iter()
        .map(|hits| {
            hits.as_ref()
                .unwrap()
                .iter()
                .map(MailboxId::as_str)
                .collect()
        })
        .collect();
    assert_eq!(names, [["A"], ["B"]]);
    let property = "String%20%7B6d2f5b34-0c1e-4a76-9b0d-3e58c7a1f942%7D%20Name%20ContactSyncKey";
    let query = |value: &str| {
        format!(
            "?$filter=singleValueExtendedProperties%2FAny%28ep%3A%20ep%2Fid%20eq%20%27{property}\
             %27%20and%20ep%2Fvalue%20eq%20%27{value}%27%29&$expand=singleValueExtendedProperties\
             %28%24filter%3Did%20eq%20%27{property}%27%29&$select={SELECTED}&$top=50"
        )
    };
    assert_eq!(
        lines(&sent_items(&script, 0)),
        [
            format!("GET /me/contacts{}", query("it%27%27s")),
            format!("GET /me/contacts{}", query("key-2")),
        ]
    );
    assert_eq!(
        lines(&sent_items(&script, 4)),
        [format!(
            "GET /me/contactFolders/F2/contacts{}",
            query("key-2")
        )]
    );
}

#[test]
fn a_key_is_sought_in_folders_that_no_read_had_to_ask_for() {
    let list = |body: Value| json_answer(200, &json!({ "value": body }));
    let carrying = json!({"singleValueExtendedProperties":
        [{"id": record::KEY_PROPERTY, "value": "k"}]});
    let (graph, script) = mailbox(
        false,
        [
            batch(&[(200, contact("A", "K", json!({})))]),
            batch(&[(200, json!({"value": []}))]),
            list(json!([{"id": "F2"}])),
            list(json!([])),
            list(json!([])),
            batch(&[(200, json!({"value": [contact("B", "K", carrying)]}))]),
        ],
    );
    graph.read(&ids(&["A"])).unwrap();
    let found = graph.find(&[FindBy::Key(SearchKey::new("k"))]).unwrap();
    assert_eq!(found[0].as_ref().unwrap()[0].as_str(), "B");
    script.lines();
}

/// A contact that cannot be read as one carries its key all the same; and a key that cannot be
/// sought stops none of the others.
#[test]
fn a_key_that_cannot_be_sought_is_its_own_trouble() {
    let carrying = |id: &str, value: &str| {
        json!({"id": id, "givenName": 7, "singleValueExtendedProperties":
            [{"id": record::KEY_PROPERTY, "value": value}]})
    };
    let broken = || (500, json!({"error": {"code": "ErrorInternalServerError"}}));
    let found = || (200, json!({"value": [carrying("A", "k1")]}));
    let second = |(status, body): (u16, Value)| {
        let response = json!({"id": "1", "status": status, "body": body});
        json_answer(200, &json!({ "responses": [response] }))
    };
    let (graph, script) = mailbox(
        false,
        [
            batch(&[found(), broken()]),
            second(broken()),
            second(broken()),
            second(broken()),
        ],
    );
    let keys = ["k1", "k2"].map(|key| FindBy::Key(SearchKey::new(key)));
    let hits = graph.find(&keys).unwrap();
    assert_eq!(hits[0], Ok(vec![MailboxId::new("A")]));
    assert!(hits[1].is_err(), "{hits:?}");
    script.lines();
}

/// What an update of [`full_view`] says, besides the names that go along with each.
fn check_patch(change: impl FnOnce(&mut View), expected: &Value) {
    let mut after = full_view();
    change(&mut after);
    let mut patch = record::patch(&full_view(), &after).unwrap_or_else(|| json!({}));
    for name in ["displayName", "fileAs"] {
        let same = patch.get(name) == Some(&json!("Mustermann, Erika"));
        assert!(
            patch.get(name).is_some() || patch == json!({}),
            "{name} goes along: {patch}"
        );
        if same {
            patch.as_object_mut().unwrap().shift_remove(name);
        }
    }
    assert_eq!(patch, *expected);
}

#[test]
fn an_update_says_only_what_differs() {
    check_patch(|_| (), &json!({}));
    let remove_position = |view: &mut View| drop(view.texts.remove(&Field::Position));
    check_patch(remove_position, &json!({"jobTitle": null}));
    let remove_first = |view: &mut View| drop(view.phones.remove(&Slot::BusinessPhone1));
    check_patch(remove_first, &json!({"businessPhones": ["+49 221 2"]}));
    let keep_business = |view: &mut View| {
        let business = [Slot::BusinessPhone1, Slot::BusinessPhone2];
        view.phones.retain(|slot, _| business.contains(slot));
    };
    check_patch(
        keep_business,
        &json!({"homePhones": [], "mobilePhone": null}),
    );
    check_patch(|view| view.birthday = None, &json!({"birthday": null}));
    let rename = |view: &mut View| {
        view.texts.insert(Field::LastName, "Muster".into());
        view.display_name = Some("Muster, Erika".into());
        view.file_as = None;
    };
    check_patch(
        rename,
        &json!({"surname": "Muster", "displayName": "Muster, Erika", "fileAs": null}),
    );
}

#[test]
fn an_update_sends_emails_whole_and_ignores_their_names() {
    check_patch(|view| view.emails.clear(), &json!({"emailAddresses": []}));
    let second = |address: &str, name: &str| {
        let email = MailboxEmail {
            address: address.into(),
            name: name.into(),
        };
        move |view: &mut View| drop(view.emails.insert(Slot::Email2, email))
    };
    check_patch(
        second("c@x.example", ""),
        &json!({"emailAddresses": [{"address": "a@x.example", "name": "E"},
            {"address": "c@x.example"}]}),
    );
    check_patch(second("b@x.example", "F"), &json!({}));
}

#[test]
fn an_update_names_the_empty_parts_of_an_address() {
    let empty = json!({"street": null, "city": null, "state": null, "postalCode": null,
        "countryOrRegion": null});
    check_patch(
        |view| view.addresses.clear(),
        &json!({ "businessAddress": empty }),
    );
    let without_country = |view: &mut View| {
        view.addresses
            .get_mut(&Slot::BusinessAddress)
            .unwrap()
            .country
            .clear();
    };
    let parts = json!({"street": "Weg 1\nHinterhaus", "city": "Köln", "state": null,
        "postalCode": "50667", "countryOrRegion": null});
    check_patch(without_country, &json!({ "businessAddress": parts }));
}

#[test]
fn an_update_is_based_on_the_version_that_was_read() {
    let before = text_view(&[(Field::FirstName, "A")]);
    let after = text_view(&[(Field::FirstName, "B")]);
    let version = |id: &str, key: &str| {
        (
            200,
            json!({"id": id, "changeKey": key, "parentFolderId": FOLDER}),
        )
    };
    let (graph, script) = mailbox(
        false,
        [
            batch(&[
                version("A", "K1"),
                version("B", "other"),
                (404, error("ErrorItemNotFound")),
                (
                    200,
                    json!({"id": "D", "changeKey": "K1", "parentFolderId": "trash"}),
                ),
            ]),
            batch(&[(200, contact("A", "K2", json!({"givenName": "B"})))]),
        ],
    );
    let edits: Vec<MailboxEdit> = ["A", "B", "C", "D"]
        .map(|id| edit(id, "K1", before.clone(), after.clone()))
        .into();
    let results = graph.update(&edits);
    let written = results[0].as_ref().unwrap();
    assert_eq!((&written.view, written.change_key.as_str()), (&after, "K2"));
    assert_eq!(results[1], Err(WriteError::Stale));
    assert_eq!(results[2], Err(WriteError::NotFound));
    assert_eq!(results[3], Err(WriteError::Stale));
    let items = sent_items(&script, 1);
    assert_eq!(lines(&items), ["PATCH /me/contacts/A"]);
    assert_eq!(items[0]["body"], json!({"givenName": "B"}));
    assert_eq!(items[0]["headers"]["If-Match"], "W/\"K1\"");
    assert_eq!(
        lines(&sent_items(&script, 0))[0],
        "GET /me/contacts/A?$select=id,changeKey,parentFolderId"
    );
}

#[test]
fn where_if_match_is_trusted_nothing_is_read_before() {
    let before = text_view(&[(Field::FirstName, "A")]);
    let after = text_view(&[(Field::FirstName, "B")]);
    let edits: Vec<MailboxEdit> = ["A", "B", "C"]
        .map(|id| edit(id, "K1", before.clone(), after.clone()))
        .into();
    let (graph, script) = mailbox(
        true,
        [batch(&[
            (200, contact("A", "K2", json!({"givenName": "B"}))),
            (412, error("ErrorIrresolvableConflict")),
            (409, error("ErrorIrresolvableConflict")),
        ])],
    );
    let results = graph.update(&edits);
    assert!(results[0].is_ok());
    assert_eq!(
        results[1..],
        [Err(WriteError::Stale), Err(WriteError::Stale)]
    );
    assert_eq!(script.lines().len(), 1);
}

#[test]
fn what_an_answer_does_not_show_is_read_back() {
    let mut cleared = full_view();
    cleared.addresses.clear();
    let same = edit("B", "K1", full_view(), full_view());
    let edits = [
        edit("A", "K1", full_view(), cleared.clone()),
        same,
        edit("C", "K1", full_view(), View::default()),
    ];
    let (graph, script) = mailbox(
        true,
        [
            // The first answer claims that the address is gone; the second shows nothing.
            batch(&[(200, contact("A", "K2", json!({}))), (204, Value::Null)]),
            batch(&[
                (200, contact("A", "K2", full_members())),
                (200, contact("B", "K1", full_members())),
                (500, error("InternalServerError")),
            ]),
            batch(&[(500, Value::Null)]),
            batch(&[(500, Value::Null)]),
            batch(&[(500, Value::Null)]),
        ],
    );
    let results = graph.update(&edits);
    assert_eq!(results[0].as_ref().unwrap().view, full_view());
    assert_eq!(results[1].as_ref().unwrap().view, full_view());
    assert!(matches!(&results[2], Err(WriteError::Unknown(_))));
    assert_eq!(
        lines(&sent_items(&script, 0)),
        ["PATCH /me/contacts/A", "PATCH /me/contacts/C"]
    );
    assert_eq!(sent_items(&script, 1).len(), 3);
}

#[test]
fn nothing_is_written_while_the_service_asks_for_a_pause() {
    let before = text_view(&[(Field::FirstName, "A")]);
    let edits: Vec<MailboxEdit> = (0..9)
        .map(|number| edit(&number.to_string(), "K", before.clone(), View::default()))
        .collect();
    let (graph, script) = mailbox(false, [text_answer(429, &[("retry-after", "120")], "")]);
    let results = graph.update(&edits);
    assert_eq!(results.len(), 9);
    assert!(results.iter().all(|result| matches!(result,
        Err(WriteError::NotDone(RemoteError::Throttled(t))) if t.retry_after_ms == 120_000)));
    assert_eq!(script.lines().len(), 1);
}

#[test]
fn a_deletion_goes_to_deleted_items_and_never_past_it() {
    let version = |id: &str, folder: &str| {
        (
            200,
            json!({"id": id, "changeKey": "K1", "parentFolderId": folder}),
        )
    };
    let (graph, script) = mailbox(
        true,
        [
            batch(&[
                version("A", FOLDER),
                version("B", "deleteditems"),
                version("C", FOLDER),
            ]),
            batch(&[
                (204, Value::Null),
                (412, error("ErrorIrresolvableConflict")),
            ]),
        ],
    );
    let contacts: Vec<(MailboxId, ChangeKey)> = ["A", "B", "C"]
        .map(|id| (MailboxId::new(id), ChangeKey::new("K1")))
        .into();
    let results = graph.delete(&contacts);
    assert_eq!(
        results,
        [Ok(()), Err(WriteError::Stale), Err(WriteError::Stale)]
    );
    let items = sent_items(&script, 1);
    assert_eq!(
        lines(&items),
        ["DELETE /me/contacts/A", "DELETE /me/contacts/C"]
    );
    assert_eq!(items[0]["headers"]["If-Match"], "W/\"K1\"");
    assert!(items[0].get("body").is_none());
}

#[test]
fn a_deletion_whose_answer_was_lost_is_not_a_missing_contact() {
    let (graph, _) = mailbox(
        true,
        [
            batch(&[(
                200,
                json!({"id": "A", "changeKey": "K1", "parentFolderId": FOLDER}),
            )]),
            batch(&[(503, Value::Null)]),
            batch(&[(404, error("ErrorItemNotFound"))]),
        ],
    );
    assert_eq!(
        graph.delete(&[(MailboxId::new("A"), ChangeKey::new("K1"))]),
        [Ok(())]
    );
}

#[test]
fn notes_are_never_asked_for() {
    assert_eq!(record::SELECT, SELECTED);
    assert!(!record::SELECT.contains("Notes"));
}
