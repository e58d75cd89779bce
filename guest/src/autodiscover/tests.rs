//! Goal: the address of Exchange Web Services is found where a server says it, nothing is followed
//! that the configuration does not name, and every failed step says what to do. Method: scripted
//! answers of one or two servers, and the requests and the outcome that they lead to.

use super::*;
use crate::http::scripted::{Canned, Scripted, no_connection, text_answer};
use crate::outside::SendError;
use crate::report::Service;

const ADDRESS: &str = "erika@muster.example";
const FIRST: &str = "https://autodiscover.muster.example";
const SECOND: &str = "https://muster.example";
const URL: &str = "https://mail.muster.example/EWS/Exchange.asmx";

/// What was sent, each as method and address, and what came out.
fn outcome(
    origins: &[&str],
    answers: Vec<Canned>,
) -> (Vec<String>, Result<Found, Vec<FailedStep>>) {
    let script = Scripted::new(answers);
    let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
    let outcome = discover(&script.http(Service::Autodiscover), ADDRESS, &origins);
    assert_eq!(script.slept_ms(), [0; 0], "a person is waiting");
    let short = |line: &String| line.split(" <?xml").next().unwrap_or(line).to_owned();
    (script.lines().iter().map(short).collect(), outcome)
}

/// One server: one answer to each protocol, and the last step's message and remedy in it.
#[track_caller]
fn check_step(answers: Vec<Canned>, message: &str, remedy: &str) {
    let shown = format!("{answers:?}");
    let (_, outcome) = outcome(&[FIRST], answers);
    let steps = outcome.expect_err(&shown);
    let last = steps.last().expect("a failed step");
    assert!(last.message.contains(message), "{last:?} for {shown}");
    assert!(last.remedy.contains(remedy), "{last:?} for {shown}");
    assert!(last.message.contains(FIRST), "{last:?}");
}

fn json(body: &str) -> Canned {
    text_answer(200, &[("content-type", "application/json")], body)
}

fn status(status: u16) -> Canned {
    text_answer(status, &[], "<html>no</html>")
}

fn redirect(location: &str) -> Canned {
    text_answer(302, &[("location", location)], "")
}

/// An answer in XML with this content.
fn account(content: &str) -> Canned {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<Autodiscover \
         xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">\
         <Response xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/\
         responseschema/2006a\"><User><DisplayName>Erika</DisplayName></User>\
         <Account><AccountType>email</AccountType>{content}</Account></Response></Autodiscover>"
    );
    text_answer(200, &[], &body)
}

