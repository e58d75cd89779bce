//! The trash: `/entity-service/recovery/entities` (FLOWFACT SDK, `EntityService.ts`).
//!
//! In which order it is listed is not documented. It is found out from the dates on its first page
//! and remembered, so that a pass has to read one page only, the newest.

use serde_json::{Value, json};

use crate::contact::{CrmContact, CrmId};
use crate::crm::flowfact::{Client, Flowfact, entity, record};
use crate::crm::{TrashEntry, TrashMark, TrashPage};
use crate::http::{Answer, CallError, RemoteError, Repeat, WriteError, escaped};
use crate::outside::Method;
use crate::report::Problem;

/// Entries of one page, as FLOWFACT's own client asks for them. A server may give fewer; what it
/// gives is remembered, because page numbers count by it.
const PAGE_SIZE: u32 = 50;

/// Where the newest entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    NewestFirst,
    NewestLast,
    /// The dates show no order.
    None,
    /// Too few entries to tell.
    Unknown,
}

impl Order {
    const ALL: [(Self, &'static str); 4] = [
        (Self::NewestFirst, "first"),
        (Self::NewestLast, "last"),
        (Self::None, "none"),
        (Self::Unknown, "unknown"),
    ];

    fn of(mark: &TrashMark) -> Self {
        let name = mark.newest.split(':').next().unwrap_or_default();
        let known = Self::ALL.iter().find(|(_, known)| *known == name);
        known.map_or(Self::Unknown, |(order, _)| *order)
    }

    fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(order, _)| *order == self);
        known.map_or("unknown", |(_, name)| name)
    }

    fn shown_by(entries: &[TrashEntry]) -> Self {
        let dates: Vec<_> = entries.iter().filter_map(|entry| entry.deleted).collect();
        let rises = dates.is_sorted();
        let falls = dates.iter().rev().is_sorted();
        match (falls, rises) {
            _ if dates.len() < entries.len() => Self::None,
            (true, true) => Self::Unknown,
            (true, false) => Self::NewestFirst,
            (false, true) => Self::NewestLast,
            (false, false) => Self::None,
        }
    }
}

/// One page; the newest where `page` is `None`.
pub(super) fn page(
    client: &Client,
    known: Option<&TrashMark>,
    page: Option<u32>,
) -> Result<TrashPage, RemoteError> {
    let remembered = known.map_or(Order::Unknown, Order::of);
    let size = known.and_then(remembered_size).unwrap_or(PAGE_SIZE);
    if let Some(number) = page {
        return Ok(list(client, number, size)?.page(number, remembered));
    }
    let guess = match (remembered, known) {
        (Order::NewestLast, Some(mark)) => pages(mark.total, size),
        _ => 1,
    };
    let mut listed = list(client, guess, size)?;
    let mut guess = guess;
    if guess > 1 && listed.count != expected(listed.total, guess, size) {
        // Pages are no longer counted as they were: page 1 shows how.
        guess = 1;
        listed = list(client, guess, PAGE_SIZE)?;
    }
    let shown = Order::shown_by(&listed.entries);
    let order = if shown == Order::Unknown {
        remembered
    } else {
        shown
    };
    let newest = match order {
        Order::NewestLast => pages(listed.total, listed.size),
        Order::NewestFirst | Order::None | Order::Unknown => 1,
    };
    if newest == guess {
        return Ok(listed.page(newest, order));
    }
    let last = list(client, newest, listed.size)?;
    if last.entries.is_empty() {
        // Pages cannot be counted here, so the newest is not known.
        return Ok(listed.page(guess, Order::None));
    }
    Ok(last.page(newest, order))
}

