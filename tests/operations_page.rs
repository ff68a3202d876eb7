//! docs/operations.md: each test that it names exists.

use std::fs;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn every_test_that_shows_a_guarantee_exists() {
    let page = fs::read_to_string(format!("{PROJECT}/docs/operations.md")).unwrap();
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(|code| code.contains("::")).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        let (module, test) = name.rsplit_once("::").unwrap();
        let file = module.replace("::", "/");
        let source = fs::read_to_string(format!("{PROJECT}/tests/{file}.rs"));
        let source = source.unwrap_or_else(|error| panic!("{name}: tests/{file}.rs: {error}"));
        assert!(source.contains(&format!("#[test]\nfn {test}()")), "{name}");
    }
}
