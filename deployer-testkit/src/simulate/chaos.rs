//! What happens to the world by itself.

use std::{sync::Arc, time::Duration};

use deployer_core::{
    model::{Place, Timestamp, WorkloadId},
    ports::Clock as _,
};

use super::{clock::VirtualClock, draw::Draw, record::Shared, scenario::Scenario};
use crate::world::World;

/// What happens to the world by itself, until nothing goes wrong any more.
pub(super) struct Chaos {
    pub(super) world: World,
    pub(super) workload: WorkloadId,
    pub(super) clock: VirtualClock,
    pub(super) record: Shared,
    pub(super) scenario: Arc<Scenario>,
    pub(super) draw: Draw,
    pub(super) quiet_at: Timestamp,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Death,
    Restart,
    Disturbance,
    Partition,
    Heal,
}

impl Chaos {
    pub(super) async fn run(mut self) {
        let rates = &self.scenario.rates;
        let kinds = [
            (Kind::Death, rates.deaths),
            (Kind::Restart, rates.restarts),
            (Kind::Disturbance, rates.disturbances),
            (Kind::Partition, rates.partitions),
        ];
        let kinds = kinds.into_iter().filter_map(|(kind, mean)| Some((kind, mean?)));
        let mut due: Vec<(Timestamp, Kind, Option<Duration>)> = Vec::new();
        for (kind, mean) in kinds {
            due.push((self.after(mean), kind, Some(mean)));
        }
        while let Some(next) = (0..due.len()).min_by_key(|index| due[*index].0) {
            let (at, kind, mean) = due.swap_remove(next);
            if at >= self.quiet_at {
                break;
            }
            self.clock.sleep(at.since(self.clock.now())).await;
            let heals = self.happen(kind);
            due.extend(heals.map(|at| (at, Kind::Heal, None)));
            due.extend(mean.map(|mean| (self.after(mean), kind, Some(mean))));
        }
        self.clock.sleep(self.quiet_at.since(self.clock.now())).await;
        self.world.end_faults();
        for place in &self.scenario.world.places {
            self.world.heal(place);
        }
        self.record.lock().line(|| "from now on nothing goes wrong any more".to_owned());
    }

    /// A moment from now, twice the mean away at most.
    fn after(&mut self, mean: Duration) -> Timestamp {
        let most = u64::try_from(mean.as_millis()).unwrap_or(u64::MAX).saturating_mul(2);
        self.clock.now().after(Duration::from_millis(self.draw.below(most)))
    }

    /// Returns when it is over, if that does not come by itself.
    fn happen(&mut self, kind: Kind) -> Option<Timestamp> {
        match kind {
            Kind::Partition => {
                let place = self.draw.pick(&self.scenario.world.places);
                self.world.partition(&place, "the network is cut");
                self.note("partition", || format!("{place} cannot be reached"));
                Some(self.after(Duration::from_secs(6)))
            }
            Kind::Heal => {
                let places: Vec<Place> = self.scenario.world.places.clone();
                for place in &places {
                    self.world.heal(place);
                }
                self.record.lock().line(|| "all places can be reached again".to_owned());
                None
            }
            Kind::Death | Kind::Restart | Kind::Disturbance => {
                let live = self.world.live(&self.workload);
                if live.is_empty() {
                    return None;
                }
                let (id, _) = self.draw.pick(&live);
                match kind {
                    Kind::Death => {
                        self.world.kill(&id);
                        self.note("death", || format!("{id} dies"));
                    }
                    Kind::Restart => {
                        self.world.restart(&id);
                        self.note("platform restart", || format!("{id} is restarted by its platform"));
                    }
                    _ => {
                        let time = Duration::from_millis(200 + self.draw.below(6000));
                        self.world.disturb(&id, time);
                        self.note("disturbance", || format!("{id} does not work for {time:?}"));
                    }
                }
                None
            }
        }
    }

    fn note(&self, what: &'static str, line: impl FnOnce() -> String) {
        self.record.lock().inject(what, line);
    }
}
