//! Goes back when too many requests fail.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    ErrorRateSettings,
    answer::{fail, hold, later, pass, unknown},
    evidence::{Comparing, float, is_above},
};
use crate::{
    error::Problem,
    model::SetId,
    ports::{CallContext, Counts, Gate, GateAnswer, GateWindow, MetricSource},
    strategy::Verdict,
};

/// Looks at the requests of the new set since the gate was first asked, again and again.
///
/// It fails as soon as it is proven that the true share of bad requests is above the limit, or above that of the stable
/// set where it compares: a release that is within the limit is rejected with a probability of at most 1 in 1000 for
/// each of the two, however often it is looked at. It passes when the observation time is over, there were enough
/// requests and their bad share is not above the limit. A look that brought no data is unknown, never a pass.
///
/// The [`MetricSource`] has to look back as far as the gate observes.
///
/// ```
/// use std::sync::Arc;
/// use deployer_core::{gates::{ErrorRate, ErrorRateSettings}, ports::MetricSource};
///
/// fn at_most_half_a_percent(source: Arc<dyn MetricSource>) -> ErrorRate {
///     let settings = ErrorRateSettings { max_bad_percent: 0.5, minimum_samples: 1000, ..Default::default() };
///     ErrorRate::new(source, settings).expect("these settings are right")
/// }
/// ```
#[derive(Debug, Clone)]
pub struct ErrorRate {
    source: Arc<dyn MetricSource>,
    settings: ErrorRateSettings,
}

/// What one look at the stable set brought.
#[derive(Debug)]
enum Stable {
    /// There is nothing to compare with, or nobody asked for it.
    NotCompared,
    /// It could not be looked at.
    NoData(String),
    /// Its counts.
    Seen(Counts),
}

impl ErrorRate {
    /// A gate on the requests that this source counts.
    ///
    /// # Errors
    /// All that is wrong with the settings, at once.
    pub fn new(source: Arc<dyn MetricSource>, settings: ErrorRateSettings) -> Result<Self, Vec<Problem>> {
        let problems = settings.problems();
        if problems.is_empty() { Ok(Self { source, settings }) } else { Err(problems) }
    }

    /// The settings that it was made with.
    pub fn settings(&self) -> &ErrorRateSettings {
        &self.settings
    }

    async fn counts(&self, context: &CallContext, set: &SetId, interval: Duration) -> Result<Counts, String> {
        let limit = context.deadline.mul_f64(0.95);
        match tokio::time::timeout(limit, self.source.counts(context, set, interval)).await {
            Ok(Ok(counts)) if counts.bad <= counts.total => Ok(counts),
            Ok(Ok(Counts { bad, total, .. })) => {
                Err(format!("the source counts {bad} bad of {total} requests of set {set}, which cannot be"))
            }
            Ok(Err(error)) => Err(error.report()),
            Err(_) => Err(format!("no counts of set {set} within {limit:?}")),
        }
    }

    async fn stable(&self, context: &CallContext, window: &GateWindow, interval: Duration) -> Stable {
        match window.stable.as_ref().filter(|_| self.settings.compare.is_some()) {
            None => Stable::NotCompared,
            Some(set) => match self.counts(context, set, interval).await {
                Ok(counts) => Stable::Seen(counts),
                Err(why) => Stable::NoData(why),
            },
        }
    }

