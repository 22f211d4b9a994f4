//! TLS: who is served by it, with which certificate, and how everything that is no TLS ends.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use moorline_testkit::moorline::{Moorline, Output, Signal, binary};
use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_testkit::wait;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::{Client, Method, Version};
use tempfile::TempDir;

use super::support::{Api, PATIENCE};

/// An authority that nobody knows but who is told.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self {
            issuer,
            certificate,
        }
    }

    /// A certificate for 127.0.0.1, and its key.
    fn certify(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A client that knows this authority and no other one.
    fn client(
        &self,
        make: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Client {
        let known = reqwest::Certificate::from_pem(self.certificate.as_bytes()).unwrap();
        let builder = Client::builder().timeout(PATIENCE).no_proxy();
        make(builder.tls_certs_only([known])).build().unwrap()
    }
}

/// The files that a server reads.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, (certificate, key): &(String, String)) {
        fs::write(self.path("cert.pem"), certificate).unwrap();
        fs::write(self.path("key.pem"), key).unwrap();
    }

    fn config(&self) -> String {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let (cert, key) = (cert.display(), key.display());
        format!("[server]\ntls_cert = '{cert}'\ntls_key = '{key}'\n")
    }
}

fn serving(files: &Files) -> Server {
    let options = ServerOptions::new().unwrap().config(&files.config());
    let server = options.unwrap().start().unwrap();
    assert!(server.url().starts_with("https://"), "{}", server.url());
    server
}

