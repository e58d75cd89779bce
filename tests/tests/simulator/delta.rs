//! Delta: rounds, pages, tokens, and all that it does not say.

use contact_sync_tests::simulator::GraphQuirks;
use contact_sync_tests::simulator::graph::quirks::{LinkForm, RemovedReason};
use serde_json::json;

use crate::client::{ANNA, Answer, Client, USER};

/// Entries of a round as one word: a given name, or `-` and the last characters of a removed id.
#[derive(Debug, PartialEq, Eq)]
struct Round {
    entries: Vec<String>,
    /// How many entries each page had.
    pages: Vec<usize>,
    delta_link: String,
}

fn first() -> String {
    format!("{USER}/contacts/delta")
}

fn entries(answer: &Answer) -> Vec<String> {
    let names = answer.each("value", "/givenName");
    let removed = answer.each("value", "/@removed/reason");
    let named = names
        .into_iter()
        .zip(removed)
        .map(|(name, reason)| match reason.as_str() {
            "" => name,
            reason => format!("-{reason}"),
        });
    named.collect()
}

fn round(client: &mut Client, start: &str) -> Round {
    let mut round = Round {
        entries: Vec::new(),
        pages: Vec::new(),
        delta_link: String::new(),
    };
    let mut target = start.to_owned();
    for _ in 0..100 {
        let answer = client.send(&format!("GET {target}"));
        assert_eq!(answer.status, 200, "{target}: {}", answer.text);
        let page = entries(&answer);
        round.pages.push(page.len());
        round.entries.extend(page);
        if answer.json.get("@odata.deltaLink").is_some() {
            round.delta_link = answer.at("/@odata.deltaLink");
            return round;
        }
        target = answer.at("/@odata.nextLink");
    }
    panic!("a round without end");
}

fn edit(client: &mut Client, id: &str, name: &str) {
    let properties = crate::client::object(&json!({"givenName": name}));
    assert!(
        client
            .simulator
            .graph
            .edit(ANNA, id, &properties, client.now)
    );
}

#[test]
fn a_round_brings_everything_and_the_next_one_what_changed() {
    let mut client = Client::new();
    let ids = client.outlook_many(3);
    let start = round(&mut client, &first());
    assert_eq!(start.entries, ["N0", "N1", "N2"]);
    edit(&mut client, &ids[0], "M0");
    edit(&mut client, &ids[0], "L0");
    client.simulator.graph.delete(ANNA, &ids[1], client.now);
    client.outlook(&json!({"givenName": "N3"}));
    let next = round(&mut client, &start.delta_link);
    assert_eq!(next.entries, ["L0", "-deleted", "N3"]);
    let quiet = round(&mut client, &next.delta_link);
    assert_eq!((quiet.entries.len(), quiet.pages.len()), (0, 1));
}

#[test]
fn entries_have_their_own_form() {
    let mut client = Client::new();
    let ids = client.outlook_many(2);
    client.header("prefer", "IdType=\"ImmutableId\"");
    let start = client.send(&format!("GET {}?$select=givenName", first()));
    let entry = &start.json["value"][0];
    let names: Vec<&String> = entry.as_object().expect("an entry").keys().collect();
    assert_eq!(names, ["@odata.type", "@odata.etag", "id", "givenName"]);
    assert_eq!(entry["@odata.type"], "#microsoft.graph.contact");
    assert_eq!(entry["id"], ids[0]);
    client.simulator.graph.purge(ANNA, &ids[0], client.now);
    let link = start.at("/@odata.deltaLink");
    let next = client.send(&format!("GET {link}"));
    let removed = json!({"@odata.type": "#microsoft.graph.contact", "id": ids[0],
                         "@removed": {"reason": "deleted"}});
    assert_eq!(next.json["value"], json!([removed]));
    client.simulator.graph.quirks.removed_reason = RemovedReason::Changed;
    let again = client.send(&format!("GET {link}"));
    assert_eq!(again.at("/value/0/@removed/reason"), "changed");
}

#[test]
fn the_selection_is_remembered_and_ids_follow_each_request() {
    let mut client = Client::new();
    let ids = client.outlook_many(1);
    let start = round(&mut client, &format!("{}?$select=givenName", first()));
    edit(&mut client, &ids[0], "M0");
    client.header("prefer", "IdType=\"ImmutableId\"");
    let next = client.send(&format!("GET {}", start.delta_link));
    assert_eq!(next.json["value"][0].get("surname"), None);
    assert_eq!(next.at("/value/0/id"), ids[0]);
}

#[test]
fn a_page_has_ten_entries_unless_the_request_says_otherwise() {
    let rows = [
        (false, vec![3, 10, 10]),
        (true, vec![3, 3, 3, 3, 3, 3, 3, 2]),
    ];
    for (sticky, expected) in rows {
        let mut client = Client::graph(|quirks| quirks.page_size_sticky = sticky);
        client.outlook_many(23);
        client.header("prefer", "odata.maxpagesize=3");
        let answer = client.send(&format!("GET {}", first()));
        assert_eq!(
            answer.header("preference-applied"),
            Some("odata.maxpagesize=3")
        );
        client.headers.clear();
        let rest = round(&mut client, &answer.at("/@odata.nextLink"));
        let pages: Vec<usize> = [entries(&answer).len()]
            .into_iter()
            .chain(rest.pages)
            .collect();
        assert_eq!(pages, expected, "sticky: {sticky}");
    }
}

