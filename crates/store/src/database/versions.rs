//! [`VersionStore`] for both engines, and the comparison in the transaction of a change.

use async_trait::async_trait;
use moorline_core::content_id::ContentId;

use crate::database::backend::Backend;
use crate::database::query::Query;
use crate::database::sql::{self, artifacts, principals, schedules, sources};
use crate::database::tx::{Tx, args};
use crate::database::unit::Unit;
use crate::error::StoreError;
use crate::versions::{Seen, VersionStore, Versioned};

#[async_trait]
impl<B: Backend> VersionStore for B {
    async fn version_of(&self, what: &Versioned) -> Result<Seen, StoreError> {
        self.read(Version(what.clone())).await
    }
}

/// [`VersionStore::version_of`].
struct Version(Versioned);

impl Query for Version {
    type Reply = Seen;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Seen, StoreError> {
        read(tx, &self.0).await
    }
}

/// Refuses a change of what is not as it was seen. No other writer comes between this and the end of the
/// transaction.
pub(crate) async fn unchanged<T: Tx>(
    unit: &mut Unit<'_, T>,
    seen: Option<&Seen>,
) -> Result<(), StoreError> {
    let Some(seen) = seen else {
        return Ok(());
    };
    if read(unit.tx, &seen.what).await? == *seen {
        return Ok(());
    }
    let (_, subject) = place(&seen.what);
    Err(StoreError::Changed { what: subject })
}

/// The row, and the newest audit record about it: what is done about a thing without a trace in its row (a lane
/// is pointed to an artifact) is on the record.
async fn read<T: Tx>(tx: &mut T, what: &Versioned) -> Result<Seen, StoreError> {
    let (statement, subject) = place(what);
    let id = subject.split_once('/').map_or("", |(_, id)| id);
    let row = tx.row(statement, args![id]).await?;
    let doc = row
        .map(|mut row| row.text_opt("document"))
        .transpose()?
        .flatten();
    let newest = tx.row(sql::AUDIT_NEWEST_OF, args![&subject]).await?;
    let newest = newest.map(|mut row| row.unsigned::<u64>("audit id"));
    let newest = newest.transpose()?.unwrap_or(0);
    let text = format!("{newest}\n{}", doc.unwrap_or_default());
    Ok(Seen {
        what: what.clone(),
        version: ContentId::of_bytes(text.as_bytes()),
    })
}

/// The statement that reads the document, and the subject of audit records: a kind, `/`, and the id that the
/// statement takes.
fn place(what: &Versioned) -> (&'static str, String) {
    match what {
        Versioned::Artifact(id) => (artifacts::ARTIFACT_GET, format!("artifact/{id}")),
        Versioned::Schedule(id) => (schedules::SCHEDULE_GET, format!("schedule/{id}")),
        Versioned::Source(id) => (sources::SOURCE_DOC, format!("source/{id}")),
        Versioned::Principal(id) => (principals::GET, format!("principal/{id}")),
        Versioned::Run(id) => (sql::RUN_GET, format!("run/{id}")),
    }
}
