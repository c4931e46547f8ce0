//! What happens in directories, step by step.

use std::{
    fs, io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify::{self, CreateFlags, Reader, WatchFlags},
};

use crate::support::LIMIT;

/// How often is looked whether the child has ended.
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// What happens in directories, step by step.
#[derive(Debug)]
pub(crate) struct Watch {
    queue: OwnedFd,
    places: Vec<(i32, PathBuf)>,
}

impl Watch {
    pub(crate) fn on(paths: &[PathBuf]) -> Self {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let steps = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE;
        let places = paths
            .iter()
            .map(|path| (inotify::add_watch(&queue, path, steps).unwrap(), path.clone()))
            .collect();
        Self { queue, places }
    }

    /// Kills the child right after this many steps, and says what the last one was. `None` if it ended by itself
    /// before.
    pub(crate) fn kill_after(&self, steps: usize, child: Child) -> Option<String> {
        self.kill_later(steps, Duration::ZERO, child)
    }

    /// The same, and so much later.
    pub(crate) fn kill_later(&self, steps: usize, later: Duration, mut child: Child) -> Option<String> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.queue, &mut buffer);
        let deadline = Instant::now() + LIMIT;
        let mut seen = 0;
        loop {
            match reader.next() {
                Ok(event) => {
                    seen += 1;
                    if seen == steps {
                        std::thread::sleep(later);
                        child.kill().unwrap();
                        child.wait().unwrap();
                        let place = self.places.iter().find(|(number, _)| *number == event.wd());
                        let place = place.map(|(_, path)| short(path)).unwrap_or_default();
                        let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
                        let what = event.events();
                        return Some(format!("{place} {} {what:?}", name.unwrap_or_default()));
                    }
                }
                Err(error) if error == rustix::io::Errno::AGAIN => {
                    if child.try_wait().unwrap().is_some() {
                        return None;
                    }
                    assert!(Instant::now() < deadline, "the child takes too long");
                    let step = PollFd::new(&self.queue, PollFlags::IN);
                    // Signals interrupt it; then it looks earlier.
                    let _ = poll(&mut [step], Some(&LOOK_AGAIN));
                }
                Err(error) => panic!("{}", io::Error::from(error)),
            }
        }
    }
}

fn short(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether a file is there and says so.
pub(crate) fn says(path: &Path, words: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.contains(words))
}
