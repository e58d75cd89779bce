//! `rebind` and `suspend`: what a person says about a mailbox as a whole, before the next pass.

use std::io::{self, BufRead, IsTerminal, Write};

use contact_sync_host::{Error, Tenant};
use serde_json::json;

use super::{Cli, End, Place, Stop, show};

pub(super) const REBIND_HELP: &str = "\
For a mailbox that was migrated to Office 365, or re-created: its contacts have new ids, and a pass
refuses to sync it until a person says that this is on purpose. The next pass then reads both sides
wholly, finds the linked contacts under their new ids, merges them with what was remembered, and
lets you approve whatever it would delete. Nothing is sent and nothing is deleted by this command.

Example, after the new address is in the configuration:
  contact-sync rebind --mailbox koeln
  contact-sync preview --mailbox koeln
  contact-sync sync --mailbox koeln";

pub(super) const SUSPEND_HELP: &str = "\
Say it before you switch a mailbox off. Links and everything else that is remembered stay, and
nothing is deleted on either side. The first sync after it switches the mailbox on again: it reads
both sides wholly and lets you approve whatever it would delete or take apart.

Example:
  contact-sync suspend --mailbox koeln";

/// Asks a person at the terminal whether to go on.
pub(super) fn confirmed_rebind(is_sure: bool) -> Result<(), Stop> {
    if is_sure {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        let message = "`rebind` asks whether you are sure, and nobody can answer here".into();
        let hint = "say it with `--yes`".to_owned();
        return Err(Stop::Message(End::Internal, message, Some(hint)));
    }
    let mut out = io::stderr().lock();
    write!(
        out,
        "The next pass will take whatever mailbox it finds for the one that was synced.\n\
         Is the configured mailbox the new home of these contacts? [y/N] "
    )?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if is_yes(&answer) {
        return Ok(());
    }
    Err(Stop::Message(
        End::Internal,
        "nothing was changed".into(),
        None,
    ))
}

pub(super) async fn rebind(cli: &Cli, tenant: &Tenant) -> Result<End, Stop> {
    let Some(mailbox) = tenant.mailboxes().first() else {
        return Ok(End::Complete);
    };
    let rebound = mailbox.rebind().await;
    said(
        cli,
        &Place::of(tenant, mailbox),
        rebound,
        "rebound",
        "the next pass may be of another mailbox; run `preview` to see what it would do",
    )
}

pub(super) async fn suspend(cli: &Cli, tenant: &Tenant) -> Result<End, Stop> {
    let mut end = End::Complete;
    for mailbox in tenant.mailboxes() {
        let suspended = mailbox.suspend().await;
        end = end.max(said(
            cli,
            &Place::of(tenant, mailbox),
            suspended,
            "suspended",
            "suspended; nothing is forgotten, and the next sync lets you approve what it would \
             delete",
        )?);
    }
    Ok(end)
}

fn said(
    cli: &Cli,
    place: &Place,
    result: Result<(), Error>,
    code: &str,
    words: &str,
) -> Result<End, Stop> {
    show(
        cli,
        place,
        result,
        End::Complete,
        |out, place, ()| writeln!(out, "{place}: {words}"),
        |()| json!({ code: true }),
    )
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes", "j", "ja"].contains(&answer.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is not clearly a yes is none.
    #[test]
    fn only_a_yes_is_a_yes() {
        for answer in ["y\n", " YES ", "ja\n", "J"] {
            assert!(is_yes(answer), "{answer}");
        }
        for answer in ["", "\n", "n", "yeah", "no"] {
            assert!(!is_yes(answer), "{answer}");
        }
    }
}
