//! The same person on both sides (contract, section 6).
//!
//! All candidates of a pass are weighed together, so that their order does not matter. A pair is
//! proposed only where each side has decided for the other; everything else that resembles somebody
//! is a question, and only what resembles nobody is new. The codes of questions:
//!
//! | code | meaning |
//! |---|---|
//! | `ambiguous-match` | several contacts of the other side may be this one |
//! | `match-taken` | the one that may be this one resembles another contact as well, or more |
//! | `namesake` | on a first pass: somebody of this name, and nothing else to tell by |

mod candidate;
mod index;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::BTreeSet;

use crate::mutation::{self, Mutant};
pub use candidate::{Candidate, Kind};
use index::{Index, Known};

/// What a pass is to do about contacts that have no link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal<C, M> {
    /// The same person. In the order of the CRM's ids.
    pub pairs: Vec<(C, M)>,
    /// Not certain: nothing is created until somebody answers. CRM contacts first, by id.
    pub questions: Vec<Question<C, M>>,
    /// CRM contacts that resemble nobody in the mailbox, by id.
    pub unmatched_crm: Vec<C>,
    /// Mailbox contacts that resemble nobody in the CRM, by id.
    pub unmatched_mailbox: Vec<M>,
}

/// One contact that may be one of several others, or of none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<C, M> {
    /// Who, and who it may be.
    pub about: About<C, M>,
    /// Why it was not decided.
    pub reason: Reason,
}

/// Whom a question is about, and the candidates by id: at most [`CANDIDATES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum About<C, M> {
    Crm { contact: C, candidates: Vec<M> },
    Mailbox { contact: M, candidates: Vec<C> },
}

/// Why a question was not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Several candidates, and not exactly one of them of the same name.
    Several,
    /// The candidate resembles somebody else as well, or more.
    TakenByAnother,
    /// Somebody of the same name, and nothing else to tell by.
    Namesake,
}

/// Whether this is the code of a question.
pub fn is_question(code: &str) -> bool {
    let mut reasons = [Reason::Several, Reason::TakenByAnother, Reason::Namesake].into_iter();
    reasons.any(|reason| reason.code() == code)
}

impl Reason {
    /// Stable, for findings.
    pub fn code(self) -> &'static str {
        match self {
            Self::Several => "ambiguous-match",
            Self::TakenByAnother => "match-taken",
            Self::Namesake => "namesake",
        }
    }
}

/// Candidates that a question names. More of them help nobody, and one address shared by thousands
/// must not cost the square of it.
pub const CANDIDATES_MAX: usize = 10;

/// Finds the pairs among contacts that are neither linked nor detached. On a mailbox's first pass a
/// contact of which only the name is known, and known on the other side too, is asked about.
pub fn propose<C: Clone + Ord, M: Clone + Ord>(
    crm: &[impl Borrow<Candidate<C>>],
    mailbox: &[impl Borrow<Candidate<M>>],
    first_pass: bool,
) -> Proposal<C, M> {
    let crm = by_id(crm);
    let mailbox = by_id(mailbox);
    // One index at a time: together they are the most that a first pass needs.
    let crm_choices = choices(&crm, &mailbox, first_pass);
    let mailbox_choices = choices(&mailbox, &crm, first_pass);

    let mut proposal = Proposal {
        pairs: Vec::new(),
        questions: Vec::new(),
        unmatched_crm: Vec::new(),
        unmatched_mailbox: Vec::new(),
    };
    for (position, (candidate, choice)) in crm.iter().zip(&crm_choices).enumerate() {
        let contact = candidate.id.clone();
        match outcome(position, choice, &mailbox_choices) {
            Outcome::Nobody => proposal.unmatched_crm.push(contact),
            Outcome::Pair(partner) => {
                let partner = mailbox.get(partner).map(|partner| partner.id.clone());
                proposal
                    .pairs
                    .extend(partner.map(|partner| (contact, partner)));
            }
            Outcome::Ask(reason) => {
                let candidates = ids(choice.candidates(), &mailbox);
                let about = About::Crm {
                    contact,
                    candidates,
                };
                proposal.questions.push(Question { about, reason });
            }
        }
    }
    for (position, (candidate, choice)) in mailbox.iter().zip(&mailbox_choices).enumerate() {
        let contact = candidate.id.clone();
        match outcome(position, choice, &crm_choices) {
            Outcome::Nobody => proposal.unmatched_mailbox.push(contact),
            Outcome::Pair(_) => {}
            Outcome::Ask(reason) => {
                let candidates = ids(choice.candidates(), &crm);
                let about = About::Mailbox {
                    contact,
                    candidates,
                };
                proposal.questions.push(Question { about, reason });
            }
        }
    }
    proposal
}

