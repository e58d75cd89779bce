//! `explain`: why a contact, or one of its values, is or is not in a mailbox.

use std::io::{self, Write};

use contact_sync_host::types::{ContactName, Failure};
use contact_sync_host::{
    Error, Explained, Explanation, Place as ValuePlace, PlacedValue, Standing, Tenant,
};
use serde_json::{Value, json};

use super::{Cli, End, Place, Stop, human, json as machine, show, show_error, tell_error};

pub(super) const HELP: &str = "\
CONTACT is an id of either side, words of the name, an e-mail address or a number. All mailboxes
are asked; `--mailbox ID` asks one. Nothing is written anywhere.

Examples:
  contact-sync explain \"Erika Mustermann\"
  contact-sync explain erika@muster.example --mailbox koeln
  contact-sync explain \"+49 221 88990\" --json";

/// Asks every chosen mailbox. It is enough that one of them knows the contact.
pub(super) async fn run(cli: &Cli, tenant: &Tenant, contact: &str) -> Result<End, Stop> {
    let mut end = None;
    let mut unknown = Vec::new();
    for mailbox in tenant.mailboxes() {
        let place = Place::of(tenant, mailbox);
        match mailbox.explain(contact).await {
            Err(error) if is_not_found(&error) => unknown.push((place, error)),
            explained => {
                let shown = show(cli, &place, explained, End::Complete, print, as_json)?;
                end = end.max(Some(shown));
            }
        }
    }
    if end.is_none() {
        for (place, error) in &unknown {
            show_error(cli, place, error)?;
        }
        return Ok(End::Failed);
    }
    for (place, error) in &unknown {
        if cli.options.json {
            machine::line(&mut io::stdout().lock(), place, machine::error(error))?;
        } else if cli.options.verbose {
            tell_error(&place.to_string(), error);
        }
    }
    Ok(end.unwrap_or(End::Complete))
}

fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Failed { failure, .. } if matches!(**failure, Failure::NotFound(_)))
}

fn print(out: &mut dyn Write, place: &Place, explained: &Explained) -> io::Result<()> {
    match explained {
        Explained::One(explanation) => one(out, place, explanation),
        Explained::Several(several) => {
            let count = several.total;
            writeln!(
                out,
                "{place}: {count} contacts may be meant; ask again with an id:"
            )?;
            for contact in &several.contacts {
                writeln!(out, "  {}", human::label(contact))?;
            }
            let listed = u32::try_from(several.contacts.len()).unwrap_or(u32::MAX);
            if listed < count {
                writeln!(out, "  and {} more", count - listed)?;
            }
            Ok(())
        }
    }
}

fn one(out: &mut dyn Write, place: &Place, explanation: &Explanation) -> io::Result<()> {
    let Explanation {
        contact,
        standing,
        retry_at,
        values,
        findings,
        operations,
    } = explanation;
    let name = human::label(contact);
    writeln!(out, "{place}: {name}: {}", standing_words(*standing))?;
    let mut findings = findings.iter();
    if let Some(why) = findings.next() {
        writeln!(out, "  {}", human::one_line(&why.message))?;
        human::hint(out, why.remedy.as_deref())?;
    }
    if let Some(at) = retry_at {
        writeln!(
            out,
            "  tried again at {}, or once it is edited",
            human::local_time(*at)
        )?;
    }
    if !operations.is_empty() {
        writeln!(out, "\nThe next pass")?;
        human::operations(out, operations)?;
    }
    if !values.is_empty() {
        writeln!(out, "\nValues")?;
        table(out, values)?;
    }
    let mut is_first = true;
    for finding in findings {
        if is_first {
            writeln!(out, "\nFindings")?;
            is_first = false;
        }
        // Whom all of them are about stands above.
        let unnamed = contact_sync_host::types::Finding {
            contact: None::<ContactName>,
            ..finding.clone()
        };
        human::one_finding(out, &unnamed)?;
    }
    Ok(())
}

