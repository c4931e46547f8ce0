//! The loop: look, ask the strategy, remember or do what it says.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Recorder, Stop,
    apply::{Ended, Hands},
    assemble::{Look, Reading, assemble},
    control::Control,
    evidence::Collector,
    gates::{GateDesk, verified},
    memory::Memory,
    observe::look,
    pace::{Pace, is_idle},
    parts::{KnownReleases, RolloutParts},
    probes::Probes,
    wake::{Hints, Wake},
};
use crate::{
    error::{BackendError, ErrorKind, Retry},
    event::{CommandResult, EventKind},
    model::{Artifact, Epoch, GateId, ReleaseId, SetSpec, Timestamp, WorkloadId},
    pipeline::Rollout,
    ports::{CallContext, GateWindow},
    strategy::{
        Command, CommandFailure, CommandKind, Decision, Observation, Outcome, Plan, RolloutState, Seen,
        WaitReason, invariant, step,
    },
};

/// The most that a strategy may keep in its private memory, in bytes of JSON.
const MEMORY_LIMIT: usize = 16 * 1024;

/// What a driver works with.
#[derive(Debug)]
pub(crate) struct Driver<'a> {
    parts: &'a RolloutParts,
    control: &'a Control,
    recorder: &'a mut Recorder,
    known: &'a KnownReleases,
    context: CallContext,
    locked: &'a [WorkloadId],
    lock_epoch: Epoch,
    plan: Plan,
    state: RolloutState,
    memory: Memory,
    look: Look,
    looked_at: Timestamp,
    renewed_at: Timestamp,
    probes: Probes,
    hints: Hints,
    pace: Pace,
    gates: GateDesk,
    prepared: Vec<(ReleaseId, Artifact)>,
    accepted: Option<SetSpec>,
    refused: Option<CommandFailure>,
    results: Vec<CommandResult>,
    unclear: bool,
    collector: Collector,
    /// The world must be looked at before the next decision.
    stale: bool,
    shown: Option<WaitReason>,
    asked: Vec<Command>,
}

/// What does not belong to the rollout itself.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) parts: &'a RolloutParts,
    pub(crate) control: &'a Control,
    pub(crate) recorder: &'a mut Recorder,
    pub(crate) known: &'a KnownReleases,
    pub(crate) context: CallContext,
    /// All workloads of the deployment.
    pub(crate) locked: &'a [WorkloadId],
    /// The epoch that the lock gave, to renew it with.
    pub(crate) lock_epoch: Epoch,
}

impl<'a> Driver<'a> {
    /// Goes on with a rollout where it stands.
    pub(crate) fn new(around: Surroundings<'a>, rollout: Rollout) -> Self {
        let Surroundings { parts, control, recorder, known, context, locked, lock_epoch } = around;
        let now = parts.tools.clock.now();
        let unknown = "it was not looked at yet".to_owned();
        Self {
            parts,
            control,
            recorder,
            known,
            locked,
            lock_epoch,
            state: rollout.state.resumed(&rollout.plan, now),
            plan: rollout.plan,
            memory: Memory::default(),
            look: Look { target: Seen::Unknown { why: unknown }, traffic: None, in_flight: [].into() },
            looked_at: now,
            renewed_at: now,
            probes: Probes::new(parts.check.clone(), &parts.probing, &parts.tools.clock, &context),
            context,
            hints: Hints::default(),
            pace: Pace::default(),
            gates: GateDesk::default(),
            prepared: Vec::new(),
            accepted: None,
            refused: None,
            results: Vec::new(),
            unclear: false,
            collector: Collector::default(),
            stale: true,
            shown: None,
            asked: Vec::new(),
        }
    }

