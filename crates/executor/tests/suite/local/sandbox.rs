//! What a sandboxed job sees and can not do.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use moorline_core::attempt::{Attempt, Exit, InputFile, IsolationNeed, Mount};
use moorline_core::spec::Egress;
use moorline_executor::{Executor as _, LogStream};

use super::support::Bench;

fn sandboxed(mut attempt: Attempt) -> Attempt {
    attempt.isolation = IsolationNeed::Required;
    attempt
}

fn python(bench: &Bench, program: &str) -> Attempt {
    sandboxed(bench.attempt(&["python3", "-c", program]))
}

async fn out(bench: &Bench, attempt: &Attempt) -> Vec<String> {
    let (handle, outcome) = bench.run(attempt).await;
    let lines = bench.lines(&handle, LogStream::Stdout).await;
    let err = bench.lines(&handle, LogStream::Stderr).await;
    assert_eq!(outcome.exit, Exit::Exited { code: 0 }, "{lines:?} {err:?}");
    lines
}

#[tokio::test]
async fn a_job_sees_its_own_and_nothing_else() {
    let bench = Bench::new();
    std::fs::write(bench.home.path().join("job/data"), "of the bundle").unwrap();
    let script = r"
        pwd; cat data; echo; id -u; hostname; ls / | tr '\n' ' '; echo
        for pid in /proc/[0-9]*; do tr '\0' ' ' < $pid/cmdline | cut -c1-30; echo; done | sort -u | grep -c .
        ls /root /home /var 2>&1 | head -1
        touch /x /job/x /usr/x /etc/x /proc/sys/x 2>/dev/null && echo written
        awk '{print $1}' /proc/mounts | sort -u | wc -l > /out/mounts
        grep -c . /etc/passwd";
    let expected = [
        "/job",
        "of the bundle",
        "1000",
        "moorline",
        "bin dev etc in job lib lib64 out proc run sbin tmp usr ",
        // The shell and the pipeline's own processes; the helper shows none.
        "3",
        "ls: cannot access '/root': No such file or directory",
        "3",
    ];
    let lines = out(&bench, &sandboxed(bench.script(script))).await;
    assert_eq!(lines[..4], expected[..4]);
    assert!(
        lines[4].split(' ').all(|dir| expected[4].contains(dir)),
        "{lines:?}"
    );
    assert_eq!(lines[6..], expected[6..]);
}

#[tokio::test]
async fn inputs_outputs_and_mounts_are_where_they_belong() {
    let bench = Bench::new();
    let host = |name: &str| bench.home.path().join(name);
    std::fs::write(host("statement.ofx"), "OFX").unwrap();
    for dir in ["shared", "cache"] {
        std::fs::create_dir(host(dir)).unwrap();
        std::fs::write(host(dir).join("file"), dir).unwrap();
    }
    let mut attempt = sandboxed(bench.script(
        r#"python3 -c 'import json,os; print(json.load(open(os.environ["MOORLINE_INPUT"]))["inputs"]["statement"]["path"])'
           cat /in/statement/checking.ofx /shared/file /var/cache/file; echo
           { echo x > /in/statement/checking.ofx; echo x > /shared/file; } 2>/dev/null || echo read-only
           echo new > /var/cache/file; mkdir -p $MOORLINE_OUTPUT_DIR/a; echo done > $MOORLINE_OUTPUT_DIR/a/b"#,
    ));
    let input = InputFile {
        source: host("statement.ofx"),
        path: "statement/checking.ofx".to_owned(),
        size: 3,
    };
    attempt.inputs.insert("statement".to_owned(), input);
    let mount = |dir: &str, path: &str, read_only| Mount {
        source: host(dir),
        path: path.to_owned(),
        read_only,
    };
    attempt.mounts = vec![
        mount("shared", "/shared", true),
        mount("cache", "/var/cache", false),
    ];
    let (handle, outcome) = bench.run(&attempt).await;
    assert_eq!(outcome.exit, Exit::Exited { code: 0 });
    let lines = bench.lines(&handle, LogStream::Stdout).await;
    assert_eq!(
        lines,
        ["/in/statement/checking.ofx", "OFXsharedcache", "read-only"]
    );
    assert_eq!(
        std::fs::read_to_string(host("cache/file")).unwrap(),
        "new\n"
    );
    assert_eq!(
        std::fs::read_to_string(host("shared/file")).unwrap(),
        "shared"
    );
    let files = bench.executor.collect(&handle).await.unwrap();
    let files: Vec<_> = files
        .iter()
        .map(|file| (file.path.as_str(), file.size))
        .collect();
    assert_eq!(files, [("a/b", 5)]);
}

#[tokio::test]
async fn an_input_that_is_not_there_is_named() {
    let bench = Bench::new();
    for isolation in [IsolationNeed::Required, IsolationNeed::Off] {
        let mut attempt = bench.script("exit 0");
        attempt.isolation = isolation;
        let input = InputFile {
            source: "/nonexistent/file".into(),
            path: "a/b".to_owned(),
            size: 3,
        };
        attempt.inputs.insert("a".to_owned(), input);
        let (_, outcome) = bench.run(&attempt).await;
        let Exit::NotStarted { reason } = &outcome.exit else {
            panic!("{outcome:?}")
        };
        assert!(reason.contains("/nonexistent/file"), "{reason}");
    }
}

