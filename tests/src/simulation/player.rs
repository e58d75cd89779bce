//! Plays a history: people act, passes run, faults strike, all in virtual time.

use std::cell::RefCell;
use std::rc::Rc;

use contact_sync_guest::approval;
use contact_sync_guest::job::{Endpoint, Job, Matching, NativeSync, Policy};
use contact_sync_guest::outside::Outside;
use contact_sync_guest::pass::{self, Mode, Step};
use contact_sync_guest::plan::approval::Verdict as ApprovalVerdict;
use contact_sync_guest::report::Outcome;
use contact_sync_guest::setup;

use super::history::{
    Answering, Event, History, Oddity, Pass, ServerTrouble, Trouble, first_word, service,
};
use super::oracle::{self, Violation};
use super::people::{People, address};
use super::sabotage::{Sabotage, Sabotaged};
use crate::simulator::ews::quirks::SearchKey;
use crate::simulator::flowfact::quirks::{Reach, TrashOrder};
use crate::simulator::{
    Dialect, EwsQuirks, FaultRates, FlowfactQuirks, GraphQuirks, MarkerKind, Record as Logged,
    RequestKind, StoreFault, World,
};

/// Long enough that indices and settling times play no part any more.
const PAUSE_MS: i64 = 660_000;

/// Long enough that the next pass reads both sides wholly.
const DAY_MS: i64 = 25 * 3_600_000;

/// Within so many rounds everything comes to rest.
const ROUNDS_MAX: usize = 18;

/// Steps of one pass: far more than any needs.
const ADVANCES_MAX: usize = 20_000;

/// How often something happened, by name.
pub type Census = std::collections::BTreeMap<String, u64>;

/// What came of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What the contract forbids, and happened.
    pub violations: Vec<Violation>,
    /// Of all requests and their answers: equal for equal worlds.
    pub digest: u64,
    /// Passes that were begun.
    pub passes: usize,
    /// Requests that were answered.
    pub requests: usize,
    /// How often what was done and what went wrong, by name.
    pub census: Census,
    /// Values that were written between a read and a write of a pass, and so lost (contract,
    /// section 7.5).
    pub in_window: usize,
}

/// How a pass ended.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    Done(Box<Outcome>),
    Crashed,
}

/// Plays a history to its end, or until something is wrong.
pub fn play(history: &History, sabotage: Option<Sabotage>) -> Verdict {
    play_to_end(history, sabotage).end()
}

/// The requests of a history and their answers, one a line.
pub fn requests(history: &History) -> Vec<String> {
    let player = play_to_end(history, None);
    player.world.services(|services, _| {
        let records = services.log.records().iter();
        records.map(oracle::told).collect()
    })
}

fn play_to_end(history: &History, sabotage: Option<Sabotage>) -> Player<'_> {
    let mut player = Player::new(history, sabotage);
    player.people.borrow_mut().enter_all(&player.world, history);
    // Whoever an index does not show yet cannot be recognised.
    player.world.advance_ms(PAUSE_MS);
    let events = history.events.iter();
    let last = (history.events.last() != Some(&Event::Rest)).then_some(&Event::Rest);
    for event in events.chain(last) {
        player.event(event);
        if !player.verdict.violations.is_empty() {
            break;
        }
    }
    player
}

pub(super) struct Player<'a> {
    pub(super) history: &'a History,
    shared: Rc<History>,
    pub(super) world: Rc<World>,
    outside: Rc<dyn Outside>,
    pub(super) people: Rc<RefCell<People>>,
    pub(super) verdict: Verdict,
    /// What was stored before the last pass.
    stored_before: std::collections::BTreeMap<String, Vec<u8>>,
    /// How much of the log has been checked.
    pub(super) log_checked: usize,
    /// Nothing of what is remembered was lost since the last rest.
    pub(super) is_memory_whole: bool,
    /// How everything stood at the last rest.
    pub(super) snapshot: Option<oracle::Snapshot>,
    /// Fields that are not in the schema at the moment, and the schema with them.
    pub(super) lost_lines: std::collections::BTreeSet<super::values::Line>,
    /// Fields that were not in the schema at some time: what was written meanwhile took no part.
    pub(super) were_lost: std::collections::BTreeSet<super::values::Line>,
    schema: Option<crate::simulator::flowfact::schema::Schema>,
    answers_at_rest: u32,
    /// What the engine deleted, and was right to.
    pub(super) deleted_rightly: std::collections::BTreeSet<super::people::Record>,
}

