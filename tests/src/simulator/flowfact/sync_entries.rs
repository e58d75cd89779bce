//! nylas-contact-sync-service and nylas-service: which contact syncs with which mail account.

use contact_sync_guest::outside::Method;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

use super::quirks::Reach;
use super::{Answer, Call, Flowfact, RequestKind, count, ids};

/// A mail account that FLOWFACT knows.
#[derive(Clone, Debug)]
pub(super) struct MailAccount {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) display_name: String,
    /// All values are text, `"true"` and `"false"` among them.
    pub(super) settings: BTreeMap<String, String>,
}

/// The entries of nylas-contact-sync-service.
#[derive(Clone, Debug, Default)]
pub(super) struct SyncEntries {
    by_id: BTreeMap<String, SyncEntry>,
    by_contact: BTreeMap<String, BTreeSet<String>>,
}

/// One contact syncs with one mail account.
#[derive(Clone, Debug)]
struct SyncEntry {
    id: String,
    contact: String,
    account: String,
}

impl SyncEntries {
    fn of_contact(&self, contact: &str) -> impl Iterator<Item = &SyncEntry> {
        let ids = self.by_contact.get(contact).into_iter().flatten();
        ids.filter_map(|id| self.by_id.get(id))
    }

    fn find(&self, contact: &str, account: &str) -> Option<&SyncEntry> {
        self.of_contact(contact)
            .find(|entry| entry.account == account)
    }

    pub(super) fn accounts(&self, contact: &str) -> BTreeSet<String> {
        self.of_contact(contact)
            .map(|entry| entry.account.clone())
            .collect()
    }

    /// The id of the entry, new or not.
    pub(super) fn insert(&mut self, new_id: String, contact: &str, account: &str) -> String {
        if let Some(entry) = self.find(contact, account) {
            return entry.id.clone();
        }
        let entry = SyncEntry {
            id: new_id.clone(),
            contact: contact.to_owned(),
            account: account.to_owned(),
        };
        self.by_contact
            .entry(contact.to_owned())
            .or_default()
            .insert(new_id.clone());
        self.by_id.insert(new_id.clone(), entry);
        new_id
    }

    pub(super) fn remove(&mut self, contact: &str, account: &str) -> bool {
        let id = self.find(contact, account).map(|entry| entry.id.clone());
        id.is_some_and(|id| self.remove_id(&id))
    }

    fn remove_id(&mut self, id: &str) -> bool {
        let Some(entry) = self.by_id.remove(id) else {
            return false;
        };
        if let Some(ids) = self.by_contact.get_mut(&entry.contact) {
            ids.remove(id);
        }
        true
    }

    pub(super) fn remove_contact(&mut self, contact: &str) {
        for id in self.by_contact.remove(contact).into_iter().flatten() {
            self.by_id.remove(&id);
        }
    }
}

impl Flowfact {
    pub(super) fn sync_entry_service(&mut self, call: &Call<'_>, path: &[&str]) -> Answer {
        let kind = match call.method {
            Method::Get => RequestKind::FlowfactSyncEntries,
            _ => RequestKind::FlowfactSyncEntryChange,
        };
        if let Some(refusal) = self.out_of_reach(call, kind, self.quirks.sync_entries) {
            return refusal;
        }
        match (call.method, path) {
            (Method::Get, ["syncEntries"]) => self.sync_entries_page(call),
            (Method::Get, ["syncEntries", id]) => match self.sync_entries.by_id.get(*id) {
                Some(entry) => Answer::json(kind, 200, self.show_entry(entry)),
                None => self.refuse(call, kind, 404, "Sync entry not found"),
            },
            (Method::Post, ["syncEntries"]) => self.create_entry_call(call),
            (Method::Post, ["syncEntries", "contact", contact]) => {
                self.set_entries_call(call, contact)
            }
            (Method::Delete, ["syncEntries", id]) => {
                if self.sync_entries.remove_id(id) {
                    Answer::empty(kind, 200)
                } else {
                    self.refuse(call, kind, 404, "Sync entry not found")
                }
            }
            _ => self.unknown(call),
        }
    }

    fn sync_entries_page(&self, call: &Call<'_>) -> Answer {
        let kind = RequestKind::FlowfactSyncEntries;
        let (Some(page), Some(size)) = (count(call, "page", 1), count(call, "size", 25)) else {
            return self.refuse(call, kind, 400, "page and size must be numbers");
        };
        if page == 0 {
            return self.refuse(call, kind, 400, "page starts at 1");
        }
        let size = size.clamp(1, self.quirks.page_size_max);
        let offset = (page - 1).saturating_mul(size);
        let account = call.parameter("accountId");
        let wanted = |entry: &&SyncEntry| account.is_none_or(|account| account == entry.account);
        let (entries, total) = match call.parameter("contactId") {
            Some(_) if self.quirks.sync_entries == Reach::Empty => (Vec::new(), 0),
            Some(contact) => {
                let all: Vec<_> = self
                    .sync_entries
                    .of_contact(contact)
                    .filter(wanted)
                    .collect();
                let total = all.len();
                (all.into_iter().skip(offset).take(size).collect(), total)
            }
            None if self.quirks.sync_entries_listable => {
                let all = self.sync_entries.by_id.values().filter(wanted);
                let total = all.clone().count();
                (all.skip(offset).take(size).collect(), total)
            }
            None => return self.refuse(call, kind, 400, "contactId expected"),
        };
        let results = entries.into_iter().map(|entry| self.show_entry(entry));
        let answer = json!({
            "results": results.collect::<Vec<_>>(),
            "pageNumber": page,
            "pageSize": size,
            "totalSize": total,
        });
        Answer::json(kind, 200, answer)
    }

