//! Known secret values taken out of text that backends echo, at the one place where text goes out.

mod event;
mod forms;
mod learning;
mod redactor;

pub use redactor::Redactor;
