//! Every statement on every engine: that it is understood, and that the hot ones are flat.

use super::*;

/// Statements whose cost must not grow with the store, with the index that they go by. What they
/// are ordered by comes out of the index: nothing is sorted.
const HOT: &[(&str, &str, &str)] = &[
    ("RUN_GET", RUN_GET, "runs_pkey"),
    ("RUN_BY_KEY", RUN_BY_KEY, "runs_idempotency_key"),
    ("JOB_NEXT", JOB_NEXT, "runs_job"),
    ("RUN_FIND", RUN_FIND, "runs_pkey"),
    ("RUNS_LIVE", RUNS_LIVE, "runs_live"),
    ("LEASE_RENEW", LEASE_RENEW, "runs_live"),
    ("RUNS_OPEN", RUNS_OPEN, "runs_open"),
    ("NEXT_DUE", NEXT_DUE, "runs_due"),
    ("RUNS", RUNS, "runs_pkey"),
    ("RUNS_STATUS", RUNS_STATUS, "runs_status"),
    ("RUNS_JOB", RUNS_JOB, "runs_job"),
    ("RUNS_JOB_STATUS", RUNS_JOB_STATUS, "runs_job_status"),
    ("RUNS_SOURCE", RUNS_SOURCE, "runs_source"),
    (
        "RUNS_SOURCE_STATUS",
        RUNS_SOURCE_STATUS,
        "runs_source_status",
    ),
    ("ATTEMPTS", ATTEMPTS, "attempts_pkey"),
    ("ATTEMPT_ENDED", ATTEMPT_ENDED, "attempts_pkey"),
    ("SUMMARY_GET", SUMMARY_GET, "summaries_pkey"),
    ("EVENTS", EVENTS, "events_pkey"),
    ("EVENTS_NOTABLE", EVENTS_NOTABLE, "events_notable"),
    ("EVENTS_KIND", EVENTS_KIND, "events_kind"),
    ("EVENTS_JOB", EVENTS_JOB, "events_job"),
    ("EVENTS_RUN", EVENTS_RUN, "events_run"),
    ("EVENTS_NEWEST", EVENTS_NEWEST, "events_pkey"),
    (
        "EVENTS_NOTABLE_NEWEST",
        EVENTS_NOTABLE_NEWEST,
        "events_notable",
    ),
    ("EVENTS_KIND_NEWEST", EVENTS_KIND_NEWEST, "events_kind"),
    ("EVENTS_JOB_NEWEST", EVENTS_JOB_NEWEST, "events_job"),
    ("EVENTS_RUN_NEWEST", EVENTS_RUN_NEWEST, "events_run"),
    ("AUDIT", AUDIT, "audit_pkey"),
    ("AUDIT_NEWEST", AUDIT_NEWEST, "audit_pkey"),
    ("AUDIT_OPERATION", AUDIT_OPERATION, "audit_operation"),
    ("AUDIT_SUBJECT", AUDIT_SUBJECT, "audit_subject"),
    ("OUTBOX", OUTBOX, "outbox_pending"),
    ("OUTBOX_RUN", OUTBOX_RUN, "outbox_pending_run"),
    ("ARTIFACT_GET", artifacts::ARTIFACT_GET, "artifacts_pkey"),
    ("ARTIFACT_FIND", artifacts::ARTIFACT_FIND, "artifacts_pkey"),
    ("ARTIFACTS", artifacts::ARTIFACTS, "artifacts_pkey"),
    ("ARTIFACTS_JOB", artifacts::ARTIFACTS_JOB, "artifacts_job"),
    (
        "ARTIFACTS_STATE",
        artifacts::ARTIFACTS_STATE,
        "artifacts_state",
    ),
    (
        "ARTIFACTS_CONTENT",
        artifacts::ARTIFACTS_CONTENT,
        "artifacts_content",
    ),
    ("LIVE_GET", artifacts::LIVE_GET, "live_pkey"),
    (
        "PROMOTIONS_LANE",
        artifacts::PROMOTIONS_LANE,
        "promotions_lane",
    ),
    (
        "PROMOTIONS_JOB",
        artifacts::PROMOTIONS_JOB,
        "promotions_job",
    ),
    ("GATE_EVIDENCE", artifacts::GATE_EVIDENCE, "evidence_job"),
    ("BLOB_GET", blobs::BLOB_GET, "blobs_pkey"),
    ("BLOB_OF_CONTENT", blobs::BLOB_OF_CONTENT, "blobs_content"),
    ("BLOB_PART_GET", blobs::BLOB_PART_GET, "blob_parts_pkey"),
    ("ALERT_OF_KEY", alerts::ALERT_OF_KEY, "alerts_key"),
    ("ALERTS_OPEN", alerts::ALERTS_OPEN, "alerts_open"),
    ("ALERTS_RAISED", alerts::ALERTS_RAISED, "alerts_raised"),
    ("DELIVERIES", alerts::DELIVERIES, "deliveries_pkey"),
    ("DELIVERIES_DUE", alerts::DELIVERIES_DUE, "deliveries_due"),
    ("DELIVERIES_NEXT", alerts::DELIVERIES_NEXT, "deliveries_due"),
    ("APPROVAL_GET", approvals::APPROVAL_GET, "approvals_pkey"),
    ("APPROVAL_FIND", approvals::APPROVAL_FIND, "approvals_pkey"),
    ("APPROVALS", approvals::APPROVALS, "approvals_pkey"),
    (
        "APPROVALS_STATUS",
        approvals::APPROVALS_STATUS,
        "approvals_status",
    ),
    ("APPROVALS_JOB", approvals::APPROVALS_JOB, "approvals_job"),
    (
        "APPROVALS_JOB_STATUS",
        approvals::APPROVALS_JOB_STATUS,
        "approvals_job_status",
    ),
    ("APPROVALS_RUN", approvals::APPROVALS_RUN, "approvals_run"),
    ("APPROVALS_DUE", approvals::APPROVALS_DUE, "approvals_due"),
    ("TOKEN_GET", tokens::TOKEN_GET, "tokens_pkey"),
    ("TOKEN_FIND", tokens::TOKEN_FIND, "tokens_pkey"),
    ("TOKENS", tokens::TOKENS, "tokens_pkey"),
    ("TOKENS_KIND", tokens::TOKENS_KIND, "tokens_kind"),
    ("TOKENS_PARENT", tokens::TOKENS_PARENT, "tokens_parent"),
    ("TOKENS_EXPIRE", tokens::TOKENS_EXPIRE, "tokens_ended"),
];

