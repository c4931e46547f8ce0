//! One instance of the world: everything about it is a function of time.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use deployer_core::model::{DeploymentId, Epoch, Instance, InstanceId, InstancePhase, Place, Timestamp};

/// Told to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    /// When the platform kills it.
    pub(super) until: Timestamp,
    /// When it is gone.
    pub(super) gone_at: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct FakeInstance {
    pub(super) id: InstanceId,
    pub(super) place: Place,
    pub(super) address: SocketAddr,
    pub(super) digest: Arc<str>,
    pub(super) deployment: DeploymentId,
    pub(super) epoch: Epoch,
    pub(super) started_at: Timestamp,
    /// How often the platform started it again.
    pub(super) restarts: u32,
    /// When it runs.
    pub(super) up_at: Timestamp,
    /// When its probes succeed; never if `None`.
    pub(super) ready_at: Option<Timestamp>,
    pub(super) flaps: Option<Duration>,
    /// From when to when something disturbs it: it runs, and does not work.
    pub(super) disturbed: Option<(Timestamp, Timestamp)>,
    pub(super) ignores_stop: bool,
    /// When it ends by itself, and how.
    pub(super) dies: Option<(Timestamp, String)>,
    pub(super) leaving: Option<Leaving>,
    /// How it ended by itself.
    pub(super) ended: Option<String>,
    /// The data plane sends it requests.
    pub(super) routed: bool,
    /// When the data plane stopped to.
    pub(super) left_at: Option<Timestamp>,
}

impl FakeInstance {
    /// Starting, running or stopping.
    pub(super) fn exists(&self) -> bool {
        self.ended.is_none()
    }

    /// Starting or running: what the size of a set counts.
    pub(super) fn is_live(&self) -> bool {
        self.ended.is_none() && self.leaving.is_none()
    }

    /// Its probes succeed.
    pub(super) fn works(&self, now: Timestamp) -> bool {
        let Some(ready_at) = self.ready_at.filter(|ready_at| self.is_live() && *ready_at <= now) else {
            return false;
        };
        if self.disturbed.is_some_and(|(from, until)| (from..until).contains(&now)) {
            return false;
        }
        let since = now.since(ready_at).as_millis();
        self.flaps.is_none_or(|period| (since / period.as_millis().max(1)).is_multiple_of(2))
    }

    /// Requests that it is answering, where `level` are while it is in rotation and the last one ends after `request`.
    pub(super) fn in_flight(&self, now: Timestamp, level: u32, request: Duration) -> u32 {
        if !self.is_live() {
            return 0;
        }
        if self.routed {
            return level;
        }
        let Some(left_at) = self.left_at else { return 0 };
        let left = request.saturating_sub(now.since(left_at)).as_millis();
        let share = (u128::from(level) * left).div_ceil(request.as_millis().max(1));
        u32::try_from(share).unwrap_or(level)
    }

    /// When it is next another than now, without anybody doing anything.
    pub(super) fn next_change(&self, now: Timestamp, request: Duration) -> Option<Timestamp> {
        if self.ended.is_some() {
            return None;
        }
        if let Some(leaving) = self.leaving {
            return Some(leaving.gone_at);
        }
        let flap = self.flaps.zip(self.ready_at).map(|(period, ready_at)| {
            let period = period.as_millis().max(1);
            let past = now.since(ready_at).as_millis() / period + 1;
            ready_at.after(Duration::from_millis(u64::try_from(past * period).unwrap_or(u64::MAX)))
        });
        let dies = self.dies.as_ref().map(|(at, _)| *at);
        let drained = self.left_at.map(|left_at| left_at.after(request));
        let well_again = self.disturbed.map(|(_, until)| until);
        let moments = [Some(self.up_at), self.ready_at, flap, well_again, dies, drained];
        moments.into_iter().flatten().filter(|moment| *moment > now).min()
    }

    /// What the target reports; `judges` where the platform has a readiness of its own.
    pub(super) fn view(&self, now: Timestamp, judges: bool) -> Instance {
        let phase = match (&self.ended, &self.leaving) {
            (Some(reason), _) => InstancePhase::Failed { reason: reason.clone() },
            (None, Some(leaving)) => InstancePhase::Stopping { until: leaving.until },
            (None, None) if now < self.up_at => InstancePhase::Starting,
            (None, None) => InstancePhase::Running { ready: judges.then(|| self.works(now)) },
        };
        Instance {
            id: self.id.clone(),
            place: self.place.clone(),
            address: (phase != InstancePhase::Starting).then_some(self.address),
            phase,
            started_at: self.started_at,
            restarts: self.restarts,
            digest: Arc::clone(&self.digest),
        }
    }
}
