//! Where values come from, and what is said when they do not (D-SEC-3, D-SEC-5).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use moorline_secrets::{
    DirectorySource, EnvKey, EnvironmentSource, FileSource, KeyStatus, Origin, Refusal as _,
    ResolveError, SecretAccess, SecretEnv, SecretRequirement, SecretSource, SecretValue,
    SourceChain, SourceError,
};
use serde_json::json;
use tempfile::TempDir;

fn key(text: &str) -> EnvKey {
    text.parse().unwrap()
}

fn declared(json: serde_json::Value) -> Vec<SecretRequirement> {
    serde_json::from_value(json).unwrap()
}

fn file(directory: &TempDir, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn exposed(env: &SecretEnv) -> Vec<(&str, &str, &str)> {
    env.iter()
        .map(|(key, value)| {
            (
                key.as_str(),
                value.expose(),
                env.origin(key).unwrap().as_str(),
            )
        })
        .collect()
}

fn told(result: Result<impl Sized, SourceError>) -> (String, String) {
    let error = result.err().unwrap();
    assert_eq!((error.code(), error.rule()), ("ERR_CONFIG", "D-SEC-3"));
    (error.to_string(), error.hint())
}

#[test]
fn the_first_source_that_has_a_key_gives_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "secrets.env", "A=file\nB=file\nC=file\n", 0o600);
    let mounted = directory.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    fs::set_permissions(&mounted, fs::Permissions::from_mode(0o700)).unwrap();
    file(&directory, "mounted/C", "directory", 0o600);
    file(&directory, "mounted/D", "two\nlines\r\n", 0o400);
    let chain = SourceChain::new()
        .with(EnvironmentSource::new([("A", "environment"), ("B", "")]))
        .with(FileSource::open(&path).unwrap())
        .with(DirectorySource::open(&mounted).unwrap());

    let env = chain
        .resolve(&declared(
            json!([{"name": "x", "keys": ["A", "B", "C", "D"]}]),
        ))
        .unwrap();

    let of_file = format!("file {}", path.display());
    let of_directory = format!("directory {}", mounted.display());
    assert_eq!(
        exposed(&env),
        [
            ("A", "environment", "environment"),
            ("B", "file", of_file.as_str()),
            ("C", "file", of_file.as_str()),
            ("D", "two\nlines", of_directory.as_str()),
        ]
    );
}

/// D-SEC-4: what a step does not declare it is not given.
#[test]
fn a_step_is_given_what_it_declares_and_no_more() {
    let chain = SourceChain::new().with(EnvironmentSource::new([
        ("A", "1"),
        ("B", "2"),
        ("HOME", "/"),
    ]));
    let env = chain.resolve(&declared(json!([{"name": "B"}]))).unwrap();
    assert_eq!(exposed(&env), [("B", "2", "environment")]);
}

/// L15: all are named, with no value.
#[test]
fn every_missing_key_is_named_at_once() {
    let environment = EnvironmentSource::new([("REGISTRY_USERNAME", "hunter2"), ("EMPTY", "")]);
    let chain = SourceChain::new().with(environment);
    let declared = declared(json!([
        {"name": "REGISTRY_AUTH", "keys": ["REGISTRY_USERNAME", "REGISTRY_PASSWORD"]},
        {"name": "OPENAI_API_KEY"},
        {"name": "EMPTY"},
        {"name": "chase", "type": "session", "keys": ["CHASE_SESSION"]},
        {"name": "LITELLM_API_BASE", "required": false},
    ]));

    let error = chain.resolve(&declared).unwrap_err();

    assert_eq!(
        (error.code(), error.rule()),
        ("ERR_MISSING_SECRET", "D-SEC-5")
    );
    assert_eq!(
        error.to_string(),
        "secrets are missing: `REGISTRY_PASSWORD` of secret `registry-auth`, `OPENAI_API_KEY`, `EMPTY` (empty in \
         environment), `CHASE_SESSION`; searched: environment"
    );
    assert_eq!(
        error.hint(),
        "keep every key that is named: `moorline secrets set NAME --key KEY --lane LANE`; in the lane `dev` the \
         environment or a secrets file of mode 600 will do; `moorline secrets check` shows what is there; mock \
         mode needs no secrets"
    );
    let ResolveError::Missing(missing) = error else {
        panic!("{error}")
    };
    let keys: Vec<&str> = missing
        .missing()
        .iter()
        .map(|missing| missing.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "REGISTRY_PASSWORD",
            "OPENAI_API_KEY",
            "EMPTY",
            "CHASE_SESSION"
        ]
    );
    assert!(!format!("{missing:?}").contains("hunter2"));
}

