//! `genie quickstart`: from nothing to a cited answer, then the service.

use crate::cli::{Asking, Common, Only, Quickstart, Serve, Workspace};
use crate::{Ended, settings};

use super::ask::{Answerer, Turn};
use super::{ingest, models, say, serve};

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: &Quickstart) -> anyhow::Result<Ended> {
    let flags = Serve {
        listen: arguments.listen,
        ..Serve::default()
    };
    let config = settings::read(common, &flags)?;
    say(&format!(
        "1. Models, into {}\n",
        config.places.models.display()
    ))?;
    models::pull_configured(common, &config)?;
    say(&format!(
        "2. The starter corpus, into {}\n",
        config.places.index().display()
    ))?;
    {
        // The index is closed again before the question opens it.
        let target = ingest::target(common)?;
        say(&format!("   {}\n", ingest::starter(&target)?))?;
    }
    say(&format!("3. A question: {}\n\n", arguments.question))?;
    {
        let asking = Asking {
            lang: None,
            top_k: None,
            only: Only::default(),
            place: Workspace::default(),
        };
        Answerer::open(common, &config, &asking.place)?.talk(&Turn {
            question: &arguments.question,
            history: &[],
            asking: &asking,
        })?;
    }
    if arguments.no_serve {
        return Ok(Ended::Done);
    }
    say("4. The service\n")?;
    serve::run(common, &flags)
}
