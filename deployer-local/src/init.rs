//! How a program becomes the helper.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{helper, launch};

/// Whether this program can be started as its own helper. Set once, so that a program without [`init`] is refused
/// instead of starting itself without end.
static CALLED: AtomicBool = AtomicBool::new(false);

/// Becomes the helper if this process was started as one, and otherwise returns at once.
///
/// It has to be the first line of `main`: everything before it also runs in the helper. Only a process that was
/// started by [`LocalHost`](crate::LocalHost) becomes a helper: with exactly its three arguments, and with the
/// variable `DEPLOYER_LOCAL_HELPER` naming the same directory.
///
/// ```
/// // fn main() {
/// deployer_local::init();
/// // The program itself follows.
/// ```
pub fn init() {
    CALLED.store(true, Ordering::Relaxed);
    if let Some((role, directory)) =
        launch::asked_for(std::env::args_os(), std::env::var_os(launch::VARIABLE))
    {
        let status = helper::be_helper(role, Path::new(&directory));
        #[expect(clippy::exit, reason = "the helper must never return into the program that embeds it")]
        std::process::exit(status);
    }
}

/// Whether [`init`] was called.
pub(crate) fn was_called() -> bool {
    CALLED.load(Ordering::Relaxed)
}
