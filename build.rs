//! What cargo cannot say in Cargo.toml.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // linkme, which redis-module's crate uses, marks where its lists start and end with symbols that the linker would
    // export: two modules with such lists in one server, and one might find the other's.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,start-stop-visibility=hidden");
    }
}
