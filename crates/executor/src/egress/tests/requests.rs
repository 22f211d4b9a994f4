//! Absolute-form requests.

use super::*;

#[test]
fn a_request_reaches_its_own_host_whatever_its_host_field_says() {
    let (port, seen) = destination(|mut stream| {
        let request = head(&mut stream);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi")
            .unwrap();
        // The destination does not close; the proxy must know the end of the answer by itself.
        let more = rest(&mut stream);
        (request, more)
    });
    let running = start(&["a.example", "127.0.0.1"], port);
    let answer = running.ask(&format!(
        "GET http://a.example:{port}/p HTTP/1.1\r\nHost: evil.example\r\nProxy-Connection: x\r\n\r\n\
         GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    ));
    assert_eq!(
        answer,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nVia: 1.1 moorline\r\nConnection: close\r\n\r\nhi"
    );
    let (request, more) = seen.recv().unwrap();
    assert_eq!(
        request,
        format!(
            "GET /p HTTP/1.1\r\nHost: a.example:{port}\r\nVia: 1.1 moorline\r\n\
             Connection: close\r\n\r\n"
        )
    );
    // The second request, smuggled behind the first, went nowhere.
    assert_eq!(more, "");
}

#[test]
fn nothing_is_smuggled_behind_a_chunked_body() {
    let (port, seen) = destination(|mut stream| {
        let request = head(&mut stream);
        let mut body = [0; 13];
        stream.read_exact(&mut body).unwrap();
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
        let more = rest(&mut stream);
        (
            request.contains("Transfer-Encoding: chunked\r\n"),
            body,
            more,
        )
    });
    let running = start(&["127.0.0.1"], port);
    let answer = running.ask(&format!(
        "PUT http://127.0.0.1:{port}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
         003;x=y\r\nabc\r\n0\r\nT: x\r\n\r\nGET http://evil.example/ HTTP/1.1\r\n\r\n"
    ));
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(
        seen.recv().unwrap(),
        (true, *b"3\r\nabc\r\n0\r\n\r\n", String::new())
    );
}

#[test]
fn an_interim_response_comes_before_the_body_is_sent() {
    let (port, seen) = destination(|mut stream| {
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let mut body = [0; 4];
        stream.read_exact(&mut body).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil close")
            .unwrap();
        body
    });
    let running = start(&["127.0.0.1"], port);
    let mut client = running.send(&format!(
        "POST http://127.0.0.1:{port}/ HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    ));
    assert_eq!(head(&mut client), "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"body").unwrap();
    assert!(rest(&mut client).ends_with("\r\n\r\nuntil close"));
    assert_eq!(seen.recv().unwrap(), *b"body");
}

#[test]
fn what_is_allowed_and_not_there_is_told_apart_from_a_refusal() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let running = start(&["127.0.0.1", "unknown.example"], port);
    let nobody = running.ask(&format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n"));
    assert!(nobody.starts_with("HTTP/1.1 502 "), "{nobody}");
    let unknown = running.ask(&format!("CONNECT unknown.example:{port} HTTP/1.1\r\n\r\n"));
    assert!(
        unknown.contains("its address can not be found"),
        "{unknown}"
    );

    let (port, _seen) = destination(|mut stream| head(&mut stream));
    let running = start(&["127.0.0.1"], port);
    let silent = running.ask(&format!("GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n"));
    assert!(
        silent.contains("it closed the connection first"),
        "{silent}"
    );
    assert_eq!(running.proxy.denied(), [""; 0]);
}

#[test]
fn garbage_gets_an_error_and_a_slow_head_a_timeout() {
    let options = ProxyOptions {
        head_timeout: Duration::from_millis(50),
        ..options()
    };
    let running = start_with(&["a.example".to_owned()], options);
    assert!(
        running
            .ask("\x16\x03\x01 garbage\r\n\r\n")
            .starts_with("HTTP/1.1 400 ")
    );
    assert!(
        running
            .ask("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            .starts_with("HTTP/1.1 400 ")
    );
    assert!(
        running
            .ask(&format!("GET /{}", "x".repeat(20_000)))
            .starts_with("HTTP/1.1 431 ")
    );
    assert!(running.ask("CONNECT a.exa").starts_with("HTTP/1.1 408 "));
}
