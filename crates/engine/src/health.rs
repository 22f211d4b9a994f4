//! How state and executors are set up, for `doctor`.

use moorline_api::{HealthCheck, HealthReport};
use moorline_core::attempt::{MissingProtection, Protection};

use moorline_store::{StoreHealth, StoreIsolation};

use crate::engine::Inner;

/// Looks at everything that a run needs. Reads only.
pub(crate) async fn report(inner: &Inner) -> HealthReport {
    let mut checks = vec![store(inner).await, stops(inner).await, state(inner)];
    let (mut protections, mut missing) =
        (Vec::<Protection>::new(), Vec::<MissingProtection>::new());
    for (name, executor) in &inner.executors {
        let capabilities = executor.capabilities();
        checks.push(HealthCheck {
            name: format!("executor {name}"),
            ok: true,
            found: match capabilities.missing.len() {
                _ if capabilities.protections.is_empty() => {
                    "gives no protection: production lanes are refused here".to_owned()
                }
                0 => "every protection can be had: production lanes can run here".to_owned(),
                n => format!("{n} protections can not be had: production lanes are refused here"),
            },
            hint: None,
        });
        checks.extend(
            capabilities
                .platform
                .into_iter()
                .map(|(what, found)| HealthCheck {
                    name: format!("{name}: {what}"),
                    ok: true,
                    found,
                    hint: None,
                }),
        );
        if *name == inner.config.default_executor {
            protections = capabilities.protections;
            missing = capabilities.missing;
        }
    }
    HealthReport {
        ok: checks.iter().all(|check| check.ok),
        checks,
        protections,
        missing,
    }
}

async fn store(inner: &Inner) -> HealthCheck {
    let name = "store".to_owned();
    match inner.store.health().await {
        Ok(h) => HealthCheck {
            name,
            ok: true,
            found: match &h.isolation {
                StoreIsolation::Own => setup(&h),
                other => format!("{}, {other}", setup(&h)),
            },
            hint: match h.isolation {
                StoreIsolation::Schema { .. } => Some(
                    "projects are kept apart by this program alone until each has a role"
                        .to_owned(),
                ),
                _ => None,
            },
        },
        Err(error) => HealthCheck {
            name,
            ok: false,
            found: error.to_string(),
            hint: Some("check that the database is there, writable and has room".to_owned()),
        },
    }
}

fn setup(health: &StoreHealth) -> String {
    let StoreHealth {
        engine,
        version,
        schema,
        durability,
        ..
    } = health;
    format!("{engine} {version}, schema {schema}, {durability}")
}

async fn stops(inner: &Inner) -> HealthCheck {
    let name = "stop gate".to_owned();
    match inner.store.stops_list().await {
        Ok(stops) if stops.is_empty() => HealthCheck {
            name,
            ok: true,
            found: "readable, no stop in force".to_owned(),
            hint: None,
        },
        Ok(stops) => {
            let found: Vec<String> = stops.iter().map(ToString::to_string).collect();
            HealthCheck {
                name,
                ok: true,
                found: found.join("; "),
                hint: None,
            }
        }
        Err(error) => HealthCheck {
            name,
            ok: false,
            found: error.to_string(),
            hint: None,
        },
    }
}

fn state(inner: &Inner) -> HealthCheck {
    let root = inner.config.dirs.root();
    let probe = root.join(".writable");
    let written = std::fs::write(&probe, "").and_then(|()| std::fs::remove_file(&probe));
    HealthCheck {
        name: "state directory".to_owned(),
        ok: written.is_ok(),
        found: match &written {
            Ok(()) => format!("{} is writable", root.display()),
            Err(error) => format!("{} is not writable: {error}", root.display()),
        },
        hint: Some("make it writable for this user, or give another with `--state DIR`".to_owned()),
    }
}
