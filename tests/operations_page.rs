//! docs/operations.md: each test that it names exists.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::fs;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn every_test_that_shows_a_guarantee_exists() {
    let page = fs::read_to_string(format!("{PROJECT}/docs/operations.md")).unwrap();
    let named: Vec<(&str, &str)> =
        page.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect();
    assert!(named.len() > 30, "{named:?}");
    for (file, test) in named {
        let source = fs::read_to_string(format!("{PROJECT}/tests/{file}.rs"));
        let source = source.unwrap_or_else(|error| panic!("tests/{file}.rs: {error}"));
        assert!(source.contains(&format!("#[test]\nfn {test}()")), "{file}::{test}");
    }
}
