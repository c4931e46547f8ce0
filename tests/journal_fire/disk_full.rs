//! A disk that fills up in the middle of a rollout: nothing more is done, and once there is room the same deployment
//! goes on.

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, ExitCode},
};

use deployer::error::DeployError;
use deployer_testkit::cases::say;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::stand::{Kind, Stand, clear, virtually};

/// First argument of a process that fills a disk: the way and a directory follow.
pub(crate) const CHILD: &str = "__journal_fire_disk_full";
/// Exit code of a child that cannot do it this way here.
const NOT_THIS_WAY: u8 = 77;
/// What a file system in memory gives at once.
const PAGE: u64 = 4096;

/// A small file system of our own, as root or as root of a user namespace.
const MOUNTS: [&[&str]; 2] = [&["unshare", "--mount"], &["unshare", "--user", "--map-root-user", "--mount"]];
/// A limit for files, which everybody may have.
const LIMITS: &[&str] = &["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];

pub(crate) fn a_full_disk_stops_everything_and_room_lets_it_go_on() {
    if !MOUNTS.iter().any(|way| works("mount", way)) {
        say("    no file system may be mounted here: by a limit for files only");
    }
    assert!(works("limit", LIMITS), "there is no limit for files here");
}

/// Whether it can be done this way here.
fn works(way: &str, words: &[&str]) -> bool {
    let directory = crate::stand::directory();
    let status = Command::new(words[0])
        .args(&words[1..])
        .arg(env::current_exe().unwrap())
        .args([CHILD, way])
        .arg(directory.path())
        .status();
    match status.map(|status| status.code()) {
        Ok(Some(0)) => true,
        // `unshare` itself exits with 1 where it may not.
        Ok(Some(code)) if code == i32::from(NOT_THIS_WAY) || (code == 1 && way == "mount") => false,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        other => panic!("{words:?}: {other:?}"),
    }
}

pub(crate) fn child(way: &str, directory: &str) -> ExitCode {
    let directory = Path::new(directory);
    let mounts = way == "mount";
    if mounts {
        let mount = ["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"];
        if !Command::new("mount").args(mount).arg(directory).status().is_ok_and(|status| status.success()) {
            return ExitCode::from(NOT_THIS_WAY);
        }
    }
    let mut stopped = 0;
    for kind in Kind::ALL {
        for step in 0.. {
            assert!(step < 200, "a journal needs less than that");
            let room = if mounts { step * PAGE } else { 1100 + step * 700 };
            if virtually(async || fill_up(directory, kind, room, mounts).await) {
                break;
            }
            stopped += 1;
        }
    }
    assert!(stopped > 8, "it was stopped {stopped} times only");
    say(&format!("    by {way}: stopped {stopped} times at a full disk, and went on"));
    ExitCode::SUCCESS
}

/// Whether there was room enough.
async fn fill_up(directory: &Path, kind: Kind, room: u64, mounts: bool) -> bool {
    clear(directory);
    let stand = Stand::serving(directory, kind).await;
    let filler = directory.join("filler");
    if mounts {
        leave(&filler, room);
    } else {
        limit(Some(room));
    }
    let result = stand.run("v2", "d2").await;
    if mounts {
        fs::remove_file(&filler).unwrap();
    } else {
        limit(None);
    }
    let what = format!("{kind:?} with room for {room} bytes");
    let Err(error) = result else {
        stand.assert_live("v2", &what);
        return true;
    };
    let text = error.to_string();
    assert!(matches!(error, DeployError::Interrupted { .. }), "{what}: {text}");
    for word in ["journal", "d2.jsonl", "run the same deployment again"] {
        assert!(text.contains(word), "{what}: {word:?} is not in {text}");
    }
    stand.assert_intended("d2", &what).await;
    stand.run("v2", "d2").await.unwrap_or_else(|error| panic!("{what}: {error}"));
    stand.assert_live("v2", &what);
    false
}

/// Fills the disk up to so many bytes.
fn leave(filler: &Path, room: u64) {
    let mut file = File::create(filler).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length - room).unwrap();
}

fn limit(current: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: current.or(maximum), maximum }).unwrap();
}
