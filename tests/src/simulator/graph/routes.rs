//! Contacts and folders, whatever the spelling of the request.
//!
//! Clients write the same request in many ways: `/delta`, `/delta()`, `/microsoft.graph.delta()`;
//! `contactFolders/{id}` and `contactFolders('{id}')`; names of segments in any case. All are
//! brought to one form first.

use contact_sync_guest::outside::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::super::wire::{Call, utc};
use super::contact::{Contact, Draft, Kind, PROPERTIES, PropertyId, kind_of};
use super::filter::{Filter, Operator};
use super::ids::Id;
use super::mailbox::{CONTACTS, DELETED_ITEMS, Mailbox, ROOT};
use super::quirks::{GraphQuirks, IfMatch, NotesBug};
use super::sign_in::Grant;
use super::{Graph, Outcome, Preferences, Problem, available, delta};

/// The path of a request in one form.
pub(super) fn segments(path: &[String]) -> Vec<String> {
    let mut segments = Vec::new();
    for segment in path {
        let segment = segment.strip_prefix("microsoft.graph.").unwrap_or(segment);
        let segment = segment.strip_suffix("()").unwrap_or(segment);
        match segment
            .strip_suffix("')")
            .and_then(|segment| segment.split_once("('"))
        {
            Some((name, key)) => {
                segments.push(name.to_ascii_lowercase());
                segments.push(key.to_owned());
            }
            None => segments.push(segment.to_owned()),
        }
    }
    for segment in &mut segments {
        if NAMES.iter().any(|name| name.eq_ignore_ascii_case(segment)) {
            segment.make_ascii_lowercase();
        }
    }
    segments
}

const NAMES: [&str; 13] = [
    "$batch",
    "childFolders",
    "contactFolders",
    "contacts",
    "deletedItems",
    "delta",
    "mailFolders",
    "me",
    "permanentDelete",
    "photo",
    "translateExchangeIds",
    "users",
    "v1.0",
];

/// The path of a request as it was asked for, escaped again: links lead back to it.
pub(super) struct Scope {
    /// `me`, or `users/…`.
    pub(super) root: String,
    /// Everything after the version.
    pub(super) path: String,
    /// The user as the request names it.
    context: String,
}

/// How a contact is answered.
pub(super) struct View<'a> {
    pub(super) select: Option<&'a str>,
    pub(super) expand: &'a [PropertyId],
    pub(super) immutable: bool,
    pub(super) notes_cut: bool,
}

/// What all steps of an answer need to know.
struct Request<'a> {
    call: &'a Call<'a>,
    quirks: &'a GraphQuirks,
    preferences: Preferences,
    scope: Scope,
}

impl Graph {
    /// Answers a request that is no batch.
    pub(super) fn route(
        &mut self,
        call: &Call<'_>,
        grant: Grant,
        preferences: Preferences,
    ) -> Outcome {
        let path = segments(&call.path);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let (index, rest) = self.user(grant, &path)?;
        let root_length = path.len() - rest.len();
        let escaped: Vec<String> = call.path.iter().map(|segment| escape(segment)).collect();
        let root: Vec<String> = path
            .iter()
            .take(root_length)
            .map(|part| escape(part))
            .collect();
        let Some(mailbox) = self.mailboxes.get_mut(index) else {
            return Err(Problem::item_not_found());
        };
        let request = Request {
            call,
            quirks: &self.quirks,
            preferences,
            scope: Scope {
                context: match root.as_slice() {
                    [_, key] => format!("users('{key}')"),
                    _ => format!("users('{}')", mailbox.user),
                },
                root: root.join("/"),
                path: escaped.join("/"),
            },
        };
        if rest.is_empty() {
            return request.user(mailbox);
        }
        available(mailbox)?;
        Self::spend(&self.quirks, mailbox, call)?;
        match rest {
            ["contacts", rest @ ..] => request.contacts(mailbox, CONTACTS, rest),
            ["contactfolders", rest @ ..] => request.folders(mailbox, ROOT, rest),
            ["translateexchangeids"] => request.translate(mailbox),
            // Another permission than that for contacts.
            ["mailfolders", ..] => Err(access_denied()),
            [unknown, ..] => Err(no_segment(unknown)),
            [] => Err(no_segment("")),
        }
    }

