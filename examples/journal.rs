//! Reading journals: what was decided and done, and whether anybody changed it since.
//!
//! `cargo run --example journal -- show FILE…` prints the events of journals, `-- verify FILE…` checks their hash chains.
//! Without arguments a journal is made in a fake world, shown, verified, changed, and verified again.
#![allow(clippy::print_stderr, reason = "an example talks to people")]

use std::{path::Path, process::ExitCode, sync::Arc};

use deployer::{
    engine::Deployment,
    event::line,
    journal::{FileJournal, read},
    model::ReleaseId,
    strategy::Recreate,
};
use deployer_testkit::{
    TestClock,
    cases::say,
    world::{World, WorldSettings},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--json").collect();
    let done = match arguments.split_first() {
        None => demonstrate(),
        Some((word, files)) if word == "show" => files.iter().try_for_each(|file| show(Path::new(file))),
        Some((word, files)) if word == "verify" => files.iter().try_for_each(|file| verify(Path::new(file))),
        Some((word, _)) => Err(format!("unknown word {word:?}; use show or verify").into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("journal: {error}");
            ExitCode::FAILURE
        }
    }
}

type Done = Result<(), Box<dyn std::error::Error>>;

/// What happened, a line each.
fn show(file: &Path) -> Done {
    for event in read(&std::fs::read(file)?, &name(file))?.events {
        say(&format!("{:>3} {}", event.seq, line(&event)));
    }
    Ok(())
}

/// Every record is the one that was written, none is missing in the middle, and the last is whole.
fn verify(file: &Path) -> Done {
    let bytes = std::fs::read(file)?;
    let contents = read(&bytes, &name(file))?;
    let torn = bytes.len() as u64 - contents.length;
    let tail = if torn == 0 { String::new() } else { format!(", and {torn} bytes of one never finished") };
    say(&format!("{}: {} records, all as they were written{tail}", name(file), contents.events.len()));
    Ok(())
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn demonstrate() -> Done {
    let directory = tempfile::tempdir()?;
    let clock = Arc::new(TestClock::new());
    let world = World::new(WorldSettings::default(), clock.clone());
    Deployment::builder("web")
        .id("first")
        .release(World::release(ReleaseId::new("v1")?).release)
        .replicas(2)
        .strategy(Recreate::default())
        .target(world.target())
        .router(world.router())
        .journal(FileJournal::open(directory.path())?)
        .clock(clock)
        .build()?
        .run()
        .await?;

    let file = directory.path().join("web/first.jsonl");
    show_without_owner(&file)?;
    verify(&file)?;

    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replacen("\"replicas\":2", "\"replicas\":3", 1))?;
    match verify(&file) {
        Err(error) => say(&format!("somebody made 3 out of 2: {error}")),
        Ok(()) => return Err("a changed journal was taken for a good one".into()),
    }
    std::fs::write(&file, &text[..text.len() - 40])?;
    verify(&file)
}

/// The owner is this process, another one in each run.
fn show_without_owner(file: &Path) -> Done {
    for event in read(&std::fs::read(file)?, &name(file))?.events {
        let line = line(&event);
        let line = line.split_once(", by ").map_or(line.clone(), |(before, rest)| {
            let stages = rest.split_once(": ").map(|(_, stages)| format!(": {stages}")).unwrap_or_default();
            format!("{before}{stages}")
        });
        say(&format!("{:>3} {line}", event.seq));
    }
    Ok(())
}
