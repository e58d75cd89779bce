//! Exchange Web Services: what is strict, what is answered, and one mailbox in two dialects.
//!
//! Requests are written by hand, as clients are known to send them, so that a mistake of the client
//! under test cannot hide one of the simulator's.

use contact_sync_guest::job::Endpoint;
use contact_sync_guest::outside::{Method, Outside as _, Request, Response, SendError};
use contact_sync_tests::simulator::ews::quirks::{
    BirthdayForm, Busy, BusyForm, PrefixStyle, SearchKey,
};
use contact_sync_tests::simulator::{EwsQuirks, Fault, FaultRates, Matcher, RequestKind, World};
use serde_json::{Value, json};

use crate::client::{ANNA, Client, USER};

const URL: &str = "https://simulator.test/EWS/Exchange.asmx";
const KEY: &str = "<t:ExtendedFieldURI PropertySetId=\"00020329-0000-0000-C000-000000000046\" \
                   PropertyName=\"crm\" PropertyType=\"String\"/>";

/// A client whose mailbox is on an Exchange Server.
fn on_premises(change: impl FnOnce(&mut EwsQuirks)) -> Client {
    let mut client = Client::new();
    client.simulator.put_on_exchange_server(ANNA);
    change(&mut client.simulator.ews.quirks);
    client
}

fn post(client: &mut Client, url: &str, body: Vec<u8>) -> Response {
    let request = Request {
        method: Method::Post,
        url: url.to_owned(),
        headers: client.headers.clone(),
        body: Some(body),
        timeout_ms: 30_000,
    };
    client.simulator.handle(&request, client.now)
}

fn envelope(header: &str, operation: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><s:Envelope \
         xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:m=\"http://schemas.microsoft.com/exchange/services/2006/messages\" \
         xmlns:t=\"http://schemas.microsoft.com/exchange/services/2006/types\">\
         <s:Header>{header}</s:Header><s:Body>{operation}</s:Body></s:Envelope>"
    )
}

const VERSION: &str = "<t:RequestServerVersion Version=\"Exchange2013_SP1\"/>";

/// Status and body.
fn ask(client: &mut Client, operation: &str) -> (u16, String) {
    let response = post(client, URL, envelope(VERSION, operation).into_bytes());
    let text = String::from_utf8(response.body).expect("UTF-8");
    (response.status, text)
}

/// The body of an answer that carries something out.
fn ok(client: &mut Client, operation: &str) -> String {
    let (status, text) = ask(client, operation);
    assert_eq!(status, 200, "{text}");
    text
}

/// What stands between the first `start` and the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start} in {text}"));
    rest.split_once(end).map_or(rest, |(found, _)| found)
}

/// All that stands between `start` and `end`.
fn all_between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    let parts = text.split(start).skip(1);
    parts
        .filter_map(|part| part.split_once(end).map(|(found, _)| found))
        .collect()
}

fn codes(text: &str) -> Vec<&str> {
    let found = all_between(text, "ResponseCode>", "</");
    let is_code = |text: &&str| !text.is_empty() && !text.contains('<');
    found.into_iter().filter(is_code).collect()
}

fn ids(text: &str) -> Vec<&str> {
    all_between(text, "<t:ItemId Id=\"", "\"")
}

fn change_key(text: &str) -> String {
    between(text, "ChangeKey=\"", "\"").to_owned()
}

fn get(client: &mut Client, ids: &[&str], properties: &str) -> String {
    let ids: Vec<String> = ids
        .iter()
        .map(|id| format!("<t:ItemId Id=\"{id}\"/>"))
        .collect();
    let shape = if properties.is_empty() {
        String::new()
    } else {
        format!("<t:AdditionalProperties>{properties}</t:AdditionalProperties>")
    };
    let operation = format!(
        "<m:GetItem><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>{shape}</m:ItemShape>\
         <m:ItemIds>{}</m:ItemIds></m:GetItem>",
        ids.concat()
    );
    ok(client, &operation)
}

fn create(client: &mut Client, contact: &str) -> String {
    let operation = format!(
        "<m:CreateItem MessageDisposition=\"SaveOnly\"><m:SavedItemFolderId>\
         <t:DistinguishedFolderId Id=\"contacts\"/></m:SavedItemFolderId><m:Items><t:Contact>\
         {contact}</t:Contact></m:Items></m:CreateItem>"
    );
    ok(client, &operation)
}

fn update(client: &mut Client, id: &str, key: &str, updates: &str) -> String {
    let operation = format!(
        "<m:UpdateItem ConflictResolution=\"NeverOverwrite\" MessageDisposition=\"SaveOnly\">\
         <m:ItemChanges><t:ItemChange><t:ItemId Id=\"{id}\" ChangeKey=\"{key}\"/><t:Updates>\
         {updates}</t:Updates></t:ItemChange></m:ItemChanges></m:UpdateItem>"
    );
    ok(client, &operation)
}

fn sync(client: &mut Client, state: &str, changes_max: usize) -> String {
    let state = if state.is_empty() {
        String::new()
    } else {
        format!("<m:SyncState>{state}</m:SyncState>")
    };
    let operation = format!(
        "<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>\
         <m:SyncFolderId><t:DistinguishedFolderId Id=\"contacts\"/></m:SyncFolderId>{state}\
         <m:MaxChangesReturned>{changes_max}</m:MaxChangesReturned></m:SyncFolderItems>"
    );
    ok(client, &operation)
}

