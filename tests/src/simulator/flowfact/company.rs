//! The company itself: token exchange, users, the list of schemas, history, export.

use contact_sync_guest::outside::{Method, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::super::chance::Chance;
use super::super::wire::opaque;
use super::{Answer, Call, Flowfact, RequestKind, count};

/// Who a company is, and who may sign in.
#[derive(Clone, Debug)]
pub(super) struct Platform {
    pub(super) company: String,
    pub(super) group: String,
    pub(super) document_type: String,
    /// The platform token of the API user.
    pub(super) token: String,
    pub(super) api_user: User,
    /// A person who works with FLOWFACT's own windows.
    pub(super) broker: User,
    tokens: BTreeMap<String, Timestamp>,
    issued: u64,
    rights: Vec<Rights>,
}

/// What the entities of one creator say about rights.
#[derive(Clone, Debug)]
struct Rights {
    creator: String,
    writes: bool,
    members: Vec<(String, Value)>,
}

/// A user of FLOWFACT.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) id: String,
    kind: &'static str,
    first_name: &'static str,
    last_name: &'static str,
    mail: &'static str,
}

impl Platform {
    pub(super) fn new(chance: &mut Chance) -> Self {
        let mut platform = Self {
            company: chance.uuid(),
            group: chance.uuid(),
            document_type: chance.uuid(),
            token: chance.uuid(),
            api_user: User {
                id: chance.uuid(),
                kind: "API",
                first_name: "Kontakt",
                last_name: "Abgleich",
                mail: "api@makler.example",
            },
            broker: User {
                id: chance.uuid(),
                kind: "USER",
                first_name: "Petra",
                last_name: "Makler",
                mail: "petra@makler.example",
            },
            tokens: BTreeMap::new(),
            issued: 0,
            rights: Vec::new(),
        };
        for creator in [platform.api_user.id.clone(), platform.broker.id.clone()] {
            for writes in [true, false] {
                let members = platform.describe_rights(&creator, writes);
                platform.rights.push(Rights {
                    creator: creator.clone(),
                    writes,
                    members,
                });
            }
        }
        platform
    }

    /// What an entity of this creator says about rights; every answer repeats it.
    pub(super) fn rights(&self, creator: &str, writes: bool) -> &[(String, Value)] {
        let mut rights = self.rights.iter();
        let found = rights.find(|found| found.creator == creator && found.writes == writes);
        found.map_or(&[], |found| found.members.as_slice())
    }

    fn describe_rights(&self, creator: &str, writes: bool) -> Vec<(String, Value)> {
        let Self { group, company, .. } = self;
        let level = if writes { 7 } else { 1 };
        let groups = json!([{"groupId": group, "accessLevel": level}]);
        let lists = json!([{
            "id": group, "uri": format!("groups/groups/{group}"), "type": "groups",
            "read": true, "search": true, "write": writes, "delete": writes,
        }]);
        let origins = json!([
            {"id": creator, "uri": format!("users/users/{creator}"), "type": "user",
             "relation": "creator"},
            {"id": company, "uri": format!("companies/companies/{company}"), "type": "company",
             "relation": "creator"},
        ]);
        [("_acps", groups), ("_acls", lists), ("_refs", origins)]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec()
    }

    /// The user of this JWT, if it was issued here and is still good.
    pub(super) fn signed_in(&self, token: &str, now: Timestamp) -> Option<User> {
        let expires = self.tokens.get(token)?;
        (now < *expires).then(|| self.api_user.clone())
    }

    /// A JWT as Cognito writes it; only its form is one: nobody outside can check the signature.
    fn issue(&mut self, now: Timestamp, lifetime_ms: i64) -> String {
        self.tokens.retain(|_, expires| now < *expires);
        self.issued += 1;
        let expires = now.plus_ms(lifetime_ms);
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": "simulator"});
        let claims = json!({
            "sub": self.api_user.id,
            "token_use": "id",
            "custom:companyId": self.company,
            "jti": self.issued,
            "iat": now.0.div_euclid(1000),
            "exp": expires.0.div_euclid(1000),
        });
        let signature = format!("signature {} of {}", self.issued, self.company);
        let parts = [header.to_string(), claims.to_string(), signature].map(opaque);
        let token = parts.join(".");
        self.tokens.insert(token.clone(), expires);
        token
    }

