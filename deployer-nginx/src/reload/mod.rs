//! Switches by reload.