/// Field, what the CRM holds, what the mailbox holds, where that is.
fn table(out: &mut dyn Write, values: &[PlacedValue]) -> io::Result<()> {
    for value in values {
        let field = human::field_name(value.field);
        let text = match (&value.crm, &value.mailbox) {
            (Some(crm), Some(mailbox)) if value.place != ValuePlace::Both => {
                format!("{} | {}", human::one_line(crm), human::one_line(mailbox))
            }
            (Some(text), _) | (None, Some(text)) => human::one_line(text),
            (None, None) => String::new(),
        };
        write!(out, "  {field:14} {text}: {}", place_words(value))?;
        if value.slots.is_empty() {
            writeln!(out)?;
        } else {
            writeln!(out, " ({})", value.slots.join(", "))?;
        }
    }
    Ok(())
}

fn standing_words(standing: Standing) -> &'static str {
    match standing {
        Standing::Linked => "a pair",
        Standing::Detached => "detached",
        Standing::Tombstone => "forgotten",
        Standing::New => "new",
        Standing::NotMarked => "not marked for this mailbox",
        Standing::Ambiguous => "somebody must say who it is",
        Standing::Held => "held",
        Standing::AwaitingApproval => "waits for approval",
        Standing::OpenIntent => "being created",
        Standing::Quarantined => "set aside",
        Standing::Gone => "not in the contacts folder",
    }
}

fn place_words(value: &PlacedValue) -> &'static str {
    match value.place {
        ValuePlace::Both => "on both sides",
        ValuePlace::Changing => "the next pass changes it",
        ValuePlace::NoRoom => "only in the CRM, no room in the mailbox contact",
        ValuePlace::CrmOnly => "only in the CRM, takes no part",
        ValuePlace::Apart => match (&value.crm, &value.mailbox) {
            (None, _) => "only in the mailbox",
            (_, None) => "only in the CRM",
            _ => "differs, CRM first",
        },
        ValuePlace::Unreadable => "not readable, stays where it is",
        ValuePlace::NoPart => "the field takes no part",
    }
}

fn as_json(explained: &Explained) -> Value {
    match explained {
        Explained::One(explanation) => {
            let values = explanation.values.iter().map(|value| {
                json!({
                    "field": human::field_name(value.field),
                    "crm": value.crm,
                    "mailbox": value.mailbox,
                    "slots": value.slots,
                    "place": place_name(value.place),
                })
            });
            let findings = explanation.findings.iter().map(machine::finding);
            let operations = explanation.operations.iter().map(machine::one_operation);
            json!({ "explanation": {
                "contact": machine::contact(&explanation.contact),
                "standing": standing_name(explanation.standing),
                "retry-at": explanation.retry_at,
                "values": values.collect::<Vec<_>>(),
                "findings": findings.collect::<Vec<_>>(),
                "operations": operations.collect::<Vec<_>>(),
            }})
        }
        Explained::Several(several) => {
            let contacts = several.contacts.iter().map(machine::contact);
            json!({ "several": {
                "contacts": contacts.collect::<Vec<_>>(),
                "total": several.total,
            }})
        }
    }
}

fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::Linked => "linked",
        Standing::Detached => "detached",
        Standing::Tombstone => "tombstone",
        Standing::New => "new",
        Standing::NotMarked => "not-marked",
        Standing::Ambiguous => "ambiguous",
        Standing::Held => "held",
        Standing::AwaitingApproval => "awaiting-approval",
        Standing::OpenIntent => "open-intent",
        Standing::Quarantined => "quarantined",
        Standing::Gone => "gone",
    }
}

fn place_name(place: ValuePlace) -> &'static str {
    match place {
        ValuePlace::Both => "both",
        ValuePlace::Changing => "changing",
        ValuePlace::NoRoom => "no-room",
        ValuePlace::CrmOnly => "crm-only",
        ValuePlace::Apart => "apart",
        ValuePlace::Unreadable => "unreadable",
        ValuePlace::NoPart => "no-part",
    }
}

