//! The embedded proxy of one workload as a traffic router.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{InFlight, Member, RouterCapabilities, Split, TrafficView, WorkloadId},
    ports::{CallContext, Changes, Result, TrafficRouter},
};
use http::Method;

use crate::{
    client::{Call, Client},
    protocol::{ApplySplit, BindListener, BoundListener, InFlightQuery},
    proxy::{ProxySettings, ProxyStats},
};

/// The embedded proxy of one workload. Its listener belongs to the helper: it outlives this value and this program,
/// and a helper that is started again binds it again, with its last split.
#[derive(Debug, Clone)]
pub struct LocalRouter {
    client: Client,
    workload: WorkloadId,
    listen: SocketAddr,
    settings: ProxySettings,
    name: Arc<str>,
}

impl LocalRouter {
    pub(crate) fn new(client: Client, workload: WorkloadId, listen: SocketAddr) -> Self {
        let name = format!("proxy of {workload} on {listen}").into();
        Self { client, workload, listen, settings: ProxySettings::default(), name }
    }

    /// With these settings, which count when the listener is bound for the first time.
    ///
    /// ```no_run
    /// # fn example(host: deployer_local::LocalHost, workload: deployer_core::model::WorkloadId) {
    /// use std::sync::Arc;
    /// use deployer_local::proxy::ProxySettings;
    /// let listen = std::net::SocketAddr::from(([0, 0, 0, 0], 8080));
    /// let settings = ProxySettings { retry_unwritten: false, ..ProxySettings::default() };
    /// let router = Arc::unwrap_or_clone(host.router(workload, listen)).settings(settings);
    /// # }
    /// ```
    #[must_use]
    pub fn settings(mut self, settings: ProxySettings) -> Self {
        self.settings = settings;
        self
    }

    /// Binds the listener now, and returns its address. Until the first split it answers 503.
    ///
    /// # Errors
    /// `Unavailable` if the address is taken, `InvalidInput` if this host does not have it or the workload listens
    /// on another one, `PermissionDenied` if this user may not bind it.
    ///
    /// # Idempotence
    /// Binding twice is binding once.
    pub async fn bind(&self, context: &CallContext) -> Result<SocketAddr> {
        let path = self.path(context, "listener")?;
        let order = BindListener { listen: self.listen, settings: self.settings.clone() };
        let call = self.call(context, "bind", Method::PUT, &path);
        self.client.send::<BoundListener>(call, &order).await.map(|bound| bound.address)
    }

    /// Gives the listener up: no new connections, and the present ones have ten seconds to end.
    ///
    /// # Errors
    /// The helper could not be asked.
    ///
    /// # Idempotence
    /// Releasing twice is releasing once.
    pub async fn release(&self, context: &CallContext) -> Result<()> {
        let path = self.path(context, "listener")?;
        let call = self.call(context, "release", Method::DELETE, &path);
        self.client.get::<serde_json::Value>(call).await.map(drop)
    }

    /// Everything that the proxy has counted since it was started.
    ///
    /// # Errors
    /// `NotFound` before the listener is bound.
    pub async fn stats(&self, context: &CallContext) -> Result<ProxyStats> {
        let path = self.path(context, "stats")?;
        self.client.get(self.call(context, "read counters of", Method::GET, &path)).await
    }

    fn path(&self, context: &CallContext, what: &str) -> Result<String> {
        if context.workload != self.workload {
            let message = format!("this router serves workload {}, not {}", self.workload, context.workload);
            return Err(BackendError::new(ErrorKind::InvalidInput, format!("use {}", self.name), message));
        }
        Ok(format!("/v1/workloads/{}/{what}", self.workload))
    }

    fn call<'a>(&self, context: &CallContext, verb: &str, method: Method, path: &'a str) -> Call<'a> {
        Call { operation: format!("{verb} {}", self.name), method, path, deadline: context.deadline }
    }
}

#[async_trait]
impl TrafficRouter for LocalRouter {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> RouterCapabilities {
        RouterCapabilities {
            weights: true,
            header_routes: true,
            cookie_routes: true,
            maintenance: true,
            members: true,
            proves: true,
            counts_in_flight: true,
            fences: true,
        }
    }

    async fn apply(&self, context: &CallContext, split: &Split) -> Result<()> {
        let path = self.path(context, "split")?;
        let order = ApplySplit {
            epoch: context.epoch,
            listen: self.listen,
            settings: self.settings.clone(),
            split: split.clone(),
        };
        let call = self.call(context, "switch", Method::PUT, &path);
        self.client.send::<serde_json::Value>(call, &order).await.map(drop)
    }

    async fn current(&self, context: &CallContext) -> Result<TrafficView> {
        let path = self.path(context, "traffic")?;
        // With the address: before anything is started it is found out that it is taken.
        let order = BindListener { listen: self.listen, settings: self.settings.clone() };
        self.client.send(self.call(context, "ask", Method::POST, &path), &order).await
    }

    async fn in_flight(&self, context: &CallContext, members: &[Member]) -> Result<Vec<InFlight>> {
        let path = self.path(context, "in-flight")?;
        let query = InFlightQuery { members: members.to_vec() };
        let call = self.call(context, "count requests of", Method::POST, &path);
        let counts: Vec<InFlight> = self.client.send(call, &query).await?;
        if counts.len() == members.len() {
            return Ok(counts);
        }
        let message = format!("{} counts for {} members", counts.len(), members.len());
        Err(BackendError::new(ErrorKind::Unexpected, format!("count requests of {}", self.name), message))
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        let path = self.path(context, "traffic/watch")?;
        self.client.watch(self.call(context, "watch", Method::GET, &path)).await
    }
}
