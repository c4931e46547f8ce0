//! What happened in one seed, as witnesses between the production engine and the world tell it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use deployer_core::{
    model::{DeploymentId, Epoch, Split, Timestamp},
    ports::Clock as _,
    strategy::{Command, Outcome, Plan, RolloutState},
};
use parking_lot::Mutex;

use super::{broken::Broken, clock::VirtualClock, fingerprint::Fingerprint};

/// What the journal says of one deployment.
#[derive(Debug)]
pub(super) struct Facts {
    /// When it began.
    pub(super) began: Timestamp,
    /// Which release of the sequence it is about.
    pub(super) step: usize,
    /// The newest epoch in it.
    pub(super) epoch: Epoch,
    pub(super) plan: Option<Plan>,
    pub(super) state: Option<RolloutState>,
    /// Fewest and most replicas that were ever asked for.
    pub(super) replicas: (u32, u32),
    /// The last intent that was written with each epoch.
    pub(super) intents: BTreeMap<Epoch, Vec<Command>>,
    /// It has decided where requests go.
    pub(super) shifted: bool,
    /// Since when only the new set has been sent requests; at the earliest since it was found so.
    pub(super) full_since: Option<Timestamp>,
    pub(super) outcome: Option<Outcome>,
}

/// What one process was told, and did.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// Its last look at the target succeeded.
    pub(super) target: bool,
    /// When its last look at the target succeeded.
    pub(super) looked: Option<Timestamp>,
    /// Its last look at the router succeeded.
    pub(super) router: bool,
    /// It changed something since.
    pub(super) acted: bool,
    /// The split that it was told last.
    pub(super) split: Option<Split>,
}

/// What happened so far.
#[derive(Debug)]
pub(super) struct Record {
    clock: VirtualClock,
    pub(super) fingerprint: Fingerprint,
    /// Kept only where somebody wants to read them.
    pub(super) lines: Option<Vec<(Timestamp, String)>>,
    /// The first promise that was broken.
    pub(super) broken: Option<Broken>,
    pub(super) facts: BTreeMap<DeploymentId, Facts>,
    /// By number of the process.
    pub(super) sights: Vec<Sight>,
    /// When each process was started, or saw again after it had seen nothing for long.
    pub(super) started: Vec<Timestamp>,
    /// The newest right to write that was given, and when.
    pub(super) newest: (Epoch, Timestamp),
    /// What was injected beside faults of calls, by kind.
    pub(super) injected: BTreeMap<&'static str, u64>,
}

/// The record, shared by all witnesses.
pub(super) type Shared = Arc<Mutex<Record>>;

impl Record {
    pub(super) fn shared(clock: VirtualClock, keeps_lines: bool) -> Shared {
        Arc::new(Mutex::new(Self {
            newest: (Epoch(0), clock.now()),
            clock,
            fingerprint: Fingerprint::new(),
            lines: keeps_lines.then(Vec::new),
            broken: None,
            facts: BTreeMap::new(),
            sights: Vec::new(),
            started: Vec::new(),
            injected: BTreeMap::new(),
        }))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Something happened that is worth a line.
    pub(super) fn line(&mut self, line: impl FnOnce() -> String) {
        let now = self.now();
        self.fingerprint.word(now.as_millis());
        if let Some(lines) = &mut self.lines {
            lines.push((now, line()));
        }
    }

    /// Something was done to the world or to a process.
    pub(super) fn inject(&mut self, what: &'static str, line: impl FnOnce() -> String) {
        *self.injected.entry(what).or_default() += 1;
        self.fingerprint.bytes(what.as_bytes());
        self.line(line);
    }

    /// A promise was broken. The first one counts: what comes after may follow from it.
    pub(super) fn broken(&mut self, oracle: &'static str, what: impl Into<String>) {
        let (at, what) = (self.now(), what.into());
        self.line(|| format!("BROKEN {oracle}: {what}"));
        self.broken.get_or_insert(Broken { oracle, at, what });
    }

    /// A look of a process at the target succeeded. One that was blind for longer than this knows as little as a new one.
    pub(super) fn looked(&mut self, process: usize, window: Duration) {
        let now = self.now();
        let last = self.sights[process].looked.replace(now);
        if last.is_some_and(|last| last.after(window) < now) {
            self.started.push(now);
        }
    }

    /// A new process.
    pub(super) fn process(&mut self) -> usize {
        let now = self.now();
        self.sights.push(Sight::default());
        self.started.push(now);
        self.sights.len() - 1
    }
}
