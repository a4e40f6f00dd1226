//! Content negotiation between the two forms of an answer (RFC 9110 section 12.5.1).

/// Media ranges looked at in one request.
const MAX_RANGES: usize = 32;

/// Whether HTML is asked for by name, and at least as much as JSON.
pub(crate) fn prefers_html<'a>(accept: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut html, mut json) = (0, 0);
    let ranges = accept.flat_map(|value| value.split(|&byte| byte == b','));
    for range in ranges.take(MAX_RANGES) {
        let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let kind = parts.next().unwrap_or_default();
        let is = |known: &[&str]| known.iter().any(|known| kind.eq_ignore_ascii_case(known.as_bytes()));
        let best = if is(&["text/html", "application/xhtml+xml", "text/*"]) {
            &mut html
        } else if is(&["application/problem+json", "application/json"]) {
            &mut json
        } else {
            continue;
        };
        *best = quality(parts).max(*best);
    }
    html > 0 && html >= json
}

/// The `q` parameter in thousandths; 1000 without one, 0 if it is malformed.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a [u8]>) -> u16 {
    let value = parameters.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
    let Some(value) = value else { return 1_000 };
    match value {
        [b'1'] => 1_000,
        [b'1', b'.', zeros @ ..] if zeros.len() <= 3 && zeros.iter().all(|&byte| byte == b'0') => 1_000,
        [b'0', b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            let padded = digits.iter().map(|byte| u16::from(byte - b'0')).chain(std::iter::repeat(0));
            padded.take(3).fold(0, |sum, digit| sum * 10 + digit)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn html(accept: &[&str]) -> bool {
        prefers_html(accept.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn browsers_get_html() {
        assert!(html(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"]));
        assert!(html(&["application/json;q=0.5", "TEXT/HTML ; q=0.5"]));
        assert!(html(&["text/*"]));
    }

    #[test]
    fn others_get_json() {
        for accept in [
            "",
            "*/*",
            "application/json",
            "image/png,*/*",
            "application/problem+json, text/html;q=0.9",
            "text/html;q=0",
            "text/html;q=0.000",
            "text/html;q=x",
            "text/html;q=0.1234",
            "text/html;q=2",
        ] {
            assert!(!html(&[accept]), "{accept}");
        }
        assert!(!html(&[]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(value in prop::collection::vec(any::<u8>(), 0..200)) {
            prefers_html([value.as_slice()].into_iter());
        }
    }
}
