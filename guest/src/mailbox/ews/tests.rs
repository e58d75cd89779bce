//! The protocol against scripted answers: what is sent to the letter, and what is made of answers.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;
use crate::contact::{Field, MailboxEmail, PostalAddress, SearchKey, Slot, StableId, View};
use crate::http::scripted::{Canned, Scripted, no_connection, text_answer};
use crate::mailbox::{MailboxEntry, MailboxNext};

const URL: &str = "https://mail.example.com/EWS/Exchange.asmx";

const NAMESPACES: &str = "xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
    xmlns:m=\"http://schemas.microsoft.com/exchange/services/2006/messages\" \
    xmlns:t=\"http://schemas.microsoft.com/exchange/services/2006/types\"";

fn access() -> EwsAccess {
    EwsAccess {
        url: Some(URL.into()),
        autodiscover: Vec::new(),
        impersonate: true,
        ask_search_key: true,
    }
}

fn ews(answers: impl IntoIterator<Item = Canned>) -> (Ews, Rc<Scripted>) {
    let script = Scripted::new(answers);
    let mut ews = Ews::new(
        script.http(Service::Ews),
        URL,
        "anna@example.com",
        &access(),
    );
    let identity = MailboxIdentity {
        service: "ews".into(),
        user: "U".into(),
        folder: "F".into(),
        address: None,
    };
    ews.connect(Some(&identity)).unwrap();
    (ews, script)
}

/// The bodies that were sent, without their envelopes.
fn bodies(script: &Scripted) -> Vec<String> {
    let sent = script.lines();
    let body = |line: &String| {
        let (_, rest) = line.split_once("<s:Body>").unwrap();
        rest.split_once("</s:Body>").unwrap().0.to_owned()
    };
    sent.iter().map(body).collect()
}

fn envelope(body: &str) -> Canned {
    let xml = format!("<s:Envelope {NAMESPACES}><s:Body>{body}</s:Body></s:Envelope>");
    text_answer(200, &[("content-type", "text/xml")], &xml)
}

/// An answer to this operation with these messages: what a success holds, or `!Code`.
fn answer(operation: &str, messages: &[&str]) -> Canned {
    let message = |content: &&str| match content.strip_prefix('!') {
        None => format!(
            "<m:{operation}ResponseMessage ResponseClass=\"Success\"><m:ResponseCode>NoError\
             </m:ResponseCode>{content}</m:{operation}ResponseMessage>"
        ),
        Some(refusal) => {
            let (code, rest) = refusal.split_once(' ').unwrap_or((refusal, ""));
            let class = if code == "ErrorBatchProcessingStopped" {
                "Warning"
            } else {
                "Error"
            };
            format!(
                "<m:{operation}ResponseMessage ResponseClass=\"{class}\"><m:MessageText>Nein, \
                 Abteilung.</m:MessageText><m:ResponseCode>{code}</m:ResponseCode>{rest}\
                 </m:{operation}ResponseMessage>"
            )
        }
    };
    let messages: String = messages.iter().map(message).collect();
    envelope(&format!(
        "<m:{operation}Response><m:ResponseMessages>{messages}</m:ResponseMessages>\
         </m:{operation}Response>"
    ))
}

fn fault(code: &str) -> Canned {
    let xml = format!(
        "<s:Envelope {NAMESPACES}><s:Body><s:Fault><faultcode>s:Client</faultcode>\
         <faultstring>no</faultstring><detail><e:ResponseCode \
         xmlns:e=\"http://schemas.microsoft.com/exchange/services/2006/errors\">{code}\
         </e:ResponseCode></detail></s:Fault></s:Body></s:Envelope>"
    );
    text_answer(500, &[], &xml)
}

fn item(id: &str, key: &str, more: &str) -> String {
    format!(
        "<m:Items><t:Contact><t:ItemId Id=\"{id}\" ChangeKey=\"{key}\"/>\
         <t:ItemClass>IPM.Contact</t:ItemClass><t:ParentFolderId Id=\"F\" ChangeKey=\"x\"/>{more}\
         </t:Contact></m:Items>"
    )
}

fn ids(ids: &[&str]) -> Vec<MailboxId> {
    ids.iter().map(|id| MailboxId::new(*id)).collect()
}

