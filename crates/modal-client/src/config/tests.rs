use super::*;
use secrecy::ExposeSecret as _;

fn variables(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn resolve(list: &[(&str, &str)], file: Option<&str>) -> Result<Config> {
    Config::resolve(
        &variables(list),
        file.map(|text| (text, Path::new("modal.toml"))),
    )
}

fn pair(config: &Config) -> (String, String) {
    match &config.credentials {
        Credentials::Token { id, secret } => (id.clone(), secret.expose_secret().to_owned()),
        other => panic!("{other:?}"),
    }
}

const FILE: &str = "[work]\ntoken_id = 'ak-file'\ntoken_secret = 'as-file'\nenvironment = 'dev'\n\
                    max_throttle_wait = 7\nactive = true\n[other]\ntoken_id = 'ak-other'\ntoken_secret = 'as-other'\n";

#[test]
fn each_setting_is_taken_from_the_environment_then_the_profile_then_the_default() {
    let config = resolve(&[("MODAL_TOKEN_ID", "ak-env")], Some(FILE)).unwrap();
    assert_eq!(pair(&config), ("ak-env".into(), "as-file".into()));
    assert_eq!(config.environment.as_deref(), Some("dev"));
    assert_eq!(config.profile, "work");
    assert_eq!(config.retry.max_throttle_wait, Some(Duration::from_secs(7)));
    let servers: Vec<_> = config.servers.iter().map(ToString::to_string).collect();
    assert_eq!(
        servers,
        ["https://api.modal.com:443", "https://api.modal2.com:443"]
    );
}

#[test]
fn the_variable_names_the_profile() {
    let config = resolve(&[("MODAL_PROFILE", "other")], Some(FILE)).unwrap();
    assert_eq!(pair(&config), ("ak-other".into(), "as-other".into()));
}

#[test]
fn without_a_file_the_environment_is_enough() {
    let config = resolve(
        &[
            ("MODAL_TOKEN_ID", "ak"),
            ("MODAL_TOKEN_SECRET", "as"),
            ("MODAL_SERVER_URL", "http://127.0.0.1:5"),
            ("MODAL_SANDBOX_V2", "0"),
            ("MODAL_FORCE_BUILD", "True"),
        ],
        None,
    )
    .unwrap();
    assert_eq!(config.servers[0].to_string(), "http://127.0.0.1:5");
    assert!(!config.sandbox_v2 && config.force_build && !config.ignore_cache);
}

#[test]
fn missing_or_half_credentials_say_what_to_set() {
    let error = resolve(&[], None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("MODAL_TOKEN_ID"), "{error}");
    let error = resolve(&[("MODAL_TOKEN_ID", "ak")], None).unwrap_err();
    assert!(error.to_string().contains("MODAL_TOKEN_SECRET"), "{error}");
}

#[test]
fn a_token_pair_and_oauth_together_are_refused() {
    let error = resolve(&[("MODAL_OAUTH_CLIENT_ID", "x")], Some(FILE)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn inside_a_container_there_are_no_credentials() {
    let config = resolve(&[("MODAL_IS_REMOTE", "1")], None).unwrap();
    assert!(matches!(config.credentials, Credentials::Anonymous));
    assert_eq!(config.client_kind, ClientKind::Container);
}

#[test]
fn extra_headers_are_pairs() {
    let base = [("MODAL_TOKEN_ID", "a"), ("MODAL_TOKEN_SECRET", "b")];
    let with = |value| resolve(&[base[0], base[1], ("MODAL_OVERRIDE_HEADERS", value)], None);
    assert_eq!(
        with("X-A: 1 , b:2:3").unwrap().extra_headers,
        [
            ("x-a".to_owned(), "1".to_owned()),
            ("b".to_owned(), "2:3".to_owned())
        ]
    );
    assert!(with("nothing").is_err());
}

#[test]
fn secrets_are_not_shown() {
    let config = resolve(&[], Some(FILE)).unwrap();
    assert!(!format!("{config:?}").contains("as-file"));
}

#[test]
fn a_missing_file_is_fine_and_an_unreadable_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let load = |file: String| {
        Config::from_env([
            ("MODAL_CONFIG_PATH".to_owned(), file),
            ("MODAL_TOKEN_ID".into(), "a".into()),
            ("MODAL_TOKEN_SECRET".into(), "b".into()),
        ])
    };
    assert!(load(path("absent.toml")).is_ok());
    assert_eq!(load(path("")).unwrap_err().kind(), ErrorKind::Config);
    std::fs::write(path("config.toml"), "[default]\nenvironment = 'e'\n").unwrap();
    assert_eq!(
        load(path("config.toml")).unwrap().environment.as_deref(),
        Some("e")
    );
}
