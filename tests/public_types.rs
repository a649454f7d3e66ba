//! Every public type of the crate: which auto traits it has, and which must not be dropped by mistake. A type that is
//! missing here fails as well.

use std::collections::BTreeSet;
use std::fs;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::Path;

#[cfg(any(feature = "console", feature = "prometheus"))]
use stasis_bus::http::{Server, ServerBuilder};
#[cfg(feature = "metrics")]
use stasis_bus::observe::{Metric, MetricKind, MetricLabel, MetricUnit, Observer, Publishing};
#[cfg(feature = "tracing")]
use stasis_bus::trace::{Tracer, Tracing};
use stasis_bus::*;

/// Whether a type has a trait: the inherent constant is there only if it has, and goes before the trait's.
macro_rules! has {
    ($type:ty, $trait:path) => {{
        struct Probe<T: ?Sized>(PhantomData<T>);
        #[allow(dead_code)]
        impl<T: ?Sized + $trait> Probe<T> {
            const HAS: bool = true;
        }
        #[allow(dead_code)]
        trait Not {
            const HAS: bool = false;
        }
        impl<T: ?Sized> Not for Probe<T> {}
        <Probe<$type>>::HAS
    }};
}

/// One public type: its name without parameters, and its auto traits as letters: `s`end, s`y`nc, un`p`in, `u`nwind-safe,
/// `r`ef-unwind-safe.
struct Row {
    name: &'static str,
    due: &'static str,
    has: String,
}

macro_rules! table {
    ($($(#[$attribute:meta])* $name:ident $(<$($parameter:tt),+>)? $due:literal)+) => {
        /// Whatever the features.
        const NAMES: &[&str] = &[$(stringify!($name)),+];

        fn table() -> Vec<Row> {
            let mut rows = Vec::new();
            $($(#[$attribute])* rows.push(Row {
                name: stringify!($name),
                due: $due,
                has: [
                    (has!($name $(<$($parameter),+>)?, Send), 's'),
                    (has!($name $(<$($parameter),+>)?, Sync), 'y'),
                    (has!($name $(<$($parameter),+>)?, Unpin), 'p'),
                    (has!($name $(<$($parameter),+>)?, UnwindSafe), 'u'),
                    (has!($name $(<$($parameter),+>)?, RefUnwindSafe), 'r'),
                ].iter().filter(|(has, _)| *has).map(|(_, letter)| letter).collect(),
            });)+
            rows
        }
    };
}

table! {
    // Handles: cross everything.
    Bus "sypur"
    WeakBus "sypur"
    Topic "sypur"
    Subscription "sypur"
    Stream "sypur"
    Forward "sypur"
    MessageType<u8> "sypur"
    TopicOf<u8> "sypur"
    TopicPool "sypur"
    Cache "sypur"
    CachingTopic "sypur"
    Lease<u8> "sypur"
    Watch "sypur"
    Changed<'static> "sypr"
    CachePattern "sypur"
    CacheSingle "sypur"
    StateManager "sypur"
    StatePublisher "sypur"
    StateSubscriber "sypur"
    StateSubscription "sypur"
    StateObservation "sypur"
    Publisher "spur"
    #[cfg(any(feature = "console", feature = "prometheus"))]
    Server "sypur"
    #[cfg(feature = "metrics")]
    Observer "sypur"
    #[cfg(feature = "metrics")]
    Publishing "sypur"
    #[cfg(feature = "tracing")]
    Tracer "sypur"
    #[cfg(feature = "tracing")]
    Tracing "sypur"
    Router "sypur"
    Routes "sypur"
    // Values are shared, and as safe as they are.
    Message "syp"
    PublishAsync "sp"
    Received "syp"
    Delivery<'static> "syp"
    Batch<'static> "syp"
    // With the user's closures.
    ConflateKey "syp"
    CacheBuilder "syp"
    CacheEntry<'static> "syp"
    CachePin<'static> "p"
    Overflow "syp"
    BusBuilder "syp"
    #[cfg(any(feature = "console", feature = "prometheus"))]
    ServerBuilder "sypur"
    SubscriptionBuilder<'static> "sp"
    RouterBuilder<'static> "sp"
    StateSubscriptionBuilder<'static> "sp"
    TypeBuilder<'static, u8> "syp"
    MessageBuilder<'static, u8> "syp"
    #[cfg(feature = "json")]
    JsonSanitizer "syp"
    #[cfg(feature = "config")]
    BusConfig "syp"
    // What callbacks are told.
    PanicReport<'static> "sypur"
    WaterMark "sypur"
    StateView<'static> "sypur"
    ThreadInfo "sypur"
    // Data.
    Filter "sypur"
    Report "sypur"
    BatchReport "sypur"
    Refusal "sypur"
    ShutdownReport "sypur"
    Straggler "sypur"
    TypeInfo "sypur"
    SubscriptionChange "sypur"
    CacheUpdate "syp"
    CacheClear "syp"
    SnapshotEnd "sypur"
    Change "sypur"
    EndReason "sypur"
    Origin "sypur"
    Timestamp "sypur"
    Formatters "sypur"
    AmiEvent "sypur"
    Dispatch "sypur"
    Grow "sypur"
    OnPanic "sypur"
    Wait "sypur"
    Handled "sypur"
    PanicPlace "sypur"
    ThreadKind "sypur"
    Crossing "sypur"
    // Figures.
    Blocked "sypur"
    Bucket "sypur"
    BusStats "sypur"
    Lost "sypur"
    RouterStats "sypur"
    MessageTypeStats "sypur"
    PoolStats "sypur"
    Refused "sypur"
    Rows<u8> "sypur"
    SubscriptionState "sypur"
    SubscriptionStats "sypur"
    Timing "sypur"
    TopicDetail "sypur"
    TopicStats "sypur"
    Totals "sypur"
    Work "sypur"
    WorkerStats "sypur"
    Key "sypur"
    // What is wrong, in words.
    Diagnosis "sypur"
    Finding "sypur"
    Severity "sypur"
    Subject "sypur"
    Trend "sypur"
    Trouble "sypur"
    // Errors.
    Error "sypur"
    ConfigError "sypur"
    #[cfg(feature = "config")]
    ConfigProblem "sypur"
    #[cfg(feature = "config")]
    ConfigTextError "sypur"
    #[cfg(feature = "json")]
    EventError "sypur"
    FilterError "sypur"
    ForwardError "sypur"
    NameError "sypur"
    PoolError "sypur"
    CacheError "sypur"
    CachingError "sypur"
    EntryError "sypur"
    WatchEnded "sypur"
    AnyType "sypur"
    CacheStats "sypur"
    RouteError "sypur"
    #[cfg(any(feature = "console", feature = "prometheus"))]
    ServeError "sypur"
    #[cfg(feature = "metrics")]
    ObserveError "sypur"
    #[cfg(feature = "tracing")]
    TraceError "sypur"
    #[cfg(feature = "metrics")]
    Metric "sypur"
    #[cfg(feature = "metrics")]
    MetricKind "sypur"
    #[cfg(feature = "metrics")]
    MetricLabel "sypur"
    #[cfg(feature = "metrics")]
    MetricUnit "sypur"
    ShutdownError "sypur"
    StateError "sypur"
    SubscribeError "sypur"
    TypeError "sypur"
    WaitError "sypur"
    RecvTimeoutError "sypur"
    TryRecvError "sypur"
}

fn source(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("sources can be read")
}

/// Public, but no types.
const OTHERS: [&str; 4] = ["Select", "StateObserver", "METRICS", "reference"];

/// The names in the `pub use` lines of src/lib.rs, and of its public modules, that are of types.
fn public_names() -> BTreeSet<String> {
    let text =
        ["src/lib.rs", "src/http/mod.rs", "src/observe/mod.rs", "src/trace/mod.rs"].map(source).concat();
    let mut names = BTreeSet::new();
    for statement in text.split("pub use ").skip(1) {
        let statement = statement.split(';').next().unwrap_or_default();
        let list = statement.rsplit("::").next().unwrap_or_default();
        let list = list.trim_matches(|c: char| c == '{' || c == '}' || c.is_whitespace());
        names.extend(list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()));
    }
    names.retain(|name| !OTHERS.contains(&&**name));
    assert!(names.len() > 40, "the public names were not found: {names:?}");
    names
}

