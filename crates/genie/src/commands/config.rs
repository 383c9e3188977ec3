//! `genie config`: the settings as they hold.

use std::path::Path;

use anyhow::Context;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};
use genie_server::PageOrigin;
use serde_json::{Value, json};

use crate::Ended;
use crate::cli::{Cli, Common, ConfigAction, ConfigCommand};
use crate::settings::{self, Road, Trust, written};
use crate::table::table;

use super::{say, say_json};

/// What is shown of a secret.
const HIDDEN: &str = "(hidden)";

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: &ConfigCommand) -> anyhow::Result<Ended> {
    let config = settings::read(common, &arguments.serve)?;
    match arguments.action {
        ConfigAction::Check => {
            let file = config.places.config_file();
            let file = if file.exists() {
                file.display().to_string()
            } else {
                format!("{} is not there, so defaults hold", file.display())
            };
            say(&format!("the settings make sense ({file})\n"))?;
        }
        ConfigAction::Show { json } => {
            let sources = Shown::of(&config.places.config_file())?;
            let mut shown = sources.all(&config);
            shown.extend(sources.trust(&settings::trust(&config)?));
            shown.push((
                "otlp_endpoint",
                json!(settings::collector(common)?),
                sources.first_of(
                    "otlp_endpoint",
                    &[
                        "GENIE_OTLP_ENDPOINT",
                        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                        "OTEL_EXPORTER_OTLP_ENDPOINT",
                    ],
                ),
            ));
            if json {
                let settings: Vec<_> = shown
                    .iter()
                    .map(|(name, value, source)| {
                        json!({ "name": name, "value": value, "source": source })
                    })
                    .collect();
                say_json(&settings)?;
            } else {
                let rows: Vec<_> = shown
                    .into_iter()
                    .map(|(name, value, source)| [name.to_owned(), text(&value), source])
                    .collect();
                say(&table(["SETTING", "VALUE", "SOURCE"], &rows))?;
            }
        }
    }
    Ok(Ended::Done)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

type Setting = (&'static str, Value, String);

/// Where settings can come from.
struct Shown {
    /// Of the commands from the outermost to the innermost.
    flags: Vec<ArgMatches>,
    file: toml::Table,
}

impl Shown {
    fn of(file: &Path) -> anyhow::Result<Self> {
        let file = match std::fs::read_to_string(file) {
            Ok(text) => toml::from_str(&text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => toml::Table::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("{} can't be read", file.display()));
            }
        };
        let mut outer = Cli::command().get_matches();
        let mut flags = Vec::new();
        while let Some((_, inner)) = outer.remove_subcommand() {
            flags.push(std::mem::replace(&mut outer, inner));
        }
        flags.push(outer);
        Ok(Self { flags, file })
    }

    fn all(&self, config: &genie_core::Config) -> Vec<Setting> {
        let path = |path: &Path| Value::from(path.display().to_string());
        let server = &config.server;
        let retrieval = &config.retrieval;
        let rerank = &retrieval.rerank;
        let mut shown = vec![
            (
                "home",
                path(&config.places.home),
                self.flag("home", "GENIE_HOME"),
            ),
            (
                "models",
                path(&config.places.models),
                self.flag("models", "GENIE_MODELS"),
            ),
            (
                "embedding_model",
                json!(config.embedding_model),
                self.flag_or_file("embedding_model", "GENIE_EMBEDDING_MODEL"),
            ),
            (
                "embedding_dimension",
                json!(config.embedding_dimension),
                self.file_only("embedding_dimension"),
            ),
            (
                "chat_model",
                json!(config.chat_model.as_deref().unwrap_or("none")),
                self.flag_or_file("chat_model", "GENIE_CHAT_MODEL"),
            ),
            (
                "device",
                json!(format!("{:?}", config.device).to_lowercase()),
                self.flag_or_file("device", "GENIE_DEVICE"),
            ),
            (
                "threads",
                json!(config.threads),
                self.flag_or_file("threads", "GENIE_THREADS"),
            ),
            (
                "qdrant_url",
                json!(config.qdrant_url.as_deref().map(without_password)),
                self.flag_or_file("qdrant_url", "GENIE_QDRANT_URL"),
            ),
            (
                "collection",
                json!(config.collection),
                self.flag_or_file("collection", "GENIE_COLLECTION"),
            ),
            (
                "database_url",
                match &config.database_url {
                    Some(url) => json!(without_password(url)),
                    None => path(&config.places.database()),
                },
                if settings::database_url().is_some() {
                    "GENIE_DATABASE_URL".to_owned()
                } else {
                    self.file_only("database_url")
                },
            ),
        ];
        for (name, value) in [
            ("retrieval.top_k", json!(retrieval.top_k)),
            ("retrieval.candidates", json!(retrieval.candidates)),
            ("retrieval.dense_weight", short(retrieval.weights.dense)),
            ("retrieval.lexical_weight", short(retrieval.weights.lexical)),
            ("retrieval.min_similarity", short(retrieval.min_similarity)),
            ("retrieval.late_interaction", json!(rerank.tokens)),
            ("retrieval.lexical_bonus", short(rerank.lexical_bonus)),
            ("retrieval.foreign_bonus", short(rerank.foreign_bonus)),
            ("retrieval.rerank_budget_ms", json!(rerank.budget_ms)),
            ("retrieval.fusion", json!(retrieval.fusion)),
            ("retrieval.cut", json!(rerank.cut)),
            ("retrieval.cut_margin", short(rerank.cut_margin)),
            ("retrieval.merge_neighbours", json!(rerank.merge_neighbours)),
            (
                "retrieval.collapse_translations",
                json!(rerank.collapse_translations),
            ),
            (
                "retrieval.recency_half_life_days",
                rerank
                    .boosts
                    .recency_half_life_days
                    .map_or(Value::Null, short),
            ),
            ("retrieval.authority", json!(rerank.boosts.authority)),
            ("retrieval.rerank_model", json!(rerank.judged)),
            ("retrieval.rerank_model_margin", short(rerank.judge_margin)),
            (
                "retrieval.rerank_model_budget_ms",
                json!(rerank.judge_budget_ms),
            ),
            ("answer.context_tokens", json!(config.answer.context_tokens)),
            ("answer.sentences", json!(config.answer.sentences)),
            ("answer.max_tokens", json!(config.answer.max_tokens)),
            ("answer.style", json!(config.answer.style)),
            ("answer.contact", json!(config.answer.hand_over.contact)),
            (
                "answer.hand_over_below",
                short(config.answer.hand_over.below),
            ),
            ("chat_models", json!(config.chat_models)),
            ("inference.slots", json!(config.inference.slots)),
            ("inference.held_mib", json!(config.inference.held_mib)),
            ("inference.kept_mib", json!(config.inference.kept_mib)),
            ("server.authentication", json!(server.authentication)),
            (
                "server.requests_per_minute",
                json!(server.requests_per_minute),
            ),
            ("server.max_requests", json!(server.max_requests)),
            ("server.max_body_bytes", json!(server.max_body_bytes)),
            ("server.direct_model", json!(server.direct_model)),
            ("fetch.max_bytes", json!(config.outbound.fetch.max_bytes)),
            (
                "fetch.max_seconds",
                json!(config.outbound.fetch.max_seconds),
            ),
        ] {
            shown.push((name, value, self.file_only(name)));
        }
        let hosts = config.outbound.fetch.reachable.hosts.len();
        shown.push(("fetch.hosts", json!(hosts), self.file_only("fetch.hosts")));
        let hooks: Vec<&String> = config.outbound.webhooks.keys().collect();
        shown.push(("webhooks", json!(hooks), self.file_only("webhooks")));
        let tls = config.tls.as_ref();
        for (name, value, variable) in [
            (
                "server.listen",
                json!(server.listen.to_string()),
                "GENIE_LISTEN",
            ),
            (
                "server.allow_remote",
                json!(server.allow_remote),
                "GENIE_ALLOW_REMOTE",
            ),
            (
                "server.tls_certificate",
                tls.map_or(Value::Null, |tls| path(&tls.certificate)),
                "GENIE_TLS_CERTIFICATE",
            ),
            (
                "server.tls_key",
                tls.map_or(Value::Null, |tls| path(&tls.key)),
                "GENIE_TLS_KEY",
            ),
        ] {
            shown.push((name, value, self.flag_or_file(name, variable)));
        }
        for (name, set) in [
            ("GENIE_QDRANT_API_KEY", settings::qdrant_api_key().is_some()),
            ("GENIE_API_KEY", settings::api_key().is_some()),
        ] {
            let (value, source) = if set {
                (json!(HIDDEN), name)
            } else {
                (Value::Null, "unset")
            };
            shown.push((name, value, source.to_owned()));
        }
        shown
    }

    /// The parties that are believed beside the service's keys.
    fn trust(&self, trust: &Trust) -> Vec<Setting> {
        let mut shown = Vec::new();
        if let Some(identity) = &trust.identity {
            let grants = identity
                .grants
                .iter()
                .map(|grant| written(&grant.value, grant.workspace.as_ref(), grant.role));
            for (name, value, variable) in [
                ("oidc.issuer", json!(identity.issuer), "GENIE_OIDC_ISSUER"),
                ("oidc.name", json!(identity.name), "GENIE_OIDC_NAME"),
                (
                    "oidc.audience",
                    json!(identity.audiences),
                    "GENIE_OIDC_AUDIENCE",
                ),
                (
                    "oidc.algorithms",
                    json!(identity.algorithms),
                    "GENIE_OIDC_ALGORITHMS",
                ),
                (
                    "oidc.subject_claim",
                    json!(identity.subject_claim),
                    "GENIE_OIDC_SUBJECT_CLAIM",
                ),
                (
                    "oidc.role_claims",
                    json!(identity.role_claims),
                    "GENIE_OIDC_ROLE_CLAIMS",
                ),
                ("oidc.grants", grants.collect(), "GENIE_OIDC_GRANTS"),
                (
                    "oidc.clock_skew_seconds",
                    json!(identity.clock_skew.as_secs()),
                    "GENIE_OIDC_CLOCK_SKEW_SECONDS",
                ),
            ] {
                shown.push((name, value, self.variable_or_file(name, variable)));
            }
        }
        if !trust.page_origins.is_empty() {
            let origins = trust.page_origins.iter().map(PageOrigin::as_str);
            let name = "cors.origins";
            let from = self.variable_or_file(name, "GENIE_CORS_ORIGINS");
            shown.push((name, origins.collect(), from));
        }
        if let Some(Road {
            authorities,
            revocation_lists,
            server,
        }) = &trust.security_server
        {
            let certificates = server.certificates.iter().map(ToString::to_string);
            let clients = server
                .clients
                .iter()
                .map(|client| written(&client.client, Some(&client.workspace), client.role));
            let names_people = server.clients.iter().any(|client| client.names_people);
            for (name, value, variable) in [
                (
                    "security_server.authorities",
                    json!(authorities.display().to_string()),
                    "GENIE_SECURITY_SERVER_AUTHORITIES",
                ),
                (
                    "security_server.revocation_lists",
                    json!(
                        revocation_lists
                            .as_ref()
                            .map(|file| file.display().to_string())
                    ),
                    "GENIE_SECURITY_SERVER_REVOCATION_LISTS",
                ),
                (
                    "security_server.certificates",
                    certificates.collect(),
                    "GENIE_SECURITY_SERVER_CERTIFICATES",
                ),
                (
                    "security_server.clients",
                    clients.collect(),
                    "GENIE_SECURITY_SERVER_CLIENTS",
                ),
                (
                    "security_server.names_people",
                    json!(names_people),
                    "GENIE_SECURITY_SERVER_NAMES_PEOPLE",
                ),
            ] {
                shown.push((name, value, self.variable_or_file(name, variable)));
            }
        }
        shown
    }

    /// For settings without a flag.
    fn variable_or_file(&self, name: &str, variable: &str) -> String {
        self.first_of(name, &[variable])
    }

    /// The first of the variables that is set, or else the file.
    fn first_of(&self, name: &str, variables: &[&str]) -> String {
        let is_set = |variable: &&&str| std::env::var(variable).is_ok_and(|text| !text.is_empty());
        match variables.iter().find(is_set) {
            Some(variable) => (*variable).to_owned(),
            None => self.file_only(name),
        }
    }

    fn flag(&self, name: &'static str, variable: &str) -> String {
        let sources = self.flags.iter().filter_map(|command| {
            // Asking a command for what it does not have would be a bug.
            command.try_contains_id(name).ok()?;
            command.value_source(name)
        });
        let mut source = "default".to_owned();
        for given in sources {
            match given {
                ValueSource::CommandLine => return format!("--{}", name.replace('_', "-")),
                ValueSource::EnvVariable => variable.clone_into(&mut source),
                _ => {}
            }
        }
        source
    }

    /// `setting` is the name in the file, behind whose dot the flag's name is.
    fn flag_or_file(&self, setting: &'static str, variable: &str) -> String {
        let name = setting.rsplit_once('.').map_or(setting, |(_, name)| name);
        match self.flag(name, variable) {
            default if default == "default" => self.file_only(setting),
            source => source,
        }
    }

    /// `config.toml` where it has the setting, of which a table may be named
    /// before the dot.
    fn file_only(&self, name: &str) -> String {
        let variable = settings::variable_of(name);
        if std::env::var_os(&variable).is_some() {
            return variable;
        }
        let found = match name.split_once('.') {
            Some((group, name)) => self.file.get(group).and_then(|group| group.get(name)),
            None => self.file.get(name),
        };
        let source = if found.is_some() {
            "config.toml"
        } else {
            "default"
        };
        source.to_owned()
    }
}

/// A number as it is written in a file, not as the nearest one of 64 bits.
fn short(number: f32) -> Value {
    number
        .to_string()
        .parse::<f64>()
        .map_or(Value::Null, Value::from)
}

/// A URL with its password hidden, and what else in it may be one.
fn without_password(url: &str) -> String {
    let (front, query) = match url.split_once('?') {
        Some((front, _)) => (front, "?…"),
        None => (url, ""),
    };
    let Some((scheme, rest)) = front.split_once("://") else {
        // No URL at all; it may be anything.
        return HIDDEN.to_owned();
    };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, String::new()),
    };
    let authority = match authority.rsplit_once('@') {
        Some((person, host)) => {
            let name = person.split_once(':').map_or(person, |(name, _)| name);
            format!("{name}:{HIDDEN}@{host}")
        }
        None => authority.to_owned(),
    };
    format!("{scheme}://{authority}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden() {
        for (url, shown) in [
            ("postgres://a:secret@h/d", "postgres://a:(hidden)@h/d"),
            (
                "postgres://a:s@cret@h:5432/d",
                "postgres://a:(hidden)@h:5432/d",
            ),
            ("postgres://h/d?user=a&password=secret", "postgres://h/d?…"),
            ("postgres://h", "postgres://h"),
            ("secret", "(hidden)"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn a_number_is_shown_as_it_is_written() {
        assert_eq!(short(0.787).to_string(), "0.787");
    }
}
