//! The program as its user meets it: files in, files out, and what he is told.

use crate::event::tests::{RICH, SIMPLE, unpack};
use crate::options::{Command, Options, Speed};
use crate::progress::Line;
use crate::{Failure, Told, Watch, replay};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("switchboard-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a temporary file");
        path
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect(name)
    }
}

/// The smaller of the two recordings, with its rows beside it.
fn rich(folder: &Folder) -> PathBuf {
    folder.file("Master-rich.csv", include_bytes!("recordings/Master-rich.csv"));
    folder.file("events-rich.ami.gz", RICH)
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unseen() -> Watch {
    Watch::Line(Line::new(std::io::sink(), false))
}

fn run(file: Option<&Path>, out: Option<&Path>) -> Result<Told, Failure> {
    let options = Options {
        files: file.map(Path::to_owned).into_iter().collect(),
        out: out.map(Path::to_owned),
        ..Options::default()
    };
    replay(&options, unseen(), |_| Ok(()))
}

fn failure(file: &Path, out: Option<&Path>) -> String {
    run(Some(file), out).expect_err("it cannot work").to_string()
}

#[test]
fn without_a_file_it_replays_its_own() {
    let folder = Folder::new("own");
    let told = run(None, Some(&folder.0)).expect("a replay");
    assert_eq!(told.troubles, [""; 0]);
    assert!(told.summary.contains("\ncdr rows equal 517 of 521\n"), "{}", told.summary);
    assert_eq!(folder.read("cdr.csv").lines().count(), 521);
    assert_eq!(folder.read("journal.jsonl").lines().count(), 14_015);
    assert_eq!(folder.read("feed.ami").matches("\r\n\r\n").count(), 14_015);
}

/// The report's format is a promise: names, order and types of its fields.
#[test]
fn the_report_is_as_promised() {
    let folder = Folder::new("report");
    run(None, Some(&folder.0)).expect("a replay");
    let text = folder.read("report.json");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let delivered = [("cdr", 12_835), ("feed", 14_015), ("journal", 14_015)];
    let deliveries: u64 = delivered.iter().map(|(_, count)| count).sum();
    let expected = [
        ("messages", 14_015),
        ("deliveries", deliveries),
        ("missed", 0),
        ("cdr_rows", 521),
        ("cdr_rows_equal", 517),
    ];
    let mut last = 0;
    for (field, value) in expected {
        assert_eq!(report[field], value, "{field}");
        let at = text.find(&format!("\"{field}\"")).expect(field);
        assert!(at > last, "{field} is out of order");
        last = at;
    }
    for (one, (name, count)) in report["subscriptions"].as_array().expect("a list").iter().zip(delivered) {
        assert_eq!(
            (&one["name"], &one["delivered"], &one["missed"]),
            (&name.into(), &count.into(), &0.into())
        );
        let delay = ["p50", "p99", "p999", "max"].map(|field| one["delay_ns"][field].as_u64().expect(field));
        assert!(delay.is_sorted() && delay[3] > 0, "{delay:?}");
        assert_eq!((&one["published"], &one["panics"]), (&count.into(), &0.into()));
        assert_eq!(one.as_object().expect("an object").len(), 6);
    }
    let compared = serde_json::json!([{
        "recording": "the recording that comes with it", "rounds": [1, 1], "rows": 521, "equal": 517,
    }]);
    assert_eq!(report["comparisons"], compared);
    assert_eq!(report.as_object().expect("an object").len(), 8);
}

#[test]
fn rows_beside_the_recording_are_compared_and_none_are_missed() {
    let folder = Folder::new("rows");
    let plain = folder.file("events-x.ami", &unpack(RICH));
    let packed = folder.file("events-x.ami.gz", RICH);
    for file in [&plain, &packed] {
        let told = run(Some(file), Some(&folder.0)).expect("a replay");
        assert!(
            told.summary.ends_with("cdr rows: 82\nno rows of Asterisk to compare with\n"),
            "{}",
            told.summary
        );
        assert!(folder.read("report.json").contains("\"cdr_rows_equal\": null"));
    }
    folder.file("Master-x.csv", include_bytes!("recordings/Master-rich.csv"));
    for file in [&plain, &packed] {
        let told = run(Some(file), None).expect("a replay");
        assert!(told.summary.contains("\ncdr rows equal 78 of 82\n"), "{}", told.summary);
    }
    folder.file("Master-x.csv", b"\"no rows\"\n");
    assert!(failure(&plain, None).ends_with("Master-x.csv: row 1: 1 columns instead of 17"));
}

#[test]
fn what_cannot_be_replayed_is_said_before_anything_is_written() {
    let folder = Folder::new("inputs");
    let kept = folder.file("cdr.csv", b"of the last time");
    let out = Some(folder.0.as_path());
    assert!(failure(&folder.0.join("none.ami"), out).starts_with("cannot open "));
    assert!(failure(&folder.0, out).ends_with("it takes a recording, FILE.ami or FILE.ami.gz"));
    assert!(failure(&folder.file("empty.ami", b""), out).ends_with("empty.ami is empty"));
    assert_eq!(fs::read(&kept).expect("still there"), b"of the last time");
}

#[test]
fn a_recording_is_not_overwritten_by_what_is_made_of_it() {
    let folder = Folder::new("itself");
    let feed = folder.file("feed.ami", &unpack(RICH));
    assert!(
        failure(&feed, Some(&folder.0)).ends_with("feed.ami is the recording itself; choose another folder")
    );
    assert_eq!(fs::read(&feed).expect("still there"), unpack(RICH));
}

#[test]
fn folders_that_cannot_be_written_are_said() {
    let folder = Folder::new("outputs");
    let recording = folder.file("r.ami", &unpack(RICH));
    assert!(failure(&recording, Some(&recording)).starts_with("cannot make the folder "));
    fs::create_dir(folder.0.join("feed.ami")).expect("a folder in the way");
    assert!(failure(&recording, Some(&folder.0)).starts_with("cannot write "));
}

#[test]
fn a_truncated_recording_is_replayed_up_to_the_cut() {
    let folder = Folder::new("cut");
    let cut = folder.file("events.ami.gz", &SIMPLE[..SIMPLE.len() / 2]);
    let told = run(Some(&cut), Some(&folder.0)).expect("what there is");
    assert_eq!(told.troubles.len(), 1);
    assert!(told.troubles[0].ends_with("cannot be read to its end: the packed data is cut off"));
    let rows = folder.read("cdr.csv");
    let all = include_str!("recordings/Master.csv");
    assert!(rows.lines().count() > 100);
    let differing = rows.lines().zip(all.lines()).filter(|(derived, asterisk)| derived != asterisk);
    assert!(differing.count() <= 4);
}

#[test]
fn what_is_no_manager_stream_is_said() {
    let folder = Folder::new("noise");
    let file = folder.file("picture.png", &[0x89; 5000]);
    let told = run(Some(&file), None).expect("a summary");
    assert!(told.summary.contains("faults: 1\n  line 1 (byte 0): "), "{}", told.summary);
    assert!(told.troubles[0].ends_with("has no manager event in it"), "{:?}", told.troubles);
}

#[test]
fn a_stopped_replay_sums_up_what_it_did() {
    let options = Options::default();
    let stop_at_once = |stopper: crate::Stopper| {
        stopper.stop();
        Ok(())
    };
    let told = replay(&options, unseen(), stop_at_once).expect("a summary");
    assert!(told.summary.starts_with("the recording that comes with it (stopped)\n"));
    assert!(told.summary.contains("\ncdr rows equal 0 of 521\n"), "{}", told.summary);
    assert_eq!(told.troubles, [""; 0]);
}

fn run_with(arguments: &str) -> Told {
    let words = arguments.split(' ').map(std::ffi::OsString::from);
    match crate::options::parse(words, |_| None) {
        Ok(Command::Run(options)) => replay(&options, unseen(), |_| Ok(())).expect("a replay"),
        other => panic!("{arguments}: {other:?}"),
    }
}

#[test]
fn each_round_is_as_good_as_the_first() {
    let folder = Folder::new("rounds");
    let told = run_with(&format!("--rounds 3 --out {} {}", folder.0.display(), rich(&folder).display()));
    assert_eq!(told.troubles, [""; 0]);
    assert!(told.summary.contains("\nrounds 1 to 3, each: cdr rows equal 78 of 82\n"), "{}", told.summary);
    assert!(
        told.summary.contains(" 303 channels, 117 bridges\n"),
        "three times 101 and 39: {}",
        told.summary
    );
    let rows = folder.read("cdr.csv");
    let ids: HashSet<_> = rows.lines().filter_map(|row| row.rsplit(',').next()).collect();
    assert_eq!((rows.lines().count(), ids.len() % 3), (3 * 82, 0));
    let marked = |mark: &str| rows.lines().filter(|row| row.ends_with(&format!("{mark}\""))).count();
    assert_eq!((marked("~2"), marked("~3")), (82, 82));
    assert!(folder.read("report.json").contains("\"cdr_rows_equal\": 234"));
}

#[test]
fn recordings_are_played_one_after_the_other_in_each_round() {
    let folder = Folder::new("several");
    let (one, two) = (folder.file("events-a.ami.gz", RICH), folder.file("events-b.ami.gz", SIMPLE));
    folder.file("Master-a.csv", include_bytes!("recordings/Master-rich.csv"));
    folder.file("Master-b.csv", include_bytes!("recordings/Master.csv"));
    let (one, two) = (one.display(), two.display());
    let told = run_with(&format!("--rounds 2 {one} {two}"));
    assert_eq!(told.troubles, [""; 0]);
    let rich = format!("rounds 1 to 2, each: cdr rows equal 78 of 82 ({one})\n");
    let simple = format!("rounds 1 to 2, each: cdr rows equal 517 of 521 ({two})\n");
    assert!(told.summary.contains(&rich) && told.summary.contains(&simple), "{}", told.summary);
}

/// Events of the first 2.9 seconds, at twenty times the speed: the last of them is at 2.86.
#[test]
fn a_paced_replay_takes_its_time_and_stops_where_it_should() {
    let start = Instant::now();
    let told = run_with("--speed 20 --until 2.9");
    assert!(start.elapsed() >= Duration::from_millis(143), "{:?}", start.elapsed());
    assert!(told.summary.starts_with("the recording that comes with it (stopped)\n"), "{}", told.summary);
    assert_eq!(told.troubles, [""; 0]);
    let whole = run_with("--until 100000");
    assert!(whole.summary.starts_with("the recording that comes with it\n"), "{}", whole.summary);
}

#[test]
fn a_stop_ends_a_replay_that_waits_for_the_next_event() {
    let options = Options { speed: Some(Speed(0.001)), ..Options::default() };
    let stop_soon = |stopper: crate::Stopper| {
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            stopper.stop();
        });
        Ok(())
    };
    let told = replay(&options, unseen(), stop_soon).expect("a summary");
    assert!(told.summary.starts_with("the recording that comes with it (stopped)\n"), "{}", told.summary);
    assert_eq!(told.troubles, [""; 0]);
}

