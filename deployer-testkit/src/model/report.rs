//! What a run tells.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::search::{Found, Violation};

/// One planted bug, and what found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    /// The bug.
    pub bug: &'static str,
    /// Where it was looked for.
    pub scenario: String,
    /// The first promise that it broke and the production step did not; `None` if it survived.
    pub violation: Option<Violation>,
}

/// What a run of the check found. Its `Display` is what a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelReport {
    /// The production strategies.
    Checked(Vec<Found>),
    /// Bugs on purpose.
    Planted(Vec<Caught>),
}

/// What all scenarios of one strategy add up to.
#[derive(Debug, Default)]
struct Sum {
    scenarios: usize,
    states: u64,
    transitions: u64,
    took: Duration,
    ends: BTreeMap<&'static str, u64>,
}

impl ModelReport {
    /// Whether every promise was kept, or every planted bug caught. Nothing that was looked at is no success.
    pub fn passed(&self) -> bool {
        match self {
            Self::Checked(all) => !all.is_empty() && all.iter().all(|found| found.violations.is_empty()),
            Self::Planted(all) => !all.is_empty() && all.iter().all(|caught| caught.violation.is_some()),
        }
    }
}

impl fmt::Display for ModelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checked(all) => checked(f, all),
            Self::Planted(all) => planted(f, all),
        }
    }
}

fn checked(f: &mut fmt::Formatter<'_>, all: &[Found]) -> fmt::Result {
    writeln!(
        f,
        "{:>9} {:>11} {:>7}  scenario, and how often each end was reached",
        "states", "transitions", "s"
    )?;
    for found in all {
        let seconds = found.took.as_secs_f64();
        let mark = if found.violations.is_empty() { "" } else { "BROKEN: " };
        let ends: Vec<String> = found.ends.iter().map(|(end, times)| format!("{end} {times}")).collect();
        let (states, transitions) = (found.states, found.transitions);
        writeln!(
            f,
            "{states:>9} {transitions:>11} {seconds:>7.2}  {mark}{}: {}",
            found.scenario,
            ends.join(", ")
        )?;
    }
    violations(f, all)?;
    writeln!(f, "\n{:>9} {:>11} {:>7} {:>9}  strategy", "states", "transitions", "s", "scenarios")?;
    let sums = sums(all);
    for (strategy, Sum { scenarios, states, transitions, took, ends }) in &sums {
        let ends: Vec<String> = ends.iter().map(|(end, times)| format!("{end} {times}")).collect();
        let (seconds, ends) = (took.as_secs_f64(), ends.join(", "));
        writeln!(f, "{states:>9} {transitions:>11} {seconds:>7.2} {scenarios:>9}  {strategy}: {ends}")?;
    }
    let broken = all.iter().filter(|found| !found.violations.is_empty()).count();
    let states: u64 = sums.values().map(|sum| sum.states).sum();
    writeln!(f, "{} scenarios, {states} states, {broken} scenarios with broken promises", all.len())
}

/// Of each way in which a promise was broken the shortest trace.
fn violations(f: &mut fmt::Formatter<'_>, all: &[Found]) -> fmt::Result {
    let mut shortest: BTreeMap<(&str, String, &str), (usize, &Found, &Violation)> = BTreeMap::new();
    for found in all {
        for violation in &found.violations {
            let what = violation.what.chars().filter(|c| !c.is_ascii_digit()).collect();
            let entry =
                shortest.entry((violation.oracle, what, found.strategy)).or_insert((0, found, violation));
            entry.0 += 1;
            if violation.trace.len() < entry.2.trace.len() {
                (entry.1, entry.2) = (found, violation);
            }
        }
    }
    for ((oracle, _, _), (times, found, violation)) in &shortest {
        writeln!(f, "\nBROKEN {oracle}: {}", violation.what)?;
        writeln!(f, "in {times} scenarios; the shortest trace is of {}:", found.scenario)?;
        violation.trace.iter().try_for_each(|line| writeln!(f, "{line}"))?;
    }
    Ok(())
}

fn sums(all: &[Found]) -> BTreeMap<&str, Sum> {
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for found in all {
        let sum = sums.entry(found.strategy).or_default();
        sum.scenarios += 1;
        sum.states += u64::from(found.states);
        sum.transitions += found.transitions;
        sum.took += found.took;
        for (end, times) in &found.ends {
            *sum.ends.entry(end).or_default() += u64::from(*times);
        }
    }
    sums
}

fn planted(f: &mut fmt::Formatter<'_>, all: &[Caught]) -> fmt::Result {
    for caught in all {
        match &caught.violation {
            Some(Violation { oracle, what, after_states, .. }) => {
                writeln!(f, "{}: caught by {oracle} after {after_states} states: {what}", caught.bug)?;
            }
            None => writeln!(f, "{}: SURVIVED {}", caught.bug, caught.scenario)?,
        }
    }
    let survivors = all.iter().filter(|caught| caught.violation.is_none()).count();
    writeln!(f, "{} planted bugs, {survivors} survived", all.len())
}
