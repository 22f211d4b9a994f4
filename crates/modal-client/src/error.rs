//! What can go wrong: one [`Error`] with a [`kind`](ErrorKind) and a source.

use std::error::Error as StdError;
use std::fmt;

use tonic::Code;

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for a decision by program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The object, path or name does not exist (any more).
    NotFound,
    /// It exists already and the call asked for a new one.
    AlreadyExists,
    /// The server or this client refuses the request as it is.
    InvalidArgument,
    /// The object is not in a state that allows the call.
    Conflict,
    /// A quota, a plan limit, or a full queue.
    ResourceExhausted,
    /// No or wrong credentials.
    Unauthenticated,
    /// The credentials do not allow it.
    PermissionDenied,
    /// The server does not know the call.
    Unimplemented,
    /// No connection, or the server is not able to answer now; retries are used up.
    Unavailable,
    /// A deadline of this client passed.
    Timeout,
    /// The call, function call or build was cancelled.
    Cancelled,
    /// The server failed.
    Internal,
    /// User code failed at Modal; [`Error::remote`] has its exception.
    Remote,
    /// The configuration file or an environment variable is wrong.
    Config,
    /// An answer that the protocol does not allow, or a payload that can not be decoded.
    Protocol,
    /// A local file could not be read or written.
    Io,
}

/// The failure of user code at Modal, as it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteException {
    /// The exception's text, usually `Type('message')`.
    pub exception: String,
    /// The traceback as text, if there is one.
    pub traceback: String,
    /// The exit code of the container or command, if there is one.
    pub exit_code: Option<i32>,
}

impl fmt::Display for RemoteException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(first_line(&self.exception))
    }
}

impl StdError for RemoteException {}

/// A failed call: kind, what was asked, and the cause.
///
/// `Display` is one line without the cause and without secrets; the cause is in
/// [`source`](StdError::source).
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    rpc: Option<&'static str>,
    code: Option<Code>,
    may_have_happened: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this client's own judgement; nothing was done.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            rpc: None,
            code: None,
            may_have_happened: false,
            source: None,
        }))
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Names the RPC.
    #[must_use]
    pub fn with_rpc(mut self, rpc: &'static str) -> Self {
        self.0.rpc = Some(rpc);
        self
    }

    /// Says that the effect may have taken place although the call failed.
    #[must_use]
    pub fn with_effect_unknown(mut self) -> Self {
        self.0.may_have_happened = true;
        self
    }

    /// The same failure under another kind (`NotFound` of a lookup that means `Conflict` to the caller).
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Puts what was being done before the message.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    /// The answer of a server to `rpc`.
    pub fn from_status(rpc: &'static str, status: tonic::Status) -> Self {
        let code = status.code();
        let text = first_line(status.message());
        let message = if text.is_empty() {
            code.description().to_lowercase()
        } else {
            text.to_owned()
        };
        Self(Box::new(Inner {
            kind: kind_of(code),
            message,
            rpc: Some(rpc),
            code: Some(code),
            may_have_happened: false,
            // The status repeats the message; what lies under it (a broken connection) is the cause.
            source: into_cause(status),
        }))
    }

    /// User code failed.
    pub fn from_remote(exception: RemoteException) -> Self {
        let text = first_line(&exception.exception);
        let message = if text.is_empty() {
            "the remote code failed"
        } else {
            text
        }
        .to_owned();
        Self::new(ErrorKind::Remote, message).with_source(exception)
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The RPC that failed, by its method's name.
    pub fn rpc(&self) -> Option<&'static str> {
        self.0.rpc
    }

    /// The gRPC status code, if a server or the transport gave one.
    pub fn code(&self) -> Option<Code> {
        self.0.code
    }

    /// What the server said, or this client.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the call may have taken effect although it failed (an attempt was sent and no answer
    /// proves the contrary). Reads never have an effect.
    pub fn may_have_happened(&self) -> bool {
        self.0.may_have_happened
    }

    /// The exception of user code, of kind [`ErrorKind::Remote`].
    pub fn remote(&self) -> Option<&RemoteException> {
        self.0.source.as_deref()?.downcast_ref()
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Internal
        )
    }
}

fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::InvalidArgument | Code::OutOfRange => ErrorKind::InvalidArgument,
        Code::FailedPrecondition | Code::Aborted => ErrorKind::Conflict,
        Code::ResourceExhausted => ErrorKind::ResourceExhausted,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::Unimplemented => ErrorKind::Unimplemented,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::Cancelled => ErrorKind::Cancelled,
        Code::Internal | Code::Unknown | Code::DataLoss => ErrorKind::Internal,
        Code::Ok => ErrorKind::Protocol,
    }
}

fn into_cause(status: tonic::Status) -> Option<Box<dyn StdError + Send + Sync>> {
    status.source().is_some().then(|| Box::new(status) as _)
}

fn first_line(text: &str) -> &str {
    text.lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("")
        .trim()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.rpc {
            Some(rpc) => write!(f, "{rpc}: {}", self.0.message)?,
            None => f.write_str(&self.0.message)?,
        }
        if self.0.may_have_happened {
            f.write_str(" (it may have taken effect)")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("rpc", &self.0.rpc)
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("may_have_happened", &self.0.may_have_happened)
            .field("source", &self.0.source.as_deref().map(ToString::to_string))
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    #[test]
    fn it_is_one_line_with_the_rpc_first() {
        let error = Error::from_status("AppList", Status::not_found("\nno such app\nmore"));
        assert_eq!(error.to_string(), "AppList: no such app");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.source().is_none());
    }

    #[test]
    fn an_empty_status_says_what_its_code_means() {
        let error = Error::from_status("AppList", Status::new(Code::Unavailable, ""));
        assert!(!error.message().is_empty());
    }

    #[test]
    fn an_unknown_effect_is_told() {
        let error = Error::new(ErrorKind::Timeout, "no answer")
            .with_rpc("QueuePut")
            .with_effect_unknown();
        assert_eq!(
            error.to_string(),
            "QueuePut: no answer (it may have taken effect)"
        );
    }

    #[test]
    fn a_remote_exception_is_the_source() {
        let exception = RemoteException {
            exception: "ValueError('x')".into(),
            ..RemoteException::default()
        };
        let error = Error::from_remote(exception.clone());
        assert_eq!(error.remote(), Some(&exception));
        assert_eq!(error.to_string(), "ValueError('x')");
    }
}
