//! Tables of contacts without link, and properties of the whole.
//!
//! A contact is written `Erika Muster @ GmbH; e1 p2`: first and last name (`-` for none), company,
//! and the addresses and numbers by which it can be recognised.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::contact::{CrmEmail, CrmFields, CrmKind, CrmPhone, Field, Members, Slot, View};

fn crm(text: &str) -> CrmFields {
    let (names, addresses) = text.split_once(';').unwrap_or((text, ""));
    let (name, company) = names.split_once('@').unwrap_or((names, ""));
    let mut name = name.split_whitespace();
    let mut fields = CrmFields::default();
    let texts = [
        (Field::FirstName, name.next().unwrap_or("-")),
        (Field::LastName, name.next().unwrap_or("-")),
        (Field::Position, name.next().unwrap_or("-")),
        (Field::Company, company.trim()),
    ];
    for (field, text) in texts {
        if !matches!(text, "" | "-") {
            fields.texts.insert(field, vec![json!(text)]);
        }
    }
    for address in addresses.split_whitespace() {
        match address.strip_prefix('p') {
            Some(digits) => fields.phones.push(CrmPhone::Readable {
                kind: CrmKind::Office,
                number: format!("0221 5000{digits}"),
                rest: Members::new(),
            }),
            None => fields
                .emails
                .push(CrmEmail::Plain(format!("{address}@example.com"))),
        }
    }
    fields
}

fn candidates(texts: &[&str]) -> Vec<Candidate<usize>> {
    let numbered = texts.iter().enumerate();
    numbered
        .map(|(index, text)| Candidate::of_crm(index, &crm(text), "DE"))
        .collect()
}

