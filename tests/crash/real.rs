//! Crashes of a deployer of real processes under load.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt as _, path::PathBuf};

use deployer::{
    journal::FileJournal,
    model::{DeploymentId, Split},
    ports::Journal as _,
    strategy::Outcome,
};
use deployer_testkit::{
    crash::{CrashPoint, Told},
    load::{FailureKind, LoadHandle, LoadResult},
};

use crate::{
    child::{Answer, Task, Way, id, start},
    disturb::in_short,
    recipes::Kind,
    stand::{REPLICAS, Stand, answered},
    table::Done,
    works::{Did, Works},
};

/// The end of a deployment whose instances were not ready in time, in short.
const GAVE_UP: &str = "rolled back: instances failed";

/// How a deployment of real processes ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    outcome: String,
    /// In the order in which they are put live.
    workloads: Vec<Side>,
    /// What the stages of a pipeline did.
    did: Option<Did>,
}

/// One workload.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Side {
    /// Processes of the new release, of the old one, and of none of them, as the kernel lists them.
    processes: [usize; 3],
    /// Weight and members of the same.
    split: BTreeMap<&'static str, (u32, usize)>,
}

/// What became of one deployment with its crashes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lived {
    pub(crate) done: Done,
    /// What is wrong with it, if nothing but time: a machine that stood still explains that.
    pub(crate) late: Vec<String>,
    /// It came to its end without a point that the list of points has.
    pub(crate) missed: bool,
    /// What happened, if anything is wrong.
    pub(crate) story: String,
}

/// Why a deployer did not do what it should have done.
#[derive(Debug, Clone)]
pub(crate) enum Missed {
    /// It had no end in time.
    Late(String),
    /// It ended in another way.
    OtherWay(String),
}

/// Deploys one release after another at one stand.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) stand: &'a Stand,
    pub(crate) kind: Kind,
    pub(crate) way: Way,
    stable: String,
    number: u32,
}

impl<'a> Line<'a> {
    /// v1 serves already.
    pub(crate) fn new(stand: &'a Stand, kind: Kind, way: Way) -> Self {
        Self { stand, kind, way, stable: "v1".to_owned(), number: 1 }
    }

    /// A deployment that nobody disturbs: its calls, and its end.
    pub(crate) async fn undisturbed(&mut self) -> Result<(Vec<String>, End), String> {
        let task = self.next();
        let answer = go_on(&task).await.map_err(|missed| format!("{missed:?}\n{}", story(&task)))?;
        let (end, told) = self.end(&task, 0).await?;
        if let Some(problem) = told.problems.into_iter().chain(answer.again).next() {
            return Err(problem);
        }
        self.is_over(&task);
        Ok((answer.calls, end))
    }

    /// One that is killed at each of these points, started again each time, and let go on in the end.
    pub(crate) async fn crashed(
        &mut self,
        crashes: &[CrashPoint],
        expected: &End,
        loads: &[LoadHandle],
    ) -> Lived {
        let task = self.next();
        let before: Vec<_> = loads.iter().map(LoadHandle::snapshot).collect();
        let mut lived = self.lived(&task, crashes, expected).await;
        for (load, before) in loads.iter().zip(&before) {
            if lived.is_whole() {
                answered(load, 5).await;
            }
            if self.kind != Kind::Recreate {
                lived.take_in(before, &load.snapshot());
            }
        }
        if !lived.is_whole() {
            lived.story = story(&task);
        }
        self.is_over(&task);
        lived
    }

    async fn lived(&self, task: &Task, crashes: &[CrashPoint], expected: &End) -> Lived {
        let mut lived = Lived::default();
        lived.done.crashes = crashes.to_vec();
        for point in crashes {
            match killed_at(task, point).await {
                Ok(()) => {}
                Err(Missed::Late(problem)) => {
                    lived.late.push(problem);
                    return lived;
                }
                Err(Missed::OtherWay(problem)) => {
                    let end = self.end(task, crashes.len()).await.map(|(end, _)| end);
                    let gave_up = end.is_ok_and(|end| end.gave_up(expected));
                    lived.missed = !gave_up;
                    let place = if gave_up { &mut lived.late } else { &mut lived.done.problems };
                    place.push(problem);
                    return lived;
                }
            }
        }
        match go_on(task).await {
            Ok(answer) => lived.done.problems.extend(answer.again),
            Err(Missed::OtherWay(problem)) => lived.done.problems.push(problem),
            Err(Missed::Late(problem)) => {
                // Where it stands then is no end, and not to be judged as one.
                lived.late.push(problem);
                return lived;
            }
        }
        match self.end(task, crashes.len()).await {
            Ok((end, told)) => {
                let done = &mut lived.done;
                done.orphans = end.orphans(self.way);
                if done.orphans > 0 {
                    let all = self.way.workloads().iter().map(|workload| self.stand.processes(workload));
                    done.problems.push(format!("orphans: {:#?}", all.collect::<Vec<_>>()));
                }
                done.resumed = told.resumed;
                done.problems.extend(told.problems);
                if end != *expected {
                    let gave_up = end.gave_up(expected);
                    let place = if gave_up { &mut lived.late } else { &mut done.problems };
                    place.push(format!("it ended as {end:?}, undisturbed as {expected:?}"));
                }
            }
            Err(problem) => lived.done.problems.push(problem),
        }
        lived
    }

    pub(crate) fn next(&mut self) -> Task {
        self.number += 1;
        let works = self.stand.directory().join(format!("works-{}", self.number));
        if self.way == Way::Undone {
            std::fs::create_dir(&works).unwrap();
            Works::furnish(&works);
        }
        Task {
            directory: self.stand.directory().to_owned(),
            release: format!("v{}", self.number),
            kind: self.kind.name().to_owned(),
            way: self.way,
            point: None,
            answer: self.stand.directory().join("answer"),
            story: self.stand.directory().join(format!("story-{}", self.number)),
            works,
        }
    }

