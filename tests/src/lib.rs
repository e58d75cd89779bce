//! The simulator, the demo, and every suite that crosses a border.
//!
//! | room | does |
//! |---|---|
//! | [`simulator`] | FLOWFACT, Graph and EWS as state machines, a world for tests |
//! | [`simulation`] | the whole engine in worlds drawn from seeds |
//! | [`people`] | realistic German contacts, the same people written differently on both sides |

pub mod office;
pub mod people;
pub mod simulation;
pub mod simulator;
