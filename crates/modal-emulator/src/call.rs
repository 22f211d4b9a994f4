//! What a handler is told of the call besides its message.

use http::HeaderMap;

use crate::journal::Journal;

/// Who is calling, by `x-modal-client-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The Python SDK or command line tool.
    Python,
    /// The JavaScript or Go SDK. They demand `https://` URLs for loopback, and dial them in plaintext.
    Libmodal,
    /// Code inside a container of ours.
    Container,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call<Req> {
    /// The message.
    pub(crate) message: Req,
    /// What is common to all calls.
    pub(crate) meta: Meta,
}

/// What is common to all calls.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    /// Headers, lower case.
    pub(crate) headers: HeaderMap,
    /// The container (task id) from whose socket the call came.
    pub(crate) task: Option<TaskId>,
    pub(crate) journal: std::sync::Arc<Journal>,
}

/// The container at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskId(pub(crate) String);

impl Meta {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The key that all attempts of one logical call share.
    pub(crate) fn idempotency_key(&self) -> Option<&str> {
        self.header("x-idempotency-key")
    }

    /// Who is calling.
    pub(crate) fn caller(&self) -> Caller {
        match self.header("x-modal-client-type") {
            Some("7" | "8" | "9") => Caller::Libmodal,
            Some("3") => Caller::Container,
            _ => Caller::Python,
        }
    }

    /// Puts an effect of this call into the journal.
    pub(crate) fn effect(&self, what: &str, subject: impl Into<String>) {
        self.journal.record(what, subject, self.idempotency_key());
    }
}
