//! What the contract promises, checked against what people did and what the services hold.
//!
//! The oracle reads three things of the engine's memory and trusts none: who is whose partner, what
//! is pending, and what the journal holds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use contact_sync_guest::job::{DeleteEdit, OnCrmDelete, OnMailboxDelete, OnUnmark};

use super::history::{Book, History, Oddity};
use super::people::{self, Done, DoneKind, People, Record, Room, Written, address, card};
use super::player::Player;
use super::values::{Card, Line, Number, PhoneKind, number_in};
use crate::simulator::{Dialect, Place, Record as Logged, RequestKind, World};

/// Something that the contract forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise is broken.
    pub rule: &'static str,
    /// How.
    pub what: String,
}

/// A remembered pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) mailbox: usize,
    pub(super) crm_id: String,
    /// Its immutable id, wherever it is.
    pub(super) mailbox_id: String,
    /// The id that is remembered.
    pub(super) remembered_id: String,
    pub(super) standing: Stands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    Linked,
    Detached,
    Gone,
}

/// All remembered pairs of all mailboxes.
pub(super) fn links(world: &World) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (mailbox, rows) in rows_by_mailbox(world, "pair") {
        for row in rows.values() {
            let text = |member: &str| row[member].as_str().unwrap_or_default().to_owned();
            let standing = match row["standing"].as_str() {
                Some("linked") => Stands::Linked,
                Some("detached") => Stands::Detached,
                _ => Stands::Gone,
            };
            pairs.push(Pair {
                mailbox,
                crm_id: text("crm_id"),
                mailbox_id: world.mailbox_handle_behind(&text("mailbox_id")),
                remembered_id: text("mailbox_id"),
                standing,
            });
        }
    }
    pairs
}

/// A request in one line.
pub(super) fn told(record: &Logged) -> String {
    let body = String::from_utf8_lossy(&record.body);
    format!(
        "{} {:?} {} {} {body}",
        record.at.0, record.kind, record.status, record.target
    )
}

// ---- after every pass ---------------------------------------------------------------------------

/// Whatever the pass deleted, it had a reason to.
pub(super) fn check_pass(player: &mut Player, mailbox: usize, links_before: &[Pair]) {
    let world = std::rc::Rc::clone(&player.world);
    let log_checked = player.log_checked;
    let (deletions, length) = world.services(|services, _| {
        let records = services.log.records();
        let new = records.get(log_checked..).unwrap_or_default();
        let deletions = new.iter().filter(|record| {
            let is_deletion = matches!(
                record.kind,
                RequestKind::FlowfactDelete | RequestKind::GraphDelete | RequestKind::EwsDelete
            );
            is_deletion && (200..300).contains(&record.status)
        });
        let deletions: Vec<Logged> = deletions.cloned().collect();
        (deletions, records.len())
    });
    player.log_checked = length;
    if deletions.is_empty() {
        return;
    }
    let mut pairs = links(&world);
    pairs.extend_from_slice(links_before);
    pairs.retain(|pair| pair.mailbox == mailbox);
    for deletion in deletions {
        check_deletion(player, mailbox, &pairs, &deletion);
    }
}

fn check_deletion(player: &mut Player, mailbox: usize, pairs: &[Pair], deletion: &Logged) {
    let is_in_crm = deletion.kind == RequestKind::FlowfactDelete;
    let book = if is_in_crm {
        Book::Crm
    } else {
        Book::Mailbox(mailbox)
    };
    let people = player.people.borrow();
    let mut named = people.owners.keys();
    let named = named.find(|(at, id)| *at == book && is_named(&player.world, deletion, id));
    let Some(record) = named.cloned() else {
        drop(people);
        player.violation("deletion of a stranger", told(deletion));
        return;
    };
    let partners: Vec<Record> = pairs
        .iter()
        .filter_map(|pair| {
            let (own, other) = if is_in_crm {
                (
                    &pair.crm_id,
                    (Book::Mailbox(mailbox), pair.mailbox_id.clone()),
                )
            } else {
                (&pair.mailbox_id, (Book::Crm, pair.crm_id.clone()))
            };
            (*own == record.1).then_some(other)
        })
        .collect();
    let partners = if partners.is_empty() {
        // A pass that broke off has not remembered whom it deleted under a new id.
        people.others_of(&record)
    } else {
        partners
    };
    let unmark_deletes = player.history.setting.on_unmark == OnUnmark::DeleteFromMailbox;
    let is_right = partners.iter().any(|partner| {
        people.deleted.contains(partner)
            || (!is_in_crm && player.deleted_rightly.contains(partner))
            || (unmark_deletes && people.unmarked.contains(&(partner.1.clone(), mailbox)))
    });
    let lost = edits_lost(player, &people, &record, &partners);
    let is_spared = people.spared.contains(&(mailbox, record.clone()));
    drop(people);
    if is_spared {
        player.violation("deletion of what people want to keep", told(deletion));
    }
    if !is_right {
        let what = format!("{record:?}, partners {partners:?}: {}", told(deletion));
        player.violation("deletion without cause", what);
    }
    if !lost.is_empty() {
        let what = format!("{record:?} had {lost:?}: {}", told(deletion));
        player.violation("deletion of an edit", what);
    }
    player.deleted_rightly.insert(record);
}

