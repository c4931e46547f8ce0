//! From what target, router and probes said to one observation. Pure.

use std::{collections::BTreeMap, sync::Arc};

use super::memory::{Memory, Remembered, unknown_places};
use crate::{
    model::{
        InFlight, Instance, InstanceId, InstancePhase, Member, Split, Timestamp, TrafficView, WorkloadView,
    },
    strategy::{InstanceSeen, Observation, PlaceSeen, ProbeHistory, Seen, SetSeen, TrafficSeen},
};

/// What the backends said when they were last asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    pub(super) target: Seen<WorkloadView>,
    pub(super) traffic: Option<Seen<TrafficView>>,
    pub(super) in_flight: BTreeMap<InstanceId, InFlight>,
}

/// Whether the split has it as a member under its present address. A router that takes whole sets names no members.
pub(super) fn in_rotation(split: &Split, remembered: &Remembered, whole_sets: bool) -> bool {
    let Some(share) = split.share(&remembered.set) else { return false };
    if whole_sets {
        return matches!(remembered.instance.phase, InstancePhase::Running { ready } if ready != Some(false));
    }
    share.members.iter().any(|member| {
        member.instance == remembered.instance.id && !is_elsewhere(member, &remembered.instance)
    })
}

/// Whether requests for a member can no longer reach it. One that is being started again has no address yet: it may
/// come back under the old one, so until then it stays a member.
fn is_elsewhere(member: &Member, instance: &Instance) -> bool {
    member.address.is_some_and(|known| instance.address.is_some_and(|present| present != known))
}

/// How probes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// There is a health check; without one the platform's readiness counts.
    pub(super) probed: bool,
    /// The router takes whole sets.
    pub(super) whole_sets: bool,
}

/// One observation, but for what does not come from target, router and probes.
pub(super) fn assemble(
    look: &Look,
    memory: &Memory,
    probes: &BTreeMap<InstanceId, ProbeHistory>,
    reading: Reading,
    now: Timestamp,
) -> Observation {
    let split = match &look.traffic {
        Some(Seen::Known(view)) => Some(&view.split),
        _ => None,
    };
    let (sets, unknown_places) = match &look.target {
        Seen::Unknown { why } => (Seen::Unknown { why: why.clone() }, Vec::new()),
        Seen::Known(view) => {
            let sets = memory.sets().into_iter().map(|set| {
                let of_set = memory.instances.values().filter(|remembered| remembered.set == set);
                let seen = |remembered: &Remembered| {
                    let in_rotation =
                        split.is_some_and(|split| in_rotation(split, remembered, reading.whole_sets));
                    let history = probes.get(&remembered.instance.id);
                    let in_flight = look.in_flight.get(&remembered.instance.id).copied();
                    instance_seen(remembered, history, reading.probed, in_rotation, in_flight)
                };
                SetSeen { instances: of_set.map(seen).collect(), hidden: memory.hidden(&set), set }
            });
            let mut places: Vec<PlaceSeen> = unknown_places(view)
                .map(|(place, why)| PlaceSeen {
                    place: place.clone(),
                    why: why.clone(),
                    remembered: memory.places.contains(place),
                })
                .collect();
            places.sort_by(|a, b| a.place.cmp(&b.place));
            (Seen::Known(sets.collect()), places)
        }
    };
    Observation {
        now,
        sets,
        unknown_places,
        traffic: look.traffic.as_ref().map(|traffic| traffic_seen(traffic, memory)),
        prepared: Vec::new(),
        accepted: None,
        gates: Vec::new(),
        requests: Vec::new(),
        refused: None,
    }
}

fn instance_seen(
    remembered: &Remembered,
    history: Option<&ProbeHistory>,
    probed: bool,
    in_rotation: bool,
    in_flight: Option<InFlight>,
) -> InstanceSeen {
    let instance = &remembered.instance;
    let platform = remembered.ready_since.filter(|_| !remembered.unknown);
    let by_probes = history.and_then(ProbeHistory::ready_since);
    let ready_since = if probed { platform.zip(by_probes).map(|(a, b)| a.max(b)) } else { platform };
    // Who served before this process looked was verified by another one, at some time after it was started.
    let ready_since =
        ready_since.map(|since| if remembered.trusted { since.min(instance.started_at) } else { since });
    let not_ready_any_more =
        remembered.was_ready && matches!(instance.phase, InstancePhase::Running { ready: Some(false) });
    InstanceSeen {
        id: instance.id.clone(),
        address: instance.address,
        phase: instance.phase.clone(),
        started_at: instance.started_at.max(remembered.first_seen),
        restarts: instance.restarts,
        ready_since,
        has_fallen: not_ready_any_more || history.is_some_and(ProbeHistory::has_fallen),
        judged: !probed || history.is_some_and(ProbeHistory::is_judged),
        trouble: history.map_or_else(|| Arc::from(""), |history| Arc::from(history.last_failure())),
        digest: Arc::clone(&instance.digest),
        in_rotation,
        in_flight: in_flight.unwrap_or(InFlight::Unknown),
        unknown: remembered.unknown,
    }
}

