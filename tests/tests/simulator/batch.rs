//! `$batch`, and how many requests at once are too many.

use contact_sync_guest::outside::{Method, Request};
use serde_json::{Value, json};

use crate::client::{ANNA, Answer, Client, USER};

const BATCH: &str = "POST /graph/v1.0/$batch";

fn get(id: usize) -> Value {
    json!({"id": id.to_string(), "method": "GET", "url": "/users/anna@makler.example/contacts"})
}

fn statuses(answer: &Answer) -> Vec<String> {
    let mut responses: Vec<(String, String)> = answer
        .each("responses", "/id")
        .into_iter()
        .zip(answer.each("responses", "/status"))
        .collect();
    responses.sort_by_key(|(id, _)| id.parse::<usize>().unwrap_or(0));
    responses.into_iter().map(|(_, status)| status).collect()
}

#[test]
fn a_batch_carries_out_its_requests_and_answers_in_any_order() {
    let mut client = Client::new();
    let id = client.outlook(&json!({"givenName": "Änne"}));
    let url = format!("users/anna@makler.example/contacts/{id}");
    let json_type = json!({"Content-Type": "application/json"});
    let body = json!({"requests": [
        {"id": "1", "method": "POST", "url": "/users/anna%40makler.example/contacts",
         "headers": json_type, "body": {"givenName": "Bernd"}},
        {"id": "2", "method": "PATCH", "url": url,
         "headers": {"content-type": "application/json", "If-Match": "W/\"stale\"",
                     "Prefer": "IdType=\"ImmutableId\""},
         "body": {"jobTitle": "Boss"}},
        {"id": "3", "method": "GET", "url": url, "headers": {"Prefer": "IdType=\"ImmutableId\""}},
        {"id": "4", "method": "DELETE", "url": url},
    ]});
    let answer = client.send_json(BATCH, &body);
    assert_eq!(answer.status, 200);
    assert_eq!(statuses(&answer), ["201", "412", "200", "204"]);
    assert_eq!(answer.each("responses", "/id"), ["4", "3", "2", "1"]);
    assert_eq!(answer.at("/responses/3/body/givenName"), "Bernd");
    assert_eq!(
        answer.at("/responses/2/body/error/code"),
        "ErrorIrresolvableConflict"
    );
    assert_eq!(answer.at("/responses/1/body/id"), id);
    assert_eq!(answer.json["responses"][0].get("body"), None);
}

#[test]
fn unchained_requests_beyond_four_are_throttled_each() {
    let mut client = Client::new();
    let requests: Vec<Value> = (0..6).map(get).collect();
    let answer = client.send_json(BATCH, &json!({"requests": requests}));
    assert_eq!(answer.status, 200, "the batch itself succeeds");
    assert_eq!(
        statuses(&answer),
        ["200", "200", "200", "200", "429", "429"]
    );
    let throttled = &answer.json["responses"][0];
    assert_eq!(throttled["body"]["error"]["code"], "ApplicationThrottled");
    let why = "Application is over its MailboxConcurrency limit.";
    assert_eq!(throttled["body"]["error"]["message"], why);
    assert_eq!(throttled["headers"]["Retry-After"], "1");
    client.simulator.graph.quirks.retry_after_s = None;
    client.simulator.graph.quirks.batch_unchained_max = 5;
    client.simulator.graph.quirks.concurrency_max = 9;
    let answer = client.send_json(BATCH, &json!({"requests": requests}));
    assert_eq!(
        answer.json["responses"][0]["headers"].get("Retry-After"),
        None
    );
    assert_eq!(statuses(&answer).concat(), "200200200200200429");
}

#[test]
fn chained_requests_are_not_throttled_and_fall_with_what_they_depend_on() {
    let mut client = Client::new();
    let chained = |ids: std::ops::Range<usize>| -> Vec<Value> {
        let chain = ids.clone().map(|id| {
            let mut request = get(id);
            if id > ids.start {
                request["dependsOn"] = json!([(id - 1).to_string()]);
            }
            request
        });
        chain.collect()
    };
    let answer = client.send_json(BATCH, &json!({"requests": chained(0..20)}));
    assert_eq!(statuses(&answer), vec!["200"; 20]);
    let mut broken = chained(0..3);
    broken[0]["url"] = json!("/users/anna@makler.example/contacts/AAA=");
    let answer = client.send_json(BATCH, &json!({"requests": broken}));
    assert_eq!(statuses(&answer), ["400", "424", "424"]);
}

