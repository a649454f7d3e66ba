//! A process of its own that runs one scenario's repetitions under one allocator.
//!
//! It is this program again. A line in, `INDEX EFFORT`, asks for one repetition of a contestant; a line out has its
//! figures, or what went wrong. While one works, all others wait for their next line.

use crate::allocator::{self, Allocator};
use crate::bench::{Contestant, Effort, Figure, Outcome, Scenario};
use crate::machine::Watch;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// The hidden option that makes this program a worker.
pub const OPTION: &str = "worker";
/// What its answers begin with; whatever else a contestant may print is not one.
const MARK: &str = "#answer\t";
/// A repetition that takes longer hangs: a message was lost, or somebody sleeps for ever.
const PATIENCE_SECONDS: usize = 100;

/// One repetition, as the process tells of it.
pub struct Answer {
    pub figures: Vec<Figure>,
    pub disturbed: bool,
}

/// The conductor's side.
pub struct Worker {
    pub allocator: Allocator,
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    pub fn start(scenario: &Scenario, allocator: Allocator) -> Outcome<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([format!("--{OPTION}"), scenario.name.clone()])
            .env(allocator::VARIABLE, allocator.word())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        Ok(Self { allocator, questions: process.stdin.take(), answers, process })
    }

    /// One repetition of the contestant with that index.
    pub fn repeat(&mut self, contestant: usize, effort: Effort) -> Outcome<Answer> {
        let questions = self.questions.as_mut().ok_or("the worker has ended")?;
        writeln!(questions, "{contestant} {effort}")?;
        let mut line = String::new();
        while self.answers.read_line(&mut line)? > 0 {
            if let Some(answer) = line.trim_end().strip_prefix(MARK) {
                return parse(answer);
            }
            line.clear();
        }
        Err("the process that ran it has ended".into())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.questions.take());
        let _ = self.process.wait();
    }
}

/// The worker's side: answers until nobody asks any more.
pub fn serve(scenario: &Scenario) -> Outcome<()> {
    let watchdog = watchdog();
    for line in std::io::stdin().lines() {
        let (contestant, effort) = question(scenario, &line?)?;
        watchdog.send(Some(format!("{} in {}", contestant.name, scenario.name)))?;
        let answer = answer(contestant, effort);
        watchdog.send(None)?;
        println!("{MARK}{answer}");
    }
    Ok(())
}

fn question<'a>(scenario: &'a Scenario, line: &str) -> Outcome<(&'a Contestant, Effort)> {
    let (index, effort) = line.split_once(' ').ok_or("a question is an index and an effort")?;
    let contestant = scenario.contestants.get(index.parse::<usize>()?).ok_or("no such contestant")?;
    Ok((contestant, effort.parse()?))
}

fn answer(contestant: &Contestant, effort: Effort) -> String {
    let watch = Watch::start();
    let outcome = contestant.run(effort);
    let disturbed = watch.was_disturbed();
    match outcome {
        Ok(figures) => {
            let figures = figures.iter().map(|one| format!("\t{}\t{}\t{}", one.metric, one.unit, one.value));
            format!("{disturbed}{}", figures.collect::<String>())
        }
        Err(error) => format!("error\t{}", error.to_string().replace(['\n', '\t'], " ")),
    }
}

fn parse(answer: &str) -> Outcome<Answer> {
    let mut fields = answer.split('\t');
    let first = fields.next().unwrap_or_default();
    if first == "error" {
        return Err(fields.collect::<Vec<_>>().join(" ").into());
    }
    let mut figures = Vec::new();
    while let (Some(metric), Some(unit), Some(value)) = (fields.next(), fields.next(), fields.next()) {
        figures.push(Figure { metric: metric.into(), unit: unit.into(), value: value.parse()? });
    }
    Ok(Answer { figures, disturbed: first.parse()? })
}

/// Ends the process if what is said to begin does not end: threads that hang cannot be stopped.
fn watchdog() -> Sender<Option<String>> {
    let (sender, receiver) = channel();
    thread::spawn(move || watch(&receiver));
    sender
}

/// Seconds are counted one by one: those for which the whole process was stopped are none.
fn watch(said: &Receiver<Option<String>>) {
    while let Ok(begun) = said.recv() {
        let Some(what) = begun else { continue };
        let second = || said.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout);
        if (0..PATIENCE_SECONDS).all(|_| second()) {
            eprintln!("\nrivals: {what} hangs");
            std::process::exit(1);
        }
    }
}
