//! entity-service: contacts, the trash, rights; and what a search of them answers.

use contact_sync_guest::outside::{Method, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::company::User;
use super::quirks::{BadValue, CreateAnswer, EmailForm, FlowfactQuirks, TimestampForm, TrashOrder};
use super::search::{Query, SearchIndex};
use super::{Answer, Call, Fields, Flowfact, RequestKind, count, ids, is};

/// One contact.
#[derive(Clone, Debug)]
pub(super) struct Entity {
    pub(super) id: String,
    /// Each a list of values.
    pub(super) fields: Fields,
    pub(super) created: Timestamp,
    pub(super) creator: String,
    pub(super) modified: Timestamp,
    pub(super) modifier: String,
    /// Fields that people have locked.
    pub(super) locked: BTreeSet<String>,
    pub(super) access: Access,
}

/// What the API user may do with a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    Full,
    /// Read, not write.
    ReadOnly,
    /// Nothing: it is as if it were not there.
    Hidden,
}

/// A contact in the trash.
#[derive(Clone, Debug)]
struct Trashed {
    entity: Arc<Entity>,
    deleted: Timestamp,
    deleter: String,
    order: u64,
}

/// Something that happened to a contact.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at: Timestamp,
    pub(super) user: String,
    pub(super) kind: &'static str,
}

/// All contacts.
#[derive(Clone, Debug, Default)]
pub(super) struct Entities {
    live: BTreeMap<String, Arc<Entity>>,
    trash: BTreeMap<String, Trashed>,
    trash_order: BTreeSet<(Timestamp, u64, String)>,
    index: SearchIndex,
    history: BTreeMap<String, Vec<Event>>,
    recalculations: VecDeque<(Timestamp, String)>,
    deletions: u64,
}

impl Entity {
    /// The values at a field, at a member of a field's objects, or in the metadata.
    pub(super) fn values_at(&self, path: &str) -> Option<Vec<Value>> {
        let (field, member) = path.split_once('.').unwrap_or((path, ""));
        if field == "id" {
            return Some(vec![Value::String(self.id.clone())]);
        }
        if field == "_metadata" {
            return self.metadata_at(member).map(|value| vec![value]);
        }
        let values = self.fields.get(field)?.as_array()?;
        if member.is_empty() {
            return Some(values.clone());
        }
        let members = values.iter().filter_map(|value| value.get(member));
        Some(members.cloned().collect())
    }

    fn metadata_at(&self, member: &str) -> Option<Value> {
        Some(match member {
            "id" => Value::String(self.id.clone()),
            "schema" => Value::String("contacts".to_owned()),
            "timestamp" | "lastModifiedTimestamp" => self.modified.0.into(),
            "createdTimestamp" => self.created.0.into(),
            "creator" => Value::String(self.creator.clone()),
            "lastModifier" => Value::String(self.modifier.clone()),
            _ => return None,
        })
    }
}

impl Entities {
    pub(super) fn get(&self, id: &str) -> Option<&Arc<Entity>> {
        self.live.get(id)
    }

