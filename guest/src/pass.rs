//! One pass in bounded steps: settle intents, read both sides' changes, plan, execute, remember.
//!
//! [`Pass::advance`] does one bounded piece of work and returns. A step that a service throttles is
//! simply taken again after the pause: steps change what the pass knows only when they have
//! succeeded.
//!
//! | room | phase |
//! |---|---|
//! | `answers` | what people said to the guard's lists |
//! | `begin` | sign in, and make sure that these are the two address books of the last pass |
//! | `settle` | what became of creates whose answer was lost |
//! | `read` | what has changed on both sides since the remembered positions |
//! | `confirm` | by id: whatever a deletion, a restoring or an old problem rests on |
//! | `recognise` | who is the same person |
//! | `at_rest` | contacts at rest that may be an export's other half |
//! | `renew` | the same contact under a new id |
//! | `assemble` | what is to be done: the plan |
//! | `remember` | positions last, together with everything pending |
//! | `restore` | a pass with another purpose: bringing back what the journal holds |

mod answers;
mod assemble;
mod at_rest;
mod begin;
mod confirm;
mod read;
mod recognise;
mod remember;
mod renew;
mod restore;
mod settle;

pub use restore::Target;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use crate::contact::{CrmContact, CrmId, FieldSet, MailboxContact, MailboxId, SearchKey};
use crate::crm::{Crm, CrmCursor, CrmPosition, TrashMark};
use crate::execute::{BATCH_TASKS_MAX, Executor, Outcome as TaskOutcome, Task, difference};
use crate::http::{Http, RemoteError};
use crate::job::{CrmAccess, FlowfactAccess, Job, Marker};
use crate::journal;
use crate::links::{Answer, Intent, Link, Memory, Packed, Pending, Source, Standing, State};
use crate::mailbox::{Mailbox, MailboxIdentity, MailboxPosition};
use crate::mutation::{self, Mutant};
use crate::outside::{Outside, Timestamp, Write};
use crate::plan::approval::{Entry, Judged};
use crate::plan::matching::Candidate;
use crate::plan::{Half, PackedPair, Pair, Rules};
use crate::report::{
    Action, ApprovalRequest, ContactName, Counts, Failure, Finding, Operation, OperationState,
    Outcome, Phase, Problem, Progress, Report, Side,
};
use crate::setup::{self, Sides};
use renew::Renewal;

/// The longest pause that a pass asks its host for; a longer one ends it as throttled (`sync.wit`).
pub const WAIT_MS_MAX: u64 = 600_000;

/// How many pauses in a row, without any progress between them, end a pass.
const WAITS_IN_A_ROW_MAX: u32 = 20;

/// What opening a pass is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reads and plans; writes nothing anywhere.
    Preview,
    /// Plans, executes, remembers.
    Sync,
    /// Brings back what the journal holds.
    Restore {
        /// What.
        target: Target,
        /// Only says what would be done; writes nothing anywhere.
        is_dry: bool,
    },
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Go on.
    Working(Progress),
    /// Go on after this many ms, at most [`WAIT_MS_MAX`].
    Waiting(u32, Progress),
    /// The end.
    Done(Box<Report>),
}

/// A pass, whatever its CRM and mailbox are.
pub trait Advance {
    /// Does a bounded piece of work; see `sync.wit`.
    fn advance(&mut self) -> Step;
    /// The plan's operations, with their state so far.
    fn operations(&self) -> &[Operation];
    /// The findings so far, gravest first once the pass is done.
    fn findings(&self) -> &[Finding];
}

/// Opens a pass: checks the job, sends nothing.
pub fn open(job: Job, mode: Mode, outside: Rc<dyn Outside>) -> Result<Box<dyn Advance>, Failure> {
    let sides = setup::sides(&job, &outside)?;
    let Sides {
        crm,
        mailbox,
        clients,
    } = sides;
    Ok(Box::new(Pass::new(
        job, mode, outside, crm, mailbox, clients,
    )))
}

