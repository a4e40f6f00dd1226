//! `normalisePath`: repeated slashes, self references and back references resolved.
//!
//! As ModSecurity v3: a path never climbs above its root; back references that lead out of a relative path stay; a
//! segment that merely ends in two dots (`x..`, `...`) is dropped; the result ends in a slash only if the input
//! did. Example: `/a/./b/..//c` gives `/a/c`.

use super::output::computed;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    if needs_no_work(input) { Cow::Borrowed(input) } else { computed(input, resolve(input)) }
}

/// Whether no slash is followed by another and no dot ends a segment.
fn needs_no_work(input: &[u8]) -> bool {
    let at_end_of_segment = |at: usize| matches!(input.get(at + 1), None | Some(b'/'));
    memchr::memchr2_iter(b'/', b'.', input).all(|at| match input[at] {
        b'/' => input.get(at + 1) != Some(&b'/'),
        _ => !at_end_of_segment(at),
    })
}

/// The path without what it need not say.
pub(super) fn resolve(input: &[u8]) -> Vec<u8> {
    let relative = input.first() != Some(&b'/');
    let root: &[u8] = if relative { b"" } else { b"/" };
    let mut path = Vec::with_capacity(input.len() + 1);
    path.extend_from_slice(root);
    let mut at_root = false;
    for segment in input.split(|&byte| byte == b'/').filter(|segment| !segment.is_empty() && *segment != b".")
    {
        let start = path.len();
        path.extend_from_slice(segment);
        let last = path.len() - 1;
        if !segment.ends_with(b"..") {
            path.push(b'/');
            // A first segment of one byte, or one that ends in a dot, does not count as having left the root.
            at_root &= last == 0 || segment.ends_with(b".");
        } else if relative && (at_root || last <= 2) {
            path.push(b'/');
            at_root = true;
        } else {
            let parent_end = if segment == b".." { start.saturating_sub(1) } else { start };
            let parent = path[..parent_end].iter().rposition(|&byte| byte == b'/');
            match parent {
                Some(slash) if slash > 0 => path.truncate(slash + 1),
                _ => {
                    path.clear();
                    path.extend_from_slice(root);
                    at_root = true;
                }
            }
        }
    }
    if input.last() != Some(&b'/') && path.last() == Some(&b'/') {
        path.pop();
    }
    path
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn references_resolve() {
        assert_eq!(&*apply(b"/a/./b/..//c"), b"/a/c");
        assert_eq!(&*apply(b"dir/../../x"), b"../x");
        assert_eq!(&*apply(b"/../../etc/passwd"), b"/etc/passwd");
        assert_eq!(&*apply(b"../../x"), b"../../x");
        assert_eq!(&*apply(b"./x/"), b"x/");
    }

    #[test]
    fn the_end_keeps_its_form() {
        assert_eq!(&*apply(b"/a/b/.."), b"/a");
        assert_eq!(&*apply(b"/a/b/../"), b"/a/");
        assert_eq!(&*apply(b"/a/.."), b"");
        assert_eq!(&*apply(b"//"), b"/");
    }

    #[test]
    fn dots_that_are_no_reference() {
        assert_eq!(&*apply(b"/a/.../b"), b"/a/b");
        assert_eq!(&*apply(b"/a/x../b"), b"/a/b");
        assert!(matches!(apply(b"/a/.x/b.c"), Cow::Borrowed(_)));
    }

    #[test]
    fn backslashes_are_no_slashes() {
        assert!(matches!(apply(br"\a\\b"), Cow::Borrowed(_)));
    }
}
