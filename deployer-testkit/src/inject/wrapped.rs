//! A port with an injector around it.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use deployer_core::error::{BackendError, ErrorKind};
use parking_lot::Mutex;

use super::{After, Before, Injector, PortCall, PortKind};

/// A port with an injector around it. It implements the port that it wraps: `Wrapped<dyn Target>` is a target, and so on.
///
/// ```
/// use std::sync::Arc;
/// use deployer_core::{error::ErrorKind, ports::Target};
/// use deployer_testkit::{TestClock, inject::{After, AtCall, Before, Wrapped}, world::{World, WorldSettings}};
///
/// let world = World::new(WorldSettings::default(), Arc::new(TestClock::new()));
/// let third = Arc::new(AtCall::new(3, Before::Fail(ErrorKind::Unavailable), After::Answer));
/// let target = Wrapped::<dyn Target>::new(world.target(), third.clone());
/// assert_eq!(target.capabilities(), world.target().capabilities());
/// assert!(third.reached().is_none());
/// ```
#[derive(Debug)]
pub struct Wrapped<P: ?Sized> {
    pub(super) inner: Arc<P>,
    injector: Arc<dyn Injector>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

/// What becomes of a call that may be made.
pub(super) enum Way {
    Once,
    Twice,
    Fail(ErrorKind),
}

impl<P: ?Sized> Wrapped<P> {
    /// Puts an injector around a port.
    pub fn new(inner: Arc<P>, injector: Arc<dyn Injector>) -> Self {
        Self { inner, injector, counts: Mutex::default() }
    }

    /// A call is about to be made.
    pub(super) async fn begin(
        &self,
        port: PortKind,
        operation: &'static str,
        about: String,
    ) -> (PortCall, Way) {
        let number = {
            let mut counts = self.counts.lock();
            let count = counts.entry(operation).or_default();
            *count += 1;
            *count
        };
        let call = PortCall { port, operation, number, about };
        let way = match self.injector.before(&call).await {
            Before::Go => Way::Once,
            Before::Twice => Way::Twice,
            Before::Fail(kind) => Way::Fail(kind),
            Before::Hang => std::future::pending().await,
        };
        (call, way)
    }

    /// The port has answered. Whether the caller gets the answer.
    pub(super) async fn end(&self, call: &PortCall) -> bool {
        match self.injector.after(call).await {
            After::Answer => true,
            After::Lose => false,
            After::Hang => std::future::pending().await,
        }
    }

    /// A call to a backend that may be repeated.
    pub(super) async fn call<T, F: Future<Output = Result<T, BackendError>>>(
        &self,
        port: PortKind,
        operation: &'static str,
        about: String,
        make: impl Fn() -> F,
    ) -> Result<T, BackendError> {
        let (call, way) = self.begin(port, operation, about).await;
        let answer = match way {
            Way::Fail(kind) => {
                return Err(BackendError::new(kind, call.to_string(), "made to fail, nothing was done"));
            }
            Way::Once => make().await,
            Way::Twice => {
                make().await?;
                make().await
            }
        };
        if self.end(&call).await {
            return answer;
        }
        Err(BackendError::new(ErrorKind::TimedOut, call.to_string(), "the answer was made to be lost"))
    }
}
