//! Files that are whole or not there, also after a power failure.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use deployer_core::error::BackendError;

use crate::error;

/// Replaces a file in one step: a reader sees the old content or the new one, and after this returns, the new one.
pub(crate) fn replace(operation: &str, path: &Path, content: &[u8]) -> Result<(), BackendError> {
    let temporary = beside(path);
    let written = write(&temporary, content).and_then(|()| {
        fs::rename(&temporary, path)?;
        sync_directory_of(path)
    });
    written.map_err(|failed| {
        // What is left of a full disk would fill it further.
        let _ = fs::remove_file(&temporary);
        error::file(operation, path, failed)
    })
}

/// As [`replace`], but nothing is written if the content is there already. Whether something was.
pub(crate) fn ensure(operation: &str, path: &Path, content: &[u8]) -> Result<bool, BackendError> {
    if fs::read(path).is_ok_and(|present| present == content) {
        return Ok(false);
    }
    replace(operation, path, content).map(|()| true)
}

/// Removes a file, if it is there.
pub(crate) fn remove(operation: &str, path: &Path) -> Result<(), BackendError> {
    match fs::remove_file(path).and_then(|()| sync_directory_of(path)) {
        Err(failed) if failed.kind() != io::ErrorKind::NotFound => Err(error::file(operation, path, failed)),
        _ => Ok(()),
    }
}

/// Makes a directory and those above it, with these rights for the new ones.
pub(crate) fn directory(operation: &str, path: &Path, mode: u32) -> Result<(), BackendError> {
    let result = DirBuilder::new().mode(mode).recursive(true).create(path);
    result.map_err(|failed| error::file(operation, path, failed))
}

/// Makes a directory that is there already the owner's alone.
pub(crate) fn close_to_others(operation: &str, path: &Path) -> Result<(), BackendError> {
    let closed = fs::metadata(path).and_then(|metadata| match metadata.mode() & 0o077 {
        0 => Ok(()),
        _ => fs::set_permissions(path, Permissions::from_mode(0o700)),
    });
    closed.map_err(|failed| error::file(operation, path, failed))
}

/// Makes sure that everybody may read a directory, whatever the mask of this process or of whoever made it.
pub(crate) fn open_to_others(operation: &str, path: &Path) -> Result<(), BackendError> {
    let opened = fs::metadata(path).and_then(|metadata| match metadata.mode() & 0o055 {
        0o055 => Ok(()),
        _ => fs::set_permissions(path, Permissions::from_mode(0o755)),
    });
    opened.map_err(|failed| error::file(operation, path, failed))
}

/// Its name begins with a dot and does not end in `.conf`: no include of nginx takes it.
pub(crate) fn beside(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.new"))
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)?;
    // Whatever the mask of this process: workers of nginx read some of them, as another user.
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes what was named, renamed and removed in the directory of this path outlive a power failure.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
