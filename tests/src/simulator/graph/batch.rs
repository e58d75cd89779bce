//! `$batch`: several requests in one.

use contact_sync_guest::outside::Method;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

use super::super::log::RequestKind;
use super::super::wire::{Answer, Body, Call, Item, split_target};
use super::sign_in::Grant;
use super::{Graph, Problem, classify};

/// One request of a batch.
struct Part {
    id: String,
    method: Option<Method>,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    depends_on: Vec<String>,
}

/// The path of the first request of this body.
pub(super) fn first_path(body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let url = body.pointer("/requests/0/url").and_then(Value::as_str);
    split_target(url.unwrap_or_default()).0
}

/// How many requests of this body one batch has under way at once.
pub(super) fn width(body: &[u8]) -> u32 {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let requests = body
        .get("requests")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let chained = requests
        .iter()
        .any(|request| request.get("dependsOn").is_some());
    if chained {
        1
    } else {
        u32::try_from(requests.len()).unwrap_or(u32::MAX)
    }
}

impl Graph {
    pub(super) fn batch(&mut self, call: &Call<'_>, grant: Grant, others: u32) -> Answer {
        let parts = match self.parts(call) {
            Ok(parts) => parts,
            Err(problem) => return self.refuse(call, RequestKind::GraphBatch, &problem),
        };
        let chained = parts.iter().any(|part| !part.depends_on.is_empty());
        let allowed = self.quirks.concurrency_max.saturating_sub(others) as usize;
        let allowed = if chained {
            allowed.min(1) * parts.len()
        } else {
            allowed.min(self.quirks.batch_unchained_max)
        };
        let mut responses = Vec::new();
        let mut items = Vec::new();
        let mut failed: BTreeSet<String> = BTreeSet::new();
        for (place, part) in parts.into_iter().enumerate() {
            let blocked = part.depends_on.iter().any(|id| failed.contains(id));
            let answer = if blocked {
                let why = "The dependency of the request failed.";
                self.refuse(
                    call,
                    RequestKind::Unknown,
                    &Problem::new(424, "FailedDependency", why),
                )
            } else {
                self.part(call, grant, &part, place < allowed)
            };
            if answer.status >= 400 {
                failed.insert(part.id.clone());
            }
            items.push(Item {
                kind: answer.kind,
                method: part.method.unwrap_or(Method::Get),
                target: part.url,
                body: part.body,
                status: answer.status,
            });
            responses.push(show(&part.id, answer));
        }
        // "In any order": a client that relies on the order of its requests must fail here.
        if !chained {
            responses.reverse();
        }
        let body = json!({ "responses": responses });
        let mut answer = Answer::json(RequestKind::GraphBatch, 200, body);
        answer.items = items;
        answer
    }

    fn parts(&self, call: &Call<'_>) -> Result<Vec<Part>, Problem> {
        let bad = |why: &str| Problem::new(400, "BadRequest", why);
        if call.method != Method::Post {
            return Err(Problem::method_not_allowed());
        }
        let body = call
            .json()
            .map_err(|_| bad("Invalid batch payload format."))?;
        let requests = body.get("requests").and_then(Value::as_array);
        let requests = requests.ok_or_else(|| bad("Invalid batch payload format."))?;
        let max = self.quirks.batch_items_max;
        if requests.is_empty() || requests.len() > max {
            return Err(bad(&format!(
                "Number of batch request steps exceeds the maximum value of {max}."
            )));
        }
        let parts: Option<Vec<Part>> = requests.iter().map(Part::read).collect();
        let parts = parts.ok_or_else(|| bad("Invalid batch payload format."))?;
        let ids: BTreeSet<String> = parts
            .iter()
            .map(|part| part.id.to_ascii_lowercase())
            .collect();
        if ids.len() < parts.len() {
            return Err(bad("Request ids of a batch must be unique."));
        }
        let mut previous: Option<&str> = None;
        let chained = parts.iter().any(|part| !part.depends_on.is_empty());
        for part in parts.iter().filter(|_| chained) {
            let follows = match (previous, part.depends_on.as_slice()) {
                (None, []) => true,
                (Some(previous), [id]) => previous == id,
                _ => false,
            };
            if !follows {
                return Err(bad(
                    "Batch should be either fully sequential or fully parallel",
                ));
            }
            previous = Some(&part.id);
        }
        Ok(parts)
    }

    fn part(&mut self, call: &Call<'_>, grant: Grant, part: &Part, in_time: bool) -> Answer {
        let (path, query) = split_target(&part.url);
        let inner = Call {
            method: part.method.unwrap_or(Method::Get),
            origin: call.origin.clone(),
            path,
            query,
            headers: &part.headers,
            body: &part.body,
            now: call.now,
        };
        let kind = classify(&inner);
        if part.method.is_none() {
            return self.refuse(&inner, kind, &Problem::method_not_allowed());
        }
        if kind == RequestKind::GraphBatch {
            let why = "A batch cannot hold a batch.";
            return self.refuse(&inner, kind, &Problem::new(400, "BadRequest", why));
        }
        if !in_time {
            return self.refuse(&inner, kind, &Problem::too_many_at_once());
        }
        self.single(&inner, grant)
    }
}

impl Part {
    fn read(request: &Value) -> Option<Self> {
        let text = |name: &str| request.get(name).and_then(Value::as_str);
        let headers = request.get("headers").and_then(Value::as_object);
        let headers = headers.into_iter().flatten();
        let headers = headers.map(|(name, value)| {
            (
                name.to_ascii_lowercase(),
                value.as_str().unwrap_or_default().to_owned(),
            )
        });
        let headers: Vec<(String, String)> = headers.collect();
        let body = match request.get("body") {
            None | Some(Value::Null) => Vec::new(),
            // A body needs its type, or nobody knows how to read it.
            Some(_) if !headers.iter().any(|(name, _)| name == "content-type") => return None,
            Some(body) => body.to_string().into_bytes(),
        };
        let depends_on = request.get("dependsOn").and_then(Value::as_array);
        let depends_on = depends_on.into_iter().flatten().filter_map(Value::as_str);
        let method = match text("method")?.to_ascii_uppercase().as_str() {
            "GET" => Some(Method::Get),
            "POST" => Some(Method::Post),
            "PATCH" => Some(Method::Patch),
            "DELETE" => Some(Method::Delete),
            _ => None,
        };
        Some(Self {
            id: text("id")?.to_owned(),
            method,
            url: text("url")?.to_owned(),
            headers,
            body,
            depends_on: depends_on.map(str::to_owned).collect(),
        })
    }
}

fn show(id: &str, answer: Answer) -> Value {
    let mut headers = Map::new();
    for (name, value) in answer.headers {
        let name = match name.as_str() {
            "retry-after" => "Retry-After".to_owned(),
            _ => name,
        };
        headers.insert(name, Value::String(value));
    }
    let mut response = json!({"id": id, "status": answer.status});
    if let Some(response) = response.as_object_mut() {
        let body = match answer.body {
            // Graph speaks JSON alone.
            Body::Empty | Body::Xml(_) | Body::Html(_) => None,
            Body::Text(text) => Some(Value::String(text)),
            Body::Json(value) => {
                headers.insert("Content-Type".to_owned(), "application/json".into());
                Some(value)
            }
        };
        response.insert("headers".to_owned(), Value::Object(headers));
        if let Some(body) = body {
            response.insert("body".to_owned(), body);
        }
    }
    response
}
