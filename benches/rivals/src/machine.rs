//! The machine, and what else it was doing meanwhile.

use std::fmt;
use std::fs::read_to_string;
use std::process::{Command, Stdio};

/// Processor time is counted in ticks of 10 ms, for each processor on its own.
const TICKS_UNCERTAIN: u64 = 2;

/// The load while we ran: a comparison on a busy machine says less.
pub struct Load {
    cpu: String,
    processors: usize,
    average_before: String,
    average_after: String,
    before: Ticks,
    after: Ticks,
}

/// Processor time in clock ticks, since boot and since our start.
#[derive(Clone, Copy, Default)]
struct Ticks {
    all: u64,
    /// Everybody's work, and what the host took away.
    busy: u64,
    own: u64,
}

impl Load {
    pub fn begin() -> Self {
        Self {
            cpu: cpu_name(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            average_before: load_average(),
            average_after: String::new(),
            before: Ticks::read(),
            after: Ticks::default(),
        }
    }

    pub fn end(mut self) -> Self {
        self.average_after = load_average();
        self.after = Ticks::read();
        self
    }

    /// The part of the machine's time that others used, in percent.
    fn others(&self) -> f64 {
        let used = self.after.since(self.before);
        100.0 * used.others() as f64 / used.all.max(1) as f64
    }
}

/// Watches one repetition.
pub struct Watch(Ticks);

impl Watch {
    pub fn start() -> Self {
        Self(Ticks::read())
    }

    /// Whether others used a tenth of the machine's time or more, beyond what the coarse clock ticks may pretend.
    pub fn was_disturbed(&self) -> bool {
        let used = Ticks::read().since(self.0);
        used.others() > used.all / 10 + TICKS_UNCERTAIN
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (&self.average_before, &self.average_after);
        let (processors, cpu, memory) = (self.processors, &self.cpu, memory());
        writeln!(
            f,
            "machine: {processors} x {cpu}, {memory}, {}, {}",
            kernel(),
            said_by("rustc", &["--version"])
        )?;
        writeln!(f, "date: {}", said_by("date", &["-u", "+%F %H:%M UTC"]))?;
        write!(
            f,
            "load average: {before} before, {after} after; others used {:.1} % of the time",
            self.others()
        )
    }
}

impl Ticks {
    fn since(self, before: Self) -> Self {
        Self { all: self.all - before.all, busy: self.busy - before.busy, own: self.own - before.own }
    }

    fn others(self) -> u64 {
        self.busy.saturating_sub(self.own)
    }

    /// Zeros where there is no `/proc`.
    fn read() -> Self {
        let cpu = numbers(&first_line("/proc/stat"));
        // user nice system idle iowait irq softirq steal
        let all = cpu.iter().take(8).sum();
        let idle: u64 = cpu.iter().skip(3).take(2).sum();
        let stat = first_line("/proc/self/stat");
        // Behind the name in brackets, utime and stime are the 12th and 13th fields; then those of children that ended.
        let own = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let own = own.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
        Self { all, busy: all - idle, own }
    }
}

fn numbers(line: &str) -> Vec<u64> {
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn first_line(path: &str) -> String {
    read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

fn load_average() -> String {
    first_line("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn memory() -> String {
    let kilobytes = numbers(&first_line("/proc/meminfo")).first().copied().unwrap_or_default();
    format!("{} GiB", (kilobytes + (1 << 19)) >> 20)
}

/// The first line that the program prints; what is asked if there is no such program.
fn said_by(program: &str, arguments: &[&str]) -> String {
    let said = Command::new(program).args(arguments).stderr(Stdio::null()).output();
    let text = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or(program).to_owned()
}

fn kernel() -> String {
    first_line("/proc/version").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn cpu_name() -> String {
    let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or("processor", |(_, name)| name.trim()).to_owned()
}
