//! Journals for the corpus, out of real runs in the fake world.

use std::{fs, path::Path, sync::Arc};

use deployer_core::{
    engine::{Deployment, DeploymentBuilder},
    journal::MemoryJournal,
    model::{DeploymentId, ReleaseId},
    pipeline::{Pipeline, Stage, StageError},
    ports::SystemClock,
    strategy::Rolling,
};
use deployer_testkit::world::{World, WorldSettings};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Writes the journals of the corpus anew: after the form of a record has changed, the old ones are refused at once and
/// reach nothing behind the reader.
pub(super) fn renew(corpus: &Path) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let Journals { first, second, undone } = runtime.block_on(journals())?;
    let half = cut(&second, 12);
    let newer = String::from_utf8_lossy(&cut(&first, 1)).replacen("\"format\":1", "\"format\":99", 1);
    let journal = corpus.join("journal");
    fs::write(journal.join("first.jsonl"), &first)?;
    fs::write(journal.join("rolling.jsonl"), &second)?;
    fs::write(journal.join("undone.jsonl"), &undone)?;
    fs::write(journal.join("torn.jsonl"), &second[..3000.min(second.len())])?;
    fs::write(journal.join("newer.jsonl"), newer)?;
    let history = corpus.join("history");
    fs::write(history.join("ended.jsonl"), [&first[..], &second[..]].concat())?;
    fs::write(history.join("open.jsonl"), [&first[..], &half[..]].concat())?;
    fs::write(history.join("undone.jsonl"), [&first[..], &undone[..]].concat())?;
    Ok(())
}

/// The first lines.
fn cut(journal: &[u8], lines: usize) -> Vec<u8> {
    journal.split_inclusive(|byte| *byte == b'\n').take(lines).collect::<Vec<_>>().concat()
}

struct Journals {
    first: Vec<u8>,
    second: Vec<u8>,
    undone: Vec<u8>,
}

/// v1, then v2 in its place, then a pipeline with v3 that is taken back.
async fn journals() -> Result<Journals, Failure> {
    let world = World::new(WorldSettings::default(), Arc::new(SystemClock::new()));
    let journal = Arc::new(MemoryJournal::new());
    let rollout = |release: &str| -> Result<DeploymentBuilder, Failure> {
        let release = World::release(ReleaseId::new(release)?).release;
        let rollout = Deployment::builder("web").release(release).replicas(2).strategy(Rolling::default());
        Ok(rollout.target(world.target()).router(world.router()).check(world.health()))
    };
    for (id, release) in [("d1", "v1"), ("d2", "v2")] {
        rollout(release)?.id(id).journal(journal.clone()).build()?.run().await?;
    }
    let fails = Stage::new("fails", |_| async { Err::<(), _>(StageError::new("on purpose")) });
    let pipeline = Pipeline::builder("shop").id("d3").journal(journal.clone());
    let pipeline = pipeline.rollout("web", rollout("v3")?).stage(fails.no_undo().repeatable());
    if pipeline.build()?.run().await.is_ok() {
        return Err("a stage that fails did not".into());
    }
    let bytes = |id: &str| -> Result<Vec<u8>, Failure> {
        journal.bytes(&DeploymentId::new(id)?).ok_or_else(|| format!("{id} left no journal").into())
    };
    Ok(Journals { first: bytes("d1")?, second: bytes("d2")?, undone: bytes("d3")? })
}

#[cfg(test)]
mod tests {
    use deployer_core::journal::read;

    use crate::command::Place;

    #[test]
    fn the_journals_of_the_corpus_are_of_today() {
        let corpus = Place::find().unwrap().root.join("fuzz/corpus/journal");
        for name in ["first", "rolling", "undone", "torn"] {
            let bytes = std::fs::read(corpus.join(name).with_extension("jsonl")).unwrap();
            let events = read(&bytes, name).expect("renew it: `cargo xtask fuzz --renew`").events;
            assert!(events.len() > 2, "{name}: {}", events.len());
        }
    }
}
