//! `setvar` and its kin: from text to what a link changes.

use super::actions::{ChangeText, Text};
use super::build::Builder;
use crate::collections::Kind;
use crate::program::{Change, ChangeKind, MemberName};
use crate::seclang::Mistake;
use crate::template;
use crate::variable::Variable;

/// What persistent collections say about themselves, in lower case: rules read it and may set `timeout` alone.
pub(crate) const BUILT_IN: [&str; 7] =
    ["create_time", "is_new", "key", "last_update_time", "timeout", "update_counter", "update_rate"];

impl Builder<'_> {
    pub(super) fn change(&mut self, change: &ChangeText) -> Result<Change, Mistake> {
        let (text, change) = match change {
            ChangeText::Set(text) => (text, self.set(&text.text)),
            ChangeText::Expire(text) => (text, self.expire(&text.text)),
            ChangeText::Decay(text) => (text, self.decay(&text.text)),
            ChangeText::Bind(text) => (text, self.bind(&text.text)),
            ChangeText::Key(collection, text) => (text, self.key(*collection, &text.text)),
        };
        change.map_err(|message| Text::mistake(text, message))
    }

    /// Reads `tx.name=value`, `tx.name=+1`, `tx.name=-1`, `!tx.name` or `tx.name`, which sets 1.
    fn set(&mut self, text: &str) -> Result<Change, String> {
        let (delete, text) = match text.trim().strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text.trim()),
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.trim(), value),
            None => (text, "1"),
        };
        let (collection, member) = split(name)?;
        if !collection.is_settable() {
            return Err(format!("{} cannot be set", collection.name()));
        }
        let lower = member.to_ascii_lowercase();
        let is_built_in = collection.is_persistent() && BUILT_IN.contains(&lower.as_str());
        if is_built_in && lower != "timeout" {
            return Err(format!("{}:{member} is kept by the engine and cannot be set", collection.name()));
        }
        let name = if collection == Variable::Tx && !template::has_macro(member) {
            MemberName::Slot(self.names.intern(member.as_bytes()))
        } else {
            MemberName::Dynamic(self.template(member)?)
        };
        let kind = if delete {
            ChangeKind::Delete
        } else if let Some(amount) = value.strip_prefix('+') {
            ChangeKind::Add(self.template(amount)?)
        } else if let Some(amount) = value.strip_prefix('-') {
            ChangeKind::Subtract(self.template(amount)?)
        } else {
            ChangeKind::Set(self.template(value)?)
        };
        if is_built_in && !matches!(kind, ChangeKind::Set(_)) {
            return Err(format!("{}:{member} can be set to a number of seconds, no more", collection.name()));
        }
        Ok(Change::Variable { collection, name, kind })
    }

    /// Reads `ip.name=60`.
    fn expire(&mut self, text: &str) -> Result<Change, String> {
        let (collection, name, after) = self.persistent(text, "collection.name=seconds")?;
        let kind = ChangeKind::Expire(self.number(after)?);
        Ok(Change::Variable { collection, name, kind })
    }

    /// Reads `ip.name=60/300`.
    fn decay(&mut self, text: &str) -> Result<Change, String> {
        const FORM: &str = "collection.name=amount/seconds";
        let (collection, name, rate) = self.persistent(text, FORM)?;
        let (amount, every) = rate.split_once('/').ok_or_else(|| format!("expected {FORM}"))?;
        let kind = ChangeKind::Decay { amount: self.number(amount)?, every_s: self.number(every)? };
        Ok(Change::Variable { collection, name, kind })
    }

    /// Reads `ip=key`.
    fn bind(&mut self, text: &str) -> Result<Change, String> {
        let (collection, key) = text.split_once('=').ok_or("expected collection=key")?;
        let collection = Variable::parse(collection.trim())?;
        if Kind::of(collection).is_none() {
            return Err("a persistent collection is global, ip, resource, session or user".to_owned());
        }
        self.key(collection, key)
    }

    fn key(&mut self, collection: Variable, key: &str) -> Result<Change, String> {
        Ok(Change::Bind { collection, key: self.template(key)? })
    }

    /// Reads `collection.name=value` of a persistent collection.
    fn persistent<'t>(
        &mut self,
        text: &'t str,
        form: &str,
    ) -> Result<(Variable, MemberName, &'t str), String> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("expected {form}"))?;
        let (collection, member) = split(name.trim())?;
        if Kind::of(collection).is_none() {
            return Err(format!("{} ends with its transaction", collection.name()));
        }
        Ok((collection, MemberName::Dynamic(self.template(member)?), value.trim()))
    }

    fn number(&mut self, text: &str) -> Result<template::Template, String> {
        let text = text.trim();
        if !template::has_macro(text) && text.parse::<u64>().is_err() {
            return Err(format!("{text} is no number"));
        }
        self.template(text)
    }
}

/// Reads `collection.name`.
fn split(text: &str) -> Result<(Variable, &str), String> {
    let (collection, member) = text.split_once(['.', ':']).ok_or("expected collection.name")?;
    let collection = Variable::parse(collection)?;
    if member.is_empty() {
        return Err("expected a name behind the point".to_owned());
    }
    Ok((collection, member))
}
