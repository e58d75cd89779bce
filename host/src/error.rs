//! Why something was not done at all, and what to do about it.

use crate::credentials::SignInError;
use crate::egress::origin::OriginError;
use crate::store::{Crash, StoreError};
use crate::types::{Failure, Problem};

/// Why something was not done at all. How a pass ended that has begun is in its report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings name an address that no request may go to.
    #[error("{endpoint} cannot be used: {why}")]
    Endpoint {
        /// Which.
        endpoint: String,
        /// Why not.
        why: String,
    },
    /// Another pass of the tenant is running.
    #[error("another pass of tenant `{tenant}` is running, in {holder}")]
    Busy {
        /// The tenant.
        tenant: String,
        /// Who holds the lease.
        holder: String,
        /// When it ends unless its holder renews it.
        ends_in_ms: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plugin crashed or took too long. The pass failed and harmed nothing; what it remembered
    /// before is remembered. The last words are the tenant's own: they may hold personal data.
    #[error("the plugin crashed")]
    Crashed(Crash),
    /// The plugin says why it could not.
    #[error("{}", problem(failure).message)]
    Failed {
        /// The reason.
        failure: Box<Failure>,
        /// Why the host could not sign in, if that was the reason behind it.
        sign_in: Option<Box<SignInError>>,
        /// Which requests the host did not let out.
        denials: Vec<String>,
    },
    /// The host is being stopped.
    #[error("the host is stopping")]
    Stopped,
}

impl Error {
    pub(crate) fn endpoint(endpoint: &str, why: &OriginError) -> Self {
        Self::Endpoint {
            endpoint: endpoint.to_owned(),
            why: why.to_string(),
        }
    }

    /// What to do now, if that is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Endpoint { .. } => Some("correct the address in the configuration".into()),
            Self::Busy { ends_in_ms, .. } => Some(format!(
                "wait until it has finished; if its process has died, {} s are enough",
                ends_in_ms.div_ceil(1_000)
            )),
            Self::Store(_) | Self::Stopped => Some("try again later".into()),
            Self::Crashed(_) => Some(
                "nothing is lost: run it again; if it happens again, report the last words that \
                 `contact-sync status --verbose` shows"
                    .into(),
            ),
            Self::Failed {
                sign_in: Some(sign_in),
                ..
            } => Some(sign_in.remedy.clone()),
            Self::Failed { failure, .. } => problem(failure).remedy.clone(),
        }
    }
}

/// The sentence and the remedy of a failure.
pub fn problem(failure: &Failure) -> &Problem {
    match failure {
        Failure::InvalidJob(problem)
        | Failure::WrongIdentity(problem)
        | Failure::OtherEngine(problem)
        | Failure::StoreUnavailable(problem)
        | Failure::LeaseLost(problem)
        | Failure::StateUnreadable(problem)
        | Failure::NotFound(problem)
        | Failure::TooLarge(problem)
        | Failure::Internal(problem) => problem,
        Failure::SignInRefused(remote)
        | Failure::PermissionMissing(remote)
        | Failure::Unreachable(remote)
        | Failure::Protocol(remote)
        | Failure::EgressDenied(remote) => &remote.problem,
        Failure::Throttled(throttled) => &throttled.problem,
    }
}