    fn is_over(&mut self, task: &Task) {
        if !self.way.goes_back() {
            self.stable.clone_from(&task.release);
        }
    }

    /// Looks at everything anew: kernel, router, and the file of the journal.
    pub(crate) async fn end(&self, task: &Task, crashes: usize) -> Result<(End, Told), String> {
        let mut workloads = Vec::new();
        for workload in self.way.workloads() {
            workloads.push(self.side(task, workload).await);
        }
        let journal = FileJournal::open(self.stand.journal.directory()).map_err(|error| error.to_string())?;
        let name = DeploymentId::new(id(&task.release)).unwrap();
        let events = journal.load(&name).await.map_err(|error| error.to_string())?;
        let told = Told::of(&events, crashes);
        let outcome = told.outcome.as_ref().map_or("none".to_owned(), in_short);
        let did = (self.way == Way::Undone).then(|| Did::read_of(&task.works, &id(&task.release)));
        Ok((End { outcome, workloads, did }, told))
    }

    async fn side(&self, task: &Task, workload: &str) -> Side {
        let role = |set: &str| match set {
            set if set == task.release => 0,
            set if set == self.stable => 1,
            _ => 2,
        };
        let world = self.stand.world(workload).await;
        let mut processes = [0; 3];
        for marked in &world.processes {
            processes[role(&marked.set)] += 1;
        }
        let split: Split = world.split;
        let shares = split.shares().iter().map(|share| {
            (["new", "old", "other"][role(share.set.as_str())], (share.weight, share.members.len()))
        });
        Side { processes, split: shares.collect() }
    }
}

impl Lived {
    /// Takes in what became of requests.
    fn take_in(&mut self, before: &LoadResult, after: &LoadResult) {
        if after.failed == before.failed {
            return;
        }
        // What was sent late or answered late was not refused by anybody.
        let late = |result: &LoadResult| {
            result.failed_as(FailureKind::Unsent) + result.failed_as(FailureKind::Timeout)
        };
        let is_late = after.failed - before.failed == late(after) - late(before);
        let place = if is_late { &mut self.late } else { &mut self.done.problems };
        place.push(format!("requests failed:\n{after}"));
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_whole(&self) -> bool {
        self.done.problems.is_empty() && self.late.is_empty()
    }

    /// Whether nothing but time is wrong.
    pub(crate) fn is_late(&self) -> bool {
        self.done.problems.is_empty() && !self.late.is_empty()
    }

    /// With everything that is wrong as a failure.
    pub(crate) fn judged(mut self) -> Done {
        let is_whole = self.is_whole();
        self.done.problems.append(&mut self.late);
        if !is_whole {
            self.done.problems.push(self.story);
        }
        self.done
    }
}

impl End {
    /// Processes that should not be there.
    pub(crate) fn orphans(&self, way: Way) -> usize {
        self.workloads.iter().map(|side| side.orphans(usize::from(way.goes_back()))).sum()
    }

    /// Whether it went back in good order because instances were not ready in time, which nobody planned.
    fn gave_up(&self, expected: &Self) -> bool {
        let is_back = self.workloads.iter().all(|side| side.is_whole(1));
        self.outcome == GAVE_UP && expected.outcome != GAVE_UP && is_back
    }

    /// What is wrong with it however it came about.
    pub(crate) fn problem(&self, way: Way) -> Option<String> {
        let winner = usize::from(way.goes_back());
        let is_success = self.outcome == in_short(&Outcome::Succeeded);
        let is_whole = self.workloads.iter().all(|side| side.is_whole(winner));
        let stages = self.did.as_ref().map_or_else(Vec::new, |did| did.problems(!way.goes_back()));
        let is_right = is_whole && is_success != way.goes_back() && stages.is_empty();
        (!is_right).then(|| format!("an undisturbed deployment ended as {self:?}: {stages:?}"))
    }
}

impl Side {
    fn orphans(&self, winner: usize) -> usize {
        self.processes.iter().sum::<usize>() - self.processes[winner].min(REPLICAS as usize)
    }

    fn is_whole(&self, winner: usize) -> bool {
        self.processes[winner] == REPLICAS as usize && self.orphans(winner) == 0
    }
}

/// What happened, as the deployers told it.
fn story(task: &Task) -> String {
    std::fs::read_to_string(&task.story).unwrap_or_else(|error| format!("nothing was told: {error}"))
}

/// Starts a deployer that kills itself, and makes sure that it did, and where.
pub(crate) async fn killed_at(task: &Task, point: &CrashPoint) -> Result<(), Missed> {
    let task = Task { point: Some(point.to_string()), ..task.clone() };
    let answer = task.answer.clone();
    let status = blocking(move || start(&task)).await.map_err(Missed::Late)?;
    let reached = std::fs::read_to_string(&answer).unwrap_or_default();
    if status.signal() == Some(9) && reached == point.to_string() {
        return Ok(());
    }
    let problem = format!("{point} was not reached: the deployer ended with {status} and said {reached:?}");
    Err(Missed::OtherWay(problem))
}

/// Starts it once more, to its end.
async fn go_on(task: &Task) -> Result<Answer, Missed> {
    let (of, answer): (Task, PathBuf) = (task.clone(), task.answer.clone());
    let status = blocking(move || start(&of)).await.map_err(Missed::Late)?;
    let wrong = |error: &dyn std::fmt::Display| Missed::OtherWay(format!("{status}, no answer: {error}"));
    let text = std::fs::read_to_string(answer).map_err(|error| wrong(&error))?;
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}