/// Whoever is hindered loses messages, all of them counted with their reason; the others lose none.
#[test]
fn faults_cost_only_those_who_have_them() {
    let folder = Folder::new("faults");
    let faults = "--slow cdr=100us --stall feed --panic journal=1%";
    let told = run_with(&format!("{faults} --out {}", folder.0.display()));
    assert_eq!(told.troubles, [""; 0], "what was wanted is no trouble");
    let report: serde_json::Value = serde_json::from_str(&folder.read("report.json")).expect("JSON");
    let number = |one: usize, field: &str| report["subscriptions"][one][field].as_u64().expect(field);
    for (one, published) in [12_835, 14_015, 14_015].into_iter().enumerate() {
        assert_eq!(number(one, "published"), published);
        assert_eq!(number(one, "delivered") + number(one, "missed"), published);
    }
    // One group may be in the handler's hands, a full mailbox waits, and nothing more comes in.
    let fed = folder.read("feed.ami").matches("\r\n\r\n").count() as u64;
    assert!((1024..=1024 + 64).contains(&fed), "{fed}");
    assert_eq!(number(1, "missed"), 14_015 - fed);
    let panics = number(2, "panics");
    assert!((90..190).contains(&panics) && number(2, "missed") == 0, "{panics} of 14015 is no hundredth");
    assert_eq!(folder.read("journal.jsonl").lines().count() as u64, 14_015 - panics);
    for line in [
        format!(
            "\nlost by feed: {} of 14015 messages; {0} found its queue full while it stood still\n",
            14_015 - fed
        ),
        format!("\nlost by journal: {panics} of 14015 messages; at {panics} its handler panicked\n"),
    ] {
        assert!(told.summary.contains(&line), "{line}{}", told.summary);
    }
}

