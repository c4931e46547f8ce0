//! Words, semicolons and braces, by the rules of nginx's own reader.

use std::ops::Range;

/// Why a text is not nginx configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct SyntaxError {
    /// In which line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// With escapes resolved.
    Word(String),
    Semicolon,
    Open,
    Close,
    /// The code of a `…_by_lua_block`, with its braces.
    Code,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) at: Range<usize>,
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut reader = Reader { bytes: text.as_bytes(), position: 0, tokens: Vec::new() };
    while reader.next()? {}
    Ok(reader.tokens)
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    tokens: Vec<Token>,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<bool, SyntaxError> {
        let Some(byte) = self.peek() else { return Ok(false) };
        let start = self.position;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => self.position += 1,
            b'#' => {
                let end = self.bytes[start..].iter().position(|byte| *byte == b'\n');
                self.position = end.map_or(self.bytes.len(), |end| start + end + 1);
            }
            b';' => self.single(TokenKind::Semicolon),
            b'}' => self.single(TokenKind::Close),
            b'{' if self.is_lua() => {
                self.skip_lua()?;
                self.push(TokenKind::Code, start);
            }
            b'{' => self.single(TokenKind::Open),
            b'"' | b'\'' => self.quoted(byte)?,
            _ => self.word()?,
        }
        Ok(true)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn single(&mut self, kind: TokenKind) {
        let start = self.position;
        self.position += 1;
        self.push(kind, start);
    }

    fn push(&mut self, kind: TokenKind, start: usize) {
        self.tokens.push(Token { kind, at: start..self.position });
    }

    fn error<T>(&self, at: usize, what: &str) -> Result<T, SyntaxError> {
        let line = self.bytes[..at].split(|byte| *byte == b'\n').count();
        Err(SyntaxError { line, what: what.to_owned() })
    }

    /// A word ends at a blank, a semicolon or a brace, unless the brace follows a dollar sign.
    fn word(&mut self) -> Result<(), SyntaxError> {
        let start = self.position;
        let mut previous = 0;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' => break,
                b'{' if previous != b'$' => break,
                b'\\' => {
                    if self.position + 1 == self.bytes.len() {
                        return self.error(self.position, "the text ends in an escape");
                    }
                    self.position += 2;
                    previous = b'\\';
                }
                _ => {
                    self.position += 1;
                    previous = byte;
                }
            }
        }
        let word = unescaped(&self.bytes[start..self.position]);
        self.push(TokenKind::Word(word), start);
        Ok(())
    }

    fn quoted(&mut self, quote: u8) -> Result<(), SyntaxError> {
        let start = self.position;
        self.position += 1;
        loop {
            match self.peek() {
                None => return self.error(start, "a quote is not closed"),
                Some(byte) if byte == quote => break,
                Some(b'\\') => self.position += 2,
                Some(_) => self.position += 1,
            }
        }
        let word = unescaped(&self.bytes[start + 1..self.position]);
        self.position += 1;
        match self.peek() {
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')') => {}
            Some(_) => return self.error(self.position, "something follows a quote without a blank"),
        }
        self.push(TokenKind::Word(word), start);
        Ok(())
    }

    fn is_lua(&self) -> bool {
        let is_block =
            |token: &Token| matches!(&token.kind, TokenKind::Word(word) if word.ends_with("_by_lua_block"));
        // `set_by_lua_block $variable {`
        self.tokens
            .iter()
            .rev()
            .take(2)
            .take_while(|token| matches!(token.kind, TokenKind::Word(_)))
            .any(is_block)
    }

    /// Past the brace that closes this one, by the rules of Lua.
    fn skip_lua(&mut self) -> Result<(), SyntaxError> {
        let start = self.position;
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        self.position += 1;
                        return Ok(());
                    }
                }
                b'"' | b'\'' => self.skip_lua_text(byte),
                b'[' if self.long_bracket().is_some() => self.skip_long(),
                b'-' if self.bytes[self.position..].starts_with(b"--") => {
                    self.position += 2;
                    if self.peek() == Some(b'[') && self.long_bracket().is_some() {
                        self.skip_long();
                    } else {
                        while self.peek().is_some_and(|byte| byte != b'\n') {
                            self.position += 1;
                        }
                    }
                    continue;
                }
                _ => {}
            }
            self.position += 1;
        }
        self.error(start, "a block of Lua is not closed")
    }

    /// Stands on the closing quote afterwards.
    fn skip_lua_text(&mut self, quote: u8) {
        self.position += 1;
        while let Some(byte) = self.peek() {
            match byte {
                b'\\' => self.position += 2,
                byte if byte == quote => return,
                _ => self.position += 1,
            }
        }
    }

    /// The number of equal signs of a `[==[`, if one begins here.
    fn long_bracket(&self) -> Option<usize> {
        let rest = &self.bytes[self.position + 1..];
        let level = rest.iter().take_while(|byte| **byte == b'=').count();
        (rest.get(level) == Some(&b'[')).then_some(level)
    }

    /// Stands on the last closing bracket afterwards.
    fn skip_long(&mut self) {
        let level = self.long_bracket().unwrap_or_default();
        let close = [b"]".as_slice(), &vec![b'='; level], b"]"].concat();
        let rest = &self.bytes[self.position..];
        let end = rest.windows(close.len()).position(|window| window == close);
        self.position += end.map_or(rest.len(), |end| end + close.len() - 1);
    }
}

