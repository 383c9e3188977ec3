//! Lists as OpenAI pages through them: behind an id, so many at a time.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use axum::http::StatusCode;

use crate::bounds::Order;
use crate::failure::Failure;

const LARGEST: usize = 10_000;

/// Which part of a list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ListQuery {
    /// Only what comes behind this id.
    #[serde(default)]
    after: Option<String>,
    /// Only what comes before this id.
    #[serde(default)]
    before: Option<String>,
    /// How many at most.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10000))]
    limit: Option<usize>,
    /// `asc`, by name, or `desc`.
    #[serde(default)]
    #[schemars(with = "Option<Order>")]
    order: Option<String>,
    /// Only files for this purpose; all of them are for `assistants`.
    #[serde(default)]
    pub(super) purpose: Option<String>,
    /// Only files in this state; all of them are `completed`.
    #[serde(default)]
    pub(super) filter: Option<String>,
}

impl ListQuery {
    /// The page of these objects, which have ids, with `usual` of them unless
    /// the query says how many.
    pub(super) fn page(&self, mut all: Vec<Value>, usual: usize) -> Result<Value, Failure> {
        let limit = self.limit.unwrap_or(usual);
        if !(1..=LARGEST).contains(&limit) {
            return Err(Failure::invalid(
                "limit",
                format!("is {limit}, but has to be from 1 to {LARGEST}"),
            ));
        }
        match self.order.as_deref() {
            None | Some("asc") => {}
            Some("desc") => all.reverse(),
            Some(_) => return Err(Failure::invalid("order", "has to be asc or desc")),
        }
        if let Some(before) = &self.before {
            let place = place(&all, before, "before")?;
            all.truncate(place);
        }
        if let Some(after) = &self.after {
            let place = place(&all, after, "after")?;
            all.drain(..=place);
        }
        let has_more = all.len() > limit;
        all.truncate(limit);
        let id = |item: Option<&Value>| item.map(|item| item["id"].clone());
        Ok(json!({
            "object": "list",
            "first_id": id(all.first()),
            "last_id": id(all.last()),
            "has_more": has_more,
            "data": all,
        }))
    }
}

fn place(all: &[Value], id: &str, field: &'static str) -> Result<usize, Failure> {
    all.iter()
        .position(|item| item["id"] == id)
        .ok_or_else(|| Failure {
            status: StatusCode::NOT_FOUND,
            ..Failure::invalid(field, "there is nothing with this id in the list")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: Value) -> Result<Vec<String>, Failure> {
        let query: ListQuery = serde_json::from_value(query).expect("a query");
        let all = ["a", "b", "c", "d"].map(|id| json!({"id": id}));
        let page = query.page(all.to_vec(), 3)?;
        let ids = page["data"].as_array().expect("a list").iter();
        let mut ids: Vec<_> = ids
            .map(|item| item["id"].as_str().expect("an id").to_owned())
            .collect();
        if page["has_more"] == true {
            ids.push("…".to_owned());
        }
        Ok(ids)
    }

    #[test]
    fn a_list_is_paged_both_ways() {
        assert_eq!(page(json!({})).expect("a page"), ["a", "b", "c", "…"]);
        assert_eq!(page(json!({"after": "c"})).expect("a page"), ["d"]);
        assert_eq!(
            page(json!({"after": "a", "limit": 2})).expect("a page"),
            ["b", "c", "…"]
        );
        assert_eq!(
            page(json!({"order": "desc", "after": "c", "limit": 1})).expect("a page"),
            ["b", "…"]
        );
        assert_eq!(page(json!({"before": "c"})).expect("a page"), ["a", "b"]);
        for (field, value) in [
            ("limit", json!(0)),
            ("limit", json!(10_001)),
            ("order", json!("up")),
            ("after", json!("x")),
            ("before", json!("x")),
        ] {
            let failure = page(json!({field: value})).expect_err("it makes no sense");
            assert_eq!(failure.fields[0].field, field);
        }
    }
}
