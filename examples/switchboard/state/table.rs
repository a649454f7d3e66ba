//! The table that `--state` prints.

use crate::board::text::{clock, left};
use crate::cdr::row::Second;
use crate::event::Stamp;
use crate::origins::Origins;
use crate::snapshots::{Bridge, Channel, Known};
use stasis_bus::Origin;
use std::fmt::{self, Write};
use std::time::Duration;

const NAME: usize = 36;
const STATE: usize = 9;
const PARTY: usize = 18;
const EXTEN: usize = 8;
const APP: usize = 12;
/// Enough of a bridge's id to tell it from others.
const BRIDGE: usize = 8;
const KIND: usize = 8;
const TIME: usize = 7;
/// Widest column of an origin.
const ORIGIN: usize = 16;

/// Channels, bridges and devices, each with the origins that speak of it.
pub(crate) fn text(known: &Known<'_>, origins: &Origins) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = Table { known, origins }.write(&mut text);
    text
}

struct Table<'a> {
    known: &'a Known<'a>,
    origins: &'a Origins,
}

impl Table<'_> {
    fn write(&self, out: &mut String) -> fmt::Result {
        let Known { channels, bridges, devices, traffic, .. } = self.known;
        let when = match traffic.now {
            now if now == Stamp::default() => String::new(),
            now => format!(" at {}", Second::from(now)),
        };
        let (channels, bridges, devices) = (channels.len(), bridges.len(), devices.len());
        writeln!(out, "state{when}: {channels} channels, {bridges} bridges, {devices} devices")?;
        self.channels(out)?;
        self.bridges(out)?;
        self.devices(out)
    }

    fn channels(&self, out: &mut String) -> fmt::Result {
        if self.known.channels.is_empty() {
            return Ok(());
        }
        let heading = ["CHANNEL", "STATE", "CALLER", "EXTEN", "APPLICATION", "BRIDGE"];
        let widths = [NAME, STATE, PARTY, EXTEN, APP, BRIDGE];
        self.row(out, heading, widths, "ORIGIN", "UP FOR")?;
        for (of, channel) in &self.known.channels {
            let caller = format!("{} {}", channel.caller_number, channel.caller_name);
            let bridge = channel.bridge.as_deref().map_or("", short);
            let cells =
                [&*channel.name, channel_state(channel), caller.trim(), &channel.exten, &channel.app, bridge];
            self.row(out, cells, widths, self.origins.name(*of), &self.age(*of, channel.since))?;
        }
        Ok(())
    }

    fn bridges(&self, out: &mut String) -> fmt::Result {
        if self.known.bridges.is_empty() {
            return Ok(());
        }
        self.row(out, ["BRIDGE", "KIND", "CHANNELS"], [BRIDGE, KIND, 2 * NAME], "ORIGIN", "UP FOR")?;
        for (of, bridge) in &self.known.bridges {
            let names = self.names(bridge, *of);
            let cells = [short(&bridge.id), &bridge.kind, &names];
            let origin = self.origins.name(*of);
            self.row(out, cells, [BRIDGE, KIND, 2 * NAME], origin, &self.age(*of, bridge.since))?;
        }
        Ok(())
    }

    /// Of those that are in it; the id of one that is not known.
    fn names(&self, bridge: &Bridge, origin: Option<Origin>) -> String {
        let name = |id: &String| {
            let channels = self.known.channels.iter();
            let channel = channels.clone().find(|(of, channel)| *of == origin && channel.id == *id);
            channel.map_or(id.clone(), |(_, channel)| channel.name.clone())
        };
        bridge.channels.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    /// Of all together, and in a column for each origin what it says.
    fn devices(&self, out: &mut String) -> fmt::Result {
        if self.known.devices.is_empty() {
            return Ok(());
        }
        let is_one = self.origins.len() == 1;
        let names: Vec<_> = self.origins.iter().filter(|_| !is_one).collect();
        let mut line = format!("{} {}", left("DEVICE", NAME), left("STATE", ORIGIN));
        names.iter().for_each(|(name, _)| line += &format!(" {}", left(name, ORIGIN)));
        writeln!(out, "{}", line.trim_end())?;
        for (device, states) in &self.known.devices {
            let of =
                |origin| states.iter().find(|(of, _)| *of == origin).map_or("-", |(_, state)| state.name());
            let mut line = format!("{} {}", left(device, NAME), left(of(None), ORIGIN));
            names.iter().for_each(|(_, origin)| line += &format!(" {}", left(of(Some(*origin)), ORIGIN)));
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// The origin has a column where there are several.
    fn row<const N: usize>(
        &self,
        out: &mut String,
        cells: [&str; N],
        widths: [usize; N],
        origin: &str,
        age: &str,
    ) -> fmt::Result {
        for (cell, width) in cells.into_iter().zip(widths) {
            write!(out, "{} ", left(cell, width))?;
        }
        if self.origins.len() > 1 {
            write!(out, "{} ", left(origin, ORIGIN))?;
        }
        writeln!(out, "{age:>TIME$}")
    }

    fn age(&self, origin: Option<Origin>, since: Stamp) -> String {
        let micros = self.known.traffic.clock(origin).0.saturating_sub(since.0);
        clock(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    }
}

fn short(id: &str) -> &str {
    id.get(..BRIDGE).unwrap_or(id)
}

/// In Asterisk's words.
fn channel_state(channel: &Channel) -> &'static str {
    const NAMES: [&str; 10] =
        ["Down", "Rsrvd", "OffHook", "Dialing", "Ring", "Ringing", "Up", "Busy", "DialOff", "Pre-ring"];
    channel.state.and_then(|state| NAMES.get(usize::from(state))).copied().unwrap_or("?")
}
