//! The demo application as a process of its own: this very program, started again. It therefore has a `main` of its
//! own in place of the usual test harness.
#![expect(clippy::unwrap_used, reason = "a test may end so")]

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use deployer_core::model::Percent;
use deployer_testkit::{
    app::{self, AppSettings, Health, OnTerminate, Smoke},
    cases::{self, Case},
};
use rustix::process::{Pid, Signal, kill_process};

fn main() -> ExitCode {
    app::run_if_asked();
    let tests: [(&str, fn()); 9] = [
        ("it_says_who_it_is_and_when_it_started", it_says_who_it_is_and_when_it_started),
        ("it_answers_echo_and_refuses_the_unknown", it_answers_echo_and_refuses_the_unknown),
        ("it_fails_the_share_it_was_asked_to", it_fails_the_share_it_was_asked_to),
        ("health_and_smoke_misbehave_apart", health_and_smoke_misbehave_apart),
        ("work_and_delay_take_their_time", work_and_delay_take_their_time),
        ("a_tunnel_echoes", a_tunnel_echoes),
        ("terminated_it_exits_rudely_by_default", terminated_it_exits_rudely_by_default),
        ("terminated_it_drains_or_goes_on_where_asked", terminated_it_drains_or_goes_on_where_asked),
        ("bad_settings_and_exit_at_start_have_their_codes", bad_settings_and_exit_at_start_have_their_codes),
    ];
    cases::run(&tests.map(|(name, run)| Case { name, run }), 1)
}

fn it_says_who_it_is_and_when_it_started() {
    let app = App::start(&settings());
    assert!(app.announced.contains("demo application v1 listening on 127.0.0.1:"), "{}", app.announced);
    let answer = app.get("/version");
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("x-release: v1\r\n"), "{}", answer.head);
    let version: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(version["release"], "v1");
    assert_eq!(version["pid"], app.child.id());
    let started: serde_json::Value = serde_json::from_slice(&app.get("/started").body).unwrap();
    let (start, listening) = (started["process_start_ms"].as_u64(), started["listening_ms"].as_u64());
    assert!(start > Some(1_600_000_000_000) && listening >= start, "{started}");
}

fn it_answers_echo_and_refuses_the_unknown() {
    let app = App::start(&settings());
    let body = "x".repeat(5000);
    let answer = app.ask(&format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n{body}"));
    assert_eq!((answer.status, answer.body.as_slice()), (200, body.as_bytes()));
    let too_large =
        "POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2000000\r\n\r\n";
    assert_eq!(app.ask(too_large).status, 413);
    assert_eq!(app.get("/").body, b"hello from v1\n");
    assert_eq!(app.get("/nothing").status, 404);
    assert_eq!(app.get("/slow?ms=1").status, 200);
    assert_eq!(app.get("/slow?ms=9999999").status, 400);
    assert_eq!(app.get("/download?ms=1").body.len(), 100_000);
    assert_eq!(app.get("/download").status, 400);
    assert_eq!(app.get("/tunnel").status, 426);
}

fn it_fails_the_share_it_was_asked_to() {
    let app = App::start(&AppSettings { errors: Percent::new(30).unwrap(), ..settings() });
    let failed = (0..100).filter(|_| app.get("/").status == 500).count();
    assert_eq!(failed, 30);
    assert!((0..10).all(|_| app.get("/healthz").status == 200), "health is not touched by it");
}

fn health_and_smoke_misbehave_apart() {
    let app = App::start(&AppSettings { health: Health::Never, ..settings() });
    assert_eq!((app.get("/healthz").status, app.get("/smoke").status, app.get("/").status), (500, 200, 200));
    let app = App::start(&AppSettings { smoke: Smoke::Fail, ..settings() });
    assert_eq!((app.get("/healthz").status, app.get("/smoke").status), (200, 500));

    let app = App::start(&AppSettings { health: Health::Slow, ..settings() });
    let mut connection = app.connect();
    connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let start = Instant::now();
    let mut answer = vec![0];
    while answer.windows(3).filter(|window| window == b".\r\n").count() < 2 {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        answer.extend(byte);
        assert!(start.elapsed() < Duration::from_secs(10), "no two bytes of body in 10 s");
    }
    assert!(start.elapsed() >= Duration::from_millis(1900), "two bytes after {:?}", start.elapsed());

    let app = App::start(&AppSettings { health: Health::Endless, ..settings() });
    let mut connection = app.connect();
    connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let read = std::io::copy(&mut connection.take(50_000_000), &mut std::io::sink()).unwrap();
    assert_eq!(read, 50_000_000);
}

fn work_and_delay_take_their_time() {
    let delay = Duration::from_millis(200);
    let start = Instant::now();
    let app = App::start(&AppSettings { start_delay: delay, work: delay, ..settings() });
    assert!(start.elapsed() >= delay, "it announced itself after {:?}", start.elapsed());
    let started: serde_json::Value = serde_json::from_slice(&app.get("/started").body).unwrap();
    let took = started["listening_ms"].as_u64().unwrap() - started["process_start_ms"].as_u64().unwrap();
    assert!((200..5000).contains(&took), "{started}");
    let start = Instant::now();
    assert_eq!(app.get("/").status, 200);
    assert!(start.elapsed() >= delay);
}

fn a_tunnel_echoes() {
    let app = App::start(&AppSettings { on_terminate: OnTerminate::Drain, ..settings() });
    let mut connection = app.connect();
    connection
        .write_all(b"GET /tunnel HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nfirst")
        .unwrap();
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 101 "), "{line}");
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    let mut echoed = [0; 5];
    reader.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"first", "what came with the request is not lost");
    connection.write_all(b"again").unwrap();
    reader.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"again");
}

