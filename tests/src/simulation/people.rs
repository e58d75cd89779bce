//! The people of a simulated world: what they do, and what they know of it.
//!
//! This is the oracle's own memory. It learns from what people do and from what the services hold,
//! never from the engine.

use contact_sync_guest::plan::approval::{Entry, Verdict};
use contact_sync_guest::plan::guard::Destruction;
use contact_sync_guest::report::Side;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

use super::hands;
use super::history::{Act, Book, Deed, Edit, History, Oddity};
use super::oracle::Journal;
use super::values::{Card, Number, PhoneKind, number_in};
use crate::simulator::ews::quirks::SearchKey;
use crate::simulator::{Access, Dialect, Place, World};

/// One record: the address book and the id in it.
pub(super) type Record = (Book, String);

/// Who is who, and what people did.
#[derive(Debug, Default)]
pub(super) struct People {
    /// Whose each record is.
    pub(super) owners: BTreeMap<Record, usize>,
    /// Notes as people wrote them.
    pub(super) notes: BTreeMap<Record, Value>,
    /// Values that people wrote.
    pub(super) written: BTreeMap<String, Written>,
    /// Values that a person took away or wrote over after they were last written.
    pub(super) removed: BTreeSet<String>,
    /// Records that people deleted at least once.
    pub(super) deleted: BTreeSet<Record>,
    /// Pairs of CRM contact and mailbox whose marker people took away.
    pub(super) unmarked: BTreeSet<(String, usize)>,
    /// CRM contacts that held more than a mailbox has room for: what waited once may wait for ever.
    pub(super) crowded: BTreeMap<String, BTreeSet<Room>>,
    /// How many records of a person people made beyond what a sync makes one of.
    pub(super) copies: BTreeMap<usize, usize>,
    /// What people have done with whom since the last rest.
    pub(super) deeds: BTreeMap<usize, Vec<Done>>,
    /// Hidden from the sync's user.
    pub(super) hidden: BTreeSet<String>,
    /// What was written between a read and a write of a pass (contract, section 7.5).
    pub(super) log_lengths: BTreeMap<String, usize>,
    /// What journals held that were lost with their store.
    pub(super) lost_journal: Vec<String>,
    /// What the pass of a mailbox was told not to delete, as long as nobody does anything more.
    pub(super) spared: BTreeSet<(usize, Record)>,
    /// Whom people have wanted back since the last rest.
    pub(super) wanted_back: BTreeSet<usize>,
    /// How often people did what: by a name for each deed.
    pub(super) census: BTreeMap<String, u64>,
    owners_by_number: BTreeMap<u32, usize>,
    /// Where each mailbox is.
    dialects: Vec<Dialect>,
    /// Exchange Servers show nothing that outlives a move, but the key of what the sync created.
    hides_moves: bool,
}

/// Where and when a value was last written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// Into which record.
    pub(super) record: Record,
    /// During a pass.
    pub(super) in_pass: bool,
}

/// Something that was done to a record.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) record: Record,
    pub(super) kind: DoneKind,
    /// During a pass.
    pub(super) in_pass: bool,
}

#[derive(Clone, Debug)]
pub(super) enum DoneKind {
    /// What it held afterwards, and which members of it had changed.
    Edited(Map<String, Value>, BTreeSet<String>),
    Deleted,
    Other,
}

/// Where values may have to wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    Phones(PhoneKind),
    /// The only place of an Exchange Server's for numbers of no other kind.
    OtherTelephone,
    Emails,
    Address(PhoneKind),
}

impl People {
    /// Who writes which value is known from the history.
    pub(super) fn new(history: &History) -> Self {
        let mut people = Self {
            dialects: history.setting.mailboxes.clone(),
            hides_moves: [SearchKey::LeftOut, SearchKey::Refused]
                .map(Oddity::SearchKeys)
                .iter()
                .any(|oddity| history.setting.oddities.contains(oddity)),
            ..Self::default()
        };
        for (who, person) in history.people.iter().enumerate() {
            let own = person.crm.iter().chain(person.mailboxes.iter().flatten());
            people.learn_numbers(who, &person.common);
            for edits in own {
                people.learn_numbers(who, edits);
            }
        }
        for act in history.acts() {
            if let Deed::Edit(edits) | Deed::Enter(edits) = &act.deed {
                people.learn_numbers(act.who, edits);
            }
        }
        people
    }