/// Values that people wrote into a deleted record and that its partner never showed: an edit
/// outlives a deletion (contract, section 3), unless the tenant says otherwise.
fn edits_lost(
    player: &Player,
    people: &People,
    record: &Record,
    partners: &[Record],
) -> Vec<String> {
    let world = &player.world;
    if player.history.setting.delete_edit == DeleteEdit::Delete
        || people.crowded.contains_key(&record.1)
        || partners
            .iter()
            .any(|partner| people.crowded.contains_key(&partner.1))
        || partners
            .iter()
            .any(|partner| people::contents(world, partner).is_none())
    {
        return Vec::new();
    }
    let shown: BTreeSet<String> = partners
        .iter()
        .flat_map(|partner| card(world, partner).values())
        .collect();
    // Where text that is no number takes the slot of a number, the number waits.
    let has_opaque = partners.iter().any(|partner| {
        let numbers = card(world, partner).phones.into_iter();
        numbers
            .map(|(_, number)| number)
            .any(|number| matches!(number, Number::Opaque(_)))
    });
    let oddities = &player.history.setting.oddities;
    let cuts = oddities
        .iter()
        .any(|oddity| matches!(oddity, Oddity::CutTexts(_)));
    let own = card(world, record).values().into_iter();
    let own = own.filter(|value| !(cuts && CUT.iter().any(|line| value.starts_with(line))));
    own.filter(|value| {
        let written = people.written.get(value);
        let is_own = written.is_some_and(|written| written.record == *record && !written.in_pass);
        let waits = value.starts_with("text ") || (has_opaque && value.starts_with("phone "));
        let mut were_lost = player.were_lost.iter();
        let was_lost = were_lost.any(|line| value.starts_with(&format!("{line:?} ")));
        let is_elsewhere = shown.contains(value) || people.removed.contains(value);
        is_own && !waits && !was_lost && !is_elsewhere
    })
    .collect()
}

/// Whether a deletion names a contact. On an Exchange Server the body names it by the id that it
/// had in its place; of several in one request each is logged by that id.
fn is_named(world: &World, deletion: &Logged, id: &str) -> bool {
    if deletion.kind != RequestKind::EwsDelete {
        return deletion.target.contains(id) || unescaped(&deletion.target).contains(id);
    }
    let body = String::from_utf8_lossy(&deletion.body);
    let ids = body.split("<t:ItemId Id=\"").skip(1);
    let mut ids = ids.filter_map(|rest| rest.split('"').next());
    let target = deletion.target.as_str();
    std::iter::once(target)
        .chain(&mut ids)
        .any(|named| world.mailbox_handle_behind(named) == id)
}

fn unescaped(target: &str) -> String {
    percent_encoding::percent_decode_str(target)
        .decode_utf8_lossy()
        .into_owned()
}

// ---- at rest ------------------------------------------------------------------------------------

/// Everything that must hold once nothing moves any more.
pub(super) fn check_rest(player: &mut Player) {
    let mut found = Vec::new();
    {
        let people = player.people.borrow();
        let rest = Rest::new(player, &people);
        if let Some(snapshot) = player.snapshot.as_ref().filter(|_| player.is_memory_whole) {
            rest.check_simple(snapshot, &mut found);
        }
        rest.check_pairs(&mut found);
        rest.check_taking_part(&mut found);
        rest.check_held(&mut found);
        rest.check_spared(&mut found);
        rest.check_rows(&mut found);
        rest.check_notes(&mut found);
        rest.check_owners(&mut found);
        rest.check_copies(&mut found);
        player.verdict.in_window += rest.check_values(&mut found);
    }
    for (rule, what) in found {
        player.violation(rule, what);
    }
}

