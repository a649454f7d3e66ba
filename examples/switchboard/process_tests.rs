//! Two processes of the program: the second follows what the first one serves.

use crate::event::tests::{RICH, unpack};
use crate::options::SECRET;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const HUNG_AFTER: Duration = Duration::from_secs(60);
/// How it is run once more.
pub(crate) const PROGRAM: [&str; 3] = ["--exact", "process_tests::program", "--nocapture"];
/// Its arguments, one a line.
pub(crate) const ARGUMENTS: &str = "SWITCHBOARD_TEST_ARGUMENTS";
/// Asks it to panic once, in a thread beside its work, when it gets a line.
pub(crate) const PANICS: &str = "SWITCHBOARD_TEST_PANICS";
const MADE: [&str; 3] = ["cdr.csv", "feed.ami", "journal.jsonl"];

/// Not a test, but the program itself for the tests below: they start this test once more, with arguments.
#[test]
fn program() {
    if let Ok(arguments) = std::env::var(ARGUMENTS) {
        if std::env::var_os(PANICS).is_some() {
            thread::spawn(|| {
                let _ = std::io::stdin().read_line(&mut String::new());
                panic!("out of order");
            });
        }
        let code = crate::run(arguments.split('\n').map(Into::into));
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}

struct Program {
    child: Child,
    /// What it tells while it runs.
    told: std::io::Lines<BufReader<std::process::ChildStderr>>,
    input: Option<ChildStdin>,
    printed: Option<ChildStdout>,
    out: PathBuf,
}

impl Program {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let out = std::env::temp_dir().join(format!("switchboard-{}-process-{name}", std::process::id()));
        let arguments = [arguments, &["--out", out.to_str().expect("UTF-8")]].concat();
        let mut child = Command::new(std::env::current_exe().expect("itself"))
            .args(PROGRAM)
            .env(ARGUMENTS, arguments.join("\n"))
            .env(SECRET, "sesame")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let told = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let (input, printed) = (child.stdin.take(), child.stdout.take());
        Self { child, told, input, printed, out }
    }

    /// What follows these words in what it tells: while it runs, that is something each second.
    fn hear(&mut self, words: &str) -> String {
        let start = Instant::now();
        let mut lines = self.told.by_ref().map(|line| {
            assert!(start.elapsed() < HUNG_AFTER, "it never says {words:?}");
            line.expect("UTF-8")
        });
        let line = lines.find_map(|line| Some(line.split_once(words)?.1.to_owned()));
        line.unwrap_or_else(|| panic!("it never says {words:?}"))
    }

    fn feed(&mut self, text: &[u8]) {
        self.input.as_mut().expect("not over").write_all(text).expect("it reads");
    }

    fn end_input(&mut self) {
        self.input = None;
    }

    fn interrupt(&self) {
        self.signal("-INT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill").success());
    }

    /// What it has made.
    fn finish(mut self) -> [String; 3] {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(start.elapsed() < HUNG_AFTER, "it does not end");
            thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "{status}: {:?}", self.told.by_ref().last());
        MADE.map(|name| fs::read_to_string(self.out.join(name)).expect(name))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.out);
    }
}

/// One that plays what it is given, and one that follows it.
fn pair(name: &str) -> (Program, Program) {
    let mut first = Program::start(&format!("{name}-first"), &["/dev/stdin", "--ami", "127.0.0.1:0"]);
    let address = first.hear("serving manager clients on ");
    let live = ["--live", &address, "--user", "u"];
    let mut second = Program::start(&format!("{name}-second"), &live);
    second.hear("following the manager at ");
    (first, second)
}

#[test]
#[cfg(unix)]
fn a_second_switchboard_makes_of_the_feed_what_the_first_makes_of_the_recording() {
    let (mut first, mut second) = pair("whole");
    first.feed(&unpack(RICH));
    first.end_input();
    second.end_input();
    let (first, second) = (first.finish(), second.finish());
    assert_eq!(first[0].lines().count(), 82);
    assert!(first == second, "{:?}", MADE.map(Path::new));
}

