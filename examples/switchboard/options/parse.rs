//! From words to options. Every mistake names the option, the value and what is allowed.

use super::{Command, Consumer, DropOrigin, Faults, Live, Options, Rounds, SECRET, Secret, Speed, View};
use crate::{figures, origins};
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Plays of all recordings at most, if not for ever.
const ROUNDS_MAX: u32 = 1_000_000;
const SPEED_RANGE: (f64, f64) = (0.001, 1_000_000.0);
/// A hundred years.
const UNTIL_SECONDS_MAX: f64 = 3_155_760_000.0;
const SLOW_MAX: Duration = Duration::from_secs(60);

/// Why the command line makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    Unknown(OsString),
    EmptyName,
    NoValue(Setting),
    Value(Setting, String),
    Twice(String),
    /// The second makes no sense with the first.
    Together(&'static str, &'static str),
    /// The first needs the second.
    Needs(&'static str, &'static str),
    /// No recording has that name; these have one.
    NoOrigin(String, Vec<String>),
}

/// An option that has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Speed,
    Rounds,
    Until,
    JoinAfter,
    DropOrigin,
    Live,
    User,
    Ami,
    Serve,
    Out,
    Slow,
    Stall,
    Panic,
}

/// The options as far as they are read.
#[derive(Default)]
struct Draft {
    options: Options,
    rounds: Option<Rounds>,
    live: Option<(String, u16)>,
    user: Option<String>,
}

/// `environment` tells a variable's value.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, Mistake> {
    let (mut draft, mut arguments) = (Draft::default(), arguments.into_iter());
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--") => break,
            Some("--help" | "-h") => return Ok(Command::Help),
            Some("--together") => draft.options.together = true,
            Some("--state") => draft.options.state = true,
            Some("board") => draft.options.view = View::Board,
            Some(text) if text.starts_with('-') => {
                let (setting, value) = split(text).ok_or_else(|| Mistake::Unknown(argument.clone()))?;
                let value = value.or_else(|| arguments.next()).filter(|value| !value.is_empty());
                draft.set(setting, value.ok_or(Mistake::NoValue(setting))?)?;
            }
            _ => draft.add_file(argument)?,
        }
    }
    arguments.try_for_each(|file| draft.add_file(file))?;
    draft.finish(environment).map(|options| Command::Run(Box::new(options)))
}

/// `--name` or `--name=value`. A value that is not UTF-8 has to stand alone.
fn split(text: &str) -> Option<(Setting, Option<OsString>)> {
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    let setting = Setting::ALL.into_iter().find(|setting| setting.name() == name)?;
    Some((setting, value.map(OsString::from)))
}

impl Draft {
    fn add_file(&mut self, name: OsString) -> Result<(), Mistake> {
        if name.is_empty() {
            return Err(Mistake::EmptyName);
        }
        self.options.files.push(name.into());
        Ok(())
    }

    fn set(&mut self, setting: Setting, value: OsString) -> Result<(), Mistake> {
        if setting == Setting::Out {
            return once(&mut self.options.out, setting, Some(PathBuf::from(value)), "");
        }
        let text = value.to_string_lossy();
        let faults = &mut self.options.faults;
        match setting {
            Setting::Speed => once(&mut self.options.speed, setting, speed(&text), &text),
            Setting::Rounds => once(&mut self.rounds, setting, rounds(&text), &text),
            Setting::Until => once(&mut self.options.until, setting, until(&text), &text),
            Setting::JoinAfter => once(&mut self.options.join_after, setting, until(&text), &text),
            Setting::DropOrigin => self.drop_origin(&text),
            Setting::Live => once(&mut self.live, setting, host_and_port(&text), &text),
            Setting::User => once(&mut self.user, setting, one_line(&text), &text),
            Setting::Ami => once(&mut self.options.ami, setting, loopback(&text), &text),
            Setting::Serve => once(&mut self.options.serve, setting, loopback(&text), &text),
            Setting::Slow => faults.add(setting, &text, |fault, value| put(&mut fault.slow, time(value?)?)),
            Setting::Stall => faults.add(setting, &text, |fault, value| {
                value.is_none().then(|| !std::mem::replace(&mut fault.stalls, true))
            }),
            Setting::Panic => {
                faults.add(setting, &text, |fault, value| put(&mut fault.panic_percent, percent(value?)?))
            }
            Setting::Out => Ok(()),
        }
    }

