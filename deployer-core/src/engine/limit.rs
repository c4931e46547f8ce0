//! How many deployments may run at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Control, control::Wish};
use crate::error::DeployError;

/// How many deployments of this process may run at once. Clones are the same limit.
///
/// A run waits for its turn before it does anything: it holds no lock and has looked at nothing. Turns are given in the
/// order in which runs asked for them.
///
/// ```
/// # use deployer_core::{engine::{Deployment, Limit}, strategy::Rolling};
/// let limit = Limit::new(3);
/// let shops = ["berlin", "lagos", "lima", "osaka"].map(|shop| Deployment::builder(shop).limit(&limit));
/// # drop(shops);
/// ```
#[derive(Debug, Clone)]
pub struct Limit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: usize,
    free: Arc<Semaphore>,
}

impl Limit {
    /// At most this many at once; 0 counts as 1, as nothing would ever run.
    pub fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared { most, free: Arc::new(Semaphore::new(most)) }))
    }

    /// How many may run at once.
    pub fn most(&self) -> usize {
        self.0.most
    }

    /// How many could begin right now.
    pub fn free(&self) -> usize {
        self.0.free.available_permits()
    }

    /// Waits for a turn, which lasts until the permit is dropped. People are listened to.
    pub(super) async fn turn(
        &self,
        control: &Control,
        waits: impl FnOnce(),
    ) -> Result<OwnedSemaphorePermit, DeployError> {
        if let Ok(turn) = Arc::clone(&self.0.free).try_acquire_owned() {
            return Ok(turn);
        }
        waits();
        let mut turn = std::pin::pin!(Arc::clone(&self.0.free).acquire_owned());
        loop {
            tokio::select! {
                biased;
                () = control.changed() => match control.wish_to_end() {
                    Some(Wish::Interrupt(why)) => return Err(DeployError::Interrupted { why }),
                    Some(Wish::Abort(why)) => {
                        let reason = format!("{why}; it was waiting for its turn and did nothing");
                        return Err(DeployError::Aborted { reason, superseded_by: None });
                    }
                    None => {}
                },
                given = &mut turn => {
                    return Ok(given.expect("the semaphore is never closed: nothing here closes it"));
                }
            }
        }
    }
}