    pub(super) fn get_trashed(&self, id: &str) -> Option<&Arc<Entity>> {
        self.trash.get(id).map(|trashed| &trashed.entity)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<Entity>> {
        self.live.values()
    }

    pub(super) fn trashed(&self) -> impl Iterator<Item = &Arc<Entity>> {
        self.trash.values().map(|trashed| &trashed.entity)
    }

    pub(super) fn history(&self, id: &str) -> &[Event] {
        self.history.get(id).map_or(&[], Vec::as_slice)
    }

    /// Stores a new contact.
    pub(super) fn insert(&mut self, entity: Entity, quirks: &FlowfactQuirks) {
        let (id, now, user) = (entity.id.clone(), entity.created, entity.creator.clone());
        self.live.insert(id.clone(), Arc::new(entity));
        self.note(&id, now, &user, "CREATE");
        self.changed(&id, now, quirks);
    }

    /// Changes a contact. A change by nobody leaves the time of modification as it is.
    pub(super) fn change(
        &mut self,
        id: &str,
        user: Option<&str>,
        now: Timestamp,
        quirks: &FlowfactQuirks,
        change: impl FnOnce(&mut Entity),
    ) -> bool {
        let Some(entity) = self.live.get_mut(id) else {
            return false;
        };
        let entity = Arc::make_mut(entity);
        change(entity);
        if let Some(user) = user {
            entity.modified = now;
            user.clone_into(&mut entity.modifier);
            self.note(id, now, user, "UPDATE");
        }
        self.changed(id, now, quirks);
        true
    }

    pub(super) fn delete(
        &mut self,
        id: &str,
        user: &str,
        now: Timestamp,
        quirks: &FlowfactQuirks,
    ) -> bool {
        let Some(entity) = self.live.remove(id) else {
            return false;
        };
        self.deletions += 1;
        let trashed = Trashed {
            entity,
            deleted: now,
            deleter: user.to_owned(),
            order: self.deletions,
        };
        self.trash_order.insert((now, trashed.order, id.to_owned()));
        self.trash.insert(id.to_owned(), trashed);
        self.note(id, now, user, "DELETE");
        if !quirks.trashed_in_search {
            self.index
                .record(now.plus_ms(quirks.index_lag_ms), id, None);
        }
        true
    }

    pub(super) fn restore(
        &mut self,
        id: &str,
        user: &str,
        now: Timestamp,
        quirks: &FlowfactQuirks,
    ) -> bool {
        let Some(trashed) = self.take_from_trash(id) else {
            return false;
        };
        self.live.insert(id.to_owned(), trashed.entity);
        let user = quirks.restore_modifies.then_some(user);
        self.change(id, user, now, quirks, |_| {})
    }

    pub(super) fn purge(&mut self, id: &str, now: Timestamp, quirks: &FlowfactQuirks) -> bool {
        let purged = self.take_from_trash(id).is_some();
        if purged {
            self.index
                .record(now.plus_ms(quirks.index_lag_ms), id, None);
        }
        purged
    }

    fn take_from_trash(&mut self, id: &str) -> Option<Trashed> {
        let trashed = self.trash.remove(id)?;
        let place = (trashed.deleted, trashed.order, id.to_owned());
        self.trash_order.remove(&place);
        Some(trashed)
    }

    /// Lets the index and the recalculation know of a change.
    fn changed(&mut self, id: &str, now: Timestamp, quirks: &FlowfactQuirks) {
        let visible = self.live.get(id);
        let visible = visible.filter(|entity| entity.access != Access::Hidden);
        let lagging = now.plus_ms(quirks.index_lag_ms);
        self.index.record(lagging, id, visible.cloned());
        if let Some(wait_ms) = quirks.recalculation_ms {
            self.recalculations
                .push_back((now.plus_ms(wait_ms), id.to_owned()));
        }
    }

    fn note(&mut self, id: &str, at: Timestamp, user: &str, kind: &'static str) {
        let event = Event {
            at,
            user: user.to_owned(),
            kind,
        };
        self.history.entry(id.to_owned()).or_default().push(event);
    }

    /// Recalculations that are due, and the index up to now.
    pub(super) fn settle(&mut self, now: Timestamp) {
        while let Some((due, id)) = self.recalculations.pop_front() {
            if due > now {
                self.recalculations.push_front((due, id));
                break;
            }
            if let Some(entity) = self.live.get_mut(&id) {
                let entity = Arc::make_mut(entity);
                entity.modified = due;
                let visible = entity.access != Access::Hidden;
                let visible = visible.then(|| Arc::new(entity.clone()));
                self.index.record(due, &id, visible);
            }
        }
        self.index.catch_up(now);
    }

    fn trash_page(&self, order: TrashOrder, offset: usize, size: usize) -> Vec<&Trashed> {
        let ordered = self.trash_order.iter().map(|(_, _, id)| id);
        let page = |ids: &mut dyn Iterator<Item = &String>| {
            let ids = ids.skip(offset).take(size);
            ids.filter_map(|id| self.trash.get(id)).collect()
        };
        match order {
            TrashOrder::NewestFirst => page(&mut ordered.rev()),
            TrashOrder::NewestLast => page(&mut ordered.into_iter()),
            TrashOrder::None => page(&mut self.trash.keys()),
        }
    }
}

impl Flowfact {
    pub(super) fn entity_service(&mut self, call: &Call<'_>, path: &[&str], user: &User) -> Answer {
        match (call.method, path) {
            (Method::Post, ["schemas", "contacts"]) => self.create_call(call, user),
            (method, ["schemas", "contacts", "entities", id] | ["entities", id]) => match method {
                Method::Get => self.read_call(call, id),
                Method::Patch => self.update_call(call, id, user),
                Method::Delete => self.delete_call(call, id, user),
                Method::Post => self.unknown(call),
            },
            (Method::Patch, ["schemas", "contacts", "entities", id, "deep"]) => {
                self.deep_update_call(call, id, user)
            }
            (Method::Delete, ["entities"] | ["schemas", "contacts", "entities"]) => {
                self.bulk_delete_call(call, path.len() > 1, user)
            }
            (
                Method::Get,
                [
                    "schemas",
                    "contacts",
                    "entities",
                    id,
                    "users",
                    _,
                    "hasaccess",
                    right,
                ],
            ) => self.access_call(call, id, right),
            (Method::Get, ["recovery", "entities"]) => self.trash_call(call),
            (Method::Get, ["recovery", "schemas"]) => {
                let schemas = json!({"schemas": [{"schema": "contacts"}]});
                Answer::json(RequestKind::FlowfactTrash, 200, schemas)
            }
            (Method::Post | Method::Delete, ["recovery", "entities"]) => {
                self.recover_call(call, user)
            }
            _ => self.unknown(call),
        }
    }

