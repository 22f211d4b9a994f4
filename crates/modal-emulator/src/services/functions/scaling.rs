//! How many containers a function is to have: its bounds, and the decision.
//!
//! The decision is a pure function of the pool's numbers, so that its rules can be tested. Modal's own
//! scheduler is not modelled: a pool begins with as many containers as the machine has cores, and grows one
//! by one while its backlog would take longer than a container needs to start.

use std::time::Duration;

use moorline_modal_proto::client::{AutoscalerSettings, Function};

/// When a function says nothing, as on Modal.
const TIMEOUT: Duration = Duration::from_mins(5);
const SCALEDOWN: Duration = Duration::from_mins(1);
/// What the start of a container costs: imports, mostly.
const START: Duration = Duration::from_secs(1);
/// Shorter inputs keep the machine's cores busy by themselves: more containers would only share them.
const SHORT: Duration = Duration::from_millis(50);
/// Containers of a pool that has no bound of its own.
const CEILING: u32 = 64;

/// Bounds of a pool, from the definition and what was set since.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) min: u32,
    pub(crate) max: Option<u32>,
    /// Idle containers beside the busy ones, while the function is in use.
    pub(crate) buffer: u32,
    /// An idle container ends after it.
    pub(crate) scaledown: Duration,
    /// Inputs of a container at which the pool grows.
    pub(crate) target: u32,
    /// Inputs that a container takes at most.
    pub(crate) concurrency: u32,
    /// For one input.
    pub(crate) timeout: Duration,
    /// From a container's start to its first input.
    pub(crate) startup_timeout: Duration,
    pub(crate) single_use: bool,
    /// Its containers do not reach the emulator over HTTP.
    pub(crate) cut_off: bool,
}

impl Bounds {
    pub(crate) fn of(function: &Function, overrides: &AutoscalerSettings) -> Self {
        let settings = merged(function, overrides);
        let concurrency = function
            .max_concurrent_inputs
            .max(1)
            .max(function.batch_max_size);
        let target = match function.target_concurrent_inputs {
            0 => concurrency,
            target => target.max(function.batch_max_size),
        };
        let seconds = |secs: u32, default| match secs {
            0 => default,
            secs => Duration::from_secs(u64::from(secs)),
        };
        let timeout = seconds(function.timeout_secs, TIMEOUT);
        Self {
            min: settings.min_containers.unwrap_or(0),
            max: settings.max_containers.filter(|max| *max > 0),
            buffer: settings.buffer_containers.unwrap_or(0),
            scaledown: seconds(settings.scaledown_window.unwrap_or(0), SCALEDOWN),
            target,
            concurrency,
            timeout,
            startup_timeout: seconds(function.startup_timeout_secs, timeout),
            single_use: function.single_use_containers || function.max_inputs == 1,
            cut_off: super::launch::is_cut_off(function),
        }
    }
}

/// What the definition says, in the newer form. Zero is "nothing said" in the older fields.
pub(crate) fn stated(function: &Function) -> AutoscalerSettings {
    let older = |value: u32| (value > 0).then_some(value);
    let newer = function.autoscaler_settings.unwrap_or_default();
    AutoscalerSettings {
        min_containers: newer
            .min_containers
            .or_else(|| older(function.warm_pool_size)),
        max_containers: newer
            .max_containers
            .or_else(|| older(function.concurrency_limit)),
        buffer_containers: newer
            .buffer_containers
            .or_else(|| older(function.experimental_buffer_containers)),
        scaledown_window: newer
            .scaledown_window
            .or_else(|| older(function.task_idle_timeout_secs)),
        ..newer
    }
}

/// What is in force: the definition's settings, and what was set since over them.
pub(crate) fn merged(function: &Function, over: &AutoscalerSettings) -> AutoscalerSettings {
    over_settings(&stated(function), over)
}

/// Settings with others over them.
pub(crate) fn over_settings(
    under: &AutoscalerSettings,
    over: &AutoscalerSettings,
) -> AutoscalerSettings {
    AutoscalerSettings {
        min_containers: over.min_containers.or(under.min_containers),
        max_containers: over.max_containers.or(under.max_containers),
        buffer_containers: over.buffer_containers.or(under.buffer_containers),
        scaleup_window: over.scaleup_window.or(under.scaleup_window),
        scaledown_window: over.scaledown_window.or(under.scaledown_window),
        target_concurrency: over.target_concurrency.or(under.target_concurrency),
        scaledown_rate_limit: over.scaledown_rate_limit.or(under.scaledown_rate_limit),
        target_concurrency_float: over
            .target_concurrency_float
            .or(under.target_concurrency_float),
    }
}

/// A pool at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    /// Inputs that wait.
    pub(crate) waiting: usize,
    /// Inputs that run.
    pub(crate) running: usize,
    /// Containers that take inputs or will, and are not asked to end.
    pub(crate) containers: usize,
    /// Of these, containers that are not ready yet.
    pub(crate) starting: usize,
    /// Inputs that these containers could take at once up to the target, on top of those that run.
    pub(crate) free: usize,
    /// How long inputs took lately; absent before the first has ended.
    pub(crate) mean: Option<Duration>,
    /// Whether the pool may grow beyond the machine's cores now.
    pub(crate) patient: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Containers to start now.
    pub(crate) start: usize,
    /// Inputs wait for which nothing was started: to be looked at again.
    pub(crate) again: bool,
}

