//! Bad days, scripted or drawn from a seed: what happens between a client and a service.
//!
//! What a service itself does wrong is a quirk (`FlowfactQuirks`, `GraphQuirks`), not a fault.

use contact_sync_guest::outside::{Method, Request};

use serde_json::Value;
use std::collections::BTreeMap;

use super::chance::Chance;

/// How late a create may take effect, in ms: before the settling time of the contract's section 7.3
/// is over.
const LATE_MS: [i64; 4] = [100, 5_000, 90_000, 400_000];

/// What goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before the service sees the request: no effect.
    LostBefore,
    /// The service carries the request out, and the connection breaks before the answer.
    LostAfter,
    /// A gateway answers instead of the service: no effect.
    Refused {
        /// 429, or 5xx.
        status: u16,
        /// Seconds for `Retry-After`, where there is one.
        retry_after_s: Option<u32>,
        /// The body, for example empty, or HTML.
        body: String,
    },
    /// The service carries the request out, and the client is answered this instead.
    RefusedAfter {
        /// Typically 502 or 504.
        status: u16,
    },
    /// The answer takes this long. Where the client does not wait so long, its answer is lost.
    Slow {
        /// Milliseconds.
        delay_ms: u32,
    },
    /// The client waits in vain, and the service carries the request out so much later.
    Late {
        /// Milliseconds.
        delay_ms: i64,
    },
    /// The service carries the request out, and the body of the answer is replaced.
    Garbled {
        /// What comes instead, for example HTML, or far too much.
        body: Vec<u8>,
    },
}

/// Which requests a scripted fault is for. Empty members match all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// This method only.
    pub method: Option<Method>,
    /// Requests whose URL contains this text.
    pub url_contains: String,
    /// Requests whose body contains this text.
    pub body_contains: String,
}

impl Matcher {
    /// Requests whose URL contains `text`.
    pub fn url(text: &str) -> Self {
        Self {
            url_contains: text.to_owned(),
            ..Self::default()
        }
    }

    /// Requests whose body contains `text`: what one is for that goes where all the others go.
    pub fn saying(text: &str) -> Self {
        Self {
            body_contains: text.to_owned(),
            ..Self::default()
        }
    }

    /// Requests of this method whose URL contains `text`.
    pub fn of(method: Method, text: &str) -> Self {
        Self {
            method: Some(method),
            ..Self::url(text)
        }
    }

    fn matches(&self, request: &Request) -> bool {
        self.method.is_none_or(|method| method == request.method)
            && request.url.contains(&self.url_contains)
            && (self.body_contains.is_empty()
                || String::from_utf8_lossy(request.body.as_deref().unwrap_or_default())
                    .contains(&self.body_contains))
    }
}

#[derive(Clone, Debug)]
struct Rule {
    matcher: Matcher,
    skip: u32,
    times: u32,
    fault: Fault,
}

impl Fault {
    /// What it is called where faults are counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LostBefore => "lost before the effect",
            Self::LostAfter => "lost after the effect",
            Self::Refused {
                status: 429,
                retry_after_s: Some(_),
                ..
            } => "429 with Retry-After",
            Self::Refused { status: 429, .. } => "429 without Retry-After",
            Self::Refused {
                retry_after_s: Some(_),
                ..
            } => "5xx with Retry-After",
            Self::Refused { .. } => "5xx without Retry-After",
            Self::RefusedAfter { .. } => "5xx after the effect",
            Self::Slow { .. } => "slow",
            Self::Late { .. } => "create that takes effect late",
            Self::Garbled { .. } => "garbled",
        }
    }
}

/// How often a seeded fault strikes: of 1,000 requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of `Fault`")]
pub struct FaultRates {
    pub lost_before: u64,
    pub lost_after: u64,
    pub throttled: u64,
    pub throttled_without_retry_after: u64,
    pub unavailable: u64,
    pub unavailable_with_retry_after: u64,
    pub refused_after: u64,
    /// Of 1,000 requests that create contacts. What else takes effect late may undo a later edit,
    /// and nothing could be done about it.
    pub late_creates: u64,
}

impl FaultRates {
    /// Each of them in one of a hundred requests, late creates in one of ten.
    pub fn bad_day() -> Self {
        Self {
            lost_before: 10,
            lost_after: 10,
            throttled: 10,
            throttled_without_retry_after: 10,
            unavailable: 10,
            unavailable_with_retry_after: 10,
            refused_after: 10,
            late_creates: 100,
        }
    }
}

