//! The options of a bus as a text in TOML: what there is, and what may stand there.

mod reader;
mod time;

use super::Bus;
use super::builder::{BusBuilder, GROW_AFTER_ALLOWED, IDLE_TIMEOUT_ALLOWED, workers_auto};
use crate::dispatch::run_queue::SEATS_MAX;
use crate::dispatch::wait::{SPIN_MICROS_ALLOWED, Wait};
use crate::error::{ConfigTextError, Error};
use crate::mailbox::{Grow, Overflow, policy};
use crate::message::CONTROL_TYPES;
use reader::{Field, Section};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

const TOP: &[&str] = &["node", "decline", "pool", "subscriptions"];
const POOL: &[&str] = &["workers_min", "workers_max", "grow_after", "idle_timeout", "wait", "thread_name"];
const WAIT: &[&str] = &["spin"];
const SUBSCRIPTIONS: &[&str] = &["capacity", "overflow", "water_marks"];
const OVERFLOW: &[&str] = &["policy", "limit", "timeout"];
const WATER_MARKS: &[&str] = &["high", "low"];
/// All tables there are, for who looks for a field in the wrong one.
const TABLES: &[(&str, &[&str])] = &[
    ("", TOP),
    ("pool", POOL),
    ("pool.wait", WAIT),
    ("subscriptions", SUBSCRIPTIONS),
    ("subscriptions.overflow", OVERFLOW),
    ("subscriptions.water_marks", WATER_MARKS),
];

const POLICIES: &str = "\"grow\", \"drop_newest\", \"drop_oldest\", \"block\" and \"disconnect\", alone or as a table \
                        with policy and, for grow, limit, for block, timeout";
/// So many messages beyond the capacity can be asked for; more is `"unbounded"`.
const GROW_MAX: usize = 1 << 40;
const WORKERS_ALLOWED: RangeInclusive<usize> = 1..=SEATS_MAX;
const SPIN_ALLOWED: (Duration, Duration) =
    (Duration::from_micros(*SPIN_MICROS_ALLOWED.start()), Duration::from_micros(*SPIN_MICROS_ALLOWED.end()));
const BLOCK_ALLOWED: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(86_400));

/// The options of a bus, read from a text in TOML. Needs the feature `config`.
///
/// What the text leaves out stays as the [`BusBuilder`] has it. `docs/stasis-bus.toml` is a text with every field at
/// its default, and a word about each.
///
/// ```
/// use stasis_bus::{Bus, BusConfig};
/// let config = BusConfig::from_toml(r#"
///     node = "pbx-1"
///     decline = ["rtp_statistics"]
///
///     [pool]
///     workers_max = 8
///     grow_after = "5ms"
///
///     [subscriptions]
///     capacity = 4096
///     overflow = { policy = "block", timeout = "250ms" }
/// "#)?;
/// let bus = Bus::from_config(&config)?;
/// assert!(bus.message_type::<u64>("rtp_statistics")?.is_declined());
///
/// let error = BusConfig::from_toml("[pool]\ngrow_after = \"5us\"").unwrap_err();
/// assert_eq!(error.to_string(), "line 2, column 14: pool.grow_after is \"5us\"; allowed are 100us to 10s");
/// let error = BusConfig::from_toml("[pool]\nidle_timout = \"1s\"").unwrap_err();
/// assert_eq!(error.to_string(), "line 2, column 1: pool.idle_timout is unknown; did you mean pool.idle_timeout?");
/// # Ok::<(), stasis_bus::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct BusConfig {
    node: Option<String>,
    decline: Vec<String>,
    workers_min: Option<usize>,
    /// `Some(None)`: "auto".
    workers_max: Option<Option<usize>>,
    grow_after: Option<Duration>,
    /// `Some(None)`: never.
    idle_timeout: Option<Option<Duration>>,
    wait: Option<Wait>,
    thread_name: Option<String>,
    capacity: Option<usize>,
    overflow: Option<Overflow>,
    /// `Some(None)`: "auto".
    water_marks: Option<Option<(usize, usize)>>,
}

impl BusConfig {
    /// Reads the options.
    ///
    /// # Errors
    ///
    /// At the first thing that is wrong: the error names the line and column, the field, the value and what is allowed. A field
    /// that is not known is an error, and the one that is called nearly so is named. A text has at most 1 MiB.
    pub fn from_toml(text: &str) -> Result<Self, ConfigTextError> {
        let document = reader::parse(text)?;
        let top = Section::open(text, String::new(), document.get_ref(), TOP)?;
        let mut config = Self {
            node: top.read("node", Field::name)?,
            decline: top.read("decline", type_names)?.unwrap_or_default(),
            ..Self::default()
        };
        if let Some(pool) = top.section("pool", POOL)? {
            config.read_pool(&pool)?;
        }
        if let Some(subscriptions) = top.section("subscriptions", SUBSCRIPTIONS)? {
            config.read_subscriptions(&subscriptions)?;
        }
        Ok(config)
    }

    /// Reads the options from a file.
    ///
    /// # Errors
    ///
    /// As [`from_toml`](Self::from_toml), and if the file cannot be read or is no UTF-8. The error names the file.
    ///
    /// ```no_run
    /// use stasis_bus::{Bus, BusConfig};
    /// let bus = Bus::from_config(&BusConfig::from_file("stasis-bus.toml")?)?;
    /// # Ok::<(), stasis_bus::Error>(())
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigTextError> {
        let path = path.as_ref();
        reader::text_of(path)
            .and_then(|text| Self::from_toml(&text))
            .map_err(|error| ConfigTextError { file: Some(path.to_owned()), ..error })
    }

