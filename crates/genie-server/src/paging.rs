//! Lists in pages: `page` and `pageSize` in, `{count, next, previous,
//! results}` out.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use genie_state::{Page, Paged};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

const PAGE_SIZE: u32 = 50;
const LARGEST_PAGE: u32 = 1000;
/// One behind every end is empty.
const LAST_PAGE: u64 = u32::MAX as u64;

/// Which page of a list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct PageQuery {
    /// Counted from 1.
    #[serde(default)]
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    page: Option<u64>,
    /// Entries on a page, 50 unless said.
    #[serde(default, rename = "pageSize")]
    #[schemars(range(min = 1, max = 1000))]
    page_size: Option<u64>,
}

/// A page that was asked for, with the path that its links lead to.
#[derive(Debug)]
pub(crate) struct Paging {
    number: u64,
    size: u32,
    path: String,
    /// What else the query says, as it stands in links.
    more: String,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PageBody<T> {
    /// How many there are on all pages.
    pub count: u64,
    /// Path and query of the next page.
    pub next: Option<String>,
    /// Path and query of the page before.
    pub previous: Option<String>,
    /// This page's.
    pub results: Vec<T>,
}

impl Paging {
    /// As the state counts pages. One behind every end is empty.
    pub(crate) fn page(&self) -> Result<Page, Failure> {
        let number = u32::try_from(self.number).unwrap_or(u32::MAX);
        Page::new(number, self.size).map_err(|error| Failure::invalid("page", error.to_string()))
    }

    /// With a query that links repeat; the value is encoded already.
    pub(crate) fn keeping(self, name: &str, value: &str) -> Self {
        Self {
            more: format!("{}&{name}={value}", self.more),
            ..self
        }
    }

    /// Entries before the page, and at most on it.
    pub(crate) fn window(&self) -> (usize, usize) {
        let before = (self.number - 1).saturating_mul(u64::from(self.size));
        (
            usize::try_from(before).unwrap_or(usize::MAX),
            self.size as usize,
        )
    }

    /// The page with its links.
    pub(crate) fn body<T, B: From<T>>(&self, paged: Paged<T>) -> PageBody<B> {
        self.body_of(
            paged.count,
            paged.results.into_iter().map(B::from).collect(),
        )
    }

    /// As [`Self::body`] of entries that are counted already.
    pub(crate) fn body_of<B>(&self, count: u64, results: Vec<B>) -> PageBody<B> {
        let size = u64::from(self.size);
        let Self { path, more, .. } = self;
        let link = |page: u64| format!("{path}?page={page}&pageSize={size}{more}");
        let end = self.number.saturating_mul(size);
        PageBody {
            count,
            next: (end < count).then(|| link(self.number + 1)),
            // A page behind the end leads back to the last one.
            previous: (self.number > 1)
                .then(|| link((self.number - 1).min(count.div_ceil(size).max(1)))),
            results,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let Query(PageQuery { page, page_size }) = Query::try_from_uri(&parts.uri)
            .map_err(|rejection| Failure::invalid("query", rejection.body_text()))?;
        let path = parts.uri.path().to_owned();
        let number = page.unwrap_or(1);
        if !(1..=LAST_PAGE).contains(&number) {
            return Err(Failure::invalid(
                "page",
                format!("is {number}, but pages are counted from 1 to {LAST_PAGE}"),
            ));
        }
        let wanted = page_size.unwrap_or_else(|| u64::from(PAGE_SIZE));
        let size = u32::try_from(wanted)
            .ok()
            .filter(|size| (1..=LARGEST_PAGE).contains(size))
            .ok_or_else(|| {
                Failure::invalid(
                    "pageSize",
                    format!("is {wanted}, but has to be from 1 to {LARGEST_PAGE}"),
                )
            })?;
        let more = String::new();
        Ok(Self {
            number,
            size,
            path,
            more,
        })
    }
}
