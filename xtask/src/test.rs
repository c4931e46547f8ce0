//! Everything that has to hold, part by part.

use std::{
    process::{Command, ExitCode},
    time::Instant,
};

use crate::{
    command::{Outcome, Place, run as run_command, tail},
    crash, dependencies, examples, quickstart, structure, tool,
};

/// One thing that has to hold.
struct Part {
    name: &'static str,
    run: fn(&Place) -> Outcome,
}

/// In the order in which they run: what fails fast comes first.
const PARTS: [Part; 16] = [
    Part { name: "format", run: format },
    Part { name: "structure", run: structure::run },
    Part { name: "dependencies", run: dependencies::run },
    Part { name: "clippy", run: clippy },
    Part { name: "tests", run: tests },
    Part { name: "doctests", run: doctests },
    Part { name: "rustdoc", run: rustdoc },
    Part { name: "model", run: model },
    Part { name: "planted", run: planted },
    Part { name: "fuzz", run: fuzz },
    Part { name: "simulate", run: simulate },
    Part { name: "simulate-planted", run: simulate_planted },
    Part { name: "nginx-cpu", run: nginx_cpu },
    Part { name: "examples", run: examples::part },
    Part { name: "quickstart", run: quickstart::run },
    Part { name: "crash", run: crash::part },
];

/// One row of the summary.
struct Row {
    name: &'static str,
    seconds: f64,
    outcome: Outcome,
}

