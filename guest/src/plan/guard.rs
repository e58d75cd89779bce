//! How much may be destroyed before a person is asked (contract, section 7.1).
//!
//! Counted per mailbox over the last 24 hours, each kind on its own: deletions per side,
//! detachings, and, per side and field, contacts in which the field would be emptied. A kind that
//! goes over the limit is not carried out at all; everything else is.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::contact::Field;
use crate::job::GuardLimits;
use crate::mutation::{self, Mutant};
use crate::outside::Timestamp;
use crate::report::Side;

/// One kind of thing that the guard counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Destruction {
    /// A contact is deleted on this side.
    Deletion(Side),
    /// A pair is taken apart.
    Detaching,
    /// A field of a contact is emptied on this side.
    Emptying(Side, Field),
}

impl Destruction {
    /// Where it happens. A pair is taken apart in the CRM, where its marker is.
    pub fn side(self) -> Side {
        match self {
            Self::Deletion(side) | Self::Emptying(side, _) => side,
            Self::Detaching => Side::Crm,
        }
    }

    /// The field that is emptied, where that is what it is.
    pub fn field(self) -> Option<Field> {
        match self {
            Self::Emptying(_, field) => Some(field),
            Self::Deletion(_) | Self::Detaching => None,
        }
    }
}

/// What was carried out in the last hours: kind, hour since 1970, count. A day has 24 entries a
/// kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardWindow(Vec<(Destruction, i64, u32)>);

const HOUR_MS: i64 = 3_600_000;

/// The window of the contract, in hours.
const WINDOW_HOURS: i64 = 24;

/// Below this many links, half of them is the limit: ten of twelve is not few.
const FEW_LINKS: u32 = 20;

impl GuardWindow {
    /// Adds what was carried out, and forgets what is older than the window.
    pub fn count(&mut self, destruction: Destruction, now: Timestamp) {
        let hour = now.0.div_euclid(HOUR_MS);
        self.0.retain(|(_, at, _)| hour - at <= WINDOW_HOURS);
        match self
            .0
            .iter_mut()
            .find(|(kind, at, _)| *kind == destruction && *at == hour)
        {
            Some((_, _, count)) => *count = count.saturating_add(1),
            None => self.0.push((destruction, hour, 1)),
        }
    }

    /// How often a kind was carried out within the window.
    pub fn counted(&self, destruction: Destruction, now: Timestamp) -> u32 {
        if mutation::is_on(Mutant::GuardWindowForgotten) {
            return 0;
        }
        let hour = now.0.div_euclid(HOUR_MS);
        self.0
            .iter()
            .filter(|(kind, at, _)| *kind == destruction && hour - at <= WINDOW_HOURS)
            .fold(0, |sum, (_, _, count)| sum.saturating_add(*count))
    }

    /// The kinds of which too many are planned: those that go over the limit together with what was
    /// carried out within the window.
    pub fn held_back(
        &self,
        planned: &BTreeMap<Destruction, u32>,
        links: u32,
        limits: GuardLimits,
        now: Timestamp,
    ) -> BTreeSet<Destruction> {
        let removed = [
            Destruction::Deletion(Side::Crm),
            Destruction::Deletion(Side::Mailbox),
            Destruction::Detaching,
        ]
        .into_iter()
        .fold(0_u32, |sum, kind| {
            sum.saturating_add(self.counted(kind, now))
        });
        // Of the links as they were before the window began: a limit that shrinks with every
        // deletion would let the last ones through one by one, or stop too early.
        let limit = limit(links.saturating_add(removed), limits);
        planned
            .iter()
            .filter(|(kind, count)| {
                **count > 0 && self.counted(**kind, now).saturating_add(**count) > limit
            })
            .map(|(kind, _)| *kind)
            .collect()
    }
}

/// How many of a kind may be carried out within the window.
fn limit(links: u32, limits: GuardLimits) -> u32 {
    if links < FEW_LINKS {
        return links / 2;
    }
    let percent = u64::from(links) * u64::from(limits.contacts_percent_max) / 100;
    limits
        .contacts_max
        .max(u32::try_from(percent).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: GuardLimits = GuardLimits {
        contacts_max: 10,
        contacts_percent_max: 10,
    };
    const KIND: Destruction = Destruction::Deletion(Side::Crm);

    #[test]
    fn limit_is_the_larger_of_the_two_and_half_of_few() {
        for (links, expected) in [
            (0, 0),
            (1, 0),
            (2, 1),
            (19, 9),
            (20, 10),
            (100, 10),
            (101, 10),
            (1000, 100),
        ] {
            assert_eq!(limit(links, LIMITS), expected, "{links} links");
        }
    }

    #[test]
    fn what_was_carried_out_within_a_day_counts_and_older_does_not() {
        let start = Timestamp(1_000 * HOUR_MS);
        let mut window = GuardWindow::default();
        for _ in 0..8 {
            window.count(KIND, start);
        }
        let planned = BTreeMap::from([(KIND, 3)]);
        assert!(!window.held_back(&planned, 100, LIMITS, start).is_empty());
        let next_day = start.plus_ms((WINDOW_HOURS + 1) * HOUR_MS);
        assert!(window.held_back(&planned, 100, LIMITS, next_day).is_empty());
    }

    #[test]
    fn one_kind_over_the_limit_holds_back_no_other() {
        let other = Destruction::Emptying(Side::Crm, Field::Phones);
        let planned = BTreeMap::from([(KIND, 11), (other, 10)]);
        let held = GuardWindow::default().held_back(&planned, 100, LIMITS, Timestamp(0));
        assert_eq!(held, BTreeSet::from([KIND]));
    }
}
