//! What a scenario is, and that none is missing.

use std::{collections::BTreeMap, fmt, future::Future, sync::Mutex, time::Duration};

use deployer_testkit::cases::Case;

use crate::{docker, kubernetes};

/// How long a scenario may take in virtual time.
const LONGEST: Duration = Duration::from_secs(60 * 24 * 3600);

/// How the scenarios went that were played, by number.
static PLAYED: Mutex<BTreeMap<&'static str, bool>> = Mutex::new(BTreeMap::new());

/// One scenario of the field.
pub(crate) struct Scenario {
    /// `K` or `D` and its number.
    pub(crate) number: &'static str,
    /// In our words, and as it is here.
    pub(crate) title: &'static str,
    pub(crate) verdict: Verdict,
}

/// What becomes of a scenario here.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    /// It is played.
    Run(Case),
    /// It is not for the core.
    Elsewhere { home: Home, why: &'static str },
}

/// Where a scenario belongs that is not for the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// The embedded proxy and its helper: tested there with real sockets.
    Local,
    /// Whole deployments of real processes: tested there.
    EndToEnd,
    /// The backend for Docker, to come.
    Docker,
    /// The backend for nginx, to come.
    Nginx,
    /// The backend for Kubernetes, to come.
    Kubernetes,
    /// Something that this library does not do, on purpose.
    Nowhere,
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "`deployer-local`",
            Self::EndToEnd => "end-to-end tests",
            Self::Docker => "Docker, later",
            Self::Nginx => "nginx, later",
            Self::Kubernetes => "Kubernetes, later",
            Self::Nowhere => "not offered",
        })
    }
}

/// A scenario that is played, and one that belongs elsewhere.
macro_rules! scenario {
    ($number:literal, $title:literal, run $module:ident::$function:ident) => {
        $crate::list::Scenario {
            number: $number,
            title: $title,
            verdict: $crate::list::Verdict::Run(deployer_testkit::cases::Case {
                name: concat!($number, "::", stringify!($function)),
                run: || $crate::list::play($number, crate::$module::$function()),
            }),
        }
    };
    ($number:literal, $title:literal, $home:ident $why:literal) => {
        $crate::list::Scenario {
            number: $number,
            title: $title,
            verdict: $crate::list::Verdict::Elsewhere { home: $crate::list::Home::$home, why: $why },
        }
    };
}
pub(crate) use scenario;

/// Every scenario of the field.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = kubernetes::scenarios();
    all.extend(docker::scenarios());
    all
}

/// Those that are played, and whether all are listed.
pub(crate) fn cases(scenarios: &[Scenario]) -> Vec<Case> {
    let played = scenarios.iter().filter_map(|scenario| match scenario.verdict {
        Verdict::Run(case) => Some(case),
        Verdict::Elsewhere { .. } => None,
    });
    let complete = Case { name: "every_number_is_listed_once", run: every_number_is_listed_once };
    played.chain([complete]).collect()
}

/// How a scenario went that was played, if it was.
pub(crate) fn result(number: &str) -> Option<bool> {
    PLAYED.lock().unwrap().get(number).copied()
}

/// Plays a scenario in virtual time.
pub(crate) fn play(number: &'static str, scenario: impl Future<Output = ()>) {
    PLAYED.lock().unwrap().insert(number, false);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let ended = tokio::time::timeout(LONGEST, scenario).await;
        assert!(ended.is_ok(), "it did not end within two months");
    });
    PLAYED.lock().unwrap().insert(number, true);
}

fn every_number_is_listed_once() {
    let mut listed: Vec<&str> = all().iter().map(|scenario| scenario.number).collect();
    let wanted: Vec<String> =
        (1..=56).map(|n| format!("K{n}")).chain((1..=52).map(|n| format!("D{n}"))).collect();
    assert_eq!(listed, wanted, "in order, and each once");
    listed.dedup();
    assert_eq!(listed.len(), 108);
    let titles: std::collections::BTreeSet<_> = all().iter().map(|scenario| scenario.title).collect();
    assert_eq!(titles.len(), 108, "no two scenarios are the same");
}
