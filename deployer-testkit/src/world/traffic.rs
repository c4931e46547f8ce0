//! The router of one workload and its data plane, which follows a little later.

use std::collections::BTreeMap;

use deployer_core::{
    model::{Proof, SetId, Split, Timestamp, TrafficView},
    ports::CallContext,
};

use super::instance::FakeInstance;

/// The router of one workload.
#[derive(Debug, Clone)]
pub(super) struct Traffic {
    /// What was accepted last.
    pub(super) accepted: Split,
    pub(super) generation: u64,
    /// Whose call that was; `None` if it was like that before.
    pub(super) by: Option<CallContext>,
    /// What the data plane does.
    pub(super) effective: Split,
    /// When it does what was accepted last.
    pub(super) effective_at: Timestamp,
    /// Since when the data plane sends requests to a set.
    pub(super) routed_since: BTreeMap<SetId, Timestamp>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            accepted: Split::EMPTY,
            generation: 0,
            by: None,
            effective: Split::EMPTY,
            effective_at: Timestamp::default(),
            routed_since: BTreeMap::new(),
        }
    }
}

impl Traffic {
    /// Takes in a split; the data plane follows at `effective_at`. One that is accepted already changes nothing.
    pub(super) fn accept(&mut self, split: &Split, effective_at: Timestamp) {
        if self.accepted != *split {
            self.accepted = split.clone();
            self.generation += 1;
            self.effective_at = effective_at;
        }
    }

    /// When the data plane will follow, if it does not yet.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        (self.effective_at > now).then_some(self.effective_at)
    }

    /// The data plane follows now.
    pub(super) fn follow(&mut self, now: Timestamp) {
        self.effective = self.accepted.clone();
        let routed: Vec<SetId> = self
            .effective
            .shares()
            .iter()
            .filter(|share| share.weight > 0)
            .map(|share| share.set.clone())
            .collect();
        self.routed_since.retain(|set, _| routed.contains(set));
        for set in routed {
            self.routed_since.entry(set).or_insert(now);
        }
    }

    pub(super) fn view(&self, now: Timestamp, proves: bool) -> TrafficView {
        let proof = match () {
            () if !proves => Proof::CannotKnow,
            () if self.next_change(now).is_some() => Proof::Pending,
            () => Proof::Proven { generation: self.generation },
        };
        TrafficView { split: self.accepted.clone(), proof }
    }
}

/// Whether a split sends requests to this instance; `by_member` is false where a share means its whole set.
pub(super) fn sends_to(split: &Split, set: &SetId, instance: &FakeInstance, by_member: bool) -> bool {
    split.share(set).is_some_and(|share| {
        !by_member
            || share.members.iter().any(|member| {
                member.instance == instance.id
                    && member.address.is_none_or(|address| address == instance.address)
            })
    })
}

/// Whether a split answers every request, by an instance or by the router itself.
pub(super) fn answers(split: &Split, by_member: bool) -> bool {
    match split {
        Split::Maintenance(_) => true,
        Split::Serve { shares, .. } => {
            shares.iter().any(|share| share.weight > 0 && (!by_member || !share.members.is_empty()))
        }
    }
}