#[test]
fn what_is_no_batch_is_refused_as_a_whole() {
    let mut mixed: Vec<Value> = (0..3).map(get).collect();
    mixed[2]["dependsOn"] = json!(["0"]);
    let without_type = json!({"id": "1", "method": "POST", "url": "/x", "body": {}});
    let rows = [
        (json!({}), "Invalid batch payload format."),
        (
            json!({"requests": (0..21).map(get).collect::<Vec<_>>()}),
            "Number of batch request steps exceeds the maximum value of 20.",
        ),
        (
            json!({"requests": [get(1), get(1)]}),
            "Request ids of a batch must be unique.",
        ),
        (
            json!({"requests": mixed}),
            "Batch should be either fully sequential or fully parallel",
        ),
        (
            json!({"requests": [without_type]}),
            "Invalid batch payload format.",
        ),
    ];
    for (body, message) in rows {
        let answer = Client::new().send_json(BATCH, &body);
        assert_eq!((answer.status, answer.error().1.as_str()), (400, message));
    }
}

#[test]
fn items_are_counted_and_logged_by_what_they_are() {
    use contact_sync_tests::simulator::RequestKind;
    let mut client = Client::new();
    client.simulator.log.record(true);
    client.send_json(BATCH, &json!({"requests": [get(0), get(1)]}));
    let counters = client.simulator.take_counters();
    assert_eq!(
        (counters.requests, counters.of(RequestKind::GraphList)),
        (1, 2)
    );
    assert_eq!(counters.writes(), 0);
    let records = client.simulator.log.take();
    let kinds: Vec<(RequestKind, bool)> = records
        .iter()
        .map(|record| (record.kind, record.batched))
        .collect();
    let list = (RequestKind::GraphList, true);
    assert_eq!(kinds, [list, list, (RequestKind::GraphBatch, false)]);
}

/// Requests that are under way together count for their mailbox, a batch with all that it has under
/// way itself.
#[test]
fn more_than_four_at_once_are_throttled() {
    let request = |target: &str, body: Option<Value>| Request {
        method: if body.is_some() {
            Method::Post
        } else {
            Method::Get
        },
        url: format!("https://simulator.test{target}"),
        headers: Vec::new(),
        body: body.map(|body| body.to_string().into_bytes()),
        timeout_ms: 1000,
    };
    let mut client = Client::new();
    client
        .simulator
        .add_mailbox("bernd@makler.example", "Bernd");
    let anna = request(&format!("{USER}/contacts"), None);
    let bernd = request("/graph/v1.0/users/bernd@makler.example/contacts", None);
    let batch = json!({"requests": (0..4).map(get).collect::<Vec<_>>()});
    let batch = request("/graph/v1.0/$batch", Some(batch));
    let now = client.now;
    let simulator = &mut client.simulator;
    let tickets: Vec<_> = (0..4).map(|_| simulator.arrive(&anna, now)).collect();
    let fifth = simulator.arrive(&anna, now);
    let other = simulator.arrive(&bernd, now);
    let status = |simulator: &mut contact_sync_tests::simulator::Simulator, request, ticket| {
        simulator
            .exchange(request, ticket, now)
            .outcome
            .expect("an answer")
            .status
    };
    assert_eq!(status(simulator, &anna, &tickets[3]), 200);
    assert_eq!(status(simulator, &anna, &fifth), 429);
    assert_eq!(
        status(simulator, &bernd, &other),
        200,
        "another mailbox, another limit"
    );
    for ticket in tickets.iter().chain([&fifth]) {
        simulator.depart(ticket);
    }
    let ticket = simulator.arrive(&anna, now);
    assert_eq!(status(simulator, &anna, &ticket), 200);
    let whole = simulator.arrive(&batch, now);
    let answer = simulator
        .exchange(&batch, &whole, now)
        .outcome
        .expect("an answer");
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let throttled = body["responses"].as_array().expect("responses").iter();
    assert_eq!(
        throttled
            .filter(|response| response["status"] == 429)
            .count(),
        1
    );
    assert_eq!(simulator.graph.contact_count(ANNA), 0);
}
