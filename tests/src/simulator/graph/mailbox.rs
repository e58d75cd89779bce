//! One mailbox: folders, contacts, and what delta remembers of them.

use contact_sync_guest::outside::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

use super::contact::{Contact, Draft, PropertyId};
use super::ids::{Id, change_key};
use super::quirks::GraphQuirks;

/// One mailbox.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Mailbox {
    /// The number inside its ids.
    pub(in crate::simulator) number: u64,
    /// The user's unchanging id.
    pub(in crate::simulator) user: String,
    pub(in crate::simulator) address: String,
    pub(in crate::simulator) display_name: String,
    pub(in crate::simulator) availability: Availability,
    pub(in crate::simulator) folders: BTreeMap<u32, Folder>,
    pub(in crate::simulator) contacts: BTreeMap<u64, Contact>,
    /// Contacts by extended property; values without case, as filters compare them.
    by_property: BTreeMap<(PropertyId, String), BTreeSet<u64>>,
    items: u64,
    versions: u64,
    sequence: u64,
    /// Updates and deletions so far: every so-manieth may fail.
    pub(in crate::simulator) attempts: u64,
    /// Sync states of another epoch are worthless.
    pub(in crate::simulator) sync_epoch: u64,
    /// How far apart the numbers in ids are.
    pub(in crate::simulator) item_step: u64,
    pub(in crate::simulator) budget: Budget,
}

/// Whether a mailbox can be reached by Graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Yes.
    Available,
    /// 404 `MailboxNotEnabledForRESTAPI`: on another server, or without a licence.
    NotEnabledForRestApi,
    /// 403 `Access to OData is disabled.`: an application access policy.
    ODataDisabled,
    /// 404 `ErrorInvalidUser`: the user was deleted.
    UserMissing,
}

/// What was used up of the limits per time.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::simulator) struct Budget {
    pub(in crate::simulator) requests: (Timestamp, u64),
    pub(in crate::simulator) upload: (Timestamp, u64),
}

/// The top of the mailbox; no contact folder.
pub(in crate::simulator) const ROOT: u32 = 1;
/// The default contacts folder.
pub(in crate::simulator) const CONTACTS: u32 = 2;
/// Deleted Items.
pub(in crate::simulator) const DELETED_ITEMS: u32 = 3;

/// One folder.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Folder {
    pub(in crate::simulator) name: String,
    pub(in crate::simulator) parent: u32,
    pub(in crate::simulator) items: BTreeSet<u64>,
    pub(in crate::simulator) log: ChangeLog,
}

/// The last change of every contact that is, or was, in a folder.
#[derive(Clone, Debug, Default)]
pub(in crate::simulator) struct ChangeLog {
    pub(in crate::simulator) entries: BTreeMap<u64, LogEntry>,
    /// The entry of each contact and placement.
    pub(in crate::simulator) latest: BTreeMap<(u64, u32), u64>,
    /// Rounds begun so far.
    pub(in crate::simulator) generation: u64,
}

/// One change.
#[derive(Clone, Copy, Debug)]
pub(in crate::simulator) struct LogEntry {
    pub(in crate::simulator) item: u64,
    pub(in crate::simulator) placement: u32,
    pub(in crate::simulator) at: Timestamp,
    pub(in crate::simulator) gone: bool,
    /// The change with which it entered the folder in this placement.
    pub(in crate::simulator) entered: u64,
    /// Rounds that go on from a token are silent about it.
    pub(in crate::simulator) first_rounds_only: bool,
}

impl ChangeLog {
    fn entered(&self, item: u64, placement: u32) -> Option<u64> {
        let sequence = self.latest.get(&(item, placement))?;
        self.entries.get(sequence).map(|entry| entry.entered)
    }

    fn set(&mut self, sequence: u64, entry: LogEntry) {
        self.forget(entry.item, entry.placement);
        self.latest.insert((entry.item, entry.placement), sequence);
        self.entries.insert(sequence, entry);
    }

    fn forget(&mut self, item: u64, placement: u32) {
        if let Some(old) = self.latest.remove(&(item, placement)) {
            self.entries.remove(&old);
        }
    }
}

