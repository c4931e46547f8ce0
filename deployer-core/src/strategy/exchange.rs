//! One set takes the place of the others, within a budget: the way forward of rolling, the way back of nearly
//! everything, and the retirement of what is no longer needed.

use super::{
    Command, Decision, InstanceSeen, Phase, SetSeen, Situation, Tally, WaitReason, gate, traffic, weighing,
};
use crate::model::{AttachPoint, InstanceId, Maintenance, Proof, SetId, SetSpec, Share, Split};

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange<'a> {
    /// Who takes over.
    pub to: &'a SetId,
    /// How many of it at the end; the others keep what is missing to the replicas.
    pub goal: u32,
    /// A set that is neither side.
    pub spare: Option<&'a SetId>,
}

/// The next move, or `None` once `goal` instances of `to` are in rotation and the others have shrunk to the rest.
pub(super) fn exchange(s: &Situation<'_>, wanted: Exchange<'_>) -> Option<Decision> {
    let sides = Sides::of(s, wanted);
    if let Some(decision) = sides.whole_first(s) {
        return Some(decision);
    }
    if let Some(decision) = sides.shift(s) {
        return Some(decision);
    }
    if let Some(decision) = sides.note_progress(s) {
        return Some(decision);
    }
    sides.resize(s).or_else(|| sides.wait(s))
}

/// Who of the side that takes over is in rotation after the next shift, and whether that is a change.
#[derive(Default)]
struct Entering<'a> {
    members: Vec<(bool, &'a InstanceSeen)>,
    changed: bool,
}

struct Sides<'a> {
    to: &'a SetId,
    goal: u32,
    set: Option<&'a SetSeen>,
    tally: Tally,
    others: Vec<(&'a SetSeen, Tally)>,
    other_goal: u32,
}

impl<'a> Sides<'a> {
    fn of(s: &Situation<'a>, wanted: Exchange<'a>) -> Self {
        let Exchange { to, goal, spare } = wanted;
        let stable = s.state.stable.as_ref();
        let is_other = |set: &&SetSeen| set.set != *to && Some(&set.set) != spare;
        let mut others: Vec<_> = s.sets().iter().filter(is_other).map(|set| (set, s.tally_of(set))).collect();
        // Leftovers go before the old set, the old set before the new one.
        others.sort_by_key(|(set, _)| (Some(&set.set) == stable, set.set == s.state.candidate));
        let set = s.set(to);
        let tally = set.map_or_else(Tally::default, |set| s.tally_of(set));
        Self { to, goal, set, tally, others, other_goal: s.replicas().saturating_sub(goal) }
    }

    fn other(&self, number: impl Fn(&Tally) -> u32) -> u32 {
        self.others.iter().map(|(_, tally)| number(tally)).sum()
    }

    fn is_given_up(s: &Situation<'_>, set: &SetSeen, instance: &InstanceSeen) -> bool {
        set.set == s.state.candidate
            && s.state.failed.contains(&instance.id)
            && !s.is_verified(&set.set, instance)
    }

    /// Instances that started lately and are not verified yet: a batch enters rotation as one.
    fn is_batch_starting(&self, s: &Situation<'_>) -> bool {
        let deadline = s.plan.settings.start_deadline;
        self.set.is_some_and(|set| {
            set.instances.iter().any(|i| {
                i.counts()
                    && !s.is_verified(self.to, i)
                    && s.now() < i.started_at.after(deadline)
                    && !Self::is_given_up(s, set, i)
            })
        })
    }

    /// On the way back the old set is made whole first where there is room, and traffic returns in one step.
    fn whole_first(&self, s: &Situation<'_>) -> Option<Decision> {
        let can_be_whole = self.tally.size.saturating_add(s.room()) >= self.goal;
        let is_needed = self.other(|t| t.in_rotation) > 0 && self.tally.verified < self.goal;
        if s.state.is_forward() || !s.has_router() || !can_be_whole || !is_needed {
            return None;
        }
        Some(self.grow(s).unwrap_or_else(|| self.wait_verified(s)))
    }

    fn grow(&self, s: &Situation<'_>) -> Option<Decision> {
        let missing = self.goal.saturating_sub(self.tally.size);
        let more = missing.min(s.room());
        // One batch after the other, and each as large as it can be: that keeps the preview true.
        if more == 0 || self.is_batch_starting(s) || (more < missing && self.other(|t| t.stopping) > 0) {
            return None;
        }
        let spec =
            SetSpec { set: self.to.clone(), replicas: self.tally.size + more, remove_first: Vec::new() };
        Some(Decision::Act {
            commands: vec![Command::Apply(spec)],
            why: "start instances that take over".into(),
        })
    }