fn state(text: &str) -> String {
    between(text, "<m:SyncState>", "<").to_owned()
}

/// The id that a contact of Anna's has in its place.
fn placed(client: &Client, handle: &str) -> String {
    let placed = client.simulator.graph.placed_id(ANNA, handle);
    placed.expect("a contact")
}

fn held(client: &Client, handle: &str) -> Value {
    Value::Object(
        client
            .simulator
            .graph
            .contact(ANNA, handle)
            .expect("a contact"),
    )
}

fn phone_uri(key: &str) -> String {
    format!("<t:IndexedFieldURI FieldURI=\"contacts:PhoneNumber\" FieldIndex=\"{key}\"/>")
}

#[test]
fn a_contact_created_in_one_dialect_shows_in_the_other() {
    let mut client = on_premises(|_| {});
    let answer = create(
        &mut client,
        &format!(
            "<t:Body BodyType=\"Text\">notes</t:Body><t:ExtendedProperty>{KEY}<t:Value>42\
             </t:Value></t:ExtendedProperty><t:FileAs>Muster, Änne</t:FileAs>\
             <t:GivenName>Änne</t:GivenName><t:EmailAddresses><t:Entry Key=\"EmailAddress2\">\
             a@x.test</t:Entry></t:EmailAddresses><t:PhysicalAddresses><t:Entry Key=\"Business\">\
             <t:Street>Ring 1</t:Street><t:City>Köln</t:City></t:Entry></t:PhysicalAddresses>\
             <t:PhoneNumbers><t:Entry Key=\"BusinessPhone2\">+49 221 2</t:Entry>\
             <t:Entry Key=\"OtherTelephone\">+49 221 3</t:Entry></t:PhoneNumbers>\
             <t:Birthday>1950-02-03T11:59:00Z</t:Birthday><t:Surname>Muster</t:Surname>"
        ),
    );
    assert_eq!(codes(&answer), ["NoError"]);
    let shown = client.send(&format!("GET {USER}/contacts?$expand=singleValueExtendedProperties(\
                                      $filter=id eq 'String {{00020329-0000-0000-C000-000000000046}} Name crm')"));
    assert_eq!(shown.at("/value/0/displayName"), "Änne Muster");
    assert_eq!(shown.at("/value/0/birthday"), "1950-02-03T11:59:00Z");
    assert_eq!(shown.at("/value/0/businessPhones"), "[\"+49 221 2\"]");
    assert_eq!(shown.at("/value/0/emailAddresses/0/address"), "a@x.test");
    assert_eq!(shown.at("/value/0/businessAddress/city"), "Köln");
    assert_eq!(shown.at("/value/0/personalNotes"), "notes");
    assert_eq!(
        shown.at("/value/0/singleValueExtendedProperties/0/value"),
        "42"
    );
    assert!(!shown.text.contains("+49 221 3"), "{}", shown.text);
    let handle = client.outlook(&json!({"givenName": "Bernd", "otherTelephone": "1",
                                        "businessPhones": [null, "2"]}));
    assert_eq!(held(&client, &handle)["businessPhones"], json!([null, "2"]));
    let id = placed(&client, &handle);
    let wanted = ["BusinessPhone", "BusinessPhone2", "OtherTelephone"]
        .map(phone_uri)
        .concat();
    let text = get(&mut client, &[&id], &wanted);
    let entries = all_between(&text, "<t:Entry Key=\"", "</");
    assert_eq!(entries, ["BusinessPhone2\">2", "OtherTelephone\">1"]);
}

#[test]
fn only_what_is_asked_for_is_answered() {
    let mut client = on_premises(|_| {});
    let handle = client.outlook(&json!({"givenName": "Änne", "personalNotes": "secret",
                                        "title": "Dr.", "businessPhones": ["1"]}));
    let id = placed(&client, &handle);
    let text = get(&mut client, &[&id], "");
    assert_eq!(
        between(&text, "<m:Items>", "</m:Items>"),
        format!(
            "<t:Contact><t:ItemId Id=\"{id}\" ChangeKey=\"{}\"/></t:Contact>",
            change_key(&text)
        )
    );
    let tag = "<t:ExtendedFieldURI PropertyTag=\"0x3A45\" PropertyType=\"String\"/>";
    let text = get(
        &mut client,
        &[&id],
        &format!("<t:FieldURI FieldURI=\"contacts:GivenName\"/>{tag}"),
    );
    assert!(text.contains("<t:GivenName>Änne</t:GivenName>"), "{text}");
    assert!(text.contains("<t:Value>Dr.</t:Value>"), "{text}");
    assert!(
        !text.contains("secret") && !text.contains("Entry"),
        "{text}"
    );
    let text = get(&mut client, &[&id], "<t:FieldURI FieldURI=\"item:Body\"/>");
    assert!(
        text.contains("<t:Body BodyType=\"Text\">secret</t:Body>"),
        "{text}"
    );
}

#[test]
fn whole_dictionaries_are_a_switch() {
    for (answered, expected) in [(false, false), (true, true)] {
        let mut client = on_premises(|quirks| quirks.whole_properties = answered);
        let handle = client.outlook(&json!({"businessPhones": ["4711"]}));
        let id = placed(&client, &handle);
        let text = get(
            &mut client,
            &[&id],
            "<t:FieldURI FieldURI=\"contacts:PhoneNumbers\"/>",
        );
        assert_eq!(text.contains("4711"), expected, "{text}");
    }
}

