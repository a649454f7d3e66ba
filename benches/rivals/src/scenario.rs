//! What is measured.

/// Some publishers hand every message to all subscribers, without loss; the cost is the time per message until every
/// subscriber has handled it.
#[derive(Clone, Debug)]
pub struct Fanout {
    pub subscribers: usize,
    pub publishers: usize,
    /// Measured, over all publishers.
    pub messages: u64,
    /// Published and handled before the clock starts.
    pub warm_up: u64,
}

/// How many messages a subscriber's queue takes, for every contestant.
pub const CAPACITY: usize = 1024;

/// Every scenario, in the order of the report.
pub fn all() -> Vec<Fanout> {
    let widths = [(1, 400_000), (4, 300_000), (16, 150_000), (64, 50_000)];
    let with =
        |publishers| widths.map(|(subscribers, messages)| Fanout::new(subscribers, publishers, messages));
    [with(1), with(2)].concat()
}

impl Fanout {
    fn new(subscribers: usize, publishers: usize, messages: u64) -> Self {
        Self { subscribers, publishers, messages, warm_up: messages / 10 }
    }

    /// `fanout-16`, or with several publishers `fanout-16x2`.
    pub fn name(&self) -> String {
        match self.publishers {
            1 => format!("fanout-{}", self.subscribers),
            _ => format!("fanout-{}x{}", self.subscribers, self.publishers),
        }
    }

    /// The same with fewer messages.
    pub fn smaller(mut self, divisor: u64) -> Self {
        self.messages /= divisor;
        self.warm_up /= divisor;
        self
    }

    /// Warm-up and measured messages together.
    pub fn total(&self) -> u64 {
        self.warm_up + self.messages
    }
}
