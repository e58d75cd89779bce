//! What changed: searches sorted by the time of the last change.
//!
//! A reading goes on from the last time it has seen instead of to deeper and deeper pages, so it
//! can be as long as it must be and loses nothing to changes meanwhile. It begins a little before
//! the newest change that is known, because the index takes in writes late; what that brings again
//! is known by id and time.
//!
//! That a search may be filtered by `_metadata` is inferred and not proven. A server that ignores
//! the filter answers with entries older than it: then all is read, newest first, and sifted here.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::contact::CrmId;
use crate::crm::flowfact::schema::TimeMember;
use crate::crm::flowfact::search::{self, Found, PAGE_SIZE, Query, WINDOW};
use crate::crm::flowfact::{Client, Flowfact, record};
use crate::crm::{CrmCursor, CrmPage, CrmPosition};
use crate::http::RemoteError;
use crate::outside::Timestamp;
use crate::report::{Problem, RemoteProblem, Service};

/// How late a write may show in the index. Read again as long as the clock says that such a write
/// may still come.
pub(super) const OVERLAP_MS: i64 = 10 * 60 * 1_000;

const _: () = assert!(OVERLAP_MS >= 5 * 60 * 1_000);

/// Changes remembered to be no news; after a larger burst the overlap is shorter.
const RECENT_MAX: usize = 2_000;

/// Where a reading stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Reading {
    /// Entries of one page.
    size: u32,
    way: Way,
    time: TimeMember,
    /// Older entries are not asked for; `None` reads everything.
    since: Option<i64>,
    /// The time that the next page begins at.
    from: Option<i64>,
    /// Entries of the query from there that were read already.
    offset: u32,
    /// Ids that were read with exactly the time `from`.
    at_from: BTreeSet<String>,
    /// Entries read so far.
    count: u32,
    /// Entries that the first page spoke of.
    total: Option<u32>,
    newest: Option<i64>,
    /// Read within the overlap before `newest`.
    recent: Vec<(i64, String)>,
    /// What was read at this time and before is no longer in `recent`, because there was too much.
    cut: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Way {
    /// From time to time, oldest first.
    Ascending,
    /// Entries without the time that the others are sorted by; after a full reading that found too
    /// few.
    Rest,
    /// Everything by offsets, newest first: the server ignores the filter or the order. Newest
    /// first, because an entry that changes meanwhile moves to the front and pushes others onto the
    /// next page; the other way round it would pull them onto the page that was read already.
    Descending { sorted: bool },
}

/// An entry with the time that the search sorts by.
struct Entry {
    id: Option<CrmId>,
    time: Option<i64>,
    json: Value,
}

/// One page of a reading.
pub(super) fn changes(
    flowfact: &Flowfact,
    position: Option<&CrmPosition>,
    cursor: Option<&CrmCursor>,
) -> Result<CrmPage, RemoteError> {
    let known: Known = position
        .into_iter()
        .flat_map(|position| &position.recent)
        .map(|(id, time)| (time.0, id.as_str()))
        .collect();
    let since = position.map(|position| position.since.0);
    let anew = || Reading::new(flowfact.schema.time, since, PAGE_SIZE);
    let page = match (resumed(cursor), position) {
        (None, Some(position)) if known.len() >= PAGE_SIZE as usize => {
            let unchanged = unchanged(flowfact, position, &known)?;
            unchanged.map_or_else(|| anew().page(flowfact, &known), Ok)?
        }
        (resumed, _) => resumed.unwrap_or_else(anew).page(flowfact, &known)?,
    };
    let mut contacts = Vec::with_capacity(page.entries.len());
    let mut unreadable = Vec::new();
    for Entry { id, json, .. } in page.entries {
        match flowfact.contact(&json) {
            Ok(contact) => contacts.push(contact),
            Err(problem) => unreadable.push((id, problem)),
        }
    }
    let (total, cursor) = (page.reading.total, page.reading.cursor(page.more));
    let now = flowfact.client.http.now();
    let position = (!page.more).then(|| after(&page.reading, position, now));
    Ok(CrmPage {
        contacts,
        unreadable,
        cursor,
        total,
        position,
    })
}

/// Contacts that were changed since `at`, a page at a time.
pub(super) fn since(
    flowfact: &Flowfact,
    at: Timestamp,
    cursor: Option<&CrmCursor>,
) -> Result<CrmPage, RemoteError> {
    let position = CrmPosition {
        newest: at,
        since: at,
        recent: Vec::new(),
    };
    changes(flowfact, Some(&position), cursor)
}

