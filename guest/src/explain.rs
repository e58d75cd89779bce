//! Why a contact, or one of its values, is or is not on the other side, and what to do.
//!
//! Reads the store, and both records by id: a handful of requests, none of which writes. What it
//! says is decided by the very functions that a pass decides with ([`plan::decide`], the merge and
//! its findings), so that an explanation and the next pass cannot disagree. What only a whole pass
//! knows, the guard's count and who else resembles whom, it names as open.
//!
//! | room | does |
//! |---|---|
//! | `search` | whom a person means: an id, a piece of a name, an address, a number |
//! | `subject` | reads what is known about one contact |
//! | `values` | value by value: what is where, and what has no place |
//! | `words` | where a contact stands and what the next pass does, in sentences |

mod search;
mod subject;
mod values;
mod words;

use std::rc::Rc;

use crate::contact::FieldSet;
use crate::crm::Crm;
use crate::job::Job;
use crate::links::{Memory, State};
use crate::mailbox::Mailbox;
use crate::outside::{Outside, Timestamp};
use crate::plan::merge::Merged;
use crate::plan::{self, Deed, Half, Rules};
use crate::report::{ContactName, Failure, Finding, Operation, Problem, Severity};
use crate::setup::{self, Sides};
use search::Found;
use subject::{Known, Subject};

pub use values::{Place, PlacedValue};

/// Contacts that one answer lists at most (`contacts.wit`).
pub const LISTED_MAX: usize = 50;

/// Bytes of a question (`contacts.wit`).
pub const QUESTION_BYTES_MAX: usize = 500;

/// What a question about a contact comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The one contact that was meant.
    One(Box<Explanation>),
    /// Several may be meant: the first [`LISTED_MAX`], and how many there are.
    Several(Vec<ContactName>, u32),
}

/// What is known about one contact in the sync of this mailbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Who.
    pub contact: ContactName,
    /// Where it stands.
    pub standing: Standing,
    /// Not looked at again before this time, unless somebody edits it.
    pub retry_at: Option<Timestamp>,
    /// Value by value, where both records can be compared or one is to be copied.
    pub values: Vec<PlacedValue>,
    /// Why it stands where it does, then what is to be said about its values.
    pub findings: Vec<Finding>,
    /// What the next pass does, as far as these two records decide it.
    pub operations: Vec<Operation>,
}

/// Where a contact stands in the sync of this mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A pair in step, or about to be.
    Linked,
    /// A pair without marker: both go their own way.
    Detached,
    /// A pair that was forgotten: remembered only so that nothing comes back by mistake.
    Tombstone,
    /// Takes part, but no pass has dealt with it yet.
    New,
    /// In the CRM, without this mailbox's marker.
    NotMarked,
    /// Several may be the same person: a person must say who it is.
    Ambiguous,
    /// Nothing is done until something is settled.
    Held,
    /// The guard waits for a person.
    AwaitingApproval,
    /// Being created: the answer was lost, and it is not known yet whether it happened.
    OpenIntent,
    /// Set aside after it was refused, for growing pauses.
    Quarantined,
    /// On this side it was deleted, or moved away, without ever having been linked.
    Gone,
}

/// Explains the contact that `question` means: an id of either side, a piece of a name, an e-mail
/// address, a number. Writes nothing anywhere.
pub fn explain(job: &Job, outside: &Rc<dyn Outside>, question: &str) -> Result<Answer, Failure> {
    let question = question.trim();
    if question.is_empty() || question.len() > QUESTION_BYTES_MAX {
        return Err(Failure::NotFound(Problem {
            message: format!("a question is 1 to {QUESTION_BYTES_MAX} bytes long"),
            remedy: Some("name a contact: an id, a name, an e-mail address or a number".into()),
        }));
    }
    let Sides { crm, mailbox, .. } = setup::sides(job, outside)?;
    Explainer::new(job, outside, crm, mailbox)?.answer(question)
}

/// What an explanation is made from.
struct Explainer<'a, C, M> {
    job: &'a Job,
    memory: Memory,
    now: Timestamp,
    /// What is remembered of the mailbox; `None` before its first pass.
    state: Option<State>,
    crm: C,
    mailbox: M,
    fields: FieldSet,
}

