//! `cargo xtask mutants`: small mistakes, planted one by one in the strategies, and whether the tests find them.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::command::Place;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is changed.
const FILES: &str = "deployer-core/src/strategy/**";
/// At least so many of a hundred have to be caught.
const GOAL: f64 = 90.0;

/// The tests, the quickest first; what one stage catches the next ones do not see.
const STAGES: [Stage; 3] = [
    Stage {
        name: "unit tests",
        seconds: 120,
        arguments: &["-p", "deployer-core", "--lib", "--test", "preview", "--test", "strategy_*"],
    },
    Stage { name: "model", seconds: 240, arguments: &["-p", "deployer-testkit", "--test", "model_small"] },
    Stage { name: "rollouts", seconds: 240, arguments: &["-p", "deployer", "--test", "rollouts"] },
];

struct Stage {
    name: &'static str,
    /// How much CPU time a program of it may take; the time that passes is bounded by ten times as much, as the machine
    /// may have other things to do.
    seconds: u32,
    arguments: &'static [&'static str],
}

/// One mistake, as `cargo mutants --list --json` says it.
#[derive(Debug, Deserialize)]
struct Mutant {
    file: String,
    name: String,
    replacement: String,
    span: Span,
}

#[derive(Debug, Deserialize)]
struct Span {
    start: Position,
    end: Position,
}

/// From 1, in characters.
#[derive(Debug, Deserialize)]
struct Position {
    line: usize,
    column: usize,
}

/// How it went with one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Verdict {
    name: String,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Caught,
    TimedOut,
    Missed,
    /// It does not compile.
    Unviable,
}

/// Runs as many as there is time for, going on where the last run stopped.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    match run_inside(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("mutants: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_inside(arguments: &[String]) -> Result<bool, Failure> {
    let mut minutes = None;
    let mut again = false;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--minutes" => minutes = Some(words.next().ok_or("--minutes wants a number")?.parse::<u32>()?),
            "--missed" => again = true,
            other => {
                return Err(format!("unknown argument {other:?}: there are --minutes N and --missed").into());
            }
        }
    }
    let place = Place::find()?;
    let until = minutes.map(|minutes| Instant::now() + Duration::from_secs(60) * minutes);
    let garden = Garden::lay_out(&place)?;
    let mutants = list(&place)?;
    let mut verdicts = garden.verdicts()?;
    if let Some(failed) = garden.stages()? {
        return Err(format!("the {failed} fail without a mistake; see {}", garden.log.display()).into());
    }
    for mutant in in_fair_order(&mutants) {
        let known = verdicts.get(&mutant.name).copied();
        if known.is_some_and(|end| !(again && end == End::Missed)) || (again && known.is_none()) {
            continue;
        }
        if until.is_some_and(|until| Instant::now() > until) {
            break;
        }
        let began = Instant::now();
        let end = garden.plant(mutant)?;
        println!("{end:?} in {:.0} s: {}", began.elapsed().as_secs_f64(), mutant.name);
        garden.keep(&Verdict { name: mutant.name.clone(), end })?;
        verdicts.insert(mutant.name.clone(), end);
    }
    verdicts.retain(|name, _| mutants.iter().any(|mutant| mutant.name == *name));
    let (text, is_enough) = figures(mutants.len(), &verdicts);
    println!("{text}");
    Ok(is_enough)
}

/// Installs `cargo-mutants` where it is missing; it knows what to change, the rest is done here.
fn list(place: &Place) -> Result<Vec<Mutant>, Failure> {
    if !place.cargo(&["mutants", "--version"]).output()?.status.success() {
        let status = place.cargo(&["install", "--locked", "--quiet", "cargo-mutants"]).status()?;
        if !status.success() {
            return Err("cargo-mutants could not be installed".into());
        }
    }
    let output =
        place.cargo(&["mutants", "--list", "--json", "-p", "deployer-core", "-f", FILES]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// An order in which every beginning is a fair sample, the same in each run.
fn in_fair_order(mutants: &[Mutant]) -> Vec<&Mutant> {
    let mut ordered: Vec<&Mutant> = mutants.iter().collect();
    let hash = |mutant: &Mutant| {
        mutant.name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
        })
    };
    ordered.sort_by_key(|mutant| hash(mutant));
    ordered
}

/// A copy of the workspace in which mistakes are planted.
struct Garden {
    root: PathBuf,
    tree: PathBuf,
    outcomes: PathBuf,
    log: PathBuf,
}

