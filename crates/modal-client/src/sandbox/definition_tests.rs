use moorline_modal_proto::client::{SecretSource, StringMap, secret_source};

use super::super::secret::SecretRef;
use super::super::spec::Gpu;
use super::*;
use crate::secrets::SecretValues;

fn spec() -> SandboxSpec {
    SandboxSpec::new("ap-1", "im-1")
}

fn refused(spec: &SandboxSpec) -> String {
    spec.to_create_v2().unwrap_err().to_string()
}

#[test]
fn the_least_spec_gives_the_least_request() {
    let request = spec().command(["echo", "hi"]).to_create_v2().unwrap();
    let definition = Definition {
        entrypoint_args: vec!["echo".into(), "hi".into()],
        image_id: "im-1".into(),
        resources: Some(ResourcesMessage {
            gpu_config: Some(GpuConfig::default()),
            ..ResourcesMessage::default()
        }),
        timeout_secs: 300,
        open_ports_oneof: Some(sandbox::OpenPortsOneof::OpenPorts(PortSpecs::default())),
        network_access: Some(Egress::Open.to_proto()),
        ..Definition::default()
    };
    let expected = SandboxCreateV2Request {
        app_id: "ap-1".into(),
        definition: Some(definition),
        ..SandboxCreateV2Request::default()
    };
    assert_eq!(request, expected);
}

fn full_spec() -> SandboxSpec {
    let spec = SandboxSpec {
        resources: Resources {
            cpu: Some(0.5),
            cpu_limit: Some(2.0),
            memory_mib: Some(128),
            memory_limit_mib: Some(256),
            gpu: Some("a100:2".parse().unwrap()),
        },
        regions: vec!["eu".into()],
        cloud: Some("aws".into()),
        memory_snapshots: true,
        inbound_cidrs: vec!["10.0.0.0/8".into()],
        experimental: [("fast".to_owned(), "1".to_owned())].into(),
        ..spec()
    };
    spec.name("worker-1")
        .tag("owner", "me")
        .secret(SecretRef::Id("st-1".into()))
        .secret(SecretRef::Inline([("A".to_owned(), "1".into())].into()))
        .secret(SecretRef::Inline(SecretValues::new()))
        .env("B", "2")
        .timeout(Duration::from_millis(1500))
        .idle_timeout(Duration::from_secs(9))
        .workdir("/work")
        .volume(VolumeAt::new("vo-1", "/data").read_only().sub_path("x"))
        .mount("mo-1")
        .egress(Egress::AllowList {
            cidrs: vec![],
            domains: vec!["*.github.com".into()],
        })
        .port(Port::Tls(1))
        .port(Port::Http2(2))
        .port(Port::Tcp(3))
        .readiness(Probe::Tcp {
            port: 8080,
            interval: Duration::from_millis(100),
        })
}

fn full_definition(spec: &SandboxSpec) -> Definition {
    let port = |port, unencrypted, tunnel_type| PortSpec {
        port,
        unencrypted,
        tunnel_type,
    };
    Definition {
        mount_ids: vec!["mo-1".into()],
        image_id: "im-1".into(),
        secret_ids: vec!["st-1".into()],
        resources: Some(ResourcesMessage {
            memory_mb: 128,
            memory_mb_max: 256,
            milli_cpu: 500,
            milli_cpu_max: 2000,
            gpu_config: Some(GpuConfig {
                gpu_type: "A100".into(),
                count: 2,
                ..GpuConfig::default()
            }),
            ..ResourcesMessage::default()
        }),
        timeout_secs: 2,
        workdir: Some("/work".into()),
        volume_mounts: vec![VolumeMount {
            volume_id: "vo-1".into(),
            mount_path: "/data".into(),
            allow_background_commits: true,
            read_only: true,
            sub_path: Some("x".into()),
        }],
        scheduler_placement: Some(SchedulerPlacement {
            regions: vec!["eu".into()],
            ..SchedulerPlacement::default()
        }),
        open_ports_oneof: Some(sandbox::OpenPortsOneof::OpenPorts(PortSpecs {
            ports: vec![
                port(1, false, None),
                port(2, false, Some(1)),
                port(3, true, None),
            ],
        })),
        network_access: Some(spec.egress.to_proto()),
        enable_snapshot: true,
        cloud_provider_str: "aws".into(),
        name: Some("worker-1".into()),
        idle_timeout_secs: Some(9),
        readiness_probe: Some(ProbeMessage {
            interval_ms: Some(100),
            probe_oneof: Some(probe::ProbeOneof::TcpPort(8080)),
        }),
        inbound_cidr_allowlist: vec!["10.0.0.0/8".into()],
        experimental_options_v2: [("fast".to_owned(), "1".to_owned())].into(),
        ..Definition::default()
    }
}

