//! TLS for connections, when the configuration names a certificate.
//!
//! `SIGHUP` reads the files again: connections from then on get the new certificate, those that are there go on
//! with theirs. Files that can not be used change nothing.

use std::sync::Arc;

use moorline_api::ApiError;
use moorline_core::config::ServerSettings;
use moorline_core::error_code::ErrorCode;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::error;

use crate::app::App;
use crate::report;

/// What accepts connections with TLS; none where no certificate is configured.
///
/// # Errors
/// [`ErrorCode::Config`] for files that can not be read, hold nothing of the kind, or do not fit each other.
pub(crate) fn acceptor(settings: &ServerSettings) -> Result<Option<TlsAcceptor>, ApiError> {
    let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) else {
        return Ok(None);
    };
    let unreadable = |what: &str, error: rustls_pki_types::pem::Error| {
        let path = if what == "tls_cert" { cert } else { key };
        let message = format!("`server.{what}` can not be read from {path}: {error}");
        ApiError::new(ErrorCode::Config, message).hint("give a PEM file that this user can read")
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable("tls_cert", error))?;
    if chain.is_empty() {
        return Err(unreadable(
            "tls_cert",
            rustls_pki_types::pem::Error::NoItemsFound,
        ));
    }
    let private = PrivateKeyDer::from_pem_file(key);
    let private = private.map_err(|error| unreadable("tls_key", error))?;
    let unfit = |error: rustls::Error| {
        let message = format!("the certificate can not be used: {error}");
        ApiError::new(ErrorCode::Config, message)
            .hint("`server.tls_key` must be the key of the first certificate in `server.tls_cert`")
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// Reads the certificate again at every `SIGHUP`, until the server ends.
pub(crate) async fn renew(app: Arc<App>, mut hangup: Signal, current: watch::Sender<TlsAcceptor>) {
    loop {
        tokio::select! {
            told = hangup.recv() => if told.is_none() { return },
            () = app.closing.cancelled() => return,
        }
        match acceptor(app.server()) {
            Ok(Some(new)) => {
                current.send_replace(new);
                report::line("the certificate was read again");
            }
            Ok(None) => {}
            Err(error) => error!(
                code = error.code.as_str(),
                "the certificate stays the one that it was: {error}"
            ),
        }
    }
}
