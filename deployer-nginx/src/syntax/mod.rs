//! Reads nginx syntax.
