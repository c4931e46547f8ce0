//! How errors of the system become errors of a backend.

use std::{io, path::Path};

use deployer_core::error::{BackendError, ErrorKind};

/// An error of the file system at a path.
pub(crate) fn file(operation: &str, path: &Path, error: io::Error) -> BackendError {
    let shown = path.display();
    let (kind, message) = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            (ErrorKind::PermissionDenied, format!("{shown} may not be accessed by this user"))
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::PermissionDenied, format!("{shown} is on a read-only file system"))
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (ErrorKind::Unavailable, format!("there is no room for {shown}"))
        }
        io::ErrorKind::NotFound => (ErrorKind::NotFound, format!("{shown} does not exist")),
        _ => (ErrorKind::Unexpected, format!("{shown} failed")),
    };
    BackendError::new(kind, operation, message).with_source(error)
}

/// At most so much of what nginx said, from its beginning.
pub(crate) fn capped(text: &str) -> String {
    const MOST: usize = 2000;
    let text = text.trim();
    let end = text.char_indices().nth(MOST).map_or(text.len(), |(end, _)| end);
    text[..end].lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
