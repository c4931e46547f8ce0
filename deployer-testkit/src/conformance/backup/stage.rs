//! One check of a backup provider with data and backups of its own.

use std::sync::Arc;

use deployer_core::{
    error::BackendError,
    model::{BackupKey, DeploymentId},
    ports::{
        Backup, BackupProvider, BackupRequest, CallContext, Confirmation, RestorePlace, RestoreReport,
        RestoreTo, VerifyLevel,
    },
};

use super::rig::{BackupRig, BackupStand};
use crate::conformance::{
    check::{Check, Checked, Note, Suite, ensure, not_applicable},
    scope,
};

/// What a restore is asked for, rightly or not.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) deployment: DeploymentId,
    pub(super) backup: Backup,
    pub(super) to: RestoreTo,
    pub(super) confirmed: BackupKey,
}

impl Ask {
    /// A restore on behalf of a deployment that never restored anything, with the right confirmation.
    pub(super) fn new(backup: &Backup, to: RestoreTo) -> Self {
        let (backup, confirmed) = (backup.clone(), backup.key.clone());
        Self { deployment: scope::fresh_deployment(), backup, to, confirmed }
    }
}

/// One check of a backup provider with data and backups of its own.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) stand: Arc<dyn BackupStand>,
    pub(super) provider: Arc<dyn BackupProvider>,
    pub(super) context: CallContext,
}

/// Runs one check at a stage of its own, and cleans up behind it.
pub(super) async fn on<N: Note>(
    suite: &mut Suite,
    rig: &dyn BackupRig,
    check: Check,
    body: impl AsyncFnOnce(&Stage) -> Checked<N>,
) {
    let stand = rig.stand().await;
    let context = scope::context(&scope::fresh_workload(), 1, rig.patience());
    let stage = Stage { provider: stand.provider(), stand, context };
    suite.run(check, body(&stage)).await;
    stage.stand.clean_up().await;
}

impl Stage {
    pub(super) async fn works<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, BackendError>>,
    ) -> Checked<T> {
        scope::works(what, self.context.deadline, call).await
    }

    pub(super) async fn answer<T>(&self, what: &str, call: impl Future<Output = T>) -> Checked<T> {
        scope::within(what, self.context.deadline, call).await
    }

    /// A backup that has to succeed.
    pub(super) async fn create(&self, text: &str) -> Checked<Backup> {
        self.works("create", self.provider.create(&self.context, &request(text))).await
    }

    /// Backups of data that differs from each to the next, oldest first.
    pub(super) async fn create_all(&self, texts: &[&str]) -> Checked<Vec<Backup>> {
        let mut made = Vec::new();
        for text in texts {
            made.push(self.create(text).await?);
            self.stand.change().await;
        }
        Ok(made)
    }

    pub(super) async fn list(&self) -> Checked<Vec<Backup>> {
        self.works("list", self.provider.list(&self.context)).await
    }

    /// How a backup is recorded now, if it is.
    pub(super) async fn listed(&self, backup: &Backup) -> Checked<Option<Backup>> {
        Ok(self.list().await?.into_iter().find(|listed| listed.key == backup.key))
    }

    /// A look that has to find everything well.
    pub(super) async fn verify(&self, backup: &Backup, level: VerifyLevel) -> Checked<Backup> {
        self.works("verify", self.provider.verify(&self.context, backup, level)).await
    }

    pub(super) async fn prune(&self, keep: u32, referenced: &[BackupKey]) -> Checked<Vec<Backup>> {
        self.works("prune", self.provider.prune(&self.context, keep, referenced)).await
    }

    pub(super) async fn restore(&self, ask: &Ask) -> Checked<Result<RestoreReport, BackendError>> {
        let context = CallContext { deployment: ask.deployment.clone(), ..self.context.clone() };
        let confirmation = Confirmation { key: ask.confirmed.clone() };
        let call = self.provider.restore(&context, &ask.backup, &ask.to, &confirmation);
        self.answer("restore", call).await
    }

    /// Looks that a restore fails and leaves everything as it is: live data, and the place that it was for.
    pub(super) async fn refuses(&self, why: &str, ask: &Ask) -> Checked<BackendError> {
        let place = match &ask.to {
            RestoreTo::New(place) => Some(place),
            RestoreTo::Live => None,
        };
        let (live, at_place) = (self.stand.live().await, self.content(place).await);
        let answer = self.restore(ask).await?;
        let same = self.stand.live().await == live;
        ensure(same, || format!("{why}: live data changed"), "live data as before, byte for byte")?;
        let same = self.content(place).await == at_place;
        ensure(same, || format!("{why}: the place changed"), "the place as before, byte for byte")?;
        match answer {
            Err(error) => Ok(error),
            Ok(report) => Err(crate::conformance::check::failed(format!("{why}: {report:?}"), "an error")),
        }
    }

    pub(super) async fn content(&self, place: Option<&RestorePlace>) -> Option<Vec<u8>> {
        match place {
            Some(place) => self.stand.content(place).await,
            None => None,
        }
    }

    /// Goes on only where a restore can take the place of live data.
    pub(super) fn needs_live(&self) -> Checked {
        let none = || not_applicable("this provider cannot restore in the place of live data");
        if self.stand.restores_live() { Ok(()) } else { Err(none()) }
    }
}

pub(super) fn key(text: &str) -> BackupKey {
    BackupKey::new(text).expect("the suite has short keys of letters and digits")
}

pub(super) fn request(text: &str) -> BackupRequest {
    BackupRequest { key: key(text), reason: "conformance".to_owned() }
}

pub(super) fn keys(backups: &[Backup]) -> Vec<&str> {
    backups.iter().map(|backup| backup.key.as_str()).collect()
}

/// What identifies a backup, whatever became of its verification.
pub(super) fn unverified(backup: &Backup) -> Backup {
    Backup { verified: None, ..backup.clone() }
}