#[test]
fn without_sources_the_error_says_so() {
    let error = SourceChain::new()
        .resolve(&declared(json!([{"name": "A"}])))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a secret is missing: `A`; searched: nothing, as no source is configured"
    );
}

/// L14: mock mode needs no secret.
#[test]
fn mock_mode_gives_none_and_refuses_who_asks() {
    let declared = declared(json!([{"name": "A"}]));
    assert!(SecretAccess::Mock.resolve(&declared).unwrap().is_empty());
    let error = SecretAccess::Mock.request(&declared[0]).unwrap_err();
    assert_eq!((error.code(), error.rule()), ("ERR_CONFIG", "D-SEC-4"));
    assert_eq!(
        error.to_string(),
        "secret `a` was asked for in mock mode, which gives none (D-SEC-4)"
    );
}

#[test]
fn a_check_says_of_each_key_where_it_is_and_never_what() {
    let chain = SourceChain::new().with(EnvironmentSource::new([("A", "hunter2"), ("B", "")]));
    let declared = declared(json!([
        {"name": "one", "keys": ["A", "B"]},
        {"name": "two", "type": "oauth", "keys": ["C"], "required": false},
    ]));
    let check = chain.check(&declared).unwrap();
    assert_eq!(
        serde_json::to_value(&check).unwrap(),
        json!([
            {"secret": "one", "key": "A", "required": true, "status": "present", "origin": "environment"},
            {"secret": "one", "key": "B", "required": true, "status": "empty", "origin": "environment"},
            {"secret": "two", "type": "oauth", "key": "C", "required": false, "status": "missing", "origin": null},
        ])
    );
    let refused: Vec<&str> = check
        .iter()
        .filter(|check| check.refuses_run())
        .map(|check| check.key.as_str())
        .collect();
    assert_eq!(refused, ["B"]);
}

#[test]
fn two_secrets_of_a_step_can_not_set_one_key_but_one_may_be_named_twice() {
    let chain = SourceChain::new().with(EnvironmentSource::new([("A", "1")]));
    let twice = declared(json!([{"name": "x", "keys": ["A"]}, {"name": "x", "keys": ["A"]}]));
    assert_eq!(chain.resolve(&twice).unwrap().len(), 1);
    let two = declared(json!([{"name": "x", "keys": ["A"]}, {"name": "y", "keys": ["A"]}]));
    assert_eq!(
        chain.resolve(&two).unwrap_err().to_string(),
        "secrets `x` and `y` both set `A`"
    );
}

/// A source of an embedding service.
#[derive(Debug)]
struct Custom(Result<&'static str, &'static str>);

impl SecretSource for Custom {
    fn origin(&self) -> Origin {
        Origin::new("vault")
    }

    fn get(&self, _: &EnvKey) -> Result<Option<SecretValue>, SourceError> {
        match self.0 {
            Ok(value) => Ok(Some(value.into())),
            Err(reason) => Err(SourceError::unavailable(
                self.origin(),
                std::io::Error::other(reason),
            )),
        }
    }
}

#[test]
fn a_source_that_fails_is_not_passed_over() {
    let chain = SourceChain::new()
        .with(Custom(Err("sealed")))
        .with(EnvironmentSource::new([("A", "an older value")]));
    let error = chain
        .resolve(&declared(json!([{"name": "A"}])))
        .unwrap_err();
    assert_eq!(error.to_string(), "vault: can not be read");
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "sealed");
}

#[test]
fn a_value_that_no_environment_variable_can_hold_is_refused() {
    let chain = SourceChain::new().with(Custom(Ok("a\0b")));
    let error = chain
        .resolve(&declared(json!([{"name": "A"}])))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the value of `A` from vault holds a NUL byte, which no environment variable can"
    );
}

#[test]
fn a_file_that_others_can_read_or_change_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for mode in [0o644, 0o640, 0o604, 0o620, 0o602, 0o601, 0o777] {
        let path = file(&directory, "s", "A=1", mode);
        let (error, hint) = told(FileSource::open(&path));
        let shown = path.display();
        assert_eq!(
            error,
            format!(
                "file {shown}: its mode is {mode:03o}, so others can read or change it (D-SEC-3)"
            )
        );
        assert_eq!(hint, format!("chmod 600 {shown}"));
    }
    for mode in [0o600, 0o400, 0o700] {
        let path = file(&directory, "s", "A=1", mode);
        FileSource::open(&path).unwrap();
    }
}

