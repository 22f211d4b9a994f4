//! Random workflows and random histories (L38).

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Walk, choice};
use crate::approval::{ApprovalRequest, Choice};
use crate::error_code::{ErrorCode, FailureClass, RunStatus};
use crate::run::{CancelKind, Command, Verdict};
use crate::spec;
use crate::workflow::{END, GateOption, REJECT, Then, Workflow};

/// A job of a few nodes in a row, every third a gate. `dice` decides everything else: where routes lead, which
/// options there are and where to, what rules choose, what is used and needed. Many of them are refused.
fn job(nodes: usize, dice: &[u8]) -> Value {
    let mut at = 0;
    let mut roll = |sides: usize| {
        at += 1;
        usize::from(dice[at % dice.len()].wrapping_add(u8::try_from(at % 251).unwrap())) % sides
    };
    let is_gate = |node: usize| node % 3 == 1;
    let name = |node: usize| match node {
        node if node >= nodes => END.to_owned(),
        node if is_gate(node) => format!("gate-{node}"),
        node => format!("step-{node}"),
    };
    let (mut steps, mut flows, mut gates) = (Vec::new(), serde_json::Map::new(), Vec::new());
    for node in 0..nodes {
        // Mostly onwards; now and then anywhere, which loading has to judge.
        let ahead = |roll: &mut dyn FnMut(usize) -> usize| match roll(12) {
            0 => name(roll(nodes)),
            _ => name(node + 1 + roll(2)),
        };
        let condition =
            |number: usize| json!([{"evidence": "/k", "is": "at_least", "value": number}]);
        if !is_gate(node) {
            let then = match roll(3) {
                0 => json!({"routes": [{"when": condition(roll(4)), "to": ahead(&mut roll)}],
                            "otherwise": name(node + 1), "on_missing": name(node + 1)}),
                _ => json!(name(node + 1)),
            };
            let needs = (node > 0 && is_gate(node - 1) && roll(3) == 0).then(|| name(node - 1));
            let uses = if node > 0 && roll(4) == 0 {
                json!(["made", "segment"])
            } else {
                json!(["segment"])
            };
            let produces = if node == 0 || roll(2) == 0 {
                json!(["made", "k"])
            } else {
                json!(["k"])
            };
            steps.push(json!({"name": name(node), "argv": ["./x", "{{segment}}"]}));
            let mut flow = json!({"uses": uses, "produces": produces, "then": then});
            if let Some(gate) = needs {
                flow["needs_approval"] = json!(gate);
            }
            flows.insert(name(node), flow);
            continue;
        }
        let mut options = vec![json!({"name": "go", "to": match roll(4) {
            0 => ahead(&mut roll),
            _ => name(node + 1),
        }})];
        if roll(2) == 0 {
            options.push(json!({"name": "again", "to": name(roll(node + 1)), "iterate": true}));
        }
        if roll(3) == 0 {
            options.push(json!({"name": "turn", "to": name(roll(node + 1)), "pivot": true,
                "must_change": ["segment"], "sets": {"segment": {"input": "?"}}, "invalidates": ["made"]}));
        }
        if roll(3) == 0 {
            options
                .push(json!({"name": "maybe", "to": ahead(&mut roll), "when": condition(roll(4))}));
        }
        if roll(2) == 0 {
            options.push(json!({"name": "no", "to": REJECT, "feedback": "required"}));
        }
        let rule = options[roll(2) % options.len()]["name"].clone();
        let automatic = (roll(3) == 0)
            .then(|| json!({"rules": [{"when": condition(roll(4)), "choose": rule}]}));
        let policy = ["fail", "hold", "auto_reject"][roll(3)];
        let mut gate = json!({"name": name(node), "title": "?", "options": options,
            "max_iterations": 1 + roll(3), "reminders": [10], "expires_after_seconds": 20,
            "on_expiry": policy});
        if let Some(automatic) = automatic {
            gate["automatic"] = automatic;
        }
        gates.push(gate);
    }
    json!({"job_id": "j", "steps": steps, "workflow":
        {"state": {"segment": 0, "k": 0}, "steps": flows, "gates": gates}})
}

