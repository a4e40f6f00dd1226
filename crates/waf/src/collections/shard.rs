//! A part of the process's collections: a share of every tenant's entries, behind one lock.
//!
//! Bounds hold per shard and so in sum. What makes room: entries that have expired; then of the tenant that is over
//! its bounds, or of the one with the most bytes when the shard is, those used longest ago. So a tenant cannot push out
//! another's entries while it holds more than that one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::process::{Bounds, Usage};
use super::{Change, Entry, Excess, Update, Value};
use crate::limits;

/// Expired entries that one change clears away. Each makes one at most, so that no backlog lasts.
const SWEPT_PER_CHANGE: usize = 4;
/// What an entry takes beside its key and variables, and a variable beside name and text, in bytes: upper estimates of
/// tables and allocations.
const ENTRY_BYTES: usize = 320;
const VARIABLE_BYTES: usize = 112;

/// Number of a tenant in this process. Numbers are not used twice.
pub(super) type TenantNumber = u64;

#[derive(Debug, Default)]
pub(super) struct Shard {
    tenants: HashMap<TenantNumber, Tenant>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    /// When entries expire (seconds since 1970), and their slots.
    ends: BTreeSet<(u64, u32)>,
    /// Tenants by their bytes.
    sizes: BTreeSet<(usize, TenantNumber)>,
    bytes: usize,
    /// Counts uses of entries.
    clock: u64,
}

/// A tenant that has entries here.
#[derive(Debug, Default)]
struct Tenant {
    index: HashMap<Arc<[u8]>, u32>,
    /// Slots by when their entry was last used.
    uses: BTreeMap<u64, u32>,
    bytes: usize,
    usage: Arc<Usage>,
}

#[derive(Debug)]
struct Slot {
    tenant: TenantNumber,
    key: Arc<[u8]>,
    created_s: u64,
    updated_s: u64,
    updates: u64,
    timeout_s: u64,
    used: u64,
    bytes: usize,
    variables: Vec<Variable>,
}

#[derive(Debug)]
struct Variable {
    name: Box<[u8]>,
    value: Value,
    expires_s: Option<u64>,
    /// From when on [`Change::Decay`] counts its periods.
    decays_from_s: u64,
}

impl Shard {
    /// See [`Collections::load`](super::Collections::load).
    pub(super) fn load(&mut self, tenant: TenantNumber, key: &[u8], now_s: u64) -> Option<Entry> {
        let slot = self.find(tenant, key, now_s)?;
        self.touch(slot);
        let slot = self.slots[slot as usize].as_ref()?;
        let variables = slot.variables.iter().filter(|variable| !variable.is_over(now_s));
        Some(Entry {
            created_s: slot.created_s,
            updated_s: slot.updated_s,
            updates: slot.updates,
            timeout_s: slot.timeout_s,
            variables: variables.map(|variable| (variable.name.clone(), variable.value.clone())).collect(),
        })
    }

    /// See [`Collections::change`](super::Collections::change).
    pub(super) fn change(
        &mut self,
        (tenant, usage): (TenantNumber, &Arc<Usage>),
        key: &[u8],
        change: &Change<'_>,
        at: &Update,
        bounds: &Bounds,
    ) -> Result<Option<i64>, Excess> {
        self.sweep(at.now_s);
        let number = match self.find(tenant, key, at.now_s) {
            Some(number) => number,
            None if change.makes_an_entry() => self.make(tenant, usage, key, at),
            None => return Ok(None),
        };
        let Some(slot) = &mut self.slots[number as usize] else { return Ok(None) };
        let end = slot.end_s();
        let outcome = slot.change(change, at)?;
        let (before, after) = (slot.bytes, slot.measure());
        slot.bytes = after;
        let new_end = slot.end_s();
        if new_end != end {
            self.ends.remove(&(end, number));
            self.ends.insert((new_end, number));
        }
        self.resize(tenant, before, after);
        self.touch(number);
        self.make_room(tenant, at.now_s, bounds);
        Ok(outcome)
    }