#[test]
fn a_file_of_someone_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let user = rustix::process::geteuid().as_raw();
    // Root makes a file of another user's; anyone else finds one of root's.
    let (path, owner) = if user == 0 {
        let path = file(&directory, "s", "A=1", 0o600);
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        (path, 12345)
    } else {
        (PathBuf::from("/etc/passwd"), 0)
    };
    let (error, hint) = told(FileSource::open(&path));
    let shown = path.display();
    assert_eq!(
        error,
        format!(
            "file {shown}: it belongs to user {owner}, and this process runs as user {user} (D-SEC-3)"
        )
    );
    assert_eq!(
        hint,
        format!("chown {user} {shown}, or keep the secrets in a file of your own")
    );
}

#[test]
fn what_is_no_file_of_secrets_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (error, _) = told(FileSource::open(directory.path()));
    assert!(error.ends_with("it is not a regular file"), "{error}");

    let (error, _) = told(FileSource::open(&directory.path().join("absent")));
    assert!(error.ends_with("can not be read"), "{error}");
    assert!(
        FileSource::open_if_present(&directory.path().join("absent"))
            .unwrap()
            .is_none()
    );

    // A pipe without a writer, which must not be waited for.
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let (error, _) = told(FileSource::open(&pipe));
    assert!(error.ends_with("it is not a regular file"), "{error}");

    let path = file(
        &directory,
        "long",
        &format!("A={}", "x".repeat(1 << 20)),
        0o600,
    );
    let (error, _) = told(FileSource::open(&path));
    assert!(
        error.ends_with("it holds more than 1048576 bytes"),
        "{error}"
    );

    fs::write(&path, [b'A', b'=', 0xff]).unwrap();
    let (error, _) = told(FileSource::open(&path));
    assert!(error.ends_with("it is not UTF-8 text"), "{error}");

    let path = file(&directory, "wrong", "A=1\nB=hunter2 hunter2\n", 0o600);
    let (error, hint) = told(FileSource::open(&path));
    assert_eq!(
        error,
        format!(
            "file {}: line 2: the value of `B` has blanks, `#` or quotes, and none around it",
            path.display()
        )
    );
    assert_eq!(
        hint,
        "write KEY=VALUE, with quotes around a value that has blanks, `#` or line ends"
    );
}

#[test]
fn a_directory_is_as_private_as_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(directory.path(), 0o770);
    let (error, hint) = told(DirectorySource::open(directory.path()));
    let shown = directory.path().display();
    assert_eq!(
        error,
        format!("directory {shown}: its mode is 770, so others can change what is in it (D-SEC-3)")
    );
    assert_eq!(hint, format!("chmod 700 {shown}"));

    mode(directory.path(), 0o755);
    let source = DirectorySource::open(directory.path()).unwrap();
    assert!(source.get(&key("A")).unwrap().is_none());
    let path = file(&directory, "A", "1", 0o644);
    let (error, hint) = told(source.get(&key("A")));
    assert!(
        error.starts_with(&format!("file {}: its mode is 644", path.display())),
        "{error}"
    );
    assert_eq!(hint, format!("chmod 600 {}", path.display()));

    let (error, _) = told(DirectorySource::open(&path));
    assert!(error.ends_with("it is not a directory"), "{error}");
    let (error, _) = told(DirectorySource::open(&directory.path().join("absent")));
    assert!(error.ends_with("can not be read"), "{error}");
}

/// A prompt is the last to be asked, and only for what the step can not do without.
#[derive(Debug)]
struct Person;

impl SecretSource for Person {
    fn origin(&self) -> Origin {
        Origin::new("prompt")
    }

    fn get(&self, key: &EnvKey) -> Result<Option<SecretValue>, SourceError> {
        assert_eq!(key.as_str(), "B", "nothing else has to be asked for");
        Ok(Some("typed".into()))
    }

    fn is_interactive(&self) -> bool {
        true
    }
}

#[test]
fn a_person_is_asked_last_and_only_for_what_is_needed() {
    let chain = SourceChain::new()
        .with(Person)
        .with(EnvironmentSource::new([("A", "1")]));
    let declared = declared(json!([
        {"name": "A"}, {"name": "B"}, {"name": "C", "required": false},
    ]));
    let checked: Vec<KeyStatus> = chain
        .check(&declared)
        .unwrap()
        .into_iter()
        .map(|check| check.status)
        .collect();
    assert_eq!(
        checked,
        [KeyStatus::Present, KeyStatus::Prompted, KeyStatus::Missing]
    );
    let env = chain.resolve(&declared).unwrap();
    assert_eq!(
        exposed(&env),
        [("A", "1", "environment"), ("B", "typed", "prompt")]
    );
}
