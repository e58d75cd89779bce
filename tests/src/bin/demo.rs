//! The main job, told in a few screens: simulator, component, host and store, all on this machine.

#![expect(clippy::print_stdout, reason = "a program that tells a story")]

use std::collections::BTreeMap;
use std::time::Instant;

use contact_sync_host::types::{Action, Field, Finding, Operation, Outcome, Report, Side};
use contact_sync_host::{Mode, Target, Verdict};
use contact_sync_tests::office::{Office, Ran, Trouble, now};
use contact_sync_tests::people::{Sizes, population};
use contact_sync_tests::simulator::Dialect;
use serde_json::{Map, Value, json};

const ANNA: &str = "anna@makler.example";
const BERND: &str = "bernd@makler.example";
const SEED: u64 = 7;
const SIZES: Sizes = Sizes {
    crm: 140,
    mailbox: 120,
    shared: 40,
};

/// Operations of one kind that are shown; of the others, how many there are.
const SHOWN_MAX: usize = 4;

#[tokio::main]
async fn main() -> Result<(), Trouble> {
    let begun = Instant::now();
    let servers = [(ANNA, Dialect::Graph), (BERND, Dialect::Ews)];
    let office = Office::open_mixed(SEED, &servers).await?;
    let cast = furnish(&office);
    introduce(&office);
    first_sync(&office).await?;
    edits(&office, &cast).await?;
    conflict(&office, &cast).await?;
    markers(&office, &cast).await?;
    deletions(&office, &cast).await?;
    accident(&office).await?;
    regret(&office, &cast).await?;
    second_server(&office, &cast).await?;
    quiet(&office).await?;
    println!(
        "All of it took {:.1} s. Nothing left this machine.\n",
        begun.elapsed().as_secs_f64()
    );
    println!("What next?");
    println!("  cargo test                                      everything above and more, proven");
    println!(
        "  cargo run --bin simulator -- --contacts 500     both services, for your own client"
    );
    println!("  cargo run --bin contact-sync -- example-config  connect a real company: README.md");
    Ok(())
}

/// The people of the story, by their ids.
struct Cast {
    /// In FLOWFACT, marked for Anna.
    kaestner: String,
    wiegand: String,
    sommerfeld: String,
    /// In FLOWFACT, not marked.
    voigtlaender: String,
    /// In Outlook.
    brandl: String,
}

fn furnish(office: &Office) -> Cast {
    let mut services = office.services();
    let people = population(SEED, SIZES);
    for (number, fields) in people.crm.into_iter().enumerate() {
        let id = services.flowfact.create(fields, now());
        // Of those who are in FLOWFACT alone, one in four is to go to Anna's phone.
        if number >= SIZES.shared && number % 4 == 0 {
            services.flowfact.set_marker(&id, ANNA, now());
        }
    }
    for properties in people.mailbox {
        services.graph.create(ANNA, &properties, now());
    }
    let mut contact = |fields: Value, marked: bool| {
        let id = services.flowfact.create(object(fields), now());
        if marked {
            services.flowfact.set_marker(&id, ANNA, now());
        }
        id
    };
    let kaestner = contact(
        json!({
            "firstName": ["Sabine"], "lastName": ["Kästner"], "company": ["Kästner Hausverwaltung"],
            "phones": [
                {"type": "office", "number": "0221 / 88 99-0", "note": "Zentrale"},
                {"type": "office", "number": "0221 889912"},
                {"type": "office", "number": "0221 889913"},
                {"type": "mobile", "number": "0172/1234567 privat"},
            ],
            "emails": ["s.kaestner@kaestner.example", "info@kaestner.example",
                       "post@kaestner.example", "rechnung@kaestner.example"],
        }),
        true,
    );
    let wiegand = contact(
        json!({"firstName": ["Jonas"], "lastName": ["Wiegand"], "emails": ["jonas@wiegand.example"],
               "phones": [{"type": "mobile", "number": "0171 5550123"}]}),
        true,
    );
    let sommerfeld = contact(
        json!({"firstName": ["Petra"], "lastName": ["Sommerfeld"], "emails": ["p@sommerfeld.example"]}),
        true,
    );
    let voigtlaender = contact(
        json!({"firstName": ["Klaus"], "lastName": ["Voigtländer"], "emails": ["klaus@voigtlaender.example"]}),
        false,
    );
    let brandl = json!({"givenName": "Miriam", "surname": "Brandl",
        "emailAddresses": [{"address": "miriam@brandl.example", "name": "Miriam"}]});
    let brandl = services
        .graph
        .create(ANNA, &object(brandl), now())
        .unwrap_or_default();
    Cast {
        kaestner,
        wiegand,
        sommerfeld,
        voigtlaender,
        brandl,
    }
}

