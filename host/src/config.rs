//! Whom a host works for: tenants, mailboxes, policy.
//!
//! The structures here are what a platform fills from its own database; [`Config::load`] fills them
//! from a commented TOML file (`config/example.toml`). A mailbox is set up by an administrator in
//! that file, for the company, or by its user in a file of their own, which can say only what is
//! theirs to say: no credentials, no servers, no other tenant.

mod exchange;
mod file;
mod personal;
mod reader;
mod values;

use std::path::{Path, PathBuf};

pub use contact_sync_job::{FLOWFACT_BASE_URL, GRAPH_BASE_URL};
pub use reader::ConfigError;

pub use crate::egress::trust::{Certificates, CertificatesError};

pub(crate) use contact_sync_job::usual_autodiscover;

use crate::credentials::{PasswordScheme, SecretSource, SignIn};
use crate::egress::Network;
use crate::egress::rules::Networks;
use crate::types::{
    ConflictWinner, Crm, CrmNotFound, DeleteEdit, Endpoint, Ews, FieldName, Flowfact, Graph,
    GraphUser, Guard, Job, Mailbox, Marker, Matching, NativeSync, OnCrmDelete, OnMailboxDelete,
    OnUnmark, Policy, Tenant,
};

/// The configuration with every key explained, as `contact-sync example-config` prints it.
pub const EXAMPLE: &str = include_str!("config/example.toml");

/// The worldwide cloud's sign-in.
pub const MICROSOFT_AUTHORITY: &str = "https://login.microsoftonline.com";

/// A host's whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The store's file.
    pub store: PathBuf,
    /// In the order of the file.
    pub tenants: Vec<TenantSettings>,
    /// What is wrong with files that users wrote. Their mailboxes are left out; all others go on.
    pub set_aside: Vec<ConfigError>,
}

/// One company.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantSettings {
    /// Opaque and stable: 1 to 64 characters of `a-z 0-9 -`.
    pub id: String,
    /// How a phone number without country code is read: ISO 3166-1 alpha-2.
    pub region: String,
    /// Its CRM.
    pub flowfact: FlowfactSettings,
    /// Its mailboxes.
    pub mailboxes: Vec<MailboxSettings>,
}

/// A FLOWFACT company, and how to sign in to it.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowfactSettings {
    /// In front of the service names; no trailing slash.
    pub base_url: String,
    /// The schema that holds contacts.
    pub schema: String,
    /// Only for API users that belong to several companies.
    pub company: Option<String>,
    /// Where the schema's field names differ.
    pub fields: Vec<FieldName>,
    /// The platform token of an API user.
    pub token: SecretSource,
    /// The network that FLOWFACT is in.
    pub network: Network,
}

/// One mailbox, and how to treat it.
#[derive(Clone, Debug, PartialEq)]
pub struct MailboxSettings {
    /// Opaque and stable: 1 to 64 characters of `a-z 0-9 -`.
    pub id: String,
    /// Primary SMTP address.
    pub address: String,
    /// Who set it up.
    pub scope: Scope,
    /// Where it lives.
    pub server: MailboxServer,
    /// What stands for it in the CRM.
    pub marker: Marker,
    /// The tenant's choices for it.
    pub policy: Policy,
}

/// Who set a mailbox up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// An administrator, for the whole company.
    Company,
    /// A user, for themselves.
    Personal,
}

/// Where a mailbox lives.
#[derive(Clone, Debug, PartialEq)]
pub enum MailboxServer {
    /// In Office 365.
    Office365(Office365Settings),
    /// On a company's own Exchange Server.
    ExchangeServer(ExchangeServerSettings),
}

/// An Office 365 mailbox, and how to sign in to it with an app's own rights.
#[derive(Clone, Debug, PartialEq)]
pub struct Office365Settings {
    /// Microsoft Graph, with its version.
    pub base_url: String,
    /// User principal name or id.
    pub user: String,
    /// Whether `If-Match` is known to be honoured.
    pub trust_if_match: bool,
    /// `https://login.microsoftonline.com/{tenant}/oauth2/v2.0`.
    pub authority: String,
    /// Application (client) id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: SecretSource,
    /// The network that Microsoft Graph and the authority are in.
    pub network: Network,
}

/// A mailbox on Exchange Server, and how to sign in to it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeServerSettings {
    /// Where it is.
    pub server: ExchangeServer,
    /// Whose account signs in.
    pub sign_in: ExchangeSignIn,
    /// Whether that account acts for the mailbox by impersonation, or opens it by its own rights.
    pub impersonate: bool,
}

/// An Exchange Server, and how it is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeServer {
    /// `https://mail.example.com/EWS/Exchange.asmx`; `None` where a check-up is to look for it.
    pub url: Option<String>,
    /// Which origins it asks then; `None`: those that the address leads to.
    pub autodiscover: Option<Vec<String>>,
    /// Whether contacts are asked for their search key.
    pub ask_search_key: bool,
    /// Authorities that are trusted beside the machine's.
    pub certificates: Certificates,
    /// The network that the server and the authority are in.
    pub network: Network,
}

/// Whose account signs in to an Exchange Server, and how.
#[derive(Clone, Debug, PartialEq)]
pub enum ExchangeSignIn {
    /// An account with a password.
    Password {
        /// How the password is proven.
        scheme: PasswordScheme,
        /// `DOMAIN\account`, or `account@example.com`.
        username: String,
        /// The password.
        password: SecretSource,
    },
    /// An app, by hybrid modern authentication or AD FS (OAuth 2.0 client credentials).
    Client {
        /// In front of `/token`.
        authority: String,
        /// Application (client) id.
        client_id: String,
        /// Client secret.
        client_secret: SecretSource,
        /// `https://mail.example.com/.default`.
        scope: String,
    },
}

