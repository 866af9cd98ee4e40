//! The reference of `kubectl arcadia`, from the texts of its `--help`.

use std::{fmt::Write as _, path::PathBuf};

use clap::{Arg, ArgAction, Command};

use super::{
    markdown::{cell, code, table},
    page::{GENERATED, Generated},
};

const PAGE: &str = "docs/reference/kubectl-arcadia.md";
const PROGRAM: &str = "kubectl arcadia";

/// The page: the flags of all commands, then each command with its usage, flags and examples.
pub(super) fn file() -> Generated {
    let plugin = arcadia_operator::cli::command();
    let mut page = format!("# Commands of `{PROGRAM}`\n\n<!-- {GENERATED}; edit src/cli instead. -->\n\n");
    page += "The same texts as `kubectl arcadia COMMAND --help`. [kubectl arcadia](../kubectl.md) introduces the commands.\n\n";
    page += "## Flags of all commands\n\n";
    page += &flags(&plugin, Arg::is_global_set);
    let _ = write!(page, "\n## Exit codes and colours\n\n```text\n{}\n```\n", after(&plugin));
    for command in plugin.get_subcommands() {
        describe(command, PROGRAM, &mut page);
    }
    (PathBuf::from(PAGE), page)
}

/// Adds a command and its subcommands. `parent` is what is typed before its name.
fn describe(command: &Command, parent: &str, page: &mut String) {
    if command.is_hide_set() {
        return;
    }
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().bin_name(&name).disable_help_flag(true).render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = write!(page, "\n## `{name}`\n\n{about}.\n\n```text\n{usage}\n```\n");
    let flags = flags(command, |flag| !flag.is_hide_set());
    if !flags.is_empty() {
        let _ = write!(page, "\n{flags}");
    }
    let examples = after(command);
    if !examples.is_empty() {
        let _ = write!(page, "\n```text\n{examples}\n```\n");
    }
    for child in command.get_subcommands() {
        describe(child, &name, page);
    }
}

/// The arguments and flags of a command that are selected. Empty if there is none.
fn flags(command: &Command, is_selected: impl Fn(&Arg) -> bool) -> String {
    let rows: Vec<_> = command.get_arguments().filter(|flag| is_selected(flag)).map(row).collect();
    if rows.is_empty() { String::new() } else { table(["argument or flag", "default", "does"], rows) }
}

fn row(flag: &Arg) -> [String; 3] {
    let takes_a_value = matches!(flag.get_action(), ArgAction::Set | ArgAction::Append);
    let values = flag.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>();
    let values = if values.is_empty() { vec![flag.get_id().to_string().to_uppercase()] } else { values };
    let mut name = match (flag.get_short(), flag.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, Some(long)) => format!("--{long}"),
        (None, None) => String::new(),
    };
    if takes_a_value {
        let _ = write!(name, " {}", values.join(" "));
    }
    let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
    // A default that is no value is part of the help.
    let (help, described) = help
        .split_once("[default: ")
        .map_or((help.as_str(), None), |(help, rest)| (help, Some(rest.trim_end_matches(']').to_owned())));
    let defaults: Vec<_> = flag.get_default_values().iter().map(|value| code(&value.to_string_lossy())).collect();
    let default = described.unwrap_or_else(|| if takes_a_value { defaults.join(", ") } else { String::new() });
    let choices = flag.get_possible_values();
    let choices: Vec<_> = choices.iter().filter(|it| !it.is_hide_set()).map(|it| code(it.get_name())).collect();
    let choices =
        if choices.is_empty() || !takes_a_value { String::new() } else { format!(": {}", choices.join(", ")) };
    [code(name.trim()), default, format!("{}{choices}", cell(help))]
}

/// The text after the help of a command: its examples.
fn after(command: &Command) -> String {
    command.get_after_help().map(ToString::to_string).unwrap_or_default()
}
