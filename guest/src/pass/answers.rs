//! What people said to the guard's lists: taken up at the beginning of a pass, weighed with every
//! pair, and consumed when the pass is remembered (contract, section 7.1).
//!
//! A pass that breaks off consumes nothing: the next one finds the same answer, and of what is done
//! already nothing to do. What a whole pass could not get to, because the pair is held or a service
//! refused it, keeps what was said of it.

use std::collections::BTreeMap;

use super::{Pass, Stop};
use crate::contact::CrmId;
use crate::crm::Crm;
use crate::links::{Caution, Memory, Source, State};
use crate::mailbox::Mailbox;
use crate::outside::Write;
use crate::plan::approval::{self, Judged, Judgement, Verdict};
use crate::plan::guard::Destruction;
use crate::plan::{self, Decision, Deed, Pair, Rules};
use crate::report::{Failure, Finding, Severity};

/// What people said, pair by pair.
#[derive(Default)]
pub(super) struct Judgements {
    pairs: BTreeMap<CrmId, Said>,
    /// A stored answer, whatever became of it.
    is_answered: bool,
}

/// What people said of one pair.
#[derive(Default)]
struct Said {
    judgements: Vec<Judgement>,
    /// A row of its own remembers it.
    is_stored: bool,
    /// This pass has planned the pair.
    is_weighed: bool,
}

impl<C: Crm, M: Mailbox> Pass<C, M> {
    /// What people said since, and what was said of pairs that no pass has got to.
    pub(super) fn read_answers(&mut self, state: &State) -> Result<(), Stop> {
        let mut judgements = Judgements::default();
        for (id, said) in self.memory.judgements()? {
            let said = Said {
                judgements: said,
                is_stored: true,
                is_weighed: false,
            };
            judgements.pairs.insert(id, said);
        }
        if let Some(request) = &state.approval_request
            && let Some(answer) = self.memory.verdict()?
        {
            judgements.is_answered = true;
            if answer.token == request.token {
                let listed = self
                    .memory
                    .request_entries(&answer.token, 0, request.entries())?;
                for (_, entry) in listed {
                    if let Some(id) = entry.contact.crm_id {
                        judgements.take(
                            id,
                            Judgement {
                                destruction: entry.destruction,
                                verdict: answer.verdict,
                                digest: entry.digest,
                            },
                        );
                    }
                }
            } else {
                self.findings.push(outdated(&answer.token, &request.token));
            }
        }
        self.judgements = judgements;
        Ok(())
    }

    /// The writes that remember what is asked now, and that what people said has been heard.
    pub(super) fn request_writes(&self, before: &State) -> Vec<Write> {
        let mut writes = Vec::new();
        let old = before
            .approval_request
            .as_ref()
            .map(|request| &request.token);
        let new = self.approval_request.as_ref().map(|request| &request.token);
        if let Some(token) = new.filter(|token| old != Some(*token)) {
            writes.extend(self.memory.set_request(token, &self.entries));
        }
        for (id, said) in &self.judgements.pairs {
            let source = Source::Crm(id.clone());
            let waits =
                self.put_off.contains_key(&source) || (!said.is_weighed && self.waits(&source));
            if waits {
                writes.push(self.memory.set_judgements(id, &said.judgements));
            } else if said.is_stored {
                writes.push(self.memory.set_judgements(id, &[]));
            }
        }
        if self.judgements.is_answered {
            writes.push(self.memory.set_verdict(None));
        }
        writes
    }

    /// The writes that remove lists that are asked no more, also such as a pass that broke off left
    /// behind. After the state that names the new one: until then the old one stands.
    pub(super) fn old_requests(
        &self,
        before: &State,
        is_full: bool,
    ) -> Result<Vec<Write>, Failure> {
        let old = before
            .approval_request
            .as_ref()
            .map(|request| &request.token);
        let new = self.approval_request.as_ref().map(|request| &request.token);
        if old == new && !is_full {
            return Ok(Vec::new());
        }
        self.memory.delete_requests_but(new.map(String::as_str))
    }

    /// Why the next pass trusts no deletion: as long as something waits for a person.
    pub(super) fn next_caution(&self, state: &State, is_full: bool) -> Option<Caution> {
        match (&self.approval_request, state.caution) {
            (Some(request), None) if request.reason == "side-empty" => Some(Caution::SideEmpty),
            (Some(_), caution) => caution,
            (None, Some(Caution::SideEmpty)) => None,
            (None, caution) => caution.filter(|_| !is_full),
        }
    }

    fn waits(&self, source: &Source) -> bool {
        let begun = self.begun.as_ref();
        begun.is_some_and(|begun| begun.pending.contains_key(source))
    }
}

impl Judgements {
    /// What is to be done with a pair, and what people said of it. What no longer is as it was
    /// listed drops out, and is told.
    pub(super) fn judge(
        &mut self,
        pair: &Pair,
        rules: &Rules,
        memory: &Memory,
        findings: &mut Vec<Finding>,
    ) -> Result<(Decision, Judged), Failure> {
        let id = pair.link.as_ref().map(|link| &link.crm_id);
        let Some(said) = id.and_then(|id| self.pairs.get_mut(id)) else {
            let decide = |rules: &Rules| plan::decide(pair, rules);
            let decision = plan::decide_by_time(pair, rules, |id| memory.edited(id), decide)?;
            return Ok((decision, Judged::default()));
        };
        said.is_weighed = true;
        let mut judged = Judged::default();
        let rejected = said.judgements.iter();
        let rejected = rejected.filter(|judgement| judgement.verdict == Verdict::Reject);
        judged.rejected = rejected.map(|judgement| judgement.destruction).collect();
        let decide = |rules: &Rules| approval::decide(pair, rules, &judged.rejected);
        let decision = plan::decide_by_time(pair, rules, |id| memory.edited(id), decide)?;
        if matches!(decision.deed, Deed::Hold(_)) {
            return Ok((decision, judged));
        }
        let destroyed = plan::destructions(pair, &decision, rules);
        let entries = approval::entries(pair, &decision, &destroyed);
        said.judgements.retain(|judgement| {
            if judgement.verdict == Verdict::Reject {
                return true;
            }
            let kind = judgement.destruction;
            match entries.iter().find(|entry| entry.destruction == kind) {
                Some(entry) if entry.digest == judgement.digest => {
                    judged.approved.push((kind, judgement.digest.clone()));
                    true
                }
                None if approval::has_come_about(pair, kind) => false,
                _ => {
                    findings.push(dropped(pair, kind));
                    false
                }
            }
        });
        Ok((decision, judged))
    }

    /// The later word counts.
    fn take(&mut self, id: CrmId, judgement: Judgement) {
        let said = self.pairs.entry(id).or_default();
        (said.judgements).retain(|before| before.destruction != judgement.destruction);
        said.judgements.push(judgement);
    }
}

fn dropped(pair: &Pair, destruction: Destruction) -> Finding {
    Finding {
        severity: Severity::Note,
        code: "approval-dropped".to_owned(),
        message: "This was approved, but is no longer as it was listed: it is treated like any \
                  other change."
            .to_owned(),
        remedy: None,
        contact: Some(pair.name()),
        field: destruction.field(),
    }
}

fn outdated(answered: &str, asked: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: "answer-outdated".to_owned(),
        message: format!(
            "An answer to the list `{answered}` came when another one was asked, `{asked}`: \
             nothing was done about it."
        ),
        remedy: Some("Look at the list that is asked now, and answer that one.".to_owned()),
        contact: None,
        field: None,
    }
}
