//! `moorline alerts …`

use moorline_api::{
    AlertListRequest, AlertReplayRequest, AlertRequest, AlertTestRequest, AlertView, ApiError,
};
use moorline_core::alert::{Delivery, DeliveryState};
use serde_json::json;

use crate::args::AlertsCommand;
use crate::context::Context;
use crate::output;

/// Exit code of a test that reached nobody.
const NOT_TOLD: u8 = 1;

pub(super) fn run(context: &Context<'_>, command: AlertsCommand) -> Result<u8, ApiError> {
    match command {
        AlertsCommand::List {
            dead,
            before,
            limit,
        } => {
            let request = AlertListRequest {
                dead,
                before,
                limit,
            };
            list(context, request)
        }
        AlertsCommand::Show { alert } => {
            let request = AlertRequest { alert };
            let view =
                context.with_plane(|plane| async move { plane.alert_show(request).await })?;
            print(context, &view);
            Ok(0)
        }
        AlertsCommand::Send => {
            let next = context.with_engine(|engine| async move { engine.deliver_due().await })?;
            if context.json() {
                output::json(&json!({"next_at": next}));
            } else {
                let next = next.map_or_else(
                    || "nothing waits to be told".to_owned(),
                    |next| format!("the next delivery is due {next}"),
                );
                output::note(&next);
            }
            Ok(0)
        }
        AlertsCommand::Replay {
            alert,
            destination,
            reason,
        } => {
            let request = AlertReplayRequest {
                alert,
                destination,
                actor: context.principal()?,
                reason,
            };
            let view =
                context.with_plane(|plane| async move { plane.alert_replay(request).await })?;
            print(context, &view);
            Ok(0)
        }
        AlertsCommand::Test { destination } => test(context, destination),
    }
}

fn list(context: &Context<'_>, request: AlertListRequest) -> Result<u8, ApiError> {
    let alerts = context.with_plane(|plane| async move { plane.alert_list(request).await })?;
    if context.json() {
        output::json(&alerts);
        return Ok(0);
    }
    if alerts.is_empty() {
        output::note("no alerts");
        return Ok(0);
    }
    let rows = alerts.iter().map(|view| {
        let alert = &view.alert;
        let level = json!(alert.level).as_str().unwrap_or_default().to_owned();
        let told = view.deliveries.iter().map(short).collect::<Vec<_>>();
        vec![
            alert.id.to_string(),
            level,
            alert.last_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            alert.count.to_string(),
            told.join(", "),
            alert.title.clone(),
        ]
    });
    let header = ["ALERT", "LEVEL", "LAST SEEN", "SEEN", "TOLD", "TITLE"];
    output::table(&header, rows.collect());
    Ok(0)
}

fn test(context: &Context<'_>, destination: String) -> Result<u8, ApiError> {
    let request = AlertTestRequest {
        destination,
        actor: context.principal()?,
    };
    let delivery = context.with_plane(|plane| async move { plane.alert_test(request).await })?;
    let told = delivery.state == DeliveryState::Delivered;
    if context.json() {
        output::json(&delivery);
    } else if told {
        output::line(&format!("{} was told", delivery.destination));
    } else {
        let error = delivery.last_error.as_deref().unwrap_or_default();
        output::note(&format!("{} was not told: {error}", delivery.destination));
    }
    Ok(if told { 0 } else { NOT_TOLD })
}

/// A delivery in a list: `ops delivered`, `mail pending (3)`.
fn short(delivery: &Delivery) -> String {
    let state = delivery.state.as_str();
    let tries = match delivery.state {
        DeliveryState::Delivered => String::new(),
        DeliveryState::Pending | DeliveryState::Dead => format!(" ({})", delivery.attempts),
    };
    format!("{} {state}{tries}", delivery.destination)
}

fn print(context: &Context<'_>, view: &AlertView) {
    if context.json() {
        output::json(view);
        return;
    }
    let alert = &view.alert;
    let text = |label: &str, value: &str| output::line(&format!("{label:<14}{value}"));
    text("alert", &alert.id.to_string());
    text("title", &alert.title);
    text("level", json!(alert.level).as_str().unwrap_or_default());
    text("key", &alert.key);
    text("raised", &alert.raised_at.to_string());
    if alert.count > 1 {
        text(
            "seen",
            &format!("{} times, last {}", alert.count, alert.last_at),
        );
    }
    if let Some(closed) = alert.closed_at {
        text("over", &closed.to_string());
    }
    if let Some(run) = alert.run_id {
        text("run", &run.to_string());
    }
    for delivery in &view.deliveries {
        text("told", &short(delivery));
        if let Some(due) = delivery.due_at {
            text("", &format!("next attempt {due}"));
        }
        if let Some(error) = &delivery.last_error {
            text("", error);
        }
    }
    if view.deliveries.is_empty() {
        let nobody = if alert.planned {
            "nobody: no destination takes this level"
        } else {
            "nobody yet: `moorline work` or `moorline alerts send` tells"
        };
        text("told", nobody);
    }
}
