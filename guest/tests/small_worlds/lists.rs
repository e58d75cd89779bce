//! Values of one room: e-mail addresses, of which three fit, and mobile numbers, of which one does.
//!
//! The reference knows a value by a token, from the base to both sides. A token is found again by
//! an equal value, else by its place; what is left is new.

use contact_sync_guest::contact::{
    CrmEmail, CrmFields, CrmKind, CrmPhone, Field, FieldSet, MailboxEmail, Members, Shape, Slot,
    View,
};
use contact_sync_guest::mapping::{Base, remember};
use contact_sync_guest::plan::merge::{Input, merge, relink};
use contact_sync_guest::report::Side;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// A kind of value: its room, and three values, the first in two writings, and what is none.
struct Kind {
    field: Field,
    slots: &'static [Slot],
    /// Letters stand for texts: `p` and `P` are one value.
    texts: [(char, &'static str); 5],
    /// How a text reaches the mailbox.
    sent: [(char, &'static str); 4],
}

const EMAILS: Kind = Kind {
    field: Field::Emails,
    slots: &[Slot::Email1, Slot::Email2, Slot::Email3],
    texts: [
        ('p', "p@x.de"),
        ('P', "P@X.de"),
        ('q', "q@x.de"),
        ('r', "r@x.de"),
        ('x', "kein"),
    ],
    sent: [
        ('p', "p@x.de"),
        ('P', "P@X.de"),
        ('q', "q@x.de"),
        ('r', "r@x.de"),
    ],
};

const MOBILES: Kind = Kind {
    field: Field::Phones,
    slots: &[Slot::MobilePhone],
    texts: [
        ('p', "0172 1000001"),
        ('P', "+49 172 / 1000001"),
        ('q', "0172 1000002"),
        ('r', "0172 1000003"),
        ('x', "0172 privat"),
    ],
    sent: [
        ('p', "+49 172 1000001"),
        ('P', "+49 172 1000001"),
        ('q', "+49 172 1000002"),
        ('r', "+49 172 1000003"),
    ],
};

impl fmt::Debug for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.field)
    }
}

/// One world. Of `view`, a blank is an empty slot.
#[derive(Debug)]
struct World<'a> {
    kind: &'a Kind,
    base: &'static str,
    crm: String,
    view: String,
    keeps_gaps: bool,
    winner: Side,
    /// Detached, and marked again.
    is_again: bool,
}

/// Texts on both sides afterwards, conflicts, and how many values found no room.
#[derive(Debug, PartialEq)]
struct End {
    crm: Vec<&'static str>,
    view: BTreeMap<usize, &'static str>,
    losers: Vec<Side>,
    homeless: usize,
}

// ---- the contract -------------------------------------------------------------------------------

/// A value through time.
#[derive(Clone, Debug, Default)]
struct Token {
    crm_then: Option<Found>,
    view_then: Option<Found>,
    crm: Option<Found>,
    view: Option<Found>,
}

/// A value of one side, and its places there.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    letter: char,
    places: Vec<usize>,
}

fn value(letter: char) -> char {
    letter.to_ascii_lowercase()
}

/// Equal values of one side are one value, in several places.
fn distinct(letters: &str) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    for (place, letter) in letters
        .chars()
        .enumerate()
        .filter(|(_, letter)| *letter != ' ')
    {
        match all
            .iter_mut()
            .find(|now| value(now.letter) == value(letter))
        {
            Some(now) => now.places.push(place),
            None => all.push(Found {
                letter,
                places: vec![place],
            }),
        }
    }
    all
}

fn take(left: &mut Vec<Found>, fits: impl Fn(&Found) -> bool) -> Option<Found> {
    let index = left.iter().position(fits)?;
    Some(left.remove(index))
}

fn meet(places: &[usize], others: &[usize]) -> bool {
    places.iter().any(|place| others.contains(place))
}

