//! How many instances there are, over time.

use deployer_core::model::Timestamp;

/// How many instances of a workload there are, in truth, from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Population {
    /// From when on.
    pub at: Timestamp,
    /// Working and, where traffic is routed, sent requests by the data plane.
    pub available: u32,
    /// All that exist: starting, running, stopping; not those that ended.
    pub total: u32,
    /// Members that the data plane sends requests to and that exist.
    pub in_rotation: u32,
}

/// Extremes of a population over a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extremes {
    /// Fewest available.
    pub min_available: u32,
    /// Most available.
    pub max_available: u32,
    /// Fewest existing.
    pub min_total: u32,
    /// Most existing.
    pub max_total: u32,
}

/// Populations over time, each in force until the next.
#[derive(Debug, Clone, Default)]
pub(super) struct History(Vec<Population>);

impl History {
    /// Takes in what is true now; nothing is written where nothing changed.
    pub(super) fn record(&mut self, now: Population) {
        if self.0.last().is_none_or(|last| Population { at: last.at, ..now } != *last) {
            self.0.push(now);
        }
    }

    pub(super) fn all(&self) -> &[Population] {
        &self.0
    }

    /// Extremes from `since` on, what was in force then included. All zero for a workload without history.
    pub(super) fn extremes(&self, since: Timestamp) -> Extremes {
        let first = self.0.partition_point(|population| population.at <= since).saturating_sub(1);
        let seen = &self.0[first..];
        let least = |value: fn(&Population) -> u32| seen.iter().map(value).min().unwrap_or(0);
        let most = |value: fn(&Population) -> u32| seen.iter().map(value).max().unwrap_or(0);
        Extremes {
            min_available: least(|population| population.available),
            max_available: most(|population| population.available),
            min_total: least(|population| population.total),
            max_total: most(|population| population.total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_include_what_was_in_force() {
        let mut history = History::default();
        for (at, available, total) in [(0, 0, 3), (10, 3, 3), (20, 2, 4), (30, 3, 3)] {
            let at = Timestamp::from_millis(at);
            history.record(Population { at, available, total, in_rotation: available });
            history.record(Population { at, available, total, in_rotation: available });
        }
        assert_eq!(history.all().len(), 4);
        let since = |millis| history.extremes(Timestamp::from_millis(millis));
        assert_eq!(since(0).min_available, 0);
        assert_eq!(since(15), Extremes { min_available: 2, max_available: 3, min_total: 3, max_total: 4 });
        assert_eq!(since(100), Extremes { min_available: 3, max_available: 3, min_total: 3, max_total: 3 });
        let nothing = History::default().extremes(Timestamp::default());
        assert_eq!(nothing, Extremes { min_available: 0, max_available: 0, min_total: 0, max_total: 0 });
    }
}
