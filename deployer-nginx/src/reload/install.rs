//! The file of a workload: read, replaced, and put back.

use std::{fs, io};

use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{Epoch, Split, WorkloadId},
};

use crate::{
    config::{DamagedFile, WorkloadFile},
    durable, error,
    paths::Paths,
};

/// Reads the file that nginx reads.
pub(super) fn read(
    operation: &str,
    paths: &Paths,
    workload: &WorkloadId,
) -> Result<WorkloadFile, BackendError> {
    let path = paths.workload(workload);
    let text = fs::read_to_string(&path).map_err(|failed| match failed.kind() {
        io::ErrorKind::NotFound => {
            let message = format!(
                "{} does not exist: the workload was not added to this nginx, or somebody removed it; add it",
                path.display()
            );
            BackendError::new(ErrorKind::NotFound, operation, message)
        }
        _ => error::file(operation, &path, failed),
    })?;
    WorkloadFile::parse(&text).map_err(|damaged| {
        let shown = path.display();
        let way_out = match damaged {
            DamagedFile::Edited => "undo the edit, or overwrite it on purpose",
            DamagedFile::Foreign => "move it away and add the workload again, or overwrite it on purpose",
        };
        let message = format!("{shown}: {damaged}; it is not overwritten: {way_out}");
        BackendError::new(ErrorKind::Conflict, operation, message)
    })
}

/// The file before a switch.
#[derive(Debug, Clone)]
pub(super) struct Before {
    /// What it says.
    pub(super) file: WorkloadFile,
    /// Its text, where it is not one of ours.
    foreign: Option<String>,
}

impl Before {
    pub(super) fn ours(file: WorkloadFile) -> Self {
        Self { file, foreign: None }
    }

    /// Reads what can still be read of a file that somebody edited.
    pub(super) fn foreign(paths: &Paths, workload: &WorkloadId) -> Self {
        let text = fs::read_to_string(paths.workload(workload)).unwrap_or_default();
        let nothing = WorkloadFile {
            epoch: Epoch::default(),
            generation: 0,
            split: Split::EMPTY,
            content: String::new(),
        };
        Self { file: WorkloadFile::parse_edited(&text).unwrap_or(nothing), foreign: Some(text) }
    }

    pub(super) fn is_ours(&self) -> bool {
        self.foreign.is_none()
    }

    fn text(&self) -> String {
        self.foreign.clone().unwrap_or_else(|| self.file.text())
    }
}

/// Replaces the file, and keeps the one before beside it.
pub(super) fn install(
    operation: &str,
    paths: &Paths,
    workload: &WorkloadId,
    before: &Before,
    after: &WorkloadFile,
) -> Result<(), BackendError> {
    let path = paths.workload(workload);
    let text = before.text();
    if fs::read_to_string(&path).unwrap_or_default() != text {
        let message =
            format!("{}: it was edited by somebody else just now; it is not overwritten", path.display());
        return Err(BackendError::new(ErrorKind::Conflict, operation, message));
    }
    durable::replace(operation, &paths.previous(workload), text.as_bytes())?;
    durable::replace(operation, &paths.workload(workload), after.text().as_bytes())
}

/// Puts the file before back, and keeps the one that nginx refused.
pub(super) fn restore(
    operation: &str,
    paths: &Paths,
    workload: &WorkloadId,
    before: &Before,
    refused: &WorkloadFile,
) -> Result<(), BackendError> {
    durable::replace(operation, &paths.refused(workload), refused.text().as_bytes())?;
    durable::replace(operation, &paths.workload(workload), before.text().as_bytes())
}

/// The file before the present one, if it is there and whole.
pub(super) fn previous(paths: &Paths, workload: &WorkloadId) -> Option<WorkloadFile> {
    WorkloadFile::parse(&fs::read_to_string(paths.previous(workload)).ok()?).ok()
}

/// A number that no configuration of this workload has had, not even one that was refused.
pub(super) fn next_generation(
    paths: &Paths,
    workload: &WorkloadId,
    present: u64,
    running: Option<u64>,
) -> u64 {
    let refused = fs::read_to_string(paths.refused(workload)).ok();
    let refused = refused.and_then(|text| WorkloadFile::parse(&text).ok()).map(|file| file.generation);
    let largest = present.max(refused.unwrap_or_default()).max(running.unwrap_or_default());
    largest.saturating_add(1)
}
