//! The shipped component in the real host, over HTTP on loopback.
//!
//! Goal: what the native suites prove of the engine holds for the bytes that are shipped, with real
//! sign-in, egress, store and sandbox around them. Method: an `Office`, people who work in it, and
//! counts of the requests that reach the services.

use contact_sync_artifact::COMPONENT;
use contact_sync_host::types::{Action, Outcome, Side};
use contact_sync_host::{Explained, Mode, Place, Standing, Target};
use contact_sync_tests::office::{Office, now};
use contact_sync_tests::people::{Sizes, population};
use contact_sync_tests::simulator::faults::{Fault, Matcher};
use serde_json::{Map, Value, json};
use wasmparser::{Encoding, Parser, Payload};

const ANNA: &str = "anna@makler.example";
const BERND: &str = "bernd@makler.example";

mod plugin {
    mod failing_store;
    mod rubbish;
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

/// An office in which both sides have contacts, a third of them the same people.
async fn furnished(contacts: usize) -> Office {
    let office = Office::open(11, &[ANNA]).await.expect("an office");
    let sizes = Sizes {
        crm: contacts,
        mailbox: contacts,
        shared: contacts / 3,
    };
    let mut services = office.services();
    services.graph.quirks.requests_per_ten_minutes_max = None;
    services.populate(ANNA, 11, sizes, now());
    drop(services);
    office
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sync_writes_nothing() {
    let office = furnished(60).await;
    let first = office.run("anna", Mode::Sync).await.expect("a first pass");
    assert_eq!(
        first.report.outcome,
        Outcome::Complete,
        "{:?}",
        first.findings
    );
    assert!(first.operations.len() >= 40, "{}", first.operations.len());
    let before = office.services().take_counters();
    assert!(before.writes() > 0);

    let second = office.run("anna", Mode::Sync).await.expect("a second pass");
    assert_eq!(second.report.outcome, Outcome::Complete);
    assert_eq!(second.operations, []);
    assert_eq!(office.services().take_counters().writes(), 0);

    let quiet = office.run("anna", Mode::Sync).await.expect("a quiet pass");
    assert_eq!(quiet.operations, []);
    let asked: u32 = quiet
        .report
        .counts
        .usage
        .iter()
        .map(|usage| usage.requests)
        .sum();
    assert!(asked <= 3, "{asked} requests");
    assert!(quiet.report.counts.store_commits <= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_writes_nothing_and_names_what_a_sync_does() {
    let office = furnished(30).await;
    let preview = office.run("anna", Mode::Preview).await.expect("a preview");
    assert_eq!(office.services().take_counters().writes(), 0);
    let sync = office.run("anna", Mode::Sync).await.expect("a pass");
    let told = |ran: &contact_sync_tests::office::Ran| {
        let line = |o: &contact_sync_host::types::Operation| {
            (o.side, o.action, o.contact.label.clone(), o.changes.len())
        };
        ran.operations.iter().map(line).collect::<Vec<_>>()
    };
    assert!(!preview.operations.is_empty());
    assert_eq!(told(&preview), told(&sync));
}

/// The same through the component: a contact and its values explained, and nothing written.
#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_explained_by_what_people_know() {
    let office = Office::open(5, &[ANNA]).await.expect("an office");
    let phone = |number: &str| json!({"type": "office", "number": number});
    let fields = json!({"firstName": ["Erika"], "lastName": ["Muster"],
        "emails": ["erika@muster.example"],
        "phones": [phone("0221 889901"), phone("0221 889902"), phone("0221 889903")]});
    let id = {
        let mut services = office.services();
        let id = services.flowfact.create(object(&fields), now());
        services.flowfact.set_marker(&id, ANNA, now());
        id
    };
    office.run("anna", Mode::Sync).await.expect("a pass");
    office.services().take_counters();
    let mailbox = office.mailbox("anna").expect("Anna has one");
    for question in [
        id.as_str(),
        "erika muster",
        "erika@muster.example",
        "+49 221 889901",
    ] {
        let Ok(Explained::One(explanation)) = mailbox.explain(question).await else {
            panic!("`{question}` is Erika");
        };
        assert_eq!(explanation.standing, Standing::Linked, "{question}");
        assert_eq!(explanation.contact.crm_id.as_deref(), Some(id.as_str()));
        let place = |text: &str| {
            let mut values = explanation.values.iter();
            let holds = |crm: &Option<String>| crm.as_ref().is_some_and(|crm| crm.contains(text));
            let found = values.find(|value| holds(&value.crm)).expect("it is there");
            (found.place, found.slots.clone())
        };
        assert_eq!(
            place("889901"),
            (Place::Both, vec!["BusinessPhone1".to_owned()])
        );
        assert_eq!(place("889903"), (Place::NoRoom, Vec::new()));
        assert_eq!(explanation.findings[0].code, "in-step");
    }
    assert_eq!(office.services().take_counters().writes(), 0);
    let nobody = mailbox.explain("nobody@nowhere.example").await;
    assert!(nobody.is_err_and(|error| error.remedy().is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_deletions_and_markers_travel_through_two_mailboxes() {
    let office = Office::open(3, &[ANNA, BERND]).await.expect("an office");
    let ids: Vec<String> = ["Erika", "Hans", "Ute", "Ralf"]
        .iter()
        .map(|name| {
            let mut services = office.services();
            let fields = json!({"firstName": [name], "lastName": ["Muster"],
                "emails": [format!("{}@muster.example", name.to_lowercase())]});
            let id = services.flowfact.create(object(&fields), now());
            services.flowfact.set_marker(&id, ANNA, now());
            services.flowfact.set_marker(&id, BERND, now());
            id
        })
        .collect();
    for mailbox in ["anna", "bernd", "anna", "bernd"] {
        office.run(mailbox, Mode::Sync).await.expect("a pass");
    }
    let outlook = |address: &str, email: &str| {
        let services = office.services();
        let contacts = services.graph.contacts(address);
        contacts.into_iter().find(|(_, contact)| {
            contact
                .get("emailAddresses")
                .is_some_and(|emails| emails.to_string().contains(email))
        })
    };
    let (erika, _) = outlook(ANNA, "erika@").expect("Erika is in Anna's mailbox");
    let (hans, _) = outlook(BERND, "hans@").expect("Hans is in Bernd's mailbox");
    {
        let mut services = office.services();
        services.graph.edit(
            ANNA,
            &erika,
            &object(&json!({"jobTitle": "Notarin"})),
            now(),
        );
        services.graph.delete(BERND, &hans, now());
        services.flowfact.remove_marker(&ids[2], ANNA, now());
    }
    for mailbox in ["anna", "bernd", "anna"] {
        let ran = office.run(mailbox, Mode::Sync).await.expect("a pass");
        assert_eq!(ran.report.outcome, Outcome::Complete, "{:?}", ran.findings);
    }
    let (_, erika) = outlook(BERND, "erika@").expect("Erika is in Bernd's mailbox");
    assert_eq!(
        erika.get("jobTitle"),
        Some(&json!("Notarin")),
        "an edit reaches the other mailbox"
    );
    assert!(
        outlook(ANNA, "hans@").is_none(),
        "a deletion reaches the other mailbox"
    );
    assert!(
        office.services().flowfact.trash().contains_key(&ids[1]),
        "softly"
    );
    assert!(
        outlook(ANNA, "ute@").is_some(),
        "a marker taken away deletes nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_contacts_are_imported() {
    let office = Office::open(5, &[ANNA]).await.expect("an office");
    {
        let mut services = office.services();
        services.graph.quirks.requests_per_ten_minutes_max = None;
        let sizes = Sizes {
            crm: 0,
            mailbox: 10_000,
            shared: 0,
        };
        for properties in population(5, sizes).mailbox {
            services.graph.create(ANNA, &properties, now());
        }
    }
    let ran = office.run("anna", Mode::Sync).await.expect("a first pass");
    assert_eq!(
        ran.report.outcome,
        Outcome::Complete,
        "{:?}",
        ran.findings.first()
    );
    let created = ran
        .operations
        .iter()
        .filter(|o| o.action == Action::Create && o.side == Side::Crm);
    let asked = ran
        .findings
        .iter()
        .filter(|f| f.code.contains("match") || f.code == "namesake");
    let counts = &ran.report.counts;
    assert_eq!(created.count(), 10_000 - asked.count());
    assert!(counts.crm.created >= 9_900, "{}", counts.crm.created);
    // A commit of intents and one of links for each batch, never one for each contact.
    assert!(counts.store_commits <= 1_100, "{}", counts.store_commits);
    let writes = office.services().counters().writes();
    assert!(
        writes <= u64::from(counts.crm.created) + 1,
        "one write for each contact: {writes}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_and_a_page_of_html_are_told() {
    let office = furnished(5).await;
    for (url, says) in [
        ("/search-service/", "flowfact"),
        ("/contacts/delta", "graph"),
    ] {
        let html = Fault::Garbled {
            body: b"<html><body>Proxy error</body></html>".to_vec(),
        };
        office
            .services()
            .faults
            .script(Matcher::url(url), 0, 50, html);
        let ended = office.run("anna", Mode::Sync).await;
        let told = match ended {
            Ok(ran) => format!("{:?}", ran.report.outcome),
            Err(error) => error.to_string(),
        };
        assert!(told.to_lowercase().contains(says), "{told}");
        office.services().faults.clear();
    }
    std::fs::write(office.folder().join("flowfact-token"), "wrong").expect("a wrong token");
    let other = office.reopened().await.expect("a new host");
    let checked = other.mailbox("anna").expect("the mailbox").check().await;
    let checked = checked.expect("a checkup says what is wrong instead of failing");
    let findings = checked.checkup.findings;
    assert!(!checked.checkup.ready);
    let is_told = findings
        .iter()
        .any(|finding| finding.code == "crm-unreachable");
    assert!(is_told, "{findings:?}");
    assert!(checked.sign_in.is_some(), "the host knows why");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_port_ends_a_pass_and_harms_nothing() {
    let office = furnished(5).await;
    office.run("anna", Mode::Sync).await.expect("a first pass");
    office.close_services();
    let office = office
        .reopened()
        .await
        .expect("a new host, without connections");
    let mailbox = office.mailbox("anna").expect("the mailbox");
    let checked = mailbox.check().await.expect("a checkup says what is wrong");
    assert!(!checked.checkup.ready, "{:?}", checked.checkup);
    let ended = office.run("anna", Mode::Sync).await;
    let told = match ended {
        Ok(ran) => format!("{:?}", ran.report.outcome),
        Err(error) => error.to_string(),
    };
    assert!(
        !told.contains("crashed") && !told.contains("Complete"),
        "{told}"
    );
    assert!(
        mailbox
            .last_crash()
            .await
            .expect("the store answers")
            .is_none()
    );
    assert!(mailbox.status().await.expect("the store answers").links > 0);
}

/// A host that we did not write must be able to load it: nothing beyond WASI 0.2 and our own store.
#[test]
fn the_component_imports_wasi_and_its_store_and_nothing_else() {
    let mut names = Vec::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(COMPONENT) {
        match payload.expect("a well-formed component") {
            Payload::Version { encoding, .. } => {
                assert!(depth > 0 || encoding == Encoding::Component);
                depth += 1;
            }
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    names.push(import.expect("an import").name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    assert!(
        names
            .iter()
            .any(|name| name == "contact-sync:plugin/store@0.1.0"),
        "{names:#?}"
    );
    for name in &names {
        let is_ours = [
            "contact-sync:plugin/store@0.1.0",
            "contact-sync:plugin/types@0.1.0",
        ];
        let wasi = [
            "wasi:cli/",
            "wasi:clocks/",
            "wasi:http/",
            "wasi:io/",
            "wasi:random/",
        ];
        let is_wasi = wasi.iter().any(|prefix| name.starts_with(prefix)) && name.contains("@0.2.");
        assert!(is_ours.contains(&name.as_str()) || is_wasi, "{name}");
    }
}

/// Deleted in Outlook, gone from FLOWFACT, and back on both sides: through the journal of the
/// store, the host's rules for what a dry run may send, and a lease.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_comes_back() {
    let office = Office::open(5, &[ANNA]).await.expect("an office");
    let ids: Vec<String> = ["Erika", "Hans", "Ute"]
        .iter()
        .map(|name| {
            let mut services = office.services();
            let fields = json!({"firstName": [name], "lastName": ["Muster"],
                "emails": [format!("{}@muster.example", name.to_lowercase())]});
            let id = services.flowfact.create(object(&fields), now());
            services.flowfact.set_marker(&id, ANNA, now());
            id
        })
        .collect();
    for _ in 0..2 {
        office.run("anna", Mode::Sync).await.expect("a pass");
    }
    {
        let mut services = office.services();
        let erika = services.graph.find(ANNA, "givenName", "Erika");
        let erika = erika.expect("Erika is in Anna's mailbox");
        services.graph.delete(ANNA, &erika, now());
    }
    office.run("anna", Mode::Sync).await.expect("a pass");
    assert_eq!(office.services().flowfact.contact_count(), 2);

    let mailbox = office.mailbox("anna").expect("Anna");
    let page = mailbox.journal(None, 10).await.expect("the journal");
    let [entry] = page.entries.as_slice() else {
        panic!("one deletion: {:?}", page.entries);
    };
    assert_eq!(entry.contact.crm_id.as_ref(), ids.first());
    let target = Target::Contact(ids[0].clone());
    office.services().take_counters();
    for is_dry in [true, false] {
        let mut pass = mailbox.restore(&target, is_dry).await.expect("a pass");
        let report = pass.run(|_| {}).await.expect("a report");
        let operations = pass.operations(0).await.expect("operations");
        pass.close().await;
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.findings);
        assert_eq!(operations.len(), 2, "{operations:?}");
        let writes = office.services().take_counters().writes();
        assert_eq!(writes, if is_dry { 0 } else { 2 });
    }
    assert_eq!(office.services().flowfact.contact_count(), 3);
    assert!(
        office
            .services()
            .graph
            .find(ANNA, "givenName", "Erika")
            .is_some()
    );
    let page = mailbox.journal(None, 10).await.expect("the journal");
    assert!(page.entries.iter().all(|entry| entry.restored.is_some()));

    let unknown = Target::Pass("nobody".to_owned());
    let mut pass = mailbox.restore(&unknown, true).await.expect("a pass");
    let report = pass.run(|_| {}).await.expect("a report");
    pass.close().await;
    assert!(matches!(report.outcome, Outcome::Stopped(_)), "{report:?}");
}

/// The shipped component can be prepared, or each sandbox would do it for itself; and nothing gets
/// into it that is not the same tomorrow.
#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_component_is_prepared_and_always_the_same() {
    let once = contact_sync_host::prepare(COMPONENT).await;
    let again = contact_sync_host::prepare(COMPONENT).await;
    let (once, again) = (once.expect("prepared"), again.expect("prepared"));
    assert!(once == again, "two preparations of the same component");
    assert_ne!(once, COMPONENT);
}
