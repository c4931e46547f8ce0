//! Many seeds on all cores.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    planted::Planted,
    seed::{SeedReport, play_with},
};

/// So many failing seeds are enough.
const MOST_FAILURES: usize = 10;

/// What many seeds came to.
#[derive(Debug, Clone, Default)]
pub struct SwarmReport {
    /// Seeds that were played.
    pub seeds: u64,
    /// Of these so many were played twice, to see whether the same happens.
    pub played_twice: u64,
    /// Deployments in them.
    pub deployments: u64,
    /// Real time.
    pub took: Duration,
    /// How often which end came.
    pub ends: BTreeMap<&'static str, u64>,
    /// What was injected, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Processes that were started.
    pub processes: u64,
    /// Virtual time that passed.
    pub virtual_time: Duration,
    /// The seed that took longest, and how long.
    pub slowest: (Duration, u64),
    /// Seeds in which a promise was broken, smallest first; at most ten.
    pub failed: Vec<SeedReport>,
    /// Seeds of which two runs differed.
    pub differing: Vec<u64>,
}

impl SwarmReport {
    /// Whether every promise was kept and every seed did the same twice.
    pub fn passed(&self) -> bool {
        self.seeds > 0 && self.failed.is_empty() && self.differing.is_empty()
    }

    fn take_in(&mut self, report: SeedReport, took: Duration) {
        self.seeds += 1;
        self.deployments += report.deployments;
        self.processes += report.processes;
        self.virtual_time += report.virtual_time;
        self.slowest = self.slowest.max((took, report.seed));
        for (all, one) in [(&mut self.ends, &report.ends), (&mut self.faults, &report.faults)] {
            for (name, count) in one {
                *all.entry(name).or_default() += count;
            }
        }
        if report.broken.is_some() {
            self.failed.push(report);
        }
    }

    fn join(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.played_twice += other.played_twice;
        self.deployments += other.deployments;
        self.processes += other.processes;
        self.virtual_time += other.virtual_time;
        self.slowest = self.slowest.max(other.slowest);
        for (all, one) in [(&mut self.ends, other.ends), (&mut self.faults, other.faults)] {
            for (name, count) in one {
                *all.entry(name).or_default() += count;
            }
        }
        self.failed.extend(other.failed);
        self.differing.extend(other.differing);
    }
}

/// Plays seeds on all cores; every `twice`-th is played twice, none for zero. `progress` is told about once a second
/// how many are done.
pub fn swarm(seeds: Range<u64>, twice: u64, progress: impl Fn(u64) + Sync) -> SwarmReport {
    let began = Instant::now();
    let (next, done) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let all = Mutex::new(SwarmReport::default());
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                let mine = one_thread(&seeds, twice, &next, &done, &progress);
                all.lock().unwrap_or_else(PoisonError::into_inner).join(mine);
            });
        }
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.took = began.elapsed();
    all.failed.sort_by_key(|report| report.seed);
    all.failed.truncate(MOST_FAILURES);
    all.differing.sort_unstable();
    all
}

fn one_thread(
    seeds: &Range<u64>,
    twice: u64,
    next: &AtomicU64,
    done: &AtomicU64,
    progress: &(impl Fn(u64) + Sync),
) -> SwarmReport {
    let mut mine = SwarmReport::default();
    let mut told = Instant::now();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if !seeds.contains(&seed) || mine.failed.len() >= MOST_FAILURES {
            return mine;
        }
        let began = Instant::now();
        let report = play_with(seed, false, None);
        let took = began.elapsed();
        if twice > 0 && seed.is_multiple_of(twice) {
            mine.played_twice += 1;
            if play_with(seed, false, None).hash != report.hash {
                mine.differing.push(seed);
            }
        }
        mine.take_in(report, took);
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            progress(done);
        }
    }
}

/// What became of one bug on purpose.
#[derive(Debug, Clone)]
pub struct CaughtBug {
    /// Its name.
    pub bug: &'static str,
    /// The first seed in which a promise was broken that is kept without the bug.
    pub caught: Option<SeedReport>,
    /// Seeds that were played.
    pub seeds: u64,
}

/// Plays each bug on purpose until it is caught, through so many seeds at most.
pub fn planted(seeds: u64) -> Vec<CaughtBug> {
    Planted::ALL.iter().map(|bug| catch(*bug, seeds)).collect()
}

fn catch(bug: Planted, seeds: u64) -> CaughtBug {
    let next = AtomicU64::new(0);
    let found = AtomicBool::new(false);
    let first = Mutex::new(None::<SeedReport>);
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || found.load(Ordering::Relaxed) {
                        return;
                    }
                    let report = play_with(seed, false, Some(bug));
                    // A promise that is broken without the bug too says nothing about it.
                    if report.broken.is_none() || play_with(seed, false, None).broken.is_some() {
                        continue;
                    }
                    found.store(true, Ordering::Relaxed);
                    let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                    if first.as_ref().is_none_or(|known| report.seed < known.seed) {
                        *first = Some(report);
                    }
                }
            });
        }
    });
    let caught = first.into_inner().unwrap_or_else(PoisonError::into_inner);
    CaughtBug { bug: bug.name(), caught, seeds }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
