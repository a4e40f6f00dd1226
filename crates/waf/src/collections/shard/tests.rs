use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const LOOSE: Bounds = Bounds { entries: 1_000, bytes: 1 << 20, tenant_entries: 1_000, tenant_bytes: 1 << 20 };
const TIGHT: Bounds = Bounds { entries: 6, bytes: 4_000, tenant_entries: 4, tenant_bytes: 2_500 };
const TIMEOUT_S: u64 = 100;

/// What a test does to a shard.
#[derive(Debug, Clone)]
enum Act {
    Set(u8, i64),
    SetText(u8, usize),
    Add(u8, i64),
    Remove(u8),
    Expire(u8, u64),
    Decay(u8, u64, u64),
    Timeout(u64),
    Load,
}

/// Seconds that pass, tenant, key and act.
type Step = (u64, u8, u8, Act);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..3_u8;
    let act = prop_oneof![
        (name.clone(), -5..20_i64).prop_map(|(name, value)| Act::Set(name, value)),
        (name.clone(), 0..600_usize).prop_map(|(name, length)| Act::SetText(name, length)),
        (name.clone(), -3..9_i64).prop_map(|(name, amount)| Act::Add(name, amount)),
        name.clone().prop_map(Act::Remove),
        (name.clone(), 0..60_u64).prop_map(|(name, after)| Act::Expire(name, after)),
        (name, 0..4_u64, 0..20_u64).prop_map(|(name, amount, every)| Act::Decay(name, amount, every)),
        (1..200_u64).prop_map(Act::Timeout),
        Just(Act::Load),
    ];
    prop::collection::vec((0..30_u64, 0..3_u8, 0..4_u8, act), 1..120)
}

/// Collections as one would write them down without a thought for bounds and cost.
#[derive(Default)]
struct Model(BTreeMap<(u8, u8), ModelEntry>);

#[derive(Clone)]
struct ModelEntry {
    end_s: u64,
    timeout_s: u64,
    updates: u64,
    /// Value, when it expires, from when on it decays.
    variables: BTreeMap<u8, (Value, Option<u64>, u64)>,
}

impl Model {
    fn purge(&mut self, now_s: u64) {
        self.0.retain(|_, entry| entry.end_s > now_s);
        for entry in self.0.values_mut() {
            entry.variables.retain(|_, (_, end, _)| end.is_none_or(|end| end > now_s));
        }
    }

    fn act(&mut self, id: (u8, u8), act: &Act, now_s: u64) -> Option<i64> {
        self.purge(now_s);
        if matches!(act, Act::Set(..) | Act::SetText(..) | Act::Add(..) | Act::Timeout(_)) {
            let new = ModelEntry { end_s: 0, timeout_s: TIMEOUT_S, updates: 0, variables: BTreeMap::new() };
            self.0.entry(id).or_insert(new);
        }
        let entry = self.0.get_mut(&id)?;
        let variables = &mut entry.variables;
        let mut set = |name: u8, value: Value| {
            let (old, _, from) = variables.entry(name).or_insert((Value::Number(0), None, 0));
            (*old, *from) = (value, now_s);
        };
        let mut outcome = None;
        match *act {
            Act::Load => return None,
            Act::Set(name, value) => set(name, Value::Number(value)),
            Act::SetText(name, length) => set(name, Value::Text(vec![b'x'; length].into())),
            Act::Add(name, amount) => {
                let (value, _, from) = variables.entry(name).or_insert((Value::Number(0), None, now_s));
                let before = value.number();
                if before <= 0 {
                    *from = now_s;
                }
                *value = Value::Number(before + amount);
                outcome = Some(before + amount);
            }
            Act::Remove(name) => drop(variables.remove(&name)),
            Act::Expire(name, after) => {
                if let Some((_, end, _)) = variables.get_mut(&name) {
                    *end = Some(now_s + after);
                }
            }
            Act::Decay(name, amount, every) => {
                if let Some((value, _, from)) = variables.get_mut(&name) {
                    while *from + every.max(1) <= now_s {
                        *from += every.max(1);
                        if value.number() > 0 {
                            *value = Value::Number((value.number() - amount as i64).max(0));
                        }
                    }
                    outcome = Some(value.number());
                }
            }
            Act::Timeout(seconds) => entry.timeout_s = seconds,
        }
        entry.end_s = now_s + entry.timeout_s;
        entry.updates += 1;
        outcome
    }

