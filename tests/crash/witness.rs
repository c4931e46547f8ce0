//! Whether the machine itself stood still: then a deployer that is late has done nothing wrong.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    hint::black_box,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::processes::{helpers, marked};

/// How often it looks.
const TICK: Duration = Duration::from_millis(100);
/// Rounds of work in each look: about a millisecond, so that a core that is never given is noticed.
const WORK: u64 = 1_000_000;

/// At every so many-th look the kernel is asked about others.
const LOOK: u64 = 10;

/// Does a little of everything that a deployer needs, again and again: sleeps, computes, and makes bytes durable. How
/// late it is nobody but the machine is to blame for.
#[derive(Debug)]
pub(crate) struct Witness {
    late: Arc<Mutex<Vec<(Instant, Duration)>>>,
    places: Arc<Mutex<Vec<PathBuf>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    pub(crate) fn start() -> Self {
        let (late, places) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let ends = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (late, places, ends) = (late.clone(), places.clone(), ends.clone());
            move || watch(&late, &places, &ends)
        });
        Self { late, places, ends, thread: Some(thread) }
    }

    /// From now on also asks the kernel how long the helper and the instances of this directory were kept waiting for a
    /// core: it may be fair to sessions, and starve one while all is well in another.
    pub(crate) fn watches(&self, helper: &Path) {
        self.places.lock().push(helper.to_owned());
    }

    /// The longest time that the machine stood still since then.
    pub(crate) fn longest_since(&self, mark: Instant) -> Duration {
        let late = self.late.lock();
        let under_way = late.last().map_or(Duration::ZERO, |(at, _)| at.elapsed().saturating_sub(TICK));
        let past = late.iter().rev().take_while(|(at, _)| *at >= mark).map(|(_, late)| *late);
        past.max().unwrap_or_default().max(under_way)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(late: &Mutex<Vec<(Instant, Duration)>>, places: &Mutex<Vec<PathBuf>>, ends: &AtomicBool) {
    let mut file = tempfile::tempfile().unwrap();
    let mut waited = BTreeMap::new();
    for tick in 0u64.. {
        if ends.load(Ordering::Relaxed) {
            break;
        }
        let start = Instant::now();
        thread::sleep(TICK);
        black_box((0..WORK).fold(0u64, |sum, number| sum.wrapping_mul(31).wrapping_add(black_box(number))));
        make_durable(&mut file);
        late.lock().push((Instant::now(), start.elapsed().saturating_sub(TICK)));
        if tick % LOOK == 0 {
            places.lock().retain(|place| place.exists());
            let now = waits(&places.lock().clone());
            // One that is new has waited since its start, which was after the last look.
            let more = |(thread, wait): (&PathBuf, &Duration)| {
                wait.saturating_sub(waited.get(thread).copied().unwrap_or_default())
            };
            let longest = now.iter().map(more).max().unwrap_or_default();
            late.lock().push((Instant::now(), longest));
            waited = now;
        }
    }
}

/// How long each thread was ready to run and did not run, since its start.
fn waits(places: &[PathBuf]) -> BTreeMap<PathBuf, Duration> {
    let pids = places.iter().flat_map(|place| {
        let instances = marked(place).into_iter().map(|marked| marked.pid);
        instances.chain(helpers(place)).collect::<Vec<_>>()
    });
    let threads = pids.filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok()).flatten().flatten();
    let wait = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let nanoseconds = text.split_whitespace().nth(1)?.parse().ok()?;
        Some((thread.path(), Duration::from_nanos(nanoseconds)))
    };
    threads.filter_map(wait).collect()
}

fn make_durable(file: &mut File) {
    file.write_all(b"still there\n").unwrap();
    file.sync_data().unwrap();
}