fn socket(server: &Server) -> TcpStream {
    let address = server.url().trim_start_matches("https://");
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_and_browsers_are_served_by_tls_alone() {
    let (authority, files) = (Authority::new(), Files::new());
    files.write(&authority.certify());
    let server = serving(&files);
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    let newest = Api::through(
        authority.client(|client| client),
        server.url(),
        Some(&token),
    );
    let older = authority.client(reqwest::ClientBuilder::http1_only);
    let older = Api::through(older, server.url(), Some(&token));
    for (api, version) in [(&newest, Version::HTTP_2), (&older, Version::HTTP_11)] {
        let answer = api.request(Method::GET, "/v1/runs").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
    }
    // The session of a browser is for TLS alone, and for this very host.
    let browser = authority.client(|client| client.redirect(reqwest::redirect::Policy::none()));
    let login = browser.post(format!("{}/login", server.url()));
    let login = login.header("content-type", "application/x-www-form-urlencoded");
    let session = login.body(format!("token={token}")).send().await.unwrap();
    assert_eq!(session.status(), 303);
    let cookie = session.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-moorline="), "{cookie}");
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let page = browser.get(format!("{}/runs", server.url()));
    let page = page.header("cookie", pair).send().await.unwrap();
    assert_eq!(page.status(), 200);
    // Who does not know the authority gets nothing.
    let stranger = Authority::new().client(|client| client);
    assert!(stranger.get(server.url()).send().await.is_err());
}

/// The command line knows an authority of one's own by `SSL_CERT_FILE`, and says so when it does not.
#[test]
fn the_command_line_is_told_of_an_authority() {
    let (authority, files) = (Authority::new(), Files::new());
    files.write(&authority.certify());
    let server = serving(&files);
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    let known = files.path("authority.pem");
    fs::write(&known, &authority.certificate).unwrap();
    let other = files.path("other.pem");
    fs::write(&other, Authority::new().certificate).unwrap();
    let list = |url: &str, trusted: Option<&PathBuf>| -> Output {
        let laptop = Moorline::new().unwrap().env("MOORLINE_TOKEN", &token);
        let laptop = match trusted {
            Some(trusted) => laptop.env("SSL_CERT_FILE", trusted),
            None => laptop,
        };
        let mut command = laptop.bare_command();
        command.args(["--server", url, "runs", "list", "--json"]);
        let running = moorline_testkit::moorline::Running::start(&mut command);
        running.unwrap().wait(PATIENCE).unwrap()
    };
    let seen = list(server.url(), Some(&known));
    assert_eq!(seen.code, Some(0), "{seen}");
    assert_eq!(seen.json().unwrap(), serde_json::json!([]));
    let refused = list(server.url(), Some(&other));
    assert!(refused.stderr.contains("ERR_UNREACHABLE"), "{refused}");
    assert!(refused.stderr.contains("SSL_CERT_FILE"), "{refused}");
    assert!(!refused.stderr.contains(&token), "{refused}");
    // The wrong scheme, both ways.
    let plain = server.url().replace("https://", "http://");
    let told = list(&plain, None);
    assert!(told.stderr.contains("this port speaks TLS"), "{told}");
    assert!(told.stderr.contains("https://"), "{told}");
    let without = Server::start().unwrap();
    let told = list(&without.url().replace("http://", "https://"), Some(&known));
    assert!(told.stderr.contains("try `http://`"), "{told}");
    // Without TLS it needs to know no authority, and a machine may have none at all.
    let token = without.token("ada", ["--principal", "human:ada"]).unwrap();
    let laptop = Moorline::new().unwrap().env("MOORLINE_TOKEN", &token);
    let laptop = laptop.env("SSL_CERT_FILE", files.path("none.pem"));
    let mut command = laptop.bare_command();
    command.args(["--server", without.url(), "runs", "list", "--json"]);
    let running = moorline_testkit::moorline::Running::start(&mut command);
    let seen = running.unwrap().wait(PATIENCE).unwrap();
    assert_eq!(seen.code, Some(0), "{seen}");
}

/// HTTP is answered in its own words; who never ends the handshake is cut off after 15 s (which this test waits
/// for), and holds up nobody until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_tls_comes_to_an_end() {
    let (authority, files) = (Authority::new(), Files::new());
    files.write(&authority.certify());
    let server = serving(&files);
    let silent = socket(&server);
    let mut halfway = socket(&server);
    // The head of a handshake's first message, which announces 512 bytes that never come.
    halfway.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]).unwrap();

    let mut plain = socket(&server);
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n")
        .unwrap();
    let mut told = String::new();
    plain.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{told}");
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}\r\n", body.len())),
        "{told}"
    );
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["detail"], "this port speaks TLS");

    let client = authority.client(|client| client);
    let health = client.get(format!("{}/healthz", server.url()));
    assert_eq!(health.send().await.unwrap().status(), 200);
    for mut socket in [silent, halfway] {
        let mut rest = Vec::new();
        match socket.read_to_end(&mut rest) {
            // Perhaps an alert of TLS, but never an answer.
            Ok(_) => assert!(!rest.starts_with(b"HTTP"), "{rest:?}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}

/// Files that can not be used end the server before it listens: with the code of a wrong configuration, and with
/// the file.
#[test]
fn a_certificate_that_can_not_be_used_is_refused_at_the_start() {
    let (authority, files) = (Authority::new(), Files::new());
    let (certificate, key) = authority.certify();
    let (_, stranger) = authority.certify();
    let cases = [
        (None, Some(&key), "cert.pem"),
        (Some(&certificate), None, "key.pem"),
        (Some(&key), Some(&key), "cert.pem"),
        (Some(&certificate), Some(&certificate), "key.pem"),
        (Some(&certificate), Some(&stranger), "tls_key"),
    ];
    let server = Moorline::of_binary(binary("moorlined").unwrap()).unwrap();
    fs::write(server.work_dir().join("moorline.toml"), files.config()).unwrap();
    for (certificate, key, named) in cases {
        for (file, text) in [("cert.pem", certificate), ("key.pem", key)] {
            let path = files.path(file);
            match text {
                Some(text) => fs::write(path, text).unwrap(),
                None => drop(fs::remove_file(path)),
            }
        }
        let output = server.run(["--bind", "127.0.0.1:0"]).unwrap();
        assert_eq!(output.code, Some(78), "{output}");
        assert!(output.stderr.contains(named), "{named}: {output}");
        assert!(!output.stdout.contains("listening"), "{output}");
        assert!(!output.stderr.contains("PRIVATE KEY"), "{output}");
    }
}

/// A certificate ends, and a server does not for its sake: SIGHUP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_taken_while_it_serves() {
    let (first, second, files) = (Authority::new(), Authority::new(), Files::new());
    files.write(&first.certify());
    let mut server = serving(&files);
    let url = format!("{}/healthz", server.url());
    let old = first.client(|client| client);
    assert_eq!(old.get(&url).send().await.unwrap().status(), 200);
    files.write(&second.certify());
    server.signal(Signal::HUP).unwrap();
    // A client of its own each time: a connection that is kept goes on with the certificate that it has.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while second
        .client(|client| client)
        .get(&url)
        .send()
        .await
        .is_err()
    {
        assert!(tokio::time::Instant::now() < deadline, "{}", server.log());
    }
    assert_eq!(old.get(&url).send().await.unwrap().status(), 200);
    // What can not be used changes nothing.
    fs::write(files.path("key.pem"), "no key").unwrap();
    server.signal(Signal::HUP).unwrap();
    wait::until(PATIENCE, "it to say so", || {
        server.log().contains("stays the one that it was")
    })
    .unwrap();
    let fresh = second.client(|client| client);
    assert_eq!(fresh.get(&url).send().await.unwrap().status(), 200);
    let output = server.end().unwrap();
    assert_eq!(output.code, Some(0), "{output}");
}
