//! Whose word a message is: each recording is taken for a switch of its own, and so is the one that is followed.
//!
//! The bus calls that an origin. The events of one FILE bear the origin named after the file, so that what two switches
//! say of one thing (a telephone that both know) is kept apart, and is cleared apart when one of them is gone.

use stasis_bus::{Bus, NameError, Origin};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// What this node is called: what it says itself, and not a switch that it hears, has this origin.
pub(crate) const HERE: &str = "switchboard";
/// The recording that comes with the program.
const SHIPPED: &str = "events";
/// What is left of a file's name without its endings.
const ENDINGS: [&str; 2] = [".gz", ".ami"];
const NAME_LETTERS: usize = 60;

/// The switches, in the order of their recordings; there is one at least.
#[derive(Clone, Debug)]
pub(crate) struct Origins(Vec<(String, Origin)>);

impl Origins {
    /// Makes them known to the bus. There is one at least.
    pub(crate) fn new(bus: &Bus, names: &[String]) -> Result<Self, NameError> {
        let nobody = self::names(&[]);
        let names = if names.is_empty() { &nobody } else { names };
        let known = |name: &String| Ok((name.clone(), bus.origin(name)?));
        names.iter().map(known).collect::<Result<_, _>>().map(Self)
    }

    /// That of a recording.
    pub(crate) fn of(&self, recording: usize) -> Origin {
        self.0[recording.min(self.0.len() - 1)].1
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Origin)> {
        self.0.iter().map(|(name, origin)| (name.as_str(), *origin))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Of which recording it is.
    pub(crate) fn index(&self, origin: Option<Origin>) -> Option<usize> {
        self.0.iter().position(|(_, one)| Some(*one) == origin)
    }

    /// What it is called.
    pub(crate) fn name(&self, origin: Option<Origin>) -> &str {
        let known = |&&(_, one): &&(String, Origin)| Some(one) == origin;
        self.0.iter().find(known).map_or("", |(name, _)| name)
    }
}

/// A name for each file: its own without folder and endings. One that is taken gets a number. Without files it is the
/// recording that comes with the program.
pub(crate) fn names(files: &[PathBuf]) -> Vec<String> {
    if files.is_empty() {
        return vec![SHIPPED.to_owned()];
    }
    let mut taken = HashSet::from([HERE.to_owned()]);
    let mut names = Vec::new();
    for file in files {
        let stem = stem(file);
        let numbered = (2..).map(|number| format!("{stem}-{number}"));
        let free = std::iter::once(stem.clone()).chain(numbered).find(|name| !taken.contains(name));
        let name = free.unwrap_or(stem);
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

/// Of a name that no origin can have only letters that it can.
fn stem(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let short = ENDINGS.iter().fold(&*name, |name, end| name.strip_suffix(end).unwrap_or(name));
    // `=` and `@` stand in the words of the command line.
    let harmless = |letter: char| if letter.is_control() || "@=,".contains(letter) { '_' } else { letter };
    let stem: String = short.chars().take(NAME_LETTERS).map(harmless).collect();
    if stem.is_empty() { SHIPPED.to_owned() } else { stem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(files: &[&str]) -> Vec<String> {
        names(&files.iter().map(PathBuf::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_recording_is_called_after_its_file_and_never_like_another() {
        let files = ["d/events-rich.ami.gz", "events-rich.ami", "e/events-rich.gz", "calls.log", "x.ami.gz"];
        assert_eq!(named(&files), ["events-rich", "events-rich-2", "events-rich-3", "calls.log", "x"]);
        assert_eq!(named(&["a", "a-2", "a", "a"]), ["a", "a-2", "a-3", "a-4"]);
        assert_eq!(
            named(&["switchboard.ami", ".ami", "..", "a@b=\n.gz"]),
            ["switchboard-2", "events", "events-2", "a_b__"]
        );
        assert_eq!(named(&[&"é".repeat(300)])[0].len(), 2 * NAME_LETTERS);
    }

    #[test]
    fn each_has_an_origin_of_its_own() {
        let bus = Bus::builder().manual().node(HERE).build().expect("a bus");
        let origins = Origins::new(&bus, &named(&["a", "b", "a"])).expect("names");
        let all: HashSet<_> = origins.iter().map(|(_, origin)| origin).collect();
        assert_eq!((all.len(), origins.len()), (3, 3));
        assert_eq!((origins.name(Some(origins.of(2))), origins.name(None)), ("a-2", ""));
        let shipped = Origins::new(&bus, &[]).expect("names");
        assert_eq!(shipped.iter().next().map(|(name, _)| name), Some("events"));
    }
}
