//! Sources, as people steer them (D-RUN-7). The rules are `moorline_core::source`; what the ends of runs do
//! to sources happens in the store, in the transactions that end them.

use async_trait::async_trait;
use moorline_api::{
    ApiError, Operation, RunRow, SourceChangeRequest, SourceDetail, SourceOperations,
    SourceRequest, SourceResumeRequest, SourceSchedule, SourceView,
};
use moorline_core::error_code::ErrorCode;
use moorline_core::source::{Source, SourceCommand};
use moorline_store::{RunFilter, ScheduleFilter, Seen, SourceChange};

use crate::engine::{Engine, Inner};
use crate::error::store_error;

/// Newest runs that `sources show` has.
const RUNS: u32 = 5;

#[async_trait]
impl SourceOperations for Engine {
    async fn source_show(&self, request: SourceRequest) -> Result<SourceDetail, ApiError> {
        self.inner.source_detail(&request.source_id).await
    }

    async fn source_pause(&self, request: SourceChangeRequest) -> Result<SourceView, ApiError> {
        let command = SourceCommand::Pause {
            actor: request.actor.clone(),
            reason: request.reason,
        };
        let subject = format!("source/{}", request.source_id);
        let work = self
            .inner
            .change_source(request.source_id, command, self.seen());
        self.inner
            .guarded(Operation::SourcePause, &request.actor, subject, work)
            .await
    }

    async fn source_resume(&self, request: SourceResumeRequest) -> Result<SourceView, ApiError> {
        let command = SourceCommand::Resume {
            actor: request.actor.clone(),
            reason: request.reason,
            looked_into: request.looked_into,
        };
        let subject = format!("source/{}", request.source_id);
        let work = self
            .inner
            .change_source(request.source_id, command, self.seen());
        self.inner
            .guarded(Operation::SourceResume, &request.actor, subject, work)
            .await
    }
}

impl Inner {
    async fn source(&self, source_id: &str) -> Result<Source, ApiError> {
        let source = self
            .store
            .source_get(source_id)
            .await
            .map_err(store_error)?;
        source.ok_or_else(|| {
            let message = format!("no source `{source_id}`");
            ApiError::new(ErrorCode::NotFound, message)
                .hint("`moorline sources list` shows them; a source is known from its first run on")
        })
    }

    async fn change_source(
        &self,
        source_id: String,
        command: SourceCommand,
        seen: Option<Seen>,
    ) -> Result<SourceView, ApiError> {
        self.source(&source_id).await?;
        let change = SourceChange {
            source_id,
            command,
            seen,
            now: self.now(),
        };
        let changed = self
            .store
            .source_change(change)
            .await
            .map_err(store_error)?;
        self.changed.notify_waiters();
        Ok(changed.into())
    }

    async fn source_detail(&self, source_id: &str) -> Result<SourceDetail, ApiError> {
        let source = self.source(source_id).await?;
        let filter = ScheduleFilter {
            source_id: Some(source_id.to_owned()),
            ..ScheduleFilter::default()
        };
        let schedules = self
            .store
            .schedules_list(filter)
            .await
            .map_err(store_error)?;
        let filter = RunFilter {
            source_id: Some(source_id.to_owned()),
            limit: RUNS,
            ..RunFilter::default()
        };
        let runs = self.store.runs_list(filter).await.map_err(store_error)?;
        let admitted = source.admits_schedule();
        Ok(SourceDetail {
            admits_schedules: admitted.is_ok(),
            hint: admitted.err().and_then(|denial| denial.hint),
            schedules: schedules
                .into_iter()
                .map(|schedule| SourceSchedule {
                    schedule: schedule.id,
                    state: schedule.state,
                })
                .collect(),
            runs: runs.iter().map(RunRow::from).collect(),
            source: source.into(),
        })
    }
}
