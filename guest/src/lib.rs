//! The plugin: keeps the contacts of a CRM and of an Exchange mailbox in step.
//!
//! A pass flows one way: read, plan, execute, remember. The rooms, from the ground up; a room uses
//! those below it, never those above or beside it:
//!
//! | floor | room | does |
//! |---|---|---|
//! | 6 | this file, `component` | the component's face; compiled for wasm only |
//! | 5 | [`pass`], [`setup`] | one pass in bounded steps; setting a mailbox up |
//! | 5 | [`approval`], [`explain`] | the guard's question and its answer; why a contact is where it is |
//! | 4 | [`execute`], [`export`] | carries out a plan's operations; the CSV of all CRM contacts |
//! | 3 | [`plan`] | pure: what is remembered, what was read and the policy become operations |
//! | 3 | [`crm`], [`mailbox`] | the two sides, behind one trait each |
//! | 3 | [`autodiscover`] | on which Exchange Server a mailbox is |
//! | 2 | [`mapping`] | pure: a CRM record and an Exchange view, with remembered slots |
//! | 2 | [`http`] | requests: pacing, retries, counting |
//! | 2 | [`links`], [`journal`] | what is remembered between passes |
//! | 1 | [`contact`], [`report`], [`job`] | the values, what a pass tells, what it is told |
//! | 1 | [`outside`] | the only door out |
//! | 1 | [`xml`] | XML, read within limits and written escaped |
//! | 0 | [`mutation`] | bugs on purpose, for the proofs; nothing of it in the component |
//!
//! Not here: credentials, files, sockets, threads, and any other tenant. A host has them.

pub mod approval;
pub mod autodiscover;
#[cfg(target_arch = "wasm32")]
mod component;
pub mod contact;
pub mod crm;
pub mod execute;
pub mod explain;
pub mod export;
pub mod http;
pub mod job;
pub mod journal;
pub mod links;
pub mod mailbox;
pub mod mapping;
pub mod mutation;
pub mod outside;
pub mod pass;
pub mod plan;
pub mod report;
pub mod setup;
pub mod xml;
