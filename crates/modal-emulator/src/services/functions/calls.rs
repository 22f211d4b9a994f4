//! Calls: their inputs, the outputs in the order in which they came, and the streams beside them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moorline_modal_proto::client::generic_result::GenericStatus;
use moorline_modal_proto::client::{
    DataChunk, FunctionCallInfo, FunctionGetOutputsItem, FunctionGetOutputsRequest,
    FunctionGetOutputsResponse, FunctionInput, FunctionRetryPolicy, GenericResult,
    InputCategoryInfo, InputInfo,
};
use prost::Message;
use tokio::sync::Notify;

/// Bytes of outputs in one answer, but for a single larger one: well below the size of a message.
const ANSWER_BYTES: usize = 32 << 20;

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) function_id: String,
    pub(crate) app_id: String,
    /// A `FunctionCallInvocationType` of the wire.
    pub(crate) invocation: i32,
    /// Seconds since 1970.
    pub(crate) created_at: f64,
    pub(crate) policy: FunctionRetryPolicy,
    /// By index.
    pub(crate) inputs: BTreeMap<i32, Input>,
    /// Entry `n` of the wire is at `n - 1`; taken out again when the input is tried again.
    log: Vec<Option<FunctionGetOutputsItem>>,
    pub(crate) unfinished: usize,
    pub(crate) cancelled: bool,
    /// Told of each output.
    pub(crate) changed: Arc<Notify>,
    pub(crate) data_in: Arc<DataStream>,
    pub(crate) data_out: Arc<DataStream>,
}

/// One input.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) id: String,
    pub(crate) idx: i32,
    /// Emptied when it is done: a client that tries again sends it again.
    pub(crate) message: FunctionInput,
    /// 0 for the first attempt.
    pub(crate) attempt: u32,
    pub(crate) state: InputState,
    /// Seconds since 1970; 0 while it waits.
    pub(crate) started_at: f64,
}

/// Where an input is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InputState {
    /// For a container, or for the time of its next attempt.
    Waiting,
    /// In a container.
    Running {
        /// Its task.
        task: String,
    },
    /// Its output is in the log.
    Done {
        /// Position in the log.
        entry: usize,
    },
}

/// What a call is made with.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewCall {
    pub(crate) function_id: String,
    pub(crate) app_id: String,
    /// A `FunctionCallInvocationType` of the wire.
    pub(crate) invocation: i32,
    pub(crate) policy: FunctionRetryPolicy,
}

impl Call {
    pub(crate) fn new(id: String, new: NewCall, created_at: f64) -> Self {
        Self {
            id,
            function_id: new.function_id,
            app_id: new.app_id,
            invocation: new.invocation,
            created_at,
            policy: new.policy,
            inputs: BTreeMap::new(),
            log: Vec::new(),
            unfinished: 0,
            cancelled: false,
            changed: Arc::default(),
            data_in: Arc::default(),
            data_out: Arc::default(),
        }
    }

    /// Keeps an output as the input's last word.
    pub(crate) fn finish(&mut self, idx: i32, output: FunctionGetOutputsItem) {
        let Some(input) = self.inputs.get_mut(&idx) else {
            return;
        };
        if matches!(input.state, InputState::Done { .. }) {
            return;
        }
        input.state = InputState::Done {
            entry: self.log.len(),
        };
        input.message = FunctionInput::default();
        self.log.push(Some(output));
        self.unfinished -= 1;
        self.changed.notify_waiters();
    }

    /// Takes an output back, because the input is tried again. False when there was none.
    pub(crate) fn reopen(&mut self, idx: i32) -> bool {
        let Some(input) = self.inputs.get_mut(&idx) else {
            return false;
        };
        let InputState::Done { entry } = input.state else {
            return false;
        };
        if let Some(output) = self.log.get_mut(entry) {
            *output = None;
        }
        input.state = InputState::Waiting;
        self.unfinished += 1;
        true
    }