#[test]
fn every_part_of_a_spec_is_in_the_request() {
    let spec = full_spec();
    assert!(spec.is_v1(), "it has a GPU");
    let env = |name: &str, value: &str| SecretSource {
        source: Some(secret_source::Source::Env(StringMap {
            contents: [(name.to_owned(), value.to_owned())].into(),
        })),
    };
    let expected = SandboxCreateV2Request {
        app_id: "ap-1".into(),
        definition: Some(full_definition(&spec)),
        tags: vec![SandboxTag {
            tag_name: "owner".into(),
            tag_value: "me".into(),
        }],
        secret_sources: vec![
            SecretSource {
                source: Some(secret_source::Source::SecretId("st-1".into())),
            },
            env("A", "1"),
            env("B", "2"),
        ],
        ..SandboxCreateV2Request::default()
    };
    assert_eq!(spec.to_create_v2().unwrap(), expected);
    let ids = vec!["st-1".to_owned(), "st-2".to_owned()];
    let first = spec.to_create_v1(ids.clone()).unwrap();
    let definition = Definition {
        secret_ids: ids,
        ..full_definition(&spec)
    };
    assert_eq!(first.definition, Some(definition));
}

#[test]
fn the_values_of_variables_are_not_shown() {
    let inline = SecretRef::Inline([("A".to_owned(), "canary".into())].into());
    let shown = format!("{:?}", spec().env("B", "canary").secret(inline));
    assert!(
        shown.contains("\"B\"") && !shown.contains("canary"),
        "{shown}"
    );
}

#[test]
fn what_the_server_would_refuse_is_told_before() {
    let limits = Resources {
        memory_mib: Some(2),
        memory_limit_mib: Some(1),
        ..Resources::default()
    };
    let twice = spec()
        .volume(VolumeAt::new("vo-1", "/a"))
        .volume(VolumeAt::new("vo-1", "/b"));
    let probe = Probe::Exec {
        command: vec![],
        interval: Duration::ZERO,
    };
    let cases = [
        (
            spec().command(["x".repeat(MAX_COMMAND + 1)]),
            "bytes of at most 65536",
        ),
        (spec().command(["a\0b"]), "NUL"),
        (spec().name("a b"), "sandbox name"),
        (spec().tag("a", "b c"), "is not a tag"),
        (spec().env("1A", "x"), "environment variable"),
        (spec().workdir("work"), "not absolute"),
        (spec().timeout(Duration::ZERO), "timeout is 0"),
        (
            spec().egress(Egress::Blocked).port(Port::Tls(80)),
            "has no tunnels",
        ),
        (
            spec().volume(VolumeAt::new("vo-1", "/tmp")),
            "can not hold a volume",
        ),
        (
            spec().volume(VolumeAt::new("vo-1", "/a/../b")),
            "can not hold a volume",
        ),
        (
            spec().volume(VolumeAt::new("vo-1", "/")),
            "can not hold a volume",
        ),
        (twice, "a path one volume"),
        (
            spec().resources(Resources {
                cpu: Some(-1.0),
                ..Resources::default()
            }),
            "CPU cores",
        ),
        (spec().resources(limits), "memory limit"),
        (spec().readiness(probe), "no command"),
    ];
    for (spec, said) in cases {
        let error = refused(&spec);
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_gpu_is_read_from_text() {
    assert_eq!(
        "h100".parse::<Gpu>().unwrap(),
        Gpu {
            kind: "H100".into(),
            count: 1
        }
    );
    let gpu = Gpu {
        kind: "A100-80GB".into(),
        count: 4,
    };
    assert_eq!("A100-80GB:4".parse::<Gpu>().unwrap(), gpu);
    for text in ["", ":1", "T4:0", "T4:x"] {
        assert!(text.parse::<Gpu>().is_err(), "{text}");
    }
}