    fn create_call(&mut self, call: &Call<'_>, user: &User) -> Answer {
        let kind = RequestKind::FlowfactCreate;
        let fields = match self.admit(call, None) {
            Ok(fields) => fields,
            Err(why) => return self.refuse(call, kind, 400, &why),
        };
        let id = self.store_new(fields, &user.id, call.now);
        let status = self.quirks.create_status;
        let version_2 = call.header("x-ff-version") == Some("2");
        match self.quirks.create_answer {
            CreateAnswer::IdJson => Answer::json(kind, status, id),
            CreateAnswer::IdObject => Answer::json(kind, status, json!({ "id": id })),
            CreateAnswer::Entity => self.entity_answer(kind, status, &id),
            CreateAnswer::EntityForVersion2 if version_2 => self.entity_answer(kind, status, &id),
            CreateAnswer::IdText | CreateAnswer::EntityForVersion2 => {
                Answer::text(kind, status, id)
            }
        }
    }

    pub(super) fn store_new(&mut self, fields: Fields, user: &str, now: Timestamp) -> String {
        let id = self.chance.uuid();
        let number = self.chance.below(900_000) + 100_000;
        let mut fields = fields;
        fields.retain(|_, values| values.as_array().is_some_and(|values| !values.is_empty()));
        if self.schema.has("identifier") {
            fields.insert("identifier".to_owned(), json!([format!("ID {number}")]));
        }
        let entity = Entity {
            id: id.clone(),
            fields,
            created: now,
            creator: user.to_owned(),
            modified: now,
            modifier: user.to_owned(),
            locked: BTreeSet::new(),
            access: Access::Full,
        };
        self.entities.insert(entity, &self.quirks);
        id
    }

    fn read_call(&mut self, call: &Call<'_>, id: &str) -> Answer {
        let kind = RequestKind::FlowfactRead;
        match self.refusal(call, kind, id, false) {
            None => self.entity_answer(kind, 200, id),
            Some(refusal) => refusal,
        }
    }

    fn update_call(&mut self, call: &Call<'_>, id: &str, user: &User) -> Answer {
        let kind = RequestKind::FlowfactUpdate;
        if let Some(refusal) = self.refusal(call, kind, id, true) {
            return refusal;
        }
        let fields = match self.admit(call, Some(id)) {
            Ok(fields) => fields,
            Err(why) => return self.refuse(call, kind, 400, &why),
        };
        let quirks = &self.quirks;
        let (replaces, clears) = (quirks.patch_replaces_values, quirks.empty_values_clear);
        let answers_empty = quirks.cleared_field_answered;
        self.entities
            .change(id, Some(&user.id), call.now, quirks, |entity| {
                for (field, values) in fields {
                    let empty = values.as_array().is_some_and(Vec::is_empty);
                    if empty && !clears {
                        continue;
                    }
                    if empty && !answers_empty {
                        entity.fields.shift_remove(&field);
                    } else if replaces || empty {
                        entity.fields.insert(field, values);
                    } else {
                        append(&mut entity.fields, field, values);
                    }
                }
            });
        if self.quirks.update_answers_entity {
            self.entity_answer(kind, 200, id)
        } else {
            Answer::empty(kind, 204)
        }
    }

