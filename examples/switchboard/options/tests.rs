//! What is understood, and what is said of the rest.

use super::parse::Mistake;
use super::*;
use std::ffi::OsString;

fn parsed(arguments: &str) -> Result<Command, Mistake> {
    let words = arguments.split(' ').filter(|word| !word.is_empty());
    let words = words.map(|word| OsString::from(if word == "EMPTY" { "" } else { word }));
    parse(words, |name| (name == SECRET).then(|| "sesame".into()))
}

fn options(arguments: &str) -> Options {
    match parsed(arguments) {
        Ok(Command::Run(options)) => *options,
        other => panic!("{arguments}: {other:?}"),
    }
}

fn mistake(arguments: &str) -> String {
    parsed(arguments).expect_err(arguments).to_string()
}

#[test]
fn nothing_given_is_the_shipped_recording_once_as_fast_as_possible() {
    assert_eq!(options(""), Options::default());
    assert_eq!(Options::default().rounds, Rounds::Times(1));
}

#[test]
fn takes_files_and_a_folder_in_any_order() {
    for text in ["a.ami b.ami --out d", "--out=d a.ami b.ami", "a.ami --out d -- b.ami"] {
        let Options { files, out, view, .. } = options(text);
        assert_eq!(files, [PathBuf::from("a.ami"), PathBuf::from("b.ami")], "{text}");
        assert_eq!((out, view), (Some(PathBuf::from("d")), View::Line));
    }
    assert_eq!(options("-- --out board").files, [PathBuf::from("--out"), PathBuf::from("board")]);
    assert_eq!(parsed("a.ami --help"), Ok(Command::Help));
}

#[test]
fn takes_the_board_and_all_that_paces() {
    let options = options("board --speed 0.5 --rounds forever --until=90.25");
    assert_eq!(options.view, View::Board);
    assert_eq!((options.speed, options.rounds), (Some(Speed(0.5)), Rounds::Forever));
    assert_eq!(options.until, Some(Duration::from_millis(90_250)));
    assert!(options.rounds.has(1) && options.rounds.has(u32::MAX));
    assert!(Rounds::Times(2).has(2) && !Rounds::Times(2).has(3));
}

#[test]
fn takes_addresses() {
    let addresses = [
        ("5038", "127.0.0.1:5038"),
        ("localhost:0", "127.0.0.1:0"),
        ("127.0.0.2:7", "127.0.0.2:7"),
        ("[::1]:9", "[::1]:9"),
    ];
    for (text, meant) in addresses {
        assert_eq!(options(&format!("--ami {text}")).ami, Some(meant.parse().expect(meant)));
        #[cfg(any(feature = "prometheus", feature = "console"))]
        assert_eq!(options(&format!("--serve {text}")).serve, Some(meant.parse().expect(meant)));
    }
    for (text, host) in [("pbx.example:5038", "pbx.example"), ("[::1]:5038", "::1")] {
        let live = options(&format!("--live {text} --user u")).live.expect(text);
        assert_eq!((live.host.as_str(), live.port, live.user.as_str()), (host, 5038, "u"));
        assert_eq!(live.secret.0, "sesame");
        assert!(!format!("{live:?}").contains("sesame"), "{live:?}");
    }
}

#[test]
fn takes_a_fault_for_each_consumer() {
    let faults = options("--slow cdr=5ms --slow=feed=1.5s --stall feed --panic journal=0.1%").faults;
    let slow = |time| Fault { slow: Some(time), ..Fault::default() };
    assert_eq!(faults.of(Consumer::Cdr), slow(Duration::from_millis(5)));
    assert_eq!(faults.of(Consumer::Feed), Fault { stalls: true, ..slow(Duration::from_millis(1500)) });
    let journal = faults.of(Consumer::Journal);
    assert_eq!(journal, Fault { panic_percent: Some(0.1), ..Fault::default() });
    assert!(faults.of(Consumer::Cdr).delays() && !journal.delays());
}

