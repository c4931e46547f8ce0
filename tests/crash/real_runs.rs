//! Which crashes real processes are put through, a stand at a time.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use deployer_testkit::{
    cases::say,
    crash::{CrashPoint, Moment},
    load::LoadResult,
};
use parking_lot::Mutex;

use crate::{
    child::Way,
    options::Options,
    real::{End, Line, Lived},
    recipes::Kind,
    stand::{self, Stand, load},
    table::{Done, Requests, Table},
    witness::Witness,
};

/// How many crashes a stand lives through before there is a new one: far fewer than fit into the time of a case, on a
/// busy machine too.
const OF_A_STAND: usize = 6;
/// How long such a stand may take.
const STAND_LIMIT: Duration = Duration::from_secs(300);
/// A machine that stands still for so long, or keeps a process waiting, makes everything late.
const STANDSTILL: Duration = Duration::from_secs(1);
/// How often a run is made that shows nothing.
const TRIES: u32 = 4;
/// Requests a second at each stand.
const RATE: u32 = 200;
/// So many stands at once.
const AT_ONCE: usize = 3;

/// One strategy on one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Column {
    place: usize,
    way: Way,
}

/// All crashes of one deployment, one after the other.
type Crashes = Vec<CrashPoint>;

impl Column {
    /// Those of the matrix.
    pub(crate) fn all(options: &Options) -> Vec<Self> {
        let kinds = if options.all { Kind::ALL.len() } else { Kind::ALL.len() - 1 };
        let ways = [Way::Forward, Way::Refused, Way::Interrupted];
        let mut all: Vec<_> =
            ways.into_iter().flat_map(|way| (0..kinds).map(move |place| Self { place, way })).collect();
        all.push(Self::undone());
        all
    }

    /// The one of a strategy with a good release.
    pub(crate) fn forward(kind: Kind) -> Self {
        Self { place: KINDS.iter().position(|known| *known == kind).unwrap(), way: Way::Forward }
    }

    fn kind(self) -> Kind {
        KINDS[self.place]
    }

    /// What `--only` takes.
    fn name(self) -> String {
        let way = match self.way {
            Way::Forward => "forward",
            Way::Refused => "refused",
            Way::Interrupted => "interrupted",
            Way::Undone => return "real/shop/undone".to_owned(),
        };
        format!("real/{}/{way}", self.kind().name())
    }

    fn head(self) -> String {
        if self.way == Way::Undone {
            return "pipeline <-".to_owned();
        }
        let strategy = match self.kind() {
            Kind::RollingWithoutSurge => Kind::Rolling.name(),
            other => other.name(),
        };
        format!("{strategy} {}", if self.way == Way::Refused { "<-" } else { "->" })
    }

    /// A pipeline that is undone.
    pub(crate) fn undone() -> Self {
        Self { place: 0, way: Way::Undone }
    }

    /// Chosen from the calls of an undisturbed run: each kind, each time at another moment; on the way back the last
    /// call of each kind, which is part of the way back.
    fn usual(self, calls: &[String]) -> Vec<Crashes> {
        let mut counts = BTreeMap::<&str, u64>::new();
        for kind in calls {
            *counts.entry(kind).or_default() += 1;
        }
        let mut chosen = Vec::new();
        for (at, (kind, count)) in counts.into_iter().enumerate() {
            let is_new = matches!(kind, "interrupted" | "resumed");
            if self.way == Way::Interrupted && !is_new {
                continue;
            }
            if self.way == Way::Undone && !OF_AN_UNDO.contains(&kind) {
                continue;
            }
            let number = if self.way.goes_back() { count } else { count.div_ceil(2) };
            chosen.push(vec![CrashPoint::new(kind, number, Moment::ALL[(at + self.place) % 3])]);
        }
        if self.way == Way::Undone {
            chosen.sort_by_key(|crashes| OF_AN_UNDO.iter().position(|kind| *kind == crashes[0].kind));
        }
        if self.way == Way::Forward {
            let again = CrashPoint::new("resumed", 1, Moment::ALL[self.place % 3]);
            chosen.push(vec![CrashPoint::new("apply", 1, Moment::Inside), again]);
        }
        chosen
    }
}

/// Of a pipeline only these, in this order: all the others are those of one rollout.
const OF_AN_UNDO: [&str; 8] = [
    "undo_started",
    "undo_finished",
    "stage_failed",
    "undo",
    "rollout_started",
    "apply",
    "shift",
    "deployment_finished",
];

