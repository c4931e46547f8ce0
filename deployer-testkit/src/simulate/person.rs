//! The person at the controls: patient, and sometimes capricious.

use std::{sync::Arc, time::Duration};

use deployer_core::{engine::Control, model::Timestamp, ports::Clock as _, strategy::Phase};
use parking_lot::Mutex;

use super::{clock::VirtualClock, draw::Draw, record::Shared, scenario::Scenario};

/// The controls of the process that runs now.
pub(super) type Desk = Arc<Mutex<Option<Control>>>;

/// How often the person looks whether somebody waits for it.
const ROUND: Duration = Duration::from_secs(4);

/// The person at the controls. Whatever it asked for, it lets everything go on in the end.
pub(super) struct Person {
    pub(super) desk: Desk,
    pub(super) clock: VirtualClock,
    pub(super) record: Shared,
    pub(super) scenario: Arc<Scenario>,
    pub(super) draw: Draw,
    pub(super) quiet_at: Timestamp,
}

impl Person {
    pub(super) async fn run(mut self) {
        let mean = self.scenario.rates.requests;
        loop {
            let whim = mean.filter(|_| self.clock.now() < self.quiet_at);
            let pause = whim.map_or(ROUND, |mean| {
                let most = u64::try_from(mean.as_millis()).unwrap_or(u64::MAX).saturating_mul(2);
                Duration::from_millis(self.draw.below(most)).min(ROUND)
            });
            self.clock.sleep(pause).await;
            let Some(control) = self.desk.lock().clone() else { continue };
            if whim.is_some() && self.clock.now() < self.quiet_at {
                self.whim(&control);
            }
            let (paused, baking) = self.is_waited_for();
            if paused {
                control.resume();
            }
            if baking {
                control.promote();
            }
        }
    }

    /// Whether a pause is to end, and whether a step may have to be promoted.
    fn is_waited_for(&self) -> (bool, bool) {
        let record = self.record.lock();
        // The process that supersedes a deployment writes its end with an epoch of its own.
        let open = record.facts.values().filter(|facts| facts.outcome.is_none());
        let newest = open.max_by_key(|facts| facts.epoch);
        let state = newest.and_then(|facts| facts.state.as_ref());
        let paused = state.is_some_and(|state| state.paused_since.is_some());
        (paused, state.is_some_and(|state| state.phase == Phase::Baking))
    }

    fn whim(&mut self, control: &Control) {
        let what = match self.draw.below(12) {
            0 | 1 => {
                control.pause();
                "pause"
            }
            2 => {
                control.resume();
                "resume"
            }
            3 | 4 => {
                control.promote();
                "promote"
            }
            5 => {
                control.promote_fully();
                "promote fully"
            }
            6 => {
                control.abort("a whim");
                "abort"
            }
            7 | 8 => {
                control.scale(1 + self.draw.number(6));
                "scale"
            }
            9 => {
                control.interrupt("told to end");
                "interrupt"
            }
            _ => return,
        };
        self.record.lock().inject("request", || format!("a person asks: {what}"));
    }
}
