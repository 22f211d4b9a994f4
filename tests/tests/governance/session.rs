//! A session at the command line, recorded for people to read.
//!
//! Ids are shown as `ID-1`, `ID-2`… in the order of their first appearance, content ids are cut, and paths of
//! the test's home are shortened: what is left of a command is the same each time. What commands say is
//! recorded once and not compared: it holds times and widths that are not.

use std::fmt::Write as _;
use std::fs;

use moorline_testkit::env;

use crate::support::repository;

/// Where the recorded session is, below the repository.
const PAGE: &str = "docs/life-of-a-source.md";
/// With this variable set, the page is written instead of compared.
const RECORD: &str = "MOORLINE_RECORD";

/// What was done so far.
#[derive(Debug, Default)]
pub(crate) struct Session {
    page: String,
    commands: Vec<String>,
    ids: Vec<String>,
    home: String,
}

impl Session {
    /// Paths below this one are shown from here.
    pub(crate) fn set_home(&mut self, home: &str) {
        home.clone_into(&mut self.home);
    }

    /// A heading, with what is told under it.
    pub(crate) fn part(&mut self, title: &str, text: &str) {
        write!(self.page, "\n## {title}\n\n{text}\n").unwrap();
    }

    /// A command with what it said.
    pub(crate) fn command(&mut self, arguments: &[&str], said: &str) {
        let quoted: Vec<String> = arguments
            .iter()
            .map(|argument| {
                if argument.contains(' ') {
                    format!("'{argument}'")
                } else {
                    (*argument).to_owned()
                }
            })
            .collect();
        let command = self.shortened(&format!("moorline {}", quoted.join(" ")));
        let said = self.shortened(said.trim_end());
        write!(self.page, "\n```text\n$ {command}\n{said}\n```\n").unwrap();
        self.commands.push(command);
    }

    /// Holds the page to what was done, or writes it.
    pub(crate) fn compare(&self) {
        let path = repository().join(PAGE);
        if env::read(RECORD).is_some() {
            fs::write(&path, format!("{HEAD}{}", self.page)).unwrap();
            return;
        }
        let page = fs::read_to_string(&path).unwrap();
        let told: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("$ "))
            .collect();
        assert_eq!(
            told, self.commands,
            "{PAGE} does not tell what was done; {RECORD}=1 writes it anew"
        );
    }

    fn shortened(&mut self, text: &str) -> String {
        let mut short = text.to_owned();
        if !self.home.is_empty() {
            short = short.replace(&self.home, "~");
        }
        for word in text.split(|c: char| !c.is_ascii_hexdigit() && c != '-') {
            let is_id = word.len() == 36 && word.matches('-').count() == 4;
            if is_id && !self.ids.iter().any(|known| known == word) {
                self.ids.push(word.to_owned());
            }
        }
        for (number, id) in self.ids.iter().enumerate().rev() {
            short = short.replace(id, &format!("ID-{}", number + 1));
        }
        // `b3:` and the first eight of 64 digits.
        let mut cut = String::new();
        let mut rest = short.as_str();
        while let Some((before, after)) = rest.split_once("b3:") {
            let digits = after.find(|c: char| !c.is_ascii_hexdigit());
            let digits = digits.unwrap_or(after.len());
            let (hash, behind) = after.split_at(digits);
            write!(cut, "{before}b3:{}", hash.get(..8).unwrap_or(hash)).unwrap();
            if hash.len() > 8 {
                cut.push('…');
            }
            rest = behind;
        }
        cut + rest
    }
}

const HEAD: &str = "# The life of a source

A bank's statements are read every morning. This is a recorded session: the test
`the_life_of_a_source_on_sqlite` runs each command through the real binary and its worker, with real jobs in
the sandbox, a bank on loopback and a clock that is moved by hand, and holds this page to the commands that
it ran. Ids are shown as `ID-1`, `ID-2`…, content ids are cut.
";
