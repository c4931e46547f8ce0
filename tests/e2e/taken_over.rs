//! Deployers that are stopped in the middle of a rollout, are replaced, and wake up; and two that go on at once.

use std::{
    env, fs,
    io::Read as _,
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use deployer::{error::DeployError, strategy::Outcome};
use deployer_testkit::cases::say;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    processes::LIMIT,
    recipes::{Kind, app},
    stand::{Stand, WEB, ended, load},
};

/// First argument of a deployer that says how it ended: directory, release and kind follow.
const DEPLOYER: &str = "__e2e_telling_deployer";

/// Is the process below if it was started as one.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [DEPLOYER, directory, release, kind] = words.as_slice() else { return None };
    let kind = Kind::ALL.into_iter().find(|known| known.name() == *kind).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result =
        runtime.block_on(async { Stand::open(Path::new(directory)).await.deploy(release, kind).await });
    say(&match result {
        Ok(report) => format!("live, resumed {} times", report.resumed),
        Err(error) => error.to_string(),
    });
    Some(ExitCode::SUCCESS)
}

/// Another process that deploys; killed when dropped.
struct Deployer {
    child: Child,
}

impl Deployer {
    fn start(stand: &Stand, release: &str, kind: Kind) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg(DEPLOYER).arg(stand.directory()).args([release, kind.name()]);
        Self { child: command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap() }
    }

    fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// What it said at its end.
    fn end(mut self) -> String {
        let deadline = Instant::now() + LIMIT;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it has not ended within {LIMIT:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text.trim().to_owned()
    }
}

impl Drop for Deployer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whole records of all journals but those that were there before.
fn records(stand: &Stand, before: usize) -> usize {
    all_records(stand) - before
}

fn all_records(stand: &Stand) -> usize {
    let entries = fs::read_dir(stand.journals(WEB)).unwrap().flatten().map(|entry| entry.path());
    let journals = entries.filter(|path| path.extension().is_some_and(|it| it == "jsonl"));
    journals.map(|path| fs::read_to_string(path).unwrap_or_default().matches('\n').count()).sum()
}

/// Starts a deployer and stops it once it has written so many records; nothing if it was faster.
fn stopped_at(stand: &Stand, release: &str, kind: Kind, wanted: usize) -> Option<Deployer> {
    let before = all_records(stand);
    let mut deployer = Deployer::start(stand, release, kind);
    let deadline = Instant::now() + LIMIT;
    while records(stand, before) < wanted {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {wanted} records");
        if deployer.child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    deployer.send(Signal::STOP);
    Some(deployer)
}

pub(crate) async fn a_stopped_deployer_that_was_replaced_wakes_without_effect(stand: &Stand) {
    let load = load(stand.serve_v1(WEB).await, 100).await;
    let mut woken = Vec::new();
    for (release, wanted) in (2..).zip([1, 3, 5, 7, 9, 12]) {
        let release = format!("v{release}");
        let Some(stopped) = stopped_at(stand, &release, Kind::Rolling, wanted) else { continue };
        let locked = stand.deploy(&release, Kind::Rolling).await.unwrap_err();
        assert!(matches!(locked, DeployError::Locked { .. }), "a stopped owner still is one: {locked}");

        let taking_over = stand.deployment(WEB, &app(&release), Kind::Rolling).take_over().build().unwrap();
        let report = taking_over.run().await.unwrap();
        assert_eq!((report.resumed, report.outcome), (1, Some(Outcome::Succeeded)), "{release}");
        stand.assert_live(WEB, &release);
        let before = (stand.world(WEB).await, all_records(stand));

        stopped.send(Signal::CONT);
        let said = tokio::task::spawn_blocking(|| stopped.end()).await.unwrap();
        let is_clear = ["taken over", "took over"].iter().any(|word| said.contains(word));
        assert!(said.starts_with("interrupted: ") && is_clear, "{release} after {wanted} records: {said}");
        assert_eq!((stand.world(WEB).await, all_records(stand)), before, "{release}: {said}");
        woken.push((wanted, said));
    }
    assert!(woken.len() >= 3, "it is faster than what stops it: {woken:?}");
    let moments: Vec<_> = woken.iter().map(|(wanted, _)| wanted).collect();
    say(&format!("    replaced and woken after {moments:?} records: {}", woken[0].1));
    ended("stopped deployers", load, stand.retried(WEB).await).await.assert_lossless();
}

pub(crate) async fn a_deployer_that_wakes_while_it_is_replaced_does_no_harm(stand: &Stand) {
    let load = load(stand.serve_v1(WEB).await, 100).await;
    let mut said = Vec::new();
    for (release, wanted) in (2..).zip([2, 4, 6, 8]) {
        let release = format!("v{release}");
        let Some(stopped) = stopped_at(stand, &release, Kind::Rolling, wanted) else { continue };
        let before = all_records(stand);
        let taking_over = stand.deployment(WEB, &app(&release), Kind::Rolling).take_over().build().unwrap();
        let wake = async {
            let deadline = Instant::now() + LIMIT;
            while records(stand, before) == 0 {
                assert!(Instant::now() < deadline, "nobody took over");
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
            stopped.send(Signal::CONT);
        };
        let (report, ()) = tokio::join!(taking_over.run(), wake);
        assert_eq!(report.unwrap().outcome, Some(Outcome::Succeeded), "{release}");
        said.push(tokio::task::spawn_blocking(|| stopped.end()).await.unwrap());
        stand.assert_live(WEB, &release);
    }
    assert!(said.len() >= 2 && said.iter().all(|text| text.starts_with("interrupted: ")), "{said:?}");
    ended("deployers that wake while they are replaced", load, stand.retried(WEB).await)
        .await
        .assert_lossless();
}

pub(crate) async fn resumed_by_two_processes_at_once_one_goes_on(stand: &Stand) {
    let load = load(stand.serve_v1(WEB).await, 100).await;
    let stopped = stopped_at(stand, "v2", Kind::Canary, 4).unwrap();
    drop(stopped);
    let both = [Deployer::start(stand, "v2", Kind::Canary), Deployer::start(stand, "v2", Kind::Canary)];
    let mut said = tokio::task::spawn_blocking(|| both.map(Deployer::end)).await.unwrap();
    said.sort();
    assert_eq!(said[0], "live, resumed 1 times", "{said:?}");
    assert!(said[1].starts_with("workload web is locked by "), "{said:?}");
    stand.assert_live(WEB, "v2");
    ended("two who go on at once", load, stand.retried(WEB).await).await.assert_lossless();
}
