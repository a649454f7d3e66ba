//! The page for Prometheus. What the facade has a form for goes through the exporter crate; the rest is written beside.
//!
//! The exporter cannot be told to forget a series; it drops those that were not touched since its last look if it is given
//! a time for it. Here that time is nothing at all: every look follows a sample that has touched all that there is, under
//! one lock, so what is not in the sample goes. (Who keeps handles of an exporter cannot do so: they would go on counting
//! into what is dropped. Here each sample asks for its series anew.)

use super::rows::Rows;
use super::{exposition, facade};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::time::Duration;

pub(super) struct Page {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Page {
    pub(super) fn new() -> Self {
        let mask = metrics_util::MetricKindMask::ALL;
        let recorder = PrometheusBuilder::new().idle_timeout(mask, Some(Duration::ZERO)).build_recorder();
        facade::describe(&recorder);
        Self { handle: recorder.handle(), recorder }
    }

    /// The caller lets nobody else render meanwhile.
    pub(super) fn render(&self, rows: &Rows) -> String {
        facade::record(rows, &self.recorder, facade::Rest::Left);
        let mut text = self.handle.render();
        exposition::append(&mut text, rows);
        text
    }
}