fn view() -> View {
    let text = |(field, text): (Field, &str)| (field, text.to_owned());
    View {
        texts: [
            (Field::FirstName, "Erika"),
            (Field::LastName, "Muster & Söhne"),
            (Field::AcademicTitle, "Dr."),
            (Field::Company, "Muster GmbH"),
            (Field::Department, "Einkauf"),
            (Field::Position, "Leitung"),
            (Field::Website, "https://muster.example"),
        ]
        .map(text)
        .into(),
        phones: [
            (Slot::BusinessPhone2, "+49 221 2"),
            (Slot::MobilePhone, "+49 172 3"),
            (Slot::OtherPhone, "+49 30 4"),
        ]
        .map(|(slot, number)| (slot, number.to_owned()))
        .into(),
        emails: BTreeMap::from([(Slot::Email2, email("erika@muster.example"))]),
        addresses: BTreeMap::from([(
            Slot::HomeAddress,
            PostalAddress {
                street: "Domkloster 4\nHof".into(),
                city: "Köln".into(),
                country: "Deutschland".into(),
                postal_code: "50667".into(),
                ..PostalAddress::default()
            },
        )]),
        birthday: Some("1965-03-31T11:59:00Z".into()),
        display_name: Some("Erika Muster".into()),
        file_as: Some("Muster, Erika".into()),
    }
}

fn email(address: &str) -> MailboxEmail {
    MailboxEmail {
        address: address.into(),
        name: String::new(),
    }
}

/// What a server answers for [`view`].
const SHOWN: &str = "<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag=\"0x3a45\" \
    PropertyType=\"String\"/><t:Value>Dr.</t:Value></t:ExtendedProperty><t:ExtendedProperty>\
    <t:ExtendedFieldURI PropertyTag=\"0x300b\" PropertyType=\"Binary\"/><t:Value>c2Vhcmg=</t:Value>\
    </t:ExtendedProperty><t:LastModifiedTime>2026-03-02T08:00:00Z</t:LastModifiedTime>\
    <t:FileAs>Muster, Erika</t:FileAs><t:DisplayName>Erika Muster</t:DisplayName>\
    <t:GivenName>Erika</t:GivenName><t:CompanyName>Muster GmbH</t:CompanyName><t:EmailAddresses>\
    <t:Entry Key=\"EmailAddress2\">erika@muster.example</t:Entry></t:EmailAddresses>\
    <t:PhysicalAddresses><t:Entry Key=\"Home\"><t:Street>Domkloster 4&#xD;\nHof</t:Street>\
    <t:City>Köln</t:City><t:CountryOrRegion>Deutschland</t:CountryOrRegion>\
    <t:PostalCode>50667</t:PostalCode></t:Entry></t:PhysicalAddresses><t:PhoneNumbers>\
    <t:Entry Key=\"AssistantPhone\">0221 9</t:Entry><t:Entry Key=\"BusinessPhone\"/>\
    <t:Entry Key=\"BusinessPhone2\">+49 221 2</t:Entry><t:Entry Key=\"MobilePhone\">+49 172 3\
    </t:Entry><t:Entry Key=\"OtherTelephone\">+49 30 4</t:Entry></t:PhoneNumbers>\
    <t:Birthday>1965-03-31T11:59:00Z</t:Birthday>\
    <t:BusinessHomePage>https://muster.example</t:BusinessHomePage>\
    <t:Department>Einkauf</t:Department><t:JobTitle>Leitung</t:JobTitle>\
    <t:Surname>Muster &amp; Söhne</t:Surname><t:Unheard of=\"\">x</t:Unheard>";

#[test]
fn the_mailbox_is_asked_for_by_its_address() {
    let folder =
        |id: &str| format!("<m:Folders><t:Folder><t:FolderId Id=\"{id}\"/></t:Folder></m:Folders>");
    let script = Scripted::new([answer("GetFolder", &[&folder("top"), &folder("kontakte")])]);
    let mut ews = Ews::new(
        script.http(Service::Ews),
        URL,
        "anna@example.com",
        &access(),
    );
    let identity = ews.connect(None).unwrap();
    assert_eq!((&*identity.user, &*identity.folder), ("top", "kontakte"));
    let [line] = &script.lines()[..] else {
        panic!("one request")
    };
    let header = "<s:Header><t:RequestServerVersion Version=\"Exchange2013_SP1\"/>\
        <t:ExchangeImpersonation><t:ConnectingSID><t:PrimarySmtpAddress>anna@example.com\
        </t:PrimarySmtpAddress></t:ConnectingSID></t:ExchangeImpersonation></s:Header>";
    assert!(
        line.starts_with(&format!("POST {URL} ")) && line.contains(header),
        "{line}"
    );
    let mailbox = "<t:DistinguishedFolderId Id=\"contacts\"><t:Mailbox><t:EmailAddress>\
        anna@example.com</t:EmailAddress></t:Mailbox></t:DistinguishedFolderId>";
    assert!(line.contains(mailbox), "{line}");
    let sent = script.sent();
    let anchor = ("x-anchormailbox".to_owned(), "anna@example.com".to_owned());
    assert!(sent[0].headers.contains(&anchor));
}

