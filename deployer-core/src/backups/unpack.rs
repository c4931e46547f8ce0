//! Reading an archive to its end, and bringing back what is in it. Archives are not trusted.

use std::{
    ffi::OsString,
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, BufReader, Read},
    os::unix::{
        ffi::OsStringExt as _,
        fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown, symlink},
    },
    path::{Component, Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
use tar::{Archive, EntryType};

use super::{
    entry::{Contents, Entry, Kind, MOST_ENTRIES, Modified, difference},
    pack::{MODIFIED, ROOT},
    scan::{Hashing, join, read},
    work::{CHUNK, Doing as _, Work},
};
use crate::{
    error::{BackendError, ErrorKind},
    ports::Result,
};

/// Reads an archive to its end and lists what is in it. Nothing is written.
pub(super) fn list(work: &Work, archive: &Path, expected: &Contents) -> Result<Vec<Entry>> {
    walk(work, archive, expected, None)
}

/// Brings back what is in an archive below this path, where nothing is yet, makes it durable, and compares it with the
/// archive.
pub(super) fn unpack(work: &Work, archive: &Path, expected: &Contents, to: &Path) -> Result<()> {
    let entries = walk(work, archive, expected, Some(to))?;
    for entry in entries.iter().rev().filter(|entry| entry.kind == Kind::Directory) {
        let path = join(to, &entry.path);
        dress(work, entry, &path)?;
        File::open(&path).and_then(|directory| directory.sync_all()).doing(work, "sync", &path)?;
    }
    match difference(&entries, &read(work, to)?) {
        None => Ok(()),
        Some(difference) => {
            let message =
                format!("what was restored to {} is not what is in the backup: {difference}", to.display());
            Err(work.error(ErrorKind::InvalidInput, message))
        }
    }
}

fn walk(work: &Work, archive: &Path, expected: &Contents, to: Option<&Path>) -> Result<Vec<Entry>> {
    let file = super::scan::open(archive).doing(work, "open", archive)?;
    let mut reader = Archive::new(BufReader::with_capacity(CHUNK, file));
    let mut walk = Walk { expected, entries: Vec::new(), bytes: 0, parents: Vec::new() };
    for next in reader.entries().doing(work, "read", archive)? {
        work.check()?;
        let mut next = next.map_err(|error| unreadable(work, archive, error))?;
        let wrong = |why: String| {
            let message = format!("{} is not to be trusted: {why}", archive.display());
            work.error(ErrorKind::InvalidInput, message)
        };
        let mut entry = describe(&mut next).map_err(wrong)?;
        walk.admit(&entry).map_err(wrong)?;
        let path = to.map(|to| join(to, &entry.path));
        match (&mut entry.kind, &path) {
            (Kind::File { size, hash }, path) => {
                let mut content = Hashing::new(work, &mut next);
                let copied = match path {
                    Some(path) => write(work, path, &mut content)?,
                    None => io::copy(&mut content, &mut io::sink()),
                };
                let copied = copied.map_err(|error| unreadable(work, archive, error))?;
                *hash = content.finish();
                if copied != *size {
                    return Err(wrong(format!("{} is cut off", entry.shown())));
                }
            }
            (Kind::Directory, Some(path)) => {
                DirBuilder::new().mode(0o700).create(path).doing(work, "make", path)?;
            }
            (Kind::Link { target }, Some(path)) => symlink(target, path).doing(work, "make", path)?,
            (_, None) => {}
        }
        if let Some(path) = path.filter(|_| entry.kind != Kind::Directory) {
            dress(work, &entry, &path)?;
        }
        walk.entries.push(entry);
    }
    let found = Contents::of(&walk.entries);
    if found != *expected {
        let message = format!("{} holds other entries than its manifest says", archive.display());
        return Err(work.error(ErrorKind::InvalidInput, message));
    }
    Ok(walk.entries)
}

/// An error of the disk, or of the archive itself.
fn unreadable(work: &Work, archive: &Path, error: io::Error) -> BackendError {
    if error.raw_os_error().is_some()
        || error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<BackendError>)
    {
        return work.failed("read", archive, error);
    }
    work.error(ErrorKind::InvalidInput, format!("{} is damaged", archive.display())).with_source(error)
}

/// What was read so far, and what may still come.
struct Walk<'a> {
    expected: &'a Contents,
    entries: Vec<Entry>,
    bytes: u64,
    /// The directories that the next entry may lie in: the last one and those above it.
    parents: Vec<PathBuf>,
}