type Found = Vec<(&'static str, String)>;

struct Rest<'a> {
    history: &'a History,
    world: &'a World,
    lost_lines: &'a BTreeSet<Line>,
    people: &'a People,
    pairs: Vec<Pair>,
    /// Why nothing is done about a contact of a mailbox.
    pending: BTreeMap<(usize, Record), String>,
}

/// Fields of which FLOWFACT may cut off texts: whoever edits the rest there writes over the whole.
const CUT: [&str; 3] = ["Title", "Department", "Position"];

/// Reasons for which a pair may stay as it is until a person does something.
const HELD: [&str; 11] = [
    "ambiguous-create",
    "ambiguous-match",
    "awaiting-approval",
    "cannot-be-restored",
    "crm-unreadable",
    "match-taken",
    "moved-in-mailbox",
    "namesake",
    "open-intent",
    "rejected-not-restorable",
    "vanished-in-crm",
];

impl<'a> Rest<'a> {
    fn new(player: &'a Player<'_>, people: &'a People) -> Self {
        let world: &World = &player.world;
        let mut pending = BTreeMap::new();
        for (mailbox, rows) in rows_by_mailbox(world, "pending") {
            for (key, row) in rows {
                let (side, id) = key.split_once('/').unwrap_or_default();
                let record = if side == "crm" {
                    (Book::Crm, id.to_owned())
                } else {
                    (Book::Mailbox(mailbox), world.mailbox_handle_behind(id))
                };
                let reason = row.get("reason").and_then(Value::as_str);
                let reason = reason.unwrap_or_default().to_owned();
                pending.insert((mailbox, record), reason);
            }
        }
        Self {
            history: player.history,
            world,
            lost_lines: &player.lost_lines,
            people,
            pairs: links(world),
            pending,
        }
    }

    /// Whether something is held about the person of a record.
    fn is_held(&self, mailbox: usize, record: &Record) -> bool {
        let who = self.people.owners.get(record);
        self.pending.keys().any(|(at, held)| {
            *at == mailbox
                && (held == record || (who.is_some() && self.people.owners.get(held) == who))
        })
    }

    fn is_person_held(&self, who: usize) -> bool {
        let mut held = self.pending.keys();
        held.any(|(_, record)| self.people.owners.get(record) == Some(&who))
    }

    fn is_pair_held(&self, pair: &Pair) -> bool {
        self.is_held(pair.mailbox, &(Book::Crm, pair.crm_id.clone()))
            || self.is_held(
                pair.mailbox,
                &(Book::Mailbox(pair.mailbox), pair.mailbox_id.clone()),
            )
    }

    /// Both halves of a pair are there, marked, and agree.
    fn check_pairs(&self, found: &mut Found) {
        for pair in &self.pairs {
            if pair.standing != Stands::Linked || self.is_pair_held(pair) {
                continue;
            }
            let crm = (Book::Crm, pair.crm_id.clone());
            let mailbox = (Book::Mailbox(pair.mailbox), pair.mailbox_id.clone());
            for record in [&crm, &mailbox] {
                if !people::is_live(self.world, record) {
                    found.push(("link to nowhere", format!("{record:?} of {pair:?}")));
                    return;
                }
            }
            let address = address(self.world, pair.mailbox);
            if self.world.mailbox_id_of(address, &pair.mailbox_id) != pair.remembered_id {
                found.push(("link to a former place", format!("{pair:?}")));
            }
            if !self
                .world
                .crm_markers(&pair.crm_id)
                .iter()
                .any(|held| held == address)
            {
                found.push(("link without marker", format!("{pair:?}")));
            }
            if self.people.hidden.contains(&pair.crm_id) {
                continue;
            }
            let crowd = self.people.crowded.get(&pair.crm_id);
            let (crm, mailbox) = (card(self.world, &crm), card(self.world, &mailbox));
            let nothing = BTreeSet::new();
            let crowd = Crowd {
                rooms: crowd.unwrap_or(&nothing),
                dialect: self.history.setting.dialect(pair.mailbox),
            };
            let mut differences = differences(&crm, &mailbox, &crowd);
            self.lines_differ(&crm, &mailbox, &mut differences);
            if !differences.is_empty() {
                let what = format!("{pair:?}: {differences:?}\n    {crm:?}\n    {mailbox:?}");
                found.push(("disagreement", what));
            }
        }
    }

    fn lines_differ(&self, crm: &Card, mailbox: &Card, found: &mut Vec<String>) {
        let cuts = self.cuts_texts();
        for line in Line::ALL {
            let (left, right) = (crm.lines.get(&line), mailbox.lines.get(&line));
            let is_cut = cuts
                && left
                    .zip(right)
                    .is_some_and(|(left, right)| right.starts_with(left.as_str()));
            if left != right && !is_cut && !self.lost_lines.contains(&line) {
                found.push(format!("{line:?}: {left:?} and {right:?}"));
            }
        }
    }

