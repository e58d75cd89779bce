//! A client that says what it means in one line.

use contact_sync_guest::outside::{Method, Request, Response, Timestamp};
use contact_sync_tests::simulator::{FlowfactQuirks, GraphQuirks, MarkerKind, Simulator};
use serde_json::{Map, Value};

/// The mailbox that every client finds.
pub(crate) const ANNA: &str = "anna@makler.example";

/// The root of that mailbox.
pub(crate) const USER: &str = "/graph/v1.0/users/anna@makler.example";

pub(crate) struct Client {
    pub(crate) simulator: Simulator,
    pub(crate) now: Timestamp,
    /// Sent with every request.
    pub(crate) headers: Vec<(String, String)>,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
    pub(crate) text: String,
    response: Response,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.header(name)
    }

    /// A member by JSON pointer, as text.
    pub(crate) fn at(&self, pointer: &str) -> String {
        match self.json.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => panic!("nothing at {pointer} in {}", self.text),
        }
    }

    /// Code and message of an error of Graph.
    pub(crate) fn error(&self) -> (String, String) {
        (self.at("/error/code"), self.at("/error/message"))
    }

    /// A member of each entry of a list.
    pub(crate) fn each(&self, list: &str, pointer: &str) -> Vec<String> {
        let entries = self.json.get(list).and_then(Value::as_array);
        let entries = entries.unwrap_or_else(|| panic!("no list {list} in {}", self.text));
        let texts = entries.iter().map(|entry| match entry.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        });
        texts.collect()
    }
}

impl Client {
    /// A client of services that behave as documented and ask for no credentials.
    pub(crate) fn new() -> Self {
        Self::with(MarkerKind::AccountField)
    }

    pub(crate) fn with(marker_kind: MarkerKind) -> Self {
        let mut simulator = Simulator::new(
            7,
            marker_kind,
            FlowfactQuirks::as_documented(),
            GraphQuirks::as_documented(),
        );
        simulator.set_authentication(false);
        simulator.add_mailbox(ANNA, "Anna Makler");
        Self {
            simulator,
            now: Timestamp(1_772_438_400_000),
            headers: Vec::new(),
        }
    }

    pub(crate) fn flowfact(change: impl FnOnce(&mut FlowfactQuirks)) -> Self {
        let mut client = Self::new();
        change(&mut client.simulator.flowfact.quirks);
        client
    }

    pub(crate) fn graph(change: impl FnOnce(&mut GraphQuirks)) -> Self {
        let mut client = Self::new();
        change(&mut client.simulator.graph.quirks);
        client
    }

    pub(crate) fn header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(found, _)| found != name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// `"GET /path"`, absolute where it begins with `http`.
    pub(crate) fn send(&mut self, request: &str) -> Answer {
        self.send_bytes(request, None)
    }

    pub(crate) fn send_json(&mut self, request: &str, body: &Value) -> Answer {
        self.send_bytes(request, Some(body.to_string().into_bytes()))
    }

    pub(crate) fn send_bytes(&mut self, request: &str, body: Option<Vec<u8>>) -> Answer {
        let (method, target) = request.split_once(' ').expect("method and target");
        let method = match method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            other => panic!("no method {other}"),
        };
        let url = if target.starts_with("http") {
            target.to_owned()
        } else {
            format!("https://simulator.test{target}")
        };
        let request = Request {
            method,
            url,
            headers: self.headers.clone(),
            body,
            timeout_ms: 30_000,
        };
        let response = self.simulator.handle(&request, self.now);
        let text = String::from_utf8_lossy(&response.body).into_owned();
        Answer {
            status: response.status,
            json: serde_json::from_str(&text).unwrap_or_default(),
            text,
            response,
        }
    }

    pub(crate) fn wait_ms(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
    }

    /// A FLOWFACT contact, created by a person.
    pub(crate) fn crm(&mut self, fields: &Value) -> String {
        self.simulator.flowfact.create(object(fields), self.now)
    }

    /// A contact of Anna's, created in Outlook.
    pub(crate) fn outlook(&mut self, properties: &Value) -> String {
        let created = self
            .simulator
            .graph
            .create(ANNA, &object(properties), self.now);
        created.expect("a contact that Outlook can hold")
    }

    /// So many contacts of Anna's, `N0`, `N1`, …
    pub(crate) fn outlook_many(&mut self, count: usize) -> Vec<String> {
        let create = |number| self.outlook(&serde_json::json!({"givenName": format!("N{number}")}));
        (0..count).map(create).collect()
    }
}

pub(crate) fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}
