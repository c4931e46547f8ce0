//! A candidate is tested as a part of the whole configuration, before any file that nginx reads is touched: by a copy of
//! the main file that leads to copies of those files only that lead to ours.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use deployer_core::{
    error::{BackendError, ErrorKind},
    model::WorkloadId,
};

use super::{command, handle::Server, includes};
use crate::{
    base,
    choice::RouterKind,
    durable,
    error::{self, capped},
    paths::Paths,
    settings::NginxSettings,
    syntax,
};

/// The longest chain of includes that is followed.
const DEEPEST: usize = 16;

impl Server {
    /// Whether nginx would take this text as the file of a workload, together with everything else that is there.
    /// Nothing that nginx reads is changed. Whoever calls holds the lock of the workload.
    pub(crate) async fn test_candidate(&self, workload: &WorkloadId, text: &str) -> Result<(), BackendError> {
        let operation = format!("test the new configuration of {workload}");
        let folder = Folder { path: self.paths().staging().join(workload.as_str()) };
        let staging = Staging {
            operation: &operation,
            paths: self.paths(),
            settings: self.settings(),
            kind: self.choice().kind,
            main: &self.settings().main_config,
            folder: &folder.path,
            copies: Vec::new(),
            climbs: false,
        };
        let (main, copies) = match staging.build(workload, text) {
            Ok(built) => built,
            // Where the main file cannot be read as configuration nginx has better words for it.
            Err(error) if error.kind == ErrorKind::InvalidInput && !self.main_can_be_read() => {
                self.test().await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let settings = self.settings();
        let mut arguments = vec![OsStr::new("-t"), OsStr::new("-q"), OsStr::new("-c"), main.as_os_str()];
        if let Some(prefix) = &settings.prefix {
            arguments.extend([OsStr::new("-p"), prefix.as_os_str()]);
        }
        let output =
            command::run(&operation, &settings.executable, &arguments, settings.test_deadline).await?;
        if output.success {
            return Ok(());
        }
        // People know the files by their own names.
        let words = copies.iter().rev().fold(output.errors, |words, (copy, original)| {
            words.replace(&*copy.to_string_lossy(), &original.to_string_lossy())
        });
        let message = format!("refused, nothing was changed: {}", capped(&words));
        Err(BackendError::new(ErrorKind::Unavailable, operation, message))
    }

    fn main_can_be_read(&self) -> bool {
        fs::read_to_string(&self.settings().main_config).is_ok_and(|text| syntax::parse(&text).is_ok())
    }
}

/// Gone with its content when this is dropped; what a killed one left is removed by the next.
struct Folder {
    path: PathBuf,
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

struct Staging<'a> {
    operation: &'a str,
    paths: &'a Paths,
    settings: &'a NginxSettings,
    kind: RouterKind,
    main: &'a Path,
    folder: &'a Path,
    /// Copies, and what they are copies of.
    copies: Vec<(PathBuf, PathBuf)>,
    /// Whether some file names others by way of the directory above.
    climbs: bool,
}

impl Staging<'_> {
    /// The main file to test, and which copies stand for which files.
    fn build(
        mut self,
        workload: &WorkloadId,
        text: &str,
    ) -> Result<(PathBuf, Vec<(PathBuf, PathBuf)>), BackendError> {
        match fs::remove_dir_all(self.folder) {
            Err(failed) if failed.kind() != io::ErrorKind::NotFound => {
                return Err(error::file(self.operation, self.folder, failed));
            }
            _ => {}
        }
        let workloads = self.folder.join("workloads");
        durable::directory(self.operation, &workloads, 0o755)?;
        let ours = self.paths.workload(workload);
        for path in self.entries(&self.paths.workloads())? {
            if path != ours && path.extension().is_some_and(|extension| extension == "conf") {
                self.link(&path, &workloads)?;
            }
        }
        let candidate = workloads.join(ours.file_name().unwrap_or_default());
        self.write(&candidate, text, ours)?;
        let http = base::http_with(self.paths, self.settings, self.kind, &workloads);
        let copy = self.folder.join("http.conf");
        self.write(&copy, &http, self.paths.http())?;

        let Some(main) = self.rewritten(self.main, 0)? else {
            let message = format!(
                "{} does not include {}; add `include {};` to its http block",
                self.main.display(),
                self.paths.http().display(),
                self.paths.http().display()
            );
            return Err(BackendError::new(ErrorKind::InvalidInput, self.operation, message));
        };
        // Relative paths count from the directory of the main file, so the copy needs one that looks the same.
        let directory = self.main_directory();
        let own_name = directory.file_name().unwrap_or(OsStr::new("root"));
        let above = self.folder.join("tree");
        let beside = above.join(own_name);
        durable::directory(self.operation, &beside, 0o755)?;
        if let (true, Some(parent)) = (self.climbs, directory.parent()) {
            for path in self.entries(parent)? {
                if path.file_name() != Some(own_name) {
                    self.link(&path, &above)?;
                }
            }
        }
        let name = self.main.file_name().unwrap_or_default();
        for path in self.entries(self.main_directory())? {
            if path.file_name() != Some(name) {
                self.link(&path, &beside)?;
            }
        }
        let copy = beside.join(name);
        self.write(&copy, &main, self.main.to_owned())?;
        Ok((copy, self.copies))
    }

    fn main_directory(&self) -> &Path {
        self.main.parent().unwrap_or(Path::new("/"))
    }

    /// The text of a file with its includes led to copies; `None` if it does not lead to our file.
    fn rewritten(&mut self, path: &Path, depth: usize) -> Result<Option<String>, BackendError> {
        if depth > DEEPEST {
            return Ok(None);
        }
        // What cannot be read, nginx has better words for; and what is no file could keep this waiting for ever.
        if !path.is_file() {
            return Ok(None);
        }
        let Ok(text) = fs::read_to_string(path) else { return Ok(None) };
        self.climbs |= text.contains("../");
        let Ok(tree) = syntax::parse(&text) else { return Ok(None) };
        let mut found = false;
        let mut rewritten = String::with_capacity(text.len());
        let mut end = 0;
        for include in includes::of(&tree) {
            let mut instead = Vec::new();
            let mut leads = false;
            for file in includes::files(self.main_directory(), include.pattern) {
                let copy = self.copy(&file, depth)?;
                leads |= copy.is_some();
                instead.push(format!("include {};", copy.unwrap_or(file).display()));
            }
            if leads {
                found = true;
                rewritten.push_str(&text[end..include.at.start]);
                // In one line, so that numbers of lines stay true.
                rewritten.push_str(&instead.join(" "));
                end = include.at.end;
            }
        }
        rewritten.push_str(&text[end..]);
        Ok(found.then_some(rewritten))
    }

    /// The copy of a file that leads to ours.
    fn copy(&mut self, file: &Path, depth: usize) -> Result<Option<PathBuf>, BackendError> {
        if same(file, &self.paths.http()) {
            return Ok(Some(self.folder.join("http.conf")));
        }
        let Some(text) = self.rewritten(file, depth + 1)? else { return Ok(None) };
        let copy = self.folder.join(format!("copy-{}.conf", self.copies.len()));
        self.write(&copy, &text, file.to_owned())?;
        Ok(Some(copy))
    }

    fn write(&mut self, path: &Path, text: &str, original: PathBuf) -> Result<(), BackendError> {
        fs::write(path, text).map_err(|failed| error::file(self.operation, path, failed))?;
        self.copies.push((path.to_owned(), original));
        Ok(())
    }

    fn link(&self, path: &Path, into: &Path) -> Result<(), BackendError> {
        let link = into.join(path.file_name().unwrap_or_default());
        symlink(path, &link).map_err(|failed| error::file(self.operation, &link, failed))
    }

    fn entries(&self, directory: &Path) -> Result<Vec<PathBuf>, BackendError> {
        let read = || -> io::Result<Vec<PathBuf>> {
            fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect()
        };
        read().map_err(|failed| error::file(self.operation, directory, failed))
    }
}

fn same(one: &Path, other: &Path) -> bool {
    one == other || fs::canonicalize(one).ok().is_some_and(|one| fs::canonicalize(other).ok() == Some(one))
}