fn introduce(office: &Office) {
    let services = office.services();
    title("Two address books");
    println!(
        "FLOWFACT holds {} contacts of an estate agency; some carry the marker of Anna's",
        services.flowfact.contact_count()
    );
    println!(
        "mailbox. Her Outlook holds {}. Some people are in both, written differently.",
        services.graph.contact_count(ANNA)
    );
    println!(
        "Both services are simulated on http://{}; the sync is the real",
        office.address()
    );
    println!("component, sandboxed in wasmtime, and its memory is an SQLite file.");
}

async fn first_sync(office: &Office) -> Result<(), Trouble> {
    title("1  First sync: preview, then do it");
    let preview = office.run("anna", Mode::Preview).await?;
    println!("A preview writes nothing and shows every single step. It would:\n");
    show_plan(&preview.operations);
    let ran = office.run("anna", Mode::Sync).await?;
    println!("\nDone: {}", counted(&ran.report));
    ensure(
        preview.operations.len() == ran.operations.len(),
        "sync does what preview has shown",
    )?;
    println!("\nWhat did not fit, or could not be read, stays in FLOWFACT and is told:\n");
    show_findings(&ran.findings);
    Ok(())
}

async fn edits(office: &Office, cast: &Cast) -> Result<(), Trouble> {
    title("2  An edit on each side");
    let outlook = outlook_id(office, "Kästner")?;
    {
        let mut services = office.services();
        println!(
            "Anna adds a job title to Sabine Kästner in Outlook; a colleague changes her company in"
        );
        println!("FLOWFACT. Different fields: no conflict, and nobody loses anything.\n");
        services.graph.edit(
            ANNA,
            &outlook,
            &object(json!({"jobTitle": "Geschäftsführerin"})),
            now(),
        );
        services.flowfact.edit(
            &cast.kaestner,
            "company",
            json!(["Kästner & Söhne GmbH"]),
            now(),
        );
    }
    let ran = office.run("anna", Mode::Sync).await?;
    show_changes(&ran);
    let services = office.services();
    let company = services
        .graph
        .contact(ANNA, &outlook)
        .and_then(|c| c.get("companyName").cloned());
    ensure(
        company == Some(json!("Kästner & Söhne GmbH")),
        "the company has reached Outlook",
    )?;
    let phones = services.flowfact.values(&cast.kaestner, "phones");
    ensure(phones.len() == 4, "no phone number is lost")?;
    println!("\nHer four phone numbers in FLOWFACT are untouched, down to `0221 / 88 99-0`.");
    Ok(())
}

async fn conflict(office: &Office, cast: &Cast) -> Result<(), Trouble> {
    title("3  A conflict");
    let outlook = outlook_id(office, "Wiegand")?;
    println!("Both sides change the same phone number of Jonas Wiegand, differently.\n");
    {
        let mut services = office.services();
        let number = |number: &str| json!([{"type": "mobile", "number": number}]);
        services
            .flowfact
            .edit(&cast.wiegand, "phones", number("0171 5550999"), now());
        let edit = json!({"mobilePhone": "+49 171 5550777"});
        services.graph.edit(ANNA, &outlook, &object(edit), now());
    }
    let ran = office.run("anna", Mode::Sync).await?;
    show_changes(&ran);
    show_findings(&ran.findings);
    ensure(ran.report.counts.conflicts == 1, "there was one conflict")?;
    let journal = office.mailbox("anna")?.journal(None, 10).await?;
    ensure(!journal.entries.is_empty(), "the journal keeps what lost")?;
    println!("\nThe policy decides (here: FLOWFACT wins); the journal keeps the value that lost.");
    Ok(())
}

async fn markers(office: &Office, cast: &Cast) -> Result<(), Trouble> {
    title("4  A marker set, a marker removed");
    println!(
        "Klaus Voigtländer gets Anna's marker (Synchronisations-Merkmal); Petra Sommerfeld loses it.\n"
    );
    {
        let mut services = office.services();
        services
            .flowfact
            .set_marker(&cast.voigtlaender, ANNA, now());
        services
            .flowfact
            .remove_marker(&cast.sommerfeld, ANNA, now());
    }
    let ran = office.run("anna", Mode::Sync).await?;
    show_changes(&ran);
    outlook_id(office, "Voigtländer")?;
    outlook_id(office, "Sommerfeld")?;
    println!(
        "\nKlaus Voigtländer is in Outlook now. Petra Sommerfeld stays on both sides, and each goes its own way."
    );
    Ok(())
}

