//! Secret values that backends and instances echo.

use std::fmt::Write as _;

use deployer_core::{
    engine::Deployment,
    error::ErrorKind,
    event::line,
    lock::MemoryLock,
    model::WorkloadId,
    pipeline::{Pipeline, Stage, StageError},
    ports::{Journal as _, Secret},
    redact::Redactor,
};
use futures::StreamExt as _;

use crate::{describe, release, world::World};

const SECRET: &str = "hunter2/pass word";
/// The value, in a URL, and after `user:` in base64.
const ECHO: &str = ": hunter2/pass word, hunter2%2Fpass%20word, dXNlcjpodW50ZXIyL3Bhc3Mgd29yZA==";

fn redactor() -> Redactor {
    let redactor = Redactor::new();
    assert!(redactor.register(&Secret::new(SECRET)));
    redactor
}

fn assert_clean(what: &str, text: &str) {
    for part in ["hunter2", "pass word", "pass%20word", "h1bnRlcjI", "odW50ZXIy"] {
        assert!(!text.contains(part), "{what} has {part}: {text}");
    }
}

/// Runs it; all that it told.
async fn told(world: &World, deployment: Deployment) -> String {
    let events = deployment.events();
    let (result, events) = tokio::join!(deployment.run(), events.collect::<Vec<_>>());
    let mut text = match &result {
        Ok(report) => format!("{report}\n"),
        Err(error) => format!("{error}\n{error:?}\n"),
    };
    for event in &events {
        writeln!(text, "{}\n{}", line(event), serde_json::to_string(event).unwrap()).unwrap();
    }
    if let Some(report) = deployment.report() {
        writeln!(text, "{report}\n{}", serde_json::to_string(&report).unwrap()).unwrap();
    }
    for name in world.journal.list(&WorkloadId::new("web").unwrap()).await.unwrap() {
        text += &String::from_utf8(world.journal.bytes(&name).unwrap()).unwrap();
    }
    text
}

#[tokio::test(start_paused = true)]
async fn what_backends_echo_is_masked_wherever_it_goes() {
    type Harm<'a> = &'a dyn Fn(&World);
    let refusing = |call, times, kind| {
        move |world: &World| {
            world.inner().failing.insert(call, (times, kind));
        }
    };
    let breaks: [(&str, Harm<'_>); 4] = [
        ("a failing release", &|world| {
            world.inner().bad.insert(release("v2").id);
        }),
        ("a refused call", &refusing("apply", 9, ErrorKind::PermissionDenied)),
        ("calls made again", &refusing("shift", 99, ErrorKind::Unavailable)),
        ("a look that fails", &refusing("observe", 1, ErrorKind::Unavailable)),
    ];
    for (what, harm) in breaks {
        for masked in [true, false] {
            let (world, lock) = (World::new(), MemoryLock::new());
            describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
            world.inner().echo = ECHO.into();
            harm(&world);
            let builder = describe(&world, &lock, "v2");
            let builder = if masked { builder.redact(&redactor()) } else { builder };
            let text = told(&world, builder.build().unwrap()).await;
            if masked {
                assert_clean(what, &text);
                assert!(text.contains("***"), "{what}");
            } else {
                assert!(text.contains("hunter2/pass word"), "{what} tests nothing: {text}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_stages_tell_and_give_is_masked_too() {
    let (world, lock) = (World::new(), MemoryLock::new());
    let gives = Stage::new("gives", |context| async move {
        context.note(format!("connected as {SECRET}"));
        Ok::<_, StageError>(serde_json::json!({ "urls": [format!("db://{SECRET}@host")] }))
    });
    let fails =
        Stage::new("fails", |_| async { Err::<(), _>(StageError::new(format!("psql {SECRET} failed"))) });
    let deployment = Pipeline::builder("shop")
        .workload("web")
        .stage(gives.no_undo().repeatable())
        .stage(fails.no_undo().repeatable())
        .journal(world.clone())
        .lock(lock)
        .clock(world.clock.clone())
        .redact(&redactor())
        .build()
        .unwrap();
    let text = told(&world, deployment).await;
    assert_clean("a stage", &text);
    assert!(text.contains("db://***@host") && text.contains("psql *** failed"), "{text}");
}