impl Walk<'_> {
    /// Entries come in the order of their names, each in a directory that came before it. So none comes twice, and none
    /// is written through a symbolic link: that is no directory.
    fn admit(&mut self, entry: &Entry) -> std::result::Result<(), String> {
        if self.entries.len() as u64 >= self.expected.entries.min(MOST_ENTRIES) {
            return Err(format!("more than the {} entries of its manifest", self.expected.entries));
        }
        if let Kind::File { size, .. } = entry.kind {
            self.bytes = self.bytes.saturating_add(size);
            if self.bytes > self.expected.bytes {
                return Err(format!("more than the {} bytes of its manifest", self.expected.bytes));
            }
        }
        match self.entries.last() {
            None if !entry.path.as_os_str().is_empty() => {
                return Err("it does not begin with its root".to_owned());
            }
            Some(last) if last.path >= entry.path => {
                return Err(format!("{} comes after {}", entry.shown(), last.shown()));
            }
            _ => {}
        }
        if let Some(parent) = entry.path.parent() {
            while self.parents.last().is_some_and(|last| last != parent) {
                self.parents.pop();
            }
            if self.parents.is_empty() {
                return Err(format!("{} is in no directory", entry.shown()));
            }
        }
        if entry.kind == Kind::Directory {
            self.parents.push(entry.path.clone());
        }
        Ok(())
    }
}

fn describe(entry: &mut tar::Entry<'_, impl Read>) -> std::result::Result<Entry, String> {
    let path = below_root(&entry.path_bytes())?;
    let named = format!("{:?}", path.display().to_string());
    let unreadable = |what: &str| format!("the {what} of {named} cannot be read");
    let kind = match entry.header().entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Regular => Kind::File { size: entry.size(), hash: [0; 32] },
        EntryType::Symlink => {
            let target = entry.link_name_bytes().ok_or_else(|| unreadable("target"))?.into_owned();
            Kind::Link { target: OsString::from_vec(target).into() }
        }
        other => return Err(format!("{named} is neither file, directory nor symbolic link: {other:?}")),
    };
    let modified = entry
        .pax_extensions()
        .ok()
        .flatten()
        .and_then(|all| all.filter_map(std::result::Result::ok).find(|one| one.key() == Ok(MODIFIED)))
        .and_then(|one| one.value().ok().and_then(Modified::parse))
        .ok_or_else(|| unreadable("time of change"))?;
    let header = entry.header();
    let number = |number: io::Result<u64>| number.ok().and_then(|number| u32::try_from(number).ok());
    Ok(Entry {
        mode: header.mode().map_err(|_| unreadable("rights"))? & 0o7777,
        uid: number(header.uid()).ok_or_else(|| unreadable("owner"))?,
        gid: number(header.gid()).ok_or_else(|| unreadable("group"))?,
        path,
        kind,
        modified,
    })
}

/// The path below the root, if it stays there.
fn below_root(name: &[u8]) -> std::result::Result<PathBuf, String> {
    let text = String::from_utf8_lossy(name).into_owned();
    let outside = || format!("{text:?} does not stay below its root");
    let rest = match name.strip_prefix(ROOT.as_bytes()) {
        Some(b"") => return Ok(PathBuf::new()),
        Some(rest) => rest.strip_prefix(b"/").ok_or_else(outside)?,
        None => return Err(outside()),
    };
    let tidy = rest.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."));
    let path = PathBuf::from(OsString::from_vec(rest.to_vec()));
    let normal = path.components().all(|part| matches!(part, Component::Normal(_)));
    if tidy && normal && !rest.contains(&0) { Ok(path) } else { Err(outside()) }
}

/// The inner error is one of the archive.
fn write(work: &Work, path: &Path, content: &mut impl Read) -> Result<io::Result<u64>> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = created.doing(work, "make", path)?;
    let copied = match io::copy(content, &mut file) {
        Err(error) if error.raw_os_error().is_some() => return Err(work.failed("write", path, error)),
        other => other,
    };
    file.sync_all().doing(work, "sync", path)?;
    Ok(copied)
}

/// Gives it its owner, its rights and its time, in this order: each of them changes what comes after it.
fn dress(work: &Work, entry: &Entry, path: &Path) -> Result<()> {
    lchown(path, Some(entry.uid), Some(entry.gid)).doing(work, "give its owner back to", path)?;
    if !matches!(entry.kind, Kind::Link { .. }) {
        let rights = Permissions::from_mode(entry.mode);
        std::fs::set_permissions(path, rights).doing(work, "give its rights back to", path)?;
    }
    let time = |seconds, nanos| Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps {
        last_access: time(0, UTIME_OMIT),
        last_modification: time(entry.modified.seconds, entry.modified.nanos.into()),
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).doing(work, "give its time back to", path)
}

#[cfg(test)]
mod tests {
    use tar::{Builder, Header};