impl Garden {
    fn lay_out(place: &Place) -> Result<Self, Failure> {
        let target = place.logs.parent().unwrap_or(&place.logs).join("mutants");
        let tree = target.join("tree");
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&place.root)
            .output()?;
        for name in listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = String::from_utf8(name.to_vec())?;
            copy_if_changed(&place.root.join(&name), &tree.join(&name))?;
        }
        let (outcomes, log) = (target.join("outcomes.jsonl"), target.join("last.log"));
        Ok(Self { root: place.root.clone(), tree, outcomes, log })
    }

    /// What earlier runs found; later ones count.
    fn verdicts(&self) -> Result<BTreeMap<String, End>, Failure> {
        let text = match fs::read_to_string(&self.outcomes) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            text => text?,
        };
        let verdicts = text.lines().map(serde_json::from_str::<Verdict>);
        Ok(verdicts.map(|verdict| verdict.map(|it| (it.name, it.end))).collect::<Result<_, _>>()?)
    }

    fn keep(&self, verdict: &Verdict) -> Result<(), Failure> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.outcomes)?;
        Ok(file.write_all(format!("{}\n", serde_json::to_string(verdict)?).as_bytes())?)
    }

    fn plant(&self, mutant: &Mutant) -> Result<End, Failure> {
        let path = self.tree.join(&mutant.file);
        let text = fs::read_to_string(self.root.join(&mutant.file))?;
        fs::write(
            &path,
            planted(&text, &mutant.span, &mutant.replacement).ok_or("the list is out of date")?,
        )?;
        let end = self.judge();
        fs::write(&path, text)?;
        end
    }

    fn judge(&self) -> Result<End, Failure> {
        for stage in &STAGES {
            match self.build(stage)? {
                Some(0) => {}
                Some(124 | 137) => {
                    return Err("a build takes too long; is the machine busy with other things?".into());
                }
                _ => return Ok(End::Unviable),
            }
            match self.cargo(stage, &[])? {
                Some(0) => {}
                // What `timeout` ends with.
                Some(124 | 137) => return Ok(End::TimedOut),
                _ => return Ok(End::Caught),
            }
        }
        Ok(End::Missed)
    }

    /// The first stage that fails as things are.
    fn stages(&self) -> Result<Option<&'static str>, Failure> {
        for stage in &STAGES {
            self.build(stage)?;
            if self.cargo(stage, &[])? != Some(0) {
                return Ok(Some(stage.name));
            }
        }
        Ok(None)
    }

    /// Builds without the limit of the stage: the first time everything is built.
    fn build(&self, stage: &Stage) -> Result<Option<i32>, Failure> {
        self.cargo(&Stage { seconds: 1800, ..*stage }, &["--no-run"])
    }

    fn cargo(&self, stage: &Stage, more: &[&str]) -> Result<Option<i32>, Failure> {
        let log = fs::File::create(&self.log)?;
        let status = Command::new("nice")
            .args([
                "-n",
                "15",
                "timeout",
                "--kill-after=5",
                &(stage.seconds * 10).to_string(),
                "prlimit",
                &format!("--cpu={}", stage.seconds),
                "cargo",
                "test",
                "--quiet",
            ])
            .args(stage.arguments)
            .args(more)
            .env("CARGO_TARGET_DIR", self.tree.with_file_name("target"))
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUSTFLAGS", "--cap-lints allow")
            .current_dir(&self.tree)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()?;
        Ok(status.code())
    }
}

fn copy_if_changed(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = match fs::read(from) {
        // Deleted, and git does not know yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        bytes => bytes?,
    };
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(to, bytes)
}

/// The text with the span replaced; nothing if there is no such span.
fn planted(text: &str, span: &Span, replacement: &str) -> Option<String> {
    let offset = |position: &Position| {
        let before: usize =
            text.split_inclusive('\n').take(position.line.checked_sub(1)?).map(str::len).sum();
        let line = text[before..].split_inclusive('\n').next()?;
        let column =
            line.char_indices().map(|(at, _)| at).chain([line.len()]).nth(position.column.checked_sub(1)?)?;
        Some(before + column)
    };
    let (start, end) = (offset(&span.start)?, offset(&span.end)?);
    Some(format!("{}{replacement}{}", text.get(..start)?, text.get(end..)?))
}

/// What was found, and whether that is enough.
fn figures(all: usize, verdicts: &BTreeMap<String, End>) -> (String, bool) {
    let count = |end: End| verdicts.values().filter(|verdict| **verdict == end).count();
    let (caught, late, missed) = (count(End::Caught), count(End::TimedOut), count(End::Missed));
    let viable = caught + late + missed;
    let ratio = |part: usize| 100.0 * f64::from(u32::try_from(part).unwrap_or(u32::MAX));
    let rate = ratio(caught + late) / f64::from(u32::try_from(viable.max(1)).unwrap_or(u32::MAX));
    let mut lines: Vec<String> = verdicts
        .iter()
        .filter(|(_, end)| **end == End::Missed)
        .map(|(name, _)| format!("missed: {name}"))
        .collect();
    lines.push(format!(
        "{} of {all} mutants planted: {caught} caught, {late} caught by their time-out, {missed} missed, {} unviable; \
         {rate:.1} % of the viable ones caught",
        verdicts.len(),
        count(End::Unviable)
    ));
    (lines.join("\n"), viable > 0 && rate >= GOAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_replaced_where_it_is() {
        let at = |line, column| Position { line, column };
        let span = Span { start: at(2, 3), end: at(2, 5) };
        assert_eq!(planted("a\nü > b\n", &span, "< "), Some("a\nü < b\n".into()));
        let span = Span { start: at(1, 1), end: at(2, 1) };
        assert_eq!(planted("a\nb", &span, ""), Some("b".into()));
        let span = Span { start: at(9, 1), end: at(9, 2) };
        assert_eq!(planted("a\nb", &span, ""), None);
    }

    #[test]
    fn unviable_mutants_do_not_count_and_nothing_is_not_enough() {
        let verdict = |name: &str, end| (name.to_owned(), end);
        assert!(!figures(3, &BTreeMap::new()).1);
        let mut verdicts = BTreeMap::from([verdict("a", End::Caught), verdict("b", End::Unviable)]);
        let (text, is_enough) = figures(9, &verdicts);
        assert!(is_enough && text.ends_with("100.0 % of the viable ones caught"), "{text}");
        verdicts.extend([verdict("c", End::Missed), verdict("d", End::TimedOut)]);
        let (text, is_enough) = figures(9, &verdicts);
        assert!(!is_enough && text.contains("missed: c\n") && text.contains("66.7 %"), "{text}");
    }
}
