//! Output of instances: it goes straight into a file, so that an instance never notices that the helper died, and
//! the helper keeps that file small.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use deployer_core::model::{InstanceId, WorkloadId};

/// The most that evidence carries.
const TAIL: u64 = 64 * 1024;

/// The output of one instance: the present file and the one before.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    present: PathBuf,
    before: PathBuf,
}

impl Output {
    pub(crate) fn of(logs: &Path, workload: &WorkloadId, instance: &InstanceId) -> Self {
        let directory = logs.join(workload.as_str());
        Self {
            present: directory.join(format!("{instance}.log")),
            before: directory.join(format!("{instance}.before.log")),
        }
    }

    /// The helper's own.
    pub(crate) fn of_helper(log: &Path) -> Self {
        Self { present: log.to_owned(), before: log.with_extension("before.log") }
    }

    /// Opens it for a process. It is opened for appending, so that the process goes on at the start after the file
    /// was cut.
    pub(crate) fn open(&self) -> io::Result<File> {
        if let Some(directory) = self.present.parent() {
            fs::create_dir_all(directory)?;
        }
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.present)
    }

    /// Moves the end of the present file to the one before if it is larger than `limit`. What is written between
    /// the copy and the cut is lost.
    pub(crate) fn cap(&self, limit: u64) -> io::Result<()> {
        let size = match fs::metadata(&self.present) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if size <= limit {
            return Ok(());
        }
        let mut present = OpenOptions::new().read(true).write(true).open(&self.present)?;
        present.seek(SeekFrom::Start(size - limit))?;
        let temporary = self.before.with_extension("new");
        let mut copy =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        io::copy(&mut (&mut present).take(limit), &mut copy)?;
        fs::rename(&temporary, &self.before)?;
        present.set_len(0)
    }

    /// The last lines, newest last.
    pub(crate) fn tail(&self) -> String {
        let mut bytes = read_end(&self.present, TAIL);
        let missing = TAIL.saturating_sub(bytes.len() as u64);
        if missing > 0 {
            let mut whole = read_end(&self.before, missing);
            whole.append(&mut bytes);
            bytes = whole;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match text.find('\n') {
            // The first line is most likely cut.
            Some(end) if bytes.len() as u64 >= TAIL => text[end + 1..].to_owned(),
            _ => text,
        }
    }

    pub(crate) fn remove(&self) {
        for path in [&self.present, &self.before] {
            let _ = fs::remove_file(path);
        }
    }
}

fn read_end(path: &Path, most: u64) -> Vec<u8> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_end_is_kept_and_the_writer_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let output =
            Output::of(directory.path(), &WorkloadId::new("web").unwrap(), &InstanceId::new("v1-1").unwrap());
        let mut writer = output.open().unwrap();
        for line in 0..1000 {
            writeln!(writer, "line {line}").unwrap();
        }
        output.cap(1000).unwrap();
        assert_eq!(fs::metadata(&output.present).unwrap().len(), 0);
        assert_eq!(fs::metadata(&output.before).unwrap().len(), 1000);
        writeln!(writer, "and on").unwrap();
        output.cap(1000).unwrap();
        assert!(output.tail().ends_with("line 999\nand on\n"), "{}", output.tail());
        output.remove();
        assert_eq!(output.tail(), "");
    }
}
