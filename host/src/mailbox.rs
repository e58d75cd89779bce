//! One mailbox: what a platform can ask of it.

use std::sync::Arc;

use wasmtime::component::ResourceAny;

use crate::credentials::SignInError;
use crate::egress::rules::{Networks, Rules, Writing};
use crate::egress::{Connections, Egress, Noted};
use crate::pass::Session;
use crate::plugin::{Sandbox, wit};
use crate::store::{Access, Acquired, Crash, KeptLease, LEASE_TTL_MS, Namespace};
use crate::types::{ApprovalRequest, Failure, Job, Operation};
use crate::{
    Checkup, CsvPart, Error, Explained, JournalPage, Mode, Overview, Pairing, Pass, RequestPage,
    Shared, Target, Verdict,
};

/// One mailbox of a tenant, with its own connections.
#[derive(Clone)]
pub struct Mailbox {
    core: Arc<Core>,
}

/// What a check-up found, by the plugin and by the host.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What the plugin found.
    pub checkup: Checkup,
    /// Why the host could not sign in, if it could not.
    pub sign_in: Option<SignInError>,
    /// Which requests the host did not let out, in words; at most 20.
    pub denials: Vec<String>,
}

/// What a mailbox's sandboxes are made from.
pub(crate) struct Core {
    pub(crate) host: Arc<Shared>,
    pub(crate) job: Job,
    pub(crate) networks: Networks,
    pub(crate) connections: Connections,
}

impl Mailbox {
    /// A mailbox whose endpoints requests may go to: found out now rather than in a pass.
    pub(crate) fn new(core: Core) -> Result<Self, Error> {
        core.rules(Writing::Forbidden)?;
        Ok(Self {
            core: Arc::new(core),
        })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.core.job.mailbox.id
    }

    /// Its primary address.
    pub fn address(&self) -> &str {
        &self.core.job.mailbox.address
    }

    /// What the plugin is told.
    pub fn job(&self) -> &Job {
        &self.core.job
    }

    /// The way out for requests that come from no sandbox of this host.
    pub(crate) fn egress(&self) -> Result<Egress, Error> {
        let rules = self.core.rules(Writing::Allowed)?;
        let connections = self.core.connections.clone();
        Ok(Egress::new(rules, connections, Arc::default()))
    }

    /// What the configuration says about the networks of the two endpoints.
    pub(crate) fn networks(&self) -> Networks {
        self.core.networks
    }

    /// Begins a pass. [`Mode::Sync`] takes the tenant's lease; a preview only looks, may run beside
    /// a sync, and can write neither outside nor into the store, whatever the plugin tries.
    pub async fn open(&self, mode: Mode) -> Result<Pass, Error> {
        let session = match mode {
            Mode::Sync => self.core.leased(Writing::Allowed).await?,
            Mode::Preview => self.core.looking().await?,
        };
        let job = self.core.job.clone();
        opened(session, async |face, store| {
            let pass = face.contact_sync_plugin_sync().pass();
            pass.call_open(store, &job, mode).await
        })
        .await
    }

    /// Begins a pass that brings back what the journal holds. It takes the tenant's lease; a dry
    /// run only looks, and can write neither outside nor into the store, whatever the plugin tries.
    pub async fn restore(&self, target: &Target, is_dry: bool) -> Result<Pass, Error> {
        let session = if is_dry {
            self.core.looking().await?
        } else {
            self.core.leased(Writing::Allowed).await?
        };
        let job = self.core.job.clone();
        opened(session, async |face, store| {
            let pass = face.contact_sync_plugin_sync().pass();
            pass.call_restore(store, &job, target, is_dry).await
        })
        .await
    }

    /// Signs in to both sides, and says what is missing for a sync.
    pub async fn check(&self) -> Result<Checked, Error> {
        let mut session = self.core.looking().await?;
        let job = &self.core.job;
        let checkup = session
            .call(async |face, store| {
                face.contact_sync_plugin_setup()
                    .call_check(store, job)
                    .await
            })
            .await?
            .map_err(|failure| session.failed(failure))?;
        let Noted { denials, sign_in } = session.noted();
        Ok(Checked {
            checkup,
            sign_in,
            denials,
        })
    }

