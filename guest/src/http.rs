//! Requests: pacing, retries, back-off, per-service limits, counting.

use crate::report::{Problem, RemoteProblem, Throttled};

/// What went wrong with a service as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteError {
    /// The service asks for a pause. Nothing happened.
    Throttled(Throttled),
    /// The credentials are refused.
    SignInRefused(RemoteProblem),
    /// Signed in, but not allowed.
    PermissionMissing(RemoteProblem),
    /// No connection, timeout, 5xx, after the retries.
    Unreachable(RemoteProblem),
    /// The service answered what it must not answer.
    Protocol(RemoteProblem),
    /// The host forbids the request.
    EgressDenied(RemoteProblem),
}

/// Why one contact was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The record has moved on: read, merge, try again.
    Stale,
    /// There is no such record (any more).
    NotFound,
    /// This contact is refused: 400, 403, a limit. Trying again at once is useless.
    Refused(Problem),
    /// Whether it happened is not known: a lost answer.
    Unknown(Problem),
    /// It did not happen, and nothing is wrong with the contact: throttled, unreachable, signed out.
    NotDone(RemoteError),
}