/// The four steps of section 4.
fn tokens(world: &World<'_>) -> Vec<Token> {
    let room = world.kind.slots.len();
    let mut tokens: Vec<Token> = distinct(world.base)
        .into_iter()
        .map(|then| {
            let mut seated = then.clone();
            seated.places.retain(|place| *place < room);
            let view_then = Some(seated).filter(|seated| !seated.places.is_empty());
            Token {
                crm_then: Some(then),
                view_then,
                ..Token::default()
            }
        })
        .collect();
    let (mut crm, mut view) = (distinct(&world.crm), distinct(&world.view));
    // An equal value.
    for token in &mut tokens {
        let is = |then: &Option<Found>| {
            let then = then.as_ref().map(|then| value(then.letter));
            move |now: &Found| then == Some(value(now.letter))
        };
        token.crm = take(&mut crm, is(&token.crm_then));
        token.view = take(&mut view, is(&token.view_then));
    }
    // Added on both sides alike: what waited, and what is new.
    let is_same =
        |letter: char| move |now: &Found| letter != 'x' && value(letter) == value(now.letter);
    for token in tokens.iter_mut().filter(|token| token.view_then.is_none()) {
        if let Some(now) = &token.crm {
            token.view = take(&mut view, is_same(now.letter));
        }
    }
    let mut new = Vec::new();
    crm.retain(|now| match take(&mut view, is_same(now.letter)) {
        None => true,
        found => {
            new.push(Token {
                crm: Some(now.clone()),
                view: found,
                ..Token::default()
            });
            false
        }
    });
    // An edit: what stands in its place; else, where places mean nothing, what is left.
    for (has_slot, in_place) in [(true, true), (false, true), (true, false), (false, false)] {
        for token in tokens.iter_mut().filter(|token| token.crm.is_none()) {
            let places = &token.crm_then.as_ref().unwrap().places;
            let fits = |now: &Found| !in_place || meet(places, &now.places);
            if token.view_then.is_some() || !has_slot {
                token.crm = take(&mut crm, fits);
            }
        }
    }
    for in_place in [true, false] {
        for token in tokens.iter_mut().filter(|token| token.view.is_none()) {
            let Some(then) = &token.view_then else {
                continue;
            };
            let loose = |now: &Found| !in_place && (!world.keeps_gaps || now.letter == 'x');
            token.view = take(&mut view, |now| {
                meet(&then.places, &now.places) || loose(now)
            });
        }
    }
    // The rest is new.
    tokens.append(&mut new);
    tokens.extend(crm.into_iter().map(|now| Token {
        crm: Some(now),
        ..Token::default()
    }));
    tokens.extend(view.into_iter().map(|now| Token {
        view: Some(now),
        ..Token::default()
    }));
    tokens
}

/// Whom a value goes to, and who loses by it.
fn settle(token: &Token, world: &World<'_>) -> (Option<Side>, Option<Side>) {
    let letter = |found: &Option<Found>| found.as_ref().map(|found| value(found.letter));
    let (crm, view) = (letter(&token.crm), letter(&token.view));
    // What cannot be read is never copied, never an edit, never a clearing.
    if crm == view || crm == Some('x') || view == Some('x') {
        return (None, None);
    }
    match (
        crm != letter(&token.crm_then),
        view != letter(&token.view_then),
        world.winner,
    ) {
        _ if world.is_again && view.is_none() => (Some(Side::Mailbox), None),
        _ if world.is_again && crm.is_none() => (Some(Side::Crm), None),
        (false, false, _) => (None, None),
        (true, false, _) => (Some(Side::Mailbox), None),
        (false, true, _) => (Some(Side::Crm), None),
        (true, true, Side::Crm) => (Some(Side::Mailbox), Some(Side::Mailbox)),
        (true, true, Side::Mailbox) => (Some(Side::Crm), Some(Side::Crm)),
    }
}

