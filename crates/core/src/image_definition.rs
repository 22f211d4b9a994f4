//! Image definitions: which base, packages and commands an image is built from, as reviewable data (D-JOB-4).
//!
//! A definition is a small TOML document. Everything in it is pinned: the base by digest (the one digest
//! rule, L05), each package to one version. Its identity is the content id of its canonical JSON, so two
//! definitions that say the same are the same one, and a change is seen as one. [`ImageDefinition::dockerfile`]
//! writes it down for whoever builds: Docker, a registry's builder, or Modal.
//!
//! ```
//! use moorline_core::image_definition::ImageDefinition;
//!
//! let digest = "0".repeat(64);
//! let definition = ImageDefinition::parse(&format!(
//!     "name = \"extractor\"\nversion = 1\nbase = \"docker.io/library/python@sha256:{digest}\"\n\
//!      python = [\"ofxtools==0.9.5\"]\n"
//! ))
//! .unwrap();
//! assert!(definition.dockerfile().unwrap()[1].contains("ofxtools==0.9.5"));
//!
//! let refused = ImageDefinition::parse("name = \"x\"\nversion = 1\nbase = \"python:3.13\"\n").unwrap_err();
//! assert_eq!(refused.details[0].rule, "D-SPEC-3k");
//! ```
//!
//! Deliberately absent: building, and the digest of what was built. A registry gives that digest, and a spec
//! names it (`image` of a step): what runs is what was built once, not what could be built again.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::CanonicalError;
use crate::content_id::ContentId;
use crate::denial::{Denial, Detail};
use crate::error_code::ErrorCode;
use crate::image::ImageRef;

/// The rule of definitions.
const RULE: &str = "D-JOB-4";
/// The rule of pinned images.
const PINNED: &str = "D-SPEC-3k";

/// What an image is built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageDefinition {
    /// Its name: a lower-case letter, then letters, digits, `-`.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,62}$"))]
    pub name: String,
    /// Counted up with each change.
    #[schemars(range(min = 1))]
    pub version: u32,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The image that it is built on, pinned: `repository@sha256:` and 64 lower-case hex digits.
    pub base: String,
    /// Packages of the distribution, as `name=version` (Debian and its kin).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apt: Vec<String>,
    /// Python packages, as `name==version`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub python: Vec<String>,
    /// Node packages, as `name@version`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node: Vec<String>,
    /// Plain environment variables; no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Further commands, one line each, run once the packages are there. None that installs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run: Vec<String>,
}

impl ImageDefinition {
    /// Reads a definition and checks it.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once: not TOML, a field that is not known, a base without a
    /// digest (`D-SPEC-3k`), a package without a version or a command that installs (`D-JOB-4`).
    pub fn parse(text: &str) -> Result<Self, Denial> {
        let definition: Self = toml::from_str(text).map_err(|error| {
            let place = error
                .span()
                .map(|span| text.get(..span.start).unwrap_or_default())
                .map_or_else(String::new, |before| {
                    format!("line {}", before.matches('\n').count() + 1)
                });
            let detail = detail(place, RULE, error.message().to_owned());
            refuse(vec![detail])
        })?;
        let found = definition.problems();
        if found.is_empty() {
            Ok(definition)
        } else {
            Err(refuse(found))
        }
    }

    /// Its identity: the content id of its canonical JSON (RFC 8785).
    ///
    /// # Errors
    /// None for a definition that was parsed.
    pub fn id(&self) -> Result<ContentId, CanonicalError> {
        ContentId::of_json(self)
    }

    /// The lines of a Dockerfile that builds it, without context files.
    ///
    /// # Errors
    /// None for a definition that was parsed.
    pub fn dockerfile(&self) -> Result<Vec<String>, CanonicalError> {
        let mut lines = vec![format!("FROM {}", self.base)];
        if !self.apt.is_empty() {
            lines.push(format!(
                "RUN apt-get update && apt-get install --yes --no-install-recommends {} \
                 && rm -rf /var/lib/apt/lists/*",
                self.apt.join(" ")
            ));
        }
        if !self.python.is_empty() {
            lines.push(format!(
                "RUN python3 -m pip install --no-cache-dir --disable-pip-version-check {}",
                self.python.join(" ")
            ));
        }
        if !self.node.is_empty() {
            lines.push(format!("RUN npm install --global {}", self.node.join(" ")));
        }
        for (name, value) in &self.env {
            lines.push(format!("ENV {name}={}", quoted(value)));
        }
        lines.extend(self.run.iter().map(|command| format!("RUN {command}")));
        lines.push(format!(
            "LABEL moorline.image={} moorline.version={} moorline.definition={}",
            self.name,
            self.version,
            self.id()?
        ));
        Ok(lines)
    }

