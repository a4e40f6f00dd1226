//! `phpArgsNames`: an argument's name as PHP registers it (`php_register_variable_ex`).
//!
//! Leading spaces vanish; spaces and dots before the first `[` become `_`; indices keep their text, except that a
//! lone white-space byte inside one vanishes; what follows the last index is dropped. A first `[` that never
//! closes becomes `_` and the rest stays. A name that begins with `[` is not registered: nothing.
//! Example: `a b.c[ ]x` gives `a_b_c[]`.

use super::bytes::is_space;
use super::output::computed;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    if !input.iter().any(|byte| matches!(byte, b' ' | b'.' | b'[')) {
        return Cow::Borrowed(input);
    }
    computed(input, registered_name(input))
}

fn registered_name(input: &[u8]) -> Vec<u8> {
    let start = input.iter().position(|&byte| byte != b' ').unwrap_or(input.len());
    let input = &input[start..];
    let base_end = memchr::memchr(b'[', input).unwrap_or(input.len());
    let (base, mut rest) = input.split_at(base_end);
    if base.is_empty() {
        return Vec::new();
    }
    let mut name: Vec<u8> =
        base.iter().map(|&byte| if matches!(byte, b' ' | b'.') { b'_' } else { byte }).collect();
    let mut indexed = false;
    while let [b'[', inside @ ..] = rest {
        if let [space, b']', after @ ..] = inside
            && is_space(*space)
        {
            name.extend_from_slice(b"[]");
            rest = after;
        } else if let Some(close) = memchr::memchr(b']', inside) {
            name.extend_from_slice(&rest[..close + 2]);
            rest = &inside[close + 1..];
        } else {
            if !indexed {
                name.push(b'_');
                name.extend_from_slice(inside);
            }
            break;
        }
        indexed = true;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn the_base_loses_spaces_and_dots() {
        assert_eq!(&*apply(b"  a b.c"), b"a_b_c");
        assert_eq!(&*apply(b"a_bc"), b"a_bc");
    }

    #[test]
    fn indices_keep_their_text() {
        assert_eq!(&*apply(b"a.b[c.d][ ]tail"), b"a_b[c.d][]");
        assert_eq!(&*apply(b"a[b[c]"), b"a[b[c]");
    }

    #[test]
    fn an_unclosed_index_is_no_index() {
        assert_eq!(&*apply(b"a[b c"), b"a_b c");
        assert_eq!(&*apply(b"a[b][c"), b"a[b]");
        assert_eq!(&*apply(b"[a]"), b"");
    }
}
