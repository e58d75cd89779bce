//! A lease that is kept alive as long as somebody works under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{Lease, Store, StoreError};

/// How long a lease lasts without a sign of life. A host that died blocks its tenants for so long.
pub(crate) const LEASE_TTL_MS: u64 = 60_000;

/// A lease that is renewed as long as it is kept, and given back when it is dropped.
pub(crate) struct KeptLease {
    store: Arc<dyn Store>,
    lease: Option<Lease>,
    /// Set once another host has taken over.
    pub(crate) lost: Arc<AtomicBool>,
    heartbeat: JoinHandle<()>,
}

impl KeptLease {
    /// Keeps `lease`, which was just taken for [`LEASE_TTL_MS`].
    pub(crate) fn new(store: Arc<dyn Store>, lease: Lease) -> Self {
        let lost = Arc::new(AtomicBool::new(false));
        let (kept, beat, flag) = (Arc::clone(&store), lease.clone(), Arc::clone(&lost));
        let heartbeat = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(LEASE_TTL_MS / 3)).await;
                match kept.renew(&beat, LEASE_TTL_MS).await {
                    Ok(()) => {}
                    Err(StoreError::LeaseLost) => {
                        flag.store(true, Ordering::Relaxed);
                        return;
                    }
                    // The lease may still be ours; every commit asks again.
                    Err(error) => tracing::warn!(%error, "a lease cannot be renewed"),
                }
            }
        });
        Self {
            store,
            lease: Some(lease),
            lost,
            heartbeat,
        }
    }

    /// Gives the lease back.
    pub(crate) async fn release(mut self) {
        self.heartbeat.abort();
        if let Some(lease) = self.lease.take()
            && let Err(error) = self.store.release(&lease).await
        {
            tracing::warn!(%error, "a lease cannot be given back; it ends by itself");
        }
    }
}

impl Drop for KeptLease {
    fn drop(&mut self) {
        self.heartbeat.abort();
        let (Some(lease), Ok(runtime)) = (self.lease.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let store = Arc::clone(&self.store);
        runtime.spawn(async move { store.release(&lease).await });
    }
}