/// All entities as they are, a page at a time, at most `size` of them.
pub(super) fn entities(
    flowfact: &Flowfact,
    cursor: Option<&CrmCursor>,
    size: u32,
) -> Result<(Vec<Value>, Option<CrmCursor>), RemoteError> {
    let reading = resumed(cursor).unwrap_or_else(|| Reading::new(flowfact.schema.time, None, size));
    let page = reading.page(flowfact, &Known::new())?;
    let cursor = page.reading.cursor(page.more);
    Ok((
        page.entries.into_iter().map(|entry| entry.json).collect(),
        cursor,
    ))
}

/// By which time this company's search knows changes: the newest entry says which it has.
pub(super) fn time_member(client: &Client) -> Result<TimeMember, RemoteError> {
    let newest = newest(client, TimeMember::LastModified, Vec::new())?;
    let has = |known: TimeMember| {
        newest
            .entries
            .iter()
            .any(|entry| record::time(entry, known.member()).is_some())
    };
    Ok(
        if has(TimeMember::Timestamp) && !has(TimeMember::LastModified) {
            TimeMember::Timestamp
        } else {
            TimeMember::LastModified
        },
    )
}

/// Whether the search obeys a filter by time; `None` where there are too few contacts to tell.
pub(super) fn filter_works(
    client: &Client,
    time: TimeMember,
) -> Result<(Option<bool>, Option<u32>), RemoteError> {
    let all = newest(client, time, Vec::new())?;
    let last = all
        .entries
        .first()
        .and_then(|entry| record::time(entry, time.member()));
    let (Some(last), Some(total @ 2..)) = (last, all.total) else {
        return Ok((None, all.total));
    };
    // The newest one, and nothing that is newer: contacts made in one go all have one time.
    let since = newest(client, time, vec![condition(time, last.0)])?;
    let beyond = newest(client, time, vec![condition(time, last.0 + 1)])?;
    let obeys = !since.entries.is_empty() && beyond.entries.is_empty();
    Ok((Some(obeys), Some(total)))
}

/// The newest entry that meets the conditions, and how many do.
fn newest(client: &Client, time: TimeMember, conditions: Vec<Value>) -> Result<Found, RemoteError> {
    let sort = (format!("_metadata.{}", time.member()), false);
    search::search(
        client,
        WHAT,
        &Query {
            conditions,
            sort,
            offset: 0,
            size: 1,
        },
    )
}

fn condition(time: TimeMember, from: i64) -> Value {
    search::condition(
        &format!("_metadata.{}", time.member()),
        "GREATER_EQUAL",
        &json!(from),
    )
}

fn resumed(cursor: Option<&CrmCursor>) -> Option<Reading> {
    serde_json::from_str(&cursor?.text).ok()
}

/// Entries that were read before, by time and id.
type Known<'a> = BTreeSet<(i64, &'a str)>;

impl Reading {
    fn new(time: TimeMember, since: Option<i64>, size: u32) -> Self {
        Self {
            size,
            way: Way::Ascending,
            time,
            since,
            from: since,
            offset: 0,
            at_from: BTreeSet::new(),
            count: 0,
            total: None,
            newest: None,
            recent: Vec::new(),
            cut: None,
        }
    }

    fn begin(mut self, way: Way, time: TimeMember) -> Self {
        self.way = way;
        self.time = time;
        self.from = None;
        self.offset = 0;
        self.at_from = BTreeSet::new();
        self
    }

    fn page(self, flowfact: &Flowfact, known: &Known) -> Result<Page, RemoteError> {
        let mut page = match self.way {
            Way::Descending { sorted } => descending(flowfact, self, sorted, known)?,
            Way::Ascending | Way::Rest => ascending(flowfact, self, known)?,
        };
        page.reading.trim(flowfact.client.http.now());
        Ok(page)
    }

    fn cursor(&self, more: bool) -> Option<CrmCursor> {
        let text = more.then(|| serde_json::to_string(self).unwrap_or_default());
        text.map(|text| CrmCursor { text })
    }

    fn query(&self, ascending: bool) -> Query {
        let from = self.from.filter(|_| ascending);
        Query {
            conditions: from
                .map(|from| condition(self.time, from))
                .into_iter()
                .collect(),
            sort: (format!("_metadata.{}", self.time.member()), ascending),
            offset: self.offset,
            size: self.size,
        }
    }

    fn entries(&self, found: &mut Found) -> Vec<Entry> {
        let member = self.time.member();
        std::mem::take(&mut found.entries)
            .into_iter()
            .map(|json| Entry {
                id: record::id(&json),
                time: record::time(&json, member).map(|time| time.0),
                json,
            })
            .collect()
    }

    /// Remembers an entry as read.
    fn note(&mut self, entry: &Entry) {
        self.count = self.count.saturating_add(1);
        let (Some(id), Some(time)) = (&entry.id, entry.time) else {
            return;
        };
        if self.way == Way::Rest {
            return;
        }
        self.newest = self.newest.max(Some(time));
        self.recent.push((time, id.as_str().to_owned()));
    }

