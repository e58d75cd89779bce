//! Explanations, as `wit/contacts.wit` words them.

use super::super::bindings::exports::contact_sync::plugin::contacts as wit;
use super::{contact, field_out, finding, operation};
use crate::explain::{Answer, Explanation, Place, PlacedValue, Standing};

/// What one explanation carries at most.
const VALUES_MAX: usize = 500;
const FINDINGS_MAX: usize = 200;
const OPERATIONS_MAX: usize = 10;

pub(in super::super) fn answer(answer: Answer) -> wit::Explained {
    match answer {
        Answer::One(explanation) => wit::Explained::One(one(&explanation)),
        Answer::Several(contacts, total) => wit::Explained::Several(wit::Several {
            contacts: contacts.iter().map(contact).collect(),
            total,
        }),
    }
}

fn one(explanation: &Explanation) -> wit::Explanation {
    let values = explanation.values.iter().take(VALUES_MAX);
    let findings = explanation.findings.iter().take(FINDINGS_MAX);
    let operations = explanation.operations.iter().enumerate();
    wit::Explanation {
        contact: contact(&explanation.contact),
        standing: standing(explanation.standing),
        retry_at: explanation.retry_at.and_then(|at| u64::try_from(at.0).ok()),
        values: values.map(value).collect(),
        findings: findings.map(finding).collect(),
        operations: operations
            .take(OPERATIONS_MAX)
            .map(|(number, planned)| operation(number, planned))
            .collect(),
    }
}

fn standing(standing: Standing) -> wit::Standing {
    match standing {
        Standing::Linked => wit::Standing::Linked,
        Standing::Detached => wit::Standing::Detached,
        Standing::Tombstone => wit::Standing::Tombstone,
        Standing::New => wit::Standing::New,
        Standing::NotMarked => wit::Standing::NotMarked,
        Standing::Ambiguous => wit::Standing::Ambiguous,
        Standing::Held => wit::Standing::Held,
        Standing::AwaitingApproval => wit::Standing::AwaitingApproval,
        Standing::OpenIntent => wit::Standing::OpenIntent,
        Standing::Quarantined => wit::Standing::Quarantined,
        Standing::Gone => wit::Standing::Gone,
    }
}

fn value(value: &PlacedValue) -> wit::PlacedValue {
    wit::PlacedValue {
        field: field_out(value.field),
        crm: value.crm.clone(),
        mailbox: value.mailbox.clone(),
        slots: value.slots.iter().map(|slot| format!("{slot:?}")).collect(),
        place: match value.place {
            Place::Both => wit::Place::Both,
            Place::Changing => wit::Place::Changing,
            Place::NoRoom => wit::Place::NoRoom,
            Place::CrmOnly => wit::Place::CrmOnly,
            Place::Apart => wit::Place::Apart,
            Place::Unreadable => wit::Place::Unreadable,
            Place::NoPart => wit::Place::NoPart,
        },
    }
}
