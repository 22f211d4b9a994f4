//! A project is a schema, used as a role of its own: the server itself refuses the rows of other projects.
//!
//! Three things stand between a session of one project and the rows of another, each by itself enough:
//!
//! | what | against |
//! |---|---|
//! | the `search_path` names the project's schema alone | nothing: it is how our statements find its tables |
//! | the session acts as the project's role, which has rights on that schema alone | a statement that names another schema |
//! | row-level security: a row is there only for a session that says it is of this project | a session that is not set up as one of ours |
//!
//! All three are settings of the connection's start, so none is forgotten on a connection that is reused, and
//! a `RESET` goes back to them. It is a guard against mistakes of this program; whoever can send statements of
//! their own may `SET ROLE` to whatever the user who logged in may (`docs/decisions/0013-a-project-is-a-schema.md`).

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Executor};

use super::connection::explain;
use super::session;
use crate::database::tx::{Tx as _, args};
use crate::error::StoreError;
use crate::types::StoreIsolation;

/// Where a project is kept, and how its sessions are set up.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) options: PgConnectOptions,
    pub(super) isolation: StoreIsolation,
}

/// Taken while schemas and roles of projects are made; beside the one of the migrations.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock(7885632)";

/// May the user make roles; is it a superuser; is the role there; may the user be it; may it more than a
/// project should; is the schema there and whose.
const LOOK: &str = "SELECT (me.rolcreaterole OR me.rolsuper)::int::bigint, me.rolsuper::int::bigint, \
    (role.oid IS NOT NULL)::int::bigint, \
    COALESCE(pg_has_role(me.oid, role.oid, 'MEMBER'), false)::int::bigint, \
    COALESCE(role.rolsuper OR role.rolbypassrls OR role.rolcreaterole, false)::int::bigint, \
    pg_get_userbyid(schema.nspowner)::text \
    FROM pg_roles AS me \
    LEFT JOIN pg_roles AS role ON role.rolname = $1 \
    LEFT JOIN pg_namespace AS schema ON schema.nspname = $1 \
    WHERE me.rolname = current_user";

/// Tables of the schema without row-level security.
const BARE: &str = "SELECT COUNT(*) FROM pg_class AS c \
    JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = current_schema() \
    WHERE c.relkind = 'r' AND NOT c.relforcerowsecurity";

/// Gives each of them the one policy, behind the lock of the migrations.
///
/// The comparison stands in a `SELECT` of its own: so it is made once for each statement, and the planner takes
/// it to hold for half of the rows. Written plainly it is taken to hold for one in two hundred, and a list of the
/// newest fifty runs is then read from all of them and sorted.
const PROTECT: &str = "BEGIN; SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock(7885631); \
    DO $$ DECLARE bare text; BEGIN \
        FOR bare IN SELECT c.relname FROM pg_class AS c \
            JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = current_schema() \
            WHERE c.relkind = 'r' AND NOT c.relforcerowsecurity \
        LOOP \
            EXECUTE format('CREATE POLICY moorline_project ON %I \
                USING ((SELECT current_setting(''moorline.project'', true) = %L))', \
                bare, current_setting('moorline.project')); \
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', bare); \
        END LOOP; \
    END $$; COMMIT";

/// The name of a project's schema, and of its role.
fn schema_of(project: &str) -> String {
    format!("moorline_{project}")
}

/// Makes the schema and the role of a project, as far as they are missing and the user may, and says how its
/// sessions are set up. The name must be one (`is_project_name`): it becomes a part of statements.
pub(super) async fn establish(
    options: &PgConnectOptions,
    project: &str,
) -> Result<Project, StoreError> {
    let name = schema_of(project);
    let mut connection = session::connect(options).await?;
    connection.script(BEGIN).await?;
    let role = role(&mut connection, &name).await?;
    if role.is_err() {
        run(
            &mut connection,
            format!("CREATE SCHEMA IF NOT EXISTS \"{name}\""),
        )
        .await?;
    }
    connection.script("COMMIT").await?;
    let options = sessions(options, project);
    Ok(match role {
        Ok(()) => Project {
            options: options.options([("role", name.as_str())]),
            isolation: StoreIsolation::Role { role: name },
        },
        Err(why) => Project {
            options,
            isolation: StoreIsolation::Schema { why },
        },
    })
}

