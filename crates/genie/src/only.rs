//! The documents that a question is restricted to, as typed.

use anyhow::bail;
use genie_core::{DateRange, Filter};
use serde_json::{Value, json};

use crate::cli::Only;

impl Only {
    /// The filter, where it makes sense.
    pub(crate) fn filter(&self) -> anyhow::Result<Filter> {
        let dates = DateRange {
            from: self.from,
            to: self.to,
        };
        if let (true, Some(from), Some(to)) = (dates.is_reversed(), dates.from, dates.to) {
            bail!("--from {from} is after --to {to}, so no document could be found");
        }
        Ok(Filter {
            documents: self.documents.clone(),
            languages: self.languages.clone(),
            labels: self.labels.clone(),
            dates,
        })
    }

    /// The same as a service takes it; `None` where nothing is restricted.
    pub(crate) fn body(&self) -> anyhow::Result<Option<Value>> {
        let filter = self.filter()?;
        if filter == Filter::default() {
            return Ok(None);
        }
        let texts = |texts: Vec<String>| Value::from(texts);
        Ok(Some(json!({
            "documents": texts(filter.documents.iter().map(ToString::to_string).collect()),
            "languages": texts(filter.languages.iter().map(ToString::to_string).collect()),
            "labels": texts(filter.labels),
            "from": filter.dates.from.map(|date| date.to_string()),
            "to": filter.dates.to.map(|date| date.to_string()),
        })))
    }
}