#[test]
fn a_new_contact_is_written_in_the_order_of_the_schema() {
    let created = "<m:Items><t:Contact><t:ItemId Id=\"A\" ChangeKey=\"1\"/></t:Contact></m:Items>";
    let (ews, script) = ews([
        answer("CreateItem", &[created]),
        answer("GetItem", &[&item("A", "2", SHOWN)]),
    ]);
    let draft = MailboxDraft {
        key: SearchKey::new("k-1"),
        view: view(),
    };
    let contact = ews.create(&[draft]).pop().unwrap().unwrap();
    assert_eq!(contact.change_key.as_str(), "2");
    let expected = "<m:CreateItem MessageDisposition=\"SaveOnly\"><m:SavedItemFolderId>\
        <t:FolderId Id=\"F\"/></m:SavedItemFolderId><m:Items><t:Contact><t:Subject>Erika Muster\
        </t:Subject><t:ExtendedProperty><t:ExtendedFieldURI \
        PropertySetId=\"6d2f5b34-0c1e-4a76-9b0d-3e58c7a1f942\" PropertyName=\"ContactSyncKey\" \
        PropertyType=\"String\"/><t:Value>k-1</t:Value></t:ExtendedProperty><t:ExtendedProperty>\
        <t:ExtendedFieldURI PropertyTag=\"0x3A45\" PropertyType=\"String\"/><t:Value>Dr.</t:Value>\
        </t:ExtendedProperty><t:FileAs>Muster, Erika</t:FileAs><t:DisplayName>Erika Muster\
        </t:DisplayName><t:GivenName>Erika</t:GivenName><t:CompanyName>Muster GmbH</t:CompanyName>\
        <t:EmailAddresses><t:Entry Key=\"EmailAddress2\">erika@muster.example</t:Entry>\
        </t:EmailAddresses><t:PhysicalAddresses><t:Entry Key=\"Home\"><t:Street>Domkloster 4\nHof\
        </t:Street><t:City>Köln</t:City><t:CountryOrRegion>Deutschland</t:CountryOrRegion>\
        <t:PostalCode>50667</t:PostalCode></t:Entry></t:PhysicalAddresses><t:PhoneNumbers>\
        <t:Entry Key=\"BusinessPhone2\">+49 221 2</t:Entry><t:Entry Key=\"MobilePhone\">+49 172 3\
        </t:Entry><t:Entry Key=\"OtherTelephone\">+49 30 4</t:Entry></t:PhoneNumbers>\
        <t:Birthday>1965-03-31T11:59:00Z</t:Birthday><t:BusinessHomePage>https://muster.example\
        </t:BusinessHomePage><t:Department>Einkauf</t:Department><t:JobTitle>Leitung</t:JobTitle>\
        <t:Surname>Muster &amp; Söhne</t:Surname></t:Contact></m:Items></m:CreateItem>";
    assert_eq!(bodies(&script)[0], expected);
}

#[test]
fn a_contact_is_read_slot_by_slot_and_nothing_else_of_it() {
    let (ews, script) = ews([answer("GetItem", &[&item("A", "2", SHOWN)])]);
    let read = ews.read(&ids(&["A"])).unwrap().pop().unwrap();
    let MailboxRead::Present(contact) = read else {
        panic!("{read:?}")
    };
    let mut expected = view();
    expected
        .addresses
        .get_mut(&Slot::HomeAddress)
        .unwrap()
        .street = "Domkloster 4\r\nHof".into();
    assert_eq!(contact.view, expected);
    assert_eq!(contact.stable_id, Some(StableId::new("c2Vhcmg=")));
    let asked = &bodies(&script)[0];
    for missing in [
        "item:Body",
        "contacts:PhoneNumbers\"",
        "AllProperties",
        "PhysicalAddresses",
    ] {
        assert!(!asked.contains(missing), "{missing}: {asked}");
    }
    assert_eq!(asked.matches("contacts:PhoneNumber").count(), 6);
}

