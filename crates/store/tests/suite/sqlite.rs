//! The SQLite engine against the contract of the store.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use moorline_store::conformance::{CASES, Databases};
use moorline_store::{SqliteStore, Store, StoreError};
use moorline_testkit::coverage::{self, Backend};

struct Files(PathBuf);

#[async_trait]
impl Databases for Files {
    async fn open(&self, name: &str) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(SqliteStore::open(&self.0.join(name))?))
    }
}

async fn holds(name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let case = CASES.iter().find(|case| case.name == name).unwrap();
    if let Err(failure) = case.run(Arc::new(Files(directory.path().to_owned()))).await {
        panic!("{failure}");
    }
    coverage::record(Backend::Sqlite).unwrap();
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