    fn cuts_texts(&self) -> bool {
        let mut oddities = self.history.setting.oddities.iter();
        oddities.any(|oddity| matches!(oddity, Oddity::CutTexts(_)))
    }

    /// Every mailbox contact is known, and so is every marked CRM contact.
    fn check_taking_part(&self, found: &mut Found) {
        for (mailbox, address) in self.world.addresses().iter().enumerate() {
            let known: BTreeMap<&str, Stands> = self
                .pairs
                .iter()
                .filter(|pair| pair.mailbox == mailbox && pair.standing != Stands::Gone)
                .flat_map(|pair| {
                    [&pair.crm_id, &pair.mailbox_id].map(|id| (id.as_str(), pair.standing))
                })
                .collect();
            for id in self.world.mailbox_ids(address) {
                let record = (Book::Mailbox(mailbox), id);
                if !known.contains_key(record.1.as_str()) && !self.is_held(mailbox, &record) {
                    let what = format!("{record:?} of {:?}", self.pairs);
                    found.push(("not imported", what));
                }
            }
            for id in self.world.crm_ids() {
                let is_marked = self.world.crm_markers(&id).contains(address);
                let record = (Book::Crm, id);
                let is_out =
                    self.people.hidden.contains(&record.1) || self.is_held(mailbox, &record);
                let is_linked = known.get(record.1.as_str()) == Some(&Stands::Linked);
                if is_marked && !is_linked && !is_out {
                    found.push(("not exported", format!("{record:?} to {address}")));
                }
            }
        }
    }

    /// Whom somebody wanted back is there on both sides, unless another mailbox's deletion, or
    /// somebody, has come since.
    fn check_spared(&self, found: &mut Found) {
        for (mailbox, record) in &self.people.spared {
            let Some(who) = self.people.owners.get(record) else {
                continue;
            };
            if self.history.setting.mailboxes.len() > 1 || self.is_person_held(*who) {
                continue;
            }
            for book in [Book::Crm, Book::Mailbox(*mailbox)] {
                let is_there = self.has_record(*who, |at, id| {
                    at == book && people::is_live(self.world, &(at, id.to_owned()))
                });
                if !is_there {
                    found.push(("not brought back", format!("{record:?}: not in {book:?}")));
                }
            }
        }
    }

    /// What is held is held for a reason that people can see.
    fn check_held(&self, found: &mut Found) {
        for ((mailbox, record), reason) in &self.pending {
            if !self.is_rightly_held(*mailbox, record, reason) {
                found.push((
                    "held without need",
                    format!("{record:?} in {mailbox}: {reason}"),
                ));
            }
        }
    }

    fn is_rightly_held(&self, mailbox: usize, record: &Record, reason: &str) -> bool {
        let Some(who) = self.people.owners.get(record) else {
            return reason == "awaiting-approval";
        };
        match reason {
            // Under a new id a mailbox contact is held together with its pair.
            "vanished-in-crm" | "cannot-be-restored" | "rejected-not-restorable" => self
                .has_record(*who, |book, id| {
                    book == Book::Crm
                        && (self.people.hidden.contains(id)
                            || people::contents(self.world, &(book, id.to_owned())).is_none())
                }),
            "crm-unreadable" => self.has_record(*who, |_, id| self.people.hidden.contains(id)),
            "moved-in-mailbox" => self.is_moved(*who, mailbox),
            // A created copy that was moved away before the answer came: its source waits with it.
            "open-intent" if self.is_moved(*who, mailbox) => true,
            // Nor can one be adopted whose source nobody sees.
            "open-intent" if self.has_record(*who, |_, id| self.people.hidden.contains(id)) => true,
            "ambiguous-create" | "ambiguous-match" | "match-taken" | "namesake" | "open-intent" => {
                self.people.copies.contains_key(who)
            }
            _ => HELD.contains(&reason),
        }
    }

    /// Whether a person has a record like this, wherever it is.
    fn has_record(&self, who: usize, is_it: impl Fn(Book, &str) -> bool) -> bool {
        let mut own = self.people.owners.iter();
        own.any(|((book, id), owner)| *owner == who && is_it(*book, id))
    }

