//! From the configuration to a server that listens, works and ends well.
//!
//! The order is fixed: open the state of every project, listen, say so, work. It ends the other way round:
//! nothing new is accepted, what was asked is answered, attempts that are driven are finished, and the runs they
//! belong to are left to other servers. What is not finished in time, or by a second signal, is left to whichever
//! process comes next, as `moorline work` does.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use moorline_api::ApiError;
use moorline_core::config::{DEFAULT_PROJECT, Settings};
use moorline_core::error_code::ErrorCode;
use moorline_engine::surroundings::{self, STATE, Surroundings};
use moorline_engine::{Engine, Until, assemble};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::app::{App, Project};
use crate::args::{Cli, Command};
use crate::env::Env;
use crate::metrics::Metrics;
use crate::{limits, listen, report, routes, tls, trace, uploads};

/// How long requests that are being answered may go on once the server ends.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// How long threads that work on files may take to end.
const LAST: Duration = Duration::from_secs(1);

/// Does what the arguments ask for.
pub(crate) fn run(env: &Env, args: &Cli) -> Result<ExitCode, ApiError> {
    let surroundings = Surroundings {
        vars: &env.vars,
        cwd: &env.cwd,
        state: args.global.state.as_deref(),
        set: &args.global.set,
    };
    let mut settings = surroundings.configuration()?.settings;
    if let Some(bind) = args.serve.bind {
        settings.server.bind = bind;
    }
    let state = surroundings
        .find_state()
        .unwrap_or_else(|| env.cwd.join(STATE));
    let setup = Setup {
        helper: surroundings::helper(env.program.as_deref())?,
        vars: env.vars.clone(),
        settings: Arc::new(settings),
        state,
        work: !args.serve.no_work,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            ApiError::new(ErrorCode::Internal, "can not start the runtime").because(error)
        })?;
    let telling = {
        let _entered = runtime.enter();
        trace::init(&args.global, &env.vars)?
    };
    let done = match &args.command {
        None => runtime.block_on(serve(setup)).map(|()| ExitCode::SUCCESS),
        Some(Command::Migrate { check }) => runtime.block_on(migrate(setup, *check)),
    };
    telling.end();
    // A thread that reads or writes a file may be held up by the disk: nobody waits for it.
    runtime.shutdown_timeout(LAST);
    done
}

/// What a server is made from.
struct Setup {
    helper: PathBuf,
    vars: std::collections::BTreeMap<String, String>,
    settings: Arc<Settings>,
    state: PathBuf,
    work: bool,
}

impl Setup {
    /// The names of the projects, the one that is always there first.
    fn projects(&self) -> impl Iterator<Item = &str> {
        let own = self.settings.server.projects.iter().map(String::as_str);
        std::iter::once(DEFAULT_PROJECT).chain(own.filter(|name| *name != DEFAULT_PROJECT))
    }

    /// What the engine of a project is made from.
    fn options(&self, project: &str) -> assemble::Options {
        assemble::Options {
            project: project.to_owned(),
            dirs: assemble::Options::dirs_of(&self.state, project),
            settings: Arc::clone(&self.settings),
            // People keep their own keys, and send what they signed (D-ART-3).
            keys: moorline_engine::KeyPlace::elsewhere(),
            vars: self.vars.clone(),
            ambient_secrets: false,
            helper: self.helper.clone(),
        }
    }

    async fn open(&self, project: &str) -> Result<Project, ApiError> {
        let engine = assemble::embedded(self.options(project)).await?;
        engine.join_traces(trace::join);
        engine.serve();
        Ok(Project {
            name: project.to_owned(),
            engine,
        })
    }
}

