//! Macros: what templates come to.

use super::Failure;
use super::bag::{Value, exact_number, number};
use super::data::Data;
use super::state::State;
use super::text::Text;
use crate::template::{Part, Template};

impl<'p> State<'p> {
    /// What a variable becomes that is set to `template`. What is one number stays one.
    pub(super) fn evaluate(&mut self, data: &Data, template: &'p Template) -> Result<Value<'p>, Failure> {
        if let Some(number) = template.number() {
            return Ok(Value::Number(number));
        }
        match template.parts() {
            [Part::Text(text)] => return Ok(Value::Fixed(text)),
            [Part::Value(target)] => match self.first(data, target) {
                Some(Text::Number(number)) => return Ok(Value::Number(number)),
                Some(Text::Made(text)) => {
                    let number = exact_number(self.forms.made.get(text));
                    return Ok(number.map_or(Value::Made(text), Value::Number));
                }
                _ => {}
            },
            _ => {}
        }
        let mut text = std::mem::take(&mut self.scratch);
        self.expand_into(data, template, &mut text);
        let value = self.make(&text);
        text.clear();
        self.scratch = text;
        value
    }

    /// The value that `text` stands for: a number where it reads back as the same text.
    pub(super) fn make(&mut self, text: &[u8]) -> Result<Value<'p>, Failure> {
        match exact_number(text) {
            Some(number) => Ok(Value::Number(number)),
            None => self.forms.made.keep(text).map(Value::Made),
        }
    }

    /// The number that `template` comes to.
    pub(super) fn number(&self, data: &Data, template: &'p Template) -> i64 {
        if let Some(number) = template.number() {
            return number;
        }
        if let [Part::Value(target)] = template.parts()
            && let Some(Text::Number(number)) = self.first(data, target)
        {
            return number;
        }
        number(&self.expand(data, template))
    }

    /// `template` with its macros replaced.
    pub(super) fn expand(&self, data: &Data, template: &'p Template) -> Vec<u8> {
        let mut text = Vec::new();
        self.expand_into(data, template, &mut text);
        text
    }

    /// Adds `template` with its macros replaced to `text`.
    pub(super) fn expand_into(&self, data: &Data, template: &'p Template, text: &mut Vec<u8>) {
        for part in template.parts() {
            match part {
                Part::Text(literal) => text.extend_from_slice(literal),
                Part::Value(target) => {
                    if let Some(value) = self.first(data, target) {
                        text.extend_from_slice(&value.bytes(data, &self.forms));
                    }
                }
            }
        }
    }
}