fn terminated_it_exits_rudely_by_default() {
    let mut app = App::start(&settings());
    let mut connection = app.connect();
    connection.write_all(b"GET /slow?ms=30000 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    // The request has arrived once a later one on another connection was answered.
    assert_eq!(app.get("/").status, 200);
    app.terminate();
    assert_eq!(app.wait(Duration::from_secs(5)).and_then(|status| status.code()), Some(0));
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    assert!(answer.is_empty(), "the request in flight got no answer");
}

fn terminated_it_drains_or_goes_on_where_asked() {
    let mut app = App::start(&AppSettings { on_terminate: OnTerminate::Drain, ..settings() });
    let mut connection = app.connect();
    connection.write_all(b"GET /slow?ms=500 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert_eq!(app.get("/").status, 200);
    app.terminate();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"at last\n"));
    assert_eq!(app.wait(Duration::from_secs(5)).and_then(|status| status.code()), Some(0));
    assert!(TcpStream::connect(app.address).is_err());

    let mut app = App::start(&AppSettings { on_terminate: OnTerminate::Ignore, ..settings() });
    app.terminate();
    assert!(app.wait(Duration::from_millis(300)).is_none(), "it ended");
    assert_eq!(app.get("/").status, 200);
}

fn bad_settings_and_exit_at_start_have_their_codes() {
    let exit = |arguments: &[String]| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(arguments).env_remove("PORT").stderr(Stdio::piped()).output().unwrap()
    };
    let ended = exit(&AppSettings { exit_at_start: Some(3), ..settings() }.arguments());
    assert_eq!(ended.status.code(), Some(3));
    let ended = exit(&[app::MARKER.to_owned(), "PORT=0".to_owned(), "HEALTH=perhaps".to_owned()]);
    assert_eq!(ended.status.code(), Some(64));
    let message = String::from_utf8(ended.stderr).unwrap();
    assert!(message.contains("HEALTH=\"perhaps\" is wrong; use ok, never, slow or endless"), "{message}");
    assert_eq!(exit(&[app::MARKER.to_owned()]).status.code(), Some(64), "no port");
}

fn settings() -> AppSettings {
    AppSettings::new("v1", 0)
}

/// A running demo application; killed when dropped.
struct App {
    child: Child,
    address: SocketAddr,
    announced: String,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl App {
    fn start(settings: &AppSettings) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut child = command.args(settings.arguments()).stdout(Stdio::piped()).spawn().unwrap();
        let mut announced = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut announced).unwrap();
        let address = announced.split(' ').find_map(|word| word.parse().ok());
        Self { child, address: address.unwrap_or_else(|| panic!("{announced:?}")), announced }
    }

    fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        connection
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
    }

    /// Sends a request and reads one answer with a known length.
    fn ask(&self, request: &str) -> Answer {
        let mut connection = self.connect();
        connection.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(connection);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "the answer ends inside its head: {head}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        Answer { status, head, body }
    }

    fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// How it ended, if it did within `limit`.
    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
