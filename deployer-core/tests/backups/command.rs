//! Programs that make, verify and restore a backup.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    backups::{CommandBackup, CommandBackupBuilder, CommandLine},
    error::{BackendError, ErrorKind},
    model::SecretRef,
    ports::{BackupProvider as _, RestorePlace, RestoreTo, Result, Secret, SecretSource, VerifyLevel},
};

use crate::support::{confirmed, context, create, names, new_place, request, within};

#[derive(Debug)]
struct OneSecret;

#[async_trait]
impl SecretSource for OneSecret {
    async fn resolve(&self, secret: &SecretRef) -> Result<Secret> {
        match secret.0.as_str() {
            "password" => Ok(Secret::new("hunter2")),
            other => Err(BackendError::new(
                ErrorKind::NotFound,
                "resolve a secret",
                format!("there is no {other}"),
            )),
        }
    }
}

/// The shell is the program under test here; what follows its text is `$0`, `$1`.
fn script(text: &str) -> CommandLine {
    CommandLine::program("/bin/sh").argument("-c").argument(text)
}

/// Backs up `live` by copying it.
fn copying(directory: &Path) -> CommandBackupBuilder {
    let live = directory.join("live");
    std::fs::write(&live, "old").unwrap();
    CommandBackup::builder("copy", "shop/test", directory.join("store"))
        .create(script("cp \"$0\" \"$1\"").argument(live.to_str().unwrap()).argument("{archive}"))
        .verify(script("grep -q .").input_is_archive())
        .restore(script("cat > \"$0\"").argument("{place}").input_is_archive())
        .check(script("grep -q old \"$0\"").argument("{place}"))
        .live(live)
}

fn creating(directory: &Path, line: CommandLine) -> CommandBackup {
    copying(directory).create(line).build().unwrap()
}

#[tokio::test]
async fn programs_make_verify_and_restore() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let live = directory.join("live");
    let provider = copying(directory).build().unwrap();
    let ready = provider.preflight(&context("d1")).await.unwrap();
    assert!(ready.is_ready(), "{ready:?}");
    let backup = create(&provider, "d1").await;
    assert_eq!((backup.bytes, create(&provider, "d1").await), (3, backup.clone()));
    for level in [VerifyLevel::Exists, VerifyLevel::Checksum, VerifyLevel::Listed, VerifyLevel::Restored] {
        let verified = provider.verify(&context("d1"), &backup, level).await.unwrap();
        assert_eq!(verified.verified, Some(level));
    }
    std::fs::write(&live, "damaged").unwrap();
    let drill = new_place(&directory.join("drill"));
    provider.restore(&context("d2"), &backup, &drill, &confirmed(&backup)).await.unwrap();
    assert_eq!(std::fs::read_to_string(directory.join("drill")).unwrap(), "old");
    let report =
        provider.restore(&context("d2"), &backup, &RestoreTo::Live, &confirmed(&backup)).await.unwrap();
    assert_eq!(std::fs::read_to_string(&live).unwrap(), "old");
    assert_eq!(std::fs::read_to_string(&report.kept.as_ref().unwrap().0).unwrap(), "damaged");
    std::fs::write(&live, "newer").unwrap();
    let again =
        provider.restore(&context("d2"), &backup, &RestoreTo::Live, &confirmed(&backup)).await.unwrap();
    assert_eq!((again, std::fs::read_to_string(&live).unwrap().as_str()), (report, "newer"));
    assert_eq!(names(directory), ["drill", "live", "live.before-restore-d2", "store"]);
}

#[tokio::test]
async fn what_a_program_says_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let cases = [
        (script("exit 0").argument("{archive}"), "could not find what the program made"),
        (script(": > \"$0\"").argument("{archive}"), "made 0 bytes and at least 1"),
        (script("exit 0").output_is_archive(), "made 0 bytes and at least 1"),
        (
            script("echo half; echo broken pipe >&2; exit 3").output_is_archive(),
            "exit status: 3: \"broken pipe\"",
        ),
        (script("echo half > \"$0\"; kill -9 $$").argument("{archive}"), "signal: 9"),
        (script("ln -s /etc/passwd \"$0\"").argument("{archive}"), "is a symbolic link"),
        (CommandLine::program("/nonexistent/dump").output_is_archive(), "could not be started: install it"),
    ];
    for (line, why) in cases {
        let provider = creating(directory, line);
        let error = provider.create(&context("d1"), &request("d1")).await.unwrap_err();
        assert!(error.message.contains(why), "{why}: {error}");
        assert_eq!(names(&directory.join("store")), [".lock"], "{why}");
    }
    let provider = copying(directory).least_bytes(4).build().unwrap();
    assert!(provider.create(&context("d1"), &request("d1")).await.is_err(), "3 bytes are too few");
    let printing = creating(directory, script("printf printed").output_is_archive());
    create(&printing, "d1").await;
    assert_eq!(std::fs::read_to_string(directory.join("store/d1/archive")).unwrap(), "printed");
}

#[tokio::test]
async fn what_hangs_is_killed_and_the_next_one_works() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let hanging = creating(directory, script("echo half; echo waiting >&2; sleep 1000").output_is_archive());
    let short = within("d1", Duration::from_millis(500));
    let error = hanging.create(&short, &request("d1")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    assert!(error.message.contains("waiting"), "{error}");
    assert_eq!(names(&directory.join("store")), [".lock"]);

    let (context, request) = (context("d1"), request("d1"));
    let dropped = tokio::time::timeout(Duration::from_millis(300), hanging.create(&context, &request));
    assert!(dropped.await.is_err());
    create(&copying(directory).build().unwrap(), "d1").await;
}