    /// What earlier passes left behind, from the store alone.
    pub async fn status(&self) -> Result<Overview, Error> {
        let mut session = self.core.looking().await?;
        let job = &self.core.job;
        let overview = session
            .call(async |face, store| {
                face.contact_sync_plugin_sync()
                    .call_status(store, job)
                    .await
            })
            .await?;
        overview.map_err(|failure| session.failed(failure))
    }

    /// How this mailbox's passes crashed last, if they ever did. May hold personal data.
    pub async fn last_crash(&self) -> Result<Option<Crash>, Error> {
        let job = &self.core.job;
        Ok(self
            .core
            .host
            .store
            .last_crash(&job.tenant.id, &job.mailbox.id)
            .await?)
    }

    /// Why a contact, or one of its values, is or is not on the other side. `question` is an id of
    /// either side, words of a name, an e-mail address or a number. It only looks, and may run
    /// beside a sync.
    pub async fn explain(&self, question: &str) -> Result<Explained, Error> {
        let mut session = self.core.looking().await?;
        let job = &self.core.job;
        let explained = session
            .call(async |face, store| {
                let contacts = face.contact_sync_plugin_contacts();
                contacts.call_explain(store, job, question).await
            })
            .await?;
        explained.map_err(|failure| session.failed(failure))
    }

    /// Settles who is who; the next pass acts on it.
    pub async fn pair(&self, pairing: &Pairing) -> Result<Operation, Error> {
        let job = &self.core.job;
        self.noted(async |face, store| {
            face.contact_sync_plugin_contacts()
                .call_pair(store, job, pairing)
                .await
        })
        .await
    }

    /// What this mailbox's guard asks, and a part of its list: at most 1,000 entries, from the
    /// store alone. `None` where it asks nothing.
    pub async fn request(
        &self,
        after: Option<&str>,
        entries_max: u32,
    ) -> Result<Option<RequestPage>, Error> {
        let mut session = self.core.looking().await?;
        let job = &self.core.job;
        let page = session
            .call(async |face, store| {
                let approval = face.contact_sync_plugin_approval();
                approval.call_request(store, job, after, entries_max).await
            })
            .await?;
        page.map_err(|failure| session.failed(failure))
    }

    /// Answers the list of this token; the next pass acts on it.
    pub async fn answer(&self, token: &str, verdict: Verdict) -> Result<ApprovalRequest, Error> {
        let job = &self.core.job;
        self.noted(async |face, store| {
            let approval = face.contact_sync_plugin_approval();
            approval.call_answer(store, job, token, verdict).await
        })
        .await
    }

    /// Says that the mailbox may from now on be another one than before, on purpose.
    pub async fn rebind(&self) -> Result<(), Error> {
        let job = &self.core.job;
        self.noted(async |face, store| {
            face.contact_sync_plugin_setup()
                .call_rebind(store, job)
                .await
        })
        .await
    }

    /// Switches the mailbox off: everything is remembered, nothing is deleted, and the first pass
    /// after it lets a person approve whatever it would destroy.
    pub async fn suspend(&self) -> Result<(), Error> {
        let job = &self.core.job;
        self.noted(async |face, store| {
            face.contact_sync_plugin_setup()
                .call_suspend(store, job)
                .await
        })
        .await
    }

    /// A part of the journal, from the store alone.
    pub async fn journal(
        &self,
        after: Option<&str>,
        entries_max: u32,
    ) -> Result<JournalPage, Error> {
        let mut session = self.core.looking().await?;
        let job = &self.core.job;
        let page = session
            .call(async |face, store| {
                let archive = face.contact_sync_plugin_archive();
                archive.call_entries(store, job, after, entries_max).await
            })
            .await?;
        page.map_err(|failure| session.failed(failure))
    }

    /// All contacts of the CRM as CSV, part by part; each is handed to `write`. Ends early where
    /// `write` says `false`. Returns how many contacts there were.
    pub async fn export_csv(&self, mut write: impl FnMut(&str) -> bool) -> Result<u64, Error> {
        const CONTACTS_MAX: u32 = 500;
        let mut session = self.core.looking().await?;
        let job = &self.core.job;
        let mut after: Option<String> = None;
        let mut contacts = 0;
        loop {
            let from = after.as_deref();
            let part: CsvPart = session
                .call(async |face, store| {
                    let face = face.contact_sync_plugin_contacts();
                    face.call_export_csv(store, job, from, CONTACTS_MAX).await
                })
                .await?
                .map_err(|failure| session.failed(failure))?;
            contacts += u64::from(part.contacts);
            if !write(&part.text) || part.next.is_none() {
                return Ok(contacts);
            }
            after = part.next;
        }
    }

