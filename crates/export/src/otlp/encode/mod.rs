// SPDX-License-Identifier: Apache-2.0
//! Spans and points → the messages of OTLP. Pure; wall time is made by the [`Clock`] that is given.

mod metrics;
mod traces;

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use vor_model::{Attrs, Service, Value};

pub(super) use metrics::{Series, metrics};
pub(super) use traces::traces;

/// The most that a request holds before it is compressed: what collectors accept, less some room.
pub(super) const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024 - 64 * 1024;

/// What is said about vor itself in each request.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    /// `telemetry.sdk.name`.
    pub(super) sdk: &'static str,
    /// Of vor.
    pub(super) version: &'static str,
}

impl About {
    fn scope(&self) -> InstrumentationScope {
        InstrumentationScope {
            name: "vor".to_owned(),
            version: self.version.to_owned(),
            ..InstrumentationScope::default()
        }
    }

    /// The service, then everything else that is known of it.
    fn resource(&self, service: &Service) -> Resource {
        let mut attributes = vec![
            text("service.name", &service.name),
            text("service.instance.id", &service.instance),
            text("telemetry.sdk.language", service.language.as_str()),
            text("telemetry.sdk.name", self.sdk),
            text("telemetry.sdk.version", self.version),
        ];
        if !service.namespace.is_empty() {
            attributes.insert(1, text("service.namespace", &service.namespace));
        }
        let own = service.attrs.iter();
        let own = own.filter(|(key, _)| attributes.iter().all(|known| known.key != key.as_str()));
        let own: Vec<_> = own.filter_map(|(key, value)| pair(key.as_str(), value)).collect();
        attributes.extend(own);
        Resource { attributes, ..Resource::default() }
    }
}

fn attributes(attrs: &Attrs) -> Vec<KeyValue> {
    attrs.iter().filter_map(|(key, value)| pair(key.as_str(), value)).collect()
}

/// Empty text says nothing and is left out.
fn pair(key: &str, value: &Value) -> Option<KeyValue> {
    let value = match value {
        Value::Word("") => return None,
        Value::Str(text) if text.is_empty() => return None,
        Value::Word(text) => ProtoValue::StringValue((*text).to_owned()),
        Value::Str(text) => ProtoValue::StringValue(text.to_string()),
        Value::Int(number) => ProtoValue::IntValue(*number),
        Value::Float(number) => ProtoValue::DoubleValue(*number),
        Value::Bool(yes) => ProtoValue::BoolValue(*yes),
        Value::List(texts) => {
            let text = |text: &Arc<str>| AnyValue {
                value: Some(ProtoValue::StringValue(text.to_string())),
            };
            ProtoValue::ArrayValue(ArrayValue { values: texts.iter().map(text).collect() })
        }
    };
    Some(key_value(key, value))
}

fn text(key: &str, value: &str) -> KeyValue {
    key_value(key, ProtoValue::StringValue(value.to_owned()))
}

fn key_value(key: &str, value: ProtoValue) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
