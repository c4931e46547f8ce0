//! Stages of one's own, whose effects can be crashed like those of ports.
//!
//! They change files: a schema that is migrated and backed up before, and a mail that may be sent only once.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use deployer::{
    backups::FileBackup,
    pipeline::{Stage, StageError},
    ports::VerifyLevel,
};
use deployer_testkit::inject::{After, Before, Injector, PortCall, PortKind};
use parking_lot::Mutex;

/// Tells which releases run.
type Look = Arc<dyn Fn() -> String + Send + Sync>;

/// What the stages of one run work with.
#[derive(Clone)]
pub(crate) struct Works {
    injector: Arc<dyn Injector>,
    directory: PathBuf,
    look: Look,
    numbers: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

/// What the stages have done, whoever ran them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Did {
    /// What was done, and which releases ran then; what was done again at once stands here once.
    order: Vec<String>,
    mails: usize,
    schema: String,
    backups: Vec<String>,
}

impl fmt::Debug for Works {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Works").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Works {
    /// `look` says which releases run whenever something is done.
    pub(crate) fn new(
        injector: Arc<dyn Injector>,
        directory: &Path,
        look: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        Self { injector, directory: directory.to_owned(), look: Arc::new(look), numbers: Arc::default() }
    }

    /// The schema is the old one, and nothing has been done.
    pub(crate) fn furnish(directory: &Path) {
        fs::write(directory.join("schema"), "old").unwrap();
    }

    /// A backup of the schema.
    pub(crate) fn backup(&self) -> Stage {
        let source = self.directory.join("schema");
        let backup = FileBackup::new("shop/schema", source, self.directory.join("store")).unwrap();
        Stage::backup("backup", backup, VerifyLevel::Checksum)
    }

    /// Gives the schema another form, which can be taken back.
    pub(crate) fn migrate(&self) -> Stage {
        let (here, back) = (self.clone(), self.clone());
        Stage::new("migrate", move |_| here.clone().act("stage", "migrate", |at| write(at, "schema", "new")))
            .undo(move |_| back.clone().act("undo", "migrate", |at| write(at, "schema", "old")))
            .repeatable()
            .destructive()
    }

    /// Sends a mail, which cannot be taken back, and can be seen to have been sent.
    pub(crate) fn mail(&self) -> Stage {
        let (here, place) = (self.clone(), self.directory.clone());
        let send = move |_| here.clone().act("stage", "mail", |at| add(at, "mails", "sent"));
        Stage::new("mail", send).no_undo().done_if(move |_| {
            let is_sent = place.join("mails").exists();
            async move { Ok(is_sent.then_some(())) }
        })
    }

    /// Sends a mail again after a crash, whether it was sent or not: a mistake, for tests of the matrix itself.
    pub(crate) fn mail_carelessly(&self) -> Stage {
        let here = self.clone();
        let send = move |_| here.clone().act("stage", "mail", |at| add(at, "mails", "sent"));
        Stage::new("mail", send).no_undo().repeatable()
    }

    /// The last stage, which fails half done if it is to.
    pub(crate) fn last(&self, fails: bool) -> Stage {
        let (here, back) = (self.clone(), self.clone());
        let act = move |_| {
            let done = here.clone().act("stage", "last", |_| ());
            async move {
                done.await?;
                if fails { Err(StageError::new("as planned")) } else { Ok(()) }
            }
        };
        Stage::new("last", act).undo(move |_| back.clone().act("undo", "last", |_| ())).repeatable()
    }

    /// Does something, unless it is crashed before or in it.
    async fn act(
        self,
        operation: &'static str,
        what: &'static str,
        effect: impl FnOnce(&Path) + Send,
    ) -> Result<(), StageError> {
        let number = {
            let mut numbers = self.numbers.lock();
            let number = numbers.entry(operation).or_default();
            *number += 1;
            *number
        };
        let call = PortCall { port: PortKind::Stage, operation, number, about: what.to_owned() };
        if self.injector.before(&call).await == Before::Hang {
            std::future::pending::<()>().await;
        }
        effect(&self.directory);
        add(&self.directory, "did", &format!("{operation} {what}, {}", (self.look)()));
        if self.injector.after(&call).await == After::Hang {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

impl Did {
    /// Looks into the files.
    pub(crate) fn read(directory: &Path) -> Self {
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        let mut order: Vec<String> = read("did").lines().map(str::to_owned).collect();
        order.dedup();
        let store = fs::read_dir(directory.join("store")).into_iter().flatten();
        let mut backups: Vec<_> =
            store.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        // What is half done has a name too, so only the lock is left out.
        backups.retain(|name| name != ".lock");
        backups.sort();
        Self { order, mails: read("mails").lines().count(), schema: read("schema"), backups }
    }

    /// The same in words that are those of every deployment, not of this one.
    pub(crate) fn read_of(directory: &Path, deployment: &str) -> Self {
        let mut did = Self::read(directory);
        for backup in &mut did.backups {
            *backup = backup.replace(deployment, "it");
        }
        did
    }

    /// What is wrong however it came about.
    pub(crate) fn problems(&self, is_forward: bool) -> Vec<String> {
        let schema = if is_forward { "new" } else { "old" };
        let mut problems = Vec::new();
        if self.schema != schema {
            problems.push(format!("the schema is {}", self.schema));
        }
        if self.mails > 1 {
            problems.push(format!("{} mails were sent", self.mails));
        }
        if self.backups.len() != 1 {
            problems.push(format!("backups: {:?}", self.backups));
        }
        problems
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).unwrap();
}

fn add(directory: &Path, name: &str, line: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(directory.join(name)).unwrap();
    // In one piece, whatever becomes of this process.
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}