    /// The output of an input, if there is one.
    pub(crate) fn output(&self, idx: i32) -> Option<&FunctionGetOutputsItem> {
        let InputState::Done { entry } = self.inputs.get(&idx)?.state else {
            return None;
        };
        self.log.get(entry)?.as_ref()
    }

    /// Outputs that a request asks for, as far as there are any.
    pub(crate) fn outputs(&self, ask: &FunctionGetOutputsRequest) -> FunctionGetOutputsResponse {
        let after: usize = ask
            .last_entry_id
            .split('-')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        let most = usize::try_from(ask.max_values)
            .ok()
            .filter(|n| *n > 0)
            .unwrap_or(usize::MAX);
        let (first, last) = (
            ask.start_idx.unwrap_or(i32::MIN),
            ask.end_idx.unwrap_or(i32::MAX),
        );
        let mut answer = FunctionGetOutputsResponse {
            last_entry_id: format!("{after}-0"),
            num_unfinished_inputs: i32::try_from(self.unfinished).unwrap_or(i32::MAX),
            ..FunctionGetOutputsResponse::default()
        };
        let mut bytes = 0;
        for (at, output) in self.log.iter().enumerate().skip(after) {
            let Some(output) = output else { continue };
            if output.idx < first || output.idx > last {
                continue;
            }
            bytes += output.encoded_len();
            if answer.outputs.len() == most || (bytes > ANSWER_BYTES && !answer.outputs.is_empty())
            {
                break;
            }
            answer.idxs.push(output.idx);
            answer.outputs.push(output.clone());
            answer.last_entry_id = format!("{}-0", at + 1);
        }
        answer
    }

    /// What its outputs and streams take, in bytes.
    pub(crate) fn size(&self) -> usize {
        let outputs: usize = self.log.iter().flatten().map(Message::encoded_len).sum();
        outputs + self.data_in.size() + self.data_out.size()
    }

    /// How far the call is.
    pub(crate) fn info(&self) -> FunctionCallInfo {
        let mut info = FunctionCallInfo {
            function_call_id: self.id.clone(),
            created_at: self.created_at,
            scheduled_at: self.created_at,
            total_inputs: i32::try_from(self.inputs.len()).unwrap_or(i32::MAX),
            ..FunctionCallInfo::default()
        };
        for input in self.inputs.values() {
            let output = self.output(input.idx);
            let status = output
                .and_then(|o| o.result.as_ref())
                .map(GenericResult::status);
            let category = match status {
                None => &mut info.pending_inputs,
                Some(GenericStatus::Success) => &mut info.succeeded_inputs,
                Some(GenericStatus::Timeout) => &mut info.timeout_inputs,
                Some(GenericStatus::Terminated) => &mut info.cancelled_inputs,
                Some(_) => &mut info.failed_inputs,
            };
            let category = category.get_or_insert_with(InputCategoryInfo::default);
            category.total += 1;
            category.latest.push(InputInfo {
                input_id: input.id.clone(),
                idx: input.idx,
                task_id: output
                    .map(|output| output.task_id.clone())
                    .unwrap_or_default(),
                started_at: input.started_at,
                finished_at: output.map_or(0.0, |output| output.output_created_at),
                ..InputInfo::default()
            });
        }
        info
    }
}

