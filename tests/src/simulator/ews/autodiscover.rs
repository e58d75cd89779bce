//! Autodiscover: where the service of a mailbox answers.

use super::super::graph::Graph;
use super::super::log::RequestKind;
use super::super::wire::{Answer, Call};
use super::Ews;

/// How Autodiscover behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autodiscover {}

impl Autodiscover {
    /// What the evidence says.
    pub fn as_documented() -> Self {
        Self {}
    }
}

impl Ews {
    /// Answers a request below `/autodiscover`.
    pub(super) fn discover(&self, _graph: &Graph, _call: &Call<'_>, _path: &[&str]) -> Answer {
        Answer::text(
            RequestKind::Autodiscover,
            404,
            "404 - File or directory not found.",
        )
    }
}