/// How far each node is from an end, for a person who always takes the shortest sure way: from a step all
/// ways count, from a gate what its rules may choose and the best of what can always be chosen.
fn distances(workflow: &Workflow, steps: &[String]) -> BTreeMap<String, usize> {
    let mut known = BTreeMap::from([(END.to_owned(), 0), (REJECT.to_owned(), 0)]);
    let onwards = |name: &String| match workflow.steps.get(name).and_then(|s| s.then.as_ref()) {
        Some(Then::To(to)) => vec![to.clone()],
        Some(Then::By(routes)) => routes
            .routes
            .iter()
            .map(|route| route.to.clone())
            .chain([routes.otherwise.clone()])
            .chain(routes.on_missing.clone())
            .collect(),
        None => Vec::new(),
    };
    loop {
        let before = known.clone();
        let all = |targets: Vec<String>| -> Option<usize> {
            targets
                .iter()
                .map(|to| before.get(to).copied())
                .try_fold(0, |most, one| Some(most.max(one?)))
        };
        for step in steps {
            if let Some(most) = all(onwards(step)) {
                known.entry(step.clone()).or_insert(most + 1);
            }
        }
        for gate in &workflow.gates {
            let by_rule = gate
                .automatic
                .iter()
                .flat_map(|automatic| &automatic.rules)
                .filter_map(|rule| gate.option(&rule.choose))
                .filter(|option| !option.iterate)
                .map(|option| option.to.clone())
                .collect();
            let sure = |option: &&GateOption| !option.iterate && option.when.is_empty();
            let best = gate
                .options
                .iter()
                .filter(sure)
                .filter_map(|option| before.get(&option.to).copied())
                .min();
            if let (Some(most), Some(best)) = (all(by_rule), best) {
                known
                    .entry(gate.name.clone())
                    .or_insert_with(|| most.max(best) + 1);
            }
        }
        if known == before {
            return known;
        }
    }
}

/// A decision for an offered option, with whatever it asks for.
fn taken(request: &ApprovalRequest, option: usize, input: u8) -> Choice {
    let option = &request.options[option % request.options.len()];
    let mut choice = Choice {
        feedback: Some("why".to_owned()),
        ..choice(&option.name)
    };
    for wanted in &option.inputs {
        choice
            .input
            .insert(wanted.key.clone(), json!(1 + u32::from(input)));
    }
    choice
}

fn result(k: u8) -> Verdict {
    Verdict::Success {
        data: json!({"k": k % 4, "made": k}),
        outputs: Vec::new(),
        transaction_count: None,
    }
}

