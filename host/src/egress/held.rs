//! How much of other people's answers a pass keeps in the host's memory.
//!
//! An answer is whole before a guest sees it, and stays until the guest lets it go. A guest that
//! never does would fill the host with what no limit of its sandbox counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of all answers that one pass holds: twice what four requests in flight can bring.
pub(super) const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What one pass holds.
#[derive(Default)]
pub(super) struct Held(Arc<AtomicUsize>);

/// The share of one answer, given back when it is dropped.
pub(super) struct Share {
    held: Arc<AtomicUsize>,
    bytes: usize,
}

impl Held {
    /// A share for an answer of so many bytes; `None` where it would be too much.
    pub(super) fn take(&self, bytes: usize) -> Option<Share> {
        let more = |held: usize| {
            held.checked_add(bytes)
                .filter(|held| *held <= HELD_BYTES_MAX)
        };
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Share {
            held: Arc::clone(&self.0),
            bytes,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