impl Config {
    /// Reads a configuration file, and the files of users that it names. All mistakes at once.
    pub fn load(path: &Path) -> Result<Self, Vec<ConfigError>> {
        file::load(path)
    }
}

impl TenantSettings {
    /// What the plugin is told about one of this tenant's mailboxes.
    pub fn job(&self, mailbox: &MailboxSettings) -> Job {
        Job {
            tenant: Tenant {
                id: self.id.clone(),
                region: self.region.clone(),
            },
            crm: Crm::Flowfact(Flowfact {
                base_url: self.flowfact.base_url.clone(),
                schema: self.flowfact.schema.clone(),
                company: self.flowfact.company.clone(),
                fields: self.flowfact.fields.clone(),
                marker: mailbox.marker.clone(),
            }),
            mailbox: Mailbox {
                id: mailbox.id.clone(),
                address: mailbox.address.clone(),
                endpoint: mailbox.server.endpoint(&mailbox.address),
            },
            policy: mailbox.policy,
        }
    }

    pub(crate) fn networks(&self, mailbox: &MailboxSettings) -> Networks {
        Networks {
            crm: self.flowfact.network,
            mailbox: mailbox.server.network(),
        }
    }
}

impl MailboxServer {
    fn endpoint(&self, address: &str) -> Endpoint {
        match self {
            Self::Office365(office365) => Endpoint::Graph(Graph {
                base_url: office365.base_url.clone(),
                user: GraphUser::User(office365.user.clone()),
                trust_if_match: office365.trust_if_match,
            }),
            Self::ExchangeServer(exchange) => Endpoint::Ews(Ews {
                url: exchange.server.url.clone(),
                autodiscover: exchange
                    .server
                    .autodiscover
                    .clone()
                    .unwrap_or_else(|| usual_autodiscover(address)),
                impersonate: exchange.impersonate,
                ask_search_key: exchange.server.ask_search_key,
            }),
        }
    }

    /// Where its requests go.
    pub(crate) fn urls(&self, address: &str) -> Vec<String> {
        match self.endpoint(address) {
            Endpoint::Graph(graph) => vec![graph.base_url],
            Endpoint::Ews(Ews { url: Some(url), .. }) => vec![url],
            Endpoint::Ews(ews) => ews.autodiscover,
        }
    }

    pub(crate) fn network(&self) -> Network {
        match self {
            Self::Office365(office365) => office365.network,
            Self::ExchangeServer(exchange) => exchange.server.network,
        }
    }

    pub(crate) fn sign_in(&self) -> SignIn {
        match self {
            Self::Office365(office365) => office365.sign_in(),
            Self::ExchangeServer(exchange) => exchange.sign_in.sign_in(),
        }
    }

    /// Authorities that are trusted beside the machine's.
    pub(crate) fn certificates(&self) -> Certificates {
        match self {
            Self::Office365(_) => Certificates::default(),
            Self::ExchangeServer(exchange) => exchange.server.certificates.clone(),
        }
    }
}

impl ExchangeSignIn {
    fn sign_in(&self) -> SignIn {
        match self.clone() {
            Self::Password {
                scheme,
                username,
                password,
            } => SignIn::ExchangePassword {
                scheme,
                username,
                password,
            },
            Self::Client {
                authority,
                client_id,
                client_secret,
                scope,
            } => SignIn::ExchangeClient {
                authority,
                client_id,
                client_secret,
                scope,
            },
        }
    }
}

impl FlowfactSettings {
    pub(crate) fn sign_in(&self) -> SignIn {
        let (base_url, token) = (self.base_url.clone(), self.token.clone());
        SignIn::FlowfactToken { base_url, token }
    }
}

impl Office365Settings {
    fn sign_in(&self) -> SignIn {
        SignIn::MicrosoftClient {
            authority: self.authority.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            scope: scope(&self.base_url),
        }
    }
}

/// The choices that hold unless a tenant makes others: FLOWFACT's own rules, carefully.
pub fn usual_policy() -> Policy {
    Policy {
        conflict: ConflictWinner::Crm,
        delete_edit: DeleteEdit::KeepEdit,
        on_crm_delete: OnCrmDelete::DeleteInMailbox,
        on_mailbox_delete: OnMailboxDelete::DeleteInCrm,
        on_unmark: OnUnmark::Keep,
        matching: Matching::EmailOrPhone,
        guard: Guard {
            contacts_max: 10,
            contacts_percent_max: 10,
        },
        journal_days: 30,
        native_sync: NativeSync::Ask,
        crm_not_found: CrmNotFound::Hold,
    }
}

/// A token is for one cloud's Graph
/// (<https://learn.microsoft.com/graph/deployments>).
/// A test server stands for the worldwide one.
fn scope(base_url: &str) -> String {
    const CLOUDS: [&str; 3] = [
        "https://graph.microsoft.us",
        "https://dod-graph.microsoft.us",
        "https://microsoftgraph.chinacloudapi.cn",
    ];
    let cloud = CLOUDS.iter().find(|cloud| base_url.starts_with(**cloud));
    format!(
        "{}/.default",
        cloud.unwrap_or(&"https://graph.microsoft.com")
    )
}
