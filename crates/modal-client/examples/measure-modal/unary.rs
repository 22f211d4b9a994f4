//! One RPC, many times.

use std::time::Duration;

use http::uri::PathAndQuery;
use moorline_modal_client::proto::{AppListRequest, AppListResponse};
use moorline_modal_client::{CallOptions, Client, Effect, Rpc};
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::{Result, line, now, per_second};

const PATH: &str = "/modal.client.ModalClient/AppList";
const APP_LIST: Rpc<AppListRequest, AppListResponse> = Rpc::new(PATH, Effect::Read);
/// Calls at once, where calls are counted in a second.
const AT_ONCE: usize = 64;
/// The two clients take turns of this many calls, so that both meet the same minutes.
const TURN: usize = 200;

/// Prints what calls cost.
pub(crate) async fn measure(client: &Client, url: &str, count: usize) -> Result {
    let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
    // Connections, and whatever else comes first.
    ours(client).await?;
    bare(&channel).await?;

    let (mut by_us, mut by_bare) = (Vec::new(), Vec::new());
    while by_us.len() < count {
        for _ in 0..TURN {
            by_us.push(timed(ours(client)).await?);
        }
        for _ in 0..TURN {
            by_bare.push(timed(bare(&channel)).await?);
        }
    }
    line("ours", &by_us);
    line("bare", &by_bare);

    let (mut our_time, mut bare_time) = (Duration::ZERO, Duration::ZERO);
    let turn = AT_ONCE * 50;
    let turns = count.div_ceil(turn);
    for _ in 0..turns {
        our_time += at_once(turn, || call(client.clone())).await?;
        bare_time += at_once(turn, || call_bare(channel.clone())).await?;
    }
    let rate = |time: Duration| per_second(turns * turn, time);
    line("ours_rate", &[rate(our_time)]);
    line("bare_rate", &[rate(bare_time)]);
    Ok(())
}

async fn ours(client: &Client) -> Result {
    let request = AppListRequest::default();
    client.call(APP_LIST, request, &CallOptions::new()).await?;
    Ok(())
}

async fn call(client: Client) -> Result {
    ours(&client).await
}

async fn call_bare(channel: Channel) -> Result {
    bare(&channel).await
}

/// What tonic does by itself: one call on an open channel, with the two headers of the token.
async fn bare(channel: &Channel) -> Result {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await?;
    let mut request = tonic::Request::new(AppListRequest::default());
    let headers = request.metadata_mut();
    headers.insert("x-modal-token-id", "ak-bench".parse()?);
    headers.insert("x-modal-token-secret", "as-bench".parse()?);
    let codec: ProstCodec<AppListRequest, AppListResponse> = ProstCodec::default();
    let path = PathAndQuery::from_static(PATH);
    grpc.unary(request, path, codec).await?;
    Ok(())
}

/// Milliseconds.
async fn timed(work: impl Future<Output = Result>) -> Result<f64> {
    let start = now();
    work.await?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

/// The time of `count` calls by as many callers as are counted at once, each a task of its own.
async fn at_once<F>(count: usize, work: impl Fn() -> F) -> Result<Duration>
where
    F: Future<Output = Result> + Send + 'static,
{
    let start = now();
    let mut callers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let calls: Vec<F> = (0..count / AT_ONCE).map(|_| work()).collect();
        callers.spawn(async move {
            for call in calls {
                call.await?;
            }
            Result::Ok(())
        });
    }
    while let Some(done) = callers.join_next().await {
        done??;
    }
    Ok(start.elapsed())
}
