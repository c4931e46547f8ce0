//! What is fuzzed. A target panics where a promise is broken; the input may be anything.

use std::{fmt::Debug, fs, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use deployer_core::{
    checks::{ExecCheck, ExecSettings, HttpSettings, TcpCheck, TcpSettings},
    engine::{Deployment, EngineSettings, ProbeSettings},
    event::{Event, line},
    gates::{ErrorRate, ErrorRateSettings},
    journal::{MemoryJournal, read},
    lock::FileLock,
    model::{DeploymentId, InstanceId, Place, Release, ReleaseId, RolloutSettings, Split, WorkloadId},
    ports::{Journal as _, Lock as _},
    strategy::{Rolling, StrategySettings},
};
use deployer_local::{ProcessSpec, proxy::ProxySettings};
use deployer_nginx::{
    NginxSettings, Weighting,
    config::{WorkloadFile, build, render},
    syntax::{parse, read_workload},
};
use deployer_testkit::{
    TestClock,
    world::{Latency, World, WorldSettings},
};
use serde::{Serialize, de::DeserializeOwned};

/// One thing that reads what others wrote.
pub(crate) struct Target {
    /// Its name, and that of the directory of its corpus.
    pub(crate) name: &'static str,
    /// Takes one input.
    pub(crate) run: fn(&[u8]),
}

/// All of them.
pub(crate) const TARGETS: [Target; 6] = [
    Target { name: "journal", run: journal },
    Target { name: "history", run: history },
    Target { name: "settings", run: settings },
    Target { name: "names", run: names },
    Target { name: "lock", run: lock },
    Target { name: "nginx", run: nginx },
];

/// A journal is refused, or what is read of it is a beginning of it that reads the same alone.
pub(crate) fn journal(input: &[u8]) {
    let Ok(contents) = read(input, "input") else { return };
    let length = usize::try_from(contents.length).expect("it was in memory");
    let alone = read(&input[..length], "input").expect("what was read can be read");
    assert_eq!(alone, contents, "the torn end changes what is read");
    assert_eq!(contents.events.len(), input.split(|byte| *byte == b'\n').count() - 1);
    for (event, seq) in contents.events.iter().zip(0..) {
        assert_eq!(event.seq, seq);
        assert!(!line(event).contains('\n'), "an event is one line");
    }
}

/// Whatever a journal says in whole records, a deployment previews or is refused.
pub(crate) fn history(input: &[u8]) {
    let events: Vec<Event> =
        input.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime without I/O needs nothing").block_on(async {
        let (journal, workload) = (MemoryJournal::new(), WorkloadId::new("web").expect("three letters"));
        for event in events {
            let began = journal.create(std::slice::from_ref(&workload), &event).await;
            if began.is_err() {
                let _ = journal.append(&event).await;
            }
        }
        let none = Latency::NONE;
        let instant = WorldSettings {
            start: none,
            ready: none,
            call: none,
            probe: none,
            switch: none,
            ..WorldSettings::default()
        };
        let world = World::new(instant, Arc::new(TestClock::new()));
        let release = ReleaseId::new("v2").expect("a letter and a digit");
        let deployment = Deployment::builder(workload)
            .release(World::release(release).release)
            .replicas(2)
            .strategy(Rolling::default())
            .target(world.target())
            .router(world.router())
            .check(world.health())
            .journal(journal)
            .build()
            .expect("nothing is wrong with it");
        let _ = deployment.preview().await;
        assert!(world.calls().iter().all(|call| !call.kind.writes()), "a preview has no effect");
    });
}

/// Settings that are taken say the same when they are written and read again, and have no unknown fields.
pub(crate) fn settings(input: &[u8]) {
    if let Some(settings) = taken::<StrategySettings>(input) {
        let _ = settings.build();
    }
    if let Some(settings) = taken::<ExecSettings>(input) {
        let _ = ExecCheck::new(settings);
    }
    if let Some(settings) = taken::<TcpSettings>(input) {
        let _ = TcpCheck::new(settings);
    }
    taken::<HttpSettings>(input);
    if let Ok(settings) = serde_json::from_slice::<ErrorRateSettings>(input) {
        // A share of requests is no whole number, and may change in its last digit.
        refuses_unknown::<ErrorRateSettings>(input);
        let world = World::new(WorldSettings::default(), Arc::new(TestClock::new()));
        let _ = ErrorRate::new(world.metrics(), settings);
    }
    taken::<ProxySettings>(input);
    taken::<Release>(input);
    let _ = serde_json::from_slice::<Split>(input);
    let process = taken::<ProcessSpec>(input);
    let release = World::release(ReleaseId::new("v1").expect("a letter and a digit")).release;
    let release = process.map_or(release, |process| process.release(ReleaseId::new("v1").expect("as above")));
    let world = World::new(WorldSettings::default(), Arc::new(TestClock::new()));
    let _ = Deployment::builder("web")
        .release(release)
        .replicas(3)
        .strategy(Rolling::default())
        .target(world.target())
        .settings(taken::<RolloutSettings>(input).unwrap_or_default())
        .engine(taken::<EngineSettings>(input).unwrap_or_default())
        .probing(taken::<ProbeSettings>(input).unwrap_or_default())
        .build();
}

