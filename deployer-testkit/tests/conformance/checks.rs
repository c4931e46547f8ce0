//! The health checks and gates of the library, and the metrics of the fake world, conform.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    checks::{ExecCheck, HttpCheck, TcpCheck, TcpSettings},
    gates::{Approval, Comparison, ErrorRate, ErrorRateSettings, SmokeCheck},
    model::{Epoch, Instance, ReleaseId, SetId, WorkloadId},
    ports::{CallContext, Clock as _, Gate, GateWindow, HealthCheck, MetricSource},
};
use deployer_testkit::{
    TestClock,
    conformance::{self, GateCase, GateRig, HealthCase, HealthRig, MetricRig},
    world::{Behaviour, World, WorldSettings},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

/// Servers on 127.0.0.1: each answers every connection with a fixed text, or with nothing.
#[derive(Debug)]
struct Servers {
    check: fn() -> Arc<dyn HealthCheck>,
    good: &'static str,
    bad: &'static str,
    tasks: parking_lot::Mutex<JoinSet<()>>,
}

impl Servers {
    fn new(check: fn() -> Arc<dyn HealthCheck>, good: &'static str, bad: &'static str) -> Self {
        Self { check, good, bad, tasks: parking_lot::Mutex::default() }
    }
}

#[async_trait]
impl HealthRig for Servers {
    async fn check(&self) -> Arc<dyn HealthCheck> {
        (self.check)()
    }

    async fn instance(&self, case: HealthCase) -> Option<Instance> {
        let answer = match case {
            HealthCase::Works => Some(self.good),
            HealthCase::Broken => Some(self.bad),
            HealthCase::Gone | HealthCase::Hangs => None,
            HealthCase::Hidden => return Some(conformance::instance("hidden", None)),
            _ => return None,
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        if case != HealthCase::Gone {
            self.tasks.lock().spawn(serve(listener, answer));
        }
        Some(conformance::instance(&format!("{case:?}-{}", address.port()), Some(address)))
    }
}

async fn serve(listener: TcpListener, answer: Option<&'static str>) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        connections.spawn(async move {
            let Some(answer) = answer else { return std::future::pending().await };
            // The other end may be gone already; the probe has then seen enough.
            if answer.starts_with("HTTP") {
                let _ = stream.read(&mut [0; 1024]).await;
            }
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.read(&mut [0; 1024]).await;
        });
    }
}

#[tokio::test]
async fn checks_over_connections_conform() {
    let http = || Arc::new(HttpCheck::get("/healthz").build().unwrap()) as Arc<dyn HealthCheck>;
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let bad = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let report = conformance::health(&Servers::new(http, ok, bad)).await;
    report.assert();
    assert_eq!(report.not_applicable(), Vec::<&str>::new(), "{report}");
    let tcp = || {
        Arc::new(TcpCheck::new(TcpSettings { banner: Some("220 ".into()) }).unwrap()) as Arc<dyn HealthCheck>
    };
    let report = conformance::health(&Servers::new(tcp, "220 ready", "421 full")).await;
    report.assert();
    assert_eq!(report.not_applicable(), Vec::<&str>::new(), "{report}");
}

/// A program that ends well whatever the instance.
#[derive(Debug)]
struct Programs;

#[async_trait]
impl HealthRig for Programs {
    async fn check(&self) -> Arc<dyn HealthCheck> {
        Arc::new(ExecCheck::program("/usr/bin/env").argument("--version").build().unwrap())
    }

    async fn instance(&self, case: HealthCase) -> Option<Instance> {
        (case == HealthCase::Works).then(|| conformance::instance("web-1", Some(([127, 0, 0, 1], 80).into())))
    }
}

#[tokio::test]
async fn a_check_by_a_program_conforms() {
    let report = conformance::health(&Programs).await;
    report.assert();
    assert_eq!(report.passed(), ["what-works-is-ok", "a-probe-can-be-dropped"], "{report}");
}

fn window() -> GateWindow {
    conformance::gate_window(TestClock::START)
}

#[derive(Debug)]
struct Approvals;

#[async_trait]
impl GateRig for Approvals {
    async fn gate(&self, case: GateCase) -> Option<(Arc<dyn Gate>, GateWindow)> {
        let (gate, approver) = Approval::new();
        let context = context(&"web".parse().unwrap());
        gate.evaluate(&context, &window()).await;
        match case {
            GateCase::Passes => approver.approve("ada").unwrap(),
            GateCase::Fails => approver.reject("ada", "not today").unwrap(),
            GateCase::Holds => {}
            _ => return None,
        }
        Some((Arc::new(gate), window()))
    }
}

#[derive(Debug)]
struct Smoke;

