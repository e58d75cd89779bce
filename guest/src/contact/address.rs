//! The canonical form of address.