#[test]
fn top_ends_the_round_early() {
    for (truncates, expected) in [(true, 2), (false, 5)] {
        let mut client = Client::graph(|quirks| quirks.delta_top_truncates = truncates);
        client.outlook_many(5);
        let start = round(&mut client, &format!("{}?$top=2", first()));
        assert_eq!(start.entries.len(), expected);
        let lost = round(&mut client, &start.delta_link);
        assert_eq!(lost.entries.len(), 0, "what was cut off never comes");
    }
}

#[test]
fn old_tokens_die_after_some_rounds() {
    let mut client = Client::new();
    client.outlook_many(1);
    let start = round(&mut client, &first());
    let mut link = start.delta_link.clone();
    for _ in 0..2 {
        link = round(&mut client, &link).delta_link;
    }
    assert_eq!(
        client.send(&format!("GET {}", start.delta_link)).status,
        200
    );
    let dead = client.send(&format!("GET {}", start.delta_link));
    assert_eq!(
        (dead.status, dead.error().0.as_str()),
        (410, "SyncStateNotFound")
    );
    let why = "The sync state generation is not found; generation=1;[highest=4][4][3][2].";
    assert_eq!(dead.error().1, why);
    client.simulator.graph.quirks.generations_kept = None;
    assert_eq!(
        client.send(&format!("GET {}", start.delta_link)).status,
        200
    );
    client.simulator.graph.quirks.generations_kept = Some(3);
    client.simulator.graph.expire_delta_tokens(ANNA);
    assert_eq!(client.send(&format!("GET {link}")).status, 410);
    let bad = client.send(&format!("GET {}?$deltatoken=nonsense", first()));
    assert_eq!(
        (bad.status, bad.error().1.as_str()),
        (400, "Badly formed token.")
    );
}

#[test]
fn a_page_can_be_asked_for_again() {
    let mut client = Client::new();
    client.outlook_many(25);
    let start = client.send(&format!("GET {}", first()));
    let link = start.at("/@odata.nextLink");
    let (one, two) = (
        client.send(&format!("GET {link}")),
        client.send(&format!("GET {link}")),
    );
    assert_eq!(one.json, two.json);
}

/// How Graph is set, and the pages of a first round over `N0` to `N4`, three at a time, as words.
#[test]
fn pages_may_be_empty_repeated_or_out_of_order() {
    type Set = fn(&mut GraphQuirks);
    let rows: [(Set, &str); 4] = [
        (|_| {}, "N0N1N2|N3N4"),
        (|quirks| quirks.empty_page_every = Some(2), "N0N1N2||N3N4"),
        (|quirks| quirks.entries_repeated = true, "N0N1N2|N2N3N4"),
        (|quirks| quirks.entries_reordered = true, "N2N1N0|N4N3"),
    ];
    for (set, expected) in rows {
        let mut client = Client::graph(set);
        client.outlook_many(5);
        client.header("prefer", "odata.maxpagesize=3");
        let round = round(&mut client, &first());
        let mut words = round.entries.iter();
        let pages: Vec<String> = round
            .pages
            .iter()
            .map(|count| words.by_ref().take(*count).map(String::as_str).collect())
            .collect();
        assert_eq!(pages.join("|"), expected);
    }
}

#[test]
fn entries_may_be_replayed_by_later_rounds() {
    let mut client = Client::graph(|quirks| quirks.entries_replayed = 2);
    client.outlook_many(4);
    let start = round(&mut client, &first());
    let next = round(&mut client, &start.delta_link);
    assert_eq!(next.entries, ["N2", "N3"]);
}

/// What is there when a first round begins it shows; what changes later is told late.
#[test]
fn a_change_may_show_late() {
    let mut client = Client::graph(|quirks| quirks.delta_delay_ms = 60_000);
    client.outlook_many(1);
    let start = round(&mut client, &first());
    assert_eq!(start.entries, ["N0"]);
    client.outlook_many(1);
    let early = round(&mut client, &start.delta_link);
    assert_eq!(early.entries.len(), 0);
    client.wait_ms(60_000);
    let next = round(&mut client, &early.delta_link);
    assert_eq!(next.entries, ["N0"]);
    assert_eq!(round(&mut client, &next.delta_link).entries.len(), 0);
}