    /// Forgets what lies before the overlap.
    fn trim(&mut self, now: Timestamp) {
        let Some(newest) = self.newest.map(|newest| newest.min(now.0)) else {
            return;
        };
        self.recent
            .retain(|(time, _)| *time >= newest.saturating_sub(OVERLAP_MS));
        self.recent.sort_unstable();
        self.recent.dedup();
        if let Some(surplus) = self.recent.len().checked_sub(RECENT_MAX + 1)
            && let Some((cut, _)) = self.recent.get(surplus).cloned()
        {
            // The whole of a moment goes, so that what stays is all there is since then.
            self.recent.retain(|(time, _)| *time > cut);
            self.cut = self.cut.max(Some(cut));
        }
    }

    /// The next page begins at this one's last time; in a moment longer than a page, behind it.
    fn go_on(&mut self, page: Boundary, problem: &RemoteError) -> Result<(), RemoteError> {
        if page.last > self.from {
            self.from = page.last;
            self.offset = 0;
            self.at_from = BTreeSet::new();
        } else {
            self.next_offset(page.read, problem)?;
        }
        let from = self.from;
        let at_from = page.ids.into_iter().filter(|(time, _)| *time == from);
        self.at_from.extend(at_from.map(|(_, id)| id));
        Ok(())
    }

    fn next_offset(&mut self, read: usize, problem: &RemoteError) -> Result<(), RemoteError> {
        self.offset = self
            .offset
            .saturating_add(u32::try_from(read).unwrap_or(u32::MAX));
        if self.offset.saturating_add(self.size) > WINDOW {
            return Err(out_of_window(problem));
        }
        Ok(())
    }
}

/// The news of a page, and the reading behind it.
struct Page {
    entries: Vec<Entry>,
    reading: Reading,
    more: bool,
}

/// Where the next reading begins: the overlap before the newest change, but no earlier than a write
/// may be that the index still owes us. The second overlap is for clocks that differ.
fn after(reading: &Reading, before: Option<&CrmPosition>, now: Timestamp) -> CrmPosition {
    let oldest = CrmPosition {
        newest: Timestamp(0),
        since: Timestamp(0),
        recent: Vec::new(),
    };
    let before = before.unwrap_or(&oldest);
    let newest = reading
        .newest
        .map_or(before.newest, |newest| before.newest.max(Timestamp(newest)));
    // A contact whose time is still to come says nothing about the others: behind it the feed would
    // see none of them.
    let seen = newest.min(now);
    let since = seen
        .plus_ms(-OVERLAP_MS)
        .max(now.plus_ms(-2 * OVERLAP_MS))
        .min(seen);
    let uncut = reading
        .cut
        .map_or(since, |cut| since.max(Timestamp(cut.saturating_add(1))));
    let since = [uncut, before.since]
        .into_iter()
        .filter(|time| *time <= now)
        .fold(since, Timestamp::max);
    let recent = reading
        .recent
        .iter()
        .filter(|(time, _)| *time >= since.0)
        .map(|(time, id)| (CrmId::new(id.as_str()), Timestamp(*time)))
        .collect();
    CrmPosition {
        newest,
        since,
        recent,
    }
}

/// After a burst of changes the overlap alone fills pages. One request tells whether it still is
/// what it was: as many entries, and no newer one.
fn unchanged(
    flowfact: &Flowfact,
    position: &CrmPosition,
    known: &Known,
) -> Result<Option<Page>, RemoteError> {
    let mut reading = Reading::new(flowfact.schema.time, Some(position.since.0), PAGE_SIZE);
    let conditions = vec![condition(reading.time, position.since.0)];
    let mut found = newest(&flowfact.client, reading.time, conditions)?;
    let total = found.total;
    let same_count = total.and_then(|total| usize::try_from(total).ok()) == Some(known.len());
    let same_newest = reading
        .entries(&mut found)
        .first()
        .is_some_and(|entry| entry.is_in(known));
    if !(same_count && same_newest) {
        return Ok(None);
    }
    reading.total = total;
    reading.newest = Some(position.newest.0);
    reading.recent = known
        .iter()
        .map(|(time, id)| (*time, (*id).to_owned()))
        .collect();
    Ok(Some(Page {
        entries: Vec::new(),
        reading,
        more: false,
    }))
}

impl Entry {
    fn is_in(&self, known: &Known) -> bool {
        let id = self.id.as_ref().map(CrmId::as_str);
        self.time.zip(id).is_some_and(|seen| known.contains(&seen))
    }
}

const WHAT: &str = "read the CRM's changes";

