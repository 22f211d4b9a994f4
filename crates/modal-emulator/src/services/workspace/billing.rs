//! Bills: what containers cost, by the seconds that they ran.
//!
//! Prices are the fault plan's ([`Rates`]), so that a test can make a second dear. What is billed is the app;
//! volumes, network and the free credits of real plans cost nothing here.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use futures::stream;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use moorline_modal_proto::client::{
    EnvironmentBillingSummaryRequest, EnvironmentBillingSummaryResponse,
    WorkspaceBillingRatesRequest, WorkspaceBillingRatesResponse, WorkspaceBillingReportItem,
    WorkspaceBillingReportRequest, WorkspaceBillingSummaryRequest, WorkspaceBillingSummaryResponse,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::call::Call;
use crate::clock;
use crate::faults::Rates;
use crate::routes::{Answers, Rpcs};
use crate::services::{apps, environments};
use crate::world::World;

/// Name of what a container's seconds are billed as.
const CONTAINER: &str = "Container";

/// What ran and has ended.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    used: Vec<Used>,
}

/// One container's time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Used {
    app_id: String,
    description: String,
    environment: String,
    tags: BTreeMap<String, String>,
    /// Type and number of its GPUs.
    gpu: Option<(String, u32)>,
    /// Seconds since 1970.
    from: f64,
    to: f64,
}

impl Used {
    /// Seconds within a span.
    fn seconds(&self, span: &Range<f64>) -> f64 {
        (self.to.min(span.end) - self.from.max(span.start)).max(0.0)
    }

    /// Dollars within a span, by resource.
    fn cost(&self, span: &Range<f64>, rates: &Rates) -> Vec<(String, f64)> {
        let seconds = self.seconds(span);
        if seconds <= 0.0 {
            return Vec::new();
        }
        let mut cost = vec![(CONTAINER.to_owned(), seconds * rates.container_second)];
        if let Some((gpu, count)) = &self.gpu {
            cost.push((
                format!("GPU {gpu}"),
                seconds * f64::from(*count) * rates.gpu_second,
            ));
        }
        cost
    }
}

/// Moves containers that ended from the registry of tasks to the ledger.
pub(crate) fn settle(world: &World) {
    let ended = world.running.take_ended();
    if ended.is_empty() {
        return;
    }
    let used: Vec<Used> = ended
        .into_iter()
        .filter_map(|span| used(world, span))
        .collect();
    world.workspace.write().billing.used.extend(used);
}

fn used(world: &World, span: crate::services::tasks::Span) -> Option<Used> {
    let app = apps::describe(world, &span.app_id)?;
    // The SDKs name an empty one where none is wanted.
    let gpu = span.gpu.filter(|gpu| !gpu.gpu_type.is_empty());
    Some(Used {
        app_id: app.id,
        description: app.description,
        environment: app.environment,
        tags: app.tags,
        gpu: gpu.map(|gpu| (gpu.gpu_type, gpu.count.max(1))),
        from: span.started_at,
        to: span.finished_at,
    })
}

/// Everything so far: what has ended, and what runs, as if it ended now.
fn all(world: &World) -> Vec<Used> {
    settle(world);
    let mut all = world.workspace.read().billing.used.clone();
    let now = clock::seconds();
    let running = world.running.spans().into_iter().map(|mut span| {
        span.finished_at = now;
        span
    });
    all.extend(running.filter_map(|span| used(world, span)));
    all
}

/// Containers that run, in one environment or in all.
pub(crate) fn running(world: &World, environment: Option<&str>) -> usize {
    let there = |app_id: &str| {
        let app = apps::describe(world, app_id);
        environment.is_none_or(|name| app.is_some_and(|app| app.environment == name))
    };
    world
        .running
        .running()
        .iter()
        .filter(|(_, _, app_id)| there(app_id))
        .count()
}

/// Dollars that an environment has cost since the month (UTC) began.
pub(crate) fn month_of_environment(world: &World, environment: &str) -> f64 {
    sum(world, Some(environment), &month(Timestamp::now()))
        .values()
        .sum()
}

/// Whether something may still be started in an environment, by name.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` when the month's budget of the environment or the workspace is spent.
pub(crate) fn check_spend(world: &World, environment: &str) -> Result<(), Status> {
    let budget = environments::get(world, environment)?.budget;
    let limit = world.faults.limits().spend_dollars;
    let over = |limit: Option<f64>, environment: Option<&str>| {
        limit.is_some_and(|limit| {
            let spent: f64 = sum(world, environment, &month(Timestamp::now()))
                .values()
                .sum();
            spent >= limit
        })
    };
    if over(budget, Some(environment)) {
        let text = format!("the spend limit of environment '{environment}' is reached");
        return Err(Status::resource_exhausted(text));
    }
    if over(limit, None) {
        return Err(Status::resource_exhausted(
            "the spend limit of the workspace is reached",
        ));
    }
    Ok(())
}