    fn learn_numbers(&mut self, who: usize, edits: &[Edit]) {
        for number in edits.iter().filter_map(Edit::number) {
            self.owners_by_number.insert(number, who);
        }
    }

    /// Everybody enters what they know before the first pass.
    pub(super) fn enter_all(&mut self, world: &World, history: &History) {
        for (who, person) in history.people.iter().enumerate() {
            if let Some(own) = &person.crm {
                let id = self.enter(world, Book::Crm, who, &[&person.common[..], own].concat());
                for mailbox in &person.marks {
                    world.crm_mark(&id, address(world, *mailbox));
                }
            }
            for (mailbox, own) in person.mailboxes.iter().enumerate() {
                if let Some(own) = own {
                    let edits = [&person.common[..], own].concat();
                    self.enter(world, Book::Mailbox(mailbox), who, &edits);
                }
            }
        }
    }

    /// A person does something, if there is anything to do it to.
    pub(super) fn act(&mut self, world: &World, history: &History, act: &Act, in_pass: bool) {
        self.meet(world);
        match &act.deed {
            Deed::Enter(edits) => {
                let Some(person) = history.people.get(act.who) else {
                    return;
                };
                let edits = [&person.common[..], edits].concat();
                self.copied(world, act.who);
                let id = self.enter(world, act.book, act.who, &edits);
                let record = (act.book, id);
                self.written_in(&record, in_pass);
                self.count(act, in_pass);
                self.did(act.who, &record, DoneKind::Other, in_pass);
            }
            Deed::BringBack => self.bring_back(world, act),
            Deed::Purge => self.purge(world, act),
            deed => {
                let Some(record) = self.pick(world, act) else {
                    return;
                };
                let kind = match deed {
                    Deed::Delete => DoneKind::Deleted,
                    Deed::Touch | Deed::Edit(_) => DoneKind::Edited(Map::new(), BTreeSet::new()),
                    _ => DoneKind::Other,
                };
                let before = contents(world, &record).unwrap_or_default();
                self.act_on(world, &record, act.who, deed, in_pass);
                let kind = match kind {
                    DoneKind::Edited(..) => {
                        let after = contents(world, &record).unwrap_or_default();
                        let changed = changed_members(&before, &after);
                        DoneKind::Edited(after, changed)
                    }
                    kind => kind,
                };
                self.did(act.who, &record, kind, in_pass);
                self.count(act, in_pass);
            }
        }
    }

    fn count(&mut self, act: &Act, in_pass: bool) {
        let mut count = |name| *self.census.entry(name).or_default() += 1;
        let name = act.name(&self.dialects);
        if in_pass {
            count(format!("during a pass, {name}"));
        }
        count(name);
    }

    fn did(&mut self, who: usize, record: &Record, kind: DoneKind, in_pass: bool) {
        let record = record.clone();
        let done = Done {
            record,
            kind,
            in_pass,
        };
        self.deeds.entry(who).or_default().push(done);
        self.spared
            .retain(|(_, record)| self.owners.get(record) != Some(&who));
    }

    /// Everything was checked: what is done from here on is checked at the next rest.
    pub(super) fn come_to_rest(&mut self) {
        self.deeds.clear();
        self.wanted_back.clear();
    }

    // ---- answers ------------------------------------------------------------------------------