    /// Whether a person's contact is in another live folder of a mailbox.
    fn is_moved(&self, who: usize, mailbox: usize) -> bool {
        let address = address(self.world, mailbox);
        self.has_record(who, |book, id| {
            let place = || self.world.mailbox_place(address, id);
            book == Book::Mailbox(mailbox) && matches!(place(), Place::Folder(_))
        })
    }

    /// Whoever was left alone since the last rest is byte for byte as they were; whoever was edited
    /// in one place only is there as the user left them; whoever was only deleted is gone.
    fn check_simple(&self, snapshot: &Snapshot, found: &mut Found) {
        for who in 0..self.history.people.len() {
            let is_unclear = snapshot.held.contains(&who)
                || self.is_person_held(who)
                || self.people.wanted_back.contains(&who)
                || self.people.copies.contains_key(&who);
            if is_unclear {
                continue;
            }
            let deeds = self.people.deeds.get(&who).map_or(&[][..], Vec::as_slice);
            let records: BTreeSet<&Record> = deeds.iter().map(|done| &done.record).collect();
            let edits = deeds.iter().filter_map(|done| match &done.kind {
                DoneKind::Edited(contents, changed) => Some((&done.record, contents, changed)),
                _ => None,
            });
            let edits: Vec<_> = edits.collect();
            let is_deletion = deeds
                .iter()
                .all(|done| matches!(done.kind, DoneKind::Deleted));
            if deeds.is_empty() {
                self.check_alone(who, snapshot, &BTreeSet::new(), found);
            } else if edits.len() == deeds.len() && records.len() == 1 {
                self.check_edited(who, snapshot, &edits, found);
            } else if is_deletion && !deeds.iter().any(|done| done.in_pass) {
                self.check_deleted(who, snapshot, deeds, found);
            }
        }
    }

    fn check_alone(
        &self,
        who: usize,
        snapshot: &Snapshot,
        groups: &BTreeSet<Group>,
        found: &mut Found,
    ) {
        for (record, then) in &snapshot.contents {
            if self.people.owners.get(record) != Some(&who) {
                continue;
            }
            let now = people::contents(self.world, record).unwrap_or_default();
            let changed = people::changed_members(then, &now);
            // A field that is mapped for the first time is filled as in a first pair.
            let is_known = |group: Group| match group {
                Group::Line(line) if snapshot.lost_lines.contains(&line) => true,
                group => groups.contains(&group),
            };
            let mut strange = changed
                .iter()
                .filter(|name| !Group::of(name).is_some_and(is_known));
            if let Some(name) = strange.next() {
                let (then, now) = (then.get(name), now.get(name));
                found.push((
                    "change without cause",
                    format!("person {who}, {record:?}: {name} was {then:?}, is {now:?}"),
                ));
            }
        }
    }

    fn check_edited(
        &self,
        who: usize,
        snapshot: &Snapshot,
        edits: &[(&Record, &Map<String, Value>, &BTreeSet<String>)],
        found: &mut Found,
    ) {
        let Some((record, left, _)) = edits.last() else {
            return;
        };
        let now = people::contents(self.world, record).unwrap_or_default();
        let mut changed = people::changed_members(left, &now);
        changed.retain(|name| !DERIVED.contains(&name.as_str()));
        changed.retain(|name| match Group::of(name) {
            Some(Group::Line(line)) => !snapshot.lost_lines.contains(&line),
            _ => true,
        });
        if let Some(name) = changed.first() {
            let (left, now) = (left.get(name), now.get(name));
            found.push((
                "an edit is not as the user left it",
                format!("person {who}, {record:?}: {name} was {left:?}, is {now:?}"),
            ));
        }
        let names = edits.iter().flat_map(|(_, _, changed)| changed.iter());
        let mut groups: BTreeSet<Group> = names.filter_map(|name| Group::of(name)).collect();
        groups.insert(Group::Derived);
        self.check_alone(who, snapshot, &groups, found);
    }

    fn check_deleted(&self, who: usize, snapshot: &Snapshot, deeds: &[Done], found: &mut Found) {
        let setting = &self.history.setting;
        for done in deeds {
            let is_followed = match done.record.0 {
                Book::Crm => setting.on_crm_delete == OnCrmDelete::DeleteInMailbox,
                Book::Mailbox(_) => setting.on_mailbox_delete == OnMailboxDelete::DeleteInCrm,
            };
            let pairs = snapshot
                .pairs
                .iter()
                .filter(|pair| pair.standing == Stands::Linked);
            let partners = pairs.filter_map(|pair| match &done.record {
                (Book::Crm, id) if pair.crm_id == *id => {
                    Some((Book::Mailbox(pair.mailbox), pair.mailbox_id.clone()))
                }
                (Book::Mailbox(at), id) if pair.mailbox == *at && pair.mailbox_id == *id => {
                    Some((Book::Crm, pair.crm_id.clone()))
                }
                _ => None,
            });
            let partners: Vec<Record> = partners.collect();
            let own = std::iter::once(&done.record);
            let gone = own.chain(partners.iter().filter(|_| is_followed));
            for record in gone {
                if people::is_live(self.world, record) {
                    let what = format!("person {who}: {record:?} is there after {done:?}");
                    found.push(("a deletion did not last", what));
                }
            }
        }
    }