const KINDS: [Kind; 5] =
    [Kind::Rolling, Kind::BlueGreen, Kind::Canary, Kind::Recreate, Kind::RollingWithoutSurge];

/// Crashes of these columns, chosen by the options; `most` bounds those of each column.
pub(crate) fn all_of(columns: &[Column], options: &Options, most: usize) -> Table {
    let table = Mutex::new(Table::new("real processes"));
    let witness = Witness::start();
    let asked: Vec<_> = columns.iter().filter(|column| options.may_have(&column.name())).collect();
    let scouted = Mutex::new(VecDeque::new());
    side_by_side(asked, |column| match scouted_well(*column, &witness) {
        Ok((calls, end)) => {
            let crashes = if options.all { every(&calls) } else { column.usual(&calls) };
            let crashes = crashes.into_iter().filter(|crashes| options.has(&name(*column, crashes)));
            let crashes: Vec<_> = crashes.take(most).collect();
            let parts = crashes.chunks(OF_A_STAND).map(|part| (*column, part.to_vec(), end.clone()));
            scouted.lock().extend(parts);
        }
        Err(problem) => {
            let problem = format!("{}, undisturbed: {problem}", column.name());
            table.lock().problems.push(problem);
        }
    });
    side_by_side(scouted.into_inner(), |(column, crashes, end)| {
        let found = lived_through(column, crashes, &end, &witness);
        let (failed, again) = (found.failures().len(), found.again.len());
        say(&format!("  {}: {} runs, {failed} failed, {again} made again", column.name(), found.done.len()));
        table.lock().join(found);
    });
    let mut table = table.into_inner();
    table.done.sort_by(|a, b| a.name.cmp(&b.name));
    table
}

/// At every moment of every call, and a second time while it is resumed.
fn every(calls: &[String]) -> Vec<Crashes> {
    let mut counts = BTreeMap::<&str, u64>::new();
    let mut all = Vec::new();
    for kind in calls {
        let number = counts.entry(kind).or_default();
        *number += 1;
        all.extend(Moment::ALL.map(|moment| vec![CrashPoint::new(kind, *number, moment)]));
    }
    let first = |kind: &str, moment| CrashPoint::new(kind, 1, moment);
    for kind in ["apply", "shift", "advanced"] {
        let seconds = Moment::ALL.map(|moment| first("resumed", moment));
        all.extend(seconds.map(|second| vec![first(kind, Moment::Inside), second]));
    }
    all
}

fn side_by_side<T: Send>(work: impl IntoIterator<Item = T>, act: impl Fn(T) + Sync) {
    let work = Mutex::new(work.into_iter().collect::<VecDeque<_>>());
    let next = || work.lock().pop_front();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(one) = next() {
                    act(one);
                }
            });
        }
    });
}

fn name(column: Column, crashes: &Crashes) -> String {
    let points: Vec<_> = crashes.iter().map(ToString::to_string).collect();
    format!("{}/{}", column.name(), points.join("+"))
}

/// A stand that is not left clean is a problem, not the end of everything.
fn in_a_stand<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default())
    })
}

/// What a deployment does that nobody disturbs, not even the machine.
fn scouted_well(column: Column, witness: &Witness) -> Result<(Vec<String>, End), String> {
    let mut number = 1;
    loop {
        let start = Instant::now();
        let scouted = in_a_stand(|| scout(column, witness));
        if scouted.is_ok() || number == TRIES || witness.longest_since(start) < STANDSTILL {
            return scouted;
        }
        number += 1;
    }
}

fn scout(column: Column, witness: &Witness) -> Result<(Vec<String>, End), String> {
    let found = Mutex::new(Err("it has no end".to_owned()));
    stand::with(async |stand| {
        witness.watches(stand.host.directory());
        for workload in column.way.workloads() {
            stand.serve_v1(workload).await;
        }
        let undisturbed = Line::new(stand, column.kind(), column.way).undisturbed().await;
        *found.lock() = undisturbed.and_then(|(calls, end)| match end.problem(column.way) {
            Some(problem) => Err(problem),
            None => Ok((calls, end)),
        });
    });
    found.into_inner()
}

