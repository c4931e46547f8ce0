//! Files and directories: what comes back is what was there.

use std::{
    ffi::OsStr,
    fs::{FileTimes, OpenOptions, Permissions},
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, fs::symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use deployer_core::{
    backups::{DirectoryBackup, FileBackup},
    error::ErrorKind,
    ports::{BackupProvider as _, RestoreTo, VerifyLevel},
};

use crate::support::{
    confirmed, context, create, key, live, names, new_place, provider, request, snapshot, within,
};

/// All that a directory can hold and that makes trouble.
fn furnish(root: &Path) {
    std::fs::create_dir_all(root).unwrap();
    for name in ["ünïcödé 文件", "with\nnewline", "-rf", "..hidden", "a b'c\"d", &"long".repeat(60)] {
        std::fs::write(root.join(name), name).unwrap();
    }
    std::fs::write(root.join(OsStr::from_bytes(b"not \xff utf-8")), "x").unwrap();
    std::fs::write(root.join("empty"), "").unwrap();
    std::fs::write(root.join("large"), vec![7; 1_000_003]).unwrap();
    std::fs::create_dir(root.join("empty directory")).unwrap();
    let deep = root.join(["deeper"; 80].join("/"));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("bottom"), "bottom").unwrap();
    for (name, target) in [
        ("dangling", "nowhere"),
        ("absolute", "/etc/passwd"),
        ("untidy", ".//deeper/../empty"),
        ("up", "../../.."),
        ("far", &"far/".repeat(200)),
    ] {
        symlink(target, root.join(name)).unwrap();
    }
    std::fs::hard_link(root.join("large"), root.join("second name")).unwrap();
    let times = [
        ("empty", SystemTime::UNIX_EPOCH - Duration::new(1000, 500)),
        ("large", SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789)),
    ];
    for (name, time) in times {
        let file = OpenOptions::new().write(true).open(root.join(name)).unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
    }
    for (name, mode) in
        [("-rf", 0o400), ("empty", 0o4755), ("empty directory", 0o1777), ("deeper/deeper", 0o500)]
    {
        std::fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
    }
}

#[tokio::test]
async fn everything_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    furnish(&directory.join("live"));
    let provider = provider(directory);
    let before = snapshot(&directory.join("live"));
    let backup = create(&provider, "d1").await;
    assert_eq!(snapshot(&directory.join("live")), before, "a backup changes nothing");
    assert_eq!(names(&directory.join("store/d1")), ["archive.tar", "manifest.json"]);
    assert_eq!(directory.join("store/d1/archive.tar").metadata().unwrap().len(), backup.bytes);

    for level in [VerifyLevel::Exists, VerifyLevel::Checksum, VerifyLevel::Listed, VerifyLevel::Restored] {
        let verified = provider.verify(&context("d1"), &backup, level).await.unwrap();
        assert_eq!(verified.verified, Some(level));
        assert_eq!(provider.list(&context("d1")).await.unwrap(), [verified]);
    }
    let lower = provider.verify(&context("d1"), &backup, VerifyLevel::Exists).await.unwrap();
    assert_eq!(lower.verified, Some(VerifyLevel::Restored), "a short look takes nothing back");

    let place = directory.join("drill");
    let report =
        provider.restore(&context("d2"), &backup, &new_place(&place), &confirmed(&backup)).await.unwrap();
    assert_eq!((report.place.0.as_str(), report.kept), (place.to_str().unwrap(), None));
    assert_eq!(snapshot(&place), before);
    assert_eq!(names(directory), ["drill", "live", "store"]);
}

#[tokio::test]
async fn the_archive_is_a_plain_tar_that_other_programs_read() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    furnish(&directory.join("live"));
    create(&provider(directory), "d1").await;
    let status = std::process::Command::new("tar")
        .args(["--extract", "--preserve-permissions", "--file=store/d1/archive.tar"])
        .current_dir(directory)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(snapshot(&directory.join("data")), snapshot(&directory.join("live")));
}

