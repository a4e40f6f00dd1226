//! Paths: of requests (RFC 3986 section 3.3), of files, and the template of a redirect's target.

use std::str::FromStr;

use super::{Invalid, checked_text, default_text, shown, text_value};

/// Longest path or location, in bytes.
const MAX_PATH: usize = 2048;

checked_text! {
    /// A request path in normal form: `/` first, no query, no dot segments, unreserved characters not escaped.
    PathText
}

checked_text! {
    /// A file's path; relative ones count from the folder of the document that names them.
    FilePath
}

checked_text! {
    /// The template of a Location header: `{host}`, `{path}` and `{query}` (with its `?`) stand for the request's.
    Location
}

default_text!(PathText, FilePath);

impl PathText {
    /// Whether this path, as a prefix on a segment boundary, covers `path`.
    pub fn covers(&self, path: &str) -> bool {
        let prefix = self.0.trim_end_matches('/');
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for PathText {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |what: &str, hint: &str| Err(Invalid::new(format!("`{}` {what}", shown(text)), hint));
        if !text.starts_with('/') {
            return wrong("does not begin with `/`", "write a path such as `/api`");
        }
        if text.len() > MAX_PATH
            || !text.bytes().all(|b| matches!(b, b'!'..=b'~') && !b"?#\\\"<>^`{|}".contains(&b))
        {
            return wrong("is not a path", "write up to 2048 path characters, others as %XX, without query");
        }
        if text.split('/').any(|segment| segment == "." || segment == "..") {
            return wrong("holds dot segments", "write the path that they lead to");
        }
        if !escapes_are_normal(text) {
            return wrong(
                "holds an escape that is not in normal form",
                "write letters, digits and `-._~` as they are, others as %XX in upper case",
            );
        }
        Ok(Self(text.into()))
    }
}

/// Every `%` begins an upper-case escape of a character that has to be escaped (RFC 3986 section 6.2.2).
fn escapes_are_normal(path: &str) -> bool {
    path.split('%').skip(1).all(|after| {
        let Some(hex) = after.get(..2) else { return false };
        let upper = hex.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
        let byte = u8::from_str_radix(hex, 16).unwrap_or(b'a');
        upper && !(byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    })
}

impl FromStr for FilePath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.len() > MAX_PATH || text.chars().any(char::is_control) {
            return Err(Invalid::new(
                format!("`{}` is not a file's path", shown(text)),
                "write a path such as `certs/site.pem`",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for Location {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |what: &str| {
            let hint = "write `https://{host}{path}{query}`, a URL or a path, in visible ASCII";
            Err(Invalid::new(format!("`{}` {what}", shown(text)), hint))
        };
        if text.len() > MAX_PATH || !text.bytes().all(|b| matches!(b, b'!'..=b'~')) {
            return wrong("is not a redirect target");
        }
        // `//name` would leave the site as a network-path reference (RFC 3986 section 4.2).
        let local = text.starts_with('/') && !text.starts_with("//");
        if !local && !text.starts_with("https://") && !text.starts_with("http://") {
            return wrong("is neither a URL nor a path");
        }
        for part in text.split('{').skip(1) {
            let known =
                part.split_once('}').is_some_and(|(name, _)| ["host", "path", "query"].contains(&name));
            if !known {
                return wrong("holds a placeholder other than {host}, {path} and {query}");
            }
        }
        Ok(Self(text.into()))
    }
}

text_value!(PathText, "a path", {
    "type": "string",
    "maxLength": 2048,
    "pattern": "^/",
    "description": "Request path in normal form, without query.",
    "examples": ["/", "/api"]
});

text_value!(FilePath, "a file's path", {
    "type": "string",
    "minLength": 1,
    "maxLength": 2048,
    "description": "Path of a file; a relative one counts from the folder of this document.",
    "examples": ["certs/site.pem"]
});

text_value!(Location, "a redirect's target", {
    "type": "string",
    "maxLength": 2048,
    "pattern": "^(https?://|/)",
    "description": "Redirect target; {host}, {path} and {query} (with its `?`) stand for those of the request.",
    "examples": ["https://{host}{path}{query}"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_spelling() {
        for good in ["/", "/api", "/a/b/", "/a%20b", "/a%2Fb"] {
            assert!(good.parse::<PathText>().is_ok(), "{good}");
        }
        for bad in
            ["", "api", "/a?b", "/a#b", "/a/../b", "/.", "/%61", "/%2f", "/%2", "/%", "/a b", "/é", "/a%2é"]
        {
            assert!(bad.parse::<PathText>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        let prefix: PathText = "/a".parse().unwrap();
        assert!(prefix.covers("/a") && prefix.covers("/a/b"));
        assert!(!prefix.covers("/ab") && !prefix.covers("/"));
        assert!("/".parse::<PathText>().unwrap().covers("/anything"));
    }

    #[test]
    fn locations_know_their_placeholders() {
        for good in ["https://{host}{path}{query}", "/new", "http://a.example/"] {
            assert!(good.parse::<Location>().is_ok(), "{good}");
        }
        for bad in
            ["", "//evil.example", "javascript:alert(1)", "https://{hots}/", "/{", "/a\r\nb", "ftp://a"]
        {
            assert!(bad.parse::<Location>().is_err(), "{bad}");
        }
    }
}
