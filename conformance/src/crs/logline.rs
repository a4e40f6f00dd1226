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
    /// The line as text.
    pub fn text(&self) -> String {
        let mut line = format!("ModSecurity: Warning. Match at {}. [id \"{}\"]", self.variable, self.id);
        let texts =
            [("msg", &self.message), ("data", &self.data)].into_iter().filter(|(_, value)| !value.is_empty());
        for (name, value) in texts.chain(self.tags.iter().map(|tag| ("tag", tag))) {
            line.extend([" [", name, " \"", value, "\"]"]);
        }
        line
    }
}