#[test]
fn an_edit_names_one_property_at_a_time() {
    let mut after = view();
    after.texts.remove(&Field::Department);
    after.phones.insert(Slot::MobilePhone, "+49 172 5".into());
    after.phones.remove(&Slot::OtherPhone);
    after.emails.remove(&Slot::Email2);
    after.addresses.get_mut(&Slot::HomeAddress).unwrap().city = "Bonn".into();
    after.display_name = Some("Erika M.".into());
    let (ews, script) = ews([
        answer("UpdateItem", &["<m:Items/>"]),
        answer("GetItem", &[&item("A", "3", SHOWN)]),
    ]);
    let edit = MailboxEdit {
        id: MailboxId::new("A"),
        change_key: ChangeKey::new("2"),
        before: view(),
        after,
    };
    assert!(ews.update(&[edit])[0].is_ok());
    let set = |path: &str, value: &str| {
        format!("<t:SetItemField>{path}<t:Contact>{value}</t:Contact></t:SetItemField>")
    };
    let field = |uri: &str| format!("<t:FieldURI FieldURI=\"{uri}\"/>");
    let indexed = |uri: &str, index: &str| {
        format!("<t:IndexedFieldURI FieldURI=\"contacts:{uri}\" FieldIndex=\"{index}\"/>")
    };
    let delete = |path: &str| format!("<t:DeleteItemField>{path}</t:DeleteItemField>");
    let outlook = |number: u32, kind: &str| {
        format!(
            "<t:ExtendedFieldURI DistinguishedPropertySetId=\"Address\" PropertyId=\"{number}\" \
             PropertyType=\"{kind}\"/>"
        )
    };
    let updates = [
        set(
            &field("contacts:DisplayName"),
            "<t:DisplayName>Erika M.</t:DisplayName>",
        ),
        set(&field("item:Subject"), "<t:Subject>Erika M.</t:Subject>"),
        delete(&field("contacts:Department")),
        set(
            &indexed("PhoneNumber", "MobilePhone"),
            "<t:PhoneNumbers><t:Entry Key=\"MobilePhone\">+49 172 5</t:Entry></t:PhoneNumbers>",
        ),
        delete(&indexed("PhoneNumber", "OtherTelephone")),
        delete(&indexed("EmailAddress", "EmailAddress2")),
        delete(&outlook(0x8090, "String")),
        delete(&outlook(0x8094, "String")),
        delete(&outlook(0x8092, "String")),
        delete(&outlook(0x8095, "Binary")),
        set(
            &indexed("PhysicalAddress:City", "Home"),
            "<t:PhysicalAddresses><t:Entry Key=\"Home\"><t:City>Bonn</t:City></t:Entry>\
             </t:PhysicalAddresses>",
        ),
    ];
    let expected = format!(
        "<m:UpdateItem ConflictResolution=\"NeverOverwrite\" MessageDisposition=\"SaveOnly\">\
         <m:ItemChanges><t:ItemChange><t:ItemId Id=\"A\" ChangeKey=\"2\"/><t:Updates>{}</t:Updates>\
         </t:ItemChange></m:ItemChanges></m:UpdateItem>",
        updates.concat()
    );
    assert_eq!(bodies(&script)[0], expected);
}

fn edit(id: &str, position: &str) -> MailboxEdit {
    let mut after = view();
    after.texts.insert(Field::Position, position.into());
    MailboxEdit {
        id: MailboxId::new(id),
        change_key: ChangeKey::new("2"),
        before: view(),
        after,
    }
}

/// What became of writes, in one word each.
fn words<T>(results: &[Result<T, WriteError>]) -> Vec<&'static str> {
    let word = |result: &Result<T, WriteError>| match result {
        Ok(_) => "done",
        Err(WriteError::Stale) => "stale",
        Err(WriteError::NotFound) => "gone",
        Err(WriteError::Refused(_)) => "refused",
        Err(WriteError::Unknown(_)) => "unknown",
        Err(WriteError::NotDone(RemoteError::Throttled(_))) => "throttled",
        Err(WriteError::NotDone(_)) => "not done",
    };
    results.iter().map(word).collect()
}

#[test]
fn each_item_of_a_request_has_an_end_of_its_own() {
    let codes = [
        "<m:Items/>",
        "!ErrorIrresolvableConflict",
        "!ErrorItemNotFound",
        "!ErrorQuotaExceeded",
    ];
    let (ews, script) = ews([
        answer("UpdateItem", &codes),
        answer("GetItem", &[&item("A", "3", SHOWN)]),
    ]);
    let edits: Vec<MailboxEdit> = ["A", "B", "C", "D"].map(|id| edit(id, "Abteilung")).into();
    let results = ews.update(&edits);
    assert_eq!(words(&results), ["done", "stale", "gone", "refused"]);
    let Err(WriteError::Refused(problem)) = &results[3] else {
        panic!()
    };
    assert!(
        !problem.message.contains("Abteilung"),
        "{}",
        problem.message
    );
    assert!(
        problem.message.contains("ErrorQuotaExceeded"),
        "{}",
        problem.message
    );
    script.lines();
}

#[test]
fn a_fault_of_one_item_does_not_stop_the_others() {
    let (ews, script) = ews([
        fault("ErrorSchemaValidation"),
        answer("UpdateItem", &["<m:Items/>"]),
        fault("ErrorSchemaValidation"),
        answer("GetItem", &[&item("A", "3", SHOWN)]),
    ]);
    let results = ews.update(&[edit("A", "x"), edit("B", "y")]);
    assert_eq!(words(&results), ["done", "refused"]);
    script.lines();
}

