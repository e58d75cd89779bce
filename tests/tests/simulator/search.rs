//! search-service: the query language, pages, the index that lags behind.

use serde_json::{Value, json};

use crate::client::{Answer, Client};

const SEARCH: &str = "POST /flowfact/search-service/schemas/contacts";

fn query(conditions: &Value) -> Value {
    json!({
        "target": "ENTITY", "fetch": [], "aggregations": [], "conditions": conditions,
        "distinct": false, "joins": [], "entities": [], "groupBy": [],
        "sorts": [{"direction": "ASC", "field": "_metadata.lastModifiedTimestamp"}],
    })
}

fn names(answer: &Answer) -> Vec<String> {
    answer.each("entries", "/firstName/values/0")
}

/// `A`, `B`, `C`, a second apart.
fn three() -> Client {
    let mut client = Client::new();
    let people = [
        json!({"firstName": ["A"], "emails": ["a@x.test", "z@x.test"], "tags": ["owner"],
               "addresses": [{"type": "office", "country": "Deutschland"}]}),
        json!({"firstName": ["B"], "emails": ["b@x.test"], "newsletter": [true],
               "addresses": [{"type": "private", "country": "Schweiz"}]}),
        json!({"firstName": ["C"], "birthday": [-1000], "lastName": ["Müller-Lüdenscheidt"]}),
    ];
    for person in people {
        client.crm(&person);
        client.wait_ms(1000);
    }
    client
}

/// What `conditions` find of [`three`], and that counting agrees.
fn found(conditions: &Value) -> String {
    let mut client = three();
    let answer = client.send_json(SEARCH, &query(conditions));
    assert_eq!(answer.status, 200, "{conditions}: {}", answer.text);
    let found = names(&answer).concat();
    let count = client.send_json(&format!("{SEARCH}/count"), &query(conditions));
    assert_eq!(count.text, found.len().to_string(), "{conditions}");
    found
}

#[test]
fn values_are_compared_as_the_operator_says_in_both_spellings_of_the_type() {
    let start = 1_772_438_400_000_i64;
    let second = (start + 1000).to_string();
    let modified = "_metadata.lastModifiedTimestamp";
    let rows = [
        ("emails", "EQUALS", json!("z@x.test"), "A"),
        ("addresses.country", "EQUALS", json!("Schweiz"), "B"),
        ("firstName", "NOT_EQUAL", json!("A"), "BC"),
        ("lastName", "LIKE", json!("*lüdenscheidt"), "C"),
        ("firstName", "IN", json!(["A", "C"]), "AC"),
        ("birthday", "LESS", json!(0), "C"),
        (
            "birthday",
            "BETWEEN",
            json!({"from": -2000, "to": -1000}),
            "C",
        ),
        ("_metadata.timestamp", "GREATER", json!(start), "BC"),
        (modified, "GREATER_EQUAL", json!(start), "ABC"),
        (modified, "GREATER_EQUAL", json!(second), "BC"),
        (
            "_metadata.createdTimestamp",
            "LESS_EQUAL",
            json!(start + 1000),
            "AB",
        ),
    ];
    for (field, operator, value, expected) in rows {
        for kind in ["HASFIELDWITHVALUE", "hasFieldWithValue"] {
            let condition =
                json!([{"type": kind, "field": field, "operator": operator, "value": value}]);
            assert_eq!(found(&condition), expected, "{condition}");
        }
    }
}

#[test]
fn conditions_are_joined_and_negated() {
    let is = |field: &str, wanted: &str| {
        let kind = "hasFieldWithValue";
        json!({"type": kind, "field": field, "value": wanted})
    };
    let (a, b) = (is("firstName", "A"), is("firstName", "B"));
    let rows = [
        (json!([]), "ABC"),
        (json!([{"type": "hasField", "field": "emails"}]), "AB"),
        (json!([{"type": "OR", "conditions": [a, b]}]), "AB"),
        (json!([{"type": "and", "conditions": [a, b]}]), ""),
        (json!([a, is("emails", "b@x.test")]), ""),
        (json!([{"type": "not", "conditions": [a]}]), "BC"),
        (json!([{"type": "SCHEMA", "values": ["contacts"]}]), "ABC"),
        (json!([{"type": "HASTAG", "name": "lead"}]), ""),
    ];
    for (conditions, expected) in rows {
        assert_eq!(found(&conditions), expected, "{conditions}");
    }
}

#[test]
fn entities_are_found_by_id() {
    let mut client = three();
    let ids: Vec<String> = client.simulator.flowfact.contacts().into_keys().collect();
    let condition = json!([{"type": "ENTITYID", "values": [ids[0], ids[2], "none"]}]);
    let answer = client.send_json(SEARCH, &query(&condition));
    let mut found = answer.each("entries", "/id");
    found.sort();
    assert_eq!(found, [ids[0].clone(), ids[2].clone()]);
}