#[tokio::test]
async fn a_file_is_backed_up_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop.db");
    std::fs::write(&file, "old").unwrap();
    let provider = FileBackup::new("shop/test", &file, directory.path().join("store")).unwrap();
    let backup = create(&provider, "d1").await;
    let before = snapshot(&file);
    std::fs::write(&file, "damaged").unwrap();
    std::fs::write(directory.path().join("shop.db-wal"), "belongs to the old file").unwrap();
    let live =
        async || provider.restore(&context("d2"), &backup, &RestoreTo::Live, &confirmed(&backup)).await;
    let error = live().await.unwrap_err();
    assert!(error.kind == ErrorKind::Conflict && error.message.contains("shop.db-wal"), "{error}");
    std::fs::remove_file(directory.path().join("shop.db-wal")).unwrap();
    let report = live().await.unwrap();
    assert_eq!(snapshot(&file), before);
    let kept = report.kept.unwrap().0;
    assert_eq!(kept, file.with_file_name("shop.db.before-restore-d2").to_str().unwrap());
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "damaged");
}

#[tokio::test]
async fn a_key_means_one_backup_for_ever() {
    let (directory, provider) = live();
    let directory = directory.path();
    let backup = create(&provider, "d1").await;
    std::fs::write(directory.join("live/a"), "newer").unwrap();
    assert_eq!(create(&provider, "d1").await, backup, "as it is");

    let other = DirectoryBackup::new("other", directory.join("live"), directory.join("store")).unwrap();
    let error = other.create(&context("d1"), &request("d1")).await.unwrap_err();
    assert!(error.kind == ErrorKind::AlreadyExists && error.message.contains("shop/test"), "{error}");
    assert_eq!(other.list(&context("d1")).await.unwrap(), []);
    assert_eq!(other.prune(&context("d1"), 0, &[]).await.unwrap(), []);
    let error = other.verify(&context("d1"), &backup, VerifyLevel::Exists).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput, "{error}");

    std::fs::create_dir(directory.join("store/d2")).unwrap();
    let error = provider.create(&context("d2"), &request("d2")).await.unwrap_err();
    assert!(error.kind == ErrorKind::AlreadyExists && error.message.contains("move it away"), "{error}");
}

#[tokio::test]
async fn two_that_make_the_same_backup_get_the_same() {
    let (directory, first) = live();
    let second = provider(directory.path());
    let (one, other) = tokio::join!(create(&first, "d1"), create(&second, "d1"));
    assert_eq!(one, other);
    assert_eq!(first.list(&context("d1")).await.unwrap(), [one]);
    assert_eq!(names(&directory.path().join("store")), [".lock", "d1"]);
}

#[tokio::test]
async fn flipped_bits_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "content").unwrap();
    let provider = FileBackup::new("shop/test", &file, directory.path().join("store")).unwrap();
    let backup = create(&provider, "d1").await;
    let verified = provider.verify(&context("d1"), &backup, VerifyLevel::Checksum).await.unwrap();
    assert_eq!(verified.verified, Some(VerifyLevel::Checksum));
    let archive = directory.path().join("store/d1/archive.tar");
    let mut bytes = std::fs::read(&archive).unwrap();
    // A prime step meets every position of a bit, in the headers, the content and the padding.
    for bit in (0..bytes.len() * 8).step_by(101) {
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&archive, &bytes).unwrap();
        let looked = provider.verify(&context("d1"), &backup, VerifyLevel::Checksum).await;
        let error = looked.map(drop).expect_err("a flip was overlooked");
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{error}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(provider.list(&context("d1")).await.unwrap()[0].verified, None, "no longer counts as good");
    std::fs::write(&archive, &bytes).unwrap();
    provider.verify(&context("d1"), &backup, VerifyLevel::Restored).await.unwrap();
    std::fs::write(&archive, &bytes[1..]).unwrap();
    let shorter = provider.verify(&context("d1"), &backup, VerifyLevel::Exists).await.unwrap_err();
    assert!(shorter.message.contains("bytes and not"), "{shorter}");
    std::fs::remove_file(&archive).unwrap();
    let gone = provider.verify(&context("d1"), &backup, VerifyLevel::Exists).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::NotFound, "{gone}");
}