    /// A call that notes something in the store: under the tenant's lease, writing on neither side.
    async fn noted<T>(
        &self,
        call: impl AsyncFnOnce(
            &wit::Plugin,
            &mut wasmtime::Store<Sandbox>,
        ) -> wasmtime::Result<Result<T, Failure>>,
    ) -> Result<T, Error> {
        let mut session = self.core.leased(Writing::Forbidden).await?;
        let noted = session.call(call).await;
        let result = noted.and_then(|noted| noted.map_err(|failure| session.failed(failure)));
        session.end().await;
        result
    }
}

/// The pass that a call opens in this session.
async fn opened(
    mut session: Session,
    open: impl AsyncFnOnce(
        &wit::Plugin,
        &mut wasmtime::Store<Sandbox>,
    ) -> wasmtime::Result<Result<ResourceAny, Failure>>,
) -> Result<Pass, Error> {
    let opened = session.call(open).await;
    match opened.and_then(|opened| opened.map_err(|failure| session.failed(failure))) {
        Ok(handle) => Ok(Pass::new(session, handle)),
        Err(error) => {
            session.end().await;
            Err(error)
        }
    }
}

impl Core {
    /// A session that only reads, beside whoever holds the lease.
    async fn looking(self: &Arc<Self>) -> Result<Session, Error> {
        let access = Access::ReadOnly(self.job.tenant.id.clone());
        self.session(access, Writing::Forbidden, None).await
    }

    /// A session that holds the tenant's lease.
    async fn leased(self: &Arc<Self>, writing: Writing) -> Result<Session, Error> {
        let tenant = &self.job.tenant.id;
        let acquired = self
            .host
            .store
            .acquire(tenant, &self.host.name, LEASE_TTL_MS)
            .await?;
        let lease = match acquired {
            Acquired::Lease(lease) => lease,
            Acquired::HeldBy { holder, ends_in_ms } => {
                return Err(Error::Busy {
                    tenant: tenant.clone(),
                    holder,
                    ends_in_ms,
                });
            }
        };
        let kept = KeptLease::new(Arc::clone(&self.host.store), lease.clone());
        self.session(Access::Fenced(lease), writing, Some(kept))
            .await
    }

    async fn session(
        self: &Arc<Self>,
        access: Access,
        writing: Writing,
        lease: Option<KeptLease>,
    ) -> Result<Session, Error> {
        let lost = lease
            .as_ref()
            .map_or_else(Arc::default, |lease| Arc::clone(&lease.lost));
        let egress = Egress::new(self.rules(writing)?, self.connections.clone(), lost);
        let namespace = Namespace::new(Arc::clone(&self.host.store), access);
        let instance = self
            .host
            .plugin
            .instance(Box::new(egress.clone()), namespace)
            .await;
        match instance {
            Ok(instance) => Ok(Session::new(Arc::clone(self), instance, egress, lease)),
            Err(crash) => {
                // Given back before anybody is told: whoever tries again at once finds it free.
                if let Some(lease) = lease {
                    lease.release().await;
                }
                Err(self.crashed(crash).await)
            }
        }
    }

    fn rules(&self, writing: Writing) -> Result<Rules, Error> {
        Rules::new(&self.job, self.networks, writing)
            .map_err(|error| Error::endpoint("an endpoint of the job", &error))
    }

    /// Keeps the last words with the tenant's data, and logs that there are some.
    pub(crate) async fn crashed(&self, crash: Crash) -> Error {
        let (tenant, mailbox) = (&self.job.tenant.id, &self.job.mailbox.id);
        tracing::error!(tenant, mailbox, "the plugin crashed");
        if let Err(error) = self
            .host
            .store
            .keep_crash(tenant, mailbox, crash.clone())
            .await
        {
            tracing::error!(tenant, mailbox, %error, "its last words cannot be kept");
        }
        Error::Crashed(crash)
    }
}
