//! What a rule counts together: from a request to the hash of its key.
//!
//! Policy: a key's parts are hashed, each with its kind and length, under keys that are drawn anew for each process;
//! nothing of a value is kept. A request without a header, cookie or API key is counted with all that lack it. One with
//! several values where there should be one is counted with all such: which of them a backend believes is not known
//! here, and it must not be the client's choice under which it is counted. Names and values in a query are compared
//! decoded.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{IpAddr, Ipv6Addr};

use veloflux_snapshot::limit::KeyPart;

use super::table::Key;
use crate::cookie;
use crate::head::{Fields, Known, RequestHead};

/// The hash keys of this process.
#[derive(Debug, Default)]
pub(crate) struct KeyHash([RandomState; 2]);

/// Of what requests have to say for their keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) head: &'a RequestHead,
    /// The path in normal form.
    pub(crate) path: &'a [u8],
    /// The route's name; `None`: no route takes the request.
    pub(crate) route: Option<&'a str>,
    pub(crate) client: IpAddr,
}

impl KeyHash {
    /// The key of `subject` for the rule with this id.
    pub(crate) fn key(&self, tenant_mark: u16, id: &str, parts: &[KeyPart], subject: &Subject<'_>) -> Key {
        let mut hash = Hash::new(self, id);
        for part in parts {
            hash.add(part, subject);
        }
        hash.finish(tenant_mark)
    }

    /// The key of a client alone.
    pub(crate) fn client_key(&self, tenant_mark: u16, id: &str, client: IpAddr, ipv6_prefix: u8) -> Key {
        let mut hash = Hash::new(self, id);
        hash.client(client, ipv6_prefix);
        hash.finish(tenant_mark)
    }
}

struct Hash([std::collections::hash_map::DefaultHasher; 2]);

impl Hash {
    fn new(keys: &KeyHash, id: &str) -> Self {
        let mut hash = Self([keys.0[0].build_hasher(), keys.0[1].build_hasher()]);
        hash.text(b'i', id.as_bytes());
        hash
    }

    fn finish(self, tenant_mark: u16) -> Key {
        let [low, high] = self.0.map(|hasher| hasher.finish());
        Key::new(tenant_mark, u128::from(high) << 64 | u128::from(low))
    }

    fn add(&mut self, part: &KeyPart, subject: &Subject<'_>) {
        let Subject { head, path, route, client } = *subject;
        match part {
            KeyPart::Client(prefix) => self.client(client, *prefix),
            KeyPart::Route => {
                self.value(b'r', &route.map_or(Value::None, |name| Value::One(name.as_bytes().into())));
            }
            KeyPart::Method => self.text(b'm', head.method()),
            KeyPart::Path => self.text(b'p', path),
            KeyPart::Header(name) => self.value(b'h', &header(&head.fields, name)),
            KeyPart::Cookie(name) => self.value(b'c', &cookie(&head.fields, name)),
            KeyPart::ApiKey { header: field, query } => {
                let found = field.as_ref().map_or(Value::None, |name| header(&head.fields, name));
                let found =
                    found.and(query.as_ref().map_or(Value::None, |name| parameter(head.query(), name)));
                self.value(b'k', &found);
            }
        }
    }

    fn client(&mut self, client: IpAddr, ipv6_prefix: u8) {
        match client.to_canonical() {
            IpAddr::V4(address) => self.text(b'4', &address.octets()),
            IpAddr::V6(address) => self.text(b'6', &network(address, ipv6_prefix).octets()),
        }
    }

    fn value(&mut self, kind: u8, value: &Value<'_>) {
        match value {
            Value::None => self.text(kind.to_ascii_uppercase(), b"-"),
            Value::One(value) => self.text(kind, value),
            Value::Several => self.text(kind.to_ascii_uppercase(), b"+"),
        }
    }