#[test]
fn what_is_no_query_is_refused() {
    let rows = [
        json!({}),
        json!({"target": "TAG"}),
        query(&json!([{"type": "geoPolygon"}])),
        query(&json!([{"type": "hasFieldWithValue", "value": 1}])),
        query(&json!([{"type": "hasFieldWithValue", "field": "x", "operator": "SOUNDS_LIKE"}])),
    ];
    for body in rows {
        assert_eq!(three().send_json(SEARCH, &body).status, 400, "{body}");
    }
    let minimal = json!({"target": "ENTITY", "distinct": true});
    assert_eq!(three().send_json(SEARCH, &minimal).at("/totalCount"), "3");
}

#[test]
fn results_are_sorted_paged_and_limited() {
    let mut body = query(&json!([]));
    body["sorts"] = json!([{"direction": "DESC", "field": "firstName"}]);
    body["fetch"] = json!(["id", "firstName"]);
    let rows = [
        ("page=1&size=2&withCount=true", "CB"),
        ("page=2&size=2&withCount=true", "A"),
        ("offset=1&size=1&withCount=true", "B"),
        ("page=9&size=2", ""),
    ];
    for (parameters, expected) in rows {
        let answer = three().send_json(&format!("{SEARCH}?{parameters}"), &body);
        assert_eq!(names(&answer).concat(), expected, "{parameters}");
        assert_eq!(answer.at("/totalCount"), "3");
        for entry in answer.json["entries"].as_array().expect("entries") {
            assert_eq!(
                entry.as_object().map(serde_json::Map::len),
                Some(2),
                "{entry}"
            );
        }
    }
    assert_eq!(
        three()
            .send_json(&format!("{SEARCH}?page=0&size=2"), &body)
            .status,
        400
    );
}

#[test]
fn pages_have_a_greatest_size_and_paging_an_end() {
    let mut client = three();
    client.simulator.flowfact.quirks.page_size_max = 2;
    client.simulator.flowfact.quirks.result_window_max = 4;
    let body = query(&json!([]));
    let answer = client.send_json(&format!("{SEARCH}?page=1&size=1000"), &body);
    assert_eq!(
        (names(&answer).len(), answer.at("/pageSize").as_str()),
        (2, "2")
    );
    assert_eq!(
        client
            .send_json(&format!("{SEARCH}?page=2&size=2"), &body)
            .status,
        200
    );
    let beyond = client.send_json(&format!("{SEARCH}?page=3&size=2"), &body);
    assert_eq!(beyond.status, 400);
    assert!(
        beyond.text.contains("Result window is too large"),
        "{}",
        beyond.text
    );
}

#[test]
fn a_filter_on_metadata_may_be_ignored() {
    let condition = json!([{
        "type": "HASFIELDWITHVALUE", "field": "_metadata.lastModifiedTimestamp",
        "value": 1_900_000_000_000_i64, "operator": "GREATER_EQUAL",
    }]);
    for (obeyed, expected) in [(true, "0"), (false, "3")] {
        let mut client = three();
        client.simulator.flowfact.quirks.metadata_filter = obeyed;
        let answer = client.send_json(SEARCH, &query(&condition));
        assert_eq!(answer.at("/totalCount"), expected);
    }
}

/// Searches see an older state; reads by id do not.
#[test]
fn the_index_lags_behind() {
    let mut client = Client::flowfact(|quirks| quirks.index_lag_ms = 5000);
    let body = query(&json!([]));
    let id = client.crm(&json!({"firstName": ["A"]}));
    let path = format!("/flowfact/entity-service/entities/{id}");
    assert_eq!(client.send_json(SEARCH, &body).at("/totalCount"), "0");
    assert_eq!(client.send(&format!("GET {path}")).status, 200);
    client.wait_ms(5000);
    assert_eq!(names(&client.send_json(SEARCH, &body)), ["A"]);
    client
        .simulator
        .flowfact
        .edit(&id, "firstName", json!(["B"]), client.now);
    assert_eq!(names(&client.send_json(SEARCH, &body)), ["A"]);
    client.wait_ms(5000);
    assert_eq!(names(&client.send_json(SEARCH, &body)), ["B"]);
    client.simulator.flowfact.delete(&id, client.now);
    assert_eq!(names(&client.send_json(SEARCH, &body)), ["B"]);
    client.wait_ms(5000);
    assert_eq!(client.send_json(SEARCH, &body).at("/totalCount"), "0");
}

#[test]
fn trashed_contacts_may_still_be_found_and_hidden_ones_never() {
    for (found, expected) in [(true, "AC"), (false, "C")] {
        let mut client = three();
        client.simulator.flowfact.quirks.trashed_in_search = found;
        let flowfact = &mut client.simulator.flowfact;
        let a = flowfact.find("firstName", "A").expect("A");
        let b = flowfact.find("firstName", "B").expect("B");
        flowfact.delete(&a, client.now);
        let hidden = contact_sync_tests::simulator::Access::Hidden;
        flowfact.grant(&b, hidden, client.now);
        let answer = client.send_json(SEARCH, &query(&json!([])));
        assert_eq!(names(&answer).concat(), expected);
    }
}

#[test]
fn full_text_search_takes_a_body_with_get() {
    let mut client = three();
    let target = "GET /flowfact/full-text-search-service/search/contacts?page=1&size=20";
    let target = format!("{target}&searchTerm=m%C3%BCller");
    let answer = client.send_bytes(&target, Some(b"\"\"".to_vec()));
    assert_eq!(names(&answer), ["C"]);
}
