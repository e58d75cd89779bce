//! Autodiscover: both kinds of question, and what else answers in its place.

use contact_sync_tests::simulator::RequestKind;
use contact_sync_tests::simulator::ews::autodiscover::Redirect;
use contact_sync_tests::simulator::ews::sign_in::EwsSignIn;

use crate::client::{ANNA, Client};

const URL: &str = "https://simulator.test/EWS/Exchange.asmx";
const XML: &str = "POST /Autodiscover/Autodiscover.xml";

fn question(address: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Autodiscover xmlns=\
         \"http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006\">\
         <Request><EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>\
         http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a\
         </AcceptableResponseSchema></Request></Autodiscover>"
    )
    .into_bytes()
}

#[test]
fn version_2_answers_anybody() {
    let mut client = Client::new();
    client.simulator.set_authentication(true);
    let rows = [
        "/autodiscover/autodiscover.json/v1.0/anna@makler.example?Protocol=EWS",
        "/autodiscover/autodiscover.json/v1.0/Anna%40makler.example?Protocol=ews",
        "/Autodiscover/Autodiscover.json?Email=anna%40makler.example&Protocol=EWS",
    ];
    for target in rows {
        let answer = client.send(&format!("GET {target}"));
        assert_eq!(answer.status, 200, "{target}: {}", answer.text);
        assert_eq!(answer.at("/Protocol"), "EWS");
        assert_eq!(answer.at("/Url"), URL);
    }
    let target = "GET /autodiscover/autodiscover.json/v1.0";
    let unknown = client.send(&format!("{target}/nobody@makler.example?Protocol=EWS"));
    assert_eq!(
        (unknown.status, unknown.at("/ErrorCode")),
        (404, "UserNotFound".to_owned())
    );
    let other = client.send(&format!("{target}/{ANNA}?Protocol=Fax"));
    assert_eq!(
        (other.status, other.at("/ErrorCode")),
        (400, "InvalidProtocol".to_owned())
    );
    client.simulator.ews.autodiscover.json = false;
    assert_eq!(
        client.send(&format!("{target}/{ANNA}?Protocol=EWS")).status,
        404
    );
    assert_eq!(client.simulator.counters().of(RequestKind::Autodiscover), 6);
}

#[test]
fn the_older_kind_is_signed_in_to() {
    let mut client = Client::new();
    let answer = client.send_bytes(XML, Some(question(ANNA)));
    assert!(
        answer.text.contains(&format!("<EwsUrl>{URL}</EwsUrl>")),
        "{}",
        answer.text
    );
    assert!(
        answer.text.contains("<Action>settings</Action>"),
        "{}",
        answer.text
    );
    let answer = client.send_bytes(XML, Some(question("nobody@makler.example")));
    assert!(
        answer.text.contains("<ErrorCode>500</ErrorCode>"),
        "{}",
        answer.text
    );
    let answer = client.send_bytes(XML, Some(b"<hello/>".to_vec()));
    assert!(
        answer.text.contains("<ErrorCode>600</ErrorCode>"),
        "{}",
        answer.text
    );
    client.simulator.set_authentication(true);
    for (sign_in, scheme) in [
        (EwsSignIn::Basic, "Basic realm=\"simulator.test\""),
        (EwsSignIn::NegotiateOnly, "Negotiate"),
    ] {
        client.simulator.ews.sign_in = sign_in;
        let answer = client.send_bytes(XML, Some(question(ANNA)));
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), Some(scheme));
    }
}

#[test]
fn questions_are_sent_on_and_strangers_answer() {
    let mut client = Client::new();
    let elsewhere = "https://autodiscover.other.example/autodiscover/autodiscover.xml";
    let target = format!("GET /autodiscover/autodiscover.json?Email={ANNA}&Protocol=EWS");
    client.simulator.ews.autodiscover.redirect = Some(Redirect::Location(elsewhere.to_owned()));
    for answer in [
        client.send(&target),
        client.send_bytes(XML, Some(question(ANNA))),
    ] {
        assert_eq!(answer.status, 302);
        assert_eq!(answer.header("location"), Some(elsewhere));
    }
    client.simulator.ews.autodiscover.redirect = Some(Redirect::Url(elsewhere.to_owned()));
    let answer = client.send_bytes(XML, Some(question(ANNA)));
    assert!(
        answer.text.contains("<Action>redirectUrl</Action>"),
        "{}",
        answer.text
    );
    assert!(
        answer.text.contains(&format!("<RedirectUrl>{elsewhere}<")),
        "{}",
        answer.text
    );
    let other = "anna@cloud.example".to_owned();
    client.simulator.ews.autodiscover.redirect = Some(Redirect::Address(other));
    let answer = client.send_bytes(XML, Some(question(ANNA)));
    assert!(
        answer.text.contains("<RedirectAddr>anna@cloud.example<"),
        "{}",
        answer.text
    );
    client.simulator.ews.autodiscover.redirect = None;
    client.simulator.ews.autodiscover.html_page = true;
    let answer = client.send(&target);
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
    );
}
