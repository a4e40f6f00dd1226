//! Persistent collections within a transaction: read once, when a rule binds one to a key; each change goes to the
//! store at once, and what the store made of it becomes the transaction's view.
//!
//! A collection that is not bound, or bound to the empty key, which nobody in particular has, ends with its
//! transaction, as all do where there is no store. Rules that only detect change nothing that outlives them.

use super::Failure;
use super::bag::{self, Bag};
use super::data::Data;
use super::explain;
use super::state::{Place, State};
use super::text::Text;
use crate::collections::{self, Change, Collections, Entry, EntryKey, Excess, Kind, Update};
use crate::compile::BUILT_IN;
use crate::program::ChangeKind;
use crate::step::Step;
use crate::template::Template;
use crate::variable::Variable;

/// The entries that rules bound.
#[derive(Debug, Default)]
pub(super) struct Bound<'p> {
    pub(super) store: Option<&'p dyn Collections>,
    list: Vec<Binding>,
}

#[derive(Debug)]
struct Binding {
    collection: Variable,
    key: EntryKey,
    /// What the store knew.
    entry: Option<Entry>,
    /// `setvar:ip.timeout`.
    timeout_s: Option<u64>,
    is_changed: bool,
}

impl Bound<'_> {
    fn get(&self, collection: Variable) -> Option<&Binding> {
        self.list.iter().find(|binding| binding.collection == collection)
    }
}

impl<'p> State<'p> {
    /// Makes `collection` the entry of `key`, in place of the one that it was.
    pub(super) fn bind(
        &mut self,
        data: &Data,
        collection: Variable,
        key: &'p Template,
    ) -> Result<(), Failure> {
        let Some(kind) = Kind::of(collection).filter(|_| !self.is_watched()) else { return Ok(()) };
        let key = EntryKey::new(kind, &self.ruleset.settings.web_app_id, &self.expand(data, key))?;
        self.explain(|_, rule_id| Step::Controlled { rule_id, control: explain::binding(collection) });
        if self.bound.get(collection).is_some_and(|bound| bound.key == key) {
            return Ok(());
        }
        let store = self.bound.store.filter(|_| !key.key().is_empty());
        let entry = store.and_then(|store| store.load(&key, self.now_s()));
        let mut bag = Bag::default();
        for (name, value) in entry.iter().flat_map(|entry| &entry.variables) {
            let value = match value {
                collections::Value::Number(number) => bag::Value::Number(*number),
                collections::Value::Text(text) => bag::Value::Made(self.forms.made.keep(text)?),
            };
            bag.set(name, Some(value), &mut self.forms.made)?;
        }
        self.replace_bag(collection, bag);
        self.bound.list.retain(|binding| binding.collection != collection);
        self.bound.list.push(Binding { collection, key, entry, timeout_s: None, is_changed: false });
        Ok(())
    }

    /// Tells the store of a change at `place`, if that is a variable of a collection that is bound. `after` is what
    /// the variable would be if this transaction were alone; gives what it is.
    pub(super) fn remember(
        &mut self,
        data: &Data,
        place: &Place,
        kind: &'p ChangeKind,
        after: Option<bag::Value<'p>>,
    ) -> Result<Option<bag::Value<'p>>, Failure> {
        let Place::Member(collection, name) = place else { return Ok(after) };
        if !collection.is_persistent() {
            return Ok(after);
        }
        let number = |template: &'p Template| self.number(data, template);
        let unsigned = |template| u64::try_from(number(template)).unwrap_or(0);
        let is_set = matches!(kind, ChangeKind::Set(_));
        let made = &self.forms.made;
        let value = after.filter(|_| is_set).map(|value| match value.text(made) {
            Some(text) => collections::Value::Text(text.into()),
            None => collections::Value::Number(value.number(made)),
        });
        let change = if BUILT_IN.iter().any(|built_in| built_in.as_bytes() == *name) {
            // The others are the engine's; a name that macros made changes nothing.
            match kind {
                ChangeKind::Set(seconds) if name == b"timeout" => {
                    Change::Timeout { seconds: unsigned(seconds) }
                }
                _ => return Ok(None),
            }
        } else {
            match (kind, &value) {
                (ChangeKind::Set(_), Some(value)) => Change::Set { name, value },
                (ChangeKind::Add(amount), _) => Change::Add { name, amount: number(amount) },
                (ChangeKind::Subtract(amount), _) => {
                    Change::Add { name, amount: number(amount).saturating_neg() }
                }
                (ChangeKind::Expire(after), _) => Change::Expire { name, after_s: unsigned(after) },
                (ChangeKind::Decay { amount, every_s }, _) => {
                    Change::Decay { name, amount: unsigned(amount), every_s: unsigned(every_s) }
                }
                (ChangeKind::Set(_), None) | (ChangeKind::Delete, _) => Change::Remove { name },
            }
        };
        change.check()?;
        let stored = self.tell(*collection, &change)?.map(bag::Value::Number);
        Ok(match change {
            Change::Timeout { .. } | Change::Expire { after_s: 0, .. } => None,
            Change::Add { .. } | Change::Decay { .. } => stored.or(after),
            _ => after,
        })
    }

    /// What a bound collection says of itself under `name`, which is in lower case.
    pub(super) fn built_in(&self, collection: Variable, name: &[u8]) -> Option<Text<'p>> {
        let Binding { key, entry, timeout_s, .. } = self.bound.get(collection)?;
        let entry = entry.as_ref();
        let now_s = self.now_s();
        let number = match name {
            b"key" => return Some(Text::Own(key.key().to_vec())),
            b"is_new" => u64::from(entry.is_none()),
            b"create_time" => entry.map_or(now_s, |entry| entry.created_s),
            b"last_update_time" => entry?.updated_s,
            b"timeout" => timeout_s
                .or(entry.map(|entry| entry.timeout_s))
                .unwrap_or(self.ruleset.settings.collection_timeout_s),
            b"update_counter" => entry.map_or(0, |entry| entry.updates),
            b"update_rate" => entry.map_or(0, |entry| {
                let age_s = now_s.saturating_sub(entry.created_s);
                entry.updates.saturating_mul(60).checked_div(age_s).unwrap_or(0)
            }),
            _ => return None,
        };
        Some(Text::Number(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    /// The key that `collection` is bound to.
    pub(super) fn bound_key(&self, collection: Variable) -> Option<Text<'p>> {
        self.bound.get(collection).map(|binding| Text::Own(binding.key.key().to_vec()))
    }

    fn tell(&mut self, collection: Variable, change: &Change<'_>) -> Result<Option<i64>, Failure> {
        let timeout_s = self.ruleset.settings.collection_timeout_s;
        let (now_s, is_watched) = (self.now_s(), self.is_watched());
        let Bound { store, list } = &mut self.bound;
        let bound = list.iter_mut().find(|binding| binding.collection == collection);
        let Some(binding) = bound.filter(|_| !is_watched) else { return Ok(None) };
        if let Change::Timeout { seconds } = change {
            binding.timeout_s = Some(*seconds);
        }
        let Some(store) = store.filter(|_| !binding.key.key().is_empty()) else { return Ok(None) };
        let at = Update { now_s, timeout_s, is_first: !binding.is_changed };
        binding.is_changed = true;
        Ok(store.change(&binding.key, change, &at)?)
    }

    fn now_s(&self) -> u64 {
        self.now_unix_us / 1_000_000
    }
}

impl From<Excess> for Failure {
    fn from(excess: Excess) -> Self {
        Self::Limit(excess.what())
    }
}
