//! The processes of this host that one helper owns.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use deployer_core::{
    error::{BackendError, ErrorKind},
    model::WorkloadId,
    ports::SecretSource,
};
use http::Method;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::{
    client::{Call, Client},
    directory::Directory,
    metrics::LocalMetrics,
    protocol::{HelperInfo, Refusal, Shutdown},
    router::LocalRouter,
    settings::LocalSettings,
    spec::ProcessSpec,
    target::LocalTarget,
};

/// What becomes of the instances when the helper ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnShutdown {
    /// They go on, and the next helper of this directory takes them over. Nobody answers at their listeners
    /// meanwhile.
    LeaveInstances,
    /// They are told to stop, killed after their grace, and forgotten, and so are the listeners.
    StopInstances,
}

/// The processes of this host that one helper owns, and the listeners in front of them. A handle: cheap to clone,
/// and dropping it ends nothing.
///
/// Each call of what comes from here connects to the helper anew, and starts it again if it is dead.
#[derive(Debug, Clone)]
pub struct LocalHost {
    client: Client,
}

impl LocalHost {
    /// Connects to the helper of a directory, and starts it if there is none.
    ///
    /// # Errors
    /// `PermissionDenied` if the directory is open to others; `InvalidInput` if its path is too long for a socket,
    /// or if this program is to be its own helper and [`init`](crate::init) was not called; `Unavailable` if the
    /// helper does not start, with its reason.
    pub async fn start(settings: LocalSettings) -> Result<Self, BackendError> {
        let operation = "start local helper";
        let directory =
            Directory::create(&settings.directory).map_err(|refusal| refusal.into_error(operation))?;
        let client = Client::new(directory, settings.helper, settings.start_limit);
        client.ensure().await.map_err(|refusal| refusal.into_error(operation))?;
        Ok(Self { client })
    }

    /// The helper's directory, with all links resolved.
    pub fn directory(&self) -> &Path {
        self.client.directory().path()
    }

    /// The process number of the helper.
    ///
    /// # Errors
    /// It does not answer and cannot be started.
    pub async fn helper(&self) -> Result<u32, BackendError> {
        let call = Call {
            operation: "ask local helper".to_owned(),
            method: Method::GET,
            path: "/v1/helper",
            deadline: Duration::from_secs(30),
        };
        self.client.get::<HelperInfo>(call).await.map(|info| info.pid)
    }

    /// A target for workloads whose processes get assigned ports, or none. For what else it can be told see
    /// [`LocalTarget`].
    pub fn target(&self) -> Arc<LocalTarget> {
        Arc::new(LocalTarget::new(self.client.clone()))
    }

    /// A target that knows what this process needs: with a fixed port two sets cannot run side by side, and a longer
    /// grace is announced.
    pub fn target_for(&self, spec: &ProcessSpec) -> Arc<LocalTarget> {
        Arc::new(LocalTarget::new(self.client.clone()).for_spec(spec))
    }

    /// A target as [`target_for`](Self::target_for) makes it, that asks this source for secrets.
    pub fn target_with_secrets(
        &self,
        spec: &ProcessSpec,
        secrets: Arc<dyn SecretSource>,
    ) -> Arc<LocalTarget> {
        Arc::new(LocalTarget::new(self.client.clone()).for_spec(spec).secrets(secrets))
    }

    /// The embedded proxy of a workload, listening on this address. Port 0 means any free one, which is then kept.
    /// It is bound by the first call that needs it, or by [`LocalRouter::bind`]. For other settings of the proxy see
    /// [`LocalRouter::settings`].
    pub fn router(&self, workload: WorkloadId, listen: SocketAddr) -> Arc<LocalRouter> {
        Arc::new(LocalRouter::new(self.client.clone(), workload, listen))
    }

    /// How the sets of a workload answer, as its proxy counts.
    pub fn metrics(&self, workload: WorkloadId) -> Arc<LocalMetrics> {
        Arc::new(LocalMetrics::new(self.client.clone(), workload))
    }

    /// Ends the helper. Any later call starts a new one.
    ///
    /// # Errors
    /// `TimedOut` if instances, or answers in progress, take longer than `deadline`; the helper goes on ending.
    pub async fn shutdown(&self, instances: OnShutdown, deadline: Duration) -> Result<(), BackendError> {
        let operation = "shut down local helper";
        let until = Instant::now() + deadline;
        let call =
            Call { operation: operation.to_owned(), method: Method::POST, path: "/v1/shutdown", deadline };
        self.client.send::<serde_json::Value>(call, &Shutdown { instances }).await?;
        while self.client.directory().is_locked() {
            if Instant::now() >= until {
                let message = format!("it has not ended within {deadline:?}");
                return Err(Refusal::new(ErrorKind::TimedOut, message).into_error(operation));
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}
