//! What must hold for any bytes from outside, one function per reader. Each is driven by the fuzz target of its name.
//!
//! Checked besides the assertions here: no panic, no overflow, and (by the driver) no run-away time or memory.

mod cost;
mod origins;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::LazyLock;

use veloflux_control::tsig::TsigKey;
use veloflux_model::process::TsigAlgorithm;
use veloflux_model::{Desired, Document, Process};
use veloflux_proxy::client_addr::{self, Inbound, MAX_HOPS, TrustedProxies};
use veloflux_proxy::proxy_protocol::{self, MAX_HEADER_LEN, Parsed};
use veloflux_proxy::record::Masker;
use veloflux_proxy::wire::{KeyIn, MAX_REPORTS, Reading, are_counted_together, read_reports, read_request};
use veloflux_snapshot::compile::OcspResponse;
use veloflux_waf::body::{self, Argument, Limits, cookies, json, multipart, urlencoded, xml};
use veloflux_waf::transform::Transformation;
use veloflux_waf::{MemFiles, Ruleset, Source, sqli};

pub use cost::cost;
pub use origins::{address_list, geo_database};

/// HTTP/1 requests with bodies: read the same however they arrive, and nothing in a head that could end a line when
/// it is written out again.
pub fn http1(input: &[u8]) {
    let whole = read_request(input, usize::MAX);
    for piece in [1, 7] {
        let in_pieces = read_request(input, piece);
        // A long line without an end is refused before it is known whether an end would have come.
        let refused_early = whole == Reading::Incomplete && in_pieces == Reading::Refused;
        assert!(in_pieces == whole || refused_early, "in pieces of {piece}: {in_pieces:?}, not {whole:?}");
    }
    let Reading::Request(request) = whole else { return };
    assert!(request.consumed <= input.len() && request.body.len() < request.consumed);
    let in_fields = request.fields.iter().flat_map(|(name, value)| [name, value]);
    for text in in_fields.chain([&request.method, &request.target, &request.authority]) {
        assert!(!text.iter().any(|byte| b"\r\n\0".contains(byte)), "{request:?}");
    }
    // What follows is another message's and changes nothing.
    assert_eq!(read_request(&input[..request.consumed], usize::MAX), Reading::Request(request));
}

/// OCSP responses: what is read is about something, and nothing but the whole is read.
pub fn ocsp(input: &[u8]) {
    let Ok(read) = OcspResponse::parse(input) else { return };
    assert!(!read.singles.is_empty() && read.singles.iter().all(|single| !single.serial.is_empty()));
    assert!(OcspResponse::parse(&input[..input.len() - 1]).is_err());
}

/// PROXY protocol headers: bounded, and decided by their own bytes alone.
pub fn proxy_protocol(input: &[u8]) {
    // Few inputs begin with twelve given bytes by themselves.
    for prefix in [&b""[..], b"PROXY TCP", b"\r\n\r\n\0\r\nQUIT\n"] {
        let bytes = [prefix, input].concat();
        let parsed = proxy_protocol::parse(&bytes);
        match parsed {
            Parsed::Header { consumed, .. } | Parsed::Local { consumed } => {
                assert!(consumed <= bytes.len() && consumed <= MAX_HEADER_LEN);
                assert_eq!(proxy_protocol::parse(&bytes[..consumed]), parsed);
                assert_eq!(proxy_protocol::parse(&bytes[..consumed - 1]), Parsed::Incomplete);
            }
            Parsed::Incomplete => assert!(bytes.len() < MAX_HEADER_LEN),
            Parsed::Invalid => {}
        }
    }
}

/// Forwarding headers: one value of each a line. An untrusted peer is believed nothing, and what a backend is told
/// holds nothing but what such headers may hold.
pub fn client_addr(input: &[u8]) {
    let lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    let (x_forwarded_for, rest) = lines.split_at(lines.len() / 2);
    let trusted =
        TrustedProxies::new(["10.0.0.0/8", "fd00::/8"].iter().filter_map(|net| net.parse().ok()).collect());
    for peer in [IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 1])] {
        let chain = client_addr::walk(&trusted, peer, x_forwarded_for.iter().copied(), rest.iter().copied());
        assert!(chain.proxies.len() <= MAX_HOPS);
        assert!(chain.proxies.iter().all(|&proxy| trusted.contains(proxy)));
        assert!(trusted.contains(peer) || chain.client == peer);
        let client = chain.client.to_string();
        let forwarding = client_addr::forwarding(&Inbound {
            chain: &chain,
            client: &client,
            tls: true,
            host: "own.test",
            x_forwarded_proto: rest.first().copied(),
            x_forwarded_host: rest.last().copied(),
        });
        let sound =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[], ".contains(&byte));
        assert!(sound(&forwarding.x_forwarded_for) && sound(forwarding.x_forwarded_host), "{forwarding:?}");
    }
}

