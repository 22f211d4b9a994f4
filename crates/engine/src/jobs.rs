//! The jobs that are known here: those that a lane points to, those that were scheduled, those that ran.

use std::collections::BTreeMap;

use moorline_api::{ApiError, JobRow, RunRow};
use moorline_core::content_id::ContentId;
use moorline_core::run::Run;
use moorline_store::{RunFilter, ScheduleFilter};

use crate::engine::Inner;
use crate::error::store_error;

impl Inner {
    /// Every job, by id. What it costs grows with the number of jobs, and not with that of their runs.
    pub(crate) async fn jobs(&self) -> Result<Vec<JobRow>, ApiError> {
        let store = &self.store;
        let mut jobs: BTreeMap<String, JobRow> = BTreeMap::new();
        for job in store.run_jobs().await.map_err(store_error)? {
            let newest = self.newest_run(&job).await?;
            let title = match &newest {
                Some(run) => self.title_of(&run.spec_hash).await?,
                None => None,
            };
            let row = row(&mut jobs, &job);
            row.last_run = newest.as_ref().map(RunRow::from);
            row.title = title;
        }
        for promotion in store.live_list().await.map_err(store_error)? {
            let title = self.title_of(&promotion.spec_hash).await?;
            let row = row(&mut jobs, &promotion.job_id);
            // What is approved says best what people call it.
            row.title = title.or_else(|| row.title.take());
            row.live_in.push(promotion.lane);
        }
        let schedules = store.schedules_list(ScheduleFilter::default()).await;
        for schedule in schedules.map_err(store_error)? {
            let row = row(&mut jobs, schedule.id.job_id());
            row.schedules.push(schedule.id);
        }
        Ok(jobs.into_values().collect())
    }

    /// What people call the job of a spec.
    async fn title_of(&self, spec: &ContentId) -> Result<Option<String>, ApiError> {
        let spec = self.stored_spec(spec).await?;
        Ok(spec.and_then(|spec| spec.title.clone()))
    }

    async fn newest_run(&self, job: &str) -> Result<Option<Run>, ApiError> {
        let filter = RunFilter {
            job_id: Some(job.to_owned()),
            limit: 1,
            ..RunFilter::default()
        };
        let mut runs = self.store.runs_list(filter).await.map_err(store_error)?;
        Ok(runs.pop())
    }
}

fn row<'j>(jobs: &'j mut BTreeMap<String, JobRow>, job: &str) -> &'j mut JobRow {
    jobs.entry(job.to_owned()).or_insert_with(|| JobRow {
        job_id: job.to_owned(),
        title: None,
        live_in: Vec::new(),
        schedules: Vec::new(),
        last_run: None,
    })
}
