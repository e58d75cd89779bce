//! The canonical form of phone.
