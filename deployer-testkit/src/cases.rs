//! Test programs with a `main` of their own, which the usual harness leaves no room for.

use std::{
    io::Write as _,
    panic,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use parking_lot::Mutex;

/// One test of a program that has `harness = false`. It fails by panicking.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name, by which filters choose it.
    pub name: &'static str,
    /// What it does, on a thread that has its name.
    pub run: fn(),
}

/// Runs the cases that the arguments of this program choose, at most so many `at_once`, and prints what `cargo test`
/// users expect. A case that fails does not keep the others from running.
///
/// Understood are filters, `--exact`, `--skip`, `--list` and `--test-threads`. Output of cases is not captured.
///
/// ```
/// use deployer_testkit::cases::{Case, run};
///
/// fn one_and_one_is_two() {
///     assert_eq!(1 + 1, 2);
/// }
///
/// let cases = [Case { name: "one_and_one_is_two", run: one_and_one_is_two }];
/// assert_eq!(run(&cases, 1), std::process::ExitCode::SUCCESS);
/// ```
pub fn run(cases: &[Case], at_once: usize) -> ExitCode {
    let wanted = Wanted::parse(std::env::args().skip(1), at_once);
    let chosen: Vec<Case> = cases.iter().copied().filter(|case| wanted.chooses(case.name)).collect();
    if wanted.list {
        for case in &chosen {
            say(&format!("{}: test", case.name));
        }
        return ExitCode::SUCCESS;
    }
    say(&format!("\nrunning {} tests", chosen.len()));
    let start = Instant::now();
    let failed = run_all(&chosen, wanted.threads);
    if !failed.is_empty() {
        say(&format!("\nfailures:\n    {}", failed.join("\n    ")));
    }
    say(&format!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        chosen.len() - failed.len(),
        failed.len(),
        cases.len() - chosen.len(),
        start.elapsed().as_secs_f64()
    ));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// Prints a line of a case: what it measured.
pub fn say(line: &str) {
    // Nobody may be listening any more; that is no reason to fail.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Names of those that failed, sorted.
fn run_all(cases: &[Case], threads: usize) -> Vec<&'static str> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, cases.len().max(1)) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !passes(*case) {
                        failed.lock().push(case.name);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner();
    failed.sort_unstable();
    failed
}

fn passes(case: Case) -> bool {
    let start = Instant::now();
    let body = move || panic::catch_unwind(case.run).is_ok();
    let thread = thread::Builder::new().name(case.name.to_owned()).spawn(body);
    let passed = thread.is_ok_and(|thread| thread.join().unwrap_or(false));
    let word = if passed { "ok" } else { "FAILED" };
    say(&format!("test {} ... {word} <{:.3}s>", case.name, start.elapsed().as_secs_f64()));
    passed
}

/// What the arguments ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    filters: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    list: bool,
    /// Only ignored tests are asked for, and there are none.
    only_ignored: bool,
    threads: usize,
}

impl Wanted {
    fn parse(arguments: impl IntoIterator<Item = String>, at_once: usize) -> Self {
        let mut wanted = Self { threads: at_once, ..Self::default() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (argument, None),
            };
            let mut value = || value.clone().or_else(|| arguments.next());
            match name.as_str() {
                "--exact" => wanted.exact = true,
                "--list" => wanted.list = true,
                "--ignored" => wanted.only_ignored = true,
                "--skip" => wanted.skipped.extend(value()),
                "--test-threads" => {
                    wanted.threads = value().and_then(|count| count.parse().ok()).unwrap_or(at_once);
                }
                // Those of the usual harness that take a value, which is no filter.
                "--format" | "--color" | "--logfile" | "--shuffle-seed" | "-Z" => drop(value()),
                flag if flag.starts_with('-') => {}
                _ => wanted.filters.push(name),
            }
        }
        wanted
    }

    fn chooses(&self, name: &str) -> bool {
        let matches =
            |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        !self.only_ignored
            && !self.skipped.iter().any(matches)
            && (self.filters.is_empty() || self.filters.iter().any(matches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(arguments: &[&str]) -> Wanted {
        Wanted::parse(arguments.iter().map(|argument| (*argument).to_owned()), 2)
    }

    #[test]
    fn arguments_choose_as_the_usual_harness_does() {
        let all = wanted(&["--nocapture", "--format", "pretty", "--color=always"]);
        assert!(all.chooses("anything") && all.threads == 2 && !all.list);
        let some = wanted(&["zero", "--skip", "canary", "--test-threads=1", "--list"]);
        assert!(some.chooses("zero_loss") && some.list && some.threads == 1);
        assert!(!some.chooses("zero_loss_canary") && !some.chooses("crash"));
        let one = wanted(&["--exact", "zero"]);
        assert!(one.chooses("zero") && !one.chooses("zero_loss"));
        assert!(!wanted(&["--ignored"]).chooses("zero"));
    }

    #[test]
    fn a_failing_case_is_named_and_the_others_run() {
        static RAN: AtomicUsize = AtomicUsize::new(0);
        fn good() {
            RAN.fetch_add(1, Ordering::Relaxed);
        }
        fn bad() {
            RAN.fetch_add(1, Ordering::Relaxed);
            panic!("as asked");
        }
        let cases = [("b", bad as fn()), ("a", bad), ("c", good), ("d", good)];
        for threads in [1, 3] {
            RAN.store(0, Ordering::Relaxed);
            assert_eq!(run_all(&cases.map(|(name, run)| Case { name, run }), threads), ["a", "b"]);
            assert_eq!(RAN.load(Ordering::Relaxed), 4);
        }
    }
}
