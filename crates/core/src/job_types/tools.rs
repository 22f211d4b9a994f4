//! Tool permissions: that the steps of a spec keep to what its lane and it permit together.

use crate::lane::Lane;
use crate::spec::{Arg, Egress, HostRule, JobSpec, Permission, ToolPermissions, Violation};

/// The rule.
const RULE: &str = "D-JOB-3a";

/// Hosts that packages are installed from. A list of what is usual, not of all that there is: whoever runs a
/// registry of their own keeps it out of egress lists by review.
const REGISTRIES: [&str; 17] = [
    "pypi.org",
    "files.pythonhosted.org",
    "test.pypi.org",
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "crates.io",
    "index.crates.io",
    "static.crates.io",
    "rubygems.org",
    "proxy.golang.org",
    "repo.maven.apache.org",
    "repo1.maven.org",
    "conda.anaconda.org",
    "deb.debian.org",
    "archive.ubuntu.com",
    "dl-cdn.alpinelinux.org",
    "packages.microsoft.com",
];

/// Programs that read commands.
const SHELLS: [&str; 9] = [
    "sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "busybox", "pwsh",
];

/// Everything in the steps of a spec that needs a tool which lane and spec together do not permit (D-JOB-3).
///
/// What can be seen in a document is refused here: a step that installs, an egress list with a package
/// registry or without bounds, a command that is a shell. What a program does inside its sandbox is not
/// seen: there `edit`, `read` and `grep` are what the sandbox shows, and a `restricted` shell is told to the
/// job and not enforced.
///
/// `tools` is what lane and spec permit together: `LaneSettings::tools_of`.
pub fn check(spec: &JobSpec, lane: &Lane, tools: &ToolPermissions) -> Vec<Violation> {
    let mut found = Vec::new();
    for step in spec.effective_steps() {
        let pointer = format!("/steps/{}", step.index);
        let mut refuse = |field: &str, message: String, hint: &str| {
            let place = format!("{pointer}/{field}");
            found.push(Violation::new(place, RULE, message).with_hint(hint));
        };
        if tools.install_dependencies == Some(Permission::Forbidden) {
            if step.step.installs_dependencies {
                let message = format!("installing dependencies is forbidden in lane `{lane}`");
                refuse("installs_dependencies", message, "install into the image");
            }
            if let Some(registry) = registry_within(step.egress) {
                let message = format!(
                    "reaches the package registry {registry}, and installing dependencies is forbidden in \
                     lane `{lane}`"
                );
                refuse(
                    "egress",
                    message,
                    "name the hosts that the job needs, and no registry",
                );
            }
        }
        match tools.web_fetch {
            Some(Permission::Forbidden) if *step.egress != Egress::None => {
                let message = format!("reading from the web is forbidden in lane `{lane}`");
                refuse("egress", message, "`\"egress\": \"none\"`");
            }
            Some(Permission::Restricted) if step.egress.is_unbounded() => {
                let message = format!("reading from the web is restricted in lane `{lane}`");
                refuse(
                    "egress",
                    message,
                    "`{\"allow\": […]}` with the hosts that the job needs",
                );
            }
            _ => {}
        }
        if tools.shell == Some(Permission::Forbidden) && is_shell(&step.step.argv) {
            let message = format!("running a shell is forbidden in lane `{lane}`");
            refuse(
                "argv",
                message,
                "name the program itself, with its arguments",
            );
        }
    }
    found
}

/// The first package registry that a rule lets a step reach, where it does not reach everything.
fn registry_within(egress: &Egress) -> Option<&'static str> {
    if *egress == Egress::Open {
        return Some("pypi.org (and every other)");
    }
    let rules: Vec<HostRule> = egress.host_rules().unwrap_or_default();
    REGISTRIES.into_iter().find(|registry| {
        let reaches = |port| rules.iter().any(|rule| rule.matches(registry, port));
        reaches(443) || reaches(80)
    })
}

/// Whether the command is a shell, by its own name or behind `env`.
fn is_shell(argv: &[Arg]) -> bool {
    let names = argv.iter().map(|arg| {
        let text = arg.as_str().unwrap_or_default();
        text.rsplit('/').next().unwrap_or(text).to_owned()
    });
    let mut words = names.skip_while(|name| name == "env" || name.contains('='));
    words
        .next()
        .is_some_and(|name| SHELLS.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;

    const STRICT: ToolPermissions = ToolPermissions {
        edit: None,
        read: None,
        grep: None,
        shell: Some(Permission::Forbidden),
        install_dependencies: Some(Permission::Forbidden),
        web_fetch: Some(Permission::Restricted),
    };

    fn places(step: &str, tools: &ToolPermissions) -> Vec<String> {
        let text = format!(r#"{{"job_id": "j", "steps": [{{"name": "a", {step}}}]}}"#);
        let spec = spec::load(text.as_bytes()).unwrap();
        let found = check(&spec, &Lane::PROD, tools);
        found
            .into_iter()
            .map(|violation| violation.pointer)
            .collect()
    }

    #[test]
    fn what_is_not_permitted_is_refused_where_it_stands() {
        let cases = [
            (r#""argv": ["python3", "run.py"]"#, vec![]),
            (r#""argv": ["/bin/sh", "-c", "x"]"#, vec!["/steps/0/argv"]),
            (r#""argv": ["env", "A=b", "bash"]"#, vec!["/steps/0/argv"]),
            (r#""argv": ["./shell"]"#, vec![]),
            (
                r#""argv": ["x"], "installs_dependencies": true"#,
                vec!["/steps/0/installs_dependencies"],
            ),
            (
                r#""argv": ["x"], "egress": {"allow": ["*.pythonhosted.org"]}"#,
                vec!["/steps/0/egress"],
            ),
            (
                r#""argv": ["x"], "egress": {"allow": ["crates.io:22"]}"#,
                vec![],
            ),
            (
                r#""argv": ["x"], "egress": "open""#,
                vec!["/steps/0/egress", "/steps/0/egress"],
            ),
        ];
        for (step, wanted) in cases {
            assert_eq!(places(step, &STRICT), wanted, "{step}");
            assert_eq!(places(step, &ToolPermissions::default()), [""; 0], "{step}");
        }
    }

    #[test]
    fn forbidden_web_leaves_no_egress_at_all() {
        let tools = ToolPermissions {
            web_fetch: Some(Permission::Forbidden),
            ..ToolPermissions::default()
        };
        let list = r#""argv": ["x"], "egress": {"allow": ["api.example.com"]}"#;
        assert_eq!(places(list, &tools), ["/steps/0/egress"]);
        assert_eq!(
            places(r#""argv": ["x"], "egress": "none""#, &tools),
            [""; 0]
        );
    }
}
