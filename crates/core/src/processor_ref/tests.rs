use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> ProcessorRef {
    text.parse().unwrap()
}

/// L01: every refused input of the table, with its reason and what is suggested instead.
#[test]
fn refused_refs_say_why_and_what_was_meant() {
    use RefPart::{Name, Namespace};
    use RefProblem as P;
    let refused = [
        (
            "LLM/LiteLLM@1",
            P::Character(Namespace, 'L'),
            Some("llm/litellm@1"),
        ),
        ("a/b/c@1", P::ManySlashes, None),
        ("a@1", P::NoSlash, None),
        ("a/b", P::NoVersion, Some("a/b@1")),
        ("a/b@", P::EmptyVersion, Some("a/b@1")),
        ("a/b@1@2", P::ManyVersions, None),
        ("/b@1", P::Empty(Namespace), None),
        ("a/@1", P::Empty(Name), None),
        (" a/b@1 ", P::WhiteSpace, Some("a/b@1")),
        ("a/b@1\n", P::WhiteSpace, Some("a/b@1")),
        ("a/b@latest", P::VersionNotDecimal, None),
        ("a/b@1.2.3", P::VersionNotDecimal, Some("a/b@1")),
        ("a/b@01", P::VersionLeadingZero, Some("a/b@1")),
        ("a/b@0", P::VersionLeadingZero, None),
        ("a/b@v0", P::VersionLeadingZero, None),
        ("a/b@v", P::VersionNotDecimal, Some("a/b@1")),
        ("a/b@vv1", P::VersionNotDecimal, Some("a/b@1")),
        ("a/b@V2", P::VersionNotDecimal, Some("a/b@2")),
        ("a/b@²", P::VersionNotDecimal, None),
        ("a/b@-1", P::VersionNotDecimal, None),
        ("a/b@+1", P::VersionNotDecimal, None),
        ("a/b@18446744073709551616", P::VersionTooLarge, None),
        ("é/b@1", P::Character(Namespace, 'é'), None),
        ("a b/c@1", P::WhiteSpace, Some("a-b/c@1")),
        ("../x@1", P::Character(Namespace, '.'), None),
        ("a.b/c@1", P::Character(Namespace, '.'), Some("a-b/c@1")),
        ("a__b/c@1", P::Separator(Namespace), Some("a_b/c@1")),
        ("a/b-@1", P::Separator(Name), Some("a/b@1")),
        ("_a/b@1", P::FirstCharacter(Namespace), Some("a/b@1")),
        ("a/1b@1", P::FirstCharacter(Name), None),
        ("", P::NoVersion, None),
        ("@", P::NoSlash, None),
    ];
    for (text, problem, suggestion) in refused {
        let error = text.parse::<ProcessorRef>().unwrap_err();
        let expected = RefError {
            text: text.to_owned(),
            problem,
            suggestion: suggestion.map(parsed),
        };
        assert_eq!(error, expected);
        assert!(error.to_string().contains("(D-REF-1)"), "{error}");
    }
}

#[test]
fn a_refusal_is_one_line_that_says_what_to_do() {
    let message = |text: &str| text.parse::<ProcessorRef>().unwrap_err().to_string();
    assert_eq!(
        message("LLM/LiteLLM@1"),
        "`LLM/LiteLLM@1` is not a processor ref: the namespace contains `L`, which is not a \
         lower-case letter, a digit, `_` or `-` (D-REF-1); did you mean `llm/litellm@1`?"
    );
    assert_eq!(
        message("a/b@latest\n"),
        "`a/b@latest\\n` is not a processor ref: it contains white space (D-REF-1); \
         write `namespace/name@version`, such as `llm/litellm@1`"
    );
}

#[test]
fn a_leading_v_is_read_and_not_written() {
    assert_eq!(parsed("llm/litellm@v1"), parsed("llm/litellm@1"));
    assert_eq!(parsed("llm/litellm@v1").to_string(), "llm/litellm@1");
    let largest = "a/b@18446744073709551615";
    assert_eq!(parsed(largest).to_string(), largest);
}

#[test]
fn json_is_the_text_and_refuses_what_parsing_refuses() {
    let json = serde_json::to_string(&parsed("a_b/c-d@12")).unwrap();
    assert_eq!(json, "\"a_b/c-d@12\"");
    assert_eq!(
        serde_json::from_str::<ProcessorRef>(&json).unwrap(),
        parsed("a_b/c-d@12")
    );
    let error = serde_json::from_str::<ProcessorRef>("\"A/b@1\"")
        .unwrap_err()
        .to_string();
    assert!(error.contains("did you mean `a/b@1`?"), "{error}");
}

/// L03, the part that is pure: a colliding registry is refused, naming both refs.
#[test]
fn refs_with_one_app_name_collide_and_both_are_named() {
    let registry = ["llm/litellm@1", "a-b/c@1", "a/b-c@1"].map(parsed);
    let collision = registry_check(&registry).unwrap_err();
    assert_eq!(
        collision.to_string(),
        "processors `a-b/c@1` and `a/b-c@1` both give the app name `a-b-c-v1` (D-REF-4); \
         rename one of them"
    );
    for pair in [
        ["a-b/c@1", "a_b/c@1"],
        ["a/b-c@1", "a/b_c@1"],
        ["x/y@1", "x/y@v1"],
    ] {
        let [first, second] = pair.map(parsed);
        let collision = registry_check(&[first.clone(), second.clone()]).unwrap_err();
        assert_eq!((collision.first, collision.second), (first, second));
    }
    assert_eq!(
        registry_check(&["a/b@1", "a/b@2", "a/c@1"].map(parsed)),
        Ok(())
    );
}

const WORDS: &str = "[a-z][a-z0-9]{0,8}([_-][a-z0-9]{1,8}){0,3}";

proptest! {
    /// L01: what the grammar allows goes through text and back unchanged.
    #[test]
    fn a_ref_of_the_grammar_round_trips(ns in WORDS, name in WORDS, version in 1_u64..) {
        let text = format!("{ns}/{name}@{version}");
        prop_assert_eq!(&parsed(&text).to_string(), &text);
        prop_assert_eq!(parsed(&format!("{ns}/{name}@v{version}")).to_string(), text);
    }

    #[test]
    fn any_text_is_read_to_itself_or_refused_with_a_valid_suggestion(text in "\\PC{0,40}|[aA1_./@ -]{0,12}") {
        match text.parse::<ProcessorRef>() {
            Ok(read) => prop_assert_eq!(read.to_string(), text.replace("@v", "@")),
            Err(error) => {
                prop_assert!(!error.to_string().contains('\n'));
                if let Some(suggestion) = error.suggestion() {
                    prop_assert_eq!(&parsed(&suggestion.to_string()), suggestion);
                }
            }
        }
    }
}
