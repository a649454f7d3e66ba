//! The program in a process of its own, in a pipe and on a terminal.

use crate::process_tests::{ARGUMENTS, PANICS, PROGRAM};
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";
#[cfg(target_os = "linux")]
const CTRL_C: &[u8] = b"\x03";

fn executable() -> String {
    std::env::current_exe().expect("a path").display().to_string()
}

fn in_a_pipe(arguments: &str) -> Output {
    let mut command = Command::new(executable());
    command
        .args(PROGRAM)
        .env(ARGUMENTS, arguments.replace(' ', "\n"))
        .stdin(Stdio::null())
        .output()
        .expect("a child")
}

/// On a terminal of 80 columns, if there is a program that makes one. Each of `keys` is pressed when the board has come
/// once more. Gives everything that was shown.
#[cfg(target_os = "linux")]
fn on_a_terminal(arguments: &str, panics: bool, keys: &[u8]) -> Option<String> {
    // It takes the shell's place: Ctrl-C reaches everybody on the terminal, and some shells that waited for a program
    // die of it afterwards, however well the program ended.
    let line = format!("stty cols 80 rows 24; exec '{}' {}", executable(), PROGRAM.join(" "));
    let mut script = Command::new("script");
    script
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env(ARGUMENTS, arguments.replace(' ', "\n"))
        .env("RUST_BACKTRACE", "0");
    if panics {
        script.env(PANICS, "yes");
    }
    let Ok(mut child) = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        eprintln!("skipped: there is no `script` (Debian: bsdutils) to make a terminal");
        return None;
    };
    let (mut keyboard, mut screen) =
        (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let (mut shown, mut buffer, mut keys) = (Vec::new(), [0; 4096], keys.iter().enumerate().peekable());
    while let Ok(count @ 1..) = screen.read(&mut buffer) {
        shown.extend(&buffer[..count]);
        let comings = String::from_utf8_lossy(&shown).matches(ENTER).count();
        if let Some((_, key)) = keys.next_if(|(pressed, _)| *pressed < comings) {
            keyboard.write_all(&[*key]).expect("a keyboard");
        }
    }
    assert!(child.wait().expect("it ends").success(), "{}", String::from_utf8_lossy(&shown));
    Some(String::from_utf8(shown).expect("UTF-8"))
}

#[test]
fn without_a_terminal_the_board_is_a_line_now_and_then() {
    let Output { status, stdout, stderr } = in_a_pipe("board --speed 5 --until 8");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{stderr}");
    assert!(!stdout.contains('\x1b') && !stderr.contains('\x1b'), "{stdout}{stderr}");
    assert!(stdout.contains("the recording that comes with it (stopped)\nstream: "), "{stdout}");
    assert!(stderr.contains(" deliveries  waiting: cdr "), "{stderr}");
    assert!(stderr.contains("\ndone  "), "{stderr}");
}

#[test]
fn a_wrong_word_ends_with_code_2_and_the_usage() {
    let Output { status, stderr, .. } = in_a_pipe("--speed fast");
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(!status.success());
    assert!(stderr.contains("switchboard: --speed \"fast\": allowed is a number from 0.001"), "{stderr}");
    assert!(stderr.contains("usage: switchboard "), "{stderr}");
}

/// It has a screen of its own as long as it is shown; what is said afterwards stands on the old one.
#[test]
#[cfg(target_os = "linux")]
fn on_a_terminal_the_board_comes_and_goes() {
    let Some(shown) = on_a_terminal("board --speed 10 --until 10", false, b"") else {
        return;
    };
    assert_eq!((shown.matches(ENTER).count(), shown.matches(LEAVE).count()), (1, 1), "{shown}");
    let (board, after) = shown.split_once(LEAVE).expect("just counted");
    assert!(
        board.contains("SWITCHBOARD") && board.contains("calls up") && board.contains(" cdr "),
        "{board}"
    );
    assert!(board.ends_with("\x1b[?25h"), "the cursor is back");
    assert!(
        after.contains("the recording that comes with it (stopped)\r\n") && !after.contains('\x1b'),
        "{after}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_gives_the_terminal_back() {
    let Some(shown) = on_a_terminal("board --speed 0.5", false, CTRL_C) else {
        return;
    };
    let (_, after) = shown.split_once(LEAVE).expect("it leaves");
    assert!(after.contains("(stopped)\r\n") && !after.contains('\x1b'), "{after}");
}

/// What a panic says can be read, and the board comes back. The panic comes when the board is there.
#[test]
#[cfg(target_os = "linux")]
fn a_panic_is_told_on_the_screen_that_stays() {
    let Some(shown) = on_a_terminal("board --speed 0.5 --until 30", true, &[b"\n", CTRL_C].concat()) else {
        return;
    };
    let parts: Vec<_> = shown.split(LEAVE).collect();
    assert_eq!((parts.len(), shown.matches(ENTER).count()), (3, 2), "{shown}");
    let (told, _) = parts[1].split_once(ENTER).expect("it comes back");
    assert!(told.contains("out of order"), "{told}");
    assert!(parts[2].contains("(stopped)\r\n"), "{}", parts[2]);
}
