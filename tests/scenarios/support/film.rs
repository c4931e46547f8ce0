//! Everything that was true in the world, moment by moment.

use std::{collections::BTreeMap, fmt};

use deployer::model::{SetId, Split, Timestamp, WorkloadId};
use deployer_testkit::world::{SetCount, World};

/// What was true from a moment on.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) at: Timestamp,
    sets: BTreeMap<String, SetCount>,
    pub(crate) split: Split,
}

impl Frame {
    pub(super) fn of(world: &World, workload: &WorkloadId, at: Timestamp) -> Self {
        let sets = world.census(workload).into_iter().map(|count| (count.set.to_string(), count)).collect();
        Self { at, sets, split: world.split(workload) }
    }

    fn count(&self, set: &str, value: impl Fn(&SetCount) -> u32) -> u32 {
        self.sets.get(set).map_or(0, value)
    }

    /// Instances of a set that start or run.
    pub(crate) fn size(&self, set: &str) -> u32 {
        self.count(set, |count| count.size)
    }

    /// Also those that are stopping.
    pub(crate) fn existing(&self, set: &str) -> u32 {
        self.count(set, |count| count.existing)
    }

    /// Instances of a set that work, whether they get requests or not.
    pub(crate) fn working(&self, set: &str) -> u32 {
        self.count(set, |count| count.working)
    }

    /// Instances of a set that work and get requests.
    pub(crate) fn available(&self, set: &str) -> u32 {
        self.count(set, |count| count.available)
    }

    /// Instances of all sets that work and get requests.
    pub(crate) fn all_available(&self) -> u32 {
        self.sets.values().map(|count| count.available).sum()
    }

    /// Instances of all sets that exist.
    pub(crate) fn all_existing(&self) -> u32 {
        self.sets.values().map(|count| count.existing).sum()
    }

    /// The share of a set in all requests, in percent, rounded down.
    pub(crate) fn weight(&self, set: &str) -> u32 {
        let set = SetId::new(set).unwrap();
        let weight = self.split.share(&set).map_or(0, |share| u64::from(share.weight));
        u32::try_from(weight * 100 / self.split.total_weight().max(1)).unwrap()
    }

    /// Whether anything leads to a set: a share, though its weight be 0, or a route.
    pub(crate) fn leads_to(&self, set: &str) -> bool {
        self.split.shares().iter().any(|share| share.set.as_str() == set)
    }

    /// How many routes lead past the weights.
    pub(crate) fn routes(&self) -> usize {
        match &self.split {
            Split::Serve { routes, .. } => routes.len(),
            Split::Maintenance(_) => 0,
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.sets == other.sets && self.split == other.split
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at)?;
        for (name, SetCount { size, existing, working, available, .. }) in &self.sets {
            write!(f, "; {name}: {size} of {existing}, {working} work, {available} available")?;
        }
        for share in self.split.shares() {
            write!(f, "; {} of weight {} with {}", share.set, share.weight, share.members.len())?;
        }
        write!(f, "; {} routes", self.routes())
    }
}

/// The frames of a run, each in force until the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Film(Vec<Frame>);

impl Film {
    pub(super) fn take(&mut self, frame: Frame) {
        if !self.0.last().is_some_and(|last| last.is_like(&frame)) {
            self.0.push(frame);
        }
    }

    pub(crate) fn frames(&self) -> &[Frame] {
        &self.0
    }

    pub(crate) fn last(&self) -> &Frame {
        self.0.last().unwrap()
    }

    /// The values of a number, each once for as long as it stays.
    pub(crate) fn course(&self, value: impl Fn(&Frame) -> u32) -> Vec<u32> {
        let mut values: Vec<u32> = self.0.iter().map(value).collect();
        values.dedup();
        values
    }

    pub(crate) fn sizes(&self, set: &str) -> Vec<u32> {
        self.course(|frame| frame.size(set))
    }

    pub(crate) fn weights(&self, set: &str) -> Vec<u32> {
        self.course(|frame| frame.weight(set))
    }

    pub(crate) fn least(&self, value: impl Fn(&Frame) -> u32) -> u32 {
        self.0.iter().map(value).min().unwrap()
    }

    pub(crate) fn most(&self, value: impl Fn(&Frame) -> u32) -> u32 {
        self.0.iter().map(value).max().unwrap()
    }

    /// The first frame of which this is true.
    #[track_caller]
    pub(crate) fn first(&self, is_it: impl Fn(&Frame) -> bool) -> &Frame {
        let found = self.0.iter().find(|frame| is_it(frame));
        found.unwrap_or_else(|| panic!("it never was so: {self:#?}"))
    }

    /// The frames from a moment on.
    pub(crate) fn since(&self, at: Timestamp) -> Film {
        let first = self.0.partition_point(|frame| frame.at <= at).saturating_sub(1);
        Film(self.0[first..].to_vec())
    }

    /// Fails unless this is true of every frame.
    #[track_caller]
    pub(crate) fn always(&self, what: &str, is_so: impl Fn(&Frame) -> bool) {
        if let Some(frame) = self.0.iter().find(|frame| !is_so(frame)) {
            panic!("not always: {what}: {frame:#?}");
        }
    }
}
