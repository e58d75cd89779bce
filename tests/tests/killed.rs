//! A pass whose process is killed.
//!
//! Goal: a host that dies at any moment, in the middle of a request even, loses nothing and doubles
//! nothing (contract, sections 7.3 and 7.4). Method: passes of the shipped component in the real
//! host, each in a process of its own; at the n-th request of a pass its process is killed by a
//! signal, just before the service carries the request out or just after. Others go on where it
//! fell. In the end both sides must hold what they hold where nobody died.
//!
//! Nobody is matched here: a copy whose answer was lost would else be recognised by its e-mail
//! address, and it would not show whether the intent was written before the create.

use contact_sync_guest::outside::Timestamp;
use contact_sync_tests::office::{Premises, now};
use contact_sync_tests::simulator::{Interruption, Moment};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

const ANNA: &str = "anna@makler.example";

/// A story is told again with a death at every so many requests; odd, so that deaths before and
/// after an effect fall on every kind of request.
const STRIDE: usize = 3;

/// Longer than a lease lives and a create takes to settle (contract, 7.3).
const LATER_MS: u64 = 660_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_may_be_killed_at_any_request() {
    tell(|_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_of_a_day_of_work_may_be_killed_at_any_request() {
    tell(|story| {
        assert!(story.pass().ends_with("Complete"));
        story.later();
        story.a_day_of_work();
    })
    .await;
}

/// Tells a story to its end, then again with a death in the pass that follows it, for each moment.
async fn tell(before: fn(&mut Story)) {
    let premises = Premises::open_with_policy(7, &[ANNA], "matching = \"off\"");
    let premises = premises.await.expect("premises");
    let mut story = Story::begin(&premises);
    before(&mut story);
    premises.services().take_counters();
    assert!(story.pass().ends_with("Complete"));
    let requests = premises.services().counters().requests;
    let expected = story.end();
    assert!(requests >= 10, "{requests} requests are no story");

    let moments = [Moment::Before, Moment::After].into_iter().cycle();
    for (skip, moment) in (0..requests).step_by(STRIDE).zip(moments) {
        let mut story = Story::begin(&premises);
        before(&mut story);
        story.killed_pass(skip, moment);
        let ending = story.end();
        let place = format!("killed {moment:?} the effect of request {skip} of {requests}");
        assert_eq!(
            ending.without(&expected),
            Vec::<String>::new(),
            "{place}: too much"
        );
        assert_eq!(
            expected.without(&ending),
            Vec::<String>::new(),
            "{place}: missing"
        );
    }
}

/// What both sides hold, without ids, versions and times: the side, and the contact.
struct Ending(Vec<String>);

impl Ending {
    /// What this one has and the other has not, as often as it has it more.
    fn without(&self, other: &Self) -> Vec<String> {
        let mut left = self.0.clone();
        for held in &other.0 {
            if let Some(at) = left.iter().position(|mine| mine == held) {
                left.remove(at);
            }
        }
        left
    }
}

struct Story<'a> {
    premises: &'a Premises,
    ahead_ms: u64,
}

impl<'a> Story<'a> {
    /// Seven contacts in the CRM, six of them marked, and four others in the mailbox.
    fn begin(premises: &'a Premises) -> Self {
        premises.clear(7, &[ANNA]).expect("the same premises");
        let story = Self {
            premises,
            ahead_ms: 0,
        };
        let mut services = premises.services();
        for number in 0..7 {
            let id = services.flowfact.create(in_crm(number), story.now());
            if number < 6 {
                services.flowfact.set_marker(&id, ANNA, story.now());
            }
        }
        for number in 7..11 {
            services
                .graph
                .create(ANNA, &in_outlook(number), story.now());
        }
        drop(services);
        story
    }

    fn a_day_of_work(&mut self) {
        let now = self.now();
        let mut services = self.premises.services();
        let crm = |services: &contact_sync_tests::simulator::Simulator, number: usize| {
            let found = services.flowfact.find("emails", &email(number));
            found.unwrap_or_else(|| panic!("{number} is in the CRM"))
        };
        let outlook = |services: &contact_sync_tests::simulator::Simulator, number: usize| {
            let found = services.graph.find(ANNA, "emailAddresses", &email(number));
            found.unwrap_or_else(|| panic!("{number} is in the mailbox"))
        };
        let id = crm(&services, 0);
        services
            .flowfact
            .edit(&id, "company", json!(["Neu GmbH"]), now);
        let id = outlook(&services, 1);
        let title = object(&json!({"jobTitle": "Notarin"}));
        services.graph.edit(ANNA, &id, &title, now);
        let id = crm(&services, 2);
        services
            .flowfact
            .edit(&id, "company", json!(["Im CRM"]), now);
        let id = outlook(&services, 2);
        let company = object(&json!({"companyName": "In Outlook", "jobTitle": "Gutachter"}));
        services.graph.edit(ANNA, &id, &company, now);
        let id = crm(&services, 3);
        services.flowfact.delete(&id, now);
        let id = outlook(&services, 4);
        services.graph.delete(ANNA, &id, now);
        let id = crm(&services, 5);
        services.flowfact.remove_marker(&id, ANNA, now);
        let (id, other) = (crm(&services, 7), outlook(&services, 7));
        services.flowfact.delete(&id, now);
        let title = object(&json!({"jobTitle": "Hausverwalter"}));
        services.graph.edit(ANNA, &other, &title, now);
        services.graph.create(ANNA, &in_outlook(11), now);
        let id = services.flowfact.create(in_crm(12), now);
        services.flowfact.set_marker(&id, ANNA, now);
    }

    /// A pass that nobody kills: how it ended.
    fn pass(&mut self) -> String {
        let mut told = String::new();
        let mut child = self.spawn();
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_to_string(&mut told).expect("its end");
        let status = child.wait().expect("a child");
        assert!(status.success(), "{status}");
        told.trim_end().to_owned()
    }

    /// A pass whose process is killed around a request.
    fn killed_pass(&mut self, skip: u64, moment: Moment) {
        let child: Arc<Mutex<Option<Child>>> = Arc::default();
        let mut stdout = {
            // Whoever is to kill it waits until it is there.
            let mut held = child.lock().expect("no child yet");
            let victim = Arc::clone(&child);
            let kill = move || {
                let mut victim = victim.lock().expect("a child");
                victim.as_mut().expect("a child").kill().expect("a signal");
            };
            self.premises.services().interruption = Some(Interruption::new(skip, moment, kill));
            held.insert(self.spawn()).stdout.take().expect("a pipe")
        };
        stdout.read_to_end(&mut Vec::new()).expect("its end");
        let ended = child
            .lock()
            .expect("a child")
            .take()
            .expect("a child")
            .wait();
        let status = ended.expect("a status");
        assert_eq!(status.code(), None, "ended by itself: {status}");
        // Its connections are gone with it.
        self.premises.services().disconnect();
    }

    /// Passes until nothing is left to do, time going by between them: both sides then.
    fn end(&mut self) -> Ending {
        for _ in 0..2 {
            self.later();
            assert!(self.pass().ends_with("Complete"));
        }
        self.premises.services().take_counters();
        assert!(self.pass().ends_with("Complete"));
        assert_eq!(self.premises.services().counters().writes(), 0);
        self.ending()
    }

    fn ending(&self) -> Ending {
        let services = self.premises.services();
        let mut held = Vec::new();
        for (id, mut fields) in services.flowfact.contacts() {
            // Numbered by FLOWFACT in the order of creating.
            fields.remove("identifier");
            let markers = services.flowfact.markers(&id);
            held.push(format!("CRM {markers:?} {}", Value::Object(fields)));
        }
        for properties in services.graph.contacts(ANNA).into_values() {
            held.push(format!("mailbox {}", Value::Object(properties)));
        }
        for fields in services.flowfact.trash().into_values() {
            held.push(format!("trash {:?}", fields.get("emails")));
        }
        for properties in services.graph.deleted_contacts(ANNA).into_values() {
            let emails = properties.get("emailAddresses");
            held.push(format!("Deleted Items {emails:?}"));
        }
        Ending(held)
    }

    fn spawn(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_one-pass"))
            .arg(self.premises.folder())
            .args(["anna", "--clock-ahead-ms", &self.ahead_ms.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child")
    }

    /// Time goes by, for the host and for the services.
    fn later(&mut self) {
        self.ahead_ms += LATER_MS;
        self.premises.services().http_clock_ahead_ms = self.ahead();
    }

    fn now(&self) -> Timestamp {
        now().plus_ms(self.ahead())
    }

    fn ahead(&self) -> i64 {
        i64::try_from(self.ahead_ms).expect("not that far")
    }
}

fn email(number: usize) -> String {
    format!("person{number}@muster.example")
}

fn in_crm(number: usize) -> Map<String, Value> {
    object(&json!({
        "firstName": [format!("Vor{number}")],
        "lastName": [format!("Nach{number}")],
        "company": ["Muster GmbH"],
        "emails": [email(number)],
        "phones": [{"type": "office", "number": format!("0221 8899{number:02}")}],
    }))
}

fn in_outlook(number: usize) -> Map<String, Value> {
    object(&json!({
        "givenName": format!("Vor{number}"),
        "surname": format!("Nach{number}"),
        "companyName": "Muster GmbH",
        "emailAddresses": [{"name": email(number), "address": email(number)}],
        "businessPhones": [format!("+49 221 8899{number:02}")],
        "personalNotes": "nobody touches this",
    }))
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}