/// Sessions that see the schema of a project, as whoever logged in.
pub(super) fn sessions(options: &PgConnectOptions, project: &str) -> PgConnectOptions {
    let path = format!("\"{}\"", schema_of(project));
    let settings = [
        ("search_path", path.as_str()),
        ("moorline.project", project),
    ];
    options.clone().options(settings)
}

/// Sees to it that the role is there, may be used and owns the schema. The inner error says why it can not.
async fn role(connection: &mut PgConnection, name: &str) -> Result<Result<(), String>, StoreError> {
    let row = connection.row(LOOK, args![name]).await?;
    let mut row = row.ok_or_else(|| StoreError::not_found("user of the server"))?;
    let may_create = row.int("right to create roles")? > 0;
    let superuser = row.int("superuser")? > 0;
    let exists = row.int("role")? > 0;
    let member = row.int("membership")? > 0;
    let powerful = row.int("rights of the role")? > 0;
    let owner = row.text_opt("owner of the schema")?;
    if powerful {
        return Ok(Err(format!(
            "the role {name} may more than a project should; take SUPERUSER, BYPASSRLS and CREATEROLE from it"
        )));
    }
    let mut steps = Vec::new();
    if !exists {
        if !may_create {
            return Ok(Err(format!(
                "the user of `store` may not create roles; give it CREATEROLE, or create {name} and grant it"
            )));
        }
        steps.push(format!(
            "CREATE ROLE \"{name}\" NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS"
        ));
    }
    if !member && !superuser {
        steps.push(format!("GRANT \"{name}\" TO CURRENT_USER"));
    }
    match owner {
        None => steps.push(format!("CREATE SCHEMA \"{name}\" AUTHORIZATION \"{name}\"")),
        Some(owner) if owner == name => {}
        // It was made when there could be no role.
        Some(_) => steps.push(hand_over(name)),
    }
    for step in steps {
        if let Err(error) = attempt(connection, step).await? {
            return Ok(Err(format!(
                "the server refused to set up the role {name}: {error}"
            )));
        }
    }
    Ok(Ok(()))
}

/// Makes the role the owner of a schema and of all that is in it.
fn hand_over(name: &str) -> String {
    format!(
        "DO $$ DECLARE found text; BEGIN \
            EXECUTE 'ALTER SCHEMA \"{name}\" OWNER TO \"{name}\"'; \
            FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = '{name}' LOOP \
                EXECUTE format('ALTER TABLE \"{name}\".%I OWNER TO \"{name}\"', found); \
            END LOOP; \
        END $$"
    )
}

/// Runs a statement that the server may refuse without harm to the transaction.
async fn attempt(
    connection: &mut PgConnection,
    statement: String,
) -> Result<Result<(), String>, StoreError> {
    connection.script("SAVEPOINT step").await?;
    let done = Executor::execute(&mut *connection, AssertSqlSafe(statement)).await;
    let refused = match done {
        Ok(_) => None,
        Err(sqlx::Error::Database(error)) => Some(error.to_string()),
        Err(error) => return Err(explain("setting up a project", error)),
    };
    match refused {
        None => connection.script("RELEASE step").await.map(|()| Ok(())),
        Some(why) => {
            connection.script("ROLLBACK TO step").await?;
            Ok(Err(why))
        }
    }
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), StoreError> {
    let done = Executor::execute(connection, AssertSqlSafe(statement)).await;
    done.map(drop)
        .map_err(|error| explain("setting up a project", error))
}

/// Protects the tables of the project's schema that are not yet: a migration may have made some.
pub(super) async fn protect(connection: &mut PgConnection) -> Result<(), StoreError> {
    let row = connection.row(BARE, args![]).await?;
    let bare = row.map_or(Ok(0), |mut row| row.int("count of tables"))?;
    if bare == 0 {
        return Ok(());
    }
    connection.script(PROTECT).await
}