    /// Somebody has answered a list of the guard's.
    pub(super) fn said(
        &mut self,
        world: &World,
        mailbox: usize,
        verdict: Verdict,
        entries: impl Iterator<Item = Entry>,
    ) {
        for entry in entries {
            let crm = entry.contact.crm_id.map(|id| (Book::Crm, id.to_string()));
            let other = entry.contact.mailbox_id;
            let other = other.map(|id| {
                let handle = world.mailbox_handle_behind(id.as_str());
                (Book::Mailbox(mailbox), handle)
            });
            let doomed = match entry.destruction {
                Destruction::Deletion(Side::Crm) => crm.clone(),
                Destruction::Deletion(Side::Mailbox) => other.clone(),
                Destruction::Detaching | Destruction::Emptying(..) => None,
            };
            if verdict == Verdict::Reject {
                let named = crm.iter().chain(&other);
                let owners: Vec<usize> = named
                    .filter_map(|record| self.owners.get(record).copied())
                    .collect();
                for who in &owners {
                    // Meanwhile another mailbox may have imported its own contact anew.
                    self.copied(world, *who);
                }
                self.wanted_back.extend(owners);
                self.spared.extend(doomed.map(|record| (mailbox, record)));
            } else if let Some(record) = doomed {
                self.spared.remove(&(mailbox, record));
            }
        }
    }

    // ---- what services do ---------------------------------------------------------------------

    /// A sync entry is gone, as if somebody had taken it away.
    pub(super) fn lose_entry(&mut self, world: &World, who: usize, mailbox: usize) {
        let address = address(world, mailbox);
        for record in self.live_records(world, who) {
            let is_marked = record.0 == Book::Crm
                && world.crm_markers(&record.1).iter().any(|at| at == address);
            if is_marked {
                self.unmarked.insert((record.1.clone(), mailbox));
                world.crm_unmark(&record.1, address);
                self.did(who, &record, DoneKind::Other, false);
            }
        }
    }

    /// All of them seem to be gone.
    pub(super) fn lose_all_entries(&mut self, world: &World) {
        let addresses = world.addresses();
        for record in all_records(world) {
            let Some(who) = self.owners.get(&record).copied() else {
                continue;
            };
            if record.0 != Book::Crm {
                continue;
            }
            for mailbox in 0..addresses.len() {
                self.unmarked.insert((record.1.clone(), mailbox));
            }
            self.did(who, &record, DoneKind::Other, false);
        }
    }

    fn act_on(&mut self, world: &World, record: &Record, who: usize, deed: &Deed, in_pass: bool) {
        let (book, id) = record;
        match (deed, book) {
            (Deed::Edit(edits), _) => self.edit(world, record, edits, in_pass),
            (Deed::Delete, Book::Crm) => {
                self.deleted.insert(record.clone());
                world.crm_delete(id);
            }
            (Deed::Delete, Book::Mailbox(mailbox)) => {
                self.deleted.insert(record.clone());
                world.mailbox_delete(address(world, *mailbox), id);
            }
            (Deed::Mark(mailbox), Book::Crm) => {
                world.crm_mark(id, address(world, *mailbox));
            }
            (Deed::Unmark(mailbox), Book::Crm) => {
                let address = address(world, *mailbox);
                if world.crm_markers(id).iter().any(|held| held == address) {
                    self.unmarked.insert((id.clone(), *mailbox));
                    world.crm_unmark(id, address);
                }
            }
            (Deed::Hide | Deed::Show, Book::Crm) => {
                self.grant(world, id, who, *deed == Deed::Hide);
            }
            (Deed::Touch, Book::Crm) => {
                world.services(|services, now| services.flowfact.recalculate(id, now));
            }
            (Deed::Touch, Book::Mailbox(mailbox)) => {
                let address = address(world, *mailbox);
                world.services(|services, now| services.graph.touch(address, id, now));
            }
            (Deed::Move, Book::Mailbox(mailbox)) => {
                if self.hides_moves && self.dialect(*mailbox) == Dialect::Ews {
                    // Its id is gone, and nothing else need be known to find it by.
                    self.deleted.insert(record.clone());
                }
                world.mailbox_move(address(world, *mailbox), id, "Privat");
            }
            (Deed::Copy | Deed::Recreate, Book::Mailbox(mailbox)) => {
                let address = address(world, *mailbox);
                let new_id = if *deed == Deed::Copy {
                    self.copied(world, who);
                    world.mailbox_copy(address, id)
                } else {
                    if self.deeds.contains_key(&who) || self.is_scattered(world, who) {
                        // Nothing need be left to recognise it by, or nothing be shown of it yet.
                        self.copied(world, who);
                    }
                    self.deleted.insert(record.clone());
                    world.mailbox_recreate(address, id)
                };
                let new = (*book, new_id);
                self.owners.insert(new.clone(), who);
                if let Some(note) = self.notes.get(record).cloned() {
                    self.notes.insert(new, note);
                }
            }
            _ => {}
        }
    }

