//! What all connections of a proxy share.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use deployer_core::model::Split;
use http::{HeaderMap, HeaderValue};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::{
    InvalidSplit, OwnAnswers, ProxySettings,
    claim::Claim,
    member::MemberState,
    registry::Registry,
    routing::{Pick, Routing},
    stickiness::ClientNumber,
    validate,
};

/// Where a request stands among all that are picked for.
#[derive(Debug)]
pub(super) struct Stand {
    /// Decides by the weights, as a fraction of 2^64.
    pub(super) point: u64,
    /// For the answer to a client that has no number yet.
    pub(super) new_client: Option<HeaderValue>,
}

/// What all connections of a proxy share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: ProxySettings,
    /// Drawn at start.
    pub(super) epoch: u64,
    pub(super) registry: Mutex<Registry>,
    pub(super) routing: RwLock<Routing>,
    pub(super) changes: watch::Sender<u64>,
    /// Set before the stop signal is sent: a cheaper way to look.
    pub(super) stopping: AtomicBool,
    random: AtomicU64,
    /// Keyed at random.
    numbers: RandomState,
    maintenance: AtomicU64,
    unrouted: AtomicU64,
    rejected: AtomicU64,
}

impl Shared {
    pub(super) fn new(settings: ProxySettings) -> Self {
        let changes = watch::Sender::new(0);
        let draw = || RandomState::new().hash_one(std::process::id());
        Self {
            settings,
            epoch: draw(),
            registry: Mutex::new(Registry::new(changes.clone())),
            routing: RwLock::new(Routing::Serve { sets: Vec::new(), total_weight: 0, routes: Vec::new() }),
            changes,
            stopping: AtomicBool::new(false),
            random: AtomicU64::new(draw()),
            numbers: RandomState::new(),
            maintenance: AtomicU64::new(0),
            unrouted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    /// See [`Proxy::set`](super::Proxy::set).
    pub(super) fn set(&self, split: &Split) -> Result<u64, InvalidSplit> {
        let mut registry = self.registry.lock();
        if registry.split == *split {
            return Ok(registry.generation);
        }
        validate::check(split)?;
        let now = Instant::now();
        let routing = registry.routing(split, now);
        let former = std::mem::replace(&mut *self.routing.write(), routing);
        registry.applied(split, now);
        let generation = registry.generation;
        drop(registry);
        drop(former);
        self.changes.send_modify(|ticks| *ticks += 1);
        Ok(generation)
    }

    /// Where a request stands among all that are picked for.
    pub(super) fn stand(&self, headers: &HeaderMap) -> Stand {
        let Some(stickiness) = &self.settings.stickiness else {
            return Stand { point: self.random(), new_client: None };
        };
        if let Some(known) = stickiness.client(headers) {
            return Stand { point: known.point(), new_client: None };
        }
        let new = self.new_client();
        Stand { point: new.point(), new_client: Some(stickiness.set_cookie(new)) }
    }

    /// Picks and claims a member.
    pub(super) fn pick(&self, headers: &HeaderMap, point: u64, now: Instant) -> Pick {
        let pick = self.routing.read().pick(headers, point, now);
        self.count_own(&pick);
        pick
    }

    /// Picks and claims another member for a request that `tried` did not take.
    pub(super) fn pick_other(
        &self,
        claim: &Claim,
        tried: &[Arc<MemberState>],
        headers: &HeaderMap,
        point: u64,
        now: Instant,
    ) -> Pick {
        self.routing.read().pick_other(claim.set(), tried, headers, point, now)
    }

    pub(super) fn count_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn own_answers(&self) -> OwnAnswers {
        OwnAnswers {
            maintenance: self.maintenance.load(Ordering::Relaxed),
            unrouted: self.unrouted.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
        }
    }

    /// What is due once a second: counters are remembered, unused connections closed.
    pub(super) fn second(&self, now: Instant) {
        let (sets, members) = {
            let registry = self.registry.lock();
            (registry.sets().to_vec(), registry.members().cloned().collect::<Vec<_>>())
        };
        for set in sets {
            set.remember(now);
        }
        for member in members {
            member.pool.sweep(now, self.settings.member_idle);
        }
    }

    fn count_own(&self, pick: &Pick) {
        match pick {
            Pick::Maintenance(_) => self.maintenance.fetch_add(1, Ordering::Relaxed),
            Pick::Nowhere => self.unrouted.fetch_add(1, Ordering::Relaxed),
            Pick::Member(_) | Pick::Unavailable(_) => 0,
        };
    }

    /// A number that nobody can tell from those of others.
    fn new_client(&self) -> ClientNumber {
        let turn = self.random.fetch_add(1, Ordering::Relaxed);
        let half = |which: u8| u128::from(self.numbers.hash_one((turn, which)));
        ClientNumber(half(0) << 64 | half(1))
    }

    /// `SplitMix64` (Steele, Lea, Flood 2014): uniform, and one atomic addition whoever asks.
    fn random(&self) -> u64 {
        let mut z = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use deployer_core::model::{InstanceId, Member, SetId, Share};

    use super::*;

    fn split(name: &str, port: u16) -> (Split, Member) {
        let address = Some(([127, 0, 0, 1], port).into());
        let member = Member { instance: InstanceId::new(name).unwrap(), address };
        let share = Share { set: SetId::new(name).unwrap(), weight: 1, members: vec![member.clone()] };
        (Split::Serve { shares: vec![share], routes: Vec::new() }, member)
    }

    /// The same as the stress test over sockets, a thousand times as often: nobody holds a member whose count was
    /// zero after it left.
    #[test]
    fn a_pick_is_counted_before_the_split_can_change() {
        let shared = Shared::new(ProxySettings::default());
        let sides = [split("a", 4001), split("b", 4002)];
        let out = [AtomicBool::new(false), AtomicBool::new(true)];
        let (done, late, picks) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        shared.set(&sides[0].0).unwrap();
        let pick_until_done = || {
            while !done.load(Ordering::SeqCst) {
                let Pick::Member(mut claim) = shared.pick(&HeaderMap::new(), 0, Instant::now()) else {
                    panic!("nobody to pick")
                };
                let side = usize::from(claim.member().address.port() - 4001);
                late.fetch_add(u64::from(out[side].load(Ordering::SeqCst)), Ordering::SeqCst);
                picks.fetch_add(1, Ordering::Relaxed);
                claim.answered(false, Duration::ZERO);
            }
        };
        let mut swaps = 0;
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(pick_until_done);
            }
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(800) {
                let (next, previous) = ((swaps + 1) % 2, swaps % 2);
                out[next].store(false, Ordering::SeqCst);
                shared.set(&sides[next].0).unwrap();
                while !shared.registry.lock().load(&sides[previous].1).is_idle() {
                    std::thread::yield_now();
                }
                out[previous].store(true, Ordering::SeqCst);
                swaps += 1;
            }
            done.store(true, Ordering::SeqCst);
        });
        assert_eq!(late.load(Ordering::SeqCst), 0, "in {swaps} swaps and {picks:?} picks");
        assert!(swaps > 10 && picks.load(Ordering::SeqCst) > 1000, "only {swaps} swaps and {picks:?} picks");
    }
}
