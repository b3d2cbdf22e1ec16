// SPDX-License-Identifier: Apache-2.0
//! The objects, and what became of them: one counter of versions for all, one log of changes per kind.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::refusal::Refusal;

/// What tells the objects of a kind apart, in the order of lists.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// One state of one object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) version: u64,
    /// Everything but `kind` and `apiVersion`.
    pub(crate) fields: Value,
    /// The same as text, as it stands in a list.
    pub(crate) text: Bytes,
}

impl Object {
    pub(crate) fn key(&self) -> Key {
        let of = |name: &str| self.fields["metadata"][name].as_str().unwrap_or_default().to_owned();
        Key { namespace: of("namespace"), name: of("name") }
    }

    /// The text of an object that stands alone: with its kind.
    pub(crate) fn whole(&self, kind: &Kind) -> Bytes {
        let rest = self.text.get(1..).unwrap_or_default();
        let mut text =
            format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", kind.kind, kind.api_version())
                .into_bytes();
        text.extend_from_slice(rest);
        text.into()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happened {
    Added,
    Modified,
    Deleted,
}

#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) happened: Happened,
    /// The object with the version of this change; as it was last, when it is deleted.
    pub(crate) object: Arc<Object>,
    pub(crate) before: Option<Arc<Object>>,
}

#[derive(Debug, Default)]
struct Table {
    objects: BTreeMap<Key, Arc<Object>>,
    log: VecDeque<Change>,
    /// What happened up to this version is forgotten.
    floor: u64,
}

/// Objects at one version.
pub(crate) struct State {
    pub(crate) version: u64,
    pub(crate) objects: BTreeMap<Key, Arc<Object>>,
}

#[derive(Debug)]
pub(crate) struct Store {
    version: u64,
    tables: HashMap<&'static str, Table>,
    history: usize,
}

impl Store {
    /// An empty store that remembers so many changes of each kind.
    pub(crate) fn new(history: usize) -> Self {
        Self { version: 1, tables: HashMap::new(), history }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn len(&self, kind: &Kind) -> usize {
        self.tables.get(kind.plural).map_or(0, |table| table.objects.len())
    }

    pub(crate) fn get(&self, kind: &Kind, key: &Key) -> Option<Arc<Object>> {
        self.tables.get(kind.plural)?.objects.get(key).cloned()
    }

    /// Creates an object or replaces the one of the same key.
    pub(crate) fn put(&mut self, kind: &'static Kind, mut fields: Value) -> Arc<Object> {
        self.version += 1;
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        let object = stamped(fields, self.version);
        let table = self.tables.entry(kind.plural).or_default();
        let before = table.objects.insert(object.key(), Arc::clone(&object));
        let happened = if before.is_some() { Happened::Modified } else { Happened::Added };
        self.note(kind, Change { happened, object: Arc::clone(&object), before });
        object
    }

    pub(crate) fn delete(&mut self, kind: &'static Kind, key: &Key) -> Option<Arc<Object>> {
        let before = self.tables.get_mut(kind.plural)?.objects.remove(key)?;
        self.version += 1;
        let object = stamped(before.fields.clone(), self.version);
        let change = Change {
            happened: Happened::Deleted,
            object: Arc::clone(&object),
            before: Some(before),
        };
        self.note(kind, change);
        Some(object)
    }

    fn note(&mut self, kind: &'static Kind, change: Change) {
        let table = self.tables.entry(kind.plural).or_default();
        table.log.push_back(change);
        while table.log.len() > self.history {
            table.floor = table.log.pop_front().map_or(table.floor, |oldest| oldest.object.version);
        }
    }

    /// Forgets everything that happened; the state stays.
    pub(crate) fn compact(&mut self) {
        // A change of its own, so that whoever saw the last one is too old too.
        self.version += 1;
        for table in self.tables.values_mut() {
            table.log.clear();
            table.floor = self.version;
        }
    }

    /// The objects as they are.
    pub(crate) fn now(&self, kind: &Kind) -> State {
        let objects = self.tables.get(kind.plural).map(|table| table.objects.clone());
        State { version: self.version, objects: objects.unwrap_or_default() }
    }

    /// The objects as they were.
    pub(crate) fn at(&self, kind: &Kind, version: u64) -> Result<State, Refusal> {
        let mut state = self.now(kind);
        for change in self.since(kind, version)?.iter().rev() {
            match &change.before {
                Some(before) => state.objects.insert(before.key(), Arc::clone(before)),
                None => state.objects.remove(&change.object.key()),
            };
        }
        state.version = version;
        Ok(state)
    }

    /// What happened after a version, oldest first.
    pub(crate) fn since(&self, kind: &Kind, version: u64) -> Result<Vec<Change>, Refusal> {
        let Some(table) = self.tables.get(kind.plural) else { return Ok(Vec::new()) };
        if version < table.floor {
            return Err(Refusal::expired(version, table.floor));
        }
        let first = table.log.partition_point(|change| change.object.version <= version);
        Ok(table.log.iter().skip(first).cloned().collect())
    }
}

/// Whether an object has the shape that everything here relies on, and a name.
pub(crate) fn well_formed(object: &Value) -> bool {
    let meta = &object["metadata"];
    let map = |key: &str| meta[key].is_null() || meta[key].is_object();
    meta["name"].is_string() && map("labels") && map("annotations")
}

fn stamped(mut fields: Value, version: u64) -> Arc<Object> {
    fields["metadata"]["resourceVersion"] = json!(version.to_string());
    let text = Bytes::from(fields.to_string());
    Arc::new(Object { version, fields, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods() -> &'static Kind {
        Kind::named("Pod").unwrap()
    }

    fn pod(name: &str) -> Value {
        json!({"metadata": {"namespace": "a", "name": name}})
    }

    fn names(state: &State) -> Vec<&str> {
        state.objects.keys().map(|key| key.name.as_str()).collect()
    }

    #[test]
    fn an_earlier_state_is_found_again_until_it_is_forgotten() {
        let mut store = Store::new(100);
        store.put(pods(), pod("x"));
        let then = store.put(pods(), pod("y")).version;
        store.delete(pods(), &Key { namespace: "a".into(), name: "x".into() });
        store.put(pods(), pod("z"));
        assert_eq!(names(&store.at(pods(), then).unwrap()), ["x", "y"]);
        assert_eq!(names(&store.now(pods())), ["y", "z"]);
        store.compact();
        assert_eq!(store.at(pods(), then).err().map(|refusal| refusal.code), Some(410));
    }

    #[test]
    fn the_log_has_a_bound() {
        let mut store = Store::new(2);
        let first = store.put(pods(), pod("x")).version;
        store.put(pods(), pod("y"));
        assert_eq!(store.since(pods(), first).unwrap().len(), 1);
        store.put(pods(), pod("z"));
        store.put(pods(), pod("z"));
        assert!(store.since(pods(), first).is_err());
    }
}
