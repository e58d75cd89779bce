//! The contract, row by row: scenarios played natively against the simulator in virtual time.
//!
//! A scenario says who stands where, what people do, and what a pass must make of it: operations,
//! requests that write, findings, the end state on both sides. What must hold after every
//! scenario is checked by the stage itself; see [`contract::stage`].
//!
//! | room | proves of `contract.md` |
//! |---|---|
//! | `approval` | section 7.1: what a person's answer makes of what the guard held back |
//! | `budgets` | what a pass may cost |
//! | `conflicts` | section 5: who wins, what is kept; the same contact under a new id |
//! | `crashes` | section 7.3 and 7.4: a pass that dies at any step |
//! | `damage` | any row of the store, damaged or of another version |
//! | `explain` | why a contact is where it is |
//! | `found` | what the simulation found |
//! | `guard` | section 7.1: how much may be destroyed, and 7.10: lost memory |
//! | `halves` | section 7.6: one side is written, the other is not |
//! | `hub` | several mailboxes around one CRM |
//! | `input` | bad input: told, and nothing lost |
//! | `marking` | section 2: markers, suspending, identity, the other engine |
//! | `matching` | section 6: the same person, questions and answers |
//! | `mended` | faults that a review found, each as the story in which it showed |
//! | `mended_protocols` | what a review of the protocols, the store and the feeds found |
//! | `met` | where two promises meet, each as the story in which they did |
//! | `mutants` | whether a bug on purpose is caught, over either dialect |
//! | `mutations` | that the proofs can fail: bugs on purpose, each of them caught |
//! | `newest` | section 5: `conflict = newest`, by users' edit times |
//! | `over_graph` | what is Office 365's own; `exchange_server.rs` has `over_ews` |
//! | `pairs` | section 3, row by row, and its policies |
//! | `quirks` | the services as they may be: the same end |
//! | `renewed` | section 3: the same contact under a new id |
//! | `restore` | section 7.2: the journal, and bringing back what it holds |
//! | `safety` | section 7.3 to 7.9: lost answers, crashes, leases, races, one bad contact |
//! | `tools` | preview, check, status, the export |

#[cfg(test)]
use contact_sync_tests::simulator::Dialect;

/// The same scenarios are played over the other dialect in `exchange_server.rs`.
#[cfg(test)]
const DIALECT: Dialect = Dialect::Graph;

#[cfg(test)]
mod contract {
    pub(crate) mod approval;
    pub(crate) mod budgets;
    pub(crate) mod conflicts;
    pub(crate) mod crashes;
    pub(crate) mod damage;
    pub(crate) mod explain;
    pub(crate) mod found;
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
    pub(crate) mod mutations;
    pub(crate) mod newest;
    pub(crate) mod over_graph;
    pub(crate) mod pairs;
    pub(crate) mod quirks;
    pub(crate) mod renewed;
    pub(crate) mod restore;
    pub(crate) mod safety;
    pub(crate) mod stage;
    pub(crate) mod tools;
}