    fn shown(&mut self, id: (u8, u8), now_s: u64) -> Option<(u64, BTreeMap<u8, Value>)> {
        self.purge(now_s);
        let ModelEntry { updates, variables, .. } = self.0.get(&id)?.clone();
        Some((updates, variables.into_iter().map(|(name, (value, ..))| (name, value)).collect()))
    }
}

/// A shard and the counters of three tenants.
#[derive(Default)]
struct Tested {
    shard: Shard,
    usages: [Arc<Usage>; 3],
}

impl Tested {
    fn act(&mut self, (tenant, key): (u8, u8), act: &Act, now_s: u64, bounds: &Bounds) -> Option<i64> {
        let text;
        let number;
        let change = match act {
            Act::Load => return None,
            Act::Set(name, value) => {
                number = Value::Number(*value);
                Change::Set { name: std::slice::from_ref(name), value: &number }
            }
            Act::SetText(name, length) => {
                text = Value::Text(vec![b'x'; *length].into());
                Change::Set { name: std::slice::from_ref(name), value: &text }
            }
            Act::Add(name, amount) => Change::Add { name: std::slice::from_ref(name), amount: *amount },
            Act::Remove(name) => Change::Remove { name: std::slice::from_ref(name) },
            Act::Expire(name, after_s) => {
                Change::Expire { name: std::slice::from_ref(name), after_s: *after_s }
            }
            Act::Decay(name, amount, every_s) => {
                Change::Decay { name: std::slice::from_ref(name), amount: *amount, every_s: *every_s }
            }
            Act::Timeout(seconds) => Change::Timeout { seconds: *seconds },
        };
        let at = Update { now_s, timeout_s: TIMEOUT_S, is_first: true };
        let owner = (u64::from(tenant), &self.usages[usize::from(tenant)]);
        self.shard.change(owner, &[key], &change, &at, bounds).unwrap()
    }

    fn shown(&mut self, (tenant, key): (u8, u8), now_s: u64) -> Option<(u64, BTreeMap<u8, Value>)> {
        let entry = self.shard.load(tenant.into(), &[key], now_s)?;
        Some((entry.updates, entry.variables.into_iter().map(|(name, value)| (name[0], value)).collect()))
    }

    /// Everything that is counted agrees with what is there, and is within `bounds`.
    fn audit(&self, bounds: &Bounds) {
        let slots: Vec<_> = self.shard.slots.iter().flatten().collect();
        let bytes = slots.iter().map(|slot| slot.measure()).sum::<usize>();
        assert_eq!((self.shard.ends.len(), self.shard.bytes), (slots.len(), bytes));
        assert!(
            slots.len() <= bounds.entries && bytes <= bounds.bytes,
            "{} entries, {bytes} bytes",
            slots.len()
        );
        assert_eq!(self.shard.slots.len(), slots.len() + self.shard.free.len());
        assert_eq!(self.shard.sizes.len(), self.shard.tenants.len());
        for (number, usage) in self.usages.iter().enumerate() {
            let own: Vec<_> = slots.iter().filter(|slot| slot.tenant == number as u64).collect();
            let bytes = own.iter().map(|slot| slot.measure()).sum::<usize>();
            assert!(own.len() <= bounds.tenant_entries && bytes <= bounds.tenant_bytes);
            assert_eq!((usage.entries(), usage.bytes()), (own.len() as u64, bytes as u64));
            match self.shard.tenants.get(&(number as u64)) {
                Some(tenant) => assert_eq!(
                    (tenant.index.len(), tenant.uses.len(), tenant.bytes),
                    (own.len(), own.len(), bytes)
                ),
                None => assert!(own.is_empty()),
            }
        }
    }
}