/// A handler on the bus: there the bus catches, counts and goes on. Rounds differ; each says how.
#[test]
fn a_consumer_that_panics_goes_on_with_the_next_message() {
    let folder = Folder::new("panics");
    let told = run_with(&format!("--panic cdr=2% --rounds 2 {}", rich(&folder).display()));
    assert_eq!(told.troubles, [""; 0]);
    assert!(told.summary.contains("\nlost by cdr: "), "{}", told.summary);
    assert!(told.summary.contains("\nround 1: cdr rows equal "), "{}", told.summary);
    assert!(told.summary.contains("\nround 2: cdr rows equal "), "{}", told.summary);
}

/// Sixty channels are up at that moment of the recording, by its own `Newchannel` and `Hangup` events.
#[test]
fn how_things_stand_is_printed_where_the_replay_stops() {
    let told = run_with("--until 30 --state");
    assert_eq!(told.troubles, [""; 0]);
    let state = told.state.expect("asked for");
    let heading = "state at 2026-11-21 21:44:03: 60 channels, 13 bridges, 34 devices\nCHANNEL ";
    assert!(state.starts_with(heading), "{state}");
    assert_eq!(state.lines().count(), 4 + 60 + 13 + 34, "{state}");
    assert_eq!(run_with("--until 30").state, None);
    let whole = run_with("--state").state.expect("asked for");
    assert!(whole.contains(": 0 channels, 0 bridges, 40 devices\nDEVICE "), "{whole}");
}