/// Browsers' reports, in both forms: bounded in number, and no address keeps a query or fragment.
pub fn reports(input: &[u8]) {
    for content_type in [&b"application/csp-report"[..], b"application/reports+json"] {
        let reports = read_reports(content_type, input).unwrap_or_default();
        assert!(reports.len() <= MAX_REPORTS);
        for report in reports {
            for address in [&report.document, &report.blocked, &report.source] {
                assert!(!address.contains(['?', '#']) && address.len() <= input.len(), "{address}");
            }
        }
    }
}

/// Keys of limits: a query or a Cookie field. How a query is encoded, and what stands beside the value, changes nothing;
/// a second value is another matter, and never the client's choice.
pub fn limit_key(input: &[u8]) {
    let encode = |text: &[u8]| -> Vec<u8> {
        let escape = |&byte: &u8| match byte {
            b'&' | b'=' => vec![byte],
            byte => format!("%{byte:02X}").into_bytes(),
        };
        text.iter().flat_map(escape).collect()
    };
    // Escapes and pluses stand for something else, so that encoding them once more is no other spelling of them.
    if !input.iter().any(|byte| b"%+".contains(byte)) {
        assert!(are_counted_together(KeyIn::Query, "key", input, &encode(input)));
    }
    for (key_in, beside, between) in [(KeyIn::Query, "a=1&b", "&"), (KeyIn::Cookie, "a=1; b=2", "; ")] {
        let with = |before: &str, after: &str| {
            [before.as_bytes(), between.as_bytes(), input, between.as_bytes(), after.as_bytes()].concat()
        };
        let same = |one: &[u8], other: &[u8]| are_counted_together(key_in, "key", one, other);
        assert!(same(&with(beside, beside), input));
        assert!(same(&with("key=1", "key=2"), &with("key=3", "key=4")));
    }
}

/// Masking: a secret after a name that says so, among any other bytes, is never shown.
pub fn masking(input: &[u8]) {
    static MASKER: LazyLock<Masker> =
        LazyLock::new(|| Masker::new([]).unwrap_or_else(|error| panic!("{error}")));
    const SECRET: &str = "QxZvJwKq";
    const MOST: usize = 4_096;
    if input.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()) {
        return;
    }
    let (before, after) = input.split_at(input.len() / 2);
    let with = |parts: &[&[u8]]| parts.concat();
    let pair = with(&[before, b"&password=", SECRET.as_bytes(), b"&", after]);
    let text = with(&[before, b" password=", SECRET.as_bytes(), b" ", after]);
    let segment = with(&[before, b"/a;password=", SECRET.as_bytes(), b"/", after]);
    let shown = [
        MASKER.query(&pair, MOST),
        MASKER.text(&text, MOST),
        MASKER.path(&segment, MOST),
        MASKER.matched("ARGS:password", SECRET.as_bytes()),
    ];
    for masked in &shown {
        assert!(!masked.as_str().contains(SECRET), "{masked:?} of {:?}", String::from_utf8_lossy(input));
    }
    for most in [0, 1, 13] {
        for masked in [MASKER.query(input, most), MASKER.text(input, most), MASKER.path(input, most)] {
            assert!(masked.as_str().len() <= most, "{masked:?}");
        }
    }
}

/// Rules: compiled or refused with messages, never more of them than the bound.
pub fn seclang(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let source = Source { name: "fuzz.conf".into(), text: text.into() };
    if let Err(errors) = Ruleset::compile(&[source], &MemFiles::new()) {
        let mut shown = String::new();
        write!(shown, "{errors}").unwrap_or_else(|error| panic!("{error}"));
        assert!(!shown.is_empty());
    }
}

/// Bodies, cookies and queries: within their limits, and not more in all than a small multiple of what came in.
pub fn bodies(input: &[u8]) {
    let limits = Limits {
        max_arguments: 64,
        max_json_depth: 16,
        max_json_name_bytes: 128,
        max_xml_depth: 16,
        max_parts: 16,
        max_files: 4,
        max_part_headers: 4,
        max_part_header_bytes: 128,
        ..Limits::default()
    };
    let read = urlencoded::parse(input, urlencoded::SEPARATOR, &limits);
    decoded(&read.arguments.list, input, &limits);
    decoded(&cookies::parse(input, &limits).list, input, &limits);

    let json = json::parse(input, &limits);
    assert!(json.list.len() <= limits.max_arguments);
    for argument in &json.list {
        assert!(argument.name.len() <= limits.max_json_name_bytes && argument.value.len() <= input.len());
    }

    let xml = xml::parse(input, &limits);
    let attributes: usize = xml.attributes.iter().map(Vec::len).sum();
    assert!(xml.attributes.len() <= limits.max_arguments);
    assert!(attributes + xml.text.map_or(0, |text| text.len()) <= input.len());

    let multipart = multipart::parse(b"multipart/form-data; boundary=b", input, &limits);
    assert!(multipart.files.len() <= limits.max_files);
    assert!(multipart.arguments.len() + multipart.files.len() <= limits.max_parts);
    decoded(&multipart.arguments, input, &limits);
    for file in &multipart.files {
        assert!(file.content.start <= file.content.end && file.content.end <= input.len());
    }
    // The boundary is the client's too.
    let _ = multipart::parse(
        input,
        b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--b--\r\n",
        &limits,
    );
}

