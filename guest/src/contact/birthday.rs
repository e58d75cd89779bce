//! The canonical form of birthday.
