//! What people and administrators do in Outlook, and what tests look at.
//!
//! Contacts are named by their immutable id, whatever ids a client asked for.

use contact_sync_guest::outside::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use super::contact::{Contact, Draft};
use super::ids::Id;
use super::mailbox::{Availability, CONTACTS, DELETED_ITEMS, Mailbox};
use super::quirks::{AddressUpdate, GraphQuirks};
use super::routes::View;
use super::{Graph, Problem};

/// Where a contact is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the default contacts folder.
    Contacts,
    /// In Deleted Items, or in a folder that is there.
    DeletedItems,
    /// In another contact folder, of this name.
    Folder(String),
    /// Gone for good.
    Nowhere,
}

impl Graph {
    /// An administrator adds a mailbox. Returns the user's unchanging id.
    pub fn add_mailbox(&mut self, address: &str, display_name: &str) -> String {
        let number = self.chance.next_u64();
        let user = self.chance.uuid();
        let mailbox = Mailbox::new(number, user.clone(), address, display_name);
        self.mailboxes.push(mailbox);
        user
    }

    /// An administrator changes whether Graph reaches a mailbox.
    pub fn set_availability(&mut self, address: &str, availability: Availability) {
        if let Some(mailbox) = self.mailbox_mut(address) {
            mailbox.availability = availability;
        }
    }

    /// An administrator changes a mailbox's address. Its user, folders and contacts stay.
    pub fn rename_mailbox(&mut self, address: &str, new_address: &str) {
        if let Some(mailbox) = self.mailbox_mut(address) {
            new_address.clone_into(&mut mailbox.address);
        }
    }

    /// The user's unchanging id, and the id of the default contacts folder.
    pub fn identity(&self, address: &str) -> Option<(String, String)> {
        let mailbox = self.mailbox(address)?;
        Some((mailbox.user.clone(), mailbox.folder_id(CONTACTS)))
    }

    /// The addresses of all mailboxes.
    pub fn addresses(&self) -> Vec<String> {
        self.mailboxes
            .iter()
            .map(|mailbox| mailbox.address.clone())
            .collect()
    }

    /// The id of the tenant, of the application, and the application's secret.
    pub fn application(&self) -> (&str, &str, &str) {
        let sign_in = &self.sign_in;
        (&sign_in.tenant, &sign_in.client, &sign_in.secret)
    }

    /// All access tokens become worthless before they expire.
    pub fn revoke_tokens(&mut self) {
        self.sign_in.revoke();
    }

    /// All delta tokens of a mailbox become worthless, and all sync states of Exchange Server.
    pub fn expire_delta_tokens(&mut self, address: &str) {
        if let Some(mailbox) = self.mailbox_mut(address) {
            for folder in mailbox.folders.values_mut() {
                folder.log.generation += 1_000_000;
            }
            mailbox.sync_epoch += 1;
        }
    }

    // ---- what people do ---------------------------------------------------------------------

    /// Somebody creates a contact with these properties in the default folder. Returns its id.
    pub fn create(
        &mut self,
        address: &str,
        properties: &Map<String, Value>,
        now: Timestamp,
    ) -> Option<String> {
        let quirks = self.quirks.clone();
        let mailbox = self.mailbox_mut(address)?;
        let draft = draft(properties, &quirks).ok()?;
        let item = mailbox.insert(CONTACTS, draft, &quirks, now);
        Some(immutable(mailbox, item))
    }

    /// Somebody creates a distribution list in the default folder.
    pub fn create_group(&mut self, address: &str, name: &str, now: Timestamp) {
        let quirks = self.quirks.clone();
        if let Some(mailbox) = self.mailbox_mut(address) {
            let mut draft = Draft::default();
            draft
                .properties
                .push(("displayName".to_owned(), name.into()));
            let item = mailbox.insert(CONTACTS, draft, &quirks, now);
            if let Some(contact) = mailbox.contacts.get_mut(&item) {
                contact.group = true;
            }
        }
    }

