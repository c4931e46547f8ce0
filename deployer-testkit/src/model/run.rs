//! The command: searches all scenarios on all cores and tells what was found.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::{
    catalog,
    lab::{Lab, Production, Stepper},
    planted::Planted,
    report::{Caught, ModelReport},
    scenario::Scenario,
    search::{self, Found},
};

/// What `cargo xtask model` does with its arguments: nothing checks every strategy, a word only scenarios with that
/// word in their name, `--planted` whether bugs on purpose are found.
///
/// # Errors
/// An argument that is not known.
///
/// ```
/// let words = ["blue-green", "1 instances", "core"].map(str::to_owned);
/// let report = deployer_testkit::model::run(&words).unwrap();
/// println!("{report}");
/// ```
pub fn run(arguments: &[String]) -> Result<ModelReport, String> {
    let mut words = Vec::new();
    let mut planted = false;
    for argument in arguments {
        match argument.as_str() {
            "--planted" => planted = true,
            option if option.starts_with('-') => {
                return Err(format!(
                    "unknown option {option:?}: use --planted, or words of a scenario's name"
                ));
            }
            word => words.push(word),
        }
    }
    if planted && !words.is_empty() {
        return Err("--planted takes no words: each bug has its own scenario".to_owned());
    }
    Ok(if planted { check_planted() } else { check_all(&words) })
}

/// All scenarios of the catalog whose names have all these words, under the production step.
pub fn check_all(words: &[&str]) -> ModelReport {
    let mut scenarios = catalog::all();
    scenarios.retain(|scenario| words.iter().all(|word| scenario.name.contains(word)));
    ModelReport::Checked(in_parallel(&scenarios, |scenario| check_one(scenario, &Production)))
}

/// All planted bugs, each in a scenario in which it does harm.
pub fn check_planted() -> ModelReport {
    ModelReport::Planted(in_parallel(&Planted::ALL, |planted| catch(*planted)))
}

fn catch(planted: Planted) -> Caught {
    let scenario = planted.scenario();
    let known: Vec<_> = check_one(&scenario, &Production).violations.iter().map(|v| v.oracle).collect();
    let mut lab = Lab::new(&scenario, &planted);
    // What is caught is caught by the promises of this check alone.
    lab.runtime = false;
    let found = search::search(&mut lab, known.is_empty());
    let violation = found.violations.into_iter().find(|violation| !known.contains(&violation.oracle));
    Caught { bug: planted.name(), scenario: scenario.name, violation }
}

fn check_one(scenario: &Scenario, stepper: &dyn Stepper) -> Found {
    search::search(&mut Lab::new(scenario, stepper), false)
}

/// Does the work on as many threads as there are cores; results are in the order of the work.
fn in_parallel<T: Sync, R: Send>(work: &[T], one: impl Fn(&T) -> R + Sync) -> Vec<R> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_arguments_are_refused() {
        for bad in [vec!["--plant"], vec!["--planted", "rolling"], vec!["-x"]] {
            let arguments: Vec<String> = bad.iter().map(ToString::to_string).collect();
            assert!(run(&arguments).is_err(), "{arguments:?} was accepted");
        }
    }
}