#[tokio::test]
async fn secrets_are_in_the_environment_and_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let text =
        "! tr '\\0' ' ' < /proc/$$/cmdline | grep -q 'hunte[r]2' && echo \"it is $PASSWORD\" >&2 && exit 7";
    let secret = |name: &str| {
        copying(directory.path())
            .create(script(text).output_is_archive())
            .secret("PASSWORD", SecretRef(name.to_owned()))
            .secret_source(Arc::new(OneSecret))
            .build()
            .unwrap()
    };
    let error = secret("password").create(&context("d1"), &request("d1")).await.unwrap_err();
    assert!(error.message.contains("exit status: 7: \"it is ***\""), "{error}");
    assert!(!format!("{error:?}{:?}", secret("password")).contains("hunter2"));
    let error = secret("other").create(&context("d1"), &request("d1")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    let found = secret("other").preflight(&context("d1")).await.unwrap();
    assert_eq!(found.problems[0].at, "secrets.PASSWORD", "{found:?}");
}

#[tokio::test]
async fn what_a_program_finds_bad_no_longer_counts_as_good() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let good = copying(directory).build().unwrap();
    let backup = create(&good, "d1").await;
    good.verify(&context("d1"), &backup, VerifyLevel::Restored).await.unwrap();
    let strict = copying(directory).check(script("exit 1").argument("{place}")).build().unwrap();
    let error = strict.verify(&context("d1"), &backup, VerifyLevel::Restored).await.unwrap_err();
    assert!(error.kind == ErrorKind::InvalidInput && error.message.contains("found it bad"), "{error}");
    assert_eq!(good.list(&context("d1")).await.unwrap()[0].verified, None);
    let live = strict.restore(&context("d2"), &backup, &RestoreTo::Live, &confirmed(&backup)).await;
    assert!(live.is_err());
    assert_eq!(names(directory), ["live", "store"]);
    assert_eq!(names(&directory.join("store")), [".lock", "d1"]);
}

#[tokio::test]
async fn a_restore_to_a_name_is_not_begun_twice() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let by_name = |text: &str| {
        CommandBackup::builder("copy", "shop/test", directory.join("store"))
            .create(script("echo x").output_is_archive())
            .restore(
                script(text).argument("{place}").argument(directory.to_str().unwrap()).input_is_archive(),
            )
            .places_are_names()
            .build()
            .unwrap()
    };
    let good = by_name("cat > \"$1/$0\"");
    let backup = create(&good, "d1").await;
    let to = |name: &str| RestoreTo::New(RestorePlace(name.to_owned()));
    let restore = async |provider: &CommandBackup, name: &str| {
        provider.restore(&context("d2"), &backup, &to(name), &confirmed(&backup)).await
    };
    let report = restore(&good, "shop_new").await.unwrap();
    assert_eq!(std::fs::read_to_string(directory.join("shop_new")).unwrap(), "x\n");
    assert_eq!(restore(&by_name("exit 1"), "shop_new").await.unwrap(), report, "it is over");
    assert_eq!(restore(&by_name("exit 1"), "other").await.unwrap_err().kind, ErrorKind::Unexpected);
    let error = restore(&good, "other").await.unwrap_err();
    assert!(error.kind == ErrorKind::Conflict && error.message.contains("is not known"), "{error}");
    for name in ["", "-x", "a\nb"] {
        assert_eq!(restore(&good, name).await.unwrap_err().kind, ErrorKind::InvalidInput, "{name:?}");
    }
    let live =
        good.restore(&context("d2"), &backup, &RestoreTo::Live, &confirmed(&backup)).await.unwrap_err();
    assert_eq!(live.kind, ErrorKind::Unsupported, "{live}");
    for level in [VerifyLevel::Listed, VerifyLevel::Restored] {
        let error = good.verify(&context("d2"), &backup, level).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    }
}

#[tokio::test]
async fn settings_and_a_look_before_name_all_that_is_wrong() {
    let wrong = CommandBackup::builder("copy", "", "store")
        .restore(CommandLine::program("./x").argument("{key}"))
        .check(CommandLine::program("true").argument("{archive}"))
        .secret("A=B", SecretRef("x".to_owned()))
        .build()
        .unwrap_err();
    let places: Vec<_> = wrong.iter().map(|problem| problem.at.as_str()).collect();
    assert_eq!(
        places,
        [
            "source",
            "store",
            "create",
            "restore.program",
            "restore",
            "check.arguments.0",
            "environment.\"A=B\"",
            "secrets"
        ],
        "{wrong:?}"
    );
    let directory = tempfile::tempdir().unwrap();
    let provider = copying(directory.path())
        .create(CommandLine::program("no-such-program-1").output_is_archive())
        .check(CommandLine::program("/no/such/program").argument("{place}"))
        .estimated_bytes(u64::MAX / 2)
        .build()
        .unwrap();
    let found = provider.preflight(&context("d1")).await.unwrap();
    let places: Vec<_> = found.problems.iter().map(|problem| problem.at.as_str()).collect();
    assert_eq!(places, ["create", "check", "store", "live"], "{found:?}");
}
