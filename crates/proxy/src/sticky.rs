//! Cookie stickiness: which backend a client is bound to.
//!
//! The cookie's value is base64url (no padding) of
//!
//! ```text
//! version (1 byte, 1) | expiry (8 bytes, seconds since 1970, big-endian) | backend name (8 bytes) | tag (16 bytes)
//! ```
//!
//! The tag is HMAC-SHA-256, cut to 16 bytes (RFC 2104 section 5), over the pool's id and all before it: a cookie
//! that was forged, changed, made for another pool, or made with another key is ignored, and so is an expired
//! one. The backend's name is an HMAC of its id: a plain hash would let anyone who guesses addresses confirm
//! them. Finding the backend costs one HMAC per backend of the pool, for requests with a valid cookie only.

use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use veloflux_snapshot::{Pool, Sticky};

use crate::cookie::{self, CookieKey};

const VERSION: u8 = 1;
const EXPIRY_AT: usize = 1;
const NAME_AT: usize = EXPIRY_AT + 8;
const TAG_AT: usize = NAME_AT + 8;
const TOKEN_LEN: usize = TAG_AT + 16;
const ENCODED_LEN: usize = (TOKEN_LEN * 4).div_ceil(3);

/// Cookies of the right name that are looked at in one request; a client that sends more is not bound.
const MAX_CANDIDATES: usize = 4;

/// The backend (index into [`Pool::backends`]) that the request's cookies name. `cookies` are the values of its
/// Cookie headers, `now_s` is in seconds since 1970. `None`: not bound, the usual balancing applies.
pub fn parse<'a>(
    key: &CookieKey,
    pool: &Pool,
    cookies: impl IntoIterator<Item = &'a [u8]>,
    now_s: u64,
) -> Option<usize> {
    let sticky = pool.sticky.as_ref()?;
    cookie::named(cookies, &sticky.cookie)
        .take(MAX_CANDIDATES)
        .find_map(|value| verify(key, pool, value, now_s))
}

/// The Set-Cookie header that binds a client to backend `index` for [`Sticky::ttl`] from `now_s` on (seconds since
/// 1970). `secure`: the client came over TLS. `None`: the pool is not sticky or has no such backend.
pub fn set_cookie(key: &CookieKey, pool: &Pool, index: usize, now_s: u64, secure: bool) -> Option<String> {
    let Sticky { cookie, ttl } = pool.sticky.as_ref()?;
    let backend = pool.backends.get(index)?;
    let mut token = [0; TOKEN_LEN];
    token[0] = VERSION;
    token[EXPIRY_AT..NAME_AT].copy_from_slice(&now_s.saturating_add(ttl.as_secs()).to_be_bytes());
    token[NAME_AT..TAG_AT].copy_from_slice(&backend_name(key, &backend.id));
    let tag = tag(key, pool, &token[..TAG_AT]);
    token[TAG_AT..].copy_from_slice(&tag);
    let value = URL_SAFE_NO_PAD.encode(token);
    let secure = if secure { "; Secure" } else { "" };
    let max_age = ttl.as_secs();
    Some(format!("{cookie}={value}; Path=/; Max-Age={max_age}; HttpOnly{secure}; SameSite=Lax"))
}

fn tag(key: &CookieKey, pool: &Pool, signed: &[u8]) -> [u8; 16] {
    // The length keeps a pool's id from running into what follows it.
    key.mac(&[b"token", &(pool.id.len() as u64).to_be_bytes(), pool.id.as_bytes(), signed])
}

fn backend_name(key: &CookieKey, backend_id: &str) -> [u8; 8] {
    key.mac(&[b"backend", backend_id.as_bytes()])
}

