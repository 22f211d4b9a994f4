//! Lists with filters: each combination has a statement with an index that gives its order.

use moorline_core::event::Event;
use moorline_core::ids::RunId;
use moorline_core::run::Run;

use super::{Query, all};
use crate::database::sql;
use crate::database::tx::{Row, Tx, Val};
use crate::database::unit::level_number;
use crate::error::StoreError;
use crate::types::{EventFilter, RunFilter};

/// Behind every id: ids begin with a hexadecimal digit.
const BEHIND_ALL: &str = "g";

/// [`Store::runs_list`](crate::Store::runs_list).
pub(crate) struct Runs(pub(crate) RunFilter);

impl Query for Runs {
    type Reply = Vec<Run>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<Run>, StoreError> {
        let Self(filter) = self;
        let limit = if filter.limit == 0 { 50 } else { filter.limit };
        let mut statuses: Vec<_> = filter
            .statuses
            .iter()
            .map(|status| status.as_str())
            .collect();
        statuses.sort_unstable();
        statuses.dedup();
        if statuses.is_empty() {
            let runs = runs_of(tx, filter, None, limit).await?;
            return Ok(runs.into_iter().map(|(_, run)| run).collect());
        }
        let mut found = Vec::new();
        for status in statuses {
            found.extend(runs_of(tx, filter, Some(status), limit).await?);
        }
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found.into_iter().map(|(_, run)| run).collect())
    }
}

async fn runs_of<T: Tx>(
    tx: &mut T,
    filter: &RunFilter,
    status: Option<&'static str>,
    limit: u32,
) -> Result<Vec<(RunId, Run)>, StoreError> {
    let (job, source) = (filter.job_id.as_deref(), filter.source_id.as_deref());
    let statement = match (job, source, status) {
        (None, None, None) => sql::RUNS,
        (None, None, Some(_)) => sql::RUNS_STATUS,
        (Some(_), None, None) => sql::RUNS_JOB,
        (Some(_), None, Some(_)) => sql::RUNS_JOB_STATUS,
        (None, Some(_), None) => sql::RUNS_SOURCE,
        (None, Some(_), Some(_)) => sql::RUNS_SOURCE_STATUS,
        (Some(_), Some(_), None) => sql::RUNS_JOB_SOURCE,
        (Some(_), Some(_), Some(_)) => sql::RUNS_JOB_SOURCE_STATUS,
    };
    let before = filter
        .before
        .map_or_else(|| BEHIND_ALL.to_owned(), |id| id.to_string());
    let mut args = vec![Val::from(before)];
    args.extend([job, source, status].into_iter().flatten().map(Val::from));
    args.push(limit.into());
    all(tx, statement, &args, |mut row| {
        Ok((row.parsed("run id")?, row.json("run")?))
    })
    .await
}

/// [`Store::events_list`](crate::Store::events_list).
pub(crate) struct Events(pub(crate) EventFilter);

impl Query for Events {
    type Reply = Vec<Event>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<Event>, StoreError> {
        let Self(filter) = self;
        let limit = if filter.limit == 0 { 100 } else { filter.limit };
        let run_id = filter.run_id.map(|run| run.to_string());
        let mut found = if let Some(run_id) = &run_id {
            events_of(
                tx,
                filter,
                (sql::EVENTS_RUN, sql::EVENTS_RUN_NEWEST),
                Some(run_id),
                limit,
            )
            .await?
        } else if let Some(job_id) = &filter.job_id {
            events_of(
                tx,
                filter,
                (sql::EVENTS_JOB, sql::EVENTS_JOB_NEWEST),
                Some(job_id),
                limit,
            )
            .await?
        } else if !filter.kinds.is_empty() {
            let mut found = Vec::new();
            let statements = (sql::EVENTS_KIND, sql::EVENTS_KIND_NEWEST);
            for kind in &filter.kinds {
                found.extend(events_of(tx, filter, statements, Some(kind.as_str()), limit).await?);
            }
            found
        } else if filter.level.is_some_and(|level| level_number(level) > 0) {
            let statements = (sql::EVENTS_NOTABLE, sql::EVENTS_NOTABLE_NEWEST);
            events_of(tx, filter, statements, None, limit).await?
        } else {
            events_of(tx, filter, (sql::EVENTS, sql::EVENTS_NEWEST), None, limit).await?
        };
        found.sort_by_key(|event| event.id);
        found.dedup_by_key(|event| event.id);
        // All events of a run are of one job.
        if let (Some(_), Some(job_id)) = (&run_id, &filter.job_id) {
            found.retain(|event| event.job_id.as_ref() == Some(job_id));
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if filter.newest {
            found.drain(..found.len().saturating_sub(limit));
        } else {
            found.truncate(limit);
        }
        Ok(found)
    }
}

/// Events by one of a pair of statements, oldest first or newest first. `key` is what the statement
/// selects by, none for those that select by nothing; it may be the empty text.
async fn events_of<T: Tx>(
    tx: &mut T,
    filter: &EventFilter,
    (oldest, newest): (&'static str, &'static str),
    key: Option<&str>,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let mut kinds = String::new();
    for kind in &filter.kinds {
        kinds = format!("{kinds},{},", kind.as_str());
    }
    let level = filter.level.map_or(0, level_number);
    let mut args = vec![Val::from(filter.after), level.into(), kinds.into()];
    args.extend(key.map(Val::from));
    args.push(limit.into());
    all(
        tx,
        if filter.newest { newest } else { oldest },
        &args,
        event_of,
    )
    .await
}

fn event_of(mut row: Row) -> Result<Event, StoreError> {
    use moorline_core::event::Level;
    Ok(Event {
        id: row.unsigned("event id")?,
        at: row.time("time of an event")?,
        kind: row.text("kind of an event")?.into(),
        level: match row.int("level of an event")? {
            0 => Level::Info,
            1 => Level::Warn,
            _ => Level::Error,
        },
        run_id: row.parsed_opt("run id")?,
        job_id: row.text_opt("job id")?,
        data: row.json("data of an event")?,
    })
}