#[test]
fn a_batch_answers_each_id_in_its_place() {
    let mut client = on_premises(|_| {});
    let handles = client.outlook_many(2);
    let first = placed(&client, &handles[0]);
    let second = placed(&client, &handles[1]);
    client
        .simulator
        .graph
        .move_to(ANNA, &handles[0], "Archiv", client.now);
    client.simulator.take_counters();
    let text = get(&mut client, &[&first, "nonsense", &handles[1], &second], "");
    assert_eq!(
        codes(&text),
        [
            "ErrorItemNotFound",
            "ErrorInvalidIdMalformed",
            "ErrorInvalidIdMalformed",
            "NoError"
        ]
    );
    let counters = client.simulator.take_counters();
    assert_eq!(counters.of(RequestKind::EwsRead), 4);
    assert_eq!(counters.of(RequestKind::EwsBatch), 1);
    assert_eq!(counters.requests, 1);
}

#[test]
fn ids_differ_in_case_alone_and_are_told_apart() {
    let mut client = on_premises(|_| {});
    let handles = client.outlook_many(4);
    let third = placed(&client, &handles[2]);
    let fourth = placed(&client, &handles[3]);
    assert_ne!(third, fourth);
    assert_eq!(third.to_lowercase(), fourth.to_lowercase());
    let text = get(
        &mut client,
        &[&fourth],
        "<t:FieldURI FieldURI=\"contacts:GivenName\"/>",
    );
    assert!(text.contains("N3"), "{text}");
}

#[test]
fn order_and_names_of_elements_count_and_fail_the_whole_batch() {
    let rows = [
        (
            "<t:Surname>B</t:Surname><t:GivenName>A</t:GivenName>",
            "GivenName",
        ),
        (
            "<t:GivenName>A</t:GivenName><t:GivenName>A</t:GivenName>",
            "GivenName",
        ),
        (
            "<t:GivenName>A</t:GivenName><t:Subject>A</t:Subject>",
            "Subject",
        ),
        ("<t:ShoeSize>44</t:ShoeSize>", "ShoeSize"),
        ("<m:GivenName>A</m:GivenName>", "GivenName"),
        (
            "<t:PhoneNumbers><t:Entry Key=\"Handy\">1</t:Entry></t:PhoneNumbers>",
            "Handy",
        ),
        (
            "<t:PhoneNumbers><t:Entry key=\"Pager\">1</t:Entry></t:PhoneNumbers>",
            "key",
        ),
        ("<t:PhoneNumbers/>", "Entry"),
        (
            "<t:EmailAddresses><t:Entry Key=\"EmailAddress4\">a@x</t:Entry></t:EmailAddresses>",
            "4",
        ),
        (
            "<t:PhysicalAddresses><t:Entry Key=\"Home\"><t:City>A</t:City><t:Street>B</t:Street>\
             </t:Entry></t:PhysicalAddresses>",
            "Street",
        ),
        ("<t:Birthday>1980-02-03</t:Birthday>", "Birthday"),
        ("<t:GivenName>&#xB;</t:GivenName>", "invalid character"),
        ("<t:GivenName>&undeclared;</t:GivenName>", "undeclared"),
    ];
    for (contact, complaint) in rows {
        let mut client = on_premises(|_| {});
        let operation = format!(
            "<m:CreateItem MessageDisposition=\"SaveOnly\"><m:Items><t:Contact><t:GivenName>Good\
             </t:GivenName></t:Contact><t:Contact>{contact}</t:Contact></m:Items></m:CreateItem>"
        );
        let (status, text) = ask(&mut client, &operation);
        assert_eq!(status, 500, "{contact}");
        assert_eq!(codes(&text), ["ErrorSchemaValidation"], "{contact}");
        assert!(text.contains("<t:Violation>"), "{text}");
        assert!(
            text.contains("ServerVersionInfo MajorVersion=\"15\""),
            "{text}"
        );
        assert!(
            between(&text, "Violation>", "</").contains(complaint),
            "{contact}: {text}"
        );
        assert_eq!(client.simulator.graph.contact_count(ANNA), 0, "{contact}");
    }
}

#[test]
fn requests_are_read_as_strictly_as_contacts() {
    let rows = [
        (
            "<m:GetItem><m:ItemIds><t:ItemId Id=\"a\"/></m:ItemIds></m:GetItem>",
            "ItemShape",
        ),
        (
            "<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>\
             <m:SyncFolderId><t:DistinguishedFolderId Id=\"contacts\"/></m:SyncFolderId>\
             <m:MaxChangesReturned>513</m:MaxChangesReturned></m:SyncFolderItems>",
            "513",
        ),
        (
            "<m:DeleteItem><m:ItemIds><t:ItemId Id=\"a\"/></m:ItemIds></m:DeleteItem>",
            "DeleteType",
        ),
    ];
    for (operation, complaint) in rows {
        let (status, text) = ask(&mut on_premises(|_| {}), operation);
        assert_eq!(
            (status, codes(&text)),
            (500, vec!["ErrorSchemaValidation"]),
            "{operation}"
        );
        assert!(text.contains(complaint), "{text}");
    }
    let (status, text) = ask(&mut on_premises(|_| {}), "<m:FindPeople/>");
    assert_eq!((status, codes(&text)), (500, vec!["ErrorInvalidRequest"]));
}

