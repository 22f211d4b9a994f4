//! What stands around every page: navigation with counts, the stop switch with what it will stop, the stops in
//! force, and where live updates begin.

use std::collections::BTreeMap;

use jiff::Timestamp;
use moorline_api::{
    AlertListRequest, AlertOperations as _, ApprovalListRequest, ApprovalOperations as _,
    ControlPlane as _, EventsRequest, Operation, RunListRequest, RunRow, ScheduleListRequest,
    ScheduleOperations as _, ScheduleView,
};
use moorline_core::approval::ApprovalStatus;
use moorline_core::error_code::RunStatus;
use moorline_core::event::EventKind;
use moorline_core::schedule::ScheduleState;
use moorline_core::stop::Stop;

use super::assets::{PATHS, Paths};
use super::fault::Fault;
use super::parts::Moment;
use super::parts::size::count;
use super::viewer::Viewer;

/// Runs that are not over are counted up to here.
const COUNTED: u32 = 200;

/// A part of the dashboard, as the navigation names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    Overview,
    Runs,
    Approvals,
    Schedules,
    Jobs,
    Artifacts,
    Sources,
    Secrets,
    Alerts,
    Events,
    Audit,
    Access,
    Stops,
}

/// The navigation: area, path, label, the operation that its page asks, and whether a group begins here.
const AREAS: [(Area, &str, &str, Operation, bool); 12] = [
    (Area::Overview, "/", "Overview", Operation::RunList, false),
    (Area::Runs, "/runs", "Runs", Operation::RunList, false),
    (
        Area::Approvals,
        "/approvals",
        "Approvals",
        Operation::ApprovalList,
        false,
    ),
    (
        Area::Schedules,
        "/schedules",
        "Schedules",
        Operation::ScheduleList,
        false,
    ),
    (Area::Jobs, "/jobs", "Jobs", Operation::JobList, false),
    (
        Area::Artifacts,
        "/artifacts",
        "Artifacts",
        Operation::ArtifactList,
        true,
    ),
    (
        Area::Sources,
        "/sources",
        "Sources",
        Operation::SourceList,
        false,
    ),
    (
        Area::Secrets,
        "/secrets",
        "Secrets",
        Operation::SecretList,
        false,
    ),
    (
        Area::Alerts,
        "/alerts",
        "Alerts",
        Operation::AlertList,
        true,
    ),
    (
        Area::Events,
        "/events",
        "Events",
        Operation::EventList,
        false,
    ),
    (Area::Audit, "/audit", "Audit", Operation::AuditList, false),
    (
        Area::Access,
        "/access",
        "Access",
        Operation::PrincipalList,
        false,
    ),
];

/// A link of the navigation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Where it leads.
    pub(crate) href: &'static str,
    /// What it says.
    pub(crate) label: &'static str,
    /// How many things there want to be looked at.
    pub(crate) count: usize,
    /// Whether this is the page.
    pub(crate) here: bool,
    /// Whether a group begins with it.
    pub(crate) first: bool,
}

/// Something that can be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The scope, as a stop names it.
    pub(crate) scope: String,
    /// What that is, and what it covers: `everything: 3 runs, 2 schedules`.
    pub(crate) label: String,
}

/// A stop in force, as shown.
#[derive(Debug, Clone)]
pub(crate) struct StopLine {
    /// What it covers.
    pub(crate) scope: String,
    /// Who engaged it.
    pub(crate) actor: String,
    /// Why.
    pub(crate) reason: String,
    /// Since when.
    pub(crate) since: Moment,
}

/// What stands around a page.
#[derive(Debug)]
pub(crate) struct Chrome {
    /// Title of the page.
    pub(crate) title: String,
    /// The embedded files.
    pub(crate) assets: &'static Paths,
    /// `auto`, `light` or `dark`.
    pub(crate) theme: &'static str,
    /// The project.
    pub(crate) project: String,
    /// Who looks.
    pub(crate) who: String,
    /// Their role.
    pub(crate) role: String,
    /// The navigation.
    pub(crate) links: Vec<Link>,
    /// Stops in force.
    pub(crate) stops: Vec<StopLine>,
    /// What can be stopped, everything first; empty for who may not.
    pub(crate) targets: Vec<Target>,
    /// What the reason of a stop says unless something else is written.
    pub(crate) reason: String,
    /// Whether the viewer may release a stop.
    pub(crate) may_release: bool,
    /// The newest event when the page was made: updates begin behind it. None for who may not follow events.
    pub(crate) cursor: Option<u64>,
    /// Where the page is: path and query.
    pub(crate) place: String,
    /// When the page was made, by the server's clock.
    pub(crate) now: Timestamp,
    /// What an action that led here did.
    pub(crate) notice: Option<&'static str>,
}