    /// Who of `to` is in rotation after the next shift.
    fn entering(&self, s: &Situation<'_>) -> Entering<'a> {
        let Some(set) = self.set else { return Entering::default() };
        let hold = self.is_batch_starting(s);
        let mut after = Entering::default();
        for instance in set.instances.iter().filter(|i| i.counts()) {
            let verified = s.is_verified(self.to, instance);
            let enters = !instance.in_rotation && verified && !hold;
            let leaves = instance.in_rotation && Self::is_given_up(s, set, instance);
            after.changed |= enters || leaves;
            if enters || (instance.in_rotation && !leaves) {
                after.members.push((verified, instance));
            }
        }
        if after.members.len() > self.goal as usize {
            after
                .members
                .sort_by_key(|(verified, instance)| (!verified, !instance.in_rotation, instance.id.clone()));
            after.members.truncate(self.goal as usize);
            after.members.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
            after.changed = true;
        }
        after
    }

    fn shift(&self, s: &Situation<'_>) -> Option<Decision> {
        let traffic = s.traffic()?;
        let entering = self.entering(s);
        let interrupted = matches!(traffic.split, Split::Maintenance(_));
        if interrupted && entering.members.is_empty() {
            return None;
        }
        if self.is_cornered(s) {
            let commands = vec![Command::Shift(Split::Maintenance(Maintenance::default()))];
            let why = "the only instance has to go before its successor can start".into();
            return Some(Decision::Act { commands, why });
        }
        let (leave, back) = self.flows(s, &entering);
        if !entering.changed
            && leave == 0
            && back == 0
            && traffic.stale_members == 0
            && weighing::is_plain(&traffic.split)
        {
            return None;
        }
        if entering.changed
            && self.is_rolling_forward(s)
            && let Some(decision) = gate::pass(s, AttachPoint::BeforeTraffic, s.state.reached)
        {
            return Some(decision);
        }
        let members = entering.members.iter().map(|(_, instance)| traffic::member(instance)).collect();
        let mut shares = self.staying(s, leave, back);
        shares.push(Share { set: self.to.clone(), weight: 0, members });
        shares.retain(|share| !share.members.is_empty());
        if shares.is_empty() {
            return None;
        }
        weighing::weigh(s, &mut shares);
        shares.sort_by(|a, b| a.set.cmp(&b.set));
        let split = Split::Serve { shares, routes: Vec::new() };
        if split == traffic.split {
            return None;
        }
        let why = match &s.plan.target.exclusive {
            Some(why) if entering.members.is_empty() => format!("old instances go first: {why}").into(),
            _ => "verified instances take over".into(),
        };
        Some(Decision::Act { commands: vec![Command::Shift(split)], why })
    }

    /// Whether the last instance in rotation has to go, as the budget allows, before anything else can move.
    fn is_cornered(&self, s: &Situation<'_>) -> bool {
        s.budget.min_available == 0
            && s.room() == 0
            && self.tally.existing == 0
            && self.other(|t| t.existing) == 1
            && self.other(|t| t.in_rotation) == 1
            && s.plan.router.as_ref().is_some_and(|router| router.maintenance)
    }

    /// How many of the others leave the rotation, and how many come back to it.
    fn flows(&self, s: &Situation<'_>, entering: &Entering<'_>) -> (u32, u32) {
        let count = u32::try_from(entering.members.len()).unwrap_or(u32::MAX);
        let entering_well =
            u32::try_from(entering.members.iter().filter(|(well, _)| *well).count()).unwrap_or(u32::MAX);
        let floor = s.budget.min_available;
        let keep = self.other_goal.max(floor.saturating_sub(count)).max(u32::from(count == 0));
        let present = self.other(|t| t.in_rotation);
        let available = self.other(|t| t.available);
        // What of the old set is well and out of rotation takes the place of leftovers first.
        let is_stable = |(set, _): &&(&SetSeen, Tally)| s.state.stable.as_ref() == Some(&set.set);
        let out: u32 =
            self.others.iter().filter(is_stable).map(|(_, t)| t.verified.saturating_sub(t.available)).sum();
        let leftover: u32 =
            self.others.iter().filter(|other| !is_stable(other)).map(|(_, t)| t.in_rotation).sum();
        let back = if self.may_return(s) { keep.saturating_sub(present).max(leftover).min(out) } else { 0 };
        let well = (entering_well + available + back).saturating_sub(floor.min(s.available()));
        let leave = (present + back).saturating_sub(keep).min((present - available) + well).min(present);
        (leave, back)
    }

    /// The others' shares after `leave` of them left and `back` came back.
    fn staying(&self, s: &Situation<'_>, mut leave: u32, mut back: u32) -> Vec<Share> {
        let mut result = Vec::with_capacity(self.others.len() + 1);
        // Unwell ones leave first, whichever set they are in.
        let mut unwell = leave.min(self.other(|t| t.in_rotation - t.available.min(t.in_rotation)));
        for (set, _) in &self.others {
            let mut stay: Vec<_> = set.instances.iter().filter(|i| i.in_rotation && i.exists()).collect();
            stay.reverse();
            stay.retain(|i| {
                !(unwell > 0 && !s.is_verified(&set.set, i) && take(&mut unwell) && take(&mut leave))
            });
            result.push((*set, stay));
        }
        for (set, stay) in &mut result {
            stay.retain(|_| !(leave > 0 && take(&mut leave)));
            let is_stable = s.state.stable.as_ref() == Some(&set.set);
            let out =
                set.instances.iter().filter(|i| is_stable && !i.in_rotation && s.is_verified(&set.set, i));
            stay.extend(out.take_while(|_| back > 0 && take(&mut back)));
            stay.sort_by(|a, b| a.id.cmp(&b.id));
        }
        let share = |(set, stay): (&SetSeen, Vec<&InstanceSeen>)| Share {
            set: set.set.clone(),
            weight: 0,
            members: stay.into_iter().map(traffic::member).collect(),
        };
        result.into_iter().map(share).collect()
    }

    fn is_rolling_forward(&self, s: &Situation<'_>) -> bool {
        let is_repair = s.state.stable.as_ref() == Some(self.to);
        self.may_return(s) && !is_repair
    }

    /// An old instance that was restarted may come back while rolling forward; a new one never on the way back.
    fn may_return(&self, s: &Situation<'_>) -> bool {
        s.state.is_forward() && s.state.phase == Phase::Provisioning && *self.to == s.state.candidate
    }

    fn note_progress(&self, s: &Situation<'_>) -> Option<Decision> {
        let reached = if s.has_router() { self.tally.in_rotation } else { self.tally.verified };
        if reached <= s.state.reached || s.traffic().is_some_and(|t| t.proof == Proof::Pending) {
            return None;
        }
        let drain = traffic::drain_timer(s);
        Some(s.progress("more instances have taken over", |state| {
            state.reached = reached;
            let same = state.drain.map(|timer| timer.of) == drain.map(|timer| timer.of);
            state.drain = if same { state.drain } else { drain };
        }))
    }

    /// Stop what has left, start what is missing. The two do not depend on each other.
    fn resize(&self, s: &Situation<'_>) -> Option<Decision> {
        if self.is_rolling_forward(s)
            && s.state.reached > 0
            && let Some(decision) = gate::pass(s, AttachPoint::EachStep, s.state.reached)
        {
            return Some(decision);
        }
        let leaving = self.leaving(s);
        let mut commands = Vec::new();
        if !leaving.is_empty() {
            let all = leaving.iter().flat_map(|(_, instances)| instances.iter().copied());
            match traffic::proven(s).or_else(|| traffic::drained(s, all)) {
                Some(decision) => return Some(decision),
                None => commands.extend(leaving.iter().map(|(set, instances)| self.stop(set, instances))),
            }
        }
        if let Some(Decision::Act { commands: growth, .. }) = self.grow(s)
            && !leaving.iter().any(|(set, _)| set.set == *self.to)
        {
            commands.extend(growth);
        }
        if commands.is_empty() {
            commands.extend(self.remnants().map(|set| Command::Remove(set.set.clone())));
        }
        (!commands.is_empty())
            .then(|| Decision::Act { commands, why: "stop what has left, start what is missing".into() })
    }

    /// Instances beyond what is wanted that are out of rotation, unwell ones first.
    fn leaving(&self, s: &Situation<'_>) -> Vec<(&'a SetSeen, Vec<&'a InstanceSeen>)> {
        let (most, most_well) = self.superfluous(s);
        let mut candidates = Vec::new();
        for (order, (set, _)) in self.others.iter().enumerate() {
            let out = set.instances.iter().filter(|i| may_leave(s, i));
            candidates.extend(out.map(|i| (s.is_verified(&set.set, i), order, i)));
        }
        candidates.sort_by(|(a_well, a_order, a), (b_well, b_order, b)| {
            (a_well, a_order, &b.id).cmp(&(b_well, b_order, &a.id))
        });
        let mut well_left = most_well;
        candidates.retain(|(well, ..)| !*well || (well_left > 0 && take(&mut well_left)));
        candidates.truncate(most as usize);
        let mut result: Vec<_> = self.others.iter().map(|(set, _)| (*set, Vec::new())).collect();
        for (_, order, instance) in candidates {
            result[order].1.push(instance);
        }
        for (set, out) in &mut result {
            if s.could_grow(set, out.len()) {
                out.clear();
            }
        }
        result.extend(self.set.map(|set| (set, self.leaving_of_own(s, set))));
        result.retain(|(_, out)| !out.is_empty());
        result
    }

    /// Of the side that takes over: what is beyond the goal, else what was given up.
    fn leaving_of_own(&self, s: &Situation<'_>, set: &'a SetSeen) -> Vec<&'a InstanceSeen> {
        let mut out: Vec<_> = set.instances.iter().filter(|i| may_leave(s, i)).collect();
        let excess = self.tally.size.saturating_sub(self.goal);
        if excess == 0 {
            out.retain(|i| Self::is_given_up(s, set, i));
            if s.could_grow(set, out.len()) {
                out.clear();
            }
            return out;
        }
        out.sort_by(|a, b| (s.is_verified(&set.set, a), &b.id).cmp(&(s.is_verified(&set.set, b), &a.id)));
        if !s.has_router() {
            // Who cannot be reached is part of the excess, and nobody serves in its place yet.
            let mut well_left = self.tally.verified.saturating_sub(self.goal);
            out.retain(|i| !s.is_verified(&set.set, i) || (well_left > 0 && take(&mut well_left)));
        }
        out.truncate(excess as usize);
        if s.could_grow(set, out.len()) {
            out.clear();
        }
        out
    }

