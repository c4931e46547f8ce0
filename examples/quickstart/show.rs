//! What a person, or a program, sees of it.

use std::{fmt::Write as _, time::Duration};

use deployer_testkit::load::LoadResult;
use serde::Serialize;

use crate::{
    scene::{self, Expected, Scene},
    stand,
};

/// One deployment as the last line of `--json` has it.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) strategy: &'static str,
    pub(crate) release: String,
    pub(crate) outcome: &'static str,
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// Requests that the proxy sent again, to another instance, because they were never written: not failures, but
    /// not hidden either.
    pub(crate) retried: u64,
    /// The longest time without a successful answer, in seconds.
    pub(crate) longest_gap: f64,
    /// What is wrong with it; nothing if it is as expected.
    pub(crate) wrong: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Rows {
    pub(crate) deployments: Vec<Row>,
}

impl Row {
    /// Judges a scene by its end and by the load on it.
    pub(crate) fn judge(
        scene: &Scene,
        outcome: &'static str,
        took: Duration,
        load: &LoadResult,
        retried: u64,
    ) -> Self {
        Self {
            strategy: scene.kind,
            release: scene.release.to_owned(),
            outcome,
            seconds: round(took.as_secs_f64()),
            requests: load.requests,
            failed: load.failed,
            retried,
            longest_gap: round(load.longest_gap.as_secs_f64()),
            wrong: wrong(scene, outcome, load),
        }
    }
}

fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

fn wrong(scene: &Scene, outcome: &str, load: &LoadResult) -> Option<String> {
    let wanted = match scene.expected {
        Expected::Lossless | Expected::Interrupted => "succeeded",
        Expected::TakenBack | Expected::TakenBackAfter { .. } => "rolled_back",
    };
    if outcome != wanted {
        return Some(format!("it ended as {outcome}, not as {wanted}"));
    }
    if !load.is_valid() {
        return Some("less than 95 % of the load was really sent: the run is invalid".into());
    }
    match scene.expected {
        Expected::Interrupted => None,
        Expected::Lossless | Expected::TakenBack => {
            (load.failed > 0).then(|| format!("{} requests failed\n{load}", load.failed))
        }
        Expected::TakenBackAfter { share } => blame(scene, load, share),
    }
}

/// Every failure was an answer of the bad release, and it had no more than its share while it served.
fn blame(scene: &Scene, load: &LoadResult, share: f64) -> Option<String> {
    let Some(bad) = load.by_version.get(scene.release) else {
        return Some("the bad release never answered, so nothing was shown".into());
    };
    if bad.failed != load.failed {
        return Some(format!(
            "{} of {} failures were not answered by the bad release\n{load}",
            load.failed - bad.failed,
            load.failed
        ));
    }
    // Between its first and its last answer; what it answered last was sent one latency earlier.
    let served = bad.last_answer.saturating_sub(bad.first_answer) + load.latency.per_mille(990);
    let served = served.as_secs_f64() * f64::from(load.rate);
    // 4.5 standard deviations of a binomial, and one request for each end.
    let most = served * share + 4.5 * (served * share * (1.0 - share)).sqrt() + 2.0;
    #[expect(clippy::cast_precision_loss, reason = "thousands of requests")]
    let total = bad.total as f64;
    (total > most).then(|| format!("the bad release answered {total} requests, its share was {most:.0}"))
}

/// The settings that are shorter here than their defaults.
pub(crate) fn settings() -> String {
    let mut text = String::new();
    let probing = stand::probing();
    let ms = |duration: Duration| duration.as_millis();
    let _ = write!(
        text,
        "{} instances that take {} ms to start and exit at once on SIGTERM, 500 requests/s open loop, half of them POST \
         on kept connections\nshortened: probe every {} ms ({} ms until the first success), start deadline {} ms, bake \
         time {} ms, error rate observed for {} ms a step, canary 10-25-50-100 % with 300 ms a step, drain {} ms at most",
        scene::REPLICAS,
        ms(scene::START_DELAY),
        ms(probing.interval),
        ms(probing.start_interval),
        ms(stand::START_DEADLINE),
        ms(scene::BAKE),
        ms(stand::OBSERVE),
        ms(stand::DRAIN),
    );
    text
}

/// The table at the end.
pub(crate) fn table(rows: &Rows) -> String {
    let mut text = format!(
        "{:<11} {:<18} {:<12} {:>8} {:>9} {:>7} {:>8} {:>9}\n",
        "strategy", "release", "outcome", "seconds", "requests", "failed", "retried", "gap"
    );
    for row in &rows.deployments {
        let _ = writeln!(
            text,
            "{:<11} {:<18} {:<12} {:>8.2} {:>9} {:>7} {:>8} {:>6.0} ms{}",
            row.strategy,
            row.release,
            row.outcome,
            row.seconds,
            row.requests,
            row.failed,
            row.retried,
            row.longest_gap * 1000.0,
            if row.wrong.is_some() { "  <- not as expected" } else { "" },
        );
    }
    text
}
