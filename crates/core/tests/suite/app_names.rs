//! App names over processor refs, lanes and policies: D-REF-2, -3, -6, -7.

use moorline_core::app_name::{AppName, AppPolicy, AppTarget, DevPrefix, LaneScope, Overrides};
use moorline_core::lane::Lane;
use moorline_core::processor_ref::ProcessorRef;
use proptest::prelude::*;

fn processor(text: &str) -> ProcessorRef {
    text.parse().unwrap()
}

fn policy(scope: LaneScope) -> AppPolicy {
    AppPolicy {
        scope,
        ..AppPolicy::default()
    }
}

fn shown(target: &AppTarget) -> String {
    target.to_string()
}

/// Modal's rule, written a second time, so that the code is not its own witness.
fn is_modal_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let looks_like_id = name.len() == 25
        && name.starts_with("ap-")
        && name.bytes().skip(3).all(|b| b.is_ascii_alphanumeric());
    (1..=64).contains(&name.len()) && name.bytes().all(legal) && !looks_like_id
}

/// L01: the refs of the table that are accepted.
#[test]
fn refs_give_the_names_of_the_table() {
    for (text, name) in [
        ("llm/litellm@1", "llm-litellm-v1"),
        ("llm/litellm@v1", "llm-litellm-v1"),
        ("replicate/generic@1", "replicate-generic-v1"),
        ("a_b/c@1", "a-b-c-v1"),
        ("a-b/c@12", "a-b-c-v12"),
    ] {
        assert_eq!(AppName::of(&processor(text)).as_str(), name, "{text}");
    }
}

/// L01: 40 + 40 characters give at most 64, with the hash of the whole at the end, the same every time.
#[test]
fn a_long_ref_is_cut_and_ends_in_the_hash_of_the_whole() {
    let long = format!("{}/{}@1", "a".repeat(40), "b".repeat(40));
    let whole = format!("{}-{}-v1", "a".repeat(40), "b".repeat(40));
    let hash = blake3::hash(whole.as_bytes()).to_hex();
    let expected = format!(
        "{}-{}-{}",
        "a".repeat(40),
        "b".repeat(14),
        hash.split_at(8).0
    );
    let name = AppName::of(&processor(&long));
    assert_eq!(
        (name.as_str(), name.as_str().len()),
        (expected.as_str(), 64)
    );
    assert_eq!(
        name.as_str(),
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbb-6cea7bf9"
    );
}

#[test]
fn names_of_exactly_64_characters_are_kept_whole() {
    let name = |length: usize| AppName::of(&processor(&format!("a/{}@1", "b".repeat(length))));
    assert_eq!(name(59).as_str(), format!("a-{}-v1", "b".repeat(59)));
    assert_eq!(name(60).as_str().len(), 64);
    assert!(!name(60).as_str().ends_with("-v1"));
}

#[test]
fn each_scope_places_a_ref_as_stated() {
    let llm = processor("llm/litellm@1");
    for (scope, lane, expected) in [
        (LaneScope::ModalEnvironment, Lane::DEV, "dev/llm-litellm-v1"),
        (
            LaneScope::ModalEnvironment,
            Lane::STAGING,
            "staging/llm-litellm-v1",
        ),
        (
            LaneScope::ModalEnvironment,
            Lane::PROD,
            "main/llm-litellm-v1",
        ),
        (LaneScope::AppSuffix, Lane::DEV, "main/llm-litellm-v1-dev"),
        (LaneScope::AppSuffix, Lane::PROD, "main/llm-litellm-v1-prod"),
        (LaneScope::Both, Lane::DEV, "dev/llm-litellm-v1-dev"),
        (LaneScope::Both, Lane::PROD, "main/llm-litellm-v1-prod"),
    ] {
        assert_eq!(shown(&policy(scope).derive(&llm, &lane)), expected);
    }
}

#[test]
fn the_dev_prefix_is_made_fit_and_never_reaches_prod() {
    let llm = processor("llm/litellm@1");
    let with = |branch: &str, user: &str| AppPolicy {
        dev_prefix: Some(DevPrefix {
            branch: Some(branch.to_owned()),
            user: Some(user.to_owned()),
        }),
        ..AppPolicy::default()
    };
    let policy = with("Feature/ABC_#12", "alice@example.org");
    let dev = "dev/feature-abc-12-alice-example-org-llm-litellm-v1";
    assert_eq!(shown(&policy.derive(&llm, &Lane::DEV)), dev);
    assert_eq!(
        shown(&policy.derive(&llm, &Lane::PROD)),
        "main/llm-litellm-v1"
    );
    assert_eq!(
        shown(&with("//", "é").derive(&llm, &Lane::DEV)),
        "dev/llm-litellm-v1"
    );
}

/// D-REF-6: the flag, then the variable, then the derived name.
#[test]
fn overrides_go_flag_then_variable_then_derived() {
    let llm = processor("llm/litellm@1");
    let resolve = |flag, variable| {
        let overrides = Overrides { flag, variable };
        AppPolicy::default()
            .resolve(&llm, &Lane::DEV, overrides)
            .map(|target| shown(&target))
    };
    assert_eq!(resolve(Some("mine"), Some("other")).unwrap(), "dev/mine");
    assert_eq!(resolve(None, Some("other")).unwrap(), "dev/other");
    assert_eq!(resolve(None, Some("")).unwrap(), "dev/llm-litellm-v1");
    assert_eq!(resolve(None, None).unwrap(), "dev/llm-litellm-v1");
}

