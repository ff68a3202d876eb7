//! docs/operations.md: each test that it names exists.

use std::fs;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn every_test_that_shows_a_guarantee_exists() {
    let page = fs::read_to_string(format!("{PROJECT}/docs/operations.md")).unwrap();
    let named: Vec<(&str, &str)> =
        page.split('`').skip(1).step_by(2).filter_map(|code| code.rsplit_once("::")).collect();
    assert!(named.len() > 30, "{named:?}");
    for (module, test) in named {
        let file = module.replace("::", "/").replacen("ha_", "ha/", 1);
        let source = fs::read_to_string(format!("{PROJECT}/tests/{file}.rs"));
        let source = source.unwrap_or_else(|error| panic!("tests/{file}.rs: {error}"));
        assert!(source.contains(&format!("#[test]\nfn {test}()")), "{module}::{test}");
    }
}
