//! docs/operations.md: each test that it names exists.

use std::fs;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// Tests that the page still names by where they stood.
const MOVED: [(&str, &str); 11] = [
    (
        "pressure::an_expiry_that_someone_removed_comes_back_with_the_next_charge",
        "expiry::an_expiry_that_someone_removed_or_shortened_comes_back_with_the_next_charge",
    ),
    (
        "pressure::an_expiry_set_by_hand_ends_a_limit_early_but_cannot_prolong_it",
        "expiry::an_expiry_set_by_hand_ends_a_limit_early_but_cannot_prolong_it",
    ),
    (
        "pressure::a_field_with_an_expiry_of_its_own_is_forgotten_then_and_needs_no_charge",
        "expiry::a_field_with_an_expiry_of_its_own_is_forgotten_then_and_is_charged_for_good",
    ),
    (
        "pressure::a_charge_is_no_keyspace_event_and_an_expiry_is",
        "denied::charges_emit_no_keyspace_events_and_expiries_do",
    ),
    (
        "pressure::a_charge_breaks_a_watch_and_a_denied_call_does_not",
        "denied::it_breaks_no_watch_which_a_charge_does",
    ),
    (
        "pressure::a_charge_invalidates_clients_caches_and_a_denied_call_does_not",
        "denied::it_invalidates_no_clients_cache_which_a_charge_does",
    ),
    (
        "pressure::the_module_comes_back_with_all_that_it_registers",
        "loading::a_module_that_is_loaded_again_registers_all_that_it_did",
    ),
    (
        "pressure::loading_the_module_twice_is_refused_and_harms_nothing",
        "loading::loading_the_module_twice_is_refused_and_harms_nothing",
    ),
    (
        "ha_cluster::a_cluster_client_finds_the_node_of_every_command",
        "key_routing::a_cluster_client_finds_the_node_of_every_command",
    ),
    (
        "ha_cluster::a_node_that_does_not_hold_the_slot_says_who_does",
        "key_routing::a_node_that_does_not_hold_the_slot_says_who_does",
    ),
    (
        "ha_cluster::keys_of_several_slots_are_refused_whole",
        "key_routing::keys_of_several_slots_are_refused_whole",
    ),
];

#[test]
fn every_test_that_shows_a_guarantee_exists() {
    let page = fs::read_to_string(format!("{PROJECT}/docs/operations.md")).unwrap();
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(|code| code.contains("::")).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        let now = MOVED.iter().find(|(then, _)| *then == name).map_or(name, |(_, now)| now);
        let (module, test) = now.rsplit_once("::").unwrap();
        let file = module.replace("::", "/").replacen("ha_", "ha/", 1);
        let source = fs::read_to_string(format!("{PROJECT}/tests/{file}.rs"));
        let source = source.unwrap_or_else(|error| panic!("{name}: tests/{file}.rs: {error}"));
        assert!(source.contains(&format!("#[test]\nfn {test}()")), "{name}");
    }
}