    /// The verdict on one look, `age` after the first question.
    fn judge(&self, seen: Counts, stable: &Stable, comparing: &Comparing, age: Duration) -> Verdict {
        let settings = &self.settings;
        let limit = settings.max_bad_percent / 100.0;
        let text = format!("{} of {} requests failed{}", seen.bad, seen.total, percent(seen));
        if seen.bad >= settings.minimum_bad && is_above(seen.bad, seen.total, limit) {
            return fail(format!("{text}: above {}% with 99.9% confidence", settings.max_bad_percent));
        }
        if let Some(worse) = self.worse(seen, stable, comparing) {
            return fail(format!("{text}: {worse}"));
        }
        if age < settings.observe {
            return hold(format!("{text}; observes for {:?} more", settings.observe.saturating_sub(age)));
        }
        if seen.total < settings.minimum_samples {
            return unknown(format!(
                "{text}; that is too few, at least {} are needed",
                settings.minimum_samples
            ));
        }
        if float(seen.bad) > limit * float(seen.total) {
            return hold(format!("{text}: above {}%, but not beyond doubt yet", settings.max_bad_percent));
        }
        match stable {
            Stable::NoData(why) => unknown(format!("{text}; nothing to compare with: {why}")),
            Stable::NotCompared if settings.compare.is_some() => {
                pass(format!("{text}; there is no stable set to compare with"))
            }
            Stable::NotCompared | Stable::Seen(_) => pass(text),
        }
    }

    /// Why the candidate is worse than the stable set, if that is proven.
    fn worse(&self, seen: Counts, stable: &Stable, comparing: &Comparing) -> Option<String> {
        let (Stable::Seen(stable), Some(settings)) = (stable, &self.settings.compare) else { return None };
        let share = |counts: Counts| float(counts.bad) / float(counts.total.max(1));
        let difference = 100.0 * (share(seen) - share(*stable));
        (seen.bad >= self.settings.minimum_bad
            && difference >= settings.least_difference_percent
            && comparing.is_proven())
        .then(|| {
            let (bad, total) = (stable.bad, stable.total);
            format!(
                "more than {} times the stable set ({bad} of {total}{}) with 99.9% confidence",
                settings.max_ratio,
                percent(*stable)
            )
        })
    }
}

#[async_trait]
impl Gate for ErrorRate {
    fn describe(&self) -> String {
        let settings = &self.settings;
        let compared = match &settings.compare {
            None => String::new(),
            Some(compare) => format!(" and at most {} times the stable set", compare.max_ratio),
        };
        format!("at most {}% failed requests{compared} for {:?}", settings.max_bad_percent, settings.observe)
    }

    async fn evaluate(&self, context: &CallContext, window: &GateWindow) -> GateAnswer {
        let age = window.now.since(window.since);
        let mut comparing = Comparing::remembered(&window.memory);
        let verdict = if age.is_zero() {
            hold(format!("observes for {:?}", self.settings.observe))
        } else {
            let candidate = self.counts(context, &window.candidate, age);
            let (seen, stable) = futures::join!(candidate, self.stable(context, window, age));
            match seen {
                Err(why) => unknown(why),
                Ok(seen) => {
                    if let (Stable::Seen(stable), Some(compare)) = (&stable, &self.settings.compare) {
                        comparing.look(seen, *stable, compare.max_ratio);
                    }
                    self.judge(seen, &stable, &comparing, age)
                }
            }
        };
        let left = self.settings.observe.saturating_sub(age);
        let pause = if left.is_zero() { self.settings.every } else { self.settings.every.min(left) };
        let memory = match self.settings.compare {
            Some(_) => serde_json::to_value(&comparing).unwrap_or_default(),
            None => serde_json::Value::Null,
        };
        GateAnswer { verdict, memory, next_at: later(window.now, pause) }
    }
}

