//! Starting the job in the way that the launcher chose.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use moorline_core::attempt::Attempt;
use moorline_core::spec::Egress;

use super::prepare::{self, Places};
use super::request::{Backend, Request, SecretText};
use super::spawn::{self, Program, Started};
use crate::local::layout::AttemptDir;
use crate::local::{ATTEMPT_VARIABLE, INIT};
use crate::sandbox::PROXY_PORT;
use crate::sandbox::bwrap::{self, Bind, INPUT, JOB, OUTPUT, SCRATCH, SHARED_MEMORY, Sandbox};
use crate::sandbox::cgroup::Groups;
use crate::sandbox::link::{Confine, FileAccess, Link, Orders};

/// A started job.
pub(super) struct Running {
    pub(super) groups: Option<Groups>,
    pub(super) started: Started,
    /// The way to the helper, when there is one.
    pub(super) link: Option<Link>,
}

/// Prepares the attempt's directories and starts the job. The error is a sentence for people.
pub(super) fn start(
    request: &Request,
    dir: &AttemptDir,
    secrets: BTreeMap<String, SecretText>,
) -> Result<Running, String> {
    let groups = match request.groups.as_slice() {
        [] => None,
        groups => Some(Groups::make(groups)?),
    };
    let start = Start {
        attempt: &request.attempt,
        dir,
        groups: groups.as_ref(),
    };
    let (started, link) = match &request.backend {
        Backend::Plain => (start.plain(secrets)?, None),
        Backend::Guest => (start.guest(secrets)?, None),
        Backend::Process { helper, confine } => start.process(secrets, helper, confine)?,
        Backend::Bubblewrap { sandbox, confine } => start.bubblewrap(secrets, sandbox, confine)?,
    };
    Ok(Running {
        groups,
        started,
        link,
    })
}

struct Start<'a> {
    attempt: &'a Attempt,
    dir: &'a AttemptDir,
    groups: Option<&'a Groups>,
}