/// What is taken for nginx is read back by the other parser as it was meant; a file of ours says what it was made of.
pub(crate) fn nginx(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let web = WorkloadId::new("web").expect("three letters");
    let _ = (parse(text), read_workload(&web, text));
    if let Ok(file) = WorkloadFile::parse(text) {
        assert_eq!(file.text(), text);
    }
    taken::<NginxSettings>(input);
    let Ok(split) = serde_json::from_str::<Split>(text) else { return };
    for weighting in [Weighting::Upstream, Weighting::SplitClients] {
        let settings = NginxSettings { weighting, ..NginxSettings::default() };
        if let Ok(config) = build(&web, 7, &split, &settings) {
            let rendered = render(&config).expect("what is taken can be expressed");
            assert_eq!(read_workload(&web, &rendered), Some(config), "{rendered}");
        }
    }
}

fn taken<T: Serialize + DeserializeOwned + PartialEq + Debug>(input: &[u8]) -> Option<T> {
    let settings: T = serde_json::from_slice(input).ok()?;
    let written = serde_json::to_vec(&settings).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).unwrap_or_else(|error| {
        panic!("{settings:?} was written as {}: {error}", String::from_utf8_lossy(&written))
    });
    assert_eq!(again, settings, "{}", String::from_utf8_lossy(&written));
    refuses_unknown::<T>(input);
    Some(settings)
}

fn refuses_unknown<T: DeserializeOwned>(input: &[u8]) {
    if let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_slice(input) {
        fields.insert("no such field".to_owned(), serde_json::Value::Null);
        let taken = serde_json::from_value::<T>(serde_json::Value::Object(fields)).is_ok();
        assert!(!taken, "an unknown field is taken by {}", std::any::type_name::<T>());
    }
}

/// A name is safe as an argument, as a file and in a URL, and reads the same in every way.
pub(crate) fn names(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for read in
        [name::<WorkloadId>, name::<ReleaseId>, name::<InstanceId>, name::<Place>, name::<DeploymentId>]
    {
        read(text);
    }
}

fn name<T: FromStr + AsRef<str> + DeserializeOwned + Serialize + PartialEq + Debug>(text: &str) {
    let json = serde_json::to_string(text).expect("a text is JSON");
    let (parsed, read) = (text.parse::<T>().ok(), serde_json::from_str::<T>(&json).ok());
    assert_eq!(parsed, read);
    let Some(name) = parsed else { return };
    assert_eq!(name.as_ref(), text);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    assert!(text.chars().all(plain) && text.starts_with(|c: char| c.is_ascii_alphanumeric()), "{text:?}");
    assert!(text.len() <= 253 && !matches!(text, "." | ".."), "{text:?}");
}

/// Whatever a lock file says, the lock can be looked at and taken, with an epoch larger than any whole record's.
pub(crate) fn lock(input: &[u8]) {
    thread_local! {
        static DIRECTORY: tempfile::TempDir =
            tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("there is room for a file");
    }
    let directory: PathBuf = DIRECTORY.with(|directory| directory.path().to_owned());
    let place = directory.join("web");
    fs::create_dir_all(&place).expect("it is ours");
    fs::write(place.join("lock"), input).expect("it is ours");
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build();
    runtime.expect("a runtime without I/O needs nothing").block_on(async {
        let workload = [WorkloadId::new("web").expect("three letters")];
        let lock = FileLock::open(&directory).expect("the directory is there");
        assert_eq!(lock.holder(&workload[0]).await.expect("it can be read"), None, "nobody holds it");
        let deployment = DeploymentId::new("d1").expect("a letter and a digit");
        let grant = lock.acquire(&workload, &deployment).await.expect("nobody holds it");
        lock.renew(&workload, grant.epoch()).await.expect("it was just taken");
        let holder = lock.holder(&workload[0]).await.expect("it can be read").expect("we hold it");
        assert_eq!(holder.epoch, grant.epoch());
    });
}

/// How long one input may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
