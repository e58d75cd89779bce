//! What can be brought back, and finding the one thing that a person means.

use clap::Args;
use contact_sync_host::types::{Field, Side};
use contact_sync_host::{Error, JournalEntry, Mailbox, Target, Tenant};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use super::{Cli, End, Place, Purpose, Stop, human, json, pass, show_error};

pub(super) const RESTORE_EXAMPLES: &str = "\
A record comes back from its service's trash, under its own id; only where it is not there any more
it is created from the journal. A value comes back where nobody has edited it since. Nothing is
deleted. `--dry-run` says beforehand what cannot come back.

Examples:
  contact-sync restore mustermann --dry-run     the only contact with this in name or e-mail
  contact-sync restore 4c1f0e2a --mailbox koeln all that this pass deleted or replaced";

/// Entries that are listed of one mailbox unless asked for more.
const LIMIT: usize = 50;

/// Entries of one page (`wit/archive.wit`).
const PAGE_ENTRIES_MAX: u32 = 1_000;

/// Contacts that are named where it is not clear which one is meant.
const CANDIDATES_TOLD_MAX: usize = 10;

/// Which part of the history.
#[derive(Args, Debug)]
pub(super) struct Filter {
    /// Only of this contact: an id, or a piece of a name or of an e-mail address.
    #[arg(long, value_name = "CONTACT")]
    contact: Option<String>,
    /// Only since then: `2026-11-20`, `2026-11-20T08:00Z`, or how long ago: `3h`, `2d`.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// At most so many of each mailbox.
    #[arg(long, value_name = "COUNT", default_value_t = LIMIT)]
    limit: usize,
}

/// Lists the history of one mailbox.
pub(super) async fn show(
    cli: &Cli,
    place: &Place,
    mailbox: &Mailbox,
    filter: &Filter,
) -> Result<End, Stop> {
    let mut found = Vec::new();
    let read = read(mailbox, |entry| {
        if found.len() >= filter.limit || filter.is_before(&entry) {
            return false;
        }
        if filter
            .contact
            .as_ref()
            .is_none_or(|text| is_about(&entry, text))
        {
            found.push(entry);
        }
        true
    })
    .await;
    let shown = read.map(|()| found);
    super::show(
        cli,
        place,
        shown,
        End::Complete,
        |out, place, entries| human::history(out, place, entries),
        |entries| json::history(entries),
    )
}

/// Brings back the one thing that `what` means.
pub(super) async fn restore(
    cli: &Cli,
    tenant: &Tenant,
    what: &str,
    is_dry: bool,
) -> Result<End, Stop> {
    let mut found = Vec::new();
    for (index, mailbox) in tenant.mailboxes().iter().enumerate() {
        let mut meanings = Meanings::default();
        let read = read(mailbox, |entry| {
            meanings.take(&entry, what);
            true
        })
        .await;
        if let Err(error) = read {
            return show_error(cli, &Place::of(tenant, mailbox), &error);
        }
        found.extend(meanings.found.into_iter().map(|meaning| (index, meaning)));
    }
    let (index, target) = chosen(tenant, found, what)?;
    let Some(mailbox) = tenant.mailboxes().get(index) else {
        return Ok(End::Complete);
    };
    let place = Place::of(tenant, mailbox);
    let purpose = if is_dry {
        Purpose::DryRestore
    } else {
        Purpose::Restore
    };
    let opened = mailbox.restore(&target, is_dry).await;
    pass(cli, &place, opened, purpose).await
}

