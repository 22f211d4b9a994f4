//! COPY, into the container of a stage.

use crate::container::Exit;
use crate::ids;

use super::build::{Builder, EXCHANGE, Failure, Stage};
use super::copy::{self, CONTEXT};
use super::recipe::{UV, UV_IMAGE};
use super::run::ended;
use super::words::expand;

impl Builder {
    pub(super) async fn copy_step(
        &mut self,
        from: Option<&str>,
        chmod: Option<&str>,
        sources: &[String],
        target: &str,
    ) -> Result<(), Failure> {
        let stage = self.stage()?;
        let known = stage.variables();
        let workdir = stage
            .base
            .config
            .workdir
            .clone()
            .unwrap_or_else(|| "/".to_owned());
        let sources: Vec<String> = sources
            .iter()
            .map(|source| expand(source, &known))
            .collect();
        let target = expand(target, &known);
        let inside = match from {
            Some(from) if from.starts_with(UV_IMAGE) => self.uv()?,
            Some(from) => self.taken_from_stage(from, &sources).await?,
            None if self.order.adds_python => {
                self.say("not copied: this machine's Python stands in for it\n");
                return Ok(());
            }
            None if self.order.is_modals => return Ok(()),
            None => self.found_in_context(&sources)?,
        };
        let exec = copy::exec(inside, &target, &workdir, chmod);
        match self.start(exec).await? {
            Exit::Code(0) => Ok(()),
            exit => Err(Failure::Step(format!(
                "COPY to {target} failed: {}",
                ended(exit)
            ))),
        }
    }

    /// A program that stands in for `uv`, as a path inside.
    fn uv(&self) -> Result<Vec<String>, Failure> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.scratch.path().join("exchange/uv");
        let written = std::fs::write(&path, UV)
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)));
        written.map_err(|error| Failure::Step(format!("no program stands in for uv: {error}")))?;
        Ok(vec![format!("{EXCHANGE}/uv")])
    }

    /// Takes files out of an earlier stage; the paths where they are now.
    async fn taken_from_stage(
        &mut self,
        from: &str,
        sources: &[String],
    ) -> Result<Vec<String>, Failure> {
        let by_name = self
            .stages
            .iter()
            .position(|stage| stage.name.as_deref() == Some(from));
        let found = by_name.or_else(|| from.parse().ok());
        let Some(at) = found.filter(|at| at + 1 < self.stages.len()) else {
            let text = format!(
                "COPY --from={from}: no earlier stage has that name, and files of other images can not be copied here"
            );
            return Err(Failure::Step(text));
        };
        // The stage becomes the current one for a moment.
        let current: Vec<Stage> = self.stages.drain(at + 1..).collect();
        let place = format!("{EXCHANGE}/{}", ids::new("stage"));
        let mut inside = Vec::new();
        let mut told = Ok(());
        for (number, source) in sources.iter().enumerate() {
            let source = format!("/{}", source.trim_start_matches('/').trim_end_matches('/'));
            let name = source.rsplit('/').next().unwrap_or_default();
            let copied = format!("{place}/{number}/{name}");
            let exec = copy::exec(vec![source.clone()], &copied, "/", None);
            match self.start(exec).await {
                Ok(Exit::Code(0)) => inside.push(copied.trim_end_matches('/').to_owned()),
                Ok(_) => {
                    told = Err(Failure::Step(format!(
                        "COPY --from={from}: no `{source}` there"
                    )));
                    break;
                }
                Err(failure) => {
                    told = Err(failure);
                    break;
                }
            }
        }
        self.stages.extend(current);
        told.map(|()| inside)
    }

    fn found_in_context(&self, sources: &[String]) -> Result<Vec<String>, Failure> {
        let io = |error| Failure::Step(format!("the build context can not be read: {error}"));
        let mut inside = Vec::new();
        for source in sources {
            let files = self.scratch.path().join("files");
            let mut found: Vec<String> = Vec::new();
            let is_all = matches!(source.trim_matches('/'), "" | ".");
            if !is_all {
                let small = copy::matches(&files, source).map_err(io)?;
                found.extend(
                    small
                        .iter()
                        .map(|path| format!("{CONTEXT}-files/{}", path.display())),
                );
            }
            if let Some(context) = &self.order.context {
                let large = copy::matches(context, source).map_err(io)?;
                found.extend(
                    large
                        .iter()
                        .map(|path| format!("{CONTEXT}/{}", path.display())),
                );
            }
            if found.is_empty() {
                let text = format!("COPY: no file `{source}` in the build context");
                return Err(Failure::Step(text));
            }
            inside.extend(found);
        }
        Ok(inside)
    }
}