#[test]
fn an_override_is_validated_like_any_app_name() {
    let llm = processor("llm/litellm@1");
    let reason = |flag: &str| {
        let overrides = Overrides {
            flag: Some(flag),
            variable: Some("valid"),
        };
        let error = AppPolicy::default()
            .resolve(&llm, &Lane::DEV, overrides)
            .unwrap_err();
        assert_eq!(error.to_string(), "--app-name can not be used");
        std::error::Error::source(&error).unwrap().to_string()
    };
    assert_eq!(
        reason(""),
        "`` is not a valid app name: it is empty (D-REF-3)"
    );
    assert_eq!(
        reason("my app"),
        "`my app` is not a valid app name: it contains ` `; use letters, digits, `-`, `_` and `.` \
         (D-REF-3)"
    );
    assert_eq!(
        reason("ap-0123456789abcdefABCDEF"),
        "`ap-0123456789abcdefABCDEF` is not a valid app name: it is shaped like an app id (`ap-` and \
         22 letters or digits) (D-REF-3)"
    );
    assert!(reason(&"a".repeat(65)).contains("it has 65 characters; the most is 64"));
    for valid in [
        "ap-0123456789abcdefABCDE",
        "ap-0123456789abcdefABCDE_",
        "A.b_c-1",
    ] {
        assert_eq!(valid.parse::<AppName>().unwrap().as_str(), valid);
    }
}

/// L57: an override can not name another lane's object where only the suffix tells them apart.
#[test]
fn an_override_needs_the_lane_suffix_where_lanes_share_an_environment() {
    let llm = processor("llm/litellm@1");
    let overrides = Overrides {
        flag: Some("llm-litellm-v1-prod"),
        variable: None,
    };
    let shared = policy(LaneScope::AppSuffix);
    assert_eq!(
        shared
            .resolve(&llm, &Lane::DEV, overrides)
            .unwrap_err()
            .to_string(),
        "--app-name `llm-litellm-v1-prod` does not end in `-dev`, which tells the apps of lane `dev` \
         from those of other lanes (D-REF-7); write `llm-litellm-v1-prod-dev`"
    );
    let prod = shared.resolve(&llm, &Lane::PROD, overrides).unwrap();
    assert_eq!(shown(&prod), "main/llm-litellm-v1-prod");
}

fn refs() -> impl Strategy<Value = ProcessorRef> {
    const WORDS: &str = "[a-z][a-z0-9]{0,20}([_-][a-z0-9]{1,12}){0,3}";
    // refs that look like what policies add, so that collisions would be found
    let adversarial = "(a|ap|dev|prod)([_-](v1|dev|prod|main)){0,3}";
    let part = prop_oneof![WORDS, adversarial];
    (part.clone(), part, 1_u64..1000)
        .prop_map(|(ns, name, version)| processor(&format!("{ns}/{name}@{version}")))
}

fn other_lanes() -> impl Strategy<Value = Lane> {
    let names = prop_oneof![
        Just("dev".to_owned()),
        Just("staging".to_owned()),
        "[a-z][a-z0-9-]{0,31}",
        "(v1|x|dev|prod)-(prod-)?(v1|x|dev|main)",
        "[0-9a-f]{8}",
    ];
    names.prop_filter_map("not a lane, or prod", |name| {
        name.parse::<Lane>().ok().filter(|lane| !lane.is_prod())
    })
}

fn dev_prefixes() -> impl Strategy<Value = Option<DevPrefix>> {
    let part = || proptest::option::of(prop_oneof!["\\PC{0,60}", "(a|ap|dev|prod|main)[/-]?"]);
    proptest::option::of((part(), part()).prop_map(|(branch, user)| DevPrefix { branch, user }))
}

fn scopes() -> impl Strategy<Value = LaneScope> {
    proptest::sample::select(vec![
        LaneScope::ModalEnvironment,
        LaneScope::AppSuffix,
        LaneScope::Both,
    ])
}

proptest! {
    /// L02: every rendered name satisfies Modal's rule, and is one that we would accept.
    #[test]
    fn every_derived_name_is_one_that_modal_takes(
        processor in refs(), scope in scopes(), lane in other_lanes(), dev_prefix in dev_prefixes(),
    ) {
        let policy = AppPolicy { dev_prefix, ..policy(scope) };
        for lane in [lane, Lane::PROD] {
            let target = policy.derive(&processor, &lane);
            prop_assert!(is_modal_name(target.app.as_str()), "{target}");
            prop_assert!(is_modal_name(target.environment.as_str()), "{target}");
            prop_assert_eq!(target.app.as_str().parse(), Ok(target.app.clone()));
            prop_assert_eq!(policy.derive(&processor, &lane), target, "not stable");
        }
    }

    /// L57: whatever a person in another lane gives, it is never an object of prod.
    #[test]
    fn no_other_lane_reaches_an_object_of_prod(
        scope in scopes(),
        lane in other_lanes(),
        dev_prefix in dev_prefixes(),
        (dev_ref, prod_ref) in (refs(), refs()),
        own in proptest::option::of("[a-zA-Z0-9._-]{1,40}(-prod|-dev)?"),
    ) {
        let policy = AppPolicy { dev_prefix, ..policy(scope) };
        let prod = policy.derive(&prod_ref, &Lane::PROD);
        let overridden = Overrides { flag: own.as_deref(), variable: None };
        // a person may also name the very app of prod
        let copied = Overrides { flag: Some(prod.app.as_str()), variable: None };
        let mut in_prod = vec![prod.clone()];
        in_prod.extend(policy.resolve(&prod_ref, &Lane::PROD, overridden).ok());
        let mut in_lane = vec![policy.derive(&prod_ref, &lane), policy.derive(&dev_ref, &lane)];
        in_lane.extend(policy.resolve(&dev_ref, &lane, overridden).ok());
        in_lane.extend(policy.resolve(&dev_ref, &lane, copied).ok());
        for target in in_lane {
            prop_assert!(!in_prod.contains(&target), "{} of lane {} is in prod", target, lane);
        }
    }
}
