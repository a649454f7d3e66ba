//! What an operator sees: the metrics of a bus, by one table, for any recorder.
//!
//! | file | what |
//! | --- | --- |
//! | `table` | the one table of all metrics |
//! | `page` | docs/METRICS.md, made from it |

mod page;
mod table;

pub use page::reference;
pub use table::{METRICS, Metric, MetricKind, MetricLabel, MetricUnit};