    /// Drops all entries of `tenant`.
    pub(super) fn forget(&mut self, tenant: TenantNumber) {
        let slots: Vec<u32> = self
            .tenants
            .get(&tenant)
            .map(|tenant| tenant.uses.values().copied().collect())
            .unwrap_or_default();
        for slot in slots {
            self.remove(slot);
        }
    }

    /// The slot of an entry; one that has expired is removed.
    fn find(&mut self, tenant: TenantNumber, key: &[u8], now_s: u64) -> Option<u32> {
        let number = *self.tenants.get(&tenant)?.index.get(key)?;
        if self.slots[number as usize].as_ref()?.end_s() <= now_s {
            self.remove(number);
            return None;
        }
        Some(number)
    }

    fn make(&mut self, tenant: TenantNumber, usage: &Arc<Usage>, key: &[u8], at: &Update) -> u32 {
        let key: Arc<[u8]> = key.into();
        let slot = Slot {
            tenant,
            key: key.clone(),
            created_s: at.now_s,
            updated_s: at.now_s,
            updates: 0,
            timeout_s: at.timeout_s,
            used: 0,
            bytes: 0,
            variables: Vec::new(),
        };
        let end = slot.end_s();
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.slots[number as usize] = Some(slot);
        self.ends.insert((end, number));
        let new = || Tenant { usage: usage.clone(), ..Tenant::default() };
        self.tenants.entry(tenant).or_insert_with(new).index.insert(key, number);
        usage.entry_made();
        number
    }

    fn remove(&mut self, number: u32) {
        let Some(slot) = self.slots[number as usize].take() else { return };
        self.free.push(number);
        self.ends.remove(&(slot.end_s(), number));
        self.resize(slot.tenant, slot.bytes, 0);
        let Some(tenant) = self.tenants.get_mut(&slot.tenant) else { return };
        tenant.uses.remove(&slot.used);
        tenant.index.remove(&slot.key);
        tenant.usage.entry_removed();
        if tenant.index.is_empty() {
            self.sizes.remove(&(tenant.bytes, slot.tenant));
            self.tenants.remove(&slot.tenant);
        }
    }

    /// Notes that an entry of `tenant` went from `before` bytes to `after`.
    fn resize(&mut self, tenant: TenantNumber, before: usize, after: usize) {
        let Some(of) = self.tenants.get_mut(&tenant).filter(|_| before != after) else { return };
        self.sizes.remove(&(of.bytes, tenant));
        of.bytes = of.bytes - before + after;
        self.sizes.insert((of.bytes, tenant));
        self.bytes = self.bytes - before + after;
        of.usage.resized(before, after);
    }

    /// Notes that an entry is used now.
    fn touch(&mut self, number: u32) {
        self.clock += 1;
        let Some(slot) = &mut self.slots[number as usize] else { return };
        let Some(tenant) = self.tenants.get_mut(&slot.tenant) else { return };
        tenant.uses.remove(&slot.used);
        slot.used = self.clock;
        tenant.uses.insert(self.clock, number);
    }

    fn sweep(&mut self, now_s: u64) {
        for _ in 0..SWEPT_PER_CHANGE {
            match self.ends.first() {
                Some(&(end, number)) if end <= now_s => self.remove(number),
                _ => return,
            }
        }
    }

    fn make_room(&mut self, tenant: TenantNumber, now_s: u64, bounds: &Bounds) {
        while let Some(of) = self.tenants.get(&tenant)
            && (of.index.len() > bounds.tenant_entries || of.bytes > bounds.tenant_bytes)
        {
            self.evict(tenant);
        }
        while self.ends.len() > bounds.entries || self.bytes > bounds.bytes {
            match (self.ends.first(), self.sizes.last()) {
                (Some(&(end, number)), _) if end <= now_s => self.remove(number),
                (_, Some(&(_, largest))) => self.evict(largest),
                (_, None) => return,
            }
        }
    }

