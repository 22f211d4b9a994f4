//! Alerts by mail, over SMTP (RFC 5321).
//!
//! The connection is encrypted: from its first byte on port 465, by `STARTTLS` on every other. Only a server
//! on this very machine is spoken to in the clear, as a local relay is. The sender's address is the user
//! name; the destination's secret is the password. `Message-ID` is made of the delivery's id, so a mail that
//! was sent twice is known as one.

use std::net::IpAddr;

use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::{AsyncSmtpTransport, Error as SmtpError};
use lettre::{AsyncTransport as _, Tokio1Executor};
use moorline_core::alert::Delivery;

use super::deliver::SendError;
use super::destination::Resolved;
use super::message::Message;

/// The port on which TLS begins at once (RFC 8314).
const IMPLICIT_TLS: u16 = 465;

/// Sends a mail.
pub(super) async fn send(
    resolved: &Resolved,
    message: &Message,
    delivery: &Delivery,
) -> Result<(), SendError> {
    let destination = &resolved.destination;
    let server = destination.smtp.as_deref().ok_or_else(|| {
        SendError::lasting("no mail server is configured: add `smtp` to an `email` destination")
    })?;
    let from = destination.from.as_deref().ok_or_else(|| {
        SendError::lasting("no sender is configured: add `from` to the `email` destination")
    })?;
    let from = mailbox(from, "sender")?;
    let domain = from.email.domain().to_owned();
    let user = from.email.to_string();
    let mail = lettre::Message::builder()
        .from(from)
        .to(mailbox(&resolved.target, "target")?)
        .subject(message.subject())
        .message_id(Some(format!("<{}@{domain}>", delivery.id)))
        .header(ContentType::TEXT_PLAIN)
        .body(message.text())
        .map_err(|error| SendError::lasting(format!("the mail can not be written: {error}")))?;
    let mut transport = transport(server)?;
    if let Some(password) = &resolved.secret {
        transport = transport.credentials(Credentials::new(user, password.clone()));
    }
    match transport.build().send(mail).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_permanent() => Err(SendError::lasting(told(&error))),
        Err(error) => Err(SendError::passing(told(&error))),
    }
}

fn mailbox(text: &str, what: &str) -> Result<Mailbox, SendError> {
    text.parse()
        .map_err(|error| SendError::lasting(format!("its {what} is not a mail address: {error}")))
}

fn transport(
    server: &str,
) -> Result<lettre::transport::smtp::AsyncSmtpTransportBuilder, SendError> {
    let (host, port) = server
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)))
        .ok_or_else(|| SendError::lasting("its mail server is not of the form `host:port`"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let builder = if port == IMPLICIT_TLS {
        AsyncSmtpTransport::<Tokio1Executor>::relay(host)
    } else if is_this_machine(host) {
        Ok(AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(
            host,
        ))
    } else {
        AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host)
    };
    let builder = builder.map_err(|error| SendError::passing(told(&error)))?;
    Ok(builder.port(port))
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// An error with its causes.
fn told(error: &SmtpError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for host in ["localhost", "127.0.0.1", "127.8.8.8", "::1"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "mail.example.com",
            "10.0.0.1",
            "0.0.0.0",
            "localhost.example.com",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_server_that_is_none_is_given_up() {
        for server in ["mail.example.com", "mail:x", "mail:99999"] {
            assert!(transport(server).err().unwrap().give_up, "{server}");
        }
        assert!(transport("[::1]:25").is_ok());
    }
}
