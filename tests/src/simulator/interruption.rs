//! A client that dies in the middle of a request: its test is called at that very moment.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Whom to call around one request, and around which.
#[derive(Clone)]
pub struct Interruption {
    skip: u64,
    moment: Moment,
    call: Arc<Mutex<dyn FnMut() + Send>>,
}

/// On which side of its effect a request is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The service has not seen it.
    Before,
    /// The service has carried it out, and nobody has been answered.
    After,
}

impl Interruption {
    /// Lets `skip` requests pass, and calls at the next one. The service waits for the call to
    /// return.
    pub fn new(skip: u64, moment: Moment, call: impl FnMut() + Send + 'static) -> Self {
        Self {
            skip,
            moment,
            call: Arc::new(Mutex::new(call)),
        }
    }

    /// A request is at this moment. Whether the call was made, and this has done its work.
    pub(super) fn pass(&mut self, moment: Moment) -> bool {
        if moment != self.moment {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        (self.call.lock().unwrap_or_else(PoisonError::into_inner))();
        true
    }
}

impl fmt::Debug for Interruption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Interruption")
            .field("skip", &self.skip)
            .field("moment", &self.moment)
            .finish_non_exhaustive()
    }
}
