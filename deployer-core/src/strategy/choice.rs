//! Which strategy, as data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    BlueGreen, BlueGreenSettings, Canary, CanarySettings, Delegated, DelegatedSettings, Recreate,
    RecreateSettings, Rolling, RollingSettings, Strategy,
};
use crate::error::Problems;

/// A built-in strategy and its settings, for config files. `recreate` interrupts the service, so it is never a
/// default.
///
/// ```
/// use deployer_core::strategy::StrategySettings;
///
/// let settings: StrategySettings = serde_json::from_str(r#"{"strategy": "rolling", "surge": "50%"}"#)?;
/// assert_eq!(settings.build()?.name(), "rolling");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StrategySettings {
    /// A few at a time.
    Rolling(RollingSettings),
    /// A whole second set and one switch.
    BlueGreen(BlueGreenSettings),
    /// A growing share of the traffic.
    Canary(CanarySettings),
    /// Old ones down, new ones up.
    Recreate(RecreateSettings),
    /// The platform does it.
    Delegated(DelegatedSettings),
}

impl StrategySettings {
    /// The strategy.
    ///
    /// # Errors
    /// All problems at once.
    pub fn build(self) -> Result<Arc<dyn Strategy>, Problems> {
        Ok(match self {
            Self::Rolling(settings) => Arc::new(Rolling::new(settings)?),
            Self::BlueGreen(settings) => Arc::new(BlueGreen::new(settings)?),
            Self::Canary(settings) => Arc::new(Canary::new(settings)?),
            Self::Recreate(settings) => Arc::new(Recreate::new(settings)),
            Self::Delegated(settings) => Arc::new(Delegated::new(settings)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_strategies_and_fields_are_refused() {
        for text in [
            r#"{"strategy":"yolo"}"#,
            r#"{"strategy":"rolling","surgee":1}"#,
            r#"{"strategy":"canary","steps":[{"weight":10,"weigth":1}]}"#,
            r#"{"strategy":"blue-green","bake":-3}"#,
            r#"{"surge":1}"#,
        ] {
            assert!(serde_json::from_str::<StrategySettings>(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn data_and_back() {
        for settings in [
            StrategySettings::Rolling(RollingSettings::default()),
            StrategySettings::BlueGreen(BlueGreenSettings::default()),
            StrategySettings::Canary(CanarySettings::default()),
            StrategySettings::Recreate(RecreateSettings::default()),
            StrategySettings::Delegated(DelegatedSettings::default()),
        ] {
            let text = serde_json::to_string(&settings).unwrap();
            assert_eq!(serde_json::from_str::<StrategySettings>(&text).unwrap(), settings, "{text}");
        }
    }
}
