//! The suite for notifiers.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    event::{Event, EventKind},
    model::{Epoch, Timestamp},
    ports::Notifier,
};

use super::{
    ConformanceReport,
    check::{Check, Checked, Suite, ensure, failed, not_applicable, poll_and_drop, until},
    scope,
};

/// What the [notifier suite](notifier) needs to know of an implementation.
#[async_trait]
pub trait NotifierRig: Debug + Send + Sync {
    /// A notifier whose receiver listens.
    async fn notifier(&self) -> Arc<dyn Notifier>;

    /// Whether the receiver was told of an event that has this text in it; `None` if the rig cannot look.
    async fn was_told(&self, text: &str) -> Option<bool> {
        let _ = text;
        None
    }

    /// A notifier whose receiver refuses; `None` if it cannot be had.
    async fn refusing(&self) -> Option<Arc<dyn Notifier>> {
        None
    }

    /// A notifier whose receiver takes the call and never answers; `None` if it cannot be had.
    async fn hanging(&self) -> Option<Arc<dyn Notifier>> {
        None
    }

    /// How long a call may take, and until the receiver knows.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}

const TELLS: Check = Check {
    name: "it-tells",
    proves: "`notify` tells of every event, whatever characters are in it",
    matters: "nobody learns that a release was taken back",
};

const REFUSED: Check = Check {
    name: "a-refusal-is-an-error",
    proves: "`notify` fails if the event could not be delivered",
    matters: "the log says that somebody was told who was not",
};

const HANGS: Check = Check {
    name: "a-receiver-that-hangs-is-given-up",
    proves: "`notify` is bounded by itself: a receiver that never answers is an error",
    matters: "events pile up behind it until none can be told",
};

const DROPPED: Check = Check {
    name: "a-notification-can-be-dropped",
    proves: "a call that was dropped does not disturb the next",
    matters: "one event that was given up silences all that follow",
};

/// Whether a notifier keeps the contract of [`Notifier`].
pub async fn notifier(rig: &dyn NotifierRig) -> ConformanceReport {
    let name = format!("{:?}", rig.notifier().await);
    let name = name.split(['(', ' ', '{']).next().unwrap_or_default().to_owned();
    let mut suite = Suite::new("Notifier", name, rig.patience() * 6);
    suite.run(TELLS, tells(rig)).await;
    suite.run(REFUSED, refused(rig)).await;
    suite.run(HANGS, hangs(rig)).await;
    suite.run(DROPPED, dropped(rig)).await;
    suite.finish()
}

fn event(seq: u64, message: &str) -> Event {
    Event {
        deployment: scope::fresh_deployment(),
        seq,
        epoch: Epoch(1),
        at: Timestamp::from_millis(1_767_225_600_000),
        path: Vec::new(),
        kind: EventKind::Note { message: message.to_owned() },
    }
}

async fn told(rig: &dyn NotifierRig, notifier: &dyn Notifier, event: &Event, text: &str) -> Checked {
    scope::works("notify", rig.patience(), notifier.notify(event)).await?;
    until(rig.patience(), "the receiver was told", async || {
        let told = rig.was_told(text).await.unwrap_or(true);
        Ok(if told { Ok(()) } else { Err(format!("it has not heard of {text:?}")) })
    })
    .await
}

async fn tells(rig: &dyn NotifierRig) -> Checked {
    let notifier = rig.notifier().await;
    let hostile = "\"quoted\" 'single' \\ line\nbreak <b>&amp; $(x) `y` 漢字 🚀 \u{7f}";
    let messages = ["plain words".to_owned(), hostile.to_owned(), "x".repeat(64 * 1024)];
    for (seq, message) in messages.iter().enumerate() {
        let event = event(seq as u64, message);
        told(rig, &*notifier, &event, event.deployment.as_str()).await?;
    }
    Ok(())
}

async fn refused(rig: &dyn NotifierRig) -> Checked {
    let Some(notifier) = rig.refusing().await else {
        return Err(not_applicable("the rig has no receiver that refuses"));
    };
    let told = scope::within("notify", rig.patience(), notifier.notify(&event(0, "refused"))).await?;
    ensure(told.is_err(), || "`Ok`", "an error")
}

async fn hangs(rig: &dyn NotifierRig) -> Checked {
    let Some(notifier) = rig.hanging().await else {
        return Err(not_applicable("the rig has no receiver that hangs"));
    };
    match scope::within("notify", rig.patience(), notifier.notify(&event(0, "hangs"))).await? {
        Err(_) => Ok(()),
        Ok(()) => Err(failed("`Ok`", "an error in time")),
    }
}

async fn dropped(rig: &dyn NotifierRig) -> Checked {
    let notifier = rig.notifier().await;
    for polls in [0, 1, 2, 3, 5] {
        poll_and_drop(notifier.notify(&event(0, "dropped")), polls).await;
        let next = event(1, "next");
        told(rig, &*notifier, &next, next.deployment.as_str()).await?;
    }
    Ok(())
}