fn percent(counts: Counts) -> String {
    if counts.total == 0 {
        return String::new();
    }
    format!(" ({:.2}%)", 100.0 * float(counts.bad) / float(counts.total))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        error::{BackendError, ErrorKind},
        gates::{
            Comparison,
            tests_support::{START, ask, window},
        },
        model::Timestamp,
    };

    /// Says what it is told to, and notes what it is asked.
    #[derive(Debug, Default)]
    struct Told {
        candidate: Mutex<Option<(u64, u64)>>,
        stable: Mutex<Option<(u64, u64)>>,
        asked: Mutex<Vec<(String, Duration)>>,
    }

    #[async_trait]
    impl MetricSource for Told {
        async fn counts(
            &self,
            _: &CallContext,
            set: &SetId,
            interval: Duration,
        ) -> crate::ports::Result<Counts> {
            self.asked.lock().unwrap().push((set.to_string(), interval));
            let told = if set.as_str() == "v2" { &self.candidate } else { &self.stable };
            match *told.lock().unwrap() {
                Some((bad, total)) => Ok(Counts { bad, total, p99_micros: None }),
                None => Err(BackendError::new(ErrorKind::Unavailable, "read counts", "no answer")),
            }
        }
    }

    async fn verdict(settings: ErrorRateSettings, candidate: Option<(u64, u64)>, millis: u64) -> Verdict {
        let source = Arc::new(Told { candidate: Mutex::new(candidate), ..Told::default() });
        ask(&ErrorRate::new(source, settings).unwrap(), &window(millis)).await.verdict
    }

    fn kind(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Pass { .. } => "pass",
            Verdict::Fail { .. } => "fail",
            Verdict::Hold { .. } => "hold",
            Verdict::Unknown { .. } => "unknown",
        }
    }

    #[tokio::test]
    async fn verdicts_by_table() {
        // Bad, total, seconds since the first question, verdict. The limit is 5 %, 60 s are observed.
        let cases = [
            (0, 0, 0, "hold"),
            (0, 0, 59, "hold"),
            (0, 0, 60, "unknown"),
            (0, 99, 60, "unknown"),
            (0, 100, 60, "pass"),
            (0, 1_000_000, 59, "hold"),
            (5, 100, 60, "pass"),
            (6, 100, 60, "hold"),
            (4, 4, 5, "hold"),
            (5, 5, 5, "fail"),
            (30, 100, 5, "fail"),
            (30, 100, 3600, "fail"),
            (600, 10_000, 3600, "fail"),
            (51, 1000, 3600, "hold"),
        ];
        for (bad, total, seconds, expected) in cases {
            let found = verdict(ErrorRateSettings::default(), Some((bad, total)), seconds * 1000).await;
            assert_eq!(kind(&found), expected, "{bad} of {total} after {seconds} s: {found:?}");
        }
    }

    #[tokio::test]
    async fn fractions_of_a_percent_count() {
        let settings = |max_bad_percent| ErrorRateSettings { max_bad_percent, ..Default::default() };
        assert_eq!(kind(&verdict(settings(0.5), Some((4, 1000)), 60_000).await), "pass");
        assert_eq!(kind(&verdict(settings(0.5), Some((6, 1000)), 60_000).await), "hold");
        assert_eq!(kind(&verdict(settings(0.5), Some((25, 1000)), 60_000).await), "fail");
        assert_eq!(kind(&verdict(settings(0.0), Some((5, 1_000_000)), 60_000).await), "fail");
    }

    #[tokio::test]
    async fn no_data_is_unknown_and_impossible_data_too() {
        for seconds in [5, 60, 3600] {
            let found = verdict(ErrorRateSettings::default(), None, seconds * 1000).await;
            assert_eq!(kind(&found), "unknown");
            assert!(found.reason().contains("no answer"), "{found:?}");
        }
        let found = verdict(ErrorRateSettings::default(), Some((11, 10)), 60_000).await;
        assert_eq!(kind(&found), "unknown", "{found:?}");
    }

    #[tokio::test]
    async fn it_asks_for_the_time_since_the_first_question_and_comes_back_in_time() {
        let source = Arc::new(Told { candidate: Mutex::new(Some((0, 10))), ..Told::default() });
        let gate = ErrorRate::new(source.clone(), ErrorRateSettings::default()).unwrap();
        let next = |answer: GateAnswer| answer.next_at.since(Timestamp::from_millis(START)).as_millis();
        assert_eq!(next(ask(&gate, &window(0)).await), 5000);
        assert!(source.asked.lock().unwrap().is_empty(), "an interval of zero has no requests");
        assert_eq!(next(ask(&gate, &window(58_000)).await), 60_000);
        assert_eq!(next(ask(&gate, &window(60_000)).await), 65_000);
        let asked = source.asked.lock().unwrap().clone();
        assert_eq!(asked[0], ("v2".to_owned(), Duration::from_secs(58)));
    }

    /// Looks every 5 s at two sets with these bad requests of 100 a look.
    async fn compare(candidate: u64, stable: Option<u64>, looks: u64) -> Verdict {
        compare_of(100, candidate, stable, looks).await
    }

    async fn compare_of(total: u64, candidate: u64, stable: Option<u64>, looks: u64) -> Verdict {
        let settings = ErrorRateSettings {
            max_bad_percent: 90.0,
            compare: Some(Comparison::default()),
            ..Default::default()
        };
        let source = Arc::new(Told::default());
        let gate = ErrorRate::new(source.clone(), settings).unwrap();
        let mut asked = window(0);
        let mut last = hold("");
        for look in 1..=looks {
            *source.candidate.lock().unwrap() = Some((look * candidate, look * total));
            *source.stable.lock().unwrap() = stable.map(|bad| (look * bad, look * total));
            asked.now = Timestamp::from_millis(START + look * 5000);
            let answer = ask(&gate, &asked).await;
            asked.memory = answer.memory;
            last = answer.verdict;
            if last.is_definite() {
                break;
            }
        }
        last
    }

    #[tokio::test]
    async fn a_candidate_is_compared_with_the_stable_set_at_the_same_time() {
        assert_eq!(kind(&compare(20, Some(20), 12).await), "pass", "both are bad alike");
        assert_eq!(kind(&compare(20, Some(5), 12).await), "fail");
        assert_eq!(kind(&compare(5, Some(20), 12).await), "pass", "better than the stable set");
        assert_eq!(kind(&compare(5, None, 12).await), "unknown", "the stable set could not be looked at");
        assert_eq!(kind(&compare(100, None, 12).await), "fail", "the limit holds without a comparison");
    }

    #[tokio::test]
    async fn a_difference_that_nobody_feels_is_no_reason_to_go_back() {
        assert_eq!(kind(&compare_of(100_000, 50, Some(1), 12).await), "pass", "0.05% and 0.001%");
        assert_eq!(kind(&compare_of(100_000, 150, Some(1), 12).await), "fail", "0.15% and 0.001%");
    }

    #[tokio::test]
    async fn without_a_stable_set_the_limit_alone_counts() {
        let settings = ErrorRateSettings { compare: Some(Comparison::default()), ..Default::default() };
        let source = Arc::new(Told { candidate: Mutex::new(Some((1, 100))), ..Told::default() });
        let gate = ErrorRate::new(source, settings).unwrap();
        let mut asked = window(60_000);
        asked.stable = None;
        let found = ask(&gate, &asked).await.verdict;
        assert_eq!(kind(&found), "pass");
        assert!(found.reason().contains("no stable set"), "{found:?}");
    }

    #[test]
    fn wrong_settings_are_refused_all_at_once() {
        let settings = ErrorRateSettings {
            max_bad_percent: f64::NAN,
            minimum_samples: 0,
            minimum_bad: 0,
            observe: Duration::ZERO,
            every: Duration::ZERO,
            compare: Some(Comparison { max_ratio: 0.5, least_difference_percent: f64::INFINITY }),
        };
        let observe = ErrorRateSettings { observe: Duration::ZERO, ..Default::default() };
        assert_eq!(settings.problems().len(), 6, "{:?}", settings.problems());
        assert_eq!(observe.problems().len(), 1);
        assert!(ErrorRate::new(Arc::new(Told::default()), settings).is_err());
        let text = r#"{"max_bad_percent": 0.5, "observe": 1.5, "window": 3}"#;
        assert!(serde_json::from_str::<ErrorRateSettings>(text).is_err());
    }
}
