//! What a container sees of the machine, and what it keeps.

use std::fs;

use super::super::Mount;
use super::*;

/// What belongs to the machine's root can be changed inside only where the emulator is run by him.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn writes_stay_in_the_container() {
    let bench = Bench::new();
    let (one, two) = (bench.bare().await, bench.start(spec("other")).await);
    let marker = format!("/usr/moorline-{}", std::process::id());
    let script = format!("echo x > {marker} && cat {marker}");
    assert_eq!(output(&one, &script).await, "x\n");
    if is_root() {
        let script = format!("rm -r /usr/share/doc && chown 33:33 {marker}");
        output(&one, &script).await;
    }
    assert!(!Path::new(&marker).exists());
    let look = format!("ls -d {marker} /usr/share/doc 2>/dev/null || true");
    assert_eq!(output(&two, &look).await, "/usr/share/doc\n");
}

#[tokio::test]
async fn what_is_not_of_the_system_is_hidden() {
    let bench = Bench::new();
    let container = bench.bare().await;
    assert_eq!(
        output(&container, "ls -A /root /home /tmp /mnt").await,
        "/home:\n\n/mnt:\n\n/root:\n\n/tmp:\n"
    );
    let state = bench.path("state");
    let (_, _, exit) = run(&container, &format!("ls {}", state.display())).await;
    assert_eq!(exit, Exit::Code(2));
    let top = output(&container, "ls /").await;
    assert!(!top.contains("work") && top.contains("usr"), "{top}");
    assert!(!output(&container, "cat /etc/shadow").await.contains('$'));
    assert_eq!(
        output(&container, "ls /__modal/.bin").await,
        "modal-sandbox-fs-tools\n"
    );
}

#[tokio::test]
async fn the_machine_can_not_be_changed_from_inside() {
    let bench = Bench::new();
    let container = bench.bare().await;
    for script in [
        "echo x > /proc/sys/kernel/core_pattern",
        "echo h > /proc/sysrq-trigger",
        "chmod 0 /dev/null",
        "touch -d 2001-01-01 /dev/zero",
        "mount -t tmpfs none /mnt",
        "umount /proc",
        "umount /dev",
        "mknod /tmp/disk b 254 0",
        "echo x > /__modal/.bin/modal-sandbox-fs-tools",
        "hostname other",
        "kill -9 1; sleep 0.1; cat /proc/1/environ",
        "cat /proc/kcore | head -c 1 | grep -q .",
    ] {
        let (_, stderr, exit) = run(&container, script).await;
        assert_ne!(exit, Exit::Code(0), "{script}: {stderr}");
    }
    assert_eq!(container.end(), None);
}

#[tokio::test]
async fn directories_files_and_sockets_are_mounted() {
    let bench = Bench::new();
    let volume = bench.path("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(bench.path("file"), "content").unwrap();
    let socket = bench.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mount = |source: &Path, target: &str, read_only| Mount {
        source: source.to_path_buf(),
        target: target.to_owned(),
        read_only,
    };
    let mut spec = spec("mounts");
    spec.mounts = vec![
        mount(&volume, "/mnt/volume", false),
        mount(&volume, "/mnt/same", true),
        mount(&bench.path("file"), "/root/deep/file.txt", true),
        mount(&socket, "/run/emulator.sock", false),
    ];
    let container = bench.start(spec).await;
    let script = "echo written > /mnt/volume/a; cat /mnt/same/a /root/deep/file.txt; test -S /run/emulator.sock";
    assert_eq!(output(&container, script).await, "written\ncontent");
    assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "written\n");
    for script in [
        "echo x > /mnt/same/b",
        "echo x > /root/deep/file.txt",
        "rm /root/deep/file.txt",
    ] {
        assert_ne!(run(&container, script).await.2, Exit::Code(0), "{script}");
    }
}

#[tokio::test]
async fn directories_of_an_interpreter_are_seen_and_written_privately() {
    let hidden = if is_root() { "/root".into() } else { target() };
    let place = tempfile::tempdir_in(hidden).unwrap();
    fs::write(place.path().join("program"), "#!/bin/sh\necho ran\n").unwrap();
    let bench = Bench::with_system(vec![place.path().to_path_buf()]);
    let container = bench.bare().await;
    let at = place.path().display();
    let script = format!("sh {at}/program; echo more > {at}/new; ls -A {at}/..");
    let name = place.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(output(&container, &script).await, format!("ran\n{name}\n"));
    assert!(!place.path().join("new").exists());
    let layer = bench.path("layer");
    container.snapshot(&layer).await.unwrap();
    let mut next = spec("next");
    next.layers = vec![layer];
    let next = bench.start(next).await;
    assert_eq!(
        output(&next, &format!("cat {at}/new; sh {at}/program")).await,
        "more\nran\n"
    );
}

