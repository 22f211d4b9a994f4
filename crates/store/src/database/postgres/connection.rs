//! [`Tx`] for a connection to PostgreSQL.

use std::borrow::Cow;

use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Column as _, Error, Row as _, TypeInfo as _};

use super::session::{ANSWERING, bounded};
use crate::database::sql::{self, Dialect};
use crate::database::tx::{Cell, Row, Tx, Val};
use crate::error::StoreError;

/// Says what an error of the server or of the connection means. It names no address.
pub(super) fn explain(doing: &str, error: Error) -> StoreError {
    let database = error.as_database_error();
    let constraint = database.is_some_and(|error| {
        error.is_unique_violation()
            || error.is_foreign_key_violation()
            || error.is_check_violation()
    });
    if constraint {
        return StoreError::Conflict {
            what: format!("{doing}: {error}"),
        };
    }
    StoreError::unavailable(doing, error)
}

impl Tx for PgConnection {
    const DIALECT: Dialect = sql::POSTGRES;
    const LASTS: bool = false;

    async fn execute(&mut self, sql: &'static str, args: &[Val<'_>]) -> Result<u64, StoreError> {
        let doing = "writing to PostgreSQL";
        let executing = async {
            let done = bind(sql, args).execute(self).await;
            done.map(|done| done.rows_affected())
                .map_err(|error| explain(doing, error))
        };
        bounded(ANSWERING, doing, executing).await
    }

    async fn rows(&mut self, sql: &'static str, args: &[Val<'_>]) -> Result<Vec<Row>, StoreError> {
        let doing = "reading from PostgreSQL";
        let reading = async {
            let rows = bind(sql, args).fetch_all(self).await;
            rows.map_err(|error| explain(doing, error))
        };
        let rows = bounded(ANSWERING, doing, reading).await?;
        rows.iter().map(cells).collect()
    }

    async fn script(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let done = sqlx::raw_sql(sql).execute(self).await;
        done.map(drop)
            .map_err(|error| explain("preparing the PostgreSQL database", error))
    }
}

fn bind(sql: &'static str, args: &[Val<'_>]) -> Query<'static, Postgres, PgArguments> {
    args.iter().fold(sqlx::query(sql), |query, arg| match arg {
        Val::Int(value) => query.bind(*value),
        Val::Text(value) => query.bind(value.as_ref().map(|text| Cow::into_owned(text.clone()))),
    })
}

fn cells(row: &PgRow) -> Result<Row, StoreError> {
    let cells = row.columns().iter().map(|column| {
        let index = column.ordinal();
        let cell = match column.type_info().name() {
            "INT8" => row.try_get::<Option<i64>, _>(index)?.map(Cell::Int),
            _ => row.try_get::<Option<String>, _>(index)?.map(Cell::Text),
        };
        Ok(cell.unwrap_or(Cell::Null))
    });
    let cells: Result<Vec<Cell>, Error> = cells.collect();
    cells
        .map(Row::new)
        .map_err(|error| explain("reading from PostgreSQL", error))
}
