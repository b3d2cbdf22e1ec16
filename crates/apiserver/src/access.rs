// SPDX-License-Identifier: Apache-2.0
//! Who may do what: tokens with rules as a `ClusterRole` writes them, and a count of what was asked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::ask::Ask;
use crate::refusal::Refusal;

/// One of the `rules` of a role.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
    resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    paths: Vec<String>,
}

/// Somebody with a token.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    /// What stands after `Authorization: Bearer`.
    pub token: String,
    /// Its name in messages and counts.
    pub user: String,
    /// What it may do; without rules, everything.
    #[serde(default)]
    pub rules: Option<Vec<Rule>>,
    /// For how many milliseconds the token is valid; without it, for ever.
    #[serde(default)]
    pub lasts_ms: Option<u64>,
}

/// What somebody asked, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Who.
    pub user: String,
    /// The verb of rules.
    pub verb: String,
    /// The API group.
    pub group: String,
    /// The resource, with a slash before its part.
    pub resource: String,
    /// In one namespace only.
    pub namespaced: bool,
    /// How often.
    pub times: u64,
}

type What = (String, &'static str, &'static str, String, bool);

#[derive(Debug, Default)]
pub(crate) struct Access {
    accounts: Vec<(Account, Option<Instant>)>,
    counts: BTreeMap<What, u64>,
}

impl Access {
    /// The token counts from now on.
    pub(crate) fn admit(&mut self, account: Account) {
        self.revoke(&account.token);
        let until = account.lasts_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
        self.accounts.push((account, until));
    }

    pub(crate) fn revoke(&mut self, token: &str) {
        self.accounts.retain(|(account, _)| account.token != token);
    }

    /// Whose token this is.
    pub(crate) fn account(&self, authorization: Option<&str>) -> Result<Account, Refusal> {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or_else(Refusal::unauthorized)?.trim();
        let valid = |(_, until): &&(Account, Option<Instant>)| {
            until.is_none_or(|until| Instant::now() < until)
        };
        let mut known = self.accounts.iter().filter(|(account, _)| account.token == token);
        let found = known.find(valid).ok_or_else(Refusal::unauthorized)?;
        Ok(found.0.clone())
    }

    pub(crate) fn count(&mut self, account: &Account, ask: &Ask) {
        let namespaced = !ask.namespace.is_empty();
        let user = account.user.clone();
        let what = (user, ask.verb.as_str(), ask.kind.group, ask.resource(), namespaced);
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> Vec<Asked> {
        let told = |(what, times): (&What, &u64)| Asked {
            user: what.0.clone(),
            verb: what.1.to_owned(),
            group: what.2.to_owned(),
            resource: what.3.clone(),
            namespaced: what.4,
            times: *times,
        };
        self.counts.iter().map(told).collect()
    }

    pub(crate) fn forget_counts(&mut self) {
        self.counts.clear();
    }
}

impl Account {
    /// Whether its rules allow what is asked.
    pub(crate) fn may(&self, ask: &Ask) -> Result<(), Refusal> {
        let Some(rules) = &self.rules else { return Ok(()) };
        let resource = ask.resource();
        let allowed = rules.iter().any(|rule| {
            has(&rule.api_groups, ask.kind.group)
                && has(&rule.resources, &resource)
                && has(&rule.verbs, ask.verb.as_str())
                && (rule.resource_names.is_empty() || rule.resource_names.contains(&ask.name))
        });
        if allowed {
            return Ok(());
        }
        let scope = match ask.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let message = format!(
            "{} is forbidden: User \"{}\" cannot {} resource \"{resource}\" in API group \"{}\" {scope}",
            ask.kind.qualified(),
            self.user,
            ask.verb.as_str(),
            ask.kind.group,
        );
        Err(Refusal::new(403, "Forbidden", message))
    }

    /// Whether it may read a path that names no objects. Health, version and discovery are open to all who are known.
    pub(crate) fn may_read(&self, path: &str) -> bool {
        let open = ["/api", "/apis", "/healthz", "/livez", "/readyz", "/version"];
        let under = |root: &&str| path == *root || path.starts_with(&format!("{root}/"));
        let ruled = |rule: &Rule| has(&rule.paths, path) && has(&rule.verbs, "get");
        self.rules.as_ref().is_none_or(|rules| open.iter().any(under) || rules.iter().any(ruled))
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Method;
    use serde_json::json;

    fn account(rules: &serde_json::Value) -> Account {
        serde_json::from_value(json!({"token": "t", "user": "u", "rules": rules})).unwrap()
    }

    #[test]
    fn rules_allow_what_they_name_and_nothing_else() {
        let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]);
        let account = account(&rules);
        let may = |path: &str| account.may(&Ask::parse(&Method::GET, path, "").unwrap());
        assert_eq!(may("/api/v1/pods"), Ok(()));
        let refusal = may("/api/v1/nodes").unwrap_err();
        assert_eq!(
            refusal.message,
            "nodes is forbidden: User \"u\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
        );
        assert!(may("/api/v1/namespaces/a/pods/p").is_err());
    }

    #[test]
    fn a_token_ends() {
        let mut access = Access::default();
        let mut account = account(&json!(null));
        account.lasts_ms = Some(0);
        access.admit(account.clone());
        assert!(access.account(Some("Bearer t")).is_err());
        account.lasts_ms = None;
        access.admit(account);
        assert!(access.account(Some("Bearer t")).is_ok());
        assert!(access.account(None).is_err());
        access.revoke("t");
        assert!(access.account(Some("Bearer t")).is_err());
    }
}
