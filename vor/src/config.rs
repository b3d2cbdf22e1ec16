// SPDX-License-Identifier: Apache-2.0
//! The root of all settings: one field per crate, and the keys that stand at the top of the file.
//!
//! `confique` nests by key only, so keys at the root are leaves here and are passed down as values.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Deserializer, de};
use tracing::level_filters::LevelFilter;
use vor_config::{ConfigError, Loaded, PortSet, Sources};
use vor_pipeline::{MetricsConfig, SpansConfig};

use crate::{
    cli::SettingsArgs,
    compat::{FOREIGN, RESERVED},
};

/// Variables that name the settings file, strongest first.
pub(crate) const FILE_VARIABLES: [&str; 3] =
    ["VOR_CONFIG_PATH", "OTEL_EBPF_CONFIG_PATH", "BEYLA_CONFIG_PATH"];

/// Everything that can be set.
#[expect(
    dead_code,
    reason = "the fields are read by the wiring of the pipeline, which builds on this"
)]
#[derive(Debug, confique::Config)]
pub(crate) struct Config {
    /// How much vor says about itself on standard error: `error`, `warn`, `info`, `debug`, `trace` or
    /// `off`, in any case.
    #[config(env = "LOG_LEVEL", default = "info")]
    pub log_level: LogLevel,
    /// Ports whose programs are observed, such as `80,443,8000-8999`: each program that listens on one of
    /// them.
    #[config(env = "OPEN_PORT", default = "")]
    pub open_port: PortSet,
    /// How captured exchanges become spans.
    #[config(nested)]
    pub spans: SpansConfig,
    /// What holds for every metric exporter.
    #[config(nested)]
    pub metrics: MetricsConfig,
}

/// The settings in force for a command line, from this process's environment.
pub(crate) fn load(args: &SettingsArgs) -> Result<Loaded<Config>, ConfigError> {
    load_with(args, vor_config::environment())
}

/// As [`load`], from a given environment.
pub(crate) fn load_with(
    args: &SettingsArgs,
    env: Vec<(String, String)>,
) -> Result<Loaded<Config>, ConfigError> {
    let file = args.config.clone().or_else(|| file_variable(&env));
    vor_config::load(Sources {
        file: file.as_deref(),
        env,
        flags: args.flags(),
        foreign: &FOREIGN,
        reserved: &RESERVED,
    })
}

fn file_variable(env: &[(String, String)]) -> Option<PathBuf> {
    FILE_VARIABLES.iter().find_map(|name| {
        let set = env.iter().find(|(known, value)| known == name && !value.is_empty());
        set.map(|(_, value)| PathBuf::from(value))
    })
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogLevel(pub LevelFilter);

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Word)
    }
}

struct Word;

impl de::Visitor<'_> for Word {
    type Value = LogLevel;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one of error, warn, info, debug, trace, off")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<LogLevel, E> {
        let level = match word.to_ascii_lowercase().as_str() {
            "error" => LevelFilter::ERROR,
            "warn" | "warning" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            "off" => LevelFilter::OFF,
            _ => return Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        };
        Ok(LogLevel(level))
    }
}
