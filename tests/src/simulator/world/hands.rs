//! The people who work with both sides between passes, in one line each.
//!
//! Values are JSON: a CRM contact is `{"firstName": ["Änne"]}`, each field a list; a mailbox
//! contact is `{"givenName": "Änne"}`, as Graph has it. What does not work panics, because a test
//! that edits nothing proves nothing.

use serde_json::{Map, Value};

use super::World;
use crate::simulator::Place;

impl World {
    /// Somebody creates a contact in FLOWFACT. Returns its id.
    pub fn crm_create(&self, fields: &Value) -> String {
        let fields = object(fields);
        self.services(|services, now| services.flowfact.create(fields, now))
    }

    /// Somebody sets fields of a FLOWFACT contact; an empty list clears.
    pub fn crm_edit(&self, id: &str, fields: &Value) {
        for (field, values) in object(fields) {
            let done =
                self.services(|services, now| services.flowfact.edit(id, &field, values, now));
            must(done, || format!("no CRM contact {id} to edit"));
        }
    }

    /// Somebody moves a FLOWFACT contact to the trash.
    pub fn crm_delete(&self, id: &str) {
        let done = self.services(|services, now| services.flowfact.delete(id, now));
        must(done, || format!("no CRM contact {id} to delete"));
    }

    /// Somebody brings a FLOWFACT contact back from the trash.
    pub fn crm_restore(&self, id: &str) {
        let done = self.services(|services, now| services.flowfact.restore(id, now));
        must(done, || format!("no CRM contact {id} to restore"));
    }

    /// Somebody takes a FLOWFACT contact out of the trash for good.
    pub fn crm_purge(&self, id: &str) {
        let done = self.services(|services, now| services.flowfact.purge(id, now));
        must(done, || format!("no CRM contact {id} to purge"));
    }

    /// Somebody sets the marker of a mailbox.
    pub fn crm_mark(&self, id: &str, address: &str) {
        let done = self.services(|services, now| services.flowfact.set_marker(id, address, now));
        must(done, || {
            format!("no CRM contact {id} to mark for {address}")
        });
    }

    /// Somebody takes the marker of a mailbox away.
    pub fn crm_unmark(&self, id: &str, address: &str) {
        let done = self.services(|services, now| services.flowfact.remove_marker(id, address, now));
        must(done, || format!("no marker of {address} to take from {id}"));
    }

    /// The fields of a FLOWFACT contact that is not in the trash.
    pub fn crm_fields(&self, id: &str) -> Option<Value> {
        self.services(|services, _| services.flowfact.fields(id).cloned().map(Value::Object))
    }

    /// The mailboxes whose marker a FLOWFACT contact carries.
    pub fn crm_markers(&self, id: &str) -> Vec<String> {
        self.services(|services, _| services.flowfact.markers(id).into_iter().collect())
    }

    /// The ids of all FLOWFACT contacts that are not in the trash.
    pub fn crm_ids(&self) -> Vec<String> {
        self.services(|services, _| services.flowfact.contacts().into_keys().collect())
    }

    /// The ids of the FLOWFACT contacts in the trash.
    pub fn crm_trash(&self) -> Vec<String> {
        self.services(|services, _| services.flowfact.trash().into_keys().collect())
    }

    /// Somebody creates a contact in Outlook. Returns its immutable id.
    pub fn mailbox_create(&self, address: &str, properties: &Value) -> String {
        let properties = object(properties);
        let id = self.services(|services, now| services.graph.create(address, &properties, now));
        or_panic(id, || format!("{address} cannot hold {properties:?}"))
    }

    /// Somebody sets properties of a contact in Outlook; `null` and empty lists clear.
    pub fn mailbox_edit(&self, address: &str, id: &str, properties: &Value) {
        let properties = object(properties);
        let done =
            self.services(|services, now| services.graph.edit(address, id, &properties, now));
        must(done, || {
            format!("no contact {id} in {address} that could hold {properties:?}")
        });
    }