fn ascending(
    flowfact: &Flowfact,
    mut reading: Reading,
    known: &Known,
) -> Result<Page, RemoteError> {
    let mut found = search::search(&flowfact.client, WHAT, &reading.query(true))?;
    if reading.total.is_none() {
        reading.total = found.total;
    }
    let has_more = found.has_more(reading.offset, reading.size);
    let mut entries = reading.entries(&mut found);
    let times: Vec<i64> = entries.iter().filter_map(|entry| entry.time).collect();
    let too_old = reading
        .from
        .is_some_and(|from| times.iter().any(|time| *time < from));
    // The newest known change lies within the overlap: where even that is missing, the filter may
    // hide more than it should.
    let hides = entries.is_empty() && reading.count == 0 && !known.is_empty();
    if too_old || hides || !times.is_sorted() {
        let anew = reading.begin(Way::Descending { sorted: true }, flowfact.schema.time);
        return descending(flowfact, anew, true, known);
    }
    let boundary = Boundary::of(&entries);
    entries.retain(|entry| {
        let id = entry.id.as_ref().map(CrmId::as_str);
        entry.time != reading.from || id.is_none_or(|id| !reading.at_from.contains(id))
    });
    if reading.offset > 0 && boundary.read > 0 && entries.is_empty() {
        return Err(found.same_page);
    }
    for entry in &entries {
        reading.note(entry);
    }
    let rest_only = reading.way == Way::Rest;
    entries.retain(|entry| {
        let was_read = || record::time(&entry.json, TimeMember::LastModified.member()).is_some();
        !(entry.is_in(known) || (rest_only && was_read()))
    });
    if has_more {
        reading.go_on(boundary, &found.same_page)?;
    }
    // Entries without the time are behind all others or left out by the filter: those are missing.
    let incomplete = !has_more
        && reading.since.is_none()
        && reading.way == Way::Ascending
        && reading.time == TimeMember::LastModified
        && reading.total.is_some_and(|total| reading.count < total);
    if incomplete {
        reading = reading.begin(Way::Rest, TimeMember::Timestamp);
    }
    Ok(Page {
        entries,
        reading,
        more: has_more || incomplete,
    })
}

/// The end of a page.
struct Boundary {
    read: usize,
    last: Option<i64>,
    /// Times and ids of the page's entries.
    ids: Vec<(Option<i64>, String)>,
}

impl Boundary {
    fn of(entries: &[Entry]) -> Self {
        let id = |entry: &Entry| Some((entry.time, entry.id.as_ref()?.as_str().to_owned()));
        Self {
            read: entries.len(),
            last: entries.iter().filter_map(|entry| entry.time).next_back(),
            ids: entries.iter().filter_map(id).collect(),
        }
    }
}

fn descending(
    flowfact: &Flowfact,
    mut reading: Reading,
    was_sorted: bool,
    known: &Known,
) -> Result<Page, RemoteError> {
    let mut found = search::search(&flowfact.client, WHAT, &reading.query(false))?;
    reading.total = found.total;
    let has_more = found.has_more(reading.offset, reading.size);
    let mut entries = reading.entries(&mut found);
    let times: Vec<i64> = entries.iter().filter_map(|entry| entry.time).collect();
    let sorted = was_sorted && times.iter().rev().is_sorted();
    reading.way = Way::Descending { sorted };
    let is_old = |time: i64| reading.since.is_some_and(|since| time < since);
    let passed = sorted && times.last().is_some_and(|last| is_old(*last));
    let read = entries.len();
    entries.retain(|entry| !entry.time.is_some_and(is_old));
    for entry in &entries {
        reading.note(entry);
    }
    entries.retain(|entry| !entry.is_in(known));
    entries.reverse();
    let more = has_more && !passed;
    if more {
        reading.next_offset(read, &found.same_page)?;
    }
    Ok(Page {
        entries,
        reading,
        more,
    })
}

fn out_of_window(answer: &RemoteError) -> RemoteError {
    let message = format!(
        "FLOWFACT's search reaches no further than {WINDOW} contacts in one order, and there are \
         more: either its filter by time does not work, or that many contacts were changed in the \
         same millisecond"
    );
    let remedy = "ask FLOWFACT's support whether searches can be filtered by \
                  `_metadata.lastModifiedTimestamp`";
    let problem = Problem {
        message,
        remedy: Some(remedy.into()),
    };
    let (code, request_id) = match answer {
        RemoteError::Protocol(remote) => (remote.code.clone(), remote.request_id.clone()),
        _ => (None, None),
    };
    RemoteError::Protocol(RemoteProblem {
        service: Service::Flowfact,
        status: None,
        code,
        request_id,
        problem,
    })
}