async fn deletions(office: &Office, cast: &Cast) -> Result<(), Trouble> {
    title("5  A deletion each way");
    println!("Jonas Wiegand is deleted in FLOWFACT, Miriam Brandl in Outlook.\n");
    {
        let mut services = office.services();
        services.flowfact.delete(&cast.wiegand, now());
        services.graph.delete(ANNA, &cast.brandl, now());
    }
    let ran = office.run("anna", Mode::Sync).await?;
    show_changes(&ran);
    ensure(
        outlook_id(office, "Wiegand").is_err(),
        "Jonas Wiegand has left Outlook",
    )?;
    ensure(
        office.services().flowfact.trash().len() == 2,
        "both are in FLOWFACT's trash",
    )?;
    println!(
        "\nSoftly: into the trash of each service, confirmed by id, and kept whole in the journal."
    );
    Ok(())
}

async fn accident(office: &Office) -> Result<(), Trouble> {
    const LOST: usize = 40;
    title("6  An accident");
    println!("A broken phone app deletes {LOST} of Anna's contacts at once.\n");
    let count = |office: &Office| office.services().graph.contact_count(ANNA);
    let before = count(office);
    {
        let mut services = office.services();
        let ids: Vec<String> = services.graph.contacts(ANNA).into_keys().collect();
        for id in ids.iter().take(LOST) {
            services.graph.delete(ANNA, id, now());
        }
    }
    let ran = office.run("anna", Mode::Sync).await?;
    let Outcome::NeedsApproval(request) = ran.report.outcome else {
        return Err("so many deletions wait for a person".into());
    };
    ensure(
        ran.report.counts.crm.deleted == 0,
        "FLOWFACT has lost nobody",
    )?;
    println!(
        "Sync: \"would delete {} in FLOWFACT, of {} linked contacts; none of it is done.\"",
        request.crm_deletions, request.links
    );
    println!("`contact-sync approve` shows the list, name by name; `reject` answers it:\n");
    let mailbox = office.mailbox("anna")?;
    mailbox.answer(&request.token, Verdict::Reject).await?;
    let ran = office.run("anna", Mode::Sync).await?;
    println!("Done: {}", counted(&ran.report));
    ensure(count(office) == before, "everybody is in Outlook again")?;
    println!("\nAll {before} contacts are in Outlook again.");
    Ok(())
}

async fn regret(office: &Office, cast: &Cast) -> Result<(), Trouble> {
    title("7  Back again");
    println!("And Jonas Wiegand should not have been deleted either:\n");
    let target = Target::Contact(cast.wiegand.clone());
    let mut pass = office.mailbox("anna")?.restore(&target, false).await?;
    pass.run(|_| {}).await?;
    let operations = pass.operations(0).await?;
    let findings = pass.findings(0).await?;
    pass.close().await;
    for operation in &operations {
        println!("  {}: {}", operation.contact.label, what(operation));
    }
    show_findings(&findings);
    outlook_id(office, "Wiegand")?;
    ensure(
        office.services().flowfact.find("lastName", "Wiegand") == Some(cast.wiegand.clone()),
        "Jonas Wiegand is in FLOWFACT under his own id",
    )?;
    Ok(())
}

/// One contact, marked for two mailboxes on servers of different kinds: what somebody edits in one
/// Outlook arrives in the other, through FLOWFACT.
async fn second_server(office: &Office, cast: &Cast) -> Result<(), Trouble> {
    title("8  A second mailbox, on an Exchange Server");
    println!(
        "Bernd's mailbox is on the company's own Exchange Server, which speaks another protocol."
    );
    println!("Sabine Kästner, whom Anna has already, gets Bernd's marker as well.\n");
    office
        .services()
        .flowfact
        .set_marker(&cast.kaestner, BERND, now());
    let ran = office.run("bernd", Mode::Sync).await?;
    println!("Done: {}\n", counted(&ran.report));
    let in_bernds = |office: &Office| {
        let services = office.services();
        services.graph.find(BERND, "surname", "Kästner")
    };
    let id = in_bernds(office).ok_or("Sabine Kästner is not in Bernd's Outlook")?;
    println!("Bernd enters her department in his Outlook; then both mailboxes are synced.\n");
    let edit = object(json!({"department": "Geschäftsleitung"}));
    office.services().graph.edit(BERND, &id, &edit, now());
    show_changes(&office.run("bernd", Mode::Sync).await?);
    show_changes(&office.run("anna", Mode::Sync).await?);
    let outlook = outlook_id(office, "Kästner")?;
    let contact = office.services().graph.contact(ANNA, &outlook);
    let department = contact.and_then(|contact| contact.get("department").cloned());
    ensure(
        department == Some(json!("Geschäftsleitung")),
        "the department has reached Anna's Outlook",
    )?;
    println!(
        "\nFrom Exchange Server through FLOWFACT to Office 365, and the same the other way round."
    );
    Ok(())
}

