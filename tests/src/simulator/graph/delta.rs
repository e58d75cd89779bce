//! Delta: what changed in one folder since a token.
//!
//! A round is the pages from a first request, or from a delta link, to the next delta link. Its
//! tokens hold all that it needs, so that a page can be asked for again; the mailbox only remembers
//! how many rounds were begun, because the tokens of old ones expire.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Bound;

use super::super::wire::{Call, opaque, reveal};
use super::mailbox::{Folder, LogEntry, Mailbox};
use super::quirks::{GraphQuirks, LinkForm, NotesBug, RemovedReason};
use super::{Outcome, Preferences, Problem, Scope, View};

/// Where a round stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Round {
    mailbox: u64,
    folder: u32,
    generation: u64,
    /// Whether it began without a token.
    first: bool,
    /// Changes after this one, up to `until`.
    since: u64,
    until: u64,
    /// The last change that was answered.
    after: u64,
    page: u32,
    /// How many entries `$top` still allows.
    left: Option<usize>,
    /// The page size, where it is remembered.
    size: Option<usize>,
    select: Option<String>,
}

/// Where the next round begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct End {
    mailbox: u64,
    folder: u32,
    generation: u64,
    since: u64,
    select: Option<String>,
}

/// A page of changes.
pub(super) fn page(
    quirks: &GraphQuirks,
    mailbox: &mut Mailbox,
    folder: u32,
    call: &Call<'_>,
    scope: &Scope,
    preferences: Preferences,
) -> Outcome {
    if call.parameter("$expand").is_some() && quirks.delta_expand_fails {
        let why = "Value cannot be null. (Parameter 'type')";
        return Err(Problem::new(500, "InternalServerError", why));
    }
    let mut round = open(quirks, mailbox, folder, call)?;
    let size = preferences.page_size.or(round.size);
    if quirks.page_size_sticky {
        round.size = size;
    }
    let size = size
        .unwrap_or(quirks.page_size_default)
        .clamp(1, quirks.page_size_max);
    let is_empty = quirks.empty_page_every.is_some_and(|every| {
        let every = every.max(2);
        round.page % every == every - 1
    });
    let (mut entries, mut more) = (Vec::new(), true);
    if !is_empty {
        let allowed = round.left.map_or(size, |left| left.min(size));
        (entries, more) = collect(quirks, mailbox, &mut round, allowed, preferences.immutable);
    }
    round.page += 1;
    if let Some(left) = &mut round.left {
        *left = left.saturating_sub(entries.len());
        more = more && *left > 0;
    }
    let value = show(quirks, mailbox, folder, &round, entries, preferences);
    let origin = &call.origin;
    let mut body = json!({
        "@odata.context": format!("{origin}/graph/v1.0/$metadata#Collection(contact)"),
        "value": value,
    });
    let (name, link) = link(quirks, mailbox, &round, more, call, scope);
    if let Some(body) = body.as_object_mut() {
        body.insert(name.to_owned(), Value::String(link));
    }
    Ok((200, body))
}

/// The round that the request belongs to; begins one where it must.
fn open(
    quirks: &GraphQuirks,
    mailbox: &mut Mailbox,
    folder: u32,
    call: &Call<'_>,
) -> Result<Round, Problem> {
    let number = mailbox.number;
    let Some(state) = mailbox.folders.get_mut(&folder) else {
        return Err(Problem::item_not_found());
    };
    if let Some(token) = call.parameter("$skiptoken") {
        let round: Round = read(token)?;
        belongs(round.mailbox == number && round.folder == folder)?;
        alive(quirks, state, round.generation)?;
        return Ok(round);
    }
    let end: Option<End> = call.parameter("$deltatoken").map(read).transpose()?;
    if let Some(end) = &end {
        belongs(end.mailbox == number && end.folder == folder)?;
        alive(quirks, state, end.generation)?;
    }
    state.log.generation += 1;
    let since = end.as_ref().map_or(0, |end| end.since);
    // What is told late is what has changed; a first round shows what is there.
    let delay_ms = end.as_ref().map_or(0, |_| quirks.delta_delay_ms);
    let visible_until = call.now.plus_ms(-delay_ms);
    let mut newest = state.log.entries.iter().rev();
    let until = newest
        .find(|(_, entry)| entry.at <= visible_until)
        .map_or(0, |(at, _)| *at);
    let select = call.parameter("$select").map(str::to_owned);
    let top = call.parameter("$top").and_then(|top| top.parse().ok());
    Ok(Round {
        mailbox: number,
        folder,
        generation: state.log.generation,
        first: end.is_none(),
        since,
        until: until.max(since),
        after: replay_from(quirks, state, since),
        page: 0,
        left: top.filter(|_| quirks.delta_top_truncates && end.is_none()),
        size: None,
        select: end.map_or(select, |end| end.select),
    })
}

/// `since`, or some entries before it.
fn replay_from(quirks: &GraphQuirks, folder: &Folder, since: u64) -> u64 {
    let earlier = folder.log.entries.range(..=since).rev();
    let replayed = earlier.take(quirks.entries_replayed).last();
    replayed.map_or(since, |(sequence, _)| sequence - 1)
}

fn read<T: for<'a> Deserialize<'a>>(token: &str) -> Result<T, Problem> {
    let bytes = reveal(token).unwrap_or_default();
    serde_json::from_slice(&bytes)
        .map_err(|_| Problem::new(400, "BadRequest", "Badly formed token."))
}