/// The follower ends because it is told goodbye; calls that are still up are in neither.
#[test]
#[cfg(unix)]
fn a_stop_of_the_first_is_an_end_of_the_second() {
    let (mut first, second) = pair("half");
    let stream = unpack(RICH);
    first.feed(&stream[..stream.len() / 2]);
    first.interrupt();
    let (first, second) = (first.finish(), second.finish());
    assert!(first == second, "{} and {} rows", first[0].lines().count(), second[0].lines().count());
}

/// It is killed while it writes: what is in its files are whole lines.
#[test]
#[cfg(unix)]
fn a_killed_one_leaves_complete_lines() {
    for blocks in [1, 3, 7] {
        let arguments = ["--rounds", "forever", "--speed", "400"];
        let mut program = Program::start(&format!("killed-{blocks}"), &arguments);
        let written = |name: &str| fs::metadata(program.out.join(name)).map_or(0, |file| file.len());
        let start = Instant::now();
        while written("journal.jsonl") < blocks * 8_000 || written("feed.ami") < blocks * 8_000 {
            assert!(start.elapsed() < HUNG_AFTER, "it writes nothing");
            thread::sleep(Duration::from_millis(1));
        }
        program.child.kill().expect("it runs");
        program.child.wait().expect("a child");
        for name in MADE {
            let text = fs::read_to_string(program.out.join(name)).expect(name);
            let end = &text[text.len().saturating_sub(60)..];
            assert!(text.is_empty() || text.ends_with('\n'), "{name} ends with {end:?}");
        }
        let journal = fs::read_to_string(program.out.join("journal.jsonl")).expect("text");
        for line in journal.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        }
    }
}

/// Whoever watches from outside sees it at work, and that a consumer stands still.
#[test]
#[cfg(all(unix, feature = "prometheus", feature = "console"))]
fn the_figures_are_served_while_it_runs() {
    let mut program = Program::start("served", &["/dev/stdin", "--stall", "feed", "--serve", "127.0.0.1:0"]);
    let address = program.hear("serving the figures of the bus on http://");
    let address = address.trim_end_matches('/');
    program.feed(&unpack(RICH));
    let start = Instant::now();
    let waits = |page: &str| {
        let depth = page
            .lines()
            .find_map(|line| line.strip_prefix("stasis_subscription_queue_messages{subscription=\"feed\"} "));
        depth.is_some_and(|depth| depth.parse::<u64>().expect("a number") > 0)
    };
    while !waits(&get(address, "/metrics")) {
        assert!(start.elapsed() < HUNG_AFTER, "nothing ever waits for the feed that stands still");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(get(address, "/api/subscriptions?sort=depth").contains("\"feed\""));
    assert!(get(address, "/").contains("<html"));
    program.interrupt();
    program.finish();
}

/// What is at that path.
#[cfg(all(unix, feature = "prometheus", feature = "console"))]
fn get(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    answer
}

/// It says how things stand as often as it is asked, and goes on.
#[test]
#[cfg(unix)]
fn a_signal_asks_how_things_stand() {
    let mut program = Program::start("signal", &["/dev/stdin", "--state"]);
    program.hear(" messages ");
    let id = "Uniqueid: 1\r\nLinkedid: 1\r\nChannelState: 4\r\n\r\n";
    program.feed(format!("Event: Newchannel\r\nChannel: IAX2/alice-1\r\n{id}").as_bytes());
    let mut printed = BufReader::new(program.printed.take().expect("a pipe")).lines();
    let start = Instant::now();
    // It may be asked before it has read what it was fed.
    let heading = loop {
        assert!(start.elapsed() < HUNG_AFTER, "it never says so");
        program.signal("-USR1");
        let heading = printed.by_ref().map_while(Result::ok).find(|line| line.starts_with("state"));
        let heading = heading.expect("it says how things stand");
        if heading.contains(": 1 channels, ") {
            break heading;
        }
    };
    assert!(heading.ends_with(": 1 channels, 0 bridges, 0 devices"), "{heading}");
    let row = printed.by_ref().map_while(Result::ok).nth(1).expect("a row");
    assert!(row.starts_with("IAX2/alice-1 ") && row.contains(" Ring "), "{row}");
    program.end_input();
    let rest: Vec<_> = printed.map_while(Result::ok).collect();
    assert!(
        rest.iter().any(|line| line.ends_with("1 channels, 0 bridges, 0 devices")),
        "in the end too: {rest:?}"
    );
    program.finish();
}
