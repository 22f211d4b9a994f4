//! What reaches a sandbox and what it reaches, while it runs.

use std::time::Duration;

use moorline_modal_proto::client::{
    SandboxCreateConnectTokenRequest, SandboxGetTunnelsRequest, TunnelData,
    generic_result::GenericStatus,
};
use moorline_modal_proto::router::{
    SandboxWaitUntilReadyTcrRequest, TaskReloadVolumesRequest, TaskSetNetworkAccessRequest,
};
use secrecy::SecretString;

use super::{Egress, Sandbox, rpc};
use crate::router::command_router;
use crate::{CallOptions, Error, ErrorKind, Result};

command_router! {
    RELOAD_VOLUMES = TaskReloadVolumes(TaskReloadVolumesRequest) -> TaskReloadVolumesResponse, Read;
    SET_NETWORK_ACCESS = TaskSetNetworkAccess(TaskSetNetworkAccessRequest)
        -> TaskSetNetworkAccessResponse, Read;
    WAIT_UNTIL_READY = SandboxWaitUntilReady(SandboxWaitUntilReadyTcrRequest)
        -> SandboxWaitUntilReadyTcrResponse, Read;
}

/// A way to a port of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tunnel {
    /// The port in the sandbox.
    pub container_port: u32,
    /// Where TLS is spoken.
    pub host: String,
    /// Its port.
    pub port: u32,
    /// Where plain TCP is spoken, for ports that asked for it.
    pub tcp: Option<(String, u32)>,
}

impl Tunnel {
    /// The address over TLS.
    pub fn url(&self) -> String {
        match self.port {
            443 => format!("https://{}", self.host),
            port => format!("https://{}:{port}", self.host),
        }
    }
}

pub(super) fn tunnels_of(tunnels: &[TunnelData]) -> Vec<Tunnel> {
    let tunnel = |tunnel: &TunnelData| Tunnel {
        container_port: tunnel.container_port,
        host: tunnel.host.clone(),
        port: tunnel.port,
        tcp: tunnel
            .unencrypted_host
            .clone()
            .filter(|host| !host.is_empty())
            .zip(tunnel.unencrypted_port),
    };
    tunnels.iter().map(tunnel).collect()
}

/// Leave to talk to a server in a sandbox.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectToken {
    /// Where.
    pub url: String,
    /// The value of `Authorization: Bearer …`.
    pub token: SecretString,
}

impl Sandbox {
    /// The tunnels of its ports; waits until they are there.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if they are not within `timeout`.
    pub async fn tunnels(&self, timeout: Duration) -> Result<&[Tunnel]> {
        let tunnels = self.known_tunnels().get_or_try_init(async || {
            let request = SandboxGetTunnelsRequest {
                sandbox_id: self.id().to_owned(),
                timeout: timeout.as_secs_f32(),
            };
            let options = CallOptions::new().attempt_timeout(timeout + Duration::from_secs(5));
            let response = self
                .call_with(rpc::TUNNELS, rpc::TUNNELS_V2, request, options)
                .await?;
            let result = response.result.unwrap_or_default();
            if result.status() == GenericStatus::Timeout {
                let message = format!("no tunnels within {} s", timeout.as_secs());
                return Err(Error::new(ErrorKind::Timeout, message).with_rpc("SandboxGetTunnels"));
            }
            Ok(tunnels_of(&response.tunnels))
        });
        tunnels.await.map(Vec::as_slice)
    }

    /// Changes what it may connect to, from now on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a list that can not be.
    pub async fn set_egress(&self, egress: &Egress) -> Result<()> {
        egress.validate()?;
        let router = self.router().await?;
        let request = TaskSetNetworkAccessRequest {
            task_id: router.task_id().to_owned(),
            network_access: Some(egress.to_proto()),
        };
        router.unary(SET_NETWORK_ACCESS, request).await.map(|_| ())
    }

    /// Leave for somebody to talk to a server in it. `user_metadata` reaches that server; without a port it
    /// is the first of the sandbox.
    ///
    /// # Errors
    /// What the server says.
    pub async fn connect_token(
        &self,
        user_metadata: &str,
        port: Option<u16>,
    ) -> Result<ConnectToken> {
        let request = SandboxCreateConnectTokenRequest {
            sandbox_id: self.id().to_owned(),
            user_metadata: user_metadata.to_owned(),
            port: port.map(u32::from),
        };
        let response = self
            .call(rpc::CONNECT_TOKEN, rpc::CONNECT_TOKEN_V2, request)
            .await?;
        Ok(ConnectToken {
            url: response.url,
            token: response.token.into(),
        })
    }

    /// Waits until its readiness probe succeeds.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if it does not within `timeout`; [`ErrorKind::Conflict`] if the sandbox ended.
    pub async fn wait_until_ready(&self, timeout: Duration) -> Result<()> {
        let router = self.router().await?;
        let request = SandboxWaitUntilReadyTcrRequest {
            task_id: router.task_id().to_owned(),
            timeout: timeout.as_secs_f32(),
        };
        router
            .unary_within(WAIT_UNTIL_READY, request, timeout)
            .await
            .map(|_| ())
    }

    /// Shows it what others committed to its volumes.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] while it has files of a volume open; [`ErrorKind::Timeout`].
    pub async fn reload_volumes(&self, timeout: Duration) -> Result<()> {
        let router = self.router().await?;
        let task_id = router.task_id().to_owned();
        let request = TaskReloadVolumesRequest {
            task_id,
            container_id: String::new(),
        };
        router
            .unary_within(RELOAD_VOLUMES, request, timeout)
            .await
            .map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_has_an_address_over_tls_and_perhaps_one_of_plain_tcp() {
        let data = TunnelData {
            host: "x.modal.host".into(),
            port: 443,
            unencrypted_host: Some("r1.modal.host".into()),
            unencrypted_port: Some(4000),
            container_port: 8080,
        };
        let tcp = Some(("r1.modal.host".to_owned(), 4000));
        let tunnel = Tunnel {
            container_port: 8080,
            host: "x.modal.host".into(),
            port: 443,
            tcp,
        };
        assert_eq!(
            tunnels_of(std::slice::from_ref(&data)),
            std::slice::from_ref(&tunnel)
        );
        assert_eq!(tunnel.url(), "https://x.modal.host");
        let unset = TunnelData {
            unencrypted_host: Some(String::new()),
            port: 5000,
            ..data
        };
        let other = Tunnel {
            tcp: None,
            port: 5000,
            ..tunnel
        };
        assert_eq!(tunnels_of(&[unset]), std::slice::from_ref(&other));
        assert_eq!(other.url(), "https://x.modal.host:5000");
    }
}
