//! Errors of the operating system, with the place and the way out.

use std::{io, path::Path};

use rustix::io::Errno;

use crate::error::{BackendError, ErrorKind, Retry};

/// What an error of the operating system means for a backup.
pub(super) fn failure(operation: &str, doing: &str, path: &Path, error: io::Error) -> BackendError {
    // An error of ours on its way through a reader or a writer.
    let error = match error.downcast::<BackendError>() {
        Ok(ours) => return ours,
        Err(error) => error,
    };
    let errno = Errno::from_io_error(&error);
    let place = path.display();
    let at = |kind, way_out: &str| {
        BackendError::new(kind, operation, format!("could not {doing} {place}{way_out}"))
    };
    let mut ours = match errno {
        Some(Errno::NOSPC | Errno::DQUOT) => {
            at(ErrorKind::Unavailable, ": free some room there, or use a larger disk or quota")
        }
        Some(Errno::FBIG) => at(ErrorKind::Unavailable, ": the largest file allowed there is too small"),
        Some(Errno::IO) => at(ErrorKind::Unavailable, ": the disk failed, look at the log of the system"),
        Some(Errno::ROFS) => at(ErrorKind::PermissionDenied, ": the file system is read-only"),
        Some(Errno::PERM | Errno::ACCESS) => {
            at(ErrorKind::PermissionDenied, ": run as a user who may, or change the rights")
        }
        Some(Errno::NOENT | Errno::NOTDIR) => at(ErrorKind::NotFound, ""),
        Some(Errno::EXIST | Errno::NOTEMPTY) => at(ErrorKind::AlreadyExists, ": move away what is there"),
        Some(Errno::NAMETOOLONG) => at(ErrorKind::InvalidInput, ": use a shorter name"),
        Some(Errno::BUSY | Errno::XDEV) => {
            at(ErrorKind::InvalidInput, ": a mount point cannot be replaced, use a directory below it")
        }
        Some(Errno::LOOP) => at(ErrorKind::InvalidInput, ": it is a symbolic link, name what it points to"),
        _ => at(ErrorKind::Unexpected, ""),
    };
    if matches!(errno, Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO)) {
        ours.retry = Retry::Never;
    }
    ours.with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_failing_one_name_the_place_and_the_way_out() {
        for (errno, kind, way_out) in [
            (Errno::NOSPC, ErrorKind::Unavailable, "free some room"),
            (Errno::DQUOT, ErrorKind::Unavailable, "quota"),
            (Errno::IO, ErrorKind::Unavailable, "the disk failed"),
            (Errno::ROFS, ErrorKind::PermissionDenied, "read-only"),
            (Errno::ACCESS, ErrorKind::PermissionDenied, "change the rights"),
        ] {
            let error = failure("back up shop as d1", "write", Path::new("/b/d1"), errno.into());
            assert_eq!((error.kind, error.retry), (kind, Retry::Never), "{error}");
            let text = error.to_string();
            assert!(text.starts_with("back up shop as d1: could not write /b/d1: "), "{text}");
            assert!(text.contains(way_out) && !text.contains("os error"), "{text}");
            assert!(error.report().contains("os error"), "{}", error.report());
        }
    }

    #[test]
    fn an_error_of_ours_comes_through_as_it_is() {
        let ours = BackendError::new(ErrorKind::TimedOut, "back up", "too late");
        let error = failure("other", "read", Path::new("/"), io::Error::other(ours));
        assert_eq!((error.kind, error.to_string().as_str()), (ErrorKind::TimedOut, "back up: too late"));
    }
}
