//! One process: what it asks of the world goes past here.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use deployer_core::{
    model::{PinnedRelease, Timestamp, WorkloadId},
    ports::{CallContext, Clock as _},
    strategy::Command,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{clock::VirtualClock, draw::Draw, oracle, record::Shared, scenario::Scenario};
use crate::world::World;

/// One process, as everything outside of it sees it.
#[derive(Debug)]
pub(super) struct Witness {
    pub(super) record: Shared,
    pub(super) world: World,
    pub(super) clock: VirtualClock,
    pub(super) scenario: Arc<Scenario>,
    pub(super) workload: WorkloadId,
    /// Its number.
    pub(super) process: usize,
    /// Which release of the sequence it deploys.
    pub(super) step: usize,
    pub(super) quiet_at: Timestamp,
    pub(super) lots: Mutex<Draw>,
    /// Told when the process dies at a call.
    pub(super) died: Notify,
    /// It is thought to be dead: it goes on until it finds out.
    pub(super) undead: AtomicBool,
    /// It takes the place of one that is thought to be dead.
    pub(super) takes_over: bool,
}

impl Witness {
    /// Dies here, sometimes: what was done is done, and nothing that follows is.
    pub(super) async fn may_die(&self) {
        let rate = self.scenario.rates.kills_at_calls;
        if !self.undead.load(Ordering::Relaxed) && self.lot(rate) {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// True in so many of a thousand cases, as long as anything goes wrong at all.
    pub(super) fn lot(&self, of_a_thousand: u64) -> bool {
        of_a_thousand > 0 && self.clock.now() < self.quiet_at && self.lots.lock().chance(of_a_thousand)
    }

    /// The one workload of a seed.
    pub(super) fn world_workload(&self) -> WorkloadId {
        self.workload.clone()
    }

    /// A call that changes the world begins.
    pub(super) fn writes(&self, context: &CallContext, command: &Command, release: Option<&PinnedRelease>) {
        let mut record = self.record.lock();
        // A release is prepared beside the world.
        record.sights[self.process].acted |= !matches!(command, Command::Prepare(_));
        oracle::write(&mut record, self, context, command, release);
    }
}
