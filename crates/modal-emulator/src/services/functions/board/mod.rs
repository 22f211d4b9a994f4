//! All calls and pools, and what happens to them. No I/O, no waiting: one lock is held for a moment.
//!
//! What follows from a change (containers to start or to end, attempts to be made later) is put into
//! [`Follow`], and done by the caller after the lock.

mod endings;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use moorline_modal_proto::client::generic_result::GenericStatus;
use moorline_modal_proto::client::{
    FunctionCallInvocationType, FunctionGetInputsItem, FunctionGetOutputsItem,
    FunctionPutInputsItem, FunctionPutInputsResponseItem, FunctionPutOutputsItem,
    FunctionRetryInputsItem, FunctionRetryPolicy, GenericResult,
};

use super::calls::{Call, Input, InputState, NewCall};
use super::pools::{Ask, Attempt, Pool, Slot, Turn};
use super::scaling::Bounds;
use crate::clock::seconds;
use crate::ids;
use crate::services::tasks::Leave;

/// Calls that have ended and are remembered; older results have expired.
const REMEMBERED: usize = 10_000;
/// What the results of these may take together, in bytes.
const REMEMBERED_BYTES: usize = 1 << 30;

/// All calls and pools.
#[derive(Debug, Default)]
pub(crate) struct Board {
    pub(crate) calls: HashMap<String, Call>,
    /// Call and index by input id.
    inputs: HashMap<String, (String, i32)>,
    /// By function id.
    pub(crate) pools: HashMap<String, Pool>,
    /// Calls without unfinished inputs and their sizes, oldest first.
    ended: VecDeque<(String, usize)>,
    /// The sum of the sizes.
    ended_bytes: usize,
    pub(super) follow: Follow,
}

/// What follows from a change.
#[derive(Debug, Default)]
pub(super) struct Follow {
    /// Pools whose size is to be looked at.
    pub(super) scale: BTreeSet<String>,
    /// Attempts that come later.
    pub(super) later: Vec<Later>,
    /// Containers that end.
    pub(super) leave: Vec<Leave>,
}

/// The next attempt of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Later {
    pub(super) input: String,
    pub(super) attempt: u32,
    pub(super) after: Duration,
}

/// Why a container is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It was asked to end, or is a machine's loss: its inputs run elsewhere.
    Asked,
    /// By itself, with nothing left to do.
    Ended,
    /// By itself, with these words on how.
    Crashed(String),
}

/// What a container was doing that is given nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    /// It had not asked for an input yet.
    Starting,
    /// It waited for an input.
    Idle,
    /// It runs inputs.
    Busy,
}

/// An answer to a container that asks for inputs.
#[derive(Debug)]
pub(crate) enum Taken {
    Inputs(Vec<FunctionGetInputsItem>),
    Wait(Option<Instant>),
    Leave,
}

fn result(status: GenericStatus, exception: impl Into<String>) -> GenericResult {
    let exception = exception.into();
    GenericResult {
        status: status.into(),
        exception,
        ..GenericResult::default()
    }
}

impl Board {
    /// The pool of a function, as its definition says now.
    pub(crate) fn pool(
        &mut self,
        function_id: &str,
        app_id: &str,
        bounds: Bounds,
        generation: u64,
    ) -> &mut Pool {
        let pool = self
            .pools
            .entry(function_id.to_owned())
            .or_insert_with(|| Pool::new(app_id.to_owned(), bounds.clone(), generation));
        if pool.bounds != bounds || pool.generation != generation {
            (pool.bounds, pool.generation) = (bounds, generation);
            pool.arrivals.notify_waiters();
        }
        self.follow.scale.insert(function_id.to_owned());
        pool
    }

    /// Begins a call without inputs.
    pub(crate) fn create(&mut self, new: NewCall) -> String {
        let id = ids::new("fc");
        self.calls
            .insert(id.clone(), Call::new(id.clone(), new, seconds()));
        id
    }

    /// Takes inputs of a call. One with an index that is there already is that one.
    pub(crate) fn add(
        &mut self,
        call_id: &str,
        items: Vec<FunctionPutInputsItem>,
    ) -> Option<Vec<FunctionPutInputsResponseItem>> {
        let call = self.calls.get_mut(call_id)?;
        let mut taken = Vec::with_capacity(items.len());
        let mut fresh = Vec::new();
        for item in items {
            let id = if let Some(input) = call.inputs.get(&item.idx) {
                input.id.clone()
            } else {
                let id = ids::new("in");
                let input = Input {
                    id: id.clone(),
                    idx: item.idx,
                    message: item.input.unwrap_or_default(),
                    attempt: 0,
                    state: InputState::Waiting,
                    started_at: 0.0,
                };
                call.inputs.insert(item.idx, input);
                call.unfinished += 1;
                self.inputs
                    .insert(id.clone(), (call_id.to_owned(), item.idx));
                fresh.push(id.clone());
                id
            };
            taken.push(FunctionPutInputsResponseItem {
                idx: item.idx,
                input_jwt: id.clone(),
                input_id: id,
            });
        }
        let cancelled = call.cancelled;
        for id in fresh {
            if cancelled {
                self.end(
                    &id,
                    result(GenericStatus::Terminated, "the call was cancelled"),
                );
            } else {
                self.queue(&id, false);
            }
        }
        Some(taken)
    }