    fn deep_update_call(&mut self, call: &Call<'_>, id: &str, user: &User) -> Answer {
        let kind = RequestKind::FlowfactUpdate;
        if let Some(refusal) = self.refusal(call, kind, id, true) {
            return refusal;
        }
        let body = call.json().unwrap_or_default();
        let operation = body
            .get("op")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let value = body.get("value").and_then(Value::as_object);
        let fields = match value.map(|value| self.admit_fields(value, Some(id))) {
            Some(Ok(fields)) if matches!(operation.as_str(), "add" | "remove" | "replace") => {
                fields
            }
            Some(Err(why)) => return self.refuse(call, kind, 400, &why),
            _ => return self.refuse(call, kind, 400, "op and value expected"),
        };
        let schema = self.schema.clone();
        self.entities
            .change(id, Some(&user.id), call.now, &self.quirks, |entity| {
                for (field, values) in fields {
                    match operation.as_str() {
                        "add" if schema.is_multiple(&field) => {
                            append(&mut entity.fields, field, values);
                        }
                        "remove" => remove(&mut entity.fields, &field, &values),
                        _ => {
                            entity.fields.insert(field, values);
                        }
                    }
                }
            });
        self.entity_answer(kind, 200, id)
    }

    fn delete_call(&mut self, call: &Call<'_>, id: &str, user: &User) -> Answer {
        let kind = RequestKind::FlowfactDelete;
        if let Some(refusal) = self.refusal(call, kind, id, true) {
            return refusal;
        }
        self.entities.delete(id, &user.id, call.now, &self.quirks);
        Answer::empty(kind, self.quirks.delete_status)
    }

    fn bulk_delete_call(&mut self, call: &Call<'_>, one_schema: bool, user: &User) -> Answer {
        let kind = RequestKind::FlowfactDelete;
        // "otherwise a customer could delete his whole system", says the SDK of this header.
        if !one_schema && call.header("x-ff-version") != Some("2") {
            return self.refuse(call, kind, 400, "x-ff-version 2 expected");
        }
        let body = call.json().unwrap_or_default();
        let named = if one_schema {
            ids(&body, "entityIds")
        } else {
            body.get("entities")
                .and_then(Value::as_array)
                .map(|entities| {
                    let ids = entities
                        .iter()
                        .filter_map(|entity| entity.get("entityId")?.as_str());
                    ids.map(str::to_owned).collect()
                })
        };
        let Some(named) = named else {
            return self.refuse(call, kind, 400, "entities expected");
        };
        let mut responses = Map::new();
        for id in named {
            let status = if let Some(refusal) = self.refusal(call, kind, &id, true) {
                refusal.status
            } else {
                self.entities.delete(&id, &user.id, call.now, &self.quirks);
                self.quirks.delete_status
            };
            responses.insert(id, json!({"response": "", "statusCode": status}));
        }
        Answer::json(kind, 200, json!({ "responses": responses }))
    }

    fn access_call(&self, call: &Call<'_>, id: &str, right: &str) -> Answer {
        let kind = RequestKind::FlowfactAccess;
        let Some(entity) = self.entities.get(id) else {
            return self.refuse(call, kind, 404, "Entity not found");
        };
        let granted = match entity.access {
            Access::Full => true,
            Access::ReadOnly => matches!(right, "READ" | "SEARCH"),
            Access::Hidden => false,
        };
        let answer = json!({"schemaId": "contacts", "entityId": id, "hasAccess": granted});
        Answer::json(kind, 200, answer)
    }

