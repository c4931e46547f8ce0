//! Where the text of a configuration comes from.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// nginx begins each file of `nginx -T` with this.
const HEADING: &str = "# configuration file ";

/// The texts of a configuration by path, as nginx named them.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    texts: BTreeMap<PathBuf, String>,
    /// The main file.
    main: PathBuf,
    /// Whether files that are not here yet are read from the disk.
    disk: bool,
}

impl Files {
    /// Of what `nginx -T` printed; `None` if it names no file.
    pub(super) fn of_dump(dump: &str) -> Option<Self> {
        let mut files = Self::default();
        let mut current: Option<PathBuf> = None;
        for line in dump.split_inclusive('\n') {
            let heading = line.trim_end().strip_prefix(HEADING).and_then(|rest| rest.strip_suffix(':'));
            if let Some(path) = heading {
                let path = PathBuf::from(path);
                if files.texts.is_empty() {
                    files.main.clone_from(&path);
                }
                files.texts.entry(path.clone()).or_default();
                current = Some(path);
            } else if let Some(text) = current.as_ref().and_then(|path| files.texts.get_mut(path)) {
                text.push_str(line);
            }
        }
        (!files.texts.is_empty()).then_some(files)
    }

    /// Of the disk, as far as this user may read it.
    pub(super) fn of_disk(main: &Path) -> Self {
        Self { texts: BTreeMap::new(), main: main.to_owned(), disk: true }
    }

    /// All that were read.
    pub(super) fn paths(self) -> Vec<PathBuf> {
        self.texts.into_keys().collect()
    }

    pub(super) fn main(&self) -> &Path {
        &self.main
    }

    pub(super) fn text(&mut self, path: &Path) -> io::Result<&str> {
        if self.disk && !self.texts.contains_key(path) {
            let bytes = fs::read(path)?;
            self.texts.insert(path.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        }
        let text = self.texts.get(path).map(String::as_str);
        text.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "nginx did not print it"))
    }

    /// The files that an `include` means, in the order of their names. Without a pattern it is that file, there or not.
    pub(super) fn matching(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let folder = self.main.parent().unwrap_or(Path::new("/"));
        let pattern = folder.join(pattern);
        let Some(text) = pattern.to_str().filter(|text| text.contains(['*', '?', '['])) else {
            return Ok(vec![pattern]);
        };
        if !self.disk {
            let fits = |path: &&PathBuf| path.to_str().is_some_and(|path| matches(text, path));
            return Ok(self.texts.keys().filter(fits).cloned().collect());
        }
        let mut found = vec![PathBuf::from("/")];
        for part in pattern.iter().skip(1).filter_map(|part| part.to_str()) {
            let mut next = Vec::new();
            for folder in found {
                if !part.contains(['*', '?', '[']) {
                    next.push(folder.join(part));
                    continue;
                }
                match fs::read_dir(&folder) {
                    Ok(entries) => {
                        for entry in entries {
                            let name = entry?.file_name();
                            next.extend(
                                name.to_str().filter(|name| fits(part, name)).map(|n| folder.join(n)),
                            );
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            found = next;
        }
        found.retain(|path| path.exists());
        found.sort();
        Ok(found)
    }
}

/// Whether a whole path fits, part by part: no pattern goes over a slash.
fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len() && pattern.iter().zip(&path).all(|(pattern, part)| fits(pattern, part))
}

/// Whether a name fits a pattern of `*`, `?` and `[...]`. A dot at its beginning has to be written.
fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    fits_from(&pattern, &name)
}

fn fits_from(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on with one more character for the last star.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => class(&pattern[p..], name[n]),
            Some(c) if *c == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(length), _) => (p, n) = (p + length, n + 1),
            (None, Some((after, from))) => {
                star = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The length of a `[...]` that has this character in it.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let begin = 1 + usize::from(negated);
    let end = begin + 1 + pattern.get(begin + 1..)?.iter().position(|c| *c == ']')?;
    let set = &pattern[begin..end];
    let mut inside = set.contains(&c);
    for window in set.windows(3) {
        inside |= window[1] == '-' && (window[0]..=window[2]).contains(&c);
    }
    (inside != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_the_shell_has_them() {
        for (pattern, yes, no) in [
            ("*", "default", ".hidden"),
            ("*.conf", "a.conf", "a.conf.bak"),
            ("[a-c]?.conf", "bx.conf", "dx.conf"),
            ("[!0-9]*", "a1", "1a"),
            ("a*b*c", "a1b2b3c", "a1b2b3d"),
            (".*", ".hidden", "x"),
        ] {
            assert!(fits(pattern, yes), "{pattern} {yes}");
            assert!(!fits(pattern, no), "{pattern} {no}");
        }
        assert!(matches("/etc/nginx/*/x*", "/etc/nginx/sites/x1"));
        assert!(!matches("/etc/nginx/*", "/etc/nginx/sites/x1"));
        assert!(!fits(&("a*".repeat(40) + "b"), &"a".repeat(200)), "and that takes no time");
    }

    #[test]
    fn a_dump_is_parted_into_its_files() {
        let dump = "nginx: the configuration file is ok\n# configuration file /etc/nginx/nginx.conf:\nhttp {\n}\n\n\
                    # configuration file /etc/nginx/sites/a:\n# own comment\nb;\n";
        let mut files = Files::of_dump(dump).unwrap();
        assert_eq!(files.main(), Path::new("/etc/nginx/nginx.conf"));
        assert_eq!(files.text("/etc/nginx/sites/a".as_ref()).unwrap(), "# own comment\nb;\n");
        assert_eq!(files.matching("sites/*").unwrap(), [PathBuf::from("/etc/nginx/sites/a")]);
        assert!(files.matching("conf.d/*.conf").unwrap().is_empty());
        assert!(Files::of_dump("nginx: [emerg] unknown directive\n").is_none());
    }

    #[test]
    fn the_disk_is_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("nginx.conf");
        fs::create_dir(folder.path().join("sites")).unwrap();
        for name in ["b", "a", ".c"] {
            fs::write(folder.path().join("sites").join(name), name).unwrap();
        }
        let mut files = Files::of_disk(&main);
        let found = files.matching("sites/*").unwrap();
        let names: Vec<_> = found.iter().map(|path| files.text(path).unwrap().to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(files.matching("none/*").unwrap().is_empty());
        let absent = files.matching("absent.conf").unwrap();
        assert_eq!(files.text(&absent[0]).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
