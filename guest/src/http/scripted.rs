//! An outside for tests: answers by a script, in the order of the requests, and records them.

use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::http::Http;
use crate::outside::{
    Outside, Request, Response, ScanPage, SendError, StoreError, Timestamp, Write,
};
use crate::report::Service;

/// The time when a script begins: 2026-11-22T12:00:00Z.
pub(crate) const START: Timestamp = Timestamp(1_795_348_800_000);

/// One canned answer.
pub(crate) type Canned = Result<Response, SendError>;

/// See the module.
pub(crate) struct Scripted {
    answers: RefCell<VecDeque<Canned>>,
    sent: RefCell<Vec<Request>>,
    slept_ms: RefCell<Vec<u32>>,
    now: Cell<Timestamp>,
}

impl Scripted {
    /// Will give these answers.
    pub(crate) fn new(answers: impl IntoIterator<Item = Canned>) -> Rc<Self> {
        Rc::new(Self {
            answers: RefCell::new(answers.into_iter().collect()),
            sent: RefCell::default(),
            slept_ms: RefCell::default(),
            now: Cell::new(START),
        })
    }

    /// A client of `service` that this script answers.
    pub(crate) fn http(self: &Rc<Self>, service: Service) -> Http {
        Http::new(Rc::clone(self) as Rc<dyn Outside>, service)
    }

    /// `METHOD url` and, after a blank, the body of each request so far. Asserts that the script is
    /// used up.
    pub(crate) fn lines(&self) -> Vec<String> {
        assert_eq!(
            self.answers.borrow().len(),
            0,
            "answers that nobody asked for"
        );
        self.sent
            .borrow()
            .iter()
            .map(|request| {
                let body = request.body.as_deref().map(String::from_utf8_lossy);
                let line = format!("{} {}", request.method.as_str(), request.url);
                body.map(|body| format!("{line} {body}")).unwrap_or(line)
            })
            .collect()
    }

    /// The requests so far.
    pub(crate) fn sent(&self) -> Vec<Request> {
        self.sent.borrow().clone()
    }

    /// The pauses so far.
    pub(crate) fn slept_ms(&self) -> Vec<u32> {
        self.slept_ms.borrow().clone()
    }
}

impl Outside for Scripted {
    fn send(&self, requests: Vec<Request>) -> Vec<Canned> {
        let count = requests.len();
        for request in &requests {
            let all_lower = request
                .headers
                .iter()
                .all(|(name, _)| *name == name.to_lowercase());
            assert!(
                all_lower,
                "header names are sent in lower case: {:?}",
                request.headers
            );
        }
        self.sent.borrow_mut().extend(requests);
        (0..count)
            .map(|_| {
                let answer = self.answers.borrow_mut().pop_front();
                answer.unwrap_or_else(|| {
                    let lines = self.sent.borrow();
                    panic!("no answer is scripted for the last of {lines:#?}")
                })
            })
            .collect()
    }

    fn now(&self) -> Timestamp {
        self.now.get()
    }

    fn sleep(&self, wait_ms: u32) {
        self.slept_ms.borrow_mut().push(wait_ms);
        self.now.set(self.now.get().plus_ms(i64::from(wait_ms)));
    }

    fn random(&self) -> u64 {
        panic!("the protocols take no chances")
    }

    fn get_many(&self, _: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        panic!("the protocols remember nothing")
    }

    fn scan(&self, _: &str, _: Option<&str>, _: u32) -> Result<ScanPage, StoreError> {
        panic!("the protocols remember nothing")
    }

    fn commit(&self, _: Vec<Write>) -> Result<(), StoreError> {
        panic!("the protocols remember nothing")
    }
}

/// An answer with JSON.
#[expect(clippy::unnecessary_wraps, reason = "a canned answer may be none")]
pub(crate) fn json_answer(status: u16, body: &Value) -> Canned {
    Ok(Response {
        status,
        headers: vec![("content-type".into(), "application/json".into())],
        body: body.to_string().into_bytes(),
    })
}

/// An answer with text and headers.
#[expect(clippy::unnecessary_wraps, reason = "a canned answer may be none")]
pub(crate) fn text_answer(status: u16, headers: &[(&str, &str)], body: &str) -> Canned {
    Ok(Response {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
        body: body.as_bytes().to_vec(),
    })
}

/// No answer.
pub(crate) fn no_connection() -> Canned {
    Err(SendError::Connection("reset".into()))
}