/// Chunks in order. One side puts, any number of readers follow.
#[derive(Debug, Default)]
pub(crate) struct DataStream {
    state: Mutex<Chunks>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Chunks {
    /// The first that is kept has the index `dropped + 1`.
    kept: VecDeque<DataChunk>,
    dropped: u64,
}

impl Chunks {
    fn last(&self) -> u64 {
        self.dropped + self.kept.len() as u64
    }
}

impl DataStream {
    fn lock(&self) -> MutexGuard<'_, Chunks> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds chunks that have indices. What is there already stays: a second attempt of a generator repeats
    /// what was sent.
    pub(crate) fn put(&self, chunks: Vec<DataChunk>) {
        let mut state = self.lock();
        for chunk in chunks {
            if chunk.index == state.last() + 1 {
                state.kept.push_back(chunk);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Adds a chunk, and gives it the next index.
    pub(crate) fn push(&self, mut chunk: DataChunk) {
        let mut state = self.lock();
        chunk.index = state.last() + 1;
        state.kept.push_back(chunk);
        drop(state);
        self.changed.notify_waiters();
    }

    /// The chunk after index `after`, waiting for it. Cancel-safe.
    pub(crate) async fn next(&self, after: u64) -> DataChunk {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.lock();
                let at = usize::try_from(after.saturating_sub(state.dropped)).unwrap_or(usize::MAX);
                if let Some(chunk) = state.kept.get(at) {
                    return chunk.clone();
                }
            }
            changed.await;
        }
    }

    /// What is kept, in bytes.
    fn size(&self) -> usize {
        self.lock().kept.iter().map(Message::encoded_len).sum()
    }

    /// Whether there is a chunk after index `after`.
    pub(crate) fn has(&self, after: u64) -> bool {
        self.lock().last() > after
    }

    /// Forgets chunks up to index `until`: nobody will ask for them again.
    pub(crate) fn forget(&self, until: u64) {
        let mut state = self.lock();
        while state.dropped < until && state.kept.pop_front().is_some() {
            state.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(inputs: i32) -> Call {
        let mut call = Call::new("fc-1".to_owned(), NewCall::default(), 0.0);
        for idx in 0..inputs {
            let input = Input {
                id: format!("in-{idx}"),
                idx,
                message: FunctionInput::default(),
                attempt: 0,
                state: InputState::Waiting,
                started_at: 0.0,
            };
            call.inputs.insert(idx, input);
            call.unfinished += 1;
        }
        call
    }

    fn output(idx: i32) -> FunctionGetOutputsItem {
        FunctionGetOutputsItem {
            idx,
            ..FunctionGetOutputsItem::default()
        }
    }

    #[test]
    fn outputs_are_read_on_from_the_last_entry_and_by_index() {
        let mut call = call(3);
        call.finish(2, output(2));
        call.finish(0, output(0));
        let ask = FunctionGetOutputsRequest {
            last_entry_id: "0-0".into(),
            ..Default::default()
        };
        let answer = call.outputs(&ask);
        assert_eq!((answer.idxs, answer.num_unfinished_inputs), (vec![2, 0], 1));
        let ask = FunctionGetOutputsRequest {
            last_entry_id: answer.last_entry_id,
            ..ask
        };
        call.finish(1, output(1));
        assert_eq!(call.outputs(&ask).idxs, [1]);
        let ask = FunctionGetOutputsRequest {
            start_idx: Some(0),
            end_idx: Some(0),
            ..FunctionGetOutputsRequest::default()
        };
        assert_eq!(call.outputs(&ask).idxs, [0]);
    }

    #[test]
    fn an_input_that_is_tried_again_has_no_output_until_it_ends() {
        let mut call = call(1);
        assert!(!call.reopen(0));
        call.finish(0, output(0));
        assert!(call.reopen(0));
        assert_eq!(
            call.outputs(&FunctionGetOutputsRequest::default())
                .num_unfinished_inputs,
            1
        );
        assert_eq!(call.output(0), None);
        call.finish(0, output(0));
        call.finish(0, output(0));
        assert_eq!(
            call.outputs(&FunctionGetOutputsRequest::default()).idxs,
            [0]
        );
    }

    #[tokio::test]
    async fn a_stream_gives_each_chunk_once_in_order_however_often_it_is_put() {
        let stream = DataStream::default();
        let chunk = |index| DataChunk {
            index,
            ..DataChunk::default()
        };
        stream.put(vec![chunk(1), chunk(2)]);
        stream.put(vec![chunk(1), chunk(2), chunk(3)]);
        stream.forget(2);
        assert_eq!(stream.next(2).await, chunk(3));
        assert!(!stream.has(3));
        stream.push(DataChunk::default());
        assert_eq!(stream.next(3).await.index, 4);
    }
}
