//! Microsoft's sign-in: discovery, and tokens for applications and for users.

use contact_sync_guest::outside::{Method, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::super::chance::Chance;
use super::super::log::RequestKind;
use super::super::wire::{Answer, Call, bearer, utc};
use super::{Graph, Problem};

/// Who may sign in, and which tokens are out.
#[derive(Clone, Debug)]
pub(super) struct SignIn {
    pub(super) tenant: String,
    pub(super) client: String,
    pub(super) secret: String,
    tokens: BTreeMap<String, (Grant, Timestamp)>,
    refresh_tokens: BTreeMap<String, u64>,
    devices: BTreeMap<String, Device>,
    chance: Chance,
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// Every mailbox of the tenant, and no `/me`.
    Application,
    /// One mailbox.
    User(u64),
    /// Everything: authentication is switched off.
    Unchecked,
}

/// A sign-in that waits for a person.
#[derive(Clone, Debug)]
struct Device {
    user_code: String,
    approved: Option<u64>,
    expires: Timestamp,
}

impl SignIn {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        Self {
            tenant: chance.uuid(),
            client: chance.uuid(),
            secret: format!("geheim~{}", chance.uuid()),
            tokens: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
            devices: BTreeMap::new(),
            chance,
        }
    }

    pub(super) fn issue(&mut self, grant: Grant, now: Timestamp, lifetime_s: u32) -> String {
        self.tokens.retain(|_, (_, expires)| now < *expires);
        let token = format!("EwB{}", self.chance.uuid().replace('-', ""));
        let expires = now.plus_ms(i64::from(lifetime_s) * 1000);
        self.tokens.insert(token.clone(), (grant, expires));
        token
    }

    /// All access tokens become worthless before they expire.
    pub(super) fn revoke(&mut self) {
        self.tokens.clear();
    }

    pub(super) fn check(&self, call: &Call<'_>) -> Result<Grant, Problem> {
        let refuse = |why| Err(Problem::new(401, "InvalidAuthenticationToken", why));
        let Some(token) = bearer(call) else {
            return refuse("Access token is empty.");
        };
        match self.tokens.get(token) {
            Some((grant, expires)) if call.now < *expires => Ok(*grant),
            Some(_) => refuse("Lifetime validation failed, the token is expired."),
            None => refuse("CompactToken parsing failed with error code: 80049217"),
        }
    }
}

impl Graph {
    /// The endpoints below `/{tenant}`; `None` where it is none of them.
    pub(super) fn sign_in(&mut self, call: &Call<'_>) -> Option<Answer> {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        let answer = match (call.method, path.as_slice()) {
            (Method::Get, [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
                self.discovery(call, tenant)
            }
            (Method::Post, [_, "oauth2", "v2.0", "token"]) => self.token(call),
            (Method::Post, [_, "oauth2", "v2.0", "devicecode"]) => self.device_code(call),
            (Method::Get, ["devicelogin"]) => self.device_login(call),
            _ => return None,
        };
        Some(answer)
    }

