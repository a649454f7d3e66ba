//! What an operator sees: the metrics of a bus, by one table, for any recorder.
//!
//! | file | what |
//! | --- | --- |
//! | `table` | the one table of all metrics |
//! | `page` | docs/METRICS.md, made from it |
//! | `sample`, `rows` | one look at all statistics, as rows of the table |
//! | `observer` | who takes it, and hands it on |
//! | `facade` | rows to a recorder |
//! | `prometheus`, `exposition` | rows as a page for Prometheus |

#[cfg(feature = "prometheus")]
mod exposition;
mod facade;
mod observer;
mod page;
#[cfg(feature = "prometheus")]
mod prometheus;
mod rows;
mod sample;
mod table;

pub use observer::{Observer, Publishing};
pub use page::reference;
pub use table::{METRICS, Metric, MetricKind, MetricLabel, MetricUnit};
