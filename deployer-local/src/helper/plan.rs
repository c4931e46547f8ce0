//! What an apply means, as a pure function of what there is.

use deployer_core::model::InstanceId;

use super::{
    instance::{Life, SavedInstance},
    state::{Durability, SavedSet},
};

/// What has to be done to give a set its size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Change {
    /// Ended instances that are forgotten, as this apply replaces them.
    pub(crate) forget: Vec<InstanceId>,
    /// Instances that are told to stop.
    pub(crate) stop: Vec<InstanceId>,
    /// How many new ones are started.
    pub(crate) start: u32,
}

impl Change {
    /// Named victims go first, in the order given, then the youngest.
    pub(crate) fn to_size(set: Option<&SavedSet>, replicas: u32, remove_first: &[InstanceId]) -> Self {
        let instances = set.map(|set| set.instances.as_slice()).unwrap_or_default();
        let ended = |instance: &&SavedInstance| matches!(instance.life, Life::Failed { .. });
        let counting: Vec<&SavedInstance> = instances.iter().filter(|instance| instance.counts()).collect();
        let have = u32::try_from(counting.len()).unwrap_or(u32::MAX);
        let named = remove_first.iter().filter(|id| counting.iter().any(|instance| instance.id == **id));
        let others =
            counting.iter().rev().map(|instance| &instance.id).filter(|id| !remove_first.contains(id));
        let mut stop: Vec<InstanceId> = Vec::new();
        for id in named.chain(others) {
            if stop.len() >= have.saturating_sub(replicas) as usize {
                break;
            }
            if !stop.contains(id) {
                stop.push(id.clone());
            }
        }
        Self {
            forget: instances.iter().filter(ended).map(|instance| instance.id.clone()).collect(),
            stop,
            start: replicas.saturating_sub(have),
        }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// An intent goes to the disk before its effect.
    pub(crate) fn durability(&self) -> Durability {
        if self.is_nothing() { Durability::Rename } else { Durability::Disk }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::helper::instance::MadeBy;
    use crate::{identity::ContentHash, spec::ProcessSpec};
    use deployer_core::model::Epoch;

    fn id(number: u32) -> InstanceId {
        InstanceId::new(format!("v1-{number}")).unwrap()
    }

    fn set(lives: &[Life]) -> SavedSet {
        let instances = lives.iter().zip(1..).map(|(life, number)| {
            let made_by = MadeBy { deployment: "web-1".parse().unwrap(), epoch: Epoch(1) };
            let mut instance = SavedInstance::planned(id(number), made_by, None);
            instance.life = life.clone();
            instance
        });
        SavedSet {
            digest: Arc::from("sha256:0"),
            content: ContentHash::try_from("0".repeat(64)).unwrap(),
            spec: ProcessSpec::new("/bin/true"),
            removing: false,
            instances: instances.collect(),
        }
    }

    #[test]
    fn exactly_the_named_go_and_then_the_youngest() {
        let set = set(&vec![Life::Running; 4]);
        let stopped = |replicas, first: &[u32]| {
            let first: Vec<_> = first.iter().copied().map(id).collect();
            Change::to_size(Some(&set), replicas, &first).stop
        };
        assert_eq!(stopped(4, &[1]), []);
        assert_eq!(stopped(3, &[2, 1]), [id(2)]);
        assert_eq!(stopped(3, &[2, 2]), [id(2)]);
        assert_eq!(stopped(2, &[2, 2]), [id(2), id(4)]);
        assert_eq!(stopped(1, &[1, 9]), [id(1), id(4), id(3)]);
        assert_eq!(stopped(0, &[]), [id(4), id(3), id(2), id(1)]);
    }

    #[test]
    fn those_that_ended_or_are_stopping_do_not_count() {
        let until = deployer_core::model::Timestamp::default();
        let set = set(&[
            Life::Failed { reason: String::new() },
            Life::Stopping { until, told: true },
            Life::Backoff { until },
            Life::Running,
        ]);
        let change = Change::to_size(Some(&set), 3, &[id(2)]);
        assert_eq!(change, Change { forget: vec![id(1)], stop: vec![], start: 1 });
        assert_eq!(Change::to_size(None, 2, &[]), Change { start: 2, ..Change::default() });
    }
}
