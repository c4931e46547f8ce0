//! One file of a log, read from where it was read last.

use std::{
    fs::File,
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    time::{Duration, Instant},
};

/// A longer line is no entry.
const LONGEST_LINE: usize = 64 * 1024;
/// How much is read at once.
const CHUNK: usize = 64 * 1024;
/// How many bytes before the place that was reached are compared, to notice that the file was cut and filled again:
/// some lines, whose times differ.
const REMEMBERED: usize = 1024;

/// One file of a log. It stays the same file when it is renamed, and also when it is removed.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    identity: (u64, u64),
    /// All before this was read; a line begins here, or goes on if `in_long_line`.
    position: u64,
    /// The bytes just before the position.
    before: Vec<u8>,
    /// In a line that is too long: all up to its end is passed over.
    in_long_line: bool,
    /// When another file had taken its place, if one has.
    pub(super) replaced: Option<Instant>,
}

/// How far a read came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// Its end, as it was then.
    End,
    /// The time was over.
    Deadline,
}

/// What a file gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A line, without its end.
    Line(&'a [u8]),
    /// A line that is too long to be an entry.
    TooLong,
    /// The file was cut, and is read from its beginning again.
    Cut,
}

impl LogFile {
    /// Opens it to be read from at most `look_back` bytes before its end on, from the beginning of a line.
    pub(super) fn open(path: &Path, look_back: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let start = metadata.len().saturating_sub(look_back);
        let identity = (metadata.dev(), metadata.ino());
        let mut log = Self {
            file,
            identity,
            position: start.saturating_sub(1),
            before: Vec::new(),
            in_long_line: false,
            replaced: None,
        };
        if start > 0 {
            // From one byte before: if that is the end of a line, the first whole line begins right at `start`.
            log.skip_line()?;
        }
        Ok(log)
    }

    /// Whether the path is this very file now.
    pub(super) fn is_at(&self, path: &Path) -> io::Result<bool> {
        let metadata = std::fs::metadata(path)?;
        Ok((metadata.dev(), metadata.ino()) == self.identity)
    }

    /// Hands out every whole line since the last read. One whose end is not written yet waits for the next.
    pub(super) fn read(&mut self, until: Instant, mut each: impl FnMut(Piece<'_>)) -> io::Result<Reached> {
        if self.was_cut()? {
            self.position = 0;
            self.before.clear();
            self.in_long_line = false;
            each(Piece::Cut);
        }
        let mut pending: Vec<u8> = Vec::new();
        let mut chunk = vec![0; CHUNK];
        self.file.seek(SeekFrom::Start(self.position))?;
        loop {
            if Instant::now() >= until {
                return Ok(Reached::Deadline);
            }
            let count = match self.file.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            };
            if count == 0 {
                return Ok(Reached::End);
            }
            let mut rest = &chunk[..count];
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let (piece, after) = rest.split_at(end + 1);
                rest = after;
                pending.extend_from_slice(piece);
                let line = &pending[..pending.len() - 1];
                if self.in_long_line {
                    self.in_long_line = false;
                } else if line.len() > LONGEST_LINE {
                    each(Piece::TooLong);
                } else {
                    each(Piece::Line(line));
                }
                self.passed(&pending);
                pending.clear();
            }
            pending.extend_from_slice(rest);
            if pending.len() > LONGEST_LINE {
                if !self.in_long_line {
                    each(Piece::TooLong);
                    self.in_long_line = true;
                }
                self.passed(&pending);
                pending.clear();
            }
        }
    }

    /// Everything that has been read so far is still there, and what is behind it is new.
    fn was_cut(&self) -> io::Result<bool> {
        let length = self.file.metadata()?.len();
        if length < self.position {
            return Ok(true);
        }
        let mut now = vec![0; self.before.len()];
        let begin = self.position - self.before.len() as u64;
        match self.file.read_exact_at(&mut now, begin) {
            Ok(()) => Ok(now != self.before),
            // Cut just now.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.position += bytes.len() as u64;
        self.before.extend_from_slice(&bytes[bytes.len().saturating_sub(REMEMBERED)..]);
        let excess = self.before.len().saturating_sub(REMEMBERED);
        self.before.drain(..excess);
    }

    fn skip_line(&mut self) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        self.file.seek(SeekFrom::Start(self.position))?;
        loop {
            let count = self.file.read(&mut chunk)?;
            let end = chunk[..count].iter().position(|byte| *byte == b'\n');
            self.passed(&chunk[..end.map_or(count, |end| end + 1)]);
            if end.is_some() || count == 0 {
                return Ok(());
            }
        }
    }
}

/// How long a file that was replaced is read on: nginx's workers open the new one some time after it is there.
pub(super) const LINGERS: Duration = Duration::from_secs(60);
