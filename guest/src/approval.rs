//! The guard's question and a person's answer, from the store alone (contract, section 7.1).
//!
//! Nothing is sent here: the answer is remembered, and the next pass acts on it.

use std::rc::Rc;

use crate::job::Job;
use crate::links::{Memory, StoredVerdict};
use crate::outside::Outside;
use crate::plan::approval::{Entry, Verdict};
use crate::report::{ApprovalRequest, Failure, Problem};
use crate::setup::check_job;

/// The request that waits for a person, and a part of its list.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestPage {
    /// What is asked.
    pub request: ApprovalRequest,
    /// What was said to it, where no pass has acted on it yet.
    pub verdict: Option<Verdict>,
    /// Entries with their numbers in the list.
    pub entries: Vec<(usize, Entry)>,
    /// `after` of the next call; `None` at the end.
    pub next: Option<String>,
}

/// The open request and at most `entries_max` entries of its list; `None` where nothing is asked.
/// `after` is what the part before it named as its next.
pub fn request(
    job: &Job,
    outside: &Rc<dyn Outside>,
    after: Option<&str>,
    entries_max: usize,
) -> Result<Option<RequestPage>, Failure> {
    check_job(job)?;
    let memory = Memory::new(Rc::clone(outside), &job.mailbox.id);
    let Some(request) = asked(&memory)? else {
        return match after {
            Some(_) => Err(not_asked(job, None)),
            None => Ok(None),
        };
    };
    let first = match after {
        None => 0,
        Some(after) => position(after, &request).ok_or_else(|| not_asked(job, Some(&request)))?,
    };
    let entries_max = entries_max.min(request.entries());
    let entries = memory.request_entries(&request.token, first, entries_max)?;
    let verdict = memory.verdict()?;
    let verdict = verdict.filter(|said| said.token == request.token);
    let end = first.saturating_add(entries_max);
    let next = (end < request.entries()).then(|| format!("{}:{end}", request.token));
    Ok(Some(RequestPage {
        verdict: verdict.map(|said| said.verdict),
        request,
        entries,
        next,
    }))
}

/// Remembers what a person says to the list of this token, in place of an earlier answer to it. The
/// next pass acts on it.
pub fn answer(
    job: &Job,
    outside: &Rc<dyn Outside>,
    token: &str,
    verdict: Verdict,
) -> Result<ApprovalRequest, Failure> {
    check_job(job)?;
    let memory = Memory::new(Rc::clone(outside), &job.mailbox.id);
    match asked(&memory)? {
        Some(request) if request.token == token => {
            let said = StoredVerdict {
                token: token.to_owned(),
                verdict,
            };
            memory.commit(vec![memory.set_verdict(Some(&said))])?;
            Ok(request)
        }
        other => Err(not_asked(job, other.as_ref())),
    }
}

fn asked(memory: &Memory) -> Result<Option<ApprovalRequest>, Failure> {
    Ok(memory.state()?.and_then(|state| state.approval_request))
}

/// Where a part begins, if it is one of the list that is asked now.
fn position(after: &str, request: &ApprovalRequest) -> Option<usize> {
    let (token, first) = after.split_once(':')?;
    (token == request.token).then(|| first.parse().ok())?
}

fn not_asked(job: &Job, asked: Option<&ApprovalRequest>) -> Failure {
    let mailbox = &job.mailbox.id;
    let (message, remedy) = match asked {
        Some(request) => (
            format!(
                "the mailbox `{mailbox}` asks about another list now: `{}`",
                request.token
            ),
            "look at that list with `contact-sync approve`, and answer that one",
        ),
        None => (
            format!("the mailbox `{mailbox}` waits for no approval"),
            "there is nothing to answer",
        ),
    };
    Failure::NotFound(Problem {
        message,
        remedy: Some(remedy.to_owned()),
    })
}
