//! A whole configuration, with all its files.

use std::{
    io,
    path::{Path, PathBuf},
};

use deployer_core::error::{BackendError, ErrorKind};

use super::{
    files::Files,
    http_server::HttpServer,
    service::{Service, services},
    tree::{self, Placed},
};
use crate::server::Server;

const OPERATION: &str = "read the configuration of nginx";

/// Files in files; nginx itself has no limit, and a file that includes itself has no end.
const DEEPEST: usize = 32;

/// A whole nginx configuration, with all that it includes put in its place.
#[derive(Debug, Clone)]
pub struct Existing {
    directives: Vec<Placed>,
    files: Vec<PathBuf>,
}

impl Existing {
    /// What nginx itself says it would load now (`nginx -T`). It sees what its user may see.
    ///
    /// # Errors
    /// `Unavailable` with nginx's own words if it refuses the configuration.
    pub async fn of(server: &Server) -> Result<Self, BackendError> {
        Self::from_dump(&server.configuration().await?)
    }

    /// What `nginx -T` printed.
    ///
    /// # Errors
    /// `InvalidInput` if it is no such text.
    pub fn from_dump(dump: &str) -> Result<Self, BackendError> {
        let files = Files::of_dump(dump).ok_or_else(|| {
            let message = "no file is named in it; give what `nginx -T` prints on its standard output";
            BackendError::new(ErrorKind::InvalidInput, OPERATION, message)
        })?;
        Self::load(files)
    }

    /// The files from this main one on, as far as this user may read them.
    ///
    /// # Errors
    /// One is not there, may not be read, or is no configuration; the message says which and where.
    pub fn read(main: &Path) -> Result<Self, BackendError> {
        Self::load(Files::of_disk(main))
    }

    /// All `server` blocks for HTTP.
    pub fn servers(&self) -> Vec<HttpServer> {
        let servers = self.https().flat_map(|http| http.all("server"));
        servers.map(HttpServer::of).collect()
    }

    /// The servers that end TLS. They stay as they are: what is behind them can be adopted, and they go on holding the
    /// certificates.
    pub fn tls_servers(&self) -> Vec<HttpServer> {
        self.servers().into_iter().filter(|server| server.tls).collect()
    }

    /// Everything that requests are passed on to, in the order of the configuration.
    pub fn services(&self) -> Vec<Service> {
        self.https().flat_map(services).collect()
    }

    /// Whether this file is read, or what it links to under this name.
    pub fn reads(&self, file: &Path) -> bool {
        self.files.iter().any(|path| path == file)
    }

    /// The `http` blocks: one, unless somebody is very creative.
    pub(super) fn https(&self) -> impl Iterator<Item = &Placed> {
        self.directives.iter().filter(|directive| directive.name == "http")
    }

    /// All directives, outermost first, includes replaced by what they include; each included file is preceded by its
    /// `include`, without a block.
    pub fn directives(&self) -> &[Placed] {
        &self.directives
    }

    fn load(mut files: Files) -> Result<Self, BackendError> {
        let main = files.main().to_owned();
        let directives = read(&mut files, &main, 0)?;
        Ok(Self { directives, files: files.paths() })
    }
}

fn read(files: &mut Files, path: &Path, depth: usize) -> Result<Vec<Placed>, BackendError> {
    let shown = path.display();
    if depth > DEEPEST {
        let message = format!("{shown} is included by a file that it includes");
        return Err(BackendError::new(ErrorKind::InvalidInput, OPERATION, message));
    }
    let text = files.text(path).map_err(|error| unreadable(path, error))?;
    let directives = tree::read(path, text).map_err(|error| {
        let message = format!("{shown} is no configuration");
        BackendError::new(ErrorKind::InvalidInput, OPERATION, message).with_source(error)
    })?;
    expand(files, directives, depth)
}

fn expand(files: &mut Files, directives: Vec<Placed>, depth: usize) -> Result<Vec<Placed>, BackendError> {
    let mut expanded = Vec::with_capacity(directives.len());
    for mut directive in directives {
        if let Some(block) = directive.block.take() {
            directive.block = Some(expand(files, block, depth)?);
        }
        let included = match (directive.name.as_str(), directive.arguments.as_slice()) {
            ("include", [pattern]) => {
                let place = directive.place.to_string();
                files.matching(pattern).map_err(|error| unreadable(Path::new(&place), error))?
            }
            _ => Vec::new(),
        };
        expanded.push(directive);
        for path in included {
            expanded.extend(read(files, &path, depth + 1)?);
        }
    }
    Ok(expanded)
}

fn unreadable(path: &Path, error: io::Error) -> BackendError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        _ => ErrorKind::Unexpected,
    };
    BackendError::new(kind, OPERATION, format!("{} cannot be read", path.display())).with_source(error)
}
