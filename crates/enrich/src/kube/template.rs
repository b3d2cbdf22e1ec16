// SPDX-License-Identifier: Apache-2.0
//! Names of services by a template in the language of Go's `text/template`, as far as names need it: texts, fields,
//! `index` into labels and annotations, `if … else if … else … end`, `and`, `or`, `not`, `eq`, `ne`, texts in quotes,
//! brackets, comments, and `{{-`, `-}}`, which take away the white space beside them.
//!
//! In: a setting. Out: an error that says where, or a template that always gives a name, maybe an empty one.

mod read;

use serde::Deserialize;

use super::object::{Container, Kind, Pod};

/// A template that was understood.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Vec<Part>);

/// Why a template is not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} (at character {at}); see the fields and words that are known in the reference of settings"
)]
pub struct TemplateError {
    what: String,
    at: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Expr),
    If { condition: Expr, then: Vec<Part>, otherwise: Vec<Part> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expr {
    Text(String),
    Field(Field),
    /// A label or an annotation.
    Of(Map, Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    /// Whether the first is one of the others.
    Eq(Box<Expr>, Vec<Expr>),
    Ne(Box<Expr>, Box<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    Kind,
    Uid,
    NodeName,
    HostIp,
    StartTime,
    ContainerName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Map {
    Labels,
    Annotations,
}

const FIELDS: [(&str, Field); 8] = [
    (".Meta.Name", Field::Name),
    (".Meta.Namespace", Field::Namespace),
    (".Meta.Kind", Field::Kind),
    (".Meta.Pod.Uid", Field::Uid),
    (".Meta.Pod.NodeName", Field::NodeName),
    (".Meta.Pod.HostIp", Field::HostIp),
    (".Meta.Pod.StartTimeStr", Field::StartTime),
    (".ContainerName", Field::ContainerName),
];
const MAPS: [(&str, Map); 2] =
    [(".Meta.Labels", Map::Labels), (".Meta.Annotations", Map::Annotations)];

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, TemplateError> {
        read::template(&text).map(Self)
    }
}

impl Template {
    /// The name of `pod`, or of `container` in it: the first line of what the template gives, without white space around
    /// it.
    pub(super) fn name(&self, pod: &Pod, container: Option<&Container>) -> String {
        let mut out = String::new();
        let subject = Subject { pod, container };
        subject.write(&self.0, &mut out);
        out.trim().lines().next().unwrap_or_default().trim_end().to_owned()
    }

    /// Whether it looks at the label `key`.
    pub(super) fn reads_label(&self, key: &str) -> bool {
        self.0.iter().any(|part| part.reads_label(key))
    }
}

impl Part {
    fn reads_label(&self, key: &str) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Value(expr) => expr.reads_label(key),
            Self::If { condition, then, otherwise } => {
                let mut parts = then.iter().chain(otherwise);
                condition.reads_label(key) || parts.any(|part| part.reads_label(key))
            }
        }
    }
}

impl Expr {
    fn reads_label(&self, key: &str) -> bool {
        match self {
            Self::Text(_) | Self::Field(_) => false,
            Self::Of(map, of) => match &**of {
                Self::Text(text) => *map == Map::Labels && text == key,
                // Which one, is known only then.
                other => *map == Map::Labels || other.reads_label(key),
            },
            Self::And(all) | Self::Or(all) => all.iter().any(|expr| expr.reads_label(key)),
            Self::Not(expr) => expr.reads_label(key),
            Self::Eq(first, others) => {
                first.reads_label(key) || others.iter().any(|expr| expr.reads_label(key))
            }
            Self::Ne(first, other) => first.reads_label(key) || other.reads_label(key),
        }
    }
}

/// What a template is about.
struct Subject<'a> {
    pod: &'a Pod,
    container: Option<&'a Container>,
}

impl Subject<'_> {
    fn write(&self, parts: &[Part], out: &mut String) {
        for part in parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(expr) => out.push_str(&self.value(expr)),
                Part::If { condition, then, otherwise } => {
                    let holds = self.holds(condition);
                    self.write(if holds { then } else { otherwise }, out);
                }
            }
        }
    }

    /// What is not empty holds, as do comparisons that are true.
    fn holds(&self, expr: &Expr) -> bool {
        match expr {
            Expr::And(all) => all.iter().all(|expr| self.holds(expr)),
            Expr::Or(any) => any.iter().any(|expr| self.holds(expr)),
            Expr::Not(expr) => !self.holds(expr),
            Expr::Eq(first, others) => {
                let first = self.value(first);
                others.iter().any(|other| self.value(other) == first)
            }
            Expr::Ne(first, other) => self.value(first) != self.value(other),
            Expr::Text(_) | Expr::Field(_) | Expr::Of(..) => !self.value(expr).is_empty(),
        }
    }

    fn value(&self, expr: &Expr) -> String {
        match expr {
            Expr::Text(text) => text.clone(),
            Expr::Field(field) => self.field(*field),
            Expr::Of(map, key) => {
                let texts = match map {
                    Map::Labels => &self.pod.meta.labels,
                    Map::Annotations => &self.pod.meta.annotations,
                };
                texts.get(&self.value(key)).map(ToString::to_string).unwrap_or_default()
            }
            // The first that decides, as in Go: the last when none does.
            Expr::And(all) => {
                let decides = all.iter().find(|expr| !self.holds(expr)).or(all.last());
                decides.map(|expr| self.value(expr)).unwrap_or_default()
            }
            Expr::Or(any) => {
                let decides = any.iter().find(|expr| self.holds(expr)).or(any.last());
                decides.map(|expr| self.value(expr)).unwrap_or_default()
            }
            Expr::Not(_) | Expr::Eq(..) | Expr::Ne(..) => self.holds(expr).to_string(),
        }
    }

    fn field(&self, field: Field) -> String {
        let pod = self.pod;
        match field {
            Field::Name => pod.meta.name.to_string(),
            Field::Namespace => pod.meta.namespace.to_string(),
            Field::Kind => Kind::Pod.as_str().to_owned(),
            Field::Uid => pod.meta.uid.to_string(),
            Field::NodeName => pod.node.to_string(),
            Field::HostIp => pod.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            Field::StartTime => pod.started.to_string(),
            Field::ContainerName => {
                self.container.map(|container| container.name.to_string()).unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests;