fn expected(world: &World<'_>) -> End {
    let text = |letter: char| world.kind.text(letter);
    let tokens = tokens(world);
    let settled: Vec<_> = tokens.iter().map(|token| settle(token, world)).collect();
    let mut crm: Vec<Option<&'static str>> = world.crm.chars().map(|it| Some(text(it))).collect();
    let mut view: BTreeMap<usize, &'static str> = BTreeMap::new();
    let mut is_written = false;
    for (token, (to, _)) in tokens.iter().zip(&settled) {
        let from_view = token.view.as_ref().map(|now| text(now.letter));
        if *to == Some(Side::Crm) {
            match &token.crm {
                Some(now) => now.places.iter().for_each(|place| crm[*place] = from_view),
                None => crm.push(from_view),
            }
        }
        let places = token.view.iter().flat_map(|now| &now.places).copied();
        if *to == Some(Side::Mailbox) {
            is_written = true;
            if let Some(now) = &token.crm {
                view.extend(places.map(|place| (place, world.kind.sent(now.letter))));
            }
        } else {
            let letters: Vec<char> = world.view.chars().collect();
            view.extend(places.map(|place| (place, text(letters[place]))));
        }
    }
    // What was added or edited in the CRM takes the slot it had, or the first free one.
    let mut homeless = 0;
    for (token, (to, _)) in tokens.iter().zip(&settled) {
        let (Some(now), None) = (&token.crm, &token.view) else {
            continue;
        };
        if *to == Some(Side::Crm) || now.letter == 'x' {
            continue;
        }
        let is_seated = |view: &BTreeMap<usize, &str>| {
            let letters = ['p', 'P', 'q', 'r'].into_iter();
            let mut same = letters.filter(|letter| value(*letter) == value(now.letter));
            same.any(|letter| {
                let texts = [text(letter), world.kind.sent(letter)];
                view.values().any(|seated| texts.contains(seated))
            })
        };
        if *to == Some(Side::Mailbox) && !is_seated(&view) {
            let had = token
                .view_then
                .iter()
                .flat_map(|then| &then.places)
                .copied();
            let mut slots = had.chain(0..world.kind.slots.len());
            if let Some(slot) = slots.find(|slot| !view.contains_key(slot)) {
                view.insert(slot, world.kind.sent(now.letter));
            }
        }
        homeless += usize::from(!is_seated(&view));
    }
    if is_written && !world.keeps_gaps {
        view = view.into_values().enumerate().collect();
    }
    End {
        crm: crm.into_iter().flatten().collect(),
        view,
        losers: settled.into_iter().filter_map(|(_, loser)| loser).collect(),
        homeless,
    }
}

// ---- the engine ---------------------------------------------------------------------------------

impl Kind {
    fn text(&self, letter: char) -> &'static str {
        self.texts
            .iter()
            .find(|(known, _)| *known == letter)
            .unwrap()
            .1
    }

    fn sent(&self, letter: char) -> &'static str {
        self.sent
            .iter()
            .find(|(known, _)| *known == letter)
            .unwrap()
            .1
    }

    fn crm(&self, letters: &str) -> CrmFields {
        let mut fields = CrmFields::default();
        for (place, letter) in letters.chars().enumerate() {
            let text = self.text(letter).to_owned();
            // A member that has no place in Exchange, different in each entry.
            let rest = Members::from_iter([("note".to_owned(), json!(place))]);
            match self.field {
                Field::Emails => fields.emails.push(CrmEmail::Typed {
                    member: "email".to_owned(),
                    address: text,
                    rest,
                }),
                _ => fields.phones.push(CrmPhone::Readable {
                    kind: CrmKind::Mobile,
                    number: text,
                    rest,
                }),
            }
        }
        fields
    }

    fn view(&self, texts: impl Iterator<Item = (usize, &'static str)>) -> View {
        let mut view = View::default();
        for (slot, text) in texts.map(|(place, text)| (self.slots[place], text.to_owned())) {
            if self.field == Field::Emails {
                let name = String::new();
                view.emails.insert(
                    slot,
                    MailboxEmail {
                        address: text,
                        name,
                    },
                );
            } else {
                view.phones.insert(slot, text);
            }
        }
        view
    }

    fn texts_of_view(&self, view: &View) -> BTreeMap<usize, String> {
        let place = |slot: &Slot| self.slots.iter().position(|known| known == slot).unwrap();
        let emails = view
            .emails
            .iter()
            .map(|(slot, email)| (place(slot), email.address.clone()));
        let phones = view
            .phones
            .iter()
            .map(|(slot, text)| (place(slot), text.clone()));
        emails.chain(phones).collect()
    }
}

fn texts_of_crm(fields: &CrmFields) -> Vec<(String, Option<Value>)> {
    let emails = fields.emails.iter().map(|email| match email {
        CrmEmail::Typed { address, rest, .. } => (address.clone(), rest.get("note").cloned()),
        CrmEmail::Plain(address) => (address.clone(), None),
        CrmEmail::Opaque(value) => panic!("{value}"),
    });
    let phones = fields.phones.iter().map(|phone| match phone {
        CrmPhone::Readable { number, rest, .. } => (number.clone(), rest.get("note").cloned()),
        CrmPhone::Opaque(value) => panic!("{value}"),
    });
    emails.chain(phones).collect()
}

