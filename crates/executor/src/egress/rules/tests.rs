use super::*;

fn rules(entries: &[&str]) -> EgressRules {
    let entries: Vec<String> = entries.iter().map(|&e| e.to_owned()).collect();
    EgressRules::parse(&entries).unwrap()
}

#[test]
fn an_entry_allows_what_it_names_and_nothing_else() {
    for (entry, destination, expected) in [
        ("a.example", "a.example:443", true),
        ("a.example", "A.Example.:80", true),
        ("a.example", "a.example:22", false),
        ("a.example", "b.a.example:443", false),
        ("a.example:22", "a.example:22", true),
        ("a.example:22", "a.example:443", false),
        ("*.example", "a.b.example:443", true),
        ("*.example", "example:443", false),
        ("*.example:1", "a.example:443", false),
        ("192.0.2.7:5432", "192.0.2.7:5432", true),
        ("192.0.2.7", "[::ffff:192.0.2.7]:80", true),
        ("192.0.2.7", "192.0.2.8:80", false),
        ("[::1]:8080", "[0:0::1]:8080", true),
        ("[::1]:8080", "[::1]:80", false),
        ("::1", "[::1]:443", true),
        ("*", "any.example:443", true),
        ("*", "any.example:25", false),
        ("*", "1.1.1.1:443", true),
        ("*", "10.0.0.1:443", false),
        ("*", "[::ffff:127.0.0.1]:80", false),
        ("*:22", "any.example:22", true),
    ] {
        assert_eq!(
            rules(&[entry]).allows(destination),
            expected,
            "{entry} {destination}"
        );
    }
    assert!(!rules(&[]).allows("a.example:443"));
}

#[test]
fn a_name_leads_to_public_and_listed_addresses_only() {
    let public: IpAddr = "1.1.1.1".parse().unwrap();
    let private: IpAddr = "10.0.0.1".parse().unwrap();
    let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    let target = |text: &str| Target::parse(text, None).unwrap();
    let name = target("a.example:443");
    for (entries, asked, address, expected) in [
        (&["a.example"][..], &name, public, true),
        (&["a.example"], &name, private, false),
        (&["a.example"], &name, mapped, false),
        (&["a.example", "10.0.0.1"], &name, private, true),
        (&["a.example", "10.0.0.1"], &name, mapped, true),
        (&["a.example", "10.0.0.1:80"], &name, private, false),
        (&["a.example", "localhost"], &name, loopback, false),
        (&["*"], &target("localhost:443"), loopback, false),
        (&["localhost"], &target("localhost:443"), loopback, true),
        (&["localhost:80"], &target("localhost:443"), loopback, false),
        (&["localhost"], &target("localhost:443"), private, false),
        (&["127.0.0.1"], &target("127.0.0.1:443"), loopback, true),
    ] {
        let rules = rules(entries);
        assert_eq!(
            rules.may_dial(asked, address),
            expected,
            "{entries:?} {asked} {address}"
        );
    }
}

#[test]
fn a_block_allows_its_addresses_and_names_only_into_it() {
    let rules = rules(&["a.example"])
        .with_blocks(&["10.0.0.0/8".to_owned(), "127.0.0.1/32".to_owned()])
        .unwrap();
    let target = |text: &str| Target::parse(text, None).unwrap();
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    for (destination, expected) in [
        ("10.1.2.3:25", true),
        ("[::ffff:10.1.2.3]:25", true),
        ("127.0.0.1:8080", true),
        ("127.0.0.2:8080", false),
        ("1.1.1.1:443", false),
        ("a.example:443", true),
    ] {
        assert_eq!(rules.allows(destination), expected, "{destination}");
    }
    for (asked, to, expected) in [
        ("b.example:25", "10.0.0.1", true),
        ("b.example:25", "1.1.1.1", false),
        ("a.example:443", "1.1.1.1", true),
        ("a.example:25", "1.1.1.1", false),
        ("localhost:25", "127.0.0.1", true),
    ] {
        assert_eq!(
            rules.may_dial(&target(asked), address(to)),
            expected,
            "{asked} {to}"
        );
    }
}

#[test]
fn names_and_blocks_are_told_apart() {
    let rules = rules(&["a.example", "*.b.example:22", "192.0.2.7"])
        .with_blocks(&["10.0.0.0/8".to_owned()])
        .unwrap();
    let named = [
        "a.example",
        "x.b.example",
        "b.example",
        "c.example",
        "192.0.2.7",
    ];
    let allowed = named.map(|name| rules.allows_name(name));
    assert_eq!(allowed, [true, true, false, false, true]);
    let block = |address: &str, length| (address.parse::<IpAddr>().unwrap(), length);
    assert_eq!(
        rules.blocks(),
        [block("192.0.2.7", 32), block("10.0.0.0", 8)]
    );
    let everything = EgressRules::everything();
    assert!(everything.allows_name("a.example"));
    assert_eq!(everything.blocks(), [block("0.0.0.0", 0), block("::", 0)]);
}

#[test]
fn everything_is_everything() {
    let rules = EgressRules::everything();
    let target = Target::parse("a.example:25", None).unwrap();
    for address in ["1.1.1.1", "10.0.0.1", "127.0.0.1", "::1"] {
        assert!(
            rules.may_dial(&target, address.parse().unwrap()),
            "{address}"
        );
    }
    assert!(rules.allows("127.0.0.1:22"));
}

#[test]
fn only_a_written_port_is_explicit() {
    let check =
        |entries: &[&str]| rules(entries).check(&Target::parse("a.example:443", None).unwrap());
    assert_eq!(check(&["b.example"]), None);
    assert_eq!(
        check(&["a.example"]),
        Some(Permit {
            explicit_port: false,
            any_greeting: false,
        })
    );
    assert_eq!(
        check(&["*.example:443", "a.example"]),
        Some(Permit {
            explicit_port: true,
            any_greeting: false,
        })
    );
}

#[test]
fn a_wrong_entry_is_named_with_its_place_and_reason() {
    for (entry, reason) in [
        (
            "https://a.example",
            "give the host alone, without scheme, path or user",
        ),
        (
            "*a.example",
            "a star stands alone for the first label, as in `*.example.com`",
        ),
        ("[::1]:0", "a port is a number from 1 to 65535"),
        ("[::1]:", "a port is a number from 1 to 65535"),
        (
            "[::ffff:10.0.0.1]",
            "write an IPv6 address as `[2001:db8::1]` or `[2001:db8::1]:443`, and IPv4 as IPv4",
        ),
    ] {
        let error = EgressRules::parse(&["ok.example".to_owned(), entry.to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("D-SPEC (egress): entry 2 of the allow-list, `{entry}`, is not a destination")
        );
        assert_eq!(error.reason.to_string(), reason, "{entry}");
    }
    for entry in [
        "",
        "[::1",
        "[::1]x",
        "[fe80::1%eth0]",
        "10.0.0.0/8",
        "127.1",
        "[127.0.0.1]",
    ] {
        assert!(EgressRules::parse(&[entry.to_owned()]).is_err(), "{entry}");
    }
}
