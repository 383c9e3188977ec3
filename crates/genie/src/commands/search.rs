//! `genie search`: passages without an answer.

use genie_rag::SearchRequest;
use genie_server::SearchBody;

use crate::cli::{Common, Search, Serve};
use crate::wiring::{Parts, Place, place_in};
use crate::{Ended, render, settings};

use super::{say, say_json};

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: &Search) -> anyhow::Result<Ended> {
    let mut config = settings::read(common, &Serve::default())?;
    if config.retrieval.rerank.judged == 0 {
        // Then searching needs no language model.
        config.chat_model = None;
    }
    let filter = arguments.asking.only.filter()?;
    let found = match place_in(common, &config, &arguments.asking.place)? {
        (Place::Service(remote), _) => remote.search(arguments)?,
        (Place::Here, config) => {
            let parts = Parts::open(common, &config)?;
            let outcome = parts.engine(common, &config)?.search(SearchRequest {
                query: arguments.query.clone(),
                language: arguments.asking.lang,
                filter,
                limit: arguments.asking.top_k,
            })?;
            let body = SearchBody::new(&arguments.query, &outcome);
            if arguments.explain {
                body.explained(&outcome)
            } else {
                body
            }
        }
    };
    if arguments.json {
        say_json(&found)?;
    } else if found.passages.is_empty() {
        say("Nothing found; `genie doc list` tells what is indexed.\n")?;
    } else {
        for (position, passage) in found.passages.iter().enumerate() {
            let mut text = render::passage(position + 1, passage);
            if arguments.explain
                && let Some(stages) = &passage.stages
            {
                text.push_str(&render::stages(stages));
            }
            say(&render::plain(&format!("{text}\n")))?;
        }
        if let Some(left_out) = &found.left_out {
            say(&render::plain(&render::left_out(left_out)))?;
        }
    }
    Ok(Ended::Done)
}
