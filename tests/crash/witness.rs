//! Whether the machine itself stood still: then a deployer that is late has done nothing wrong.

use std::{
    fs::File,
    hint::black_box,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How often it looks.
const TICK: Duration = Duration::from_millis(100);
/// Rounds of work in each look: about a millisecond, so that a core that is never given is noticed.
const WORK: u64 = 1_000_000;

/// Does a little of everything that a deployer needs, again and again: sleeps, computes, and makes bytes durable. How
/// late it is nobody but the machine is to blame for.
#[derive(Debug)]
pub(crate) struct Witness {
    late: Arc<Mutex<Vec<(Instant, Duration)>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    pub(crate) fn start() -> Self {
        let (late, ends) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let (late, ends) = (late.clone(), ends.clone());
            move || watch(&late, &ends)
        });
        Self { late, ends, thread: Some(thread) }
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

fn watch(late: &Mutex<Vec<(Instant, Duration)>>, ends: &AtomicBool) {
    let mut file = tempfile::tempfile().unwrap();
    while !ends.load(Ordering::Relaxed) {
        let start = Instant::now();
        thread::sleep(TICK);
        black_box((0..WORK).fold(0u64, |sum, number| sum.wrapping_mul(31).wrapping_add(black_box(number))));
        make_durable(&mut file);
        late.lock().push((Instant::now(), start.elapsed().saturating_sub(TICK)));
    }
}

fn make_durable(file: &mut File) {
    file.write_all(b"still there\n").unwrap();
    file.sync_data().unwrap();
}