    fn text(&mut self, kind: u8, bytes: &[u8]) {
        // Kind and length in one: no part can be taken for another, nor two for one.
        let begin = (bytes.len() as u64) << 8 | u64::from(kind);
        for hasher in &mut self.0 {
            hasher.write_u64(begin);
            hasher.write(bytes);
        }
    }
}

/// The network of `address` with this prefix.
fn network(address: Ipv6Addr, prefix: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

/// A value that should be there at most once.
#[derive(Debug, PartialEq, Eq)]
enum Value<'a> {
    None,
    One(Cow<'a, [u8]>),
    Several,
}

impl<'a> Value<'a> {
    fn of(mut values: impl Iterator<Item = Cow<'a, [u8]>>) -> Self {
        match (values.next(), values.next()) {
            (None, _) => Self::None,
            (Some(value), None) => Self::One(value),
            (Some(_), Some(_)) => Self::Several,
        }
    }

    /// The one that is there, or both if they agree.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, value) | (value, Self::None) => value,
            (one, other) if one == other => one,
            _ => Self::Several,
        }
    }
}

fn header<'a>(fields: &'a Fields, name: &str) -> Value<'a> {
    let named = fields.iter().filter(|(_, found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
    Value::of(named.map(|(.., value)| Cow::Borrowed(value)))
}

fn cookie<'a>(fields: &'a Fields, name: &str) -> Value<'a> {
    Value::of(cookie::named(fields.values(Known::Cookie), name).map(Cow::Borrowed))
}

/// A parameter of a query in the form of HTML forms (WHATWG URL section 5.1).
fn parameter<'a>(query: &'a [u8], name: &str) -> Value<'a> {
    let pairs = query.split(|&byte| byte == b'&');
    let named = pairs.filter_map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        let is_named = *decoded(&pair[..equals]) == *name.as_bytes();
        is_named.then(|| decoded(pair.get(equals + 1..).unwrap_or_default()))
    });
    Value::of(named)
}

