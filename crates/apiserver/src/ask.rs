// SPDX-License-Identifier: Apache-2.0
//! What a request asks for: a verb, a kind, a place, options.

use std::collections::HashMap;

use hyper::Method;
use percent_encoding::percent_decode_str;

use crate::kinds::Kind;
use crate::refusal::Refusal;
use crate::selector::Selector;

/// What is done, as rules of access name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// One object is read.
    Get,
    /// Objects are listed.
    List,
    /// Changes are watched.
    Watch,
    /// An object is created.
    Create,
    /// An object is replaced.
    Update,
    /// Parts of an object are replaced.
    Patch,
    /// An object is deleted.
    Delete,
}

impl Verb {
    /// Its name in rules.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    /// The verb of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Get,
            Self::List,
            Self::Watch,
            Self::Create,
            Self::Update,
            Self::Patch,
            Self::Delete,
        ];
        all.into_iter().find(|verb| verb.as_str() == name)
    }
}

/// A request about objects.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) verb: Verb,
    pub(crate) kind: &'static Kind,
    /// Empty for all namespaces, or none.
    pub(crate) namespace: String,
    /// Empty for a collection.
    pub(crate) name: String,
    /// The part `status` of an object is meant.
    pub(crate) status: bool,
    pub(crate) query: Query,
}

/// The parameters that matter here.
#[derive(Debug, Default)]
pub(crate) struct Query {
    values: HashMap<String, String>,
}

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        });
        Self { values: pairs.collect() }
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }

    pub(crate) fn truth(&self, key: &str) -> bool {
        matches!(self.text(key), "true" | "1")
    }

    /// A number, or `None` where none is given.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, Refusal> {
        match self.text(key) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Refusal::bad_request(format!("{key}: Invalid value: \"{text}\": must be a number"))
            }),
        }
    }

    pub(crate) fn selector(&self) -> Result<Selector, Refusal> {
        Selector::parse(self.text("labelSelector"), self.text("fieldSelector"))
    }
}

impl Ask {
    /// What a method, a path and a query ask for.
    pub(crate) fn parse(method: &Method, path: &str, query: &str) -> Result<Self, Refusal> {
        let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, "v1", rest @ ..] => (*group, rest),
            _ => return Err(Refusal::no_such_path()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, plural, rest @ ..] if *plural != "status" => {
                (*namespace, [&[*plural], rest].concat())
            }
            rest => ("", rest.to_vec()),
        };
        let (plural, name, status) = match rest.as_slice() {
            [plural] => (*plural, "", false),
            [plural, name] => (*plural, *name, false),
            [plural, name, "status"] => (*plural, *name, true),
            _ => return Err(Refusal::no_such_path()),
        };
        let kind = Kind::at(group, plural).ok_or_else(Refusal::no_such_path)?;
        let all = kind.namespaced && name.is_empty();
        if kind.namespaced == namespace.is_empty() && !all {
            return Err(Refusal::no_such_path());
        }
        let query = Query::parse(query);
        let verb = verb(method, name, query.truth("watch"))?;
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Ok(Self { verb, kind, namespace, name, status, query })
    }

    /// The resource as rules of access name it.
    pub(crate) fn resource(&self) -> String {
        let part = if self.status { "/status" } else { "" };
        format!("{}{part}", self.kind.plural)
    }
}

fn verb(method: &Method, name: &str, watch: bool) -> Result<Verb, Refusal> {
    let collection = name.is_empty();
    match *method {
        Method::GET if collection && watch => Ok(Verb::Watch),
        Method::GET if collection => Ok(Verb::List),
        Method::GET => Ok(Verb::Get),
        Method::POST if collection => Ok(Verb::Create),
        Method::PUT if !collection => Ok(Verb::Update),
        Method::PATCH if !collection => Ok(Verb::Patch),
        Method::DELETE if !collection => Ok(Verb::Delete),
        _ => Err(Refusal::not_allowed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, path: &str, query: &str) -> String {
        match Ask::parse(method, path, query) {
            Ok(ask) => {
                format!("{} {} {}/{}", ask.verb.as_str(), ask.resource(), ask.namespace, ask.name)
            }
            Err(refusal) => refusal.code.to_string(),
        }
    }

    #[test]
    fn paths_are_understood() {
        let get = Method::GET;
        for (method, path, query, wanted) in [
            (&get, "/api/v1/pods", "", "list pods /"),
            (&get, "/api/v1/pods", "watch=true", "watch pods /"),
            (&get, "/api/v1/namespaces/a/pods", "watch=0", "list pods a/"),
            (&get, "/api/v1/namespaces/a/pods/p", "", "get pods a/p"),
            (&Method::PUT, "/api/v1/namespaces/a/pods/p/status", "", "update pods/status a/p"),
            (&get, "/api/v1/namespaces", "", "list namespaces /"),
            (&get, "/api/v1/namespaces/a", "", "get namespaces /a"),
            (&get, "/api/v1/nodes/n", "", "get nodes /n"),
            (&get, "/apis/apps/v1/deployments", "", "list deployments /"),
            (&get, "/api/v1/pods/p", "", "404"),
            (&get, "/api/v1/namespaces/a/nodes/n", "", "404"),
            (&get, "/apis/apps/v1beta1/deployments", "", "404"),
            (&Method::POST, "/api/v1/namespaces/a/pods/p", "", "405"),
        ] {
            assert_eq!(asked(method, path, query), wanted, "{method} {path}?{query}");
        }
    }
}