/// One crash after the other under load; after one that went wrong at a new stand.
fn lived_through(column: Column, crashes: Vec<Crashes>, end: &End, witness: &Witness) -> Table {
    let mut found = Table::default();
    let left: VecDeque<_> = crashes.into_iter().map(|crashes| Try { crashes, number: 1 }).collect();
    let left = Mutex::new(left);
    while !left.lock().is_empty() {
        let here = Mutex::new(Table::default());
        let start = Instant::now();
        let clean = in_a_stand(|| {
            stand::within(STAND_LIMIT, async |stand| {
                Series { stand, column, left: &left, end, witness, found: &here }.run().await;
            });
            Ok(())
        });
        found.join(here.into_inner());
        let Err(problem) = clean else { continue };
        let stood_still = witness.longest_since(start);
        let problem = format!("{}: {problem}", column.name());
        // What it was about is still there.
        let mut left = left.lock();
        if stood_still >= STANDSTILL && left.front().is_some_and(|one| one.number < TRIES) {
            left.front_mut().expect("it is there").number += 1;
            found.again.push(format!("{problem}; the machine stood still for {stood_still:?}"));
        } else {
            left.pop_front();
            found.problems.push(problem);
        }
    }
    found
}

/// Crashes that are still to be lived through.
#[derive(Debug, Clone)]
struct Try {
    crashes: Crashes,
    /// How often they are tried, this time included.
    number: u32,
}

/// One crash after the other at one stand.
struct Series<'a> {
    stand: &'a Stand,
    column: Column,
    left: &'a Mutex<VecDeque<Try>>,
    end: &'a End,
    witness: &'a Witness,
    found: &'a Mutex<Table>,
}

impl Series<'_> {
    async fn run(self) {
        self.witness.watches(self.stand.host.directory());
        let mut loads = Vec::new();
        for workload in self.column.way.workloads() {
            loads.push(load(self.stand.serve_v1(workload).await, RATE).await);
        }
        let mut line = Line::new(self.stand, self.column.kind(), self.column.way);
        let mut counts = true;
        loop {
            let Some(one) = self.left.lock().front().cloned() else { break };
            let start = Instant::now();
            let lived = line.crashed(&one.crashes, self.end, &loads).await;
            let stood_still = self.witness.longest_since(start);
            if lived.missed && one.number < TRIES && self.listed_again(&mut line, &one).await {
                continue;
            }
            if lived.is_late() && one.number < TRIES && stood_still >= STANDSTILL {
                counts = false;
                self.try_again(&one, &lived, stood_still);
                break;
            }
            let done = lived.judged();
            let is_bad = !done.problems.is_empty();
            let done = Done { name: name(self.column, &one.crashes), column: self.column.head(), ..done };
            self.found.lock().done.push(done);
            self.left.lock().pop_front();
            if is_bad {
                break;
            }
        }
        for load in loads {
            let result = load.stop().await;
            if counts {
                self.count(&result);
            }
        }
    }

    /// How often something is called may differ from run to run: what is decided depends on what is seen. Then the point
    /// is the last one of its kind in a run that nobody disturbs now.
    async fn listed_again(&self, line: &mut Line<'_>, one: &Try) -> bool {
        let Ok((calls, _)) = line.undisturbed().await else { return false };
        let mut crashes = one.crashes.clone();
        let first = &mut crashes[0];
        let count = calls.iter().filter(|kind| **kind == first.kind).count() as u64;
        if count == 0 {
            return false;
        }
        first.number = first.number.min(count);
        let (before, now) = (name(self.column, &one.crashes), name(self.column, &crashes));
        self.found.lock().again.push(format!("{before} was not reached; listed again it is {now}"));
        *self.left.lock().front_mut().expect("nobody else takes it") =
            Try { crashes, number: one.number + 1 };
        true
    }

    fn try_again(&self, one: &Try, lived: &Lived, stood_still: Duration) {
        let why =
            lived.late.iter().filter_map(|problem| problem.lines().next()).collect::<Vec<_>>().join("; ");
        let name = name(self.column, &one.crashes);
        self.found.lock().again.push(format!("{name}: {why}; the machine stood still for {stood_still:?}"));
        self.left.lock().front_mut().expect("nobody else takes it").number += 1;
    }

    fn count(&self, result: &LoadResult) {
        let requests = Requests { sent: result.requests, failed: result.failed };
        let mut found = self.found.lock();
        let is_recreate = self.column.kind() == Kind::Recreate;
        let mut one = Table::default();
        *(if is_recreate { &mut one.interrupting } else { &mut one.requests }) = Some(requests);
        found.join(one);
        if !is_recreate && !result.is_valid() {
            found.problems.push(format!("{}: the load says nothing:\n{result}", self.column.name()));
        }
    }
}