    use super::*;
    use crate::{
        model::{DeploymentId, Epoch, WorkloadId},
        ports::CallContext,
    };

    fn work() -> Work {
        let context = CallContext {
            workload: WorkloadId::new("shop").unwrap(),
            deployment: DeploymentId::new("d1").unwrap(),
            epoch: Epoch(1),
            deadline: std::time::Duration::from_secs(60),
        };
        Work::new(&context, "restore backup d1")
    }

    /// An entry as a stranger could write it: its name, its kind, and its content or target.
    type Stranger<'a> = (&'a str, EntryType, &'a str);

    fn archive(path: &Path, entries: &[Stranger<'_>]) {
        let mut builder = Builder::new(File::create(path).unwrap());
        for (name, kind, content) in entries {
            let mut header = Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_mode(0o4755);
            header.set_uid(rustix::process::getuid().as_raw().into());
            header.set_gid(rustix::process::getgid().as_raw().into());
            header.set_mtime(0);
            header.set_entry_type(*kind);
            let is_link = kind.is_symlink() || kind.is_hard_link();
            let bytes = if is_link { "" } else { content };
            if is_link {
                header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            }
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            builder.append_pax_extensions([(MODIFIED, &b"1.000000000"[..])]).unwrap();
            builder.append(&header, bytes.as_bytes()).unwrap();
        }
        builder.finish().unwrap();
    }

    const DIRECTORY: EntryType = EntryType::Directory;
    const FILE: EntryType = EntryType::Regular;
    const LINK: EntryType = EntryType::Symlink;

    #[test]
    fn hostile_archives_write_nothing_outside() {
        let root = ("data", DIRECTORY, "");
        let cases: &[(&[Stranger<'_>], &str)] = &[
            (&[root, ("data/../x", FILE, "!")], "does not stay below"),
            (&[root, ("../x", FILE, "!")], "does not stay below"),
            (&[root, ("/x", FILE, "!")], "does not stay below"),
            (&[root, ("data//x", FILE, "!")], "does not stay below"),
            (&[root, ("data/./x", FILE, "!")], "does not stay below"),
            (&[root, ("database", FILE, "!")], "does not stay below"),
            (&[root, ("data/link", LINK, ".."), ("data/link/x", FILE, "!")], "is in no directory"),
            (&[root, ("data/link", LINK, "../x"), ("data/link", FILE, "!")], "comes after"),
            (&[("data", LINK, ".."), ("data/x", FILE, "!")], "is in no directory"),
            (
                &[root, ("data/x", EntryType::Link, "/etc/passwd")],
                "neither file, directory nor symbolic link",
            ),
            (&[root, ("data/x", EntryType::Fifo, "")], "neither file, directory nor symbolic link"),
            (&[root, ("data/x", EntryType::Char, "")], "neither file, directory nor symbolic link"),
            (&[root, ("data/b", FILE, "!"), ("data/a", FILE, "!")], "comes after"),
            (&[root, ("data/deep/x", FILE, "!")], "is in no directory"),
            (&[("data/x", FILE, "!")], "does not begin with its root"),
            (
                &[root, ("data/a", FILE, ""), ("data/b", FILE, ""), ("data/c", FILE, "")],
                "more than the 3 entries",
            ),
            (&[root, ("data/a", FILE, "four!")], "more than the 4 bytes"),
            (&[root, ("data/a", FILE, "two")], "other entries than its manifest says"),
        ];
        for (entries, why) in cases {
            let directory = tempfile::tempdir().unwrap();
            let (path, to) = (directory.path().join("archive"), directory.path().join("inner/to"));
            std::fs::create_dir(directory.path().join("inner")).unwrap();
            archive(&path, entries);
            let expected = Contents { entries: 3, bytes: 4, digest: "sha256:0".to_owned() };
            for error in [
                unpack(&work(), &path, &expected, &to).unwrap_err(),
                list(&work(), &path, &expected).map(drop).unwrap_err(),
            ] {
                assert!(error.message.contains(why), "{entries:?}: {error}");
                assert_eq!(error.kind, ErrorKind::InvalidInput, "{error}");
            }
            let outside = |directory: &Path| std::fs::read_dir(directory).unwrap().count();
            assert_eq!(outside(directory.path()), 2, "{entries:?}");
            assert!(outside(&directory.path().join("inner")) <= 1, "{entries:?}");
        }
    }

    #[test]
    fn an_archive_that_ends_too_early_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("archive");
        archive(&path, &[("data", FILE, &"x".repeat(5000))]);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 100, 512, 1536, 1600, 4000] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let expected = Contents { entries: 1, bytes: 5000, digest: String::new() };
            let error = list(&work(), &path, &expected).map(drop).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidInput, "{length}: {error}");
        }
    }
}