    /// Somebody sets properties of a contact; `null` and empty values clear. `false` if it is gone,
    /// or cannot hold them.
    pub fn edit(
        &mut self,
        address: &str,
        id: &str,
        properties: &Map<String, Value>,
        now: Timestamp,
    ) -> bool {
        let quirks = self.quirks.clone();
        let Ok(draft) = draft(properties, &quirks) else {
            return false;
        };
        self.with(address, id, |mailbox, item| {
            mailbox.apply(item, draft, &quirks, now);
        })
    }

    /// Somebody deletes a contact: it moves to Deleted Items, or from there is gone for good.
    pub fn delete(&mut self, address: &str, id: &str, now: Timestamp) -> bool {
        let quirks = self.quirks.clone();
        self.with(address, id, |mailbox, item| {
            mailbox.delete(item, &quirks, now);
        })
    }

    /// Somebody deletes a contact for good.
    pub fn purge(&mut self, address: &str, id: &str, now: Timestamp) -> bool {
        let quirks = self.quirks.clone();
        self.with(address, id, |mailbox, item| {
            mailbox.purge(item, &quirks, now);
        })
    }

    /// Somebody moves a contact to the folder of this name, which is made if there is none.
    pub fn move_to(&mut self, address: &str, id: &str, folder: &str, now: Timestamp) -> bool {
        let quirks = self.quirks.clone();
        self.with(address, id, |mailbox, item| {
            let found = mailbox.children(CONTACTS).into_iter().find(|child| {
                mailbox
                    .folders
                    .get(child)
                    .is_some_and(|child| child.name == folder)
            });
            let target = found.unwrap_or_else(|| mailbox.add_folder(CONTACTS, folder));
            mailbox.move_to(item, target, &quirks, now);
        })
    }

    /// Somebody moves a contact back to the default folder, from wherever it is.
    pub fn move_back(&mut self, address: &str, id: &str, now: Timestamp) -> bool {
        let quirks = self.quirks.clone();
        self.with(address, id, |mailbox, item| {
            mailbox.move_to(item, CONTACTS, &quirks, now);
        })
    }

    /// Somebody copies a contact within the default folder; what is hidden in it is copied too.
    /// Returns the copy's id.
    pub fn copy(&mut self, address: &str, id: &str, now: Timestamp) -> Option<String> {
        self.duplicate(address, id, true, now)
    }

    /// Somebody deletes a contact for good and enters it again: the same to the eye, and another
    /// contact to the service. Returns the new id.
    pub fn recreate(&mut self, address: &str, id: &str, now: Timestamp) -> Option<String> {
        let new_id = self.duplicate(address, id, false, now)?;
        self.purge(address, id, now);
        Some(new_id)
    }

    fn duplicate(
        &mut self,
        address: &str,
        id: &str,
        hidden_too: bool,
        now: Timestamp,
    ) -> Option<String> {
        let quirks = self.quirks.clone();
        let mailbox = self.mailbox_mut(address)?;
        let contact = find(mailbox, id)?;
        let mut draft = Draft::default();
        for (name, value) in &contact.properties {
            draft.properties.push((name.clone(), value.clone()));
        }
        if hidden_too {
            let extended = contact.extended.iter();
            draft.extended = extended
                .map(|(id, value)| (id.clone(), Some(value.clone())))
                .collect();
        }
        let search_key = hidden_too.then_some(contact.search_key);
        let item = mailbox.insert(CONTACTS, draft, &quirks, now);
        if let (Some(copy), Some(key)) = (mailbox.contacts.get_mut(&item), search_key) {
            copy.search_key = key;
        }
        Some(immutable(mailbox, item))
    }

    /// The server gives a contact another version although nobody changed anything.
    pub fn touch(&mut self, address: &str, id: &str, now: Timestamp) -> bool {
        self.with(address, id, |mailbox, item| mailbox.touch(item, now))
    }

    fn with(&mut self, address: &str, id: &str, change: impl FnOnce(&mut Mailbox, u64)) -> bool {
        let Some(mailbox) = self.mailbox_mut(address) else {
            return false;
        };
        let Some(item) = find(mailbox, id).map(|contact| contact.item) else {
            return false;
        };
        change(mailbox, item);
        true
    }

