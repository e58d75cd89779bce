//! Faults that a review of the engine's lower floors found: each a scenario that was red before.

use std::rc::Rc;

use contact_sync_guest::contact::CrmId;
use contact_sync_guest::links::{Memory, bucket_of};
use contact_sync_guest::outside::{
    Outside, Request, Response, ScanPage, SendError, StoreError, Timestamp, Write,
};
use contact_sync_guest::pass::{self, Mode, Step};
use contact_sync_guest::report::{Finding, Outcome};
use contact_sync_tests::simulator::World;
use serde_json::{Value, json};

use super::stage::{ANNA, DAY_MS, Edit, PAUSE_MS, Scenario, Stage, State, Variant, crm};

/// A world whose answers something on the way changes.
struct Meddled {
    world: Rc<World>,
    meddle: Box<dyn Fn(&Request, Response) -> Result<Response, SendError>>,
}

impl Outside for Meddled {
    fn send(&self, requests: Vec<Request>) -> Vec<Result<Response, SendError>> {
        let answers = self.world.send(requests.clone());
        requests
            .iter()
            .zip(answers)
            .map(|(request, answer)| (self.meddle)(request, answer?))
            .collect()
    }

    fn now(&self) -> Timestamp {
        self.world.now()
    }

    fn sleep(&self, wait_ms: u32) {
        self.world.sleep(wait_ms);
    }

    fn random(&self) -> u64 {
        self.world.random()
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.world.get_many(keys)
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        entries_max: u32,
    ) -> Result<ScanPage, StoreError> {
        self.world.scan(prefix, after, entries_max)
    }

    fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.world.commit(writes)
    }
}

/// One pass of Anna's mailbox, with answers changed on the way.
fn pass_with(
    stage: &mut Stage,
    meddle: impl Fn(&Request, Response) -> Result<Response, SendError> + 'static,
) -> (Outcome, Vec<Finding>) {
    let outside = Meddled {
        world: Rc::clone(&stage.world),
        meddle: Box::new(meddle),
    };
    let mut pass = pass::open(stage.job(ANNA), Mode::Sync, Rc::new(outside)).expect("a sound job");
    for _ in 0..10_000 {
        match pass.advance() {
            Step::Working(_) => {}
            Step::Waiting(ms, _) => stage.world.advance_ms(i64::from(ms)),
            Step::Done(report) => {
                stage.learn();
                return (report.outcome, pass.findings().to_vec());
            }
        }
    }
    panic!("the pass does not end");
}

/// Changes the answers to some items of a batch: by method and path.
fn of_batch(
    request: &Request,
    mut response: Response,
    change: impl Fn(&str, &str, &mut Value),
) -> Response {
    if !request.url.ends_with("/$batch") {
        return response;
    }
    let asked: Value = serde_json::from_slice(request.body.as_deref().unwrap_or_default())
        .expect("a batch is JSON");
    let mut answered: Value = serde_json::from_slice(&response.body).expect("and its answer");
    for item in asked["requests"].as_array().expect("a list") {
        let answers = answered["responses"].as_array_mut().expect("a list");
        let answer = answers.iter_mut().find(|answer| answer["id"] == item["id"]);
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        if let Some(answer) = answer {
            change(&text("method"), &text("url"), answer);
        }
    }
    response.body = answered.to_string().into_bytes();
    response
}

fn erika() -> Value {
    json!({"firstName": ["Erika"], "lastName": ["Muster"], "emails": ["erika@muster.example"]})
}

fn max() -> Value {
    json!({"firstName": ["Max"], "lastName": ["Kraft"], "emails": ["max@kraft.example"]})
}

// ---- the store's limits ---------------------------------------------------------------------------

/// What is remembered of a large company: 40 KiB in each of the 256 buckets, ten MiB in all.
fn remember_a_large_company(stage: &Stage) {
    let mut rows = stage.world.stored();
    for bucket in 0..=u8::MAX {
        let people: Vec<_> = (0..200)
            .map(|number| json!({"i": format!("absent-{bucket}-{number}"), "l": "x".repeat(170)}))
            .collect();
        let key = format!("m/anna-makler-example/candidate/{bucket:02x}");
        rows.insert(key, serde_json::to_vec(&people).expect("it is JSON"));
    }
    stage.world.set_stored(rows);
}