#[test]
fn says_what_is_wrong_with_the_words() {
    let cases = [
        ("--fast", "unknown option \"--fast\""),
        ("--fast=9", "unknown option \"--fast=9\""),
        ("-", "unknown option \"-\""),
        ("EMPTY", "the recording's name is empty"),
        ("--out", "--out needs the name of a folder"),
        ("--out=", "--out needs the name of a folder"),
        ("--speed EMPTY", "--speed needs a number from 0.001 to 1000000"),
        ("--out a --out b", "--out is given twice"),
        ("--rounds 1 --rounds 1", "--rounds is given twice"),
        ("--slow cdr=1s --slow cdr=2s", "--slow for cdr is given twice"),
        ("--stall cdr --stall cdr", "--stall for cdr is given twice"),
        ("--user u", "--user needs --live HOST:PORT"),
        ("--live h:1", "--live needs --user U"),
        ("--live h:1 --user u a.ami", "--live and FILE do not go together"),
        ("--live h:1 --user u --speed 2", "--live and --speed do not go together"),
        ("--live h:1 --user u --rounds 1", "--live and --rounds do not go together"),
        ("--live h:1 --user u --drop-origin h", "--live and --drop-origin do not go together"),
        ("--together a.ami", "--together needs two FILEs or more"),
        ("--live h:1 --user u --together", "--live and --together do not go together"),
        ("--state=yes", "unknown option \"--state=yes\""),
        ("--drop-origin x", "--drop-origin \"x\": allowed is one of events"),
        ("--drop-origin x@5 a.ami d/a.ami.gz b", "--drop-origin \"x\": allowed is one of a, a-2, b"),
        ("--drop-origin a@5 --drop-origin a a.ami", "--drop-origin for a is given twice"),
        ("--join-after 1 --join-after 1", "--join-after is given twice"),
    ];
    for (arguments, said) in cases {
        assert_eq!(mistake(arguments), said);
    }
}

#[test]
fn takes_all_that_asks_how_things_stand() {
    let options = options("--state --join-after 30 --drop-origin b@1.5 --drop-origin=a a.ami d/b.ami.gz");
    assert_eq!((options.state, options.join_after), (true, Some(Duration::from_secs(30))));
    let drops = [("b", Some(Duration::from_millis(1500))), ("a", None)];
    assert_eq!(options.drops, drops.map(|(name, after)| DropOrigin { name: name.into(), after }));
}

/// Each names the option, the value and what is allowed.
#[test]
fn says_what_is_wrong_with_a_value() {
    let cases = [
        ("--speed", "a number from 0.001", "0 -1 fast 1e3 inf NaN 1000001 5x 1.2.3 ."),
        ("--rounds", "a number from 1 to 1000000, or forever", "0 -1 1.5 1000001 ever"),
        ("--until", "seconds from 0", "-1 soon 5s 9999999999 inf"),
        ("--join-after", "seconds from 0", "-1 soon 5s 9999999999 inf"),
        ("--drop-origin", "ORIGIN or ORIGIN@SECONDS", "@5 a@ a@soon a@-1 a@5s a@5@6"),
        ("--live", "HOST:PORT", "h h: :5 h:0 h:65536 ::1:5 [::1] [h]:5 [::1:5"),
        ("--ami", "an address of this machine", "65536 0.0.0.0:5 10.0.0.1:5 [::]:5 h:5 127.0.0.1"),
        ("--serve", "an address of this machine", "65536 0.0.0.0:5 10.0.0.1:5 [::]:5 h:5 127.0.0.1"),
        (
            "--slow",
            "NAME=TIME: cdr, feed or journal",
            "cdr cdr= cdr=5 cdr=ms cdr=0ms cdr=61s cdr=5h x=5ms =5ms",
        ),
        ("--stall", "NAME: cdr, feed or journal", "x cdr=1 cdr="),
        ("--panic", "NAME=PERCENT", "cdr cdr=1 cdr=0% cdr=101% cdr=-1% x=1%"),
    ];
    for (option, allowed, values) in cases {
        for value in values.split(' ') {
            let said = mistake(&format!("{option} {value}"));
            assert!(said.starts_with(&format!("{option} {value:?}: allowed is {allowed}")), "{said}");
        }
    }
    assert!(mistake("--user a\nb").starts_with("--user \"a\\nb\": allowed is "));
}

#[test]
fn a_live_connection_needs_its_secret() {
    let words = || ["--live", "h:1", "--user", "u"].map(OsString::from);
    for (value, said) in [
        (None, "--live needs its secret in the environment variable STASIS_AMI_SECRET"),
        (Some(""), "--live needs its secret in the environment variable STASIS_AMI_SECRET"),
        (Some("a\r\nb"), "--live needs a secret (STASIS_AMI_SECRET) that is one line of UTF-8"),
    ] {
        let mistake = parse(words(), |_| value.map(OsString::from)).expect_err("no secret");
        assert_eq!(mistake.to_string(), said);
    }
}

/// What was left out of the build is said at once, and how to have it.
#[test]
#[cfg(not(any(feature = "prometheus", feature = "console")))]
fn figures_need_features() {
    assert_eq!(mistake("--serve 0"), "--serve needs a build with `--features prometheus,console`");
}

/// Usage and parser are two texts; no option is in one of them only.
#[test]
fn the_usage_names_every_option() {
    for name in
        "together speed rounds until state join-after drop-origin live user ami serve out slow stall panic help"
            .split(' ')
    {
        assert!(USAGE.contains(&format!("--{name}")), "{name}");
    }
    assert!(USAGE.contains(SECRET));
    assert!(USAGE.lines().all(|line| line.chars().count() <= 106));
}
