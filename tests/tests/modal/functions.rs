//! Functions: calls, classes, web functions, schedules, with the official Python client and tool.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use moorline_testkit::{process, wait};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Emu, python, scenarios};

/// `.remote`, `.spawn`, `.map` over 1,000 inputs, generators, exceptions with their type, blobs, retries,
/// timeouts, cancellation, a crash, nested calls.
#[test]
fn functions_are_called_in_every_way_and_each_input_is_taken_once() {
    let emu = Emu::start();
    let ran = emu.python("functions/calls.py", &[""; 0]);
    assert!(ran.stdout.contains("calls: ok"), "{ran:#?}");
    let accepted = emu.effects("input.accept");
    let mut inputs: Vec<&str> = accepted
        .iter()
        .map(|effect| effect.subject.as_str())
        .collect();
    inputs.sort_unstable();
    inputs.dedup();
    assert_eq!(inputs.len(), accepted.len());
    emu.stop();
}

#[test]
fn classes_have_parameters_and_a_life_cycle_and_inputs_share_containers() {
    let emu = Emu::start();
    let ran = emu.python("functions/classes.py", &[""; 0]);
    assert!(ran.stdout.contains("classes: ok"), "{ran:#?}");
    emu.stop();
}

/// Volumes, secrets, files, image settings, a network that is cut off, its own ids.
#[test]
fn a_function_finds_its_surroundings() {
    let emu = Emu::start();
    let ran = emu.python("functions/surroundings.py", &[""; 0]);
    assert!(ran.stdout.contains("surroundings: ok"), "{ran:#?}");
    emu.stop();
}

#[test]
fn web_functions_answer_http_and_websockets() {
    let emu = Emu::start();
    let ran = emu.python("functions/web.py", &[""; 0]);
    assert!(ran.stdout.contains("web: ok"), "{ran:#?}");
    emu.stop();
}

#[test]
fn a_deployed_app_is_found_by_name_and_its_schedules_fire_across_a_redeploy() {
    let emu = Emu::start();
    let ran = emu.python("functions/deployed.py", &[""; 0]);
    assert!(ran.stdout.contains("deployed: ok"), "{ran:#?}");
    assert!(emu.effects("schedule.fire").len() >= 3);
    emu.stop();
}

/// Whatever is lost on the way, the official client's attempts are one call each.
#[test]
fn lost_answers_do_not_repeat_calls() {
    let emu = Emu::start();
    emu.faults(
        r#"[
            {"rpc":"FunctionMap","nth":1,"kind":"fail_after","code":14},
            {"rpc":"FunctionGetInputs","nth":1,"kind":"fail_after","code":14},
            {"rpc":"FunctionPutOutputs","nth":1,"kind":"fail_after","code":14},
            {"rpc":"FunctionGetOutputs","nth":1,"kind":"fail_after","code":14},
            {"rpc":"FunctionPutInputs","nth":1,"kind":"fail_after","code":14}
        ]"#,
    );
    let script = scenarios().join("functions/cli.py");
    let script = format!("{}::main", script.display());
    let ran = emu.modal(&["run", &script, "--x", "9"]);
    assert!(
        ran.stdout.contains("computing 9") && ran.stdout.contains("result: 81"),
        "{ran:#?}"
    );
    assert_eq!(emu.effects("call.create").len(), 1);
    assert_eq!(emu.effects("input.accept").len(), 1);
    assert_eq!(emu.effects("output.accept").len(), 1);
    emu.stop();
}

#[test]
fn an_app_is_run_deployed_and_served_from_the_command_line() {
    let emu = Emu::start();
    let script = scenarios().join("functions/cli.py").display().to_string();
    let ran = emu.modal(&["deploy", &script]);
    assert!(ran.stdout.contains("http://127.0.0.1:"), "{ran:#?}");
    let ran = emu.modal(&["run", &format!("{script}::square"), "--x", "4"]);
    assert!(ran.stdout.contains("computing 4"), "{ran:#?}");

    let mut command = emu.command(&python());
    command
        .args(["-m", "modal", "serve", &script])
        .env("PYTHONUNBUFFERED", "1");
    let mut serving = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(serving.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let address = |line: String| {
        let url = line
            .split("http://")
            .nth(1)?
            .split_whitespace()
            .next()?
            .to_owned();
        // The app's page has a path; the function's address has none.
        (!url.contains('/')).then_some(url)
    };
    // The pipe stays open: a tool that can not print ends.
    let address = lines.find_map(address).unwrap();
    // The address is shown before the app is up.
    let up = wait::until(Duration::from_secs(20), "the served function", || {
        get(&address).ends_with("\"served\"")
    });
    assert!(up.is_ok());
    kill_process(Pid::from_child(&serving), Signal::INT).unwrap();
    let ended = wait::until(Duration::from_secs(20), "the end of `modal serve`", || {
        serving.try_wait().unwrap().is_some()
    });
    assert!(ended.is_ok());
    assert!(
        TcpStream::connect(&address).is_err(),
        "its port is closed with the app"
    );
    emu.stop();
}

#[test]
fn a_deployed_app_is_there_again_with_its_address_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let start = || Emu::start_with(|options| options.state = Some(state.path().to_owned()));
    let emu = start();
    let script = scenarios().join("functions/cli.py").display().to_string();
    emu.modal(&["deploy", &script]);
    let before = emu.python("functions/again.py", &[""; 0]).stdout;
    emu.stop();
    let emu = start();
    assert_eq!(emu.python("functions/again.py", &[""; 0]).stdout, before);
    emu.stop();
}

fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn stopping_the_emulator_leaves_no_process_of_a_function() {
    let emu = Emu::start();
    emu.python("functions/waiting.py", &["begin"]);
    let tasks: Vec<String> = emu
        .effects("container.start")
        .into_iter()
        .map(|effect| effect.subject)
        .collect();
    assert!(!tasks.is_empty() && tasks.iter().any(|task| is_running(task)));
    emu.stop();
    assert!(!tasks.iter().any(|task| is_running(task)));
}

#[test]
fn inputs_of_a_preempted_container_run_again_in_another_one() {
    let emu = Emu::start();
    let ran = emu.python("functions/waiting.py", &["preempt"]);
    let call = ran.stdout.lines().next().unwrap();
    let started = emu.effects("container.start");
    let task = &started.last().unwrap().subject;
    let url = emu.emulator().url();
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let path = format!("/emulator/preempt/{task}");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    emu.python("functions/waiting.py", &["result", call]);
    assert_eq!(emu.effects("output.accept").len(), 1);
    emu.stop();
}

/// Whether a process has the task id in its environment.
fn is_running(task: &str) -> bool {
    !process::matching(&format!("MODAL_TASK_ID={task}"))
        .unwrap()
        .is_empty()
}