    /// How many of the others may stop now, and how many of those that are well: the rest is still needed, for the
    /// size that they keep or for the floor.
    fn superfluous(&self, s: &Situation<'_>) -> (u32, u32) {
        let size = self.other(|t| t.size);
        let floor = s.budget.min_available;
        let arrived = if s.has_router() { self.tally.available } else { self.tally.verified.min(self.goal) };
        let most = size.saturating_sub(self.other_goal).min((size + arrived).saturating_sub(floor));
        if s.has_router() {
            return (most, most);
        }
        let well = self.other(|t| t.available) + arrived;
        (most, if self.is_batch_starting(s) { 0 } else { well.saturating_sub(floor.min(s.available())) })
    }

    fn stop(&self, set: &SetSeen, instances: &[&InstanceSeen]) -> Command {
        let size = set.instances.iter().filter(|i| i.counts()).count() + set.hidden as usize;
        if instances.len() == size && set.set != *self.to {
            return Command::Remove(set.set.clone());
        }
        let mut remove_first: Vec<InstanceId> = instances.iter().map(|i| i.id.clone()).collect();
        remove_first.sort();
        let replicas = u32::try_from(size - instances.len()).unwrap_or(u32::MAX);
        Command::Apply(SetSpec { set: set.set.clone(), replicas, remove_first })
    }

