//! Copies of executables, so that replacing a file on disk in the middle of a rollout changes nothing.
//!
//! A copy and not a hard link: a link would follow a program that is overwritten in place. File systems that share
//! blocks make the copy for free.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};

use crate::{directory::Directory, identity::ContentHash};

/// Copies that no set uses and that are kept, for returning to an earlier release: twice the history of ten.
const KEPT: usize = 20;

/// Copies an executable into the directory under the hash of its content, unless that copy is there.
pub(crate) fn pin(directory: &Directory, executable: &Path) -> io::Result<ContentHash> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    fs::DirBuilder::new().mode(0o700).recursive(true).create(directory.pinned())?;
    let content = copy(executable, &mut io::sink())?;
    if let Ok(copied) = File::open(directory.executable(&content)) {
        // Now it is the newest, which `prune` keeps.
        copied.set_modified(SystemTime::now())?;
        return Ok(content);
    }
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let temporary = directory.pinned().join(format!(".{}-{number}", std::process::id()));
    let result = write(executable, &temporary).and_then(|content| {
        // The file may have changed since it was read first: what was written counts.
        fs::rename(&temporary, directory.executable(&content))?;
        Ok(content)
    });
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Removes the oldest copies that no set uses.
pub(crate) fn prune(directory: &Directory, used: &BTreeSet<ContentHash>) {
    let mut unused: Vec<(SystemTime, std::path::PathBuf)> = Vec::new();
    for entry in fs::read_dir(directory.pinned()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(content) = ContentHash::try_from(name) else { continue };
        if !used.contains(&content)
            && let Ok(changed) = entry.metadata().and_then(|metadata| metadata.modified())
        {
            unused.push((changed, entry.path()));
        }
    }
    unused.sort();
    let surplus = unused.len().saturating_sub(KEPT);
    for (_, path) in unused.into_iter().take(surplus) {
        let _ = fs::remove_file(path);
    }
}

fn write(from: &Path, to: &Path) -> io::Result<ContentHash> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o500).open(to)?;
    let content = copy(from, &mut file)?;
    file.sync_all()?;
    Ok(content)
}

fn copy(from: &Path, to: &mut impl io::Write) -> io::Result<ContentHash> {
    let mut source = File::open(from)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(ContentHash::of(hasher)),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                to.write_all(&buffer[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, Directory) {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::create(&parent.path().join("d")).unwrap();
        (parent, directory)
    }

    #[test]
    fn a_copy_outlives_its_source() {
        let (parent, directory) = directory();
        let source = parent.path().join("program");
        fs::write(&source, "one").unwrap();
        let one = pin(&directory, &source).unwrap();
        fs::write(&source, "two").unwrap();
        let two = pin(&directory, &source).unwrap();
        assert_ne!(one, two);
        assert_eq!(pin(&directory, &source).unwrap(), two);
        assert_eq!(fs::read(directory.executable(&one)).unwrap(), b"one");
        assert!(pin(&directory, &parent.path().join("missing")).is_err());
        assert_eq!(fs::read_dir(directory.pinned()).unwrap().count(), 2, "nothing temporary is left");
    }

    #[test]
    fn copies_in_use_are_never_pruned() {
        let (parent, directory) = directory();
        let source = parent.path().join("program");
        let pinned: Vec<ContentHash> = (0..KEPT + 5)
            .map(|number| {
                fs::write(&source, number.to_string()).unwrap();
                pin(&directory, &source).unwrap()
            })
            .collect();
        prune(&directory, &BTreeSet::from([pinned[0].clone()]));
        assert!(directory.executable(&pinned[0]).exists());
        assert!(directory.executable(&pinned[KEPT + 4]).exists());
        assert_eq!(fs::read_dir(directory.pinned()).unwrap().count(), KEPT + 1);
    }
}