/// `wit/store.wit`: one call carries at most 8 MiB, in either direction. The digests of some 40,000
/// contacts are more than that.
#[test]
fn what_is_remembered_of_a_large_company_fits_through_the_store() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    remember_a_large_company(&stage);
    let mut touched = std::collections::BTreeSet::new();
    for number in 0.. {
        let fields = json!({"lastName": [format!("Neu{number}")]});
        touched.insert(bucket_of(&CrmId::new(stage.world.crm_create(&fields))));
        if touched.len() == 256 {
            break;
        }
    }
    stage.world.advance_ms(PAUSE_MS);
    // The feeds touch every bucket; a mailbox contact that is new asks for all of them.
    stage
        .world
        .mailbox_create(ANNA, &json!({"givenName": "Neu", "surname": "Neu0"}));
    let played = stage.pass(ANNA);
    assert_eq!(played.report.outcome, Outcome::Complete, "{played:#?}");
    let bytes: usize = stage
        .rows("m/anna-makler-example/candidate/")
        .values()
        .map(Vec::len)
        .sum();
    assert!(
        bytes > 8 * 1024 * 1024,
        "too small to prove anything: {bytes}"
    );
    stage.world.advance_ms(DAY_MS);
    let played = stage.pass(ANNA);
    assert_eq!(played.report.outcome, Outcome::Complete, "{played:#?}");
}

/// A commit too large for one call is cut, and its last write stays the last.
#[test]
fn commit_of_many_bytes_is_cut_and_read_back() {
    let stage = Scenario::new().ballast(0).stage(Variant::AccountField);
    let memory = Memory::new(stage.outside(), "anna");
    let writes: Vec<Write> = (0..24)
        .map(|number| {
            Write::Set(
                format!("m/anna/pair/{number:02}"),
                vec![b'x'; 1024 * 1024 - 64],
            )
        })
        .collect();
    memory.commit(writes).expect("in several commits");
    // Eight values with their keys stay just below the limit.
    assert_eq!(memory.commits(), 3, "no more commits than needed");
    let ids: Vec<_> = (0..24)
        .map(|number| CrmId::new(format!("{number:02}")))
        .collect();
    let links = memory.links(&ids).expect("in several reads");
    assert_eq!(links.len(), 24);
}

// ---- one contact that a service cannot read -------------------------------------------------------

/// Contract, 7.8: the version of one contact cannot be read, lastingly; the others go on.
#[test]
fn contact_whose_version_cannot_be_read_stops_no_pass() {
    for status in [500, 503] {
        for edits in [
            vec![Edit::Crm("erika", json!({"position": ["Leitung"]}))],
            vec![Edit::CrmDelete("erika")],
        ] {
            let mut stage = Scenario::new()
                .before([crm("erika", &[ANNA], erika()), crm("max", &[ANNA], max())])
                .stage(Variant::Tag);
            edits.iter().for_each(|edit| stage.edit(edit));
            stage.edit(&Edit::Crm("max", json!({"position": ["Vertrieb"]})));
            stage.world.advance_ms(PAUSE_MS);
            let path = format!("/contacts/{}", stage.mailbox_id(ANNA, "erika"));
            let broken = move |request: &Request, response: Response| {
                Ok(of_batch(request, response, |method, url, answer| {
                    if method == "GET" && url.replace("%3D", "=").contains(&path) {
                        answer["status"] = json!(status);
                        answer["body"] = json!({"error": {"code": "ErrorInternalServerError"}});
                    }
                }))
            };
            let (outcome, findings) = pass_with(&mut stage, broken);
            assert_eq!(outcome, Outcome::Complete, "{status}: {findings:#?}");
            assert_eq!(findings.len(), 1, "{findings:#?}");
            let done = State::Outlook(ANNA, "max", json!({"jobTitle": "Vertrieb"}));
            stage.check("the others go on", &done);
            assert_eq!(stage.pending(ANNA).len(), 1);
            stage.world.advance_ms(DAY_MS);
            stage.pass(ANNA);
            assert!(stage.pending(ANNA).is_empty(), "tried again");
            stage.check_quiet("afterwards");
        }
    }
}
