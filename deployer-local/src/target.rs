//! Processes of this host as a target.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    error::{BackendError, ErrorKind, Problem},
    model::{
        Artifact, Evidence, InstanceId, PinnedRelease, Release, SetId, SetSpec, TargetCapabilities,
        WorkloadView,
    },
    ports::{CallContext, Changes, Result, SecretSource, Target},
};
use http::Method;

use crate::{
    client::{Call, Client},
    identity::{self, PinnedExecutable},
    pin,
    protocol::{ApplySet, PortUse, RemoveSet},
    spec::{PortChoice, ProcessSpec},
    validate,
};

/// Processes of this host. The artifact of a release is the path of an executable, its config is a [`ProcessSpec`].
///
/// Preparing a release copies the executable into the helper's directory under the hash of its content, and
/// instances run that copy (`argv[0]` is still the path that was given): replacing the file afterwards changes
/// nothing of this release. A program that finds files next to itself should be told where they are.
#[derive(Debug, Clone)]
pub struct LocalTarget {
    client: Client,
    exclusive: Option<String>,
    stop_grace: Duration,
    secrets: Option<Arc<dyn SecretSource>>,
}

impl LocalTarget {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, exclusive: None, stop_grace: ProcessSpec::default().stop_grace, secrets: None }
    }

    /// With what this process needs in its capabilities.
    #[must_use]
    pub fn for_spec(mut self, spec: &ProcessSpec) -> Self {
        if let PortChoice::Fixed(port) = spec.port {
            self.exclusive = Some(format!("port {port} is fixed"));
        }
        self.stop_grace = self.stop_grace.max(spec.stop_grace);
        self
    }

    /// Two sets cannot run side by side, and why.
    ///
    /// ```no_run
    /// # async fn example(host: deployer_local::LocalHost) {
    /// use std::sync::Arc;
    /// let target = Arc::unwrap_or_clone(host.target()).exclusive("they share a database file");
    /// # }
    /// ```
    #[must_use]
    pub fn exclusive(mut self, why: impl Into<String>) -> Self {
        self.exclusive = Some(why.into());
        self
    }

    /// With this source of secrets, asked just before instances are started. Have a redactor
    /// [learn](deployer_core::redact::Redactor::learning) from it, so that what instances print of them is masked.
    #[must_use]
    pub fn secrets(mut self, source: Arc<dyn SecretSource>) -> Self {
        self.secrets = Some(source);
        self
    }

    async fn check(&self, context: &CallContext, spec: &ProcessSpec) -> Result<Vec<Problem>> {
        let (checked, directory) = (spec.clone(), self.client.directory().clone());
        let mut problems = blocking(move || validate::problems(&checked, &directory)).await?;
        if let PortChoice::Fixed(port) = spec.port {
            if self.exclusive.is_none() {
                let message = format!("port {port} is fixed and this target does not say so; use target_for");
                problems.push(Problem::new("config.port", message));
            }
            if port > 0 && self.port_use(context, port).await? == PortUse::Taken {
                let message = format!("port {port} is taken by a program that is no instance of ours");
                problems.push(Problem::new("config.port", message));
            }
        }
        if spec.stop_grace > self.stop_grace {
            let message = format!(
                "{:?} is longer than the {:?} that this target announces; use target_for",
                spec.stop_grace, self.stop_grace
            );
            problems.push(Problem::new("config.stop_grace", message));
        }
        if self.secrets.is_none() && !spec.secrets.is_empty() {
            problems
                .push(Problem::new("config.secrets", "this target has no source of secrets; give it one"));
        }
        Ok(problems)
    }

    async fn port_use(&self, context: &CallContext, port: u16) -> Result<PortUse> {
        let path = format!("/v1/ports/{port}");
        self.client.get(call(context, format!("look at port {port}"), Method::GET, &path)).await
    }

    async fn resolve(&self, spec: &ProcessSpec) -> Result<BTreeMap<String, String>> {
        let mut values = BTreeMap::new();
        if spec.secrets.is_empty() {
            return Ok(values);
        }
        let source = self.secrets.as_ref().ok_or_else(|| {
            let message = "this target has no source of secrets; give it one";
            BackendError::new(ErrorKind::InvalidInput, "resolve secrets", message)
        })?;
        for (name, secret) in &spec.secrets {
            let value = source.resolve(secret).await?;
            if value.expose().contains('\0') {
                let operation = format!("resolve secret {:?} for {name}", secret.0);
                return Err(BackendError::new(
                    ErrorKind::InvalidInput,
                    operation,
                    "its value has a zero byte",
                ));
            }
            values.insert(name.clone(), value.expose().to_owned());
        }
        Ok(values)
    }
}

