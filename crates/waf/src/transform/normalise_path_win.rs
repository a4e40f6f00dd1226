//! `normalisePathWin`: backslashes become slashes, then as `normalisePath`. Example: `\a\b\..\c` gives `/a/c`.

use super::normalise_path::{self, resolve};
use super::output::computed;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', input).is_none() {
        return normalise_path::apply(input);
    }
    let slashed: Vec<u8> = input.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect();
    computed(input, resolve(&slashed))
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn both_kinds_of_slash_count() {
        assert_eq!(&*apply(br"\a\\b\..\c"), b"/a/c");
        assert_eq!(&*apply(b"/a//b"), b"/a/b");
        assert_eq!(&*apply(br"a/\b"), b"a/b");
    }
}
