//! Proofs of work, without any memory of them.
//!
//! A challenge is base64url (no padding) of
//!
//! ```text
//! version (1 byte, 1) | made (8 bytes, seconds since 1970, big-endian) | difficulty (1 byte) | tag (16 bytes)
//! ```
//!
//! The tag is HMAC-SHA-256, cut to 16 bytes, over the tenant, the client's address (of IPv6 its first 64 bits) and all
//! before it: a challenge is good for whom it was made for and for nobody else, so that one machine cannot work for many.
//! A proof is the challenge, a `.` and a decimal number such that SHA-256 of the whole begins with as many zero bits as
//! the difficulty says (the scheme of Hashcash, Back 2002, with a challenge so that no work is done ahead). The number has 19
//! digits at most, so that a proof fits one block of SHA-256.
//!
//! A proof is good until its challenge is too old, or a harder one is asked for. To check one costs an HMAC and a hash;
//! what is not formed like one costs neither.

use std::net::{IpAddr, Ipv6Addr};

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use veloflux_snapshot::mode::Challenge;

use crate::cookie::{self, CookieKey};

/// The cookie in which browsers show their proof.
pub(crate) const COOKIE: &str = "veloflux_clearance";

const VERSION: u8 = 1;
const MADE_AT: usize = 1;
const DIFFICULTY_AT: usize = MADE_AT + 8;
const TAG_AT: usize = DIFFICULTY_AT + 1;
const CHALLENGE_LEN: usize = TAG_AT + 16;
const ENCODED_LEN: usize = (CHALLENGE_LEN * 4).div_ceil(3);

/// Digits of the number.
const MAX_DIGITS: usize = 19;

/// Cookies of the right name that are looked at in one request.
const MAX_CANDIDATES: usize = 4;

/// How far ahead another node's clock may be, in seconds.
const MAX_AHEAD_S: u64 = 60;

/// Whose work it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worker<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) client: IpAddr,
}

impl Worker<'_> {
    fn tag(&self, key: &CookieKey, signed: &[u8]) -> [u8; 16] {
        let network = match self.client.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64),
        };
        // The length keeps a tenant's name from running into what follows it.
        let length = (self.tenant.len() as u64).to_be_bytes();
        key.mac(&[b"challenge", &length, self.tenant.as_bytes(), &network.octets(), signed])
    }
}

/// A new challenge; `now_s` is in seconds since 1970.
pub(crate) fn challenge(key: &CookieKey, worker: &Worker<'_>, policy: &Challenge, now_s: u64) -> String {
    let mut challenge = [0; CHALLENGE_LEN];
    challenge[0] = VERSION;
    challenge[MADE_AT..DIFFICULTY_AT].copy_from_slice(&now_s.to_be_bytes());
    challenge[DIFFICULTY_AT] = policy.difficulty_bits;
    let tag = worker.tag(key, &challenge[..TAG_AT]);
    challenge[TAG_AT..].copy_from_slice(&tag);
    URL_SAFE_NO_PAD.encode(challenge)
}

/// Whether one of the cookies is a proof that `policy` accepts. `cookies` are the values of Cookie header fields, `now_s`
/// is in seconds since 1970.
pub(crate) fn is_among<'a>(
    cookies: impl IntoIterator<Item = &'a [u8]>,
    key: &CookieKey,
    worker: &Worker<'_>,
    policy: &Challenge,
    now_s: u64,
) -> bool {
    cookie::named(cookies, COOKIE)
        .take(MAX_CANDIDATES)
        .any(|proof| is_good(proof, key, worker, policy, now_s).unwrap_or(false))
}

fn is_good(
    proof: &[u8],
    key: &CookieKey,
    worker: &Worker<'_>,
    policy: &Challenge,
    now_s: u64,
) -> Option<bool> {
    let (challenge, number) = proof.split_at_checked(ENCODED_LEN)?;
    let digits = number.strip_prefix(b".")?;
    if !(1..=MAX_DIGITS).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let challenge: [u8; CHALLENGE_LEN] = URL_SAFE_NO_PAD.decode(challenge).ok()?.try_into().ok()?;
    let (signed, tag) = challenge.split_at(TAG_AT);
    let made_s = u64::from_be_bytes(signed[MADE_AT..DIFFICULTY_AT].try_into().ok()?);
    let difficulty = signed[DIFFICULTY_AT];
    if signed[0] != VERSION
        || difficulty < policy.difficulty_bits
        || made_s > now_s.saturating_add(MAX_AHEAD_S)
        || now_s >= made_s.saturating_add(policy.valid_for.as_secs())
    {
        return None;
    }
    constant_time::verify_slices_are_equal(&worker.tag(key, signed), tag).ok()?;
    Some(zero_bits(digest::digest(&digest::SHA256, proof).as_ref()) >= u32::from(difficulty))
}