    /// Somebody deletes a contact in Outlook: it moves to Deleted Items.
    pub fn mailbox_delete(&self, address: &str, id: &str) {
        let done = self.services(|services, now| services.graph.delete(address, id, now));
        must(done, || format!("no contact {id} in {address} to delete"));
    }

    /// Somebody deletes a contact in Outlook for good.
    pub fn mailbox_purge(&self, address: &str, id: &str) {
        let done = self.services(|services, now| services.graph.purge(address, id, now));
        must(done, || format!("no contact {id} in {address} to purge"));
    }

    /// Somebody moves a contact to another contact folder.
    pub fn mailbox_move(&self, address: &str, id: &str, folder: &str) {
        let done = self.services(|services, now| services.graph.move_to(address, id, folder, now));
        must(done, || format!("no contact {id} in {address} to move"));
    }

    /// Somebody moves a contact back to the default folder, from Deleted Items for example.
    pub fn mailbox_move_back(&self, address: &str, id: &str) {
        let done = self.services(|services, now| services.graph.move_back(address, id, now));
        must(done, || {
            format!("no contact {id} in {address} to move back")
        });
    }

    /// Somebody copies a contact in Outlook. Returns the copy's id.
    pub fn mailbox_copy(&self, address: &str, id: &str) -> String {
        let copy = self.services(|services, now| services.graph.copy(address, id, now));
        or_panic(copy, || format!("no contact {id} in {address} to copy"))
    }

    /// Somebody deletes a contact for good and enters the same again. Returns the new id.
    pub fn mailbox_recreate(&self, address: &str, id: &str) -> String {
        let new_id = self.services(|services, now| services.graph.recreate(address, id, now));
        or_panic(new_id, || {
            format!("no contact {id} in {address} to create again")
        })
    }

    /// The properties of a contact, wherever it is.
    pub fn mailbox_contact(&self, address: &str, id: &str) -> Option<Value> {
        self.services(|services, _| services.graph.contact(address, id).map(Value::Object))
    }

    /// The id by which a sync knows a contact now: on an Exchange Server that of its present place.
    ///
    /// # Panics
    ///
    /// If there is no such contact.
    pub fn mailbox_id_of(&self, address: &str, handle: &str) -> String {
        if !self.is_on_exchange_server(address) {
            return handle.to_owned();
        }
        let id = self.services(|services, _| services.graph.placed_id(address, handle));
        or_panic(id, || format!("no contact {handle} in {address}"))
    }

    /// The immutable id of the contact that a sync knows by this id; `None` where the id is one
    /// from before a move, or the contact is gone.
    pub fn mailbox_handle_of(&self, address: &str, id: &str) -> Option<String> {
        self.services(|services, _| services.graph.immutable_id(address, id))
    }

    /// The immutable id of the contact that this id belongs to, or belonged to before a move. What
    /// is no contact's id stays as it is.
    pub fn mailbox_handle_behind(&self, id: &str) -> String {
        let handle = self.services(|services, _| services.graph.immutable_id_behind(id));
        handle.unwrap_or_else(|| id.to_owned())
    }

    /// Where a contact is.
    pub fn mailbox_place(&self, address: &str, id: &str) -> Place {
        self.services(|services, _| services.graph.place(address, id))
    }

    /// The immutable ids of all contacts in the default folder.
    pub fn mailbox_ids(&self, address: &str) -> Vec<String> {
        self.services(|services, _| services.graph.contacts(address).into_keys().collect())
    }
}

fn object(value: &Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object.clone(),
        other => panic!("an object expected, not {other}"),
    }
}

fn must(done: bool, complaint: impl FnOnce() -> String) {
    assert!(done, "{}", complaint());
}

fn or_panic(id: Option<String>, complaint: impl FnOnce() -> String) -> String {
    id.unwrap_or_else(|| panic!("{}", complaint()))
}
