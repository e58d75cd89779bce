//! The canonical form of text.
