//! What is known of one channel, and its legs.

use super::leg::{App, Leg, Other, Stage, View};
use crate::event::{Party, Stamp};

/// Who made the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Somebody called in.
    Caller,
    /// Another channel dialled it.
    Dialled,
    /// The switch itself dialled it, to run dialplan or an application on it.
    Originated,
}

/// A step of the dialplan; a channel that goes on takes another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Step {
    context: String,
    exten: String,
    priority: String,
}

#[derive(Clone, Debug)]
pub(super) struct Channel {
    party: Party,
    role: Role,
    /// Order of appearance.
    pub(super) age: u64,
    /// Last moment at which an event told of the channel.
    pub(super) changed: Stamp,
    pub(super) legs: Vec<Leg>,
    /// Ids of the channels that have, or had, this one as the other party of a leg.
    pub(super) callers: Vec<String>,
    app: App,
    step: Step,
    /// Context and extension outside of subroutines: what a row takes for its destination.
    place: (String, String),
    subroutines: u32,
    /// The subroutine is over, but the channel still shows its place.
    is_returning: bool,
    has_left_bridge: bool,
    is_transferred: bool,
}

impl Channel {
    pub(super) fn new(party: &Party, age: u64, at: Stamp) -> Self {
        let mut channel = Self {
            party: party.clone(),
            role: Role::Caller,
            age,
            changed: at,
            legs: Vec::new(),
            callers: Vec::new(),
            app: App::default(),
            step: Step::default(),
            place: (party.context.clone(), party.exten.clone()),
            subroutines: 0,
            is_returning: false,
            has_left_bridge: false,
            is_transferred: false,
        };
        channel.open(at);
        channel
    }

    /// Opens a leg and gives it back.
    pub(super) fn open(&mut self, start: Stamp) -> &mut Leg {
        let leg = Leg::new(self.view(), start, self.party.is_up());
        self.legs.push(leg);
        let last = self.legs.len() - 1;
        &mut self.legs[last]
    }

    pub(super) fn is_free(&self) -> bool {
        self.legs.iter().all(Leg::is_done)
    }

    pub(super) fn as_other(&self) -> Other {
        Other { uniqueid: self.party.uniqueid.clone(), channel: self.party.name.clone() }
    }

    /// Whether the channel is on the receiving side of a call. Half ;1 of a Local channel is,
    /// even where no event says who dialled it.
    pub(super) fn is_dialled(&self) -> bool {
        let is_first_half = self.party.name.starts_with("Local/") && self.party.name.ends_with(";1");
        match self.role {
            Role::Caller => is_first_half && !self.has_run_dialplan(),
            Role::Dialled => true,
            Role::Originated => false,
        }
    }

    fn has_run_dialplan(&self) -> bool {
        !self.app.name.is_empty()
    }

    pub(super) fn was_dialled(&mut self) {
        if self.role == Role::Caller && !self.has_run_dialplan() {
            self.role = Role::Dialled;
        }
    }

    pub(super) fn was_originated(&mut self) {
        self.role = Role::Originated;
    }

    /// Whoever a blind transfer sends elsewhere makes calls itself from there on.
    pub(super) fn left_bridge(&mut self) {
        self.has_left_bridge = true;
        if self.is_transferred {
            self.role = Role::Caller;
        }
    }

    pub(super) fn was_transferred(&mut self) {
        self.is_transferred = true;
    }

    /// Takes over what any event tells about the channel.
    pub(super) fn see(&mut self, party: &Party, at: Stamp) {
        self.party.clone_from(party);
        self.changed = at;
        if self.subroutines == 0 && !self.is_returning {
            self.place = (party.context.clone(), party.exten.clone());
        }
        self.refresh(at);
    }

    /// The channel starts an application. A leg opens if dialplan goes on after the last one.
    pub(super) fn run(&mut self, party: &Party, app: App, at: Stamp) {
        if is_stand_in(&app.name) {
            self.see(party, at);
            return;
        }
        let goes_on = self.take_step(party, &app);
        self.leave_answered(at);
        self.become_caller();
        self.app = app;
        self.see(party, at);
        self.count_subroutines();
        if goes_on && self.is_free() {
            self.open(at);
        }
        self.keep_dial();
    }

    /// Whether this is another application at another place than the last one.
    fn take_step(&mut self, party: &Party, app: &App) -> bool {
        let step = step(party);
        let goes_on = app.name != self.app.name && step != self.step;
        self.step = step;
        self.is_returning = false;
        goes_on
    }

    /// A leg that dials keeps saying so, even if no channel comes of it and dialplan goes on.
    fn keep_dial(&mut self) {
        if self.app.name == "Dial" {
            let own = self.legs.iter_mut().filter(|leg| leg.stage == Stage::Dialplan);
            own.for_each(Leg::keep_app);
        }
    }

    /// A dialled channel that runs dialplan after a bridge has been transferred: from now on it
    /// makes calls itself.
    fn become_caller(&mut self) {
        if self.has_left_bridge {
            self.role = Role::Caller;
        }
    }

    /// Dialplan goes on after an answered dial without a bridge: with another party that leg is
    /// over, without one it was the switch that dialled, and the leg is that of this dialplan.
    fn leave_answered(&mut self, at: Stamp) {
        for leg in self.legs.iter_mut().filter(|leg| leg.stage == Stage::Answered) {
            if leg.other.is_some() {
                leg.close(at);
            } else {
                leg.stage = Stage::Dialplan;
            }
        }
    }

    fn count_subroutines(&mut self) {
        match self.app.name.as_str() {
            "Gosub" => self.subroutines += 1,
            "Return" => {
                self.is_returning = self.subroutines > 0;
                self.subroutines = self.subroutines.saturating_sub(1);
            }
            _ => {}
        }
    }

    fn refresh(&mut self, at: Stamp) {
        let (view, is_up) = (self.view(), self.party.is_up());
        for leg in &mut self.legs {
            leg.refresh(&view, is_up, at);
        }
    }

    fn view(&self) -> View {
        let (context, exten) = self.place.clone();
        View {
            channel: self.party.name.clone(),
            number: self.party.caller_number.clone(),
            name: self.party.caller_name.clone(),
            account: self.party.account.clone(),
            context,
            exten,
            app: self.app.clone(),
            is_dialled: self.is_dialled(),
        }
    }
}

/// Names that a channel shows while it is dialled; it runs no application of its own then.
fn is_stand_in(app: &str) -> bool {
    app == "AppDial" || app == "AppQueue"
}

fn step(party: &Party) -> Step {
    Step { context: party.context.clone(), exten: party.exten.clone(), priority: party.priority.clone() }
}
