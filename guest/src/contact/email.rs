//! The canonical form of email.
