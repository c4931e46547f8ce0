//! Reads nginx syntax. It shares nothing with what writes it, so that each proves the other.

mod read;
mod token;
mod tree;

pub use read::read_workload;
pub use tree::{Directive, parse};

pub use token::SyntaxError;