    // ---- single deeds -------------------------------------------------------------------------

    fn grant(&mut self, world: &World, id: &str, who: usize, is_hidden: bool) {
        let access = if is_hidden {
            if self.is_scattered(world, who) {
                self.copied(world, who);
            }
            self.hidden.insert(id.to_owned());
            Access::Hidden
        } else {
            self.hidden.remove(id);
            Access::Full
        };
        world.services(|services, now| services.flowfact.grant(id, access, now));
    }

    fn enter(&mut self, world: &World, book: Book, who: usize, edits: &[Edit]) -> String {
        let mut fields = Map::new();
        for edit in edits {
            let changed = match book {
                Book::Crm => hands::in_crm(&fields, edit),
                Book::Mailbox(mailbox) => hands::in_mailbox(&fields, edit, self.dialect(mailbox)),
            };
            fields.extend(changed);
        }
        let id = match book {
            Book::Crm => {
                let note = json!([format!("\n  Notiz zu {who} 📝\n")]);
                fields.insert("note".to_owned(), note);
                world.crm_create(&Value::Object(fields))
            }
            Book::Mailbox(mailbox) => {
                let note = json!(format!("\r\n  Notiz zu {who} 📝\r\n"));
                fields.insert("personalNotes".to_owned(), note);
                fields.retain(|_, value| !value.is_null());
                world.mailbox_create(address(world, mailbox), &Value::Object(fields))
            }
        };
        let record = (book, id.clone());
        self.owners.insert(record.clone(), who);
        let note = note(world, &record);
        self.notes.insert(record.clone(), note);
        self.wrote(world, &record, &BTreeSet::new(), false);
        id
    }

    fn edit(&mut self, world: &World, record: &Record, edits: &[Edit], in_pass: bool) {
        let (book, id) = record;
        let who = self.owners.get(record).copied().unwrap_or_default();
        if self.is_scattered(world, who) {
            // Whoever is edited before being recognised may not be recognised any more.
            self.copied(world, who);
        }
        let before = card(world, record).values();
        for edit in edits {
            let Some(fields) = contents(world, record) else {
                return;
            };
            match book {
                Book::Crm => {
                    world.crm_edit(id, &Value::Object(hands::in_crm(&fields, edit)));
                }
                Book::Mailbox(mailbox) => {
                    let dialect = self.dialect(*mailbox);
                    let changed = hands::in_mailbox(&fields, edit, dialect);
                    if !changed.is_empty() {
                        let address = address(world, *mailbox);
                        world.mailbox_edit(address, id, &Value::Object(changed));
                    }
                }
            }
        }
        self.wrote(world, record, &before, in_pass);
    }

    fn wrote(&mut self, world: &World, record: &Record, before: &BTreeSet<String>, in_pass: bool) {
        let card = card(world, record);
        let after = card.values();
        for value in after.difference(before) {
            self.removed.remove(value);
            let record = record.clone();
            let written = Written { record, in_pass };
            self.written.insert(value.clone(), written);
            let length = world.services(|services, _| services.log.records().len());
            self.log_lengths.insert(value.clone(), length);
        }
        for value in before.difference(&after) {
            self.removed.insert(value.clone());
        }
        if record.0 == Book::Crm {
            self.crowd(&record.1, &card);
        }
    }

    fn written_in(&mut self, record: &Record, in_pass: bool) {
        for written in self.written.values_mut() {
            if written.record == *record {
                written.in_pass = in_pass;
            }
        }
    }

