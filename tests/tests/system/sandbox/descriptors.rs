//! A job has standard input, output and error, and nothing that leads to who started it.

use super::range::Range;
use super::trial::{Job, Trial, User, directly, expect};

const COUNT: usize = 3;

#[test]
fn no_descriptor_is_left_open_and_no_report_can_be_forged() {
    let range = Range::new(User::Own);
    let trial = Trial::new(User::Own);
    let job = Job::new(
        &["descriptors.py"],
        range.targets(&trial.moorline.state_dir(), &[]),
    );
    let forged = trial.moorline.work_dir().join("forged");
    // A file as standard input, and another that stands for the socket of process 1.
    let open = format!("exec 0</etc/passwd 7>'{}'; exec \"$@\"", forged.display());
    let control = directly(&["sh", "-c", &open, "sh"], &job);
    assert_eq!(
        expect("with descriptors left open", &control, |_| true),
        COUNT
    );
    let written = std::fs::read(forged).unwrap();
    assert!(
        written.ends_with(b"}}") && written.len() > 20,
        "the forged report has arrived"
    );

    for user in [User::Own, User::Nobody] {
        let trial = Trial::new(user);
        // Started by something that is as careless with its own descriptors as a shell or `make` can be.
        let careless = ["sh", "-c", "exec 8</etc/passwd 9</; exec \"$@\"", "sh"];
        let ran = trial.run_after(&careless, &job);
        assert_eq!(
            expect("in the sandbox", &ran.told, |_| false),
            COUNT,
            "{ran}"
        );
        assert_eq!(
            ran.summary["failure"]["exit_code"], 7,
            "the report is not that of the job: {ran}"
        );
    }
}
