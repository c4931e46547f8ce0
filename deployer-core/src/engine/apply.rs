//! Carrying out commands.

use std::{collections::BTreeMap, future::Future, time::Duration};

use futures::future::join_all;
use tracing::Instrument as _;

use super::{
    Recorder,
    call::{retried, within},
    gates::ask,
    memory::Memory,
    parts::{KnownReleases, RolloutParts},
};
use crate::{
    error::{BackendError, ErrorKind},
    event::EventKind,
    model::{Artifact, GateId, PinnedRelease, Release, ReleaseId, SetId, SetSpec, Split},
    ports::{CallContext, GateAnswer, GateWindow, Result},
    strategy::{Command, Plan, RolloutState},
};

/// How one command ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The backend took it.
    Accepted,
    /// A release is resolved.
    Prepared(ReleaseId, Artifact),
    /// A gate answered.
    Answered(GateId, GateAnswer),
    /// The backend refused it for good, or nothing is known: [`Retry`](crate::error::Retry) says which.
    Failed(BackendError),
}

/// Everything that commands are carried out with.
#[derive(Debug)]
pub(super) struct Hands<'a> {
    pub(super) parts: &'a RolloutParts,
    pub(super) context: &'a CallContext,
    pub(super) recorder: &'a Recorder,
    pub(super) plan: &'a Plan,
    pub(super) state: &'a RolloutState,
    pub(super) known: &'a KnownReleases,
    pub(super) memory: &'a Memory,
    pub(super) windows: BTreeMap<GateId, GateWindow>,
}

impl Hands<'_> {
    /// Carries out commands side by side; each is safe without the others.
    pub(super) async fn carry_out(&self, commands: &[Command]) -> Vec<Ended> {
        join_all(commands.iter().map(|command| {
            let span = tracing::info_span!("command", command = %command);
            self.one(command).instrument(span)
        }))
        .await
    }

    async fn one(&self, command: &Command) -> Ended {
        let done = match command {
            Command::Prepare(release) => self.prepare(command, release).await,
            Command::Apply(spec) => self.apply(command, spec).await,
            Command::Shift(split) => self.shift(command, split).await,
            Command::Remove(set) => self
                .call(command, self.parts.tools.engine.call_deadline, |context| async move {
                    self.parts.target.remove(&context, set).await
                })
                .await
                .map(|()| Ended::Accepted),
            Command::Evaluate(gate) => self.evaluate(gate).await,
        };
        done.unwrap_or_else(|error| {
            let report = error.report();
            tracing::warn!(error = %self.parts.tools.redactor.text(&report), "a command failed");
            Ended::Failed(error)
        })
    }

    async fn prepare(&self, command: &Command, release: &ReleaseId) -> Result<Ended> {
        let release = self.release(command, release)?;
        let artifact = self
            .call(command, self.parts.tools.engine.prepare_deadline, |context| async move {
                self.parts.target.prepare(&context, release).await
            })
            .await?;
        Ok(Ended::Prepared(release.id.clone(), artifact))
    }

    async fn apply(&self, command: &Command, spec: &SetSpec) -> Result<Ended> {
        let pinned = self.pinned(command, &spec.set)?;
        self.call(command, self.parts.tools.engine.call_deadline, |context| {
            let pinned = &pinned;
            async move { self.parts.target.apply(&context, pinned, spec).await }
        })
        .await?;
        Ok(Ended::Accepted)
    }

    async fn shift(&self, command: &Command, split: &Split) -> Result<Ended> {
        let Some(router) = &self.parts.router else {
            return Err(impossible(command, "this deployment has no traffic router"));
        };
        self.call(command, self.parts.tools.engine.call_deadline, |context| async move {
            router.apply(&context, split).await
        })
        .await?;
        Ok(Ended::Accepted)
    }

    async fn evaluate(&self, gate: &GateId) -> Result<Ended> {
        let Some(window) = self.windows.get(gate) else {
            let why = format!("this deployment has no gate {gate}");
            return Err(impossible(&Command::Evaluate(gate.clone()), &why));
        };
        Ok(Ended::Answered(gate.clone(), ask(self.parts, self.context, gate, window).await))
    }

    fn release<'a>(&'a self, command: &Command, id: &ReleaseId) -> Result<&'a Release> {
        let stable = self.plan.stable.as_ref().map(|stable| &stable.release);
        [Some(&self.plan.release), stable]
            .into_iter()
            .flatten()
            .find(|release| release.id == *id)
            .ok_or_else(|| impossible(command, "this release is neither the new one nor the old one"))
    }

    /// The release that a set runs, as it was resolved once and for all.
    fn pinned(&self, command: &Command, set: &SetId) -> Result<PinnedRelease> {
        if *set == self.state.candidate {
            let artifact = self.state.artifact.clone();
            let artifact = artifact.ok_or_else(|| impossible(command, "its release is not prepared yet"))?;
            return Ok(PinnedRelease { release: self.plan.release.clone(), artifact });
        }
        let stable = self.plan.stable.as_ref().filter(|stable| SetId::from(&stable.release.id) == *set);
        if let Some(pinned) = stable.or_else(|| self.known.get(set)) {
            return Ok(pinned.clone());
        }
        let adopted = self.memory.instances.values().find(|remembered| remembered.set == *set);
        let digest = adopted.map(|remembered| remembered.instance.digest.clone());
        let digest = digest.ok_or_else(|| impossible(command, "no journal knows its release"))?;
        // An adopted set can shrink; whether it can grow is for the capabilities of the target to say.
        let release = Release {
            id: set.release(),
            artifact: String::new(),
            config: serde_json::Value::Null,
            secrets: Vec::new(),
        };
        Ok(PinnedRelease { release, artifact: Artifact { digest, detail: serde_json::Value::Null } })
    }

    async fn call<T, F: Future<Output = Result<T>>>(
        &self,
        command: &Command,
        deadline: Duration,
        call: impl Fn(CallContext) -> F,
    ) -> Result<T> {
        let (clock, policy) = (&*self.parts.tools.clock, &self.parts.tools.engine.retry);
        let name = command.to_string();
        let context = CallContext { deadline, ..self.context.clone() };
        let on_failure = |attempt: u32, error: &BackendError| {
            let (command, error) = (name.clone(), error.report());
            self.recorder.progress(EventKind::Retrying { command, attempt: attempt + 1, error });
        };
        let salt = format!("{} {name}", self.context.deployment);
        retried(clock, policy, &salt, on_failure, || within(clock, deadline, &name, call(context.clone())))
            .await
    }
}

fn impossible(command: &Command, why: &str) -> BackendError {
    BackendError::new(ErrorKind::InvalidInput, command.to_string(), why)
}
