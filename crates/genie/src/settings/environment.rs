//! Settings of `config.toml` that stand in the environment instead.

use std::ffi::OsString;

use anyhow::{Context, bail};
use toml::{Table, Value};

/// What the names of such variables begin with.
const PREFIX: &str = "GENIE__";
/// What stands between a section and a setting.
const BETWEEN: &str = "__";

/// The variable that can take the place of a setting, `section.setting`.
pub(crate) fn variable_of(setting: &str) -> String {
    format!("{PREFIX}{}", setting.replace('.', BETWEEN).to_uppercase())
}

/// Puts the variables that begin with [`PREFIX`] over the file's settings:
/// `GENIE__RETRIEVAL__TOP_K=9` is `top_k = 9` under `[retrieval]`.
pub(super) fn overlay(
    settings: &mut Table,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> anyhow::Result<()> {
    for (name, value) in variables {
        let Some(path) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        let name = name.to_string_lossy();
        let Some(value) = value.to_str() else {
            bail!("{name} is not UTF-8");
        };
        let path = path.to_lowercase();
        set(settings, &path, parsed(value)).with_context(|| format!("{name} can't be set"))?;
    }
    Ok(())
}

fn set(settings: &mut Table, path: &str, value: Value) -> anyhow::Result<()> {
    match path.split_once(BETWEEN) {
        None if path.is_empty() => bail!("it names no setting"),
        None => {
            settings.insert(path.to_owned(), value);
            Ok(())
        }
        Some((section, rest)) => {
            let section = settings
                .entry(section.to_owned())
                .or_insert_with(|| Value::Table(Table::new()));
            match section {
                Value::Table(section) => set(section, rest, value),
                _ => bail!("what stands in front of {BETWEEN} is no section"),
            }
        }
    }
}

/// A value as TOML has it; what is none is text, so that it needs no quotes.
fn parsed(text: &str) -> Value {
    let document = format!("value = {text}");
    let value = document.parse::<Table>().ok();
    let alone = value.filter(|table| table.len() == 1);
    alone
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_over(file: &str, variables: &[(&str, &str)]) -> anyhow::Result<Table> {
        let mut settings: Table = file.parse().expect("TOML");
        let variables = variables
            .iter()
            .map(|&(name, value)| (name.into(), value.into()));
        overlay(&mut settings, variables)?;
        Ok(settings)
    }

    #[test]
    fn a_variable_takes_the_place_of_a_setting() {
        let settings = laid_over(
            "threads = 3\n[retrieval]\ntop_k = 5\ncandidates = 60\n",
            &[
                ("GENIE__THREADS", "2"),
                ("GENIE__RETRIEVAL__TOP_K", "9"),
                ("GENIE__ANSWER__STYLE", "list"),
                ("GENIE__CHAT_MODELS", "[\"a\", \"b\"]"),
                ("GENIE__ANSWER__CONTACT", "https://example.org/a = b"),
                ("GENIE_HOME", "elsewhere"),
            ],
        );
        let wanted = "threads = 2\nchat_models = [\"a\", \"b\"]\n\
            [retrieval]\ntop_k = 9\ncandidates = 60\n\
            [answer]\nstyle = \"list\"\ncontact = \"https://example.org/a = b\"\n";
        assert_eq!(settings.unwrap(), wanted.parse::<Table>().unwrap());
    }

    #[test]
    fn more_than_one_value_is_text() {
        let settings = laid_over("", &[("GENIE__COLLECTION", "1\nother = 2")]);
        assert_eq!(
            settings.unwrap()["collection"].as_str(),
            Some("1\nother = 2")
        );
    }

    #[test]
    fn a_variable_without_a_section_is_named() {
        for (name, value) in [("GENIE__THREADS__MANY", "1"), ("GENIE__", "1")] {
            let error = laid_over("threads = 1", &[(name, value)]).unwrap_err();
            assert!(format!("{error:#}").contains(name), "{error:#}");
        }
    }
}
