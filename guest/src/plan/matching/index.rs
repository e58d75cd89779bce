//! One side's contacts, found by address, number and name.
//!
//! All texts are lent: an address book of a hundred thousand fits into a few megabytes. Looking up
//! one contact costs about the same however many share its address: a large group is itself indexed
//! by name, and nothing is listed further than a question needs.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::CANDIDATES_MAX;
use super::candidate::{Candidate, Details, Kind};

/// One contact, as it is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) emails: &'a [String],
    pub(super) phones: &'a [String],
    pub(super) first_name: &'a str,
    pub(super) last_name: &'a str,
    pub(super) company: &'a str,
    pub(super) kind: Kind,
    pub(super) details: Details<'a>,
}

impl<'a> Known<'a> {
    /// By what it can be reached: its e-mail addresses and numbers.
    fn addresses(&self) -> impl Iterator<Item = &'a str> {
        self.emails.iter().chain(self.phones).map(String::as_str)
    }

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
pub(super) struct Index<'a, I> {
    contacts: &'a [&'a Candidate<I>],
    /// Who has an address or number: by its digest, and then by position.
    by_address: Vec<(u64, usize)>,
    /// Of digests that more than [`SMALL_GROUP`] share.
    large_groups: BTreeMap<u64, Group<'a>>,
    by_name: Vec<Named<'a>>,
}

/// A contact under its name: first, last and company; whoever has neither address nor number before
/// whoever has.
type Named<'a> = ((&'a str, &'a str, &'a str), bool, usize);

/// Many contacts that share an address or number, by their positions and by name.
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

