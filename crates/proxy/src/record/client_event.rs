//! The event log's entry of a client whose certificate ended its handshake.

use std::net::IpAddr;

use serde::Serialize;

use super::{Masked, Timestamp};

/// A handshake that ended because of the client's certificate. There was no request yet, so there is no id.
#[derive(Debug, Serialize)]
#[serde(tag = "log", rename = "client_certificate")]
pub struct ClientCertificateEvent<'a> {
    /// When the handshake ended.
    pub time: Timestamp,
    /// The id of the tenant whose name the client asked for.
    pub tenant: &'a str,
    /// The peer, or the client that a trusted balancer names by PROXY protocol.
    pub client: IpAddr,
    /// The server name that it asked for.
    pub sni: Masked<'a>,
    /// Why, as in the metrics.
    pub reason: &'static str,
}
