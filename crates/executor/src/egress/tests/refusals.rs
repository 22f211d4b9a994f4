//! What is refused, and what is kept of it.

use super::*;

#[test]
fn a_refusal_names_the_rule_and_the_host_and_reaches_nobody() {
    let (port, listener) = forbidden();
    let running = start_with(
        &[
            "a.example".to_owned(),
            format!("*.b.example:{port}"),
            "rebound.example".to_owned(),
        ],
        options(),
    );
    for (request, refused) in [
        (
            format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n"),
            format!("127.0.0.1:{port}"),
        ),
        (
            format!("CONNECT localhost:{port} HTTP/1.1\r\n\r\n"),
            format!("localhost:{port}"),
        ),
        (
            format!("CONNECT a.example:{port} HTTP/1.1\r\n\r\n"),
            format!("a.example:{port}"),
        ),
        (
            format!("GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            format!("127.0.0.1:{port}"),
        ),
        (
            format!("GET http://a.example@127.0.0.1:{port}/ HTTP/1.1\r\n\r\n"),
            format!("a.example@127.0.0.1:{port}"),
        ),
        (
            format!("GET http://2130706433:{port}/ HTTP/1.1\r\n\r\n"),
            format!("2130706433:{port}"),
        ),
        (
            format!("CONNECT [::ffff:127.0.0.1]:{port} HTTP/1.1\r\n\r\n"),
            format!("127.0.0.1:{port}"),
        ),
        (
            "CONNECT rebound.example:443 HTTP/1.1\r\n\r\n".to_owned(),
            "rebound.example:443".to_owned(),
        ),
    ] {
        let answer = running.ask(&request);
        let first = format!("HTTP/1.1 403 D-SPEC (egress) refuses {refused}\r\n");
        assert!(answer.starts_with(&first), "{request:?} gave {answer:?}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let line = format!("D-SPEC (egress): {refused} is refused: ");
        assert!(
            body.starts_with(&line) || body.contains("is not a destination"),
            "{body:?}"
        );
        assert_eq!(body.lines().count(), 1);
    }
    assert_eq!(
        running.proxy.denied(),
        [
            format!("127.0.0.1:{port}"),
            format!("localhost:{port}"),
            format!("a.example:{port}"),
            format!("a.example@127.0.0.1:{port}"),
            format!("2130706433:{port}"),
            "rebound.example:443".to_owned(),
        ]
    );
    assert_eq!(
        running.proxy.stats(),
        ProxyStats {
            refused: 8,
            ..ProxyStats::default()
        }
    );
    assert_eq!(
        listener.accept().unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
}

#[test]
fn the_record_of_refusals_is_bounded() {
    let running = start(&["a.example"], 443);
    for number in 0..DENIED_LIMIT + 5 {
        running.ask(&format!("CONNECT h{number}.example:443 HTTP/1.1\r\n\r\n"));
    }
    let expected: Vec<String> = (0..DENIED_LIMIT)
        .map(|n| format!("h{n}.example:443"))
        .collect();
    assert_eq!(running.proxy.denied(), expected);
}

#[test]
fn a_name_leads_only_to_those_of_its_addresses_that_it_may_lead_to() {
    let (port, seen) = destination(|_| ());
    // Of the addresses of `mixed.example`, only the listed one is dialled.
    let running = start(&["mixed.example", "127.0.0.1"], port);
    let mut client = running.send(&format!("CONNECT mixed.example:{port} HTTP/1.1\r\n\r\n"));
    assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
    seen.recv().unwrap();
}

#[test]
fn localhost_is_reached_only_when_it_is_listed_by_that_name() {
    let (port, seen) = destination(|_| ());
    let running = start(&["localhost"], port);
    let mut client = running.send(&format!("CONNECT LOCALHOST:{port} HTTP/1.1\r\n\r\n"));
    assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
    seen.recv().unwrap();

    let (port, listener) = forbidden();
    let running = start(&["*"], port);
    let answer = running.ask(&format!("CONNECT localhost:{port} HTTP/1.1\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(
        listener.accept().unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
}
