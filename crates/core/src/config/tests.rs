//! Layers, provenance, inheritance, and what is refused.

mod server;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::document::ConfigDocument;
use super::*;
use crate::app_name::Overrides;
use crate::error_code::ErrorCode;
use crate::processor_ref::ProcessorRef;
use crate::spec;

fn file(path: &str, text: &str) -> ConfigFile {
    ConfigFile {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

fn project(text: &str) -> Layers {
    Layers {
        project: Some(file("moorline.toml", text)),
        ..Layers::default()
    }
}

fn refused(layers: &Layers) -> String {
    resolve(layers).unwrap_err().to_string()
}

fn lane(text: &str) -> Lane {
    text.parse().unwrap()
}

fn from(resolved: &Resolved, key: &str) -> (Value, String) {
    match resolved.at(key).unwrap().as_slice() {
        [entry] => (entry.value.clone(), entry.origin.to_string()),
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn nothing_configured_is_the_defaults_and_every_value_says_so() {
    let resolved = resolve(&Layers::default()).unwrap();
    assert_eq!(resolved.settings, with_environments(Settings::default()));
    let elsewhere: Vec<&Entry> = resolved
        .entries
        .iter()
        .filter(|entry| entry.origin != Origin::Default)
        .collect();
    assert_eq!(elsewhere, [] as [&Entry; 0]);
    assert!(resolved.entries.len() > 50, "{}", resolved.entries.len());
    assert_eq!(
        from(&resolved, "capacity"),
        (json!(8), "default".to_owned())
    );
}

/// The defaults, with the environments of the lanes written out as resolving does.
fn with_environments(mut settings: Settings) -> Settings {
    let environments = settings.lanes.iter();
    settings.app_names.environments = environments
        .map(|(name, lane)| (name.clone(), lane.modal_environment.parse().unwrap()))
        .collect();
    settings
}

#[test]
fn later_layers_win_and_each_value_knows_its_layer() {
    let layers = Layers {
        project: Some(file(
            "moorline.toml",
            "capacity = 2\nexecutor = \"local\"\nlease_seconds = 20\n",
        )),
        user: Some(file(
            "/home/ada/config.toml",
            "\ncapacity = 3\nexecutor = \"modal\"\n",
        )),
        variables: BTreeMap::from([("MOORLINE_CAPACITY".to_owned(), "4".to_owned())]),
        flags: vec![ConfigFlag {
            flag: "--set".to_owned(),
            key: "review.two_person".to_owned(),
            value: "true".to_owned(),
        }],
    };
    let resolved = resolve(&layers).unwrap();
    for (key, value, origin) in [
        ("capacity", json!(4), "MOORLINE_CAPACITY"),
        ("executor", json!("modal"), "/home/ada/config.toml:3"),
        ("lease_seconds", json!(20), "moorline.toml:3"),
        ("review.two_person", json!(true), "--set"),
        ("store", Value::Null, "default"),
    ] {
        assert_eq!(from(&resolved, key), (value, origin.to_owned()), "{key}");
    }
    let settings = resolved.settings;
    assert_eq!(
        (settings.capacity, settings.executor.as_str()),
        (4, "modal")
    );
    assert!(settings.review.two_person);
}

#[test]
fn unknown_keys_are_told_with_line_and_suggestion_all_at_once() {
    let layers = Layers {
        project: Some(file(
            "moorline.toml",
            "capcity = 2\n[lanes.qa]\nextends = \"prod\"\nshedules = true\n[lanes.qa.tools]\nshell = \"maybe\"\n",
        )),
        user: Some(file("config.toml", "[secret]\nkey = \"x\"\n")),
        ..Layers::default()
    };
    assert_eq!(
        refused(&layers),
        "moorline.toml:1: capcity: is not a field of this object (schema); did you mean `capacity`?\n\
         moorline.toml:4: lanes.qa.shedules: is not a field of this object (schema); did you mean \
         `schedules`?\n\
         moorline.toml:6: lanes.qa.tools.shell: must be one of `allowed`, `restricted`, `forbidden` \
         (schema)\n\
         config.toml:1: secret: is not a field of this object (schema); did you mean `secrets`?"
    );
}

#[test]
fn text_that_is_no_toml_is_told_with_its_line() {
    let text = refused(&project("capacity = 2\nlanes = [\n"));
    assert!(text.starts_with("moorline.toml:"), "{text}");
    assert!(text.contains("is not TOML"), "{text}");
    let text = refused(&project("capacity = 2\ncapacity = 3\n"));
    assert!(text.starts_with("moorline.toml:2: is not TOML: "), "{text}");
}

#[test]
fn a_variable_that_is_misspelt_or_wrong_is_told() {
    let variables = |name: &str, value: &str| Layers {
        variables: BTreeMap::from([(name.to_owned(), value.to_owned())]),
        ..Layers::default()
    };
    assert_eq!(
        refused(&variables("MOORLINE_CAPACTIY", "4")),
        "MOORLINE_CAPACTIY: is not a variable that is read (schema); did you mean \
         `MOORLINE_CAPACITY`?"
    );
    assert_eq!(
        refused(&variables("MOORLINE_CAPACITY", "many")),
        "MOORLINE_CAPACITY: capacity: must be an integer, not a string (schema)"
    );
    // Programs have variables of their own.
    assert!(resolve(&variables("MOORLINE_OUTPUT_DIR", "/x")).is_ok());
    assert!(resolve(&variables("MOORLINE_CAPACITY", "")).is_ok());
    let scope = resolve(&variables("MOORLINE_MODAL_SCOPE", "modal-environment")).unwrap();
    assert_eq!(scope.settings.app_names.scope, LaneScope::ModalEnvironment);
}

/// A key that no variable and no table of names covers would be one that automation can not set.
#[test]
fn every_single_value_has_a_variable() {
    let resolved = resolve(&Layers::default()).unwrap();
    let named = ["lanes.", "principals.", "alerts."];
    for entry in &resolved.entries {
        let covered = named.iter().any(|table| entry.key.starts_with(table))
            || matches!(entry.key.as_str(), "principals" | "alerts")
            // Lists are set in files.
            || entry.value.is_array()
            || VARIABLES.iter().any(|(_, key)| *key == entry.key);
        assert!(covered, "{} has no variable", entry.key);
    }
    for (variable, key) in VARIABLES {
        assert!(resolved.at(key).is_ok(), "{variable} sets no key");
    }
}

#[test]
fn a_lane_of_ones_own_is_like_the_one_that_it_extends() {
    let resolved = resolve(&project(
        "[lanes.prod]\negress = { allow = [\"*.bank.example\"] }\n\
         [lanes.prod-eu]\nextends = \"prod\"\nschedules = false\n\
         [lanes.prod-eu-pilot]\nextends = \"prod-eu\"\n",
    ))
    .unwrap();
    let pilot = &resolved.settings.lanes[&lane("prod-eu-pilot")];
    let expected = LaneSettings {
        rules: LaneRules {
            lane: lane("prod-eu-pilot"),
            schedules: false,
            ..LaneRules::PROD
        },
        extends: Some(lane("prod-eu")),
        production: true,
        modal_environment: "prod-eu-pilot".to_owned(),
        egress: Some(Egress::Allow(vec!["*.bank.example".to_owned()])),
        ..LaneSettings::of(LaneRules::PROD)
    };
    assert_eq!(*pilot, expected);
    let [entry] = resolved.at("lanes.prod-eu-pilot.egress").unwrap()[..] else {
        panic!("one value");
    };
    assert_eq!(entry.origin.to_string(), "moorline.toml:2");
    assert_eq!(entry.inherited_from, Some(Lane::PROD));
    let [entry] = resolved.at("lanes.prod-eu-pilot.schedules").unwrap()[..] else {
        panic!("one value");
    };
    assert_eq!(entry.origin.to_string(), "moorline.toml:5");
    assert_eq!(entry.inherited_from, Some(lane("prod-eu")));
}

#[test]
fn a_lane_that_extends_nothing_or_itself_is_refused() {
    for (text, expected) in [
        (
            "[lanes.qa]\nschedules = true\n",
            "moorline.toml:2: lanes.qa.extends: lane `qa` does not say which lane it is like \
             (D-SPEC-3); add for example `extends = \"staging\"`",
        ),
        (
            "[lanes.qa]\nextends = \"stagin\"\n",
            "moorline.toml:2: lanes.qa.extends: there is no lane `stagin` (D-SPEC-3); did you mean \
             `staging`?",
        ),
        (
            "[lanes.a]\nextends = \"a\"\n",
            "moorline.toml:2: lanes.a.extends: extends itself: a to a (D-SPEC-3); let one of them \
             extend a built-in lane",
        ),
        (
            "[lanes.prod]\nextends = \"dev\"\n",
            "moorline.toml:2: lanes.prod.extends: lane `prod` is built in and extends none \
             (D-SPEC-3); name a lane of your own, such as `prod-eu`",
        ),
        (
            "lane = \"qa\"\n",
            "moorline.toml:1: lane: no lane `qa` is configured (D-SPEC-3); add a table \
             `[lanes.NAME]`, or name one that is there",
        ),
    ] {
        assert_eq!(refused(&project(text)), expected);
    }
    let circle = refused(&project(
        "[lanes.a]\nextends = \"b\"\n[lanes.b]\nextends = \"a\"\n",
    ));
    assert!(circle.contains("extends itself: a to b to a"), "{circle}");
}

/// D-ART-4, D-SPEC-3: a file that a program can write is no place to switch approval off.
#[test]
fn production_can_not_be_loosened() {
    let text = refused(&project(
        "[lanes.prod]\nrequires_approval = false\n[lanes.prod.tools]\nshell = \"allowed\"\n\
         [lanes.live]\nextends = \"prod\"\ninteractive = true\n",
    ));
    let hint = "take it out, or let a lane of your own extend `staging` instead";
    assert_eq!(
        text,
        format!(
            "moorline.toml:2: lanes.live.requires_approval: lane `live` is production and can not \
             permit this (D-ART-4); {hint}\n\
             moorline.toml:2: lanes.prod.requires_approval: lane `prod` is production and can not \
             permit this (D-ART-4); {hint}\n\
             moorline.toml:4: lanes.live.tools.shell: lane `live` is production and can not permit \
             this (D-SPEC-3); {hint}\n\
             moorline.toml:4: lanes.prod.tools.shell: lane `prod` is production and can not permit \
             this (D-SPEC-3); {hint}\n\
             moorline.toml:7: lanes.live.interactive: lane `live` is production and can not permit \
             this (D-SPEC-3); {hint}"
        )
    );
}

#[test]
fn a_users_machine_demands_more_and_never_less() {
    let layers = |user: &str| Layers {
        project: Some(file(
            "moorline.toml",
            "default_role = \"operator\"\n[review]\ntwo_person = true\n\
             [lanes.staging]\nrequires_approval = true\negress = { allow = [\"*.bank.example\"] }\n\
             [lanes.prod]\nmodal_environment = \"production\"\n\
             [principals]\n\"human:bob\" = \"viewer\"\n\
             [alerts.ops]\nchannel = \"webhook\"\ntarget = \"https://ops.example/hook\"\n",
        )),
        user: Some(file("config.toml", user)),
        ..Layers::default()
    };
    for more in [
        "[lanes.staging]\nschedules = false\n",
        "[lanes.staging]\negress = { allow = [\"eu.bank.example\"] }\n",
        "[lanes.dev]\ninteractive = false\n",
        "[lanes.mine]\nextends = \"dev\"\n",
        "default_role = \"viewer\"\n",
        "[principals]\n\"agent:codex\" = \"viewer\"\n",
        "[alerts.me]\nchannel = \"email\"\ntarget = \"ada@example.com\"\n",
        "capacity = 1\n[secrets]\nbackend = \"modal\"\n",
    ] {
        let resolved = resolve(&layers(more));
        assert!(resolved.is_ok(), "{more}: {}", resolved.unwrap_err());
    }
    for (less, key, why) in [
        (
            "[lanes.staging]\nrequires_approval = false\n",
            "lanes.staging.requires_approval",
            "permits more than the project does",
        ),
        (
            "[lanes.staging]\negress = { allow = [\"bank.example\"] }\n",
            "lanes.staging.egress",
            "permits more than the project does",
        ),
        (
            "[lanes.prod]\nmodal_environment = \"elsewhere\"\n",
            "lanes.prod.modal_environment",
            "is decided by the project",
        ),
        (
            "default_role = \"admin\"\n",
            "default_role",
            "gives a higher role than the project does",
        ),
        (
            "[principals]\n\"human:bob\" = \"admin\"\n",
            "principals.\"human:bob\"",
            "gives a higher role than the project does",
        ),
        (
            "[principals]\n\"agent:codex\" = \"approver\"\n",
            "principals.\"agent:codex\"",
            "gives a higher role than the project does",
        ),
        (
            "[review]\ntwo_person = false\n",
            "review.two_person",
            "permits more than the project does",
        ),
        (
            "[alerts.ops]\nchannel = \"webhook\"\ntarget = \"https://evil.example/\"\n",
            "alerts.ops.target",
            "is decided by the project",
        ),
    ] {
        let problems = resolve(&layers(less)).unwrap_err();
        let told = problems.iter().any(|problem| {
            problem.key == key
                && problem.message == why
                && problem.rule == "D-AUDIT-2"
                && matches!(problem.origin, Origin::User { .. })
        });
        assert!(told, "{less}: {problems}");
    }
}

#[test]
fn the_password_of_a_store_stands_in_no_file_and_is_never_shown() {
    let url = "postgres://ada:hunter2@db.example/moorline";
    let text = refused(&project(&format!("store = \"{url}\"\n")));
    assert_eq!(
        text,
        "moorline.toml:1: store: holds a password, which has no place in a file (D-SEC-3); give the \
         whole URL in MOORLINE_STORE, or use `~/.pgpass`"
    );
    let layers = Layers {
        variables: BTreeMap::from([("MOORLINE_STORE".to_owned(), url.to_owned())]),
        ..Layers::default()
    };
    let resolved = resolve(&layers).unwrap();
    let store = resolved.settings.store.clone().unwrap();
    assert_eq!(store.expose(), url);
    for shown in [
        store.to_string(),
        format!("{resolved:?}"),
        serde_json::to_string(&resolved.settings).unwrap(),
        serde_json::to_string(&resolved.entries).unwrap(),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    for (url, shown) in [
        ("postgres://db/x", "postgres://db/x"),
        ("postgres://ada@db/x", "postgres://ada@db/x"),
        ("postgres://a:p@w@db/x", "postgres://a:…@db/x"),
        (
            "postgres://db/x?password=p&a=b",
            "postgres://db/x?password=…&a=b",
        ),
        ("nonsense", "nonsense"),
    ] {
        assert_eq!(StoreUrl::new(url.to_owned()).to_string(), shown);
    }
}

#[test]
fn a_lane_refuses_what_reaches_beyond_its_egress_list_and_what_frees_a_tool() {
    let resolved = resolve(&project(
        "[lanes.staging]\negress = { allow = [\"*.bank.example:443\"] }\n",
    ))
    .unwrap();
    let staging = &resolved.settings.lanes[&Lane::STAGING];
    let job = |egress: Value, shell: &str| {
        let document = json!({
            "job_id": "j",
            "steps": [{"name": "a", "argv": ["true"], "egress": egress}],
            "tool_permissions": {"shell": shell},
        });
        spec::load(document.to_string().as_bytes()).unwrap()
    };
    let inside = job(json!({"allow": ["eu.bank.example:443"]}), "forbidden");
    assert_eq!(staging.check_job(&inside), Ok(()));
    let outside = job(
        json!({"allow": ["eu.bank.example:443", "evil.example:443"]}),
        "allowed",
    );
    assert_eq!(
        staging.check_job(&outside).unwrap_err().to_string(),
        "/steps/0/egress: reaches evil.example:443, which lane `staging` does not (D-SPEC-3t); ask \
         for less, or have `lanes.staging.egress` of `moorline.toml` reviewed and widened\n\
         /tool_permissions/shell: is `restricted` in lane `staging` (D-SPEC-3u); say the same or \
         less, or leave it out"
    );
    let tools = staging.tools_of(&inside.tool_permissions);
    assert_eq!(tools.shell, Some(Permission::Forbidden));
    assert_eq!(tools.web_fetch, Some(Permission::Restricted));
    assert_eq!(tools.edit, Some(Permission::Allowed));
    assert_eq!(ErrorCode::Config, Problems::CODE);
}

#[test]
fn a_lane_that_could_name_productions_apps_is_refused() {
    let scope =
        |scope: &str, lanes: &str| project(&format!("[app_names]\nscope = \"{scope}\"\n{lanes}"));
    let shared = "[lanes.dev]\nmodal_environment = \"Main\"\n";
    assert_eq!(
        refused(&scope("modal_environment", shared)),
        "moorline.toml:4: lanes.dev.modal_environment: lane `dev` could name an app of lane `prod` \
         (D-REF-7); give each a Modal environment of its own"
    );
    // Names that end in the lane tell them apart, wherever they are.
    assert!(resolve(&scope("app_suffix", shared)).is_ok());
    assert!(resolve(&scope("both", shared)).is_ok());
    let suffix = "[lanes.live]\nextends = \"prod\"\n[lanes.not-live]\nextends = \"dev\"\n";
    assert_eq!(
        refused(&scope("app_suffix", suffix)),
        "moorline.toml:6: lanes.not-live.extends: lane `not-live` could name an app of lane `live` \
         (D-REF-7); rename one of them: no name may end in the other's"
    );
    assert!(resolve(&scope("modal_environment", suffix)).is_ok());
}

#[test]
fn the_name_of_a_lane_is_checked_and_main_is_written_as_prod() {
    let text = refused(&project("[lanes.eu-prod]\nextends = \"prod\"\n"));
    assert!(
        text.contains("only lane `prod` may end in `prod`"),
        "{text}"
    );
    let text = refused(&project("[lanes.main]\nschedules = false\n"));
    assert!(text.contains("`main` is lane `prod`"), "{text}");
    let text = refused(&project("[lanes.Dev]\nschedules = false\n"));
    assert!(text.starts_with("moorline.toml:1: lanes.Dev: "), "{text}");
}

#[test]
fn the_example_is_in_order() {
    let text = include_str!("../../../../examples/moorline.toml");
    let resolved = resolve(&project(text)).unwrap();
    assert!(resolved.settings.lanes.len() > 3);
    let document: ConfigDocument = toml::from_str(text).unwrap();
    assert!(document.review.two_person.is_some());
}

const NAMES: [&str; 6] = ["dev", "staging", "qa", "live", "not-live", "prod-eu"];

/// Lanes with any parent, environment and scope; most of them are refused, and what is left must hold.
fn any_configuration() -> impl Strategy<Value = String> {
    let environment = prop::option::of(prop::sample::select(vec!["main", "Main", "dev", "shared"]));
    let parent = prop::sample::select(vec!["dev", "staging", "prod", "live"]);
    let lanes = prop::collection::vec((parent, environment.clone()), NAMES.len());
    let scope = prop::sample::select(vec!["modal_environment", "app_suffix", "both"]);
    let prefix = prop::option::of("[a-z]{1,8}");
    (scope, prefix, environment, lanes).prop_map(|(scope, prefix, prod, lanes)| {
        let environment = |name: Option<&str>| {
            name.map(|name| format!("modal_environment = \"{name}\"\n"))
                .unwrap_or_default()
        };
        let mut parts = vec![format!("[app_names]\nscope = \"{scope}\"\n")];
        parts.extend(prefix.map(|user| format!("dev_prefix = {{ user = \"{user}\" }}\n")));
        parts.push(format!("[lanes.prod]\n{}", environment(prod)));
        for (name, (parent, place)) in NAMES.into_iter().zip(lanes) {
            parts.push(format!("[lanes.{name}]\n{}", environment(place)));
            // One that extends itself would be refused for that alone.
            let parent = if parent == name { "prod" } else { parent };
            if !["dev", "staging"].contains(&name) {
                parts.push(format!("extends = \"{parent}\"\n"));
            }
        }
        parts.concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// L57, D-REF-7: for no configuration does a lane that is not production name an app of one that is,
    /// overrides included.
    #[test]
    fn no_name_of_another_lane_is_an_app_of_production(
        text in any_configuration(),
        one in "[a-z]{1,6}/[a-z]{1,6}@[1-3]",
        other in "[a-z]{1,6}/[a-z]{1,6}@[1-3]",
        override_ in prop::option::of("[a-z]{1,6}(-not)?(-live|-prod|-dev|-prod-eu)?"),
    ) {
        let Ok(resolved) = resolve(&project(&text)) else {
            return Ok(());
        };
        let settings = resolved.settings;
        let processors: [ProcessorRef; 2] = [one.parse().unwrap(), other.parse().unwrap()];
        let overrides = [
            Overrides::default(),
            Overrides { flag: override_.as_deref(), variable: None },
        ];
        let targets = |lane: &Lane| {
            let mut all = Vec::new();
            for processor in &processors {
                for given in overrides {
                    all.extend(settings.app_names.resolve(processor, lane, given));
                }
            }
            all
        };
        for (prod, _) in settings.lanes.iter().filter(|(_, lane)| lane.production) {
            for (dev, _) in settings.lanes.iter().filter(|(_, lane)| !lane.production) {
                for target in targets(prod) {
                    prop_assert!(!targets(dev).contains(&target), "{dev} names {target} of {prod}");
                }
            }
        }
    }

    /// Whatever is written, reading it ends in settings or in problems with places.
    #[test]
    fn any_text_gives_settings_or_problems(text in "[a-z\\[\\]=\"{}.\n 0-9]{0,200}") {
        if let Err(problems) = resolve(&project(&text)) {
            prop_assert!(problems.iter().count() > 0);
        }
    }
}