/// Runs all parts, or those that are named.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| argument == "--list") {
        for part in &PARTS {
            println!("{}", part.name);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = arguments.iter().find(|name| PARTS.iter().all(|part| part.name != name.as_str())) {
        println!("there is no part {unknown:?}; `cargo xtask test --list` lists them");
        return ExitCode::FAILURE;
    }
    let place = match Place::find() {
        Ok(place) => place,
        Err(error) => {
            println!("cannot write below the target directory: {error}");
            return ExitCode::FAILURE;
        }
    };
    let is_wanted = |part: &&Part| arguments.is_empty() || arguments.iter().any(|name| name == part.name);
    let mut rows = Vec::new();
    for part in PARTS.iter().filter(is_wanted) {
        println!("{} …", part.name);
        let start = Instant::now();
        let outcome = (part.run)(&place);
        let seconds = start.elapsed().as_secs_f64();
        match &outcome {
            Outcome::Passed(note) => println!("{} passed in {seconds:.1} s: {note}", part.name),
            Outcome::Skipped(why) => println!("{} skipped: {why}", part.name),
            Outcome::Failed(why) => println!("{why}\n{} FAILED after {seconds:.1} s", part.name),
        }
        rows.push(Row { name: part.name, seconds, outcome });
    }
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    let (text, is_green) = summary(&rows, is_ci);
    print!("{text}");
    if is_green { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The table at the end, and whether all is well.
fn summary(rows: &[Row], is_ci: bool) -> (String, bool) {
    let mut lines = vec![String::new()];
    let (mut passed, mut failed, mut skipped) = (0, 0, Vec::new());
    for Row { name, seconds, outcome } in rows {
        let word = match outcome {
            Outcome::Passed(_) => {
                passed += 1;
                "passed"
            }
            Outcome::Failed(_) => {
                failed += 1;
                "FAILED"
            }
            Outcome::Skipped(_) if is_ci => {
                failed += 1;
                "FAILED (skipped, which is not allowed here)"
            }
            Outcome::Skipped(_) => {
                skipped.push(*name);
                "skipped"
            }
        };
        lines.push(format!("  {name:<14} {seconds:>7.1} s  {word}"));
    }
    if !skipped.is_empty() {
        lines.push(format!("skipped: {}", skipped.join(", ")));
    }
    lines.push(format!("{passed} passed, {failed} failed\n"));
    (lines.join("\n"), failed == 0)
}

/// Passed with the last line of the output, where the program succeeds.
fn succeeds(place: &Place, name: &str, command: Command) -> Outcome {
    match run_command(place, name, command) {
        Ok(output) => Outcome::Passed(tail(&output, 1).trim().to_owned()),
        Err(failed) => failed,
    }
}

fn format(place: &Place) -> Outcome {
    match run_command(place, "format", place.cargo(&["fmt", "--all", "--check"])) {
        Ok(_) => Outcome::Passed("as rustfmt writes it".to_owned()),
        Err(failed) => failed,
    }
}

fn clippy(place: &Place) -> Outcome {
    let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--"];
    let lints = ["-D", "warnings", "-D", "clippy::allow_attributes_without_reason"];
    succeeds(place, "clippy", place.cargo(&[arguments.as_slice(), &lints].concat()))
}

fn rustdoc(place: &Place) -> Outcome {
    let mut command = place.cargo(&["doc", "--workspace", "--all-features", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    succeeds(place, "rustdoc", command)
}

fn model(place: &Place) -> Outcome {
    own_command(place, "model", &["model"])
}

fn planted(place: &Place) -> Outcome {
    own_command(place, "planted", &["model", "--planted"])
}

fn fuzz(place: &Place) -> Outcome {
    own_command(place, "fuzz", &["fuzz", "--seconds", "5"])
}

fn simulate(place: &Place) -> Outcome {
    own_command(place, "simulate", &["simulate", "--seeds", "100000"])
}

fn simulate_planted(place: &Place) -> Outcome {
    own_command(place, "simulate-planted", &["simulate", "--planted"])
}

fn nginx_cpu(place: &Place) -> Outcome {
    own_command(place, "nginx-cpu", &["bench", "nginx"])
}

/// Another command of this program.
fn own_command(place: &Place, name: &str, arguments: &[&str]) -> Outcome {
    match std::env::current_exe() {
        Ok(program) => {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(&place.root);
            succeeds(place, name, command)
        }
        Err(error) => Outcome::Failed(format!("this program does not find itself: {error}")),
    }
}

fn tests(place: &Place) -> Outcome {
    tool::install("strace", "strace");
    if let Err(missing) = tool::nginx() {
        return Outcome::Failed(missing);
    }
    let arguments = ["test", "--workspace", "--all-features", "--all-targets", "--no-fail-fast"];
    counted(place, "tests", place.cargo(&arguments))
}

fn doctests(place: &Place) -> Outcome {
    counted(
        place,
        "doctests",
        place.cargo(&["test", "--workspace", "--all-features", "--doc", "--no-fail-fast"]),
    )
}

fn counted(place: &Place, name: &str, command: Command) -> Outcome {
    match run_command(place, name, command) {
        Ok(output) => {
            figures(&output).for_each(|line| println!("{line}"));
            verdict_on_tests(&output)
        }
        Err(failed) => failed,
    }
}

/// What tests measured: the lines with a number that are indented by four, but for those of cargo.
fn figures(output: &str) -> impl Iterator<Item = &str> {
    let of_cargo = |line: &str| {
        let words = ["Finished", "Checking", "Updating", "Blocking", "Building"];
        words.iter().any(|word| line.starts_with(word))
    };
    output.lines().filter(move |line| {
        let text = line.strip_prefix("    ").unwrap_or_default();
        !text.starts_with(' ') && !of_cargo(text) && text.contains(|c: char| c.is_ascii_digit())
    })
}

/// A run without a single test, and one that ignores some, proves nothing.
fn verdict_on_tests(output: &str) -> Outcome {
    let (mut passed, mut ignored) = (0, 0);
    for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
        for part in line.split([';', '.']) {
            let mut words = part.split_whitespace();
            match (words.next().and_then(|number| number.parse::<u64>().ok()), words.next()) {
                (Some(number), Some("passed")) => passed += number,
                (Some(number), Some("ignored")) => ignored += number,
                _ => {}
            }
        }
    }
    match (passed, ignored) {
        (0, _) => Outcome::Failed("not a single test ran".to_owned()),
        (_, 0) => Outcome::Passed(format!("{passed} tests")),
        _ => Outcome::Failed(format!("{ignored} tests are ignored: make them run or remove them")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, outcome: Outcome) -> Row {
        Row { name, seconds: 1.0, outcome }
    }

    fn rows() -> [Row; 2] {
        [row("a", Outcome::Passed(String::new())), row("b", Outcome::Skipped("no b here".into()))]
    }

    #[test]
    fn the_last_line_counts() {
        let (text, is_green) = summary(&rows(), false);
        assert!(text.ends_with("skipped: b\n1 passed, 0 failed\n"), "{text}");
        assert!(is_green);
        let (text, is_green) = summary(&[row("a", Outcome::Failed("x".into()))], false);
        assert!(text.ends_with("\n0 passed, 1 failed\n") && !is_green, "{text}");
    }

    #[test]
    fn what_is_skipped_in_ci_has_failed() {
        let (text, is_green) = summary(&rows(), true);
        assert!(text.ends_with("\n1 passed, 1 failed\n") && !is_green, "{text}");
    }

    #[test]
    fn figures_are_what_tests_measured() {
        let output = "    Finished `test` profile in 58.76s\n     Running tests/x.rs\n    live router: failed 0 of 9\n\
                      test x ... ok\n    not a number\n";
        assert_eq!(figures(output).collect::<Vec<_>>(), ["    live router: failed 0 of 9"]);
    }

    #[test]
    fn ignored_and_missing_tests_are_failures() {
        let line = |passed, ignored| {
            format!(
                "running 3 tests\ntest result: ok. {passed} passed; 0 failed; {ignored} ignored; 0 measured; \
                 0 filtered out; finished in 0.18s\n"
            )
        };
        let two = line(2, 0) + &line(3, 0);
        assert_eq!(verdict_on_tests(&two), Outcome::Passed("5 tests".into()));
        assert!(matches!(verdict_on_tests(&line(2, 1)), Outcome::Failed(_)));
        assert!(matches!(verdict_on_tests(&line(0, 0)), Outcome::Failed(_)));
        assert!(matches!(verdict_on_tests(""), Outcome::Failed(_)));
    }
}
