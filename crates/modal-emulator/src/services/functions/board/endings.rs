//! How inputs and containers end from outside: cancelled, overdue, lost, stopped with their app.

use std::time::Instant;

use moorline_modal_proto::client::GenericResult;
use moorline_modal_proto::client::generic_result::GenericStatus;

use super::{Board, Drained, Gone, result, server_retries};
use crate::services::functions::calls::InputState;
use crate::services::functions::instant;
use crate::services::functions::pools::CANCEL_GRACE;

impl Board {
    /// Ends a call. Its inputs are over at once; containers are told to give them up, or to end.
    pub(crate) fn cancel(&mut self, call_id: &str, terminate: bool) -> bool {
        let Some(call) = self.calls.get_mut(call_id) else {
            return false;
        };
        call.cancelled = true;
        let function_id = call.function_id.clone();
        let open = call
            .inputs
            .values()
            .filter(|i| !matches!(i.state, InputState::Done { .. }));
        let open: Vec<String> = open.map(|input| input.id.clone()).collect();
        for id in open {
            self.end(
                &id,
                result(GenericStatus::Terminated, "the call was cancelled"),
            );
            let Some(pool) = self.pools.get_mut(&function_id) else {
                continue;
            };
            pool.withdraw(&id);
            let slot = pool
                .slots
                .values_mut()
                .find(|slot| slot.running.contains_key(&id));
            let Some(slot) = slot else { continue };
            if terminate {
                slot.leaving = true;
                self.follow.leave.push(slot.leave.clone());
                continue;
            }
            if let Some(attempt) = slot.running.get_mut(&id) {
                attempt.deadline = attempt.deadline.min(instant() + CANCEL_GRACE);
            }
            slot.cancel.push(id);
            slot.heartbeat.notify_waiters();
            slot.clock.notify_one();
        }
        true
    }

    /// Ends inputs of a container whose time is over. True when the container has to go.
    pub(crate) fn overdue(&mut self, function_id: &str, task: &str, now: Instant) -> bool {
        let Some(pool) = self.pools.get_mut(function_id) else {
            return false;
        };
        let (timeout, startup) = (pool.bounds.timeout, pool.bounds.startup_timeout);
        let Some(slot) = pool.slots.get_mut(task) else {
            return false;
        };
        if slot.deadline().is_none_or(|deadline| deadline > now) {
            return false;
        }
        slot.leaving = true;
        if !slot.ready {
            let text = format!("the container was not ready within {} s", startup.as_secs());
            self.fail_waiting(function_id, &result(GenericStatus::Timeout, text));
            return true;
        }
        let late = slot
            .running
            .iter()
            .filter(|(_, attempt)| attempt.deadline <= now);
        let late: Vec<String> = late.map(|(id, _)| id.clone()).collect();
        for id in late {
            let text = format!(
                "Task's current input {id} hit its timeout of {}s",
                timeout.as_secs()
            );
            self.end(&id, result(GenericStatus::Timeout, text));
        }
        true
    }

    /// Gives a container nothing more. An idle one learns it at once.
    pub(crate) fn drain(&mut self, function_id: &str, task: &str) -> Drained {
        let Some(pool) = self.pools.get_mut(function_id) else {
            return Drained::Starting;
        };
        let Some(slot) = pool.slots.get_mut(task) else {
            return Drained::Starting;
        };
        slot.leaving = true;
        let drained = match (slot.ready, slot.running.is_empty()) {
            (false, _) => Drained::Starting,
            (true, true) => Drained::Idle,
            (true, false) => Drained::Busy,
        };
        pool.arrivals.notify_waiters();
        self.follow.scale.insert(function_id.to_owned());
        drained
    }

    /// Call and input of a container that runs just one: what it writes is that one's. When it runs none,
    /// the last one's: its words may come later than its result.
    pub(crate) fn only_input(&self, function_id: &str, task: &str) -> Option<(String, String)> {
        let slot = self.pools.get(function_id)?.slots.get(task)?;
        let mut running = slot.running.keys();
        let input = match (running.next(), running.next()) {
            (Some(input), None) => input,
            (None, _) => slot.last.as_ref()?,
            (Some(_), Some(_)) => return None,
        };
        let (call, _) = self.inputs.get(input)?;
        Some((call.clone(), input.clone()))
    }