/// Brings each contact back, and looks whether it is.
pub(super) fn restore(flowfact: &Flowfact, ids: &[CrmId]) -> Vec<Result<CrmContact, WriteError>> {
    let client = &flowfact.client;
    let path = "/entity-service/recovery/entities";
    let calls = ids
        .iter()
        .map(|id| {
            let body = json!({ "entityIds": [id] });
            let what = "bring a contact back from the trash";
            client.call(what, Method::Post, path, Some(body), Repeat::Safe)
        })
        .collect();
    let answers = client.http.send(calls);
    let accepted: Vec<Result<(), WriteError>> = answers.into_iter().map(accepted).collect();
    let back = accepted
        .iter()
        .zip(ids)
        .filter(|(accepted, _)| accepted.is_ok());
    let back: Vec<CrmId> = back.map(|(_, id)| id.clone()).collect();
    let mut states = match entity::states(client, &back) {
        Ok(states) => states.into_iter(),
        Err(error) => {
            let unknown = WriteError::Unknown(error.into_problem());
            let failed = accepted
                .into_iter()
                .map(|accepted| Err(accepted.err().unwrap_or(unknown.clone())));
            return failed.collect();
        }
    };
    accepted
        .into_iter()
        .zip(ids)
        .map(|(accepted, id)| {
            accepted?;
            match states.next() {
                Some(entity::State::Present(entity)) => {
                    flowfact.contact(&entity).map_err(WriteError::Unknown)
                }
                Some(entity::State::Unreadable(problem)) => Err(WriteError::Unknown(problem)),
                Some(entity::State::NotFound) | None => Err(WriteError::Refused(Problem {
                    message: format!(
                        "FLOWFACT took the order to restore contact {id} from the trash, but the \
                         contact is not there"
                    ),
                    remedy: Some(
                        "look for it in FLOWFACT's trash; if it is not there it is gone for good"
                            .into(),
                    ),
                })),
            }
        })
        .collect()
}

fn accepted(answer: Result<Answer, CallError>) -> Result<(), WriteError> {
    let answer = answer.map_err(CallError::into_write_error)?;
    if answer.is_success() {
        Ok(())
    } else {
        Err(answer.write_error())
    }
}

struct Listed {
    entries: Vec<TrashEntry>,
    total: u32,
    /// Entries of this page, readable or not.
    count: u32,
    /// Entries of a full page.
    size: u32,
}

impl Listed {
    fn page(self, page: u32, order: Order) -> TrashPage {
        let digest = digest(&self.entries);
        let newest = format!("{}:{}:{digest:016x}", order.name(), self.size);
        TrashPage {
            mark: TrashMark {
                total: self.total,
                newest,
            },
            ordered: matches!(order, Order::NewestFirst | Order::NewestLast),
            pages: pages(self.total, self.size),
            page,
            entries: self.entries,
        }
    }
}

fn remembered_size(mark: &TrashMark) -> Option<u32> {
    mark.newest
        .split(':')
        .nth(1)?
        .parse()
        .ok()
        .filter(|size| (1..=PAGE_SIZE).contains(size))
}

fn pages(total: u32, size: u32) -> u32 {
    total.div_ceil(size.max(1)).max(1)
}

/// How many entries page `page` has, if `size` make a full one.
fn expected(total: u32, page: u32, size: u32) -> u32 {
    let before = page.saturating_sub(1).saturating_mul(size);
    total.saturating_sub(before).min(size)
}

/// Reads one page; `size` is what a full page is believed to have.
fn list(client: &Client, page: u32, size: u32) -> Result<Listed, RemoteError> {
    let schema = escaped(&client.schema);
    let path =
        format!("/entity-service/recovery/entities?page={page}&size={PAGE_SIZE}&schema={schema}");
    let call = client.get("read the trash", &path).answers_page();
    let answer = client
        .http
        .send_one(call)
        .map_err(|failure| failure.error)?;
    if !answer.is_success() {
        return Err(answer.remote_error());
    }
    let misfit = answer.misfit("a trash without a list of entries");
    let json = answer.into_json()?;
    let Some(Value::Array(values)) = json.get("entries") else {
        return Err(misfit);
    };
    let number = |name: &str| {
        json.get(name)
            .and_then(Value::as_u64)
            .and_then(|number| u32::try_from(number).ok())
    };
    let total = number("totalCount").ok_or(misfit)?;
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    let size = if page == 1 && (1..size).contains(&count) && count < total {
        // A first page that is neither full nor all there is shows how much a page really has.
        count
    } else {
        size.max(count.min(PAGE_SIZE))
    };
    let entries = values.iter().filter_map(entry).collect();
    Ok(Listed {
        entries,
        total,
        count,
        size,
    })
}

fn entry(json: &Value) -> Option<TrashEntry> {
    let id = json.get("entityId").and_then(Value::as_str).map(CrmId::new);
    let id = id.or_else(|| record::id(json.get("content")?))?;
    Some(TrashEntry {
        id,
        deleted: json.get("deletedAt").and_then(record::instant),
    })
}

/// FNV-1a over ids and dates: the same on every machine and in every version.
fn digest(entries: &[TrashEntry]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let text = entries.iter().map(|entry| {
        format!(
            "{}@{};",
            entry.id,
            entry.deleted.map_or(-1, |deleted| deleted.0)
        )
    });
    text.flat_map(String::into_bytes)
        .fold(OFFSET, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(PRIME)
        })
}