#[test]
fn versions_and_paths_that_clients_open_with_are_accepted() {
    let operation = "<m:GetFolder><m:FolderShape><t:BaseShape>Default</t:BaseShape></m:FolderShape>\
                     <m:FolderIds><t:DistinguishedFolderId Id=\"contacts\"><t:Mailbox>\
                     <t:EmailAddress>anna@makler.example</t:EmailAddress></t:Mailbox>\
                     </t:DistinguishedFolderId><t:DistinguishedFolderId Id=\"inbox\"/>\
                     </m:FolderIds></m:GetFolder>";
    let rows = [
        ("", 200),
        ("<t:RequestServerVersion Version=\"Exchange2007\"/>", 200),
        (
            "<t:RequestServerVersion Version=\"Exchange2016\"/>\
          <t:TimeZoneContext><t:TimeZoneDefinition Id=\"UTC\"/></t:TimeZoneContext>",
            200,
        ),
        ("<t:RequestServerVersion Version=\"V2017_07_11\"/>", 500),
    ];
    for (header, status) in rows {
        let mut client = on_premises(|_| {});
        for url in [URL, "https://simulator.test/ews/exchange.asmx"] {
            let response = post(&mut client, url, envelope(header, operation).into_bytes());
            let text = String::from_utf8_lossy(&response.body);
            assert_eq!(response.status, status, "{header}: {text}");
            assert!(text.contains("<t:ServerVersionInfo"), "{text}");
            if status == 200 {
                assert_eq!(codes(&text), ["NoError", "ErrorFolderNotFound"]);
                let folder = client.simulator.graph.identity(ANNA).expect("Anna").1;
                assert!(
                    text.contains(&format!("<t:FolderId Id=\"{folder}\"")),
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn impersonation_names_the_mailbox() {
    let mut client = on_premises(|_| {});
    client
        .simulator
        .add_mailbox("bernd@makler.example", "Bernd");
    let operation = "<m:GetFolder><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape></m:FolderShape>\
                     <m:FolderIds><t:DistinguishedFolderId Id=\"contacts\"/></m:FolderIds>\
                     </m:GetFolder>";
    let header = |address: &str| {
        format!(
            "<t:ExchangeImpersonation><t:ConnectingSID><t:PrimarySmtpAddress>{address}\
                 </t:PrimarySmtpAddress></t:ConnectingSID></t:ExchangeImpersonation>"
        )
    };
    let send = |client: &mut Client, address: &str| {
        let response = post(
            client,
            URL,
            envelope(&header(address), operation).into_bytes(),
        );
        String::from_utf8(response.body).expect("UTF-8")
    };
    let text = send(&mut client, "Bernd@makler.example");
    let folder = client
        .simulator
        .graph
        .identity("bernd@makler.example")
        .expect("Bernd")
        .1;
    assert!(text.contains(&folder), "{text}");
    let text = send(&mut client, "nobody@makler.example");
    assert_eq!(codes(&text), ["ErrorNonExistentMailbox"]);
    client.simulator.ews.quirks.impersonation_denied = true;
    let text = send(&mut client, ANNA);
    assert_eq!(codes(&text), ["ErrorImpersonateUserDenied"]);
}

#[test]
fn an_update_changes_one_property_at_a_time() {
    let mut client = on_premises(|_| {});
    let handle = client.outlook(&json!({"givenName": "Änne", "businessPhones": ["1", "2"],
                                        "pager": "9", "businessAddress": {"city": "Köln"}}));
    let id = placed(&client, &handle);
    let key = change_key(&get(&mut client, &[&id], ""));
    let set = |uri: &str, contact: &str| {
        format!("<t:SetItemField>{uri}<t:Contact>{contact}</t:Contact></t:SetItemField>")
    };
    let entry = |key: &str, text: &str| {
        format!("<t:PhoneNumbers><t:Entry Key=\"{key}\">{text}</t:Entry></t:PhoneNumbers>")
    };
    let refused = [
        (
            set(&phone_uri("Pager"), &entry("Pager", "")),
            "ErrorIncorrectUpdatePropertyCount",
        ),
        (
            set(&phone_uri("Pager"), ""),
            "ErrorIncorrectUpdatePropertyCount",
        ),
        (
            set(
                &phone_uri("Pager"),
                &format!("<t:GivenName>A</t:GivenName>{}", entry("Pager", "1")),
            ),
            "ErrorIncorrectUpdatePropertyCount",
        ),
        (
            set(&phone_uri("Pager"), &entry("Telex", "1")),
            "ErrorUpdatePropertyMismatch",
        ),
        (
            set(
                "<t:FieldURI FieldURI=\"contacts:CompleteName\"/>",
                "<t:CompleteName><t:Title>Dr.</t:Title></t:CompleteName>",
            ),
            "ErrorInvalidPropertySet",
        ),
        (
            set(
                "<t:FieldURI FieldURI=\"contacts:Notes\"/>",
                "<t:Notes>n</t:Notes>",
            ),
            "ErrorInvalidPropertySet",
        ),
    ];
    for (updates, code) in refused {
        assert_eq!(
            codes(&update(&mut client, &id, &key, &updates)),
            [code],
            "{updates}"
        );
    }
    let updates = [
        format!(
            "<t:DeleteItemField>{}</t:DeleteItemField>",
            phone_uri("BusinessPhone")
        ),
        format!(
            "<t:DeleteItemField>{}</t:DeleteItemField>",
            phone_uri("Telex")
        ),
        set(&phone_uri("OtherTelephone"), &entry("OtherTelephone", "3")),
        set(
            "<t:IndexedFieldURI FieldURI=\"contacts:PhysicalAddress:Street\" FieldIndex=\"Business\"/>",
            "<t:PhysicalAddresses><t:Entry Key=\"Business\"><t:Street>Ring 1</t:Street></t:Entry>\
             </t:PhysicalAddresses>",
        ),
    ];
    client.simulator.take_counters();
    let text = update(&mut client, &id, &key, &updates.concat());
    assert_eq!(codes(&text), ["NoError"], "{text}");
    assert_ne!(change_key(&text), key);
    assert_eq!(client.simulator.counters().of(RequestKind::EwsUpdate), 1);
    assert_eq!(client.simulator.counters().writes(), 1);
    let held = held(&client, &handle);
    assert_eq!(held["businessPhones"], json!([null, "2"]));
    assert_eq!(held["otherTelephone"], "3");
    assert_eq!(held["pager"], "9");
    assert_eq!(
        held["businessAddress"],
        json!({"city": "Köln", "street": "Ring 1"})
    );
    let shown = client.send(&format!("GET {USER}/contacts/{handle}"));
    assert_eq!(shown.at("/businessPhones"), "[\"2\"]");
}

#[test]
fn a_stale_change_key_is_refused_where_nothing_may_be_overwritten() {
    let mut client = on_premises(|_| {});
    let handle = client.outlook(&json!({"givenName": "Änne"}));
    let id = placed(&client, &handle);
    let key = change_key(&get(&mut client, &[&id], ""));
    client.simulator.graph.touch(ANNA, &handle, client.now);
    let updates = "<t:SetItemField><t:FieldURI FieldURI=\"contacts:JobTitle\"/><t:Contact>\
                   <t:JobTitle>Boss</t:JobTitle></t:Contact></t:SetItemField>";
    assert_eq!(
        codes(&update(&mut client, &id, &key, updates)),
        ["ErrorIrresolvableConflict"]
    );
    let change = |key: &str| {
        format!(
            "<m:UpdateItem ConflictResolution=\"AutoResolve\"><m:ItemChanges><t:ItemChange>\
             <t:ItemId Id=\"{id}\"{key}/><t:Updates>{updates}</t:Updates></t:ItemChange>\
             </m:ItemChanges></m:UpdateItem>"
        )
    };
    let text = ok(&mut client, &change(""));
    assert_eq!(codes(&text), ["ErrorChangeKeyRequiredForWriteOperations"]);
    let text = ok(&mut client, &change(&format!(" ChangeKey=\"{key}\"")));
    assert_eq!(codes(&text), ["NoError"]);
    assert_eq!(held(&client, &handle)["jobTitle"], "Boss");
}

#[test]
fn change_keys_move_by_themselves_where_the_switch_says_so() {
    let mut client = on_premises(|quirks| quirks.change_key_moves_every = Some(2));
    let first = create(&mut client, "<t:GivenName>A</t:GivenName>");
    let second = create(&mut client, "<t:GivenName>B</t:GivenName>");
    for (answer, moved) in [(first, false), (second, true)] {
        let now = get(&mut client, &ids(&answer), "");
        assert_eq!(change_key(&now) != change_key(&answer), moved);
    }
}

#[test]
fn a_sync_tells_what_is_new_changed_and_gone() {
    let mut client = on_premises(|_| {});
    let handles = client.outlook_many(3);
    client
        .simulator
        .graph
        .create_group(ANNA, "Team", client.now);
    let first = sync(&mut client, "", 3);
    assert!(
        first.contains("<m:IncludesLastItemInRange>false<"),
        "{first}"
    );
    // The newest comes first; a distribution list is an item of its own kind.
    assert!(
        first.contains("<m:Changes><t:Create><t:DistributionList>"),
        "{first}"
    );
    // What changes before its page is new all the same.
    client.simulator.graph.touch(ANNA, &handles[0], client.now);
    let second = sync(&mut client, &state(&first), 3);
    assert_eq!(
        all_between(&second, "<t:Create>", "</t:Create>").len(),
        1,
        "{second}"
    );
    let oldest = placed(&client, &handles[0]);
    assert!(second.contains(&oldest), "{second}");
    let mut last = sync(&mut client, &state(&second), 512);
    assert!(last.contains("<m:IncludesLastItemInRange>true<"), "{last}");
    let quiet = sync(&mut client, &state(&last), 512);
    assert_eq!(ids(&quiet).len(), 0, "{quiet}");
    // Out and back in: another id.
    let old = placed(&client, &handles[1]);
    client
        .simulator
        .graph
        .move_to(ANNA, &handles[1], "Archiv", client.now);
    last = sync(&mut client, &state(&quiet), 512);
    assert!(
        last.contains(&format!("<t:Delete><t:ItemId Id=\"{old}\"")),
        "{last}"
    );
    client
        .simulator
        .graph
        .move_back(ANNA, &handles[1], client.now);
    last = sync(&mut client, &state(&last), 512);
    let new = placed(&client, &handles[1]);
    assert_ne!(new, old);
    assert!(last.contains("<t:Create>") && last.contains(&new), "{last}");
    // The own write comes back.
    let created = create(&mut client, "<t:GivenName>Own</t:GivenName>");
    last = sync(&mut client, &state(&last), 512);
    assert_eq!(ids(&last), ids(&created));
    assert!(last.contains("<t:Create>"), "{last}");
}

#[test]
fn a_state_that_is_none_or_expired_is_answered_with_an_empty_one() {
    let mut client = on_premises(|_| {});
    client.outlook_many(1);
    let state = state(&sync(&mut client, "", 512));
    client.simulator.graph.expire_delta_tokens(ANNA);
    for state in [state.as_str(), "H4sIAAAA", "?"] {
        let text = sync(&mut client, state, 512);
        assert_eq!(codes(&text), ["ErrorInvalidSyncStateData"]);
        assert!(
            text.contains("<m:SyncState/><m:IncludesLastItemInRange>true<"),
            "{text}"
        );
    }
}

#[test]
fn deleting_moves_or_removes() {
    let mut client = on_premises(|_| {});
    for (kind, kept) in [
        ("MoveToDeletedItems", 1),
        ("HardDelete", 0),
        ("SoftDelete", 0),
    ] {
        let handle = client.outlook(&json!({"givenName": "Änne"}));
        let id = placed(&client, &handle);
        let operation = format!(
            "<m:DeleteItem DeleteType=\"{kind}\"><m:ItemIds><t:ItemId Id=\"{id}\"/></m:ItemIds>\
             </m:DeleteItem>"
        );
        assert_eq!(codes(&ok(&mut client, &operation)), ["NoError"]);
        assert_eq!(codes(&ok(&mut client, &operation)), ["ErrorItemNotFound"]);
        assert_eq!(client.simulator.graph.contact_count(ANNA), 0);
        let deleted = client.simulator.graph.deleted_contacts(ANNA);
        assert_eq!(deleted.contains_key(&handle), kept == 1, "{kind}");
    }
}

#[test]
fn items_are_found_by_key_in_several_folders_page_by_page() {
    let mut client = on_premises(|quirks| quirks.find_restricted_max = 2);
    for _ in 0..3 {
        create(
            &mut client,
            &format!("<t:ExtendedProperty>{KEY}<t:Value>k</t:Value></t:ExtendedProperty>"),
        );
    }
    client.outlook(&json!({"givenName": "Other"}));
    let find = |offset: usize, restriction: &str| {
        format!(
            "<m:FindItem Traversal=\"Shallow\"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>\
             </m:ItemShape><m:IndexedPageItemView MaxEntriesReturned=\"100\" Offset=\"{offset}\" \
             BasePoint=\"Beginning\"/><m:Restriction>{restriction}</m:Restriction>\
             <m:ParentFolderIds><t:DistinguishedFolderId Id=\"contacts\"/>\
             <t:DistinguishedFolderId Id=\"deleteditems\"/></m:ParentFolderIds></m:FindItem>"
        )
    };
    let equal = format!(
        "<t:IsEqualTo>{KEY}<t:FieldURIOrConstant><t:Constant Value=\"k\"/></t:FieldURIOrConstant>\
         </t:IsEqualTo>"
    );
    for restriction in [equal, format!("<t:Exists>{KEY}</t:Exists>")] {
        let text = ok(&mut client, &find(0, &restriction));
        assert_eq!(codes(&text), ["NoError", "NoError"]);
        assert_eq!(ids(&text).len(), 2, "{text}");
        let root =
            "IndexedPagingOffset=\"2\" TotalItemsInView=\"3\" IncludesLastItemInRange=\"false\"";
        assert!(text.contains(root), "{text}");
        let text = ok(&mut client, &find(2, &restriction));
        assert_eq!(ids(&text).len(), 1, "{text}");
        assert!(text.contains("IncludesLastItemInRange=\"true\""), "{text}");
    }
}

#[test]
fn the_search_key_stays_with_a_contact_and_its_copies() {
    let uri = "<t:ExtendedFieldURI PropertyTag=\"0x300B\" PropertyType=\"Binary\"/>";
    let mut client = on_premises(|_| {});
    let handle = client.outlook(&json!({"givenName": "Änne"}));
    let key = |client: &mut Client, handle: &str| {
        let id = placed(client, handle);
        let text = get(client, &[&id], uri);
        between(&text, "<t:Value>", "<").to_owned()
    };
    let before = key(&mut client, &handle);
    let copy = client
        .simulator
        .graph
        .copy(ANNA, &handle, client.now)
        .expect("a copy");
    client
        .simulator
        .graph
        .move_to(ANNA, &handle, "Archiv", client.now);
    assert_eq!(key(&mut client, &handle), before);
    assert_eq!(key(&mut client, &copy), before);
    let other = client.outlook(&json!({"givenName": "Änne"}));
    assert_ne!(key(&mut client, &other), before);
    let id = placed(&client, &other);
    client.simulator.ews.quirks.search_key = SearchKey::LeftOut;
    assert!(!get(&mut client, &[&id], uri).contains("ExtendedProperty"));
    client.simulator.ews.quirks.search_key = SearchKey::Refused;
    let text = get(&mut client, &[&id, &id], uri);
    assert_eq!(codes(&text), ["ErrorInvalidPropertyRequest"; 2]);
}

#[test]
fn a_busy_server_says_so_in_three_forms() {
    let busy = |form| Busy {
        every: 1,
        form,
        back_off_ms: 5000,
    };
    let mut client = on_premises(|quirks| quirks.busy = Some(busy(BusyForm::Fault)));
    let operation = "<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>\
                     </m:ItemShape><m:SyncFolderId><t:DistinguishedFolderId Id=\"contacts\"/>\
                     </m:SyncFolderId><m:MaxChangesReturned>9</m:MaxChangesReturned>\
                     </m:SyncFolderItems>";
    let wait = "<t:Value Name=\"BackOffMilliseconds\">5000</t:Value>";
    let (status, text) = ask(&mut client, operation);
    assert_eq!((status, codes(&text)), (500, vec!["ErrorServerBusy"]));
    assert!(text.contains(wait), "{text}");
    client.simulator.ews.quirks.busy = Some(busy(BusyForm::InAnswer));
    let (status, text) = ask(&mut client, operation);
    assert_eq!((status, codes(&text)), (200, vec!["ErrorServerBusy"]));
    assert!(
        text.contains(wait) && text.contains("<m:SyncState/>"),
        "{text}"
    );
    client.simulator.ews.quirks.busy = Some(busy(BusyForm::ServiceUnavailable));
    assert_eq!(ask(&mut client, operation).0, 503);
}

#[test]
fn answers_are_the_same_xml_under_any_prefixes() {
    for (prefixes, root) in [
        (PrefixStyle::Usual, "<s:Envelope xmlns:s="),
        (
            PrefixStyle::Others,
            "<m:Envelope xmlns:m=\"http://schemas.xmlsoap.org",
        ),
        (
            PrefixStyle::Default,
            "<Envelope xmlns=\"http://schemas.xmlsoap.org",
        ),
    ] {
        let mut client = on_premises(|quirks| {
            quirks.prefixes = prefixes;
            quirks.byte_order_mark = true;
        });
        client.outlook_many(1);
        let text = sync(&mut client, "AAAA", 512);
        assert!(text.starts_with("\u{feff}<?xml"), "{text}");
        assert!(text.contains(root), "{text}");
    }
}

#[test]
fn bad_days_of_the_server_are_switches() {
    let mut client = on_premises(|quirks| {
        quirks.phantom_item = true;
        quirks.birthday = BirthdayForm::LocalMidnight;
        quirks.batch_stops_after = Some(1);
    });
    let handle =
        client.outlook(&json!({"givenName": "Ä\u{b}", "birthday": "1950-02-03T11:59:00Z"}));
    let id = placed(&client, &handle);
    let text = sync(&mut client, "", 512);
    let reported: Vec<String> = ids(&text).iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(reported.len(), 2);
    let phantom = reported
        .iter()
        .find(|reported| **reported != id)
        .expect("a phantom");
    assert_eq!(
        codes(&get(&mut client, &[phantom], "")),
        ["ErrorItemNotFound"]
    );
    let text = get(
        &mut client,
        &[&id],
        "<t:FieldURI FieldURI=\"contacts:GivenName\"/><t:FieldURI FieldURI=\"contacts:Birthday\"/>",
    );
    assert!(text.contains("<t:Birthday>1950-02-02T23:00:00Z<"), "{text}");
    assert!(text.contains("Ä&#xB;"), "{text}");
    let text = get(&mut client, &[&id, &id, &id], "");
    assert_eq!(
        codes(&text),
        [
            "NoError",
            "ErrorMailboxStoreUnavailable",
            "ErrorBatchProcessingStopped"
        ]
    );
    assert!(text.contains("ResponseClass=\"Warning\""), "{text}");
    client.simulator.ews.quirks.sync_never_ends = true;
    let text = sync(&mut client, "", 512);
    let text = sync(&mut client, &state(&text), 512);
    assert!(text.contains("<m:IncludesLastItemInRange>false<"), "{text}");
    assert!(text.contains("<m:Changes/>"), "{text}");
}

#[test]
fn an_email_that_is_taken_away_can_leave_its_name_behind() {
    for (left_behind, expected) in [(false, Value::Null), (true, json!([{"name": "Änne"}]))] {
        let mut client = on_premises(|quirks| quirks.email_name_left_behind = left_behind);
        let handle = client.outlook(&json!({
            "emailAddresses": [{"name": "Änne", "address": "a@x.test"}],
        }));
        let id = placed(&client, &handle);
        let key = change_key(&get(&mut client, &[&id], ""));
        let uri =
            "<t:IndexedFieldURI FieldURI=\"contacts:EmailAddress\" FieldIndex=\"EmailAddress1\"/>";
        let updates = format!("<t:DeleteItemField>{uri}</t:DeleteItemField>");
        assert_eq!(
            codes(&update(&mut client, &id, &key, &updates)),
            ["NoError"]
        );
        assert!(!get(&mut client, &[&id], uri).contains("Entry"));
        assert_eq!(held(&client, &handle)["emailAddresses"], expected);
    }
}

#[test]
fn folders_are_listed_and_their_changes_told() {
    let mut client = on_premises(|_| {});
    let handle = client.outlook(&json!({"givenName": "Änne"}));
    client
        .simulator
        .graph
        .move_to(ANNA, &handle, "Archiv", client.now);
    let find = "<m:FindFolder Traversal=\"Deep\"><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape>\
                <t:AdditionalProperties><t:FieldURI FieldURI=\"folder:FolderClass\"/>\
                <t:FieldURI FieldURI=\"folder:DisplayName\"/></t:AdditionalProperties>\
                </m:FolderShape><m:ParentFolderIds><t:DistinguishedFolderId Id=\"msgfolderroot\"/>\
                </m:ParentFolderIds></m:FindFolder>";
    let text = ok(&mut client, find);
    let names = all_between(&text, "<t:DisplayName>", "<");
    assert_eq!(names, ["Kontakte", "Archiv", "Gelöschte Elemente"]);
    assert_eq!(
        all_between(&text, "<t:FolderClass>", "<"),
        ["IPF.Contact", "IPF.Contact", "IPF.Note"]
    );
    let hierarchy = |state: &str| {
        format!(
            "<m:SyncFolderHierarchy><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape>\
             </m:FolderShape><m:SyncFolderId><t:DistinguishedFolderId Id=\"msgfolderroot\"/>\
             </m:SyncFolderId>{state}</m:SyncFolderHierarchy>"
        )
    };
    let text = ok(&mut client, &hierarchy(""));
    assert_eq!(all_between(&text, "<t:Create>", "</t:Create>").len(), 3);
    let kept = format!("<m:SyncState>{}</m:SyncState>", state(&text));
    let other = client.outlook(&json!({"givenName": "Änne"}));
    client
        .simulator
        .graph
        .move_to(ANNA, &other, "Kunden", client.now);
    let text = ok(&mut client, &hierarchy(&kept));
    assert_eq!(
        all_between(&text, "<t:Create>", "</t:Create>").len(),
        1,
        "{text}"
    );
}

#[test]
fn ids_are_converted_one_by_one() {
    let mut client = on_premises(|_| {});
    let folder = client.simulator.graph.identity(ANNA).expect("Anna").1;
    let operation = format!(
        "<m:ConvertId DestinationFormat=\"EntryId\"><m:SourceIds>\
         <t:AlternateId Format=\"EwsId\" Id=\"{folder}\" Mailbox=\"DUMMY\"/>\
         <t:AlternateId Format=\"EwsId\" Id=\"DUMMY\" Mailbox=\"DUMMY\"/></m:SourceIds></m:ConvertId>"
    );
    let text = ok(&mut client, &operation);
    assert_eq!(codes(&text), ["NoError", "ErrorInvalidIdMalformed"]);
    assert!(text.contains(&format!("Mailbox=\"{ANNA}\"")), "{text}");
}

#[test]
fn a_world_says_who_is_on_an_exchange_server() {
    let bernd = "bernd@makler.example";
    let world = World::builder()
        .mailbox(ANNA)
        .exchange_server(bernd)
        .build();
    assert!(matches!(
        world.job(ANNA).mailbox.endpoint,
        Endpoint::Graph(_)
    ));
    let Endpoint::Ews(access) = world.job(bernd).mailbox.endpoint else {
        panic!("Bernd is on premises");
    };
    assert_eq!(access.url.as_deref(), Some(URL));
    let handle = world.mailbox_create(ANNA, &json!({"givenName": "Änne"}));
    assert_eq!(world.mailbox_id_of(ANNA, &handle), handle);
    let handle = world.mailbox_create(bernd, &json!({"givenName": "Änne"}));
    let old = world.mailbox_id_of(bernd, &handle);
    assert_ne!(old, handle);
    assert_eq!(world.mailbox_handle_of(bernd, &old), Some(handle.clone()));
    world.mailbox_move(bernd, &handle, "Archiv");
    assert_ne!(world.mailbox_id_of(bernd, &handle), old);
    assert_eq!(world.mailbox_handle_of(bernd, &old), None);
}

/// A request to the world's only mailbox, which creates a contact.
fn creation(url: &str) -> Request {
    let operation = "<m:CreateItem><m:Items><t:Contact><t:GivenName>A</t:GivenName></t:Contact>\
                     </m:Items></m:CreateItem>";
    Request {
        method: Method::Post,
        url: url.to_owned(),
        headers: Vec::new(),
        body: Some(envelope(VERSION, operation).into_bytes()),
        timeout_ms: 30_000,
    }
}

#[test]
fn faults_strike_these_requests_too() {
    let world = World::builder().exchange_server(ANNA).build();
    let count = || world.services(|services, _| services.graph.contact_count(ANNA));
    world.services(|services, _| {
        services
            .faults
            .next(Matcher::url("/EWS/"), Fault::LostAfter);
    });
    let outcome = world.send(vec![creation(URL)]);
    assert!(matches!(
        outcome.as_slice(),
        [Err(SendError::Connection(_))]
    ));
    assert_eq!(count(), 1);
    let rates = FaultRates {
        lost_before: 0,
        lost_after: 0,
        throttled: 0,
        throttled_without_retry_after: 0,
        unavailable: 0,
        unavailable_with_retry_after: 0,
        refused_after: 0,
        late_creates: 1000,
    };
    world.services(|services, _| services.faults.seed(1, rates));
    let outcome = world.send(vec![creation(URL)]);
    assert!(matches!(outcome.as_slice(), [Err(SendError::Timeout)]));
    world.advance_ms(600_000);
    assert_eq!(count(), 2);
}

#[test]
fn a_server_can_answer_another_item_than_was_asked_for() {
    let mut client = on_premises(|quirks| quirks.answers_another = true);
    let handles = client.outlook_many(2);
    let (first, second) = (placed(&client, &handles[0]), placed(&client, &handles[1]));
    assert_eq!(ids(&get(&mut client, &[&first], "")), [second]);
}
