//! The error-log line that a ModSecurity server would write for a match.
//!
//! Cases look for rule ids and message texts in such lines. The parts and their order are those of ModSecurity's
//! reference manual, "Alert format"; parts that no case could look for (host, unique id) are left out.

/// What of a match shows in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogLine {
    /// The rule that matched.
    pub id: u64,
    /// The rule's message.
    pub message: String,
    /// The rule's log data.
    pub data: String,
    /// The variable that matched, as in `ARGS:q`.
    pub variable: String,
    /// The rule's tags.
    pub tags: Vec<String>,
}

impl LogLine {
    /// The line as text; control characters are written as `\x0a`, so that a match stays one line.
    pub fn text(&self) -> String {
        let mut line = format!("ModSecurity: Warning. Match at {}. [id \"{}\"]", self.variable, self.id);
        let texts =
            [("msg", &self.message), ("data", &self.data)].into_iter().filter(|(_, value)| !value.is_empty());
        for (name, value) in texts.chain(self.tags.iter().map(|tag| ("tag", tag))) {
            line.extend([" [", name, " \"", value, "\"]"]);
        }
        escape_controls(&line)
    }
}

fn escape_controls(text: &str) -> String {
    let escaped = text.chars().map(|char| match char {
        '\0'..='\x1f' | '\x7f' => format!("\\x{:02x}", u32::from(char)),
        _ => char.to_string(),
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_is_one_line_with_its_parts_in_order() {
        let line = LogLine {
            id: 7,
            message: "m".into(),
            data: "a\r\nb".into(),
            variable: "ARGS:q".into(),
            tags: vec!["t".into(), "u".into()],
        };
        let expected = r#"ModSecurity: Warning. Match at ARGS:q. [id "7"] [msg "m"] [data "a\x0d\x0ab"] [tag "t"] [tag "u"]"#;
        assert_eq!(line.text(), expected);
    }
}