fn traffic_seen(traffic: &Seen<TrafficView>, memory: &Memory) -> Seen<TrafficSeen> {
    let view = match traffic {
        Seen::Unknown { why } => return Seen::Unknown { why: why.clone() },
        Seen::Known(view) => view,
    };
    let members = view.split.shares().iter().flat_map(|share| &share.members);
    let stale = members.filter(|member| {
        let instance = memory.instances.get(&member.instance).map(|remembered| &remembered.instance);
        instance.is_none_or(|instance| is_elsewhere(member, instance))
    });
    Seen::Known(TrafficSeen {
        fingerprint: Observation::fingerprint_of(&view.split),
        stale_members: u32::try_from(stale.count()).unwrap_or(u32::MAX),
        split: view.split.clone(),
        proof: view.proof,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{InFlight, Place, PlaceStatus, PlaceView, Proof, SetId, SetSpec, SetView, Share},
        strategy::Command,
    };

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn instance(id: &str, place: &str, ready: Option<bool>) -> Instance {
        Instance {
            id: InstanceId::new(id).unwrap(),
            place: Place::new(place).unwrap(),
            address: Some(([127, 0, 0, 1], 80).into()),
            phase: InstancePhase::Running { ready },
            started_at: at(1),
            restarts: 0,
            digest: "sha".into(),
        }
    }

    fn view(places: &[(&str, bool)], instances: Vec<Instance>) -> WorkloadView {
        let places = places.iter().map(|(place, known)| PlaceView {
            place: Place::new(place).unwrap(),
            status: if *known { PlaceStatus::Known } else { PlaceStatus::Unknown { why: "gone".into() } },
        });
        WorkloadView {
            places: places.collect(),
            sets: vec![SetView { set: SetId::new("v1").unwrap(), instances }],
        }
    }

    fn split(members: &[(&str, u16)]) -> Split {
        let member = |(id, port): &(&str, u16)| Member {
            instance: InstanceId::new(id).unwrap(),
            address: Some(([127, 0, 0, 1], *port).into()),
        };
        let members = members.iter().map(member).collect();
        Split::Serve {
            shares: vec![Share { set: SetId::new("v1").unwrap(), weight: 1, members }],
            routes: vec![],
        }
    }

    fn seen(memory: &mut Memory, target: WorkloadView, split: Option<Split>, now: u64) -> Observation {
        memory.take_in(&target, at(now));
        let traffic = split.map(|split| Seen::Known(TrafficView { split, proof: Proof::Pending }));
        let look = Look { target: Seen::Known(target), traffic, in_flight: BTreeMap::new() };
        memory.trust_those_that_serve(&look, None, false);
        assemble(&look, memory, &BTreeMap::new(), Reading { probed: false, whole_sets: false }, at(now))
    }

    fn instances(seen: &Observation) -> &[InstanceSeen] {
        let Seen::Known(sets) = &seen.sets else { panic!("{:?}", seen.sets) };
        &sets[0].instances
    }

    #[test]
    fn what_was_at_a_place_that_is_unknown_now_stays_as_unknown() {
        let mut memory = Memory::default();
        let both = vec![instance("b", "north", Some(true)), instance("a", "south", Some(true))];
        let first = seen(&mut memory, view(&[("north", true), ("south", true)], both), None, 10);
        assert_eq!(instances(&first).iter().map(|seen| seen.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let north = || vec![instance("b", "north", Some(true))];
        let second = seen(&mut memory, view(&[("north", true), ("south", false)], north()), None, 20);
        let [a, b] = instances(&second) else { panic!("{second:?}") };
        assert!(a.unknown && a.ready_since.is_none() && !b.unknown && b.ready_since.is_some());
        assert_eq!(second.unknown_places.len(), 1);
        let third = seen(&mut memory, view(&[("north", true), ("south", true)], north()), None, 30);
        assert_eq!(instances(&third).len(), 1, "the place is known again and it is not there");
    }

    #[test]
    fn who_was_told_to_stop_is_stopping_as_long_as_nobody_can_look() {
        let mut memory = Memory::default();
        let both = || vec![instance("a", "south", None), instance("b", "south", None)];
        seen(&mut memory, view(&[("south", true)], both()), None, 10);
        let spec = SetSpec {
            set: SetId::new("v1").unwrap(),
            replicas: 1,
            remove_first: vec![InstanceId::new("a").unwrap()],
        };
        memory.told(&Command::Apply(spec), true);
        let dark = seen(&mut memory, view(&[("south", false)], vec![]), None, 20);
        assert!(instances(&dark)[0].is_stopping() && instances(&dark)[1].counts(), "{dark:?}");
        let dark = seen(&mut memory, view(&[("south", false)], both()), None, 30);
        assert!(instances(&dark)[0].is_stopping() && instances(&dark)[1].counts(), "{dark:?}");
        let light = seen(&mut memory, view(&[("south", true)], both()), None, 40);
        assert!(instances(&light)[0].counts(), "what can be seen is what is so");
        let dark = seen(&mut memory, view(&[("south", false)], vec![]), None, 50);
        assert!(instances(&dark)[0].counts());
    }

    #[test]
    fn a_failed_look_is_unknown_and_never_empty() {
        let mut memory = Memory::default();
        seen(&mut memory, view(&[("north", true)], vec![instance("a", "north", None)]), None, 10);
        let look =
            Look { target: Seen::Unknown { why: "down".into() }, traffic: None, in_flight: BTreeMap::new() };
        let reading = Reading { probed: false, whole_sets: false };
        let seen = assemble(&look, &memory, &BTreeMap::new(), reading, at(20));
        assert_eq!(seen.sets, Seen::Unknown { why: "down".into() });
    }

    #[test]
    fn in_rotation_is_a_member_under_its_present_address() {
        let mut memory = Memory::default();
        let both = || vec![instance("a", "north", None), instance("b", "north", None)];
        let places = [("north", true)];
        let seen =
            seen(&mut memory, view(&places, both()), Some(split(&[("a", 80), ("b", 81), ("c", 80)])), 10);
        let rotation: Vec<bool> = instances(&seen).iter().map(|seen| seen.in_rotation).collect();
        assert_eq!(rotation, [true, false]);
        let Some(Seen::Known(traffic)) = &seen.traffic else { panic!() };
        assert_eq!(traffic.stale_members, 2, "another address, and gone");
        assert_eq!(instances(&seen)[0].in_flight, InFlight::Unknown);
    }

    #[test]
    fn who_is_started_again_stays_a_member_until_it_has_another_address() {
        let mut memory = Memory::default();
        let mut look = |address: Option<u16>, now| {
            let address = address.map(|port| ([127, 0, 0, 1], port).into());
            let instance = Instance { address, ..instance("a", "north", None) };
            let seen =
                seen(&mut memory, view(&[("north", true)], vec![instance]), Some(split(&[("a", 80)])), now);
            let Some(Seen::Known(traffic)) = &seen.traffic else { panic!() };
            (instances(&seen)[0].in_rotation, traffic.stale_members)
        };
        assert_eq!(look(Some(80), 10), (true, 0));
        assert_eq!(look(None, 20), (true, 0), "it is being started again");
        assert_eq!(look(Some(81), 30), (false, 1));
    }

    #[test]
    fn readiness_of_the_platform_counts_from_when_it_was_first_seen() {
        let mut memory = Memory::default();
        let mut look = |ready, restarts, now| {
            let instance = Instance { restarts, ..instance("a", "north", ready) };
            let seen = seen(&mut memory, view(&[("north", true)], vec![instance]), Some(split(&[])), now);
            (instances(&seen)[0].ready_since, instances(&seen)[0].has_fallen)
        };
        assert_eq!(look(Some(false), 0, 10), (None, false));
        assert_eq!(look(Some(true), 0, 20), (Some(at(20)), false));
        assert_eq!(look(Some(true), 0, 30), (Some(at(20)), false));
        assert_eq!(look(Some(false), 0, 40), (None, true), "it was ready and is no longer");
        assert_eq!(look(None, 1, 50), (Some(at(50)), false), "a restarted one starts anew");
    }

    #[test]
    fn who_served_before_the_first_look_is_trusted_and_a_newcomer_is_not() {
        let mut memory = Memory::default();
        let a = || instance("a", "north", None);
        let places = [("north", true)];
        let first = seen(&mut memory, view(&places, vec![a()]), Some(split(&[("a", 80)])), 1000);
        assert_eq!(instances(&first)[0].ready_since, Some(at(1)), "since its start");
        let both = vec![a(), instance("b", "north", None)];
        let second = seen(&mut memory, view(&places, both), Some(split(&[("a", 80), ("b", 80)])), 2000);
        assert_eq!(instances(&second)[1].ready_since, Some(at(2000)));
    }
}