    fn check_rows(&self, found: &mut Found) {
        let open: BTreeSet<usize> = self
            .pending
            .iter()
            .filter(|(_, reason)| reason.as_str() == "open-intent")
            .map(|((mailbox, _), _)| *mailbox)
            .collect();
        for (folder, rule) in [("intent", "open intent"), ("answer", "answer not acted on")] {
            for (mailbox, rows) in rows_by_mailbox(self.world, folder) {
                if !rows.is_empty() && !open.contains(&mailbox) {
                    found.push((rule, format!("mailbox {mailbox}: {rows:?}")));
                }
            }
        }
        for (mailbox, rows) in rows_by_mailbox(self.world, "at") {
            let at: BTreeSet<(String, String)> = rows
                .into_iter()
                .map(|(id, crm_id)| (id, crm_id.as_str().unwrap_or_default().to_owned()))
                .collect();
            let own = self.pairs.iter().filter(|pair| pair.mailbox == mailbox);
            let expected = own.map(|pair| (pair.remembered_id.clone(), pair.crm_id.clone()));
            let expected: BTreeSet<(String, String)> = expected.collect();
            if at != expected {
                let what = format!("mailbox {mailbox}: {at:?} in place of {expected:?}");
                found.push(("rows that contradict each other", what));
            }
        }
        for (mailbox, rows) in rows_by_mailbox(self.world, "state") {
            let Some(state) = rows.values().next() else {
                continue;
            };
            for (name, standing) in [("links", Stands::Linked), ("detached", Stands::Detached)] {
                let own = self.pairs.iter().filter(|pair| pair.mailbox == mailbox);
                let count = own.filter(|pair| pair.standing == standing).count();
                if state[name] != count {
                    let what = format!("mailbox {mailbox}: {count} {name}, not {}", state[name]);
                    found.push(("counted wrongly", what));
                }
            }
        }
    }

    fn check_notes(&self, found: &mut Found) {
        for record in people::all_records(self.world) {
            let expected = self.people.notes.get(&record).cloned().unwrap_or_default();
            let note = people::note(self.world, &record);
            if note != expected {
                found.push(("note", format!("{record:?}: {note} in place of {expected}")));
            }
        }
    }

    /// No record holds what belongs to two people.
    fn check_owners(&self, found: &mut Found) {
        for record in people::all_records(self.world) {
            let owners = self.people.owners_of(&card(self.world, &record));
            if owners.len() > 1 {
                found.push((
                    "two people in one record",
                    format!("{record:?}: {owners:?}"),
                ));
            }
        }
    }

    /// Nobody is there more often than people made them.
    fn check_copies(&self, found: &mut Found) {
        let mut counts: BTreeMap<(usize, Book), usize> = BTreeMap::new();
        for (record, who) in &self.people.owners {
            if people::is_live(self.world, record) {
                *counts.entry((*who, record.0)).or_default() += 1;
            }
        }
        for ((who, book), count) in counts {
            let most = 1 + self.people.copies.get(&who).copied().unwrap_or(0);
            if count > most {
                let what = format!("person {who} is {count} times in {book:?}, at most {most}");
                found.push(("duplicate", what));
            }
        }
    }

    /// Every value that somebody wrote is somewhere, or a person took it away, or it is in the
    /// journal. Returns how many fell into the one window in which an edit cannot be seen.
    fn check_values(&self, found: &mut Found) -> usize {
        let mut alive: BTreeSet<String> = BTreeSet::new();
        for record in people::all_records(self.world) {
            alive.extend(card(self.world, &record).values());
        }
        let mut journal = Journal::new(self.world);
        journal
            .texts
            .extend(self.people.lost_journal.iter().cloned());
        let mut in_window = 0;
        for (value, written) in &self.people.written {
            let is_cut = self.cuts_texts() && CUT.iter().any(|line| value.starts_with(line));
            if alive.contains(value)
                || self.people.removed.contains(value)
                || journal.has(value)
                || is_cut
            {
                continue;
            }
            if self.is_in_window(value, written) {
                in_window += 1;
            } else {
                found.push(("lost value", format!("{value}, written into {written:?}")));
            }
        }
        in_window
    }
}