    fn bring_back(&mut self, world: &World, act: &Act) {
        let mut gone: Vec<Record> = Vec::new();
        for (record, who) in &self.owners {
            let is_gone = record.0 == act.book && *who == act.who && is_gone(world, record);
            if is_gone {
                gone.push(record.clone());
            }
        }
        let Some(record) = act.pick.checked_rem(gone.len()).and_then(|at| gone.get(at)) else {
            return;
        };
        let record = record.clone();
        self.did(act.who, &record, DoneKind::Other, false);
        self.count(act, false);
        self.copied(world, act.who);
        match &record {
            (Book::Crm, id) => world.crm_restore(id),
            (Book::Mailbox(mailbox), id) => {
                world.mailbox_move_back(address(world, *mailbox), id);
            }
        }
    }

    fn purge(&mut self, world: &World, act: &Act) {
        let mut found: Vec<Record> = Vec::new();
        for (record, who) in &self.owners {
            let is_there = match record {
                (Book::Crm, id) => world.crm_trash().contains(id),
                (Book::Mailbox(mailbox), id) => {
                    world.mailbox_place(address(world, *mailbox), id) != Place::Nowhere
                }
            };
            if record.0 == act.book && *who == act.who && is_there {
                found.push(record.clone());
            }
        }
        let Some(record) = act
            .pick
            .checked_rem(found.len())
            .and_then(|at| found.get(at))
        else {
            return;
        };
        let record = record.clone();
        self.did(act.who, &record, DoneKind::Other, false);
        self.count(act, false);
        self.deleted.insert(record.clone());
        for value in card(world, &record).values() {
            if !self.is_elsewhere(world, &value, &record) {
                self.removed.insert(value);
            }
        }
        match &record {
            (Book::Crm, id) => world.crm_purge(id),
            (Book::Mailbox(mailbox), id) => {
                world.mailbox_purge(address(world, *mailbox), id);
            }
        }
    }

    /// What is remembered is older than what was done: a clearing by the sync itself then looks
    /// like one by a user, and nothing tells them apart.
    pub(super) fn forgive_all(&mut self) {
        self.removed.extend(self.written.keys().cloned());
    }

    /// What is remembered is lost, or older than it was: whoever is hidden now, or was edited on
    /// one side since, need not be recognised.
    pub(super) fn lose_memory(&mut self, world: &World) {
        self.lost_journal.extend(Journal::new(world).texts);
        self.spared.clear();
        let hidden = self.hidden.iter();
        let hidden = hidden.filter_map(|id| self.owners.get(&(Book::Crm, id.clone())));
        let unsure: BTreeSet<usize> = hidden.chain(self.deeds.keys()).copied().collect();
        for who in unsure {
            *self.copies.entry(who).or_default() += world.addresses().len();
        }
    }

    fn dialect(&self, mailbox: usize) -> Dialect {
        let dialect = self.dialects.get(mailbox).copied();
        dialect.unwrap_or(Dialect::Graph)
    }

    // ---- who is who ---------------------------------------------------------------------------

    /// Learns of records that the sync has made. Whoever they belong to is told by what they hold.
    pub(super) fn meet(&mut self, world: &World) {
        for record in all_records(world) {
            if !self.owners.contains_key(&record) {
                let owners = self.owners_of(&card(world, &record));
                if let Some(who) = owners.first() {
                    self.owners.insert(record, *who);
                }
            }
        }
        for id in world.crm_ids() {
            let card = card(world, &(Book::Crm, id.clone()));
            self.crowd(&id, &card);
        }
        self.crowd_by_opaque_phones(world);
    }

    /// Where text that is no number takes a slot, numbers wait.
    fn crowd_by_opaque_phones(&mut self, world: &World) {
        for record in all_records(world) {
            let phones = card(world, &record).phones;
            let mut opaque = phones.iter();
            let is_crowded = matches!(record.0, Book::Mailbox(_))
                && opaque.any(|(_, number)| matches!(number, Number::Opaque(_)));
            if is_crowded {
                for (book, id) in self.others_of(&record) {
                    if book == Book::Crm {
                        let rooms = PhoneKind::ALL.map(Room::Phones).into_iter();
                        let rooms = rooms.chain([Room::OtherTelephone]);
                        self.crowded.entry(id).or_default().extend(rooms);
                    }
                }
            }
        }
    }

