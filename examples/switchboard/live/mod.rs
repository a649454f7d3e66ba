//! Follows a running Asterisk over its manager connection, and comes back whenever the connection is lost.
//!
//! | what happens | what is done |
//! | --- | --- |
//! | nobody is there; what is there is no manager; the login is not answered in time | it is told; again after a pause |
//! | the connection is cut, or silent although a `Ping` was sent | the same; half an event is dropped and counted |
//! | the login is refused | the end, with an error: a wrong secret does not become right by trying |
//! | the manager says `Goodbye` and closes | the end: another switchboard's `--ami` does so when its stream is over |
//!
//! Pauses grow from half a second to half a minute, and up to half of each is left out at random, so that many followers
//! of one switch do not come back in one moment. A connection that lasted ten seconds begins them anew.
//!
//! What happened while nobody listened is lost, and cannot be had later. So after a reconnect the manager is asked which
//! channels and bridges there are ([`roll_call`](crate::roll_call)): those that are gone end then, and are counted.

mod link;
mod pauses;

use crate::End;
use crate::input::{NobodyListens, Outlet, Piece};
use crate::options::Live;
use link::{Link, Lost};
use pauses::Pauses;
use std::io;
use std::time::{Duration, Instant};

/// How long what may last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// To one address; a name can have several.
    pub(crate) connect: Duration,
    /// From the connection to the answer to the login.
    pub(crate) login: Duration,
    /// After so long a silence a sign of life is asked for.
    pub(crate) silence: Duration,
    /// So long it may take, and so long the manager may take nothing from us.
    pub(crate) pong: Duration,
    pub(crate) first_pause: Duration,
    pub(crate) longest_pause: Duration,
    /// A connection that lasted so long was a good one.
    pub(crate) steady: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            login: Duration::from_secs(10),
            silence: Duration::from_secs(15),
            pong: Duration::from_secs(10),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            steady: Duration::from_secs(10),
        }
    }
}

/// Sends what the manager says until it is over, the login is refused, or the user wants to stop. `tell` gets what the
/// user may want to know meanwhile.
pub(crate) fn follow(
    live: &Live,
    patience: &Patience,
    tell: impl Fn(&str),
    outlet: &Outlet,
) -> Result<End, NobodyListens> {
    let (name, mut pauses, mut is_back) = (live.to_string(), Pauses::new(patience), false);
    loop {
        let start = Instant::now();
        let lost = match Link::open(live, patience, is_back) {
            Ok(mut link) => link.follow(outlet, || tell(&format!("following {name}")))?,
            Err(error) => Lost::Unheard(error),
        };
        if matches!(lost, Lost::Cut(_)) {
            is_back = true;
            outlet.send(Piece::Cut)?;
        }
        match lost {
            Lost::Over => return Ok(End::Complete),
            Lost::Stopped => return Ok(End::Interrupted),
            Lost::Refused(why) => {
                let why = format!("the login as {:?} is refused: {why}", live.user);
                return Ok(End::Broken(io::Error::new(io::ErrorKind::PermissionDenied, why)));
            }
            Lost::Unheard(error) | Lost::Cut(error) => {
                let pause = pauses.after(start.elapsed());
                tell(&format!("{name}: {error}; again in {:.1} s", pause.as_secs_f64()));
                if outlet.stop.sleep(pause) {
                    return Ok(End::Interrupted);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
