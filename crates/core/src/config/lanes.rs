//! Lanes of one's own: what they have from the lane that they extend, and what no production lane may drop.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::document::{LaneDocument, ToolsDocument};
use super::problem::Problem;
use super::resolve::{Entry, Resolved};
use super::{LaneSettings, layer::Origin};
use crate::app_name::EnvironmentName;
use crate::lane::{Lane, LaneRules};
use crate::spec::violation::did_you_mean;
use crate::spec::{Egress, Permission, ToolPermissions};

/// The lanes with all that they inherit.
pub(super) struct Inherited {
    pub(super) lanes: BTreeMap<Lane, LaneSettings>,
    /// What own lanes have from the ones that they extend.
    pub(super) entries: Vec<Entry>,
}

/// Follows `extends` of every lane.
pub(super) fn inherited(
    documents: &BTreeMap<Lane, LaneDocument>,
    resolved: &Resolved,
    problems: &mut Vec<Problem>,
) -> Inherited {
    let mut lanes = BTreeMap::new();
    let mut entries = Vec::new();
    for (name, document) in documents {
        let chain = chain(name, documents, resolved, problems);
        let mut lane = LaneSettings::of(root(&chain));
        for ancestor in chain.iter().rev() {
            if let Some(document) = documents.get(ancestor) {
                apply(&mut lane, document);
            }
        }
        lane.rules.lane = name.clone();
        lane.extends.clone_from(&document.extends);
        lane.production = chain.contains(&Lane::PROD);
        let own = document.modal_environment.clone();
        lane.modal_environment = own.unwrap_or_else(|| EnvironmentName::of(name)).to_string();
        if LaneRules::built_in(name).is_none() {
            entries.extend(from_ancestors(&chain, &lane, resolved));
        }
        lanes.insert(name.clone(), lane);
    }
    Inherited { lanes, entries }
}

/// A lane and those that it extends, itself first. It always ends in a built-in one.
fn chain(
    name: &Lane,
    documents: &BTreeMap<Lane, LaneDocument>,
    resolved: &Resolved,
    problems: &mut Vec<Problem>,
) -> Vec<Lane> {
    let mut chain = vec![name.clone()];
    let key = format!("lanes.{name}.extends");
    let mut refuse = |message: String, hint: String| {
        let at = resolved.origin_of(&key);
        let at = if at == Origin::Default {
            resolved.origin_of(&format!("lanes.{name}"))
        } else {
            at
        };
        problems.push(Problem::new(at, &key, "D-SPEC-3", message).hint(hint));
    };
    if LaneRules::built_in(name).is_some() {
        if documents.get(name).is_some_and(|d| d.extends.is_some()) {
            let message = format!("lane `{name}` is built in and extends none");
            refuse(
                message,
                format!("name a lane of your own, such as `{name}-eu`"),
            );
        }
        return chain;
    }
    let mut at = name.clone();
    loop {
        let parent = documents.get(&at).and_then(|found| found.extends.clone());
        let Some(parent) = parent else {
            if at == *name {
                let message = format!("lane `{name}` does not say which lane it is like");
                refuse(
                    message,
                    "add for example `extends = \"staging\"`".to_owned(),
                );
            }
            chain.push(Lane::STAGING);
            return chain;
        };
        if chain.contains(&parent) {
            if at == *name || parent == *name {
                let circle: Vec<&str> = chain.iter().map(Lane::as_str).collect();
                let message = format!("extends itself: {} to {parent}", circle.join(" to "));
                refuse(message, "let one of them extend a built-in lane".to_owned());
            }
            chain.push(Lane::STAGING);
            return chain;
        }
        if !documents.contains_key(&parent) {
            if at == *name {
                let names = documents.keys().map(Lane::as_str);
                let hint = did_you_mean(parent.as_str(), names).map_or_else(
                    || "extend `dev`, `staging`, `prod` or another lane of yours".to_owned(),
                    |meant| format!("did you mean `{meant}`?"),
                );
                refuse(format!("there is no lane `{parent}`"), hint);
            }
            chain.push(Lane::STAGING);
            return chain;
        }
        chain.push(parent.clone());
        if LaneRules::built_in(&parent).is_some() {
            return chain;
        }
        at = parent;
    }
}

fn root(chain: &[Lane]) -> LaneRules {
    chain
        .last()
        .and_then(LaneRules::built_in)
        .unwrap_or(LaneRules::STAGING)
}

fn apply(lane: &mut LaneSettings, document: &LaneDocument) {
    let LaneDocument {
        extends: _,
        interactive,
        dynamic_installs,
        schedules,
        requires_approval,
        requires_pinned_images,
        requires_egress_list,
        requires_isolation,
        // Objects are a lane's own: to inherit their place would be to share them.
        modal_environment: _,
        secrets,
        egress,
        tools,
    } = document;
    let rules = &mut lane.rules;
    for (rule, said) in [
        (&mut rules.interactive, interactive),
        (&mut rules.dynamic_installs, dynamic_installs),
        (&mut rules.schedules, schedules),
        (&mut rules.requires_approval, requires_approval),
        (&mut rules.requires_pinned_images, requires_pinned_images),
        (&mut rules.requires_egress_list, requires_egress_list),
        (&mut rules.requires_isolation, requires_isolation),
    ] {
        *rule = said.unwrap_or(*rule);
    }
    if let Some(secrets) = secrets {
        lane.secrets.clone_from(secrets);
    }
    if egress.is_some() {
        lane.egress.clone_from(egress);
    }
    let ToolsDocument {
        edit,
        read,
        grep,
        shell,
        install_dependencies,
        web_fetch,
    } = tools;
    let own = &mut lane.tools;
    for (tool, said) in [
        (&mut own.edit, edit),
        (&mut own.read, read),
        (&mut own.grep, grep),
        (&mut own.shell, shell),
        (&mut own.install_dependencies, install_dependencies),
        (&mut own.web_fetch, web_fetch),
    ] {
        *tool = said.or(*tool);
    }
}

