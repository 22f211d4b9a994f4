//! What may be done: operations, actors, and how plans are drawn.

use proptest::prelude::*;

use crate::invariants::executor::Play;

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// A person who may do everything.
    Ada,
    /// A second person who may.
    Bob,
    /// An agent, with the role of an admin: the kind alone keeps it from deciding.
    Agent,
    /// A pipeline, with the role of an admin.
    Pipeline,
    /// A person who may only look.
    Viewer,
}

impl Who {
    pub(crate) const ALL: [Self; 5] = [
        Self::Ada,
        Self::Bob,
        Self::Agent,
        Self::Pipeline,
        Self::Viewer,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ada => "human:ada",
            Self::Bob => "human:bob",
            Self::Agent => "agent:planner",
            Self::Pipeline => "ci:pipeline",
            Self::Viewer => "human:vera",
        }
    }

    /// Whether it may decide.
    pub(crate) const fn decides(self) -> bool {
        matches!(self, Self::Ada | Self::Bob)
    }
}

/// One of the two jobs: `alpha` reads the source `a`, `beta` the source `b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Alpha,
    Beta,
}

impl Job {
    pub(crate) const ALL: [Self; 2] = [Self::Alpha, Self::Beta];

    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::Beta => "beta",
        }
    }

    pub(crate) const fn source(self) -> &'static str {
        match self {
            Self::Alpha => "a",
            Self::Beta => "b",
        }
    }
}

/// The lanes of the world: schedules may be enabled in `prod` and in `staging`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Dev,
    Staging,
    Prod,
}

impl Lane {
    pub(crate) const ALL: [Self; 3] = [Self::Dev, Self::Staging, Self::Prod];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Staging => "staging",
            Self::Prod => "prod",
        }
    }
}

/// What a stop covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    Job(Job),
    Source(Job),
    Schedule(Job, Lane),
    Lane(Lane),
}

impl Scope {
    pub(crate) fn text(self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Job(job) => format!("job:{}", job.id()),
            Self::Source(job) => format!("source:{}", job.source()),
            Self::Schedule(job, lane) => format!("schedule:{}/{}", lane.name(), job.id()),
            Self::Lane(lane) => format!("lane:{}", lane.name()),
        }
    }
}

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// The whole way from a directory to an enabled schedule, as far as it goes.
    BringLive(Job, u32, Lane),
    Submit(Job, u32),
    Approve(Job),
    Reject(Job),
    RequestChanges(Job),
    SecurityReview(Job),
    Archive(Job),
    Promote(Job, Lane),
    Rollback(Job, Lane),
    CheckSecrets(Job, Lane),
    ProbeEgress(Job, Lane),
    VerifyRun(Job, Lane),
    Enable(Job, Lane),
    Resume(Job, Lane),
    Disable(Job, Lane),
    RunNow(Job, Lane),
    /// Runs the directory of a version, approved or not.
    Run(Job, u32, Lane),
    /// Lets time pass, then does all that is due.
    Pass {
        minutes: u32,
    },
    /// What the job's source gives from now on.
    Play(Job, Play),
    /// The source gives this, and the job is run by hand in `dev`.
    Try(Job, Play),
    Stop(Scope),
    Release(Scope),
    PauseSource(Job),
    ResumeSource(Job),
}

/// An operation by someone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) op: Op,
    pub(crate) who: Who,
}

fn job() -> impl Strategy<Value = Job> {
    proptest::sample::select(Job::ALL.to_vec())
}

fn lane() -> impl Strategy<Value = Lane> {
    prop_oneof![3 => Just(Lane::Prod), 1 => proptest::sample::select(Lane::ALL.to_vec())]
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::All),
        job().prop_map(Scope::Job),
        job().prop_map(Scope::Source),
        (job(), lane()).prop_map(|(job, lane)| Scope::Schedule(job, lane)),
        lane().prop_map(Scope::Lane),
    ]
}

fn play() -> impl Strategy<Value = Play> {
    prop_oneof![
        3 => Just(Play::Exit(0)),
        2 => Just(Play::Exit(77)),
        1 => Just(Play::Exit(65)),
        1 => Just(Play::Exit(75)),
        2 => Just(Play::BadOutput),
        1 => Just(Play::Exit(78)),
        2 => Just(Play::Endless),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let version = 1_u32..=3;
    let of = || (job(), lane());
    prop_oneof![
        6 => (job(), version.clone(), lane()).prop_map(|(j, v, l)| Op::BringLive(j, v, l)),
        2 => (job(), version.clone()).prop_map(|(j, v)| Op::Submit(j, v)),
        2 => job().prop_map(Op::Approve),
        1 => job().prop_map(Op::Reject),
        1 => job().prop_map(Op::RequestChanges),
        1 => job().prop_map(Op::SecurityReview),
        1 => job().prop_map(Op::Archive),
        2 => of().prop_map(|(j, l)| Op::Promote(j, l)),
        2 => of().prop_map(|(j, l)| Op::Rollback(j, l)),
        1 => of().prop_map(|(j, l)| Op::CheckSecrets(j, l)),
        1 => of().prop_map(|(j, l)| Op::ProbeEgress(j, l)),
        1 => of().prop_map(|(j, l)| Op::VerifyRun(j, l)),
        4 => of().prop_map(|(j, l)| Op::Enable(j, l)),
        2 => of().prop_map(|(j, l)| Op::Resume(j, l)),
        4 => of().prop_map(|(j, l)| Op::Disable(j, l)),
        2 => of().prop_map(|(j, l)| Op::RunNow(j, l)),
        2 => (job(), version, lane()).prop_map(|(j, v, l)| Op::Run(j, v, l)),
        6 => (1_u32..200).prop_map(|minutes| Op::Pass { minutes }),
        4 => (job(), play()).prop_map(|(j, p)| Op::Play(j, p)),
        5 => (job(), play()).prop_map(|(j, p)| Op::Try(j, p)),
        2 => scope().prop_map(Op::Stop),
        3 => scope().prop_map(Op::Release),
        2 => job().prop_map(Op::PauseSource),
        2 => job().prop_map(Op::ResumeSource),
    ]
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![6 => Just(Who::Ada), 3 => proptest::sample::select(Who::ALL.to_vec())]
}

/// Plans of up to `most` steps, which begin with a job that is brought live.
pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let first = Step {
        op: Op::BringLive(Job::Alpha, 1, Lane::Prod),
        who: Who::Ada,
    };
    let later = (op(), who()).prop_map(|(op, who)| Step { op, who });
    proptest::collection::vec(later, 1..most).prop_map(move |mut steps| {
        steps.insert(0, first);
        steps
    })
}