    /// The mailbox that a path is about, and the rest of the path.
    fn user<'p>(
        &self,
        grant: Grant,
        path: &'p [&'p str],
    ) -> Result<(usize, &'p [&'p str]), Problem> {
        let (key, rest) = match path {
            ["me", rest @ ..] => (None, rest),
            ["users", "me", ..] => {
                let why = "Resource 'me' does not exist or one of its queried reference-property \
                           objects are not present.";
                return Err(Problem::new(404, "Request_ResourceNotFound", why));
            }
            ["users", key, rest @ ..] => (Some(*key), rest),
            [unknown, ..] => return Err(no_segment(unknown)),
            [] => return Err(no_segment("")),
        };
        let mut mailboxes = self.mailboxes.iter();
        let found = match (key, grant) {
            (None, Grant::User(number)) => mailboxes.position(|mailbox| mailbox.number == number),
            (None, Grant::Unchecked) => Some(0),
            (None, Grant::Application) => {
                let why = "/me request is only valid with delegated authentication flow.";
                return Err(Problem::new(400, "BadRequest", why));
            }
            (Some(key), _) => mailboxes.position(|mailbox| {
                mailbox.user == key || mailbox.address.eq_ignore_ascii_case(key)
            }),
        };
        let Some(index) = found else {
            let why = format!("The requested user '{}' is invalid.", key.unwrap_or("me"));
            return Err(Problem::new(404, "ErrorInvalidUser", &why));
        };
        let number = self.mailboxes.get(index).map(|mailbox| mailbox.number);
        match grant {
            Grant::User(own) if number != Some(own) => Err(access_denied()),
            _ => Ok((index, rest)),
        }
    }
}

fn access_denied() -> Problem {
    let why = "Access is denied. Check credentials and try again.";
    Problem::new(403, "ErrorAccessDenied", why)
}

fn no_segment(segment: &str) -> Problem {
    let why = format!("Resource not found for the segment '{segment}'.");
    Problem::new(400, "BadRequest", &why)
}

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'=')
    .remove(b'$')
    .remove(b'(')
    .remove(b')')
    .remove(b'\'');

fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

// ---- folders ------------------------------------------------------------------------------------