impl<'a> Player<'a> {
    fn new(history: &'a History, sabotage: Option<Sabotage>) -> Self {
        let world = build(history);
        world.services(|services, _| services.log.record(true));
        let outside: Rc<dyn Outside> = match sabotage {
            None => Rc::clone(&world) as Rc<dyn Outside>,
            Some(sabotage) => Rc::new(Sabotaged::new(Rc::clone(&world), sabotage)),
        };
        Self {
            history,
            shared: Rc::new(history.clone()),
            people: Rc::new(RefCell::new(People::new(history))),
            world,
            outside,
            verdict: Verdict::default(),
            stored_before: std::collections::BTreeMap::new(),
            log_checked: 0,
            is_memory_whole: true,
            snapshot: None,
            lost_lines: std::collections::BTreeSet::new(),
            were_lost: std::collections::BTreeSet::new(),
            schema: None,
            answers_at_rest: 0,
            deleted_rightly: std::collections::BTreeSet::new(),
        }
    }

    fn end(mut self) -> Verdict {
        self.take_census();
        self.verdict.digest = self.world.services(|services, _| {
            let mut digest = Digest::new();
            for record in services.log.records() {
                digest.add(record);
            }
            self.verdict.requests = services.log.records().len();
            digest.0
        });
        self.verdict
    }

    fn take_census(&mut self) {
        let setting = &self.history.setting;
        let mut census = std::mem::take(&mut self.people.borrow_mut().census);
        let mut count = |name: String, times: u64| *census.entry(name).or_default() += times;
        count(format!("{} mailboxes", setting.mailboxes.len()), 1);
        let is_there = |dialect| setting.mailboxes.contains(&dialect);
        if is_there(Dialect::Graph) && is_there(Dialect::Ews) {
            count("mailboxes of both services".to_owned(), 1);
        }
        count(format!("marker: {:?}", setting.marker), 1);
        count(format!("answering: {:?}", setting.answering), 1);
        for oddity in &setting.oddities {
            count(format!("oddity: {}", first_word(oddity)), 1);
        }
        self.world.services(|services, _| {
            for ((service, name), times) in services.faults.struck_by_name() {
                count(format!("{service}, fault: {name}"), *times);
            }
            for record in services.log.records() {
                if matches!(record.status, 403 | 404 | 410 | 412) {
                    let service = answering(record.kind);
                    count(format!("{service} answers {}", record.status), 1);
                }
            }
        });
        for (name, times) in census {
            *self.verdict.census.entry(name).or_default() += times;
        }
    }

    fn count_in(&mut self, mailbox: usize, what: &str) {
        let service = service(self.history.setting.dialect(mailbox));
        self.count(format!("{service}, {what}"));
    }

