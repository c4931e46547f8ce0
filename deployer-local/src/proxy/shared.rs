//! What all connections of a proxy share.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use http::HeaderMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::{
    OwnAnswers, ProxySettings,
    claim::Claim,
    member::MemberState,
    registry::Registry,
    routing::{Pick, Routing},
};

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
            maintenance: AtomicU64::new(0),
            unrouted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    /// Picks and claims a member.
    pub(super) fn pick(&self, headers: &HeaderMap, now: Instant) -> Pick {
        let random = self.random();
        let pick = self.routing.read().pick(headers, random, now);
        self.count_own(&pick);
        pick
    }

    /// Picks and claims another member for a request that `tried` did not take.
    pub(super) fn pick_other(
        &self,
        claim: &Claim,
        tried: &[Arc<MemberState>],
        headers: &HeaderMap,
        now: Instant,
    ) -> Pick {
        let random = self.random();
        self.routing.read().pick_other(claim.set(), tried, headers, random, now)
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

    /// `SplitMix64` (Steele, Lea, Flood 2014): uniform, and one atomic addition whoever asks.
    fn random(&self) -> u64 {
        let mut z = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