/// What is going on, as far as the viewer may see it.
#[derive(Debug, Default)]
pub(crate) struct Present {
    /// Runs that are not over, newest first.
    pub(crate) live: Vec<RunRow>,
    /// Every schedule.
    pub(crate) schedules: Vec<ScheduleView>,
    /// Stops in force.
    pub(crate) stops: Vec<Stop>,
    /// How many requests wait for a decision.
    pub(crate) waiting: usize,
    /// How many alerts have a destination that was given up.
    pub(crate) dead: usize,
    /// The newest event.
    pub(crate) cursor: Option<u64>,
}

impl Present {
    /// Asks for it.
    pub(crate) async fn load(viewer: &Viewer) -> Result<Self, Fault> {
        let engine = viewer.engine();
        let mut present = Self::default();
        if viewer.may(Operation::EventWatch) {
            // First of all: what happens while the rest is read is told again by the stream.
            let newest = EventsRequest {
                newest: true,
                limit: 1,
                ..EventsRequest::default()
            };
            let events = engine.event_list(newest).await?;
            present.cursor = Some(events.last().map_or(0, |event| event.id));
        }
        if viewer.may(Operation::RunList) {
            let statuses = RunStatus::ALL
                .into_iter()
                .filter(|status| !status.is_terminal());
            let live = RunListRequest {
                statuses: statuses.collect(),
                limit: COUNTED,
                ..RunListRequest::default()
            };
            present.live = engine.run_list(live).await?;
        }
        if viewer.may(Operation::ScheduleList) {
            present.schedules = engine.schedule_list(ScheduleListRequest::default()).await?;
        }
        if viewer.may(Operation::StopList) {
            present.stops = engine.stop_list().await?;
        }
        if viewer.may(Operation::ApprovalList) {
            let pending = ApprovalListRequest {
                status: Some(ApprovalStatus::Pending),
                limit: COUNTED,
                ..ApprovalListRequest::default()
            };
            present.waiting = engine.approval_list(pending).await?.len();
        }
        if viewer.may(Operation::AlertList) {
            let dead = AlertListRequest {
                dead: true,
                ..AlertListRequest::default()
            };
            present.dead = engine.alert_list(dead).await?.len();
        }
        Ok(present)
    }

    /// What can be stopped, everything first, with what each stop covers.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let enabled = || {
            let starts = |view: &&ScheduleView| view.state != ScheduleState::Disabled;
            self.schedules.iter().filter(starts)
        };
        let mut scopes: BTreeMap<(u8, String), (String, usize, usize)> = BTreeMap::new();
        let mut add = |rank: u8, kind: &str, name: &str, runs: usize, schedules: usize| {
            let row = scopes
                .entry((rank, format!("{kind}:{name}")))
                .or_insert_with(|| (format!("{kind} {name}"), 0, 0));
            row.1 += runs;
            row.2 += schedules;
        };
        for run in &self.live {
            add(1, "lane", &run.lane, 1, 0);
            if let Some(source) = &run.source_id {
                add(2, "source", source, 1, 0);
            }
            add(3, "job", &run.job_id, 1, 0);
            add(4, "run", &run.run_id.to_string(), 1, 0);
        }
        for schedule in enabled() {
            add(1, "lane", schedule.schedule.lane().as_str(), 0, 1);
            if let Some(source) = &schedule.source_id {
                add(2, "source", source, 0, 1);
            }
            add(3, "job", schedule.schedule.job_id(), 0, 1);
        }
        let everything = Target {
            scope: "all".to_owned(),
            label: format!("everything: {}", covers(self.live.len(), enabled().count())),
        };
        let named = scopes
            .into_iter()
            .map(|((_, scope), (label, runs, schedules))| Target {
                label: format!("{label}: {}", covers(runs, schedules)),
                scope,
            });
        std::iter::once(everything).chain(named).collect()
    }
}

fn covers(runs: usize, schedules: usize) -> String {
    let more = if runs >= COUNTED as usize { "+" } else { "" };
    let runs = count(runs, "run");
    format!("{}{more}, {}", runs, count(schedules, "schedule"))
}

/// What an action did, by the word that its redirect carries. A closed set: a link can not make a page say
/// anything else.
fn notice(word: &str) -> Option<&'static str> {
    Some(match word {
        "cancelled" => "The run was cancelled and its processes are gone.",
        "retried" => "A new run of the same job was started.",
        "started" => "The run was started.",
        "decided" => "The decision was taken and the run goes on from it.",
        "decided-before" => "This very decision was taken before; nothing changed.",
        "stopped" => "The stop is in force. Everything that it covered is dead.",
        "released" => "The stop was released. Schedules that it disabled stay disabled.",
        "not-in-force" => "No stop of that scope was in force.",
        "enabled" => "The schedule is enabled.",
        "disabled" => "The schedule is disabled.",
        "resumed" => "The schedule goes on; what was due meanwhile is not made up for.",
        "source-paused" => "The source is paused: nothing of it starts.",
        "source-resumed" => "The source may be read again. Its schedules stay as they are.",
        "replayed" => "The alert was sent again to the destinations that had given up.",
        "revoked" => "The token is revoked, and its sessions with it.",
        "verified" => "The chain was verified from its first record.",
        _ => return None,
    })
}