    fn count(&mut self, name: impl Into<String>) {
        *self.verdict.census.entry(name.into()).or_default() += 1;
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Act(act) => {
                self.people
                    .borrow_mut()
                    .act(&self.world, self.history, act, false);
            }
            Event::Pass(pass) => self.pass(pass),
            Event::Wait(ms) => self.world.advance_ms(*ms),
            Event::ClockJump(ms) => {
                let way = if *ms < 0 { "back" } else { "forward" };
                self.count(format!("clock jumps {way}"));
                self.world.shift_host_clock_ms(*ms);
            }
            Event::Trouble(trouble) => {
                let name = format!("trouble: {}", first_word(trouble));
                match trouble {
                    Trouble::DeltaExpires(mailbox) | Trouble::Suspend(mailbox) => {
                        self.count_in(*mailbox, &name);
                    }
                    _ => self.count(name),
                }
                self.trouble(*trouble);
            }
            Event::Answer(mailbox, is_yes) => {
                let verdict = if *is_yes {
                    ApprovalVerdict::Approve
                } else {
                    ApprovalVerdict::Reject
                };
                self.answer(*mailbox, verdict);
            }
            Event::Rest => self.rest(),
        }
    }

    /// Somebody answers what the guard asks about a mailbox. Whether it asks anything.
    fn answer(&mut self, mailbox: usize, verdict: ApprovalVerdict) -> bool {
        let job = self.job(mailbox);
        let asked = approval::request(&job, &self.outside, None, usize::MAX);
        let page = match asked {
            Ok(Some(page)) => page,
            Ok(None) => return false,
            Err(failure) => {
                self.violation("request", format!("{failure:?}"));
                return false;
            }
        };
        let said = approval::answer(&job, &self.outside, &page.request.token, verdict);
        if let Err(failure) = said {
            self.violation("answer", format!("{failure:?}"));
        }
        let entries = page.entries.into_iter().map(|(_, entry)| entry);
        self.count(format!("answer: {verdict:?}"));
        let mut people = self.people.borrow_mut();
        people.said(&self.world, mailbox, verdict, entries);
        true
    }

    fn trouble(&mut self, trouble: Trouble) {
        let world = &self.world;
        match trouble {
            Trouble::DeltaExpires(mailbox) => {
                let address = address(world, mailbox);
                world.services(|services, _| services.graph.expire_delta_tokens(address));
            }
            Trouble::StoreLost | Trouble::StoreOlder => {
                // Whoever an index does not show yet cannot be recognised.
                world.advance_ms(PAUSE_MS);
                self.people.borrow_mut().lose_memory(world);
                let rows = match trouble {
                    Trouble::StoreLost => std::collections::BTreeMap::new(),
                    _ => self.stored_before.clone(),
                };
                if trouble == Trouble::StoreOlder {
                    self.people.borrow_mut().forgive_all();
                }
                self.is_memory_whole = false;
                world.set_stored(rows);
            }
            Trouble::FieldLost(line) => {
                let lost = world.services(|services, _| {
                    let known = services.flowfact.schema.clone();
                    services.flowfact.schema.remove(line.crm());
                    known
                });
                self.schema.get_or_insert(lost);
                self.lost_lines.insert(line);
                self.were_lost.insert(line);
            }
            Trouble::FieldsBack => {
                if let Some(schema) = self.schema.take() {
                    world.services(|services, _| services.flowfact.schema = schema);
                }
                self.lost_lines.clear();
            }
            Trouble::EntryVanishes(who, mailbox) => {
                if self.history.setting.marker == MarkerKind::SyncEntry {
                    self.people.borrow_mut().lose_entry(world, who, mailbox);
                }
            }
            Trouble::EntriesOutOfReach(reach) => {
                if self.history.setting.marker == MarkerKind::SyncEntry {
                    world.services(|services, _| services.flowfact.quirks.sync_entries = reach);
                    if reach == Reach::Empty {
                        self.people.borrow_mut().lose_all_entries(world);
                    }
                }
            }
            Trouble::Suspend(mailbox) => {
                let suspended = setup::suspend(&self.job(mailbox), &self.outside);
                if let Err(failure) = suspended {
                    self.violation("suspend", format!("{failure:?}"));
                }
            }
        }
    }

    // ---- passes -------------------------------------------------------------------------------

    pub(super) fn job(&self, mailbox: usize) -> Job {
        let setting = &self.history.setting;
        let mut job = self.world.job(address(&self.world, mailbox));
        job.policy = Policy {
            conflict: setting.conflict,
            delete_edit: setting.delete_edit,
            on_crm_delete: setting.on_crm_delete,
            on_mailbox_delete: setting.on_mailbox_delete,
            on_unmark: setting.on_unmark,
            matching: Matching::EmailOrPhone,
            native_sync: NativeSync::Off,
            ..job.policy
        };
        job.policy.guard.contacts_max = 1_000;
        if let Endpoint::Ews(access) = &mut job.mailbox.endpoint {
            let refuses = Oddity::SearchKeys(SearchKey::Refused);
            access.ask_search_key = !setting.oddities.contains(&refuses);
        }
        job
    }

    fn pass(&mut self, order: &Pass) {
        self.stored_before = self.world.stored();
        if let Some(seed) = order.faults {
            self.world.services(|services, _| {
                services.faults.seed(seed, FaultRates::bad_day());
            });
        }
        if let Some((calls, fault)) = order.store {
            self.world.fail_store(calls, fault);
        }
        if let Some(trouble) = order.server {
            self.count(format!("server: {}", trouble.name()));
            self.world
                .services(|services, _| trouble_server(&mut services.ews.quirks, trouble));
        }
        if let Some(steps) = order.crash {
            self.world.crash_after(steps);
        }
        let mut meanwhile = order.meanwhile.clone();
        meanwhile.sort_by_key(|(steps, _)| *steps);
        for (steps, act) in meanwhile {
            let people = Rc::clone(&self.people);
            let history = Rc::clone(&self.shared);
            self.world.interrupt_after(steps, move |world| {
                people.borrow_mut().act(world, &history, &act, true);
            });
        }
        if let Some((_, fault)) = order.store {
            self.count(format!("store: {fault:?}"));
        }
        if let Ended::Crashed = self.run(order.mailbox) {
            self.count_in(order.mailbox, "crash");
        }
        self.world.end_interruptions();
        self.world.fail_store(0, StoreFault::LeaseRegained);
        self.world.services(|services, _| {
            services.faults.clear();
            let quirks = &mut services.ews.quirks;
            quirks.busy = None;
            quirks.batch_stops_after = None;
            quirks.store_unavailable = false;
        });
    }

    /// One pass to its end.
    pub(super) fn run(&mut self, mailbox: usize) -> Ended {
        self.verdict.passes += 1;
        let job = self.job(mailbox);
        let links = oracle::links(&self.world);
        let world = Rc::clone(&self.world);
        let outside = Rc::clone(&self.outside);
        let ended = self.world.run(move || advance(&world, outside, job));
        let ended = match ended {
            Ok(Ok(outcome)) => Ended::Done(Box::new(outcome)),
            Ok(Err(why)) => {
                self.violation("endless", why);
                Ended::Crashed
            }
            Err(crate::simulator::Crashed) => Ended::Crashed,
        };
        self.people.borrow_mut().meet(&self.world);
        oracle::check_pass(self, mailbox, &links);
        ended
    }

    // ---- rest ---------------------------------------------------------------------------------

    /// Faults are over. Passes run until nothing is written any more, by the feeds and by a full
    /// read; then all that the contract promises is checked.
    fn rest(&mut self) {
        let mut silent_rounds = 0;
        self.world
            .services(|services, _| services.flowfact.quirks.sync_entries = Reach::Open);
        for round in 0..ROUNDS_MAX {
            let wait_ms = if round % 3 == 1 { DAY_MS } else { PAUSE_MS };
            self.world.advance_ms(wait_ms);
            let mut writes = 0;
            for mailbox in 0..self.history.setting.mailboxes.len() {
                self.world.take_counters();
                match self.run(mailbox) {
                    Ended::Done(outcome) => match *outcome {
                        Outcome::Stopped(failure) => {
                            let why = format!("round {round}: {failure:?}");
                            self.violation("stopped at rest", why);
                        }
                        Outcome::NeedsApproval(_) => {
                            writes += u64::from(self.answer_at_rest(mailbox));
                        }
                        Outcome::Complete => {}
                    },
                    Ended::Crashed => {}
                }
                writes += self.world.take_counters().writes();
                self.world.advance_ms(30_000);
            }
            if !self.verdict.violations.is_empty() {
                return;
            }
            silent_rounds = if writes == 0 { silent_rounds + 1 } else { 0 };
            if silent_rounds == 3 {
                oracle::check_rest(self);
                self.people.borrow_mut().come_to_rest();
                self.is_memory_whole = true;
                self.snapshot = Some(oracle::Snapshot::new(self));
                return;
            }
        }
        let tail = self.world.services(|services, _| {
            let records = services.log.records();
            let writes = records.iter().filter(|record| record.kind.is_write());
            let writes: Vec<String> = writes.map(oracle::told).collect();
            let from = writes.len().saturating_sub(8);
            writes.get(from..).unwrap_or_default().join("\n")
        });
        self.violation("never at rest", tail);
    }

    /// Whether there is somebody who answers.
    fn answer_at_rest(&mut self, mailbox: usize) -> bool {
        self.answers_at_rest += 1;
        let verdict = match self.history.setting.answering {
            Answering::Never => return false,
            Answering::InTurn if self.answers_at_rest.is_multiple_of(2) => ApprovalVerdict::Approve,
            Answering::Approve => ApprovalVerdict::Approve,
            Answering::Reject | Answering::InTurn => ApprovalVerdict::Reject,
        };
        self.answer(mailbox, verdict)
    }

    pub(super) fn violation(&mut self, rule: &'static str, what: String) {
        self.verdict.violations.push(Violation { rule, what });
    }
}

