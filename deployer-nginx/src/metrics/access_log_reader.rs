//! A log over its rotations.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{
    access_log_entry::Entry,
    access_log_file::{LINGERS, LogFile, Piece, Reached},
};

/// A log that is longer when it is opened first is read from so many bytes before its end on: some 50,000 requests.
const LOOK_BACK: u64 = 16 * 1024 * 1024;
/// Replaced files that are still read; the oldest go first.
const MOST_REPLACED: usize = 4;

/// How the reading of a log went, since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogReading {
    /// Lines of [`LOG_FORMAT`](super::LOG_FORMAT).
    pub entries: u64,
    /// Lines that are not, or are too long.
    pub rubbish: u64,
    /// How often another file took the log's place.
    pub rotations: u64,
    /// How often the log was cut and begun again. What was written between the copy and the cut is lost.
    pub cuts: u64,
}

/// A log over its rotations: by a new file of the same name, or by cutting the file.
#[derive(Debug)]
pub(super) struct LogReader {
    path: PathBuf,
    /// The file that was at the path last.
    current: Option<LogFile>,
    /// Since when nothing has been at the path.
    missing: Option<Instant>,
    /// Those before it, oldest first.
    replaced: VecDeque<LogFile>,
    pub(super) reading: LogReading,
}

impl LogReader {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, current: None, missing: None, replaced: VecDeque::new(), reading: LogReading::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Hands out every entry since the last read.
    ///
    /// # Errors
    /// The log could not be read. What was read before has been handed out, and the next read goes on there.
    pub(super) fn read(&mut self, until: Instant, mut each: impl FnMut(Entry)) -> io::Result<Reached> {
        self.follow()?;
        let reading = &mut self.reading;
        for file in self.replaced.iter_mut().chain(&mut self.current) {
            let reached = file.read(until, |piece| match piece {
                Piece::Line(line) => match Entry::read(line) {
                    Some(entry) => {
                        reading.entries += 1;
                        each(entry);
                    }
                    None => reading.rubbish += 1,
                },
                Piece::TooLong => reading.rubbish += 1,
                Piece::Cut => reading.cuts += 1,
            })?;
            if reached == Reached::Deadline {
                return Ok(reached);
            }
        }
        Ok(Reached::End)
    }

    /// Opens what is at the path now.
    fn follow(&mut self) -> io::Result<()> {
        let now = Instant::now();
        self.replaced.retain(|file| file.replaced.is_none_or(|at| now.duration_since(at) < LINGERS));
        let Some(current) = &self.current else {
            self.current = Some(LogFile::open(&self.path, LOOK_BACK)?);
            return Ok(());
        };
        match current.is_at(&self.path) {
            Ok(true) => {
                self.missing = None;
                Ok(())
            }
            // Between the renaming and nginx's opening of a new one it goes on writing to the old one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let since = *self.missing.get_or_insert(now);
                if now.duration_since(since) < LINGERS { Ok(()) } else { Err(error) }
            }
            Err(error) => Err(error),
            Ok(false) => {
                let next = LogFile::open(&self.path, LOOK_BACK)?;
                if let Some(mut former) = self.current.replace(next) {
                    former.replaced = Some(now);
                    self.replaced.push_back(former);
                }
                if self.replaced.len() > MOST_REPLACED {
                    self.replaced.pop_front();
                }
                self.missing = None;
                self.reading.rotations += 1;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, OpenOptions},
        io::Write as _,
        time::Duration,
    };

    use super::*;

    struct Log {
        _directory: tempfile::TempDir,
        path: PathBuf,
        reader: LogReader,
    }

    fn text(number: u32) -> String {
        format!(
            "{{\"time\":{number},\"status\":\"200\",\"took\":\"0.001\",\"members\":\"127.0.0.1:4001\",\
             \"answers\":\"200\",\"heads\":\"0.001\"}}\n"
        )
    }

    impl Log {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("outcomes.log");
            Self { reader: LogReader::new(path.clone()), path, _directory: directory }
        }

        fn append(&self, bytes: impl AsRef<[u8]>) {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
            file.write_all(bytes.as_ref()).unwrap();
        }

        fn rotate(&self, number: u32) -> PathBuf {
            let to = self.path.with_extension(number.to_string());
            fs::rename(&self.path, &to).unwrap();
            to
        }

