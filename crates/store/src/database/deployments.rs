//! [`DeploymentStore`] for both engines.

use async_trait::async_trait;
use moorline_core::audit::NewAudit;
use moorline_core::event::{EventKind, Level, NewEvent};

use super::backend::Backend;
use super::tx::Tx;
use super::unit::Unit;
use super::writer::Intent;
use crate::deployments::{DeploymentStore, RecordDeployment, RecordDrift};
use crate::error::StoreError;

#[async_trait]
impl<B: Backend> DeploymentStore for B {
    async fn deployment_record(&self, record: RecordDeployment) -> Result<(), StoreError> {
        self.write(Deployment(record)).await
    }

    async fn drift_record(&self, record: RecordDrift) -> Result<(), StoreError> {
        self.write(Drift(record)).await
    }
}

struct Deployment(RecordDeployment);

impl Intent for Deployment {
    type Reply = ();

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<(), StoreError> {
        let Self(record) = self;
        unit.audit(NewAudit {
            actor: record.by.to_string(),
            operation: record.operation.to_owned(),
            subject: format!("schedule/{}", record.schedule),
            reason: Some(record.reason.clone()),
            data: record.data.clone(),
            at: record.now,
        })
        .await
    }
}

struct Drift(RecordDrift);

impl Intent for Drift {
    type Reply = ();

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<(), StoreError> {
        let Self(record) = self;
        let event = NewEvent {
            kind: EventKind::ScheduleDrift,
            level: Level::Warn,
            data: record.data.clone(),
        };
        unit.job_event(&record.job_id, &event, record.now).await
    }
}