/// One pass between one CRM and one mailbox.
pub struct Pass<C, M> {
    job: Job,
    mode: Mode,
    outside: Rc<dyn Outside>,
    memory: Memory,
    crm: C,
    mailbox: M,
    https: Vec<Http>,
    stage: Stage,
    /// Names this pass in the journal.
    id: String,
    opened: Timestamp,
    begun: Option<Begun>,
    gathered: Gathered,
    tasks: VecDeque<Task>,
    tasks_total: u32,
    operations: Vec<Operation>,
    approval_request: Option<ApprovalRequest>,
    /// The list of [`Pass::approval_request`].
    entries: Vec<Entry>,
    judgements: answers::Judgements,
    findings: Vec<Finding>,
    counts: Counts,
    /// What is to be pending when this pass ends.
    put_off: BTreeMap<Source, PutOff>,
    waits_in_a_row: u32,
    journal_number: u32,
    restoring: restore::Restoring,
}

/// What the next step does.
enum Stage {
    Begin,
    Settle(Option<CrmCursor>),
    ReadCrm(Option<CrmCursor>),
    ReadTrash(Option<u32>),
    ReadMailbox(Option<MailboxPosition>),
    FindMissing(Option<String>),
    Confirm,
    Match,
    Fetch,
    Plan,
    Execute,
    Remember,
    /// Of a pass that restores: one page of the journal.
    Search(Option<String>),
    Look,
    LookInTrash(u32),
    PlanRestore,
    Done(Box<Report>),
}

/// What is known once both sides have been signed in to.
struct Begun {
    /// What is remembered, or a first state.
    state: State,
    /// Who this mailbox was before it was rebound to somebody else.
    former_identity: Option<MailboxIdentity>,
    /// Both sides are read wholly.
    is_full: bool,
    /// The marker is kept elsewhere than at the last pass.
    is_marker_moved: bool,
    /// Fields that take part.
    fields: FieldSet,
    /// That they do was read in this pass.
    is_schema_new: bool,
    pending: BTreeMap<Source, Pending>,
    answers: BTreeMap<MailboxId, Answer>,
    intents: Vec<Intent>,
    /// Keys of rows of these three kinds that cannot be read; removed when this pass has read both
    /// sides wholly.
    damaged_rows: BTreeSet<String>,
    /// How often reading the mailbox had to begin anew.
    restarts: u32,
}

/// What was read in this pass.
#[derive(Default)]
struct Gathered {
    /// CRM contacts that may be copies of open intents.
    copies: Vec<settle::Copied>,
    /// Pairs that something is known about, by CRM id.
    pairs: BTreeMap<CrmId, PackedPair>,
    /// CRM contacts without link that may be needed.
    crm: BTreeMap<CrmId, Packed<CrmContact>>,
    /// Of these, the ones that carry the marker.
    marked: BTreeSet<CrmId>,
    /// Mailbox contacts without link.
    mailbox: BTreeMap<MailboxId, Packed<MailboxContact>>,
    /// New digests of CRM contacts.
    candidates: BTreeMap<CrmId, Rc<Candidate<CrmId>>>,
    /// At a full read: every id that was seen.
    crm_seen: BTreeSet<CrmId>,
    mailbox_seen: BTreeSet<MailboxId>,
    /// To be read by id.
    crm_queue: BTreeSet<CrmId>,
    mailbox_queue: BTreeSet<MailboxId>,
    /// Asked for their marker, where it is kept beside the contact.
    marker_queue: BTreeSet<CrmId>,
    /// Not found by id; the trash will say why.
    not_found: BTreeSet<CrmId>,
    /// Read by id in this pass: never asked again.
    crm_asked: BTreeSet<CrmId>,
    mailbox_asked: BTreeSet<MailboxId>,
    /// The CRM's trash.
    trash: TrashSeen,
    crm_position: Option<CrmPosition>,
    mailbox_position: Option<MailboxPosition>,
    /// When the mailbox's changes were asked for.
    mailbox_read: Option<Timestamp>,
    /// Pairs found by matching, by a person or by a settled intent.
    matched: Vec<(CrmId, MailboxId)>,
    /// Contacts that wait for an answer or for an intent: nothing is created for them.
    withheld: BTreeSet<Source>,
    /// What to look at besides has been queued.
    queued: Queued,
    /// Contacts without link that are no longer there.
    gone: BTreeSet<Source>,
    /// Mailbox contacts without link that are in another live folder.
    moved: BTreeSet<MailboxId>,
    /// Pairs whose mailbox half is gone, and contacts without link that carry their key.
    found_again: BTreeMap<CrmId, Vec<MailboxId>>,
    /// What is known of contacts under new ids.
    renewal: Renewal,
    /// Mailbox contacts at rest that get another partner, and the pairs that they were.
    woken: BTreeMap<MailboxId, Link>,
    /// Answers that gave a remembered pair its new half.
    answered: BTreeSet<MailboxId>,
    /// Answers that cannot be acted on any more.
    useless_answers: BTreeSet<MailboxId>,
    /// Pairs whose link cannot be read, but of which it is known who is whose partner.
    damaged: BTreeMap<MailboxId, CrmId>,
    /// Mailbox contacts that no row led to their pair, and whose it is.
    recognised_by_pair: BTreeMap<MailboxId, CrmId>,
    /// A link cannot be read: what both sides hold must be known wholly.
    is_damaged: bool,
    /// Pending mailbox contacts that are not due: read to be weighed, and for nothing else.
    only_weighed: BTreeSet<MailboxId>,
    /// Keys of intents that were looked for in the mailbox.
    sought: BTreeSet<SearchKey>,
    /// Pairs in step and at rest, as a full read meets them.
    counted: (u32, u32),
    /// What passes have created so long ago that every index shows it.
    created_long_ago: Vec<CrmId>,
    /// Imports of other mailboxes whose copies may not show yet.
    importing: Vec<Intent>,
    /// Such imports that are so old that every index shows what became of them.
    imported_long_ago: Vec<SearchKey>,
    /// Where the slice of markers goes on in the next pass.
    next_slice: Option<u8>,
}

