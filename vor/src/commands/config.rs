// SPDX-License-Identifier: Apache-2.0
//! `vor config`: the settings in force with the origin of each; `--docs`: the reference of all keys.

use std::io::Write;

use confique::Config as _;
use tracing::warn;

use crate::{
    cli::ConfigArgs,
    config::{self, Config},
    log,
};

const PREFACE: &str = "\
# Settings

Written by `vor config --docs` from the definitions of the settings; do not edit.

A setting is looked for in four places, the strongest first: flags, environment variables, the YAML file, the default.
`vor config` prints what is in force and where each value comes from.

- **File.** `--config FILE`, else the file that `VOR_CONFIG_PATH`, `OTEL_EBPF_CONFIG_PATH` or `BEYLA_CONFIG_PATH`
  names. The paths below are those of Beyla and OBI, so their files work; a key that only they have is named in a
  warning and passed over. Any other unknown key is an error. Anchors and merge keys work; a file is at most
  1 MiB.
- **Variables in the file.** `${NAME}` and `${NAME:-default}` in a value stand for an environment variable; `$${` is a
  literal `${`.
- **Environment.** The names below are listed the strongest first. An empty variable counts as not set.
- **Durations** have units: `10s`, `500ms`, `1m30s`, `1.5h`, or plain `0`. Only the standard `OTEL_*` variables may leave
  the unit out: they count in milliseconds.
- **Ports** are written `80,443,8000-8999`.
- **Lists** may be written as YAML lists or as text, `a,b`; **maps** as YAML maps or as text, `key=value,key2=value2`.
";

/// Writes the settings in force, warnings to the log, or the reference.
pub(crate) fn run(args: &ConfigArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    if args.docs {
        out.write_all(reference().as_bytes())?;
        return Ok(());
    }
    let loaded = config::load(&args.settings)?;
    log::start(loaded.settings.log_level);
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    write!(out, "{}", loaded.effective)?;
    Ok(())
}

fn reference() -> String {
    vor_config::reference(PREFACE, &Config::META)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::SettingsArgs;

    #[test]
    fn the_written_reference_is_fresh() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/config.md");
        if std::env::var_os("VOR_BLESS").is_some() {
            std::fs::write(&path, reference()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == reference(),
            "docs/reference/config.md is stale: VOR_BLESS=1 cargo test -p vor, or vor config --docs"
        );
    }

    #[test]
    fn the_defaults_are_valid_settings() {
        config::load_with(&SettingsArgs::default(), Vec::new()).unwrap();
    }

    #[test]
    fn the_settings_in_force_are_a_settings_file() {
        let env = vec![("BEYLA_LOG_LEVEL".to_owned(), "DEBUG".to_owned())];
        let first = config::load_with(&SettingsArgs::default(), env).unwrap();
        let file = std::env::temp_dir().join(format!("vor-config-{}.yml", std::process::id()));
        std::fs::write(&file, first.effective.to_string()).unwrap();
        let args = SettingsArgs { config: Some(file.clone()), ..SettingsArgs::default() };
        let again = config::load_with(&args, Vec::new());
        std::fs::remove_file(&file).unwrap();
        assert_eq!(format!("{:?}", first.settings), format!("{:?}", again.unwrap().settings));
    }

    #[test]
    fn every_key_is_documented() {
        let text = reference();
        for (entry, rest) in text.match_indices("\n##").map(|(at, _)| text.split_at(at)) {
            let mut lines = rest.trim_start().lines();
            let (title, doc) = (lines.next(), lines.nth(1));
            assert!(
                doc.is_some_and(|doc| !doc.starts_with("Default:") && !doc.starts_with('#')),
                "{title:?} has no doc comment (after {} bytes)",
                entry.len()
            );
        }
    }

    #[test]
    fn every_flag_sets_a_key() {
        let args = SettingsArgs {
            config: None,
            open_port: Some("80".to_owned()),
            executable: Some("nginx".to_owned()),
            print: Some("json".to_owned()),
            tree: false,
            door: Some("syscall".to_owned()),
            log_level: Some("off".to_owned()),
        };
        let loaded = config::load_with(&args, Vec::new()).unwrap();
        let effective = loaded.effective.to_string();
        for flag in args.flags() {
            assert!(effective.contains(&format!("# flag {}", flag.name)), "{flag:?}");
        }
    }
}
