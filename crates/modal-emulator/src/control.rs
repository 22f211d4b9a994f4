//! [`Control`]: asks a running emulator about itself, and puts faults in force, from another process.

use std::io;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::faults::FaultPlan;
use crate::journal::Effect;
use crate::routes::Coverage;

/// A running emulator, by its URL. Each call is one connection; nothing is kept between them.
///
/// ```no_run
/// # async fn ask() -> Result<(), moorline_modal_emulator::ControlError> {
/// use moorline_modal_emulator::{Control, FaultPlan};
///
/// let emulator = Control::at("http://127.0.0.1:9000")?;
/// emulator.set_faults(&FaultPlan::default()).await?;
/// for effect in emulator.journal(Some("sandbox.create")).await? {
///     println!("{} {}", effect.id, effect.subject);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Control {
    authority: String,
}

/// Why a running emulator could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Not the URL of an emulator.
    #[error("`{url}` is not the URL of an emulator: write it as `http://127.0.0.1:PORT`")]
    Url {
        /// What was given.
        url: String,
    },
    /// Nobody answers there.
    #[error("no emulator answers at {authority}")]
    Unreachable {
        /// Host and port.
        authority: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It refused, in its own words.
    #[error("{0}")]
    Refused(String),
    /// What answers there is no emulator of this version.
    #[error("the answer of {authority} is not an emulator's")]
    Answer {
        /// Host and port.
        authority: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Control {
    /// The emulator at `url`, as `MODAL_SERVER_URL` has it. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ControlError::Url`].
    pub fn at(url: &str) -> Result<Self, ControlError> {
        let wrong = || ControlError::Url {
            url: url.to_owned(),
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri
            .authority()
            .filter(|authority| authority.port().is_some());
        match (uri.scheme_str(), authority) {
            (Some("http"), Some(authority)) => Ok(Self {
                authority: authority.to_string(),
            }),
            _ => Err(wrong()),
        }
    }

    /// Which RPCs it implements, and which were called.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn coverage(&self) -> Result<Coverage, ControlError> {
        self.ask(Method::GET, "coverage", Bytes::new())
            .await
            .and_then(|bytes| self.read(&bytes))
    }

    /// What really happened, or only the effects of one kind, e.g. `sandbox.create`.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn journal(&self, what: Option<&str>) -> Result<Vec<Effect>, ControlError> {
        let path = what.map_or_else(
            || "journal".to_owned(),
            |what| format!("journal?what={what}"),
        );
        self.ask(Method::GET, &path, Bytes::new())
            .await
            .and_then(|bytes| self.read(&bytes))
    }

    /// Puts a fault plan in force, from the next call on. An empty one clears all faults.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn set_faults(&self, plan: &FaultPlan) -> Result<(), ControlError> {
        let body = serde_json::to_vec(plan).map_err(|error| self.strange(error))?;
        self.ask(Method::PUT, "faults", body.into()).await.map(drop)
    }

    fn read<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, ControlError> {
        serde_json::from_slice(bytes).map_err(|error| self.strange(error))
    }

    fn strange(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ControlError {
        ControlError::Answer {
            authority: self.authority.clone(),
            source: error.into(),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ControlError> {
        let stream = TcpStream::connect(&self.authority)
            .await
            .map_err(|source| ControlError::Unreachable {
                authority: self.authority.clone(),
                source,
            })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.strange(error))?;
        let request = Request::builder()
            .method(method)
            .uri(format!("/emulator/{path}"))
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|_| ControlError::Url {
                url: path.to_owned(),
            })?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let code = response.status();
            let bytes = response.into_body().collect().await?.to_bytes();
            // The connection ends when nobody can send on it any more.
            drop(sender);
            Ok::<_, hyper::Error>((code, bytes))
        };
        let (answer, _ended) = tokio::join!(exchange, connection);
        match answer.map_err(|error| self.strange(error))? {
            (code, bytes) if code.is_success() => Ok(bytes),
            (StatusCode::NOT_FOUND, _) => Err(self.strange("there is no such page")),
            (_, bytes) => Err(ControlError::Refused(
                String::from_utf8_lossy(&bytes).trim().to_owned(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Fault, FaultKind};
    use crate::{Emulator, EmulatorOptions};

    #[tokio::test]
    async fn a_running_emulator_is_asked_and_told() {
        let emulator = Emulator::start(EmulatorOptions::default()).await.unwrap();
        let control = Control::at(&emulator.url()).unwrap();
        assert_eq!(control.coverage().await.unwrap(), emulator.coverage());
        assert_eq!(
            control.journal(None).await.unwrap(),
            emulator.journal().effects(None)
        );
        let kind = FaultKind::FailBefore { code: 14 };
        let fault = Fault {
            rpc: "AppList".to_owned(),
            nth: 1,
            times: 2,
            kind,
        };
        control
            .set_faults(&FaultPlan {
                faults: vec![fault],
                ..FaultPlan::default()
            })
            .await
            .unwrap();
        emulator.stop().await;
        let error = control.coverage().await.unwrap_err();
        assert!(
            matches!(error, ControlError::Unreachable { .. }),
            "{error:?}"
        );
    }

    #[test]
    fn a_plan_with_a_word_that_means_nothing_is_refused() {
        let plan = |text| serde_json::from_str::<FaultPlan>(text);
        assert!(plan(r#"[{"rpc": "AppList", "kind": "fail_before", "code": 14}]"#).is_ok());
        for text in [
            r#"[{"rpc": "AppList", "kind": "fail_before", "code": 14, "typo": 1}]"#,
            r#"[{"rpc": "AppList", "kind": "explode"}]"#,
            r#"{"fault": []}"#,
        ] {
            assert!(plan(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_plain_urls_with_a_port_are_emulators() {
        assert!(Control::at("http://127.0.0.1:9000").is_ok());
        for url in [
            "https://api.modal.com:443",
            "http://localhost",
            "127.0.0.1:9000",
            "",
        ] {
            assert!(
                matches!(Control::at(url), Err(ControlError::Url { .. })),
                "{url}"
            );
        }
    }
}
