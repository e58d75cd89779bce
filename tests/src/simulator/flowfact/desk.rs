//! What people do in FLOWFACT's own windows, and what tests look at. No rules of the API apply.

use contact_sync_guest::job::Marker;
use contact_sync_guest::outside::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

use super::entities::Access;
use super::schema::{ACCOUNT_FIELD, MarkerKind, TAGS_FIELD};
use super::sync_entries::MailAccount;
use super::{Fields, Flowfact};

impl Flowfact {
    // ---- what people do ---------------------------------------------------------------------

    /// Somebody creates a contact. `fields` are lists of values by field. Returns its id.
    pub fn create(&mut self, fields: Fields, now: Timestamp) -> String {
        self.settle(now);
        let user = self.platform.broker.id.clone();
        self.store_new(fields, &user, now)
    }

    /// Another program that signs in as the API user creates a contact. Returns its id.
    pub fn create_by_api_user(&mut self, fields: Fields, now: Timestamp) -> String {
        self.settle(now);
        let user = self.platform.api_user.id.clone();
        self.store_new(fields, &user, now)
    }

    /// Somebody sets a field to these values; to none clears it. `false` if there is no such
    /// contact.
    pub fn edit(&mut self, id: &str, field: &str, values: Value, now: Timestamp) -> bool {
        self.settle(now);
        let user = self.platform.broker.id.clone();
        self.entities
            .change(id, Some(&user), now, &self.quirks, |entity| {
                if values.as_array().is_none_or(Vec::is_empty) {
                    entity.fields.shift_remove(field);
                } else {
                    entity.fields.insert(field.to_owned(), values);
                }
            })
    }

    /// Somebody moves a contact to the trash.
    pub fn delete(&mut self, id: &str, now: Timestamp) -> bool {
        self.settle(now);
        let user = self.platform.broker.id.clone();
        self.entities.delete(id, &user, now, &self.quirks)
    }

    /// Somebody brings a contact back from the trash.
    pub fn restore(&mut self, id: &str, now: Timestamp) -> bool {
        self.settle(now);
        let user = self.platform.broker.id.clone();
        self.entities.restore(id, &user, now, &self.quirks)
    }

    /// Somebody takes a contact out of the trash for good.
    pub fn purge(&mut self, id: &str, now: Timestamp) -> bool {
        self.settle(now);
        self.purge_entity(id, now)
    }

    /// Somebody sets the marker of a mail account.
    pub fn set_marker(&mut self, id: &str, address: &str, now: Timestamp) -> bool {
        self.change_marker(id, address, true, now)
    }

    /// Somebody takes the marker of a mail account away.
    pub fn remove_marker(&mut self, id: &str, address: &str, now: Timestamp) -> bool {
        self.change_marker(id, address, false, now)
    }

    fn change_marker(&mut self, id: &str, address: &str, set: bool, now: Timestamp) -> bool {
        self.settle(now);
        let Some(account) = self.account_id(address) else {
            return false;
        };
        let (field, value) = match self.marker_kind {
            MarkerKind::AccountField => (ACCOUNT_FIELD, account),
            MarkerKind::Tag => (TAGS_FIELD, tag(address)),
            MarkerKind::SyncEntry if set => {
                let new_id = self.chance.uuid();
                self.sync_entries.insert(new_id, id, &account);
                return true;
            }
            MarkerKind::SyncEntry => return self.sync_entries.remove(id, &account),
        };
        let mut values = self.values(id, field);
        values.retain(|held| held.as_str() != Some(value.as_str()));
        if set {
            values.push(Value::String(value));
        }
        self.edit(id, field, Value::Array(values), now)
    }

    /// Somebody locks a field, or opens it.
    pub fn lock(&mut self, id: &str, field: &str, locked: bool, now: Timestamp) -> bool {
        self.entities.change(id, None, now, &self.quirks, |entity| {
            if locked {
                entity.locked.insert(field.to_owned());
            } else {
                entity.locked.remove(field);
            }
        })
    }

    /// Somebody changes what the API user may do with a contact.
    pub fn grant(&mut self, id: &str, access: Access, now: Timestamp) -> bool {
        self.settle(now);
        self.entities
            .change(id, None, now, &self.quirks, |entity| entity.access = access)
    }

    /// FLOWFACT recalculates a contact: its time of modification changes, and nothing else.
    pub fn recalculate(&mut self, id: &str, now: Timestamp) -> bool {
        self.settle(now);
        self.entities
            .change(id, Some("system"), now, &self.quirks, |_| {})
    }