impl Mailbox {
    pub(in crate::simulator) fn new(
        number: u64,
        user: String,
        address: &str,
        display_name: &str,
    ) -> Self {
        let folder = |name: &str, parent| Folder {
            name: name.to_owned(),
            parent,
            items: BTreeSet::new(),
            log: ChangeLog::default(),
        };
        // Names follow the language of the user who opened the mailbox first.
        let folders = BTreeMap::from([
            (
                ROOT,
                folder("Oberste Ebene des Informationsspeichers", ROOT),
            ),
            (CONTACTS, folder("Kontakte", ROOT)),
            (DELETED_ITEMS, folder("Gelöschte Elemente", ROOT)),
        ]);
        Self {
            number,
            user,
            address: address.to_owned(),
            display_name: display_name.to_owned(),
            availability: Availability::Available,
            folders,
            contacts: BTreeMap::new(),
            by_property: BTreeMap::new(),
            items: 0,
            versions: 0,
            sequence: 0,
            attempts: 0,
            sync_epoch: 0,
            item_step: 1,
            budget: Budget::default(),
        }
    }

    pub(in crate::simulator) fn folder_id(&self, folder: u32) -> String {
        let mailbox = self.number;
        Id::Folder { mailbox, folder }.encode()
    }

    pub(in crate::simulator) fn contact_id(&self, contact: &Contact, immutable: bool) -> String {
        self.id_of(contact.item, contact.folder, contact.placement, immutable)
    }

    pub(in crate::simulator) fn id_of(
        &self,
        item: u64,
        folder: u32,
        placement: u32,
        immutable: bool,
    ) -> String {
        let mailbox = self.number;
        let id = if immutable {
            Id::Immutable { mailbox, item }
        } else {
            Id::Placed {
                mailbox,
                folder,
                item,
                placement,
            }
        };
        id.encode()
    }

    pub(in crate::simulator) fn change_key(&self, contact: &Contact) -> String {
        change_key(self.number, contact.version)
    }

    /// The contact with this id, in either format; an id from before a move finds nothing.
    pub(in crate::simulator) fn resolve(&self, id: Id) -> Option<&Contact> {
        match id {
            Id::Immutable { mailbox, item } if mailbox == self.number => self.contacts.get(&item),
            Id::Placed {
                mailbox,
                folder,
                item,
                placement,
            } if mailbox == self.number => self
                .contacts
                .get(&item)
                .filter(|contact| contact.folder == folder && contact.placement == placement),
            _ => None,
        }
    }

    pub(in crate::simulator) fn insert(
        &mut self,
        folder: u32,
        draft: Draft,
        quirks: &GraphQuirks,
        now: Timestamp,
    ) -> u64 {
        self.items += self.item_step;
        let item = self.items;
        let mut contact = Contact {
            item,
            folder,
            placement: 0,
            version: 0,
            created: now,
            modified: now,
            properties: serde_json::Map::new(),
            extended: BTreeMap::new(),
            search_key: item,
            group: false,
        };
        contact.apply(draft, quirks);
        self.contacts.insert(item, contact);
        self.index(item);
        if let Some(folder) = self.folders.get_mut(&folder) {
            folder.items.insert(item);
        }
        self.touch(item, now);
        item
    }

    pub(in crate::simulator) fn apply(
        &mut self,
        item: u64,
        draft: Draft,
        quirks: &GraphQuirks,
        now: Timestamp,
    ) {
        self.unindex(item);
        if let Some(contact) = self.contacts.get_mut(&item) {
            contact.apply(draft, quirks);
        }
        self.index(item);
        self.touch(item, now);
    }

    /// Gives a contact another version, and tells delta of it.
    pub(in crate::simulator) fn touch(&mut self, item: u64, now: Timestamp) {
        self.versions += 1;
        if let Some(contact) = self.contacts.get_mut(&item) {
            contact.version = self.versions;
            contact.modified = now;
            let (folder, placement) = (contact.folder, contact.placement);
            self.log(folder, item, placement, false, now);
        }
    }

    /// Moves a contact to another folder, where it gets another id unless ids are immutable.
    pub(in crate::simulator) fn move_to(
        &mut self,
        item: u64,
        target: u32,
        quirks: &GraphQuirks,
        now: Timestamp,
    ) -> bool {
        let Some(contact) = self.contacts.get_mut(&item) else {
            return false;
        };
        let (source, placement) = (contact.folder, contact.placement);
        if source == target {
            return true;
        }
        contact.folder = target;
        contact.placement += 1;
        let new_placement = contact.placement;
        if let Some(folder) = self.folders.get_mut(&target) {
            folder.items.insert(item);
        }
        self.leave(
            source,
            item,
            placement,
            target == DELETED_ITEMS,
            quirks,
            now,
        );
        self.versions += 1;
        if let Some(contact) = self.contacts.get_mut(&item) {
            contact.version = self.versions;
            contact.modified = now;
        }
        self.log(target, item, new_placement, false, now);
        if quirks.moved_contact_unseen
            && let Some(folder) = self.folders.get_mut(&target)
            && let Some(entry) = folder.log.entries.get_mut(&self.sequence)
        {
            entry.first_rounds_only = true;
        }
        true
    }

