//! The table of RPCs. What is common to all of them happens here, once: faults, counting, idempotency.
//!
//! A service module registers its handlers by kind:
//! * [`read`](Rpcs::read): answers from the world and changes nothing.
//! * [`write`](Rpcs::write): changes the world. A repeated call with the same `x-idempotency-key` gets the
//!   first answer and changes nothing, also when the first caller went away in the middle.
//! * [`stream`](Rpcs::stream): answers with a stream; [`upload`](Rpcs::upload): takes one.
//!
//! An RPC that is not in the table answers UNIMPLEMENTED and is counted.

mod answer;
mod body;
mod once;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::BoxStream;
use prost::Message;
use serde::{Deserialize, Serialize};
use tonic::body::Body;
use tonic::{Status, Streaming};

use self::answer::{Read, Rpc, Stream, Upload, Write};
use crate::call::{Call, Meta};
use crate::faults::FaultKind;
use crate::world::World;

/// Path of the control plane's service.
pub(crate) const CLIENT: &str = "modal.client.ModalClient";
/// Path of the service that running sandboxes answer.
pub(crate) const ROUTER: &str = "modal.task_command_router.TaskCommandRouter";

/// A stream of answers.
pub(crate) type Answers<Resp> = BoxStream<'static, Result<Resp, Status>>;

/// All RPCs of the emulator.
#[derive(Default)]
pub(crate) struct Routes {
    table: HashMap<String, Arc<dyn Rpc>>,
    counts: Mutex<BTreeMap<String, u64>>,
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes")
            .field("rpcs", &self.table.len())
            .finish_non_exhaustive()
    }
}

/// Which RPCs are implemented, and which were called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Implemented RPCs by name, with the calls so far.
    pub implemented: Vec<RpcCount>,
    /// RPCs that were called and answered UNIMPLEMENTED.
    pub missing: Vec<RpcCount>,
}

/// Calls of one RPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcCount {
    /// Name, e.g. `AppCreate`; of the command router with `TaskCommandRouter/` in front.
    pub rpc: String,
    /// Calls so far.
    pub calls: u64,
}

impl Routes {
    /// To register the RPCs of one service: [`CLIENT`] or [`ROUTER`].
    pub(crate) fn of(&mut self, service: &'static str) -> Rpcs<'_> {
        Rpcs {
            routes: self,
            service,
        }
    }

    /// What is implemented and what was called.
    pub(crate) fn coverage(&self) -> Coverage {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut implemented: Vec<RpcCount> = self
            .table
            .keys()
            .map(|path| RpcCount {
                rpc: name(path).to_owned(),
                calls: counts.get(path).copied().unwrap_or(0),
            })
            .collect();
        implemented.sort_by(|a, b| a.rpc.cmp(&b.rpc));
        let missing = counts
            .iter()
            .filter(|(path, _)| !self.table.contains_key(*path))
            .map(|(path, calls)| RpcCount {
                rpc: name(path).to_owned(),
                calls: *calls,
            })
            .collect();
        Coverage {
            implemented,
            missing,
        }
    }

    /// Serves one request.
    pub(crate) async fn serve(
        &self,
        world: Arc<World>,
        meta: Meta,
        request: http::Request<axum::body::Body>,
    ) -> http::Response<Body> {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        self.count(&path);
        let Some(rpc) = self.table.get(&path) else {
            let text = format!("the emulator does not implement {}", name(&path));
            return Status::unimplemented(text).into_http();
        };
        let fault = world.faults.strike(short(&path));
        match &fault {
            Some(FaultKind::Delay { ms }) => {
                tokio::time::sleep(crate::faults::millis(*ms)).await;
            }
            Some(FaultKind::FailBefore { code }) => {
                return Status::new((*code).into(), "a fault of the plan").into_http();
            }
            Some(FaultKind::Throttle { retry_after_secs }) => {
                return answer::throttled(*retry_after_secs).into_http();
            }
            Some(
                FaultKind::Stall { .. } | FaultKind::Reset { .. } | FaultKind::FailAfter { .. },
            )
            | None => {}
        }
        let after = match &fault {
            Some(FaultKind::FailAfter { code }) => Some(*code),
            _ => None,
        };
        let response = Arc::clone(rpc).serve(world, meta, request, after).await;
        match fault {
            Some(FaultKind::Stall { after }) => {
                response.map(|b| body::broken(b, after, body::Break::Stall))
            }
            Some(FaultKind::Reset { after }) => {
                response.map(|b| body::broken(b, after, body::Break::Reset))
            }
            _ => response,
        }
    }

    fn count(&self, path: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(path) {
            Some(count) => *count += 1,
            None => {
                counts.insert(path.to_owned(), 1);
            }
        }
    }
}

/// The name for people: without the service, but for the command router.
fn name(path: &str) -> &str {
    path.strip_prefix("modal.client.ModalClient/")
        .or_else(|| path.strip_prefix("modal.task_command_router."))
        .unwrap_or(path)
}

/// The name of the RPC alone.
fn short(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Registers the RPCs of one service.
#[derive(Debug)]
pub(crate) struct Rpcs<'r> {
    routes: &'r mut Routes,
    service: &'static str,
}

impl Rpcs<'_> {
    /// An RPC that changes nothing.
    pub(crate) fn read<Req, Resp, F, Fut>(&mut self, rpc: &str, handler: F)
    where
        Req: Message + Default + 'static,
        Resp: Message + Default + 'static,
        F: Fn(Arc<World>, Call<Req>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Resp, Status>> + Send + 'static,
    {
        self.insert(rpc, Arc::new(Read::new(handler)));
    }

    /// An RPC that changes the world, once for each idempotency key.
    pub(crate) fn write<Req, Resp, F, Fut>(&mut self, rpc: &str, handler: F)
    where
        Req: Message + Default + 'static,
        Resp: Message + Default + Clone + 'static,
        F: Fn(Arc<World>, Call<Req>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Resp, Status>> + Send + 'static,
    {
        self.insert(rpc, Arc::new(Write::new(handler)));
    }

    /// An RPC that answers with a stream.
    pub(crate) fn stream<Req, Resp, F, Fut>(&mut self, rpc: &str, handler: F)
    where
        Req: Message + Default + 'static,
        Resp: Message + Default + 'static,
        F: Fn(Arc<World>, Call<Req>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Answers<Resp>, Status>> + Send + 'static,
    {
        self.insert(rpc, Arc::new(Stream::new(handler)));
    }

    /// An RPC that takes a stream.
    pub(crate) fn upload<Req, Resp, F, Fut>(&mut self, rpc: &str, handler: F)
    where
        Req: Message + Default + 'static,
        Resp: Message + Default + 'static,
        F: Fn(Arc<World>, Call<Streaming<Req>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Resp, Status>> + Send + 'static,
    {
        self.insert(rpc, Arc::new(Upload::new(handler)));
    }

    fn insert(&mut self, rpc: &str, handler: Arc<dyn Rpc>) {
        let path = format!("{}/{rpc}", self.service);
        let before = self.routes.table.insert(path, handler);
        debug_assert!(before.is_none(), "{rpc} is registered twice");
    }
}
