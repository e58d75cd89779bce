//! One side's contacts, found by address, number and name.
//!
//! Looking up one contact costs about the same however many share its address: a large group is
//! itself indexed by name, and nothing is listed further than a question needs.

use std::collections::{BTreeMap, BTreeSet};

use super::CANDIDATES_MAX;
use super::candidate::{Details, Kind};

/// One contact, as it is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) emails: &'a BTreeSet<String>,
    pub(super) phones: &'a BTreeSet<String>,
    pub(super) first_name: &'a str,
    pub(super) last_name: &'a str,
    pub(super) company: &'a str,
    pub(super) kind: Kind,
    pub(super) details: Details<'a>,
}

impl Known<'_> {
    fn has_address(&self) -> bool {
        !self.emails.is_empty() || !self.phones.is_empty()
    }

    /// Same first and last name; for companies, the same company.
    fn has_same_name(&self, other: &Known<'_>) -> bool {
        self.kind == other.kind
            && match self.kind {
                Kind::Person => {
                    self.first_name == other.first_name && self.last_name == other.last_name
                }
                Kind::Company => self.company == other.company,
                Kind::Nameless => true,
            }
    }
}

/// The contacts of one side.
pub(super) struct Index<'a> {
    contacts: &'a [Known<'a>],
    by_address: BTreeMap<&'a str, Group<'a>>,
    by_name: BTreeMap<(&'a str, &'a str, &'a str), Namesakes>,
}

/// Contacts of one name.
#[derive(Default)]
struct Namesakes {
    all: Vec<usize>,
    without_address: Vec<usize>,
}

/// Contacts that share an address or number, by their positions, and by name where they are many.
#[derive(Default)]
struct Group<'a> {
    all: Vec<usize>,
    companies: Vec<usize>,
    nameless: Vec<usize>,
    by_full_name: BTreeMap<(&'a str, &'a str), Vec<usize>>,
    by_first_name: BTreeMap<&'a str, Vec<usize>>,
    by_last_name: BTreeMap<&'a str, Vec<usize>>,
}

/// Groups up to this size are looked through.
const SMALL_GROUP: usize = 16;