    // ---- Exchange Server --------------------------------------------------------------------

    /// The mailbox is on an Exchange Server. Its ids are those of a large mailbox: before long, two
    /// differ only in the case of a letter (vdirsyncer#144).
    pub(in crate::simulator) fn put_on_exchange_server(&mut self, address: &str) {
        if let Some(mailbox) = self.mailbox_mut(address) {
            mailbox.item_step = LARGE_MAILBOX_STEP;
        }
    }

    /// The id that a contact has in its present place, as Exchange Server knows it.
    pub fn placed_id(&self, address: &str, id: &str) -> Option<String> {
        let mailbox = self.mailbox(address)?;
        let contact = find(mailbox, id)?;
        Some(mailbox.contact_id(contact, false))
    }

    /// The immutable id of a contact, by the id of its present place.
    pub fn immutable_id(&self, address: &str, id: &str) -> Option<String> {
        let mailbox = self.mailbox(address)?;
        let contact = find(mailbox, id)?;
        Some(mailbox.contact_id(contact, true))
    }

    /// The immutable id of the contact that this id belongs to, or belonged to before a move.
    pub fn immutable_id_behind(&self, id: &str) -> Option<String> {
        let (mailbox, item) = match Id::decode(id)? {
            Id::Placed { mailbox, item, .. } | Id::Immutable { mailbox, item } => (mailbox, item),
            Id::Folder { .. } => return None,
        };
        let mut mailboxes = self.mailboxes.iter();
        let is_known = mailboxes.any(|known| known.number == mailbox);
        is_known.then(|| Id::Immutable { mailbox, item }.encode())
    }

    // ---- what tests look at -----------------------------------------------------------------

    /// The contacts of the default folder: their properties by immutable id. Distribution lists and
    /// empty properties are left out.
    pub fn contacts(&self, address: &str) -> BTreeMap<String, Map<String, Value>> {
        self.contacts_in(address, |_, contact| contact.folder == CONTACTS)
    }

    /// The contacts in Deleted Items, in the same form.
    pub fn deleted_contacts(&self, address: &str) -> BTreeMap<String, Map<String, Value>> {
        self.contacts_in(address, |mailbox, contact| {
            mailbox.is_deleted_folder(contact.folder)
        })
    }

    /// All contacts of a mailbox, in the same form.
    pub fn all_contacts(&self, address: &str) -> BTreeMap<String, Map<String, Value>> {
        self.contacts_in(address, |_, _| true)
    }

    fn contacts_in(
        &self,
        address: &str,
        wanted: impl Fn(&Mailbox, &Contact) -> bool,
    ) -> BTreeMap<String, Map<String, Value>> {
        let Some(mailbox) = self.mailbox(address) else {
            return BTreeMap::new();
        };
        let contacts = mailbox.contacts.values();
        let contacts = contacts.filter(|contact| !contact.group && wanted(mailbox, contact));
        contacts
            .map(|contact| {
                (
                    mailbox.contact_id(contact, true),
                    contact.properties.clone(),
                )
            })
            .collect()
    }

    /// How many contacts the default folder holds.
    pub fn contact_count(&self, address: &str) -> usize {
        let folder = self
            .mailbox(address)
            .and_then(|mailbox| mailbox.folders.get(&CONTACTS));
        folder.map_or(0, |folder| folder.items.len())
    }

    /// The properties of a contact that are not empty.
    pub fn contact(&self, address: &str, id: &str) -> Option<Map<String, Value>> {
        find(self.mailbox(address)?, id).map(|contact| contact.properties.clone())
    }

    /// The contact as Graph answers it with immutable ids.
    pub fn answered(&self, address: &str, id: &str) -> Option<Value> {
        let mailbox = self.mailbox(address)?;
        let contact = find(mailbox, id)?;
        let view = View {
            select: None,
            expand: &[],
            immutable: true,
            notes_cut: false,
        };
        Some(view.contact(&self.quirks, mailbox, contact))
    }