/// The values that a lane of one's own does not say itself, each with where its ancestor has it from.
fn from_ancestors(chain: &[Lane], lane: &LaneSettings, resolved: &Resolved) -> Vec<Entry> {
    let Some((name, ancestors)) = chain.split_first() else {
        return Vec::new();
    };
    let said = |lane: &Lane, field: &str| {
        let key = format!("lanes.{lane}.{field}");
        resolved.entries.iter().find(move |entry| entry.key == key)
    };
    let mut entries = Vec::new();
    for (field, value) in fields(lane) {
        if said(name, &field).is_some() {
            continue;
        }
        let own = field == "modal_environment";
        let from = ancestors
            .iter()
            .filter(|_| !own)
            .find_map(|ancestor| said(ancestor, &field).map(|entry| (ancestor, entry)));
        entries.push(Entry {
            key: format!("lanes.{name}.{field}"),
            value,
            origin: from.map_or(Origin::Default, |(_, entry)| entry.origin.clone()),
            inherited_from: from.map(|(ancestor, _)| ancestor.clone()),
        });
    }
    entries
}

fn fields(lane: &LaneSettings) -> Vec<(String, Value)> {
    let mut fields: Vec<(String, Value)> = switches(&lane.rules)
        .into_iter()
        .map(|(name, value, _)| (name.to_owned(), json!(value)))
        .collect();
    fields.push((
        "modal_environment".to_owned(),
        json!(lane.modal_environment),
    ));
    fields.push(("secrets".to_owned(), json!(lane.secrets)));
    fields.push(("egress".to_owned(), json!(lane.egress)));
    for (name, permission) in tools(&lane.tools) {
        fields.push((format!("tools.{name}"), json!(permission)));
    }
    fields
}

/// The rules that are true or false, each with the value that permits more.
pub(super) const fn switches(rules: &LaneRules) -> [(&'static str, bool, bool); 7] {
    [
        ("interactive", rules.interactive, true),
        ("dynamic_installs", rules.dynamic_installs, true),
        ("schedules", rules.schedules, true),
        ("requires_approval", rules.requires_approval, false),
        (
            "requires_pinned_images",
            rules.requires_pinned_images,
            false,
        ),
        ("requires_egress_list", rules.requires_egress_list, false),
        ("requires_isolation", rules.requires_isolation, false),
    ]
}

/// The tools by name.
pub(super) const fn tools(tools: &ToolPermissions) -> [(&'static str, Option<Permission>); 6] {
    [
        ("edit", tools.edit),
        ("read", tools.read),
        ("grep", tools.grep),
        ("shell", tools.shell),
        ("install_dependencies", tools.install_dependencies),
        ("web_fetch", tools.web_fetch),
    ]
}

/// The fields of a lane in which it permits more than another.
pub(super) fn looser_than(lane: &LaneSettings, other: &LaneSettings) -> Vec<String> {
    let mut looser = Vec::new();
    let pairs = switches(&lane.rules)
        .into_iter()
        .zip(switches(&other.rules));
    for ((name, value, permits), (_, before, _)) in pairs {
        if value == permits && before != permits {
            looser.push(name.to_owned());
        }
    }
    let allowed = Some(Permission::Allowed);
    for ((name, value), (_, before)) in tools(&lane.tools).into_iter().zip(tools(&other.tools)) {
        if value.or(allowed) < before.or(allowed) {
            looser.push(format!("tools.{name}"));
        }
    }
    let capped = |lane: &LaneSettings| lane.egress.clone().unwrap_or(Egress::Open);
    if capped(lane).first_outside(&capped(other)).is_some() {
        looser.push("egress".to_owned());
    }
    looser
}

/// `prod`, and what extends it, never permits more than the built-in `prod` (`D-ART-4`, `D-SPEC-3`): a file
/// that a program can write is no place to switch approval off.
pub(super) fn floor(resolved: &Resolved, problems: &mut Vec<Problem>) {
    let floor = LaneSettings::of(LaneRules::PROD);
    for (name, lane) in resolved
        .settings
        .lanes
        .iter()
        .filter(|(_, lane)| lane.production)
    {
        for field in looser_than(lane, &floor) {
            let key = format!("lanes.{name}.{field}");
            let rule = match field.as_str() {
                "requires_approval" => "D-ART-4",
                _ => "D-SPEC-3",
            };
            let message = format!("lane `{name}` is production and can not permit this");
            problems.push(
                Problem::new(resolved.origin_of(&key), key, rule, message)
                    .hint("take it out, or let a lane of your own extend `staging` instead"),
            );
        }
    }
}
