// SPDX-License-Identifier: Apache-2.0
//! `vor completions SHELL` and `vor man`: both are derived from the command line's definition.

use std::io::{self, Write};

use clap::CommandFactory;

use crate::cli::Cli;

/// Writes the completion script for `shell`.
pub(crate) fn completions(shell: clap_complete::Shell, out: &mut dyn Write) -> io::Result<()> {
    // The generator panics where it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vor", &mut script);
    out.write_all(&script)
}

/// Writes the manual page, one section per command.
pub(crate) fn man(out: &mut dyn Write) -> io::Result<()> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    clap_mangen::Man::new(command.clone()).render(out)?;
    for subcommand in command.get_subcommands() {
        let page = clap_mangen::Man::new(subcommand.clone());
        writeln!(out, ".SH \"VOR {}\"", subcommand.get_name().to_uppercase())?;
        page.render_description_section(out)?;
        page.render_options_section(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_and_manual_name_every_command() {
        let mut texts = vec![Vec::new()];
        man(&mut texts[0]).unwrap();
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh] {
            let mut text = Vec::new();
            completions(shell, &mut text).unwrap();
            texts.push(text);
        }
        for text in texts {
            // A manual page has a backslash before each hyphen.
            let text = String::from_utf8(text).unwrap().replace("\\-", "-");
            for command in Cli::command().get_subcommands() {
                assert!(text.contains(command.get_name()), "{} in {text}", command.get_name());
            }
        }
    }
}
