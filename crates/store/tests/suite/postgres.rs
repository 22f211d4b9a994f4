//! The PostgreSQL engine against the contract of the store. A server that can not be had is a
//! failure, never a skip (L76).

use std::sync::Arc;

use async_trait::async_trait;
use moorline_store::conformance::{CASES, Databases};
use moorline_store::{PostgresStore, Store, StoreError};
use moorline_testkit::coverage::{self, Backend};

/// One database, for one case.
struct Database(String);

#[async_trait]
impl Databases for Database {
    async fn open(&self, _name: &str) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(PostgresStore::connect(&self.0).await?))
    }
}

async fn holds(name: &str) {
    let database = moorline_testkit::postgres::create_database().unwrap();
    let case = CASES.iter().find(|case| case.name == name).unwrap();
    if let Err(failure) = case
        .run(Arc::new(Database(database.url().to_owned())))
        .await
    {
        panic!("{failure}");
    }
    coverage::record(Backend::Postgres).unwrap();
}

macro_rules! one_test_each {
    ($($module:ident :: $case:ident),* $(,)?) => {
        mod contract {
            $(
                #[tokio::test]
                async fn $case() {
                    super::holds(stringify!($case)).await;
                }
            )*
        }
    };
}
moorline_store::for_each_store_case!(one_test_each);
