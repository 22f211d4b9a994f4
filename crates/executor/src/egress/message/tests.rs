use proptest::prelude::*;

use super::super::rules::EgressRules;
use super::*;

fn read(bytes: &str) -> Result<Option<Request>, RequestError> {
    read_request(bytes.as_bytes()).map(|read| read.map(|(request, _)| request))
}

/// The head that goes on, and the body's framing.
fn forwarded(bytes: &str) -> (String, Framing) {
    match read(bytes) {
        Ok(Some(Request::Forward { head, body, .. })) => (String::from_utf8(head).unwrap(), body),
        other => panic!("{bytes:?} gave {other:?}"),
    }
}

fn get(url: &str) -> String {
    format!("GET {url} HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
}

#[test]
fn a_request_is_written_anew_for_its_own_target() {
    let request = "POST HTTP://A.Example.:80/x?y=%2F HTTP/1.1\r\n\
        Host: evil.example\r\n\
        Accept: */*\r\n\
        Connection: close, X-Private\r\n\
        x-private: 1\r\n\
        Proxy-Authorization: Basic c2VjcmV0\r\n\
        Proxy-Connection: keep-alive\r\n\
        Keep-Alive: 5\r\n\
        TE: trailers\r\n\
        Upgrade: h2c\r\n\
        Content-Length: 3\r\n\r\n";
    let head = "POST /x?y=%2F HTTP/1.1\r\n\
        Host: a.example\r\n\
        Accept: */*\r\n\
        Content-Length: 3\r\n\
        Via: 1.1 moorline\r\n\
        Connection: close\r\n\r\n";
    assert_eq!(forwarded(request), (head.to_owned(), Framing::Length(3)));
}

#[test]
fn the_target_keeps_its_port_and_gets_a_path() {
    for (url, line, host) in [
        ("http://a.example", "GET / HTTP/1.1", "a.example"),
        ("http://a.example?q", "GET /?q HTTP/1.1", "a.example"),
        ("http://a.example:8080/", "GET / HTTP/1.1", "a.example:8080"),
        ("http://[::1]/p", "GET /p HTTP/1.1", "[::1]"),
        (
            "http://a.example/@evil.example/",
            "GET /@evil.example/ HTTP/1.1",
            "a.example",
        ),
        (
            "http://a.example/http://evil.example/",
            "GET /http://evil.example/ HTTP/1.1",
            "a.example",
        ),
    ] {
        let (head, body) = forwarded(&get(url));
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some(line));
        assert_eq!(lines.next().unwrap(), format!("Host: {host}"));
        assert_eq!(body, Framing::Empty);
    }
    let connect = read("CONNECT A.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    let target = Target::parse("a.example:443", None).unwrap();
    assert_eq!(connect, Ok(Some(Request::Tunnel(target))));
}

#[test]
fn a_connection_field_can_not_remove_what_frames_the_message() {
    let request = "GET http://a.example/ HTTP/1.1\r\nConnection: host, content-length\r\n\
        Content-Length: 2\r\n\r\n";
    let (head, body) = forwarded(request);
    assert!(head.contains("Host: a.example\r\n") && head.contains("Content-Length: 2\r\n"));
    assert_eq!(body, Framing::Length(2));
}

#[test]
fn a_disguised_target_is_refused_and_shown() {
    for (url, asked, reason) in [
        (
            "http://allowed.example@evil.example/",
            "allowed.example@evil.example",
            TargetError::UserInfo,
        ),
        (
            "http://allowed.example\\@evil.example/",
            "allowed.example\\@evil.example",
            TargetError::UserInfo,
        ),
        (
            "http://allowed.example%2eevil.example/",
            "allowed.example%2eevil.example",
            TargetError::Name,
        ),
        (
            "http://%61llowed.example/",
            "%61llowed.example",
            TargetError::Name,
        ),
        (
            "http://allowed.example\\.evil.example/",
            "allowed.example\\.evil.example",
            TargetError::Name,
        ),
        ("http://2130706433/", "2130706433", TargetError::Ipv4),
        ("http://0x7f.1/", "0x7f.1", TargetError::Ipv4),
        ("http://0177.0.0.1/", "0177.0.0.1", TargetError::Ipv4),
        ("http://::1/", "::1", TargetError::Ipv6),
        ("http:///x", "", TargetError::Name),
        (
            "http://a.example:http/",
            "a.example:http",
            TargetError::Port,
        ),
    ] {
        let refused = RequestError::Target {
            asked: asked.to_owned(),
            reason,
        };
        assert_eq!(read(&get(url)), Err(refused), "{url}");
    }
    let without_port = read("CONNECT a.example HTTP/1.1\r\n\r\n");
    assert!(matches!(without_port, Err(RequestError::Target { .. })));
}

#[test]
fn what_two_programs_could_read_differently_is_refused() {
    let long = format!(
        "GET http://a/ HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(REQUEST_HEAD_LIMIT)
    );
    let many = format!(
        "GET http://a/ HTTP/1.1\r\n{}\r\n",
        "X: y\r\n".repeat(FIELD_LIMIT + 1)
    );
    for (bytes, expected) in [
        (get("/path"), 400),
        (get("*"), 400),
        (get("a.example"), 400),
        (get("http:/a.example"), 400),
        (get("http://a.example/#f"), 400),
        (get("https://a.example/"), 501),
        (get("ftp://a.example/"), 501),
        ("GET http://a/\r\n\r\n".to_owned(), 400),
        ("GET http://a/ HTTP/2.0\r\n\r\n".to_owned(), 400),
        ("GET http://a/ x HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET http://a/ HTTP/1.1\nHost: a\n\n".to_owned(), 400),
        ("GET http://a/ HTTP/1.1\r\nX: y\n\r\n".to_owned(), 400),
        ("\r\nGET http://a/ HTTP/1.1\r\n\r\n".to_owned(), 400),
        (
            "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
            400,
        ),
        ("GET http://a/ HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(), 400),
        (
            "GET http://a/ HTTP/1.1\r\nX: y\r\n folded\r\n\r\n".to_owned(),
            400,
        ),
        ("GET http://a/ HTTP/1.1\r\nX: a\rb\r\n\r\n".to_owned(), 400),
        ("GET http://a/ HTTP/1.1\r\nX: a\0b\r\n\r\n".to_owned(), 400),
        (
            "GET http://a/ HTTP/1.1\r\nContent-Length: +1\r\n\r\n".to_owned(),
            400,
        ),
        (
            "GET http://a/ HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n".to_owned(),
            400,
        ),
        (
            "GET http://a/ HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n".to_owned(),
            400,
        ),
        (
            "GET http://a/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n".to_owned(),
            400,
        ),
        (
            "GET http://a/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned(),
            400,
        ),
        (
            "GET http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            400,
        ),
        (
            "GET http://a/ HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(),
            501,
        ),
        (
            "GET http://a/ HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n".to_owned(),
            501,
        ),
        (long, 431),
        (many, 431),
    ] {
        let status = match read(&bytes) {
            Err(RequestError::Malformed(_)) => 400,
            Err(RequestError::TooLarge) => 431,
            Err(RequestError::Unsupported(_)) => 501,
            other => panic!("{bytes:?} gave {other:?}"),
        };
        assert_eq!(status, expected, "{bytes:?}");
    }
}

#[test]
fn the_bytes_behind_the_head_are_not_part_of_it() {
    let first = get("http://a.example/");
    let two = format!("{first}{}", get("http://evil.example/"));
    let (request, length) = read_request(two.as_bytes()).unwrap().unwrap();
    assert_eq!(length, first.len());
    assert_eq!(Some(request), read(&first).unwrap());
    assert_eq!(read_request(&first.as_bytes()[..first.len() - 1]), Ok(None));
}

#[test]
fn a_response_goes_on_with_one_length_and_no_promise_to_stay() {
    let read = |text: &str, is_head| {
        let read = read_response(text.as_bytes(), is_head).unwrap().unwrap();
        assert_eq!(read.length, text.len());
        (String::from_utf8(read.head).unwrap(), read.body)
    };
    let end = "Via: 1.1 moorline\r\nConnection: close\r\n\r\n";
    for (response, is_head, head, body) in [
        (
            "HTTP/1.1 200 Fine\r\nKeep-Alive: 5\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\n",
            false,
            format!("HTTP/1.1 200 Fine\r\nContent-Length: 4\r\n{end}"),
            Some(Framing::Length(4)),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
            false,
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{end}"),
            Some(Framing::Chunked),
        ),
        (
            "HTTP/1.0 200 OK\r\nX: y\r\n\r\n",
            false,
            format!("HTTP/1.0 200 OK\r\nX: y\r\n{end}"),
            Some(Framing::UntilClose),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            true,
            format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n{end}"),
            Some(Framing::Empty),
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            false,
            format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n{end}"),
            Some(Framing::Empty),
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\n",
            false,
            "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
            None,
        ),
    ] {
        assert_eq!(read(response, is_head), (head, body), "{response:?}");
    }
}

#[test]
fn an_unclear_response_is_not_passed_on() {
    for response in [
        "SSH-2.0-server\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    ] {
        assert!(
            read_response(response.as_bytes(), false).is_err(),
            "{response:?}"
        );
    }
}

/// Texts in which a host could hide.
fn authority() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("allowed.example".to_owned()),
        Just("ALLOWED.example.".to_owned()),
        Just("evil.example".to_owned()),
        Just("127.0.0.1".to_owned()),
        Just("[::1]".to_owned()),
        Just("2130706433".to_owned()),
        "[a-z0-9.:@%/\\\\#?\\[\\]-]{0,6}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(part, 1..4).prop_map(|parts| parts.concat())
}

proptest! {
    /// Whatever is asked, what passes the rules goes to the one listed host, and says so.
    #[test]
    fn no_other_host_than_the_listed_one_is_ever_reached(
        authority in authority(),
        host_field in authority(),
        absolute in any::<bool>(),
    ) {
        let rules = EgressRules::parse(&["allowed.example".to_owned()]).unwrap();
        let request = if absolute {
            format!("GET http://{authority}/ HTTP/1.1\r\nHost: {host_field}\r\n\r\n")
        } else {
            format!("CONNECT {authority} HTTP/1.1\r\nHost: {host_field}\r\n\r\n")
        };
        let target = match read_request(request.as_bytes()) {
            Ok(Some((Request::Tunnel(target), _))) => target,
            Ok(Some((Request::Forward { target, head, .. }, length))) => {
                let head = String::from_utf8_lossy(&head);
                prop_assert_eq!(head.lines().nth(1).unwrap(), format!("Host: {}", target.host_field()));
                prop_assert_eq!(head.matches("\r\nHost:").count(), 1);
                prop_assert!(length <= request.len());
                target
            }
            Ok(None) | Err(_) => return Ok(()),
        };
        if rules.check(&target).is_some() {
            prop_assert!(["allowed.example:80", "allowed.example:443"].contains(&target.to_string().as_str()));
            // An independent reading: up to the first delimiter, without the port, it is that name.
            let bare = authority.split(['/', '?', '#', ':']).next().unwrap().to_ascii_lowercase();
            prop_assert_eq!(bare.trim_end_matches('.'), "allowed.example");
        }
    }

    #[test]
    fn garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(read_request(&bytes));
        drop(read_response(&bytes, false));
        let almost = [&b"GET http://"[..], &bytes, b" HTTP/1.1\r\n", &bytes, b"\r\n\r\n"].concat();
        drop(read_request(&almost));
        let answer = [&b"HTTP/1.1 200 "[..], &bytes, b"\r\n\r\n"].concat();
        drop(read_response(&answer, true));
    }
}