    fn trash_call(&self, call: &Call<'_>) -> Answer {
        let kind = RequestKind::FlowfactTrash;
        let default = self.quirks.page_size_default;
        let (Some(page), Some(size)) = (count(call, "page", 1), count(call, "size", default))
        else {
            return self.refuse(call, kind, 400, "page and size must be numbers");
        };
        if page == 0 {
            return self.refuse(call, kind, 400, "page starts at 1");
        }
        let other = call
            .parameter("schema")
            .is_some_and(|schema| schema != "contacts");
        let size = size.clamp(1, self.quirks.page_size_max);
        let offset = (page - 1).saturating_mul(size);
        let trash = &self.entities;
        let (entries, total) = if other {
            (Vec::new(), 0)
        } else {
            (
                trash.trash_page(self.quirks.trash_order, offset, size),
                trash.trash.len(),
            )
        };
        let entries: Vec<Value> = entries
            .into_iter()
            .map(|trashed| {
                json!({
                    "content": self.show(&trashed.entity, &[]),
                    "schemaName": "contacts",
                    "entityId": trashed.entity.id,
                    "deletedAt": self.time(trashed.deleted),
                    "deletedBy": trashed.deleter,
                })
            })
            .collect();
        let answer = json!({
            "entries": entries,
            "totalCount": total,
            "page": page,
            "pageSize": size,
            "offset": offset,
            "size": size,
        });
        Answer::json(kind, 200, answer)
    }

    fn recover_call(&mut self, call: &Call<'_>, user: &User) -> Answer {
        let restores = is(call, Method::Post);
        let kind = if restores {
            RequestKind::FlowfactRestore
        } else {
            RequestKind::FlowfactPurge
        };
        let Some(named) = call.json().ok().and_then(|body| ids(&body, "entityIds")) else {
            return self.refuse(call, kind, 400, "entityIds expected");
        };
        for id in named {
            if restores {
                self.entities.restore(&id, &user.id, call.now, &self.quirks);
            } else {
                self.purge_entity(&id, call.now);
            }
        }
        Answer::empty(kind, 200)
    }

    pub(super) fn purge_entity(&mut self, id: &str, now: Timestamp) -> bool {
        let purged = self.entities.purge(id, now, &self.quirks);
        if purged {
            self.sync_entries.remove_contact(id);
        }
        purged
    }

    pub(super) fn search_service(&mut self, call: &Call<'_>, path: &[&str]) -> Answer {
        let (kind, counts) = match path {
            ["schemas", "contacts"] => (RequestKind::FlowfactSearch, false),
            ["schemas", "contacts", "count"] => (RequestKind::FlowfactCount, true),
            _ => return self.unknown(call),
        };
        if !is(call, Method::Post) {
            return self.refuse(call, kind, 405, "Method not allowed");
        }
        let body = call.json().unwrap_or_default();
        let query = match Query::parse(&body, self.quirks.metadata_filter, call.now) {
            Ok(query) => query,
            Err(why) => return self.refuse(call, kind, 400, &why),
        };
        if counts {
            let (_, total) = self.entities.index.search(&query, 0, 0);
            return Answer::json(kind, 200, total);
        }
        self.page_answer(call, kind, &query)
    }

    /// The full-text search of the user interface: every word in any text of the contact.
    pub(super) fn full_text_service(&mut self, call: &Call<'_>, path: &[&str]) -> Answer {
        let kind = RequestKind::FlowfactSearch;
        let (["search", "contacts"], Method::Get) = (path, call.method) else {
            return self.unknown(call);
        };
        let term = call
            .parameter("searchTerm")
            .unwrap_or_default()
            .to_lowercase();
        let found = |entity: &&Arc<Entity>| {
            let text = Value::Object(entity.fields.clone())
                .to_string()
                .to_lowercase();
            term.split_whitespace().all(|word| text.contains(word))
        };
        let size = count(call, "size", self.quirks.page_size_default).unwrap_or(1);
        let page = count(call, "page", 1).unwrap_or(1).max(1);
        let visible = self
            .entities
            .live()
            .filter(|entity| entity.access != Access::Hidden);
        let entities: Vec<_> = visible.filter(found).collect();
        let shown = entities.iter().skip((page - 1) * size).take(size);
        let entries: Vec<Value> = shown.map(|entity| self.show(entity, &[])).collect();
        let answer = json!({
            "entries": entries, "totalCount": entities.len(), "page": page, "size": size,
        });
        Answer::json(kind, 200, answer)
    }