    fn problems(&self) -> Vec<Detail> {
        let mut found = Vec::new();
        let mut refuse = |at: String, rule: &str, message: &str| {
            found.push(detail(at, rule, message.to_owned()));
        };
        if !is_image_name(&self.name) {
            let message =
                "is not a name: a lower-case letter, then at most 62 letters, digits, `-`";
            refuse("name".to_owned(), RULE, message);
        }
        if self.version == 0 {
            refuse("version".to_owned(), RULE, "is counted from 1");
        }
        match self.base.parse::<ImageRef>() {
            Err(_) => refuse("base".to_owned(), PINNED, "is not an image reference"),
            Ok(base) if !base.is_pinned() => {
                refuse("base".to_owned(), PINNED, "must be pinned by digest");
            }
            Ok(_) => {}
        }
        let lists = [
            ("apt", &self.apt, "=", "`name=version`"),
            ("python", &self.python, "==", "`name==version`"),
            ("node", &self.node, "@", "`name@version`"),
        ];
        for (field, packages, between, form) in lists {
            for (index, package) in packages.iter().enumerate() {
                if !is_pinned(package, between) {
                    let message = format!("is not pinned to one version: write {form}");
                    refuse(format!("{field}[{index}]"), RULE, &message);
                }
            }
        }
        for (name, value) in &self.env {
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let named = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
            if !(plain && named) || value.contains(['\n', '\r', '\0']) {
                refuse(format!("env.{name}"), RULE, "is not a variable on one line");
            }
        }
        for (index, command) in self.run.iter().enumerate() {
            let at = format!("run[{index}]");
            if command.trim().is_empty() || command.contains(['\n', '\r', '\0']) {
                refuse(at, RULE, "is not a command on one line");
            } else if installs(command) {
                let message = "installs or downloads: name what it brings in `apt`, `python` or `node`, \
                               pinned";
                refuse(at, RULE, message);
            }
        }
        found
    }
}

fn refuse(found: Vec<Detail>) -> Denial {
    let message = match found.as_slice() {
        [one] if one.at.is_empty() => format!("the image definition is wrong: {}", one.message),
        [one] => format!("the image definition is wrong: {} {}", one.at, one.message),
        _ => format!("the image definition has {} problems", found.len()),
    };
    Denial::new(ErrorCode::Config, RULE, message)
        .hint("pin the base by digest and every package to one version")
        .with_details(found)
}

fn detail(at: String, rule: &str, message: String) -> Detail {
    Detail {
        at,
        rule: rule.to_owned(),
        message,
        hint: None,
    }
}

fn is_image_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// `name`, then what stands between, then one version: no range, no star, nothing that a shell reads.
fn is_pinned(package: &str, between: &str) -> bool {
    // A scope of Node's begins with the character that also comes before the version.
    let scoped = usize::from(between == "@" && package.starts_with('@'));
    let Some((name, version)) = package
        .get(scoped..)
        .and_then(|rest| rest.split_once(between))
    else {
        return false;
    };
    let name_char = |c: char| c.is_ascii_alphanumeric() || "._+-/[],:".contains(c);
    let version_char = |c: char| c.is_ascii_alphanumeric() || ".+~:_!-".contains(c);
    let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let exact = digit(version)
        && !version
            .split('.')
            .any(|part| part == "x" || part.is_empty());
    !name.is_empty() && name.chars().all(name_char) && exact && version.chars().all(version_char)
}

/// Whether a command brings in what is not pinned here, as far as its words show.
fn installs(command: &str) -> bool {
    let words: Vec<&str> = command
        .split(|c: char| c.is_whitespace() || ";&|()`$\"'".contains(c))
        .filter(|word| !word.is_empty())
        .map(|word| word.rsplit('/').next().unwrap_or(word))
        .collect();
    let fetches = |word: &&str| matches!(*word, "curl" | "wget" | "git" | "ftp" | "scp" | "rsync");
    let managers = |word: &&str| {
        let manager = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        matches!(
            manager,
            "pip"
                | "uv"
                | "poetry"
                | "conda"
                | "apt"
                | "apt-get"
                | "apk"
                | "dnf"
                | "yum"
                | "npm"
                | "npx"
                | "pnpm"
                | "yarn"
                | "gem"
                | "cargo"
                | "go"
        )
    };
    words.iter().any(|word| fetches(word) || managers(word))
}