    /// Runs the loop to the end of the rollout. Dropping it is a crash: everything that counts is in the journal.
    pub(crate) async fn run(mut self) -> Result<Outcome, Stop> {
        self.control.begin(&self.context.deployment, self.state.last_request);
        let outcome = loop {
            if let Some(why) = self.control.take_interrupt() {
                return Err(Stop::Asked(why));
            }
            self.refresh().await;
            let seen = self.observation();
            let decision = self.decide(&seen);
            if self.is_old() && !only_waits(&decision) {
                // Nothing follows from an old look.
                self.stale = true;
                continue;
            }
            match decision {
                Decision::Advance { state, why } => {
                    if let Some(outcome) = self.forbidden_advance(&state, &seen) {
                        break outcome;
                    }
                    self.stale |= self.collect_evidence(&state, &seen).await;
                    self.advance(*state, why.into_owned()).await?;
                }
                Decision::Act { commands, why } => {
                    let checked =
                        invariant::check(&*self.parts.strategy, &self.plan, &self.state, &seen, &commands);
                    if let Err(violation) = checked {
                        break stuck(violation.to_string(), &seen);
                    }
                    if self.held_back(&commands, &seen).await {
                        continue;
                    }
                    if self.collect_evidence(&self.state.clone(), &seen).await {
                        // That took time, and an action follows from a fresh look.
                        self.stale = true;
                        continue;
                    }
                    self.act(commands, why.into_owned(), &seen).await?;
                }
                Decision::Wait { why, until } => self.wait(why, until, &seen).await?,
                Decision::Pause { why } => {
                    let why = WaitReason::Other { why: why.to_string() };
                    self.wait(why, Timestamp::from_millis(u64::MAX), &seen).await?;
                }
                Decision::Finish(outcome) => break outcome,
            }
        };
        self.finish(&outcome).await;
        Ok(outcome)
    }

