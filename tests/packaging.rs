//! What leaves the house: the library's exported symbols, and what README.md says it was tested on.

use std::fs;
use std::process::Command;

use crate::support::Server;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Any other would share one name space with the server and its other modules.
#[test]
fn the_library_exports_what_the_server_calls_and_nothing_else() {
    let library = Server::start().module_library();
    let listed =
        output(Command::new("nm").args(["--dynamic", "--defined-only", "--format=just-symbols", &library]));
    let mut symbols: Vec<&str> = listed.lines().collect();
    symbols.sort_unstable();
    assert_eq!(symbols, ["RedisModule_OnLoad", "RedisModule_OnUnload"], "{library}");
}

/// `RL_DOCS_WRITE=1 cargo test the_readme_names_the_servers` writes it.
#[test]
fn the_readme_names_the_servers_that_the_tests_run_on() {
    const START: &str = "<!-- tested servers -->\n";
    const END: &str = "<!-- end of tested servers -->";
    let path = format!("{PROJECT}/README.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(START).unwrap_or_else(|| panic!("README.md lacks {START}"));
    let (shown, after) = rest.split_once(END).unwrap_or_else(|| panic!("README.md lacks {END}"));
    let table = output(Command::new(format!("{PROJECT}/scripts/test-servers")).arg("--table"));
    if std::env::var_os("RL_DOCS_WRITE").is_some() {
        fs::write(path, format!("{before}{START}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(shown, table, "README.md and scripts/test-servers --table differ");
    }
}
