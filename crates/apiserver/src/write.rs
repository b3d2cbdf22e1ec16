// SPDX-License-Identifier: Apache-2.0
//! Creating, replacing, patching and deleting objects through the API.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::ask::{Ask, Verb};
use crate::cluster::Cluster;
use crate::generate::complete;
use crate::refusal::Refusal;
use crate::store::{Key, Object, well_formed};

/// Does what a request that changes something asks for.
pub(crate) fn write(
    cluster: &Cluster,
    ask: &Ask,
    content_type: &str,
    body: &[u8],
) -> Result<Arc<Object>, Refusal> {
    if ask.verb == Verb::Delete {
        return delete(cluster, ask);
    }
    let sent: Value = serde_json::from_slice(body).map_err(|error| {
        Refusal::bad_request(format!("the body is not JSON that can be decoded: {error}"))
    })?;
    match ask.verb {
        Verb::Create => create(cluster, ask, sent),
        Verb::Update => replace(cluster, ask, |_| Ok(sent)),
        Verb::Patch if content_type.starts_with("application/merge-patch+json") => {
            replace(cluster, ask, |mut object| {
                merge(&mut object, &sent);
                Ok(object)
            })
        }
        Verb::Patch => {
            let message = "the body of the request was in an unknown format - accepted media types \
                           include: application/merge-patch+json";
            Err(Refusal::new(415, "UnsupportedMediaType", message))
        }
        Verb::Get | Verb::List | Verb::Watch | Verb::Delete => Err(Refusal::not_allowed()),
    }
}

fn key(ask: &Ask) -> Key {
    Key { namespace: ask.namespace.clone(), name: ask.name.clone() }
}

fn delete(cluster: &Cluster, ask: &Ask) -> Result<Arc<Object>, Refusal> {
    let now = cluster.time().to_string();
    let deleted = cluster.change(|store| {
        // A pod is marked first, so that its node can end it.
        if ask.kind.kind == "Pod" {
            let mut fields = store.get(ask.kind, &key(ask))?.fields.clone();
            fields["metadata"]["deletionTimestamp"] = json!(now);
            fields["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            store.put(ask.kind, fields);
        }
        store.delete(ask.kind, &key(ask))
    });
    deleted.ok_or_else(|| Refusal::not_found(ask.kind, &ask.name))
}

fn create(cluster: &Cluster, ask: &Ask, mut object: Value) -> Result<Arc<Object>, Refusal> {
    if !well_formed(&object) {
        let message = "metadata.name: Required value: name or generateName is required";
        return Err(Refusal::invalid(message));
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if !ask.namespace.is_empty() {
        object["metadata"]["namespace"] = json!(ask.namespace);
    }
    // The status is said in a request of its own.
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    let now = cluster.time().to_string();
    cluster.change(|store| {
        let key = Key { namespace: ask.namespace.clone(), name };
        if store.get(ask.kind, &key).is_some() {
            return Err(Refusal::already_exists(ask.kind, &key.name));
        }
        Ok(store.put(ask.kind, complete(object, ask.kind, &now)))
    })
}

fn replace(
    cluster: &Cluster,
    ask: &Ask,
    change: impl FnOnce(Value) -> Result<Value, Refusal>,
) -> Result<Arc<Object>, Refusal> {
    cluster.change(|store| {
        let old = store.get(ask.kind, &key(ask));
        let old = old.ok_or_else(|| Refusal::not_found(ask.kind, &ask.name))?;
        let mut sent = change(old.fields.clone())?;
        if !well_formed(&sent) {
            return Err(Refusal::invalid("metadata: Invalid value: not the shape of metadata"));
        }
        let expected = sent["metadata"]["resourceVersion"].as_str();
        if expected.is_some_and(|version| version != old.version.to_string()) {
            return Err(Refusal::conflict(ask.kind, &ask.name));
        }
        let fields = if ask.status {
            let mut fields = old.fields.clone();
            fields["status"] = sent["status"].take();
            fields
        } else {
            sent["status"] = old.fields["status"].clone();
            for kept in ["uid", "creationTimestamp", "namespace", "name"] {
                sent["metadata"][kept] = old.fields["metadata"][kept].clone();
            }
            without_null(sent)
        };
        Ok(store.put(ask.kind, fields))
    })
}

/// JSON merge patch (RFC 7386).
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        match (value, target.as_object_mut()) {
            (Value::Null, Some(fields)) => drop(fields.remove(key)),
            (value, _) => merge(&mut target[key], value),
        }
    }
}

/// Fields that were read although they were not there.
fn without_null(mut object: Value) -> Value {
    for fields in [&mut object["metadata"]].map(Value::as_object_mut).into_iter().flatten() {
        fields.retain(|_, value| !value.is_null());
    }
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_replaces_removes_and_leaves() {
        let mut object = json!({"metadata": {"labels": {"a": "1", "b": "2"}, "name": "n"}});
        merge(
            &mut object,
            &json!({"metadata": {"labels": {"a": null, "c": "3"}}, "spec": {"x": 1}}),
        );
        let wanted =
            json!({"metadata": {"labels": {"b": "2", "c": "3"}, "name": "n"}, "spec": {"x": 1}});
        assert_eq!(object, wanted);
    }
}