    fn drop_origin(&mut self, text: &str) -> Result<(), Mistake> {
        let setting = Setting::DropOrigin;
        let drop = drop_origin(text).ok_or_else(|| Mistake::Value(setting, text.to_owned()))?;
        if self.options.drops.iter().any(|other| other.name == drop.name) {
            return Err(Mistake::Twice(format!("{} for {}", setting.name(), drop.name)));
        }
        self.options.drops.push(drop);
        Ok(())
    }

    fn finish(mut self, environment: impl Fn(&str) -> Option<OsString>) -> Result<Options, Mistake> {
        let options = &mut self.options;
        let too_much = [
            (!options.files.is_empty(), "FILE"),
            (options.speed.is_some(), "--speed"),
            (self.rounds.is_some(), "--rounds"),
            (options.together, "--together"),
            (!options.drops.is_empty(), "--drop-origin"),
        ];
        options.rounds = self.rounds.unwrap_or_default();
        options.live = match (self.live, self.user) {
            (None, None) => None,
            (None, Some(_)) => return Err(Mistake::Needs("--user", "--live HOST:PORT")),
            (Some(_), None) => return Err(Mistake::Needs("--live", "--user U")),
            (Some((host, port)), Some(user)) => {
                if let Some((_, what)) = too_much.iter().find(|(is_given, _)| *is_given) {
                    return Err(Mistake::Together("--live", what));
                }
                Some(Live { host, port, user, secret: secret(environment(SECRET))? })
            }
        };
        if options.serve.is_some() && !figures::ARE_SERVED {
            return Err(Mistake::Needs("--serve", figures::BUILD_WITH));
        }
        if options.together && options.files.len() < 2 {
            return Err(Mistake::Needs("--together", "two FILEs or more"));
        }
        let names = origins::names(&options.files);
        if let Some(unknown) = options.drops.iter().find(|drop| !names.contains(&drop.name)) {
            return Err(Mistake::NoOrigin(unknown.name.clone(), names));
        }
        Ok(self.options)
    }
}

fn secret(value: Option<OsString>) -> Result<Secret, Mistake> {
    let value = value.filter(|value| !value.is_empty());
    let value =
        value.ok_or(Mistake::Needs("--live", "its secret in the environment variable STASIS_AMI_SECRET"))?;
    let line = value.to_str().and_then(one_line);
    line.map(Secret).ok_or(Mistake::Needs("--live", "a secret (STASIS_AMI_SECRET) that is one line of UTF-8"))
}

/// Sets what is not set yet. `value` is None if `text` makes no sense.
fn once<T>(slot: &mut Option<T>, setting: Setting, value: Option<T>, text: &str) -> Result<(), Mistake> {
    let value = value.ok_or_else(|| Mistake::Value(setting, text.to_owned()))?;
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Mistake::Twice(setting.name().to_owned())),
    }
}

/// Whether it was not there.
fn put<T>(slot: &mut Option<T>, value: T) -> Option<bool> {
    Some(slot.replace(value).is_none())
}

impl Faults {
    /// `NAME` or `NAME=VALUE`. `set` says None if the value makes no sense, false if there was one.
    fn add(
        &mut self,
        setting: Setting,
        text: &str,
        set: impl FnOnce(&mut super::Fault, Option<&str>) -> Option<bool>,
    ) -> Result<(), Mistake> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let consumer = Consumer::ALL.into_iter().find(|consumer| consumer.name() == name);
        match consumer.and_then(|consumer| set(self.of_mut(consumer), value)) {
            Some(true) => Ok(()),
            Some(false) => Err(Mistake::Twice(format!("{} for {name}", setting.name()))),
            None => Err(Mistake::Value(setting, text.to_owned())),
        }
    }
}

/// A plain decimal number: no sign, no exponent, no infinity.
fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

fn speed(text: &str) -> Option<Speed> {
    let (least, most) = SPEED_RANGE;
    number(text).filter(|speed| (least..=most).contains(speed)).map(Speed)
}

fn rounds(text: &str) -> Option<Rounds> {
    match text {
        "forever" => Some(Rounds::Forever),
        _ => text.parse().ok().filter(|times| (1..=ROUNDS_MAX).contains(times)).map(Rounds::Times),
    }
}

fn until(text: &str) -> Option<Duration> {
    number(text).filter(|seconds| *seconds <= UNTIL_SECONDS_MAX).map(Duration::from_secs_f64)
}

