//! Cookies: the key of those that the edge itself makes, and how they are found.

use std::fmt;

use aws_lc_rs::hmac;

/// The key of every cookie that the edge makes and believes. Does not print.
pub struct CookieKey(hmac::Key);

impl CookieKey {
    /// From 32 secret bytes; every node that should honour the same cookies needs the same ones.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// HMAC-SHA-256 over `parts` in a row, cut to `LEN` bytes (RFC 2104 section 5). The first part is the cookie's kind;
    /// none is the beginning of another.
    pub(crate) fn mac<const LEN: usize>(&self, parts: &[&[u8]]) -> [u8; LEN] {
        const { assert!(LEN <= 32) };
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        let full = context.sign();
        std::array::from_fn(|i| full.as_ref()[i])
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey")
    }
}

/// The values of the cookies of this name in Cookie header fields (RFC 6265 section 4.2.1), read as leniently as servers
/// do.
pub(crate) fn named<'a>(
    fields: impl IntoIterator<Item = &'a [u8]>,
    name: &str,
) -> impl Iterator<Item = &'a [u8]> {
    fields.into_iter().flat_map(|field| field.split(|&byte| byte == b';')).filter_map(move |pair| {
        let equals = memchr::memchr(b'=', pair)?;
        (pair[..equals].trim_ascii() == name.as_bytes()).then(|| pair[equals + 1..].trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let fields = [&b"a=1; bc=2 ;c = 3"[..], b"c=4;c;=5; C=6"];
        let found: Vec<_> = named(fields, "c").map(|value| std::str::from_utf8(value).unwrap()).collect();
        assert_eq!(found, ["3", "4"]);
    }

    #[test]
    fn the_key_does_not_print() {
        assert_eq!(format!("{:?}", CookieKey::new(&[7; 32])), "CookieKey");
    }
}