impl Request<'_> {
    fn folders(&self, mailbox: &mut Mailbox, parent: u32, path: &[&str]) -> Outcome {
        match (self.call.method, path) {
            (Method::Get, []) => self.list_folders(mailbox, parent),
            (Method::Post, []) => self.create_folder(mailbox, parent),
            (_, [id, rest @ ..]) => {
                let folder = self.folder(mailbox, id)?;
                match (self.call.method, rest) {
                    (_, ["contacts", rest @ ..]) => self.contacts(mailbox, folder, rest),
                    (_, ["childfolders", rest @ ..]) => self.folders(mailbox, folder, rest),
                    (Method::Get, []) => Ok((200, self.show_folder(mailbox, folder, true))),
                    (Method::Patch, []) => self.rename_folder(mailbox, folder),
                    (Method::Delete, []) => self.delete_folder(mailbox, folder, false),
                    (Method::Post, ["permanentdelete"]) => {
                        self.delete_folder(mailbox, folder, true)
                    }
                    (_, [unknown, ..]) => Err(no_segment(unknown)),
                    (_, []) => Err(Problem::method_not_allowed()),
                }
            }
            (_, []) => Err(Problem::method_not_allowed()),
        }
    }

    /// The folder with this id or well-known name.
    fn folder(&self, mailbox: &Mailbox, id: &str) -> Result<u32, Problem> {
        let folder = match id {
            "contacts" if self.quirks.contacts_alias => CONTACTS,
            "deleteditems" => DELETED_ITEMS,
            id => match Id::decode(id) {
                Some(Id::Folder {
                    mailbox: number,
                    folder,
                }) if number == mailbox.number => folder,
                Some(_) => return Err(Problem::item_not_found()),
                None => return Err(Problem::malformed_id()),
            },
        };
        let is_mail = folder == DELETED_ITEMS && !self.quirks.deleted_items_readable;
        if is_mail || folder == ROOT || !mailbox.folders.contains_key(&folder) {
            return Err(Problem::item_not_found());
        }
        Ok(folder)
    }

    fn list_folders(&self, mailbox: &Mailbox, parent: u32) -> Outcome {
        let listed = mailbox
            .children(parent)
            .into_iter()
            .filter(|folder| match *folder {
                CONTACTS => self.quirks.default_folder_listed,
                folder => folder != DELETED_ITEMS,
            });
        let folders: Vec<u32> = listed.collect();
        let (offset, size) = self.window()?;
        let page = folders.iter().skip(offset).take(size);
        let value: Vec<Value> = page
            .map(|folder| self.show_folder(mailbox, *folder, false))
            .collect();
        self.collection("contactFolders", value, folders.len(), offset, size)
    }

    fn create_folder(&self, mailbox: &mut Mailbox, parent: u32) -> Outcome {
        let name = self.display_name()?;
        let siblings = mailbox.children(parent);
        let taken = siblings.iter().any(|folder| {
            let sibling = mailbox.folders.get(folder);
            sibling.is_some_and(|sibling| sibling.name.eq_ignore_ascii_case(&name))
        });
        if taken {
            let why = "A folder with the specified name already exists.";
            return Err(Problem::new(409, "ErrorFolderExists", why));
        }
        let folder = mailbox.add_folder(parent, &name);
        Ok((201, self.show_folder(mailbox, folder, true)))
    }

    fn rename_folder(&self, mailbox: &mut Mailbox, folder: u32) -> Outcome {
        let name = self.display_name()?;
        if let Some(folder) = mailbox.folders.get_mut(&folder) {
            folder.name = name;
        }
        Ok((200, self.show_folder(mailbox, folder, true)))
    }

    fn display_name(&self) -> Result<String, Problem> {
        let body = self.body()?;
        let name = body
            .get("displayName")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if name.is_empty() {
            Err(Problem::new(
                400,
                "ErrorInvalidRequest",
                "displayName is missing.",
            ))
        } else {
            Ok(name.to_owned())
        }
    }

    /// A folder is deleted with what it holds: to Deleted Items, or for good.
    fn delete_folder(&self, mailbox: &mut Mailbox, folder: u32, purges: bool) -> Outcome {
        if folder == CONTACTS || folder == DELETED_ITEMS {
            let why = "Distinguished folders cannot be deleted.";
            return Err(Problem::new(403, "ErrorDeleteDistinguishedFolder", why));
        }
        if purges || mailbox.is_deleted_folder(folder) {
            if let Some(folder) = mailbox.folders.remove(&folder) {
                for item in folder.items {
                    mailbox.purge(item, self.quirks, self.call.now);
                }
            }
        } else if let Some(folder) = mailbox.folders.get_mut(&folder) {
            folder.parent = DELETED_ITEMS;
        }
        Ok((204, Value::Null))
    }

    fn show_folder(&self, mailbox: &Mailbox, folder: u32, alone: bool) -> Value {
        let Some(found) = mailbox.folders.get(&folder) else {
            return Value::Null;
        };
        let mut shown = Map::new();
        if alone {
            shown.insert(
                "@odata.context".to_owned(),
                self.context("contactFolders/$entity"),
            );
        }
        shown.insert("id".to_owned(), mailbox.folder_id(folder).into());
        let parent = mailbox.folder_id(found.parent);
        shown.insert("parentFolderId".to_owned(), parent.into());
        shown.insert("displayName".to_owned(), found.name.clone().into());
        Value::Object(shown)
    }

    fn user(&self, mailbox: &Mailbox) -> Outcome {
        if self.call.method != Method::Get {
            return Err(Problem::method_not_allowed());
        }
        if !self.quirks.user_readable {
            let why = "Insufficient privileges to complete the operation.";
            return Err(Problem::new(403, "Authorization_RequestDenied", why));
        }
        let all = json!({
            "displayName": mailbox.display_name,
            "mail": mailbox.address,
            "userPrincipalName": mailbox.address,
            "id": mailbox.user,
        });
        let select = self.call.parameter("$select");
        let mut shown = Map::new();
        let context = format!("{}/graph/v1.0/$metadata#users/$entity", self.call.origin);
        shown.insert("@odata.context".to_owned(), context.into());
        for (name, value) in all.as_object().into_iter().flatten() {
            if select.is_none_or(|select| select.split(',').any(|one| one.trim() == name)) {
                shown.insert(name.clone(), value.clone());
            }
        }
        Ok((200, Value::Object(shown)))
    }

    fn translate(&self, mailbox: &Mailbox) -> Outcome {
        let body = self.body()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let immutable = text("targetIdType").eq_ignore_ascii_case("restImmutableEntryId");
        let inputs = body.get("inputIds").and_then(Value::as_array);
        let inputs = inputs.filter(|inputs| inputs.len() <= 1000);
        let Some(inputs) = inputs else {
            let why = "inputIds must be a list of at most 1000 ids.";
            return Err(Problem::new(400, "ErrorInvalidRequest", why));
        };
        let translated = inputs.iter().map(|input| {
            let id = input.as_str().and_then(Id::decode);
            match id.and_then(|id| mailbox.resolve(id)) {
                Some(contact) => {
                    let target = mailbox.contact_id(contact, immutable);
                    json!({"sourceId": input, "targetId": target})
                }
                None => json!({"sourceId": input, "errorDetails": {
                    "code": "ErrorItemNotFound",
                    "message": "The specified object was not found in the store.",
                }}),
            }
        });
        let value: Vec<Value> = translated.collect();
        Ok((200, json!({ "value": value })))
    }

    // ---- contacts -------------------------------------------------------------------------------

    fn contacts(&self, mailbox: &mut Mailbox, folder: u32, path: &[&str]) -> Outcome {
        match (self.call.method, path) {
            (Method::Get, []) => self.list(mailbox, folder),
            (Method::Post, []) => self.create(mailbox, folder),
            (Method::Get, ["delta"]) => {
                self.check_select()?;
                let Self {
                    call,
                    quirks,
                    scope,
                    preferences,
                } = self;
                delta::page(quirks, mailbox, folder, call, scope, *preferences)
            }
            (method, [id, rest @ ..]) => {
                let item = resolve(mailbox, id)?;
                match (method, rest) {
                    (Method::Get, []) => self.read(mailbox, item),
                    (Method::Patch, []) => self.update(mailbox, item),
                    (Method::Delete, []) => self.delete(mailbox, item, false),
                    (Method::Post, ["permanentdelete"]) => self.delete(mailbox, item, true),
                    (Method::Get, ["photo", ..]) => Err(Problem::item_not_found()),
                    (_, [unknown, ..]) if *unknown != "photo" => Err(no_segment(unknown)),
                    _ => Err(Problem::method_not_allowed()),
                }
            }
            (_, []) => Err(Problem::method_not_allowed()),
        }
    }

    fn create(&self, mailbox: &mut Mailbox, folder: u32) -> Outcome {
        let draft = Draft::read(&self.body()?, true, self.quirks)?;
        let item = mailbox.insert(folder, draft, self.quirks, self.call.now);
        self.answer_contact(mailbox, item, 201)
    }

    fn read(&self, mailbox: &Mailbox, item: u64) -> Outcome {
        self.check_select()?;
        self.answer_contact(mailbox, item, 200)
    }

    fn update(&self, mailbox: &mut Mailbox, item: u64) -> Outcome {
        let draft = Draft::read(&self.body()?, false, self.quirks)?;
        let target = match &draft.parent_folder {
            Some(id) if self.quirks.parent_folder_moves => Some(self.folder(mailbox, id)?),
            _ => None,
        };
        self.precondition(mailbox, item)?;
        mailbox.apply(item, draft, self.quirks, self.call.now);
        if let Some(target) = target {
            mailbox.move_to(item, target, self.quirks, self.call.now);
        }
        self.answer_contact(mailbox, item, 200)
    }

    fn delete(&self, mailbox: &mut Mailbox, item: u64, purges: bool) -> Outcome {
        self.precondition(mailbox, item)?;
        if purges {
            mailbox.purge(item, self.quirks, self.call.now);
        } else {
            mailbox.delete(item, self.quirks, self.call.now);
        }
        Ok((204, Value::Null))
    }

    /// `If-Match`, and the conflicts that nobody asked for.
    fn precondition(&self, mailbox: &mut Mailbox, item: u64) -> Result<(), Problem> {
        mailbox.attempts += 1;
        let every = self.quirks.spontaneous_conflict_every;
        let spontaneous = every.is_some_and(|every| mailbox.attempts.is_multiple_of(every));
        let stale = match (self.quirks.if_match, self.call.header("if-match")) {
            (IfMatch::Honoured, Some(wanted)) if wanted.trim() != "*" => {
                let contact = mailbox.contacts.get(&item);
                let held = contact.map(|contact| mailbox.change_key(contact));
                let wanted = wanted.trim().trim_start_matches("W/").trim_matches('"');
                held.as_deref() != Some(wanted)
            }
            _ => false,
        };
        if !stale && !spontaneous {
            return Ok(());
        }
        let why = "The send or update operation could not be performed because the change key \
                   passed in the request does not match the current change key for the item.";
        Err(Problem::new(412, "ErrorIrresolvableConflict", why))
    }

    fn list(&self, mailbox: &Mailbox, folder: u32) -> Outcome {
        self.check_select()?;
        if self.call.parameter("$search").is_some() {
            let why = "The $search query is not supported here.";
            return Err(Problem::new(400, "ErrorInvalidUrlQuery", why));
        }
        let (offset, size) = self.window()?;
        let filter = self
            .call
            .parameter("$filter")
            .map(read_filter)
            .transpose()?;
        let order = self.call.parameter("$orderby");
        let items = mailbox.folders.get(&folder).map(|folder| &folder.items);
        let items = items.into_iter().flatten().copied();
        let (page, total): (Vec<u64>, usize) = if let (None, None) = (&filter, order) {
            let total = mailbox
                .folders
                .get(&folder)
                .map_or(0, |folder| folder.items.len());
            (items.skip(offset).take(size).collect(), total)
        } else {
            let mut found: Vec<u64> = match &filter {
                Some(filter) => self.found(mailbox, folder, filter),
                None => items.collect(),
            };
            if let Some(order) = order {
                sort(mailbox, &mut found, order);
            }
            let total = found.len();
            (found.into_iter().skip(offset).take(size).collect(), total)
        };
        let expand = self.expand()?;
        let view = self.view(&expand, self.quirks.notes != NotesBug::Nowhere);
        // Distribution lists are counted, and not shown.
        let contacts = page.iter().filter_map(|item| mailbox.contacts.get(item));
        let contacts = contacts.filter(|contact| !contact.group);
        let value = contacts.map(|contact| view.contact(self.quirks, mailbox, contact));
        self.collection("contacts", value.collect(), total, offset, size)
    }

    fn found(&self, mailbox: &Mailbox, folder: u32, filter: &Filter) -> Vec<u64> {
        let named = filter.extended_property();
        let candidates: Vec<u64> = if let Some((id, value)) = named {
            match PropertyId::parse(id) {
                Some(id) => mailbox.with_property(&id, value),
                None => Vec::new(),
            }
        } else {
            let folder = mailbox.folders.get(&folder);
            folder
                .map(|folder| folder.items.iter().copied().collect())
                .unwrap_or_default()
        };
        let spans = named.is_some() && self.quirks.property_filter_spans_folders;
        let meets = |item: &u64| {
            let Some(contact) = mailbox.contacts.get(item) else {
                return false;
            };
            if contact.group || (contact.folder != folder && !spans) {
                return false;
            }
            named.is_some() && matches!(filter, Filter::Any { .. })
                || filter.meets(&|name: &str| self.property(mailbox, contact, name))
        };
        candidates.into_iter().filter(meets).collect()
    }

    fn property(&self, mailbox: &Mailbox, contact: &Contact, name: &str) -> Value {
        match name {
            "singleValueExtendedProperties" => {
                let extended = contact.extended.iter();
                extended
                    .map(|(id, value)| json!({"id": id.as_str(), "value": value}))
                    .collect()
            }
            _ => server_property(mailbox, contact, name, self.preferences.immutable)
                .unwrap_or_else(|| contact.property(name)),
        }
    }

    fn answer_contact(&self, mailbox: &Mailbox, item: u64, status: u16) -> Outcome {
        let Some(contact) = mailbox.contacts.get(&item) else {
            return Err(Problem::item_not_found());
        };
        // What was written as extended property is answered only to a read that asks for it.
        let expand = match self.call.method {
            Method::Get => self.expand()?,
            _ => Vec::new(),
        };
        let mut shown = self
            .view(&expand, false)
            .contact(self.quirks, mailbox, contact);
        if let Some(shown) = shown.as_object_mut() {
            let context = self.context("contacts/$entity");
            shown.shift_insert(0, "@odata.context".to_owned(), context);
        }
        Ok((status, shown))
    }

    fn view<'v>(&'v self, expand: &'v [PropertyId], notes_cut: bool) -> View<'v> {
        View {
            select: self.call.parameter("$select"),
            expand,
            immutable: self.preferences.immutable,
            notes_cut,
        }
    }

    /// The extended properties that `$expand` asks for.
    fn expand(&self) -> Result<Vec<PropertyId>, Problem> {
        let Some(expand) = self.call.parameter("$expand") else {
            return Ok(Vec::new());
        };
        let bad = || Problem::new(400, "BadRequest", "Parsing OData Select and Expand failed.");
        let (name, rest) = expand.split_once('(').ok_or_else(bad)?;
        let inner = rest.trim_end().strip_suffix(')').ok_or_else(bad)?;
        let (option, filter) = inner.split_once('=').ok_or_else(bad)?;
        let is_known = name
            .trim()
            .eq_ignore_ascii_case("singleValueExtendedProperties")
            && option.trim().eq_ignore_ascii_case("$filter");
        let ids = Filter::parse(filter).and_then(|filter| filter.alternatives("id"));
        let ids = ids.filter(|_| is_known).ok_or_else(bad)?;
        ids.iter()
            .map(|id| PropertyId::parse(id).ok_or_else(bad))
            .collect()
    }

    fn check_select(&self) -> Result<(), Problem> {
        let select = self.call.parameter("$select").unwrap_or_default();
        for name in select
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            let is_slot = matches!(kind_of(name), Some(Kind::EmailSlot(_)));
            if kind_of(name).is_none() || (is_slot && !self.quirks.email_slots) {
                let why = format!(
                    "Could not find a property named '{name}' on type \
                     'Microsoft.OutlookServices.Contact'."
                );
                return Err(Problem::new(400, "RequestBroker--ParseUri", &why));
            }
        }
        Ok(())
    }

    /// Offset and size of the page that is asked for.
    fn window(&self) -> Result<(usize, usize), Problem> {
        let number = |name: &str| match self.call.parameter(name).map(str::parse::<usize>) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => {
                let why = format!("Invalid value for the query option '{name}'.");
                Err(Problem::new(400, "ErrorInvalidUrlQuery", &why))
            }
        };
        let size = number("$top")?.or(self.preferences.page_size);
        let size = size.unwrap_or(self.quirks.page_size_default);
        let offset = number("$skip")?.unwrap_or(0);
        Ok((offset, size.clamp(1, self.quirks.page_size_max)))
    }

    /// A page of a list, with a link to the next one by offset.
    fn collection(
        &self,
        name: &str,
        value: Vec<Value>,
        total: usize,
        offset: usize,
        size: usize,
    ) -> Outcome {
        let mut body = json!({"@odata.context": self.context(name)});
        let Some(members) = body.as_object_mut() else {
            return Err(Problem::internal());
        };
        if self.call.parameter("$count") == Some("true") {
            members.insert("@odata.count".to_owned(), total.into());
        }
        members.insert("value".to_owned(), Value::Array(value));
        let next = offset.saturating_add(size);
        if next < total {
            let others = self.call.query.iter().filter(|(name, _)| name != "$skip");
            let mut query: Vec<String> = others
                .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
                .collect();
            query.push(format!("$skip={next}"));
            let origin = &self.call.origin;
            let link = format!(
                "{origin}/graph/v1.0/{}?{}",
                self.scope.path,
                query.join("&")
            );
            members.insert("@odata.nextLink".to_owned(), link.into());
        }
        Ok((200, body))
    }

    fn context(&self, name: &str) -> Value {
        let Self { call, scope, .. } = self;
        let context = &scope.context;
        format!("{}/graph/v1.0/$metadata#{context}/{name}", call.origin).into()
    }

    fn body(&self) -> Result<Map<String, Value>, Problem> {
        if let Ok(Value::Object(body)) = self.call.json() {
            Ok(body)
        } else {
            let why = "Unable to read JSON request payload. Please ensure Content-Type header \
                       is set and payload is of valid JSON format.";
            Err(Problem::new(400, "UnableToDeserializePostBody", why))
        }
    }
}