    fn read_pool(&mut self, pool: &Section<'_>) -> Result<(), ConfigTextError> {
        let most = *WORKERS_ALLOWED.end();
        self.workers_max = pool.read("workers_max", |field| field.number_or("auto", WORKERS_ALLOWED))?;
        self.workers_min =
            pool.read("workers_min", |field| field.number(1..=self.workers_max.flatten().unwrap_or(most)))?;
        self.grow_after = pool.read("grow_after", |field| field.time(GROW_AFTER_ALLOWED))?;
        self.idle_timeout =
            pool.read("idle_timeout", |field| field.time_or("never", IDLE_TIMEOUT_ALLOWED))?;
        self.wait = pool.read("wait", wait)?;
        self.thread_name = pool.read("thread_name", Field::name)?;
        Ok(())
    }

    fn read_subscriptions(&mut self, section: &Section<'_>) -> Result<(), ConfigTextError> {
        self.capacity = section.read("capacity", |field| field.number(policy::CAPACITY_ALLOWED))?;
        self.overflow = section.read("overflow", overflow)?;
        let capacity = self.capacity.unwrap_or(policy::CAPACITY_DEFAULT);
        let most = self.overflow.as_ref().unwrap_or(&Overflow::default()).room(capacity);
        self.water_marks = section.read("water_marks", |field| water_marks(field, most))?;
        Ok(())
    }
}

fn type_names(field: &Field<'_>) -> Result<Vec<String>, ConfigTextError> {
    let one = |item: Field<'_>| match item.name()? {
        name if CONTROL_TYPES.contains(&name.as_str()) => {
            Err(item.refused("names of types that are not the bus's own"))
        }
        name => Ok(name),
    };
    field.items("a list of names of message types")?.map(one).collect()
}

fn wait(field: &Field<'_>) -> Result<Wait, ConfigTextError> {
    match field.word() {
        Some("park") => Ok(Wait::Park),
        _ => {
            let section = field.section(WAIT, "\"park\" and { spin = \"20us\" }")?;
            section.need("spin", |field| field.time(SPIN_ALLOWED)).map(Wait::SpinThenPark)
        }
    }
}

fn overflow(field: &Field<'_>) -> Result<Overflow, ConfigTextError> {
    match field.word() {
        Some(word) => policy_called(word).ok_or_else(|| field.refused(POLICIES)),
        None => {
            let section = field.section(OVERFLOW, POLICIES)?;
            let policy = section.need("policy", |field| {
                field.word().and_then(policy_called).ok_or_else(|| field.refused(POLICIES))
            })?;
            let limit = section.read("limit", |field| match policy {
                Overflow::Grow(_) => field.number_or("unbounded", 0..=GROW_MAX),
                _ => Err(field.refused("no limits but with policy = \"grow\"")),
            })?;
            let timeout = section.read("timeout", |field| match policy {
                Overflow::Block(_) => field.time_or("forever", BLOCK_ALLOWED),
                _ => Err(field.refused("no timeouts but with policy = \"block\"")),
            })?;
            let limited = limit.map(|most| Overflow::Grow(most.map_or(Grow::unbounded(), Grow::limit)));
            let timed = timeout.map(|time| time.map_or(Overflow::block_forever(), Overflow::Block));
            Ok(limited.or(timed).unwrap_or(policy))
        }
    }
}

/// The policy of that name, with its usual limit.
fn policy_called(name: &str) -> Option<Overflow> {
    Some(match name {
        "grow" => Overflow::default(),
        "drop_newest" => Overflow::DropNewest,
        "drop_oldest" => Overflow::DropOldest,
        "block" => Overflow::block(),
        "disconnect" => Overflow::Disconnect,
        _ => return None,
    })
}

fn water_marks(field: &Field<'_>, most: usize) -> Result<Option<(usize, usize)>, ConfigTextError> {
    if field.word() == Some("auto") {
        return Ok(None);
    }
    let section = field.section(WATER_MARKS, "\"auto\" and { high = 500, low = 450 }")?;
    let high = section.need("high", |field| field.number(1..=most))?;
    let low = section.need("low", |field| field.number(0..=high - 1))?;
    Ok(Some((high, low)))
}

impl Bus {
    /// A bus as `config` says, with everything else at its default. Shorthand for
    /// `Bus::builder().config(config).build()`. Needs the feature `config`.
    ///
    /// # Errors
    ///
    /// None that [`BusConfig::from_toml`] has not reported.
    pub fn from_config(config: &BusConfig) -> Result<Self, Error> {
        Self::builder().config(config).build()
    }
}

impl BusBuilder {
    /// Sets what `config` says, and leaves the rest as it is. Of the numbers of workers, one that `config` does not say
    /// moves along if it has to. What is
    /// said later counts. Needs the feature `config`.
    pub fn config(mut self, config: &BusConfig) -> Self {
        let min = config.workers_min.unwrap_or(*self.workers.start());
        let max = match config.workers_max {
            Some(Some(max)) => max,
            Some(None) => workers_auto().max(min),
            None => (*self.workers.end()).max(min),
        };
        self.workers = config.workers_min.unwrap_or(min.min(max))..=max;
        self.declined.extend(config.decline.iter().cloned());
        set(&mut self.grow_after, &config.grow_after);
        set(&mut self.idle_timeout, &config.idle_timeout);
        set(&mut self.wait, &config.wait);
        set(&mut self.thread_name, &config.thread_name);
        set(&mut self.node, &config.node);
        set(&mut self.defaults.capacity, &config.capacity);
        set(&mut self.defaults.overflow, &config.overflow);
        set(&mut self.defaults.water_marks, &config.water_marks);
        self
    }
}

fn set<T: Clone>(option: &mut T, said: &Option<T>) {
    if let Some(value) = said {
        option.clone_from(value);
    }
}
