//! What a lane demands of a job, by its settings: the rules of every lane, its egress cap, its tools.

use super::LaneSettings;
use super::lanes::tools;
use crate::job_types;
use crate::spec::{
    Egress, JobSpec, Permission, ToolPermissions, Violation, Violations, validate_for_lane,
};

impl LaneSettings {
    /// Checks a loaded spec against everything that the lane demands.
    ///
    /// # Errors
    /// Everything that the lane refuses, at once: as [`validate_for_lane`]; `D-SPEC-3t` for a destination
    /// outside of the lane's egress list; `D-SPEC-3u` for a tool that the lane keeps from agents; `D-JOB-3`
    /// for a step that needs such a tool.
    pub fn check_job(&self, spec: &JobSpec) -> Result<(), Violations> {
        let mut found = match validate_for_lane(spec, &self.rules) {
            Ok(()) => Vec::new(),
            Err(violations) => violations.into_vec(),
        };
        if let Some(cap) = &self.egress {
            self.check_egress(spec, cap, &mut found);
        }
        self.check_tools(&spec.tool_permissions, &mut found);
        let tools = self.tools_of(&spec.tool_permissions);
        for violation in job_types::tools::check(spec, &self.rules.lane, &tools) {
            // Said already, by the lane's own rule.
            if !found.iter().any(|known| known.pointer == violation.pointer) {
                found.push(violation);
            }
        }
        Violations::of(found).map_or(Ok(()), Err)
    }

    fn check_egress(&self, spec: &JobSpec, cap: &Egress, found: &mut Vec<Violation>) {
        let lane = &self.rules.lane;
        let mut refuse = |pointer: String, rule: &Egress| {
            let Some(outside) = rule.first_outside(cap) else {
                return;
            };
            let message = format!("reaches {outside}, which lane `{lane}` does not");
            let hint = format!(
                "ask for less, or have `lanes.{lane}.egress` of `moorline.toml` reviewed and widened"
            );
            found.push(Violation::new(pointer, "D-SPEC-3t", message).with_hint(hint));
        };
        if let Some(rule) = &spec.egress {
            refuse("/egress".to_owned(), rule);
        }
        for (index, step) in spec.steps().iter().enumerate() {
            if let Some(rule) = &step.egress {
                refuse(format!("/steps/{index}/egress"), rule);
            }
        }
    }

    fn check_tools(&self, asked: &ToolPermissions, found: &mut Vec<Violation>) {
        let lane = &self.rules.lane;
        for ((name, asked), (_, most)) in tools(asked).into_iter().zip(tools(&self.tools)) {
            let (Some(asked), Some(most)) = (asked, most) else {
                continue;
            };
            let pointer = format!("/tool_permissions/{name}");
            // Said already, with the reason.
            let said = found.iter().any(|known| known.pointer == pointer);
            if asked < most && !said {
                let message = format!("is `{}` in lane `{lane}`", word(most));
                let hint = "say the same or less, or leave it out";
                found.push(Violation::new(pointer, "D-SPEC-3u", message).with_hint(hint));
            }
        }
    }

    /// What agents may do who work on a job in this lane: the lane's rule, or less where the job says less.
    pub fn tools_of(&self, job: &ToolPermissions) -> ToolPermissions {
        let least = |lane: Option<Permission>, job: Option<Permission>| lane.max(job);
        ToolPermissions {
            edit: least(self.tools.edit, job.edit),
            read: least(self.tools.read, job.read),
            grep: least(self.tools.grep, job.grep),
            shell: least(self.tools.shell, job.shell),
            install_dependencies: least(self.tools.install_dependencies, job.install_dependencies),
            web_fetch: least(self.tools.web_fetch, job.web_fetch),
        }
    }
}

const fn word(permission: Permission) -> &'static str {
    match permission {
        Permission::Allowed => "allowed",
        Permission::Restricted => "restricted",
        Permission::Forbidden => "forbidden",
    }
}