/// Follows a new name of an environment.
pub(crate) fn rename_environment(world: &World, old: &str, new: &str) {
    for used in &mut world.workspace.write().billing.used {
        if used.environment == old {
            new.clone_into(&mut used.environment);
        }
    }
}

/// Dollars within a span, by resource.
fn sum(world: &World, environment: Option<&str>, span: &Range<f64>) -> BTreeMap<String, f64> {
    let rates = world.faults.limits().rates;
    let mut sums = BTreeMap::new();
    for used in all(world) {
        if environment.is_some_and(|name| used.environment != name) {
            continue;
        }
        for (resource, dollars) in used.cost(span, &rates) {
            *sums.entry(resource).or_insert(0.0) += dollars;
        }
    }
    sums
}

/// The month (UTC) of a time.
fn month(time: Timestamp) -> Range<f64> {
    let first = time.to_zoned(TimeZone::UTC).first_of_month();
    let seconds = |time: jiff::Zoned| time.timestamp().as_duration().as_secs_f64();
    let begin = first.and_then(|first| first.start_of_day());
    let end = begin.clone().and_then(|begin| begin.checked_add(1.month()));
    match (begin, end) {
        (Ok(begin), Ok(end)) => seconds(begin)..seconds(end),
        // Beyond the year 9999.
        _ => 0.0..f64::INFINITY,
    }
}

