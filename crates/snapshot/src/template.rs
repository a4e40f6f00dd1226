//! Texts with places for what a request says: targets of redirects, values of header fields.

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its parts, in order.
    pub parts: Vec<Part>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Text(Box<str>),
    /// `{host}`: the host asked for, in lower case and without port.
    Host,
    /// `{path}`: the path in normal form.
    Path,
    /// `{query}`: `?` and the query; nothing where there is none.
    Query,
    /// `{client}`: the client's address, behind trusted proxies.
    Client,
    /// `{request_id}`: the request's id.
    RequestId,
}

impl Template {
    /// Reads a text. Braces around anything that is no placeholder are themselves.
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        let mut from = 0;
        while let Some(open) = rest[from..].find('{').map(|at| from + at) {
            let close = rest[open..].find('}').map_or(rest.len(), |at| open + at + 1);
            let part = match &rest[open..close] {
                "{host}" => Part::Host,
                "{path}" => Part::Path,
                "{query}" => Part::Query,
                "{client}" => Part::Client,
                "{request_id}" => Part::RequestId,
                _ => {
                    from = open + 1;
                    continue;
                }
            };
            if open > 0 {
                parts.push(Part::Text(rest[..open].into()));
            }
            parts.push(part);
            rest = &rest[close..];
            from = 0;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Self { parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found_and_other_braces_stay() {
        let text = |text: &str| Part::Text(text.into());
        for (template, parts) in [
            ("", vec![]),
            ("/fixed", vec![text("/fixed")]),
            ("https://{host}{path}{query}", vec![text("https://"), Part::Host, Part::Path, Part::Query]),
            ("{client}-{request_id}", vec![Part::Client, text("-"), Part::RequestId]),
            ("/{other}/{host", vec![text("/{other}/{host")]),
            (r#"{"a":"{host}"}"#, vec![text(r#"{"a":""#), Part::Host, text(r#""}"#)]),
            ("{{host}", vec![text("{"), Part::Host]),
        ] {
            assert_eq!(Template::parse(template).parts, parts, "{template}");
        }
    }
}