/// Hands the entries of a mailbox's journal to `take`, newest first, until it says `false`.
async fn read(mailbox: &Mailbox, mut take: impl FnMut(JournalEntry) -> bool) -> Result<(), Error> {
    let mut after: Option<String> = None;
    loop {
        let page = mailbox.journal(after.as_deref(), PAGE_ENTRIES_MAX).await?;
        for entry in page.entries {
            if !take(entry) {
                return Ok(());
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Something in a journal that a person may mean.
#[derive(Clone, Debug, PartialEq)]
struct Meaning {
    target: Target,
    /// A contact of which only a piece of its name or address was given.
    is_piece: bool,
    /// Nothing of it was lost in the CRM here: another mailbox's pass may have begun it.
    is_follower: bool,
    /// What people call it.
    label: String,
}

/// What one mailbox's journal holds under a name.
#[derive(Default)]
struct Meanings {
    found: Vec<Meaning>,
}

impl Meanings {
    fn take(&mut self, entry: &JournalEntry, what: &str) {
        let ids = [&entry.contact.crm_id, &entry.contact.mailbox_id];
        let is_id = ids.into_iter().flatten().any(|id| id == what);
        let (target, is_piece) = if entry.id == what {
            (Target::Entry(what.to_owned()), false)
        } else if entry.pass == what {
            (Target::Pass(what.to_owned()), false)
        } else if is_id {
            (Target::Contact(what.to_owned()), false)
        } else if let (true, Some(id)) = (is_about(entry, what), contact_id(entry)) {
            (Target::Contact(id), true)
        } else {
            return;
        };
        let is_follower = entry.side == Side::Mailbox;
        match self.found.iter_mut().find(|known| known.target == target) {
            Some(known) => known.is_follower = known.is_follower && is_follower,
            None => self.found.push(Meaning {
                target,
                is_piece,
                is_follower,
                label: human::label(&entry.contact),
            }),
        }
    }
}

/// The only thing that is meant, and in which mailbox.
fn chosen(
    tenant: &Tenant,
    mut found: Vec<(usize, Meaning)>,
    what: &str,
) -> Result<(usize, Target), Stop> {
    if found.iter().any(|(_, meaning)| !meaning.is_piece) {
        found.retain(|(_, meaning)| !meaning.is_piece);
    }
    // Of one contact in several mailboxes, the pass is meant that deleted it in the CRM.
    let first = found.first().map(|(_, meaning)| meaning.target.clone());
    let is_one = found
        .iter()
        .all(|(_, meaning)| Some(&meaning.target) == first.as_ref());
    if is_one && found.iter().any(|(_, meaning)| !meaning.is_follower) {
        found.retain(|(_, meaning)| !meaning.is_follower);
    }
    let stop = |message, hint: &str| Err(Stop::Message(End::Internal, message, Some(hint.into())));
    match found.as_slice() {
        [] => stop(
            format!("the history holds nothing of `{what}`"),
            "`contact-sync history` lists what can be brought back",
        ),
        [(index, meaning)] => Ok((*index, meaning.target.clone())),
        several => stop(
            format!(
                "`{what}` may mean several:\n{}",
                candidates(tenant, several)
            ),
            "name one by its id, and its mailbox by `--mailbox`",
        ),
    }
}

fn candidates(tenant: &Tenant, several: &[(usize, Meaning)]) -> String {
    let told = several.iter().take(CANDIDATES_TOLD_MAX);
    let mut lines: Vec<String> = told
        .map(|(index, meaning)| {
            let mailbox = tenant.mailboxes().get(*index).map_or("", Mailbox::id);
            format!("  {} --mailbox {mailbox}", meaning.label)
        })
        .collect();
    let more = several.len().saturating_sub(lines.len());
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines.join("\n")
}

impl Filter {
    fn is_before(&self, entry: &JournalEntry) -> bool {
        let at = i64::try_from(entry.at).unwrap_or(i64::MAX);
        self.since.is_some_and(|since| at < since.as_millisecond())
    }
}

/// Whether a text names the contact of an entry: its id, or a piece of its name or address.
fn is_about(entry: &JournalEntry, text: &str) -> bool {
    let ids = [&entry.contact.crm_id, &entry.contact.mailbox_id];
    if ids.into_iter().flatten().any(|id| id == text) {
        return true;
    }
    let piece = text.trim().to_lowercase();
    let has_piece = |text: &str| text.to_lowercase().contains(&piece);
    let mut emails = entry
        .lost
        .iter()
        .filter(|change| change.field == Field::Emails);
    !piece.is_empty()
        && (has_piece(&entry.contact.label)
            || emails.any(|change| change.before.as_deref().is_some_and(has_piece)))
}

fn contact_id(entry: &JournalEntry) -> Option<String> {
    let contact = &entry.contact;
    contact
        .crm_id
        .clone()
        .or_else(|| contact.mailbox_id.clone())
}

/// A date, a time, or how long ago.
fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(date) = text.parse::<Date>() {
        let begin = date.to_zoned(TimeZone::system());
        return begin
            .map(|begin| begin.timestamp())
            .map_err(|error| error.to_string());
    }
    let span: Span = text
        .parse()
        .map_err(|_| "write a date (2026-11-20), a time, or how long ago (3h, 2d)".to_owned())?;
    let then = Zoned::now().checked_sub(span.abs());
    then.map(|then| then.timestamp())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use contact_sync_host::Cause;
    use contact_sync_host::types::{Change, ContactName};

    use super::*;

    fn entry(number: u32, crm_id: &str, label: &str, side: Side) -> JournalEntry {
        JournalEntry {
            id: format!("entry-{number}"),
            pass: "pass-1".into(),
            at: 1_795_000_000_000,
            side,
            cause: Cause::Deleted,
            contact: ContactName {
                crm_id: Some(crm_id.into()),
                mailbox_id: Some(format!("m-{crm_id}")),
                label: label.into(),
            },
            lost: vec![Change {
                field: Field::Emails,
                before: Some(format!("{crm_id}@muster.example")),
                after: None,
            }],
            restored: None,
        }
    }

    fn meanings(what: &str) -> Vec<Meaning> {
        let mut meanings = Meanings::default();
        for (number, crm_id, label, side) in [
            (1, "c-1", "Erika Mustermann", Side::Crm),
            (2, "c-1", "Erika Mustermann", Side::Mailbox),
            (3, "c-2", "Max Mustermann", Side::Mailbox),
        ] {
            meanings.take(&entry(number, crm_id, label, side), what);
        }
        meanings.found
    }

    #[test]
    fn ids_are_surer_than_pieces_and_pieces_name_a_contact_once() {
        let only = |what: &str| {
            let found = meanings(what);
            assert_eq!(found.len(), 1, "{what}: {found:?}");
            let found = found.into_iter().next().unwrap();
            (found.target, found.is_piece, found.is_follower)
        };
        let contact = |id: &str| Target::Contact(id.into());
        assert_eq!(only("c-1"), (contact("c-1"), false, false));
        assert_eq!(only("m-c-2"), (contact("m-c-2"), false, true));
        assert_eq!(only("pass-1").0, Target::Pass("pass-1".into()));
        assert_eq!(only("entry-3").0, Target::Entry("entry-3".into()));
        assert_eq!(only("ERIKA"), (contact("c-1"), true, false));
        assert_eq!(only("c-2@muster"), (contact("c-2"), true, true));
        assert_eq!(meanings("mustermann").len(), 2);
        assert!(meanings("nobody").is_empty() && meanings(" ").is_empty());
    }

    #[test]
    fn times_are_dates_times_or_how_long_ago() {
        for text in ["2026-11-20", "2026-11-20T08:00Z", "3h", "2d", "1w"] {
            assert!(since(text).is_ok(), "{text}");
        }
        let seconds = Timestamp::now()
            .duration_since(since("3h").unwrap())
            .as_secs();
        assert!((10_740..=10_860).contains(&seconds), "{seconds}");
        assert!(since("soon").is_err());
    }
}