    /// Sets of the other side that have only ended instances left, when none of them is wanted.
    fn remnants(&self) -> impl Iterator<Item = &'a SetSeen> {
        let last = self.other_goal == 0;
        self.others.iter().filter(move |(_, tally)| last && tally.existing == 0).map(|(set, _)| *set)
    }

    fn wait_verified(&self, s: &Situation<'_>) -> Decision {
        let why =
            WaitReason::Verifying { set: self.to.clone(), verified: self.tally.verified, wanted: self.goal };
        s.wait_until(why, next_verification(s, self.to))
    }

    fn wait(&self, s: &Situation<'_>) -> Option<Decision> {
        if self.is_batch_starting(s) {
            return Some(self.wait_verified(s));
        }
        let stopping = self.other(|t| t.stopping) + self.tally.stopping;
        if stopping > 0 {
            return Some(s.wait(WaitReason::Stopping { instances: stopping }));
        }
        let arrived = if s.has_router() { self.tally.available } else { self.tally.verified };
        if self.tally.size != self.goal || arrived < self.goal {
            return Some(self.wait_verified(s));
        }
        if self.other(|t| t.size) > self.other_goal || (self.other_goal == 0 && !self.others.is_empty()) {
            let why = "instances of other sets cannot be stopped yet".into();
            return Some(s.wait(WaitReason::NoRoom { why }));
        }
        traffic::proven(s)
    }
}

/// Running where it can be reached, and out of rotation where there is one.
fn may_leave(s: &Situation<'_>, instance: &InstanceSeen) -> bool {
    instance.counts() && !instance.unknown && !(s.has_router() && instance.in_rotation)
}

/// The next moment at which time alone changes who of a set is verified, or failed.
pub(super) fn next_verification(s: &Situation<'_>, set: &SetId) -> crate::model::Timestamp {
    let settings = &s.plan.settings;
    let next = |i: &InstanceSeen| match i.ready_since {
        Some(since) => since.after(settings.min_ready),
        None => i.started_at.after(settings.start_deadline),
    };
    let instances = s.set(set).map_or(&[][..], |set| &set.instances);
    let waiting = instances.iter().filter(|i| i.counts() && !s.is_verified(set, i)).map(next);
    waiting.filter(|at| *at > s.now()).min().unwrap_or(s.state.progress_until)
}

/// Counts down and says yes.
fn take(number: &mut u32) -> bool {
    *number -= 1;
    true
}
