//! A job as a file: JSON in the words of the configuration (`host/src/config/example.toml`).
//!
//! Keys, values and what may be left out are the same, so that nobody learns two languages. Only
//! secrets and networks are missing: a job holds none of them. What is not known is an error.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    CrmAccess, Endpoint, EwsAccess, FLOWFACT_BASE_URL, Field, FlowfactAccess, GRAPH_BASE_URL,
    GraphAccess, GraphUser, Job, MailboxAccess, Marker, Policy, Tenant, usual_autodiscover,
    usual_policy,
};

/// The user who signs in, whoever that is: neither an id nor a user principal name.
const SIGNED_IN_USER: &str = "me";

const REMEDY: &str = "compare it with what `contact-sync job --mailbox ID` prints of a configured \
                      mailbox";

/// What is wrong with a job, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct JobError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl JobError {
    /// What to do.
    pub fn remedy(&self) -> &'static str {
        REMEDY
    }
}

impl Job {
    /// Reads a job.
    pub fn from_json(text: &str) -> Result<Self, JobError> {
        let document: Document = serde_json::from_str(text).map_err(|error| {
            let told = error.to_string();
            let (message, _) = told.rsplit_once(" at line ").unwrap_or((&told, ""));
            JobError {
                line: error.line(),
                column: error.column(),
                message: message.to_owned(),
            }
        })?;
        Ok(document.into())
    }

    /// Writes a job, with all that could be left out.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&Document::from(self.clone()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    tenant: Tenant,
    #[serde(default)]
    flowfact: Flowfact,
    mailbox: Mailbox,
    #[serde(default = "usual_policy")]
    policy: Policy,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Flowfact {
    base_url: String,
    schema: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<Field, FieldName>,
}

impl Default for Flowfact {
    fn default() -> Self {
        Self {
            base_url: FLOWFACT_BASE_URL.to_owned(),
            schema: "contacts".to_owned(),
            company: None,
            fields: BTreeMap::new(),
        }
    }
}

/// A name in the schema, or `false`.
struct FieldName(Option<String>);

impl Serialize for FieldName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(name) => serializer.serialize_str(name),
            None => serializer.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = FieldName;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("the field's name in the schema, or false")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<FieldName, E> {
                Ok(FieldName(Some(name.to_owned())))
            }