    /// Removes the entry of `tenant` that was used longest ago.
    fn evict(&mut self, tenant: TenantNumber) {
        let Some(of) = self.tenants.get(&tenant) else { return };
        if let Some((_, &number)) = of.uses.first_key_value() {
            of.usage.entry_evicted();
            self.remove(number);
        }
    }
}

impl Change<'_> {
    fn makes_an_entry(&self) -> bool {
        matches!(self, Self::Set { .. } | Self::Add { .. } | Self::Timeout { .. })
    }
}

impl Slot {
    fn end_s(&self) -> u64 {
        self.updated_s.saturating_add(self.timeout_s)
    }

    fn measure(&self) -> usize {
        let variables = self.variables.iter().map(|variable| {
            let text = match &variable.value {
                Value::Number(_) => 0,
                Value::Text(text) => text.len(),
            };
            VARIABLE_BYTES + variable.name.len() + text
        });
        ENTRY_BYTES + self.key.len() + variables.sum::<usize>()
    }

    fn change(&mut self, change: &Change<'_>, at: &Update) -> Result<Option<i64>, Excess> {
        let now_s = at.now_s;
        self.variables.retain(|variable| !variable.is_over(now_s));
        let outcome = match *change {
            Change::Set { name, value } => {
                let variable = self.variable(name, now_s)?;
                variable.value = value.clone();
                variable.decays_from_s = now_s;
                None
            }
            Change::Add { name, amount } => {
                let variable = self.variable(name, now_s)?;
                let before = variable.value.number();
                let sum = before.saturating_add(amount);
                variable.value = Value::Number(sum);
                if before <= 0 {
                    variable.decays_from_s = now_s;
                }
                Some(sum)
            }
            Change::Remove { name } => {
                self.variables.retain(|variable| *variable.name != *name);
                None
            }
            Change::Expire { name, after_s } => {
                if let Some(variable) = self.known(name) {
                    variable.expires_s = Some(now_s.saturating_add(after_s));
                }
                None
            }
            Change::Decay { name, amount, every_s } => {
                self.known(name).map(|variable| variable.decay(amount, every_s.max(1), now_s))
            }
            Change::Timeout { seconds } => {
                self.timeout_s = seconds;
                None
            }
        };
        self.updated_s = now_s;
        self.updates += u64::from(at.is_first);
        Ok(outcome)
    }

    fn known(&mut self, name: &[u8]) -> Option<&mut Variable> {
        self.variables.iter_mut().find(|variable| *variable.name == *name)
    }

    /// The variable `name`, which is made if there is none.
    fn variable(&mut self, name: &[u8], now_s: u64) -> Result<&mut Variable, Excess> {
        let known = self.variables.iter().position(|variable| *variable.name == *name);
        let index = match known {
            Some(index) => index,
            None if self.variables.len() >= limits::COLLECTION_VARIABLES => return Err(Excess::Variables),
            None => {
                let value = Value::Number(0);
                let new = Variable { name: name.into(), value, expires_s: None, decays_from_s: now_s };
                self.variables.push(new);
                self.variables.len() - 1
            }
        };
        Ok(&mut self.variables[index])
    }
}

impl Variable {
    fn is_over(&self, now_s: u64) -> bool {
        self.expires_s.is_some_and(|end| end <= now_s)
    }

    fn decay(&mut self, amount: u64, every_s: u64, now_s: u64) -> i64 {
        let periods = now_s.saturating_sub(self.decays_from_s) / every_s;
        let before = self.value.number();
        if periods == 0 {
            return before;
        }
        self.decays_from_s += periods * every_s;
        if before > 0 {
            let lost = i64::try_from(periods.saturating_mul(amount)).unwrap_or(i64::MAX);
            self.value = Value::Number(before.saturating_sub(lost).max(0));
        }
        self.value.number()
    }
}

#[cfg(test)]
mod tests;
