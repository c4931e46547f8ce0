//! Two deployers that start in the same millisecond: one wins, the other is told who did.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    sync::Barrier,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use deployer::error::DeployError;
use deployer_testkit::cases::say;
use futures::StreamExt as _;

use crate::stand::{Kind, Stand, clear, directory};

/// First argument of a deployer that is told by its input where and when to begin.
pub(crate) const CHILD: &str = "__journal_fire_at_once";

const TRIES_OF_PROCESSES: usize = 150;
const TRIES_OF_TASKS: usize = 850;

pub(crate) fn of_two_processes_in_one_millisecond_one_wins() {
    let directory = directory();
    let mut deployers = [Deployer::start(), Deployer::start()];
    let mut wins = [0; 2];
    for _ in 0..TRIES_OF_PROCESSES {
        clear(directory.path());
        let at = millis() + 3;
        for deployer in &mut deployers {
            deployer.say(&format!("{} {at}", directory.path().display()));
        }
        let answers = deployers.each_mut().map(Deployer::hear);
        for deployer in &mut deployers {
            deployer.say("enough");
        }
        let won: Vec<_> = (0..2).filter(|n| answers[*n] == "won").collect();
        assert!(won.len() == 1 && answers.iter().any(|it| it == "locked by the other"), "{answers:?}");
        wins[won[0]] += 1;
    }
    say(&format!("    {TRIES_OF_PROCESSES} tries of two processes: {} and {} wins", wins[0], wins[1]));
}

pub(crate) fn of_two_tasks_in_one_millisecond_one_wins() {
    let directory = directory();
    let mut wins = [0; 2];
    for _ in 0..TRIES_OF_TASKS {
        clear(directory.path());
        let (begin, enough) = (Barrier::new(2), Barrier::new(2));
        let try_one = || {
            deploy(
                directory.path(),
                || {
                    begin.wait();
                },
                |answer| {
                    enough.wait();
                    answer
                },
            )
        };
        let answers = thread::scope(|scope| {
            let other = scope.spawn(try_one);
            [try_one(), other.join().unwrap()]
        });
        let won: Vec<_> = (0..2).filter(|n| answers[*n] == "won").collect();
        assert!(won.len() == 1 && answers.iter().any(|it| it == "locked by the other"), "{answers:?}");
        wins[won[0]] += 1;
    }
    say(&format!("    {TRIES_OF_TASKS} tries of two tasks: {} and {} wins", wins[0], wins[1]));
}

/// A whole deployment in real time, which is dropped once both know how theirs began.
fn deploy(directory: &Path, begin: impl FnOnce(), know: impl FnOnce(String) -> String) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stand = Stand::empty(directory, Kind::Rolling);
        let deployment = stand.deployment("v1").build().unwrap();
        let mut events = deployment.events();
        begin();
        let run = deployment.run();
        tokio::pin!(run);
        let answer = tokio::select! {
            result = &mut run => match result {
                Err(DeployError::Locked { workload, holder }) => {
                    assert!(workload.as_str() == "web" && holder.owner.contains(':'), "{holder:?}");
                    "locked by the other".to_owned()
                }
                other => format!("{other:?}"),
            },
            first = events.next() => {
                assert!(first.is_some());
                "won".to_owned()
            }
        };
        know(answer)
    })
}

fn millis() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

pub(crate) fn child() -> ExitCode {
    let mut lines = std::io::stdin().lines();
    while let Some(Ok(line)) = lines.next() {
        let (directory, at) = line.rsplit_once(' ').unwrap();
        let at: u128 = at.parse().unwrap();
        let begin = || {
            while millis() < at {
                std::hint::spin_loop();
            }
        };
        deploy(Path::new(directory), begin, |answer| {
            say(&answer);
            // The lock is held until the other one has its answer too.
            let _ = lines.next();
            answer
        });
    }
    ExitCode::SUCCESS
}

struct Deployer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Deployer {
    fn start() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg(CHILD).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Deployer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
