//! The quickstart example: what it says about itself has to be what the README promises.
//!
//! With `--json` the last line that it prints is
//! `{"runs": [{"strategy": "rolling", "release": "good", "outcome": "succeeded", "requests": 1234, "failed": 0}, …]}`.

use serde_json::Value;

use crate::command::{Outcome, Place, run as run_command, tail};

/// Strategy, release, how that has to end, and whether not a single request may fail.
const EXPECTED: [(&str, &str, &str, bool); 7] = [
    ("rolling", "good", "succeeded", true),
    ("rolling", "bad", "rolled_back", true),
    ("blue_green", "good", "succeeded", true),
    ("blue_green", "bad", "rolled_back", true),
    ("canary", "good", "succeeded", true),
    ("canary", "bad", "rolled_back", true),
    ("recreate", "good", "succeeded", false),
];

pub(crate) fn run(place: &Place) -> Outcome {
    if !place.root.join("examples/quickstart.rs").exists() {
        return Outcome::Skipped("there is no example `quickstart`".to_owned());
    }
    let command = place.cargo(&["run", "--release", "--example", "quickstart", "--", "--json"]);
    match run_command(place, "quickstart", command) {
        Ok(output) => {
            let line = tail(&output, 1);
            Outcome::of(&problems(&line), format!("{} runs as promised", EXPECTED.len()))
        }
        Err(failed) => failed,
    }
}

fn problems(line: &str) -> Vec<String> {
    let summary: Value = match serde_json::from_str(line) {
        Ok(summary) => summary,
        Err(error) => return vec![format!("the last line is no JSON ({error}): {line}")],
    };
    let runs = summary["runs"].as_array().map_or(&[][..], Vec::as_slice);
    EXPECTED
        .iter()
        .flat_map(|(strategy, release, outcome, is_lossless)| {
            let place = format!("{strategy} with a {release} release");
            let run = runs.iter().find(|run| run["strategy"] == **strategy && run["release"] == **release);
            let Some(run) = run else { return vec![format!("{place}: no such run")] };
            let mut problems = Vec::new();
            if run["outcome"] != **outcome {
                problems.push(format!("{place}: ended with {}, expected {outcome:?}", run["outcome"]));
            }
            if run["requests"].as_u64().is_none_or(|requests| requests == 0) {
                problems.push(format!("{place}: not a single request was sent"));
            }
            if *is_lossless && run["failed"].as_u64() != Some(0) {
                problems.push(format!("{place}: {} of {} requests failed", run["failed"], run["requests"]));
            }
            problems
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        let runs: Vec<_> = EXPECTED
            .iter()
            .map(|(strategy, release, outcome, is_lossless)| {
                let failed = if *is_lossless { 0 } else { 17 };
                json!({"strategy": strategy, "release": release, "outcome": outcome, "requests": 900, "failed": failed})
            })
            .collect();
        json!({ "runs": runs })
    }

    #[test]
    fn what_is_promised_is_accepted() {
        assert_eq!(problems(&good().to_string()), Vec::<String>::new());
    }

    #[test]
    fn every_broken_promise_is_found() {
        let broken = |change: fn(&mut Value)| {
            let mut summary = good();
            change(&mut summary);
            problems(&summary.to_string())
        };
        let cases: [fn(&mut Value); 6] = [
            |summary| summary["runs"][0]["failed"] = 1.into(),
            |summary| summary["runs"][0]["failed"] = Value::Null,
            |summary| summary["runs"][1]["outcome"] = "succeeded".into(),
            |summary| summary["runs"][2]["requests"] = 0.into(),
            |summary| drop(summary["runs"].as_array_mut().unwrap().remove(4)),
            |summary| summary["runs"][6]["outcome"] = "stuck".into(),
        ];
        for (number, change) in cases.into_iter().enumerate() {
            assert_eq!(broken(change).len(), 1, "case {number}: {:?}", broken(change));
        }
        assert_eq!(problems("{}").len(), EXPECTED.len());
        assert_eq!(problems("done").len(), 1);
    }
}
