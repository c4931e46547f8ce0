//! A backup as a stage: made, verified, and known to later stages.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;

use super::{Stage, StageContext, StageError, Work};
use crate::{
    engine::IntoShared,
    error::{Problem, Problems},
    model::{BackupKey, StageId},
    ports::{Backup, BackupProvider, BackupRequest, CallContext, VerifyLevel},
};

/// How long a backup and its verification may take: databases are large.
const DEADLINE: Duration = Duration::from_secs(6 * 60 * 60);

struct BackupWork {
    provider: Arc<dyn BackupProvider>,
    level: VerifyLevel,
}

impl Stage {
    /// A stage that makes a backup and verifies it to this level; it gives the [`Backup`] to later stages. It succeeds
    /// only with a backup that is durable and [proven](VerifyLevel::is_proof) good, so stages that
    /// [destroy data](Stage::destructive) may follow it. Its deadline is 6 hours unless another is set.
    ///
    /// The backup is made once for each deployment, however often that is resumed, and it is kept when the deployment is
    /// undone: removing it is for retention.
    pub fn backup(
        id: impl TryInto<StageId, Error: fmt::Display>,
        provider: impl IntoShared<dyn BackupProvider>,
        level: VerifyLevel,
    ) -> Stage {
        let work = BackupWork { provider: provider.into_shared(), level };
        let mut stage = Self::of(id, work).no_undo().repeatable().deadline(DEADLINE);
        stage.makes_backup = true;
        stage
    }
}

impl BackupWork {
    async fn make(&self, context: &StageContext, call: &CallContext) -> Result<Backup, StageError> {
        let found = self.provider.preflight(call).await?;
        if !found.is_ready() {
            return Err(StageError::from(Problems(found.problems)).context("no backup can be made now"));
        }
        let request = BackupRequest {
            key: BackupKey::new(context.key())?,
            reason: format!("before {}", context.deployment()),
        };
        let backup = self.provider.create(call, &request).await?;
        context.note(format!("backup {} is made: {} bytes", backup.key, backup.bytes));
        let backup = self.provider.verify(call, &backup, self.level).await?;
        if backup.verified.is_none_or(|level| level < self.level) {
            let why = format!("backup {} was not verified as asked: {:?}", backup.key, backup.verified);
            return Err(StageError::new(why));
        }
        Ok(backup)
    }
}

#[async_trait]
impl Work for BackupWork {
    async fn run(&self, context: StageContext) -> Result<Value, StageError> {
        let workload = context.workloads().first().ok_or_else(|| StageError::new("there is no workload"))?;
        let call = CallContext { deadline: DEADLINE, ..context.call_context(workload) };
        tokio::select! {
            made = self.make(&context, &call) => Ok(serde_json::to_value(made?)?),
            () = context.asked_to_stop() => Err(StageError::new("a person asked to stop before it was complete")),
        }
    }

    fn describe(&self) -> String {
        format!("backup, verified to level {:?}", self.level).to_lowercase()
    }

    fn problems(&self) -> Vec<Problem> {
        let why = "a backup that merely exists proves nothing; use at least `VerifyLevel::Checksum`";
        if self.level.is_proof() { Vec::new() } else { vec![Problem::new("level", why)] }
    }
}