/// Decoding makes nothing longer.
fn decoded(arguments: &[Argument<'_>], input: &[u8], limits: &body::Limits) {
    assert!(arguments.len() <= limits.max_arguments);
    let bytes: usize = arguments.iter().map(|argument| argument.name.len() + argument.value.len()).sum();
    assert!(bytes <= input.len(), "{bytes} of {}", input.len());
}

/// Transformations: borrowed exactly when nothing changed, and bounded.
pub fn transformations(input: &[u8]) {
    /// Most bytes that one becomes, besides a fixed part (hexadecimal digests, `%u0000`).
    const GROWTH: usize = 6;
    const FIXED: usize = 64;
    for transformation in Transformation::ALL {
        let output = transformation.apply(input);
        let name = transformation.name();
        assert_eq!(matches!(output, Cow::Borrowed(_)), *output == *input, "{name}");
        assert!(output.len() <= GROWTH * input.len() + FIXED, "{name}: {} of {}", output.len(), input.len());
    }
}

/// SQL injections: tokens are parts of the value and fold to a row, and verdicts are those of another port of libinjection.
pub fn sqli(input: &[u8]) {
    /// Tokens of a fingerprint, and one more where the last says that the value is evil.
    const ROW: usize = 6;
    let tokens = sqli::tokens(input).count();
    assert!(tokens <= input.len(), "{tokens} tokens");
    let folded = sqli::folded(input);
    assert!(folded.len() <= ROW.min(tokens), "{folded:?}");
    sqli::detect(input);
    // The port does not take NUL for a digit and for the end of a name, as the original does.
    let input: Vec<u8> = input.iter().map(|&byte| if byte == 0 { b' ' } else { byte }).collect();
    if !is_read_differently(&input) {
        let expected = libinjectionrs::detect_sqli(&input);
        let is_injection = expected.is_injection();
        let expected = expected.fingerprint.filter(|_| is_injection).map(|print| print.as_str().to_owned());
        let found = sqli::detect(&input).map(|print| String::from_utf8_lossy(print.as_bytes()).into_owned());
        assert_eq!(found, expected);
    }
}

/// Whether the port may read a value otherwise than the C original does: it merges no phrases that are names, keeps the
/// signs with a variable's name, minds the case of `INTO` but not that of `sp_password`, and reads no collations
/// beyond ASCII.
fn is_read_differently(value: &[u8]) -> bool {
    const WORDS: [&str; 8] =
        ["distinct", "boolean", "time", "value", "create", "lock", "into", "sp_password"];
    const NAMES: [&str; 5] = ["user", "database", "password", "current_", "localtime"];
    let text = String::from_utf8_lossy(&value.to_ascii_lowercase()).into_owned();
    let has_one = |words: &[&str]| words.iter().any(|word| text.contains(word));
    has_one(&WORDS)
        || (text.contains('@') && has_one(&NAMES))
        || (text.contains("collate") && !value.is_ascii())
}

/// Both documents: read whole or refused; what is read prints and reads back the same.
pub fn documents(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    reads_back::<Desired>(text);
    reads_back::<Process>(text);
}

fn reads_back<D: Document + PartialEq>(text: &str) {
    let Ok(document) = D::parse("fuzz.yaml", text) else { return };
    let printed = document.print().unwrap_or_else(|error| panic!("{error:?}"));
    let again = D::parse("printed.yaml", &printed);
    assert!(again.is_ok_and(|again| again == document), "{printed}");
}

/// Answers to DNS updates: bounded, and believed only with a signature that nobody can guess.
pub fn tsig(input: &[u8]) {
    static KEY: LazyLock<TsigKey> = LazyLock::new(|| {
        TsigKey::new("key.example", TsigAlgorithm::HmacSha256, b"a secret that no input knows")
    });
    assert!(KEY.verify(input, b"a request's signature", 1_000_000).is_err());
}
