//! The helper as a program of its own, for deployers that cannot call `deployer_local::init` first.

use std::{io::Write as _, process::ExitCode};

fn main() -> ExitCode {
    deployer_local::init();
    let text = "this is started by deployer-local as its helper; there is nothing to do by hand";
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(2)
}
