//! TLS for connections, when the configuration names a certificate.

use std::sync::Arc;

use moorline_api::ApiError;
use moorline_core::config::ServerSettings;
use moorline_core::error_code::ErrorCode;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// What accepts connections with TLS; none where no certificate is configured.
///
/// # Errors
/// [`ErrorCode::Config`] for files that can not be read, hold nothing of the kind, or do not fit each other.
pub(crate) fn acceptor(settings: &ServerSettings) -> Result<Option<TlsAcceptor>, ApiError> {
    let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) else {
        return Ok(None);
    };
    let unreadable = |what: &str, error: rustls_pki_types::pem::Error| {
        let message = format!("`server.{what}` can not be read: {error}");
        ApiError::new(ErrorCode::Config, message).hint("give a PEM file that this user can read")
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable("tls_cert", error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("tls_key", error))?;
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
        .with_single_cert(chain, key)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