/// Dollars as decimal text.
fn dollars(amount: f64) -> String {
    // An empty sum is -0.
    let text = format!("{:.12}", amount + 0.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

fn breakdown(sums: &BTreeMap<String, f64>) -> std::collections::HashMap<String, String> {
    sums.iter()
        .map(|(resource, amount)| (resource.clone(), dollars(*amount)))
        .collect()
}

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.stream("WorkspaceBillingReport", report);
    rpcs.read("WorkspaceBillingSummary", summary);
    rpcs.read("WorkspaceBillingRates", rates);
    rpcs.read("EnvironmentBillingSummary", environment_summary);
}

fn cycle(start: Option<prost_types::Timestamp>) -> Result<Range<f64>, Status> {
    let time = match clock::from_message(start.as_ref()) {
        None => Timestamp::now(),
        Some(seconds) => {
            let time = jiff::SignedDuration::try_from_secs_f64(seconds);
            let time = time.and_then(Timestamp::from_duration);
            time.map_err(|_| Status::invalid_argument("`start_timestamp` is out of range"))?
        }
    };
    Ok(month(time))
}

async fn summary(
    world: Arc<World>,
    call: Call<WorkspaceBillingSummaryRequest>,
) -> Result<WorkspaceBillingSummaryResponse, Status> {
    let span = cycle(call.message.start_timestamp)?;
    let sums = sum(&world, None, &span);
    let cost = dollars(sums.values().sum());
    Ok(WorkspaceBillingSummaryResponse {
        start_timestamp: Some(clock::message(span.start)),
        end_timestamp: Some(clock::message(span.end)),
        metered_cost: cost.clone(),
        billed_cost: cost,
        metered_cost_breakdown: breakdown(&sums),
        ..WorkspaceBillingSummaryResponse::default()
    })
}

async fn environment_summary(
    world: Arc<World>,
    call: Call<EnvironmentBillingSummaryRequest>,
) -> Result<EnvironmentBillingSummaryResponse, Status> {
    let EnvironmentBillingSummaryRequest {
        start_timestamp,
        environment_id,
    } = call.message;
    let name = environments::name_of(&world, &environment_id)?;
    let span = cycle(start_timestamp)?;
    let sums = sum(&world, Some(&name), &span);
    Ok(EnvironmentBillingSummaryResponse {
        start_timestamp: Some(clock::message(span.start)),
        end_timestamp: Some(clock::message(span.end)),
        metered_cost: dollars(sums.values().sum()),
        metered_cost_breakdown: breakdown(&sums),
    })
}

async fn rates(
    world: Arc<World>,
    _: Call<WorkspaceBillingRatesRequest>,
) -> Result<WorkspaceBillingRatesResponse, Status> {
    let rates = world.faults.limits().rates;
    let all = [
        ("container", rates.container_second),
        ("gpu", rates.gpu_second),
    ];
    let line = |(name, price): (&str, f64)| format!("{name}: ${} a second\n", dollars(price));
    Ok(WorkspaceBillingRatesResponse {
        rates: all
            .iter()
            .map(|(name, price)| ((*name).to_owned(), dollars(*price)))
            .collect(),
        formatted: all.into_iter().map(line).collect(),
        ..WorkspaceBillingRatesResponse::default()
    })
}

async fn report(
    world: Arc<World>,
    call: Call<WorkspaceBillingReportRequest>,
) -> Result<Answers<WorkspaceBillingReportItem>, Status> {
    let request = call.message;
    let width = match request.resolution.as_str() {
        "d" | "" => 86_400.0,
        "h" => 3_600.0,
        other => {
            let text = format!("`resolution` is \"d\" or \"h\", not {other:?}");
            return Err(Status::invalid_argument(text));
        }
    };
    let start = clock::from_message(request.start_timestamp.as_ref())
        .ok_or_else(|| Status::invalid_argument("`start_timestamp` is missing"))?;
    let end = clock::from_message(request.end_timestamp.as_ref()).unwrap_or_else(clock::seconds);
    let environments: Vec<String> = request
        .environment_ids
        .iter()
        .map(|id| environments::name_of(&world, id))
        .collect::<Result<_, _>>()?;
    let wanted = |used: &Used| {
        (environments.is_empty() || environments.contains(&used.environment))
            && (request.app_ids.is_empty() || request.app_ids.contains(&used.app_id))
    };
    let rates = world.faults.limits().rates;
    let used: Vec<Used> = all(&world).into_iter().filter(wanted).collect();
    let first = (start / width).floor() * width;
    let items = rows(&used, first..end, width, &rates, &request.tag_names);
    Ok(Box::pin(stream::iter(items.into_iter().map(Ok))))
}

/// One row for each app and whole interval in which it cost something, oldest first.
fn rows(
    used: &[Used],
    span: Range<f64>,
    width: f64,
    rates: &Rates,
    tag_names: &[String],
) -> Vec<WorkspaceBillingReportItem> {
    let mut costs: BTreeMap<(u64, &str), BTreeMap<String, f64>> = BTreeMap::new();
    let mut seen: BTreeMap<&str, &Used> = BTreeMap::new();
    for one in used {
        // The intervals that it touches.
        let mut at = (one.from / width).floor() * width;
        while at < one.to {
            if at >= span.start && at + width <= span.end {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "whole seconds since 1970"
                )]
                let key = (at as u64, one.app_id.as_str());
                for (resource, dollars) in one.cost(&(at..at + width), rates) {
                    *costs.entry(key).or_default().entry(resource).or_insert(0.0) += dollars;
                }
            }
            at += width;
        }
        seen.insert(&one.app_id, one);
    }
    let every = tag_names.iter().any(|name| name == "*");
    let row = |((at, app_id), sums): ((u64, &str), BTreeMap<String, f64>)| {
        let app = seen.get(app_id)?;
        let tags = app
            .tags
            .iter()
            .filter(|(name, _)| every || tag_names.contains(name));
        Some(WorkspaceBillingReportItem {
            object_id: app_id.to_owned(),
            description: app.description.clone(),
            environment_name: app.environment.clone(),
            interval: Some(prost_types::Timestamp {
                seconds: i64::try_from(at).ok()?,
                nanos: 0,
            }),
            cost: dollars(sums.values().sum()),
            tags: tags
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            cost_by_resource: breakdown(&sums),
        })
    };
    costs.into_iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(app: &str, from: f64, to: f64) -> Used {
        Used {
            app_id: app.to_owned(),
            description: "job".to_owned(),
            environment: "main".to_owned(),
            tags: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
            gpu: Some(("T4".to_owned(), 2)),
            from,
            to,
        }
    }

    #[test]
    fn time_is_billed_in_the_interval_in_which_it_was_used() {
        let rates = Rates {
            container_second: 0.5,
            gpu_second: 0.25,
        };
        let used = [used("ap-1", 3590.0, 3610.0), used("ap-1", 3600.0, 3601.0)];
        let rows = rows(&used, 0.0..7200.0, 3600.0, &rates, &["team".to_owned()]);
        let told: Vec<(i64, &str)> = rows
            .iter()
            .map(|row| (row.interval.unwrap().seconds, row.cost.as_str()))
            .collect();
        // Per second: 0.5 for the container, 2 x 0.25 for its GPUs.
        assert_eq!(told, [(0, "10"), (3600, "11")]);
        assert_eq!(rows[1].cost_by_resource["GPU T4"], "5.5");
        assert_eq!(rows[0].tags["team"], "a");
    }

    #[test]
    fn an_interval_that_is_not_over_is_left_out() {
        let used = [used("ap-1", 10.0, 20.0)];
        let rates = Rates::default();
        assert_eq!(rows(&used, 0.0..3599.0, 3600.0, &rates, &[]), []);
    }

    #[test]
    fn a_month_is_whole() {
        let time: Timestamp = "2026-02-11T10:00:00Z".parse().unwrap();
        let seconds = |text: &str| {
            text.parse::<Timestamp>()
                .unwrap()
                .as_duration()
                .as_secs_f64()
        };
        let whole = seconds("2026-02-01T00:00:00Z")..seconds("2026-03-01T00:00:00Z");
        assert_eq!(month(time), whole);
    }
}