#[tokio::test]
async fn a_layer_made_by_hand_has_its_files_below_root() {
    let bench = Bench::new();
    let layer = bench.path("layer");
    for (path, content) in [("root/hello", "one\n"), ("usr/local/share/hello", "two\n")] {
        let path = layer.join("root").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let mut made = spec("made");
    made.layers = vec![layer];
    let container = bench.start(made).await;
    let script = "cat /root/hello /usr/local/share/hello; test -e /usr/bin/env";
    assert_eq!(output(&container, script).await, "one\ntwo\n");
}

#[tokio::test]
async fn a_snapshot_restores_everything() {
    let bench = Bench::new();
    let container = bench.bare().await;
    let script = "mkdir -p /data/sub && echo one > /data/sub/a && ln -s sub /data/link \
        && chmod 4751 /data/sub/a && echo tmp > /tmp/t && echo home > /root/h && rmdir /mnt";
    output(&container, script).await;
    if is_root() {
        let script = "rm /etc/passwd && rm -r /usr/share/doc && mkdir /usr/share/doc \
            && touch /usr/share/doc/mine && chown 12:34 /data/sub";
        output(&container, script).await;
    }
    let first = bench.path("first");
    container.snapshot(&first).await.unwrap();
    output(&container, "echo later > /data/later").await;

    let mut second = spec("second");
    second.layers = vec![first.clone()];
    let second = bench.start(second).await;
    let look = "cat /data/link/a /tmp/t /root/h; stat -c %a /data/sub/a; ls /data; test ! -e /mnt";
    let expected = "one\ntmp\nhome\n4751\nlink\nsub\n";
    assert_eq!(output(&second, look).await, expected);
    if is_root() {
        let look = "ls /usr/share/doc; stat -c '%u %g' /data/sub; test ! -e /etc/passwd";
        assert_eq!(output(&second, look).await, "mine\n12 34\n");
    }

    // Layers upon layers, and one that is taken without a copy.
    output(&second, "rm /data/sub/a && echo two > /data/sub/b").await;
    assert!(second.into_layer(&bench.path("early")).is_err());
    second.stop(std::time::Duration::ZERO).await;
    let layer = bench.path("second-layer");
    second.into_layer(&layer).unwrap();
    let mut third = spec("third");
    third.layers = vec![layer, first];
    let third = bench.start(third).await;
    assert_eq!(output(&third, "ls /data/sub; cat /tmp/t").await, "b\ntmp\n");
}

#[tokio::test]
async fn a_snapshot_is_of_one_moment() {
    let bench = Bench::new();
    let container = bench.bare().await;
    // Two files that are never equal for long, and whose first is never behind the second.
    let script = "i=0; while :; do i=$((i+1)); echo $i > /tmp/a; echo $i > /tmp/b; [ $i = 50 ] && echo up; done";
    let process = container.exec(shell(script)).await.unwrap();
    process.stdout().reader(0).next().await.unwrap();
    let layer = bench.path("layer");
    container.snapshot(&layer).await.unwrap();
    let number = |name: &str| -> i64 {
        let text = fs::read_to_string(layer.join("root/tmp").join(name)).unwrap();
        text.trim().parse().unwrap_or(-1)
    };
    let (a, b) = (number("a"), number("b"));
    assert!(a == -1 || b == -1 || (0..=1).contains(&(a - b)), "{a} {b}");
    // And the process runs on.
    assert_eq!(process.exit(), None);
    // A file is empty for moments, so one look would not do.
    let script = "a=$(cat /tmp/a); for i in 1 2 3 4 5 6 7 8 9; do sleep 0.02; \
        test \"$a\" = \"$(cat /tmp/a)\" || exit 0; done; exit 1";
    assert_eq!(run(&container, script).await.2, Exit::Code(0));
}

#[tokio::test]
async fn a_directory_is_copied_shown_and_taken_back() {
    let bench = Bench::new();
    let container = bench.bare().await;
    output(
        &container,
        "mkdir /data && echo one > /data/a && ln -s /etc /data/link",
    )
    .await;
    let copy = bench.path("copy");
    container.snapshot_directory("/data", &copy).await.unwrap();
    assert_eq!(fs::read_to_string(copy.join("a")).unwrap(), "one\n");

    let other = bench.start(spec("other")).await;
    let sleeper = other.exec(command(&["sleep", "1000"])).await.unwrap();
    other.mount_directory("/seen/here", &copy).await.unwrap();
    assert_eq!(
        output(
            &other,
            "cat /seen/here/a; echo two > /seen/here/a; cat /seen/here/a"
        )
        .await,
        "one\ntwo\n"
    );
    assert_eq!(fs::read_to_string(copy.join("a")).unwrap(), "one\n");
    let again = bench.path("again");
    other
        .snapshot_directory("/seen/here", &again)
        .await
        .unwrap();
    assert_eq!(fs::read_to_string(again.join("a")).unwrap(), "two\n");
    other.unmount_directory("/seen/here").await.unwrap();
    assert_eq!(output(&other, "ls /seen/here").await, "");
    assert!(other.unmount_directory("/seen/here").await.is_err());
    assert!(other.unmount_directory("/proc").await.is_err());
    assert!(
        other
            .snapshot_directory("/nowhere", &bench.path("x"))
            .await
            .is_err()
    );
    assert_eq!(sleeper.exit(), None);
}