    /// Tries inputs again that failed; others are left alone. None for an unknown call.
    pub(crate) fn retry(
        &mut self,
        call_id: &str,
        items: Vec<FunctionRetryInputsItem>,
    ) -> Option<Vec<String>> {
        let mut tokens = Vec::with_capacity(items.len());
        for item in items {
            let id = item.input_jwt.clone();
            tokens.push(item.input_jwt);
            let call = self.calls.get_mut(call_id)?;
            let Some((of, idx)) = self.inputs.get(&id) else {
                continue;
            };
            if of != call_id || call.cancelled || !call.reopen(*idx) {
                continue;
            }
            if let Some(input) = call.inputs.get_mut(idx) {
                input.attempt = if item.retry_count > 0 {
                    item.retry_count
                } else {
                    input.attempt + 1
                };
                input.message = item.input.unwrap_or_default();
            }
            self.queue(&id, false);
        }
        Some(tokens)
    }

    fn input_mut(&mut self, id: &str) -> Option<(&mut Call, i32)> {
        let (call, idx) = self.inputs.get(id)?;
        Some((self.calls.get_mut(call)?, *idx))
    }

    /// Lets an input that waits run in the next free container.
    fn queue(&mut self, id: &str, first: bool) {
        let Some((call, _)) = self.input_mut(id) else {
            return;
        };
        let function_id = call.function_id.clone();
        let Some(pool) = self.pools.get_mut(&function_id) else {
            return;
        };
        let entry = (id.to_owned(), super::instant());
        if first {
            pool.ready.push_front(entry);
        } else {
            pool.ready.push_back(entry);
        }
        pool.arrivals.notify_waiters();
        self.follow.scale.insert(function_id);
    }

    /// The time of a later attempt has come.
    pub(super) fn later(&mut self, later: &Later) {
        let Some((call, idx)) = self.input_mut(&later.input) else {
            return;
        };
        let due = call.inputs.get(&idx).is_some_and(|input| {
            input.state == InputState::Waiting && input.attempt == later.attempt
        });
        if due {
            self.queue(&later.input, false);
        }
    }

    /// A container is about to start.
    pub(crate) fn begin(&mut self, function_id: &str, task: &str, leave: Leave, now: Instant) {
        if let Some(pool) = self.pools.get_mut(function_id) {
            let deadline = now + pool.bounds.startup_timeout;
            pool.slots
                .insert(task.to_owned(), Slot::new(pool.generation, leave, deadline));
        }
    }

    /// Inputs for a container.
    pub(crate) fn take(&mut self, function_id: &str, task: &str, ask: &Ask, at: Instant) -> Taken {
        let Some(pool) = self.pools.get_mut(function_id) else {
            return Taken::Leave;
        };
        let taken = match pool.ask(task, ask, at) {
            Turn::Leave => {
                self.follow.scale.insert(function_id.to_owned());
                return Taken::Leave;
            }
            Turn::Wait(until) => return Taken::Wait(until),
            Turn::Take(taken) => taken,
        };
        let timeout = pool.bounds.timeout;
        let mut items = Vec::with_capacity(taken.len());
        for id in &taken {
            let Some((call, idx)) = self.input_mut(id) else {
                continue;
            };
            let (function_call_id, invocation) = (call.id.clone(), call.invocation);
            let Some(input) = call.inputs.get_mut(&idx) else {
                continue;
            };
            input.state = InputState::Running {
                task: task.to_owned(),
            };
            input.started_at = seconds();
            items.push(FunctionGetInputsItem {
                input_id: id.clone(),
                input: Some(input.message.clone()),
                function_call_id,
                function_call_invocation_type: invocation,
                retry_count: input.attempt,
                ..FunctionGetInputsItem::default()
            });
        }
        if let Some(slot) = self.slot(function_id, task) {
            for item in &items {
                let attempt = Attempt {
                    since: at,
                    deadline: at + timeout,
                };
                if slot
                    .running
                    .insert(item.input_id.clone(), attempt)
                    .is_none()
                {
                    slot.served += 1;
                }
            }
            slot.delivery = ask.key.clone().map(|key| (key, taken));
            slot.clock.notify_one();
        }
        self.follow.scale.insert(function_id.to_owned());
        Taken::Inputs(items)
    }