fn check(world: &World<'_>) {
    let kind = world.kind;
    let numbered = |letters: &str| -> Vec<(usize, char)> {
        letters
            .chars()
            .enumerate()
            .filter(|(_, letter)| *letter != ' ')
            .collect()
    };
    let room = kind.slots.len();
    let base_slots: Vec<(usize, char)> = numbered(world.base)
        .into_iter()
        .filter(|(place, _)| *place < room)
        .collect();
    let places: BTreeMap<Slot, usize> = base_slots
        .iter()
        .map(|(place, _)| (kind.slots[*place], *place))
        .collect();
    let fields = FieldSet::from(Field::ALL);
    let base = Base {
        crm: kind.crm(world.base),
        view: kind.view(
            base_slots
                .iter()
                .map(|(place, letter)| (*place, kind.sent(*letter))),
        ),
        slots: serde_json::from_value(json!({"places": places})).unwrap(),
        fields: fields.clone(),
    };
    let (crm, none) = (kind.crm(&world.crm), FieldSet::new());
    let view = numbered(&world.view).into_iter();
    let view = kind.view(view.map(|(place, letter)| (place, kind.text(letter))));
    let input = Input {
        base: Some(&base),
        crm: &crm,
        view: &view,
        fields: &fields,
        locked: &none,
        shape: Shape {
            other_phone: world.keeps_gaps,
            keeps_gaps: world.keeps_gaps,
        },
        region: "DE",
        winner: world.winner,
    };
    let merged = if world.is_again {
        relink(input)
    } else {
        merge(input)
    };
    let expected = expected(world);
    let texts: Vec<(String, Option<Value>)> = texts_of_crm(&merged.crm);
    let found = (
        texts
            .iter()
            .map(|(text, _)| text.as_str())
            .collect::<Vec<_>>(),
        kind.texts_of_view(&merged.view),
        merged
            .conflicts
            .iter()
            .map(|conflict| conflict.loser)
            .collect::<Vec<_>>(),
        merged
            .findings
            .iter()
            .filter(|finding| finding.code == "no-slot-left")
            .count(),
    );
    let view: BTreeMap<usize, String> = expected
        .view
        .iter()
        .map(|(place, text)| (*place, (*text).to_owned()))
        .collect();
    let wanted = (expected.crm, view, expected.losers, expected.homeless);
    assert_eq!(found, wanted, "{world:#?}\n{:#?}", tokens(world));
    // Each entry keeps its other members, and only a new one has none.
    let notes: Vec<&Value> = texts.iter().filter_map(|(_, note)| note.as_ref()).collect();
    let entered = world.crm.chars().count();
    let are_in_order = notes.is_sorted_by_key(|note| note.as_u64());
    assert!(
        are_in_order && notes.len() <= entered,
        "{world:#?} {notes:?}"
    );
    // Quiet.
    let next = remember(&merged.crm, &merged.view, &merged.slots, &fields);
    let again = Input {
        base: Some(&next),
        crm: &merged.crm,
        view: &merged.view,
        ..input
    };
    let again = merge(again);
    assert_eq!(
        (&again.crm, &again.view),
        (&merged.crm, &merged.view),
        "{world:#?}"
    );
}

/// All words of at most `letters_max` of these letters.
fn words(letters: &str, letters_max: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..letters_max {
        let longer = |word: &String| {
            let word = word.clone();
            letters.chars().map(move |letter| format!("{word}{letter}"))
        };
        last = last.iter().flat_map(longer).collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// On both sides together: a fourth one meets nothing that three do not.
const ENTRIES_MAX: usize = 3;

fn check_all(kind: &Kind, bases: &[&'static str], entries_max: usize) {
    let slots = kind.slots.len().min(2);
    for base in bases {
        for crm in words("pPqrx", entries_max) {
            for view in words("pPqrx ", slots) {
                for number in 0..8_u8 {
                    let keeps_gaps = number & 1 != 0;
                    // Only where gaps are kept are there any.
                    let has_gap = view.starts_with(' ') && view != " ";
                    let is_large = crm.len() + view.len() > ENTRIES_MAX;
                    if is_large || view.ends_with(' ') || (has_gap && !keeps_gaps) {
                        continue;
                    }
                    check(&World {
                        kind,
                        base,
                        crm: crm.clone(),
                        view: view.clone(),
                        keeps_gaps,
                        winner: if number & 2 != 0 {
                            Side::Crm
                        } else {
                            Side::Mailbox
                        },
                        is_again: number & 4 != 0,
                    });
                }
            }
        }
    }
}

#[test]
pub(crate) fn every_list_of_emails_ends_as_the_contract_says() {
    check_all(&EMAILS, &["", "p", "pq", "pP"], 2);
}

#[test]
pub(crate) fn every_list_without_room_for_all_ends_as_the_contract_says() {
    check_all(&MOBILES, &["", "p", "pq"], 2);
}
