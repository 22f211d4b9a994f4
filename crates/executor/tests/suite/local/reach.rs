//! What the probe program sees from inside a sandbox.

use std::net::TcpListener;

use moorline_core::attempt::IsolationNeed;
use moorline_core::protocol::Reply;
use moorline_core::spec::Egress;
use moorline_executor::Executor as _;
use moorline_executor::reach::{End, PROBE, Reached, Way};

use super::support::Bench;

/// Runs the probe under a rule: the way and the end of each try.
async fn probe(egress: Egress, targets: &[&str]) -> Vec<(String, Way, End)> {
    let bench = Bench::new();
    let need = IsolationNeed::Required;
    let prober = bench.executor.egress_prober(need).unwrap();
    let argv: Vec<&str> = [prober.as_str(), PROBE]
        .into_iter()
        .chain(targets.iter().copied())
        .collect();
    let mut attempt = bench.attempt(&argv);
    (attempt.isolation, attempt.egress) = (need, egress);
    let (handle, outcome) = bench.run(&attempt).await;
    let Reply::Success { data, .. } = outcome.reply else {
        panic!("{outcome:?} {:?}", bench.log(&handle).await);
    };
    let reached: Vec<Reached> = serde_json::from_value(data).unwrap();
    reached
        .into_iter()
        .map(|one| (one.target, one.way, one.end))
        .collect()
}

#[tokio::test]
async fn an_allowed_host_is_reached_by_the_proxy_alone_and_a_forbidden_one_not_at_all() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let allowed = listener.local_addr().unwrap().to_string();
    let reached = probe(
        Egress::Allow(vec![allowed.clone()]),
        &[&allowed, "192.0.2.1:443", "example.com:443"],
    )
    .await;
    let of = |target: &str, way, end| (target.to_owned(), way, end);
    let expected = [
        of(&allowed, Way::Proxy, End::Connected),
        of(&allowed, Way::Direct, End::Refused),
        of("192.0.2.1:443", Way::Proxy, End::Refused),
        of("192.0.2.1:443", Way::Direct, End::Refused),
        of("example.com:443", Way::Proxy, End::Refused),
        of("example.com:443", Way::Direct, End::Refused),
    ];
    assert_eq!(reached, expected);
}

#[tokio::test]
async fn without_egress_everything_is_refused_and_with_all_of_it_the_probe_sees_that() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let direct = |end| vec![(target.clone(), Way::Direct, end)];
    let none = probe(Egress::None, &[&target]).await;
    assert_eq!(none, direct(End::Refused));
    let open = probe(Egress::Open, &[&target]).await;
    assert_eq!(open, direct(End::Connected), "positive control");
}
