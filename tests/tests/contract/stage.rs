//! A scenario as data: who stands where before, what people do, and what a pass must make of it.
//!
//! [`Scenario::check`] plays a scenario in all [`Variant`]s: with each shape of the marker, and by
//! a full read in place of the feeds. After the last turn it checks by itself what must always
//! hold: further passes write nothing, notes are untouched, and no store row is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use contact_sync_guest::job::{Endpoint, GraphAccess, GraphUser, Job, Policy};
use contact_sync_guest::links::{Link, Standing};
use contact_sync_guest::outside::{Method, Outside};
use contact_sync_guest::pass::{self, Mode, Step};
use contact_sync_guest::report::{Finding, Operation, OperationState, Outcome, Report};
use contact_sync_tests::simulator::world::ORIGIN;
use contact_sync_tests::simulator::{
    Availability, Counters, Dialect, MarkerKind, Matcher, Place, RequestKind, Simulator, World,
    WorldBuilder,
};
use serde_json::{Map, Value, json};

use crate::DIALECT;

pub(crate) const ANNA: &str = "anna@makler.example";
pub(crate) const BERND: &str = "bernd@makler.example";

/// Long enough that clocks, indices and settling times play no part any more.
pub(crate) const PAUSE_MS: i64 = 660_000;
pub(crate) const DAY_MS: i64 = 25 * 3_600_000;

/// A world's mailbox, on a server that speaks this suite's dialect.
pub(crate) fn with_mailbox(builder: WorldBuilder, address: &str) -> WorldBuilder {
    match DIALECT {
        Dialect::Graph => builder.mailbox(address),
        Dialect::Ews => builder.exchange_server(address),
    }
}

/// What a request asks of a mailbox's server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    Anything,
    Changes,
    Reads,
    Creates,
    Updates,
}

/// The requests that ask a mailbox for this. Over Graph single contacts travel in batches, in the
/// order of the pass: this number of batches before those that are meant are left alone.
pub(crate) fn asking(what: Asking, batches_before: u32) -> (Matcher, u32) {
    let operation = match (DIALECT, what) {
        (Dialect::Graph, Asking::Anything) => return (Matcher::url("/graph/"), batches_before),
        (Dialect::Graph, Asking::Changes) => return (Matcher::url("/delta"), batches_before),
        // A batch says so itself, however many others come before it.
        (Dialect::Graph, Asking::Creates) => return (Matcher::saying("\"method\":\"POST\""), 0),
        (Dialect::Graph, _) => return (Matcher::of(Method::Post, "/graph/"), batches_before),
        (Dialect::Ews, Asking::Anything) => return (Matcher::url("/EWS/"), batches_before),
        (Dialect::Ews, Asking::Changes) => "m:SyncFolderItems",
        (Dialect::Ews, Asking::Reads) => "m:GetItem",
        (Dialect::Ews, Asking::Creates) => "m:CreateItem",
        (Dialect::Ews, Asking::Updates) => "m:UpdateItem",
    };
    (Matcher::saying(operation), 0)
}

/// How this suite's server says that a mailbox cannot be used.
type SwitchedOff = (&'static str, fn(&mut Simulator));

/// A mailbox that cannot be used, in each way that its server has of saying so. Licences and
/// protocols for REST are Office 365's; a database that is away, and the right to act for somebody,
/// are an Exchange Server's.
pub(crate) const OFF: &[SwitchedOff] = match DIALECT {
    Dialect::Graph => &[
        ("not enabled", |services| {
            let availability = Availability::NotEnabledForRestApi;
            services.graph.set_availability(ANNA, availability);
        }),
        ("protocol disabled", |services| {
            let availability = Availability::ODataDisabled;
            services.graph.set_availability(ANNA, availability);
        }),
        ("no user", |services| {
            let availability = Availability::UserMissing;
            services.graph.set_availability(ANNA, availability);
        }),
    ],
    Dialect::Ews => &[
        ("no mailbox", |services| {
            let availability = Availability::UserMissing;
            services.graph.set_availability(ANNA, availability);
        }),
        ("no database", |services| {
            services.ews.quirks.store_unavailable = true;
        }),
        ("not allowed", |services| {
            services.ews.quirks.impersonation_denied = true;
        }),
    ],
};

/// How a scenario is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// The marker in a field of type `EMAIL_ACCOUNT`; changes by the feeds.
    AccountField,
    /// The marker among the `tags`.
    Tag,
    /// The marker as a sync entry beside the contact. Requests are others; all else is the same.
    SyncEntry,
    /// As the first, but every pass under test is a full read.
    FullRead,
}

