//! `console-check BROWSER SERVICE SCREENS [WORD]`: made to be run by the script `check` beside it.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod browser;
mod checks;
mod service;

use browser::Browser;
use service::Service;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// What every check gets.
pub struct Setting {
    pub browser: Browser,
    service: String,
    pub screens: PathBuf,
}

impl Setting {
    /// Starts a service with these options.
    pub fn service(&self, options: &[&str]) -> Service {
        Service::start(&self.service, "127.0.0.1:0", options)
    }

    /// Starts one where another one was.
    pub fn service_at(&self, address: &str, options: &[&str]) -> Service {
        Service::start(&self.service, address, options)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [browser, service, screens, words @ ..] = arguments.as_slice() else {
        eprintln!("console-check BROWSER SERVICE SCREENS [WORD]: run tests/console/check");
        return ExitCode::from(2);
    };
    let screens = PathBuf::from(screens);
    std::fs::create_dir_all(&screens).expect("the folder for screenshots is made");
    let browser = Browser::start(browser, &screens);
    let mut setting = Setting { browser, service: service.clone(), screens };
    let (mut passed, mut failed) = (0, 0);
    for (name, check) in checks::ALL {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let start = Instant::now();
        let went_well = catch_unwind(AssertUnwindSafe(|| check(&mut setting))).is_ok();
        let word = if went_well { "ok    " } else { "FAILED" };
        println!("{word} {name} ({:.1} s)", start.elapsed().as_secs_f64());
        *(if went_well { &mut passed } else { &mut failed }) += 1;
    }
    println!("{passed} checks passed, {failed} failed; screenshots in {}", setting.screens.display());
    if passed > 0 && failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
