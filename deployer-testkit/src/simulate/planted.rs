//! Bugs on purpose, each in a wrapper between the engine and a witness: a check that misses one is worth nothing.

use std::sync::Arc;

use deployer_core::{
    model::Amount,
    ports::{HealthCheck, Journal, Lock, Target, TrafficRouter},
    strategy::{Strategy, StrategySettings},
};

use super::{
    journal::WitnessJournal,
    lock::WitnessLock,
    planted_journal::{BadJournal, BadLock},
    planted_router::{BadHealth, BadRouter},
    planted_strategy::Loose,
    planted_target::BadTarget,
    scenario::Step,
    witness_health::WitnessHealth,
    witness_router::WitnessRouter,
    witness_target::WitnessTarget,
};

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planted {
    /// Every probe succeeds.
    NoHealthGate,
    /// The journal says that an intent is durable and writes it with the next record.
    IntentAfterEffect,
    /// What a call that timed out has started does not exist.
    TimeOutNeverHappened,
    /// A new process goes forward again.
    DirectionForgotten,
    /// Requests in flight are not waited for.
    DrainSkipped,
    /// An accepted split counts as followed.
    SwitchUnproven,
    /// The old set goes without bake time.
    EarlyRetirement,
    /// One instance more than allowed may exist.
    SurgeByOne,
    /// Who lost the lock goes on.
    FenceIgnored,
    /// Sometimes another artifact is started, and nobody notices.
    WrongArtifact,
}

impl Planted {
    /// All of them.
    pub(super) const ALL: [Self; 10] = [
        Self::NoHealthGate,
        Self::IntentAfterEffect,
        Self::TimeOutNeverHappened,
        Self::DirectionForgotten,
        Self::DrainSkipped,
        Self::SwitchUnproven,
        Self::EarlyRetirement,
        Self::SurgeByOne,
        Self::FenceIgnored,
        Self::WrongArtifact,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NoHealthGate => "no health gate",
            Self::IntentAfterEffect => "intent after effect",
            Self::TimeOutNeverHappened => "time-out never happened",
            Self::DirectionForgotten => "direction forgotten",
            Self::DrainSkipped => "drain skipped",
            Self::SwitchUnproven => "switch unproven",
            Self::EarlyRetirement => "early retirement",
            Self::SurgeByOne => "surge by one",
            Self::FenceIgnored => "fence ignored",
            Self::WrongArtifact => "wrong artifact",
        }
    }

    pub(super) fn strategy(planted: Option<Self>, step: &Step) -> Arc<dyn Strategy> {
        let mut settings = step.strategy.clone();
        match (planted, &mut settings) {
            (Some(Self::EarlyRetirement), StrategySettings::BlueGreen(settings)) => {
                settings.bake = std::time::Duration::ZERO;
            }
            (Some(Self::SurgeByOne), StrategySettings::Rolling(settings)) => {
                settings.surge = Amount::Count(settings.surge.rounded_up(step.replicas) + 1);
            }
            _ => return step.strategy(),
        }
        let loose = settings.build().expect("a setting that is looser can be");
        Arc::new(Loose { loose, shown: step.strategy.clone() })
    }

    pub(super) fn target(planted: Option<Self>, inner: WitnessTarget) -> Arc<dyn Target> {
        match planted {
            Some(bug @ (Self::TimeOutNeverHappened | Self::WrongArtifact)) => {
                Arc::new(BadTarget::new(inner, bug))
            }
            _ => Arc::new(inner),
        }
    }

    pub(super) fn router(planted: Option<Self>, inner: WitnessRouter) -> Arc<dyn TrafficRouter> {
        match planted {
            Some(bug @ (Self::DrainSkipped | Self::SwitchUnproven)) => Arc::new(BadRouter { inner, bug }),
            _ => Arc::new(inner),
        }
    }

    pub(super) fn health(planted: Option<Self>, inner: WitnessHealth) -> Arc<dyn HealthCheck> {
        match planted {
            Some(Self::NoHealthGate) => Arc::new(BadHealth { inner }),
            _ => Arc::new(inner),
        }
    }

    pub(super) fn journal(planted: Option<Self>, inner: WitnessJournal) -> Arc<dyn Journal> {
        match planted {
            Some(bug @ (Self::IntentAfterEffect | Self::DirectionForgotten | Self::FenceIgnored)) => {
                Arc::new(BadJournal::new(inner, bug))
            }
            _ => Arc::new(inner),
        }
    }

    pub(super) fn lock(planted: Option<Self>, inner: WitnessLock) -> Arc<dyn Lock> {
        match planted {
            Some(Self::FenceIgnored) => Arc::new(BadLock { inner }),
            _ => Arc::new(inner),
        }
    }
}