impl<'a, C: Crm, M: Mailbox> Explainer<'a, C, M> {
    fn new(
        job: &'a Job,
        outside: &Rc<dyn Outside>,
        mut crm: C,
        mut mailbox: M,
    ) -> Result<Self, Failure> {
        let memory = Memory::new(Rc::clone(outside), &job.mailbox.id);
        let state = memory.state()?;
        // After a caution, or under another address, the mailbox may be another one: who it is,
        // only it can say.
        let remembered = state.as_ref().filter(|state| {
            let endpoint = state.endpoint.as_ref();
            let is_there = endpoint.is_none_or(|known| *known == job.mailbox.endpoint);
            state.caution.is_none() && is_there
        });
        crm.connect(remembered.map(|state| &state.crm))?;
        mailbox.connect(remembered.map(|state| &state.mailbox))?;
        Ok(Self {
            job,
            memory,
            now: outside.now(),
            state,
            fields: crm.fields().clone(),
            crm,
            mailbox,
        })
    }

    fn answer(&self, question: &str) -> Result<Answer, Failure> {
        let subject = match self.search(question)? {
            Found::One(subject) => subject,
            Found::Several(names) => {
                let total = u32::try_from(names.len()).unwrap_or(u32::MAX);
                let listed = names.into_iter().take(LISTED_MAX).collect();
                return Ok(Answer::Several(listed, total));
            }
            Found::Nobody => return Err(nobody(&self.job.mailbox.id)),
        };
        let known = self.read(subject)?;
        if known.is_nobody() {
            return Err(nobody(&self.job.mailbox.id));
        }
        Ok(Answer::One(Box::new(self.explained(&known)?)))
    }

    fn explained(&self, known: &Known) -> Result<Explanation, Failure> {
        let rules = self.rules();
        let decision = plan::decide_by_time(
            &known.pair,
            &rules,
            |id| self.memory.edited(id),
            |rules| plan::decide(&known.pair, rules),
        )?;
        let likeness = self.likeness(known)?;
        let standing = words::standing(known, &decision, &likeness, self.now);
        let contact = known.pair.name();
        let is_open = matches!(
            standing,
            Standing::Linked
                | Standing::Detached
                | Standing::Tombstone
                | Standing::New
                | Standing::AwaitingApproval
        );
        let operations = if is_open && likeness.is_nobody() {
            plan::describe(&known.pair, &decision)
        } else {
            Vec::new()
        };
        let merged = if likeness.is_nobody() {
            merged(known, &decision.deed, &rules)
        } else {
            None
        };
        let mut findings = vec![words::why(
            standing,
            known,
            &decision,
            &likeness,
            &self.job.policy,
        )];
        if let Some(merged) = &merged {
            findings.extend(merged.findings.iter().cloned());
            findings.extend(self.misfits(known, merged));
        }
        findings.extend(words::about_fields(known, &self.fields));
        let values = match &merged {
            Some(merged) => values::placed(&known.pair, merged, &rules),
            None if standing == Standing::Detached => values::side_by_side(&known.pair, &rules),
            None => Vec::new(),
        };
        for finding in &mut findings {
            finding.contact = Some(contact.clone());
        }
        Ok(Explanation {
            contact,
            standing,
            retry_at: known.retry_at(self.now),
            values,
            findings,
            operations,
        })
    }

    fn misfits(&self, known: &Known, merged: &Merged) -> Vec<Finding> {
        let misfits = self.crm.misfits(known.pair.crm_fields(), &merged.crm);
        let told = misfits.into_iter().map(|(field, problem)| Finding {
            severity: Severity::Warning,
            code: "crm-cannot-hold".to_owned(),
            message: problem.message,
            remedy: problem.remedy,
            contact: None,
            field: Some(field),
        });
        told.collect()
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            fields: &self.fields,
            shape: self.mailbox.shape(),
            region: &self.job.tenant.region,
            policy: &self.job.policy,
            times: None,
        }
    }
}

/// What both sides are to hold; `None` where nothing is compared.
fn merged(known: &Known, deed: &Deed, rules: &Rules<'_>) -> Option<Merged> {
    match deed {
        Deed::Agree { merged, .. } | Deed::CreateInCrm(merged) | Deed::CreateInMailbox(merged) => {
            Some((**merged).clone())
        }
        Deed::Rest => {
            let are_there = matches!(
                (&known.pair.crm, &known.pair.mailbox),
                (Half::Present(_), Half::Present(_))
            );
            let link = known.pair.link.as_ref()?;
            (are_there && link.is_linked()).then(|| plan::agreement(&known.pair, rules))
        }
        _ => None,
    }
}

/// Names ids only: fit for a log.
fn nobody(mailbox: &str) -> Failure {
    Failure::NotFound(Problem {
        message: format!("no contact was found for this question (mailbox `{mailbox}`)"),
        remedy: Some(
            "try another piece of the name, an e-mail address, a number or an id; a contact that \
             is new since the last pass is found by its id only"
                .to_owned(),
        ),
    })
}