/// Every statement by its name, those of governance as well.
fn every() -> impl Iterator<Item = (&'static str, &'static str)> {
    let parts = [
        ALL,
        alerts::ALL,
        approvals::ALL,
        artifacts::ALL,
        blobs::ALL,
        counts::ALL,
        emergencies::ALL,
        principals::ALL,
        refusals::ALL,
        schedules::ALL,
        secrets::ALL,
        sources::ALL,
        tokens::ALL,
    ];
    parts.into_iter().flatten().copied()
}

/// Numbers of the parameters in a text, in the order of their first appearance.
fn parameters(sql: &str) -> Vec<usize> {
    let mut found = Vec::new();
    for part in sql.split('$').skip(1) {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        let number = digits.parse().unwrap();
        if !found.contains(&number) {
            found.push(number);
        }
    }
    found
}

/// SQLite gives `$7` the next free place, whatever its number: only this order makes them agree.
#[test]
fn parameters_first_appear_in_the_order_of_their_numbers() {
    let own = [
        ("head", head!("")),
        ("head_write", head_write!("")),
        ("due", due!("")),
    ];
    for (name, sql) in every().chain(own) {
        let wanted: Vec<usize> = (1..=parameters(sql).len()).collect();
        assert_eq!(parameters(sql), wanted, "{name}");
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use crate::database::sqlite::SCHEMA;
    use crate::database::tx::Tx as _;
    use futures::FutureExt as _;
    use rusqlite::Connection;

    fn connection() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .script(SCHEMA.bootstrap)
            .now_or_never()
            .unwrap()
            .unwrap();
        for migration in SCHEMA.migrations {
            connection
                .script(migration.sql)
                .now_or_never()
                .unwrap()
                .unwrap();
        }
        connection
    }

    #[test]
    fn sqlite_prepares_every_statement_with_the_same_parameters() {
        let connection = connection();
        let own = [
            ("head", SQLITE.head),
            ("due", SQLITE.due),
            ("begin", SQLITE.begin),
        ];
        for (name, sql) in every().chain(own) {
            let statement = connection
                .prepare(sql)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(statement.parameter_count(), parameters(sql).len(), "{name}");
        }
    }

    #[test]
    fn sqlite_answers_hot_statements_from_an_index() {
        let connection = connection();
        let due = ("due", SQLITE.due, "runs_due");
        for (name, sql, index) in HOT.iter().copied().chain([due]) {
            let mut explain = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let plan: Vec<String> = explain
                .raw_query()
                .mapped(|row| row.get("detail"))
                .map(Result::unwrap)
                .collect();
            // SQLite's names for the index of a primary key.
            let table = index.trim_end_matches("_pkey");
            let by_index = plan.iter().any(|step| {
                let key = table != index
                    && (step.contains(&format!("sqlite_autoindex_{table}_"))
                        || step.contains("INTEGER PRIMARY KEY"));
                key || step.split_whitespace().any(|word| word == index)
            });
            assert!(by_index, "{name} does not go by {index}: {plan:?}");
            let sorts = plan.iter().any(|step| step.contains("TEMP B-TREE"));
            assert!(!sorts, "{name} sorts: {plan:?}");
        }
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;
    use crate::PostgresStore;
    use moorline_testkit::postgres;
    use sqlx::{
        AssertSqlSafe, Connection as _, Either, Executor as _, PgConnection, Row as _,
        SqlSafeStr as _, Statement as _, TypeInfo as _,
    };

    /// A connection to a database with our tables; the second value keeps the database.
    async fn connection() -> (PgConnection, postgres::TestDatabase) {
        let database = postgres::create_database().unwrap();
        PostgresStore::connect(database.url()).await.unwrap();
        (
            PgConnection::connect(database.url()).await.unwrap(),
            database,
        )
    }

    #[tokio::test]
    async fn postgres_prepares_every_statement_with_the_same_parameters() {
        let (mut connection, _database) = connection().await;
        let own = [
            ("head", POSTGRES.head),
            ("head_write", POSTGRES.head_write),
            ("due", POSTGRES.due),
        ];
        for (name, sql) in every().chain(own) {
            let prepared = connection.prepare(sql.into_sql_str()).await;
            let statement = prepared.unwrap_or_else(|error| panic!("{name}: {error}"));
            let Some(Either::Left(types)) = statement.parameters() else {
                panic!("{name}")
            };
            assert_eq!(types.len(), parameters(sql).len(), "{name}");
            // The two kinds that `Val` has.
            assert!(
                types.iter().all(|t| ["INT8", "TEXT"].contains(&t.name())),
                "{name}: {types:?}"
            );
        }
    }

    #[tokio::test]
    async fn postgres_answers_hot_statements_from_an_index() {
        let (mut connection, _database) = connection().await;
        goes_by_indexes(&mut connection).await;
    }

    /// Row-level security keeps no statement from its index: each comparison is leakproof.
    #[tokio::test]
    async fn postgres_answers_hot_statements_of_a_project_from_an_index() {
        let (mut connection, database) = connection().await;
        PostgresStore::connect_project(database.url(), "plans")
            .await
            .unwrap();
        let session = "SET ROLE moorline_plans; SET search_path = moorline_plans; \
             SET moorline.project = 'plans'";
        connection.execute(session).await.unwrap();
        goes_by_indexes(&mut connection).await;
    }

    async fn goes_by_indexes(connection: &mut PgConnection) {
        // What it could do by index it does by index, as it would with many rows.
        let settings = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
             SET enable_bitmapscan = off; SET enable_sort = off";
        connection.execute(settings).await.unwrap();
        let due = ("due", POSTGRES.due, "runs_due");
        for (name, sql, index) in HOT.iter().copied().chain([due]) {
            let name = name.to_lowercase();
            let prepare = format!("PREPARE {name} AS {sql}");
            connection.execute(AssertSqlSafe(prepare)).await.unwrap();
            let arguments = vec!["NULL"; parameters(sql).len()].join(", ");
            let arguments = if arguments.is_empty() {
                arguments
            } else {
                format!("({arguments})")
            };
            let explain = format!("EXPLAIN EXECUTE {name}{arguments}");
            let rows = connection.fetch_all(AssertSqlSafe(explain)).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            let plan = plan.join("\n");
            assert!(
                plan.contains(&format!(" {index} ")),
                "{name} does not go by {index}:\n{plan}"
            );
            assert!(!plan.contains("Sort"), "{name} sorts:\n{plan}");
        }
    }
}
