//! A clock that a file drives, for tests of the built binary: `MOORLINE_TEST_CLOCK=FILE`.
//!
//! The file holds an instant (RFC 3339), optionally followed by `standing` (as without it) or `running`: the
//! clock then stands at that instant, or runs on from it since the file was written. Whoever moves the clock
//! replaces the file by a rename, so that every process reads the old instant or the new one.
//!
//! Only with the feature `test-clock`, which no release build has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use moorline_api::ApiError;
use moorline_core::clock::{Clock, SystemClock};
use moorline_core::error_code::ErrorCode;

use crate::engine::EngineConfig;

/// The variable that names the file.
const VARIABLE: &str = "MOORLINE_TEST_CLOCK";

/// How often a worker looks, when the clock may be moved at any time.
const POLL: Duration = Duration::from_millis(20);

/// The clock that the environment asks for; with a file, workers look more often.
pub(crate) fn clock(
    vars: &BTreeMap<String, String>,
    config: &mut EngineConfig,
) -> Result<Arc<dyn Clock>, ApiError> {
    let Some(file) = vars.get(VARIABLE).filter(|file| !file.is_empty()) else {
        return Ok(Arc::new(SystemClock));
    };
    let file = PathBuf::from(file);
    let start = read(&file).map_err(|wrong| {
        let message = format!("{VARIABLE}: {}: {wrong}", file.display());
        ApiError::new(ErrorCode::Usage, message)
            .hint("write an instant such as `2026-03-29T00:30:00Z`, optionally with ` running`")
    })?;
    config.poll = POLL;
    Ok(Arc::new(FileClock {
        file,
        last: Mutex::new(start),
    }))
}

#[derive(Debug)]
struct FileClock {
    file: PathBuf,
    /// What was read last, for when the file can not be read.
    last: Mutex<Timestamp>,
}

impl Clock for FileClock {
    fn now(&self) -> Timestamp {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(now) = read(&self.file) {
            *last = now;
        }
        *last
    }
}

/// The time that a file says it is.
fn read(file: &Path) -> Result<Timestamp, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let mut words = text.split_whitespace();
    let instant: Timestamp = words
        .next()
        .ok_or("it is empty")?
        .parse()
        .map_err(|error: jiff::Error| error.to_string())?;
    let now = match words.next() {
        None | Some("standing") => instant,
        Some("running") => {
            let written = std::fs::metadata(file).and_then(|data| data.modified());
            let written = written.map_err(|error| error.to_string())?;
            let written = Timestamp::try_from(written).map_err(|error| error.to_string())?;
            instant
                .checked_add(SystemClock.now().duration_since(written))
                .map_err(|error| error.to_string())?
        }
        Some(word) => return Err(format!("`{word}` is neither `standing` nor `running`")),
    };
    // Whole microseconds, as every clock gives.
    Timestamp::from_microsecond(now.as_microsecond()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_where_the_file_says_and_moves_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("clock");
        std::fs::write(&file, "2026-03-29T00:59:30Z\n").unwrap();
        let vars = BTreeMap::from([(VARIABLE.to_owned(), file.to_str().unwrap().to_owned())]);
        let mut config = EngineConfig::embedded(crate::StateDirs::new(dir.path().join("state")));
        let clock = clock(&vars, &mut config).unwrap();
        assert_eq!(config.poll, POLL);
        assert_eq!(clock.now().to_string(), "2026-03-29T00:59:30Z");
        std::fs::write(&file, "2026-03-29T01:00:00Z standing").unwrap();
        assert_eq!(clock.now().to_string(), "2026-03-29T01:00:00Z");
        // Half written: the last time that could be read.
        std::fs::write(&file, "2026-03-").unwrap();
        assert_eq!(clock.now().to_string(), "2026-03-29T01:00:00Z");
        std::fs::write(&file, "2026-03-30T00:00:00Z running").unwrap();
        let first = clock.now();
        assert!(first >= "2026-03-30T00:00:00Z".parse().unwrap(), "{first}");
        assert!(first < "2026-03-30T01:00:00Z".parse().unwrap(), "{first}");
    }

    #[test]
    fn a_file_that_says_no_time_is_refused_when_the_engine_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = EngineConfig::embedded(crate::StateDirs::new(dir.path().join("state")));
        for text in ["", "tomorrow", "2026-03-29T00:00:00Z walking"] {
            let file = dir.path().join("clock");
            std::fs::write(&file, text).unwrap();
            let vars = BTreeMap::from([(VARIABLE.to_owned(), file.to_str().unwrap().to_owned())]);
            let error = clock(&vars, &mut config).unwrap_err();
            assert_eq!(error.code, ErrorCode::Usage, "{text}");
        }
        assert!(clock(&BTreeMap::new(), &mut config).is_ok());
    }
}
