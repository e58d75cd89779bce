//! One pass over one mailbox, and the sandbox that any other call runs in.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceAny;

use crate::Error;
use crate::credentials::SignInError;
use crate::egress::{Egress, Noted};
use crate::mailbox::Core;
use crate::plugin::{Instance, Sandbox, wit};
use crate::store::KeptLease;
use crate::types::{Failure, Finding, Operation, Progress, Report};
use wit::exports::contact_sync::plugin::sync::Step;

/// One sandbox with its way out and, if it writes, its lease.
pub(crate) struct Session {
    core: Arc<Core>,
    instance: Instance,
    egress: Egress,
    lease: Option<KeptLease>,
}

impl Session {
    /// A session in this sandbox.
    pub(crate) fn new(
        core: Arc<Core>,
        instance: Instance,
        egress: Egress,
        lease: Option<KeptLease>,
    ) -> Self {
        Self {
            core,
            instance,
            egress,
            lease,
        }
    }

    /// Calls into the sandbox as soon as there is a permit to run.
    pub(crate) async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&wit::Plugin, &mut wasmtime::Store<Sandbox>) -> wasmtime::Result<T>,
    ) -> Result<T, Error> {
        let Ok(_running) = self.core.host.running.acquire().await else {
            return Err(Error::Stopped);
        };
        match self.instance.call(call).await {
            Ok(result) => Ok(result),
            Err(crash) => Err(self.core.crashed(crash).await),
        }
    }

    /// What the host knows about the session's requests and the plugin does not.
    pub(crate) fn noted(&self) -> Noted {
        self.egress.noted()
    }

    /// The plugin's reason, and what the host knows about it.
    pub(crate) fn failed(&self, failure: Failure) -> Error {
        let Noted { denials, sign_in } = self.noted();
        Error::Failed {
            failure: Box::new(failure),
            sign_in: sign_in.map(Box::new),
            denials,
        }
    }

    /// Gives the lease back, if there is one.
    pub(crate) async fn end(self) {
        if let Some(lease) = self.lease {
            lease.release().await;
        }
    }
}

/// One pass over one mailbox, driven step by step or in one go.
///
/// Dropping it cancels it, also in the middle of a step: to the plugin that is a crash, and a crash
/// loses nothing. [`Pass::close`] does the same and gives the lease back before it returns.
pub struct Pass {
    session: Session,
    handle: ResourceAny,
}

/// What a step of a pass came to.
#[derive(Clone, Debug)]
pub enum Turn {
    /// Go on whenever you like.
    Working(Progress),
    /// A service asked for a pause: go on after it. Meanwhile the pass needs nothing but its lease.
    Waiting {
        /// How long: a millisecond to ten minutes, whatever the plugin asks for.
        wait: Duration,
        /// Where the pass stands.
        progress: Progress,
    },
    /// The end.
    Done(Box<Report>),
}

impl Pass {
    pub(crate) fn new(session: Session, handle: ResourceAny) -> Self {
        Self { session, handle }
    }

    /// Does a bounded piece of work.
    pub async fn advance(&mut self) -> Result<Turn, Error> {
        let handle = self.handle;
        let step = self
            .session
            .call(async |face, store| {
                face.contact_sync_plugin_sync()
                    .pass()
                    .call_advance(store, handle)
                    .await
            })
            .await?;
        Ok(match step {
            Step::Working(progress) => Turn::Working(progress),
            Step::Waiting(pause) => Turn::Waiting {
                wait: Duration::from_millis(pause.wait_ms.into()).clamp(WAIT_MIN, WAIT_MAX),
                progress: pause.progress,
            },
            Step::Done(report) => Turn::Done(Box::new(report)),
        })
    }

    /// Runs the pass to its end, pauses included.
    pub async fn run(&mut self, mut progress: impl FnMut(Progress)) -> Result<Report, Error> {
        loop {
            match self.advance().await? {
                Turn::Working(now) => progress(now),
                Turn::Waiting {
                    wait,
                    progress: now,
                } => {
                    progress(now);
                    tokio::time::sleep(wait).await;
                }
                Turn::Done(report) => return Ok(*report),
            }
        }
    }

    /// The operations with their state so far: at most 1,000, from number `first` on. None beyond
    /// the first million, so that a list comes to an end whatever the plugin says.
    pub async fn operations(&mut self, first: u32) -> Result<Vec<Operation>, Error> {
        if first >= LIST_ITEMS_MAX {
            return Ok(Vec::new());
        }
        let handle = self.handle;
        let called = self.session.call(async |face, store| {
            let pass = face.contact_sync_plugin_sync().pass();
            pass.call_operations(store, handle, first, PAGE_ITEMS_MAX)
                .await
        });
        called.await.map(page)
    }

    /// The findings so far: at most 1,000, from number `first` on. None beyond the first million.
    pub async fn findings(&mut self, first: u32) -> Result<Vec<Finding>, Error> {
        if first >= LIST_ITEMS_MAX {
            return Ok(Vec::new());
        }
        let handle = self.handle;
        let called = self.session.call(async |face, store| {
            let pass = face.contact_sync_plugin_sync().pass();
            pass.call_findings(store, handle, first, PAGE_ITEMS_MAX)
                .await
        });
        called.await.map(page)
    }

    /// Why the host could not sign in, if it could not.
    pub fn sign_in_error(&self) -> Option<SignInError> {
        self.session.noted().sign_in
    }

    /// Which requests the host did not let out, in words; at most 20.
    pub fn denials(&self) -> Vec<String> {
        self.session.noted().denials
    }

    /// Ends the pass and gives the lease back.
    pub async fn close(self) {
        self.session.end().await;
    }
}

/// `pause.wait-ms` (`wit/sync.wit`); what is outside of it is taken for its nearer end.
const WAIT_MIN: Duration = Duration::from_millis(1);
const WAIT_MAX: Duration = Duration::from_mins(10);

/// `operations-max` and `findings-max` (`wit/sync.wit`).
const PAGE_ITEMS_MAX: u32 = 1_000;

/// Several for each of 100,000 contacts.
const LIST_ITEMS_MAX: u32 = 1_000_000;

/// As much of a page as was asked for, whatever the plugin returns.
fn page<T>(mut items: Vec<T>) -> Vec<T> {
    items.truncate(PAGE_ITEMS_MAX as usize);
    items
}
