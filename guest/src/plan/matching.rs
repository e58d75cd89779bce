//! The same person on both sides (contract, section 6).
