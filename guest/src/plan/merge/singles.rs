//! Fields with one value.

use serde_json::Value;

use super::{Case, Draft, Verdict, findings};
use crate::contact::birthday::Birthday;
use crate::contact::{CrmFields, Field, View};
use crate::mapping::values::{Single, crm_values};
use crate::mapping::{Trace, names, traces};
use crate::report::Side;

pub(super) fn merge(draft: &mut Draft<'_>, field: Field) {
    let input = draft.input;
    let mailbox = names::single_of_mailbox(field, input.view, draft.stood_in);
    let mut crm = Single::of_crm(field, input.crm);
    let (mut crm_then, mailbox_then) = then(draft, field);
    // The mailbox cleared the value before this one, which has had no slot and gets none by
    // waiting.
    let waits = draft
        .base_of(field)
        .is_some_and(|base| base.slots.waiting.contains(&field))
        && crm != Single::Empty
        && crm.same(&crm_then);
    if waits {
        draft.merged.slots.waiting.insert(field);
        (crm, crm_then) = (Single::Empty, Single::Empty);
    }
    if let Single::Opaque(text) = &crm {
        draft
            .merged
            .findings
            .push(findings::unreadable(field, Side::Crm, text));
    }
    if let Single::Opaque(text) = &mailbox {
        draft
            .merged
            .findings
            .push(findings::unreadable(field, Side::Mailbox, text));
    }
    if crm.is_opaque() || mailbox.is_opaque() {
        return;
    }
    let case = Case {
        crm_changed: !crm.same(&crm_then),
        mailbox_changed: !mailbox.same(&mailbox_then),
        same: crm.same(&mailbox),
        crm_shown: crm.written().map(str::to_owned),
        mailbox_shown: mailbox.written().map(str::to_owned),
    };
    let trace = || match (&crm, &crm_then) {
        (Single::Readable { key, .. }, _) => Trace::Held(traces::of_value(field, key)),
        (_, Single::Readable { key, .. }) => Trace::Cleared(traces::of_value(field, key)),
        _ => Trace::Cleared(traces::of_value(field, "")),
    };
    match draft.settle(field, &case, trace) {
        Verdict::Keep => {}
        Verdict::ToMailbox => write_view(&mut draft.merged.view, field, crm.written()),
        Verdict::ToCrm => {
            let others_wait = write_crm(&mut draft.merged.crm, field, mailbox.written(), waits);
            if others_wait {
                draft.merged.slots.waiting.insert(field);
            } else {
                draft.merged.slots.waiting.remove(&field);
            }
        }
    }
}

fn then(draft: &Draft<'_>, field: Field) -> (Single, Single) {
    draft
        .base_of(field)
        .map_or((Single::Empty, Single::Empty), |base| {
            let stood_in = base.slots.stand_in;
            let mailbox = names::single_of_mailbox(field, &base.view, stood_in);
            (Single::of_crm(field, &base.crm), mailbox)
        })
}

fn write_view(view: &mut View, field: Field, value: Option<&str>) {
    let value = value.map(str::to_owned);
    match (field, value) {
        (Field::Birthday, value) => {
            let day = value.and_then(|day| Birthday::from_mailbox(&day));
            view.birthday = day.map(Birthday::to_mailbox);
        }
        (_, Some(text)) => {
            view.texts.insert(field, text);
        }
        (_, None) => {
            view.texts.remove(&field);
        }
    }
}

/// Writes the value that takes part. Returns whether, this one being cleared, another one is left
/// that waits.
fn write_crm(crm: &mut CrmFields, field: Field, value: Option<&str>, first_waits: bool) -> bool {
    let mut values = crm_values(field, crm).to_vec();
    let written = value.map(|value| crm_value(field, value, values.first()));
    match written {
        Some(written) if first_waits => values.insert(0, written),
        Some(written) => match values.first_mut() {
            Some(first) => *first = written,
            None => values.push(written),
        },
        None if values.is_empty() => {}
        None => {
            values.remove(0);
        }
    }
    let others_wait = value.is_none() && !values.is_empty();
    match field {
        Field::Birthday => crm.birthday = values,
        _ if values.is_empty() => {
            crm.texts.remove(&field);
        }
        _ => {
            crm.texts.insert(field, values);
        }
    }
    others_wait
}

fn crm_value(field: Field, value: &str, previous: Option<&Value>) -> Value {
    match field {
        Field::Birthday => match Birthday::from_mailbox(value) {
            Some(day) => day.to_crm_like(previous),
            None => Value::Null,
        },
        _ => Value::from(value),
    }
}