/// Percent-decoded, `+` a space; what is no valid escape stays as it is.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let digit = |at: usize| text.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                at += 3;
                continue;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Asked<'a> {
        fields: Vec<(&'a str, &'a str)>,
        query: &'a str,
        client: &'a str,
        path: &'a str,
        route: Option<&'a str>,
    }

    const PLAIN: Asked<'_> =
        Asked { fields: Vec::new(), query: "", client: "192.0.2.1", path: "/", route: Some("all") };

    /// Whether both requests have the same key.
    fn same(parts: &[KeyPart], one: &Asked<'_>, other: &Asked<'_>) -> bool {
        let hash = KeyHash::default();
        let [one, other] = [one, other].map(|asked| {
            let mut head = RequestHead::default();
            head.query = head.fields.store(asked.query.as_bytes());
            for (name, value) in &asked.fields {
                head.fields.push(name.as_bytes(), value.as_bytes());
            }
            let subject = Subject {
                head: &head,
                path: asked.path.as_bytes(),
                route: asked.route,
                client: asked.client.parse().unwrap(),
            };
            hash.key(1, "t/tenant/rule", parts, &subject)
        });
        one == other
    }

    #[test]
    fn clients_are_told_apart_by_address_and_ipv6_network() {
        let at = |client| Asked { client, ..PLAIN };
        let same = |prefix, one, other| same(&[KeyPart::Client(prefix)], &at(one), &at(other));
        assert!(same(64, "192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same(64, "192.0.2.1", "192.0.2.2"));
        assert!(same(64, "2001:db8::1", "2001:db8::ffff:2"));
        assert!(!same(64, "2001:db8::1", "2001:db8:0:1::1"));
        assert!(same(48, "2001:db8::1", "2001:db8:0:1::1"));
        assert!(!same(128, "2001:db8::1", "2001:db8::2"));
    }

    #[test]
    fn a_value_that_is_there_several_times_is_nobodys_choice() {
        let with = |fields: &[(&'static str, &'static str)]| Asked { fields: fields.to_vec(), ..PLAIN };
        let header = [KeyPart::Header("x-user".into())];
        let one = |value| [("X-User", value)];
        assert!(same(&header, &with(&one("a")), &with(&[("x-user", "a")])));
        assert!(!same(&header, &with(&one("a")), &with(&one("b"))));
        assert!(!same(&header, &with(&one("")), &PLAIN), "none is not the same as an empty one");
        assert!(same(
            &header,
            &with(&[("x-user", "a"), ("x-user", "1")]),
            &with(&[("x-user", "a"), ("x-user", "2")])
        ));
        let cookie = [KeyPart::Cookie("sid".into())];
        let one = |value| [("Cookie", value)];
        assert!(same(&cookie, &with(&one("sid=a; b=c")), &with(&one("x=y;sid=a"))));
        assert!(!same(&cookie, &with(&one("sid=a")), &with(&one("sid=b"))));
        assert!(!same(&cookie, &with(&one("sid=a")), &with(&one("SID=a"))));
        assert!(same(&cookie, &with(&one("sid=a; sid=1")), &with(&one("sid=a; sid=2"))));
        assert!(!same(&cookie, &with(&one("sid=-")), &PLAIN));
    }

    #[test]
    fn an_api_key_is_the_same_in_header_and_query_and_however_it_is_encoded() {
        let key = [KeyPart::ApiKey { header: Some("x-api-key".into()), query: Some("api_key".into()) }];
        let header = |fields: &[(&'static str, &'static str)]| Asked { fields: fields.to_vec(), ..PLAIN };
        let query = |query| Asked { query, ..PLAIN };
        assert!(same(&key, &header(&[("x-api-key", "secret/1")]), &query("a=b&api_key=secret/1")));
        assert!(same(&key, &query("api%5Fkey=secret%2f1"), &query("api_key=secret/1")));
        assert!(!same(&key, &query("api_key=secret"), &query("api_key=Secret")));
        assert!(same(&key, &query("api_key=real&api_key=1"), &query("api_key=2&api_key=real")));
        let both = |fields, query| Asked { query, ..header(fields) };
        let real = [("x-api-key", "real")];
        assert!(same(&key, &both(&real, "api_key=real"), &header(&real)));
        assert!(same(&key, &both(&real, "api_key=1"), &both(&real, "api_key=2")));
        assert!(same(&key, &query("other=1"), &PLAIN));
    }

    #[test]
    fn parts_are_not_taken_for_each_other() {
        let parts = [KeyPart::Path, KeyPart::Route];
        let at = |path, route| Asked { path, route, ..PLAIN };
        assert!(!same(&parts, &at("/a", Some("b")), &at("/", Some("ab"))));
        assert!(!same(&parts, &at("/a", None), &at("/a", Some("-"))));
        assert!(same(&[KeyPart::Method], &at("/a", None), &at("/b", Some("x"))));
    }

    #[test]
    fn escapes_are_decoded_and_what_is_none_stays() {
        for (text, plain) in [("a", "a"), ("a%20b+c", "a b c"), ("%", "%"), ("%4", "%4"), ("%zz%41", "%zzA")]
        {
            assert_eq!(decoded(text.as_bytes()), plain.as_bytes());
        }
    }
    proptest! {
        #[test]
        fn however_a_query_is_encoded_its_key_is_the_same(value in "[ -~]{0,20}", beside in "[a-z=&]{0,10}") {
            let key = [KeyPart::ApiKey { header: Some("x-api-key".into()), query: Some("api_key".into()) }];
            let encoded = value.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02x}"));
            let query = format!("{beside}&api_key={encoded}&{beside}");
            let in_query = Asked { query: &query, ..PLAIN };
            let in_header = Asked { fields: vec![("X-Api-Key", &value)], ..PLAIN };
            prop_assert!(same(&key, &in_query, &in_header));
        }
    }
}