    /// A strategy may be anybody's code, so it may panic.
    fn decide(&self, seen: &Observation) -> Decision {
        let decide = || step(&*self.parts.strategy, &self.plan, &self.state, seen);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(decide))
            .unwrap_or_else(|_| Decision::Finish(stuck("the strategy panicked".to_owned(), seen)))
    }

    fn is_old(&self) -> bool {
        self.parts.tools.clock.now().since(self.looked_at) > self.parts.tools.engine.active_look
    }

    /// Looks, unless the last look is recent and nothing happened since, or backends would have sent a hint.
    async fn refresh(&mut self) {
        if !self.stale && (!self.is_old() || self.hints.are_live(self.parts)) {
            return;
        }
        self.hints.open(self.parts, &self.context).await;
        let stable = self.state.stable.as_ref();
        let (look, at) = look(self.parts, &self.context, &mut self.memory, stable).await;
        self.look = look;
        self.looked_at = at;
        self.stale = false;
        self.probes.follow(&self.memory);
    }

    fn observation(&self) -> Observation {
        let whole_sets = self.plan.router.as_ref().is_some_and(|router| !router.members);
        let reading = Reading { probed: self.parts.check.is_some(), whole_sets };
        let now = self.parts.tools.clock.now();
        let mut seen = assemble(&self.look, &self.memory, &self.probes.histories(), reading, now);
        seen.prepared.clone_from(&self.prepared);
        seen.accepted.clone_from(&self.accepted);
        seen.gates = self.gates.seen();
        seen.requests = self.control.since(self.state.last_request);
        seen.refused.clone_from(&self.refused);
        seen
    }

    fn forbidden_advance(&mut self, next: &RolloutState, seen: &Observation) -> Option<Outcome> {
        if !self.state.is_forward() && next.is_forward() {
            let why = "invariant one_way would be broken: the rollout would turn forward again";
            return Some(stuck(why.to_owned(), seen));
        }
        if self.pace.too_many_advances() {
            return Some(stuck("the strategy remembers more and more and does nothing".to_owned(), seen));
        }
        let memory = next.memory.as_ref().and_then(|memory| serde_json::to_vec(memory).ok());
        if memory.is_some_and(|memory| memory.len() > MEMORY_LIMIT) {
            let why = format!("the strategy wants to remember more than {MEMORY_LIMIT} bytes");
            return Some(stuck(why, seen));
        }
        None
    }

    async fn advance(&mut self, state: RolloutState, why: String) -> Result<(), Stop> {
        self.recorder.record(EventKind::Advanced { state: Box::new(state.clone()), why }).await?;
        self.state = state;
        self.refused = None;
        self.shown = None;
        Ok(())
    }

    /// The same action is not repeated at once for ever. While it is held back only people are listened to; then the
    /// world is looked at anew.
    async fn held_back(&mut self, commands: &[Command], seen: &Observation) -> bool {
        let pause = if only_gates(commands) {
            let windows = self.windows(commands, seen);
            windows.iter().filter_map(|(gate, window)| self.gates.too_early(gate, window)).min()
        } else {
            let unclear = std::mem::take(&mut self.unclear);
            Some(self.pace.before_act(commands, unclear, &self.parts.tools.engine))
        };
        let Some(pause) = pause.filter(|pause| !pause.is_zero()) else { return false };
        self.recorder.note(format!("the same action was decided again; it is held back for {pause:?}"));
        tokio::select! {
            biased;
            () = self.control.changed() => (),
            () = self.parts.tools.clock.sleep(pause) => (),
        }
        self.stale = true;
        true
    }

    async fn act(&mut self, commands: Vec<Command>, why: String, seen: &Observation) -> Result<(), Stop> {
        self.renew().await?;
        self.write_intent(&commands, why).await?;
        let windows = self.windows(&commands, seen);
        let hands = Hands {
            parts: self.parts,
            context: &self.context,
            recorder: self.recorder,
            plan: &self.plan,
            state: &self.state,
            known: self.known,
            memory: &self.memory,
            windows,
        };
        let ended = hands.carry_out(&commands).await;
        let windows = hands.windows;
        let now = self.parts.tools.clock.now();
        let mut conflict = false;
        for ((command, ended), number) in commands.iter().zip(ended).zip(0..) {
            let surely = !matches!(ended, Ended::Failed(_));
            self.memory.told(command, surely);
            let failed = match ended {
                Ended::Failed(error) => Some(error),
                Ended::Accepted => {
                    if let Command::Apply(spec) = command {
                        self.accepted = Some(spec.clone());
                    }
                    None
                }
                Ended::Prepared(release, artifact) => {
                    self.prepared.retain(|(known, _)| *known != release);
                    self.prepared.push((release, artifact));
                    None
                }
                Ended::Answered(gate, answer) => {
                    if let Some(window) = windows.get(&gate) {
                        self.gates.take_in(gate, window, answer, now);
                    }
                    None
                }
            };
            conflict |= failed.as_ref().is_some_and(|error| error.kind == ErrorKind::Conflict);
            self.note_result(command, number, failed);
        }
        if conflict {
            self.renew().await?;
        }
        self.stale |=
            commands.iter().any(|command| !matches!(command, Command::Evaluate(_) | Command::Prepare(_)));
        self.pace.quicken();
        Ok(())
    }

    /// A gate that is asked again and again is written down once: asking has no effect.
    async fn write_intent(&mut self, commands: &[Command], why: String) -> Result<(), Stop> {
        if only_gates(commands) && self.asked == commands {
            return Ok(());
        }
        self.asked = commands.to_vec();
        let results = std::mem::take(&mut self.results);
        let intent = EventKind::Intent { commands: commands.to_vec(), why, results };
        Ok(self.recorder.record(intent).await?)
    }

    fn windows(&self, commands: &[Command], seen: &Observation) -> BTreeMap<GateId, GateWindow> {
        let min_ready = self.plan.settings.min_ready;
        let instances = verified(seen, &self.memory, &self.state.candidate, min_ready);
        let gates = commands.iter().filter_map(|command| match command {
            Command::Evaluate(gate) => Some(gate),
            _ => None,
        });
        gates
            .filter_map(|gate| {
                let window = self.gates.window(gate, &self.plan, &self.state, instances.clone(), seen.now)?;
                Some((gate.clone(), window))
            })
            .collect()
    }

    /// Only what is certain is written down: taken, or refused for good.
    fn note_result(&mut self, command: &Command, number: u32, failed: Option<BackendError>) {
        let Some(error) = failed else {
            self.results.push(CommandResult { command: number, error: None });
            return;
        };
        let reason = error.report();
        if error.retry != Retry::Never {
            self.unclear = true;
            self.recorder.note(format!("nothing is known of an action, so the world is looked at: {reason}"));
            return;
        }
        self.results.push(CommandResult { command: number, error: Some(reason.clone()) });
        if let Some(kind) = kind_of(command) {
            self.refused = Some(CommandFailure { kind, reason });
        }
    }

    async fn wait(&mut self, why: WaitReason, until: Timestamp, seen: &Observation) -> Result<(), Stop> {
        let now = seen.now;
        let look_again = now.after(self.pace.next_look(&why, &self.parts.tools.engine));
        let is_idle = is_idle(&why);
        let look_again = if is_idle { self.next_idle_look(now) } else { look_again };
        let mut deadline = if until > now { until.min(look_again) } else { look_again };
        if let Some(gate) = self.gates.next_at(now) {
            deadline = deadline.min(gate);
        }
        let deadline = deadline.max(now.after(self.parts.tools.engine.first_look / 2));
        if self.shown.as_ref() != Some(&why) {
            self.recorder.progress(EventKind::Waiting { why: why.clone(), until });
            self.shown = Some(why);
        }
        let wake = self.sleep(deadline).await?;
        match wake {
            Wake::Time => self.stale = !is_idle || self.parts.tools.clock.now() >= look_again,
            Wake::Control => {}
            Wake::Health => self.pace.quicken(),
            Wake::Hint => self.follow_hint().await,
        }
        Ok(())
    }

    /// Where backends send hints the next look is far away: what changes is told, and nothing is done without a look.
    fn next_idle_look(&self, now: Timestamp) -> Timestamp {
        let engine = &self.parts.tools.engine;
        if !self.hints.are_live(self.parts) {
            return now.after(engine.idle_look);
        }
        self.looked_at.after(engine.safety_look.max(engine.idle_look)).max(now)
    }

    async fn sleep(&mut self, deadline: Timestamp) -> Result<Wake, Stop> {
        let clock = &self.parts.tools.clock;
        loop {
            let renew_at = self.renewed_at.after(self.parts.tools.engine.renew_lock);
            let pause = deadline.min(renew_at).since(clock.now());
            let wake = tokio::select! {
                biased;
                () = self.control.changed() => Wake::Control,
                () = self.probes.changed() => Wake::Health,
                () = self.hints.next() => Wake::Hint,
                () = clock.sleep(pause) => Wake::Time,
            };
            if wake != Wake::Time || clock.now() >= deadline {
                return Ok(wake);
            }
            self.renew().await?;
        }
    }

    async fn follow_hint(&mut self) {
        let gap = self.pace.hint_gap(&self.parts.tools.engine);
        let passed = self.parts.tools.clock.now().since(self.looked_at);
        // A hint can wait; a person and an instance that became ready cannot.
        tokio::select! {
            biased;
            () = self.control.changed() => {
                self.stale = true;
                return;
            }
            () = self.probes.changed() => {
                self.stale = true;
                return self.pace.quicken();
            }
            () = self.parts.tools.clock.sleep(gap.saturating_sub(passed)) => {}
        }
        let before = self.look.clone();
        self.stale = true;
        self.refresh().await;
        let changed = before != self.look;
        self.pace.after_hint(changed);
        if changed {
            self.pace.quicken();
        }
    }

    /// Makes sure that nobody took over.
    async fn renew(&mut self) -> Result<(), Stop> {
        self.renewed_at = self.parts.tools.clock.now();
        Ok(self.parts.tools.lock.renew(self.locked, self.lock_epoch).await?)
    }

    async fn collect_evidence(&mut self, state: &RolloutState, seen: &Observation) -> bool {
        self.collector.collect(self.parts, &self.context, self.recorder, state, seen).await
    }

    async fn finish(&mut self, outcome: &Outcome) {
        if !matches!(outcome, Outcome::Superseded { .. }) {
            self.stale |= self.parts.tools.clock.now().since(self.looked_at) > Duration::ZERO;
            self.refresh().await;
        }
        let seen = self.observation();
        self.recorder.live(&seen);
    }
}

/// Nothing changes by it: time passes, or a gate is asked.
fn only_waits(decision: &Decision) -> bool {
    match decision {
        Decision::Wait { .. } | Decision::Pause { .. } => true,
        Decision::Act { commands, .. } => only_gates(commands),
        Decision::Advance { .. } | Decision::Finish(_) => false,
    }
}

fn only_gates(commands: &[Command]) -> bool {
    commands.iter().all(|command| matches!(command, Command::Evaluate(_)))
}

fn kind_of(command: &Command) -> Option<CommandKind> {
    match command {
        Command::Prepare(_) => Some(CommandKind::Prepare),
        Command::Apply(_) => Some(CommandKind::Apply),
        Command::Shift(_) => Some(CommandKind::Shift),
        Command::Remove(_) => Some(CommandKind::Remove),
        Command::Evaluate(_) => None,
    }
}

fn stuck(why: String, seen: &Observation) -> Outcome {
    let left = match &seen.sets {
        Seen::Unknown { why } => vec![format!("unknown: {why}")],
        Seen::Known(sets) => {
            sets.iter().map(|set| format!("set {}: {} instances", set.set, set.instances.len())).collect()
        }
    };
    Outcome::Stuck { why, left }
}
