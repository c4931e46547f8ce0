//! `cargo xtask simulate`: deployments by the thousand with faults, in virtual time.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use deployer_testkit::simulate::{CaughtBug, SeedReport, SwarmReport, planted, play, swarm};

/// How many seeds are played if nobody says so.
const SEEDS: u64 = 100_000;
/// Within how many seeds a bug on purpose has to be caught.
const PLANTED_SEEDS: u64 = 5000;
/// Every so many seeds one is played twice.
const TWICE: u64 = 20;

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    seeds: Option<u64>,
    from: u64,
    only: Option<u64>,
    planted: bool,
    json: bool,
}

/// Plays, prints, and fails if a promise was broken.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let wish = match parse(arguments) {
        Ok(wish) => wish,
        Err(problem) => {
            println!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    let passed = match wish {
        Wish { only: Some(seed), .. } => replay(seed),
        Wish { planted: true, seeds, json, .. } => bugs(seeds.unwrap_or(PLANTED_SEEDS), json),
        Wish { seeds, from, json, .. } => all(from, seeds.unwrap_or(SEEDS), json),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(arguments: &[String]) -> Result<Wish, String> {
    let mut wish = Wish::default();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            text.parse::<u64>().map_err(|_| format!("{word} {text:?}: that is no number"))
        };
        match word.as_str() {
            "--seeds" => wish.seeds = Some(number()?),
            "--from" => wish.from = number()?,
            "--seed" => wish.only = Some(number()?),
            "--planted" => wish.planted = true,
            "--json" => wish.json = true,
            unknown => {
                return Err(format!(
                    "unknown option {unknown:?}: use --seeds N, --from S, --seed S, --planted, --json"
                ));
            }
        }
    }
    if wish.seeds == Some(0) {
        return Err("--seeds 0 shows nothing; use at least 1".to_owned());
    }
    Ok(wish)
}

/// One seed, line by line.
fn replay(seed: u64) -> bool {
    let report = play(seed, true);
    for line in &report.trace {
        println!("{line}");
    }
    let again = play(seed, false);
    println!("seed {seed}: trace {:016x}, again {:016x}", report.hash, again.hash);
    if let Some(broken) = &report.broken {
        println!("BROKEN: {broken}");
    }
    report.broken.is_none() && report.hash == again.hash
}

fn all(from: u64, seeds: u64, json: bool) -> bool {
    let report = swarm(from..from.saturating_add(seeds), TWICE, |done| {
        if !json {
            println!("{done} of {seeds} seeds …");
        }
    });
    let text = if json { as_json(&report).to_string() } else { table(&report) };
    println!("{text}");
    report.passed()
}

fn bugs(seeds: u64, json: bool) -> bool {
    let caught = planted(seeds);
    let all = caught.iter().all(|bug| bug.caught.is_some());
    for bug in &caught {
        println!("{}", bug_line(bug));
    }
    let count = caught.iter().filter(|bug| bug.caught.is_some()).count();
    if json {
        println!("{}", serde_json::json!({ "planted": caught.len(), "caught": count }));
    } else {
        println!("{count} of {} bugs on purpose caught within {seeds} seeds", caught.len());
    }
    all
}

fn bug_line(bug: &CaughtBug) -> String {
    match &bug.caught {
        Some(SeedReport { seed, broken: Some(broken), .. }) => {
            format!("  {:<28} caught by {:<22} with seed {seed}: {}", bug.bug, broken.oracle, broken.what)
        }
        _ => format!("  {:<28} NOT CAUGHT in {} seeds", bug.bug, bug.seeds),
    }
}

fn rate(report: &SwarmReport) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let deployments = report.deployments as f64;
    deployments / report.took.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn table(report: &SwarmReport) -> String {
    let counts = |counts: &BTreeMap<&str, u64>| {
        counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    let days = report.virtual_time.as_secs() / 86_400;
    let mut lines = vec![
        format!("  seeds          {}, {} of them twice", report.seeds, report.played_twice),
        format!(
            "  deployments    {} in {:.1} s: {:.0}/s",
            report.deployments,
            report.took.as_secs_f64(),
            rate(report)
        ),
        format!("  processes      {}", report.processes),
        format!("  virtual time   {days} days"),
        format!("  ends           {}", counts(&report.ends)),
        format!("  injected       {}", counts(&report.faults)),
        format!("  slowest seed   {} in {:?}", report.slowest.1, round(report.slowest.0)),
    ];
    for failed in &report.failed {
        let broken = failed.broken.as_ref().map(ToString::to_string).unwrap_or_default();
        lines.push(format!("  BROKEN {broken}\n    cargo xtask simulate --seed {}", failed.seed));
    }
    for seed in &report.differing {
        lines.push(format!("  TWO TRACES of one seed\n    cargo xtask simulate --seed {seed}"));
    }
    lines.push(format!(
        "{} deployments, {:.0}/s, {} broken promises",
        report.deployments,
        rate(report),
        report.failed.len() + report.differing.len()
    ));
    lines.join("\n")
}

fn round(duration: Duration) -> Duration {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

fn as_json(report: &SwarmReport) -> serde_json::Value {
    let failed: Vec<_> = report.failed.iter().map(|failed| failed.seed).collect();
    serde_json::json!({
        "seeds": report.seeds,
        "played_twice": report.played_twice,
        "deployments": report.deployments,
        "deployments_per_second": rate(report).round(),
        "processes": report.processes,
        "virtual_seconds": report.virtual_time.as_secs(),
        "ends": report.ends,
        "injected": report.faults,
        "slowest_seed": report.slowest.1,
        "failed": failed,
        "differing": report.differing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Wish, String> {
        parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_are_read_and_bad_ones_refused() {
        let wish = parsed(&["--seeds", "10", "--from", "5", "--json"]).unwrap();
        assert_eq!(wish, Wish { seeds: Some(10), from: 5, json: true, ..Wish::default() });
        assert_eq!(parsed(&["--seed", "3"]).unwrap().only, Some(3));
        for bad in [&["--seeds"][..], &["--seeds", "x"], &["--seeds", "0"], &["all"]] {
            assert!(parsed(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
