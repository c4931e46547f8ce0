//! What the helper remembers: enough to go on after it was killed at any point.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use deployer_core::model::{Epoch, SetId, Split, WorkloadId};
use serde::{Deserialize, Serialize};

use super::instance::SavedInstance;
use crate::{identity::ContentHash, proxy::ProxySettings, spec::ProcessSpec};

const FORMAT: u32 = 1;

/// Whether a save has to survive the host as well as the helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It has: intents, epochs, splits.
    Disk,
    /// It can be found out again from the processes themselves.
    Rename,
}

/// The whole state.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    format: u32,
    /// A random name of this directory: the mark that its processes carry.
    pub(crate) host: String,
    /// The start of the host that process identities belong to.
    pub(crate) boot: String,
    pub(crate) workloads: BTreeMap<WorkloadId, SavedWorkload>,
}

/// One workload.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedWorkload {
    /// The largest epoch seen.
    pub(crate) epoch: Epoch,
    /// The number of the last instance; grows for ever.
    pub(crate) last_instance: u64,
    pub(crate) sets: BTreeMap<SetId, SavedSet>,
    pub(crate) traffic: Option<SavedTraffic>,
}

/// One set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedSet {
    pub(crate) digest: Arc<str>,
    pub(crate) content: ContentHash,
    pub(crate) spec: ProcessSpec,
    /// It goes as soon as its last instance is gone.
    pub(crate) removing: bool,
    /// In the order in which they were made.
    pub(crate) instances: Vec<SavedInstance>,
}

/// The listener of a workload and its split.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedTraffic {
    /// As asked for; port 0 means any.
    pub(crate) listen: SocketAddr,
    /// As bound.
    pub(crate) address: SocketAddr,
    pub(crate) settings: ProxySettings,
    pub(crate) split: Split,
}

impl State {
    pub(crate) fn new(host: String, boot: String) -> Self {
        Self { format: FORMAT, host, boot, workloads: BTreeMap::new() }
    }

    /// Reads what was saved; `None` before the first save.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, String> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        };
        let broken = |error: serde_json::Error| {
            format!(
                "{} is damaged ({error}); move it away to start without what it remembers",
                path.display()
            )
        };
        let head: Head = serde_json::from_slice(&text).map_err(broken)?;
        if head.format != FORMAT {
            return Err(format!(
                "{} has format {}, this version reads {FORMAT}; use the version that wrote it",
                path.display(),
                head.format
            ));
        }
        serde_json::from_slice(&text).map(Some).map_err(broken)
    }

    /// Replaces what was saved in one step: a reader, and a helper that starts after a kill, sees all of it or the
    /// one before.
    pub(crate) fn save(&self, path: &Path, durability: Durability) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let temporary = path.with_extension("json.new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&text)?;
        if durability == Durability::Disk {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)?;
        if durability == Durability::Disk
            && let Some(directory) = path.parent()
        {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        assert!(State::load(&path).unwrap().is_none());
        let mut state = State::new("h".into(), "b".into());
        state.workloads.insert(WorkloadId::new("web").unwrap(), SavedWorkload::default());
        state.save(&path, Durability::Disk).unwrap();
        let read = State::load(&path).unwrap().unwrap();
        assert_eq!((read.host.as_str(), read.workloads.len()), ("h", 1));
    }

    #[test]
    fn damage_and_other_formats_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        for (text, says) in
            [("{", "damaged"), (r#"{"format":9}"#, "format 9"), (r#"{"format":1}"#, "damaged")]
        {
            fs::write(&path, text).unwrap();
            let error = State::load(&path).unwrap_err();
            assert!(error.contains(says) && error.contains("state.json"), "{error}");
        }
    }
}
