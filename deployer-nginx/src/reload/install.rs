//! The file of a workload: read, replaced, and put back.

use std::{fs, io};

use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{Epoch, WorkloadId},
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
            DamagedFile::Edited => format!(
                "put back what {} has, or remove {shown} and add the workload again",
                paths.previous(workload).display()
            ),
            DamagedFile::Foreign => format!("move {shown} away and add the workload again"),
        };
        let message = format!("{shown}: {damaged}; it is not overwritten: {way_out}");
        BackendError::new(ErrorKind::Conflict, operation, message)
    })
}

/// Replaces the file, and keeps the one before beside it.
pub(super) fn install(
    operation: &str,
    paths: &Paths,
    workload: &WorkloadId,
    before: &WorkloadFile,
    after: &WorkloadFile,
) -> Result<(), BackendError> {
    durable::replace(operation, &paths.previous(workload), before.text().as_bytes())?;
    durable::replace(operation, &paths.workload(workload), after.text().as_bytes())
}

/// Raises the epoch, which nginx does not read.
pub(super) fn raise(
    operation: &str,
    paths: &Paths,
    workload: &WorkloadId,
    file: &WorkloadFile,
    epoch: Epoch,
) -> Result<(), BackendError> {
    let raised = WorkloadFile { epoch, ..file.clone() };
    durable::replace(operation, &paths.workload(workload), raised.text().as_bytes())
}

/// Puts the file before back, with the epoch of the one that nginx refused: whoever wrote that has been seen.
pub(super) fn restore(
    operation: &str,
    paths: &Paths,
    workload: &WorkloadId,
    before: &WorkloadFile,
    refused: &WorkloadFile,
) -> Result<(), BackendError> {
    durable::replace(operation, &paths.refused(workload), refused.text().as_bytes())?;
    let back = WorkloadFile { epoch: before.epoch.max(refused.epoch), ..before.clone() };
    durable::replace(operation, &paths.workload(workload), back.text().as_bytes())
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
