//! End-to-end tests of the `genie` binary live in `tests/e2e`.