/// Of many candidates, those that could be one of `others`: only they need to be weighed.
pub fn relevant<A: Borrow<Candidate<C>>, C, M>(all: Vec<A>, others: &[Candidate<M>]) -> Vec<A> {
    let emails: BTreeSet<&String> = others.iter().flat_map(|other| &other.emails).collect();
    let phones: BTreeSet<&String> = others.iter().flat_map(|other| &other.phones).collect();
    let names: BTreeSet<[&str; 3]> = others.iter().map(names).collect();
    let is_relevant = |candidate: &A| {
        let candidate = candidate.borrow();
        candidate.emails.iter().any(|email| emails.contains(email))
            || candidate.phones.iter().any(|phone| phones.contains(phone))
            || names.contains(&self::names(candidate))
    };
    all.into_iter().filter(is_relevant).collect()
}

fn names<I>(candidate: &Candidate<I>) -> [&str; 3] {
    [
        &candidate.first_name,
        &candidate.last_name,
        &candidate.company,
    ]
}

/// Whom one contact may be, and for whom it decides.
#[derive(Debug)]
struct Choice {
    /// Positions in the other side's list; none are listed where the one decided for is the only
    /// one.
    several: Vec<usize>,
    decided: Option<usize>,
    by_name_only: bool,
}

impl Choice {
    fn candidates(&self) -> &[usize] {
        if self.several.is_empty() {
            self.decided.as_slice()
        } else {
            &self.several
        }
    }
}

fn choices<I, J>(
    contacts: &[&Candidate<I>],
    others: &[&Candidate<J>],
    first_pass: bool,
) -> Vec<Choice> {
    if contacts.is_empty() {
        return Vec::new();
    }
    let others = Index::of(others);
    contacts
        .iter()
        .map(|contact| choice(&contact.known(), &others, first_pass))
        .collect()
}

fn choice<J>(contact: &Known<'_>, others: &Index<'_, J>, first_pass: bool) -> Choice {
    let reachable = others.sharing_address(contact);
    let named = others.same_in_everything(contact);
    let mut candidates: Vec<usize> = reachable.iter().chain(&named).copied().collect();
    candidates.sort_unstable();
    candidates.dedup();
    let decided = match candidates.as_slice() {
        [] => None,
        [only] => Some(*only),
        [first, ..] if mutation::is_on(Mutant::FirstCandidateWins) => Some(*first),
        _ => {
            let mut namesakes = candidates
                .iter()
                .filter(|other| others.same_name(contact, **other));
            let decided = namesakes.next().filter(|_| namesakes.next().is_none());
            // Who is known by the name alone does not win against somebody with the same address.
            decided
                .copied()
                .filter(|decided| reachable.contains(decided))
        }
    };
    let by_name_only = candidates.is_empty();
    if by_name_only && first_pass {
        candidates = others.namesakes(contact);
    }
    candidates.truncate(CANDIDATES_MAX);
    Choice {
        several: match (candidates.as_slice(), decided) {
            ([only], Some(decided)) if *only == decided => Vec::new(),
            _ => candidates,
        },
        decided,
        by_name_only,
    }
}

enum Outcome {
    Nobody,
    Pair(usize),
    Ask(Reason),
}

fn outcome(position: usize, choice: &Choice, others: &[Choice]) -> Outcome {
    if choice.candidates().is_empty() {
        return Outcome::Nobody;
    }
    if choice.by_name_only {
        return Outcome::Ask(Reason::Namesake);
    }
    let Some(decided) = choice.decided else {
        return Outcome::Ask(Reason::Several);
    };
    match others.get(decided).and_then(|other| other.decided) {
        Some(back) if back == position => Outcome::Pair(decided),
        _ => Outcome::Ask(Reason::TakenByAnother),
    }
}

fn by_id<I: Ord>(candidates: &[impl Borrow<Candidate<I>>]) -> Vec<&Candidate<I>> {
    let mut sorted: Vec<&Candidate<I>> = candidates.iter().map(Borrow::borrow).collect();
    sorted.sort_by(|one, other| one.id.cmp(&other.id));
    sorted
}

fn ids<I: Clone>(positions: &[usize], candidates: &[&Candidate<I>]) -> Vec<I> {
    let found = positions
        .iter()
        .filter_map(|position| candidates.get(*position));
    found.map(|candidate| candidate.id.clone()).collect()
}