    fn discovery(&self, call: &Call<'_>, tenant: &str) -> Answer {
        let base = format!("{}/graph/{tenant}", call.origin);
        let document = json!({
            "issuer": format!("{base}/v2.0"),
            "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
            "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
            "jwks_uri": format!("{base}/discovery/v2.0/keys"),
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "response_types_supported": ["code"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "tenant_region_scope": "EU",
            "msgraph_host": call.origin,
            "cloud_instance_name": "microsoftonline.com",
            "tenant_id": self.sign_in.tenant,
        });
        Answer::json(RequestKind::GraphSignIn, 200, document)
    }

    fn token(&mut self, call: &Call<'_>) -> Answer {
        let form = call.form();
        let member = |name: &str| {
            let mut pairs = form.iter();
            let found = pairs.find(|(found, _)| found == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        if member("client_id") != self.sign_in.client {
            let why = "AADSTS700016: Application was not found in the directory.";
            return refuse(call, 400, "unauthorized_client", 700_016, why);
        }
        let lifetime_s = self.quirks.token_lifetime_s;
        match member("grant_type") {
            "client_credentials" => {
                if member("client_secret") != self.sign_in.secret {
                    let why = "AADSTS7000215: Invalid client secret provided.";
                    return refuse(call, 401, "invalid_client", 7_000_215, why);
                }
                if !member("scope").ends_with("/.default") {
                    let why = "AADSTS1002012: The provided value for scope is not valid. Client \
                               credential flows must have a scope value with /.default suffixed.";
                    return refuse(call, 400, "invalid_scope", 1_002_012, why);
                }
                let token = self.sign_in.issue(Grant::Application, call.now, lifetime_s);
                Answer::json(RequestKind::GraphSignIn, 200, granted(&token, lifetime_s))
            }
            "refresh_token" => {
                if let Some(mailbox) = self.sign_in.refresh_tokens.remove(member("refresh_token")) {
                    self.user_token(call, mailbox)
                } else {
                    let why = "AADSTS70008: The provided refresh token has expired.";
                    refuse(call, 400, "invalid_grant", 70_008, why)
                }
            }
            "urn:ietf:params:oauth:grant-type:device_code" => {
                // One library sends the code under both names.
                let code = member("device_code");
                let code = if code.is_empty() {
                    member("code")
                } else {
                    code
                };
                self.poll(call, code)
            }
            _ => {
                let why = "AADSTS70003: The app requested an unsupported grant type.";
                refuse(call, 400, "unsupported_grant_type", 70_003, why)
            }
        }
    }

    fn user_token(&mut self, call: &Call<'_>, mailbox: u64) -> Answer {
        let lifetime_s = self.quirks.token_lifetime_s;
        let token = self
            .sign_in
            .issue(Grant::User(mailbox), call.now, lifetime_s);
        // Every use of a refresh token gives another one; the old one must be replaced.
        let refresh = format!("0.AX{}", self.sign_in.chance.uuid());
        self.sign_in.refresh_tokens.insert(refresh.clone(), mailbox);
        let mut answer = granted(&token, lifetime_s);
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("refresh_token".to_owned(), Value::String(refresh));
            let scope = "Contacts.ReadWrite User.Read";
            answer.insert("scope".to_owned(), Value::String(scope.to_owned()));
        }
        Answer::json(RequestKind::GraphSignIn, 200, answer)
    }

    fn device_code(&mut self, call: &Call<'_>) -> Answer {
        let code = self.sign_in.chance.uuid();
        let user_code = format!("{:09}", self.sign_in.chance.below(1_000_000_000));
        let device = Device {
            user_code: user_code.clone(),
            approved: None,
            expires: call.now.plus_ms(900_000),
        };
        self.sign_in.devices.insert(code.clone(), device);
        let address = format!("{}/graph/devicelogin", call.origin);
        let answer = json!({
            "user_code": user_code,
            "device_code": code,
            "verification_uri": address,
            "expires_in": 900,
            "interval": 5,
            "message": format!("To sign in, open {address} and enter the code {user_code}."),
        });
        Answer::json(RequestKind::GraphSignIn, 200, answer)
    }

    /// What stands in for the page where a person signs in: the address alone proves who it is.
    fn device_login(&mut self, call: &Call<'_>) -> Answer {
        let parameter = |name: &str| call.parameter(name).unwrap_or_default().to_owned();
        if self.approve_device(&parameter("code"), &parameter("user")) {
            Answer::text(RequestKind::GraphSignIn, 200, "You have signed in.")
        } else {
            let form = "?code=THE-CODE&user=anna@makler.example";
            let why = format!("Open this page with the code and the mailbox: {form}");
            Answer::text(RequestKind::GraphSignIn, 400, why)
        }
    }

    fn poll(&mut self, call: &Call<'_>, code: &str) -> Answer {
        let (error, number, why) = match self.sign_in.devices.get(code) {
            None => (
                "bad_verification_code",
                70_000,
                "AADSTS70000: The code is not known.",
            ),
            Some(device) if device.expires <= call.now => (
                "expired_token",
                70_020,
                "AADSTS70020: The code has expired.",
            ),
            Some(device) => match device.approved {
                Some(mailbox) => {
                    self.sign_in.devices.remove(code);
                    return self.user_token(call, mailbox);
                }
                None => (
                    "authorization_pending",
                    70_016,
                    "AADSTS70016: OAuth 2.0 device flow error. Authorization is pending.",
                ),
            },
        };
        refuse(call, 400, error, number, why)
    }

    /// The user of this mailbox enters the code that a device shows. `false` if nothing waits for
    /// it.
    pub fn approve_device(&mut self, user_code: &str, address: &str) -> bool {
        let Some(number) = self.mailbox(address).map(|mailbox| mailbox.number) else {
            return false;
        };
        let mut devices = self.sign_in.devices.values_mut();
        let Some(device) = devices.find(|device| device.user_code == user_code) else {
            return false;
        };
        device.approved = Some(number);
        true
    }

    /// An access token of the user of this mailbox, as if that user had signed in.
    pub fn user_access_token(&mut self, address: &str, now: Timestamp) -> Option<String> {
        let number = self.mailbox(address)?.number;
        let lifetime_s = self.quirks.token_lifetime_s;
        Some(self.sign_in.issue(Grant::User(number), now, lifetime_s))
    }
}

fn granted(token: &str, lifetime_s: u32) -> Value {
    json!({
        "token_type": "Bearer",
        "expires_in": lifetime_s,
        "ext_expires_in": lifetime_s,
        "access_token": token,
    })
}

fn refuse(call: &Call<'_>, status: u16, error: &str, number: u64, why: &str) -> Answer {
    let body = json!({
        "error": error,
        "error_description": why,
        "error_codes": [number],
        "timestamp": utc(call.now),
        "trace_id": "00000000-0000-4000-8000-000000000000",
        "correlation_id": "00000000-0000-4000-8000-000000000000",
    });
    Answer::json(RequestKind::GraphSignIn, status, body)
}
