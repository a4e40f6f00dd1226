//! Other readings of a path: what servers take it for that are more lenient than RFC 3986.
//!
//! The edge compares paths in normal form, where an encoded slash is no separator and an empty segment is a segment. Many
//! backends see that differently: they decode `%2F`, take `\` for `/`, drop what follows a `;` in a segment, and take
//! `//` for `/`, each of it or several together. So `//admin` is another path here than `/admin`, and the same to them.
//! Which of it a backend does is not known, so every combination is a reading: a limit holds for whatever may be read as
//! its path, and a request of which readings lead to different routes is refused (`serve`).

use super::{decode_unreserved, resolve_dots};

/// What a lenient server may do to a path, one bit each.
const DECODES: u8 = 1;
const BACKSLASHES: u8 = 2;
const PARAMETERS: u8 = 4;
const EMPTY_SEGMENTS: u8 = 8;
const ALL: u8 = 15;

/// Every reading of a path but its normal form; the most lenient is the last. Hardly any path has one.
pub(crate) fn other_readings(path: &[u8]) -> Vec<Vec<u8>> {
    if memchr::memchr3(b'%', b';', b'\\', path).is_none() && memchr::memmem::find(path, b"//").is_none() {
        return Vec::new();
    }
    let path = decode_unreserved(path);
    if !has_separators(&path) {
        // An escape of something else, as `%20`: every reading is the normal form.
        return Vec::new();
    }
    let normal = resolve_dots(&path);
    let mut readings = Vec::new();
    for lenience in 1..=ALL {
        let reading = read(path.clone(), lenience);
        if reading != normal {
            readings.retain(|known| *known != reading);
            readings.push(reading);
        }
    }
    readings
}

/// Whether anything in `path`, in which unreserved characters are decoded, is read in several ways.
fn has_separators(path: &[u8]) -> bool {
    let is_escaped = |at: usize| matches!(path.get(at..at + 3), Some(b"%2F" | b"%5C" | b"%3B"));
    memchr::memchr2(b';', b'\\', path).is_some()
        || memchr::memmem::find(path, b"//").is_some()
        || memchr::memchr_iter(b'%', path).any(is_escaped)
}

/// Reads `path`, in which unreserved characters are decoded.
fn read(mut path: Vec<u8>, lenience: u8) -> Vec<u8> {
    if lenience & DECODES != 0 {
        path = decode_separators(&path);
    }
    if lenience & BACKSLASHES != 0 {
        path.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
    }
    if lenience & PARAMETERS != 0 {
        let mut in_parameters = false;
        path.retain(|&byte| {
            in_parameters = byte != b'/' && (in_parameters || byte == b';');
            !in_parameters
        });
    }
    if lenience & EMPTY_SEGMENTS != 0 {
        path.dedup_by(|one, other| *one == b'/' && *other == b'/');
    }
    resolve_dots(&path)
}

fn decode_separators(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, behind)) = rest.split_first() {
        // Hexadecimal digits are in upper case by now.
        let separator = match rest.get(..3) {
            Some(b"%2F") => Some(b'/'),
            Some(b"%5C") => Some(b'\\'),
            Some(b"%3B") => Some(b';'),
            _ => None,
        };
        out.push(separator.unwrap_or(byte));
        rest = if separator.is_some() { &rest[3..] } else { behind };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::normal_path;

    fn readings(path: &str) -> Vec<String> {
        let readings = other_readings(path.as_bytes());
        readings.into_iter().map(|reading| String::from_utf8(reading).unwrap()).collect()
    }

    #[test]
    fn lenient_servers_are_taken_into_account() {
        for (path, most_lenient) in [
            ("//admin", "/admin"),
            ("/x//admin", "/x/admin"),
            ("/admin;v=1", "/admin"),
            ("/;x/admin;y/z", "/admin/z"),
            ("/%2Fadmin", "/admin"),
            ("/%5cadmin", "/admin"),
            ("/x\\..\\admin", "/admin"),
            ("/x/..%2fadmin", "/admin"),
            ("/x/%2e%2e%2Fadmin", "/admin"),
            ("/x/..;/admin", "/admin"),
            ("/x/..%3Ba/admin", "/admin"),
            ("/x//../admin", "/admin"),
        ] {
            assert_eq!(readings(path).last().map(String::as_str), Some(most_lenient), "{path}");
        }
        for path in ["", "*", "/", "/admin", "/a/../b", "/%61dmin", "/a%20b", "/a%", "/x.y/..z"] {
            assert!(readings(path).is_empty(), "{path}");
        }
    }

    #[test]
    fn servers_may_be_lenient_in_one_way_only() {
        let of = readings("//admin/..;/x");
        assert!(of.contains(&"/admin/..;/x".to_owned()) && of.contains(&"/x".to_owned()), "{of:?}");
    }

    proptest::proptest! {
        #[test]
        fn no_shortcut_hides_a_reading(path in "/[a.;%2eEfFcC35bB\\\\/-]{0,16}") {
            let normal = normal_path(path.as_bytes());
            let found = other_readings(path.as_bytes());
            for lenience in 1..=ALL {
                let reading = read(decode_unreserved(path.as_bytes()), lenience);
                proptest::prop_assert!(reading == *normal || found.contains(&reading), "{lenience}");
            }
        }

        #[test]
        fn readings_are_paths_of_their_own(path in "/[a.;%2eEfFcC5\\\\/-]{0,24}") {
            let normal = normal_path(path.as_bytes()).into_owned();
            let mut all = other_readings(path.as_bytes());
            all.push(normal);
            let count = all.len();
            proptest::prop_assert!(all.iter().all(|path| path.first() == Some(&b'/')));
            proptest::prop_assert!(count <= usize::from(ALL) + 1);
            all.sort();
            all.dedup();
            proptest::prop_assert_eq!(all.len(), count);
        }
    }
}