    /// A container could not begin: the inputs that wait fail with its words.
    pub(crate) fn cannot_begin(&mut self, function_id: &str, task: &str, result: &GenericResult) {
        if let Some(slot) = self.slot(function_id, task) {
            slot.leaving = true;
            slot.result = Some(result.clone());
        }
        self.fail_waiting(function_id, result);
    }

    /// The inputs that wait have nothing to wait for, unless another container serves them.
    fn fail_waiting(&mut self, function_id: &str, result: &GenericResult) {
        let Some(pool) = self.pools.get_mut(function_id) else {
            return;
        };
        pool.failed_to_start(instant());
        if pool.slots.values().any(|slot| slot.ready && !slot.leaving) {
            return;
        }
        let waiting = std::mem::take(&mut pool.ready);
        for (id, _) in waiting {
            self.end(&id, result.clone());
        }
    }

    /// A container is gone. Returns what it said itself, if it could not begin.
    pub(crate) fn gone(
        &mut self,
        function_id: &str,
        task: &str,
        gone: &Gone,
    ) -> Option<GenericResult> {
        let pool = self.pools.get_mut(function_id)?;
        let slot = pool.slots.remove(task)?;
        pool.arrivals.notify_waiters();
        for id in slot.running.keys() {
            let Some((call, idx)) = self.input_mut(id) else {
                continue;
            };
            let tries_again = !server_retries(call.invocation) && call.policy.retries > 0;
            let Some(input) = call.inputs.get_mut(&idx) else {
                continue;
            };
            if !matches!(&input.state, InputState::Running { task: of } if of == task) {
                continue;
            }
            match gone {
                Gone::Asked | Gone::Ended => {
                    input.state = InputState::Waiting;
                    self.queue(id, true);
                }
                // A client with a policy repeats internal failures without end, so to it this is a plain one.
                Gone::Crashed(how) => {
                    let status = if tries_again {
                        GenericStatus::Failure
                    } else {
                        GenericStatus::InternalFailure
                    };
                    self.end(id, result(status, format!("the container {task} {how}")));
                }
            }
        }
        if let Gone::Crashed(how) = gone
            && !slot.ready
            && slot.result.is_none()
        {
            let text = format!("the container {task} {how} before it took an input");
            self.fail_waiting(function_id, &result(GenericStatus::InitFailure, text));
        }
        self.follow.scale.insert(function_id.to_owned());
        slot.result
    }

    /// Everything of an app is over. Its containers are asked to end.
    pub(crate) fn stop_app(&mut self, app_id: &str) {
        let of_app = self.pools.iter().filter(|(_, pool)| pool.app_id == app_id);
        let pools: Vec<String> = of_app.map(|(id, _)| id.clone()).collect();
        for id in pools {
            let Some(pool) = self.pools.get_mut(&id) else {
                continue;
            };
            pool.bounds.min = 0;
            for slot in pool.slots.values_mut() {
                slot.leaving = true;
                self.follow.leave.push(slot.leave.clone());
            }
        }
        let open = self
            .calls
            .values()
            .filter(|call| call.app_id == app_id && call.unfinished > 0);
        let open: Vec<String> = open.map(|call| call.id.clone()).collect();
        for id in open {
            let Some(call) = self.calls.get_mut(&id) else {
                continue;
            };
            call.cancelled = true;
            let function_id = call.function_id.clone();
            let inputs: Vec<String> = call.inputs.values().map(|input| input.id.clone()).collect();
            for input in inputs {
                self.end(
                    &input,
                    result(GenericStatus::Terminated, "the app was stopped"),
                );
            }
            if let Some(pool) = self.pools.get_mut(&function_id) {
                pool.ready.clear();
            }
        }
    }
}