impl Chrome {
    /// What stands around a page of an area.
    pub(crate) async fn load(
        viewer: &Viewer,
        area: Area,
        title: impl Into<String>,
    ) -> Result<Self, Fault> {
        let present = Present::load(viewer).await?;
        Ok(Self::around(viewer, &present, area, title))
    }

    /// The same, of what was asked for already.
    pub(crate) fn around(
        viewer: &Viewer,
        present: &Present,
        area: Area,
        title: impl Into<String>,
    ) -> Self {
        let done = viewer
            .place
            .split_once('?')
            .and_then(|(_, query)| query.split('&').find_map(|pair| pair.strip_prefix("done=")));
        let who = viewer.actor();
        let stops = present.stops.iter().map(|stop| StopLine {
            scope: stop.scope.to_string(),
            actor: stop.actor.clone(),
            reason: stop.reason.clone(),
            since: viewer.moment(stop.since),
        });
        Self {
            title: title.into(),
            assets: &PATHS,
            theme: viewer.theme.as_str(),
            project: viewer.project().to_owned(),
            role: viewer.role(),
            links: links(viewer, present, area),
            stops: stops.collect(),
            targets: if viewer.may(Operation::Stop) {
                present.targets()
            } else {
                Vec::new()
            },
            reason: format!("stopped by {who} from the dashboard"),
            who: who.to_string(),
            may_release: viewer.may(Operation::Release),
            cursor: present.cursor,
            place: viewer.place.clone(),
            now: viewer.now,
            notice: done.and_then(notice),
        }
    }

    /// Whether the switch is on the page as a dialog. Where the page is the switch, one is enough.
    pub(crate) fn has_dialog(&self) -> bool {
        let path = self.place.split('?').next();
        !self.targets.is_empty() && path != Some("/stop")
    }

    /// Every kind of event, for the script: a stream names the kind of each, and listeners are by name.
    #[expect(
        clippy::unused_self,
        reason = "templates call methods of what they have"
    )]
    pub(crate) fn kinds(&self) -> String {
        let kinds: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        kinds.join(" ")
    }
}

fn links(viewer: &Viewer, present: &Present, area: Area) -> Vec<Link> {
    let may = |operation: &Operation| viewer.may(*operation);
    AREAS
        .iter()
        .filter(|(.., operation, _)| may(operation))
        .map(|(of, href, label, _, first)| Link {
            href,
            label,
            count: match of {
                Area::Runs => present.live.len(),
                Area::Approvals => present.waiting,
                Area::Alerts => present.dead,
                _ => 0,
            },
            here: *of == area,
            first: *first,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use moorline_core::run::Trigger;
    use moorline_core::spec::Mode;

    use super::*;

    fn run(id: &str, job: &str, lane: &str, source: Option<&str>) -> RunRow {
        RunRow {
            run_id: id.parse().unwrap(),
            job_id: job.to_owned(),
            source_id: source.map(str::to_owned),
            lane: lane.to_owned(),
            mode: Mode::Mock,
            status: RunStatus::Running,
            trigger: Trigger::Manual,
            step: None,
            attempts: 1,
            created_at: "2026-03-01T12:00:00Z".parse().unwrap(),
            started_at: None,
            ended_at: None,
            failure_class: None,
            failure_reason: None,
            transaction_count: None,
        }
    }

    #[test]
    fn what_can_be_stopped_is_counted_by_scope_and_everything_comes_first() {
        let one = "01900000-0000-7000-8000-000000000001";
        let two = "01900000-0000-7000-8000-000000000002";
        let present = Present {
            live: vec![
                run(one, "bank", "prod", Some("chase")),
                run(two, "bank", "dev", None),
            ],
            ..Present::default()
        };
        let labels: Vec<String> = present
            .targets()
            .into_iter()
            .map(|target| target.label)
            .collect();
        assert_eq!(
            labels,
            [
                "everything: 2 runs, 0 schedules".to_owned(),
                "lane dev: 1 run, 0 schedules".to_owned(),
                "lane prod: 1 run, 0 schedules".to_owned(),
                "source chase: 1 run, 0 schedules".to_owned(),
                "job bank: 2 runs, 0 schedules".to_owned(),
                format!("run {one}: 1 run, 0 schedules"),
                format!("run {two}: 1 run, 0 schedules"),
            ]
        );
    }

    #[test]
    fn a_link_can_not_make_a_page_say_anything_else() {
        assert!(notice("stopped").is_some());
        assert_eq!(notice("<b>call this number</b>"), None);
    }
}
