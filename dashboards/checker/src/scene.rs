//! The switchboards and the Prometheus that scrapes them.

use crate::prometheus::{JOB, Prometheus, Target};
use crate::switchboard::{Faucet, Switchboard};
use crate::{Outcome, http, wait_until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Instances by what is the matter with them.
pub const AT_WORK: &str = "at-work";
pub const AT_REST: &str = "at-rest";
pub const WITH_FAULTS: &str = "with-faults";
pub const STUCK: &str = "stuck";
pub const GONE: &str = "gone";

const SCRAPES_MIN: f64 = 8.0;
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Scene {
    pub prometheus: Prometheus,
    pub at_work: Switchboard,
    pub at_rest: Switchboard,
    /// Dropped, the one at rest comes to its end.
    pub faucet: Option<Faucet>,
    /// Those that are only there to be scraped.
    _others: [Switchboard; 2],
}

pub fn dashboards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn rules() -> [PathBuf; 2] {
    ["recording", "alerts"].map(|file| dashboards().join(format!("prometheus/{file}.rules.yml")))
}

impl Scene {
    /// Returns when Prometheus has scraped everybody several times.
    pub fn set(program: &Path, folder: &Path) -> Outcome<Self> {
        fs::create_dir_all(folder)?;
        let mut faucet = Faucet::new(folder)?;
        let start = |instance: &str, arguments: &[&str]| {
            Switchboard::start(program, &folder.join(instance), arguments)
        };
        let forever = ["--speed", "5", "--rounds", "forever"];
        let with = |faults: &[&'static str]| [&forever, faults].concat();

        let input = faucet.path().to_str().ok_or("a folder that is no UTF-8")?;
        // With losses and panics, so that there is something of everything to be counted.
        let at_rest = start(AT_REST, &[input, "--slow", "cdr=1ms", "--panic", "feed=1%"])?;
        let at_work = start(AT_WORK, &forever)?;
        let with_faults =
            start(WITH_FAULTS, &with(&["--slow", "cdr=20ms", "--panic", "cdr=5%", "--stall", "feed"]))?;
        let stuck = start(STUCK, &with(&["--stall", "cdr"]))?;
        let target = |instance, switchboard: &Switchboard| Target { instance, address: switchboard.address };
        let targets = [
            target(AT_REST, &at_rest),
            target(AT_WORK, &at_work),
            target(WITH_FAULTS, &with_faults),
            target(STUCK, &stuck),
            Target { instance: GONE, address: http::free_address()? },
        ];
        let rules = rules();
        let prometheus = Prometheus::start(folder, &rules.each_ref().map(PathBuf::as_path), &targets)?;
        let scene = Self { prometheus, at_work, at_rest, faucet: None, _others: [with_faults, stuck] };
        // Once it is scraped: what it counts then is seen to grow.
        scene.wait_for_scrapes(1.0)?;
        pour(&mut faucet)?;
        scene.wait_for_scrapes(SCRAPES_MIN)?;
        Ok(Self { faucet: Some(faucet), ..scene })
    }

    fn wait_for_scrapes(&self, scrapes: f64) -> Outcome<()> {
        let answers = format!("sum_over_time(up{{job=\"{JOB}\",instance!=\"{GONE}\"}}[5m])");
        wait_until(&format!("everybody was scraped {scrapes} times"), PATIENCE, || {
            let counts = self.prometheus.ask(&answers)?;
            Ok(counts.len() == 4 && counts.iter().all(|count| count.value >= scrapes))
        })
    }

    /// The one at work has done its work well, and the others need no farewell.
    pub fn end(mut self) -> Outcome<()> {
        self.at_work.interrupt()
    }
}

/// The recording that comes with the example.
fn pour(faucet: &mut Faucet) -> Outcome<()> {
    let recording = dashboards().join("../examples/switchboard/recordings/events.ami.gz");
    let mut unpack = Command::new("gzip").arg("-dc").arg(recording).stdout(Stdio::piped()).spawn()?;
    let poured = faucet.pour(unpack.stdout.take().ok_or("no output")?)?;
    match unpack.wait()?.success() && poured > 0 {
        true => Ok(()),
        false => Err("the recording cannot be unpacked".into()),
    }
}