/// nginx knows these escapes; before everything else a backslash is a backslash.
fn unescaped(bytes: &[u8]) -> String {
    let mut word = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        let replaced = (byte == b'\\').then(|| rest.peek().copied()).flatten().and_then(|next| match next {
            b'"' | b'\'' | b'\\' => Some(next),
            b't' => Some(b'\t'),
            b'r' => Some(b'\r'),
            b'n' => Some(b'\n'),
            _ => None,
        });
        word.push(replaced.unwrap_or(byte));
        if replaced.is_some() {
            rest.next();
        }
    }
    String::from_utf8_lossy(&word).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let kinds = tokens(text).unwrap().into_iter().map(|token| token.kind);
        kinds
            .map(|kind| match kind {
                TokenKind::Word(word) => word,
                TokenKind::Semicolon => ";".into(),
                TokenKind::Open => "{".into(),
                TokenKind::Close => "}".into(),
                TokenKind::Code => "code".into(),
            })
            .collect()
    }

    #[test]
    fn words_as_nginx_reads_them() {
        assert_eq!(words("a b;#c\nd{e 'f g';}"), ["a", "b", ";", "d", "{", "e", "f g", ";", "}"]);
        assert_eq!(words(r#"a "b\"c" 'd;{}' e\;f;"#), ["a", "b\"c", "d;{}", r"e\;f", ";"]);
        assert_eq!(words("a ${b}c;"), ["a", "${b}c", ";"]);
        assert_eq!(words("a b}c;"), ["a", "b}c", ";"]);
        assert_eq!(words("a #b;\n;"), ["a", ";"]);
        assert_eq!(words(r#"a "~^\x2e\\$";"#), ["a", r"~^\x2e\$", ";"]);
        assert_eq!(words("a \"b\nc\";"), ["a", "b\nc", ";"]);
    }

    #[test]
    fn lua_is_one_piece() {
        let text = "a_by_lua_block { x = \"}\" -- }\n y = {1} [[ } ]] --[==[ } ]==] } b;";
        assert_eq!(words(text), ["a_by_lua_block", "code", "b", ";"]);
        assert_eq!(words("set_by_lua_block $a { return '}' }"), ["set_by_lua_block", "$a", "code"]);
    }

    #[test]
    fn what_is_not_closed_is_an_error_with_its_line() {
        assert_eq!(tokens("a;\nb \"c").unwrap_err().line, 2);
        assert!(tokens("a \"b\"c;").is_err());
        assert!(tokens("a_by_lua_block { {").is_err());
        assert!(tokens("a \\").is_err());
        assert!(tokens("a '\\").is_err());
    }
}