#[test]
fn what_exchange_did_not_get_to_is_sent_again() {
    let (ews, script) = ews([
        answer(
            "UpdateItem",
            &["<m:Items/>", "!ErrorBatchProcessingStopped"],
        ),
        answer("UpdateItem", &["<m:Items/>"]),
        answer("GetItem", &[&item("A", "3", SHOWN), &item("B", "3", SHOWN)]),
    ]);
    let results = ews.update(&[edit("A", "x"), edit("B", "y")]);
    assert_eq!(words(&results), ["done", "done"]);
    let bodies = bodies(&script);
    assert!(
        !bodies[1].contains("\"A\"") && bodies[1].contains("\"B\""),
        "{}",
        bodies[1]
    );
}

#[test]
fn a_busy_server_is_waited_for_in_both_of_its_forms() {
    let pause = "<m:MessageXml><t:Value Name=\"BackOffMilliseconds\">1500</t:Value></m:MessageXml>";
    let in_message = format!("!ErrorServerBusy {pause}<m:SyncState/>");
    let end = "<m:SyncState>S1</m:SyncState><m:IncludesLastItemInRange>true\
               </m:IncludesLastItemInRange><m:Changes/>";
    let (client, script) = ews([
        fault("ErrorServerBusy"),
        answer("SyncFolderItems", &[&in_message]),
        answer("SyncFolderItems", &[end]),
    ]);
    let page = client.changes(None).unwrap();
    assert_eq!(page.next, MailboxNext::End(MailboxPosition("S1".into())));
    assert_eq!(script.slept_ms(), [250, 1_500]);
    let long = in_message.replace("1500", "297749");
    let (client, _script) = ews([answer("SyncFolderItems", &[&long])]);
    let Err(RemoteError::Throttled(throttled)) = client.changes(None) else {
        panic!()
    };
    assert_eq!(throttled.retry_after_ms, 297_749);
}

#[test]
fn a_lost_answer_to_a_create_is_never_repeated() {
    let draft = MailboxDraft {
        key: SearchKey::new("k"),
        view: view(),
    };
    for lost in [
        no_connection(),
        text_answer(503, &[], ""),
        fault("ErrorInternalServerError"),
    ] {
        let (ews, script) = ews([lost]);
        assert_eq!(
            words(&ews.create(std::slice::from_ref(&draft))),
            ["unknown"]
        );
        script.lines();
    }
    let (ews, script) = ews([answer(
        "CreateItem",
        &["!ErrorInternalServerTransientError"],
    )]);
    assert_eq!(words(&ews.create(&[draft])), ["unknown"]);
    script.lines();
}

const PAGE: &str = "<m:SyncState>S1</m:SyncState><m:IncludesLastItemInRange>false\
    </m:IncludesLastItemInRange><m:Changes><t:Create><t:Contact><t:ItemId Id=\"A\" ChangeKey=\"1\"/>\
    <t:ItemClass>IPM.Contact</t:ItemClass></t:Contact></t:Create><t:Create><t:DistributionList>\
    <t:ItemId Id=\"G\" ChangeKey=\"1\"/></t:DistributionList></t:Create><t:Delete><t:ItemId \
    Id=\"B\"/></t:Delete><t:ReadFlagChange><t:ItemId Id=\"A\"/><t:IsRead>true</t:IsRead>\
    </t:ReadFlagChange><t:Update><t:Contact><t:ItemId Id=\"C\" ChangeKey=\"1\"/></t:Contact>\
    </t:Update></m:Changes>";

#[test]
fn changes_are_ids_whose_contacts_are_read() {
    let (ews, script) = ews([
        answer("SyncFolderItems", &[PAGE]),
        answer("GetItem", &[&item("A", "1", SHOWN), "!ErrorItemNotFound"]),
    ]);
    let page = ews.changes(Some(&MailboxPosition("S0".into()))).unwrap();
    assert_eq!(page.next, MailboxNext::Page(MailboxPosition("S1".into())));
    let entries: Vec<String> = page
        .entries
        .iter()
        .map(|entry| match entry {
            MailboxEntry::Present(contact) => format!("+{}", contact.id),
            MailboxEntry::Removed(id) => format!("-{id}"),
            MailboxEntry::Unreadable(..) => "?".into(),
        })
        .collect();
    assert_eq!(entries, ["+A", "-B", "-C"]);
    assert!(bodies(&script)[0].contains("<m:SyncState>S0</m:SyncState><m:MaxChangesReturned>"));
}

