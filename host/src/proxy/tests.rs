//! Which addresses here stand for which in truth.
//!
//! Whole requests, with sign-in and a server behind them, are the tests crate's suite `proxy`.

use super::*;

fn leg(real: &str) -> Leg {
    let url = "http://127.0.0.1:8400/5ec2e7/mailbox".to_owned();
    Leg::new(url, real, Network::default()).unwrap()
}

#[test]
fn a_link_is_led_here_and_leads_back() {
    for (real, link) in [
        (
            "https://graph.example/v1.0",
            "https://graph.example/v1.0/users/a/contacts/delta?$deltatoken=x%2Fy",
        ),
        (
            "https://graph.example/v1.0/",
            "https://GRAPH.example:443/v1.0/me",
        ),
        ("http://[::1]:9/graph", "http://[::1]:9/graph/a?b=c"),
        ("https://graph.example", "https://graph.example/users?x"),
    ] {
        let leg = leg(real);
        let here = leg.outwards(link).unwrap();
        let rest = here.strip_prefix(&leg.url).unwrap();
        let (below, query) = rest
            .split_once('?')
            .map_or((rest, None), |(below, query)| (below, Some(query)));
        let back = leg.inwards(below, query).unwrap().to_string();
        assert_eq!(back, link.replace("GRAPH", "graph").replace(":443", ""));
    }
}

#[test]
fn a_link_to_elsewhere_is_not_led_here() {
    let leg = leg("https://graph.example/v1.0");
    for link in [
        "https://graph.example/v1.01/users",
        "https://graph.example/v1.0",
        "https://graph.example/beta/users",
        "http://graph.example/v1.0/users",
        "https://graph.example:444/v1.0/users",
        "https://graph.example.evil.example/v1.0/users",
        "https://u:p@graph.example/v1.0/users",
        "https://graph.example/v1.0/users#fragment",
        "/v1.0/users",
        "",
    ] {
        assert_eq!(leg.outwards(link), None, "{link}");
    }
}

/// Whatever stands behind an entrance stays behind the true origin: the rules look at the rest.
#[test]
fn nothing_asked_for_here_leads_to_another_origin() {
    for real in ["https://graph.example", "https://graph.example/v1.0"] {
        let leg = leg(real);
        for below in [
            "",
            "/",
            "//evil.example/x",
            "/@evil.example",
            "/..%2f",
            "/a:80",
        ] {
            for query in [
                None,
                Some(""),
                Some("@evil.example"),
                Some("x=//evil.example"),
            ] {
                if let Some(uri) = leg.inwards(below, query) {
                    assert_eq!(Origin::of_uri(&uri).unwrap(), leg.origin, "{uri}");
                }
            }
        }
    }
}
