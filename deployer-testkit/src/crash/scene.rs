//! What is crashed.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use deployer_core::{
    engine::Deployment, error::DeployError, model::WorkloadId, ports::Journal, strategy::Outcome,
};

use crate::inject::Injector;

/// One world with one deployment to be crashed in it. An [`Explorer`](super::Explorer) makes a new one for each run.
#[async_trait]
pub trait CrashScene: Send + Sync {
    /// What has to be the same in the end, whether there was a crash or not.
    type End: PartialEq + fmt::Debug + Send + Sync;

    /// The deployment, with this injector around target, router, journal and lock. Always of the same plan, over the same
    /// journal and world, and with an id of its own: then one that has ended is refused, which shows that it has ended.
    ///
    /// # Errors
    /// It cannot be built.
    fn deployment(&self, injector: Arc<dyn Injector>) -> Result<Deployment, DeployError>;

    /// Its journal, without an injector.
    fn journal(&self) -> Arc<dyn Journal>;

    /// What is deployed.
    fn workload(&self) -> WorkloadId;

    /// What happens between a crash and the next start: nothing, or time passes.
    async fn between(&self);

    /// How the world is at the end of a deployment whose journal says that it ended so.
    async fn end(&self, outcome: &Outcome) -> Self::End;

    /// All that is wrong with the world at the end, whatever the end is: what is left over, who was hurt on the way.
    async fn problems(&self) -> Vec<String>;
}
