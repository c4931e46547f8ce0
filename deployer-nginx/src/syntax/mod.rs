//! Reads nginx syntax, independently of what renders it.

mod parser;
mod tree;

pub use parser::{SyntaxError, parse};
pub use tree::{Directive, Place};