    /// An administrator adds a mail account; its own contact sync is off.
    pub fn add_mail_account(&mut self, address: &str, display_name: &str) -> String {
        let id = self.chance.uuid().replace('-', "");
        let settings = [
            ("sync.email", "true"),
            ("sync.calendar", "false"),
            ("sync.contact", "false"),
        ];
        let account = MailAccount {
            id: id.clone(),
            address: address.to_owned(),
            display_name: display_name.to_owned(),
            settings: settings
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        };
        self.accounts.insert(id.clone(), account);
        if self.marker_kind == MarkerKind::Tag {
            self.schema.allow(TAGS_FIELD, &tag(address), address);
        }
        id
    }

    /// An administrator switches FLOWFACT's own contact sync for a mail account.
    pub fn set_native_sync(&mut self, address: &str, on: bool) {
        let mut accounts = self.accounts.values_mut();
        if let Some(account) = accounts.find(|account| account.address == address) {
            let value = if on { "true" } else { "false" };
            account
                .settings
                .insert("sync.contact".to_owned(), value.to_owned());
        }
    }

    /// All tokens become worthless before they expire.
    pub fn revoke_tokens(&mut self) {
        self.platform.revoke();
    }

    // ---- what tests look at -----------------------------------------------------------------

    /// The platform token that the token exchange takes.
    pub fn platform_token(&self) -> &str {
        &self.platform.token
    }

    /// The id of the company.
    pub fn company_id(&self) -> &str {
        &self.platform.company
    }

    /// The id of the user that the API acts for: the creator of what it creates.
    pub fn api_user_id(&self) -> &str {
        &self.platform.api_user.id
    }

    /// The id of the mail account with this address.
    pub fn account_id(&self, address: &str) -> Option<String> {
        let mut accounts = self.accounts.values();
        let account = accounts.find(|account| account.address.eq_ignore_ascii_case(address));
        account.map(|account| account.id.clone())
    }

    /// Where the marker of this mail account is kept, as a job says it.
    pub fn marker(&self, address: &str) -> Option<Marker> {
        let account = self.account_id(address)?;
        Some(match self.marker_kind {
            MarkerKind::AccountField => Marker::FieldValue {
                field: ACCOUNT_FIELD.to_owned(),
                value: account,
            },
            MarkerKind::Tag => Marker::FieldValue {
                field: TAGS_FIELD.to_owned(),
                value: tag(address),
            },
            MarkerKind::SyncEntry => Marker::SyncEntry(account),
        })
    }

    /// The addresses of the mail accounts whose marker a contact carries, in the trash too.
    pub fn markers(&self, id: &str) -> BTreeSet<String> {
        let addresses = self
            .accounts
            .values()
            .map(|account| account.address.as_str());
        let marked = addresses.filter(|address| match self.marker(address) {
            Some(Marker::FieldValue { field, value }) => {
                self.values(id, &field).contains(&Value::String(value))
            }
            Some(Marker::SyncEntry(account)) => self.sync_entries.accounts(id).contains(&account),
            None => false,
        });
        marked.map(str::to_owned).collect()
    }

    /// All contacts that are not in the trash, hidden ones too: their fields by id.
    pub fn contacts(&self) -> BTreeMap<String, Fields> {
        let live = self.entities.live();
        live.map(|entity| (entity.id.clone(), entity.fields.clone()))
            .collect()
    }

    /// How many contacts there are that are not in the trash.
    pub fn contact_count(&self) -> usize {
        self.entities.live().count()
    }

    /// The contacts in the trash: their fields by id.
    pub fn trash(&self) -> BTreeMap<String, Fields> {
        let trashed = self.entities.trashed();
        trashed
            .map(|entity| (entity.id.clone(), entity.fields.clone()))
            .collect()
    }

    /// The fields of a contact that is not in the trash.
    pub fn fields(&self, id: &str) -> Option<&Fields> {
        self.entities.get(id).map(|entity| &entity.fields)
    }

    /// The values of a field of a contact, in the trash too; none if there is nothing.
    pub fn values(&self, id: &str, field: &str) -> Vec<Value> {
        let entity = self
            .entities
            .get(id)
            .or_else(|| self.entities.get_trashed(id));
        let values = entity.and_then(|entity| entity.fields.get(field)?.as_array());
        values.cloned().unwrap_or_default()
    }

    /// When a contact was last modified.
    pub fn modified(&self, id: &str) -> Option<Timestamp> {
        self.entities.get(id).map(|entity| entity.modified)
    }

    /// The contact as the API answers it.
    pub fn answered(&self, id: &str) -> Option<Value> {
        self.entities.get(id).map(|entity| self.show(entity, &[]))
    }

    /// The id of the only contact whose field holds this value.
    pub fn find(&self, field: &str, value: &str) -> Option<String> {
        let mut found = self.entities.live().filter(|entity| {
            let values = entity.values_at(field).unwrap_or_default();
            values.contains(&json!(value))
        });
        let first = found.next()?;
        found.next().is_none().then(|| first.id.clone())
    }
}

/// The value of the tags field that stands for a mail account.
fn tag(address: &str) -> String {
    format!("sync {address}")
}