/// In short: `0=1` a pair, `c0?1,2` and `m0?` questions, `c0` and `m0` unmatched.
fn short(proposal: &Proposal<usize, usize>) -> String {
    let list = |ids: &[usize]| {
        ids.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    let pairs = proposal
        .pairs
        .iter()
        .map(|(crm, mailbox)| format!("{crm}={mailbox}"));
    let questions = proposal
        .questions
        .iter()
        .map(|question| match &question.about {
            About::Crm {
                contact,
                candidates,
            } => format!("c{contact}?{}", list(candidates)),
            About::Mailbox {
                contact,
                candidates,
            } => format!("m{contact}?{}", list(candidates)),
        });
    let crm = proposal.unmatched_crm.iter().map(|id| format!("c{id}"));
    let mailbox = proposal.unmatched_mailbox.iter().map(|id| format!("m{id}"));
    pairs
        .chain(questions)
        .chain(crm)
        .chain(mailbox)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn the_same_person_is_recognised_or_asked_about() {
    for row in [
        // An address or number, and no different name.
        "Erika Muster; e1 | Erika Muster; e1 | 0=0",
        "Erika Muster; p1 | Erika Muster; e1 p1 | 0=0",
        "Erika Muster; e1 | ERIKA - ; e1 | 0=0",
        "Erika Muster; e1 | - muster; e1 | 0=0",
        "Erika Muster; e1 | ; e1 | 0=0",
        "Erika Muster; e1 | Erika Beispiel; e1 | c0 m0",
        "Erika Muster; e1 | Max Muster; e1 | c0 m0",
        "Erika Muster; e1 | Erika Muster; e2 | c0 m0",
        // Both persons or both companies.
        "@ Muster GmbH; e1 | @ Muster AG; e1 | 0=0",
        "@ Muster GmbH; e1 | Erika Muster @ Muster GmbH; e1 | c0 m0",
        "@ Muster GmbH; e1 | ; e1 | 0=0",
        // Among several, the only one of the same name.
        "Erika Muster; e1 & - Muster; e1 | Erika Muster; e1 | 0=0 c1?0",
        "Erika Muster; e1 & Erika Muster; e1 | Erika Muster; e1 | c0?0 c1?0 m0?0,1",
        "Erika Muster; e1 & Max Muster; e1 | - Muster; e1 | c0?0 c1?0 m0?0,1",
        "Erika Muster; e1 & Max Muster; e1 | Max Muster; e1 & Erika Muster; e1 | 0=1 1=0",
        "Erika Muster; e1 | Erika Muster; e1 & Erika Muster; p1 e1 | c0?0,1 m0?0 m1?0",
        // Each is the other's only candidate, or it is a question.
        "Erika Muster; e1 e2 | - Muster; e1 & Erika -; e2 | c0?0,1 m0?0 m1?0",
        // Neither address nor number: everything is equal, nothing disagrees.
        "Erika Muster @ A | Erika Muster @ A | 0=0",
        "Erika Muster @ A | erika  muster @ a; e1 | 0=0",
        "Erika Muster Chefin @ A | Erika Muster @ A | 0=0",
        "Erika Muster Chefin @ A | Erika Muster Azubi @ A | c0 m0",
        "Erika Muster @ A | Erika Muster @ B | c0 m0",
        "Erika Muster @ A | Erika Muster | c0 m0",
        "@ A | @ A | 0=0",
        "Erika Muster & Erika Muster | Erika Muster | c0?0 c1?0 m0?0,1",
        " |  | c0 m0",
        // The name alone does not win against an address.
        "- Muster; e1 & Erika Muster | Erika Muster; e1 | c0?0 c1?0 m0?0,1",
    ] {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let [crm, mailbox, expected] = columns[..] else {
            panic!("three columns: {row}")
        };
        let side = |column: &str| candidates(&column.split('&').collect::<Vec<_>>());
        let proposal = propose(&side(crm), &side(mailbox), false);
        assert_eq!(short(&proposal), expected, "{row}");
    }
}

#[test]
fn in_a_first_pass_namesakes_are_asked_about() {
    for (crm, mailbox, later, first) in [
        ("Erika Muster @ A", "Erika Muster @ B", "c0 m0", "c0?0 m0?0"),
        (
            "Erika Muster @ A; e1",
            "Erika Muster @ B",
            "c0 m0",
            "c0?0 m0?0",
        ),
        (
            "Erika Muster Chefin",
            "Erika Muster Azubi",
            "c0 m0",
            "c0?0 m0?0",
        ),
        ("Erika Muster; e1", "Erika Muster; e2", "c0 m0", "c0 m0"),
        ("Erika Muster", "Erika Beispiel", "c0 m0", "c0 m0"),
        ("@ A", "Erika Muster @ A", "c0 m0", "c0 m0"),
    ] {
        for (first_pass, expected) in [(false, later), (true, first)] {
            let proposal = propose(&candidates(&[crm]), &candidates(&[mailbox]), first_pass);
            assert_eq!(
                short(&proposal),
                expected,
                "{crm} | {mailbox}, {first_pass}"
            );
            let reasons = proposal.questions.iter().map(|question| question.reason);
            assert!(reasons.into_iter().all(|reason| reason == Reason::Namesake));
        }
    }
}

#[test]
fn both_shapes_have_the_same_digest() {
    let mut fields = crm("Erika Muster Chefin @ A; e1 p1");
    fields.birthday.push(json!(143_679_600));
    let mut view = View::default();
    for (field, text) in [
        (Field::FirstName, "ERIKA"),
        (Field::LastName, "Muster"),
        (Field::Position, "Chefin"),
        (Field::Company, "A"),
    ] {
        view.texts.insert(field, text.to_owned());
    }
    view.emails.entry(Slot::Email3).or_default().address = "E1@EXAMPLE.COM".to_owned();
    view.phones
        .insert(Slot::HomePhone2, "+49 221 50001".to_owned());
    view.birthday = Some("1974-07-22T00:00:00Z".to_owned());
    let candidate = Candidate::of_crm(7, &fields, "DE");
    assert_eq!(candidate, Candidate::of_mailbox(7, &view, "DE"));

    // A company's stand-in is no first name.
    let mut company = View::default();
    company.texts.insert(Field::FirstName, "A".to_owned());
    company.texts.insert(Field::Company, "A".to_owned());
    assert_eq!(
        Candidate::of_mailbox(0, &company, "DE").kind(),
        Kind::Company
    );
}

#[test]
fn a_digest_is_stored_in_few_bytes_and_stays_the_same() {
    let candidate = Candidate::of_crm(7, &crm("Erika Muster Chefin @ A; e1 p1"), "DE");
    let stored = serde_json::to_string(&candidate).expect("JSON");
    // Stored digests are compared with new ones: this text may change with the format alone.
    assert_eq!(
        stored,
        concat!(
            r#"{"i":7,"e":["e1@example.com"],"p":["+49 221 50001"],"#,
            r#""f":"erika","l":"muster","c":"a","o":{"p":1088368957}}"#
        )
    );
    assert_eq!(
        serde_json::from_str::<Candidate<usize>>(&stored).expect("a digest"),
        candidate
    );
}

/// Whoever a large group is asked for, it answers as a small one does.
#[test]
fn a_large_group_knows_all_that_may_be_the_same() {
    for (contact, other) in [
        ("Erika Muster; e1", "Erika Muster; e1"),
        ("Erika Muster; e1", "Erika -; e1"),
        ("Erika Muster; e1", "- Muster; e1"),
        ("Erika Muster; e1", "; e1"),
        ("- Muster; e1", "Erika Muster; e1"),
        ("- Muster; e1", "Erika -; e1"),
        ("Erika -; e1", "- Muster; e1"),
        ("Erika -; e1", "Erika Muster; e1"),
        ("@ A; e1", "@ B; e1"),
        ("@ A; e1", "; e1"),
        ("; e1", "@ A; e1"),
        ("; e1", "Erika Muster; e1"),
    ] {
        let contact = candidates(&[contact]);
        // Alone, and among others that are somebody else.
        let mut group = vec![other];
        assert_eq!(short(&propose(&contact, &candidates(&group), false)), "0=0");
        let stranger = if contact[0].kind() == Kind::Person {
            "@ X; e1"
        } else {
            "X Y; e1"
        };
        group.extend([stranger; 40]);
        let proposal = propose(&contact, &candidates(&group), false);
        if contact[0].kind() != Kind::Nameless && other != "; e1" {
            assert_eq!(proposal.pairs, [(0, 0)], "{contact:?} {other}");
        }
    }
}

/// One address shared by thousands on both sides, and one name: the square of it would not end
/// within a test's patience.
#[test]
fn thousands_may_share_one_address_or_name() {
    let people: Vec<String> = (0..5_000)
        .map(|index| format!("Erika Muster{index}; e1 p{}", index % 7))
        .collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    let proposal = propose(&candidates(&people), &candidates(&people), true);
    assert_eq!(proposal.pairs.len(), 5_000);

    for everybody in ["- Muster; e1", "Erika Muster", "; e1", "@ A; e1"] {
        let many = candidates(&vec![everybody; 5_000]);
        let proposal = propose(&many, &many, true);
        assert_eq!(
            (proposal.pairs.len(), proposal.questions.len()),
            (0, 10_000),
            "{everybody}"
        );
        let most = proposal
            .questions
            .iter()
            .map(|question| match &question.about {
                About::Crm { candidates, .. } | About::Mailbox { candidates, .. } => {
                    candidates.len()
                }
            });
        assert_eq!(most.max(), Some(CANDIDATES_MAX), "{everybody}");
    }
}

fn contact() -> impl Strategy<Value = String> {
    let first = prop::sample::select(vec!["-", "Erika", "Max"]);
    let last = prop::sample::select(vec!["-", "Muster", "Beispiel"]);
    let company = prop::sample::select(vec!["", "@ A", "@ B"]);
    let addresses = prop::sample::subsequence(vec!["e1", "e2", "p1"], 0..=2);
    (first, last, company, addresses).prop_map(|(first, last, company, addresses)| {
        format!("{first} {last} {company}; {}", addresses.join(" "))
    })
}

proptest! {
    /// Large groups are looked up differently from small ones, and must say the same.
    #[test]
    fn every_contact_has_one_outcome_whatever_the_order(
        (in_crm, shuffled) in prop::collection::vec(contact(), 0..80)
            .prop_map(|texts| texts.iter().enumerate().map(|(index, text)| {
                Candidate::of_crm(index, &crm(text), "DE")
            }).collect::<Vec<_>>())
            .prop_flat_map(|contacts| (Just(contacts.clone()), Just(contacts).prop_shuffle())),
        mailbox in prop::collection::vec(contact(), 0..80),
        first_pass: bool,
    ) {
        let texts: Vec<&str> = mailbox.iter().map(String::as_str).collect();
        let mailbox = candidates(&texts);
        let reversed: Vec<_> = mailbox.iter().rev().cloned().collect();
        let proposal = propose(&in_crm, &mailbox, first_pass);
        prop_assert_eq!(&proposal, &propose(&shuffled, &reversed, first_pass));

        let mut seen_crm: Vec<usize> = proposal.unmatched_crm.clone();
        let mut seen_mailbox: Vec<usize> = proposal.unmatched_mailbox.clone();
        for (crm_id, mailbox_id) in &proposal.pairs {
            seen_crm.push(*crm_id);
            seen_mailbox.push(*mailbox_id);
            prop_assert!(alike(&in_crm[*crm_id], &mailbox[*mailbox_id]));
        }
        for question in &proposal.questions {
            match &question.about {
                About::Crm { contact, .. } => seen_crm.push(*contact),
                About::Mailbox { contact, .. } => seen_mailbox.push(*contact),
            }
        }
        seen_crm.sort_unstable();
        seen_mailbox.sort_unstable();
        prop_assert_eq!(seen_crm, (0..in_crm.len()).collect::<Vec<_>>());
        prop_assert_eq!(seen_mailbox, (0..mailbox.len()).collect::<Vec<_>>());

        // Nobody who shares an address with somebody alike is created.
        for id in &proposal.unmatched_mailbox {
            let contact = &mailbox[*id];
            let resembles = |other| share(contact, other) && alike(contact, other);
            prop_assert!(!in_crm.iter().any(resembles));
        }
    }
}

fn share(one: &Candidate<usize>, other: &Candidate<usize>) -> bool {
    let shared = |one: &[String], other: &[String]| one.iter().any(|text| other.contains(text));
    shared(&one.emails, &other.emails) || shared(&one.phones, &other.phones)
}

fn alike(one: &Candidate<usize>, other: &Candidate<usize>) -> bool {
    let agree = |one: &str, other: &str| one.is_empty() || other.is_empty() || one == other;
    let kinds = [one.kind(), other.kind()];
    (kinds[0] == kinds[1] || kinds.contains(&Kind::Nameless))
        && agree(&one.first_name, &other.first_name)
        && agree(&one.last_name, &other.last_name)
}
