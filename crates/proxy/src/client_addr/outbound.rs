//! Which forwarding headers are dropped on the way in, and which are sent to the backend.
//!
//! Every header that [`is_forwarding_header`] names is removed from every request. What then goes out is written
//! anew from what is known: X-Forwarded-For (the verified chain), X-Forwarded-Proto, X-Forwarded-Host, X-Real-IP
//! (the client) and X-Request-Id. From a trusted peer the scheme and host that it reports are kept, since it
//! terminated the client's connection.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::Chain;

/// Whether a request header (its name in any case) tells of the client, its connection or the original request, or
/// asserts an identity that only a proxy could have checked: removed, then written anew where we know better.
/// Whatever is no letter or digit counts as `-`: there are CGI-style backends that make `_` of all of it, so that
/// `x_real_ip` and `x.real.ip` are `x-real-ip` to them.
pub fn is_forwarding_header(name: &[u8]) -> bool {
    // Few fields begin as one of these does, so that most cost one look.
    if !name.first().is_some_and(|first| matches!(first.to_ascii_lowercase(), b'c' | b'f' | b't' | b'x')) {
        return false;
    }
    let begins = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| is_same_name(start, prefix));
    PREFIXES.into_iter().any(begins) || EXACT.into_iter().any(|exact| is_same_name(name, exact))
}

/// Whether some backend takes a field's `name` for the `known` one, which is in lower case.
pub(crate) fn is_same_name(name: &[u8], known: &str) -> bool {
    let same = |(&byte, known): (&u8, u8)| {
        byte.to_ascii_lowercase() == known
            || (!known.is_ascii_alphanumeric() && !byte.is_ascii_alphanumeric())
    };
    name.len() == known.len() && name.iter().zip(known.bytes()).all(same)
}

const PREFIXES: [&str; 2] = ["x-forwarded-", "x-ssl-client-"];

const EXACT: [&str; 19] = [
    "client-cert",       // RFC 9440
    "client-cert-chain", // RFC 9440
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "fastly-client-ip",
    "forwarded", // RFC 7239
    "forwarded-for",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-remote-addr",
    "x-request-id",
    "x-rewrite-url",
];

/// What is known about a request when it is forwarded.
#[derive(Debug, Clone, Copy)]
pub struct Inbound<'a> {
    /// From the client to our peer.
    pub chain: &'a Chain,
    /// [`Chain::client`] as text, which is made once per connection.
    pub client: &'a str,
    /// Whether the client's connection to us is TLS.
    pub tls: bool,
    /// The request's host (and port, if any), already checked against the tenant's names.
    pub host: &'a str,
    /// The X-Forwarded-Proto header as received.
    pub x_forwarded_proto: Option<&'a [u8]>,
    /// The X-Forwarded-Host header as received.
    pub x_forwarded_host: Option<&'a [u8]>,
}

/// The values of the forwarding headers for the backend. X-Real-IP is [`Chain::client`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarding<'a> {
    /// X-Forwarded-For: the client, then the proxies between it and us.
    pub x_forwarded_for: Cow<'a, str>,
    /// X-Forwarded-Proto: `http` or `https`.
    pub x_forwarded_proto: &'static str,
    /// X-Forwarded-Host: the host that the client asked for.
    pub x_forwarded_host: &'a str,
}

/// Derives what the backend is told. Scheme and host as reported are believed only where a trusted proxy stands
/// between, and only when they are well formed.
pub fn forwarding<'a>(inbound: &Inbound<'a>) -> Forwarding<'a> {
    let proxies = &inbound.chain.proxies;
    let mut x_forwarded_for = Cow::Borrowed(inbound.client);
    for proxy in proxies {
        // Writing to a String cannot fail.
        let _ = write!(x_forwarded_for.to_mut(), ", {proxy}");
    }
    let own_proto = if inbound.tls { "https" } else { "http" };
    let reported = |value: Option<&'a [u8]>| value.filter(|_| !proxies.is_empty());
    Forwarding {
        x_forwarded_for,
        x_forwarded_proto: reported(inbound.x_forwarded_proto).and_then(scheme).unwrap_or(own_proto),
        x_forwarded_host: reported(inbound.x_forwarded_host).and_then(host).unwrap_or(inbound.host),
    }
}

fn scheme(value: &[u8]) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|known| value.eq_ignore_ascii_case(known.as_bytes()))
}

/// A host name or address with an optional port: only the characters that such a thing may have, so that nothing
/// else can hide in it.
fn host(value: &[u8]) -> Option<&str> {
    const MAX_HOST_LEN: usize = 255 + ":65535".len();
    let sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    let fits = (1..=MAX_HOST_LEN).contains(&value.len()) && value.iter().all(sound);
    std::str::from_utf8(value).ok().filter(|_| fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(client: &str, proxies: &[&str]) -> Chain {
        Chain {
            client: client.parse().unwrap(),
            proxies: proxies.iter().map(|proxy| proxy.parse().unwrap()).collect(),
        }
    }

    fn inbound<'a>(chain: &'a Chain, client: &'a str) -> Inbound<'a> {
        Inbound {
            chain,
            client,
            tls: true,
            host: "shop.example",
            x_forwarded_proto: Some(b"http"),
            x_forwarded_host: Some(b"evil.example"),
        }
    }

    #[test]
    fn a_strangers_claims_do_not_reach_the_backend() {
        let chain = chain("203.0.113.9", &[]);
        let sent = forwarding(&inbound(&chain, "203.0.113.9"));
        assert_eq!(sent.x_forwarded_for, "203.0.113.9");
        assert_eq!(sent.x_forwarded_proto, "https");
        assert_eq!(sent.x_forwarded_host, "shop.example");
    }

    #[test]
    fn a_trusted_proxys_account_is_passed_on() {
        let chain = chain("2001:db8::1", &["10.0.0.2", "10.0.0.1"]);
        let sent = forwarding(&Inbound {
            x_forwarded_host: Some(b"www.example:8443"),
            ..inbound(&chain, "2001:db8::1")
        });
        assert_eq!(sent.x_forwarded_for, "2001:db8::1, 10.0.0.2, 10.0.0.1");
        assert_eq!(sent.x_forwarded_proto, "http");
        assert_eq!(sent.x_forwarded_host, "www.example:8443");
    }

    #[test]
    fn malformed_reports_are_replaced_by_what_is_known() {
        let chain = chain("203.0.113.9", &["10.0.0.1"]);
        for bad in [&b""[..], b"a b", b"a,b", b"a\r\nx: y", b"<script>", b"\xff", &[b'a'; 300]] {
            let sent = forwarding(&Inbound {
                x_forwarded_proto: Some(bad),
                x_forwarded_host: Some(bad),
                ..inbound(&chain, "203.0.113.9")
            });
            assert_eq!((sent.x_forwarded_proto, sent.x_forwarded_host), ("https", "shop.example"));
        }
    }

    #[test]
    fn forwarding_headers_are_known_and_others_left_alone() {
        for name in [
            "x-forwarded-for",
            "x-forwarded-prefix",
            "forwarded",
            "x-real-ip",
            "x-request-id",
            "client-cert",
            "x-ssl-client-verify",
            "x_forwarded_for",
            "x-real_ip",
            "True-Client-IP",
            "X_Forwarded_Prefix",
            "client.cert",
            "Client!Cert_Chain",
            "x.forwarded~for",
        ] {
            assert!(is_forwarding_header(name.as_bytes()), "{name}");
        }
        for name in ["host", "accept", "x-requested-with", "via", "forwarded-x", "x-forward", ""] {
            assert!(!is_forwarding_header(name.as_bytes()), "{name}");
        }
    }
}
