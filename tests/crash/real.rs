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
    load::LoadHandle,
};

use crate::{
    child::{Answer, Task, Way, id, start},
    disturb::in_short,
    recipes::Kind,
    stand::{REPLICAS, Stand, WEB, answered},
    table::Done,
};

/// How a deployment of real processes ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    outcome: String,
    /// Processes of the new release, of the old one, and of none of them, as the kernel lists them.
    processes: [usize; 3],
    /// Weight and members of the same.
    split: BTreeMap<&'static str, (u32, usize)>,
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
        let answer = go_on(&task).await?;
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
        load: &LoadHandle,
    ) -> Done {
        let task = self.next();
        let failed_before = load.snapshot().failed;
        let mut done = Done { crashes: crashes.to_vec(), ..Done::default() };
        for point in crashes {
            if let Err(problem) = killed_at(&task, point).await {
                done.problems.push(problem);
                return done;
            }
        }
        match go_on(&task).await {
            Ok(answer) => done.problems.extend(answer.again),
            Err(problem) => done.problems.push(problem),
        }
        match self.end(&task, crashes.len()).await {
            Ok((end, told)) => {
                done.orphans = end.orphans(self.way);
                if done.orphans > 0 {
                    done.problems.push(format!("orphans: {:#?}", self.stand.processes(WEB)));
                }
                done.resumed = told.resumed;
                done.problems.extend(told.problems);
                if end != *expected {
                    done.problems.push(format!("it ended as {end:?}, undisturbed as {expected:?}"));
                }
            }
            Err(problem) => done.problems.push(problem),
        }
        answered(load, 5).await;
        let so_far = load.snapshot();
        if self.kind != Kind::Recreate && so_far.failed > failed_before {
            done.problems.push(format!("requests failed:\n{so_far}"));
        }
        self.is_over(&task);
        done
    }

    pub(crate) fn next(&mut self) -> Task {
        self.number += 1;
        Task {
            directory: self.stand.directory().to_owned(),
            release: format!("v{}", self.number),
            kind: self.kind.name().to_owned(),
            way: self.way,
            point: None,
            answer: self.stand.directory().join("answer"),
        }
    }

    fn is_over(&mut self, task: &Task) {
        if self.way != Way::Refused {
            self.stable.clone_from(&task.release);
        }
    }

    /// Looks at everything anew: kernel, router, and the file of the journal.
    pub(crate) async fn end(&self, task: &Task, crashes: usize) -> Result<(End, Told), String> {
        let role = |set: &str| match set {
            set if set == task.release => 0,
            set if set == self.stable => 1,
            _ => 2,
        };
        let world = self.stand.world(WEB).await;
        let mut processes = [0; 3];
        for marked in &world.processes {
            processes[role(&marked.set)] += 1;
        }
        let split: Split = world.split;
        let shares = split.shares().iter().map(|share| {
            (["new", "old", "other"][role(share.set.as_str())], (share.weight, share.members.len()))
        });
        let journal = FileJournal::open(self.stand.journal.directory()).map_err(|error| error.to_string())?;
        let name = DeploymentId::new(id(&task.release)).unwrap();
        let events = journal.load(&name).await.map_err(|error| error.to_string())?;
        let told = Told::of(&events, crashes);
        let outcome = told.outcome.as_ref().map_or("none".to_owned(), in_short);
        Ok((End { outcome, processes, split: shares.collect() }, told))
    }
}

impl End {
    /// Processes that should not be there.
    pub(crate) fn orphans(&self, way: Way) -> usize {
        let winner = usize::from(way == Way::Refused);
        let all: usize = self.processes.iter().sum();
        all - self.processes[winner].min(REPLICAS as usize)
    }

    /// What is wrong with it however it came about.
    pub(crate) fn problem(&self, way: Way) -> Option<String> {
        let winner = usize::from(way == Way::Refused);
        let is_success = self.outcome == in_short(&Outcome::Succeeded);
        let whole = self.processes[winner] == REPLICAS as usize && self.orphans(way) == 0;
        let is_right = whole && is_success == (way != Way::Refused);
        (!is_right).then(|| format!("an undisturbed deployment ended as {self:?}"))
    }
}

/// Starts a deployer that kills itself, and makes sure that it did, and where.
pub(crate) async fn killed_at(task: &Task, point: &CrashPoint) -> Result<(), String> {
    let task = Task { point: Some(point.to_string()), ..task.clone() };
    let answer = task.answer.clone();
    let status = blocking(move || start(&task)).await?;
    let reached = std::fs::read_to_string(&answer).unwrap_or_default();
    if status.signal() == Some(9) && reached == point.to_string() {
        return Ok(());
    }
    Err(format!("{point} was not reached: the deployer ended with {status} and said {reached:?}"))
}

/// Starts it once more, to its end.
async fn go_on(task: &Task) -> Result<Answer, String> {
    let (of, answer): (Task, PathBuf) = (task.clone(), task.answer.clone());
    let status = blocking(move || start(&of)).await?;
    let text = std::fs::read_to_string(answer).map_err(|error| format!("{status}, no answer: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{status}, {error}: {text}"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}