        /// The numbers of the entries since the last read.
        fn read(&mut self) -> Vec<u64> {
            let mut seen = Vec::new();
            let until = Instant::now() + Duration::from_secs(20);
            let reached = self.reader.read(until, |entry| seen.push(entry.at.as_secs())).unwrap();
            assert_eq!(reached, Reached::End);
            seen
        }
    }

    #[test]
    fn each_entry_comes_once_and_only_when_its_line_has_ended() {
        let mut log = Log::new();
        log.append(text(1) + &text(2));
        assert_eq!(log.read(), [1, 2]);
        assert!(log.read().is_empty());
        let third = text(3);
        for piece in third.as_bytes().chunks(20) {
            assert!(log.read().is_empty());
            log.append(piece);
        }
        assert_eq!(log.read(), [3]);
    }

    #[test]
    fn rubbish_is_counted_and_never_in_the_way() {
        let mut log = Log::new();
        log.append(text(1));
        log.append(b"\n\xff\x00garbage\n{\"time\":1}\n");
        log.append("x".repeat(200_000));
        assert_eq!(log.read(), [1]);
        assert_eq!(
            log.reader.reading.rubbish, 4,
            "an empty line, two others and one that is too long already"
        );
        log.append("x".repeat(200_000) + "\n" + &text(2));
        assert_eq!(log.read(), [2]);
        assert_eq!(log.reader.reading, LogReading { entries: 2, rubbish: 4, rotations: 0, cuts: 0 });
    }

    #[test]
    fn a_rotated_log_loses_nothing() {
        let mut log = Log::new();
        log.append(text(1));
        assert_eq!(log.read(), [1]);
        log.append(text(2));
        let old = log.rotate(1);
        // nginx still writes to the old one.
        let mut late = OpenOptions::new().append(true).open(&old).unwrap();
        late.write_all(text(3).as_bytes()).unwrap();
        assert_eq!(log.read(), [2, 3]);
        late.write_all(text(4).as_bytes()).unwrap();
        log.append(text(5));
        assert_eq!(log.read(), [4, 5]);
        // A worker that opened the new one later than the others.
        late.write_all(text(6).as_bytes()).unwrap();
        log.append(text(7));
        assert_eq!(log.read(), [6, 7]);
        fs::remove_file(&old).unwrap();
        late.write_all(text(8).as_bytes()).unwrap();
        assert_eq!(log.read(), [8]);
        assert_eq!(log.reader.reading.rotations, 1);
        for number in 2..20 {
            log.rotate(number);
            log.append(text(100 + number));
            assert_eq!(log.read(), [u64::from(100 + number)]);
        }
        assert!(log.reader.replaced.len() <= MOST_REPLACED);
    }

    #[test]
    fn a_cut_log_is_read_from_its_beginning() {
        let mut log = Log::new();
        log.append(text(1) + &text(2));
        assert_eq!(log.read(), [1, 2]);
        OpenOptions::new().write(true).truncate(true).open(&log.path).unwrap();
        log.append(text(3));
        assert_eq!(log.read(), [3]);
        // Cut, and already longer than before.
        OpenOptions::new().write(true).truncate(true).open(&log.path).unwrap();
        log.append(text(4) + &text(5) + &text(6));
        assert_eq!(log.read(), [4, 5, 6]);
        assert_eq!(log.reader.reading.cuts, 2);
    }

    #[test]
    fn of_a_long_log_only_the_end_is_read() {
        let mut log = Log::new();
        let line = text(1);
        let lines = usize::try_from(LOOK_BACK).unwrap() / line.len() + 1000;
        log.append(line.repeat(lines) + &text(2));
        let seen = log.read();
        assert_eq!(seen.last(), Some(&2));
        let most = lines - 900;
        assert!(seen.len() > most - 1000 && seen.len() <= most, "{} of {lines}", seen.len());
        assert_eq!(log.reader.reading.rubbish, 0, "it begins with a whole line");
    }

    #[test]
    fn a_log_that_cannot_be_read_is_an_error() {
        let mut log = Log::new();
        let until = Instant::now() + Duration::from_secs(20);
        let error = log.reader.read(until, |_| {}).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        fs::create_dir(&log.path).unwrap();
        assert!(log.reader.read(until, |_| {}).is_err());
    }

    #[test]
    fn a_log_that_stays_away_becomes_an_error() {
        let mut log = Log::new();
        log.append(text(1));
        assert_eq!(log.read(), [1]);
        fs::remove_file(&log.path).unwrap();
        assert!(log.read().is_empty());
        log.reader.missing = log.reader.missing.map(|since| since.checked_sub(LINGERS).unwrap());
        let until = Instant::now() + Duration::from_secs(20);
        assert_eq!(log.reader.read(until, |_| {}).unwrap_err().kind(), io::ErrorKind::NotFound);
        log.append(text(2));
        assert_eq!(log.read(), [2]);
    }

    #[test]
    fn after_the_deadline_it_goes_on_where_it_was() {
        let mut log = Log::new();
        log.append(text(1));
        assert_eq!(log.reader.read(Instant::now(), |_| {}).unwrap(), Reached::Deadline);
        assert_eq!(log.read(), [1]);
    }
}