impl<'a, I> Index<'a, I> {
    pub(super) fn of(contacts: &'a [&'a Candidate<I>]) -> Self {
        let addresses = contacts
            .iter()
            .map(|contact| contact.known().addresses().count());
        let mut by_address = Vec::with_capacity(addresses.sum());
        let mut by_name = Vec::with_capacity(contacts.len());
        for (position, contact) in contacts.iter().enumerate() {
            let contact = contact.known();
            by_address.extend(contact.addresses().map(|text| (digest_of(text), position)));
            if contact.kind != Kind::Nameless {
                by_name.push((name_of(&contact), contact.has_address(), position));
            }
        }
        by_address.sort_unstable();
        by_name.sort_unstable();
        let groups = by_address.chunk_by(|one, other| one.0 == other.0);
        let large_groups = groups
            .filter(|group| group.len() > SMALL_GROUP)
            .filter_map(|group| Some((group.first()?.0, Group::of(group, contacts))))
            .collect();
        Self {
            contacts,
            by_address,
            large_groups,
            by_name,
        }
    }

    /// Contacts that share an address or number with this one, and do not contradict it.
    pub(super) fn sharing_address(&self, contact: &Known<'_>) -> Vec<usize> {
        let mut found = Vec::new();
        for address in contact.addresses() {
            let digest = digest_of(address);
            let group = equal(&self.by_address, |(other, _)| other.cmp(&digest));
            let fits = |position: &usize| self.may_share(*position, contact, address);
            if let Some(group) = self.large_groups.get(&digest) {
                for list in group.lists_for(contact) {
                    let some = list.iter().take(CANDIDATES_MAX + 1).copied();
                    found.extend(some.filter(fits));
                }
            } else {
                let positions = group.iter().map(|(_, position)| *position);
                found.extend(positions.filter(fits));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Contacts of the same names and company, if this one or they have neither address nor number,
    /// that disagree in nothing.
    pub(super) fn same_in_everything(&self, contact: &Known<'_>) -> Vec<usize> {
        if contact.kind == Kind::Nameless {
            return Vec::new();
        }
        let name = name_of(contact);
        let namesakes = equal(&self.by_name, |(other, ..)| other.cmp(&name));
        let candidates = of_interest_to(contact, namesakes);
        if candidates.len() > NAMESAKES_MAX {
            // So many that nobody can be decided for: whether they disagree no longer matters.
            return positions(candidates).take(CANDIDATES_MAX).collect();
        }
        let agrees = |position: &usize| {
            let other = self.known(*position);
            other.is_some_and(|other| !contact.details.disagree(other.details))
        };
        positions(candidates).filter(agrees).collect()
    }

    /// Contacts of the same name, whatever their company, if this one or they have neither address
    /// nor number.
    pub(super) fn namesakes(&self, contact: &Known<'_>) -> Vec<usize> {
        let (first, last, company) = name_of(contact);
        let namesakes = match contact.kind {
            Kind::Nameless => return Vec::new(),
            Kind::Company => equal(&self.by_name, |(other, ..)| {
                other.cmp(&(first, last, company))
            }),
            Kind::Person => equal(&self.by_name, |(other, ..)| {
                (other.0, other.1).cmp(&(first, last))
            }),
        };
        namesakes
            .chunk_by(|one, other| one.0 == other.0)
            .flat_map(|named| positions(of_interest_to(contact, named)))
            .take(CANDIDATES_MAX)
            .collect()
    }

    /// Whether one of these contacts, which has an address of this digest, has the very address and
    /// does not contradict a contact that has it too.
    fn may_share(&self, position: usize, contact: &Known<'_>, address: &str) -> bool {
        self.known(position).is_some_and(|other| {
            may_be_same(contact, &other) && other.addresses().any(|text| text == address)
        })
    }

    /// Whether one of these contacts has the same name.
    pub(super) fn same_name(&self, contact: &Known<'_>, position: usize) -> bool {
        let other = self.known(position);
        other.is_some_and(|other| contact.has_same_name(&other))
    }

    fn known(&self, position: usize) -> Option<Known<'a>> {
        self.contacts.get(position).map(|contact| contact.known())
    }
}

/// Namesakes that are compared one by one.
const NAMESAKES_MAX: usize = 64;

/// The part of a sorted list that compares as equal: most often one entry, or none.
fn equal<T>(sorted: &[T], compare: impl Fn(&T) -> Ordering) -> &[T] {
    let begin = sorted.partition_point(|entry| compare(entry).is_lt());
    let rest = sorted.get(begin..).unwrap_or_default();
    let is_equal = |entry: &T| compare(entry).is_eq();
    let length = match rest {
        [_, second, ..] if is_equal(second) => rest.partition_point(is_equal),
        [first, ..] => usize::from(is_equal(first)),
        [] => 0,
    };
    rest.get(..length).unwrap_or_default()
}

/// Of contacts of one name: all, or for one with an address or number those that have none.
fn of_interest_to<'s, 'a>(contact: &Known<'_>, namesakes: &'s [Named<'a>]) -> &'s [Named<'a>] {
    if contact.has_address() {
        let without = namesakes.partition_point(|(_, has_address, _)| !has_address);
        namesakes.get(..without).unwrap_or_default()
    } else {
        namesakes
    }
}

fn positions(named: &[Named<'_>]) -> impl Iterator<Item = usize> {
    named.iter().map(|(.., position)| *position)
}

impl<'a> Group<'a> {
    fn of<I>(sharing: &[(u64, usize)], contacts: &[&'a Candidate<I>]) -> Self {
        let mut group = Self::default();
        for (_, position) in sharing {
            group.all.push(*position);
            let Some(contact) = contacts.get(*position).map(|contact| contact.known()) else {
                continue;
            };
            match contact.kind {
                Kind::Company => group.companies.push(*position),
                Kind::Nameless => group.nameless.push(*position),
                Kind::Person => {
                    let (first, last) = (contact.first_name, contact.last_name);
                    let full_name = group.by_full_name.entry((first, last));
                    full_name.or_default().push(*position);
                    let first_name = group.by_first_name.entry(first);
                    first_name.or_default().push(*position);
                    let last_name = group.by_last_name.entry(last);
                    last_name.or_default().push(*position);
                }
            }
        }
        group
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

/// Texts are told apart by digests of eight bytes, and whoever is found by one is looked at.
fn digest_of(text: &str) -> u64 {
    crate::contact::digest(text.as_bytes())
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