/// What has been queued once, to be read by id.
#[derive(Default)]
struct Queued {
    /// What earlier passes left to look at.
    pending: bool,
    /// Contacts about which a question is open.
    questions: bool,
    /// What other mailboxes' passes have created lately.
    created: bool,
}

/// What was seen of the CRM's trash.
#[derive(Default)]
struct TrashSeen {
    /// Contacts in it, as far as it was read.
    ids: BTreeSet<CrmId>,
    /// What to remember of it.
    mark: Option<TrashMark>,
    /// When that was looked at.
    read: Option<Timestamp>,
    /// It was read to its end.
    is_complete: bool,
    /// It must be, to say what became of contacts that were not found.
    must_complete: bool,
    /// It is not as the last pass saw it.
    has_changed: bool,
}

/// Something that stays pending, and why.
#[derive(Clone)]
struct PutOff {
    reason: &'static str,
    problem: Option<Problem>,
    /// Whom people are told about when this is news; `None` where they have been told already.
    name: Option<ContactName>,
}

/// Why a step did not succeed.
enum Stop {
    Throttled(crate::report::Throttled),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<RemoteError> for Stop {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Throttled(throttled) => Self::Throttled(throttled),
            other => Self::Failed(other.into()),
        }
    }
}

impl<C: Crm, M: Mailbox> Advance for Pass<C, M> {
    fn advance(&mut self) -> Step {
        if let Stage::Done(report) = &self.stage {
            return Step::Done(report.clone());
        }
        match self.step() {
            Ok(()) => self.waits_in_a_row = 0,
            Err(Stop::Throttled(throttled)) => {
                self.waits_in_a_row = self.waits_in_a_row.saturating_add(1);
                let wait_ms = throttled.retry_after_ms;
                if wait_ms <= WAIT_MS_MAX && self.waits_in_a_row <= WAITS_IN_A_ROW_MAX {
                    let wait_ms = u32::try_from(wait_ms.max(1)).unwrap_or(u32::MAX);
                    return Step::Waiting(wait_ms, self.progress());
                }
                self.finish(Outcome::Stopped(Failure::Throttled(throttled)));
            }
            Err(Stop::Failed(failure)) => self.finish(Outcome::Stopped(failure)),
        }
        match &self.stage {
            Stage::Done(report) => Step::Done(report.clone()),
            _ => Step::Working(self.progress()),
        }
    }

    fn operations(&self) -> &[Operation] {
        &self.operations
    }

    fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl<C: Crm, M: Mailbox> Pass<C, M> {
    /// A pass between these two; `https` are what they send with, for counting.
    pub fn new(
        job: Job,
        mode: Mode,
        outside: Rc<dyn Outside>,
        crm: C,
        mailbox: M,
        https: Vec<Http>,
    ) -> Self {
        // Drawn when the pass opens, so that a seed replays a pass exactly.
        let id = format!("{:08x}", outside.random() & 0xffff_ffff);
        Self {
            memory: Memory::new(Rc::clone(&outside), &job.mailbox.id),
            opened: outside.now(),
            job,
            mode,
            outside,
            crm,
            mailbox,
            https,
            stage: Stage::Begin,
            id,
            begun: None,
            gathered: Gathered::default(),
            tasks: VecDeque::new(),
            tasks_total: 0,
            operations: Vec::new(),
            approval_request: None,
            entries: Vec::new(),
            judgements: answers::Judgements::default(),
            findings: Vec::new(),
            counts: Counts::default(),
            put_off: BTreeMap::new(),
            waits_in_a_row: 0,
            journal_number: 0,
            restoring: restore::Restoring::default(),
        }
    }

    fn step(&mut self) -> Result<(), Stop> {
        // A step that fails is taken again: its stage is put back.
        let stage = std::mem::replace(&mut self.stage, Stage::Begin);
        match self.take(&stage) {
            Ok(Some(next)) => self.stage = next,
            Ok(None) => {}
            Err(stop) => {
                self.stage = stage;
                return Err(stop);
            }
        }
        Ok(())
    }

    /// Does the work of a stage, and says which one is next; `None` where the pass has ended.
    fn take(&mut self, stage: &Stage) -> Result<Option<Stage>, Stop> {
        Ok(Some(match stage {
            Stage::Begin => self.begin()?,
            Stage::Settle(cursor) => self.settle(cursor.as_ref())?,
            Stage::ReadCrm(cursor) => self.read_crm(cursor.as_ref())?,
            Stage::ReadTrash(page) => self.read_trash(*page)?,
            Stage::ReadMailbox(position) => self.read_mailbox(position.as_ref())?,
            Stage::FindMissing(after) => self.find_missing(after.as_deref())?,
            Stage::Confirm => self.confirm()?,
            Stage::Match => self.match_contacts()?,
            Stage::Fetch => self.fetch()?,
            Stage::Plan => return self.plan(),
            Stage::Execute => self.execute()?,
            Stage::Remember => {
                if matches!(self.mode, Mode::Restore { .. }) {
                    self.remember_restore()?;
                } else {
                    self.remember()?;
                }
                return Ok(None);
            }
            Stage::Search(after) => self.search(after.as_deref())?,
            Stage::Look => self.look()?,
            Stage::LookInTrash(page) => self.look_in_trash(*page)?,
            Stage::PlanRestore => return self.plan_restore(),
            Stage::Done(_) => return Ok(None),
        }))
    }

    /// One batch of tasks.
    fn execute(&mut self) -> Result<Stage, Stop> {
        let count = self.tasks.len().min(BATCH_TASKS_MAX);
        let tasks: Vec<Task> = self.tasks.drain(..count).collect();
        if tasks.is_empty() {
            return Ok(Stage::Remember);
        }
        if mutation::is_on(Mutant::PositionBeforeLinks)
            && let Some(state) = self.next_state(self.outside.now())
        {
            self.memory.commit(vec![self.memory.set_state(&state)])?;
        }
        let begun = self.begun.as_ref().ok_or_else(not_begun)?;
        let keys: Vec<SearchKey> = tasks.iter().map(|_| self.random_key()).collect();
        let executor = Executor {
            crm: &self.crm,
            mailbox: &self.mailbox,
            memory: &self.memory,
            rules: rules(&self.job, &self.mailbox, &begun.fields),
            marker: marker(&self.job),
            pass: &self.id,
            now: self.outside.now(),
        };
        let batch = executor.batch(tasks.clone(), &keys, &mut self.journal_number)?;
        let mut writes = batch.writes;
        writes.extend(self.restored(&tasks, &batch.outcomes)?);
        let mut stop = None;
        let ends = batch.outcomes.into_iter().zip(batch.halves);
        for (mut task, (outcome, half)) in tasks.into_iter().zip(ends) {
            if let Some(half) = half {
                self.take_half(&mut task, &half);
            }
            if let TaskOutcome::NotDone(error) = outcome {
                self.tasks.push_back(task);
                stop = Some(error);
            } else {
                if matches!(outcome, TaskOutcome::Done(_)) {
                    writes.extend(self.forget_former(&task));
                }
                self.take_outcome(&task, outcome);
            }
        }
        if let (false, Some(begun)) = (writes.is_empty(), &self.begun) {
            // With the counters, but the old positions: a pass that breaks off reads the same news
            // again.
            writes.extend(self.owner_writes(begun));
            writes.push(self.memory.set_state(&begun.state));
            self.memory.commit(writes)?;
        }
        match stop {
            None => Ok(Stage::Execute),
            Some(error) => Err(error.into()),
        }
    }

    /// A pair of which a part is remembered counts as what it is remembered as, and that is what it
    /// is when its task is taken up again.
    fn take_half(&mut self, task: &mut Task, half: &Link) {
        let before = task.pair.link.as_ref().and_then(Packed::unpack);
        let more = |standing| difference(before.as_ref(), Some(half), standing);
        if let Some(begun) = &mut self.begun {
            let state = &mut begun.state;
            state.links = state.links.saturating_add_signed(more(Standing::Linked));
            state.detached = state
                .detached
                .saturating_add_signed(more(Standing::Detached));
        }
        task.pair.link = Some(Packed::new(half));
    }

    /// The writes that say of the journal's entries that they were brought back.
    fn restored(&self, tasks: &[Task], outcomes: &[TaskOutcome]) -> Result<Vec<Write>, Failure> {
        let done = tasks.iter().zip(outcomes).filter(
            |(_, outcome)| matches!(outcome, TaskOutcome::Done(done) if !done.written.is_empty()),
        );
        let wishes = done.filter_map(|(task, _)| task.wish.as_ref()?.unpack());
        let ids: Vec<String> = wishes.flat_map(|wish| wish.entries).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        journal::mark_restored(&self.memory, &ids, self.outside.now())
    }

    fn take_outcome(&mut self, task: &Task, outcome: TaskOutcome) {
        let (first, mut count) = task.operations;
        if let TaskOutcome::Done(done) = &outcome
            && let Some(pair) = &done.follow_up
        {
            count = count.saturating_sub(1);
            self.tasks.push_back(Task {
                pair: pair.clone(),
                planned: Vec::new(),
                withheld: FieldSet::new(),
                judged: Judged::default(),
                wish: None,
                settles: Vec::new(),
                operations: (first.saturating_add(count), 1),
            });
        }
        let operations = self.operations.iter_mut().skip(first).take(count);
        match outcome {
            TaskOutcome::Done(done) => {
                operations.for_each(|operation| operation.state = OperationState::Done);
                self.counts.count(&done.written);
                self.counts.conflicts = self.counts.conflicts.saturating_add(done.conflicts);
                self.findings.extend(done.findings);
                let now = self.outside.now();
                if let Some(begun) = &mut self.begun {
                    let state = &mut begun.state;
                    state.links = state.links.saturating_add_signed(done.links);
                    state.detached = state.detached.saturating_add_signed(done.detached);
                    // What a person asks for is no accident.
                    for destruction in done.destructions.iter().filter(|_| task.wish.is_none()) {
                        state.guard.count(*destruction, now);
                    }
                    for source in &task.settles {
                        begun.pending.remove(source);
                    }
                }
                if done.leaves_rest {
                    self.put_task_off(task, "changed-meanwhile", None);
                }
            }
            TaskOutcome::PutOff { reason, problem } => {
                let told = problem.clone().unwrap_or_else(|| Problem {
                    message: format!("put off: {reason}"),
                    remedy: None,
                });
                operations
                    .for_each(|operation| operation.state = OperationState::PutOff(told.clone()));
                self.put_task_off(task, reason, problem.as_ref());
            }
            TaskOutcome::NotDone(_) => {}
        }
    }

    fn put_task_off(&mut self, task: &Task, reason: &'static str, problem: Option<&Problem>) {
        let name = task.pair.unpack().map(|pair| pair.name());
        for source in task.pair.unpack().iter().flat_map(sources) {
            let put_off = PutOff {
                reason,
                problem: problem.cloned(),
                name: name.clone(),
            };
            self.put_off.insert(source, put_off);
        }
    }

    /// Nothing is written anywhere.
    fn is_dry(&self) -> bool {
        match self.mode {
            Mode::Preview => true,
            Mode::Sync => false,
            Mode::Restore { is_dry, .. } => is_dry,
        }
    }

    fn random_key(&self) -> SearchKey {
        SearchKey::new(format!(
            "{:016x}{:016x}",
            self.outside.random(),
            self.outside.random()
        ))
    }

    fn progress(&self) -> Progress {
        let (phase, done, total) = match &self.stage {
            Stage::Begin | Stage::Settle(_) | Stage::ReadCrm(_) | Stage::ReadTrash(_) => {
                (Phase::ReadCrm, self.counts.crm.read, None)
            }
            Stage::ReadMailbox(_) => (Phase::ReadMailbox, self.counts.mailbox.read, None),
            Stage::FindMissing(_)
            | Stage::Confirm
            | Stage::Match
            | Stage::Fetch
            | Stage::Plan
            | Stage::Search(_)
            | Stage::Look
            | Stage::LookInTrash(_)
            | Stage::PlanRestore => (Phase::Plan, 0, None),
            Stage::Execute => {
                let left = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
                let done = self.tasks_total.saturating_sub(left);
                (Phase::Execute, done, Some(self.tasks_total))
            }
            Stage::Remember | Stage::Done(_) => (Phase::Remember, 0, None),
        };
        Progress { phase, done, total }
    }

    fn finish(&mut self, outcome: Outcome) {
        self.findings
            .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        self.counts.usage = self.https.iter().map(Http::usage).collect();
        self.counts.store_reads = self.memory.reads();
        self.counts.store_commits = self.memory.commits();
        let elapsed = self.outside.now().since_ms(self.opened);
        self.counts.elapsed_ms = u64::try_from(elapsed).unwrap_or(0);
        let more = matches!(outcome, Outcome::Stopped(_))
            || self
                .put_off
                .values()
                .any(|put_off| remember::is_for_next_pass(put_off.reason));
        let report = Report {
            outcome,
            counts: self.counts.clone(),
            more,
        };
        self.stage = Stage::Done(Box::new(report));
    }
}

/// The contacts that a task is about, as pending rows name them: a pair by its CRM contact.
fn sources(pair: &Pair) -> Vec<Source> {
    match (&pair.link, &pair.crm, &pair.mailbox) {
        // Under its new id a mailbox contact is news only once.
        (Some(link), _, Half::Present(mailbox)) if mailbox.id != link.mailbox_id => vec![
            Source::Crm(link.crm_id.clone()),
            Source::Mailbox(mailbox.id.clone()),
        ],
        (Some(link), _, _) => vec![Source::Crm(link.crm_id.clone())],
        (None, Half::Present(crm), Half::Present(mailbox)) => {
            vec![
                Source::Crm(crm.id.clone()),
                Source::Mailbox(mailbox.id.clone()),
            ]
        }
        (None, Half::Present(crm), _) => vec![Source::Crm(crm.id.clone())],
        (None, _, Half::Present(mailbox)) => vec![Source::Mailbox(mailbox.id.clone())],
        _ => Vec::new(),
    }
}

/// What is known by a settled intent about the mailbox half of a pair.
fn mailbox_answer(begun: &Begun, pair: &Pair) -> Vec<Source> {
    let id = pair.mailbox_id();
    let id = id.filter(|id| begun.answers.contains_key(id));
    id.map(Source::Mailbox).into_iter().collect()
}

fn rules<'a>(job: &'a Job, mailbox: &impl Mailbox, fields: &'a FieldSet) -> Rules<'a> {
    Rules {
        fields,
        shape: mailbox.shape(),
        region: &job.tenant.region,
        policy: &job.policy,
        times: None,
    }
}

fn marker(job: &Job) -> &Marker {
    let CrmAccess::Flowfact(FlowfactAccess { marker, .. }) = &job.crm;
    marker
}

fn not_begun() -> Failure {
    Failure::Internal(Problem {
        message: "a pass was advanced beyond its beginning without one".to_owned(),
        remedy: Some("report this: it is a bug of the plugin".to_owned()),
    })
}

impl Counts {
    /// Counts what one task wrote: each contact once per column.
    fn count(&mut self, written: &[(Side, Action)]) {
        for (side, counts) in [
            (Side::Crm, &mut self.crm),
            (Side::Mailbox, &mut self.mailbox),
        ] {
            let did = |actions: &[Action]| {
                u32::from(
                    written
                        .iter()
                        .any(|(at, action)| *at == side && actions.contains(action)),
                )
            };
            let created = did(&[Action::Create, Action::Restore]);
            let updated = did(&[Action::Update, Action::Mark, Action::Unmark]);
            counts.created = counts.created.saturating_add(created);
            counts.updated = counts
                .updated
                .saturating_add(updated.saturating_sub(created));
            counts.deleted = counts.deleted.saturating_add(did(&[Action::Delete]));
        }
    }
}