#[test]
fn every_public_type_has_the_auto_traits_it_should_have() {
    let wrong: Vec<_> = table()
        .into_iter()
        .filter(|row| row.has != row.due)
        .map(|row| format!("{}: {:?} instead of {:?}", row.name, row.has, row.due))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_public_type_is_forgotten() {
    let listed: BTreeSet<_> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(listed, public_names(), "src/lib.rs (right) and the table here (left) name different types");
}

/// Every file of src, as text.
fn sources() -> Vec<String> {
    let (mut open, mut texts) = (vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                open.push(path);
            } else {
                texts.push(fs::read_to_string(path).expect("sources are text"));
            }
        }
    }
    texts
}

/// Dropping one of these unused is a mistake: a subscription that ends at once, a builder that builds nothing. Those are
/// all builders, all futures, and whatever does something when it is dropped; but for those that are made to be dropped.
#[test]
fn handles_and_builders_must_be_used() {
    const MUST: [&str; 3] = ["Forward", "Filter", "Batch"];
    const MAY: [&str; 2] = ["Message", "Publisher"];
    let (texts, public) = (sources(), public_names());
    let is = |name: &str, what: &str| {
        let (plain, generic) = (format!("{what} for {name} {{"), format!("{what} for {name}<"));
        texts.iter().any(|text| text.contains(&plain) || text.contains(&generic))
    };
    let mut asked = 0;
    for name in public {
        let must =
            name.ends_with("Builder") || MUST.contains(&&*name) || is(&name, "Drop") || is(&name, "Future");
        if !must || MAY.contains(&&*name) {
            continue;
        }
        asked += 1;
        let declaration = format!("\npub struct {name}");
        let found = texts.iter().find_map(|text| {
            let mut places = text
                .match_indices(&declaration)
                .filter(|(at, _)| text[at + declaration.len()..].starts_with([' ', '<', '(', ';', '{']));
            places.next().map(|(at, _)| &text[..at])
        });
        let before = found.unwrap_or_else(|| panic!("the declaration of {name} was not found"));
        let attributes =
            before.lines().rev().take_while(|line| line.starts_with("#[") || line.starts_with("///"));
        assert!(
            attributes.into_iter().any(|line| line.starts_with("#[must_use")),
            "{name} is not #[must_use]"
        );
    }
    assert!(asked >= 9, "only {asked} were asked");
}
