//! COPY: which files a source means, and how they are put into the container.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::container::Exec;

/// Where a build's context is seen inside.
pub(super) const CONTEXT: &str = "/__modal/build/context";

/// Copies its arguments from the fourth on to the first; the second says whether that is a directory, the
/// third is a mode or empty. A directory's content is copied, not itself, also through links (`/bin`) and
/// without a change to directories that are there.
const SCRIPT: &str = r#"
to=$1; into=$2; mode=$3; shift 3
if [ "$into" = yes ]; then mkdir -p -- "$to"; else mkdir -p -- "$(dirname -- "$to")"; fi
for from do
  if [ -d "$from" ]; then
    mkdir -p -- "$to"
    tar -C "$from" -cf - . | tar -C "$to" --no-same-owner --keep-directory-symlink --no-overwrite-dir -xf -
  else
    cp -dR --preserve=mode -- "$from" "$to"
  fi
  if [ -n "$mode" ]; then
    if [ -d "$to" ] && [ ! -d "$from" ]; then chmod -R -- "$mode" "$to/${from##*/}"; else chmod -R -- "$mode" "$to"; fi
  fi
done
"#;

/// The paths of the context, relative to it, that a source of COPY means. Empty when there is none.
pub(super) fn matches(context: &Path, source: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for component in Path::new(source).components() {
        let name = match component {
            Component::Normal(name) => name.to_string_lossy(),
            Component::RootDir | Component::CurDir => continue,
            // Nothing above the context can be named.
            Component::ParentDir | Component::Prefix(_) => return Ok(Vec::new()),
        };
        let mut next = Vec::new();
        for dir in found {
            if !name.contains(['*', '?', '[']) {
                let path = dir.join(&*name);
                if context.join(&path).symlink_metadata().is_ok() {
                    next.push(path);
                }
                continue;
            }
            let entries = match std::fs::read_dir(context.join(&dir)) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?.file_name();
                if is_match(&name, &entry.to_string_lossy()) {
                    next.push(dir.join(entry));
                }
            }
        }
        next.sort();
        found = next;
    }
    Ok(found)
}

/// Whether a name fits a pattern with `*`, `?` and `[a-z]`, as Go's `path.Match` says.
fn is_match(pattern: &str, name: &str) -> bool {
    let mut chars = pattern.chars();
    let Some(first) = chars.next() else {
        return name.is_empty();
    };
    let rest = chars.as_str();
    let mut left = name.chars();
    match first {
        '*' => {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter()
                .any(|at| is_match(rest, name.get(at..).unwrap_or_default()))
        }
        '?' => left.next().is_some() && is_match(rest, left.as_str()),
        '[' => {
            let (Some((class, rest)), Some(char)) = (rest.split_once(']'), left.next()) else {
                return false;
            };
            is_in_class(class, char) && is_match(rest, left.as_str())
        }
        '\\' => {
            let mut escaped = rest.chars();
            escaped.next().is_some_and(|char| left.next() == Some(char))
                && is_match(escaped.as_str(), left.as_str())
        }
        char => left.next() == Some(char) && is_match(rest, left.as_str()),
    }
}

fn is_in_class(class: &str, char: char) -> bool {
    let (negated, class) = match class.strip_prefix('^') {
        Some(class) => (true, class),
        None => (false, class),
    };
    let members: Vec<char> = class.chars().collect();
    let mut at = 0;
    let mut found = false;
    while let Some(low) = members.get(at) {
        if let (Some('-'), Some(high)) = (members.get(at + 1), members.get(at + 2)) {
            found |= (*low..=*high).contains(&char);
            at += 3;
        } else {
            found |= *low == char;
            at += 1;
        }
    }
    found != negated
}

/// The process that copies `sources`, absolute inside, to `target`.
pub(super) fn exec(sources: Vec<String>, target: &str, workdir: &str, chmod: Option<&str>) -> Exec {
    let is_directory = sources.len() > 1 || target.ends_with('/') || matches!(target, "." | "..");
    let target = if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("{}/{target}", workdir.trim_end_matches('/'))
    };
    let into = if is_directory { "yes" } else { "no" };
    let mut argv: Vec<String> = ["/bin/sh", "-ec", SCRIPT, "copy"].map(str::to_owned).into();
    argv.extend([
        target,
        into.to_owned(),
        chmod.unwrap_or_default().to_owned(),
    ]);
    argv.extend(sources);
    Exec {
        argv,
        env: BTreeMap::new(),
        cwd: Some("/".to_owned()),
        pty: None,
        timeout: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sources_are_looked_for_in_the_context_alone() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a.py", "b.py", "c.txt", "d/a.py"] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = |source: &str| -> Vec<String> {
            let found = matches(dir.path(), source).unwrap();
            found
                .iter()
                .map(|path| path.to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(found("."), [""]);
        assert_eq!(found("/a.py"), ["a.py"]);
        assert_eq!(found("*.py"), ["a.py", "b.py"]);
        assert_eq!(found("[b-d]*"), ["b.py", "c.txt", "d"]);
        assert_eq!(found("*/?.py"), ["d/a.py"]);
        assert_eq!(found("[^ab].???"), ["c.txt"]);
        assert_eq!(found("../x"), <[&str; 0]>::default());
        assert_eq!(found("none"), <[&str; 0]>::default());
    }

    proptest! {
        #[test]
        fn a_name_fits_itself_and_the_star(name in "[a-z.]{0,12}", pattern in "\\PC{0,12}") {
            prop_assert!(is_match(&name, &name));
            prop_assert!(is_match("*", &name));
            let _ = is_match(&pattern, &name);
        }
    }
}
