//! The service whose console is looked at: the example `console`, a process of its own, so that it can be restarted.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

pub struct Service {
    process: Child,
    /// `http://127.0.0.1:1234/`
    pub url: String,
}

impl Service {
    /// Starts it with these options, anywhere or where another one was.
    pub fn start(program: &str, listen: &str, options: &[&str]) -> Self {
        let mut process = Command::new(program)
            .args(["--listen", listen, "--seconds", "300"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the service starts");
        let mut first = String::new();
        let out = process.stdout.take().expect("its output is read");
        BufReader::new(out).read_line(&mut first).expect("the service says where it is");
        let url = first.trim().to_owned();
        assert!(url.starts_with("http://"), "the service says {first:?}");
        Self { process, url }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.url.trim_start_matches("http://").trim_end_matches('/').to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