/// Moves between two rounds: what is moved where, how Graph is set, which ids are asked for, and
/// what the next round says.
#[test]
fn moves_are_told_as_badly_as_in_life() {
    type Set = fn(&mut GraphQuirks);
    let documented: Set = |_| {};
    let rows: [(&str, Set, bool, &[&str]); 6] = [
        ("away", documented, true, &["-deleted"]),
        ("away and back", documented, true, &["-deleted"]),
        (
            "away and back",
            |quirks| quirks.returned_contact_lost = false,
            true,
            &["-deleted", "N0"],
        ),
        ("away and back", documented, false, &["-deleted", "N0"]),
        ("deleted and back", documented, true, &["-deleted"]),
        (
            "away and back",
            |quirks| {
                quirks.returned_contact_lost = false;
                quirks.moved_contact_unseen = true;
            },
            true,
            &["-deleted"],
        ),
    ];
    for (moves, set, immutable, expected) in rows {
        let mut client = Client::graph(set);
        let ids = client.outlook_many(2);
        if immutable {
            client.header("prefer", "IdType=\"ImmutableId\"");
        }
        let start = round(&mut client, &first());
        let now = client.now;
        let graph = &mut client.simulator.graph;
        match moves {
            "deleted and back" => graph.delete(ANNA, &ids[0], now),
            _ => graph.move_to(ANNA, &ids[0], "Privat", now),
        };
        if moves != "away" {
            graph.move_back(ANNA, &ids[0], now);
        }
        let next = round(&mut client, &start.delta_link);
        assert_eq!(next.entries, expected, "{moves} {immutable}");
    }
}

#[test]
fn a_contact_that_came_back_unseen_shows_at_its_next_change() {
    let mut client = Client::new();
    let ids = client.outlook_many(1);
    client.header("prefer", "IdType=\"ImmutableId\"");
    let start = round(&mut client, &first());
    client
        .simulator
        .graph
        .move_to(ANNA, &ids[0], "Privat", client.now);
    client.simulator.graph.move_back(ANNA, &ids[0], client.now);
    let next = round(&mut client, &start.delta_link);
    assert_eq!(
        round(&mut client, &next.delta_link).entries.len(),
        0,
        "never added again"
    );
    edit(&mut client, &ids[0], "M0");
    assert_eq!(round(&mut client, &next.delta_link).entries, ["M0"]);
    assert_eq!(
        round(&mut client, &first()).entries,
        ["M0"],
        "a full round sees it"
    );
}

#[test]
fn the_deletion_of_the_last_contact_may_be_missing() {
    for (unseen, expected) in [
        (false, vec!["-deleted", "-deleted"]),
        (true, vec!["-deleted"]),
    ] {
        let mut client = Client::graph(|quirks| quirks.last_deletion_unseen = unseen);
        let ids = client.outlook_many(2);
        let start = round(&mut client, &first());
        for id in &ids {
            client.simulator.graph.delete(ANNA, id, client.now);
        }
        assert_eq!(round(&mut client, &start.delta_link).entries, expected);
    }
}

#[test]
fn a_first_round_may_tell_of_removals_and_never_of_groups() {
    for (told, expected) in [(false, vec!["N1"]), (true, vec!["N1", "-deleted"])] {
        let mut client = Client::graph(|quirks| quirks.removed_in_first_round = told);
        let ids = client.outlook_many(2);
        client
            .simulator
            .graph
            .create_group(ANNA, "Verteiler", client.now);
        client.simulator.graph.delete(ANNA, &ids[0], client.now);
        assert_eq!(round(&mut client, &first()).entries, expected);
    }
}

#[test]
fn expanding_in_delta_fails() {
    let expand = "$expand=singleValueExtendedProperties($filter=id eq 'String 0x3A1C')";
    for (fails, status) in [(true, 500), (false, 200)] {
        let mut client = Client::graph(|quirks| quirks.delta_expand_fails = fails);
        assert_eq!(
            client.send(&format!("GET {}?{expand}", first())).status,
            status
        );
    }
}

#[test]
fn links_lead_to_the_folder_or_to_where_the_request_went() {
    let rows = [
        (
            LinkForm::FolderKey,
            "/graph/v1.0/users/anna%40makler.example/contactfolders('AAMk",
        ),
        (
            LinkForm::AsRequested,
            "/graph/v1.0/users/anna%40makler.example/contacts/delta?$delta",
        ),
    ];
    for (form, expected) in rows {
        let mut client = Client::graph(|quirks| quirks.delta_links = form);
        client.outlook_many(1);
        let start = round(&mut client, &format!("http://localhost:8080{}", first()));
        let link = start.delta_link;
        assert!(
            link.starts_with(&format!("http://localhost:8080{expected}")),
            "{link}"
        );
        assert_eq!(round(&mut client, &link).entries.len(), 0);
    }
}

#[test]
fn a_token_belongs_to_its_folder_and_mailbox() {
    let mut client = Client::new();
    client
        .simulator
        .add_mailbox("bernd@makler.example", "Bernd");
    let start = round(&mut client, &first());
    let token = start.delta_link.split_once('?').expect("a query").1;
    let other = format!("GET /graph/v1.0/users/bernd@makler.example/contacts/delta?{token}");
    let answer = client.send(&other);
    assert_eq!(
        (answer.status, answer.error().0.as_str()),
        (410, "SyncStateInvalid")
    );
}