async fn serve(setup: Setup) -> Result<(), ApiError> {
    let mut signals = Signals::listen()?;
    // What is wrong with it is known before any state is opened.
    let tls = tls::acceptor(&setup.settings.server)?.map(watch::channel);
    let mut projects = Vec::new();
    for name in setup.projects() {
        projects.push(setup.open(name).await?);
    }
    let bind = setup.settings.server.bind;
    let engines: Vec<Engine> = projects.iter().map(|p| p.engine.clone()).collect();
    limits::may_bind(bind, &engines).await?;
    let listener = TcpListener::bind(bind).await.map_err(|error| {
        ApiError::new(
            ErrorCode::Config,
            format!("can not listen on {bind}: {error}"),
        )
        .hint("give another address with `--bind`, or end what listens there")
    })?;
    let local = listener.local_addr().map_err(|error| {
        ApiError::new(ErrorCode::Internal, "the socket has no address").because(error)
    })?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let shown = format!("{scheme}://{local}");
    let origin = setup.settings.server.public_url.clone();
    let clock = match projects.first() {
        Some(project) => Arc::clone(project.engine.clock()),
        None => Arc::new(moorline_core::clock::SystemClock),
    };
    let app = Arc::new(App::new(
        projects,
        Arc::clone(&setup.settings),
        setup.state.clone(),
        clock,
        origin.unwrap_or_else(|| shown.clone()),
    )?);
    let router = routes::router(Arc::clone(&app))?;
    app.tasks.spawn(Metrics::upkeep(Arc::clone(&app)));
    app.tasks.spawn(uploads::sweep(Arc::clone(&app)));
    let tls = match tls {
        None => None,
        Some((current, tls)) => {
            let hangup = Signals::one(SignalKind::hangup())?;
            app.tasks
                .spawn(tls::renew(Arc::clone(&app), hangup, current));
            Some(tls)
        }
    };
    report::line(&format!("listening on {shown}"));

    let accepting = app.tasks.spawn(listen::serve(
        listener,
        tls,
        router,
        app.closing.clone(),
        GRACE,
    ));
    for engine in &engines {
        if setup.work {
            app.tasks.spawn(work(engine.clone(), app.closing.clone()));
        } else {
            // What is submitted here is for those who work.
            engine.leave();
        }
    }
    signals.next().await;
    info!("ending: finishing what was asked and what runs");
    app.closing.cancel();
    app.tasks.close();
    engines.iter().for_each(Engine::leave);
    let finish = async {
        if let Err(error) = accepting.await {
            error!("the listener ended badly: {error}");
        }
        app.tasks.wait().await;
        for engine in &engines {
            engine.drain().await;
        }
    };
    let drain = Duration::from_secs(app.server().drain_seconds.into());
    tokio::select! {
        () = finish => {}
        // Requests have their time in any case.
        () = tokio::time::sleep(drain.max(GRACE)) => warn!("left what runs after {drain:?} to the next process"),
        () = signals.next() => info!("left what runs to the next process"),
    }
    Ok(())
}

/// Drives runs, starts what is due, until the server ends.
async fn work(engine: Engine, closing: CancellationToken) {
    // What ended while no process was there is recorded first, so that nobody waits for it.
    if let Err(error) = engine.tidy().await {
        error!(code = error.code.as_str(), "{error}");
    }
    if let Err(error) = engine.work(Until::Told, closing.cancelled_owned()).await {
        error!(code = error.code.as_str(), "the worker ended: {error}");
    }
}

/// Brings every project's schema up to date, which opening it does.
async fn migrate(setup: Setup, check: bool) -> Result<ExitCode, ApiError> {
    if check {
        let mut left = false;
        for name in setup.projects() {
            let found = assemble::schema_check(&setup.options(name)).await?;
            left |= !found.is_current();
            report::line(&match found.pending.as_slice() {
                [] => format!("{name}: up to date (schema {})", found.found),
                pending => format!(
                    "{name}: schema {} of {}, to be applied: {}",
                    found.found,
                    found.program,
                    pending.join(", ")
                ),
            });
        }
        return Ok(ExitCode::from(u8::from(left)));
    }
    for name in setup.projects() {
        setup.open(name).await?;
        report::line(&format!("{name}: up to date"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The signals that end a server.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, ApiError> {
        Ok(Self {
            interrupt: Self::one(SignalKind::interrupt())?,
            terminate: Self::one(SignalKind::terminate())?,
        })
    }

    fn one(kind: SignalKind) -> Result<Signal, ApiError> {
        signal(kind).map_err(|error| {
            ApiError::new(ErrorCode::Internal, "can not listen for signals").because(error)
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
