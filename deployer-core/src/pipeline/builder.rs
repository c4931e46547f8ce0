//! Describing a pipeline.

use std::{collections::BTreeSet, fmt};

use super::Stage;
use crate::{
    engine::{Base, Deployment, DeploymentBuilder, StageParts, StageWork, base_setters, check_engine},
    error::{DeployError, Problem},
    model::{DeploymentId, StageId, WorkloadId},
};

/// Where a pipeline is described.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use deployer_core::{
/// #     engine::Deployment, journal::FileJournal, lock::FileLock, model::Release, pipeline::{Hook, Pipeline, Stage},
/// #     ports::{Target, TrafficRouter}, strategy::Rolling,
/// # };
/// # async fn deploy(
/// #     target: Arc<dyn Target>, proxy: Arc<dyn TrafficRouter>, api: Release, web: Release,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let rollout = |workload, release| {
///     let rollout = Deployment::builder(workload).release(release).replicas(2).strategy(Rolling::default());
///     rollout.target(target.clone()).router(proxy.clone())
/// };
/// let deployment = Pipeline::builder("shop")
///     .stage(Stage::of("migrate", Hook::new("/srv/migrate").arg("up")).no_undo().repeatable())
///     .rollout("api", rollout("api", api))
///     .rollout("web", rollout("web", web)) // both, or back
///     .journal(FileJournal::open("state")?)
///     .lock(FileLock::open("state")?)
///     .build()?;
/// println!("{}", deployment.run().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Pipeline;

impl Pipeline {
    /// Begins to describe a pipeline. Its name is the beginning of those of its deployments.
    pub fn builder(name: impl TryInto<DeploymentId, Error: fmt::Display>) -> PipelineBuilder {
        let mut builder =
            PipelineBuilder { name: None, workloads: Vec::new(), items: Vec::new(), base: Base::default() };
        builder.name = builder.base.name("pipeline", name);
        builder
    }
}

/// Describes a pipeline: its stages in order, and what they work with.
#[derive(Debug)]
#[must_use = "nothing happens before `build` and `run`"]
pub struct PipelineBuilder {
    name: Option<DeploymentId>,
    /// Those that no rollout names.
    workloads: Vec<WorkloadId>,
    items: Vec<Item>,
    base: Base,
}

#[derive(Debug)]
enum Item {
    Stage(Box<Stage>),
    Rollout(Option<StageId>, Box<DeploymentBuilder>),
}

impl PipelineBuilder {
    /// Adds a stage.
    pub fn stage(mut self, stage: Stage) -> Self {
        self.items.push(Item::Stage(Box::new(stage)));
        self
    }

    /// Adds a stage of this name that puts a release live. If a later stage fails it is rolled back. Journal, lock, clock,
    /// name and patience are those of the pipeline.
    pub fn rollout(
        mut self,
        id: impl TryInto<StageId, Error: fmt::Display>,
        rollout: DeploymentBuilder,
    ) -> Self {
        let id = self.base.name("stage", id);
        self.items.push(Item::Rollout(id, Box::new(rollout)));
        self
    }

    /// Locks this workload too, though no rollout puts it live: a database that is migrated, for instance.
    pub fn workload(mut self, workload: impl TryInto<WorkloadId, Error: fmt::Display>) -> Self {
        let workload = self.base.name("workload", workload);
        self.workloads.extend(workload);
        self
    }

    base_setters!();

    /// Checks everything, against the capabilities of targets and routers too. Touches nothing.
    ///
    /// # Errors
    /// [`DeployError::Refused`] with all problems at once.
    pub fn build(mut self) -> Result<Deployment, DeployError> {
        let tools = self.base.tools();
        let mut problems = std::mem::take(&mut self.base.problems);
        problems.extend(check_engine(&self.base.engine));
        let mut stages = Vec::new();
        for item in self.items {
            match item {
                Item::Stage(mut stage) => {
                    problems.append(&mut stage.problems);
                    let id = stage.id.clone();
                    let at = id.as_ref().map_or("unnamed", StageId::as_str);
                    problems.extend(stage.found().into_iter().map(|problem| within(at, problem)));
                    stages.extend(id.map(|id| StageParts { id, work: StageWork::Custom(*stage) }));
                }
                Item::Rollout(id, rollout) => {
                    let mut found = told(&rollout);
                    let parts = rollout.into_rollout(&tools).map_err(|more| found.extend(more)).ok();
                    let at = id.as_ref().map_or("rollout", StageId::as_str);
                    problems.extend(found.into_iter().map(|problem| within(at, problem)));
                    let work = |(id, parts)| StageParts { id, work: StageWork::Rollout(Box::new(parts)) };
                    stages.extend(id.zip(parts).map(work));
                }
            }
        }
        problems.extend(order(&stages, self.workloads.is_empty()));
        let Some(name) = self.name.filter(|_| problems.is_empty()) else {
            return Err(DeployError::Refused(problems));
        };
        self.base.deployment(&[name.as_str()], tools, self.workloads, stages)
    }
}

/// What a rollout was told that is for the pipeline to say.
fn told(rollout: &DeploymentBuilder) -> Vec<Problem> {
    let told = rollout.base.told.iter();
    told.map(|what| Problem::new(*what, "inside of a pipeline it is the pipeline that says this")).collect()
}

fn within(stage: &str, problem: Problem) -> Problem {
    Problem { at: format!("stage {stage}: {}", problem.at), ..problem }
}

/// What is wrong with the stages beside each other.
fn order(stages: &[StageParts], locks_no_other: bool) -> Vec<Problem> {
    let mut found = Vec::new();
    let (mut names, mut workloads) = (BTreeSet::new(), BTreeSet::new());
    let mut backed_up = false;
    for StageParts { id, work } in stages {
        if !names.insert(id) {
            found.push(Problem::new(format!("stage {id}"), "two stages have this name; give each its own"));
        }
        match work {
            StageWork::Rollout(rollout) if !workloads.insert(&rollout.workload) => {
                let why = format!("{} is deployed twice; use two deployments", rollout.workload);
                found.push(Problem::new(format!("stage {id}"), why));
            }
            StageWork::Rollout(_) => {}
            StageWork::Custom(stage) if stage.destructive && !backed_up => {
                let why = "it destroys data, and no backup comes before it; put `Stage::backup` before it";
                found.push(Problem::new(format!("stage {id}"), why));
            }
            StageWork::Custom(stage) => backed_up |= stage.makes_backup,
        }
    }
    if workloads.is_empty() && locks_no_other {
        let why = "it is about no workload, so nothing can be locked; add a rollout, or name a workload";
        found.push(Problem::new("pipeline", why));
    }
    found
}
