//! The guard's question, and its answer: `approve` and `reject`.

use std::io::{self, Write};

use clap::Args;
use contact_sync_host::types::ApprovalRequest;
use contact_sync_host::{Error, Mailbox, RequestEntry, Verdict};
use serde_json::{Value, json};

use super::{Cli, End, Place, Stop, human, json as machine, show, show_error};

/// Entries asked for at once.
const ENTRIES_MAX: u32 = 500;

pub(super) const APPROVE_HELP: &str = "\
Examples:
  contact-sync approve                              what waits for an approval, of all mailboxes?
  contact-sync approve --mailbox koeln a9a6515432d551c7
                                                    yes: the next sync carries this list out

Without TOKEN nothing is answered; exit code 3 says that something waits. An approval covers the
entries of that list as they are shown: what is edited until the next sync drops out and is told.";

pub(super) const REJECT_HELP: &str = "\
Examples:
  contact-sync reject                               what waits for an approval, of all mailboxes?
  contact-sync reject --mailbox koeln a9a6515432d551c7
                                                    no: the next sync brings it all back

Without TOKEN nothing is answered; exit code 3 says that something waits. A contact that one side
deleted is restored from the trash or created again, a marker is set again, and a field that was
cleared is filled again.";

/// Which list is answered.
#[derive(Args, Debug)]
pub(super) struct Answer {
    /// The list that is answered, as this command without it names it.
    pub(super) token: Option<String>,
}

/// What a mailbox asks, and all of its list.
pub(super) struct Asked {
    request: ApprovalRequest,
    verdict: Option<Verdict>,
    entries: Vec<RequestEntry>,
}

/// Shows what a mailbox asks, or answers it.
pub(super) async fn run(
    cli: &Cli,
    place: &Place,
    mailbox: &Mailbox,
    answer: &Answer,
    verdict: Verdict,
) -> Result<End, Stop> {
    let Some(token) = &answer.token else {
        let asked = match read(mailbox).await {
            Ok(asked) => asked,
            Err(error) => return show_error(cli, place, &error),
        };
        let waits = asked.as_ref().is_some_and(|asked| asked.verdict.is_none());
        let end = if waits {
            End::NeedsApproval
        } else {
            End::Complete
        };
        let print = |out: &mut dyn Write, place: &Place, asked: &Option<Asked>| match asked {
            Some(asked) => print_list(out, cli, place, asked),
            None => writeln!(out, "{place}: nothing waits for your approval"),
        };
        return show(cli, place, Ok(asked), end, print, |asked| {
            list_json(asked.as_ref())
        });
    };
    let answered = mailbox.answer(token, verdict).await;
    let print = |out: &mut dyn Write, place: &Place, request: &ApprovalRequest| {
        print_answer(out, place, request, verdict)
    };
    let to_json = |request: &ApprovalRequest| json!({ "verdict": verdict_name(verdict), "request": machine::request(request) });
    show(cli, place, answered, End::Complete, print, to_json)
}

/// The command that shows a mailbox's list, or, with a token, answers it.
pub(super) fn command(cli: &Cli, place: &Place, verdict: Verdict, token: Option<&str>) -> String {
    let config = &cli.options.config;
    let config = match config.to_str() {
        Some("contact-sync.toml") => String::new(),
        _ => format!(" --config {}", config.display()),
    };
    let verb = verdict_name(verdict);
    let token = token.map(|token| format!(" {token}")).unwrap_or_default();
    let Place { tenant, mailbox } = place;
    format!("contact-sync {verb}{config} --tenant {tenant} --mailbox {mailbox}{token}")
}

async fn read(mailbox: &Mailbox) -> Result<Option<Asked>, Error> {
    let Some(first) = mailbox.request(None, ENTRIES_MAX).await? else {
        return Ok(None);
    };
    let mut asked = Asked {
        request: first.request,
        verdict: first.verdict,
        entries: first.entries,
    };
    let mut after = first.next;
    while let Some(from) = after {
        let Some(page) = mailbox.request(Some(&from), ENTRIES_MAX).await? else {
            break;
        };
        asked.entries.extend(page.entries);
        after = page.next;
    }
    Ok(Some(asked))
}

fn print_list(out: &mut dyn Write, cli: &Cli, place: &Place, asked: &Asked) -> io::Result<()> {
    human::needs_approval(out, place, &asked.request, false)?;
    writeln!(out, "\nThe list {}", asked.request.token)?;
    for entry in &asked.entries {
        human::entry(out, entry)?;
    }
    match asked.verdict {
        None => writeln!(out)?,
        Some(Verdict::Approve) => writeln!(out, "\nApproved; the next sync acts on it.")?,
        Some(Verdict::Reject) => writeln!(out, "\nRejected; the next sync acts on it.")?,
    }
    let token = Some(asked.request.token.as_str());
    let approve = command(cli, place, Verdict::Approve, token);
    let reject = command(cli, place, Verdict::Reject, token);
    writeln!(out, "To carry it out:   {approve}")?;
    writeln!(out, "To bring it back:  {reject}")
}

fn print_answer(
    out: &mut dyn Write,
    place: &Place,
    request: &ApprovalRequest,
    verdict: Verdict,
) -> io::Result<()> {
    match verdict {
        Verdict::Approve => {
            let what = human::asked(request, ["deletes", "detaches", "empties"]);
            writeln!(out, "{place}: approved; the next sync carries it out:")?;
            writeln!(
                out,
                "  it {what}\n  what is edited until then drops out, and the sync says so"
            )
        }
        Verdict::Reject => {
            let what = human::asked(request, ["delete", "detach", "empty"]);
            writeln!(out, "{place}: rejected; the next sync does not {what}:")?;
            writeln!(
                out,
                "  it brings back what vanished on the other side, and says what it cannot bring back"
            )
        }
    }
}

fn list_json(asked: Option<&Asked>) -> Value {
    let Some(asked) = asked else {
        return json!({ "request": null, "verdict": null, "entries": [] });
    };
    let entries = asked.entries.iter().map(|entry| {
        json!({
            "number": entry.number,
            "side": human::side_name(entry.side),
            "action": human::action_name(entry.action),
            "emptied": entry.emptied.map(human::field_name),
            "contact": machine::contact(&entry.contact),
            "changes": machine::changes(&entry.changes),
            "reason": entry.reason,
        })
    });
    json!({
        "request": machine::request(&asked.request),
        "verdict": asked.verdict.map(verdict_name),
        "entries": entries.collect::<Vec<_>>(),
    })
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "approve",
        Verdict::Reject => "reject",
    }
}