    fn page_answer(&self, call: &Call<'_>, kind: RequestKind, query: &Query) -> Answer {
        let size = count(call, "size", self.quirks.page_size_default);
        let (Some(size), Some(page), Some(offset)) = (
            size,
            count(call, "page", 1),
            count(call, "offset", usize::MAX),
        ) else {
            return self.refuse(call, kind, 400, "page, offset and size must be numbers");
        };
        if page == 0 {
            return self.refuse(call, kind, 400, "page starts at 1");
        }
        let size = size.clamp(1, self.quirks.page_size_max);
        let offset = match offset {
            usize::MAX => (page - 1).saturating_mul(size),
            offset => offset,
        };
        if offset.saturating_add(size) > self.quirks.result_window_max {
            let why = format!(
                "Result window is too large, from + size must be less than or equal to: [{}] but \
                 was [{}]",
                self.quirks.result_window_max,
                offset.saturating_add(size),
            );
            return self.refuse(call, kind, 400, &why);
        }
        let (entities, total) = self.entities.index.search(query, offset, size);
        let entries = entities
            .iter()
            .map(|entity| self.show(entity, &query.fetch));
        let answer = json!({
            "entries": entries.collect::<Vec<_>>(),
            "totalCount": total,
            "page": offset / size + 1,
            "pageSize": size,
            "offset": offset,
            "size": size,
        });
        Answer::json(kind, 200, answer)
    }

    /// Why this user may not read (or write) the contact, if so.
    fn refusal(
        &self,
        call: &Call<'_>,
        kind: RequestKind,
        id: &str,
        writes: bool,
    ) -> Option<Answer> {
        let refuse = |status, why| Some(self.refuse(call, kind, status, why));
        let Some(entity) = self.entities.get(id) else {
            return match self.entities.get_trashed(id) {
                Some(_) => refuse(self.quirks.trashed_status, "Entity not found"),
                None => refuse(404, "Entity not found"),
            };
        };
        match entity.access {
            Access::Hidden => refuse(self.quirks.hidden_status, "Access denied"),
            Access::ReadOnly if writes => refuse(403, "Access denied"),
            Access::ReadOnly | Access::Full => None,
        }
    }

    /// The fields of a write, as far as schema and locks admit them; else why it is refused.
    fn admit(&self, call: &Call<'_>, id: Option<&str>) -> Result<Fields, String> {
        match call.json() {
            Ok(Value::Object(body)) => self.admit_fields(&body, id),
            Ok(_) => Err("object expected".to_owned()),
            Err(error) => Err(format!("body is no JSON: {error}")),
        }
    }

    fn admit_fields(&self, body: &Map<String, Value>, id: Option<&str>) -> Result<Fields, String> {
        let locked = id
            .and_then(|id| self.entities.get(id))
            .map(|entity| &entity.locked);
        let mut fields = Fields::new();
        for (name, field) in body {
            let Some(values) = field.get("values").and_then(Value::as_array) else {
                return Err(format!("{name}: values expected"));
            };
            let is_locked = locked.is_some_and(|locked| locked.contains(name));
            let treatment = if !self.schema.has(name) {
                Some((self.quirks.unknown_field, "field is unknown"))
            } else if is_locked || self.schema.is_read_only(name) {
                Some((self.quirks.locked_field, "field is locked"))
            } else {
                None
            };
            match treatment {
                Some((BadValue::Refused, why)) => return Err(format!("{name}: {why}")),
                Some((BadValue::Ignored, _)) => continue,
                Some((BadValue::Stored, _)) | None => {}
            }
            let mut admitted = Vec::new();
            for value in values {
                match self
                    .schema
                    .judge(name, value, self.quirks.unknown_list_value)
                {
                    Err(misfit) if misfit.treatment == BadValue::Refused => {
                        return Err(misfit.reason);
                    }
                    Err(misfit) if misfit.treatment == BadValue::Ignored => {}
                    _ => admitted.push(self.truncate(name, value)),
                }
            }
            fields.insert(name.clone(), Value::Array(admitted));
        }
        Ok(fields)
    }

    /// The value, cut to the length that the field keeps.
    fn truncate(&self, field: &str, value: &Value) -> Value {
        let limits = &self.quirks.text_length_max;
        if limits.is_empty() {
            return value.clone();
        }
        let cut = |name: &str, value: &Value| match (value.as_str(), limits.get(name)) {
            (Some(text), Some(&max)) => Value::String(text.chars().take(max).collect()),
            _ => value.clone(),
        };
        match value.as_object() {
            None => cut(field, value),
            Some(object) => object
                .iter()
                .map(|(member, value)| (member.clone(), cut(&format!("{field}.{member}"), value)))
                .collect(),
        }
    }