/// How many containers to start. `cores` is what the machine runs at once.
pub(crate) fn decide(bounds: &Bounds, load: Load, cores: usize) -> Decision {
    let size = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    let target = size(bounds.target).max(1);
    let most = size(bounds.max.unwrap_or(CEILING)).max(size(bounds.min));
    let room = most.saturating_sub(load.containers);
    // For what waits now.
    let short = load.waiting.saturating_sub(load.free).div_ceil(target);
    let at_once = cores.saturating_sub(load.containers);
    let slow = load.patient && pays(bounds, load);
    let wanted = short.min(at_once.max(usize::from(slow)));
    // For what was promised.
    let floor = size(bounds.min).saturating_sub(load.containers);
    let busy = (load.waiting + load.running).div_ceil(target);
    let in_use = load.waiting + load.running > 0;
    let buffered = if in_use && bounds.buffer > 0 {
        (busy + size(bounds.buffer))
            .saturating_sub(load.containers)
            .min(size(bounds.buffer))
    } else {
        0
    };
    let start = wanted.max(floor).max(buffered).min(room);
    Decision {
        start,
        again: short > start && room > start,
    }
}

/// Whether one more container would be ready before the others have done the work.
fn pays(bounds: &Bounds, load: Load) -> bool {
    if load.starting > 0 {
        return false;
    }
    let Some(mean) = load.mean else { return true };
    let at_once = load.containers * usize::try_from(bounds.target).unwrap_or(1).max(1);
    let rounds = load.waiting.div_ceil(at_once.max(1));
    mean > SHORT && mean.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX)) > START
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounds() -> Bounds {
        Bounds::of(&Function::default(), &AutoscalerSettings::default())
    }

    #[test]
    fn the_first_input_starts_one_container_and_the_next_none() {
        let load = Load {
            waiting: 1,
            ..Load::default()
        };
        assert_eq!(
            decide(&bounds(), load, 2),
            Decision {
                start: 1,
                again: false
            }
        );
        let load = Load {
            waiting: 1,
            containers: 1,
            free: 1,
            ..Load::default()
        };
        assert_eq!(decide(&bounds(), load, 2), Decision::default());
    }

    #[test]
    fn a_backlog_of_short_inputs_starts_no_more_than_the_machine_runs_at_once() {
        let load = Load {
            waiting: 900,
            ..Load::default()
        };
        assert_eq!(
            decide(&bounds(), load, 2),
            Decision {
                start: 2,
                again: true
            }
        );
        let mean = Some(Duration::from_micros(500));
        let load = Load {
            waiting: 900,
            containers: 2,
            mean,
            patient: true,
            ..Load::default()
        };
        assert_eq!(
            decide(&bounds(), load, 2),
            Decision {
                start: 0,
                again: true
            }
        );
    }

    #[test]
    fn a_backlog_of_long_inputs_grows_the_pool_one_by_one_up_to_its_bound() {
        let load = Load {
            waiting: 9,
            containers: 2,
            patient: true,
            ..Load::default()
        };
        assert_eq!(
            decide(&bounds(), load, 2),
            Decision {
                start: 1,
                again: true
            }
        );
        let early = Load {
            starting: 1,
            ..load
        };
        assert_eq!(
            decide(&bounds(), early, 2),
            Decision {
                start: 0,
                again: true
            }
        );
        let bounds = Bounds {
            max: Some(2),
            ..bounds()
        };
        assert_eq!(decide(&bounds, load, 2), Decision::default());
    }

    #[test]
    fn concurrent_inputs_share_a_container() {
        let bounds = Bounds {
            target: 10,
            concurrency: 20,
            ..bounds()
        };
        let load = Load {
            waiting: 10,
            ..Load::default()
        };
        assert_eq!(
            decide(&bounds, load, 4),
            Decision {
                start: 1,
                again: false
            }
        );
        let load = Load {
            waiting: 11,
            ..Load::default()
        };
        assert_eq!(
            decide(&bounds, load, 4),
            Decision {
                start: 2,
                again: false
            }
        );
    }

    #[test]
    fn what_was_promised_is_kept_warm() {
        let warm = Bounds { min: 3, ..bounds() };
        assert_eq!(decide(&warm, Load::default(), 2).start, 3);
        let buffered = Bounds {
            buffer: 2,
            ..bounds()
        };
        assert_eq!(decide(&buffered, Load::default(), 2).start, 0);
        let load = Load {
            waiting: 1,
            ..Load::default()
        };
        assert_eq!(decide(&buffered, load, 2).start, 2);
        let load = Load {
            running: 1,
            containers: 3,
            free: 2,
            ..Load::default()
        };
        assert_eq!(decide(&buffered, load, 2).start, 0);
    }

    proptest! {
        #[test]
        fn a_decision_keeps_the_bounds_and_leaves_no_input_forgotten(
            waiting in 0_usize..2000, running in 0_usize..50, containers in 0_usize..70,
            min in 0_u32..5, max in proptest::option::of(1_u32..9), target in 1_u32..20,
            cores in 1_usize..9,
        ) {
            let bounds = Bounds { min, max, target, concurrency: target, ..bounds() };
            let load = Load { waiting, running, containers, patient: true, ..Load::default() };
            let decision = decide(&bounds, load, cores);
            let most = max.unwrap_or(CEILING).max(min) as usize;
            prop_assert!(decision.start == 0 || containers + decision.start <= most);
            prop_assert!(containers + decision.start >= (min as usize).min(most));
            let served = containers + decision.start > 0;
            prop_assert!(waiting == 0 || served || decision.again);
        }
    }
}
