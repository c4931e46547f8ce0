//! The command: searches all scenarios on all cores and tells what was found.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::{
    catalog,
    lab::{Lab, Production, Stepper},
    planted::Planted,
    scenario::Scenario,
    search::{self, Found, Violation},
};

/// All scenarios of the catalog under the production step.
pub fn check_all(filter: &str) -> Vec<Found> {
    let scenarios: Vec<Scenario> =
        catalog::all().into_iter().filter(|scenario| scenario.name.contains(filter)).collect();
    in_parallel(&scenarios, |scenario| check_one(scenario, &Production, false))
}

/// One planted bug, and what found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    /// The bug.
    pub bug: &'static str,
    /// Where it was looked for.
    pub scenario: String,
    /// The first promise that it broke and the production step did not; `None` if it survived.
    pub violation: Option<Violation>,
    /// Promises that the production step breaks in the same scenario.
    pub known: Vec<&'static str>,
}

/// All planted bugs.
pub fn check_planted() -> Vec<Caught> {
    in_parallel(&Planted::ALL, |planted| {
        let scenario = planted.scenario();
        let known: Vec<&str> =
            check_one(&scenario, &Production, false).violations.iter().map(|v| v.oracle).collect();
        let mut lab = Lab::new(&scenario, planted);
        lab.runtime = false;
        let found = search::search(&mut lab, known.is_empty());
        let violation = found.violations.into_iter().find(|violation| !known.contains(&violation.oracle));
        Caught { bug: planted.name(), scenario: scenario.name, violation, known }
    })
}

fn check_one(scenario: &Scenario, stepper: &dyn Stepper, stop_early: bool) -> Found {
    search::search(&mut Lab::new(scenario, stepper), stop_early)
}

/// Does the work on as many threads as there are cores; results are in the order of the work.
pub(super) fn in_parallel<T: Sync, R: Send>(work: &[T], one: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(work.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(work.len()) {
            scope.spawn(|| {
                while let Some((at, item)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, work.get(at)?)))
                {
                    let result = one(item);
                    done.lock().expect("no thread panics while it holds the lock").push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no thread panics while it holds the lock");
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