/// A value in double quotes, as a Dockerfile reads it.
fn quoted(value: &str) -> String {
    let escaped = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('$', "\\$");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> String {
        format!(
            "name = \"extractor\"\nversion = 2\nbase = \"docker.io/library/python@sha256:{}\"\n",
            "a".repeat(64)
        )
    }

    /// The places that are refused once these lines are added.
    fn refused(more: &str) -> Vec<String> {
        match ImageDefinition::parse(&(base() + more)) {
            Ok(_) => Vec::new(),
            Err(denial) => denial.details.into_iter().map(|detail| detail.at).collect(),
        }
    }

    #[test]
    fn a_whole_definition_becomes_a_dockerfile() {
        let more = "apt = [\"libxml2=2.9.14+dfsg-1.3~deb12u1\"]\npython = [\"ofxtools==0.9.5\", \
                    \"httpx[http2]==0.28.1\"]\nnode = [\"@scope/tool@1.2.3\"]\nrun = [\"useradd job\"]\n\
                    [env]\nLANG = \"C.UTF-8\"\nSAY = \"a $b \\\"c\\\"\"\n";
        let definition = ImageDefinition::parse(&(base() + more)).unwrap();
        let lines = definition.dockerfile().unwrap();
        let digest = "a".repeat(64);
        assert_eq!(
            lines[..7],
            [
                format!("FROM docker.io/library/python@sha256:{digest}"),
                "RUN apt-get update && apt-get install --yes --no-install-recommends \
                 libxml2=2.9.14+dfsg-1.3~deb12u1 && rm -rf /var/lib/apt/lists/*"
                    .to_owned(),
                "RUN python3 -m pip install --no-cache-dir --disable-pip-version-check ofxtools==0.9.5 \
                 httpx[http2]==0.28.1"
                    .to_owned(),
                "RUN npm install --global @scope/tool@1.2.3".to_owned(),
                "ENV LANG=\"C.UTF-8\"".to_owned(),
                "ENV SAY=\"a \\$b \\\"c\\\"\"".to_owned(),
                "RUN useradd job".to_owned(),
            ]
        );
        let id = definition.id().unwrap();
        assert_eq!(
            lines[7],
            format!("LABEL moorline.image=extractor moorline.version=2 moorline.definition={id}")
        );
    }

    #[test]
    fn the_same_definition_has_the_same_id_however_it_is_written() {
        let id = |text: &str| ImageDefinition::parse(text).unwrap().id().unwrap();
        assert_eq!(
            id(&base()),
            id(&format!("# a comment\n\n{}apt = []\n", base()))
        );
        assert_ne!(
            id(&base()),
            id(&base().replace("version = 2", "version = 3"))
        );
    }

    /// L05: one digest rule, and nothing beside it is floating either.
    #[test]
    fn what_is_not_pinned_is_refused() {
        let cases = [
            ("python = [\"ofxtools\"]", vec!["python[0]"]),
            ("python = [\"ofxtools>=0.9\"]", vec!["python[0]"]),
            ("python = [\"ofxtools==0.9.*\"]", vec!["python[0]"]),
            (
                "python = [\"a==1 b\", \"c==1;d\"]",
                vec!["python[0]", "python[1]"],
            ),
            ("apt = [\"curl\", \"a=1.0\"]", vec!["apt[0]"]),
            (
                "node = [\"tool@latest\", \"tool@^1\", \"@s/t\"]",
                vec!["node[0]", "node[1]", "node[2]"],
            ),
            ("run = [\"pip install x\"]", vec!["run[0]"]),
            ("run = [\"/usr/bin/curl http://x | sh\"]", vec!["run[0]"]),
            (
                "run = [\"pip3.13 install x\", \"a\\nb\"]",
                vec!["run[0]", "run[1]"],
            ),
            ("[env]\n\"1A\" = \"x\"", vec!["env.1A"]),
            ("unknown = 1", vec!["line 4"]),
        ];
        for (more, wanted) in cases {
            assert_eq!(refused(more), wanted, "{more}");
        }
        let floating = base().replace(&format!("@sha256:{}", "a".repeat(64)), ":3.13");
        let denial = ImageDefinition::parse(&floating).unwrap_err();
        assert_eq!(denial.details[0].rule, "D-SPEC-3k");
        assert_eq!(denial.code, ErrorCode::Config);
    }
}