/// How many bits are zero before the first that is not.
fn zero_bits(digest: &[u8]) -> u32 {
    let zeros = digest.iter().take_while(|&&byte| byte == 0).count();
    zeros as u32 * 8 + digest.get(zeros).map_or(0, |byte| byte.leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const NOW: u64 = 1_800_000_000;
    const POLICY: Challenge =
        Challenge { is_for_everybody: false, difficulty_bits: 8, valid_for: Duration::from_hours(1) };

    fn key() -> CookieKey {
        CookieKey::new(&[7; 32])
    }

    fn worker(client: &str) -> Worker<'static> {
        Worker { tenant: "acme", client: client.parse().unwrap() }
    }

    /// What a browser does.
    fn solve(challenge: &str, difficulty_bits: u32) -> String {
        let proof = |number: u32| format!("{challenge}.{number}");
        let is_found = |proof: &String| {
            zero_bits(digest::digest(&digest::SHA256, proof.as_bytes()).as_ref()) >= difficulty_bits
        };
        (0..u32::MAX).map(proof).find(is_found).unwrap()
    }

    fn solved(client: &str) -> String {
        solve(&challenge(&key(), &worker(client), &POLICY, NOW), 8)
    }

    fn accepted(proof: &str, client: &str, policy: &Challenge, now_s: u64) -> bool {
        let cookies = format!("a=b; {COOKIE}=x; {COOKIE}={proof}; c=d");
        is_among([cookies.as_bytes()], &key(), &worker(client), policy, now_s)
    }

    #[test]
    fn work_is_accepted_from_whom_it_was_asked() {
        for (asked, same, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::", "2001:db8:0:2::1"),
        ] {
            let proof = solved(asked);
            assert!(proof.len() <= ENCODED_LEN + 1 + MAX_DIGITS && ENCODED_LEN + 1 + MAX_DIGITS <= 55);
            assert!(accepted(&proof, asked, &POLICY, NOW));
            assert!(accepted(&proof, same, &POLICY, NOW));
            assert!(!accepted(&proof, other, &POLICY, NOW));
            let elsewhere = Worker { tenant: "acm", client: asked.parse().unwrap() };
            let cookie = format!("{COOKIE}={proof}");
            assert!(!is_among([cookie.as_bytes()], &key(), &elsewhere, &POLICY, NOW));
            let other_key = CookieKey::new(&[8; 32]);
            assert!(!is_among([cookie.as_bytes()], &other_key, &worker(asked), &POLICY, NOW));
        }
    }

    #[test]
    fn it_grows_old_and_too_easy() {
        let proof = solved("192.0.2.1");
        let end = NOW + 3_600;
        assert!(accepted(&proof, "192.0.2.1", &POLICY, end - 1));
        assert!(!accepted(&proof, "192.0.2.1", &POLICY, end));
        assert!(accepted(&proof, "192.0.2.1", &POLICY, NOW - MAX_AHEAD_S));
        assert!(!accepted(&proof, "192.0.2.1", &POLICY, NOW - MAX_AHEAD_S - 1));
        let shorter = Challenge { valid_for: Duration::from_mins(1), ..POLICY };
        assert!(!accepted(&proof, "192.0.2.1", &shorter, NOW + 60));
        let harder = Challenge { difficulty_bits: 9, ..POLICY };
        assert!(!accepted(&proof, "192.0.2.1", &harder, NOW));
        let easier = Challenge { difficulty_bits: 7, ..POLICY };
        assert!(accepted(&proof, "192.0.2.1", &easier, NOW));
    }

    #[test]
    fn a_number_that_proves_nothing_is_not_accepted() {
        let asked = challenge(&key(), &worker("192.0.2.1"), &POLICY, NOW);
        let proof = solve(&asked, 8);
        let found: u32 = proof[ENCODED_LEN + 1..].parse().unwrap();
        let wrong = |number: u32| {
            let proof = format!("{asked}.{number}");
            zero_bits(digest::digest(&digest::SHA256, proof.as_bytes()).as_ref()) < 8
        };
        let number = (found + 1..u32::MAX).find(|number| wrong(*number)).unwrap();
        assert!(!accepted(&format!("{asked}.{number}"), "192.0.2.1", &POLICY, NOW));
        for bad in [
            asked.clone(),
            format!("{asked}."),
            format!("{asked}.-1"),
            format!("{asked}.{}", "0".repeat(20)),
            format!("{asked},1"),
        ] {
            assert!(!accepted(&bad, "192.0.2.1", &POLICY, NOW), "{bad}");
        }
    }

    #[test]
    fn zero_bits_are_counted_from_the_front() {
        for (digest, bits) in [(&[0x80, 0][..], 0), (&[0x7f], 1), (&[0, 1], 15), (&[0, 0], 16)] {
            assert_eq!(zero_bits(digest), bits);
        }
    }

    proptest! {
        #[test]
        fn a_changed_challenge_is_not_accepted(at in 0..CHALLENGE_LEN, flip in 1_u8..) {
            let asked = challenge(&key(), &worker("192.0.2.1"), &POLICY, NOW);
            let mut bytes = URL_SAFE_NO_PAD.decode(asked).unwrap();
            bytes[at] ^= flip;
            // Solved as it then is, so that nothing but the tag stands in the way.
            let forged = solve(&URL_SAFE_NO_PAD.encode(bytes), 8);
            prop_assert!(!accepted(&forged, "192.0.2.1", &POLICY, NOW));
        }

        #[test]
        fn any_bytes_are_survived(cookie in prop::collection::vec(any::<u8>(), 0..200)) {
            let named = [COOKIE.as_bytes(), b"=", &cookie].concat();
            prop_assert!(!is_among([&cookie[..], &named], &key(), &worker("192.0.2.1"), &POLICY, NOW));
        }
    }
}