#[tokio::test]
async fn the_helper_is_out_of_reach_of_the_job() {
    let bench = Bench::new();
    let lines = out(
        &bench,
        &python(
            &bench,
            r#"
import os, signal
os.kill(1, signal.SIGKILL)
for name in ["mem", "environ", "fd/3", "maps"]:
    try:
        open("/proc/1/" + name, "rb").read(1)
        print("read", name)
    except OSError as error:
        print(name, type(error).__name__)
try:
    os.kill(1, 0)
    print("alive")
except OSError:
    print("dead")
"#,
        ),
    )
    .await;
    let refused =
        ["mem", "environ", "fd/3", "maps"].map(|name| format!("{name} FileNotFoundError"));
    assert_eq!(lines[..4], refused);
    assert_eq!(lines[4], "alive");
}

#[tokio::test]
async fn dangerous_system_calls_are_refused() {
    let bench = Bench::new();
    let program = r#"
import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    ctypes.set_errno(0)
    result = libc.syscall(*args)
    print(name, errno.errorcode.get(ctypes.get_errno(), result))
CLONE_NEWUSER = 0x10000000
call("ptrace", 101, 0, 0, 0, 0)
call("mount", 165, b"none", b"/tmp", b"tmpfs", 0, 0)
call("unshare", 272, CLONE_NEWUSER)
call("setns", 308, 0, 0)
call("clone", 56, CLONE_NEWUSER | 17, 0, 0, 0, 0)
call("clone3", 435, 0, 0)
call("bpf", 321, 0, 0, 0)
call("keyctl", 250, 0, 0)
call("io_uring_setup", 425, 1, 0)
call("userfaultfd", 323, 0)
call("perf_event_open", 298, 0, 0, 0, 0, 0)
call("open_by_handle_at", 304, 0, 0, 0)
call("x32 ptrace", 0x40000000 | 521, 0, 0, 0, 0)
call("getpid", 39)
for name in ["AF_PACKET", "AF_VSOCK", "AF_ALG", "AF_BLUETOOTH"]:
    try:
        socket.socket(getattr(socket, name), socket.SOCK_RAW)
        print(name, "opened")
    except OSError as error:
        print(name, errno.errorcode[error.errno])
"#;
    let lines = out(&bench, &python(&bench, program)).await;
    for line in &lines {
        let (name, result) = line.rsplit_once(' ').unwrap();
        let expected = match name {
            "getpid" => continue,
            "clone3" | "io_uring_setup" | "userfaultfd" => "ENOSYS",
            _ => "EPERM",
        };
        assert_eq!(result, expected, "{name}");
    }
    assert_eq!(lines.len(), 18);
}

#[tokio::test]
async fn nothing_leaves_without_egress() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let program = format!(
        r#"
import socket
try:
    socket.create_connection(("127.0.0.1", {}), 5)
    print("connected")
except OSError as error:
    print(type(error).__name__)
try:
    socket.getaddrinfo("example.com", 80)
    print("resolved")
except OSError as error:
    print(type(error).__name__)
inside = socket.create_server(("127.0.0.1", 0))
socket.create_connection(inside.getsockname(), 5)
print("loopback inside")
"#,
        address.port()
    );
    let lines = out(&bench, &python(&bench, &program)).await;
    assert_eq!(
        lines,
        ["ConnectionRefusedError", "gaierror", "loopback inside"]
    );
    let mut open = python(&bench, &program);
    open.egress = Egress::Open;
    assert_eq!(out(&bench, &open).await[0], "connected", "positive control");
}

#[tokio::test]
async fn an_allow_list_lets_its_host_through_the_proxy_and_no_other() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let program = format!(
        r#"
import socket, urllib.request, urllib.error
print(urllib.request.urlopen("http://127.0.0.1:{port}/path", timeout=10).read().decode())
try:
    urllib.request.urlopen("http://other.example/", timeout=10)
except urllib.error.HTTPError as error:
    print(error.code)
try:
    socket.create_connection(("127.0.0.1", {port}), 5)
    print("around the proxy")
except OSError as error:
    print(type(error).__name__)
"#
    );
    let mut attempt = python(&bench, &program);
    attempt.egress = Egress::Allow(vec![format!("127.0.0.1:{port}")]);
    let (handle, outcome) = bench.run(&attempt).await;
    let lines = bench.lines(&handle, LogStream::Stdout).await;
    assert_eq!(
        lines,
        ["hello", "403", "ConnectionRefusedError"],
        "{:?}",
        bench.log(&handle).await
    );
    assert_eq!(outcome.egress_denied, ["other.example:80"]);
    assert!(server.join().unwrap().starts_with("GET /path HTTP/1.1\r\n"));
}

#[tokio::test]
async fn threads_shared_memory_and_temporary_files_work() {
    let bench = Bench::new();
    let program = "
import concurrent.futures, multiprocessing, tempfile, ssl, os
if __name__ == '__main__':
    with concurrent.futures.ThreadPoolExecutor(8) as pool: print(sum(pool.map(abs, range(10))))
    with multiprocessing.get_context('fork').Pool(2) as pool: print(sum(pool.map(abs, range(10))))
    with tempfile.NamedTemporaryFile() as file: print(file.write(b'x'), os.path.dirname(file.name))
    print(len(ssl.create_default_context().get_ca_certs()) >= 0)
";
    assert_eq!(
        out(&bench, &python(&bench, program)).await,
        ["45", "45", "1 /tmp", "True"]
    );
}