impl Rest<'_> {
    /// Whether an edit landed between the read of a record and the write that rests on it: the next
    /// request about the record after the edit is the write (contract, section 7.5).
    fn is_in_window(&self, value: &str, written: &Written) -> bool {
        let (book, id) = &written.record;
        let Some(length) = self.people.log_lengths.get(value) else {
            return false;
        };
        if !written.in_pass || *book != Book::Crm {
            return false;
        }
        self.world.services(|services, _| {
            let later = services.log.records().iter().skip(*length);
            let mut about = later.filter(|record| record.target.contains(id.as_str()));
            about
                .next()
                .is_some_and(|record| record.kind == RequestKind::FlowfactUpdate)
        })
    }
}

/// How everything stood at a rest.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    contents: BTreeMap<Record, Map<String, Value>>,
    pairs: Vec<Pair>,
    /// People about whom something was held.
    held: BTreeSet<usize>,
    /// Fields that took no part.
    lost_lines: BTreeSet<Line>,
}

impl Snapshot {
    pub(super) fn new(player: &Player) -> Self {
        let people = player.people.borrow();
        let rest = Rest::new(player, &people);
        let records = people::all_records(&player.world).into_iter();
        let contents = records.filter_map(|record| {
            let contents = people::contents(&player.world, &record)?;
            Some((record, contents))
        });
        let hidden = people.hidden.iter().map(|id| (Book::Crm, id.clone()));
        let hidden: Vec<Record> = hidden.collect();
        let held = rest.pending.keys().map(|(_, record)| record).chain(&hidden);
        let held = held.filter_map(|record| people.owners.get(record)).copied();
        Self {
            contents: contents.collect(),
            held: held.collect(),
            pairs: rest.pairs.clone(),
            lost_lines: player.lost_lines.clone(),
        }
    }
}

/// Members of both sides that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Line(Line),
    Phones,
    Emails,
    Addresses,
    /// Names that Exchange needs, and markers.
    Derived,
}

/// Names that Exchange needs: they follow others.
const DERIVED: [&str; 3] = ["displayName", "fileAs", "subject"];

impl Group {
    fn of(name: &str) -> Option<Self> {
        let mut lines = Line::ALL.into_iter();
        if let Some(line) = lines.find(|line| line.crm() == name || line.mailbox() == name) {
            return Some(Self::Line(line));
        }
        Some(match name {
            "phones" | "businessPhones" | "homePhones" | "mobilePhone" | "otherTelephone" => {
                Self::Phones
            }
            "emails" | "emailAddresses" => Self::Emails,
            "addresses" | "businessAddress" | "homeAddress" | "otherAddress" => Self::Addresses,
            name if DERIVED.contains(&name) => Self::Derived,
            _ => return None,
        })
    }
}

/// What the journals of all mailboxes hold.
pub(super) struct Journal {
    pub(super) texts: Vec<String>,
}

impl Journal {
    pub(super) fn new(world: &World) -> Self {
        let mut texts = Vec::new();
        for (_, rows) in rows_by_mailbox(world, "journal") {
            for row in rows.values() {
                leaves(&row["lost"], &mut texts);
                leaves(&row["record"], &mut texts);
            }
        }
        Self { texts }
    }

    fn has(&self, value: &str) -> bool {
        if let Some(number) = number_in(value) {
            let number = number.to_string();
            return self.texts.iter().any(|text| {
                let digits: String = text.chars().filter(char::is_ascii_digit).collect();
                digits.contains(&number)
            });
        }
        let day = value.strip_prefix("Birthday ").unwrap_or(value);
        self.texts.iter().any(|text| {
            let fields = Map::from_iter([(
                Line::Birthday.crm().to_owned(),
                serde_json::json!([text.parse::<i64>().ok()]),
            )]);
            let card = Card::of_crm(&fields);
            text.contains(day)
                || card
                    .lines
                    .get(&Line::Birthday)
                    .is_some_and(|held| held == day)
        })
    }
}

