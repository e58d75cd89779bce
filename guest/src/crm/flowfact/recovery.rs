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

/// Entries of one page, as FLOWFACT's own client asks for them.
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
    if let Some(number) = page {
        return Ok(list(client, number)?.page(number, remembered));
    }
    let guess = match (remembered, known) {
        (Order::NewestLast, Some(mark)) => pages(mark.total),
        _ => 1,
    };
    let mut listed = list(client, guess)?;
    let shown = Order::shown_by(&listed.entries);
    let order = if shown == Order::Unknown {
        remembered
    } else {
        shown
    };
    let newest = match order {
        Order::NewestLast => pages(listed.total),
        Order::NewestFirst | Order::None | Order::Unknown => 1,
    };
    if newest != guess {
        listed = list(client, newest)?;
    }
    Ok(listed.page(newest, order))
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
}

impl Listed {
    fn page(self, page: u32, order: Order) -> TrashPage {
        let digest = digest(&self.entries);
        TrashPage {
            mark: TrashMark {
                total: self.total,
                newest: format!("{}:{digest:016x}", order.name()),
            },
            ordered: matches!(order, Order::NewestFirst | Order::NewestLast),
            pages: pages(self.total),
            page,
            entries: self.entries,
        }
    }
}

fn pages(total: u32) -> u32 {
    total.div_ceil(PAGE_SIZE).max(1)
}

fn list(client: &Client, page: u32) -> Result<Listed, RemoteError> {
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
    let total = json.get("totalCount").and_then(Value::as_u64);
    let entries = values.iter().filter_map(entry).collect();
    let total = total.ok_or(misfit)?;
    Ok(Listed {
        entries,
        total: u32::try_from(total).unwrap_or(u32::MAX),
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
