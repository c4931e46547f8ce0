//! How much goes wrong, and of which kind: in each seed other kinds are absent, rare or frequent. Rates that are the
//! same in every seed would hide each kind behind the others.

use std::time::Duration;

use super::draw::Draw;
use crate::world::{CallKind, FaultRates, World};

/// How much goes wrong.
#[derive(Debug, Clone)]
pub(super) struct Rates {
    /// Of a thousand calls that look.
    pub(super) looks: FaultRates,
    /// Of a thousand calls that change something.
    pub(super) writes: FaultRates,
    /// Of a thousand probes.
    pub(super) probes: FaultRates,
    /// Of a thousand probes that say the opposite.
    pub(super) lies: u64,
    /// Of a thousand records that cannot be written, or of which that is said.
    pub(super) journal: u64,
    /// Of a thousand calls that become the last thing a process does.
    pub(super) kills_at_calls: u64,
    /// How long between two happenings of each kind on average, if any.
    pub(super) deaths: Option<Duration>,
    pub(super) restarts: Option<Duration>,
    pub(super) disturbances: Option<Duration>,
    pub(super) partitions: Option<Duration>,
    pub(super) kills: Option<Duration>,
    pub(super) requests: Option<Duration>,
    /// Of a thousand killed processes that are only thought to be dead.
    pub(super) zombies: u64,
    /// Of a thousand unfinished deployments that are not resumed: the next release takes their place.
    pub(super) abandoned: u64,
}

impl Rates {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        // A part of the seeds goes without faults: there every promise holds to the letter.
        if draw.chance(120) {
            return Self::none();
        }
        let looks = calls(draw, 0);
        let writes = calls(draw, 30);
        let probes = FaultRates { refuse: 0, ..calls(draw, 0) };
        Self {
            looks,
            writes,
            probes,
            lies: if draw.chance(120) { draw.pick(&[10, 60]) } else { 0 },
            journal: if draw.chance(100) { draw.pick(&[5, 40]) } else { 0 },
            kills_at_calls: if draw.chance(350) { draw.pick(&[3, 15, 60]) } else { 0 },
            deaths: every(draw, &[4, 12, 40]),
            restarts: every(draw, &[5, 15, 40]),
            disturbances: every(draw, &[4, 12]),
            partitions: every(draw, &[10, 30]),
            kills: every(draw, &[2, 5, 20]),
            requests: every(draw, &[3, 8, 25]),
            zombies: draw.pick(&[0, 0, 300]),
            abandoned: draw.pick(&[0, 100, 400]),
        }
    }

    fn none() -> Self {
        Self {
            looks: FaultRates::default(),
            writes: FaultRates::default(),
            probes: FaultRates::default(),
            lies: 0,
            journal: 0,
            kills_at_calls: 0,
            deaths: None,
            restarts: None,
            disturbances: None,
            partitions: None,
            kills: None,
            requests: None,
            zombies: 0,
            abandoned: 0,
        }
    }

    /// Makes calls to the world go wrong.
    pub(super) fn begin(&self, world: &World) {
        const LOOKS: [CallKind; 6] = [
            CallKind::Observe,
            CallKind::Current,
            CallKind::InFlight,
            CallKind::Evidence,
            CallKind::WatchTarget,
            CallKind::WatchRouter,
        ];
        const WRITES: [CallKind; 4] = [CallKind::Prepare, CallKind::Apply, CallKind::Remove, CallKind::Shift];
        for (kinds, rates) in
            [(&LOOKS[..], self.looks), (&WRITES[..], self.writes), (&[CallKind::Probe][..], self.probes)]
        {
            if rates != FaultRates::default() {
                for kind in kinds {
                    world.set_fault_rates_of(*kind, rates);
                }
            }
        }
    }

    /// Nothing is ever wrong but the releases themselves.
    pub(super) fn are_zero(&self) -> bool {
        let calls = [self.looks, self.writes, self.probes];
        let happenings = [self.deaths, self.restarts, self.disturbances, self.partitions];
        calls.iter().all(|rates| *rates == FaultRates::default())
            && happenings.iter().all(Option::is_none)
            && self.lies == 0
    }
}

fn calls(draw: &mut Draw, refuse: u16) -> FaultRates {
    let mut rate = || if draw.chance(600) { 0 } else { draw.pick(&[20, 60, 250]) };
    let (fail, drop_answer, hang) = (rate(), rate(), rate());
    let refuse = if draw.chance(150) { refuse } else { 0 };
    FaultRates { fail, drop_answer, hang, refuse }
}

fn every(draw: &mut Draw, seconds: &[u64]) -> Option<Duration> {
    draw.chance(300).then(|| Duration::from_secs(draw.pick(seconds)))
}