    pub(crate) fn slot(&mut self, function_id: &str, task: &str) -> Option<&mut Slot> {
        self.pools.get_mut(function_id)?.slots.get_mut(task)
    }

    /// An output from a container. False when it was not waited for.
    pub(crate) fn put(
        &mut self,
        function_id: &str,
        task: &str,
        item: FunctionPutOutputsItem,
    ) -> bool {
        let id = item.input_id.clone();
        let at = super::instant();
        if let Some(pool) = self.pools.get_mut(function_id)
            && let Some(slot) = pool.slots.get_mut(task)
            && let Some(attempt) = slot.running.remove(&id)
        {
            if slot.running.is_empty() {
                slot.idle_since = at;
                slot.last = Some(id.clone());
            }
            pool.took(at - attempt.since);
        }
        let Some((call, idx)) = self.input_mut(&id) else {
            return false;
        };
        let current = call.inputs.get(&idx).is_some_and(|input| {
            let here = matches!(&input.state, InputState::Running { task: of } if of == task);
            here && input.attempt == item.retry_count
        });
        if current {
            let output = FunctionGetOutputsItem {
                result: item.result,
                idx,
                input_id: id,
                data_format: item.data_format,
                task_id: task.to_owned(),
                input_started_at: item.input_started_at,
                output_created_at: item.output_created_at,
                retry_count: item.retry_count,
                ..FunctionGetOutputsItem::default()
            };
            self.conclude(output);
        }
        current
    }

    /// An attempt has ended so: that is its output, unless it is tried again here.
    fn conclude(&mut self, output: FunctionGetOutputsItem) {
        let id = output.input_id.clone();
        let Some((call, idx)) = self.input_mut(&id) else {
            return;
        };
        let status = output
            .result
            .as_ref()
            .map(GenericResult::status)
            .unwrap_or_default();
        let over = matches!(status, GenericStatus::Success | GenericStatus::Terminated);
        let ours = server_retries(call.invocation);
        let policy = call.policy;
        if let Some(input) = call.inputs.get_mut(&idx)
            && ours
            && !over
            && !call.cancelled
            && input.attempt < policy.retries
        {
            let after = delay(&policy, input.attempt);
            input.attempt += 1;
            input.state = InputState::Waiting;
            let attempt = input.attempt;
            self.follow.later.push(Later {
                input: id,
                attempt,
                after,
            });
            return;
        }
        call.finish(idx, output);
        if call.unfinished == 0 {
            let (id, size) = (call.id.clone(), call.size());
            self.ended.push_back((id, size));
            self.ended_bytes += size;
            self.forget_oldest();
        }
    }

    /// An attempt has ended from outside, with this result.
    fn end(&mut self, id: &str, result: GenericResult) {
        let Some((call, idx)) = self.input_mut(id) else {
            return;
        };
        let Some(input) = call.inputs.get(&idx) else {
            return;
        };
        let task_id = match &input.state {
            InputState::Done { .. } => return,
            InputState::Running { task } => task.clone(),
            InputState::Waiting => String::new(),
        };
        let output = FunctionGetOutputsItem {
            result: Some(result),
            idx,
            input_id: id.to_owned(),
            task_id,
            input_started_at: input.started_at,
            output_created_at: seconds(),
            retry_count: input.attempt,
            ..FunctionGetOutputsItem::default()
        };
        self.conclude(output);
    }

    fn forget_oldest(&mut self) {
        // The last one has just ended: its caller has not even asked.
        while self.ended.len() > 1
            && (self.ended.len() > REMEMBERED || self.ended_bytes > REMEMBERED_BYTES)
        {
            let Some((id, size)) = self.ended.pop_front() else {
                return;
            };
            self.ended_bytes -= size;
            // It may have been taken up again since.
            if self.calls.get(&id).is_some_and(|call| call.unfinished == 0)
                && let Some(call) = self.calls.remove(&id)
            {
                for input in call.inputs.values() {
                    self.inputs.remove(&input.id);
                }
            }
        }
    }
}

/// Whether the server, not the client, tries failed inputs again.
fn server_retries(invocation: i32) -> bool {
    invocation != i32::from(FunctionCallInvocationType::Sync)
}

/// How long the next attempt waits after this many.
fn delay(policy: &FunctionRetryPolicy, attempts: u32) -> Duration {
    let factor = f64::from(policy.backoff_coefficient.max(1.0)).powf(f64::from(attempts));
    let most = if policy.max_delay_ms > 0 {
        policy.max_delay_ms
    } else {
        60_000
    };
    let ms = (f64::from(policy.initial_delay_ms) * factor).min(f64::from(most));
    Duration::from_secs_f64(ms / 1000.0)
}

#[cfg(test)]
mod tests;
