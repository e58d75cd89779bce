//! What a merge tells, in words.

use crate::contact::{Field, text};
use crate::mapping::rooms::Room;
use crate::report::{Finding, Severity, Side};

/// Values in messages, so that these stay within their 1,000 bytes (`types.wit`, `finding`).
const VALUE_BYTES_MAX: usize = 300;

pub(super) fn no_slot_left(field: Field, room: Option<Room>, value: &str) -> Finding {
    let (what, room) = (noun(field), room_words(field, room));
    finding(
        Severity::Warning,
        "no-slot-left",
        field,
        format!("The {what} {} is only in the CRM: {room}.", quoted(value)),
        "To have it in the mailbox, clear another one there or give this one another type; then \
         edit it in the CRM.",
    )
}

pub(super) fn type_without_slot(field: Field, room: Room, value: &str) -> Finding {
    let (what, room) = (noun(field), room_words(field, Some(room)));
    finding(
        Severity::Warning,
        "no-slot-left",
        field,
        format!(
            "The {what} {} has another type in the CRM, but stays where it was in the mailbox: \
             {room}.",
            quoted(value)
        ),
        "Clear a value of that type in the mailbox, then edit this one in the CRM.",
    )
}

pub(super) fn unreadable(field: Field, side: Side, value: &str) -> Finding {
    let place = match side {
        Side::Crm => "in the CRM",
        Side::Mailbox => "in the mailbox",
    };
    let (code, what, remedy) = match field {
        Field::Phones => (
            "unreadable-phone",
            "a phone number",
            "Write the digits alone, with area code, for example `+49 221 123456`; a remark \
             belongs in another field.",
        ),
        Field::Emails => (
            "unreadable-email",
            "an e-mail address",
            "Write one address alone, for example `erika@example.com`.",
        ),
        Field::Addresses => ("unreadable-address", "a postal address", "Enter it anew."),
        Field::Birthday => (
            "unreadable-birthday",
            "a day that both sides can hold",
            "Enter the day again, or clear it.",
        ),
        _ => ("unreadable-text", "text", "Enter it anew as text."),
    };
    let message = format!(
        "{} {place} is not readable as {what}: it stays there and is not copied.",
        quoted(value)
    );
    finding(Severity::Warning, code, field, message, remedy)
}

pub(super) fn unknown_type(field: Field, kind: &str) -> Finding {
    finding(
        Severity::Note,
        "unknown-type",
        field,
        format!(
            "A {} of type {} is only in the CRM.",
            noun(field),
            quoted(kind)
        ),
        "Give it one of the usual types to have it in the mailbox.",
    )
}

pub(super) fn locked_field(field: Field, value: Option<&str>) -> Finding {
    let edit = value.map_or("cleared".to_owned(), |value| {
        format!("set to {}", quoted(value))
    });
    finding(
        Severity::Warning,
        "locked-field",
        field,
        format!(
            "The {} was {edit} in the mailbox, but is locked in the CRM.",
            noun(field)
        ),
        "Unlock the field in the CRM and repeat the edit, or undo it in the mailbox.",
    )
}

pub(super) fn ambiguous_address() -> Finding {
    finding(
        Severity::Error,
        "ambiguous-address",
        Field::Addresses,
        "An address was edited in the mailbox, and the CRM's addresses were changed so much that \
         it is not certain which of them it is. No address is written on either side."
            .to_owned(),
        "Make the addresses of the contact equal on both sides by hand.",
    )
}

fn finding(severity: Severity, code: &str, field: Field, message: String, remedy: &str) -> Finding {
    Finding {
        severity,
        code: code.to_owned(),
        message,
        remedy: Some(remedy.to_owned()),
        contact: None,
        field: Some(field),
    }
}

fn quoted(value: &str) -> String {
    format!(
        "`{}`",
        text::shortened(&text::canonical(value), VALUE_BYTES_MAX)
    )
}

fn noun(field: Field) -> &'static str {
    match field {
        Field::FirstName => "first name",
        Field::LastName => "last name",
        Field::AcademicTitle => "academic title",
        Field::Company => "company",
        Field::Department => "department",
        Field::Position => "position",
        Field::Phones => "phone number",
        Field::Emails => "e-mail address",
        Field::Website => "website",
        Field::Addresses => "address",
        Field::Birthday => "birthday",
    }
}

fn room_words(field: Field, room: Option<Room>) -> String {
    match (field, room) {
        (Field::Emails, _) => "the mailbox contact has room for three".to_owned(),
        (_, Some(room)) => format!(
            "the mailbox contact has no free place of type {}",
            room.word()
        ),
        (_, None) => "the mailbox contact has no free place".to_owned(),
    }
}
