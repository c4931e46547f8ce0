//! The sets of the world one by one, and when to look at them again.

use deployer_core::{
    model::{SetId, Split, WorkloadId},
    ports::Changes,
};

use super::{CallKind, World};

/// How many instances of one set there are, in truth.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SetCount {
    /// Which set.
    pub set: SetId,
    /// Starting or running: what the size of a set counts.
    pub size: u32,
    /// Also those that are stopping; not those that ended.
    pub existing: u32,
    /// Those whose probes succeed.
    pub working: u32,
    /// Those of them that get requests from the data plane, where traffic is routed.
    pub available: u32,
}

impl World {
    /// Every set of a workload, sorted by name.
    pub fn census(&self, workload: &WorkloadId) -> Vec<SetCount> {
        self.query(|state| {
            let count = |(set, value): (&SetId, &super::state::FakeSet)| {
                let mut count = SetCount { set: set.clone(), size: 0, existing: 0, working: 0, available: 0 };
                for one in &value.instances {
                    let works = one.works(state.now);
                    count.size += u32::from(one.is_live());
                    count.existing += u32::from(one.exists());
                    count.working += u32::from(works);
                    count.available += u32::from(works && (one.routed || !state.settings.routed));
                }
                count
            };
            state.sets_of(workload).map(count).collect()
        })
    }

    /// The split that the data plane follows; [`Split::EMPTY`] before the first.
    pub fn split(&self, workload: &WorkloadId) -> Split {
        self.query(|state| {
            state.traffic.get(workload).map_or(Split::EMPTY, |traffic| traffic.effective.clone())
        })
    }

    /// How many calls of a kind were made.
    pub fn calls_of(&self, kind: CallKind) -> u64 {
        self.query(|state| state.numbers.get(&kind).copied().unwrap_or_default())
    }

    /// Hints: after each change that somebody makes, and whenever time changes something.
    pub fn changes(&self) -> Changes {
        self.hints()
    }
}
