//! The quickstart example: what it says about itself has to be what the README promises.
//!
//! With `--json` the last line that it prints is
//! `{"deployments": [{"strategy": "rolling", "release": "v2", "outcome": "succeeded", "requests": 1234, "failed": 0,
//! "wrong": null, …}, …]}`. The example judges itself too, in `wrong`; here stands what it may not talk itself out of.

use serde_json::Value;

use crate::command::{Outcome, Place, run as run_command};

/// What may fail while a release is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failures {
    /// Not a single request.
    None,
    /// Some, and the example has to say why they are right.
    Accounted,
}

/// How releases have to end under every strategy that serves without a gap.
const LOSSLESS: [(&str, &str, Failures); 4] = [
    ("v2", "succeeded", Failures::None),
    ("v3-never-healthy", "rolled_back", Failures::None),
    ("v4-fails-smoke", "rolled_back", Failures::None),
    ("v5-answers-errors", "rolled_back", Failures::Accounted),
];

/// The strategies that serve without a gap.
const STRATEGIES: [&str; 3] = ["rolling", "blue-green", "canary"];

pub(crate) fn run(place: &Place) -> Outcome {
    if !place.root.join("examples/quickstart").is_dir() {
        return Outcome::Skipped("there is no example `quickstart`".to_owned());
    }
    let command = place.cargo(&["run", "--release", "--example", "quickstart", "--", "--json"]);
    match run_command(place, "quickstart", command) {
        Ok(output) => {
            // Standard error is in the same log.
            let line = output.lines().rfind(|line| line.starts_with('{')).unwrap_or_default();
            Outcome::of(&problems(line), format!("{} deployments as promised", expected().count()))
        }
        Err(failed) => failed,
    }
}

/// Strategy, release, end, failures.
fn expected() -> impl Iterator<Item = (&'static str, &'static str, &'static str, Failures)> {
    let lossless = STRATEGIES.into_iter().flat_map(|strategy| {
        LOSSLESS.into_iter().map(move |(release, outcome, failures)| (strategy, release, outcome, failures))
    });
    lossless.chain([("recreate", "v2", "succeeded", Failures::Accounted)])
}

fn problems(line: &str) -> Vec<String> {
    let summary: Value = match serde_json::from_str(line) {
        Ok(summary) => summary,
        Err(error) => return vec![format!("the last line is no JSON ({error}): {line:?}")],
    };
    let rows = summary["deployments"].as_array().map_or(&[][..], Vec::as_slice);
    let mut problems = Vec::new();
    for (strategy, release, outcome, failures) in expected() {
        let place = format!("{release} by {strategy}");
        // The last one: before it there may be one that an earlier run had begun.
        let Some(row) = rows.iter().rfind(|row| row["strategy"] == strategy && row["release"] == release)
        else {
            problems.push(format!("{place}: no such deployment"));
            continue;
        };
        if row["outcome"] != outcome {
            problems.push(format!("{place}: ended as {}, expected {outcome:?}", row["outcome"]));
        }
        if row["requests"].as_u64().is_none_or(|requests| requests == 0) {
            problems.push(format!("{place}: not a single request was sent"));
        }
        if failures == Failures::None && row["failed"].as_u64() != Some(0) {
            problems.push(format!("{place}: {} of {} requests failed", row["failed"], row["requests"]));
        }
    }
    for row in rows.iter().filter(|row| !row["wrong"].is_null()) {
        problems.push(format!("{} by {}: {}", row["release"], row["strategy"], row["wrong"]));
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        let rows: Vec<_> = expected()
            .map(|(strategy, release, outcome, failures)| {
                let failed = if failures == Failures::None { 0 } else { 17 };
                json!({"strategy": strategy, "release": release, "outcome": outcome, "requests": 900,
                    "failed": failed, "wrong": null})
            })
            .collect();
        json!({ "deployments": rows })
    }

    #[test]
    fn what_is_promised_is_accepted() {
        assert_eq!(problems(&good().to_string()), Vec::<String>::new());
        let mut resumed = good();
        let mut first = resumed["deployments"][0].clone();
        first["requests"] = 0.into();
        resumed["deployments"].as_array_mut().unwrap().insert(0, first);
        assert_eq!(problems(&resumed.to_string()), Vec::<String>::new());
    }

    #[test]
    fn every_broken_promise_is_found() {
        let cases: [fn(&mut Value); 8] = [
            |rows| rows[0]["failed"] = 1.into(),
            |rows| rows[0]["failed"] = Value::Null,
            |rows| rows[1]["outcome"] = "succeeded".into(),
            |rows| rows[2]["requests"] = 0.into(),
            |rows| rows[3]["wrong"] = "the bad release never answered".into(),
            |rows| drop(rows.as_array_mut().unwrap().remove(5)),
            |rows| drop(rows.as_array_mut().unwrap().pop()),
            |rows| rows[12]["outcome"] = "stuck".into(),
        ];
        for (number, change) in cases.into_iter().enumerate() {
            let mut summary = good();
            change(&mut summary["deployments"]);
            let found = problems(&summary.to_string());
            assert_eq!(found.len(), 1, "case {number}: {found:?}");
        }
        assert_eq!(problems("{}").len(), expected().count());
        assert_eq!(problems("").len(), 1);
    }
}
