//! What the transport must know of an RPC: its path, and what happens when it is sent twice.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// What a call does to the server's state, hence when it may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It only reads, or says that something is still wanted: sent again after any transient failure.
    Read,
    /// It changes state and the server recognises the idempotency key of a repeated attempt: sent again
    /// after any transient failure, with the same key. This is what the official clients assume of every
    /// unary call.
    Keyed,
    /// It changes state and must not be repeated unless the failed attempt surely had no effect (no
    /// connection, or a refusal that the server itself says to retry).
    Once,
}

/// A unary RPC, or one that streams its answer, with the types of its messages.
pub struct Rpc<Req, Res> {
    path: &'static str,
    name: &'static str,
    effect: Effect,
    types: PhantomData<fn(Req) -> Res>,
}

impl<Req, Res> Rpc<Req, Res> {
    /// `path` is `/package.Service/Method`.
    pub const fn new(path: &'static str, effect: Effect) -> Self {
        Self {
            path,
            name: name_of(path),
            effect,
            types: PhantomData,
        }
    }

    /// `/package.Service/Method`.
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// The method's name alone.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it does.
    pub const fn effect(&self) -> Effect {
        self.effect
    }
}

/// What follows the last slash.
const fn name_of(path: &'static str) -> &'static str {
    let bytes = path.as_bytes();
    let mut begin = bytes.len();
    while begin > 0 && bytes[begin - 1] != b'/' {
        begin -= 1;
    }
    path.split_at(begin).1
}

impl<Req, Res> Clone for Rpc<Req, Res> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Req, Res> Copy for Rpc<Req, Res> {}

impl<Req, Res> fmt::Debug for Rpc<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc")
            .field("path", &self.path)
            .field("effect", &self.effect)
            .finish_non_exhaustive()
    }
}

/// Declares RPCs of the control plane: `NAME = Method(Request) -> Response, Effect;`. The message `Empty`
/// is `()`.
macro_rules! control_plane {
    ($($name:ident = $method:ident($req:ident) -> $res:ident, $effect:ident;)+) => {
        $(
            pub(crate) const $name: $crate::rpc::Rpc<
                $crate::rpc::message!($req),
                $crate::rpc::message!($res),
            > = $crate::rpc::Rpc::new(
                concat!("/modal.client.ModalClient/", stringify!($method)),
                $crate::rpc::Effect::$effect,
            );
        )+
    };
}
pub(crate) use control_plane;

/// The Rust type of a message of the control plane.
macro_rules! message {
    (Empty) => {
        ()
    };
    ($name:ident) => {
        moorline_modal_proto::client::$name
    };
}
pub(crate) use message;

/// How one call differs from the client's defaults.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CallOptions {
    /// Longest time of one attempt; the client's default otherwise. A long poll needs more than the
    /// server's hold.
    pub attempt_timeout: Option<Duration>,
    /// Longest time of all attempts and the waits between them; the policy's otherwise.
    pub total_timeout: Option<Duration>,
    /// Attempts after the first; the policy's otherwise.
    pub max_retries: Option<u32>,
    /// The idempotency key; a new random one otherwise. For a caller that repeats a call after a crash.
    pub idempotency_key: Option<String>,
    /// The token that the creation of a sandbox answered, for calls about that sandbox.
    pub(crate) sandbox_token: Option<http::HeaderValue>,
}

impl CallOptions {
    /// The client's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the longest time of one attempt.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Sets the longest time of the whole call.
    #[must_use]
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = Some(timeout);
        self
    }

    /// Sets how often the call is repeated at most.
    #[must_use]
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = Some(retries);
        self
    }

    /// Sets the idempotency key.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_last_part_of_the_path() {
        let rpc = Rpc::<(), ()>::new("/modal.client.ModalClient/AppList", Effect::Read);
        assert_eq!(rpc.name(), "AppList");
    }
}
