//! The sites of an nginx that is there.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use deployer_core::error::{BackendError, ErrorKind};

use super::{
    content::{Site, is_ours, was_ours},
    entry::{Entry, Placed},
    names::SiteName,
};
use crate::{
    adopt::{Existing, HttpServer},
    durable, error,
    server::{FileLock, Server},
};

/// The sites of an nginx that is there, in the manner of Debian: files in one directory, links to them in another that
/// `http {}` includes.
///
/// Each call changes the files, lets nginx test all that it would load, reloads it, and puts everything back if nginx
/// refuses. What was killed in between is put back by the next call for that site. Files and links of others are never
/// touched.
#[derive(Debug, Clone)]
pub struct Sites {
    server: Server,
    available: PathBuf,
    enabled: PathBuf,
}

/// What became of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteReport {
    /// Whether something was changed; if not, nginx was not reloaded.
    pub changed: bool,
    /// Servers that end TLS for one of the names. They stay as they are; for their locations ask
    /// [`advise`](crate::adopt::advise).
    pub untouched: Vec<HttpServer>,
}

impl Sites {
    /// With files here and links there.
    pub fn new(server: Server, available: impl Into<PathBuf>, enabled: impl Into<PathBuf>) -> Self {
        Self { server, available: available.into(), enabled: enabled.into() }
    }

    /// In `/etc/nginx/sites-available` and `/etc/nginx/sites-enabled`.
    pub fn debian(server: Server) -> Self {
        Self::new(server, "/etc/nginx/sites-available", "/etc/nginx/sites-enabled")
    }

    /// Writes the site, links it, and lets nginx serve it.
    ///
    /// # Errors
    /// `InvalidInput` for a site that makes no sense, or if nginx does not include the links; `Conflict` if a file or
    /// link of that name is somebody else's or was edited, or another server has one of the names at the same address;
    /// `Unavailable` with nginx's own words if it refuses, and then all is as it was.
    ///
    /// # Idempotence
    /// Installing twice is installing once, and does not reload.
    pub async fn install(&self, site: &Site) -> Result<SiteReport, BackendError> {
        let operation = format!("install site {}", site.name);
        site.check().map_err(|problems| {
            BackendError::new(ErrorKind::InvalidInput, &operation, "it makes no sense").with_source(problems)
        })?;
        let _lock = self.begin(&operation, &site.name).await?;
        let (file, link) = (self.available.join(site.name.as_str()), self.enabled.join(site.name.as_str()));
        let text = site.text(self.server.paths());
        let present = Entry::read(&operation, &file)?;
        let free = match &present {
            Entry::Absent => true,
            Entry::File(present) => is_ours(present),
            Entry::Link(_) | Entry::Other => false,
        };
        if !free {
            let edited = matches!(&present, Entry::File(text) if was_ours(text));
            let why = if edited { "was edited by somebody else" } else { "is somebody else's" };
            let message = format!("{} {why}; move it away, or choose another name", file.display());
            return Err(BackendError::new(ErrorKind::Conflict, operation, message));
        }
        self.own_link(&operation, &link, &file)?;
        let wanted = [
            Placed { path: file.clone(), entry: Entry::File(text) },
            Placed { path: link.clone(), entry: Entry::Link(file.clone()) },
        ];
        let check = |existing: &Existing| self.serves(&operation, existing, site, &link);
        self.change(&operation, &site.name, &wanted, check).await
    }

    /// Links a file that somebody else has written, such as the generator of a framework, and lets nginx serve it.
    ///
    /// # Errors
    /// As for [`install`](Self::install); `NotFound` if there is no such file.
    ///
    /// # Idempotence
    /// Linking twice is linking once. Where the file itself has changed since, nginx is not reloaded for it: that is
    /// for [`Server::reload`].
    pub async fn link(&self, name: &SiteName, file: &Path) -> Result<SiteReport, BackendError> {
        let operation = format!("link site {name}");
        if !file.is_absolute() || crate::settings::unusable(file).is_some() {
            let message = format!("{} is no absolute path that nginx can take", file.display());
            return Err(BackendError::new(ErrorKind::InvalidInput, operation, message));
        }
        fs::File::open(file).map_err(|failed| error::file(&operation, file, failed))?;
        let _lock = self.begin(&operation, name).await?;
        let link = self.enabled.join(name.as_str());
        self.own_link(&operation, &link, file)?;
        let wanted = [Placed { path: link.clone(), entry: Entry::Link(file.to_owned()) }];
        let check = |existing: &Existing| self.is_included(&operation, existing, &link).map(|()| Vec::new());
        self.change(&operation, name, &wanted, check).await
    }

    /// Takes the link of a site away, and its file if that is ours, and lets nginx forget it.
    ///
    /// # Errors
    /// `Conflict` if there is something else than a link; `Unavailable` with nginx's own words if it refuses to go on
    /// without the site, and then all is as it was.
    ///
    /// # Idempotence
    /// Removing twice is removing once.
    pub async fn remove(&self, name: &SiteName) -> Result<SiteReport, BackendError> {
        let operation = format!("remove site {name}");
        let _lock = self.begin(&operation, name).await?;
        let (file, link) = (self.available.join(name.as_str()), self.enabled.join(name.as_str()));
        if matches!(Entry::read(&operation, &link)?, Entry::File(_) | Entry::Other) {
            let message = format!("{} is no link, and was not made here; remove it by hand", link.display());
            return Err(BackendError::new(ErrorKind::Conflict, operation, message));
        }
        let mut wanted = vec![Placed { path: link, entry: Entry::Absent }];
        if matches!(Entry::read(&operation, &file)?, Entry::File(text) if is_ours(&text)) {
            wanted.push(Placed { path: file, entry: Entry::Absent });
        }
        self.change(&operation, name, &wanted, |_| Ok(Vec::new())).await
    }

