//! The scenarios, as the data writes them.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

/// One scenario. Keys that say nothing about what happens (`title`, `version_min`, `resource`) are not read.
#[derive(Debug, Default)]
pub(super) struct Scenario {
    pub(super) client: Option<Peer>,
    pub(super) server: Option<Peer>,
    pub(super) request: Message,
    pub(super) response: Message,
    pub(super) expected: Expected,
    rules: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Peer {
    pub(super) ip: String,
    #[serde(default)]
    pub(super) port: u16,
}

/// A request or a response.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) uri: Option<String>,
    #[serde(default)]
    pub(super) http_version: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) protocol: Option<String>,
    #[serde(default)]
    pub(super) headers: Fields,
    #[serde(default)]
    body: Lines,
}

/// What must be seen.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Expected {
    pub(super) http_code: Option<u16>,
    pub(super) debug_log: Option<String>,
    pub(super) error_log: Option<String>,
    pub(super) audit_log: Option<String>,
    pub(super) parser_error: Option<String>,
    pub(super) redirect_url: Option<String>,
}

/// Header fields in their order, repeated ones too.
#[derive(Debug, Default)]
pub(super) struct Fields(pub(super) Vec<(String, String)>);

/// A body: one text, or lines.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Lines {
    One(String),
    Many(Vec<String>),
}

impl Default for Lines {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Scenario {
    /// The rules as one file.
    pub(super) fn rules(&self) -> String {
        self.rules.iter().flat_map(|line| [line, "\n"]).collect()
    }
}

impl Message {
    /// The body's bytes. The reference's runner ends every line with LF.
    pub(super) fn body(&self) -> Vec<u8> {
        match &self.body {
            Lines::One(text) => text.clone().into_bytes(),
            Lines::Many(lines) => lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts, or an empty text for none")
            }
            fn visit_str<E>(self, _: &str) -> Result<Fields, E> {
                Ok(Fields::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_any(InOrder)
    }
}

impl<'de> Deserialize<'de> for Scenario {
    /// Some scenarios have a key twice; as in the reference's runner, the last one counts.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LastCounts;
        impl<'de> Visitor<'de> for LastCounts {
            type Value = Scenario;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a scenario")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scenario, A::Error> {
                let mut scenario = Scenario::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "client" => scenario.client = map.next_value()?,
                        "server" => scenario.server = map.next_value()?,
                        "request" => scenario.request = map.next_value()?,
                        "response" => scenario.response = map.next_value()?,
                        "expected" => scenario.expected = map.next_value()?,
                        "rules" => scenario.rules = map.next_value()?,
                        _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
                    }
                }
                Ok(scenario)
            }
        }
        deserializer.deserialize_map(LastCounts)
    }
}

/// The scenarios of each file of a folder, by the file's name without its ending.
pub(super) fn files(folder: &Path) -> Result<Vec<(String, Vec<Scenario>)>, String> {
    let error = |path: &Path, what: &dyn fmt::Display| format!("{}: {what}", path.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|why| error(folder, &why))? {
        paths.push(entry.map_err(|why| error(folder, &why))?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    let read = |path: &Path| -> Result<(String, Vec<Scenario>), String> {
        let text = std::fs::read(path).map_err(|why| error(path, &why))?;
        let scenarios = serde_json::from_slice(&text).map_err(|why| error(path, &why))?;
        Ok((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), scenarios))
    };
    paths.iter().map(|path| read(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_order_repeats_and_lines_are_kept() {
        let text = r#"{"rules": ["a", "b"], "request": {"headers": {"B": "1", "A": "2", "B": "3"}, "body": ["x", ""]}}"#;
        let scenario: Scenario = serde_json::from_str(text).unwrap();
        let names: Vec<_> = scenario.request.headers.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["B", "A", "B"]);
        assert_eq!((scenario.rules(), scenario.request.body()), ("a\nb\n".to_owned(), b"x\n\n".to_vec()));
    }
}