    /// The extended properties of a contact: value by id.
    pub fn extended_properties(&self, address: &str, id: &str) -> BTreeMap<String, String> {
        let contact = self.mailbox(address).and_then(|mailbox| find(mailbox, id));
        let extended = contact.into_iter().flat_map(|contact| &contact.extended);
        extended
            .map(|(id, value)| (id.as_str().to_owned(), value.clone()))
            .collect()
    }

    /// Where a contact is.
    pub fn place(&self, address: &str, id: &str) -> Place {
        let Some(mailbox) = self.mailbox(address) else {
            return Place::Nowhere;
        };
        let Some(folder) = find(mailbox, id).map(|contact| contact.folder) else {
            return Place::Nowhere;
        };
        match folder {
            CONTACTS => Place::Contacts,
            DELETED_ITEMS => Place::DeletedItems,
            _ if mailbox.is_deleted_folder(folder) => Place::DeletedItems,
            _ => {
                let folder = mailbox.folders.get(&folder);
                Place::Folder(folder.map(|folder| folder.name.clone()).unwrap_or_default())
            }
        }
    }

    /// The id of the only contact of the default folder whose property holds this text.
    pub fn find(&self, address: &str, property: &str, text: &str) -> Option<String> {
        let contacts = self.contacts(address);
        let mut found =
            contacts
                .into_iter()
                .filter(|(_, properties)| match properties.get(property) {
                    Some(Value::String(held)) => held == text,
                    Some(Value::Array(held)) => held.iter().any(|held| {
                        held.as_str() == Some(text)
                            || held.get("address").and_then(Value::as_str) == Some(text)
                    }),
                    _ => false,
                });
        let (id, _) = found.next()?;
        found.next().is_none().then_some(id)
    }
}

/// The third and the fourth id of such a mailbox differ in the case of one letter.
const LARGE_MAILBOX_STEP: u64 = 104;

/// What Exchange keeps of a contact and Graph does not show. Names are those of EWS's keys.
const HIDDEN_FROM_GRAPH: [&str; 19] = [
    "assistantPhone",
    "businessFax",
    "callback",
    "carPhone",
    "companies",
    "companyMainPhone",
    "fileAsMapping",
    "homeFax",
    "isdn",
    "mileage",
    "otherFax",
    "otherTelephone",
    "pager",
    "postalAddressIndex",
    "primaryPhone",
    "radioPhone",
    "subject",
    "telex",
    "ttyTddPhone",
];

/// Outlook itself is not bound by what Graph refuses, except that values must be of their kind. It
/// has slots that Graph does not show, and leaves gaps: `null` in a list.
fn draft(properties: &Map<String, Value>, quirks: &GraphQuirks) -> Result<Draft, Problem> {
    let is_gapped = |value: &Value| {
        let entries = value.as_array();
        entries.is_some_and(|entries| entries.iter().any(Value::is_null))
    };
    let (own, shared): (Map<_, _>, Map<_, _>) = properties
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .partition(|(name, value)| HIDDEN_FROM_GRAPH.contains(&name.as_str()) || is_gapped(value));
    let mut draft = lenient(&shared, quirks)?;
    draft.properties.extend(own);
    Ok(draft)
}

fn lenient(properties: &Map<String, Value>, quirks: &GraphQuirks) -> Result<Draft, Problem> {
    let lenient = GraphQuirks {
        business_phones_max: usize::MAX,
        home_phones_max: usize::MAX,
        email_addresses_max: usize::MAX,
        im_addresses_max: usize::MAX,
        null_address_in_update: AddressUpdate::Clears,
        empty_address_in_update: AddressUpdate::Clears,
        ..quirks.clone()
    };
    Draft::read(properties, false, &lenient)
}

fn find<'m>(mailbox: &'m Mailbox, id: &str) -> Option<&'m Contact> {
    mailbox.resolve(Id::decode(id)?)
}

fn immutable(mailbox: &Mailbox, item: u64) -> String {
    let mailbox = mailbox.number;
    Id::Immutable { mailbox, item }.encode()
}