    /// One at a time; what somebody was killed at is put back first.
    async fn begin(&self, operation: &str, name: &SiteName) -> Result<FileLock, BackendError> {
        self.server.prepare()?;
        let (paths, limit) = (self.server.paths(), self.server.settings().reload_deadline);
        let lock = FileLock::take(operation, &paths.sites_lock(), limit).await?;
        let pending = paths.pending_site(name);
        let before: Vec<Placed> = match fs::read(&pending) {
            Err(failed) if failed.kind() == io::ErrorKind::NotFound => return Ok(lock),
            result => {
                let bytes = result.map_err(|failed| error::file(operation, &pending, failed))?;
                serde_json::from_slice(&bytes).map_err(|damaged| {
                    let message =
                        format!("{} is damaged; look at the site, then remove it", pending.display());
                    BackendError::new(ErrorKind::Unexpected, operation, message).with_source(damaged)
                })?
            }
        };
        for placed in before.iter().rev() {
            placed.place(operation)?;
        }
        durable::remove(operation, &pending)?;
        Ok(lock)
    }

    fn own_link(&self, operation: &str, link: &Path, file: &Path) -> Result<(), BackendError> {
        match Entry::read(operation, link)? {
            Entry::Absent => Ok(()),
            Entry::Link(to) if self.enabled.join(&to) == file => Ok(()),
            Entry::Link(to) => {
                let message = format!("{} links to {}; choose another name", link.display(), to.display());
                Err(BackendError::new(ErrorKind::Conflict, operation, message))
            }
            Entry::File(_) | Entry::Other => {
                let message = format!("{} is no link; move it away, or choose another name", link.display());
                Err(BackendError::new(ErrorKind::Conflict, operation, message))
            }
        }
    }

    /// Makes it so, or leaves all as it was.
    async fn change(
        &self,
        operation: &str,
        name: &SiteName,
        wanted: &[Placed],
        check: impl Fn(&Existing) -> Result<Vec<HttpServer>, BackendError>,
    ) -> Result<SiteReport, BackendError> {
        let before: Vec<Placed> =
            wanted.iter().map(|placed| Placed::now(operation, &placed.path)).collect::<Result<_, _>>()?;
        if before == wanted {
            let untouched = check(&Existing::of(&self.server).await?)?;
            return Ok(SiteReport { changed: false, untouched });
        }
        let pending = self.server.paths().pending_site(name);
        let text = serde_json::to_vec(&before).map_err(|failed| {
            BackendError::new(ErrorKind::Unexpected, operation, "paths are no text").with_source(failed)
        })?;
        durable::replace(operation, &pending, &text)?;
        let result = self.try_change(wanted, check, operation).await;
        if let Err(failed) = &result {
            for placed in before.iter().rev() {
                placed.place(operation)?;
            }
            // Nobody knows which configuration runs; if this, too, takes too long, the first error says so.
            if failed.kind == ErrorKind::TimedOut {
                let _ = self.server.reload().await;
            }
        }
        durable::remove(operation, &pending)?;
        let untouched = result?;
        Ok(SiteReport { changed: true, untouched })
    }

    async fn try_change(
        &self,
        wanted: &[Placed],
        check: impl Fn(&Existing) -> Result<Vec<HttpServer>, BackendError>,
        operation: &str,
    ) -> Result<Vec<HttpServer>, BackendError> {
        for placed in wanted {
            placed.place(operation)?;
        }
        // nginx reads everything for this as for a test.
        let untouched = check(&Existing::of(&self.server).await?)?;
        self.server.reload().await?;
        Ok(untouched)
    }

    /// That nginx reads the link, and that nobody else has its names; who ends TLS for them.
    fn serves(
        &self,
        operation: &str,
        existing: &Existing,
        site: &Site,
        link: &Path,
    ) -> Result<Vec<HttpServer>, BackendError> {
        self.is_included(operation, existing, link)?;
        let shares_name =
            |server: &HttpServer| site.server_names.iter().any(|name| server.is_for(name.as_str()));
        let others: Vec<_> = existing
            .servers()
            .into_iter()
            .filter(|server| server.place.file.as_path() != link && shares_name(server))
            .collect();
        let same_address = |server: &&HttpServer| {
            server.listens.iter().any(|listen| site.listen.iter().any(|own| listen.parse() == Ok(*own)))
        };
        // nginx would only warn, and go on without one of them.
        if let Some(other) = others.iter().find(same_address) {
            let message = format!(
                "{} answers to one of its names at the same address; take that name away there or here",
                other.place
            );
            return Err(BackendError::new(ErrorKind::Conflict, operation, message));
        }
        Ok(others.into_iter().filter(|server| server.tls).collect())
    }

    fn is_included(&self, operation: &str, existing: &Existing, link: &Path) -> Result<(), BackendError> {
        if existing.reads(link) {
            return Ok(());
        }
        let message = format!(
            "{} does not include {}; add `include {}/*;` to its http block",
            self.server.settings().main_config.display(),
            link.display(),
            self.enabled.display()
        );
        Err(BackendError::new(ErrorKind::InvalidInput, operation, message))
    }
}