fn advance(world: &World, outside: Rc<dyn Outside>, job: Job) -> Result<Outcome, String> {
    let mut pass = match pass::open(job, Mode::Sync, outside) {
        Ok(pass) => pass,
        Err(failure) => return Ok(Outcome::Stopped(failure)),
    };
    for _ in 0..ADVANCES_MAX {
        match pass.advance() {
            Step::Working(_) => {}
            Step::Waiting(ms, _) => world.advance_ms(i64::from(ms)),
            Step::Done(report) => return Ok(report.outcome.clone()),
        }
    }
    Err(format!("{:?}", pass.findings()))
}

fn build(history: &History) -> Rc<World> {
    let setting = &history.setting;
    let mut builder = World::builder().seed(history.seed).marker(setting.marker);
    for (name, dialect) in ["anna", "bernd", "clara"].iter().zip(&setting.mailboxes) {
        let address = format!("{name}@makler.example");
        builder = match dialect {
            Dialect::Graph => builder.mailbox(&address),
            Dialect::Ews => builder.exchange_server(&address),
        };
    }
    for oddity in &setting.oddities {
        let oddity = *oddity;
        builder = builder
            .flowfact(|quirks| in_flowfact(quirks, oddity))
            .graph(|quirks| in_graph(quirks, oddity))
            .ews(|quirks| in_ews(quirks, oddity));
    }
    let world = builder.build();
    world.shuffle_in_flight(setting.oddities.contains(&Oddity::Shuffled));
    world
}