proptest! {
    #[test]
    fn a_shard_does_what_a_plain_map_would(steps in steps()) {
        let (mut tested, mut model) = (Tested::default(), Model::default());
        let mut now_s = 1_000;
        for (passed, tenant, key, act) in steps {
            now_s += passed;
            let id = (tenant, key);
            prop_assert_eq!(tested.act(id, &act, now_s, &LOOSE), model.act(id, &act, now_s));
            for id in (0..3).flat_map(|tenant| (0..4).map(move |key| (tenant, key))) {
                prop_assert_eq!(tested.shown(id, now_s), model.shown(id, now_s));
            }
            tested.audit(&LOOSE);
        }
        prop_assert!(tested.usages.iter().all(|usage| usage.evicted() == 0));
    }

    #[test]
    fn bounds_hold_whatever_is_done(steps in steps()) {
        let mut tested = Tested::default();
        let mut now_s = 1_000;
        for (passed, tenant, key, act) in steps {
            now_s += passed / 8;
            tested.act((tenant, key), &act, now_s, &TIGHT);
            tested.audit(&TIGHT);
        }
        (0..3).for_each(|tenant| tested.shard.forget(tenant));
        tested.audit(&TIGHT);
        prop_assert_eq!(tested.shard.bytes, 0);
    }
}

#[test]
fn a_tenant_over_its_bound_loses_what_it_used_longest_ago() {
    let mut tested = Tested::default();
    for key in 0..4 {
        tested.act((0, key), &Act::Add(0, 1), 1_000, &TIGHT);
    }
    assert!(tested.shown((0, 0), 1_000).is_some());
    tested.act((0, 4), &Act::Add(0, 1), 1_000, &TIGHT);
    let kept: Vec<bool> = (0..5).map(|key| tested.shown((0, key), 1_000).is_some()).collect();
    assert_eq!(kept, [true, false, true, true, true]);
    assert_eq!(tested.usages[0].evicted(), 1);
}

#[test]
fn expired_entries_go_first() {
    let mut tested = Tested::default();
    for key in 0..4 {
        tested.act((0, key), &Act::Add(0, 1), 1_000, &TIGHT);
    }
    tested.act((0, 3), &Act::Timeout(10), 1_000, &TIGHT);
    tested.act((0, 4), &Act::Add(0, 1), 1_010, &TIGHT);
    assert_eq!((tested.usages[0].entries(), tested.usages[0].evicted()), (4, 0));
    assert!(tested.shown((0, 0), 1_010).is_some());
}

#[test]
fn a_flood_of_one_tenant_pushes_out_its_own_entries() {
    let bounds = Bounds { entries: 6, tenant_entries: 100, ..LOOSE };
    let mut tested = Tested::default();
    tested.act((1, 0), &Act::Add(0, 1), 1_000, &bounds);
    for key in 0..200 {
        tested.act((0, key), &Act::Add(0, 1), 1_000, &bounds);
    }
    assert!(tested.shown((1, 0), 1_000).is_some());
    assert_eq!((tested.usages[0].evicted(), tested.usages[1].evicted()), (195, 0));
}

#[test]
fn an_entry_has_so_many_variables_and_no_more() {
    let mut tested = Tested::default();
    for name in 0..limits::COLLECTION_VARIABLES as u8 {
        tested.act((0, 0), &Act::Add(name, 1), 1_000, &LOOSE);
    }
    let at = Update { now_s: 1_000, timeout_s: TIMEOUT_S, is_first: true };
    let change = Change::Add { name: b"one more", amount: 1 };
    let owner = (0, &tested.usages[0]);
    assert_eq!(tested.shard.change(owner, &[0], &change, &at, &LOOSE), Err(Excess::Variables));
    tested.audit(&LOOSE);
}
