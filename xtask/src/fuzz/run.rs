//! Replays the corpus, then changes it by chance for a while.

use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{
    mutator::Mutator,
    seeds,
    targets::{LIMIT, TARGETS, Target},
};
use crate::command::Place;

/// How long each target is fuzzed unless `--seconds` says otherwise.
const SECONDS: u64 = 10;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Replays the corpus of each target and fuzzes it.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    match run_inside(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_inside(arguments: &[String]) -> Result<(), Failure> {
    let (mut seconds, mut seed, mut wanted) = (SECONDS, 1, Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut number =
            || words.next().ok_or(format!("{word} wants a number")).map(|text| text.parse::<u64>());
        match word.as_str() {
            "--seconds" => seconds = number()??,
            "--seed" => seed = number()??,
            "--renew" => return seeds::renew(&Place::find()?.root.join("fuzz/corpus")),
            name if TARGETS.iter().any(|target| target.name == name) => wanted.push(name),
            other => return Err(format!("unknown argument {other:?}; targets are {}", names()).into()),
        }
    }
    let directory = Place::find()?.root.join("fuzz");
    let mut summary = Vec::new();
    for target in TARGETS.iter().filter(|target| wanted.is_empty() || wanted.contains(&target.name)) {
        let corpus = corpus(&directory, target)?;
        let mut inputs: u64 = 0;
        for (_, input) in &corpus {
            try_one(&directory, target, input)?;
            inputs += 1;
        }
        let inputs_only: Vec<Vec<u8>> = corpus.into_iter().map(|(_, input)| input).collect();
        let mut mutator = Mutator::new(seed);
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            let input = &inputs_only[mutator.below(inputs_only.len())];
            let changed = mutator.change(input, &inputs_only);
            try_one(&directory, target, &changed)?;
            inputs += 1;
        }
        summary.push(format!("{} {inputs}", target.name));
    }
    println!("inputs with seed {seed}: {}", summary.join(", "));
    Ok(())
}

fn names() -> String {
    TARGETS.map(|target| target.name).join(", ")
}

/// Every file of a corpus, by its name.
fn corpus(directory: &Path, target: &Target) -> Result<Vec<(PathBuf, Vec<u8>)>, Failure> {
    let directory = directory.join("corpus").join(target.name);
    let mut files = Vec::new();
    for entry in fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))? {
        let path = entry?.path();
        let input = fs::read(&path)?;
        files.push((path, input));
    }
    files.sort();
    if files.is_empty() { Err(format!("{} is empty", directory.display()).into()) } else { Ok(files) }
}

/// Keeps an input that breaks a promise, to be replayed.
fn try_one(directory: &Path, target: &Target, input: &[u8]) -> Result<(), Failure> {
    let began = Instant::now();
    let result = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let took = began.elapsed();
    if result.is_ok() && took < LIMIT {
        return Ok(());
    }
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let found = directory.join("artifacts").join(target.name);
    fs::create_dir_all(&found)?;
    let path = found.join(format!("{hash:016x}"));
    fs::write(&path, input)?;
    let what = if result.is_err() { "breaks a promise" } else { "takes too long" };
    Err(format!(
        "an input of {} {what} (in {took:?}): {}; mend it, and move the file to the corpus",
        target.name,
        path.display()
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_corpus_is_replayed() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fuzz");
        for target in &TARGETS {
            for (path, input) in corpus(&directory, target).unwrap() {
                let result = panic::catch_unwind(|| (target.run)(&input));
                assert!(result.is_ok(), "{}", path.display());
            }
        }
    }

    #[test]
    fn the_corpus_of_nginx_reaches_what_it_should() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fuzz/corpus/nginx");
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        let built = |name: &str| {
            let split = serde_json::from_str(&read(name)).unwrap();
            let settings = deployer_nginx::NginxSettings::default();
            deployer_nginx::config::build(&"web".parse().unwrap(), 7, &split, &settings)
        };
        for name in ["serve.json", "maintenance.json"] {
            assert!(built(name).is_ok(), "{name}: {:?}", built(name));
        }
        assert!(built("hostile.json").is_err());
        for name in ["plain.conf", "lua.conf"] {
            assert!(deployer_nginx::syntax::parse(&read(name)).is_ok(), "{name}");
        }
        assert!(serde_json::from_str::<deployer_nginx::NginxSettings>(&read("settings.json")).is_ok());
    }
}