#[test]
fn a_lost_position_begins_anew_and_an_empty_one_is_never_kept() {
    let position = MailboxPosition("S0".into());
    let lost = "!ErrorInvalidSyncStateData <m:SyncState/><m:IncludesLastItemInRange>true\
                </m:IncludesLastItemInRange>";
    let (client, _script) = ews([answer("SyncFolderItems", &[lost])]);
    assert_eq!(
        client.changes(Some(&position)).unwrap().next,
        MailboxNext::Expired
    );
    let empty = PAGE.replace(">S1<", "><");
    let same = PAGE.replace(">S1<", ">S0<");
    for page in [&*empty, &*same] {
        let (client, _script) = ews([answer("SyncFolderItems", &[page])]);
        let error = client.changes(Some(&position)).unwrap_err();
        assert!(matches!(error, RemoteError::Protocol(_)), "{error:?}");
    }
}

#[test]
fn a_server_that_says_more_for_ever_is_not_followed_for_ever() {
    let page = |number: u32| {
        let page = format!(
            "<m:SyncState>S{number}</m:SyncState><m:IncludesLastItemInRange>false\
             </m:IncludesLastItemInRange><m:Changes/>"
        );
        answer("SyncFolderItems", &[&page])
    };
    let (client, _script) = ews((0..200).map(page));
    let mut position = None;
    let pages = (0..200).take_while(|_| match client.changes(position.as_ref()) {
        Ok(MailboxPage {
            next: MailboxNext::Page(next),
            ..
        }) => {
            position = Some(next);
            true
        }
        _ => false,
    });
    assert_eq!(pages.count(), 100);
}

#[test]
fn not_found_says_gone_only_while_the_mailbox_can_be_read() {
    let folder =
        "<m:Folders><t:ContactsFolder><t:FolderId Id=\"F\"/></t:ContactsFolder></m:Folders>";
    let (client, script) = ews([
        answer("GetItem", &["!ErrorItemNotFound"]),
        answer("GetFolder", &[folder]),
    ]);
    assert_eq!(client.read(&ids(&["A"])).unwrap(), [MailboxRead::Deleted]);
    script.lines();
    for refusal in ["!ErrorNonExistentMailbox", "!ErrorMailboxStoreUnavailable"] {
        let (client, _script) = ews([
            answer("GetItem", &["!ErrorItemNotFound"]),
            answer("GetFolder", &[refusal]),
        ]);
        assert!(client.read(&ids(&["A"])).is_err(), "{refusal}");
    }
}

#[test]
fn answers_that_are_none_are_problems_of_the_mailbox_or_of_one_contact() {
    let page = text_answer(200, &[], "<html><body>Please sign in</body></html>");
    let truncated = text_answer(200, &[], "<s:Envelope><s:Bo");
    for strange in [
        page,
        truncated,
        envelope("<m:GetFolderResponse/>"),
        text_answer(200, &[], ""),
    ] {
        let folder = "<m:Folders><t:Folder><t:FolderId Id=\"F\"/></t:Folder></m:Folders>";
        let (client, _script) = ews([strange, answer("GetFolder", &[folder])]);
        let read = client.read(&ids(&["A"])).unwrap();
        assert!(matches!(read[..], [MailboxRead::Unreadable(_)]), "{read:?}");
    }
    let (client, _script) = ews([answer(
        "GetItem",
        &[&item("B", "1", ""), &item("B", "1", SHOWN)],
    )]);
    let read = client.read(&ids(&["A", "B"])).unwrap();
    assert!(
        matches!(
            read[..],
            [MailboxRead::Unreadable(_), MailboxRead::Present(_)]
        ),
        "{read:?}"
    );
}

#[test]
fn a_deletion_is_compared_before_it_is_sent() {
    let contacts: Vec<(MailboxId, ChangeKey)> = [("A", "1"), ("B", "1"), ("C", "1")]
        .map(|(id, key)| (MailboxId::new(id), ChangeKey::new(key)))
        .into();
    let (ews, script) = ews([
        answer(
            "GetItem",
            &[
                &item("A", "1", ""),
                &item("B", "2", ""),
                "!ErrorItemNotFound",
            ],
        ),
        answer("DeleteItem", &[""]),
    ]);
    assert_eq!(words(&ews.delete(&contacts)), ["done", "stale", "stale"]);
    let expected = "<m:DeleteItem DeleteType=\"MoveToDeletedItems\"><m:ItemIds><t:ItemId Id=\"A\" \
        ChangeKey=\"1\"/></m:ItemIds></m:DeleteItem>";
    assert_eq!(bodies(&script)[1], expected);
}

