//! Configuration as nginx understands it: directives in directives.

use std::{fmt, path::PathBuf, sync::Arc};

/// Where a directive stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// In which file.
    pub file: Arc<PathBuf>,
    /// In which line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// One directive with its block, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// What it is called.
    pub name: String,
    /// What follows, without quotes.
    pub arguments: Vec<String>,
    /// What is in its braces. Code in other languages, such as that of `content_by_lua_block`, is not looked into: its
    /// block is empty.
    pub block: Option<Vec<Directive>>,
    /// Where it begins.
    pub place: Place,
}

impl Directive {
    /// The first argument, or nothing.
    pub fn first(&self) -> &str {
        self.arguments.first().map_or("", String::as_str)
    }

    /// The directives in its braces.
    pub fn children(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Those in its braces that are called so.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children().iter().filter(move |child| child.name == name)
    }
}
