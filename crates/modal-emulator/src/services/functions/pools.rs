//! Pools: the inputs that wait for one function, and the containers that run it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline_modal_proto::client::GenericResult;
use tokio::sync::Notify;

use super::scaling::{Bounds, Load};
use crate::services::tasks::Leave;

/// A container that has not given a cancelled input up by then is killed.
pub(super) const CANCEL_GRACE: Duration = Duration::from_secs(30);
/// Between two looks at a backlog for which the pool grows beyond the machine's cores.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// One function's inputs and containers.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) app_id: String,
    pub(crate) bounds: Bounds,
    pub(crate) generation: u64,
    /// Inputs that wait for a container, with the time since when.
    pub(crate) ready: VecDeque<(String, Instant)>,
    /// By task id.
    pub(crate) slots: BTreeMap<String, Slot>,
    /// Told when there may be something for a container that waits.
    pub(crate) arrivals: Arc<Notify>,
    /// How long inputs took lately.
    pub(crate) mean: Option<Duration>,
    /// A look at the backlog is planned.
    pub(crate) looking: bool,
    /// Containers that failed in a row before they took an input.
    pub(crate) failures: u32,
    /// No container is started before, because the last ones failed.
    pub(crate) not_before: Option<Instant>,
}

/// One container of a pool.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) generation: u64,
    /// It asked for inputs.
    pub(crate) ready: bool,
    /// When it must have.
    pub(crate) start_deadline: Instant,
    /// Inputs in it by id.
    pub(crate) running: BTreeMap<String, Attempt>,
    /// The input after which nothing ran in it any more.
    pub(crate) last: Option<String>,
    /// It takes no more inputs.
    pub(crate) leaving: bool,
    /// Inputs that it has taken.
    pub(crate) served: u64,
    pub(crate) idle_since: Instant,
    /// Inputs that it is to give up, for the next heartbeat.
    pub(crate) cancel: Vec<String>,
    pub(crate) heartbeat: Arc<Notify>,
    /// Told when the next deadline may be an earlier one.
    pub(crate) clock: Arc<Notify>,
    pub(crate) leave: Leave,
    /// What the last request was given, for a repetition of it.
    pub(crate) delivery: Option<(String, Vec<String>)>,
    /// Why it could not begin.
    pub(crate) result: Option<GenericResult>,
}

/// An input in a container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) since: Instant,
    pub(crate) deadline: Instant,
}

impl Pool {
    pub(crate) fn new(app_id: String, bounds: Bounds, generation: u64) -> Self {
        Self {
            app_id,
            bounds,
            generation,
            ready: VecDeque::new(),
            slots: BTreeMap::new(),
            arrivals: Arc::default(),
            mean: None,
            looking: false,
            failures: 0,
            not_before: None,
        }
    }

    /// Containers that take inputs, or will.
    fn live(&self) -> impl Iterator<Item = &Slot> {
        self.slots
            .values()
            .filter(|slot| !slot.leaving && slot.generation == self.generation)
    }

    pub(crate) fn running(&self) -> usize {
        self.slots.values().map(|slot| slot.running.len()).sum()
    }

    /// The numbers on which growth is decided.
    pub(crate) fn load(&self) -> Load {
        let target = usize::try_from(self.bounds.target).unwrap_or(usize::MAX);
        let single = self.bounds.single_use;
        let free = |slot: &Slot| {
            if single {
                usize::from(slot.served == 0)
            } else {
                target.saturating_sub(slot.running.len())
            }
        };
        Load {
            waiting: self.ready.len(),
            running: self.running(),
            containers: self.live().count(),
            starting: self.live().filter(|slot| !slot.ready).count(),
            free: self.live().map(free).sum(),
            mean: self.mean,
            patient: false,
        }
    }

    /// Whether a container that has been idle for long may go.
    fn is_surplus(&self) -> bool {
        let size = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
        let in_use = !self.ready.is_empty() || self.running() > 0;
        let buffer = if in_use { size(self.bounds.buffer) } else { 0 };
        self.live().count() > size(self.bounds.min) + buffer
    }

    fn is_too_many(&self) -> bool {
        let most = self.bounds.max.map(|max| max.max(self.bounds.min));
        most.is_some_and(|most| self.live().count() > usize::try_from(most).unwrap_or(usize::MAX))
    }

    /// An input took this long.
    pub(crate) fn took(&mut self, time: Duration) {
        self.mean = Some(self.mean.map_or(time, |mean| (mean * 7 + time) / 8));
    }

    /// Takes an input out of the queue.
    pub(crate) fn withdraw(&mut self, input: &str) {
        self.ready.retain(|(id, _)| id != input);
    }

