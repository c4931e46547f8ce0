//! Reads the syntax of nginx, in the way of its own reader (`ngx_conf_read_token`).

use std::{fmt, iter::Peekable, path::PathBuf, str::Chars, sync::Arc};

use super::tree::{Directive, Place};

/// Blocks in blocks; nginx's own nest four deep or so.
const DEEPEST: usize = 64;

/// Why a text is no configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for SyntaxError {}

/// Reads the text of one file. Includes are directives like all others.
///
/// # Errors
/// Where nginx, too, would see no configuration.
///
/// ```
/// let directives = deployer_nginx::syntax::parse("web.conf", "server { listen 80; }").unwrap();
/// assert_eq!(directives[0].children()[0].arguments, ["80"]);
/// ```
pub fn parse(file: impl Into<PathBuf>, text: &str) -> Result<Vec<Directive>, SyntaxError> {
    let mut parser = Parser { rest: text.chars().peekable(), line: 1, file: Arc::new(file.into()) };
    parser.block(0)
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
    file: Arc<PathBuf>,
}

enum Token {
    Word(String),
    Semicolon,
    Open,
    Close,
    End,
}

impl Parser<'_> {
    fn block(&mut self, depth: usize) -> Result<Vec<Directive>, SyntaxError> {
        let mut directives = Vec::new();
        loop {
            let (name, line) = match self.token()? {
                Token::Word(name) => (name, self.line),
                Token::Close if depth > 0 => return Ok(directives),
                Token::End if depth == 0 => return Ok(directives),
                Token::End => return Err(self.error("it ends within a block")),
                Token::Close => return Err(self.error("a closing brace too many")),
                Token::Open | Token::Semicolon => return Err(self.error("a directive without a name")),
            };
            // Nobody spreads a name over lines, so it began where it ended.
            let place = Place { file: self.file.clone(), line };
            let mut arguments = Vec::new();
            let block = loop {
                match self.token()? {
                    Token::Word(word) => arguments.push(word),
                    Token::Semicolon => break None,
                    Token::Open if name.ends_with("_by_lua_block") => {
                        self.skip_lua()?;
                        break Some(Vec::new());
                    }
                    Token::Open if depth == DEEPEST => return Err(self.error("too many blocks in blocks")),
                    Token::Open => break Some(self.block(depth + 1)?),
                    Token::Close | Token::End => {
                        return Err(self.error(format!("{name} is not ended by a semicolon or a block")));
                    }
                }
            };
            directives.push(Directive { name, arguments, block, place });
        }
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn token(&mut self) -> Result<Token, SyntaxError> {
        loop {
            match self.rest.peek() {
                None => return Ok(Token::End),
                Some('#') => while self.next().is_some_and(|c| c != '\n') {},
                Some(c) if is_space(*c) => {
                    self.next();
                }
                Some(_) => break,
            }
        }
        match self.next() {
            Some(';') => Ok(Token::Semicolon),
            Some('{') => Ok(Token::Open),
            Some('}') => Ok(Token::Close),
            Some(quote @ ('"' | '\'')) => self.quoted(quote).map(Token::Word),
            Some(first) => Ok(Token::Word(self.plain(first))),
            None => Ok(Token::End),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let mut word = String::new();
        loop {
            match self.next() {
                None => return Err(self.error("a quote is not closed")),
                Some('\\') => self.escaped(&mut word),
                Some(c) if c == quote => break,
                Some(c) => word.push(c),
            }
        }
        match self.rest.peek() {
            None | Some(';' | '{' | ')') => Ok(word),
            Some(c) if is_space(*c) => Ok(word),
            Some(c) => {
                let message = format!("{c:?} right behind a quoted word");
                Err(self.error(message))
            }
        }
    }

    /// A word without quotes; braces of `${name}` belong to it.
    fn plain(&mut self, first: char) -> String {
        let mut word = String::new();
        let mut current = first;
        loop {
            if current == '\\' {
                self.escaped(&mut word);
            } else {
                word.push(current);
                if current == '$' && self.rest.peek() == Some(&'{') {
                    word.extend(self.next());
                }
            }
            match self.rest.peek() {
                Some(c) if !is_space(*c) && !matches!(c, ';' | '{') => {}
                _ => return word,
            }
            match self.next() {
                Some(next) => current = next,
                None => return word,
            }
        }
    }

    /// What follows a backslash: quotes and backslashes without it, tabs and line ends, all else with it.
    fn escaped(&mut self, word: &mut String) {
        match self.next() {
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c) => word.extend(['\\', c]),
            None => word.push('\\'),
        }
    }

    /// Up to the brace that closes a block of Lua: those in its strings and comments do not count.
    fn skip_lua(&mut self) -> Result<(), SyntaxError> {
        let mut open = 1;
        while let Some(c) = self.next() {
            match c {
                '{' => open += 1,
                '}' if open == 1 => return Ok(()),
                '}' => open -= 1,
                '"' | '\'' => self.skip_lua_string(c),
                '-' if self.rest.peek() == Some(&'-') => {
                    self.next();
                    if self.rest.peek() == Some(&'[') && self.skip_long_bracket() {
                        continue;
                    }
                    while self.rest.peek().is_some_and(|c| *c != '\n') {
                        self.next();
                    }
                }
                '[' => {
                    self.skip_rest_of_long_bracket();
                }
                _ => {}
            }
        }
        Err(self.error("it ends within a block of Lua"))
    }

    fn skip_lua_string(&mut self, quote: char) {
        while let Some(c) = self.next() {
            match c {
                '\\' => {
                    self.next();
                }
                c if c == quote || c == '\n' => return,
                _ => {}
            }
        }
    }

    fn skip_long_bracket(&mut self) -> bool {
        self.next();
        self.skip_rest_of_long_bracket()
    }

    /// Behind a `[`: whether `=`s and another one follow; then everything up to the closing pair is passed.
    fn skip_rest_of_long_bracket(&mut self) -> bool {
        let mut ahead = self.rest.clone();
        let mut level = 0;
        while ahead.next_if_eq(&'=').is_some() {
            level += 1;
        }
        if ahead.next() != Some('[') {
            return false;
        }
        let end = format!("]{}]", "=".repeat(level));
        let mut last = String::new();
        while let Some(c) = self.next() {
            last.push(c);
            if last.ends_with(&end) {
                break;
            }
        }
        true
    }

    fn error(&self, message: impl Into<String>) -> SyntaxError {
        let place = Place { file: self.file.clone(), line: self.line };
        SyntaxError { place, message: message.into() }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Directive>, SyntaxError> {
        parse("test.conf", text)
    }

    /// Names and arguments, blocks in brackets.
    fn shown(directives: &[Directive]) -> String {
        let show = |directive: &Directive| {
            let mut words = vec![directive.name.clone()];
            words.extend(directive.arguments.iter().map(|word| format!("<{word}>")));
            if let Some(block) = &directive.block {
                words.push(format!("[{}]", shown(block)));
            }
            words.join(" ")
        };
        directives.iter().map(show).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn words_quotes_comments_and_blocks() {
        let cases = [
            ("a;", "a"),
            ("a b  c;d e;", "a <b> <c>, d <e>"),
            ("# x;\na b; # {\n", "a <b>"),
            ("a b#c;", "a <b#c>"),
            ("a 'b; c' \"d \\\" e\";", "a <b; c> <d \" e>"),
            ("a b'c'd;", "a <b'c'd>"),
            (
                "server{listen 80;location / {return 200;}}",
                "server [listen <80>, location </> [return <200>]]",
            ),
            ("a ${b}c{d e;}", "a <${b}c> [d <e>]"),
            ("location ~ \\.php$ { }", "location <~> <\\.php$> []"),
            ("a b\\;c;", "a <b\\;c>"),
            ("map $a $b { \"\" 0; '~^x y$' 1; }", "map <$a> <$b> [ <0>, ~^x y$ <1>]"),
            ("if ($a = b) { c; }", "if <($a> <=> <b)> [c]"),
            ("if ($a = \"b\") { c; }", "if <($a> <=> <b> <)> [c]"),
            ("a }b;", ""),
        ];
        for (text, expected) in cases {
            match read(text) {
                Ok(directives) => assert_eq!(shown(&directives), expected, "{text}"),
                Err(error) => assert_eq!(expected, "", "{text}: {error}"),
            }
        }
    }

    #[test]
    fn lua_is_passed_over() {
        let lua = "content_by_lua_block {\n local t = { [[ } ]], '}', \"\\\"}\" } -- }\n --[==[ } ]] ]==] f(t[1])\n}\nnext;";
        let directives = read(lua).unwrap();
        assert_eq!(shown(&directives), "content_by_lua_block [], next");
        assert_eq!(directives[1].place.line, 5);
    }

    #[test]
    fn places_are_where_directives_begin() {
        let directives = read("\na\n  b;\n\nc {\n  d;\n}\n").unwrap();
        assert_eq!((directives[0].place.line, directives[1].place.line), (2, 5));
        assert_eq!(directives[1].children()[0].place.to_string(), "test.conf:6");
    }

    #[test]
    fn errors_say_where() {
        for (text, line) in [
            ("a", 1),
            ("a {\nb;\n", 3),
            ("a;\n}", 2),
            ("\n;", 2),
            ("a 'b", 1),
            ("a 'b'c;", 1),
            ("\n{}", 2),
            ("a b }", 1),
            ("x_by_lua_block { '", 1),
        ] {
            assert_eq!(read(text).unwrap_err().place.line, line, "{text:?}");
        }
        let deep = "a{".repeat(1000);
        assert!(read(&deep).unwrap_err().message.contains("too many"));
    }
}