#[async_trait]
impl Target for LocalTarget {
    fn name(&self) -> &'static str {
        "local"
    }

    fn capabilities(&self) -> TargetCapabilities {
        TargetCapabilities {
            pins_victims: true,
            admits_itself: false,
            delegates: false,
            grows_adopted: false,
            exclusive: self.exclusive.clone(),
            fences: true,
            stop_grace: self.stop_grace,
        }
    }

    async fn observe(&self, context: &CallContext) -> Result<WorkloadView> {
        let path = format!("/v1/workloads/{}", context.workload);
        self.client.get(call(context, format!("observe {}", context.workload), Method::GET, &path)).await
    }

    async fn prepare(&self, context: &CallContext, release: &Release) -> Result<Artifact> {
        let operation = format!("prepare release {} of {}", release.id, context.workload);
        let invalid =
            |message: String| BackendError::new(ErrorKind::InvalidInput, operation.clone(), message);
        let spec = ProcessSpec::from_release(release).map_err(invalid)?;
        let problems = self.check(context, &spec).await?;
        if !problems.is_empty() {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return Err(invalid(texts.join("; ")));
        }
        let (directory, executable) = (self.client.directory().clone(), spec.executable.clone());
        let pinned = blocking(move || pin::pin(&directory, &executable)).await?;
        let pinned = pinned.map_err(|error| {
            let message = format!("{} cannot be copied", spec.executable.display());
            BackendError::new(ErrorKind::Unavailable, operation, message).with_source(error)
        })?;
        Ok(Artifact {
            digest: identity::digest(&spec, &pinned),
            detail: serde_json::json!(PinnedExecutable { content: pinned }),
        })
    }

    async fn apply(&self, context: &CallContext, release: &PinnedRelease, spec: &SetSpec) -> Result<()> {
        let operation = format!("apply set {} of {}", spec.set, context.workload);
        let invalid =
            |message: String| BackendError::new(ErrorKind::InvalidInput, operation.clone(), message);
        let process = ProcessSpec::from_release(&release.release).map_err(invalid)?;
        let pinned: PinnedExecutable = serde_json::from_value(release.artifact.detail.clone())
            .map_err(|error| invalid(format!("this artifact was not prepared by a local target: {error}")))?;
        let secrets = if spec.replicas > 0 { self.resolve(&process).await? } else { BTreeMap::new() };
        let order = ApplySet {
            deployment: context.deployment.clone(),
            epoch: context.epoch,
            spec: process,
            content: pinned.content,
            digest: release.artifact.digest.to_string(),
            replicas: spec.replicas,
            remove_first: spec.remove_first.clone(),
            secrets,
        };
        let path = format!("/v1/workloads/{}/sets/{}", context.workload, spec.set);
        let call = call(context, operation.clone(), Method::PUT, &path);
        self.client.send::<serde_json::Value>(call, &order).await.map(drop)
    }

    async fn remove(&self, context: &CallContext, set: &SetId) -> Result<()> {
        let path = format!("/v1/workloads/{}/sets/{set}", context.workload);
        let call = call(context, format!("remove set {set} of {}", context.workload), Method::DELETE, &path);
        self.client.send::<serde_json::Value>(call, &RemoveSet { epoch: context.epoch }).await.map(drop)
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        let path = format!("/v1/workloads/{}/watch", context.workload);
        self.client.watch(call(context, format!("watch {}", context.workload), Method::GET, &path)).await
    }

    async fn evidence(&self, context: &CallContext, instance: &InstanceId) -> Result<Evidence> {
        let path = format!("/v1/workloads/{}/instances/{instance}/evidence", context.workload);
        let operation = format!("read evidence of {instance} of {}", context.workload);
        self.client.get(call(context, operation, Method::GET, &path)).await
    }
}

fn call<'a>(context: &CallContext, operation: String, method: Method, path: &'a str) -> Call<'a> {
    Call { operation, method, path, deadline: context.deadline }
}

/// File work off the caller's runtime threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        BackendError::new(ErrorKind::Unexpected, "work on files", "it did not end").with_source(error)
    })
}
