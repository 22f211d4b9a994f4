//! Content in the store.

use futures::future::try_join_all;
use jiff::Timestamp;
use moorline_core::content_id::ContentId;

use super::check::equal;
use super::{Failure, Subject};
use crate::blobs::BLOB_LIMIT;
use crate::error::StoreError;

fn name(text: &str) -> ContentId {
    ContentId::of_bytes(text.as_bytes())
}

/// Bytes of which no part is like another.
fn bytes(count: usize) -> Vec<u8> {
    (0_u64..)
        .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .take(count)
        .collect()
}

pub(super) async fn content_is_read_back_whole(subject: Subject) -> Result<(), Failure> {
    let stores = subject.open_many(2).await?;
    let [store, other] = stores.as_slice() else {
        return Err(Failure::new("two connections were asked for".to_owned()));
    };
    for count in [0, 1, 1 << 20, (2 << 20) + 1] {
        let (name, bytes) = (name(&count.to_string()), bytes(count));
        check!(!store.blob_exists(&name).await?, "{count} bytes are new");
        equal(&store.blob_get(&name).await?, &None, "nothing is there")?;
        store.blob_put(&name, bytes.clone(), None).await?;
        check!(other.blob_exists(&name).await?, "{count} bytes are there");
        let found = other.blob_get(&name).await?;
        check!(found == Some(bytes), "{count} bytes are read back whole");
    }
    Ok(())
}

pub(super) async fn content_that_is_there_stays(subject: Subject) -> Result<(), Failure> {
    let store = subject.open().await?;
    store
        .blob_put(&name("bundle"), b"first".to_vec(), None)
        .await?;
    store
        .blob_put(&name("bundle"), b"second".to_vec(), None)
        .await?;
    let found = store.blob_get(&name("bundle")).await?;
    equal(&found, &Some(b"first".to_vec()), "the first stays")?;
    // The same content at once, under several names.
    let bytes = bytes(3 << 20);
    let stores = subject.open_many(3).await?;
    let names: Vec<ContentId> = (0..3).map(|n| name(&n.to_string())).collect();
    let puts = stores.iter().zip(&names);
    try_join_all(puts.map(|(store, name)| store.blob_put(name, bytes.clone(), None))).await?;
    for name in &names {
        check!(
            store.blob_get(name).await?.as_ref() == Some(&bytes),
            "content that is put under several names at once has all of them"
        );
    }
    Ok(())
}

pub(super) async fn content_goes_with_the_last_of_its_names(
    subject: Subject,
) -> Result<(), Failure> {
    let store = subject.open().await?;
    let (one, two) = (name("one"), name("two"));
    for name in [&one, &two] {
        store.blob_put(name, b"same".to_vec(), None).await?;
    }
    store.blob_remove(&one).await?;
    store.blob_remove(&one).await?;
    equal(&store.blob_get(&one).await?, &None, "its name is gone")?;
    let found = store.blob_get(&two).await?;
    equal(&found, &Some(b"same".to_vec()), "the other name is not")?;
    store.blob_remove(&two).await?;
    equal(&store.blob_get(&two).await?, &None, "both are gone")?;
    store.blob_put(&two, b"other".to_vec(), None).await?;
    let found = store.blob_get(&two).await?;
    equal(&found, &Some(b"other".to_vec()), "a name is free again")
}

pub(super) async fn content_beyond_the_bound_is_refused(subject: Subject) -> Result<(), Failure> {
    let store = subject.open().await?;
    let large = name("large");
    check_err!(
        store.blob_put(&large, vec![0; BLOB_LIMIT + 1], None).await,
        StoreError::Conflict { .. },
        "content that is too large is refused"
    );
    check!(!store.blob_exists(&large).await?, "nothing of it is there");
    Ok(())
}

pub(super) async fn content_with_an_end_is_found_once_it_has_come(
    subject: Subject,
) -> Result<(), Failure> {
    let store = subject.open().await?;
    let at = |second| Timestamp::from_second(second).unwrap_or_default();
    for (text, until) in [
        ("later", Some(at(300))),
        ("soon", Some(at(100))),
        ("next", Some(at(200))),
        ("for good", None),
    ] {
        store.blob_put(&name(text), text.into(), until).await?;
    }
    // Put again, it keeps the end that it has.
    store
        .blob_put(&name("soon"), b"again".to_vec(), None)
        .await?;
    let none = store.blobs_expired(at(99), 10).await?;
    equal(&none, &Vec::new(), "nothing is over yet")?;
    let first = store.blobs_expired(at(200), 1).await?;
    equal(&first, &vec![name("soon")], "the earliest end comes first")?;
    let both = store.blobs_expired(at(200), 10).await?;
    equal(
        &both,
        &vec![name("soon"), name("next")],
        "an end is over when it comes",
    )?;
    store.blob_remove(&name("soon")).await?;
    let left = store.blobs_expired(at(400), 10).await?;
    equal(
        &left,
        &vec![name("next"), name("later")],
        "what is removed is not found",
    )
}
