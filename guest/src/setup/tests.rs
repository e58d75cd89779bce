//! Goal: a check-up finds the Exchange Server that a job does not know, and nothing but a check-up
//! looks for it. Method: a CRM that is out of reach, scripted answers of Autodiscover, and what the
//! check-up then says.

use super::*;
use crate::http::scripted::{Canned, Scripted, no_connection, text_answer};
use serde_json::{Value, json};

const URL: &str = "https://mail.muster.example/EWS/Exchange.asmx";

/// A mailbox on Exchange Server.
fn job(url: Option<&str>, autodiscover: &[&str]) -> Job {
    let job: Value = json!({
        "tenant": { "id": "muster" },
        "flowfact": { "base-url": "https://flowfact.example" },
        "mailbox": {
            "id": "m",
            "address": "erika@muster.example",
            "marker": { "field": "tags", "value": "m" },
            "exchange-server": {
                "url": url,
                "autodiscover": autodiscover,
                "ask-search-key": false,
            },
        },
        "policy": { "native-sync": "off" },
    });
    Job::from_json(&job.to_string()).expect("a job")
}

/// The CRM's connection fails as often as it is tried; then come these answers.
fn script(answers: Vec<Canned>) -> (Rc<Scripted>, Rc<dyn Outside>) {
    let lost = std::iter::repeat_with(no_connection).take(1 + crate::http::RETRY_WAITS_MS.len());
    let script = Scripted::new(lost.chain(answers));
    (Rc::clone(&script), script)
}

/// Severity and code of each finding.
fn codes(checkup: &Checkup) -> Vec<(Severity, &str)> {
    let findings = checkup.findings.iter();
    findings
        .map(|finding| (finding.severity, finding.code.as_str()))
        .collect()
}

#[test]
fn a_server_that_is_found_is_proposed_and_not_used() {
    let body = format!(r#"{{"Protocol":"EWS","Url":"{URL}"}}"#);
    let (_, outside) = script(vec![text_answer(200, &[], &body)]);
    let job = job(None, &["https://autodiscover.muster.example"]);
    let checkup = check(&job, &outside).unwrap();
    assert!(!checkup.ready);
    let expected = [
        (Severity::Error, "crm-unreachable"),
        (Severity::Note, "endpoint-proposed"),
    ];
    assert_eq!(codes(&checkup), expected);
    let remedy = checkup.findings[1].remedy.as_deref().unwrap_or_default();
    assert!(remedy.contains(&format!("`url = \"{URL}\"`")), "{remedy}");
    let Some(Endpoint::Ews(found)) = checkup.endpoint else {
        panic!("an Exchange Server is proposed");
    };
    let Endpoint::Ews(asked) = job.mailbox.endpoint else {
        panic!("the job is for an Exchange Server");
    };
    let url = Some(URL.to_owned());
    assert_eq!(found, EwsAccess { url, ..asked });
}

#[test]
fn a_mailbox_without_an_address_is_not_ready_whatever_is_found() {
    let found = format!(r#"{{"Protocol":"EWS","Url":"{URL}"}}"#);
    for answer in [text_answer(200, &[], &found), no_connection()] {
        let outside: Rc<dyn Outside> = Scripted::new([answer]);
        let job = job(None, &["https://autodiscover.muster.example"]);
        let mut checkup = Checkup {
            ready: true,
            ..Checkup::default()
        };
        let ews = undiscovered(&job).expect("an address is missing");
        find_endpoint(ews, &job, &outside, &mut checkup);
        assert!(!checkup.ready, "{checkup:?}");
    }
}

#[test]
fn a_server_that_is_not_found_is_told_step_by_step() {
    let answers = vec![
        text_answer(404, &[], ""),
        no_connection(),
        text_answer(401, &[], ""),
    ];
    let (script, outside) = script(answers);
    let origins = [
        "https://autodiscover.muster.example",
        "https://muster.example",
    ];
    let checkup = check(&job(None, &origins), &outside).unwrap();
    assert!(!checkup.ready && checkup.endpoint.is_none());
    let failed = (Severity::Warning, "autodiscover-step-failed");
    let expected = [
        (Severity::Error, "crm-unreachable"),
        (Severity::Error, "endpoint-not-found"),
        failed,
        failed,
        failed,
    ];
    assert_eq!(codes(&checkup), expected);
    assert!(
        checkup
            .findings
            .iter()
            .all(|finding| finding.remedy.is_some())
    );
    let asked = script.lines();
    let asked = asked.iter().filter(|line| line.contains("/autodiscover/"));
    assert_eq!(asked.count(), 3);
}

#[test]
fn a_server_that_is_configured_is_not_looked_for() {
    let (script, outside) = script((0..16).map(|_| no_connection()).collect());
    let job = job(Some(URL), &["https://autodiscover.muster.example"]);
    if let Ok(checkup) = check(&job, &outside) {
        assert_eq!(checkup.endpoint, None);
    }
    let sent = script.sent();
    assert!(
        !sent
            .iter()
            .any(|request| request.url.contains("autodiscover"))
    );
}

#[test]
fn a_pass_without_an_address_does_not_start_and_asks_nobody() {
    let outside: Rc<dyn Outside> = Scripted::new([]);
    let job = job(None, &["https://autodiscover.muster.example"]);
    let Err(Failure::InvalidJob(problem)) = sides(&job, &outside).map(|_| ()) else {
        panic!("a pass has nowhere to go");
    };
    assert!(
        problem.message.contains("`mailbox.endpoint.url`"),
        "{problem:?}"
    );
    let remedy = problem.remedy.unwrap_or_default();
    assert!(remedy.contains("`contact-sync check`"), "{remedy}");
}

#[test]
fn what_a_job_says_of_an_exchange_server_is_checked() {
    let server = "https://autodiscover.muster.example";
    for (job, name) in [
        (
            job(Some("mail.muster.example"), &[]),
            "`mailbox.endpoint.url`",
        ),
        (
            job(Some("https://a:b@mail.muster.example/EWS"), &[]),
            "`mailbox.endpoint.url`",
        ),
        (
            job(None, &["autodiscover.muster.example"]),
            "`mailbox.endpoint.autodiscover`",
        ),
        (
            job(None, &[server; ORIGINS_MAX + 1]),
            "`mailbox.endpoint.autodiscover`",
        ),
    ] {
        let Err(Failure::InvalidJob(problem)) = check_job(&job) else {
            panic!("{name} is wrong");
        };
        assert!(problem.message.starts_with(name), "{problem:?}");
    }
    assert!(check_job(&job(None, &[server; ORIGINS_MAX])).is_ok());
}