fn belongs(here: bool) -> Result<(), Problem> {
    if here {
        Ok(())
    } else {
        let why = "The sync state is invalid.";
        Err(Problem::new(410, "SyncStateInvalid", why))
    }
}

fn alive(quirks: &GraphQuirks, folder: &Folder, generation: u64) -> Result<(), Problem> {
    let highest = folder.log.generation;
    let Some(kept) = quirks.generations_kept else {
        return Ok(());
    };
    if highest - generation < kept {
        return Ok(());
    }
    let known = (0..kept).filter_map(|age| highest.checked_sub(age));
    let known: Vec<String> = known.map(|known| format!("[{known}]")).collect();
    let known = known.concat();
    let why = format!(
        "The sync state generation is not found; \
         generation={generation};[highest={highest}]{known}."
    );
    Err(Problem::new(410, "SyncStateNotFound", &why))
}

/// The next entries of the round, and whether there are more.
fn collect(
    quirks: &GraphQuirks,
    mailbox: &Mailbox,
    round: &mut Round,
    size: usize,
    immutable: bool,
) -> (Vec<LogEntry>, bool) {
    let Some(folder) = mailbox.folders.get(&round.folder) else {
        return (Vec::new(), false);
    };
    let mut entries = Vec::new();
    if quirks.entries_repeated
        && round.page > 0
        && let Some(entry) = folder.log.entries.get(&round.after)
        && is_shown(quirks, mailbox, folder, round, *entry, immutable)
    {
        entries.push(*entry);
    }
    let mut taken = 0;
    let range = (Bound::Excluded(round.after), Bound::Included(round.until));
    if round.after >= round.until {
        return (entries, false);
    }
    for (sequence, entry) in folder.log.entries.range(range) {
        if taken == size {
            return (entries, true);
        }
        if is_shown(quirks, mailbox, folder, round, *entry, immutable) {
            entries.push(*entry);
            taken += 1;
        }
        round.after = *sequence;
    }
    (entries, false)
}

fn is_shown(
    quirks: &GraphQuirks,
    mailbox: &Mailbox,
    folder: &Folder,
    round: &Round,
    entry: LogEntry,
    immutable: bool,
) -> bool {
    if entry.first_rounds_only && !round.first {
        return false;
    }
    if entry.gone {
        return !round.first || quirks.removed_in_first_round;
    }
    let Some(contact) = mailbox.contacts.get(&entry.item) else {
        return false;
    };
    if contact.group {
        return false;
    }
    // Removed and back within one round, under one id: only the removal is told.
    let left_before = folder
        .log
        .latest
        .range((entry.item, 0)..(entry.item, entry.placement));
    let returned = left_before.into_iter().any(|(_, left)| *left > round.since);
    !(immutable && returned && quirks.returned_contact_lost && !round.first)
}

fn show(
    quirks: &GraphQuirks,
    mailbox: &Mailbox,
    folder: u32,
    round: &Round,
    entries: Vec<LogEntry>,
    preferences: Preferences,
) -> Vec<Value> {
    let view = View {
        select: round.select.as_deref(),
        expand: &[],
        immutable: preferences.immutable,
        notes_cut: quirks.notes == NotesBug::InListsAndDelta,
    };
    let mut shown: Vec<(String, Value)> = Vec::new();
    for entry in entries {
        let immutable = preferences.immutable;
        let id = mailbox.id_of(entry.item, folder, entry.placement, immutable);
        let mut value = match mailbox.contacts.get(&entry.item) {
            Some(contact) if !entry.gone => view.contact(quirks, mailbox, contact),
            _ => {
                let reason = match quirks.removed_reason {
                    RemovedReason::Deleted => "deleted",
                    RemovedReason::Changed => "changed",
                };
                json!({"id": id, "@removed": {"reason": reason}})
            }
        };
        if let Some(value) = value.as_object_mut() {
            value.shift_insert(
                0,
                "@odata.type".to_owned(),
                "#microsoft.graph.contact".into(),
            );
        }
        shown.push((id, value));
    }
    if quirks.entries_reordered {
        let mut places = BTreeMap::new();
        for (place, (id, _)) in shown.iter().enumerate() {
            places.entry(id.clone()).or_insert(place);
        }
        shown.sort_by_key(|(id, _)| std::cmp::Reverse(places.get(id).copied()));
    }
    shown.into_iter().map(|(_, value)| value).collect()
}

fn link(
    quirks: &GraphQuirks,
    mailbox: &Mailbox,
    round: &Round,
    more: bool,
    call: &Call<'_>,
    scope: &Scope,
) -> (&'static str, String) {
    let path = match quirks.delta_links {
        LinkForm::AsRequested => scope.path.clone(),
        LinkForm::FolderKey => {
            let folder = mailbox.folder_id(round.folder);
            format!("{}/contactfolders('{folder}')/contacts/delta", scope.root)
        }
    };
    let base = format!("{}/graph/v1.0/{path}", call.origin);
    if more {
        let token = token(round);
        return ("@odata.nextLink", format!("{base}?$skiptoken={token}"));
    }
    let end = End {
        mailbox: round.mailbox,
        folder: round.folder,
        generation: round.generation,
        since: round.until,
        select: round.select.clone(),
    };
    (
        "@odata.deltaLink",
        format!("{base}?$deltatoken={}", token(&end)),
    )
}

fn token(state: &impl Serialize) -> String {
    opaque(serde_json::to_vec(state).unwrap_or_default())
}