async fn quiet(office: &Office) -> Result<(), Trouble> {
    title("9  Nothing has happened since");
    // What the last pass wrote comes back from both services once, and is recognised.
    office.run("anna", Mode::Sync).await?;
    office.services().take_counters();
    let ran = office.run("anna", Mode::Sync).await?;
    let counters = office.services().take_counters();
    ensure(counters.writes() == 0, "a quiet pass writes nothing")?;
    ensure(ran.operations.is_empty(), "a quiet pass plans nothing")?;
    let requests: u32 = ran
        .report
        .counts
        .usage
        .iter()
        .map(|usage| usage.requests)
        .sum();
    println!(
        "A quiet pass: {requests} requests, 0 writes; rows read from the store: {}, commits: {}.",
        ran.report.counts.store_reads, ran.report.counts.store_commits
    );
    let overview = office.mailbox("anna")?.status().await?;
    println!(
        "\nAt the end: {} pairs in step, {} at rest, {} waiting for an answer.\n",
        overview.links, overview.detached, overview.held
    );
    Ok(())
}

// ---- telling ------------------------------------------------------------------------------------

fn title(text: &str) {
    println!(
        "\n── {text} {}\n",
        "─".repeat(74_usize.saturating_sub(text.chars().count()))
    );
}

fn show_plan(operations: &[Operation]) {
    let mut kinds: BTreeMap<String, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        kinds.entry(what(operation)).or_default().push(operation);
    }
    for (what, operations) in kinds {
        println!("  {:>4} × {what}", operations.len());
        for operation in operations.iter().take(SHOWN_MAX) {
            println!("         {}", operation.contact.label);
        }
    }
}

fn what(operation: &Operation) -> String {
    let side = match operation.side {
        Side::Crm => "FLOWFACT",
        Side::Mailbox => "Outlook",
    };
    match operation.action {
        Action::Create => format!("create in {side}"),
        Action::Update => format!("update in {side}"),
        Action::Delete => format!("delete in {side}"),
        Action::Mark => "set the marker in FLOWFACT".to_owned(),
        Action::Unmark => "take the marker off in FLOWFACT".to_owned(),
        Action::Pair => "the same person on both sides: pair".to_owned(),
        Action::Detach => "take the pair apart".to_owned(),
        Action::Forget => "forget the pair".to_owned(),
        Action::Restore => format!("restore in {side}"),
    }
}

fn show_changes(ran: &Ran) {
    for operation in &ran.operations {
        println!(
            "  {}: {}  ({})",
            operation.contact.label,
            what(operation),
            operation.reason
        );
        for change in &operation.changes {
            println!(
                "      {}: {} → {}",
                field_name(change.field),
                change.before.as_deref().unwrap_or("–"),
                change.after.as_deref().unwrap_or("–")
            );
        }
    }
}

/// `AcademicTitle` as people read it: `academic title`.
fn field_name(field: Field) -> String {
    let mut name = String::new();
    for character in format!("{field:?}").trim_start_matches("Field::").chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push(' ');
        }
        name.extend(character.to_lowercase());
    }
    name
}

fn show_findings(findings: &[Finding]) {
    let mut codes: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        codes.entry(&finding.code).or_default().push(finding);
    }
    for (code, findings) in codes {
        println!("  {:>4} × {code}", findings.len());
        for finding in findings.iter().take(2) {
            let label = finding
                .contact
                .as_ref()
                .map_or("", |contact| contact.label.as_str());
            println!("         {label}: {}", finding.message);
        }
    }
}

fn counted(report: &Report) -> String {
    let (crm, mailbox) = (report.counts.crm, report.counts.mailbox);
    let outcome = match &report.outcome {
        Outcome::Complete => "complete",
        Outcome::NeedsApproval(_) => "needs approval",
        Outcome::Stopped(_) => "stopped",
    };
    format!(
        "{outcome}. FLOWFACT: {} created, {} updated. Outlook: {} created, {} updated. {:.1} s.",
        crm.created,
        crm.updated,
        mailbox.created,
        mailbox.updated,
        std::time::Duration::from_millis(report.counts.elapsed_ms).as_secs_f64()
    )
}

// ---- looking ------------------------------------------------------------------------------------

/// The id of somebody in Anna's contacts folder.
fn outlook_id(office: &Office, surname: &str) -> Result<String, Trouble> {
    let services = office.services();
    let contacts = services.graph.contacts(ANNA);
    let found = contacts
        .into_iter()
        .find(|(_, contact)| contact.get("surname").and_then(Value::as_str) == Some(surname));
    found
        .map(|(id, _)| id)
        .ok_or_else(|| format!("{surname} is not in Outlook").into())
}

/// A story that is not true is not told.
fn ensure(is_so: bool, what: &str) -> Result<(), Trouble> {
    if is_so {
        Ok(())
    } else {
        Err(format!("the demo went wrong: not so that {what}").into())
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
