//! Writing files and directories into one archive: POSIX tar with GNU long names.

use std::{
    fs::File,
    io::{self, BufWriter, Read as _, Write},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::{
    entry::{Entry, Kind},
    scan::{Hashing, Seen, join, open},
    work::{CHUNK, Doing as _, Work},
};
use crate::{error::ErrorKind, journal::hex, ports::Result};

/// What everything in an archive lies below.
pub(super) const ROOT: &str = "data";

/// The key of the time of change in the extended header: the plain one has whole seconds only.
pub(super) const MODIFIED: &str = "mtime";

/// What was written.
#[derive(Debug)]
pub(super) struct Packed {
    /// What is in it.
    pub(super) entries: Vec<Entry>,
    /// Its size.
    pub(super) bytes: u64,
    /// Its checksum.
    pub(super) checksum: String,
}

/// Writes all that was seen into this file, and makes it durable.
pub(super) fn pack(work: &Work, root: &Path, seen: &[Seen], archive: &Path, file: File) -> Result<Packed> {
    let summing = Summing { file, hasher: Sha256::new(), bytes: 0 };
    let mut builder = Builder::new(BufWriter::with_capacity(CHUNK, summing));
    let mut entries = Vec::with_capacity(seen.len());
    for seen in seen {
        work.check()?;
        entries.push(append(work, root, &seen.entry, archive, &mut builder)?);
    }
    let buffer = builder.into_inner().doing(work, "write", archive)?;
    let Summing { file, hasher, bytes } =
        buffer.into_inner().map_err(io::IntoInnerError::into_error).doing(work, "write", archive)?;
    file.sync_all().doing(work, "sync", archive)?;
    Ok(Packed { entries, bytes, checksum: format!("sha256:{}", hex(&hasher.finalize())) })
}

type Archive = Builder<BufWriter<Summing>>;

fn append(work: &Work, root: &Path, entry: &Entry, archive: &Path, builder: &mut Archive) -> Result<Entry> {
    let path = join(root, &entry.path);
    let mut entry = entry.clone();
    let mut header = header(&entry);
    let mut name = ROOT.as_bytes().to_vec();
    if !entry.path.as_os_str().is_empty() {
        name.push(b'/');
        name.extend_from_slice(entry.path.as_os_str().as_bytes());
    }
    let mut writing = || -> io::Result<()> {
        put_name(builder, &mut header, EntryType::GNULongName, &name)?;
        if let Kind::Link { target } = &entry.kind {
            put_name(builder, &mut header, EntryType::GNULongLink, target.as_os_str().as_bytes())?;
        }
        let modified = entry.modified.to_string();
        builder.append_pax_extensions([(MODIFIED, modified.as_bytes())])
    };
    writing().doing(work, "write", archive)?;
    header.set_cksum();
    let Kind::File { size, hash } = &mut entry.kind else {
        builder.append(&header, io::empty()).doing(work, "write", archive)?;
        return Ok(entry);
    };
    let file = open(&path).doing(work, "open", &path)?;
    let mut reader = Hashing::new(work, Counting { inner: file.take(*size), read: 0, failed: None });
    let copied = builder.append(&header, &mut reader);
    let (counting, found) = reader.into_parts();
    if let Some(error) = counting.failed {
        return Err(work.failed("read", &path, error));
    }
    copied.doing(work, "write", archive)?;
    if counting.read != *size {
        let message = format!("{} became shorter while it was read", path.display());
        return Err(work.error(ErrorKind::Conflict, message));
    }
    *hash = found;
    Ok(entry)
}

fn header(entry: &Entry) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.uid.into());
    header.set_gid(entry.gid.into());
    header.set_mtime(u64::try_from(entry.modified.seconds).unwrap_or(0));
    let (kind, size) = match entry.kind {
        Kind::Directory => (EntryType::Directory, 0),
        Kind::File { size, .. } => (EntryType::Regular, size),
        Kind::Link { .. } => (EntryType::Symlink, 0),
    };
    header.set_entry_type(kind);
    header.set_size(size);
    header
}

/// Writes a name as it is, byte by byte: the methods of the crate would tidy it up.
fn put_name(builder: &mut Archive, header: &mut Header, kind: EntryType, name: &[u8]) -> io::Result<()> {
    let old = header.as_old_mut();
    let field = if kind == EntryType::GNULongName { &mut old.name } else { &mut old.linkname };
    let fits = name.len().min(field.len() - 1);
    field[..fits].copy_from_slice(&name[..fits]);
    if fits == name.len() {
        return Ok(());
    }
    let mut long = Header::new_gnu();
    let marker = b"././@LongLink";
    long.as_old_mut().name[..marker.len()].copy_from_slice(marker);
    long.set_mode(0o644);
    long.set_uid(0);
    long.set_gid(0);
    long.set_mtime(0);
    long.set_size(name.len() as u64 + 1);
    long.set_entry_type(kind);
    long.set_cksum();
    builder.append(&long, name.chain(&b"\0"[..]))
}

/// Sums up what is written.
#[derive(Debug)]
struct Summing {
    file: File,
    hasher: Sha256,
    bytes: u64,
}

impl Write for Summing {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Counts what is read, and keeps its error apart from those of the writer.
#[derive(Debug)]
struct Counting<R> {
    inner: R,
    read: u64,
    failed: Option<io::Error>,
}

impl<R: io::Read> io::Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(read) => {
                self.read += read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}