#[test]
fn a_contact_is_found_in_every_live_contact_folder_and_in_no_other() {
    let folder = |id: &str, parent: &str, class: &str| {
        format!(
            "<t:Folder><t:FolderId Id=\"{id}\"/><t:ParentFolderId Id=\"{parent}\"/>\
             <t:FolderClass>{class}</t:FolderClass></t:Folder>"
        )
    };
    let folders = [
        folder("F", "top", "IPF.Contact"),
        folder("Privat", "F", "IPF.Contact"),
        folder("Trash", "top", "IPF.Note"),
        folder("Gone", "Trash", "IPF.Contact"),
        folder("Cache", "top", "IPF.Contact.RecipientCache"),
        folder("Mail", "top", "IPF.Note"),
    ];
    let list = format!(
        "<m:RootFolder IncludesLastItemInRange=\"true\"><t:Folders>{}</t:Folders></m:RootFolder>",
        folders.concat()
    );
    let trash = "<m:Folders><t:Folder><t:FolderId Id=\"Trash\"/></t:Folder></m:Folders>";
    let hit = |id: &str, value: &str| {
        format!(
            "<m:RootFolder><t:Items><t:Contact><t:ItemId Id=\"{id}\" ChangeKey=\"1\"/>\
             <t:ExtendedProperty><t:ExtendedFieldURI PropertyTag=\"0x300b\" \
             PropertyType=\"Binary\"/><t:Value>{value}</t:Value></t:ExtendedProperty></t:Contact>\
             </t:Items></m:RootFolder>"
        )
    };
    let (ews, script) = ews([
        answer("FindFolder", &[&list]),
        answer("GetFolder", &[trash]),
        answer("FindItem", &[&hit("X", "other"), &hit("Y", "c2Vh")]),
    ]);
    let found = ews
        .find(&[FindBy::StableId(StableId::new("c2Vh"))])
        .unwrap();
    assert_eq!(found, [Ok(ids(&["Y"]))]);
    let asked = &bodies(&script)[2];
    let places = "<m:ParentFolderIds><t:FolderId Id=\"F\"/><t:FolderId Id=\"Privat\"/>\
        </m:ParentFolderIds>";
    assert!(asked.contains(places), "{asked}");
}

// ---- what a server may do besides ---------------------------------------------------------------

/// An item whose class was changed reads as an empty contact: emptied by nobody.
#[test]
fn an_item_that_is_no_contact_any_more_is_not_read_as_one() {
    let changed = item("A", "2", "").replace("IPM.Contact<", "IPM.Contact_Old<");
    let other = changed.replace("t:Contact>", "t:Item>");
    for answered in [changed, other] {
        let (ews, _script) = ews([
            answer("GetItem", &[&answered]),
            answer("GetFolder", &[SYNCED]),
        ]);
        let read = ews.read(&ids(&["A"])).unwrap();
        assert!(matches!(read[..], [MailboxRead::Unreadable(_)]), "{read:?}");
    }
}

const SYNCED: &str =
    "<m:Folders><t:ContactsFolder><t:FolderId Id=\"F\"/></t:ContactsFolder></m:Folders>";

/// One contact spoils the answer for all: the others are read without it.
#[test]
fn one_contact_that_breaks_an_answer_breaks_its_own() {
    let broken = || text_answer(200, &[], "<s:Envelope><s:Body>");
    let present = |id: &str| item(id, "1", SHOWN);
    let (ews, script) = ews([
        broken(),
        answer("GetItem", &[&present("A"), &present("B")]),
        broken(),
        broken(),
        answer("GetItem", &[&present("D")]),
    ]);
    let read = ews.read(&ids(&["A", "B", "C", "D"])).unwrap();
    let words: Vec<bool> = read
        .iter()
        .map(|read| matches!(read, MailboxRead::Present(_)))
        .collect();
    assert_eq!(words, [true, true, false, true]);
    script.lines();
}

/// A pending row may hold an id of a mailbox that is no more.
#[test]
fn one_id_of_another_mailbox_ends_no_pass() {
    let (ews, script) = ews([
        answer(
            "GetItem",
            &[&item("A", "1", SHOWN), "!ErrorNonExistentMailbox"],
        ),
        answer("GetFolder", &[SYNCED]),
    ]);
    let read = ews.read(&ids(&["A", "B"])).unwrap();
    assert!(
        matches!(
            read[..],
            [MailboxRead::Present(_), MailboxRead::Unreadable(_)]
        ),
        "{read:?}"
    );
    assert!(bodies(&script)[1].contains("<t:FolderId Id=\"F\"/>"));
}

/// Somebody edits the very field between the write and the reading back.
#[test]
fn an_edit_behind_a_write_is_not_taken_for_what_was_written() {
    let version = |key: &str| {
        format!(
            "<m:Items><t:Contact><t:ItemId Id=\"A\" ChangeKey=\"{key}\"/></t:Contact></m:Items>"
        )
    };
    for (position, key, expected) in [("x", "3", "done"), ("x", "4", "done"), ("y", "4", "stale")] {
        let shown = SHOWN.replace("Leitung", position);
        let (ews, _script) = ews([
            answer("UpdateItem", &[&version("3")]),
            answer("GetItem", &[&item("A", key, &shown)]),
        ]);
        assert_eq!(
            words(&ews.update(&[edit("A", "x")])),
            [expected],
            "{position} {key}"
        );
    }
}