/// What only one switch has said is gone with it; the rows of its calls are not.
#[test]
fn two_recordings_are_two_origins_and_one_can_go() {
    let folder = Folder::new("origins");
    let (one, two) = (folder.file("events-a.ami.gz", RICH), folder.file("events-b.ami.gz", SIMPLE));
    folder.file("Master-a.csv", include_bytes!("recordings/Master-rich.csv"));
    folder.file("Master-b.csv", include_bytes!("recordings/Master.csv"));
    let files = format!("{} {} --state", one.display(), two.display());
    let row = |told: &Told, device: &str| {
        let state = told.state.as_ref().expect("asked for");
        let row = state.lines().find(|line| line.starts_with(device));
        row.map(|row| row.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>())
    };
    let of = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let both = run_with(&format!("{files} --until 100"));
    assert_eq!(row(&both, "DEVICE "), of(&["STATE", "events-a", "events-b"]));
    let phone = row(&both, "IAX2/alice ").expect("both know it");
    assert_eq!((phone.len(), phone[1].as_str()), (3, "UNKNOWN"));
    assert_eq!((&phone[0], &*phone[0] != "UNKNOWN"), (&phone[2], true), "the one most in use");
    assert_eq!(row(&both, "confbridge:weekly-0 "), of(&["NOT_INUSE", "NOT_INUSE", "-"]));
    for drop in ["--drop-origin events-a", "--drop-origin events-a@80"] {
        let one = run_with(&format!("{files} --until 100 {drop}"));
        assert_eq!(one.troubles, [""; 0]);
        assert_eq!(row(&one, "IAX2/alice "), of(&[&*phone[2], "-", &*phone[2]]), "{drop}");
        assert_eq!(row(&one, "confbridge:weekly-0 "), None, "{drop}");
    }
    let whole = run_with(&format!("{files} --rounds 2 --drop-origin events-a@30 --drop-origin events-b"));
    // The next round begins with everybody, and the second went when it was over.
    assert_eq!(row(&whole, "IAX2/alice "), of(&["UNKNOWN", "UNKNOWN", "-"]));
    for rows in [format!("78 of 82 ({})\n", one.display()), format!("517 of 521 ({})\n", two.display())] {
        assert!(whole.summary.contains(&format!("rounds 1 to 2, each: cdr rows equal {rows}")), "{whole:?}");
    }
}

