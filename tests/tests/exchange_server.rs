//! The contract on an Exchange Server: every scenario of `contract.rs`, over Exchange Web Services.
//!
//! The scenarios and what is expected of them are the same data; only the servers of the mailboxes
//! speak the other dialect, and give a contact another id whenever it is moved. What is an Exchange
//! Server's own stands in `over_ews` (moves), `over_ews_values` (slots, dates, leftovers) and
//! `over_ews_wire` (bad days); `mutations_over_ews` shows that these proofs can fail.

#[cfg(test)]
use contact_sync_tests::simulator::Dialect;

#[cfg(test)]
const DIALECT: Dialect = Dialect::Ews;

#[cfg(test)]
#[path = "contract"]
mod contract {
    pub(crate) mod approval;
    pub(crate) mod budgets;
    pub(crate) mod conflicts;
    pub(crate) mod crashes;
    pub(crate) mod damage;
    pub(crate) mod explain;
    pub(crate) mod found;
    pub(crate) mod found_ews;
    pub(crate) mod guard;
    pub(crate) mod halves;
    pub(crate) mod hub;
    pub(crate) mod input;
    pub(crate) mod marking;
    pub(crate) mod matching;
    pub(crate) mod meddling;
    pub(crate) mod mended;
    pub(crate) mod mended_protocols;
    pub(crate) mod met;
    pub(crate) mod mutants;
    pub(crate) mod mutations_over_ews;
    pub(crate) mod newest;
    pub(crate) mod over_ews;
    pub(crate) mod over_ews_values;
    pub(crate) mod over_ews_wire;
    pub(crate) mod pairs;
    pub(crate) mod quirks;
    pub(crate) mod renewed;
    pub(crate) mod restore;
    pub(crate) mod safety;
    pub(crate) mod stage;
    pub(crate) mod tools;
}