/// Whether a create happened is unknown when the mailbox's store went away under it.
#[test]
fn a_create_under_a_failover_may_have_happened() {
    let draft = MailboxDraft {
        key: SearchKey::new("k"),
        view: view(),
    };
    for (code, expected) in [
        ("ErrorMailboxStoreUnavailable", "unknown"),
        ("ErrorMailboxFailover", "unknown"),
        ("ErrorNonExistentMailbox", "not done"),
        ("ErrorImpersonateUserDenied", "not done"),
    ] {
        let refused = answer("CreateItem", &[&format!("!{code}")]);
        for answered in [refused, fault(code)] {
            let (ews, _script) = ews([answered]);
            let drafts = std::slice::from_ref(&draft);
            assert_eq!(words(&ews.create(drafts)), [expected], "{code}");
        }
    }
}

/// Of another address it is not known whose mailbox it is, though the account may open both.
#[test]
fn another_address_is_asked_who_it_is() {
    let folder =
        |id: &str| format!("<m:Folders><t:Folder><t:FolderId Id=\"{id}\"/></t:Folder></m:Folders>");
    let script = Scripted::new([answer("GetFolder", &[&folder("top 2"), &folder("F2")])]);
    let http = script.http(Service::Ews);
    let mut ews = Ews::new(http, URL, "jane@example.com", &access());
    let remembered = MailboxIdentity {
        service: "ews".into(),
        user: "top".into(),
        folder: "F".into(),
        address: Some("john@example.com".into()),
    };
    assert_eq!(ews.connect(Some(&remembered)).unwrap().user, "top 2");
    script.lines();
}

#[test]
fn a_mailbox_that_hides_its_folders_is_closed() {
    for code in [
        "ErrorItemNotFound",
        "ErrorFolderNotFound",
        "ErrorAccessDenied",
    ] {
        let refused = format!("!{code}");
        let script = Scripted::new([answer("GetFolder", &[&refused, &refused])]);
        let mut ews = Ews::new(script.http(Service::Ews), URL, "a@example.com", &access());
        let error = ews.connect(None).unwrap_err();
        let RemoteError::PermissionMissing(remote) = error else {
            panic!("{code}: {error:?}");
        };
        let remedy = remote.problem.remedy.unwrap();
        assert!(remedy.contains("full access"), "{code}: {remedy}");
    }
}

/// Told twice in one page, with or without a removal between.
#[test]
fn a_contact_that_is_told_twice_is_there() {
    let twice = PAGE.replace("Id=\"C\"", "Id=\"A\"");
    let (ews, _script) = ews([
        answer("SyncFolderItems", &[&twice]),
        answer("GetItem", &[&item("A", "1", SHOWN)]),
    ]);
    let page = ews.changes(None).unwrap();
    let present = |entry: &&MailboxEntry| matches!(entry, MailboxEntry::Present(_));
    assert_eq!(page.entries.iter().filter(present).count(), 1);
    assert_eq!(page.entries.len(), 2, "{:?}", page.entries);
}

/// Outlook's "none" is no birthday.
#[test]
fn a_birthday_that_was_cleared_in_outlook_is_none() {
    let shown = SHOWN.replace("1965-03-31T11:59:00Z", "4501-01-01T00:00:00Z");
    let (ews, _script) = ews([answer("GetItem", &[&item("A", "1", &shown)])]);
    let read = ews.read(&ids(&["A"])).unwrap().pop().unwrap();
    let MailboxRead::Present(contact) = read else {
        panic!("{read:?}")
    };
    assert_eq!(contact.view.birthday, None);
}

/// Not all folders were listed: nobody can be called gone.
#[test]
fn a_contact_that_may_be_in_a_folder_that_was_not_searched_is_not_gone() {
    let list = "<m:RootFolder IncludesLastItemInRange=\"false\"><t:Folders/></m:RootFolder>";
    let trash = "<m:Folders><t:Folder><t:FolderId Id=\"Trash\"/></t:Folder></m:Folders>";
    let none = "<m:RootFolder><t:Items/></m:RootFolder>";
    let (ews, _script) = ews([
        answer("FindFolder", &[list]),
        answer("GetFolder", &[trash]),
        answer("FindItem", &[none]),
    ]);
    let found = ews.find(&[FindBy::Key(SearchKey::new("k"))]).unwrap();
    assert!(matches!(found[..], [Err(_)]), "{found:?}");
}