/// The console has what the board and everybody else has, whenever it comes and wherever the replay stops.
#[test]
fn a_console_that_joins_has_the_same_table_in_the_end() {
    let mut dice = crate::tests::Dice::new();
    for _ in 0..3 {
        let until = 2 + dice.below(60);
        let join = Duration::from_millis(dice.below(until * 1000) as u64);
        let told = run_with(&format!("--join-after {} --until {until}", join.as_secs_f64()));
        assert_eq!(told.troubles, [""; 0]);
        let line = format!("\nconsole after {join:?}: told of ");
        assert!(told.summary.contains(&line), "{line}{}", told.summary);
        assert!(told.summary.contains(" is the same as that of one that was there from the start\n"));
    }
    let told = run_with("--join-after 10 --until 9");
    assert_eq!(told.troubles, ["--join-after 10s: the replay was over before"]);
}

/// Side by side, as they might have run; the rows of each are those that it has alone.
#[test]
fn recordings_can_be_played_at_once() {
    let folder = Folder::new("together");
    let (one, two) = (folder.file("events-a.ami.gz", RICH), folder.file("events-b.ami.gz", SIMPLE));
    folder.file("Master-a.csv", include_bytes!("recordings/Master-rich.csv"));
    folder.file("Master-b.csv", include_bytes!("recordings/Master.csv"));
    let files = format!("--together {} {}", one.display(), two.display());
    let told = run_with(&format!("{files} --join-after 45"));
    assert_eq!(told.troubles, [""; 0]);
    let rich = format!("\nround 1: cdr rows equal 78 of 82 ({})\n", one.display());
    let simple = format!("\nround 1: cdr rows equal 517 of 521 ({})\n", two.display());
    assert!(told.summary.contains(&rich) && told.summary.contains(&simple), "{}", told.summary);
    assert!(told.summary.contains(" is the same as that of one that was there from the start\n"));
    // In mid-traffic both have channels, and telephones in use.
    let told = run_with(&format!("{files} --until 30 --state --join-after 15"));
    assert_eq!(told.troubles, [""; 0]);
    let state = told.state.expect("asked for");
    for origin in [" events-a ", " events-b "] {
        let of = state.lines().filter(|line| line.starts_with("IAX2/") && line.contains(origin));
        assert!(of.count() > 3, "{origin}{state}");
    }
    let phones = state.lines().filter(|line| line.starts_with("IAX2/")).map(str::split_whitespace);
    let said: Vec<Vec<_>> =
        phones.map(|words| words.skip(1).collect()).filter(|words: &Vec<_>| words.len() == 3).collect();
    assert!(said.iter().any(|words| words[0] == words[1] && words[0] != words[2]), "{state}");
    assert!(said.iter().any(|words| words[0] == words[2] && words[0] != words[1]), "{state}");
}
