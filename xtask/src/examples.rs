//! The examples: each has to print what is written in `examples/golden/<name>.txt`, line by line.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use crate::command::{Outcome, Place, run as run_command};

/// In these, deployments take real time, so the figures of their last line differ from run to run.
const IN_REAL_TIME: [&str; 4] = ["custom_target", "nginx_blue_green", "nginx_canary", "resume"];

/// It has a part of its own, with promises instead of lines.
const ELSEWHERE: &str = "quickstart";

/// How many lines that differ are shown for one example.
const SHOWN: usize = 40;

/// Compares all examples with what they should print.
pub(crate) fn part(place: &Place) -> Outcome {
    examine(place, false)
}

/// `cargo xtask examples`; with `--write` the files are renewed.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let is_writing = match arguments {
        [] => false,
        [flag] if flag == "--write" => true,
        _ => {
            println!("usage: cargo xtask examples [--write]");
            return ExitCode::FAILURE;
        }
    };
    let outcome = match Place::find() {
        Ok(place) => examine(&place, is_writing),
        Err(error) => Outcome::Failed(format!("cannot write below the target directory: {error}")),
    };
    match outcome {
        Outcome::Passed(note) | Outcome::Skipped(note) => {
            println!("{note}");
            ExitCode::SUCCESS
        }
        Outcome::Failed(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn examine(place: &Place, is_writing: bool) -> Outcome {
    // As the tests are built, so that nothing is built twice.
    let build = ["build", "--workspace", "--all-features", "--examples"];
    if let Err(failed) = run_command(place, "examples", place.cargo(&build)) {
        return failed;
    }
    let directory = place.root.join("examples");
    let (names, golden) = match names(&directory).and_then(|names| Ok((names, golden_names(&directory)?))) {
        Ok(found) => found,
        Err(error) => return Outcome::Failed(format!("could not read {}: {error}", directory.display())),
    };
    let mut problems: Vec<String> = golden
        .iter()
        .filter(|name| !names.contains(name))
        .map(|name| format!("{}: there is no such example, remove it", file(&directory, name).display()))
        .collect();
    for name in &names {
        let looked = printed(place, name).and_then(|printed| {
            let path = file(&directory, name);
            if is_writing { write(&path, &printed) } else { compare(&path, &printed) }
        });
        if let Err(why) = looked {
            problems.push(format!("{name}: {why}"));
        }
    }
    let done = if is_writing { "written" } else { "as expected" };
    Outcome::of(&problems, format!("{} examples {done}", names.len()))
}

/// Files and directories with examples.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file() {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.retain(|name| name != ELSEWHERE);
    names.sort();
    Ok(names)
}

fn golden_names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory.join("golden")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.path().file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn file(directory: &Path, name: &str) -> PathBuf {
    directory.join("golden").join(format!("{name}.txt"))
}

/// What an example prints for programs and people, without what differs from run to run.
fn printed(place: &Place, name: &str) -> Result<String, String> {
    let target = place.logs.parent().unwrap_or(&place.root);
    let program = target.join("debug/examples").join(name);
    let mut command = Command::new(&program);
    command.arg("--json").current_dir(&place.root).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("could not run {}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}\n{text}{errors}", output.status));
    }
    Ok(if IN_REAL_TIME.contains(&name) { without_figures(&text) } else { text })
}

/// Seconds and requests become 0; of failed requests it stays whether there were any.
fn without_figures(text: &str) -> String {
    let plain = with_number(text, "\"seconds\":", |_| "0");
    let plain = with_number(&plain, "\"requests\":", |_| "0");
    with_number(&plain, "\"failed\":", |number| if number == "0" { "0" } else { "1" })
}

/// All numbers after a key become others.
fn with_number(text: &str, key: &str, other: impl Fn(&str) -> &'static str) -> String {
    let mut parts = text.split(key);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|character: char| character.is_ascii_digit() || character == '.');
        let number = &part[..part.len() - rest.len()];
        plain.extend([key, if number.is_empty() { "" } else { other(number) }, rest]);
    }
    plain
}

fn write(path: &Path, printed: &str) -> Result<(), String> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, printed))
        .map_err(|error| format!("could not write {}: {error}", path.display()))
}

fn compare(path: &Path, printed: &str) -> Result<(), String> {
    let wanted = fs::read_to_string(path).map_err(|error| {
        format!("could not read {}: {error}; `cargo xtask examples --write` makes it", path.display())
    })?;
    let difference = difference(&wanted, printed);
    if difference.is_empty() {
        return Ok(());
    }
    let lines = difference.join("\n");
    Err(format!("prints other lines than {} has (-), namely these (+):\n{lines}", path.display()))
}

/// The lines that only one of two texts has, with their numbers there: between what both begin and end with.
fn difference(wanted: &str, printed: &str) -> Vec<String> {
    let (wanted, printed): (Vec<_>, Vec<_>) = (wanted.split('\n').collect(), printed.split('\n').collect());
    let same = wanted.iter().zip(&printed).take_while(|(one, other)| one == other).count();
    let (wanted, printed) = (&wanted[same..], &printed[same..]);
    let end = wanted.iter().rev().zip(printed.iter().rev()).take_while(|(one, other)| one == other).count();
    let only = |sign: char, lines: &[&str]| -> Vec<String> {
        let lines = lines[..lines.len() - end].iter().enumerate().take(SHOWN);
        lines.map(|(number, line)| format!("{sign}{:>4} {line}", same + number + 1)).collect()
    };
    [only('-', wanted), only('+', printed)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown_with_their_lines() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), Vec::<String>::new());
        assert_eq!(difference("a\nb\nc\n", "a\nx\ny\nc\n"), ["-   2 b", "+   2 x", "+   3 y"]);
        assert_eq!(difference("a\na\n", "a\n"), ["-   2 a"]);
        assert_eq!(difference("a\n", "a"), ["-   2 "], "the end of the last line counts");
        assert_eq!(difference("", "a\n"), ["+   1 a"]);
    }

    #[test]
    fn only_figures_are_taken_out() {
        let line =
            "took 3 s {\"seconds\":12.345,\"requests\":7,\"seconds\":0,\"failed\":17},{\"failed\":0}\n";
        let plain = "took 3 s {\"seconds\":0,\"requests\":0,\"seconds\":0,\"failed\":1},{\"failed\":0}\n";
        assert_eq!(without_figures(line), plain);
        let other = "{\"seconds\":null} \"seconds\":";
        assert_eq!(without_figures(other), other, "no number");
    }

    #[test]
    fn every_example_is_found() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.rs", "c.txt"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        for name in ["a", "golden", "quickstart"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        for name in ["a/main.rs", "quickstart/main.rs", "golden/b.txt"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        assert_eq!(names(directory.path()).unwrap(), ["a", "b"]);
        assert_eq!(golden_names(directory.path()).unwrap(), ["b"]);
        let missing = compare(&file(directory.path(), "a"), "x\n").unwrap_err();
        assert!(missing.contains("--write"), "{missing}");
        write(&file(directory.path(), "a"), "x\n").unwrap();
        assert_eq!(compare(&file(directory.path(), "a"), "x\n"), Ok(()));
        let other = compare(&file(directory.path(), "a"), "y\n").unwrap_err();
        assert!(other.ends_with("-   1 x\n+   1 y"), "{other}");
    }
}
