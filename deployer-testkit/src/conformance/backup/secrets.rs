//! Secrets stay where they are.

use std::fmt::Debug;

use super::{
    rig::BackupRig,
    stage::{Stage, on, request},
};
use crate::conformance::check::{Check, Checked, Suite, ensure, not_applicable};

/// Nothing else is like it.
const CANARY: &str = "canary-3f9b1c7e-yellow";

const SHOWN: Check = Check {
    name: "nothing-shows-a-secret",
    proves: "a secret of the provider is in no error, no `Debug`, no manifest and no list",
    matters: "errors and lists are logged and sent to chats, and the manifest lies beside the data",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn BackupRig) {
    on(suite, rig, SHOWN, shown).await;
}

fn is_hidden(what: &str, shown: &str) -> Checked {
    ensure(!shown.contains(CANARY), || format!("{what} shows the secret"), "the secret nowhere")
}

/// Neither for people nor for programmers, with all causes.
fn all_hidden(what: &str, error: &deployer_core::error::BackendError) -> Checked {
    is_hidden(what, &error.report())?;
    is_hidden(what, &format!("{error:?} {error:#?}"))
}

async fn shown(stage: &Stage) -> Checked {
    let Some(failing) = stage.stand.with_secret(CANARY, true) else {
        return Err(not_applicable("the rig has no provider with a secret"));
    };
    is_hidden("`Debug` of the provider", &format!("{failing:?} {failing:#?}"))?;
    let wanted = request("k1");
    match stage.answer("create", failing.create(&stage.context, &wanted)).await? {
        Err(error) => all_hidden("the error of a failed create", &error)?,
        Ok(made) => is_hidden("a backup", &format!("{made:?}"))?,
    }
    let Some(working) = stage.stand.with_secret(CANARY, false) else {
        return Err(not_applicable("the rig has no provider with a secret that works"));
    };
    is_hidden("`Debug` of the provider", &format!("{working:?} {working:#?}"))?;
    let found = stage.works("preflight", working.preflight(&stage.context)).await?;
    is_hidden("the answer of preflight", &format!("{found:?}"))?;
    let made = stage.works("create", working.create(&stage.context, &request("k2"))).await?;
    let listed = stage.works("list", working.list(&stage.context)).await?;
    hidden_in("the list", &(made, listed))?;
    let Some(stored) = stage.stand.stored().await else { return Ok(()) };
    is_hidden("what is stored", &String::from_utf8_lossy(&stored))
}

fn hidden_in(what: &str, value: &(impl Debug + serde::Serialize)) -> Checked {
    is_hidden(what, &format!("{value:?}"))?;
    is_hidden(what, &serde_json::to_string(value).unwrap_or_default())
}