    /// All tokens become worthless, as if they had been revoked.
    pub(super) fn revoke(&mut self) {
        self.tokens.clear();
    }
}

impl Flowfact {
    /// The token exchange: the platform token in the header `token` is the only credential.
    pub(super) fn sign_in(&mut self, call: &Call<'_>, action: &str) -> Answer {
        let kind = RequestKind::FlowfactSignIn;
        let with_name = match action {
            "authenticate" => false,
            "authenticateAndReturnUsernameWithToken" => true,
            _ => return self.unknown(call),
        };
        if call.method != Method::Get {
            return self.refuse(call, kind, 405, "Method not allowed");
        }
        if call.header("token") != Some(self.platform.token.as_str()) {
            return self.refuse(call, kind, 403, "Credentials invalid");
        }
        let token = self.platform.issue(call.now, self.quirks.token_lifetime_ms);
        if with_name {
            let name = self.platform.api_user.mail;
            return Answer::json(kind, 200, json!({"username": name, "token": token}));
        }
        if self.quirks.token_quoted {
            Answer::json(kind, 200, token)
        } else {
            Answer::text(kind, 200, token)
        }
    }

    pub(super) fn user_service(&self, call: &Call<'_>, path: &[&str], user: &User) -> Answer {
        let kind = RequestKind::FlowfactUser;
        let all = [&self.platform.api_user, &self.platform.broker];
        match (call.method, path) {
            (Method::Get, ["users", "currentUser"]) => {
                Answer::json(kind, 200, self.show_user(user))
            }
            (Method::Get, ["users"]) => {
                let wanted = call.parameter("userType").unwrap_or("USER");
                let users = all
                    .into_iter()
                    .filter(|user| wanted.split(',').any(|kind| kind == user.kind));
                let users: Vec<Value> = users.map(|user| self.show_user(user)).collect();
                Answer::json(kind, 200, users)
            }
            (Method::Get, ["users", id]) => match all.into_iter().find(|user| user.id == *id) {
                Some(user) => Answer::json(kind, 200, self.show_user(user)),
                None => self.refuse(call, kind, 404, "User not found"),
            },
            _ => self.unknown(call),
        }
    }

    fn show_user(&self, user: &User) -> Value {
        json!({
            "id": user.id,
            "companyId": self.platform.company,
            "type": user.kind,
            "active": true,
            "firstname": user.first_name,
            "lastname": user.last_name,
            "businessMailAddress": user.mail,
            "loginRelatedMailAddress": user.mail,
            "aliasMailAddress": user.mail,
            "roles": [],
            "language": "de",
            "timezone": "Europe/Berlin",
        })
    }

    pub(super) fn company_service(&self, call: &Call<'_>, path: &[&str]) -> Answer {
        let kind = RequestKind::FlowfactCompany;
        let own = &self.platform.company;
        match (call.method, path) {
            (Method::Get, ["company"]) => {}
            (Method::Get, ["company", id]) if id == own => {}
            (Method::Get, ["company", _]) => {
                return self.refuse(call, kind, 403, "Access denied");
            }
            _ => return self.unknown(call),
        }
        let company = json!({"id": own, "companyName": "Makler & Söhne Immobilien GmbH"});
        Answer::json(kind, 200, company)
    }

    pub(super) fn schema_service(&self, call: &Call<'_>, path: &[&str]) -> Answer {
        let kind = RequestKind::FlowfactSchema;
        if call.method != Method::Get {
            return self.refuse(call, kind, 405, "Method not allowed");
        }
        match path {
            ["v2", "schemas"] => self.schemas_page(call),
            ["v2", "schemas", "contacts"] => Answer::json(kind, 200, self.schema.answer()),
            ["v2", "schemas", name] if OTHER_SCHEMAS.contains(name) => {
                Answer::json(kind, 200, other_schema(name))
            }
            ["datatypes", "alltypes"] => Answer::json(kind, 200, data_types()),
            _ => self.refuse(call, kind, 404, "Schema not found"),
        }
    }

