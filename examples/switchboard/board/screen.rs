//! The terminal: a screen of its own while the board is shown, and everything as before afterwards.
//!
//! Plain escape codes that every terminal of the last decades knows; the size comes from `rustix`,
//! which the bus itself uses. A library for that would bring more code than the whole board has.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::{Mutex, Once, PoisonError};

/// Another screen, without a cursor, empty.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
/// Plain colours, a cursor, the screen from before.
const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const END_OF_LINE: &str = "\x1b[K";
const END_OF_SCREEN: &str = "\x1b[J";

/// If the terminal does not tell its size.
const USUAL_SIZE: Size = Size { columns: 80, rows: 24 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// As it was found.
    Left,
    Entered,
    /// Left for good.
    Over,
}

/// There is one terminal.
static MODE: Mutex<Mode> = Mutex::new(Mode::Left);

thread_local! {
    /// This thread has the mode in its hands.
    static HAS_MODE: Cell<bool> = const { Cell::new(false) };
}

/// The right to paint; when it goes, the terminal is as before.
#[derive(Debug)]
pub(crate) struct Screen(());

impl Screen {
    /// None: standard output is no terminal.
    pub(crate) fn new() -> Option<Self> {
        io::stdout().is_terminal().then(|| {
            step_aside_for_panics();
            Self(())
        })
    }

    pub(crate) fn size(&self) -> Size {
        size().unwrap_or(USUAL_SIZE)
    }

    /// Shows these lines, which fit. If it cannot be shown, the work goes on all the same.
    pub(crate) fn paint(&self, lines: &[String]) {
        with_mode(|mode| {
            if *mode == Mode::Over {
                return;
            }
            let enter = if *mode == Mode::Left { ENTER } else { "" };
            *mode = Mode::Entered;
            write(&format!("{enter}{}", picture(lines)));
        });
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// One write, so that nothing is seen half done; no line break at the end, which would scroll.
fn picture(lines: &[String]) -> String {
    let lines = lines.join(&format!("{END_OF_LINE}\r\n"));
    format!("{HOME}{lines}{END_OF_LINE}{END_OF_SCREEN}")
}

/// False: this thread is in here already, and has panicked.
fn with_mode(act: impl FnOnce(&mut Mode)) -> bool {
    if HAS_MODE.replace(true) {
        return false;
    }
    act(&mut MODE.lock().unwrap_or_else(PoisonError::into_inner));
    HAS_MODE.set(false);
    true
}

/// Gives the terminal back for good. Everybody may call it, at any time.
pub(crate) fn leave() {
    with_mode(|mode| {
        if std::mem::replace(mode, Mode::Over) == Mode::Entered {
            write(LEAVE);
        }
    });
}

/// Whatever is to be said has to stand on the screen that stays. The next picture comes back over it, when it is said.
pub(crate) fn step_aside(say: impl Fn()) {
    let said = with_mode(|mode| {
        if *mode == Mode::Entered {
            *mode = Mode::Left;
            write(LEAVE);
        }
        say();
    });
    if !said {
        say();
    }
}

fn step_aside_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            step_aside(|| before(info));
        }));
    });
}

fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(unix)]
fn size() -> Option<Size> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    let (columns, rows) = (size.ws_col.into(), size.ws_row.into());
    (columns > 0 && rows > 0).then_some(Size { columns, rows })
}

#[cfg(not(unix))]
fn size() -> Option<Size> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_replaces_the_last_one_without_scrolling() {
        let lines = ["a", "b"].map(str::to_owned);
        assert_eq!(picture(&lines), "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J");
    }
}
