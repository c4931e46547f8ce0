//! Which crashes real processes are put through, a stand at a time.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
};

use deployer_testkit::{
    cases::say,
    crash::{CrashPoint, Moment},
};
use parking_lot::Mutex;

use crate::{
    child::Way,
    options::Options,
    real::{End, Line},
    recipes::Kind,
    stand::{self, WEB, load},
    table::{Done, Requests, Table},
};

/// How many crashes a stand lives through before there is a new one: far fewer than fit into the time of a case, on a
/// busy machine too.
const OF_A_STAND: usize = 6;
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
        ways.into_iter().flat_map(|way| (0..kinds).map(move |place| Self { place, way })).collect()
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
        };
        format!("real/{}/{way}", self.kind().name())
    }

    fn head(self) -> String {
        let strategy = match self.kind() {
            Kind::RollingWithoutSurge => Kind::Rolling.name(),
            other => other.name(),
        };
        format!("{strategy} {}", if self.way == Way::Refused { "<-" } else { "->" })
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
            let number = if self.way == Way::Refused { count } else { count.div_ceil(2) };
            chosen.push(vec![CrashPoint::new(kind, number, Moment::ALL[(at + self.place) % 3])]);
        }
        if self.way == Way::Forward {
            let again = CrashPoint::new("resumed", 1, Moment::ALL[self.place % 3]);
            chosen.push(vec![CrashPoint::new("apply", 1, Moment::Inside), again]);
        }
        chosen
    }
}

const KINDS: [Kind; 5] =
    [Kind::Rolling, Kind::BlueGreen, Kind::Canary, Kind::Recreate, Kind::RollingWithoutSurge];

/// Crashes of these columns, chosen by the options; `most` bounds those of each column.
pub(crate) fn all_of(columns: &[Column], options: &Options, most: usize) -> Table {
    let table = Mutex::new(Table::new("real processes"));
    let asked: Vec<_> = columns.iter().filter(|column| options.may_have(&column.name())).collect();
    let scouted = Mutex::new(VecDeque::new());
    side_by_side(asked, |column| match in_a_stand(|| scout(*column)) {
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
        let found = lived_through(column, crashes, &end);
        let failed = found.failures().len();
        say(&format!("  {}: {} runs, {failed} failed", column.name(), found.done.len()));
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

/// What a deployment does that nobody disturbs.
fn scout(column: Column) -> Result<(Vec<String>, End), String> {
    let found = Mutex::new(Err("it has no end".to_owned()));
    stand::with(async |stand| {
        stand.serve_v1(WEB).await;
        let undisturbed = Line::new(stand, column.kind(), column.way).undisturbed().await;
        *found.lock() = undisturbed.and_then(|(calls, end)| match end.problem(column.way) {
            Some(problem) => Err(problem),
            None => Ok((calls, end)),
        });
    });
    found.into_inner()
}

/// One crash after the other under load; after one that went wrong at a new stand.
fn lived_through(column: Column, crashes: Vec<Crashes>, end: &End) -> Table {
    let mut found = Table::default();
    let mut left = VecDeque::from(crashes);
    while !left.is_empty() {
        let here = Mutex::new(Table::default());
        let rest = Mutex::new(&mut left);
        let clean = in_a_stand(|| {
            stand::with(async |stand| at_one_stand(stand, column, &rest, end, &here).await);
            Ok(())
        });
        let mut here = here.into_inner();
        here.problems.extend(clean.err().map(|problem| format!("{}: {problem}", column.name())));
        let is_bad = here.done.is_empty();
        found.join(here);
        if is_bad {
            break;
        }
    }
    found
}

async fn at_one_stand(
    stand: &stand::Stand,
    column: Column,
    left: &Mutex<&mut VecDeque<Crashes>>,
    end: &End,
    found: &Mutex<Table>,
) {
    let load = load(stand.serve_v1(WEB).await, RATE).await;
    let mut line = Line::new(stand, column.kind(), column.way);
    loop {
        let Some(crashes) = left.lock().pop_front() else { break };
        let done = line.crashed(&crashes, end, &load).await;
        let is_bad = !done.problems.is_empty();
        found.lock().done.push(Done { name: name(column, &crashes), column: column.head(), ..done });
        if is_bad {
            break;
        }
    }
    let result = load.stop().await;
    let requests = Requests { sent: result.requests, failed: result.failed };
    let mut found = found.lock();
    if column.kind() == Kind::Recreate {
        found.interrupting = Some(requests);
    } else {
        found.requests = Some(requests);
        if !result.is_valid() {
            found.problems.push(format!("{}: the load says nothing:\n{result}", column.name()));
        }
    }
}