fn in_flowfact(quirks: &mut FlowfactQuirks, oddity: Oddity) {
    match oddity {
        Oddity::IndexLag(ms) => quirks.index_lag_ms = ms,
        Oddity::Recalculation(ms) => quirks.recalculation_ms = Some(ms),
        Oddity::HiddenForbidden => quirks.hidden_status = 403,
        Oddity::SilentRestore => quirks.restore_modifies = false,
        Oddity::TrashNewestLast => quirks.trash_order = TrashOrder::NewestLast,
        Oddity::TrashUnordered => quirks.trash_order = TrashOrder::None,
        Oddity::ShortPages(size) => quirks.page_size_max = size,
        Oddity::NoTimeFilter => quirks.metadata_filter = false,
        Oddity::CutTexts(length) => {
            for field in ["title", "department", "position"] {
                quirks.text_length_max.insert(field.to_owned(), length);
            }
        }
        Oddity::EntriesListable => quirks.sync_entries_listable = true,
        _ => {}
    }
}

fn in_graph(quirks: &mut GraphQuirks, oddity: Oddity) {
    match oddity {
        Oddity::ShortPages(size) => quirks.page_size_max = size,
        Oddity::DeltaDelay(ms) => quirks.delta_delay_ms = ms,
        Oddity::DeltaReplay(entries) => quirks.entries_replayed = entries,
        Oddity::DeltaRepeats => quirks.entries_repeated = true,
        Oddity::DeltaReordered => quirks.entries_reordered = true,
        Oddity::MovesUnseen => quirks.moved_contact_unseen = true,
        Oddity::LastDeletionUnseen => quirks.last_deletion_unseen = true,
        Oddity::SpontaneousConflicts(every) => quirks.spontaneous_conflict_every = Some(every),
        Oddity::ShortMemory => quirks.generations_kept = Some(1),
        Oddity::NamesRewritten => {
            quirks.display_name = crate::simulator::graph::quirks::DisplayNameRule::FollowsAll;
        }
        _ => {}
    }
}

fn in_ews(quirks: &mut EwsQuirks, oddity: Oddity) {
    match oddity {
        Oddity::ShortPages(size) => quirks.changes_max = size,
        Oddity::KeysMove(every) => quirks.change_key_moves_every = Some(every),
        Oddity::PhantomItem => quirks.phantom_item = true,
        Oddity::SearchKeys(search_key) => quirks.search_key = search_key,
        Oddity::Prefixes(prefixes) => quirks.prefixes = prefixes,
        Oddity::ByteOrderMark => quirks.byte_order_mark = true,
        Oddity::Illegal(characters) => quirks.illegal_characters = characters,
        Oddity::Birthdays(birthday) => quirks.birthday = birthday,
        Oddity::WholeProperties => quirks.whole_properties = true,
        Oddity::EmailNameLeft => quirks.email_name_left_behind = true,
        _ => {}
    }
}

fn trouble_server(quirks: &mut EwsQuirks, trouble: ServerTrouble) {
    match trouble {
        ServerTrouble::Busy(busy) => quirks.busy = Some(busy),
        ServerTrouble::BatchStops(after) => quirks.batch_stops_after = Some(after),
        ServerTrouble::StoreAway => quirks.store_unavailable = true,
    }
}

/// What the service that a request went to is called where answers are counted.
fn answering(kind: RequestKind) -> &'static str {
    match format!("{kind:?}") {
        kind if kind.starts_with("Flowfact") => "FLOWFACT",
        kind if kind.starts_with("Graph") => "Office 365",
        _ => "Exchange Server",
    }
}

/// FNV-1a: the same on every machine and with every version of the standard library.
struct Digest(u64);

impl Digest {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, record: &Logged) {
        self.bytes(&record.at.0.to_le_bytes());
        self.bytes(record.method.as_str().as_bytes());
        self.bytes(record.target.as_bytes());
        self.bytes(&record.body);
        self.bytes(&record.status.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
