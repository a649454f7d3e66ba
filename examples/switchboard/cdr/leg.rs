//! A row in the making: one stretch of a calling channel, alone or with one other party.

use super::row::{AMA_FLAGS, Row, Second};
use crate::event::Stamp;

/// Where a leg stands. Every leg ends as `Done`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The channel runs dialplan and nobody else is concerned.
    Dialplan,
    /// It dials, or is itself being dialled by the switch.
    Dialing,
    /// The dial was answered, the two have not met yet.
    Answered,
    /// It is in this bridge.
    Bridged(String),
    /// It waits in the parking lot.
    Parked,
    Done,
}

/// What a row tells about its channel, taken from the last event before the leg ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) channel: String,
    pub(super) number: String,
    pub(super) name: String,
    pub(super) account: String,
    pub(super) context: String,
    pub(super) exten: String,
    pub(super) app: App,
    /// The channel is on the receiving side.
    pub(super) is_dialled: bool,
}

/// An application of the dialplan and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct App {
    pub(super) name: String,
    pub(super) data: String,
}

/// The other party of a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Other {
    pub(super) uniqueid: String,
    pub(super) channel: String,
}

#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub(super) stage: Stage,
    pub(super) other: Option<Other>,
    view: View,
    /// Set by Dial, by parking, or once there is another party: what runs later is not the
    /// application of this leg.
    keeps_app: bool,
    start: Stamp,
    answer: Option<Stamp>,
    end: Option<Stamp>,
    /// How the dial ended, as its event says.
    dial_status: Option<String>,
}

impl Leg {
    /// A leg that opens while its channel is up is answered from the start.
    pub(super) fn new(view: View, start: Stamp, is_up: bool) -> Self {
        Self {
            stage: Stage::Dialplan,
            other: None,
            view,
            keeps_app: false,
            start,
            answer: is_up.then_some(start),
            end: None,
            dial_status: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    pub(super) fn is_in(&self, bridge: &str) -> bool {
        matches!(&self.stage, Stage::Bridged(id) if id == bridge)
    }

    pub(super) fn is_with(&self, uniqueid: &str) -> bool {
        self.other.as_ref().is_some_and(|other| other.uniqueid == uniqueid)
    }

    /// Takes over what an event tells about the channel.
    pub(super) fn refresh(&mut self, view: &View, is_up: bool, at: Stamp) {
        if self.is_done() {
            return;
        }
        let app = self.keeps_app.then(|| std::mem::take(&mut self.view.app));
        self.view.clone_from(view);
        if let Some(app) = app {
            self.view.app = app;
        }
        if is_up {
            self.answer.get_or_insert(at);
        }
    }

    pub(super) fn dial(&mut self, other: Option<Other>) {
        self.stage = Stage::Dialing;
        self.keeps_app |= other.is_some();
        self.other = other;
    }

    /// The application that runs now stays the one of this leg, even if its dial comes to nothing.
    pub(super) fn keep_app(&mut self) {
        self.keeps_app = true;
    }

    /// A failed dial ends the leg.
    pub(super) fn end_dial(&mut self, status: &str, at: Stamp) {
        self.dial_status = Some(status.to_owned());
        if status == "ANSWER" {
            self.stage = Stage::Answered;
        } else {
            self.close(at);
        }
    }

    /// Puts the leg into a bridge where it has, or has not yet, somebody to talk to.
    pub(super) fn enter(&mut self, bridge: &str) {
        self.stage = Stage::Bridged(bridge.to_owned());
    }

    /// The two talk from now on; a leg that had stopped waiting goes on.
    pub(super) fn join(&mut self, other: Other) {
        self.other = Some(other);
        self.keeps_app = true;
        self.end = None;
    }

    /// Nobody is there for this leg. It ends now, unless somebody comes who makes it go on.
    pub(super) fn rest(&mut self, at: Stamp) {
        self.end.get_or_insert(at);
    }

    pub(super) fn park(&mut self) {
        self.stage = Stage::Parked;
    }

    /// The parking lot's own words stand in for the application.
    pub(super) fn name_space(&mut self, lot: &str, space: &str) {
        self.view.app = App { name: "Park".to_owned(), data: format!("{lot}:{space}") };
        self.keeps_app = true;
    }

    pub(super) fn close(&mut self, at: Stamp) {
        self.rest(at);
        self.stage = Stage::Done;
    }

    /// A dialled channel has rows only of those it met on its own account: that somebody dialled
    /// it is told by the caller's row.
    pub(super) fn has_row(&self) -> bool {
        self.other.is_some() || !self.view.is_dialled
    }

    /// The finished row. `cause` is that of the channel's hangup.
    pub(super) fn into_row(self, uniqueid: &str, cause: u32) -> Row {
        let end = self.end.unwrap_or(self.start);
        let disposition = self.disposition(cause).to_owned();
        Row {
            account: self.view.account,
            clid: clid(&self.view.name, &self.view.number),
            src: self.view.number,
            dst: self.view.exten,
            context: self.view.context,
            channel: self.view.channel,
            other_channel: self.other.map(|other| other.channel).unwrap_or_default(),
            last_app: self.view.app.name,
            last_data: self.view.app.data,
            start: Some(Second::from(self.start)),
            answer: self.answer.map(Second::from),
            end: Some(Second::from(end)),
            duration: seconds_between(self.start, end),
            billsec: self.answer.map_or(0, |answer| seconds_between(answer, end)),
            disposition,
            ama_flags: AMA_FLAGS.to_owned(),
            uniqueid: uniqueid.to_owned(),
        }
    }

    /// How the dial ended counts first, then whether the channel was up, then why it hung up.
    fn disposition(&self, cause: u32) -> &'static str {
        match (self.dial_status.as_deref(), self.answer) {
            (Some("ANSWER"), _) | (None, Some(_)) => "ANSWERED",
            (Some("BUSY"), _) => "BUSY",
            (Some("NOANSWER" | "CANCEL"), _) => "NO ANSWER",
            (Some(_), _) => "FAILED",
            (None, None) => disposition_of_cause(cause),
        }
    }
}

/// Q.850 causes: 17 user busy; 34, 3 and 20 congestion, no route, subscriber absent; 0 unknown.
fn disposition_of_cause(cause: u32) -> &'static str {
    match cause {
        17 => "BUSY",
        0 | 3 | 20 | 34 => "FAILED",
        _ => "NO ANSWER",
    }
}

/// Whole seconds between two moments, from their microseconds. Event times can run backwards by
/// some milliseconds; a length cannot.
fn seconds_between(from: Stamp, to: Stamp) -> i64 {
    (to.0 - from.0).max(0) / 1_000_000
}

fn clid(name: &str, number: &str) -> String {
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{name}\" <{number}>")
}
