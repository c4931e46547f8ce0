//! What a configuration includes, as nginx finds it.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::syntax::Directive;

/// One `include`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Include<'a> {
    /// What it names.
    pub(super) pattern: &'a str,
    /// Where it is in the text.
    pub(super) at: Range<usize>,
}

/// All includes of these directives, in the order of the text.
pub(super) fn of(directives: &[Directive]) -> Vec<Include<'_>> {
    let mut found = Vec::new();
    collect(directives, &mut found);
    found
}

fn collect<'a>(directives: &'a [Directive], found: &mut Vec<Include<'a>>) {
    for directive in directives {
        match (&directive.arguments[..], &directive.block) {
            ([pattern], None) if directive.name == "include" => {
                found.push(Include { pattern, at: directive.at.clone() });
            }
            (_, Some(block)) => collect(block, found),
            _ => {}
        }
    }
}

/// The files that an include names, in nginx's order. Relative patterns count from the main file's directory.
pub(super) fn files(main_directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let full = main_directory.join(pattern);
    if !pattern.contains(['*', '?', '[']) {
        return vec![full];
    }
    let mut paths = vec![PathBuf::new()];
    for part in full.components() {
        let part = part.as_os_str().to_string_lossy();
        if part.contains(['*', '?', '[']) {
            paths = paths.iter().flat_map(|path| matching(path, &part)).collect();
        } else {
            for path in &mut paths {
                path.push(&*part);
            }
        }
    }
    paths.retain(|path| path.exists());
    paths
}

fn matching(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let fits = |name: &str| {
        (!name.starts_with('.') || pattern.starts_with('.')) && glob(pattern.as_bytes(), name.as_bytes())
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| fits(name))
        .collect();
    names.sort_unstable();
    names.into_iter().map(|name| directory.join(name)).collect()
}

/// Whether a name fits a pattern of `*`, `?` and `[…]`.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let Some(first) = pattern.first() else { return name.is_empty() };
    match first {
        b'*' => (0..=name.len()).any(|taken| glob(&pattern[1..], &name[taken..])),
        b'?' => !name.is_empty() && glob(&pattern[1..], &name[1..]),
        b'[' => {
            let (Some(byte), Some(end)) =
                (name.first(), pattern.iter().skip(2).position(|byte| *byte == b']'))
            else {
                return false;
            };
            let (class, rest) = (&pattern[1..end + 2], &pattern[end + 3..]);
            let (class, negated) = match class.first() {
                Some(b'!' | b'^') => (&class[1..], true),
                _ => (class, false),
            };
            in_class(class, *byte) != negated && glob(rest, &name[1..])
        }
        byte => name.first() == Some(byte) && glob(&pattern[1..], &name[1..]),
    }
}

fn in_class(class: &[u8], byte: u8) -> bool {
    let mut rest = class;
    while let Some(first) = rest.first() {
        if let [low, b'-', high, ..] = rest {
            if (*low..=*high).contains(&byte) {
                return true;
            }
            rest = &rest[3..];
        } else {
            if *first == byte {
                return true;
            }
            rest = &rest[1..];
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_the_field() {
        for (pattern, yes, no) in [
            ("*.conf", vec!["a.conf", ".conf"], vec!["a.conf.bak", "conf"]),
            ("a?c", vec!["abc"], vec!["ac", "abbc"]),
            ("[0-9]*.conf", vec!["1a.conf", "5.conf"], vec!["a1.conf"]),
            ("[!a]b", vec!["cb"], vec!["ab"]),
        ] {
            for name in yes {
                assert!(glob(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
            }
            for name in no {
                assert!(!glob(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn files_come_sorted_and_hidden_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", ".c.conf", "d.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = files(folder.path(), "*.conf");
        assert_eq!(found, [folder.path().join("a.conf"), folder.path().join("b.conf")]);
        assert_eq!(files(folder.path(), "none.conf"), [folder.path().join("none.conf")]);
        assert_eq!(files(Path::new("/nowhere"), &format!("{}/[ab].conf", folder.path().display())).len(), 2);
    }
}
