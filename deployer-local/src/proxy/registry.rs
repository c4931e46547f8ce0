//! What control calls share: the split in force, and everything that is or was in one.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Instant};

use deployer_core::model::{InstanceId, Member, SetId, Split};
use tokio::sync::watch;

use super::{
    MemberLoad, MemberStats, SetStats,
    member::MemberState,
    routing::{Matcher, OwnMessage, Routing, SetMembers},
    set::SetState,
};

/// Counters of this many sets are kept; those that left the split longest ago go first.
const REMEMBERED_SETS: usize = 128;

/// Sets and members by name, and the split in force. Behind a lock that no request takes.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) split: Split,
    pub(super) generation: u64,
    sets: Vec<Arc<SetState>>,
    members: HashMap<(SetId, InstanceId, SocketAddr), Arc<MemberState>>,
    changes: watch::Sender<u64>,
}

impl Registry {
    pub(super) fn new(changes: watch::Sender<u64>) -> Self {
        Self { split: Split::EMPTY, generation: 0, sets: Vec::new(), members: HashMap::new(), changes }
    }

    /// The routing of a checked split. Members that come back keep what they are busy with.
    pub(super) fn routing(&mut self, split: &Split, now: Instant) -> Routing {
        match split {
            Split::Maintenance(maintenance) => Routing::Maintenance(OwnMessage::new(maintenance)),
            Split::Serve { shares, routes } => {
                let mut shares: Vec<_> = shares.iter().collect();
                // So that nobody who is sticky moves when the same shares are listed in another order.
                shares.sort_by_key(|share| &share.set);
                let mut sets = Vec::with_capacity(shares.len());
                for share in &shares {
                    let state = self.set(&share.set, now);
                    let members = share.members.iter().filter_map(|member| self.member(&state, member, now));
                    let members = members.collect();
                    sets.push(SetMembers { state, weight: u64::from(share.weight), members });
                }
                let routes = routes.iter().filter_map(|route| {
                    let index = shares.iter().position(|share| share.set == route.set)?;
                    Some((Matcher::new(&route.matches)?, index))
                });
                Routing::Serve { routes: routes.collect(), sets, total_weight: split.total_weight() }
            }
        }
    }

    /// Takes note that `split` is in force, and lets everybody go who is not in it.
    pub(super) fn applied(&mut self, split: &Split, now: Instant) {
        self.split = split.clone();
        self.generation += 1;
        self.members.retain(|(set, instance, address), member| {
            let stays = split.share(set).is_some_and(|share| {
                share.members.iter().any(|m| m.instance == *instance && m.address == Some(*address))
            });
            if !stays {
                member.leave(now);
            }
            stays || !member.load().is_idle()
        });
        while self.sets.len() > REMEMBERED_SETS {
            let Some(index) = self.sets.iter().position(|set| split.share(&set.id).is_none()) else { break };
            self.sets.remove(index);
        }
    }

    /// What an instance is busy with; with an address only what was claimed at that.
    pub(super) fn load(&self, wanted: &Member) -> MemberLoad {
        let mut sum = MemberLoad::default();
        for ((_, instance, address), member) in &self.members {
            if *instance == wanted.instance && wanted.address.is_none_or(|wanted| wanted == *address) {
                let load = member.load();
                sum.requests += load.requests;
                sum.tunnels += load.tunnels;
            }
        }
        sum
    }

    pub(super) fn find_set(&self, id: &SetId) -> Option<&Arc<SetState>> {
        self.sets.iter().find(|set| set.id == *id)
    }

    pub(super) fn sets(&self) -> &[Arc<SetState>] {
        &self.sets
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Arc<MemberState>> {
        self.members.values()
    }

    pub(super) fn set_stats(&self) -> Vec<SetStats> {
        self.sets.iter().map(|set| set.stats()).collect()
    }

    pub(super) fn member_stats(&self, now: Instant) -> Vec<MemberStats> {
        let mut stats: Vec<_> = self
            .members
            .values()
            .filter(|member| member.is_in_split() || !member.load().is_idle())
            .map(|member| member.stats(now))
            .collect();
        stats.sort_by(|a, b| (&a.set, &a.instance, a.address).cmp(&(&b.set, &b.instance, b.address)));
        stats
    }

    fn set(&mut self, id: &SetId, now: Instant) -> Arc<SetState> {
        if let Some(set) = self.find_set(id) {
            return set.clone();
        }
        let set = Arc::new(SetState::new(id.clone(), now));
        self.sets.push(set.clone());
        set
    }

    fn member(&mut self, set: &Arc<SetState>, member: &Member, now: Instant) -> Option<Arc<MemberState>> {
        let address = member.address?;
        let key = (set.id.clone(), member.instance.clone(), address);
        let state = self.members.entry(key).or_insert_with(|| {
            let changes = self.changes.clone();
            Arc::new(MemberState::new(set.clone(), member.instance.clone(), address, changes, now))
        });
        state.enter();
        Some(state.clone())
    }
}