    /// The list is longer than a page, and contacts are not on the first one: a client must page.
    fn schemas_page(&self, call: &Call<'_>) -> Answer {
        let kind = RequestKind::FlowfactSchema;
        let size = self.quirks.schema_page_size.max(1);
        let Some(page) = count(call, "page", 1).filter(|page| *page > 0) else {
            return self.refuse(call, kind, 400, "page starts at 1");
        };
        let others = OTHER_SCHEMAS.iter().map(|name| other_schema(name));
        let all = others.chain([self.schema.answer()]);
        let entries: Vec<Value> = all
            .skip((page - 1).saturating_mul(size))
            .take(size)
            .collect();
        let answer = json!({
            "entries": entries,
            "totalCount": OTHER_SCHEMAS.len() + 1,
            "page": page,
            "pageSize": size,
        });
        Answer::json(kind, 200, answer)
    }

    pub(super) fn history_service(&self, call: &Call<'_>, path: &[&str]) -> Answer {
        let kind = RequestKind::FlowfactHistory;
        let (Method::Post, ["history"]) = (call.method, path) else {
            return self.unknown(call);
        };
        let Ok(Value::Array(wanted)) = call.json() else {
            return self.refuse(call, kind, 400, "list expected");
        };
        let answers = wanted.iter().map(|wanted| {
            let member = |name: &str| wanted.get(name).and_then(Value::as_u64).unwrap_or(0);
            let id = wanted
                .get("entityId")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let (offset, size) = (member("offset"), member("size"));
            let events = self.entities.history(id).iter().rev();
            let entries = events
                .clone()
                .skip(usize::try_from(offset).unwrap_or(usize::MAX))
                .take(usize::try_from(size).unwrap_or(usize::MAX))
                .map(|event| {
                    json!({
                        "type": if event.kind == "CREATE" { "DATA_CREATE" } else { "DATA_CHANGE" },
                        "created": event.at.0,
                        "text": event.kind,
                        "users": [{"entityId": event.user}],
                    })
                });
            json!({
                "offset": offset,
                "size": size,
                "totalCount": events.clone().count(),
                "history": {"entries": entries.collect::<Vec<_>>()},
            })
        });
        Answer::json(kind, 200, answers.collect::<Vec<_>>())
    }

    /// The Excel export: asked for, then fetched by link. There is no file behind the link.
    pub(super) fn export_service(&mut self, call: &Call<'_>, path: &[&str]) -> Answer {
        let kind = RequestKind::FlowfactExport;
        match (call.method, path) {
            (Method::Post, ["export", "schema", "contacts"]) => {
                let file = self.chance.uuid();
                Answer::json(kind, 200, json!([{"schemaId": "contacts", "fileID": file}]))
            }
            (Method::Get, ["export", "schema", "download", file]) => {
                Answer::text(kind, 200, format!("{}/files/{file}.xlsx", call.origin))
            }
            _ => self.unknown(call),
        }
    }
}

fn other_schema(name: &str) -> Value {
    json!({
        "name": name,
        "captions": {"de": name},
        "properties": {
            "identifier": {"type": "TEXT", "captions": {"de": "Kennung"}},
        },
        "global": true,
    })
}

fn data_types() -> Value {
    let text = json!({"type": "TEXT"});
    json!({
        "PHONE": {"properties": {"type": text, "number": text, "note": text}},
        "ADDRESS": {"properties": {
            "type": text, "street": text, "zipcode": text, "city": text, "state": text,
            "district": text, "country": text, "internationalregion": text,
        }},
    })
}

const OTHER_SCHEMAS: [&str; 36] = [
    "appointments",
    "catering_accommodation_purchase",
    "catering_accommodation_rent",
    "consents",
    "contracts",
    "conversations",
    "documents",
    "emails",
    "estates",
    "events",
    "exposes",
    "flat_purchase",
    "flat_rent",
    "forms",
    "hall_production_purchase",
    "hall_production_rent",
    "house_purchase",
    "house_rent",
    "inquiries",
    "invoices",
    "land_lease",
    "land_purchase",
    "letters",
    "matches",
    "mortgages",
    "notes",
    "office_purchase",
    "office_rent",
    "parking_purchase",
    "parking_rent",
    "phonecalls",
    "projects",
    "retail_purchase",
    "retail_rent",
    "searchprofiles",
    "tasks",
];
