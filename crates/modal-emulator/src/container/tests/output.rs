//! Logs: whole, at offsets, for many, and fast.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_output_is_read_by_many_from_any_offset() {
    const BYTES: usize = 50 << 20;
    let bench = Bench::new();
    let container = bench.bare().await;
    let script = format!("yes 0123456789abcde | head -c {BYTES}");
    let start = now();
    let process = container.exec(shell(&script)).await.unwrap();
    let offsets = [0, 1, 16 << 20, (BYTES - 1) as u64, BYTES as u64];
    let readers = offsets.map(|offset| {
        let log = process.stdout().clone();
        async move { read_from(&log, offset).await }
    });
    let expected = "0123456789abcde\n".repeat(BYTES / 16).into_bytes();
    let [all, one, middle, last, none] = readers;
    let (all, one, middle, last, none) = tokio::join!(all, one, middle, last, none);
    println!("{BYTES} bytes in {:?}", start.elapsed());
    for (offset, read) in offsets.into_iter().zip([all, one, middle, last, none]) {
        let offset = usize::try_from(offset).unwrap();
        assert!(read == expected[offset..], "from {offset}");
    }
    assert_eq!(process.wait().await, Exit::Code(0));
    // And after the end.
    assert!(read(process.stdout()).await == expected);
}

#[tokio::test]
async fn a_program_can_open_its_output_anew() {
    let bench = Bench::new();
    let container = bench.bare().await;
    let script = "echo one; echo two > /dev/stdout; echo three >&2; echo four > /dev/stderr";
    assert_eq!(
        run(&container, script).await,
        ("one\ntwo\n".into(), "three\nfour\n".into(), Exit::Code(0))
    );
}
