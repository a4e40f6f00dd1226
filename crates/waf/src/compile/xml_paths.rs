//! The paths into XML that rules look for, gathered while links are built.

use super::build::Builder;
use super::targets;
use crate::body::XmlPath;
use crate::limits;
use crate::seclang::{Selector, TargetText};

impl Builder<'_> {
    /// Has a path of `XML` looked for. Members go by the path's text, which so means the same in all rules.
    pub(super) fn xml_path(
        &mut self,
        target: &TargetText,
        namespaces: &[(String, String)],
    ) -> Result<(), String> {
        let Some(Selector::Name(text)) = &target.selector else { return Ok(()) };
        if target.except || targets::XML_PATHS.contains(&text.as_str()) {
            return Ok(());
        }
        let path = XmlPath::parse(text, namespaces)?;
        match self.xml_paths.iter().find(|known| known.text().eq_ignore_ascii_case(text)) {
            Some(known) if *known == path => Ok(()),
            Some(_) => {
                Err("another rule has this path, with other namespaces or in other letters".to_owned())
            }
            None if self.xml_paths.len() >= limits::XML_PATHS => {
                Err(format!("more than {} XML paths", limits::XML_PATHS))
            }
            None => {
                self.xml_paths.push(path);
                Ok(())
            }
        }
    }
}