/// The faults to come.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    rules: Vec<Rule>,
    seeded: Option<(Chance, FaultRates)>,
    struck: u64,
    struck_by_name: BTreeMap<(&'static str, &'static str), u64>,
}

impl Faults {
    /// The next request that matches suffers `fault`.
    pub fn next(&mut self, matcher: Matcher, fault: Fault) {
        self.script(matcher, 0, 1, fault);
    }

    /// Of the requests that match, `skip` pass, the next `times` suffer `fault`.
    pub fn script(&mut self, matcher: Matcher, skip: u32, times: u32, fault: Fault) {
        self.rules.push(Rule {
            matcher,
            skip,
            times,
            fault,
        });
    }

    /// From now on faults strike at these rates, the same ones for the same seed and requests.
    pub fn seed(&mut self, seed: u64, rates: FaultRates) {
        self.seeded = Some((Chance::new(seed), rates));
    }

    /// From now on nothing goes wrong.
    pub fn clear(&mut self) {
        self.rules.clear();
        self.seeded = None;
    }

    /// How many requests have suffered a fault.
    pub fn struck(&self) -> u64 {
        self.struck
    }

    /// How many requests have suffered which fault: by service and [`Fault::name`].
    pub fn struck_by_name(&self) -> &BTreeMap<(&'static str, &'static str), u64> {
        &self.struck_by_name
    }

    /// What goes wrong with this request.
    pub(super) fn draw(&mut self, request: &Request) -> Option<Fault> {
        let fault = self.scripted(request).or_else(|| self.drawn(request))?;
        self.struck += 1;
        let name = (service(request), fault.name());
        *self.struck_by_name.entry(name).or_default() += 1;
        Some(fault)
    }

    fn scripted(&mut self, request: &Request) -> Option<Fault> {
        let mut struck = None;
        for rule in &mut self.rules {
            if !rule.matcher.matches(request) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if struck.is_none() && rule.times > 0 {
                rule.times -= 1;
                struck = Some(rule.fault.clone());
            }
        }
        self.rules.retain(|rule| rule.times > 0);
        struck
    }

    fn drawn(&mut self, request: &Request) -> Option<Fault> {
        let (chance, rates) = self.seeded.as_mut()?;
        if creates_contacts(request) && chance.below(1000) < rates.late_creates {
            let delay_ms = *chance.pick(&LATE_MS);
            return Some(Fault::Late { delay_ms });
        }
        let refused = |status, retry_after_s| Fault::Refused {
            status,
            retry_after_s,
            body: String::new(),
        };
        let cases = [
            (rates.lost_before, Fault::LostBefore),
            (rates.lost_after, Fault::LostAfter),
            (rates.throttled, refused(429, Some(2))),
            (rates.throttled_without_retry_after, refused(429, None)),
            (rates.unavailable, refused(503, None)),
            (rates.unavailable_with_retry_after, refused(503, Some(3))),
            (rates.refused_after, Fault::RefusedAfter { status: 504 }),
        ];
        let mut drawn = chance.below(1000);
        for (rate, fault) in cases {
            if drawn < rate {
                return Some(fault);
            }
            drawn -= rate;
        }
        None
    }
}

/// What the service of a request is called where faults are counted.
fn service(request: &Request) -> &'static str {
    if request.url.contains("/flowfact/") {
        "FLOWFACT"
    } else if request.url.contains("/graph/") {
        "Office 365"
    } else {
        "Exchange Server"
    }
}

/// Whether a request creates contacts, and does nothing else.
fn creates_contacts(request: &Request) -> bool {
    if request.method != Method::Post {
        return false;
    }
    let path = request.url.split('?').next().unwrap_or_default();
    let body = request.body.as_deref().unwrap_or_default();
    if path.ends_with("/$batch") {
        let batch: Value = serde_json::from_slice(body).unwrap_or_default();
        let creates = |item: &Value| item.get("method").and_then(Value::as_str) == Some("POST");
        let items = batch.get("requests").and_then(Value::as_array);
        return items.is_some_and(|items| items.iter().all(creates));
    }
    if path.to_ascii_lowercase().ends_with("/ews/exchange.asmx") {
        let body = String::from_utf8_lossy(body);
        return body.contains(":CreateItem") || body.contains("<CreateItem");
    }
    path.ends_with("/entity-service/schemas/contacts") || path.ends_with("/contacts")
}