    /// Whose values a record holds.
    pub(super) fn owners_of(&self, card: &Card) -> Vec<usize> {
        let values = card.values();
        let numbers = values.iter().filter_map(|value| number_in(value));
        let owners: BTreeSet<usize> = numbers
            .filter_map(|number| self.owners_by_number.get(&number).copied())
            .collect();
        owners.into_iter().collect()
    }

    /// The other records of whoever a record belongs to.
    pub(super) fn others_of(&self, record: &Record) -> Vec<Record> {
        let who = self.owners.get(record);
        let own = self.owners.iter().filter(|(_, owner)| Some(*owner) == who);
        let others = own.filter(|(other, _)| other.0 != record.0);
        others.map(|(other, _)| other.clone()).collect()
    }

    /// The records of a person that are there.
    pub(super) fn live_records(&self, world: &World, who: usize) -> Vec<Record> {
        let own = self.owners.iter().filter(|(_, owner)| **owner == who);
        own.map(|(record, _)| record.clone())
            .filter(|record| is_live(world, record))
            .collect()
    }

    fn pick(&self, world: &World, act: &Act) -> Option<Record> {
        let mut live = self.live_records(world, act.who);
        live.retain(|(book, _)| *book == act.book);
        let at = act.pick.checked_rem(live.len())?;
        live.into_iter().nth(at)
    }

    /// Whether a person has records that the sync does not know for one.
    fn is_scattered(&self, world: &World, who: usize) -> bool {
        let live = self.live_records(world, who);
        let rows = world.stored();
        let linked = live.iter().filter(|(book, id)| match book {
            Book::Crm => rows.keys().any(|key| key.ends_with(&format!("/pair/{id}"))),
            Book::Mailbox(mailbox) => {
                let id = world.mailbox_id_of(address(world, *mailbox), id);
                rows.keys().any(|key| key.ends_with(&format!("/at/{id}")))
            }
        });
        live.len() > 1 && linked.count() < live.len()
    }

    fn copied(&mut self, world: &World, who: usize) {
        if !self.live_records(world, who).is_empty() {
            *self.copies.entry(who).or_default() += 1;
        }
    }

    fn is_elsewhere(&self, world: &World, value: &str, but: &Record) -> bool {
        let mut records = self.owners.keys().filter(|record| *record != but);
        records.any(|record| card(world, record).values().contains(value))
    }

    fn crowd(&mut self, id: &str, card: &Card) {
        let rooms = crowded_rooms(card, &self.dialects);
        if !rooms.is_empty() {
            self.crowded.entry(id.to_owned()).or_default().extend(rooms);
        }
    }
}

/// Where a record holds more than a mailbox has room for.
fn crowded_rooms(card: &Card, dialects: &[Dialect]) -> BTreeSet<Room> {
    let count = |wanted: PhoneKind| {
        let phones = card.phones.iter();
        let readable = phones.filter(|(_, number)| matches!(number, Number::Read(_)));
        readable.filter(|(kind, _)| *kind == wanted).count()
    };
    let (office, private) = (count(PhoneKind::Office), count(PhoneKind::Private));
    let other = count(PhoneKind::Other);
    let mut rooms = BTreeSet::new();
    let phones = [
        (office > 2, PhoneKind::Office),
        (private > 2, PhoneKind::Private),
        (count(PhoneKind::Mobile) > 1, PhoneKind::Mobile),
        (office.min(2) + private.min(2) + other > 4, PhoneKind::Other),
    ];
    for (is_crowded, kind) in phones {
        if is_crowded {
            rooms.insert(Room::Phones(kind));
        }
        let addresses = card.addresses.iter().filter(|(held, _)| *held == kind);
        if addresses.count() > 1 {
            rooms.insert(Room::Address(kind));
        }
    }
    if other > 1 && dialects.contains(&Dialect::Ews) {
        rooms.insert(Room::OtherTelephone);
    }
    if card.emails.len() > 3 {
        rooms.insert(Room::Emails);
    }
    rooms
}