/// A run of a workflow without violations ends well, is rejected, or expires: it never gets stuck.
fn is_fair(walk: &Walk) -> bool {
    walk.run.failure.as_ref().is_none_or(|failure| {
        matches!(
            failure.class,
            FailureClass::Rejected | FailureClass::Expired | FailureClass::Cancelled
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// L38: what passes the check ends under any decisions and any evidence, once people stop going round by
    /// choice; and every option that is offered can be taken.
    #[test]
    fn every_workflow_that_loads_comes_to_an_end(
        nodes in 2_usize..9,
        dice in prop::collection::vec(any::<u8>(), 8..40),
        decisions in prop::collection::vec(any::<u8>(), 1..30),
    ) {
        let document = job(nodes, &dice);
        let Ok(spec) = spec::from_value(document.clone()) else {
            return Ok(());
        };
        let workflow = spec.workflow.as_ref().unwrap();
        let steps: Vec<String> = spec.steps().iter().map(|step| step.name.clone()).collect();
        let distances = distances(workflow, &steps);
        let mut walk = Walk::of(&document);
        let mut turns = 0;
        while !walk.run.status.is_terminal() {
            let die = decisions[turns % decisions.len()];
            turns += 1;
            // Each node once for each time that its gates let it be repeated, and the random turns before.
            prop_assert!(turns < 1000, "{document} {:?}", walk.flow());
            if walk.run.status != RunStatus::AwaitingApproval {
                walk.attempt(result(die));
                continue;
            }
            let request = walk.open();
            for option in 0..request.options.len() {
                let mut there = walk.clone();
                let taken = taken(&request, option, die);
                let choice = if taken.option == "turn" && walk.flow().state["segment"] == taken.input["segment"] {
                    continue;
                } else {
                    taken
                };
                prop_assert!(there.choose(choice).is_ok(), "{document}");
                prop_assert!(is_fair(&there), "{document} {:?}", there.run.failure);
            }
            let wanted = if turns <= decisions.len() {
                usize::from(die)
            } else {
                // Enough of going round: the surest way out.
                let sure = |name: &str| {
                    let option = workflow.gate(&request.checkpoint).unwrap().option(name).unwrap();
                    (!option.iterate && option.when.is_empty()).then(|| distances[&option.to])
                };
                let names = request.options.iter().enumerate();
                names.filter_map(|(at, o)| Some((sure(&o.name)?, at))).min().unwrap().1
            };
            let taken = taken(&request, wanted, u8::try_from(turns % 250).unwrap());
            let _same_segment_again = walk.choose(taken);
        }
        prop_assert!(is_fair(&walk), "{document} {:?}", walk.run.failure);
    }

    /// Whatever happens in whatever order: [`Walk`] looks at what holds after each command. What is decided
    /// stays as it is, and nothing follows the end of a run.
    #[test]
    fn histories_keep_their_invariants(
        nodes in 2_usize..9,
        dice in prop::collection::vec(any::<u8>(), 8..40),
        moves in prop::collection::vec((0_u8..8, any::<u8>()), 0..60),
    ) {
        let document = job(nodes, &dice);
        if spec::from_value(document.clone()).is_err() {
            return Ok(());
        }
        let mut walk = Walk::of(&document);
        for (action, die) in moves {
            let before = walk.clone();
            let open = walk.flow().open.map(|id| walk.requests[&id].clone());
            let old = walk.requests.values().find(|request| request.decision.is_some()).cloned();
            match (action, open) {
                (0 | 1, Some(request)) => {
                    let _same_segment_again = walk.choose(taken(&request, usize::from(die), die));
                }
                (2, Some(_)) => drop(walk.lapse()),
                (3, _) => walk.pass(i64::from(die % 16)),
                (4, _) if die < 20 => {
                    let (actor, reason) = ("human:ada".to_owned(), "r".to_owned());
                    walk.command(Command::Cancel { kind: CancelKind::Cancelled, actor, reason });
                }
                (5, _) => if let Some(request) = old {
                    let choice = taken(&request, usize::from(die), die);
                    let request = Box::new(request);
                    let refused = walk.try_command(Command::Decide { request, choice });
                    prop_assert!(refused.is_err());
                },
                (6, None) if die < 40 && walk.run.due_at.is_some() => {
                    walk.attempt(Verdict::failure(FailureClass::Runtime, ErrorCode::Runtime, "why"));
                }
                (_, None) if walk.run.due_at.is_some() => drop(walk.attempt(result(die))),
                _ => {}
            }
            for (id, request) in &before.requests {
                if request.decision.is_some() {
                    prop_assert_eq!(&walk.requests[id], request);
                }
                prop_assert!(walk.requests[id].version >= request.version);
            }
            if before.run.status.is_terminal() {
                prop_assert_eq!(&before.run, &walk.run);
            }
        }
    }
}

/// The generator is of use only as long as a good part of what it makes is a workflow.
#[test]
fn a_good_part_of_the_random_workflows_loads() {
    let mut dice: u32 = 1;
    let mut next = || {
        // A linear congruential generator, by the constants of Numerical Recipes.
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        dice.to_be_bytes()[0]
    };
    let mut refused = BTreeMap::<String, u32>::new();
    for nodes in (2..9).cycle().take(200) {
        let dice: Vec<u8> = (0..40).map(|_| next()).collect();
        let rules = match spec::from_value(job(nodes, &dice)) {
            Ok(_) => "none".to_owned(),
            Err(found) => found.iter().next().unwrap().rule.clone(),
        };
        *refused.entry(rules).or_default() += 1;
    }
    assert!(refused["none"] > 40, "{refused:?}");
}
