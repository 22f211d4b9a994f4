//! Processor refs and app names, through `moorline app-name`.

use moorline_testkit::moorline::Moorline;

/// L01: the odd inputs, each with its stated result.
#[test]
fn refs_give_their_app_name_or_are_refused_with_a_reason() {
    let moorline = Moorline::new().unwrap();
    for (text, name) in [
        ("llm/litellm@1", "llm-litellm-v1"),
        ("llm/litellm@v1", "llm-litellm-v1"),
        ("a_b/c@1", "a-b-c-v1"),
    ] {
        let output = moorline.run(["app-name", text]).unwrap();
        assert_eq!(
            (output.code, output.stdout.trim()),
            (Some(0), name),
            "{text}"
        );
    }
    for text in [
        "LLM/LiteLLM@1",
        "a/b/c@1",
        "a@1",
        "a/b",
        "a/b@",
        "a/b@1@2",
        "/b@1",
        "a/@1",
        " a/b@1 ",
        "a/b@1\n",
        "a/b@latest",
        "a/b@1.2.3",
        "a/b@01",
        "a/b@0",
        "a/b@²",
        "a/b@-1",
        "é/b@1",
        "a b/c@1",
        "../x@1",
        "a.b/c@1",
    ] {
        let output = moorline.run(["app-name", text]).unwrap();
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(2), ""),
            "{text:?}\n{output}"
        );
        assert!(output.stderr.contains("D-REF-1"), "{text:?}\n{output}");
    }
    let upper = moorline.run(["app-name", "LLM/LiteLLM@1"]).unwrap();
    assert!(upper.stderr.contains("llm/litellm@1"), "{upper}");
}

/// L02: a long ref is cut to what Modal takes, the same way each time.
#[test]
fn a_long_ref_is_cut_with_a_hash_and_stays_the_same() {
    let moorline = Moorline::new().unwrap();
    let long = format!("{}/{}@1", "a".repeat(40), "b".repeat(40));
    let names: Vec<String> = (0..2)
        .map(|_| {
            moorline
                .run(["app-name", &long])
                .unwrap()
                .stdout
                .trim()
                .to_owned()
        })
        .collect();
    assert!(names[0].len() <= 64, "{}", names[0]);
    assert_eq!(names[0], names[1]);
    let other = format!("{}/{}c@1", "a".repeat(40), "b".repeat(40));
    let other = moorline.run(["app-name", &other]).unwrap();
    assert_ne!(other.stdout.trim(), names[0]);
}

/// D-REF-6 and D-REF-7: what goes before what, and lanes that are told apart.
#[test]
fn overrides_and_policies_are_applied_in_their_order() {
    let moorline = Moorline::new()
        .unwrap()
        .env("MODAL_APP_NAME", "from-variable");
    let name = |arguments: &[&str]| {
        let mut all = vec!["app-name", "llm/litellm@1"];
        all.extend(arguments);
        moorline.run(&all).unwrap().stdout.trim().to_owned()
    };
    assert_eq!(name(&[]), "from-variable");
    assert_eq!(name(&["--app-name", "from-flag"]), "from-flag");
    let plain = Moorline::new().unwrap();
    let suffixed = |lane: &str| {
        let all = [
            "app-name",
            "llm/litellm@1",
            "--policy",
            "app-suffix",
            "--lane",
            lane,
        ];
        plain.run(all).unwrap().stdout.trim().to_owned()
    };
    assert_eq!(suffixed("prod"), "llm-litellm-v1-prod");
    assert_ne!(suffixed("dev"), suffixed("prod"));
    let bad = plain
        .run(["app-name", "llm/litellm@1", "--app-name", "no good"])
        .unwrap();
    assert_eq!(bad.code, Some(2), "{bad}");
}