fn error(code: &str) -> Canned {
    let body = format!(
        "<Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/\
         2006\"><Response><Error Time=\"10:00:00\" Id=\"1\"><ErrorCode>{code}</ErrorCode>\
         <Message>m</Message><DebugData/></Error></Response></Autodiscover>"
    );
    text_answer(200, &[], &body)
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with outcomes")]
fn found(url: &str, origin: &str) -> Result<Found, Vec<FailedStep>> {
    let (url, origin) = (url.to_owned(), origin.to_owned());
    Ok(Found { url, origin })
}

fn json_line(origin: &str) -> String {
    format!("GET {origin}/autodiscover/autodiscover.json/v1.0/erika%40muster.example?Protocol=EWS")
}

fn xml_line(origin: &str) -> String {
    format!("POST {origin}/autodiscover/autodiscover.xml")
}

#[test]
fn all_are_asked_by_json_first_and_the_first_that_knows_counts() {
    let answers = vec![
        status(404),
        json(&format!(r#"{{"Protocol":"Ews","Url":"{URL}"}}"#)),
    ];
    let (lines, outcome) = outcome(&[FIRST, SECOND], answers);
    assert_eq!(lines, [json_line(FIRST), json_line(SECOND)]);
    assert_eq!(outcome, found(URL, SECOND));
}

#[test]
fn who_knows_no_json_is_asked_by_xml_one_after_the_other() {
    let protocol = format!("<Protocol><Type>EXPR</Type><EwsUrl>{URL}</EwsUrl></Protocol>");
    let answers = vec![
        status(404),
        status(401),
        status(401),
        account(&format!("<Action>settings</Action>{protocol}")),
    ];
    let (lines, outcome) = outcome(&[FIRST, SECOND], answers);
    let expected = [
        json_line(FIRST),
        json_line(SECOND),
        xml_line(FIRST),
        xml_line(SECOND),
    ];
    assert_eq!(lines, expected);
    assert_eq!(outcome, found(URL, SECOND));
}

#[test]
fn the_question_in_xml_names_the_mailbox_and_the_schema_of_the_answer() {
    let script = Scripted::new([status(404), status(404)]);
    let http = script.http(Service::Autodiscover);
    discover(&http, "a&b@muster.example", &[FIRST.to_owned()]).unwrap_err();
    let sent = script.sent();
    let expected = "<?xml version=\"1.0\" encoding=\"utf-8\"?><Autodiscover xmlns=\"http://schemas.\
        microsoft.com/exchange/autodiscover/outlook/requestschema/2006\"><Request><EMailAddress>\
        a&amp;b@muster.example</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com\
        /exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema></Request>\
        </Autodiscover>";
    assert_eq!(
        sent[1]
            .body
            .as_deref()
            .map(String::from_utf8_lossy)
            .as_deref(),
        Some(expected)
    );
    let kind = (
        "content-type".to_owned(),
        "text/xml; charset=utf-8".to_owned(),
    );
    assert!(sent[1].headers.contains(&kind), "{:?}", sent[1].headers);
}

#[test]
fn who_cannot_be_reached_is_not_asked_twice() {
    let answers = vec![no_connection(), Err(SendError::Timeout)];
    let (lines, outcome) = outcome(&[FIRST, SECOND], answers);
    assert_eq!(lines, [json_line(FIRST), json_line(SECOND)]);
    let steps = outcome.unwrap_err();
    assert_eq!(steps.len(), 2);
    assert!(steps[0].message.contains(FIRST) && steps[1].message.contains(SECOND));
    check_step(
        vec![no_connection()],
        "no connection",
        "its certificate is valid and trusted (`ca-certificates`)",
    );
    let denied = Err(SendError::Denied("no".into()));
    check_step(vec![denied], "does not let", "`private-network = true`");
}

#[test]
fn no_more_servers_are_asked_than_a_job_may_name() {
    let origins = [FIRST; ORIGINS_MAX + 1];
    let answers = (0..ORIGINS_MAX).map(|_| no_connection()).collect();
    assert_eq!(outcome(&origins, answers).1.unwrap_err().len(), ORIGINS_MAX);
    assert_eq!(outcome(&[], vec![]).1, Err(vec![]));
}

#[test]
fn the_address_from_anywhere_goes_before_that_from_the_own_network() {
    let protocol = |kind: &str, content: &str| {
        format!("<Protocol><Type>{kind}</Type><Server>s</Server>{content}</Protocol>")
    };
    let inside = "<EwsUrl>https://inside.muster.example/EWS/Exchange.asmx</EwsUrl>";
    let outside = format!("<EwsUrl>\r\n {URL} </EwsUrl>");
    let as_url = format!("<ASUrl>{URL}</ASUrl>");
    for protocols in [
        protocol("EXCH", inside) + &protocol("EXPR", &outside),
        protocol("EXPR", "") + &protocol("EXCH", &outside),
        protocol("WEB", inside) + &protocol("EXPR", &as_url),
    ] {
        let answers = vec![status(404), account(&protocols)];
        assert_eq!(
            outcome(&[FIRST], answers).1,
            found(URL, FIRST),
            "{protocols}"
        );
    }
    check_step(
        vec![status(404), account("<Action>settings</Action>")],
        "it has no address for Exchange Web Services",
        "`url = ",
    );
}

#[test]
fn nothing_is_followed_that_the_configuration_does_not_name() {
    let elsewhere = "https://other.example/autodiscover/autodiscover.xml?u=erika";
    let message = "leads to `https://other.example`, which the sync does not follow";
    let remedy = "`autodiscover = [\"https://other.example\"]`";
    check_step(
        vec![redirect(elsewhere), redirect(elsewhere)],
        message,
        remedy,
    );
    let action = format!("<Action>redirectUrl</Action><RedirectUrl>{elsewhere}</RedirectUrl>");
    check_step(vec![status(404), account(&action)], message, remedy);
    for same in [
        "/owa/auth/logon.aspx",
        &format!("{FIRST}/owa?replace=1"),
        "javascript:x",
    ] {
        let message = "leads to another page of the same server";
        check_step(vec![redirect(same), redirect(same)], message, "`url = ");
    }
    check_step(
        vec![
            status(404),
            account("<Action>redirectAddr</Action><RedirectAddr>erika@neu.example</RedirectAddr>"),
        ],
        "under another address: `erika@neu.example`",
        "`address = \"erika@neu.example\"`",
    );
    check_step(
        vec![
            status(404),
            account(&format!(
                "<Action>redirectAddr</Action><RedirectAddr>{ADDRESS}</RedirectAddr>"
            )),
        ],
        "to the same address again",
        "`url = ",
    );
}

#[test]
fn a_mailbox_in_office_365_is_said_to_be_there() {
    let in_json = |url: &str| json(&format!(r#"{{"Protocol":"EWS","Url":"{url}"}}"#));
    let address = "<Action>redirectAddr</Action>\
                   <RedirectAddr>erika@muster.mail.onmicrosoft.com</RedirectAddr>";
    for (by_json, by_xml) in [
        (
            in_json("https://outlook.office365.com/EWS/Exchange.asmx"),
            status(404),
        ),
        (
            in_json("https://Outlook.Office365.com:443/EWS/Exchange.asmx"),
            status(404),
        ),
        (
            in_json("https://partner.outlook.cn/EWS/Exchange.asmx"),
            status(404),
        ),
        (
            redirect("https://autodiscover-s.outlook.com/autodiscover/"),
            status(404),
        ),
        (status(404), account(address)),
    ] {
        let steps = outcome(&[FIRST], vec![by_json, by_xml]).1.unwrap_err();
        let told = steps.iter().filter(|step| {
            step.message.contains("this mailbox is in Office 365")
                && step
                    .remedy
                    .contains("`office365` instead of `exchange-server`")
        });
        assert_eq!(told.count(), 1, "{steps:?}");
    }
    for url in [
        "https://outlook.office365.com.evil.example/EWS",
        "https://notoutlook.com/EWS",
    ] {
        assert_eq!(outcome(&[FIRST], vec![in_json(url)]).1, found(url, FIRST));
    }
}

#[test]
fn an_address_that_is_none_is_not_proposed() {
    for url in [
        "",
        "mail.muster.example/EWS",
        "ftp://mail.muster.example/EWS",
        "https:///EWS",
        "https://user@mail.muster.example/EWS",
        "https://mail.muster.example/EWS?x",
        "https://mail.muster.example/EWS\\\"`",
        "https://mail.muster.example/EWS/",
        "https://mail.müster.example/EWS",
        &format!("https://mail.muster.example/{}", "x".repeat(500)),
    ] {
        let body = json(&format!(r#"{{"Protocol":"EWS","Url":"{url}"}}"#));
        let (_, outcome) = outcome(&[FIRST], vec![body, status(404)]);
        assert!(outcome.is_err(), "{url}");
    }
}

#[test]
fn what_a_server_refuses_is_said_with_what_to_do() {
    check_step(
        vec![status(404), status(401)],
        "asks for a sign-in",
        "`password` and `sign-in`",
    );
    check_step(
        vec![status(404), status(404)],
        "does not know it",
        "`autodiscover = [",
    );
    check_step(
        vec![status(404), error("500")],
        "does not know the mailbox (error 500)",
        "`address`",
    );
    check_step(
        vec![status(404), error("<b/>")],
        "an error of its own",
        "`address`",
    );
    check_step(
        vec![status(404), status(200)],
        "another kind of XML, or a web page",
        "`url = ",
    );
    check_step(
        vec![status(404), text_answer(200, &[], "<p>")],
        "a web page",
        "`url = ",
    );
    check_step(
        vec![status(404), text_answer(200, &[], "")],
        "not XML",
        "`url = ",
    );
    check_step(vec![status(404), status(503)], "503", "later");
    check_step(
        vec![status(404), text_answer(429, &[("retry-after", "60")], "")],
        "60 s",
        "pause",
    );
    check_step(vec![status(404), status(302)], "status 302", "`url = ");
    let refused = text_answer(
        400,
        &[],
        r#"{"ErrorCode":"UserNotFound","ErrorMessage":"m"}"#,
    );
    let steps = outcome(&[FIRST], vec![refused, status(404)]).1.unwrap_err();
    assert!(
        steps[0]
            .message
            .ends_with("knows no answer: `UserNotFound`"),
        "{steps:?}"
    );
    for body in [
        "<html>",
        "{}",
        "[]",
        r#"{"Protocol":"Rest","Url":"https://a.example/b"}"#,
    ] {
        let steps = outcome(&[FIRST], vec![json(body), status(404)])
            .1
            .unwrap_err();
        assert!(steps[0].message.contains("answered with"), "{steps:?}");
    }
}

#[test]
fn what_others_wrote_cannot_break_out_of_a_line_of_the_configuration() {
    let address = "x`\"\\&#xA;]y".repeat(100);
    let action = format!("<Action>redirectAddr</Action><RedirectAddr>{address}</RedirectAddr>");
    let steps = outcome(&[FIRST], vec![status(404), account(&action)])
        .1
        .unwrap_err();
    let written = steps[1].remedy.split('`').nth(1).unwrap();
    assert_eq!(written.matches('"').count(), 2, "{written}");
    assert!(
        !written.contains(['\n', '\\']) && written.len() < 250,
        "{written}"
    );
}