/// The address of a mailbox.
///
/// # Panics
///
/// If the world has fewer.
pub(super) fn address(world: &World, mailbox: usize) -> &str {
    let address = world.addresses().get(mailbox);
    address.unwrap_or_else(|| panic!("no mailbox {mailbox}"))
}

/// What a record holds, wherever it is; nothing if it is gone for good.
pub(super) fn card(world: &World, record: &Record) -> Card {
    let fields = contents(world, record).unwrap_or_default();
    match record.0 {
        Book::Crm => Card::of_crm(&fields),
        Book::Mailbox(_) => Card::of_mailbox(&fields),
    }
}

/// The fields or properties of a record, wherever it is.
pub(super) fn contents(world: &World, (book, id): &Record) -> Option<Map<String, Value>> {
    world.services(|services, _| match book {
        Book::Crm => {
            let live = services.flowfact.fields(id).cloned();
            live.or_else(|| services.flowfact.trash().get(id).cloned())
        }
        Book::Mailbox(mailbox) => services.graph.contact(address(world, *mailbox), id),
    })
}

/// The members that differ.
pub(super) fn changed_members(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> BTreeSet<String> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = |name: &&String| before.get(*name) != after.get(*name);
    names.into_iter().filter(differ).cloned().collect()
}

/// Whether a record is where it takes part in a sync.
pub(super) fn is_live(world: &World, (book, id): &Record) -> bool {
    match book {
        Book::Crm => world.services(|services, _| services.flowfact.fields(id).is_some()),
        Book::Mailbox(mailbox) => {
            world.mailbox_place(address(world, *mailbox), id) == Place::Contacts
        }
    }
}

fn is_gone(world: &World, record: &Record) -> bool {
    match record {
        (Book::Crm, id) => world.crm_trash().contains(id),
        (Book::Mailbox(mailbox), id) => {
            let place = world.mailbox_place(address(world, *mailbox), id);
            matches!(place, Place::DeletedItems | Place::Folder(_))
        }
    }
}

/// All records of the world, wherever they are.
pub(super) fn all_records(world: &World) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let crm = world.crm_ids().into_iter().chain(world.crm_trash());
    records.extend(crm.map(|id| (Book::Crm, id)));
    for (number, address) in world.addresses().iter().enumerate() {
        let all = world.services(|services, _| services.graph.all_contacts(address));
        records.extend(all.into_keys().map(|id| (Book::Mailbox(number), id)));
    }
    records
}

/// The note of a record; null where there is none.
pub(super) fn note(world: &World, record: &Record) -> Value {
    let name = match record.0 {
        Book::Crm => "note",
        Book::Mailbox(_) => "personalNotes",
    };
    let fields = contents(world, record).unwrap_or_default();
    fields.get(name).cloned().unwrap_or_default()
}

impl History {
    /// Everything that people do.
    pub(super) fn acts(&self) -> impl Iterator<Item = &Act> {
        use super::history::Event;
        self.events.iter().flat_map(|event| {
            let (one, more) = match event {
                Event::Act(act) => (Some(act), &[][..]),
                Event::Pass(pass) => (None, &pass.meanwhile[..]),
                _ => (None, &[][..]),
            };
            one.into_iter().chain(more.iter().map(|(_, act)| act))
        })
    }
}

impl Edit {
    /// The number of the value that it writes.
    pub(super) fn number(&self) -> Option<u32> {
        match self {
            Self::Set(_, token)
            | Self::AddPhone(_, token)
            | Self::ChangePhone(_, token)
            | Self::AddOpaquePhone(_, token)
            | Self::AddEmail(token)
            | Self::ChangeEmail(_, token)
            | Self::SetAddress(_, token)
            | Self::ChangeCity(_, token) => Some(token.number),
            _ => None,
        }
    }
}