fn drop_origin(text: &str) -> Option<DropOrigin> {
    let (name, after) = match text.split_once('@') {
        Some((name, after)) => (name, Some(until(after)?)),
        None => (text, None),
    };
    (!name.is_empty()).then(|| DropOrigin { name: name.to_owned(), after })
}

fn time(text: &str) -> Option<Duration> {
    let (amount, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    let amount = number(amount)?;
    let time = Duration::try_from_secs_f64(amount * seconds).ok()?;
    (time > Duration::ZERO && time <= SLOW_MAX).then_some(time)
}

fn percent(text: &str) -> Option<f64> {
    number(text.strip_suffix('%')?).filter(|percent| *percent > 0.0 && *percent <= 100.0)
}

fn one_line(text: &str) -> Option<String> {
    (!text.contains(['\r', '\n', '\0'])).then(|| text.to_owned())
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|host| host.parse::<std::net::Ipv6Addr>().is_ok())?,
        None => Some(host).filter(|host| !host.contains(':'))?,
    };
    let is_name = !host.is_empty() && !host.contains(char::is_whitespace);
    is_name.then(|| (host.to_owned(), port))
}

fn loopback(text: &str) -> Option<SocketAddr> {
    let port =
        |text: &str| text.parse::<u16>().ok().map(|port| (IpAddr::from(Ipv4Addr::LOCALHOST), port).into());
    let address = port(text)
        .or_else(|| port(text.strip_prefix("localhost:")?))
        .or_else(|| text.parse::<SocketAddr>().ok())?;
    address.ip().is_loopback().then_some(address)
}

impl Setting {
    const ALL: [Self; 13] = [
        Self::Speed,
        Self::Rounds,
        Self::Until,
        Self::JoinAfter,
        Self::DropOrigin,
        Self::Live,
        Self::User,
        Self::Ami,
        Self::Serve,
        Self::Out,
        Self::Slow,
        Self::Stall,
        Self::Panic,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Speed => "--speed",
            Self::Rounds => "--rounds",
            Self::Until => "--until",
            Self::JoinAfter => "--join-after",
            Self::DropOrigin => "--drop-origin",
            Self::Live => "--live",
            Self::User => "--user",
            Self::Ami => "--ami",
            Self::Serve => "--serve",
            Self::Out => "--out",
            Self::Slow => "--slow",
            Self::Stall => "--stall",
            Self::Panic => "--panic",
        }
    }

    /// What its value may be.
    const fn allowed(self) -> &'static str {
        match self {
            Self::Speed => "a number from 0.001 to 1000000",
            Self::Rounds => "a number from 1 to 1000000, or forever",
            Self::Until | Self::JoinAfter => "seconds from 0 to 3155760000",
            Self::DropOrigin => "ORIGIN or ORIGIN@SECONDS, with seconds from 0 to 3155760000",
            Self::Live => "HOST:PORT, with a port from 1 to 65535 and an IPv6 address in brackets",
            Self::User => "a manager's name, in one line",
            Self::Ami | Self::Serve => "an address of this machine: PORT, 127.0.0.1:PORT or [::1]:PORT",
            Self::Out => "the name of a folder",
            Self::Slow => {
                "NAME=TIME: cdr, feed or journal, and a time up to 60s in us, ms or s, like cdr=5ms"
            }
            Self::Stall => "NAME: cdr, feed or journal",
            Self::Panic => {
                "NAME=PERCENT: cdr, feed or journal, and more than 0% up to 100%, like journal=0.1%"
            }
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "unknown option {name:?}"),
            Self::EmptyName => f.write_str("the recording's name is empty"),
            Self::NoValue(setting) => write!(f, "{} needs {}", setting.name(), setting.allowed()),
            Self::Value(setting, value) => {
                write!(f, "{} {value:?}: allowed is {}", setting.name(), setting.allowed())
            }
            Self::Twice(what) => write!(f, "{what} is given twice"),
            Self::Together(one, other) => write!(f, "{one} and {other} do not go together"),
            Self::Needs(one, other) => write!(f, "{one} needs {other}"),
            Self::NoOrigin(name, names) => {
                write!(f, "--drop-origin {name:?}: allowed is one of {}", names.join(", "))
            }
        }
    }
}

impl std::error::Error for Mistake {}
