//! How fast the loop may turn.

use std::time::Duration;

use super::{EngineSettings, call::doubled};
use crate::strategy::{Command, WaitReason};

/// The same action may be decided this often before the loop slows down.
const FREE_REPEATS: u32 = 3;
/// More decisions in a row that only remember something mean that the strategy never comes to an end.
const MOST_ADVANCES: u32 = 256;

/// How fast the loop may turn: fast after something happened, slower with each look in vain, and never hot.
#[derive(Debug, Default)]
pub(super) struct Pace {
    looks: u32,
    last: Vec<Command>,
    repeats: u32,
    held: bool,
    advances: u32,
    idle_hints: u32,
}

impl Pace {
    /// Something happened: look again soon.
    pub(super) fn quicken(&mut self) {
        self.looks = 0;
    }

    /// How long to wait before the next look, while this is what the rollout waits for.
    pub(super) fn next_look(&mut self, why: &WaitReason, settings: &EngineSettings) -> Duration {
        self.advances = 0;
        self.looks = self.looks.saturating_add(1);
        match why {
            idle if is_idle(idle) => settings.idle_look,
            WaitReason::TargetUnknown { .. } | WaitReason::RouterUnknown { .. } => {
                doubled(settings.active_look, self.looks.min(4), settings.idle_look)
            }
            _ => doubled(settings.first_look, self.looks - 1, settings.active_look),
        }
    }

    /// How long to hold these commands back: not at all, unless they were decided again and again. An action whose last
    /// outcome is `unclear` is held back at once. What was held back and is decided again is not held back twice.
    pub(super) fn before_act(
        &mut self,
        commands: &[Command],
        unclear: bool,
        settings: &EngineSettings,
    ) -> Duration {
        self.advances = 0;
        if self.last != commands {
            self.last = commands.to_vec();
            self.repeats = 0;
            self.held = false;
            return Duration::ZERO;
        }
        let free = if unclear { 0 } else { FREE_REPEATS };
        let times = self.repeats.checked_sub(free).filter(|_| !self.held);
        self.held = times.is_some();
        if !self.held {
            self.repeats += 1;
        }
        times.map_or(Duration::ZERO, |times| doubled(settings.active_look, times, settings.idle_look))
    }

    /// Whether another decision that only remembers something is one too many.
    pub(super) fn too_many_advances(&mut self) -> bool {
        self.last.clear();
        self.advances += 1;
        self.advances > MOST_ADVANCES
    }

    /// A hint was followed; hints that tell of nothing are followed ever more slowly.
    pub(super) fn after_hint(&mut self, changed: bool) {
        self.idle_hints = if changed { 0 } else { self.idle_hints.saturating_add(1) };
    }

    /// The least time between two looks that hints lead to.
    pub(super) fn hint_gap(&self, settings: &EngineSettings) -> Duration {
        match self.idle_hints.checked_sub(FREE_REPEATS) {
            None => Duration::ZERO,
            Some(times) => doubled(settings.first_look / 2, times, settings.active_look),
        }
    }
}

/// Nothing is under way: only time passes, or somebody thinks.
pub(super) fn is_idle(why: &WaitReason) -> bool {
    matches!(
        why,
        WaitReason::Settling
            | WaitReason::Baking
            | WaitReason::BetweenSteps
            | WaitReason::Gate { .. }
            | WaitReason::Other { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SetId;

    #[test]
    fn the_same_action_again_and_again_slows_down_and_another_does_not() {
        let (mut pace, settings) = (Pace::default(), EngineSettings::default());
        let remove = |set: &str| [Command::Remove(SetId::new(set).unwrap())];
        let waits: Vec<_> =
            (0..9).map(|_| pace.before_act(&remove("v1"), false, &settings).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 250, 0, 500, 0, 1000]);
        assert_eq!(pace.before_act(&remove("v2"), false, &settings), Duration::ZERO);
        assert_eq!(pace.before_act(&remove("v2"), true, &settings).as_millis(), 250, "unclear waits at once");
        assert_eq!(pace.before_act(&remove("v2"), true, &settings), Duration::ZERO, "and once");
    }

    #[test]
    fn looks_slow_down_until_something_happens() {
        let (mut pace, settings) = (Pace::default(), EngineSettings::default());
        let waits: Vec<_> =
            (0..7).map(|_| pace.next_look(&WaitReason::SwitchUnproven, &settings).as_millis()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 250, 250]);
        pace.quicken();
        assert_eq!(pace.next_look(&WaitReason::SwitchUnproven, &settings).as_millis(), 10);
        assert_eq!(pace.next_look(&WaitReason::Baking, &settings), settings.idle_look);
    }

    #[test]
    fn hints_without_news_slow_down() {
        let (mut pace, settings) = (Pace::default(), EngineSettings::default());
        (0..20).for_each(|_| pace.after_hint(false));
        assert_eq!(pace.hint_gap(&settings), settings.active_look);
        pace.after_hint(true);
        assert_eq!(pace.hint_gap(&settings), Duration::ZERO);
    }
}