impl<'a> Index<'a> {
    pub(super) fn of(contacts: &'a [Known<'a>]) -> Self {
        let mut by_address: BTreeMap<&str, Group<'a>> = BTreeMap::new();
        let mut by_name: BTreeMap<_, Namesakes> = BTreeMap::new();
        for (position, contact) in contacts.iter().enumerate() {
            for address in contact.emails.iter().chain(contact.phones) {
                by_address.entry(address).or_default().all.push(position);
            }
            if contact.kind != Kind::Nameless {
                let namesakes = by_name.entry(name_of(contact)).or_default();
                namesakes.all.push(position);
                if !contact.has_address() {
                    namesakes.without_address.push(position);
                }
            }
        }
        for group in by_address.values_mut() {
            group.index(contacts);
        }
        Self {
            contacts,
            by_address,
            by_name,
        }
    }

    /// Contacts that share an address or number with this one, and do not contradict it.
    pub(super) fn sharing_address(&self, contact: &Known<'_>) -> Vec<usize> {
        let mut found = Vec::new();
        let addresses = contact.emails.iter().chain(contact.phones);
        for group in addresses.filter_map(|address| self.by_address.get(address.as_str())) {
            group.find(contact, self.contacts, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Contacts of the same names and company, if this one or they have neither address nor number,
    /// that disagree in nothing.
    pub(super) fn same_in_everything(&self, contact: &Known<'_>) -> Vec<usize> {
        let Some(namesakes) = self.by_name.get(&name_of(contact)) else {
            return Vec::new();
        };
        let candidates = namesakes.of_interest_to(contact);
        let agrees = |position: &&usize| {
            self.contacts
                .get(**position)
                .is_some_and(|other| !contact.details.disagree(other.details))
        };
        if candidates.len() > NAMESAKES_MAX {
            // So many that nobody can be decided for: whether they disagree no longer matters.
            return candidates.iter().take(CANDIDATES_MAX).copied().collect();
        }
        candidates.iter().filter(agrees).copied().collect()
    }

    /// Contacts of the same name, whatever their company, if this one or they have neither address
    /// nor number.
    pub(super) fn namesakes(&self, contact: &Known<'_>) -> Vec<usize> {
        if contact.kind == Kind::Nameless {
            return Vec::new();
        }
        let (first, last, company) = name_of(contact);
        let from = match contact.kind {
            Kind::Company => (first, last, company),
            Kind::Person | Kind::Nameless => (first, last, ""),
        };
        let same = |name: &(&str, &str, &str)| (name.0, name.1) == (first, last);
        self.by_name
            .range(from..)
            .take_while(|(name, _)| {
                same(name) && (contact.kind == Kind::Person || name.2 == company)
            })
            .flat_map(|(_, namesakes)| namesakes.of_interest_to(contact))
            .take(CANDIDATES_MAX)
            .copied()
            .collect()
    }

    /// Whether one of these contacts has the same name.
    pub(super) fn same_name(&self, contact: &Known<'_>, position: usize) -> bool {
        self.contacts
            .get(position)
            .is_some_and(|other| contact.has_same_name(other))
    }
}

/// Namesakes that are compared one by one.
const NAMESAKES_MAX: usize = 64;

impl Namesakes {
    fn of_interest_to(&self, contact: &Known<'_>) -> &[usize] {
        if contact.has_address() {
            &self.without_address
        } else {
            &self.all
        }
    }
}

impl<'a> Group<'a> {
    fn index(&mut self, contacts: &[Known<'a>]) {
        if self.all.len() <= SMALL_GROUP {
            return;
        }
        for position in &self.all {
            let Some(contact) = contacts.get(*position) else {
                continue;
            };
            match contact.kind {
                Kind::Company => self.companies.push(*position),
                Kind::Nameless => self.nameless.push(*position),
                Kind::Person => {
                    let (first, last) = (contact.first_name, contact.last_name);
                    self.by_full_name
                        .entry((first, last))
                        .or_default()
                        .push(*position);
                    self.by_first_name.entry(first).or_default().push(*position);
                    self.by_last_name.entry(last).or_default().push(*position);
                }
            }
        }
    }

    /// Those that do not contradict a contact: all of a small group, the first of a large one.
    fn find(&self, contact: &Known<'_>, contacts: &[Known<'a>], found: &mut Vec<usize>) {
        if self.all.len() <= SMALL_GROUP {
            let fits = |position: &&usize| {
                contacts
                    .get(**position)
                    .is_some_and(|other| may_be_same(contact, other))
            };
            found.extend(self.all.iter().filter(fits));
            return;
        }
        for list in self.lists_for(contact) {
            found.extend(list.iter().take(CANDIDATES_MAX + 1));
        }
    }

    /// Lists that hold exactly those which do not contradict a contact, equal names first.
    fn lists_for<'s>(&'s self, contact: &Known<'s>) -> Vec<&'s [usize]> {
        let (first, last) = (contact.first_name, contact.last_name);
        let full = |first, last| slice(self.by_full_name.get(&(first, last)));
        match contact.kind {
            Kind::Nameless => vec![&self.all],
            Kind::Company => vec![&self.companies, &self.nameless],
            Kind::Person if first.is_empty() => vec![
                full("", last),
                slice(self.by_last_name.get(last)),
                slice(self.by_last_name.get("")),
                &self.nameless,
            ],
            Kind::Person if last.is_empty() => vec![
                full(first, ""),
                slice(self.by_first_name.get(first)),
                slice(self.by_first_name.get("")),
                &self.nameless,
            ],
            Kind::Person => {
                vec![
                    full(first, last),
                    full(first, ""),
                    full("", last),
                    &self.nameless,
                ]
            }
        }
    }
}

fn slice(list: Option<&Vec<usize>>) -> &[usize] {
    list.map_or(&[], Vec::as_slice)
}

fn name_of<'a>(contact: &Known<'a>) -> (&'a str, &'a str, &'a str) {
    (contact.first_name, contact.last_name, contact.company)
}

/// Both persons or both companies, of no different first or last name.
fn may_be_same(one: &Known<'_>, other: &Known<'_>) -> bool {
    let agree = |one: &str, other: &str| one.is_empty() || other.is_empty() || one == other;
    let right_kind =
        one.kind == other.kind || one.kind == Kind::Nameless || other.kind == Kind::Nameless;
    right_kind && agree(one.first_name, other.first_name) && agree(one.last_name, other.last_name)
}
