//! Directives and blocks.

use std::ops::Range;

use super::token::{SyntaxError, Token, TokenKind, tokens};

/// The deepest nesting that is read.
const DEEPEST: usize = 64;

/// One directive, with its block if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Its name.
    pub name: String,
    /// What follows the name.
    pub arguments: Vec<String>,
    /// What is in its braces; `None` for one that ends with a semicolon.
    pub block: Option<Vec<Directive>>,
    /// The bytes of the text that it takes, up to its semicolon or closing brace.
    pub at: Range<usize>,
}

/// The directives of a text.
///
/// ```
/// let directives = deployer_nginx::syntax::parse("http { listen 80; }").unwrap();
/// assert_eq!(directives[0].block.as_ref().unwrap()[0].arguments, ["80"]);
/// ```
///
/// # Errors
/// It is not nginx configuration.
pub fn parse(text: &str) -> Result<Vec<Directive>, SyntaxError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { text, tokens: &tokens, position: 0 };
    let directives = parser.block(0)?;
    match parser.tokens.get(parser.position) {
        None => Ok(directives),
        Some(token) => parser.error(token.at.start, "a brace is closed that was not opened"),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    position: usize,
}

impl Parser<'_> {
    fn error<T>(&self, at: usize, what: &str) -> Result<T, SyntaxError> {
        let line = self.text.as_bytes()[..at].split(|byte| *byte == b'\n').count();
        Err(SyntaxError { line, what: what.to_owned() })
    }

    /// Up to the end, or to a closing brace, which it leaves.
    fn block(&mut self, depth: usize) -> Result<Vec<Directive>, SyntaxError> {
        let mut directives = Vec::new();
        while let Some(token) = self.tokens.get(self.position) {
            match &token.kind {
                TokenKind::Close => break,
                TokenKind::Word(name) => {
                    self.position += 1;
                    directives.push(self.directive(name.clone(), token.at.start, depth)?);
                }
                _ => return self.error(token.at.start, "a directive has no name"),
            }
        }
        Ok(directives)
    }

    fn directive(&mut self, name: String, start: usize, depth: usize) -> Result<Directive, SyntaxError> {
        if depth > DEEPEST {
            return self.error(start, "blocks are nested too deeply");
        }
        let mut arguments = Vec::new();
        while let Some(token) = self.tokens.get(self.position) {
            self.position += 1;
            match &token.kind {
                TokenKind::Word(word) => arguments.push(word.clone()),
                TokenKind::Semicolon => {
                    return Ok(Directive { name, arguments, block: None, at: start..token.at.end });
                }
                TokenKind::Code => {
                    return Ok(Directive {
                        name,
                        arguments,
                        block: Some(Vec::new()),
                        at: start..token.at.end,
                    });
                }
                TokenKind::Open => {
                    let block = Some(self.block(depth + 1)?);
                    let Some(close) = self.tokens.get(self.position) else {
                        return self.error(token.at.start, "a brace is not closed");
                    };
                    self.position += 1;
                    return Ok(Directive { name, arguments, block, at: start..close.at.end });
                }
                TokenKind::Close => return self.error(token.at.start, "a directive is not ended"),
            }
        }
        self.error(start, "a directive is not ended")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_blocks_and_where_they_are() {
        let text = "a 1;\nb x {\n  c;\n  d { }\n}\n";
        let tree = parse(text).unwrap();
        assert_eq!(tree.len(), 2);
        assert_eq!(&text[tree[1].at.clone()], "b x {\n  c;\n  d { }\n}");
        let inner = tree[1].block.as_ref().unwrap();
        assert_eq!((inner[0].name.as_str(), inner[1].block.as_deref()), ("c", Some([].as_slice())));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        for text in ["a", "a {", "a; }", "{ }", ";", "a { b }", &"a {".repeat(100_000)] {
            assert!(parse(text).is_err(), "{}", &text[..text.len().min(20)]);
        }
    }
}
