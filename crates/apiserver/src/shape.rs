// SPDX-License-Identifier: Apache-2.0
//! How objects are shown: whole, only their metadata, or as a table; chosen by the header `Accept`.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::refusal::Refusal;
use crate::store::Object;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Whole,
    Metadata,
    Table,
}

const JSON: &str = "application/json";

impl Shape {
    /// The first media type in the header that can be given. Protobuf, CBOR and YAML cannot.
    pub(crate) fn accepted(header: Option<&str>) -> Result<Self, Refusal> {
        let header = header.unwrap_or("*/*");
        let mut shapes = header.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            if !matches!(parts.next()?, JSON | "application/*" | "*/*" | "") {
                return None;
            }
            match parts.find_map(|part| part.strip_prefix("as=")) {
                None => Some(Self::Whole),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Some(Self::Metadata),
                Some("Table") => Some(Self::Table),
                Some(_) => None,
            }
        });
        shapes.next().ok_or_else(|| Refusal::not_acceptable(JSON))
    }

    /// One object, alone or in an event.
    pub(crate) fn one(self, kind: &Kind, object: &Object) -> Bytes {
        match self {
            Self::Whole => object.whole(kind),
            Self::Metadata => metadata(object).to_string().into(),
            Self::Table => table(&[row(object)], &json!({})).to_string().into(),
        }
    }

    /// A list; `meta` is its metadata.
    pub(crate) fn list<'a>(
        self,
        kind: &Kind,
        objects: impl Iterator<Item = &'a Object>,
        meta: &Value,
    ) -> Bytes {
        let (list, version) = match self {
            Self::Whole => (format!("{}List", kind.kind), kind.api_version()),
            Self::Metadata => ("PartialObjectMetadataList".into(), "meta.k8s.io/v1".into()),
            Self::Table => {
                let rows: Vec<_> = objects.map(row).collect();
                return table(&rows, meta).to_string().into();
            }
        };
        let head = format!(
            "{{\"kind\":\"{list}\",\"apiVersion\":\"{version}\",\"metadata\":{meta},\"items\":["
        );
        let mut text = head.into_bytes();
        for (at, object) in objects.enumerate() {
            if at > 0 {
                text.push(b',');
            }
            if self == Self::Whole {
                text.extend_from_slice(&object.text);
            } else {
                text.extend_from_slice(metadata(object).to_string().as_bytes());
            }
        }
        text.extend_from_slice(b"]}");
        text.into()
    }

    /// An object that says nothing but a version.
    pub(crate) fn bookmark(self, kind: &Kind, version: u64, first_complete: bool) -> Value {
        let (kind, api_version) = match self {
            Self::Whole => (kind.kind, kind.api_version()),
            Self::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".into()),
            Self::Table => ("Table", "meta.k8s.io/v1".into()),
        };
        let mut meta = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if first_complete {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        json!({"kind": kind, "apiVersion": api_version, "metadata": meta})
    }
}

fn metadata(object: &Object) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.fields["metadata"],
    })
}

fn row(object: &Object) -> Value {
    let meta = &object.fields["metadata"];
    json!({"cells": [meta["name"], meta["creationTimestamp"]], "object": metadata(object)})
}

fn table(rows: &[Value], meta: &Value) -> Value {
    let column = |name: &str, format: &str| json!({"name": name, "type": "string", "format": format, "description": "", "priority": 0});
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": [column("Name", "name"), column("Created At", "date")],
        "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_type_that_can_be_given_is_taken() {
        let protobuf = "application/vnd.kubernetes.protobuf";
        let partial = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        for (header, shape) in [
            ("", Some(Shape::Whole)),
            ("*/*", Some(Shape::Whole)),
            ("application/json", Some(Shape::Whole)),
            (partial, Some(Shape::Metadata)),
            (protobuf, None),
            ("application/yaml", None),
            (&format!("{protobuf},application/json"), Some(Shape::Whole)),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Some(Shape::Table)),
        ] {
            assert_eq!(Shape::accepted(Some(header)).ok(), shape, "{header}");
        }
    }
}