    /// Deletes a contact as clients do: to Deleted Items, and from there for good.
    pub(in crate::simulator) fn delete(&mut self, item: u64, quirks: &GraphQuirks, now: Timestamp) {
        let folder = self.contacts.get(&item).map(|contact| contact.folder);
        if folder == Some(DELETED_ITEMS) {
            self.purge(item, quirks, now);
        } else {
            self.move_to(item, DELETED_ITEMS, quirks, now);
        }
    }

    /// Deletes a contact for good.
    pub(in crate::simulator) fn purge(
        &mut self,
        item: u64,
        quirks: &GraphQuirks,
        now: Timestamp,
    ) -> bool {
        self.unindex(item);
        let Some(contact) = self.contacts.remove(&item) else {
            return false;
        };
        self.leave(contact.folder, item, contact.placement, true, quirks, now);
        true
    }

    fn leave(
        &mut self,
        folder: u32,
        item: u64,
        placement: u32,
        deleted: bool,
        quirks: &GraphQuirks,
        now: Timestamp,
    ) {
        let Some(left) = self.folders.get_mut(&folder) else {
            return;
        };
        left.items.remove(&item);
        if quirks.last_deletion_unseen && deleted && left.items.is_empty() {
            left.log.forget(item, placement);
        } else {
            self.log(folder, item, placement, true, now);
        }
    }

    fn log(&mut self, folder: u32, item: u64, placement: u32, gone: bool, at: Timestamp) {
        self.sequence += 1;
        let log = self.folders.get(&folder).map(|folder| &folder.log);
        let entered = log.and_then(|log| log.entered(item, placement));
        let entry = LogEntry {
            item,
            placement,
            at,
            gone,
            entered: entered.unwrap_or(self.sequence),
            first_rounds_only: false,
        };
        if let Some(folder) = self.folders.get_mut(&folder) {
            folder.log.set(self.sequence, entry);
        }
    }

    pub(in crate::simulator) fn add_folder(&mut self, parent: u32, name: &str) -> u32 {
        let folder = self
            .folders
            .keys()
            .next_back()
            .copied()
            .unwrap_or(DELETED_ITEMS)
            + 1;
        self.folders.insert(
            folder,
            Folder {
                name: name.to_owned(),
                parent,
                items: BTreeSet::new(),
                log: ChangeLog::default(),
            },
        );
        folder
    }

    pub(in crate::simulator) fn children(&self, parent: u32) -> Vec<u32> {
        let folders = self.folders.iter();
        let children = folders.filter(|(key, folder)| folder.parent == parent && **key > ROOT);
        children.map(|(key, _)| *key).collect()
    }

    /// Whether a folder is in Deleted Items.
    pub(in crate::simulator) fn is_deleted_folder(&self, folder: u32) -> bool {
        let mut at = folder;
        while at > ROOT {
            if at == DELETED_ITEMS {
                return true;
            }
            at = self.folders.get(&at).map_or(ROOT, |folder| folder.parent);
        }
        false
    }

    /// The contacts that carry an extended property with this value.
    pub(in crate::simulator) fn with_property(&self, id: &PropertyId, value: &str) -> Vec<u64> {
        let key = (id.clone(), value.to_lowercase());
        self.by_property
            .get(&key)
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }

    fn index(&mut self, item: u64) {
        let Some(contact) = self.contacts.get(&item) else {
            return;
        };
        for (id, value) in &contact.extended {
            let key = (id.clone(), value.to_lowercase());
            self.by_property.entry(key).or_default().insert(item);
        }
    }

    fn unindex(&mut self, item: u64) {
        let Some(contact) = self.contacts.get(&item) else {
            return;
        };
        for (id, value) in &contact.extended {
            let key = (id.clone(), value.to_lowercase());
            if let Some(items) = self.by_property.get_mut(&key) {
                items.remove(&item);
                if items.is_empty() {
                    self.by_property.remove(&key);
                }
            }
        }
    }
}