            fn visit_bool<E: serde::de::Error>(self, takes_part: bool) -> Result<FieldName, E> {
                if takes_part {
                    return Err(E::invalid_value(serde::de::Unexpected::Bool(true), &self));
                }
                Ok(FieldName(None))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct MailboxKeys {
    id: String,
    address: String,
    marker: MarkerKeys,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    office365: Option<Office365>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exchange_server: Option<ExchangeServer>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct MarkerKeys {
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_entry: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Office365 {
    base_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    trust_if_match: bool,
}

impl Default for Office365 {
    fn default() -> Self {
        Self {
            base_url: GRAPH_BASE_URL.to_owned(),
            user: None,
            trust_if_match: false,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct ExchangeServer {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    autodiscover: Option<Vec<String>>,
    impersonate: bool,
    ask_search_key: bool,
}

impl Default for ExchangeServer {
    fn default() -> Self {
        Self {
            url: None,
            autodiscover: None,
            impersonate: true,
            ask_search_key: true,
        }
    }
}

/// A mailbox whose keys fit each other.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "MailboxKeys", into = "MailboxKeys")]
struct Mailbox {
    access: MailboxAccess,
    marker: Marker,
}

impl TryFrom<MailboxKeys> for Mailbox {
    type Error = &'static str;

    fn try_from(keys: MailboxKeys) -> Result<Self, Self::Error> {
        let endpoint = match (keys.office365, keys.exchange_server) {
            (Some(office365), None) => Endpoint::Graph(office365.access(&keys.address)),
            (None, Some(server)) => Endpoint::Ews(server.access(&keys.address)),
            (Some(_), Some(_)) => {
                return Err("a mailbox has either `office365` or `exchange-server`, not both");
            }
            (None, None) => return Err("a mailbox has `office365` or `exchange-server`"),
        };
        Ok(Self {
            access: MailboxAccess {
                id: keys.id,
                address: keys.address,
                endpoint,
            },
            marker: keys.marker.try_into()?,
        })
    }
}

impl From<Mailbox> for MailboxKeys {
    fn from(mailbox: Mailbox) -> Self {
        let MailboxAccess {
            id,
            address,
            endpoint,
        } = mailbox.access;
        let (office365, exchange_server) = match endpoint {
            Endpoint::Graph(graph) => (Some(graph.into()), None),
            Endpoint::Ews(ews) => (None, Some(ews.into())),
        };
        Self {
            id,
            address,
            marker: mailbox.marker.into(),
            office365,
            exchange_server,
        }
    }
}

impl TryFrom<MarkerKeys> for Marker {
    type Error = &'static str;

    fn try_from(keys: MarkerKeys) -> Result<Self, Self::Error> {
        match (keys.field, keys.value, keys.sync_entry) {
            (Some(field), Some(value), None) => Ok(Self::FieldValue { field, value }),
            (None, None, Some(entry)) => Ok(Self::SyncEntry(entry)),
            _ => Err("a marker has `field` and `value`, or `sync-entry`"),
        }
    }
}

impl From<Marker> for MarkerKeys {
    fn from(marker: Marker) -> Self {
        match marker {
            Marker::FieldValue { field, value } => Self {
                field: Some(field),
                value: Some(value),
                sync_entry: None,
            },
            Marker::SyncEntry(entry) => Self {
                sync_entry: Some(entry),
                ..Self::default()
            },
        }
    }
}

impl Office365 {
    fn access(self, address: &str) -> GraphAccess {
        let user = match self.user {
            Some(user) if user == SIGNED_IN_USER => GraphUser::Me,
            Some(user) => GraphUser::User(user),
            None => GraphUser::User(address.to_owned()),
        };
        GraphAccess {
            base_url: self.base_url,
            user,
            trust_if_match: self.trust_if_match,
        }
    }
}

impl From<GraphAccess> for Office365 {
    fn from(graph: GraphAccess) -> Self {
        Self {
            base_url: graph.base_url,
            user: Some(match graph.user {
                GraphUser::Me => SIGNED_IN_USER.to_owned(),
                GraphUser::User(user) => user,
            }),
            trust_if_match: graph.trust_if_match,
        }
    }
}

impl ExchangeServer {
    fn access(self, address: &str) -> EwsAccess {
        let autodiscover = self.autodiscover;
        EwsAccess {
            url: self.url,
            autodiscover: autodiscover.unwrap_or_else(|| usual_autodiscover(address)),
            impersonate: self.impersonate,
            ask_search_key: self.ask_search_key,
        }
    }
}

impl From<EwsAccess> for ExchangeServer {
    fn from(ews: EwsAccess) -> Self {
        Self {
            url: ews.url,
            autodiscover: Some(ews.autodiscover),
            impersonate: ews.impersonate,
            ask_search_key: ews.ask_search_key,
        }
    }
}

impl From<Document> for Job {
    fn from(document: Document) -> Self {
        let Document {
            tenant,
            flowfact,
            mailbox,
            policy,
        } = document;
        let fields = flowfact.fields.into_iter();
        Self {
            tenant,
            crm: CrmAccess::Flowfact(FlowfactAccess {
                base_url: flowfact.base_url,
                schema: flowfact.schema,
                company: flowfact.company,
                fields: fields.map(|(field, name)| (field, name.0)).collect(),
                marker: mailbox.marker,
            }),
            mailbox: mailbox.access,
            policy,
        }
    }
}

impl From<Job> for Document {
    fn from(job: Job) -> Self {
        let CrmAccess::Flowfact(flowfact) = job.crm;
        let fields = flowfact.fields.into_iter();
        Self {
            tenant: job.tenant,
            flowfact: Flowfact {
                base_url: flowfact.base_url,
                schema: flowfact.schema,
                company: flowfact.company,
                fields: fields
                    .map(|(field, name)| (field, FieldName(name)))
                    .collect(),
            },
            mailbox: Mailbox {
                access: job.mailbox,
                marker: flowfact.marker,
            },
            policy: job.policy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST: &str = r#"{
  "tenant": {"id": "muster"},
  "mailbox": {
    "id": "anna",
    "address": "anna@makler.example",
    "marker": {"field": "tags", "value": "anna"},
    "office365": {}
  }
}"#;

    #[test]
    fn what_is_left_out_is_as_usual() {
        let job = Job::from_json(SHORTEST).unwrap();
        assert_eq!(job.tenant.region, "DE");
        assert_eq!(job.policy, usual_policy());
        let CrmAccess::Flowfact(flowfact) = &job.crm;
        assert_eq!(flowfact.base_url, FLOWFACT_BASE_URL);
        assert_eq!(flowfact.schema, "contacts");
        let Endpoint::Graph(graph) = &job.mailbox.endpoint else {
            panic!("{:?}", job.mailbox.endpoint);
        };
        assert_eq!(graph.user, GraphUser::User("anna@makler.example".into()));
        assert!(!graph.trust_if_match);
    }

    #[test]
    fn a_job_is_read_as_it_was_written() {
        let mut job = Job::from_json(SHORTEST).unwrap();
        let mut jobs = vec![job.clone()];
        let CrmAccess::Flowfact(flowfact) = &mut job.crm;
        flowfact.fields.insert(Field::Department, None);
        flowfact
            .fields
            .insert(Field::FirstName, Some("vorname".into()));
        flowfact.company = Some("c".into());
        flowfact.marker = Marker::SyncEntry("account".into());
        job.policy.guard.contacts_percent_max = 3;
        job.mailbox.endpoint = Endpoint::Graph(GraphAccess {
            base_url: "http://127.0.0.1:1/graph/v1.0".into(),
            user: GraphUser::Me,
            trust_if_match: true,
        });
        jobs.push(job.clone());
        job.mailbox.endpoint = Endpoint::Ews(EwsAccess {
            url: None,
            autodiscover: vec!["https://mail.example.com".into()],
            impersonate: false,
            ask_search_key: false,
        });
        jobs.push(job);
        for job in jobs {
            let text = job.to_json().unwrap();
            assert_eq!(Job::from_json(&text).unwrap(), job, "{text}");
        }
    }

    /// Rows of every version hold a marker and an endpoint in this form.
    #[test]
    fn stored_rows_keep_their_form() {
        let graph = Endpoint::Graph(GraphAccess {
            base_url: "b".into(),
            user: GraphUser::User("u".into()),
            trust_if_match: false,
        });
        let ews = Endpoint::Ews(EwsAccess {
            url: None,
            autodiscover: Vec::new(),
            impersonate: true,
            ask_search_key: true,
        });
        let (field, value) = ("f".to_owned(), "v".to_owned());
        let marker = Marker::FieldValue { field, value };
        let row = serde_json::to_string(&(graph, ews, marker, Marker::SyncEntry("s".into())));
        assert_eq!(
            row.unwrap(),
            r#"[{"graph":{"base_url":"b","user":{"user":"u"},"trust_if_match":false}},"#.to_owned()
                + r#"{"ews":{"url":null,"autodiscover":[],"impersonate":true,"ask_search_key":true}},"#
                + r#"{"field-value":{"field":"f","value":"v"}},{"sync-entry":"s"}]"#
        );
    }

    #[test]
    fn a_mistake_is_found_where_it_is() {
        let wrong = |from: &str, to: &str| {
            let text = SHORTEST.replace(from, to);
            assert_ne!(text, SHORTEST, "{from}");
            Job::from_json(&text).unwrap_err()
        };
        let unknown = wrong(r#""address""#, r#""adress""#);
        assert_eq!(unknown.line, 5);
        assert!(unknown.message.contains("`adress`") && unknown.message.contains("`address`"));
        let both = wrong(
            r#""office365": {}"#,
            r#""office365": {}, "exchange-server": {}"#,
        );
        assert!(both.message.contains("not both") && both.line > 1, "{both}");
        let none = wrong(",\n    \"office365\": {}", "");
        assert!(none.message.contains("`exchange-server`"), "{none}");
        let half = wrong(r#", "value": "anna""#, "");
        assert!(half.message.contains("`sync-entry`"), "{half}");
        let torn = Job::from_json(&SHORTEST[..40]).unwrap_err();
        assert!(torn.line > 0 && !torn.remedy().is_empty(), "{torn}");
        let policy = SHORTEST.replacen('{', r#"{"policy": {"conflict": "outlook"},"#, 1);
        let policy = Job::from_json(&policy).unwrap_err();
        assert!(policy.message.contains("`newest`"), "{policy}");
        let field = SHORTEST.replacen('{', r#"{"flowfact": {"fields": {"emails": true}},"#, 1);
        assert!(
            Job::from_json(&field)
                .unwrap_err()
                .message
                .contains("false")
        );
    }
}
