//! Small worlds, exhaustively: every combination of a few halves, values and contacts.
//!
//! Goal: what random records meet only by luck is met for certain. Method: the contract is written
//! down a second time, short and in another way than the engine does it (tables, and values as
//! tokens), and both are asked about every combination of a universe so small that all of it takes
//! seconds. The first world in which they differ is shown. Nothing of the engine is used here but
//! its shapes, and the canonical forms where a value has several writings.
//!
//! | room | world |
//! |---|---|
//! | `table` | section 3: each standing, both halves, the marker, each policy |
//! | `singles` | fields with one value: base, both sides, who wins, locks |
//! | `lists` | values of one room: equal ones, edits, clearings, no room left |
//! | `rooms` | phone numbers of several types |
//! | `people` | section 6: every small set of candidates |
//! | `can_fail` | that each of these notices a bug |

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::match_same_arms,
    reason = "a test that stops is a test that fails, and a table has a row for each case"
)]

#[cfg(feature = "mutations")]
mod can_fail;
mod lists;
mod people;
mod rooms;
mod singles;
mod table;
