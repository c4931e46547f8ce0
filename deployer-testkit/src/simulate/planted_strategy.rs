//! Strategies that are looser than they say.

use std::sync::Arc;

use deployer_core::{
    error::Problem,
    model::{RouterCapabilities, TargetCapabilities},
    strategy::{Budget, Decision, Situation, Strategy, StrategySettings},
};

/// A strategy with looser settings than those that were asked for.
#[derive(Debug)]
pub(super) struct Loose {
    pub(super) loose: Arc<dyn Strategy>,
    #[expect(dead_code, reason = "its `Debug` is a part of the plan")]
    pub(super) shown: StrategySettings,
}

impl Strategy for Loose {
    fn name(&self) -> &str {
        self.loose.name()
    }

    fn check(
        &self,
        target: &TargetCapabilities,
        router: Option<&RouterCapabilities>,
    ) -> Result<(), Vec<Problem>> {
        self.loose.check(target, router)
    }

    fn budget(&self, replicas: u32, target: &TargetCapabilities) -> Budget {
        self.loose.budget(replicas, target)
    }

    fn decide(&self, situation: &Situation<'_>) -> Decision {
        self.loose.decide(situation)
    }
}