impl Variant {
    /// Whether `If-Match` alone guards a write. By default it does not: each version is read
    /// before. That adds reads and no writes, so half of the variants are played so.
    fn trusts_if_match(self) -> bool {
        matches!(self, Self::AccountField | Self::SyncEntry)
    }

    /// All in which a pass reads the feeds: it learns of less than by a full read.
    pub(crate) const FEEDS: [Self; 3] = [Self::AccountField, Self::Tag, Self::SyncEntry];

    const ALL: [Self; 4] = [
        Self::AccountField,
        Self::Tag,
        Self::SyncEntry,
        Self::FullRead,
    ];
}

/// Who stands where before the first pass, what people do then, and what passes make of it.
pub(crate) struct Scenario {
    world: Box<dyn Fn(WorldBuilder) -> WorldBuilder>,
    mailboxes: &'static [&'static str],
    variants: Vec<Variant>,
    policy: fn(&mut Policy),
    ballast: usize,
    before: Vec<Person>,
    turns: Vec<Turn>,
}

/// A contact on one side.
#[derive(Clone)]
pub(crate) enum Person {
    Crm(&'static str, &'static [&'static str], Value),
    Mailbox(&'static str, &'static str, Value),
}

/// A contact in the CRM, marked for these mailboxes.
pub(crate) fn crm(name: &'static str, marks: &'static [&'static str], fields: Value) -> Person {
    Person::Crm(name, marks, fields)
}

/// A contact in a mailbox.
pub(crate) fn outlook(mailbox: &'static str, name: &'static str, properties: Value) -> Person {
    Person::Mailbox(name, mailbox, properties)
}

/// What people do.
pub(crate) enum Edit {
    Crm(&'static str, Value),
    CrmNew(&'static str, &'static [&'static str], Value),
    CrmDelete(&'static str),
    CrmRestore(&'static str),
    CrmPurge(&'static str),
    Mark(&'static str, &'static str),
    Unmark(&'static str, &'static str),
    Outlook(&'static str, &'static str, Value),
    OutlookNew(&'static str, &'static str, Value),
    OutlookDelete(&'static str, &'static str),
    OutlookPurge(&'static str, &'static str),
    OutlookMove(&'static str, &'static str),
    OutlookMoveBack(&'static str, &'static str),
    /// A copy under a name of its own.
    OutlookCopy(&'static str, &'static str, &'static str),
    /// Deleted for good and entered again.
    OutlookRecreate(&'static str, &'static str),
    Wait(i64),
    /// Whatever else happens to the services.
    Services(fn(&mut Simulator)),
    /// Whatever else happens.
    Do(Box<dyn Fn(&Stage)>),
}

/// Edits, one pass, and what is expected of it.
pub(crate) struct Turn {
    edits: Vec<Edit>,
    mailbox: &'static str,
    expect: Expect,
}

/// What a pass must do and leave behind.
#[derive(Default)]
pub(crate) struct Expect {
    /// `side action name: reason`, and ` [held-back]` or ` [put-off]` where it is not done.
    pub(crate) operations: &'static [&'static str],
    /// Requests that write, by kind: these and no others.
    pub(crate) writes: &'static [(RequestKind, u64)],
    /// Codes.
    pub(crate) findings: &'static [&'static str],
    pub(crate) ending: Ending,
    pub(crate) state: Vec<State>,
}

/// How a pass ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    #[default]
    Complete,
    NeedsApproval(&'static str),
    Stopped(&'static str),
}

/// Something that must hold after a pass.
pub(crate) enum State {
    /// These fields, and of the others nothing is said.
    Crm(&'static str, Value),
    CrmTrashed(&'static str),
    /// Neither there nor in the trash.
    CrmNowhere(&'static str),
    Markers(&'static str, &'static [&'static str]),
    Outlook(&'static str, &'static str, Value),
    Place(&'static str, &'static str, Place),
    /// How many contacts there are, without the ballast.
    CrmCount(usize),
    OutlookCount(&'static str, usize),
    /// How the pair stands in this mailbox; `None`: not remembered.
    Standing(&'static str, &'static str, Option<Stands>),
    /// Reasons of what is pending in this mailbox.
    Pending(&'static str, &'static [&'static str]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    Linked,
    Detached,
    Tombstone,
}

impl Scenario {
    pub(crate) fn new() -> Self {
        Self {
            world: Box::new(|builder| builder),
            mailboxes: &[ANNA],
            variants: Variant::ALL.to_vec(),
            policy: |_| {},
            ballast: 4,
            before: Vec::new(),
            turns: Vec::new(),
        }
    }

    pub(crate) fn world(mut self, with: impl Fn(WorldBuilder) -> WorldBuilder + 'static) -> Self {
        self.world = Box::new(with);
        self
    }

    pub(crate) fn mailboxes(mut self, mailboxes: &'static [&'static str]) -> Self {
        self.mailboxes = mailboxes;
        self
    }

    pub(crate) fn only(mut self, variants: &[Variant]) -> Self {
        self.variants = variants.to_vec();
        self
    }

    pub(crate) fn policy(mut self, policy: fn(&mut Policy)) -> Self {
        self.policy = policy;
        self
    }

    /// How many other contacts each mailbox is linked with: a guard that stops at half of few
    /// contacts would stop at every deletion of a smaller one.
    pub(crate) fn ballast(mut self, ballast: usize) -> Self {
        self.ballast = ballast;
        self
    }

    pub(crate) fn before(mut self, before: impl IntoIterator<Item = Person>) -> Self {
        self.before.extend(before);
        self
    }

    pub(crate) fn then(
        mut self,
        edits: impl IntoIterator<Item = Edit>,
        mailbox: &'static str,
        expect: Expect,
    ) -> Self {
        self.turns.push(Turn {
            edits: edits.into_iter().collect(),
            mailbox,
            expect,
        });
        self
    }

    pub(crate) fn check(self) {
        for variant in &self.variants {
            // How the CRM keeps its markers is no matter of the mailbox's server.
            let is_played_elsewhere = matches!(variant, Variant::Tag | Variant::SyncEntry);
            if DIALECT == Dialect::Ews && is_played_elsewhere {
                continue;
            }
            let mut stage = self.stage(*variant);
            for (number, turn) in self.turns.iter().enumerate() {
                let place = format!("{variant:?}, turn {}", number + 1);
                stage.play(&place, turn);
            }
            stage.check_quiet(&format!("{variant:?}"));
        }
    }

    /// Everybody in place, and everything in step.
    pub(crate) fn stage(&self, variant: Variant) -> Stage {
        let kind = match variant {
            Variant::AccountField | Variant::FullRead => MarkerKind::AccountField,
            Variant::Tag => MarkerKind::Tag,
            Variant::SyncEntry => MarkerKind::SyncEntry,
        };
        let mut builder = World::builder().marker(kind);
        for mailbox in self.mailboxes {
            builder = with_mailbox(builder, mailbox);
        }
        let mut stage = Stage::new((self.world)(builder).build(), self.policy);
        stage.variant = variant;
        for mailbox in self.mailboxes {
            for number in 0..self.ballast {
                stage.add_ballast(mailbox, number);
            }
        }
        for person in &self.before {
            stage.add(person);
        }
        if self.ballast > 0 || !self.before.is_empty() {
            stage.settle();
        }
        stage
    }
}

/// What a pass did.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) report: Report,
    pub(crate) operations: Vec<Operation>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) counters: Counters,
    /// Pauses that the pass asked for, in ms.
    pub(crate) waits: Vec<u32>,
}

impl Played {
    /// Requests of a kind that writes to a mailbox, however its server speaks.
    pub(crate) fn written(&self, kind: RequestKind) -> u64 {
        writes(&self.counters)
            .get(&kind)
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn codes(&self) -> Vec<&str> {
        let mut codes: Vec<&str> = self
            .findings
            .iter()
            .map(|finding| finding.code.as_str())
            .collect();
        codes.sort_unstable();
        codes
    }
}

/// A world, and who is who in it.
pub(crate) struct Stage {
    pub(crate) world: Rc<World>,
    policy: fn(&mut Policy),
    variant: Variant,
    crm: BTreeMap<&'static str, String>,
    mailbox: BTreeMap<(&'static str, &'static str), String>,
    ballast: usize,
    crm_notes: BTreeMap<String, Value>,
    mailbox_notes: BTreeMap<(String, String), Value>,
}

impl Stage {
    pub(crate) fn new(world: Rc<World>, policy: fn(&mut Policy)) -> Self {
        Self {
            world,
            policy,
            variant: Variant::AccountField,
            crm: BTreeMap::new(),
            mailbox: BTreeMap::new(),
            ballast: 0,
            crm_notes: BTreeMap::new(),
            mailbox_notes: BTreeMap::new(),
        }
    }

    pub(crate) fn job(&self, mailbox: &str) -> Job {
        let mut job = self.world.job(mailbox);
        if let Endpoint::Graph(graph) = &mut job.mailbox.endpoint {
            graph.trust_if_match = self.variant.trusts_if_match();
        }
        (self.policy)(&mut job.policy);
        job
    }

    pub(crate) fn outside(&self) -> Rc<dyn Outside> {
        Rc::clone(&self.world) as Rc<dyn Outside>
    }

    /// The id of this person in the CRM.
    pub(crate) fn crm_id(&self, name: &str) -> String {
        let id = self.crm.get(name);
        id.unwrap_or_else(|| panic!("{name} is not in the CRM"))
            .clone()
    }

    /// The id by which the sync knows this person in a mailbox.
    pub(crate) fn mailbox_id(&self, mailbox: &str, name: &str) -> String {
        self.known_as(mailbox, &self.handle(mailbox, name))
    }

    /// The id by which the sync knows a contact that people hold by this handle.
    pub(crate) fn known_as(&self, mailbox: &str, handle: &str) -> String {
        match self.world.mailbox_handle_of(mailbox, handle) {
            Some(handle) => self.world.mailbox_id_of(mailbox, &handle),
            None => handle.to_owned(),
        }
    }

    /// The id of this person in a mailbox that outlives moves.
    pub(crate) fn handle(&self, mailbox: &str, name: &str) -> String {
        let mut found = self.mailbox.iter();
        let found = found.find(|((at, who), _)| *at == mailbox && *who == name);
        found
            .unwrap_or_else(|| panic!("{name} is not in {mailbox}"))
            .1
            .clone()
    }

    // ---- people -------------------------------------------------------------------------------

    fn add_ballast(&mut self, mailbox: &'static str, number: usize) {
        let name = format!("Ballast {number} {}", &mailbox[..1]);
        let properties = json!({
            "givenName": "Bo", "surname": name,
            "emailAddresses": [{"address": format!("b{number}.{mailbox}"), "name": "Bo"}],
        });
        self.world.mailbox_create(mailbox, &properties);
        self.ballast += 1;
    }

    pub(crate) fn add(&mut self, person: &Person) {
        match person {
            Person::Crm(name, marks, fields) => self.add_to_crm(name, marks, fields),
            Person::Mailbox(name, mailbox, properties) => {
                self.add_to_mailbox(mailbox, name, properties);
            }
        }
    }

    fn add_to_crm(&mut self, name: &'static str, marks: &[&str], fields: &Value) {
        let note = json!([format!("\n  Notiz zu {name} 📝\n")]);
        let mut fields = fields.clone();
        if let Some(object) = fields.as_object_mut() {
            object.insert("note".to_owned(), note.clone());
        }
        let id = self.world.crm_create(&fields);
        for mailbox in marks {
            self.world.crm_mark(&id, mailbox);
        }
        self.crm_notes.insert(id.clone(), note);
        self.crm.insert(name, id);
    }

    fn add_to_mailbox(&mut self, mailbox: &'static str, name: &'static str, properties: &Value) {
        let note = json!(format!("\r\n  Notiz zu {name} 📝\r\n"));
        let mut properties = properties.clone();
        if let Some(object) = properties.as_object_mut() {
            object.insert("personalNotes".to_owned(), note.clone());
        }
        let id = self.world.mailbox_create(mailbox, &properties);
        self.mailbox_notes
            .insert((mailbox.to_owned(), id.clone()), note);
        self.mailbox.insert((mailbox, name), id);
    }

    pub(crate) fn edit(&mut self, edit: &Edit) {
        let world = Rc::clone(&self.world);
        match edit {
            Edit::Crm(name, fields) => world.crm_edit(&self.crm_id(name), fields),
            Edit::CrmNew(name, marks, fields) => self.add_to_crm(name, marks, fields),
            Edit::CrmDelete(name) => world.crm_delete(&self.crm_id(name)),
            Edit::CrmRestore(name) => world.crm_restore(&self.crm_id(name)),
            Edit::CrmPurge(name) => world.crm_purge(&self.crm_id(name)),
            Edit::Mark(name, mailbox) => world.crm_mark(&self.crm_id(name), mailbox),
            Edit::Unmark(name, mailbox) => world.crm_unmark(&self.crm_id(name), mailbox),
            Edit::Outlook(mailbox, name, properties) => {
                world.mailbox_edit(mailbox, &self.handle(mailbox, name), properties);
            }
            Edit::OutlookNew(mailbox, name, properties) => {
                self.add_to_mailbox(mailbox, name, properties);
            }
            Edit::OutlookDelete(mailbox, name) => {
                world.mailbox_delete(mailbox, &self.handle(mailbox, name));
            }
            Edit::OutlookPurge(mailbox, name) => {
                world.mailbox_purge(mailbox, &self.handle(mailbox, name));
            }
            Edit::OutlookMove(mailbox, name) => {
                world.mailbox_move(mailbox, &self.handle(mailbox, name), "Privat");
            }
            Edit::OutlookMoveBack(mailbox, name) => {
                world.mailbox_move_back(mailbox, &self.handle(mailbox, name));
            }
            Edit::OutlookCopy(mailbox, name, copy) => {
                let id = world.mailbox_copy(mailbox, &self.handle(mailbox, name));
                self.note_of_copy(mailbox, name, &id);
                self.mailbox.insert((*mailbox, *copy), id);
            }
            Edit::OutlookRecreate(mailbox, name) => {
                let id = world.mailbox_recreate(mailbox, &self.handle(mailbox, name));
                self.note_of_copy(mailbox, name, &id);
            }
            Edit::Wait(ms) => world.advance_ms(*ms),
            Edit::Services(act) => world.services(|services, _| act(services)),
            Edit::Do(act) => act(self),
        }
    }

    fn note_of_copy(&mut self, mailbox: &str, name: &str, id: &str) {
        let original = self.handle(mailbox, name);
        let note = self.mailbox_notes.get(&(mailbox.to_owned(), original));
        if let Some(note) = note.cloned() {
            self.mailbox_notes
                .insert((mailbox.to_owned(), id.to_owned()), note);
        }
    }

    // ---- passes -------------------------------------------------------------------------------

    /// Passes of all mailboxes, until nothing is written any more; then a while later.
    pub(crate) fn settle(&mut self) {
        for _ in 0..6 {
            let mut writes = 0;
            for mailbox in self.world.addresses().to_vec() {
                let played = self.pass(&mailbox);
                assert_eq!(
                    played.report.outcome,
                    Outcome::Complete,
                    "setting the stage"
                );
                writes += played.counters.writes();
                self.world.advance_ms(PAUSE_MS);
            }
            if writes == 0 {
                return;
            }
        }
        panic!("the stage does not come to rest");
    }

    /// One pass.
    pub(crate) fn pass(&mut self, mailbox: &str) -> Played {
        self.pass_in(mailbox, Mode::Sync)
    }

    pub(crate) fn pass_in(&mut self, mailbox: &str, mode: Mode) -> Played {
        let played = play(&self.world, self.job(mailbox), mode);
        self.learn();
        played
    }

    /// Learns from the links who has which id now.
    pub(crate) fn learn(&mut self) {
        for mailbox in self.world.addresses().to_vec() {
            let mailbox: &'static str = if mailbox == ANNA { ANNA } else { BERND };
            for link in self.links(mailbox) {
                if link.standing != Standing::Linked {
                    continue;
                }
                let crm_id = link.crm_id.to_string();
                let mailbox_id = link.mailbox_id.to_string();
                let handle = self.world.mailbox_handle_of(mailbox, &mailbox_id);
                let is_stale = handle.is_none();
                let mailbox_id = handle.unwrap_or(mailbox_id);
                let by_crm = self.crm.iter().find(|(_, id)| **id == crm_id);
                let by_mailbox = self
                    .mailbox
                    .iter()
                    .find(|((at, _), id)| *at == mailbox && **id == mailbox_id);
                match (by_crm.map(|(name, _)| *name), by_mailbox) {
                    // Of one that was moved, the link may still hold the id of its former place.
                    (Some(name), None)
                        if !(is_stale && self.mailbox.contains_key(&(mailbox, name))) =>
                    {
                        self.mailbox.insert((mailbox, name), mailbox_id);
                    }
                    (None, Some(((_, name), _))) => {
                        let name = *name;
                        self.crm.insert(name, crm_id);
                    }
                    _ => {}
                }
            }
        }
    }

    /// What is remembered of the pairs of a mailbox.
    pub(crate) fn links(&self, mailbox: &str) -> Vec<Link> {
        let prefix = format!("m/{}/pair/", self.job(mailbox).mailbox.id);
        self.rows(&prefix)
            .values()
            .filter_map(|row| serde_json::from_slice(row).ok())
            .collect()
    }

    pub(crate) fn rows(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let mut rows = self.world.stored();
        rows.retain(|key, _| key.starts_with(prefix));
        rows
    }

    fn play(&mut self, place: &str, turn: &Turn) {
        for edit in &turn.edits {
            self.edit(edit);
        }
        let wait_ms = match self.variant {
            Variant::FullRead => DAY_MS,
            _ => 60_000,
        };
        self.world.advance_ms(wait_ms);
        let played = self.pass(turn.mailbox);
        self.compare(place, &played, &turn.expect);
        self.world.advance_ms(PAUSE_MS);
    }

    fn compare(&self, place: &str, played: &Played, expect: &Expect) {
        let context = || format!("{place}: {played:#?}");
        assert_eq!(
            ending(&played.report.outcome),
            expect.ending,
            "{}",
            context()
        );
        let mut operations: Vec<String> = played
            .operations
            .iter()
            .map(|operation| self.told(operation))
            .collect();
        operations.sort();
        let mut expected = expect.operations.to_vec();
        expected.sort_unstable();
        assert_eq!(operations, expected, "operations, {}", context());
        if self.variant != Variant::SyncEntry {
            let writes = writes(&played.counters);
            let expected: BTreeMap<RequestKind, u64> = expect.writes.iter().copied().collect();
            assert_eq!(writes, expected, "requests that write, {}", context());
        }
        let mut codes = expect.findings.to_vec();
        codes.sort_unstable();
        assert_eq!(played.codes(), codes, "findings, {}", context());
        for state in &expect.state {
            self.check(place, state);
        }
    }

    pub(crate) fn told(&self, operation: &Operation) -> String {
        let contact = &operation.contact;
        let crm_id = contact.crm_id.as_ref().map(ToString::to_string);
        let mailbox_id = contact.mailbox_id.as_ref().map(ToString::to_string);
        let by_crm = self.crm.iter().find(|(_, id)| Some(*id) == crm_id.as_ref());
        let handle = mailbox_id.map(|id| {
            let mut handles = self.world.addresses().iter();
            let handle = handles.find_map(|mailbox| self.world.mailbox_handle_of(mailbox, &id));
            handle.unwrap_or(id)
        });
        let mut people = self.mailbox.iter();
        let by_mailbox = people.find(|(_, id)| Some(*id) == handle.as_ref());
        let name = by_crm
            .map(|(name, _)| *name)
            .or(by_mailbox.map(|((_, name), _)| *name))
            .unwrap_or("somebody");
        let state = match &operation.state {
            OperationState::Done => "",
            OperationState::Planned => " [planned]",
            OperationState::HeldBack => " [held-back]",
            OperationState::PutOff(_) => " [put-off]",
        };
        let (side, action) = (word(&operation.side), word(&operation.action));
        format!("{side} {action} {name}: {}{state}", operation.reason)
    }

    // ---- what must hold -----------------------------------------------------------------------

    pub(crate) fn check(&self, place: &str, state: &State) {
        let world = &self.world;
        match state {
            State::Crm(name, expected) => {
                let fields = world.crm_fields(&self.crm_id(name));
                let fields = fields.unwrap_or_else(|| panic!("{place}: {name} is not in the CRM"));
                assert_parts(&fields, expected, &format!("{place}: {name} in the CRM"));
            }
            State::CrmTrashed(name) => {
                let id = self.crm_id(name);
                assert!(
                    world.crm_trash().contains(&id),
                    "{place}: {name} not in the trash"
                );
            }
            State::CrmNowhere(name) => {
                let id = self.crm_id(name);
                assert!(
                    !world.crm_trash().contains(&id),
                    "{place}: {name} is in the trash"
                );
                assert!(
                    !world.crm_ids().contains(&id),
                    "{place}: {name} is in the CRM"
                );
            }
            State::Markers(name, expected) => {
                let markers = world.crm_markers(&self.crm_id(name));
                assert_eq!(markers, *expected, "{place}: markers of {name}");
            }
            State::Outlook(mailbox, name, expected) => {
                let id = self.handle(mailbox, name);
                assert_eq!(
                    world.mailbox_place(mailbox, &id),
                    Place::Contacts,
                    "{place}: {name} in {mailbox}"
                );
                let contact = world.mailbox_contact(mailbox, &id).expect("it has a place");
                assert_parts(&contact, expected, &format!("{place}: {name} in {mailbox}"));
            }
            State::Place(mailbox, name, expected) => {
                let found = world.mailbox_place(mailbox, &self.handle(mailbox, name));
                assert_eq!(found, *expected, "{place}: {name} in {mailbox}");
            }
            State::CrmCount(expected) => {
                let count = world.crm_ids().len() - self.ballast;
                assert_eq!(count, *expected, "{place}: contacts in the CRM");
            }
            State::OutlookCount(mailbox, expected) => {
                let ballast = self.ballast / world.addresses().len();
                let count = world.mailbox_ids(mailbox).len() - ballast;
                assert_eq!(count, *expected, "{place}: contacts in {mailbox}");
            }
            State::Standing(mailbox, name, expected) => {
                let id = self.crm_id(name);
                let links = self.links(mailbox);
                let link = links.iter().find(|link| link.crm_id.as_str() == id);
                let found = link.map(|link| stands(link.standing));
                assert_eq!(found, *expected, "{place}: {name} in {mailbox}");
            }
            State::Pending(mailbox, expected) => {
                assert_eq!(self.pending(mailbox), *expected, "{place}: pending");
            }
        }
    }

    /// Why something is pending, sorted.
    pub(crate) fn pending(&self, mailbox: &str) -> Vec<String> {
        let rows = self.rows(&format!("m/{}/pending/", self.job(mailbox).mailbox.id));
        let mut reasons: Vec<String> = rows
            .values()
            .map(|row| {
                let row: Value = serde_json::from_slice(row).expect("a pending row is JSON");
                row["reason"].as_str().unwrap_or_default().to_owned()
            })
            .collect();
        reasons.sort();
        reasons
    }

    /// Whatever has happened: further passes write nothing, notes are as people wrote them, and the
    /// store says of each pair the same everywhere.
    pub(crate) fn check_quiet(&mut self, place: &str) {
        for (round, wait_ms) in [PAUSE_MS, PAUSE_MS, DAY_MS, PAUSE_MS]
            .into_iter()
            .enumerate()
        {
            self.world.advance_ms(wait_ms);
            for mailbox in self.world.addresses().to_vec() {
                let played = self.pass(&mailbox);
                let writes = writes(&played.counters);
                assert!(
                    writes.is_empty(),
                    "{place}, quiet round {}, {mailbox}: {writes:?} {played:#?}",
                    round + 1
                );
            }
        }
        self.check_notes(place);
        for mailbox in self.world.addresses().to_vec() {
            self.check_rows(place, &mailbox);
        }
    }

    fn check_notes(&self, place: &str) {
        for (id, note) in &self.crm_notes {
            let found = self
                .world
                .services(|services, _| services.flowfact.values(id, "note"));
            let is_purged =
                !self.world.crm_ids().contains(id) && !self.world.crm_trash().contains(id);
            assert!(
                is_purged || json!(found) == *note,
                "{place}: the note of {id}: {found:?}"
            );
        }
        let unwritten = self.world.crm_ids();
        for id in unwritten
            .iter()
            .filter(|id| !self.crm_notes.contains_key(*id))
        {
            let found = self
                .world
                .services(|services, _| services.flowfact.values(id, "note"));
            assert!(found.is_empty(), "{place}: a note nobody wrote: {found:?}");
        }
        for mailbox in self.world.addresses() {
            let all = self
                .world
                .services(|services, _| services.graph.all_contacts(mailbox));
            for (id, properties) in all {
                let found = properties.get("personalNotes");
                let note = self.mailbox_notes.get(&(mailbox.clone(), id.clone()));
                assert_eq!(found, note, "{place}: the note of {id} in {mailbox}");
            }
        }
    }

    fn check_rows(&self, place: &str, mailbox: &str) {
        let id = self.job(mailbox).mailbox.id;
        let of = |folder: &str| self.rows(&format!("m/{id}/{folder}/"));
        let links = self.links(mailbox);
        assert_eq!(
            of("pair").len(),
            links.len(),
            "{place}: links that cannot be read"
        );
        assert!(of("intent").is_empty(), "{place}: open intents");
        assert!(
            of("answer").is_empty(),
            "{place}: answers that nobody acted on"
        );
        let at: BTreeSet<(String, String)> = of("at")
            .into_iter()
            .map(|(key, value)| {
                let mailbox_id = key.rsplit('/').next().unwrap_or_default().to_owned();
                (mailbox_id, String::from_utf8(value).expect("an id is text"))
            })
            .collect();
        let expected: BTreeSet<(String, String)> = links
            .iter()
            .map(|link| (link.mailbox_id.to_string(), link.crm_id.to_string()))
            .collect();
        assert_eq!(at, expected, "{place}: rows that say who is whose partner");
        let count = |standing| {
            let found = links
                .iter()
                .filter(|link| stands(link.standing) == standing);
            found.count()
        };
        assert_eq!(
            of("tombstone").len(),
            count(Stands::Tombstone),
            "{place}: tombstones"
        );
        let state = self.rows(&format!("m/{id}/state"));
        let state = state.values().next().expect("a pass has ended");
        let state: Value = serde_json::from_slice(state).expect("the state is JSON");
        assert_eq!(
            state["links"],
            json!(count(Stands::Linked)),
            "{place}: links counted"
        );
        assert_eq!(
            state["detached"],
            json!(count(Stands::Detached)),
            "{place}: detached counted"
        );
        for link in links
            .iter()
            .filter(|link| link.standing == Standing::Linked)
        {
            let held = !self.pending(mailbox).is_empty();
            let place_found = self.world.mailbox_place(mailbox, link.mailbox_id.as_str());
            let is_there = self.world.crm_ids().contains(&link.crm_id.to_string());
            assert!(
                held || (is_there && place_found == Place::Contacts),
                "{place}: a link to nowhere: {link:?}"
            );
        }
    }
}

/// The same job for another mailbox, which is in Office 365.
pub(crate) fn in_office_365(mut job: Job, user: &str) -> Job {
    job.mailbox.endpoint = Endpoint::Graph(GraphAccess {
        base_url: format!("{ORIGIN}/graph/v1.0"),
        user: GraphUser::User(user.to_owned()),
        trust_if_match: true,
    });
    job
}

/// Plays one pass to its end.
pub(crate) fn play(world: &Rc<World>, job: Job, mode: Mode) -> Played {
    world.services(|services, _| services.take_counters());
    let outside = Rc::clone(world) as Rc<dyn Outside>;
    let mut pass = pass::open(job, mode, outside).expect("the job is sound");
    let mut waits = Vec::new();
    for _ in 0..100_000 {
        match pass.advance() {
            Step::Working(_) => {}
            Step::Waiting(ms, _) => {
                waits.push(ms);
                world.advance_ms(i64::from(ms));
            }
            Step::Done(report) => {
                let findings = pass.findings().to_vec();
                let operations = pass.operations().to_vec();
                let reasons = operations.iter().map(|operation| operation.reason);
                in_the_readme(findings.iter().map(|finding| finding.code.as_str()));
                in_the_readme(reasons);
                return Played {
                    report: *report,
                    operations,
                    findings,
                    counters: world.services(|services, _| services.take_counters()),
                    waits,
                };
            }
        }
    }
    panic!("the pass does not end");
}

/// Whoever meets a code can look it up.
pub(crate) fn in_the_readme<'a>(codes: impl IntoIterator<Item = &'a str>) {
    let readme = include_str!("../../../README.md");
    for code in codes {
        let is_named = readme.contains(&format!("`{code}`"));
        assert!(is_named, "the README does not name `{code}`");
    }
}

/// Requests that write, by kind.
pub(crate) fn writes(counters: &Counters) -> BTreeMap<RequestKind, u64> {
    let kinds = counters.kinds.iter();
    kinds
        .filter(|(kind, _)| kind.is_write())
        .map(|(kind, count)| (as_over_graph(*kind), *count))
        .collect()
}

/// Scenarios say what is written as Microsoft Graph has it.
fn as_over_graph(kind: RequestKind) -> RequestKind {
    match kind {
        RequestKind::EwsCreate => RequestKind::GraphCreate,
        RequestKind::EwsUpdate => RequestKind::GraphUpdate,
        RequestKind::EwsDelete => RequestKind::GraphDelete,
        other => other,
    }
}

pub(crate) fn ending(outcome: &Outcome) -> Ending {
    use contact_sync_guest::report::Failure;
    match outcome {
        Outcome::Complete => Ending::Complete,
        Outcome::NeedsApproval(request) => Ending::NeedsApproval(match request.reason.as_str() {
            "over-limit" => "over-limit",
            "switched-on" => "switched-on",
            "side-empty" => "side-empty",
            "rebound" => "rebound",
            "memory-lost" => "memory-lost",
            _ => "?",
        }),
        Outcome::Stopped(failure) => Ending::Stopped(match failure {
            Failure::WrongIdentity(_) => "wrong-identity",
            Failure::OtherEngine(_) => "other-engine",
            Failure::LeaseLost(_) => "lease-lost",
            Failure::Throttled(_) => "throttled",
            Failure::Unreachable(_) => "unreachable",
            Failure::Protocol(_) => "protocol",
            Failure::PermissionMissing(_) => "permission-missing",
            Failure::SignInRefused(_) => "sign-in-refused",
            Failure::StoreUnavailable(_) => "store-unavailable",
            Failure::StateUnreadable(_) => "state-unreadable",
            Failure::NotFound(_) => "not-found",
            _ => "?",
        }),
    }
}

fn stands(standing: Standing) -> Stands {
    match standing {
        Standing::Linked => Stands::Linked,
        Standing::Detached => Stands::Detached,
        Standing::Tombstone { .. } => Stands::Tombstone,
    }
}

fn word(value: &impl serde::Serialize) -> String {
    let word = serde_json::to_value(value).expect("a name");
    word.as_str().unwrap_or_default().to_owned()
}

/// Every member that `expected` names is as it says; `null` means that there is none.
fn assert_parts(found: &Value, expected: &Value, context: &str) {
    let empty = Map::new();
    for (name, value) in expected.as_object().unwrap_or(&empty) {
        let held = found.get(name).unwrap_or(&Value::Null);
        assert_eq!(held, value, "{context}: {name} of {found}");
    }
}