fn leaves(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Number(number) => texts.push(number.to_string()),
        Value::Array(values) => values.iter().for_each(|value| leaves(value, texts)),
        Value::Object(members) => members.values().for_each(|value| leaves(value, texts)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// The stored rows of a folder, by mailbox; keys without what all of them begin with.
fn rows_by_mailbox(world: &World, folder: &str) -> Vec<(usize, BTreeMap<String, Value>)> {
    let stored = world.stored();
    let mailboxes = world.addresses().iter().enumerate();
    mailboxes
        .map(|(mailbox, address)| {
            let prefix = format!("m/{}/{folder}", address.replace(['@', '.'], "-"));
            let rows = stored.iter().filter_map(|(key, row)| {
                let rest = key.strip_prefix(&prefix)?;
                let text = || Value::String(String::from_utf8_lossy(row).into_owned());
                let row = match folder {
                    "at" => text(),
                    _ => serde_json::from_slice(row).unwrap_or_else(|_| text()),
                };
                Some((rest.trim_start_matches('/').to_owned(), row))
            });
            (mailbox, rows.collect())
        })
        .collect()
}

/// Where values of a CRM contact may wait for room in a mailbox.
struct Crowd<'a> {
    rooms: &'a BTreeSet<Room>,
    dialect: Dialect,
}

impl Crowd<'_> {
    fn is_in(&self, room: Room) -> bool {
        let room = match (room, self.dialect) {
            (Room::Phones(PhoneKind::Other), Dialect::Ews) => Room::OtherTelephone,
            (room, _) => room,
        };
        self.rooms.contains(&room)
    }
}

/// Where two halves of a pair do not hold the same, as far as both can.
fn differences(crm: &Card, mailbox: &Card, crowd: &Crowd<'_>) -> Vec<String> {
    let mut found = Vec::new();
    phones_differ(crm, mailbox, crowd, &mut found);
    let left: BTreeSet<&String> = crm.emails.iter().collect();
    let right: BTreeSet<&String> = mailbox.emails.iter().collect();
    let is_crowded = crowd.is_in(Room::Emails);
    if !right.is_subset(&left) || (!left.is_subset(&right) && !is_crowded) {
        found.push(format!("e-mails: {left:?} and {right:?}"));
    }
    for kind in PhoneKind::ALL {
        let of = |card: &Card| -> Vec<[String; 4]> {
            let own = card.addresses.iter().filter(|(held, _)| *held == kind);
            own.map(|(_, parts)| parts.clone()).collect()
        };
        let (left, right) = (of(crm), of(mailbox));
        let is_crowded = crowd.is_in(Room::Address(kind));
        let agrees = match right.first() {
            Some(shown) => left.contains(shown),
            None => left.is_empty() || is_crowded,
        };
        if kind != PhoneKind::Mobile && !agrees {
            found.push(format!("{kind:?} address: {left:?} and {right:?}"));
        }
    }
    found
}

fn phones_differ(crm: &Card, mailbox: &Card, crowd: &Crowd<'_>, found: &mut Vec<String>) {
    let readable = |card: &Card| -> BTreeSet<(PhoneKind, String)> {
        let numbers = card
            .phones
            .iter()
            .filter_map(|(kind, number)| match number {
                Number::Read(digits) => Some((*kind, digits.clone())),
                Number::Opaque(_) => None,
            });
        numbers.collect()
    };
    let is_opaque = |card: &Card| {
        let mut numbers = card.phones.iter();
        numbers.any(|(_, number)| matches!(number, Number::Opaque(_)))
    };
    let (left, right) = (readable(crm), readable(mailbox));
    for (kind, number) in &right {
        // Graph has no place of its own for numbers of no other kind: they borrow one.
        let is_there = left.contains(&(*kind, number.clone()))
            || (crowd.dialect == Dialect::Graph
                && left.contains(&(PhoneKind::Other, number.clone())));
        // A number whose new type has no room stays where it is; and text that is no number, in the
        // place of one, is no clearing.
        let has_no_room = left
            .iter()
            .any(|(kind, held)| held == number && crowd.is_in(Room::Phones(*kind)));
        let has_opaque_room = left.iter().any(|(_, held)| held == number) && is_opaque(mailbox);
        if !is_there && !has_no_room && !has_opaque_room && !is_opaque(crm) {
            found.push(format!("{kind:?} {number} is in the mailbox only"));
        }
    }
    for (kind, number) in &left {
        let is_there = match kind {
            PhoneKind::Other if crowd.dialect == Dialect::Graph => {
                right.iter().any(|(_, held)| held == number)
            }
            kind => right.contains(&(*kind, number.clone())),
        };
        if !is_there && !crowd.is_in(Room::Phones(*kind)) && !is_opaque(mailbox) {
            found.push(format!("{kind:?} {number} is in the CRM only"));
        }
    }
}