fn verify(key: &CookieKey, pool: &Pool, value: &[u8], now_s: u64) -> Option<usize> {
    if value.len() != ENCODED_LEN {
        return None;
    }
    let token: [u8; TOKEN_LEN] = URL_SAFE_NO_PAD.decode(value).ok()?.try_into().ok()?;
    let (signed, shown) = token.split_at(TAG_AT);
    constant_time::verify_slices_are_equal(&tag(key, pool, signed), shown).ok()?;
    let expiry = u64::from_be_bytes(signed[EXPIRY_AT..NAME_AT].try_into().ok()?);
    if signed[0] != VERSION || now_s >= expiry {
        return None;
    }
    pool.backends.iter().position(|backend| signed[NAME_AT..] == backend_name(key, &backend.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pool_of;
    use proptest::prelude::*;
    use std::time::Duration;
    use veloflux_snapshot::Algorithm;

    const NOW: u64 = 1_800_000_000;

    fn key() -> CookieKey {
        CookieKey::new(&[7; 32])
    }

    fn pool() -> Pool {
        let mut pool = pool_of(Algorithm::RoundRobin, &[1, 1, 1]);
        pool.sticky = Some(Sticky { cookie: "vf".into(), ttl: Duration::from_mins(1) });
        pool
    }

    fn cookie(pool: &Pool, index: usize) -> String {
        let header = set_cookie(&key(), pool, index, NOW, true).unwrap();
        header.split_once(';').unwrap().0.to_owned()
    }

    fn parse_one(pool: &Pool, header: &str, now_s: u64) -> Option<usize> {
        parse(&key(), pool, [header.as_bytes()], now_s)
    }

    #[test]
    fn a_cookie_leads_back_to_its_backend() {
        let pool = pool();
        for index in 0..3 {
            assert_eq!(parse_one(&pool, &cookie(&pool, index), NOW), Some(index));
        }
    }

    #[test]
    fn it_is_found_among_others_and_over_several_headers() {
        let pool = pool();
        let header = format!("a=b; xvf=1;{} ; c=d", cookie(&pool, 2));
        assert_eq!(parse(&key(), &pool, [b"vf=stale".as_slice(), header.as_bytes()], NOW), Some(2));
    }

    #[test]
    fn it_expires() {
        let pool = pool();
        assert_eq!(parse_one(&pool, &cookie(&pool, 1), NOW + 59), Some(1));
        assert_eq!(parse_one(&pool, &cookie(&pool, 1), NOW + 60), None);
    }

    #[test]
    fn another_pools_or_keys_cookie_is_ignored() {
        let pool = pool();
        let cookie = cookie(&pool, 1);
        let mut other = self::pool();
        other.id = "t/q".into();
        assert_eq!(parse_one(&other, &cookie, NOW), None);
        assert_eq!(parse(&CookieKey::new(&[8; 32]), &pool, [cookie.as_bytes()], NOW), None);
    }

    #[test]
    fn a_backend_that_is_gone_unbinds() {
        let mut pool = pool();
        let cookie = cookie(&pool, 2);
        pool.backends.pop();
        assert_eq!(parse_one(&pool, &cookie, NOW), None);
    }

    #[test]
    fn the_order_of_backends_does_not_matter() {
        let mut pool = pool();
        let cookie = cookie(&pool, 0);
        pool.backends.reverse();
        assert_eq!(parse_one(&pool, &cookie, NOW), Some(2));
    }

    #[test]
    fn the_header_carries_its_attributes() {
        let pool = pool();
        let header = set_cookie(&key(), &pool, 0, NOW, true).unwrap();
        assert!(header.ends_with("; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"), "{header}");
        let plain = set_cookie(&key(), &pool, 0, NOW, false).unwrap();
        assert!(plain.ends_with("; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"), "{plain}");
        assert_eq!(set_cookie(&key(), &pool, 9, NOW, true), None);
    }

    proptest! {
        #[test]
        fn a_changed_token_is_ignored(at in 0..TOKEN_LEN, flip in 1_u8..) {
            let pool = pool();
            let cookie = cookie(&pool, 1);
            let mut token = URL_SAFE_NO_PAD.decode(cookie.strip_prefix("vf=").unwrap()).unwrap();
            token[at] ^= flip;
            let forged = format!("vf={}", URL_SAFE_NO_PAD.encode(token));
            prop_assert_eq!(parse_one(&pool, &forged, NOW), None);
        }

        #[test]
        fn any_bytes_are_survived(header in prop::collection::vec(any::<u8>(), 0..200)) {
            let pool = pool();
            prop_assert_eq!(parse(&key(), &pool, [header.as_slice(), &[b"vf=", header.as_slice()].concat()], NOW), None);
        }
    }
}
