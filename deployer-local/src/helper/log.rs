//! The helper's own log: its standard error, which is `helper.log`.

use std::io::Write as _;

use super::instance::now;

/// One line with the time.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{} {text}", now());
}
