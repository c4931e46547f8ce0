//! Where a program turns into the demo application.

use std::{env, ffi::OsString, io::Write as _, process};

use deployer_core::{
    error::report,
    ports::{Clock as _, SystemClock},
};

use super::{AppSettings, server};

/// First argument of a program that shall be the demo application.
pub const MARKER: &str = "__deployer_demo_app";

/// Exit code for settings that are not understood (`EX_USAGE` of `sysexits.h`).
const USAGE: i32 = 64;

/// Turns this program into the demo application if its first argument is [`MARKER`], and then never returns; else
/// does nothing. To be called first in `main`, before threads and runtimes.
///
/// ```
/// deployer_testkit::app::run_if_asked();
/// // … the program itself …
/// ```
pub fn run_if_asked() {
    let started_at = SystemClock::new().now();
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != MARKER) {
        return;
    }
    // What is not text cannot be a setting: it is shown with replacement characters and refused, or ignored.
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let environment = env::vars_os().map(|(name, value)| (text(name), text(value)));
    let settings =
        AppSettings::parse(environment, arguments.map(text)).unwrap_or_else(|error| end(USAGE, &error));
    if let Some(code) = settings.exit_at_start {
        end(code.into(), &"asked to exit at start");
    }
    match server::run(&settings, started_at) {
        Ok(()) => end(0, &"drained"),
        Err(error) => end(1, &report(&error)),
    }
}

fn end(code: i32, why: &dyn std::fmt::Display) -> ! {
    // Standard error may be closed; the exit code says enough.
    let _ = writeln!(std::io::stderr(), "demo application: {why}");
    #[expect(clippy::exit, reason = "this process is the demo application, whatever program it began as")]
    process::exit(code)
}