    /// How long no container is started after the last ones failed.
    pub(crate) fn failed_to_start(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + Duration::from_secs(1 << self.failures.min(6)));
    }

    /// What a container that asks for inputs gets now.
    pub(super) fn ask(&mut self, task: &str, ask: &Ask, now: Instant) -> Turn {
        self.failures = 0;
        self.not_before = None;
        let (surplus, too_many) = (self.is_surplus(), self.is_too_many());
        let (generation, bounds) = (self.generation, &self.bounds);
        let Some(slot) = self.slots.get_mut(task) else {
            return Turn::Leave;
        };
        if !slot.ready {
            slot.ready = true;
            slot.idle_since = now;
        }
        if let Some((key, inputs)) = &slot.delivery
            && ask.key.as_ref() == Some(key)
            && inputs.iter().any(|input| slot.running.contains_key(input))
        {
            let again = inputs
                .iter()
                .filter(|input| slot.running.contains_key(*input));
            return Turn::Take(again.cloned().collect());
        }
        let used_up = bounds.single_use && slot.served > 0;
        let outdated = slot.generation != generation;
        if slot.leaving || used_up || outdated || (too_many && slot.running.is_empty()) {
            slot.leaving = true;
            return Turn::Leave;
        }
        let Some((_, since)) = self.ready.front() else {
            if !slot.running.is_empty() {
                return Turn::Wait(None);
            }
            let over = slot.idle_since + bounds.scaledown;
            if now < over {
                return Turn::Wait(Some(over));
            }
            if surplus {
                slot.leaving = true;
                return Turn::Leave;
            }
            // It is one of those that are kept warm.
            slot.idle_since = now;
            return Turn::Wait(Some(now + bounds.scaledown));
        };
        if ask.batch_max == 0 {
            return self
                .ready
                .pop_front()
                .map_or(Turn::Wait(None), |(id, _)| Turn::Take(vec![id]));
        }
        let full = self.ready.len() >= ask.batch_max;
        let over = *since + ask.linger;
        if !full && now < over {
            return Turn::Wait(Some(over));
        }
        let size = ask.batch_max.min(self.ready.len());
        Turn::Take(self.ready.drain(..size).map(|(id, _)| id).collect())
    }
}

/// What a container asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    /// Of the request; a repetition has the same.
    pub(crate) key: Option<String>,
    /// 0 is no batching.
    pub(crate) batch_max: usize,
    pub(crate) linger: Duration,
}

/// What it gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// These inputs.
    Take(Vec<String>),
    /// Nothing now; to be asked again when told, or then.
    Wait(Option<Instant>),
    /// Nothing more.
    Leave,
}

impl Slot {
    pub(crate) fn new(generation: u64, leave: Leave, start_deadline: Instant) -> Self {
        Self {
            generation,
            ready: false,
            start_deadline,
            running: BTreeMap::new(),
            last: None,
            leaving: false,
            served: 0,
            idle_since: start_deadline,
            cancel: Vec::new(),
            heartbeat: Arc::default(),
            clock: Arc::default(),
            leave,
            delivery: None,
            result: None,
        }
    }

    /// When the first thing is overdue that it must do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if !self.ready {
            return Some(self.start_deadline);
        }
        self.running.values().map(|attempt| attempt.deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use moorline_modal_proto::client::{AutoscalerSettings, Function};

    use super::*;

    fn pool(function: &Function) -> (Pool, Instant) {
        let now = super::super::instant();
        let bounds = Bounds::of(function, &AutoscalerSettings::default());
        let mut pool = Pool::new("ap-1".to_owned(), bounds, 1);
        pool.slots
            .insert("ta-1".to_owned(), Slot::new(1, Leave::default(), now));
        (pool, now)
    }

    fn wait(pool: &mut Pool, ids: &[&str], now: Instant) {
        pool.ready
            .extend(ids.iter().map(|id| ((*id).to_owned(), now)));
    }

    fn ids(ids: &[&str]) -> Turn {
        Turn::Take(ids.iter().map(|id| (*id).to_owned()).collect())
    }

    #[test]
    fn a_container_leaves_after_it_was_idle_for_the_window() {
        let function = Function {
            task_idle_timeout_secs: 5,
            ..Function::default()
        };
        let (mut pool, now) = pool(&function);
        let window = Duration::from_secs(5);
        assert_eq!(
            pool.ask("ta-1", &Ask::default(), now),
            Turn::Wait(Some(now + window))
        );
        assert_eq!(pool.ask("ta-1", &Ask::default(), now + window), Turn::Leave);
        assert_eq!(pool.load().containers, 0);
    }

    #[test]
    fn a_warm_container_stays() {
        let function = Function {
            task_idle_timeout_secs: 5,
            warm_pool_size: 1,
            ..Function::default()
        };
        let (mut pool, now) = pool(&function);
        let later = now + Duration::from_mins(1);
        pool.ask("ta-1", &Ask::default(), now);
        assert!(matches!(
            pool.ask("ta-1", &Ask::default(), later),
            Turn::Wait(Some(_))
        ));
    }

    #[test]
    fn a_batch_waits_until_it_is_full_or_has_lingered() {
        let (mut pool, now) = pool(&Function::default());
        let linger = Duration::from_millis(100);
        let ask = Ask {
            key: None,
            batch_max: 2,
            linger,
        };
        wait(&mut pool, &["a"], now);
        assert_eq!(pool.ask("ta-1", &ask, now), Turn::Wait(Some(now + linger)));
        assert_eq!(pool.ask("ta-1", &ask, now + linger), ids(&["a"]));
        wait(&mut pool, &["a", "b", "c"], now);
        assert_eq!(pool.ask("ta-1", &ask, now), ids(&["a", "b"]));
    }

    #[test]
    fn a_container_of_an_older_definition_takes_nothing_more() {
        let (mut pool, now) = pool(&Function::default());
        wait(&mut pool, &["a"], now);
        pool.generation = 2;
        assert_eq!(pool.ask("ta-1", &Ask::default(), now), Turn::Leave);
        assert_eq!(pool.ready.len(), 1);
    }

    #[test]
    fn a_single_use_container_takes_one_input() {
        let function = Function {
            single_use_containers: true,
            ..Function::default()
        };
        let (mut pool, now) = pool(&function);
        wait(&mut pool, &["a", "b"], now);
        assert_eq!(pool.load().free, 1);
        assert_eq!(pool.ask("ta-1", &Ask::default(), now), ids(&["a"]));
        pool.slots.get_mut("ta-1").unwrap().served = 1;
        assert_eq!(pool.load().free, 0);
        assert_eq!(pool.ask("ta-1", &Ask::default(), now), Turn::Leave);
    }
}