#[tokio::test]
async fn special_files_are_refused_by_name() {
    let (directory, provider) = live();
    let pipe = directory.path().join("live/pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("live/socket")).unwrap();
    let error = provider.create(&context("d1"), &request("d1")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    for part in ["live/pipe\" is a named pipe", "live/socket\" is a socket"] {
        assert!(error.message.contains(part), "{error}");
    }
    assert_eq!(names(&directory.path().join("store")), [".lock"]);
    let problems = provider.preflight(&context("d1")).await.unwrap().problems;
    assert!(problems[0].message.contains("named pipe"), "{problems:?}");
}

#[test]
fn what_changes_while_it_is_read_is_no_backup() {
    use std::{
        io::Write as _,
        sync::atomic::{AtomicBool, Ordering},
    };

    let (directory, provider) = live();
    let stop = AtomicBool::new(false);
    let path = directory.path().join("live/log");
    let mut log = std::fs::File::create(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                log.write_all(b"line\n").unwrap();
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        let made = runtime.block_on(provider.create(&context("d1"), &request("d1")));
        stop.store(true, Ordering::Relaxed);
        made.unwrap_err()
    });
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert!(error.message.contains("3 times (\"log\" changed)"), "{error}");
    assert_eq!(names(&directory.path().join("store")), [".lock"]);
    runtime.block_on(create(&provider, "d1"));
}

#[tokio::test]
async fn only_old_ones_go() {
    let (directory, provider) = live();
    for text in ["d1", "d2", "d3", "d4"] {
        create(&provider, text).await;
    }
    let second = provider.list(&context("x")).await.unwrap().remove(1);
    provider.verify(&context("x"), &second, VerifyLevel::Listed).await.unwrap();
    let removed = provider.prune(&context("x"), 1, &[key("d1")]).await.unwrap();
    assert_eq!(removed.iter().map(|backup| backup.key.as_str()).collect::<Vec<_>>(), ["d3"]);
    assert_eq!(names(&directory.path().join("store")), [".lock", "d1", "d2", "d4"]);
    assert_eq!(provider.prune(&context("x"), 0, &[]).await.unwrap().len(), 2, "all but the proven one");
    assert_eq!(names(&directory.path().join("store")), [".lock", "d2"]);
}

#[tokio::test]
async fn a_look_before_names_all_that_is_missing() {
    let (directory, provider) = live();
    let ready = provider.preflight(&context("d1")).await.unwrap();
    assert!(ready.is_ready(), "{ready:?}");
    assert!(ready.estimated_bytes.unwrap() >= 10 && ready.free_bytes.unwrap() > 0, "{ready:?}");
    assert_eq!(ready.source.unwrap().identity, "shop/test");
    assert_eq!(names(directory.path()), ["live"], "it changes nothing");

    let in_file = directory.path().join("live/a/store");
    let gone = DirectoryBackup::new("shop", directory.path().join("gone"), in_file).unwrap();
    let found = gone.preflight(&context("d1")).await.unwrap();
    let places: Vec<_> = found.problems.iter().map(|problem| problem.at.as_str()).collect();
    assert_eq!(places, ["directory", "store"], "{:?}", found.problems);
    let problems = DirectoryBackup::new("", "live", "/srv/../x").unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(DirectoryBackup::new("shop", "/srv", "/srv/store").is_err(), "the store would back itself up");
    symlink(directory.path().join("live/deep"), directory.path().join("store")).unwrap();
    let error = provider.create(&context("d1"), &request("d1")).await.unwrap_err();
    assert!(error.message.contains("lies in what is backed up"), "{error}");
}

#[tokio::test]
async fn the_deadline_and_the_end_of_interest_stop_it() {
    let (directory, provider) = live();
    let store = directory.path().join("store");
    let large = std::fs::File::create(directory.path().join("live/large")).unwrap();
    large.set_len(400_000_000).unwrap();
    let short = within("d1", Duration::from_millis(150));
    let error = provider.create(&short, &request("d1")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    assert_eq!(names(&store), [".lock"]);

    let (context, request) = (context("d1"), request("d1"));
    let dropped = tokio::time::timeout(Duration::from_millis(150), provider.create(&context, &request));
    assert!(dropped.await.is_err(), "it was done too early for this test");
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while names(&store) != [".lock"] {
        assert!(std::time::Instant::now() < deadline, "it goes on: {:?}", names(&store));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