#[async_trait]
impl GateRig for Smoke {
    async fn gate(&self, case: GateCase) -> Option<(Arc<dyn Gate>, GateWindow)> {
        use deployer_core::{checks::check_fn, strategy::Probe};
        let probe = match case {
            GateCase::Passes => Probe::Ok,
            GateCase::Fails => Probe::Failed { why: "status 500".into() },
            GateCase::CannotFindOut => Probe::Unknown { why: "no route".into() },
            _ => return None,
        };
        let check = check_fn("as told", move |_, _| std::future::ready(probe.clone()));
        Some((Arc::new(SmokeCheck::new(Arc::new(check))), window()))
    }
}

#[tokio::test]
async fn gates_conform() {
    let report = conformance::gate(&Approvals).await;
    report.assert();
    assert_eq!(report.not_applicable(), ["what-cannot-be-found-out-is-unknown"], "{report}");
    let report = conformance::gate(&Smoke).await;
    report.assert();
    assert_eq!(report.not_applicable(), ["a-hold-says-when-to-ask-again"], "{report}");
}

fn context(workload: &WorkloadId) -> CallContext {
    CallContext {
        workload: workload.clone(),
        deployment: "d1".parse().unwrap(),
        epoch: Epoch(1),
        deadline: Duration::from_secs(10),
    }
}

/// A world in which v1 answers a tenth of its requests with an error.
#[derive(Debug)]
struct Metrics {
    world: World,
    workload: WorkloadId,
}

impl Metrics {
    async fn new(errors: u64) -> Self {
        let clock = Arc::new(TestClock::new());
        let world = World::new(WorldSettings::default(), clock.clone());
        let (workload, id): (WorkloadId, ReleaseId) = ("web".parse().unwrap(), "v2".parse().unwrap());
        let errors = deployer_core::model::Percent::new(errors).unwrap();
        world.behave(id.clone(), Behaviour { errors, ..Behaviour::default() });
        world.put(&workload, &World::release(id), 2);
        clock.sleep(Duration::from_secs(60)).await;
        Self { world, workload }
    }
}

#[async_trait]
impl MetricRig for Metrics {
    async fn source(&self) -> Arc<dyn MetricSource> {
        self.world.metrics()
    }

    async fn served(&self) -> (WorkloadId, SetId) {
        (self.workload.clone(), "v2".parse().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_of_the_fake_world_conform() {
    let report = conformance::metrics(&Metrics::new(10).await).await;
    report.assert();
    let unmet = ["requests-are-counted-where-they-belong", "a-failed-scrape-is-an-error"];
    assert_eq!(report.not_applicable(), unmet, "{report}");
}

/// Gates on the requests of that world: v2 is as good as each case needs it.
#[derive(Debug)]
struct ErrorRates {
    workload: WorkloadId,
    compare: Option<Comparison>,
}

#[async_trait]
impl GateRig for ErrorRates {
    async fn gate(&self, case: GateCase) -> Option<(Arc<dyn Gate>, GateWindow)> {
        let errors = if case == GateCase::Fails { 50 } else { 1 };
        let Metrics { world, .. } = Metrics::new(errors).await;
        let settings = ErrorRateSettings { compare: self.compare.clone(), ..ErrorRateSettings::default() };
        let gate = ErrorRate::new(world.metrics(), settings).unwrap();
        let since = TestClock::START;
        let observed = if case == GateCase::Holds { 30 } else { 60 };
        let (now, candidate) = (
            since.after(Duration::from_secs(observed)),
            if case == GateCase::CannotFindOut { "v9" } else { "v2" },
        );
        let (candidate, stable) = (candidate.parse().unwrap(), Some("v2".parse().unwrap()));
        Some((Arc::new(gate), GateWindow { since, now, candidate, stable, ..window() }))
    }

    fn workload(&self) -> WorkloadId {
        self.workload.clone()
    }

    /// Each world is a minute old before it is asked.
    fn deadline(&self) -> Duration {
        Duration::from_secs(20)
    }
}

#[tokio::test(start_paused = true)]
async fn gates_on_error_rates_conform() {
    let workload: WorkloadId = "web".parse().unwrap();
    for compare in [None, Some(Comparison::default())] {
        let report = conformance::gate(&ErrorRates { workload: workload.clone(), compare }).await;
        report.assert();
        assert_eq!(report.not_applicable(), Vec::<&str>::new(), "{report}");
    }
    // Of a workload that nobody knows it cannot say that all is well.
    let stranger = ErrorRates { workload: "stranger".parse().unwrap(), compare: None };
    let report = conformance::gate(&stranger).await;
    let expected = ["a-pass-is-a-pass", "a-failure-has-a-reason", "a-hold-says-when-to-ask-again"];
    assert_eq!(report.failed(), expected, "{report}");
}
