//! Section 6: the same person, for every small set of candidates.

use contact_sync_guest::contact::{CrmEmail, CrmFields, Field, MailboxEmail, Slot, View};
use contact_sync_guest::plan::matching::{About, Candidate, Reason, propose};
use serde_json::json;
use std::collections::BTreeMap;

/// A contact in five words: e-mail address, first name, last name, company, position.
type Person = [&'static str; 5];

/// Whoever differs from the others in one thing that matters.
const PEOPLE: [Person; 12] = [
    ["e@x.de", "Erika", "Muster", "", ""],
    ["e@x.de", "Max", "Muster", "", ""],
    ["e@x.de", "", "Muster", "", ""],
    ["e@x.de", "Erika", "", "", ""],
    ["e@x.de", "", "", "Firma", ""],
    ["e@x.de", "", "", "", ""],
    ["f@x.de", "Erika", "Muster", "", ""],
    ["", "Erika", "Muster", "", ""],
    ["", "Erika", "Muster", "Firma", ""],
    ["", "Erika", "Muster", "", "Leitung"],
    ["", "Erika", "Muster", "", "Verkauf"],
    ["", "", "", "Firma", ""],
];

/// On both sides together.
const PEOPLE_MAX: usize = 4;

/// What becomes of one contact.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lot {
    /// Paired with this one of the other side.
    Pair(usize),
    Ask(Reason),
    New,
}

// ---- the contract -------------------------------------------------------------------------------

fn is_person(person: &Person) -> bool {
    !person[1].is_empty() || !person[2].is_empty()
}

fn is_nameless(person: &Person) -> bool {
    person[1..4].iter().all(|name| name.is_empty())
}

fn agree(one: &str, other: &str) -> bool {
    one.is_empty() || other.is_empty() || one == other
}

/// "share an e-mail address or number, agree on first *and* last name where both have them, are
/// both persons or both companies"
fn share_address(one: &Person, other: &Person) -> bool {
    let same_kind = is_nameless(one) || is_nameless(other) || is_person(one) == is_person(other);
    let shares = !one[0].is_empty() && one[0] == other[0];
    shares && same_kind && agree(one[1], other[1]) && agree(one[2], other[2])
}

/// "a contact with neither e-mail nor number is paired when all names and the company are equal,
/// nothing else disagrees"
fn are_namesakes_in_everything(one: &Person, other: &Person) -> bool {
    let bare = one[0].is_empty() || other[0].is_empty();
    bare && !is_nameless(one) && one[1..4] == other[1..4] && agree(one[4], other[4])
}

/// "one whose name alone meets a namesake"
fn are_namesakes(one: &Person, other: &Person) -> bool {
    let bare = one[0].is_empty() || other[0].is_empty();
    let same_name = one[1..3] == other[1..3] && is_person(one) == is_person(other);
    bare && !is_nameless(one)
        && !is_nameless(other)
        && same_name
        && (is_person(one) || one[3] == other[3])
}

/// Whom a contact is, if it alone is asked: its only candidate; among several the only one of those
/// at its address who has its first and last name.
fn choice(person: &Person, others: &[Person]) -> Option<usize> {
    let all: Vec<usize> = (0..others.len())
        .filter(|other| {
            let other = &others[*other];
            share_address(person, other) || are_namesakes_in_everything(person, other)
        })
        .collect();
    if let [only] = all[..] {
        return Some(only);
    }
    // A company's name is its first and last name.
    let named: Vec<usize> = all
        .into_iter()
        .filter(|other| {
            let other = &others[*other];
            let as_company = is_person(person) || person[3] == other[3];
            is_nameless(person) == is_nameless(other)
                && is_person(person) == is_person(other)
                && person[1..3] == other[1..3]
                && as_company
        })
        .collect();
    match named[..] {
        [only] if share_address(person, &others[only]) => Some(only),
        _ => None,
    }
}

fn lot(own: &[Person], position: usize, others: &[Person], is_first_pass: bool) -> Lot {
    let person = &own[position];
    let may_be =
        |other: &Person| share_address(person, other) || are_namesakes_in_everything(person, other);
    if !others.iter().any(may_be) {
        let asks = is_first_pass && others.iter().any(|other| are_namesakes(person, other));
        return if asks {
            Lot::Ask(Reason::Namesake)
        } else {
            Lot::New
        };
    }
    match choice(person, others) {
        None => Lot::Ask(Reason::Several),
        Some(other) if choice(&others[other], own) == Some(position) => Lot::Pair(other),
        Some(_) => Lot::Ask(Reason::TakenByAnother),
    }
}

// ---- the engine ---------------------------------------------------------------------------------

fn crm_fields(person: &Person) -> CrmFields {
    let mut fields = CrmFields::default();
    for (field, text) in names(person) {
        fields.texts.insert(field, vec![json!(text)]);
    }
    if !person[0].is_empty() {
        fields
            .emails
            .push(CrmEmail::Plain(person[0].to_uppercase()));
    }
    fields
}

