//! `moorline explain …`

use std::collections::BTreeSet;

use moorline_api::{ApiError, ExplainRequest, Explanation, Fact, Point};
use moorline_engine::Engine;

use crate::args::ExplainCommand;
use crate::context::Context;
use crate::output;

/// Characters of a fact that people are shown; `--json` has all of it.
const LONGEST: usize = 240;

pub(super) fn run(context: &Context<'_>, command: ExplainCommand) -> Result<u8, ApiError> {
    let request = match command {
        ExplainCommand::Run { run } => ExplainRequest::Run(run),
        ExplainCommand::Refusal { refusal } => ExplainRequest::Refusal(refusal),
        ExplainCommand::Schedule { schedule } => ExplainRequest::Schedule(full(context, &schedule)),
        // A rule is the same everywhere, so it needs no state directory.
        ExplainCommand::Rule { rule } => return Ok(print(context, &Engine::explain_rule(&rule)?)),
    };
    let explanation = context.with_plane(|plane| async move { plane.explain(request).await })?;
    Ok(print(context, &explanation))
}

/// A job alone is its schedule in the lane that was asked for.
fn full(context: &Context<'_>, schedule: &str) -> String {
    match &context.global.lane {
        Some(lane) if !schedule.contains('/') => format!("{lane}/{schedule}"),
        _ => schedule.to_owned(),
    }
}

fn print(context: &Context<'_>, explanation: &Explanation) -> u8 {
    if context.json() {
        output::json(explanation);
        return 0;
    }
    output::line(&explanation.summary);
    if let Some(since) = explanation.since {
        output::line(&format!("since {since}"));
    }
    // What a rule demands is said once.
    let mut said = BTreeSet::new();
    for point in &explanation.points {
        output::line("");
        for line in lines(point, &mut said) {
            output::line(&line);
        }
    }
    0
}

/// A reason for people: what, the rule, since when, what it rests on, what to do.
fn lines<'p>(point: &'p Point, said: &mut BTreeSet<&'p str>) -> Vec<String> {
    let mark = match point.holds {
        Some(true) => "[x] ",
        Some(false) => "[ ] ",
        None => "",
    };
    let mut lines = vec![format!("{mark}{}: {}", point.topic, point.says)];
    if let Some(rule) = &point.rule {
        if said.insert(&rule.id) {
            lines.push(format!("  rule {}: {}", rule.id, rule.says));
        } else {
            lines.push(format!("  rule {}", rule.id));
        }
    }
    if let Some(since) = point.since {
        lines.push(format!("  since {since}"));
    }
    lines.extend(point.evidence.iter().map(fact));
    if let Some(hint) = &point.hint {
        lines.push(format!("  to do: {hint}"));
    }
    lines
}

fn fact(fact: &Fact) -> String {
    let by = fact
        .by
        .as_ref()
        .map(|by| format!(" by {by}"))
        .unwrap_or_default();
    let at = fact.at.map(|at| format!(" at {at}")).unwrap_or_default();
    let mut says: String = fact.says.chars().take(LONGEST).collect();
    if says.len() < fact.says.len() {
        says.push('…');
    }
    format!("  {}{at}{by}: {says}", fact.source)
}
