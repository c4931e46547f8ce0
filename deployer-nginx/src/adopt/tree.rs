//! Directives with their places.

use std::{fmt, path::PathBuf, sync::Arc};

use crate::syntax::{self, SyntaxError};

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
pub struct Placed {
    /// What it is called.
    pub name: String,
    /// What follows, without quotes.
    pub arguments: Vec<String>,
    /// What is in its braces. Code in Lua is not looked into: its block is empty.
    pub block: Option<Vec<Placed>>,
    /// Where it begins.
    pub place: Place,
}

impl Placed {
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

/// Reads one file.
pub(crate) fn read(file: impl Into<PathBuf>, text: &str) -> Result<Vec<Placed>, SyntaxError> {
    let mut lines = Lines { text, file: Arc::new(file.into()), offset: 0, line: 1 };
    Ok(syntax::parse(text)?.into_iter().map(|directive| lines.placed(directive)).collect())
}

/// Counts lines up to each directive; they come in the order of the text.
struct Lines<'a> {
    text: &'a str,
    file: Arc<PathBuf>,
    offset: usize,
    line: usize,
}

impl Lines<'_> {
    fn placed(&mut self, directive: syntax::Directive) -> Placed {
        let between = &self.text.as_bytes()[self.offset..directive.at.start];
        self.line += between.split(|byte| *byte == b'\n').count() - 1;
        self.offset = directive.at.start;
        let place = Place { file: self.file.clone(), line: self.line };
        let block = directive.block.map(|block| block.into_iter().map(|inner| self.placed(inner)).collect());
        Placed { name: directive.name, arguments: directive.arguments, block, place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_where_directives_begin() {
        let directives = read("test.conf", "\na\n  b;\n\nc {\n  d; e {\n\n f; } }\ng;").unwrap();
        let lines = |of: &[Placed]| of.iter().map(|one| one.place.line).collect::<Vec<_>>();
        assert_eq!(lines(&directives), [2, 5, 9]);
        assert_eq!(lines(directives[1].children()), [6, 6]);
        assert_eq!(directives[1].children()[1].children()[0].place.to_string(), "test.conf:8");
    }

    #[test]
    fn words_are_those_of_nginx() {
        let text = "a b#c 'd; e' \"f \\\" g\" \\.php$ ${h}i; # { \nmap $a $b { \"\" 0; '~^x y$' 1; }\n\
                    content_by_lua_block { local t = { '}' } }\n";
        let directives = read("test.conf", text).unwrap();
        assert_eq!(directives[0].arguments, ["b#c", "d; e", "f \" g", "\\.php$", "${h}i"]);
        assert_eq!(directives[1].children()[0].arguments, ["0"]);
        assert_eq!(directives[2].block.as_deref(), Some([].as_slice()));
    }
}