fn view(person: &Person) -> View {
    let mut view = View::default();
    for (field, text) in names(person) {
        view.texts.insert(field, text.to_owned());
    }
    // Exchange needs a given name, and a company has none.
    if !is_person(person) && !is_nameless(person) {
        view.texts.insert(Field::FirstName, person[3].to_owned());
    }
    if !person[0].is_empty() {
        let address = person[0].to_owned();
        view.emails.insert(
            Slot::Email2,
            MailboxEmail {
                address,
                name: "?".to_owned(),
            },
        );
    }
    view
}

fn names(person: &Person) -> impl Iterator<Item = (Field, &'static str)> {
    let fields = [
        Field::FirstName,
        Field::LastName,
        Field::Company,
        Field::Position,
    ];
    let texts = [person[1], person[2], person[3], person[4]];
    fields
        .into_iter()
        .zip(texts)
        .filter(|(_, text)| !text.is_empty())
}

fn lots(crm: &[Person], mailbox: &[Person], is_first_pass: bool) -> (Vec<Lot>, Vec<Lot>) {
    let crm_candidates: Vec<Candidate<usize>> = crm
        .iter()
        .enumerate()
        .map(|(id, person)| Candidate::of_crm(id, &crm_fields(person), "DE"))
        .collect();
    let mailbox_candidates: Vec<Candidate<usize>> = mailbox
        .iter()
        .enumerate()
        .map(|(id, person)| Candidate::of_mailbox(id, &view(person), "DE"))
        .collect();
    let proposal = propose(&crm_candidates, &mailbox_candidates, is_first_pass);
    let mut of_crm: BTreeMap<usize, Lot> = BTreeMap::new();
    let mut of_mailbox: BTreeMap<usize, Lot> = BTreeMap::new();
    let once = |lots: &mut BTreeMap<usize, Lot>, id: usize, lot: Lot| {
        assert_eq!(
            lots.insert(id, lot),
            None,
            "one lot each: {crm:?} {mailbox:?}"
        );
    };
    for (crm, mailbox) in proposal.pairs {
        once(&mut of_crm, crm, Lot::Pair(mailbox));
        once(&mut of_mailbox, mailbox, Lot::Pair(crm));
    }
    for question in proposal.questions {
        match question.about {
            About::Crm { contact, .. } => once(&mut of_crm, contact, Lot::Ask(question.reason)),
            About::Mailbox { contact, .. } => {
                once(&mut of_mailbox, contact, Lot::Ask(question.reason));
            }
        }
    }
    proposal
        .unmatched_crm
        .into_iter()
        .for_each(|id| once(&mut of_crm, id, Lot::New));
    proposal
        .unmatched_mailbox
        .into_iter()
        .for_each(|id| once(&mut of_mailbox, id, Lot::New));
    (
        of_crm.into_values().collect(),
        of_mailbox.into_values().collect(),
    )
}

/// All sets of at most this many people, the same one several times among them.
fn crowds(people_max: usize) -> Vec<Vec<Person>> {
    let mut crowds = vec![Vec::new()];
    let mut last: Vec<(usize, Vec<Person>)> = vec![(0, Vec::new())];
    for _ in 0..people_max {
        let mut larger = Vec::new();
        for (first, crowd) in &last {
            for (index, person) in PEOPLE.iter().enumerate().skip(*first) {
                let mut crowd = crowd.clone();
                crowd.push(*person);
                larger.push((index, crowd));
            }
        }
        crowds.extend(larger.iter().map(|(_, crowd)| crowd.clone()));
        last = larger;
    }
    crowds
}

#[test]
pub(crate) fn every_small_crowd_is_matched_as_the_contract_says() {
    let (few, more) = (crowds(2), crowds(3));
    let both = few
        .iter()
        .flat_map(|few| more.iter().map(move |more| (few, more)))
        .flat_map(|(few, more)| [(few, more), (more, few)]);
    let both = both.filter(|(crm, mailbox)| crm.len() + mailbox.len() <= PEOPLE_MAX);
    for (number, (crm, mailbox)) in both.enumerate() {
        // Neighbours differ in one person: each kind of crowd meets both kinds of pass.
        let is_first_pass = number % 4 < 2;
        let lots_of = |own: &[Person], others: &[Person]| -> Vec<Lot> {
            (0..own.len())
                .map(|position| lot(own, position, others, is_first_pass))
                .collect()
        };
        assert_eq!(
            lots(crm, mailbox, is_first_pass),
            (lots_of(crm, mailbox), lots_of(mailbox, crm)),
            "first pass: {is_first_pass}, CRM {crm:#?}, mailbox {mailbox:#?}"
        );
    }
}
