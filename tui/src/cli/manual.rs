//! Completions and the manual page: generated, so that they cannot disagree with the parser.

use std::io::{self, Write};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::args::Cli;

/// A completion script.
pub fn completions(shell: Shell, out: &mut impl Write) -> io::Result<()> {
    // The generator panics where it cannot write: a closed pipe must not come to that.
    let mut script = Vec::new();
    let all = Cli::command();
    // The generators offer what is hidden, too.
    let mut shown = Command::new("ipcscope")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args(all.get_arguments().cloned())
        .subcommands(all.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned());
    clap_complete::generate(shell, &mut shown, "ipcscope", &mut script);
    out.write_all(&script)
}

/// The manual page, all commands in one, as roff(7): `ipcscope man | man -l -`.
pub fn man(out: &mut impl Write) -> io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let page = Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    page.render_subcommands_section(out)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let name = sub.get_name().to_owned();
        let page = Man::new(sub.clone());
        let mut section = Vec::new();
        page.render_synopsis_section(&mut section)?;
        page.render_description_section(&mut section)?;
        page.render_options_section(&mut section)?;
        page.render_extra_section(&mut section)?;
        writeln!(out, ".SH \"IPCSCOPE {}\"", name.to_uppercase())?;
        out.write_all(
            String::from_utf8_lossy(&section).replace("\n.SH ", "\n.SS ").replace(".SS EXTRA", ".SS NOTES").as_bytes(),
        )?;
    }
    let mut section = Vec::new();
    page.render_extra_section(&mut section)?;
    out.write_all(String::from_utf8_lossy(&section).replace(".SH EXTRA", ".SH NOTES").as_bytes())?;
    page.render_version_section(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_command_and_shell_is_in_it() {
        let mut page = Vec::new();
        man(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(page.contains(&format!(".SH \"IPCSCOPE {}\"", command.get_name().to_uppercase())), "{page}");
        }
        assert_eq!(page.matches(".SH OPTIONS").count(), 1, "the commands' own are one level down");
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            completions(*shell, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("duration") && !script.contains("lesson)"), "{shell}");
        }
    }
}
