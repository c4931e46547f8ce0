//! The table of all scenarios, made from a run.

use std::{fmt::Write as _, fs, path::PathBuf};

use deployer_testkit::cases::say;

use crate::list::{Scenario, Verdict, result};

const HEAD: &str = "\
# The field's scenarios

What deployment tools of the field are tested with, by number (K: tools for Kubernetes, D: tools for Docker and for
plain hosts), in our words and as it is here. Those with a result are played by the production engine in the fake world,
in virtual time. This file is what `cargo xtask scenarios` printed: a run fails if it would print another.
";

/// Shows the table if that is asked for, and fails if the file has another. A run of some scenarios proves nothing
/// about the rest, so then there is none.
pub(crate) fn conclude(scenarios: &[Scenario], arguments: &[String]) -> Result<(), String> {
    let asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let played = |scenario: &&Scenario| match scenario.verdict {
        Verdict::Run(_) => result(scenario.number).is_some(),
        Verdict::Elsewhere { .. } => true,
    };
    if scenarios.iter().filter(played).count() < scenarios.len() {
        return if asked("--table") || asked("--write") {
            Err("not every scenario was played, so there is no table".to_owned())
        } else {
            Ok(())
        };
    }
    let table = table(scenarios);
    if asked("--table") {
        say(&table);
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/README.md");
    if asked("--write") {
        return fs::write(&file, table).map_err(|error| format!("cannot write {}: {error}", file.display()));
    }
    if fs::read_to_string(&file).is_ok_and(|written| written == table) {
        return Ok(());
    }
    Err("tests/scenarios/README.md does not say what this run found; `cargo xtask scenarios --write` renews it"
        .to_owned())
}

fn table(scenarios: &[Scenario]) -> String {
    let mut text = HEAD.to_owned();
    let count = |is_it: fn(&Verdict) -> bool| scenarios.iter().filter(|one| is_it(&one.verdict)).count();
    let run = count(|verdict| matches!(verdict, Verdict::Run(_)));
    let passed = scenarios.iter().filter(|one| result(one.number) == Some(true)).count();
    let elsewhere = count(|verdict| matches!(verdict, Verdict::Elsewhere { .. }));
    let _ = write!(
        text,
        "\n{} scenarios: {run} played, {passed} of them passed; {elsewhere} belong elsewhere.\n\n| number | scenario | result |\n|---|---|---|\n",
        scenarios.len()
    );
    for Scenario { number, title, verdict } in scenarios {
        let how = match verdict {
            Verdict::Run(_) if result(number) == Some(true) => "passed".to_owned(),
            Verdict::Run(_) => "**FAILED**".to_owned(),
            Verdict::Elsewhere { home, why } => format!("{home}: {why}"),
        };
        let _ = writeln!(text, "| {number} | {title} | {how} |");
    }
    text
}