impl Start<'_> {
    fn plain(&self, secrets: BTreeMap<String, SecretText>) -> Result<Started, String> {
        let places = self.on_host()?;
        let env = places.environment(self.attempt, secrets);
        self.program(&places, &env)
    }

    /// What the image sets is there as well, unless the step says otherwise.
    fn guest(&self, secrets: BTreeMap<String, SecretText>) -> Result<Started, String> {
        let places = Places::in_guest(self.dir).map_err(files)?;
        let mut env = places.environment(self.attempt, secrets);
        #[expect(
            clippy::disallowed_methods,
            reason = "the image's variables are those of this process"
        )]
        let inherited = std::env::vars();
        let objects = self.attempt.secret_objects.iter();
        let withheld: Vec<&String> = objects.flat_map(|object| &object.withheld).collect();
        for (name, value) in inherited.filter(|(name, _)| !withheld.contains(&name)) {
            let set = self.attempt.env.contains_key(&name);
            match name.as_str() {
                "PATH" | "LANG" if !set => {
                    env.insert(name, SecretText::new(&value));
                }
                _ => {
                    env.entry(name).or_insert_with(|| SecretText::new(&value));
                }
            }
        }
        self.program(&places, &env)
    }

    fn program(
        &self,
        places: &Places,
        env: &BTreeMap<String, SecretText>,
    ) -> Result<Started, String> {
        let attempt = self.attempt;
        let working_dir = PathBuf::from(places.working_dir(attempt)?);
        let argv: Vec<_> = attempt.argv.iter().map(prepare::os_string).collect();
        let name = argv.first().ok_or("the command is empty")?;
        let path = env.get("PATH").map_or(prepare::PATH, |path| path.expose());
        let file = spawn::find_program(Path::new(name), path, &working_dir)?;
        let shown = file.display().to_string();
        let groups = self.groups;
        let program = Program {
            file,
            argv,
            env,
            dir: working_dir,
            stdin: None,
            groups,
        };
        spawn::start(program).map_err(|error| format!("`{shown}`: {error}"))
    }

    fn process(
        &self,
        secrets: BTreeMap<String, SecretText>,
        helper: &Path,
        confine: &Confine,
    ) -> Result<(Started, Option<Link>), String> {
        let attempt = self.attempt;
        let places = self.on_host()?;
        let mut confine = confine.clone();
        if let Some(access) = &mut confine.landlock {
            access
                .read
                .extend([places.job.clone(), places.input.clone()]);
            access.read.push(places.input_document.clone());
            access
                .write
                .extend([places.output.clone(), places.scratch.clone()]);
            add_mounts(access, attempt, |mount| mount.source.display().to_string());
        }
        let orders = Orders {
            argv: attempt.argv.clone(),
            env: places.environment(attempt, secrets),
            working_dir: places.working_dir(attempt)?,
            confine,
            proxy: false,
            scratch: Vec::new(),
        };
        self.launch(helper, vec![OsString::from(helper), INIT.into()], &orders)
    }

    fn bubblewrap(
        &self,
        secrets: BTreeMap<String, SecretText>,
        sandbox: &Sandbox,
        confine: &Confine,
    ) -> Result<(Started, Option<Link>), String> {
        let attempt = self.attempt;
        let places = Places::in_sandbox();
        prepare::common(self.dir, attempt, &places).map_err(files)?;
        let mut env = places.environment(attempt, secrets);
        let proxy = matches!(attempt.egress, Egress::Allow(_));
        if proxy {
            let url = format!("http://127.0.0.1:{PROXY_PORT}");
            for name in ["http_proxy", "https_proxy", "all_proxy"] {
                env.insert(name.to_owned(), SecretText::new(&url));
                env.insert(name.to_uppercase(), SecretText::new(&url));
            }
        }
        let mut confine = confine.clone();
        if let Some(access) = &mut confine.landlock {
            let writable = [OUTPUT, SCRATCH, SHARED_MEMORY, "/dev"];
            access.write.extend(writable.map(str::to_owned));
            add_mounts(access, attempt, |mount| mount.path.clone());
        }
        let orders = Orders {
            argv: attempt.argv.clone(),
            env,
            working_dir: places.working_dir(attempt)?,
            confine,
            proxy,
            scratch: vec![SCRATCH.to_owned(), SHARED_MEMORY.to_owned()],
        };
        let binds = binds(attempt, self.dir, &places)?;
        let arguments = bwrap::arguments(sandbox, &binds).map_err(files)?;
        self.launch(&sandbox.bwrap, arguments, &orders)
    }

    fn on_host(&self) -> Result<Places, String> {
        let places = Places::on_host(self.dir, self.attempt)?;
        prepare::common(self.dir, self.attempt, &places).map_err(files)?;
        prepare::on_host(self.dir, self.attempt).map_err(files)?;
        Ok(places)
    }

    /// Starts a helper, directly or inside a sandbox, and gives it its orders.
    fn launch(
        &self,
        file: &Path,
        argv: Vec<OsString>,
        orders: &Orders,
    ) -> Result<(Started, Option<Link>), String> {
        let shown = file.display();
        let told = |error: io::Error| format!("`{shown}`: {error}");
        let (mut link, stdin) = Link::pair().map_err(told)?;
        // By this what is left of it is found when the supervisor dies before the sandbox is complete.
        let id = SecretText::new(&self.attempt.id.to_string());
        let started = spawn::start(Program {
            file: file.to_owned(),
            argv,
            env: &BTreeMap::from([(ATTEMPT_VARIABLE.to_owned(), id)]),
            dir: PathBuf::from("/"),
            stdin: Some(stdin),
            groups: self.groups,
        });
        let started = started.map_err(told)?;
        match link.send(orders) {
            Ok(()) => {}
            // It ended already; why, its output and its status tell.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(told(error)),
        }
        Ok((started, Some(link)))
    }
}

/// Everything of the attempt that is mounted.
fn binds(attempt: &Attempt, dir: &AttemptDir, places: &Places) -> Result<Vec<Bind>, String> {
    let mut binds = vec![
        Bind::read_only(&attempt.bundle, JOB),
        Bind {
            source: dir.output(),
            target: OUTPUT.to_owned(),
            read_only: false,
        },
        Bind::read_only(dir.input_document(), &places.input_document),
    ];
    for file in attempt.input_files() {
        let target = prepare::inside(&file.path)?;
        binds.push(Bind::read_only(&file.source, format!("{INPUT}/{target}")));
    }
    for mount in &attempt.mounts {
        binds.push(Bind {
            source: mount.source.clone(),
            target: mount.path.clone(),
            read_only: mount.read_only,
        });
    }
    for bind in &binds {
        // bwrap would say so as well, but not which of the attempt's files it was.
        bind.source
            .metadata()
            .map_err(|error| format!("`{}`: {error}", bind.source.display()))?;
    }
    Ok(binds)
}

fn add_mounts(
    access: &mut FileAccess,
    attempt: &Attempt,
    seen_as: impl Fn(&moorline_core::attempt::Mount) -> String,
) {
    for mount in &attempt.mounts {
        let list = if mount.read_only {
            &mut access.read
        } else {
            &mut access.write
        };
        list.push(seen_as(mount));
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that `map_err` calls"
)]
fn files(error: io::Error) -> String {
    format!("the attempt's files: {error}")
}