fn resolve(mailbox: &Mailbox, id: &str) -> Result<u64, Problem> {
    let id = Id::decode(id).ok_or_else(Problem::malformed_id)?;
    match mailbox.resolve(id) {
        Some(contact) if !contact.group => Ok(contact.item),
        _ => Err(Problem::item_not_found()),
    }
}

/// The filter, if it is one of those that Graph knows for contacts.
fn read_filter(text: &str) -> Result<Filter, Problem> {
    let bad = || {
        let why = "The query filter contains one or more invalid nodes.";
        Problem::new(400, "ErrorInvalidUrlQueryFilter", why)
    };
    let filter = Filter::parse(text).ok_or_else(bad)?;
    if is_supported(&filter) {
        Ok(filter)
    } else {
        Err(bad())
    }
}

fn is_supported(filter: &Filter) -> bool {
    match filter {
        Filter::And(left, right) | Filter::Or(left, right) => {
            is_supported(left) && is_supported(right)
        }
        Filter::Not(inner) => is_supported(inner),
        Filter::Compare { path, .. } | Filter::Text { path, .. } => {
            let first = path.split('/').next().unwrap_or_default();
            kind_of(first).is_some()
        }
        // Of e-mail addresses only equality of the address itself is known.
        Filter::Any { collection, inner } => match (collection.as_str(), inner.as_ref()) {
            ("singleValueExtendedProperties", _) => true,
            ("emailAddresses", Filter::Compare { path, operator, .. }) => {
                path == "address" && *operator == Operator::Equal
            }
            _ => false,
        },
    }
}

