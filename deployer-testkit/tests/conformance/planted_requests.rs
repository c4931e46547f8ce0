//! A small router in memory that sends requests, with one fault at a time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    model::{
        InFlight, InstanceId, Member, Proof, RouteMatch, RouterCapabilities, SetId, Split, TrafficView,
        WorkloadId,
    },
    ports::{CallContext, Changes, Result, TrafficRouter},
};
use deployer_testkit::conformance::{self, Answer, Ask, Held, RouterRig};
use parking_lot::Mutex;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    ProvesTooEarly,
    EvenWeights,
    AnyHeader,
    ClosesInMaintenance,
    ForgetsRequests,
}

#[derive(Debug, Clone)]
struct Tiny {
    fault: Fault,
    workloads: Arc<Mutex<Vec<(WorkloadId, State)>>>,
}

#[derive(Debug, Clone)]
struct State {
    accepted: Split,
    /// What requests follow.
    effective: Split,
    generation: u64,
    asked: u64,
    members: u64,
    held: Option<InstanceId>,
}

impl Tiny {
    fn with<T>(&self, workload: &WorkloadId, act: impl FnOnce(&mut State) -> T) -> T {
        let mut all = self.workloads.lock();
        if !all.iter().any(|(name, _)| name == workload) {
            let (accepted, effective) = (Split::EMPTY, Split::EMPTY);
            let state = State { accepted, effective, generation: 0, asked: 0, members: 0, held: None };
            all.push((workload.clone(), state));
        }
        let (_, state) = all.iter_mut().find(|(name, _)| name == workload).unwrap();
        act(state)
    }

    fn pick(&self, state: &mut State, headers: &[(String, String)]) -> Option<InstanceId> {
        let Split::Serve { shares, routes } = &state.effective else { return None };
        let header = |name: &str| {
            headers
                .iter()
                .find(|(given, _)| given.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
        };
        let hit = routes.iter().find(|route| match &route.matches {
            RouteMatch::Header { name, .. } if self.fault == Fault::AnyHeader => header(name).is_some(),
            RouteMatch::Header { name, value } => header(name) == Some(value.as_str()),
            RouteMatch::Cookie { name, value } => {
                let wanted = format!("{name}={value}");
                header("cookie").is_some_and(|cookies| cookies.split("; ").any(|cookie| cookie == wanted))
            }
        });
        state.asked += 1;
        let share = if let Some(route) = hit {
            shares.iter().find(|share| share.set == route.set)?
        } else if self.fault == Fault::EvenWeights {
            &shares[usize::try_from(state.asked).unwrap() % shares.len()]
        } else {
            let total: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
            // 37 has no factor in common with the sums in use: every part is met.
            let mut lot = state.asked * 37 % total.max(1);
            shares.iter().find(|share| {
                let is_it = lot < u64::from(share.weight);
                lot = lot.saturating_sub(u64::from(share.weight));
                is_it
            })?
        };
        let members = u64::try_from(share.members.len()).unwrap();
        let index = usize::try_from(state.asked / 2 % members.max(1)).unwrap();
        share.members.get(index).map(|member| member.instance.clone())
    }
}

#[async_trait]
impl TrafficRouter for Tiny {
    fn name(&self) -> &'static str {
        "tiny"
    }

    fn capabilities(&self) -> RouterCapabilities {
        RouterCapabilities {
            weights: true,
            header_routes: true,
            cookie_routes: true,
            maintenance: true,
            members: true,
            proves: true,
            counts_in_flight: true,
            fences: false,
        }
    }

    async fn apply(&self, context: &CallContext, split: &Split) -> Result<()> {
        self.with(&context.workload, |state| {
            if state.accepted == *split {
                return;
            }
            if self.fault == Fault::ProvesTooEarly {
                // The data plane is one split behind.
                state.effective = state.accepted.clone();
            } else {
                state.effective = split.clone();
            }
            state.accepted = split.clone();
            state.generation += 1;
        });
        Ok(())
    }

    async fn current(&self, context: &CallContext) -> Result<TrafficView> {
        Ok(self.with(&context.workload, |state| TrafficView {
            split: state.accepted.clone(),
            proof: Proof::Proven { generation: state.generation },
        }))
    }

    async fn in_flight(&self, context: &CallContext, members: &[Member]) -> Result<Vec<InFlight>> {
        let held = self.with(&context.workload, |state| state.held.clone());
        let counts = self.fault != Fault::ForgetsRequests;
        let count = |member: &Member| u32::from(counts && held.as_ref() == Some(&member.instance));
        Ok(members.iter().map(|member| InFlight::Known(count(member))).collect())
    }

    async fn watch(&self, _context: &CallContext) -> Result<Changes> {
        Ok(Box::pin(futures::stream::empty()))
    }
}

#[derive(Debug)]
struct Holding {
    router: Tiny,
    workload: WorkloadId,
    by: InstanceId,
}

impl Held for Holding {
    fn by(&self) -> InstanceId {
        self.by.clone()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.router.with(&self.workload, |state| state.held = None);
    }
}

#[async_trait]
impl RouterRig for Tiny {
    async fn router(&self, _workload: &WorkloadId) -> Arc<dyn TrafficRouter> {
        Arc::new(self.clone())
    }

    async fn members(&self, workload: &WorkloadId, set: &SetId, count: usize) -> Vec<Member> {
        self.with(workload, |state| {
            let mut next = || {
                state.members += 1;
                let name = format!("{workload}-{set}-{}", state.members);
                Member { instance: InstanceId::new(name).unwrap(), address: None }
            };
            (0..count).map(|_| next()).collect()
        })
    }

    async fn ask(&self, workload: &WorkloadId, ask: &Ask) -> Option<Answer> {
        tokio::task::yield_now().await;
        Some(self.with(workload, |state| {
            let by = self.pick(state, &ask.headers);
            let paused = matches!(state.effective, Split::Maintenance(_));
            let status = match &by {
                Some(_) => 200,
                None if paused && self.fault == Fault::ClosesInMaintenance => 0,
                None => 503,
            };
            Answer { status, by }
        }))
    }

    async fn hold(&self, workload: &WorkloadId) -> Option<Box<dyn Held>> {
        let by = self.with(workload, |state| {
            let by = self.pick(state, &[]);
            state.held.clone_from(&by);
            by
        })?;
        Some(Box::new(Holding { router: self.clone(), workload: workload.clone(), by }))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }
}

#[tokio::test(start_paused = true)]
async fn faults_that_only_requests_show_are_found_by_name() {
    let tiny = |fault| Tiny { fault, workloads: Arc::default() };
    let sound = conformance::router(&tiny(Fault::None)).await;
    assert_eq!(sound.failed(), ["what-makes-no-sense-is-refused"], "it takes every split: {sound}");
    for (fault, name) in [
        (Fault::ProvesTooEarly, "members-get-requests-and-nobody-else"),
        (Fault::EvenWeights, "weights-hold"),
        (Fault::AnyHeader, "header-routes-hold"),
        (Fault::ClosesInMaintenance, "maintenance-answers"),
        (Fault::ForgetsRequests, "a-request-is-counted-until-it-ends"),
    ] {
        let report = conformance::router(&tiny(fault)).await;
        assert!(report.failed().contains(&name), "{fault:?} was not found by {name}: {report}");
    }
}
