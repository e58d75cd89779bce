//! The invented people: the same for a seed, written differently, and some too much for Exchange.

use contact_sync_tests::people::{Population, Sizes, population};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

use crate::client::Client;

const SIZES: Sizes = Sizes {
    crm: 1500,
    mailbox: 1000,
    shared: 600,
};

fn texts(contact: &Map<String, Value>, pointers: &[(&str, &str)]) -> Vec<String> {
    let values = pointers.iter().flat_map(|(field, member)| {
        let values = contact.get(*field).and_then(Value::as_array);
        values
            .into_iter()
            .flatten()
            .filter_map(move |value| match *member {
                "" => value.as_str(),
                member => value.get(member)?.as_str(),
            })
    });
    values.map(str::to_owned).collect()
}

fn count(contacts: &[Map<String, Value>], is: impl Fn(&Map<String, Value>) -> bool) -> usize {
    contacts.iter().filter(|contact| is(contact)).count()
}

#[test]
fn a_seed_always_invents_the_same_people() {
    let Population { crm, mailbox } = population(3, SIZES);
    assert_eq!((crm.len(), mailbox.len()), (SIZES.crm, SIZES.mailbox));
    let again = population(3, SIZES);
    assert!(crm == again.crm && mailbox == again.mailbox);
    assert!(crm != population(4, SIZES).crm);
}

#[test]
fn shared_people_share_addresses_and_nobody_else_does() {
    let Population { crm, mailbox } = population(3, SIZES);
    let crm_emails = |contact| texts(contact, &[("emails", "")]);
    let mailbox_emails = |contact| -> Vec<String> {
        let emails = texts(contact, &[("emailAddresses", "address")]).into_iter();
        emails.map(|email| email.to_lowercase()).collect()
    };
    for (crm, mailbox) in crm.iter().zip(&mailbox).take(SIZES.shared) {
        let known: BTreeSet<String> = crm_emails(crm).into_iter().collect();
        let found = mailbox_emails(mailbox);
        let found = found.iter().filter(|email| !email.starts_with("/o="));
        assert!(
            found.clone().all(|email| known.contains(email)),
            "{known:?}"
        );
    }
    let all: Vec<String> = crm.iter().flat_map(crm_emails).collect();
    let distinct: BTreeSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    let others: Vec<String> = mailbox
        .iter()
        .skip(SIZES.shared)
        .flat_map(mailbox_emails)
        .collect();
    assert!(others.iter().all(|email| !distinct.contains(email)));
}

#[test]
fn a_share_is_too_much_for_exchange() {
    let Population { crm, mailbox } = population(3, SIZES);
    let office = |contact: &Map<String, Value>| {
        let phones = contact
            .get("phones")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        phones.filter(|phone| phone["type"] == "office").count()
    };
    let emails = |contact: &Map<String, Value>| texts(contact, &[("emails", "")]).len();
    let numbers = |contact: &Map<String, Value>| texts(contact, &[("phones", "number")]);
    let no_number = |contact: &Map<String, Value>| {
        numbers(contact)
            .iter()
            .any(|number| number.contains(char::is_alphabetic))
    };
    assert!(
        count(&crm, |contact| office(contact) > 2) > 30,
        "third business phones"
    );
    assert!(
        count(&crm, |contact| emails(contact) > 3) > 20,
        "fourth e-mail addresses"
    );
    assert!(count(&crm, no_number) > 20, "numbers that are none");
    assert!(
        count(&crm, |contact| !contact.contains_key("lastName")) > 50,
        "companies"
    );
    let umlaut = |contact: &Map<String, Value>| {
        texts(contact, &[("lastName", "")])
            .iter()
            .any(|name| name.contains(['ä', 'ö', 'ü', 'ß']))
    };
    assert!(count(&crm, umlaut) > 200, "umlauts");
    let before_1970 = |contact: &Map<String, Value>| {
        let birthday = contact
            .get("birthday")
            .and_then(|values| values[0].as_i64());
        birthday.is_some_and(|seconds| seconds < 0)
    };
    assert!(count(&crm, before_1970) > 50, "birthdays before 1970");
    let x500 = |contact: &Map<String, Value>| {
        texts(contact, &[("emailAddresses", "address")])
            .iter()
            .any(|email| email.starts_with("/O="))
    };
    assert!(count(&mailbox, x500) > 3, "X.500 addresses");
}

/// The generator writes nothing that the services would not take, but what is meant not to fit.
#[test]
fn both_services_hold_the_people() {
    let Population { crm, mailbox } = population(3, SIZES);
    let mut client = Client::new();
    for fields in crm {
        let body: Map<String, Value> = fields
            .into_iter()
            .map(|(name, values)| (name, serde_json::json!({ "values": values })))
            .collect();
        let body = Value::Object(body);
        let answer = client.send_json("POST /flowfact/entity-service/schemas/contacts", &body);
        assert_eq!(answer.status, 200, "{body}: {}", answer.text);
    }
    client.simulator.graph.quirks.given_name_required = false;
    for properties in mailbox {
        let body = Value::Object(properties);
        let target = format!("POST {}/contacts", crate::client::USER);
        let answer = client.send_json(&target, &body);
        assert_eq!(answer.status, 201, "{body}: {}", answer.text);
    }
}
