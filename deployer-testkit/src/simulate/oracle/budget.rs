//! How far a strategy may go, worked out anew from its settings.

use deployer_core::strategy::StrategySettings;

/// Fewest available and most existing instances.
pub(super) fn budget(strategy: &StrategySettings, replicas: u32) -> (u32, u32) {
    match strategy {
        StrategySettings::Rolling(rolling) => {
            let surge = rolling.surge.rounded_up(replicas);
            let least = u32::from(surge == 0);
            let unavailable = rolling.max_unavailable.rounded_down(replicas).max(least);
            (replicas.saturating_sub(unavailable), replicas + surge)
        }
        StrategySettings::Recreate(_) => (0, replicas),
        _ => (replicas, 2 * replicas),
    }
}

/// Whether the old set has to stay whole until the new one is final.
pub(super) fn keeps_old(strategy: &StrategySettings) -> bool {
    matches!(strategy, StrategySettings::BlueGreen(_) | StrategySettings::Canary(_))
}
