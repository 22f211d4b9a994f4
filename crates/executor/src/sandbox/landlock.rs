//! File, socket and signal rules that a process lays upon itself (landlock(7)).

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, LandlockStatus,
    RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};

use super::link::FileAccess;

/// The newest interface whose rights are asked for; an older kernel enforces those that it knows.
const NEWEST: ABI = ABI::V7;

/// Restricts this process and all that it starts to `access`. Answers what is enforced, for people.
///
/// Below the first interface version, nothing could be enforced and that is an error.
pub(crate) fn restrict(access: &FileAccess) -> Result<String, String> {
    let status = enforce(access).map_err(|error| format!("landlock: {error}"))?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as u32,
        LandlockStatus::NotEnabled => {
            return Err("landlock is not enabled in this kernel".to_owned());
        }
        LandlockStatus::NotImplemented => return Err("this kernel has no landlock".to_owned()),
    };
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(format!("ABI {abi}")),
        RulesetStatus::PartiallyEnforced => Ok(format!("ABI {abi}, in part")),
        RulesetStatus::NotEnforced => Err(format!("landlock ABI {abi} enforced nothing")),
    }
}

fn enforce(access: &FileAccess) -> Result<RestrictionStatus, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    if access.no_tcp {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
    }
    ruleset
        .create()?
        .add_rules(path_beneath_rules(
            &access.read,
            AccessFs::from_read(NEWEST),
        ))?
        .add_rules(path_beneath_rules(
            &access.write,
            AccessFs::from_all(NEWEST),
        ))?
        .restrict_self()
}