fn sort(mailbox: &Mailbox, items: &mut [u64], order: &str) {
    let (name, direction) = order
        .trim()
        .split_once(' ')
        .unwrap_or((order.trim(), "asc"));
    items.sort_by_cached_key(|item| {
        let contact = mailbox.contacts.get(item);
        let value = contact.map(|contact| {
            server_property(mailbox, contact, name, true).unwrap_or_else(|| contact.property(name))
        });
        value.and_then(|value| value.as_str().map(str::to_lowercase))
    });
    if direction.trim().eq_ignore_ascii_case("desc") {
        items.reverse();
    }
}

/// A property that only the server writes.
fn server_property(
    mailbox: &Mailbox,
    contact: &Contact,
    name: &str,
    immutable: bool,
) -> Option<Value> {
    let text = match name {
        "id" => mailbox.contact_id(contact, immutable),
        "createdDateTime" => utc(contact.created),
        "lastModifiedDateTime" => utc(contact.modified),
        "changeKey" => mailbox.change_key(contact),
        "parentFolderId" => mailbox.folder_id(contact.folder),
        _ => return None,
    };
    Some(Value::String(text))
}

impl View<'_> {
    /// A contact as it is answered: all properties, or those that are selected; always its id.
    pub(super) fn contact(
        &self,
        quirks: &GraphQuirks,
        mailbox: &Mailbox,
        contact: &Contact,
    ) -> Value {
        let mut shown = Map::new();
        let etag = format!("W/\"{}\"", mailbox.change_key(contact));
        shown.insert("@odata.etag".to_owned(), Value::String(etag));
        let id = mailbox.contact_id(contact, self.immutable);
        shown.insert("id".to_owned(), Value::String(id));
        for (name, kind) in PROPERTIES {
            let is_slot = matches!(kind, Kind::EmailSlot(_));
            if name == "id" || !self.selects(name) || (is_slot && !quirks.email_slots) {
                continue;
            }
            let mut value = server_property(mailbox, contact, name, self.immutable)
                .unwrap_or_else(|| contact.shown(name, kind, quirks));
            if name == "personalNotes" && self.notes_cut {
                cut_notes(&mut value);
            }
            shown.insert(name.to_owned(), value);
        }
        let expanded = self.expand.iter().filter_map(|id| {
            let value = contact.extended.get(id)?;
            Some(json!({"id": id.as_str(), "value": value}))
        });
        let expanded: Vec<Value> = expanded.collect();
        if !expanded.is_empty() {
            shown.insert(
                "singleValueExtendedProperties".to_owned(),
                Value::Array(expanded),
            );
        }
        Value::Object(shown)
    }

    fn selects(&self, name: &str) -> bool {
        let select = self.select.filter(|select| !select.is_empty());
        select.is_none_or(|select| select.split(',').any(|one| one.trim() == name))
    }
}

/// Notes that begin with a line break come without any, and cut to 256 characters (docs#17598).
fn cut_notes(notes: &mut Value) {
    let Some(text) = notes.as_str().filter(|text| text.starts_with(['\n', '\r'])) else {
        return;
    };
    let kept = text
        .chars()
        .filter(|sign| !matches!(sign, '\n' | '\r'))
        .take(256);
    *notes = Value::String(kept.collect());
}