#[cfg(test)]
mod tests {
    use contact_sync_host::Several;
    use contact_sync_host::types::{
        Action, Change, Field, Finding, Operation, OperationState, Severity, Side,
    };

    use super::*;

    fn contact() -> ContactName {
        ContactName {
            crm_id: Some("c-1".into()),
            mailbox_id: Some("m-1".into()),
            label: "Erika\u{1b} Muster".into(),
        }
    }

    fn finding(code: &str, message: &str) -> Finding {
        Finding {
            severity: Severity::Warning,
            code: code.into(),
            message: message.into(),
            remedy: Some("Do this.".into()),
            contact: Some(contact()),
            field: None,
        }
    }

    fn value(crm: Option<&str>, mailbox: Option<&str>, place: ValuePlace) -> PlacedValue {
        let slots = match place {
            ValuePlace::Both => vec!["BusinessPhone1".into()],
            _ => Vec::new(),
        };
        PlacedValue {
            field: Field::Phones,
            crm: crm.map(Into::into),
            mailbox: mailbox.map(Into::into),
            slots,
            place,
        }
    }

    fn explanation() -> Explanation {
        let change = Change {
            field: Field::Phones,
            before: None,
            after: Some("3".into()),
        };
        let operation = Operation {
            number: 0,
            side: Side::Mailbox,
            action: Action::Update,
            contact: contact(),
            changes: vec![change],
            reason: "edited-in-crm".into(),
            state: OperationState::Planned,
        };
        Explanation {
            contact: contact(),
            standing: Standing::Linked,
            retry_at: None,
            values: vec![
                value(Some("1 (office)"), Some("+49 1"), ValuePlace::Both),
                value(Some("2 (office)"), None, ValuePlace::NoRoom),
                value(Some("3"), Some("4"), ValuePlace::Apart),
            ],
            findings: vec![
                finding("in-step-soon", "A pair."),
                finding("no-slot-left", "No."),
            ],
            operations: vec![operation],
        }
    }

    fn place() -> Place {
        Place {
            tenant: "a".into(),
            mailbox: "m1".into(),
        }
    }

    /// Why first, then what will happen, then value by value; nothing that moves the terminal.
    #[test]
    fn an_explanation_is_read_from_above() {
        let mut out = Vec::new();
        print(&mut out, &place(), &Explained::One(explanation())).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
a/m1: Erika\\u{1b} Muster [c-1 / m-1]: a pair
  A pair.
    hint: Do this.

The next pass
  Erika\\u{1b} Muster [c-1 / m-1]
    update in mailbox (edited-in-crm)
      phones: + 3

Values
  phones         1 (office): on both sides (BusinessPhone1)
  phones         2 (office): only in the CRM, no room in the mailbox contact
  phones         3 | 4: differs, CRM first

Findings
  warning: No. (no-slot-left)
    hint: Do this.
"
        );
    }

    #[test]
    fn several_are_listed_with_their_ids() {
        let mut out = Vec::new();
        let several = Several {
            contacts: vec![contact()],
            total: 3,
        };
        print(&mut out, &place(), &Explained::Several(several)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
a/m1: 3 contacts may be meant; ask again with an id:
  Erika\\u{1b} Muster [c-1 / m-1]
  and 2 more
"
        );
    }

    #[test]
    fn machines_get_the_words_of_the_interface() {
        let json = as_json(&Explained::One(explanation()));
        let explanation = &json["explanation"];
        assert_eq!(explanation["standing"], "linked");
        assert_eq!(explanation["values"][1]["place"], "no-room");
        assert_eq!(explanation["values"][0]["slots"][0], "BusinessPhone1");
        assert_eq!(explanation["operations"][0]["reason"], "edited-in-crm");
        assert_eq!(explanation["contact"]["crm-id"], "c-1");
    }
}