    fn entity_answer(&self, kind: RequestKind, status: u16, id: &str) -> Answer {
        let shown = self.entities.get(id).map(|entity| self.show(entity, &[]));
        Answer::json(kind, status, shown.unwrap_or_default())
    }

    /// An entity as it is answered, limited to the members of `fetch` if there are any.
    pub(super) fn show(&self, entity: &Entity, fetch: &[String]) -> Value {
        let asked = |name: &str| fetch.is_empty() || fetch.iter().any(|field| field == name);
        let mut shown = Map::new();
        if asked("id") {
            shown.insert("id".to_owned(), Value::String(entity.id.clone()));
        }
        for (name, values) in &entity.fields {
            if self.schema.has(name) && asked(name) {
                let values = self.show_values(name, values);
                shown.insert(name.clone(), json!({ "values": values }));
            }
        }
        if asked("_metadata") {
            shown.insert("_metadata".to_owned(), self.metadata(entity));
        }
        if fetch.is_empty() {
            self.show_rights(entity, &mut shown);
        }
        Value::Object(shown)
    }

    fn show_values(&self, name: &str, values: &Value) -> Value {
        let kind = self.schema.kind(name).unwrap_or_default();
        let typed = kind == "EMAIL" && self.quirks.emails == EmailForm::Typed;
        let nulls = kind == "ADDRESS" && self.quirks.address_nulls;
        if !typed && !nulls {
            return values.clone();
        }
        let values = values.as_array().into_iter().flatten();
        let shown = values.map(|value| match value {
            Value::String(_) if typed => json!({"type": "", "email": value}),
            Value::Object(object) if nulls => {
                let mut object = object.clone();
                for member in ADDRESS_MEMBERS {
                    object.entry(member).or_insert(Value::Null);
                }
                Value::Object(object)
            }
            _ => value.clone(),
        });
        shown.collect()
    }

    fn metadata(&self, entity: &Entity) -> Value {
        let mut metadata = json!({
            "id": entity.id,
            "schema": "contacts",
            "timestamp": self.time(entity.modified),
            "createdTimestamp": self.time(entity.created),
            "creator": entity.creator,
            "lastModifier": entity.modifier,
            "documentType": self.platform.document_type,
            "currentAccessLevel": 7,
        });
        if self.quirks.last_modified_member
            && let Some(metadata) = metadata.as_object_mut()
        {
            let modified = self.time(entity.modified);
            metadata.insert("lastModifiedTimestamp".to_owned(), modified);
        }
        metadata
    }

    fn show_rights(&self, entity: &Entity, shown: &mut Map<String, Value>) {
        let writes = entity.access == Access::Full;
        for (name, value) in self.platform.rights(&entity.creator, writes) {
            shown.insert(name.clone(), value.clone());
        }
        if !entity.locked.is_empty() {
            let locked = entity.locked.iter();
            let locked = locked.map(|field| (field.clone(), Value::Bool(true)));
            shown.insert("_lock".to_owned(), Value::Object(locked.collect()));
        }
    }

    pub(super) fn time(&self, time: Timestamp) -> Value {
        match self.quirks.timestamps {
            TimestampForm::Texts => Value::String(time.0.to_string()),
            TimestampForm::Numbers => time.0.into(),
        }
    }
}

fn append(fields: &mut Fields, field: String, values: Value) {
    let held = fields.entry(field).or_insert_with(|| json!([]));
    if let (Some(held), Value::Array(values)) = (held.as_array_mut(), values) {
        held.extend(values);
    }
}

fn remove(fields: &mut Fields, field: &str, values: &Value) {
    let Some(held) = fields.get_mut(field).and_then(Value::as_array_mut) else {
        return;
    };
    let values = values.as_array().cloned().unwrap_or_default();
    held.retain(|value| !values.contains(value));
}

const ADDRESS_MEMBERS: [&str; 7] = [
    "street",
    "zipcode",
    "city",
    "state",
    "district",
    "country",
    "internationalregion",
];