    fn create_entry_call(&mut self, call: &Call<'_>) -> Answer {
        let kind = RequestKind::FlowfactSyncEntryChange;
        let body = call.json().unwrap_or_default();
        let text = |member: &str| body.get(member).and_then(Value::as_str).unwrap_or_default();
        let (contact, account) = (text("contactId"), text("accountId"));
        if self.entities.get(contact).is_none() {
            return self.refuse(call, kind, 404, "Contact not found");
        }
        if !self.accounts.contains_key(account) {
            return self.refuse(call, kind, 400, "Account not found");
        }
        let new_id = self.chance.uuid();
        let id = self.sync_entries.insert(new_id, contact, account);
        let entry = self
            .sync_entries
            .by_id
            .get(&id)
            .map(|entry| self.show_entry(entry));
        Answer::json(kind, 200, entry.unwrap_or_default())
    }

    fn set_entries_call(&mut self, call: &Call<'_>, contact: &str) -> Answer {
        let kind = RequestKind::FlowfactSyncEntryChange;
        let Some(accounts) = call.json().ok().and_then(|body| ids(&body, "accountIds")) else {
            return self.refuse(call, kind, 400, "accountIds expected");
        };
        if self.entities.get(contact).is_none() {
            return self.refuse(call, kind, 404, "Contact not found");
        }
        if accounts
            .iter()
            .any(|account| !self.accounts.contains_key(account))
        {
            return self.refuse(call, kind, 400, "Account not found");
        }
        if self.quirks.sync_entries_replaced {
            for held in self.sync_entries.accounts(contact) {
                if !accounts.contains(&held) {
                    self.sync_entries.remove(contact, &held);
                }
            }
        }
        for account in &accounts {
            let new_id = self.chance.uuid();
            self.sync_entries.insert(new_id, contact, account);
        }
        let entries = self.sync_entries.of_contact(contact);
        let entries: Vec<Value> = entries.map(|entry| self.show_entry(entry)).collect();
        Answer::json(kind, 200, entries)
    }

    fn show_entry(&self, entry: &SyncEntry) -> Value {
        json!({
            "id": entry.id,
            "companyId": self.platform.company,
            "contactId": entry.contact,
            "accountId": entry.account,
            "nylasId": null,
        })
    }

    pub(super) fn mail_account_service(&mut self, call: &Call<'_>, path: &[&str]) -> Answer {
        let kind = match call.method {
            Method::Get => RequestKind::FlowfactMailAccounts,
            _ => RequestKind::FlowfactMailAccountChange,
        };
        let reach = self.quirks.mail_accounts;
        if let Some(refusal) = self.out_of_reach(call, kind, reach) {
            return refusal;
        }
        let visible = |account: &&MailAccount| reach == Reach::Open && !account.id.is_empty();
        match (call.method, path) {
            (Method::Get, ["config"]) => {
                let accounts = self.accounts.values().filter(visible);
                let shown: Vec<Value> =
                    accounts.map(|account| self.show_account(account)).collect();
                Answer::json(kind, 200, json!({ "emails": shown }))
            }
            (Method::Get, ["account-info"]) => {
                let address = call.parameter("email").unwrap_or_default();
                let mut accounts = self.accounts.values().filter(visible);
                let found = accounts.find(|account| account.address.eq_ignore_ascii_case(address));
                match found {
                    Some(account) => Answer::json(kind, 200, self.show_account(account)),
                    None => self.refuse(call, kind, 404, "Account not found"),
                }
            }
            (Method::Patch | Method::Post, ["config"]) => self.change_account_call(call),
            _ => self.unknown(call),
        }
    }

    /// `PATCH` merges the settings, `POST` replaces them.
    fn change_account_call(&mut self, call: &Call<'_>) -> Answer {
        let kind = RequestKind::FlowfactMailAccountChange;
        let body = call.json().unwrap_or_default();
        let address = body
            .get("email")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let mut accounts = self.accounts.values_mut();
        let Some(account) = accounts.find(|account| account.address.eq_ignore_ascii_case(address))
        else {
            return self.refuse(call, kind, 404, "Account not found");
        };
        if call.method == Method::Post {
            account.settings.clear();
        }
        let values = body.get("configValues").and_then(Value::as_object);
        for (key, value) in values.into_iter().flatten() {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            account.settings.insert(key.clone(), value);
        }
        let account = account.clone();
        Answer::json(kind, 200, self.show_account(&account))
    }

    fn show_account(&self, account: &MailAccount) -> Value {
        let settings = account.settings.iter();
        let settings: Map<String, Value> = settings
            .map(|(key, value)| (key.clone(), Value::String(value.clone())))
            .collect();
        json!({
            "accountId": account.id,
            "email": account.address,
            "displayName": account.display_name,
            "ownerId": self.platform.broker.id,
            "companyId": self.platform.company,
            "accountType": "outlook",
            "syncStatus": "running",
            "billingStatus": "paid",
            "created": "2025-08-01T08:00:00Z",
            "lastEvent": "2025-08-01T08:00:00Z",
            "lastSync": "2025-08-01T08:00:00Z",
            "defaultAccount": false,
            "ireland": true,
            "sharedAccountUsers": [],
            "settings": settings,
        })
    }
}
